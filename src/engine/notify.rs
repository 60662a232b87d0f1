//! Which handlers a name means.

use std::sync::{Arc, PoisonError};

use super::Engine;
use super::event::Event;
use super::host::{HostPlay, PlayRun};
use super::task::TaskRun;
use crate::diagnostic::Diagnostic;
use crate::playbook::{Item, Task};
use crate::template::Templar;
use crate::value::{Key, Map, Value};

/// A handler of a play.
#[derive(Debug)]
pub struct Handler {
    /// The task.
    pub task: Arc<Task>,
    /// Which list it stands in: a role's, the play's, a block's. Where several have a name, the last list counts.
    pub group: usize,
}

/// Handlers without the blocks around them; each block is a group of its own, and so are the tasks between two blocks.
pub(super) fn flatten(items: &[Item], mut group: usize) -> Vec<Handler> {
    fn tasks(items: &[Item], group: usize, out: &mut Vec<Handler>) {
        for item in items {
            match item {
                Item::Task(task) => out.push(Handler { task: task.clone(), group }),
                Item::Block(block) => tasks(&block.body, group, out),
            }
        }
    }
    let mut out = Vec::new();
    let mut after_block = false;
    for item in items {
        if after_block || matches!(item, Item::Block(_)) {
            group += 1;
        }
        after_block = matches!(item, Item::Block(_));
        tasks(std::slice::from_ref(item), group, &mut out);
    }
    out
}

impl Engine {
    /// Notes which handlers the task's `notify` means; a name that no handler has ends the run, as in the reference.
    ///
    /// What the names mean is settled when handlers run, for roles may bring more of them until then; a handler that notifies
    /// (`now`) means those there are. False where the run has ended with it.
    pub(super) fn notify(&self, run: &TaskRun, host: &HostPlay, items: &[&Map], now: bool) -> bool {
        let named = |templar: &Templar, items: usize| {
            self.notified_names(run, templar).is_some_and(|names| self.notify_named(run, host, &names, items, now))
        };
        if run.task.looped.is_none() {
            return named(&run.templar(self, host), 1);
        }
        // Each item that was not skipped notifies whom it means; as in the reference, it need not be the one that changed something.
        if !run.task.notify.iter().any(Value::has_templates) {
            return items.is_empty() || named(&run.templar(self, host), items.len());
        }
        items.iter().all(|item| {
            let names = ["ansible_loop_var", "ansible_index_var"].map(|name| item.get(name).and_then(Value::as_str));
            let names = names.into_iter().flatten().chain(["ansible_loop"]);
            let layer = names.filter_map(|name| Some((Key::from(name), item.get(name)?.clone()))).collect();
            named(&Templar::new(Arc::new(run.scope(self, host).with_top(layer))), 1)
        })
    }

    /// The names that the task's `notify` comes to; `None` where the run has ended with it.
    fn notified_names(&self, run: &TaskRun, templar: &Templar) -> Option<Vec<String>> {
        let mut names = Vec::new();
        for value in &run.task.notify {
            match templar.value(value) {
                Ok(Value::List(items)) => names.extend(items.iter().map(Value::to_text)),
                Ok(Value::Omit) => {}
                Ok(Value::Null) if value.has_templates() => {}
                Ok(other) => names.push(other.to_text()),
                Err(error) => {
                    self.broken(vec![error.to_diagnostic().or_at(Some(run.task.span))]);
                    return None;
                }
            }
        }
        Some(names)
    }

    /// Notifies handlers for a number of items; false where the run has ended with it.
    fn notify_named(&self, run: &TaskRun, host: &HostPlay, names: &[String], items: usize, now: bool) -> bool {
        let named: Vec<_> = names.iter().map(|name| (name, self.find_handlers(&run.run, host, name))).collect();
        for (name, handlers) in std::iter::repeat_n(&named, items).flatten() {
            if handlers.is_empty() {
                if !self.may_be_missing(run, host, name) {
                    return false;
                }
                continue;
            }
            let text = format!("Notification for handler {name} has been saved.");
            run.say(self, &host.name, Event::Remark { verbosity: 2, text });
            if now {
                for handler in handlers {
                    host.notify(*handler);
                }
            } else {
                host.note((*name).clone());
            }
        }
        true
    }

