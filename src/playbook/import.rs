//! `import_tasks` and `import_role`: read while loading, their keywords inherited by every task they bring.

use std::path::PathBuf;
use std::sync::Arc;

use super::context::Context;
use super::loader::Named;
use super::role::{RoleOptions, Used};
use super::{Action, Block, Item, Loader, find_file};
use crate::config::absolute_path;
use crate::diagnostic::Diagnostic;
use crate::source::{Node, NodeKind};
use crate::value::Value;

impl Loader<'_> {
    pub(super) fn import_tasks(
        &mut self,
        node: &Node,
        action: &Action,
        context: &Context,
        handlers: bool,
    ) -> Vec<Item> {
        self.refuse_loop(node, &action.written);
        let Some(name) = self.import_target(node, action, &["_raw_params", "file"], context) else { return Vec::new() };
        let search = self.task_search(node, context);
        let Some(path) = find_file(&name, "tasks", &search) else {
            let message = format!("the imported file of tasks `{name}` does not exist");
            self.report(
                Diagnostic::error("playbook::missing-import", message)
                    .at(action.span)
                    .help(looked_in("tasks", &search)),
            );
            return Vec::new();
        };
        if self.importing.contains(&path) {
            let message = format!("`{}` imports itself", path.display());
            self.report(Diagnostic::error("playbook::import-loop", message).at(action.span));
            return Vec::new();
        }
        if self.yaml(&path).is_none_or(|node| holds_nothing(&node)) {
            let message = format!("file {} is empty and had no tasks to include", absolute_path(&path).display());
            self.report(Diagnostic::warning("run::empty-import", message));
        }
        let body = self.tasks_of_file(&path, context, handlers, "a file of tasks");
        if handlers || body.is_empty() {
            return body;
        }
        // What is imported is a block of its own.
        vec![Item::Block(Arc::new(Block { body, nested: true, ..Block::empty(action.span) }))]
    }

    pub(super) fn import_role(&mut self, node: &Node, action: &Action, context: &Context) -> Vec<Item> {
        self.refuse_loop(node, &action.written);
        let Some(name) = self.import_target(node, action, &["name", "role"], context) else { return Vec::new() };
        let text = |key: &str| action.args.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
        let flag = |key: &str, default| action.args.get(key).and_then(Value::to_bool).unwrap_or(default);
        let own_vars = context.vars.last().filter(|_| node.get("vars").is_some());
        let own_vars = own_vars.map(|vars| vars.as_ref().clone()).unwrap_or_default();
        let options = RoleOptions {
            tasks_from: text("tasks_from"),
            vars_from: text("vars_from"),
            defaults_from: text("defaults_from"),
            handlers_from: text("handlers_from"),
            allow_duplicates: flag("allow_duplicates", true),
            public: flag("public", !self.options().private_role_vars),
            validate: flag("rolespec_validate", true),
            used: Used::Imported,
            entry: RoleOptions::entry_of(own_vars),
            vars: Vec::new(),
            own_params: None,
            span: Some(action.span),
        };
        // The import's `vars` are those of a block around the role, and not its parameters.
        self.role(&name, Some(action.span), &options, context)
    }

    fn import_target(&mut self, node: &Node, action: &Action, keys: &[&str], context: &Context) -> Option<String> {
        let value = keys.iter().find_map(|key| action.args.get(*key));
        let written = match value {
            Some(Value::Str(text)) => text.clone(),
            _ => {
                let message = format!("`{}` must say what to import", action.written);
                self.report(Diagnostic::error("playbook::arguments", message).at(node.span));
                return None;
            }
        };
        let named = if keys.contains(&"role") { Named::Role } else { Named::Tasks };
        // The path of an import is told with its task.
        let span = written.origin().filter(|_| named == Named::Role).unwrap_or(node.span);
        let kind = NodeKind::Str(written.as_str().to_owned());
        self.static_text(&Node { kind, span, tag: None }, named, context)
    }

    fn refuse_loop(&mut self, node: &Node, written: &str) {
        for (key, _) in node.as_map().unwrap_or_default() {
            let name = key.as_str().unwrap_or_default();
            if name == "loop" || name.starts_with("with_") {
                let message = format!("You cannot use loops on '{written}' statements");
                let help = format!("use `{}` instead", written.replace("import", "include"));
                self.report(Diagnostic::error("playbook::import-loop", message).at(key.span).help(help));
            }
        }
    }

    /// Where a task's relative files are looked for: its role, the file's own directory, the playbook's.
    fn task_search(&self, node: &Node, context: &Context) -> Vec<PathBuf> {
        let mut search: Vec<PathBuf> = Vec::new();
        search.extend(node.span.directory());
        search.extend(context.role.iter().map(|role| role.path.clone()));
        search.push(self.directory.clone());
        search
    }
}

/// Whether a file of tasks has none.
fn holds_nothing(node: &Node) -> bool {
    matches!(&node.kind, NodeKind::Null) || node.as_list().is_some_and(<[Node]>::is_empty)
}

fn looked_in(kind: &str, search: &[PathBuf]) -> String {
    let places: Vec<String> =
        search.iter().flat_map(|p| [p.join(kind), p.clone()]).map(|p| format!("`{}`", p.display())).collect();
    format!("looked in {}", places.join(", "))
}
