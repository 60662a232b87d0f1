//! Extensions of requests and certificates: made, compared, and told.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use const_oid::{AssociatedOid, ObjectIdentifier};
use der::asn1::OctetString;
use der::flagset::FlagSet;
use der::{Decode, Encode};
use serde_json::{Map, Value, json};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    NameConstraints, SubjectAltName, SubjectKeyIdentifier,
};

use super::{colons, names, number};

/// `status_request`, which a server is asked to staple.
pub(crate) const TLS_FEATURE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.24");
/// Where to ask whether a certificate was revoked, and where that of the issuer is.
const ACCESS: [(&str, ObjectIdentifier); 2] = [
    ("ocsp_uri", ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1")),
    ("issuer_uri", ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.2")),
];

/// Usages of a key: the word for it in arguments, and the one in results, which is a word in arguments too.
const USAGES: [(&str, &str, KeyUsages); 9] = [
    ("digitalSignature", "Digital Signature", KeyUsages::DigitalSignature),
    ("nonRepudiation", "Non Repudiation", KeyUsages::NonRepudiation),
    ("keyEncipherment", "Key Encipherment", KeyUsages::KeyEncipherment),
    ("dataEncipherment", "Data Encipherment", KeyUsages::DataEncipherment),
    ("keyAgreement", "Key Agreement", KeyUsages::KeyAgreement),
    ("keyCertSign", "Certificate Sign", KeyUsages::KeyCertSign),
    ("cRLSign", "CRL Sign", KeyUsages::CRLSign),
    ("encipherOnly", "Encipher Only", KeyUsages::EncipherOnly),
    ("decipherOnly", "Decipher Only", KeyUsages::DecipherOnly),
];

/// Purposes of a key: OID, the word in arguments, the one in results.
const PURPOSES: &[(&str, &str, &str)] = &[
    ("2.5.29.37.0", "anyExtendedKeyUsage", "Any Extended Key Usage"),
    ("1.3.6.1.5.5.7.3.1", "serverAuth", "TLS Web Server Authentication"),
    ("1.3.6.1.5.5.7.3.2", "clientAuth", "TLS Web Client Authentication"),
    ("1.3.6.1.5.5.7.3.3", "codeSigning", "Code Signing"),
    ("1.3.6.1.5.5.7.3.4", "emailProtection", "E-mail Protection"),
    ("1.3.6.1.5.5.7.3.5", "ipsecEndSystem", "IPSec End System"),
    ("1.3.6.1.5.5.7.3.6", "ipsecTunnel", "IPSec Tunnel"),
    ("1.3.6.1.5.5.7.3.7", "ipsecUser", "IPSec User"),
    ("1.3.6.1.5.5.7.3.8", "timeStamping", "Time Stamping"),
    ("1.3.6.1.5.5.7.3.9", "OCSPSigning", "OCSP Signing"),
    ("1.3.6.1.5.5.7.3.10", "DVCS", "dvcs"),
    ("1.3.6.1.5.5.7.3.17", "ipsecIKE", "ipsec Internet Key Exchange"),
    ("1.3.6.1.5.5.7.1.2", "biometricInfo", "Biometric Info"),
    ("1.3.6.1.5.5.7.1.3", "qcStatements", "qcStatements"),
    ("1.3.6.1.4.1.311.10.3.3", "msSGC", "Microsoft Server Gated Crypto"),
    ("1.3.6.1.4.1.311.10.3.4", "msEFS", "Microsoft Encrypted File System"),
    ("1.3.6.1.4.1.311.20.2.2", "msSmartcardLogin", "Microsoft Smartcard Login"),
    ("2.16.840.1.113730.4.1", "nsSGC", "Netscape Server Gated Crypto"),
    ("1.3.6.1.5.2.3.4", "pkInitClientAuth", "PKINIT Client Auth"),
];

/// An extension of these contents.
pub(crate) fn extension<T: Encode>(oid: ObjectIdentifier, critical: bool, value: &T) -> Result<Extension, String> {
    let der = value.to_der().map_err(|e| e.to_string())?;
    Ok(Extension { extn_id: oid, critical, extn_value: OctetString::new(der).map_err(|e| e.to_string())? })
}

/// What a key may be used for.
pub(crate) fn key_usage(words: &[String]) -> Result<KeyUsage, String> {
    let mut usage = KeyUsage(FlagSet::default());
    for word in words {
        let found = USAGES.iter().find(|(short, long, _)| word == short || word == long);
        usage.0 |= found.ok_or_else(|| format!("Unknown key usage \"{word}\""))?.2;
    }
    let only = usage.encipher_only() || usage.decipher_only();
    if only && !usage.key_agreement() {
        return Err("encipher_only and decipher_only can only be true when key_agreement is true".to_owned());
    }
    Ok(usage)
}

/// For which purposes.
pub(crate) fn purposes(words: &[String]) -> Result<ExtendedKeyUsage, String> {
    let oid = |word: &String| {
        let found = PURPOSES.iter().find(|(_, short, long)| word == short || word == long);
        ObjectIdentifier::new(found.map_or(word, |(oid, ..)| oid))
            .map_err(|_| format!("Cannot find OID for \"{word}\""))
    };
    Ok(ExtendedKeyUsage(words.iter().map(oid).collect::<Result<_, _>>()?))
}

/// Whether it is a certificate authority, and how long a chain below it may be.
pub(crate) fn constraints(words: &[String]) -> Result<BasicConstraints, String> {
    let mut found = BasicConstraints { ca: false, path_len_constraint: None };
    for word in words {
        match word.split_once(':') {
            Some(("CA", "TRUE")) => found.ca = true,
            Some(("CA", "FALSE")) => found.ca = false,
            Some(("CA", value)) => return Err(format!("Unknown basic constraint value \"{value}\" for CA")),
            Some(("pathlen", value)) => {
                let length =
                    value.parse().map_err(|e| format!("Cannot parse path length constraint \"{value}\" ({e})"))?;
                found.path_len_constraint = Some(length);
            }
            _ => return Err(format!("Unknown basic constraint \"{word}\"")),
        }
    }
    if found.path_len_constraint.is_some() && !found.ca {
        return Err("path_length must be None when ca is False".to_owned());
    }
    Ok(found)
}

/// The extension of this kind, if it is there and can be read.
pub(crate) fn find<T: AssociatedOid + for<'a> Decode<'a>>(extensions: &[Extension]) -> Option<(bool, T)> {
    let found = extensions.iter().find(|extension| extension.extn_id == T::OID)?;
    Some((found.critical, T::from_der(found.extn_value.as_bytes()).ok()?))
}

/// What an extension says, whatever order it says it in; of one that cannot be read, its bytes.
fn meaning(extension: &Extension) -> BTreeSet<Vec<u8>> {
    let bytes = extension.extn_value.as_bytes();
    let names = |names: Vec<GeneralName>| names.iter().filter_map(|name| name.to_der().ok()).collect::<BTreeSet<_>>();
    let read = match extension.extn_id {
        SubjectAltName::OID => SubjectAltName::from_der(bytes).ok().map(|found| names(found.0)),
        ExtendedKeyUsage::OID => ExtendedKeyUsage::from_der(bytes)
            .ok()
            .map(|found| found.0.iter().filter_map(|oid| oid.to_der().ok()).collect()),
        NameConstraints::OID => NameConstraints::from_der(bytes).ok().map(|found| {
            let sides = [(b'+', found.permitted_subtrees), (b'-', found.excluded_subtrees)];
            let tagged = sides.into_iter().flat_map(|(side, trees)| {
                let names = trees.unwrap_or_default().into_iter().filter_map(|tree| tree.to_der().ok());
                names.map(move |der| [vec![side], der].concat()).collect::<Vec<_>>()
            });
            tagged.collect()
        }),
        _ => None,
    };
    read.unwrap_or_else(|| BTreeSet::from([bytes.to_vec()]))
}

/// Whether two lists have the same extensions, of these kinds or of all that are none of those.
pub(crate) fn same(left: &[Extension], right: &[Extension], counts: impl Fn(ObjectIdentifier) -> bool) -> bool {
    let all = |list: &[Extension]| {
        let counted = list.iter().filter(|extension| counts(extension.extn_id));
        counted.map(|one| (one.extn_id.to_string(), one.critical, meaning(one))).collect::<BTreeSet<_>>()
    };
    all(left) == all(right)
}

fn listed(names: Vec<String>) -> Value {
    names.into_iter().map(Value::from).collect()
}

/// What results tell of the extensions that requests and certificates have.
pub(crate) fn told(extensions: &[Extension]) -> Map<String, Value> {
    let mut out = Map::new();
    let mut tell = |name: &str, found: Option<(bool, Value)>| {
        out.insert(name.to_owned(), found.as_ref().map_or(Value::Null, |(_, value)| value.clone()));
        out.insert(format!("{name}_critical"), found.is_some_and(|(critical, _)| critical).into());
    };
    tell(
        "key_usage",
        find::<KeyUsage>(extensions).map(|(critical, usage)| {
            let mut words: Vec<_> = USAGES
                .iter()
                .filter(|(.., flag)| usage.0.contains(*flag))
                .map(|(_, long, _)| (*long).to_owned())
                .collect();
            words.sort();
            (critical, listed(words))
        }),
    );
    tell(
        "extended_key_usage",
        find::<ExtendedKeyUsage>(extensions).map(|(critical, found)| {
            let mut words: Vec<_> = found.0.iter().map(|oid| purpose(*oid)).collect();
            words.sort();
            (critical, listed(words))
        }),
    );
    tell(
        "basic_constraints",
        find::<BasicConstraints>(extensions).map(|(critical, found)| {
            let ca = format!("CA:{}", if found.ca { "TRUE" } else { "FALSE" });
            let length = found.path_len_constraint.map(|length| format!("pathlen:{length}"));
            (critical, listed(std::iter::once(ca).chain(length).collect()))
        }),
    );
    let staple = extensions.iter().find(|extension| extension.extn_id == TLS_FEATURE);
    tell(
        "ocsp_must_staple",
        staple.map(|found| {
            let features = Vec::<u32>::from_der(found.extn_value.as_bytes()).unwrap_or_default();
            (found.critical, features.iter().any(|feature| [5, 17].contains(feature)).into())
        }),
    );
    tell(
        "subject_alt_name",
        find::<SubjectAltName>(extensions)
            .map(|(critical, found)| (critical, listed(found.0.iter().map(names::shown).collect()))),
    );
    out
}

fn purpose(oid: ObjectIdentifier) -> String {
    let oid = oid.to_string();
    PURPOSES.iter().find(|(known, ..)| *known == oid).map_or(oid.clone(), |(_, _, long)| (*long).to_owned())
}

/// The name constraints, which results tell of requests alone.
pub(crate) fn told_constraints(extensions: &[Extension]) -> Map<String, Value> {
    let found = find::<NameConstraints>(extensions);
    let side = |trees: Option<Vec<x509_cert::ext::pkix::constraints::name::GeneralSubtree>>| {
        listed(trees.unwrap_or_default().iter().map(|tree| names::shown(&tree.base)).collect())
    };
    let critical = found.as_ref().is_some_and(|(critical, _)| *critical);
    let (permitted, excluded) = match found {
        Some((_, found)) => (side(found.permitted_subtrees), side(found.excluded_subtrees)),
        None => (Value::Null, Value::Null),
    };
    Map::from_iter([
        ("name_constraints_permitted".to_owned(), permitted),
        ("name_constraints_excluded".to_owned(), excluded),
        ("name_constraints_critical".to_owned(), critical.into()),
    ])
}

/// What key it is and which key signed it, as results tell it.
pub(crate) fn told_identifiers(extensions: &[Extension]) -> Map<String, Value> {
    let subject = find::<SubjectKeyIdentifier>(extensions).map(|(_, found)| colons(found.0.as_bytes()));
    let authority = find::<AuthorityKeyIdentifier>(extensions).map(|(_, found)| found);
    let key = authority.as_ref().and_then(|found| found.key_identifier.as_ref()).map(|id| colons(id.as_bytes()));
    let issuer = authority.as_ref().and_then(|found| found.authority_cert_issuer.as_ref());
    let serial = authority.as_ref().and_then(|found| found.authority_cert_serial_number.as_ref());
    Map::from_iter([
        ("subject_key_identifier".to_owned(), subject.into()),
        ("authority_key_identifier".to_owned(), key.into()),
        (
            "authority_cert_issuer".to_owned(),
            issuer.map_or(Value::Null, |list| listed(list.iter().map(names::shown).collect())),
        ),
        ("authority_cert_serial_number".to_owned(), serial.map_or(Value::Null, |serial| number(serial.as_bytes()))),
    ])
}

/// All extensions by their OIDs.
pub(crate) fn told_all(extensions: &[Extension]) -> Value {
    let one = |extension: &Extension| {
        let value = STANDARD.encode(extension.extn_value.as_bytes());
        (extension.extn_id.to_string(), json!({"critical": extension.critical, "value": value}))
    };
    extensions.iter().map(one).collect::<Map<_, _>>().into()
}

/// Where to ask about a certificate and its issuer.
pub(crate) fn told_access(extensions: &[Extension]) -> Map<String, Value> {
    let found = find::<AuthorityInfoAccessSyntax>(extensions).map(|(_, found)| found.0).unwrap_or_default();
    let uri = |method: ObjectIdentifier| {
        found.iter().find_map(|one| match &one.access_location {
            GeneralName::UniformResourceIdentifier(uri) if one.access_method == method => Some(uri.as_str().to_owned()),
            _ => None,
        })
    };
    ACCESS.into_iter().map(|(name, method)| (name.to_owned(), uri(method).into())).collect()
}
