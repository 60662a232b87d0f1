//! Values that came as text, as a result tells them: numbers, truth values, lists and JSON are what they are, all else is
//! text as Python's types print.

use rplay_protocol::Object;
use serde_json::{Number, Value};

use super::wire::Row;

/// A row as an object, by the names of its columns.
pub fn row_value(row: &Row) -> Object {
    let pairs = row.columns.iter().zip(&row.values);
    pairs
        .map(|(column, value)| {
            (column.name.clone(), value.as_deref().map_or(Value::Null, |v| value_of(column.kind, v)))
        })
        .collect()
}

/// What a type's text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Whole,
    Float,
    Bool,
    Json,
    Date,
    Moment,
    ZonedMoment,
    Time,
    Interval,
    Bytes,
}

/// The kind of a type, and whether it is an array of it.
fn kind(number: u32) -> (Kind, bool) {
    match number {
        20 | 21 | 23 | 26 => (Kind::Whole, false),
        1005 | 1007 | 1016 | 1028 => (Kind::Whole, true),
        700 | 701 | 1700 => (Kind::Float, false),
        1021 | 1022 | 1231 => (Kind::Float, true),
        16 => (Kind::Bool, false),
        1000 => (Kind::Bool, true),
        114 | 3802 => (Kind::Json, false),
        199 | 3807 => (Kind::Json, true),
        1082 => (Kind::Date, false),
        1182 => (Kind::Date, true),
        1114 => (Kind::Moment, false),
        1115 => (Kind::Moment, true),
        1184 => (Kind::ZonedMoment, false),
        1185 => (Kind::ZonedMoment, true),
        1083 | 1266 => (Kind::Time, false),
        1183 | 1270 => (Kind::Time, true),
        1186 => (Kind::Interval, false),
        1187 => (Kind::Interval, true),
        17 => (Kind::Bytes, false),
        // char, name, text, bpchar, varchar, and cidr, macaddr, inet.
        1002 | 1003 | 1009 | 1014 | 1015 | 651 | 1040 | 1041 => (Kind::Text, true),
        _ => (Kind::Text, false),
    }
}

/// A value of a type; text that does not fit its type stays text.
fn value_of(number: u32, text: &str) -> Value {
    let (kind, is_array) = kind(number);
    if is_array {
        return array(text, kind).unwrap_or_else(|| Value::String(text.to_owned()));
    }
    scalar(kind, text).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn scalar(kind: Kind, text: &str) -> Option<Value> {
    Some(match kind {
        Kind::Text => return None,
        Kind::Whole => Value::Number(text.parse::<i64>().ok()?.into()),
        Kind::Float => Value::Number(Number::from_f64(text.parse().ok()?)?),
        Kind::Bool => Value::Bool(text == "t"),
        Kind::Json => serde_json::from_str(text).ok()?,
        Kind::Date => Value::String(bounded(text, "9999-12-31", "0001-01-01").to_owned()),
        Kind::Moment => {
            let text = bounded(text, "9999-12-31 23:59:59.999999", "0001-01-01 00:00:00");
            Value::String(moment(text)?)
        }
        Kind::ZonedMoment => {
            let text = bounded(text, "9999-12-31 23:59:59.999999+00", "0001-01-01 00:00:00+00");
            Value::String(moment(text)?)
        }
        Kind::Time => Value::String(time(text)),
        Kind::Interval => Value::String(interval(text)?),
        Kind::Bytes => characters(text)?,
    })
}

/// The ends of time, as the last and the first moment that Python knows.
fn bounded<'a>(text: &'a str, last: &'a str, first: &'a str) -> &'a str {
    match text {
        "infinity" => last,
        "-infinity" => first,
        text => text,
    }
}

/// `2020-01-02 03:04:05.5+02` as `2020-01-02T03:04:05.500000+02:00`.
fn moment(text: &str) -> Option<String> {
    let (date, rest) = text.split_once(' ')?;
    Some(format!("{date}T{}", time(rest)))
}

/// `03:04:05.5+02` as `03:04:05.500000+02:00`.
fn time(text: &str) -> String {
    let at = text.find(['+', '-']).unwrap_or(text.len());
    let (clock, zone) = text.split_at(at);
    let clock = match clock.split_once('.') {
        Some((seconds, fraction)) => format!("{seconds}.{fraction:0<6}"),
        None => clock.to_owned(),
    };
    let zone = if zone.len() == 3 { format!("{zone}:00") } else { zone.to_owned() };
    format!("{clock}{zone}")
}

