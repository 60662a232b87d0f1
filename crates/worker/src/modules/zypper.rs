//! `community.general.zypper`.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::package;
use crate::args::yes;
use crate::host::{Command, Diff, Host, Output};
use crate::module::{Failure, Module, Outcome};

/// Manages packages with zypper.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Zypper {
    /// Packages, with or without a version (`foo=1.0`, `foo>3.4`), files, URLs, or `*` for all; `+` and `-` before a name
    /// install and remove.
    #[serde(alias = "pkg")]
    name: Vec<String>,
    /// What should be so.
    #[serde(default)]
    state: State,
    /// What kind of thing is named.
    #[serde(default, rename = "type")]
    kind: Kind,
    /// Whether a distribution's upgrade may change vendors.
    #[serde(default)]
    allow_vendor_change: bool,
    /// Whether new keys of repositories are trusted.
    #[serde(default)]
    auto_import_keys: bool,
    /// Whether what a removed package needed goes too.
    #[serde(default)]
    clean_deps: bool,
    /// Whether signatures are not checked.
    #[serde(default)]
    disable_gpg_check: bool,
    /// Whether recommended packages are left out.
    #[serde(default = "yes")]
    disable_recommends: bool,
    /// Further options of the command.
    #[serde(default)]
    extra_args: Option<String>,
    /// Further options of zypper itself.
    #[serde(default)]
    extra_args_precommand: Option<String>,
    /// Whether packages are installed again, or in a lower version.
    #[serde(default)]
    force: bool,
    /// Whether zypper chooses a way out of conflicts.
    #[serde(default)]
    force_resolution: bool,
    /// Whether a lower version may replace a higher one.
    #[serde(default)]
    oldpackage: bool,
    /// Whether zypper says less.
    #[serde(default = "yes")]
    quiet: bool,
    /// Whether files of other packages may be replaced.
    #[serde(default)]
    replacefiles: bool,
    /// Whether of an error only its message is told.
    #[serde(default)]
    simple_errors: bool,
    /// Whether errors of scripts after the installation are passed over.
    #[serde(default)]
    skip_post_errors: bool,
    /// Whether the lists of packages are fetched first.
    #[serde(default, alias = "refresh")]
    update_cache: bool,
}

/// What should be so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum State {
    Absent,
    Removed,
    #[default]
    Present,
    Installed,
    Latest,
    DistUpgrade,
}

/// A kind of thing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Package,
    Patch,
    Pattern,
    Product,
    Srcpackage,
    Application,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Package => "package",
            Self::Patch => "patch",
            Self::Pattern => "pattern",
            Self::Product => "product",
            Self::Srcpackage => "srcpackage",
            Self::Application => "application",
        }
    }
}

/// A package as a task names it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spec {
    remove: bool,
    name: String,
    /// The version with the sign before it.
    version: String,
}

impl Spec {
    fn parse(text: &str) -> Self {
        let (remove, rest) = match text.strip_prefix(['-', '~', '!']) {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let file = rest.contains("://") || rest.starts_with('/') || rest.ends_with(".rpm");
        let at = if file { None } else { rest.find(['<', '>', '=']) };
        let (name, version) = rest.split_at(at.unwrap_or(rest.len()));
        Self { remove, name: name.trim().to_owned(), version: version.replace(' ', "") }
    }

    fn is_file(&self) -> bool {
        self.name.contains("://") || self.name.starts_with('/') || self.name.ends_with(".rpm")
    }
}

impl Module for Zypper {
    const NAME: &'static str = "community.general.zypper";

