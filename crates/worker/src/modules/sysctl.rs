//! `ansible.posix.sysctl`.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::text;
use crate::args::{PathArg, yes};
use crate::host::{Command, Content, Diff, Host, WriteOptions};
use crate::module::{Failure, Module, Outcome};

/// Manages kernel parameters in sysctl's file, and in the running kernel.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Sysctl {
    /// The parameter, as in `net.ipv4.ip_forward`.
    #[serde(alias = "key")]
    name: String,
    /// Its value.
    #[serde(default, alias = "val")]
    value: Option<String>,
    /// Whether the file should hold it.
    #[serde(default)]
    state: State,
    /// Whether parameters that the kernel does not know are no error.
    #[serde(default)]
    ignoreerrors: bool,
    /// Whether the file is loaded after a change.
    #[serde(default = "yes")]
    reload: bool,
    /// Whether the running kernel's value is compared and set, too.
    #[serde(default)]
    sysctl_set: bool,
    /// The file.
    #[serde(default = "file")]
    sysctl_file: PathArg,
}

fn file() -> PathArg {
    PathArg("/etc/sysctl.conf".to_owned())
}

/// Whether the file should hold the parameter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    #[default]
    Present,
    Absent,
}

impl Module for Sysctl {
    const NAME: &'static str = "ansible.posix.sysctl";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        if self.name.trim().is_empty() {
            return Err("name cannot be blank".to_owned());
        }
        if self.name.contains('\n') || self.value.as_deref().unwrap_or_default().trim().contains('\n') {
            return Err("a setting is one line".to_owned());
        }
        match (self.state, self.value.as_deref()) {
            (State::Present, None) => Err("state is present but all of the following are missing: value".to_owned()),
            (State::Present, Some(value)) if value.trim().is_empty() => Err("value cannot be blank".to_owned()),
            _ => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.sysctl_file)?;
        let name = self.name.trim();
        let value = normal(self.value.as_deref().unwrap_or_default());
        let old = host.read_if_exists(&path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let old = old.unwrap_or_default();
        let wanted = (self.state == State::Present).then_some(value.as_str());
        let mut outcome = Outcome::unchanged();
        let differs = match (value_in(&old, name), wanted) {
            (Some(held), Some(wanted)) => !equal(&held, wanted),
            (held, wanted) => held.is_some() != wanted.is_some(),
        };
        // The kernel is asked only by those who care: a file that is right may not have been loaded.
        let asked = wanted.is_some() && (self.sysctl_set || (self.reload && !differs));
        let running = if asked { self.running(host, name)? } else { String::new() };
        let drifted = asked && !equal(&running, &value);
        outcome.changed = differs || drifted;
        if drifted && self.sysctl_set {
            self.set(host, name, &value)?;
        }
        if differs {
            let new = rewritten(&old, name, wanted);
            self.write(host, &path, &new)?;
            outcome.diffs.push(Diff::text(old, new).headers(text(&path), text(&path)));
        } else if drifted {
            let line = |value: &str| format!("{name} = {value}\n");
            outcome.diffs.push(Diff::text(line(&running), line(&value)));
        }
        if outcome.changed && self.reload {
            self.load(host, &path)?;
        }
        Ok(outcome)
    }
}

/// A value as the file holds it: what Python takes for a truth becomes a digit.
fn normal(value: &str) -> String {
    match value.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" | "on" | "1" | "true" | "t" | "1.0" => "1".to_owned(),
        "n" | "no" | "off" | "0" | "false" | "f" | "0.0" => "0".to_owned(),
        _ => value.trim().to_owned(),
    }
}

/// Values of several numbers may stand with any blanks between them.
fn equal(a: &str, b: &str) -> bool {
    a.split_whitespace().eq(b.split_whitespace())
}

/// What a line assigns; `None` for comments and what is no assignment.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return None;
    }
    line.split_once('=').map(|(name, value)| (name.trim(), value.trim()))
}

/// The value that a file gives a parameter: the last one counts.
fn value_in(file: &str, name: &str) -> Option<String> {
    file.lines().filter_map(assignment).rfind(|(n, _)| *n == name).map(|(_, value)| value.to_owned())
}

/// The file with the parameter where it was, or at the end; a second assignment of anything is dropped.
fn rewritten(file: &str, name: &str, wanted: Option<&str>) -> String {
    let mut out = String::new();
    let mut seen: Vec<&str> = Vec::new();
    for line in file.lines() {
        let Some((parameter, value)) = assignment(line) else {
            out.push_str(line.trim());
            out.push('\n');
            continue;
        };
        if seen.contains(&parameter) {
            continue;
        }
        seen.push(parameter);
        let value = if parameter == name { wanted } else { Some(value) };
        if let Some(value) = value {
            out.push_str(&format!("{parameter}={value}\n"));
        }
    }
    if let Some(wanted) = wanted.filter(|_| !seen.contains(&name)) {
        out.push_str(&format!("{name}={wanted}\n"));
    }
    out
}

impl Sysctl {
    fn command(&self, words: &[&str]) -> Command {
        let command = Command::new("sysctl").c_locale();
        let command = if self.ignoreerrors { command.arg("-e") } else { command };
        command.args(words)
    }

