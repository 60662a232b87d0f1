//! From what the inventory says about a host, and ssh_config, to everything that one login needs.

use std::path::PathBuf;
use std::time::Duration;

use super::super::{ConnectionError, Secret};
use super::algorithms::{self, Algorithms};
use super::config::arguments::{self, CommandLine};
use super::config::tokens::Tokens;
use super::config::{self, AddressFamily, Cache, Options, Proxy, StrictHostKeys};
use super::environment::Environment;

/// How long the steps of a login may take where nothing is said.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often to ask a silent host for a sign of life where nothing is said.
const ALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// Keys that a user has without saying so, the likeliest first.
const DEFAULT_IDENTITIES: [&str; 3] = ["~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"];

/// What is known about a host before ssh_config is read. It wins over ssh_config.
#[derive(Debug, Clone, Default)]
pub struct SshOptions {
    /// `ansible_host`, or the inventory's name.
    pub host: String,
    /// `ansible_port`.
    pub port: Option<u16>,
    /// `ansible_user`.
    pub user: Option<String>,
    /// `ansible_password`.
    pub password: Option<Secret>,
    /// `ansible_ssh_private_key_file`.
    pub private_key_file: Option<PathBuf>,
    /// `ansible_ssh_private_key_passphrase`.
    pub private_key_passphrase: Option<Secret>,
    /// `ansible_ssh_args`, `ansible_ssh_common_args` and `ansible_ssh_extra_args`, split into words.
    pub args: Vec<String>,
    /// `ansible_timeout`; counts where neither `args` nor ssh_config says `ConnectTimeout`.
    pub connect_timeout: Option<Duration>,
    /// `ansible_host_key_checking`; false is `StrictHostKeyChecking=no` unless `args` say otherwise.
    pub host_key_checking: Option<bool>,
    /// Keys to try after those that the host's own configuration names: a jump host is offered its target's key.
    pub(crate) inherited_identities: Vec<Identity>,
}

/// A key file to try.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The private key, or a public key whose private half an agent holds.
    pub path: PathBuf,
    /// Whether somebody named it; the absence of a default key is not worth a word.
    pub explicit: bool,
    /// Its passphrase.
    pub passphrase: Option<Secret>,
}

/// The way to a host.
#[derive(Debug, Clone)]
pub enum Route {
    /// TCP from here.
    Direct,
    /// A channel through this jump host.
    Jump(Box<SshOptions>),
    /// The standard streams of this shell command, already expanded.
    Command(String),
}

/// Everything that one login needs.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Target {
    pub user: String,
    pub host: String,
    pub port: u16,
    pub route: Route,
    pub identities: Vec<Identity>,
    pub certificates: Vec<PathBuf>,
    pub identities_only: bool,
    /// The agent's socket.
    pub agent: Option<PathBuf>,
    pub password: Option<Secret>,
    pub strict_host_keys: StrictHostKeys,
    /// The name that the host key is looked up under, where it is not the host's.
    pub host_key_alias: Option<String>,
    pub user_known_hosts: Vec<PathBuf>,
    pub global_known_hosts: Vec<PathBuf>,
    pub hash_known_hosts: bool,
    pub connect_timeout: Duration,
    /// Tries of a connection that is refused or times out.
    pub connection_attempts: u32,
    pub alive_interval: Option<Duration>,
    pub alive_count_max: u32,
    pub tcp_keep_alive: bool,
    /// Methods in the order to try them.
    pub methods: Vec<String>,
    pub algorithms: Algorithms,
    pub address_family: AddressFamily,
    pub bind_address: Option<String>,
    /// Variables to ask the server to set for commands.
    pub variables: Vec<(String, String)>,
}

