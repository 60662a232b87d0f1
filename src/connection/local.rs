//! Commands on this machine.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use futures::FutureExt;
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use super::{ConnectionError, ExecOptions, Exit, Process, ProcessHandle, Stop};

/// Runs commands on this machine, as the user that rplay runs as.
#[derive(Debug, Clone, Copy, Default)]
pub struct Local;

impl Local {
    /// Starts `command` with `/bin/sh -c`, in its own process group, so that killing it reaches its children.
    pub fn exec(&self, command: &str, _options: ExecOptions) -> Result<Process, ConnectionError> {
        let failed =
            |cause: std::io::Error| ConnectionError::Local { command: command.to_owned(), cause: cause.to_string() };
        let mut child = Command::new("/bin/sh")
            .arg("-c")
            .arg(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed(std::io::Error::other("its streams are missing")));
        };
        let (handle, stop) = ProcessHandle::new();
        let (tell, exit) = oneshot::channel();
        let name = command.to_owned();
        tokio::spawn(async move {
            // Nobody may be waiting for it.
            let _ = tell.send(look_after(child, stop, &name).await);
        });
        let command = command.to_owned();
        let exit = exit.map(move |told| {
            told.unwrap_or_else(|_| {
                Err(ConnectionError::Local { command, cause: "it is no longer looked after".into() })
            })
        });
        Ok(Process {
            stdin: Box::pin(stdin),
            stdout: Box::pin(stdout),
            stderr: Box::pin(stderr),
            exit: exit.boxed(),
            handle,
        })
    }
}

async fn look_after(mut child: Child, stop: oneshot::Receiver<Stop>, command: &str) -> Result<Exit, ConnectionError> {
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    tokio::select! {
        biased;
        status = child.wait() => return ended(status, command),
        asked = stop => if asked != Ok(Stop::Detach) {
            // The child has not been waited for, so its id, which is the group's, is still its own.
            if let Some(group) = group {
                let _ = rustix::process::kill_process_group(group, Signal::KILL);
            }
        }
    }
    ended(child.wait().await, command)
}

fn ended(status: std::io::Result<ExitStatus>, command: &str) -> Result<Exit, ConnectionError> {
    let status =
        status.map_err(|error| ConnectionError::Local { command: command.to_owned(), cause: error.to_string() })?;
    Ok(match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal_name(signal)),
        (None, None) => Exit::Code(255),
    })
}

/// The signals that SSH names (RFC 4254, 6.10), with their numbers on Linux.
const SIGNALS: [(&str, i32); 15] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
];

fn signal_name(number: i32) -> String {
    match SIGNALS.iter().find(|(_, known)| *known == number) {
        Some((name, _)) => (*name).to_owned(),
        None => number.to_string(),
    }
}

/// The number of a signal named without `SIG`; 0 for one that nobody knows.
pub(crate) fn signal_number(name: &str) -> i32 {
    match SIGNALS.iter().find(|(known, _)| *known == name) {
        Some((_, number)) => *number,
        None => name.parse().unwrap_or(0),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn streams_and_exit_code() {
        let command = "read line; echo got $line; echo oops >&2; exit 7";
        let mut process = Local.exec(command, ExecOptions::default()).unwrap();
        process.stdin.write_all(b"this\n").await.unwrap();
        let (mut out, mut err) = (String::new(), String::new());
        process.stdout.read_to_string(&mut out).await.unwrap();
        process.stderr.read_to_string(&mut err).await.unwrap();
        assert_eq!((out.as_str(), err.as_str()), ("got this\n", "oops\n"));
        assert_eq!(process.exit.await.unwrap(), Exit::Code(7));
    }

    #[tokio::test]
    async fn a_signal_is_told_apart_from_a_code() {
        let process = Local.exec("kill -TERM $$", ExecOptions::default()).unwrap();
        let exit = process.exit.await.unwrap();
        assert_eq!(exit, Exit::Signal("TERM".into()));
        assert_eq!(exit.code(), 143);
    }

    #[tokio::test]
    async fn dropping_the_handle_kills_the_children_too() {
        let mut process = Local.exec("sleep 300 & echo $!; wait", ExecOptions::default()).unwrap();
        let mut line = [0; 32];
        let read = process.stdout.read(&mut line).await.unwrap();
        let child: i32 = std::str::from_utf8(&line[..read]).unwrap().trim().parse().unwrap();
        drop(process.handle);
        assert_eq!(process.exit.await.unwrap(), Exit::Signal("KILL".into()));
        let child = Pid::from_raw(child).unwrap();
        for _ in 0..200 {
            // A killed child of a killed shell is a zombie at most until init has seen it.
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.as_raw_nonzero()));
            if stat.is_err() || stat.unwrap().contains(") Z ") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the child of the shell still runs");
    }
}
