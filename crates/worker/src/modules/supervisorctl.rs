//! `community.general.supervisorctl`.

use std::io::Write;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use tempfile::NamedTempFile;

use super::files::text;
use crate::args::{PathArg, is_word};
use crate::host::{Command, Host, temporary};
use crate::module::{Context, Failure, Module, Outcome};

/// Manages programs, and groups of them, that supervisor looks after.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Supervisorctl {
    /// The program; a group with a colon at its end, or `all`.
    name: String,
    /// The configuration of supervisor.
    #[serde(default)]
    config: Option<PathArg>,
    /// Where supervisor listens.
    #[serde(default)]
    server_url: Option<String>,
    /// Who asks it.
    #[serde(default)]
    username: Option<String>,
    /// The password for that. It goes to the program in a file of its own, never on a command line.
    #[serde(default)]
    password: Option<String>,
    /// What should be.
    state: State,
    /// Whether the program is stopped before it is removed.
    #[serde(default)]
    stop_before_removing: bool,
    /// The signal.
    #[serde(default)]
    signal: Option<String>,
    /// The program `supervisorctl`.
    #[serde(default)]
    supervisorctl_path: Option<PathArg>,
}

/// What should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Present,
    Started,
    Stopped,
    Restarted,
    Absent,
    Signalled,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Restarted => "restarted",
            Self::Absent => "absent",
            Self::Signalled => "signalled",
        }
    }
}

/// A program of supervisor, and how it is.
struct Process {
    name: String,
    status: String,
}

impl Module for Supervisorctl {
    const NAME: &'static str = "community.general.supervisorctl";

