//! `community.general.pacman`.

mod call;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use self::call::Call;
use super::package;
use crate::args::InstallState as State;
use crate::host::{Command, Host, Output};
use crate::module::{Failure, Module, Outcome};

/// Manages packages of Arch Linux.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Pacman {
    /// Packages, groups, files or URLs.
    #[serde(default, alias = "package", alias = "pkg")]
    name: Option<Vec<String>>,
    /// What should be so.
    #[serde(default)]
    state: State,
    /// Whether checks are left out when packages are removed, and lists are fetched in any case.
    #[serde(default)]
    force: bool,
    /// Whether changed configuration files of removed packages are thrown away.
    #[serde(default)]
    remove_nosave: bool,
    /// The program, pacman or one that takes its options.
    #[serde(default = "pacman")]
    executable: String,
    /// Further options.
    #[serde(default)]
    extra_args: String,
    /// Whether the lists of packages are fetched first.
    #[serde(default)]
    update_cache: Option<bool>,
    /// Further options of that.
    #[serde(default)]
    update_cache_extra_args: String,
    /// Whether everything is upgraded.
    #[serde(default)]
    upgrade: Option<bool>,
    /// Further options of that.
    #[serde(default)]
    upgrade_extra_args: String,
    /// Why a package is there.
    #[serde(default)]
    reason: Option<Reason>,
    /// Which packages that is noted of.
    #[serde(default)]
    reason_for: ReasonFor,
}

fn pacman() -> String {
    "pacman".to_owned()
}

/// Why a package is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Reason {
    Dependency,
    Explicit,
}

impl Reason {
    fn of(explicit: bool) -> Self {
        if explicit { Self::Explicit } else { Self::Dependency }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Dependency => "dependency",
            Self::Explicit => "explicit",
        }
    }

    /// The option that asks for packages with it.
    fn query(self) -> &'static str {
        match self {
            Self::Dependency => "--deps",
            Self::Explicit => "--explicit",
        }
    }

    /// The option that notes it.
    fn option(self) -> &'static str {
        match self {
            Self::Dependency => "--asdeps",
            Self::Explicit => "--asexplicit",
        }
    }
}

/// Which packages a reason is noted of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ReasonFor {
    All,
    #[default]
    New,
}

impl Module for Pacman {
    const NAME: &'static str = "community.general.pacman";

    fn check(&self) -> Result<(), String> {
        let upgrade = self.upgrade == Some(true);
        if self.name.is_none() && self.update_cache.is_none() && self.upgrade.is_none() {
            return Err("one of the following is required: name, update_cache, upgrade".into());
        }
        if upgrade && self.name.is_some() {
            return Err("parameters are mutually exclusive: name|upgrade".into());
        }
        for text in [&self.extra_args, &self.update_cache_extra_args, &self.upgrade_extra_args] {
            words(text)?;
        }
        package::names(self.name.as_deref().unwrap_or_default()).map(drop)
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let names = package::names(self.name.as_deref().unwrap_or_default()).map_err(Failure::new)?;
        let program = host.require_program(&self.executable)?;
        let call = Call { host, args: &self, program: Command::new(program).c_locale() };
        let mut said = Said::default();
        let mut outcome = Outcome::unchanged();
        if self.update_cache == Some(true) {
            let changed = call.update(&mut said)?;
            outcome = Outcome::new(changed).with("cache_updated", changed);
        }
        let done = if self.upgrade == Some(true) {
            call.upgrade(&mut said)?
        } else if names.is_empty() {
            None
        } else if self.state == State::Absent {
            Some(call.remove(&names, &mut said)?)
        } else {
            Some(call.install(&names, &mut said)?)
        };
        if let Some(done) = done {
            outcome.changed |= done.changed;
            outcome.set("packages", json!(done.packages));
            // Told whether asked for or not.
            if let Some((before, after)) = done.diff {
                outcome.set("diff", json!({"before": before, "after": after}));
            }
        }
        if said.messages.is_empty() {
            said.messages.push("Nothing to do".into());
        }
        outcome.set("msg", said.messages.join("\n"));
        for (key, text) in [("stdout", said.stdout), ("stderr", said.stderr)] {
            if !text.is_empty() {
                outcome.set(key, text);
            }
        }
        Ok(outcome)
    }
}

/// What is told of a call in all its parts.
#[derive(Default)]
struct Said {
    messages: Vec<String>,
    stdout: String,
    stderr: String,
}

