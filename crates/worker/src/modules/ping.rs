//! `ansible.builtin.ping`: proves that the worker runs.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::host::Host;
use crate::module::{Failure, Module, Outcome};

/// Proves that a host can be logged in to and that the worker runs there; returns `pong`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Ping {
    /// What to return as `ping`; `crash` makes the module fail.
    #[serde(default = "pong")]
    data: String,
}

fn pong() -> String {
    "pong".to_owned()
}

impl Module for Ping {
    const NAME: &'static str = "ansible.builtin.ping";

    fn run(self, _: &Host) -> Result<Outcome, Failure> {
        if self.data == "crash" {
            return Err(Failure::new("Task failed: Module failed: boom"));
        }
        Ok(Outcome::unchanged().with("ping", self.data))
    }
}
