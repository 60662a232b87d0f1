//! Certificates.

use std::time::{Duration, SystemTime};

use der::asn1::{BitString, GeneralizedTime, UtcTime};
use der::{DateTime, Decode as _, Encode as _, Sequence};
use serde_json::{Map, Value};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::Version;
use x509_cert::certificate::CertificateInner;
use x509_cert::ext::{Extension, Extensions};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};

use super::hash::{Hash, fingerprints, sha256_alone};
use super::key::{PrivateKey, random};
use super::public::PublicKey;
use super::request::{signed_part, told_key};
use super::{extensions, names, number, pem, times};

/// A certificate that was read.
pub(crate) struct Certificate {
    der: Vec<u8>,
    inner: CertificateInner,
    pub(crate) public: PublicKey,
}

/// What a new certificate says.
pub(crate) struct Contents {
    pub(crate) subject: Name,
    pub(crate) issuer: Name,
    pub(crate) public: PublicKey,
    /// From when on and until when, in seconds since 1970.
    pub(crate) validity: (i64, i64),
    pub(crate) extensions: Vec<Extension>,
}

/// What is signed: the fields of x509-cert's own type cannot be set.
#[derive(Sequence)]
struct Signed {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: Version,
    serial_number: SerialNumber,
    signature: AlgorithmIdentifierOwned,
    issuer: Name,
    validity: Validity,
    subject: Name,
    subject_public_key_info: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

#[derive(Sequence)]
struct Whole {
    signed: Signed,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

/// Seconds since 1970, now.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn time(seconds: i64) -> Result<Time, String> {
    let odd = |e: der::Error| format!("the time cannot be written in a certificate: {e}");
    let since = u64::try_from(seconds).map_err(|_| "a certificate cannot have a time before 1970".to_owned())?;
    let time = DateTime::from_unix_duration(Duration::from_secs(since)).map_err(odd)?;
    // As RFC 5280 has it: two digits for the year until 2049.
    Ok(match time.year() {
        ..2050 => Time::UtcTime(UtcTime::from_date_time(time).map_err(odd)?),
        _ => Time::GeneralTime(GeneralizedTime::from_date_time(time)),
    })
}

impl Certificate {
    /// Reads one in its text form, or in DER.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let der = match pem::first(bytes, &["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"]) {
            Some(block) => block.data,
            None if !pem::blocks(bytes).is_empty() => {
                let why = "Valid PEM but no BEGIN CERTIFICATE/END CERTIFICATE delimiters. Are you sure this is a certificate?";
                return Err(why.to_owned());
            }
            None => bytes.to_vec(),
        };
        let inner = CertificateInner::from_der(&der).map_err(|e| format!("the certificate cannot be read: {e}"))?;
        let public = PublicKey::from_info(inner.tbs_certificate().subject_public_key_info())?;
        Ok(Self { der, inner, public })
    }

    /// Makes one, in its text form.
    pub(crate) fn make(contents: Contents, key: &PrivateKey, hash: Hash) -> Result<String, String> {
        let odd = |e: der::Error| e.to_string();
        let mut serial = random::<20>()?;
        // A positive number that has all its bytes.
        serial[0] = serial[0] & 0x3f | 0x40;
        let (algorithm, _) = key.sign(hash, b"")?;
        let signed = Signed {
            version: Version::V3,
            serial_number: SerialNumber::new(&serial).map_err(odd)?,
            signature: algorithm.clone(),
            issuer: contents.issuer,
            validity: Validity::new(time(contents.validity.0)?, time(contents.validity.1)?),
            subject: contents.subject,
            subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(contents.public.der()).map_err(odd)?,
            extensions: Some(contents.extensions).filter(|extensions| !extensions.is_empty()),
        };
        let (_, signature) = key.sign(hash, &signed.to_der().map_err(odd)?)?;
        let signature = BitString::from_bytes(&signature).map_err(odd)?;
        let der = Whole { signed, algorithm, signature }.to_der().map_err(odd)?;
        Ok(pem::encode("CERTIFICATE", &der))
    }

    pub(crate) fn subject(&self) -> &Name {
        self.inner.tbs_certificate().subject()
    }

    pub(crate) fn issuer(&self) -> &Name {
        self.inner.tbs_certificate().issuer()
    }

    pub(crate) fn extensions(&self) -> &[Extension] {
        self.inner.tbs_certificate().extensions().map_or(&[], Vec::as_slice)
    }

    /// Whether this key's other half signed it.
    pub(crate) fn is_signed_by(&self, key: &PublicKey) -> bool {
        let signature = self.inner.signature().raw_bytes();
        key.verifies(self.inner.signature_algorithm().oid, signed_part(&self.der).unwrap_or_default(), signature)
    }

    /// From when on and until when it is valid, in seconds since 1970.
    pub(crate) fn validity(&self) -> (i64, i64) {
        let validity = self.inner.tbs_certificate().validity();
        let seconds = |time: Time| i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
        (seconds(validity.not_before), seconds(validity.not_after))
    }

    /// The same as results tell it.
    pub(crate) fn told_validity(&self) -> (String, String) {
        let validity = self.inner.tbs_certificate().validity();
        (times::told(validity.not_before.to_date_time()), times::told(validity.not_after.to_date_time()))
    }

    /// Its number.
    pub(crate) fn serial(&self) -> Value {
        number(self.inner.tbs_certificate().serial_number().as_bytes())
    }

    /// What results tell of it: with all fingerprints, or the one that differences show.
    pub(crate) fn told(&self, all: bool) -> Map<String, Value> {
        let digest = if all { fingerprints } else { sha256_alone };
        let found = self.inner.tbs_certificate();
        let ((subject, subject_ordered), (issuer, issuer_ordered)) =
            (names::told(self.subject()), names::told(self.issuer()));
        let (not_before, not_after) = self.told_validity();
        let mut out = Map::from_iter([
            ("signature_algorithm".to_owned(), self.algorithm().into()),
            ("subject".to_owned(), subject),
            ("subject_ordered".to_owned(), subject_ordered),
            ("issuer".to_owned(), issuer),
            ("issuer_ordered".to_owned(), issuer_ordered),
            ("version".to_owned(), (found.version() as u8 + 1).into()),
        ]);
        out.extend(extensions::told(self.extensions()));
        out.insert("not_before".to_owned(), not_before.into());
        out.insert("not_after".to_owned(), not_after.into());
        out.insert("expired".to_owned(), (self.validity().1 < now()).into());
        out.extend(told_key(&self.public, all));
        out.insert("fingerprints".to_owned(), digest(&self.der));
        out.extend(extensions::told_identifiers(self.extensions()));
        out.insert("serial_number".to_owned(), self.serial());
        out.insert("extensions_by_oid".to_owned(), extensions::told_all(self.extensions()));
        out.extend(extensions::told_access(self.extensions()));
        out
    }

    /// How it is signed, in OpenSSL's words.
    fn algorithm(&self) -> String {
        let oid = self.inner.signature_algorithm().oid.to_string();
        let known = [
            ("1.2.840.113549.1.1.5", "sha1WithRSAEncryption"),
            ("1.2.840.113549.1.1.10", "rsassaPss"),
            ("1.2.840.113549.1.1.11", "sha256WithRSAEncryption"),
            ("1.2.840.113549.1.1.12", "sha384WithRSAEncryption"),
            ("1.2.840.113549.1.1.13", "sha512WithRSAEncryption"),
            ("1.2.840.113549.1.1.14", "sha224WithRSAEncryption"),
            ("1.2.840.10045.4.1", "ecdsa-with-SHA1"),
            ("1.2.840.10045.4.3.1", "ecdsa-with-SHA224"),
            ("1.2.840.10045.4.3.2", "ecdsa-with-SHA256"),
            ("1.2.840.10045.4.3.3", "ecdsa-with-SHA384"),
            ("1.2.840.10045.4.3.4", "ecdsa-with-SHA512"),
            ("1.3.101.112", "ED25519"),
            ("1.3.101.113", "ED448"),
        ];
        known.iter().find(|(known, _)| *known == oid).map_or(oid.clone(), |(_, name)| (*name).to_owned())
    }
}
