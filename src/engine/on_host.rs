//! One task on one host: its condition, its loop, its tries.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::event::{Event, HostResult, Verdict};
use super::hands::{RemoteHands, Setting};
use super::host::HostPlay;
use super::task::TaskRun;
use super::{Engine, result};
use crate::action::{self, ActionContext, ActionError, Plan};
use crate::diagnostic::Diagnostic;
use crate::playbook::Task;
use crate::remote::{Call, Job};
use crate::template::{Templar, TemplateError, lookups};
use crate::value::{Key, Map, Value};
use crate::vars::Scope;

/// A task that is done on a host.
pub(super) struct Finished {
    pub verdict: Verdict,
    pub result: Map,
    pub ignored: bool,
    pub no_log: bool,
    pub notifies: bool,
    pub register: Option<String>,
    pub delegate: Option<String>,
    pub delegate_facts: bool,
    pub diagnostic: Option<Diagnostic>,
}

impl Finished {
    /// The result, or each item's.
    pub(super) fn each(&self) -> Vec<&Map> {
        match self.result.get("results").and_then(Value::as_list) {
            Some(items) => items.iter().filter_map(Value::as_map).collect(),
            None => vec![&self.result],
        }
    }
}

/// A task on a host, about to run.
pub(super) struct OnHost<'e> {
    pub(super) engine: &'e Arc<Engine>,
    pub(super) run: &'e TaskRun,
    pub(super) host: &'e Arc<HostPlay>,
    scope: Scope,
    templar: Templar,
    /// The place of the first thing that could not be evaluated.
    diagnostic: Mutex<Option<Diagnostic>>,
    began: Instant,
}

/// One item of the loop, or the one pass of a task without.
pub(super) struct Pass {
    pub templar: Templar,
    pub item: Option<Item>,
    no_log: bool,
}

/// What an item adds to a result.
pub(super) struct Item {
    label: Value,
    loop_var: String,
    value: Value,
    index: Option<(String, usize)>,
    extended: Option<Value>,
}

impl<'e> OnHost<'e> {
    pub(super) fn new(engine: &'e Arc<Engine>, run: &'e TaskRun, host: &'e Arc<HostPlay>) -> Self {
        let scope = run.scope(engine, host);
        let templar = Templar::new(Arc::new(scope.clone()));
        Self { engine, run, host, scope, templar, diagnostic: Mutex::default(), began: Instant::now() }
    }

