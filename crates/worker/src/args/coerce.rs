//! The deserializer behind [`super::parse`].

use rplay_protocol::Object;
use serde::de::{self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde_json::Value;

use super::error::ArgError;
use super::is_opaque;
use super::python::{python_bool, python_text, python_type};

/// A value on its way into a module's type, with the name of the argument it came from.
pub(super) struct Coerce<'a> {
    value: std::borrow::Cow<'a, Value>,
    object: Option<&'a Object>,
    name: String,
    /// Whether this is an item of a list.
    element: bool,
}

impl<'a> Coerce<'a> {
    pub(super) fn root(object: &'a Object) -> Self {
        Self { value: std::borrow::Cow::Owned(Value::Null), object: Some(object), name: String::new(), element: false }
    }

    fn sub(&self, value: std::borrow::Cow<'a, Value>, name: &str) -> Coerce<'a> {
        let name = if self.name.is_empty() { name.to_owned() } else { format!("{}.{name}", self.name) };
        Coerce { value, object: None, name, element: false }
    }

    fn opaque(&self) -> bool {
        self.object.is_none() && is_opaque(&self.value)
    }

    /// That a value is not of the type that is wanted, in the words of the reference, which scripts look for.
    fn invalid(&self, wanted: &str, reason: &str) -> ArgError {
        let kind = python_type(&self.value);
        let subject = if self.element {
            format!("Elements value for option '{}'", self.name)
        } else {
            format!("argument '{}'", self.name)
        };
        ArgError::Invalid(format!("{subject} is of type {kind} and we were unable to convert to {wanted}: {reason}"))
    }

    fn no_bool(&self) -> ArgError {
        if matches!(*self.value, Value::Null | Value::Array(_) | Value::Object(_)) {
            return self
                .invalid("bool", &format!("<class '{}'> cannot be converted to a bool", python_type(&self.value)));
        }
        let shown = self.shown();
        let valid = "true, false, yes, no, on, off, y, n, t, f, 1, 0";
        self.invalid("bool", &format!("The value '{shown}' is not a valid boolean. Valid booleans include: {valid}"))
    }

    fn no_int(&self) -> ArgError {
        let quote = if self.value.is_string() { "'" } else { "" };
        self.invalid("int", &format!("\"{quote}{}{quote}\" cannot be converted to an int", self.shown()))
    }

    fn no_float(&self) -> ArgError {
        self.invalid("float", &format!("<class '{}'> cannot be converted to a float", python_type(&self.value)))
    }

    fn no_list(&self) -> ArgError {
        self.invalid("list", &format!("<class '{}'> cannot be converted to a list", python_type(&self.value)))
    }

    fn no_dict(&self) -> ArgError {
        let reason = match &*self.value {
            Value::String(_) => "dictionary requested, could not parse JSON or key=value".to_owned(),
            other => format!("<class '{}'> cannot be converted to a dict", python_type(other)),
        };
        self.invalid("dict", &reason)
    }

    /// The value as Python prints it.
    fn shown(&self) -> String {
        python_text(&self.value)
    }

    fn bool(&self) -> Result<bool, ArgError> {
        if self.opaque() {
            return Ok(false);
        }
        match &*self.value {
            Value::Bool(b) => Ok(*b),
            Value::Number(n) if n.as_f64() == Some(1.0) => Ok(true),
            Value::Number(n) if n.as_f64() == Some(0.0) => Ok(false),
            Value::String(s) => match s.to_lowercase().trim() {
                "y" | "yes" | "on" | "1" | "true" | "t" | "1.0" => Ok(true),
                "n" | "no" | "off" | "0" | "false" | "f" | "0.0" => Ok(false),
                _ => Err(self.no_bool()),
            },
            _ => Err(self.no_bool()),
        }
    }

    fn int(&self) -> Result<i64, ArgError> {
        if self.opaque() {
            return Ok(0);
        }
        match &*self.value {
            Value::Number(n) => n
                .as_i64()
                .or_else(|| n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9e15).map(|f| f as i64))
                .ok_or_else(|| self.no_int()),
            Value::Bool(b) => Ok(i64::from(*b)),
            Value::String(s) => s
                .trim()
                .parse()
                .or_else(|_| match s.trim().parse::<f64>() {
                    Ok(f) if f.fract() == 0.0 && f.abs() < 9e15 => Ok(f as i64),
                    _ => Err(()),
                })
                .map_err(|()| self.no_int()),
            _ => Err(self.no_int()),
        }
    }

