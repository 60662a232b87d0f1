//! `ansible.builtin.systemd` (and `systemd_service`), and `ansible.builtin.service` on hosts that systemd runs.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::host::{Command, Host, Output};
use crate::module::{Failure, Module, Outcome};

/// What a unit should be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Running; its configuration is read again.
    Reloaded,
    /// Stopped and started again.
    Restarted,
    /// Running.
    Started,
    /// Not running.
    Stopped,
}

/// Whose systemd is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The host's.
    #[default]
    System,
    /// The user's own.
    User,
    /// That of all users.
    Global,
}

/// Controls units of systemd.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct Systemd {
    /// The unit; without an ending it is a service.
    #[serde(default, alias = "service", alias = "unit")]
    name: Option<String>,
    /// What it should be doing.
    #[serde(default)]
    state: Option<State>,
    /// Whether it starts at boot.
    #[serde(default)]
    enabled: Option<bool>,
    /// Whether existing links are overwritten when enabling.
    #[serde(default)]
    force: bool,
    /// Whether it is masked, so that nothing can start it.
    #[serde(default)]
    masked: Option<bool>,
    /// Whether systemd reads its configuration again first.
    #[serde(default, alias = "daemon-reload")]
    daemon_reload: bool,
    /// Whether systemd executes itself anew first.
    #[serde(default, alias = "daemon-reexec")]
    daemon_reexec: bool,
    /// Whose systemd is meant.
    #[serde(default)]
    scope: Scope,
    /// Whether not to wait for the operation to finish.
    #[serde(default)]
    no_block: bool,
}

/// Controls services, by the service manager that the host has.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Service {
    /// The service.
    #[serde(default, alias = "service", alias = "unit")]
    name: Option<String>,
    /// What it should be doing.
    #[serde(default)]
    state: Option<State>,
    /// Whether it starts at boot.
    #[serde(default)]
    enabled: Option<bool>,
    /// Seconds between stop and start of a restart; systemd does not need it.
    #[serde(default)]
    sleep: Option<i64>,
    /// What to look for in the process list; systemd does not need it.
    #[serde(default)]
    pattern: Option<String>,
    /// For OpenRC; systemd does not need it.
    #[serde(default)]
    runlevel: Option<String>,
    /// For init scripts; systemd does not need it.
    #[serde(default, alias = "args")]
    arguments: Option<String>,
    /// Which service manager; `auto` finds out.
    #[serde(default, rename = "use")]
    manager: Option<String>,
    /// For systemd: whether existing links are overwritten when enabling.
    #[serde(default)]
    force: bool,
    /// For systemd: whether the unit is masked.
    #[serde(default)]
    masked: Option<bool>,
    /// For systemd: whether it reads its configuration again first.
    #[serde(default, alias = "daemon-reload")]
    daemon_reload: bool,
    /// For systemd: whether it executes itself anew first.
    #[serde(default, alias = "daemon-reexec")]
    daemon_reexec: bool,
    /// For systemd: whose systemd is meant.
    #[serde(default)]
    scope: Scope,
    /// For systemd: whether not to wait for the operation to finish.
    #[serde(default)]
    no_block: bool,
}

impl Module for Systemd {
    const NAME: &'static str = "ansible.builtin.systemd";

    fn check(&self) -> Result<(), String> {
        let wants_unit = self.state.is_some() || self.enabled.is_some() || self.masked.is_some();
        if wants_unit && self.name.as_ref().is_none_or(String::is_empty) {
            return Err("missing parameter required by 'state', 'enabled' or 'masked': name".into());
        }
        let name = self.name.as_deref().unwrap_or_default();
        match ['*', '?', '['].iter().find(|c| name.contains(**c)) {
            Some(c) => Err(format!(
                "This module does not currently support using glob patterns, found '{c}' in service name: {name}"
            )),
            None => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        host.require_program("systemctl")?;
        if self.daemon_reload {
            self.manage(host, "daemon-reload")?;
        }
        if self.daemon_reexec {
            self.manage(host, "daemon-reexec")?;
        }
        let mut outcome = Outcome::unchanged().with("name", self.name.clone());
        // An empty name is none, as in the reference.
        let Some(unit) = self.name.clone().filter(|name| !name.is_empty()) else {
            return Ok(outcome.with("status", Map::new()));
        };
        let status = self.status(host, &unit)?;
        let found = status.get("LoadState").and_then(Value::as_str).is_some_and(|s| s != "not-found")
            || status.get("ActiveState").and_then(Value::as_str).is_some_and(|s| s == "active" || s == "activating")
            || status.is_empty() && self.is_known(host, &unit)?;
        outcome.set("status", status.clone());
        self.mask(host, &unit, &status, found, &mut outcome)?;
        self.enable(host, &unit, found, &mut outcome)?;
        self.steer(host, &unit, &status, found, &mut outcome)?;
        Ok(outcome)
    }
}

impl Systemd {
    fn systemctl(&self) -> Command {
        let mut command = Command::new("systemctl").c_locale();
        match self.scope {
            Scope::System => {}
            Scope::User => command = command.arg("--user"),
            Scope::Global => command = command.arg("--global"),
        }
        if self.no_block {
            command = command.arg("--no-block");
        }
        if self.force {
            command = command.arg("--force");
        }
        command
    }

