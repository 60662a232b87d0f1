//! Deep data, as the collection `ansible.utils` has it: `index_of`, `get_path`, `to_paths`, `keep_keys`, `remove_keys`,
//! `replace_keys`.

use minijinja::{Error, ErrorKind, Value as Jinja};

use super::general::By;
use crate::template::call::{Call, Spec, ansible, fail, type_name};
use crate::template::{python, python_type};
use crate::value::{Key, Map, Value};

pub(super) const FILTERS: &[Spec] = &[
    ansible(
        &["ansible.utils.index_of", "index_of"],
        &["data", "test", "value", "key", "fail_on_missing", "wantlist"],
        index_of,
    ),
    ansible(&["ansible.utils.get_path", "get_path"], &["var", "path", "wantlist"], get_path),
    ansible(&["ansible.utils.to_paths", "to_paths"], &["var", "prepend", "wantlist"], to_paths),
    ansible(&["ansible.utils.keep_keys"], &["data", "target", "matching_parameter"], |c| {
        let (data, wanted) = (c.value(0)?, Wanted::read(c)?);
        Ok(keep(&data, &wanted)?.to_jinja())
    }),
    ansible(&["ansible.utils.remove_keys"], &["data", "target", "matching_parameter"], |c| {
        let (data, wanted) = (c.value(0)?, Wanted::read(c)?);
        container(&data)?;
        Ok(remove(&data, &wanted)?.to_jinja())
    }),
    ansible(&["ansible.utils.replace_keys"], &["data", "target", "matching_parameter"], |c| {
        let (data, pairs, by) = (c.value(0)?, pairs(c)?, matching(c)?);
        container(&data)?;
        Ok(replace(&data, &pairs, by)?.to_jinja())
    }),
];

fn index_of(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let data = match call.value(0)? {
        Value::List(items) => items.to_vec(),
        text @ (Value::Str(_) | Value::Int(_) | Value::Float(_)) => vec![Value::from(python::text(&text))],
        other => return Err(fail(format!("a list is needed, not {}", python_type(&other)))),
    };
    let test = call.text(1)?;
    let argument = call.option(2)?;
    let key = call.text_option(3)?;
    if key.is_some()
        && let Some(stranger) = data.iter().find(|item| item.as_map().is_none())
    {
        return Err(fail(format!(
            "with a key every item must be a dictionary, and {} is none",
            python::repr(stranger)
        )));
    }
    let mut found = Vec::new();
    for (at, item) in data.iter().enumerate() {
        let tested = match &key {
            None => item,
            Some(key) => match item.get(key) {
                Some(value) => value,
                None if call.flag(4, false) => {
                    return Err(fail(format!("'{key}' was not found in {} at [{at}]", python::repr(item))));
                }
                None => continue,
            },
        };
        let args: Vec<Jinja> = [Some(tested), argument.as_ref()].into_iter().flatten().map(Value::to_jinja).collect();
        if call.state.perform_test(&test, &args)? {
            found.push(at);
        }
    }
    Ok(match found.as_slice() {
        [only] if !call.flag(5, false) => Jinja::from(*only),
        _ => Jinja::from(found),
    })
}

/// One step of a path.
enum Step {
    Name(String),
    Index(i64),
}

/// The steps of a path such as `a.b[0]['c d']`. It is no template: a path may come from anywhere.
fn steps(path: &str) -> Option<Vec<Step>> {
    let name = |text: &str| crate::value::is_variable_name(text).then(|| Step::Name(text.to_owned()));
    let end = |text: &str| text.find(['.', '[']).unwrap_or(text.len());
    let (first, mut rest) = path.split_at(end(path));
    let mut out = vec![name(first.trim())?];
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let (word, tail) = after.split_at(end(after));
            out.push(match word.parse() {
                Ok(index) => Step::Index(index),
                Err(_) => {
                    name(word).or_else(|| word.chars().all(char::is_alphabetic).then(|| Step::Name(word.into())))?
                }
            });
            rest = tail;
            continue;
        }
        let inner = rest.strip_prefix('[')?;
        let quote = inner.chars().next().filter(|c| matches!(c, '\'' | '"'));
        rest = match quote {
            Some(quote) => {
                let (text, tail) = inner.get(1..)?.split_once(&format!("{quote}]"))?;
                out.push(Step::Name(text.to_owned()));
                tail
            }
            None => {
                let (index, tail) = inner.split_once(']')?;
                out.push(Step::Index(index.trim().parse().ok()?));
                tail
            }
        };
    }
    Some(out)
}

