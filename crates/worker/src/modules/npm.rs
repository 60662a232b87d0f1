//! `community.general.npm`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::files::{self, text};
use crate::args::{PackageState as State, PathArg};
use crate::host::{Command, Host, Output};
use crate::module::{Failure, Module, Outcome};

/// Manages libraries of node.js with npm.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Npm {
    /// The library; without one, those that `package.json` asks for.
    #[serde(default)]
    name: Option<String>,
    /// The directory that they are installed in.
    #[serde(default)]
    path: Option<PathArg>,
    /// The version.
    #[serde(default)]
    version: Option<String>,
    /// Whether it is installed for the whole host.
    #[serde(default)]
    global: bool,
    /// The program, which may have arguments.
    #[serde(default)]
    executable: Option<PathArg>,
    /// Whether scripts of packages are left alone.
    #[serde(default)]
    ignore_scripts: bool,
    /// Whether npm may overrule itself.
    #[serde(default)]
    unsafe_perm: bool,
    /// Whether `npm ci` is run, which installs what the lock file has.
    #[serde(default)]
    ci: bool,
    /// Whether dependencies of development are left out.
    #[serde(default)]
    production: bool,
    /// The registry.
    #[serde(default)]
    registry: Option<String>,
    /// What should be there.
    #[serde(default)]
    state: State,
    /// Whether optional dependencies are left out.
    #[serde(default)]
    no_optional: bool,
    /// Whether no links to programs are made.
    #[serde(default)]
    no_bin_links: bool,
    /// Whether `--force` is given.
    #[serde(default)]
    force: bool,
}

/// What npm tells of libraries: those that are there, and those that should be.
#[derive(Debug, Default)]
struct Listed {
    installed: Vec<String>,
    missing: Vec<String>,
}

impl Module for Npm {
    const NAME: &'static str = "community.general.npm";

    fn check(&self) -> Result<(), String> {
        let said = |text: &str| Err(text.to_owned());
        match &self.name {
            None if self.state == State::Absent => {
                return said("state is absent but all of the following are missing: name");
            }
            None if self.version.is_some() => return said("version needs a name"),
            Some(name) if name.is_empty() || name.starts_with('-') => {
                return Err(format!("'{name}' is not the name of a library"));
            }
            _ => {}
        }
        if self.path.is_none() && !self.global {
            return said("path must be specified when not using global");
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let directory = self.directory(host)?;
        let call = |command: &str, named: bool| self.command(host, command, named, directory.as_ref());
        if self.ci {
            must(host, &call("ci", true)?)?;
            return Ok(Outcome::new(true));
        }
        let listed = self.listed(host, directory.as_ref())?;
        if self.state == State::Absent {
            let there = self.name.as_ref().is_some_and(|name| listed.installed.contains(name));
            if there {
                must(host, &call("uninstall", true)?)?;
            }
            return Ok(Outcome::new(there));
        }
        let missing = !listed.missing.is_empty();
        let outdated = self.state == State::Latest && {
            let asked = call("outdated", true)?;
            !self.can_ask(host, directory.as_ref())? || !host.query(&asked)?.stdout_text().trim().is_empty()
        };
        if missing {
            must(host, &call("install", true)?)?;
        }
        if outdated {
            must(host, &call("update", true)?)?;
        }
        Ok(Outcome::new(missing || outdated))
    }
}

/// Runs a command that changes something, and that must succeed.
fn must(host: &Host, command: &Command) -> Result<Option<Output>, Failure> {
    let output = host.run(command)?;
    match &output {
        Some(said) if said.rc != 0 => {
            let failure = Failure::new(said.complaint()).with("rc", said.rc).with("cmd", command.words().join(" "));
            Err(failure.with("stdout", said.stdout_text()).with("stderr", said.stderr_text()))
        }
        _ => Ok(output),
    }
}

impl Npm {
    /// The directory to run in, made where it is not there.
    fn directory(&self, host: &Host) -> Result<Option<PathBuf>, Failure> {
        let Some(path) = &self.path else { return Ok(None) };
        let path = host.path(path)?;
        match host.stat(&path)? {
            Some(meta) if !meta.is_dir() => Err(Failure::new(format!("path {} is not a directory", text(&path)))),
            Some(_) => Ok(Some(path)),
            None => {
                files::make_directories(host, &path, None)?;
                Ok(Some(path))
            }
        }
    }

    /// Whether npm can be run there: in check mode the directory, or npm, may be what an earlier task would make.
    fn can_ask(&self, host: &Host, directory: Option<&PathBuf>) -> Result<bool, Failure> {
        directory.map_or(Ok(true), |directory| host.exists(directory))
    }

    fn command(
        &self,
        host: &Host,
        command: &str,
        named: bool,
        directory: Option<&PathBuf>,
    ) -> Result<Command, Failure> {
        let mut out = host.command_of(self.executable.as_ref(), "npm")?.arg(command);
        if command == "list" {
            out = out.args(["--json", "--long"]);
        }
        for (flag, wanted) in [
            ("--global", self.global),
            ("--production", self.production && matches!(command, "install" | "update" | "outdated" | "ci")),
            ("--ignore-scripts", self.ignore_scripts),
            ("--unsafe-perm", self.unsafe_perm),
        ] {
            if wanted {
                out = out.arg(flag);
            }
        }
        if let Some(name) = self.name.as_ref().filter(|_| named) {
            let version = self.version.as_ref().filter(|_| command != "uninstall");
            out = out.arg(version.map_or_else(|| name.clone(), |version| format!("{name}@{version}")));
        }
        if let Some(registry) = &self.registry {
            out = out.arg("--registry").arg(registry);
        }
        for (flag, wanted) in
            [("--no-optional", self.no_optional), ("--no-bin-links", self.no_bin_links), ("--force", self.force)]
        {
            if wanted {
                out = out.arg(flag);
            }
        }
        Ok(directory.map_or(out.clone(), |directory| out.directory(directory)))
    }

