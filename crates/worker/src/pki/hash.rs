//! Digests: for signatures, and for the fingerprints that results tell.

use blake2::{Blake2b512, Blake2s256, Digest as _};
use serde_json::{Map, Value};
use sha2::Digest as _;
use sha3::{Sha3_224, Sha3_256, Sha3_384, Sha3_512};
use shake::{ExtendableOutput as _, Shake128, Shake256, Update as _, XofReader as _};

use super::colons;

/// A digest that is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// By its name in a module's arguments.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        match name {
            "sha224" => Ok(Self::Sha224),
            "sha256" => Ok(Self::Sha256),
            "sha384" => Ok(Self::Sha384),
            "sha512" => Ok(Self::Sha512),
            "sha1" | "md5" => Err(format!("Hash algorithm \"{name}\" not supported for signatures")),
            _ => Err(format!("Unsupported digest \"{name}\"")),
        }
    }

    /// The digest of a message.
    pub(crate) fn of(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha224 => sha2::Sha224::digest(message).to_vec(),
            Self::Sha256 => sha2::Sha256::digest(message).to_vec(),
            Self::Sha384 => sha2::Sha384::digest(message).to_vec(),
            Self::Sha512 => sha2::Sha512::digest(message).to_vec(),
        }
    }

    /// What stands before the digest in an RSA signature: the DER of a DigestInfo up to it (RFC 8017, section 9.2).
    pub(crate) fn prefix(self) -> Vec<u8> {
        let (oid, length) = match self {
            Self::Sha256 => (1, 32),
            Self::Sha384 => (2, 48),
            Self::Sha512 => (3, 64),
            Self::Sha224 => (4, 28),
        };
        let mut prefix =
            vec![0x30, 17 + length, 0x30, 13, 0x06, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, oid];
        prefix.extend([0x05, 0x00, 0x04, length]);
        prefix
    }
}

/// The SHA-1 that key identifiers are made of.
pub(crate) fn sha1(bytes: &[u8]) -> Vec<u8> {
    sha1::Sha1::digest(bytes).to_vec()
}

/// The fingerprints of some bytes by all the digests that the reference has.
pub(crate) fn fingerprints(bytes: &[u8]) -> Value {
    let mut shake = [[0; 32]; 2];
    let mut state = Shake128::default();
    state.update(bytes);
    state.finalize_xof().read(&mut shake[0]);
    let mut state = Shake256::default();
    state.update(bytes);
    state.finalize_xof().read(&mut shake[1]);
    let all = [
        ("md5", md5::Md5::digest(bytes).to_vec()),
        ("sha1", sha1(bytes)),
        ("sha224", Hash::Sha224.of(bytes)),
        ("sha256", Hash::Sha256.of(bytes)),
        ("sha384", Hash::Sha384.of(bytes)),
        ("sha512", Hash::Sha512.of(bytes)),
        ("blake2b", Blake2b512::digest(bytes).to_vec()),
        ("blake2s", Blake2s256::digest(bytes).to_vec()),
        ("sha3_224", Sha3_224::digest(bytes).to_vec()),
        ("sha3_256", Sha3_256::digest(bytes).to_vec()),
        ("sha3_384", Sha3_384::digest(bytes).to_vec()),
        ("sha3_512", Sha3_512::digest(bytes).to_vec()),
        ("shake_128", shake[0].to_vec()),
        ("shake_256", shake[1].to_vec()),
    ];
    all.into_iter().map(|(name, digest)| (name.to_owned(), Value::from(colons(&digest)))).collect::<Map<_, _>>().into()
}

/// The one fingerprint that differences show.
pub(crate) fn sha256_alone(bytes: &[u8]) -> Value {
    serde_json::json!({"sha256": colons(&Hash::Sha256.of(bytes))})
}
