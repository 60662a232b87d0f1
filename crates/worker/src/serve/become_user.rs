//! Become: a worker of another user's, started by this one and relayed to.
//!
//! The login user's worker starts `sudo … rplay worker` and passes frames on untouched, so one connection serves every
//! user of a host. A password goes to the method's prompt through its standard input, never to a command line or a file.

// Starting a worker is not a change of the host.
#![allow(clippy::disallowed_methods)]

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rplay_protocol::{BecomeSpec, Frame, MAGIC, Reply};

use super::Out;
use crate::host::temporary;

/// The become sessions of a login.
pub(super) struct Sessions {
    out: Out,
    sessions: HashMap<u32, Session>,
}

struct Session {
    frames: Sender<Frame>,
    thread: JoinHandle<()>,
}

/// What sudo and su print when they want a password: unlike anything else on standard error.
const PROMPT: &str = "[rplay become] password: ";

impl Sessions {
    pub(super) fn new(out: Out) -> Self {
        Self { out, sessions: HashMap::new() }
    }

    /// Starts a session; frames for it may follow at once and wait until it is up.
    pub(super) fn start(&mut self, id: u64, route: u32, spec: BecomeSpec, password: Vec<u8>) {
        let (frames, waiting) = mpsc::channel();
        let out = self.out.clone();
        let thread = std::thread::spawn(move || match open(&spec, password) {
            Ok(worker) => worker.relay(id, route, &waiting, &out),
            Err(message) => {
                out.error(id, route, "become", &message);
                for frame in waiting {
                    out.error(frame.id, route, "become", &message);
                }
            }
        });
        self.sessions.insert(route, Session { frames, thread });
    }

    /// Passes a frame on to its session.
    pub(super) fn forward(&mut self, frame: Frame) {
        let (id, route) = (frame.id, frame.route);
        let sent = self.sessions.get(&route).is_some_and(|session| session.frames.send(frame).is_ok());
        if !sent {
            self.out.error(id, route, "become", "this become session was not started");
        }
    }

    /// Ends one session when what it has under way is done: its user is about to change, or to go.
    pub(super) fn end(&mut self, route: u32) {
        if let Some(session) = self.sessions.remove(&route) {
            drop(session.frames);
            // A relay that panicked has ended too.
            let _ = session.thread.join();
        }
    }

    /// Ends all sessions when what they have under way is done.
    pub(super) fn finish(self) {
        for (_, session) in self.sessions {
            drop(session.frames);
            // A relay that panicked has ended too.
            let _ = session.thread.join();
        }
    }
}

struct Worker {
    child: Child,
    complaint: Arc<Mutex<String>>,
    /// Told when the method's standard error has ended.
    quiet: mpsc::Receiver<()>,
}

/// How long to wait for the last words of a method that has ended.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(1);

/// Starts the other user's worker and waits until it says hello.
fn open(spec: &BecomeSpec, password: Vec<u8>) -> Result<Worker, String> {
    let program = executable_for_others().map_err(|e| format!("cannot give the worker to other users: {e}"))?;
    let mut command = command_line(spec, &program)?;
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().map_err(
            |e| format!("cannot run `{}` to become {}: {e}", command.get_program().to_string_lossy(), spec.user),
        )?;
    let complaint = Arc::new(Mutex::new(String::new()));
    let (ended, quiet) = mpsc::channel();
    let stdin = Arc::new(Mutex::new(child.stdin.take()));
    if let Some(stderr) = child.stderr.take() {
        let answer = spec.has_password.then_some(password);
        listen(
            stderr,
            complaint.clone(),
            ended,
            Answer { method: spec.method.clone(), password: answer, stdin: stdin.clone() },
        );
    }
    let mut worker = Worker { child, complaint, quiet };
    if worker.await_magic().is_ok() {
        worker.child.stdin = stdin.lock().unwrap_or_else(PoisonError::into_inner).take();
        return Ok(worker);
    }
    Err(worker.explain(spec))
}

