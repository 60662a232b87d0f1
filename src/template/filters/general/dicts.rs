//! Dictionaries: `dict_kv`, `dict`, `groupby_as_dict`, `keep_keys`, `remove_keys`, `replace_keys`.

use minijinja::{Error, Value as Jinja};

use super::names;
use crate::template::call::{Call, Spec, ansible, fail, items};
use crate::template::regex::{Flags, Pattern};
use crate::template::{python, python_type};
use crate::value::{Key, Map, Value};

pub(super) const FILTERS: &[Spec] = &[
    ansible(names!("dict_kv"), &["value", "key"], |c| {
        let entry = (key(&c.value(1)?)?, c.value(0)?);
        Ok(Value::map(Map::from_iter([entry])).to_jinja())
    }),
    ansible(names!("dict"), &["sequence"], dict),
    ansible(names!("groupby_as_dict"), &["sequence", "attribute"], groupby_as_dict),
    ansible(&["community.general.keep_keys"], &["data", "target", "matching_parameter"], |c| select(c, true)),
    ansible(&["community.general.remove_keys"], &["data", "target", "matching_parameter"], |c| select(c, false)),
    ansible(&["community.general.replace_keys"], &["data", "target", "matching_parameter"], replace_keys),
];

/// A value as a dictionary's key.
pub(super) fn key(value: &Value) -> Result<Key, Error> {
    Key::from_value(value).ok_or_else(|| fail(format!("unhashable type: '{}'", python_type(value))))
}

/// Python's `dict()` of pairs.
fn dict(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.value(0)?;
    if matches!(value, Value::Map(_)) {
        return Ok(value.to_jinja());
    }
    let mut out = Map::new();
    for (at, pair) in items(&value)?.iter().enumerate() {
        let pair = items(pair)
            .map_err(|_| fail(format!("cannot convert dictionary update sequence element #{at} to a sequence")))?;
        let [name, content] = pair.as_slice() else {
            let length = pair.len();
            return Err(fail(format!("dictionary update sequence element #{at} has length {length}; 2 is required")));
        };
        out.insert(key(name)?, content.clone());
    }
    Ok(Value::map(out).to_jinja())
}

fn groupby_as_dict(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.value(0)?;
    let attribute = key(&call.value(1)?)?;
    if !matches!(value, Value::List(_) | Value::Str(_)) {
        return Err(fail(format!("a sequence is needed, not {}", python_type(&value))));
    }
    let mut out = Map::new();
    for (at, item) in items(&value)?.iter().enumerate() {
        let Value::Map(entry) = item else { return Err(fail(format!("element #{at} is no dictionary"))) };
        let Some(by) = entry.get(&attribute) else {
            return Err(fail(format!("element #{at} has no attribute '{attribute}'")));
        };
        if out.insert(key(by)?, item.clone()).is_some() {
            return Err(fail(format!("several elements have the attribute value {}", python::repr(by))));
        }
    }
    Ok(Value::map(out).to_jinja())
}

/// How keys are matched.
#[derive(Clone, Copy)]
pub(in crate::template::filters) enum By {
    Equal,
    Start,
    End,
    Regex,
}

impl By {
    pub(in crate::template::filters) fn read(call: &Call<'_, '_, '_>, at: usize) -> Result<Self, Error> {
        match call.text_option(at)?.as_deref() {
            None | Some("equal") => Ok(Self::Equal),
            Some("starts_with") => Ok(Self::Start),
            Some("ends_with") => Ok(Self::End),
            Some("regex") => Ok(Self::Regex),
            Some(other) => {
                Err(fail(format!("matching_parameter is equal, starts_with, ends_with or regex, not '{other}'")))
            }
        }
    }

