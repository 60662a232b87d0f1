//! Filters of the collection `community.crypto`: `split_pem`, `parse_serial`, `to_serial`, and those that tell of certificates,
//! requests and keys.

use minijinja::{Error, Value as Jinja};

use rplay_worker::modules::told;

use crate::template::call::{Call, Spec, ansible, fail, inner_class};
use crate::template::{python, python_type};
use crate::value::Value;

pub(super) const FILTERS: &[Spec] = &[
    ansible(&["community.crypto.split_pem"], &["data"], split_pem),
    ansible(&["community.crypto.parse_serial"], &["value"], parse_serial),
    ansible(&["community.crypto.to_serial"], &["value"], to_serial),
    ansible(&["community.crypto.x509_certificate_info"], &["data", "name_encoding"], |c| {
        info(told::certificate(&text(c, "x509_certificate_info", Some(1))?))
    }),
    ansible(&["community.crypto.openssl_csr_info"], &["data", "name_encoding"], |c| {
        info(told::request(&text(c, "openssl_csr_info", Some(1))?))
    }),
    ansible(
        &["community.crypto.openssl_privatekey_info"],
        &["data", "passphrase", "return_private_key_data", "name_encoding"],
        |c| {
            let (key, passphrase) = (text(c, "openssl_privatekey_info", Some(3))?, c.text_option(1)?);
            info(told::private_key(&key, passphrase.as_deref(), c.flag(2, false)))
        },
    ),
    ansible(&["community.crypto.openssl_publickey_info"], &["data"], |c| {
        info(told::public_key(&text(c, "openssl_publickey_info", None)?))
    }),
];

/// The text that a filter is to tell of.
fn text(call: &Call<'_, '_, '_>, filter: &str, encoding: Option<usize>) -> Result<String, Error> {
    let value = call.value(0)?;
    let Some(text) = value.as_str() else {
        let class = inner_class(python_type(&value));
        return Err(fail(format!("The community.crypto.{filter} input must be a text type, not <class '{class}'>")));
    };
    match encoding.map(|at| call.text_option(at)).transpose()?.flatten().as_deref() {
        None | Some("ignore") => Ok(text.to_owned()),
        Some("idna" | "unicode") => Err(fail("`name_encoding` is supported as `ignore` only")),
        Some(other) => Err(fail(format!(
            "The name_encoding option must be one of the values \"ignore\", \"idna\", or \"unicode\", not \"{other}\""
        ))),
    }
}

fn info(told: Result<serde_json::Map<String, serde_json::Value>, String>) -> Result<Jinja, Error> {
    told.map(|told| Value::from_json(&serde_json::Value::Object(told)).to_jinja()).map_err(fail)
}

/// The parts of a text between lines of `BEGIN` and `END`, whatever stands between them.
fn split_pem(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let text = text(call, "split_pem", None)?;
    let mark = |line: &str, word: &str| {
        let line = line.trim_end();
        line.strip_prefix("-----")
            .and_then(|rest| rest.strip_suffix("-----"))
            .is_some_and(|rest| rest.starts_with(word))
    };
    let mut out = Vec::new();
    let mut under_way: Option<String> = None;
    for (line, end) in python::lines(&text) {
        if mark(line, "BEGIN ") {
            under_way = Some(String::new());
        }
        if line.trim().is_empty() {
            continue;
        }
        if let Some(part) = &mut under_way {
            part.push_str(line);
            part.push_str(end);
        }
        if mark(line, "END ") {
            out.extend(under_way.take().map(Value::from));
        }
    }
    Ok(Value::list(out).to_jinja())
}

/// What a filter of serial numbers wanted, and what it got.
fn unfit(filter: &str, wanted: &str, value: &Value) -> Error {
    let class = inner_class(python_type(value));
    fail(format!("The input for the community.crypto.{filter} filter must be {wanted}; got <class '{class}'> instead"))
}

fn parse_serial(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.value(0)?;
    let Some(text) = value.as_str() else { return Err(unfit("parse_serial", "a string", &value)) };
    let mut number: u128 = 0;
    for (at, part) in text.split(':').enumerate() {
        let wrong = |why: &str| {
            let ordinal = ordinal(at + 1);
            fail(format!(
                "The {ordinal} part {} is not a hexadecimal number in range [0, 255]: {why}",
                python::quoted(part)
            ))
        };
        let literal = || wrong(&format!("invalid literal for int() with base 16: {}", python::quoted(part)));
        let byte = i64::from_str_radix(part.trim(), 16).map_err(|_| literal())?;
        let byte = u8::try_from(byte).map_err(|_| wrong("the value is not in range [0, 255]"))?;
        // A serial number has twenty bytes at most, of which a template can count eight.
        number = number.checked_mul(256).ok_or_else(|| fail("the number is too large"))? + u128::from(byte);
    }
    Ok(Jinja::from(number))
}

fn ordinal(number: usize) -> String {
    let end = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{end}")
}

fn to_serial(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.need(0)?;
    let number = match Value::from_jinja(value)? {
        Value::Bool(flag) => i128::from(flag),
        _ if value.is_integer() => i128::try_from(value.clone())?,
        other => return Err(unfit("to_serial", "an integer", &other)),
    };
    let Ok(number) = u128::try_from(number) else {
        return Err(fail("The input for the community.crypto.to_serial filter must not be negative"));
    };
    let bytes = number.to_be_bytes();
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
    let shown: Vec<String> = bytes.iter().skip(start).map(|byte| format!("{byte:02X}")).collect();
    Ok(Jinja::from(shown.join(":")))
}
