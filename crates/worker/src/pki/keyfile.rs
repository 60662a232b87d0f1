//! Private keys in files: PKCS#1, SEC 1 and PKCS#8, with and without a passphrase, and raw bytes.

use std::fmt;

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _};
use der::asn1::{ObjectIdentifier, OctetStringRef};
use der::{Decode as _, Encode as _};
use md5::{Digest as _, Md5};
use pkcs8::pkcs5::pbes2;
use pkcs8::{EncodePrivateKey as _, EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use rsa::RsaPrivateKey;
use rsa::pkcs1::{DecodeRsaPrivateKey as _, EncodeRsaPrivateKey as _};
use spki::AlgorithmIdentifierRef;
use zeroize::Zeroizing;

use super::key::{Curve, PrivateKey, oid, on_curve, random};
use super::{from_hex, pem};

/// How a private key is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// The older form, each kind of key its own: PKCS#1 for RSA, SEC 1 for curves.
    Pkcs1,
    /// The form that all kinds have.
    Pkcs8,
    /// Nothing but the key's bytes.
    Raw,
}

/// Why a private key could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It has a passphrase and none was given, or the other way round.
    Passphrase,
    /// It is broken, of a kind that is not known, or the passphrase is another one.
    Broken(String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passphrase => out.write_str("Wrong or empty passphrase provided for private key"),
            Self::Broken(why) => {
                write!(out, "Wrong passphrase provided for private key, or private key cannot be parsed: {why}")
            }
        }
    }
}

type Secret = Zeroizing<Vec<u8>>;

const LABELS: [&str; 5] =
    ["PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY"];

/// In what form a file has its key.
pub(crate) fn format_of(bytes: &[u8]) -> Format {
    match pem::first(bytes, &LABELS) {
        Some(block) if block.label.starts_with("PRIVATE") || block.label.starts_with("ENCRYPTED") => Format::Pkcs8,
        Some(_) => Format::Pkcs1,
        None => Format::Raw,
    }
}

/// Reads a key.
pub(crate) fn read(bytes: &[u8], passphrase: Option<&str>) -> Result<PrivateKey, Unreadable> {
    let broken = |why: &str| Unreadable::Broken(why.to_owned());
    let block = pem::first(bytes, &LABELS).ok_or_else(|| match pem::blocks(bytes).is_empty() {
        true => broken("there is no PEM block in it"),
        false => broken("no BEGIN/END of a private key is in it"),
    })?;
    let encrypted = block.label.starts_with("ENCRYPTED") || block.header("DEK-Info").is_some();
    let data = match (encrypted, passphrase) {
        (false, None) => Zeroizing::new(block.data),
        (true, Some(passphrase)) if !passphrase.is_empty() => match block.header("DEK-Info") {
            Some(info) => {
                decrypt_block(info, passphrase, &block.data).ok_or_else(|| broken("it cannot be decrypted"))?
            }
            None => {
                let info = EncryptedPrivateKeyInfoRef::try_from(block.data.as_slice());
                let info = info.map_err(|e| Unreadable::Broken(e.to_string()))?;
                let clear =
                    info.decrypt(passphrase).map_err(|_| broken("incorrect password, could not decrypt key"))?;
                Zeroizing::new(clear.as_bytes().to_vec())
            }
        },
        _ => return Err(Unreadable::Passphrase),
    };
    let key = match block.label.as_str() {
        "RSA PRIVATE KEY" => rsa(&data),
        "EC PRIVATE KEY" => sec1(&data, None),
        "DSA PRIVATE KEY" => Err("DSA keys are not supported".to_owned()),
        _ => pkcs8(&data),
    };
    key.map_err(Unreadable::Broken)
}

/// Reads a key of 32 raw bytes.
pub(crate) fn read_raw(bytes: &[u8], x25519: bool) -> Option<PrivateKey> {
    let bytes: [u8; 32] = bytes.try_into().ok()?;
    Some(match x25519 {
        true => PrivateKey::X25519(Zeroizing::new(bytes)),
        false => PrivateKey::Ed25519(ed25519_dalek::SigningKey::from_bytes(&bytes)),
    })
}

