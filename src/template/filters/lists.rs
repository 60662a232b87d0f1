//! Lists as sets, and lists made of lists: `unique`, `difference`, `zip`, `product`, `flatten`, `subelements`, `extract`, …

use minijinja::value::Tuple;
use minijinja::{Error, Value as Jinja};

use crate::template::call::{Call, Spec, ansible, fail, items, to_int};
use crate::template::pyrandom::Random;
use crate::template::{python, python_type};
use crate::value::{Key, Value};

pub(super) const FILTERS: &[Spec] = &[
    ansible(&["flatten"], &["mylist", "levels", "skip_nulls"], flatten),
    ansible(&["unique"], &["a", "case_sensitive", "attribute"], unique),
    ansible(&["difference"], &["a", "b"], |c| {
        let (a, b) = (c.items(0)?, c.items(1)?);
        set(a.into_iter().filter(|item| !b.contains(item)))
    }),
    ansible(&["intersect"], &["a", "b"], |c| {
        let (a, b) = (c.items(0)?, c.items(1)?);
        set(a.into_iter().filter(|item| b.contains(item)))
    }),
    ansible(&["union"], &["a", "b"], |c| {
        let (a, b) = (c.items(0)?, c.items(1)?);
        set(a.into_iter().chain(b))
    }),
    ansible(&["symmetric_difference"], &["a", "b"], |c| {
        let (a, b) = (c.items(0)?, c.items(1)?);
        let both: Vec<Value> = a.iter().filter(|item| b.contains(item)).cloned().collect();
        set(a.into_iter().chain(b).filter(|item| !both.contains(item)))
    }),
    ansible(&["zip"], &["*lists"], |c| zip(c, None)),
    ansible(&["zip_longest"], &["*lists", "**options"], zip_longest),
    ansible(&["product"], &["*lists", "**options"], product),
    ansible(&["combinations"], &["list", "r"], |c| choose(c, false)),
    ansible(&["permutations"], &["list", "r"], |c| choose(c, true)),
    ansible(&["subelements"], &["obj", "subelements", "skip_missing"], subelements),
    ansible(&["extract"], &["item", "container", "morekeys"], extract),
    ansible(&["random"], &["end", "start", "step", "seed"], random),
    ansible(&["shuffle"], &["mylist", "seed"], shuffle),
];

/// How many tuples a filter makes at most.
const MAX_TUPLES: usize = 5_000_000;

fn set(found: impl Iterator<Item = Value>) -> Result<Jinja, Error> {
    let mut out: Vec<Value> = Vec::new();
    for item in found {
        if !out.contains(&item) {
            out.push(item);
        }
    }
    Ok(Value::list(out).to_jinja())
}

fn unique(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let attribute = call.text_option(2)?;
    let given = call.arg(1).filter(|v| !v.is_none()).cloned();
    let all = call.items(0)?;
    let mut keys = Vec::with_capacity(all.len());
    for item in &all {
        match unique_key(item, attribute.as_deref(), given.as_ref().is_some_and(Jinja::is_true)) {
            Ok(key) => keys.push(key),
            // As in the reference: with what Python cannot hash, items are compared as they are.
            Err(_) if attribute.is_none() && given.as_ref().is_none_or(Jinja::is_true) => return set(all.into_iter()),
            Err(reason) => {
                return Err(fail(format!(
                    "Jinja2's unique filter failed and we cannot fall back to Ansible's version as it does not support \
                     the parameters supplied: {reason}"
                )));
            }
        }
    }
    let mut seen: Vec<Value> = Vec::new();
    let mut out = Vec::new();
    for (item, key) in all.into_iter().zip(keys) {
        if !seen.contains(&key) {
            seen.push(key);
            out.push(item);
        }
    }
    Ok(Value::list(out).to_jinja())
}

/// What `unique` compares an item by, or why it has none.
fn unique_key(item: &Value, attribute: Option<&str>, case_sensitive: bool) -> Result<Value, String> {
    let mut key = item.clone();
    for part in attribute.iter().flat_map(|a| a.split('.')) {
        key = subscript(&key, &Value::from(part)).map_err(|e| e.detail().unwrap_or_default().to_owned())?;
    }
    match &key {
        Value::Str(text) if !case_sensitive => Ok(Value::from(text.as_str().to_lowercase())),
        // Truth is a number.
        Value::Bool(flag) => Ok(Value::Int(i64::from(*flag))),
        Value::List(_) | Value::Map(_) => Err(format!("unhashable type: '{}'", python_type(&key))),
        _ => Ok(key),
    }
}

fn flatten(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let levels = call.option(1)?.map(|v| to_int(&v)).transpose()?;
    let skip_nulls = call.flag(2, true);
    let mut out = Vec::new();
    flat(&mut out, call.items(0)?, levels, skip_nulls);
    Ok(Value::list(out).to_jinja())
}

