//! What the modules of LVM have in common.

use crate::host::{Command, Host, Output};
use crate::module::Failure;

/// A program of LVM's.
pub(super) fn program(host: &Host, name: &str) -> Result<Command, Failure> {
    Ok(Command::new(host.require_program(name)?).c_locale())
}

/// The rows of a report with `;` between its columns.
pub(super) fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| line.split(';').map(str::trim).collect())
}

/// Asks for columns of a report, of what the further words name.
pub(super) fn report(host: &Host, name: &str, columns: &str, more: &[&str]) -> Result<Output, Failure> {
    let command = program(host, name)?.args(["--noheadings", "--nosuffix", "--units", "b", "--separator", ";"]);
    host.query(&command.args(["-o", columns]).args(more))
}

/// Runs a command that changes something; its failure is told in `msg`, what LVM said of it beside.
pub(super) fn run(host: &Host, command: &Command, msg: impl FnOnce() -> String) -> Result<(), Failure> {
    match host.run(command)? {
        Some(output) if output.rc != 0 => Err(refused(msg(), &output)),
        _ => Ok(()),
    }
}

/// The failure of a command of LVM's.
pub(super) fn refused(msg: String, output: &Output) -> Failure {
    Failure::new(msg).with("rc", output.rc).with("err", output.stderr_text())
}

/// Refuses what LVM would take for an option or for another name.
pub(super) fn check_name(arg: &str, name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
    if name.is_empty() || name.starts_with('-') || !name.chars().all(fits) {
        return Err(format!("'{name}' is not a name for {arg}"));
    }
    Ok(())
}

/// Further options, split as a shell does.
pub(super) fn options(arg: &str, text: Option<&str>) -> Result<Vec<String>, String> {
    shell_words::split(text.unwrap_or_default()).map_err(|_| format!("cannot split {arg} into words"))
}
