//! `community.general.gem`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::args::{PackageState as State, PathArg, yes};
use crate::host::{Command, Host};
use crate::module::{Failure, Module, Outcome};

/// Manages gems of Ruby.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Gem {
    /// The gem.
    name: String,
    /// What should be there.
    #[serde(default)]
    state: State,
    /// A gem's file that is installed.
    #[serde(default)]
    gem_source: Option<PathArg>,
    /// Whether what the gem needs is installed too.
    #[serde(default = "yes")]
    include_dependencies: bool,
    /// The repository it comes from.
    #[serde(default, alias = "source")]
    repository: Option<String>,
    /// Whether it is installed for the user instead of everybody.
    #[serde(default = "yes")]
    user_install: bool,
    /// The program, which may have arguments.
    #[serde(default)]
    executable: Option<PathArg>,
    /// The directory it is installed in.
    #[serde(default)]
    install_dir: Option<PathArg>,
    /// The directory of its programs.
    #[serde(default)]
    bindir: Option<PathArg>,
    /// Whether a `.gemrc` is left alone, which RubyGems older than 2.5.2 cannot.
    #[serde(default = "yes")]
    norc: bool,
    /// Whether the programs find Ruby by `env`.
    #[serde(default)]
    env_shebang: bool,
    /// The version.
    #[serde(default)]
    version: Option<String>,
    /// Whether versions before a release will do.
    #[serde(default)]
    pre_release: bool,
    /// Whether the documentation is installed too.
    #[serde(default)]
    include_doc: bool,
    /// What the compilation is given.
    #[serde(default)]
    build_flags: Option<String>,
    /// Whether dependencies do not stand in the way.
    #[serde(default)]
    force: bool,
}

impl Module for Gem {
    const NAME: &'static str = "community.general.gem";

    fn check(&self) -> Result<(), String> {
        let said = |text: &str| Err(text.to_owned());
        let letters = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if self.name.is_empty() || self.name.starts_with('-') || !self.name.chars().all(letters) {
            return Err(format!("'{}' is not the name of a gem", self.name));
        }
        if self.version.is_some() && self.state == State::Latest {
            return said("Cannot specify version when state=latest");
        }
        if self.gem_source.is_some() && self.state == State::Latest {
            return said("Cannot maintain state=latest when installing from local source");
        }
        if self.user_install && self.install_dir.is_some() {
            return said("install_dir requires user_install=false");
        }
        Ok(())
    }

    fn run(mut self, host: &Host) -> Result<Outcome, Failure> {
        let base = self.base(host)?;
        let norc = self.norc && newer(&host.query_ok(&base.clone().arg("--version"))?.stdout_text());
        if self.state == State::Latest {
            let mut list = listing(&base, norc).arg("--remote").arg(self.pattern());
            if let Some(repository) = &self.repository {
                list = list.arg("--source").arg(repository);
            }
            let versions = self.versions(&host.query_ok(&list)?.stdout_text());
            self.version = versions.into_iter().next();
        }
        let there = self.there(host, &base, norc)?;
        let state = match self.state {
            State::Present => "present",
            State::Absent => "absent",
            State::Latest => "latest",
        };
        let changed = there == (self.state == State::Absent);
        if changed && there {
            must(host, &self.uninstall(host, &base, norc)?)?;
            if !host.check_mode() && self.there(host, &base, norc)? {
                return Err(Failure::new(format!("Failed to uninstall gem {}: it is still there", self.name)));
            }
        } else if changed {
            must(host, &self.install(host, &base, norc)?)?;
        }
        let mut outcome = Outcome::new(changed).with("name", self.name).with("state", state);
        if let Some(version) = self.version {
            outcome.set("version", version);
        }
        Ok(outcome)
    }
}

/// Runs a command that changes something, and that must succeed.
fn must(host: &Host, command: &Command) -> Result<(), Failure> {
    match host.run(command)? {
        Some(said) if said.rc != 0 => {
            let failure = Failure::new(said.complaint()).with("rc", said.rc).with("cmd", command.words().join(" "));
            Err(failure.with("stdout", said.stdout_text()).with("stderr", said.stderr_text()))
        }
        _ => Ok(()),
    }
}

