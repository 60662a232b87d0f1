//! The engine: runs plays on hosts and says what happens.
//!
//! Plays and tasks are immutable and shared; what differs between hosts is small and in [`host::HostPlay`]. A list of tasks
//! runs as a walk over the tree of blocks with a set of hosts: every task on all of them side by side, then the next. That
//! walk is the linear strategy; the free one is the same walk for each host by itself.

mod arguments;
mod copied;
pub mod event;
mod failed_task;
mod findings;
mod frames;
mod handlers;
mod hands;
mod host;
mod include;
mod invocation;
mod jobs;
mod keywords;
mod loops;
mod meta;
mod notify;
mod on_host;
mod own_tasks;
mod play;
mod prompts;
mod result;
mod role_names;
mod select;
mod step;
mod target;
mod task;
mod titles;
mod tries;
mod turns;
mod vars_files;
mod walk;
mod workers;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use event::{Event, Sink, Stats};

use crate::action::BuiltIn;
use crate::connection::{Secret, ssh};
use crate::playbook::{Loader, Options as LoadOptions, Playbook, TagFilter};
use crate::vars::World;

pub use host::HostPlay;
pub(crate) use loops::{NO_NAME, NOT_A_LIST, UNLABELLED};
pub use play::{public_roles, role_layers};
pub use prompts::{Question, questions};
pub use target::{Login, target_of};
pub use vars_files::own_scope;

/// The code of warnings of the reference that a run without it has no use for: what they miss may be there later.
pub const EARLY: &str = "run::too-early";

/// When facts are gathered (`gathering`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gathering {
    /// At the start of every play that does not say no.
    Implicit,
    /// At the start of plays that say yes.
    Explicit,
    /// As `Implicit`, once for each host.
    Smart,
}

/// How a run behaves.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// How many hosts at once.
    pub forks: usize,
    /// Predict, do not change.
    pub check: bool,
    /// Say what differs.
    pub diff: bool,
    /// `--tags` and `--skip-tags`.
    pub tags: TagFilter,
    /// `--limit`.
    pub limit: Option<String>,
    /// Run handlers even of hosts that failed.
    pub force_handlers: bool,
    /// When facts are gathered.
    pub gathering: Gathering,
    /// Login defaults of the command line and configuration.
    pub login: Login,
    /// The password for become.
    pub become_password: Option<Secret>,
    /// Directories with roles.
    pub roles_path: Vec<PathBuf>,
    /// Directories with collections.
    pub collections_path: Vec<PathBuf>,
    /// Leave mistakes in included tasks for when they run.
    pub late: bool,
    /// The task to begin with.
    pub start_at_task: Option<String>,
    /// Ask before each task.
    pub step: bool,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every task of every host ran well.
    Ok,
    /// A host failed, and none was unreachable.
    Failed,
    /// A host was unreachable.
    Unreachable,
    /// The playbook turned out wrong while it ran; the code of the diagnostic that said so.
    Error(&'static str),
}

/// Asks for the answer to a `vars_prompt`; `None` when there is nobody to ask.
pub type Prompter = Arc<dyn Fn(&Question) -> Option<String> + Send + Sync>;

/// A run under way.
pub struct Engine {
    pub(crate) world: Arc<World>,
    pub(crate) options: RunOptions,
    pub(crate) workers: workers::Workers,
    sink: Sink,
    prompter: Prompter,
    stats: Mutex<BTreeMap<String, Stats>>,
    /// What `set_stats` kept, by host.
    custom: Mutex<BTreeMap<String, crate::value::Map>>,
    /// Hosts that take no part any more.
    lost: Mutex<HashMap<String, Loss>>,
    /// Held by who asks before a task.
    questions: tokio::sync::Mutex<()>,
    loader: Mutex<Loader<'static>>,
    /// Set when an error ends everything (`any_errors_fatal`, an include that cannot be read).
    aborted: AtomicBool,
    /// Set when more hosts failed than `max_fail_percentage` grants: the run has failed then, whoever was rescued.
    exceeded: AtomicBool,
    /// The code of what was wrong with the playbook itself.
    broken: std::sync::OnceLock<&'static str>,
    started_at: AtomicBool,
    forks: Arc<tokio::sync::Semaphore>,
}

/// Why a host takes no part any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    Failed,
    Unreachable,
    /// It failed where a rescue goes on with it: that counts once another play begins without it.
    Rescued,
}

impl Engine {
    /// An engine for one run, whose worker on this machine is this program itself.
    #[must_use]
    pub fn new(world: Arc<World>, options: RunOptions, sink: Sink, prompter: Prompter) -> Arc<Self> {
        Self::build(world, options, sink, prompter, None)
    }

