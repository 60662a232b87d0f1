//! Jinja's filters of sequences that the engine has too, with Python's refusals: `map`, `items`, `batch`, `slice`, `attr`.

use minijinja::value::{Kwargs, Tuple, ValueKind};
use minijinja::{Error, ErrorKind, Value as Jinja};

use super::sequences::{attribute, no_attribute};
use crate::template::call::{Call, Spec, ansible, each, fail, inner_type, to_int, undefined};
use crate::template::error::Reason;
use crate::template::root_of;
use crate::value::Value;

pub(super) const FILTERS: &[Spec] = &[
    ansible(&["map"], &["value", "*filter", "**more"], map).lenient(),
    ansible(&["items"], &["value"], items),
    ansible(&["batch"], &["value", "linecount", "fill_with"], batch),
    ansible(&["slice"], &["value", "slices", "fill_with"], slice),
    ansible(&["attr"], &["obj", "name"], |c| {
        let (value, name) = (c.need(0)?, c.need(1)?);
        if name.as_str().is_none() {
            return Err(fail(format!("attribute name must be string, not '{}'", inner_type(name))));
        }
        // An attribute of Python's, which entries of a dictionary are not; groups have some.
        let found = match value.kind() {
            ValueKind::Map | ValueKind::Iterable => None,
            _ => name.as_str().and_then(|name| value.get_attr(name).ok()),
        };
        found.filter(|found| !found.is_undefined()).ok_or_else(|| no_attribute(value, name))
    }),
];

fn map(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.need(0)?.clone();
    if value.is_undefined() {
        return Err(undefined(call.state, &value));
    }
    let entries = entries(&value)?;
    if entries.is_empty() {
        return Ok(Jinja::from(entries));
    }
    let more = std::mem::take(&mut call.more);
    let mut args = std::mem::take(&mut call.rest);
    let named = |name: &str| more.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    if let Some(path) = named("attribute").filter(|_| args.is_empty()) {
        if let Some((other, _)) = more.iter().find(|(key, _)| !matches!(key.as_str(), "attribute" | "default")) {
            return Err(fail(format!("Unexpected keyword argument '{other}'")));
        }
        let default = named("default").filter(|given| !given.is_none());
        let (found, missing) = attributes(entries, &path, default.as_ref());
        // What is not there is undefined, an error only where it is used.
        if let (Some(item), Some(root)) = (missing, root_of(call.state)) {
            let said = no_attribute(&item, &path).detail().unwrap_or_default().to_owned();
            root.note_inner(Reason::said(said));
        }
        return Ok(found);
    }
    if args.is_empty() {
        return Err(fail("map requires a filter argument"));
    }
    let filter = args.remove(0);
    let Some(filter) = filter.as_str() else { return Err(fail("the name of a filter must be text")) };
    args.insert(0, Jinja::UNDEFINED);
    if !more.is_empty() {
        args.push(Jinja::from(Kwargs::from_iter(more)));
    }
    let mut out = Vec::new();
    for item in entries {
        args[0] = item;
        let made = call.state.apply_filter(filter, &args).map_err(|error| match error.kind() {
            ErrorKind::UnknownFilter => fail(format!("No filter named '{filter}'.")),
            _ => error,
        })?;
        out.push(made);
    }
    Ok(Jinja::from(out))
}

/// The items of what is true; as Jinja has it, what is false has none, whatever it is.
fn entries(value: &Jinja) -> Result<Vec<Jinja>, Error> {
    if value.is_true() { each(value)?.collect() } else { Ok(Vec::new()) }
}

/// The attributes of entries, and the first that has none.
fn attributes(entries: Vec<Jinja>, path: &Jinja, default: Option<&Jinja>) -> (Jinja, Option<Jinja>) {
    let (mut out, mut missing) = (Vec::new(), None);
    for item in entries {
        let found = attribute(&item, path).unwrap_or_default();
        out.push(match default {
            Some(default) if found.is_undefined() => default.clone(),
            _ => {
                if found.is_undefined() {
                    missing.get_or_insert(item);
                }
                found
            }
        });
    }
    (Jinja::from(out), missing)
}

fn items(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.need(0)?.clone();
    if value.kind() != ValueKind::Map {
        return Err(fail("Can only get item pairs from a mapping."));
    }
    let pair = |key: Jinja| Ok(Jinja::from(Tuple::from([key.clone(), value.get_item(&key)?])));
    let pairs = value.try_iter()?.map(pair).collect::<Result<Vec<Jinja>, Error>>()?;
    Ok(Jinja::from(pairs))
}

fn batch(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    // What is no number is never reached.
    let count = match call.value(1)? {
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => to_int(&call.value(1)?)?,
        _ => -1,
    };
    let fill = call.arg(2).filter(|fill| !fill.is_none()).cloned();
    let items = each(call.need(0)?)?.collect::<Result<Vec<Jinja>, _>>()?;
    let mut rows: Vec<Vec<Jinja>> = match usize::try_from(count) {
        Ok(count) if count > 0 => items.chunks(count).map(<[Jinja]>::to_vec).collect(),
        // As in Jinja: nothing is full with none, and a row of fewer never is.
        Ok(_) if !items.is_empty() => vec![Vec::new(), items],
        _ => [items].into_iter().filter(|row| !row.is_empty()).collect(),
    };
    if let (Some(fill), Some(last), Ok(count)) = (fill, rows.last_mut(), usize::try_from(count)) {
        last.resize(count.max(last.len()), fill);
    }
    Ok(Jinja::from(rows.into_iter().map(Jinja::from).collect::<Vec<_>>()))
}

fn slice(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let count = usize::try_from(to_int(&call.value(1)?)?).unwrap_or(0);
    let fill = call.arg(2).filter(|fill| !fill.is_none()).cloned();
    let items = each(call.need(0)?)?.collect::<Result<Vec<Jinja>, _>>()?;
    if count == 0 {
        return Err(fail("integer division or modulo by zero"));
    }
    let (each, longer) = (items.len() / count, items.len() % count);
    let mut rest = items.as_slice();
    let mut rows = Vec::new();
    for at in 0..count {
        let (row, after) = rest.split_at((each + usize::from(at < longer)).min(rest.len()));
        let mut row = row.to_vec();
        if let Some(fill) = fill.as_ref().filter(|_| at >= longer) {
            row.push(fill.clone());
        }
        rows.push(Jinja::from(row));
        rest = after;
    }
    Ok(Jinja::from(rows))
}
