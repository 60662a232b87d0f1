//! `community.general.sudoers`: a rule of sudo in a file of its own.

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::text;
use crate::args::{Mode, PathArg, yes};
use crate::host::{Attributes, Command, Content, Diff, Host, WriteOptions};
use crate::module::{Failure, Module, Outcome};

/// Manages a file with a rule of sudo.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Sudoers {
    /// The rule's name, which is that of its file.
    name: String,
    /// The commands, or `ALL`.
    #[serde(default)]
    commands: Option<Vec<String>>,
    /// The group the rule is for.
    #[serde(default)]
    group: Option<String>,
    /// The user the rule is for.
    #[serde(default)]
    user: Option<String>,
    /// The host the rule is for.
    #[serde(default = "all")]
    host: String,
    /// Whether commands cannot start others.
    #[serde(default)]
    noexec: bool,
    /// Whether no password is asked for.
    #[serde(default = "yes")]
    nopassword: bool,
    /// Whether the environment may be kept.
    #[serde(default)]
    setenv: bool,
    /// The user that the commands run as.
    #[serde(default)]
    runas: Option<String>,
    /// Whether the rule should be there.
    #[serde(default)]
    state: State,
    /// The directory of the rules.
    #[serde(default = "directory")]
    sudoers_path: PathArg,
    /// Whether visudo must accept the rule.
    #[serde(default)]
    validation: Validation,
}

fn all() -> String {
    "ALL".to_owned()
}

fn directory() -> PathArg {
    PathArg("/etc/sudoers.d".to_owned())
}

/// Whether the rule should be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    #[default]
    Present,
    Absent,
}

/// Whether visudo must accept the rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Validation {
    /// It is not asked.
    Absent,
    /// It is asked where it is there.
    #[default]
    Detect,
    /// It must be there.
    Required,
}

impl Module for Sudoers {
    const NAME: &'static str = "community.general.sudoers";

    fn check(&self) -> Result<(), String> {
        if self.name.is_empty() || self.name.contains(['/', '\0']) {
            return Err(format!("'{}' is not the name of a file", self.name));
        }
        if self.user.is_some() && self.group.is_some() {
            return Err("parameters are mutually exclusive: user|group".to_owned());
        }
        if self.state == State::Absent {
            return Ok(());
        }
        if self.commands.is_none() {
            return Err("state is present but all of the following are missing: commands".to_owned());
        }
        if self.user.is_none() && self.group.is_none() {
            return Err("one of the following is required: user, group".to_owned());
        }
        if self.rule().trim_end_matches('\n').contains('\n') {
            return Err("a rule is a single line".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.sudoers_path)?.join(&self.name);
        let old = host.read_if_exists(&path)?;
        if self.state == State::Absent {
            let Some(old) = old else { return Ok(Outcome::unchanged()) };
            host.remove(&path)?;
            return Ok(Outcome::new(true).with_diff(Diff::contents(&old, b"", &text(&path))));
        }
        let rule = self.rule();
        self.validate(host, &rule)?;
        let options = WriteOptions { mode_if_new: Some(0o440), ..WriteOptions::default() };
        let written = host.write_file(&path, &Content::from(rule.into_bytes()), &options)?;
        let mut outcome = Outcome::new(written.changed);
        outcome.diffs.extend(written.diff);
        let mode = Attributes { mode: Some(Mode::Bits(0o440)), ..Attributes::default() };
        super::files::settle(host, &path, &mode, true, &mut outcome)?;
        Ok(outcome)
    }
}

impl Sudoers {
    fn rule(&self) -> String {
        let owner = match (&self.user, &self.group) {
            (Some(user), _) => user.clone(),
            (None, group) => format!("%{}", group.as_deref().unwrap_or_default()),
        };
        let runas = self.runas.as_ref().map(|runas| format!("({runas})")).unwrap_or_default();
        let tags = [(self.noexec, "NOEXEC:"), (self.nopassword, "NOPASSWD:"), (self.setenv, "SETENV:")];
        let tags: String = tags.iter().filter(|(on, _)| *on).map(|(_, tag)| *tag).collect();
        let commands = self.commands.as_deref().unwrap_or_default().join(", ");
        format!("{owner} {}={runas}{tags} {commands}\n", self.host)
    }

    /// visudo reads the rule from its standard input; nothing is written for it.
    fn validate(&self, host: &Host, rule: &str) -> Result<(), Failure> {
        let visudo = match self.validation {
            Validation::Absent => return Ok(()),
            Validation::Detect => match host.find_program("visudo") {
                Some(visudo) => visudo,
                None => return Ok(()),
            },
            Validation::Required => host.require_program("visudo")?,
        };
        let output = host.query(&Command::new(visudo).c_locale().args(["-c", "-f", "-"]).stdin(rule))?;
        if output.rc == 0 {
            return Ok(());
        }
        let said = if output.stdout.is_empty() { output.stderr_text() } else { output.stdout_text() };
        let failure = Failure::new(format!("Failed to validate sudoers rule:\n{said}"));
        Err(failure.with("stdout", output.stdout_text()).with("stderr", output.stderr_text()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::super::stage::Stage;
    use super::*;

    #[test]
    fn rules_come_and_go() {
        for (args, rule) in [
            (json!({"user": "joe", "commands": "/bin/ls"}), "joe ALL=NOPASSWD: /bin/ls\n"),
            (
                json!({"group": "adm", "commands": ["/bin/ls", "/bin/cat *"], "nopassword": false, "runas": "www",
                    "host": "h1", "noexec": true, "setenv": true}),
                "%adm h1=(www)NOEXEC:SETENV: /bin/ls, /bin/cat *\n",
            ),
        ] {
            let stage = Stage::new(&[("/etc/sudoers.d/other", "")]);
            stage.program("visudo", "cat >/dev/null");
            let mut args = args;
            args["name"] = json!("r");
            assert!(stage.check::<Sudoers>(args.clone()).unwrap().changed);
            assert!(!stage.exists("/etc/sudoers.d/r"));
            assert!(stage.call::<Sudoers>(args.clone()).unwrap().changed);
            assert_eq!(stage.text("/etc/sudoers.d/r"), rule);
            let mode = stage.real("/etc/sudoers.d/r").metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o440);
            assert!(!stage.call::<Sudoers>(args.clone()).unwrap().changed);
            args["state"] = json!("absent");
            assert!(stage.check::<Sudoers>(args.clone()).unwrap().changed);
            assert!(stage.call::<Sudoers>(args.clone()).unwrap().changed);
            assert!(!stage.call::<Sudoers>(args).unwrap().changed);
        }
    }

    #[test]
    fn bad_rules_are_not_written() {
        let stage = Stage::new(&[("/etc/sudoers.d/other", "")]);
        stage.program("visudo", "echo no >&2; exit 1");
        let args = json!({"name": "r", "user": "joe", "commands": "ls"});
        let failure = stage.call::<Sudoers>(args.clone()).unwrap_err();
        assert_eq!(failure.msg, "Failed to validate sudoers rule:\nno\n");
        assert!(!stage.exists("/etc/sudoers.d/r"));
        for (more, word) in [
            (json!({"group": "x"}), "mutually exclusive: user|group"),
            (json!({"name": "../x"}), "not the name of a file"),
            (json!({"commands": "/bin/ls\njoe ALL=ALL"}), "a single line"),
        ] {
            let mut args = args.clone();
            args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert!(stage.call::<Sudoers>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
