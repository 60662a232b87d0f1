//! `ansible.posix.authorized_key`.

mod keys;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use self::keys::{Key, Line};
use super::files::{self, text};
use super::http;
use crate::args::{Mode, PathArg, yes};
use crate::host::{Attributes, Content, Diff, FileKind, Host, UserEntry, WriteOptions};
use crate::module::{Failure, Module, Outcome};

/// Adds SSH keys to a user's `authorized_keys`, or removes them.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AuthorizedKey {
    /// The user whose file it is.
    user: String,
    /// The keys, one on a line, or a URL (`https://`, `file://`) of such lines.
    key: String,
    /// Whether the keys should be there.
    #[serde(default)]
    state: State,
    /// Another file than the user's `.ssh/authorized_keys`.
    #[serde(default)]
    path: Option<PathArg>,
    /// Whether the file's directory is made and protected.
    #[serde(default = "yes")]
    manage_dir: bool,
    /// Options for the keys; they replace those that stand before a key.
    #[serde(default)]
    key_options: Option<String>,
    /// Whether every other key is removed.
    #[serde(default)]
    exclusive: bool,
    /// Another comment than the keys' own.
    #[serde(default)]
    comment: Option<String>,
    /// Whether a link at the path is written through instead of replaced.
    #[serde(default)]
    follow: bool,
    /// Whether the certificate of a https URL is checked.
    #[serde(default = "yes")]
    validate_certs: bool,
}

/// Whether the keys should be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Absent,
    #[default]
    Present,
}

impl Module for AuthorizedKey {
    const NAME: &'static str = "ansible.posix.authorized_key";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        if is_url(&self.key) { Ok(()) } else { self.wanted(&self.key).map(|_| ()) }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let wanted = self.wanted(&self.source(host)?).map_err(Failure::new)?;
        let user = host.user(&self.user)?;
        let named = self.file(host, user.as_ref())?;
        let followed = self.follow && host.kind(&named)? == FileKind::Link;
        let path = if followed { host.canonical(&named)? } else { named.clone() };
        let old = match host.read_if_exists(&path)? {
            Some(bytes) => String::from_utf8(bytes)
                .map_err(|_| Failure::new(format!("{} is not text: it is left alone", path.display())))?,
            None => String::new(),
        };
        let mut lines = keys::parse_file(&old);
        let changed = match self.state {
            State::Present => self.add(&mut lines, &wanted),
            State::Absent => remove(&mut lines, &wanted),
        };
        let mut outcome = Outcome::new(changed);
        if changed {
            let new = keys::file_text(&lines);
            self.write(host, &path, &new, user.as_ref())?;
            outcome.diffs.push(Diff::text(old, new).headers(text(&path), text(&path)));
        }
        self.describe(&named, &mut outcome);
        if self.path.is_some() {
            // As in the reference, what is at a path that was given hides the `state` that was.
            files::describe(host, &named, &mut outcome)?;
        }
        Ok(outcome)
    }
}

fn is_url(key: &str) -> bool {
    ["http://", "https://", "file://", "ftp://"].iter().any(|scheme| key.starts_with(scheme))
}

impl AuthorizedKey {
    /// The lines of keys, fetched when that is what the task asks for.
    fn source(&self, host: &Host) -> Result<String, Failure> {
        if !is_url(&self.key) {
            return Ok(self.key.clone());
        }
        let bytes = match self.key.strip_prefix("file://") {
            Some(path) => host.read(Path::new(path))?,
            None => http::Client { validate_certs: self.validate_certs, ..Default::default() }.text(host, &self.key)?,
        };
        String::from_utf8(bytes).map_err(|_| Failure::new(format!("what {} holds is not text", self.key)))
    }

