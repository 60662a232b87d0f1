//! The command line: picks the command and turns arguments into calls.

mod adhoc;
mod arguments;
mod inventory;
mod inventory_views;
mod run;
mod sources;
mod vars;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};

use crate::diagnostic::{Diagnostic, Severity, render_all};

/// Runs Ansible playbooks over SSH, with nothing on the managed host but sshd and a shell.
#[derive(Debug, Parser)]
#[command(name = "rplay", version, propagate_version = true, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run playbooks.
    Run(Box<run::Args>),
    /// Run one module on hosts.
    Adhoc(Box<adhoc::Args>),
    /// Show the inventory.
    Inventory(Box<inventory::Args>),
    /// Serve a controller on standard input and output (rplay starts this on managed hosts itself).
    #[command(hide = true)]
    Worker,
}

/// The line of arguments under the name `ansible-playbook`.
#[derive(Debug, Parser)]
#[command(name = "ansible-playbook", version)]
struct Playbook {
    #[command(flatten)]
    args: run::Args,
}

/// The line of arguments under the name `ansible`.
#[derive(Debug, Parser)]
#[command(name = "ansible", version)]
struct Adhoc {
    #[command(flatten)]
    args: adhoc::Args,
}

/// The line of arguments under the name `ansible-inventory`.
#[derive(Debug, Parser)]
#[command(name = "ansible-inventory", version)]
struct ShowInventory {
    #[command(flatten)]
    args: inventory::Args,
}

/// Whether messages are to look as the reference's do: scripts that call it by its names read them.
static PLAIN: AtomicBool = AtomicBool::new(false);

/// Runs a command under a name of the reference's.
fn applet<T: Parser>(run: impl FnOnce(&T) -> ExitCode) -> ExitCode {
    PLAIN.store(true, Ordering::Relaxed);
    match T::try_parse() {
        Ok(cli) => run(&cli),
        Err(error) => {
            let _ = error.print();
            if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS }
        }
    }
}

/// Runs the command that the program's name and arguments ask for.
#[must_use]
pub fn main() -> ExitCode {
    trace();
    let applet = std::env::args_os().next().map(std::path::PathBuf::from);
    let applet = applet.as_deref().and_then(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned());
    if is_worker() {
        return worker();
    }
    if applet.as_deref() == Some("ansible-playbook") {
        return match Playbook::try_parse() {
            Ok(cli) => run::main(&cli.args),
            Err(error) => usage(&error),
        };
    }
    match applet.as_deref() {
        Some("ansible") => return self::applet(|cli: &Adhoc| adhoc::main(&cli.args)),
        Some("ansible-inventory") => return self::applet(|cli: &ShowInventory| inventory::main(&cli.args)),
        _ => {}
    }
    match Cli::try_parse() {
        Ok(Cli { command: Command::Run(args) }) => run::main(&args),
        Ok(Cli { command: Command::Adhoc(args) }) => adhoc::main(&args),
        Ok(Cli { command: Command::Inventory(args) }) => inventory::main(&args),
        Ok(Cli { command: Command::Worker }) => worker(),
        Err(error) => usage(&error),
    }
}

/// Whether a controller started this. It calls the binary by the path it is at, which may have any of its names.
fn is_worker() -> bool {
    let mut args = std::env::args_os().skip(1);
    args.next().is_some_and(|word| word == "worker") && args.next().is_none() && !std::io::stdin().is_terminal()
}

/// With `RPLAY_LOG` (as in `RPLAY_LOG=rplay=debug`), what happens inside is told on standard error.
fn trace() {
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("RPLAY_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
}

/// Help and version go to standard output with status 0; what is wrong ends with 1.
fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

fn worker() -> ExitCode {
    match rplay_worker::serve::serve(std::io::stdin().lock(), std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rplay worker: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether to colour what goes to a stream: `NO_COLOR`, `FORCE_COLOR`, and whether it is a terminal.
fn color(is_terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    !set("NO_COLOR") && (is_terminal || set("FORCE_COLOR"))
}

/// Shows what is worth a look.
fn warn(diagnostics: &[Diagnostic]) {
    if PLAIN.load(Ordering::Relaxed) {
        diagnostics.iter().for_each(|diagnostic| eprintln!("{}", plain(diagnostic)));
        return;
    }
    eprint!("{}", render_all(diagnostics, color(std::io::stderr().is_terminal())));
}

/// A message with its place, as the reference writes them.
fn plain(diagnostic: &Diagnostic) -> String {
    let word = match diagnostic.severity {
        Severity::Error => "ERROR",
        Severity::Warning => "WARNING",
    };
    let place = diagnostic.span.map(|span| format!("\nOrigin: {}\n", span.location())).unwrap_or_default();
    format!("[{word}]: {}{place}", diagnostic.message)
}

/// Shows what is wrong and gives the status for it.
fn complain(diagnostics: &[Diagnostic]) -> ExitCode {
    warn(diagnostics);
    ExitCode::from(1)
}
