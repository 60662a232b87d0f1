//! Plays: their hosts, their batches, and their sections in order.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use super::event::Event;
use super::host::{HostPlay, PlayRun, Standing, alive};
use super::{Engine, walk};
use crate::diagnostic::Diagnostic;
use crate::inventory::Pattern;
use crate::playbook::{Item, Play, find_file};
use crate::source::load;
use crate::template::{Templar, TemplateError};
use crate::value::{Key, Map, Value};
use crate::vars::{PlayVars, RoleLayer, Scope, TaskVars};

impl Engine {
    pub(super) async fn play(self: &Arc<Self>, play: &Arc<Play>) {
        if let Err(error) = self.read_beside(play) {
            return self.broken(vec![error]);
        }
        let prompts = match self.prompts(play) {
            Ok(prompts) => prompts,
            Err(error) => return self.broken(vec![error]),
        };
        let templar = self.play_templar(play, &prompts);
        let text = |value: &Value| templar.value(value).map(|v| v.to_text());
        let name = match &play.name {
            // A name that cannot be evaluated is shown as it is written.
            Some(name) => text(&Value::Str(name.clone())).unwrap_or_else(|_| name.as_str().to_owned()),
            None => play.title(),
        };
        let hosts = match self.select(play, &templar) {
            Ok(hosts) => hosts,
            Err(error) => return self.broken(vec![error]),
        };
        if hosts.is_empty() {
            return self.emit(Event::NoHosts { name });
        }
        let run = match self.play_run(play, &templar, &name, &hosts, prompts) {
            Ok(run) => run,
            Err(error) => return self.broken(vec![error.to_diagnostic().or_at(Some(play.span))]),
        };
        let batches = match batches(play, &templar, &hosts) {
            Ok(batches) => batches,
            Err(error) => return self.broken(vec![error]),
        };
        self.emit(Event::PlayStarted { play: play.clone(), name, hosts });
        let several = batches.len() > 1;
        for batch in batches {
            let members: Vec<Arc<HostPlay>> = batch.iter().map(|name| HostPlay::new(name, run.clone())).collect();
            *run.vars.batch.write().unwrap_or_else(PoisonError::into_inner) = batch;
            self.batch(&run, &members).await;
            let failed = members.iter().filter(|h| matches!(h.standing(), Standing::Failed | Standing::Unreachable));
            let all_gone = failed.count() == members.len();
            if self.aborted.load(Ordering::SeqCst) {
                return;
            }
            if all_gone {
                self.emit(Event::NoMoreHosts);
                // A batch of which nothing is left ends the rollout; without batches there is nothing left to end.
                if several {
                    self.aborted.store(true, Ordering::SeqCst);
                }
                return;
            }
            if members.iter().any(|h| h.standing() == Standing::Ended) && members.iter().all(|h| !h.is_alive()) {
                continue;
            }
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
        *shared = Arc::new(inventory);
        out
    }

    fn prompts(&self, play: &Play) -> Result<Map, Diagnostic> {
        let mut out = Map::new();
        for prompt in &play.vars_prompt {
            if self.world.extra.contains_key(prompt.name.as_str()) {
                continue;
            }
            let value = match (self.prompter)(prompt) {
                Some(answer) if answer.is_empty() => prompt.default.clone().unwrap_or_else(|| answer.into()),
                Some(answer) => answer.into(),
                None => match &prompt.default {
                    Some(default) => default.clone(),
                    None => {
                        let message = format!("nobody is there to be asked for `{}`", prompt.name);
                        return Err(Diagnostic::error("run::prompt", message)
                            .at(prompt.span)
                            .help(format!("give it on the command line: `-e {}=…`", prompt.name)));
                    }
                },
            };
            out.insert(Key::from(prompt.name.as_str()), value);
        }
        Ok(out)
    }

    /// What a play's own keywords see: no host, only extra variables, prompts and the play's variables.
    fn play_templar(&self, play: &Play, prompts: &Map) -> Templar {
        let vars = PlayVars {
            directory: play.directory.clone(),
            vars: play.vars.clone(),
            prompts: Arc::new(prompts.clone()),
            ..PlayVars::default()
        };
        let scope = Scope::new(&self.world, "localhost", Some(Arc::new(vars)), TaskVars::default());
        Templar::new(Arc::new(scope))
    }

    fn select(&self, play: &Play, templar: &Templar) -> Result<Vec<String>, Diagnostic> {
        let wrong = |message: String| Diagnostic::error("run::hosts", message).at(play.span);
        let hosts = templar.value(&play.hosts).map_err(|e| e.to_diagnostic().or_at(Some(play.span)))?;
        let pattern = match &hosts {
            Value::List(items) => items.iter().map(Value::to_text).collect::<Vec<_>>().join(","),
            other => other.to_text(),
        };
        let local = ["localhost", "127.0.0.1", "::1"];
        if let Some(name) = local.iter().find(|name| **name == pattern.trim())
            && self.world.inventory().host(name).is_none()
        {
            self.change_inventory(|inventory| inventory.implicit_localhost(name).name.clone());
        }
        let inventory = self.world.inventory();
        let parse = |text: &str| Pattern::parse(text).map_err(|e| wrong(e.to_string()));
        let (mut chosen, unmatched) = parse(&pattern)?.select(&inventory).map_err(|e| wrong(e.to_string()))?;
        for part in unmatched {
            let message = format!("Could not match supplied host pattern, ignoring: {part}");
            let known: Vec<String> = inventory.groups().map(|g| g.name.clone()).collect();
            let warning = Diagnostic::warning("run::hosts", message).at(play.span);
            self.emit(Event::Warning(warning.suggest(&part, known.iter().map(String::as_str))));
        }
        if let Some(limit) = &self.options.limit {
            let (allowed, _) = parse(limit)?.select(&inventory).map_err(|e| wrong(e.to_string()))?;
            let implicit = |host: &String| inventory.host(host).is_some_and(|h| h.implicit);
            chosen.retain(|host| allowed.contains(host) || implicit(host));
        }
        let lost = self.lost();
        chosen.retain(|host| !lost.contains(host));
        drop(lost);
        let order = match &play.order {
            Some(order) => templar.value(order).map_err(|e| e.to_diagnostic().or_at(Some(play.span)))?.to_text(),
            None => "inventory".to_owned(),
        };
        match order.as_str() {
            "inventory" | "" => {}
            "sorted" => chosen.sort(),
            "reverse_sorted" => {
                chosen.sort();
                chosen.reverse();
            }
            "reverse_inventory" => chosen.reverse(),
            "shuffle" => {
                use rand::seq::SliceRandom;
                chosen.shuffle(&mut rand::rng());
            }
            other => {
                return Err(wrong(format!(
                    "`order: {other}` is none of inventory, reverse_inventory, sorted, reverse_sorted, shuffle"
                )));
            }
        }
        Ok(chosen)
    }

    fn play_run(
        &self,
        play: &Arc<Play>,
        templar: &Templar,
        name: &str,
        hosts: &[String],
        prompts: Map,
    ) -> Result<Arc<PlayRun>, TemplateError> {
        let roles = play.roles.iter().filter(|r| r.public).map(|r| role_layer(r)).collect();
        let vars = PlayVars {
            name: name.to_owned(),
            directory: play.directory.clone(),
            vars: play.vars.clone(),
            prompts: Arc::new(prompts),
            roles: RwLock::new(roles),
            all_hosts: hosts.to_vec(),
            batch: RwLock::default(),
            gone: RwLock::new(HashSet::new()),
        };
        let setting = |value: &Option<Value>| value.as_ref().map(|v| templar.value(v)).transpose();
        let strategy = setting(&play.strategy)?.map_or_else(|| "linear".to_owned(), |v| v.to_text());
        let strategy = strategy.rsplit('.').next().unwrap_or_default().to_owned();
        if !matches!(strategy.as_str(), "linear" | "free" | "host_pinned") {
            let message =
                format!("Invalid play strategy specified: {strategy}; known are linear, free and host_pinned");
            return Err(TemplateError::message(message, Some(play.span)));
        }
        let force = setting(&play.force_handlers)?.and_then(|v| v.to_bool());
        let max_fail = setting(&play.max_fail_percentage)?.and_then(|v| v.to_text().trim_end_matches('%').parse().ok());
        let mut handlers = Vec::new();
        flatten(&play.handlers, &mut handlers);
        Ok(Arc::new(PlayRun {
            play: play.clone(),
            vars: Arc::new(vars),
            handlers: RwLock::new(handlers),
            free: strategy != "linear",
            force_handlers: force.unwrap_or(self.options.force_handlers),
            max_fail_percentage: max_fail,
        }))
    }

    async fn batch(self: &Arc<Self>, run: &Arc<PlayRun>, hosts: &[Arc<HostPlay>]) {
        for host in hosts {
            // What cannot be evaluated yet may be after facts are known.
            let _ = self.load_vars_files(host);
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
            if let Err(error) = self.load_vars_files(host) {
                return self.broken(vec![error]);
            }
        }
        let walk = walk::Walk::default();
        let both: Vec<Item> = play.role_tasks.iter().chain(&play.tasks).cloned().collect();
        for section in [&play.pre_tasks, &both, &play.post_tasks] {
            self.items(section, hosts, &walk).await;
            self.flush_handlers(run, hosts, &walk).await;
        }
        if run.force_handlers {
            self.flush_failed(run, hosts, &walk).await;
        }
    }

    /// Reads the play's `vars_files` as this host sees their names.
    fn load_vars_files(self: &Arc<Self>, host: &Arc<HostPlay>) -> Result<(), Diagnostic> {
        let play = &host.play.play;
        if play.vars_files.is_empty() {
            return Ok(());
        }
        let mut files: Vec<Arc<Map>> = Vec::new();
        for entry in &play.vars_files {
            let task = TaskVars { vars_files: files.clone(), ..TaskVars::default() };
            let scope = Scope::new(&self.world, &host.name, Some(host.play.vars.clone()), task);
            let templar = Templar::new(Arc::new(scope));
            let choices: Vec<Value> = match entry {
                Value::List(items) => items.to_vec(),
                other => vec![other.clone()],
            };
            let mut found = None;
            let mut names = Vec::new();
            for choice in &choices {
                let name = templar.value(choice).map_err(|e| e.to_diagnostic().or_at(Some(play.span)))?.to_text();
                found = find_file(&name, "vars", std::slice::from_ref(&play.directory));
                names.push(name);
                if found.is_some() {
                    break;
                }
            }
            let Some(path) = found else {
                let message = format!("vars file {} was not found", names.join(", "));
                return Err(Diagnostic::error("run::vars-files", message).at(play.span));
            };
            if let Some(node) = load(&path)? {
                match node.to_value() {
                    Value::Map(map) => files.push(map),
                    other => {
                        let message = format!("a file of variables must be a dictionary, not {}", other.kind());
                        return Err(Diagnostic::error("run::vars-files", message).at(node.span));
                    }
                }
            }
        }
        host.set_vars_files(files);
        Ok(())
    }

    /// Marks hosts that are lost for the rest of the run, and tells whether the play has to end.
    pub(super) fn settle(self: &Arc<Self>, run: &Arc<PlayRun>, hosts: &[Arc<HostPlay>], rescuable: bool) {
        let mut gone = run.vars.gone.write().unwrap_or_else(PoisonError::into_inner);
        for host in hosts {
            let out = match host.standing() {
                Standing::Unreachable => true,
                Standing::Failed => !rescuable,
                _ => false,
            };
            if out {
                gone.insert(host.name.to_string());
                self.lost().insert(host.name.to_string());
            }
        }
        let Some(limit) = run.max_fail_percentage else { return };
        if rescuable {
            return;
        }
        let batch = run.vars.batch.read().unwrap_or_else(PoisonError::into_inner);
        let failed = batch.iter().filter(|name| gone.contains(*name)).count();
        if failed as f64 * 100.0 / batch.len().max(1) as f64 > limit {
            for host in alive(hosts) {
                host.stand(Standing::Failed);
            }
            self.aborted.store(true, Ordering::SeqCst);
            self.emit(Event::NoMoreHosts);
        }
    }
}

/// A role as variables know it.
pub(super) fn role_layer(role: &crate::playbook::Role) -> RoleLayer {
    RoleLayer {
        name: role.name.clone(),
        path: role.path.clone(),
        defaults: role.defaults.clone(),
        vars: role.vars.clone(),
    }
}

/// Handlers without the blocks around them.
pub(super) fn flatten(items: &[Item], out: &mut Vec<Arc<crate::playbook::Task>>) {
    for item in items {
        match item {
            Item::Task(task) => out.push(task.clone()),
            Item::Block(block) => flatten(&block.body, out),
        }
    }
}

/// The hosts in batches, as `serial` says: numbers or percentages, the last one repeated.
fn batches(play: &Play, templar: &Templar, hosts: &[String]) -> Result<Vec<Vec<String>>, Diagnostic> {
    let mut sizes = Vec::new();
    for entry in &play.serial {
        let value = templar.value(entry).map_err(|e| e.to_diagnostic().or_at(Some(play.span)))?;
        let entries = match &value {
            Value::List(items) => items.to_vec(),
            other => vec![other.clone()],
        };
        for entry in entries {
            let text = entry.to_text();
            let size = match text.trim().strip_suffix('%') {
                Some(percent) => {
                    percent.trim().parse::<f64>().ok().map(|p| ((p / 100.0 * hosts.len() as f64) as usize).max(1))
                }
                None => text.trim().parse::<i64>().ok().map(|n| usize::try_from(n).unwrap_or(0)),
            };
            let Some(size) = size else {
                let message = format!("`serial: {text}` is neither a number nor a percentage");
                return Err(Diagnostic::error("run::serial", message).at(play.span));
            };
            sizes.push(if size == 0 { hosts.len() } else { size });
        }
    }
    if sizes.is_empty() {
        return Ok(vec![hosts.to_vec()]);
    }
    let mut rest = hosts;
    let mut out = Vec::new();
    let mut at = 0;
    while !rest.is_empty() {
        let size = sizes[at.min(sizes.len() - 1)].min(rest.len());
        let (batch, others) = rest.split_at(size);
        out.push(batch.to_vec());
        rest = others;
        at += 1;
    }
    Ok(out)
}
