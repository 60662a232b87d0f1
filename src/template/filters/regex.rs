//! `regex_replace`, `regex_search`, `regex_findall`, `regex_escape`.

use minijinja::{Error, Value as Jinja};

use crate::template::call::{Call, Spec, ansible, fail, inner};
use crate::template::python_type;
use crate::template::regex::{Flags, Pattern};
use crate::value::Value;

pub(super) const FILTERS: &[Spec] = &[
    ansible(
        &["regex_replace"],
        &["value", "pattern", "replacement", "ignorecase", "multiline", "count", "mandatory_count"],
        replace,
    ),
    ansible(&["regex_search"], &["value", "regex", "*args", "**flags"], search),
    ansible(&["regex_findall"], &["value", "regex", "multiline", "ignorecase"], findall),
    ansible(&["regex_escape"], &["string", "re_type"], escape),
];

/// The argument at a place as a pattern, which only text is.
fn pattern(call: &Call<'_, '_, '_>, at: usize) -> Result<String, Error> {
    match call.value(at)? {
        Value::Str(pattern) => Ok(pattern.as_str().to_owned()),
        other @ (Value::List(_) | Value::Map(_)) => {
            Err(fail(format!("unhashable type: '{}'", inner(python_type(&other)))))
        }
        _ => Err(fail("first argument must be string or compiled pattern")),
    }
}

/// The argument at a place as what comes into a match's place, which only text is.
fn replacement(call: &Call<'_, '_, '_>, at: usize) -> Result<String, Error> {
    match call.value(at)? {
        Value::Str(text) => Ok(text.as_str().to_owned()),
        other => {
            let got = inner(python_type(&other));
            Err(fail(match other {
                Value::List(_) | Value::Map(_) => format!("unhashable type: '{got}'"),
                _ => format!("decoding to str: need a bytes-like object, {got} found"),
            }))
        }
    }
}

fn replace(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.text(0)?;
    let pattern = if call.arg(1).is_some() { pattern(call, 1)? } else { String::new() };
    let replacement = if call.arg(2).is_some() { replacement(call, 2)? } else { String::new() };
    let flags = Flags { ignorecase: call.flag(3, false), multiline: call.flag(4, false) };
    let count = usize::try_from(call.int(5, 0)?).unwrap_or(0);
    let (out, done) = Pattern::new(&pattern, flags)?.replace(&value, &replacement, count)?;
    let mandatory = usize::try_from(call.int(6, 0)?).unwrap_or(0);
    if mandatory > 0 && done != mandatory {
        return Err(fail(format!("'{pattern}' should match {mandatory} times, but matches {done} times in '{value}'")));
    }
    Ok(Jinja::from(out))
}

fn search(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let mut flags = Flags::default();
    for (name, value) in &call.more {
        match name.as_str() {
            "ignorecase" => flags.ignorecase = value.is_true(),
            "multiline" => flags.multiline = value.is_true(),
            other => return Err(fail(format!("regex_search() got an unexpected keyword argument '{other}'"))),
        }
    }
    let pattern = Pattern::new(&pattern(call, 1)?, flags)?;
    let mut wanted = Vec::new();
    for arg in &call.rest {
        let arg = arg.to_string();
        let name = arg.strip_prefix(r"\g<").and_then(|rest| rest.split_once('>')).map(|(name, _)| name);
        let number = arg.strip_prefix('\\').map(|n| n.trim_end_matches(|c: char| !c.is_ascii_digit()));
        match (name, number.and_then(|n| n.parse::<usize>().ok())) {
            (Some(name), _) => wanted.push(pattern.named(name)?),
            (None, Some(number)) if number <= pattern.groups() => wanted.push(number),
            (None, Some(_)) => return Err(fail("no such group")),
            _ if arg.starts_with('\\') => return Err(fail("'NoneType' object has no attribute 'group'")),
            _ => return Err(fail("Unknown argument")),
        }
    }
    let value = call.text(0)?;
    let Some(found) = pattern.captures(&value, 0)? else { return Ok(Jinja::from(())) };
    let group = |n: usize| found.get(n).map_or_else(|| Jinja::from(()), |m| Jinja::from(m.as_str()));
    if wanted.is_empty() {
        return Ok(group(0));
    }
    Ok(wanted.into_iter().map(group).collect())
}

fn findall(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let flags = Flags { multiline: call.flag(2, false), ignorecase: call.flag(3, false) };
    let pattern = Pattern::new(&pattern(call, 1)?, flags)?;
    let value = call.text(0)?;
    let found = pattern.all(&value)?;
    let items = found.iter().map(|m| {
        let group = |n: usize| Value::from(m.get(n).map_or("", |g| g.as_str()));
        match pattern.groups() {
            0 => group(0),
            1 => group(1),
            n => Value::list((1..=n).map(group).collect()),
        }
    });
    Ok(Value::list(items.collect()).to_jinja())
}

fn escape(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.text(0)?;
    let special: &str = match call.text_option(1)?.as_deref() {
        None | Some("python") => "()[]{}?*+-|^$\\.&~# \t\n\r\u{b}\u{c}",
        Some("posix_basic") => r"[].^$*\",
        Some(other @ "posix_extended") => return Err(fail(format!("Regex type ({other}) not yet implemented"))),
        Some(other) => return Err(fail(format!("Invalid regex type ({other})"))),
    };
    let mut out = String::new();
    for c in value.chars() {
        if special.contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    Ok(Jinja::from(out))
}