    /// What is there, and what should be.
    fn listed(&self, host: &Host, directory: Option<&PathBuf>) -> Result<Listed, Failure> {
        let mut listed = Listed::default();
        if self.can_ask(host, directory)? {
            // It ends with 1 where something is missing, and tells all the same.
            let output = host.query(&self.command(host, "list", false, directory)?)?;
            let said = output.stdout_text();
            let data: Value = match said.trim() {
                "" => Value::Null,
                text => serde_json::from_str(text).map_err(|e| {
                    Failure::new(format!("Failed to parse NPM output with error {e}")).with("stdout", said.clone())
                })?,
            };
            if output.rc != 0 && data.get("error").is_some() && self.name.is_none() {
                // What it cannot list, such as a broken package.json, it is to complain of itself.
                listed.missing.push(String::new());
            }
            for (name, entry) in data["dependencies"].as_object().into_iter().flatten() {
                let says = |key: &str| !matches!(entry.get(key), None | Some(Value::Bool(false) | Value::Null));
                if says("missing") || says("invalid") {
                    listed.missing.push(name.clone());
                } else {
                    listed.installed.push(name.clone());
                    if let (true, Some(version)) = (self.version.is_some(), entry["version"].as_str()) {
                        listed.installed.push(format!("{name}@{version}"));
                    }
                }
            }
        }
        if let Some(name) = &self.name {
            let wanted = self.version.as_ref().map_or_else(|| name.clone(), |version| format!("{name}@{version}"));
            if !listed.installed.contains(&wanted) {
                listed.missing.push(name.clone());
            }
        }
        Ok(listed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::stage::Stage;
    use super::*;

    const LIST: &str = r#"{"dependencies": {"a": {"version": "1.0.0"}, "b": {"version": "2.0.0"}}}"#;

    /// The words of the calls that change something, first predicted.
    fn calls(list: &str, args: Value) -> Vec<String> {
        let stage = Stage::new(&[("/list", list)]);
        let lines = "case $1 in list) cat $R/list; exit 1;; outdated) [ -n \"$OUT\" ] || case $* in *' b'*) ;; *) echo x;; esac;; esac";
        stage.program("npm", lines);
        let dry = stage.check::<Npm>(args.clone()).unwrap();
        let asked = |call: &String| call.starts_with("npm [list]") || call.starts_with("npm [outdated]");
        assert!(stage.calls().iter().all(asked));
        assert_eq!(stage.call::<Npm>(args).unwrap().changed, dry.changed);
        let calls: Vec<String> = stage.calls().into_iter().filter(|call| !asked(call)).collect();
        assert_eq!(dry.changed, !calls.is_empty());
        calls
    }

    #[test]
    fn libraries_are_installed_once() {
        for (args, made) in [
            (json!({"name": "a"}), vec![]),
            (json!({"name": "c"}), vec!["npm [install] [--global] [c]"]),
            (json!({"name": "a", "version": "1.0.0"}), vec![]),
            (json!({"name": "a", "version": "1.1.0"}), vec!["npm [install] [--global] [a@1.1.0]"]),
            (json!({"name": "a", "state": "absent"}), vec!["npm [uninstall] [--global] [a]"]),
            (json!({"name": "c", "state": "absent"}), vec![]),
            (json!({"name": "b", "state": "latest"}), vec![]),
            (json!({"name": "a", "state": "latest"}), vec!["npm [update] [--global] [a]"]),
            (
                json!({"name": "c", "state": "latest"}),
                vec!["npm [install] [--global] [c]", "npm [update] [--global] [c]"],
            ),
            (json!({"ci": true}), vec!["npm [ci] [--global]"]),
            (json!({}), vec![]),
            (
                json!({"name": "c", "production": true, "ignore_scripts": true, "unsafe_perm": true, "registry": "r",
                    "no_optional": true, "no_bin_links": true, "force": true}),
                vec![
                    "npm [install] [--global] [--production] [--ignore-scripts] [--unsafe-perm] [c] [--registry] [r] \
                     [--no-optional] [--no-bin-links] [--force]",
                ],
            ),
        ] {
            let mut all = json!({"global": true});
            all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
            assert_eq!(calls(LIST, all), made, "{args}");
        }
        let missing = r#"{"dependencies": {"a": {"required": "1", "missing": true}}}"#;
        assert_eq!(calls(missing, json!({"global": true})), ["npm [install] [--global]"]);
        assert!(calls("", json!({"global": true})).is_empty());
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (args, word) in [
            (json!({"name": "a"}), "path must be specified"),
            (json!({"state": "absent", "global": true}), "missing: name"),
            (json!({"name": "--x", "global": true}), "not the name"),
            (json!({"version": "1", "global": true}), "needs a name"),
            (json!({"name": "a", "path": "/list"}), "is not a directory"),
            (json!({"name": "a", "global": true}), "Failed to parse"),
            (json!({"ci": true, "global": true}), "oh no"),
        ] {
            let stage = Stage::new(&[("/list", LIST)]);
            stage.program("npm", "case $1 in list) echo nonsense;; *) echo oh no >&2; exit 1;; esac");
            assert!(stage.call::<Npm>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
