//! Dates: the filters `strftime` and `to_datetime`, the function `now`, and what can be done with their results.

use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use minijinja::value::{Kwargs, Object, ObjectRepr, from_args};
use minijinja::{Environment, Error, ErrorKind, State, Value as Jinja};

use super::call::{Call, Spec, ansible, fail, inner, to_float};
use super::compare::RENDERING;
use super::python;
use crate::value::Value;

pub(super) const FILTERS: &[Spec] = &[
    ansible(&["strftime"], &["string_format", "second", "utc"], strftime),
    ansible(&["to_datetime"], &["string", "format"], to_datetime),
];

pub(super) const FUNCTIONS: &[Spec] = &[ansible(&["now"], &["utc", "fmt"], now)];

/// The filter that stands for `-` in templates that deal with dates.
pub(super) const MINUS: &str = "__minus";

pub(super) fn add_to(env: &mut Environment<'static>) {
    env.add_filter(MINUS, minus);
}

fn zone(utc: bool) -> TimeZone {
    if utc { TimeZone::UTC } else { TimeZone::system() }
}

fn format(pattern: &str, time: &Zoned) -> Result<String, Error> {
    // Python's %f has six digits.
    let pattern = pattern.replace("%f", "%6f").replace("%x", "%m/%d/%y").replace("%X", "%H:%M:%S");
    jiff::fmt::strtime::format(&pattern, time)
        .map_err(|e| fail(format!("cannot read the time format '{pattern}': {e}")))
}

/// What Python's own functions call a type.
fn named(value: &Value) -> &'static str {
    if value.is_null() { "None" } else { inner(super::python_type(value)) }
}

fn strftime(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let timestamp = match call.option(1)? {
        None => Timestamp::now(),
        Some(second) => {
            let bad = |_| fail(format!("Invalid value for epoch value ({})", super::python::text(&second)));
            let seconds = to_float(&second).map_err(bad)?;
            Timestamp::from_second(seconds.floor() as i64).map_err(|e| fail(e.to_string()))?
        }
    };
    let utc = call.flag(2, false);
    let time = timestamp.to_zoned(zone(utc));
    match call.value(0)? {
        // The name that C has for the zone.
        Value::Str(pattern) if utc => format(&pattern.as_str().replace("%Z", "GMT"), &time).map(Jinja::from),
        Value::Str(pattern) => format(pattern.as_str(), &time).map(Jinja::from),
        other => Err(fail(format!("strftime() argument 1 must be str, not {}", named(&other)))),
    }
}

fn to_datetime(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let text = match call.value(0)? {
        Value::Str(text) => text.as_str().to_owned(),
        other => return Err(fail(format!("strptime() argument 1 must be str, not {}", named(&other)))),
    };
    let pattern = call.text_option(1)?.unwrap_or_else(|| "%Y-%m-%d %H:%M:%S".to_owned());
    let wrong =
        || fail(format!("time data {} does not match format {}", python::quoted(&text), python::quoted(&pattern)));
    let parsed = jiff::fmt::strtime::parse(&pattern, &text).map_err(|_| wrong())?;
    let offset = parsed.offset();
    // What a format leaves out is that of 1900-01-01 at midnight.
    let year = parsed.year().unwrap_or(1900);
    let (month, day) = (parsed.month().unwrap_or(1), parsed.day().unwrap_or(1));
    let time = |part: Option<i8>| part.unwrap_or(0);
    let nanosecond = parsed.subsec_nanosecond().unwrap_or(0);
    let datetime = match parsed.to_datetime() {
        Ok(datetime) => datetime,
        Err(_) => DateTime::new(
            year,
            month,
            day,
            time(parsed.hour()),
            time(parsed.minute()),
            time(parsed.second()),
            nanosecond,
        )
        .map_err(|_| wrong())?,
    };
    Ok(Jinja::from_object(Moment { datetime, offset }))
}

