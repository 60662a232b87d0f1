//! `community.crypto.x509_certificate` and `x509_certificate_pipe`: a certificate signed by its own key or by an authority of one's own.

use const_oid::AssociatedOid as _;
use der::asn1::OctetString;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, SubjectKeyIdentifier};
use x509_cert::name::Name;

use super::{Backend, KeySource, either, lossy, plain, sha256};
use crate::args::{PathArg, Presence, file_arguments, yes};
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::modules::files::text;
use crate::pki::certificate::{Certificate, Contents, now};
use crate::pki::extensions::{extension, find, same};
use crate::pki::hash::Hash;
use crate::pki::key::PrivateKey;
use crate::pki::public::PublicKey;
use crate::pki::request::Request;
use crate::pki::{names, times};

/// Gives the arguments that both modules have to a macro.
macro_rules! arguments {
    ($then:ident $head:tt) => {
        $then! { $head
            /// The request's file.
            #[serde(default)]
            csr_path: Option<PathArg>,
            /// The request itself.
            #[serde(default)]
            csr_content: Option<String>,
            /// The file of the certificate's private key.
            #[serde(default)]
            privatekey_path: Option<PathArg>,
            /// The private key itself.
            #[serde(default)]
            privatekey_content: Option<String>,
            /// Its passphrase.
            #[serde(default)]
            privatekey_passphrase: Option<String>,
            /// Whether it is made anew in any case.
            #[serde(default)]
            force: bool,
            /// Whether a certificate with other times does as well.
            #[serde(default = "yes")]
            ignore_timestamps: bool,
            /// The digest that is signed by the certificate's own key.
            #[serde(default = "sha256")]
            selfsigned_digest: String,
            /// From when on it is valid.
            #[serde(default = "at_once", alias = "selfsigned_notBefore")]
            selfsigned_not_before: String,
            /// Until when it is valid.
            #[serde(default = "ten_years", alias = "selfsigned_notAfter")]
            selfsigned_not_after: String,
            /// The version of the certificate; there is only one.
            #[serde(default = "three")]
            selfsigned_version: u32,
            /// Whether the key is named by its digest.
            #[serde(default)]
            selfsigned_create_subject_key_identifier: Identifier,
            /// The file of the authority's certificate.
            #[serde(default)]
            ownca_path: Option<PathArg>,
            /// The authority's certificate itself.
            #[serde(default)]
            ownca_content: Option<String>,
            /// The file of the authority's private key.
            #[serde(default)]
            ownca_privatekey_path: Option<PathArg>,
            /// The authority's private key itself.
            #[serde(default)]
            ownca_privatekey_content: Option<String>,
            /// Its passphrase.
            #[serde(default)]
            ownca_privatekey_passphrase: Option<String>,
            /// The digest that is signed by the authority.
            #[serde(default = "sha256")]
            ownca_digest: String,
            /// From when on it is valid.
            #[serde(default = "at_once")]
            ownca_not_before: String,
            /// Until when it is valid.
            #[serde(default = "ten_years")]
            ownca_not_after: String,
            /// The version of the certificate; there is only one.
            #[serde(default = "three")]
            ownca_version: u32,
            /// Whether the key is named by its digest.
            #[serde(default)]
            ownca_create_subject_key_identifier: Identifier,
            /// Whether the authority's key is named.
            #[serde(default = "yes")]
            ownca_create_authority_key_identifier: bool,
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
            fn wanted(&self, provider: Provider) -> Wanted {
                Wanted { provider, $($field: self.$field.clone(),)* }
            }
        }
    };
    ([] $($(#[$attribute:meta])* $field:ident : $type:ty,)*) => {
        struct Wanted { provider: Provider, $($field: $type,)* }
    };
}

arguments! { declare [] }

arguments! { declare [file_arguments
    /// Makes a certificate in a file, or removes it.
    ///
    /// The provider `acme` is refused.
    #[derive(Debug, Deserialize, JsonSchema)]
    CertificateFile {
        /// The file.
        path: PathArg,
        /// Whether it should be there.
        #[serde(default)]
        state: Presence,
        /// Who signs it.
        #[serde(default)]
        provider: Option<Provider>,
        /// Whether the old file is kept under another name.
        #[serde(default)]
        backup: bool,
        /// Whether the certificate is told.
        #[serde(default)]
        return_content: bool,
        /// Of the provider `acme`.
        #[serde(default, rename = "acme_accountkey_path")]
        _accountkey: Option<PathArg>,
        /// Of the provider `acme`.
        #[serde(default, rename = "acme_challenge_path")]
        _challenge: Option<PathArg>,
        /// Of the provider `acme`.
        #[serde(default, rename = "acme_chain")]
        _chain: bool,
        /// Of the provider `acme`.
        #[serde(default, rename = "acme_directory")]
        _directory: Option<String>,
    }
] }

arguments! { declare [plain
    /// Makes a certificate and tells it, without a file.
    #[derive(Debug, Deserialize, JsonSchema)]
    CertificatePipe {
        /// Who signs it.
        provider: PipeProvider,
        /// The certificate that there is.
        #[serde(default)]
        content: Option<String>,
    }
] }

fn at_once() -> String {
    "+0s".to_owned()
}

fn ten_years() -> String {
    "+3650d".to_owned()
}

fn three() -> u32 {
    3
}

/// Who signs a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Provider {
    Acme,
    Ownca,
    Selfsigned,
}

/// The same, where there is no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum PipeProvider {
    Ownca,
    Selfsigned,
}