    /// The running kernel's value; empty where it does not know the parameter.
    fn running(&self, host: &Host, name: &str) -> Result<String, Failure> {
        if host.check_mode() && host.find_program("sysctl").is_none() {
            // An earlier task of the dry run would have installed it.
            return Ok(String::new());
        }
        host.require_program("sysctl")?;
        let output = host.query(&Command::new("sysctl").c_locale().args(["-e", "-n", "--", name]))?;
        Ok(if output.rc == 0 { output.stdout_text().trim().to_owned() } else { String::new() })
    }

    fn set(&self, host: &Host, name: &str, value: &str) -> Result<(), Failure> {
        let Some(output) = host.run(&self.command(&["-w", "--", &format!("{name}={value}")]))? else { return Ok(()) };
        // sysctl complains about what it may not set, and still says that all went well.
        if output.rc != 0 || (!output.stderr.is_empty() && !self.ignoreerrors) {
            let msg = format!("setting {name} failed: {}{}", output.stdout_text(), output.stderr_text());
            return Err(Failure::new(msg.trim_end()));
        }
        Ok(())
    }

    fn load(&self, host: &Host, path: &Path) -> Result<(), Failure> {
        host.require_program("sysctl")?;
        let Some(output) = host.run(&self.command(&["-p", &text(path)]))? else { return Ok(()) };
        if output.rc != 0 || (!output.stderr.is_empty() && !self.ignoreerrors) {
            let msg = format!("Failed to reload sysctl: {}{}", output.stdout_text(), output.stderr_text());
            return Err(Failure::new(msg.trim_end()));
        }
        Ok(())
    }

    fn write(&self, host: &Host, path: &Path, new: &str) -> Result<(), Failure> {
        let real: PathBuf = if host.exists(path)? { host.canonical(path)? } else { path.to_path_buf() };
        host.write_file(&real, &Content::from(new.as_bytes().to_vec()), &WriteOptions::default())?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::args;

    const FILE: &str = "# head\nnet.a=1\n\nnet.b = 2\nnet.a = 3\n";

    fn call(host: &Host, mut args: Value) -> Result<Outcome, Failure> {
        args["sysctl_file"] = json!("/f");
        args["reload"] = json!(false);
        let module: Sysctl = args::parse(args.as_object().unwrap()).unwrap();
        module.check().map_err(Failure::new)?;
        module.run(host)
    }

    fn edited(args: &Value) -> (bool, String) {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::at(dir.path());
        let path = Path::new("/f");
        host.write_file(path, &Content::from(FILE.as_bytes().to_vec()), &WriteOptions::default()).unwrap();
        let dry = call(&Host::at(dir.path()).checking(true), args.clone()).unwrap();
        assert_eq!(host.text(path).unwrap(), FILE, "the dry run changed something");
        let first = call(&host, args.clone()).unwrap();
        assert_eq!(dry.changed, first.changed, "{args}");
        assert!(!call(&host, args.clone()).unwrap().changed, "not settled: {args}");
        (first.changed, host.text(path).unwrap())
    }

    #[test]
    fn keeps_the_file() {
        let cases = [
            (json!({"name": "net.b", "value": "yes"}), "# head\nnet.a=1\n\nnet.b=1\n"),
            (json!({"key": "net.a", "val": 9}), "# head\nnet.a=9\n\nnet.b=2\n"),
            (json!({"name": "net.x", "value": " 1\t 2 "}), "# head\nnet.a=1\n\nnet.b=2\nnet.x=1\t 2\n"),
            (json!({"name": "net.b", "state": "absent"}), "# head\nnet.a=1\n\n"),
        ];
        for (args, text) in cases {
            assert_eq!(edited(&args), (true, text.to_owned()), "{args}");
        }
        for args in [json!({"name": "net.b", "value": "2"}), json!({"name": "net.z", "state": "absent"})] {
            assert_eq!(edited(&args), (false, FILE.to_owned()), "{args}");
        }
    }

    #[test]
    fn sees_the_running_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::at(dir.path()).checking(true);
        if host.find_program("sysctl").is_none() {
            return;
        }
        let now = std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap().trim().to_owned();
        let same = json!({"name": "kernel.pid_max", "value": now, "sysctl_set": true});
        assert!(call(&host, same).unwrap().changed, "the file does not hold it");
        let file = dir.path().join("f");
        let text = |value: &str| Content::from(format!("kernel.pid_max={value}\n").into_bytes());
        let loaded = |value: &str| {
            Host::new().write_file(&file, &text(value), &WriteOptions::default()).unwrap();
            let args = json!({"name": "kernel.pid_max", "value": value, "sysctl_file": "/f"});
            let module: Sysctl = args::parse(args.as_object().unwrap()).unwrap();
            module.run(&host).unwrap()
        };
        assert!(!loaded(&now).changed);
        let drifted = loaded("1");
        assert!(drifted.changed, "the file is right, but the kernel does not have it");
        assert_eq!(drifted.diffs[0].clone().into_value()["before"], format!("kernel.pid_max = {now}\n"));
        assert!(equal(&Sysctl::running(&parsed(), &host, "kernel.pid_max").unwrap(), &now));
        assert_eq!(Sysctl::running(&parsed(), &host, "no.such.thing").unwrap(), "");
    }

    fn parsed() -> Sysctl {
        args::parse(json!({"name": "a", "value": "b"}).as_object().unwrap()).unwrap()
    }

    #[test]
    fn refuses_what_cannot_be() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::at(dir.path());
        for args in [json!({"name": "", "value": "1"}), json!({"name": "a"}), json!({"name": "a", "value": " "})] {
            assert!(call(&host, args.clone()).is_err(), "{args}");
        }
    }
}
