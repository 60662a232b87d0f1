//! The test `version`: loose, strict, semantic and Python's own version numbers.

use std::cmp::Ordering;

use minijinja::{Error, Value as Jinja};

use crate::template::call::{Call, Spec, ansible, fail};
use crate::template::python;
use crate::template::regex::{Flags, Pattern};

pub(super) const TESTS: &[Spec] =
    &[ansible(&["version", "version_compare"], &["value", "version", "operator", "strict", "version_type"], version)];

fn version(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let operator = call.text_option(2)?.unwrap_or_else(|| "eq".to_owned());
    let strict = call.option(3)?;
    let kind = call.text_option(4)?;
    let (own, other) = (python::text(&call.value(0)?), python::text(&call.value(1)?));
    if !call.need(0)?.is_true() {
        return Err(fail("Input version value cannot be empty"));
    }
    if !call.need(1)?.is_true() {
        return Err(fail("Version parameter to compare against cannot be empty"));
    }
    if strict.is_some() && kind.is_some() {
        return Err(fail("Cannot specify both 'strict' and 'version_type'"));
    }
    let kind = match strict {
        Some(strict) if crate::template::truthy(&strict) => "strict".to_owned(),
        _ => kind.unwrap_or_else(|| "loose".to_owned()),
    };
    let holds: fn(Ordering) -> bool = match operator.as_str() {
        "==" | "=" | "eq" => Ordering::is_eq,
        "<" | "lt" => Ordering::is_lt,
        "<=" | "le" => Ordering::is_le,
        ">" | "gt" => Ordering::is_gt,
        ">=" | "ge" => Ordering::is_ge,
        "!=" | "<>" | "ne" => Ordering::is_ne,
        other => {
            return Err(fail(format!(
                "Invalid operator type ({other}). Must be one of '==', '=', 'eq', '<', 'lt', '<=', 'le', '>', 'gt', '>=', \
                 'ge', '!=', '<>', 'ne'"
            )));
        }
    };
    let compare: fn(&str, &str) -> Result<Ordering, String> = match kind.as_str() {
        "loose" => loose,
        "strict" => strictly,
        "semver" | "semantic" => semantic,
        "pep440" => pep440,
        other => {
            return Err(fail(format!(
                "Invalid version type ({other}). Must be one of 'loose', 'strict', 'semver', 'semantic', 'pep440'"
            )));
        }
    };
    let order = compare(&own, &other).map_err(|e| fail(format!("Version comparison failed: {e}")))?;
    Ok(Jinja::from(holds(order)))
}

#[derive(Debug, PartialEq)]
enum Part {
    Number(u128),
    Word(String),
}

/// Numbers and words in order; what separates them does not count.
fn loose_parts(text: &str) -> Vec<Part> {
    let mut out: Vec<Part> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let class = |c: char| (c.is_ascii_digit(), c.is_ascii_lowercase());
        let of = class(first);
        let end = rest.find(|c| class(c) != of || c == '.').unwrap_or(rest.len()).max(first.len_utf8());
        let (piece, tail) = rest.split_at(end);
        match (of, piece) {
            ((true, _), digits) => out.push(Part::Number(digits.parse().unwrap_or(u128::MAX))),
            (_, ".") => {}
            (_, word) => out.push(Part::Word(word.to_owned())),
        }
        rest = tail;
    }
    out
}

/// The order of two versions whose parts are compared one by one, numbers as numbers.
pub(in crate::template) fn loose(a: &str, b: &str) -> Result<Ordering, String> {
    let (a, b) = (loose_parts(a), loose_parts(b));
    for pair in a.iter().zip(&b) {
        let order = match pair {
            (Part::Number(a), Part::Number(b)) => a.cmp(b),
            (Part::Word(a), Part::Word(b)) => a.cmp(b),
            (Part::Word(_), Part::Number(_)) => {
                return Err("'<' not supported between instances of 'str' and 'int'".to_owned());
            }
            (Part::Number(_), Part::Word(_)) => {
                return Err("'<' not supported between instances of 'int' and 'str'".to_owned());
            }
        };
        if order.is_ne() {
            return Ok(order);
        }
    }
    Ok(a.len().cmp(&b.len()))
}

/// The groups of a pattern in a text, `None` when it does not match.
fn groups(pattern: &str, text: &str) -> Result<Option<Vec<Option<String>>>, String> {
    let pattern = Pattern::new(pattern, Flags::default()).map_err(|e| e.to_string())?;
    let found = pattern.captures(text, 0).map_err(|e| e.to_string())?;
    Ok(found.map(|m| (0..=pattern.groups()).map(|i| m.get(i).map(|g| g.as_str().to_owned())).collect()))
}

