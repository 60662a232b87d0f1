//! Values as Python writes them.

use super::call::inner;
use crate::value::Value;

/// Python's `repr` of a float: the shortest digits that read back the same.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{value}");
    if plain.contains('.') { plain } else { format!("{plain}.0") }
}

/// Python's `repr` of text.
pub(super) fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if (c as u32) < 0x20 || (0x7f..0xa1).contains(&(c as u32)) || c as u32 == 0xad => {
                out.push_str(&format!("\\x{:02x}", c as u32));
            }
            '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200f}' => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// The same with everything beyond ASCII escaped, as Python's `ascii` has it.
pub(super) fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c) {
            0..0x80 => out.push(c),
            code @ 0x80..=0xff => out.push_str(&format!("\\x{code:02x}")),
            code @ 0x100..=0xffff => out.push_str(&format!("\\u{code:04x}")),
            code => out.push_str(&format!("\\U{code:08x}")),
        }
    }
    out
}

/// Python's `repr` of a value.
pub(super) fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Omit => "<<Omit>>".to_owned(),
        Value::Bool(b) => if *b { "True" } else { "False" }.to_owned(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => float(*f),
        Value::Str(s) => quoted(s.as_str()),
        Value::List(items) => format!("[{}]", items.iter().map(repr).collect::<Vec<_>>().join(", ")),
        Value::Map(map) => {
            let entries = map.iter().map(|(k, v)| format!("{}: {}", repr(&k.to_value()), repr(v)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Python's `str` of a value.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Str(s) => s.as_str().to_owned(),
        other => repr(other),
    }
}

/// Python's `repr` of an engine's value, tuples as tuples.
pub(super) fn repr_of(value: &minijinja::Value) -> Result<String, minijinja::Error> {
    let tuple = value.is_tuple() || value.downcast_object_ref::<super::filters::Group>().is_some();
    let inner = || -> Result<Vec<String>, minijinja::Error> {
        value.try_iter()?.checked().map(|item| repr_of(&item?)).collect()
    };
    Ok(match value.kind() {
        minijinja::value::ValueKind::Seq | minijinja::value::ValueKind::Iterable => {
            let items = inner()?;
            match items.as_slice() {
                [one] if tuple => format!("({one},)"),
                _ if tuple => format!("({})", items.join(", ")),
                _ => format!("[{}]", items.join(", ")),
            }
        }
        _ => repr(&Value::from_jinja(value)?),
    })
}

/// Python's `str` of an engine's value, tuples as tuples.
pub(super) fn text_of(value: &minijinja::Value) -> Result<String, minijinja::Error> {
    match value.kind() {
        minijinja::value::ValueKind::Seq | minijinja::value::ValueKind::Iterable => repr_of(value),
        _ => Ok(text(&Value::from_jinja(value)?)),
    }
}

/// An error of the system as Python tells it.
pub(super) fn os_error(error: &std::io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(number) => {
            let words = text.strip_suffix(&format!(" (os error {number})")).unwrap_or(&text);
            format!("[Errno {number}] {words}")
        }
        None => text,
    }
}

/// Whether Python takes a character for a space.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

/// The lines of a text and what ends each, as Python's `splitlines` finds them.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    const ENDS: &[char] = &['\n', '\r', '\x0b', '\x0c', '\x1c', '\x1d', '\x1e', '\u{85}', '\u{2028}', '\u{2029}'];
    let mut rest = text;
    std::iter::from_fn(move || {
        let (at, width) = match rest.char_indices().find(|(_, c)| ENDS.contains(c)) {
            None if rest.is_empty() => return None,
            None => (rest.len(), 0),
            Some((at, _)) if rest[at..].starts_with("\r\n") => (at, 2),
            Some((at, c)) => (at, c.len_utf8()),
        };
        let (line, after) = rest.split_at(at);
        let (end, after) = after.split_at(width);
        rest = after;
        Some((line, end))
    })
}

/// Python's `str.isupper` and `str.islower`: whether all letters that have a case have this one, and there is one.
pub(super) fn is_cased(text: &str, upper: bool) -> bool {
    let other = |c: char| if upper { c.is_lowercase() } else { c.is_uppercase() };
    !text.chars().any(other) && text.chars().any(|c| if upper { c.is_uppercase() } else { c.is_lowercase() })
}

/// Python's `a < b` and `a > b`: numbers with numbers, text with text, lists item by item; anything else cannot be compared.
pub(super) fn compare(a: &Value, b: &Value) -> Result<std::cmp::Ordering, minijinja::Error> {
    compare_by(a, b, "<")
}

/// The same, by an operator that a refusal names.
pub(super) fn compare_by(a: &Value, b: &Value, operator: &str) -> Result<std::cmp::Ordering, minijinja::Error> {
    use std::cmp::Ordering;
    let number = |v: &Value| match v {
        Value::Bool(b) => Some(f64::from(u8::from(*b))),
        Value::Int(i) => Some(*i as f64),
        Value::Float(f) => Some(*f),
        _ => None,
    };
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(a.cmp(b)),
        (Value::Str(a), Value::Str(b)) => Ok(a.as_str().cmp(b.as_str())),
        (Value::List(a), Value::List(b)) => {
            for (a, b) in a.iter().zip(b.iter()) {
                if a != b {
                    return compare_by(a, b, operator);
                }
            }
            Ok(a.len().cmp(&b.len()))
        }
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => Ok(a.partial_cmp(&b).unwrap_or(Ordering::Equal)),
            _ => {
                let (a, b) = (inner(super::python_type(a)), inner(super::python_type(b)));
                let message = format!("'{operator}' not supported between instances of '{a}' and '{b}'");
                Err(super::call::fail(message))
            }
        },
    }
}

/// Sorts by a key, equal ones in the order they came; the first pair that cannot be compared is the error.
pub(super) fn sort_by_key<T>(items: &mut [(Value, T)], reverse: bool) -> Result<(), minijinja::Error> {
    let mut error = None;
    items.sort_by(|(a, _), (b, _)| {
        let order = compare(a, b).unwrap_or_else(|e| {
            error.get_or_insert(e);
            std::cmp::Ordering::Equal
        });
        if reverse { order.reverse() } else { order }
    });
    error.map_or(Ok(()), Err)
}
