//! `community.general.apk`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::package;
use crate::args::{InstallState as State, python_repr};
use crate::host::{Command, Host, Output};
use crate::module::{Failure, Module, Outcome};

/// Manages packages of Alpine Linux.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Apk {
    /// The packages.
    #[serde(default)]
    name: Option<Vec<String>>,
    /// What should be so.
    #[serde(default)]
    state: State,
    /// Whether packages that no repository has any more are replaced by what there is.
    #[serde(default)]
    available: bool,
    /// Whether no cache is used.
    #[serde(default)]
    no_cache: bool,
    /// Repositories that are used instead of the host's.
    #[serde(default)]
    repository: Vec<String>,
    /// Whether the lists of packages are fetched first.
    #[serde(default)]
    update_cache: bool,
    /// Whether everything is upgraded.
    #[serde(default)]
    upgrade: bool,
    /// The file that names what was asked for.
    #[serde(default = "world")]
    world: PathBuf,
}

fn world() -> PathBuf {
    PathBuf::from("/etc/apk/world")
}

impl Module for Apk {
    const NAME: &'static str = "community.general.apk";

    fn check(&self) -> Result<(), String> {
        if self.name.is_none() && !self.update_cache && !self.upgrade {
            return Err("one of the following is required: name, update_cache, upgrade".into());
        }
        if self.upgrade && self.name.is_some() {
            return Err("parameters are mutually exclusive: name|upgrade".into());
        }
        if self.names().iter().any(|name| name.trim().is_empty()) {
            return Err("Package name(s) cannot be empty or whitespace-only".into());
        }
        if self.repository.iter().any(|repository| repository.starts_with('-')) {
            return Err("repository must be addresses, not options".into());
        }
        package::names(self.names()).map(drop)
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let names = package::names(self.names()).map_err(Failure::new)?;
        let lists_alone = self.name.is_none() && !self.upgrade;
        if self.update_cache && !host.check_mode() {
            let output = host.run(&self.apk(host)?.arg("update"))?.unwrap_or_default();
            if output.rc != 0 {
                return Err(told(Failure::new("could not update package db"), &output));
            }
            if lists_alone {
                let outcome = Outcome::new(true).with("msg", "updated repository indexes");
                return Ok(with(outcome, &output));
            }
        } else if self.update_cache && lists_alone {
            return Ok(Outcome::new(true).with("msg", "updated repository indexes"));
        }
        if self.upgrade {
            return self.upgrade_all(host);
        }
        match self.state {
            State::Absent => self.remove(host, &names),
            State::Present | State::Latest => self.add(host, &names),
        }
    }
}

impl Apk {
    fn names(&self) -> &[String] {
        self.name.as_deref().unwrap_or_default()
    }

    fn apk(&self, host: &Host) -> Result<Command, Failure> {
        let mut command = Command::new(host.require_program("apk")?).c_locale();
        if self.no_cache {
            command = command.arg("--no-cache");
        }
        if !self.repository.is_empty() {
            command = command.args(["--repositories-file", "/dev/null"]);
            command = command.args(self.repository.iter().flat_map(|r| ["--repository", r.as_str()]));
        }
        Ok(command)
    }

    /// Runs a command with packages, or in check mode has apk simulate it.
    fn change(&self, host: &Host, command: Command, names: &[String], error: &str) -> Result<Output, Failure> {
        // An option behind the two dashes would be a package.
        let simulate = host.check_mode().then_some("--simulate");
        let dashes = (!names.is_empty()).then_some("--");
        let command = command.args(simulate).args(dashes).args(names);
        let output = match host.check_mode() {
            true => host.query(&command)?,
            false => host.run(&command.streamed())?.unwrap_or_default(),
        };
        if output.rc == 0 { Ok(output) } else { Err(refused(error, &output)) }
    }

    fn upgrade_all(&self, host: &Host) -> Result<Outcome, Failure> {
        let mut command = self.apk(host)?.arg("upgrade");
        if self.available {
            command = command.arg("--available");
        }
        let output = self.change(host, command, &[], "failed to upgrade packages")?;
        let packages = packages(&output.stdout_text());
        let changed = !packages.is_empty();
        let msg = if changed { "upgraded packages" } else { "packages already upgraded" };
        Ok(with(Outcome::new(changed).with("msg", msg).with("packages", json!(packages)), &output))
    }

