//! `meta`: tasks that steer the engine itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::event::{Event, HostResult, Verdict};
use super::frames::Frames;
use super::host::{HostPlay, Standing};
use super::task::TaskRun;
use super::walk::Walk;
use super::{Engine, result, target};
use crate::diagnostic::Diagnostic;
use crate::playbook::META_ACTIONS;
use crate::value::{Map, Value};

/// What is said of handlers that would run handlers.
const FLUSH_IN_HANDLER: &str = "flush_handlers cannot be used as a handler";

impl Engine {
    /// Runs a `meta` task: what is about single hosts on each that its condition means, everything else once, the condition
    /// being that of the first host (as in the reference). Some take no condition: they warn, and are done.
    pub(super) async fn meta(self: &Arc<Self>, run: &Arc<TaskRun>, hosts: &[Arc<HostPlay>], walk: &Walk) {
        let action = run.task.action.args.get("_raw_params").map(Value::to_text).unwrap_or_default();
        let action = action.trim();
        let action = if action == "flush_handlers" && walk.handlers { FLUSH_IN_HANDLER } else { action };
        let single = matches!(action, "flush_handlers" | "noop" | "reset_connection" | "end_host" | "end_role");
        let unconditional = matches!(action, "noop" | "reset_connection" | "refresh_inventory");
        if unconditional && !run.task.context.when.is_empty() {
            let message = format!("{action} task does not support when conditional");
            self.emit(Event::Warning(Diagnostic::warning("run::meta-when", message)));
        }
        let mut meant = Vec::new();
        for host in if single { hosts } else { &hosts[..1.min(hosts.len())] } {
            if unconditional {
                meant.push(host.clone());
                continue;
            }
            match result::all(&run.templar(self, host), &run.task.context.when) {
                Ok(true) => {
                    // Each host is told of in its turn.
                    match action {
                        "flush_handlers" => self.did(run, format!("triggered running handlers for {}", host.name)),
                        "end_host" => self.did(run, format!("ending play for {}", host.name)),
                        "end_role" => self.did(run, format!("ending role for {}", host.name)),
                        _ => {}
                    }
                    meant.push(host.clone());
                }
                Ok(false) => {
                    let goes_on = match action {
                        "end_host" => format!("continuing execution for {}", host.name),
                        "end_role" => format!("continuing role for {}", host.name),
                        "end_play" => "continuing play".to_owned(),
                        "end_batch" => "continuing current batch".to_owned(),
                        "clear_facts" => format!("not clearing facts and fact cache for {}", host.name),
                        "clear_host_errors" => format!("not clearing host error state for {}", host.name),
                        _ => format!("not running handlers for {}", host.name),
                    };
                    let what = format!("{action} conditional evaluated to False, {goes_on}");
                    let short = match action {
                        "end_host" => what.replace("False", "false"),
                        _ => action.to_owned(),
                    };
                    self.did(run, what.clone());
                    if run.run.free {
                        // What is skipped is told, and the task with it.
                        self.emit(Event::TaskStarted {
                            task: run.task.clone(),
                            title: run.task.title(),
                            hosts: 1,
                            handler: walk.handlers,
                        });
                    }
                    let fields = Map::from_iter([("msg".into(), short.into()), ("skip_reason".into(), what.into())]);
                    self.own_result(run, host, Verdict::Skipped, fields);
                }
                Err(error) => {
                    self.did(run, "");
                    let mut error = error.of_condition().to_diagnostic().or_at(Some(run.task.span));
                    error.code = "run::meta";
                    return self.broken(vec![error]);
                }
            }
        }
        if meant.is_empty() {
            return;
        }
        match action {
            "noop" => meant.iter().for_each(|_| self.did(run, "noop")),
            "flush_handlers" => {
                self.flush_handlers(&run.run, &meant, walk).await;
            }
            "clear_facts" => {
                self.did(run, "facts cleared");
                hosts.iter().for_each(|host| self.world.clear_facts(&host.name));
            }
            "clear_host_errors" => {
                self.did(run, "cleared host errors");
                for host in &run.run.vars.all_hosts {
                    self.lost().remove(host);
                }
                // Who is in an `always` goes on behind it; who is out of the play stays out until the next.
                run.run.members().iter().for_each(|host| host.frames(Frames::forgive));
            }
            "end_play" => {
                self.did(run, "ending play");
                // The play's other batches do not begin either.
                run.run.ended.store(true, Ordering::SeqCst);
                Self::present(run).iter().for_each(|host| host.end());
            }
            "end_batch" => {
                self.did(run, "ending batch");
                Self::present(run).iter().for_each(|host| host.end());
            }
            "end_host" => {
                for host in &meant {
                    host.end();
                    // The play's variables do without it from now on; where a batch ends they do not.
                    run.run.is_gone(&host.name);
                }
            }
            "end_role" => {
                for host in &meant {
                    host.stand(Standing::EndedRole);
                    // What happens elsewhere meets it behind the role.
                    host.frames(|frames| frames.go_on(walk.role));
                }
            }
            "reset_connection" => {
                for host in &meant {
                    self.did(run, "reset connection");
                    self.reset_connection(run, host).await;
                }
            }
            "refresh_inventory" => {
                self.did(run, "inventory successfully refreshed");
                let inventory = self.world.inventory();
                // Scripts may take their time; other hosts go on meanwhile.
                let fresh = tokio::task::spawn_blocking(move || inventory.reload()).await;
                match fresh {
                    Ok(Ok(fresh)) => self.change_inventory(|inventory| *inventory = fresh),
                    Ok(Err(errors)) => self.broken(errors),
                    Err(error) => {
                        let message = format!("reading the inventory again ended early: {error}");
                        self.broken(vec![Diagnostic::error("run::inventory", message).at(run.task.span)]);
                    }
                }
            }
            FLUSH_IN_HANDLER => {
                self.did(run, "");
                self.broken(vec![Diagnostic::error("run::meta", FLUSH_IN_HANDLER).at(run.task.span)]);
            }
            other => {
                self.did(run, "");
                let other = if other.is_empty() { "None" } else { other };
                let message = format!("invalid meta action requested: {other}");
                let diagnostic = Diagnostic::error("run::meta", message).at(run.task.span);
                self.broken(vec![diagnostic.suggest(other, META_ACTIONS.iter().copied())]);
            }
        }
    }