    /// An engine for one run whose worker on this machine is `program`: for programs that are not rplay.
    #[must_use]
    pub fn with_program(
        world: Arc<World>,
        options: RunOptions,
        sink: Sink,
        prompter: Prompter,
        program: PathBuf,
    ) -> Arc<Self> {
        Self::build(world, options, sink, prompter, Some(program))
    }

    fn build(
        world: Arc<World>,
        options: RunOptions,
        sink: Sink,
        prompter: Prompter,
        program: Option<PathBuf>,
    ) -> Arc<Self> {
        let load = LoadOptions {
            roles_path: options.roles_path.clone(),
            collections_path: options.collections_path.clone(),
            variables: world.extra.as_ref().clone(),
            late: options.late,
            vault: world.info.vault.clone(),
            ..LoadOptions::default()
        };
        let pool = ssh::Pool::new(ssh::Environment::current());
        Arc::new(Self {
            workers: workers::Workers::new(pool, program),
            loader: Mutex::new(Loader::new(&BuiltIn, load, PathBuf::from("."))),
            forks: Arc::new(tokio::sync::Semaphore::new(options.forks.max(1))),
            started_at: AtomicBool::new(options.start_at_task.is_none()),
            world,
            options,
            sink,
            prompter,
            stats: Mutex::default(),
            custom: Mutex::default(),
            lost: Mutex::default(),
            questions: tokio::sync::Mutex::default(),
            aborted: AtomicBool::new(false),
            exceeded: AtomicBool::new(false),
            broken: std::sync::OnceLock::new(),
        })
    }

    /// Runs playbooks, one after the other, and says how it ended.
    pub async fn run(self: &Arc<Self>, playbooks: &[Playbook]) -> Outcome {
        let began = Instant::now();
        for warning in playbooks.iter().flat_map(|playbook| &playbook.warnings) {
            self.emit(Event::Warning(warning.clone()));
        }
        'all: for playbook in playbooks {
            self.emit(Event::PlaybookStarted { path: playbook.path.clone(), plays: playbook.plays.len() });
            for play in &playbook.plays {
                self.play(play).await;
                if self.aborted.load(Ordering::SeqCst) {
                    break 'all;
                }
            }
        }
        self.workers.finish().await;
        let stats: Vec<(String, Stats)> = self.stats().iter().map(|(k, v)| (k.clone(), *v)).collect();
        let is_any = |loss: Loss| self.lost().values().any(|one| *one == loss);
        let failed = is_any(Loss::Failed) || self.exceeded.load(Ordering::SeqCst);
        let unreachable = is_any(Loss::Unreachable);
        let custom = std::mem::take(&mut *self.custom.lock().unwrap_or_else(PoisonError::into_inner));
        let (custom, elapsed) = (custom.into_iter().collect(), began.elapsed());
        self.emit(Event::Finished { custom, stats, elapsed, broken: self.is_broken() });
        match (self.broken.get(), failed, unreachable) {
            (Some(code), ..) => Outcome::Error(code),
            // As in the reference, a host that could not be reached weighs more than one that failed.
            (_, _, true) => Outcome::Unreachable,
            (_, true, _) => Outcome::Failed,
            _ => Outcome::Ok,
        }
    }

    pub(crate) fn emit(&self, event: Event) {
        if matches!(event, Event::TaskStarted { .. } | Event::Finished { .. }) {
            crate::source::take_warnings().into_iter().for_each(|warning| (self.sink)(Event::Warning(warning)));
        }
        // Hosts that were still at it are not heard any more, as in the reference.
        if self.broken.get().is_none() || !matches!(event, Event::Item { .. } | Event::Result(_)) {
            (self.sink)(event);
        }
    }

    fn stats(&self) -> MutexGuard<'_, BTreeMap<String, Stats>> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts something for a host.
    fn count(&self, host: &str, count: impl FnOnce(&mut Stats)) {
        count(self.stats().entry(host.to_owned()).or_default());
    }

    fn lost(&self) -> MutexGuard<'_, HashMap<String, Loss>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loader(&self) -> MutexGuard<'_, Loader<'static>> {
        self.loader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the run because the playbook turned out wrong.
    fn broken(&self, diagnostics: Vec<crate::diagnostic::Diagnostic>) {
        let code = diagnostics.first().map_or("run::broken", |diagnostic| diagnostic.code);
        diagnostics.into_iter().for_each(|d| self.emit(Event::Error(d)));
        // The first one says how it ends.
        let _ = self.broken.set(code);
        self.aborted.store(true, Ordering::SeqCst);
    }
}
