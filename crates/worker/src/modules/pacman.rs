//! `community.general.pacman`.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::package;
use crate::args::InstallState as State;
use crate::host::{Command, Diff, Host, Output};
use crate::module::{Failure, Module, Outcome};

/// Manages packages of Arch Linux.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Pacman {
    /// Packages, groups, files or URLs.
    #[serde(default, alias = "package", alias = "pkg")]
    name: Vec<String>,
    /// What should be so.
    #[serde(default)]
    state: State,
    /// Whether checks are left out when packages are removed, and lists are fetched in any case.
    #[serde(default)]
    force: bool,
    /// Whether changed configuration files of removed packages are thrown away.
    #[serde(default)]
    remove_nosave: bool,
    /// The program, pacman or one that takes its options.
    #[serde(default = "pacman")]
    executable: String,
    /// Further options.
    #[serde(default)]
    extra_args: String,
    /// Whether the lists of packages are fetched first.
    #[serde(default)]
    update_cache: Option<bool>,
    /// Further options of that.
    #[serde(default)]
    update_cache_extra_args: String,
    /// Whether everything is upgraded.
    #[serde(default)]
    upgrade: Option<bool>,
    /// Further options of that.
    #[serde(default)]
    upgrade_extra_args: String,
    /// Why a package is there.
    #[serde(default)]
    reason: Option<Reason>,
    /// Which packages that is noted of.
    #[serde(default)]
    reason_for: ReasonFor,
}

fn pacman() -> String {
    "pacman".to_owned()
}

/// Why a package is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Reason {
    Dependency,
    Explicit,
}

/// Which packages a reason is noted of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ReasonFor {
    All,
    #[default]
    New,
}

impl Module for Pacman {
    const NAME: &'static str = "community.general.pacman";

    fn check(&self) -> Result<(), String> {
        let upgrade = self.upgrade == Some(true);
        if self.name.is_empty() && self.update_cache.is_none() && self.upgrade.is_none() {
            return Err("one of the following is required: name, update_cache, upgrade".into());
        }
        if upgrade && !self.name.is_empty() {
            return Err("parameters are mutually exclusive: name|upgrade".into());
        }
        for text in [&self.extra_args, &self.update_cache_extra_args, &self.upgrade_extra_args] {
            words(text)?;
        }
        package::names(&self.name).map(drop)
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let names = package::names(&self.name).map_err(Failure::new)?;
        let program = host.require_program(&self.executable)?;
        let call = Call { host, args: &self, program: Command::new(program).c_locale() };
        let mut lists = None;
        if self.update_cache == Some(true) {
            lists = Some(call.update()?);
        }
        let mut outcome = if self.upgrade == Some(true) {
            call.upgrade()?
        } else if names.is_empty() {
            Outcome::unchanged()
        } else if self.state == State::Absent {
            call.remove(&names)?
        } else {
            call.install(&names)?
        };
        if let Some(changed) = lists {
            outcome.changed |= changed;
            outcome.set("cache_updated", changed);
            if names.is_empty() && self.upgrade != Some(true) {
                outcome.set("msg", "Updated package db");
            }
        }
        Ok(outcome)
    }
}

fn words(text: &str) -> Result<Vec<String>, String> {
    shell_words::split(text).map_err(|e| format!("cannot read the options '{text}': {e}"))
}

/// Names with versions, as `pacman -Q` and a print format tell them.
type Versions = IndexMap<String, String>;

struct Call<'a> {
    host: &'a Host,
    args: &'a Pacman,
    program: Command,
}

