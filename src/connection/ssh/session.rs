//! One login: the handshake, and what can be done with it afterwards.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use russh::client::{self, Handle};
use russh::{ChannelOpenFailure, Disconnect, SshId};
use tokio::task::JoinHandle;

use super::super::error::bracketed;
use super::super::{ConnectionError, ExecOptions, Peer, Process};
use super::auth::{self, Login, Proof};
use super::blocking::blocking;
use super::channel::{self, Tunnel};
use super::handler::{Handler, Shared};
use super::host_key::HostKeys;
use super::pool::Resources;
use super::resolve::{Route, Target};
use super::stream::{self, Duplex, Heard, ProxyProcess, Watched};

/// The window that a server may fill before it has to wait for us: enough for 2 ms at 1 GB/s, or 200 ms at 10 MB/s.
const WINDOW: u32 = 2 * 1024 * 1024;
/// Tries of a server that hangs up before its banner, which is how sshd sheds load.
const BANNER_TRIES: u32 = 6;
/// The least that a login may take after the handshake: PAM and slow name servers need their time.
const LEAST_AUTH_TIMEOUT: Duration = Duration::from_secs(30);

/// A login on a host, shared by everybody who needs it. It ends when the last holder drops it.
pub struct Session {
    handle: Handle<Handler>,
    at: Peer,
    shared: Arc<Shared>,
    proof: Proof,
    variables: Vec<(String, String)>,
    connect_timeout: Duration,
    /// How many other connections go through this one.
    carried: Arc<AtomicUsize>,
    retired: AtomicBool,
    /// Keeps the jump host logged in.
    _jump: Option<Arc<Session>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("at", &self.at).finish_non_exhaustive()
    }
}

