//! `rplay run`: converges hosts.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::ArgAction;

use super::vault::VaultArgs;
use super::{color, complain, vars, warn};
use crate::action::BuiltIn;
use crate::config::Config;
use crate::connection::Secret;
use crate::diagnostic::{Diagnostic, Severity};
use crate::engine::{Engine, Gathering, Login, Outcome, Prompter, RunOptions};
use crate::inventory::{self, Inventory, LoadOptions};
use crate::playbook::{Loader, Options, Playbook, TagFilter};
use crate::remote::build_id;
use crate::report::{self, Terminal};
use crate::value::Map;
use crate::vars::{FactCache, RunInfo, World};
use crate::vault::Secrets;

/// The arguments of `rplay run`, which are those of `ansible-playbook`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Playbooks to run, in order.
    #[arg(required = true)]
    playbooks: Vec<PathBuf>,
    /// Inventory: a file, a directory, or hosts separated by commas. May be given several times.
    #[arg(short, long = "inventory", visible_alias = "inventory-file", value_name = "SOURCE")]
    inventory: Vec<String>,
    /// Run only on hosts that match this pattern too.
    #[arg(short, long, value_name = "PATTERN")]
    limit: Vec<String>,
    /// Set variables: key=value, a dictionary in JSON or YAML, or @file.
    #[arg(short, long = "extra-vars", value_name = "VARS")]
    extra_vars: Vec<String>,
    /// Run only what has one of these tags.
    #[arg(short, long, value_name = "TAGS", value_delimiter = ',')]
    tags: Vec<String>,
    /// Leave out what has one of these tags.
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    skip_tags: Vec<String>,
    /// Predict what would change; change nothing.
    #[arg(short = 'C', long)]
    check: bool,
    /// Show what differs in files.
    #[arg(short = 'D', long)]
    diff: bool,
    /// How many hosts at once.
    #[arg(short, long)]
    forks: Option<usize>,
    /// Show more; give it several times for still more.
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// Become another user on the hosts.
    #[arg(short, long = "become")]
    become_: bool,
    /// How to become another user.
    #[arg(long, value_name = "METHOD")]
    become_method: Option<String>,
    /// Whom to become.
    #[arg(long, value_name = "USER")]
    become_user: Option<String>,
    /// Ask for the password to become another user.
    #[arg(short = 'K', long)]
    ask_become_pass: bool,
    /// Read that password from this file.
    #[arg(long, value_name = "FILE", visible_alias = "become-pass-file")]
    become_password_file: Option<PathBuf>,
    /// Log in as this user.
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Ask for the password to log in.
    #[arg(short = 'k', long)]
    ask_pass: bool,
    /// Read that password from this file.
    #[arg(long, value_name = "FILE", visible_alias = "conn-pass-file")]
    connection_password_file: Option<PathBuf>,
    /// Log in with this key.
    #[arg(long, value_name = "FILE", visible_alias = "key-file")]
    private_key: Option<PathBuf>,
    /// How to connect: ssh or local.
    #[arg(short, long, value_name = "CONNECTION")]
    connection: Option<String>,
    /// How long a login may take, in seconds.
    #[arg(short = 'T', long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Arguments for ssh, as OpenSSH takes them.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    ssh_common_args: Option<String>,
    /// More arguments for ssh.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    ssh_extra_args: Option<String>,
    /// Run handlers even of hosts that failed.
    #[arg(long)]
    force_handlers: bool,
    /// Begin with the task of this name.
    #[arg(long, value_name = "NAME")]
    start_at_task: Option<String>,
    #[command(flatten)]
    vault: VaultArgs,
    /// Read and check everything, run nothing.
    #[arg(long)]
    syntax_check: bool,
}

/// Runs the playbooks; the status says how it ended: 0, 1 (usage), 2 (a host failed), 4 (a host was unreachable).
pub fn main(args: &Args) -> ExitCode {
    match prepare(args) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(run)) => run.carry_out(args),
        Err(diagnostics) => complain(&diagnostics),
    }
}

struct Run {
    playbooks: Vec<Playbook>,
    inventory: Inventory,
    extra: Map,
    options: RunOptions,
    config: Config,
    fact_cache: Option<FactCache>,
    vault: Arc<Secrets>,
}

