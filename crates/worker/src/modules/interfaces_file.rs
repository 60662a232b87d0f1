//! `community.general.interfaces_file`: the interfaces of Debian's ifupdown.

use rplay_protocol::Object;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::files::{self, text};
use crate::args::{PathArg, Presence as State, file_arguments};
use crate::host::{Diff, Host, WriteOptions};
use crate::module::{Context, Failure, Module, Outcome};

file_arguments! {
    /// Manages single options of interfaces, and gives all of them.
    #[derive(Debug, Deserialize, JsonSchema)]
    pub struct InterfacesFile {
        /// The file.
        #[serde(default = "file")]
        dest: PathArg,
        /// The interface.
        #[serde(default)]
        iface: Option<String>,
        /// The family of addresses, where an interface is there for several.
        #[serde(default)]
        address_family: Option<String>,
        /// The option.
        #[serde(default)]
        option: Option<String>,
        /// Its value.
        #[serde(default)]
        value: Option<String>,
        /// Whether the old content is kept.
        #[serde(default)]
        backup: bool,
        /// Whether the option should be there.
        #[serde(default)]
        state: State,
    }
}

fn file() -> PathArg {
    PathArg("/etc/network/interfaces".to_owned())
}

/// Options of which there may be several.
const LISTS: [&str; 4] = ["down", "post-up", "pre-up", "up"];

impl Module for InterfacesFile {
    const NAME: &'static str = "community.general.interfaces_file";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        let Some(option) = &self.option else { return Ok(()) };
        if self.iface.is_none() {
            return Err("missing parameter(s) required by 'option': iface".to_owned());
        }
        if option.is_empty() || option.contains(char::is_whitespace) {
            return Err("option must be one word".to_owned());
        }
        if self.state == State::Present && self.value.as_deref().unwrap_or_default().is_empty() {
            return Err("Value must be set if option is defined and state is 'present'".to_owned());
        }
        if self.value.as_deref().unwrap_or_default().contains('\n') {
            return Err("value must be one line".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.dest)?;
        let old = String::from_utf8(host.read(&path)?).context(|| format!("cannot edit {}", path.display()))?;
        let mut lines: Vec<String> = old.lines().map(ToOwned::to_owned).collect();
        if let Some(option) = &self.option {
            let section = self.section(&lines)?;
            match self.state {
                State::Present => self.set(&mut lines, section, option),
                State::Absent => self.unset(&mut lines, section, option),
            }
        }
        let mut new = lines.join("\n");
        if old.ends_with('\n') || old.lines().count() != lines.len() {
            new.push('\n');
        }
        let mut outcome = Outcome::new(old != new).with("dest", text(&path)).with("ifaces", interfaces(&lines));
        if outcome.changed {
            let options =
                WriteOptions { backup: self.backup, unsafe_writes: self.unsafe_writes, ..WriteOptions::default() };
            let written = files::write_through(host, &path, new.as_bytes(), &options)?;
            if let Some(backup) = written.backup_file {
                outcome.set("backup_file", text(&backup));
            }
            outcome.diffs.push(Diff::text(old, new).headers(text(&path), text(&path)));
        }
        files::settle(host, &path, &self.file_attributes(), true, &mut outcome)?;
        files::describe(host, &path, &mut outcome)?;
        outcome.fields.shift_remove("path");
        Ok(outcome)
    }
}

impl InterfacesFile {
    /// Where the interface's lines begin, with the one that names it, and end: the last of several.
    fn section(&self, lines: &[String]) -> Result<(usize, usize), Failure> {
        let wanted = self.iface.as_deref().unwrap_or_default();
        let named = |line: &String| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let family = self.address_family.as_deref();
            matches!(words[..], ["iface", name, held, ..] if name == wanted && family.is_none_or(|family| family == held))
        };
        let start = lines.iter().rposition(named);
        let start = start.ok_or_else(|| Failure::new(format!("Error: interface {wanted} not found")))?;
        let end = lines.iter().skip(start + 1).take_while(|line| !is_stanza(line)).count();
        Ok((start, start + 1 + end))
    }

    fn set(&self, lines: &mut Vec<String>, (start, end): (usize, usize), option: &str) {
        let value = self.value.as_deref().unwrap_or_default();
        let list = LISTS.contains(&option);
        if option == "method" || option == "address_family" {
            // These stand in the line that names the interface.
            let mut words: Vec<&str> = lines[start].split_whitespace().collect();
            let place = if option == "method" { 3 } else { 2 };
            if words.get(place).is_some_and(|held| *held != value) {
                words[place] = value;
                lines[start] = words.join(" ");
            }
            return;
        }
        let held = |line: &String| setting(line).is_some_and(|(name, held)| name == option && (!list || held == value));
        if let Some(at) = lines[start + 1..end].iter().rposition(held).map(|at| at + start + 1) {
            if let Some((_, old)) = setting(&lines[at]).filter(|(_, old)| *old != value) {
                let before = lines[at].trim_end().len() - old.len();
                lines[at] = format!("{}{value}", &lines[at][..before]);
            }
            return;
        }
        let last = lines[start + 1..end].iter().rposition(|line| setting(line).is_some()).map(|at| at + start + 1);
        let indent = last.map_or("    ", |at| &lines[at][..lines[at].len() - lines[at].trim_start().len()]);
        let line = format!("{indent}{option} {value}");
        lines.insert(last.unwrap_or(start) + 1, line);
    }

    fn unset(&self, lines: &mut Vec<String>, (start, end): (usize, usize), option: &str) {
        let value = self.value.as_deref().filter(|_| LISTS.contains(&option));
        let goes = |line: &String| {
            setting(line).is_some_and(|(name, held)| name == option && value.is_none_or(|value| value == held))
        };
        let kept: Vec<String> = lines[start + 1..end].iter().filter(|line| !goes(line)).cloned().collect();
        lines.splice(start + 1..end, kept);
    }
}

