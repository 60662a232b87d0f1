//! A value that is encrypted where it stands, decrypted when it is used.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::{Secrets, VaultError};

/// An encrypted text among a file's values (`!vault`).
pub struct Vaulted {
    ciphertext: Arc<str>,
    secrets: Arc<Secrets>,
    plain: OnceLock<Result<Arc<str>, VaultError>>,
}

impl Vaulted {
    /// An encrypted text, and the passwords that may decrypt it.
    #[must_use]
    pub fn new(ciphertext: impl Into<Arc<str>>, secrets: Arc<Secrets>) -> Self {
        Self { ciphertext: ciphertext.into(), secrets, plain: OnceLock::new() }
    }

    /// The encrypted text.
    #[must_use]
    pub fn ciphertext(&self) -> &Arc<str> {
        &self.ciphertext
    }

    /// The text, decrypted the first time it is asked for.
    pub fn plain(&self) -> Result<Arc<str>, VaultError> {
        self.plain.get_or_init(|| self.decrypt()).clone()
    }

    fn decrypt(&self) -> Result<Arc<str>, VaultError> {
        let found = self.secrets.decrypt(self.ciphertext.trim_start().as_bytes())?;
        let plain: Arc<str> = std::str::from_utf8(&found.plain).map_err(|_| VaultError::Encoding)?.into();
        self.secrets.note(&plain, self);
        Ok(plain)
    }
}

impl fmt::Debug for Vaulted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[encrypted]")
    }
}