impl Call<'_> {
    fn command(&self, options: &[&str], extra: &str) -> Result<Command, Failure> {
        Ok(self.program.clone().args(options).args(words(extra).map_err(Failure::new)?))
    }

    fn versions(&self, options: &[&str]) -> Result<Versions, Failure> {
        // A status of 1 says that there is none.
        let output = self.host.query(&self.program.clone().args(options))?;
        Ok(parse(&output.stdout_text()))
    }

    fn change(&self, command: &Command, error: &str) -> Result<Option<Output>, Failure> {
        match self.host.run(&command.clone().streamed())? {
            Some(output) if output.rc != 0 => Err(failure(error, command, &output)),
            output => Ok(output),
        }
    }

    /// Fetches the lists of packages; tells whether they are different then.
    fn update(&self) -> Result<bool, Failure> {
        let force = if self.args.force { "--refresh" } else { "" };
        let options: Vec<&str> =
            ["--sync", "--refresh", force, "--noconfirm"].into_iter().filter(|word| !word.is_empty()).collect();
        let command = self.command(&options, &self.args.update_cache_extra_args)?;
        let before = self.lists();
        self.change(&command, "could not update package db")?;
        Ok(self.host.check_mode() || self.args.force || before != self.lists())
    }

    /// When the lists of packages were made, by file.
    fn lists(&self) -> Vec<(std::path::PathBuf, std::time::SystemTime)> {
        let paths = self.host.glob("/var/lib/pacman/sync/*.db".as_ref()).unwrap_or_default();
        let time = |path: std::path::PathBuf| {
            let at = self.host.stat(&path).ok()??.modified().ok()?;
            Some((path, at))
        };
        paths.into_iter().filter_map(time).collect()
    }

    fn upgrade(&self) -> Result<Outcome, Failure> {
        let old = self.versions(&["--query", "--upgrades"])?;
        if old.is_empty() {
            let outcome = Outcome::unchanged().with("msg", "Nothing to upgrade");
            return Ok(outcome.with("packages", json!([])));
        }
        let installed = self.versions(&["--query"])?;
        let diff = |of: &dyn Fn(&String, &String) -> String| {
            old.iter().map(|(name, version)| format!("{name}-{}\n", of(name, version))).collect::<String>()
        };
        let before = diff(&|name, _| installed.get(name).cloned().unwrap_or_default());
        let after = diff(&|_, version| version.clone());
        let names: Vec<&String> = old.keys().collect();
        let command =
            self.command(&["--sync", "--sysupgrade", "--quiet", "--noconfirm"], &self.args.upgrade_extra_args)?;
        let output = self.change(&command, "Could not upgrade")?;
        let msg = match output {
            Some(_) => "System upgraded".to_owned(),
            None => format!("{} packages would be upgraded", names.len()),
        };
        let outcome = Outcome::new(true).with("msg", msg).with("packages", json!(names));
        Ok(told(outcome, output).with_diff(Diff::text(before, after)))
    }

    fn remove(&self, names: &[&str]) -> Result<Outcome, Failure> {
        let installed = self.versions(&["--query"])?;
        let groups = self.groups("--query")?;
        let mut there: Vec<String> = Vec::new();
        for name in names {
            if installed.contains_key(*name) {
                there.push((*name).to_owned());
            } else if let Some(members) = groups.get(*name) {
                there.extend(members.iter().cloned());
            }
        }
        there.dedup();
        if there.is_empty() {
            let outcome = Outcome::unchanged().with("msg", "package(s) already absent");
            return Ok(outcome.with("packages", json!([])));
        }
        let args = self.args;
        let mut options = vec!["--remove", "--noconfirm", "--noprogressbar"];
        if args.force {
            options.extend(["--nodeps", "--nodeps"]);
        }
        if args.remove_nosave {
            options.push("--nosave");
        }
        let command = self.command(&options, &args.extra_args)?;
        let plan = command.clone().args(["--print-format", "%n %v", "--"]).args(&there);
        let output = self.host.query(&plan)?;
        if output.rc != 0 {
            return Err(failure("failed to list package(s) to remove", &plan, &output));
        }
        let gone: Vec<String> =
            parse(&output.stdout_text()).into_iter().map(|(name, version)| format!("{name}-{version}")).collect();
        let output = self.change(&command.arg("--").args(&there), "failed to remove package(s)")?;
        let verb = if output.is_some() { "Removed" } else { "Would have removed" };
        let msg = format!("{verb} {} packages", gone.len());
        let outcome = Outcome::new(true).with("msg", msg).with("packages", json!(gone));
        Ok(told(outcome, output).with_diff(Diff::text(gone.join("\n") + "\n", "")))
    }

    /// The members of groups.
    fn groups(&self, verb: &str) -> Result<IndexMap<String, Vec<String>>, Failure> {
        let options: &[&str] = if verb == "--sync" { &["--sync", "--groups", "--groups"] } else { &[verb, "--groups"] };
        let output = self.host.query(&self.program.clone().args(options))?;
        let mut groups: IndexMap<String, Vec<String>> = IndexMap::new();
        for line in output.stdout_text().lines() {
            if let Some((group, name)) = line.split_once(' ') {
                groups.entry(group.to_owned()).or_default().push(name.trim().to_owned());
            }
        }
        Ok(groups)
    }

    fn install(&self, names: &[&str]) -> Result<Outcome, Failure> {
        let installed = self.versions(&["--query"])?;
        let newer = match self.args.state {
            State::Latest => self.versions(&["--query", "--upgrades"])?,
            _ => Versions::new(),
        };
        let wanted = self.wanted(names, &installed, &newer)?;
        let (files, packages): (Vec<String>, Vec<String>) =
            wanted.into_iter().partition(|name| name.contains("://") || name.contains(".pkg.tar"));
        let mut added: Vec<String> = Vec::new();
        let mut outputs = None;
        for (verb, list) in [("--sync", packages), ("--upgrade", files)] {
            if list.is_empty() {
                continue;
            }
            let command = self.command(&[verb, "--noconfirm", "--noprogressbar", "--needed"], &self.args.extra_args)?;
            let plan = command.clone().args(["--print-format", "%n %v", "--"]).args(&list);
            let output = self.host.query(&plan)?;
            if output.rc != 0 {
                return Err(failure("Failed to list package(s) to install", &plan, &output));
            }
            let news = parse(&output.stdout_text());
            let news: Versions = news.into_iter().filter(|(name, v)| installed.get(name) != Some(v)).collect();
            if news.is_empty() {
                continue;
            }
            added.extend(news.iter().map(|(name, version)| format!("{name}-{version}")));
            outputs = self.change(&command.arg("--").args(&list), "Failed to install package(s)")?.or(outputs);
            self.note_reason(names, news.keys().filter(|name| !installed.contains_key(*name)))?;
        }
        if self.args.reason_for == ReasonFor::All {
            self.note_reason(names, installed.keys())?;
        }
        if added.is_empty() {
            let outcome = Outcome::unchanged().with("msg", "package(s) already installed");
            return Ok(outcome.with("packages", json!([])));
        }
        let verb = if self.host.check_mode() { "Would have installed" } else { "Installed" };
        let msg = format!("{verb} {} package(s)", added.len());
        let outcome = Outcome::new(true).with("msg", msg).with("packages", json!(added));
        Ok(told(outcome, outputs).with_diff(Diff::text("", added.join("\n") + "\n")))
    }

    /// What is named and not there, groups by their members.
    fn wanted(&self, names: &[&str], installed: &Versions, newer: &Versions) -> Result<Vec<String>, Failure> {
        let lacks = |name: &str| !installed.contains_key(name) || newer.contains_key(name);
        let mut groups = None;
        let mut wanted = Vec::new();
        for name in names {
            if installed.contains_key(*name) {
                wanted.extend(lacks(name).then(|| (*name).to_owned()));
                continue;
            }
            if groups.is_none() {
                groups = Some(self.groups("--sync")?);
            }
            match groups.as_ref().and_then(|groups| groups.get(*name)) {
                Some(members) => wanted.extend(members.iter().filter(|name| lacks(name)).cloned()),
                None => wanted.push((*name).to_owned()),
            }
        }
        Ok(wanted)
    }

    fn note_reason<'n>(&self, named: &[&str], among: impl Iterator<Item = &'n String>) -> Result<(), Failure> {
        let Some(reason) = self.args.reason else { return Ok(()) };
        let names: Vec<&String> = among.filter(|name| named.contains(&name.as_str())).collect();
        if names.is_empty() {
            return Ok(());
        }
        let option = if reason == Reason::Dependency { "--asdeps" } else { "--asexplicit" };
        let command = self.program.clone().args(["--database", option, "--"]).args(names);
        self.change(&command, "failed to set install reason").map(drop)
    }
}

