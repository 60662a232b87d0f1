//! The byte streams that SSH runs over: TCP, a proxy command, a channel of a jump host.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use futures::task::AtomicWaker;
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};

use super::super::{ConnectionError, Peer};
use super::blocking;
use super::config::AddressFamily;
use super::resolve::Target;

/// How long one address gets before the next is tried beside it (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);

/// How long a proxy command may take to end once nobody talks to it any more.
const PROXY_GRACE: Duration = Duration::from_millis(500);

/// A stream in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Connects to the target by TCP: every address of its name, each a little after the one before, the first wins.
pub async fn dial(target: &Target, at: &Peer) -> Result<TcpStream, ConnectionError> {
    let addresses = resolve(target, at).await?;
    let timeout = target.connect_timeout;
    let stream = tokio::time::timeout(timeout, race(&addresses, target)).await;
    let stream = stream
        .map_err(|_| ConnectionError::TimedOut { at: at.clone(), phase: "the TCP connection".into(), after: timeout })?
        .map_err(|error| explain(&error, at))?;
    // Both only make it faster or notice death sooner; without them it still works.
    let _ = stream.set_nodelay(true);
    if target.tcp_keep_alive {
        let _ = rustix::net::sockopt::set_socket_keepalive(&stream, true);
    }
    Ok(stream)
}

async fn resolve(target: &Target, at: &Peer) -> Result<Vec<SocketAddr>, ConnectionError> {
    let failed = |cause: String| ConnectionError::Resolve { at: at.clone(), cause };
    let host = target.host.trim_start_matches('[').trim_end_matches(']');
    let lookup = tokio::time::timeout(target.connect_timeout, blocking::look_up(host, target.port));
    let found = lookup
        .await
        .map_err(|_| failed(format!("no answer within {} s", target.connect_timeout.as_secs_f32())))?
        .map_err(|error| failed(error.to_string()))?;
    let wanted = found.into_iter().filter(|address| match target.address_family {
        AddressFamily::Any => true,
        AddressFamily::Inet => address.is_ipv4(),
        AddressFamily::Inet6 => address.is_ipv6(),
    });
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in wanted {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(failed("it has no address of the wanted family".into()));
    }
    Ok(addresses)
}

async fn race(addresses: &[SocketAddr], target: &Target) -> io::Result<TcpStream> {
    let mut running = FuturesUnordered::new();
    let mut waiting = addresses.iter();
    let mut last = io::Error::other("there is no address");
    loop {
        match waiting.next() {
            Some(address) => running.push(connect(*address, target)),
            None if running.is_empty() => return Err(last),
            None => {}
        }
        let more = !waiting.as_slice().is_empty();
        tokio::select! {
            Some(result) = running.next() => match result {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            },
            () = tokio::time::sleep(STAGGER), if more => {}
        }
    }
}

async fn connect(address: SocketAddr, target: &Target) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(from) = &target.bind_address {
        let from: std::net::IpAddr = from.parse().map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("BindAddress `{from}` is not an IP address"))
        })?;
        socket.bind(SocketAddr::new(from, 0))?;
    }
    socket.connect(address).await
}

fn explain(error: &io::Error, at: &Peer) -> ConnectionError {
    let (at, cause) = (at.clone(), error.to_string());
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectionError::Refused { at },
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => ConnectionError::NoRoute { at, cause },
        io::ErrorKind::TimedOut => ConnectionError::NoRoute { at, cause },
        _ => ConnectionError::Network { at, cause },
    }
}

