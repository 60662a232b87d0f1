//! `community.crypto.openssl_privatekey` and `openssl_privatekey_pipe`: a private key, made where it is not as asked for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Backend;
use crate::args::{Mode, PathArg, Presence, file_arguments};
use crate::host::{Attributes, Host};
use crate::module::{Failure, Module, Outcome};
use crate::modules::files::text;
use crate::pki::hash::{fingerprints, sha256_alone};
use crate::pki::key::{Curve, PrivateKey, Spec};
use crate::pki::keyfile::{self, Format};

file_arguments! {
    /// Makes a private key in a file, or removes it.
    #[derive(Debug, Deserialize, JsonSchema)]
    pub struct PrivateKeyFile {
        /// The file.
        path: PathArg,
        /// Whether it should be there.
        #[serde(default)]
        state: Presence,
        /// The kind of key; DSA, Ed448 and X448 are refused.
        #[serde(default, rename = "type")]
        kind: Kind,
        /// Bits of an RSA key.
        #[serde(default = "bits")]
        size: usize,
        /// The curve of an ECC key; those of NIST with 256, 384 and 521 bits.
        #[serde(default)]
        curve: Option<CurveName>,
        /// The passphrase.
        #[serde(default)]
        passphrase: Option<String>,
        /// How it is encrypted; only `auto`.
        #[serde(default = "auto")]
        cipher: String,
        /// How the key is written down.
        #[serde(default)]
        format: Form,
        /// What happens to a key that is as asked for but written down in another form.
        #[serde(default)]
        format_mismatch: Mismatch,
        /// When a key that is there is replaced.
        #[serde(default)]
        regenerate: Regenerate,
        /// Whether it is replaced in any case.
        #[serde(default)]
        force: bool,
        /// Whether the old file is kept under another name.
        #[serde(default)]
        backup: bool,
        /// Whether the key is told.
        #[serde(default)]
        return_content: bool,
        /// By which library it is done; both words mean the worker's own.
        #[serde(default, rename = "select_crypto_backend")]
        _backend: Backend,
    }
}

/// Makes a private key and tells it, without a file.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PrivateKeyPipe {
    /// The key that there is.
    #[serde(default)]
    content: Option<String>,
    /// Whether `content` is in base 64.
    #[serde(default)]
    content_base64: bool,
    /// Whether a key that is kept is told as well.
    #[serde(default)]
    return_current_key: bool,
    /// The kind of key; DSA, Ed448 and X448 are refused.
    #[serde(default, rename = "type")]
    kind: Kind,
    /// Bits of an RSA key.
    #[serde(default = "bits")]
    size: usize,
    /// The curve of an ECC key; those of NIST with 256, 384 and 521 bits.
    #[serde(default)]
    curve: Option<CurveName>,
    /// The passphrase.
    #[serde(default)]
    passphrase: Option<String>,
    /// How it is encrypted; only `auto`.
    #[serde(default = "auto")]
    cipher: String,
    /// How the key is written down.
    #[serde(default)]
    format: Form,
    /// What happens to a key that is as asked for but written down in another form.
    #[serde(default)]
    format_mismatch: Mismatch,
    /// When a key that is there is replaced.
    #[serde(default)]
    regenerate: Regenerate,
    /// By which library it is done; both words mean the worker's own.
    #[serde(default, rename = "select_crypto_backend")]
    _backend: Backend,
}

fn bits() -> usize {
    4096
}

fn auto() -> String {
    "auto".to_owned()
}

/// The kind of key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
enum Kind {
    #[serde(rename = "DSA")]
    Dsa,
    #[serde(rename = "ECC")]
    Ecc,
    Ed25519,
    Ed448,
    #[default]
    #[serde(rename = "RSA")]
    Rsa,
    X25519,
    X448,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Dsa => "DSA",
            Self::Ecc => "ECC",
            Self::Ed25519 => "Ed25519",
            Self::Ed448 => "Ed448",
            Self::Rsa => "RSA",
            Self::X25519 => "X25519",
            Self::X448 => "X448",
        }
    }
}

