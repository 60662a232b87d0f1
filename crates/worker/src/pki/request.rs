//! Signing requests.

use const_oid::AssociatedOid as _;
use der::asn1::{AnyRef, BitString};
use der::{Decode as _, Encode as _, Reader as _, SliceReader};
use serde_json::{Map, Value};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::attr::{Attribute, Attributes};
use x509_cert::ext::Extension;
use x509_cert::name::Name;
use x509_cert::request::{CertReq, CertReqInfo, ExtensionReq, Version};

use super::hash::{Hash, fingerprints, sha256_alone};
use super::key::PrivateKey;
use super::public::PublicKey;
use super::{extensions, names, pem};

const LABELS: [&str; 2] = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];

/// A signing request that was read.
pub(crate) struct Request {
    pub(crate) subject: Name,
    pub(crate) extensions: Vec<Extension>,
    pub(crate) public: PublicKey,
    /// Whether it is signed by the key that it is about.
    pub(crate) valid: bool,
}

/// The DER of the first element of a sequence: what is signed.
pub(crate) fn signed_part(der: &[u8]) -> Option<&[u8]> {
    let content = AnyRef::from_der(der).ok()?.value();
    SliceReader::new(content).ok()?.tlv_bytes().ok()
}

impl Request {
    /// Reads one in its text form.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let block = pem::first(bytes, &LABELS).ok_or_else(|| match pem::blocks(bytes).is_empty() {
            true => "Unable to load PEM file: it has no block of one".to_owned(),
            false => "Valid PEM but no BEGIN CERTIFICATE REQUEST/END CERTIFICATE REQUEST delimiters. Are you sure this is a CSR?"
                .to_owned(),
        })?;
        let request = CertReq::from_der(&block.data).map_err(|e| format!("the request cannot be read: {e}"))?;
        let public = PublicKey::from_info(&request.info.public_key)?;
        let asked = request.info.attributes.iter().find(|attribute| attribute.oid == ExtensionReq::OID);
        let extensions = match asked.and_then(|attribute| attribute.values.get(0)) {
            Some(value) => {
                value.decode_as::<Vec<Extension>>().map_err(|e| format!("the extensions cannot be read: {e}"))?
            }
            None => Vec::new(),
        };
        let part = signed_part(&block.data).unwrap_or_default();
        let valid = public.verifies(request.algorithm.oid, part, request.signature.raw_bytes());
        Ok(Self { subject: request.info.subject, extensions, public, valid })
    }

    /// What results tell of it: with all fingerprints, or the one that differences show.
    pub(crate) fn told(&self, all: bool) -> Map<String, Value> {
        let (subject, ordered) = names::told(&self.subject);
        let mut out = Map::from_iter([("subject".to_owned(), subject), ("subject_ordered".to_owned(), ordered)]);
        out.extend(extensions::told(&self.extensions));
        out.extend(extensions::told_constraints(&self.extensions));
        out.extend(told_key(&self.public, all));
        out.extend(extensions::told_identifiers(&self.extensions));
        out.insert("extensions_by_oid".to_owned(), extensions::told_all(&self.extensions));
        out.insert("signature_valid".to_owned(), self.valid.into());
        out
    }
}

/// What results tell of a public key within something else.
pub(crate) fn told_key(key: &PublicKey, all: bool) -> Map<String, Value> {
    let digest = if all { fingerprints } else { sha256_alone };
    Map::from_iter([
        ("public_key".to_owned(), key.pem().into()),
        ("public_key_type".to_owned(), key.kind().into()),
        ("public_key_data".to_owned(), key.data()),
        ("public_key_fingerprints".to_owned(), digest(key.der())),
    ])
}

/// Makes one, in its text form.
pub(crate) fn make(key: &PrivateKey, hash: Hash, subject: Name, extensions: Vec<Extension>) -> Result<String, String> {
    let odd = |e: der::Error| e.to_string();
    let public_key = SubjectPublicKeyInfoOwned::from_der(key.public()?.der()).map_err(odd)?;
    let mut attributes = Attributes::new();
    if !extensions.is_empty() {
        attributes.insert(Attribute::try_from(ExtensionReq(extensions)).map_err(odd)?).map_err(odd)?;
    }
    let info = CertReqInfo { version: Version::V1, subject, public_key, attributes };
    let (algorithm, signature) = key.sign(hash, &info.to_der().map_err(odd)?)?;
    let signature = BitString::from_bytes(&signature).map_err(odd)?;
    let der = CertReq { info, algorithm, signature }.to_der().map_err(odd)?;
    Ok(pem::encode(LABELS[0], &der))
}
