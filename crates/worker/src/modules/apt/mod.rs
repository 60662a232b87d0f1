//! `ansible.builtin.apt`.

mod available;
mod deb;
mod get;
mod policy_rc_d;
mod spec;
mod status;
#[cfg(test)]
mod tests;
mod version;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::args::yes;
use crate::host::{Command, Host};
use crate::module::{Failure, Module, Outcome};
use spec::Spec;
use status::Status;

/// Manages packages with apt.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Apt {
    /// Packages: `foo`, `foo=1.2*`, `foo>=1.2`, `foo*`.
    #[serde(default, alias = "package", alias = "pkg")]
    name: Vec<String>,
    /// What should be so.
    #[serde(default)]
    state: State,
    /// Whether the package lists are updated first.
    #[serde(default, alias = "update-cache")]
    update_cache: Option<bool>,
    /// Seconds for which package lists are new enough; implies `update_cache`.
    #[serde(default)]
    cache_valid_time: Option<i64>,
    /// How often an update is tried.
    #[serde(default = "five")]
    update_cache_retries: u32,
    /// The longest pause between tries, in seconds.
    #[serde(default = "twelve")]
    update_cache_retry_max_delay: u64,
    /// Whether configuration files go too.
    #[serde(default)]
    purge: bool,
    /// The release to take packages from.
    #[serde(default, alias = "default-release")]
    default_release: Option<String>,
    /// Whether recommended packages are installed; as apt is configured by default.
    #[serde(default, alias = "install-recommends")]
    install_recommends: Option<bool>,
    /// Installs what is not authenticated, downgrades, and changes what is held.
    #[serde(default)]
    force: bool,
    /// Whether packages may lack a signature.
    #[serde(default, alias = "allow-unauthenticated")]
    allow_unauthenticated: bool,
    /// Whether a version lower than the installed one may be installed.
    #[serde(default, alias = "allow-downgrade", alias = "allow_downgrades", alias = "allow-downgrades")]
    allow_downgrade: bool,
    /// Whether held packages may change.
    #[serde(default)]
    allow_change_held_packages: bool,
    /// Upgrades everything: `yes`, `safe`, `full`, `dist`.
    #[serde(default)]
    upgrade: Upgrade,
    /// Options for dpkg, between commas.
    #[serde(default = "keep_configuration")]
    dpkg_options: String,
    /// A package file or URL.
    #[serde(default)]
    deb: Option<String>,
    /// Whether packages that nothing needs any more are removed.
    #[serde(default)]
    autoremove: bool,
    /// Whether fetched packages that are out of date are removed.
    #[serde(default)]
    autoclean: bool,
    /// Whether all fetched packages are removed.
    #[serde(default)]
    clean: bool,
    /// What `policy-rc.d` answers meanwhile; 101 keeps services from starting.
    #[serde(default)]
    policy_rc_d: Option<i32>,
    /// Whether only what is installed is upgraded.
    #[serde(default)]
    only_upgrade: bool,
    /// Whether removing a package to install another is an error.
    #[serde(default)]
    fail_on_autoremove: bool,
    /// Seconds to wait for another program that holds dpkg's lock.
    #[serde(default = "sixty")]
    lock_timeout: u64,
    /// Has no meaning here: apt-get is always used.
    #[serde(default)]
    #[allow(dead_code)]
    force_apt_get: bool,
    /// Has no meaning here: nothing needs to be installed for this module.
    #[serde(default = "yes")]
    #[allow(dead_code)]
    auto_install_module_deps: bool,
}

fn five() -> u32 {
    5
}

fn twelve() -> u64 {
    12
}

fn sixty() -> u64 {
    60
}

fn keep_configuration() -> String {
    "force-confdef,force-confold".to_owned()
}

/// What should be so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum State {
    Absent,
    BuildDep,
    Latest,
    #[default]
    #[serde(alias = "installed")]
    Present,
    Fixed,
}

/// How everything is upgraded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Upgrade {
    Dist,
    Full,
    #[default]
    No,
    Safe,
    Yes,
}

impl Module for Apt {
    const NAME: &'static str = "ansible.builtin.apt";

