//! `community.general.modprobe`: modules of the kernel.

use std::path::{Path, PathBuf};

use rplay_protocol::Object;
use schemars::JsonSchema;
use serde::Deserialize;

use super::files::{self, text};
use crate::args::Presence as State;
use crate::host::{Command, Content, Diff, Host, Output, WriteOptions};
use crate::module::{Context, Failure, Module, Outcome};

/// Loads and unloads modules of the kernel, now and at boot.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Modprobe {
    /// The module.
    name: String,
    /// Its parameters.
    #[serde(default)]
    params: String,
    /// Whether it should be loaded.
    #[serde(default)]
    state: State,
    /// Whether it is loaded at boot; by default that is left alone.
    #[serde(default)]
    persistent: Persistent,
}

/// Whether a module is loaded at boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Persistent {
    #[default]
    Disabled,
    Absent,
    Present,
}

const LOAD: &str = "/etc/modules-load.d";
const OPTIONS: &str = "/etc/modprobe.d";

impl Module for Modprobe {
    const NAME: &'static str = "community.general.modprobe";

    fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if self.name.is_empty() || self.name.starts_with(['-', '.']) || !self.name.chars().all(plain) {
            return Err(format!("'{}' is not the name of a kernel module", self.name));
        }
        if self.params.contains('\n') || self.params.trim_start().starts_with('-') {
            return Err("params must be one line of parameters".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::unchanged();
        self.settle(host, &mut outcome).map_err(|failure| Failure {
            fields: self.fields().into_iter().chain(failure.fields).collect(),
            msg: failure.msg,
        })?;
        outcome.fields.extend(self.fields());
        Ok(outcome)
    }
}

impl Modprobe {
    fn fields(&self) -> Object {
        let state = if self.state == State::Present { "present" } else { "absent" };
        let fields = [("name", self.name.as_str()), ("params", self.params.as_str()), ("state", state)];
        fields.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect()
    }

    fn settle(&self, host: &Host, outcome: &mut Outcome) -> Result<(), Failure> {
        match self.state {
            State::Present if !self.is_loaded(host)? => self.load(host)?,
            State::Absent if listed(&host.text("/proc/modules").unwrap_or_default(), &self.name) => {
                let output = host.run(&Command::new(host.require_program("modprobe")?).args(["-r", &self.name]))?;
                output.map(told).transpose()?;
            }
            _ => return self.settle_boot(host, outcome),
        }
        outcome.changed = true;
        self.settle_boot(host, outcome)
    }

    fn load(&self, host: &Host) -> Result<(), Failure> {
        let load = Command::new(host.require_program("modprobe")?);
        // A dry run asks whether there is such a module.
        let load = if host.check_mode() { load.arg("-n") } else { load };
        let load = load.arg(&self.name).args(self.params.split_whitespace());
        let output = if host.check_mode() { Some(host.query(&load)?) } else { host.run(&load)? };
        output.map(told).transpose()?;
        Ok(())
    }

    /// Whether the kernel has it, loaded or built in.
    fn is_loaded(&self, host: &Host) -> Result<bool, Failure> {
        if listed(&host.text("/proc/modules").unwrap_or_default(), &self.name) {
            return Ok(true);
        }
        let release = host.text("/proc/sys/kernel/osrelease").unwrap_or_default();
        let builtin = Path::new("/lib/modules").join(release.trim()).join("modules.builtin");
        let file = format!("{}.ko", normal(&self.name));
        let text = host.text(builtin).unwrap_or_default();
        Ok(text.lines().any(|line| normal(line.rsplit('/').next().unwrap_or_default()) == file))
    }

    fn settle_boot(&self, host: &Host, outcome: &mut Outcome) -> Result<(), Failure> {
        let is_load = |line: &str| line.trim() == self.name;
        let is_option = |line: &str| {
            let mut words = line.split_whitespace();
            words.next() == Some("options") && words.next() == Some(self.name.as_str())
        };
        match self.persistent {
            Persistent::Disabled => Ok(()),
            Persistent::Absent => {
                self.comment_out(host, LOAD, &is_load, outcome)?;
                self.comment_out(host, OPTIONS, &is_option, outcome)
            }
            Persistent::Present => {
                if !self.is_in(host, LOAD, &is_load)? {
                    self.write(host, LOAD, format!("{}\n", self.name), outcome)?;
                }
                let words: Vec<&str> = self.params.split_whitespace().collect();
                let held = |line: &str| is_option(line) && line.split_whitespace().skip(2).eq(words.iter().copied());
                if words.is_empty() || self.is_in(host, OPTIONS, &held)? {
                    return Ok(());
                }
                self.comment_out(host, OPTIONS, &is_option, outcome)?;
                self.write(host, OPTIONS, format!("options {} {}\n", self.name, words.join(" ")), outcome)
            }
        }
    }

    fn is_in(&self, host: &Host, directory: &str, is_it: &dyn Fn(&str) -> bool) -> Result<bool, Failure> {
        let files = configuration(host, directory)?;
        Ok(files.iter().any(|file| host.text(file).unwrap_or_default().lines().any(is_it)))
    }

    fn comment_out(
        &self,
        host: &Host,
        directory: &str,
        is_it: &dyn Fn(&str) -> bool,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        for file in configuration(host, directory)? {
            let old = String::from_utf8(host.read(&file)?).context(|| format!("cannot edit {}", file.display()))?;
            let line = |line: &str| if is_it(line) { format!("#{line}") } else { line.to_owned() };
            let new: String = old.split_inclusive('\n').map(line).collect();
            if new != old {
                files::write_through(host, &file, new.as_bytes(), &WriteOptions::default())?;
                outcome.changed = true;
                outcome.diffs.push(Diff::text(old, new).headers(text(&file), text(&file)));
            }
        }
        Ok(())
    }

