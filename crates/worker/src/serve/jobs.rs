//! Jobs: calls that go on when nobody waits for them.
//!
//! A job is a process of this program's own, in a session of its own, started by the worker of the user whom the task
//! becomes. It outlives worker, connection and controller, ends itself when its time is up, and leaves one file: its result,
//! under its id, in the directory that the task names.

// Starting a process of the worker's own, and its result file, are no changes of the host that a task asked for.
#![allow(clippy::disallowed_methods)]

use std::fs::{self, DirBuilder};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rplay_protocol::{Detach, Object, Run};
use serde_json::{Value, json};

use crate::host::{Cancel, Host, temporary};
use crate::module::{Context, Failure, Outcome};
use crate::modules;

/// What a job's process is called with.
pub const ARGUMENTS: [&str; 2] = ["worker", "job"];

/// Where results are when nobody says otherwise.
#[must_use]
pub fn default_directory() -> String {
    "~/.ansible_async".to_owned()
}

/// How long a call whose time is up may take to end what it does, before its commands are killed; and after that.
const GRACE: Duration = Duration::from_secs(1);

/// What marks the file of a job that runs: its process, told from any later one with the same number.
const PROCESS: &str = "_rplay_process";

/// Starts a job; gives what the controller is told at once.
pub(super) fn start(job: &Detach) -> Result<Object, Failure> {
    if job.run.calls.len() != 1 || job.run.calls.iter().any(|call| call.payload.or(call.stage).is_some()) {
        return Err(Failure::new("a job is one call without content"));
    }
    let text = serde_json::to_vec(job).context(|| "cannot pass the job on".to_owned())?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("rplay").args(ARGUMENTS).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().context(|| "cannot start a process for the job".to_owned())?;
    let said = talk(&mut child, &text);
    // Whoever ends while this worker is there is not left lying about.
    std::thread::spawn(move || child.wait());
    let said = said.context(|| "the job's process did not start".to_owned())?;
    serde_json::from_slice(&said).context(|| "the job's process did not start".to_owned())
}

/// Gives a job's process its task and takes its first and only line.
fn talk(child: &mut std::process::Child, text: &[u8]) -> io::Result<Vec<u8>> {
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text)?;
    }
    let mut said = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_until(b'\n', &mut said)?;
    }
    Ok(said)
}

/// What a job's process does: it reads its task, says that it has begun, and carries it out.
pub fn serve(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let mut text = Vec::new();
    input.read_to_end(&mut text)?;
    // The end of the login is not the end of the job. A process that leads a group already cannot, and is not hung up.
    let _ = rustix::process::setsid();
    let job: Detach = serde_json::from_slice(&text)?;
    let begun = Begun::new(&Host::new(), &job.directory, std::process::id());
    let first = match &begun {
        Ok(begun) => begun.told(),
        Err(failure) => failure.clone().into_result(),
    };
    let mut line = serde_json::to_vec(&first)?;
    line.push(b'\n');
    output.write_all(&line)?;
    output.flush()?;
    drop(output);
    match begun {
        Ok(begun) => begun.carry_out(job.run, Duration::from_secs(job.limit)).map_err(|f| io::Error::other(f.msg)),
        Err(_) => Ok(()),
    }
}

/// A job that has its file.
struct Begun {
    jobs: Jobs,
    id: String,
    pid: u32,
}

impl Begun {
    fn new(host: &Host, directory: &str, pid: u32) -> Result<Self, Failure> {
        let jobs = Jobs::new(host, directory)?;
        let shown = || format!("could not create directory: {}", jobs.directory.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&jobs.directory).context(shown)?;
        let mut random = [0; 8];
        let got = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        got.context(|| "cannot make up an id for the job".to_owned())?;
        let id = format!("j{}.{pid}", u64::from_ne_bytes(random) % 999_999_999_999);
        let begun = Self { jobs, id, pid };
        let running = json!({"started": true, "finished": false, "ansible_job_id": begun.id, PROCESS: process(pid)});
        begun.jobs.write(&begun.id, &running)?;
        Ok(begun)
    }

    /// What the controller is told.
    fn told(&self) -> Object {
        let file = self.jobs.file(&self.id).unwrap_or_default();
        let told = json!({
            "changed": true, "started": true, "finished": false, "ansible_job_id": self.id, "results_file": shown(&file),
        });
        told.as_object().cloned().unwrap_or_default()
    }

    /// Carries the call out within its time and writes what came of it.
    fn carry_out(self, run: Run, limit: Duration) -> Result<(), Failure> {
        let cancel = Cancel::default();
        let (done, waiting) = mpsc::channel();
        let canceller = cancel.clone();
        std::thread::spawn(move || done.send(call(run, cancel)));
        let result = match waiting.recv_timeout(limit) {
            Ok(result) => Value::Object(result),
            Err(RecvTimeoutError::Disconnected) => {
                json!({"failed": true, "msg": "the module ended without a result", "ansible_job_id": self.id})
            }
            Err(RecvTimeoutError::Timeout) => {
                // What it is at may clean up behind itself; what does not listen is ended. The word comes a moment
                // later in any case, as the reference's does: a controller that waits has said by then that time is up.
                let word = Instant::now() + GRACE;
                canceller.cancel();
                if waiting.recv_timeout(GRACE).is_err() {
                    canceller.kill();
                    let _ = waiting.recv_timeout(GRACE);
                }
                std::thread::sleep(word.saturating_duration_since(Instant::now()));
                json!({"msg": "Timeout exceeded", "failed": true, "child_pid": self.pid})
            }
        };
        self.jobs.write(&self.id, &result)
    }
}