fn rsa(der: &[u8]) -> Result<PrivateKey, String> {
    let parts = rsa::pkcs1::RsaPrivateKey::try_from(der).map_err(|e| e.to_string())?;
    // The library takes it for granted that both are of one size, and gives up where they are not.
    let words = |number: rsa::pkcs1::UintRef<'_>| number.as_bytes().len().div_ceil(8);
    if words(parts.prime1) != words(parts.prime2) {
        return Err("RSA keys with primes of different sizes are not supported".to_owned());
    }
    let key = RsaPrivateKey::from_pkcs1_der(der).map_err(|e| e.to_string())?;
    Ok(PrivateKey::Rsa(Box::new(key)))
}

fn sec1(der: &[u8], curve: Option<ObjectIdentifier>) -> Result<PrivateKey, String> {
    let key = sec1::EcPrivateKey::from_der(der).map_err(|e| e.to_string())?;
    let named = key.parameters.as_ref().and_then(|parameters| parameters.named_curve());
    let oid = curve.or(named).ok_or("the key does not name its curve")?;
    let curve = Curve::of(oid).ok_or_else(|| format!("keys on the curve {oid} are not supported"))?;
    let bytes = key.private_key;
    let failed = |e: p256::elliptic_curve::Error| e.to_string();
    Ok(match curve {
        Curve::P256 => PrivateKey::P256(p256::SecretKey::from_slice(bytes).map_err(failed)?),
        Curve::P384 => PrivateKey::P384(p384::SecretKey::from_slice(bytes).map_err(failed)?),
        Curve::P521 => PrivateKey::P521(p521::SecretKey::from_slice(bytes).map_err(failed)?),
    })
}

fn pkcs8(der: &[u8]) -> Result<PrivateKey, String> {
    let info = PrivateKeyInfoRef::try_from(der).map_err(|e| e.to_string())?;
    let bytes = info.private_key.as_bytes();
    match info.algorithm.oid {
        oid::RSA => rsa(bytes),
        oid::EC => sec1(bytes, info.algorithm.parameters_oid().ok()),
        oid @ (oid::ED25519 | oid::X25519) => {
            let inner = <&OctetStringRef>::from_der(bytes).map_err(|e| e.to_string())?;
            read_raw(inner.as_bytes(), oid == oid::X25519).ok_or_else(|| "the key has no 32 bytes".to_owned())
        }
        other => Err(format!("keys of the kind {other} are not supported")),
    }
}

/// A key as it is written to a file; nothing where this kind has no such form.
pub(crate) fn write(key: &PrivateKey, format: Format, passphrase: Option<&str>) -> Result<Option<Vec<u8>>, String> {
    let passphrase = passphrase.filter(|passphrase| !passphrase.is_empty());
    let text = match format {
        Format::Raw => {
            return Ok(match (key, passphrase) {
                (PrivateKey::Ed25519(key), None) => Some(key.to_bytes().to_vec()),
                (PrivateKey::X25519(key), None) => Some(key.to_vec()),
                _ => None,
            });
        }
        Format::Pkcs8 => {
            let der = pkcs8_of(key)?;
            match passphrase {
                None => pem::encode("PRIVATE KEY", &der),
                Some(passphrase) => pem::encode("ENCRYPTED PRIVATE KEY", &encrypt(&der, passphrase)?),
            }
        }
        Format::Pkcs1 => {
            let (label, der) = on_curve!(key, key => {
                ("EC PRIVATE KEY", key.to_sec1_der().map_err(|e| e.to_string())?)
            },
                PrivateKey::Rsa(key) => {
                    let der = key.to_pkcs1_der().map_err(|e| e.to_string())?;
                    ("RSA PRIVATE KEY", Zeroizing::new(der.as_bytes().to_vec()))
                }
                PrivateKey::Ed25519(_) | PrivateKey::X25519(_) => return Ok(None),
            );
            match passphrase {
                None => pem::encode(label, &der),
                Some(passphrase) => encrypt_block(label, &der, passphrase)?,
            }
        }
    };
    Ok(Some(text.into_bytes()))
}