/// Counts a connection that goes through a jump host for as long as it lives.
struct Carried(Arc<AtomicUsize>);

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Session {
    /// Whom it is logged in to.
    pub fn peer(&self) -> &Peer {
        &self.at
    }

    /// What the login was made with.
    pub(super) fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Whether it can take no more commands: the connection is gone, or [`Session::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed() || self.retired.load(Ordering::Acquire)
    }

    /// Ends the login; one that carries other hosts' connections only takes no more commands of its own.
    pub async fn close(&self) {
        self.retired.store(true, Ordering::Release);
        if self.carried.load(Ordering::Acquire) == 0 {
            // An error means that it has ended already.
            let _ = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
        }
    }

    /// Starts `command` in the login shell: one round trip until it can be written to and read from.
    pub async fn exec(&self, command: &str, options: ExecOptions) -> Result<Process, ConnectionError> {
        let opened =
            tokio::time::timeout(self.connect_timeout.max(LEAST_AUTH_TIMEOUT), self.handle.channel_open_session());
        let opened = opened.await.map_err(|_| ConnectionError::TimedOut {
            at: self.at.clone(),
            phase: "the server to open a session".into(),
            after: self.connect_timeout.max(LEAST_AUTH_TIMEOUT),
        })?;
        let channel = opened.map_err(|error| match error {
            russh::Error::ChannelOpenFailure(_) => {
                ConnectionError::ExecRefused { at: self.at.clone(), what: "open a session".into() }
            }
            _ => self.shared.lost_error(&self.at),
        })?;
        let lost = |_| self.shared.lost_error(&self.at);
        for (name, value) in &self.variables {
            // Servers refuse most variables (`AcceptEnv`), so there is no point in asking for an answer.
            channel.set_env(false, name.as_str(), value.as_str()).await.map_err(lost)?;
        }
        if options.pty {
            channel.request_pty(false, "dumb", 80, 24, 0, 0, &[]).await.map_err(lost)?;
        }
        channel.exec(true, command).await.map_err(lost)?;
        Ok(channel::process(channel, self.at.clone(), Arc::clone(&self.shared)))
    }

    /// Opens a connection from this host to `target`.
    async fn tunnel_to(&self, target: &Target, at: &Peer) -> Result<Tunnel, ConnectionError> {
        let carried = Carried(Arc::clone(&self.carried));
        self.carried.fetch_add(1, Ordering::AcqRel);
        let opening =
            self.handle.channel_open_direct_tcpip(target.host.as_str(), u32::from(target.port), "127.0.0.1", 0);
        let opened = tokio::time::timeout(target.connect_timeout, opening).await;
        let opened = opened.map_err(|_| ConnectionError::TimedOut {
            at: at.clone(),
            phase: format!("the jump host to connect to {}:{}", bracketed(&target.host), target.port),
            after: target.connect_timeout,
        })?;
        let channel = opened.map_err(|error| self.tunnel_refused(error, target, at))?;
        Ok(channel::tunnel(channel, Box::new(carried)))
    }

    fn tunnel_refused(&self, error: russh::Error, target: &Target, at: &Peer) -> ConnectionError {
        let there = format!("{}:{}", bracketed(&target.host), target.port);
        let reason = match error {
            russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => {
                format!(
                    "forwarding to {there} is administratively prohibited; allow it with `AllowTcpForwarding` and `PermitOpen` in the jump host's sshd_config"
                )
            }
            russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed) => format!(
                "from there, {there} cannot be connected to (refused, no route, or the name does not resolve there)"
            ),
            russh::Error::ChannelOpenFailure(other) => format!("it says `{}`", other.description()),
            _ => {
                return ConnectionError::Bastion { at: at.clone(), source: Box::new(self.shared.lost_error(&self.at)) };
            }
        };
        ConnectionError::BastionRefused { at: at.clone(), reason }
    }
}

/// Logs in to `target`, through `jump` if there is one.
pub async fn login(
    target: &Target,
    at: &Peer,
    jump: Option<Arc<Session>>,
    resources: &Resources,
) -> Result<Session, ConnectionError> {
    let (keys, (agent, candidates)) = futures::join!(
        look_up_host_keys(target, at, resources),
        auth::prepare(target, &resources.identities, resources.environment.uid),
    );
    let keys = Arc::new(keys?);
    let config = Arc::new(client_config(target, &keys));
    let shared = Arc::new(Shared::default());
    let mut tries = 0;
    let (mut handle, _permit) = loop {
        tries += 1;
        let stream = open(target, at, jump.as_deref(), resources).await?;
        // A closed semaphore is impossible; without a permit the handshake works as well.
        let permit = resources.handshakes.acquire().await.ok();
        let handler = Handler { shared: Arc::clone(&shared), host_keys: Some(Arc::clone(&keys)) };
        match handshake(stream, &config, handler, target, at).await {
            Ok(handle) => break (handle, permit),
            Err(Failed::BeforeBanner(_)) if tries < BANNER_TRIES => {
                drop(permit);
                tokio::time::sleep(pause(tries)).await;
            }
            Err(Failed::BeforeBanner(said)) => {
                return Err(ConnectionError::ClosedBeforeBanner { at: at.clone(), attempts: tries, said });
            }
            Err(Failed::Otherwise(error)) => return Err(shared.verdict().unwrap_or(error)),
        }
    };
    let run = Login {
        handle: &mut handle,
        target,
        at,
        shared: &shared,
        agent,
        accepts: None,
        tried: Vec::new(),
        rsa_hash: None,
    };
    let timeout = (target.connect_timeout * 3).max(LEAST_AUTH_TIMEOUT);
    let proof = tokio::time::timeout(timeout, run.run(candidates)).await.map_err(|_| ConnectionError::TimedOut {
        at: at.clone(),
        phase: "the server to check the login".into(),
        after: timeout,
    })??;
    tracing::debug!(peer = %at, ?proof, "logged in");
    Ok(Session {
        handle,
        at: at.clone(),
        shared,
        proof,
        variables: target.variables.clone(),
        connect_timeout: target.connect_timeout,
        carried: Arc::default(),
        retired: AtomicBool::new(false),
        _jump: jump,
    })
}

/// 0.1, 0.2, 0.4 … 1.6 s, give or take a quarter, so that those who were turned away together do not return together.
fn pause(tries: u32) -> Duration {
    Duration::from_millis(100 << tries.min(5).saturating_sub(1)).mul_f64(rand::random_range(0.75..1.25))
}

async fn look_up_host_keys(target: &Target, at: &Peer, resources: &Resources) -> Result<HostKeys, ConnectionError> {
    let (wanted, peer, cache) = (target.clone(), at.clone(), Arc::clone(&resources.known_hosts));
    let looked_up = blocking(move || HostKeys::look_up(&wanted, &peer, &cache)).await;
    looked_up.map_err(|error| ConnectionError::Protocol { at: at.clone(), cause: error.to_string() })
}

fn client_config(target: &Target, keys: &HostKeys) -> client::Config {
    client::Config {
        client_id: SshId::Standard(concat!("SSH-2.0-rplay_", env!("CARGO_PKG_VERSION")).into()),
        window_size: WINDOW,
        maximum_packet_size: 32 * 1024,
        channel_buffer_size: 32,
        preferred: keys.preferred(&target.algorithms),
        keepalive_interval: target.alive_interval,
        keepalive_max: target.alive_count_max as usize,
        nodelay: true,
        ..client::Config::default()
    }
}

/// How long a write may stall: as long as keepalives may go unanswered.
fn patience(target: &Target) -> Option<Duration> {
    let count = target.alive_count_max;
    target.alive_interval.filter(|_| count > 0).map(|interval| interval * (count + 1))
}

/// The stream that the handshake runs over, and what tells its failures apart.
struct Opened {
    stream: Watched<Box<dyn Duplex>>,
    heard: Arc<Heard>,
    /// For a proxy command: the command, and what it said on its standard error.
    proxy: Option<(String, JoinHandle<String>)>,
}

async fn open(
    target: &Target,
    at: &Peer,
    jump: Option<&Session>,
    resources: &Resources,
) -> Result<Opened, ConnectionError> {
    let mut proxy = None;
    let stream: Box<dyn Duplex> = match (&target.route, jump) {
        (_, Some(jump)) => {
            let _permit = resources.connects.acquire().await.ok();
            Box::new(jump.tunnel_to(target, at).await?)
        }
        (Route::Command(command), None) => {
            let (process, said) = ProxyProcess::start(command, at)?;
            proxy = Some((command.clone(), said));
            Box::new(process)
        }
        (_, None) => Box::new(connect(target, at, resources).await?),
    };
    let (stream, heard) = Watched::new(stream, patience(target));
    Ok(Opened { stream, heard, proxy })
}

/// TCP, `ConnectionAttempts` times, a second apart, as in OpenSSH.
async fn connect(target: &Target, at: &Peer, resources: &Resources) -> Result<tokio::net::TcpStream, ConnectionError> {
    let _permit = resources.connects.acquire().await.ok();
    let mut tries = 1;
    loop {
        match stream::dial(target, at).await {
            Err(error) if tries < target.connection_attempts && error.is_transient() => {
                tries += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            result => return result,
        }
    }
}

enum Failed {
    /// Hung up before saying that it is an SSH server; what it said instead.
    BeforeBanner(String),
    Otherwise(ConnectionError),
}

async fn handshake(
    opened: Opened,
    config: &Arc<client::Config>,
    handler: Handler,
    target: &Target,
    at: &Peer,
) -> Result<Handle<Handler>, Failed> {
    let Opened { stream, heard, proxy } = opened;
    let connecting = client::connect_stream(Arc::clone(config), stream, handler);
    let result = tokio::time::timeout(target.connect_timeout, connecting).await;
    let first = heard.first();
    let error = match result {
        Ok(Ok(handle)) => return Ok(handle),
        Ok(Err(error)) => error,
        Err(_) => {
            heard.give_up();
            let phase = if first.is_empty() { "the server's banner" } else { "the key exchange" };
            let after = target.connect_timeout;
            return Err(Failed::Otherwise(ConnectionError::TimedOut { at: at.clone(), phase: phase.into(), after }));
        }
    };
    let said = String::from_utf8_lossy(&first).trim().chars().take(100).collect::<String>();
    let is_ssh = said.lines().any(|line| line.starts_with("SSH-"));
    if let (Some((command, stderr)), false) = (proxy, is_ssh) {
        // Its streams are closed by now, so its last words are on their way.
        let words = tokio::time::timeout(Duration::from_secs(1), stderr).await;
        let words = words.ok().and_then(Result::ok).unwrap_or_default();
        let cause = if words.is_empty() { "it ended without an SSH banner".to_owned() } else { words };
        return Err(Failed::Otherwise(ConnectionError::ProxyCommand { at: at.clone(), command, cause }));
    }
    Err(told_apart(error, said, is_ssh, at))
}

/// What a failed handshake means.
fn told_apart(error: russh::Error, said: String, is_ssh: bool, at: &Peer) -> Failed {
    let at = at.clone();
    let hung_up = matches!(error, russh::Error::Disconnect | russh::Error::HUP | russh::Error::IO(_));
    // What sshd says when it has too many logins at hand, or too many bad ones from here.
    let sheds = said.contains("MaxStartups") || said.contains("Not allowed at this time");
    Failed::Otherwise(match error {
        _ if !is_ssh && hung_up && (said.is_empty() || sheds) => {
            let said = if said.is_empty() { said } else { format!(": `{said}`") };
            return Failed::BeforeBanner(said);
        }
        _ if !is_ssh => ConnectionError::NotSsh { at, got: said },
        russh::Error::NoCommonAlgo { kind, ours, theirs } => {
            let kind = match kind {
                russh::AlgorithmKind::Kex => "key exchange (`KexAlgorithms`)",
                russh::AlgorithmKind::Key => "host key type (`HostKeyAlgorithms`)",
                russh::AlgorithmKind::Cipher => "cipher (`Ciphers`)",
                russh::AlgorithmKind::Compression => "compression",
                russh::AlgorithmKind::Mac => "message authentication code (`MACs`)",
            };
            ConnectionError::KexMismatch { at, kind: kind.into(), ours, theirs }
        }
        russh::Error::Disconnect | russh::Error::HUP => {
            ConnectionError::Protocol { at, cause: "the server hung up during the key exchange".into() }
        }
        other => ConnectionError::Protocol { at, cause: other.to_string() },
    })
}
