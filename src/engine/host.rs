//! A host's part in a play: small, and the only thing that differs between hosts.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use indexmap::IndexSet;

use super::frames::{Frames, Section};
use super::notify::Handler;

use crate::playbook::{Play, Task};
use crate::value::{Map, Value};
use crate::vars::PlayVars;

/// Where a host stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It goes on.
    Alive,
    /// A task failed on it and no rescue has taken that up.
    Failed,
    /// It cannot be spoken to any more.
    Unreachable,
    /// `meta: end_host` or `end_play` took it out, and all is well.
    Ended,
    /// `meta: end_role` took it out of a role.
    EndedRole,
}

/// A host in a play.
#[derive(Debug)]
pub struct HostPlay {
    /// Its name.
    pub name: Arc<str>,
    /// The play.
    pub play: Arc<PlayRun>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    standing: Standing,
    /// The blocks that it is in.
    frames: Frames,
    /// Handlers that are to run, by their place among the play's.
    notified: IndexSet<usize>,
    /// Names that were notified since handlers ran last.
    notes: IndexSet<String>,
    /// Roles of which a task ran.
    begun: HashSet<String>,
    /// Roles that ran to their end.
    roles: HashSet<String>,
    /// What `vars_files` hold for this host.
    vars_files: Vec<Arc<Map>>,
    /// The last failure, where a rescue takes it up: the task and its result.
    failure: Option<(Value, Value)>,
}

/// A play under way.
#[derive(Debug)]
pub struct PlayRun {
    /// How hosts are connected to where nothing says so.
    pub connection: Arc<Map>,
    /// The play.
    pub play: Arc<Play>,
    /// What its tasks see.
    pub vars: Arc<PlayVars>,
    /// The task that gathers facts at its start.
    pub facts_task: Option<Arc<Task>>,
    /// Handlers, those of included roles too.
    pub handlers: RwLock<Vec<Handler>>,
    /// The hosts of the batch under way.
    pub members: RwLock<Vec<Arc<HostPlay>>>,
    /// How many hosts the batch under way was made of, those that were lost before it too.
    pub size: AtomicUsize,
    /// The hosts whose failure counts for `max_fail_percentage`.
    pub counted: Mutex<HashSet<String>>,
    /// Those whose failure counts once their handlers, which are forced to run, have run.
    pub held_back: Mutex<HashSet<String>>,
    /// Set when no further batch is to begin.
    pub ended: AtomicBool,
    /// Set when too many hosts are lost for any task to begin.
    pub over: AtomicBool,
    /// Whether hosts go on by themselves.
    pub free: bool,
    /// Whether somebody is asked before each task.
    pub stepping: AtomicBool,
    /// Whether handlers run on hosts that failed.
    pub force_handlers: bool,
    /// `max_fail_percentage`.
    pub max_fail_percentage: Option<f64>,
}

impl PlayRun {
    /// The hosts of the batch under way.
    pub(super) fn members(&self) -> Vec<Arc<HostPlay>> {
        self.members.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether too many hosts are lost for any task to begin.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Counts a host's failure for `max_fail_percentage`.
    pub(super) fn count(&self, host: &HostPlay) {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).insert(host.name.to_string());
    }

    /// Takes a host out of the hosts that the play's variables name.
    pub(super) fn is_gone(&self, host: &str) {
        self.vars.gone.write().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned());
    }
}