fn number(group: Option<&Option<String>>) -> u128 {
    group.and_then(Option::as_ref).map_or(0, |n| n.parse().unwrap_or(u128::MAX))
}

fn strictly(a: &str, b: &str) -> Result<Ordering, String> {
    type Key = (u128, u128, u128, u8, u128);
    fn read(text: &str) -> Result<Key, String> {
        let found = groups(r"\A(\d+)\.(\d+)(?:\.(\d+))?(?:([ab])(\d+))?\Z", text)?;
        let Some(found) = found else { return Err(format!("invalid version number '{text}'")) };
        let stage = match found.get(4).and_then(Option::as_deref) {
            Some("a") => 0,
            Some("b") => 1,
            _ => 2,
        };
        Ok((number(found.get(1)), number(found.get(2)), number(found.get(3)), stage, number(found.get(5))))
    }
    Ok(read(a)?.cmp(&read(b)?))
}

fn semantic(a: &str, b: &str) -> Result<Ordering, String> {
    fn read(text: &str) -> Result<([u128; 3], Option<String>), String> {
        let found =
            groups(r"\A(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?\Z", text)?;
        let Some(found) = found else { return Err(format!("invalid semantic version '{text}'")) };
        let core = [number(found.get(1)), number(found.get(2)), number(found.get(3))];
        Ok((core, found.get(4).cloned().flatten()))
    }
    fn identifiers(a: &str, b: &str) -> Ordering {
        let (mut a, mut b) = (a.split('.'), b.split('.'));
        loop {
            let order = match (a.next(), b.next()) {
                (None, None) => return Ordering::Equal,
                (None, Some(_)) => return Ordering::Less,
                (Some(_), None) => return Ordering::Greater,
                (Some(a), Some(b)) => match (a.parse::<u128>(), b.parse::<u128>()) {
                    (Ok(a), Ok(b)) => a.cmp(&b),
                    (Ok(_), Err(_)) => Ordering::Less,
                    (Err(_), Ok(_)) => Ordering::Greater,
                    (Err(_), Err(_)) => a.cmp(b),
                },
            };
            if order.is_ne() {
                return order;
            }
        }
    }
    let (a, b) = (read(a)?, read(b)?);
    Ok(a.0.cmp(&b.0).then_with(|| match (&a.1, &b.1) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => identifiers(a, b),
    }))
}

/// Python's version numbers (PEP 440), in an order of which the derived comparison is the standard's.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Pep440 {
    epoch: u128,
    release: Vec<u128>,
    /// A development release alone comes first, then alpha, beta, candidate, then the release itself.
    pre: (u8, u128),
    post: Option<u128>,
    /// A development release comes before what it develops.
    dev: (bool, u128),
    local: Option<Vec<(bool, u128, String)>>,
}

fn pep440(a: &str, b: &str) -> Result<Ordering, String> {
    fn read(text: &str) -> Result<Pep440, String> {
        let pattern = concat!(
            r"\A\s*v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?(\d+)?)?",
            r"((?:-\d+)|(?:[-_.]?(?:post|rev|r)[-_.]?\d*))?([-_.]?dev[-_.]?\d*)?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?\s*\Z"
        );
        let found = groups(pattern, &text.to_lowercase())?;
        let Some(found) = found else { return Err(format!("Invalid version: '{text}'")) };
        let word = |i: usize| found.get(i).and_then(Option::as_deref);
        let digits = |text: &str| -> u128 {
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            digits.parse().unwrap_or(0)
        };
        let mut release: Vec<u128> = word(2).unwrap_or_default().split('.').map(digits).collect();
        while release.len() > 1 && release.last() == Some(&0) {
            release.pop();
        }
        let (post, dev) = (word(5).map(digits), word(6).map(digits));
        let pre = match word(3) {
            Some("alpha" | "a") => (1, number(found.get(4))),
            Some("beta" | "b") => (2, number(found.get(4))),
            Some(_) => (3, number(found.get(4))),
            None if post.is_none() && dev.is_some() => (0, 0),
            None => (4, 0),
        };
        let local = word(7).map(|local| {
            local
                .split(['-', '_', '.'])
                .map(|part| match part.parse::<u128>() {
                    Ok(number) => (true, number, String::new()),
                    Err(_) => (false, 0, part.to_owned()),
                })
                .collect()
        });
        let dev = dev.map_or((true, 0), |n| (false, n));
        Ok(Pep440 { epoch: number(found.get(1)), release, pre, post, dev, local })
    }
    Ok(read(a)?.cmp(&read(b)?))
}
