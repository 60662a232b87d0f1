//! Every way a connection can fail, each with what was tried and the way out.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

/// Whom a connection goes to: `user@host:port`, and through which jump hosts.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Peer(Arc<PeerInner>);

#[derive(PartialEq, Eq, Hash)]
struct PeerInner {
    user: String,
    host: String,
    port: u16,
    via: Option<String>,
}

impl Peer {
    /// `via` names the way there: the jump hosts or the proxy command.
    pub fn new(user: &str, host: &str, port: u16, via: Option<String>) -> Self {
        Self(Arc::new(PeerInner { user: user.into(), host: host.into(), port, via }))
    }

    /// The login name.
    pub fn user(&self) -> &str {
        &self.0.user
    }

    /// The name or address that is connected to.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// How the peer is reached when not directly.
    pub fn via(&self) -> Option<&str> {
        self.0.via.as_deref()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.0.user, bracketed(&self.0.host), self.0.port)?;
        match &self.0.via {
            Some(via) => write!(f, " via {via}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An IPv6 address in brackets, anything else as it is.
pub(crate) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// A place in a file, shown as `file:line`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

/// Why a connection could not be made, or was lost.
///
/// It is `Clone` because everybody who waits for one shared login gets the same answer.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// An `ssh_config` file or an ssh argument that cannot be followed.
    #[error("{place}: {message}")]
    Config {
        /// `file:line`, or `ssh arguments`.
        place: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// The name has no address.
    #[error("{at}: the name `{}` does not resolve: {cause}; check the inventory's `ansible_host` or the `HostName` in ssh_config", at.host())]
    Resolve {
        /// The peer.
        at: Peer,
        /// What the resolver said.
        cause: String,
    },
    /// Nothing listens there.
    #[error("{at}: connection refused; is sshd running and listening on port {}?", at.port())]
    Refused {
        /// The peer.
        at: Peer,
    },
    /// Something did not happen in time.
    #[error("{at}: timed out after {} s waiting for {phase}; raise `ansible_timeout` or `ConnectTimeout` if the host is only slow", after.as_secs_f32())]
    TimedOut {
        /// The peer.
        at: Peer,
        /// What was waited for.
        phase: String,
        /// How long.
        after: Duration,
    },
    /// The network knows no way there.
    #[error("{at}: no route to the host: {cause}; is a jump host (`ProxyJump`) missing?")]
    NoRoute {
        /// The peer.
        at: Peer,
        /// What the kernel said.
        cause: String,
    },
    /// Any other failure of the network.
    #[error("{at}: cannot connect: {cause}")]
    Network {
        /// The peer.
        at: Peer,
        /// What the kernel said.
        cause: String,
    },
    /// The server hung up before it said a word.
    #[error(
        "{at}: the server closed the connection before its banner, {attempts} times{said}; sshd's `MaxStartups`, `PerSourcePenalties` or a firewall may be limiting new connections"
    )]
    ClosedBeforeBanner {
        /// The peer.
        at: Peer,
        /// How often it was tried.
        attempts: u32,
        /// What the server said instead, empty or starting with a colon.
        said: String,
    },
    /// What answers is no SSH server.
    #[error("{at}: what answers there is not an SSH server (it says `{got}`); check the port")]
    NotSsh {
        /// The peer.
        at: Peer,
        /// The first bytes it sent.
        got: String,
    },
    /// No algorithm in common.
    #[error(
        "{at}: no common {kind}; this side offers {}; the server offers {}; allow one of the server's in ssh_config if you trust it",
        list(ours),
        list(theirs)
    )]
    KexMismatch {
        /// The peer.
        at: Peer,
        /// What kind of algorithm.
        kind: String,
        /// What this side offers.
        ours: Vec<String>,
        /// What the server offers.
        theirs: Vec<String>,
    },
    /// The server broke the protocol.
    #[error("{at}: the SSH handshake failed: {cause}")]
    Protocol {
        /// The peer.
        at: Peer,
        /// What went wrong.
        cause: String,
    },
    /// The host is in no known_hosts file.
    #[error(
        "{at}: the host key is not known: {key} for `{name}` is not in {files}; verify the fingerprint and add it with `{remedy}`, or set `StrictHostKeyChecking=accept-new`"
    )]
    HostKeyUnknown {
        /// The peer.
        at: Peer,
        /// The key's type and SHA256 fingerprint.
        key: String,
        /// The name looked for.
        name: String,
        /// The files looked into.
        files: String,
        /// The command that makes the key known.
        remedy: String,
    },
    /// The host shows another key than the known one.
    #[error("{at}: THE HOST KEY HAS CHANGED: the server shows {algorithm} {fingerprint}, {place} says {known}; somebody may be in between, or the host was reinstalled; if you know why, remove the old key with `ssh-keygen -R '{name}' -f {}`", place.file.display())]
    HostKeyChanged {
        /// The peer.
        at: Peer,
        /// The key's type.
        algorithm: String,
        /// SHA256:… of the key that the server shows.
        fingerprint: String,
        /// SHA256:… of the key in the file.
        known: String,
        /// The offending entry.
        place: Box<Place>,
        /// The name in the file.
        name: String,
    },
    /// The host shows a key that is marked `@revoked`.
    #[error("{at}: the host key {algorithm} {fingerprint} is revoked by {place}; the host needs a new key")]
    HostKeyRevoked {
        /// The peer.
        at: Peer,
        /// The key's type.
        algorithm: String,
        /// SHA256:…
        fingerprint: String,
        /// The `@revoked` entry.
        place: Place,
    },
    /// The host's certificate is signed by a trusted authority and yet not valid.
    #[error("{at}: the host certificate signed by the authority in {place} is not valid: {reason}")]
    HostCertificate {
        /// The peer.
        at: Peer,
        /// The `@cert-authority` entry.
        place: Place,
        /// Why not.
        reason: String,
    },
    /// The server accepted none of the credentials.
    #[error("{at}: permission denied; tried: {}; the server accepts: {}{note}", list(tried), list(methods))]
    AuthDenied {
        /// The peer.
        at: Peer,
        /// Every credential tried or left out, with its file.
        tried: Vec<String>,
        /// The methods that the server accepts.
        methods: Vec<String>,
        /// More to know, empty or starting with a semicolon.
        note: String,
    },
    /// A key that is needed is encrypted.
    #[error("{at}: the key `{}` is encrypted and there is no passphrase; load it into an agent with `ssh-add {}` or give `ansible_ssh_private_key_passphrase`{denied}", path.display(), path.display())]
    KeyEncrypted {
        /// The peer.
        at: Peer,
        /// The key file.
        path: PathBuf,
        /// What else was tried.
        denied: String,
    },
    /// A key file that was named cannot be used.
    #[error("{at}: cannot use the key `{}`: {cause}{denied}", path.display())]
    KeyUnreadable {
        /// The peer.
        at: Peer,
        /// The key file.
        path: PathBuf,
        /// Why not.
        cause: String,
        /// What else was tried.
        denied: String,
    },
    /// A key file that others can read.
    #[error("{at}: the key `{}` has mode {mode:04o}, others can read it, so it is not used; `chmod 600 {}`{denied}", path.display(), path.display())]
    KeyPermissions {
        /// The peer.
        at: Peer,
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What else was tried.
        denied: String,
    },
    /// The agent does not answer.
    #[error("{at}: the SSH agent at `{socket}` cannot be reached: {cause}{denied}")]
    AgentUnreachable {
        /// The peer.
        at: Peer,
        /// The socket.
        socket: String,
        /// Why not.
        cause: String,
        /// What else was tried.
        denied: String,
    },
    /// The jump host is logged in to, and would not or could not connect on.
    #[error("{at}: the jump host could not open the connection: {reason}")]
    BastionRefused {
        /// The peer behind the jump host.
        at: Peer,
        /// What the jump host said, and what to do.
        reason: String,
    },
    /// The jump host cannot be logged in to.
    #[error("{at}: cannot reach the jump host: {source}")]
    Bastion {
        /// The peer behind the jump host.
        at: Peer,
        /// What failed at the jump host.
        source: Box<ConnectionError>,
    },
    /// The proxy command failed.
    #[error("{at}: the ProxyCommand `{command}` failed: {cause}")]
    ProxyCommand {
        /// The peer behind it.
        at: Peer,
        /// The command after expansion.
        command: String,
        /// Why.
        cause: String,
    },
    /// The connection was there and is gone.
    #[error("{at}: the connection was lost: {cause}")]
    Lost {
        /// The peer.
        at: Peer,
        /// How it showed.
        cause: String,
    },
    /// The server would not run the command.
    #[error("{at}: the server refused to {what}; a `ForceCommand`, `restrict` or `MaxSessions` may be in force")]
    ExecRefused {
        /// The peer.
        at: Peer,
        /// What it refused.
        what: String,
    },
    /// A local process could not be started or waited for.
    #[error("cannot run `{command}` here: {cause}")]
    Local {
        /// The command.
        command: String,
        /// Why not.
        cause: String,
    },
}

impl ConnectionError {
    /// Whether another try, without any change, may well succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused { .. }
            | Self::TimedOut { .. }
            | Self::NoRoute { .. }
            | Self::Network { .. }
            | Self::ClosedBeforeBanner { .. }
            | Self::BastionRefused { .. }
            | Self::Lost { .. } => true,
            Self::Bastion { source, .. } => source.is_transient(),
            _ => false,
        }
    }
}
