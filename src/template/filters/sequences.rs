//! Jinja's filters of sequences where the engine's differ: `sort`, `min`, `max`, `dictsort`, `select`, `selectattr`, `length`, `reverse`, …

use minijinja::value::{Kwargs, Tuple, ValueKind};
use minijinja::{Error, ErrorKind, Value as Jinja};

use crate::template::call::{Call, Spec, ansible, each, fail, inner, is_missing, type_name, undefined};
use crate::template::python;
use crate::value::Value;

pub(super) const FILTERS: &[Spec] = &[
    ansible(&["length", "count"], &["obj"], |c| {
        let value = c.need(0)?;
        let length = value.len().or_else(|| value.try_iter().ok().map(Iterator::count));
        match length.filter(|_| !value.is_none()) {
            Some(length) => Ok(Jinja::from(length)),
            None => Err(fail(format!("object of type '{}' has no len()", type_name(value)))),
        }
    }),
    ansible(&["list"], &["value"], |c| {
        let value = c.need(0)?;
        let items = each(value)?.collect::<Result<Vec<Jinja>, _>>()?;
        all_there(c, &items)?;
        Ok(Jinja::from(items))
    }),
    ansible(&["reverse"], &["value"], |c| {
        let value = c.need(0)?.clone();
        if let Err(refusal) = each(&value) {
            let refusal = refusal.detail().unwrap_or_default();
            return Err(fail(format!("argument must be iterable: {refusal}")));
        }
        if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
            let items: Vec<Jinja> = value.try_iter()?.collect();
            all_there(c, &items)?;
        }
        value.reverse()
    }),
    ansible(&["sort"], &["value", "reverse", "case_sensitive", "attribute"], sort),
    ansible(&["min"], &["value", "case_sensitive", "attribute"], |c| extreme(c, false)),
    ansible(&["max"], &["value", "case_sensitive", "attribute"], |c| extreme(c, true)),
    ansible(&["first"], &["seq"], |c| end(c, false)),
    ansible(&["last"], &["seq"], |c| end(c, true)),
    ansible(&["sum"], &["iterable", "attribute", "start"], sum),
    ansible(&["dictsort"], &["value", "case_sensitive", "by", "reverse"], dictsort),
    ansible(&["select"], &["value", "*test", "**more"], |c| select(c, false, false)).lenient(),
    ansible(&["reject"], &["value", "*test", "**more"], |c| select(c, false, true)).lenient(),
    ansible(&["selectattr"], &["value", "*test", "**more"], |c| select(c, true, false)).lenient(),
    ansible(&["rejectattr"], &["value", "*test", "**more"], |c| select(c, true, true)).lenient(),
];

/// An error if one of the items is undefined: a list is made of what is there.
fn all_there(call: &mut Call<'_, '_, '_>, items: &[Jinja]) -> Result<(), Error> {
    items.iter().find(|item| is_missing(item)).map_or(Ok(()), |item| Err(undefined(call.state, item)))
}

/// The value behind `a.b.0`, or under a key that is no text.
pub(super) fn attribute(item: &Jinja, path: &Jinja) -> Result<Jinja, Error> {
    let Some(text) = path.as_str() else { return item.get_item(path) };
    let mut here = item.clone();
    for part in text.split('.') {
        // What is not there has no attributes that are.
        if here.is_undefined() {
            return Ok(here);
        }
        here = match part.parse::<usize>() {
            Ok(index) if here.kind() != ValueKind::Map => here.get_item_by_index(index)?,
            Ok(index) => {
                let by_text = here.get_attr(part)?;
                if by_text.is_undefined() { here.get_item_by_index(index)? } else { by_text }
            }
            Err(_) => here.get_attr(part)?,
        };
    }
    Ok(here)
}

pub(super) fn no_attribute(item: &Jinja, path: &Jinja) -> Error {
    let missing = |item: &Jinja, name: String| {
        Error::new(ErrorKind::UndefinedError, format!("object of type '{}' has no attribute {name}", type_name(item)))
    };
    let Some(text) = path.as_str() else { return missing(item, path.to_string()) };
    // The first step that leads nowhere.
    let mut here = item.clone();
    for part in text.split('.') {
        match attribute(&here, &Jinja::from(part)) {
            Ok(next) if !next.is_undefined() => here = next,
            _ => return missing(&here, python::quoted(part)),
        }
    }
    missing(item, python::quoted(text))
}

