//! Plays: their hosts, their batches, and their sections in order.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::event::Event;
use super::frames::Frame;
use super::host::{HostPlay, PlayRun, Standing, alive};
use super::notify::flatten;
use super::select::batches;
use super::{Engine, Loss, role_names, walk};
use crate::config::plugin_name;
use crate::diagnostic::Diagnostic;
use crate::playbook::{Item, Play};
use crate::template::{Templar, TemplateError};
use crate::value::{Map, Value};
use crate::vars::{PlayVars, RoleLayer};

/// How what is said of a strategy begins that is none.
const NO_STRATEGY: &str = "Invalid play strategy specified: ";

impl Engine {
    pub(super) async fn play(self: &Arc<Self>, play: &Arc<Play>) {
        if let Err(error) = self.read_beside(play) {
            return self.broken(vec![error]);
        }
        let prompts = match self.prompts(play) {
            Ok(prompts) => prompts,
            Err(error) => return self.broken(vec![error]),
        };
        let templar = match self.play_templar(play, &prompts) {
            Ok(templar) => templar,
            Err(error) => return self.broken(vec![error]),
        };
        let name = match play.name.as_ref().map(|name| templar.string(name)) {
            Some(Ok(name)) if !matches!(name, Value::Null | Value::Omit) && name.as_str() != Some("") => name.to_text(),
            Some(Err(error)) => {
                let mut error = super::hands::about("name", error).to_diagnostic().or_at(Some(play.span));
                error.code = "playbook::play-name";
                return self.broken(vec![error]);
            }
            _ => unnamed(play, &templar),
        };
        let hosts = match self.select(play, &templar) {
            Ok(Some(hosts)) => hosts,
            Ok(None) => return self.emit(Event::NoHosts { name }),
            Err(error) => return self.broken(vec![error]),
        };
        if let Some(error) = super::keywords::wrong_of_play(play, &templar) {
            return self.broken(vec![error.to_diagnostic().or_at(Some(play.span))]);
        }
        let inventory = self.world.inventory();
        let locked = hosts.iter().find_map(|host| inventory.locked(host)).cloned();
        self.world.start();
        let run = match self.play_run(play, &templar, &name, &hosts, prompts) {
            Ok(run) => run,
            Err(error) => {
                let mut error = error.to_diagnostic().or_at(Some(play.span));
                if error.message.starts_with(NO_STRATEGY) {
                    error.code = "run::strategy";
                    self.emit(Event::PlayStarted { play: play.clone(), name, hosts, free: false });
                }
                return self.broken(vec![error]);
            }
        };
        let ordered = match self.ordered(play, &templar, &hosts) {
            Ok(ordered) => ordered,
            Err(error) => return self.broken(vec![error]),
        };
        let batches = match batches(play, &templar, &ordered) {
            Ok(batches) => batches,
            Err(error) => return self.broken(vec![error]),
        };
        for mut batch in batches {
            self.emit(Event::PlayStarted {
                play: play.clone(),
                name: run.vars.name.clone(),
                hosts: batch.clone(),
                free: run.free,
            });
            // As in the reference: the play has begun when somebody asks for the variables of its hosts.
            if let Some(error) = locked {
                return self.broken(vec![error]);
            }
            // Batches are made of all hosts, those that earlier plays lost too, and begin even when nobody is left of them.
            self.lost().values_mut().filter(|loss| **loss == Loss::Rescued).for_each(|loss| *loss = Loss::Failed);
            let size = batch.len();
            batch.retain(|host| !self.lost().contains_key(host));
            if batch.is_empty() {
                continue;
            }
            // What an earlier batch included is not there for this one.
            *run.handlers.write().unwrap_or_else(PoisonError::into_inner) = flatten(&play.handlers, 0);
            *run.vars.roles.write().unwrap_or_else(PoisonError::into_inner) = public_roles(play);
            *run.vars.role_names.write().unwrap_or_else(PoisonError::into_inner) = role_names::of_play(play);
            let members: Vec<Arc<HostPlay>> = batch.iter().map(|name| HostPlay::new(name, run.clone())).collect();
            run.members.write().unwrap_or_else(PoisonError::into_inner).clone_from(&members);
            run.size.store(size, Ordering::SeqCst);
            *run.vars.batch.write().unwrap_or_else(PoisonError::into_inner) = batch;
            // Those that the play ended for in the batch before are named again.
            *run.vars.gone.write().unwrap_or_else(PoisonError::into_inner) = self.lost().keys().cloned().collect();
            self.batch(&run, &members).await;
            self.note_unrescued(&members);
            let lost = members.iter().filter(|host| self.lost().contains_key(&*host.name)).count();
            // The play holds its hosts and they hold the play.
            run.members.write().unwrap_or_else(PoisonError::into_inner).clear();
            if lost == size && !run.ended.load(Ordering::SeqCst) {
                // When a whole batch is lost the run ends, as in the reference; other than where somebody ended the play.
                self.aborted.store(true, Ordering::SeqCst);
            }
            if self.is_aborted() || run.ended.load(Ordering::SeqCst) {
                return;
            }
        }
    }

