//! `ansible.builtin.git`, by the host's git.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::files::text;
use crate::args::{Octal, PathArg, yes};
use crate::host::{Command, Diff, Host, Output};
use crate::module::{Failure, Module, Outcome};

/// Checks a repository out, and keeps it at a version.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Git {
    /// Where the repository is.
    #[serde(alias = "name")]
    repo: String,
    /// The directory to check out into.
    #[serde(default)]
    dest: Option<PathArg>,
    /// A branch, a tag, a commit, or `HEAD`.
    #[serde(default = "head")]
    version: String,
    /// What the remote is called.
    #[serde(default = "origin")]
    remote: String,
    /// Whether a repository that is not there is cloned.
    #[serde(default = "yes")]
    clone: bool,
    /// Whether new revisions are fetched.
    #[serde(default = "yes")]
    update: bool,
    /// Whether local modifications are thrown away.
    #[serde(default)]
    force: bool,
    /// Whether the repository has no working tree.
    #[serde(default)]
    bare: bool,
    /// How many revisions of history are fetched.
    #[serde(default)]
    depth: Option<u32>,
    /// Whether only the history of the version is cloned.
    #[serde(default)]
    single_branch: bool,
    /// A repository on the host whose objects are shared.
    #[serde(default)]
    reference: Option<String>,
    /// What is fetched besides.
    #[serde(default)]
    refspec: Option<String>,
    /// Whether submodules are checked out too.
    #[serde(default = "yes")]
    recursive: bool,
    /// Whether submodules are at the newest revision of their branch.
    #[serde(default)]
    track_submodules: bool,
    /// The git to use.
    #[serde(default)]
    executable: Option<PathArg>,
    /// A private key on the host.
    #[serde(default)]
    key_file: Option<PathArg>,
    /// Words for ssh.
    #[serde(default)]
    ssh_opts: Option<String>,
    /// Whether any host key is accepted.
    #[serde(default)]
    accept_hostkey: bool,
    /// Whether the host key of a new host is accepted.
    #[serde(default)]
    accept_newhostkey: bool,
    /// The umask to work with.
    #[serde(default)]
    umask: Option<Octal>,
    /// Refused: an archive to make.
    #[serde(default)]
    archive: Option<String>,
    /// Refused: what the names in the archive begin with.
    #[serde(default)]
    archive_prefix: Option<String>,
    /// Refused: where the repository is apart from its working tree.
    #[serde(default)]
    separate_git_dir: Option<String>,
    /// Refused: whether the commit's signature is verified.
    #[serde(default)]
    verify_commit: bool,
    /// Refused: who may sign.
    #[serde(default, alias = "gpg_whitelist")]
    gpg_allowlist: Vec<String>,
}

fn head() -> String {
    "HEAD".to_owned()
}

fn origin() -> String {
    "origin".to_owned()
}

/// What a version is, as the remote knows it, and its commit.
enum Version {
    Head(Option<String>),
    Branch(String),
    Tag(String),
    /// A commit, or something that the remote does not name.
    Other,
}

/// A place where git works.
struct Work<'a> {
    args: &'a Git,
    host: &'a Host,
    program: PathBuf,
    url: String,
    dest: PathBuf,
    ssh: String,
}

impl Module for Git {
    const NAME: &'static str = "ansible.builtin.git";