impl HostPlay {
    pub(super) fn new(name: &str, play: Arc<PlayRun>) -> Arc<Self> {
        Arc::new(Self {
            name: Arc::from(name),
            play,
            state: Mutex::new(State {
                standing: Standing::Alive,
                frames: Frames::default(),
                notified: IndexSet::new(),
                notes: IndexSet::new(),
                roles: HashSet::new(),
                begun: HashSet::new(),
                vars_files: Vec::new(),
                failure: None,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn standing(&self) -> Standing {
        self.state().standing
    }

    pub(super) fn stand(&self, standing: Standing) {
        self.state().standing = standing;
    }

    /// Asks or changes where it is in blocks.
    pub(super) fn frames<T>(&self, act: impl FnOnce(&mut Frames) -> T) -> T {
        act(&mut self.state().frames)
    }

    /// Fails it for something that happened elsewhere, `times` over: each time it leaves the section of a block that it is in or
    /// waits for. Where the play had ended for it, it has failed there too.
    pub(super) fn push_on(&self, times: usize) {
        let mut state = self.state();
        if state.standing != Standing::Unreachable {
            (0..times).for_each(|_| state.frames.fail());
        }
        if matches!(state.standing, Standing::Alive | Standing::EndedRole) {
            state.standing = Standing::Failed;
        }
    }

    /// Whether it failed and goes on with a section of a block with so many around it.
    pub(super) fn comes_to(&self, around: usize, section: Section) -> bool {
        let mut state = self.state();
        state.standing == Standing::Failed && state.frames.comes_to(around, section)
    }

    /// Begins a section of a block with so many around it, alive.
    pub(super) fn begin(&self, around: usize, section: Section) {
        let mut state = self.state();
        state.standing = Standing::Alive;
        state.frames.begin(around, section);
    }

    /// The play ends for it.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.standing = Standing::Ended;
        state.frames.end();
    }

    /// Whether it is one that failed for a play that is over.
    pub(super) fn has_failed(&self) -> bool {
        let state = self.state();
        match state.standing {
            Standing::Failed => state.frames.is_failed(),
            Standing::Ended => state.frames.is_known(),
            _ => false,
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.standing() == Standing::Alive
    }

    /// Notes a handler; whether it was not noted before.
    pub(super) fn notify(&self, handler: usize) -> bool {
        self.state().notified.insert(handler)
    }

    pub(super) fn note(&self, name: String) {
        self.state().notes.insert(name);
    }

    pub(super) fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.state().notes).into_iter().collect()
    }

    pub(super) fn take_notified(&self, handler: usize) -> bool {
        self.state().notified.shift_remove(&handler)
    }

    pub(super) fn forget_notified(&self) {
        let mut state = self.state();
        state.notified.clear();
        state.notes.clear();
    }

    pub(super) fn has_notified(&self) -> bool {
        let state = self.state();
        !state.notified.is_empty() || !state.notes.is_empty()
    }

    /// Notes that a role ran; false when it had run before.
    pub(super) fn ran_role(&self, key: &str) -> bool {
        self.state().roles.insert(key.to_owned())
    }

    /// Notes that a task of a role ran: a role all of whose tasks were skipped has not run.
    pub(super) fn ran_task_of(&self, key: &str) {
        let mut state = self.state();
        if !state.begun.contains(key) {
            state.begun.insert(key.to_owned());
        }
    }

    /// Whether a task of a role ran.
    pub(super) fn has_begun_role(&self, key: &str) -> bool {
        self.state().begun.contains(key)
    }

    pub(super) fn has_run_role(&self, key: &str) -> bool {
        self.state().roles.contains(key)
    }

    pub(super) fn vars_files(&self) -> Vec<Arc<Map>> {
        self.state().vars_files.clone()
    }

    pub(super) fn set_vars_files(&self, files: Vec<Arc<Map>>) {
        self.state().vars_files = files;
    }

    /// Fails it; the task and its result are there where a rescue may ask for them.
    pub(super) fn fail(&self, failure: Option<(Value, Value)>) {
        let mut state = self.state();
        state.failure = failure;
        state.standing = Standing::Failed;
        state.frames.fail();
    }

    pub(super) fn failure(&self) -> Option<(Value, Value)> {
        self.state().failure.clone()
    }
}

/// Those that failed or could not be reached.
pub(super) fn down(hosts: &[Arc<HostPlay>]) -> Vec<Arc<HostPlay>> {
    let is_down = |host: &&Arc<HostPlay>| matches!(host.standing(), Standing::Failed | Standing::Unreachable);
    hosts.iter().filter(is_down).cloned().collect()
}

/// The hosts among these that go on.
pub(super) fn alive(hosts: &[Arc<HostPlay>]) -> Vec<Arc<HostPlay>> {
    hosts.iter().filter(|h| h.is_alive()).cloned().collect()
}
