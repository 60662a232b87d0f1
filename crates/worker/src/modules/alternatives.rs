//! `community.general.alternatives`: which program stands behind a general name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::files::text;
use crate::args::PathArg;
use crate::host::{Command, Diff, Host};
use crate::module::{Failure, Module, Outcome};

/// Manages the links of update-alternatives.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Alternatives {
    /// The general name.
    name: String,
    /// The program.
    #[serde(default)]
    path: Option<PathArg>,
    /// The family of alternatives, which only distributions of Red Hat have.
    #[serde(default)]
    family: Option<String>,
    /// The link that leads to the program; needed for a name that is new.
    #[serde(default)]
    link: Option<PathArg>,
    /// The priority; 50 for an alternative that is new.
    #[serde(default)]
    priority: Option<i32>,
    /// What should be.
    #[serde(default)]
    state: State,
    /// Links that go with the main one.
    #[serde(default, alias = "slaves")]
    subcommands: Option<Vec<Subcommand>>,
}

/// What should be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Present,
    #[default]
    Selected,
    Auto,
    Absent,
}

/// A link that goes with the main one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
struct Subcommand {
    /// Where it leads.
    path: String,
    /// Its general name.
    name: String,
    /// The link.
    link: String,
}

/// An alternative that is there.
#[derive(Debug, Clone, Default, PartialEq)]
struct Alternative {
    path: String,
    priority: i32,
    subcommands: Vec<Subcommand>,
}

/// What update-alternatives knows of a name.
#[derive(Debug, Default, PartialEq)]
struct Known {
    link: Option<String>,
    automatic: bool,
    selected: Option<String>,
    best: Option<String>,
    alternatives: Vec<Alternative>,
}

impl Module for Alternatives {
    const NAME: &'static str = "community.general.alternatives";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        if self.family.is_some() {
            return Err("family is not supported: only distributions of Red Hat have it".to_owned());
        }
        if self.path.is_none() {
            return Err("one of the following is required: path, family".to_owned());
        }
        let words = std::iter::once(&self.name).chain(self.subcommands.iter().flatten().map(|sub| &sub.name));
        let own = self.link.iter().chain(&self.path).map(|path| &path.0);
        let mut paths = own.chain(self.subcommands.iter().flatten().flat_map(|sub| [&sub.link, &sub.path]));
        if let Some(path) = paths.find(|path| path.starts_with('-')) {
            return Err(format!("'{path}' is not an absolute path"));
        }
        match words.into_iter().find(|word| word.is_empty() || word.starts_with('-') || word.contains('/')) {
            Some(word) => Err(format!("'{word}' is not the name of an alternative")),
            None => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = self.path.as_ref().map(|path| host.path(path)).transpose()?.map(|path| text(&path));
        let path = path.unwrap_or_default();
        let program = host.require_program("update-alternatives")?;
        let base = Command::new(program).c_locale();
        let asked = host.query(&base.clone().args(["--query", &self.name]))?;
        let known = if asked.rc == 0 { parse(&asked.stdout_text()) } else { Known::default() };
        let held = known.alternatives.iter().find(|held| held.path == path);
        let mut call = Call { host, base, name: &self.name, path: &path, done: Vec::new(), after: json!({}) };
        if self.state == State::Absent {
            if held.is_some() {
                call.run(&["--remove", &self.name, &path])?;
                call.done.push(format!("Remove alternative '{path}' from '{}'.", self.name));
                call.after["state"] = json!("absent");
            }
        } else {
            self.install(&mut call, &known, held)?;
            self.select(&mut call, &known)?;
        }
        let before = self.before(&known, held);
        let outcome = Outcome::new(!call.done.is_empty()).with("msg", call.done.join(" "));
        Ok(outcome.with_diff(Diff::values(before, call.after)))
    }
}

/// A call and what it did.
struct Call<'a> {
    host: &'a Host,
    base: Command,
    name: &'a str,
    path: &'a str,
    done: Vec<String>,
    after: Value,
}