/// The curves that the reference names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[allow(non_camel_case_types)]
enum CurveName {
    secp224r1,
    secp256k1,
    secp256r1,
    secp384r1,
    secp521r1,
    secp192r1,
    brainpoolP256r1,
    brainpoolP384r1,
    brainpoolP512r1,
    sect163k1,
    sect163r2,
    sect233k1,
    sect233r1,
    sect283k1,
    sect283r1,
    sect409k1,
    sect409r1,
    sect571k1,
    sect571r1,
}

/// How the key is written down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Form {
    /// The form that is older, where the kind of key has one.
    Auto,
    /// The same, and a key in any form is as good.
    #[default]
    AutoIgnore,
    Pkcs1,
    Pkcs8,
    Raw,
}

/// What happens to a key that is only written down in another form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mismatch {
    /// The same key is written anew.
    Convert,
    /// A new key is made.
    #[default]
    Regenerate,
}

/// When a key that is there is replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Regenerate {
    /// Never; one that cannot be read is a failure.
    Never,
    /// Never; one that is not as asked for is a failure.
    Fail,
    /// Where it is not as asked for; one that cannot be read is a failure.
    PartialIdempotence,
    /// Where it is not as asked for, or cannot be read.
    #[default]
    FullIdempotence,
    /// Every time.
    Always,
}

/// What both modules are asked for.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    kind: Kind,
    size: usize,
    curve: Option<CurveName>,
    passphrase: Option<&'a str>,
    cipher: &'a str,
    form: Form,
    mismatch: Mismatch,
    regenerate: Regenerate,
}

macro_rules! wanted {
    ($args:expr) => {
        Wanted {
            kind: $args.kind,
            size: $args.size,
            curve: $args.curve,
            passphrase: $args.passphrase.as_deref(),
            cipher: &$args.cipher,
            form: $args.format,
            mismatch: $args.format_mismatch,
            regenerate: $args.regenerate,
        }
    };
}

/// What is done about a key.
enum Plan {
    Keep,
    Make,
    Convert,
}

/// A key, what it is written down as, and whether that is new.
struct Brought {
    changed: bool,
    key: Option<PrivateKey>,
    content: Option<Vec<u8>>,
}

