//! The one stream of events that everything people see is made from.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::Diagnostic;
use crate::playbook::{Play, Task};
use crate::template::Notice;
use crate::value::{Map, Value};

/// What became of a task (or one item of its loop) on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was to be done.
    Ok,
    /// The host is different now, or, in check mode, would be.
    Changed,
    /// It failed.
    Failed,
    /// A condition said no.
    Skipped,
    /// The host could not be spoken to.
    Unreachable,
}

/// A task's result on a host.
#[derive(Debug, Clone)]
pub struct HostResult {
    /// The task.
    pub task: Arc<Task>,
    /// The host.
    pub host: Arc<str>,
    /// The host it was delegated to.
    pub delegate: Option<Arc<str>>,
    /// What became of it.
    pub verdict: Verdict,
    /// The return values; with `no_log`, only what may be shown.
    pub result: Arc<Value>,
    /// Whether a failure counts for nothing (`ignore_errors`, `ignore_unreachable`).
    pub ignored: bool,
    /// Whether a `rescue` takes a failure up.
    pub rescued: bool,
    /// How long it took.
    pub elapsed: Duration,
    /// Whether return values are kept secret.
    pub no_log: bool,
    /// Whether return values are shown whole, however little is asked for.
    pub whole: bool,
    /// The place of the first thing that could not be evaluated.
    pub error: Option<Diagnostic>,
    /// Whether its action was given up, rather than ending in a failure.
    pub raised: bool,
    /// What its templates gave to say; the return values hold it too.
    pub notices: Vec<Notice>,
}

/// How far a task is that goes on by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStage {
    /// It was asked after and is not done.
    Poll {
        /// Whether it has begun.
        started: bool,
        /// Whether it has ended.
        finished: bool,
    },
    /// It is done.
    Ok,
    /// It failed, or its time was up.
    Failed,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A playbook begins.
    PlaybookStarted {
        /// Its file.
        path: PathBuf,
        /// How many plays it has.
        plays: usize,
    },
    /// A play begins.
    PlayStarted {
        /// The play.
        play: Arc<Play>,
        /// Its name, evaluated.
        name: String,
        /// Its hosts.
        hosts: Vec<String>,
        /// Whether these go through it each at their own pace.
        free: bool,
    },
    /// A play has no hosts.
    NoHosts {
        /// Its name.
        name: String,
    },
    /// Somebody answered a question about whether a task is to run.
    Asked {
        /// What they were asked.
        question: String,
    },
    /// A task begins on some hosts.
    TaskStarted {
        /// The task.
        task: Arc<Task>,
        /// Its name, evaluated.
        title: String,
        /// How many hosts.
        hosts: usize,
        /// Whether it is a handler.
        handler: bool,
    },
    /// One item of a loop is done.
    Item {
        /// The result.
        result: HostResult,
        /// What the item is called.
        label: Arc<Value>,
    },
    /// A task is tried again.
    Retry {
        /// The result so far.
        result: HostResult,
        /// How many tries are left.
        left: i64,
    },
    /// Something about a task that goes on by itself.
    Job {
        /// The host.
        host: Arc<str>,
        /// The job's id.
        id: String,
        /// What.
        stage: JobStage,
    },
    /// A task is done on a host.
    Result(HostResult),
    /// Tasks of a file or role were included.
    Included {
        /// The task that includes.
        task: Arc<Task>,
        /// What was included.
        what: String,
        /// The item of the include's loop.
        item: Option<Value>,
        /// For whom.
        hosts: Vec<String>,
    },
    /// A `meta` task did its part: once, or once for each host that it is about.
    Meta {
        /// The task.
        task: Arc<Task>,
        /// What it did.
        what: String,
    },
    /// A remark for those who ask for more.
    Remark {
        /// From how many `-v`s on.
        verbosity: u8,
        /// What to say.
        text: String,
    },
    /// Something worth a look.
    Warning(Diagnostic),
    /// Something wrong that is no task's result.
    Error(Diagnostic),
    /// No host is left to go on with.
    NoMoreHosts,
    /// All is done.
    Finished {
        /// What `set_stats` kept: by host, and for the run as a whole under `_run`.
        custom: Vec<(String, Map)>,
        /// What happened to each host, in order of name.
        stats: Vec<(String, Stats)>,
        /// How long it took.
        elapsed: Duration,
        /// Whether something wrong with the playbook ended it.
        broken: bool,
    },
}

/// What happened to a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Tasks that ran well, those that changed something included.
    pub ok: u32,
    /// Tasks that changed something.
    pub changed: u32,
    /// Tasks for which the host was unreachable.
    pub unreachable: u32,
    /// Tasks that failed.
    pub failed: u32,
    /// Tasks that were skipped.
    pub skipped: u32,
    /// Failures that a `rescue` took up.
    pub rescued: u32,
    /// Failures that were ignored.
    pub ignored: u32,
}

/// Where events go. Called from many threads; must not block for long.
pub type Sink = Arc<dyn Fn(Event) + Send + Sync>;
