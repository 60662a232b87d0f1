//! `async_status`: what became of a job, or its result file's end.

use serde::Deserialize;

use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::serve::jobs::{self, Jobs};

/// Says what became of a task that was started with `async`.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct AsyncStatus {
    /// The job's id.
    jid: String,
    /// Whether to say how the job is doing or to remove its result file.
    #[serde(default)]
    mode: Mode,
    /// The directory of results; the controller fills it in.
    #[serde(rename = "_async_dir", default = "jobs::default_directory")]
    #[schemars(skip)]
    directory: String,
}

/// What to do about a job.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Say how it is doing.
    #[default]
    Status,
    /// Remove its result file.
    Cleanup,
}

impl Module for AsyncStatus {
    const NAME: &'static str = "ansible.builtin.async_status";

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let jobs = Jobs::new(host, &self.directory)?;
        match self.mode {
            Mode::Status => jobs.status(&self.jid),
            // The file is the job's own and no state of the host: it goes in check mode too, in which jobs run as well.
            Mode::Cleanup => jobs.clean(&self.jid),
        }
    }
}
