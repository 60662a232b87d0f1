//! What a module is, and what it says when it is done.

use std::fmt::Display;

use rplay_protocol::Object;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::args::{self, ArgError};
use crate::host::{Content, Diff, Host};

/// A module: a struct of arguments that knows how to bring them about.
///
/// Write one file per module under `modules/` and add it to [`crate::modules::MODULES`]. Everything read from the host and
/// every change goes through the [`Host`] given to `run`.
pub trait Module: DeserializeOwned + schemars::JsonSchema {
    /// The full name, as in `ansible.builtin.copy`.
    const NAME: &'static str;
    /// What happens in check mode.
    const CHECK_MODE: CheckMode = CheckMode::Full;
    /// Whether calls of it in one worker wait for each other: it reads something, changes it and puts it back, and hosts
    /// that delegate to the same one would undo each other's changes.
    const ALONE: bool = false;
    /// Whether `mode` may be `preserve`: there is a source whose permissions it can mean.
    const HAS_SOURCE: bool = false;

    /// Refuses combinations of arguments that can never work; called before anything is read or changed, and, when no
    /// argument is a template, before any host is contacted.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Brings the host to the state that the arguments describe.
    fn run(self, host: &Host) -> Result<Outcome, Failure>;
}

/// How much a module can say in check mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckMode {
    /// It predicts.
    Full,
    /// It is skipped, as modules of the reference without `supports_check_mode` are.
    Skipped,
}

/// What a module reports when nothing went wrong.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Whether the host is different from before, or, in check mode, would be.
    pub changed: bool,
    /// The module's return values beside `changed` and `diff`, in the order they were put in.
    pub fields: Object,
    /// What differs, for diff mode.
    pub diffs: Vec<Diff>,
    /// What is told as `diff` in any case and as a list, instead of `diffs`; outside of diff mode it holds no content.
    pub parts: Option<Vec<Diff>>,
    /// Raw content that goes back to the controller (`fetch`); `size` and `checksum` of what is sent are told in the result.
    pub content: Option<Content>,
}

impl Outcome {
    /// An outcome with nothing but a verdict.
    #[must_use]
    pub fn new(changed: bool) -> Self {
        Self { changed, ..Self::default() }
    }

    /// Nothing to do.
    #[must_use]
    pub fn unchanged() -> Self {
        Self::new(false)
    }

    /// Adds a return value.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.set(key, value);
        self
    }

    /// Adds a return value.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.fields.insert(key.to_owned(), value.into());
    }

    /// Adds what differs.
    #[must_use]
    pub fn with_diff(mut self, diff: Diff) -> Self {
        self.diffs.push(diff);
        self
    }

    /// A task that was not carried out, with the reason.
    #[must_use]
    pub fn skipped(msg: impl Into<String>) -> Self {
        Self::unchanged().with("skipped", true).with("msg", msg.into())
    }

    /// The result as the controller gets it. `diff` is there only in diff mode, and only when something differs.
    #[must_use]
    pub fn into_result(self, diff_mode: bool) -> (Object, Option<Content>) {
        let mut result = self.fields;
        result.insert("changed".to_owned(), Value::Bool(self.changed));
        if let Some(parts) = self.parts {
            let shown = parts.into_iter().map(|part| if diff_mode { part } else { part.without_content() });
            result.insert("diff".to_owned(), shown.map(Diff::into_value).collect::<Vec<_>>().into());
        } else if diff_mode && !self.diffs.is_empty() {
            let mut diffs: Vec<Value> = self.diffs.into_iter().map(Diff::into_value).collect();
            let diff = if diffs.len() == 1 { diffs.remove(0) } else { Value::Array(diffs) };
            result.insert("diff".to_owned(), diff);
        }
        (result, self.content)
    }
}

/// What a module reports when it could not do its work: one clear sentence, and return values beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// What was attempted and what stood in the way.
    pub msg: String,
    /// Further return values (`rc`, `stderr`, …); may hold `changed`.
    pub fields: Object,
}

