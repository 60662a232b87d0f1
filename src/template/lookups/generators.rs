//! Lookups that make lists of lists: `items`, `dict`, `nested`, `together`, `sequence`, `subelements`, …

use minijinja::{Error, Value as Jinja};

use super::Lookup;
use crate::template::call::{self, fail, to_int, type_name};
use crate::template::filters::lists;
use crate::template::printf::Arguments;
use crate::template::pyrandom::Random;
use crate::template::{printf, python, python_type};
use crate::value::{Map, Value};

type Found = Result<Vec<Value>, Error>;

/// One level of lists taken apart.
fn flat(terms: &[Value]) -> Vec<Value> {
    terms
        .iter()
        .flat_map(|term| match term {
            Value::List(inner) => inner.to_vec(),
            other => vec![other.clone()],
        })
        .collect()
}

pub(super) fn list(lookup: &Lookup<'_>) -> Found {
    Ok(lookup.terms.clone())
}

pub(super) fn items(lookup: &Lookup<'_>) -> Found {
    Ok(flat(&lookup.terms))
}

pub(super) fn flattened(lookup: &Lookup<'_>) -> Found {
    let mut out = Vec::new();
    level(&mut out, &lookup.terms);
    Ok(out)
}

/// The items of lists in lists, texts without the space around them. As in the reference: the word for nothing ends its list.
fn level(out: &mut Vec<Value>, items: &[Value]) {
    for item in items {
        match item {
            Value::Str(text) if matches!(text.as_str(), "None" | "null") => break,
            Value::Str(text) => out.push(Value::from(text.as_str().trim())),
            Value::List(inner) => level(out, inner),
            other => out.push(other.clone()),
        }
    }
}

pub(super) fn indexed_items(lookup: &Lookup<'_>) -> Found {
    let items = flat(&lookup.terms).into_iter().enumerate();
    Ok(items.map(|(i, item)| Value::list(vec![Value::from(i), item])).collect())
}

pub(super) fn dict(lookup: &Lookup<'_>) -> Found {
    let mut out = Vec::new();
    for term in &lookup.terms {
        let Value::Map(map) = term else {
            let (text, kind) = (python::text(term), python_type(term));
            return Err(fail(format!(
                "the 'dict' lookup plugin expects a dictionary, got '{text}' of type <class '{kind}'>)"
            )));
        };
        for (key, value) in map.iter() {
            let entry = Map::from_iter([("key".into(), key.to_value()), ("value".into(), value.clone())]);
            out.push(Value::map(entry));
        }
    }
    Ok(out)
}

/// What each term goes through: for `cartesian` a text or a number is one thing, elsewhere it is what Python makes of it.
fn term_lists(lookup: &Lookup<'_>) -> Result<Vec<Vec<Value>>, Error> {
    let of = |term: &Value| match term {
        Value::List(_) | Value::Map(_) => call::items(term),
        other if lookup.name == "cartesian" => Ok(vec![other.clone()]),
        other => call::items(other),
    };
    lookup.terms.iter().map(of).collect()
}

pub(super) fn nested(lookup: &Lookup<'_>) -> Found {
    let lists = term_lists(lookup)?;
    if lists.is_empty() {
        return Err(fail(format!("with_{} requires at least one element in the nested list", lookup.name)));
    }
    let rows = lists::cartesian(&lists.iter().collect::<Vec<_>>())?;
    let deep = |row: Vec<Value>| {
        let mut out = Vec::new();
        lists::flat(&mut out, row, None, false);
        out
    };
    let whole = lookup.name == "cartesian";
    Ok(rows.into_iter().map(|row| Value::list(if whole { flat(&row) } else { deep(row) })).collect())
}

pub(super) fn together(lookup: &Lookup<'_>) -> Found {
    let lists = term_lists(lookup)?;
    if lists.is_empty() {
        return Err(fail("with_together requires at least one element in each list"));
    }
    let length = lists.iter().map(Vec::len).max().unwrap_or(0);
    let row = |i: usize| lists.iter().map(|list| list.get(i).cloned().unwrap_or_default()).collect::<Vec<_>>();
    Ok((0..length).map(|i| Value::list(flat(&row(i)))).collect())
}

