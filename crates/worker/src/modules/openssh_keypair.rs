//! `community.crypto.openssh_keypair`: a key of OpenSSH's and its public half, made by ssh-keygen.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::files::{self, text};
use crate::args::{PathArg, Presence as State, file_arguments};
use crate::host::{Attributes, Command, Diff, Host, Output, WriteOptions};
use crate::module::{Context, Failure, Module, Outcome};

file_arguments! {
    /// Makes a private key and its public half, or removes them.
    ///
    /// A key with a passphrase and formats other than OpenSSH's own are refused: ssh-keygen makes the keys.
    #[derive(Debug, Deserialize, JsonSchema)]
    pub struct OpensshKeypair {
        /// The private key; the public one has `.pub` behind its name.
        path: PathArg,
        /// Whether they should be there.
        #[serde(default)]
        state: State,
        /// The kind of key.
        #[serde(default, rename = "type")]
        kind: Kind,
        /// Bits; by default 4096 for `rsa`, 256 for `ecdsa`.
        #[serde(default)]
        size: Option<u32>,
        /// What stands behind the public key.
        #[serde(default)]
        comment: Option<String>,
        /// Whether a key that is there is replaced; the same as `regenerate: always`.
        #[serde(default)]
        force: bool,
        /// When a key that is there is replaced.
        #[serde(default)]
        regenerate: Regenerate,
        /// What makes the key; `cryptography` is refused.
        #[serde(default)]
        backend: Backend,
        /// The format of the private key; only OpenSSH's own.
        #[serde(default)]
        private_key_format: Format,
        /// Refused.
        #[serde(default)]
        passphrase: Option<String>,
    }
}

/// The kind of key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Dsa,
    Ecdsa,
    Ed25519,
    #[default]
    Rsa,
    Rsa1,
}

/// When a key that is there is replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Regenerate {
    /// Never; one that cannot be read is a failure.
    Never,
    /// Never; one that is not as asked for is a failure.
    Fail,
    /// Where it is not as asked for; one that cannot be read is a failure.
    #[default]
    PartialIdempotence,
    /// Where it is not as asked for, or cannot be read.
    FullIdempotence,
    /// Every time.
    Always,
}

/// What makes the key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Backend {
    #[default]
    Auto,
    Cryptography,
    Opensshbin,
}

/// The format of the private key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Auto,
    Pkcs1,
    Pkcs8,
    Ssh,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Dsa => "dsa",
            Self::Ecdsa => "ecdsa",
            Self::Ed25519 => "ed25519",
            Self::Rsa => "rsa",
            Self::Rsa1 => "rsa1",
        }
    }

    /// By the first word of a public key.
    fn of_public(word: &str) -> &'static str {
        match word {
            "ssh-ed25519" => "ed25519",
            "ssh-dss" => "dsa",
            word if word.starts_with("ecdsa-sha2-") => "ecdsa",
            _ => "rsa",
        }
    }
}

/// A private key that could be read.
#[derive(Debug, Clone)]
struct Private {
    size: u32,
    kind: &'static str,
    fingerprint: String,
    /// Type and data of its public half.
    public: String,
}

/// What is at a path.
#[derive(Debug, Clone)]
enum Found {
    Nothing,
    Unreadable,
    Key(Private),
}

/// A public key's file.
#[derive(Debug, Clone)]
struct Public {
    /// Type and data.
    key: String,
    comment: String,
}

impl Public {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.trim().splitn(3, ' ');
        let key = format!("{} {}", words.next()?, words.next()?);
        Some(Self { key, comment: words.next().unwrap_or_default().to_owned() })
    }
}

impl Module for OpensshKeypair {
    const NAME: &'static str = "community.crypto.openssh_keypair";