    fn check(&self) -> Result<(), String> {
        let given = [self.deb.is_some(), !self.names().is_empty(), self.upgrade != Upgrade::No];
        if given.iter().filter(|g| **g).count() > 1 {
            return Err("parameters are mutually exclusive: deb|package|upgrade".to_owned());
        }
        if self.default_release.as_deref().is_some_and(|r| r.starts_with('-') || r.contains(char::is_whitespace)) {
            return Err("default_release must be the name of a release".to_owned());
        }
        self.names().iter().filter(|n| **n != "*").try_for_each(|name| Spec::parse(name).map(drop))
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let names = self.names();
        let nothing_named = names.is_empty() && self.upgrade == Upgrade::No && self.deb.is_none();
        if self.clean {
            let output = self.clean(host)?;
            if nothing_named {
                return Ok(output);
            }
        }
        let lists = self.update(host)?;
        if nothing_named && !self.autoremove && !self.autoclean {
            return Ok(lists.told(Outcome::new(lists.updated)));
        }
        let outcome = match (self.upgrade, &self.deb) {
            (upgrade, _) if upgrade != Upgrade::No => return self.upgrade_all(host, upgrade),
            (_, Some(deb)) => return self.install_file(host, deb),
            _ if names.is_empty() && self.autoclean => return self.cleanup(host, "autoclean"),
            _ if names.is_empty() => return self.cleanup(host, "autoremove"),
            _ if names.contains(&"*") => return self.all_installed(host, &names),
            _ if self.state == State::Absent => return self.remove(host, &names),
            _ => self.install(host, &names),
        };
        match outcome {
            Ok(outcome) => Ok(lists.told(outcome)),
            // A name that nobody knows is told of without the lists' time.
            Err(failure) if failure.msg.starts_with(spec::UNKNOWN) => Err(failure),
            Err(failure) => Err(failure.with("cache_updated", lists.updated).with("cache_update_time", lists.time)),
        }
    }
}

/// The package lists: whether they were brought up to date, and when they last were.
#[derive(Debug, Clone, Copy)]
struct Lists {
    updated: bool,
    time: i64,
}

impl Lists {
    fn told(self, outcome: Outcome) -> Outcome {
        outcome.with("cache_updated", self.updated).with("cache_update_time", self.time)
    }
}

/// When the package lists were last brought up to date, in seconds since 1970.
fn lists_time(host: &Host) -> Result<i64, Failure> {
    for path in ["/var/lib/apt/periodic/update-success-stamp", "/var/lib/apt/lists"] {
        if let Some(meta) = host.stat(Path::new(path))? {
            return Ok(meta.mtime());
        }
    }
    Ok(0)
}

impl Apt {
    fn names(&self) -> Vec<&str> {
        self.name.iter().map(|n| n.trim()).filter(|n| !n.is_empty()).collect()
    }

    fn update(&self, host: &Host) -> Result<Lists, Failure> {
        let before = lists_time(host)?;
        let wanted = self.update_cache.unwrap_or(self.cache_valid_time.is_some_and(|seconds| seconds != 0));
        let valid = self.cache_valid_time.filter(|seconds| *seconds > 0);
        let fresh = valid.is_some_and(|s| before.saturating_add(s) >= jiff::Timestamp::now().as_second());
        if !wanted || fresh {
            return Ok(Lists { updated: false, time: before });
        }
        if host.check_mode() {
            return Ok(Lists { updated: true, time: before });
        }
        self.refresh(host)?;
        let time = lists_time(host)?;
        Ok(Lists { updated: time != before, time })
    }