    pub(in crate::template::filters) fn matches(self, name: &str, wanted: &str) -> Result<bool, Error> {
        Ok(match self {
            Self::Equal => name == wanted,
            Self::Start => name.starts_with(wanted),
            Self::End => name.ends_with(wanted),
            Self::Regex => {
                let pattern = Pattern::new(wanted, Flags::default())
                    .map_err(|_| fail(format!("target is no valid regular expression: {wanted}")))?;
                pattern.captures(name, 0)?.is_some_and(|m| m.get(0).is_some_and(|m| m.start() == 0))
            }
        })
    }
}

/// The dictionaries of the first argument, every key of which is text.
fn records(call: &Call<'_, '_, '_>) -> Result<Vec<Map>, Error> {
    let value = call.value(0)?;
    let Value::List(items) = &value else {
        return Err(fail(format!("a list of dictionaries is needed, not {}", python_type(&value))));
    };
    let record = |item: &Value| match item {
        Value::Map(map) if map.keys().all(|k| k.as_str().is_some()) => Ok(Map::clone(map)),
        Value::Map(_) => Err(fail("every key of the dictionaries must be a string")),
        other => Err(fail(format!("the items must be dictionaries, and {} is none", python::repr(other)))),
    };
    items.iter().map(record).collect()
}

fn select(call: &mut Call<'_, '_, '_>, keep: bool) -> Result<Jinja, Error> {
    let records = records(call)?;
    let by = By::read(call, 2)?;
    let target = match call.option(1)? {
        Some(Value::Str(text)) => vec![text.as_str().to_owned()],
        Some(Value::List(items)) => {
            let text = |item: &Value| match item {
                Value::Str(text) => Ok(text.as_str().to_owned()),
                other => Err(fail(format!("the target's items must be strings, and {} is none", python::repr(other)))),
            };
            items.iter().map(text).collect::<Result<_, _>>()?
        }
        other => {
            let got = other.map_or("NoneType", |v| python_type(&v));
            return Err(fail(format!("target must be a string or a list, not {got}")));
        }
    };
    if target.iter().all(String::is_empty) {
        return Err(fail("target is empty"));
    }
    if matches!(by, By::Regex) && target.len() > 1 {
        return Err(fail("with matching_parameter=regex, target must be one pattern"));
    }
    let mut out = Vec::new();
    for record in records {
        let mut kept = Map::new();
        for (name, value) in record {
            let mut found = false;
            for wanted in &target {
                found = found || by.matches(name.as_str().unwrap_or_default(), wanted)?;
            }
            if found == keep {
                kept.insert(name, value);
            }
        }
        out.push(Value::map(kept));
    }
    Ok(Value::list(out).to_jinja())
}

fn replace_keys(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let records = records(call)?;
    let by = By::read(call, 2)?;
    let Some(Value::List(target)) = call.option(1)? else {
        return Err(fail("target must be a list of dictionaries with before and after"));
    };
    let pair = |item: &Value| match (item, item.get("before"), item.get("after")) {
        (_, Some(Value::Str(before)), Some(Value::Str(after))) => {
            Ok((before.as_str().to_owned(), after.as_str().to_owned()))
        }
        (_, Some(_), Some(_)) => Err(fail("before and after must be strings")),
        (Value::Map(_), ..) => Err(fail("each item of target must have before and after")),
        (other, ..) => {
            Err(fail(format!("the items of target must be dictionaries, and {} is none", python::repr(other))))
        }
    };
    let pairs: Vec<(String, String)> = target.iter().map(pair).collect::<Result<_, _>>()?;
    if pairs.is_empty() {
        return Err(fail("target is empty"));
    }
    let mut out = Vec::new();
    for record in records {
        let mut renamed = Map::new();
        for (name, value) in record {
            let mut new = None;
            for (before, after) in &pairs {
                if new.is_none() && by.matches(name.as_str().unwrap_or_default(), before)? {
                    new = Some(Key::from(after.as_str()));
                }
            }
            renamed.insert(new.unwrap_or(name), value);
        }
        out.push(Value::map(renamed));
    }
    Ok(Value::list(out).to_jinja())
}
