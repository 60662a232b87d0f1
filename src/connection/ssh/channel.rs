//! A russh channel as three streams and an end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::task::AtomicWaker;
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::super::{ConnectionError, Exit, Peer, Process, ProcessHandle, Stop};
use super::handler::Shared;

/// Packets of up to 32 KiB that may wait for a command's reader. When they are there, the connection waits.
const PROCESS_BACKLOG: usize = 32;
/// The same for a connection through a jump host. It is larger because a full one holds up every host behind the jump
/// host, and it fills only when the reader of some command does not read.
const TUNNEL_BACKLOG: usize = 256;
/// How long a killed command may take to end before its channel is closed.
const KILL_GRACE: Duration = Duration::from_millis(500);

/// Says that the server has closed a channel, to a writer that waits for room in its window.
///
/// russh wakes such a writer only when the window grows, so that it would wait for ever.
#[derive(Debug, Default)]
struct Link {
    closed: AtomicBool,
    writer: AtomicWaker,
}

impl Link {
    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.writer.wake();
    }
}

type WriteHalf = Arc<ChannelWriteHalf<Msg>>;

/// Sends a last message on a channel from where nothing can be awaited.
fn send_later(half: &WriteHalf, end: bool) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let half = Arc::clone(half);
        runtime.spawn(async move {
            // An error means that the connection is gone, and the channel with it.
            let _ = if end { half.close().await } else { half.eof().await };
        });
    }
}

/// The writing side. Dropping it ends the command's input.
struct Writer {
    inner: Pin<Box<dyn AsyncWrite + Send>>,
    half: WriteHalf,
    link: Arc<Link>,
    ended: bool,
}

impl Writer {
    fn new(half: WriteHalf, link: Arc<Link>) -> Self {
        Self { inner: Box::pin(half.make_writer()), half, link, ended: false }
    }

    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        self.link.writer.register(cx.waker());
        if self.link.closed.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the other side has closed the channel"));
        }
        Ok(())
    }
}

impl AsyncWrite for Writer {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.inner.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ended || self.check(cx).is_err() {
            return Poll::Ready(Ok(()));
        }
        let result = ready!(self.inner.as_mut().poll_shutdown(cx));
        self.ended = true;
        Poll::Ready(result)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.ended && !self.link.closed.load(Ordering::Acquire) {
            send_later(&self.half, false);
        }
    }
}

/// The reading side of one of a channel's streams; ends when the sender is dropped.
struct Reader {
    packets: mpsc::Receiver<Bytes>,
    current: Option<Bytes>,
}

