//! `ansible.builtin.command` and `ansible.builtin.shell`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::PathArg;
use crate::host::{Command, Host, Output};
use crate::module::{Failure, Module, Outcome};

/// Runs a program, without a shell.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CommandArgs {
    /// The command line as one string; split into words as a shell would, nothing else is interpreted.
    #[serde(rename = "_raw_params", alias = "cmd", default)]
    line: Option<String>,
    /// The command as a list of words.
    #[serde(default)]
    argv: Vec<String>,
    /// A path (or glob); when it exists, the command is not run.
    #[serde(default)]
    creates: Option<PathArg>,
    /// A path (or glob); when it does not exist, the command is not run.
    #[serde(default)]
    removes: Option<PathArg>,
    /// The directory to run in.
    #[serde(default)]
    chdir: Option<PathArg>,
    /// What to feed to standard input.
    #[serde(default)]
    stdin: Option<String>,
    /// Whether a newline is appended to `stdin`.
    #[serde(default = "yes")]
    stdin_add_newline: bool,
    /// Whether trailing newlines are stripped from the output.
    #[serde(default = "yes")]
    strip_empty_ends: bool,
    /// Whether `~` and `$VAR` in words of `argv` are expanded.
    #[serde(default = "yes")]
    expand_argument_vars: bool,
}

/// Runs a line of shell.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ShellArgs {
    /// The line, as the shell gets it.
    #[serde(rename = "_raw_params", alias = "cmd", default)]
    line: Option<String>,
    /// A path (or glob); when it exists, the command is not run.
    #[serde(default)]
    creates: Option<PathArg>,
    /// A path (or glob); when it does not exist, the command is not run.
    #[serde(default)]
    removes: Option<PathArg>,
    /// The directory to run in.
    #[serde(default)]
    chdir: Option<PathArg>,
    /// The shell; `/bin/sh` by default.
    #[serde(default)]
    executable: Option<PathArg>,
    /// What to feed to standard input.
    #[serde(default)]
    stdin: Option<String>,
    /// Whether a newline is appended to `stdin`.
    #[serde(default = "yes")]
    stdin_add_newline: bool,
    /// Whether trailing newlines are stripped from the output.
    #[serde(default = "yes")]
    strip_empty_ends: bool,
}

fn yes() -> bool {
    true
}

/// Runs a script of the controller's.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Script {
    /// The script's arguments, as one line.
    #[serde(rename = "_raw_params", default)]
    line: String,
    /// The script's file name, from the controller.
    #[serde(default)]
    #[schemars(skip)]
    _original_basename: Option<String>,
    /// A path (or glob); when it exists, the script is not run.
    #[serde(default)]
    creates: Option<PathArg>,
    /// A path (or glob); when it does not exist, the script is not run.
    #[serde(default)]
    removes: Option<PathArg>,
    /// The directory to run in.
    #[serde(default)]
    chdir: Option<PathArg>,
    /// What to run the script with, instead of its first line.
    #[serde(default)]
    executable: Option<String>,
}

impl Module for Script {
    const NAME: &'static str = "ansible.builtin.script";

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let Some(content) = host.content().cloned() else {
            return Err(Failure::new("the script's content did not come with the call"));
        };
        // Kept until the end of this function, in a dry run too: it is the worker's own and gone afterwards.
        let file = host.scratch_program(self._original_basename.as_deref().unwrap_or("script"), &content)?;
        let path = file.to_string_lossy().into_owned();
        let with = self.executable.map(|e| format!("{e} ")).unwrap_or_default();
        let line = format!("{with}{} {}", shell_words::quote(&path), self.line);
        let job = Job {
            command: Command::shell(line.trim_end()),
            shown: Value::String(line.trim_end().to_owned()),
            creates: self.creates,
            removes: self.removes,
            chdir: self.chdir,
            stdin: None,
            stdin_add_newline: false,
            strip_empty_ends: false,
        };
        job.run(host)
    }
}

