//! What russh tells us while a connection lives.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use russh::client::DisconnectReason;
use russh::keys::PublicKeyOrCertificate;

use super::super::{ConnectionError, Peer};
use super::blocking::blocking;
use super::host_key::{HostKeys, Trust};

/// What is known about a connection beside its streams.
#[derive(Debug, Default)]
pub struct Shared {
    doubtful: AtomicBool,
    lost: Mutex<Option<String>>,
    verdict: Mutex<Option<ConnectionError>>,
}

impl Shared {
    /// Whether the host key is not the known one and was let through all the same.
    pub fn is_doubtful(&self) -> bool {
        self.doubtful.load(Ordering::Acquire)
    }

    /// How the connection ended.
    pub fn lost(&self) -> Option<String> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why the host key was refused.
    pub fn verdict(&self) -> Option<ConnectionError> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The connection is gone; says why where that is known.
    pub fn lost_error(&self, at: &Peer) -> ConnectionError {
        let cause = self.lost().unwrap_or_else(|| "the server closed it".into());
        ConnectionError::Lost { at: at.clone(), cause }
    }
}

/// Receives russh's callbacks for one connection.
#[derive(Debug)]
pub struct Handler {
    pub(super) shared: Arc<Shared>,
    pub(super) host_keys: Option<Arc<HostKeys>>,
}

impl russh::client::Handler for Handler {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let Some(host_keys) = self.host_keys.take() else {
            return Ok(false);
        };
        let judged = match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => host_keys.check(key),
            PublicKeyOrCertificate::Certificate(certificate) => host_keys.check_certificate(certificate),
        };
        match judged {
            Ok(Trust::New(key)) => {
                // It warns if it cannot; a task that fails says nothing worse.
                let _ = blocking(move || host_keys.record(&key)).await;
                Ok(true)
            }
            Ok(trust) => {
                self.shared.doubtful.store(trust == Trust::Doubtful, Ordering::Release);
                Ok(true)
            }
            Err(verdict) => {
                *self.shared.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
                Ok(false)
            }
        }
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Self::Error>) -> Result<(), Self::Error> {
        let cause = match &reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                format!("the server says `{}`", info.message.trim())
            }
            DisconnectReason::Error(error) => explain(error),
        };
        self.shared.lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(cause);
        match reason {
            DisconnectReason::ReceivedDisconnect(_) => Ok(()),
            DisconnectReason::Error(error) => Err(error),
        }
    }
}

fn explain(error: &russh::Error) -> String {
    match error {
        russh::Error::KeepaliveTimeout => {
            "the host no longer answers (`ServerAliveInterval` × `ServerAliveCountMax` passed without a sign of life)"
                .into()
        }
        russh::Error::Disconnect | russh::Error::HUP => "the server closed it".into(),
        russh::Error::IO(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => "the server closed it".into(),
        russh::Error::IO(error) => error.to_string(),
        other => other.to_string(),
    }
}
