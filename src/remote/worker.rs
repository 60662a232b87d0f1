//! The controller's end of a worker.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rplay_protocol::{self as protocol, CHUNK, Detach, Frame, HEADER_LEN, Header, Hello, MAGIC, Reply, Request};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OnceCell, mpsc};

use super::{Answer, Background, Become, Call, Content, Job, Received, RemoteError, bootstrap};
use crate::connection::{Connection, ExecOptions, Process, ProcessHandle};

/// How much of a host's noise before the greeting is looked through, in bytes.
const MAX_NOISE: usize = 1024 * 1024;

/// Frames that may wait to be written, so that a slow host does not fill the controller's memory.
const QUEUE: usize = 16;

/// A running worker on a host. Dropping it ends the worker.
pub struct Worker {
    frames: mpsc::Sender<Frame>,
    shared: Arc<Shared>,
    next: AtomicU64,
    routes: Mutex<HashMap<Become, Arc<Route>>>,
    next_route: AtomicU32,
    hello: Hello,
    _handle: ProcessHandle,
}

/// A become session: its number, and whether it is up.
struct Route {
    number: u32,
    up: OnceCell<Result<(), RemoteError>>,
}

/// Who waits for the replies to which request.
type Waiting = HashMap<u64, mpsc::UnboundedSender<(Reply, Vec<u8>)>>;

/// What the reading side and the callers share.
#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    closed: AtomicBool,
    /// The host's last words: why the connection ended, what the worker said on standard error.
    words: Mutex<String>,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self) -> RemoteError {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let words = words.trim();
        RemoteError::Lost(if words.is_empty() { String::new() } else { format!(": {words}") })
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("hello", &self.hello).finish_non_exhaustive()
    }
}

impl Worker {
    /// Starts the worker on a host, bringing the program there first when it is not there.
    ///
    /// On this machine `program` is started, or this program itself when there is none.
    pub async fn start(connection: &Connection, program: Option<&Path>) -> Result<Arc<Self>, RemoteError> {
        let command = match connection {
            Connection::Local(_) => local_command(program)?,
            Connection::Ssh(_) => bootstrap::command(bootstrap::build_id()?),
        };
        let Process { mut stdin, mut stdout, mut stderr, exit, handle } =
            connection.exec(&command, ExecOptions::default()).await?;
        let shared = Arc::new(Shared::default());
        let listener = shared.clone();
        let words = tokio::spawn(async move {
            let mut piece = [0; 4096];
            while let Ok(n) = stderr.read(&mut piece).await {
                if n == 0 {
                    break;
                }
                let mut words = listener.words.lock().unwrap_or_else(PoisonError::into_inner);
                if words.len() < 8192 {
                    words.push_str(&String::from_utf8_lossy(&piece[..n]));
                }
            }
        });
        let greeted = greet(&mut stdin, &mut stdout).await;
        let hello = match greeted {
            Ok(hello) => hello,
            Err(error) => {
                drop(stdin);
                let ended = exit.await;
                let _ = words.await;
                return Err(match (ended, error) {
                    (Err(connection), _) => connection.into(),
                    (Ok(_), RemoteError::Lost(_)) => {
                        let said = shared.words.lock().unwrap_or_else(PoisonError::into_inner).trim().to_owned();
                        let said = if said.is_empty() { "the login shell ended without a word".into() } else { said };
                        RemoteError::Deploy(said)
                    }
                    (Ok(_), other) => other,
                });
            }
        };
        if hello.protocol != protocol::VERSION {
            let message = format!("it speaks version {} of the protocol, not {}", hello.protocol, protocol::VERSION);
            return Err(RemoteError::Protocol(message));
        }
        let (frames, queue) = mpsc::channel(QUEUE);
        tokio::spawn(write_frames(stdin, queue));
        let reader = shared.clone();
        tokio::spawn(async move {
            read_frames(stdout, &reader).await;
            if let Err(error) = exit.await {
                *reader.words.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
            }
            reader.closed.store(true, Ordering::SeqCst);
            // Whoever still waits learns it by the end of its channel.
            reader.waiting().clear();
        });
        Ok(Arc::new(Self {
            frames,
            shared,
            next: AtomicU64::new(1),
            routes: Mutex::default(),
            next_route: AtomicU32::new(1),
            hello,
            _handle: handle,
        }))
    }

