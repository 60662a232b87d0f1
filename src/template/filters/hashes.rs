//! Hashes and encodings: `hash`, `checksum`, `md5`, `sha1`, `password_hash`, `b64encode`, `b64decode`, `to_uuid`.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use blake2::{Blake2b512, Blake2s256};
use md5::Md5;
use minijinja::{Error, Value as Jinja};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};
use sha2_next::Digest as _;
use sha3::{Sha3_224, Sha3_256, Sha3_384, Sha3_512};

use crate::template::call::{Call, Spec, ansible, fail, inner, inner_class};
use crate::template::{encodings, password, python, python_type};
use crate::value::Value;

pub(super) const FILTERS: &[Spec] = &[
    ansible(&["hash"], &["data", "hashtype"], |call| {
        let kind = call.text_option(1)?.unwrap_or_else(|| "sha1".to_owned());
        digest(&call.text(0)?, &kind)
    }),
    ansible(&["checksum", "sha1"], &["data"], |call| digest(&call.text(0)?, "sha1")),
    ansible(&["md5"], &["data"], |call| digest(&call.text(0)?, "md5")),
    ansible(&["password_hash"], &["password", "hashtype", "salt", "salt_size", "rounds", "ident"], password_hash),
    ansible(&["b64encode"], &["string", "encoding", "urlsafe"], b64encode),
    ansible(&["b64decode"], &["string", "encoding", "urlsafe"], b64decode),
    ansible(&["to_uuid"], &["string", "namespace"], to_uuid),
];

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn digest(text: &str, kind: &str) -> Result<Jinja, Error> {
    let bytes = text.as_bytes();
    // OpenSSL's names, with and without the hyphen.
    let name = kind.to_lowercase().replace('_', "-");
    let name = name.strip_prefix("sha-").map_or(name.clone(), |size| format!("sha{size}"));
    Ok(Jinja::from(match name.as_str() {
        "md5" => hex(&Md5::digest(bytes)),
        "sha1" => hex(&Sha1::digest(bytes)),
        "sha224" => hex(&Sha224::digest(bytes)),
        "sha256" => hex(&Sha256::digest(bytes)),
        "sha384" => hex(&Sha384::digest(bytes)),
        "sha512" => hex(&Sha512::digest(bytes)),
        "sha512-224" => hex(&Sha512_224::digest(bytes)),
        "sha512-256" => hex(&Sha512_256::digest(bytes)),
        "md5-sha1" => hex(&Md5::digest(bytes)) + &hex(&Sha1::digest(bytes)),
        "sha3-224" => hex(&Sha3_224::digest(bytes)),
        "sha3-256" => hex(&Sha3_256::digest(bytes)),
        "sha3-384" => hex(&Sha3_384::digest(bytes)),
        "sha3-512" => hex(&Sha3_512::digest(bytes)),
        "blake2b" => hex(&Blake2b512::digest(bytes)),
        "blake2s" => hex(&Blake2s256::digest(bytes)),
        _ => return Err(fail(format!("unsupported hash type {kind}"))),
    }))
}

fn password_hash(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let kind = if call.arg(1).is_some() { call.text(1)? } else { "sha512".to_owned() };
    let salt = call.text_option(2)?;
    let whole = |v| crate::template::call::to_int(&v).map_err(|_| fail("salt_size must be an integer"));
    let size = call.option(3)?.map(whole).transpose()?;
    let rounds = call.option(4)?.map(|v| crate::template::call::to_int(&v)).transpose()?;
    let ident = call.text_option(5)?;
    let secret = match call.value(0)? {
        Value::Str(text) => text,
        Value::Null => return Err(fail("secret must be unicode or bytes, not None")),
        other => {
            return Err(fail(format!("secret must be unicode or bytes, not {}", inner_class(python_type(&other)))));
        }
    };
    let settings = password::Settings {
        kind: &kind,
        salt: salt.as_deref(),
        salt_size: size.and_then(|s| usize::try_from(s).ok()),
        rounds: rounds.and_then(|r| u32::try_from(r).ok()),
        ident: ident.as_deref(),
    };
    password::hash(secret.as_str(), &settings).map(Jinja::from).map_err(fail)
}

/// The encoding that is asked for.
fn encoding(call: &Call<'_, '_, '_>, at: usize, method: &str) -> Result<String, Error> {
    match call.arg(at).map(Value::from_jinja).transpose()? {
        None => Ok("utf-8".to_owned()),
        Some(Value::Str(name)) => Ok(name.as_str().to_owned()),
        Some(Value::Null) => Err(fail(format!("{method}() argument 'encoding' must be str, not None"))),
        Some(other) => {
            let got = inner(python_type(&other));
            Err(fail(format!("{method}() argument 'encoding' must be str, not {got}")))
        }
    }
}

fn b64encode(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let bytes = encodings::encode(&call.text(0)?, &encoding(call, 1, "encode")?).map_err(fail)?;
    let out = base64::engine::general_purpose::STANDARD.encode(bytes);
    Ok(Jinja::from(if call.flag(2, false) { out.replace('+', "-").replace('/', "_") } else { out }))
}

fn b64decode(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let mut text = call.text(0)?;
    if call.flag(2, false) {
        text = text.replace('-', "+").replace('_', "/");
    }
    // Python skips what is not of the alphabet.
    let clean: String = text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/')).collect();
    if clean.len() % 4 == 1 {
        return Err(fail(format!(
            "Invalid base64-encoded string: number of data characters ({}) cannot be 1 more than a multiple of 4",
            clean.len()
        )));
    }
    let padding = text.chars().rev().take_while(|c| *c == '=').count();
    if !clean.len().is_multiple_of(4) && !(clean.len() + padding).is_multiple_of(4) {
        return Err(fail("Incorrect padding"));
    }
    let bytes = LENIENT.decode(clean).map_err(|e| fail(e.to_string()))?;
    let given = encoding(call, 1, "decode")?;
    // Whether there is such an encoding.
    encodings::encode("", &given).map_err(fail)?;
    Ok(Jinja::from(encodings::decode(&bytes, &given)))
}

/// A UUID of version 5 in Ansible's own namespace.
fn to_uuid(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let namespace = match call.arg(1).map(Value::from_jinja).transpose()? {
        None => None,
        Some(Value::Null) => {
            return Err(fail("one of the hex, bytes, bytes_le, fields, or int arguments must be given"));
        }
        Some(Value::Str(text)) => Some(text.as_str().to_owned()),
        Some(other) => {
            let (shown, got) = (python::text(&other), inner(python_type(&other)));
            return Err(fail(format!(
                "Invalid value '{shown}' for 'namespace': '{got}' object has no attribute 'replace'"
            )));
        }
    };
    let namespace = namespace.unwrap_or_else(|| "361E6D51-FAEC-444A-9079-341386DA8E2E".to_owned());
    let digits: Vec<u8> = namespace.bytes().filter(u8::is_ascii_hexdigit).collect();
    let digits = String::from_utf8_lossy(&digits).into_owned();
    let number = u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32);
    let Some(number) = number else {
        return Err(fail(format!("Invalid value '{namespace}' for 'namespace': badly formed hexadecimal UUID string")));
    };
    let name = call.text(0)?;
    let digest = Sha1::digest([number.to_be_bytes().as_slice(), name.as_bytes()].concat());
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x50;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let all = hex(&bytes);
    Ok(Jinja::from(format!("{}-{}-{}-{}-{}", &all[..8], &all[8..12], &all[12..16], &all[16..20], &all[20..])))
}
