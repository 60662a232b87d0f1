//! One task on one host: what it needs, and what becomes of its result. Its tries are in `tries`, its loop in `loops`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::event::{HostResult, Verdict};
use super::hands::Setting;
use super::host::HostPlay;
use super::include::Wanted;
use super::invocation::Invocation;
use super::task::TaskRun;
use super::{Engine, result};
use crate::action::{self, ActionContext, ActionError, Plan};
use crate::diagnostic::Diagnostic;
use crate::playbook::Task;
use crate::remote::Call;
use crate::template::{Notice, Notices, Templar, TemplateError, add_notices};
use crate::value::{Key, Map, Value};
use crate::vars::Scope;

/// A task that is done on a host.
pub(super) struct Finished {
    pub verdict: Verdict,
    pub result: Map,
    pub ignored: bool,
    pub no_log: bool,
    /// Whether the result is shown whole, however little is asked for.
    pub whole: bool,
    pub notifies: bool,
    pub register: Option<String>,
    /// Where each item (or the one pass) ran, when that was another host.
    pub delegates: Vec<Option<String>>,
    pub delegate_facts: bool,
    pub diagnostic: Option<Diagnostic>,
    /// Whether its action was given up.
    pub raised: bool,
    /// What its templates gave to say; the result holds it too.
    pub notices: Vec<Notice>,
    /// What is to be included.
    pub inclusions: Vec<Wanted>,
    /// The task, where it failed and a rescue takes that up.
    pub failed_task: Option<Value>,
}

impl Finished {
    /// The result, or each item's.
    pub(super) fn each(&self) -> Vec<&Map> {
        match self.result.get("results").and_then(Value::as_list) {
            Some(items) => items.iter().filter_map(Value::as_map).collect(),
            None => vec![&self.result],
        }
    }

    /// What a report may see of the result.
    pub(super) fn shown(&self) -> Value {
        Value::map(if self.no_log { result::censored(&self.result) } else { self.result.clone() })
    }
}

/// A task on a host, about to run.
pub(super) struct OnHost<'e> {
    pub(super) engine: &'e Arc<Engine>,
    pub(super) run: &'e TaskRun,
    pub(super) host: &'e Arc<HostPlay>,
    pub(super) scope: Scope,
    pub(super) templar: Templar,
    /// What the task's templates give to say.
    pub(super) notices: Arc<Notices>,
    delegates: Mutex<Vec<Option<String>>>,
    pub(super) inclusions: Mutex<Vec<Wanted>>,
    /// Of each item that failed, whether that counts for nothing.
    forgiven: Mutex<Vec<bool>>,
    /// What could not be evaluated, of the task as a whole.
    pub(super) noted: Arc<Noted>,
    /// The arguments as they came out, where a rescue may ask for them.
    args: Mutex<Option<Map>>,
    began: Instant,
}

/// One item of the loop, or the one pass of a task without.
pub(super) struct Pass {
    pub templar: Templar,
    pub item: Option<Item>,
    pub no_log: bool,
    /// What its templates give to say.
    pub notices: Arc<Notices>,
    /// What could not be evaluated.
    pub noted: Arc<Noted>,
}

impl Pass {
    /// The same with other variables on top.
    pub fn over(&self, scope: &Scope, layer: Map) -> Self {
        let templar = Templar::new(Arc::new(scope.with_top(layer).with_notices(self.notices.clone())));
        let (notices, noted) = (self.notices.clone(), self.noted.clone());
        Self { templar, item: self.item.clone(), no_log: self.no_log, notices, noted }
    }
}

/// What an item adds to a result.
#[derive(Clone)]
pub(super) struct Item {
    pub label: Value,
    pub loop_var: String,
    pub value: Value,
    pub index: Option<(String, usize)>,
    pub extended: Option<Value>,
}

impl Item {
    /// The variables of the item.
    pub(super) fn layer(&self) -> Map {
        let mut layer = Map::new();
        layer.insert(Key::from(self.loop_var.as_str()), self.value.clone());
        layer.insert("ansible_loop_var".into(), Value::from(self.loop_var.as_str()));
        if let Some((name, at)) = &self.index {
            layer.insert(Key::from(name.as_str()), (*at).into());
            layer.insert("ansible_index_var".into(), Value::from(name.as_str()));
        }
        if let Some(extended) = &self.extended {
            layer.insert("ansible_loop".into(), extended.clone());
        }
        layer
    }
}

/// What could not be evaluated: of a result the first one counts.
#[derive(Default)]
pub(super) struct Noted(Mutex<Option<Diagnostic>>);

