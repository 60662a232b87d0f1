//! `ansible.builtin.dnf` and `ansible.builtin.dnf5`, by the programs of these names.

mod plan;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::package;
use crate::args::yes;
use crate::host::{Command, Host, Output};
use crate::module::{Failure, Module, Outcome};
use plan::Plan;

/// Manages packages with dnf.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Dnf {
    /// Packages, with or without a version (`foo-1.0`, `foo >= 1.0`), groups (`@foo`), files, URLs, or `*` for all.
    #[serde(default, alias = "pkg")]
    name: Vec<String>,
    /// What should be so.
    #[serde(default)]
    state: Option<State>,
    /// The program: `dnf` (also `dnf4`, `yum4`), `dnf5`, or the one that is there.
    #[serde(default)]
    use_backend: Backend,
    /// Whether a lower version may replace a higher one.
    #[serde(default)]
    allow_downgrade: bool,
    /// Whether packages may be removed to make room for others.
    #[serde(default)]
    allowerasing: bool,
    /// Whether packages that nothing needs any more are removed.
    #[serde(default)]
    autoremove: bool,
    /// Whether the highest version is taken or nothing.
    #[serde(default)]
    best: Option<bool>,
    /// The opposite of `best`.
    #[serde(default)]
    nobest: Option<bool>,
    /// Whether only updates that mend bugs are installed.
    #[serde(default)]
    bugfix: bool,
    /// Whether only updates for security are installed.
    #[serde(default)]
    security: bool,
    /// Whether nothing is fetched but what is in the cache.
    #[serde(default)]
    cacheonly: bool,
    /// The configuration file.
    #[serde(default)]
    conf_file: Option<String>,
    /// Whose exclusions do not count: `all`, `main`, or a repository.
    #[serde(default)]
    disable_excludes: Option<String>,
    /// Whether signatures are not checked.
    #[serde(default)]
    disable_gpg_check: bool,
    /// Plugins that are not used.
    #[serde(default)]
    disable_plugin: Vec<String>,
    /// Plugins that are used.
    #[serde(default)]
    enable_plugin: Vec<String>,
    /// Repositories that are not used.
    #[serde(default)]
    disablerepo: Vec<String>,
    /// Repositories that are used.
    #[serde(default)]
    enablerepo: Vec<String>,
    /// The directory for packages that are only fetched.
    #[serde(default)]
    download_dir: Option<String>,
    /// Whether packages are fetched and not installed.
    #[serde(default)]
    download_only: bool,
    /// Packages that are left out.
    #[serde(default)]
    exclude: Vec<String>,
    /// Whether recommended packages are installed.
    #[serde(default = "yes")]
    install_weak_deps: bool,
    /// The root to install into.
    #[serde(default = "root")]
    installroot: String,
    /// Not supported; the module `package_facts` lists packages.
    #[serde(default)]
    list: Option<String>,
    /// Has no meaning here: the program waits for its lock.
    #[serde(default)]
    #[allow(dead_code)]
    lock_timeout: Option<i64>,
    /// The release to take packages of.
    #[serde(default)]
    releasever: Option<String>,
    /// Whether packages that cannot be had are passed over.
    #[serde(default)]
    skip_broken: bool,
    /// Whether certificates of repositories are checked.
    #[serde(default = "yes")]
    sslverify: bool,
    /// Whether certificates are checked where a package is a URL.
    #[serde(default = "yes")]
    validate_certs: bool,
    /// Whether the lists of packages are fetched again where they are out of date.
    #[serde(default, alias = "expire-cache")]
    update_cache: bool,
    /// Whether nothing is installed that is not there.
    #[serde(default)]
    update_only: bool,
    /// Has no meaning here.
    #[serde(default = "yes")]
    #[allow(dead_code)]
    install_repoquery: bool,
    /// Has no meaning here: nothing needs to be installed for this module.
    #[serde(default = "yes")]
    #[allow(dead_code)]
    auto_install_module_deps: bool,
}

/// Manages packages with dnf5.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Dnf5(Dnf);