    /// Who has failed for the play, now that it is over, is lost, and the run has failed.
    fn note_unrescued(&self, members: &[Arc<HostPlay>]) {
        for host in members.iter().filter(|host| host.has_failed()) {
            self.lost().insert(host.name.to_string(), Loss::Failed);
        }
    }

    fn read_beside(&self, play: &Play) -> Result<(), Diagnostic> {
        let known = self.world.inventory().beside_playbook.iter().any(|d| d.path == play.directory);
        if known {
            return Ok(());
        }
        self.change_inventory(|inventory| inventory.add_playbook_directory(&play.directory))
    }

    /// Changes the inventory for everybody from now on.
    pub(super) fn change_inventory<T>(&self, change: impl FnOnce(&mut crate::inventory::Inventory) -> T) -> T {
        let mut shared = self.world.inventory.write().unwrap_or_else(PoisonError::into_inner);
        let mut inventory = shared.as_ref().duplicate();
        let out = change(&mut inventory);
        let warnings = std::mem::take(&mut inventory.warnings);
        *shared = Arc::new(inventory);
        drop(shared);
        warnings.into_iter().for_each(|warning| self.emit(Event::Warning(warning)));
        out
    }

    fn play_run(
        &self,
        play: &Arc<Play>,
        templar: &Templar,
        name: &str,
        hosts: &[String],
        prompts: Map,
    ) -> Result<Arc<PlayRun>, TemplateError> {
        let roles = public_roles(play);
        let vars = PlayVars {
            name: name.to_owned(),
            directory: play.directory.clone(),
            vars: play.vars.clone(),
            prompts: Arc::new(prompts),
            roles: RwLock::new(roles),
            all_hosts: hosts.to_vec(),
            batch: RwLock::default(),
            role_names: RwLock::default(),
            gone: RwLock::new(self.lost().keys().cloned().collect()),
        };
        let setting = |value: &Option<Value>| value.as_ref().map(|v| templar.value(v)).transpose();
        let configured = || {
            let settings = &self.world.info.settings;
            settings.get("DEFAULT_STRATEGY").map_or_else(|| "linear".to_owned(), |s| s.value.to_text())
        };
        let strategy = setting(&play.strategy)?.filter(|value| !matches!(value, Value::Null | Value::Omit));
        let strategy = strategy.map_or_else(configured, |v| v.to_text());
        let strategy = plugin_name(&strategy).to_owned();
        if !matches!(strategy.as_str(), "linear" | "free" | "host_pinned") {
            let message = format!("{NO_STRATEGY}{strategy}; known are linear, free and host_pinned");
            return Err(TemplateError::message(message, Some(play.span)));
        }
        let force = setting(&play.force_handlers)?.and_then(|v| v.to_bool());
        let max_fail = setting(&play.max_fail_percentage)?.and_then(|v| v.to_text().trim_end_matches('%').parse().ok());
        Ok(Arc::new(PlayRun {
            play: play.clone(),
            facts_task: self.facts_task(play, templar),
            connection: Arc::new(self.connection_vars()),
            vars: Arc::new(vars),
            handlers: RwLock::new(flatten(&play.handlers, 0)),
            members: RwLock::default(),
            ended: AtomicBool::new(false),
            over: AtomicBool::new(false),
            size: AtomicUsize::new(0),
            counted: std::sync::Mutex::default(),
            held_back: std::sync::Mutex::default(),
            free: strategy != "linear",
            stepping: AtomicBool::new(self.options.step),
            force_handlers: force.unwrap_or(self.options.force_handlers),
            max_fail_percentage: max_fail,
        }))
    }