/// Works out everything about one host. May run `Match exec` commands, so it may block.
pub fn resolve(wanted: &SshOptions, environment: &Environment, cache: &Cache) -> Result<Target, ConnectionError> {
    let mut line = CommandLine::parse(&wanted.args, false)?;
    prefer_inventory(&mut line.options, wanted);
    let options = config::evaluate(&wanted.host, &line, environment, cache)?;
    let tokens = Tokens::new(&wanted.host, &options, environment);
    let failed = |message: String| ConnectionError::Config {
        place: format!("the ssh configuration of `{}`", wanted.host),
        message,
    };
    let paths = |files: &[String]| -> Result<Vec<PathBuf>, ConnectionError> {
        files.iter().map(|file| tokens.expand_path(file).map_err(failed)).collect()
    };
    let known = |files: &Option<Vec<String>>, default: [&str; 2]| match files {
        Some(files) if files.iter().any(|file| file == "none") => Ok(Vec::new()),
        Some(files) => paths(files),
        None => paths(&default.map(str::to_owned)),
    };
    let default_timeout = wanted.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
    let alive = options.alive_interval.unwrap_or(ALIVE_INTERVAL);
    Ok(Target {
        route: route(wanted, &options, &tokens, &line).map_err(failed)?,
        identities: identities(wanted, &options, &tokens).map_err(failed)?,
        certificates: paths(&options.certificate_files)?,
        identities_only: options.identities_only.unwrap_or(false),
        agent: agent(&options, &tokens, environment).map_err(failed)?,
        password: wanted.password.clone(),
        strict_host_keys: strictness(wanted, &line.options, &options),
        user_known_hosts: known(&options.user_known_hosts, ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"])?,
        global_known_hosts: known(
            &options.global_known_hosts,
            ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"],
        )?,
        hash_known_hosts: options.hash_known_hosts.unwrap_or(false),
        connect_timeout: options.connect_timeout.unwrap_or(default_timeout),
        connection_attempts: options.connection_attempts.unwrap_or(1).max(1),
        alive_interval: Some(alive).filter(|interval| !interval.is_zero()),
        alive_count_max: options.alive_count_max.unwrap_or(3),
        tcp_keep_alive: options.tcp_keep_alive.unwrap_or(true),
        methods: methods(&options),
        algorithms: algorithms::select(&options).map_err(failed)?,
        address_family: options.address_family.unwrap_or(AddressFamily::Any),
        bind_address: options.bind_address.clone(),
        variables: variables(&options, environment),
        user: tokens.user.clone(),
        host: tokens.host.clone(),
        port: tokens.port,
        host_key_alias: options.host_key_alias,
    })
}

/// Puts the inventory's values before those of the arguments.
fn prefer_inventory(options: &mut Options, wanted: &SshOptions) {
    if wanted.port.is_some() {
        options.port = wanted.port;
    }
    if wanted.user.is_some() {
        options.user.clone_from(&wanted.user);
    }
    if let Some(key) = &wanted.private_key_file {
        // `%` in a file name is no token here.
        let key = key.to_string_lossy().replace('%', "%%");
        options.identity_files.retain(|file| *file != key);
        options.identity_files.insert(0, key);
    }
}

fn strictness(wanted: &SshOptions, arguments: &Options, options: &Options) -> StrictHostKeys {
    match (arguments.strict_host_keys, wanted.host_key_checking) {
        (Some(said), _) => said,
        (None, Some(false)) => StrictHostKeys::No,
        (None, _) => options.strict_host_keys.unwrap_or(StrictHostKeys::Ask),
    }
}

fn identities(wanted: &SshOptions, options: &Options, tokens: &Tokens<'_>) -> Result<Vec<Identity>, String> {
    let mut identities: Vec<Identity> = Vec::new();
    let add = |identities: &mut Vec<Identity>, identity: Identity| {
        if identities.iter().all(|known| known.path != identity.path) {
            identities.push(identity);
        }
    };
    for file in options.identity_files.iter().filter(|file| *file != "none") {
        let path = tokens.expand_path(file)?;
        add(&mut identities, Identity { path, explicit: true, passphrase: wanted.private_key_passphrase.clone() });
    }
    for identity in &wanted.inherited_identities {
        add(&mut identities, Identity { explicit: false, ..identity.clone() });
    }
    if options.identity_files.is_empty() {
        for file in DEFAULT_IDENTITIES {
            let path = tokens.expand_path(file)?;
            add(&mut identities, Identity { path, explicit: false, passphrase: wanted.private_key_passphrase.clone() });
        }
    }
    Ok(identities)
}

fn agent(options: &Options, tokens: &Tokens<'_>, environment: &Environment) -> Result<Option<PathBuf>, String> {
    let variable = |name: &str| environment.variables.get(name).filter(|socket| !socket.is_empty()).map(PathBuf::from);
    match options.identity_agent.as_deref() {
        None | Some("SSH_AUTH_SOCK") => Ok(variable("SSH_AUTH_SOCK")),
        Some("none") => Ok(None),
        Some(name) if name.starts_with('$') && !name.starts_with("${") => Ok(variable(&name[1..])),
        Some(path) => tokens.expand_path(path).map(Some),
    }
}

/// The methods that are allowed, in the order that is preferred.
fn methods(options: &Options) -> Vec<String> {
    let allowed = |method: &str| match method {
        "publickey" => options.pubkey_authentication.unwrap_or(true),
        "keyboard-interactive" => options.kbd_interactive_authentication.unwrap_or(true),
        "password" => options.password_authentication.unwrap_or(true),
        _ => false,
    };
    let preferred = match &options.preferred_authentications {
        Some(methods) => methods.clone(),
        None => ["publickey", "keyboard-interactive", "password"].map(str::to_owned).to_vec(),
    };
    preferred.into_iter().filter(|method| allowed(method)).collect()
}

fn variables(options: &Options, environment: &Environment) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = environment
        .variables
        .iter()
        .filter(|(name, _)| options.send_env.iter().any(|pattern| config::wildcard(name, pattern)))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    variables.sort();
    variables.extend(options.set_env.iter().cloned());
    variables
}