    fn float(&self) -> Result<f64, ArgError> {
        if self.opaque() {
            return Ok(0.0);
        }
        match &*self.value {
            Value::Number(n) => n.as_f64().ok_or_else(|| self.no_float()),
            Value::String(s) => s.trim().parse().map_err(|_| self.no_float()),
            Value::Bool(b) => Ok(f64::from(u8::from(*b))),
            _ => Err(self.no_float()),
        }
    }

    fn string(&self) -> Result<String, ArgError> {
        if self.opaque() {
            return Ok(String::new());
        }
        match &*self.value {
            Value::String(s) => Ok(s.clone()),
            Value::Bool(b) => Ok(python_bool(*b).to_owned()),
            Value::Number(n) => Ok(n.to_string()),
            Value::Null => Ok(String::new()),
            // The reference writes a container as Python would.
            other => Ok(python_text(other)),
        }
    }

    /// The items of a list: a list's own, a string's parts between commas, or the one scalar.
    fn items(self) -> Result<Vec<Value>, ArgError> {
        if self.opaque() {
            return Ok(Vec::new());
        }
        match self.value.into_owned() {
            Value::Array(items) => Ok(items),
            Value::String(s) => Ok(s.split(',').map(|part| Value::String(part.trim().to_owned())).collect()),
            other @ (Value::Number(_) | Value::Bool(_)) => Ok(vec![other]),
            other => {
                let value = std::borrow::Cow::Owned(other);
                Err(Coerce { value, object: None, name: self.name, element: false }.no_list())
            }
        }
    }

    /// A dictionary: a dictionary's own entries, JSON text, or `k=v` pairs between commas or spaces.
    fn entries(&self) -> Result<Object, ArgError> {
        if let Some(object) = self.object {
            return Ok(object.clone());
        }
        if self.opaque() {
            return Ok(Object::new());
        }
        match &*self.value {
            Value::Object(map) => Ok(map.clone()),
            Value::String(s) if s.trim_start().starts_with('{') => serde_json::from_str(s).map_err(|_| self.no_dict()),
            Value::String(s) if s.contains('=') => {
                let separators: &[char] = if s.contains(',') { &[','] } else { &[' '] };
                s.split(separators)
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .map(|part| match part.split_once('=') {
                        Some((k, v)) => Ok((k.trim().to_owned(), Value::String(v.trim().to_owned()))),
                        None => Err(self.no_dict()),
                    })
                    .collect()
            }
            _ => Err(self.no_dict()),
        }
    }
}

macro_rules! coerced {
    ($($method:ident => $from:ident, $visit:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ArgError> {
            let value = self.$from()?;
            visitor.$visit(value).map_err(|e| named(e, &self.name))
        }
    )*};
}

/// Puts the argument's name into a message of serde's own that lacks it.
fn named(error: ArgError, name: &str) -> ArgError {
    match error {
        ArgError::Invalid(text) if !text.contains("argument '") && !text.contains("option '") => {
            ArgError::Invalid(format!("argument '{name}': {text}"))
        }
        other => other,
    }
}

