//! The lookups that Ansible adds to Jinja, one file per family.

mod csv;
pub(super) mod files;
mod filetree;
mod general;
mod generators;
mod ini;
#[cfg(test)]
mod loops;
mod outside;
mod password;
mod random_string;
mod url;
mod variables;

use std::sync::Arc;

use minijinja::{Environment, Error, ErrorKind, Value as Jinja};

use super::call::{Call, Spec, add_functions, ansible, fail, is_missing, undefined};
use super::lazy::{Root, root_of};
use super::{Templar, TemplateError, python};
use crate::config::plugin_name;
use crate::value::{Map, Value};

/// A lookup at work: its terms, its options and what it may see.
pub(super) struct Lookup<'a> {
    /// The short name.
    name: &'static str,
    /// What is looked up.
    terms: Vec<Value>,
    /// Named arguments.
    options: Map,
    /// The scope it is called from.
    templar: &'a Templar,
    /// Where below each directory of the search path `first_found` looks too.
    subdirectory: &'a str,
}

/// What a lookup gives for its terms.
type Run = fn(&Lookup<'_>) -> Result<Vec<Value>, Error>;

/// Every lookup there is, by its short name.
const LOOKUPS: &[(&str, Run)] = &[
    ("config", outside::config),
    ("csvfile", csv::run),
    ("collection_version", general::collection_version),
    ("dependent", general::dependent),
    ("dict", generators::dict),
    ("env", outside::env),
    ("file", files::file),
    ("fileglob", files::fileglob),
    ("filetree", filetree::run),
    ("first_found", files::first_found),
    ("flattened", generators::flattened),
    ("indexed_items", generators::indexed_items),
    ("ini", ini::run),
    ("inventory_hostnames", variables::inventory_hostnames),
    ("items", generators::items),
    ("lines", outside::lines),
    ("list", generators::list),
    ("merge_variables", general::merge_variables),
    ("nested", generators::nested),
    ("cartesian", generators::nested),
    ("password", password::run),
    ("pipe", outside::pipe),
    ("random_choice", generators::random_choice),
    ("random_string", random_string::run),
    ("sequence", generators::sequence),
    ("subelements", generators::subelements),
    ("template", files::template),
    ("together", generators::together),
    ("unvault", files::unvault),
    ("url", url::run),
    ("varnames", variables::varnames),
    ("vars", variables::vars),
];

const FUNCTIONS: &[Spec] = &[
    ansible(&["lookup"], &["plugin_name", "/", "*terms", "**options"], |call| invoke(call, false)).lenient(),
    ansible(&["query", "q"], &["plugin_name", "/", "*terms", "**options"], |call| invoke(call, true)).lenient(),
];

/// Adds `lookup`, `query` and `q`.
pub(super) fn add_to(env: &mut Environment<'static>) {
    add_functions(env, FUNCTIONS);
}

fn find(name: &str) -> Option<&'static (&'static str, Run)> {
    let short = plugin_name(name);
    let short = short.strip_prefix("community.general.").unwrap_or(short);
    LOOKUPS.iter().find(|(known, _)| *known == short)
}

/// Whether there is a lookup of this name, short or full.
#[must_use]
pub fn exists(name: &str) -> bool {
    find(name).is_some()
}

/// The short names of all lookups.
#[must_use]
pub fn names() -> Vec<&'static str> {
    LOOKUPS.iter().map(|(name, _)| *name).collect()
}

/// The items of `with_<lookup>: terms`; the terms come as they are written.
pub fn loop_items(lookup: &str, terms: &Value, templar: &Templar) -> Result<Vec<Value>, TemplateError> {
    loop_items_for("", lookup, terms, templar)
}

/// The items of `with_<lookup>: terms` of a task with this action: `first_found` looks below `templates` for a template,
/// below `vars` for variables and below `files` for anything else.
pub fn loop_items_for(
    action: &str,
    lookup: &str,
    terms: &Value,
    templar: &Templar,
) -> Result<Vec<Value>, TemplateError> {
    let Some((name, run)) = find(lookup) else {
        return Err(TemplateError::message(format!("The lookup plugin '{lookup}' was not found."), None));
    };
    let terms = match terms {
        // What is undefined is not there to be found, and that is no error.
        Value::List(terms) if *name == "first_found" => {
            let mut there = Vec::new();
            for term in terms.iter() {
                match templar.value(term) {
                    Ok(term) => there.push(term),
                    Err(error) if error.is_undefined => {}
                    Err(error) => return Err(error),
                }
            }
            there
        }
        terms => match templar.value(terms)? {
            Value::Omit => return Err(TemplateError::message(super::OMITTED, terms.origin())),
            terms => listed(terms),
        },
    };
    let subdirectory = match action {
        action if action.contains("template") => "templates",
        action if action.contains("var") => "vars",
        _ => "files",
    };
    let lookup = Lookup { name, terms, options: Map::new(), templar, subdirectory };
    run(&lookup).map_err(|e| TemplateError::new(&lookup.explain(e), None))
}

fn listed(value: Value) -> Vec<Value> {
    match value {
        Value::List(items) => items.to_vec(),
        other => vec![other],
    }
}

/// How an error of a lookup is met.
#[derive(PartialEq)]
enum Errors {
    Strict,
    Warn,
    Ignore,
}

