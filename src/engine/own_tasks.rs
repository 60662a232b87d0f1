//! Tasks that nobody wrote: facts at the start of a play, a role's arguments checked.

use std::sync::Arc;

use super::host::{HostPlay, PlayRun};
use super::walk::Walk;
use super::{Engine, Gathering};
use crate::playbook::{Action, Block, Play, Role, Task};
use crate::template::Templar;
use crate::value::{Map, Value};

impl Engine {
    /// Checks a role's arguments against its specification, as a task of its own.
    pub(super) async fn validate_role(
        self: &Arc<Self>,
        block: &Block,
        role: &Arc<Role>,
        hosts: &[Arc<HostPlay>],
        walk: &Walk,
    ) {
        let Some(spec) = role.argument_spec.as_ref().filter(|_| !hosts.is_empty()) else { return };
        let mut args = Map::new();
        args.insert("argument_spec".into(), spec.spec.get("options").cloned().unwrap_or_else(|| Map::new().into()));
        let params = role.own_params.as_deref().cloned().unwrap_or_default();
        args.insert("provided_arguments".into(), params.into());
        args.insert("validate_args_context".into(), role_context(role, &spec.entry));
        let mut context = role.around.clone();
        context.role = Some(role.clone());
        context.params.clone_from(&role.params);
        context.tags = vec!["always".into()];
        context.notify.clear();
        let action = own_action("ansible.builtin.validate_argument_spec", block.span, args);
        let mut name = format!("Validating arguments against arg spec '{}'", spec.entry);
        if let Some(description) = spec.spec.get("short_description").and_then(Value::as_str) {
            name = format!("{name} - {description}");
        }
        let task = Task::own(&name, action, context);
        Box::pin(self.task(&Arc::new(task), hosts, walk)).await;
    }

    /// `gather_facts`, as a task of its own at the start of a play.
    pub(super) async fn gather_facts(self: &Arc<Self>, run: &Arc<PlayRun>, hosts: &[Arc<HostPlay>]) {
        let Some(task) = &run.facts_task else { return };
        // As in the reference: who is known already is not asked again, even by a play that says yes.
        let known = |host: &&Arc<HostPlay>| self.world.store(&host.name).facts.contains_key("module_setup");
        let hosts: Vec<Arc<HostPlay>> = match self.options.gathering {
            Gathering::Smart => hosts.iter().filter(|host| !known(host)).cloned().collect(),
            _ => hosts.to_vec(),
        };
        if !hosts.is_empty() {
            self.task(task, &hosts, &Walk::default()).await;
        }
    }

    /// The task that gathers facts at the start of a play, where that is wanted.
    pub(super) fn facts_task(&self, play: &Play, templar: &Templar) -> Option<Arc<Task>> {
        let wanted = match &play.gather_facts {
            Some(value) => templar.value(value).ok().and_then(|v| v.to_bool()).unwrap_or(true),
            None => self.options.gathering != Gathering::Explicit,
        };
        wanted.then(|| facts_task(play, templar))
    }
}

fn facts_task(play: &Play, templar: &Templar) -> Arc<Task> {
    let mut args = Map::new();
    for (name, value) in [
        ("gather_subset", &play.gather_subset),
        ("gather_timeout", &play.gather_timeout),
        ("fact_path", &play.fact_path),
    ] {
        // As the other keywords of a play these are the same for all hosts.
        let value = value.as_ref().and_then(|value| templar.value(value).ok());
        match value.unwrap_or(Value::Null) {
            Value::Null | Value::Omit => {}
            Value::Str(text) if text.as_str().is_empty() => {
                args.insert(name.into(), Value::list(vec![Value::Str(text)]));
            }
            value => {
                args.insert(name.into(), value);
            }
        }
    }
    let mut context = play.context.clone();
    // Facts are gathered whatever tags are asked for, unless `always` is skipped.
    context.tags = vec!["always".into()];
    Arc::new(Task::own("Gathering Facts", own_action("ansible.builtin.gather_facts", play.span, args), context))
}

fn own_action(module: &'static str, span: crate::source::Span, args: Map) -> Action {
    Action { module, written: module.to_owned(), span, args, args_template: None }
}

fn role_context(role: &Role, entry: &str) -> Value {
    let mut out = Map::new();
    out.insert("type".into(), "role".into());
    // A collection's role goes by its own name here.
    let own = role.path.file_name().and_then(|n| n.to_str()).filter(|n| role.name.ends_with(n));
    out.insert("name".into(), Value::from(own.unwrap_or(&role.name)));
    out.insert("argument_spec_name".into(), entry.into());
    let path = std::path::absolute(&role.path).unwrap_or_else(|_| role.path.clone());
    out.insert("path".into(), path.display().to_string().into());
    out.into()
}