fn now(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let time = Timestamp::now().to_zoned(zone(call.flag(0, false)));
    match call.text_option(1)? {
        Some(pattern) => format(&pattern, &time).map(Jinja::from),
        None => Ok(Jinja::from_object(Moment { datetime: time.datetime(), offset: None })),
    }
}

/// Python's `datetime`.
#[derive(Debug)]
struct Moment {
    datetime: DateTime,
    offset: Option<jiff::tz::Offset>,
}

impl Moment {
    fn zoned(&self) -> Result<Zoned, Error> {
        let zone = self.offset.map_or_else(TimeZone::system, TimeZone::fixed);
        self.datetime.to_zoned(zone).map_err(|e| fail(e.to_string()))
    }

    /// Microseconds since some fixed point, comparable among moments of one kind.
    fn micros(&self) -> i128 {
        let offset = self.offset.map_or(0, |o| i128::from(o.seconds()));
        let utc = self.datetime.to_zoned(TimeZone::UTC).map_or(0, |z| z.timestamp().as_microsecond().into());
        utc - offset * 1_000_000
    }

    /// The same moment with some parts changed, which are named.
    fn replaced(&self, args: &[Jinja]) -> Result<Jinja, Error> {
        let (named,): (Kwargs,) = from_args(args)?;
        let mut with = self.datetime.with();
        for name in named.args() {
            let part: i64 = named.peek(name)?;
            let small = i8::try_from(part).unwrap_or(-1);
            with = match name {
                "year" => with.year(i16::try_from(part).unwrap_or(i16::MAX)),
                "month" => with.month(small),
                "day" => with.day(small),
                "hour" => with.hour(small),
                "minute" => with.minute(small),
                "second" => with.second(small),
                "microsecond" => with.subsec_nanosecond(i32::try_from(part * 1000).unwrap_or(-1)),
                other => {
                    let message = format!("replace() got an unexpected keyword argument '{other}'");
                    return Err(fail(format!("{RENDERING}{message}")));
                }
            };
        }
        let datetime = with.build().map_err(|e| fail(format!("{RENDERING}{e}")))?;
        Ok(Jinja::from_object(Self { datetime, offset: self.offset }))
    }

    fn text(&self, separator: &str) -> String {
        let pattern = format!("%Y-%m-%d{separator}%H:%M:%S");
        let mut out = self.datetime.strftime(&pattern).to_string();
        let micros = self.datetime.subsec_nanosecond() / 1000;
        if micros != 0 {
            out.push_str(&format!(".{micros:06}"));
        }
        if let Some(offset) = self.offset {
            let seconds = offset.seconds();
            let sign = if seconds < 0 { '-' } else { '+' };
            let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() / 60 % 60);
            out.push_str(&format!("{sign}{hours:02}:{minutes:02}"));
        }
        out
    }
}

impl Object for Moment {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        let d = &self.datetime;
        Some(match key.as_str()? {
            "year" => Jinja::from(d.year()),
            "month" => Jinja::from(d.month()),
            "day" => Jinja::from(d.day()),
            "hour" => Jinja::from(d.hour()),
            "minute" => Jinja::from(d.minute()),
            "second" => Jinja::from(d.second()),
            // Text has a space there, a value that is kept a letter.
            crate::value::STORED => Jinja::from(Jinja::from_dyn_object(self.clone()).to_string().replacen(' ', "T", 1)),
            "microsecond" => Jinja::from(d.subsec_nanosecond() / 1000),
            _ => return None,
        })
    }
    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, name: &str, args: &[Jinja]) -> Result<Jinja, Error> {
        match name {
            "strftime" => {
                let (pattern,): (&str,) = from_args(args)?;
                format(pattern, &self.zoned()?).map(Jinja::from)
            }
            "timestamp" => {
                let micros = self.zoned()?.timestamp().as_microsecond();
                Ok(Jinja::from(micros as f64 / 1e6))
            }
            "isoformat" => {
                let (separator,): (Option<&str>,) = from_args(args)?;
                Ok(Jinja::from(self.text(separator.unwrap_or("T"))))
            }
            "date" => Ok(Jinja::from(self.datetime.date().to_string())),
            "time" => Ok(Jinja::from(self.datetime.time().strftime("%H:%M:%S").to_string())),
            "ctime" => Ok(Jinja::from(self.datetime.strftime("%a %b %e %H:%M:%S %Y").to_string())),
            "isocalendar" => {
                let week = self.datetime.date().iso_week_date();
                let day = i64::from(self.datetime.weekday().to_monday_one_offset());
                Ok(Jinja::from(vec![i64::from(week.year()), i64::from(week.week()), day]))
            }
            "replace" => self.replaced(args),
            "weekday" => Ok(Jinja::from(self.datetime.weekday().to_monday_zero_offset())),
            "isoweekday" => Ok(Jinja::from(self.datetime.weekday().to_monday_one_offset())),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
    fn custom_cmp(self: &Arc<Self>, other: &minijinja::value::DynObject) -> Option<std::cmp::Ordering> {
        Some(self.micros().cmp(&other.downcast_ref::<Self>()?.micros()))
    }
    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text(" "))
    }
}