    /// What tasks see of how hosts are connected to where nothing says so: the reference fills the same names in.
    fn connection_vars(&self) -> Map {
        let login = &self.options.login;
        let timeout = login.timeout.map_or(10, |limit| i64::try_from(limit.as_secs()).unwrap_or(i64::MAX));
        let mut out = Map::new();
        let mut both = |names: [&str; 2], value: Value| names.map(|name| out.insert(name.into(), value.clone()));
        both(["ansible_timeout", "ansible_ssh_timeout"], Value::Int(timeout));
        both(["ansible_pipelining", "ansible_ssh_pipelining"], Value::Bool(false));
        if let Some(user) = &login.user {
            both(["ansible_user", "ansible_ssh_user"], user.as_str().into());
        }
        if let Some(port) = login.port {
            both(["ansible_port", "ansible_ssh_port"], Value::Int(port.into()));
        }
        out.insert("ansible_connection".into(), login.connection.as_deref().unwrap_or("ssh").into());
        out.insert("ansible_shell_executable".into(), "/bin/sh".into());
        out
    }

    async fn batch(self: &Arc<Self>, run: &Arc<PlayRun>, hosts: &[Arc<HostPlay>]) {
        for host in hosts {
            if let Err(error) = self.load_vars_files(host, false) {
                return self.broken(vec![error]);
            }
        }
        if run.free {
            let walks = hosts.iter().map(|host| {
                let (engine, run, host) = (self.clone(), run.clone(), host.clone());
                tokio::spawn(async move { engine.sections(&run, &[host]).await })
            });
            futures::future::join_all(walks).await;
        } else {
            self.sections(run, hosts).await;
        }
    }

    async fn sections(self: &Arc<Self>, run: &Arc<PlayRun>, hosts: &[Arc<HostPlay>]) {
        let play = &run.play;
        self.gather_facts(run, hosts).await;
        for host in hosts.iter().filter(|h| h.is_alive()) {
            if let Err(error) = self.load_vars_files(host, host.name == hosts[0].name) {
                return self.broken(vec![error]);
            }
        }
        // Where handlers are forced to run each section is a block with these as its always, as in the reference.
        let walk = walk::Walk { held: run.force_handlers, ..walk::Walk::default() };
        let within = walk::Walk { depth: if run.force_handlers { 2 } else { 0 }, ..walk };
        let both: Vec<Item> = play.role_tasks.iter().chain(&play.tasks).cloned().collect();
        for section in [&play.pre_tasks, &both, &play.post_tasks] {
            if run.force_handlers {
                for host in alive(hosts) {
                    host.frames(|frames| frames.enter(0, Frame::new(false, true)));
                    host.frames(|frames| frames.enter(1, Frame::plain()));
                }
            }
            self.items(section, hosts, &within).await;
            let flushes = self.ends_with_handlers(play);
            if !section.is_empty() && flushes {
                self.tell_flush();
            }
            if run.force_handlers {
                if flushes {
                    self.flush_forced(run, hosts, &walk).await;
                }
                // Their handlers have run: now these count.
                let held_back = std::mem::take(&mut *run.held_back.lock().unwrap_or_else(PoisonError::into_inner));
                run.counted.lock().unwrap_or_else(PoisonError::into_inner).extend(held_back);
                self.enforce_limit(run, &[]);
            } else if flushes {
                self.flush_handlers(run, hosts, &walk).await;
            }
        }
    }

    /// Whether handlers run at the end of a section. As in the reference a task of its own does that, which has the play's
    /// tags and `always`: where these are skipped, no handler runs that nobody asks for.
    fn ends_with_handlers(&self, play: &Play) -> bool {
        self.is_own_task_chosen(&play.context.tags)
    }

    /// With `ANSIBLE_DEBUG`, the reference tells when handlers run at the end of a section.
    fn tell_flush(&self) {
        let debug = self.world.info.settings.get("DEFAULT_DEBUG").is_some_and(|s| s.value.as_bool() == Some(true));
        if debug {
            self.emit(Event::Remark { verbosity: 0, text: "META: triggered running handlers".to_owned() });
        }
    }