impl Wanted<'_> {
    fn check(&self) -> Result<(), String> {
        if self.cipher != "auto" {
            return Err("Cryptography backend can only use \"auto\" for cipher option.".to_owned());
        }
        if self.kind == Kind::Ecc && self.curve.is_none() {
            return Err("type is ECC but all of the following are missing: curve".to_owned());
        }
        self.spec().map(drop)
    }

    fn spec(&self) -> Result<Spec, String> {
        match self.kind {
            Kind::Rsa => Ok(Spec::Rsa(self.size)),
            Kind::Ed25519 => Ok(Spec::Ed25519),
            Kind::X25519 => Ok(Spec::X25519),
            Kind::Ecc => {
                let name = self.curve.map(|curve| format!("{curve:?}")).unwrap_or_default();
                let curve = Curve::named(&name);
                curve
                    .map(Spec::Curve)
                    .ok_or_else(|| format!("the curve {name} is not supported: take secp256r1, secp384r1 or secp521r1"))
            }
            kind => {
                Err(format!("keys of the type {} are not supported: take RSA, ECC, Ed25519 or X25519", kind.name()))
            }
        }
    }

    /// The form that a key is written in.
    fn format(&self) -> Format {
        match self.form {
            Form::Pkcs1 => Format::Pkcs1,
            Form::Pkcs8 => Format::Pkcs8,
            Form::Raw => Format::Raw,
            Form::Auto | Form::AutoIgnore if matches!(self.kind, Kind::Rsa | Kind::Ecc) => Format::Pkcs1,
            Form::Auto | Form::AutoIgnore => Format::Pkcs8,
        }
    }

    fn read(&self, content: &[u8]) -> Option<PrivateKey> {
        match keyfile::read(content, self.passphrase) {
            Ok(key) => Some(key),
            Err(_) if self.passphrase.is_none() => keyfile::read_raw(content, self.kind == Kind::X25519),
            Err(_) => None,
        }
    }

    /// What has to be done about the key that is there; a failure where one is in the way that may not be replaced.
    fn plan(&self, content: Option<&[u8]>, key: Option<&PrivateKey>, force: bool) -> Result<Plan, Failure> {
        let Some(content) = content.filter(|_| !force && self.regenerate != Regenerate::Always) else {
            return Ok(Plan::Make);
        };
        let refused = |what: &str, ways: &str, more: &str| {
            let way = format!("To force regeneration, call the module with `regenerate` set to {ways}");
            Err(Failure::new(format!("{what} Will not proceed. {way}, or with `force=true`.{more}")))
        };
        let spec = self.spec().map_err(Failure::new)?;
        let any = "`partial_idempotence`, `full_idempotence` or `always`";
        match key {
            None if self.regenerate == Regenerate::FullIdempotence => Ok(Plan::Make),
            None => {
                let what =
                    "Unable to read the key. The key is protected with another passphrase / no passphrase or broken.";
                refused(what, "`full_idempotence` or `always`", "")
            }
            Some(key) if !key.is(spec) => match self.regenerate {
                Regenerate::Never => Ok(Plan::Keep),
                Regenerate::Fail => refused("Key has wrong type and/or size.", any, ""),
                _ => Ok(Plan::Make),
            },
            Some(_) if self.form == Form::AutoIgnore || keyfile::format_of(content) == self.format() => Ok(Plan::Keep),
            Some(_) if self.mismatch == Mismatch::Convert => Ok(Plan::Convert),
            Some(_) => match self.regenerate {
                Regenerate::Never => Ok(Plan::Keep),
                Regenerate::Fail => {
                    let more = " To convert the key, set `format_mismatch` to `convert`.";
                    refused("Key has wrong format.", any, more)
                }
                _ => Ok(Plan::Make),
            },
        }
    }

    /// The key that there should be; one is made where it is `kept`, or is only told.
    fn bring(&self, kept: bool, content: Option<&[u8]>, force: bool) -> Result<Brought, Failure> {
        let key = content.and_then(|content| self.read(content));
        let plan = self.plan(content, key.as_ref(), force)?;
        let changed = !matches!(plan, Plan::Keep);
        if !changed || !kept {
            return Ok(Brought { changed, key, content: None });
        }
        if matches!((&plan, self.kind), (Plan::Make, Kind::Rsa))
            && !((1024..=16384).contains(&self.size) && self.size.is_multiple_of(2))
        {
            return Err(Failure::new("key_size must be at least 1024 and at most 16384 bits, and even."));
        }
        let key = match (plan, key) {
            (Plan::Convert, Some(key)) => key,
            _ => PrivateKey::generate(self.spec().map_err(Failure::new)?).map_err(Failure::new)?,
        };
        let content = keyfile::write(&key, self.format(), self.passphrase).map_err(Failure::new)?;
        let content = content.ok_or_else(|| {
            let form = format!("{:?}", self.format()).to_lowercase();
            Failure::new(format!(
                "Cryptography backend cannot serialize the private key in the required format \"{form}\""
            ))
        })?;
        Ok(Brought { changed, key: Some(key), content: Some(content) })
    }

    /// What is told of a key.
    fn tell(&self, outcome: &mut Outcome, key: Option<&PrivateKey>) {
        outcome.set("type", self.kind.name());
        outcome.set("size", self.size);
        let public = key.and_then(|key| key.public().ok());
        outcome.set("fingerprint", public.map_or(Value::Null, |public| fingerprints(public.der())));
        if self.kind == Kind::Ecc {
            outcome.set("curve", self.curve.map(|curve| format!("{curve:?}")));
        }
    }

    /// A key as a side of a diff.
    fn shown(&self, content: Option<&[u8]>) -> Value {
        let Some(content) = content else { return json!({}) };
        let public = keyfile::read(content, self.passphrase).ok().and_then(|key| key.public().ok());
        match public {
            None => json!({"can_parse_key": false, "key_is_consistent": null}),
            Some(public) => json!({
                "can_parse_key": true,
                "key_is_consistent": null,
                "public_key": public.pem(),
                "public_key_fingerprints": sha256_alone(public.der()),
                "type": public.kind(),
                "public_data": public.data(),
            }),
        }
    }
}