    /// What the worker said of itself.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Whether the worker is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::SeqCst)
    }

    /// Runs a module's calls, as the login user or another; `on_answer` gets each result as it comes.
    ///
    /// Dropping the future cancels the request on the host.
    pub async fn run(
        &self,
        become_user: Option<&Become>,
        job: Job,
        mut on_answer: impl FnMut(Answer),
    ) -> Result<(), RemoteError> {
        let route = match become_user {
            Some(user) => self.route(user).await?,
            None => 0,
        };
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut replies = self.register(id)?;
        let mut guard = CancelGuard { worker: self, id, route, armed: true };
        let outcome = self.converse(id, route, job, &mut replies, &mut on_answer).await;
        guard.armed = false;
        self.shared.waiting().remove(&id);
        outcome
    }

    /// Ends become sessions, those of one user or all, so that the next task starts with the rights of the day.
    pub async fn end_become(&self, user: Option<&str>) -> Result<(), RemoteError> {
        let ended: Vec<Arc<Route>> = {
            let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
            let meant = |who: &Become| user.is_none_or(|user| who.spec.user == user);
            let keys: Vec<Become> = routes.keys().filter(|who| meant(who)).cloned().collect();
            keys.iter().filter_map(|who| routes.remove(who)).collect()
        };
        for route in ended {
            let id = self.next.fetch_add(1, Ordering::Relaxed);
            self.send(Frame::new(id, 0, &Request::EndBecome { route: route.number }, Vec::new())?).await?;
        }
        Ok(())
    }

    async fn converse(
        &self,
        id: u64,
        route: u32,
        job: Job,
        replies: &mut mpsc::UnboundedReceiver<(Reply, Vec<u8>)>,
        on_answer: &mut impl FnMut(Answer),
    ) -> Result<(), RemoteError> {
        let (calls, payload) = self.prepare(id, route, job.calls).await?;
        let run = protocol::Run {
            module: job.module,
            calls,
            check: job.check,
            diff: job.diff,
            environment: job.environment,
            stream: false,
        };
        let request = match job.background {
            None => Request::Run(run),
            Some(Background { directory, limit }) => Request::Detach(Detach { run, directory, limit }),
        };
        self.send(Frame::new(id, route, &request, payload)?).await?;
        let mut content: HashMap<usize, Received> = HashMap::new();
        let unkept = |e: std::io::Error| RemoteError::Content(format!("cannot keep what the host sends: {e}"));
        loop {
            let Some((reply, payload)) = replies.recv().await else { return Err(self.shared.lost()) };
            match reply {
                Reply::Item { index, result } => {
                    let mut whole = content.remove(&index).unwrap_or_default();
                    whole.push(&payload).map_err(unkept)?;
                    on_answer(Answer { index, result, content: whole });
                }
                Reply::Content { index } => content.entry(index).or_default().push(&payload).map_err(unkept)?,
                Reply::Done => return Ok(()),
                Reply::Error { kind, message } => return Err(error_of(&kind, message)),
                Reply::Hello(_) | Reply::Output { .. } => {}
            }
        }
    }

    /// The calls as they travel: short content in the request's own frame, long content in frames before it.
    async fn prepare(
        &self,
        id: u64,
        route: u32,
        calls: Vec<Call>,
    ) -> Result<(Vec<protocol::Call>, Vec<u8>), RemoteError> {
        let mut payload = Vec::new();
        let mut out = Vec::with_capacity(calls.len());
        for call in calls {
            let mut travelling = protocol::Call { args: call.args, payload: None, stage: None };
            match call.content {
                None => {}
                Some(Content::Bytes(bytes)) if payload.len() + bytes.len() <= CHUNK => {
                    travelling.payload = Some(bytes.len() as u64);
                    payload.extend(bytes);
                }
                Some(content) => travelling.stage = Some(self.stage(id, route, content).await?),
            }
            out.push(travelling);
        }
        Ok((out, payload))
    }

    async fn stage(&self, id: u64, route: u32, content: Content) -> Result<u64, RemoteError> {
        let stage = self.next.fetch_add(1, Ordering::Relaxed);
        let mut reader: Box<dyn AsyncRead + Send + Unpin> = match content {
            Content::Bytes(bytes) => Box::new(std::io::Cursor::new(bytes)),
            Content::File(path) => {
                let opened = tokio::fs::File::open(&path).await;
                Box::new(opened.map_err(|e| RemoteError::Content(format!("cannot read {}: {e}", path.display())))?)
            }
        };
        let mut first = true;
        loop {
            let mut piece = vec![0; CHUNK];
            let mut len = 0;
            while len < CHUNK {
                match reader.read(&mut piece[len..]).await {
                    Ok(0) => break,
                    Ok(n) => len += n,
                    Err(e) => return Err(RemoteError::Content(format!("cannot read a file to send: {e}"))),
                }
            }
            // An empty file is staged too.
            if len == 0 && !first {
                return Ok(stage);
            }
            first = false;
            piece.truncate(len);
            self.send(Frame::new(id, route, &Request::Stage { stage }, piece)?).await?;
        }
    }

    async fn send(&self, frame: Frame) -> Result<(), RemoteError> {
        self.frames.send(frame).await.map_err(|_| self.shared.lost())
    }

    fn register(&self, id: u64) -> Result<mpsc::UnboundedReceiver<(Reply, Vec<u8>)>, RemoteError> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.shared.waiting().insert(id, sender);
        if self.is_closed() {
            self.shared.waiting().remove(&id);
            return Err(self.shared.lost());
        }
        Ok(receiver)
    }

    /// The route of a become session, opened when it is the first time that this user is wanted.
    async fn route(&self, user: &Become) -> Result<u32, RemoteError> {
        let route = {
            let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || {
                let number = self.next_route.fetch_add(1, Ordering::Relaxed);
                Arc::new(Route { number, up: OnceCell::new() })
            };
            routes.entry(user.clone()).or_insert_with(new).clone()
        };
        route.up.get_or_init(|| self.open(route.number, user)).await.clone()?;
        Ok(route.number)
    }

    async fn open(&self, number: u32, user: &Become) -> Result<(), RemoteError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut replies = self.register(id)?;
        let request = Request::StartBecome { route: number, spec: user.spec.clone() };
        let password = user.password.as_ref().map(|p| p.expose().as_bytes().to_vec()).unwrap_or_default();
        self.send(Frame::new(id, 0, &request, password)?).await?;
        let reply = replies.recv().await;
        self.shared.waiting().remove(&id);
        match reply {
            Some((Reply::Hello(_), _)) => Ok(()),
            Some((Reply::Error { message, .. }, _)) => Err(RemoteError::Become(message)),
            Some(_) => Err(RemoteError::Protocol("a become session did not say hello".into())),
            None => Err(self.shared.lost()),
        }
    }
}

