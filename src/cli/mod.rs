//! The command line: picks the command and turns arguments into calls.

mod adhoc;
mod arguments;
mod config;
mod inventory;
mod inventory_views;
mod pull;
mod run;
mod sources;
mod vars;
mod vault;
mod vault_files;
mod version;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
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
    /// Say what a run would change, and how; change nothing (`run --check --diff`).
    Check(Box<run::Args>),
    /// Show the settings, their values, and who says so.
    Config(Box<config::Args>),
    /// Encrypt and decrypt files and values with Ansible Vault.
    Vault(Box<vault::Args>),
    /// Run one module on hosts.
    Adhoc(Box<adhoc::Args>),
    /// Show the inventory.
    Inventory(Box<inventory::Args>),
    /// Fetch a repository of playbooks and run one of them on this machine.
    Pull(Box<pull::Args>),
    /// Serve a controller on standard input and output (rplay starts this on managed hosts itself).
    #[command(hide = true)]
    Worker,
    /// Be the remote shell of an rsync that a run has started.
    #[command(hide = true)]
    Tunnel {
        /// The run's socket.
        socket: PathBuf,
        /// The host and the command, as a remote shell gets them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

/// The line of arguments under the name `ansible-playbook`.
#[derive(Debug, Parser)]
#[command(name = "ansible-playbook", disable_version_flag = true)]
struct Playbook {
    #[command(flatten)]
    args: run::Args,
}

/// The line of arguments under the name `ansible-config`.
#[derive(Debug, Parser)]
#[command(name = "ansible-config", version)]
struct ConfigCli {
    #[command(flatten)]
    args: config::Args,
}

/// The line of arguments under the name `ansible-vault`.
#[derive(Debug, Parser)]
#[command(name = "ansible-vault", version)]
struct Vault {
    #[command(flatten)]
    args: vault::Args,
}

/// The line of arguments under the name `ansible`.
#[derive(Debug, Parser)]
#[command(name = "ansible", version)]
struct Adhoc {
    #[command(flatten)]
    args: adhoc::Args,
}

/// The line of arguments under the name `ansible-pull`.
#[derive(Debug, Parser)]
#[command(name = "ansible-pull", version)]
struct Pull {
    #[command(flatten)]
    args: pull::Args,
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
    if is_job() {
        return job();
    }
    if let Some(name @ "ansible-playbook") = applet.as_deref() {
        if asks_version() {
            print!("{}", version::lines(name, crate::config::Config::load().ok().and_then(|c| c.file).as_deref()));
            return ExitCode::SUCCESS;
        }
        return match Playbook::try_parse() {
            Ok(mut cli) => {
                cli.args.late = true;
                run::main(&cli.args, run::Face::Reference)
            }
            Err(error) => reference_usage(name, &error),
        };
    }
    if applet.as_deref() == Some("ansible-config") {
        return match ConfigCli::try_parse() {
            Ok(cli) => config::main(&cli.args),
            Err(error) => usage_2(&error),
        };
    }
    if applet.as_deref() == Some("ansible-vault") {
        return match Vault::try_parse() {
            Ok(cli) => vault::main(&cli.args),
            Err(error) => usage_2(&error),
        };
    }
    match applet.as_deref() {
        Some("ansible") => return self::applet(|cli: &Adhoc| adhoc::main(&cli.args)),
        Some("ansible-pull") => return self::applet(|cli: &Pull| pull::main(&cli.args, &["ansible-playbook"])),
        Some("ansible-inventory") => return self::applet(|cli: &ShowInventory| inventory::main(&cli.args)),
        _ => {}
    }
    match Cli::try_parse() {
        Ok(Cli { command: Command::Run(args) }) => run::main(&args, run::Face::Own),
        Ok(Cli { command: Command::Check(mut args) }) => {
            args.only_look();
            run::main(&args, run::Face::Own)
        }
        Ok(Cli { command: Command::Config(args) }) => config::main(&args),
        Ok(Cli { command: Command::Adhoc(args) }) => adhoc::main(&args),
        Ok(Cli { command: Command::Inventory(args) }) => inventory::main(&args),
        Ok(Cli { command: Command::Pull(args) }) => pull::main(&args, &["rplay", "run"]),
        Ok(Cli { command: Command::Vault(args) }) => vault::main(&args),
        Ok(Cli { command: Command::Worker }) => worker(),
        Ok(Cli { command: Command::Tunnel { socket, words } }) => tunnel(&socket, &words),
        Err(error) => usage(&error),
    }
}

/// Whether a controller started this. It calls the binary by the path it is at, which may have any of its names.
fn is_worker() -> bool {
    let mut args = std::env::args_os().skip(1);
    args.next().is_some_and(|word| word == "worker") && args.next().is_none() && !std::io::stdin().is_terminal()
}

/// Whether a worker started this to go on by itself.
fn is_job() -> bool {
    std::env::args_os().eq(std::iter::once("rplay").chain(rplay_worker::serve::jobs::ARGUMENTS))
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

/// Whether the command line asks for the version and nothing else matters.
fn asks_version() -> bool {
    std::env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == "--version")
}

/// The same under a name of the reference: its shape, and 2 for what is wrong.
fn reference_usage(name: &str, error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    let missing = error.kind() == clap::error::ErrorKind::MissingRequiredArgument;
    let message = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ").trim();
    let words: Vec<&str> = message.split_whitespace().collect();
    let unknown = error.get(clap::error::ContextKind::InvalidArg).map(ToString::to_string);
    let unknown = unknown.filter(|_| error.kind() == clap::error::ErrorKind::UnknownArgument);
    let message = if let Some(word) = unknown {
        format!("unrecognized arguments: {word}")
    } else if missing {
        "the following arguments are required: playbook".to_owned()
    } else {
        words.join(" ")
    };
    eprintln!("usage: {name} [-h] [--version] [-v] … playbook [playbook ...]\n{name}: error: {message}");
    ExitCode::from(2)
}

/// The same with the reference's 2 for a line that cannot be read.
fn usage_2(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS }
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

fn tunnel(socket: &Path, words: &[String]) -> ExitCode {
    match crate::action::synchronize::tunnel::shell(socket, words) {
        // As a remote shell does: the command's own status.
        Ok(status) => ExitCode::from(u8::try_from(status).unwrap_or(255)),
        Err(error) => {
            eprintln!("rplay tunnel: {error}");
            ExitCode::from(255)
        }
    }
}

fn job() -> ExitCode {
    // Nobody is there to be told: what can be said is in the result.
    match rplay_worker::serve::jobs::serve(std::io::stdin().lock(), std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
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
    format!("[{word}]: {}{place}", diagnostic.reference_message())
}

/// Shows what is wrong and gives the status for it.
fn complain(diagnostics: &[Diagnostic]) -> ExitCode {
    warn(diagnostics);
    ExitCode::from(1)
}
