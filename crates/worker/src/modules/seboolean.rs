//! `ansible.posix.seboolean`: switches of SELinux.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::host::{Command, Diff, Host};
use crate::module::{Failure, Module, Outcome};

/// Turns a switch of SELinux on or off; a host without it is refused.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Seboolean {
    /// The switch.
    name: String,
    /// Whether it is kept over a reboot.
    #[serde(default)]
    persistent: bool,
    /// Whether it is on.
    state: bool,
    /// Whether it does not matter that SELinux does not run, which is refused.
    #[serde(default)]
    ignore_selinux_state: bool,
}

impl Module for Seboolean {
    const NAME: &'static str = "ansible.posix.seboolean";

    fn check(&self) -> Result<(), String> {
        if self.ignore_selinux_state {
            return Err("ignore_selinux_state is not supported: SELinux must run".to_owned());
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if self.name.is_empty() || self.name.starts_with('-') || !self.name.chars().all(plain) {
            return Err(format!("'{}' is not the name of a boolean", self.name));
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        if !host.exists(Path::new("/sys/fs/selinux/booleans"))? {
            return Err(Failure::new("SELinux is disabled on this host."));
        }
        // The value that counts, and the one that is waiting to.
        let Some(held) = host.text(Path::new("/sys/fs/selinux/booleans").join(&self.name)) else {
            return Err(Failure::new(format!("SELinux boolean {} does not exist.", self.name)));
        };
        let running = held.split_whitespace().next() == Some("1");
        let kept = !self.persistent || self.kept(host)? == Some(self.state);
        let changed = running != self.state || !kept;
        if changed {
            let mut command = Command::new(host.require_program("setsebool")?).c_locale();
            if self.persistent {
                command = command.arg("-P");
            }
            host.run_ok(&command.arg(&self.name).arg(if self.state { "on" } else { "off" }))?;
        }
        let outcome = Outcome::new(changed).with("name", self.name.clone());
        let outcome = outcome.with("persistent", self.persistent).with("state", self.state);
        let side = |state: bool| json!({ "name": self.name, "state": state });
        Ok(if changed { outcome.with_diff(Diff::values(side(running), side(self.state))) } else { outcome })
    }
}

impl Seboolean {
    /// What it is set to over reboots; `None` where the policy decides.
    fn kept(&self, host: &Host) -> Result<Option<bool>, Failure> {
        let value =
            |line: &str| line.trim().strip_prefix(&self.name)?.trim_start().strip_prefix('=').map(str::trim).map(is_on);
        for file in host.glob(Path::new("/var/lib/selinux/*/active/booleans.local"))? {
            let text = host.text(file).unwrap_or_default();
            if let Some(value) = text.lines().find_map(value) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

fn is_on(value: &str) -> bool {
    matches!(value, "1" | "on" | "true")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    #[test]
    fn switches_are_set_once() {
        for (state, persistent, held, kept, call) in [
            (true, false, "1 1", "", None),
            (true, false, "0 0", "", Some("setsebool [b] [on]")),
            (false, true, "1 1", "b=1", Some("setsebool [-P] [b] [off]")),
            (true, true, "1 1", "", Some("setsebool [-P] [b] [on]")),
            (true, true, "1 1", "bc=0\nb=1\n", None),
        ] {
            let stage = Stage::new(&[
                ("/sys/fs/selinux/booleans/b", held),
                ("/var/lib/selinux/targeted/active/booleans.local", kept),
            ]);
            stage.program("setsebool", "");
            let args = json!({"name": "b", "state": state, "persistent": persistent});
            assert_eq!(stage.check::<Seboolean>(args.clone()).unwrap().changed, call.is_some());
            assert_eq!(stage.calls(), [""; 0]);
            assert_eq!(stage.call::<Seboolean>(args.clone()).unwrap().changed, call.is_some(), "{args}");
            assert_eq!(stage.calls(), call.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let stage = Stage::new(&[]);
        let ask = |name: &str| stage.call::<Seboolean>(json!({"name": name, "state": true})).unwrap_err().msg;
        assert_eq!(ask("b"), "SELinux is disabled on this host.");
        stage.file("/sys/fs/selinux/booleans/b", "0 0");
        assert_eq!(ask("c"), "SELinux boolean c does not exist.");
        assert!(ask("../b").contains("not the name"));
        let args = json!({"name": "b", "state": true, "ignore_selinux_state": true});
        assert!(stage.call::<Seboolean>(args).unwrap_err().msg.contains("ignore_selinux_state"));
    }
}
