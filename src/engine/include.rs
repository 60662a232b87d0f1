//! `include_tasks` and `include_role`: read when the play gets there, for the hosts that want them.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use super::event::{Event, Verdict};
use super::host::{HostPlay, PlayRun};
use super::play::{flatten, role_layer};
use super::task::TaskRun;
use super::walk::Walk;
use super::{Engine, result};
use crate::diagnostic::Diagnostic;
use crate::playbook::{Action, Block, Context, Item, Role, RoleOptions, Task, find_file};
use crate::template::{Templar, TemplateError};
use crate::value::{Key, Map, Value};

/// One thing to include, and the hosts that want exactly this.
struct Inclusion {
    what: What,
    params: Map,
    hosts: Vec<Arc<HostPlay>>,
}

#[derive(PartialEq)]
enum What {
    Tasks(PathBuf),
    Role { name: String, args: Map },
}

impl Engine {
    /// Runs an include: `asking` hosts say what they want, `hosts` are all for whom it counts (`run_once`).
    pub(super) async fn include(
        self: &Arc<Self>,
        run: &Arc<TaskRun>,
        asking: &[Arc<HostPlay>],
        hosts: &[Arc<HostPlay>],
        walk: &Walk,
    ) {
        let mut inclusions: Vec<Inclusion> = Vec::new();
        for host in asking {
            let wanted = match self.wanted(run, host) {
                Ok(wanted) => wanted,
                Err(error) => {
                    let mut diagnostic = error.to_diagnostic().or_at(Some(run.task.span));
                    diagnostic.label = Some("included here".into());
                    self.emit(Event::Error(diagnostic));
                    let failure = result::failed(error.message);
                    self.count(&host.name, |stats| if walk.rescuable { stats.rescued += 1 } else { stats.failed += 1 });
                    self.note_failure(host, &run.task.title(), Value::map(failure.clone()));
                    self.own_result(run, host, Verdict::Failed, failure);
                    continue;
                }
            };
            if wanted.is_empty() {
                self.count(&host.name, |stats| stats.skipped += 1);
                self.own_result(run, host, Verdict::Skipped, Map::new());
            }
            for (what, params) in wanted {
                let members = if asking.len() < hosts.len() { hosts.to_vec() } else { vec![host.clone()] };
                let same = inclusions
                    .iter_mut()
                    .find(|i| i.what == what && i.params == params && !i.hosts.iter().any(|h| h.name == host.name));
                match same {
                    Some(inclusion) => inclusion.hosts.extend(members),
                    None => inclusions.push(Inclusion { what, params, hosts: members }),
                }
            }
        }
        for inclusion in inclusions {
            let names = inclusion.hosts.iter().map(|h| h.name.to_string()).collect();
            let what = match &inclusion.what {
                What::Tasks(path) => path.display().to_string(),
                What::Role { name, .. } => name.clone(),
            };
            for host in &inclusion.hosts {
                self.count(&host.name, |stats| stats.ok += 1);
            }
            self.emit(Event::Included { what, hosts: names });
            match self.load_included(run, &inclusion, walk) {
                Ok(items) => self.items(&items, &inclusion.hosts, walk).await,
                Err(diagnostics) => {
                    diagnostics.iter().for_each(|d| self.emit(Event::Error(d.clone())));
                    let message = diagnostics.first().map(|d| d.message.clone()).unwrap_or_default();
                    for host in &inclusion.hosts {
                        let failure = result::failed(message.clone());
                        self.count(&host.name, |s| if walk.rescuable { s.rescued += 1 } else { s.failed += 1 });
                        self.note_failure(host, &run.task.title(), Value::map(failure));
                    }
                }
            }
            if self.is_aborted() {
                return;
            }
        }
        self.settle(&run.run, hosts, walk.rescuable);
    }

