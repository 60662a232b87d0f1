//! What certificates, requests and keys in their text form say, for filters of the controller.

use serde_json::{Map, Value};

use super::info::secret;
use crate::pki::certificate::Certificate;
use crate::pki::hash::fingerprints;
use crate::pki::public::PublicKey;
use crate::pki::request::Request;
use crate::pki::{keyfile, pem};

/// What is told, or why nothing can be.
type Told = Result<Map<String, Value>, String>;

/// Tells of a certificate.
pub fn certificate(text: &str) -> Told {
    Ok(Certificate::read(text.as_bytes())?.told(true))
}

/// Tells of a signing request.
pub fn request(text: &str) -> Told {
    let request = Request::read(text.as_bytes())?;
    if request.valid { Ok(request.told(true)) } else { Err("CSR signature is invalid!".to_owned()) }
}

/// Tells of a private key; with `all` also its secret numbers.
pub fn private_key(text: &str, passphrase: Option<&str>, all: bool) -> Told {
    let key = keyfile::read(text.as_bytes(), passphrase).map_err(|e| e.to_string())?;
    let public = key.public()?;
    let mut told = Map::new();
    told.insert("public_key".to_owned(), public.pem().into());
    told.insert("public_key_fingerprints".to_owned(), fingerprints(public.der()));
    told.insert("type".to_owned(), public.kind().into());
    told.insert("public_data".to_owned(), public.data());
    if all {
        told.insert("private_data".to_owned(), secret(&key));
    }
    Ok(told)
}

/// Tells of a public key.
pub fn public_key(text: &str) -> Told {
    let unfit = || "Error while deserializing key: Unable to load PEM file: it has no block of one".to_owned();
    let block = pem::first(text.as_bytes(), &["PUBLIC KEY"]).ok_or_else(unfit)?;
    let key = PublicKey::from_der(&block.data).map_err(|e| format!("Error while deserializing key: {e}"))?;
    let mut told = Map::new();
    told.insert("fingerprints".to_owned(), fingerprints(key.der()));
    told.insert("type".to_owned(), key.kind().into());
    told.insert("public_data".to_owned(), key.data());
    Ok(told)
}