/// A key as it is told: a raw one in base 64.
fn told(content: &[u8]) -> String {
    match keyfile::format_of(content) {
        Format::Raw => STANDARD.encode(content),
        _ => String::from_utf8_lossy(content).into_owned(),
    }
}

impl Module for PrivateKeyFile {
    const NAME: &'static str = "community.crypto.openssl_privatekey";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        if self.state == Presence::Absent { Ok(()) } else { wanted!(self).check() }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = super::place(host, &self.path)?;
        let wanted = wanted!(self);
        if self.state == Presence::Absent {
            let mut outcome = super::absent(host, &path, self.backup)?;
            wanted.tell(&mut outcome, None);
            if self.return_content {
                outcome.set("privatekey", Value::Null);
            }
            return Ok(outcome.with("diff", json!({"before": {}, "after": {}})).with("filename", text(&path)));
        }
        let before = host.read_if_exists(&path)?;
        let brought = wanted.bring(!host.check_mode(), before.as_deref(), self.force)?;
        let mut outcome = Outcome::new(brought.changed);
        wanted.tell(&mut outcome, brought.key.as_ref());
        let after = brought.content.as_deref().or(before.as_deref());
        if self.return_content {
            outcome.set("privatekey", after.map(told));
        }
        outcome.set("diff", json!({"before": wanted.shown(before.as_deref()), "after": wanted.shown(after)}));
        // Nobody else reads the key unless that is asked for, whatever the mode of the file was: it has its mode before it has the new key.
        let mode = self.mode.clone().or(Some(Mode::Bits(0o600)));
        if let (Some(old), true) = (host.lstat(&path)?, brought.content.is_some()) {
            match old.is_symlink() {
                true if !self.backup => host.remove(&path)?,
                true => {}
                false => {
                    let closed = Attributes { mode: mode.clone(), ..Attributes::default() };
                    host.set_attributes(&path, &closed, true)?;
                }
            }
        }
        let options = super::write_options(host, mode.as_ref(), self.backup, self.unsafe_writes)?;
        let attributes = Attributes { mode, ..self.file_attributes() };
        super::present(host, &path, brought.content, (&attributes, &options), &mut outcome)?;
        Ok(outcome.with("filename", text(&path)))
    }
}

impl Module for PrivateKeyPipe {
    const NAME: &'static str = "community.crypto.openssl_privatekey_pipe";

    fn check(&self) -> Result<(), String> {
        wanted!(self).check()
    }

    fn run(self, _: &Host) -> Result<Outcome, Failure> {
        let wanted = wanted!(self);
        let before = match (&self.content, self.content_base64) {
            (Some(content), true) => Some(
                STANDARD
                    .decode(content.split_whitespace().collect::<String>())
                    .map_err(|e| Failure::new(format!("Cannot decode Base64 encoded data: {e}")))?,
            ),
            (Some(content), false) => Some(content.clone().into_bytes()),
            (None, _) => None,
        };
        let brought = wanted.bring(true, before.as_deref(), false)?;
        let mut outcome = Outcome::new(brought.changed);
        wanted.tell(&mut outcome, brought.key.as_ref());
        let after = brought.content.as_deref().or(before.as_deref());
        if brought.content.is_some() || self.return_current_key {
            outcome.set("privatekey", after.map(told));
        }
        Ok(outcome.with("diff", json!({"before": wanted.shown(before.as_deref()), "after": wanted.shown(after)})))
    }
}

#[cfg(test)]
#[path = "privatekey_tests.rs"]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests;