/// What an item is compared by: itself or its attributes, in lower case unless case counts.
pub(super) fn key(item: &Jinja, path: Option<&Jinja>, case_sensitive: bool) -> Result<Value, Error> {
    let fold = |value: Value| match &value {
        Value::Str(text) if !case_sensitive => Value::from(text.as_str().to_lowercase()),
        _ => value,
    };
    let get = |path: &Jinja| -> Result<Value, Error> {
        let found = attribute(item, path)?;
        if found.is_undefined() {
            return Err(no_attribute(item, path));
        }
        Ok(fold(Value::from_jinja(&found)?))
    };
    match path {
        None => Ok(fold(Value::from_jinja(item)?)),
        Some(path) => match path.as_str() {
            Some(text) if text.contains(',') => {
                let parts = text.split(',').map(|part| get(&Jinja::from(part.trim())));
                Ok(Value::list(parts.collect::<Result<_, _>>()?))
            }
            _ => get(path),
        },
    }
}

fn keyed(call: &Call<'_, '_, '_>, path: usize, case: usize) -> Result<Vec<(Value, Jinja)>, Error> {
    let value = call.need(0)?;
    let path = call.arg(path).filter(|p| !p.is_none());
    let case_sensitive = call.flag(case, false);
    each(value)?
        .map(|item| {
            let item = item?;
            Ok((key(&item, path, case_sensitive)?, item))
        })
        .collect()
}

fn sort(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let reverse = call.index(1, 0)? != 0;
    let mut items = keyed(call, 3, 2)?;
    python::sort_by_key(&mut items, reverse)?;
    Ok(items.into_iter().map(|(_, item)| item).collect::<Vec<_>>().into())
}