/// Whether a line begins something other than an option.
fn is_stanza(line: &str) -> bool {
    let word = line.split_whitespace().next().unwrap_or_default();
    matches!(word, "iface" | "auto" | "mapping" | "source" | "source-dir" | "source-directory" | "rename" | "template")
        || word.starts_with("allow-")
        || word.starts_with("no-auto-down")
        || word.starts_with("no-scripts")
}

/// An option and its value; comments and blank lines are none.
fn setting(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (name, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    Some((name, value.trim_start()))
}

/// All interfaces with their options.
fn interfaces(lines: &[String]) -> Value {
    let mut all = Object::new();
    let mut current: Option<String> = None;
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["iface", name, family, method, ..] = words[..] {
            let entry = json!({
                "address_family": family, "method": method, "down": [], "post-up": [], "pre-up": [], "up": [],
            });
            all.insert(name.to_owned(), entry);
            current = Some(name.to_owned());
        } else if is_stanza(line) {
            current = None;
        } else if let (Some((name, value)), Some(entry)) =
            (setting(line), current.as_ref().and_then(|name| all.get_mut(name)))
        {
            match entry.get_mut(name).and_then(Value::as_array_mut) {
                Some(list) => list.push(json!(value)),
                None => entry[name] = json!(value),
            }
        }
    }
    Value::Object(all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    const FILE: &str = "auto lo\niface lo inet loopback\n\nauto eth1\niface eth1 inet manual\n  mtu 1500\n  # c\n    up route a\n\
        \x20   up route b\n\niface eth2 inet static\n    address 1.2.3.4\niface eth2 inet6 static\n    address ::1\n\
        source /x/*\n\niface empty inet dhcp\n";

    #[test]
    fn options_are_kept() {
        let replace = |from: &str, to: &str| FILE.replacen(from, to, 1);
        for (args, text) in [
            (json!({"iface": "eth1", "option": "mtu", "value": 8000}), replace("mtu 1500", "mtu 8000")),
            (json!({"iface": "eth1", "option": "mtu", "value": 1500}), FILE.to_owned()),
            (
                json!({"iface": "eth1", "option": "up", "value": "route c"}),
                replace("route b\n", "route b\n    up route c\n"),
            ),
            (json!({"iface": "eth1", "option": "up", "value": "route a"}), FILE.to_owned()),
            (json!({"iface": "eth1", "option": "method", "value": "static"}), replace("inet manual", "inet static")),
            (json!({"iface": "eth2", "option": "address", "value": "::2"}), replace("::1", "::2")),
            (
                json!({"iface": "eth2", "option": "mtu", "value": 9, "address_family": "inet"}),
                replace("1.2.3.4\n", "1.2.3.4\n    mtu 9\n"),
            ),
            (json!({"iface": "empty", "option": "mtu", "value": 1}), format!("{FILE}    mtu 1\n")),
            (json!({"iface": "eth1", "option": "mtu", "state": "absent"}), replace("  mtu 1500\n", "")),
            (
                json!({"iface": "eth1", "option": "up", "state": "absent", "value": "route a"}),
                replace("    up route a\n", ""),
            ),
            (json!({"iface": "eth1"}), FILE.to_owned()),
        ] {
            let stage = Stage::new(&[("/if", FILE)]);
            let mut all = json!({"dest": "/if"});
            all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
            let dry = stage.check::<InterfacesFile>(all.clone()).unwrap();
            assert_eq!(stage.text("/if"), FILE);
            let made = stage.call::<InterfacesFile>(all.clone()).unwrap();
            assert_eq!(
                (stage.text("/if"), dry.changed, made.changed),
                (text.clone(), text != FILE, text != FILE),
                "{args}"
            );
            assert!(!stage.call::<InterfacesFile>(all).unwrap().changed, "{args}");
        }
    }

    #[test]
    fn interfaces_are_told() {
        let stage = Stage::new(&[("/if", FILE)]);
        let told = stage.call::<InterfacesFile>(json!({"dest": "/if"})).unwrap();
        let wanted = json!({"address_family": "inet", "method": "manual", "mtu": "1500", "down": [], "post-up": [],
            "pre-up": [], "up": ["route a", "route b"]});
        assert_eq!((told.changed, &told.fields["ifaces"]["eth1"]), (false, &wanted));
        for (args, word) in [
            (json!({"dest": "/if", "iface": "eth9", "option": "mtu", "value": 1}), "interface eth9 not found"),
            (json!({"dest": "/if", "option": "mtu", "value": 1}), "required by 'option': iface"),
            (json!({"dest": "/if", "iface": "eth1", "option": "mtu"}), "Value must be set"),
            (json!({"dest": "/none"}), "/none"),
        ] {
            assert!(stage.call::<InterfacesFile>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