/// Whether this version of RubyGems can leave a `.gemrc` alone.
fn newer(version: &str) -> bool {
    let mut parts = version.trim().split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version: [u32; 3] = std::array::from_fn(|_| parts.next().unwrap_or(0));
    version >= [2, 5, 2]
}

/// The command that lists gems.
fn listing(base: &Command, norc: bool) -> Command {
    let list = base.clone().arg("list");
    if norc { list.arg("--norc") } else { list }
}

impl Gem {
    fn base(&self, host: &Host) -> Result<Command, Failure> {
        let base = host.command_of(self.executable.as_ref(), "gem")?;
        // Gems of a directory of their own are looked for there alone.
        match &self.install_dir {
            Some(directory) => {
                let directory = host.path(directory)?;
                Ok(base.env("GEM_HOME", &directory).env("GEM_PATH", directory))
            }
            None => Ok(base),
        }
    }

    /// What the gem's name matches alone.
    fn pattern(&self) -> String {
        format!("^{}$", self.name.replace('.', "\\."))
    }

    /// The versions that a list tells: `name (1.5 ruby java, 1.4, default: 1.3)`.
    fn versions(&self, list: &str) -> Vec<String> {
        let of = |line: &str| {
            let (name, rest) = line.split_once(" (")?;
            (name == self.name).then(|| rest.trim_end().trim_end_matches(')').to_owned())
        };
        let version = |part: &str| part.trim().trim_start_matches("default: ").split(' ').next().map(ToOwned::to_owned);
        let found: Vec<String> = list.lines().filter_map(of).collect();
        found.iter().flat_map(|found| found.split(',')).filter_map(version).collect()
    }

    /// Whether the gem, or its version, is installed.
    fn there(&self, host: &Host, base: &Command, norc: bool) -> Result<bool, Failure> {
        let list = listing(base, norc).arg(self.pattern());
        let versions = self.versions(&host.query_ok(&list)?.stdout_text());
        Ok(match &self.version {
            Some(version) => versions.contains(version),
            None => !versions.is_empty(),
        })
    }

    /// Adds the directories that are told.
    fn directories(&self, host: &Host, mut command: Command) -> Result<Command, Failure> {
        for (flag, path) in [("--install-dir", &self.install_dir), ("--bindir", &self.bindir)] {
            if let Some(path) = path {
                command = command.arg(flag).arg(host.path(path)?);
            }
        }
        Ok(command)
    }

    fn uninstall(&self, host: &Host, base: &Command, norc: bool) -> Result<Command, Failure> {
        let command = base.clone().arg("uninstall");
        let command = if norc { command.arg("--norc") } else { command };
        let command = self.directories(host, command)?;
        let command = match &self.version {
            Some(version) => command.arg("--version").arg(version),
            None => command.arg("--all"),
        };
        let command = command.arg("--executable");
        let command = if self.force { command.arg("--force") } else { command };
        Ok(command.arg(&self.name))
    }