/// Tells the host when nobody waits for a request any more.
struct CancelGuard<'w> {
    worker: &'w Worker,
    id: u64,
    route: u32,
    armed: bool,
}

impl Drop for CancelGuard<'_> {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        self.worker.shared.waiting().remove(&self.id);
        if let Ok(frame) = Frame::new(self.id, self.route, &Request::Cancel, Vec::new()) {
            // A queue that is full means a host that does not read; it is going to be given up anyway.
            let _ = self.worker.frames.try_send(frame);
        }
    }
}

fn error_of(kind: &str, message: String) -> RemoteError {
    match kind {
        "become" => RemoteError::Become(message),
        "cancelled" => RemoteError::Cancelled,
        "lost" => RemoteError::Lost(format!(": {message}")),
        _ => RemoteError::Protocol(message),
    }
}

/// The command that starts a worker on this machine: this program itself, unless another is named.
fn local_command(program: Option<&Path>) -> Result<String, RemoteError> {
    let own = match program {
        Some(program) => program.to_path_buf(),
        None => std::env::current_exe()
            .map_err(|e| RemoteError::Deploy(format!("cannot find this program's own file: {e}")))?,
    };
    let own = own.to_string_lossy().into_owned();
    Ok(format!("exec {} worker", shell_words::quote(&own)))
}