/// Lines of a name and a version; of an upgrade the new one.
fn parse(text: &str) -> Versions {
    let entry = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let version = match words.as_slice() {
            [_, _, "->", new, ..] => new,
            [_, version] => version,
            _ => return None,
        };
        Some((words.first()?.to_string(), (*version).to_owned()))
    };
    text.lines().filter(|line| !line.contains("[ignored]")).filter_map(entry).collect()
}

fn told(outcome: Outcome, output: Option<Output>) -> Outcome {
    match output {
        Some(output) => outcome.with("stdout", output.stdout_text()).with("stderr", output.stderr_text()),
        None => outcome,
    }
}

fn failure(error: &str, command: &Command, output: &Output) -> Failure {
    Failure::new(format!("{error}: {}", output.complaint()))
        .with("cmd", command.words())
        .with("rc", output.rc)
        .with("stdout", output.stdout_text())
        .with("stderr", output.stderr_text())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    fn stage() -> Stage {
        let stage = Stage::new(&[("/db", "vim 9.0-1\nold 1-1\n")]);
        stage.program(
            "pacman",
            "for last; do :; done; case \"$*\" in\n\
             '--query --upgrades') [ -e $R/new ] || { echo 'old 1-1 -> 2-1'; echo 'kept 1-1 -> 2-1 [ignored]'; };;\n\
             '--query --groups'|'--sync --groups --groups') echo 'base aa'; echo 'base vim';;\n\
             '--query') cat $R/db;;\n\
             *nope*) echo 'error: target not found: nope' >&2; exit 1;;\n\
             --sync*print-format*|--remove*print-format*) echo \"$last 1-1\";;\n\
             --sync*sysupgrade*) :>$R/new;;\n\
             --sync*) echo \"$last 1-1\" >>$R/db;;\n\
             --remove*) sed -i \"/^$last /d\" $R/db;; esac",
        );
        stage
    }

    #[test]
    fn packages_come_and_go() {
        let stage = stage();
        let args = json!({"name": ["vim", "aa"], "reason": "dependency"});
        let dry = stage.check::<Pacman>(args.clone()).unwrap();
        assert_eq!((dry.changed, &dry.fields["msg"]), (true, &json!("Would have installed 1 package(s)")));
        stage.calls();
        let done = stage.call::<Pacman>(args.clone()).unwrap();
        assert_eq!(
            (&done.fields["packages"], &done.fields["msg"]),
            (&json!(["aa-1-1"]), &json!("Installed 1 package(s)"))
        );
        let calls = stage.calls();
        assert!(calls.contains(&"pacman [--sync] [--noconfirm] [--noprogressbar] [--needed] [--] [aa]".to_owned()));
        assert_eq!(calls.last().unwrap(), "pacman [--database] [--asdeps] [--] [aa]");
        assert!(!stage.call::<Pacman>(args).unwrap().changed);
        assert!(!stage.call::<Pacman>(json!({"name": "base"})).unwrap().changed, "all of the group are there");
        let args = json!({"name": "aa", "state": "absent", "remove_nosave": true});
        assert!(stage.check::<Pacman>(args.clone()).unwrap().changed);
        assert_eq!(stage.call::<Pacman>(args.clone()).unwrap().fields["msg"], "Removed 1 packages");
        assert_eq!(stage.call::<Pacman>(args).unwrap().fields["msg"], "package(s) already absent");
    }

    #[test]
    fn everything_is_upgraded() {
        let stage = stage();
        let args = json!({"upgrade": true});
        assert_eq!(stage.check::<Pacman>(args.clone()).unwrap().fields["msg"], "1 packages would be upgraded");
        let done = stage.call::<Pacman>(args.clone()).unwrap();
        assert_eq!(
            (&done.fields["packages"], &done.diffs[0]),
            (&json!(["old"]), &Diff::text("old-1-1\n", "old-2-1\n"))
        );
        assert_eq!(stage.call::<Pacman>(args).unwrap().fields["msg"], "Nothing to upgrade");
        stage.calls();
        stage.call::<Pacman>(json!({"update_cache": true, "force": true})).unwrap();
        assert_eq!(stage.calls(), ["pacman [--sync] [--refresh] [--refresh] [--noconfirm]"]);
    }

    #[test]
    fn what_cannot_be_is_told() {
        let stage = stage();
        for (args, word) in [
            (json!({"name": "nope"}), "target not found: nope"),
            (json!({}), "one of the following is required"),
            (json!({"name": "a", "upgrade": true}), "mutually exclusive"),
            (json!({"name": "--root"}), "not the name of a package"),
            (json!({"name": "a", "extra_args": "'"}), "cannot read the options"),
        ] {
            assert!(stage.call::<Pacman>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
