//! Groups of arguments that several commands of the reference have in common.

use std::path::PathBuf;

use clap::ArgAction;

/// What is asked of the inventory.
#[derive(Debug, Default, clap::Args)]
pub struct InventoryArgs {
    /// Inventory: a file, a directory, or hosts separated by commas. May be given several times.
    #[arg(short, long = "inventory", visible_alias = "inventory-file", value_name = "SOURCE")]
    pub inventory: Vec<String>,
    /// Run only on hosts that match this pattern too.
    #[arg(short, long, value_name = "PATTERN")]
    pub limit: Vec<String>,
    /// Show the hosts that match; run nothing.
    #[arg(long)]
    pub list_hosts: bool,
    /// Forget the facts that were kept of every host of the inventory.
    #[arg(long)]
    pub flush_cache: bool,
}

/// Variables of the command line.
#[derive(Debug, Default, clap::Args)]
pub struct VariableArgs {
    /// Set variables: key=value, a dictionary in JSON or YAML, or @file.
    #[arg(short, long = "extra-vars", value_name = "VARS")]
    pub extra_vars: Vec<String>,
}

/// How hosts are logged in to.
#[derive(Debug, Default, clap::Args)]
pub struct ConnectArgs {
    /// Log in as this user.
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// Ask for the password to log in.
    #[arg(short = 'k', long, conflicts_with = "connection_password_file")]
    pub ask_pass: bool,
    /// Read that password from this file.
    #[arg(long, value_name = "FILE", visible_alias = "conn-pass-file")]
    pub connection_password_file: Option<PathBuf>,
    /// Log in with this key.
    #[arg(long, value_name = "FILE", visible_alias = "key-file")]
    pub private_key: Option<PathBuf>,
    /// How to connect: ssh or local.
    #[arg(short, long, value_name = "CONNECTION")]
    pub connection: Option<String>,
    /// How long a login may take, in seconds.
    #[arg(short = 'T', long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Arguments for ssh, as OpenSSH takes them.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub ssh_common_args: Option<String>,
    /// More arguments for ssh.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub ssh_extra_args: Option<String>,
    /// Arguments for sftp, which is not used: files travel with the commands.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub sftp_extra_args: Option<String>,
    /// Arguments for scp, which is not used: files travel with the commands.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub scp_extra_args: Option<String>,
}

/// Whom to become on the hosts, and how.
#[derive(Debug, Default, clap::Args)]
pub struct BecomeArgs {
    /// Become another user on the hosts.
    #[arg(short, long = "become")]
    pub become_: bool,
    /// How to become another user.
    #[arg(long, value_name = "METHOD")]
    pub become_method: Option<String>,
    /// Whom to become.
    #[arg(long, value_name = "USER")]
    pub become_user: Option<String>,
    /// Ask for the password to become another user.
    #[arg(short = 'K', long, conflicts_with = "become_password_file")]
    pub ask_become_pass: bool,
    /// Read that password from this file.
    #[arg(long, value_name = "FILE", visible_alias = "become-pass-file")]
    pub become_password_file: Option<PathBuf>,
}

/// How a run behaves and what it shows.
#[derive(Debug, Default, clap::Args)]
pub struct RunArgs {
    /// Predict what would change; change nothing.
    #[arg(short = 'C', long)]
    pub check: bool,
    /// Show what differs in files.
    #[arg(short = 'D', long)]
    pub diff: bool,
    /// How many hosts at once.
    #[arg(short, long)]
    pub forks: Option<usize>,
    /// Show more; give it several times for still more.
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Directories with modules of one's own, before those that are configured.
    #[arg(short = 'M', long, value_name = "PATH")]
    pub module_path: Vec<String>,
}
