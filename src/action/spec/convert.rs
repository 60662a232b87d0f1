//! What the types of argument specifications make of values.

use crate::template::{filters, python_repr, python_type};
use crate::value::{Map, Value};

/// The type an option asks for.
pub(super) fn wanted(options: &Value) -> String {
    options.get("type").map_or_else(|| "str".to_owned(), Value::to_text)
}

/// A value as one of the type `wanted`, or why it cannot be one.
pub(super) fn to(wanted: &str, value: &Value) -> Result<Value, String> {
    let class = || format!("<class '{}'>", python_type(value));
    match wanted {
        "str" => Ok(match value {
            Value::Str(_) => value.clone(),
            other => Value::from(other.to_text()),
        }),
        "path" | "raw" => Ok(value.clone()),
        "bool" => boolean(value).map(Value::Bool).ok_or_else(|| match value {
            Value::List(_) | Value::Map(_) | Value::Null => format!("{} cannot be converted to a bool", class()),
            other => format!(
                "The value '{}' is not a valid boolean. Valid booleans include: '1', 'on', 't', 'true', 'y', 'yes', 1, '0', \
                 'f', 'false', 'n', 'no', 'off', 0",
                other.to_text()
            ),
        }),
        "int" => {
            integer(value).map(Value::Int).ok_or_else(|| format!("\"{}\" cannot be converted to an int", quoted(value)))
        }
        "float" => float(value).map(Value::Float).ok_or_else(|| format!("{} cannot be converted to a float", class())),
        "list" => match value {
            Value::List(_) => Ok(value.clone()),
            Value::Str(text) => Ok(text.as_str().split(',').map(|part| part.trim().to_owned()).collect()),
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => Ok(Value::list(vec![value.to_text().into()])),
            _ => Err(format!("{} cannot be converted to a list", class())),
        },
        "dict" => match value {
            Value::Map(_) => Ok(value.clone()),
            Value::Str(text) => dictionary(text.as_str()).map(Value::map),
            _ => Err(format!("{} cannot be converted to a dict", class())),
        },
        "json" | "jsonarg" => match value {
            Value::Str(_) => Ok(value.clone()),
            Value::List(_) | Value::Map(_) => Ok(value.to_json().to_string().into()),
            _ => Err(format!("{} cannot be converted to a json string", class())),
        },
        "bytes" => size(value, false).ok_or_else(|| format!("{} cannot be converted to a Byte value", class())),
        "bits" => size(value, true).ok_or_else(|| format!("{} cannot be converted to a Bit value", class())),
        _ => Err("'NoneType' object is not callable".to_owned()),
    }
}

/// A value as Python shows it inside a message, text in quotes.
fn quoted(value: &Value) -> String {
    match value {
        Value::Str(_) => {
            let list = python_repr(&Value::list(vec![value.clone()]));
            list[1..list.len() - 1].to_owned()
        }
        other => python_repr(other),
    }
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Float(f) if *f == 0.0 || *f == 1.0 => Some(*f == 1.0),
        other => other.to_bool(),
    }
}

fn integer(value: &Value) -> Option<i64> {
    let whole = |f: f64| (f.fract() == 0.0 && f.abs() < 9.3e18).then_some(f as i64);
    match value {
        Value::Int(i) => Some(*i),
        Value::Bool(b) => Some(i64::from(*b)),
        Value::Float(f) => whole(*f),
        Value::Str(text) => {
            let text = text.as_str().trim().replace('_', "");
            text.parse().ok().or_else(|| decimal(&text).and_then(whole))
        }
        _ => None,
    }
}

/// A number in digits; not Rust's words for what is none.
fn decimal(text: &str) -> Option<f64> {
    text.contains(|c: char| c.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Int(i) => Some(*i as f64),
        Value::Float(f) => Some(*f),
        Value::Bool(b) => Some(f64::from(u8::from(*b))),
        Value::Str(text) => text.as_str().trim().replace('_', "").parse().ok(),
        _ => None,
    }
}

fn size(value: &Value, bits: bool) -> Option<Value> {
    let text = match value {
        Value::Int(_) | Value::Float(_) | Value::Str(_) => value.to_text(),
        _ => return None,
    };
    let begins = text.starts_with(|c: char| c.is_ascii_digit()) && !text.ends_with(char::is_whitespace);
    begins.then(|| filters::bytes_of(&text, None, bits).ok()).flatten().map(Value::Int)
}

/// A dictionary written as JSON or as `key=value, …`.
pub(super) fn dictionary(text: &str) -> Result<Map, String> {
    let text = text.trim();
    if text.starts_with('{') {
        let json: Option<serde_json::Value> = serde_json::from_str(text).ok();
        let map = json.and_then(|json| Value::from_json(&json).as_map().cloned());
        return map.ok_or_else(|| "unable to evaluate string as dictionary".to_owned());
    }
    if !text.contains('=') {
        return Err("dictionary requested, could not parse JSON or key=value".to_owned());
    }
    let mut out = Map::new();
    for field in fields(text) {
        let (key, value) = field.split_once('=').unwrap_or((&field, ""));
        out.insert(key.into(), Value::from(value));
    }
    Ok(out)
}

/// What stands between commas and blanks; quotes keep them in, and are dropped.
fn fields(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut field = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => field.extend(chars.next()),
            c if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => quote = Some(c),
            ',' | ' ' if quote.is_none() => {
                if !field.is_empty() {
                    out.push(std::mem::take(&mut field));
                }
            }
            c => field.push(c),
        }
    }
    if !field.is_empty() {
        out.push(field);
    }
    out
}
