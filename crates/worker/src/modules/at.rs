//! `ansible.posix.at`: commands that run once, later.

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::text;
use crate::args::Presence as State;
use crate::host::{Command, Host};
use crate::module::{CheckMode, Context, Failure, Module, Outcome};

/// Schedules a command or script to run once, or takes it off the schedule.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct At {
    /// The command.
    #[serde(default)]
    command: Option<String>,
    /// A file of commands that is there.
    #[serde(default)]
    script_file: Option<String>,
    /// In how many units of time it runs.
    #[serde(default)]
    count: Option<u32>,
    /// The unit of time.
    #[serde(default)]
    units: Option<Units>,
    /// Whether it should be on the schedule.
    #[serde(default)]
    state: State,
    /// Whether nothing is added when the same is on the schedule already.
    #[serde(default)]
    unique: bool,
}

/// The unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Units {
    Minutes,
    Hours,
    Days,
    Weeks,
}

impl Units {
    fn word(self) -> &'static str {
        match self {
            Self::Minutes => "minutes",
            Self::Hours => "hours",
            Self::Days => "days",
            Self::Weeks => "weeks",
        }
    }
}

impl Module for At {
    const NAME: &'static str = "ansible.posix.at";
    const CHECK_MODE: CheckMode = CheckMode::Skipped;

    fn check(&self) -> Result<(), String> {
        match (&self.command, &self.script_file) {
            (Some(_), Some(_)) => return Err("parameters are mutually exclusive: command|script_file".to_owned()),
            (None, None) => return Err("one of the following is required: command, script_file".to_owned()),
            _ => {}
        }
        if self.state == State::Present && (self.count.is_none() || self.units.is_none()) {
            return Err("present state requires count and units".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        // A job keeps the environment that it is submitted in, so nothing is put into that.
        let at = Command::new(host.require_program("at")?);
        let script = match (&self.command, &self.script_file) {
            (Some(command), _) => format!("{command}\n"),
            (None, file) => {
                let path = host.expand_path(file.as_deref().unwrap_or_default())?;
                let bytes = host.read(&path)?;
                String::from_utf8(bytes).context(|| format!("cannot schedule {}", text(&path)))?
            }
        };
        let (State::Present, Some(count), Some(units)) = (self.state, self.count, self.units) else {
            let jobs = self.jobs(host, &at, &script)?;
            for job in &jobs {
                host.run_ok(&at.clone().arg("-r").arg(job))?;
            }
            return Ok(Outcome::new(!jobs.is_empty()).with("state", "absent"));
        };
        if self.unique && !self.jobs(host, &at, &script)?.is_empty() {
            return Ok(Outcome::unchanged().with("state", "present"));
        }
        // at reads the commands from its standard input: no file is left behind.
        let time = ["now".to_owned(), "+".to_owned(), count.to_string(), units.word().to_owned()];
        host.run_ok(&at.args(time).stdin(script))?;
        let mut outcome = Outcome::new(true).with("state", "present").with("count", count).with("units", units.word());
        if let Some(file) = self.script_file {
            outcome.set("script_file", file);
        }
        Ok(outcome)
    }
}

impl At {
    /// The jobs on the schedule that end with these commands.
    fn jobs(&self, host: &Host, at: &Command, script: &str) -> Result<Vec<String>, Failure> {
        let listed = host.query_ok(&Command::new(host.require_program("atq")?).c_locale())?.stdout_text();
        let mut jobs = Vec::new();
        for job in listed.lines().filter_map(|line| line.split_whitespace().next()) {
            let shown = host.query_ok(&at.clone().arg("-c").arg(job))?.stdout_text();
            if is_at_end(&shown, script) {
                jobs.push(job.to_owned());
            }
        }
        Ok(jobs)
    }
}

/// Whether what at shows of a job ends with whole lines that are these commands.
fn is_at_end(shown: &str, script: &str) -> bool {
    let script = script.trim_end();
    shown.trim_end().strip_suffix(script).is_some_and(|before| before.is_empty() || before.ends_with('\n'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::stage::Stage;
    use super::*;

    fn stage() -> Stage {
        let stage = Stage::new(&[("/script", "ls -d /\n"), ("/other", "ls\n")]);
        stage.program("atq", "printf '7\\tSat Nov 21 09:00:00 2026 a root\\n'");
        stage.program(
            "at",
            "case $1 in -c) printf '#!/bin/sh\\ncd / || exit\\nls -d /\\n\\n';; now) cat >$R/job;; esac",
        );
        stage
    }

    #[test]
    fn jobs_are_scheduled() {
        for (args, changed, calls) in [
            (json!({"command": "ls", "count": 20, "units": "minutes"}), true, vec!["at [now] [+] [20] [minutes]"]),
            (
                json!({"command": "ls", "count": 1, "units": "days", "unique": true}),
                true,
                vec!["atq", "at [-c] [7]", "at [now] [+] [1] [days]"],
            ),
            (
                json!({"script_file": "/script", "count": 1, "units": "days", "unique": true}),
                false,
                vec!["atq", "at [-c] [7]"],
            ),
            (json!({"command": "ls -d /", "state": "absent"}), true, vec!["atq", "at [-c] [7]", "at [-r] [7]"]),
            (json!({"script_file": "/other", "state": "absent"}), false, vec!["atq", "at [-c] [7]"]),
        ] {
            let stage = stage();
            assert_eq!(stage.call::<At>(args.clone()).unwrap().changed, changed, "{args}");
            assert_eq!(stage.calls(), calls);
            let scheduled = calls.iter().any(|call| call.contains("now"));
            assert_eq!(stage.text("/job"), if scheduled { "ls\n" } else { "" });
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (args, word) in [
            (json!({"command": "ls"}), "requires count and units"),
            (json!({"count": 1, "units": "days"}), "one of the following is required"),
            (json!({"command": "ls", "script_file": "/script", "count": 1, "units": "days"}), "mutually exclusive"),
            (json!({"script_file": "/none", "count": 1, "units": "days"}), "/none"),
        ] {
            assert!(stage().call::<At>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