/// The standard streams of a proxy command. It is ended when this is dropped.
pub struct ProxyProcess {
    /// `None` only while being dropped.
    child: Option<Child>,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl ProxyProcess {
    /// Starts `command` with `/bin/sh -c`; the task gives what it said on its standard error, at most 2000 bytes.
    pub fn start(command: &str, at: &Peer) -> Result<(Self, JoinHandle<String>), ConnectionError> {
        let failed = |error: io::Error| ConnectionError::ProxyCommand {
            at: at.clone(),
            command: command.to_owned(),
            cause: error.to_string(),
        };
        let mut child = Command::new("/bin/sh")
            // As OpenSSH does, so that no shell lingers beside the command.
            .args(["-c", &format!("exec {command}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed(io::Error::other("its streams are missing")));
        };
        // It is read to its end in any case, so that the command never waits for a reader.
        let said = tokio::spawn(async move {
            let mut said = String::new();
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if said.len() < 2000 {
                    said.push_str(if said.is_empty() { "" } else { "; " });
                    said.push_str(line.trim_end());
                }
            }
            said
        });
        Ok((Self { child: Some(child), stdin, stdout }, said))
    }
}

impl Drop for ProxyProcess {
    fn drop(&mut self) {
        let (Some(mut child), Ok(runtime)) = (self.child.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        // It is closed with its streams. It gets a moment for its last words, which say why it failed.
        runtime.spawn(async move {
            let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
            if tokio::time::timeout(PROXY_GRACE, child.wait()).await.is_err()
                && let Some(group) = group
            {
                let _ = rustix::process::kill_process_group(group, Signal::TERM);
                let _ = child.wait().await;
            }
        });
    }
}

impl AsyncRead for ProxyProcess {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, buf)
    }
}

impl AsyncWrite for ProxyProcess {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stdin).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_shutdown(cx)
    }
}

/// What has been received so far, for telling how far a failed handshake got; and the way to end it.
#[derive(Debug, Default)]
pub struct Heard {
    first: Mutex<Vec<u8>>,
    given_up: AtomicBool,
    reader: AtomicWaker,
}

impl Heard {
    /// The first bytes, at most 200.
    pub fn first(&self) -> Vec<u8> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes every further read fail: russh goes on with a handshake that nobody waits for any more.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
        self.reader.wake();
    }
}

/// A stream that remembers the first bytes received and gives up on a peer that takes nothing for too long.
///
/// russh does not look at its keepalive timer while it waits for the peer to take what it writes, so without the
/// second a host that dies during an upload would go unnoticed until TCP gives up, after a quarter of an hour.
pub struct Watched<S> {
    inner: S,
    heard: Arc<Heard>,
    full: bool,
    patience: Option<Duration>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    /// Watches `inner`; `patience` is how long a write may make no progress.
    pub fn new(inner: S, patience: Option<Duration>) -> (Self, Arc<Heard>) {
        let heard = Arc::new(Heard::default());
        let watched = Self { inner, heard: Arc::clone(&heard), full: false, patience, stalled: None };
        (watched, heard)
    }

    fn progress<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stalled = None;
            return poll;
        }
        let Some(patience) = self.patience else {
            return poll;
        };
        let sleep = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + patience)));
        match sleep.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the peer has taken nothing for {} s", patience.as_secs_f32()),
            ))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.heard.reader.register(cx.waker());
        if self.heard.given_up.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.inner).poll_read(cx, buf);
        if !self.full && buf.filled().len() > before {
            let heard = Arc::clone(&self.heard);
            let mut first = heard.first.lock().unwrap_or_else(PoisonError::into_inner);
            let room = 200 - first.len();
            first.extend(buf.filled().iter().skip(before).take(room));
            self.full = first.len() == 200;
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.progress(cx, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.inner).poll_flush(cx);
        self.progress(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (near, mut far) = tokio::io::duplex(16);
        let (mut watched, heard) = Watched::new(near, Some(Duration::from_millis(50)));
        far.write_all(b"SSH-2.0-x").await.unwrap();
        watched.read_exact(&mut [0; 9]).await.unwrap();
        assert_eq!(heard.first(), b"SSH-2.0-x");
        watched.write_all(&[0; 16]).await.unwrap();
        let error = watched.write_all(&[0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