    fn task(&self) -> &'e Arc<Task> {
        &self.run.task
    }

    /// Runs the task and says what became of it.
    pub(super) async fn run(&self) -> Finished {
        let outcome = match &self.task().looped {
            None => {
                let pass = self.single();
                let result = self.pass(&pass).await;
                (result, pass.no_log)
            }
            Some(_) => match self.passes() {
                Ok(passes) => {
                    let no_log = passes.iter().any(|p| p.no_log);
                    (self.looped(passes).await, no_log)
                }
                Err(result) => (result, self.flag(&self.templar, &self.task().context.no_log)),
            },
        };
        self.finish(outcome.0, outcome.1)
    }

    fn single(&self) -> Pass {
        let no_log = self.flag(&self.templar, &self.task().context.no_log);
        Pass { templar: self.templar.clone(), item: None, no_log }
    }

    fn finish(&self, mut result: Map, no_log: bool) -> Finished {
        let task = self.task();
        result.entry("changed".into()).or_insert(Value::Bool(false));
        let verdict = result::verdict(&result);
        let ignored = match verdict {
            Verdict::Failed => self.flag(&self.templar, &task.context.ignore_errors),
            Verdict::Unreachable => self.flag(&self.templar, &task.context.ignore_unreachable),
            _ => false,
        };
        if verdict == Verdict::Failed || verdict == Verdict::Unreachable || !result::flag(&result, "skipped") {
            let failed = verdict == Verdict::Failed;
            result.entry("failed".into()).or_insert(Value::Bool(failed));
        }
        let register = task.register.as_ref().and_then(|name| match self.templar.string(name) {
            Ok(name) => Some(name.to_text()),
            Err(error) => {
                self.note(&error);
                None
            }
        });
        let delegate = task.context.delegate_to.as_ref().and_then(|d| self.templar.value(d).ok()).map(|v| v.to_text());
        Finished {
            notifies: !task.notify.is_empty() && result::flag(&result, "changed") && verdict != Verdict::Failed,
            verdict,
            ignored,
            no_log,
            register,
            delegate,
            delegate_facts: self.flag(&self.templar, &task.context.delegate_facts),
            diagnostic: self.diagnostic.lock().unwrap_or_else(PoisonError::into_inner).take(),
            result,
        }
    }

    fn flag(&self, templar: &Templar, setting: &Option<Value>) -> bool {
        let Some(value) = setting else { return false };
        if let Some(flag) = value.as_bool() {
            return flag;
        }
        templar.value(value).ok().and_then(|v| v.to_bool()).unwrap_or(false)
    }

    /// Notes where something could not be evaluated; the first one counts.
    fn note(&self, error: &TemplateError) {
        let diagnostic = error.to_diagnostic().or_at(Some(self.task().span));
        self.diagnostic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(diagnostic);
    }

    fn failed(&self, error: &TemplateError) -> Map {
        self.note(error);
        result::failed(error.message.clone())
    }

    /// The items of the loop; or the result of a loop that could not be made.
    fn passes(&self) -> Result<Vec<Pass>, Map> {
        let task = self.task();
        let items = match self.items() {
            Ok(items) => items,
            Err(error) => {
                // A loop over something undefined is fine where the task would have been skipped.
                if let Some(condition) = self.first_false(&self.templar) {
                    return Err(result::skipped(&condition));
                }
                return Err(self.failed(&error));
            }
        };
        if items.is_empty() {
            let mut out = Map::new();
            out.insert("changed".into(), Value::Bool(false));
            out.insert("results".into(), Value::list(Vec::new()));
            out.insert("skipped".into(), Value::Bool(true));
            out.insert("skipped_reason".into(), Value::from("No items in the list"));
            return Err(out);
        }
        let text = |setting: &Option<Value>| -> Result<Option<String>, Map> {
            let value = setting.as_ref().map(|v| self.templar.value(v)).transpose().map_err(|e| self.failed(&e))?;
            Ok(value.map(|v| v.to_text()))
        };
        let control = &task.loop_control;
        let loop_var = text(&control.loop_var)?.unwrap_or_else(|| "item".to_owned());
        let index_var = text(&control.index_var)?;
        let extended = self.flag(&self.templar, &control.extended);
        let all_items = control.extended_allitems.as_ref().and_then(Value::to_bool).unwrap_or(true);
        let len = items.len();
        let mut passes = Vec::with_capacity(len);
        for (at, value) in items.iter().enumerate() {
            let mut layer = Map::new();
            layer.insert(Key::from(loop_var.as_str()), value.clone());
            layer.insert("ansible_loop_var".into(), Value::from(loop_var.as_str()));
            if let Some(index_var) = &index_var {
                layer.insert(Key::from(index_var.as_str()), at.into());
                layer.insert("ansible_index_var".into(), Value::from(index_var.as_str()));
            }
            let extra = extended.then(|| extended_loop(&items, at, all_items));
            if let Some(extra) = &extra {
                layer.insert("ansible_loop".into(), extra.clone());
            }
            let templar = Templar::new(Arc::new(self.scope.with_top(layer)));
            let label = match &control.label {
                Some(label) => templar.value(label).unwrap_or_else(|_| value.clone()),
                None => value.clone(),
            };
            let no_log = self.flag(&templar, &task.context.no_log);
            let index = index_var.clone().map(|name| (name, at));
            let item = Item { label, loop_var: loop_var.clone(), value: value.clone(), index, extended: extra };
            passes.push(Pass { templar, item: Some(item), no_log });
        }
        Ok(passes)
    }

    fn items(&self) -> Result<Vec<Value>, TemplateError> {
        let Some(looped) = &self.task().looped else { return Ok(Vec::new()) };
        let Some(lookup) = &looped.lookup else {
            let value = self.templar.value(&looped.items)?;
            return match value {
                Value::List(items) => Ok(items.to_vec()),
                other => {
                    let message = format!(
                        "Invalid data passed to 'loop', it requires a list, got this instead: {}. Hint: If you passed a \
                         list/dict of just one element, try adding wantlist=True to your lookup invocation or use \
                         q/query instead of lookup.",
                        other.to_text()
                    );
                    Err(TemplateError::message(message, Some(looped.span)))
                }
            };
        };
        lookups::loop_items(lookup, &looped.items, &self.templar)
            .map_err(|e| TemplateError { span: e.span.or(Some(looped.span)), ..e })
    }

    /// The first condition that does not hold, when all before it could be evaluated.
    fn first_false(&self, templar: &Templar) -> Option<Value> {
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
    fn gate(&self, pass: &Pass) -> Option<Map> {
        for condition in &self.task().context.when {
            match pass.templar.condition(condition) {
                Ok(true) => {}
                Ok(false) => return Some(result::skipped(condition)),
                Err(mut error) => {
                    if error.is_undefined {
                        error.message = format!("Error while evaluating conditional: {}", error.message);
                    }
                    return Some(self.failed(&error));
                }
            }
        }
        None
    }

    /// All items: together in one request where nothing forces one at a time.
    async fn looped(&self, passes: Vec<Pass>) -> Map {
        let results = match self.together(&passes) {
            Some(ready) => self.in_one_request(&passes, ready).await,
            None => self.one_by_one(&passes).await,
        };
        result::combine(results)
    }

    async fn one_by_one(&self, passes: &[Pass]) -> Vec<Map> {
        let task = self.task();
        let control = &task.loop_control;
        let pause =
            control.pause.as_ref().and_then(|p| self.templar.value(p).ok()).and_then(|v| v.to_text().parse().ok());
        let mut results = Vec::with_capacity(passes.len());
        for (at, pass) in passes.iter().enumerate() {
            if let (Some(pause), true) = (pause, at > 0) {
                tokio::time::sleep(Duration::from_secs_f64(f64::max(pause, 0.0))).await;
            }
            let result = self.pass(pass).await;
            let lost = result::flag(&result, "unreachable");
            let result = self.item_done(pass, result);
            let stop = !control.break_when.is_empty() && {
                let templar = self.with_register(pass, &result);
                match result::all(&templar, &control.break_when) {
                    Ok(stop) => stop,
                    Err(error) => {
                        self.note(&error);
                        true
                    }
                }
            };
            results.push(result);
            if stop || lost {
                break;
            }
        }
        results
    }

    /// Adds what tells an item's result from another's, and says that it is done.
    fn item_done(&self, pass: &Pass, mut result: Map) -> Map {
        let Some(item) = &pass.item else { return result };
        result.insert(Key::from(item.loop_var.as_str()), item.value.clone());
        result.insert("ansible_loop_var".into(), Value::from(item.loop_var.as_str()));
        if let Some((name, at)) = &item.index {
            result.insert(Key::from(name.as_str()), (*at).into());
            result.insert("ansible_index_var".into(), Value::from(name.as_str()));
        }
        if let Some(extended) = &item.extended {
            result.insert("ansible_loop".into(), extended.clone());
        }
        let verdict = result::verdict(&result);
        let ignored = verdict == Verdict::Failed && self.flag(&pass.templar, &self.task().context.ignore_errors);
        self.engine.emit(Event::Item {
            result: self.shown(pass, &result, verdict, ignored),
            label: Arc::new(item.label.clone()),
        });
        result
    }

    fn shown(&self, pass: &Pass, result: &Map, verdict: Verdict, ignored: bool) -> HostResult {
        HostResult {
            task: self.task().clone(),
            host: self.host.name.clone(),
            delegate: None,
            verdict,
            result: Arc::new(Value::map(result.clone())),
            ignored,
            rescued: false,
            elapsed: self.began.elapsed(),
            no_log: pass.no_log,
        }
    }

    /// Everything about all items, when they can go to the host in one request; `None` when they cannot.
    fn together(&self, passes: &[Pass]) -> Option<Vec<Result<(Setting, Call), Map>>> {
        let task = self.task();
        let context = &task.context;
        let control = &task.loop_control;
        let alone = !task.until.is_empty()
            || task.retries.is_some()
            || control.pause.is_some()
            || !control.break_when.is_empty()
            || context.delegate_to.is_some()
            || context.timeout.is_some()
            || task.asynchronous.is_some()
            || passes.len() < 2
            || !action::rides_together(task.action.module);
        if alone {
            return None;
        }
        let setting = self.setting(&passes[0]).ok()?;
        let mut out = Vec::with_capacity(passes.len());
        for pass in passes {
            if let Some(result) = self.gate(pass) {
                out.push(Err(result));
                continue;
            }
            let own = match self.setting_or(pass, &setting) {
                Ok(own) => own,
                Err(error) => {
                    out.push(Err(self.failed(&error)));
                    continue;
                }
            };
            if !own.same_as(&setting) {
                return None;
            }
            match self.plan(pass, &own) {
                Ok(Plan::Remote { module, call }) if module == action::remote_name(task.action.module) => {
                    out.push(Ok((own, call)));
                }
                Ok(_) => return None,
                Err(error) => out.push(Err(self.action_failed(error))),
            }
        }
        Some(out)
    }

    /// The pass's setting; the first one's where no keyword could make a difference.
    fn setting_or(&self, pass: &Pass, first: &Setting) -> Result<Setting, TemplateError> {
        let context = &self.task().context;
        let fixed = |setting: &Option<Value>| setting.as_ref().is_none_or(|v| !v.has_templates());
        let become_fixed =
            [&context.become_, &context.become_user, &context.check_mode, &context.diff].iter().all(|s| fixed(s));
        if become_fixed && context.environment.iter().all(|e| !e.has_templates()) {
            return Ok(first.clone());
        }
        self.setting(pass)
    }

    async fn in_one_request(&self, passes: &[Pass], ready: Vec<Result<(Setting, Call), Map>>) -> Vec<Map> {
        let mut results: Vec<Option<Map>> = Vec::with_capacity(passes.len());
        let mut calls = Vec::new();
        let mut places = Vec::new();
        let mut setting = None;
        for (at, entry) in ready.into_iter().enumerate() {
            match entry {
                Ok((own, call)) => {
                    setting.get_or_insert(own);
                    calls.push(call);
                    places.push(at);
                    results.push(None);
                }
                Err(result) => results.push(Some(result)),
            }
        }
        if let Some(setting) = setting {
            let hands = RemoteHands { engine: self.engine, setting: &setting };
            let module = action::remote_name(self.task().action.module).to_owned();
            let mut answers: Vec<(usize, Map)> = Vec::new();
            let sent = hands
                .job(Job { module, calls, ..setting.job() }, |answer| {
                    if let Some(at) = places.get(answer.index) {
                        answers.push((*at, crate::value::from_object(&answer.result)));
                    }
                })
                .await;
            for (at, answer) in answers {
                results[at] = Some(self.judged(&passes[at], answer));
            }
            if let Err(error) = sent {
                for at in places {
                    results[at].get_or_insert_with(|| result::of_error(&error));
                }
            }
        }
        let each = passes.iter().zip(results);
        each.map(|(pass, result)| self.item_done(pass, result.unwrap_or_default())).collect()
    }

    /// One pass: its condition, then its tries.
    async fn pass(&self, pass: &Pass) -> Map {
        if let Some(result) = self.gate(pass) {
            return result;
        }
        let task = self.task();
        let setting = match self.setting(pass) {
            Ok(setting) => setting,
            Err(error) => return self.failed(&error),
        };
        let number = |value: &Option<Value>, default: f64| -> f64 {
            let value = value.as_ref().and_then(|v| pass.templar.value(v).ok());
            value.and_then(|v| v.to_text().trim().parse().ok()).unwrap_or(default)
        };
        let repeats = !task.until.is_empty() || task.retries.is_some();
        let tries = if repeats { number(&task.retries, 3.0).max(0.0) as i64 + 1 } else { 1 };
        let delay = Duration::from_secs_f64(number(&task.delay, 5.0).max(0.0));
        let mut attempt = 1;
        loop {
            let raw = self.once(pass, &setting).await;
            let mut result = self.judged(pass, raw);
            if !repeats {
                return result;
            }
            result.insert("attempts".into(), Value::Int(attempt));
            let templar = self.with_register(pass, &result);
            let done = if task.until.is_empty() {
                Ok(!result::flag(&result, "failed"))
            } else {
                result::all(&templar, &task.until)
            };
            match done {
                Ok(true) => return result,
                Ok(false) => {}
                Err(error) => {
                    let mut failed = self.failed(&error);
                    failed.insert("attempts".into(), Value::Int(attempt));
                    return failed;
                }
            }
            if attempt >= tries || result::flag(&result, "unreachable") {
                result.insert("attempts".into(), Value::Int((attempt).min(tries - 1).max(1)));
                result.insert("failed".into(), Value::Bool(true));
                return result;
            }
            let shown = self.shown(pass, &result, Verdict::Failed, false);
            self.engine.emit(Event::Retry { result: shown, left: tries - attempt });
            tokio::time::sleep(delay).await;
            attempt += 1;
        }
    }

    /// One try.
    async fn once(&self, pass: &Pass, setting: &Setting) -> Map {
        let plan = match self.plan(pass, setting) {
            Ok(plan) => plan,
            Err(error) => return self.action_failed(error),
        };
        let hands = RemoteHands { engine: self.engine, setting };
        let work = async {
            match plan {
                Plan::Ready(result) => result,
                Plan::Remote { module, call } => match hands.call(module, call).await {
                    Ok(answer) => crate::value::from_object(&answer.result),
                    Err(error) => result::of_error(&error),
                },
                Plan::Steps(args) => match action::steps(&self.context(pass, setting), args, &hands).await {
                    Ok(result) => result,
                    Err(error) => self.action_failed(error),
                },
            }
        };
        match setting.timeout {
            None => work.await,
            Some(limit) => match tokio::time::timeout(limit, work).await {
                Ok(result) => result,
                Err(_) => {
                    let seconds = limit.as_secs();
                    let mut out = result::failed(format!(
                        "The {} action failed to execute in the expected time frame ({seconds}) and was terminated",
                        self.task().action.written
                    ));
                    out.insert(
                        "timedout".into(),
                        Value::map(Map::from_iter([("period".into(), Value::Int(seconds as i64))])),
                    );
                    out
                }
            },
        }
    }

    fn context<'c>(&'c self, pass: &'c Pass, setting: &'c Setting) -> ActionContext<'c> {
        ActionContext {
            module: self.task().action.module,
            templar: &pass.templar,
            host: &self.host.name,
            search: &self.run.vars.search,
            check: setting.check,
            diff: setting.diff,
            world: &self.engine.world,
            span: self.task().span,
        }
    }

    fn plan(&self, pass: &Pass, setting: &Setting) -> Result<Plan, ActionError> {
        action::plan(&self.context(pass, setting), self.args(pass)?)
    }

    /// The task's arguments as they are written, with `module_defaults` below them.
    fn args(&self, pass: &Pass) -> Result<Map, TemplateError> {
        let task = self.task();
        let mut args = Map::new();
        for defaults in &task.context.module_defaults {
            let defaults = pass.templar.value(defaults)?;
            for (name, values) in defaults.as_map().into_iter().flatten() {
                let name = name.to_string();
                let info = crate::playbook::canonical_name(&name, &task.context.collections, &action::BuiltIn);
                if info.is_some_and(|info| info.name == task.action.module) {
                    args.extend(values.as_map().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
                }
            }
        }
        if let Some(template) = &task.action.args_template {
            match pass.templar.string(template)? {
                Value::Map(map) => args.extend(map.iter().map(|(k, v)| (k.clone(), v.clone()))),
                Value::Null | Value::Omit => {}
                other => {
                    let message = format!("the arguments come to {}, not to a dictionary", other.kind());
                    return Err(TemplateError::message(message, template.origin()));
                }
            }
        }
        args.extend(task.action.args.iter().map(|(k, v)| (k.clone(), v.clone())));
        Ok(args)
    }

    fn action_failed(&self, error: ActionError) -> Map {
        match error {
            ActionError::Template(error) => self.failed(&error),
            ActionError::Failed(result) => {
                let mut out = result::failed("");
                out.extend(result);
                out
            }
            ActionError::Remote(error) => result::of_error(&error),
        }
    }

    /// The templar of a pass that sees the result under its registered name.
    fn with_register(&self, pass: &Pass, result: &Map) -> Templar {
        let mut layer = Map::new();
        if let Some(name) = &self.task().register
            && let Ok(name) = pass.templar.string(name)
        {
            layer.insert(Key::from(name.to_text()), Value::map(result.clone()));
        }
        if let Some(item) = &pass.item {
            layer.insert(Key::from(item.loop_var.as_str()), item.value.clone());
            if let Some((name, at)) = &item.index {
                layer.insert(Key::from(name.as_str()), (*at).into());
            }
        }
        for (key, value) in result.get("ansible_facts").and_then(Value::as_map).into_iter().flatten() {
            layer.insert(key.clone(), value.clone());
        }
        Templar::new(Arc::new(self.scope.with_top(layer)))
    }

    /// A module's answer with everything a result has, judged by `changed_when` and `failed_when`.
    fn judged(&self, pass: &Pass, mut answer: Map) -> Map {
        result::complete(&mut answer);
        let task = self.task();
        if task.changed_when.is_empty() && task.failed_when.is_empty() {
            return answer;
        }
        let templar = self.with_register(pass, &answer);
        if let Err(error) = result::judge(task, &templar, &mut answer) {
            self.note(&error);
            answer.insert("failed".into(), Value::Bool(true));
            answer.insert("msg".into(), Value::from(error.message));
        }
        answer
    }
}

/// `ansible_loop`.
fn extended_loop(items: &[Value], at: usize, all: bool) -> Value {
    let len = items.len();
    let mut out = Map::new();
    if all {
        out.insert("allitems".into(), Value::list(items.to_vec()));
    }
    out.insert("index".into(), (at + 1).into());
    out.insert("index0".into(), at.into());
    out.insert("first".into(), Value::Bool(at == 0));
    out.insert("last".into(), Value::Bool(at + 1 == len));
    out.insert("length".into(), len.into());
    out.insert("revindex".into(), (len - at).into());
    out.insert("revindex0".into(), (len - at - 1).into());
    if let Some(next) = items.get(at + 1) {
        out.insert("nextitem".into(), next.clone());
    }
    if let Some(previous) = at.checked_sub(1).and_then(|before| items.get(before)) {
        out.insert("previtem".into(), previous.clone());
    }
    out.into()
}
