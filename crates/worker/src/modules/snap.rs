//! `community.general.snap`.

use rplay_protocol::Object;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::host::{Command, Host};
use crate::module::{Failure, Module, Outcome};

/// Manages snaps and their options.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Snap {
    /// The snaps.
    name: Vec<String>,
    /// What should be.
    #[serde(default)]
    state: State,
    /// Whether the snaps may do everything on the host.
    #[serde(default)]
    classic: bool,
    /// The channel that they follow.
    #[serde(default)]
    channel: Option<String>,
    /// Options, as `key=value` for all or `snap:key=value` for one of the snaps.
    #[serde(default)]
    options: Vec<String>,
    /// Whether snaps without a signature will do.
    #[serde(default)]
    dangerous: bool,
}

/// What should be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Absent,
    #[default]
    Present,
    Enabled,
    Disabled,
}

/// A snap that is installed.
struct Held {
    name: String,
    channel: String,
    disabled: bool,
}

impl Module for Snap {
    const NAME: &'static str = "community.general.snap";

    fn check(&self) -> Result<(), String> {
        if let Some(name) = self.name.iter().find(|name| name.is_empty() || name.starts_with('-')) {
            return Err(format!("'{name}' is not the name of a snap"));
        }
        self.options.iter().try_for_each(|option| parsed(option).map(drop))
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::unchanged();
        let mut commands = Vec::new();
        let version = ask(host, &["version"])?;
        let version: Object = version
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, value)| (name.to_owned(), json!(value.trim())))
            .collect();
        if self.state == State::Present {
            outcome.set("classic", self.classic);
            outcome.set("channel", self.channel.as_deref().unwrap_or("stable"));
        }
        outcome.set("version", version);
        match self.state {
            State::Present => self.present(host, &mut outcome, &mut commands)?,
            state => self.others(host, state, &mut outcome, &mut commands)?,
        }
        if !commands.is_empty() {
            outcome.set("cmd", commands.join("; "));
        }
        Ok(outcome)
    }
}

/// What a command that only reads says.
fn ask(host: &Host, words: &[&str]) -> Result<String, Failure> {
    let command = Command::new(host.require_program("snap")?).args(words).c_locale();
    Ok(host.query_ok(&command)?.stdout_text())
}

/// Runs a command that changes something.
fn change(host: &Host, words: &[&str], commands: &mut Vec<String>) -> Result<(), Failure> {
    let command = Command::new(host.require_program("snap")?).args(words).c_locale();
    if host.run_ok(&command)?.is_some() {
        commands.push(command.words().join(" "));
    }
    Ok(())
}

/// The snaps that are installed: name, version, revision, channel, publisher and notes.
fn installed(host: &Host) -> Result<Vec<Held>, Failure> {
    let said = ask(host, &["list"])?;
    let held = said.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, _, _, channel, _, notes] = words[..] else { return None };
        let disabled = notes.split(',').any(|note| note == "disabled");
        Some(Held { name: name.to_owned(), channel: channel.to_owned(), disabled })
    });
    Ok(held.collect())
}

/// A channel with its track and its risk.
fn whole(channel: &str) -> String {
    match channel {
        "stable" | "candidate" | "beta" | "edge" => format!("latest/{channel}"),
        track if !track.contains('/') => format!("{track}/stable"),
        whole => whole.to_owned(),
    }
}

/// An option: of which snap, its name and its value.
fn parsed(option: &str) -> Result<(Option<&str>, &str, &str), String> {
    let wrong = || format!("Cannot parse set option '{option}'");
    let (name, value) = option.split_once('=').ok_or_else(wrong)?;
    let (snap, key) = match name.split_once(':') {
        Some((snap, key)) => (Some(snap), key),
        None => (None, name),
    };
    let letters = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
    if key.is_empty() || key.starts_with('-') || !key.chars().all(letters) {
        return Err(wrong());
    }
    Ok((snap, key, value))
}

/// An option's value in what a snap has, as text.
fn held_option(settings: &Value, key: &str) -> Option<String> {
    let value = key.split('.').try_fold(settings, |value, part| value.get(part))?;
    Some(value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned))
}

