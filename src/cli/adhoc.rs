//! `rplay adhoc`, which is `ansible`: one module on hosts, as a play of one task.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use super::arguments::{BecomeArgs, ConnectArgs, InventoryArgs, RunArgs, VariableArgs};
use super::vault::VaultArgs;
use super::{color, run, sources, vars, warn};
use crate::action::BuiltIn;
use crate::config::Config;
use crate::diagnostic::Diagnostic;
use crate::engine::event::{Event, Sink};
use crate::inventory::{HostMismatch, Inventory, LOCAL, Pattern};
use crate::playbook::{Loader, Options, Playbook};
use crate::report::{self, Minimal, Shape, Terminal};
use crate::source::{self, Node, NodeKind, Span};
use crate::template::{Fixed, Templar};
use crate::value::{Map, Str};
use crate::vars::{FactCache, RunInfo, World};
use crate::vault::Secrets;

/// The arguments of `rplay adhoc`, which are those of `ansible`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The hosts: names, groups, patterns.
    pattern: String,
    /// The module to run.
    #[arg(short, long, value_name = "MODULE")]
    module_name: Option<String>,
    /// Its arguments: key=value, a dictionary in JSON or YAML, or a command.
    #[arg(short, long, value_name = "ARGUMENTS", allow_hyphen_values = true)]
    args: Option<String>,
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
    #[command(flatten)]
    vault: VaultArgs,
    /// Show each result on one line.
    #[arg(short, long)]
    one_line: bool,
    /// Write each host's result to a file of its name in this directory.
    #[arg(short, long, value_name = "DIRECTORY")]
    tree: Option<PathBuf>,
    /// Run in the background, for so many seconds at most.
    #[arg(short = 'B', long, value_name = "SECONDS")]
    background: Option<u64>,
    /// How often to look after what runs in the background.
    #[arg(short = 'P', long, value_name = "SECONDS")]
    poll: Option<u64>,
    /// How long the task may take, in seconds.
    #[arg(long, value_name = "SECONDS")]
    task_timeout: Option<u64>,
    /// The directory that stands for a playbook's: files, roles and `group_vars` are looked for there.
    #[arg(long, value_name = "DIRECTORY")]
    playbook_dir: Option<PathBuf>,
}

/// Modules that mean nothing without arguments.
const NEED_ARGUMENTS: &[&str] = &["command", "shell", "raw", "script"];

/// Why nothing was run, and the status for it.
struct Failure(u8, Vec<Diagnostic>);

impl From<Vec<Diagnostic>> for Failure {
    fn from(diagnostics: Vec<Diagnostic>) -> Self {
        Self(1, diagnostics)
    }
}

fn wrong(message: impl Into<String>) -> Vec<Diagnostic> {
    vec![Diagnostic::error("cli::adhoc", message)]
}

/// Runs the module; the status is 0, 1 (nothing was run), 2 (a host failed), 4 (a host was unreachable) or 5 (wrong
/// arguments).
pub fn main(args: &Args) -> ExitCode {
    match prepare(args) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(ready)) => ready.start(args),
        Err(Failure(status, diagnostics)) => {
            warn(&diagnostics);
            ExitCode::from(status)
        }
    }
}

struct Ready {
    config: Config,
    playbook: Playbook,
    inventory: Inventory,
    extra: Map,
    options: crate::engine::RunOptions,
    vault: Arc<Secrets>,
    fact_cache: Option<FactCache>,
}