impl Worker {
    /// Skips what a login prints, up to the worker's greeting.
    fn await_magic(&mut self) -> io::Result<()> {
        let stdout = self.child.stdout.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut window = Vec::with_capacity(MAGIC.len());
        let mut byte = [0];
        for _ in 0..1024 * 1024 {
            stdout.read_exact(&mut byte)?;
            if window.len() == MAGIC.len() {
                window.remove(0);
            }
            window.push(byte[0]);
            if window == MAGIC {
                return Ok(());
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }

    /// Why there is no worker, in words that say what to do.
    fn explain(mut self, spec: &BecomeSpec) -> String {
        let _ = self.child.kill();
        let status = self.child.wait().map(|s| s.to_string()).unwrap_or_default();
        // An error means that all was said: the listener is gone.
        let _ = self.quiet.recv_timeout(LAST_WORDS);
        let said = self.complaint.lock().unwrap_or_else(PoisonError::into_inner).replace(PROMPT, "");
        let said = said.trim();
        let method = &spec.method;
        let lower = said.to_lowercase();
        if lower.contains("incorrect password")
            || lower.contains("sorry, try again")
            || lower.contains("authentication failure")
        {
            return format!("Incorrect {method} password");
        }
        if lower.contains("password is required")
            || lower.contains("a terminal is required")
            || lower.contains("no password was provided")
        {
            return if spec.has_password {
                format!("Incorrect {method} password")
            } else {
                format!("Missing {method} password")
            };
        }
        let user = &spec.user;
        if said.is_empty() {
            return format!("{method} did not let us become {user} ({status})");
        }
        format!("{method} did not let us become {user}: {said}")
    }

    /// Passes frames both ways until the controller or the other worker is gone.
    fn relay(mut self, id: u64, route: u32, frames: &mpsc::Receiver<Frame>, out: &Out) {
        let (Some(mut stdin), Some(mut stdout)) = (self.child.stdin.take(), self.child.stdout.take()) else {
            return out.error(id, route, "become", "the other user's worker has no pipes");
        };
        let under_way: Arc<Mutex<Vec<u64>>> = Arc::default();
        let (back, pending) = (out.clone(), under_way.clone());
        let complaint = self.complaint.clone();
        let answers = std::thread::spawn(move || {
            let mut first = Some(id);
            while let Ok(Some(mut frame)) = Frame::read_from(&mut stdout) {
                frame.route = route;
                if let Some(id) = first.take() {
                    frame.id = id;
                }
                let ended = matches!(frame.decode(), Ok(Reply::Done | Reply::Error { .. }));
                if ended {
                    pending.lock().unwrap_or_else(PoisonError::into_inner).retain(|p| *p != frame.id);
                }
                back.frame(&frame);
            }
            let said = complaint.lock().unwrap_or_else(PoisonError::into_inner).trim().to_owned();
            for id in pending.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                back.error(id, route, "lost", &format!("the become user's worker ended unexpectedly {said}"));
            }
        });
        for mut frame in frames {
            frame.route = 0;
            under_way.lock().unwrap_or_else(PoisonError::into_inner).push(frame.id);
            if frame.write_to(&mut stdin).is_err() {
                out.error(frame.id, route, "lost", "the become user's worker is gone");
            }
        }
        drop(stdin);
        let _ = answers.join();
        let _ = self.child.wait();
    }
}

/// Answers the method's prompt. A method that asks nobody (root becomes whom it likes) must not find a password in its
/// standard input, for the worker would.
struct Answer {
    method: String,
    /// `None` once it was given.
    password: Option<Vec<u8>>,
    /// Where the answer goes, until the worker is there and takes it over.
    stdin: Arc<Mutex<Option<ChildStdin>>>,
}

impl Answer {
    /// Whether what was written last is the question for a password.
    fn is_asked(&self, text: &str) -> bool {
        match self.method.as_str() {
            "sudo" => text.ends_with(PROMPT),
            // su asks in the host's language, and waits behind a colon.
            _ => text.rsplit('\n').next().is_some_and(|line| line.trim_end().ends_with([':', '：'])),
        }
    }

