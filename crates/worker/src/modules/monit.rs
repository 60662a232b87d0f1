//! `community.general.monit`.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::args::is_word;
use crate::host::{Command, Host};
use crate::module::{Failure, Module, Outcome};

/// Manages services that monit looks after.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Monit {
    /// The service.
    name: String,
    /// What should be.
    state: State,
    /// How many seconds monit may take.
    #[serde(default = "timeout")]
    timeout: u64,
}

fn timeout() -> u64 {
    300
}

/// What should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Present,
    Started,
    Stopped,
    Restarted,
    Monitored,
    Unmonitored,
    Reloaded,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Restarted => "restarted",
            Self::Monitored => "monitored",
            Self::Unmonitored => "unmonitored",
            Self::Reloaded => "reloaded",
        }
    }

    /// The command that brings it about.
    fn verb(self) -> &'static str {
        match self {
            Self::Present | Self::Reloaded => "reload",
            Self::Started => "start",
            Self::Stopped => "stop",
            Self::Restarted => "restart",
            Self::Monitored => "monitor",
            Self::Unmonitored => "unmonitor",
        }
    }
}

/// How long it takes between two questions.
const PAUSE: Duration = Duration::from_millis(500);

impl Module for Monit {
    const NAME: &'static str = "community.general.monit";

