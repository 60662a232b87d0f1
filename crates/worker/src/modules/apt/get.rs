//! apt-get: its command line, and what its output means.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Apt, policy_rc_d, status};
use crate::host::{Command, Diff, Host, Output};
use crate::module::{Failure, Outcome};

impl Apt {
    /// apt-get with the environment and the options that everything but `update` gets.
    pub(super) fn apt_get(&self, host: &Host) -> Result<Command, Failure> {
        let mut command = quiet(Command::new(host.require_program("apt-get")?)).arg("-y");
        for option in self.dpkg_options.split(',').map(str::trim).filter(|o| !o.is_empty()) {
            command = command.args(["-o".to_owned(), format!("Dpkg::Options::=--{option}")]);
        }
        Ok(command.args(["-o".to_owned(), format!("DPkg::Lock::Timeout={}", self.lock_timeout)]))
    }

    /// Runs apt-get; in check mode with `--simulate`.
    pub(super) fn run_apt_get(&self, host: &Host, command: Command) -> Result<Output, Failure> {
        let output = if host.check_mode() {
            host.query(&command.clone().arg("--simulate"))?
        } else {
            let guard = policy_rc_d::set(host, self.policy_rc_d)?;
            let output = host.run(&command.clone().streamed());
            guard.put_back(host)?;
            host.cache().forget(status::KEY);
            output?.unwrap_or_default()
        };
        if output.rc == 0 { Ok(output) } else { Err(failure(&command, &output)) }
    }

    /// What updates the package lists for another module.
    pub(in super::super) fn refresher(retries: u32, max_delay: u64) -> Result<Self, Failure> {
        let args = json!({"update_cache_retries": retries, "update_cache_retry_max_delay": max_delay});
        Ok(crate::args::parse(args.as_object().unwrap_or(&rplay_protocol::Object::new()))?)
    }

    /// Runs `apt-get update` until it works or the tries are used up.
    pub(in super::super) fn refresh(&self, host: &Host) -> Result<(), Failure> {
        // Without this, apt-get calls an update in which every mirror failed a success.
        let strict = ["-o", "APT::Update::Error-Mode=any", "update"];
        let command = quiet(Command::new(host.require_program("apt-get")?)).args(strict).streamed();
        let deadline = Instant::now() + Duration::from_secs(self.lock_timeout);
        let mut tries = 0;
        loop {
            let Some(output) = host.run(&command)? else { return Ok(()) };
            if output.rc == 0 {
                return Ok(());
            }
            let said = output.complaint();
            // Another program that holds the lock is waited for, apart from the tries.
            let locked = said.contains("Could not get lock") && Instant::now() < deadline;
            if !locked {
                tries += 1;
            }
            if tries >= self.update_cache_retries.max(1) || host.is_cancelled() {
                let reason = if said.is_empty() { "unknown reason".to_owned() } else { said };
                let msg = format!("Failed to update apt cache after {tries} retries: {reason}");
                return Err(Failure::new(msg).with("rc", output.rc).with("stderr", output.stderr_text()));
            }
            let pause = if locked { 1 } else { 1u64.checked_shl(tries).unwrap_or(u64::MAX) };
            std::thread::sleep(Duration::from_secs(pause.min(self.update_cache_retry_max_delay)));
        }
    }
}

/// The environment in which apt and dpkg ask nobody anything and speak the language that is parsed.
pub(super) fn quiet(command: Command) -> Command {
    command.c_locale().env("DEBIAN_FRONTEND", "noninteractive").env("DEBIAN_PRIORITY", "critical")
}

/// The failure of a command that ended with a status other than 0.
pub(super) fn failure(command: &Command, output: &Output) -> Failure {
    let words = command.words();
    let shown = words.iter().map(|w| shell_words::quote(w)).collect::<Vec<_>>().join(" ");
    Failure::new(format!("'{shown}' failed: {}", output.complaint()))
        .with("rc", output.rc)
        .with("stdout", output.stdout_text())
        .with("stderr", output.stderr_text())
}

/// Whether apt-get found something to do.
pub(super) fn did_something(stdout: &str) -> bool {
    !stdout.lines().any(|line| line.starts_with("0 upgraded, 0 newly installed, 0 to remove"))
}

/// Puts what apt-get said into an outcome.
pub(super) fn told(outcome: &mut Outcome, output: &Output) {
    let stdout = output.stdout_text();
    outcome.diffs.push(Diff::prepared(plan(&stdout)));
    outcome.set("stdout", stdout);
    outcome.set("stderr", json!(output.stderr_text()));
}

/// apt-get's own account of what it will do: from after its preliminaries to the line that sums it up.
pub(super) fn plan(stdout: &str) -> String {
    let preliminary =
        ["Reading package lists", "Building dependency tree", "Reading state information", "Calculating upgrade"];
    let lines: Vec<&str> = stdout.lines().skip_while(|line| preliminary.iter().any(|p| line.starts_with(p))).collect();
    let end = lines.iter().position(|line| line.contains(" upgraded, ") && line.contains(" newly installed, "));
    lines.get(..end.map_or(lines.len(), |at| at + 1)).unwrap_or_default().join("\n")
}
