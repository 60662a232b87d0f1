//! Whether the key that a server shows is the host's: OpenSSH's rules, with nobody there to ask.

use std::borrow::Cow;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use russh::Preferred;
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey};

use super::super::{ConnectionError, Peer};
use super::algorithms::Algorithms;
use super::config::{StrictHostKeys, wildcard};
use super::known_hosts::{self, Cache, Entry, Marker};
use super::resolve::Target;

/// What is known about one host's keys before the login, and what to do about others.
#[derive(Debug, Clone)]
pub struct HostKeys {
    at: Peer,
    /// `host` or `[host]:port`, or the alias.
    name: String,
    /// The name in certificates: without the port.
    bare: String,
    entries: Vec<Entry>,
    /// Entries for the name without the port, which OpenSSH looks at when there is none with it.
    without_port: Vec<Entry>,
    policy: StrictHostKeys,
    user_files: Vec<PathBuf>,
    files: Vec<PathBuf>,
    hash: bool,
}

/// The verdict on a key that may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// It is known.
    Known,
    /// It is new and accepted; [`HostKeys::record`] makes it known.
    New(PublicKey),
    /// It is not the known one, and `StrictHostKeyChecking=no`: no password must be sent.
    Doubtful,
}

impl HostKeys {
    /// Looks the host up. Reads files, so it may block.
    pub fn look_up(target: &Target, at: &Peer, cache: &Cache) -> Self {
        let files: Vec<PathBuf> = target.user_known_hosts.iter().chain(&target.global_known_hosts).cloned().collect();
        let (name, bare) = match &target.host_key_alias {
            Some(alias) => (alias.to_ascii_lowercase(), alias.to_ascii_lowercase()),
            None => (known_hosts::name_of(&target.host, target.port), target.host.to_ascii_lowercase()),
        };
        let without_port = if name == bare { Vec::new() } else { cache.entries_for(&files, &bare) };
        Self {
            at: at.clone(),
            entries: cache.entries_for(&files, &name),
            without_port,
            policy: target.strict_host_keys,
            user_files: target.user_known_hosts.clone(),
            hash: target.hash_known_hosts,
            files,
            name,
            bare,
        }
    }

    /// What to offer: the algorithms of known keys first, so that a host known by one key does not show another, and
    /// certificates where an authority is known for the host.
    pub fn preferred(&self, algorithms: &Algorithms) -> Preferred {
        let mut preferred = algorithms.preferred.clone();
        if algorithms.fixed_host_keys {
            return preferred;
        }
        let of = |marker| {
            let entries = self.entries.iter().chain(&self.without_port);
            entries.filter(move |entry| entry.marker == marker).map(|entry| entry.key.algorithm())
        };
        let known: Vec<Algorithm> = of(Marker::None).collect();
        let is_known = |offered: &Algorithm| known.iter().any(|known| same_kind(known, offered));
        let (mut first, rest): (Vec<_>, Vec<_>) = preferred.key.iter().cloned().partition(is_known);
        if of(Marker::Authority).next().is_some() {
            let all: Vec<Algorithm> = first.iter().chain(&rest).cloned().collect();
            preferred.host_key_certificates = Cow::Owned(all);
        }
        first.extend(rest);
        preferred.key = Cow::Owned(first);
        preferred
    }

    /// Judges a server's plain key.
    pub fn check(&self, key: &PublicKey) -> Result<Trust, ConnectionError> {
        self.refuse_revoked(key.key_data(), key)?;
        if plain(&self.entries).any(|entry| entry.key.key_data() == key.key_data()) {
            return Ok(Trust::Known);
        }
        // As in OpenSSH, another type of key than the known ones counts as changed: it was offered the known first.
        if let Some(entry) = self.offending(key) {
            return self.changed(key, entry);
        }
        if plain(&self.without_port).any(|entry| entry.key.key_data() == key.key_data()) {
            return Ok(Trust::Known);
        }
        match self.policy {
            StrictHostKeys::Ask | StrictHostKeys::Yes => Err(self.unknown(key)),
            StrictHostKeys::AcceptNew | StrictHostKeys::No => Ok(Trust::New(key.clone())),
        }
    }

    /// Judges a server's certificate; one whose authority is not known counts as the key within.
    pub fn check_certificate(&self, certificate: &Certificate) -> Result<Trust, ConnectionError> {
        let key = PublicKey::new(certificate.public_key().clone(), "");
        self.refuse_revoked(certificate.signature_key(), &key)?;
        self.refuse_revoked(certificate.public_key(), &key)?;
        let entries = self.entries.iter().chain(&self.without_port);
        let authority = entries
            .filter(|entry| entry.marker == Marker::Authority)
            .find(|entry| entry.key.key_data() == certificate.signature_key());
        match authority {
            None => self.check(&key),
            Some(entry) => match self.certificate_flaw(certificate) {
                None => Ok(Trust::Known),
                Some(reason) => {
                    Err(ConnectionError::HostCertificate { at: self.at.clone(), place: entry.place.clone(), reason })
                }
            },
        }
    }