/// The form that all kinds have, without a passphrase.
pub(crate) fn pkcs8_of(key: &PrivateKey) -> Result<Secret, String> {
    let short = |oid: ObjectIdentifier, bytes: &[u8]| -> der::Result<Secret> {
        let inner = Zeroizing::new(OctetStringRef::new(bytes)?.to_der()?);
        let algorithm = AlgorithmIdentifierRef { oid, parameters: None };
        Ok(Zeroizing::new(PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(&inner)?).to_der()?))
    };
    on_curve!(key, key => {
        Ok(Zeroizing::new(key.to_pkcs8_der().map_err(|e| e.to_string())?.as_bytes().to_vec()))
    },
        PrivateKey::Rsa(key) => Ok(Zeroizing::new(key.to_pkcs8_der().map_err(|e| e.to_string())?.as_bytes().to_vec())),
        PrivateKey::Ed25519(key) => short(oid::ED25519, key.as_bytes()).map_err(|e| e.to_string()),
        PrivateKey::X25519(key) => short(oid::X25519, &key[..]).map_err(|e| e.to_string()),
    )
}

/// PKCS#8 with a passphrase, as OpenSSL writes it.
fn encrypt(der: &[u8], passphrase: &str) -> Result<Vec<u8>, String> {
    let (salt, iv) = (random::<16>()?, random::<16>()?);
    let parameters =
        pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ROUNDS, &salt, iv).map_err(|e| e.to_string())?;
    let info = PrivateKeyInfoRef::try_from(der).map_err(|e| e.to_string())?;
    let secret = info.encrypt_with_params(parameters, passphrase).map_err(|e| e.to_string())?;
    Ok(secret.as_bytes().to_vec())
}

/// How often a passphrase is hashed; OpenSSL's own number is 2048.
const ROUNDS: u32 = 100_000;

/// The older way to put a passphrase on a key: headers before the block.
fn encrypt_block(label: &str, der: &[u8], passphrase: &str) -> Result<String, String> {
    let iv = random::<16>()?;
    let key = stretched(passphrase, &iv[..8], 32);
    let cipher = cbc::Encryptor::<aes::Aes256>::new_from_slices(&key, &iv).map_err(|e| e.to_string())?;
    let data = cipher.encrypt_padded_vec::<Pkcs7>(der);
    let hex: String = iv.iter().map(|byte| format!("{byte:02X}")).collect();
    Ok(pem::encode_with(label, &format!("Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,{hex}\n\n"), &data))
}

fn decrypt_block(info: &str, passphrase: &str, data: &[u8]) -> Option<Secret> {
    let (cipher, iv) = info.split_once(',')?;
    let iv = from_hex(iv)?;
    let salt = iv.get(..8)?;
    macro_rules! with {
        ($cipher:ty, $length:expr) => {{
            let key = stretched(passphrase, salt, $length);
            let cipher = cbc::Decryptor::<$cipher>::new_from_slices(&key, &iv).ok()?;
            cipher.decrypt_padded_vec::<Pkcs7>(data).ok()?
        }};
    }
    let clear = match cipher {
        "AES-128-CBC" => with!(aes::Aes128, 16),
        "AES-192-CBC" => with!(aes::Aes192, 24),
        "AES-256-CBC" => with!(aes::Aes256, 32),
        _ => return None,
    };
    Some(Zeroizing::new(clear))
}

/// OpenSSL's `EVP_BytesToKey` with MD5 and one round.
fn stretched(passphrase: &str, salt: &[u8], length: usize) -> Secret {
    let mut key = Zeroizing::new(Vec::new());
    let mut last: Vec<u8> = Vec::new();
    while key.len() < length {
        let digest = Md5::new().chain_update(&last).chain_update(passphrase.as_bytes()).chain_update(salt).finalize();
        last = digest.to_vec();
        key.extend_from_slice(&last);
    }
    key.truncate(length);
    key
}
