//! `community.general.crypttab`: lines of `/etc/crypttab`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::files;
use crate::args::PathArg;
use crate::host::{Content, Host, WriteOptions};
use crate::module::{Context, Failure, Module, Outcome};

/// Adds, changes or removes the line of an encrypted device.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Crypttab {
    /// The device, with or without `/dev/mapper/` before it.
    name: String,
    /// What should be so: a line, or options of one.
    state: State,
    /// The device below, or `UUID=` with its id.
    #[serde(default)]
    backing_device: Option<String>,
    /// The password, or a file that holds it; `-` asks at boot.
    #[serde(default)]
    password: Option<PathArg>,
    /// The options, between commas.
    #[serde(default)]
    opts: Option<String>,
    /// The file.
    #[serde(default = "path")]
    path: PathArg,
}

fn path() -> PathArg {
    PathArg("/etc/crypttab".into())
}

/// What should be so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    Absent,
    OptsAbsent,
    OptsPresent,
    Present,
}

/// A device's line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    name: String,
    device: String,
    password: Option<String>,
    opts: Vec<String>,
}

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().map(ToOwned::to_owned);
        let name = words.next().filter(|name| !name.starts_with('#'))?;
        let (device, password, opts) = (words.next()?, words.next(), words.next());
        let password = password.filter(|word| !matches!(word.as_str(), "none" | "-"));
        Some(Self { name, device, password, opts: options(opts.as_deref().unwrap_or_default()) })
    }

    fn line(&self) -> String {
        let mut line = format!("{} {}", self.name, self.device);
        if self.password.is_some() || !self.opts.is_empty() {
            line.push(' ');
            line.push_str(self.password.as_deref().unwrap_or("none"));
        }
        if !self.opts.is_empty() {
            line.push(' ');
            line.push_str(&self.opts.join(","));
        }
        line
    }
}

fn options(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|o| !o.is_empty()).map(ToOwned::to_owned).collect()
}

/// An option's name.
fn key(option: &str) -> &str {
    option.split('=').next().unwrap_or(option)
}

impl Module for Crypttab {
    const NAME: &'static str = "community.general.crypttab";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        let given = self.backing_device.is_some() || self.password.is_some() || self.opts.is_some();
        if self.state != State::Absent && !given {
            return Err("expected one or more of 'backing_device', 'password' or 'opts'".into());
        }
        if matches!(self.state, State::OptsPresent | State::OptsAbsent) && self.opts.is_none() {
            return Err("'opts' is required when state is opts_present or opts_absent".into());
        }
        let words = [("name", Some(&self.name)), ("backing_device", self.backing_device.as_ref())];
        let words =
            words.into_iter().chain([("password", self.password.as_ref().map(|p| &p.0)), ("opts", self.opts.as_ref())]);
        for (arg, word) in words {
            if word.is_some_and(|word| word.contains(char::is_whitespace) || arg == "name" && word.starts_with('#')) {
                return Err(format!("invalid '{arg}': a field of crypttab has no white space"));
            }
        }
        if self.name.trim_start_matches("/dev/mapper/").is_empty() {
            return Err("name must not be empty".into());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.path)?;
        let old = host.read_if_exists(&path)?.unwrap_or_default();
        let text = String::from_utf8(old).context(|| format!("cannot read {}", path.display()))?;
        let name = self.name.trim_start_matches("/dev/mapper/").to_owned();
        let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        let at = lines.iter().position(|line| Entry::parse(line).is_some_and(|entry| entry.name == name));
        let entry = at.and_then(|at| lines.get(at)).and_then(|line| Entry::parse(line));
        let (msg, new) = self.wanted(&name, entry.clone())?;
        let changed = new != entry;
        if changed {
            match (at, new) {
                (Some(at), Some(new)) => lines[at] = new.line(),
                (Some(at), None) => drop(lines.remove(at)),
                (None, Some(new)) => lines.push(new.line()),
                (None, None) => {}
            }
            // As the reference has it, other entries get single spaces too.
            let tidy = |line: &String| Entry::parse(line).map_or_else(|| line.clone(), |entry| entry.line()) + "\n";
            let content: String = lines.iter().map(tidy).collect();
            host.write_file(&path, &Content::from(content.into_bytes()), &WriteOptions::default())?;
        }
        let mut outcome = Outcome::new(changed).with("msg", msg).with("name", self.name);
        outcome.set("backing_device", self.backing_device);
        outcome.set("password", self.password.map(|password| password.0));
        outcome.set("opts", self.opts);
        if host.exists(&path)? {
            files::describe(host, &path, &mut outcome)?;
        }
        Ok(outcome.with("path", files::text(&path)))
    }
}