/// The items of lists in lists, down to `levels`.
pub(in crate::template) fn flat(out: &mut Vec<Value>, from: Vec<Value>, levels: Option<i64>, skip_nulls: bool) {
    for item in from {
        match item {
            Value::Null if skip_nulls => {}
            Value::Str(ref s) if skip_nulls && matches!(s.as_str(), "None" | "null") => {}
            Value::List(inner) if levels.is_none_or(|n| n >= 1) => {
                flat(out, inner.to_vec(), levels.map(|n| n - 1), skip_nulls);
            }
            other => out.push(other),
        }
    }
}

fn tuple(items: Vec<Value>) -> Jinja {
    Jinja::from(Tuple::from(items.iter().map(Value::to_jinja).collect::<Vec<_>>()))
}

fn lists(call: &Call<'_, '_, '_>) -> Result<Vec<Vec<Value>>, Error> {
    call.rest.iter().map(|list| items(&Value::from_jinja(list)?)).collect()
}

fn zip(call: &Call<'_, '_, '_>, fill: Option<&Value>) -> Result<Jinja, Error> {
    let lists = lists(call)?;
    let lengths = lists.iter().map(Vec::len);
    let length = if fill.is_some() { lengths.max() } else { lengths.min() }.unwrap_or(0);
    let row = |i: usize| tuple(lists.iter().map(|list| list.get(i).or(fill).cloned().unwrap_or_default()).collect());
    Ok((0..length).map(row).collect())
}

fn zip_longest(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let more = call.more()?;
    if let Some(other) = more.keys().find(|k| k.as_str() != Some("fillvalue")) {
        return Err(fail(format!("zip_longest() got an unexpected keyword argument '{other}'")));
    }
    zip(call, Some(more.get("fillvalue").unwrap_or(&Value::Null)))
}

fn product(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let repeat = call.more()?.get("repeat").map(to_int).transpose()?.unwrap_or(1);
    let once = lists(call)?;
    let lists: Vec<&Vec<Value>> = (0..repeat).flat_map(|_| once.iter()).collect();
    let rows = cartesian(&lists)?;
    Ok(rows.into_iter().map(tuple).collect())
}

/// One item of each list, the last list's changing fastest.
pub(in crate::template) fn cartesian(lists: &[&Vec<Value>]) -> Result<Vec<Vec<Value>>, Error> {
    let count = lists.iter().try_fold(1usize, |n, list| n.checked_mul(list.len()));
    if count.is_none_or(|n| n > MAX_TUPLES) {
        return Err(fail("the product has too many items"));
    }
    let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
    for list in lists {
        rows = rows
            .iter()
            .flat_map(|row| list.iter().map(|item| row.iter().cloned().chain([item.clone()]).collect()))
            .collect();
    }
    Ok(rows)
}

fn choose(call: &mut Call<'_, '_, '_>, ordered: bool) -> Result<Jinja, Error> {
    let all = call.items(0)?;
    let count = match call.option(1)? {
        Some(n) => to_int(&n)?,
        None if ordered => i64::try_from(all.len()).unwrap_or(i64::MAX),
        None => return Err(fail("combinations() missing 1 required positional argument: 'r'")),
    };
    let count = usize::try_from(count).map_err(|_| fail("r must be non-negative"))?;
    let mut out = Vec::new();
    if count <= all.len() {
        extend(&mut out, &mut Vec::new(), all.len(), count, ordered)?;
    }
    Ok(out.into_iter().map(|row: Vec<usize>| tuple(row.into_iter().map(|i| all[i].clone()).collect())).collect())
}

fn extend(
    out: &mut Vec<Vec<usize>>,
    row: &mut Vec<usize>,
    length: usize,
    count: usize,
    ordered: bool,
) -> Result<(), Error> {
    if out.len() > MAX_TUPLES {
        return Err(fail("there are too many combinations"));
    }
    if row.len() == count {
        out.push(row.clone());
        return Ok(());
    }
    let from = if ordered { 0 } else { row.last().map_or(0, |last| last + 1) };
    for i in from..length {
        if ordered && row.contains(&i) {
            continue;
        }
        row.push(i);
        extend(out, row, length, count, ordered)?;
        row.pop();
    }
    Ok(())
}

fn subelements(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let objects = match call.value(0)? {
        Value::Map(map) => map.values().cloned().collect(),
        Value::List(items) => items.to_vec(),
        _ => return Err(fail("obj must be a list of dicts or a nested dict")),
    };
    let path: Vec<String> = match call.value(1)? {
        Value::List(parts) => parts.iter().map(python::text).collect(),
        Value::Str(text) => text.as_str().split('.').map(ToOwned::to_owned).collect(),
        _ => return Err(fail("subelements must be a list or a string")),
    };
    let pairs = pairs(objects, &path, call.flag(2, false))?;
    Ok(pairs.into_iter().map(|(a, b)| tuple(vec![a, b])).collect())
}