fn get_path(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let path = call.text(1)?;
    let mut here = call.need(0)?.clone();
    if type_name(&here) != "dict" {
        return Err(fail(format!("a dictionary is needed, not {}", type_name(&here))));
    }
    let Some(steps) = steps(&path) else {
        return Err(fail(format!("{} is no path of names, attributes and indices", python::quoted(&path))));
    };
    for (at, step) in steps.iter().enumerate() {
        let next = match step {
            Step::Name(name) => here.get_item(&Jinja::from(name.as_str()))?,
            Step::Index(index) => {
                let length = i64::try_from(here.len().unwrap_or(0)).unwrap_or(i64::MAX);
                here.get_item(&Jinja::from(if *index < 0 { index + length } else { *index }))?
            }
        };
        if next.is_undefined() {
            let shown = match step {
                Step::Name(name) => python::quoted(name),
                Step::Index(index) => index.to_string(),
            };
            let message = match at {
                0 => format!("{shown} is undefined"),
                _ => format!("object of type '{}' has no attribute {shown}", type_name(&here)),
            };
            return Err(Error::new(ErrorKind::UndefinedError, message));
        }
        here = next;
    }
    Ok(if call.flag(2, false) { Jinja::from(vec![here]) } else { here })
}

fn to_paths(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.value(0)?;
    let empty = matches!(&value, Value::Map(map) if map.is_empty()) || matches!(&value, Value::List(l) if l.is_empty());
    let found = if empty {
        value
    } else {
        let mut out = Map::new();
        let prepend = call.text_option(1)?.filter(|p| !p.is_empty());
        flatten(&value, prepend.map(Key::from), &mut out)?;
        Value::map(out)
    };
    Ok(if call.flag(2, false) { Value::list(vec![found]) } else { found }.to_jinja())
}

/// Every value that holds no others, under its path.
fn flatten(value: &Value, path: Option<Key>, out: &mut Map) -> Result<(), Error> {
    match value {
        Value::Map(map) if !map.is_empty() => {
            for (key, inner) in map.iter() {
                flatten(inner, Some(below(path.as_ref(), key)?), out)?;
            }
        }
        Value::List(items) if !items.is_empty() => {
            for (at, inner) in items.iter().enumerate() {
                let before = path.as_ref().map_or(String::new(), ToString::to_string);
                flatten(inner, Some(Key::from(format!("{before}[{at}]"))), out)?;
            }
        }
        leaf => drop(out.insert(path.unwrap_or_else(|| Key::from("")), leaf.clone())),
    }
    Ok(())
}

fn below(path: Option<&Key>, key: &Key) -> Result<Key, Error> {
    let Some(path) = path else { return Ok(key.clone()) };
    let (Some(path), Some(name)) = (path.as_str(), key.as_str()) else {
        return Err(fail(format!("the keys {path} and {key} in it must be strings")));
    };
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    Ok(Key::from(if plain { format!("{path}.{name}") } else { format!("{path}['{name}']") }))
}

fn matching(call: &Call<'_, '_, '_>) -> Result<By, Error> {
    match call.text_option(2)?.as_deref() {
        None | Some("starts_with" | "ends_with" | "regex") => By::read(call, 2),
        Some(other) => Err(fail(format!("matching_parameter is starts_with, ends_with or regex, not '{other}'"))),
    }
}

/// The keys that are asked for.
struct Wanted {
    names: Vec<String>,
    by: By,
}

impl Wanted {
    fn read(call: &Call<'_, '_, '_>) -> Result<Self, Error> {
        let names = match call.option(1)? {
            Some(Value::List(items)) => items.iter().map(python::text).collect(),
            Some(Value::Str(text)) => text.as_str().split(',').map(|name| name.trim().to_owned()).collect(),
            _ => return Err(fail("target must be a list of keys")),
        };
        Ok(Self { names, by: matching(call)? })
    }

