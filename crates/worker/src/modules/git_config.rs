//! `community.general.git_config`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::files::text;
use crate::args::{PathArg, Presence as State};
use crate::host::{Command, Diff, Host};
use crate::module::{Failure, Module, Outcome};

/// Manages a setting of git.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GitConfig {
    /// The setting, as in `user.email`.
    name: String,
    /// The repository whose setting it is.
    #[serde(default)]
    repo: Option<PathArg>,
    /// The file that holds it.
    #[serde(default)]
    file: Option<PathArg>,
    /// Where it is kept; `system` by default.
    #[serde(default)]
    scope: Option<Scope>,
    /// Whether it should be there.
    #[serde(default)]
    state: State,
    /// Its value.
    #[serde(default)]
    value: Option<String>,
    /// Whether the value stands beside others or instead of them.
    #[serde(default)]
    add_mode: AddMode,
}

/// Where a setting is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Scope {
    File,
    Local,
    Global,
    #[default]
    System,
}

/// Whether a value stands beside others or instead of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum AddMode {
    Add,
    #[default]
    ReplaceAll,
}

impl Module for GitConfig {
    const NAME: &'static str = "community.general.git_config";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        if self.name.is_empty() || self.name.starts_with('-') {
            return Err(format!("'{}' is not the name of a setting", self.name));
        }
        let said = |text: &str| Err(text.to_owned());
        match self.scope {
            Some(Scope::File) if self.file.is_none() => {
                return said("scope is file but all of the following are missing: file");
            }
            Some(Scope::Local) if self.repo.is_none() => {
                return said("scope is local but all of the following are missing: repo");
            }
            _ => {}
        }
        match (self.state, self.value.as_deref()) {
            (State::Present, None) => said("state is present but all of the following are missing: value"),
            (State::Present, Some("")) => said(
                "If state=present, a value must be specified. Use the community.general.git_config_info module to read a \
                 config value.",
            ),
            _ => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let base = self.command(host)?;
        let held = self.held(host, &base)?;
        let value = self.value.as_deref().unwrap_or_default();
        let settled = match (self.state, self.add_mode) {
            (State::Absent, _) if held.is_empty() => {
                return Ok(Outcome::unchanged().with("msg", "no setting to unset"));
            }
            (State::Absent, _) => false,
            (State::Present, AddMode::Add) => held.iter().any(|held| held == value),
            (State::Present, AddMode::ReplaceAll) => held == [value],
        };
        if settled {
            return Ok(Outcome::unchanged().with("msg", ""));
        }
        let (command, after) = match (self.state, self.add_mode) {
            (State::Absent, _) => (base.arg("--unset-all").arg(&self.name), Vec::new()),
            (State::Present, AddMode::Add) => {
                let mut after = held.clone();
                after.push(value.to_owned());
                (base.arg("--add").arg(&self.name).arg(value), after)
            }
            (State::Present, AddMode::ReplaceAll) => {
                (base.arg("--replace-all").arg(&self.name).arg(value), vec![value.to_owned()])
            }
        };
        let words = command.words();
        if let Some(output) = host.run(&command)?.filter(|output| output.rc != 0) {
            return Err(Failure::new(output.stderr_text()).with("rc", output.rc).with("cmd", words));
        }
        let header = words.join(" ");
        let diff = Diff::values(shown(&held), shown(&after)).headers(header.clone(), header);
        Ok(Outcome::new(true).with("msg", "setting changed").with_diff(diff))
    }
}

/// One value as a line, several as a list.
fn shown(values: &[String]) -> Value {
    match values {
        [] => json!("\n"),
        [one] => json!(format!("{one}\n")),
        several => json!(several),
    }
}

impl GitConfig {
    fn command(&self, host: &Host) -> Result<Command, Failure> {
        let command = Command::new(host.require_program("git")?).c_locale().args(["config", "--includes"]);
        let command = match self.scope.unwrap_or_default() {
            Scope::System => command.arg("--system"),
            Scope::Global => command.arg("--global"),
            Scope::Local => command.arg("--local"),
            Scope::File => {
                let file = self.file.as_ref().map(|file| host.path(file)).transpose()?.unwrap_or_default();
                command.arg("-f").arg(file)
            }
        };
        let (Some(Scope::Local), Some(repo)) = (self.scope, &self.repo) else { return Ok(command) };
        let repo = host.path(repo)?;
        if !host.stat(&repo)?.is_some_and(|meta| meta.is_dir()) {
            return Err(Failure::new(format!("the repository {} is not there", text(&repo))));
        }
        Ok(command.directory(repo))
    }

    /// The values that are there.
    fn held(&self, host: &Host, base: &Command) -> Result<Vec<String>, Failure> {
        let get = base.clone().arg("--get-all").arg(&self.name);
        let output = host.query(&get)?;
        // Without the file there is no value either.
        if output.rc > 1 && !output.stderr_text().contains("unable to read config file") {
            let failure = Failure::new(output.stderr_text()).with("rc", output.rc);
            return Err(failure.with("cmd", get.words().join(" ")));
        }
        Ok(output.stdout_text().lines().map(ToOwned::to_owned).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    #[test]
    fn settings_are_kept() {
        for (args, held, set, after) in [
            (json!({"value": "A"}), "A", None, json!(null)),
            (json!({"value": "B"}), "A", Some("[--replace-all] [m.v] [B]"), json!("B\n")),
            (json!({"value": "1"}), "1\n2", Some("[--replace-all] [m.v] [1]"), json!("1\n")),
            (json!({"value": "2", "add_mode": "add"}), "1\n2", None, json!(null)),
            (json!({"value": "3", "add_mode": "add"}), "1\n2", Some("[--add] [m.v] [3]"), json!(["1", "2", "3"])),
            (json!({"state": "absent"}), "1\n2", Some("[--unset-all] [m.v]"), json!("\n")),
            (json!({"state": "absent"}), "", None, json!(null)),
        ] {
            let stage = Stage::new(&[("/held", held)]);
            stage.program("git", "case $* in *--get-all*) [ -s $R/held ] && cat $R/held;; esac");
            let mut all = json!({"name": "m.v", "scope": "file", "file": "/f"});
            all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
            assert_eq!(stage.check::<GitConfig>(all.clone()).unwrap().changed, set.is_some());
            assert_eq!(stage.calls(), ["git [config] [--includes] [-f] [/f] [--get-all] [m.v]"]);
            let made = stage.call::<GitConfig>(all).unwrap();
            assert_eq!(made.changed, set.is_some(), "{args}");
            let wanted = set.map(|set| format!("git [config] [--includes] [-f] [/f] {set}"));
            assert_eq!(stage.calls().get(1).cloned(), wanted);
            assert_eq!(made.diffs.first().map_or(json!(null), |diff| diff.clone().into_sides().1), after);
        }
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (args, word) in [
            (json!({"name": "a.b"}), "missing: value"),
            (json!({"name": "a.b", "value": ""}), "a value must be specified"),
            (json!({"name": "a.b", "value": "x", "scope": "file"}), "missing: file"),
            (json!({"name": "a.b", "value": "x", "scope": "local"}), "missing: repo"),
            (json!({"name": "a.b", "value": "x", "scope": "local", "repo": "/none"}), "is not there"),
            (json!({"name": "--x", "value": "x"}), "not the name"),
            (json!({"name": "a.b", "value": "x", "scope": "global"}), "fatal"),
        ] {
            let stage = Stage::new(&[]);
            stage.program("git", "echo fatal >&2; exit 128");
            assert!(stage.call::<GitConfig>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
