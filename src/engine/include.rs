//! `include_tasks` and `include_role`: read when the play gets there, for the hosts that want them.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use super::event::{Event, Verdict};
use super::frames::Frame;
use super::host::{HostPlay, PlayRun, alive};
use super::keywords::{self, Kind};
use super::notify::flatten;
use super::on_host::{OnHost, Pass};
use super::play::role_layer;
use super::task::{Asked, TaskRun};
use super::walk::Walk;
use super::{Engine, Loss, result, role_names};
use crate::action::ActionError;
use crate::config::private_role_vars;
use crate::diagnostic::Diagnostic;
use crate::playbook::keywords::SHARED;
use crate::playbook::{Context, Item, Role, RoleOptions, Task, Used, find_file};
use crate::template::TemplateError;
use crate::value::{Map, Value};

/// What may be wrong with what is included without ending the run: its hosts fail then, and a rescue may take that up.
const RESCUED: [&str; 8] = [
    "run::missing-file",
    "playbook::missing-file",
    "playbook::missing-import",
    "playbook::missing-role",
    "playbook::included-not-a-list",
    "playbook::removed",
    "playbook::loop",
    "playbook::two-loops",
];

/// One thing to include, and the hosts that want exactly this.
struct Inclusion {
    wanted: Wanted,
    hosts: Vec<Arc<HostPlay>>,
}

/// What an include means.
#[derive(Debug, PartialEq)]
pub(super) struct Wanted {
    /// What to include.
    what: What,
    /// `apply` as it comes out: hosts on which it differs do not go together.
    apply: Value,
    /// The item it is included for.
    params: Map,
    /// What that is called.
    label: Option<Value>,
}

/// What an include names.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    /// A file of tasks; what it is called by as that came out, and the file, when there is one.
    Tasks(Value, Option<PathBuf>),
    /// A role.
    Role { name: String, args: Map },
}

impl OnHost<'_> {
    /// What a pass of an include wants, and the result that is registered for it.
    pub(super) fn wanted(&self, pass: &Pass) -> Result<(Wanted, Map), ActionError> {
        let action = &self.task().action;
        let fail = |message: &str| TemplateError::message(message, Some(action.span));
        let mut args = Map::new();
        for (key, value) in without(&action.args, "apply") {
            let value = pass.templar.value(&value).map_err(|mut error| {
                let module = action.module;
                let before =
                    format!("Finalization of task args for '{module}' failed: Error while resolving value for");
                error.message = format!("{before} '{key}': {}", error.message);
                error
            })?;
            if !matches!(value, Value::Omit) {
                args.insert(key, value);
            }
        }
        for name in ["public", "allow_duplicates", "rolespec_validate"] {
            if let Some(error) =
                args.get(name).and_then(|value| keywords::check(&pass.templar, name, value, Kind::Bool))
            {
                return Err(error.into());
            }
        }
        let given = |key: &str| args.get(key).filter(|value| crate::template::truthy(value)).cloned();
        let first = |keys: &[&str]| keys.iter().find_map(|key| given(key));
        let (what, name) = if action.module == "ansible.builtin.include_role" {
            let name = first(&["name", "role"]).ok_or_else(|| fail("'name' is a required field for include_role."))?;
            (What::Role { name: name.to_text(), args }, name)
        } else {
            let missing = || ActionError::told("No include file was specified to the include");
            let name = first(&["_raw_params", "file"]).ok_or_else(missing)?;
            let mut nearest: Vec<PathBuf> = self.task().span.directory().into_iter().collect();
            nearest.extend(self.run.vars.search.iter().cloned());
            let path = find_file(&name.to_text(), "tasks", &nearest);
            (What::Tasks(name.clone(), path), name)
        };
        let mut out = Map::new();
        let apply = match action.args.get("apply") {
            Some(apply) => pass.templar.value(apply).unwrap_or_else(|_| apply.clone()),
            None => Value::Null,
        };
        let mut given = match &what {
            What::Tasks(..) => {
                out.insert("include".into(), name);
                Map::new()
            }
            What::Role { args, .. } => args.clone(),
        };
        if !apply.is_null() {
            given.insert("apply".into(), apply.clone());
        }
        out.insert("include_args".into(), given.into());
        out.insert("changed".into(), Value::Bool(false));
        let params = pass.item.as_ref().map(super::on_host::Item::layer).unwrap_or_default();
        // As in the reference, what is kept secret is said even where there is no item, and of items also where it depends.
        let depends = || self.keyword("no_log", &pass.templar).as_ref().as_ref().is_some_and(Value::has_templates);
        let label = match (&pass.item, pass.no_log || pass.item.is_some() && depends()) {
            (_, true) => Some(Value::from("(censored due to no_log)")),
            (item, false) => item.as_ref().map(|item| self.label(pass, item, &mut out)),
        };
        Ok((Wanted { what, apply, params, label }, out))
    }
}