    fn check(&self) -> Result<(), String> {
        if self.backend == Backend::Cryptography || self.passphrase.is_some() {
            return Err(
                "keys are made by ssh-keygen: `passphrase` and `backend: cryptography` are not supported".into()
            );
        }
        if !matches!(self.private_key_format, Format::Auto | Format::Ssh) {
            return Err("`private_key_format` is supported as `auto` and `ssh` only, the format of ssh-keygen".into());
        }
        match (self.kind, self.size) {
            (Kind::Rsa, Some(..1024)) => Err("For RSA keys, the minimum size is 1024 bits; the default is 4096".into()),
            (Kind::Dsa, Some(size)) if size != 1024 => Err("DSA keys must be exactly 1024 bits (FIPS 186-2)".into()),
            (Kind::Ecdsa, Some(size)) if ![256, 384, 521].contains(&size) => {
                Err("For ECDSA keys, size is one of 256, 384 and 521 bits, which select the curve".into())
            }
            (Kind::Rsa1, _) if self.state == State::Present => {
                Err("rsa1 keys are no longer supported by OpenSSH".into())
            }
            _ => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.path)?;
        let public_path = beside(&path);
        if host.stat(&path)?.is_some_and(|meta| meta.is_dir()) {
            return Err(Failure::new(format!("{} is a directory. Please specify a path to a file.", path.display())));
        }
        let parent = path.parent().unwrap_or(Path::new("/"));
        if !host.stat(parent)?.is_some_and(|meta| meta.is_dir()) {
            let message = format!("The directory {} does not exist or the file is not a directory", parent.display());
            return Err(Failure::new(message).with("name", text(parent)));
        }
        let before = (private(host, &path)?, public(host, &public_path)?);
        if self.state == State::Absent {
            return self.absent(host, &path, &before);
        }
        let mut outcome = Outcome::new(self.bring(host, &path, &before)?);
        let after = match host.check_mode() || !outcome.changed {
            true => before.clone(),
            false => (private(host, &path)?, public(host, &public_path)?),
        };
        if host.exists(&path)? {
            files::settle(host, &path, &self.file_attributes(), true, &mut outcome)?;
        }
        // Both halves get the owner and the mode, as in the reference.
        if host.exists(&public_path)? && host.set_attributes(&public_path, &self.file_attributes(), true)?.is_some() {
            outcome.changed = true;
        }
        let diff = Diff::values(shown(&before), shown(&after));
        Ok(self.told(outcome, &path, &after).with_diff(diff))
    }
}

impl OpensshKeypair {
    fn bits(&self) -> u32 {
        match self.kind {
            Kind::Ed25519 => 256,
            Kind::Dsa => self.size.unwrap_or(1024),
            Kind::Ecdsa => self.size.unwrap_or(256),
            Kind::Rsa | Kind::Rsa1 => self.size.unwrap_or(4096),
        }
    }

    fn absent(&self, host: &Host, path: &Path, before: &(Found, Option<Public>)) -> Result<Outcome, Failure> {
        let there = host.exists(path)? || host.exists(&beside(path))?;
        host.remove(path)?;
        host.remove(&beside(path))?;
        let diff = Diff::values(shown(before), shown(&(Found::Nothing, None)));
        Ok(self.told(Outcome::new(there), path, before).with_diff(diff))
    }

