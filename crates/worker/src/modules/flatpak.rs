//! `community.general.flatpak` and `community.general.flatpak_remote`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::args::{PackageState as State, Presence, yes};
use crate::host::{Command, Host, Output};
use crate::module::{Failure, Module, Outcome};

/// Manages applications and runtimes of flatpak.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Flatpak {
    /// Their names, or where files that describe them are.
    name: Vec<String>,
    /// What should be there.
    #[serde(default)]
    state: State,
    /// The remote they come from.
    #[serde(default = "flathub")]
    remote: String,
    /// Whether they are for the whole host or for the user.
    #[serde(default)]
    method: Method,
    /// The program.
    #[serde(default = "flatpak")]
    executable: String,
    /// Whether runtimes that they need are left out.
    #[serde(default)]
    no_dependencies: bool,
}

/// Manages remotes of flatpak.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct FlatpakRemote {
    /// The remote.
    name: String,
    /// Whether it should be there.
    #[serde(default)]
    state: Presence,
    /// Where its description is.
    #[serde(default)]
    flatpakrepo_url: Option<String>,
    /// Whether it is for the whole host or for the user.
    #[serde(default)]
    method: Method,
    /// The program.
    #[serde(default = "flatpak")]
    executable: String,
    /// Whether it is used.
    #[serde(default = "yes")]
    enabled: bool,
}

fn flathub() -> String {
    "flathub".to_owned()
}

fn flatpak() -> String {
    "flatpak".to_owned()
}

/// For whom something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Method {
    #[default]
    System,
    User,
}

impl Method {
    fn flag(self) -> &'static str {
        match self {
            Self::System => "--system",
            Self::User => "--user",
        }
    }
}

/// The commands of a module and the last thing that was said.
struct Talk<'a> {
    host: &'a Host,
    program: PathBuf,
    command: String,
    said: Output,
    changed: bool,
}

impl<'a> Talk<'a> {
    fn new(host: &'a Host, executable: &str) -> Result<Self, Failure> {
        let missing = || Failure::new(format!("Executable '{executable}' was not found on the system."));
        let program = host.find_program(executable).ok_or_else(missing)?;
        Ok(Self { host, program, command: String::new(), said: Output::default(), changed: false })
    }

    fn ask(&mut self, words: &[&str]) -> Result<String, Failure> {
        let command = Command::new(&self.program).args(words).c_locale();
        self.said = self.host.query(&command)?;
        self.judged(&command)?;
        Ok(self.said.stdout_text())
    }

    fn change(&mut self, words: &[&str]) -> Result<(), Failure> {
        let command = Command::new(&self.program).args(words).c_locale();
        self.changed = true;
        self.said = self.host.run(&command)?.unwrap_or_default();
        self.judged(&command)
    }

    fn judged(&mut self, command: &Command) -> Result<(), Failure> {
        self.command = command.words().join(" ");
        if self.said.rc == 0 {
            return Ok(());
        }
        let failure = Failure::new(self.said.complaint()).with("rc", self.said.rc).with("cmd", self.command.clone());
        Err(failure.with("stdout", self.said.stdout_text()).with("stderr", self.said.stderr_text()))
    }

    fn outcome(self) -> Outcome {
        let outcome = Outcome::new(self.changed).with("command", self.command).with("rc", self.said.rc);
        outcome.with("stdout", self.said.stdout_text()).with("stderr", self.said.stderr_text())
    }
}

/// Whether a name is a place in the web.
fn is_url(name: &str) -> bool {
    name.starts_with("http://") || name.starts_with("https://")
}

/// The application that a name means: without architecture and branch, or what the file is called.
fn application(name: &str) -> &str {
    if is_url(name) {
        let file = name.rsplit('/').next().unwrap_or(name);
        return file.strip_suffix(".flatpakref").unwrap_or(file);
    }
    name.split('/').next().unwrap_or(name)
}

impl Module for Flatpak {
    const NAME: &'static str = "community.general.flatpak";