fn prepare(args: &Args) -> Result<Option<Ready>, Failure> {
    // Needed by the first login; ready by then. What goes wrong shows there.
    if !args.hosts.list_hosts {
        std::thread::spawn(|| drop(crate::remote::build_id()));
    }
    let config = Config::load()?;
    let vault = args.vault.shared(&config)?;
    let extra = vars::extra_vars(&args.variables.extra_vars, &vault)?;
    let text = |written: &str| evaluate(written, &extra);
    let module = text(args.module_name.as_deref().unwrap_or(&config.module_name.value))?;
    let arguments = args.args.clone().unwrap_or_else(|| config.module_args.value.clone());
    let pattern = text(&args.pattern)?;
    let directory = args.playbook_dir.clone().or_else(|| config.playbook_dir.value.clone());
    let directory = directory.unwrap_or_else(|| PathBuf::from("."));
    let beside = Some(directory.clone()).filter(|directory| directory.is_dir());
    let mut inventory = sources::load(&args.hosts.inventory, &config, &extra, beside, &vault, &super::warn)?;
    sources::tell(&inventory, args.run.verbose);
    let chosen = choose(&mut inventory, &pattern, &args.hosts.limit)?;
    if args.hosts.list_hosts {
        println!("  hosts ({}):", chosen.len());
        chosen.iter().for_each(|host| println!("    {host}"));
        return Ok(None);
    }
    check_module(&module, &arguments, &pattern)?;
    if chosen.is_empty() {
        return Ok(None);
    }
    let timeout = args.task_timeout.unwrap_or(config.task_timeout.value);
    let poll = args.poll.or_else(|| config.settings.get("DEFAULT_POLL_INTERVAL")?.value.as_int()?.try_into().ok());
    let times = [("timeout", timeout), ("async", args.background.unwrap_or(0)), ("poll", poll.unwrap_or(15))];
    // Time in the background is nothing that an include has.
    let includes = module.rsplit('.').next().is_some_and(|name| matches!(name, "include_role" | "include_tasks"));
    let times = times.into_iter().filter(|(name, seconds)| match *name {
        "timeout" => *seconds > 0,
        _ => args.background.is_some_and(|seconds| seconds > 0) && !includes,
    });
    let play = play(&pattern, &module, &arguments, times.collect());
    let options = Options {
        collections_path: config.collections_path.value.clone(),
        module_path: config.module_path(),
        roles_path: config.roles_path.value.clone(),
        variables: extra.clone(),
        late: true,
        vault: vault.clone(),
        listing: false,
        private_role_vars: crate::config::private_role_vars(&config.settings) == Some(true),
    };
    let mut loader = Loader::new(&BuiltIn, options, directory.clone());
    let playbook = loader.playbook_of(&directory.join("<ad hoc>"), play).map_err(|found| Failure(2, found))?;
    let options = run::shared_options(&args.hosts.limit, &args.connect, &args.become_, &args.run, &config)?;
    let fact_cache = FactCache::from_settings(&config.settings).map_err(|e| vec![e])?;
    if let Some(cache) = fact_cache.as_ref().filter(|_| args.hosts.flush_cache) {
        cache.flush_inventory(&inventory);
    }
    Ok(Some(Ready { config, playbook, inventory, extra, options, vault, fact_cache }))
}

/// An argument that may be a template over extra variables.
fn evaluate(written: &str, extra: &Map) -> Result<String, Vec<Diagnostic>> {
    let text = Str::trusted(written, Some(source::register("<command line>", None, written.to_owned())));
    if !text.is_template() {
        return Ok(written.to_owned());
    }
    let templar = Templar::new(Arc::new(Fixed { map: extra.clone(), search: Vec::new() }));
    templar.string(&text).map(|value| value.to_text()).map_err(|error| vec![error.to_diagnostic()])
}

fn check_module(module: &str, arguments: &str, pattern: &str) -> Result<(), Failure> {
    let short = module.strip_prefix("ansible.builtin.").or_else(|| module.strip_prefix("ansible.legacy."));
    let short = short.unwrap_or(module);
    if NEED_ARGUMENTS.contains(&short) && arguments.is_empty() {
        let hint = if pattern.ends_with(".yml") { " (did you mean to run ansible-playbook?)" } else { "" };
        return Err(Failure(5, wrong(format!("No argument passed to {module} module{hint}"))));
    }
    match short {
        "import_playbook" => Err(Failure(5, wrong(format!("'{module}' is not a valid action for ad-hoc commands")))),
        "include" => {
            let message = "The 'ansible.builtin.include' action plugin has been removed. Use include_tasks or import_tasks instead.";
            Err(wrong(message).into())
        }
        _ => Ok(()),
    }
}

/// The hosts to run on; says what the pattern or the inventory lack.
fn choose(inventory: &mut Inventory, pattern: &str, limit: &[String]) -> Result<Vec<String>, Vec<Diagnostic>> {
    let parse = |text: &str| Pattern::parse(text).map_err(|error| wrong(error.to_string()));
    let tell = |message: String| warn(&[Diagnostic::warning("cli::hosts", message)]);
    let nobody = inventory.hosts().all(|host| host.implicit);
    if nobody && !LOCAL.contains(&pattern) {
        tell(sources::NOBODY.to_owned());
    }
    let wanted = parse(pattern)?;
    for name in wanted.local_names() {
        if inventory.host(name).is_none() {
            inventory.implicit_localhost(name);
        }
    }
    let mismatch = inventory.options().mismatch;
    let select = |pattern: &Pattern| -> Result<Vec<String>, Vec<Diagnostic>> {
        let (chosen, unmatched) = pattern.select(inventory).map_err(|error| wrong(error.to_string()))?;
        for part in unmatched {
            let message = format!("Could not match supplied host pattern, ignoring: {part}");
            match mismatch {
                HostMismatch::Error => return Err(wrong(message)),
                HostMismatch::Warning => tell(message),
                HostMismatch::Ignore => {}
            }
        }
        Ok(chosen)
    };
    let mut chosen = select(&wanted)?;
    let limited = !limit.is_empty();
    if limited {
        let allowed: std::collections::HashSet<String> = select(&parse(&limit.join(","))?)?.into_iter().collect();
        chosen.retain(|host| allowed.contains(host));
    }
    if chosen.is_empty() && !nobody {
        if limited {
            let message = "Specified inventory, host pattern and/or --limit leaves us with no hosts to target.";
            return Err(wrong(message));
        }
        tell("No hosts matched, nothing to do".to_owned());
    }
    Ok(chosen)
}

