//! Tasks and handlers.

use std::sync::Arc;

use super::context::{Context, unknown_keywords};
use super::{Item, Loader, Loop, LoopControl, Task, keywords};
use crate::diagnostic::Diagnostic;
use crate::source::{Node, NodeKind};
use crate::value::{Str, Value};

impl Loader<'_> {
    /// A task, or what an import stands for.
    pub(super) fn task_or_import(&mut self, node: &Node, outer: &Arc<Context>, handlers: bool) -> Vec<Item> {
        let (context, (action, local)) = {
            let context = outer.with(node, true, self);
            let Some(action) = self.action(node, &context) else { return Vec::new() };
            (context, action)
        };
        let mut context = context;
        // A block's `notify` is inherited; a task's own is read below.
        context.notify.clone_from(&outer.notify);
        if local {
            context.put("delegate_to", Some(Value::data("localhost")));
            if context.connection.is_none() {
                context.put("connection", Some(Value::data("local")));
            }
        }
        if let Some(listen) = node.get("listen").filter(|_| !handlers) {
            let message = "'listen' is not a valid attribute for a Task";
            self.report(
                Diagnostic::error("playbook::unknown-keyword", message)
                    .at(listen.span)
                    .help("only a handler listens to a topic"),
            );
        }
        if let Some(listen) = node.get("listen").filter(|listen| handlers && !listen.is_null()) {
            self.check_texts("listen", listen);
        }
        if handlers && matches!(action.module, "ansible.builtin.import_role" | "ansible.builtin.include_role") {
            let message = format!("Using '{}' as a handler is not supported.", action.written);
            self.report(
                Diagnostic::error("playbook::handler", message)
                    .at(action.span)
                    .help("include a file of tasks instead: `include_tasks`"),
            );
            return Vec::new();
        }
        if matches!(action.module, "ansible.builtin.import_tasks" | "ansible.builtin.import_role") {
            // What is imported inherits it, as from a block.
            if let Some(own) = node.get("notify") {
                context.notify = self.values(own);
            }
        }
        if handlers
            && action.module == "ansible.builtin.meta"
            && action.args.get("_raw_params").and_then(Value::as_str) == Some("flush_handlers")
        {
            let message = "flush_handlers cannot be used as a handler";
            self.report(Diagnostic::error("playbook::meta-action", message).at(action.span));
        }
        self.check_include_args(&action);
        if let "ansible.builtin.import_tasks" | "ansible.builtin.import_role" = action.module {
            self.depth += 1;
            let items = match action.module {
                "ansible.builtin.import_role" => self.import_role(node, &action, &context),
                _ => self.import_tasks(node, &action, &context, handlers),
            };
            self.depth -= 1;
            return items;
        }
        if action.module == "ansible.builtin.set_fact" {
            for key in action.args.keys().filter_map(|key| key.as_str()) {
                self.warn_reserved_name(key, action.span);
            }
        }
        if matches!(action.module, "ansible.builtin.include_tasks" | "ansible.builtin.include_role") {
            self.check_include_keywords(node, action.module, handlers);
        }
        self.check_available(&action, &context);
        self.check_file(&action, &context, node);
        self.check_reserved(&action);
        self.check_steering(&action, &context, handlers);
        vec![Item::Task(Arc::new(self.task(node, action, context, outer)))]
    }

    /// An include takes few keywords: what it brings gets the others by `apply`.
    fn check_include_keywords(&mut self, node: &Node, module: &str, handlers: bool) {
        let kind = match module {
            "ansible.builtin.include_role" => "IncludeRole",
            _ if handlers => "HandlerTaskInclude",
            _ => "TaskInclude",
        };
        let known = [keywords::SHARED, keywords::CONDITIONAL, keywords::TASK];
        for (key, _) in node.as_map().unwrap_or_default() {
            let name = key.as_str().unwrap_or_default();
            let is_keyword = known.iter().any(|set| set.contains(&name));
            let listens = handlers && name == "listen";
            if is_keyword && !listens && !keywords::INCLUDE.contains(&name) && !name.starts_with("with_") {
                let message = format!("'{name}' is not a valid attribute for a {kind}");
                let help = "give it to what is included: `apply`, or write it there";
                self.report(Diagnostic::error("playbook::include-keyword", message).at(key.span).help(help));
            }
        }
    }

    fn task(&mut self, node: &Node, action: super::Action, mut context: Context, outer: &Arc<Context>) -> Task {
        // What a task says itself takes the place of what the blocks around it say.
        let outer_notify = std::mem::take(&mut context.notify);
        let notify = node.get("notify").map_or(outer_notify, |own| self.values(own));
        let conditions = |loader: &mut Self, name: &str| match node.get(name) {
            // Nothing is no condition of a result.
            Some(value) if value.is_null() && name != "until" => vec![Value::Null],
            Some(value) => loader.conditions(value),
            None => Vec::new(),
        };
        for (name, keyword) in [("retries", "retries"), ("delay", "delay"), ("async", "async_val"), ("poll", "poll")] {
            if let Some(value) = node.get(name) {
                context.note_place(keyword, value);
            }
        }
        let setting = |loader: &mut Self, name: &str| {
            let value = node.get(name)?;
            loader.check_templates(value);
            Some(value.to_value())
        };
        let register =
            node.get("register").filter(|register| !register.is_null()).and_then(|register| match register.as_str() {
                Some(name) if crate::value::holds_jinja(name) => {
                    let message = format!("Invalid variable name in 'register' specified: '{name}'");
                    self.report(Diagnostic::error("playbook::variable-name", message).at(register.span));
                    None
                }
                Some(name) => Some(Str::trusted(name, Some(register.span))),
                None => {
                    let shown = register.to_value().to_text();
                    let message = format!("Invalid variable name in 'register' specified: '{shown}'");
                    self.report(Diagnostic::error("playbook::register", message).at(register.span));
                    None
                }
            });
        if let (Some(name), Some(span)) = (&register, node.get("register").map(|n| n.span)) {
            self.warn_reserved_name(name.as_str(), span);
        }
        if let Some(name) = &register
            && !name.is_template()
            && !super::loader::is_identifier(name.as_str())
        {
            let message = format!("Invalid variable name in 'register' specified: '{}'", name.as_str());
            let diagnostic = Diagnostic::error("playbook::variable-name", message);
            self.report(diagnostic.or_at(name.origin()));
        }
        if let Some(name) = node.get("name") {
            super::context::must_be_text("name", name, self);
            self.check_templates(name);
        }
        Task {
            name: node.get("name").filter(|n| crate::template::truthy(&n.to_value())).map(|n| match n.to_value() {
                Value::Str(text) => text,
                other => Str::data_at(other.to_text(), n.span),
            }),
            span: node.span,
            action,
            outer: outer.clone(),
            looped: self.looped(node),
            loop_control: self.loop_control(node),
            register,
            notify,
            listen: node.get("listen").map(|n| self.values(n)).unwrap_or_default(),
            until: conditions(self, "until"),
            retries: setting(self, "retries"),
            delay: setting(self, "delay"),
            changed_when: conditions(self, "changed_when"),
            failed_when: conditions(self, "failed_when"),
            asynchronous: setting(self, "async"),
            poll: setting(self, "poll"),
            context,
        }
    }

    fn looped(&mut self, node: &Node) -> Option<Loop> {
        let mut found: Option<Loop> = None;
        for (key, value) in node.as_map().unwrap_or_default() {
            let name = key.as_str().unwrap_or_default();
            let lookup = match name.strip_prefix("with_") {
                Some(lookup) => Some(lookup.to_owned()),
                None if name == "loop" => None,
                None => continue,
            };
            self.check_templates(value);
            if lookup.is_none() && value.is_null() {
                continue;
            }
            if value.is_null() {
                let message = format!("you must specify a value when using {name}");
                self.report(Diagnostic::error("playbook::no-items", message).at(key.span));
                continue;
            }
            match (&mut found, &lookup) {
                (Some(_), Some(second)) => {
                    let message = format!("duplicate loop in task: {second}");
                    let place = if self.options().late { node.span } else { key.span };
                    self.report(Diagnostic::error("playbook::two-loops", message).at(place).help("keep one of them"));
                    continue;
                }
                (Some(first), None) => {
                    // As in the reference: the lookup is the one's, what is looked up the other's.
                    let message = "this task has two loops: `loop` takes the place of what stands in the other";
                    self.report(Diagnostic::warning("playbook::two-loops", message).at(key.span));
                    (first.items, first.span) = (value.to_value(), value.span);
                    continue;
                }
                (None, _) => {}
            }
            if let Some(lookup) = &lookup
                && !crate::template::lookups::exists(lookup)
            {
                let message = format!("there is no lookup `{lookup}` to loop with");
                let known = crate::template::lookups::names();
                self.report(Diagnostic::error("playbook::lookup", message).at(key.span).suggest(lookup, known));
            }
            if lookup.is_none() && !matches!(value.kind, NodeKind::List(_) | NodeKind::Str(_)) {
                let message = format!("`loop` must be a list, not {}", value.describe());
                self.report(
                    Diagnostic::error("playbook::loop-items", message)
                        .at(value.span)
                        .help("for a dictionary, use the `dict2items` filter"),
                );
            }
            found = Some(Loop { lookup, items: value.to_value(), span: value.span });
        }
        found
    }

    fn loop_control(&mut self, node: &Node) -> Option<Box<LoopControl>> {
        let control = node.get("loop_control")?;
        if control.as_map().is_none() {
            let message = "`loop_control` must be a dictionary";
            self.report(Diagnostic::error("playbook::loop-control", message).at(control.span));
        }
        unknown_keywords(control, "loop_control", &[keywords::LOOP_CONTROL], self);
        self.check_templates(control);
        for name in ["loop_var", "index_var", "label"] {
            if let Some(value) = control.get(name) {
                super::context::must_be_text(name, value, self);
            }
        }
        let setting = |name: &str| control.get(name).map(Node::to_value);
        Some(Box::new(LoopControl {
            loop_var: setting("loop_var"),
            index_var: setting("index_var"),
            label: setting("label"),
            pause: setting("pause"),
            extended: setting("extended"),
            extended_allitems: setting("extended_allitems"),
            break_when: control
                .get("break_when")
                .filter(|when| when.as_str() != Some(""))
                .map(|n| self.conditions(n))
                .unwrap_or_default(),
        }))
    }
}