fn root() -> String {
    "/".to_owned()
}

/// What should be so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    #[serde(alias = "removed")]
    Absent,
    #[serde(alias = "installed")]
    Present,
    Latest,
}

/// Which program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Backend {
    #[default]
    #[serde(alias = "yum")]
    Auto,
    #[serde(alias = "dnf4", alias = "yum4")]
    Dnf,
    Dnf5,
}

impl Module for Dnf {
    const NAME: &'static str = "ansible.builtin.dnf";

    fn check(&self) -> Result<(), String> {
        if self.list.is_some() {
            return Err("list is not supported: the module package_facts tells what is installed".into());
        }
        if self.autoremove && !matches!(self.state, None | Some(State::Absent)) {
            return Err("Autoremove should be used alone or with state=absent".into());
        }
        if self.best.is_some() && self.nobest.is_some() {
            return Err("parameters are mutually exclusive: best|nobest".into());
        }
        package::names(&self.name).map(drop)
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let five = match self.use_backend {
            Backend::Dnf5 => true,
            Backend::Dnf => false,
            Backend::Auto => host.find_program("dnf5").is_some(),
        };
        let program = host.require_program(if five { "dnf5" } else { "dnf" })?;
        Run { host, args: &self, program, five }.run()
    }
}

impl Module for Dnf5 {
    const NAME: &'static str = "ansible.builtin.dnf5";

    fn check(&self) -> Result<(), String> {
        self.0.check()
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        Dnf { use_backend: Backend::Dnf5, ..self.0 }.run(host)
    }
}

/// Whether a line tells of something that was done.
fn is_deed(line: &str) -> bool {
    ["Installed: ", "Removed: ", "Downloaded: "].iter().any(|verb| line.starts_with(verb))
}

/// A call: what is wanted, and the program that does it.
struct Run<'a> {
    host: &'a Host,
    args: &'a Dnf,
    program: PathBuf,
    five: bool,
}