    fn is_installed(&self, host: &Host, name: &str) -> Result<bool, Failure> {
        let command = self.apk(host)?.args(["-v", "info", "--installed", "--", base(name)]);
        Ok(host.query(&command)?.rc == 0)
    }

    fn add(&self, host: &Host, names: &[&str]) -> Result<Outcome, Failure> {
        let world = String::from_utf8_lossy(&host.read(&self.world)?).into_owned();
        let asked: Vec<&str> = world.split_whitespace().collect();
        let (mut missing, mut old) = (Vec::new(), Vec::new());
        for name in names {
            if !self.is_installed(host, name)? {
                missing.push((*name).to_owned());
                continue;
            }
            if self.state == State::Latest {
                for part in self.parts(host, name)? {
                    if self.is_old(host, &part)? {
                        old.push(part);
                    }
                }
            }
            let is_asked = asked.iter().any(|line| line == name || base(line) == base(name) && base(name) == *name);
            if !is_asked && !old.iter().any(|old| old == name) {
                // One that is there for another's sake is wanted for itself now.
                missing.push((*name).to_owned());
            }
        }
        if missing.is_empty() && old.is_empty() {
            return Ok(Outcome::unchanged().with("msg", "package(s) already installed"));
        }
        let mut command = self.apk(host)?.arg("add");
        if !old.is_empty() {
            command = command.arg("--upgrade");
        }
        missing.append(&mut old);
        let listed = python_repr(&json!(missing));
        let output = self.change(host, command, &missing, &format!("failed to install {listed}"))?;
        let outcome = Outcome::new(true).with("msg", format!("installed {listed} package(s)"));
        Ok(with(outcome.with("packages", json!(packages(&output.stdout_text()))), &output))
    }

    /// What an installed package stands for: itself, or, of one that only names others, these.
    fn parts(&self, host: &Host, name: &str) -> Result<Vec<String>, Failure> {
        let ask = |what: &str| -> Result<String, Failure> {
            Ok(host.query(&self.apk(host)?.args(["-v", "info", what, "--", base(name)]))?.stdout_text())
        };
        if !ask("--description")?.contains(": virtual meta package") {
            return Ok(vec![name.to_owned()]);
        }
        let said = ask("--depends")?;
        Ok(said.split_once(':').map_or("", |(_, names)| names).split_whitespace().map(ToOwned::to_owned).collect())
    }

    /// Whether there is a newer version than the installed one.
    fn is_old(&self, host: &Host, name: &str) -> Result<bool, Failure> {
        let command = self.apk(host)?.args(["version", "--", base(name)]);
        let said = host.query_ok(&command)?.stdout_text();
        Ok(said.lines().any(|line| {
            let mut words = line.split_whitespace();
            let found = words.next().is_some_and(|full| full.strip_prefix(base(name)).is_some_and(is_version));
            found && words.next() == Some("<")
        }))
    }

    fn remove(&self, host: &Host, names: &[&str]) -> Result<Outcome, Failure> {
        let mut there = Vec::new();
        for name in names {
            if self.is_installed(host, name)? {
                there.push((*name).to_owned());
            }
        }
        if there.is_empty() {
            return Ok(Outcome::unchanged().with("msg", "package(s) already removed"));
        }
        let listed = python_repr(&json!(there));
        let error = format!("failed to remove {listed} package(s)");
        let output = self.change(host, self.apk(host)?.args(["del", "--purge"]), &there, &error)?;
        // What another package still needs is taken out of the list alone.
        for name in &there {
            if !host.check_mode() && self.is_installed(host, name)? {
                return Err(refused(&error, &output));
            }
        }
        let outcome = Outcome::new(true).with("msg", format!("removed {listed} package(s)"));
        Ok(with(outcome.with("packages", json!(packages(&output.stdout_text()))), &output))
    }
}

fn is_version(rest: &str) -> bool {
    rest.strip_prefix('-').is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
}

/// A name without version and repository.
fn base(name: &str) -> &str {
    name.split(['=', '<', '>', '~', '@']).next().unwrap_or(name)
}

/// The packages of lines such as `(1/2) Installing foo (1.2-r0)`.
fn packages(text: &str) -> Vec<String> {
    let package = |line: &str| {
        let rest = line.trim().strip_prefix('(')?.split_once(") ")?.1;
        let mut words = rest.split_whitespace();
        let verb = words.next()?;
        let known = ["Installing", "Upgrading", "Downgrading", "Replacing", "Reinstalling", "Purging", "Deleting"];
        known.contains(&verb).then(|| words.next().map(ToOwned::to_owned)).flatten()
    };
    text.lines().filter_map(package).collect()
}