    /// Marks hosts that are lost for the rest of the run, and ends the play when those are too many; `failed` are those of the
    /// task just done.
    pub(super) fn settle(&self, run: &PlayRun, hosts: &[Arc<HostPlay>], failed: &[Arc<HostPlay>], walk: &walk::Walk) {
        self.note_lost(run, hosts, walk);
        self.enforce_limit(run, failed);
    }

    /// Marks hosts that are lost for the rest of the run.
    pub(super) fn note_lost(&self, run: &PlayRun, hosts: &[Arc<HostPlay>], walk: &walk::Walk) {
        let mut gone = run.vars.gone.write().unwrap_or_else(PoisonError::into_inner);
        for host in hosts {
            let out = match host.standing() {
                Standing::Unreachable => true,
                Standing::Failed => !walk.rescuable,
                _ => false,
            };
            if out {
                if walk.held && host.has_notified() && !walk.guarded {
                    run.held_back.lock().unwrap_or_else(PoisonError::into_inner).insert(host.name.to_string());
                } else if !walk.guarded && host.standing() != Standing::Unreachable {
                    run.count(host);
                }
                gone.insert(host.name.to_string());
                // An always that is to come is waited for; the play's end tells then.
                let waits = walk.guarded || walk.held && host.has_notified();
                match host.standing() {
                    Standing::Unreachable => self.lose(&host.name, Loss::Unreachable),
                    _ if !waits => self.lose(&host.name, Loss::Rescued),
                    _ => {}
                }
            }
        }
    }

    /// Takes a host from later plays.
    pub(super) fn lose(&self, host: &str, loss: Loss) {
        self.lost().insert(host.to_owned(), loss);
    }

    /// Ends the play where more hosts of the batch are lost than `max_fail_percentage` grants; `failed` are those of the task
    /// just done.
    ///
    /// As in the reference, the others leave the section that they are in, and those whose failure a rescue takes up have one
    /// task of it before this is found out again.
    pub(super) fn enforce_limit(&self, run: &PlayRun, failed: &[Arc<HostPlay>]) {
        let Some(limit) = run.max_fail_percentage.filter(|_| !run.free) else { return };
        if run.is_over() {
            return;
        }
        let members = run.members();
        let counted = run.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = members.iter().filter(|host| counted.contains(&*host.name)).count();
        if lost as f64 * 100.0 / run.size.load(Ordering::SeqCst).max(1) as f64 <= limit {
            return;
        }
        members.iter().filter(|host| !walk::is_among(failed, host)).for_each(|host| host.push_on(1));
        self.aborted.store(true, Ordering::SeqCst);
        self.exceeded.store(true, Ordering::SeqCst);
        self.emit(Event::NoMoreHosts);
        let rescued = |host: &Arc<HostPlay>| host.standing() == Standing::Failed && !counted.contains(&*host.name);
        if !failed.iter().any(rescued) {
            run.over.store(true, Ordering::SeqCst);
            self.emit(Event::NoMoreHosts);
        }
    }
}

/// A role and those that brought it in, as variables know them.
pub fn role_layers(role: &Arc<crate::playbook::Role>) -> Vec<RoleLayer> {
    std::iter::once(role).chain(&role.parents).map(|role| role_layer(role)).collect()
}

/// What stands for the name of a play that has none: its hosts, as far as they are one template evaluated.
fn unnamed(play: &Play, templar: &Templar) -> String {
    match (&play.hosts, templar.value(&play.hosts)) {
        (_, Ok(Value::Omit | Value::Null)) => String::new(),
        (Value::Str(_), Ok(hosts)) => hosts.to_text(),
        _ => play.title_without_name(),
    }
}

/// The roles whose variables all of a play sees.
#[must_use]
pub fn public_roles(play: &Play) -> Vec<RoleLayer> {
    play.roles.iter().filter(|role| role.public).map(|role| role_layer(role)).collect()
}

/// A role as variables know it.
pub(super) fn role_layer(role: &crate::playbook::Role) -> RoleLayer {
    RoleLayer {
        name: role.name.clone(),
        path: role.path.clone(),
        defaults: role.defaults.clone(),
        vars: role.vars.clone(),
        entry_vars: role.entry_vars.clone(),
    }
}