/// Python's `timedelta`, in microseconds.
#[derive(Debug)]
struct Delta(i128);

const DAY: i128 = 86_400_000_000;

impl Object for Delta {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        let within = self.0.rem_euclid(DAY);
        let part = match key.as_str()? {
            "days" => self.0.div_euclid(DAY),
            "seconds" => within / 1_000_000,
            "microseconds" => within % 1_000_000,
            _ => return None,
        };
        Some(Jinja::from(i64::try_from(part).unwrap_or(i64::MAX)))
    }
    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, name: &str, _: &[Jinja]) -> Result<Jinja, Error> {
        match name {
            "total_seconds" => Ok(Jinja::from(self.0 as f64 / 1e6)),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
    fn custom_cmp(self: &Arc<Self>, other: &minijinja::value::DynObject) -> Option<std::cmp::Ordering> {
        Some(self.0.cmp(&other.downcast_ref::<Self>()?.0))
    }
    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let days = self.0.div_euclid(DAY);
        let seconds = self.0.rem_euclid(DAY) / 1_000_000;
        let micros = self.0.rem_euclid(1_000_000);
        if days != 0 {
            write!(f, "{days} day{}, ", if days.abs() == 1 { "" } else { "s" })?;
        }
        write!(f, "{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
        if micros != 0 { write!(f, ".{micros:06}") } else { Ok(()) }
    }
}

/// What Python calls the type of a date or of the time between two, if it is one.
pub(super) fn kind(value: &Jinja) -> Option<&'static str> {
    match (value.downcast_object_ref::<Moment>(), value.downcast_object_ref::<Delta>()) {
        (Some(_), _) => Some("datetime"),
        (_, Some(_)) => Some("timedelta"),
        _ => None,
    }
}

fn minus(left: &Jinja, right: &Jinja) -> Result<Jinja, Error> {
    if let (Some(a), Some(b)) = (left.downcast_object_ref::<Moment>(), right.downcast_object_ref::<Moment>()) {
        if a.offset.is_some() != b.offset.is_some() {
            return Err(fail("can't subtract offset-naive and offset-aware datetimes"));
        }
        return Ok(Jinja::from_object(Delta(a.micros() - b.micros())));
    }
    if let (Some(a), Some(b)) = (left.downcast_object_ref::<Delta>(), right.downcast_object_ref::<Delta>()) {
        return Ok(Jinja::from_object(Delta(a.0 - b.0)));
    }
    if left.is_integer()
        && right.is_integer()
        && let (Some(a), Some(b)) = (left.as_i64(), right.as_i64())
    {
        return a.checked_sub(b).map(Jinja::from).ok_or_else(|| fail("the difference is too large"));
    }
    let number = |v: &Jinja| {
        f64::try_from(v.clone()).map_err(|_| {
            let (a, b) = (super::call::type_name(left), super::call::type_name(right));
            fail(format!("unsupported operand type(s) for -: '{a}' and '{b}'"))
        })
    };
    Ok(Jinja::from(number(left)? - number(right)?))
}
