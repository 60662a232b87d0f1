//! Running commands: those that only read, and those that change the host.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rplay_protocol::names;

use super::{Host, pipes};
use crate::args::PathArg;
use crate::module::{Context, Failure};

/// A command to run; always an argument vector, never a line for a shell, unless the program is one.
#[derive(Debug, Clone)]
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    stdin: Vec<u8>,
    umask: Option<u32>,
    timeout: Option<Duration>,
    streamed: bool,
}

/// What a command left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Exit status; the negative signal number when a signal ended it, as Python has it.
    pub rc: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Whether it was ended because its time was up.
    pub timed_out: bool,
}

impl Output {
    /// Standard output as text; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The command's own words about what went wrong: its standard error, or else its output.
    #[must_use]
    pub fn complaint(&self) -> String {
        let stderr = self.stderr_text();
        let text = if stderr.trim().is_empty() { self.stdout_text() } else { stderr };
        text.trim().to_owned()
    }
}

impl Command {
    /// A command found on `PATH`, or by its path when that holds a slash.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            environment: Vec::new(),
            directory: None,
            stdin: Vec::new(),
            umask: None,
            timeout: None,
            streamed: false,
        }
    }

    /// `/bin/sh -c` with a line.
    pub fn shell(line: impl Into<OsString>) -> Self {
        Self::new("/bin/sh").arg("-c").arg(line)
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: Into<OsString>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable, over the task's and the worker's.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The C locale, for output that is going to be parsed.
    #[must_use]
    pub fn c_locale(self) -> Self {
        ["LANG", "LC_ALL", "LC_MESSAGES", "LC_CTYPE"].iter().fold(self, |c, name| c.env(*name, "C.UTF-8"))
    }

    /// The directory to run in.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// What to feed to standard input; nothing by default.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// The umask to run with.
    #[must_use]
    pub fn umask(mut self, umask: u32) -> Self {
        self.umask = Some(umask);
        self
    }

    /// Ends the command, with everything it started, when this time is up.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends output to the controller as it comes, when the task asked for that.
    #[must_use]
    pub fn streamed(mut self) -> Self {
        self.streamed = true;
        self
    }

    /// The argument vector, as text for messages and `cmd` return values.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        std::iter::once(&self.program).chain(&self.args).map(|w| names::to_text(w).into_owned()).collect()
    }
}

impl Host {
    /// Runs a command that only reads; it runs in check mode too.
    ///
    /// A status other than 0 is not an error here: see [`Output::rc`]. A program that cannot be started is one.
    pub fn query(&self, command: &Command) -> Result<Output, Failure> {
        self.spawn_and_wait(command)
    }

    /// Runs a command that changes the host; `None` in check mode, in which it does not run.
    pub fn run(&self, command: &Command) -> Result<Option<Output>, Failure> {
        self.change(|| self.spawn_and_wait(command))
    }

    /// Like [`Host::run`], and a status other than 0 is an error that tells the command and its words.
    pub fn run_ok(&self, command: &Command) -> Result<Option<Output>, Failure> {
        let output = self.run(command)?;
        match &output {
            Some(out) if out.rc != 0 => Err(command_failure(command, out)),
            _ => Ok(output),
        }
    }

    /// Like [`Host::query`], and a status other than 0 is an error that tells the command and its words.
    pub fn query_ok(&self, command: &Command) -> Result<Output, Failure> {
        let output = self.query(command)?;
        if output.rc == 0 { Ok(output) } else { Err(command_failure(command, &output)) }
    }