    /// What a host wants included: nothing, one thing, or one per item.
    fn wanted(&self, run: &TaskRun, host: &HostPlay) -> Result<Vec<(What, Map)>, TemplateError> {
        let scope = run.scope(self, host);
        let templar = Templar::new(Arc::new(scope.clone()));
        let task = &run.task;
        let items: Vec<Option<Value>> = match &task.looped {
            None => vec![None],
            Some(looped) => {
                let values = match &looped.lookup {
                    Some(lookup) => crate::template::lookups::loop_items(lookup, &looped.items, &templar)?,
                    None => match templar.value(&looped.items)? {
                        Value::List(items) => items.to_vec(),
                        other => {
                            let message =
                                format!("Invalid data passed to 'loop', it requires a list, got {}", other.kind());
                            return Err(TemplateError::message(message, Some(looped.span)));
                        }
                    },
                };
                values.into_iter().map(Some).collect()
            }
        };
        let control = &task.loop_control;
        let name_of = |setting: &Option<Value>, default: &str| -> Result<String, TemplateError> {
            Ok(setting
                .as_ref()
                .map(|v| templar.value(v))
                .transpose()?
                .map_or_else(|| default.to_owned(), |v| v.to_text()))
        };
        let loop_var = name_of(&control.loop_var, "item")?;
        let index_var = name_of(&control.index_var, "")?;
        let mut out = Vec::new();
        for (at, item) in items.into_iter().enumerate() {
            let mut params = Map::new();
            if let Some(item) = item {
                params.insert(Key::from(loop_var.as_str()), item);
                params.insert("ansible_loop_var".into(), Value::from(loop_var.as_str()));
                if !index_var.is_empty() {
                    params.insert(Key::from(index_var.as_str()), at.into());
                }
            }
            let templar = if params.is_empty() {
                templar.clone()
            } else {
                Templar::new(Arc::new(scope.with_top(params.clone())))
            };
            if !result::all(&templar, &task.context.when)? {
                continue;
            }
            out.push((self.what(run, &templar)?, params));
        }
        Ok(out)
    }

    fn what(&self, run: &TaskRun, templar: &Templar) -> Result<What, TemplateError> {
        let action = &run.task.action;
        let fail = |message: String| TemplateError::message(message, Some(action.span));
        let args = match templar.value(&Value::map(without(&action.args, "apply")))? {
            Value::Map(args) => args.as_ref().clone(),
            _ => Map::new(),
        };
        let text = |key: &str| args.get(key).map(Value::to_text);
        if action.module == "ansible.builtin.include_role" {
            let name = text("name")
                .or_else(|| text("role"))
                .ok_or_else(|| fail("'name' is a required field for include_role.".into()))?;
            return Ok(What::Role { name, args });
        }
        let name = text("_raw_params")
            .or_else(|| text("file"))
            .ok_or_else(|| fail("No file specified for include_tasks".into()))?;
        let search: Vec<PathBuf> = run.vars.search.to_vec();
        let mut nearest: Vec<PathBuf> = run.task.file.iter().filter_map(|f| f.parent().map(PathBuf::from)).collect();
        nearest.extend(search);
        find_file(&name, "tasks", &nearest)
            .map(What::Tasks)
            .ok_or_else(|| fail(format!("Could not find or access '{name}'")))
    }