fn invoke(call: &mut Call<'_, '_, '_>, as_list: bool) -> Result<Jinja, Error> {
    let name = call.need(0)?.to_str().ok_or_else(|| fail("a lookup's name must be text"))?;
    let Some((short, run)) = find(&name) else {
        return Err(fail(format!("The lookup plugin '{name}' was not found.")));
    };
    let (mut wantlist, mut errors) = (as_list, Errors::Strict);
    let mut options = Map::new();
    let mut missing_default = None;
    for (key, value) in std::mem::take(&mut call.more) {
        if *short == "env" && key == "default" && is_missing(&value) {
            // An error only where the variable is not set.
            missing_default = Some(undefined(call.state, &value));
            continue;
        }
        if value.is_undefined() {
            return Ok(value);
        }
        match key.as_str() {
            "wantlist" => wantlist = value.is_true(),
            "errors" => {
                errors = match value.as_str() {
                    Some("warn") => Errors::Warn,
                    Some("ignore") => Errors::Ignore,
                    // As in the reference, whatever else it says.
                    _ => Errors::Strict,
                };
            }
            _ => drop(options.insert(key.into(), Value::from_jinja(&value)?)),
        }
    }
    let mut terms = Vec::new();
    for term in std::mem::take(&mut call.rest) {
        if term.is_undefined() {
            // What is looked up with something undefined is undefined itself: an error where it is used.
            return Ok(term);
        }
        terms.push(Value::from_jinja(&term)?);
    }
    let root = scope(call).ok_or_else(|| fail("a lookup works only where there are variables"))?;
    let templar = Templar { root };
    if let Some(error) = missing_default {
        let unset = terms.iter().map(python::text).find(|name| std::env::var_os(name).is_none());
        match unset {
            Some(name) if error.detail() == Some(super::functions::NO_HINT) => {
                let message = format!("The environment variable '{name}' is not set.");
                return Ok(Jinja::from(Error::new(ErrorKind::UndefinedError, message)));
            }
            // What is undefined is told only to who uses it.
            Some(_) => return Ok(Jinja::from(error)),
            None => {}
        }
    }
    let lookup = Lookup { name: short, terms, options, templar: &templar, subdirectory: "" };
    match run(&lookup) {
        Ok(found) => Ok(result(found, wantlist)),
        // What is undefined is an error, however much may be ignored.
        Err(error) if errors == Errors::Strict || error.kind() == ErrorKind::UndefinedError => {
            Err(lookup.explain(error))
        }
        Err(error) => {
            if errors == Errors::Warn {
                let error = TemplateError::new(&lookup.explain(error), None);
                tracing::warn!("Lookup failed but the error is being ignored: {error}");
            }
            Ok(if wantlist { Jinja::from(Vec::<Jinja>::new()) } else { Jinja::from(()) })
        }
    }
}

fn scope(call: &Call<'_, '_, '_>) -> Option<Arc<Root>> {
    root_of(call.state)
}

/// `lookup` gives one thing: the only one, several texts joined, or a list after all.
fn result(found: Vec<Value>, wantlist: bool) -> Jinja {
    if !wantlist && found.len() > 1 && found.iter().all(|v| matches!(v, Value::Str(_))) {
        return Jinja::from(found.iter().map(python::text).collect::<Vec<_>>().join(","));
    }
    match found.as_slice() {
        [one] if !wantlist => one.to_jinja(),
        _ => Value::list(found).to_jinja(),
    }
}

/// The words of a term, those in quotes whole and with their quotes: of what is looked up they are a part.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut quote) = (None, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, c)
                if matches!(c, ' ' | '\n' | '\r')
                    || c == '\t' && text.as_bytes().get(at.wrapping_sub(1)) != Some(&b'=') =>
            {
                if let Some(from) = start.take() {
                    words.push(&text[from..at]);
                }
                continue;
            }
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
        start.get_or_insert(at);
    }
    words.extend(start.map(|from| &text[from..]));
    words
}

impl Lookup<'_> {
    /// The error with the lookup's name.
    fn explain(&self, error: Error) -> Error {
        let ours = error.kind() == ErrorKind::InvalidOperation && std::error::Error::source(&error).is_none();
        match error.detail() {
            Some(detail) if ours => fail(format!("The lookup plugin '{}' failed: {detail}", self.name)),
            _ => error,
        }
    }

    /// An option, unless it is missing or `none`.
    fn option(&self, name: &str) -> Option<&Value> {
        self.options.get(name).filter(|v| !v.is_null())
    }

    /// An option as text.
    fn text(&self, name: &str) -> Option<String> {
        self.option(name).map(python::text)
    }

    /// An option as a truth value, also by the reference's words.
    fn flag(&self, name: &str, default: bool) -> bool {
        self.option(name).map_or(default, |v| v.to_bool().unwrap_or_else(|| super::truthy(v)))
    }

    /// A term such as `key name=value …`: the key and the options, those of the call included.
    fn key_and_options(&self, term: &Value) -> (String, Map) {
        let text = python::text(term);
        let words = words(&text);
        let mut options = self.options.clone();
        let mut key = Vec::new();
        for word in words {
            match word.split_once('=') {
                Some((name, value)) if !key.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                    let bare = |quote: char| value.strip_prefix(quote).and_then(|v| v.strip_suffix(quote));
                    let value = bare('"').or_else(|| bare('\'')).unwrap_or(value);
                    options.insert(name.into(), value.into());
                }
                _ => key.push(word),
            }
        }
        (key.join(" "), options)
    }
}