async fn write_frames(mut stdin: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Frame>) {
    while let Some(frame) = queue.recv().await {
        let Ok(bytes) = frame.to_bytes() else { continue };
        if stdin.write_all(&bytes).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
    // The worker takes the end of its input for the end of the run.
    let _ = stdin.shutdown().await;
}

async fn read_frames(mut stdout: impl AsyncRead + Unpin, shared: &Shared) {
    while let Ok(Some(frame)) = read_frame(&mut stdout).await {
        let Ok(reply) = frame.decode::<Reply>() else { return };
        if let Some(waiting) = shared.waiting().get(&frame.id) {
            // Whoever asked may have gone.
            let _ = waiting.send((reply, frame.payload));
        }
    }
}

async fn read_frame(input: &mut (impl AsyncRead + Unpin)) -> Result<Option<Frame>, RemoteError> {
    let mut head = [0; HEADER_LEN];
    match input.read_exact(&mut head).await {
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(e) => return Err(RemoteError::Lost(format!(": {e}"))),
    }
    let header = Header::decode(&head)?;
    let lost = |e: std::io::Error| RemoteError::Lost(format!(": {e}"));
    let mut message = vec![0; header.message_len as usize];
    input.read_exact(&mut message).await.map_err(lost)?;
    let mut payload = vec![0; header.payload_len as usize];
    input.read_exact(&mut payload).await.map_err(lost)?;
    Ok(Some(Frame { id: header.id, route: header.route, message, payload }))
}

/// Talks to the bootstrap script until the worker greets: brings the program when it is asked for.
async fn greet(
    stdin: &mut (impl AsyncWrite + Unpin),
    stdout: &mut (impl AsyncRead + Unpin),
) -> Result<Hello, RemoteError> {
    let mut line: Vec<u8> = Vec::new();
    let mut seen = 0;
    loop {
        let byte = match stdout.read_u8().await {
            Ok(byte) => byte,
            Err(e) => return Err(RemoteError::Lost(format!(": {e}"))),
        };
        line.push(byte);
        seen += 1;
        if line.ends_with(MAGIC) {
            break;
        }
        if seen > MAX_NOISE {
            return Err(RemoteError::Deploy("the login prints without end and never starts the worker".into()));
        }
        if byte != b'\n' {
            continue;
        }
        if let Some(at) = find(&line, bootstrap::NEED) {
            bring(&line[at + bootstrap::NEED.len()..], stdin).await?;
        } else if find(&line, bootstrap::NOWHERE).is_some() {
            let message = "no directory there can hold and execute it (tried ~/.cache, /var/tmp and /dev/shm)";
            return Err(RemoteError::Deploy(message.into()));
        }
        line.clear();
    }
    let frame = read_frame(stdout).await?.ok_or_else(|| RemoteError::Lost(String::new()))?;
    match frame.decode::<Reply>() {
        Ok(Reply::Hello(hello)) => Ok(hello),
        _ => Err(RemoteError::Protocol("its first message is not a greeting".into())),
    }
}

fn find(line: &[u8], what: &[u8]) -> Option<usize> {
    line.windows(what.len()).position(|window| window == what)
}

/// Sends the program for the machine that the script named.
async fn bring(request: &[u8], stdin: &mut (impl AsyncWrite + Unpin)) -> Result<(), RemoteError> {
    let request = String::from_utf8_lossy(request);
    let mut words = request.split_whitespace();
    let (machine, packing) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let program = bootstrap::Program::for_machine(machine)?;
    let bytes = program.bytes(packing == "gzip");
    let lost = |e: std::io::Error| RemoteError::Lost(format!(": {e}"));
    stdin.write_all(format!("{}\n", bytes.len()).as_bytes()).await.map_err(lost)?;
    stdin.write_all(bytes).await.map_err(lost)?;
    stdin.flush().await.map_err(lost)
}
