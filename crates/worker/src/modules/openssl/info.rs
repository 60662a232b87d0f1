//! `community.crypto.openssl_privatekey_info`, `openssl_csr_info` and `x509_certificate_info`: what there is to know of them.

use std::collections::BTreeMap;

use rsa::traits::PrivateKeyParts as _;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Backend;
use crate::args::PathArg;
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::pki::certificate::{Certificate, now};
use crate::pki::hash::{Hash, fingerprints};
use crate::pki::key::{PrivateKey, on_curve};
use crate::pki::request::Request;
use crate::pki::{keyfile, number, times};

/// Tells of a private key.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PrivateKeyInfo {
    /// The key's file.
    #[serde(default)]
    path: Option<PathArg>,
    /// The key itself.
    #[serde(default)]
    content: Option<String>,
    /// Its passphrase.
    #[serde(default)]
    passphrase: Option<String>,
    /// Whether its secret numbers are told.
    #[serde(default)]
    return_private_key_data: bool,
    /// Whether it is tried whether both halves belong together.
    #[serde(default)]
    check_consistency: bool,
    /// By which library it is done; both words mean the worker's own.
    #[serde(default, rename = "select_crypto_backend")]
    _backend: Backend,
}

/// Tells of a signing request.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CsrInfo {
    /// The request's file.
    #[serde(default)]
    path: Option<PathArg>,
    /// The request itself.
    #[serde(default)]
    content: Option<String>,
    /// How names beyond ASCII are told; they are as they are in the request.
    #[serde(default, rename = "name_encoding")]
    encoding: Encoding,
    /// By which library it is done; both words mean the worker's own.
    #[serde(default, rename = "select_crypto_backend")]
    _backend: Backend,
}

/// Tells of a certificate.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CertificateInfo {
    /// The certificate's file.
    #[serde(default)]
    path: Option<PathArg>,
    /// The certificate itself.
    #[serde(default)]
    content: Option<String>,
    /// Points in time at which it may be valid or not, by names for them.
    #[serde(default)]
    valid_at: BTreeMap<String, String>,
    /// How names beyond ASCII are told; they are as they are in the certificate.
    #[serde(default, rename = "name_encoding")]
    encoding: Encoding,
    /// By which library it is done; both words mean the worker's own.
    #[serde(default, rename = "select_crypto_backend")]
    _backend: Backend,
}

/// How names beyond ASCII are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    /// As they are.
    #[default]
    Ignore,
    Idna,
    Unicode,
}

fn one(path: Option<&PathArg>, content: Option<&String>, encoding: Encoding) -> Result<(), String> {
    match (path, content) {
        (Some(_), Some(_)) => Err("parameters are mutually exclusive: path|content".to_owned()),
        (None, None) => Err("one of the following is required: path, content".to_owned()),
        _ if encoding != Encoding::Ignore => Err("`name_encoding` is supported as `ignore` only".to_owned()),
        _ => Ok(()),
    }
}

/// The file, or the text in its place.
fn bytes(host: &Host, path: Option<&PathArg>, content: Option<&String>, what: &str) -> Result<Vec<u8>, Failure> {
    if let Some(content) = content {
        return Ok(content.clone().into_bytes());
    }
    let path = host.path(path.ok_or_else(|| Failure::new("one of the following is required: path, content"))?)?;
    let failed = |why: String| Failure::new(format!("Error while reading {what} file from disk: {why}"));
    let found = host.read_if_exists(&path).map_err(|failure| failed(failure.msg))?;
    found.ok_or_else(|| failed(format!("{} does not exist", path.display())))
}

impl Module for PrivateKeyInfo {
    const NAME: &'static str = "community.crypto.openssl_privatekey_info";

    fn check(&self) -> Result<(), String> {
        one(self.path.as_ref(), self.content.as_ref(), Encoding::Ignore)
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let told = |failure: Failure, load: bool| {
            failure.with("can_load_key", load).with("can_parse_key", false).with("key_is_consistent", Value::Null)
        };
        let content =
            bytes(host, self.path.as_ref(), self.content.as_ref(), "private key").map_err(|e| told(e, false))?;
        let key = keyfile::read(&content, self.passphrase.as_deref());
        let key = key.map_err(|e| told(Failure::new(e.to_string()), true))?;
        let public = key.public().map_err(Failure::new)?;
        let consistent = self.check_consistency.then(|| match key.sign(Hash::Sha256, b"") {
            Ok((algorithm, signature)) => Value::from(public.verifies(algorithm.oid, b"", &signature)),
            Err(_) => Value::Null,
        });
        let mut outcome = Outcome::unchanged()
            .with("can_load_key", true)
            .with("can_parse_key", true)
            .with("key_is_consistent", consistent)
            .with("public_key", public.pem())
            .with("public_key_fingerprints", fingerprints(public.der()))
            .with("type", public.kind())
            .with("public_data", public.data());
        if self.return_private_key_data {
            outcome.set("private_data", secret(&key));
        }
        Ok(outcome)
    }
}

/// A key's secret numbers.
pub(super) fn secret(key: &PrivateKey) -> Value {
    on_curve!(key, key => json!({"multiplier": number(&key.to_bytes())}),
        PrivateKey::Rsa(key) => {
            let prime = |index: usize| key.primes().get(index).map(|prime| number(&prime.to_be_bytes()));
            json!({"p": prime(0), "q": prime(1), "exponent": number(&key.d().to_be_bytes())})
        }
        PrivateKey::Ed25519(_) | PrivateKey::X25519(_) => json!({}),
    )
}

fn outcome(told: Map<String, Value>) -> Outcome {
    let mut outcome = Outcome::unchanged();
    outcome.fields.extend(told);
    outcome
}

impl Module for CsrInfo {
    const NAME: &'static str = "community.crypto.openssl_csr_info";

    fn check(&self) -> Result<(), String> {
        one(self.path.as_ref(), self.content.as_ref(), self.encoding)
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let content = bytes(host, self.path.as_ref(), self.content.as_ref(), "CSR")?;
        let request = Request::read(&content).map_err(Failure::new)?;
        let told = outcome(request.told(true));
        if request.valid {
            return Ok(told);
        }
        let mut failure = Failure::new("CSR signature is invalid!");
        failure.fields.extend(told.fields);
        Err(failure)
    }
}

impl Module for CertificateInfo {
    const NAME: &'static str = "community.crypto.x509_certificate_info";

    fn check(&self) -> Result<(), String> {
        one(self.path.as_ref(), self.content.as_ref(), self.encoding)
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let content = bytes(host, self.path.as_ref(), self.content.as_ref(), "certificate")?;
        let certificate = Certificate::read(&content).map_err(Failure::new)?;
        let (from, until) = certificate.validity();
        let now = now();
        let mut valid_at = Map::new();
        for (name, text) in &self.valid_at {
            let at = times::parse(text, &format!("valid_at.{name}"), now).map_err(Failure::new)?;
            valid_at.insert(name.clone(), (from <= at && at <= until).into());
        }
        Ok(outcome(certificate.told(true)).with("valid_at", valid_at))
    }
}
