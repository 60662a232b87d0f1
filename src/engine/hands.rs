//! A task's hold on its host: where it runs, as whom, and the requests it makes there.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Engine;
use super::event::Event;
use super::jobs::Asynchronous;
use super::on_host::{OnHost, Pass};
use super::target::{self, Target};
use crate::action::{self, Executed, Hands, Opened};
use crate::connection::ExecOptions;
use crate::diagnostic::Diagnostic;
use crate::remote::{Answer, Become, Call, Dialogue, Job, RemoteError};
use crate::template::{Templar, TemplateError};
use crate::value::Value;
use crate::vars::{Scope, TaskVars};

/// Where a pass of a task runs, and how.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub target: Target,
    /// The host that it is delegated to, when it is.
    pub delegate: Option<String>,
    pub become_user: Option<Become>,
    pub check: bool,
    pub diff: bool,
    pub environment: Vec<(String, String)>,
    pub timeout: Option<Duration>,
    pub asynchronous: Option<Asynchronous>,
}

impl Setting {
    /// A job with nothing to do yet.
    pub(super) fn job(&self) -> Job {
        Job {
            module: String::new(),
            calls: Vec::new(),
            check: self.check,
            diff: self.diff,
            environment: self.environment.clone(),
            background: None,
        }
    }

    /// Whether two passes may share a request.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.become_user == other.become_user
            && self.check == other.check
            && self.diff == other.diff
            && self.environment == other.environment
    }
}

/// A value as messages show it: text in quotes.
pub(super) fn repr(value: &Value) -> String {
    match value {
        Value::Str(text) => format!("'{}'", text.as_str()),
        other => other.to_text(),
    }
}

/// An error that says which keyword it is about.
pub(super) fn about(keyword: &str, mut error: TemplateError) -> TemplateError {
    error.message = format!("Error processing keyword '{keyword}': {}", error.message);
    error
}

/// A keyword that is true or false; what is neither is an error.
pub(super) fn truth(templar: &Templar, keyword: &str, value: &Value, default: bool) -> Result<bool, TemplateError> {
    let evaluated = templar.value(value).map_err(|e| about(keyword, e))?;
    if matches!(evaluated, Value::Null | Value::Omit) {
        return Ok(default);
    }
    evaluated.to_bool().ok_or_else(|| {
        let message = format!("The value {} could not be converted to 'bool'.", repr(&evaluated));
        about(keyword, TemplateError::message(message, value.origin()))
    })
}

/// The entries of a dictionary that can be evaluated.
fn known(templar: &Templar, entry: &Value) -> Value {
    let entries = entry.as_map().into_iter().flatten();
    Value::map(entries.filter_map(|(key, value)| Some((key.clone(), templar.value(value).ok()?))).collect())
}

/// `timeout`: none for 0.
fn time_limit(templar: &Templar, value: &Value) -> Result<Option<Duration>, TemplateError> {
    const LONGEST: i64 = 100_000_000;
    let evaluated = templar.value(value).map_err(|e| about("timeout", e))?;
    if matches!(evaluated, Value::Null | Value::Omit) {
        return Ok(None);
    }
    let Ok(seconds) = crate::template::to_int(&evaluated) else {
        let message = format!("The value {} could not be converted to 'int'.", repr(&evaluated));
        return Err(about("timeout", TemplateError::message(message, value.origin())));
    };
    if !(0..=LONGEST).contains(&seconds) {
        return Err(TemplateError::refusal(format!(
            "Timeout {seconds} is invalid, it must be between 0 and {LONGEST}."
        )));
    }
    Ok(u64::try_from(seconds).ok().filter(|n| *n > 0).map(Duration::from_secs))
}

