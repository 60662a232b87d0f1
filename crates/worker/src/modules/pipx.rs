//! `community.general.pipx`.

use std::cmp::Ordering;

use rplay_protocol::Object;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::files::text;
use crate::args::PathArg;
use crate::host::{Command, Diff, Host, Output};
use crate::module::{Failure, Module, Outcome};

/// Manages applications that pipx installs, each with an environment of its own.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Pipx {
    /// What should be.
    #[serde(default)]
    state: State,
    /// The application; a version may follow, as in `tox<4.0`.
    #[serde(default)]
    name: Option<String>,
    /// Where it comes from, instead of its name.
    #[serde(default)]
    source: Option<String>,
    /// Whether programs of what it needs are there too.
    #[serde(default)]
    install_deps: bool,
    /// Whether programs of injected packages are there too.
    #[serde(default)]
    install_apps: bool,
    /// The packages that are injected into its environment.
    #[serde(default)]
    inject_packages: Vec<String>,
    /// Whether it is done in any case.
    #[serde(default)]
    force: bool,
    /// Whether injected packages are upgraded too.
    #[serde(default)]
    include_injected: bool,
    /// The index of packages.
    #[serde(default)]
    index_url: Option<String>,
    /// The Python of the environment.
    #[serde(default)]
    python: Option<String>,
    /// Whether the environment sees packages of the system.
    #[serde(default)]
    system_site_packages: bool,
    /// The program; `pipx`, or `python3 -m pipx`, by default.
    #[serde(default)]
    executable: Option<PathArg>,
    /// Whether a project is installed where it is.
    #[serde(default)]
    editable: bool,
    /// What pip is given.
    #[serde(default)]
    pip_args: Option<String>,
    /// What is added to the names of the environment and its programs.
    #[serde(default)]
    suffix: Option<String>,
    /// Whether it is for everybody.
    #[serde(default)]
    global: bool,
    /// A file that tells what `install_all` installs.
    #[serde(default)]
    spec_metadata: Option<PathArg>,
}

/// What should be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    Present,
    Absent,
    #[default]
    Install,
    InstallAll,
    Uninstall,
    UninstallAll,
    Inject,
    Uninject,
    Upgrade,
    UpgradeShared,
    UpgradeAll,
    Reinstall,
    ReinstallAll,
    Latest,
    Pin,
    Unpin,
}

impl State {
    /// The name, where it needs an application.
    fn of_one(self) -> Option<&'static str> {
        Some(match self {
            Self::Present => "present",
            Self::Absent => "absent",
            Self::Install => "install",
            Self::Uninstall => "uninstall",
            Self::Inject => "inject",
            Self::Uninject => "uninject",
            Self::Upgrade => "upgrade",
            Self::Reinstall => "reinstall",
            Self::Latest => "latest",
            Self::Pin => "pin",
            Self::Unpin => "unpin",
            Self::InstallAll | Self::UninstallAll | Self::UpgradeShared | Self::UpgradeAll | Self::ReinstallAll => {
                return None;
            }
        })
    }
}

impl Module for Pipx {
    const NAME: &'static str = "community.general.pipx";