    fn load_included(&self, run: &TaskRun, inclusion: &Inclusion, walk: &Walk) -> Result<Vec<Item>, Vec<Diagnostic>> {
        let task = &run.task;
        let mut params = Map::new();
        // The include's own `vars` are parameters of what it includes.
        for vars in task.context.vars.iter().skip(task.outer.vars.len()) {
            params.extend(vars.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        params.extend(inclusion.params.clone());
        let mut context = self.applied(task)?.with_params(Arc::new(params));
        let mut loader = self.loader();
        loader.set_directory(&run.run.vars.directory);
        match &inclusion.what {
            What::Tasks(path) => loader.task_file(path, &context, walk.handlers),
            What::Role { name, args } => {
                let text = |key: &str| args.get(key).map(Value::to_text);
                let flag = |key: &str, default| args.get(key).and_then(Value::to_bool).unwrap_or(default);
                let options = RoleOptions {
                    tasks_from: text("tasks_from"),
                    vars_from: text("vars_from"),
                    defaults_from: text("defaults_from"),
                    handlers_from: text("handlers_from"),
                    allow_duplicates: flag("allow_duplicates", true),
                    public: flag("public", false),
                    validate: flag("rolespec_validate", true),
                    span: Some(task.action.span),
                };
                // The role that includes is not a dependent of the one included.
                context.role.clone_from(&task.outer.role);
                let (items, handlers, roles) = loader.included_role(name, &options, &context)?;
                drop(loader);
                self.take_role(&run.run, &handlers, &roles);
                Ok(items)
            }
        }
    }

    fn take_role(&self, run: &PlayRun, handlers: &[Item], roles: &[Arc<Role>]) {
        let mut known = run.handlers.write().unwrap_or_else(PoisonError::into_inner);
        let mut new = Vec::new();
        flatten(handlers, &mut new);
        // A role included twice brings its handlers once.
        let is_known = |task: &Arc<Task>| known.iter().any(|k| k.span == task.span);
        let new: Vec<_> = new.into_iter().filter(|task| !is_known(task)).collect();
        known.extend(new);
        drop(known);
        let mut layers = run.vars.roles.write().unwrap_or_else(PoisonError::into_inner);
        for role in roles.iter().filter(|role| role.public) {
            if !layers.iter().any(|layer| layer.path == role.path) {
                layers.push(role_layer(role));
            }
        }
    }

    /// What included tasks inherit: the include's surroundings, with its `apply` on top.
    fn applied(&self, task: &Task) -> Result<Context, Vec<Diagnostic>> {
        let mut context = task.outer.as_ref().clone();
        let Some(apply) = task.action.args.get("apply").and_then(Value::as_map) else { return Ok(context) };
        for (key, value) in apply {
            let name = key.to_string();
            if !context.apply(&name, value) {
                let message = format!("`{name}` cannot be applied to included tasks");
                return Err(vec![Diagnostic::error("playbook::apply", message).at(task.span)]);
            }
        }
        Ok(context)
    }

    /// Checks a role's arguments against its specification, as a task of its own.
    pub(super) async fn validate_role(
        self: &Arc<Self>,
        block: &Block,
        role: &Arc<Role>,
        hosts: &[Arc<HostPlay>],
        walk: &Walk,
    ) {
        let (Some(first), Some(spec)) = (hosts.first(), &role.argument_spec) else { return };
        let mut args = Map::new();
        args.insert("argument_spec".into(), spec.get("options").cloned().unwrap_or_else(|| Map::new().into()));
        args.insert("validate_args_context".into(), role_context(role));
        let context = Context {
            role: Some(role.clone()),
            params: role.params.clone(),
            tags: vec!["always".into()],
            ..Context::default()
        };
        let task = Task {
            name: Some(crate::value::Str::data("Validating arguments against arg spec 'main'")),
            span: block.span,
            action: Action {
                module: "ansible.builtin.validate_argument_spec",
                written: "ansible.builtin.validate_argument_spec".into(),
                span: block.span,
                args,
                args_template: None,
            },
            outer: Arc::new(context.clone()),
            context,
            looped: None,
            loop_control: Default::default(),
            register: None,
            notify: Vec::new(),
            listen: Vec::new(),
            until: Vec::new(),
            retries: None,
            delay: None,
            changed_when: Vec::new(),
            failed_when: Vec::new(),
            asynchronous: None,
            poll: None,
            file: None,
        };
        let _ = first;
        Box::pin(self.task(&Arc::new(task), hosts, walk)).await;
    }

    /// `gather_facts`, as a task of its own at the start of a play.
    pub(super) async fn gather_facts(self: &Arc<Self>, run: &Arc<PlayRun>, hosts: &[Arc<HostPlay>]) {
        let play = &run.play;
        let Some(first) = hosts.first() else { return };
        let wanted = match &play.gather_facts {
            Some(value) => {
                let templar = TaskRun::new(&facts_task(play), run).templar(self, first);
                templar.value(value).ok().and_then(|v| v.to_bool()).unwrap_or(true)
            }
            None => self.options.gather_facts,
        };
        if wanted {
            self.task(&facts_task(play), hosts, &Walk::default()).await;
        }
    }
}

fn facts_task(play: &crate::playbook::Play) -> Arc<Task> {
    let mut args = Map::new();
    for (name, value) in [
        ("gather_subset", &play.gather_subset),
        ("gather_timeout", &play.gather_timeout),
        ("fact_path", &play.fact_path),
    ] {
        if let Some(value) = value {
            args.insert(name.into(), value.clone());
        }
    }
    let mut context = play.context.clone();
    // Facts are gathered whatever tags are asked for, unless `always` is skipped.
    context.tags = vec!["always".into()];
    Arc::new(Task {
        name: Some(crate::value::Str::data("Gathering Facts")),
        span: play.span,
        action: Action {
            module: "ansible.builtin.setup",
            written: "ansible.builtin.setup".into(),
            span: play.span,
            args,
            args_template: None,
        },
        outer: Arc::new(context.clone()),
        context,
        looped: None,
        loop_control: Default::default(),
        register: None,
        notify: Vec::new(),
        listen: Vec::new(),
        until: Vec::new(),
        retries: None,
        delay: None,
        changed_when: Vec::new(),
        failed_when: Vec::new(),
        asynchronous: None,
        poll: None,
        file: None,
    })
}

fn role_context(role: &Role) -> Value {
    let mut out = Map::new();
    out.insert("type".into(), "role".into());
    out.insert("name".into(), Value::from(role.name.as_str()));
    out.insert("path".into(), role.path.display().to_string().into());
    out.into()
}

fn without(map: &Map, key: &str) -> Map {
    let mut out = map.clone();
    out.shift_remove(key);
    out
}
