//! `rplay pull`, which is `ansible-pull`: fetch a repository of playbooks and run one of them here.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::ArgAction;

use super::arguments::{BecomeArgs, ConnectArgs, InventoryArgs, VariableArgs};
use super::vault::VaultArgs;
use super::warn;
use crate::config::Config;
use crate::diagnostic::Diagnostic;

/// The arguments of `rplay pull`, which are those of `ansible-pull`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Playbooks of the repository; by default the one that bears this machine's name, or `local.yml`.
    playbooks: Vec<PathBuf>,
    /// The repository.
    #[arg(short = 'U', long, value_name = "URL")]
    url: Option<String>,
    /// Where to check it out.
    #[arg(short, long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// The branch, tag or commit to check out.
    #[arg(short = 'C', long, value_name = "VERSION")]
    checkout: Option<String>,
    /// Fetch all of the history.
    #[arg(long)]
    full: bool,
    /// Throw changes in the checkout away.
    #[arg(long)]
    clean: bool,
    /// Run even when the repository could not be fetched.
    #[arg(short, long)]
    force: bool,
    /// Run only when the repository has changed.
    #[arg(short, long)]
    only_if_changed: bool,
    /// Remove the checkout afterwards.
    #[arg(long)]
    purge: bool,
    /// Wait for a while before: up to so many seconds.
    #[arg(short, long, value_name = "SECONDS")]
    sleep: Option<u64>,
    /// Accept the key of the repository's host when it is not known yet.
    #[arg(long)]
    accept_host_key: bool,
    /// Let submodules follow their branches.
    #[arg(long)]
    track_subs: bool,
    /// Refuse a commit whose signature cannot be verified.
    #[arg(long)]
    verify_commit: bool,
    /// What fetches the repository: git.
    #[arg(short, long, value_name = "MODULE", default_value = "git")]
    module_name: String,
    #[command(flatten)]
    hosts: InventoryArgs,
    #[command(flatten)]
    variables: VariableArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    become_: BecomeArgs,
    #[command(flatten)]
    vault: VaultArgs,
    /// Run only what has one of these tags.
    #[arg(short, long, value_name = "TAGS")]
    tags: Vec<String>,
    /// Leave out what has one of these tags.
    #[arg(long, value_name = "TAGS")]
    skip_tags: Vec<String>,
    /// Predict what would change; change nothing.
    #[arg(long)]
    check: bool,
    /// Show what differs in files.
    #[arg(long)]
    diff: bool,
    /// Show more; give it several times for still more.
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
}

/// What ends a pull, and the status for it.
struct Failure(u8, String);

fn wrong(message: impl Into<String>) -> Failure {
    Failure(1, message.into())
}

/// Fetches and runs; the status is that of the run, or 1, or 2 when the repository cannot be fetched.
pub fn main(args: &Args, runner: &[&str]) -> ExitCode {
    match pull(args, runner) {
        Ok(status) => ExitCode::from(status),
        Err(Failure(status, message)) => {
            warn(&[Diagnostic::error("cli::pull", message)]);
            ExitCode::from(status)
        }
    }
}

