//! `ansible.builtin.command` and `ansible.builtin.shell`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::files::text;
use crate::args::{PathArg, yes};
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
    argv: Option<Vec<String>>,
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
    /// Whether `~` and `$VAR` in words of the command are expanded.
    #[serde(default = "yes")]
    expand_argument_vars: bool,
    /// Not used: what needs a shell is for the module `shell`.
    #[serde(default)]
    executable: Option<String>,
}

/// Runs a line of shell.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ShellArgs {
    /// The line, as the shell gets it.
    #[serde(rename = "_raw_params", alias = "cmd", default)]
    line: Option<String>,
    /// The command as a list of words, which the shell gets quoted.
    #[serde(default)]
    argv: Option<Vec<String>>,
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
    /// Refused: the shell expands variables itself.
    #[serde(default)]
    #[schemars(skip)]
    expand_argument_vars: Option<Value>,
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

    fn check(&self) -> Result<(), String> {
        match &self.chdir {
            Some(PathArg(path)) if !path.starts_with(['/', '~', '$']) && !path.starts_with('\0') => {
                Err(format!("chdir {path} must be an absolute path for a Unix-aware remote node"))
            }
            _ => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let there = |arg: &PathArg| Ok::<_, Failure>(!host.glob(&host.path(arg)?)?.is_empty());
        if let Some(path) = self.creates.as_ref().filter(|path| !path.0.is_empty())
            && there(path)?
        {
            return Ok(Outcome::skipped(format!("{} exists, matching creates option", path.0)));
        }
        if let Some(path) = self.removes.as_ref().filter(|path| !path.0.is_empty())
            && !there(path)?
        {
            return Ok(Outcome::skipped(format!("{} does not exist, matching removes option", path.0)));
        }
        if host.check_mode() {
            let known = self.creates.is_some() || self.removes.is_some();
            let unknown = || Outcome::skipped("Check mode is not supported for this task.");
            return Ok(if known { Outcome::new(true) } else { unknown() });
        }
        let Some(content) = host.content().cloned() else {
            return Err(Failure::new("the script's content did not come with the call"));
        };
        // Kept until the end of this function: it is the worker's own and gone afterwards.
        let file = host.scratch_program(self._original_basename.as_deref().unwrap_or("script"), &content)?;
        let path = text(&file);
        let with = self.executable.map(|e| format!("{e} ")).unwrap_or_default();
        let mut line = format!("{with}{} {}", shell_words::quote(&path), self.line);
        if let Some(chdir) = &self.chdir {
            let directory = text(&host.path(chdir)?);
            line = format!("cd {} && {line}", shell_words::quote(&directory));
        }
        let output = host.run(&Command::shell(line.trim_end()).streamed())?.unwrap_or_default();
        let fields = [
            ("rc", Value::from(output.rc)),
            ("stdout", output.stdout_text().into()),
            ("stderr", output.stderr_text().into()),
        ];
        if output.rc != 0 {
            let failure = Failure::new("non-zero return code").with("changed", true);
            return Err(fields.into_iter().fold(failure, |f, (key, value)| f.with(key, value)));
        }
        Ok(fields.into_iter().fold(Outcome::new(true), |o, (key, value)| o.with(key, value)))
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

/// Refuses a call that says no command, or two.
fn one_command(line: Option<&str>, argv: Option<&[String]>) -> Result<(), String> {
    match (line.map(str::trim).filter(|l| !l.is_empty()), argv) {
        (None, None) => Err("one of the following is required: _raw_params, cmd, argv".to_owned()),
        (Some(_), Some(_)) => Err("parameters are mutually exclusive: _raw_params|cmd|argv".to_owned()),
        (None, Some([])) => Err("argv is empty: there is no command".to_owned()),
        _ => Ok(()),
    }
}

/// The words of a line as Python's `shlex.split` has them: quotes keep words together, `#` is a letter like others.
fn words(line: &str) -> Result<Vec<String>, Failure> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    let unclosed = |what: &str| Failure::new(format!("cannot split the command into words: {what}"));
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().push(chars.next().ok_or_else(|| unclosed("it ends in a backslash"))?),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or_else(|| unclosed("a quotation is not closed"))? {
                        end if end == c => break,
                        '\\' if c == '"' => match chars.next().ok_or_else(|| unclosed("a quotation is not closed"))? {
                            escaped @ ('"' | '\\') => word.push(escaped),
                            other => word.extend(['\\', other]),
                        },
                        other => word.push(other),
                    }
                }
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

impl Module for CommandArgs {
    const NAME: &'static str = "ansible.builtin.command";

    fn check(&self) -> Result<(), String> {
        one_command(self.line.as_deref(), self.argv.as_deref())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let shown = match (&self.argv, &self.line) {
            (Some(argv), _) => argv.clone(),
            (None, line) => words(line.as_deref().unwrap_or_default())?,
        };
        let mut words = shown.clone();
        if self.expand_argument_vars {
            for word in &mut words {
                *word = text(&host.expand_path(word)?);
            }
        }
        let Some((program, args)) = words.split_first() else { return Err(Failure::new("no command given")) };
        let job = Job {
            command: Command::new(program).args(args),
            // As it was written: an expanded variable may hold what is not for everybody's eyes.
            shown: json!(shown),
            creates: self.creates,
            removes: self.removes,
            chdir: self.chdir,
            stdin: self.stdin,
            stdin_add_newline: self.stdin_add_newline,
            strip_empty_ends: self.strip_empty_ends,
        };
        let mut result = job.run(host);
        if let Some(executable) = &self.executable {
            let warning = format!(
                "The parameter 'executable' is no longer supported with the 'command' module. Not using '{executable}'."
            );
            match &mut result {
                Ok(outcome) => outcome.set("warnings", json!([warning])),
                Err(failure) => drop(failure.fields.insert("warnings".to_owned(), json!([warning]))),
            }
        }
        result
    }
}

impl Module for ShellArgs {
    const NAME: &'static str = "ansible.builtin.shell";

    fn check(&self) -> Result<(), String> {
        if self.expand_argument_vars.is_some() {
            return Err("Unsupported parameters for (shell) module: expand_argument_vars".to_owned());
        }
        one_command(self.line.as_deref(), self.argv.as_deref())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let (line, shown) = match &self.argv {
            Some(argv) => (shell_words::join(argv), json!(argv)),
            None => (self.line.clone().unwrap_or_default(), json!(self.line)),
        };
        let shell = match &self.executable {
            Some(path) => host.path(path)?,
            None => "/bin/sh".into(),
        };
        let job = Job {
            command: Command::new(shell).arg("-c").arg(&line),
            shown,
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
        let directory = self.chdir.as_ref().filter(|d| !d.0.is_empty()).map(|d| host.path(d)).transpose()?;
        if let Some(directory) = &directory
            && !host.stat(directory)?.is_some_and(|meta| meta.is_dir())
        {
            let msg =
                format!("Unable to change directory before execution. {} is not a directory", directory.display());
            let failure = not_started(msg, self.shown, Value::Null);
            return Err(NO_TIMES.into_iter().fold(failure, |f, key| f.with(key, Value::Null)));
        }
        let exists = |arg: &PathArg| -> Result<bool, Failure> {
            let pattern = host.path(arg)?;
            let pattern = directory.as_ref().map_or(pattern.clone(), |d| d.join(&pattern));
            Ok(!host.glob(&pattern)?.is_empty())
        };
        if let Some(path) = self.creates.as_ref().filter(|path| !path.0.is_empty())
            && exists(path)?
        {
            return Ok(not_run(&self.shown, host, &format!("run command since '{}' exists", path.0)));
        }
        if let Some(path) = self.removes.as_ref().filter(|path| !path.0.is_empty())
            && !exists(path)?
        {
            return Ok(not_run(&self.shown, host, &format!("run command since '{}' does not exist", path.0)));
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
        let output = host.run(&command).map_err(|failure| {
            let rc = failure.fields.get("rc").cloned().unwrap_or(json!(257));
            let shown = shell_words::join(command.words());
            not_started(format!("Error executing command. {}", failure.msg), shown.into(), rc)
        })?;
        finished(self.shown, &output.unwrap_or_default(), &start, self.strip_empty_ends)
    }

    /// What check mode can say: with `creates` or `removes` the command would run, without them nobody knows.
    fn predicted(self) -> Outcome {
        let msg = "Command would have run if not in check mode";
        let known = self.creates.is_some() || self.removes.is_some();
        let mut outcome =
            if known { Outcome::new(true) } else { Outcome::unchanged().with("skipped", true).with("failed", false) };
        outcome.set("cmd", self.shown);
        outcome.set("msg", msg);
        outcome.set("rc", 0);
        for key in ["start", "end", "delta"] {
            outcome.set(key, Value::Null);
        }
        for key in ["stdout", "stderr"] {
            outcome.set(key, "");
        }
        NO_TIMES.into_iter().fold(outcome, |o, key| o.with(key, Value::Null))
    }
}

/// The times that a command has when it is run; they are null when it is not.
const NO_TIMES: [&str; 3] = ["start", "end", "delta"];

fn not_run(shown: &Value, host: &Host, why: &str) -> Outcome {
    let since = why.trim_start_matches("run command since ").replace('\'', "");
    let verb = if host.check_mode() { "Would not" } else { "Did not" };
    NO_TIMES
        .into_iter()
        .fold(Outcome::unchanged(), |o, key| o.with(key, Value::Null))
        .with("cmd", shown.clone())
        .with("stdout", format!("skipped, since {since}"))
        .with("stderr", "")
        .with("rc", 0)
        .with("msg", format!("{verb} {why}"))
}

/// The failure of a command that could not even be begun.
fn not_started(msg: String, shown: Value, rc: Value) -> Failure {
    Failure::new(msg).with("cmd", shown).with("rc", rc).with("stdout", "").with("stderr", "")
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
        assert!(run(json!({"_raw_params": "true", "chdir": ""}), &host).unwrap().changed);
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
    fn words_are_split_as_python_does() {
        let split = |line: &str| words(line).unwrap();
        assert_eq!(split(" a  'b c' \"d\\\"e\" # f"), ["a", "b c", "d\"e", "#", "f"]);
        assert_eq!(split(r#"a\ b "\$x" '' x"y"z"#), ["a b", "\\$x", "", "xyz"]);
        assert!(words("it's").is_err() && words("a \\").is_err());
    }

    #[test]
    fn shells_take_words_too() {
        let object = json!({"argv": ["echo", "$HOME", "a b"]});
        let outcome = args::parse::<ShellArgs>(object.as_object().unwrap()).unwrap().run(&Host::new()).unwrap();
        assert_eq!((&outcome.fields["stdout"], &outcome.fields["cmd"]), (&json!("$HOME a b"), &object["argv"]));
        let object = json!({"_raw_params": "true", "expand_argument_vars": false});
        let refused = args::parse::<ShellArgs>(object.as_object().unwrap()).unwrap().check().unwrap_err();
        assert_eq!(refused, "Unsupported parameters for (shell) module: expand_argument_vars");
    }

    #[test]
    fn says_why_nothing_ran() {
        let host = Host::new();
        let failure = run(json!({"_raw_params": "/nowhere/x 'a b'"}), &host).unwrap_err();
        assert_eq!((&failure.fields["rc"], &failure.fields["cmd"]), (&json!(2), &json!("/nowhere/x 'a b'")));
        let outcome = run(json!({"_raw_params": "true", "executable": "/bin/bash"}), &host).unwrap();
        assert!(outcome.fields["warnings"][0].as_str().unwrap().contains("no longer supported"));
        let failure = run(json!({"_raw_params": "cat nothing-here"}), &host).unwrap_err();
        assert!(failure.fields["stderr"].as_str().unwrap().starts_with("cat: "), "{failure:?}");
    }

    #[test]
    fn creates_and_removes_decide() {
        let host = Host::new().checking(true);
        assert!(!run(json!({"_raw_params": "true", "creates": "/proc/s*f"}), &host).unwrap().changed);
        assert!(run(json!({"_raw_params": "true", "creates": "/nowhere"}), &host).unwrap().changed);
        assert_eq!(run(json!({"_raw_params": "true"}), &host).unwrap().fields["skipped"], true);
    }
}