    fn wanted(&self, source: &str) -> Result<Vec<Key>, String> {
        let mut keys: Vec<Key> = Vec::new();
        for line in source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut key = Key::parse(line).ok_or_else(|| format!("invalid key specified: {line}"))?;
            if let Some(options) = &self.key_options {
                key.options = keys::split_options(options);
            }
            if let Some(comment) = &self.comment {
                key.comment.clone_from(comment);
            }
            if !keys.iter().any(|other| other.same(&key)) {
                keys.push(key);
            }
        }
        Ok(keys)
    }

    fn file(&self, host: &Host, user: Option<&UserEntry>) -> Result<PathBuf, Failure> {
        let path = match (&self.path, user) {
            (Some(path), _) if user.is_some() || host.check_mode() => host.path(path)?,
            (None, Some(user)) => user.home.join(".ssh/authorized_keys"),
            (None, None) if host.check_mode() => {
                // An earlier task of the dry run would have made the user, with a home where homes are.
                Path::new("/home").join(&self.user).join(".ssh/authorized_keys")
            }
            _ => {
                let msg = format!("Failed to lookup user {0}: there is no user named '{0}'", self.user);
                return Err(Failure::new(msg));
            }
        };
        Ok(path)
    }

    /// Puts the wanted keys in; says whether anything is different.
    fn add(&self, lines: &mut Vec<Line>, wanted: &[Key]) -> bool {
        let mut changed = false;
        for key in wanted {
            let mut places = lines.iter().enumerate().filter_map(|(at, line)| match line {
                Line::Key(old, _) if old.blob == key.blob => Some((at, old.same(key))),
                _ => None,
            });
            match places.next() {
                None => {
                    lines.push(Line::Key(key.clone(), key.line()));
                    changed = true;
                }
                Some((_, true)) => {}
                Some((at, false)) => {
                    // One that says something else goes to the end, as a new one would.
                    lines.remove(at);
                    lines.push(Line::Key(key.clone(), key.line()));
                    changed = true;
                }
            }
        }
        if self.exclusive {
            let before = lines.len();
            lines.retain(|line| matches!(line, Line::Key(key, _) if wanted.iter().any(|w| w.same(key))));
            changed |= lines.len() != before;
        }
        changed
    }

    fn write(&self, host: &Host, path: &Path, new: &str, user: Option<&UserEntry>) -> Result<(), Failure> {
        let ids = user.map(|user| (user.uid.to_string(), user.gid.to_string()));
        let attributes = |mode| Attributes {
            mode: Some(Mode::Bits(mode)),
            owner: ids.as_ref().map(|(uid, _)| uid.clone()),
            group: ids.as_ref().map(|(_, gid)| gid.clone()),
            ..Attributes::default()
        };
        if let Some(directory) = path.parent() {
            let made = files::make_directories(host, directory, self.manage_dir.then_some(&Mode::Bits(0o700)))?;
            if self.manage_dir {
                for directory in made.iter().map(PathBuf::as_path).chain([directory]) {
                    host.set_attributes(directory, &attributes(0o700), true)?;
                }
            }
        }
        let options = WriteOptions { mode_if_new: Some(0o600), ..WriteOptions::default() };
        host.write_file(path, &Content::from(new.as_bytes().to_vec()), &options)?;
        host.set_attributes(path, &attributes(0o600), true)?;
        Ok(())
    }

    fn describe(&self, path: &Path, outcome: &mut Outcome) {
        let optional = |value: &Option<String>| value.clone().map_or(Value::Null, Value::String);
        outcome.set("user", self.user.as_str());
        outcome.set("key", self.key.as_str());
        outcome.set("path", self.path.as_ref().map_or(Value::Null, |p| p.0.as_str().into()));
        outcome.set("keyfile", text(path));
        outcome.set("state", if self.state == State::Present { "present" } else { "absent" });
        outcome.set("manage_dir", self.manage_dir);
        outcome.set("key_options", optional(&self.key_options));
        outcome.set("exclusive", self.exclusive);
        outcome.set("comment", optional(&self.comment));
        outcome.set("follow", self.follow);
        outcome.set("validate_certs", self.validate_certs);
    }
}

/// Takes the keys out; says whether there were any.
fn remove(lines: &mut Vec<Line>, unwanted: &[Key]) -> bool {
    let before = lines.len();
    lines.retain(|line| !matches!(line, Line::Key(key, _) if unwanted.iter().any(|u| u.blob == key.blob)));
    lines.len() != before
}

#[cfg(test)]
mod tests;
