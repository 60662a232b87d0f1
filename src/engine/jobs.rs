//! `async` and `poll`: a task that goes on by itself on its host, and following it.

use std::time::Duration;

use super::event::{Event, JobStage};
use super::hands::{RemoteHands, Setting, about};
use super::on_host::{OnHost, Pass};
use super::result;
use crate::action;
use crate::remote::{Answer, Background, Call, Job, RemoteError};
use crate::template::TemplateError;
use crate::value::{Key, Map, Value};

/// The module that says what became of a job.
const STATUS: &str = "ansible.builtin.async_status";

/// How a task goes on by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asynchronous {
    /// `async`: its time, in seconds.
    pub limit: u64,
    /// `poll`: how often it is asked after, in seconds; 0 for never.
    pub poll: u64,
    /// Where its result is going to be, on the host.
    pub directory: String,
}

impl OnHost<'_> {
    /// What `async` and `poll` say; none where the task is waited for as any other.
    pub(super) fn asynchronous(&self, pass: &Pass) -> Result<Option<Asynchronous>, TemplateError> {
        let task = &self.run.task;
        let number = |keyword: &str, setting: &Option<Value>| -> Result<Option<i64>, TemplateError> {
            let Some(written) = setting else { return Ok(None) };
            let value = pass.templar.value(written).map_err(|e| about(keyword, e))?;
            if matches!(value, Value::Null | Value::Omit) {
                return Ok(None);
            }
            let number = value.to_text().trim().parse::<i64>();
            number.map(Some).map_err(|_| {
                let message = format!("The value {} could not be converted to 'int'.", super::hands::repr(&value));
                about(keyword, TemplateError::message(message, super::hands::origin(written)))
            })
        };
        let limit = number("async_val", &task.asynchronous)?.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        let poll = number("poll", &task.poll)?;
        if limit == 0 {
            return Ok(None);
        }
        let usual = || self.engine.world.info.settings.get("DEFAULT_POLL_INTERVAL")?.value.as_int();
        let poll = u64::try_from(poll.or_else(usual).unwrap_or(15)).unwrap_or(0);
        let directory = action::async_directory(&pass.templar, &self.engine.world)?;
        Ok(Some(Asynchronous { limit, poll, directory }))
    }

    /// Follows a job until it is done or its time is up; gives the module's result.
    pub(super) async fn follow(&self, hands: &RemoteHands<'_>, job: &Asynchronous, started: Map) -> Map {
        if job.poll == 0 || ["failed", "skipped", "unreachable"].iter().any(|key| result::flag(&started, key)) {
            return started;
        }
        let Some(id) = started.get("ansible_job_id").map(Value::to_text) else {
            return result::failed("No job id was returned by the async task");
        };
        let out = self.until_done(hands, job, &id).await;
        let stage = if result::flag(&out, "failed") { JobStage::Failed } else { JobStage::Ok };
        if !result::flag(&out, "unreachable") {
            self.say(&id, stage);
        }
        out
    }

    async fn until_done(&self, hands: &RemoteHands<'_>, job: &Asynchronous, id: &str) -> Map {
        let mut left = job.limit;
        let mut last = Map::new();
        while left > 0 {
            tokio::time::sleep(Duration::from_secs(job.poll)).await;
            left = left.saturating_sub(job.poll);
            match status(hands, job, id, "status").await {
                Ok(answer) => {
                    last = crate::value::from_object(&answer.result);
                    if ["finished", "failed", "skipped"].iter().any(|key| result::flag(&last, key)) {
                        break;
                    }
                    let stage = JobStage::Poll {
                        started: result::flag(&last, "started"),
                        finished: result::flag(&last, "finished"),
                    };
                    self.say(id, stage);
                }
                // The job goes on without the login: there may be another one before its time is up.
                Err(error) if left == 0 => return result::of_error(&error),
                Err(_) => {}
            }
        }
        if result::flag(&last, "finished") {
            // What is left behind otherwise is the result, which harms nobody.
            let _ = status(hands, job, id, "cleanup").await;
            return last;
        }
        result::complete("ansible.builtin.async_status", &mut last);
        last.shift_remove("changed");
        let mut out = result::failed(format!("async task did not complete within the requested time - {}s", job.limit));
        out.insert(Key::from("async_result"), Value::map(last));
        out
    }

    fn say(&self, id: &str, stage: JobStage) {
        self.engine.emit(Event::Job { host: self.host.name.clone(), id: id.to_owned(), stage });
    }
}

/// Asks after a job, or has its result removed.
async fn status(hands: &RemoteHands<'_>, job: &Asynchronous, id: &str, mode: &str) -> Result<Answer, RemoteError> {
    let args = [("jid", id), ("mode", mode), ("_async_dir", &job.directory)];
    let args = args.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    hands.call(STATUS, Call { args, content: None }).await
}

impl Setting {
    /// The one call of a task that goes on by itself.
    pub(super) fn background_job(&self, how: &Asynchronous, module: &str, call: Call) -> Job {
        let background = Background { directory: how.directory.clone(), limit: how.limit };
        Job { module: module.to_owned(), calls: vec![call], background: Some(background), ..self.job() }
    }
}
