//! Talking to a command on a terminal of its own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize};

use super::command::{end_group, kill_group};
use super::{Command, Host};
use crate::module::{Context, Failure};

/// What a command that was talked to left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Talk {
    /// Exit status; the negative signal number when a signal ended it; `None` when its time was up.
    pub rc: Option<i32>,
    /// All that it wrote to its terminal.
    pub output: Vec<u8>,
}

/// Answers: how much of what was said is settled, and what is typed then; nothing where no question is.
pub type Answer<'a> = dyn FnMut(&[u8]) -> Result<Option<(usize, Vec<u8>)>, Failure> + 'a;

/// How often to look whether the command has ended although its terminal is still open.
const GLANCE: Duration = Duration::from_millis(50);

impl Host {
    /// Runs a command that changes the host on a terminal; `None` in check mode, in which it does not run.
    ///
    /// `answer` gets what was written and is not yet settled.
    /// `patience` is how long to wait for something that is answered, or for the end.
    pub fn talk(
        &self,
        command: &Command,
        echo: bool,
        patience: Option<Duration>,
        answer: &mut Answer<'_>,
    ) -> Result<Option<Talk>, Failure> {
        let talk = || {
            let shown = || format!("cannot run {} on a terminal", command.words().join(" "));
            let (terminal, mut child) = self.start(command, echo).context(shown)?;
            let group = i32::try_from(child.id()).unwrap_or(0);
            self.with_group(group, || {
                let result = converse(&terminal, &mut child, patience, answer);
                if !matches!(result, Ok(Talk { rc: Some(_), .. })) {
                    end_group(group);
                    std::thread::sleep(GLANCE);
                    kill_group(group, rustix::process::Signal::KILL);
                    // It is reaped, whatever it came to.
                    let _ = child.wait();
                }
                result
            })
        };
        self.change(talk)
    }

    fn start(&self, command: &Command, echo: bool) -> io::Result<(OwnedFd, Child)> {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&terminal)?;
        unlockpt(&terminal)?;
        let name = ptsname(&terminal, Vec::new())?;
        let inside = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        let mut modes = tcgetattr(&inside)?;
        modes.local_modes.set(LocalModes::ECHO, echo);
        tcsetattr(&inside, OptionalActions::Now, &modes)?;
        tcsetwinsize(&inside, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 })?;
        let mut process = self.prepare(command);
        process.stdin(Stdio::from(inside.try_clone()?));
        process.stdout(Stdio::from(inside.try_clone()?));
        process.stderr(Stdio::from(inside));
        own_terminal(&mut process);
        let child = process.spawn()?;
        Ok((terminal, child))
    }
}

/// Reads, answers and waits until the command has ended or patience has.
fn converse(
    terminal: &OwnedFd,
    child: &mut Child,
    patience: Option<Duration>,
    answer: &mut Answer<'_>,
) -> Result<Talk, Failure> {
    let mut talk = Talk::default();
    let mut settled = 0;
    let mut deadline = patience.map(|patience| Instant::now() + patience);
    let failed = || "cannot talk to the command".to_owned();
    loop {
        let ended = child.try_wait().context(failed)?;
        let open =
            read(terminal, &mut talk.output, if ended.is_some() { Duration::ZERO } else { GLANCE }).context(failed)?;
        while let Some((end, typed)) = answer(talk.output.get(settled..).unwrap_or_default())? {
            settled += end;
            write(terminal, &typed).context(failed)?;
            deadline = patience.map(|patience| Instant::now() + patience);
        }
        if let Some(status) = ended {
            talk.rc = Some(status.code().unwrap_or_else(|| -status.signal().unwrap_or(1)));
            return Ok(talk);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(talk);
        }
        if !open {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Reads what is there within a while; whether there may be more later.
fn read(terminal: &OwnedFd, output: &mut Vec<u8>, wait: Duration) -> io::Result<bool> {
    let mut piece = [0; 16 * 1024];
    let mut wait = wait;
    loop {
        let mut fds = [PollFd::from_borrowed_fd(terminal.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Timespec::try_from(wait).ok().as_ref()) {
            Ok(0) => return Ok(true),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(e) => return Err(e.into()),
        }
        match rustix::io::read(terminal, &mut piece) {
            // Nobody has the other side open any more.
            Ok(0) | Err(Errno::IO) => return Ok(false),
            Ok(n) => output.extend_from_slice(piece.get(..n).unwrap_or_default()),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(e) => return Err(e.into()),
        }
        wait = Duration::ZERO;
    }
}

fn write(terminal: &OwnedFd, mut typed: &[u8]) -> io::Result<()> {
    while !typed.is_empty() {
        match rustix::io::write(terminal, typed) {
            Ok(n) => typed = typed.get(n..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // It has ended and does not listen any more.
            Err(Errno::IO) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Makes a command begin a session whose terminal is its standard input.
#[allow(unsafe_code)]
fn own_terminal(process: &mut std::process::Command) {
    // SAFETY: setsid(2) and ioctl(2) are async-signal-safe and concern nothing but the child, whose standard input is open.
    unsafe {
        process.pre_exec(|| {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(BorrowedFd::borrow_raw(0))?;
            Ok(())
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn talk(line: &str, echo: bool, patience: u64) -> Talk {
        let mut answers = vec![b"second\n".to_vec(), b"first\n".to_vec()];
        let mut answer = |text: &[u8]| {
            let at = text.windows(1).position(|w| w == b"?");
            Ok(at.map(|at| (at + 1, answers.pop().unwrap())))
        };
        let command = Command::shell(line);
        Host::new().talk(&command, echo, Some(Duration::from_millis(patience)), &mut answer).unwrap().unwrap()
    }

    #[test]
    fn questions_are_answered() {
        let line = "test -t 0 && printf 'A?'; read a; printf 'B?'; read b; echo $a $b; exit 3";
        let said = talk(line, false, 5000);
        assert_eq!((said.rc, String::from_utf8(said.output).unwrap().as_str()), (Some(3), "A?B?first second\r\n"));
        let said = talk(line, true, 5000);
        assert!(String::from_utf8(said.output).unwrap().starts_with("A?first\r\nB?second\r\n"));
    }

    #[test]
    fn patience_ends() {
        let began = Instant::now();
        let said = talk("echo begun; exec sleep 20", false, 200);
        assert_eq!((said.rc, &said.output[..]), (None, &b"begun\r\n"[..]));
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn what_is_left_behind_is_not_waited_for() {
        let began = Instant::now();
        assert_eq!(talk("sleep 20 & echo done", false, 15_000).rc, Some(0));
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}
