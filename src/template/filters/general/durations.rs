//! Durations such as `3h -5m 6s`: `to_time_unit`, `to_milliseconds`, `to_seconds`, … `to_years`.

use minijinja::{Error, Value as Jinja};

use super::names;
use crate::template::call::{Call, Spec, ansible, fail};
use crate::template::python_type;
use crate::value::{Map, Value};

pub(super) const FILTERS: &[Spec] = &[
    ansible(names!("to_time_unit"), &["human_time", "unit", "**options"], |c| {
        let unit = c.text_option(1)?.unwrap_or_else(|| "ms".to_owned());
        convert(c, &unit)
    }),
    ansible(names!("to_milliseconds"), &["human_time", "**options"], |c| convert(c, "ms")),
    ansible(names!("to_seconds"), &["human_time", "**options"], |c| convert(c, "s")),
    ansible(names!("to_minutes"), &["human_time", "**options"], |c| convert(c, "m")),
    ansible(names!("to_hours"), &["human_time", "**options"], |c| convert(c, "h")),
    ansible(names!("to_days"), &["human_time", "**options"], |c| convert(c, "d")),
    ansible(names!("to_weeks"), &["human_time", "**options"], |c| convert(c, "w")),
    ansible(names!("to_months"), &["human_time", "**options"], |c| convert(c, "mo")),
    ansible(names!("to_years"), &["human_time", "**options"], |c| convert(c, "y")),
];

/// Milliseconds in a day.
const DAY: f64 = 86_400_000.0;

/// How many milliseconds a unit has; `None` for what is no unit.
fn milliseconds(unit: &str, options: &Map) -> Result<Option<f64>, Error> {
    let days = |name: &str, default: f64| match options.get(name) {
        None => Ok(default),
        Some(Value::Int(n)) => Ok(*n as f64),
        Some(Value::Float(n)) => Ok(*n),
        Some(other) => Err(fail(format!("{name} must be a number of days, not {}", python_type(other)))),
    };
    // Only the long names have a plural.
    let single = unit.strip_suffix('s').filter(|name| name.len() > 2).unwrap_or(unit);
    Ok(Some(match single {
        "ms" | "msec" | "msecond" | "millisecond" => 1.0,
        "s" | "sec" | "second" => 1000.0,
        "m" | "min" | "minute" => 60_000.0,
        "h" | "hour" => 3_600_000.0,
        "d" | "day" => DAY,
        "w" | "week" => 7.0 * DAY,
        "mo" | "month" => days("month", 30.0)? * DAY,
        "y" | "year" => days("year", 365.0)? * DAY,
        _ => return Ok(None),
    }))
}

fn convert(call: &mut Call<'_, '_, '_>, unit: &str) -> Result<Jinja, Error> {
    let options = call.more()?;
    if let Some(stranger) = options.keys().find(|k| !matches!(k.as_str(), Some("year" | "month"))) {
        return Err(fail(format!("got an unexpected keyword argument '{stranger}'")));
    }
    let Some(per) = milliseconds(unit, &options)? else {
        return Err(fail(format!("'{unit}' is no unit of time that durations can be told in")));
    };
    let value = call.value(0)?;
    let Value::Str(text) = &value else {
        return Err(fail(format!("a duration must be a string, not {}", python_type(&value))));
    };
    let text = text.as_str();
    if text == "0" {
        return Ok(Jinja::from(0));
    }
    let mut total = 0.0;
    for word in text.split_whitespace() {
        let digits = word.strip_prefix('-').unwrap_or(word);
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let (number, rest) = digits.split_at(end);
        // What follows a unit counts for nothing, as long as the unit's name has ended.
        let name = rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default();
        let (Ok(number), Some(length)) = (number.parse::<f64>(), milliseconds(name, &options)?) else {
            return Err(fail(format!("'{text}' cannot be read as a duration")));
        };
        total += if word.starts_with('-') { -number } else { number } * length;
    }
    let rounded = format!("{:.12}", total / per);
    Ok(Jinja::from(rounded.parse::<f64>().unwrap_or(total / per)))
}