    fn write(&self, host: &Host, directory: &str, line: String, outcome: &mut Outcome) -> Result<(), Failure> {
        files::make_directories(host, Path::new(directory), None)?;
        let path = Path::new(directory).join(format!("{}.conf", self.name));
        let written = host.write_file(&path, &Content::from(line.into_bytes()), &WriteOptions::default())?;
        outcome.changed |= written.changed;
        outcome.diffs.extend(written.diff);
        Ok(())
    }
}

/// The files of a directory of configuration.
fn configuration(host: &Host, directory: &str) -> Result<Vec<PathBuf>, Failure> {
    let directory = Path::new(directory);
    if !host.exists(directory)? {
        return Ok(Vec::new());
    }
    let mut files: Vec<PathBuf> = host.list(directory)?.into_iter().map(|name| directory.join(name)).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "conf"));
    files.sort();
    Ok(files)
}

/// A module's name as the kernel writes it.
fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// Whether `/proc/modules` has the module.
fn listed(modules: &str, name: &str) -> bool {
    modules.lines().any(|line| line.split(' ').next() == Some(normal(name).as_str()))
}

/// A status other than 0 is a failure in the command's words.
fn told(output: Output) -> Result<(), Failure> {
    if output.rc == 0 {
        return Ok(());
    }
    let failure = Failure::new(output.stderr_text()).with("rc", output.rc);
    Err(failure.with("stdout", output.stdout_text()).with("stderr", output.stderr_text()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::stage::Stage;
    use super::*;

    fn stage() -> Stage {
        let stage = Stage::new(&[
            ("/proc/modules", "ext4 1 0 - Live 0x0\n8021q 1 0 - Live 0x0\n"),
            ("/proc/sys/kernel/osrelease", "6.1\n"),
            ("/lib/modules/6.1/modules.builtin", "kernel/fs/a-b.ko\n"),
            ("/etc/modprobe.d/x.conf", "options dummy numdummies=1\noptions other dummy\n"),
        ]);
        stage.program("modprobe", "case $* in *nosuch*) echo FATAL >&2; exit 1;; esac");
        stage
    }

    #[test]
    fn modules_are_loaded_once() {
        for (args, dry, call) in [
            (json!({"name": "ext4"}), None, None),
            (json!({"name": "a_b"}), None, None),
            (json!({"name": "dummy", "params": "n=2 m"}), Some("[-n] [dummy] [n=2] [m]"), Some("[dummy] [n=2] [m]")),
            (json!({"name": "dummy", "state": "absent"}), None, None),
            (json!({"name": "8021q", "state": "absent"}), None, Some("[-r] [8021q]")),
        ] {
            let stage = stage();
            let called =
                |call: Option<&str>| call.map(|call| format!("modprobe {call}")).into_iter().collect::<Vec<_>>();
            assert_eq!(stage.check::<Modprobe>(args.clone()).unwrap().changed, call.is_some(), "{args}");
            assert_eq!(stage.calls(), called(dry));
            let made = stage.call::<Modprobe>(args.clone()).unwrap();
            assert_eq!((made.changed, &made.fields["name"]), (call.is_some(), &args["name"]));
            assert_eq!(stage.calls(), called(call));
        }
    }

    #[test]
    fn boot_is_settled_once() {
        let stage = stage();
        let args = json!({"name": "ext4", "persistent": "present"});
        assert!(stage.check::<Modprobe>(args.clone()).unwrap().changed);
        assert!(!stage.exists("/etc/modules-load.d"));
        assert!(stage.call::<Modprobe>(args.clone()).unwrap().changed);
        assert_eq!(stage.text("/etc/modules-load.d/ext4.conf"), "ext4\n");
        assert!(!stage.call::<Modprobe>(args).unwrap().changed);
        stage.file("/proc/modules", "dummy 1\n");
        let args = json!({"name": "dummy", "persistent": "present", "params": "numdummies=2"});
        assert!(stage.call::<Modprobe>(args.clone()).unwrap().changed);
        assert_eq!(stage.text("/etc/modprobe.d/x.conf"), "#options dummy numdummies=1\noptions other dummy\n");
        assert_eq!(stage.text("/etc/modprobe.d/dummy.conf"), "options dummy numdummies=2\n");
        assert!(!stage.call::<Modprobe>(args).unwrap().changed);
        let args = json!({"name": "dummy", "persistent": "absent"});
        assert!(stage.call::<Modprobe>(args.clone()).unwrap().changed);
        assert_eq!(stage.text("/etc/modules-load.d/dummy.conf"), "#dummy\n");
        assert_eq!(stage.text("/etc/modprobe.d/dummy.conf"), "#options dummy numdummies=2\n");
        assert!(!stage.call::<Modprobe>(args).unwrap().changed);
    }

    #[test]
    fn what_cannot_be_loaded_is_told() {
        let stage = stage();
        let failure = stage.check::<Modprobe>(json!({"name": "nosuch"})).unwrap_err();
        assert_eq!((failure.msg.as_str(), &failure.fields["params"]), ("FATAL\n", &json!("")));
        for args in [json!({"name": "-r"}), json!({"name": "a/b"}), json!({"name": "a", "params": "-r b"})] {
            assert!(stage.call::<Modprobe>(args).is_err());
        }
    }
}
