//! `community.general.yarn`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::files::text;
use crate::args::{PackageState as State, PathArg};
use crate::host::{Command, Host};
use crate::module::{Failure, Module, Outcome};

/// Manages libraries of node.js with yarn, of its first series.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Yarn {
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
    /// Whether dependencies of development are left out.
    #[serde(default)]
    production: bool,
    /// The registry.
    #[serde(default)]
    registry: Option<String>,
    /// What should be there.
    #[serde(default)]
    state: State,
}

impl Module for Yarn {
    const NAME: &'static str = "community.general.yarn";

    fn check(&self) -> Result<(), String> {
        let said = |text: &str| Err(text.to_owned());
        match (&self.path, self.global) {
            (None, false) => return said("Path must be specified when not using global arg"),
            (Some(_), true) => return said("Cannot specify path if doing global installation"),
            _ => {}
        }
        match &self.name {
            None if self.state == State::Absent => said("Package must be explicitly named when uninstalling."),
            Some(name) if name.is_empty() || name.starts_with('-') => {
                Err(format!("'{name}' is not the name of a library"))
            }
            _ => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let base = self.base(host)?;
        let directory = match &self.path {
            Some(path) => host.path(path)?,
            None => {
                let said = host.query_ok(&base.clone().args(["global", "dir"]))?.stdout_text();
                PathBuf::from(said.trim())
            }
        };
        let package = host.exists(&directory.join("package.json"))?;
        if !package && self.path.is_some() && !host.check_mode() {
            let msg = format!("Package.json does not exist in provided path: {}", text(&directory));
            return Err(Failure::new(msg));
        }
        let Some(name) = &self.name else {
            let install: &[&str] = if self.global { &["global", "install"] } else { &["install"] };
            return self.change(host, &base, &directory, &[install, &["--non-interactive"]].concat());
        };
        let held = if package { self.installed(host, &base, &directory)? } else { Vec::new() };
        let version = held.iter().find(|(held, _)| held == name).map(|(_, version)| version);
        let settled = match self.state {
            State::Absent => version.is_none(),
            State::Present => version.is_some_and(|held| self.version.as_ref().is_none_or(|wanted| wanted == held)),
            State::Latest => version.is_some() && !self.outdated(host, &base, &directory)?.contains(name),
        };
        if settled {
            return Ok(Outcome::unchanged().with("out", "").with("err", ""));
        }
        if self.state == State::Latest && version.is_some() {
            let words: &[&str] = if self.global { &["global", "upgrade"] } else { &["upgrade"] };
            return self.change(host, &base, &directory, &[words, &[name, "--latest"]].concat());
        }
        let wanted = match (self.state, &self.version) {
            (State::Latest, _) => format!("{name}@latest"),
            (State::Present, Some(version)) => format!("{name}@{version}"),
            _ => name.clone(),
        };
        let verb = if self.state == State::Absent { "remove" } else { "add" };
        let words: &[&str] = if self.global { &["global", verb, &wanted] } else { &[verb, &wanted] };
        self.change(host, &base, &directory, words)
    }
}

impl Yarn {
    fn base(&self, host: &Host) -> Result<Command, Failure> {
        host.command_of(self.executable.as_ref(), "yarn")
    }

    /// The options that all commands have.
    fn with_options(&self, mut command: Command) -> Command {
        for (flag, wanted) in [("--production", self.production), ("--ignore-scripts", self.ignore_scripts)] {
            if wanted {
                command = command.arg(flag);
            }
        }
        match &self.registry {
            Some(registry) => command.arg("--registry").arg(registry),
            None => command,
        }
    }

    fn change(
        &self,
        host: &Host,
        base: &Command,
        directory: &std::path::Path,
        words: &[&str],
    ) -> Result<Outcome, Failure> {
        let command = self.with_options(base.clone().args(words));
        let command = if self.global { command } else { command.directory(directory) };
        let Some(done) = host.run(&command)? else {
            return Ok(Outcome::new(true).with("out", json!(null)).with("err", json!(null)));
        };
        if done.rc != 0 {
            let failure = Failure::new(done.complaint()).with("rc", done.rc).with("cmd", command.words().join(" "));
            return Err(failure.with("stdout", done.stdout_text()).with("stderr", done.stderr_text()));
        }
        Ok(Outcome::new(true).with("out", done.stdout_text()).with("err", done.stderr_text()))
    }

