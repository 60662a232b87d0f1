//! `community.crypto.openssl_publickey`: the public half of a private key, in a file of its own.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Backend, KeySource, lossy};
use crate::args::{PathArg, Presence, file_arguments};
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::modules::files::text;
use crate::pki::hash::{fingerprints, sha256_alone};
use crate::pki::pem;
use crate::pki::public::PublicKey;

file_arguments! {
    /// Writes a private key's public half to a file, or removes that.
    #[derive(Debug, Deserialize, JsonSchema)]
    pub struct PublicKeyFile {
        /// The file.
        path: PathArg,
        /// Whether it should be there.
        #[serde(default)]
        state: Presence,
        /// The private key's file.
        #[serde(default)]
        privatekey_path: Option<PathArg>,
        /// The private key itself.
        #[serde(default)]
        privatekey_content: Option<String>,
        /// Its passphrase.
        #[serde(default)]
        privatekey_passphrase: Option<String>,
        /// How the key is written down.
        #[serde(default)]
        format: Form,
        /// Whether it is written anew in any case.
        #[serde(default)]
        force: bool,
        /// Whether the old file is kept under another name.
        #[serde(default)]
        backup: bool,
        /// Whether the key is told.
        #[serde(default)]
        return_content: bool,
        /// By which library it is done; both words mean the worker's own.
        #[serde(default, rename = "select_crypto_backend")]
        _backend: Backend,
    }
}

/// How a public key is written down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
enum Form {
    #[serde(rename = "OpenSSH")]
    OpenSsh,
    #[default]
    #[serde(rename = "PEM")]
    Pem,
}

fn parsed(content: &[u8]) -> Option<PublicKey> {
    pem::first(content, &["PUBLIC KEY"]).and_then(|block| PublicKey::from_der(&block.data).ok())
}

/// A public key as a side of a diff.
fn shown(content: Option<&[u8]>) -> Value {
    match content.map(parsed) {
        None => json!({}),
        Some(None) => json!({"can_parse_key": false}),
        Some(Some(key)) => json!({
            "can_parse_key": true,
            "fingerprints": sha256_alone(key.der()),
            "type": key.kind(),
            "public_data": key.data(),
        }),
    }
}

impl PublicKeyFile {
    fn tell(&self, outcome: &mut Outcome) {
        let path = self.privatekey_path.as_ref().filter(|_| self.state == Presence::Present);
        outcome.set("privatekey", path.map(|path| path.0.clone()));
        outcome.set("format", if self.format == Form::Pem { "PEM" } else { "OpenSSH" });
    }

    /// Whether the file has this key already.
    fn has(&self, content: &[u8], key: &PublicKey) -> bool {
        match self.format {
            Form::Pem => parsed(content).as_ref() == Some(key),
            Form::OpenSsh => {
                let line = String::from_utf8_lossy(content);
                let words: Vec<_> = line.split_whitespace().take(2).collect();
                key.openssh().is_some_and(|wanted| words.join(" ") == wanted)
            }
        }
    }
}

impl Module for PublicKeyFile {
    const NAME: &'static str = "community.crypto.openssl_publickey";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        match (&self.privatekey_path, &self.privatekey_content) {
            (Some(_), Some(_)) => {
                Err("parameters are mutually exclusive: privatekey_path|privatekey_content".to_owned())
            }
            (None, None) if self.state == Presence::Present => {
                let missing = "any of the following are missing: privatekey_path, privatekey_content";
                Err(format!("state is present but {missing}"))
            }
            _ => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = super::place(host, &self.path)?;
        if self.state == Presence::Absent {
            let mut outcome = super::absent(host, &path, self.backup)?;
            self.tell(&mut outcome);
            outcome.set("fingerprint", json!({}));
            return Ok(outcome.with("diff", json!({"before": {}, "after": {}})).with("filename", text(&path)));
        }
        let source = KeySource {
            path: self.privatekey_path.as_ref(),
            content: self.privatekey_content.as_deref(),
            passphrase: self.privatekey_passphrase.as_deref(),
        };
        let key = source.read(host)?.public().map_err(Failure::new)?;
        let before = host.read_if_exists(&path)?;
        let mut outcome = Outcome::new(self.force || !before.as_ref().is_some_and(|content| self.has(content, &key)));
        self.tell(&mut outcome);
        let content = match self.format {
            Form::Pem => key.pem(),
            Form::OpenSsh => key.openssh().ok_or_else(|| Failure::new("OpenSSH has no keys of this type"))?,
        };
        let content = Some(content.into_bytes()).filter(|_| outcome.changed && !host.check_mode());
        let after = content.as_deref().or(before.as_deref());
        // As in the reference: nothing, where there is no file to tell of.
        outcome.set("fingerprint", if after.is_some() { fingerprints(key.der()) } else { json!({}) });
        if self.return_content {
            outcome.set("publickey", lossy(after));
        }
        outcome.set("diff", json!({"before": shown(before.as_deref()), "after": shown(after)}));
        let options = super::write_options(host, self.mode.as_ref(), self.backup, self.unsafe_writes)?;
        super::present(host, &path, content, (&self.file_attributes(), &options), &mut outcome)?;
        Ok(outcome.with("filename", text(&path)))
    }
}