    /// Gives the password once; asked again, it was wrong, and the end of the input says that there is no other.
    fn give(&mut self) {
        let mut stdin = self.stdin.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut line) = self.password.take() else {
            *stdin = None;
            return;
        };
        line.push(b'\n');
        if let Some(stdin) = stdin.as_mut() {
            // A method that is gone says so by its end.
            let _ = stdin.write_all(&line).and_then(|()| stdin.flush());
        }
        line.fill(0);
    }
}

/// Keeps the last of what a command writes to standard error; drops `ended` when there is no more.
fn listen(
    mut stderr: impl Read + Send + 'static,
    into: Arc<Mutex<String>>,
    ended: mpsc::Sender<()>,
    mut answer: Answer,
) {
    std::thread::spawn(move || {
        let _ended = ended;
        let mut piece = [0; 4096];
        while let Ok(n) = stderr.read(&mut piece) {
            if n == 0 {
                return;
            }
            let mut text = into.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&String::from_utf8_lossy(&piece[..n]));
            if answer.is_asked(&text) {
                answer.give();
            }
            if text.len() > 16 * 1024 {
                let cut = text.len() - 8 * 1024;
                let cut = (cut..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
                text.drain(..cut);
            }
        }
    });
}

/// The command that starts a worker as the other user.
fn command_line(spec: &BecomeSpec, program: &Path) -> Result<Command, String> {
    let exe = spec.exe.as_deref().unwrap_or(&spec.method);
    let mut command = Command::new(exe);
    match spec.method.as_str() {
        "sudo" => {
            let mut flags = spec.all_flags();
            if spec.has_password {
                flags.retain(|flag| flag != "-n" && flag != "--non-interactive");
                flags.extend(["-S", "-p", PROMPT].map(ToOwned::to_owned));
            }
            command.args(flags).args(["-u", &spec.user, "--"]).arg(program).arg("worker");
        }
        "su" => {
            let line = format!("exec {} worker", shell_words::quote(&program.to_string_lossy()));
            command.args(spec.all_flags()).arg(&spec.user).args(["-s", "/bin/sh", "-c"]).arg(line);
        }
        "doas" if !spec.has_password => {
            command.args(spec.all_flags());
            command.args(["-u", &spec.user, "--"]).arg(program).arg("worker");
        }
        "doas" => return Err("doas with a password is not supported: it insists on a terminal; use sudo".into()),
        other => return Err(format!("the become method '{other}' is not supported: use sudo, su or doas")),
    }
    command.current_dir("/");
    Ok(command)
}

/// A path to this program that every user may execute: where it is when all directories above are open, else a copy.
fn executable_for_others() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let open = own.ancestors().skip(1).all(|d| d.metadata().is_ok_and(|m| m.mode() & 0o001 != 0));
    if open && own.metadata()?.mode() & 0o005 == 0o005 {
        return Ok(own);
    }
    let build = own.parent().and_then(Path::file_name).unwrap_or_default();
    let uid = rustix::process::geteuid().as_raw();
    let base = Path::new("/var/tmp").join(format!("rplay-{uid}"));
    let directory = base.join(build);
    for path in [&base, &directory] {
        match std::fs::DirBuilder::new().mode(0o755).create(path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        let meta = std::fs::symlink_metadata(path)?;
        // Somebody else's directory (or link) under a name of ours in a world-writable place is a trap.
        if !meta.is_dir() || meta.uid() != uid || meta.mode() & 0o022 != 0 {
            let message = format!("{} is not a directory of this user's alone", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
    }
    let target = directory.join("rplay");
    let same = target.symlink_metadata().is_ok_and(|m| own.metadata().is_ok_and(|o| m.is_file() && m.len() == o.len()));
    if !same {
        let mut file = temporary(&directory, "")?;
        io::copy(&mut std::fs::File::open(&own)?, &mut file)?;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o755))?;
        file.persist(&target).map_err(|e| e.error)?;
    }
    Ok(target)
}