/// What command and shell have in common once the words are known.
struct Job {
    command: Command,
    shown: Value,
    creates: Option<PathArg>,
    removes: Option<PathArg>,
    chdir: Option<PathArg>,
    stdin: Option<String>,
    stdin_add_newline: bool,
    strip_empty_ends: bool,
}

impl Module for CommandArgs {
    const NAME: &'static str = "ansible.builtin.command";

    fn check(&self) -> Result<(), String> {
        match (self.line.as_deref().map(str::trim).filter(|l| !l.is_empty()), self.argv.is_empty()) {
            (None, true) => Err("no command given".to_owned()),
            (Some(_), false) => Err("only command or argv can be given, not both".to_owned()),
            _ => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let mut words = match &self.line {
            Some(line) if self.argv.is_empty() => shell_words::split(line)
                .map_err(|e| Failure::new(format!("cannot split the command into words: {e}")))?,
            _ => self.argv.clone(),
        };
        if self.expand_argument_vars {
            for word in &mut words {
                *word = host.expand_path(word)?.to_string_lossy().into_owned();
            }
        }
        let Some((program, args)) = words.split_first() else { return Err(Failure::new("no command given")) };
        let job = Job {
            command: Command::new(program).args(args),
            shown: json!(words),
            creates: self.creates,
            removes: self.removes,
            chdir: self.chdir,
            stdin: self.stdin,
            stdin_add_newline: self.stdin_add_newline,
            strip_empty_ends: self.strip_empty_ends,
        };
        job.run(host)
    }
}

impl Module for ShellArgs {
    const NAME: &'static str = "ansible.builtin.shell";

    fn check(&self) -> Result<(), String> {
        match self.line.as_deref().map(str::trim) {
            None | Some("") => Err("no command given".to_owned()),
            _ => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let line = self.line.unwrap_or_default();
        let shell = match &self.executable {
            Some(path) => host.path(path)?,
            None => "/bin/sh".into(),
        };
        let job = Job {
            command: Command::new(shell).arg("-c").arg(&line),
            shown: Value::String(line),
            creates: self.creates,
            removes: self.removes,
            chdir: self.chdir,
            stdin: self.stdin,
            stdin_add_newline: self.stdin_add_newline,
            strip_empty_ends: self.strip_empty_ends,
        };
        job.run(host)
    }
}

impl Job {
    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let directory = self.chdir.as_ref().map(|d| host.path(d)).transpose()?;
        if let Some(directory) = &directory
            && !host.stat(directory)?.is_some_and(|meta| meta.is_dir())
        {
            let msg =
                format!("Unable to change directory before execution: {} is not a directory", directory.display());
            return Err(Failure::new(msg).with("rc", 257).with("cmd", self.shown));
        }
        let exists = |arg: &PathArg| -> Result<bool, Failure> {
            let pattern = host.path(arg)?;
            let pattern = directory.as_ref().map_or(pattern.clone(), |d| d.join(&pattern));
            Ok(!host.glob(&pattern)?.is_empty())
        };
        if let Some(path) = &self.creates
            && exists(path)?
        {
            return Ok(not_run(&self.shown, &format!("Did not run command since '{}' exists", path.0)));
        }
        if let Some(path) = &self.removes
            && !exists(path)?
        {
            return Ok(not_run(&self.shown, &format!("Did not run command since '{}' does not exist", path.0)));
        }
        if host.check_mode() {
            return Ok(self.predicted());
        }
        let mut command = self.command.streamed();
        if let Some(directory) = directory {
            command = command.directory(directory);
        }
        if let Some(mut text) = self.stdin {
            if self.stdin_add_newline {
                text.push('\n');
            }
            command = command.stdin(text);
        }
        let start = jiff::Zoned::now();
        let output = host.run(&command).map_err(|mut failure| {
            failure.fields.insert("cmd".to_owned(), self.shown.clone());
            failure
        })?;
        finished(self.shown, &output.unwrap_or_default(), &start, self.strip_empty_ends)
    }

