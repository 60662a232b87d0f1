//! `rplay run`: converges hosts.

mod as_reference;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::arguments::{BecomeArgs, ConnectArgs, InventoryArgs, RunArgs, VariableArgs};
use super::vault::VaultArgs;
use super::{color, complain, sources, vars, warn};
use crate::action::BuiltIn;
use crate::config::Config;
use crate::connection::Secret;
use crate::diagnostic::{Diagnostic, Severity};
use crate::engine::event::Sink;
use crate::engine::{Engine, Gathering, Login, Outcome, Prompter, RunOptions};
use crate::inventory::{Inventory, Pattern};
use crate::playbook::{Loader, Options, Playbook, TagFilter};
use crate::remote::build_id;
use crate::report::listing::{self, Listing};
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
    #[command(flatten)]
    vault: VaultArgs,
    /// Read and check everything, run nothing.
    #[arg(long)]
    syntax_check: bool,
    /// Leave mistakes in tasks for when they run, as the reference does.
    #[arg(skip)]
    pub(super) late: bool,
}

impl Args {
    /// Asks for a dry run that shows differences, whatever else was said.
    pub(super) fn only_look(&mut self) {
        (self.run.check, self.run.diff) = (true, true);
    }

    /// Whether playbooks are only to be listed.
    fn lists(&self) -> bool {
        self.hosts.list_hosts || self.list_tasks || self.list_tags
    }
}

/// Whose manners the run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// rplay's own.
    Own,
    /// Those of `ansible-playbook`.
    Reference,
}

/// Runs the playbooks; the status says how it ended: 0, 1 (usage), 2 (a host failed), 4 (a host was unreachable).
pub fn main(args: &Args, face: Face) -> ExitCode {
    match face {
        Face::Own => match prepare(args, face, &warn) {
            Ok(None) => ExitCode::SUCCESS,
            Ok(Some(run)) => run.carry_out(args),
            Err(diagnostics) => complain(&diagnostics),
        },
        Face::Reference => as_reference::main(args),
    }
}

/// Room for templates that use each other many levels deep; only what is used of it is taken.
const STACK: usize = 64 << 20;

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
fn prepare(args: &Args, face: Face, warn: &dyn Fn(&[Diagnostic])) -> Result<Option<Run>, Vec<Diagnostic>> {
    let contacts = !args.syntax_check && !args.lists();
    if contacts {
        // Needed by the first login; ready by then. What goes wrong shows there.
        std::thread::spawn(|| drop(build_id()));
    }
    let config = Config::load()?;
    warn(&config.warnings);
    config.apply();
    let listing = args.lists() || (args.syntax_check && face == Face::Reference);
    let vault = args.vault.shared(&config)?;
    let extra = vars::extra_vars(&args.variables.extra_vars, &vault)?;
    let mut errors = Vec::new();
    let mut playbooks = Vec::new();
    for path in &args.playbooks {
        if !path.is_file() {
            let message = format!("the playbook: {} could not be found", path.display());
            errors.push(Diagnostic::error("cli::playbook", message));
            continue;
        }
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let options = Options {
            collections_path: config.collections_path.value.clone(),
            module_path: config.module_path(),
            roles_path: config.roles_path.value.clone(),
            variables: extra.clone(),
            late: args.late,
            vault: vault.clone(),
            listing,
            private_role_vars: crate::config::private_role_vars(&config.settings) == Some(true),
        };
        let mut loader = Loader::new(&BuiltIn, options, directory.to_path_buf());
        match loader.playbook(path) {
            Ok(playbook) => playbooks.push(playbook),
            Err(found) => errors.extend(found),
        }
    }
    let inventory = match sources::load(&args.hosts.inventory, &config, &extra, None, &vault, warn) {
        Ok(inventory) => inventory,
        Err(found) => {
            errors.extend(found);
            Inventory::new()
        }
    };
    if face == Face::Reference && inventory.hosts().all(|host| host.implicit) && tells_of_localhost(&config) {
        warn(&[Diagnostic::warning("cli::hosts", sources::NOBODY)]);
    }
    playbooks.iter().for_each(|playbook| warn(&playbook.warnings));
    warn(&crate::source::take_warnings());
    let limit = (!args.hosts.limit.is_empty()).then(|| args.hosts.limit.join(","));
    // As in the reference: before the playbooks are read, though they have to be there.
    let gone = errors.iter().any(|d| d.code == "cli::playbook");
    if let (Face::Reference, false, Some(limit)) = (face, gone, &limit) {
        check_limit(&inventory, limit, warn)?;
    }
    if errors.iter().any(|d| d.severity == Severity::Error) {
        return Err(errors);
    }
    let settings = config.settings.clone();
    let info = RunInfo { vault: vault.clone(), settings, ..RunInfo::default() };
    let world = World::new(inventory, extra.clone(), info);
    if listing {
        playbooks.iter().try_for_each(|playbook| listing::check(playbook, &world, &mut |d| warn(&[d])))?;
    }
    if args.syntax_check {
        for path in &args.playbooks {
            println!("\nplaybook: {}", path.display());
        }
        return Ok(None);
    }
    if args.lists() {
        return list(args, &playbooks, &world).map(|()| None);
    }
    let fact_cache = FactCache::from_settings(&config.settings).map_err(|e| vec![e])?;
    if let Some(cache) = fact_cache.as_ref().filter(|_| args.hosts.flush_cache) {
        cache.flush_inventory(&world.inventory());
    }
    let options = options(args, &config)?;
    Ok(Some(Run { playbooks, inventory: world.inventory().duplicate(), extra, options, config, vault, fact_cache }))
}