impl From<PipeProvider> for Provider {
    fn from(provider: PipeProvider) -> Self {
        match provider {
            PipeProvider::Ownca => Self::Ownca,
            PipeProvider::Selfsigned => Self::Selfsigned,
        }
    }
}

/// Whether the key is named by its digest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Identifier {
    /// Where the request does not name it.
    #[default]
    CreateIfNotProvided,
    /// Whatever the request says.
    AlwaysCreate,
    /// Never.
    NeverCreate,
}

/// What a certificate is made of, from either provider.
struct Making {
    key: PrivateKey,
    hash: String,
    /// The public key that the certificate is for, and the ones that it has to be for.
    public: PublicKey,
    also: Vec<PublicKey>,
    subject: Name,
    issuer: Name,
    validity: (i64, i64),
    extensions: Vec<Extension>,
}

impl Wanted {
    fn check(&self) -> Result<(), String> {
        let both = [
            ("csr_path|csr_content", self.csr_path.is_some() && self.csr_content.is_some()),
            ("privatekey_path|privatekey_content", self.privatekey_path.is_some() && self.privatekey_content.is_some()),
            ("ownca_path|ownca_content", self.ownca_path.is_some() && self.ownca_content.is_some()),
            (
                "ownca_privatekey_path|ownca_privatekey_content",
                self.ownca_privatekey_path.is_some() && self.ownca_privatekey_content.is_some(),
            ),
        ];
        if let Some((which, _)) = both.iter().find(|(_, both)| *both) {
            return Err(format!("parameters are mutually exclusive: {which}"));
        }
        if (self.selfsigned_version, self.ownca_version) != (3, 3) {
            return Err("the version of a certificate has to be 3".to_owned());
        }
        let one_of = |which: &str, provider: &str| {
            Err(format!("One of {which}_path and {which}_content must be specified for the {provider} provider."))
        };
        match self.provider {
            Provider::Acme => Err("the provider `acme` is not supported: take `selfsigned` or `ownca`".to_owned()),
            Provider::Selfsigned if self.privatekey_path.is_none() && self.privatekey_content.is_none() => {
                one_of("privatekey", "selfsigned")
            }
            Provider::Ownca if self.csr_path.is_none() && self.csr_content.is_none() => {
                Err("csr_path or csr_content is required for ownca provider".to_owned())
            }
            Provider::Ownca if self.ownca_path.is_none() && self.ownca_content.is_none() => one_of("ownca", "ownca"),
            Provider::Ownca if self.ownca_privatekey_path.is_none() && self.ownca_privatekey_content.is_none() => {
                one_of("ownca_privatekey", "ownca")
            }
            _ => Ok(()),
        }
    }

    fn private_key(&self, host: &Host) -> Result<Option<PrivateKey>, Failure> {
        if self.privatekey_path.is_none() && self.privatekey_content.is_none() {
            return Ok(None);
        }
        let source = KeySource {
            path: self.privatekey_path.as_ref(),
            content: self.privatekey_content.as_deref(),
            passphrase: self.privatekey_passphrase.as_deref(),
        };
        source.read(host).map(Some)
    }

