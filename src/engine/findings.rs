//! What a task found out, and where it is kept: registered results, facts, variables, new hosts and groups, statistics.

use std::sync::PoisonError;

use super::Engine;
use super::event::{Event, Verdict};
use super::host::HostPlay;
use super::on_host::Finished;
use super::task::TaskRun;
use crate::diagnostic::Diagnostic;
use crate::value::{Key, Map, Value};

impl Engine {
    /// Keeps what the task found out: the registered result, and unless it failed what is in it for the host.
    pub(super) fn keep(&self, run: &TaskRun, host: &HostPlay, finished: &Finished) {
        if finished.verdict != Verdict::Failed {
            self.keep_findings(run, host, finished);
            stats_of(finished).for_each(|stats| self.keep_stats(host, stats));
        }
        self.register(host, finished);
    }

    /// The same for a host whose task another one ran: statistics of the run are counted once.
    pub(super) fn keep_for_other(&self, run: &TaskRun, host: &HostPlay, finished: &Finished) {
        if finished.verdict != Verdict::Failed {
            self.keep_findings(run, host, finished);
            let own = stats_of(finished).filter(|stats| super::result::flag(stats, "per_host"));
            own.for_each(|stats| self.keep_stats(host, stats));
        }
        self.register(host, finished);
    }

    fn register(&self, host: &HostPlay, finished: &Finished) {
        if let Some(name) = &finished.register {
            let mut value = finished.result.clone();
            super::result::without_own_words(&mut value);
            super::result::without_invocation(&mut value);
            self.world.set(&host.name, [(Key::from(name.as_str()), Value::map(value))]);
        }
    }

    /// Keeps facts, variables, hosts and groups.
    fn keep_findings(&self, run: &TaskRun, host: &HostPlay, finished: &Finished) {
        let each = finished.each();
        for (at, result) in each.iter().enumerate() {
            let target = match finished.delegates.get(at) {
                Some(Some(delegate)) if finished.delegate_facts => delegate.as_str(),
                _ => &*host.name,
            };
            let Some(facts) = result.get("ansible_facts").and_then(Value::as_map) else { continue };
            match run.task.action.module {
                "ansible.builtin.set_fact" => {
                    self.world.set(target, facts.iter().map(|(k, v)| (k.clone(), v.clone())));
                    if super::result::flag(result, "_ansible_facts_cacheable") {
                        self.world.add_facts(target, facts);
                    }
                }
                "ansible.builtin.include_vars" => {
                    for name in facts.keys().filter_map(Key::as_str).filter(|name| crate::playbook::is_reserved(name)) {
                        let message = format!("Found variable using reserved name '{name}'.");
                        let warning = Diagnostic::warning("run::reserved-name", message).at(run.task.span);
                        run.say(self, &host.name, Event::Warning(warning));
                    }
                    self.world.include(target, facts.iter().map(|(k, v)| (k.clone(), v.clone())));
                }
                _ => self.world.add_facts(target, facts),
            }
        }
        each.into_iter().for_each(|result| self.change_groups(host, result));
    }

    /// `set_stats`: values for the end of the run, added to those of the same name where that was asked for.
    fn keep_stats(&self, host: &HostPlay, stats: &Map) {
        let Some(data) = stats.get("data").and_then(Value::as_map) else { return };
        let own = super::result::flag(stats, "per_host");
        let name = if own { host.name.to_string() } else { "_run".to_owned() };
        let mut custom = self.custom.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = custom.entry(name).or_default();
        for (key, value) in data {
            let value = match kept.get(key) {
                Some(before) if super::result::flag(stats, "aggregate") => aggregated(before, value),
                _ => Some(value.clone()),
            };
            if let Some(value) = value {
                kept.insert(key.clone(), value);
            }
        }
    }

    /// `add_host` and `group_by`.
    pub(super) fn change_groups(&self, host: &HostPlay, result: &Map) {
        if let Some(added) = result.get("add_host").and_then(Value::as_map) {
            let name = added.get("host_name").cloned().unwrap_or(Value::Null);
            let wrong = match &name {
                Value::Str(text) if text.as_str().is_empty() => Some("Invalid empty host name provided: ".to_owned()),
                Value::Str(_) => None,
                other => Some(format!(
                    "Invalid host name supplied, expected a string but got <class '{}'> for {}",
                    crate::template::python_type(other),
                    other.to_text()
                )),
            };
            if let Some(message) = wrong {
                return self.broken(vec![Diagnostic::error("run::host-name", message)]);
            }
            let name = name.to_text();
            let groups: Vec<String> =
                added.get("groups").and_then(Value::as_list).unwrap_or_default().iter().map(Value::to_text).collect();
            let vars = added.get("host_vars").and_then(Value::as_map).cloned().unwrap_or_default();
            self.change_inventory(|inventory| inventory.add_dynamic_host(&name, vars, groups));
        }
        if let Some(group) = result.get("add_group").map(Value::to_text) {
            if group.is_empty() {
                let message = "Invalid empty/false group name provided: ";
                return self.broken(vec![Diagnostic::error("run::group-name", message)]);
            }
            let parents: Vec<String> = result
                .get("parent_groups")
                .and_then(Value::as_list)
                .unwrap_or_default()
                .iter()
                .map(Value::to_text)
                .collect();
            self.change_inventory(|inventory| inventory.add_dynamic_group(&group, &host.name, parents));
        }
    }
}

/// What `set_stats` left in a result, or in each item's.
fn stats_of(finished: &Finished) -> impl Iterator<Item = &Map> {
    finished.each().into_iter().filter_map(|result| result.get("ansible_stats")?.as_map())
}

/// Two values of one name together; none where they are not of one kind.
fn aggregated(before: &Value, value: &Value) -> Option<Value> {
    Some(match (before, value) {
        (Value::Map(before), Value::Map(value)) => {
            let mut out = before.as_ref().clone();
            out.extend(value.iter().map(|(k, v)| (k.clone(), v.clone())));
            Value::map(out)
        }
        (Value::List(before), Value::List(value)) => Value::list(before.iter().chain(value.iter()).cloned().collect()),
        (Value::Int(before), Value::Int(value)) => Value::Int(before.saturating_add(*value)),
        (Value::Float(before), Value::Float(value)) => Value::Float(before + value),
        (Value::Str(before), Value::Str(value)) => Value::data(format!("{}{}", before.as_str(), value.as_str())),
        _ => return None,
    })
}