    fn check(&self) -> Result<(), String> {
        let bare = |name: &String| name.trim().trim_start_matches(['-', '~', '!', '+']).to_owned();
        package::names(&self.name.iter().map(bare).collect::<Vec<_>>())?;
        if self.name.iter().all(|name| name.trim().is_empty()) {
            return Err("missing required arguments: name".into());
        }
        if self.specs().iter().any(|spec| spec.name.starts_with('-')) {
            return Err("name must be names of packages, not options".into());
        }
        self.words(self.extra_args.as_ref()).and(self.words(self.extra_args_precommand.as_ref())).map(drop)
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        if self.update_cache && !host.check_mode() {
            let refresh = self.zypper(host)?.arg("refresh");
            if let Some(output) = host.run(&refresh)?.filter(|output| output.rc != 0) {
                return Err(self.failure(&refresh, &output));
            }
        }
        let done = self.carry_out(host)?;
        let mut outcome = Outcome::new(done.as_ref().is_some_and(|(_, _, summary)| !summary.is_empty()));
        outcome.set("name", json!(self.name));
        outcome.set("state", json!(self.state));
        outcome.set("update_cache", self.update_cache);
        outcome.set("rc", 0);
        if let Some((command, output, summary)) = done {
            outcome.set("rc", output.rc);
            outcome.set("cmd", command.words());
            if !summary.is_empty() {
                outcome.set("stdout", output.stdout_text());
                outcome.set("stderr", output.stderr_text());
                outcome.diffs.push(Diff::prepared(summary));
            }
        }
        Ok(outcome)
    }
}

type Done = (Command, Output, String);

impl Zypper {
    fn words(&self, text: Option<&String>) -> Result<Vec<String>, String> {
        let text = text.map(String::as_str).unwrap_or_default();
        shell_words::split(text).map_err(|e| format!("cannot read the options '{text}': {e}"))
    }

    /// zypper with the options of its own.
    fn zypper(&self, host: &Host) -> Result<Command, Failure> {
        let mut command =
            Command::new(host.require_program("zypper")?).args(["--non-interactive", "--xmlout"]).c_locale();
        if self.quiet {
            command = command.arg("--quiet");
        }
        command = command.args(self.words(self.extra_args_precommand.as_ref()).map_err(Failure::new)?);
        for (on, flag) in
            [(self.auto_import_keys, "--gpg-auto-import-keys"), (self.disable_gpg_check, "--no-gpg-checks")]
        {
            if on {
                command = command.arg(flag);
            }
        }
        Ok(command)
    }

    /// A command of zypper with the options that arguments stand for.
    fn command(&self, host: &Host, verb: &str) -> Result<Command, Failure> {
        let mut command = self.zypper(host)?.arg(verb);
        if matches!(verb, "install" | "remove" | "update") {
            command = command.args(["--type", self.kind.word()]);
        }
        let install = verb == "install";
        let specs = self.specs();
        let versions = specs.iter().any(|spec| !spec.version.is_empty());
        let flags = [
            (host.check_mode(), "--dry-run"),
            (verb == "remove" && self.clean_deps, "--clean-deps"),
            (verb != "remove", "--auto-agree-with-licenses"),
            (verb == "dist-upgrade" && self.allow_vendor_change, "--allow-vendor-change"),
            (verb != "remove" && self.disable_recommends, "--no-recommends"),
            (install && self.force, "--force"),
            (install && self.force_resolution, "--force-resolution"),
            (install && (self.oldpackage || versions), "--oldpackage"),
            (verb != "remove" && self.replacefiles, "--replacefiles"),
        ];
        command = command.args(flags.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag));
        Ok(command.args(self.words(self.extra_args.as_ref()).map_err(Failure::new)?))
    }

    fn specs(&self) -> Vec<Spec> {
        self.name.iter().map(|n| n.trim()).filter(|n| !n.is_empty()).map(Spec::parse).collect()
    }

    fn carry_out(&self, host: &Host) -> Result<Option<Done>, Failure> {
        let specs = self.specs();
        let all = specs.iter().any(|spec| spec.name == "*");
        if self.state == State::DistUpgrade || all {
            let verb = match self.state {
                _ if !all => return Err(Failure::new("Can not dist-upgrade specific packages.")),
                State::DistUpgrade => "dist-upgrade",
                State::Latest if self.kind == Kind::Patch => "patch",
                State::Latest => "update",
                _ => {
                    return Err(Failure::new(
                        "name: '*' means everything and works with state: latest or dist-upgrade",
                    ));
                }
            };
            return self.change(host, &self.command(host, verb)?).map(Some);
        }
        if matches!(self.state, State::Absent | State::Removed) {
            if self.kind == Kind::Patch {
                return Err(Failure::new("Can not remove patches."));
            }
            let there = self.installed(host, &specs)?;
            let (plain, signed): (Vec<&Spec>, Vec<&Spec>) =
                specs.iter().partition(|spec| !spec.remove && self.kind == Kind::Package);
            let mut names: Vec<String> = signed.iter().map(|spec| spec.name.clone()).collect();
            let plain = plain.iter().filter(|spec| there.contains(&spec.name));
            names.extend(plain.map(|spec| format!("{}{}", spec.name, spec.version)));
            if names.is_empty() {
                return Ok(None);
            }
            return self.change(host, &self.command(host, "remove")?.args(names)).map(Some);
        }
        let installed = self.installed(host, &specs)?;
        let mut words = Vec::new();
        for spec in specs {
            let there = installed.contains(&spec.name);
            let wanted = match (spec.remove, self.state) {
                (true, _) => there,
                (false, State::Present | State::Installed) => !there || !spec.version.is_empty() || self.force,
                _ => true,
            };
            if wanted {
                let sign = if spec.is_file() {
                    ""
                } else if spec.remove {
                    "-"
                } else {
                    "+"
                };
                words.push(format!("{sign}{}{}", spec.name, spec.version));
            }
        }
        if words.is_empty() {
            return Ok(None);
        }
        self.change(host, &self.command(host, "install")?.arg("--").args(words)).map(Some)
    }

