//! One task on a set of hosts.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::event::{Event, HostResult, Verdict};
use super::host::{HostPlay, PlayRun, Standing, down};
use super::include::Wanted;
use super::on_host::{Finished, OnHost};
use super::play::role_layer;
use super::turns::Turns;
use super::walk::{Walk, is_among};
use super::{Engine, Loss};
use crate::action::BuiltIn;
use crate::playbook::{Item, Role, TEMPLATED, Task, UNAVAILABLE, canonical_name};
use crate::template::{Templar, TemplateError};
use crate::value::{Map, Str, Value};
use crate::vars::{Scope, TaskVars};

/// What a tag is called; what is no text is a tag that nobody can ask for.
fn tag_of(tag: &Value) -> String {
    match tag {
        Value::Str(text) => text.as_str().to_owned(),
        other => format!("{} ({})", other.to_text(), crate::template::python_type(other)),
    }
}

/// What each host wants included.
pub(super) type Asked = Vec<(Arc<HostPlay>, Vec<Wanted>)>;

/// A task under way: what is the same for all hosts.
pub(super) struct TaskRun {
    pub task: Arc<Task>,
    pub run: Arc<PlayRun>,
    pub vars: TaskVars,
    /// The task's own name, as the first host sees it.
    pub name: Option<String>,
    /// Whether a rescue takes up its failure.
    pub rescuable: bool,
    /// The order in which hosts are heard, where several are at it side by side.
    turns: OnceLock<Turns>,
}

impl TaskRun {
    pub(super) fn new(task: &Arc<Task>, run: &Arc<PlayRun>) -> Self {
        let context = &task.context;
        let roles: Vec<_> = context
            .role
            .iter()
            .flat_map(|role| std::iter::once(role).chain(&role.parents))
            .map(|r| role_layer(r))
            .collect();
        let mut search: Vec<PathBuf> = roles.iter().map(|role| role.path.clone()).collect();
        search.extend(task.span.directory());
        search.push(run.vars.directory.clone());
        let mut seen = std::collections::HashSet::new();
        search.retain(|path| seen.insert(path.clone()));
        let own = context.role.iter().filter_map(|role| role.dependencies.get());
        let (mut vars, mut params) = (context.vars.clone(), context.params.clone());
        if task.is_include() {
            // An include's own variables are parameters: of what it includes, and for itself.
            params.extend(vars.drain(task.outer.vars.len().min(vars.len())..));
        }
        let vars = TaskVars {
            roles,
            dependencies: own.flatten().map(|role| role_layer(role)).collect(),
            vars,
            params,
            search: Arc::new(search),
            parents: context.role.iter().flat_map(|role| role.brought_in_by()).collect(),
            environment: context.environment.clone(),
            connection: connection_vars(&run.connection, context),
            ..TaskVars::default()
        };
        Self { task: task.clone(), run: run.clone(), vars, name: None, rescuable: false, turns: OnceLock::new() }
    }

    /// Says something about the task on a host, when it is the host's turn.
    pub(super) fn say(&self, engine: &Engine, host: &str, event: Event) {
        match self.turns.get() {
            Some(turns) => turns.say(host, event, |event| engine.emit(event)),
            None => engine.emit(event),
        }
    }

    /// What a host sees of the task.
    pub(super) fn scope(&self, engine: &Engine, host: &HostPlay) -> Scope {
        let vars = TaskVars { vars_files: host.vars_files(), ..self.vars.clone() };
        Scope::new(&engine.world, &host.name, Some(self.run.vars.clone()), vars)
    }

    pub(super) fn templar(&self, engine: &Engine, host: &HostPlay) -> Templar {
        Templar::new(Arc::new(self.scope(engine, host)))
    }

    /// A templar that sees the play's variables and the task's, but none of a host's.
    pub(super) fn templar_without_host(&self, engine: &Engine, host: &HostPlay) -> Templar {
        let vars = TaskVars { vars_files: host.vars_files(), connection: Arc::default(), ..self.vars.clone() };
        Templar::new(Arc::new(Scope::new(&engine.world, "", Some(self.run.vars.clone()), vars)))
    }
}

