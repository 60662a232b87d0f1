//! A worker on a host: deployed when it is not there yet, started, spoken to.

mod bootstrap;
mod dialogue;
mod received;
mod worker;

use std::path::PathBuf;

use rplay_protocol::{BecomeSpec, FrameError, Object};

use crate::connection::{ConnectionError, Secret};

pub use bootstrap::{Program, build_id};
pub use dialogue::Dialogue;
pub use received::Received;
pub use worker::Worker;

/// Why a worker could not be reached or did not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RemoteError {
    /// The host could not be logged in to, or the login was lost.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The worker could not be brought to the host or started there.
    #[error("cannot start the worker on the host: {0}")]
    Deploy(String),
    /// Another user could not be become.
    #[error("{0}")]
    Become(String),
    /// Another user was not become in time.
    #[error("{0}")]
    BecomeTimeout(String),
    /// The worker ended, or the connection to it, while something was under way.
    #[error("the connection to the host was lost while the task was running{0}")]
    Lost(String),
    /// The two sides do not understand each other.
    #[error("the worker on the host does not understand this: {0}")]
    Protocol(String),
    /// The task was cancelled.
    #[error("the task was cancelled")]
    Cancelled,
    /// A file of the controller's could not be read.
    #[error("{0}")]
    Content(String),
}

impl RemoteError {
    /// Whether the host counts as unreachable, rather than the task as failed.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Connection(_) | Self::Deploy(_) | Self::Lost(_) | Self::BecomeTimeout(_))
    }
}

impl From<FrameError> for RemoteError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Io(e) => Self::Lost(format!(": {e}")),
            other => Self::Protocol(other.to_string()),
        }
    }
}

/// Another user to become, with the password that may take.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Become {
    /// How and whom.
    pub spec: BecomeSpec,
    /// The password.
    pub password: Option<Secret>,
    /// What su may ask with, where that is told.
    pub prompts: Vec<String>,
    /// Where to be before the user changes.
    pub directory: Option<String>,
    /// How long it may take, where that is told.
    pub patience: Option<std::time::Duration>,
}

/// Content that goes with a call.
#[derive(Debug, Clone)]
pub enum Content {
    /// In memory.
    Bytes(Vec<u8>),
    /// A file here.
    File(PathBuf),
}

/// One call of a module.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// Its arguments.
    pub args: Object,
    /// What goes with it.
    pub content: Option<Content>,
}

/// A module and everything to call it with, in one request.
#[derive(Debug, Clone)]
pub struct Job {
    /// The module's full name.
    pub module: String,
    /// The calls, in order.
    pub calls: Vec<Call>,
    /// Predict, do not change.
    pub check: bool,
    /// Say what differs.
    pub diff: bool,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// Set for the one call that goes on by itself: it is answered as soon as it has begun.
    pub background: Option<Background>,
}

/// What a call needs that goes on by itself.
#[derive(Debug, Clone)]
pub struct Background {
    /// The directory for its result.
    pub directory: String,
    /// Its time, in seconds.
    pub limit: u64,
}

/// What a call came to.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Which call.
    pub index: usize,
    /// The module's return values.
    pub result: Object,
    /// Content it sent back.
    pub content: Received,
}
