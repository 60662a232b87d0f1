//! Values to and from the template engine's, nothing evaluated on the way.

use std::sync::Arc;

use minijinja::Value as Jinja;
use minijinja::value::{Object, ValueKind};

use super::{Key, Map, Value, own};

/// What [`Value::from_jinja`] says of something undefined, whose name it cannot know.
pub const UNDEFINED_INSIDE: &str = "the result holds something that is not defined";

/// The attribute under which an object of a template's own has what it is outside of templates, where that is not its text.
pub const STORED: &str = "\u{0}stored";

/// What `omit` is inside a template.
#[derive(Debug)]
struct Omit;

impl Object for Omit {
    fn repr(self: &Arc<Self>) -> minijinja::value::ObjectRepr {
        minijinja::value::ObjectRepr::Plain
    }
    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<<Omit>>")
    }
}

/// Whether a template's value is `omit`.
#[must_use]
pub fn is_omit(value: &Jinja) -> bool {
    value.downcast_object_ref::<Omit>().is_some()
}

/// Encrypted text that cannot be decrypted, inside a template: whatever wants its text gets the reason instead.
#[derive(Debug)]
pub struct Undecryptable {
    /// The encrypted text.
    pub ciphertext: Arc<str>,
    /// Why it cannot be decrypted.
    pub reason: String,
}

impl Object for Undecryptable {
    fn repr(self: &Arc<Self>) -> minijinja::value::ObjectRepr {
        minijinja::value::ObjectRepr::Plain
    }
    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<encrypted>")
    }
}

impl Undecryptable {
    /// The reason as an error.
    #[must_use]
    pub fn error(&self) -> minijinja::Error {
        minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, self.reason.clone())
    }
}

impl Value {
    /// The value for the template engine, as it is.
    #[must_use]
    pub fn to_jinja(&self) -> Jinja {
        match self {
            Self::Null => Jinja::from(()),
            Self::Bool(b) => Jinja::from(*b),
            Self::Int(i) => Jinja::from(*i),
            Self::Float(f) => Jinja::from(*f),
            Self::Str(s) => {
                own::goes_in(s);
                Jinja::from(s.shared())
            }
            Self::List(items) => Jinja::from(items.iter().map(Self::to_jinja).collect::<Vec<_>>()),
            Self::Map(map) => Jinja::from_pairs(map.iter().map(|(k, v)| (k.to_value().to_jinja(), v.to_jinja()))),
            Self::Omit => Jinja::from_object(Omit),
        }
    }

    /// A value from the template engine: data, but for texts of the user's that went through untouched. Fails on what is undefined, or is not a value (a
    /// function), anywhere inside.
    pub fn from_jinja(value: &Jinja) -> Result<Self, minijinja::Error> {
        Ok(match value.kind() {
            _ if value.downcast_object_ref::<Omit>().is_some() => Self::Omit,
            _ if let Some(encrypted) = value.downcast_object_ref::<Undecryptable>() => return Err(encrypted.error()),
            ValueKind::Undefined => {
                return Err(minijinja::Error::new(minijinja::ErrorKind::UndefinedError, UNDEFINED_INSIDE));
            }
            ValueKind::None => Self::Null,
            ValueKind::Bool => Self::Bool(value.is_true()),
            ValueKind::Number => number(value),
            ValueKind::String => {
                Self::Str(own::came_out(value.to_str().unwrap_or_else(|| Arc::from(value.to_string()))))
            }
            ValueKind::Bytes => Self::data(String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned()),
            ValueKind::Seq | ValueKind::Iterable => {
                let mut items = Vec::new();
                for item in value.try_iter()? {
                    match Self::from_jinja(&item)? {
                        // What is omitted is not there.
                        Self::Omit => {}
                        item => items.push(item),
                    }
                }
                Self::list(items)
            }
            ValueKind::Map => Self::map(map(value)?),
            ValueKind::Invalid => return Err(carried_error(value)),
            _ => match value.get_attr(STORED) {
                Ok(text) if !text.is_undefined() => Self::from_jinja(&text)?,
                _ => Self::data(value.to_string()),
            },
        })
    }
}

/// The error that a value carries.
fn carried_error(value: &Jinja) -> minijinja::Error {
    let wrapped = Jinja::from(vec![value.clone()]);
    match wrapped.try_iter().map(|items| items.checked().find_map(Result::err)) {
        Ok(Some(error)) | Err(error) => error,
        Ok(None) => minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, value.to_string()),
    }
}

fn number(value: &Jinja) -> Value {
    if value.is_integer()
        && let Some(int) = value.as_i64()
    {
        return Value::Int(int);
    }
    Value::Float(f64::try_from(value.clone()).unwrap_or(f64::NAN))
}

fn map(value: &Jinja) -> Result<Map, minijinja::Error> {
    let mut out = Map::new();
    for key in value.try_iter()? {
        let item = value.get_item(&key)?;
        let key = Value::from_jinja(&key)?;
        let Some(key) = Key::from_value(&key) else {
            let message = format!("{} cannot be a key", key.kind());
            return Err(minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, message));
        };
        match Value::from_jinja(&item)? {
            Value::Omit => {}
            item => drop(out.insert(key, item)),
        }
    }
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_engine() {
        let json = serde_json::json!({"a": [1, 2.5, null, true, "x"], "b": {"c": []}});
        let value = Value::from_json(&json);
        assert_eq!(Value::from_jinja(&value.to_jinja()).unwrap().to_json(), json);
        assert!(matches!(Value::from_jinja(&Value::Omit.to_jinja()).unwrap(), Value::Omit));
        assert!(Value::from_jinja(&Jinja::UNDEFINED).is_err());
        assert_eq!(value.get("a").unwrap().to_text(), "[1, 2.5, None, True, 'x']");
    }
}