fn with(outcome: Outcome, output: &Output) -> Outcome {
    outcome.with("stdout", output.stdout_text()).with("stderr", output.stderr_text())
}

/// The failure of a command that changes packages.
fn refused(error: &str, output: &Output) -> Failure {
    told(Failure::new(error), output).with("packages", json!(packages(&output.stdout_text())))
}

fn told(failure: Failure, output: &Output) -> Failure {
    failure.with("stdout", output.stdout_text()).with("stderr", output.stderr_text())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    fn stage() -> Stage {
        let stage = Stage::new(&[("/etc/apk/world", "there\npinned@edge\n"), ("/db/there", ""), ("/db/dep", "")]);
        stage.program(
            "apk",
            "for last; do :; done; case \"$*\" in\n\
             *description*virtual) echo 'virtual: virtual meta package';;\n\
             *depends*) echo 'virtual: there dep ';;\n\
             *info*) [ -e $R/db/$last ];;\n\
             *version*) echo 'Installed: Available:'; [ $last = dep ] || echo \"$last-1.0-r0 < 1.1-r0\";;\n\
             upgrade*) echo 'OK: 10 MiB';;\n\
             *simulate*) echo '(1/1) Installing x (1-r0)';;\n\
             *bad*) echo no >&2; exit 1;;\n\
             add*|*' add '*) echo \"(1/2) Installing musl (1.2-r0)\"; echo \"(2/2) Installing $last (1.0-r0)\"; :>$R/db/$last; echo $last >>$R/etc/apk/world;;\n\
             del*) echo \"(1/1) Purging $last (1.0-r0)\"; rm $R/db/$last;; esac",
        );
        stage
    }

    #[test]
    fn packages_come_and_go() {
        let stage = stage();
        let args = json!({"name": "new"});
        assert!(stage.check::<Apk>(args.clone()).unwrap().changed && !stage.exists("/db/new"));
        assert_eq!(stage.calls().last().unwrap(), "apk [add] [--simulate] [--] [new]");
        let done = stage.call::<Apk>(args.clone()).unwrap();
        assert_eq!(
            (&done.fields["msg"], &done.fields["packages"]),
            (&json!("installed ['new'] package(s)"), &json!(["musl", "new"]))
        );
        let again = stage.call::<Apk>(args).unwrap();
        assert_eq!((again.changed, &again.fields["msg"]), (false, &json!("package(s) already installed")));
        assert!(stage.call::<Apk>(json!({"name": "dep"})).unwrap().changed, "was there for another's sake");
        let args = json!({"name": "new", "state": "absent"});
        assert!(stage.call::<Apk>(args.clone()).unwrap().changed && !stage.call::<Apk>(args).unwrap().changed);
    }

    #[test]
    fn packages_are_upgraded() {
        let stage = stage();
        stage.call::<Apk>(json!({"name": "there", "state": "latest", "no_cache": true, "update_cache": true})).unwrap();
        let calls = stage.calls();
        assert_eq!(calls[0], "apk [--no-cache] [update]");
        assert_eq!(calls.last().unwrap(), "apk [--no-cache] [add] [--upgrade] [--] [there]");
        stage.file("/db/virtual", "");
        stage.call::<Apk>(json!({"name": "virtual", "state": "latest"})).unwrap();
        assert_eq!(stage.calls().last().unwrap(), "apk [add] [--upgrade] [--] [virtual] [there]");
        let all = stage.call::<Apk>(json!({"upgrade": true, "available": true})).unwrap();
        assert_eq!((all.changed, &all.fields["msg"]), (false, &json!("packages already upgraded")));
        let lists = stage.call::<Apk>(json!({"update_cache": true})).unwrap();
        assert!(lists.changed && lists.fields["msg"] == "updated repository indexes");
    }

    #[test]
    fn what_cannot_be_is_told() {
        let stage = stage();
        for (args, word) in [
            (json!({}), "one of the following is required"),
            (json!({"name": "a", "upgrade": true}), "mutually exclusive"),
            (json!({"name": "bad"}), "failed to install ['bad']"),
            (json!({"name": "-x"}), "not the name of a package"),
        ] {
            assert!(stage.call::<Apk>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
