//! Text: `crc32`, `random_mac`, `unicode_normalize`, `from_csv`, `reveal_ansible_type`.

use minijinja::{Error, Value as Jinja};
use unicode_normalization::UnicodeNormalization;

use super::names;
use crate::template::call::{Call, Spec, ansible, fail, items};
use crate::template::pyrandom::Random;
use crate::template::{python, python_type};
use crate::value::{Key, Map, Value};
use rplay_worker::csv::Dialect;

pub(super) const FILTERS: &[Spec] = &[
    ansible(names!("crc32"), &["value"], |c| {
        let text = needed(c)?;
        Ok(Jinja::from(format!("{:x}", crc32fast::hash(text.as_bytes()))))
    }),
    ansible(names!("random_mac"), &["value", "seed"], random_mac),
    ansible(names!("unicode_normalize"), &["data", "form"], unicode_normalize),
    ansible(
        names!("from_csv"),
        &["data", "dialect", "fieldnames", "delimiter", "skipinitialspace", "strict"],
        from_csv,
    ),
    ansible(names!("reveal_ansible_type"), &["data", "alias"], reveal_ansible_type),
];

/// The value, which must be a string.
fn needed(call: &Call<'_, '_, '_>) -> Result<String, Error> {
    match call.value(0)? {
        Value::Str(text) => Ok(text.as_str().to_owned()),
        other => Err(fail(format!("a string is needed, not {}", python_type(&other)))),
    }
}

/// The six bytes of an address, the first of them given.
fn random_mac(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let prefix = needed(call)?.to_lowercase();
    let given = prefix.split(':').count();
    if given > 5 {
        return Err(fail(format!("{prefix} leaves nothing to choose: at most five bytes can be given")));
    }
    for byte in prefix.split(':') {
        if !byte.bytes().take(2).all(|b| b.is_ascii_hexdigit()) || byte.len() < 2 {
            return Err(fail(format!("{} in {prefix} is no byte in hexadecimal digits", python::quoted(byte))));
        }
    }
    // As the reference: five bytes of which the first is at least 16, so that the same seed gives the same address.
    const LOWEST: u64 = 0x10_0000_0000;
    let digits = format!("{:010x}", LOWEST + Random::new(call.option(1)?.as_ref()).below(0xf0_0000_0000));
    let chosen = (0..6 - given).filter_map(|i| digits.get(2 * i..2 * i + 2));
    Ok(Jinja::from(chosen.fold(prefix.clone(), |so_far, byte| format!("{so_far}:{byte}"))))
}

fn unicode_normalize(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let text = needed(call)?;
    let form = call.text_option(1)?.unwrap_or_else(|| "NFC".to_owned());
    Ok(Jinja::from(match form.as_str() {
        "NFC" => text.nfc().collect::<String>(),
        "NFD" => text.nfd().collect(),
        "NFKC" => text.nfkc().collect(),
        "NFKD" => text.nfkd().collect(),
        other => return Err(fail(format!("'{other}' is none of NFC, NFD, NFKC, NFKD"))),
    }))
}

fn from_csv(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let text = python::text(&call.value(0)?);
    let mut dialect = match call.text_option(1)?.as_deref() {
        None | Some("excel" | "unix") => Dialect::new(','),
        Some("excel-tab") => Dialect::new('\t'),
        Some(other) => return Err(fail(format!("'{other}' is no dialect of CSV that is known"))),
    };
    if let Some(delimiter) = call.text_option(3)? {
        let mut chars = delimiter.chars();
        let (Some(one), None) = (chars.next(), chars.next()) else {
            return Err(fail(format!("the delimiter must be one character, not {}", python::quoted(&delimiter))));
        };
        dialect.delimiter = one;
    }
    dialect.skip_space = call.flag(4, false);
    dialect.strict = call.flag(5, false);
    let mut rows = dialect.rows(&text).map_err(fail)?.into_iter();
    let names: Vec<Key> = match call.option(2)? {
        Some(names) => items(&names)?.iter().map(super::dicts::key).collect::<Result<_, _>>()?,
        None => rows.next().unwrap_or_default().into_iter().map(Key::from).collect(),
    };
    let record = |row: Vec<String>| {
        let mut fields = row.into_iter().map(Value::from);
        let mut record = Map::new();
        for name in &names {
            record.insert(name.clone(), fields.next().unwrap_or_default());
        }
        let rest: Vec<Value> = fields.collect();
        if !rest.is_empty() {
            record.insert(Key::Null, Value::list(rest));
        }
        Value::map(record)
    };
    Ok(Value::list(rows.filter(|row| !row.is_empty()).map(record).collect()).to_jinja())
}

fn reveal_ansible_type(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.value(0)?;
    let alias = match call.option(1)? {
        Some(Value::Map(map)) => Map::clone(&map),
        None => Map::new(),
        Some(other) => return Err(fail(format!("alias must be a dictionary, not {}", python_type(&other)))),
    };
    let name = |value: &Value| {
        let kind = python_type(value);
        alias.get(kind).map_or_else(|| kind.to_owned(), python::text)
    };
    let all = |values: &mut dyn Iterator<Item = Value>| {
        let mut names: Vec<String> = values.map(|value| name(&value)).collect();
        names.sort();
        names.dedup();
        names.join("|")
    };
    let kind = name(&value);
    Ok(Jinja::from(match &value {
        Value::List(items) if !items.is_empty() => format!("{kind}[{}]", all(&mut items.iter().cloned())),
        Value::Map(map) if !map.is_empty() => {
            let (keys, values) = (all(&mut map.keys().map(Key::to_value)), all(&mut map.values().cloned()));
            format!("{kind}[{keys}, {values}]")
        }
        _ => kind,
    }))
}
