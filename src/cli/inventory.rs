//! `rplay inventory`, which is `ansible-inventory`: shows hosts, groups and their variables.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgAction;

use super::vault::VaultArgs;
use super::{inventory_views, sources, vars, warn};
use crate::config::Config;
use crate::diagnostic::Diagnostic;
use crate::inventory::{HostMismatch, Inventory, Pattern};
use crate::template::filters::{dump_yaml, dumps};
use crate::value::{Map, Value};

/// The arguments of `rplay inventory`, which are those of `ansible-inventory`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The group whose graph is shown.
    group: Option<String>,
    /// Inventory: a file, a directory, or hosts separated by commas. May be given several times.
    #[arg(short, long = "inventory", visible_alias = "inventory-file", value_name = "SOURCE")]
    inventory: Vec<String>,
    /// Show only hosts that match this pattern.
    #[arg(short, long, value_name = "PATTERN")]
    limit: Vec<String>,
    /// Forget the facts that were kept of every host of the inventory.
    #[arg(long)]
    flush_cache: bool,
    /// The directory that stands for a playbook's: its `group_vars` and `host_vars` are read too.
    #[arg(long, value_name = "DIRECTORY")]
    playbook_dir: Option<PathBuf>,
    /// Set variables: key=value, a dictionary in JSON or YAML, or @file.
    #[arg(short, long = "extra-vars", value_name = "VARS")]
    extra_vars: Vec<String>,
    /// Show all hosts and groups, as an inventory script does.
    #[arg(long)]
    list: bool,
    /// Show one host's variables, as an inventory script does.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Draw the groups as a tree.
    #[arg(long)]
    graph: bool,
    /// Write YAML instead of JSON.
    #[arg(short, long)]
    yaml: bool,
    /// Write TOML instead of JSON.
    #[arg(long)]
    toml: bool,
    /// Show variables in the graph too.
    #[arg(long)]
    vars: bool,
    /// Leave variables with the groups that have them instead of giving every host all of its own.
    #[arg(long)]
    export: bool,
    /// Write to this file.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    vault: VaultArgs,
    /// Show more; give it several times for still more.
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
}

/// What was asked for cannot be: the status for that.
const USAGE: u8 = 5;

/// Variables that are asked for cannot be read: the status for that.
const LOCKED: u8 = 4;

/// Shows what is asked for; the status is 0, 1 (nothing to show), 4 (variables that cannot be read) or 5 (wrong arguments).
pub fn main(args: &Args) -> ExitCode {
    match show(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, diagnostics)) => {
            warn(&diagnostics);
            ExitCode::from(status)
        }
    }
}

type Failure = (u8, Vec<Diagnostic>);

fn usage(message: &str) -> Failure {
    (USAGE, vec![Diagnostic::error("cli::usage", message)])
}

fn failure(diagnostics: Vec<Diagnostic>) -> Failure {
    (1, diagnostics)
}

fn show(args: &Args) -> Result<(), Failure> {
    match usize::from(args.list) + usize::from(args.host.is_some()) + usize::from(args.graph) {
        0 => return Err(usage("No action selected, at least one of --host, --graph or --list needs to be specified.")),
        1 => {}
        _ => {
            let message =
                "Conflicting options used, only one of --host, --graph or --list can be used at the same time.";
            return Err(usage(message));
        }
    }
    let config = Config::load().map_err(failure)?;
    let vault = args.vault.shared(&config).map_err(failure)?;
    let extra = vars::extra_vars(&args.extra_vars, &vault).map_err(failure)?;
    let directory = args.playbook_dir.clone().or_else(|| config.playbook_dir.value.clone());
    let directory = directory.unwrap_or_else(|| PathBuf::from("."));
    let mut inventory =
        sources::load(&args.inventory, &config, &extra, Some(directory), &vault, &super::warn).map_err(failure)?;
    sources::tell(&inventory, args.verbose);
    let hosts: Vec<String> = match &args.host {
        Some(host) => vec![host.clone()],
        // Without variables nobody's are looked at.
        None if args.graph && !args.vars => Vec::new(),
        None => inventory.hosts().map(|host| host.name.clone()).collect(),
    };
    if let Some(why) = hosts.iter().find_map(|host| inventory.locked(host)) {
        return Err((LOCKED, vec![why.clone()]));
    }
    let value = if let Some(host) = &args.host {
        one_host(&mut inventory, host, &extra)?
    } else if args.graph {
        let group = args.group.as_deref().unwrap_or("all");
        let Some(text) = inventory_views::graph(&inventory, group, args.vars, &extra) else {
            return Err(usage("Pattern must be valid group name when using --graph"));
        };
        return write(args, &text);
    } else {
        let only = limited(&inventory, &args.limit)?;
        let what =
            inventory_views::Listing { export: args.export || config.inventory_export.value, only, extra: &extra };
        if args.toml {
            what.toml(&inventory)
        } else if args.yaml {
            what.yaml(&inventory)
        } else {
            what.json(&inventory)
        }
    };
    let text = if args.toml {
        inventory_views::toml_text(&value).map_err(|message| failure(vec![Diagnostic::error("cli::toml", message)]))?
    } else if args.yaml {
        dump_yaml(&value)
    } else {
        dumps(&inventory_views::marked(&value), Some(4), ",")
    };
    write(args, &text)
}

fn write(args: &Args, text: &str) -> Result<(), Failure> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let Some(path) = args.output.as_ref().filter(|_| args.list) else {
        use std::io::Write;
        // A reader that went away wants no more.
        let _ = writeln!(std::io::stdout().lock(), "{text}");
        return Ok(());
    };
    #[allow(clippy::disallowed_methods)] // A file of the user's, here.
    std::fs::write(path, text).map_err(|error| {
        let message = format!("Unable to write to destination ({}): {error}", path.display());
        failure(vec![Diagnostic::error("cli::output", message)])
    })
}

fn one_host(inventory: &mut Inventory, name: &str, extra: &Map) -> Result<Value, Failure> {
    let pattern = Pattern::parse(name).map_err(|error| usage(&error.to_string()))?;
    for local in pattern.local_names() {
        if inventory.host(local).is_none() {
            inventory.implicit_localhost(local);
        }
    }
    let chosen = select(inventory, &pattern)?;
    match chosen.as_slice() {
        [host] => Ok(inventory_views::host_variables(inventory, host, extra)),
        _ => Err(usage("You must pass a single valid host to --host parameter")),
    }
}

/// The hosts that `--limit` leaves; `None` when there is none.
fn limited(inventory: &Inventory, limit: &[String]) -> Result<Option<Vec<String>>, Failure> {
    if limit.is_empty() {
        return Ok(None);
    }
    let pattern = Pattern::parse(&limit.join(","))
        .map_err(|error| failure(vec![Diagnostic::error("cli::limit", error.to_string())]))?;
    select(inventory, &pattern).map(Some)
}

fn select(inventory: &Inventory, pattern: &Pattern) -> Result<Vec<String>, Failure> {
    let wrong = |message: String| failure(vec![Diagnostic::error("cli::hosts", message)]);
    let (chosen, unmatched) = pattern.select(inventory).map_err(|error| wrong(error.to_string()))?;
    for part in unmatched {
        let message = format!("Could not match supplied host pattern, ignoring: {part}");
        match inventory.options().mismatch {
            HostMismatch::Error => return Err(wrong(message)),
            HostMismatch::Warning => warn(&[Diagnostic::warning("cli::hosts", message)]),
            HostMismatch::Ignore => {}
        }
    }
    Ok(chosen)
}