impl<'de> de::Deserializer<'de> for Coerce<'_> {
    type Error = ArgError;

    coerced! {
        deserialize_bool => bool, visit_bool;
        deserialize_i8 => int, visit_i64; deserialize_i16 => int, visit_i64; deserialize_i32 => int, visit_i64;
        deserialize_i64 => int, visit_i64; deserialize_u8 => int, visit_i64; deserialize_u16 => int, visit_i64;
        deserialize_u32 => int, visit_i64; deserialize_u64 => int, visit_i64;
        deserialize_f32 => float, visit_f64; deserialize_f64 => float, visit_f64;
        deserialize_str => string, visit_string; deserialize_string => string, visit_string;
        deserialize_char => string, visit_string; deserialize_identifier => string, visit_string;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ArgError> {
        let value = match self.object {
            Some(object) => Value::Object(object.clone()),
            None => self.value.into_owned(),
        };
        de::Deserializer::deserialize_any(value, visitor)
            .map_err(|e: serde_json::Error| named(ArgError::Invalid(e.to_string()), &self.name))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ArgError> {
        if self.object.is_none() && self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ArgError> {
        visitor.visit_unit()
    }
    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ArgError> {
        visitor.visit_unit()
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ArgError> {
        visitor.visit_newtype_struct(self)
    }
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ArgError> {
        visitor.visit_byte_buf(self.string()?.into_bytes())
    }
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ArgError> {
        self.deserialize_bytes(visitor)
    }
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ArgError> {
        visitor.visit_unit()
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ArgError> {
        let name = self.name.clone();
        visitor.visit_seq(Items { name: name.clone(), items: self.items()?.into_iter() }).map_err(|e| named(e, &name))
    }
    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ArgError> {
        self.deserialize_seq(visitor)
    }
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ArgError> {
        self.deserialize_seq(visitor)
    }
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ArgError> {
        let entries = self.entries()?;
        visitor.visit_map(Entries { parent: self, entries: entries.into_iter(), value: None })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ArgError> {
        let entries = self.entries()?;
        let mut unknown: Vec<String> = entries.keys().filter(|k| !fields.contains(&k.as_str())).cloned().collect();
        unknown.sort();
        let within = self.name.clone();
        let mut entries = entries;
        entries.retain(|name, _| !unknown.contains(name));
        // As in the reference, what is wrong with those it has comes before those it has not.
        let out = visitor.visit_map(Entries { parent: self, entries: entries.into_iter(), value: None })?;
        match unknown.is_empty() {
            true => Ok(out),
            false => Err(ArgError::Unknown {
                names: unknown,
                known: fields.to_vec(),
                aliases: Vec::new(),
                within,
                module: "",
            }),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ArgError> {
        let text = self.string()?;
        let pick = if self.opaque() {
            variants.first().copied()
        } else {
            variants.iter().copied().find(|v| *v == text).or_else(|| match &*self.value {
                // YAML 1.1 made a bool of a choice such as `yes` or `off`.
                Value::Bool(b) => {
                    let words: &[&str] =
                        if *b { &["yes", "true", "on", "True"] } else { &["no", "false", "off", "False"] };
                    variants.iter().copied().find(|v| words.contains(v))
                }
                _ => None,
            })
        };
        match pick {
            Some(variant) => visitor.visit_enum(Choice(variant)),
            None => Err(ArgError::Invalid(format!(
                "value of {} must be one of: {}, got: {text}",
                self.name,
                variants.join(", ")
            ))),
        }
    }
}

struct Items {
    name: String,
    items: std::vec::IntoIter<Value>,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = ArgError;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ArgError> {
        let Some(value) = self.items.next() else { return Ok(None) };
        let item =
            Coerce { value: std::borrow::Cow::Owned(value), object: None, name: self.name.clone(), element: true };
        seed.deserialize(item).map(Some)
    }
}

struct Entries<'a> {
    parent: Coerce<'a>,
    entries: serde_json::map::IntoIter,
    value: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = ArgError;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ArgError> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        let name: de::value::StringDeserializer<ArgError> = key.clone().into_deserializer();
        self.value = Some((key, value));
        seed.deserialize(name).map(Some)
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ArgError> {
        let Some((key, value)) = self.value.take() else {
            return Err(ArgError::Invalid("a value was asked for before its name".to_owned()));
        };
        seed.deserialize(self.parent.sub(std::borrow::Cow::Owned(value), &key))
    }
}

struct Choice(&'static str);

impl<'de> EnumAccess<'de> for Choice {
    type Error = ArgError;
    type Variant = Self;
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), ArgError> {
        let name: de::value::StrDeserializer<'_, ArgError> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Choice {
    type Error = ArgError;
    fn unit_variant(self) -> Result<(), ArgError> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, ArgError> {
        Err(de::Error::custom("a choice holds no value"))
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, ArgError> {
        Err(de::Error::custom("a choice holds no value"))
    }
    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, ArgError> {
        Err(de::Error::custom("a choice holds no value"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{opaque, parse};
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum State {
        Present,
        Absent,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Args {
        #[serde(alias = "dest")]
        path: String,
        #[serde(default)]
        force: bool,
        #[serde(default)]
        items: Vec<String>,
        count: Option<u32>,
        state: Option<State>,
    }

    fn args(value: serde_json::Value) -> Result<Args, ArgError> {
        parse(value.as_object().unwrap())
    }

    #[test]
    fn coerces_as_the_reference_does() {
        let got = args(json!({"dest": 12, "force": "yes", "items": "a, b", "count": "3", "state": "absent"})).unwrap();
        let want = Args {
            path: "12".into(),
            force: true,
            items: vec!["a".into(), "b".into()],
            count: Some(3),
            state: Some(State::Absent),
        };
        assert_eq!(got, want);
        assert_eq!(args(json!({"path": true, "items": 5})).unwrap().items, ["5"]);
        assert_eq!(args(json!({"path": true})).unwrap().path, "True");
    }

    #[test]
    fn names_what_is_wrong() {
        let error = args(json!({"path": "x", "forse": true})).unwrap_err();
        assert_eq!(error.suggestion(), Some("force"));
        assert!(error.to_string().contains("dest"), "aliases are known names: {error}");
        assert_eq!(args(json!({})).unwrap_err(), ArgError::Missing("path".into()));
        let text = args(json!({"path": "x", "force": "perhaps"})).unwrap_err().to_string();
        assert!(text.contains("'force'") && text.contains("perhaps"), "{text}");
        let text = args(json!({"path": "x", "state": "gone"})).unwrap_err().to_string();
        assert_eq!(text, "value of state must be one of: present, absent, got: gone");
        let text = args(json!({"path": "x", "count": -1})).unwrap_err().to_string();
        assert!(text.contains("'count'"), "{text}");
        let text = args(json!({"path": "x", "count": "abc"})).unwrap_err().to_string();
        let want = "argument 'count' is of type str and we were unable to convert to int: \"'abc'\" cannot be converted to an int";
        assert_eq!(text, want);
        assert_eq!(args(json!({"path": [1, "a'b", {"c": null}]})).unwrap().path, "[1, \"a'b\", {'c': None}]");
    }

    #[test]
    fn of_several_mistakes_the_first_one_is_told() {
        let told = |value: serde_json::Value| args(value).unwrap_err().to_string();
        assert_eq!(told(json!({"count": "x", "bogus": 1})), "missing required arguments: path");
        let text = told(json!({"state": "gone", "count": [1], "force": "maybe", "path": "x", "bogus": 1}));
        assert!(text.starts_with("argument 'force' is of type str"), "{text}");
        let text = told(json!({"state": "gone", "path": "x", "bogus": 1}));
        assert_eq!(text, "value of state must be one of: present, absent, got: gone");
        let text = told(json!({"path": "x", "b": 1, "a": 1}));
        assert!(text.starts_with("Unsupported parameters: a, b. Supported"), "{text}");
        let text = told(json!({"path": "x", "force": null}));
        assert!(text.ends_with("to bool: <class 'NoneType'> cannot be converted to a bool"), "{text}");
    }

    #[test]
    fn an_alias_counts_and_is_told_of_beside_its_argument() {
        let object = json!({"path": "a", "dest": "b"});
        let (got, warnings) = super::super::checked::<Args>(object.as_object().unwrap(), None).unwrap();
        assert_eq!(got.path, "b");
        assert_eq!(warnings, ["Both option path and its alias dest are set."]);
    }

    #[test]
    fn what_is_not_known_yet_fits_everywhere() {
        args(json!({"path": opaque(), "force": opaque(), "items": opaque(), "count": opaque(), "state": opaque()}))
            .unwrap();
    }
}