/// What was read of what hosts asked to include.
#[derive(Default)]
pub(super) struct Included {
    /// Tasks with those who asked for them.
    read: Vec<(Vec<Item>, Vec<Arc<HostPlay>>)>,
    /// Those who asked for what could not be read.
    unread: Vec<Vec<Arc<HostPlay>>>,
}

impl Engine {
    /// Reads what hosts asked to include, in the order in which it was asked for.
    pub(super) fn read_included(self: &Arc<Self>, run: &Arc<TaskRun>, asked: Asked, walk: &Walk) -> Included {
        let mut included = Included::default();
        if self.is_broken() {
            return included;
        }
        let mut inclusions: Vec<Inclusion> = Vec::new();
        for (host, wanted) in asked {
            for wanted in wanted {
                let same =
                    inclusions.iter_mut().find(|i| i.wanted == wanted && !i.hosts.iter().any(|h| h.name == host.name));
                match same {
                    Some(inclusion) => inclusion.hosts.push(host.clone()),
                    None => inclusions.push(Inclusion { wanted, hosts: vec![host.clone()] }),
                }
            }
        }
        for inclusion in inclusions {
            match self.load_included(run, &inclusion, walk) {
                Ok(items) => {
                    inclusion.hosts.iter().for_each(|host| self.count(&host.name, |stats| stats.ok += 1));
                    let hosts = inclusion.hosts.iter().map(|h| h.name.to_string()).collect();
                    let what = match inclusion.wanted.what {
                        What::Tasks(_, Some(path)) => path.display().to_string(),
                        What::Tasks(name, None) => name.to_text(),
                        What::Role { name, .. } => name,
                    };
                    self.emit(Event::Included { task: run.task.clone(), what, item: inclusion.wanted.label, hosts });
                    included.read.push((items, inclusion.hosts));
                }
                Err(diagnostics) if diagnostics.iter().all(|d| RESCUED.contains(&d.code)) => {
                    self.tell_unread(run, &inclusion, diagnostics);
                    included.unread.push(inclusion.hosts);
                }
                // What is no playbook ends the run, as it does before anything runs.
                Err(diagnostics) => {
                    self.broken(diagnostics);
                    return Included::default();
                }
            }
        }
        included
    }

    /// Runs what was read, on those who asked for it.
    pub(super) async fn run_included(self: &Arc<Self>, run: &Arc<TaskRun>, included: Included, walk: &Walk) {
        for hosts in included.unread {
            // What is asked for more than once fails once.
            let hosts = alive(&hosts);
            if !hosts.is_empty() {
                self.fail_unread(run, &hosts, walk);
            }
        }
        for (items, hosts) in included.read {
            // What is included is a block of its own.
            let around = walk.around(true);
            // Who failed in what was included before does not come here.
            let hosts = alive(&hosts);
            hosts.iter().for_each(|host| host.frames(|frames| frames.enter(around, Frame::plain())));
            self.items(&items, &hosts, &Walk { depth: around + 1, ..*walk }).await;
        }
    }

    /// Tells what could not be read.
    fn tell_unread(self: &Arc<Self>, run: &TaskRun, inclusion: &Inclusion, diagnostics: Vec<Diagnostic>) {
        let hosts = &inclusion.hosts;
        let message = diagnostics.first().map(Diagnostic::reference_message).unwrap_or_default();
        let action = &run.task.action;
        let named = ["name", "role", "_raw_params", "file"].iter().find_map(|key| action.args.get(*key));
        let place = match named {
            Some(Value::Str(name)) => name.origin(),
            _ => None,
        };
        let place = place.unwrap_or(action.span);
        let secret: Vec<bool> = hosts.iter().map(|host| OnHost::new(self, run, host).keeps_secret()).collect();
        if !secret.contains(&true) {
            diagnostics.into_iter().for_each(|d| self.emit(Event::Error(d.or_at(Some(place)))));
        }
        for (host, secret) in hosts.iter().zip(secret) {
            let mut failure = result::failed("");
            failure.shift_remove("msg");
            if let What::Tasks(name, _) = &inclusion.wanted.what {
                failure.insert("include".into(), name.clone());
            }
            failure.insert("reason".into(), Value::from(message.as_str()));
            self.count(&host.name, |stats| stats.failed += 1);
            // Of a loop nothing is shown.
            if run.task.looped.is_none() {
                let shown = if secret { result::censored(&failure) } else { failure };
                self.own_result(run, host, Verdict::Failed, shown);
            }
        }
    }

    /// What could not be read fails those who asked for it; that is never ignored.
    fn fail_unread(&self, run: &TaskRun, hosts: &[Arc<HostPlay>], walk: &Walk) {
        // A rescue may follow, which is not told what failed; it is counted as failed all the same.
        hosts.iter().for_each(|host| host.fail(None));
        // As in the reference, later plays do without these even where a rescue takes it up.
        self.note_lost(&run.run, hosts, &Walk::default());
        if walk.rescuable {
            self.lost().extend(hosts.iter().map(|host| (host.name.to_string(), Loss::Rescued)));
        }
        self.after_task(run, hosts, walk, false);
    }

