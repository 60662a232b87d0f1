//! Waiting for a command: its input fed, its outputs read, its end noticed, all on one thread.
//!
//! A command is over when its own process has ended, even when something it left behind still holds its outputs open: a
//! service started from a shell line must not keep the task waiting.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ChildStdin, ExitStatus};
use std::time::{Duration, Instant};

use rplay_protocol::Stream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::OutputSink;

/// What came of waiting.
pub(super) struct Ended {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub timed_out: bool,
}

/// How long to sleep at most before looking whether the command has ended, where the kernel cannot tell by itself.
const BLIND_WAIT: Duration = Duration::from_millis(10);

/// How long a command that was told to end may take before it is killed.
const GRACE: Duration = Duration::from_millis(200);

/// One output of a command.
struct Output<R> {
    pipe: Option<R>,
    stream: Stream,
    text: Vec<u8>,
}

impl<R: Read + AsFd> Output<R> {
    fn new(pipe: Option<R>, stream: Stream) -> io::Result<Self> {
        if let Some(pipe) = &pipe {
            nonblocking(pipe)?;
        }
        Ok(Self { pipe, stream, text: Vec::new() })
    }

    /// Reads what is there now.
    fn read(&mut self, sink: Option<&OutputSink>) {
        let mut piece = [0; 64 * 1024];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut piece) {
                Ok(0) => self.pipe = None,
                Ok(n) => {
                    self.text.extend_from_slice(&piece[..n]);
                    if let Some(sink) = sink {
                        sink(self.stream, &piece[..n]);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.pipe = None,
            }
        }
    }
}

/// Feeds, reads and waits until the command has ended or its time is up; `end` tells it to end, politely or not.
pub(super) fn communicate(
    child: &mut Child,
    input: &[u8],
    deadline: Option<Instant>,
    sink: Option<&OutputSink>,
    end: impl Fn(bool),
) -> io::Result<Ended> {
    let mut stdin = child.stdin.take();
    if let Some(pipe) = &stdin {
        nonblocking(pipe)?;
    }
    let mut rest = input;
    let mut stdout = Output::new(child.stdout.take(), Stream::Stdout)?;
    let mut stderr = Output::new(child.stderr.take(), Stream::Stderr)?;
    let ended = end_notice(child);
    let mut deadline = deadline;
    let mut timed_out = false;
    loop {
        feed(&mut stdin, &mut rest);
        stdout.read(sink);
        stderr.read(sink);
        if let Some(status) = child.try_wait()? {
            stdout.read(sink);
            stderr.read(sink);
            return Ok(Ended { status, stdout: stdout.text, stderr: stderr.text, timed_out });
        }
        if deadline.is_some_and(|at| Instant::now() >= at) {
            // First a word, then, when that is not heard, the axe.
            end(timed_out);
            deadline = Some(Instant::now() + GRACE);
            timed_out = true;
        }
        let mut fds = Vec::with_capacity(4);
        fds.extend(stdin.as_ref().map(|p| PollFd::new(p, PollFlags::OUT)));
        fds.extend(stdout.pipe.as_ref().map(|p| PollFd::new(p, PollFlags::IN)));
        fds.extend(stderr.pipe.as_ref().map(|p| PollFd::new(p, PollFlags::IN)));
        fds.extend(ended.as_ref().map(|p| PollFd::new(p, PollFlags::IN)));
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let wait = if ended.is_some() { left } else { Some(left.unwrap_or(BLIND_WAIT).min(BLIND_WAIT)) };
        let wait = wait.and_then(|w| Timespec::try_from(w).ok());
        match poll(&mut fds, wait.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Writes as much input as the command takes now; closes its input when all is written or it does not want more.
fn feed(stdin: &mut Option<ChildStdin>, rest: &mut &[u8]) {
    while let Some(pipe) = stdin {
        if rest.is_empty() {
            *stdin = None;
            return;
        }
        match pipe.write(rest) {
            Ok(n) => *rest = &rest[n..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => *stdin = None,
        }
    }
}

/// A descriptor that becomes readable when the process ends; none on kernels before 5.3.
fn end_notice(child: &Child) -> Option<OwnedFd> {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
}

fn nonblocking(pipe: &impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(pipe)?;
    Ok(rustix::fs::fcntl_setfl(pipe, flags | rustix::fs::OFlags::NONBLOCK)?)
}
