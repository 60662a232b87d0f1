//! Checks of the files that tasks name: that they exist, that templates can be read.
//!
//! A file may come into being while the play runs, on the controller too. So a missing one is an error only where the task
//! runs in any case and nothing in the playbook could make it; elsewhere it is a warning.

use std::path::PathBuf;

use super::check::walk;
use super::{Action, Context, Loader, Play, Task, find_file};
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{Node, Span};
use crate::template::FileOptions;
use crate::value::{Key, Map, Str, Value};

/// A file that a task names and that is not there.
#[derive(Debug)]
pub(super) struct Missing {
    diagnostic: Diagnostic,
    name: String,
    task: Span,
    /// Whether the task runs in any case, and its failure counts.
    certain: bool,
}

/// The file that an action reads on the controller, when it is named plainly: its name, and the directory of its kind.
fn file_of(action: &Action) -> Option<(&Str, &'static str)> {
    let args = &action.args;
    let text = |keys: &[&str]| match keys.iter().find_map(|key| args.get(*key))? {
        Value::Str(text) if !text.is_template() && !text.as_str().is_empty() => Some(text),
        _ => None,
    };
    let here = |args: &Map| match args.get("remote_src") {
        None => true,
        Some(value) => !value.has_templates() && value.to_bool() == Some(false),
    };
    match action.module {
        "ansible.builtin.copy" if here(args) => Some((text(&["src"])?, "files")),
        "ansible.builtin.template" => Some((text(&["src"])?, "templates")),
        "ansible.builtin.script" => Some((text(&["_raw_params", "cmd"])?, "files")),
        "ansible.builtin.include_vars" => Some((text(&["_raw_params", "file"])?, "vars")),
        "ansible.builtin.include_tasks" => Some((text(&["_raw_params", "file"])?, "tasks")),
        _ => None,
    }
}

impl Loader<'_> {
    /// Checks the file that a task names plainly.
    pub(super) fn check_file(&mut self, action: &Action, context: &Context, node: &Node) {
        if action.args_template.is_some() {
            return;
        }
        let Some((written, kind)) = file_of(action) else { return };
        let name = match action.module {
            // The rest are the script's own arguments.
            "ansible.builtin.script" => written.as_str().split_whitespace().next().unwrap_or_default(),
            _ => written.as_str(),
        };
        let mut search: Vec<PathBuf> = Vec::new();
        if matches!(kind, "tasks") {
            search.extend(node.span.directory());
        }
        for role in context.role.iter().flat_map(|role| std::iter::once(role).chain(&role.parents)) {
            search.push(role.path.clone());
        }
        search.extend(node.span.directory());
        search.push(self.directory.clone());
        let place = written.origin().unwrap_or(action.span);
        let ignored = context.ignore_errors.as_ref().is_some_and(|v| v.to_bool() != Some(false));
        let may_fail = ignored || self.guarded > 0 || node.get("failed_when").is_some();
        match find_file(name, kind, &search) {
            Some(path) if kind == "templates" => self.check_template(path, &action.args, may_fail),
            Some(_) => {}
            None => {
                let message = format!("{}: the file `{name}` does not exist", action.written);
                let looked: Vec<String> = search
                    .iter()
                    .flat_map(|p| [p.join(kind), p.clone()])
                    .map(|p| format!("`{}`", p.display()))
                    .collect();
                let diagnostic = Diagnostic::error("playbook::missing-file", message).at(place);
                self.missing.push(Missing {
                    diagnostic: diagnostic.help(format!("looked in {}", unique(looked).join(", "))),
                    name: PathBuf::from(name).file_name().unwrap_or_default().to_string_lossy().into_owned(),
                    task: node.span,
                    certain: context.when.is_empty() && context.tags.is_empty() && !may_fail,
                });
            }
        }
    }

    /// Checks that a template file can be read; each once. What is wrong is only warned of where the task may fail.
    fn check_template(&mut self, path: PathBuf, args: &Map, may_fail: bool) {
        let open = |(key, value): (&Key, &Value)| key.to_string().ends_with("_string") && value.has_templates();
        if args.iter().any(open) || !path.is_file() {
            return;
        }
        let options = FileOptions::of_args(args);
        if !self.templates.insert((path.clone(), options.clone(), may_fail)) {
            return;
        }
        if let Err(error) = options.check(&path, &self.options().vault) {
            let mut diagnostic = error.to_diagnostic();
            if may_fail {
                diagnostic.severity = Severity::Warning;
            }
            self.report(diagnostic);
        }
    }

    /// Decides about the missing files of the plays just loaded.
    pub(super) fn settle_missing(&mut self, plays: &[std::sync::Arc<Play>]) {
        let missing = std::mem::take(&mut self.missing);
        if missing.is_empty() || self.options().listing {
            return;
        }
        let writes_here = plays.iter().any(|play| works_here(play));
        for Missing { mut diagnostic, name, task, certain } in missing {
            if writes_here || !certain || plays.iter().any(|play| mentions(play, &name, task)) {
                diagnostic.severity = Severity::Warning;
            }
            self.report(diagnostic);
        }
    }
}

fn unique(mut words: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    words.retain(|word| seen.insert(word.clone()));
    words
}

fn tasks(play: &Play, visit: &mut impl FnMut(&Task)) {
    for section in [&play.pre_tasks, &play.role_tasks, &play.tasks, &play.post_tasks, &play.handlers] {
        walk(section, visit);
    }
}

/// Whether some task of a play may write on the controller, or brings tasks that are not known yet.
fn works_here(play: &Play) -> bool {
    let hosts = play.hosts.to_json().to_string();
    let mut found = hosts.contains("localhost") || hosts.contains("127.0.0.1") || hosts.contains("{{");
    tasks(play, &mut |task| {
        found |= task.is_include()
            || task.context.delegate_to.is_some()
            || task.context.connection.is_some()
            || task.action.module == "ansible.builtin.fetch";
    });
    found
}

/// Whether another task of a play names a file of this name.
fn mentions(play: &Play, name: &str, own: Span) -> bool {
    fn holds(value: &Value, name: &str) -> bool {
        match value {
            Value::Str(text) => text.as_str().contains(name),
            Value::List(items) => items.iter().any(|item| holds(item, name)),
            Value::Map(map) => map.values().any(|value| holds(value, name)),
            _ => false,
        }
    }
    let mut found = false;
    tasks(play, &mut |task| {
        let other = !(task.span.same_source(&own) && task.span.start == own.start);
        found |= other && task.action.args.values().any(|value| holds(value, name));
    });
    found
}