    fn check(&self) -> Result<(), String> {
        if self.state == State::Signalled && self.signal.is_none() {
            return Err("state is signalled but all of the following are missing: signal".to_owned());
        }
        if self.password.as_ref().is_some_and(|password| !fits_configuration(password)) {
            return Err(
                "the password cannot stand in a configuration of supervisor: it has white space in it".to_owned()
            );
        }
        let words = [Some(&self.name), self.signal.as_ref()];
        if !words.into_iter().flatten().all(|word| is_word(word)) {
            return Err("name and signal must each be one word that does not begin with a dash".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let (base, _kept) = self.base(host)?;
        if self.state == State::Restarted {
            host.run_ok(&base.clone().arg("update"))?;
        }
        let matched = self.matched(host, &base)?;
        let outcome = match self.state {
            State::Present if matched.is_empty() => self.add(host, &base)?,
            State::Absent if !matched.is_empty() => self.remove(host, &base, &matched)?,
            State::Present | State::Absent => Outcome::unchanged(),
            State::Started | State::Stopped | State::Restarted | State::Signalled => {
                if matched.is_empty() && self.name != "all" {
                    return Err(Failure::new("ERROR (no such process)").with("name", self.name));
                }
                self.act(host, &base, &matched)?
            }
        };
        if outcome.changed && host.check_mode() {
            return Ok(Outcome::new(true));
        }
        Ok(outcome.with("name", self.name.trim_end_matches(':')).with("state", self.state.name()))
    }
}

impl Supervisorctl {
    /// The program with what all calls have, and the file that has to be there for as long as it is called.
    fn base(&self, host: &Host) -> Result<(Command, Option<NamedTempFile>), Failure> {
        let program = match &self.supervisorctl_path {
            Some(path) => {
                let path = host.path(path)?;
                if !host.stat(&path)?.is_some_and(|meta| meta.is_file()) || !host.may(&path, "x") {
                    let msg = "Provided path to supervisorctl does not exist or isn't executable";
                    return Err(Failure::new(format!("{msg}: {}", text(&path))));
                }
                path
            }
            None => host.require_program("supervisorctl")?,
        };
        let mut command = Command::new(program).c_locale();
        let config = self.config.as_ref().map(|config| host.path(config)).transpose()?;
        let secret =
            self.password.as_ref().map(|password| with_password(host, config.as_deref(), password)).transpose()?;
        if let Some(path) = secret.as_ref().map(NamedTempFile::path).or(config.as_deref()) {
            command = command.arg("-c").arg(path);
        }
        for (flag, value) in [("-s", &self.server_url), ("-u", &self.username)] {
            if let Some(value) = value {
                command = command.arg(flag).arg(value);
            }
        }
        Ok((command, secret))
    }

    /// The programs that are meant, as supervisor has them.
    fn matched(&self, host: &Host, base: &Command) -> Result<Vec<Process>, Failure> {
        let output = host.query(&base.clone().arg("status"))?;
        let said = output.stdout_text();
        let mut matched = Vec::new();
        for line in said.lines() {
            let mut words = line.split_whitespace();
            let (Some(name), Some(status)) = (words.next(), words.next()) else { continue };
            // Of a supervisor that is not there it tells in place of the programs.
            if name.contains("://") || name == "error:" {
                return Err(Failure::new(line.trim()).with("rc", output.rc));
            }
            let group = self.name.ends_with(':') && name.starts_with(&self.name);
            if self.name == "all" || name == self.name || group {
                matched.push(Process { name: name.to_owned(), status: status.to_owned() });
            }
        }
        if said.trim().is_empty() && output.rc != 0 && !output.stderr.is_empty() {
            return Err(Failure::new(output.complaint()).with("rc", output.rc));
        }
        Ok(matched)
    }

    /// Runs a command whose output must have a word in it.
    fn tell(host: &Host, command: &Command, word: &str) -> Result<(), Failure> {
        match host.run(command)? {
            Some(output) if !output.stdout_text().contains(word) => {
                let said = if output.stdout.is_empty() { output.stderr_text() } else { output.stdout_text() };
                Err(Failure::new(said))
            }
            _ => Ok(()),
        }
    }

    fn add(&self, host: &Host, base: &Command) -> Result<Outcome, Failure> {
        host.run(&base.clone().arg("reread"))?;
        let name = self.name.trim_end_matches(':');
        Self::tell(host, &base.clone().args(["add", name]), "added process group")
            .map_err(|failure| failure.with("name", name).with("state", "present"))?;
        Ok(Outcome::new(true))
    }

    fn remove(&self, host: &Host, base: &Command, matched: &[Process]) -> Result<Outcome, Failure> {
        if self.stop_before_removing {
            for process in matched.iter().filter(|process| process.up()) {
                Self::tell(host, &base.clone().args(["stop", &process.name]), "stopped")?;
            }
        }
        host.run(&base.clone().arg("reread"))?;
        let name = self.name.trim_end_matches(':');
        Self::tell(host, &base.clone().args(["remove", name]), "removed process group")
            .map_err(|failure| failure.with("name", name).with("state", "absent"))?;
        Ok(Outcome::new(true))
    }

    /// Starts, stops, restarts or signals those that are not as they should be.
    fn act(&self, host: &Host, base: &Command, matched: &[Process]) -> Result<Outcome, Failure> {
        let signal = self.signal.as_deref().unwrap_or_default();
        let (words, word): (&[&str], _) = match self.state {
            State::Started => (&["start"], "started"),
            State::Stopped => (&["stop"], "stopped"),
            State::Signalled => (&["signal", signal], "signalled"),
            _ => (&["restart"], "started"),
        };
        let wanted = |process: &&Process| match self.state {
            State::Started => !process.up(),
            State::Stopped => process.up(),
            State::Signalled => process.status == "RUNNING",
            _ => true,
        };
        let mut affected = Vec::new();
        for process in matched.iter().filter(wanted) {
            Self::tell(host, &base.clone().args(words).arg(&process.name), &format!(": {word}"))?;
            affected.push(process.name.clone());
        }
        let outcome = Outcome::new(!affected.is_empty());
        Ok(if affected.is_empty() { outcome } else { outcome.with("affected", affected) })
    }
}

impl Process {
    fn up(&self) -> bool {
        matches!(self.status.as_str(), "RUNNING" | "STARTING")
    }
}

/// Where supervisor's programs look for their configuration.
const CONFIGURATIONS: &[&str] = &["/etc/supervisord.conf", "/etc/supervisor/supervisord.conf"];

/// Whether a configuration gives a value back as it is: white space is taken off its ends, or begins a comment.
fn fits_configuration(value: &str) -> bool {
    !value.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// A configuration for the program alone, for nobody else to read: what the one in use says to it, with another password.
fn with_password(host: &Host, config: Option<&Path>, password: &str) -> Result<NamedTempFile, Failure> {
    let places = CONFIGURATIONS.iter().map(Path::new).filter(|_| config.is_none());
    let mut lines = vec!["[supervisorctl]".to_owned()];
    for path in config.into_iter().chain(places) {
        if config.is_some() || host.exists(path)? {
            let here = path.parent().map(text).unwrap_or_default();
            let kept = section(&host.text(path).unwrap_or_default(), "supervisorctl");
            lines.extend(kept.into_iter().map(|line| line.replace("%(here)s", &here)));
            break;
        }
    }
    // Doubled, since a percent sign begins an expansion.
    lines.push(format!("password = {}\n", password.replace('%', "%%")));
    let attempted = || "cannot keep the password for supervisorctl".to_owned();
    let mut file = temporary(&std::env::temp_dir(), "").context(attempted)?;
    file.write_all(lines.join("\n").as_bytes()).context(attempted)?;
    Ok(file)
}

/// The lines of a section without its password.
fn section(text: &str, name: &str) -> Vec<String> {
    let header = |line: &str| line.trim().strip_prefix('[').and_then(|l| l.split(']').next()).map(str::to_owned);
    let lines = text.lines().skip_while(|line| header(line).as_deref() != Some(name)).skip(1);
    let is_password = |line: &&str| line.split(['=', ':']).next().is_some_and(|key| key.trim() == "password");
    lines.take_while(|line| header(line).is_none()).filter(|line| !is_password(line)).map(str::to_owned).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::stage::Stage;
    use super::*;

    const PROGRAM: &str = "[ $1 = -s ] && shift 2; case $1 in status) cat $R/status;; start) [ $2 = fail ] && echo 'fail: ERROR (spawn error)' \
        || echo $2: started;; stop) echo $2: stopped;; restart) echo $2: stopped; echo $2: started;; signal) echo $3: signalled;;\
        add) echo $2: added process group;; remove) [ $2 = up ] && [ ! -e $R/force ] && echo ERROR: still running \
        || echo $2: removed process group;; esac; true";
    const STATUS: &str =
        "up     RUNNING   pid 1\ndown  STOPPED Not started\ng:a  STOPPED\ng:b  STARTING\nfail FATAL x\n";

    fn stage() -> Stage {
        let stage = Stage::new(&[("/status", STATUS)]);
        stage.program("supervisorctl", PROGRAM);
        stage
    }

    #[test]
    fn programs_are_as_they_should_be() {
        for (name, state, made) in [
            ("up", "present", vec![]),
            ("new", "present", vec!["reread]", "add] [new]"]),
            ("g:", "present", vec![]),
            ("up", "started", vec![]),
            ("down", "started", vec!["start] [down]"]),
            ("g:", "started", vec!["start] [g:a]"]),
            ("g:a", "started", vec!["start] [g:a]"]),
            ("up", "stopped", vec!["stop] [up]"]),
            ("all", "stopped", vec!["stop] [up]", "stop] [g:b]"]),
            ("down", "stopped", vec![]),
            ("down", "restarted", vec!["update]", "restart] [down]"]),
            ("down", "absent", vec!["reread]", "remove] [down]"]),
            ("none", "absent", vec![]),
            ("up", "signalled", vec!["signal] [HUP] [up]"]),
            ("down", "signalled", vec![]),
        ] {
            let stage = stage();
            let mut args = json!({"name": name, "state": state, "server_url": "u"});
            if state == "signalled" {
                args["signal"] = json!("HUP");
            }
            let dry = stage.check::<Supervisorctl>(args.clone()).unwrap();
            assert_eq!(stage.calls(), ["supervisorctl [-s] [u] [status]"]);
            let told = stage.call::<Supervisorctl>(args).unwrap();
            assert_eq!((dry.changed, told.changed), (!made.is_empty(), !made.is_empty()), "{name} {state}");
            let mut calls = stage.calls();
            calls.retain(|call| !call.contains("[status]"));
            let wanted: Vec<String> = made.iter().map(|words| format!("supervisorctl [-s] [u] [{words}")).collect();
            assert_eq!(calls, wanted);
            assert_eq!(told.fields["name"], name.trim_end_matches(':'));
        }
        let told = stage().call::<Supervisorctl>(json!({"name": "all", "state": "stopped"})).unwrap();
        assert_eq!(told.fields["affected"], json!(["up", "g:b"]));
    }

    #[test]
    fn a_password_is_in_a_file_that_goes_away() {
        let stage = stage();
        stage.program("supervisorctl", &format!("[ $1 = -c ] && cp $2 $R/seen && shift 2; {PROGRAM}"));
        let config =
            "[supervisord]\nx=1\n[supervisorctl] ; c\nserverurl=unix://%(here)s/s\npassword = old\n[include]\n";
        stage.file("/etc/supervisor/supervisord.conf", config);
        stage.call::<Supervisorctl>(json!({"name": "up", "state": "started", "password": "p%a'"})).unwrap();
        let here = stage.real("/etc/supervisor").display().to_string();
        let seen = stage.text("/seen").replace(&here, "/etc/supervisor");
        assert_eq!(seen, "[supervisorctl]\nserverurl=unix:///etc/supervisor/s\npassword = p%%a'\n");
        let call = stage.calls().remove(0);
        let file = call.split(['[', ']']).nth(3).unwrap().to_owned();
        assert!(!Path::new(&file).exists() && !call.contains("p%a"), "{call}");
    }

    #[test]
    fn a_program_is_stopped_before_it_goes() {
        let stage = stage();
        stage.file("/force", "");
        stage.call::<Supervisorctl>(json!({"name": "up", "state": "absent", "stop_before_removing": true})).unwrap();
        let calls = ["[status]", "[stop] [up]", "[reread]", "[remove] [up]"];
        assert_eq!(stage.calls(), calls.map(|call| format!("supervisorctl {call}")));
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (args, word) in [
            (json!({"name": "none", "state": "started"}), "no such process"),
            (json!({"name": "fail", "state": "started"}), "spawn error"),
            (json!({"name": "up", "state": "absent"}), "still running"),
            (json!({"name": "up", "state": "signalled"}), "missing: signal"),
            (json!({"name": "up", "state": "started", "password": "x y"}), "white space"),
            (json!({"name": "-x", "state": "started"}), "one word"),
            (json!({"name": "up", "state": "started", "supervisorctl_path": "/none"}), "isn't executable: /none"),
        ] {
            assert!(stage().call::<Supervisorctl>(args).unwrap_err().msg.contains(word), "{word}");
        }
        let stage = stage();
        stage.file("/status", "unix:///run/supervisor.sock no such file\n");
        let failure = stage.call::<Supervisorctl>(json!({"name": "up", "state": "present"})).unwrap_err();
        assert!(failure.msg.contains("no such file"));
    }
}
