//! Ansible Vault: files and values that are encrypted with a password.
//!
//! `format` is the text that stands in files, [`Secrets`] are the passwords of a run in the order in which they are tried,
//! `sources` is where they come from, and a [`Vaulted`] value decrypts itself when it is used.

mod format;
mod secrets;
mod sources;
mod value;

pub use format::{Envelope, HEADER, encrypt, is_encrypted};
pub use secrets::{Decrypted, Secrets};
pub use sources::{Asker, PROMPT, Request, absolute, ask};
pub use value::Vaulted;

/// Why something was not encrypted or decrypted.
///
/// The words are those of the reference, which scripts look for. No text, key or password is ever a part of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The text does not begin with `$ANSIBLE_VAULT`.
    #[error("Input is not vault encrypted data.")]
    NotVault,
    /// The first line is not what it should be.
    #[error("Vault envelope format error.")]
    Envelope,
    /// The cipher is not AES256.
    #[error("Cipher '{0}' could not be found.")]
    Cipher(String),
    /// Something that should be pairs of hexadecimal digits is not.
    #[error("Vault format unhexlify error: {0}")]
    Hex(&'static str),
    /// What the digits say is not salt, checksum and data.
    #[error("Vault vaulttext format error.")]
    Text,
    /// The checksum does not match: another password, or the data was changed.
    #[error("HMAC verification failed: Signature did not match digest.")]
    Checksum,
    /// The checksum matches, and yet the end is not as it must be.
    #[error("Invalid padding bytes.")]
    Padding,
    /// There is no password.
    #[error("Attempting to decrypt but no vault secrets found.")]
    NoSecrets,
    /// No password fits.
    #[error("Decryption failed (no vault secrets were found that could decrypt).")]
    NoMatch,
    /// What is to be encrypted is encrypted.
    #[error("input is already encrypted")]
    Already,
    /// The salt is empty.
    #[error("Empty or invalid salt passed to encrypt()")]
    Salt,
    /// What was decrypted should be text and is not.
    #[error("the decrypted value is not UTF-8")]
    Encoding,
    /// A password could not be had; the sentence says which and why.
    #[error("{0}")]
    Source(String),
}

/// What is said first where an encrypted value is used that cannot be decrypted.
pub(crate) const UNDECRYPTABLE: &str = "Attempt to use undecryptable variable: ";

impl VaultError {
    /// What is said where an encrypted value is used that cannot be decrypted.
    #[must_use]
    pub fn undecryptable(&self) -> String {
        format!("{UNDECRYPTABLE}{self}")
    }
}