pub(super) fn random_choice(lookup: &Lookup<'_>) -> Found {
    if lookup.terms.is_empty() {
        return Ok(Vec::new());
    }
    let at = usize::try_from(Random::new(None).below(lookup.terms.len() as u64)).unwrap_or(0);
    Ok(lookup.terms.get(at).cloned().into_iter().collect())
}

pub(super) fn subelements(lookup: &Lookup<'_>) -> Found {
    let wrong = |what: &str| fail(format!("subelements lookup expects a list of two or three items, {what}"));
    let (objects, path, flags) = match lookup.terms.as_slice() {
        [objects, path] => (objects, path, None),
        [objects, path, flags] => (objects, path, Some(flags)),
        _ => return Err(wrong("")),
    };
    let (Value::List(_) | Value::Map(_), Some(path)) = (objects, path.as_str()) else {
        return Err(wrong("first a dict or a list, second a string pointing to the subkey"));
    };
    let skipped = |object: &Value| object.get("skipped").is_some_and(crate::template::truthy);
    let objects: Vec<Value> = match objects {
        Value::List(items) => items.to_vec(),
        other if skipped(other) => Vec::new(),
        other => other.as_map().map(|map| map.values().cloned().collect()).unwrap_or_default(),
    };
    let skip = match flags {
        None => false,
        Some(Value::Map(flags)) => flags.get("skip_missing").is_some_and(|v| v.to_bool().unwrap_or(false)),
        Some(_) => return Err(wrong("the optional third item must be a dict with flags skip_missing")),
    };
    let path: Vec<String> = path.split('.').map(ToOwned::to_owned).collect();
    let mut pairs = Vec::new();
    for object in objects.into_iter().filter(|object| !skipped(object)) {
        let items = elements(&object, &path, skip)?;
        pairs.extend(items.into_iter().map(|item| (object.clone(), item)));
    }
    Ok(pairs.into_iter().map(|(object, item)| Value::list(vec![without(&object, &path), item])).collect())
}

/// An object without the list that was gone through, as the reference gives it.
fn without(object: &Value, path: &[String]) -> Value {
    let (Value::Map(map), Some((first, rest))) = (object, path.split_first()) else { return object.clone() };
    let mut map = map.as_ref().clone();
    if rest.is_empty() {
        map.shift_remove(first.as_str());
    } else if let Some(inner) = map.get_mut(first.as_str()) {
        *inner = without(inner, rest);
    }
    Value::map(map)
}

/// The list that a path leads to; with `skip` none where it leads nowhere.
fn elements(object: &Value, path: &[String], skip: bool) -> Result<Vec<Value>, Error> {
    let mut here = object;
    for (i, key) in path.iter().enumerate() {
        let Value::Map(map) = here else {
            let before = i.checked_sub(1).and_then(|i| path.get(i)).unwrap_or(key);
            let got = python::text(here);
            return if skip {
                Ok(Vec::new())
            } else {
                Err(fail(format!("the key {before} should point to a dictionary, got '{got}'")))
            };
        };
        match map.get(key.as_str()) {
            Some(value) => here = value,
            None if skip => return Ok(Vec::new()),
            None => {
                let got = python::text(here);
                return Err(fail(format!("could not find '{key}' key in iterated item '{got}'")));
            }
        }
    }
    match here {
        Value::List(items) => Ok(items.to_vec()),
        other => {
            let key = path.last().cloned().unwrap_or_default();
            Err(fail(format!("the key {key} should point to a list, got '{}'", python::text(other))))
        }
    }
}

/// What a sequence is described by.
#[derive(Default)]
struct Sequence {
    start: Option<i64>,
    end: Option<i64>,
    count: Option<i64>,
    stride: Option<i64>,
    format: Option<String>,
}

/// How long a sequence may be.
const MAX_LENGTH: i64 = 10_000_000;

impl Sequence {
    fn set(&mut self, name: &str, value: &Value) -> Result<(), Error> {
        let number = || {
            to_int(value).map(Some).map_err(|_| {
                fail(format!(
                    "Config '{name}' for 'sequence' lookup plugin from 'Direct' has an invalid value: Invalid value provided \
                     for 'integer': {}",
                    python::repr(value)
                ))
            })
        };
        match name {
            "start" => self.start = number()?,
            "end" => self.end = number()?,
            "count" => self.count = number()?,
            "stride" => self.stride = number()?,
            "format" => self.format = Some(python::text(value)),
            other => return Err(fail(format!("unrecognized arguments to with_sequence: ['{other}']"))),
        }
        Ok(())
    }