/// Each object with each item of the list that a path leads to inside it.
pub(in crate::template) fn pairs(
    objects: Vec<Value>,
    path: &[String],
    skip_missing: bool,
) -> Result<Vec<(Value, Value)>, Error> {
    let mut out = Vec::new();
    for object in objects {
        let mut values = Some(object.clone());
        for key in path {
            let here = values.take().unwrap_or_default();
            let Value::Map(map) = &here else {
                let (got, kind) = (python::text(&here), python_type(&here));
                let why = match kind {
                    "str" => "string indices must be integers, not 'str'".to_owned(),
                    "list" => "list indices must be integers or slices, not str".to_owned(),
                    kind => format!("'{kind}' object is not subscriptable"),
                };
                return Err(fail(format!("the key {key} should point to a dictionary, got '{got}': {why}")));
            };
            match map.get(key.as_str()) {
                Some(value) => values = Some(value.clone()),
                None if skip_missing => break,
                None => {
                    let got = python::text(&here);
                    return Err(fail(format!("could not find '{key}' key in iterated item {got}")));
                }
            }
        }
        match values {
            None => {}
            Some(Value::List(items)) => out.extend(items.iter().map(|item| (object.clone(), item.clone()))),
            Some(other) => {
                let key = path.last().cloned().unwrap_or_default();
                return Err(fail(format!("the key '{key}' should point to a list, got {}", python::repr(&other))));
            }
        }
    }
    Ok(out)
}

/// Python's `container[key]`.
fn subscript(container: &Value, key: &Value) -> Result<Value, Error> {
    let found = match (container, key) {
        (Value::Map(map), key) => Key::from_value(key).and_then(|key| map.get(&key)).cloned(),
        (Value::List(items), Value::Int(i)) => {
            let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
            usize::try_from(if *i < 0 { i + length } else { *i }).ok().and_then(|i| items.get(i)).cloned()
        }
        (Value::Str(text), index) => to_int(index).ok().and_then(|at| {
            let at = usize::try_from(at).ok()?;
            text.as_str().chars().nth(at).map(|c| Value::from(c.to_string()))
        }),
        (Value::List(items), Value::Str(text)) => {
            text.as_str().parse::<usize>().ok().and_then(|i| items.get(i)).cloned()
        }
        _ => None,
    };
    found.ok_or_else(|| missing(container, key))
}

fn missing(container: &Value, key: &Value) -> Error {
    let message = format!("object of type '{}' has no attribute {}", python_type(container), python::repr(key));
    Error::new(minijinja::ErrorKind::UndefinedError, message)
}

fn extract(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let mut keys = vec![call.value(0)?];
    match call.option(2)? {
        Some(Value::List(more)) => keys.extend(more.iter().cloned()),
        Some(one) => keys.push(one),
        None => {}
    }
    // Entry by entry, so that what nobody asked for is not evaluated.
    let mut here = call.need(1)?.clone();
    for key in &keys {
        let next = here.get_item(&key.to_jinja())?;
        if next.is_undefined() {
            let kind = crate::template::call::type_name(&here);
            let message = format!("object of type '{kind}' has no attribute {}", python::repr(key));
            return Err(Error::new(minijinja::ErrorKind::UndefinedError, message));
        }
        here = next;
    }
    Ok(here)
}

fn random(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let mut source = Random::new(call.option(3)?.as_ref());
    let value = match call.value(0)? {
        Value::Bool(flag) => Value::Int(i64::from(flag)),
        other => other,
    };
    match value {
        Value::Int(end) => {
            let start = call.int(1, 0)?;
            let step = call.int(2, 1)?;
            if step == 0 {
                return Err(fail("zero step for randrange()"));
            }
            let width = end.saturating_sub(start);
            let count = if step > 0 { (width + step - 1).div_euclid(step) } else { (width + step + 1) / step };
            let count = u64::try_from(count).ok().filter(|n| *n > 0);
            let Some(count) = count else {
                return Err(fail(format!("empty range for randrange() ({start}, {end}, {width})")));
            };
            Ok(Jinja::from(start + step * i64::try_from(source.below(count)).unwrap_or(0)))
        }
        list @ (Value::List(_) | Value::Str(_) | Value::Map(_)) => {
            if call.arg(1).is_some_and(|v| !v.is_none()) || call.arg(2).is_some_and(|v| !v.is_none()) {
                return Err(fail("start and step can only be used with integer values"));
            }
            let mut all = items(&list)?;
            if all.is_empty() {
                return Err(fail("Cannot choose from an empty sequence"));
            }
            let at = usize::try_from(source.below(all.len() as u64)).unwrap_or(0);
            Ok(all.swap_remove(at).to_jinja())
        }
        _ => Err(fail("random can only be used on sequences and integers")),
    }
}

fn shuffle(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.value(0)?;
    // As in the reference: what is not a list comes back as it is.
    let Ok(mut all) = items(&value) else { return Ok(value.to_jinja()) };
    Random::new(call.option(1)?.as_ref()).shuffle(&mut all);
    Ok(Value::list(all).to_jinja())
}
