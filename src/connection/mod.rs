//! A byte stream to a command: over SSH, or on this machine.
//!
//! A library with no terminal in it: nothing here asks, prints or reads the environment of the run except through
//! [`ssh::Environment`]. A [`ssh::Pool`] holds the logins of one run and shares them; what it hands out is a
//! [`Connection`], and [`Connection::exec`] gives a [`Process`] with three streams and an exit status.

mod error;
pub mod local;
mod secret;
pub mod ssh;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

pub use error::{ConnectionError, Peer, Place};
pub use secret::Secret;

/// A way to run commands on a host.
#[derive(Debug, Clone)]
pub enum Connection {
    /// Over SSH.
    Ssh(Arc<ssh::Session>),
    /// On this machine.
    Local(local::Local),
}

/// How a command is started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExecOptions {
    /// Give the command a terminal. Its standard error then arrives on standard output. SSH only.
    pub pty: bool,
}

impl Connection {
    /// Starts `command` through the login shell (SSH) or `/bin/sh -c` (local).
    ///
    /// Over SSH this returns as soon as the server has opened the channel; that the server refuses to run the command
    /// shows in [`Process::exit`].
    pub async fn exec(&self, command: &str, options: ExecOptions) -> Result<Process, ConnectionError> {
        match self {
            Self::Ssh(session) => session.exec(command, options).await,
            Self::Local(local) => local.exec(command, options),
        }
    }

    /// Whether the connection is gone; a new one has to be made then.
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Ssh(session) => session.is_closed(),
            Self::Local(_) => false,
        }
    }

    /// Ends the login, so that the next [`ssh::Pool::connect`] makes a new one.
    ///
    /// A jump host that still carries other hosts' connections keeps carrying them.
    pub async fn close(&self) {
        if let Self::Ssh(session) = self {
            session.close().await;
        }
    }
}

/// A command that runs on a host.
///
/// Read `stdout` and `stderr` at the same time, or drop the one that is not wanted: output that nobody takes holds the
/// connection up (that is the back pressure). Dropping `stdin` ends the command's input. Dropping `handle` before the
/// command has ended closes its channel, or kills it where it is local.
pub struct Process {
    /// The command's standard input.
    pub stdin: Pin<Box<dyn AsyncWrite + Send>>,
    /// The command's standard output.
    pub stdout: Pin<Box<dyn AsyncRead + Send>>,
    /// The command's standard error.
    pub stderr: Pin<Box<dyn AsyncRead + Send>>,
    /// How the command ended; an error where the connection ended first.
    pub exit: BoxFuture<'static, Result<Exit, ConnectionError>>,
    /// Ends the command, at the latest when dropped.
    pub handle: ProcessHandle,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").finish_non_exhaustive()
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// With an exit code.
    Code(i32),
    /// By a signal, named without `SIG`.
    Signal(String),
}

impl Exit {
    /// The code as a shell would tell it: 128 and more for a signal.
    pub fn code(&self) -> i32 {
        match self {
            Self::Code(code) => *code,
            Self::Signal(name) => 128 + local::signal_number(name),
        }
    }
}

/// What a [`ProcessHandle`] asks of the task that looks after the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Kill the command.
    Kill,
    /// Leave it alone from now on.
    Detach,
}

/// Ends a command on request, and when dropped.
#[derive(Debug)]
pub struct ProcessHandle(Option<oneshot::Sender<Stop>>);

impl ProcessHandle {
    /// The handle and the end that the looking-after task listens on; a dropped handle shows as an error there.
    pub(crate) fn new() -> (Self, oneshot::Receiver<Stop>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(sender)), receiver)
    }

    /// Kills the command, as far as possible.
    ///
    /// Here its process group gets SIGKILL. Over SSH the server is asked to do the same, which OpenSSH's does not for
    /// root, and the channel is closed: a command that neither reads nor writes may then go on, as with `ssh` itself.
    pub fn kill(mut self) {
        self.send(Stop::Kill);
    }

    /// Lets the command run on although nobody holds the handle; its streams and exit status go on working.
    pub fn detach(mut self) {
        self.send(Stop::Detach);
    }

    fn send(&mut self, stop: Stop) {
        if let Some(sender) = self.0.take() {
            // An error means that the command has ended already.
            let _ = sender.send(stop);
        }
    }
}
