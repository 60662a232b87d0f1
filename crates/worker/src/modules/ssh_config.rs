//! `community.general.ssh_config`: hosts in the configuration of ssh.

use std::path::PathBuf;

use rplay_protocol::Object;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::files::{self, text};
use crate::args::{Mode, PathArg, Presence as State};
use crate::host::{Attributes, Diff, Host, WriteOptions};
use crate::module::{Context, Failure, Module, Outcome};

/// Manages hosts, and their options, in the configuration of ssh.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct SshConfig {
    /// Whether the host should be there.
    #[serde(default)]
    state: State,
    /// The user whose configuration it is.
    #[serde(default)]
    user: Option<String>,
    /// The group that the file belongs to.
    #[serde(default)]
    group: Option<String>,
    /// The file; `/etc/ssh/ssh_config` when there is no user either.
    #[serde(default)]
    ssh_config_file: Option<PathArg>,
    /// The host, or its patterns.
    host: String,
    /// `HostName`
    #[serde(default)]
    hostname: Option<String>,
    /// `Port`
    #[serde(default)]
    port: Option<String>,
    /// `User`
    #[serde(default)]
    remote_user: Option<String>,
    /// `IdentityFile`, which must be there.
    #[serde(default)]
    identity_file: Option<PathArg>,
    /// `IdentitiesOnly`
    #[serde(default)]
    identities_only: Option<bool>,
    /// `UserKnownHostsFile`
    #[serde(default)]
    user_known_hosts_file: Option<String>,
    /// `StrictHostKeyChecking`
    #[serde(default)]
    strict_host_key_checking: Option<Strict>,
    /// `ProxyCommand`
    #[serde(default)]
    proxycommand: Option<String>,
    /// `ProxyJump`
    #[serde(default)]
    proxyjump: Option<String>,
    /// `ForwardAgent`
    #[serde(default)]
    forward_agent: Option<bool>,
    /// `AddKeysToAgent`
    #[serde(default)]
    add_keys_to_agent: Option<bool>,
    /// `HostKeyAlgorithms`
    #[serde(default)]
    host_key_algorithms: Option<String>,
    /// `ControlMaster`
    #[serde(default)]
    controlmaster: Option<Master>,
    /// `ControlPath`
    #[serde(default)]
    controlpath: Option<String>,
    /// `ControlPersist`
    #[serde(default)]
    controlpersist: Option<String>,
    /// `DynamicForward`
    #[serde(default)]
    dynamicforward: Option<String>,
    /// Other options, by their names in lower case.
    #[serde(default)]
    other_options: Option<Object>,
}

/// `StrictHostKeyChecking`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Strict {
    Yes,
    No,
    Ask,
    AcceptNew,
}

/// `ControlMaster`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Master {
    Yes,
    No,
    Ask,
    Auto,
    Autoask,
}

