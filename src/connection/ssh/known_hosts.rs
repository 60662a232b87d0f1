//! known_hosts: which keys a host may show.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use russh::keys::PublicKey;
use sha1::{Digest, Sha1};

use super::super::Place;
use super::config::pattern_list;

/// What an entry says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// It is the host's.
    None,
    /// It signs host certificates.
    Authority,
    /// It must never be accepted.
    Revoked,
}

/// One line of a known_hosts file.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What the entry says about its key.
    pub marker: Marker,
    /// Where it is.
    pub place: Place,
    /// The key.
    pub key: PublicKey,
    hosts: String,
}

impl Entry {
    fn parse(line: &str, place: Place) -> Option<Self> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let mut words = line.split_ascii_whitespace();
        let mut hosts = words.next()?;
        let marker = match hosts {
            "@cert-authority" => Marker::Authority,
            "@revoked" => Marker::Revoked,
            marker if marker.starts_with('@') => return None,
            _ => Marker::None,
        };
        if marker != Marker::None {
            hosts = words.next()?;
        }
        let (_kind, key) = (words.next()?, words.next()?);
        // Keys of types that russh does not know cannot be negotiated either.
        let key = russh::keys::parse_public_key_base64(key).ok()?;
        Some(Self { marker, place, key, hosts: hosts.to_owned() })
    }

    /// Whether the entry is about `name`, which is `host` or `[host]:port`, in lower case.
    pub fn is_for(&self, name: &str) -> bool {
        match self.hosts.strip_prefix("|1|") {
            Some(hashed) => hash_matches(hashed, name),
            None => pattern_list(name, &self.hosts, true),
        }
    }
}

fn hash_matches(hashed: &str, name: &str) -> bool {
    let Some((salt, hash)) = hashed.split_once('|') else {
        return false;
    };
    match (BASE64.decode(salt), BASE64.decode(hash)) {
        (Ok(salt), Ok(hash)) => hmac_sha1(&salt, name.as_bytes()).as_slice() == hash,
        _ => false,
    }
}

/// HMAC (RFC 2104) with SHA-1, which is what known_hosts hashes names with.
fn hmac_sha1(key: &[u8], message: &[u8]) -> [u8; 20] {
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..20].copy_from_slice(&Sha1::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha1::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha1::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

/// The name that a host's key is known under: `host`, or `[host]:port` where the port is not 22.
pub fn name_of(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// The line that makes `key` known for `name`.
pub fn line_for(name: &str, key: &PublicKey, hashed: bool) -> String {
    let hosts = if hashed {
        let salt: [u8; 20] = rand::random();
        format!("|1|{}|{}", BASE64.encode(salt), BASE64.encode(hmac_sha1(&salt, name.as_bytes())))
    } else {
        name.to_owned()
    };
    let blob = key.to_bytes().unwrap_or_default();
    format!("{hosts} {} {}\n", key.algorithm(), BASE64.encode(blob))
}

/// Parses the text of one file. Lines that make no sense are left out, as in OpenSSH.
pub fn parse(text: &str, file: &Path) -> Vec<Entry> {
    let entries = text.lines().enumerate();
    entries.filter_map(|(index, line)| Entry::parse(line, Place { file: file.to_owned(), line: index + 1 })).collect()
}

type Stamp = (Option<SystemTime>, u64);
type Files = HashMap<PathBuf, (Stamp, Arc<Vec<Entry>>)>;

/// Parsed files by path, read again when they change, so that a thousand logins parse a file once.
#[derive(Debug, Default)]
pub struct Cache(Mutex<Files>);

impl Cache {
    /// The entries of `file`; none where it is missing or unreadable.
    pub fn load(&self, file: &Path) -> Arc<Vec<Entry>> {
        let Ok(metadata) = std::fs::metadata(file) else {
            return Arc::default();
        };
        let stamp = (metadata.modified().ok(), metadata.len());
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, entries)) = files.get(file)
            && *known == stamp
        {
            return Arc::clone(entries);
        }
        let bytes = if metadata.is_file() { std::fs::read(file).unwrap_or_default() } else { Vec::new() };
        let entries = Arc::new(parse(&String::from_utf8_lossy(&bytes), file));
        files.insert(file.to_owned(), (stamp, Arc::clone(&entries)));
        entries
    }

    /// The entries of all `files` that are about `name`.
    pub fn entries_for<'a>(&self, files: impl IntoIterator<Item = &'a PathBuf>, name: &str) -> Vec<Entry> {
        let files = files.into_iter().map(|file| self.load(file));
        files
            .flat_map(|entries| entries.iter().filter(|entry| entry.is_for(name)).cloned().collect::<Vec<_>>())
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILagOJFgwaMNhBWQINinKOXmqS4Gh5NgxgriXwdOoINJ";

    fn entry(hosts: &str) -> Entry {
        let entries = parse(&format!("# comment\n\n{hosts} {KEY} a comment\n"), Path::new("/k"));
        entries.into_iter().next().unwrap()
    }

    #[test]
    fn names_patterns_and_ports() {
        assert!(entry("web,10.0.0.1").is_for("10.0.0.1"));
        assert!(!entry("web").is_for("[web]:2222"));
        assert!(entry("[web]:2222").is_for("[web]:2222"));
        assert!(entry("*.example.org,!db.example.org").is_for("web.example.org"));
        assert!(!entry("*.example.org,!db.example.org").is_for("db.example.org"));
        assert_eq!(name_of("Web", 22), "web");
        assert_eq!(name_of("Web", 23), "[web]:23");
        assert_eq!(entry("web").place.line, 3);
    }

    #[test]
    fn markers() {
        assert_eq!(entry("@revoked *").marker, Marker::Revoked);
        assert_eq!(entry("@cert-authority *.example.org").marker, Marker::Authority);
        assert!(parse(&format!("@unknown * {KEY}"), Path::new("/k")).is_empty());
        assert!(parse("web ssh-ed25519 garbage", Path::new("/k")).is_empty());
    }

    #[test]
    fn hashed_names_that_ssh_keygen_wrote() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("known_hosts");
        std::fs::write(&file, format!("web.example.org {KEY}\n[db]:2222 {KEY}\n")).unwrap();
        let hashed = std::process::Command::new("ssh-keygen").arg("-Hf").arg(&file).output().unwrap();
        assert!(hashed.status.success());
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("web"), "{text}");
        let cache = Cache::default();
        assert_eq!(cache.entries_for([&file], "web.example.org").len(), 1);
        assert_eq!(cache.entries_for([&file], "[db]:2222").len(), 1);
        assert!(cache.entries_for([&file], "db").is_empty());
    }

    #[test]
    fn ssh_keygen_finds_the_lines_written_here() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("known_hosts");
        for hashed in [false, true] {
            std::fs::write(&file, line_for("[web]:2222", &entry("x").key, hashed)).unwrap();
            let found = std::process::Command::new("ssh-keygen").args(["-F", "[web]:2222", "-f"]).arg(&file).output();
            assert!(found.unwrap().status.success(), "hashed: {hashed}");
        }
    }
}
