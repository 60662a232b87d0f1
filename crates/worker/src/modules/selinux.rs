//! `ansible.posix.selinux`: whether SELinux is enforced.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::{self, text};
use crate::args::PathArg;
use crate::host::{Command, Diff, Host, WriteOptions};
use crate::module::{Context, Failure, Module, Outcome};

/// Sets the mode and the policy of SELinux; a host without it is refused.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Selinux {
    /// The policy; needed unless it is disabled.
    #[serde(default)]
    policy: Option<String>,
    /// The mode.
    state: State,
    /// Whether the kernel's command line is changed, too, which is refused.
    #[serde(default)]
    update_kernel_param: bool,
    /// The file of its configuration.
    #[serde(default = "file", alias = "conf", alias = "file")]
    configfile: PathArg,
}

fn file() -> PathArg {
    PathArg("/etc/selinux/config".to_owned())
}

/// The mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Disabled,
    Enforcing,
    Permissive,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Enforcing => "enforcing",
            Self::Permissive => "permissive",
        }
    }
}

impl Module for Selinux {
    const NAME: &'static str = "ansible.posix.selinux";

    fn check(&self) -> Result<(), String> {
        if self.update_kernel_param {
            return Err("update_kernel_param is not supported".to_owned());
        }
        match &self.policy {
            None if self.state != State::Disabled => Err("Policy is required if state is not 'disabled'".to_owned()),
            Some(policy) if policy.is_empty() || policy.contains(char::is_whitespace) => {
                Err(format!("'{policy}' is not the name of a policy"))
            }
            _ => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.configfile)?;
        let running = running(host);
        let Some(old) = host.read_if_exists(&path)? else {
            return Err(Failure::new(format!("SELinux is not installed on this host: there is no {}", path.display())));
        };
        let old = String::from_utf8(old).context(|| format!("cannot edit {}", path.display()))?;
        let held_policy = value(&old, "SELINUXTYPE");
        let policy = self.policy.clone().or(held_policy.clone()).unwrap_or_default();
        let mut new = old.clone();
        let mut msgs = Vec::new();
        let active = host.text("/etc/selinux/config").and_then(|config| value(&config, "SELINUXTYPE"));
        if let Some(active) = active.filter(|active| !policy.is_empty() && *active != policy) {
            msgs.push(format!("Running SELinux policy changed from '{active}' to '{policy}'"));
        }
        if let (Some(policy), true) = (&self.policy, self.policy != held_policy) {
            // A host whose policy is not there does not come up again.
            if policy.contains('/') || !host.exists(&Path::new("/etc/selinux").join(policy))? {
                return Err(Failure::new(format!("Policy {policy} does not exist in /etc/selinux/")));
            }
            new = set(&new, "SELINUXTYPE", policy);
            let held = held_policy.as_deref().unwrap_or("None");
            msgs.push(format!("SELinux policy configuration in '{}' changed from '{held}' to '{policy}'", text(&path)));
        }
        new = set(&new, "SELINUX", self.state.word());
        let held = value(&old, "SELINUX").unwrap_or_else(|| "None".to_owned());
        if held != self.state.word() {
            msgs.push(format!("Config SELinux state changed from '{held}' to '{}'", self.state.word()));
        }
        let mut reboot = self.state != State::Disabled && held_policy.as_ref() != Some(&policy);
        let mut warning = None;
        match (running, self.state) {
            (State::Disabled, State::Disabled) => {}
            // A kernel that runs without it, or with it, does so until it is booted again.
            (State::Disabled, _) => {
                reboot = true;
                warning = Some(format!("Reboot is required to set SELinux state to '{}'", self.state.word()));
            }
            (State::Enforcing, State::Disabled | State::Permissive) => {
                reboot |= self.state == State::Disabled;
                enforce(host, "0")?;
                msgs.push("SELinux state temporarily changed from 'enforcing' to 'permissive'".to_owned());
            }
            (State::Permissive, State::Disabled) => reboot = true,
            (State::Permissive, State::Enforcing) => {
                enforce(host, "1")?;
                msgs.push("SELinux state changed from 'permissive' to 'enforcing'".to_owned());
            }
            _ => {}
        }
        let outcome = Outcome::new(!msgs.is_empty()).with("msg", msgs.join(", ")).with("policy", policy);
        let mut outcome = outcome.with("state", self.state.word()).with("reboot_required", reboot);
        outcome.set("configfile", text(&path));
        if let Some(warning) = warning {
            outcome.set("warnings", vec![warning]);
        }
        self.write(host, path, old, new, &mut outcome)?;
        Ok(outcome)
    }
}