    fn certificate_flaw(&self, certificate: &Certificate) -> Option<String> {
        let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
        if certificate.cert_type() != CertType::Host {
            return Some("it is a user's certificate, not a host's".into());
        }
        if certificate.validate([&authority]).is_err() {
            return Some(match (certificate.valid_after_time(), certificate.valid_before_time()) {
                (_, Some(end)) if end <= std::time::SystemTime::now() => "it has expired".into(),
                (Some(start), _) if start > std::time::SystemTime::now() => "it is not valid yet".into(),
                _ => "its signature is wrong".into(),
            });
        }
        let principals = certificate.valid_principals();
        if !principals.iter().any(|principal| wildcard(&self.bare, &principal.to_ascii_lowercase())) {
            return Some(format!("it is for {}, not for `{}`", principals.join(", "), self.bare));
        }
        let mut options = certificate.critical_options().iter();
        options.next().map(|(name, _)| format!("it has the critical option `{name}`, which is not known"))
    }

    fn refuse_revoked(&self, data: &KeyData, shown: &PublicKey) -> Result<(), ConnectionError> {
        let entries = self.entries.iter().chain(&self.without_port);
        let revoked =
            entries.filter(|entry| entry.marker == Marker::Revoked).find(|entry| entry.key.key_data() == data);
        match revoked {
            None => Ok(()),
            Some(entry) => Err(ConnectionError::HostKeyRevoked {
                at: self.at.clone(),
                algorithm: shown.algorithm().to_string(),
                fingerprint: fingerprint(shown),
                place: entry.place.clone(),
            }),
        }
    }

    /// The entry that the key contradicts: one of its own type if there is one.
    fn offending(&self, key: &PublicKey) -> Option<&Entry> {
        let same = plain(&self.entries).find(|entry| same_kind(&entry.key.algorithm(), &key.algorithm()));
        same.or_else(|| plain(&self.entries).next())
    }

    fn changed(&self, key: &PublicKey, entry: &Entry) -> Result<Trust, ConnectionError> {
        if self.policy == StrictHostKeys::No {
            tracing::warn!(peer = %self.at, place = %entry.place, "the host key has changed; passwords are not sent");
            return Ok(Trust::Doubtful);
        }
        Err(ConnectionError::HostKeyChanged {
            at: self.at.clone(),
            algorithm: key.algorithm().to_string(),
            fingerprint: fingerprint(key),
            known: fingerprint(&entry.key),
            place: Box::new(entry.place.clone()),
            name: self.name.clone(),
        })
    }

    fn unknown(&self, key: &PublicKey) -> ConnectionError {
        let names: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
        let file = match self.user_files.first() {
            Some(file) => file.display().to_string(),
            None => "~/.ssh/known_hosts".into(),
        };
        let port = match self.at.port() {
            22 => String::new(),
            port => format!("-p {port} "),
        };
        ConnectionError::HostKeyUnknown {
            at: self.at.clone(),
            key: format!("{} {}", key.algorithm(), fingerprint(key)),
            name: self.name.clone(),
            files: if names.is_empty() { "any file (none is configured)".into() } else { names.join(", ") },
            remedy: format!("ssh-keyscan {port}{} >> {file}", self.at.host()),
        }
    }

    /// Writes the key down, which may block. That it cannot be written is worth a warning, as in OpenSSH, not a failure.
    pub fn record(&self, key: &PublicKey) {
        let Some(file) = self.user_files.first() else {
            return;
        };
        if let Err(error) = append(file, &self.name, key, self.hash) {
            tracing::warn!(file = %file.display(), %error, "cannot record the new host key");
        }
    }
}

fn plain(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    entries.iter().filter(|entry| entry.marker == Marker::None)
}