    /// Those of the packages that are installed under their name, or as what another one provides.
    fn installed(&self, host: &Host, specs: &[Spec]) -> Result<HashSet<String>, Failure> {
        let names: Vec<&str> = match self.kind {
            Kind::Package => specs.iter().filter(|spec| !spec.is_file()).map(|spec| spec.name.as_str()).collect(),
            _ => Vec::new(),
        };
        // All in one call; only what is not there under its name is asked for one by one.
        let mut there = self.search(host, &[], &names)?;
        for name in names {
            if !there.contains(name) && !self.search(host, &["--provides"], &[name])?.is_empty() {
                there.insert(name.to_owned());
            }
        }
        Ok(there)
    }

    /// The installed packages that zypper finds by some names.
    fn search(&self, host: &Host, more: &[&str], names: &[&str]) -> Result<HashSet<String>, Failure> {
        if names.is_empty() {
            return Ok(HashSet::new());
        }
        let options = ["--non-interactive", "--xmlout", "--quiet", "--no-refresh", "search", "--type", "package"];
        let search = Command::new(host.require_program("zypper")?).args(options);
        let search = search.args(["--match-exact", "--installed-only", "--details"]).args(more).arg("--").args(names);
        let search = search.c_locale();
        let output = host.query(&search)?;
        let text = output.stdout_text();
        let found = between(&text, "<solvable ", ">").filter(|tag| tag.contains("status=\"installed\""));
        match output.rc {
            0 => Ok(found.filter_map(|tag| between(tag, "name=\"", "\"").next().map(unescaped)).collect()),
            // Nothing was found.
            104 => Ok(HashSet::new()),
            _ => Err(self.failure(&search, &output)),
        }
    }

    /// Has zypper do it, or in check mode say what it would do.
    fn change(&self, host: &Host, command: &Command) -> Result<Done, Failure> {
        // `--dry-run` changes nothing.
        let output = match host.check_mode() {
            true => host.query(command)?,
            false => host.run(&command.clone().streamed())?.unwrap_or_default(),
        };
        // 102 and 103: done, and the host or zypper itself should be started again.
        let fine = matches!(output.rc, 0 | 102 | 103 | 106) || output.rc == 107 && self.skip_post_errors;
        if !fine {
            return Err(self.failure(command, &output));
        }
        let summary = summary(&output.stdout_text());
        Ok((command.clone(), output, summary))
    }

    fn failure(&self, command: &Command, output: &Output) -> Failure {
        let text = output.stdout_text();
        let messages: Vec<String> = between(&text, "<message type=\"error\">", "</message>").map(unescaped).collect();
        let known = output.rc == 104 || self.simple_errors;
        let msg = match messages.is_empty() || !known {
            true => format!("Zypper run command failed with return code {}.", output.rc),
            false => messages.join("\n"),
        };
        Failure::new(msg)
            .with("rc", output.rc)
            .with("cmd", command.words())
            .with("stdout", text)
            .with("stderr", output.stderr_text())
    }
}

/// What the summary says will change, a line a kind of change.
fn summary(xml: &str) -> String {
    let kinds = [
        ("install", "installed"),
        ("upgrade", "updated"),
        ("upgrade-change-arch", "updated"),
        ("upgrade-change-vendor", "updated"),
        ("downgrade", "downgraded"),
        ("reinstall", "reinstalled"),
        ("remove", "removed"),
    ];
    let mut lines = Vec::new();
    for (kind, word) in kinds {
        let mut names = Vec::new();
        for part in between(xml, &format!("<to-{kind}>"), &format!("</to-{kind}>")) {
            names.extend(
                between(part, "<solvable ", ">").filter_map(|tag| between(tag, " name=\"", "\"").next().map(unescaped)),
            );
        }
        if !names.is_empty() {
            lines.push(format!("{word}: {}", names.join(", ")));
        }
    }
    lines.join("\n")
}