/// The play, as it would be written.
fn play(pattern: &str, module: &str, arguments: &str, times: Vec<(&str, u64)>) -> Node {
    let text = format!("{module} {arguments}");
    let span = source::register("<ad hoc>", None, text);
    let string = |text: &str| Node { kind: NodeKind::Str(text.to_owned()), span, tag: None };
    let number = |number: u64| Node { kind: NodeKind::Int(i64::try_from(number).unwrap_or(i64::MAX)), span, tag: None };
    let map = |entries: Vec<(&str, Node)>| Node {
        kind: NodeKind::Map(entries.into_iter().map(|(key, value)| (string(key), value)).collect()),
        span,
        tag: None,
    };
    let list = |items: Vec<Node>| Node { kind: NodeKind::List(items), span, tag: None };
    let mut task = vec![(module, written_arguments(arguments, span))];
    task.extend(times.into_iter().map(|(name, seconds)| (name, number(seconds))));
    list(vec![map(vec![
        ("name", string("Ansible Ad-Hoc")),
        ("hosts", string(pattern)),
        ("gather_facts", Node { kind: NodeKind::Bool(false), span, tag: None }),
        ("tasks", list(vec![map(task)])),
    ])])
}

/// The arguments: a dictionary where they are one, else a line.
fn written_arguments(arguments: &str, span: Span) -> Node {
    if arguments.trim_start().starts_with('{')
        && let Ok(Some(node)) = source::load_text("<arguments>", None, arguments.to_owned())
        && node.as_map().is_some()
    {
        return node;
    }
    let kind = if arguments.is_empty() { NodeKind::Null } else { NodeKind::Str(arguments.to_owned()) };
    Node { kind, span, tag: None }
}

impl Ready {
    fn start(self, args: &Args) -> ExitCode {
        let diff = self.options.diff;
        let info = RunInfo {
            check: self.options.check,
            diff,
            forks: self.options.forks,
            verbosity: args.run.verbose,
            limit: self.options.limit.clone(),
            tags: Vec::new(),
            skip_tags: Vec::new(),
            config_file: self.config.file.clone(),
            settings: self.config.settings.clone(),
            merge_hashes: self.config.merge_hashes.value,
            inject_facts: self.config.inject_facts.value,
            fact_cache: self.fact_cache,
            connection_password: self.options.login.password.clone(),
            vault: self.vault,
        };
        let sink = sink(args, &self.config, diff);
        let world = World::new(self.inventory, self.extra, info);
        run::start(world, self.options, sink, &[self.playbook])
    }
}

/// Where results go: to a line or a block for each, unless the configuration wants something else for ad hoc commands too.
fn sink(args: &Args, config: &Config, diff: bool) -> Sink {
    let configured = config.adhoc_callbacks.value.then_some(config.adhoc_stdout_callback.value.as_str());
    let configured = configured.map(|name| name.strip_prefix("ansible.builtin.").unwrap_or(name));
    let shape = match configured {
        _ if args.one_line => Shape::OneLine,
        None | Some("minimal") => Shape::Minimal,
        Some("oneline") => Shape::OneLine,
        Some(_) => {
            let stdout = std::io::stdout().is_terminal();
            let progress = stdout && std::io::stderr().is_terminal();
            let options = report::Options { color: color(stdout), progress, verbosity: args.run.verbose, diff };
            let report = Terminal::new(options);
            return Arc::new(move |event| report.event(&event));
        }
    };
    let report = Minimal::new(shape, diff, args.tree.clone(), warn);
    Arc::new(move |event: Event| {
        // What no host matches was said before.
        let said = matches!(&event, Event::Warning(warning) if warning.code == "run::hosts");
        if !said {
            report.event(&event);
        }
    })
}