impl OnHost<'_> {
    /// Where a pass runs, and how.
    pub(super) fn setting(&self, pass: &Pass) -> Result<Setting, TemplateError> {
        let context = self.settled(&pass.templar);
        let context = context.as_ref();
        let options = &self.engine.options;
        let flag = |keyword: &str, setting: &Option<Value>, default: bool| match setting {
            Some(value) => truth(&pass.templar, keyword, value, default),
            None => Ok(default),
        };
        let delegate = self.delegation(pass)?;
        let (target, become_user) = match &delegate {
            Some(name) => {
                let templar = self.delegate_templar(name);
                (
                    target::target_of(&templar, context, name, &options.login)?,
                    target::become_of(&templar, context, options)?,
                )
            }
            None => (
                target::target_of(&pass.templar, context, &self.host.name, &options.login)?,
                target::become_of(&pass.templar, context, options)?,
            ),
        };
        let timeout = match &context.timeout {
            Some(value) => time_limit(&pass.templar, value)?,
            None => None,
        };
        Ok(Setting {
            target,
            delegate,
            become_user,
            check: flag("check_mode", &context.check_mode, options.check)?,
            diff: flag("diff", &context.diff, options.diff)?,
            environment: self.environment(pass)?,
            timeout,
            asynchronous: self.asynchronous(pass)?,
        })
    }

    /// What connection variables are for a host that a task is delegated to: that host's own, the task's `vars` on top.
    fn delegate_templar(&self, name: &str) -> Templar {
        let known = self.engine.world.inventory().host(name).is_some();
        if !known && matches!(name, "localhost" | "127.0.0.1" | "::1") {
            self.engine.change_inventory(|inventory| drop(inventory.implicit_localhost(name).name.clone()));
        }
        let vars = TaskVars { vars: self.run.vars.vars.clone(), ..TaskVars::default() };
        Templar::new(Arc::new(Scope::new(&self.engine.world, name, None, vars)))
    }

    fn environment(&self, pass: &Pass) -> Result<Vec<(String, String)>, TemplateError> {
        let mut out: Vec<(String, String)> = Vec::new();
        for entry in &self.run.task.context.environment {
            let gathers = action::remote_name(self.run.task.action.module).ends_with(".setup");
            let value = match pass.templar.value(entry) {
                Ok(value) => value,
                // What is about to be gathered cannot be asked for yet; the rest can.
                Err(error) if error.is_undefined && gathers => known(&pass.templar, entry),
                Err(error) => return Err(about("environment", error)),
            };
            if !matches!(value, Value::Map(_) | Value::Omit) {
                let all = Value::list(self.run.task.context.environment.clone());
                let message =
                    format!("could not parse environment value, skipping: {}", crate::template::python_repr(&all));
                let warning = Diagnostic::warning("run::environment", message);
                self.run.say(self.engine, &self.host.name, Event::Warning(warning));
            }
            for (key, value) in value.as_map().into_iter().flatten() {
                let key = key.to_string();
                out.retain(|(name, _)| *name != key);
                out.push((key, value.to_text()));
            }
        }
        Ok(out)
    }
}

/// Requests to the host that a setting names.
pub(super) struct RemoteHands<'h> {
    pub engine: &'h Arc<Engine>,
    pub setting: &'h Setting,
}

/// How long becoming a user may take for a command without a worker.
const BECOME_PATIENCE: Duration = Duration::from_secs(10);