    fn manage(&self, host: &Host, what: &str) -> Result<(), Failure> {
        match host.run(&self.systemctl().arg(what))? {
            Some(output) if output.rc != 0 => {
                Err(failure(format!("failure {} during {what}: {}", output.rc, output.complaint()), &output))
            }
            _ => Ok(()),
        }
    }

    /// The unit's properties, as `systemctl show` tells them.
    fn status(&self, host: &Host, unit: &str) -> Result<Map<String, Value>, Failure> {
        let output = host.query(&self.systemctl().args(["show", "--", unit]))?;
        if output.rc != 0 {
            let said = output.complaint();
            // A host (or container) that systemd does not run has units that can be enabled all the same.
            if said.contains("not been booted with systemd") || said.contains("Failed to connect to bus") {
                return Ok(Map::new());
            }
            return Err(failure(format!("Error loading unit file '{unit}': {said}"), &output));
        }
        Ok(properties(&output.stdout_text()))
    }

    /// Whether there is such a unit, where systemd itself cannot be asked: in a chroot only its files can be.
    fn is_known(&self, host: &Host, unit: &str) -> Result<bool, Failure> {
        let named = if unit.contains('.') { unit.to_owned() } else { format!("{unit}.service") };
        let output = host.query(&self.systemctl().args(["list-unit-files", "--no-legend", "--", &named]))?;
        Ok(output.rc == 0 && !output.stdout_text().trim().is_empty())
    }

    fn missing(&self, unit: &str) -> Failure {
        Failure::new(format!("Could not find the requested service {unit}: host"))
    }

    fn act(&self, host: &Host, action: &str, unit: &str) -> Result<(), Failure> {
        match host.run(&self.systemctl().args([action, "--", unit]))? {
            Some(output) if output.rc != 0 => {
                Err(failure(format!("Unable to {action} service {unit}: {}", output.complaint()), &output))
            }
            _ => Ok(()),
        }
    }

    fn mask(
        &self,
        host: &Host,
        unit: &str,
        status: &Map<String, Value>,
        found: bool,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let Some(wanted) = self.masked else { return Ok(()) };
        let masked = status.get("LoadState").and_then(Value::as_str) == Some("masked");
        if masked == wanted {
            return Ok(());
        }
        if !found && !wanted {
            return Err(self.missing(unit));
        }
        outcome.changed = true;
        self.act(host, if wanted { "mask" } else { "unmask" }, unit)
    }

    fn enable(&self, host: &Host, unit: &str, found: bool, outcome: &mut Outcome) -> Result<(), Failure> {
        let Some(wanted) = self.enabled else { return Ok(()) };
        let output = host.query(&self.systemctl().args(["is-enabled", "--", unit]))?;
        let word = output.stdout_text().trim().to_owned();
        if !found && output.rc != 0 && word.is_empty() || word == "not-found" {
            // In a dry run an earlier task may not have brought it.
            if !host.check_mode() {
                return Err(self.missing(unit));
            }
        }
        let enabled = output.rc == 0
            && match word.as_str() {
                // It is enabled through what its `Also=` names, or is another name: then its links tell.
                "indirect" | "alias" => self.has_links(host, unit)?,
                // Until the next boot only.
                runtime => !runtime.ends_with("-runtime"),
            };
        outcome.set("enabled", enabled);
        if enabled == wanted {
            return Ok(());
        }
        outcome.changed = true;
        self.act(host, if wanted { "enable" } else { "disable" }, unit)?;
        outcome.set("enabled", wanted);
        Ok(())
    }

