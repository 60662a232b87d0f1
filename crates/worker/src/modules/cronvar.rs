//! `community.general.cronvar`: variables of a crontab.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::args::Presence as State;
use crate::host::{Command, Content, Host, WriteOptions};
use crate::module::{CheckMode, Context, Failure, Module, Outcome};

/// Sets a variable of a crontab, or removes it.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CronVar {
    /// The variable.
    name: String,
    /// Its value.
    #[serde(default)]
    value: Option<String>,
    /// Whether it should be there.
    #[serde(default)]
    state: State,
    /// The variable that a new one follows.
    #[serde(default)]
    insertafter: Option<String>,
    /// The variable that a new one comes before.
    #[serde(default)]
    insertbefore: Option<String>,
    /// Whose crontab; one's own by default.
    #[serde(default)]
    user: Option<String>,
    /// A file instead, in `/etc/cron.d` unless its path begins with a slash.
    #[serde(default)]
    cron_file: Option<String>,
    /// Whether the old content is kept in a temporary file.
    #[serde(default)]
    backup: bool,
}

impl Module for CronVar {
    const NAME: &'static str = "community.general.cronvar";
    const CHECK_MODE: CheckMode = CheckMode::Skipped;
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        if self.state == State::Present && self.value.is_none() {
            return Err("You must specify 'value' to insert a new cron variable".into());
        }
        if self.insertafter.is_some() && self.insertbefore.is_some() {
            return Err("parameters are mutually exclusive: insertbefore|insertafter".into());
        }
        let bad = self.name.is_empty()
            || self.name.starts_with('#')
            || self.name.contains(|c: char| c.is_whitespace() || c == '=');
        if bad || self.value.as_deref().is_some_and(|value| value.contains(['\n', '\0'])) {
            return Err("name must be the name of a variable, and value a single line".into());
        }
        match &self.user {
            Some(user) if user.starts_with('-') => Err("user must be the name of a user".into()),
            _ => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let file = self.cron_file.as_ref().map(|file| Path::new("/etc/cron.d").join(file));
        let text = self.read(host, file.as_deref())?;
        let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        let changed = match (self.state, &self.value) {
            (State::Present, Some(value)) => self.set(&mut lines, value)?,
            _ => {
                let before = lines.len();
                lines.retain(|line| variable(line).is_none_or(|(name, _)| name != self.name));
                lines.len() != before
            }
        };
        let mut outcome = Outcome::new(changed);
        if changed {
            if self.backup {
                outcome.set("backup_file", keep(host, &text)?);
            }
            self.write(host, file.as_deref(), lines.iter().map(|line| format!("{line}\n")).collect())?;
        }
        let names: Vec<&str> = lines.iter().filter_map(|line| Some(variable(line)?.0)).collect();
        outcome.set("vars", json!(names));
        if let Some(file) = self.cron_file {
            outcome.set("cron_file", file);
        }
        Ok(outcome)
    }
}

/// A variable that a line sets, with its value.
fn variable(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    (!name.is_empty() && !name.starts_with('#') && !name.contains(char::is_whitespace)).then(|| (name, value.trim()))
}

/// Puts the old content into a temporary file.
fn keep(host: &Host, text: &str) -> Result<String, Failure> {
    let path = host.make_temporary(Path::new("/tmp"), ("cronvar", ""), false)?.unwrap_or_default();
    host.write_file(&path, &Content::from(text.as_bytes().to_vec()), &WriteOptions::default())?;
    Ok(path.to_string_lossy().into_owned())
}

impl CronVar {
    /// `crontab` of the user.
    fn crontab(&self) -> Command {
        let command = Command::new("crontab").c_locale();
        match &self.user {
            Some(user) => command.args(["-u", user]),
            None => command,
        }
    }

    fn read(&self, host: &Host, file: Option<&Path>) -> Result<String, Failure> {
        let Some(file) = file else {
            let output = host.query(&self.crontab().arg("-l"))?;
            return match output.rc {
                // 1 says that there is none.
                0 | 1 => Ok(output.stdout_text()),
                rc => Err(Failure::new(format!("Unable to read crontab: {}", output.complaint())).with("rc", rc)),
            };
        };
        let bytes = host.read_if_exists(file)?.unwrap_or_default();
        String::from_utf8(bytes).context(|| format!("cannot read {}", file.display()))
    }

