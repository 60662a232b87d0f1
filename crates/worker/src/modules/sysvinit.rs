//! `ansible.builtin.sysvinit`: services that have a script in `/etc/init.d`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::host::{Command, Host, Output};
use crate::module::{Failure, Module, Outcome};

/// Starts, stops, enables and disables a service that has a script in `/etc/init.d`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct SysVInit {
    /// The service.
    #[serde(alias = "service")]
    name: String,
    /// What it should be doing.
    #[serde(default)]
    state: Option<State>,
    /// Whether it is started at boot.
    #[serde(default)]
    enabled: Option<bool>,
    /// Seconds between stop and start.
    #[serde(default = "one")]
    sleep: u64,
    /// A text in the list of processes that tells that it runs, where its script cannot tell.
    #[serde(default)]
    pattern: Option<String>,
    /// The runlevels it is started in, instead of the script's own.
    #[serde(default)]
    runlevels: Option<Vec<String>>,
    /// Words for the script after the action.
    #[serde(default, alias = "args")]
    arguments: Option<String>,
    /// Has no meaning here: what a script leaves behind is never waited for.
    #[serde(default)]
    #[allow(dead_code)]
    daemonize: bool,
}

fn one() -> u64 {
    1
}

/// What a service should be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Started,
    Stopped,
    Restarted,
    Reloaded,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Restarted => "restarted",
            Self::Reloaded => "reloaded",
        }
    }
}

impl Module for SysVInit {
    const NAME: &'static str = "ansible.builtin.sysvinit";

    fn check(&self) -> Result<(), String> {
        if self.state.is_none() && self.enabled.is_none() {
            return Err("one of the following is required: state, enabled".into());
        }
        if self.name.is_empty() || self.name.starts_with(['-', '.']) || self.name.contains('/') {
            return Err(format!("'{}' is not the name of a service", self.name));
        }
        if let Some(level) = self.runlevels.iter().flatten().find(|l| !matches!(l.as_bytes(), [b'0'..=b'6' | b'S'])) {
            return Err(format!("'{level}' is not a runlevel"));
        }
        self.words().map(drop)
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let script = Path::new("/etc/init.d").join(&self.name);
        if !host.exists(&script)? {
            return Err(Failure::new(format!("Could not find the requested service {}: ", self.name)));
        }
        let mut enabled = Did::default();
        if let Some(wanted) = self.enabled {
            enabled.changed = self.is_enabled(host)? != wanted;
            if enabled.changed {
                enabled.output = self.enable(host, wanted)?;
            }
        }
        let mut acted = Did::default();
        if let Some(state) = self.state {
            let running = self.is_running(host, &script)?;
            acted.changed = match state {
                State::Started => !running,
                State::Stopped => running,
                State::Restarted | State::Reloaded => true,
            };
            if acted.changed {
                acted.output = self.act(host, &script, state, running)?;
            }
        }
        let changed = enabled.changed || acted.changed;
        let mut enabled = enabled.into_value();
        if let Some(levels) = &self.runlevels {
            enabled["runlevels"] = json!(levels);
        }
        let mut status = Map::from_iter([("enabled".to_owned(), enabled)]);
        status.insert(self.state.map_or("null", State::word).to_owned(), acted.into_value());
        Ok(Outcome::new(changed).with("name", self.name).with("status", Value::Object(status)))
    }
}

/// Whether something was done, and what was said.
#[derive(Default)]
struct Did {
    changed: bool,
    output: Option<Output>,
}

impl Did {
    fn into_value(self) -> Value {
        let output = self.output.as_ref();
        json!({
            "changed": self.changed,
            "rc": output.map(|o| o.rc),
            "stdout": output.map(Output::stdout_text),
            "stderr": output.map(Output::stderr_text),
        })
    }
}

impl SysVInit {
    fn words(&self) -> Result<Vec<String>, String> {
        let arguments = self.arguments.as_deref().unwrap_or_default();
        shell_words::split(arguments).map_err(|e| format!("cannot read arguments '{arguments}': {e}"))
    }

    /// Whether it is started in all runlevels that are named, or in any without.
    fn is_enabled(&self, host: &Host) -> Result<bool, Failure> {
        let starts = |level: &str| -> Result<bool, Failure> {
            let name = glob::Pattern::escape(&self.name);
            Ok(!host.glob(Path::new(&format!("/etc/rc{level}.d/S??{name}")))?.is_empty())
        };
        let Some(levels) = &self.runlevels else {
            for level in ["2", "3", "4", "5", "S"] {
                if starts(level)? {
                    return Ok(true);
                }
            }
            return Ok(false);
        };
        let on = levels.iter().map(|level| starts(level)).collect::<Result<Vec<_>, _>>()?;
        Ok(if self.enabled == Some(true) { on.iter().all(|on| *on) } else { on.contains(&true) })
    }