impl Call<'_> {
    fn run(&self, args: &[&str]) -> Result<(), Failure> {
        let command = self.base.clone().args(args);
        match self.host.run(&command)?.filter(|output| output.rc != 0) {
            Some(output) => {
                let failure = Failure::new(output.complaint()).with("rc", output.rc);
                let failure = failure.with("cmd", command.words().join(" ")).with("stdout", output.stdout_text());
                Err(failure.with("stderr", output.stderr_text()))
            }
            None => Ok(()),
        }
    }
}

impl Alternatives {
    fn install(&self, call: &mut Call<'_>, known: &Known, held: Option<&Alternative>) -> Result<(), Failure> {
        let priority = self.priority.or(held.map(|held| held.priority)).unwrap_or(50);
        let subcommands = self.subcommands.clone().or(held.map(|held| held.subcommands.clone())).unwrap_or_default();
        let sorted = |subs: &[Subcommand]| {
            let mut subs = subs.to_vec();
            subs.sort_by(|a, b| a.name.cmp(&b.name));
            subs
        };
        let same = |held: &Alternative| held.priority == priority && sorted(&held.subcommands) == sorted(&subcommands);
        if held.is_some_and(same) {
            return Ok(());
        }
        // In a dry run, an earlier task may be the one that installs the program.
        if !call.host.check_mode() && !call.host.exists(call.path.as_ref())? {
            return Err(Failure::new(format!("Specified path {} does not exist", call.path)));
        }
        let given = self.link.as_ref().map(|link| call.host.path(link)).transpose()?.map(|link| text(&link));
        let Some(link) = known.link.clone().or(given) else {
            return Err(Failure::new(
                "Needed to install the alternative, but unable to do so as we are missing the link",
            ));
        };
        let number = priority.to_string();
        let mut args = vec!["--install", &link, call.name, call.path, &number];
        for sub in &subcommands {
            args.extend(["--slave", &sub.link, &sub.name, &sub.path]);
        }
        call.run(&args)?;
        call.done.push(format!("Install alternative '{}' for '{}'.", call.path, call.name));
        call.after = json!({
            "state": "present", "path": call.path, "family": null, "link": link, "priority": priority,
        });
        if !subcommands.is_empty() {
            call.after["subcommands"] = json!(subcommands);
        }
        Ok(())
    }

    fn select(&self, call: &mut Call<'_>, known: &Known) -> Result<(), Failure> {
        // The first alternative of a name is there in automatic mode.
        let is_new = known.alternatives.is_empty();
        match self.state {
            State::Auto if !is_new && !known.automatic => {
                call.run(&["--auto", call.name])?;
                call.done.push(format!("Set alternative to auto for '{}'.", call.name));
                call.after["state"] = json!("present");
            }
            State::Selected if known.selected.as_deref() != Some(call.path) => {
                call.run(&["--set", call.name, call.path])?;
                call.done.push(format!("Set alternative '{}' for '{}'.", call.path, call.name));
                call.after["state"] = json!("selected");
            }
            _ => {}
        }
        Ok(())
    }

    fn before(&self, known: &Known, held: Option<&Alternative>) -> Value {
        match held {
            Some(held) => {
                // One is taken for selected by hand where another would be better.
                let state = if known.selected == known.best { "present" } else { "selected" };
                let mut before = json!({
                    "state": state, "path": held.path, "priority": held.priority, "link": known.link,
                });
                if !held.subcommands.is_empty() {
                    before["subcommands"] = json!(held.subcommands);
                }
                before
            }
            None if known.alternatives.is_empty() => json!({}),
            None => json!({"state": "absent"}),
        }
    }
}