fn extreme(call: &mut Call<'_, '_, '_>, largest: bool) -> Result<Jinja, Error> {
    let mut best: Option<(Value, Jinja)> = None;
    for (key, item) in keyed(call, 2, 1)? {
        let better = match &best {
            None => true,
            Some((so_far, _)) => {
                let order = python::compare_by(&key, so_far, if largest { ">" } else { "<" })?;
                if largest { order.is_gt() } else { order.is_lt() }
            }
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or_else(|| empty("aggregated"), |(_, item)| item))
}

/// What an empty sequence has for its first item: an error only where it is used.
fn empty(which: &str) -> Jinja {
    let message = format!("No {which} item, sequence was empty.");
    Jinja::from(Error::new(ErrorKind::UndefinedError, message))
}

fn end(call: &mut Call<'_, '_, '_>, last: bool) -> Result<Jinja, Error> {
    let value = call.need(0)?;
    if value.is_none() || matches!(value.kind(), ValueKind::Number | ValueKind::Bool) {
        let lacks = if last { "reversible" } else { "iterable" };
        return Err(fail(format!("'{}' object is not {lacks}", type_name(value))));
    }
    if let Some(text) = value.as_str() {
        let found = if last { text.chars().next_back() } else { text.chars().next() };
        return Ok(found.map_or_else(|| empty(if last { "last" } else { "first" }), Jinja::from));
    }
    let mut items = value.try_iter()?.checked();
    let found = if last { items.last() } else { items.next() };
    found.unwrap_or_else(|| Ok(empty(if last { "last" } else { "first" })))
}

/// The sum of items or of an attribute of theirs, each of which must be there.
fn sum(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let path = call.arg(1).filter(|p| !p.is_none()).cloned();
    let mut total = call.arg(2).cloned().unwrap_or_else(|| Jinja::from(0));
    let items = each(call.need(0)?)?;
    if total.as_str().is_some() {
        return Err(fail("sum() can't sum strings [use ''.join(seq) instead]"));
    }
    for item in items {
        let item = item?;
        let part = match &path {
            Some(path) => attribute(&item, path)?,
            None => item.clone(),
        };
        if part.is_undefined() {
            return Err(match &path {
                Some(path) => no_attribute(&item, path),
                None => undefined(call.state, &part),
            });
        }
        total = add(&total, &part)?;
    }
    Ok(total)
}

/// Python's `a + b` for what can be summed up.
fn add(a: &Jinja, b: &Jinja) -> Result<Jinja, Error> {
    let number = |v: &Jinja| matches!(v.kind(), ValueKind::Number | ValueKind::Bool);
    let whole = |v: &Jinja| {
        if v.kind() == ValueKind::Bool { Some(i128::from(v.is_true())) } else { i128::try_from(v.clone()).ok() }
    };
    if number(a) && number(b) {
        let integer = |v: &Jinja| v.kind() == ValueKind::Bool || v.is_integer();
        if integer(a)
            && integer(b)
            && let (Some(a), Some(b)) = (whole(a), whole(b))
            && let Some(sum) = a.checked_add(b)
        {
            return Ok(Jinja::from(sum));
        }
        let float = |v: &Jinja| crate::template::call::to_float(&Value::from_jinja(v)?);
        return Ok(Jinja::from(float(a)? + float(b)?));
    }
    if a.kind() == ValueKind::Seq && b.kind() == ValueKind::Seq {
        return Ok(a.try_iter()?.chain(b.try_iter()?).collect());
    }
    let (a, b) = (inner(type_name(a)), inner(type_name(b)));
    Err(fail(format!("unsupported operand type(s) for +: '{a}' and '{b}'")))
}

fn dictsort(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.need(0)?;
    if value.kind() != ValueKind::Map {
        return Err(fail(format!("'{}' object has no attribute 'items'", inner(type_name(value)))));
    }
    let by = call.text_option(2)?.unwrap_or_else(|| "key".to_owned());
    if !matches!(by.as_str(), "key" | "value") {
        return Err(fail("You can only sort by either \"key\" or \"value\""));
    }
    let case_sensitive = call.flag(1, false);
    let mut items = Vec::new();
    for name in value.try_iter()? {
        let entry = value.get_item(&name)?;
        let by = key(if by == "key" { &name } else { &entry }, None, case_sensitive)?;
        items.push((by, Jinja::from(Tuple::from([name, entry]))));
    }
    python::sort_by_key(&mut items, call.flag(3, false))?;
    Ok(items.into_iter().map(|(_, item)| item).collect::<Vec<_>>().into())
}

fn select(call: &mut Call<'_, '_, '_>, by_attribute: bool, reject: bool) -> Result<Jinja, Error> {
    let value = call.need(0)?.clone();
    if value.is_undefined() {
        return Err(undefined(call.state, &value));
    }
    // As Jinja has it: what is false has no items, whatever it is.
    if !value.is_true() {
        return Ok(Jinja::from(Vec::<Jinja>::new()));
    }
    let mut rest = std::mem::take(&mut call.rest).into_iter();
    let path = match by_attribute {
        true => Some(rest.next().ok_or_else(|| fail("Missing parameter for attribute name"))?),
        false => None,
    };
    let test = rest.next();
    let mut args: Vec<Jinja> = vec![Jinja::UNDEFINED];
    args.extend(rest);
    if !call.more.is_empty() {
        args.push(Jinja::from(Kwargs::from_iter(std::mem::take(&mut call.more))));
    }
    let test = test.map(|t| t.to_str().ok_or_else(|| fail("the name of a test must be text"))).transpose()?;
    let of_undefined = test.as_deref().is_some_and(|t| matches!(t, "defined" | "undefined"));
    let mut out = Vec::new();
    for item in each(&value)? {
        let item = item?;
        let tested = match &path {
            Some(path) => attribute(&item, path)?,
            None => item.clone(),
        };
        if tested.is_undefined() && !of_undefined {
            return Err(match &path {
                Some(path) => no_attribute(&item, path),
                None => undefined(call.state, &tested),
            });
        }
        let holds = match &test {
            Some(test) => {
                args[0] = tested;
                call.state.perform_test(test, &args).map_err(|error| match error.kind() {
                    ErrorKind::UnknownTest => fail(format!("No test named '{test}'.")),
                    _ => error,
                })?
            }
            None => tested.is_true(),
        };
        if holds != reject {
            out.push(item);
        }
    }
    Ok(Jinja::from(out))
}