    fn enable(&self, host: &Host, on: bool) -> Result<Option<Output>, Failure> {
        let levels = self.runlevels.clone().unwrap_or_default();
        let command = if let Some(program) = host.find_program("update-rc.d") {
            let name = glob::Pattern::escape(&self.name);
            let known = !host.glob(Path::new(&format!("/etc/rc?.d/[SK]??{name}")))?.is_empty();
            if !known && !levels.is_empty() {
                checked(&host.run(&Command::new(&program).args([&self.name, "defaults"]))?, "enable")?;
            }
            let verb = match on {
                true if !known && levels.is_empty() => "defaults",
                true => "enable",
                false => "disable",
            };
            Command::new(program).args([&self.name, verb]).args(levels)
        } else if let Some(program) = host.find_program("chkconfig") {
            let levels = if levels.is_empty() { Vec::new() } else { vec!["--level".to_owned(), levels.concat()] };
            Command::new(program).args(levels).args([self.name.as_str(), if on { "on" } else { "off" }])
        } else {
            return Err(Failure::new("neither update-rc.d nor chkconfig is there to enable or disable services with"));
        };
        let output = host.run(&command.c_locale())?;
        checked(&output, if on { "enable" } else { "disable" })?;
        Ok(output)
    }

    fn is_running(&self, host: &Host, script: &Path) -> Result<bool, Failure> {
        if let Some(pattern) = self.pattern.as_deref().filter(|pattern| !pattern.is_empty()) {
            let list = host.query_ok(&Command::new(host.require_program("ps")?).args(["-ewwo", "args"]))?;
            if list.stdout_text().lines().any(|line| line.contains(pattern)) {
                return Ok(true);
            }
        }
        let output = host.query(&Command::new(script).arg("status").c_locale())?;
        let said = output.stdout_text().to_lowercase();
        let not = ["not running", "is stopped", "is dead", "unused"].iter().any(|words| said.contains(words));
        Ok(output.rc == 0 && !not)
    }

    fn act(&self, host: &Host, script: &Path, state: State, running: bool) -> Result<Option<Output>, Failure> {
        let words = self.words().map_err(Failure::new)?;
        let call = |action: &str| host.run(&Command::new(PathBuf::from(script)).arg(action).args(&words));
        let strictly = |action: &str| {
            let output = call(action)?;
            checked(&output, action)?;
            Ok(output)
        };
        match state {
            State::Started => strictly("start"),
            State::Stopped => strictly("stop"),
            State::Reloaded => match call("reload")? {
                // Not every script can.
                Some(output) if output.rc != 0 => self.restart(host, running, strictly),
                output => Ok(output),
            },
            State::Restarted => self.restart(host, running, strictly),
        }
    }

    fn restart(
        &self,
        host: &Host,
        running: bool,
        call: impl Fn(&str) -> Result<Option<Output>, Failure>,
    ) -> Result<Option<Output>, Failure> {
        if running {
            call("stop")?;
            if !host.check_mode() {
                std::thread::sleep(Duration::from_secs(self.sleep));
            }
        }
        call("start")
    }
}

fn checked(output: &Option<Output>, action: &str) -> Result<(), Failure> {
    match output {
        Some(output) if output.rc != 0 => {
            Err(Failure::new(format!("Failed to {action} service: {}", output.complaint()))
                .with("rc", output.rc)
                .with("stdout", output.stdout_text())
                .with("stderr", output.stderr_text()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    /// Whether a service is enabled, by its links.
    fn links(stage: &Stage) -> Vec<String> {
        let found = stage.host().glob(Path::new("/etc/rc?.d/S01foo")).unwrap();
        found.iter().map(|path| path.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn services_are_enabled() {
        let stage = Stage::new(&[("/etc/init.d/foo", "")]);
        stage.program(
            "update-rc.d",
            "name=$1 verb=$2; shift 2; [ $verb = defaults ] && set 2 3 4 5; [ $# = 0 ] && set 2 3 4 5\n\
             for l; do mkdir -p $R/etc/rc$l.d; rm -f $R/etc/rc$l.d/?01foo\n\
             case $verb in disable) :>$R/etc/rc$l.d/K01foo;; *) :>$R/etc/rc$l.d/S01foo;; esac; done",
        );
        let call = |args: Value| stage.call::<SysVInit>(args).unwrap();
        assert!(stage.check::<SysVInit>(json!({"name": "foo", "enabled": true})).unwrap().changed);
        assert!(links(&stage).is_empty());
        let done = call(json!({"name": "foo", "enabled": true}));
        assert_eq!((done.changed, links(&stage).len()), (true, 4));
        assert_eq!(done.fields["status"]["enabled"]["rc"], 0);
        assert!(!call(json!({"name": "foo", "enabled": true})).changed);
        assert!(call(json!({"name": "foo", "enabled": false})).changed && links(&stage).is_empty());
        let some = json!({"name": "foo", "enabled": true, "runlevels": ["3", "5"]});
        assert_eq!(call(some.clone()).fields["status"]["enabled"]["runlevels"], json!(["3", "5"]));
        assert_eq!((links(&stage).len(), call(some).changed), (2, false));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let stage = Stage::new(&[]);
        for (args, word) in [
            (json!({"name": "foo"}), "one of the following is required: state, enabled"),
            (json!({"name": "foo", "state": "started"}), "Could not find the requested service foo"),
            (json!({"name": "../foo", "state": "started"}), "not the name of a service"),
            (json!({"name": "foo", "enabled": true, "runlevels": ["9"]}), "not a runlevel"),
        ] {
            assert!(stage.call::<SysVInit>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