impl Engine {
    /// Runs a task on hosts that are all alive.
    pub(super) async fn task(self: &Arc<Self>, task: &Arc<Task>, hosts: &[Arc<HostPlay>], walk: &Walk) {
        let Some(first) = hosts.first() else { return };
        if task.action.module == TEMPLATED {
            return Box::pin(self.templated(task, hosts, walk)).await;
        }
        let mut run = TaskRun::new(task, &first.play);
        if !walk.handlers {
            match self.chosen(&run, first) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return self.stop_at(&run, error),
            }
        }
        run.rescuable = walk.rescuable;
        hosts.iter().for_each(|host| host.frames(|frames| frames.go_on(walk.depth)));
        // As in the reference, what steers the engine is called as it is written.
        let is_meta = task.action.module == "ansible.builtin.meta";
        if !is_meta {
            run.name = self.own_name(&run, first);
        }
        let run = Arc::new(run);
        let title = match &run.name {
            _ if is_meta => task.title(),
            Some(name) => task.title_with(name.clone()),
            None => task.title_without_name(),
        };
        if !self.started(&title) {
            return;
        }
        if is_meta {
            // Hosts that go on by themselves steer without a word.
            if !run.run.free {
                let count = hosts.len();
                self.emit(Event::TaskStarted { task: task.clone(), title, hosts: count, handler: walk.handlers });
            }
            self.meta(&run, hosts, walk).await;
            // Where too many are lost already, that is found out behind it, too.
            return self.enforce_limit(&run.run, &[]);
        }
        if !self.is_wanted(&run, &first.name, walk.handlers).await {
            return;
        }
        if run.run.free {
            if is_for_all_at_once(&run) {
                let message = format!(
                    "The '{}' module bypasses the host loop, which is currently not supported in the free strategy and \
                     would instead execute for every host in the inventory list.",
                    task.action.written
                );
                return self.stop_at(&run, TemplateError::message(message, Some(task.action.span)));
            }
            self.warn_of_free(&run, first);
        }
        let for_all = match self.is_for_all(&run, first) {
            Ok(for_all) => for_all,
            Err(error) => return self.stop_at(&run, error),
        };
        // Hosts that go on by themselves each run it: the reference does the same with the free strategy.
        let once = for_all && !run.run.free;
        let count = if once { 1 } else { hosts.len() };
        let handler = walk.handlers;
        self.emit(Event::TaskStarted { task: task.clone(), title, hosts: count, handler });
        let asked = match once {
            true => self.task_once(&run, hosts, walk).await,
            false => self.task_everywhere(&run, hosts, walk).await,
        };
        // What is included is told before what failed ends the play, as in the reference.
        let included = self.read_included(&run, asked, walk);
        self.after_task(&run, hosts, walk, for_all);
        self.run_included(&run, included, walk).await;
    }

    /// A task that names its module by a template: that task with the module that each host means.
    async fn templated(self: &Arc<Self>, task: &Arc<Task>, hosts: &[Arc<HostPlay>], walk: &Walk) {
        let mut groups: Vec<(String, Vec<Arc<HostPlay>>)> = Vec::new();
        for host in hosts {
            let run = TaskRun::new(task, &host.play);
            let written = Str::trusted(task.action.written.as_str(), Some(task.action.span));
            let name = run.templar(self, host).string(&written).map_or_else(|e| e.message, |name| name.to_text());
            match groups.iter_mut().find(|(known, _)| *known == name) {
                Some((_, members)) => members.push(host.clone()),
                None => groups.push((name, vec![host.clone()])),
            }
        }
        for (name, members) in groups {
            let info = canonical_name(&name, &task.context.collections, &BuiltIn);
            let mut own = task.as_ref().clone();
            own.action.module = info.map_or(UNAVAILABLE, |info| info.name);
            own.action.written = name;
            self.task(&Arc::new(own), &members, walk).await;
        }
    }

    /// Whether there is a task among these whose tags are asked for.
    pub(super) fn any_chosen(&self, items: &[Item], host: &Arc<HostPlay>) -> bool {
        items.iter().any(|item| match item {
            Item::Task(task) => self.chosen(&TaskRun::new(task, &host.play), host).unwrap_or(false),
            Item::Block(block) => {
                block.role.as_ref().is_some_and(|role| self.is_role_noted(role))
                    || [&block.body, &block.rescue, &block.always].iter().any(|part| self.any_chosen(part, host))
            }
        })
    }

    /// Whether the task's tags are asked for.
    fn chosen(&self, run: &TaskRun, host: &HostPlay) -> Result<bool, TemplateError> {
        let tags = &run.task.context.tags;
        if tags.is_empty() && self.options.tags.only.is_empty() && self.options.tags.skip.is_empty() {
            return Ok(true);
        }
        let mut names = Vec::new();
        for tag in tags {
            let value = if tag.has_templates() { run.templar(self, host).value(tag)? } else { tag.clone() };
            names.extend(tag_names(&value));
        }
        Ok(self.options.tags.allows(&names))
    }

    /// Whether a task that nobody wrote is run, in a place with these tags: it has `always` too.
    pub(super) fn is_own_task_chosen(&self, tags: &[Value]) -> bool {
        let mut names: Vec<String> = tags.iter().flat_map(tag_names).collect();
        names.push("always".to_owned());
        self.options.tags.allows(&names)
    }

    /// Whether it is noted that a role has run. As in the reference a task behind the role's own does that: where it is
    /// skipped, the role may run again.
    pub(super) fn is_role_noted(&self, role: &Role) -> bool {
        self.is_own_task_chosen(&role.tags)
    }

    /// With `--start-at-task`: whether that task was reached.
    fn started(&self, title: &str) -> bool {
        if self.started_at.load(Ordering::SeqCst) {
            return true;
        }
        let wanted = self.options.start_at_task.as_deref().unwrap_or_default();
        let own = title.split_once(" : ").map_or(title, |(_, own)| own);
        let glob = globset::Glob::new(wanted).map(|g| g.compile_matcher()).ok();
        let here = [title, own].iter().any(|name| *name == wanted || glob.as_ref().is_some_and(|g| g.is_match(name)));
        if here {
            self.started_at.store(true, Ordering::SeqCst);
        }
        here
    }

    /// What is wrong with a task for all hosts ends the run, as in the reference.
    pub(super) fn stop_at(&self, run: &TaskRun, error: TemplateError) {
        let mut diagnostic = error.to_diagnostic().or_at(Some(run.task.span));
        diagnostic.code = "run::keyword";
        self.broken(vec![diagnostic]);
    }

    /// Whether a task is one for all hosts together: its failure is everybody's.
    fn is_for_all(&self, run: &TaskRun, host: &HostPlay) -> Result<bool, TemplateError> {
        if is_for_all_at_once(run) && !run.run.free {
            return Ok(true);
        }
        let Some(value) = &run.task.context.run_once else { return Ok(false) };
        match run.templar(self, host).value(value)? {
            Value::Omit => Err(TemplateError::message(crate::template::OMITTED, None)),
            // As in the reference, any text is a yes here.
            value => Ok(crate::template::truthy(&value)),
        }
    }

    /// Runs the task on all hosts side by side; gives what they want included, in the order of the hosts.
    async fn task_everywhere(self: &Arc<Self>, run: &Arc<TaskRun>, hosts: &[Arc<HostPlay>], walk: &Walk) -> Asked {
        let gate = match self.throttle(run, &hosts[0]) {
            Ok(gate) => gate,
            Err(error) => {
                self.stop_at(run, error);
                return Vec::new();
            }
        };
        if !run.run.free && hosts.len() > 1 {
            // A task runs once on a set of hosts: nobody has set it.
            let _ = run.turns.set(Turns::new(hosts));
        }
        let mut set = tokio::task::JoinSet::new();
        for (at, host) in hosts.iter().enumerate() {
            let (engine, run, host) = (self.clone(), run.clone(), host.clone());
            let walk = *walk;
            // Taken here and not in the task, so that hosts have their turns in order.
            let own = match &gate {
                Some(gate) => gate.clone().acquire_owned().await.ok(),
                None => None,
            };
            let fork = self.forks.clone().acquire_owned().await.ok();
            set.spawn(async move {
                let _held = (own, fork);
                let began = Instant::now();
                let mut finished = OnHost::new(&engine, &run, &host).run().await;
                let wanted = std::mem::take(&mut finished.inclusions);
                engine.take_in(&run, &host, finished, began.elapsed(), &walk);
                if let Some(turns) = run.turns.get() {
                    turns.done(&host.name, |event| engine.emit(event));
                }
                (at, (host, wanted))
            });
        }
        let mut asked = Vec::with_capacity(hosts.len());
        while let Some(done) = set.join_next().await {
            asked.extend(done);
        }
        asked.sort_by_key(|(at, _)| *at);
        asked.into_iter().map(|(_, asked)| asked).collect()
    }

    /// `throttle`: fewer hosts at once than elsewhere.
    fn throttle(&self, run: &TaskRun, host: &HostPlay) -> Result<Option<Arc<tokio::sync::Semaphore>>, TemplateError> {
        if run.task.action.module == "ansible.builtin.group_by" {
            // Whether it changed something depends on what it did for the hosts before.
            return Ok(Some(Arc::new(tokio::sync::Semaphore::new(1))));
        }
        let Some(value) = &run.task.context.throttle else { return Ok(None) };
        let wrong = |why: &str| {
            let message = format!("Failed to convert the throttle value to an integer: {why}");
            TemplateError::message(message, value.origin())
        };
        let limit = match run.templar(self, host).value(value).map_err(|error| wrong(&error.message))? {
            Value::Omit => return Err(wrong(crate::template::OMITTED)),
            limit => crate::template::to_int(&limit).map_err(|why| wrong(&why))?,
        };
        let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
        Ok(limit.map(|limit| Arc::new(tokio::sync::Semaphore::new(limit))))
    }

    /// `run_once`: the first host does it, and all hosts of the batch get the result.
    async fn task_once(self: &Arc<Self>, run: &Arc<TaskRun>, hosts: &[Arc<HostPlay>], walk: &Walk) -> Asked {
        let Some(first) = hosts.first() else { return Vec::new() };
        let began = Instant::now();
        let mut finished = OnHost::new(self, run, first).run().await;
        let wanted = std::mem::take(&mut finished.inclusions);
        if !is_for_all_at_once(run) {
            // Those that the task is not for and those that failed get it too, as in the reference.
            let members = run.run.members();
            let others = members.iter().filter(|h| h.name != first.name && h.standing() != Standing::Unreachable);
            others.for_each(|other| self.keep_for_other(run, other, &finished));
        }
        self.take_in(run, first, finished, began.elapsed(), walk);
        vec![(first.clone(), wanted)]
    }

    /// What a finished task means for its host: results kept, handlers notified, failures counted.
    fn take_in(
        self: &Arc<Self>,
        run: &TaskRun,
        host: &Arc<HostPlay>,
        finished: Finished,
        elapsed: Duration,
        walk: &Walk,
    ) {
        self.keep(run, host, &finished);
        let failed = finished.verdict == Verdict::Failed && !finished.ignored;
        let rescued = failed && walk.rescuable;
        self.count(&host.name, |stats| match finished.verdict {
            // What is included counts itself.
            Verdict::Ok | Verdict::Changed if run.task.is_include() => {}
            Verdict::Ok => stats.ok += 1,
            Verdict::Changed => {
                stats.ok += 1;
                stats.changed += 1;
            }
            Verdict::Skipped => stats.skipped += 1,
            Verdict::Failed | Verdict::Unreachable if finished.ignored => {
                stats.ok += 1;
                stats.ignored += 1;
                stats.changed += u32::from(super::result::flag(&finished.result, "changed"));
            }
            Verdict::Failed if rescued => stats.rescued += 1,
            Verdict::Failed => stats.failed += 1,
            Verdict::Unreachable => stats.unreachable += 1,
        });
        if let Some(role) = &run.task.context.role
            && matches!(finished.verdict, Verdict::Ok | Verdict::Changed | Verdict::Failed)
        {
            host.ran_task_of(&role.identity);
        }
        if failed {
            let task = finished.failed_task.clone();
            host.fail(task.map(|task| (task, Value::map(finished.result.clone()))));
        } else if finished.verdict == Verdict::Unreachable && !finished.ignored {
            host.stand(Standing::Unreachable);
        }
        let done: Vec<&Map> =
            finished.each().into_iter().filter(|result| !super::result::flag(result, "skipped")).collect();
        if finished.notifies && !self.notify(run, host, &done, walk.handlers) {
            // As in the reference, a result whose handler is not there is not told any more.
            return;
        }
        if run.task.is_include() && matches!(finished.verdict, Verdict::Ok | Verdict::Changed) {
            return;
        }
        let delegate = match finished.delegates.as_slice() {
            [one] if run.task.looped.is_none() => one.clone().filter(|name| **name != *host.name),
            // A loop that failed shows where its last item ran.
            [.., last] if finished.verdict == Verdict::Failed => last.clone().filter(|name| **name != *host.name),
            _ => None,
        };
        run.say(
            self,
            &host.name,
            Event::Result(HostResult {
                task: run.task.clone(),
                host: host.name.clone(),
                delegate: delegate.map(Into::into),
                verdict: finished.verdict,
                result: Arc::new(finished.shown()),
                ignored: finished.ignored,
                rescued,
                elapsed,
                no_log: finished.no_log,
                whole: finished.whole,
                error: finished.diagnostic,
                raised: finished.raised,
                notices: finished.notices,
            }),
        );
    }

    /// What has to be settled once all hosts are through: who is lost, and whether that ends the play for everybody.
    pub(super) fn after_task(&self, run: &TaskRun, hosts: &[Arc<HostPlay>], walk: &Walk, for_all: bool) {
        let failed = down(hosts);
        let fatal = |host| !run.run.free && self.is_fatal(run, host);
        if !failed.is_empty() && (for_all || fatal(&hosts[0])) {
            let others = run.run.members().into_iter().filter(|host| !is_among(&failed, host));
            // Where hosts go on by themselves, those that are through are.
            let others: Vec<_> = others
                .filter(|host| match host.standing() {
                    Standing::Alive | Standing::EndedRole => true,
                    Standing::Failed | Standing::Ended => !run.run.free,
                    Standing::Unreachable => false,
                })
                .collect();
            // Where hosts go on together, what is for all counts as fatal too.
            let times = if for_all && !run.run.free { 2 } else { 1 };
            others.iter().for_each(|host| host.push_on(times));
            // As in the reference, these are lost for later plays even so; where no play comes, that they had a rescue counts.
            self.note_lost(&run.run, &others, &Walk::default());
            for host in others.iter().filter(|host| host.standing() == Standing::Ended) {
                self.lost().entry(host.name.to_string()).or_insert(Loss::Rescued);
                run.run.count(host);
            }
        }
        self.settle(&run.run, hosts, &failed, walk);
    }

    pub(super) fn is_fatal(&self, run: &TaskRun, host: &HostPlay) -> bool {
        let templar = run.templar(self, host);
        let setting = super::keywords::keyword("any_errors_fatal", &run.task, &templar);
        let Some(value) = setting.as_ref() else {
            return self.world.info.settings.get("ANY_ERRORS_FATAL").and_then(|s| s.value.as_bool()) == Some(true);
        };
        templar.value(value).ok().and_then(|v| v.to_bool()).unwrap_or(false)
    }
}

/// The tags that a value of `tags` names.
fn tag_names(value: &Value) -> Vec<String> {
    match value {
        Value::List(items) => items.iter().map(tag_of).collect(),
        Value::Null => Vec::new(),
        other => vec![tag_of(other)],
    }
}

/// Whether the module works for all hosts at once; the result is the first one's alone then, unlike with `run_once`.
fn is_for_all_at_once(run: &TaskRun) -> bool {
    matches!(run.task.action.module, "ansible.builtin.add_host" | "ansible.builtin.pause")
}

/// The play's connection variables, with the task's own connection.
fn connection_vars(play: &Arc<Map>, context: &crate::playbook::Context) -> Arc<Map> {
    let Some(name) = &context.connection else { return play.clone() };
    let mut own = play.as_ref().clone();
    own.insert("ansible_connection".into(), name.clone());
    Arc::new(own)
}
