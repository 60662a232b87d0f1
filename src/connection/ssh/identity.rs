//! The keys to log in with: files, certificates beside them, and the agent's.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Certificate, HashAlg, PrivateKey, PublicKey};
use tokio::net::UnixStream;
use tokio::sync::OnceCell;

use super::super::Secret;
use super::blocking::blocking;
use super::resolve::{Identity, Target};

/// Why a key file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// It does not exist.
    Missing,
    /// It is encrypted, and there is no passphrase.
    Encrypted,
    /// Others can read it; the mode.
    Permissions(u32),
    /// Anything else.
    Unreadable(String),
}

/// A key file after reading it.
#[derive(Debug, Clone)]
pub struct KeyFile {
    /// The private key, or why there is none.
    pub private: Result<Arc<PrivateKey>, Flaw>,
    /// The public key, where one of the files tells it.
    pub public: Option<PublicKey>,
    /// The certificate beside it.
    pub certificate: Option<Certificate>,
}

type Slot = Arc<OnceCell<KeyFile>>;

/// Key files by path and passphrase: reading, and above all decrypting, is done once per run.
#[derive(Debug, Default)]
pub struct Cache(Mutex<HashMap<(PathBuf, Option<Secret>), Slot>>);

impl Cache {
    /// Reads a key file and what lies beside it.
    pub async fn load(&self, identity: &Identity, uid: u32) -> KeyFile {
        let slot = {
            let key = (identity.path.clone(), identity.passphrase.clone());
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(key).or_default())
        };
        let (path, passphrase) = (identity.path.clone(), identity.passphrase.clone());
        let identity = identity.clone();
        let load = || async move {
            // Deciphering takes long on purpose.
            let read = blocking(move || read(&identity, uid)).await;
            read.unwrap_or_else(|error| KeyFile {
                private: Err(Flaw::Unreadable(error.to_string())),
                public: None,
                certificate: None,
            })
        };
        let file = slot.get_or_init(load).await.clone();
        if file.private.is_err() {
            // What is missing now may be there for the next login: a play can make keys.
            let key = (path, passphrase);
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            slots.remove(&key);
        }
        file
    }
}

fn read(identity: &Identity, uid: u32) -> KeyFile {
    let beside = |suffix: &str| {
        let mut name = identity.path.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    };
    let certificate = read_certificate(&beside("-cert.pub"));
    let private = read_private(identity, uid);
    let public = match &private {
        Ok(key) => Some(key.public_key().clone()),
        // `IdentityFile key.pub` names a key that only an agent holds.
        Err(_) => russh::keys::load_public_key(beside(".pub"))
            .or_else(|_| russh::keys::load_public_key(&identity.path))
            .ok()
            .or_else(|| public_half(&identity.path)),
    };
    KeyFile { private, public, certificate }
}

/// Reads a certificate, if it is there and one.
pub fn read_certificate(path: &Path) -> Option<Certificate> {
    russh::keys::load_openssh_certificate(path).ok()
}

/// The public key that OpenSSH's format keeps in the clear in an encrypted private key.
fn public_half(path: &Path) -> Option<PublicKey> {
    let key = PrivateKey::from_openssh(std::fs::read(path).ok()?).ok()?;
    Some(key.public_key().clone())
}

fn read_private(identity: &Identity, uid: u32) -> Result<Arc<PrivateKey>, Flaw> {
    let path = &identity.path;
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Flaw::Missing,
        _ => Flaw::Unreadable(error.to_string()),
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    if russh::keys::load_public_key(path).is_ok() {
        return Err(Flaw::Unreadable("it is a public key, and no agent holds its private half".into()));
    }
    // As OpenSSH: only the owner's own carelessness counts; root may read anybody's key.
    if metadata.uid() == uid && metadata.mode() & 0o077 != 0 {
        return Err(Flaw::Permissions(metadata.mode() & 0o7777));
    }
    let plain = decode(&text, None);
    let key = match (plain, &identity.passphrase) {
        (Ok(key), _) => key,
        (Err(_), Some(passphrase)) if is_encrypted(&text) => {
            let key = decode(&text, Some(passphrase.expose()));
            key.map_err(|_| Flaw::Unreadable("the passphrase does not open it".into()))?
        }
        (Err(_), None) if is_encrypted(&text) => return Err(Flaw::Encrypted),
        (Err(error), _) => return Err(Flaw::Unreadable(error.to_string())),
    };
    Ok(Arc::new(key))
}

fn decode(text: &str, passphrase: Option<&str>) -> Result<PrivateKey, russh::keys::Error> {
    let key = russh::keys::decode_secret_key(text, passphrase);
    key.or_else(|error| super::short_key::read(text, passphrase).ok_or(error))
}

fn is_encrypted(text: &str) -> bool {
    if text.contains("ENCRYPTED") {
        return true;
    }
    match PrivateKey::from_openssh(text.as_bytes()) {
        Ok(key) => key.is_encrypted(),
        Err(_) => text.contains("Encryption: aes256-cbc"),
    }
}

/// A key to offer, and what signs with it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// For messages.
    pub label: String,
    /// What is offered.
    pub offer: Offer,
    /// What signs.
    pub signer: KeyHolder,
    /// The file it comes from or that names it; none for a key that only the agent knows.
    pub path: Option<PathBuf>,
}

/// What is offered to the server.
#[derive(Debug, Clone)]
pub enum Offer {
    /// A plain key.
    Key(PublicKey),
    /// A certificate.
    Certificate(Box<Certificate>),
}

