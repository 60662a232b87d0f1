//! `ansible.builtin.known_hosts`: the keys that ssh knows hosts by.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use schemars::JsonSchema;
use serde::Deserialize;
use sha1::Sha1;

use super::files::{self, text};
use crate::args::{PathArg, Presence as State};
use crate::host::{Content, Diff, Host, WriteOptions};
use crate::module::{Context, Failure, Module, Outcome};

/// Adds a host's key to a `known_hosts` file, or removes it.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct KnownHosts {
    /// The host, as it stands in `key`; `[host]:port` where the port is not 22.
    #[serde(alias = "host")]
    name: String,
    /// A line of the file, the host's name included.
    #[serde(default)]
    key: Option<String>,
    /// The file.
    #[serde(default = "default_path")]
    path: PathArg,
    /// Whether the name is written as a hash.
    #[serde(default)]
    hash_host: bool,
    /// Whether the key should be there; without `key`, `absent` removes all keys of the host.
    #[serde(default)]
    state: State,
}

fn default_path() -> PathArg {
    PathArg("~/.ssh/known_hosts".into())
}

/// A line that has a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry<'a> {
    marker: Option<&'a str>,
    hosts: &'a str,
    kind: &'a str,
    key: &'a str,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split_whitespace().peekable();
        let marker = words.next_if(|word| word.starts_with('@'));
        let hosts = words.next().filter(|hosts| !hosts.starts_with('#'))?;
        Some(Self { marker, hosts, kind: words.next()?, key: words.next()? })
    }

    /// Whether it is the host's: by its name, its hash, or a pattern.
    fn is_of(&self, name: &str) -> bool {
        if self.hosts.starts_with("|1|") {
            return hash_matches(self.hosts, name);
        }
        let mut of = false;
        for pattern in self.hosts.split(',') {
            match pattern.strip_prefix('!') {
                Some(not) if glob(&not.to_lowercase(), name) => return false,
                Some(_) => {}
                None => of |= glob(&pattern.to_lowercase(), name),
            }
        }
        of
    }

    /// Whether it names the host itself, not by a pattern.
    fn names(&self, name: &str) -> bool {
        hash_matches(self.hosts, name) || self.hosts.split(',').any(|one| one.eq_ignore_ascii_case(name))
    }
}