/// The same algorithm, whatever the hash of its signatures.
fn same_kind(a: &Algorithm, b: &Algorithm) -> bool {
    matches!((a, b), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. })) || a == b
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// Appends `key` for `name` unless a line says so already.
///
/// The file is locked meanwhile and gets the line in one write, so concurrent logins neither tear nor repeat lines.
/// A missing directory is made with mode 0700, a missing file with 0600.
fn append(path: &Path, name: &str, key: &PublicKey, hash: bool) -> std::io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
    if !file.metadata()?.is_file() {
        // `UserKnownHostsFile /dev/null`: there is nothing to keep.
        return Ok(());
    }
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let entries = known_hosts::parse(&String::from_utf8_lossy(&bytes), path);
    let known =
        |entry: &Entry| entry.marker == Marker::None && entry.is_for(name) && entry.key.key_data() == key.key_data();
    if entries.iter().any(known) {
        return Ok(());
    }
    let mut line = known_hosts::line_for(name, key, hash);
    if bytes.last().is_some_and(|last| *last != b'\n') {
        line.insert(0, '\n');
    }
    file.write_all(line.as_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAILagOJFgwaMNhBWQINinKOXmqS4Gh5NgxgriXwdOoINJ";
    const OTHER: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const ECDSA: &str = "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBMxBTpMIGvo7CnordO7wP0QQRqpBwUjOLl4eMhfucfE1sjTYyK5wmTl1UqoSDS1PtRVTBdl+0+9pquFb46U7fwg=";

    fn key(blob: &str) -> PublicKey {
        russh::keys::parse_public_key_base64(blob).unwrap()
    }

    fn host_keys(text: &str, port: u16, policy: StrictHostKeys) -> HostKeys {
        let file = PathBuf::from("/known_hosts");
        let entries = known_hosts::parse(text, &file);
        let find = |name: &str| entries.iter().filter(|entry| entry.is_for(name)).cloned().collect::<Vec<_>>();
        let name = known_hosts::name_of("web", port);
        HostKeys {
            at: Peer::new("u", "web", port, None),
            entries: find(&name),
            without_port: if name == "web" { Vec::new() } else { find("web") },
            name,
            bare: "web".into(),
            policy,
            user_files: Vec::new(),
            files: vec![file],
            hash: false,
        }
    }

    #[test]
    fn known_changed_unknown_revoked() {
        let line = format!("# one\nweb ssh-ed25519 {KEY}\n");
        let ask = host_keys(&line, 22, StrictHostKeys::Ask);
        assert_eq!(ask.check(&key(KEY)).unwrap(), Trust::Known);
        let error = ask.check(&key(OTHER)).unwrap_err().to_string();
        assert!(error.contains("/known_hosts:2") && error.contains("SHA256:ldyiXa1J"), "{error}");
        assert!(matches!(ask.check(&key(ECDSA)), Err(ConnectionError::HostKeyChanged { .. })));
        let no = host_keys(&line, 22, StrictHostKeys::No);
        assert_eq!(no.check(&key(OTHER)).unwrap(), Trust::Doubtful);
        let accept_new = host_keys(&line, 22, StrictHostKeys::AcceptNew);
        assert!(matches!(accept_new.check(&key(OTHER)), Err(ConnectionError::HostKeyChanged { .. })));

        let unknown = host_keys("", 2222, StrictHostKeys::Yes).check(&key(KEY)).unwrap_err().to_string();
        assert!(unknown.contains("SHA256:ldyiXa1J") && unknown.contains("ssh-keyscan -p 2222 web"), "{unknown}");

        let revoked = host_keys(&format!("{line}@revoked * ssh-ed25519 {KEY}\n"), 22, StrictHostKeys::No);
        let error = revoked.check(&key(KEY)).unwrap_err();
        assert!(matches!(error, ConnectionError::HostKeyRevoked { ref place, .. } if place.line == 3), "{error}");
    }

    #[test]
    fn a_port_falls_back_to_the_name_without_it() {
        let bare = host_keys(&format!("web ssh-ed25519 {KEY}\n"), 2222, StrictHostKeys::Ask);
        assert_eq!(bare.check(&key(KEY)).unwrap(), Trust::Known);
        assert!(matches!(bare.check(&key(OTHER)), Err(ConnectionError::HostKeyUnknown { .. })));
    }

    #[test]
    fn known_types_are_offered_first() {
        let keys = host_keys(&format!("web ecdsa-sha2-nistp256 {ECDSA}\n"), 22, StrictHostKeys::Ask);
        let algorithms = super::super::algorithms::select(&Default::default()).unwrap();
        let preferred = keys.preferred(&algorithms);
        assert_eq!(preferred.key[0].to_string(), "ecdsa-sha2-nistp256");
        assert_eq!(preferred.key.len(), algorithms.preferred.key.len());
        assert!(preferred.host_key_certificates.is_empty());
        let authority = host_keys(&format!("@cert-authority * ssh-ed25519 {KEY}\n"), 22, StrictHostKeys::Ask);
        assert!(!authority.preferred(&algorithms).host_key_certificates.is_empty());
    }

    #[test]
    fn concurrent_recording_writes_each_key_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("new/.ssh/known_hosts");
        std::thread::scope(|scope| {
            for index in 0..16 {
                let file = &file;
                scope.spawn(move || append(file, &format!("host{}", index % 4), &key(KEY), true).unwrap());
            }
        });
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(known_hosts::parse(&text, &file).len(), 4, "{text}");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    }
}