    fn making(&self, host: &Host) -> Result<Making, Failure> {
        let key = self.private_key(host)?;
        let bytes =
            either(host, self.csr_path.as_ref(), self.csr_content.as_deref(), "certificate signing request file")?;
        let request = bytes.map(|bytes| Request::read(&bytes)).transpose().map_err(Failure::new)?;
        let now = now();
        let time = |text: &str, name: &str| times::parse(text, name, now).map_err(Failure::new);
        let mut making = match (self.provider, key, request) {
            (Provider::Ownca, key, Some(request)) => {
                let validity = (
                    time(&self.ownca_not_before, "ownca_not_before")?,
                    time(&self.ownca_not_after, "ownca_not_after")?,
                );
                self.by_authority(host, key.as_ref(), request, validity)?
            }
            (Provider::Selfsigned, Some(key), request) => {
                let validity = (
                    time(&self.selfsigned_not_before, "selfsigned_not_before")?,
                    time(&self.selfsigned_not_after, "selfsigned_not_after")?,
                );
                self.by_itself(key, request, validity)?
            }
            _ => return Err(Failure::new("a private key or a request is missing")),
        };
        if making.validity.0 > making.validity.1 {
            return Err(Failure::new("The not valid after date must be after the not valid before date."));
        }
        let how = match self.provider {
            Provider::Ownca => self.ownca_create_subject_key_identifier,
            _ => self.selfsigned_create_subject_key_identifier,
        };
        let named = making.extensions.iter().any(|extension| extension.extn_id == SubjectKeyIdentifier::OID);
        if how == Identifier::AlwaysCreate || how == Identifier::CreateIfNotProvided && !named {
            let name = OctetString::new(making.public.identifier()).map_err(|e| Failure::new(e.to_string()))?;
            let name =
                extension(SubjectKeyIdentifier::OID, false, &SubjectKeyIdentifier(name)).map_err(Failure::new)?;
            making.extensions.retain(|extension| extension.extn_id != SubjectKeyIdentifier::OID);
            making.extensions.push(name);
        }
        // Behind the name of the key, as in the reference.
        if self.provider == Provider::Ownca && self.ownca_create_authority_key_identifier {
            let authority = making.extensions.iter().position(|one| one.extn_id == AuthorityKeyIdentifier::OID);
            if let Some(authority) = authority {
                let last = making.extensions.remove(authority);
                making.extensions.push(last);
            }
        }
        Ok(making)
    }

    fn by_itself(&self, key: PrivateKey, request: Option<Request>, validity: (i64, i64)) -> Result<Making, Failure> {
        let public = key.public().map_err(Failure::new)?;
        let hash = self.selfsigned_digest.clone();
        let (subject, extensions, also) = match request {
            Some(request) => (request.subject, request.extensions, vec![request.public]),
            None => (names::name([]).map_err(Failure::new)?, Vec::new(), Vec::new()),
        };
        Ok(Making { key, hash, public, also, issuer: subject.clone(), subject, validity, extensions })
    }

    fn by_authority(
        &self,
        host: &Host,
        own: Option<&PrivateKey>,
        request: Request,
        validity: (i64, i64),
    ) -> Result<Making, Failure> {
        let bytes = either(host, self.ownca_path.as_ref(), self.ownca_content.as_deref(), "CA certificate file")?;
        let authority = Certificate::read(&bytes.unwrap_or_default()).map_err(Failure::new)?;
        let source = KeySource {
            path: self.ownca_privatekey_path.as_ref(),
            content: self.ownca_privatekey_content.as_deref(),
            passphrase: self.ownca_privatekey_passphrase.as_deref(),
        };
        let key = source.read(host)?;
        if key.public().map_err(Failure::new)? != authority.public {
            return Err(Failure::new("The CA private key does not belong to the CA certificate"));
        }
        let mut extensions = request.extensions;
        if self.ownca_create_authority_key_identifier {
            let named = find::<SubjectKeyIdentifier>(authority.extensions()).map(|(_, name)| name.0);
            let named = named.map_or_else(|| OctetString::new(authority.public.identifier()), Ok);
            let key_identifier = Some(named.map_err(|e| Failure::new(e.to_string()))?);
            let name = AuthorityKeyIdentifier {
                key_identifier,
                authority_cert_issuer: None,
                authority_cert_serial_number: None,
            };
            extensions.retain(|extension| extension.extn_id != AuthorityKeyIdentifier::OID);
            extensions.push(extension(AuthorityKeyIdentifier::OID, false, &name).map_err(Failure::new)?);
        }
        let also = own.map(PrivateKey::public).transpose().map_err(Failure::new)?;
        Ok(Making {
            key,
            hash: self.ownca_digest.clone(),
            public: request.public,
            also: also.into_iter().collect(),
            subject: request.subject,
            issuer: authority.subject().clone(),
            validity,
            extensions,
        })
    }

