//! A host's part in a play: small, and the only thing that differs between hosts.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use indexmap::IndexSet;

use super::notify::Handler;
use super::walk::Rescue;

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
    /// What is known of the failure, where it failed.
    failed: Failed,
    /// Whether a block that is in no other failed on it, and came to its `always`.
    broken: bool,
    /// How the task that it was given last stands to a rescue.
    rescue: Rescue,
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
    /// Whether `clear_host_errors` forgave what failed before the section under way.
    forgiven: bool,
}

/// A failure that stands: what is around the block that it happened in has yet to take it up.
#[derive(Debug, Default)]
struct Failed {
    /// How many of the sections that would take it up are missed.
    misses: usize,
    /// Whether what is around the block does not know yet.
    hidden: bool,
    /// Whether it was in a block within others, which do not know yet.
    within: bool,
    /// Whether further failures are one with it.
    settled: bool,
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
                failed: Failed::default(),
                broken: false,
                rescue: Rescue::Elsewhere,
                notified: IndexSet::new(),
                notes: IndexSet::new(),
                roles: HashSet::new(),
                begun: HashSet::new(),
                vars_files: Vec::new(),
                failure: None,
                forgiven: false,
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
        let mut state = self.state();
        state.standing = standing;
        state.failed.misses = 0;
        if standing != Standing::Failed {
            state.failed = Failed::default();
        }
    }

    /// The `always` of a block within others is through, or handlers are to run first: as in the reference, what is around learns
    /// of the failure that was before when the host goes on.
    pub(super) fn hide_failure(&self) {
        self.state().failed.hidden = true;
    }

    /// It failed for good in a block within others; as in the reference, these learn of it when the host goes on, or the play is
    /// over.
    pub(super) fn fail_within(&self) {
        self.state().failed.within = true;
    }

    /// Whether it failed for good, and the play's own blocks do not know yet.
    pub(super) fn failed_within(&self) -> bool {
        let state = self.state();
        state.standing == Standing::Failed && state.failed.within && !state.broken && state.rescue == Rescue::Elsewhere
    }

    /// A block that is in no other failed on it, and comes to its `always`.
    pub(super) fn fail_for_all(&self) {
        self.state().broken = true;
    }

    /// Notes how the task that is begun stands to a rescue.
    pub(super) fn set_rescue(&self, rescue: Rescue) {
        self.state().rescue = rescue;
    }

    /// Whether it is in what a rescue has within: [`Rescue::Inside`].
    pub(super) fn is_inside_rescue(&self) -> bool {
        self.state().rescue == Rescue::Inside
    }

    /// Whether it failed, and what is around the block does not know yet.
    pub(super) fn hides_failure(&self) -> bool {
        let state = self.state();
        state.failed.hidden && !state.broken
    }

    /// Fails it for something that happened elsewhere, `times` over: each time it leaves the section that it is in or waits
    /// for, the body of a block for its rescue, the rescue for the always, that for what is around.
    pub(super) fn push_on(&self, times: usize) {
        let mut state = self.state();
        match state.standing {
            Standing::Alive => (state.standing, state.failed.misses) = (Standing::Failed, times.saturating_sub(1)),
            Standing::Failed if state.failed.settled => state.failed.hidden = false,
            Standing::Failed => state.failed.misses += times,
            _ => {}
        }
    }

    /// A block that it failed in is over; whether it is `within` another, which then learns of one failure, however many
    /// follow before the host goes on.
    pub(super) fn settle_failure(&self, within: bool) {
        let mut state = self.state();
        state.failed.misses = 0;
        state.failed.settled = within;
    }

    /// Whether it failed and misses nothing of what takes that up.
    pub(super) fn failed_here(&self) -> bool {
        let state = self.state();
        state.standing == Standing::Failed && state.failed.misses == 0
    }

    /// How many of the sections that would take up its failure it misses.
    pub(super) fn misses(&self) -> usize {
        self.state().failed.misses
    }

    /// `clear_host_errors`: what failed before counts no more, in the sections around this one either.
    pub(super) fn forgive(&self) {
        self.state().forgiven = true;
    }

    /// Whether failures were forgiven since this was asked last.
    pub(super) fn take_forgiven(&self) -> bool {
        std::mem::take(&mut self.state().forgiven)
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
        state.failed.misses = 0;
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