impl Failure {
    /// A failure that says `msg`.
    #[must_use]
    pub fn new(msg: impl Into<String>) -> Self {
        Self { msg: msg.into(), fields: Object::new() }
    }

    /// Adds a return value.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(key.to_owned(), value.into());
        self
    }

    /// The result as the controller gets it.
    #[must_use]
    pub fn into_result(self) -> Object {
        let mut result = self.fields;
        result.insert("failed".to_owned(), Value::Bool(true));
        result.entry("changed").or_insert(Value::Bool(false));
        result.insert("msg".to_owned(), Value::String(self.msg));
        result
    }
}

impl From<ArgError> for Failure {
    fn from(error: ArgError) -> Self {
        let message = error.to_string();
        match ArgError::told_apart(&message) {
            (msg, Some(details)) => Self::new(msg).with("details", details),
            (msg, None) => Self::new(msg),
        }
    }
}

/// Says what was attempted when an error came up.
pub trait Context<T> {
    /// Turns an error into a [`Failure`] that begins with what was attempted.
    fn context(self, attempted: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Display> Context<T> for Result<T, E> {
    fn context(self, attempted: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|e| Failure::new(format!("{}: {e}", attempted())))
    }
}

/// A module of its arguments, and warnings of them.
fn of_arguments<M: Module>(object: &Object) -> Result<(M, Vec<String>), ArgError> {
    // What is not known yet may be left out in the end.
    let known = object.values().all(|v| !args::is_opaque(v));
    if !M::HAS_SOURCE && object.get("mode").and_then(Value::as_str) == Some("preserve") {
        return Err(args::Mode::preserves_nothing());
    }
    args::checked(object, known.then_some(&M::check as args::Check<'_, M>))
        .map_err(|e| e.of_module(M::NAME).with_schema(|| json!(schemars::schema_for!(M))))
}

/// Puts warnings before those that a result has already.
fn warn(result: &mut Object, warnings: Vec<String>) {
    if warnings.is_empty() {
        return;
    }
    let mut warnings: Vec<Value> = warnings.into_iter().map(Value::from).collect();
    if let Some(Value::Array(own)) = result.get("warnings") {
        warnings.extend(own.iter().cloned());
    }
    result.insert("warnings".to_owned(), Value::Array(warnings));
}

/// A module in the registry, its type erased.
pub struct Entry {
    /// The full name.
    pub name: &'static str,
    /// What happens in check mode.
    pub check_mode: CheckMode,
    /// Checks arguments without a host; values that are not known yet are [`args::opaque`].
    pub check: fn(&Object) -> Result<(), ArgError>,
    /// Runs one call.
    pub run: fn(&Object, &Host) -> Result<Outcome, Failure>,
    /// The arguments' JSON schema.
    pub schema: fn() -> Value,
}

impl Entry {
    /// The registry entry of a module.
    #[must_use]
    pub const fn of<M: Module>() -> Self {
        Self {
            name: M::NAME,
            check_mode: M::CHECK_MODE,
            check: |object| {
                let (module, _) = of_arguments::<M>(object)?;
                let known = object.values().all(|v| !args::is_opaque(v));
                if known { module.check().map_err(ArgError::Invalid) } else { Ok(()) }
            },
            run: |object, host| {
                let (module, warnings) = of_arguments::<M>(object)?;
                module.check().map_err(Failure::new)?;
                if host.check_mode() && M::CHECK_MODE == CheckMode::Skipped {
                    let msg = format!(
                        "remote module ({}) does not support check mode",
                        M::NAME.strip_prefix("ansible.builtin.").unwrap_or(M::NAME)
                    );
                    return Ok(Outcome::skipped(msg).with("failed", false));
                }
                let _turn = M::ALONE.then(|| crate::turns::take(M::NAME));
                let mut outcome = module.run(host);
                match &mut outcome {
                    Ok(outcome) => warn(&mut outcome.fields, warnings),
                    Err(failure) => warn(&mut failure.fields, warnings),
                }
                outcome
            },
            schema: || json!(schemars::schema_for!(M)),
        }
    }

    /// The name without its collection.
    #[must_use]
    pub fn short_name(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }
}