    fn write(&self, host: &Host, file: Option<&Path>, text: String) -> Result<(), Failure> {
        match file.map(PathBuf::from) {
            Some(file) => {
                let options = WriteOptions { mode_if_new: Some(0o644), ..WriteOptions::default() };
                host.write_file(&file, &Content::from(text.into_bytes()), &options).map(drop)
            }
            None => host.run_ok(&self.crontab().arg("-").stdin(text)).map(drop),
        }
    }

    /// Gives the variable its value where it stands, or a line in its place; a new one comes first without one.
    fn set(&self, lines: &mut Vec<String>, value: &str) -> Result<bool, Failure> {
        let line = format!("{}={value}", self.name);
        let bare = value.trim_matches(['"', '\'']);
        let mut found = false;
        let mut changed = false;
        for old in lines.iter_mut() {
            match variable(old) {
                Some((name, there)) if name == self.name => {
                    found = true;
                    if there != value && there.trim_matches(['"', '\'']) != bare {
                        changed = true;
                        old.clone_from(&line);
                    }
                }
                _ => {}
            }
        }
        if found {
            return Ok(changed);
        }
        let find = |other: &String| {
            let at = lines.iter().position(|line| variable(line).is_some_and(|(name, _)| name == other));
            at.ok_or_else(|| Failure::new(format!("Variable named '{other}' not found.")))
        };
        let at = match (&self.insertafter, &self.insertbefore) {
            (Some(other), _) => find(other)? + 1,
            (_, Some(other)) => find(other)?,
            _ => 0,
        };
        lines.insert(at, line);
        Ok(true)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

    use super::super::stage::Stage;
    use super::*;

    #[test]
    fn variables_of_users() {
        let stage = Stage::new(&[]);
        stage.program(
            "crontab",
            "for last; do :; done; case $last in -l) cat $R/tab 2>/dev/null || exit 1;; *) cat >$R/tab;; esac",
        );
        let call = |args: Value| stage.call::<CronVar>(args).unwrap();
        let made = call(json!({"name": "A", "value": "x y", "user": "me"}));
        assert_eq!((made.changed, &made.fields["vars"]), (true, &json!(["A"])));
        assert_eq!(stage.calls(), ["crontab [-u] [me] [-l]", "crontab [-u] [me] [-]"]);
        assert!(!call(json!({"name": "A", "value": "x y"})).changed);
        call(json!({"name": "B", "value": "q\"r", "insertbefore": "A"}));
        call(json!({"name": "C", "value": "1", "insertafter": "A"}));
        assert_eq!(stage.text("/tab"), "B=q\"r\nA=x y\nC=1\n");
        let failure = stage.call::<CronVar>(json!({"name": "D", "value": "1", "insertafter": "no"})).unwrap_err();
        assert!(failure.msg.contains("'no' not found"));
        let gone = json!({"name": "A", "state": "absent"});
        assert!(call(gone.clone()).changed && !call(gone).changed);
    }

    #[test]
    fn variables_of_files() {
        let stage = Stage::new(&[("/etc/cron.d/z", "E = \"1\"\n# c\n* * * * * root x\n"), ("/tmp/x", "")]);
        let args = json!({"name": "E", "value": "2", "cron_file": "z", "backup": true});
        let done = stage.call::<CronVar>(args).unwrap();
        assert_eq!(stage.text("/etc/cron.d/z"), "E=2\n# c\n* * * * * root x\n");
        assert!(stage.text(done.fields["backup_file"].as_str().unwrap()).starts_with("E = "));
        assert!(!stage.call::<CronVar>(json!({"name": "E", "value": "\"2\"", "cron_file": "z"})).unwrap().changed);
        for bad in
            [json!({"name": "A"}), json!({"name": "A=", "value": "b"}), json!({"name": "A", "value": "b\n* * *"})]
        {
            assert!(stage.call::<CronVar>(bad).is_err());
        }
    }
}