    fn load_included(&self, run: &TaskRun, inclusion: &Inclusion, walk: &Walk) -> Result<Vec<Item>, Vec<Diagnostic>> {
        let task = &run.task;
        let mut params = Map::new();
        // The include's own `vars` are parameters of what it includes.
        for vars in task.context.vars.iter().skip(task.outer.vars.len()) {
            params.extend(vars.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        params.extend(inclusion.wanted.params.clone());
        let params = Arc::new(params);
        let mut context = self.applied(task, &inclusion.wanted.apply)?.with_params(params.clone());
        let mut loader = self.loader();
        loader.set_directory(&run.run.vars.directory);
        let included = match &inclusion.wanted.what {
            What::Tasks(_, Some(path)) => loader.task_file(path, &context, walk.handlers)?,
            What::Tasks(name, None) => {
                let name = name.to_text();
                let beside = task.span.directory().filter(|_| task.outer.role.is_none());
                let near = beside.as_deref().unwrap_or(&run.run.vars.directory);
                let path = std::path::absolute(near.join(&name)).unwrap_or_else(|_| near.join(&name));
                let path = path.display().to_string();
                let missing = crate::action::not_there(&path);
                let quoted = crate::template::python_repr(&Value::list(vec![path.as_str().into()]));
                let quoted = quoted.trim_start_matches('[').trim_end_matches(']');
                let message = format!(
                    "Could not find or access '{path}' on the Ansible Controller: Unable to retrieve file contents.\n\
                     {missing}: [Errno 2] No such file or directory: {quoted}"
                );
                return Err(vec![Diagnostic::error("run::missing-file", message).at(task.action.span)]);
            }
            What::Role { args, .. }
                if ["name", "role"]
                    .iter()
                    .find_map(|key| args.get(*key))
                    .is_some_and(|name| name.as_str().is_none()) =>
            {
                return Err(vec![Diagnostic::error("playbook::role", "Invalid role definition.").at(task.action.span)]);
            }
            What::Role { name, args } => {
                let text = |key: &str| args.get(key).map(Value::to_text);
                let flag = |key: &str, default| args.get(key).and_then(Value::to_bool).unwrap_or(default);
                let options = RoleOptions {
                    tasks_from: text("tasks_from"),
                    vars_from: text("vars_from"),
                    defaults_from: text("defaults_from"),
                    handlers_from: text("handlers_from"),
                    allow_duplicates: flag("allow_duplicates", true),
                    public: flag("public", private_role_vars(&self.world.info.settings) == Some(false)),
                    validate: flag("rolespec_validate", true),
                    used: Used::Included,
                    entry: RoleOptions::entry_of(params.as_ref().clone()),
                    vars: Vec::new(),
                    own_params: None,
                    span: Some(task.action.span),
                };
                // The role that includes is not a dependent of the one included.
                context.role.clone_from(&task.outer.role);
                loader.included_role(name, &options, &context)?
            }
        };
        drop(loader);
        self.take_roles(&run.run, &included.handlers, &included.roles);
        let mut names = run.run.vars.role_names.write().unwrap_or_else(PoisonError::into_inner);
        role_names::add(&mut names, &included.items, included.roles.iter().map(AsRef::as_ref));
        drop(names);
        Ok(included.items)
    }

    fn take_roles(&self, run: &PlayRun, handlers: &[Item], roles: &[Arc<Role>]) {
        let mut known = run.handlers.write().unwrap_or_else(PoisonError::into_inner);
        let new = flatten(handlers, known.last().map_or(0, |handler| handler.group + 1));
        // A role included twice brings its handlers twice: from now on the last ones are meant by their names.
        known.extend(new);
        drop(known);
        let mut layers = run.vars.roles.write().unwrap_or_else(PoisonError::into_inner);
        for role in roles.iter().filter(|role| role.public) {
            // What is brought in last is the strongest, again and again.
            layers.retain(|l| l.path != role.path || l.defaults != role.defaults || l.vars != role.vars);
            layers.push(role_layer(role));
        }
    }

    /// What included tasks inherit: the include's surroundings, with its `apply` on top.
    fn applied(&self, task: &Task, evaluated: &Value) -> Result<Context, Vec<Diagnostic>> {
        let mut context = task.outer.as_ref().clone();
        let Some(apply) = task.action.args.get("apply").and_then(Value::as_map) else { return Ok(context) };
        let omitted = |name: &str| evaluated.as_map().is_some_and(|map| !map.contains_key(name));
        for (key, value) in apply {
            let name = key.to_string();
            if !omitted(&name) && !context.apply(&name, value) && !SHARED.contains(&name.as_str()) {
                let message = format!("'{name}' is not a valid attribute for a Block");
                return Err(vec![Diagnostic::error("playbook::apply", message).at(task.span)]);
            }
        }
        Ok(context)
    }
}

fn without(map: &Map, key: &str) -> Map {
    let mut out = map.clone();
    out.shift_remove(key);
    out
}