/// Runs a job's call.
fn call(run: Run, cancel: Cancel) -> Object {
    let Some(entry) = modules::find(&run.module) else {
        return Failure::new(format!("this worker has no module `{}`", run.module)).into_result();
    };
    let host = Host::new().checking(run.check).diffing(run.diff).with_environment(run.environment).with_cancel(cancel);
    let Some(call) = run.calls.first() else { return Failure::new("a job is one call").into_result() };
    match (entry.run)(&call.args, &host) {
        Ok(outcome) => outcome.into_result(run.diff).0,
        Err(failure) => failure.into_result(),
    }
}

/// What tells a process from a later one with its number: the boot and the moment it was started at.
fn process(pid: u32) -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name, which may hold anything, ends with the last bracket.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    Some(format!("{}/{pid}/{}", boot.trim(), fields.nth(18)?))
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The results of jobs in a directory.
#[derive(Debug)]
pub struct Jobs {
    directory: PathBuf,
}

impl Jobs {
    /// The results in a directory of the host's; `~` is the home of whoever asks.
    pub fn new(host: &Host, directory: &str) -> Result<Self, Failure> {
        Ok(Self { directory: host.expand_path(directory)? })
    }

    /// A job's file; none for what cannot be an id.
    fn file(&self, id: &str) -> Option<PathBuf> {
        let fits = !id.is_empty() && !id.contains('/') && !matches!(id, "." | "..");
        fits.then(|| self.directory.join(id))
    }

    fn write(&self, id: &str, value: &Value) -> Result<(), Failure> {
        let attempted = || format!("cannot write the job's result below {}", self.directory.display());
        let file = self.file(id).ok_or_else(|| Failure::new("this is not the id of a job"))?;
        // A temporary file is its owner's alone.
        let mut fresh = temporary(&self.directory, "").context(attempted)?;
        fresh.write_all(value.to_string().as_bytes()).context(attempted)?;
        fresh.persist(file).map(drop).context(attempted)
    }

    fn missing(about: Object) -> Failure {
        Failure { fields: about, ..Failure::new("could not find job") }.with("started", true).with("finished", true)
    }

    /// What a result holds beside what the module said.
    fn about(id: &str, key: &str, file: Option<&Path>) -> Object {
        let mut out = Object::new();
        out.insert("ansible_job_id".to_owned(), id.into());
        if let Some(file) = file {
            out.insert(key.to_owned(), shown(file).into());
        }
        out.insert("stdout".to_owned(), "".into());
        out.insert("stderr".to_owned(), "".into());
        out
    }

    /// What became of a job: the module's own result when it is done.
    pub fn status(&self, id: &str) -> Result<Outcome, Failure> {
        let file = self.file(id);
        let mut fields = Self::about(id, "results_file", file.as_deref());
        let text = file.as_ref().and_then(|file| fs::read(file).ok());
        let Some(text) = text else { return Err(Self::missing(fields)) };
        fields.insert("started".to_owned(), true.into());
        fields.insert("finished".to_owned(), false.into());
        let mut said = match serde_json::from_slice(&text) {
            Ok(Value::Object(said)) => said,
            // One of another program's, not written yet.
            Err(_) if text.is_empty() => return Ok(Outcome { fields, ..Outcome::unchanged() }),
            _ => {
                fields.insert("finished".to_owned(), true.into());
                let text = String::from_utf8_lossy(&text);
                return Err(Failure { msg: format!("Could not parse job output: {text}"), fields });
            }
        };
        let runs = said.contains_key("started");
        let own = said.remove(PROCESS);
        if runs {
            let pid = id.rsplit('.').next().and_then(|pid| pid.parse().ok());
            let alive = match (own.as_ref().and_then(Value::as_str), pid) {
                (Some(own), Some(pid)) => process(pid).is_some_and(|now| now == own),
                // A job of another program's says nothing of its process.
                _ => true,
            };
            if !alive {
                // It may have ended in this very moment, with a result.
                let again = file.as_ref().and_then(|file| fs::read(file).ok());
                if again.is_some_and(|again| again != text) {
                    return self.status(id);
                }
                fields.insert("finished".to_owned(), true.into());
                let msg = "the job ended without a result: its process is gone".to_owned();
                return Err(Failure { msg, fields });
            }
        } else {
            said.insert("finished".to_owned(), true.into());
        }
        fields.extend(said);
        let changed = fields.get("changed").and_then(Value::as_bool).unwrap_or(false);
        Ok(Outcome { changed, fields, ..Outcome::default() })
    }