    /// `[start-]end[/stride][:format]`; whether the text is one.
    fn shortcut(&mut self, text: &str) -> Result<bool, Error> {
        let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
        let (numbers, format) = text.split_once(':').map_or((text, None), |(n, f)| (n, Some(f)));
        let (range, stride) = numbers.split_once('/').map_or((numbers, None), |(r, s)| (r, Some(s)));
        let (start, end) = range.split_once('-').map_or((None, range), |(s, e)| (Some(s), e));
        let digits = start.is_none() && !end.chars().all(|c| c.is_ascii_digit());
        if digits || !word(end) || start.is_some_and(|s| !word(s)) || stride.is_some_and(|s| !word(s)) {
            return Ok(false);
        }
        for (name, part) in [("start", start), ("end", Some(end)), ("stride", stride), ("format", format)] {
            if let Some(part) = part {
                self.set(name, &Value::from(part))?;
            }
        }
        Ok(true)
    }

    fn run(self, out: &mut Vec<Value>) -> Result<(), Error> {
        let start = self.start.unwrap_or(1);
        let end = match (self.end, self.count) {
            (Some(_), Some(_)) => return Err(fail("can't specify both count and end in with_sequence")),
            (None, None) => return Err(fail("must specify count or end in with_sequence")),
            (None, Some(0)) => return Ok(()),
            (None, Some(count)) => {
                let stride = self.stride.unwrap_or(1);
                // Not the last number when the stride is negative; so it is in the reference.
                count.checked_mul(stride).and_then(|n| n.checked_add(start - 1)).ok_or_else(|| fail("too long"))?
            }
            (Some(end), None) => end,
        };
        let stride = self.stride.unwrap_or(1);
        if stride > 0 && end < start {
            return Err(fail("to count backwards make stride negative"));
        }
        if stride < 0 && end > start {
            return Err(fail("to count forward don't make stride negative"));
        }
        if stride == 0 {
            return Ok(());
        }
        if (end.abs_diff(start) / stride.unsigned_abs()) > MAX_LENGTH.unsigned_abs() {
            return Err(fail("the sequence is too long"));
        }
        let format = self.format.unwrap_or_else(|| "%d".to_owned());
        if !format.contains('%') {
            return Err(fail(format!("bad formatting string: {format}")));
        }
        let mut at = start;
        while if stride > 0 { at <= end } else { at >= end } {
            let text = printf::format(&format, Arguments { list: vec![Jinja::from(at)], mapping: None }, type_name)
                .map_err(|_| fail(format!("problem formatting {at} with {}", python::quoted(&format))))?;
            out.push(Value::from(text));
            let Some(next) = at.checked_add(stride) else { break };
            at = next;
        }
        Ok(())
    }
}

pub(super) fn sequence(lookup: &Lookup<'_>) -> Found {
    let mut out = Vec::new();
    let from_options = || -> Result<Sequence, Error> {
        let mut sequence = Sequence::default();
        for (name, value) in &lookup.options {
            sequence.set(name.as_str().unwrap_or_default(), value)?;
        }
        Ok(sequence)
    };
    if lookup.terms.is_empty() && !lookup.options.is_empty() {
        from_options()?.run(&mut out)?;
    }
    for term in &lookup.terms {
        let mut sequence = from_options()?;
        let text = python::text(term);
        if term.as_str().is_none() {
            let kind = crate::template::python_type(term);
            return Err(fail(format!(
                "unknown error parsing with_sequence arguments: {text}. Error was: expected string or bytes-like object, \
                 got '{kind}'"
            )));
        }
        if !sequence.shortcut(text.trim())? {
            let words = shell_words::split(&text).map_err(|e| fail(e.to_string()))?;
            for word in words {
                let Some((name, value)) = word.split_once('=') else {
                    return Err(fail("unrecognized arguments to with_sequence: ['_raw_params']"));
                };
                sequence.set(name, &Value::from(value))?;
            }
        }
        sequence.run(&mut out)?;
    }
    Ok(out)
}