    /// A program's path: on `PATH`, then in the places for system programs.
    #[must_use]
    pub fn find_program(&self, name: &str) -> Option<PathBuf> {
        if name.contains('/') {
            return self.may(Path::new(name), "x").then(|| PathBuf::from(name));
        }
        let path = self.env("PATH").unwrap_or_default();
        let places =
            path.split(':').chain(["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]);
        places
            .filter(|p| !p.is_empty())
            .map(|p| Path::new(p).join(name))
            .find(|p| self.may(p, "x") && self.stat(p).ok().flatten().is_some_and(|meta| meta.is_file()))
    }

    /// A program's path, or a failure that names what is missing.
    pub fn require_program(&self, name: &str) -> Result<PathBuf, Failure> {
        self.find_program(name)
            .ok_or_else(|| Failure::new(format!("Failed to find required executable \"{name}\" in PATH of the host")))
    }

    /// The command that `executable` names, with the arguments it may have, or else the program of this name in PATH.
    pub fn command_of(&self, executable: Option<&PathArg>, program: &str) -> Result<Command, Failure> {
        let Some(given) = executable else { return Ok(Command::new(self.require_program(program)?)) };
        let words = shell_words::split(&given.0).context(|| format!("cannot read {}", given.0))?;
        let (program, rest) = words.split_first().ok_or_else(|| Failure::new("executable is empty"))?;
        Ok(Command::new(self.path(&PathArg(program.clone()))?).args(rest))
    }

    fn spawn_and_wait(&self, command: &Command) -> Result<Output, Failure> {
        let mut process = self.prepare(command);
        process.process_group(0);
        let shown = || format!("cannot run {}", command.program.to_string_lossy());
        let mut child = process.spawn().map_err(|e| {
            let rc = e.raw_os_error().unwrap_or(1);
            Failure::new(format!("{}: {e}", shown())).with("rc", rc).with("cmd", command.words().join(" "))
        })?;
        let group = i32::try_from(child.id()).unwrap_or(0);
        self.with_group(group, || self.communicate(&mut child, command, group)).context(shown)
    }

    /// Waits for a command's process group, which is ended when the call is cancelled meanwhile.
    pub(super) fn with_group<T>(&self, group: i32, wait: impl FnOnce() -> T) -> T {
        self.cancel.groups().push(group);
        if self.is_cancelled() {
            end_group(group);
        }
        let result = wait();
        self.cancel.groups().retain(|g| *g != group);
        result
    }

    pub(super) fn prepare(&self, command: &Command) -> std::process::Command {
        // Found by the places for system programs too: a login without a full PATH still has useradd.
        let found = command.program.to_str().filter(|p| !p.contains('/')).and_then(|name| self.find_program(name));
        let program = found.map_or_else(|| bytes_of(&command.program).into_owned(), PathBuf::into_os_string);
        let mut process = std::process::Command::new(program);
        // Programs name themselves in their messages as they were called.
        process.arg0(bytes_of(&command.program));
        let stdin = if command.stdin.is_empty() { Stdio::null() } else { Stdio::piped() };
        process
            .args(command.args.iter().map(|arg| bytes_of(arg)))
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        process.envs(self.environment.iter().map(|(k, v)| (OsStr::new(k), OsStr::new(v))));
        process.envs(command.environment.iter().map(|(k, v)| (k, v)));
        if let Some(directory) = &command.directory {
            process.current_dir(directory);
        }
        if let Some(umask) = command.umask {
            set_umask_in_child(&mut process, umask);
        }
        process
    }

    fn communicate(&self, child: &mut Child, command: &Command, group: i32) -> std::io::Result<Output> {
        let sink = if command.streamed { self.sink.as_ref() } else { None };
        let deadline = command.timeout.map(|t| Instant::now() + t);
        let end = |hard: bool| if hard { kill_group(group, rustix::process::Signal::KILL) } else { end_group(group) };
        let ended = pipes::communicate(child, &command.stdin, deadline, sink, end)?;
        Ok(Output {
            rc: ended.status.code().unwrap_or_else(|| -ended.status.signal().unwrap_or(1)),
            stdout: ended.stdout,
            stderr: ended.stderr,
            timed_out: ended.timed_out,
        })
    }
}

/// The failure of a command that ended with a status other than 0.
fn command_failure(command: &Command, output: &Output) -> Failure {
    Failure::new(format!("{} failed: {}", command.words().join(" "), output.complaint()))
        .with("rc", output.rc)
        .with("stdout", output.stdout_text())
        .with("stderr", output.stderr_text())
}

/// A word of a command as the program gets it: characters that stand for a name's bytes are those bytes.
fn bytes_of(word: &OsStr) -> Cow<'_, OsStr> {
    word.to_str().map_or(Cow::Borrowed(word), names::to_name)
}

/// Asks a process group to end.
pub(super) fn end_group(group: i32) {
    kill_group(group, rustix::process::Signal::TERM);
}

pub(super) fn kill_group(group: i32, signal: rustix::process::Signal) {
    if let Some(pid) = rustix::process::Pid::from_raw(group).filter(|_| group > 1) {
        // It may have ended by itself in the meantime.
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

#[allow(unsafe_code)]
fn set_umask_in_child(process: &mut std::process::Command, umask: u32) {
    // SAFETY: umask(2) is async-signal-safe and touches nothing but the child's own attribute.
    unsafe {
        process.pre_exec(move || {
            rustix::process::umask(rustix::fs::Mode::from_bits_truncate(umask));
            Ok(())
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_over_when_its_process_is() {
        let began = Instant::now();
        let output = Host::new().query(&Command::shell("echo out; echo err >&2; sleep 20 & exit 3")).unwrap();
        assert_eq!((output.rc, &output.stdout[..], &output.stderr[..]), (3, &b"out\n"[..], &b"err\n"[..]));
        assert!(began.elapsed() < Duration::from_secs(10), "waited for what was left behind");
    }

    #[test]
    fn much_input_and_output_pass_through() {
        let text = vec![b'x'; 3_000_000];
        let output = Host::new().query(&Command::new("cat").stdin(text.clone())).unwrap();
        assert!(output.stdout == text);
        let output = Host::new().query(&Command::new("true").stdin(text)).unwrap();
        assert_eq!(output.rc, 0, "a command need not read its input");
    }

    #[test]
    fn time_runs_out() {
        let command = Command::shell("trap '' TERM; echo begun; while :; do sleep 1; done");
        let output = Host::new().query(&command.timeout(Duration::from_millis(300))).unwrap();
        assert!(output.timed_out && output.stdout == b"begun\n");
        assert_eq!(output.rc, -9);
    }
}