    /// Says that no handler has a name; false where the run ends with that.
    fn may_be_missing(&self, run: &TaskRun, host: &HostPlay, name: &str) -> bool {
        let message = format!(
            "The requested handler '{name}' was not found in either the main handlers list nor in the listening handlers list"
        );
        let may =
            self.world.info.settings.get("ERROR_ON_MISSING_HANDLER").is_some_and(|s| s.value.as_bool() == Some(false));
        if may {
            let warning = Diagnostic::warning("run::missing-handler", message).at(run.task.span);
            run.say(self, &host.name, Event::Warning(warning));
        } else {
            self.broken(vec![Diagnostic::error("run::missing-handler", message).at(run.task.span)]);
        }
        may
    }

    /// Settles which handlers the names mean that a host's tasks notified.
    pub(super) fn settle_notified(&self, run: &Arc<PlayRun>, host: &HostPlay) {
        for name in host.take_notes() {
            for at in self.find_handlers(run, host, &name).into_iter().filter(|at| host.notify(*at)) {
                let handlers = run.handlers.read().unwrap_or_else(PoisonError::into_inner);
                let title = handlers.get(at).map(|handler| handler.task.title()).unwrap_or_default();
                let text = format!("NOTIFIED HANDLER {title} for {}", host.name);
                self.emit(Event::Remark { verbosity: 2, text });
            }
        }
    }

    /// Says that a handler's name cannot be evaluated, so that nothing can notify it.
    fn unusable(&self, name: &str, why: &str) {
        let message = format!(
            "Handler '{name}' is unusable because it has no listen topics and the name could not be templated \
             (host-specific variables are not supported in handler names). The error: {why}"
        );
        self.emit(Event::Warning(Diagnostic::warning("run::handler-name", message)));
    }

    /// The places of the handlers that are called `name` (one) or listen to it (one of each name).
    fn find_handlers(&self, run: &Arc<PlayRun>, host: &HostPlay, name: &str) -> Vec<usize> {
        let handlers = run.handlers.read().unwrap_or_else(PoisonError::into_inner);
        // The last list counts, and in a list the first handler.
        let mut order: Vec<usize> = (0..handlers.len()).collect();
        order.sort_by_key(|at| (std::cmp::Reverse(handlers[*at].group), *at));
        let title = |at: usize| {
            let task = &handlers[at].task;
            match &task.name {
                Some(text) if text.is_template() => {
                    let own = TaskRun::new(task, run).templar_without_host(self, host).string(text);
                    own.map(|v| v.to_text()).unwrap_or_else(|error| {
                        if task.listen.is_empty() {
                            self.unusable(text.as_str(), &error.message);
                        }
                        String::new()
                    })
                }
                Some(text) => text.as_str().to_owned(),
                None => String::new(),
            }
        };
        // `role : name` means that role's; a role of a collection goes by its short name too.
        let is = |at: usize, own: &str| {
            let role = handlers[at].task.context.role.as_ref();
            // What has no name cannot be called by it.
            if own.is_empty() {
                return false;
            }
            own == name
                || role.is_some_and(|role| {
                    let short = role.name.rsplit('.').next().unwrap_or_default();
                    [role.name.as_str(), short].iter().any(|role| format!("{role} : {own}") == name)
                })
        };
        let is_called = |at: &usize| is(*at, &title(*at));
        let mut out: Vec<usize> = order.iter().find(|at| is_called(at)).copied().into_iter().collect();
        let mut seen: Vec<String> = Vec::new();
        for at in order {
            let task = &handlers[at].task;
            // Topics are words, not templates.
            let listens = task.listen.iter().any(|topic| topic.as_str().is_some_and(|topic| is(at, topic)));
            if !listens {
                continue;
            }
            let title = title(at);
            if seen.contains(&title) {
                continue;
            }
            if task.name.is_some() {
                seen.push(title);
            }
            if !out.contains(&at) {
                out.push(at);
            }
        }
        out
    }
}
