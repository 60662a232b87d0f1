//! Lists: `lists_union` and its family, `lists_mergeby`, `counter`, `accumulate`, `version_sort`.

use minijinja::{Error, Value as Jinja};

use super::{dicts::key, names};
use crate::template::call::{Call, Spec, ansible, fail, items};
use crate::template::filters::dicts::{Lists, merge};
use crate::template::tests::versions::loose;
use crate::template::{python, python_type};
use crate::value::{Map, Value};

pub(super) const FILTERS: &[Spec] = &[
    ansible(names!("lists_union"), &["*lists", "**options"], |c| {
        fold(c, true, |a, b| a.into_iter().chain(b).collect())
    }),
    ansible(names!("lists_intersect"), &["*lists", "**options"], |c| {
        fold(c, false, |a, b| a.into_iter().filter(|item| b.contains(item)).collect())
    }),
    ansible(names!("lists_difference"), &["*lists", "**options"], |c| {
        fold(c, false, |a, b| a.into_iter().filter(|item| !b.contains(item)).collect())
    }),
    ansible(names!("lists_symmetric_difference"), &["*lists", "**options"], |c| {
        fold(c, true, |a, b| {
            let both: Vec<Value> = a.iter().filter(|item| b.contains(item)).cloned().collect();
            a.into_iter().chain(b).filter(|item| !both.contains(item)).collect()
        })
    }),
    ansible(names!("lists_mergeby"), &["*lists", "**options"], lists_mergeby),
    ansible(names!("counter"), &["sequence"], counter),
    ansible(names!("accumulate"), &["sequence"], accumulate),
    ansible(names!("version_sort"), &["value", "reverse"], version_sort),
];

fn arguments(call: &Call<'_, '_, '_>) -> Result<Vec<Value>, Error> {
    call.rest.iter().map(Value::from_jinja).collect()
}

/// The lists, those that hold nothing but lists replaced by what they hold, and the empty ones left out.
fn one_level_less(lists: Vec<Value>) -> Result<Vec<Value>, Error> {
    let mut out = Vec::new();
    for list in lists {
        match &list {
            Value::List(inner) if inner.iter().all(|item| matches!(item, Value::List(_))) => {
                out.extend(inner.iter().cloned());
            }
            Value::List(_) => out.push(list),
            other => return Err(fail(format!("every argument must be a list, and {} is none", python::repr(other)))),
        }
    }
    Ok(out)
}

fn unique(from: Vec<Value>) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::new();
    for item in from {
        if !out.contains(&item) {
            out.push(item);
        }
    }
    out
}

/// Two lists made one.
type Step = fn(Vec<Value>, Vec<Value>) -> Vec<Value>;

/// One list of several, each item once; a list alone stays as it is.
fn fold(call: &mut Call<'_, '_, '_>, joins: bool, step: Step) -> Result<Jinja, Error> {
    let options = call.more()?;
    if let Some(other) = options.keys().find(|k| k.as_str() != Some("flatten")) {
        return Err(fail(format!("got an unexpected keyword argument '{other}'")));
    }
    let mut lists = arguments(call)?;
    if options.get("flatten").is_some_and(crate::template::truthy) {
        lists = one_level_less(lists)?;
    }
    if let [only] = lists.as_slice() {
        return Ok(only.to_jinja());
    }
    // Python joins only what is of one type.
    if joins && let [first, rest @ ..] = lists.as_slice() {
        let kind = python_type(first);
        if let Some(other) = rest.iter().find(|other| python_type(other) != kind) {
            return Err(fail(format!("can only concatenate {kind} (not \"{}\") to {kind}", python_type(other))));
        }
    }
    let mut lists = lists.iter();
    let first = lists.next().map_or(Ok(Vec::new()), items)?;
    let mut out = unique(first);
    for list in lists {
        out = unique(step(out, unique(items(list)?)));
    }
    Ok(Value::list(out).to_jinja())
}

