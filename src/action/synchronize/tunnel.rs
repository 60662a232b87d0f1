//! The way from rsync's remote shell, which is this program again, to a command on the host.
//!
//! The shell connects to a socket of the run's and writes the command, length first; what follows is the command's input.
//! Back come frames: a byte that says what it is (1 output, 2 errors, 3 the status), a length, and that many bytes.

use std::fs::Permissions;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::super::{ActionError, Executed, Hands};

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

/// A command longer than this is none of rsync's, in bytes.
const LONGEST: u32 = 1024 * 1024;

/// A socket of the run's, in a directory of this user's alone.
pub(super) struct Tunnel {
    directory: tempfile::TempDir,
    listener: UnixListener,
}

impl Tunnel {
    pub(super) fn open() -> io::Result<Self> {
        let directory =
            tempfile::Builder::new().prefix("rplay-").permissions(Permissions::from_mode(0o700)).tempdir()?;
        let listener = UnixListener::bind(directory.path().join("s"))?;
        Ok(Self { directory, listener })
    }

    /// The remote shell for rsync.
    pub(super) fn command(&self) -> io::Result<String> {
        let own = std::env::current_exe()?;
        let words = [own.to_string_lossy().into_owned(), "tunnel".to_owned(), self.socket()];
        Ok(shell_words::join(words))
    }

    fn socket(&self) -> String {
        self.directory.path().join("s").to_string_lossy().into_owned()
    }

    /// Runs rsync, whose other half is started on the host when it asks for it.
    pub(super) async fn run(self, words: &[String], hands: &dyn Hands) -> Result<Executed, ActionError> {
        let rsync = here(words);
        tokio::pin!(rsync);
        let other_half = async {
            let (stream, _) = self.listener.accept().await?;
            serve(stream, hands).await
        };
        tokio::pin!(other_half);
        let mut served = false;
        loop {
            tokio::select! {
                done = &mut rsync => return done,
                end = &mut other_half, if !served => {
                    served = true;
                    // rsync sees the end of its shell and says so; what the login said goes first.
                    if let Err(error) = end && error.get_ref().is_some() {
                        return Err(ActionError::failed(error.to_string()));
                    }
                }
            }
        }
    }
}

/// Runs rsync here.
pub(super) async fn here(words: &[String]) -> Result<Executed, ActionError> {
    let (program, args) = words.split_first().ok_or_else(|| ActionError::failed("there is no command"))?;
    let mut command = tokio::process::Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await;
    let output = output.map_err(|e| ActionError::failed(format!("cannot run {program} here: {e}")))?;
    Ok(Executed { rc: output.status.code().unwrap_or(255), stdout: output.stdout, stderr: output.stderr })
}

/// Starts the command that is asked for, and carries its streams.
async fn serve(stream: tokio::net::UnixStream, hands: &dyn Hands) -> io::Result<()> {
    let (mut from, mut to) = stream.into_split();
    let len = from.read_u32().await?;
    if len > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut command = vec![0; len as usize];
    from.read_exact(&mut command).await?;
    let command = String::from_utf8(command).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let opened = hands.open(command).await.map_err(|error| io::Error::other(error.to_string()))?;
    let mut process = opened.process;
    for (kind, bytes) in [(STDOUT, &opened.stdout), (STDERR, &opened.stderr)] {
        if !bytes.is_empty() {
            send(&mut to, kind, bytes).await?;
        }
    }
    let stdin = process.stdin;
    let input = async {
        let mut stdin = stdin;
        // A command that reads no more goes on all the same.
        let _ = tokio::io::copy(&mut from, &mut stdin).await;
        let _ = stdin.shutdown().await;
        drop(stdin);
        std::future::pending::<()>().await;
    };
    let output = async {
        let (mut out, mut err) = (vec![0; 64 * 1024], vec![0; 8 * 1024]);
        let (mut out_open, mut err_open) = (true, true);
        while out_open || err_open {
            tokio::select! {
                read = process.stdout.read(&mut out), if out_open => match read? {
                    0 => out_open = false,
                    n => send(&mut to, STDOUT, out.get(..n).unwrap_or_default()).await?,
                },
                read = process.stderr.read(&mut err), if err_open => match read? {
                    0 => err_open = false,
                    n => send(&mut to, STDERR, err.get(..n).unwrap_or_default()).await?,
                },
            }
        }
        Ok::<(), io::Error>(())
    };
    tokio::select! {
        () = input => {}
        done = output => done?,
    }
    let exit = process.exit.await.map_err(|error| io::Error::other(error.to_string()))?;
    send(&mut to, STATUS, &exit.code().to_be_bytes()).await
}

async fn send(to: &mut (impl tokio::io::AsyncWrite + Unpin), kind: u8, bytes: &[u8]) -> io::Result<()> {
    let len = u32::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    to.write_u8(kind).await?;
    to.write_u32(len).await?;
    to.write_all(bytes).await
}