    fn check(&self) -> Result<(), String> {
        if let Some(state) = self.state.of_one().filter(|_| self.name.is_none()) {
            return Err(format!("state is {state} but all of the following are missing: name"));
        }
        if matches!(self.state, State::Inject | State::Uninject) && self.inject_packages.is_empty() {
            let state = self.state.of_one().unwrap_or_default();
            return Err(format!("state is {state} but all of the following are missing: inject_packages"));
        }
        if self.state == State::InstallAll && self.spec_metadata.is_none() {
            return Err("state is install_all but all of the following are missing: spec_metadata".to_owned());
        }
        let words =
            self.name.iter().chain(&self.source).chain(&self.inject_packages).chain(&self.python).chain(&self.suffix);
        match words.into_iter().find(|word| word.is_empty() || word.starts_with('-')) {
            Some(word) => Err(format!("'{word}' cannot be used: it is empty or begins with a dash")),
            None => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let base = self.base(host)?;
        let release = host.query_ok(&base.clone().arg("--version"))?.stdout_text().trim().to_owned();
        let (name, versions) = split(self.name.as_deref().unwrap_or_default());
        let key = format!("{name}{}", self.suffix.as_deref().unwrap_or_default());
        let before = self.applications(host, &base)?;
        let held = before.get(&key);
        let mut force = self.force;
        // Another version than the one that is asked for is installed over.
        if let (Some(held), false, State::Present | State::Install) = (held, versions.is_empty(), self.state) {
            force |= !satisfies(held["version"].as_str().unwrap_or_default(), versions)?;
        }
        let steps = self.steps(host, &name, held, force)?;
        let mut said = None;
        let mut words = None;
        for step in &steps {
            let command = base.clone().args(step);
            words = Some(command.words());
            let output = host.run(&command)?;
            if let Some(output) = output.as_ref().filter(|output| output.rc != 0) {
                return Err(refused(&command, output));
            }
            said = output;
        }
        let after =
            if host.check_mode() || steps.is_empty() { before.clone() } else { self.applications(host, &base)? };
        let changed = before != after || self.foreseen(held, &steps, force, host.check_mode());
        let mut outcome = Outcome::new(changed).with("name", self.name.clone()).with("force", self.force);
        let source = self.source.clone().or_else(|| self.name.clone().filter(|_| !versions.is_empty()));
        outcome.set("source", source);
        outcome.set("index_url", self.index_url.clone());
        let own = |(name, value): (&String, &Value)| {
            (self.name.is_none() || *name == key).then(|| (name.clone(), value.clone()))
        };
        let [old, new] = [&before, &after].map(|all| all.iter().filter_map(own).collect::<Object>());
        if old != new {
            let side = |held: &Object| json!({ "application": held });
            outcome.diffs.push(Diff::values(side(&old), side(&new)));
        }
        outcome.set("application", new);
        outcome.set("version", release);
        if let Some(words) = words {
            outcome.set("stdout", said.as_ref().map(Output::stdout_text));
            outcome.set("stderr", said.as_ref().map(Output::stderr_text));
            if said.is_none() {
                outcome.set("stdout_lines", json!([]));
                outcome.set("stderr_lines", json!([]));
            }
            outcome.set("cmd", words);
        }
        Ok(outcome)
    }
}

fn refused(command: &Command, output: &Output) -> Failure {
    let failure = Failure::new(output.complaint()).with("rc", output.rc).with("cmd", command.words().join(" "));
    failure.with("stdout", output.stdout_text()).with("stderr", output.stderr_text())
}

/// A name as environments have it, and the versions that are asked for behind it.
fn split(requirement: &str) -> (String, &str) {
    let end = requirement.find(|c: char| "<>=!~ ;@".contains(c)).unwrap_or(requirement.len());
    let (name, versions) = requirement.split_at(end);
    let name = name.split('[').next().unwrap_or(name).trim().to_lowercase();
    let parts: Vec<&str> = name.split(['-', '_', '.']).filter(|part| !part.is_empty()).collect();
    (parts.join("-"), versions.trim())
}

/// The numbers of a version; `None` for one with letters.
fn numbers(version: &str) -> Option<Vec<u64>> {
    version.trim().split('.').map(|part| part.parse().ok()).collect()
}

/// How two versions compare, of which the shorter one goes on with zeros.
fn order(a: &[u64], b: &[u64]) -> Ordering {
    let at = |version: &[u64], place: usize| version.get(place).copied().unwrap_or(0);
    let places = 0..a.len().max(b.len());
    places.map(|place| at(a, place).cmp(&at(b, place))).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Whether a version is one of those that are asked for, as in `>=1.2,<2`.
fn satisfies(version: &str, wanted: &str) -> Result<bool, Failure> {
    let unknown = || Failure::new(format!("cannot tell whether version {version} is {wanted}"));
    let held = numbers(version).ok_or_else(unknown)?;
    for part in wanted.split(',').map(str::trim) {
        let end = part.find(|c: char| !"<>=!~".contains(c)).unwrap_or(part.len());
        let (operator, bound) = part.split_at(end);
        let prefix = bound.trim().strip_suffix(".*");
        let bound = numbers(prefix.unwrap_or(bound)).ok_or_else(unknown)?;
        let within = |length: usize| order(&held[..held.len().min(length)], &bound[..bound.len().min(length)]).is_eq();
        let order = order(&held, &bound);
        let holds = match (operator, prefix.is_some()) {
            ("==", true) => within(bound.len()),
            ("!=", true) => !within(bound.len()),
            ("==" | "===", _) => order.is_eq(),
            ("!=", _) => order.is_ne(),
            ("<", false) => order.is_lt(),
            ("<=", false) => order.is_le(),
            (">", false) => order.is_gt(),
            (">=", false) => order.is_ge(),
            ("~=", false) => order.is_ge() && within(bound.len().saturating_sub(1).max(1)),
            _ => return Err(unknown()),
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Pipx {
    fn base(&self, host: &Host) -> Result<Command, Failure> {
        let command = match &self.executable {
            Some(program) => Command::new(host.path(program)?),
            None => match host.find_program("pipx") {
                Some(program) => Command::new(program),
                None => Command::new(host.require_program("python3")?).args(["-m", "pipx"]),
            },
        };
        Ok(command.c_locale().env("USE_EMOJI", "0").env("PIPX_USE_EMOJI", "0"))
    }

    /// What is installed: each environment with its version and what was injected.
    fn applications(&self, host: &Host, base: &Command) -> Result<Object, Failure> {
        let mut list = base.clone().args(["list", "--include-injected", "--json"]);
        if self.global {
            list = list.arg("--global");
        }
        let output = host.query(&list)?;
        let data: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        let data = data.ok_or_else(|| refused(&list, &output))?;
        let each = data["venvs"].as_object().into_iter().flatten().map(|(name, venv)| {
            let metadata = &venv["metadata"];
            let injected = metadata["injected_packages"].as_object().into_iter().flatten();
            let injected: Object =
                injected.map(|(name, package)| (name.clone(), package["package_version"].clone())).collect();
            let main = &metadata["main_package"];
            let told = json!({
                "name": name, "version": main["package_version"], "pinned": main["pinned"], "injected": injected,
            });
            (name.clone(), told)
        });
        Ok(each.collect())
    }

    /// The packages of `inject_packages` that are, or are not, in an environment.
    fn injected(&self, held: Option<&Value>, there: bool) -> bool {
        let has = |package: &String| held.is_some_and(|held| held["injected"].get(split(package).0).is_some());
        self.inject_packages.iter().any(|package| has(package) == there)
    }

    /// Whether these commands are a change whatever the list says, or, in check mode, will be one.
    fn foreseen(&self, held: Option<&Value>, steps: &[Vec<String>], force: bool, check: bool) -> bool {
        if steps.is_empty() {
            return false;
        }
        let pinned = held.is_some_and(|held| held["pinned"] == true);
        match self.state {
            State::Present | State::Install | State::Reinstall => true,
            State::Latest => held.is_none() || force,
            State::Upgrade | State::UpgradeAll => force,
            State::InstallAll => force || check,
            State::Inject => force || (check && self.injected(held, false)),
            State::Absent | State::Uninstall => check,
            State::Uninject => check && self.injected(held, true),
            State::Pin => check && held.is_some() && !pinned,
            State::Unpin => check && pinned,
            State::UninstallAll | State::ReinstallAll | State::UpgradeShared => false,
        }
    }

    /// The commands, with their words.
    fn steps(&self, host: &Host, name: &str, held: Option<&Value>, force: bool) -> Result<Vec<Vec<String>>, Failure> {
        let suffixed = format!("{name}{}", self.suffix.as_deref().unwrap_or_default());
        let missing = |what: &str| Failure::new(format!("Trying to {what} a non-existent application: {suffixed}"));
        let one = |words: Vec<String>| Ok(vec![words]);
        let with = |verb: &str, kinds: &[&str], rest: &[&str]| {
            let mut words = vec![verb.to_owned()];
            words.extend(self.options(kinds, force));
            words.extend(rest.iter().map(|word| (*word).to_owned()));
            words
        };
        let asked = self.source.as_deref().or(self.name.as_deref()).unwrap_or_default();
        let install = || {
            let kinds = ["index", "deps", "force", "python", "site", "editable", "pip", "suffix"];
            with("install", &kinds, &[asked])
        };
        let upgrade = || with("upgrade", &["injected", "index", "force", "editable", "pip"], &[&suffixed]);
        let packages: Vec<&str> = self.inject_packages.iter().map(String::as_str).collect();
        match self.state {
            State::Present | State::Install if held.is_some() && !force => Ok(Vec::new()),
            State::Present | State::Install => one(install()),
            State::Latest if held.is_some() && !force => one(upgrade()),
            State::Latest => Ok(vec![install(), upgrade()]),
            State::Upgrade if held.is_none() && !force => Err(missing("upgrade")),
            State::Upgrade => one(upgrade()),
            State::Absent | State::Uninstall if held.is_none() => Ok(Vec::new()),
            State::Absent | State::Uninstall => one(with("uninstall", &[], &[&suffixed])),
            State::Reinstall if held.is_none() => Err(missing("reinstall")),
            State::Reinstall => {
                let mut words = with("reinstall", &[], &[&suffixed]);
                words.extend(self.options(&["python"], force).into_iter().filter(|word| word != "--global"));
                one(words)
            }
            State::Inject if held.is_none() => Err(missing("inject packages into")),
            State::Inject => {
                let kinds = ["apps", "deps", "index", "force", "editable", "pip"];
                one(with("inject", &kinds, &[&[suffixed.as_str()], &packages[..]].concat()))
            }
            State::Uninject if held.is_none() => Err(missing("uninject packages into")),
            State::Uninject => one(with("uninject", &[], &[&[suffixed.as_str()], &packages[..]].concat())),
            State::Pin => one(with("pin", &[], &[&suffixed])),
            State::Unpin => one(with("unpin", &[], &[&suffixed])),
            State::UninstallAll => one(with("uninstall-all", &[], &[])),
            State::UpgradeAll => one(with("upgrade-all", &["injected", "force", "pip"], &[])),
            State::UpgradeShared => one(with("upgrade-shared", &["pip"], &[])),
            State::ReinstallAll => one(with("reinstall-all", &["python"], &[])),
            State::InstallAll => {
                let spec = self.spec_metadata.as_ref().map(|path| host.path(path)).transpose()?.unwrap_or_default();
                one(with("install-all", &["force", "python", "pip"], &[&text(&spec)]))
            }
        }
    }

    /// Options of these kinds, where they are given; each command may be for everybody.
    fn options(&self, kinds: &[&str], force: bool) -> Vec<String> {
        let flag = |flag: &str, wanted: bool| if wanted { vec![flag.to_owned()] } else { Vec::new() };
        let value = |flag: &str, value: &Option<String>| {
            value.iter().flat_map(|value| [flag.to_owned(), value.clone()]).collect::<Vec<_>>()
        };
        let mut words = flag("--global", self.global);
        for kind in kinds {
            words.extend(match *kind {
                "index" => value("--index-url", &self.index_url),
                "deps" => flag("--include-deps", self.install_deps),
                "apps" => flag("--include-apps", self.install_apps),
                "force" => flag("--force", force),
                "python" => value("--python", &self.python),
                "site" => flag("--system-site-packages", self.system_site_packages),
                "editable" => flag("--editable", self.editable),
                "injected" => flag("--include-injected", self.include_injected),
                "suffix" => value("--suffix", &self.suffix),
                _ => self.pip_args.iter().map(|args| format!("--pip-args={args}")).collect(),
            });
        }
        words
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    const LIST: &str = r#"{"venvs": {"tox": {"metadata": {"main_package": {"package_version": "3.24.0", "pinned": false},
        "injected_packages": {"plug": {"package_version": "1.0"}}}}}}"#;

    fn stage() -> Stage {
        let stage = Stage::new(&[("/list", LIST)]);
        stage.program(
            "pipx",
            "case $* in --version) echo 1.7.1;; list*) cat $R/list;; *bad*) echo no >&2; exit 1;; *) echo done;; esac",
        );
        stage
    }

    #[test]
    fn applications_are_as_they_should_be() {
        for (args, dry, made) in [
            (json!({"name": "tox"}), false, vec![]),
            (json!({"name": "new"}), true, vec!["install] [new"]),
            (json!({"name": "tox<4.0,!=3.25.*"}), false, vec![]),
            (json!({"name": "Tox[x] >= 4.0"}), true, vec!["install] [--force] [Tox[x] >= 4.0"]),
            (json!({"name": "tox", "force": true}), true, vec!["install] [--force] [tox"]),
            (json!({"name": "tox", "suffix": "_s"}), true, vec!["install] [--suffix] [_s] [tox"]),
            (
                json!({"name": "new", "source": "new[x]", "python": "p", "index_url": "i", "install_deps": true, "pip_args": "-a b",
                    "system_site_packages": true, "editable": true, "global": true}),
                true,
                vec![
                    "install] [--global] [--index-url] [i] [--include-deps] [--python] [p] [--system-site-packages] [--editable] \
                     [--pip-args=-a b] [new[x]",
                ],
            ),
            (
                json!({"name": "tox", "state": "upgrade", "include_injected": true}),
                false,
                vec!["upgrade] [--include-injected] [tox"],
            ),
            (json!({"name": "tox", "state": "latest"}), false, vec!["upgrade] [tox"]),
            (json!({"name": "new", "state": "latest"}), true, vec!["install] [new", "upgrade] [new"]),
            (json!({"name": "tox", "state": "absent"}), true, vec!["uninstall] [tox"]),
            (json!({"name": "new", "state": "uninstall"}), false, vec![]),
            (json!({"name": "tox", "state": "reinstall", "python": "p"}), true, vec!["reinstall] [tox] [--python] [p"]),
            (
                json!({"name": "tox", "state": "inject", "inject_packages": "plug,other", "install_apps": true}),
                true,
                vec!["inject] [--include-apps] [tox] [plug] [other"],
            ),
            (json!({"name": "tox", "state": "inject", "inject_packages": "plug"}), false, vec!["inject] [tox] [plug"]),
            (
                json!({"name": "tox", "state": "uninject", "inject_packages": "plug"}),
                true,
                vec!["uninject] [tox] [plug"],
            ),
            (json!({"name": "tox", "state": "pin"}), true, vec!["pin] [tox"]),
            (json!({"name": "tox", "state": "unpin"}), false, vec!["unpin] [tox"]),
            (json!({"state": "uninstall_all"}), false, vec!["uninstall-all"]),
            (json!({"state": "upgrade_all", "force": true}), true, vec!["upgrade-all] [--force"]),
            (json!({"state": "upgrade_shared"}), false, vec!["upgrade-shared"]),
            (json!({"state": "reinstall_all", "python": "p"}), false, vec!["reinstall-all] [--python] [p"]),
            (json!({"state": "install_all", "spec_metadata": "/s"}), true, vec!["install-all] [/s"]),
        ] {
            let stage = stage();
            let asked = |call: &String| call.contains("[list]") || call.contains("[--version]");
            assert_eq!(stage.check::<Pipx>(args.clone()).unwrap().changed, dry, "{args}");
            assert!(stage.calls().iter().all(asked));
            stage.call::<Pipx>(args.clone()).unwrap();
            let mut calls = stage.calls();
            calls.retain(|call| !asked(call));
            assert_eq!(calls, made.iter().map(|made| format!("pipx [{made}]")).collect::<Vec<_>>(), "{args}");
        }
    }

    #[test]
    fn results_tell_what_is_installed() {
        let stage = stage();
        stage.program("pipx", "case $* in --version) echo 1.7.1;; list*) cat $R/list;; uninstall*) echo '{\"venvs\": {}}' >$R/list;; esac");
        let told = stage.call::<Pipx>(json!({"name": "tox"})).unwrap();
        let application =
            json!({"tox": {"name": "tox", "version": "3.24.0", "pinned": false, "injected": {"plug": "1.0"}}});
        assert_eq!((&told.fields["application"], &told.fields["version"]), (&application, &json!("1.7.1")));
        let gone = stage.call::<Pipx>(json!({"name": "tox", "state": "absent"})).unwrap();
        assert_eq!((gone.changed, &gone.fields["application"]), (true, &json!({})));
        assert_eq!(gone.diffs.len(), 1);
    }

    #[test]
    fn versions_are_compared() {
        for (version, wanted, holds) in [
            ("1.10", ">1.9", true),
            ("1.0", "==1", true),
            ("1.2.3", "~=1.2", true),
            ("2.0", "~=1.2", false),
            ("1.2.9", "~=1.2.3", true),
            ("1.3", "~=1.2.3", false),
            ("1.5", "==1.*", true),
            ("1.5", "!=1.5", false),
            ("1", ">=1,<2", true),
        ] {
            assert_eq!(satisfies(version, wanted).unwrap(), holds, "{version} {wanted}");
        }
        assert!(satisfies("1.0rc1", "<2").is_err() && satisfies("1.0", "<<2").is_err());
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (args, word) in [
            (json!({}), "state is install but all of the following are missing: name"),
            (json!({"name": "tox", "state": "inject"}), "missing: inject_packages"),
            (json!({"state": "install_all"}), "missing: spec_metadata"),
            (json!({"name": "-x"}), "begins with a dash"),
            (json!({"name": "new", "state": "upgrade"}), "Trying to upgrade a non-existent application: new"),
            (
                json!({"name": "new", "state": "inject", "inject_packages": "x"}),
                "Trying to inject packages into a non-existent",
            ),
            (json!({"name": "bad"}), "no"),
        ] {
            assert!(stage().call::<Pipx>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