fn pull(args: &Args, runner: &[&str]) -> Result<u8, Failure> {
    let url = args.url.as_deref().ok_or_else(|| wrong("URL for repository not specified, use -h for help"))?;
    if args.module_name != "git" {
        let message = format!("repositories of `{}` cannot be fetched: rplay pull knows git", args.module_name);
        return Err(wrong(message));
    }
    let directory = directory(args)?;
    let now = jiff::Zoned::now().strftime("%F %T").to_string();
    println!("Starting Ansible Pull at {now}");
    let line: Vec<String> = std::env::args().collect();
    println!("{}", line.join(" "));
    if let Some(most) = args.sleep.filter(|most| *most > 0) {
        let mut random = [0; 8];
        getrandom(&mut random)?;
        let seconds = u64::from_ne_bytes(random) % most;
        println!("Sleeping for {seconds} seconds...");
        std::thread::sleep(Duration::from_secs(seconds));
    }
    match (Checkout { args, url, directory: &directory }).update() {
        Ok(false) if args.only_if_changed => {
            println!("Repository has not changed, quitting.");
            return Ok(0);
        }
        Ok(_) => {}
        Err(_) if args.force => {
            let message = "Unable to update repository. Continuing with (forced) run of playbook.";
            warn(&[Diagnostic::warning("cli::pull", message)]);
        }
        Err(message) => return Err(Failure(2, message)),
    }
    let playbooks = playbooks(args, &directory)?;
    let status = Command::new("/proc/self/exe")
        .arg0(runner.first().copied().unwrap_or("rplay"))
        .args(runner.iter().skip(1))
        .args(arguments(args, &directory))
        .args(playbooks)
        .current_dir(&directory)
        .status()
        .map_err(|e| wrong(format!("cannot start the run: {e}")))?;
    if args.purge
        && let Err(error) = std::fs::remove_dir_all(&directory)
    {
        let message = format!("Failed to remove {}: {error}", directory.display());
        warn(&[Diagnostic::error("cli::pull", message)]);
    }
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

fn getrandom(buffer: &mut [u8]) -> Result<(), Failure> {
    rustix::rand::getrandom(buffer, rustix::rand::GetRandomFlags::empty())
        .map(drop)
        .map_err(|e| wrong(format!("cannot make up how long to sleep: {e}")))
}

/// Where the checkout is.
fn directory(args: &Args) -> Result<PathBuf, Failure> {
    let given = match &args.directory {
        Some(directory) => crate::playbook::expand_home(&directory.to_string_lossy()),
        None => {
            let config = Config::load().map_err(|_| wrong("the configuration cannot be read"))?;
            let home = config.settings.get("ANSIBLE_HOME").and_then(|s| s.value.as_str().map(PathBuf::from));
            home.unwrap_or_default().join("pull").join(node())
        }
    };
    let directory = std::path::absolute(&given).map_err(|e| wrong(format!("{}: {e}", given.display())))?;
    if directory.exists() && !directory.is_dir() {
        return Err(wrong(format!("{} is not a valid or accessible directory.", directory.display())));
    }
    Ok(directory)
}

fn node() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The hosts that mean this machine.
fn here() -> String {
    let node = node();
    let short = node.split('.').next().unwrap_or_default().to_owned();
    let mut names = vec!["localhost".to_owned(), node, short, "127.0.0.1".to_owned()];
    names.retain(|name| !name.is_empty());
    names.dedup();
    names.join(",")
}

/// The playbooks to run: those that were named, or the one for this machine.
fn playbooks(args: &Args, directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let missing = |path: &PathBuf| (!path.is_file()).then(|| format!("{}: File does not exist", path.display()));
    let named: Vec<PathBuf> = args.playbooks.iter().map(|name| directory.join(name)).collect();
    let node = node();
    let short = node.split('.').next().unwrap_or_default();
    let usual =
        [format!("{node}.yml"), format!("{short}.yml"), "local.yml".to_owned()].map(|name| directory.join(name));
    let (found, errors): (Vec<PathBuf>, Vec<String>) = if named.is_empty() {
        let found = usual.iter().find(|path| path.is_file()).cloned().into_iter().collect();
        (found, usual.iter().filter_map(missing).collect())
    } else {
        (named.clone(), named.iter().filter_map(missing).collect())
    };
    if found.is_empty() || (!named.is_empty() && !errors.is_empty()) {
        warn(&[Diagnostic::warning("cli::pull", errors.join("\n"))]);
        return Err(wrong("Could not find a playbook to run."));
    }
    Ok(found)
}

/// The arguments of the run.
fn arguments(args: &Args, directory: &Path) -> Vec<OsString> {
    let mut out: Vec<OsString> = vec!["-c".into(), "local".into()];
    out.extend((0..args.verbose).map(|_| "-v".into()));
    let mut option = |name: &str, value: &str| out.extend([name.into(), value.into()]);
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    for inventory in &args.hosts.inventory {
        if inventory.contains(',') || directory.join(inventory).exists() {
            option("-i", inventory);
        } else if Path::new(inventory).exists() {
            option("-i", &absolute(Path::new(inventory)).to_string_lossy());
        }
    }
    args.variables.extra_vars.iter().for_each(|vars| option("-e", vars));
    args.tags.iter().for_each(|tags| option("-t", tags));
    args.skip_tags.iter().for_each(|tags| option("--skip-tags", tags));
    let limit = if args.hosts.limit.is_empty() { here() } else { args.hosts.limit.join(",") };
    option("-l", &limit);
    let files = [
        ("--connection-password-file", &args.connect.connection_password_file),
        ("--become-password-file", &args.become_.become_password_file),
    ];
    for (name, file) in files {
        if let Some(file) = file {
            option(name, &absolute(file).to_string_lossy());
        }
    }
    args.vault.words().iter().for_each(|(name, value)| option(name, value));
    let flags = [
        ("-C", args.check),
        ("-D", args.diff),
        ("--flush-cache", args.hosts.flush_cache),
        ("-K", args.become_.ask_become_pass),
        ("-k", args.connect.ask_pass),
    ];
    out.extend(flags.iter().filter(|(_, set)| *set).map(|(flag, _)| OsString::from(flag)));
    out
}

/// A repository's checkout.
struct Checkout<'a> {
    args: &'a Args,
    url: &'a str,
    directory: &'a Path,
}

