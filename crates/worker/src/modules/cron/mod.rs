//! `ansible.builtin.cron`.

mod table;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use self::table::{Place, Table};
use super::files::text;
use crate::args::PathArg;
use crate::host::{Command, Content, Diff, Host, WriteOptions};
use crate::module::{Failure, Module, Outcome};

/// Manages jobs and variables of a user's crontab, or of a file under `/etc/cron.d`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Cron {
    /// The job's name, kept in a comment above it; with `env` the variable's.
    name: String,
    /// The command; with `env` the variable's value.
    #[serde(default, alias = "value")]
    job: Option<String>,
    /// Whether it should be there.
    #[serde(default)]
    state: State,
    /// Whose crontab; with `cron_file`, as whom the job runs.
    #[serde(default)]
    user: Option<String>,
    /// A file instead of a user's crontab; relative to `/etc/cron.d`.
    #[serde(default)]
    cron_file: Option<PathArg>,
    /// Whether the old crontab is kept.
    #[serde(default)]
    backup: bool,
    /// The minute (0-59, `*`, `*/2`, …).
    #[serde(default = "any")]
    minute: String,
    /// The hour (0-23).
    #[serde(default = "any")]
    hour: String,
    /// The day of the month (1-31).
    #[serde(default = "any", alias = "dom")]
    day: String,
    /// The month (1-12).
    #[serde(default = "any")]
    month: String,
    /// The day of the week (0-6 for Sunday to Saturday).
    #[serde(default = "any", alias = "dow")]
    weekday: String,
    /// A time by name, instead of all these.
    #[serde(default)]
    special_time: Option<SpecialTime>,
    /// Whether the job stands there but does not run.
    #[serde(default)]
    disabled: bool,
    /// Whether a variable is meant, not a job.
    #[serde(default)]
    env: bool,
    /// After which variable a new one goes.
    #[serde(default)]
    insertafter: Option<String>,
    /// Before which variable a new one goes.
    #[serde(default)]
    insertbefore: Option<String>,
}

fn any() -> String {
    "*".to_owned()
}

/// Whether a job or variable should be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    #[default]
    Present,
    Absent,
}

/// A time by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum SpecialTime {
    Reboot,
    Yearly,
    Annually,
    Monthly,
    Weekly,
    Daily,
    Hourly,
}

impl Module for Cron {
    const NAME: &'static str = "ansible.builtin.cron";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        let present = self.state == State::Present;
        let user = self.user.as_deref().unwrap_or_default();
        let timed = [&self.minute, &self.hour, &self.day, &self.month, &self.weekday].iter().any(|t| *t != "*");
        if self.name.contains(['\n', '\r']) {
            return Err("the name of a job cannot hold line breaks".to_owned());
        }
        if self.cron_file.as_ref().is_some_and(|file| is_system_crontab(&file.0)) {
            return Err("Will not manage /etc/crontab via cron_file, see documentation.".to_owned());
        }
        if self.env && !is_variable(&self.name) {
            return Err("Invalid name for environment variable".to_owned());
        }
        if self.special_time.is_some() && timed {
            return Err("You cannot combine special_time with any of the time or day/date parameters.".to_owned());
        }
        if self.cron_file.is_some() && present && user.is_empty() {
            return Err("To use cron_file=... parameter you must specify user=... as well".to_owned());
        }
        if present && self.job.is_none() {
            return Err("You must specify 'job' to install a new cron job or variable".to_owned());
        }
        match (self.insertafter.is_some(), self.insertbefore.is_some()) {
            (true, true) => Err("parameters are mutually exclusive: insertafter|insertbefore".to_owned()),
            (false, false) => Ok(()),
            _ if !self.env => Err("Insertafter and insertbefore parameters are valid only with env=yes".to_owned()),
            _ => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let place = self.place(host)?;
        let old = place.read(host)?;
        let mut table = if place.is_file() { Table::parse(&old) } else { Table::parse_listed(&old) };
        let shown = table.text();
        let edited = self.edit(&mut table).map_err(Failure::new)?;
        // cron does not read a last line without its end.
        let unfinished = !old.is_empty() && !old.ends_with(['\n', '\r']);
        let mut outcome = Outcome::new(edited || unfinished);
        let new = table.text();
        let removed = self.state == State::Absent && place.is_file() && !old.is_empty() && new.trim().is_empty();
        if outcome.changed {
            if self.backup && !host.check_mode() {
                outcome.set("backup_file", text(&keep(host, &old)?));
            }
            if removed {
                place.remove(host)?
            } else {
                place.write(host, &new)?
            }
            let after = if removed { "/dev/null".to_owned() } else { place.header() };
            let before = if place.is_file() { old } else { shown };
            outcome.diffs.push(Diff::text(before, new).headers(place.header(), after));
        }
        if let Some(file) = &self.cron_file {
            outcome.set("cron_file", file.0.as_str());
        }
        if removed {
            return Ok(outcome.with("state", "absent"));
        }
        outcome.set("jobs", json!(table.jobs()));
        outcome.set("envs", json!(table.variables()));
        let warnings = self.warnings();
        if !warnings.is_empty() {
            outcome.set("warnings", json!(warnings));
        }
        Ok(outcome)
    }
}