    /// Whether a certificate is as asked for.
    fn is_met(&self, old: &Certificate, making: &Making) -> bool {
        let signer = making.key.public().ok();
        old.public == making.public
            && making.also.iter().all(|key| *key == old.public)
            && signer.is_some_and(|signer| old.is_signed_by(&signer))
            && names::ordered(old.issuer()) == names::ordered(&making.issuer)
            && names::ordered(old.subject()) == names::ordered(&making.subject)
            && same(old.extensions(), &making.extensions, |_| true)
            && (self.ignore_timestamps || old.validity() == making.validity)
    }

    fn bring(&self, host: &Host, before: Option<&[u8]>, outcome: &mut Outcome) -> Result<Option<Vec<u8>>, Failure> {
        let making = self.making(host)?;
        // Whether it is used or not, as in the reference.
        let hash = Hash::named(&making.hash).map_err(Failure::new)?;
        let old = before.and_then(|bytes| Certificate::read(bytes).ok());
        outcome.changed = self.force || !old.as_ref().is_some_and(|old| self.is_met(old, &making));
        self.tell(outcome);
        let (current, made) = match (old, outcome.changed) {
            (Some(old), false) => (old, None),
            _ => {
                let Making { key, public, subject, issuer, validity, extensions, .. } = making;
                let contents = Contents { subject, issuer, public, validity, extensions };
                let made = Certificate::make(contents, &key, hash).map_err(Failure::new)?;
                (Certificate::read(made.as_bytes()).map_err(Failure::new)?, Some(made.into_bytes()))
            }
        };
        // In check mode these are those of a certificate that is not kept, as in the reference.
        let (not_before, not_after) = current.told_validity();
        outcome.set("notBefore", not_before);
        outcome.set("notAfter", not_after);
        outcome.set("serial_number", current.serial());
        Ok(made)
    }

    fn tell(&self, outcome: &mut Outcome) {
        let path = |path: &Option<PathArg>| path.as_ref().map(|path| path.0.clone());
        outcome.set("privatekey", path(&self.privatekey_path));
        outcome.set("csr", path(&self.csr_path));
        if self.provider == Provider::Ownca {
            outcome.set("ca_cert", path(&self.ownca_path));
            outcome.set("ca_privatekey", path(&self.ownca_privatekey_path));
        }
    }
}

/// A certificate as a side of a diff.
fn shown(content: Option<&[u8]>) -> Value {
    let Some(content) = content else { return json!({}) };
    match Certificate::read(content) {
        Err(_) => json!({"can_parse_certificate": false}),
        Ok(certificate) => {
            let mut told = certificate.told(false);
            told.insert("can_parse_certificate".to_owned(), true.into());
            told.into()
        }
    }
}

impl Module for CertificateFile {
    const NAME: &'static str = "community.crypto.x509_certificate";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        match (self.state, self.provider) {
            (Presence::Absent, _) => Ok(()),
            (Presence::Present, None) => {
                Err("state is present but all of the following are missing: provider".to_owned())
            }
            (Presence::Present, Some(provider)) => self.wanted(provider).check(),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = super::place(host, &self.path)?;
        let provider = self.provider.unwrap_or(Provider::Selfsigned);
        if self.state == Presence::Absent {
            let mut outcome = super::absent(host, &path, self.backup)?;
            if self.return_content {
                outcome.set("certificate", Value::Null);
            }
            let outcome = outcome.with("privatekey", Value::Null).with("csr", Value::Null);
            return Ok(outcome.with("filename", text(&path)));
        }
        let before = host.read_if_exists(&path)?;
        let mut outcome = Outcome::unchanged();
        let content =
            self.wanted(provider).bring(host, before.as_deref(), &mut outcome)?.filter(|_| !host.check_mode());
        let after = content.as_deref().or(before.as_deref());
        if self.return_content {
            outcome.set("certificate", lossy(after));
        }
        outcome.set("diff", json!({"before": shown(before.as_deref()), "after": shown(after)}));
        let options = super::write_options(host, self.mode.as_ref(), self.backup, self.unsafe_writes)?;
        super::present(host, &path, content, (&self.file_attributes(), &options), &mut outcome)?;
        Ok(outcome.with("filename", text(&path)))
    }
}

impl Module for CertificatePipe {
    const NAME: &'static str = "community.crypto.x509_certificate_pipe";

    fn check(&self) -> Result<(), String> {
        self.wanted(self.provider.into()).check()
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let before = self.content.as_ref().map(|content| content.as_bytes());
        let mut outcome = Outcome::unchanged();
        let content = self.wanted(self.provider.into()).bring(host, before, &mut outcome)?;
        let after = content.as_deref().or(before);
        outcome.set("certificate", lossy(after));
        Ok(outcome.with("diff", json!({"before": shown(before), "after": shown(after)})))
    }
}
