//! The lookup `ini`: a key of a section of an INI or properties file.

use minijinja::Error;

use super::{Lookup, files};
use crate::template::call::fail;
use crate::template::python;
use crate::template::regex::{Flags, Pattern};
use crate::value::{Map, Value};

/// Sections in order, each with its keys in order.
type Sections = Vec<(String, Vec<Entry>)>;

/// A key and its value, when it has one.
type Entry = (String, Option<String>);

/// The names of its options.
const OPTIONS: &[&str] = &[
    "type",
    "file",
    "section",
    "re",
    "encoding",
    "default",
    "case_sensitive",
    "allow_no_value",
    "allow_none",
    "interpolation",
];

pub(super) fn run(lookup: &Lookup<'_>) -> Result<Vec<Value>, Error> {
    let mut out = Vec::new();
    for term in &lookup.terms {
        let (key, options) = key_and_options(lookup, term)?;
        one(lookup, &key, &options, &mut out)?;
    }
    Ok(out)
}

/// The key and the options of a term such as `key section=x file=y`; the key comes first and nothing is an option unknown.
fn key_and_options(lookup: &Lookup<'_>, term: &Value) -> Result<(String, Map), Error> {
    let text = python::text(term);
    if !text.contains('=') {
        return Ok((text, lookup.options.clone()));
    }
    let (key, options) = lookup.key_and_options(term);
    let known = |name: &str| OPTIONS.contains(&name);
    if let Some((name, _)) = key.split_once('=') {
        if known(name) {
            let message = "No key to look up was provided as first term within string inline options";
            return Err(fail(format!("{message}: {text}")));
        }
        return Err(fail(format!("'{name}' is not a valid option.")));
    }
    match options.keys().find(|name| !known(name.as_str().unwrap_or_default()) && !lookup.options.contains_key(*name)) {
        Some(name) => Err(fail(format!("'{key} {name}' is not a valid option."))),
        None => Ok((key, options)),
    }
}

fn one(lookup: &Lookup<'_>, key: &str, options: &Map, out: &mut Vec<Value>) -> Result<(), Error> {
    let text = |name: &str, default: &str| options.get(name).map_or_else(|| default.to_owned(), python::text);
    let flag = |name: &str| options.get(name).and_then(Value::to_bool);
    let properties = text("type", "ini") == "properties";
    let reading = Reading {
        properties,
        case: flag("case_sensitive").unwrap_or(false),
        bare: flag("allow_no_value").or(flag("allow_none")).unwrap_or(false),
    };
    let file = text("file", "ansible.ini");
    let bytes = files::bytes(lookup, &file)?.ok_or_else(|| fail("Invalid filename None."))?;
    let content = decode(&bytes, &text("encoding", "utf-8"))?;
    let sections = read(&content, &file, &reading)?;
    let section = if properties { "java_properties".to_owned() } else { text("section", "global") };
    let Some((_, entries)) = sections.iter().find(|(name, _)| *name == section) else {
        return Err(fail(format!("No section {} in {}.", python::quoted(&section), python::quoted(&file))));
    };
    let interpolate = flag("interpolation").unwrap_or(true) && !properties;
    let shown = |value: &str| -> Result<Value, Error> {
        Ok(Value::from(if interpolate { interpolated(value, entries, 0)? } else { value.to_owned() }))
    };
    if flag("re").unwrap_or(false) {
        let pattern = Pattern::new(key, Flags { ignorecase: !reading.case, multiline: false })?;
        for (name, value) in entries {
            if pattern.captures(name, 0)?.is_some_and(|m| m.get(0).is_some_and(|m| m.start() == 0)) {
                out.push(value.as_deref().map_or(Ok(Value::Null), shown)?);
            }
        }
        return Ok(());
    }
    let wanted = if reading.case { key.to_owned() } else { key.to_lowercase() };
    match entries.iter().find(|(name, _)| *name == wanted) {
        Some((_, Some(value))) => out.push(shown(value)?),
        // A key without a value has none.
        Some((_, None)) => {}
        None => out.push(options.get("default").cloned().unwrap_or_else(|| Value::from(""))),
    }
    Ok(())
}