impl Said {
    fn output(&mut self, output: Option<Output>) {
        let Some(output) = output else { return };
        for (all, text) in [(&mut self.stdout, output.stdout_text()), (&mut self.stderr, output.stderr_text())] {
            if !all.is_empty() && !text.is_empty() {
                all.push('\n');
            }
            all.push_str(&text);
        }
    }
}

/// What became of the packages.
struct Done {
    changed: bool,
    packages: Vec<String>,
    /// The packages before and after.
    diff: Option<(String, String)>,
}

impl Done {
    fn unchanged() -> Self {
        Self { changed: false, packages: Vec::new(), diff: None }
    }
}

fn words(text: &str) -> Result<Vec<String>, String> {
    shell_words::split(text).map_err(|e| format!("cannot read the options '{text}': {e}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    fn stage() -> Stage {
        let stage = Stage::new(&[("/db", "vim 9.0-1\nold 1-1\n")]);
        stage.program(
            "pacman",
            "for last; do :; done; case \"$*\" in\n\
             '--query --upgrades') [ -e $R/new ] || { echo 'old 1-1 -> 2-1'; echo 'kept 1-1 -> 2-1 [ignored]'; };;\n\
             '--query --groups'|'--sync --groups --groups') echo 'base aa'; echo 'base vim';;\n\
             '--query') cat $R/db;;\n\
             *nope*) echo 'error: target not found: nope' >&2; exit 1;;\n\
             *--print-format\\ %n-%v*) echo \"$last-1-1\";;\n\
             *--print-format\\ %n\\ %v*) echo \"$last 1-1\";;\n\
             *--print-format*) echo \"$last\";;\n\
             --sync*sysupgrade*) :>$R/new;;\n\
             --noconfirm*--sync*) echo \"$last 1-1\" >>$R/db;;\n\
             --remove*) sed -i \"/^$last /d\" $R/db;; esac",
        );
        stage
    }

    #[test]
    fn packages_come_and_go() {
        let stage = stage();
        let args = json!({"name": ["vim", "aa"], "reason": "dependency"});
        let dry = stage.check::<Pacman>(args.clone()).unwrap();
        assert_eq!((dry.changed, &dry.fields["msg"]), (true, &json!("Would have installed 1 packages")));
        stage.calls();
        let done = stage.call::<Pacman>(args.clone()).unwrap();
        assert_eq!((&done.fields["packages"], &done.fields["msg"]), (&json!(["aa"]), &json!("Installed 1 package(s)")));
        let calls = stage.calls();
        assert!(calls.contains(&"pacman [--noconfirm] [--noprogressbar] [--needed] [--sync] [aa]".to_owned()));
        assert_eq!(calls.last().unwrap(), "pacman [--database] [--asdeps] [aa]");
        assert!(!stage.call::<Pacman>(args).unwrap().changed);
        assert!(!stage.call::<Pacman>(json!({"name": "base"})).unwrap().changed, "all of the group are there");
        let args = json!({"name": "aa", "state": "absent", "remove_nosave": true});
        assert!(stage.check::<Pacman>(args.clone()).unwrap().changed);
        assert_eq!(stage.call::<Pacman>(args.clone()).unwrap().fields["msg"], "Removed 1 package(s)");
        assert_eq!(stage.call::<Pacman>(args).unwrap().fields["msg"], "package(s) already absent");
    }

    #[test]
    fn everything_is_upgraded() {
        let stage = stage();
        let args = json!({"upgrade": true});
        assert_eq!(stage.check::<Pacman>(args.clone()).unwrap().fields["msg"], "1 packages would have been upgraded");
        let done = stage.call::<Pacman>(args.clone()).unwrap();
        assert_eq!(
            (&done.fields["packages"], &done.fields["diff"]),
            (&json!(["old"]), &json!({"before": "old-1-1\n", "after": "old-2-1\n"}))
        );
        assert_eq!(stage.call::<Pacman>(args).unwrap().fields["msg"], "Nothing to upgrade");
        stage.calls();
        stage.call::<Pacman>(json!({"update_cache": true, "force": true})).unwrap();
        assert_eq!(stage.calls(), ["pacman [--sync] [--refresh] [--refresh] [--noconfirm]"]);
    }

    #[test]
    fn what_cannot_be_is_told() {
        let stage = stage();
        for (args, word) in [
            (json!({"name": "nope"}), "Failed to list package nope"),
            (json!({}), "one of the following is required"),
            (json!({"name": "a", "upgrade": true}), "mutually exclusive"),
            (json!({"name": "--root"}), "not the name of a package"),
            (json!({"name": "a", "extra_args": "'"}), "cannot read the options"),
        ] {
            assert!(stage.call::<Pacman>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
