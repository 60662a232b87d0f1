//! What frames say.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A module's arguments or its result: a JSON object in the order it was made.
pub type Object = Map<String, Value>;

/// What the controller asks of a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// Run a module once or several times; answered by one [`Reply::Item`] per call, then [`Reply::Done`].
    Run(Run),
    /// Run one call of a module in a process of its own that outlives the worker; answered by [`Reply::Item`], which says
    /// where its result is going to be, then [`Reply::Done`].
    Detach(Detach),
    /// A piece of content for a later [`Call`] that names the stage; the payload is appended. Not answered.
    Stage {
        /// The number that a call's `stage` will name.
        stage: u64,
    },
    /// Open a become session under a route number; answered by [`Reply::Hello`] of the new worker or [`Reply::Error`].
    StartBecome {
        /// The route that later frames use for it.
        route: u32,
        /// How to become whom. A password is the frame's payload, never part of the message.
        spec: BecomeSpec,
    },
    /// Close a become session when what it has under way is done; not answered, but done before the next request is taken.
    EndBecome {
        /// Its route.
        route: u32,
    },
    /// Stop the request with this frame's id: its commands are ended, later calls of it are not begun.
    Cancel,
    /// End the worker as soon as nothing is under way.
    Exit,
}

/// A module to run, with what all its calls share.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// The module's name, as in `ansible.builtin.copy`.
    pub module: String,
    /// One entry for a plain task, one per item for a loop.
    pub calls: Vec<Call>,
    /// Predict, do not change.
    #[serde(default)]
    pub check: bool,
    /// Say what differs.
    #[serde(default)]
    pub diff: bool,
    /// Environment variables of the task.
    #[serde(default)]
    pub environment: Vec<(String, String)>,
    /// Send output of long commands as it comes.
    #[serde(default)]
    pub stream: bool,
}

/// A job: a call that goes on when nobody waits for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Detach {
    /// The module and its one call, which comes without content.
    pub run: Run,
    /// The directory for the result, with the job's id as its name; `~` is the home of the user who runs the job.
    pub directory: String,
    /// The job is ended after so many seconds.
    pub limit: u64,
}

/// One call of a module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// The arguments, templated, not yet coerced to the module's types.
    pub args: Object,
    /// Bytes of the frame's payload that belong to this call; calls take theirs in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<u64>,
    /// The stage that holds this call's content when it was too long for one frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<u64>,
}

/// How to become another user.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BecomeSpec {
    /// `sudo`, `su` or `doas`.
    pub method: String,
    /// The user to become.
    pub user: String,
    /// The program, when it is not the method's own name.
    pub exe: Option<String>,
    /// Flags for the program, already split into words; `None` for the method's defaults.
    pub flags: Option<Vec<String>>,
    /// Whether a password rides in the frame's payload.
    pub has_password: bool,
}

impl BecomeSpec {
    /// The flags for the program: those that were given, or the method's defaults.
    #[must_use]
    pub fn all_flags(&self) -> Vec<String> {
        let default: &[&str] = match self.method.as_str() {
            "sudo" => &["-H", "-S", "-n"],
            "doas" => &["-n"],
            _ => &[],
        };
        self.flags.clone().unwrap_or_else(|| default.iter().map(|flag| (*flag).to_owned()).collect())
    }
}

/// Which of a command's outputs a piece belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a worker is, said once when it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`crate::VERSION`] of the worker.
    pub protocol: u32,
    /// The worker's own version.
    pub version: String,
    /// Effective user id.
    pub uid: u32,
    /// Process id on the host.
    pub pid: u32,
}

/// What a worker answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Reply {
    /// The worker is there.
    Hello(Hello),
    /// A call's result. The frame's payload is the content the module returns, or its last piece.
    Item {
        /// Which call of the request.
        index: usize,
        /// The module's return values.
        result: Object,
    },
    /// A piece of content that belongs to the call's coming [`Reply::Item`].
    Content {
        /// Which call of the request.
        index: usize,
    },
    /// A piece of a running command's output, in the payload.
    Output {
        /// Which call of the request.
        index: usize,
        /// Which output.
        stream: Stream,
    },
    /// All calls of the request are answered.
    Done,
    /// The request could not be carried out at all.
    Error {
        /// One of `become`, `module`, `protocol`, `cancelled`, `lost`.
        kind: String,
        /// What was attempted and what stood in the way.
        message: String,
    },
}
