//! URLs: `urlsplit`, `urlencode`, `urldecode`.

use minijinja::{Error, Value as Jinja};

use crate::template::call::{Call, Spec, ansible, fail, inner};
use crate::template::{python, python_type};
use crate::value::{Map, Value};

pub(super) const FILTERS: &[Spec] = &[
    ansible(&["urlsplit"], &["url", "query"], urlsplit),
    ansible(&["urlencode"], &["value"], urlencode),
    ansible(&["urldecode"], &["string"], |c| match c.value(0)? {
        Value::Str(text) => Ok(Jinja::from(decode(text.as_str()))),
        other => Err(fail(format!("'{}' object has no attribute 'replace'", inner(python_type(&other))))),
    }),
];

/// A URL's parts, by Python's rules.
pub(in crate::template) fn parts(url: &str) -> Map {
    // As Python has it: what stands before a URL and is nothing is left out.
    let url = url.trim_start_matches(|c: char| c <= ' ').replace(['\n', '\r', '\t'], "");
    let url = url.as_str();
    let mut rest = url;
    let mut scheme = String::new();
    if let Some((word, tail)) = url.split_once(':')
        && word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    {
        scheme = word.to_lowercase();
        rest = tail;
    }
    let mut netloc = "";
    if let Some(after) = rest.strip_prefix("//") {
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        (netloc, rest) = after.split_at(end);
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (user, place) = match netloc.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, netloc),
    };
    let (username, password) = match user.map(|u| u.split_once(':').map_or((u, None), |(u, p)| (u, Some(p)))) {
        Some((u, p)) => (Value::from(u), p.map_or(Value::Null, Value::from)),
        None => (Value::Null, Value::Null),
    };
    let (host, port) = match place.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, tail)) => (host, tail.strip_prefix(':')),
        None => place.split_once(':').map_or((place, None), |(h, p)| (h, Some(p))),
    };
    let hostname = if host.is_empty() { Value::Null } else { Value::from(host.to_lowercase()) };
    let port = port.and_then(|p| p.parse::<i64>().ok()).map_or(Value::Null, Value::Int);
    Map::from_iter([
        ("fragment".into(), fragment.into()),
        ("hostname".into(), hostname),
        ("netloc".into(), netloc.into()),
        ("password".into(), password),
        ("path".into(), path.into()),
        ("port".into(), port),
        ("query".into(), query.into()),
        ("scheme".into(), scheme.into()),
        ("username".into(), username),
    ])
}

fn urlsplit(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let url = match call.value(0)? {
        Value::Str(text) => text,
        Value::Null => return Err(fail("none is no URL")),
        other => {
            let got = inner(python_type(&other));
            return Err(fail(match other {
                Value::List(_) | Value::Map(_) => format!("unhashable type: '{got}'"),
                _ => format!("'{got}' object has no attribute 'decode'"),
            }));
        }
    };
    let parts = parts(url.as_str());
    match call.text_option(1)?.filter(|q| !q.is_empty()) {
        None => Ok(Value::map(parts).to_jinja()),
        Some(query) => match parts.get(query.as_str()) {
            Some(part) => Ok(part.to_jinja()),
            None => Err(fail(format!("urlsplit: unknown URL component: {query}"))),
        },
    }
}

fn encode(text: &str, safe: &str, plus: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match char::from(byte) {
            ' ' if plus => out.push('+'),
            c if c.is_ascii_alphanumeric() || "_.-~".contains(c) || safe.contains(c) => out.push(c),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn urlencode(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let pair =
        |k: &Value, v: &Value| format!("{}={}", encode(&python::text(k), "", true), encode(&python::text(v), "", true));
    let pairs: Vec<String> = match call.value(0)? {
        Value::Map(map) => map.iter().map(|(k, v)| pair(&k.to_value(), v)).collect(),
        Value::List(items) => items
            .iter()
            .map(|item| {
                let parts = crate::template::call::items(item)
                    .map_err(|_| fail(format!("cannot unpack non-iterable {} object", python_type(item))))?;
                match parts.as_slice() {
                    [k, v] => Ok(pair(k, v)),
                    [] | [_] => Err(fail(format!("not enough values to unpack (expected 2, got {})", parts.len()))),
                    _ => Err(fail("too many values to unpack (expected 2)")),
                }
            })
            .collect::<Result<_, _>>()?,
        other => return Ok(Jinja::from(encode(&python::text(&other), "/", false))),
    };
    Ok(Jinja::from(pairs.join("&")))
}

/// Python's `unquote_plus`.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = bytes.get(i + 1..i + 3).and_then(|h| std::str::from_utf8(h).ok());
        match (bytes[i], hex.and_then(|h| u8::from_str_radix(h, 16).ok())) {
            (b'+', _) => out.push(b' '),
            (b'%', Some(byte)) => {
                out.push(byte);
                i += 2;
            }
            (byte, _) => out.push(byte),
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}