    fn check(&self) -> Result<(), String> {
        match self.name.iter().chain([&self.remote]).find(|name| name.is_empty() || name.starts_with('-')) {
            Some(name) => Err(format!("'{name}' is not the name of an application or a remote")),
            None => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let mut talk = Talk::new(host, &self.executable)?;
        let flag = self.method.flag();
        let listed = talk.ask(&["list", flag, "--columns=application"])?;
        let held: Vec<&str> = listed.lines().map(str::trim).collect();
        let installed = |name: &str| held.iter().find(|held| held.eq_ignore_ascii_case(application(name))).copied();
        let there: Vec<&str> = self.name.iter().filter_map(|name| installed(name)).collect();
        let missing: Vec<&str> =
            self.name.iter().map(String::as_str).filter(|name| installed(name).is_none()).collect();
        if self.state == State::Absent {
            if !there.is_empty() {
                talk.change(&[&["uninstall", "--noninteractive", flag], &there[..]].concat())?;
            }
            return Ok(talk.outcome());
        }
        if self.state == State::Latest && !there.is_empty() {
            talk.change(&[&["update", flag, "--noninteractive"], &there[..]].concat())?;
            talk.changed = !talk.said.stdout_text().contains("Nothing to do.");
        }
        let (urls, names): (Vec<&str>, Vec<&str>) = missing.into_iter().partition(|name| is_url(name));
        let mut install = vec!["install", flag, "--noninteractive"];
        if self.no_dependencies {
            install.push("--no-deps");
        }
        for url in urls {
            talk.change(&[&install[..], &[url]].concat())?;
        }
        if !names.is_empty() {
            talk.change(&[&install[..], &[&self.remote], &names].concat())?;
        }
        Ok(talk.outcome())
    }
}

impl Module for FlatpakRemote {
    const NAME: &'static str = "community.general.flatpak_remote";