    /// `apt-get install` with every option that an argument stands for, up to the word `install`.
    fn install_command(&self, host: &Host) -> Result<Command, Failure> {
        let mut command = self.apt_get(host)?;
        let flags = [
            (self.only_upgrade, "--only-upgrade"),
            (self.fail_on_autoremove, "--no-remove"),
            (self.state == State::Fixed, "--fix-broken"),
            (self.autoremove && self.state != State::BuildDep, "--auto-remove"),
            (self.allow_unauthenticated || self.force, "--allow-unauthenticated"),
            (self.allow_downgrade || self.force, "--allow-downgrades"),
            (self.allow_change_held_packages || self.force, "--allow-change-held-packages"),
            (self.force, "--allow-remove-essential"),
        ];
        command = command.args(flags.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag));
        if let Some(release) = &self.default_release {
            command = command.args(["-t", release]);
        }
        if let Some(recommends) = self.install_recommends {
            let value = if recommends { "yes" } else { "no" };
            command = command.args(["-o".to_owned(), format!("APT::Install-Recommends={value}")]);
        }
        Ok(command)
    }

    fn install(&self, host: &Host, names: &[&str]) -> Result<Outcome, Failure> {
        let status = Status::read(host)?;
        let specs = names.iter().map(|n| Spec::parse(n).map_err(Failure::new)).collect::<Result<Vec<_>, _>>()?;
        let choice = spec::Choice {
            latest: self.state == State::Latest,
            only_upgrade: self.only_upgrade,
            release: self.default_release.as_deref(),
            always: self.state == State::BuildDep,
        };
        let specs = if choice.always { specs } else { spec::expanded(host, &status, specs)? };
        let words = spec::to_install(host, &status, &specs, &choice)?;
        if words.is_empty() && self.state != State::Fixed {
            self.mark_manual(host, &specs, &words)?;
            return Ok(Outcome::unchanged());
        }
        let verb = if choice.always { "build-dep" } else { "install" };
        let output = self.run_apt_get(host, self.install_command(host)?.arg(verb).args(&words))?;
        let all_there = choice.always || words.is_empty();
        let mut outcome = Outcome::new(!all_there || get::did_something(&output.stdout_text()));
        get::told(&mut outcome, &output);
        self.mark_manual(host, &specs, &words)?;
        Ok(outcome)
    }

    /// Names what the task names, and was there already as a mere dependency, as wanted for itself.
    fn mark_manual(&self, host: &Host, specs: &[Spec], installed: &[String]) -> Result<(), Failure> {
        let marks = host.text("/var/lib/apt/extended_states").unwrap_or_default();
        let automatic = |name: &str| {
            marks.split("\n\n").any(|paragraph| {
                let line = |text: &str| paragraph.lines().any(|l| l == text);
                line(&format!("Package: {name}")) && line("Auto-Installed: 1")
            })
        };
        let chosen: Vec<&str> = specs
            .iter()
            .map(|spec| spec.name.as_str())
            .filter(|name| !installed.iter().any(|word| word.split('=').next() == Some(name)))
            .filter(|name| automatic(name.split(':').next().unwrap_or(name)))
            .collect();
        if chosen.is_empty() || self.state == State::BuildDep || host.find_program("apt-mark").is_none() {
            return Ok(());
        }
        host.run_ok(&Command::new("apt-mark").args(["manual", "--"]).args(chosen))?;
        Ok(())
    }

    fn remove(&self, host: &Host, names: &[&str]) -> Result<Outcome, Failure> {
        let status = Status::read(host)?;
        let specs = names.iter().map(|n| Spec::parse(n).map_err(Failure::new)).collect::<Result<Vec<_>, _>>()?;
        let specs = spec::expanded(host, &status, specs)?;
        let there = |name: &str| status.find(name).is_some_and(|known| known.installed || self.purge);
        let words: Vec<&str> = specs.iter().map(|s| s.name.as_str()).filter(|name| there(name)).collect();
        if words.is_empty() {
            return Ok(Outcome::unchanged());
        }
        let mut command = self.apt_get(host)?.arg("-q");
        let flags = [
            (self.purge, "--purge"),
            (self.autoremove, "--auto-remove"),
            (self.force, "--allow-remove-essential"),
            (self.allow_change_held_packages || self.force, "--allow-change-held-packages"),
        ];
        command = command.args(flags.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag));
        let output = self.run_apt_get(host, command.arg("remove").args(words))?;
        let mut outcome = Outcome::new(true);
        get::told(&mut outcome, &output);
        Ok(outcome)
    }

    /// `name: '*'`: everything that is installed.
    fn all_installed(&self, host: &Host, names: &[&str]) -> Result<Outcome, Failure> {
        if names.len() > 1 {
            return Err(Failure::new("unable to install additional packages when upgrading all installed packages"));
        }
        if self.state != State::Latest {
            return Err(Failure::new("name: '*' means all installed packages and works with state: latest only"));
        }
        self.upgrade_all(host, Upgrade::Yes)
    }

    fn upgrade_all(&self, host: &Host, upgrade: Upgrade) -> Result<Outcome, Failure> {
        let words: &[&str] = match upgrade {
            Upgrade::Dist | Upgrade::Full => &["dist-upgrade"],
            _ => &["upgrade", "--with-new-pkgs"],
        };
        let output = self.run_apt_get(host, self.install_command(host)?.args(words))?;
        let mut outcome = Outcome::new(get::did_something(&output.stdout_text()));
        outcome.set("msg", output.stdout_text());
        get::told(&mut outcome, &output);
        if !outcome.changed {
            outcome.diffs.clear();
        }
        Ok(outcome)
    }

    fn cleanup(&self, host: &Host, verb: &str) -> Result<Outcome, Failure> {
        let mut command = self.apt_get(host)?.arg("-q");
        if self.purge {
            command = command.arg("--purge");
        }
        let output = self.run_apt_get(host, command.arg(verb))?;
        let stdout = output.stdout_text();
        let sign = if verb == "autoclean" { "Del " } else { "The following packages will be REMOVED" };
        let mut outcome = Outcome::new(stdout.lines().any(|line| line.starts_with(sign)));
        get::told(&mut outcome, &output);
        Ok(outcome)
    }

    fn clean(&self, host: &Host) -> Result<Outcome, Failure> {
        let output = host.run_ok(&self.apt_get(host)?.arg("clean"))?.unwrap_or_default();
        let mut outcome = Outcome::new(true).with("msg", output.stdout_text());
        get::told(&mut outcome, &output);
        Ok(outcome)
    }
}