    /// Whether links that enable a unit are there.
    fn has_links(&self, host: &Host, unit: &str) -> Result<bool, Failure> {
        let output = host.query(&self.systemctl().args(["is-enabled", "--full", "--", unit]))?;
        Ok(output.stdout_text().lines().skip(1).any(|line| !line.trim().is_empty()))
    }

    fn steer(
        &self,
        host: &Host,
        unit: &str,
        status: &Map<String, Value>,
        found: bool,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let Some(wanted) = self.state else { return Ok(()) };
        // In a dry run an earlier task may not have brought it; what is to be stopped has to be there.
        if !found && (!host.check_mode() || wanted == State::Stopped) {
            return Err(self.missing(unit));
        }
        let word = match wanted {
            State::Reloaded => "reloaded",
            State::Restarted => "restarted",
            State::Started => "started",
            State::Stopped => "stopped",
        };
        outcome.set("state", word);
        let active = status.get("ActiveState").and_then(Value::as_str).unwrap_or_default();
        let running = matches!(active, "active" | "activating");
        let action = match wanted {
            State::Started if running => None,
            State::Started => Some("start"),
            State::Stopped if running || active == "deactivating" => Some("stop"),
            State::Stopped => None,
            // What is not running has nothing to reload.
            State::Reloaded if !running => Some("start"),
            State::Reloaded => Some("reload"),
            State::Restarted => Some("restart"),
        };
        if matches!(wanted, State::Reloaded | State::Restarted) {
            outcome.set("state", "started");
        }
        match action {
            Some(action) => {
                outcome.changed = true;
                self.act(host, action, unit)
            }
            None => Ok(()),
        }
    }
}

impl Module for Service {
    const NAME: &'static str = "ansible.builtin.service";

    fn check(&self) -> Result<(), String> {
        match self.manager.as_deref().map(|m| m.rsplit('.').next().unwrap_or(m)) {
            None | Some("auto" | "systemd" | "service") => Ok(()),
            Some(other) => Err(format!("the service manager '{other}' is not supported: systemd is")),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let by_systemd = host.exists("/run/systemd/system".as_ref())? || host.find_program("systemctl").is_some();
        if !by_systemd {
            let msg = "this host's services are not managed by systemd, and no other service manager is supported";
            return Err(Failure::new(msg));
        }
        let ignored = [
            ("pattern", self.pattern.is_some()),
            ("runlevel", self.runlevel.is_some()),
            ("sleep", self.sleep.is_some()),
            ("arguments", self.arguments.is_some()),
        ];
        let warnings: Vec<Value> = ignored
            .into_iter()
            .filter(|(_, given)| *given)
            .map(|(name, _)| format!("Ignoring \"{name}\" as it is not used in \"systemd\"").into())
            .collect();
        let unit = Systemd {
            name: self.name,
            state: self.state,
            enabled: self.enabled,
            force: self.force,
            masked: self.masked,
            daemon_reload: self.daemon_reload,
            daemon_reexec: self.daemon_reexec,
            scope: self.scope,
            no_block: self.no_block,
        };
        unit.check().map_err(Failure::new)?;
        let mut outcome = unit.run(host)?;
        if !warnings.is_empty() {
            outcome.set("warnings", warnings);
        }
        Ok(outcome)
    }
}

fn failure(msg: String, output: &Output) -> Failure {
    Failure::new(msg).with("rc", output.rc).with("stdout", output.stdout_text()).with("stderr", output.stderr_text())
}

/// `Name=value` lines; a value in braces may go on over several lines.
fn properties(text: &str) -> Map<String, Value> {
    let mut out = Map::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        if let Some((key, mut value)) = open.take() {
            value.push('\n');
            value.push_str(line);
            if line.trim_end().ends_with('}') {
                out.insert(key, Value::String(value));
            } else {
                open = Some((key, value));
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let continues = key.starts_with("Exec") && value.starts_with('{') && !value.trim_end().ends_with('}');
        if continues {
            open = Some((key.to_owned(), value.to_owned()));
        } else {
            out.insert(key.to_owned(), Value::String(value.to_owned()));
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
#[path = "systemd_tests.rs"]
mod tests;