    fn check(&self) -> Result<(), String> {
        let url = self.flatpakrepo_url.as_deref().unwrap_or_default();
        if self.name.is_empty() || self.name.starts_with('-') || url.starts_with('-') {
            return Err("name and flatpakrepo_url must not begin with a dash".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let mut talk = Talk::new(host, &self.executable)?;
        let flag = self.method.flag();
        let listed = talk.ask(&["remote-list", "--show-disabled", flag])?;
        let own = |line: &&str| line.split_whitespace().next() == Some(&self.name);
        let held = listed.lines().find(own);
        if self.state == Presence::Absent {
            if held.is_some() {
                talk.change(&["remote-delete", flag, "--force", &self.name])?;
            }
            return Ok(talk.outcome());
        }
        if held.is_none() {
            let missing = "state is present but all of the following are missing: flatpakrepo_url";
            let url = self.flatpakrepo_url.as_deref().filter(|url| !url.is_empty());
            talk.change(&["remote-add", flag, &self.name, url.ok_or_else(|| Failure::new(missing))?])?;
        }
        // A new one is used.
        let enabled = !held.is_some_and(|line| line.split([',', '\t', ' ']).any(|word| word == "disabled"));
        if enabled != self.enabled {
            let change = if self.enabled { "--enable" } else { "--disable" };
            talk.change(&["remote-modify", change, flag, &self.name])?;
        }
        Ok(talk.outcome())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::super::stage::Stage;
    use super::*;

    const PROGRAM: &str = "case $* in *bad*) echo no >&2; exit 1;; list*) cat $R/list;; remote-list*) cat $R/remotes;;\
        update*org.one*) echo Nothing to do.;; esac";

    /// The calls that change something, first predicted.
    fn calls<M: Module>(args: &Value, changed: bool) -> Vec<String> {
        let stage = Stage::new(&[("/list", "org.one\ncom.Two\n"), ("/remotes", "hub\tsystem\noff\tsystem,disabled\n")]);
        stage.program("flatpak", PROGRAM);
        let asked = |call: &String| call.contains("list]");
        assert!(stage.check::<M>(args.clone()).is_ok() && stage.calls().iter().all(asked));
        assert_eq!(stage.call::<M>(args.clone()).unwrap().changed, changed, "{args}");
        let mut calls = stage.calls();
        calls.retain(|call| !asked(call));
        calls
    }

    #[test]
    fn applications_are_installed_once() {
        let install = "flatpak [install] [--system] [--noninteractive]";
        let url = "https://x/org.new.flatpakref";
        for (args, made) in [
            (json!({"name": "org.one"}), vec![]),
            (json!({"name": "org.one/x86_64/stable"}), vec![]),
            (json!({"name": "https://x/com.two.flatpakref"}), vec![]),
            (json!({"name": "org.one,org.new,org.x"}), vec![format!("{install} [flathub] [org.new] [org.x]")]),
            (json!({"name": [url]}), vec![format!("{install} [{url}]")]),
            (
                json!({"name": "a", "method": "user", "remote": "r", "no_dependencies": true}),
                vec!["flatpak [install] [--user] [--noninteractive] [--no-deps] [r] [a]".to_owned()],
            ),
            (
                json!({"name": "com.two,zz", "state": "absent"}),
                vec!["flatpak [uninstall] [--noninteractive] [--system] [com.Two]".to_owned()],
            ),
            (json!({"name": "zz", "state": "absent"}), vec![]),
            (
                json!({"name": "com.Two", "state": "latest"}),
                vec!["flatpak [update] [--system] [--noninteractive] [com.Two]".to_owned()],
            ),
        ] {
            assert_eq!(calls::<Flatpak>(&args, !made.is_empty()), made, "{args}");
        }
        let latest = calls::<Flatpak>(&json!({"name": "org.one", "state": "latest"}), false);
        assert_eq!(latest, ["flatpak [update] [--system] [--noninteractive] [org.one]"]);
    }

    #[test]
    fn remotes_are_added_once() {
        for (args, made) in [
            (json!({"name": "hub", "flatpakrepo_url": "u"}), vec![]),
            (json!({"name": "new", "flatpakrepo_url": "u"}), vec!["remote-add] [--system] [new] [u]"]),
            (
                json!({"name": "new", "flatpakrepo_url": "u", "enabled": false, "method": "user"}),
                vec!["remote-add] [--user] [new] [u]", "remote-modify] [--disable] [--user] [new]"],
            ),
            (
                json!({"name": "hub", "flatpakrepo_url": "u", "enabled": false}),
                vec!["remote-modify] [--disable] [--system] [hub]"],
            ),
            (json!({"name": "hub"}), vec![]),
            (json!({"name": "hub", "enabled": false}), vec!["remote-modify] [--disable] [--system] [hub]"]),
            (json!({"name": "off", "flatpakrepo_url": "u"}), vec!["remote-modify] [--enable] [--system] [off]"]),
            (json!({"name": "off", "flatpakrepo_url": "u", "enabled": false}), vec![]),
            (json!({"name": "hub", "state": "absent"}), vec!["remote-delete] [--system] [--force] [hub]"]),
            (json!({"name": "zz", "state": "absent"}), vec![]),
        ] {
            let made: Vec<String> = made.iter().map(|words| format!("flatpak [{words}")).collect();
            assert_eq!(calls::<FlatpakRemote>(&args, !made.is_empty()), made, "{args}");
        }
    }

    #[test]
    fn what_cannot_be_is_told() {
        let stage = Stage::new(&[("/list", ""), ("/remotes", "")]);
        stage.program("flatpak", PROGRAM);
        for (args, word) in [
            (json!({"name": "-x"}), "not the name"),
            (json!({"name": "bad"}), "no"),
            (json!({"name": "a", "executable": "none"}), "Executable 'none' was not found"),
        ] {
            assert!(stage.call::<Flatpak>(args).unwrap_err().msg.contains(word), "{word}");
        }
        let failure = stage.call::<FlatpakRemote>(json!({"name": "a"})).unwrap_err();
        assert!(failure.msg.contains("missing: flatpakrepo_url"));
    }
}