/// Whether the user wants to hear that an inventory has no hosts.
fn tells_of_localhost(config: &Config) -> bool {
    config.settings.get("LOCALHOST_WARNING").and_then(|setting| setting.value.to_bool()) != Some(false)
}

/// A limit that leaves no host is refused, where there are hosts; the localhost that nobody listed is none of them.
fn check_limit(inventory: &Inventory, limit: &str, warn: &dyn Fn(&[Diagnostic])) -> Result<(), Vec<Diagnostic>> {
    let wrong = |message: String| vec![Diagnostic::error("run::hosts", message)];
    let pattern = Pattern::parse(limit).map_err(|e| wrong(e.to_string()))?;
    let (chosen, unmatched) = pattern.select(inventory).map_err(|e| wrong(e.to_string()))?;
    let local = pattern.local_names();
    for part in unmatched.iter().filter(|part| !local.contains(&part.as_str())) {
        let message = format!("Could not match supplied host pattern, ignoring: {part}");
        warn(&[Diagnostic::warning("run::hosts", message)]);
    }
    if chosen.is_empty() && inventory.hosts().any(|host| !host.implicit) {
        let message = "Specified inventory, host pattern and/or --limit leaves us with no hosts to target.";
        return Err(wrong(message.to_owned()));
    }
    Ok(())
}

/// `--list-hosts`, `--list-tasks`, `--list-tags`.
fn list(args: &Args, playbooks: &[Playbook], world: &Arc<World>) -> Result<(), Vec<Diagnostic>> {
    let wanted = Listing {
        hosts: args.hosts.list_hosts,
        tasks: args.list_tasks,
        tags: args.list_tags,
        filter: TagFilter { only: args.tags.clone(), skip: args.skip_tags.clone() },
        limit: (!args.hosts.limit.is_empty()).then(|| args.hosts.limit.join(",")),
    };
    let mut say = |text: &str| print!("{text}");
    for playbook in playbooks {
        listing::list(playbook, world, &wanted, &mut say)?;
    }
    Ok(())
}

