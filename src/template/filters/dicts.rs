//! Filters that make or take dictionaries: `combine`, `dict2items`, `items2dict`, `rekey_on_member`.

use minijinja::{Error, Value as Jinja};

use crate::template::call::{Call, Spec, ansible, fail, inner, inner_class};
use crate::template::{python, python_type};
use crate::value::{Key, Map, Value};

pub(super) const FILTERS: &[Spec] = &[
    ansible(&["combine"], &["*terms", "**options"], combine),
    ansible(&["dict2items"], &["mydict", "key_name", "value_name"], dict2items),
    ansible(&["items2dict"], &["mylist", "key_name", "value_name"], items2dict),
    ansible(&["rekey_on_member"], &["data", "key", "duplicates"], rekey_on_member),
];

/// What becomes of two lists under one key.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Lists {
    Replace,
    Keep,
    Append,
    Prepend,
    AppendRp,
    PrependRp,
}

impl Lists {
    pub(super) fn parse(word: &str) -> Result<Self, Error> {
        Ok(match word {
            "replace" => Self::Replace,
            "keep" => Self::Keep,
            "append" => Self::Append,
            "prepend" => Self::Prepend,
            "append_rp" => Self::AppendRp,
            "prepend_rp" => Self::PrependRp,
            _ => {
                return Err(fail(
                    "merge_hash: 'list_merge' argument can only be equal to 'replace', 'keep', 'append', 'prepend', \
                     'append_rp' or 'prepend_rp'",
                ));
            }
        })
    }

    fn merge(self, low: &[Value], high: &[Value]) -> Vec<Value> {
        let without = |from: &[Value], these: &[Value]| -> Vec<Value> {
            from.iter().filter(|item| !these.contains(item)).cloned().collect()
        };
        match self {
            Self::Replace => high.to_vec(),
            Self::Keep => low.to_vec(),
            Self::Append => [low, high].concat(),
            Self::Prepend => [high, low].concat(),
            Self::AppendRp => [without(low, high).as_slice(), high].concat(),
            Self::PrependRp => [high, without(low, high).as_slice()].concat(),
        }
    }
}

/// `high` over `low`.
pub(super) fn merge(low: &Map, high: &Map, recursive: bool, lists: Lists) -> Map {
    let mut out = low.clone();
    for (key, value) in high {
        let merged = match (out.get(key), value) {
            (Some(Value::Map(a)), Value::Map(b)) if recursive => Value::map(merge(a, b, recursive, lists)),
            (Some(Value::List(a)), Value::List(b)) if lists != Lists::Replace => Value::list(lists.merge(a, b)),
            _ => value.clone(),
        };
        out.insert(key.clone(), merged);
    }
    out
}

fn combine(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let mut recursive = false;
    let mut lists = Lists::Replace;
    for (name, value) in &call.more {
        match name.as_str() {
            "recursive" => recursive = value.is_true(),
            "list_merge" => lists = Lists::parse(value.as_str().unwrap_or_default())?,
            _ => return Err(fail("'recursive' and 'list_merge' are the only valid keyword arguments")),
        }
    }
    let mut terms = Vec::new();
    for term in &call.rest {
        // One level of lists, no more.
        match Value::from_jinja(term)? {
            Value::List(items) => terms.extend(items.iter().cloned()),
            other => terms.push(other),
        }
    }
    terms.retain(|term| !term.is_null());
    if let [only] = terms.as_slice() {
        return Ok(only.to_jinja());
    }
    if let Some(stranger) = terms.iter().rposition(|term| term.as_map().is_none()) {
        // The reference merges from the end, and names the two it was about to merge.
        let at = stranger.min(terms.len() - 2);
        let low = inner(python_type(&terms[at]));
        let (a, b) = (
            low,
            if at == stranger && at + 2 < terms.len() { inner("dict") } else { inner(python_type(&terms[at + 1])) },
        );
        return Err(fail(format!("failed to combine variables, expected dicts but got a '{a}' and a '{b}'.")));
    }
    let mut maps = terms.iter().filter_map(Value::as_map);
    let first = maps.next().cloned().unwrap_or_default();
    let out = maps.fold(first, |low, high| merge(&low, high, recursive, lists));
    Ok(Value::map(out).to_jinja())
}

fn dict2items(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let Value::Map(map) = call.value(0)? else {
        let got = inner_class(python_type(&call.value(0)?));
        return Err(fail(format!("dict2items requires a dictionary, got <class '{got}'> instead.")));
    };
    let names = (name(call, 1, "key")?, name(call, 2, "value")?);
    let items = map.iter().map(|(key, value)| {
        let entry = Map::from_iter([(names.0.clone(), key.to_value()), (names.1.clone(), value.clone())]);
        Value::map(entry)
    });
    Ok(Value::list(items.collect()).to_jinja())
}

fn name(call: &Call<'_, '_, '_>, at: usize, default: &str) -> Result<Key, Error> {
    Ok(Key::from(call.text_option(at)?.unwrap_or_else(|| default.to_owned())))
}

fn items2dict(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.value(0)?;
    let Value::List(items) = &value else {
        let got = inner_class(python_type(&value));
        return Err(fail(format!("items2dict requires a list, got <class '{got}'> instead.")));
    };
    let (key_name, value_name) = (name(call, 1, "key")?, name(call, 2, "value")?);
    let mut out = Map::new();
    for item in items.iter() {
        let Value::Map(entry) = item else {
            let got = value.to_text();
            return Err(fail(format!("items2dict requires a list of dictionaries, got {got} instead.")));
        };
        let (Some(key), Some(content)) = (entry.get(&key_name), entry.get(&value_name)) else {
            return Err(fail(format!(
                "items2dict requires each dictionary in the list to contain the keys '{key_name}' and '{value_name}', \
                 got {} instead.",
                value.to_text()
            )));
        };
        let key = Key::from_value(key).ok_or_else(|| fail(format!("unhashable type: '{}'", python_type(key))))?;
        out.insert(key, content.clone());
    }
    Ok(Value::map(out).to_jinja())
}

fn rekey_on_member(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let duplicates = call.text_option(2)?.unwrap_or_else(|| "error".to_owned());
    if !matches!(duplicates.as_str(), "error" | "overwrite") {
        return Err(fail(format!("duplicates parameter to rekey_on_member has unknown value '{duplicates}'")));
    }
    let key = name(call, 1, "")?;
    let items: Vec<Value> = match call.value(0)? {
        Value::Map(map) => map.values().cloned().collect(),
        Value::List(items) => items.to_vec(),
        _ => return Err(fail("Type is not a valid list, set, or dict")),
    };
    let mut out = Map::new();
    for item in items {
        let Value::Map(entry) = &item else { return Err(fail("List item is not a valid dict")) };
        let Some(member) = entry.get(&key) else { return Err(fail(format!("Key '{key}' was not found."))) };
        let unhashable = || fail(format!("unhashable type: '{}'", inner(python_type(member))));
        let member = Key::from_value(member).ok_or_else(unhashable)?;
        if duplicates == "error" && out.contains_key(&member) {
            return Err(fail(format!(
                "Key {} is not unique, cannot convert to dict.",
                python::repr(&member.to_value())
            )));
        }
        out.insert(member, item.clone());
    }
    Ok(Value::map(out).to_jinja())
}