/// Whether a pattern of `*` and `?` matches a name, as in ssh.
fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == name.get(n) => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, seen)) => {
                    star = Some((at, seen + 1));
                    (p, n) = (at + 1, seen + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

fn hash_of(salt: &[u8], name: &str) -> Vec<u8> {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha1>::new_from_slice(salt).unwrap_or_else(|_| Hmac::<Sha1>::new(&Default::default()));
    mac.update(name.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hash_matches(hosts: &str, name: &str) -> bool {
    let Some((salt, hash)) = hosts.strip_prefix("|1|").and_then(|rest| rest.split_once('|')) else { return false };
    match (STANDARD.decode(salt), STANDARD.decode(hash)) {
        (Ok(salt), Ok(hash)) => hash_of(&salt, name) == hash,
        _ => false,
    }
}

fn hashed(name: &str) -> Result<String, Failure> {
    let mut salt = [0; 20];
    rustix::rand::getrandom(&mut salt, rustix::rand::GetRandomFlags::empty())
        .context(|| "cannot get random bytes".to_owned())?;
    Ok(format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(hash_of(&salt, name))))
}

const MISMATCH: &str = "Host parameter does not match hashed host field in supplied key";

impl Module for KnownHosts {
    const NAME: &'static str = "ansible.builtin.known_hosts";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        if self.name.contains(',') {
            return Err("Comma separated list of names is not supported. Please pass a single name to lookup in the \
                        known_hosts file."
                .into());
        }
        let Some(key) = self.key.as_deref().filter(|key| key.split_whitespace().count() > 1) else {
            let missing = self.state == State::Present;
            return if missing { Err("No key specified when adding a host".into()) } else { Ok(()) };
        };
        let name = self.name.to_lowercase();
        let entries: Vec<Entry<'_>> = key.lines().filter_map(Entry::parse).collect();
        // A line that revokes a key, or trusts an authority, may be for more hosts than this one.
        let fits = |e: &Entry<'_>| if e.marker.is_some() { e.names(&name) || e.is_of(&name) } else { e.names(&name) };
        let sound = |e: &Entry<'_>| names_its_kind(e.key, e.kind);
        match entries.iter().all(|entry| fits(entry) && sound(entry)) && !entries.is_empty() {
            true => Ok(()),
            false => Err(MISMATCH.into()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.path)?;
        let old = host.read_if_exists(&path)?;
        let existed = old.is_some();
        let before = String::from_utf8_lossy(old.as_deref().unwrap_or_default()).into_owned();
        let after = match self.state {
            State::Present => self.with_key(&before)?,
            State::Absent => self.without_key(&before),
        };
        let changed = before != after;
        let mut outcome = Outcome::new(changed);
        if changed {
            self.write(host, &path, old.as_deref().unwrap_or_default(), &before, &after)?;
        }
        let header = if existed { text(&path) } else { "/dev/null".into() };
        // Playbooks look at it outside of diff mode too.
        outcome.set("diff", Diff::text(before, after).headers(header, text(&path)).into_value());
        for (key, value) in [("name", Some(&self.name)), ("key", self.key.as_ref()), ("path", Some(&self.path.0))] {
            outcome.set(key, value.cloned());
        }
        outcome.set("path", text(&path));
        outcome.set("hash_host", self.hash_host);
        outcome.set("state", if self.state == State::Present { "present" } else { "absent" });
        files::describe(host, &path, &mut outcome)?;
        Ok(outcome)
    }
}

/// Whether a key's own first field is the kind that stands before it.
fn names_its_kind(key: &str, kind: &str) -> bool {
    // Only the beginning is looked at, in whole groups: a key may be cut off, or end in bits that say nothing.
    let wanted = (kind.len() + 4).div_ceil(3) * 4;
    let raw = key.get(..wanted).and_then(|head| STANDARD.decode(head).ok()).unwrap_or_default();
    let length = u32::try_from(kind.len()).unwrap_or_default().to_be_bytes();
    raw.strip_prefix(&length).is_some_and(|rest| rest.starts_with(kind.as_bytes()))
}

impl KnownHosts {
    fn write(&self, host: &Host, path: &Path, old: &[u8], before: &str, after: &str) -> Result<(), Failure> {
        if old != before.as_bytes() {
            return Err(Failure::new(format!("{} is not text in UTF-8", path.display())));
        }
        let options = WriteOptions { mode_if_new: Some(host.mode_of_new(None, false)?), ..WriteOptions::default() };
        host.write_file(path, &Content::from(after.as_bytes().to_vec()), &options).map(drop)
    }

    fn lines(&self, wanted: &str) -> Result<String, Failure> {
        let mut out = String::new();
        for line in wanted.trim_end().lines() {
            let line = line.trim_end();
            match Entry::parse(line).filter(|entry| self.hash_host && !entry.hosts.starts_with("|1|")) {
                Some(entry) => out.push_str(&line.replacen(entry.hosts, &hashed(&self.name.to_lowercase())?, 1)),
                None => out.push_str(line),
            }
            out.push('\n');
        }
        Ok(out)
    }

    fn with_key(&self, before: &str) -> Result<String, Failure> {
        let (name, wanted) = (self.name.to_lowercase(), self.key.as_deref().unwrap_or_default());
        let entries: Vec<Entry<'_>> = wanted.lines().filter_map(Entry::parse).collect();
        let same = |have: &Entry<'_>, want: &Entry<'_>| {
            let hosts = have.hosts.eq_ignore_ascii_case(want.hosts) || have.names(&name) && have.hosts.starts_with('|');
            let hashed = have.hosts.starts_with("|1|") == (self.hash_host || want.hosts.starts_with("|1|"));
            hosts && hashed && (have.marker, have.kind, have.key) == (want.marker, want.kind, want.key)
        };
        let there: Vec<Entry<'_>> = before.lines().filter_map(Entry::parse).collect();
        if entries.iter().all(|want| there.iter().any(|have| same(have, want))) {
            return Ok(before.to_owned());
        }
        let replaced = |line: &str| {
            Entry::parse(line).is_some_and(|have| {
                // There may be several authorities and revocations, but one key of a kind.
                let alike = |want: &Entry<'_>| want.marker.is_none() && have.kind == want.kind;
                have.marker.is_none() && have.names(&name) && entries.iter().any(alike)
            })
        };
        let mut out: String = before.split_inclusive('\n').filter(|line| !replaced(line)).collect();
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(&self.lines(wanted)?);
        Ok(out)
    }

    fn without_key(&self, before: &str) -> String {
        let name = self.name.to_lowercase();
        let wanted: Option<Vec<Entry<'_>>> =
            self.key.as_deref().map(|key| key.lines().filter_map(Entry::parse).collect());
        let goes = |line: &str| {
            let Some(have) = Entry::parse(line).filter(|entry| entry.is_of(&name)) else { return false };
            match &wanted {
                Some(wanted) => wanted.iter().any(|w| (have.marker, have.kind, have.key) == (w.marker, w.kind, w.key)),
                // As ssh-keygen -R has it, authorities and revocations stay.
                None => have.marker.is_none(),
            }
        };
        before.split_inclusive('\n').filter(|line| !goes(line)).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::stage::Stage;
    use super::*;

    const K1: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIAxLr9ZlRkOGYvI0T6qQq2g2a9Yv8t4M3f2kqkqkqkqk";
    const K2: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIAxLr9ZlRkOGYvI0T6qQq2g2a9Yv8t4M3f2kqkqkqkqq";

    fn line(hosts: &str, key: &str) -> String {
        format!("{hosts} ssh-ed25519 {key}\n")
    }

    /// The file after a call, and whether it and the same call again changed something.
    fn after(before: &str, mut args: serde_json::Value) -> (String, bool, bool) {
        let stage = Stage::new(&[("/k", before)]);
        args["path"] = json!("/k");
        assert!(stage.check::<KnownHosts>(args.clone()).is_ok() && stage.text("/k") == before);
        let first = stage.call::<KnownHosts>(args.clone()).unwrap().changed;
        (stage.text("/k"), first, stage.call::<KnownHosts>(args).unwrap().changed)
    }

    #[test]
    fn keys_are_added_and_replaced() {
        let other = line("b", K1);
        let call = |before: &str, key: &str| after(before, json!({"name": "A", "key": line("a", key)}));
        assert_eq!(call(&other, K1), (other.clone() + &line("a", K1), true, false));
        assert_eq!(call(other.trim_end(), K1), (other.clone() + &line("a", K1), true, false));
        assert_eq!(call(&(line("a,c", K2) + &other), K1), (other.clone() + &line("a", K1), true, false));
        let marked = line("@cert-authority *", K1) + &line("@revoked a", K2);
        assert_eq!(call(&marked, K1), (marked.clone() + &line("a", K1), true, false));
        assert_eq!(call(&line("a", K1), K1), (line("a", K1), false, false));
    }

    #[test]
    fn names_are_hashed() {
        // What ssh-keygen -H makes of `example.org`.
        let entry = "|1|67ySMZfGJfxIc9eQbdn5UoFPiJI=|GvwpLg3y/OkwseW5Ge5WTaTnAkc=";
        assert!(hash_matches(entry, "example.org") && !hash_matches(entry, "example.com"));
        let args = json!({"name": "a", "key": line("a", K1), "hash_host": true});
        let (text, changed, again) = after(&line("a", K1), args);
        assert!(changed && !again && text.lines().count() == 1 && text.starts_with("|1|"), "{text}");
        let (plain, changed, again) = after(&text, json!({"name": "a", "key": line("a", K1)}));
        assert_eq!((plain, changed, again), (line("a", K1), true, false));
    }

    #[test]
    fn keys_are_removed() {
        let marked = line("@revoked a", K1);
        let file = line("a", K1) + &marked + &line("a*,!ab", K2) + &line("ab", K1);
        let absent = |name: &str| after(&file, json!({"name": name, "state": "absent"}));
        assert_eq!(absent("a"), (marked.clone() + &line("ab", K1), true, false));
        assert_eq!(absent("zz"), (file.clone(), false, false));
        let args = json!({"name": "a", "state": "absent", "key": line("@revoked a", K1)});
        assert_eq!(after(&file, args), (file.replace(&marked, ""), true, false));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let stage = Stage::new(&[]);
        for (args, word) in [
            (json!({"name": "a,b"}), "Comma separated"),
            (json!({"name": "a"}), "No key specified"),
            (json!({"name": "a", "key": line("b", K1)}), MISMATCH),
            (json!({"name": "a", "key": format!("a ssh-rsa {K1}")}), MISMATCH),
            (json!({"name": "a", "key": "a ssh-rsa %%"}), MISMATCH),
        ] {
            assert!(stage.call::<KnownHosts>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