    fn check(&self) -> Result<(), String> {
        if !is_word(&self.name) {
            return Err(format!("'{}' is not the name of a service", self.name));
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let monit = Command::new(host.require_program("monit")?).c_locale();
        let told = |changed: bool| {
            let outcome = Outcome::new(changed);
            // In check mode only what stays as it is is told of.
            if changed && host.check_mode() {
                return outcome;
            }
            outcome.with("name", self.name.clone()).with("state", self.state.name())
        };
        if self.state == State::Reloaded {
            host.run_ok(&monit.arg("reload"))?;
            return Ok(told(true));
        }
        let listed = self.listed(host, &monit)?;
        if self.state == State::Present {
            if !listed && host.run_ok(&monit.clone().arg("reload"))?.is_some() {
                self.wait(host, "waited too long for process to become \"present\"", || self.listed(host, &monit))?;
            }
            return Ok(told(!listed));
        }
        if !listed {
            let msg = format!("{} process not presently configured with monit", self.name);
            return Err(Failure::new(msg).with("name", self.name));
        }
        let pending = "waited too long for \"pending\", or \"initiating\" status to go away";
        let mut status = self.status(host, &monit)?;
        if is_pending(&status) && !host.check_mode() {
            self.wait(host, pending, || {
                status = self.status(host, &monit)?;
                Ok(!is_pending(&status))
            })?;
        }
        if self.state != State::Restarted && self.holds(&status) {
            return Ok(told(false));
        }
        if host.run_ok(&monit.clone().args([self.state.verb(), &self.name]))?.is_none() {
            return Ok(told(true));
        }
        let late = format!("{} process not {}", self.name, self.state.name());
        self.wait(host, &late, || {
            let status = self.status(host, &monit)?;
            Ok(!is_pending(&status) && self.holds(&status))
        })?;
        Ok(told(true))
    }
}

/// Whether monit is about to do something with a service.
fn is_pending(status: &str) -> bool {
    status.contains("pending") || status.starts_with("initializ") || status.starts_with("initiat")
}

impl Monit {
    /// Whether monit knows the service.
    fn listed(&self, host: &Host, monit: &Command) -> Result<bool, Failure> {
        let said = host.query_ok(&monit.clone().args(["summary", "-B"]))?.stdout_text();
        // Older versions put quotes around names and the kind before them.
        let quoted = format!("'{}'", self.name);
        Ok(said.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some(&self.name) || line.split_whitespace().nth(1) == Some(&quoted)
        }))
    }

    /// What monit says of the service, in small letters.
    fn status(&self, host: &Host, monit: &Command) -> Result<String, Failure> {
        let said = host.query_ok(&monit.clone().args(["status", "-B", &self.name]))?.stdout_text();
        let line = said.lines().map(str::trim).find_map(|line| line.strip_prefix("status "));
        let missing =
            || Failure::new(format!("monit does not tell the status of {}", self.name)).with("stdout", said.clone());
        Ok(line.ok_or_else(missing)?.trim().to_lowercase())
    }

    /// Whether the service is as it should be.
    fn holds(&self, status: &str) -> bool {
        let unmonitored = status.starts_with("not monitored");
        match self.state {
            State::Started | State::Restarted => {
                ["ok", "running", "accessible", "online with all services", "status ok"].contains(&status)
            }
            State::Stopped | State::Unmonitored => unmonitored,
            _ => !unmonitored,
        }
    }

    /// Asks until it is so, or until the time is up.
    fn wait(&self, host: &Host, late: &str, mut ready: impl FnMut() -> Result<bool, Failure>) -> Result<(), Failure> {
        let end = Instant::now() + Duration::from_secs(self.timeout);
        while !ready()? {
            if Instant::now() >= end || host.is_cancelled() {
                return Err(Failure::new(late));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::stage::Stage;
    use super::*;

    const MONIT: &str = "S=$R/states; case $1 in summary) echo 'Service Name  Status'; sed 's/_/ /' $S; [ -e $R/late ] && echo 'new OK';; \
        status) printf \"Process '$3'\\n  status    \"; sed -n \"s/^$3 //p\" $S | sed 's/_/ /';; \
        start|restart|monitor) [ -e $R/stuck ] || sed -i \"s/^$2 .*/$2 OK/\" $S;; stop|unmonitor) sed -i \"s/^$2 .*/$2 Not_monitored/\" $S;; \
        reload) touch $R/late;; esac; true";

    fn stage() -> Stage {
        let stage = Stage::new(&[("/states", "up Running\ndown Not_monitored\nodd Does not exist\n")]);
        stage.program("monit", MONIT);
        stage
    }

    #[test]
    fn services_are_as_they_should_be() {
        for (name, state, made) in [
            ("up", "started", None),
            ("down", "started", Some("start] [down")),
            ("odd", "started", Some("start] [odd")),
            ("up", "stopped", Some("stop] [up")),
            ("down", "stopped", None),
            ("up", "monitored", None),
            ("down", "monitored", Some("monitor] [down")),
            ("up", "unmonitored", Some("unmonitor] [up")),
            ("down", "unmonitored", None),
            ("up", "restarted", Some("restart] [up")),
            ("up", "reloaded", Some("reload")),
            ("up", "present", None),
            ("new", "present", Some("reload")),
        ] {
            let stage = stage();
            let args = json!({"name": name, "state": state});
            let asked = |call: &String| call.contains("[summary]") || call.contains("[status]");
            assert_eq!(stage.check::<Monit>(args.clone()).unwrap().changed, made.is_some(), "{name} {state}");
            assert!(stage.calls().iter().all(asked));
            let told = stage.call::<Monit>(args).unwrap();
            let mut calls = stage.calls();
            calls.retain(|call| !asked(call));
            assert_eq!(calls, made.iter().map(|made| format!("monit [{made}]")).collect::<Vec<_>>());
            assert_eq!((told.changed, told.fields["state"].as_str()), (made.is_some(), Some(state)));
        }
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (args, word) in [
            (json!({"name": "none", "state": "started"}), "not presently configured"),
            (json!({"name": "-x", "state": "started"}), "not the name of a service"),
            (json!({"name": "down", "state": "started", "timeout": 0}), "down process not started"),
        ] {
            let stage = stage();
            stage.file("/stuck", "");
            assert!(stage.call::<Monit>(args).unwrap_err().msg.contains(word), "{word}");
        }
        let stage = stage();
        stage.file("/states", "up Running_- restart pending\n");
        let failure = stage.call::<Monit>(json!({"name": "up", "state": "stopped", "timeout": 0})).unwrap_err();
        assert!(failure.msg.contains("\"pending\""));
    }
}