/// The answer to `--query`: paragraphs of fields, the first about the name, others about its alternatives.
fn parse(text: &str) -> Known {
    let mut known = Known::default();
    let mut links: Vec<(String, String)> = Vec::new();
    let mut slaves = false;
    for line in text.lines() {
        if let Some(entry) = line.strip_prefix(' ') {
            let Some((name, place)) = entry.split_once(' ') else { continue };
            if !slaves {
                continue;
            }
            match known.alternatives.last_mut() {
                None => links.push((name.to_owned(), place.to_owned())),
                Some(held) => {
                    let link = links.iter().find(|(known, _)| known == name).map(|(_, link)| link.clone());
                    held.subcommands.push(Subcommand {
                        path: place.to_owned(),
                        name: name.to_owned(),
                        link: link.unwrap_or_default(),
                    });
                }
            }
            continue;
        }
        let Some((field, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        slaves = field == "Slaves";
        match field {
            "Link" => known.link = Some(value.to_owned()),
            "Status" => known.automatic = value == "auto",
            "Best" => known.best = Some(value.to_owned()),
            "Value" => known.selected = Some(value.to_owned()).filter(|value| value != "none"),
            "Alternative" => known.alternatives.push(Alternative { path: value.to_owned(), ..Alternative::default() }),
            "Priority" => {
                if let Some(held) = known.alternatives.last_mut() {
                    held.priority = value.parse().unwrap_or_default();
                }
            }
            _ => {}
        }
    }
    known
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    const QUERY: &str = "Name: e\nLink: /usr/bin/e\nSlaves:\n e.1 /man/e.1\nStatus: auto\nBest: /bin/a\nValue: /bin/a\n\n\
        Alternative: /bin/a\nPriority: 50\nSlaves:\n e.1 /man/a.1\n\nAlternative: /bin/b\nPriority: 30\nSlaves:\n";

    #[test]
    fn alternatives_are_kept() {
        let install = "[--install] [/usr/bin/e] [e]";
        for (args, calls) in [
            (json!({"path": "/bin/a"}), vec![]),
            (json!({"path": "/bin/b", "state": "auto"}), vec![]),
            (json!({"path": "/bin/b"}), vec!["[--set] [e] [/bin/b]".to_owned()]),
            (json!({"path": "/bin/b", "state": "present", "priority": 9}), vec![format!("{install} [/bin/b] [9]")]),
            (json!({"path": "/bin/a", "subcommands": []}), vec![format!("{install} [/bin/a] [50]")]),
            (
                json!({"path": "/bin/b", "state": "auto", "slaves": [{"name": "e.1", "link": "/man/e.1", "path": "/man/b.1"}]}),
                vec![format!("{install} [/bin/b] [30] [--slave] [/man/e.1] [e.1] [/man/b.1]")],
            ),
            (json!({"path": "/bin/b", "state": "absent"}), vec!["[--remove] [e] [/bin/b]".to_owned()]),
            (json!({"path": "/bin/z", "state": "absent"}), vec![]),
        ] {
            let stage = Stage::new(&[("/query", QUERY), ("/bin/a", ""), ("/bin/b", "")]);
            stage.program("update-alternatives", "[ $1 = --query ] && cat $R/query");
            stage.program("update-alternatives", "case $1 in --query) cat $R/query;; esac");
            let mut all = json!({"name": "e"});
            all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
            assert_eq!(stage.check::<Alternatives>(all.clone()).unwrap().changed, !calls.is_empty(), "{args}");
            assert_eq!(stage.calls(), ["update-alternatives [--query] [e]"]);
            assert_eq!(stage.call::<Alternatives>(all).unwrap().changed, !calls.is_empty());
            let made: Vec<String> = calls.iter().map(|call| format!("update-alternatives {call}")).collect();
            assert_eq!(stage.calls()[1..], made[..], "{args}");
        }
    }

    #[test]
    fn a_new_name_needs_its_link() {
        let stage = Stage::new(&[("/bin/a", "")]);
        stage.program("update-alternatives", "case $1 in --query) exit 2;; esac");
        let args = json!({"name": "n", "path": "/bin/a"});
        assert!(stage.call::<Alternatives>(args).unwrap_err().msg.contains("missing the link"));
        let made = stage.call::<Alternatives>(json!({"name": "n", "path": "/bin/a", "link": "/l"})).unwrap();
        let msg = "Install alternative '/bin/a' for 'n'. Set alternative '/bin/a' for 'n'.";
        assert_eq!((made.changed, made.fields["msg"].as_str()), (true, Some(msg)));
        for (args, word) in [
            (json!({"name": "n", "path": "/bin/z", "link": "/l"}), "does not exist"),
            (json!({"name": "n"}), "one of the following"),
            (json!({"name": "n", "family": "x"}), "family is not supported"),
            (json!({"name": "-n", "path": "/bin/a"}), "not the name"),
        ] {
            assert!(stage.call::<Alternatives>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
