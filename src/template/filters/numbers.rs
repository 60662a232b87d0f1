//! Numbers: `abs`, `round`, `log`, `pow`, `root`, `human_readable`, `human_to_bytes`.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, Value as Jinja, filters as engine};

use crate::template::call::{Call, Spec, ansible, fail, inner, to_float, type_name};
use crate::template::python_type;
use crate::value::Value;

pub(super) const FILTERS: &[Spec] = &[
    ansible(&["abs"], &["x"], |c| {
        let value = number_of(c)?;
        match value.kind() {
            ValueKind::Number => engine::abs(value),
            _ => Err(fail(format!("bad operand type for abs(): '{}'", inner(type_name(&value))))),
        }
    }),
    ansible(&["round"], &["value", "precision", "method"], round),
    ansible(&["log"], &["x", "base"], log),
    ansible(&["pow"], &["x", "y"], pow),
    ansible(&["root"], &["x", "base"], root),
    ansible(&["human_readable"], &["size", "isbits", "unit"], human_readable),
    ansible(&["human_to_bytes"], &["size", "default_unit", "isbits"], human_to_bytes),
    ansible(&["filesizeformat"], &["value", "binary"], file_size),
];

/// Units, the largest first.
const UNITS: [(char, u128); 8] = [
    ('Y', 1 << 80),
    ('Z', 1 << 70),
    ('E', 1 << 60),
    ('P', 1 << 50),
    ('T', 1 << 40),
    ('G', 1 << 30),
    ('M', 1 << 20),
    ('K', 1 << 10),
];

fn number(call: &Call<'_, '_, '_>, at: usize, what: &str) -> Result<f64, Error> {
    match call.value(at)? {
        value @ (Value::Int(_) | Value::Float(_) | Value::Bool(_)) => to_float(&value),
        other => {
            let kind = inner(python_type(&other));
            Err(fail(format!("{what}() can only be used on numbers: must be real number, not {kind}")))
        }
    }
}

/// The first argument, of which Python takes truth for a number.
fn number_of(call: &Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.need(0)?;
    Ok(if value.kind() == ValueKind::Bool { Jinja::from(i64::from(value.is_true())) } else { value.clone() })
}

fn round(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let method = call.text_option(2)?.unwrap_or_else(|| "common".to_owned());
    if !matches!(method.as_str(), "common" | "ceil" | "floor") {
        return Err(fail("method must be common, ceil or floor"));
    }
    let value = number_of(call)?;
    if value.kind() != ValueKind::Number {
        let got = inner(type_name(&value));
        return Err(fail(format!("type {got} doesn't define __round__ method")));
    }
    // Only what is rounded to the nearest stays whole.
    let directed = method != "common";
    let value = if directed && value.is_integer() { Jinja::from(f64::try_from(value)?) } else { value };
    if call.arg(1).is_some_and(Jinja::is_none) && !directed {
        let whole = f64::try_from(value)?.round_ties_even();
        return Ok(Jinja::from(whole as i64));
    }
    let precision = i32::try_from(call.int(1, 0)?).unwrap_or(i32::MAX);
    engine::round(value, Some(precision), Some(&method), Kwargs::from_iter(Vec::<(String, Jinja)>::new()))
}

fn pow(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let (x, y) = (number(call, 0, "pow")?, number(call, 1, "pow")?);
    let power = x.powf(y);
    match () {
        () if x == 0.0 && y < 0.0 || power.is_nan() && !(x.is_nan() || y.is_nan()) => Err(fail("math domain error")),
        () if power.is_infinite() && x.is_finite() && y.is_finite() => Err(fail("math range error")),
        () => Ok(Jinja::from(power)),
    }
}

fn log(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let x = number(call, 0, "log")?;
    if x <= 0.0 {
        return Err(fail("math domain error"));
    }
    Ok(Jinja::from(match call.arg(1) {
        None => x.ln(),
        Some(_) => match number(call, 1, "log")? {
            10.0 => x.log10(),
            base if base <= 0.0 => return Err(fail("math domain error")),
            1.0 => return Err(fail("float division by zero")),
            base => x.ln() / base.ln(),
        },
    }))
}

fn root(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let x = number(call, 0, "root")?;
    let base = if call.arg(1).is_some() { number(call, 1, "root")? } else { 2.0 };
    if base == 0.0 {
        return Err(fail("float division by zero"));
    }
    if x < 0.0 && (1.0 / base).fract() != 0.0 || x == 0.0 && base < 0.0 {
        return Err(fail("root() can only be used on numbers: math domain error"));
    }
    Ok(Jinja::from(if base == 2.0 { x.sqrt() } else { x.powf(1.0 / base) }))
}