fn route(wanted: &SshOptions, options: &Options, tokens: &Tokens<'_>, line: &CommandLine) -> Result<Route, String> {
    match &options.proxy {
        None | Some(Proxy::None) => Ok(Route::Direct),
        Some(Proxy::Jump(hops)) => {
            let hops = tokens.expand(hops)?;
            // The last hop is the one next to the target; the others are the way to it.
            let (before, last) = match hops.rsplit_once(',') {
                Some((before, last)) => (Some(before), last),
                None => (None, hops.as_str()),
            };
            let mut args = Vec::new();
            if let Some(file) = &line.config_file {
                args.extend(["-F".to_owned(), file.clone()]);
            }
            if let Some(before) = before {
                args.extend(["-J".to_owned(), before.to_owned()]);
            }
            jump(wanted, options, tokens, last, args)
        }
        Some(Proxy::Command(command)) => match arguments::as_jump(command) {
            Some((parsed, args)) => {
                let destination = parsed.destination.unwrap_or_default();
                let args = args.iter().map(|word| match parsed.forward.as_ref() == Some(word) {
                    // `-W %h:%p` itself has no meaning for the jump host's own login.
                    true => Ok(word.clone()),
                    false => tokens.expand(word),
                });
                let args = args.collect::<Result<Vec<_>, _>>()?;
                jump(wanted, options, tokens, &tokens.expand(&destination)?, args)
            }
            None => Ok(Route::Command(tokens.expand_command(command)?)),
        },
    }
}

fn jump(
    wanted: &SshOptions,
    options: &Options,
    tokens: &Tokens<'_>,
    destination: &str,
    args: Vec<String>,
) -> Result<Route, String> {
    let (user, host, port) = arguments::jump_host(destination)?;
    let mut inherited = wanted.inherited_identities.clone();
    for file in options.identity_files.iter().filter(|file| *file != "none") {
        let path = tokens.expand_path(file)?;
        inherited.push(Identity { path, explicit: false, passphrase: wanted.private_key_passphrase.clone() });
    }
    Ok(Route::Jump(Box::new(SshOptions {
        host,
        port,
        user,
        args,
        connect_timeout: wanted.connect_timeout,
        // The setting is the run's; what `args` say about host keys is the target's alone.
        host_key_checking: wanted.host_key_checking,
        inherited_identities: inherited,
        ..SshOptions::default()
    })))
}
