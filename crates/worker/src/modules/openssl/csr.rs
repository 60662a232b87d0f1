//! `community.crypto.openssl_csr` and `openssl_csr_pipe`: a signing request, made anew where it is not as asked for.

use const_oid::AssociatedOid as _;
use der::asn1::OctetString;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, CrlDistributionPoints, ExtendedKeyUsage, KeyUsage, NameConstraints,
    SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;

use super::crl::CrlPoint;
use super::{Backend, KeySource, generals, lossy, plain, sha256};
use crate::args::{PathArg, Presence, file_arguments, yes};
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::modules::files::text;
use crate::pki::extensions::{self, extension};
use crate::pki::hash::Hash;
use crate::pki::key::PrivateKey;
use crate::pki::request::{self, Request};
use crate::pki::{from_decimal, from_hex, names};

/// Gives the arguments that both modules have to a macro.
macro_rules! arguments {
    ($then:ident $head:tt) => {
        $then! { $head
            /// The private key's file.
            #[serde(default)]
            privatekey_path: Option<PathArg>,
            /// The private key itself.
            #[serde(default)]
            privatekey_content: Option<String>,
            /// Its passphrase.
            #[serde(default)]
            privatekey_passphrase: Option<String>,
            /// The digest that is signed.
            #[serde(default = "sha256")]
            digest: String,
            /// The version of the request; there is only one.
            #[serde(default = "one")]
            version: u32,
            /// The subject's attributes.
            #[serde(default)]
            subject: Option<Map<String, Value>>,
            /// The subject's attributes, in order.
            #[serde(default)]
            subject_ordered: Option<Vec<Map<String, Value>>>,
            /// The subject's country.
            #[serde(default, alias = "C", alias = "countryName")]
            country_name: Option<String>,
            /// The subject's state or province.
            #[serde(default, alias = "ST", alias = "stateOrProvinceName")]
            state_or_province_name: Option<String>,
            /// The subject's place.
            #[serde(default, alias = "L", alias = "localityName")]
            locality_name: Option<String>,
            /// The subject's organization.
            #[serde(default, alias = "O", alias = "organizationName")]
            organization_name: Option<String>,
            /// The subject's part of an organization.
            #[serde(default, alias = "OU", alias = "organizationalUnitName")]
            organizational_unit_name: Option<String>,
            /// The subject's name.
            #[serde(default, alias = "CN", alias = "commonName")]
            common_name: Option<String>,
            /// The subject's address for mail.
            #[serde(default, alias = "E", alias = "emailAddress")]
            email_address: Option<String>,
            /// The names that the certificate is for, as `DNS:a.example`.
            #[serde(default, alias = "subjectAltName")]
            subject_alt_name: Option<Vec<String>>,
            /// Whether those have to be understood.
            #[serde(default, alias = "subjectAltName_critical")]
            subject_alt_name_critical: bool,
            /// Whether the common name is taken for an alternative one where there is none.
            #[serde(default = "yes", alias = "useCommonNameForSAN")]
            use_common_name_for_san: bool,
            /// What the key may be used for.
            #[serde(default, alias = "keyUsage")]
            key_usage: Option<Vec<String>>,
            /// Whether that has to be understood.
            #[serde(default, alias = "keyUsage_critical")]
            key_usage_critical: bool,
            /// For which purposes.
            #[serde(default, alias = "extKeyUsage", alias = "extendedKeyUsage")]
            extended_key_usage: Option<Vec<String>>,
            /// Whether those have to be understood.
            #[serde(default, alias = "extKeyUsage_critical", alias = "extendedKeyUsage_critical")]
            extended_key_usage_critical: bool,
            /// Whether it is an authority: `CA:TRUE`, `pathlen:0`.
            #[serde(default, alias = "basicConstraints")]
            basic_constraints: Option<Vec<String>>,
            /// Whether that has to be understood.
            #[serde(default, alias = "basicConstraints_critical")]
            basic_constraints_critical: bool,
            /// Whether servers have to staple an answer of OCSP.
            #[serde(default, alias = "ocspMustStaple")]
            ocsp_must_staple: bool,
            /// Whether that has to be understood.
            #[serde(default, alias = "ocspMustStaple_critical")]
            ocsp_must_staple_critical: bool,
            /// The names that an authority may give out.
            #[serde(default)]
            name_constraints_permitted: Option<Vec<String>>,
            /// The names that it may not.
            #[serde(default)]
            name_constraints_excluded: Option<Vec<String>>,
            /// Whether those have to be understood.
            #[serde(default)]
            name_constraints_critical: bool,
            /// Whether the key is named by its digest.
            #[serde(default)]
            create_subject_key_identifier: bool,
            /// The name of the key, in hexadecimal.
            #[serde(default)]
            subject_key_identifier: Option<String>,
            /// The name of the key that signs, in hexadecimal.
            #[serde(default)]
            authority_key_identifier: Option<String>,
            /// The issuer of the certificate that signs.
            #[serde(default)]
            authority_cert_issuer: Option<Vec<String>>,
            /// The number of the certificate that signs.
            #[serde(default)]
            authority_cert_serial_number: Option<String>,
            /// Where lists of revoked certificates are.
            #[serde(default)]
            crl_distribution_points: Option<Vec<CrlPoint>>,
        }
    };
}

