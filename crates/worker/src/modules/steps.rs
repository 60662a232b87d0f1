//! Commands that a module runs one after the other, with what they said.

use crate::host::{Command, Host};
use crate::module::{Failure, Outcome};

/// The collected output of a module's commands.
#[derive(Default)]
pub(super) struct Steps {
    /// What they wrote to standard output.
    pub(super) stdout: String,
    /// What they wrote to standard error.
    pub(super) stderr: String,
    /// Whether any was run, or, in check mode, would have been.
    pub(super) any: bool,
}

impl Steps {
    /// Runs a command that changes the host; a status other than 0 is a failure in the command's own words.
    pub(super) fn run(&mut self, host: &Host, name: &str, command: &Command) -> Result<(), Failure> {
        self.any = true;
        let Some(output) = host.run(command)? else { return Ok(()) };
        if output.rc != 0 {
            let said = if output.stderr.is_empty() { output.stdout_text() } else { output.stderr_text() };
            return Err(Failure::new(said).with("name", name).with("rc", output.rc));
        }
        self.stdout.push_str(&output.stdout_text());
        self.stderr.push_str(&output.stderr_text());
        Ok(())
    }

    /// Adds what was said to the return values, where something was.
    pub(super) fn tell(self, outcome: &mut Outcome) {
        if !self.stdout.is_empty() {
            outcome.set("stdout", self.stdout);
        }
        if !self.stderr.is_empty() {
            outcome.set("stderr", self.stderr);
        }
    }
}