impl Module for SshConfig {
    const NAME: &'static str = "community.general.ssh_config";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        if self.user.is_some() && self.ssh_config_file.is_some() {
            return Err("parameters are mutually exclusive: user|ssh_config_file".to_owned());
        }
        if self.proxycommand.is_some() && self.proxyjump.is_some() {
            return Err("parameters are mutually exclusive: proxycommand|proxyjump".to_owned());
        }
        if self.host.trim().is_empty() {
            return Err("host must not be empty".to_owned());
        }
        for (key, value) in self.other_options.iter().flatten() {
            if key.to_lowercase() != *key {
                return Err(format!("The other_options key '{key}' must be lower case"));
            }
            if !value.is_string() {
                let msg = format!("The other_options value provided for key '{key}' must be a string");
                return Err(format!("{msg}, got {value}"));
            }
            if key.is_empty() || key.contains(|c: char| c.is_whitespace() || c == '=' || c == '#') {
                return Err(format!("'{key}' is not the name of an option"));
            }
        }
        let options = self.options(None);
        let mut names: Vec<&str> = options.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("Multiple values provided for key '{}'", twice[0]));
        }
        if options.iter().any(|(_, value)| value.contains(['\n', '\r'])) || self.host.contains(['\n', '\r']) {
            return Err("host and options must be one line each".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let identity = self.identity_file.as_ref().map(|path| host.path(path)).transpose()?;
        if let Some(path) = identity.as_ref().filter(|_| self.state == State::Present)
            && !host.exists(path)?
        {
            return Err(Failure::new(format!("IdentityFile {} does not exist", text(path))));
        }
        let path = self.path(host)?;
        let old = host.read_if_exists(&path)?;
        let there = old.is_some();
        let old = String::from_utf8(old.unwrap_or_default()).context(|| format!("cannot edit {}", text(&path)))?;
        let mut lines: Vec<String> = old.lines().map(ToOwned::to_owned).collect();
        let name = self.host.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut outcome = Outcome::unchanged();
        let block = block(&lines, &name);
        let (mut added, mut changed, mut removed, mut differences) = (json!([]), json!([]), json!([]), json!([]));
        let options = self.options(identity);
        match (self.state, block) {
            (State::Absent, Some((start, end))) => {
                remove(&mut lines, start, end);
                removed = json!([name]);
            }
            (State::Absent, None) => {}
            (State::Present, Some((start, end))) => {
                let before = told(&lines[start + 1..end]);
                if merge(&mut lines, start, end, &options) {
                    let new: Object = options.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
                    changed = json!([name]);
                    differences = json!([{ name.clone(): {"old": before, "new": new} }]);
                }
            }
            (State::Present, None) if !options.is_empty() => {
                lines.push(format!("Host {name}"));
                lines.extend(options.iter().map(|(key, value)| format!("    {key} {value}")));
                added = json!([name]);
            }
            (State::Present, None) => {}
        }
        let new: String = lines.iter().map(|line| format!("{line}\n")).collect();
        outcome.changed = [&added, &changed, &removed].iter().any(|list| **list != json!([]));
        if outcome.changed {
            self.write(host, &path, there, old, new, &mut outcome)?;
        }
        let outcome = outcome.with("hosts_changed", changed).with("hosts_removed", removed);
        Ok(outcome.with("hosts_change_diff", differences).with("hosts_added", added))
    }
}

impl SshConfig {
    fn path(&self, host: &Host) -> Result<PathBuf, Failure> {
        match (&self.ssh_config_file, &self.user) {
            (Some(path), _) => host.path(path),
            (None, Some(name)) => {
                let user = host.user(name)?.ok_or_else(|| Failure::new(format!("there is no user {name}")))?;
                Ok(user.home.join(".ssh/config"))
            }
            (None, None) => Ok(PathBuf::from("/etc/ssh/ssh_config")),
        }
    }

    /// The options that are given, by their names in the file, in the order in which they are written.
    fn options(&self, identity: Option<PathBuf>) -> Vec<(String, String)> {
        let bool = |value: Option<bool>| value.map(|value| if value { "yes" } else { "no" }.to_owned());
        let strict = self.strict_host_key_checking.map(|value| match value {
            Strict::Yes => "yes",
            Strict::No => "no",
            Strict::Ask => "ask",
            Strict::AcceptNew => "accept-new",
        });
        let master = self.controlmaster.map(|value| match value {
            Master::Yes => "yes",
            Master::No => "no",
            Master::Ask => "ask",
            Master::Auto => "auto",
            Master::Autoask => "autoask",
        });
        let identity =
            identity.map(|path| text(&path)).or_else(|| self.identity_file.as_ref().map(|path| path.0.clone()));
        let named = [
            ("hostname", self.hostname.clone()),
            ("port", self.port.clone()),
            ("identityfile", identity),
            ("identitiesonly", bool(self.identities_only)),
            ("user", self.remote_user.clone()),
            ("stricthostkeychecking", strict.map(ToOwned::to_owned)),
            ("userknownhostsfile", self.user_known_hosts_file.clone()),
            ("proxycommand", self.proxycommand.clone()),
            ("proxyjump", self.proxyjump.clone()),
            ("hostkeyalgorithms", self.host_key_algorithms.clone()),
            ("forwardagent", bool(self.forward_agent)),
            ("addkeystoagent", bool(self.add_keys_to_agent)),
            ("controlmaster", master.map(ToOwned::to_owned)),
            ("controlpath", self.controlpath.clone()),
            ("controlpersist", self.controlpersist.clone()),
            ("dynamicforward", self.dynamicforward.clone()),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let other = self.other_options.iter().flatten();
        named.chain(other.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))).collect()
    }

    /// Writes the file, which nobody else may read where it is a user's or one that was named.
    fn write(
        &self,
        host: &Host,
        path: &std::path::Path,
        there: bool,
        old: String,
        new: String,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            files::make_directories(host, parent, None)?;
        }
        let private = self.user.is_some() || self.ssh_config_file.is_some();
        let mode = if private || !there { 0o600 } else { 0o644 };
        let options = WriteOptions { mode_if_new: Some(mode), ..WriteOptions::default() };
        files::write_through(host, path, new.as_bytes(), &options)?;
        outcome.diffs.push(Diff::text(old, new).headers(text(path), text(path)));
        let wanted = Attributes {
            mode: private.then_some(Mode::Bits(0o600)),
            owner: self.user.clone(),
            group: self.group.clone(),
            ..Attributes::default()
        };
        files::settle(host, path, &wanted, true, outcome)
    }
}