impl RemoteHands<'_> {
    /// Whom a command without a worker becomes; nobody where the login is that user's.
    fn other_user(&self) -> Option<&Become> {
        let same = self.engine.world.info.settings.get("BECOME_ALLOW_SAME_USER").and_then(|s| s.value.as_bool());
        let is_login = |user: &Become| match &self.setting.target {
            Target::Local => user.spec.user == "root" && rustix::process::geteuid().is_root(),
            Target::Ssh(options) => options.user.as_ref() == Some(&user.spec.user),
        };
        self.setting.become_user.as_ref().filter(|user| same == Some(true) || !is_login(user))
    }

    /// Runs a job; `on_answer` gets each answer as it comes.
    pub(super) async fn job(&self, job: Job, on_answer: impl FnMut(Answer)) -> Result<(), RemoteError> {
        let worker = self.engine.workers.worker(&self.setting.target).await?;
        // Root does not have to become root.
        let is_root = worker.hello().uid == 0;
        let same = self.engine.world.info.settings.get("BECOME_ALLOW_SAME_USER").and_then(|s| s.value.as_bool());
        let needless = |user: &Become| is_root && user.spec.user == "root" && same != Some(true);
        let become_user = self.setting.become_user.as_ref().filter(|user| !needless(user));
        if let Some(Become { spec, .. }) = become_user {
            let exe = spec.exe.as_ref().unwrap_or(&spec.method);
            let text = format!("BECOME {exe} {} {}", spec.all_flags().join(" "), spec.user);
            self.engine.emit(Event::Remark { verbosity: 4, text });
        }
        // A user who changes or goes is not to be held by a session with the old groups.
        match job.module.as_str() {
            "ansible.builtin.user" if !job.check => {
                for name in job.calls.iter().filter_map(|call| call.args.get("name")?.as_str()) {
                    worker.end_become(Some(name)).await?;
                }
            }
            "ansible.builtin.group" if !job.check => worker.end_become(None).await?,
            _ => {}
        }
        worker.run(become_user, job, on_answer).await
    }

    /// Runs one call.
    pub(super) async fn call(&self, module: &str, call: Call) -> Result<Answer, RemoteError> {
        self.one(Job { module: module.to_owned(), calls: vec![call], ..self.setting.job() }).await
    }

    /// Runs a job of one call.
    pub(super) async fn one(&self, job: Job) -> Result<Answer, RemoteError> {
        let mut got = None;
        self.job(job, |answer| got = Some(answer)).await?;
        got.ok_or_else(|| RemoteError::Protocol("the worker did not answer".into()))
    }
}

impl Hands for RemoteHands<'_> {
    fn calls(&self, module: &'static str, calls: Vec<Call>) -> BoxFuture<'_, Result<Vec<Answer>, RemoteError>> {
        Box::pin(async move {
            let mut answers = Vec::with_capacity(calls.len());
            let job = Job { module: module.to_owned(), calls, ..self.setting.job() };
            self.job(job, |answer| answers.push(answer)).await?;
            Ok(answers)
        })
    }

    fn queries(&self, module: &'static str, calls: Vec<Call>) -> BoxFuture<'_, Result<Vec<Answer>, RemoteError>> {
        Box::pin(async move {
            let mut answers = Vec::with_capacity(calls.len());
            let job = Job { module: module.to_owned(), calls, check: false, ..self.setting.job() };
            self.job(job, |answer| answers.push(answer)).await?;
            Ok(answers)
        })
    }

    fn open(&self, command: String) -> BoxFuture<'_, Result<Opened, RemoteError>> {
        Box::pin(async move {
            let connection = self.engine.workers.connect(&self.setting.target).await?;
            let Some(user) = self.other_user() else {
                let process = connection.exec(&command, ExecOptions::default()).await?;
                return Ok(Opened { process, stdout: Vec::new(), stderr: Vec::new() });
            };
            let dialogue = Dialogue::new(user.patience.unwrap_or(BECOME_PATIENCE));
            let line = dialogue.command(user, &command)?;
            let mut process = connection.exec(&line, ExecOptions::default()).await?;
            let (stdout, stderr) = dialogue.lead(&mut process, user).await.map_err(|error| match error {
                RemoteError::Become(message) => RemoteError::Become(format!("Task failed: {message}")),
                other => other,
            })?;
            Ok(Opened { process, stdout, stderr })
        })
    }

    fn exec(&self, command: String) -> BoxFuture<'_, Result<Executed, RemoteError>> {
        Box::pin(async move {
            let Opened { mut process, mut stdout, mut stderr } = self.open(command).await?;
            // A command that is gone needs no end of its input.
            let _ = process.stdin.shutdown().await;
            drop(process.stdin);
            let (out, err) =
                tokio::join!(process.stdout.read_to_end(&mut stdout), process.stderr.read_to_end(&mut stderr));
            let broken = out.and(err).err();
            let exit = process.exit.await?;
            if let Some(error) = broken {
                return Err(RemoteError::Lost(format!(": {error}")));
            }
            Ok(Executed { rc: exit.code(), stdout, stderr })
        })
    }

    fn delegate(&self) -> Option<&str> {
        self.setting.delegate.as_deref()
    }

    fn is_local(&self) -> bool {
        matches!(self.setting.target, Target::Local)
    }

    fn reset(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.engine.workers.reset(&self.setting.target).await })
    }
}
