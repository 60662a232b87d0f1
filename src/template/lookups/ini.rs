//! The lookup `ini`: a key of a section of an INI or properties file.

use minijinja::Error;

use super::{Lookup, files};
use crate::template::call::fail;
use crate::template::python;
use crate::template::regex::{Flags, Pattern};
use crate::value::Value;

/// Sections in order, each with its keys in order.
type Sections = Vec<(String, Vec<(String, String)>)>;

pub(super) fn run(lookup: &Lookup<'_>) -> Result<Vec<Value>, Error> {
    let mut out = Vec::new();
    for term in &lookup.terms {
        let (key, options) = lookup.key_and_options(term);
        let text = |name: &str, default: &str| options.get(name).map_or_else(|| default.to_owned(), python::text);
        let flag = |name: &str| options.get(name).and_then(Value::to_bool).unwrap_or(false);
        let properties = text("type", "ini") == "properties";
        let case = flag("case_sensitive");
        let content = files::content(lookup, &text("file", "ansible.ini"))?;
        let sections = read(&content, properties, case);
        let section = if properties { "java_properties".to_owned() } else { text("section", "global") };
        let default = || options.get("default").cloned().unwrap_or_else(|| Value::from(""));
        let wanted = if case { key.clone() } else { key.to_lowercase() };
        if flag("re") {
            let pattern = Pattern::new(&key, Flags { ignorecase: !case, multiline: false })?;
            let entries = sections.iter().filter(|(name, _)| *name == section).flat_map(|(_, entries)| entries);
            for (name, value) in entries {
                if pattern.captures(name, 0)?.is_some_and(|m| m.get(0).is_some_and(|m| m.start() == 0)) {
                    out.push(Value::from(value.as_str()));
                }
            }
            continue;
        }
        let Some((_, entries)) = sections.iter().find(|(name, _)| *name == section) else {
            if options.contains_key("default") {
                out.push(default());
                continue;
            }
            return Err(fail(format!("No section: {}", python::quoted(&section))));
        };
        let interpolate = options.get("interpolation").and_then(Value::to_bool).unwrap_or(true);
        let found = entries.iter().rev().find(|(name, _)| *name == wanted);
        out.push(match found {
            Some((_, value)) if interpolate && !properties => Value::from(interpolated(value, entries, 0)?),
            Some((_, value)) => Value::from(value.as_str()),
            None => default(),
        });
    }
    Ok(out)
}

fn read(text: &str, properties: bool, case: bool) -> Sections {
    let mut sections: Sections = Vec::new();
    if properties {
        sections.push(("java_properties".to_owned(), Vec::new()));
    }
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) || properties && trimmed.starts_with('!') {
            continue;
        }
        if !properties
            && let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(name, _)| name)
        {
            sections.push((name.to_owned(), Vec::new()));
            continue;
        }
        let Some((_, entries)) = sections.last_mut() else { continue };
        // A line that is indented goes on with the value before it.
        if line.starts_with([' ', '\t'])
            && let Some((_, value)) = entries.last_mut()
        {
            value.push('\n');
            value.push_str(trimmed);
            continue;
        }
        let (key, value) = trimmed.split_once(['=', ':']).unwrap_or((trimmed, ""));
        let key = if case { key.trim().to_owned() } else { key.trim().to_lowercase() };
        entries.push((key, value.trim().to_owned()));
    }
    sections
}

/// `%(name)s` from the same section, and `%%`.
fn interpolated(value: &str, entries: &[(String, String)], depth: usize) -> Result<String, Error> {
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
            let Some((_, inner)) = found else {
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