    /// Asks something; yarn answers with a line of JSON for each thing that it has to say.
    fn ask(
        &self,
        host: &Host,
        base: &Command,
        directory: &std::path::Path,
        words: &[&str],
    ) -> Result<Vec<Value>, Failure> {
        let command = self.with_options(base.clone().args(words)).directory(directory);
        let said = host.query(&command)?.stdout_text();
        Ok(said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// The libraries that are there, with their versions.
    fn installed(
        &self,
        host: &Host,
        base: &Command,
        directory: &std::path::Path,
    ) -> Result<Vec<(String, String)>, Failure> {
        let said = self.ask(host, base, directory, &["list", "--depth=0", "--json"])?;
        let trees =
            said.iter().filter(|line| line["type"] == "tree").filter_map(|line| line["data"]["trees"].as_array());
        let names = trees.flatten().filter_map(|tree| tree["name"].as_str()).filter_map(|name| name.rsplit_once('@'));
        Ok(names.map(|(name, version)| (name.to_owned(), version.to_owned())).collect())
    }

    /// The libraries of which there are newer versions.
    fn outdated(&self, host: &Host, base: &Command, directory: &std::path::Path) -> Result<Vec<String>, Failure> {
        let said = self.ask(host, base, directory, &["outdated", "--json"])?;
        let tables =
            said.iter().filter(|line| line["type"] == "table").filter_map(|line| line["data"]["body"].as_array());
        Ok(tables.flatten().filter_map(|row| row[0].as_str()).map(ToOwned::to_owned).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    const YARN: &str = "case $* in *bad*) echo no >&2; exit 1;; *dir*) echo $R/g;;\
        *list*) echo '{\"type\":\"tree\",\"data\":{\"trees\":[{\"name\":\"a@1.0.0\"},{\"name\":\"@s/c@2.0.0\"}]}}';;\
        *outdated*) echo '{\"type\":\"info\",\"data\":\"x\"}'; echo '{\"type\":\"table\",\"data\":{\"body\":[[\"a\",\"1.0.0\"]]}}'; exit 1;;\
        *) echo ok;; esac";

    /// A host with a project, under the path that programs see too.
    fn stage() -> (Stage, String) {
        let stage = Stage::new(&[]);
        stage.program("yarn", YARN);
        stage.file("/p/package.json", "{}");
        let path = stage.real("/p").display().to_string();
        stage.file(&format!("{path}/package.json"), "{}");
        let global = stage.real("/g").display().to_string();
        stage.file("/g/package.json", "{}");
        stage.file(&format!("{global}/package.json"), "{}");
        (stage, path)
    }

    #[test]
    fn libraries_are_installed_once() {
        for (args, made) in [
            (json!({}), Some("install] [--non-interactive]")),
            (json!({"name": "a"}), None),
            (json!({"name": "@s/c"}), None),
            (json!({"name": "a", "version": "1.0.0"}), None),
            (json!({"name": "a", "version": "1.2.0"}), Some("add] [a@1.2.0]")),
            (json!({"name": "n"}), Some("add] [n]")),
            (json!({"name": "a", "state": "latest"}), Some("upgrade] [a] [--latest]")),
            (json!({"name": "n", "state": "latest"}), Some("add] [n@latest]")),
            (json!({"name": "@s/c", "state": "latest"}), None),
            (json!({"name": "a", "state": "absent"}), Some("remove] [a]")),
            (json!({"name": "n", "state": "absent"}), None),
            (json!({"name": "n", "global": true}), Some("global] [add] [n]")),
            (json!({"name": "a", "global": true}), None),
            (
                json!({"name": "n", "production": true, "ignore_scripts": true, "registry": "r"}),
                Some("add] [n] [--production] [--ignore-scripts] [--registry] [r]"),
            ),
        ] {
            let (stage, path) = stage();
            let mut args = args;
            if args.get("global").is_none() {
                args["path"] = json!(path);
            }
            let asked = |call: &String| ["[list]", "[outdated]", "[dir]"].iter().any(|word| call.contains(word));
            assert_eq!(stage.check::<Yarn>(args.clone()).unwrap().changed, made.is_some(), "{args}");
            assert!(stage.calls().iter().all(asked));
            assert_eq!(stage.call::<Yarn>(args).unwrap().changed, made.is_some());
            let mut calls = stage.calls();
            calls.retain(|call| !asked(call));
            assert_eq!(calls, made.iter().map(|made| format!("yarn [{made}")).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_cannot_be_is_told() {
        let (stage, path) = stage();
        for (args, word) in [
            (json!({"name": "a"}), "Path must be specified"),
            (json!({"name": "a", "global": true, "path": path}), "Cannot specify path"),
            (json!({"state": "absent", "path": path}), "explicitly named"),
            (json!({"name": "-x", "path": path}), "not the name"),
            (json!({"name": "a", "path": "/none"}), "Package.json does not exist"),
            (json!({"name": "bad", "path": path}), "no"),
        ] {
            assert!(stage.call::<Yarn>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