/// An interval in PostgreSQL's own style as Python prints a time span; months have 30 days and years 365.
fn interval(text: &str) -> Option<String> {
    let mut micros: i128 = 0;
    let mut words = text.split_whitespace();
    const SECOND: i128 = 1_000_000;
    const DAY: i128 = 86_400 * SECOND;
    while let Some(word) = words.next() {
        if word.contains(':') {
            micros += clock(word)?;
            continue;
        }
        let number: i128 = word.parse().ok()?;
        micros += number
            * match words.next()?.trim_end_matches('s') {
                "year" => 365 * DAY,
                "mon" => 30 * DAY,
                "day" => DAY,
                _ => return None,
            };
    }
    let (days, rest) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let (seconds, fraction) = (rest / SECOND, rest % SECOND);
    let days = match days {
        0 => String::new(),
        1 | -1 => format!("{days} day, "),
        days => format!("{days} days, "),
    };
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:06}") };
    Some(format!("{days}{}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60))
}

/// `-01:02:03.5` in millionths of a second.
fn clock(text: &str) -> Option<i128> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.trim_start_matches('+')),
    };
    let mut parts = text.split(':');
    let hours: i128 = parts.next()?.parse().ok()?;
    let minutes: i128 = parts.next()?.parse().ok()?;
    let (seconds, fraction) = parts.next().unwrap_or("0").split_once('.').unwrap_or((parts_last(text), "0"));
    let seconds: i128 = seconds.parse().ok()?;
    let fraction: i128 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    Some(sign * (((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + fraction))
}

fn parts_last(text: &str) -> &str {
    text.rsplit(':').next().unwrap_or("0")
}

/// Bytes written as `\x6162`, each as a character: what the reference makes of them.
fn characters(text: &str) -> Option<Value> {
    let hex = text.strip_prefix("\\x")?.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    hex.chunks(2)
        .map(|pair| Some(Value::String(char::from(byte(pair)?).to_string())))
        .collect::<Option<Vec<_>>>()
        .map(Value::Array)
}

/// An array as PostgreSQL writes one: `{1,2}`, `{"a b",NULL}`, `{{1},{2}}`; bounds before it are dropped.
fn array(text: &str, kind: Kind) -> Option<Value> {
    let text = if text.starts_with('[') { text.split_once('=')?.1 } else { text };
    let mut chars = text.chars().peekable();
    let value = elements(&mut chars, kind)?;
    chars.next().is_none().then_some(value)
}

fn elements(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, kind: Kind) -> Option<Value> {
    // One list for each brace that is open.
    let mut open: Vec<Vec<Value>> = Vec::new();
    loop {
        match *chars.peek()? {
            '{' => {
                chars.next();
                open.push(Vec::new());
            }
            '}' => {
                chars.next();
                let done = Value::Array(open.pop()?);
                match open.last_mut() {
                    Some(outer) => outer.push(done),
                    None => return Some(done),
                }
            }
            ',' => {
                chars.next();
            }
            _ => {
                let (text, quoted) = element(chars)?;
                let value = if !quoted && text == "NULL" {
                    Value::Null
                } else {
                    scalar(kind, &text).unwrap_or(Value::String(text))
                };
                open.last_mut()?.push(value);
            }
        }
    }
}

/// One element's text, and whether it stood in quotes.
fn element(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<(String, bool)> {
    let mut text = String::new();
    if chars.next_if_eq(&'"').is_some() {
        loop {
            match chars.next()? {
                '"' => return Some((text, true)),
                '\\' => text.push(chars.next()?),
                c => text.push(c),
            }
        }
    }
    while let Some(c) = chars.next_if(|c| !matches!(c, ',' | '}')) {
        if c == '\\' { text.push(chars.next()?) } else { text.push(c) }
    }
    Some((text, false))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_what_they_are() {
        for (number, text, value) in [
            (23, "5", json!(5)),
            (20, "9223372036854775807", json!(i64::MAX)),
            (1700, "2.50", json!(2.5)),
            (701, "1e+20", json!(1e20)),
            (701, "NaN", json!("NaN")),
            (16, "f", json!(false)),
            (25, "5", json!("5")),
            (114, "{\"b\": [1, null]}", json!({"b": [1, null]})),
            (1082, "-infinity", json!("0001-01-01")),
            (1114, "2020-01-02 03:04:05.678", json!("2020-01-02T03:04:05.678000")),
            (1184, "2020-01-01 21:34:05.5+05:30", json!("2020-01-01T21:34:05.500000+05:30")),
            (1184, "infinity", json!("9999-12-31T23:59:59.999999+00:00")),
            (1114, "-infinity", json!("0001-01-01T00:00:00")),
            (1266, "12:34:56.7+02", json!("12:34:56.700000+02:00")),
            (1083, "12:34:56", json!("12:34:56")),
            (1186, "1 mon", json!("30 days, 0:00:00")),
            (1186, "-03:00:00", json!("-1 day, 21:00:00")),
            (1186, "1 year 2 mons", json!("425 days, 0:00:00")),
            (1186, "00:00:00.5", json!("0:00:00.500000")),
            (1186, "2 days -03:00:00", json!("1 day, 21:00:00")),
            (1007, "{{1,2},{3,NULL}}", json!([[1, 2], [3, null]])),
            (1007, "[0:1]={1,2}", json!([1, 2])),
            (1007, "{}", json!([])),
            (1009, "{a,\"b \\\"c\",NULL,\"NULL\"}", json!(["a", "b \"c", null, "NULL"])),
            (3807, "{\"{\\\"a\\\": 1}\"}", json!([{"a": 1}])),
            (17, "\\x6162", json!(["a", "b"])),
            (1007, "{1", json!("{1")),
            (2950, "{}", json!("{}")),
        ] {
            assert_eq!(value_of(number, text), value, "{text}");
        }
    }
}
