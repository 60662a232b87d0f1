//! `ansible.builtin.dpkg_selections`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::args::is_word;
use crate::host::{Command, Diff, Host};
use crate::module::{Failure, Module, Outcome};

/// Says what dpkg should do with a package: keep it as it is, for instance.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DpkgSelections {
    /// The package.
    name: String,
    /// What should be done with it.
    selection: Selection,
}

/// What should be done with a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Selection {
    Install,
    Hold,
    Deinstall,
    Purge,
}

impl Selection {
    fn word(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Hold => "hold",
            Self::Deinstall => "deinstall",
            Self::Purge => "purge",
        }
    }
}

impl Module for DpkgSelections {
    const NAME: &'static str = "ansible.builtin.dpkg_selections";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        if is_word(&self.name) { Ok(()) } else { Err(format!("'{}' is not the name of a package", self.name)) }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let dpkg = host.require_program("dpkg")?;
        let ask = Command::new(&dpkg).args(["--get-selections", "--", &self.name]).c_locale();
        let said = host.query_ok(&ask)?.stdout_text();
        let Some(before) = said.split_whitespace().nth(1) else {
            return Err(Failure::new(format!("Failed to find package '{}' to perform selection.", self.name)));
        };
        let after = self.selection.word();
        let changed = before != after;
        if changed {
            let line = format!("{} {after}\n", self.name);
            host.run_ok(&Command::new(&dpkg).arg("--set-selections").stdin(line).c_locale())?;
        }
        let outcome = Outcome::new(changed).with("before", before).with("after", after);
        Ok(outcome.with_diff(Diff::values(json!({"selection": before}), json!({"selection": after}))))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    #[test]
    fn selections_are_set_once() {
        let stage = Stage::new(&[("/selection", "install")]);
        stage.program(
            "dpkg",
            "case $1 in --get-selections) [ $3 = known ] && echo \"known $(cat $R/selection)\"; exit 0;;\n\
             *) read name selection; printf '%s' $selection >$R/selection;; esac",
        );
        let args = json!({"name": "known", "selection": "hold"});
        let dry = stage.check::<DpkgSelections>(args.clone()).unwrap();
        assert_eq!((dry.changed, stage.text("/selection").as_str()), (true, "install"));
        let made = stage.call::<DpkgSelections>(args.clone()).unwrap();
        assert_eq!((made.fields["before"].as_str(), made.fields["after"].as_str()), (Some("install"), Some("hold")));
        assert_eq!(stage.text("/selection"), "hold");
        assert!(!stage.call::<DpkgSelections>(args).unwrap().changed);
        for (name, word) in [("other", "Failed to find package"), ("-x", "not the name"), ("a b", "not the name")] {
            let failure = stage.call::<DpkgSelections>(json!({"name": name, "selection": "hold"})).unwrap_err();
            assert!(failure.msg.contains(word), "{}", failure.msg);
        }
    }
}
