//! What includes and imports are given: found while loading, as in the reference.

use super::{Action, Loader};
use crate::diagnostic::Diagnostic;
use crate::source::{Node, NodeKind};
use crate::template::python_type;
use crate::value::Value;

/// Names of a role's files that an include may choose.
const FROM: [&str; 4] = ["tasks_from", "vars_from", "defaults_from", "handlers_from"];

impl Loader<'_> {
    /// Reports arguments of an include or import that cannot be.
    pub(super) fn check_include_args(&mut self, action: &Action) {
        let short = action.module.strip_prefix("ansible.builtin.").unwrap_or_default();
        let wrong = match short {
            "include_tasks" | "import_tasks" if action.args_template.is_none() => wrong_of_tasks(action, short),
            "include_role" | "import_role" if action.args_template.is_none() => wrong_of_role(action, short),
            _ => return,
        };
        if let Some(message) = wrong.or_else(|| wrong_apply(action)) {
            self.report(Diagnostic::error("playbook::include-arguments", message).at(action.span));
        }
    }

    /// Reports an entry of a keyword's list that is no text.
    pub(super) fn check_texts(&mut self, keyword: &str, node: &Node) {
        let entries = node.as_list().unwrap_or(std::slice::from_ref(node));
        if let Some(wrong) = entries.iter().find(|entry| entry.as_str().is_none()) {
            let kind = python_type(&wrong.to_value());
            let message = format!("Keyword '{keyword}' items must be of type 'str', not '{kind}'.");
            self.report(Diagnostic::error("playbook::keyword-type", message).at(wrong.span));
        }
    }

    /// Reports a role's `meta` that says nothing that can be read.
    pub(super) fn check_meta(&mut self, meta: &Node, role: &str) {
        let message = match meta.get("dependencies") {
            _ if meta.as_map().is_none() && !meta.is_null() => {
                format!("the 'meta/main.yml' for role {role} is not a dictionary")
            }
            Some(list) if list.as_list().is_none() && !list.is_null() => {
                "Expected role dependencies to be a list.".to_owned()
            }
            _ => return,
        };
        self.report(Diagnostic::error("playbook::role-meta", message).at(meta.span));
    }

    /// Reports entries of `vars_files` that are no names of files.
    pub(super) fn check_vars_files(&mut self, files: &Node) {
        let entries = match &files.kind {
            NodeKind::List(items) => items.as_slice(),
            _ => std::slice::from_ref(files),
        };
        for entry in entries {
            if matches!(entry.kind, NodeKind::Str(_) | NodeKind::List(_) | NodeKind::Null) {
                continue;
            }
            let message = format!("Invalid `vars_files` value of type '{}'.", python_type(&entry.to_value()));
            self.report(Diagnostic::error("playbook::vars-files", message).at(entry.span));
        }
    }
}

fn wrong_of_tasks(action: &Action, short: &str) -> Option<String> {
    let known: &[&str] =
        if short == "import_tasks" { &["_raw_params", "file"] } else { &["_raw_params", "file", "apply"] };
    let strangers: Vec<String> =
        action.args.keys().map(ToString::to_string).filter(|name| !known.contains(&name.as_str())).collect();
    if !strangers.is_empty() {
        return Some(format!("Invalid options for {short}: {}", strangers.join(",")));
    }
    let file = ["_raw_params", "file"].iter().find_map(|name| action.args.get(*name));
    let named = file.is_some_and(|file| !file.is_null() && file.as_str() != Some(""));
    (!named).then(|| format!("No file specified for {short}"))
}

fn wrong_of_role(action: &Action, short: &str) -> Option<String> {
    let known = ["name", "role", "public", "allow_duplicates", "rolespec_validate", "apply"];
    let is_known = |name: &String| {
        FROM.contains(&name.as_str()) || known[..if short == "import_role" { 5 } else { 6 }].contains(&name.as_str())
    };
    let strangers: Vec<String> = action.args.keys().map(ToString::to_string).filter(|name| !is_known(name)).collect();
    if !strangers.is_empty() {
        return Some(format!("Invalid options for {short}: {}", strangers.join(",")));
    }
    let name = ["name", "role"].iter().find_map(|name| action.args.get(*name)).filter(|name| !name.is_null());
    if name.is_none() {
        return Some(format!("'name' is a required field for {short}."));
    }
    FROM.iter().find_map(|from| {
        let value = action.args.get(*from).filter(|value| value.as_str().is_none())?;
        Some(format!("Expected a string for {from} but got <class '{}'> instead", python_type(value)))
    })
}

fn wrong_apply(action: &Action) -> Option<String> {
    let apply = action.args.get("apply").filter(|apply| !matches!(apply, Value::Map(_)))?;
    Some(format!("Expected a dict for apply but got <class '{}'> instead", python_type(apply)))
}
