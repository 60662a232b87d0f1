//! INI files as dictionaries: `from_ini`, `to_ini`, by the rules of Python's own reader and writer.

use indexmap::IndexMap;
use minijinja::{Error, Value as Jinja};

use super::names;
use crate::template::call::{Call, Spec, ansible, fail};
use crate::template::{python, python_type};
use crate::value::{Map, Value};

pub(super) const FILTERS: &[Spec] =
    &[ansible(names!("from_ini"), &["obj"], from_ini), ansible(names!("to_ini"), &["obj"], to_ini)];

/// The section whose entries all others have too.
const DEFAULT: &str = "DEFAULT";

/// Keys with the lines of their values.
type Section = IndexMap<String, Vec<String>>;

fn from_ini(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.value(0)?;
    let Value::Str(text) = &value else {
        return Err(fail(format!("a string is needed, not {}", python_type(&value))));
    };
    let sections = read(text.as_str())?;
    let entries = |section: &Section| -> Map {
        let text = |lines: &Vec<String>| lines.join("\n").trim_end().to_owned();
        section.iter().map(|(key, lines)| (key.as_str().into(), text(lines).into())).collect()
    };
    let defaults = sections.get(DEFAULT).map(entries).unwrap_or_default();
    let mut out = Map::new();
    for (name, section) in sections.iter().filter(|(name, _)| *name != DEFAULT) {
        let mut all = defaults.clone();
        all.extend(entries(section));
        out.insert(name.as_str().into(), Value::map(all));
    }
    if !defaults.is_empty() {
        out.insert(DEFAULT.into(), Value::map(defaults));
    }
    Ok(Value::map(out).to_jinja())
}

fn read(text: &str) -> Result<IndexMap<String, Section>, Error> {
    let mut sections: IndexMap<String, Section> = IndexMap::new();
    let (mut key, mut indent): (Option<String>, usize) = (None, 0);
    for (at, line) in text.lines().enumerate() {
        let wrong = |what: &str| fail(format!("line {}: {what}: {}", at + 1, python::quoted(line)));
        let content = line.trim();
        if content.starts_with(['#', ';']) {
            continue;
        }
        let depth = line.chars().take_while(|c| c.is_whitespace()).count();
        let last = sections.last_mut().and_then(|(_, section)| section.get_mut(key.as_deref()?));
        if let Some(lines) = last.filter(|_| content.is_empty() || depth > indent) {
            lines.push(content.to_owned());
            continue;
        }
        if content.is_empty() {
            continue;
        }
        indent = depth;
        let header = content.strip_prefix('[').and_then(|rest| rest.rsplit_once(']')).map(|(name, _)| name);
        if let Some(name) = header.filter(|name| !name.is_empty()) {
            let section = match sections.shift_remove(name) {
                Some(_) if name != DEFAULT => return Err(wrong("the section is there already")),
                found => found.unwrap_or_default(),
            };
            sections.insert(name.to_owned(), section);
            key = None;
            continue;
        }
        let Some((_, section)) = sections.last_mut() else { return Err(wrong("there is no section yet")) };
        let Some((name, value)) = content.split_once(['=', ':']).filter(|(name, _)| !name.trim().is_empty()) else {
            return Err(wrong("this is neither a section nor an entry"));
        };
        let name = name.trim_end().to_owned();
        if section.insert(name.clone(), vec![value.trim_start().to_owned()]).is_some() {
            return Err(wrong("the section has this key already"));
        }
        key = Some(name);
    }
    Ok(sections)
}

fn to_ini(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.value(0)?;
    let Value::Map(map) = &value else {
        return Err(fail(format!("a dictionary of sections is needed, not {}", python_type(&value))));
    };
    let mut sections: IndexMap<String, Vec<String>> = IndexMap::new();
    for (name, content) in map.iter() {
        let Value::Map(entries) = content else {
            return Err(fail(format!("section '{name}' must be a dictionary, not {}", python_type(content))));
        };
        let mut lines: IndexMap<String, String> = IndexMap::new();
        for (key, value) in entries.iter() {
            if value.is_null() {
                return Err(fail(format!("'{key}' of section '{name}' has no value")));
            }
            let text = python::text(value).replace('\n', "\n\t");
            if lines.insert(python::text(&key.to_value()), text).is_some() {
                return Err(fail(format!("section '{name}' has '{key}' twice")));
            }
        }
        let lines = lines.into_iter().map(|(key, text)| format!("{key} = {text}\n")).collect();
        if sections.insert(python::text(&name.to_value()), lines).is_some() {
            return Err(fail(format!("the section '{name}' is there twice")));
        }
    }
    if let Some(defaults) = sections.shift_remove(DEFAULT).filter(|lines| !lines.is_empty()) {
        sections.shift_insert(0, DEFAULT.to_owned(), defaults);
    }
    if sections.is_empty() {
        return Err(fail("an empty dictionary makes no INI file"));
    }
    let sections: Vec<String> = sections.iter().map(|(name, lines)| format!("[{name}]\n{}", lines.concat())).collect();
    Ok(Jinja::from(sections.join("\n")))
}
