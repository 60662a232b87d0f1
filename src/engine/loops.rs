//! Loops: a task's items, together in one request where nothing forces one at a time.

use std::sync::Arc;
use std::time::Duration;

use super::event::{Event, HostResult, Verdict};
use super::hands::{RemoteHands, Setting};
use super::on_host::{Item, OnHost, Pass};
use super::result;
use crate::action::{self, Plan};
use crate::diagnostic::Diagnostic;
use crate::remote::{Call, Job};
use crate::template::{Notices, Templar, TemplateError, add_notices, lookups};
use crate::value::{Key, Map, Value, is_variable_name};

/// What is said of an item whose label cannot be evaluated, before the reason.
pub(crate) const UNLABELLED: &str = "Failed to template loop_control.label: ";

/// How what is said of a `loop` begins that is no list.
pub(crate) const NOT_A_LIST: &str = "The `loop` value must resolve to a 'list'";

/// How what is said of a loop's variable begins that is no name.
pub(crate) const NO_NAME: &str = "Invalid variable name '";

/// Why there are no items.
enum NoItems {
    /// Something in them is undefined.
    Undefined(TemplateError),
    /// They cannot be evaluated, or come to something that is no list of items.
    NotOne(TemplateError),
}

/// Says of a loop's variable that it hides another one.
fn in_use(name: &str, written: Option<&Value>) -> Diagnostic {
    let message = format!("The loop variable '{name}' is already in use.");
    Diagnostic::warning("run::loop-var", message).or_at(written.and_then(Value::origin)).help(
        "You should set the `loop_var` value in the `loop_control` option for the task to something else to avoid variable \
         collisions and unexpected behavior.",
    )
}

/// As in the reference, a condition may save a task from what is undefined, and from nothing else.
fn no_items(mut error: TemplateError) -> NoItems {
    error.message.truncate(error.message.trim_end().len());
    if error.is_undefined { NoItems::Undefined(error) } else { NoItems::NotOne(error) }
}