fn options(args: &Args, config: &Config) -> Result<RunOptions, Vec<Diagnostic>> {
    let shared = shared_options(&args.hosts.limit, &args.connect, &args.become_, &args.run, config)?;
    Ok(RunOptions {
        tags: TagFilter {
            only: if args.tags.is_empty() { config.tags.value.clone() } else { args.tags.clone() },
            skip: if args.skip_tags.is_empty() { config.skip_tags.value.clone() } else { args.skip_tags.clone() },
        },
        force_handlers: args.force_handlers || config.force_handlers.value,
        gathering: match config.gathering.value.as_str() {
            "explicit" => Gathering::Explicit,
            "smart" => Gathering::Smart,
            _ => Gathering::Implicit,
        },
        late: args.late,
        start_at_task: args.start_at_task.clone(),
        step: args.step,
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
        connection: connect.connection.clone().or_else(|| config.connection.value.clone()),
        user: connect.user.clone().or_else(|| config.remote_user.value.clone()),
        private_key: connect.private_key.clone().or_else(|| config.private_key_file.value.clone()),
        timeout: connect.timeout.or(config.timeout.value).map(Duration::from_secs),
        password: password(
            "SSH password: ",
            connect.ask_pass || config.ask_pass.value,
            connect.connection_password_file.as_deref().or(config.connection_password_file.value.as_deref()),
        )?,
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
    let forks = run.forks.unwrap_or(config.forks.value);
    if forks == 0 {
        let message = "The number of processes (--forks) must be >= 1";
        return Err(vec![Diagnostic::error("cli::forks", message)]);
    }
    let become_file = become_.become_password_file.as_deref().or(config.become_password_file.value.as_deref());
    let ask = become_.ask_become_pass || (config.become_ask_pass.value && become_file.is_none());
    Ok(RunOptions {
        forks,
        check: run.check,
        diff: run.diff || config.diff_always.value,
        tags: TagFilter { only: Vec::new(), skip: Vec::new() },
        limit: (!limit.is_empty()).then(|| limit.join(",")),
        force_handlers: config.force_handlers.value,
        gathering: Gathering::Explicit,
        become_password: password("BECOME password: ", ask, become_file)?,
        login,
        collections_path: config.collections_path.value.clone(),
        roles_path: config.roles_path.value.clone(),
        late: false,
        start_at_task: None,
        step: false,
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
        let report = Terminal::new(report::Options {
            color: color(stdout),
            progress: stdout && std::io::stderr().is_terminal(),
            verbosity: args.run.verbose,
            diff: self.options.diff,
        });
        let sink: Sink = Arc::new(move |event| report.event(&event));
        finish(self.run(args.run.verbose, sink))
    }

    /// Runs the playbooks, telling `sink` what happens.
    fn run(self, verbosity: u8, sink: Sink) -> Ended {
        let info = RunInfo {
            check: self.options.check,
            diff: self.options.diff,
            forks: self.options.forks,
            verbosity,
            limit: self.options.limit.clone(),
            tags: self.options.tags.only.clone(),
            skip_tags: self.options.tags.skip.clone(),
            config_file: self.config.file,
            settings: self.config.settings,
            merge_hashes: self.config.merge_hashes.value,
            inject_facts: self.config.inject_facts.value,
            fact_cache: self.fact_cache,
            connection_password: self.options.login.password.clone(),
            vault: self.vault,
        };
        let world = World::new(self.inventory, self.extra, info);
        drive(world, self.options, sink, &self.playbooks)
    }
}

/// Runs playbooks to their end, or until somebody interrupts; the status says how it ended.
pub(super) fn start(world: Arc<World>, options: RunOptions, sink: Sink, playbooks: &[Playbook]) -> ExitCode {
    finish(drive(world, options, sink, playbooks))
}

/// The status for an end, with a word where there is no other.
fn finish(ended: Ended) -> ExitCode {
    match ended {
        Ended::Outcome(outcome) => status(outcome),
        Ended::NoThreads(error) => complain(&[error]),
        Ended::Interrupted => {
            eprintln!("interrupted: changes that were under way on hosts are finished there");
            ExitCode::from(130)
        }
    }
}

fn drive(world: Arc<World>, options: RunOptions, sink: Sink, playbooks: &[Playbook]) -> Ended {
    let runtime = match tokio::runtime::Builder::new_multi_thread().thread_stack_size(STACK).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            return Ended::NoThreads(Diagnostic::error("cli::runtime", format!("cannot start threads: {e}")));
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
    outcome.map_or(Ended::Interrupted, Ended::Outcome)
}

/// How a run came to its end.
enum Ended {
    Outcome(Outcome),
    NoThreads(Diagnostic),
    Interrupted,
}

/// The status that says how a run ended.
fn status(outcome: Outcome) -> ExitCode {
    ExitCode::from(match outcome {
        Outcome::Ok => 0,
        Outcome::Error(crate::inventory::LOCKED) => 4,
        Outcome::Error(_) => 1,
        Outcome::Failed => 2,
        Outcome::Unreachable => 4,
    })
}

/// Asks on the terminal, when there is one.
fn prompter() -> Prompter {
    Arc::new(|prompt| {
        if !std::io::stdin().is_terminal() {
            return None;
        }
        let text = match &prompt.default {
            Some(default) => format!("{} [{}]: ", prompt.prompt, default.to_text()),
            None => format!("{}: ", prompt.prompt),
        };
        let ask = |text: &str| {
            if prompt.private {
                return rpassword::prompt_password(text).ok();
            }
            eprint!("{text}");
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).ok()?;
            Some(line.trim_end_matches(['\r', '\n']).to_owned())
        };
        let mut answer = ask(&text)?;
        while prompt.confirm && ask(&format!("confirm {text}"))? != answer {
            eprintln!("***** VALUES ENTERED DO NOT MATCH ****");
            answer = ask(&text)?;
        }
        Some(answer)
    })
}