    /// What check mode can say: with `creates` or `removes` the command would run, without them nobody knows.
    fn predicted(self) -> Outcome {
        let msg = "Command would have run if not in check mode";
        let known = self.creates.is_some() || self.removes.is_some();
        let mut outcome = if known { Outcome::new(true) } else { Outcome::unchanged().with("skipped", true) };
        outcome.set("cmd", self.shown);
        outcome.set("msg", msg);
        outcome.set("rc", 0);
        for key in ["stdout", "stderr"] {
            outcome.set(key, "");
        }
        outcome
    }
}

fn not_run(shown: &Value, msg: &str) -> Outcome {
    Outcome::unchanged()
        .with("cmd", shown.clone())
        .with(
            "stdout",
            format!("skipped, since {}", msg.trim_start_matches("Did not run command since ").replace('\'', "")),
        )
        .with("stderr", "")
        .with("rc", 0)
        .with("msg", msg)
}

fn finished(shown: Value, output: &Output, start: &jiff::Zoned, strip: bool) -> Result<Outcome, Failure> {
    let end = jiff::Zoned::now();
    let text = |text: String| if strip { text.trim_end_matches(['\r', '\n']).to_owned() } else { text };
    let fields = [
        ("cmd", shown),
        ("stdout", text(output.stdout_text()).into()),
        ("stderr", text(output.stderr_text()).into()),
        ("rc", output.rc.into()),
        ("start", stamp(start).into()),
        ("end", stamp(&end).into()),
        ("delta", delta(end.duration_since(start)).into()),
    ];
    if output.rc != 0 {
        let failure = Failure::new("non-zero return code").with("changed", true);
        return Err(fields.into_iter().fold(failure, |f, (key, value)| f.with(key, value)));
    }
    Ok(fields.into_iter().fold(Outcome::new(true).with("msg", ""), |o, (key, value)| o.with(key, value)))
}

/// A point in time as Python writes it.
pub(super) fn stamp(time: &jiff::Zoned) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string()
}

/// A length of time as Python writes it.
pub(super) fn delta(duration: jiff::SignedDuration) -> String {
    let seconds = duration.as_secs();
    format!("{}:{:02}:{:02}.{:06}", seconds / 3600, seconds / 60 % 60, seconds % 60, duration.subsec_micros())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::args;

    fn run(args: Value, host: &Host) -> Result<Outcome, Failure> {
        args::parse::<CommandArgs>(args.as_object().unwrap()).unwrap().run(host)
    }

    #[test]
    fn reports_what_the_command_said() {
        let host = Host::new();
        let outcome = run(json!({"_raw_params": "printf '%s\\n' 'a b' c"}), &host).unwrap();
        assert!(outcome.changed);
        assert_eq!(outcome.fields["stdout"], "a b\nc");
        let failure = run(json!({"argv": ["sh", "-c", "echo no >&2; exit 3"]}), &host).unwrap_err();
        assert_eq!((&failure.fields["rc"], &failure.fields["stderr"]), (&json!(3), &json!("no")));
    }

    #[test]
    fn scripts_run_and_leave_nothing() {
        let host = Host::new().with_content(Some(b"#!/bin/sh\necho \"$0 got $*\"\n".to_vec().into()));
        let object = json!({"_raw_params": "a 'b c'", "_original_basename": "say.sh"});
        let outcome = args::parse::<Script>(object.as_object().unwrap()).unwrap().run(&host).unwrap();
        let said = outcome.fields["stdout"].as_str().unwrap();
        assert!(said.trim_end().ends_with("got a b c"), "{said}");
        let path = said.split(' ').next().unwrap();
        assert!(path.ends_with("say.sh") && !std::path::Path::new(path).exists(), "{path}");
    }

    #[test]
    fn creates_and_removes_decide() {
        let host = Host::new().checking(true);
        assert!(!run(json!({"_raw_params": "true", "creates": "/proc/s*f"}), &host).unwrap().changed);
        assert!(run(json!({"_raw_params": "true", "creates": "/nowhere"}), &host).unwrap().changed);
        assert_eq!(run(json!({"_raw_params": "true"}), &host).unwrap().fields["skipped"], true);
    }
}