impl OnHost<'_> {
    /// The items of the loop; or the result of a loop that could not be made.
    pub(super) fn passes(&self) -> Result<Vec<Pass>, Map> {
        let task = self.task();
        let items = match self.notices.unsaid(|| self.items()) {
            Ok(items) => items,
            Err(NoItems::NotOne(error)) => {
                // The reference says so before it asks for anything else.
                return Err(self.loop_failed(error));
            }
            Err(NoItems::Undefined(error)) => {
                // A loop over something undefined is fine where the task would have been skipped.
                if let Some(condition) = self.first_false(&self.templar) {
                    return Err(result::skipped(&condition));
                }
                return Err(self.failed(&self.noted, &error));
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
        if let Some(error) = self.wrong_loop_control() {
            return Err(self.loop_failed(error));
        }
        let text = |setting: &Option<Value>| -> Result<Option<String>, Map> {
            let value = setting
                .as_ref()
                .map(|v| self.templar.value(v))
                .transpose()
                .map_err(|e| self.failed(&self.noted, &e))?;
            Ok(value.filter(|value| !matches!(value, Value::Omit)).map(|v| v.to_text()))
        };
        let control = task.loop_control();
        let loop_var = text(&control.loop_var)?.unwrap_or_else(|| "item".to_owned());
        let index_var = text(&control.index_var)?;
        if !is_variable_name(&loop_var) || control.loop_var.as_ref().is_some_and(Value::is_null) {
            let kind = if loop_var == "None" { " of type 'NoneType'" } else { "" };
            let place = control.loop_var.as_ref().and_then(Value::origin);
            return Err(self.loop_failed(TemplateError::message(format!("{NO_NAME}{loop_var}'{kind}."), place)));
        }
        if self.templar.variables().get(&loop_var).is_some() {
            self.engine.emit(Event::Warning(in_use(&loop_var, control.loop_var.as_ref())));
        }
        let extended = self.flag(&self.templar, &control.extended);
        let all_items = control.extended_allitems.as_ref().and_then(Value::to_bool).unwrap_or(true);
        let len = items.len();
        let mut passes = Vec::with_capacity(len);
        for (at, value) in items.iter().enumerate() {
            let mut item = Item {
                label: value.clone(),
                loop_var: loop_var.clone(),
                value: value.clone(),
                index: index_var.clone().map(|name| (name, at)),
                extended: extended.then(|| extended_loop(&items, at, all_items)),
            };
            let notices = Arc::new(Notices::default());
            let templar = Templar::new(Arc::new(self.scope.with_top(item.layer()).with_notices(notices.clone())));
            let no_log = self.is_secret(&templar);
            if no_log {
                item.label = Value::from("(censored due to no_log)");
            }
            passes.push(Pass { templar, item: Some(item), no_log, notices, noted: Arc::default() });
        }
        Ok(passes)
    }

    /// A loop that cannot be: the reference says less of it than of other failures.
    fn loop_failed(&self, error: TemplateError) -> Map {
        self.note(&self.noted, &error);
        let mut out = result::failed(error.message);
        out.shift_remove("changed");
        out
    }

    fn items(&self) -> Result<Vec<Value>, NoItems> {
        let Some(looped) = &self.task().looped else { return Ok(Vec::new()) };
        let Some(lookup) = &looped.lookup else {
            let value = self.templar.value(&looped.items).map_err(no_items)?;
            return match value {
                Value::List(items) => Ok(items.to_vec()),
                other => {
                    let message = match other {
                        Value::Omit => crate::template::OMITTED.to_owned(),
                        other => format!("{NOT_A_LIST}, not '{}'.", crate::template::python_type(&other)),
                    };
                    Err(NoItems::NotOne(TemplateError::message(message, Some(looped.span))))
                }
            };
        };
        lookups::loop_items_for(self.task().action.module, lookup, &looped.items, &self.templar).map_err(no_items)
    }

    /// All items: together in one request where nothing forces one at a time.
    pub(super) async fn looped(&self, passes: Vec<Pass>) -> Map {
        let results = match self.together(&passes) {
            Some(ready) => self.in_one_request(&passes, ready).await,
            None => match self.one_by_one(&passes).await {
                Ok(results) => results,
                Err(failure) => return failure,
            },
        };
        result::combine(results)
    }

    /// The items' results; or the task's, where it cannot be told whether there are to be more of them.
    async fn one_by_one(&self, passes: &[Pass]) -> Result<Vec<Map>, Map> {
        let task = self.task();
        let control = task.loop_control();
        let pause =
            control.pause.as_ref().and_then(|p| self.templar.value(p).ok()).and_then(|v| v.to_text().parse().ok());
        let mut results = Vec::with_capacity(passes.len());
        let mut lost: Option<Map> = None;
        let sets = matches!(task.action.module, "ansible.builtin.set_fact" | "ansible.builtin.include_vars");
        let registered = self.looks_back();
        let (mut renewed, mut found) = (None, Map::new());
        for (at, pass) in passes.iter().enumerate() {
            // What an item sets is there for those after it.
            let own = renewed.take().map(|layer: Map| pass.over(&self.scope, layer));
            let pass = own.as_ref().unwrap_or(pass);
            if let (Some(pause), true) = (pause, at > 0) {
                tokio::time::sleep(Duration::from_secs_f64(f64::max(pause, 0.0))).await;
            }
            let result = match &lost {
                // A host that is gone is not asked again for each item that is left.
                Some(lost) => self.gate(pass).unwrap_or_else(|| Map::clone(lost)),
                None => self.pass(pass).await,
            };
            if result::flag(&result, "unreachable") && task.context.delegate_to.is_none() {
                lost.get_or_insert_with(|| result.clone());
            }
            if matches!(task.action.module, "ansible.builtin.add_host" | "ansible.builtin.group_by") {
                self.engine.change_groups(self.host, &result);
            }
            let result = self.item_done(pass, result);
            if let Some(next) = passes.get(at + 1).and_then(|next| next.item.as_ref()) {
                let facts = result.get("ansible_facts").and_then(Value::as_map).filter(|_| sets);
                found.extend(facts.into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
                if let Some(name) = &registered {
                    found.insert(Key::from(name.as_str()), Value::map(self.registered(&result)));
                }
                if facts.is_some() || registered.is_some() {
                    let mut layer = found.clone();
                    layer.extend(next.layer());
                    renewed = Some(layer);
                }
            }
            let stop = !control.break_when.is_empty() && {
                let templar = self.with_register(pass, &result);
                match result::all(&templar, &control.break_when) {
                    Ok(stop) => stop,
                    Err(error) => {
                        let error = error.of_condition();
                        self.note(&self.noted, &error);
                        return Err(result::failed(error.message));
                    }
                }
            };
            results.push(result);
            if stop {
                break;
            }
        }
        Ok(results)
    }

    /// The name under which the task registers, where the task itself asks for it: an item then sees the result of the one before.
    fn looks_back(&self) -> Option<String> {
        let task = self.task();
        let name = self.templar.string(task.register.as_ref()?).ok()?.to_text();
        let context = &task.context;
        let asks = |value: &Value| value.any_text(&|text| text.contains(&name));
        let maps = context.vars.iter().map(AsRef::as_ref).chain([&task.action.args]);
        let asked = context.when.iter().any(asks)
            || maps.flat_map(|map| map.values()).any(asks)
            || context.environment.iter().any(asks);
        asked.then_some(name)
    }

    /// Adds what tells an item's result from another's, and says that it is done.
    fn item_done(&self, pass: &Pass, mut result: Map) -> Map {
        let Some(item) = &pass.item else { return result };
        self.note_delegate(self.delegate(pass));
        let label = self.label(pass, item, &mut result);
        let verdict = result::verdict(&result);
        let well = matches!(verdict, Verdict::Ok | Verdict::Changed);
        if well && self.task().is_include() {
            // What is included says so itself.
            result.shift_remove("changed");
            result.extend(item.layer());
            return result;
        }
        if well {
            result.entry("failed".into()).or_insert(Value::Bool(false));
        }
        result.extend(item.layer());
        let ignored = verdict == Verdict::Failed && self.is_forgiven(&pass.templar);
        if verdict == Verdict::Failed {
            self.note_failed_item(ignored);
        }
        let notices = pass.notices.take();
        add_notices(&mut result, &notices);
        let shown = HostResult { notices, ..self.shown(pass, &result, verdict, ignored) };
        let event = Event::Item { result: shown, label: Arc::new(label) };
        self.run.say(self.engine, &self.host.name, event);
        result.shift_remove(crate::action::WHOLE);
        result.shift_remove(result::RAISED);
        result
    }

    /// What the item is called; a label that cannot be evaluated is the item's failure.
    pub(super) fn label(&self, pass: &Pass, item: &Item, result: &mut Map) -> Value {
        // A label that says nothing is none.
        let says = |label: &&Value| !pass.no_log && !label.is_null() && label.as_str() != Some("");
        let Some(label) = self.task().loop_control().label.as_ref().filter(says) else {
            return item.label.clone();
        };
        match pass.notices.unsaid(|| self.with_register(pass, result).value(label)) {
            Ok(label) => label,
            Err(error) => {
                let message = format!("{UNLABELLED}{}", error.message);
                result.insert("failed".into(), Value::Bool(true));
                result.insert("msg".into(), message.into());
                // `debug` tells its message alone, and of no item.
                if self.task().action.module == "ansible.builtin.debug" { Value::Null } else { item.label.clone() }
            }
        }
    }

    /// Everything about all items, when they can go to the host in one request; `None` when they cannot.
    fn together(&self, passes: &[Pass]) -> Option<Vec<Result<(Setting, Call), Map>>> {
        let task = self.task();
        let context = &task.context;
        let control = task.loop_control();
        let alone = !task.until.is_empty()
            || task.retries.is_some()
            || control.pause.is_some()
            || !control.break_when.is_empty()
            || context.delegate_to.is_some()
            || context.timeout.is_some()
            || self.looks_back().is_some()
            || task.asynchronous.is_some()
            || passes.len() < 2
            || task.is_include()
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
            if let Some(error) = self.wrong_keyword(pass) {
                out.push(Err(self.failed(&pass.noted, &error)));
                continue;
            }
            let own = match self.setting_or(pass, &setting) {
                Ok(own) => own,
                Err(error) => {
                    out.push(Err(self.failed(&pass.noted, &error)));
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
                Err(error) => out.push(Err(self.judged(pass, self.action_failed(pass, error)))),
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
        let mut invocations = Vec::new();
        let mut setting = None;
        for (at, entry) in ready.into_iter().enumerate() {
            match entry {
                Ok((own, call)) => {
                    let setting = setting.get_or_insert(own);
                    invocations.push(self.invocation(&call, setting));
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
                        let mut result = result::of_answer(self.task().action.module, &answer);
                        result::add_invocation(&mut result, invocations.get(answer.index).cloned().flatten());
                        answers.push((*at, result));
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