/// An option's name in lower case and its value; `None` for blank lines and comments.
fn option(line: &str) -> Option<(String, &str)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
    let rest = line[end..].trim_start();
    Some((line[..end].to_lowercase(), rest.strip_prefix('=').unwrap_or(rest).trim_start()))
}

/// Where the lines of a host begin, with the one that names it, and end.
fn block(lines: &[String], name: &str) -> Option<(usize, usize)> {
    let header = |line: &String| option(line).filter(|(key, _)| key == "host" || key == "match").is_some();
    let named = |line: &String| {
        option(line)
            .is_some_and(|(key, value)| key == "host" && value.split_whitespace().collect::<Vec<_>>().join(" ") == name)
    };
    let start = lines.iter().position(named)?;
    let end = lines.iter().skip(start + 1).position(header).map_or(lines.len(), |at| start + 1 + at);
    Some((start, end))
}

/// The options of lines, as results tell them: a key file is one of a list.
fn told(lines: &[String]) -> Object {
    let mut out = Object::new();
    for (key, value) in lines.iter().filter_map(|line| option(line)) {
        if key == "identityfile" {
            let list = out.entry(key).or_insert_with(|| json!([]));
            list.as_array_mut().into_iter().for_each(|list| list.push(json!(value)));
        } else {
            out.entry(key).or_insert_with(|| json!(value));
        }
    }
    out
}

/// Gives a host's lines these options; whether any was another.
fn merge(lines: &mut Vec<String>, start: usize, end: usize, options: &[(String, String)]) -> bool {
    let mut own: Vec<String> = lines[start + 1..end].to_vec();
    let before = own.clone();
    for (key, value) in options {
        let places: Vec<usize> =
            (0..own.len()).filter(|at| option(&own[*at]).is_some_and(|(held, _)| held == *key)).collect();
        let last = own.iter().rposition(|line| option(line).is_some());
        let indent = last.map_or("    ", |at| &own[at][..own[at].len() - own[at].trim_start().len()]).to_owned();
        let line = format!("{indent}{key} {value}");
        match places[..] {
            [] => own.insert(last.map_or(0, |at| at + 1), line),
            [place] if option(&own[place]).is_some_and(|(_, held)| held == value || held == format!("\"{value}\"")) => {
            }
            [first, ref rest @ ..] => {
                own[first] = line;
                rest.iter().rev().for_each(|at| {
                    own.remove(*at);
                });
            }
        }
    }
    let changed = own != before;
    lines.splice(start + 1..end, own);
    changed
}