    fn check(&self) -> Result<(), String> {
        let refused = [
            ("archive", self.archive.is_some()),
            ("archive_prefix", self.archive_prefix.is_some()),
            ("separate_git_dir", self.separate_git_dir.is_some()),
            ("verify_commit", self.verify_commit),
            ("gpg_allowlist", !self.gpg_allowlist.is_empty()),
        ];
        if let Some((name, _)) = refused.iter().find(|(_, given)| *given) {
            return Err(format!("{name} is not supported"));
        }
        if self.dest.is_none() && self.clone {
            return Err("the destination directory must be specified unless clone=no".into());
        }
        if self.accept_hostkey && self.accept_newhostkey {
            return Err("parameters are mutually exclusive: accept_hostkey|accept_newhostkey".into());
        }
        let words = [&self.repo, &self.version, &self.remote]
            .into_iter()
            .chain(self.refspec.iter().filter(|refspec| !refspec.is_empty()));
        match words.into_iter().find(|word| word.is_empty() || word.starts_with('-') || word.contains('\0')) {
            Some(word) => Err(format!("'{word}' is not a repository, version, remote or refspec")),
            None => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let work = Work::new(&self, host)?;
        let git_dir = if self.bare { work.dest.clone() } else { work.dest.join(".git") };
        let there = self.dest.is_some() && host.exists(&git_dir.join(if self.bare { "config" } else { "" }))?;
        if !there {
            return work.clone();
        }
        if !self.update {
            let before = work.commit()?;
            return Ok(Outcome::unchanged().with("before", before.as_str()).with("after", before.as_str()));
        }
        work.renew()
    }
}

impl<'a> Work<'a> {
    fn new(args: &'a Git, host: &'a Host) -> Result<Self, Failure> {
        let program = match &args.executable {
            Some(path) => host.require_program(&text(&host.path(path)?))?,
            None => host.require_program("git")?,
        };
        let url = if args.repo.starts_with('/') { format!("file://{}", args.repo) } else { args.repo.clone() };
        let dest = args.dest.as_ref().map(|dest| host.path(dest)).transpose()?.unwrap_or_default();
        let mut ssh = "ssh -o BatchMode=yes".to_owned();
        if args.accept_hostkey {
            ssh.push_str(" -o StrictHostKeyChecking=no");
        } else if args.accept_newhostkey {
            ssh.push_str(" -o StrictHostKeyChecking=accept-new");
        }
        if let Some(key) = &args.key_file {
            let key = text(&host.path(key)?);
            ssh.push_str(&format!(" -o IdentitiesOnly=yes -i {}", shell_words::quote(&key)));
        }
        if let Some(options) = args.ssh_opts.as_deref().filter(|options| !options.is_empty()) {
            ssh.push(' ');
            ssh.push_str(options);
        }
        Ok(Self { args, host, program, url, dest, ssh })
    }

    fn git<'w>(&self, words: impl IntoIterator<Item = &'w str>) -> Command {
        let mut command = Command::new(&self.program).args(words).c_locale().env("GIT_TERMINAL_PROMPT", "0");
        // What the user gave to ssh by the environment stands unless the task says something.
        let own = self.host.env("GIT_SSH_COMMAND").or_else(|| self.host.env("GIT_SSH"));
        if own.is_none() || self.ssh != "ssh -o BatchMode=yes" {
            command = command.env("GIT_SSH_COMMAND", &self.ssh);
        }
        match self.args.umask {
            Some(umask) => command.umask(umask.0),
            None => command,
        }
    }

