//! `ansible.builtin.service_facts`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::host::{Command, Host};
use crate::module::{Failure, Module, Outcome};

/// Gives the services of the host and what they are doing as facts.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ServiceFacts {}

/// Services by name.
type Services = BTreeMap<String, Value>;

impl Module for ServiceFacts {
    const NAME: &'static str = "ansible.builtin.service_facts";

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let mut services = sysv(host)?;
        services.extend(systemd(host)?);
        Ok(Outcome::unchanged().with("ansible_facts", json!({ "services": services })))
    }
}

/// The scripts below `/etc/init.d`, as service(8) tells of them.
fn sysv(host: &Host) -> Result<Services, Failure> {
    let Some(service) = host.find_program("service") else { return Ok(Services::new()) };
    let output = host.query(&Command::new(service).arg("--status-all").c_locale())?;
    let mut services = Services::new();
    for line in output.stdout_text().lines() {
        let Some((mark, name)) = line.trim().strip_prefix('[').and_then(|rest| rest.split_once(']')) else { continue };
        let state = if mark.trim() == "+" { "running" } else { "stopped" };
        let name = name.trim();
        services.insert(name.to_owned(), json!({"name": name, "state": state, "source": "sysv"}));
    }
    Ok(services)
}

/// The service units of systemd, where it runs: those it has loaded and those it has files of.
fn systemd(host: &Host) -> Result<Services, Failure> {
    let runs = host.exists(Path::new("/run/systemd/system"))?;
    let Some(systemctl) = host.find_program("systemctl").filter(|_| runs) else { return Ok(Services::new()) };
    let ask = |words: &[&str]| {
        let command = Command::new(&systemctl).args(words.iter().copied()).c_locale();
        host.query_ok(&command).map(|output| output.stdout_text())
    };
    let plain = ["--no-pager", "--no-legend", "--type", "service", "--all", "--plain"];
    let units = ask(&[&["list-units"][..], &plain].concat())?;
    let files = ask(&[&["list-unit-files"][..], &plain].concat())?;
    let files: BTreeMap<&str, &str> = files
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next().filter(|name| name.ends_with(".service"))?, words.next()?))
        })
        .collect();
    let mut found: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for line in units.lines() {
        if let Some((name, state, status)) = unit(line) {
            let known = matches!(status, "not-found" | "masked" | "failed");
            let status = files.get(name).copied().filter(|_| !known).unwrap_or(status);
            found.insert(name, (state, status));
        }
    }
    let rest: Vec<&str> = files.keys().copied().filter(|name| !found.contains_key(name)).collect();
    let states = states(&rest, &ask)?;
    for name in rest {
        let state = states.get(name).map_or("unknown", String::as_str);
        found.insert(name, (state, files.get(name).copied().unwrap_or("unknown")));
    }
    let told = |(name, (state, status)): (&str, (&str, &str))| {
        let service = json!({"name": name, "state": state, "status": status, "source": "systemd"});
        (name.to_owned(), service)
    };
    Ok(found.into_iter().map(told).collect())
}

/// The name, state and status of a line of `list-units`.
fn unit(line: &str) -> Option<(&str, &str, &str)> {
    let mut words = line.split_whitespace().skip_while(|word| matches!(*word, "●" | "*" | "○" | "×"));
    let name = words.next().filter(|name| name.ends_with(".service"))?;
    let (load, active, sub) = (words.next()?, words.next()?, words.next()?);
    let state = match (active, sub) {
        ("active", "running") => "running",
        ("failed", _) => "failed",
        _ => "stopped",
    };
    let status = match (load, active) {
        ("not-found" | "masked", _) => load,
        _ => active,
    };
    Some((name, state, status))
}

/// What units that are not loaded are doing; nobody knows of templates.
fn states(
    names: &[&str],
    ask: &dyn Fn(&[&str]) -> Result<String, Failure>,
) -> Result<HashMap<String, String>, Failure> {
    let names: Vec<&str> = names.iter().copied().filter(|name| !name.contains("@.")).collect();
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let told = ask(&[&["show", "--no-pager", "--property=ActiveState", "--"][..], &names].concat())?;
    let states = told.lines().filter_map(|line| line.strip_prefix("ActiveState="));
    Ok(names.iter().map(|name| (*name).to_owned()).zip(states.map(ToOwned::to_owned)).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    #[test]
    fn units_and_scripts_are_told() {
        let stage = Stage::new(&[("/run/systemd/system/x", "")]);
        stage.program("service", "echo ' [ + ]  cron'; echo ' [ - ]  hwclock.sh'; echo ' [ ? ]  odd' >&2");
        stage.program(
            "systemctl",
            "case $1 in\n\
             list-units) echo 'cron.service loaded active running Cron'; echo 'gone.service not-found inactive dead x'\n\
             echo '● bad.service loaded failed failed Bad'; echo 'getty@tty1.service loaded inactive dead G';;\n\
             list-unit-files) echo 'cron.service enabled enabled'; echo 'getty@.service enabled enabled'\n\
             echo 'sshd.service alias -'; echo 'sudo.service masked enabled'; echo 'bad.service enabled enabled';;\n\
             show) echo ActiveState=active; echo; echo ActiveState=inactive;; esac",
        );
        let facts = stage.check::<ServiceFacts>(json!({})).unwrap().fields["ansible_facts"]["services"].clone();
        let told = |name: &str| {
            let word = |key: &str| facts[name][key].as_str().unwrap_or("-").to_owned();
            assert_eq!(word("name"), name);
            [word("source"), word("state"), word("status")].join(" ")
        };
        assert_eq!(told("cron"), "sysv running -");
        assert_eq!(told("hwclock.sh"), "sysv stopped -");
        assert_eq!(told("cron.service"), "systemd running enabled");
        assert_eq!(told("gone.service"), "systemd stopped not-found");
        assert_eq!(told("bad.service"), "systemd failed failed");
        assert_eq!(told("getty@tty1.service"), "systemd stopped inactive");
        assert_eq!(told("getty@.service"), "systemd unknown enabled");
        assert_eq!(told("sshd.service"), "systemd active alias");
        assert_eq!(told("sudo.service"), "systemd inactive masked");
        assert_eq!(facts.as_object().unwrap().len(), 9);
    }

    #[test]
    fn without_systemd_there_are_scripts() {
        let stage = Stage::new(&[]);
        stage.program("service", "echo ' [ - ]  ssh'").program("systemctl", "exit 1");
        let facts = stage.call::<ServiceFacts>(json!({})).unwrap().fields["ansible_facts"].clone();
        assert_eq!(facts, json!({"services": {"ssh": {"name": "ssh", "state": "stopped", "source": "sysv"}}}));
    }
}
