//! `rplay run`: converges hosts.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::arguments::{BecomeArgs, ConnectArgs, InventoryArgs, RunArgs, VariableArgs};
use super::{color, complain, sources, vars, warn};
use crate::action::BuiltIn;
use crate::config::Config;
use crate::connection::Secret;
use crate::diagnostic::{Diagnostic, Severity};
use crate::engine::event::Sink;
use crate::engine::{Engine, Login, Outcome, Prompter, RunOptions};
use crate::inventory::Inventory;
use crate::playbook::{Loader, Options, Playbook, TagFilter};
use crate::remote::build_id;
use crate::report::{self, Terminal};
use crate::value::Map;
use crate::vars::{RunInfo, World};

/// The arguments of `rplay run`, which are those of `ansible-playbook`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Playbooks to run, in order.
    #[arg(required = true)]
    playbooks: Vec<PathBuf>,
    #[command(flatten)]
    hosts: InventoryArgs,
    #[command(flatten)]
    variables: VariableArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    become_: BecomeArgs,
    #[command(flatten)]
    run: RunArgs,
    /// Run only what has one of these tags.
    #[arg(short, long, value_name = "TAGS", value_delimiter = ',')]
    tags: Vec<String>,
    /// Leave out what has one of these tags.
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    skip_tags: Vec<String>,
    /// Run handlers even of hosts that failed.
    #[arg(long)]
    force_handlers: bool,
    /// Begin with the task of this name.
    #[arg(long, value_name = "NAME")]
    start_at_task: Option<String>,
    /// Ask before each task whether to run it.
    #[arg(long)]
    step: bool,
    /// Show the tasks that would run; run nothing.
    #[arg(long)]
    list_tasks: bool,
    /// Show the tags there are; run nothing.
    #[arg(long)]
    list_tags: bool,
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
    config_file: Option<PathBuf>,
}

/// Reads and checks everything; nothing is contacted.
fn prepare(args: &Args) -> Result<Option<Run>, Vec<Diagnostic>> {
    // Needed by the first login; ready by then. What goes wrong shows there.
    std::thread::spawn(|| drop(build_id()));
    let config = Config::load()?;
    let extra = vars::extra_vars(&args.variables.extra_vars)?;
    let mut errors = Vec::new();
    let mut playbooks = Vec::new();
    for path in &args.playbooks {
        if !path.is_file() {
            let message = format!("the playbook `{}` does not exist", path.display());
            errors.push(Diagnostic::error("cli::playbook", message));
            continue;
        }
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let options = Options { roles_path: config.roles_path.value.clone(), variables: extra.clone() };
        let mut loader = Loader::new(&BuiltIn, options, directory.to_path_buf());
        match loader.playbook(path) {
            Ok(playbook) => {
                warn(&playbook.warnings);
                playbooks.push(playbook);
            }
            Err(found) => errors.extend(found),
        }
    }
    let inventory = match sources::load(&args.hosts.inventory, &config, &extra, None) {
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
    sources::check_limit(&inventory, &args.hosts.limit)?;
    let options = options(args, &config)?;
    Ok(Some(Run { playbooks, inventory, extra, options, config_file: config.file }))
}

fn options(args: &Args, config: &Config) -> Result<RunOptions, Vec<Diagnostic>> {
    let shared = shared_options(&args.hosts.limit, &args.connect, &args.become_, &args.run, config)?;
    Ok(RunOptions {
        tags: TagFilter { only: args.tags.clone(), skip: args.skip_tags.clone() },
        force_handlers: args.force_handlers || config.force_handlers.value,
        gather_facts: config.gathering.value != "explicit",
        start_at_task: args.start_at_task.clone(),
        ..shared
    })
}

/// What all commands that run tasks have in common.
pub(super) fn shared_options(
    limit: &[String],
    connect: &ConnectArgs,
    become_: &BecomeArgs,
    run: &RunArgs,
    config: &Config,
) -> Result<RunOptions, Vec<Diagnostic>> {
    let words = |name: &str, text: Option<&String>| -> Result<Vec<String>, Vec<Diagnostic>> {
        let Some(text) = text else { return Ok(Vec::new()) };
        shell_words::split(text)
            .map_err(|e| vec![Diagnostic::error("cli::ssh-args", format!("cannot split `{name}` into words: {e}"))])
    };
    let login = Login {
        connection: connect.connection.clone(),
        user: connect.user.clone().or_else(|| config.remote_user.value.clone()),
        private_key: connect.private_key.clone().or_else(|| config.private_key_file.value.clone()),
        timeout: connect.timeout.or(config.timeout.value).map(Duration::from_secs),
        password: password("SSH password: ", connect.ask_pass, connect.connection_password_file.as_deref())?,
        ssh_args: words("ssh_args", config.ssh_args.value.as_ref())?,
        ssh_common_args: words(
            "ssh-common-args",
            connect.ssh_common_args.as_ref().or(config.ssh_common_args.value.as_ref()),
        )?,
        ssh_extra_args: words(
            "ssh-extra-args",
            connect.ssh_extra_args.as_ref().or(config.ssh_extra_args.value.as_ref()),
        )?,
        host_key_checking: config.host_key_checking.value,
        port: config.remote_port.value,
        become_: become_.become_ || config.become_.value,
        become_method: become_.become_method.clone().or_else(|| config.become_method.value.clone()),
        become_user: become_.become_user.clone().or_else(|| config.become_user.value.clone()),
    };
    let ask = become_.ask_become_pass || (config.become_ask_pass.value && become_.become_password_file.is_none());
    Ok(RunOptions {
        forks: run.forks.unwrap_or(config.forks.value),
        check: run.check,
        diff: run.diff || config.diff_always.value,
        tags: TagFilter { only: Vec::new(), skip: Vec::new() },
        limit: (!limit.is_empty()).then(|| limit.join(",")),
        force_handlers: config.force_handlers.value,
        gather_facts: false,
        become_password: password("BECOME password: ", ask, become_.become_password_file.as_deref())?,
        login,
        roles_path: config.roles_path.value.clone(),
        start_at_task: None,
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
            verbosity: args.run.verbose,
            diff: self.options.diff,
        }));
        let info = RunInfo {
            check: self.options.check,
            diff: self.options.diff,
            forks: self.options.forks,
            verbosity: args.run.verbose,
            limit: self.options.limit.clone(),
            tags: self.options.tags.only.clone(),
            skip_tags: self.options.tags.skip.clone(),
            config_file: self.config_file,
        };
        let world = World::new(self.inventory, self.extra, info);
        start(world, self.options, Arc::new(move |event| report.event(&event)), &self.playbooks)
    }
}

/// Runs playbooks to their end, or until somebody interrupts; the status says how it ended.
pub(super) fn start(world: Arc<World>, options: RunOptions, sink: Sink, playbooks: &[Playbook]) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            return complain(&[Diagnostic::error("cli::runtime", format!("cannot start threads: {e}"))]);
        }
    };
    let engine = Engine::new(world, options, sink, prompter());
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = engine.run(playbooks) => Some(outcome),
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