impl Snap {
    fn present(&self, host: &Host, outcome: &mut Outcome, commands: &mut Vec<String>) -> Result<(), Failure> {
        let names = self.known(host)?;
        let held = installed(host)?;
        let find = |name: &String| held.iter().find(|held| held.name == *name);
        outcome.set("snap_names", names.clone());
        let mut flags = Vec::new();
        if self.classic {
            flags.push("--classic");
        }
        if let Some(channel) = self.channel.as_deref() {
            flags.extend(["--channel", channel]);
        }
        let mut done: Vec<String> = Vec::new();
        let missing: Vec<usize> = (0..names.len()).filter(|at| find(&names[*at]).is_none()).collect();
        if !missing.is_empty() {
            let mut words = vec!["install"];
            let plain = self.channel.as_deref() == Some("stable");
            words.extend(flags.iter().filter(|flag| !plain || !matches!(**flag, "--channel" | "stable")));
            if self.dangerous {
                words.push("--dangerous");
            }
            // The program takes channel and confinement with one snap only.
            for at in &missing {
                let name = self.name.get(*at).unwrap_or(&names[*at]);
                change(host, &[&words[..], &[name]].concat(), commands)?;
                done.push(name.clone());
            }
        }
        if let Some(channel) = self.channel.as_deref() {
            let elsewhere = |name: &&String| find(name).is_some_and(|held| whole(&held.channel) != whole(channel));
            for name in names.iter().filter(elsewhere) {
                change(host, &[&["refresh"], &flags[..], &[name]].concat(), commands)?;
                done.push(name.clone());
            }
        }
        let options = self.set_options(host, &names, &missing, commands)?;
        outcome.changed = !done.is_empty() || !options.is_empty();
        if !done.is_empty() {
            outcome.set("snaps_installed", done);
        }
        if !options.is_empty() {
            outcome.set("options_changed", options);
        }
        Ok(())
    }

    /// The names of the snaps as the store, or a file, has them.
    fn known(&self, host: &Host) -> Result<Vec<String>, Failure> {
        let command = Command::new(host.require_program("snap")?).arg("info").args(&self.name).c_locale();
        let output = host.query(&command)?;
        let said = output.stdout_text();
        let names: Vec<String> =
            said.lines().filter_map(|line| line.strip_prefix("name:")).map(|name| name.trim().to_owned()).collect();
        if output.rc != 0 || names.len() != self.name.len() {
            let missing: Vec<&String> = self.name.iter().filter(|name| !names.contains(name)).collect();
            let failure = Failure::new(format!("Snaps not found: {missing:?}. {}", output.stderr_text().trim()));
            return Err(failure.with("rc", output.rc));
        }
        Ok(names)
    }

    /// Sets the options that are not as they should be.
    fn set_options(
        &self,
        host: &Host,
        names: &[String],
        missing: &[usize],
        commands: &mut Vec<String>,
    ) -> Result<Vec<String>, Failure> {
        let wanted: Vec<_> = self.options.iter().filter_map(|option| Some((option, parsed(option).ok()?))).collect();
        for (option, (snap, ..)) in &wanted {
            if snap.is_some_and(|snap| !names.iter().any(|name| name == snap)) {
                let msg = format!("Snap option '{option}' refers to snap which is not in the list of snap names");
                return Err(Failure::new(msg));
            }
        }
        let mut changed = Vec::new();
        for (at, name) in names.iter().enumerate() {
            let own: Vec<_> = wanted.iter().filter(|(_, (snap, ..))| snap.is_none_or(|snap| snap == name)).collect();
            if own.is_empty() {
                continue;
            }
            let settings = if missing.contains(&at) && host.check_mode() { Value::Null } else { settings(host, name)? };
            let mut words = vec!["set".to_owned(), name.clone()];
            for (_, (_, key, value)) in own {
                if held_option(&settings, key).as_deref() != Some(value) {
                    words.push(format!("{key}={value}"));
                    changed.push(format!("{name}:{key}={value}"));
                }
            }
            if words.len() > 2 {
                change(host, &words.iter().map(String::as_str).collect::<Vec<_>>(), commands)?;
            }
        }
        Ok(changed)
    }

    /// Removes, enables or disables those that are not so yet.
    fn others(
        &self,
        host: &Host,
        state: State,
        outcome: &mut Outcome,
        commands: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let held = installed(host)?;
        let find = |name: &String| held.iter().find(|held| held.name == *name);
        let (verb, key) = match state {
            State::Absent => ("remove", "snaps_removed"),
            State::Enabled => ("enable", "snaps_enabled"),
            _ => ("disable", "snaps_disabled"),
        };
        let wanted = |name: &&String| match (state, find(name)) {
            (State::Absent, held) => held.is_some(),
            // Enabling one that is not there makes the program fail.
            (state, None) => state == State::Enabled,
            (State::Enabled, Some(held)) => held.disabled,
            (_, Some(held)) => !held.disabled,
        };
        let names: Vec<&str> = self.name.iter().filter(wanted).map(String::as_str).collect();
        if names.is_empty() {
            return Ok(());
        }
        if state == State::Absent {
            change(host, &[&[verb], &names[..]].concat(), commands)?;
        } else {
            names.iter().try_for_each(|name| change(host, &[verb, name], commands))?;
        }
        outcome.changed = true;
        outcome.set(key, names);
        Ok(())
    }
}