impl Crypttab {
    /// The device's line as it should be, with a word on what that means.
    fn wanted(&self, name: &str, entry: Option<Entry>) -> Result<(&'static str, Option<Entry>), Failure> {
        let opts = options(self.opts.as_deref().unwrap_or_default());
        let password = self.password.as_ref().map(|p| p.0.clone()).filter(|p| !matches!(p.as_str(), "" | "-" | "none"));
        let added = |opts: Vec<String>| match &self.backing_device {
            Some(device) => {
                Ok(Entry { name: name.to_owned(), device: device.clone(), password: password.clone(), opts })
            }
            None => Err(Failure::new("'backing_device' required to add a new entry")),
        };
        Ok(match (self.state, entry) {
            (State::Absent, Some(_)) => ("removed line", None),
            (State::Absent | State::OptsAbsent, None) => ("?", None),
            (State::Present, Some(mut entry)) => {
                if let Some(device) = &self.backing_device {
                    entry.device.clone_from(device);
                }
                if self.password.is_some() {
                    entry.password.clone_from(&password);
                }
                if self.opts.is_some() {
                    entry.opts = opts;
                }
                ("updated line", Some(entry))
            }
            (State::OptsPresent, Some(mut entry)) => {
                for option in opts {
                    match entry.opts.iter_mut().find(|there| key(there) == key(&option)) {
                        Some(there) => *there = option,
                        None => entry.opts.push(option),
                    }
                }
                ("updated options", Some(entry))
            }
            (State::OptsAbsent, Some(mut entry)) => {
                entry.opts.retain(|there| !opts.iter().any(|option| key(option) == key(there)));
                ("removed options", Some(entry))
            }
            (State::Present | State::OptsPresent, None) => ("added line", Some(added(opts)?)),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::super::stage::Stage;
    use super::*;

    const FILE: &str = "/etc/crypttab";

    #[test]
    fn lines_and_options_come_and_go() {
        let stage = Stage::new(&[(FILE, "# c\nfoo  /dev/a\n\nbar /dev/b  none  luks\n")]);
        let call = |args: Value| {
            let before = stage.text(FILE);
            let dry = stage.check::<Crypttab>(args.clone()).unwrap();
            assert_eq!(stage.text(FILE), before);
            let done = stage.call::<Crypttab>(args.clone()).unwrap();
            assert_eq!((dry.changed, &dry.fields["msg"]), (done.changed, &done.fields["msg"]));
            assert!(!stage.call::<Crypttab>(args).unwrap().changed);
            (done.changed, done.fields["msg"].clone())
        };
        let wanted = (true, json!("updated line"));
        assert_eq!(call(json!({"name": "bar", "state": "present", "backing_device": "/dev/c"})), wanted);
        assert_eq!(stage.text(FILE), "# c\nfoo /dev/a\n\nbar /dev/c none luks\n");
        call(json!({"name": "foo", "state": "opts_present", "opts": "a,x=1"}));
        call(json!({"name": "/dev/mapper/n", "state": "present", "backing_device": "UUID=1", "password": "/key"}));
        assert_eq!(stage.text(FILE), "# c\nfoo /dev/a none a,x=1\n\nbar /dev/c none luks\nn UUID=1 /key\n");
        call(json!({"name": "foo", "state": "opts_present", "opts": "x=2"}));
        call(json!({"name": "foo", "state": "opts_absent", "opts": "a"}));
        assert!(stage.text(FILE).contains("foo /dev/a none x=2\n"));
        assert_eq!(call(json!({"name": "n", "state": "absent"})), (true, json!("removed line")));
        assert_eq!(stage.text(FILE), "# c\nfoo /dev/a none x=2\n\nbar /dev/c none luks\n");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let stage = Stage::new(&[]);
        for (args, word) in [
            (json!({"name": "z", "state": "present"}), "expected one or more of"),
            (json!({"name": "z", "state": "opts_present", "opts": "a"}), "'backing_device' required"),
            (json!({"name": "a b", "state": "absent"}), "no white space"),
            (json!({"name": "a", "state": "present", "backing_device": "x\ny"}), "no white space"),
        ] {
            assert!(stage.call::<Crypttab>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
