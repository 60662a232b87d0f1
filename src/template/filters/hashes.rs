//! Hashes and encodings: `hash`, `checksum`, `md5`, `sha1`, `password_hash`, `b64encode`, `b64decode`, `to_uuid`.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use md5::Md5;
use minijinja::{Error, Value as Jinja};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use crate::template::call::{Call, Spec, ansible, fail, inner_class};
use crate::template::{password, python_type};
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
    Ok(Jinja::from(match kind {
        "md5" => hex(&Md5::digest(bytes)),
        "sha1" => hex(&Sha1::digest(bytes)),
        "sha224" => hex(&Sha224::digest(bytes)),
        "sha256" => hex(&Sha256::digest(bytes)),
        "sha384" => hex(&Sha384::digest(bytes)),
        "sha512" => hex(&Sha512::digest(bytes)),
        other => return Err(fail(format!("unsupported hash type {other}"))),
    }))
}

fn password_hash(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let kind = call.text_option(1)?.unwrap_or_else(|| "sha512".to_owned());
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

fn encoded(text: &str, encoding: Option<&str>) -> Result<Vec<u8>, Error> {
    let units = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    match encoding.unwrap_or("utf-8").to_lowercase().replace('_', "-").as_str() {
        "utf-8" | "utf8" | "ascii" => Ok(text.as_bytes().to_vec()),
        "utf-16-le" => Ok(units(u16::to_le_bytes)),
        "utf-16-be" => Ok(units(u16::to_be_bytes)),
        "utf-16" => Ok([vec![0xff, 0xfe], units(u16::to_le_bytes)].concat()),
        "latin-1" | "iso-8859-1" => {
            text.chars().map(|c| u8::try_from(c as u32).map_err(|_| fail("a character is not in latin-1"))).collect()
        }
        other => Err(fail(format!("unknown encoding: {other}"))),
    }
}

fn b64encode(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let bytes = encoded(&call.text(0)?, call.text_option(1)?.as_deref())?;
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
    let encoding = call.text_option(1)?.unwrap_or_else(|| "utf-8".to_owned()).to_lowercase().replace('_', "-");
    let units = |from: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|c| from([c[0], c[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    Ok(Jinja::from(match encoding.as_str() {
        "utf-16-le" => units(u16::from_le_bytes),
        "utf-16-be" => units(u16::from_be_bytes),
        "utf-16" => units(u16::from_le_bytes).trim_start_matches('\u{feff}').to_owned(),
        "latin-1" | "iso-8859-1" => bytes.iter().map(|b| char::from(*b)).collect(),
        _ => String::from_utf8_lossy(&bytes).into_owned(),
    }))
}

/// A UUID of version 5 in Ansible's own namespace.
fn to_uuid(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let namespace = call.text_option(1)?.unwrap_or_else(|| "361E6D51-FAEC-444A-9079-341386DA8E2E".to_owned());
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
