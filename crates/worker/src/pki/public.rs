//! Public keys: what they say about themselves, and signatures checked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::asn1::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use rsa::RsaPublicKey;
use rsa::pkcs1::DecodeRsaPublicKey as _;
use rsa::pkcs1v15::Pkcs1v15Sign;
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};
use spki::SubjectPublicKeyInfoOwned;

use super::hash::{self, Hash};
use super::key::{Curve, oid, widened};
use super::{number, pem};

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey {
    der: Vec<u8>,
    bits: Vec<u8>,
    kind: Kind,
}

/// What it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Rsa(RsaPublicKey),
    Curve(Curve),
    Ed25519,
    X25519,
    Unknown(ObjectIdentifier),
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, String> {
        let info = SubjectPublicKeyInfoOwned::from_der(der).map_err(|e| e.to_string())?;
        Self::from_info(&info)
    }

    /// Reads one that has been taken apart already.
    pub(crate) fn from_info(info: &SubjectPublicKeyInfoOwned) -> Result<Self, String> {
        let bits = info.subject_public_key.raw_bytes().to_vec();
        let kind = match info.algorithm.oid {
            oid::RSA => RsaPublicKey::from_pkcs1_der(&bits).map_or(Kind::Unknown(oid::RSA), Kind::Rsa),
            oid::EC => {
                let curve = info.algorithm.parameters.as_ref().and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
                curve.and_then(Curve::of).map_or(Kind::Unknown(oid::EC), Kind::Curve)
            }
            oid::ED25519 => Kind::Ed25519,
            oid::X25519 => Kind::X25519,
            other => Kind::Unknown(other),
        };
        Ok(Self { der: info.to_der().map_err(|e| e.to_string())?, bits, kind })
    }

    /// The SubjectPublicKeyInfo.
    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// The text form.
    pub(crate) fn pem(&self) -> String {
        pem::encode("PUBLIC KEY", &self.der)
    }

    /// The SHA-1 of its bits: what it is called in certificates.
    pub(crate) fn identifier(&self) -> Vec<u8> {
        hash::sha1(&self.bits)
    }

    /// Its type's name.
    pub(crate) fn kind(&self) -> String {
        match &self.kind {
            Kind::Rsa(_) => "RSA".to_owned(),
            Kind::Curve(_) => "ECC".to_owned(),
            Kind::Ed25519 => "Ed25519".to_owned(),
            Kind::X25519 => "X25519".to_owned(),
            Kind::Unknown(oid::EC) => "ECC".to_owned(),
            Kind::Unknown(oid) => format!("unknown ({oid})"),
        }
    }

    /// Its numbers.
    pub(crate) fn data(&self) -> Value {
        match &self.kind {
            Kind::Rsa(key) => json!({
                "size": key.n().bits(),
                "modulus": number(&key.n_bytes()),
                "exponent": number(&key.e_bytes()),
            }),
            Kind::Curve(curve) => {
                let (x, y) = self.bits.get(1..).map(|point| point.split_at(point.len() / 2)).unwrap_or_default();
                json!({"curve": curve.name(), "x": number(x), "y": number(y), "exponent_size": curve.bits()})
            }
            _ => json!({}),
        }
    }

    /// Whether a message was signed by the private half.
    pub(crate) fn verifies(&self, algorithm: ObjectIdentifier, message: &[u8], signature: &[u8]) -> bool {
        let by = |table: [(ObjectIdentifier, Hash); 4]| {
            table.into_iter().find(|(oid, _)| *oid == algorithm).map(|(_, hash)| (hash, hash.of(message)))
        };
        match &self.kind {
            Kind::Rsa(key) => by(oid::RSA_SIGNATURES).is_some_and(|(hash, digest)| {
                let scheme = Pkcs1v15Sign { hash_len: Some(digest.len()), prefix: hash.prefix().into() };
                key.verify(scheme, &digest, signature).is_ok()
            }),
            Kind::Curve(curve) => by(oid::EC_SIGNATURES).is_some_and(|(_, digest)| match curve {
                Curve::P256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(&self.bits)
                    .ok()
                    .zip(p256::ecdsa::Signature::from_der(signature).ok())
                    .is_some_and(|(key, signature)| key.verify_prehash(&digest, &signature).is_ok()),
                Curve::P384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(&self.bits)
                    .ok()
                    .zip(p384::ecdsa::Signature::from_der(signature).ok())
                    .is_some_and(|(key, signature)| key.verify_prehash(&widened(digest, 48), &signature).is_ok()),
                Curve::P521 => p521::ecdsa::VerifyingKey::from_sec1_bytes(&self.bits)
                    .ok()
                    .zip(p521::ecdsa::Signature::from_der(signature).ok())
                    .is_some_and(|(key, signature)| key.verify_prehash(&widened(digest, 66), &signature).is_ok()),
            }),
            Kind::Ed25519 => {
                use ed25519_dalek::Verifier as _;
                let key = self.bits.as_slice().try_into().ok();
                let key = key.and_then(|bytes| ed25519_dalek::VerifyingKey::from_bytes(bytes).ok());
                let signature = ed25519_dalek::Signature::from_slice(signature).ok();
                algorithm == oid::ED25519
                    && key.zip(signature).is_some_and(|(key, signature)| key.verify(message, &signature).is_ok())
            }
            Kind::X25519 | Kind::Unknown(_) => false,
        }
    }

    /// The line that OpenSSH has for it.
    pub(crate) fn openssh(&self) -> Option<String> {
        let (name, fields): (&str, Vec<Vec<u8>>) = match &self.kind {
            Kind::Rsa(key) => ("ssh-rsa", vec![positive(&key.e_bytes()), positive(&key.n_bytes())]),
            Kind::Curve(curve) => {
                let (name, curve) = match curve {
                    Curve::P256 => ("ecdsa-sha2-nistp256", "nistp256"),
                    Curve::P384 => ("ecdsa-sha2-nistp384", "nistp384"),
                    Curve::P521 => ("ecdsa-sha2-nistp521", "nistp521"),
                };
                (name, vec![curve.as_bytes().to_vec(), self.bits.clone()])
            }
            Kind::Ed25519 => ("ssh-ed25519", vec![self.bits.clone()]),
            Kind::X25519 | Kind::Unknown(_) => return None,
        };
        let mut blob = Vec::new();
        for field in std::iter::once(name.as_bytes().to_vec()).chain(fields) {
            blob.extend(u32::try_from(field.len()).ok()?.to_be_bytes());
            blob.extend(field);
        }
        Some(format!("{name} {}", STANDARD.encode(blob)))
    }
}

/// A number as SSH writes it: with a zero in front where it would look negative.
fn positive(bytes: &[u8]) -> Vec<u8> {
    let bytes: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { [vec![0], bytes].concat() } else { bytes }
}