impl Noted {
    fn error(&self) -> MutexGuard<'_, Option<Diagnostic>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets it, for another try.
    pub(super) fn clear(&self) {
        *self.error() = None;
    }
}

/// What was noted, leaving nothing.
fn taken<T>(notes: &Mutex<Vec<T>>) -> Vec<T> {
    std::mem::take(&mut *notes.lock().unwrap_or_else(PoisonError::into_inner))
}

impl<'e> OnHost<'e> {
    pub(super) fn new(engine: &'e Arc<Engine>, run: &'e TaskRun, host: &'e Arc<HostPlay>) -> Self {
        let notices = Arc::new(Notices::default());
        let scope = run.scope(engine, host).with_notices(notices.clone());
        let templar = Templar::new(Arc::new(scope.clone()));
        // A delegate that no item decides is there for all of the task.
        let delegate = run.task.context.delegate_to.as_ref().and_then(|value| templar.value(value).ok());
        let delegate = delegate.filter(|v| !matches!(v, Value::Null | Value::Omit)).map(|v| v.to_text());
        let (scope, templar) = match delegate {
            Some(name) => {
                let scope = scope.with_delegate(name);
                (scope.clone(), Templar::new(Arc::new(scope)))
            }
            None => (scope, templar),
        };
        Self {
            engine,
            run,
            host,
            scope,
            templar,
            notices,
            delegates: Mutex::default(),
            inclusions: Mutex::default(),
            forgiven: Mutex::default(),
            noted: Arc::default(),
            args: Mutex::default(),
            began: Instant::now(),
        }
    }

