//! Lookups of the collection `community.general`: `collection_version`, `dependent`, `merge_variables`.

use std::sync::Arc;

use minijinja::Error;

use super::Lookup;
use crate::template::call::fail;
use crate::template::regex::{Flags, Pattern};
use crate::template::{Over, Templar, TemplateError, python, python_type};
use crate::value::{Key, Map, Str, Value};

type Found = Result<Vec<Value>, Error>;

/// The collections whose modules, filters and lookups are built in, with the versions that they are like.
const COLLECTIONS: [(&str, &str); 6] = [
    ("ansible.posix", "2.1.0"),
    ("ansible.utils", "6.0.0"),
    ("community.crypto", "3.0.5"),
    ("community.general", "11.4.2"),
    ("community.mysql", "3.16.1"),
    ("community.postgresql", "4.2.0"),
];

/// The versions of collections, where something of them is built in.
pub(super) fn collection_version(lookup: &Lookup<'_>) -> Found {
    let option = |name: &str, default: Value| lookup.option(name).cloned().unwrap_or(default);
    let mut out = Vec::new();
    for term in &lookup.terms {
        let name = term.as_str().filter(|name| name.split('.').filter(|part| !part.is_empty()).count() == 2);
        let Some(name) = name else {
            return Err(fail(format!("{} is not the name of a collection", python::repr(term))));
        };
        let known = COLLECTIONS.iter().find(|(known, _)| *known == name);
        out.push(match known {
            Some((_, version)) => Value::from(*version),
            None if name == "ansible.builtin" => option("result_no_version", Value::from("*")),
            None => option("result_not_found", Value::Null),
        });
    }
    Ok(out)
}

/// Every way to take one entry of each term, where a term that is text is an expression over what has been taken so far.
pub(super) fn dependent(lookup: &Lookup<'_>) -> Found {
    let mut terms: Vec<(Key, Value)> = Vec::new();
    for (at, term) in lookup.terms.iter().enumerate() {
        let entries = term.as_map().filter(|map| map.len() == 1).and_then(|map| map.first());
        let Some((name, from)) = entries else {
            return Err(fail(format!("term {at} must be a dictionary of one entry, not {}", python::repr(term))));
        };
        if terms.iter().any(|(other, _)| other == name) {
            return Err(fail(format!("the variable '{name}' appears more than once")));
        }
        if !matches!(from, Value::Str(_) | Value::List(_) | Value::Map(_)) {
            let kind = python_type(from);
            return Err(fail(format!("'{name}' (term {at}) must be a string, dictionary or list, not {kind}")));
        }
        terms.push((name.clone(), from.clone()));
    }
    let mut out = Vec::new();
    if !terms.is_empty() {
        choose(lookup, &terms, &Map::new(), &mut out)?;
    }
    Ok(out)
}

fn choose(lookup: &Lookup<'_>, terms: &[(Key, Value)], item: &Map, out: &mut Vec<Value>) -> Result<(), Error> {
    let Some(((name, from), rest)) = terms.split_first() else {
        out.push(Value::map(item.clone()));
        return Ok(());
    };
    let within = |detail: String| {
        let item = python::repr(&Value::map(item.clone()));
        fail(format!("'{name}' with item == {item}: {detail}"))
    };
    let evaluated = match from {
        Value::Str(text) => {
            let map = Map::from_iter([("item".into(), Value::map(item.clone()))]);
            let templar = Templar::new(Arc::new(Over { map, under: lookup.templar.variables().clone() }));
            let expression = Str::trusted(text.as_str(), text.origin());
            templar.expression(&expression).map_err(|e| within(e.message))?
        }
        other => other.clone(),
    };
    let choices = match &evaluated {
        Value::Map(map) => {
            let pair = |(key, value): (&Key, &Value)| {
                Value::map(Map::from_iter([("key".into(), key.to_value()), ("value".into(), value.clone())]))
            };
            map.iter().map(pair).collect()
        }
        list @ (Value::List(_) | Value::Str(_)) => crate::template::call::items(list)?,
        other => return Err(within(format!("this must be a dictionary or list, not {}", python_type(other)))),
    };
    for choice in choices {
        let mut item = item.clone();
        item.insert(name.clone(), choice);
        choose(lookup, rest, &item, out)?;
    }
    Ok(())
}