/// Makes reads and writes of a stream wait.
fn wait_for(stream: impl std::os::fd::AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&stream)?;
    Ok(rustix::fs::fcntl_setfl(&stream, flags - rustix::fs::OFlags::NONBLOCK)?)
}

/// The remote shell's end: sends the words of a command behind the host's name, then carries the streams; gives its status.
pub fn shell(socket: &Path, words: &[String]) -> io::Result<i32> {
    // rsync gives its remote shell streams that do not wait.
    wait_for(io::stdin())?;
    wait_for(io::stdout())?;
    // The first word that is no option of a remote shell is the host.
    let command =
        words.iter().position(|word| word == "rplay").map_or(words, |at| words.get(at + 1..).unwrap_or_default());
    let command = command.join(" ");
    let mut stream = UnixStream::connect(socket)?;
    let len = u32::try_from(command.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    stream.write_all(&len.to_be_bytes())?;
    stream.write_all(command.as_bytes())?;
    let mut input = stream.try_clone()?;
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut input);
        let _ = input.shutdown(std::net::Shutdown::Write);
    });
    let (mut head, mut bytes) = ([0; 5], Vec::new());
    loop {
        stream.read_exact(&mut head)?;
        let [kind, len @ ..] = head;
        bytes.clear();
        io::Read::by_ref(&mut stream).take(u32::from_be_bytes(len).into()).read_to_end(&mut bytes)?;
        match kind {
            STDOUT => {
                io::stdout().write_all(&bytes)?;
                io::stdout().flush()?;
            }
            STDERR => io::stderr().write_all(&bytes)?,
            _ => return Ok(bytes.try_into().map_or(255, i32::from_be_bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;

    use super::*;
    use crate::action::Opened;
    use crate::connection::{Connection, ExecOptions, local::Local};
    use crate::remote::{Answer, Call, RemoteError};

    /// Hands that start commands on this machine.
    struct Here;

    impl Hands for Here {
        fn calls(&self, _: &'static str, _: Vec<Call>) -> BoxFuture<'_, Result<Vec<Answer>, RemoteError>> {
            Box::pin(async { Ok(Vec::new()) })
        }

        fn queries(&self, module: &'static str, calls: Vec<Call>) -> BoxFuture<'_, Result<Vec<Answer>, RemoteError>> {
            self.calls(module, calls)
        }

        fn exec(&self, _: String) -> BoxFuture<'_, Result<Executed, RemoteError>> {
            Box::pin(async { Ok(Executed::default()) })
        }

        fn open(&self, command: String) -> BoxFuture<'_, Result<Opened, RemoteError>> {
            Box::pin(async move {
                let process = Connection::Local(Local).exec(&command, ExecOptions::default()).await?;
                Ok(Opened { process, stdout: b"first ".to_vec(), stderr: Vec::new() })
            })
        }

        fn delegate(&self) -> Option<&str> {
            None
        }

        fn is_local(&self) -> bool {
            false
        }

        fn reset(&self) -> BoxFuture<'_, ()> {
            Box::pin(async {})
        }
    }

    /// What a command gets and says, through the socket.
    async fn through(command: &str, input: &[u8]) -> (Vec<u8>, Vec<u8>, i32) {
        let (ours, theirs) = tokio::net::UnixStream::pair().unwrap();
        let serving = tokio::spawn(serve(theirs, &Here));
        let (mut from, mut to) = ours.into_split();
        to.write_u32(u32::try_from(command.len()).unwrap()).await.unwrap();
        to.write_all(command.as_bytes()).await.unwrap();
        let input = input.to_vec();
        let writing = tokio::spawn(async move {
            // The command may be over before it has read everything.
            let _ = to.write_all(&input).await;
            let _ = to.shutdown().await;
        });
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let status = loop {
            let kind = from.read_u8().await.unwrap();
            let mut bytes = vec![0; from.read_u32().await.unwrap() as usize];
            from.read_exact(&mut bytes).await.unwrap();
            match kind {
                STDOUT => out.extend(bytes),
                STDERR => err.extend(bytes),
                _ => break i32::from_be_bytes(bytes.try_into().unwrap()),
            }
        };
        serving.await.unwrap().unwrap();
        writing.await.unwrap();
        (out, err, status)
    }

    #[tokio::test]
    async fn streams_and_status_are_carried() {
        let long = vec![b'x'; 3_000_000];
        let (out, err, status) = through("cat; echo no >&2; exit 3", &long).await;
        assert!(out == [b"first ".to_vec(), long.clone()].concat());
        assert_eq!((err.as_slice(), status), (&b"no\n"[..], 3));
        let (out, _, status) = through("head -c 3", &long).await;
        assert_eq!((out.as_slice(), status), (&b"first xxx"[..], 0), "a command need not read its input");
    }

    #[tokio::test]
    async fn a_socket_is_for_this_user_alone() {
        let tunnel = Tunnel::open().unwrap();
        let mode = std::fs::metadata(tunnel.directory.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(tunnel.command().unwrap().ends_with(&format!("tunnel {}", tunnel.socket())));
    }
}
