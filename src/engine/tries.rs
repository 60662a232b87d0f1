//! A pass over a task: its condition, then its tries until it is done.

use std::sync::PoisonError;
use std::time::Duration;

use super::event::{Event, Verdict};
use super::hands::{RemoteHands, Setting};
use super::on_host::{OnHost, Pass};
use super::result;
use crate::action::{self, ActionError, Plan};
use crate::playbook::Task;
use crate::template::{Templar, TemplateError};
use crate::value::{Map, Value};

/// How often a task is tried, and how long between the tries.
struct Tries {
    /// None where the task is done once, and `until` not asked.
    limit: Option<i64>,
    delay: Duration,
}

impl Tries {
    fn of(task: &Task, templar: &Templar) -> Self {
        let number = |value: &Option<Value>| -> Option<f64> {
            let value = value.as_ref().and_then(|v| templar.value(v).ok()).filter(|v| !matches!(v, Value::Omit))?;
            if let Value::Bool(yes) = value {
                Some(f64::from(u8::from(yes)))
            } else {
                value.to_text().trim().parse().ok()
            }
        };
        let retries = number(&task.retries);
        let repeats = !task.until.is_empty() || retries.is_some();
        let limit = repeats.then(|| retries.unwrap_or(3.0).max(0.0) as i64 + 1);
        // `retries: 0` is one try like any other: nothing is counted.
        Self {
            limit: limit.filter(|limit| *limit > 1),
            delay: Duration::from_secs_f64(number(&task.delay).unwrap_or(5.0).max(0.0)),
        }
    }
}

impl OnHost<'_> {
    /// One pass: its condition, then its tries.
    pub(super) async fn pass(&self, pass: &Pass) -> Map {
        if let Some(result) = self.gate(pass) {
            return result;
        }
        if let Some(error) = self.wrong_keyword(pass) {
            return self.failed(&pass.noted, &error);
        }
        let setting = match self.setting(pass) {
            Ok(setting) => setting,
            Err(error) => return self.failed(&pass.noted, &error),
        };
        let task = self.task();
        let tries = Tries::of(task, &pass.templar);
        let Some(limit) = tries.limit else { return self.judged(pass, self.once(pass, &setting).await) };
        let mut attempt = 1;
        loop {
            pass.noted.clear();
            let mut raw = self.once(pass, &setting).await;
            if result::flag(&raw, result::RAISED) {
                return self.judged(pass, raw);
            }
            raw.insert("attempts".into(), Value::Int(attempt));
            let mut result = self.judged(pass, raw);
            let templar = self.with_register(pass, &result);
            let done = if task.until.is_empty() {
                Ok(!result::flag(&result, "failed"))
            } else {
                result::all(&templar, &task.until).map_err(TemplateError::of_condition)
            };
            match done {
                Ok(true) => return result,
                Ok(false) => {}
                Err(error) => return self.failed(&pass.noted, &error),
            }
            if attempt >= limit || result::flag(&result, "unreachable") {
                result.insert("attempts".into(), Value::Int(attempt.min(limit - 1).max(1)));
                result::fail(&mut result);
                return result;
            }
            result.insert("retries".into(), Value::Int(limit));
            let shown = self.shown(pass, &result, Verdict::Failed, false);
            let event = Event::Retry { result: shown, left: limit - attempt };
            self.run.say(self.engine, &self.host.name, event);
            tokio::time::sleep(tries.delay).await;
            attempt += 1;
        }
    }

    /// One try; what gathers facts tells which of its modules failed.
    async fn once(&self, pass: &Pass, setting: &Setting) -> Map {
        let out = self.tried(pass, setting).await;
        let said = out.get("msg").and_then(Value::as_str).unwrap_or_default();
        let gathers = self.task().action.module == "ansible.builtin.gather_facts";
        if !gathers || !result::flag(&out, "failed") || said.starts_with("Task failed: ") {
            return out;
        }
        let args = self.args(pass).ok().map(|args| {
            Map::from_iter(args.into_iter().filter_map(|(key, value)| Some((key, pass.templar.value(&value).ok()?))))
        });
        result::of_gathering(out, args.unwrap_or_default())
    }

    async fn tried(&self, pass: &Pass, setting: &Setting) -> Map {
        if self.task().is_include() {
            return match self.wanted(pass) {
                Ok((wanted, result)) => {
                    self.inclusions.lock().unwrap_or_else(PoisonError::into_inner).push(wanted);
                    result
                }
                Err(error) => self.action_failed(pass, error),
            };
        }
        if setting.asynchronous.is_some() && !action::supports_async(self.task().action.module) {
            let message = format!("This action ({}) does not support async.", self.task().action.written);
            return self.action_failed(pass, ActionError::failed(message));
        }
        let plan = match self.plan(pass, setting) {
            Ok(plan) => plan,
            Err(error) => return self.action_failed(pass, error),
        };
        let hands = RemoteHands { engine: self.engine, setting };
        if let Plan::Remote { module, .. } = &plan {
            let text = format!("<{}> EXEC {module}", self.host.name);
            self.run.say(self.engine, &self.host.name, Event::Remark { verbosity: 3, text });
        }
        let invocation = match &plan {
            Plan::Remote { call, .. } => self.invocation(call, setting),
            _ => None,
        };
        let work = async {
            match plan {
                Plan::Ready(result) => result,
                Plan::Remote { module, call } => {
                    let answer = match &setting.asynchronous {
                        None => hands.call(module, call).await,
                        Some(how) => hands.one(setting.background_job(how, module, call)).await,
                    };
                    answer.map_or_else(|e| result::of_error(&e), |answer| result::of_answer(module, &answer))
                }
                Plan::Steps(args) => match action::steps(&self.context(pass, setting), args, &hands).await {
                    Ok(result) => result,
                    Err(error) => self.action_failed(pass, error),
                },
            }
        };
        let mut out = match setting.timeout {
            None => work.await,
            Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or_else(|_| timed_out(limit)),
        };
        result::add_invocation(&mut out, invocation);
        match &setting.asynchronous {
            Some(how) => self.follow(&hands, how, out).await,
            None => out,
        }
    }
}

/// The result of a task that took longer than its `timeout`.
fn timed_out(limit: Duration) -> Map {
    let seconds = limit.as_secs();
    let mut out = result::given_up(format!("Task failed: Timed out after {seconds} second(s)."));
    let frame = "Configure `DISPLAY_TRACEBACK` to see a traceback on timeout errors.";
    let period = Value::Int(i64::try_from(seconds).unwrap_or(i64::MAX));
    let about = Map::from_iter([("frame".into(), frame.into()), ("period".into(), period)]);
    out.insert("timedout".into(), Value::map(about));
    out
}
