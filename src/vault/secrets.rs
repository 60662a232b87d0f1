//! The passwords of a run, and what they decrypt.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use super::format::{self, Envelope};
use super::{VaultError, Vaulted};
use crate::connection::Secret;

/// Passwords with their vault ids, in the order in which they are tried.
#[derive(Default)]
pub struct Secrets {
    list: Vec<(String, Secret)>,
    /// Whether only passwords of the id that a text names are tried (`vault_id_match`).
    only_matching: bool,
    /// The salt of everything that is encrypted (`vault_encrypt_salt`).
    salt: Option<String>,
    /// What was decrypted, by the address of its text: how a filter that is given a text finds that it was encrypted.
    /// The texts are kept, so that no address is used twice.
    decrypted: Mutex<HashMap<usize, Pair>>,
}

/// A plain text and what it was decrypted from.
type Pair = (Arc<str>, Arc<str>);

/// What came out, and whose password it was.
pub struct Decrypted {
    /// The plain bytes.
    pub plain: Zeroizing<Vec<u8>>,
    /// The vault id of the password.
    pub id: String,
    /// The password.
    pub secret: Secret,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl Secrets {
    /// No passwords yet.
    #[must_use]
    pub fn new(only_matching: bool, salt: Option<String>) -> Self {
        Self { only_matching, salt, ..Self::default() }
    }

    /// Adds a password, to be tried after those that are there.
    pub fn add(&mut self, id: impl Into<String>, secret: Secret) {
        self.list.push((id.into(), secret));
    }

    /// The vault ids, in order.
    #[must_use]
    pub fn ids(&self) -> Vec<&str> {
        self.list.iter().map(|(id, _)| id.as_str()).collect()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The first password of an id; without an id, the first of all.
    #[must_use]
    pub fn find(&self, id: Option<&str>) -> Option<&(String, Secret)> {
        self.list.iter().find(|(own, _)| id.is_none_or(|id| own == id))
    }

    /// Decrypts text. The passwords of the id that it names come first, then all others in order.
    pub fn decrypt(&self, text: &[u8]) -> Result<Decrypted, VaultError> {
        let envelope = Envelope::parse(text)?;
        if envelope.cipher != "AES256" {
            return Err(VaultError::Cipher(envelope.cipher));
        }
        if self.is_empty() {
            return Err(VaultError::NoSecrets);
        }
        let named = envelope.id.as_deref().unwrap_or("default");
        let matching = self.list.iter().filter(|(id, _)| id == named || !self.only_matching);
        // In the order given, as in the reference: an id that matches only decides who may try.
        for (id, secret) in matching {
            match envelope.open(secret) {
                Ok(plain) => return Ok(Decrypted { plain, id: id.clone(), secret: secret.clone() }),
                Err(VaultError::Checksum | VaultError::Padding) => {}
                Err(error) => return Err(error),
            }
        }
        Err(VaultError::NoMatch)
    }

    /// Bytes as they are, or decrypted when they are encrypted.
    pub fn reveal(&self, bytes: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        if !format::is_encrypted(&bytes) {
            return Ok(bytes);
        }
        self.decrypt(&bytes).map(|mut found| std::mem::take(&mut *found.plain))
    }

    /// Encrypts with the salt that is configured, or a new one.
    pub fn encrypt(&self, plain: &[u8], secret: &Secret, id: Option<&str>) -> Result<String, VaultError> {
        format::encrypt(plain, secret, id, self.salt.as_deref().map(str::as_bytes))
    }

    /// Keeps what a value's text was decrypted from.
    pub fn note(&self, plain: &Arc<str>, vaulted: &Vaulted) {
        let mut decrypted = self.decrypted.lock().unwrap_or_else(PoisonError::into_inner);
        decrypted.insert(Arc::as_ptr(plain).addr(), (plain.clone(), vaulted.ciphertext().clone()));
    }

    /// Whether any value was decrypted.
    #[must_use]
    pub fn has_decrypted(&self) -> bool {
        !self.decrypted.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// What a text was decrypted from, when it was.
    #[must_use]
    pub fn origin_of(&self, plain: &Arc<str>) -> Option<Arc<str>> {
        let decrypted = self.decrypted.lock().unwrap_or_else(PoisonError::into_inner);
        decrypted.get(&Arc::as_ptr(plain).addr()).map(|(_, ciphertext)| ciphertext.clone())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tries_in_order_and_only_matching_when_told() {
        let text = format::encrypt(b"x", &Secret::from("right"), Some("prod"), Some(b"s")).unwrap();
        let mut secrets = Secrets::default();
        assert_eq!(secrets.decrypt(text.as_bytes()).err(), Some(VaultError::NoSecrets));
        secrets.add("prod", "wrong".into());
        assert_eq!(secrets.decrypt(text.as_bytes()).err(), Some(VaultError::NoMatch));
        secrets.add("other", "right".into());
        assert_eq!(secrets.decrypt(text.as_bytes()).unwrap().id, "other");
        let mut strict = Secrets::new(true, None);
        strict.add("other", "right".into());
        assert_eq!(strict.decrypt(text.as_bytes()).err(), Some(VaultError::NoMatch));
        strict.add("prod", "right".into());
        assert_eq!(strict.decrypt(text.as_bytes()).unwrap().id, "prod");
        assert_eq!(format!("{secrets:?}"), r#"["prod", "other"]"#);
        assert_eq!(secrets.reveal(b"plain".to_vec()).unwrap(), b"plain");
    }

    #[test]
    fn a_text_knows_what_it_was() {
        let mut secrets = Secrets::default();
        secrets.add("default", "p".into());
        let text = secrets.encrypt(b"secret", &"p".into(), None).unwrap();
        let secrets = Arc::new(secrets);
        let vaulted = Vaulted::new(text.as_str(), secrets.clone());
        let plain = vaulted.plain().unwrap();
        assert_eq!(secrets.origin_of(&plain).as_deref(), Some(text.as_str()));
        assert_eq!(secrets.origin_of(&Arc::from("secret")), None);
        assert!(!format!("{vaulted:?}").contains("secret"));
    }
}