    /// Makes what is missing or not as it should be; whether anything was.
    fn bring(&self, host: &Host, path: &Path, (key, half): &(Found, Option<Public>)) -> Result<bool, Failure> {
        let comment = self.comment.as_deref();
        let Found::Key(key) = key.clone().unless(self.replaces(key)?) else {
            self.in_private(host, path, |scratch| {
                let bits = self.bits().to_string();
                let words =
                    ["-q", "-N", "", "-t", self.kind.name(), "-b", &bits, "-C", comment.unwrap_or_default(), "-f"];
                keygen(host)?.args(words).arg(scratch).run(host)
            })?;
            return Ok(true);
        };
        let kept = half.as_ref().filter(|half| half.key == key.public);
        if comment.is_some_and(|wanted| kept.is_some_and(|half| half.comment != wanted)) {
            self.in_private(host, path, |scratch| {
                let old = host.read(path)?;
                host.write_file(
                    scratch,
                    &old.into(),
                    &WriteOptions { mode_if_new: Some(0o600), ..WriteOptions::default() },
                )?;
                let words = ["-q", "-c", "-P", "", "-C", comment.unwrap_or_default(), "-f"];
                keygen(host)?.args(words).arg(scratch).run(host)
            })?;
            return Ok(true);
        }
        if kept.is_none() {
            let line = match comment {
                Some(comment) if !comment.is_empty() => format!("{} {comment}\n", key.public),
                _ => format!("{}\n", key.public),
            };
            host.write_file(&beside(path), &line.into_bytes().into(), &readable())?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Whether a key is made anew; a failure where one is in the way that may not be replaced.
    fn replaces(&self, found: &Found) -> Result<bool, Failure> {
        if self.force || self.regenerate == Regenerate::Always {
            return Ok(true);
        }
        let refused = |what: &str, ways: &str| {
            let way = format!(
                "To force regeneration, call the module with `regenerate` set to {ways}, or with `force=true`."
            );
            Err(Failure::new(format!("{what} Will not proceed. {way}")))
        };
        match found {
            Found::Nothing => Ok(true),
            Found::Unreadable if self.regenerate == Regenerate::FullIdempotence => Ok(true),
            Found::Unreadable => refused(
                "Unable to read the key. The key is protected with a passphrase or broken.",
                "`full_idempotence` or `always`",
            ),
            Found::Key(key) if key.kind == self.kind.name() && key.size == self.bits() => Ok(false),
            Found::Key(_) => match self.regenerate {
                Regenerate::Never => Ok(false),
                Regenerate::Fail => {
                    refused("Key has wrong type and/or size.", "`partial_idempotence`, `full_idempotence` or `always`")
                }
                _ => Ok(true),
            },
        }
    }

    /// Has a pair made in a directory of its own, and puts both halves where they belong, each in one step.
    fn in_private(
        &self,
        host: &Host,
        path: &Path,
        make: impl FnOnce(&Path) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        let Some(directory) = host.make_temporary(parent, (".rplay-", ""), true)? else { return Ok(()) };
        let scratch = directory.join("key");
        let done = make(&scratch).and_then(|()| {
            if let Some(old) = host.stat(path)? {
                let (owner, group) = (Some(old.uid().to_string()), Some(old.gid().to_string()));
                host.set_attributes(&scratch, &Attributes { owner, group, ..Attributes::default() }, false)?;
            }
            // Renamed and not written: the mode of a key that was there for all to read is not that of the new one.
            host.rename(&scratch, path)?;
            host.write_file(&beside(path), &host.read(&beside(&scratch))?.into(), &readable())
        });
        host.remove(&directory)?;
        done.map(drop)
    }

    fn told(&self, outcome: Outcome, path: &Path, (key, half): &(Found, Option<Public>)) -> Outcome {
        let fingerprint = if let Found::Key(key) = key { key.fingerprint.as_str() } else { "" };
        let half = half.as_ref();
        outcome
            .with("size", self.bits())
            .with("type", self.kind.name())
            .with("filename", text(path))
            .with("fingerprint", fingerprint)
            .with("public_key", half.map_or("", |half| half.key.as_str()))
            .with("comment", half.map_or("", |half| half.comment.as_str()))
    }
}

impl Found {
    /// Nothing, where it is to be made anew.
    fn unless(self, replaced: bool) -> Self {
        if replaced { Self::Nothing } else { self }
    }
}

/// The public half's file.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

fn readable() -> WriteOptions {
    WriteOptions { mode_if_new: Some(0o644), ..WriteOptions::default() }
}

/// ssh-keygen under way: a command that a failure is told of.
struct Keygen(Command);

fn keygen(host: &Host) -> Result<Keygen, Failure> {
    Ok(Keygen(Command::new(host.require_program("ssh-keygen")?).c_locale()))
}

impl Keygen {
    fn args<'a>(self, words: impl IntoIterator<Item = &'a str>) -> Self {
        Self(self.0.args(words))
    }

    fn arg(self, path: &Path) -> Self {
        Self(self.0.arg(path))
    }

    fn run(self, host: &Host) -> Result<(), Failure> {
        host.run_ok(&self.0).map(drop)
    }

    fn query(self, host: &Host) -> Result<Output, Failure> {
        host.query(&self.0)
    }
}

/// What is to be known of a private key; ssh-keygen asks nothing, as it has no terminal and an empty passphrase.
fn private(host: &Host, path: &Path) -> Result<Found, Failure> {
    if !host.exists(path)? {
        return Ok(Found::Nothing);
    }
    let half = keygen(host)?.args(["-y", "-P", "", "-f"]).arg(path).query(host)?;
    let Some(half) = (half.rc == 0).then(|| Public::parse(&half.stdout_text())).flatten() else {
        return Ok(Found::Unreadable);
    };
    let command = keygen(host)?.args(["-l", "-E", "sha256", "-f", "-"]).0.stdin(format!("{}\n", half.key));
    let told = host.query_ok(&command)?.stdout_text();
    let mut words = told.split_whitespace();
    let size = words.next().unwrap_or_default().parse().context(|| format!("ssh-keygen says `{}`", told.trim()))?;
    let fingerprint = words.next().unwrap_or_default().to_owned();
    let kind = Kind::of_public(half.key.split(' ').next().unwrap_or_default());
    Ok(Found::Key(Private { size, kind, fingerprint, public: half.key }))
}

fn public(host: &Host, path: &Path) -> Result<Option<Public>, Failure> {
    let bytes = host.read_if_exists(path)?;
    Ok(bytes.and_then(|bytes| Public::parse(&String::from_utf8_lossy(&bytes))))
}

/// A pair as a side of a diff.
fn shown((key, half): &(Found, Option<Public>)) -> Value {
    let mut out = Map::new();
    if let Found::Key(key) = key {
        out.insert("size".into(), key.size.into());
        out.insert("type".into(), key.kind.into());
        out.insert("fingerprint".into(), key.fingerprint.as_str().into());
        out.insert("format".into(), "".into());
    }
    if let Some(half) = half {
        out.insert("public_key".into(), half.key.split(' ').nth(1).unwrap_or_default().into());
        out.insert("comment".into(), half.comment.as_str().into());
    }
    out.into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;
    use crate::modules::stage::call;

    fn there(path: &Path) -> (u32, u32, String) {
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        (mode(path), mode(&beside(path)), std::fs::read_to_string(beside(path)).unwrap())
    }

    #[test]
    fn makes_keeps_comments_and_removes_a_pair() {
        let dir = tempfile::tempdir().unwrap();
        let (path, host) = (dir.path().join("k"), Host::new());
        let given = |more: Value| {
            let mut all = json!({"path": path.to_str().unwrap(), "type": "ed25519"});
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            all
        };
        let run = |more: Value| call::<OpensshKeypair>(&host, &given(more));
        let dry = Host::new().checking(true);
        assert!(call::<OpensshKeypair>(&dry, &given(json!({}))).unwrap().changed);
        assert!(!path.exists());
        let made = run(json!({})).unwrap();
        assert!(made.changed && made.fields["fingerprint"].as_str().unwrap().starts_with("SHA256:"));
        let (private, public, line) = there(&path);
        assert_eq!((private, public), (0o600, 0o644));
        assert!(line.starts_with(made.fields["public_key"].as_str().unwrap()));
        assert!(!run(json!({})).unwrap().changed);
        assert!(run(json!({"mode": "0640"})).unwrap().changed && (0o640, 0o640, line) == there(&path));
        // ssh-keygen itself reads no private key that others may read.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let named = run(json!({"comment": "a b"})).unwrap();
        assert!(named.changed && there(&path).2.ends_with(" a b\n"));
        assert_eq!(named.fields["public_key"], made.fields["public_key"]);
        assert!(!run(json!({"comment": "a b"})).unwrap().changed);
        std::fs::remove_file(beside(&path)).unwrap();
        assert!(run(json!({"comment": "a b"})).unwrap().changed && there(&path).2.ends_with(" a b\n"));
        let other = run(json!({"type": "ecdsa", "size": 384})).unwrap();
        assert!(other.changed && other.fields["fingerprint"] != made.fields["fingerprint"]);
        let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        let gone = run(json!({"state": "absent"})).unwrap();
        assert!(gone.changed && !path.exists() && !beside(&path).exists());
        assert!(!run(json!({"state": "absent"})).unwrap().changed);
    }

    #[test]
    fn what_may_not_be_replaced_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (path, host) = (dir.path().join("k"), Host::new());
        let run = |more: Value| {
            let mut all = json!({"path": path.to_str().unwrap(), "type": "ecdsa"});
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            call::<OpensshKeypair>(&host, &all)
        };
        std::fs::write(&path, "broken\n").unwrap();
        assert!(run(json!({})).unwrap_err().msg.starts_with("Unable to read the key."));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "broken\n");
        assert!(run(json!({"regenerate": "full_idempotence"})).unwrap().changed);
        let wrong = run(json!({"size": 521, "regenerate": "fail"})).unwrap_err();
        assert!(wrong.msg.starts_with("Key has wrong type"), "{}", wrong.msg);
        assert!(!run(json!({"size": 521, "regenerate": "never"})).unwrap().changed);
        let before = there(&path).2;
        assert!(run(json!({"force": true})).unwrap().changed && there(&path).2 != before);
        for (given, says) in [
            (json!({"path": dir.path().to_str().unwrap()}), "is a directory"),
            (json!({"path": "/no/such/place"}), "The directory /no/such does not exist"),
            (json!({"size": 300}), "256, 384 and 521"),
            (json!({"passphrase": "x"}), "not supported"),
        ] {
            let error = run(given).unwrap_err();
            assert!(error.msg.contains(says), "{}", error.msg);
        }
    }
}
