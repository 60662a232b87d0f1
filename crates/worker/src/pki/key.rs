//! Private keys: made, signed with, and their public halves.

use der::Encode as _;
use der::asn1::ObjectIdentifier;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::elliptic_curve::Generate as _;
use rand_core::{TryRng as _, UnwrapErr};
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPublicKey as _;
use rsa::pkcs1v15::Pkcs1v15Sign;
use rsa::traits::PublicKeyParts as _;
use spki::AlgorithmIdentifierOwned;
use zeroize::Zeroizing;

use super::hash::Hash;
use super::public::PublicKey;

/// OIDs of keys, curves and signatures.
pub(crate) mod oid {
    use super::ObjectIdentifier;

    pub(crate) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
    pub(crate) const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
    pub(crate) const X25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");
    pub(crate) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
    pub(crate) const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
    pub(crate) const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
    pub(crate) const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
    const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
    const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
    const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
    const RSA_SHA224: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.14");
    const EC_SHA224: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.1");
    const EC_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
    const EC_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
    const EC_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");

    use super::Hash::{self, Sha224, Sha256, Sha384, Sha512};

    /// Signatures by RSA keys and on curves, with what is signed.
    pub(crate) const RSA_SIGNATURES: [(ObjectIdentifier, Hash); 4] =
        [(RSA_SHA224, Sha224), (RSA_SHA256, Sha256), (RSA_SHA384, Sha384), (RSA_SHA512, Sha512)];
    /// The same on curves.
    pub(crate) const EC_SIGNATURES: [(ObjectIdentifier, Hash); 4] =
        [(EC_SHA224, Sha224), (EC_SHA256, Sha256), (EC_SHA384, Sha384), (EC_SHA512, Sha512)];
}

/// What kind of key is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spec {
    Rsa(usize),
    Curve(Curve),
    Ed25519,
    X25519,
}

/// An elliptic curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// Its name in arguments and results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::P256 => "secp256r1",
            Self::P384 => "secp384r1",
            Self::P521 => "secp521r1",
        }
    }

    pub(crate) fn oid(self) -> ObjectIdentifier {
        match self {
            Self::P256 => oid::P256,
            Self::P384 => oid::P384,
            Self::P521 => oid::P521,
        }
    }

    /// How many bits a private key has.
    pub(crate) fn bits(self) -> u32 {
        match self {
            Self::P256 => 256,
            Self::P384 => 384,
            Self::P521 => 521,
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|curve| curve.name() == name)
    }

    pub(crate) fn of(oid: ObjectIdentifier) -> Option<Self> {
        Self::ALL.into_iter().find(|curve| curve.oid() == oid)
    }
}

/// A private key.
pub(crate) enum PrivateKey {
    Rsa(Box<RsaPrivateKey>),
    P256(p256::SecretKey),
    P384(p384::SecretKey),
    P521(p521::SecretKey),
    Ed25519(ed25519_dalek::SigningKey),
    X25519(Zeroizing<[u8; 32]>),
}

/// Random bytes from the kernel.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    getrandom::SysRng.try_fill_bytes(&mut bytes).map_err(|e| format!("no random bytes: {e}"))?;
    Ok(bytes)
}

/// Does the same with whichever curve's key it is.
macro_rules! on_curve {
    ($self:expr, $key:ident => $then:expr, $($rest:tt)*) => {
        match $self {
            PrivateKey::P256($key) => $then,
            PrivateKey::P384($key) => $then,
            PrivateKey::P521($key) => $then,
            $($rest)*
        }
    };
}
pub(crate) use on_curve;

impl PrivateKey {
    /// Makes a new one.
    pub(crate) fn generate(spec: Spec) -> Result<Self, String> {
        let failed = |e: &dyn std::fmt::Display| format!("the key could not be made: {e}");
        let rng = &mut getrandom::SysRng;
        Ok(match spec {
            Spec::Rsa(bits) => {
                // One byte first, so that a kernel without random bytes is a failure and no panic.
                random::<1>()?;
                let key = RsaPrivateKey::new(&mut UnwrapErr(getrandom::SysRng), bits).map_err(|e| failed(&e))?;
                Self::Rsa(Box::new(key))
            }
            Spec::Curve(Curve::P256) => {
                Self::P256(p256::SecretKey::try_generate_from_rng(rng).map_err(|e| failed(&e))?)
            }
            Spec::Curve(Curve::P384) => {
                Self::P384(p384::SecretKey::try_generate_from_rng(rng).map_err(|e| failed(&e))?)
            }
            Spec::Curve(Curve::P521) => {
                Self::P521(p521::SecretKey::try_generate_from_rng(rng).map_err(|e| failed(&e))?)
            }
            Spec::Ed25519 => Self::Ed25519(ed25519_dalek::SigningKey::from_bytes(&random()?)),
            Spec::X25519 => Self::X25519(Zeroizing::new(random()?)),
        })
    }

