//! `community.general.dpkg_divert`.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::files::text;
use crate::args::{PathArg, Presence as State, is_word};
use crate::host::{Command, Diff, Host};
use crate::module::{Failure, Module, Outcome};

/// Manages where dpkg puts files of packages instead of the place that is theirs.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DpkgDivert {
    /// The file, by its absolute path.
    path: PathArg,
    /// Whether it is diverted.
    #[serde(default)]
    state: State,
    /// The package whose own file stays; by default that of every package is diverted.
    #[serde(default)]
    holder: Option<String>,
    /// Where files of packages go; the path with `.distrib` at its end by default.
    #[serde(default)]
    divert: Option<PathArg>,
    /// Whether the file that is there is moved.
    #[serde(default)]
    rename: bool,
    /// Whether a file may be lost by that.
    #[serde(default)]
    force: bool,
}

/// A diversion.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Diversion {
    holder: String,
    divert: String,
}

impl Module for DpkgDivert {
    const NAME: &'static str = "community.general.dpkg_divert";

    fn check(&self) -> Result<(), String> {
        match &self.holder {
            Some(holder) if !is_word(holder) => Err(format!("'{holder}' is not the name of a package")),
            _ => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = text(&host.path(&self.path)?);
        let divert = self.divert.as_ref().map(|divert| host.path(divert)).transpose()?.map(|divert| text(&divert));
        if let Some(relative) = [Some(&path), divert.as_ref()].into_iter().flatten().find(|path| !path.starts_with('/'))
        {
            return Err(Failure::new(format!("filename \"{relative}\" is not absolute")));
        }
        let program = host.require_program("dpkg-divert")?;
        let before = held(host, &program, &path)?;
        let wanted = (self.state == State::Present).then(|| Diversion {
            holder: self.holder.clone().unwrap_or_else(|| "LOCAL".to_owned()),
            divert: divert.clone().unwrap_or_else(|| format!("{path}.distrib")),
        });
        // dpkg-divert moves files when the path becomes diverted or is so no more, not when it is diverted elsewhere.
        let moves = self.rename && before.is_some() != wanted.is_some();
        let same = self.rename && before == wanted;
        let base = Command::new(&program).c_locale().arg(if moves || same { "--rename" } else { "--no-rename" });
        let remove = base.clone().arg("--remove").arg(&path);
        let add = match &self.holder {
            Some(holder) => base.arg("--package").arg(holder),
            None => base.arg("--local"),
        };
        let add = divert.iter().fold(add, |add, divert| add.arg("--divert").arg(divert)).arg("--add").arg(&path);
        let steps = match (&before, &wanted) {
            (Some(held), Some(wanted)) if held != wanted => vec![(remove, None), (add, Some(wanted))],
            (_, Some(wanted)) => vec![(add, Some(wanted))],
            (_, None) => vec![(remove, None)],
        };
        // A file that was moved goes along when its path is diverted elsewhere, which dpkg-divert leaves to others.
        let along = match (&before, &wanted) {
            (Some(held), Some(wanted)) if self.rename && held.divert != wanted.divert => {
                let (from, to) = (Path::new(&held.divert), Path::new(&wanted.divert));
                let moved = host.lstat(from)?.is_some();
                if moved && !self.force && host.lstat(to)?.is_some() {
                    return Err(Failure::new("Set 'force' param to True to force renaming of files."));
                }
                moved.then_some((from, to))
            }
            _ => None,
        };
        let mut messages = Vec::new();
        let mut commands = Vec::new();
        let mut current = before.clone();
        let changed = before != wanted;
        for (command, becomes) in &steps {
            commands.push(command.words().join(" "));
            let message = self.step(host, command, (&program, &path), current.as_ref(), *becomes, moves)?;
            messages.push(message);
            current = becomes.cloned();
        }
        if let Some((from, to)) = along {
            host.rename(from, to)?;
        }
        let told = |diversion: Option<&Diversion>| {
            let state = if diversion.is_some() { "present" } else { "absent" };
            let divert = diversion.map(|diversion| &diversion.divert);
            json!({"path": path, "state": state, "divert": divert, "holder": diversion.map(|diversion| &diversion.holder)})
        };
        let diff = Diff::values(told(before.as_ref()), told(wanted.as_ref()));
        let outcome = Outcome::new(changed).with("diversion", told(wanted.as_ref())).with("commands", commands);
        Ok(outcome.with("messages", messages).with_diff(diff))
    }
}

/// How a path is diverted now.
fn held(host: &Host, program: &Path, path: &str) -> Result<Option<Diversion>, Failure> {
    let ask = |word: &str| host.query_ok(&Command::new(program).c_locale().arg(word).arg(path));
    let holder = ask("--listpackage")?.stdout_text().trim().to_owned();
    if holder.is_empty() {
        return Ok(None);
    }
    Ok(Some(Diversion { holder, divert: ask("--truename")?.stdout_text().trim().to_owned() }))
}

impl DpkgDivert {
    /// Runs one command, or tries it in check mode; gives its message.
    fn step(
        &self,
        host: &Host,
        command: &Command,
        (program, path): (&Path, &str),
        held: Option<&Diversion>,
        becomes: Option<&Diversion>,
        moves: bool,
    ) -> Result<String, Failure> {
        let lost = match (becomes, held) {
            (Some(wanted), None) => Some((path, wanted.divert.as_str())),
            (None, Some(held)) => Some((held.divert.as_str(), path)),
            _ => None,
        };
        let lost = lost.filter(|_| moves).map(|(from, to)| (Path::new(from), Path::new(to)));
        let collides = match lost {
            Some((from, to)) => host.lstat(from)?.is_some() && host.lstat(to)?.is_some(),
            None => false,
        };
        if let Some((_, to)) = lost.filter(|_| collides && self.force) {
            host.remove(to)?;
        }
        // With something still in the way, or after a step that was not taken, it could not be tried.
        let tried = !(collides && self.force) && held == self::held(host, program, path)?.as_ref();
        let output = match host.run(command)? {
            Some(output) => output,
            None if tried => {
                let words = command.words();
                host.query(&Command::new(program).c_locale().arg("--test").args(words.into_iter().skip(1)))?
            }
            None => return Ok("Running in check mode".to_owned()),
        };
        if output.rc == 0 {
            return Ok(output.stdout_text().trim_end().to_owned());
        }
        let said = output.stderr_text();
        let msg = if said.contains("overwriting") && !self.force {
            "Set 'force' param to True to force renaming of files.".to_owned()
        } else {
            format!("Unexpected error while changing state of the diversion: {}", output.complaint())
        };
        let state = held.map_or(Value::from("absent"), |_| Value::from("present"));
        let diversion = json!({"path": path, "state": state, "divert": held.map(|held| &held.divert), "holder": held.map(|held| &held.holder)});
        let failure = Failure::new(msg).with("rc", output.rc).with("cmd", command.words().join(" "));
        Err(failure.with("stdout", output.stdout_text()).with("stderr", said).with("diversion", diversion))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    const PROGRAM: &str = "case $* in --listpackage*) [ $2 = /two ] && echo LOCAL; true;; --truename*) echo $2.distrib;;\
        *bad*) echo 'rename involves overwriting' >&2; exit 2;; *odd*) echo no >&2; exit 2;; *) echo Done;; esac";

    #[test]
    fn files_are_diverted_once() {
        for (args, changed, made) in [
            (json!({"path": "/one"}), true, vec!["--no-rename] [--local] [--add] [/one]"]),
            (
                json!({"path": "/one", "divert": "/one.x", "holder": "p", "rename": true}),
                true,
                vec!["--rename] [--package] [p] [--divert] [/one.x] [--add] [/one]"],
            ),
            (json!({"path": "/two"}), false, vec!["--no-rename] [--local] [--add] [/two]"]),
            (
                json!({"path": "/two", "divert": "/two.x"}),
                true,
                vec!["--no-rename] [--remove] [/two]", "--no-rename] [--local] [--divert] [/two.x] [--add] [/two]"],
            ),
            (
                json!({"path": "/two", "holder": "p", "rename": true}),
                true,
                vec!["--no-rename] [--remove] [/two]", "--no-rename] [--package] [p] [--add] [/two]"],
            ),
            (json!({"path": "/two", "state": "absent"}), true, vec!["--no-rename] [--remove] [/two]"]),
            (json!({"path": "/one", "state": "absent"}), false, vec!["--no-rename] [--remove] [/one]"]),
        ] {
            let stage = Stage::new(&[]);
            stage.program("dpkg-divert", PROGRAM);
            let changes = |call: &String| call.contains("--add]") || call.contains("--remove]");
            let dry = stage.check::<DpkgDivert>(args.clone()).unwrap();
            assert!(stage.calls().iter().filter(|call| changes(call)).all(|call| call.contains("[--test]")));
            let told = stage.call::<DpkgDivert>(args.clone()).unwrap();
            let mut calls = stage.calls();
            calls.retain(changes);
            assert_eq!(calls, made.iter().map(|words| format!("dpkg-divert [{words}")).collect::<Vec<_>>(), "{args}");
            assert_eq!((dry.changed, told.changed), (changed, changed), "{args}");
            assert_eq!(
                (&dry.fields["diversion"], &dry.fields["commands"]),
                (&told.fields["diversion"], &told.fields["commands"])
            );
        }
    }

    #[test]
    fn a_file_in_the_way_goes_by_force_alone() {
        let stage = Stage::new(&[("/one", "1"), ("/one.distrib", "2")]);
        stage.program("dpkg-divert", PROGRAM);
        let args = json!({"path": "/one", "rename": true, "force": true});
        assert!(stage.check::<DpkgDivert>(args.clone()).unwrap().changed && stage.exists("/one.distrib"));
        assert!(stage.call::<DpkgDivert>(args).unwrap().changed && !stage.exists("/one.distrib"));
    }

    #[test]
    fn a_file_goes_along_when_its_path_is_diverted_elsewhere() {
        let stage = Stage::new(&[("/two.distrib", "2"), ("/there", "3")]);
        stage.program("dpkg-divert", PROGRAM);
        let args = |to: &str| json!({"path": "/two", "divert": to, "rename": true});
        let told = stage.call::<DpkgDivert>(args("/there")).unwrap_err().msg;
        assert!(told.contains("Set 'force' param"), "{told}");
        assert!(stage.check::<DpkgDivert>(args("/new")).unwrap().changed && stage.exists("/two.distrib"));
        assert!(stage.call::<DpkgDivert>(args("/new")).unwrap().changed && !stage.exists("/two.distrib"));
        assert_eq!(stage.text("/new"), "2");
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (args, word) in [
            (json!({"path": "one"}), "filename \"one\" is not absolute"),
            (json!({"path": "/one", "divert": "x"}), "filename \"x\" is not absolute"),
            (json!({"path": "/one", "holder": "-x"}), "not the name of a package"),
            (json!({"path": "/bad", "rename": true}), "Set 'force' param to True"),
            (json!({"path": "/odd"}), "Unexpected error while changing state of the diversion: no"),
        ] {
            let stage = Stage::new(&[]);
            stage.program("dpkg-divert", PROGRAM);
            assert!(stage.call::<DpkgDivert>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