/// Reads and checks everything; nothing is contacted.
fn prepare(args: &Args) -> Result<Option<Run>, Vec<Diagnostic>> {
    // Needed by the first login; ready by then. What goes wrong shows there.
    std::thread::spawn(|| drop(build_id()));
    let config = Config::load()?;
    warn(&config.warnings);
    let vault = args.vault.secrets(&config, false, false);
    let vault = Arc::new(vault.map_err(|e| vec![Diagnostic::error("vault::password", e.to_string())])?);
    let extra = vars::extra_vars(&args.extra_vars, &vault)?;
    let mut errors = Vec::new();
    let mut playbooks = Vec::new();
    for path in &args.playbooks {
        if !path.is_file() {
            let message = format!("the playbook `{}` does not exist", path.display());
            errors.push(Diagnostic::error("cli::playbook", message));
            continue;
        }
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let options =
            Options { roles_path: config.roles_path.value.clone(), variables: extra.clone(), vault: vault.clone() };
        let mut loader = Loader::new(&BuiltIn, options, directory.to_path_buf());
        match loader.playbook(path) {
            Ok(playbook) => {
                warn(&playbook.warnings);
                playbooks.push(playbook);
            }
            Err(found) => errors.extend(found),
        }
    }
    let sources = if args.inventory.is_empty() { config.inventory.value.clone() } else { args.inventory.clone() };
    let inventory = match inventory::load(
        &sources,
        &LoadOptions { vault: vault.clone(), merge_hashes: config.merge_hashes.value, ..LoadOptions::default() },
    ) {
        Ok(inventory) => inventory,
        Err(found) => {
            errors.extend(found);
            Inventory::new()
        }
    };
    if errors.iter().any(|d| d.severity == Severity::Error) {
        return Err(errors);
    }
    if args.syntax_check {
        for path in &args.playbooks {
            println!("\nplaybook: {}", path.display());
        }
        return Ok(None);
    }
    let fact_cache = FactCache::from_settings(&config.settings).map_err(|e| vec![e])?;
    let options = options(args, &config)?;
    Ok(Some(Run { playbooks, inventory, extra, options, config, vault, fact_cache }))
}

fn options(args: &Args, config: &Config) -> Result<RunOptions, Vec<Diagnostic>> {
    let words = |name: &str, text: Option<&String>| -> Result<Vec<String>, Vec<Diagnostic>> {
        let Some(text) = text else { return Ok(Vec::new()) };
        shell_words::split(text)
            .map_err(|e| vec![Diagnostic::error("cli::ssh-args", format!("cannot split `{name}` into words: {e}"))])
    };
    let login = Login {
        connection: args.connection.clone().or_else(|| config.connection.value.clone()),
        user: args.user.clone().or_else(|| config.remote_user.value.clone()),
        private_key: args.private_key.clone().or_else(|| config.private_key_file.value.clone()),
        timeout: args.timeout.or(config.timeout.value).map(Duration::from_secs),
        password: password(
            "SSH password: ",
            args.ask_pass || config.ask_pass.value,
            args.connection_password_file.as_deref().or(config.connection_password_file.value.as_deref()),
        )?,
        ssh_args: words("ssh_args", config.ssh_args.value.as_ref())?,
        ssh_common_args: words(
            "ssh-common-args",
            args.ssh_common_args.as_ref().or(config.ssh_common_args.value.as_ref()),
        )?,
        ssh_extra_args: words("ssh-extra-args", args.ssh_extra_args.as_ref().or(config.ssh_extra_args.value.as_ref()))?,
        host_key_checking: config.host_key_checking.value,
        port: config.remote_port.value,
        become_: args.become_ || config.become_.value,
        become_method: args.become_method.clone().or_else(|| config.become_method.value.clone()),
        become_user: args.become_user.clone().or_else(|| config.become_user.value.clone()),
    };
    let become_file = args.become_password_file.as_deref().or(config.become_password_file.value.as_deref());
    let ask = args.ask_become_pass || (config.become_ask_pass.value && become_file.is_none());
    Ok(RunOptions {
        forks: args.forks.unwrap_or(config.forks.value),
        check: args.check,
        diff: args.diff || config.diff_always.value,
        tags: TagFilter {
            only: if args.tags.is_empty() { config.tags.value.clone() } else { args.tags.clone() },
            skip: if args.skip_tags.is_empty() { config.skip_tags.value.clone() } else { args.skip_tags.clone() },
        },
        limit: (!args.limit.is_empty()).then(|| args.limit.join(",")),
        force_handlers: args.force_handlers || config.force_handlers.value,
        gathering: match config.gathering.value.as_str() {
            "explicit" => Gathering::Explicit,
            "smart" => Gathering::Smart,
            _ => Gathering::Implicit,
        },
        become_password: password("BECOME password: ", ask, become_file)?,
        login,
        roles_path: config.roles_path.value.clone(),
        start_at_task: args.start_at_task.clone(),
    })
}