    /// Whether it is of that kind and size.
    pub(crate) fn is(&self, spec: Spec) -> bool {
        match (self, spec) {
            (Self::Rsa(key), Spec::Rsa(bits)) => key.n().bits() as usize == bits,
            (Self::P256(_), Spec::Curve(Curve::P256))
            | (Self::P384(_), Spec::Curve(Curve::P384))
            | (Self::P521(_), Spec::Curve(Curve::P521))
            | (Self::Ed25519(_), Spec::Ed25519)
            | (Self::X25519(_), Spec::X25519) => true,
            _ => false,
        }
    }

    /// The curve it is on.
    pub(crate) fn curve(&self) -> Option<Curve> {
        match self {
            Self::P256(_) => Some(Curve::P256),
            Self::P384(_) => Some(Curve::P384),
            Self::P521(_) => Some(Curve::P521),
            _ => None,
        }
    }

    /// The public half.
    pub(crate) fn public(&self) -> Result<PublicKey, String> {
        let (algorithm, bits) = on_curve!(self, key => {
            let curve = self.curve().unwrap_or(Curve::P256);
            let algorithm = AlgorithmIdentifierOwned { oid: oid::EC, parameters: Some((&curve.oid()).into()) };
            (algorithm, key.public_key().to_sec1_bytes().to_vec())
        },
            Self::Rsa(key) => {
                let public = key.to_public_key().to_pkcs1_der().map_err(|e| e.to_string())?;
                (null(oid::RSA), public.as_bytes().to_vec())
            }
            Self::Ed25519(key) => (bare(oid::ED25519), key.verifying_key().to_bytes().to_vec()),
            Self::X25519(key) => {
                let point = curve25519_dalek::MontgomeryPoint::mul_base_clamped(**key);
                (bare(oid::X25519), point.to_bytes().to_vec())
            }
        );
        let bits = der::asn1::BitString::from_bytes(&bits).map_err(|e| e.to_string())?;
        let info = spki::SubjectPublicKeyInfoOwned { algorithm, subject_public_key: bits };
        PublicKey::from_der(&info.to_der().map_err(|e| e.to_string())?)
    }

    /// Signs a message; tells by which algorithm.
    pub(crate) fn sign(&self, hash: Hash, message: &[u8]) -> Result<(AlgorithmIdentifierOwned, Vec<u8>), String> {
        let failed = |e: &dyn std::fmt::Display| format!("signing failed: {e}");
        let by = |table: [(ObjectIdentifier, Hash); 4]| table.into_iter().find(|(_, with)| *with == hash);
        let unknown = || "this digest cannot be signed".to_owned();
        let on_curve = || by(oid::EC_SIGNATURES).map(|(oid, _)| bare(oid)).ok_or_else(unknown);
        match self {
            Self::Rsa(key) => {
                let digest = hash.of(message);
                let scheme = Pkcs1v15Sign { hash_len: Some(digest.len()), prefix: hash.prefix().into() };
                let signature = key.sign(scheme, &digest).map_err(|e| failed(&e))?;
                Ok((by(oid::RSA_SIGNATURES).map(|(oid, _)| null(oid)).ok_or_else(unknown)?, signature))
            }
            Self::P256(key) => {
                let key = p256::ecdsa::SigningKey::from(key);
                let signature: p256::ecdsa::DerSignature =
                    key.sign_prehash(&hash.of(message)).map_err(|e| failed(&e))?;
                Ok((on_curve()?, signature.as_bytes().to_vec()))
            }
            Self::P384(key) => {
                let key = p384::ecdsa::SigningKey::from(key);
                let digest = widened(hash.of(message), 48);
                let signature: p384::ecdsa::DerSignature = key.sign_prehash(&digest).map_err(|e| failed(&e))?;
                Ok((on_curve()?, signature.as_bytes().to_vec()))
            }
            Self::P521(key) => {
                let key = p521::ecdsa::SigningKey::from(key);
                let digest = widened(hash.of(message), 66);
                let signature: p521::ecdsa::DerSignature = key.sign_prehash(&digest).map_err(|e| failed(&e))?;
                Ok((on_curve()?, signature.as_bytes().to_vec()))
            }
            Self::Ed25519(key) => {
                use ed25519_dalek::Signer as _;
                Ok((bare(oid::ED25519), key.sign(message).to_bytes().to_vec()))
            }
            Self::X25519(_) => Err("Key of type X25519 not supported for issuing certificates".to_owned()),
        }
    }
}

/// A digest with zeros in front, which are the same number: one of less than half a field is taken for a mistake.
pub(crate) fn widened(digest: Vec<u8>, length: usize) -> Vec<u8> {
    let mut wide = vec![0; length.saturating_sub(digest.len())];
    wide.extend(digest);
    wide
}

/// An algorithm without parameters.
pub(crate) fn bare(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid, parameters: None }
}

/// An algorithm whose parameters are null.
pub(crate) fn null(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid, parameters: Some(der::asn1::Any::null()) }
}
