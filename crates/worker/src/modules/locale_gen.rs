//! `community.general.locale_gen`: the locales of Debian and Ubuntu.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use super::files;
use crate::args::Presence as State;
use crate::host::{Command, Diff, Host, WriteOptions};
use crate::module::{Context, Failure, Module, Outcome};

/// Manages which locales there are.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct LocaleGen {
    /// The locales, as in `de_CH.UTF-8`.
    name: Vec<String>,
    /// Whether they should be there.
    #[serde(default)]
    state: State,
}

const FILE: &str = "/etc/locale.gen";

impl Module for LocaleGen {
    const NAME: &'static str = "community.general.locale_gen";
    const ALONE: bool = true;

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = Path::new(FILE);
        let Some(old) = host.read_if_exists(path)? else {
            return Err(Failure::new(format!(
                "{FILE} is missing. Is the package \"locales\" installed? (/var/lib/locales/supported.d is not supported.)"
            )));
        };
        let old = String::from_utf8(old).context(|| format!("cannot edit {FILE}"))?;
        let known: Vec<&str> = old.lines().filter_map(entry).map(|(_, name, _)| name).collect();
        let unknown: Vec<&str> = self.name.iter().map(String::as_str).filter(|name| !known.contains(name)).collect();
        if !unknown.is_empty() {
            return Err(Failure::new(format!(
                "The following locales you have entered are not available on your system: {}",
                unknown.join(", ")
            )));
        }
        let present = self.state == State::Present;
        let before = self.there(host)?;
        let mut outcome = Outcome::unchanged().with("mechanism", "glibc").with("ubuntu_mode", false);
        outcome.set("name", self.name.clone());
        if before.contains(&!present) {
            let new = self.edit(&old);
            // One that is always there (`C.UTF-8`) does not go.
            outcome.changed = present || new != old;
            files::write_through(host, path, new.as_bytes(), &WriteOptions::default())?;
            if new != old {
                outcome.diffs.push(Diff::text(old, new).headers(FILE, FILE));
            }
            let program = host.require_program("locale-gen")?;
            if let Some(output) = host.run(&Command::new(&program))?.filter(|output| output.rc != 0) {
                let failure = Failure::new(output.complaint()).with("rc", output.rc).with("cmd", files::text(&program));
                return Err(failure.with("stdout", output.stdout_text()).with("stderr", output.stderr_text()));
            }
            if !host.check_mode() {
                outcome.changed = self.there(host)? != before || !outcome.diffs.is_empty();
            }
        }
        Ok(outcome)
    }
}

impl LocaleGen {
    /// Which of the locales there are.
    fn there(&self, host: &Host) -> Result<Vec<bool>, Failure> {
        let said = host.query_ok(&Command::new(host.require_program("locale")?).arg("-a"))?.stdout_text();
        let there: Vec<String> = said.lines().map(normal).collect();
        Ok(self.name.iter().map(|name| there.contains(&normal(name))).collect())
    }

    /// The list with the locales switched on or off.
    fn edit(&self, old: &str) -> String {
        let line = |line: &str| match entry(line) {
            Some((on, name, charset))
                if on != (self.state == State::Present) && self.name.iter().any(|n| n == name) =>
            {
                format!("{}{name} {charset}\n", if on { "# " } else { "" })
            }
            _ => line.to_owned(),
        };
        old.split_inclusive('\n').map(line).collect()
    }
}

/// A line that names a locale, switched on or off by a `#`: its name and character set.
fn entry(line: &str) -> Option<(bool, &str, &str)> {
    let line = line.trim();
    let off = line.strip_prefix('#');
    let mut words = off.unwrap_or(line).split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(name), Some(charset), None) => Some((off.is_none(), name, charset)),
        _ => None,
    }
}

/// A locale's name as `locale -a` writes it: `de_CH.utf8`.
fn normal(name: &str) -> String {
    let Some((language, rest)) = name.trim().split_once('.') else { return name.trim().to_owned() };
    let (charset, modifier) = rest.split_at(rest.find('@').unwrap_or(rest.len()));
    let charset: String = charset.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{language}.{}{modifier}", charset.to_ascii_lowercase())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::stage::Stage;
    use super::*;

    const LIST: &str =
        "# This file lists locales\n#\n# C.UTF-8 UTF-8\n# de_CH ISO-8859-1\n# de_CH.UTF-8 UTF-8\nen_GB.UTF-8 UTF-8\n";

    #[test]
    fn locales_come_and_go() {
        for (names, state, list) in [
            (json!("de_CH.UTF-8"), "present", Some(LIST.replace("# de_CH.UTF-8", "de_CH.UTF-8"))),
            (json!(["en_GB.UTF-8"]), "present", None),
            (json!(["en_GB.UTF-8"]), "absent", Some(LIST.replace("en_GB.UTF-8", "# en_GB.UTF-8"))),
            (json!(["de_CH"]), "absent", None),
            (json!(["C.UTF-8"]), "absent", None),
        ] {
            let stage = Stage::new(&[(FILE, LIST)]);
            stage.program("locale", "printf 'C.utf8\\nen_GB.utf8\\n'").program("locale-gen", "");
            let args = json!({"name": names.clone(), "state": state});
            assert_eq!(stage.check::<LocaleGen>(args.clone()).unwrap().changed, list.is_some(), "{args}");
            assert_eq!((stage.text(FILE).as_str(), stage.calls()), (LIST, vec!["locale [-a]".to_owned()]));
            let made = stage.call::<LocaleGen>(args).unwrap();
            let always = names == json!(["C.UTF-8"]);
            assert_eq!(
                (made.changed, stage.calls().len()),
                (list.is_some(), 1 + 2 * usize::from(always) + 2 * usize::from(list.is_some()))
            );
            assert_eq!(stage.text(FILE), list.unwrap_or_else(|| LIST.to_owned()));
        }
    }

    #[test]
    fn what_cannot_be_is_told() {
        let stage = Stage::new(&[(FILE, LIST)]);
        stage.program("locale", "").program("locale-gen", "echo boom >&2; exit 3");
        for (names, word) in [("xx_YY.UTF-8", "not available on your system: xx_YY.UTF-8"), ("de_CH", "boom")] {
            let failure = stage.call::<LocaleGen>(json!({"name": names})).unwrap_err();
            assert!(failure.msg.contains(word), "{}", failure.msg);
        }
        assert_eq!(normal("de_DE.ISO-8859-15@euro"), "de_DE.iso885915@euro");
        let failure = Stage::new(&[]).call::<LocaleGen>(json!({"name": "de_CH"})).unwrap_err();
        assert!(failure.msg.contains("is missing"));
    }
}