/// What becomes of a key that has two values.
#[derive(Clone, Copy)]
enum Override {
    Error,
    Warn,
    Ignore,
}

/// The variables whose names fit a pattern as one list or dictionary, in the order of their names.
pub(super) fn merge_variables(lookup: &Lookup<'_>) -> Found {
    let setting = |option: &str, default: &str| {
        let name = format!("ANSIBLE_MERGE_VARIABLES_{}", option.to_uppercase());
        lookup.text(option).or_else(|| std::env::var(name).ok()).unwrap_or_else(|| default.to_owned())
    };
    let on_conflict = match setting("override", "error").as_str() {
        "error" => Override::Error,
        "warn" => Override::Warn,
        "ignore" => Override::Ignore,
        other => return Err(fail(format!("override is error, warn or ignore, not '{other}'"))),
    };
    let kind = setting("pattern_type", "regex");
    if !matches!(kind.as_str(), "regex" | "prefix" | "suffix") {
        return Err(fail(format!("pattern_type is regex, prefix or suffix, not '{kind}'")));
    }
    if lookup.option("groups").is_some() {
        return Err(fail("`groups` is not supported: only the variables of the host itself are merged"));
    }
    let mut names = lookup.templar.variables().names();
    names.sort();
    let mut out = Vec::new();
    for term in &lookup.terms {
        let Value::Str(wanted) = term else {
            return Err(fail(format!("a pattern must be a string, not {}", python_type(term))));
        };
        let mut merged = lookup.option("initial_value").cloned();
        for name in &names {
            let fits = match kind.as_str() {
                "prefix" => name.starts_with(wanted.as_str()),
                "suffix" => name.ends_with(wanted.as_str()),
                _ => Pattern::new(wanted.as_str(), Flags::default())?.captures(name, 0)?.is_some(),
            };
            if !fits {
                continue;
            }
            let value = lookup.templar.variable(name).map_err(TemplateError::into_engine)?.unwrap_or_default();
            merged = Some(match (merged, &value) {
                (_, other) if !matches!(other, Value::List(_) | Value::Map(_)) => {
                    return Err(fail(format!("'{name}' is neither a list nor a dictionary")));
                }
                (None, _) => value,
                (Some(Value::List(before)), Value::List(more)) => {
                    Value::list([before.as_slice(), more.as_slice()].concat())
                }
                (Some(Value::Map(before)), Value::Map(more)) => Value::map(over(&before, more, name, on_conflict)?),
                (Some(before), _) => {
                    let (a, b) = (python_type(&before), python_type(&value));
                    return Err(fail(format!("'{name}' is a {b} and cannot be merged into a {a}")));
                }
            });
        }
        out.push(merged.unwrap_or_default());
    }
    Ok(out)
}

/// A dictionary over another: dictionaries in both are merged, lists joined.
fn over(before: &Map, more: &Map, path: &str, on_conflict: Override) -> Result<Map, Error> {
    let mut out = before.clone();
    for (key, value) in more {
        let path = format!("{path}.{key}");
        let merged = match (out.get(key), value) {
            (Some(Value::Map(a)), Value::Map(b)) => Value::map(over(a, b, &path, on_conflict)?),
            (Some(Value::List(a)), Value::List(b)) => Value::list([a.as_slice(), b.as_slice()].concat()),
            (Some(a @ (Value::List(_) | Value::Map(_))), b @ (Value::List(_) | Value::Map(_))) => {
                let (a, b) = (python_type(a), python_type(b));
                return Err(fail(format!("'{path}' is a {b} and cannot be merged into a {a}")));
            }
            (Some(a), b) if a != b => {
                let (a, b) = (python::repr(a), python::repr(b));
                let message = format!("the key '{key}' with the value {a} is overwritten by {b} of '{path}'");
                match on_conflict {
                    Override::Error => return Err(fail(message)),
                    Override::Warn => tracing::warn!("{message}"),
                    Override::Ignore => {}
                }
                value.clone()
            }
            _ => value.clone(),
        };
        out.insert(key.clone(), merged);
    }
    Ok(out)
}
