//! Filters that the engine has too, as Jinja has them: nothing undefined passes them in silence, values become text as
//! Python writes them, and `escape` uses the entities that Jinja uses.

use minijinja::value::ValueKind;
use minijinja::{Error, Value as Jinja};

use super::sequences::{attribute, no_attribute};
use crate::template::call::{Call, Spec, ansible, fail, inner, markup, type_name, undefined};
use crate::template::python;

/// Columns that `pprint` fills.
const WIDTH: usize = 80;

pub(super) const FILTERS: &[Spec] = &[
    ansible(&["lower"], &["s"], |c| Ok(Jinja::from(c.text(0)?.to_lowercase()))),
    ansible(&["upper"], &["s"], |c| Ok(Jinja::from(c.text(0)?.to_uppercase()))),
    ansible(&["capitalize"], &["s"], |c| Ok(Jinja::from(capitalized(&c.text(0)?)))),
    ansible(&["trim"], &["value", "chars"], trim),
    ansible(&["escape", "e"], &["s"], |c| escape(c, false)),
    ansible(&["forceescape"], &["value"], |c| escape(c, true)),
    ansible(&["safe"], &["value"], |c| Ok(markup(c.state, c.text(0)?))),
    ansible(&["join"], &["value", "d", "attribute"], join),
    ansible(&["xmlattr"], &["d", "autospace"], xml_attributes),
    ansible(&["pprint"], &["value"], |c| Ok(Jinja::from(pretty(&c.value(0)?)))),
];

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    first + &chars.as_str().to_lowercase()
}

fn trim(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let text = call.text(0)?;
    let chars = match call.option(1)? {
        None => None,
        Some(crate::value::Value::Str(chars)) => Some(chars),
        Some(_) => return Err(fail("strip arg must be None or str")),
    };
    Ok(Jinja::from(match chars.as_ref().map(crate::value::Str::as_str) {
        Some(chars) => text.trim_matches(|c| chars.contains(c)),
        None => text.trim(),
    }))
}

/// What MarkupSafe writes; text that is safe already is only escaped by force.
fn escape(call: &mut Call<'_, '_, '_>, force: bool) -> Result<Jinja, Error> {
    let value = call.need(0)?;
    if value.is_safe() && !force {
        return Ok(value.clone());
    }
    Ok(markup(call.state, escaped(&call.text(0)?)))
}

/// Text as it stands in HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            other => out.push(other),
        }
    }
    out
}

/// A dictionary as the attributes of an element; what is none is left out.
fn xml_attributes(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.value(0)?;
    let Some(map) = value.as_map() else {
        return Err(fail(format!("'{}' object has no attribute 'items'", inner(crate::template::python_type(&value)))));
    };
    let mut out = Vec::new();
    for (key, value) in map.iter().filter(|(_, value)| !matches!(value, crate::value::Value::Null)) {
        let key = key.to_string();
        if key.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '>' | '=')) {
            return Err(fail(format!("Invalid character in attribute name: '{key}'")));
        }
        out.push(format!("{}=\"{}\"", escaped(&key), escaped(&python::text(value))));
    }
    let space = if call.flag(1, true) && !out.is_empty() { " " } else { "" };
    Ok(markup(call.state, format!("{space}{}", out.join(" "))))
}

fn join(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.need(0)?.clone();
    let path = call.arg(2).filter(|path| !path.is_none()).cloned();
    let between = if call.arg(1).is_some() { call.text(1)? } else { String::new() };
    let iterable = matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map | ValueKind::String);
    if !iterable {
        return Err(fail(format!("'{}' object is not iterable", type_name(&value))));
    }
    let mut out = String::new();
    for (at, item) in value.try_iter()?.checked().enumerate() {
        let mut item = item?;
        if let Some(path) = &path {
            let found = attribute(&item, path)?;
            if found.is_undefined() {
                return Err(no_attribute(&item, path));
            }
            item = found;
        }
        if item.is_undefined() {
            return Err(undefined(call.state, &item));
        }
        if at > 0 {
            out.push_str(&between);
        }
        out.push_str(&python::text_of(&item)?);
    }
    Ok(Jinja::from(out))
}

/// Python's `pprint.pformat`, which lays out only long text; what holds other values is one line in the reference.
fn pretty(value: &crate::value::Value) -> String {
    let whole = python::repr(value);
    let Some(text) = value.as_str().filter(|_| whole.chars().count() > WIDTH) else { return whole };
    let lines: Vec<String> = text.split_inclusive('\n').flat_map(wrapped).collect();
    if lines.len() < 2 { whole } else { format!("({})", lines.join("\n ")) }
}

/// A line as literals that fit, broken behind blanks.
fn wrapped(line: &str) -> Vec<String> {
    let repr = |text: &str| python::repr(&crate::value::Value::from(text.to_owned()));
    // One column for the parenthesis before, one for the one behind.
    let room = WIDTH - 2;
    if repr(line).chars().count() <= room {
        return vec![repr(line)];
    }
    let (mut lines, mut current) = (Vec::new(), String::new());
    for word in line.split_inclusive(char::is_whitespace) {
        let longer = format!("{current}{word}");
        if repr(&longer).chars().count() > room && !current.is_empty() {
            lines.push(repr(&current));
            current = word.to_owned();
        } else {
            current = longer;
        }
    }
    lines.push(repr(&current));
    lines
}