    /// Says what a `meta` task did.
    fn did(&self, run: &TaskRun, what: impl Into<String>) {
        self.emit(Event::Meta { task: run.task.clone(), what: what.into() });
    }

    /// The hosts that are in the play, those too that failed: none of them comes to a rescue or an always any more.
    fn present(run: &TaskRun) -> Vec<Arc<HostPlay>> {
        let members = run.run.members().into_iter();
        members.filter(|host| !matches!(host.standing(), Standing::Unreachable | Standing::Ended)).collect()
    }

    async fn reset_connection(self: &Arc<Self>, run: &TaskRun, host: &Arc<HostPlay>) {
        let templar = run.templar(self, host);
        match target::target_of(&templar, &run.task.context, &host.name, &self.options.login) {
            Ok(target) => self.workers.reset(&target).await,
            Err(error) => self.emit(Event::Error(error.to_diagnostic().or_at(Some(run.task.span)))),
        }
    }

    /// Emits a result that the engine itself came to.
    pub(super) fn own_result(&self, run: &TaskRun, host: &HostPlay, verdict: Verdict, fields: Map) {
        self.emit(Event::Result(HostResult {
            task: run.task.clone(),
            host: host.name.clone(),
            delegate: None,
            verdict,
            result: Arc::new(Value::map(fields)),
            ignored: false,
            rescued: false,
            elapsed: std::time::Duration::ZERO,
            no_log: false,
            whole: false,
            error: None,
            raised: false,
            notices: Vec::new(),
        }));
    }

    /// Whether something was wrong with the playbook itself, which ends the run where it is.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.get().is_some()
    }

    /// Whether the run has to stop.
    pub(super) fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::SeqCst)
    }
}