fn human_readable(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.value(0)?;
    let (Value::Bool(_) | Value::Int(_) | Value::Float(_)) = value else {
        let got = inner(python_type(&value));
        let refusal = format!("'>=' not supported between instances of '{got}' and 'int'");
        return Err(fail(format!("human_readable() failed on bad input: {refusal}")));
    };
    let size = to_float(&value)?;
    let bits = call.flag(1, false);
    let wanted = call.text_option(2)?.map(|u| u.to_uppercase());
    let base = if bits { "bits" } else { "Bytes" };
    let suffix = |letter: char| format!("{letter}{}", if bits { "b" } else { "B" });
    let found = UNITS.iter().find(|(letter, limit)| match &wanted {
        Some(unit) => unit.starts_with(*letter),
        None => size >= *limit as f64,
    });
    Ok(Jinja::from(match found {
        Some((letter, limit)) => format!("{:.2} {}", size / *limit as f64, suffix(*letter)),
        None => format!("{size:.2} {base}"),
    }))
}

fn human_to_bytes(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let text = call.text(0)?;
    let bits = call.flag(2, false);
    let default = call.text_option(1)?;
    let bytes = bytes_of(&text, default.as_deref(), bits)
        .map_err(|e| fail(format!("human_to_bytes() can't interpret the input: {e}")))?;
    Ok(Value::Int(bytes).to_jinja())
}

/// A size such as `10K` or `1.5 MB` as a number of bytes (or bits).
pub fn bytes_of(text: &str, default: Option<&str>, bits: bool) -> Result<i64, String> {
    let plain = text.trim();
    let digits = plain.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(plain.len());
    let (number, rest) = plain.split_at(digits);
    let Ok(number) = number.parse::<f64>() else {
        return Err(format!("human_to_bytes() can't interpret following string: {text}"));
    };
    let unit = rest.trim_start();
    let unit = if unit.is_empty() { default.unwrap_or_default() } else { unit };
    if unit.is_empty() {
        return Ok(number.round_ties_even() as i64);
    }
    let letter = unit.chars().next().unwrap_or_default().to_ascii_uppercase();
    let limit = match letter {
        'B' => 1,
        letter => match UNITS.iter().find(|(l, _)| *l == letter) {
            Some((_, limit)) => *limit,
            None => {
                return Err(format!(
                    "human_to_bytes() failed to convert {text} (unit = {unit}). The suffix must be one of Y, Z, E, P, T, G, M, K, B"
                ));
            }
        },
    };
    if unit.chars().count() > 1 {
        let (class, word) = if bits { ("b", "bit") } else { ("B", "byte") };
        let expected = if letter == 'B' {
            format!("expect {class} or {word}")
        } else {
            format!("expect {letter}{class} or {letter}")
        };
        let word_fits = letter == 'B' && unit.to_lowercase() == word;
        let tail = &unit[1..];
        let full = format!("{letter}{word}").to_lowercase();
        let fits = word_fits || letter != 'B' && (tail == class || unit.to_lowercase() == full);
        if !fits {
            return Err(format!("human_to_bytes() failed to convert {text}. Value is not a valid string ({expected})"));
        }
    }
    Ok((number * limit as f64).round_ties_even() as i64)
}

/// Jinja's `filesizeformat`.
fn file_size(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.value(0)?;
    if matches!(value, Value::List(_) | Value::Map(_)) {
        let got = inner(python_type(&value));
        return Err(fail(format!("float() argument must be a string or a real number, not '{got}'")));
    }
    let bytes = to_float(&value)?;
    let binary = call.flag(1, false);
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    if bytes == 1.0 {
        return Ok(Jinja::from("1 Byte"));
    }
    if bytes < base {
        return Ok(Jinja::from(format!("{} Bytes", bytes.trunc() as i64)));
    }
    let names = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
    let mut unit = base * base;
    let mut at = 0;
    while bytes >= unit && at + 1 < names.len() {
        unit *= base;
        at += 1;
    }
    let name = match (binary, names[at]) {
        (true, letter) => format!("{}iB", letter.to_uppercase()),
        (false, letter) => format!("{letter}B"),
    };
    Ok(Jinja::from(format!("{:.1} {name}", base * bytes / unit)))
}