    pub(super) fn task(&self) -> &'e Arc<Task> {
        &self.run.task
    }

    /// Runs the task and says what became of it.
    pub(super) async fn run(&self) -> Finished {
        let (mut result, no_log) = match &self.task().looped {
            None => {
                let pass = self.single();
                let result = self.pass(&pass).await;
                self.note_delegate(self.delegate(&pass));
                (result, pass.no_log)
            }
            Some(_) => match self.passes() {
                Ok(passes) => {
                    let no_log = passes.iter().any(|p| p.no_log);
                    (self.looped(passes).await, no_log)
                }
                Err(result) => return self.finish(result, self.keeps_secret()),
            },
        };
        result.entry("changed".into()).or_insert(Value::Bool(false));
        self.finish(result, no_log)
    }

    fn single(&self) -> Pass {
        let no_log = self.keeps_secret();
        let (notices, noted) = (self.notices.clone(), self.noted.clone());
        Pass { templar: self.templar.clone(), item: None, no_log, notices, noted }
    }

    /// Whether handlers hear of a result. As in the reference, they are told before it is known whether a host or a group is a
    /// new one, so of these only changes of an item before the last count.
    fn tells_of_change(&self, result: &Map) -> bool {
        let task = self.task();
        let late = matches!(task.action.module, "ansible.builtin.add_host" | "ansible.builtin.group_by");
        if !late || !task.changed_when.is_empty() {
            return result::flag(result, "changed");
        }
        let items = result.get("results").and_then(Value::as_list).unwrap_or_default();
        let before = items.split_last().map_or(&[][..], |(_, before)| before);
        before.iter().filter_map(Value::as_map).any(|item| result::flag(item, "changed"))
    }

    fn finish(&self, mut result: Map, no_log: bool) -> Finished {
        let task = self.task();
        let no_log = result::keeps_secret(&result) || no_log;
        result.shift_remove(result::NO_LOG);
        let whole = result.shift_remove(action::WHOLE).is_some();
        let raised = result.shift_remove(result::RAISED).is_some();
        let verdict = result::verdict(&result);
        let ignored = match verdict {
            // Of a loop, every item that failed must be one that may.
            Verdict::Failed => match taken(&self.forgiven).as_slice() {
                [] => self.is_forgiven(&self.templar),
                items => items.iter().all(|forgiven| *forgiven),
            },
            Verdict::Unreachable => self.flag(&self.templar, &self.keyword("ignore_unreachable", &self.templar)),
            _ => false,
        };
        // A loop as a whole says `failed` only when it did.
        if matches!(verdict, Verdict::Ok | Verdict::Changed) && task.looped.is_none() && !task.is_include() {
            result.entry("failed".into()).or_insert(Value::Bool(false));
        }
        let notices = self.notices.take();
        add_notices(&mut result, &notices);
        let register = task.register.as_ref().and_then(|name| match self.templar.string(name) {
            Ok(name) => Some(name.to_text()),
            Err(error) => {
                self.note(&self.noted, &error);
                None
            }
        });
        let told = self.run.rescuable && verdict == Verdict::Failed && !ignored;
        let args = self.args.lock().unwrap_or_else(PoisonError::into_inner).take();
        Finished {
            failed_task: told.then(|| self.failed_task(args, &result)),
            notifies: !task.notify.is_empty() && self.tells_of_change(&result) && verdict != Verdict::Failed,
            verdict,
            ignored,
            no_log,
            whole,
            register,
            delegates: taken(&self.delegates),
            inclusions: taken(&self.inclusions),
            delegate_facts: self.flag(&self.templar, &self.keyword("delegate_facts", &self.templar)),
            diagnostic: self.noted.error().take(),
            raised,
            notices,
            result,
        }
    }

    /// The host that a pass is delegated to; a template that cannot be evaluated is called by itself.
    pub(super) fn delegate(&self, pass: &Pass) -> Option<String> {
        self.delegation(pass).unwrap_or_else(|_| self.task().context.delegate_to.as_ref().map(Value::to_text))
    }

    /// The same, or why it cannot be told; a template that comes to nothing is an error, as in the reference.
    pub(super) fn delegation(&self, pass: &Pass) -> Result<Option<String>, TemplateError> {
        let Some(written) = &self.task().context.delegate_to else { return Ok(None) };
        match pass.templar.value(written)? {
            Value::Omit => Ok(None),
            Value::Str(name) if !name.as_str().is_empty() => Ok(Some(name.as_str().to_owned())),
            other if crate::template::truthy(&other) => {
                let kind = crate::template::python_type(&other);
                Err(TemplateError::refusal(match other {
                    Value::List(_) | Value::Map(_) => format!("unhashable type: '{kind}'"),
                    _ => format!("expected string or bytes-like object, got '{kind}'"),
                }))
            }
            _ if written.has_templates() => {
                let message = format!("Empty hostname produced from delegate_to: \"{}\"", written.to_text());
                Err(TemplateError::refusal(message))
            }
            _ => Ok(None),
        }
    }

    pub(super) fn note_delegate(&self, delegate: Option<String>) {
        self.delegates.lock().unwrap_or_else(PoisonError::into_inner).push(delegate);
    }

    pub(super) fn note_failed_item(&self, forgiven: bool) {
        self.forgiven.lock().unwrap_or_else(PoisonError::into_inner).push(forgiven);
    }

    pub(super) fn flag(&self, templar: &Templar, setting: &Option<Value>) -> bool {
        let Some(value) = setting else { return false };
        if let Some(flag) = value.as_bool() {
            return flag;
        }
        templar.value(value).ok().and_then(|v| v.to_bool()).unwrap_or(false)
    }

    /// Notes where something could not be evaluated.
    pub(super) fn note(&self, noted: &Noted, error: &TemplateError) {
        let mut diagnostic = error.to_diagnostic().or_at(Some(self.task().span));
        // Which task it is shows by the place.
        if diagnostic.message.starts_with("Finalization of task args")
            && let Some((_, short)) = diagnostic.message.split_once(" failed: ")
        {
            diagnostic.message = short.to_owned();
        }
        noted.error().get_or_insert(diagnostic);
    }

    pub(super) fn failed(&self, noted: &Noted, error: &TemplateError) -> Map {
        if error.is_refusal {
            return result::given_up(format!("Task failed: {}", error.message));
        }
        self.note(noted, error);
        result::failed(format!("Task failed: {}", error.message))
    }

    /// The first condition that does not hold, when all before it could be evaluated.
    pub(super) fn first_false(&self, templar: &Templar) -> Option<Value> {
        for condition in &self.task().context.when {
            match templar.condition(condition) {
                Ok(true) => {}
                Ok(false) => return Some(condition.clone()),
                Err(_) => return None,
            }
        }
        None
    }

    /// The result of a condition that says no (or cannot be evaluated); `None` when the task is to run.
    pub(super) fn gate(&self, pass: &Pass) -> Option<Map> {
        // As in the reference, it has to be known where something would run before it is known whether it does.
        if let Err(error) = self.delegation(pass) {
            return Some(self.failed(&pass.noted, &error));
        }
        for condition in &self.task().context.when {
            match pass.templar.condition(condition) {
                Ok(true) => {}
                Ok(false) => return Some(result::skipped(condition)),
                Err(error) => return Some(self.failed(&pass.noted, &error.of_condition())),
            }
        }
        None
    }

    /// A result as reports get it: of one that is kept secret only what may be seen.
    pub(super) fn shown(&self, pass: &Pass, result: &Map, verdict: Verdict, ignored: bool) -> HostResult {
        // What was not done was not done elsewhere either.
        let delegate = self.delegate(pass).filter(|name| verdict != Verdict::Skipped && **name != *self.host.name);
        let no_log = pass.no_log || result::keeps_secret(result);
        let error = pass.noted.error().clone();
        let mut result = if no_log { result::censored(result) } else { result.clone() };
        let whole = result.shift_remove(action::WHOLE).is_some();
        let raised = result.shift_remove(result::RAISED).is_some();
        HostResult {
            task: self.task().clone(),
            host: self.host.name.clone(),
            delegate: delegate.map(Into::into),
            verdict,
            result: Arc::new(Value::map(result)),
            ignored,
            rescued: false,
            elapsed: self.began.elapsed(),
            no_log,
            whole,
            error,
            raised,
            notices: Vec::new(),
        }
    }

    pub(super) fn context<'c>(&'c self, pass: &'c Pass, setting: &'c Setting) -> ActionContext<'c> {
        ActionContext {
            module: self.task().action.module,
            written: &self.task().action.written,
            templar: &pass.templar,
            host: &self.host.name,
            search: &self.run.vars.search,
            check: setting.check,
            diff: setting.diff,
            world: &self.engine.world,
            span: self.task().span,
            name: self.task().name.as_ref(),
            evaluated: (self.run.rescuable && pass.item.is_none()).then_some(&self.args),
        }
    }

    /// The arguments of a call, for the results of those who ask for that much, and for variables that keep a loop's.
    pub(super) fn invocation(&self, call: &Call, setting: &Setting) -> Option<Invocation> {
        let kept = self.task().looped.is_some() && self.task().register.is_some();
        let wanted = kept || self.engine.world.info.verbosity > 2;
        wanted.then(|| Invocation::of_call(self.task().action.module, &call.args, setting.check)).flatten()
    }

    pub(super) fn plan(&self, pass: &Pass, setting: &Setting) -> Result<Plan, ActionError> {
        action::plan(&self.context(pass, setting), self.args(pass)?)
    }

    pub(super) fn action_failed(&self, pass: &Pass, error: ActionError) -> Map {
        match error {
            ActionError::Template(error) => {
                let mut out = self.failed(&pass.noted, &error);
                out.insert(result::RAISED.into(), Value::Bool(true));
                if error.message.starts_with("Error while resolving value for") {
                    let module = self.task().action.module;
                    let text =
                        format!("Task failed: Finalization of task args for '{module}' failed: {}", error.message);
                    out.insert("msg".into(), Value::from(text));
                }
                out
            }
            ActionError::Raised(result) => {
                let mut out = result::given_up("");
                out.extend(result);
                out
            }
            ActionError::Failed(result) => {
                let mut out = Map::from_iter([("failed".into(), Value::Bool(true))]);
                out.extend(result);
                out.insert(result::TOLD.into(), Value::Bool(true));
                out
            }
            ActionError::Remote(error) => result::of_error(&error),
        }
    }

    /// A result as a variable has it.
    pub(super) fn registered(&self, result: &Map) -> Map {
        let mut result = result.clone();
        result::without_invocation(&mut result);
        result.shift_remove(result::RAISED);
        result
    }

    /// The templar of a pass that sees the result under its registered name.
    pub(super) fn with_register(&self, pass: &Pass, result: &Map) -> Templar {
        let mut layer = Map::new();
        if let Some(name) = &self.task().register
            && let Ok(name) = pass.templar.string(name)
        {
            layer.insert(Key::from(name.to_text()), Value::map(self.registered(result)));
        }
        layer.extend(pass.item.as_ref().map(Item::layer).unwrap_or_default());
        for (key, value) in result.get("ansible_facts").and_then(Value::as_map).into_iter().flatten() {
            layer.insert(key.clone(), value.clone());
        }
        Templar::new(Arc::new(self.scope.with_top(layer).with_notices(pass.notices.clone())))
    }

    /// A module's answer with everything a result has, judged by `changed_when` and `failed_when`.
    pub(super) fn judged(&self, pass: &Pass, mut answer: Map) -> Map {
        let task = self.task();
        let raised = answer.contains_key(result::RAISED);
        // What an action says itself to have failed is no exception.
        let excepted = answer.shift_remove(result::TOLD).is_none() || answer.contains_key("exception");
        result::complete(task.action.module, &mut answer);
        if !excepted {
            answer.shift_remove("exception");
        }
        result::order(task.action.module, &mut answer);
        if !raised && let Err(error) = result::judge(task, &|answer| self.with_register(pass, answer), &mut answer) {
            self.note(&pass.noted, &error);
        }
        if !excepted && result::flag(&answer, "failed") {
            result::fail(&mut answer);
        }
        answer
    }
}