impl Run<'_> {
    fn run(&self) -> Result<Outcome, Failure> {
        let (args, host) = (self.args, self.host);
        let names = package::names(&args.name).map_err(Failure::new)?;
        if args.update_cache {
            host.run_ok(&self.command(&["makecache"]))?;
        }
        if names.is_empty() && !args.autoremove {
            let msg = if args.update_cache { "Cache updated" } else { "Nothing to do" };
            return Ok(Outcome::unchanged().with("msg", msg).with("rc", 0).with("results", json!([])));
        }
        let mut told = Vec::new();
        let state = args.state.unwrap_or(if names.is_empty() { State::Absent } else { State::Present });
        let steps = match state {
            _ if names.is_empty() => vec![("autoremove", Vec::new())],
            State::Absent => vec![("remove", self.installed_of(&names, &mut told)?)],
            State::Latest if names == ["*"] => vec![("upgrade", vec!["*".to_owned()])],
            State::Latest => self.latest(&names, &mut told)?,
            State::Present => vec![("install", self.missing_of(&names)?)],
        };
        for (verb, specs) in steps {
            if !specs.is_empty() || verb == "autoremove" {
                self.carry_out(verb, specs, &mut told)?;
            }
        }
        // What was done comes after what was found, in the order of names.
        told.sort_by(|a, b| match (is_deed(a), is_deed(b)) {
            (true, true) => a.cmp(b),
            (a, b) => a.cmp(&b),
        });
        let changed = told.iter().any(|line| is_deed(line));
        let msg = match (changed, host.check_mode()) {
            (false, _) => "Nothing to do",
            (true, true) => "Check mode: No changes made, but would have if not in check mode",
            (true, false) => "",
        };
        Ok(Outcome::new(changed).with("msg", msg).with("rc", 0).with("results", told))
    }

    /// The program with the options that arguments stand for.
    fn command(&self, words: &[&str]) -> Command {
        let (args, five) = (self.args, self.five);
        let mut options: Vec<String> = Vec::new();
        let lists = [
            ("enablerepo", &args.enablerepo),
            ("disablerepo", &args.disablerepo),
            ("enableplugin", &args.enable_plugin),
            ("disableplugin", &args.disable_plugin),
            ("exclude", &args.exclude),
        ];
        for (name, list) in lists {
            options.extend(list.iter().map(|value| match (name, five) {
                ("enableplugin", true) => format!("--enable-plugin={value}"),
                ("disableplugin", true) => format!("--disable-plugin={value}"),
                _ => format!("--{name}={value}"),
            }));
        }
        let values = [
            ("--config=", args.conf_file.as_ref()),
            ("--releasever=", args.releasever.as_ref()),
            ("--setopt=disable_excludes=", args.disable_excludes.as_ref()),
            ("--installroot=", Some(&args.installroot).filter(|root| *root != "/")),
            (
                if five { "--destdir=" } else { "--downloaddir=" },
                args.download_dir.as_ref().filter(|_| args.download_only),
            ),
        ];
        options.extend(values.into_iter().filter_map(|(name, value)| Some(format!("{name}{}", value?))));
        let best = args.best.or(args.nobest.map(|not| !not));
        let flags = [
            (args.disable_gpg_check, if five { "--no-gpgchecks" } else { "--nogpgcheck" }),
            (args.allowerasing, "--allowerasing"),
            (best == Some(true), "--best"),
            (best == Some(false), if five { "--no-best" } else { "--nobest" }),
            (args.cacheonly, "--cacheonly"),
            (args.skip_broken, "--skip-broken"),
            (args.skip_broken && five, "--skip-unavailable"),
            (args.skip_broken && !five, "--setopt=strict=0"),
            (!args.install_weak_deps, "--setopt=install_weak_deps=False"),
            (!args.sslverify || !args.validate_certs, "--setopt=sslverify=False"),
            (args.download_only, "--downloadonly"),
        ];
        options.extend(flags.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag.to_owned()));
        Command::new(&self.program).args(options).args(words).c_locale()
    }

    /// Options of one verb alone.
    fn of_verb(&self, verb: &str) -> Vec<&'static str> {
        let args = self.args;
        let filters = matches!(verb, "upgrade") && args.state == Some(State::Latest);
        let flags = [
            (filters && args.security, "--security"),
            (filters && args.bugfix, "--bugfix"),
            (verb == "remove" && !args.autoremove, "--setopt=clean_requirements_on_remove=False"),
        ];
        flags.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag).collect()
    }

    /// Asks rpm for what fits a name; nothing is installed when it has no answer.
    fn installed(&self, name: &str) -> Result<Vec<String>, Failure> {
        let ask = |options: &[&str]| {
            let mut command = Command::new("rpm").arg("-q");
            if self.args.installroot != "/" {
                command = command.arg(format!("--root={}", self.args.installroot));
            }
            let format = "%{NAME}-%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}.%{ARCH}\\n";
            self.host.query(&command.args(["--qf", format]).args(options).args(["--", name]).c_locale())
        };
        let lines = |output: &Output| output.stdout_text().lines().map(ToOwned::to_owned).collect::<Vec<_>>();
        if !name.contains('/') {
            let output = ask(if name.contains(['*', '?', '[']) { &["-a"] } else { &[] })?;
            if output.rc == 0 {
                return Ok(lines(&output));
            }
        }
        let output = ask(&["--whatprovides"])?;
        Ok(if output.rc == 0 { lines(&output) } else { Vec::new() })
    }

    /// Names that only dnf can tell of: groups, conditions, package files and URLs.
    fn is_special(name: &str) -> bool {
        name.starts_with('@') || name.contains(' ') || name.ends_with(".rpm") || name.contains("://")
    }

    fn installed_of(&self, names: &[&str], told: &mut Vec<String>) -> Result<Vec<String>, Failure> {
        let mut out = Vec::new();
        for name in names {
            if Self::is_special(name) || !self.installed(name)?.is_empty() {
                out.push((*name).to_owned());
            } else {
                told.push(format!("No match for argument: {name}"));
            }
        }
        Ok(out)
    }

    fn missing_of(&self, names: &[&str]) -> Result<Vec<String>, Failure> {
        let mut out = Vec::new();
        for name in names {
            if Self::is_special(name) || self.installed(name)?.is_empty() {
                out.push((*name).to_owned());
            }
        }
        Ok(out)
    }

    /// What is installed is upgraded, and the rest installed; a pattern is for all that it fits.
    fn latest(&self, names: &[&str], told: &mut Vec<String>) -> Result<Vec<(&'static str, Vec<String>)>, Failure> {
        let (mut upgraded, mut installed) = (Vec::new(), Vec::new());
        for name in names {
            if Self::is_special(name) || (name.contains(['*', '?', '[']) && !self.args.update_only) {
                installed.push((*name).to_owned());
            } else if !self.installed(name)?.is_empty() {
                upgraded.push((*name).to_owned());
            } else if self.args.update_only {
                told.push(format!("Packages providing {name} not installed due to update_only specified"));
            } else {
                installed.push((*name).to_owned());
            }
        }
        Ok(vec![("install", installed), ("upgrade", upgraded)])
    }

    /// Has dnf plan a transaction, tells what it will do, and has it done.
    fn carry_out(&self, verb: &str, mut specs: Vec<String>, told: &mut Vec<String>) -> Result<(), Failure> {
        let mut plan = self.plan(verb, &specs)?;
        if !self.args.allow_downgrade && plan.downgrades() {
            // A version that is lower than the installed one counts as there.
            let lower = |spec: &String| plan.downgraded().any(|name| spec.starts_with(name));
            specs.retain(|spec| !lower(spec));
            if specs.is_empty() {
                return Ok(());
            }
            plan = self.plan(verb, &specs)?;
        }
        if plan.is_empty() {
            return Ok(());
        }
        if self.args.download_only {
            told.extend(plan.installed().map(|package| format!("Downloaded: {package}")));
        } else {
            for package in plan.upgraded() {
                plan.old.extend(self.installed(&package)?);
            }
            told.extend(plan.installed().map(|package| format!("Installed: {package}")));
            told.extend(plan.removed().map(|package| format!("Removed: {package}")));
            told.extend(plan.others());
        }
        let command = self.transaction(verb, &specs, "-y").streamed();
        match self.host.run(&command)? {
            Some(output) if output.rc != 0 => Err(self.failure(&output)),
            _ => Ok(()),
        }
    }

    fn transaction(&self, verb: &str, specs: &[String], answer: &str) -> Command {
        let mut words: Vec<&str> = vec![answer, verb];
        words.extend(self.of_verb(verb));
        words.extend(specs.iter().map(String::as_str).filter(|spec| *spec != "*" || verb != "upgrade"));
        self.command(&words)
    }

    fn plan(&self, verb: &str, specs: &[String]) -> Result<Plan, Failure> {
        let output = self.host.query(&self.transaction(verb, specs, "--assumeno"))?;
        let text = output.stdout_text();
        let plan = Plan::parse(&text);
        // To say no to a plan is a status other than 0.
        let fine = output.rc == 0 || !plan.is_empty() || text.contains("Nothing to do");
        if fine { Ok(plan) } else { Err(self.failure(&output)) }
    }

    fn failure(&self, output: &Output) -> Failure {
        let said = format!("{}{}", output.stdout_text(), output.stderr_text());
        let missing =
            |line: &str| line.trim().strip_prefix("No match for argument: ").map(|name| name.trim().to_owned());
        let missing: Vec<String> = said.lines().filter_map(missing).collect();
        let failure = if missing.is_empty() {
            Failure::new(format!("dnf could not do it: {}", output.complaint())).with("failures", json!([]))
        } else {
            let tell = |name: &String| format!("No package {name} available.");
            let failures: Vec<String> = missing.iter().map(tell).collect();
            Failure::new("Failed to install some of the specified packages").with("failures", failures)
        };
        failure.with("rc", 1).with("results", json!([]))
    }
}