fn lists_mergeby(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let options = call.more()?;
    let (mut recursive, mut how) = (false, Lists::Replace);
    for (name, value) in &options {
        match name.as_str() {
            Some("recursive") => recursive = crate::template::truthy(value),
            Some("list_merge") => how = Lists::parse(value.as_str().unwrap_or_default())?,
            _ => return Err(fail("'recursive' and 'list_merge' are the only named arguments")),
        }
    }
    let mut lists = arguments(call)?;
    let index = lists.pop().filter(|_| !lists.is_empty());
    let Some(index) = index else { return Err(fail("a list and the name of an attribute are needed")) };
    let lists = one_level_less(lists)?;
    match lists.as_slice() {
        [] => return Ok(Value::list(Vec::new()).to_jinja()),
        [only] => return Ok(only.to_jinja()),
        _ => {}
    }
    let Value::Str(name) = &index else {
        return Err(fail(format!("the name of the attribute must be a string, not {}", python_type(&index))));
    };
    let mut merged = Map::new();
    for list in &lists {
        for item in items(list)? {
            let Value::Map(entry) = &item else {
                return Err(fail(format!("the lists must hold dictionaries, and {} is none", python::repr(&item))));
            };
            let Some(by) = entry.get(name.as_str()) else { continue };
            let by = key(by)?;
            let together = match merged.get(&by) {
                Some(Value::Map(before)) => Value::map(merge(before, entry, recursive, how)),
                _ => item.clone(),
            };
            merged.insert(by, together);
        }
    }
    let mut sorted: Vec<(Value, Value)> = merged.into_iter().map(|(by, item)| (by.to_value(), item)).collect();
    if sorted.len() > 1 {
        python::sort_by_key(&mut sorted, false)?;
    }
    Ok(Value::list(sorted.into_iter().map(|(_, item)| item).collect()).to_jinja())
}

/// The items of a list or string, and of nothing else.
fn sequence(call: &Call<'_, '_, '_>) -> Result<Vec<Value>, Error> {
    match call.value(0)? {
        value @ (Value::List(_) | Value::Str(_)) => items(&value),
        other => Err(fail(format!("a list or string is needed, not {}", python_type(&other)))),
    }
}

fn counter(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let mut counts = Map::new();
    for item in sequence(call)? {
        let count = counts.entry(key(&item)?).or_insert(Value::Int(0));
        *count = Value::Int(count.as_int().unwrap_or(0) + 1);
    }
    Ok(Value::map(counts).to_jinja())
}

fn accumulate(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let mut out: Vec<Value> = Vec::new();
    for item in sequence(call)? {
        out.push(match out.last() {
            Some(so_far) => sum(so_far, &item)?,
            None => item,
        });
    }
    Ok(Value::list(out).to_jinja())
}

/// Python's `a + b`.
fn sum(a: &Value, b: &Value) -> Result<Value, Error> {
    let whole = |v: &Value| v.as_int().or(v.as_bool().map(i64::from));
    let number = |v: &Value| match v {
        Value::Float(f) => Some(*f),
        other => whole(other).map(|n| n as f64),
    };
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => return Ok(Value::from(format!("{}{}", a.as_str(), b.as_str()))),
        (Value::List(a), Value::List(b)) => return Ok(Value::list([a.as_slice(), b.as_slice()].concat())),
        _ => {}
    }
    if let (Some(a), Some(b)) = (whole(a), whole(b))
        && let Some(sum) = a.checked_add(b)
    {
        return Ok(Value::Int(sum));
    }
    match (number(a), number(b)) {
        (Some(a), Some(b)) => Ok(Value::Float(a + b)),
        _ => {
            let (a, b) = (python_type(a), python_type(b));
            Err(fail(format!("unsupported operand type(s) for +: '{a}' and '{b}'")))
        }
    }
}

fn version_sort(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let reverse = call.flag(1, false);
    let mut all = call.items(0)?;
    if all.len() > 1
        && let Some(stranger) = all.iter().find(|item| item.as_str().is_none_or(str::is_empty))
    {
        return Err(fail(format!("{} is no version", python::repr(stranger))));
    }
    let mut error = None;
    all.sort_by(|a, b| {
        let order = loose(a.as_str().unwrap_or_default(), b.as_str().unwrap_or_default()).unwrap_or_else(|e| {
            error.get_or_insert(e);
            std::cmp::Ordering::Equal
        });
        if reverse { order.reverse() } else { order }
    });
    match error {
        Some(message) => Err(fail(message)),
        None => Ok(Value::list(all).to_jinja()),
    }
}