impl Checkout<'_> {
    /// Brings the checkout up to date and says whether it is another commit than before.
    fn update(&self) -> Result<bool, String> {
        let before = self.prepare()?;
        let wanted = self.args.checkout.as_deref().unwrap_or("HEAD");
        let depth: &[&str] = if self.args.full { &[] } else { &["--depth", "1"] };
        let near = self.git(&[&["fetch", "-q", "--force"], depth, &["--", self.url, wanted]].concat());
        let target = match near {
            Ok(_) => "FETCH_HEAD",
            // Not every server gives a commit by its id alone.
            Err(_) if self.args.checkout.is_some() => {
                let all = ["fetch", "-q", "--force", "--tags", "--", self.url, "+refs/heads/*:refs/remotes/origin/*"];
                self.git(&all)?;
                wanted
            }
            Err(message) => return Err(message),
        };
        let commit = self.git(&["rev-parse", "--verify", "-q", "--end-of-options", &format!("{target}^{{commit}}")])?;
        if self.args.verify_commit {
            self.git(&["verify-commit", &commit])?;
        }
        if before.as_deref() != Some(commit.as_str()) || self.args.clean {
            self.git(&["checkout", "-q", "--force", "--detach", &commit])?;
        }
        if self.directory.join(".gitmodules").exists() {
            let track: &[&str] = if self.args.track_subs { &["--remote"] } else { &[] };
            self.git(&[&["submodule", "-q", "update", "--init", "--recursive"], track].concat())?;
        }
        let changed = before.as_deref() != Some(commit.as_str());
        let (word, before) = (if changed { "CHANGED" } else { "SUCCESS" }, before.unwrap_or_default());
        println!(
            "localhost | {word} => {{\n    \"after\": \"{commit}\",\n    \"before\": \"{before}\",\n    \"changed\": {changed}\n}}"
        );
        Ok(changed)
    }

    /// Makes the repository where there is none; gives the commit that is checked out.
    fn prepare(&self) -> Result<Option<String>, String> {
        let cannot = |e: std::io::Error| format!("cannot use {}: {e}", self.directory.display());
        if !self.directory.join(".git").exists() {
            std::fs::create_dir_all(self.directory).map_err(cannot)?;
            if std::fs::read_dir(self.directory).map_err(cannot)?.next().is_some() {
                return Err(format!("{} is not empty and no checkout", self.directory.display()));
            }
            self.git(&["init", "-q"])?;
            return Ok(None);
        }
        let before = self.git(&["rev-parse", "--verify", "-q", "HEAD"]).ok();
        let modified = !self.git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
        if modified && !self.args.clean {
            let place = self.directory.display();
            return Err(format!(
                "Local modifications exist in the destination: {place} (throw them away with --clean)"
            ));
        }
        Ok(before)
    }

    /// Runs git in the checkout; gives what it says.
    fn git(&self, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new("git");
        command.args(words).current_dir(self.directory).env("GIT_TERMINAL_PROMPT", "0");
        let key = self.args.connect.private_key.as_ref();
        if key.is_some() || self.args.accept_host_key {
            let mut ssh = "ssh".to_owned();
            if self.args.accept_host_key {
                ssh.push_str(" -o StrictHostKeyChecking=accept-new");
            }
            if let Some(key) = key {
                let key = std::path::absolute(key).unwrap_or_else(|_| key.clone());
                ssh.push_str(&format!(" -i {}", shell_words::quote(&key.to_string_lossy())));
            }
            command.env("GIT_SSH_COMMAND", ssh);
        }
        let output = command.output().map_err(|e| format!("cannot run git: {e}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let what = words.iter().find(|word| !word.starts_with('-')).copied().unwrap_or_default();
        Err(format!("git {what} failed: {}", said.trim()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(words: &[&str]) -> Args {
        Line::try_parse_from([&["pull"], words].concat()).unwrap().args
    }

    fn git(directory: &Path, words: &[&str]) {
        let name = ["-c", "user.name=n", "-c", "user.email=n@example.com", "-c", "commit.gpgsign=false"];
        assert!(Command::new("git").args(name).args(words).current_dir(directory).status().unwrap().success());
    }

    #[test]
    fn a_checkout_follows_its_repository() {
        let root = tempfile::tempdir().unwrap();
        let (repository, directory) = (root.path().join("repository"), root.path().join("checkout"));
        std::fs::create_dir(&repository).unwrap();
        let change = |text: &str| {
            std::fs::write(repository.join("local.yml"), text).unwrap();
            git(&repository, &["add", "."]);
            git(&repository, &["commit", "-q", "-m", text]);
        };
        git(&repository, &["init", "-q"]);
        change("one");
        let url = repository.to_str().unwrap();
        let update = |words: &[&str]| (Checkout { args: &args(words), url, directory: &directory }).update();
        assert_eq!(update(&[]), Ok(true));
        assert_eq!(update(&[]), Ok(false));
        change("two");
        assert_eq!(update(&["--full"]), Ok(true));
        let file = directory.join("local.yml");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "two");
        std::fs::write(&file, "mine").unwrap();
        assert!(update(&[]).unwrap_err().contains("Local modifications"));
        assert_eq!(update(&["--clean"]), Ok(false));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "two");
        assert!(update(&["-C", "nowhere"]).is_err());
        // What is no checkout stays as it is.
        let other = root.path().join("repository/.git/info");
        assert!((Checkout { args: &args(&[]), url, directory: &other }).update().unwrap_err().contains("not empty"));
    }

    #[test]
    fn the_run_gets_what_is_its_own() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("hosts"), "").unwrap();
        let given = args(&["-i", "hosts", "-i", "nowhere", "-i", "a,", "-e", "x=y z", "-t", "t", "--check", "-vv"]);
        let words = arguments(&given, root.path());
        let wanted = ["-c", "local", "-v", "-v", "-i", "hosts", "-i", "a,", "-e", "x=y z", "-t", "t", "-l"];
        assert_eq!(words[..wanted.len()], wanted.map(OsString::from));
        assert!(words[wanted.len()].to_string_lossy().starts_with("localhost,"));
        assert_eq!(words[wanted.len() + 1..], [OsString::from("-C")]);
        assert!(playbooks(&given, root.path()).is_err());
        std::fs::write(root.path().join("local.yml"), "").unwrap();
        assert_eq!(playbooks(&given, root.path()).ok().unwrap(), [root.path().join("local.yml")]);
        assert!(playbooks(&args(&["local.yml", "none.yml"]), root.path()).is_err());
    }
}