/// Whether a `cron_file` is the system's own crontab, which is not one file among others.
fn is_system_crontab(file: &str) -> bool {
    let whole = Path::new("/etc/cron.d").join(file);
    let mut parts: Vec<&std::ffi::OsStr> = Vec::new();
    for part in whole.components() {
        match part {
            std::path::Component::Normal(name) => parts.push(name),
            std::path::Component::ParentDir => drop(parts.pop()),
            _ => {}
        }
    }
    parts == ["etc", "crontab"]
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '=')
}

/// Keeps an old crontab where the reference keeps it, readable for its owner only.
fn keep(host: &Host, old: &str) -> Result<PathBuf, Failure> {
    let stamp = jiff::Zoned::now().strftime("%Y-%m-%d@%H:%M:%S%.6f");
    let path = PathBuf::from(format!("/tmp/crontab.{}.{stamp}", std::process::id()));
    let options = WriteOptions { mode_if_new: Some(0o600), ..WriteOptions::default() };
    host.write_file(&path, &Content::from(old.as_bytes().to_vec()), &options)?;
    Ok(path)
}

impl Cron {
    fn edit(&self, table: &mut Table) -> Result<bool, String> {
        let value = self.job.as_deref().unwrap_or_default();
        Ok(match (self.state, self.env) {
            (State::Absent, true) => table.remove_variable(&self.name),
            (State::Absent, false) => table.remove_job(&self.name),
            (State::Present, false) => table.set_job(&self.name, &self.line(value.trim_end_matches(['\r', '\n']))),
            (State::Present, true) => {
                let place = match (&self.insertafter, &self.insertbefore) {
                    (Some(other), _) => Place::After(other),
                    (_, Some(other)) => Place::Before(other),
                    _ => Place::Top,
                };
                table.set_variable(&self.name, value, &place)?
            }
        })
    }

    /// What is odd about the arguments, and works all the same.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(file) = &self.cron_file {
            let name = Path::new(&file.0).file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) {
                warnings.push(format!(
                    "Filename portion of cron_file (\"{name}\") should consist solely of upper- and lower-case letters, \
                     digits, underscores, and hyphens"
                ));
            }
        }
        if !self.env && self.job.as_deref().is_some_and(|job| job.contains(['\n', '\r'])) {
            warnings.push("Job should not contain line breaks".to_owned());
        }
        warnings
    }

    /// The job as its line.
    fn line(&self, job: &str) -> String {
        let time = match self.special_time {
            Some(special) => format!("@{}", format!("{special:?}").to_lowercase()),
            None => [&self.minute, &self.hour, &self.day, &self.month, &self.weekday].map(String::as_str).join(" "),
        };
        let disabled = if self.disabled { "#" } else { "" };
        match (&self.cron_file, &self.user) {
            (Some(_), Some(user)) => format!("{disabled}{time} {user} {job}"),
            _ => format!("{disabled}{time} {job}"),
        }
    }

    fn place(&self, host: &Host) -> Result<Crontab, Failure> {
        match &self.cron_file {
            // An absolute path stays what it is.
            Some(file) => Ok(Crontab::File(Path::new("/etc/cron.d").join(host.path(file)?))),
            None => Ok(Crontab::User(self.user.clone().filter(|user| !user.is_empty()))),
        }
    }
}

/// Where a crontab is.
enum Crontab {
    File(PathBuf),
    /// A user's, by crontab(1); that of whoever we are without a name.
    User(Option<String>),
}

impl Crontab {
    fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    fn header(&self) -> String {
        match self {
            Self::File(path) => text(path),
            Self::User(Some(user)) => format!("crontab for user \"{user}\""),
            Self::User(None) => "crontab".to_owned(),
        }
    }

    fn command(user: Option<&String>, word: &str) -> Command {
        let command = Command::new("crontab").c_locale();
        let command = match user {
            Some(user) => command.args(["-u", user]),
            None => command,
        };
        command.arg(word)
    }

    fn read(&self, host: &Host) -> Result<String, Failure> {
        let user = match self {
            Self::File(path) => {
                let bytes = host.read_if_exists(path)?.unwrap_or_default();
                return String::from_utf8(bytes)
                    .map_err(|_| Failure::new(format!("{} is not text: it is left alone", path.display())));
            }
            Self::User(user) => user,
        };
        if host.find_program("crontab").is_none() && host.check_mode() {
            // An earlier task of the dry run would have installed it.
            return Ok(String::new());
        }
        host.require_program("crontab")?;
        let output = host.query(&Self::command(user.as_ref(), "-l"))?;
        match output.rc {
            0 => Ok(output.stdout_text()),
            // There is none yet.
            1 => Ok(String::new()),
            _ => Err(Failure::new(format!("Unable to read crontab: {}", output.complaint())).with("rc", output.rc)),
        }
    }

    fn write(&self, host: &Host, new: &str) -> Result<(), Failure> {
        match self {
            Self::File(path) => {
                let options = WriteOptions { mode_if_new: Some(0o644), ..WriteOptions::default() };
                host.write_file(path, &Content::from(new.as_bytes().to_vec()), &options)?;
            }
            Self::User(user) => {
                host.run_ok(&Self::command(user.as_ref(), "-").stdin(new.as_bytes().to_vec()))?;
            }
        }
        Ok(())
    }

    fn remove(&self, host: &Host) -> Result<(), Failure> {
        match self {
            Self::File(path) => host.remove(path),
            Self::User(user) => host.run_ok(&Self::command(user.as_ref(), "-r")).map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests;