/// The options that a snap has; it ends with an error where there is none.
fn settings(host: &Host, name: &str) -> Result<Value, Failure> {
    let output = host.query(&Command::new(host.require_program("snap")?).args(["get", "-d", name]).c_locale())?;
    Ok(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    const PROGRAM: &str = "case $1 in version) echo 'snap    2.6';; list) cat $R/list;; info) shift; for s in \"$@\"; do case $s in bad*) echo no >&2; exit 1;;\
        *) echo \"name:   $s\";; esac; done;; get) cat $R/options;; enable) [ $2 = zz ] && exit 1; true;; esac";
    const LIST: &str = "Name Version Rev Tracking Publisher Notes\none 1.0 5 latest/stable pub -\ntwo 1.0 5 latest/edge pub disabled\n\
        three 1 2 1.0/stable pub classic\n";

    fn stage() -> Stage {
        let stage = Stage::new(&[("/list", LIST), ("/options", r#"{"a": "1", "b": {"c": true, "d": 5}}"#)]);
        stage.program("snap", PROGRAM);
        stage
    }

    #[test]
    fn snaps_are_as_they_should_be() {
        for (args, made) in [
            (json!({"name": "one"}), vec![]),
            (json!({"name": "one,new,other"}), vec!["install] [new]", "install] [other]"]),
            (
                json!({"name": "new", "classic": true, "channel": "edge"}),
                vec!["install] [--classic] [--channel] [edge] [new]"],
            ),
            (
                json!({"name": "one,two,a,b", "channel": "beta"}),
                vec![
                    "install] [--channel] [beta] [a]",
                    "install] [--channel] [beta] [b]",
                    "refresh] [--channel] [beta] [one]",
                    "refresh] [--channel] [beta] [two]",
                ],
            ),
            (json!({"name": "zz", "state": "disabled"}), vec![]),
            (json!({"name": "new", "channel": "stable", "dangerous": true}), vec!["install] [--dangerous] [new]"]),
            (json!({"name": "one", "channel": "stable"}), vec![]),
            (json!({"name": "three", "channel": "1.0"}), vec![]),
            (json!({"name": "one", "channel": "edge"}), vec!["refresh] [--channel] [edge] [one]"]),
            (json!({"name": "two", "channel": "stable"}), vec!["refresh] [--channel] [stable] [two]"]),
            (json!({"name": "one", "options": ["a=1", "b.c=true", "one:b.d=5"]}), vec![]),
            (json!({"name": "one", "options": ["a=2", "e=x y"]}), vec!["set] [one] [a=2] [e=x y]"]),
            (json!({"name": "new", "options": ["z=1"]}), vec!["install] [new]", "set] [new] [z=1]"]),
            (json!({"name": "one,two,zz", "state": "absent"}), vec!["remove] [one] [two]"]),
            (json!({"name": "zz", "state": "absent"}), vec![]),
            (json!({"name": "one,two", "state": "disabled"}), vec!["disable] [one]"]),
            (json!({"name": "one,two", "state": "enabled"}), vec!["enable] [two]"]),
        ] {
            let stage = stage();
            let asked =
                |call: &String| ["[version]", "[list]", "[info]", "[get]"].iter().any(|word| call.contains(word));
            let dry = stage.check::<Snap>(args.clone()).unwrap();
            assert!(dry.changed != made.is_empty() && stage.calls().iter().all(asked), "{args}");
            assert_eq!(stage.call::<Snap>(args.clone()).unwrap().changed, !made.is_empty());
            let mut calls = stage.calls();
            calls.retain(|call| !asked(call));
            assert_eq!(calls, made.iter().map(|words| format!("snap [{words}")).collect::<Vec<_>>(), "{args}");
        }
        let told = stage().call::<Snap>(json!({"name": "one,new", "options": ["a=2"]})).unwrap();
        assert_eq!(
            (&told.fields["version"], &told.fields["snaps_installed"]),
            (&json!({"snap": "2.6"}), &json!(["new"]))
        );
        assert_eq!(told.fields["options_changed"], json!(["one:a=2", "new:a=2"]));
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (args, word) in [
            (json!({"name": "-x"}), "not the name of a snap"),
            (json!({"name": "one", "options": ["nonsense"]}), "Cannot parse set option 'nonsense'"),
            (json!({"name": "one", "options": ["two:a=1"]}), "not in the list of snap names"),
            (json!({"name": "bad"}), "Snaps not found: [\"bad\"]"),
            (json!({"name": "zz", "state": "enabled"}), "enable"),
        ] {
            assert!(stage().call::<Snap>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
