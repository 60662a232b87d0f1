//! Strings that know whether they may be templates and where they were written.

use std::fmt;
use std::sync::Arc;

use crate::source::Span;
use crate::vault::{VaultError, Vaulted};

/// Text with trust and origin.
#[derive(Clone)]
pub struct Str {
    text: Arc<str>,
    origin: Option<Span>,
    trusted: bool,
    vaulted: Option<Arc<Vaulted>>,
}

impl Str {
    /// Text that is data: never templated.
    #[must_use]
    pub fn data(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), origin: None, trusted: false, vaulted: None }
    }

    /// Text from the user's own files (or command line): may be a template.
    #[must_use]
    pub fn trusted(text: impl Into<Arc<str>>, origin: Option<Span>) -> Self {
        Self { text: text.into(), origin, trusted: true, vaulted: None }
    }

    /// Text that is data but knows where it was written (`!unsafe`).
    #[must_use]
    pub fn data_at(text: impl Into<Arc<str>>, origin: Span) -> Self {
        Self { text: text.into(), origin: Some(origin), trusted: false, vaulted: None }
    }

    /// Text that is encrypted where it stands: until it is used, its text is the encrypted one.
    #[must_use]
    pub fn vaulted(vaulted: Vaulted, origin: Option<Span>, trusted: bool) -> Self {
        Self { text: vaulted.ciphertext().clone(), origin, trusted, vaulted: Some(Arc::new(vaulted)) }
    }

    /// What is encrypted, when it is.
    #[must_use]
    pub fn as_vaulted(&self) -> Option<&Arc<Vaulted>> {
        self.vaulted.as_ref()
    }

    /// The text, decrypted when it is encrypted.
    pub fn revealed(&self) -> Result<Self, VaultError> {
        let Some(vaulted) = &self.vaulted else { return Ok(self.clone()) };
        // What was encrypted is data, as in the reference.
        Ok(Self { text: vaulted.plain()?, origin: self.origin, trusted: false, vaulted: None })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        self.text.clone()
    }

    /// Where it was written, when that is known.
    #[must_use]
    pub fn origin(&self) -> Option<Span> {
        self.origin
    }

    /// Whether it comes from the user's own files.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Whether it must be evaluated before use: trusted, and holds something of Jinja's; or encrypted.
    #[must_use]
    pub fn is_template(&self) -> bool {
        self.vaulted.is_some() || self.trusted && holds_jinja(&self.text)
    }
}

/// Whether text holds an expression, statement or comment of Jinja's.
#[must_use]
pub fn holds_jinja(text: &str) -> bool {
    text.as_bytes().windows(2).any(|pair| matches!(pair, b"{{" | b"{%" | b"{#"))
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}