impl AsyncRead for Reader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            if let Some(mut packet) = self.current.take() {
                buf.put_slice(&packet.split_to(packet.len().min(buf.remaining())));
                if !packet.is_empty() {
                    self.current = Some(packet);
                }
            }
            if buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            match self.packets.poll_recv(cx) {
                Poll::Ready(Some(packet)) => self.current = Some(packet),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                // What is there is enough; what comes later comes later.
                Poll::Pending if buf.filled().len() > before => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Turns a channel on which a command has been asked for into a process.
pub fn process(channel: Channel<Msg>, at: Peer, shared: Arc<Shared>) -> Process {
    let (read, write) = channel.split();
    let write = Arc::new(write);
    let link = Arc::new(Link::default());
    let (stdout, stdout_packets) = mpsc::channel(PROCESS_BACKLOG);
    let (stderr, stderr_packets) = mpsc::channel(PROCESS_BACKLOG);
    let (tell, told) = oneshot::channel();
    let (handle, stop) = ProcessHandle::new();
    let stdin = Writer::new(Arc::clone(&write), Arc::clone(&link));
    let follower =
        Follower { read, write, stdout: Some(stdout), stderr: Some(stderr), stop: Some(stop), deadline: None, link };
    let lost = {
        let (at, shared) = (at.clone(), Arc::clone(&shared));
        move || shared.lost_error(&at)
    };
    tokio::spawn(async move {
        let exit = match follower.run().await {
            End::Exit(exit) => Ok(exit),
            End::Refused => Err(ConnectionError::ExecRefused { at, what: "run the command".into() }),
            End::Silent => Err(ConnectionError::Lost {
                at,
                cause: "the command's channel was closed without an exit status".into(),
            }),
            End::Stopped => Err(ConnectionError::Lost { at, cause: "the command was given up here".into() }),
            End::Lost => {
                // The channel's end and the reason for it arrive by two ways.
                settle(&shared).await;
                Err(shared.lost_error(&at))
            }
        };
        // Nobody may be waiting for it.
        let _ = tell.send(exit);
    });
    Process {
        stdin: Box::pin(stdin),
        stdout: Box::pin(Reader { packets: stdout_packets, current: None }),
        stderr: Box::pin(Reader { packets: stderr_packets, current: None }),
        exit: told.map(move |told| told.unwrap_or_else(|_| Err(lost()))).boxed(),
        handle,
    }
}

/// Gives the connection's own task a moment to say why it ended.
async fn settle(shared: &Shared) {
    for _ in 0..20 {
        if shared.lost().is_some() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// How a channel ended.
enum End {
    Exit(Exit),
    /// The server did not run the command.
    Refused,
    /// Closed, and not a word about the command.
    Silent,
    /// Closed by us, because nobody wants it any more.
    Stopped,
    /// The whole connection is gone.
    Lost,
}

/// Looks after a channel until it ends or is stopped.
struct Follower {
    read: ChannelReadHalf,
    write: WriteHalf,
    /// Where output goes; `None` once nobody reads it or it has ended.
    stdout: Option<mpsc::Sender<Bytes>>,
    stderr: Option<mpsc::Sender<Bytes>>,
    /// `None` once it has spoken.
    stop: Option<oneshot::Receiver<Stop>>,
    /// When to close the channel after having been stopped.
    deadline: Option<Instant>,
    link: Arc<Link>,
}

impl Follower {
    async fn run(mut self) -> End {
        let mut exit = None;
        let end = loop {
            let message = tokio::select! {
                biased;
                message = self.read.wait() => message,
                asked = asked(&mut self.stop) => {
                    self.stop(asked).await;
                    continue;
                }
                () = until(self.deadline) => break End::Stopped,
            };
            match message {
                Some(ChannelMsg::Data { data }) => self.deliver(data, false).await,
                Some(ChannelMsg::ExtendedData { data, ext: 1 }) => self.deliver(data, true).await,
                Some(ChannelMsg::Eof) => (self.stdout, self.stderr) = (None, None),
                Some(ChannelMsg::ExitStatus { exit_status }) => {
                    exit = Some(Exit::Code(i32::try_from(exit_status).unwrap_or(255)));
                }
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                    exit = Some(Exit::Signal(name(&signal_name)));
                }
                Some(ChannelMsg::Failure) => break End::Refused,
                Some(ChannelMsg::Close) => break End::Silent,
                Some(_) => {}
                None => break End::Lost,
            }
        };
        self.link.close();
        if matches!(end, End::Refused | End::Stopped) {
            // russh forgets a channel that we close, so there is no answer to wait for.
            let _ = self.write.close().await;
        }
        exit.map_or(end, End::Exit)
    }

    /// Hands a packet to its reader, waiting for room; to nobody where nobody reads.
    async fn deliver(&mut self, packet: Bytes, error: bool) {
        loop {
            let outlet = if error { &self.stderr } else { &self.stdout };
            let Some(sender) = outlet.clone() else {
                return;
            };
            let room = tokio::select! {
                biased;
                room = sender.reserve() => Ok(room),
                asked = asked(&mut self.stop) => Err(asked),
            };
            match room {
                Ok(Ok(permit)) => return permit.send(packet),
                Ok(Err(_)) if error => self.stderr = None,
                Ok(Err(_)) => self.stdout = None,
                Err(asked) => self.stop(asked).await,
            }
        }
    }

    async fn stop(&mut self, asked: Option<Stop>) {
        self.stop = None;
        let grace = match asked {
            Some(Stop::Detach) => return,
            Some(Stop::Kill) => {
                // Errors mean that the connection is gone, which shows on the reading side.
                let _ = self.write.signal(Sig::KILL).await;
                let _ = self.write.eof().await;
                KILL_GRACE
            }
            None => Duration::ZERO,
        };
        self.deadline = Some(Instant::now() + grace);
        // Nobody gets anything from here on, so nothing can hold the end up.
        (self.stdout, self.stderr) = (None, None);
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Waits for what the holder of the handle wants; `None` when the handle was dropped.
async fn asked(stop: &mut Option<oneshot::Receiver<Stop>>) -> Option<Stop> {
    match stop {
        Some(stop) => stop.await.ok(),
        None => std::future::pending().await,
    }
}

fn name(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => name.clone(),
        known => format!("{known:?}"),
    }
}

/// A connection through a jump host.
pub struct Tunnel {
    reader: Reader,
    writer: Writer,
    _handle: ProcessHandle,
    _held: Box<dyn Send + Sync>,
}

/// Turns a channel that a jump host opened into a stream. Dropping it closes the channel, and drops `held`.
pub fn tunnel(channel: Channel<Msg>, held: Box<dyn Send + Sync>) -> Tunnel {
    let (read, write) = channel.split();
    let write = Arc::new(write);
    let link = Arc::new(Link::default());
    let (stdout, packets) = mpsc::channel(TUNNEL_BACKLOG);
    let (handle, stop) = ProcessHandle::new();
    let writer = Writer::new(Arc::clone(&write), Arc::clone(&link));
    let follower = Follower { read, write, stdout: Some(stdout), stderr: None, stop: Some(stop), deadline: None, link };
    tokio::spawn(follower.run());
    Tunnel { reader: Reader { packets, current: None }, writer, _handle: handle, _held: held }
}

impl AsyncRead for Tunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}