/// Declares the arguments of the two modules, and what both of them mean by theirs.
macro_rules! declare {
    ([$with:ident $(#[$meta:meta])* $name:ident { $($own:tt)* }] $($(#[$attribute:meta])* $field:ident : $type:ty,)*) => {
        $with! {
            $(#[$meta])*
            pub struct $name {
                $($own)*
                $($(#[$attribute])* $field: $type,)*
                /// By which library it is done; both words mean the worker's own.
                #[serde(default, rename = "select_crypto_backend")]
                _backend: Backend,
            }
        }
        impl $name {
            fn wanted(&self) -> Wanted {
                Wanted { $($field: self.$field.clone(),)* }
            }
        }
    };
    ([] $($(#[$attribute:meta])* $field:ident : $type:ty,)*) => {
        struct Wanted { $($field: $type,)* }
    };
}

arguments! { declare [] }

arguments! { declare [file_arguments
    /// Makes a signing request in a file, or removes it.
    #[derive(Debug, Deserialize, JsonSchema)]
    CsrFile {
        /// The file.
        path: PathArg,
        /// Whether it should be there.
        #[serde(default)]
        state: Presence,
        /// Whether it is made anew in any case.
        #[serde(default)]
        force: bool,
        /// Whether the old file is kept under another name.
        #[serde(default)]
        backup: bool,
        /// Whether the request is told.
        #[serde(default)]
        return_content: bool,
    }
] }

arguments! { declare [plain
    /// Makes a signing request and tells it, without a file.
    #[derive(Debug, Deserialize, JsonSchema)]
    CsrPipe {
        /// The request that there is.
        #[serde(default)]
        content: Option<String>,
    }
] }

fn one() -> u32 {
    1
}

/// The values of an attribute: one, or a list of them.
fn values(key: &str, value: &Value) -> Result<Vec<(String, String)>, String> {
    let one = |value: &Value| match value.as_str() {
        Some("") => Err(format!("Value for {key} in subject must not be an empty string")),
        Some(value) => Ok((key.to_owned(), value.to_owned())),
        None => Err(format!("Value for {key} in subject must be either a string or a list of strings")),
    };
    match value {
        Value::Array(list) => list.iter().map(one).collect(),
        value => one(value).map(|one| vec![one]),
    }
}

impl Wanted {
    fn source(&self) -> KeySource<'_> {
        KeySource {
            path: self.privatekey_path.as_ref(),
            content: self.privatekey_content.as_deref(),
            passphrase: self.privatekey_passphrase.as_deref(),
        }
    }

    fn check(&self) -> Result<(), String> {
        match (&self.privatekey_path, &self.privatekey_content) {
            (Some(_), Some(_)) => {
                return Err("parameters are mutually exclusive: privatekey_path|privatekey_content".to_owned());
            }
            (None, None) => {
                let missing = "any of the following are missing: privatekey_path, privatekey_content";
                return Err(format!("state is present but {missing}"));
            }
            _ => {}
        }
        if self.version != 1 {
            return Err(format!("value of version must be one of: 1, got: {}", self.version));
        }
        if self.authority_cert_issuer.is_some() != self.authority_cert_serial_number.is_some() {
            let both = "authority_cert_issuer, authority_cert_serial_number";
            return Err(format!("parameters are required together: {both}"));
        }
        if self.create_subject_key_identifier && self.subject_key_identifier.is_some() {
            let both = "subject_key_identifier cannot be specified if create_subject_key_identifier is true";
            return Err(both.to_owned());
        }
        self.parts().map(drop)
    }

    /// The subject's attributes, as they are asked for.
    fn parts(&self) -> Result<Vec<(String, String)>, String> {
        let single = [
            ("C", &self.country_name),
            ("ST", &self.state_or_province_name),
            ("L", &self.locality_name),
            ("O", &self.organization_name),
            ("OU", &self.organizational_unit_name),
            ("CN", &self.common_name),
            ("emailAddress", &self.email_address),
        ];
        let given = single.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
        let mut parts: Vec<_> = given.filter(|(_, value)| !value.is_empty()).collect();
        if let Some(list) = &self.subject_ordered {
            if !parts.is_empty() || self.subject.is_some() {
                return Err("subject_ordered cannot be combined with any other subject field".to_owned());
            }
            for (index, entry) in list.iter().enumerate() {
                let mut entries = entry.iter();
                let (Some((key, value)), None) = (entries.next(), entries.next()) else {
                    let which = format!("Entry #{} in subject_ordered", index + 1);
                    return Err(format!("{which} must be a dictionary with exactly one key-value pair"));
                };
                parts.extend(values(key, value)?);
            }
        }
        for (key, value) in self.subject.iter().flatten() {
            parts.extend(values(key, value)?);
        }
        Ok(parts)
    }

    /// The alternative names, or the common one for want of them.
    fn alternatives(&self, parts: &[(String, String)]) -> Option<Vec<String>> {
        let none = self.subject_alt_name.as_ref().is_none_or(Vec::is_empty);
        let common = parts.iter().find(|(key, _)| key == "CN" || key == "commonName").map(|(_, name)| name);
        match common {
            Some(common) if none && self.use_common_name_for_san => Some(vec![format!("DNS:{common}")]),
            _ => self.subject_alt_name.clone(),
        }
    }

    fn extensions(&self, alternatives: Option<&Vec<String>>, key: &PrivateKey) -> Result<Vec<Extension>, String> {
        let some = |list: &'_ Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
        let mut made = Vec::new();
        if let Some(list) = alternatives.filter(|list| !list.is_empty()) {
            let list = SubjectAltName(generals(list, "Subject Alternative Name")?);
            made.push(extension(SubjectAltName::OID, self.subject_alt_name_critical, &list)?);
        }
        if let Some(list) = some(&self.key_usage) {
            made.push(extension(KeyUsage::OID, self.key_usage_critical, &extensions::key_usage(&list)?)?);
        }
        if let Some(list) = some(&self.extended_key_usage) {
            let list = extensions::purposes(&list)?;
            made.push(extension(ExtendedKeyUsage::OID, self.extended_key_usage_critical, &list)?);
        }
        if let Some(list) = some(&self.basic_constraints) {
            let found = extensions::constraints(&list)?;
            made.push(extension(BasicConstraints::OID, self.basic_constraints_critical, &found)?);
        }
        if self.ocsp_must_staple {
            made.push(extension(extensions::TLS_FEATURE, self.ocsp_must_staple_critical, &vec![5u32])?);
        }
        let (permitted, excluded) = (some(&self.name_constraints_permitted), some(&self.name_constraints_excluded));
        if permitted.is_some() || excluded.is_some() {
            let trees = |list: Option<Vec<String>>| {
                let tree = |name: &String| {
                    let base = names::general(name, "name constraint", true)?;
                    Ok(GeneralSubtree { base, minimum: 0, maximum: None })
                };
                list.map(|list| list.iter().map(tree).collect::<Result<Vec<_>, String>>()).transpose()
            };
            let found = NameConstraints { permitted_subtrees: trees(permitted)?, excluded_subtrees: trees(excluded)? };
            made.push(extension(NameConstraints::OID, self.name_constraints_critical, &found)?);
        }
        made.extend(self.identifiers(key)?);
        if let Some(list) = self.crl_distribution_points.as_ref().filter(|list| !list.is_empty()) {
            let points = CrlDistributionPoints(list.iter().map(CrlPoint::point).collect::<Result<_, _>>()?);
            made.push(extension(CrlDistributionPoints::OID, false, &points)?);
        }
        Ok(made)
    }

    /// The extensions that say which key it is, and which one signs.
    fn identifiers(&self, key: &PrivateKey) -> Result<Vec<Extension>, String> {
        let octets = |bytes: Vec<u8>| OctetString::new(bytes).map_err(|e| e.to_string());
        let hex = |name: &str, text: &String| {
            let bytes = from_hex(text).ok_or_else(|| format!("Cannot parse {name}: Non-hexadecimal digit found"));
            octets(bytes?)
        };
        let mut made = Vec::new();
        let subject = match (&self.subject_key_identifier, self.create_subject_key_identifier) {
            (_, true) => Some(octets(key.public()?.identifier())?),
            (Some(text), false) => Some(hex("subject_key_identifier", text)?),
            (None, false) => None,
        };
        if let Some(bytes) = subject {
            made.push(extension(SubjectKeyIdentifier::OID, false, &SubjectKeyIdentifier(bytes))?);
        }
        let authority = self.authority_key_identifier.as_ref();
        let key_identifier = authority.map(|text| hex("authority_key_identifier", text)).transpose()?;
        let issuer = self.authority_cert_issuer.as_ref();
        let authority_cert_issuer = issuer.map(|list| generals(list, "authority_cert_issuer")).transpose()?;
        let serial = self.authority_cert_serial_number.as_ref().map(|text| {
            let odd =
                || format!("authority_cert_serial_number: '{text}' is not a positive whole number of at most 20 bytes");
            SerialNumber::new(&from_decimal(text).ok_or_else(odd)?).map_err(|_| odd())
        });
        let authority_cert_serial_number = serial.transpose()?;
        if key_identifier.is_some() || authority_cert_issuer.is_some() {
            let found = AuthorityKeyIdentifier { key_identifier, authority_cert_issuer, authority_cert_serial_number };
            made.push(extension(AuthorityKeyIdentifier::OID, false, &found)?);
        }
        Ok(made)
    }

    /// Whether a request is as asked for.
    fn is_met(
        &self,
        old: &Request,
        subject: &Name,
        extensions: &[Extension],
        key: &PrivateKey,
    ) -> Result<bool, String> {
        let (mut had, mut wanted) = (names::ordered(&old.subject), names::ordered(subject));
        if self.subject_ordered.is_none() {
            had.sort();
            wanted.sort();
        }
        let known = [
            SubjectAltName::OID,
            KeyUsage::OID,
            ExtendedKeyUsage::OID,
            BasicConstraints::OID,
            extensions::TLS_FEATURE,
            NameConstraints::OID,
            SubjectKeyIdentifier::OID,
            AuthorityKeyIdentifier::OID,
            CrlDistributionPoints::OID,
        ];
        let same = extensions::same(&old.extensions, extensions, |oid| known.contains(&oid));
        Ok(had == wanted && same && old.valid && old.public == key.public()?)
    }

    /// A new request where the one that there is does not do; it is made where it is `kept`, or is only told.
    fn bring(&self, host: &Host, before: Option<&[u8]>, (kept, force): (bool, bool)) -> Result<Brought, Failure> {
        let key = self.source().read(host)?;
        let parts = self.parts().map_err(Failure::new)?;
        let pairs = parts.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let subject = names::name(pairs).map_err(Failure::new)?;
        let alternatives = self.alternatives(&parts);
        let extensions = self.extensions(alternatives.as_ref(), &key).map_err(Failure::new)?;
        let old = before.filter(|_| !force).and_then(|bytes| Request::read(bytes).ok());
        let met = match &old {
            Some(old) => self.is_met(old, &subject, &extensions, &key).map_err(Failure::new)?,
            None => false,
        };
        if met || !kept {
            return Ok(Brought { changed: !met, content: None });
        }
        let hash = if matches!(key, PrivateKey::Ed25519(_)) { Ok(Hash::Sha256) } else { Hash::named(&self.digest) };
        let made = request::make(&key, hash.map_err(Failure::new)?, subject, extensions).map_err(Failure::new)?;
        Ok(Brought { changed: true, content: Some(made.into_bytes()) })
    }

    fn tell(&self, outcome: &mut Outcome) {
        let parts = self.parts().unwrap_or_default();
        let path = self.privatekey_path.as_ref().map(|path| path.0.clone());
        outcome.set("privatekey", path);
        outcome.set("subject", parts.iter().map(|(key, value)| json!([key, value])).collect::<Vec<_>>());
        outcome.set("subjectAltName", self.alternatives(&parts));
        outcome.set("keyUsage", self.key_usage.clone());
        outcome.set("extendedKeyUsage", self.extended_key_usage.clone());
        outcome.set("basicConstraints", self.basic_constraints.clone());
        outcome.set("ocspMustStaple", self.ocsp_must_staple);
        outcome.set("name_constraints_permitted", self.name_constraints_permitted.clone().unwrap_or_default());
        outcome.set("name_constraints_excluded", self.name_constraints_excluded.clone().unwrap_or_default());
    }
}

struct Brought {
    changed: bool,
    content: Option<Vec<u8>>,
}

/// A request as a side of a diff.
fn shown(content: Option<&[u8]>) -> Value {
    let Some(content) = content else { return json!({}) };
    match Request::read(content) {
        Err(_) => json!({"can_parse_csr": false}),
        Ok(request) => {
            let mut told = request.told(false);
            told.insert("can_parse_csr".to_owned(), true.into());
            told.into()
        }
    }
}

impl Module for CsrFile {
    const NAME: &'static str = "community.crypto.openssl_csr";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        if self.state == Presence::Absent { Ok(()) } else { self.wanted().check() }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = super::place(host, &self.path)?;
        let wanted = self.wanted();
        if self.state == Presence::Absent {
            let mut outcome = super::absent(host, &path, self.backup)?;
            wanted.tell(&mut outcome);
            if self.return_content {
                outcome.set("csr", Value::Null);
            }
            return Ok(outcome.with("diff", json!({"before": {}, "after": {}})).with("filename", text(&path)));
        }
        let before = host.read_if_exists(&path)?;
        let brought = wanted.bring(host, before.as_deref(), (!host.check_mode(), self.force))?;
        let mut outcome = Outcome::new(brought.changed);
        wanted.tell(&mut outcome);
        let after = brought.content.as_deref().or(before.as_deref());
        if self.return_content {
            outcome.set("csr", lossy(after));
        }
        outcome.set("diff", json!({"before": shown(before.as_deref()), "after": shown(after)}));
        let options = super::write_options(host, self.mode.as_ref(), self.backup, self.unsafe_writes)?;
        super::present(host, &path, brought.content, (&self.file_attributes(), &options), &mut outcome)?;
        Ok(outcome.with("filename", text(&path)))
    }
}

impl Module for CsrPipe {
    const NAME: &'static str = "community.crypto.openssl_csr_pipe";

    fn check(&self) -> Result<(), String> {
        self.wanted().check()
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let wanted = self.wanted();
        let before = self.content.as_ref().map(|content| content.as_bytes());
        let brought = wanted.bring(host, before, (true, false))?;
        let mut outcome = Outcome::new(brought.changed);
        wanted.tell(&mut outcome);
        let after = brought.content.as_deref().or(before);
        outcome.set("csr", lossy(after));
        Ok(outcome.with("diff", json!({"before": shown(before), "after": shown(after)})))
    }
}

#[cfg(test)]
#[path = "csr_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