/// Who holds the private half.
#[derive(Debug, Clone)]
pub enum KeyHolder {
    /// We do.
    File(Arc<PrivateKey>),
    /// The agent does.
    Agent,
}

/// Everything there is to offer, and what is in the way of more.
#[derive(Debug, Default)]
pub struct Candidates {
    /// In the order to try.
    pub list: Vec<Candidate>,
    /// Named key files that cannot be used.
    pub flaws: Vec<(PathBuf, Flaw)>,
    /// Why the agent is not used, and its socket.
    pub agent_trouble: Option<(PathBuf, String)>,
}

/// An agent's client.
pub type Agent = AgentClient<UnixStream>;

/// Connects to the agent.
pub async fn connect_agent(socket: &Path) -> Result<Agent, String> {
    Agent::connect_uds(socket).await.map_err(|error| error.to_string())
}

/// Collects what can be offered to `target`: named keys first, then the agent's others, then the default ones.
pub async fn gather(target: &Target, cache: &Cache, uid: u32, agent: Option<&mut Agent>) -> Candidates {
    let mut candidates = Candidates::default();
    let mut held = match agent {
        Some(agent) => match agent.request_identities().await {
            Ok(held) => held,
            Err(error) => {
                candidates.agent_trouble = target.agent.clone().map(|socket| (socket, error.to_string()));
                Vec::new()
            }
        },
        None => Vec::new(),
    };
    let certificates: Vec<Certificate> = target.certificates.iter().filter_map(|path| read_certificate(path)).collect();
    let mut default = Vec::new();
    for identity in &target.identities {
        let file = cache.load(identity, uid).await;
        let found = from_file(identity, &file, &mut held, &certificates);
        if found.is_empty()
            && let Err(flaw) = file.private
            && (identity.explicit || flaw != Flaw::Missing)
        {
            candidates.flaws.push((identity.path.clone(), flaw));
        }
        if identity.explicit { candidates.list.extend(found) } else { default.extend(found) }
    }
    if !target.identities_only {
        candidates.list.extend(held.into_iter().map(from_agent));
    }
    candidates.list.extend(default);
    let allowed = |candidate: &Candidate| match &target.algorithms.pubkey {
        None => true,
        Some(names) => offer_names(&candidate.offer).iter().any(|name| names.contains(name)),
    };
    candidates.list.retain(allowed);
    candidates
}

/// What a key file has to offer: its certificates, then itself. Agent keys that it names are taken out of `held`.
fn from_file(
    identity: &Identity,
    file: &KeyFile,
    held: &mut Vec<AgentIdentity>,
    certificates: &[Certificate],
) -> Vec<Candidate> {
    let Some(public) = &file.public else {
        return Vec::new();
    };
    let in_agent = held.iter().position(|key| match key {
        AgentIdentity::PublicKey { key, .. } => key.key_data() == public.key_data(),
        AgentIdentity::Certificate { .. } => false,
    });
    let holder = match (&file.private, in_agent) {
        (Ok(key), _) => KeyHolder::File(Arc::clone(key)),
        (Err(_), Some(_)) => KeyHolder::Agent,
        (Err(_), None) => return Vec::new(),
    };
    if let Some(position) = in_agent {
        held.remove(position);
    }
    let candidate = |offer: Offer, kind: &str| Candidate {
        label: format!(
            "{kind} {} ({}{})",
            identity.path.display(),
            fingerprint(public),
            match holder {
                KeyHolder::File(_) => "",
                KeyHolder::Agent => ", from the agent",
            }
        ),
        offer,
        signer: holder.clone(),
        path: Some(identity.path.clone()),
    };
    let matching = certificates.iter().chain(&file.certificate);
    let matching = matching.filter(|certificate| certificate.public_key() == public.key_data());
    let mut found: Vec<Candidate> = matching
        .map(|certificate| candidate(Offer::Certificate(Box::new(certificate.clone())), "certificate of"))
        .collect();
    found.push(candidate(Offer::Key(public.clone()), "key"));
    found
}

fn from_agent(identity: AgentIdentity) -> Candidate {
    let (offer, comment, print) = match identity {
        AgentIdentity::PublicKey { key, comment } => {
            let print = fingerprint(&key);
            (Offer::Key(key), comment, print)
        }
        AgentIdentity::Certificate { certificate, comment } => {
            let print = certificate.public_key().fingerprint(HashAlg::Sha256).to_string();
            (Offer::Certificate(Box::new(certificate)), comment, print)
        }
    };
    Candidate { label: format!("agent key `{comment}` ({print})"), offer, signer: KeyHolder::Agent, path: None }
}

fn offer_names(offer: &Offer) -> Vec<String> {
    let (algorithm, certificate) = match offer {
        Offer::Key(key) => (key.algorithm(), false),
        Offer::Certificate(certificate) => (certificate.algorithm(), true),
    };
    let hashes = [Some(HashAlg::Sha512), Some(HashAlg::Sha256), None];
    let algorithms = match matches!(algorithm, russh::keys::Algorithm::Rsa { .. }) {
        true => hashes.map(|hash| russh::keys::Algorithm::Rsa { hash }).to_vec(),
        false => vec![algorithm],
    };
    algorithms
        .iter()
        .map(|algorithm| if certificate { algorithm.to_certificate_type() } else { algorithm.to_string() })
        .collect()
}

fn fingerprint(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256))
}