    fn install(&self, host: &Host, base: &Command, norc: bool) -> Result<Command, Failure> {
        let mut command = base.clone().arg("install");
        if norc {
            command = command.arg("--norc");
        }
        if let Some(version) = &self.version {
            command = command.arg("--version").arg(version);
        }
        if let Some(repository) = &self.repository {
            command = command.arg("--source").arg(repository);
        }
        if !self.include_dependencies {
            command = command.arg("--ignore-dependencies");
        }
        command = command.arg(if self.user_install { "--user-install" } else { "--no-user-install" });
        command = self.directories(host, command)?;
        for (flag, wanted) in [
            ("--pre", self.pre_release),
            ("--no-document", !self.include_doc),
            ("--env-shebang", self.env_shebang),
            ("--force", self.force),
        ] {
            if wanted {
                command = command.arg(flag);
            }
        }
        command = match &self.gem_source {
            Some(file) => command.arg(host.path(file)?),
            None => command.arg(&self.name),
        };
        Ok(match &self.build_flags {
            Some(flags) => command.arg("--").arg(flags),
            None => command,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::super::stage::Stage;
    use super::*;

    const GEM: &str = "case $* in --version) cat $R/version;; *bad*) echo no >&2; exit 2;; *remote*) echo 'r (3.0 ruby java, 1.0)';;\
        uninstall*) [ -e $R/stays ] || echo >$R/held;; list*) cat $R/held;; esac";

    fn stage() -> Stage {
        let stage = Stage::new(&[("/version", "3.3.15\n"), ("/held", "other (1)\nr (default: 1.0, 0.9 x86)\n")]);
        stage.program("gem", GEM);
        stage
    }

    #[test]
    fn gems_are_installed_once() {
        for (args, made) in [
            (json!({}), None),
            (json!({"version": "0.9"}), None),
            (json!({"version": "1.0"}), None),
            (json!({"name": "n"}), Some("install] [--norc] [--user-install] [--no-document] [n")),
            (json!({"version": "2"}), Some("install] [--norc] [--version] [2] [--user-install] [--no-document] [r")),
            (
                json!({"state": "latest"}),
                Some("install] [--norc] [--version] [3.0] [--user-install] [--no-document] [r"),
            ),
            (json!({"state": "absent"}), Some("uninstall] [--norc] [--all] [--executable] [r")),
            (
                json!({"state": "absent", "version": "1.0"}),
                Some("uninstall] [--norc] [--version] [1.0] [--executable] [r"),
            ),
            (json!({"state": "absent", "version": "7"}), None),
            (json!({"state": "absent", "name": "n"}), None),
            (
                json!({"name": "n", "user_install": false, "install_dir": "/i", "bindir": "/b", "build_flags": "--with x",
                    "env_shebang": true, "force": true, "include_dependencies": false, "include_doc": true, "norc": false,
                    "pre_release": true, "repository": "u", "gem_source": "/n.gem"}),
                Some(
                    "install] [--source] [u] [--ignore-dependencies] [--no-user-install] [--install-dir] [/i] [--bindir] [/b] \
                     [--pre] [--env-shebang] [--force] [/n.gem] [--] [--with x",
                ),
            ),
        ] {
            let mut all = json!({"name": "r"});
            all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
            let stage = stage();
            let changes = |calls: Vec<String>| -> Vec<String> {
                calls.into_iter().filter(|call| call.contains("install]")).collect()
            };
            assert_eq!(stage.check::<Gem>(all.clone()).unwrap().changed, made.is_some(), "{args}");
            assert!(changes(stage.calls()).is_empty());
            assert_eq!(stage.call::<Gem>(all).unwrap().changed, made.is_some());
            let wanted: Vec<String> = made.iter().map(|made| format!("gem [{made}]")).collect();
            assert_eq!(changes(stage.calls()), wanted, "{args}");
        }
    }

    #[test]
    fn results_tell_the_version() {
        let made = stage().call::<Gem>(json!({"name": "r", "state": "latest"})).unwrap();
        let told: Value = made.fields.into();
        assert_eq!(told, json!({"name": "r", "state": "latest", "version": "3.0"}));
        let stage = stage();
        stage.file("/version", "2.5.1");
        stage.call::<Gem>(json!({"name": "n"})).unwrap();
        assert!(stage.calls().iter().all(|call| !call.contains("norc")));
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (args, word) in [
            (json!({"name": "-x"}), "not the name"),
            (json!({"name": "x", "state": "latest", "version": "1"}), "Cannot specify version"),
            (json!({"name": "x", "state": "latest", "gem_source": "/x"}), "Cannot maintain state=latest"),
            (json!({"name": "x", "install_dir": "/x"}), "requires user_install=false"),
            (json!({"name": "x", "version": "bad"}), "no"),
            (json!({"name": "r", "state": "absent"}), "still there"),
        ] {
            let stage = stage();
            stage.file("/stays", "");
            assert!(stage.call::<Gem>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