/// The text of a file in one of the encodings that files are still found in.
fn decode(bytes: &[u8], encoding: &str) -> Result<String, Error> {
    let name: String = encoding.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    let latin = |c: u8| char::from(c);
    Ok(match name.as_str() {
        "utf8" | "u8" => String::from_utf8_lossy(bytes).into_owned(),
        "utf8sig" => String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).into_owned(),
        "ascii" | "usascii" => bytes.iter().map(|c| if c.is_ascii() { latin(*c) } else { '\u{fffd}' }).collect(),
        "latin1" | "iso88591" | "l1" | "latin" => bytes.iter().map(|c| latin(*c)).collect(),
        "iso885915" | "latin9" => bytes
            .iter()
            .map(|c| match c {
                0xa4 => '€',
                0xa6 => 'Š',
                0xa8 => 'š',
                0xb4 => 'Ž',
                0xb8 => 'ž',
                0xbc => 'Œ',
                0xbd => 'œ',
                0xbe => 'Ÿ',
                other => latin(*other),
            })
            .collect(),
        _ => return Err(fail(format!("unknown encoding: {encoding}"))),
    })
}

/// How a file is read.
struct Reading {
    /// As Java writes them: one section, without a heading.
    properties: bool,
    /// Whether the case of keys counts.
    case: bool,
    /// Whether a key may stand there without a value.
    bare: bool,
}

fn read(text: &str, file: &str, how: &Reading) -> Result<Sections, Error> {
    let mut sections: Sections = Vec::new();
    if how.properties {
        sections.push(("java_properties".to_owned(), Vec::new()));
    }
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) || how.properties && trimmed.starts_with('!') {
            continue;
        }
        if !how.properties
            && let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(name, _)| name)
        {
            sections.push((name.to_owned(), Vec::new()));
            continue;
        }
        let Some((section, entries)) = sections.last_mut() else { continue };
        // A line that is indented goes on with the value before it.
        if line.starts_with([' ', '\t'])
            && let Some((_, Some(value))) = entries.last_mut()
        {
            value.push('\n');
            value.push_str(trimmed);
            continue;
        }
        let (key, value) = match trimmed.split_once(['=', ':']) {
            Some((key, value)) => (key.trim(), Some(value.trim().to_owned())),
            None if how.bare => (trimmed, None),
            None if how.properties => (trimmed, Some(String::new())),
            None => {
                return Err(fail(format!("'{file}' holds the line {}, which is no entry", python::quoted(trimmed))));
            }
        };
        let key = if how.case { key.to_owned() } else { key.to_lowercase() };
        if !how.properties && entries.iter().any(|(other, _)| *other == key) {
            return Err(fail(format!("Duplicate option in '{file}': {section}")));
        }
        entries.retain(|(other, _)| *other != key);
        entries.push((key, value));
    }
    Ok(sections)
}

/// `%(name)s` from the same section, and `%%`.
fn interpolated(value: &str, entries: &[Entry], depth: usize) -> Result<String, Error> {
    if depth > 10 {
        return Err(fail("the values of the file use each other too deeply"));
    }
    let mut out = String::new();
    let mut rest = value;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('%') {
            out.push('%');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|r| r.split_once(")s")) {
            let found = entries.iter().rev().find(|(key, _)| *key == name.to_lowercase());
            let Some((_, Some(inner))) = found else {
                return Err(fail(format!("Bad value substitution: no key {}", python::quoted(name))));
            };
            out.push_str(&interpolated(inner, entries, depth + 1)?);
            rest = tail;
        } else {
            return Err(fail(format!("'%' must be followed by '%' or '(', found: {}", python::quoted(&rest[at..]))));
        }
    }
    Ok(out + rest)
}