/// The texts between two others.
fn between<'a>(text: &'a str, start: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).filter_map(move |rest| rest.split_once(end).map(|(inner, _)| inner))
}

fn unescaped(text: &str) -> String {
    let codes = [("&apos;", "'"), ("&quot;", "\""), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")];
    codes.iter().fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    /// What zypper 1.14 says.
    const INSTALL: &str = "<?xml version='1.0'?>\n<stream>\n<install-summary download-size=\"10978\">\n<to-install>\n\
        <solvable type=\"package\" name=\"aa\" edition=\"2-1\" arch=\"noarch\" summary=\"s\">\n\
        <description>d</description></solvable>\n\
        <solvable type=\"package\" name=\"bb\" edition=\"1-1\" arch=\"noarch\" summary=\"s\">\n\
        <description>d</description></solvable>\n</to-install>\n</install-summary>\n</stream>\n";

    fn stage() -> Stage {
        let stage = Stage::new(&[("/xml", INSTALL)]);
        stage.program(
            "zypper",
            "case \"$*\" in *search*) case \"$*\" in *' there'*) ;; *) exit 104;; esac; echo '<solvable status=\"installed\" name=\"there\"/>'; exit;; *nope*) echo '<message type=\"error\">No provider of &apos;+nope&apos; found.</message>'; exit 104;;\n\
             *broken*) exit 8;; *) cat $R/xml;; esac",
        );
        stage
    }

    #[test]
    fn packages_come_and_go() {
        let stage = stage();
        let args = json!({"name": ["bb", "there"], "disable_gpg_check": true});
        let dry = stage.check::<Zypper>(args.clone()).unwrap();
        assert!(dry.changed && stage.calls().iter().any(|call| call.contains("[--dry-run]")));
        let done = stage.call::<Zypper>(args).unwrap();
        assert_eq!(done.diffs, [Diff::prepared("installed: aa, bb")]);
        assert_eq!(
            stage.calls().pop().unwrap(),
            "zypper [--non-interactive] [--xmlout] [--quiet] [--no-gpg-checks] [install] [--type] [package] \
             [--auto-agree-with-licenses] [--no-recommends] [--] [+bb]"
        );
        assert!(!stage.call::<Zypper>(json!({"name": "there"})).unwrap().changed);
        assert!(!stage.call::<Zypper>(json!({"name": "bb", "state": "absent"})).unwrap().changed);
        stage.calls();
        stage.call::<Zypper>(json!({"name": "there", "state": "absent", "clean_deps": true})).unwrap();
        let call = stage.calls().pop().unwrap();
        assert!(call.ends_with("[remove] [--type] [package] [--clean-deps] [there]"), "{call}");
        stage.call::<Zypper>(json!({"name": "*", "state": "latest", "update_cache": true})).unwrap();
        let calls = stage.calls();
        assert!(calls[0].ends_with("[refresh]") && calls[1].contains("[update] [--type] [package]"), "{calls:?}");
        stage.call::<Zypper>(json!({"name": ["a>=2", "-there"]})).unwrap();
        assert!(stage.calls().pop().unwrap().ends_with("[--oldpackage] [--] [+a>=2] [-there]"));
    }

    #[test]
    fn what_does_not_work_is_told() {
        let stage = stage();
        let failure = stage.call::<Zypper>(json!({"name": "nope"})).unwrap_err();
        assert_eq!((failure.msg.as_str(), &failure.fields["rc"]), ("No provider of '+nope' found.", &json!(104)));
        let failure = stage.call::<Zypper>(json!({"name": "broken"})).unwrap_err();
        assert_eq!(failure.msg, "Zypper run command failed with return code 8.");
        for bad in [
            json!({"name": "--root=/x"}),
            json!({"name": "+-root", "state": "absent"}),
            json!({"name": "a", "type": "patch", "state": "absent"}),
            json!({"name": []}),
            json!({"name": "*"}),
            json!({"name": "a", "extra_args": "'"}),
        ] {
            assert!(stage.call::<Zypper>(bad).is_err());
        }
    }
}
