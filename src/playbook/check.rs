//! Checks of arguments and handlers that need no host.

use super::action::{Action, ModuleInfo, canonical_name};
use super::{Context, Item, Loader, Play};
use crate::diagnostic::Diagnostic;
use crate::source::Node;
use crate::value::{Key, Value};

/// What `meta` can do.
pub const META_ACTIONS: &[&str] = &[
    "clear_facts",
    "clear_host_errors",
    "end_batch",
    "end_host",
    "end_play",
    "end_role",
    "flush_handlers",
    "noop",
    "refresh_inventory",
    "reset_connection",
];

impl Loader<'_> {
    /// Checks a task's arguments against its module; values that are templates are taken as unknown.
    ///
    /// What `module_defaults` give is there, whatever it is.
    pub(super) fn check_args(&mut self, action: &Action, info: &ModuleInfo, node: &Node, context: &Context) {
        self.check_templates(node);
        let mut args = serde_json::Map::new();
        for defaults in &context.module_defaults {
            let Some(modules) = defaults.as_map() else { return };
            for (name, values) in modules {
                let meant = canonical_name(&name.to_string(), &context.collections, self.catalog());
                if meant.is_some_and(|meant| meant.name == info.name) {
                    let Some(values) = values.as_map() else { return };
                    args.extend(values.keys().map(|key| (key.to_string(), rplay_worker::args::opaque())));
                }
            }
        }
        for (key, value) in &action.args {
            if key.is_template() {
                return;
            }
            let value = if value.has_templates() || matches!(value, Value::Omit) {
                rplay_worker::args::opaque()
            } else {
                value.to_json()
            };
            args.insert(key.to_string(), value);
        }
        let Err(problem) = self.catalog().check(info.name, &args) else { return };
        let place = problem.argument.as_deref().and_then(|name| {
            let entries = node.as_map()?;
            entries.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(key, _)| key.span)
        });
        let message = format!("{}: {}", action.written, problem.message);
        let mut diagnostic =
            Diagnostic::error("playbook::arguments", message).at(place.unwrap_or(action.span)).label("here");
        if let Some(near) = problem.suggestion {
            diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
        }
        self.report(diagnostic);
    }

    /// Refuses arguments whose names are the reference's own.
    pub(super) fn check_reserved(&mut self, action: &Action) {
        if let Some(name) = action.args.keys().filter_map(Key::as_str).find(|name| name.starts_with("_ansible_")) {
            let message = format!(
                "Invalid parameter specified beginning with keyword '_ansible_' for action '{}': '{name}'. The prefix \
                 '_ansible_' is reserved for internal use only.",
                action.written
            );
            self.report(Diagnostic::error("playbook::reserved", message).at(action.span));
        }
    }

    /// Checks `meta`: what it is told to do, where that is plain.
    pub(super) fn check_steering(&mut self, action: &Action, context: &Context, handlers: bool) {
        if action.module == "ansible.builtin.meta"
            && let Some(Value::Str(what)) = action.args.get("_raw_params")
            && !what.is_template()
        {
            let word = what.as_str().trim();
            if !META_ACTIONS.contains(&word) {
                let message = format!("invalid meta action requested: {word}");
                let place = what.origin().unwrap_or(action.span);
                let diagnostic = Diagnostic::error("playbook::meta-action", message).at(place);
                self.report(diagnostic.suggest(word, META_ACTIONS.iter().copied()));
            } else if word == "end_role" && handlers {
                let message = "Cannot execute 'end_role' from a handler";
                self.report(Diagnostic::error("playbook::meta", message).at(action.span));
            } else if word == "end_role" && context.role.is_none() {
                let message = "Cannot execute 'end_role' from outside of a role";
                self.report(Diagnostic::error("playbook::meta", message).at(action.span));
            }
        }
    }

    /// Reports every `notify` of a name that no handler of the play has or listens to.
    ///
    /// Where the play includes roles or files while it runs, handlers may come with them, and nothing can be said.
    pub(super) fn check_notified(&mut self, play: &Play) {
        let mut known: Vec<String> = Vec::new();
        let mut open = false;
        walk(&play.handlers, &mut |task| {
            let listens = task.listen.iter().filter_map(Value::as_str);
            let named = task.name.as_ref().map(|n| n.as_str());
            for name in listens.chain(named) {
                open |= crate::value::holds_jinja(name);
                known.push(name.to_owned());
                if let Some(role) = &task.context.role {
                    known.push(format!("{} : {name}", role.name));
                }
            }
            open |= task.action.module.contains(".include_") || task.action.module.contains(".import_");
        });
        let mut notified: Vec<Value> = Vec::new();
        for section in [&play.pre_tasks, &play.role_tasks, &play.tasks, &play.post_tasks, &play.handlers] {
            walk(section, &mut |task| {
                open |= task.action.module == "ansible.builtin.include_role"
                    || task.action.module == "ansible.builtin.include_tasks";
                notified.extend(task.notify.iter().cloned());
            });
        }
        if open {
            return;
        }
        for value in notified {
            let Value::Str(name) = &value else { continue };
            if name.is_template() || known.iter().any(|k| k == name.as_str()) {
                continue;
            }
            let message = format!("no handler is called `{}`, and none listens to it", name.as_str());
            let diagnostic = Diagnostic::error("playbook::missing-handler", message).or_at(name.origin());
            self.report(diagnostic.suggest(name.as_str(), known.iter().map(String::as_str)));
        }
    }

    pub(super) fn diagnostics_len(&mut self) -> usize {
        let diagnostics = self.take_diagnostics();
        let len = diagnostics.len();
        diagnostics.into_iter().for_each(|d| self.report(d));
        len
    }
}

/// Calls `visit` for every task below `items`.
pub(super) fn walk(items: &[Item], visit: &mut impl FnMut(&super::Task)) {
    for item in items {
        match item {
            Item::Task(task) => visit(task),
            Item::Block(block) => {
                walk(&block.body, visit);
                walk(&block.rescue, visit);
                walk(&block.always, visit);
            }
        }
    }
}
