//! The lookup `random_string` of the collection `community.general`: characters by class, some of each at least.

use base64::Engine;
use minijinja::Error;

use super::Lookup;
use crate::template::call::{fail, to_int};
use crate::template::pyrandom::Random;
use crate::value::Value;

/// How long a string may be.
const MAX_LENGTH: usize = 1_000_000;
const SIMILAR: &str = "il1LoO0";
const SPECIAL: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

fn number(lookup: &Lookup<'_>, name: &str, default: i64) -> Result<usize, Error> {
    let number = lookup.option(name).map_or(Ok(default), to_int)?;
    // Fewer than none is none.
    Ok(usize::try_from(number).unwrap_or(0))
}

fn pick(random: &mut Random, from: &[char], count: usize, out: &mut Vec<char>) -> Result<(), Error> {
    if count == 0 {
        return Ok(());
    }
    if from.is_empty() {
        return Err(fail("Available characters cannot be None, please change constraints"));
    }
    for _ in 0..count {
        let at = usize::try_from(random.below(from.len() as u64)).unwrap_or(0);
        out.extend(from.get(at));
    }
    Ok(())
}

pub(super) fn run(lookup: &Lookup<'_>) -> Result<Vec<Value>, Error> {
    if lookup.option("seed").is_some() {
        return Err(fail("`seed` is not supported: a string that everybody can make is no secret"));
    }
    let similar = match lookup.flag("ignore_similar_chars", false) {
        true => lookup.text("similar_chars").unwrap_or_else(|| SIMILAR.to_owned()),
        false => String::new(),
    };
    let class = |all: &str| all.chars().filter(|c| !similar.contains(*c)).collect::<Vec<char>>();
    // Characters that the call names itself are taken as they are.
    let named = |name: &str| lookup.text(name).filter(|s| !s.is_empty()).map(|s| s.chars().collect::<Vec<char>>());
    let classes = [
        ("numbers", "min_numeric", class("0123456789")),
        ("lower", "min_lower", class("abcdefghijklmnopqrstuvwxyz")),
        ("upper", "min_upper", class("ABCDEFGHIJKLMNOPQRSTUVWXYZ")),
        ("special", "min_special", named("override_special").unwrap_or_else(|| class(SPECIAL))),
    ];
    let length = number(lookup, "length", 8)?;
    let mut random = Random::new(None);
    let mut out = Vec::new();
    let mut available = Vec::new();
    if length > MAX_LENGTH {
        return Err(fail("the string is too long"));
    }
    match named("override_all") {
        Some(all) => available = all,
        None => {
            for (name, at_least, chars) in &classes {
                let count = number(lookup, at_least, 0)?;
                if count > MAX_LENGTH {
                    return Err(fail("the string is too long"));
                }
                pick(&mut random, chars, count, &mut out)?;
                if lookup.flag(name, true) {
                    available.extend_from_slice(chars);
                }
            }
        }
    }
    let rest = length.saturating_sub(out.len());
    pick(&mut random, &available, rest, &mut out)?;
    random.shuffle(&mut out);
    let text: String = out.into_iter().collect();
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    Ok(vec![Value::from(if lookup.flag("base64", false) { encode(&text) } else { text })])
}