    fn holds(&self, key: &Key) -> Result<bool, Error> {
        let Some(name) = key.as_str() else { return Ok(false) };
        for wanted in &self.names {
            if self.by.matches(name, wanted)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn container(data: &Value) -> Result<(), Error> {
    match data {
        Value::List(_) | Value::Map(_) => Ok(()),
        other => Err(fail(format!("a list or dictionary is needed, not {}", python_type(other)))),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::List(items) => items.is_empty(),
        Value::Map(map) => map.is_empty(),
        _ => false,
    }
}

/// What is under the wanted keys, and the way to it.
fn keep(data: &Value, wanted: &Wanted) -> Result<Value, Error> {
    container(data)?;
    let Value::Map(map) = data else {
        let inside = |item: &Value| if container(item).is_ok() { keep(item, wanted) } else { Ok(item.clone()) };
        let items = data.as_list().unwrap_or_default();
        return Ok(Value::list(items.iter().map(inside).collect::<Result<_, _>>()?));
    };
    let mut out = Map::new();
    for (key, value) in map.iter() {
        if wanted.holds(key)? {
            out.insert(key.clone(), value.clone());
        } else if container(value).is_ok() {
            let mut inner = keep(value, wanted)?;
            // Of a list's items those with nothing in them go, unless they all are such.
            if let Value::List(items) = &inner
                && items.iter().any(|item| !is_empty(item))
            {
                inner = Value::list(items.iter().filter(|item| !is_empty(item)).cloned().collect());
            }
            if !is_empty(&inner) {
                out.insert(key.clone(), inner);
            }
        }
    }
    Ok(Value::map(out))
}

/// Everything but what is under the wanted keys.
fn remove(data: &Value, wanted: &Wanted) -> Result<Value, Error> {
    match data {
        Value::Map(map) => {
            let mut out = Map::new();
            for (key, value) in map.iter() {
                if !wanted.holds(key)? {
                    out.insert(key.clone(), remove(value, wanted)?);
                }
            }
            Ok(Value::map(out))
        }
        Value::List(items) => {
            let mut out = Vec::new();
            for item in items.iter().filter(|item| !is_empty(item)) {
                let inner = remove(item, wanted)?;
                if !matches!(&inner, Value::Map(map) if map.is_empty()) {
                    out.push(inner);
                }
            }
            Ok(Value::list(out))
        }
        other => Ok(other.clone()),
    }
}

/// The keys to replace with what replaces them.
fn pairs(call: &Call<'_, '_, '_>) -> Result<Vec<(String, Key)>, Error> {
    let Some(Value::List(items)) = call.option(1)? else {
        return Err(fail("target must be a list of dictionaries with before and after"));
    };
    let pair = |item: &Value| match (item.get("before"), item.get("after")) {
        (Some(before), Some(Value::Str(after))) => Ok((python::text(before), Key::from(after.as_str()))),
        _ => Err(fail("each item of target must have before and after")),
    };
    items.iter().map(pair).collect()
}

fn replace(data: &Value, pairs: &[(String, Key)], by: By) -> Result<Value, Error> {
    match data {
        Value::Map(map) => {
            // The new names come last, in the order they are given, over those that are there.
            let (mut out, mut renamed) = (Map::new(), Vec::new());
            for (key, value) in map.iter() {
                let value = replace(value, pairs, by)?;
                let mut new = None;
                for (at, (before, after)) in pairs.iter().enumerate() {
                    if new.is_none() && by.matches(key.as_str().unwrap_or_default(), before)? {
                        new = Some((at, after.clone()));
                    }
                }
                match new {
                    Some((at, new)) => renamed.push((at, new, value)),
                    None => drop(out.insert(key.clone(), value)),
                }
            }
            renamed.sort_by_key(|(at, ..)| *at);
            for (_, key, value) in renamed {
                out.insert(key, value);
            }
            Ok(Value::map(out))
        }
        Value::List(items) => {
            Ok(Value::list(items.iter().map(|item| replace(item, pairs, by)).collect::<Result<_, _>>()?))
        }
        other => Ok(other.clone()),
    }
}