/// Takes a host and its options out; comments and blank lines stay.
fn remove(lines: &mut Vec<String>, start: usize, end: usize) {
    let kept: Vec<String> = lines[start + 1..end].iter().filter(|line| option(line).is_none()).cloned().collect();
    lines.splice(start..end, kept);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

    use super::super::stage::Stage;
    use super::*;

    const FILE: &str = "# top\nUser top\nHost one\n    HostName 1.1.1.1\n    Port 22\n    # inner\n    IdentityFile ~/a\n    IdentityFile ~/b\n\n\
        Host two  three\n\thostname=2.2.2.2\nMatch host x\n    User m\n";

    fn with(args: &Value) -> Value {
        let mut all = json!({"ssh_config_file": "/c"});
        all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
        all
    }

    #[test]
    fn hosts_have_their_options() {
        let replace = |from: &str, to: &str| FILE.replacen(from, to, 1);
        for (args, key, file) in [
            (json!({"host": "one", "port": "2222"}), "hosts_changed", replace("    Port 22", "    port 2222")),
            (json!({"host": "one", "port": 22, "hostname": "1.1.1.1"}), "", FILE.to_owned()),
            (
                json!({"host": "one", "identity_file": "/key", "forward_agent": false}),
                "hosts_changed",
                replace("    IdentityFile ~/a\n    IdentityFile ~/b\n", "    identityfile /key\n    forwardagent no\n"),
            ),
            (
                json!({"host": "two three", "remote_user": "u"}),
                "hosts_changed",
                replace("2.2.2.2\n", "2.2.2.2\n\tuser u\n"),
            ),
            (
                json!({"host": "new", "strict_host_key_checking": false, "port": 1, "other_options": {"sendenv": "A B"}}),
                "hosts_added",
                format!("{FILE}Host new\n    port 1\n    stricthostkeychecking no\n    sendenv A B\n"),
            ),
            (json!({"host": "new"}), "", FILE.to_owned()),
            (
                json!({"host": "one", "state": "absent"}),
                "hosts_removed",
                replace("Host one\n    HostName 1.1.1.1\n    Port 22\n", "").replacen(
                    "    IdentityFile ~/a\n    IdentityFile ~/b\n",
                    "",
                    1,
                ),
            ),
            (json!({"host": "two", "state": "absent"}), "", FILE.to_owned()),
        ] {
            let stage = Stage::new(&[("/c", FILE), ("/key", "")]);
            let all = with(&args);
            let dry = stage.check::<SshConfig>(all.clone()).unwrap();
            assert_eq!(stage.text("/c"), FILE);
            let made = stage.call::<SshConfig>(all.clone()).unwrap();
            assert_eq!(
                (stage.text("/c"), dry.changed, made.changed),
                (file, !key.is_empty(), !key.is_empty()),
                "{args}"
            );
            for list in ["hosts_changed", "hosts_added", "hosts_removed"] {
                let wanted = if list == key { json!([args["host"]]) } else { json!([]) };
                assert_eq!((&dry.fields[list], &made.fields[list]), (&wanted, &wanted), "{args}");
            }
            assert!(!stage.call::<SshConfig>(all).unwrap().changed, "{args}");
        }
    }

    #[test]
    fn differences_are_told() {
        let stage = Stage::new(&[("/c", FILE)]);
        let made = stage.call::<SshConfig>(with(&json!({"host": "one", "port": "1"}))).unwrap();
        let old = json!({"hostname": "1.1.1.1", "port": "22", "identityfile": ["~/a", "~/b"]});
        assert_eq!(made.fields["hosts_change_diff"], json!([{"one": {"old": old, "new": {"port": "1"}}}]));
        assert_eq!(stage.host().wanted_mode(None, 0, false).unwrap(), None);
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(stage.real("/c")).unwrap());
        assert_eq!(mode & 0o777, 0o600);
        let made = stage.call::<SshConfig>(json!({"ssh_config_file": "/d/c", "host": "x", "hostname": "y"})).unwrap();
        assert_eq!((made.changed, stage.text("/d/c")), (true, "Host x\n    hostname y\n".to_owned()));
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (args, word) in [
            (json!({"host": "x", "user": "root"}), "user|ssh_config_file"),
            (json!({"host": "x", "proxyjump": "a", "proxycommand": "b"}), "proxycommand|proxyjump"),
            (json!({"host": "x", "other_options": {"User": "a"}}), "key 'User' must be lower case"),
            (json!({"host": "x", "other_options": {"user": 5}}), "must be a string"),
            (
                json!({"host": "x", "other_options": {"port": "5"}, "port": 5}),
                "Multiple values provided for key 'port'",
            ),
            (json!({"host": "x", "identity_file": "/none"}), "IdentityFile /none does not exist"),
            (json!({"host": "x", "hostname": "a\nb"}), "one line each"),
            (json!({"host": " "}), "must not be empty"),
        ] {
            let stage = Stage::new(&[("/c", FILE)]);
            assert!(stage.call::<SshConfig>(with(&args)).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