/// A password: asked for on the terminal, or read from a file (`-` is standard input).
fn password(prompt: &str, ask: bool, file: Option<&Path>) -> Result<Option<Secret>, Vec<Diagnostic>> {
    let wrong = |message: String| vec![Diagnostic::error("cli::password", message)];
    if let Some(path) = file {
        let text = if path == Path::new("-") {
            std::io::read_to_string(std::io::stdin())
        } else {
            std::fs::read_to_string(path)
        };
        let text = text.map_err(|e| wrong(format!("cannot read the password in `{}`: {e}", path.display())))?;
        return Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))));
    }
    if !ask {
        return Ok(None);
    }
    rpassword::prompt_password(prompt)
        .map(|text| Some(Secret::new(text)))
        .map_err(|e| wrong(format!("cannot ask for the password: {e}")))
}

impl Run {
    fn carry_out(self, args: &Args) -> ExitCode {
        let stdout = std::io::stdout().is_terminal();
        let report = Arc::new(Terminal::new(report::Options {
            color: color(stdout),
            progress: stdout && std::io::stderr().is_terminal(),
            verbosity: args.verbose.saturating_add(self.config.verbosity.value),
            diff: self.options.diff,
        }));
        let info = RunInfo {
            check: self.options.check,
            diff: self.options.diff,
            forks: self.options.forks,
            verbosity: args.verbose.saturating_add(self.config.verbosity.value),
            limit: self.options.limit.clone(),
            tags: self.options.tags.only.clone(),
            skip_tags: self.options.tags.skip.clone(),
            config_file: self.config.file,
            settings: self.config.settings,
            merge_hashes: self.config.merge_hashes.value,
            inject_facts: self.config.inject_facts.value,
            fact_cache: self.fact_cache,
            vault: self.vault,
        };
        let world = World::new(self.inventory, self.extra, info);
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(e) => {
                return complain(&[Diagnostic::error("cli::runtime", format!("cannot start threads: {e}"))]);
            }
        };
        let sink = Arc::new(move |event| report.event(&event));
        let engine = Engine::new(world, self.options, sink, prompter());
        let outcome = runtime.block_on(async {
            tokio::select! {
                outcome = engine.run(&self.playbooks) => Some(outcome),
                _ = tokio::signal::ctrl_c() => None,
            }
        });
        // Connections that still wait for their hosts are not worth waiting for.
        runtime.shutdown_timeout(Duration::from_millis(200));
        match outcome {
            Some(Outcome::Ok) => ExitCode::SUCCESS,
            Some(Outcome::Error) => ExitCode::from(1),
            Some(Outcome::Failed) => ExitCode::from(2),
            Some(Outcome::Unreachable) => ExitCode::from(4),
            None => {
                eprintln!("interrupted: changes that were under way on hosts are finished there");
                ExitCode::from(130)
            }
        }
    }
}

/// Asks on the terminal, when there is one.
fn prompter() -> Prompter {
    Arc::new(|prompt| {
        if !std::io::stdin().is_terminal() {
            return None;
        }
        let text = format!("{}: ", prompt.prompt);
        let ask = || {
            if prompt.private {
                return rpassword::prompt_password(&text).ok();
            }
            eprint!("{text}");
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).ok()?;
            Some(line.trim_end_matches(['\r', '\n']).to_owned())
        };
        let answer = ask()?;
        if prompt.confirm && ask()? != answer {
            eprintln!("the two answers differ; once more");
            return ask();
        }
        Some(answer)
    })
}