    /// git in the repository.
    fn here<'w>(&self, words: impl IntoIterator<Item = &'w str>) -> Command {
        self.git(words).directory(&self.dest)
    }

    fn ask(&self, command: &Command) -> Result<String, Failure> {
        let output = self.host.query(command)?;
        if output.rc == 0 { Ok(output.stdout_text()) } else { Err(failed(command, &output, None)) }
    }

    fn change(&self, command: &Command, msg: Option<String>) -> Result<(), Failure> {
        match self.host.run(command)?.filter(|output| output.rc != 0) {
            Some(output) => Err(failed(command, &output, msg)),
            None => Ok(()),
        }
    }

    fn commit(&self) -> Result<String, Failure> {
        let output = self.host.query(&self.here(["rev-parse", "HEAD"]))?;
        // A repository without commits has none.
        Ok(if output.rc == 0 { output.stdout_text().trim().to_owned() } else { String::new() })
    }

    /// What the remote says that the version is.
    fn version(&self) -> Result<Version, Failure> {
        let version = self.args.version.as_str();
        let (branch, tag) = (format!("refs/heads/{version}"), format!("refs/tags/{version}"));
        let peeled = format!("{tag}^{{}}");
        let listed = self.ask(&self.git(["ls-remote", "--", self.url.as_str(), "HEAD", &branch, &tag, &peeled]))?;
        let commit = |name: &str| {
            let lines = listed.lines().filter_map(|line| line.split_once('\t'));
            lines.filter(|(_, known)| *known == name).map(|(commit, _)| commit.to_owned()).next()
        };
        if version == "HEAD" {
            return Ok(Version::Head(commit("HEAD")));
        }
        Ok(match (commit(&branch), commit(&peeled).or_else(|| commit(&tag))) {
            (Some(commit), _) => Version::Branch(commit),
            (None, Some(commit)) => Version::Tag(commit),
            (None, None) => Version::Other,
        })
    }

    /// The commit that a version is, as far as it is known without fetching.
    fn expected(&self, version: &Version) -> String {
        match version {
            Version::Head(commit) => commit.clone().unwrap_or_default(),
            Version::Branch(commit) | Version::Tag(commit) => commit.clone(),
            Version::Other => self.args.version.clone(),
        }
    }

    fn clone(&self) -> Result<Outcome, Failure> {
        let outcome = Outcome::new(true).with("before", json!(null));
        if self.host.check_mode() || !self.args.clone {
            return Ok(outcome.with("after", self.expected(&self.version()?)));
        }
        // What leads there stays, also where the repository cannot be reached.
        let mode = self.args.umask.map(|umask| 0o777 & !umask.0);
        let mut missing = Vec::new();
        for directory in self.dest.ancestors().skip(1) {
            if self.host.exists(directory)? {
                break;
            }
            missing.push(directory);
        }
        missing.into_iter().rev().try_for_each(|directory| self.host.make_directory(directory, mode))?;
        let version = self.version()?;
        let depth = self.args.depth.filter(|depth| *depth > 0).map(|depth| depth.to_string());
        let mut words = vec!["clone", "--origin", self.args.remote.as_str()];
        if self.args.bare {
            words.push("--bare");
        }
        if let Some(depth) = depth.as_deref().filter(|_| !matches!(version, Version::Other)) {
            words.extend(["--depth", depth]);
        }
        if self.args.single_branch {
            words.push("--single-branch");
        }
        let narrow = depth.is_some() || self.args.single_branch;
        if narrow && matches!(version, Version::Branch(_) | Version::Tag(_)) {
            words.extend(["--branch", self.args.version.as_str()]);
        }
        if let Some(reference) = self.args.reference.as_deref() {
            words.extend(["--reference", reference]);
        }
        self.change(&self.git(words).arg("--").arg(&self.url).arg(&self.dest), None)?;
        if !self.args.bare {
            if matches!(version, Version::Other)
                || self.args.refspec.as_ref().is_some_and(|refspec| !refspec.is_empty())
            {
                self.fetch(&version)?;
            }
            self.switch(&version)?;
            self.submodules()?;
        }
        Ok(outcome.with("after", self.commit()?))
    }

    fn renew(&self) -> Result<Outcome, Failure> {
        let before = self.commit()?;
        let told = |failure: Failure| failure.with("before", before.as_str());
        let modified = !self.args.bare && {
            let status = self.ask(&self.here(["status", "--porcelain"]))?;
            status.lines().any(|line| !line.starts_with("??"))
        };
        let place = self.dest.display();
        if modified && !self.args.force {
            let msg = format!("Local modifications exist in the destination: {place} (force=no).");
            return Err(told(Failure::new(msg)));
        }
        let moved = self.set_url()?;
        let version = self.version()?;
        let expected = self.expected(&version);
        let mut outcome = Outcome::unchanged().with("before", before.as_str()).with("remote_url_changed", moved);
        if modified {
            outcome.set("msg", format!("Local modifications exist in the destination: {place}"));
            self.change(&self.here(["reset", "--hard", "HEAD", "--"]), None)?;
        }
        let same = before == expected;
        if self.host.check_mode() {
            outcome.changed = modified || moved || !same;
            return Ok(outcome.with("after", expected));
        }
        if !same || moved {
            self.fetch(&version)?;
            if !self.args.bare {
                self.switch(&version)?;
            }
        }
        let submodules = self.submodules()?;
        let after = self.commit()?;
        if self.host.diff_mode() && after != before && !before.is_empty() {
            let diff = self.ask(&self.here(["diff", &format!("{before}..{after}")]))?;
            outcome.diffs.push(Diff::prepared(diff));
        }
        outcome.changed = modified || moved || submodules || before != after;
        Ok(outcome.with("after", after))
    }

    /// Points the remote to the repository; whether it pointed elsewhere.
    fn set_url(&self) -> Result<bool, Failure> {
        let remote = self.args.remote.as_str();
        let known = self.host.query(&self.here(["config", "--get", &format!("remote.{remote}.url")]))?;
        let known = if known.rc == 0 { known.stdout_text().trim().to_owned() } else { String::new() };
        if known == self.url {
            return Ok(false);
        }
        let words = if known.is_empty() {
            ["remote", "add", remote, &self.url]
        } else {
            ["remote", "set-url", remote, &self.url]
        };
        self.change(&self.here(words), None)?;
        Ok(true)
    }

    fn fetch(&self, version: &Version) -> Result<(), Failure> {
        let (remote, name) = (self.args.remote.as_str(), self.args.version.as_str());
        let failed = || Some("Failed to download remote objects and refs".to_owned());
        let branch = format!("+refs/heads/{name}:refs/remotes/{remote}/{name}");
        let tag = format!("+refs/tags/{name}:refs/tags/{name}");
        let depth = self.args.depth.filter(|depth| *depth > 0).map(|depth| depth.to_string());
        let mut words = vec!["fetch", "--force"];
        match (depth.as_deref(), version) {
            _ if self.args.bare => words.extend([remote, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]),
            (Some(depth), Version::Branch(_)) => words.extend(["--depth", depth, remote, &branch]),
            (Some(depth), Version::Tag(_)) => words.extend(["--depth", depth, remote, &tag]),
            (Some(depth), Version::Head(_)) => words.extend(["--depth", depth, remote]),
            // A clone of one branch does not know of others.
            (_, Version::Branch(_)) if self.args.single_branch => words.extend(["--tags", remote, &branch]),
            _ => words.extend(["--tags", remote]),
        }
        self.change(&self.here(words), failed())?;
        match self.args.refspec.as_deref().filter(|refspec| !refspec.is_empty()) {
            Some(refspec) => self.change(&self.here(["fetch", "--force", remote, refspec]), failed()),
            None => Ok(()),
        }
    }

    /// Checks the version out.
    fn switch(&self, version: &Version) -> Result<(), Failure> {
        let (remote, mut name) = (self.args.remote.as_str(), self.args.version.clone());
        if matches!(version, Version::Head(None)) {
            // The remote has no commits yet.
            return Ok(());
        }
        if matches!(version, Version::Head(_)) {
            self.change(&self.here(["remote", "set-head", remote, "--auto"]), None)?;
            let head = self.ask(&self.here(["symbolic-ref", "--short", &format!("refs/remotes/{remote}/HEAD")]))?;
            name = head.trim().strip_prefix(&format!("{remote}/")).unwrap_or(head.trim()).to_owned();
        }
        let failed = Some(format!("Failed to checkout {name}"));
        if !matches!(version, Version::Head(_) | Version::Branch(_)) {
            return self.change(&self.here(["checkout", "--force", &name, "--"]), failed);
        }
        let there = format!("{remote}/{name}");
        let local = self.here(["show-ref", "--verify", "--quiet", &format!("refs/heads/{name}")]);
        if self.host.query(&local)?.rc == 0 {
            self.change(&self.here(["checkout", "--force", &name, "--"]), failed)?;
        } else {
            // The remote of a narrow clone is set up for its first branch alone; git tracks no other.
            let narrow = self.args.depth.is_some() || self.args.single_branch;
            let track = if narrow { "--no-track" } else { "--track" };
            self.change(&self.here(["checkout", "--force", track, "-b", &name, &there]), failed)?;
        }
        self.change(&self.here(["reset", "--hard", &there, "--"]), Some(format!("Failed to checkout branch {name}")))
    }

    /// Brings submodules to where they should be; whether one was elsewhere.
    fn submodules(&self) -> Result<bool, Failure> {
        if self.args.bare || !self.args.recursive || !self.host.exists(&self.dest.join(Path::new(".gitmodules")))? {
            return Ok(false);
        }
        let status = || self.ask(&self.here(["submodule", "status", "--recursive"]));
        let before = status()?;
        self.change(&self.here(["submodule", "sync", "--recursive"]), None)?;
        let mut words = vec!["submodule", "update", "--init", "--recursive"];
        words.extend(self.args.track_submodules.then_some("--remote"));
        words.extend(self.args.force.then_some("--force"));
        self.change(&self.here(words), Some("Failed to init/update submodules".to_owned()))?;
        Ok(before != status()?)
    }
}

fn failed(command: &Command, output: &Output, msg: Option<String>) -> Failure {
    Failure::new(msg.unwrap_or_else(|| output.complaint()))
        .with("cmd", command.words().join(" "))
        .with("rc", output.rc)
        .with("stdout", output.stdout_text())
        .with("stderr", output.stderr_text())
}

#[cfg(test)]
#[path = "git_tests.rs"]
mod tests;
