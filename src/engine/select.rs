//! A play's hosts: asked for, chosen, put in order and in batches.

use std::sync::Arc;

use super::Engine;
use super::event::Event;
use crate::diagnostic::Diagnostic;
use crate::inventory::{HostMismatch, Pattern};
use crate::playbook::Play;
use crate::template::Templar;
use crate::value::{Map, Value};
use crate::vars::TaskVars;

impl Engine {
    /// A templar that sees what a play's own keywords see.
    pub(super) fn play_templar(&self, play: &Play, prompts: &Map) -> Result<Templar, Diagnostic> {
        let mut warn = |warning| self.emit(Event::Warning(warning));
        let scope = super::own_scope(&self.world, play, prompts.clone(), TaskVars::default(), &mut warn)?;
        Ok(Templar::new(Arc::new(scope)))
    }

    /// The hosts of a play, those that are lost too; `None` when its pattern matches none at all.
    pub(super) fn select(&self, play: &Play, templar: &Templar) -> Result<Option<Vec<String>>, Diagnostic> {
        let wrong = |message: String| Diagnostic::error("run::hosts", message).at(play.span);
        let hosts = templar.value(&play.hosts).map_err(|error| {
            // Without a name its hosts are what it is called by.
            let keyword = if play.name.is_some() { "hosts" } else { "name" };
            let about = super::hands::about(keyword, error).to_diagnostic();
            match &play.hosts {
                Value::Str(hosts) => about.at(hosts.origin().unwrap_or(play.span)),
                _ => about.or_at(Some(play.span)),
            }
        })?;
        let wrong_keyword = |message: &str| Diagnostic::error("playbook::hosts", message).at(play.span);
        let entries = hosts.as_list().unwrap_or(std::slice::from_ref(&hosts));
        for entry in entries.iter().filter(|_| !matches!(hosts, Value::Null | Value::Omit)) {
            match entry {
                Value::Str(text) if text.as_str().is_empty() => {
                    let message =
                        "Error processing keyword 'hosts': Keyword 'hosts' is required, and cannot have empty values.";
                    return Err(wrong_keyword(message));
                }
                Value::Str(_) => {}
                other => {
                    let kind = crate::template::python_type(other);
                    return Err(wrong_keyword(&format!(
                        "Error processing keyword 'hosts': Keyword 'hosts' items must be of type 'str', not '{kind}'."
                    )));
                }
            }
        }
        let pattern = match &hosts {
            Value::List(items) if items.is_empty() => return Ok(None),
            Value::Omit => "None".to_owned(),
            Value::List(items) => items.iter().map(Value::to_text).collect::<Vec<_>>().join(","),
            other => other.to_text(),
        };
        let parse = |text: &str| Pattern::parse(text).map_err(|e| wrong(e.to_string()));
        let wanted = parse(&pattern)?;
        for name in wanted.local_names() {
            if self.world.inventory().host(name).is_none() {
                self.change_inventory(|inventory| drop(inventory.implicit_localhost(name).name.clone()));
            }
        }
        let inventory = self.world.inventory();
        let (mut chosen, unmatched) = wanted.select(&inventory).map_err(|e| wrong(e.to_string()))?;
        let mismatch = inventory.options().mismatch;
        for part in unmatched.into_iter().filter(|_| mismatch != HostMismatch::Ignore) {
            let message = format!("Could not match supplied host pattern, ignoring: {part}");
            if mismatch == HostMismatch::Error {
                return Err(wrong(message));
            }
            let known: Vec<String> = inventory.groups().map(|g| g.name.clone()).collect();
            let warning = Diagnostic::warning("run::hosts", message).at(play.span);
            self.emit(Event::Warning(warning.suggest(&part, known.iter().map(String::as_str))));
        }
        if let Some(limit) = &self.options.limit {
            let (allowed, _) = parse(limit)?.select(&inventory).map_err(|e| wrong(e.to_string()))?;
            chosen.retain(|host| allowed.contains(host));
        }
        if chosen.is_empty() {
            return Ok(None);
        }
        Ok(Some(chosen))
    }

    /// The hosts in the order in which `order` wants them to be taken up.
    pub(super) fn ordered(&self, play: &Play, templar: &Templar, hosts: &[String]) -> Result<Vec<String>, Diagnostic> {
        let mut chosen = hosts.to_vec();
        let wrong = |message: String| Diagnostic::error("run::order", message).at(play.span);
        let order = play.order.as_ref().map(|order| templar.value(order)).transpose();
        let order = order.map_err(|e| e.to_diagnostic().or_at(Some(play.span)))?;
        let order = order.filter(|order| !matches!(order, Value::Null | Value::Omit));
        let order = order.map_or_else(|| "inventory".to_owned(), |order| order.to_text());
        match order.as_str() {
            "inventory" => {}
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
                return Err(wrong(format!("Invalid 'order' specified for inventory hosts: {other}")));
            }
        }
        Ok(chosen)
    }
}

/// The hosts in batches, as `serial` says: numbers or percentages, the last one repeated.
pub(super) fn batches(play: &Play, templar: &Templar, hosts: &[String]) -> Result<Vec<Vec<String>>, Diagnostic> {
    let mut sizes = Vec::new();
    for entry in &play.serial {
        let value = templar.value(entry).map_err(|e| e.to_diagnostic().or_at(Some(play.span)))?;
        let entries = match &value {
            Value::List(items) => items.to_vec(),
            other => vec![other.clone()],
        };
        for entry in entries.iter().filter(|entry| !matches!(entry, Value::Omit | Value::Null)) {
            let text = match entry {
                Value::Bool(yes) => u8::from(*yes).to_string(),
                Value::Float(number) => number.trunc().to_string(),
                other => other.to_text(),
            };
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