    /// Removes a job's result.
    pub fn clean(&self, id: &str) -> Result<Outcome, Failure> {
        let file = self.file(id).filter(|file| fs::symlink_metadata(file).is_ok());
        let mut fields = Self::about(id, "erased", self.file(id).as_deref());
        let Some(file) = file else { return Err(Self::missing(fields)) };
        fs::remove_file(&file).context(|| format!("cannot remove {}", file.display()))?;
        fields.insert("started".to_owned(), false.into());
        fields.insert("finished".to_owned(), false.into());
        Ok(Outcome { fields, ..Outcome::unchanged() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rplay_protocol::Call;
    use std::os::unix::fs::PermissionsExt;

    fn shell(line: &str) -> Run {
        let args = json!({"_raw_params": line}).as_object().cloned().unwrap();
        Run {
            module: "ansible.builtin.shell".into(),
            calls: vec![Call { args, payload: None, stage: None }],
            check: false,
            diff: false,
            environment: vec![("COLOUR".into(), "blue".into())],
            stream: false,
        }
    }

    fn begin(root: &Path) -> (Begun, String) {
        let directory = root.join("async/jobs");
        let begun = Begun::new(&Host::new(), directory.to_str().unwrap(), std::process::id()).unwrap();
        let id = begun.id.clone();
        (begun, id)
    }

    fn jobs(root: &Path) -> Jobs {
        Jobs { directory: root.join("async/jobs") }
    }

    #[test]
    fn a_job_is_followed_to_its_end_and_leaves_its_result_alone() {
        let root = tempfile::tempdir().unwrap();
        let (begun, id) = begin(root.path());
        let file = root.path().join("async/jobs").join(&id);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&root.path().join("async/jobs"))), (0o600, 0o700));
        assert_eq!(begun.told()["results_file"], file.to_str().unwrap());
        let running = jobs(root.path()).status(&id).unwrap();
        assert_eq!(running.fields["finished"], false);
        assert!(!running.fields.contains_key(PROCESS));
        begun.carry_out(shell("echo $COLOUR"), Duration::from_secs(20)).unwrap();
        let done = jobs(root.path()).status(&id).unwrap();
        assert_eq!((&done.fields["stdout"], &done.fields["finished"]), (&json!("blue"), &json!(true)));
        assert!(done.changed && done.fields["ansible_job_id"] == id.as_str());
        assert_eq!(fs::read_dir(root.path().join("async/jobs")).unwrap().count(), 1, "only the result");
        assert_eq!(jobs(root.path()).clean(&id).unwrap().fields["erased"], file.to_str().unwrap());
        assert_eq!(jobs(root.path()).status(&id).unwrap_err().msg, "could not find job");
        assert_eq!(jobs(root.path()).clean(&id).unwrap_err().fields["finished"], true);
    }

    #[test]
    fn time_runs_out_for_a_job_and_what_it_started() {
        let root = tempfile::tempdir().unwrap();
        let (begun, id) = begin(root.path());
        let mark = root.path().join("late");
        let line = format!("trap '' TERM; sleep 3; touch {}", mark.display());
        begun.carry_out(shell(&line), Duration::from_millis(200)).unwrap();
        let status = jobs(root.path()).status(&id).unwrap();
        assert_eq!((&status.fields["msg"], &status.fields["failed"]), (&json!("Timeout exceeded"), &json!(true)));
        std::thread::sleep(Duration::from_secs(2));
        assert!(!mark.exists(), "the command went on");
    }

    #[test]
    fn a_job_whose_process_is_gone_is_no_longer_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let (begun, id) = begin(root.path());
        let gone = json!({"started": true, "finished": false, PROCESS: "another boot/1/2"});
        begun.jobs.write(&id, &gone).unwrap();
        let failure = jobs(root.path()).status(&id).unwrap_err();
        assert!(failure.msg.contains("process is gone") && failure.fields["finished"] == true, "{failure:?}");
        // One of the reference's says nothing of its process.
        begun.jobs.write(&id, &json!({"started": true, "finished": false})).unwrap();
        assert_eq!(jobs(root.path()).status(&id).unwrap().fields["finished"], false);
    }

    #[test]
    fn an_id_is_no_path() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("async/jobs")).unwrap();
        fs::write(root.path().join("async/precious"), "{}").unwrap();
        for id in ["../precious", "..", ""] {
            assert!(jobs(root.path()).clean(id).is_err() && jobs(root.path()).status(id).is_err(), "{id}");
        }
        assert!(root.path().join("async/precious").exists());
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        let root = tempfile::tempdir().unwrap();
        let (_, id) = begin(root.path());
        fs::write(root.path().join("async/jobs").join(&id), "{broken").unwrap();
        assert!(jobs(root.path()).status(&id).unwrap_err().msg.starts_with("Could not parse job output: "));
        fs::write(root.path().join("async/jobs").join(&id), "").unwrap();
        assert_eq!(jobs(root.path()).status(&id).unwrap().fields["finished"], false);
    }
}