impl Selinux {
    fn write(
        &self,
        host: &Host,
        path: PathBuf,
        old: String,
        new: String,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        if old != new {
            files::write_through(host, &path, new.as_bytes(), &WriteOptions::default())?;
            outcome.diffs.push(Diff::text(old, new).headers(text(&path), text(&path)));
        }
        Ok(())
    }
}

/// The mode that the kernel is in.
fn running(host: &Host) -> State {
    match host.text("/sys/fs/selinux/enforce").as_deref().map(str::trim) {
        Some("1") => State::Enforcing,
        Some(_) => State::Permissive,
        None => State::Disabled,
    }
}

fn enforce(host: &Host, mode: &str) -> Result<(), Failure> {
    host.run_ok(&Command::new(host.require_program("setenforce")?).c_locale().arg(mode))?;
    Ok(())
}

/// What a line of the configuration sets.
fn value(config: &str, key: &str) -> Option<String> {
    let value = |line: &str| line.strip_prefix(key)?.strip_prefix('=').map(|value| value.trim().to_owned());
    config.lines().find_map(value)
}

/// The configuration with this line; one that says so already is left as it is.
fn set(config: &str, key: &str, wanted: &str) -> String {
    let held = value(config, key);
    if held.as_deref() == Some(wanted) {
        return config.to_owned();
    }
    let line = format!("{key}={wanted}\n");
    if held.is_none() {
        let end = if config.is_empty() || config.ends_with('\n') { "" } else { "\n" };
        return format!("{config}{end}{line}");
    }
    let is_it = |held: &str| held.strip_prefix(key).is_some_and(|rest| rest.starts_with('='));
    let mut set: String =
        config.split_inclusive('\n').map(|held| if is_it(held) { line.as_str() } else { held }).collect();
    if !set.ends_with('\n') {
        set.push('\n');
    }
    set
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::stage::Stage;
    use super::*;

    const FILE: &str = "/etc/selinux/config";
    const CONFIG: &str = "# SELINUX= can take\nSELINUX=permissive\nSELINUXTYPE=targeted\n";

    #[test]
    fn modes_are_set() {
        for (args, enforce, config, call, reboot) in [
            (json!({"state": "permissive", "policy": "targeted"}), Some("0"), CONFIG.to_owned(), None, false),
            (
                json!({"state": "enforcing", "policy": "targeted"}),
                Some("0"),
                CONFIG.replace("=permissive", "=enforcing"),
                Some("setenforce [1]"),
                false,
            ),
            (
                json!({"state": "disabled"}),
                Some("1"),
                CONFIG.replace("=permissive", "=disabled"),
                Some("setenforce [0]"),
                true,
            ),
            (json!({"state": "permissive", "policy": "mls"}), None, CONFIG.replace("targeted", "mls"), None, true),
        ] {
            let stage = Stage::new(&[(FILE, CONFIG), ("/etc/selinux/mls/policy", "")]);
            stage.program("setenforce", "");
            if let Some(enforce) = enforce {
                stage.file("/sys/fs/selinux/enforce", enforce);
            }
            let changed = config != CONFIG || call.is_some();
            assert_eq!(stage.check::<Selinux>(args.clone()).unwrap().changed, changed);
            assert_eq!((stage.text(FILE).as_str(), stage.calls().len()), (CONFIG, 0));
            let made = stage.call::<Selinux>(args.clone()).unwrap();
            assert_eq!((made.changed, &made.fields["reboot_required"]), (changed, &json!(reboot)), "{args}");
            assert_eq!(stage.text(FILE), config);
            assert_eq!(stage.calls(), call.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn policies_that_are_not_there_are_refused() {
        let stage = Stage::new(&[(FILE, CONFIG)]);
        for policy in ["mls", "../selinux"] {
            let failure = stage.check::<Selinux>(json!({"state": "permissive", "policy": policy})).unwrap_err();
            assert!(failure.msg.contains("does not exist in /etc/selinux/"));
        }
    }

    #[test]
    fn the_last_line_gets_its_end() {
        assert_eq!(set("SELINUX=disabled\nA=b", "SELINUX", "enforcing"), "SELINUX=enforcing\nA=b\n");
    }

    #[test]
    fn hosts_without_it_are_refused() {
        for (args, word) in [
            (json!({"state": "disabled"}), "SELinux is not installed on this host"),
            (json!({"state": "enforcing"}), "Policy is required"),
            (json!({"state": "disabled", "update_kernel_param": true}), "update_kernel_param"),
        ] {
            assert!(Stage::new(&[]).call::<Selinux>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
