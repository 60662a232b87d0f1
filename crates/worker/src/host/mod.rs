//! The managed host as modules see it.
//!
//! Reads are free. Every change goes through [`Host::change`], directly or by one of the operations built on it
//! ([`Host::write_file`], [`Host::set_attributes`], [`Host::run`], …); in check mode it is not done. That is why check mode
//! cannot lie: `clippy.toml` forbids every other way to change something, outside this folder.

// The one place that may touch the host.
#![allow(clippy::disallowed_methods)]

mod accounts;
mod attributes;
mod command;
mod content;
mod diff;
mod entries;
mod files;
mod mode;
mod paths;
mod pipes;
mod temporary;
mod terminal;
mod write;

use std::any::Any;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

pub use accounts::{GroupEntry, UserEntry};
pub use attributes::{Attributes, SelinuxContext};
pub use command::{Command, Output};
pub use diff::Diff;
pub use files::{FileKind, Usage, digest, digest_bytes};
pub use mode::symbolic_mode;
pub use temporary::{Scratch, closed, temporary};
pub use terminal::{Answer, Talk};
pub use write::{WriteOptions, Written};

use crate::module::Failure;

/// Content that came with a call, or goes back with its result.
#[derive(Debug, Clone)]
pub enum Content {
    /// In memory.
    Bytes(Arc<Vec<u8>>),
    /// In a temporary file of the worker's, because it was long.
    File(Arc<tempfile::NamedTempFile>),
    /// In a file that has no name, so that nothing is left of it whatever happens.
    Nameless(Arc<std::fs::File>),
    /// A file that is on the host already, under its real path.
    Path(PathBuf),
}

/// Tells a running call that nobody waits for it any more.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    cancelled: Arc<AtomicBool>,
    groups: Arc<Mutex<Vec<i32>>>,
}

impl Cancel {
    /// Ends the call's commands and keeps new ones from starting.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        let groups = self.groups.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for group in groups.iter() {
            command::end_group(*group);
        }
    }

    /// Like [`Cancel::cancel`], for commands that do not listen to a polite word.
    pub fn kill(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        for group in self.groups().iter() {
            command::kill_group(*group, rustix::process::Signal::KILL);
        }
    }

    /// Keeps the call from beginning another change, and lets the one at hand go on to its end.
    pub fn abandon(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
    }

    /// Whether the call was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    fn groups(&self) -> std::sync::MutexGuard<'_, Vec<i32>> {
        self.groups.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Things read once per run and kept until a change of the worker's own makes them stale: facts, package lists, hashes.
#[derive(Debug, Clone, Default)]
pub struct Cache(Arc<Mutex<HashMap<&'static str, Arc<dyn Any + Send + Sync>>>>);

impl Cache {
    /// The value kept under `key`, made by `make` when there is none.
    pub fn get<T: Any + Send + Sync>(
        &self,
        key: &'static str,
        make: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<Arc<T>, Failure> {
        let kept = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(key).cloned();
        if let Some(value) = kept.and_then(|v| v.downcast::<T>().ok()) {
            return Ok(value);
        }
        let value = Arc::new(make()?);
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(key, value.clone());
        Ok(value)
    }

    /// Forgets what is kept under `key`.
    pub fn forget(&self, key: &'static str) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(key);
    }
}

/// Where a long command's output goes while it runs.
pub type OutputSink = Arc<dyn Fn(rplay_protocol::Stream, &[u8]) + Send + Sync>;

/// The managed host, for one call of a module.
pub struct Host {
    root: PathBuf,
    check: bool,
    diff: bool,
    environment: Vec<(String, String)>,
    content: Option<Content>,
    cancel: Cancel,
    cache: Cache,
    sink: Option<OutputSink>,
}

impl Host {
    /// This machine, to be changed for real.
    #[must_use]
    pub fn new() -> Self {
        Self::at("/")
    }

    /// A host whose files live under `root`, for tests. Commands are not confined to it.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            check: false,
            diff: true,
            environment: Vec::new(),
            content: None,
            cancel: Cancel::default(),
            cache: Cache::default(),
            sink: None,
        }
    }

    /// Predict, do not change.
    #[must_use]
    pub fn checking(mut self, check: bool) -> Self {
        self.check = check;
        self
    }

    /// Whether differences are wanted.
    #[must_use]
    pub fn diffing(mut self, diff: bool) -> Self {
        self.diff = diff;
        self
    }

    /// The task's environment variables.
    #[must_use]
    pub fn with_environment(mut self, environment: Vec<(String, String)>) -> Self {
        self.environment = environment;
        self
    }

    /// Content that came with the call.
    #[must_use]
    pub fn with_content(mut self, content: Option<Content>) -> Self {
        self.content = content;
        self
    }

    /// What tells this call to stop.
    #[must_use]
    pub fn with_cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }

    /// What this worker has read before.
    #[must_use]
    pub fn with_cache(mut self, cache: Cache) -> Self {
        self.cache = cache;
        self
    }

    /// Where output of running commands is streamed.
    #[must_use]
    pub fn with_sink(mut self, sink: Option<OutputSink>) -> Self {
        self.sink = sink;
        self
    }

    /// Whether this is a dry run.
    #[must_use]
    pub fn check_mode(&self) -> bool {
        self.check
    }

    /// Whether differences are wanted.
    #[must_use]
    pub fn diff_mode(&self) -> bool {
        self.diff
    }

    /// Content that came with the call.
    #[must_use]
    pub fn content(&self) -> Option<&Content> {
        self.content.as_ref()
    }

    /// What this worker has read before.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Whether nobody waits for this call any more.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// An environment variable: the task's own, else the worker's.
    #[must_use]
    pub fn env(&self, name: &str) -> Option<String> {
        let own = self.environment.iter().rev().find(|(k, _)| k == name).map(|(_, v)| v.clone());
        own.or_else(|| std::env::var(name).ok())
    }

    /// The task's environment variables.
    #[must_use]
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Makes a change, or, in check mode, does not and gives `None`.
    ///
    /// Everything that makes the host different from before goes through here, so this is also the place where a
    /// cancelled call stops: between two changes, never inside one.
    pub fn change<T>(&self, apply: impl FnOnce() -> Result<T, Failure>) -> Result<Option<T>, Failure> {
        if self.check {
            return Ok(None);
        }
        if self.is_cancelled() {
            return Err(Failure::new("the task was cancelled before this change was begun"));
        }
        apply().map(Some)
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}
