//! Access and modification times as the arguments write them.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::Report;
use crate::host::Host;
use crate::module::Failure;

/// The way times are written when nothing else is said.
pub(super) fn default_format() -> String {
    "%Y%m%d%H%M.%S".to_owned()
}

/// What should become of one time.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Time {
    Preserve,
    Now,
    At(SystemTime),
}

/// What should become of a file's times.
pub(super) struct Times {
    access: Time,
    modification: Time,
}

impl Times {
    /// Reads both times with their formats; what is not said is `now` for `touch`, else `preserve`.
    pub(super) fn new(
        access: (Option<&str>, &str),
        modification: (Option<&str>, &str),
        touch: bool,
    ) -> Result<Self, Failure> {
        let default = if touch { Time::Now } else { Time::Preserve };
        let read = |(text, format): (Option<&str>, &str)| match text {
            None => Ok(default),
            Some("preserve") => Ok(Time::Preserve),
            Some("now") => Ok(Time::Now),
            Some(text) => parse(text, format).map(Time::At),
        };
        Ok(Self { access: read(access)?, modification: read(modification)? })
    }

    /// Sets the times of `path` and tells what differed.
    pub(super) fn set(&self, host: &Host, path: &Path, report: &mut Report) -> Result<(), Failure> {
        if (self.access, self.modification) == (Time::Preserve, Time::Preserve) {
            return Ok(());
        }
        let now = SystemTime::now();
        let wanted = |time: Time| match time {
            Time::Preserve => None,
            Time::Now => Some(now),
            Time::At(at) => Some(at),
        };
        let (mut access, mut modification) = (wanted(self.access), wanted(self.modification));
        match host.stat(path)? {
            Some(meta) => {
                modification = modification.filter(|t| meta.modified().ok() != Some(*t));
                access = access.filter(|t| meta.accessed().ok() != Some(*t));
                if let (Some(new), Ok(old)) = (modification, meta.modified()) {
                    report.differs("mtime", seconds(old), seconds(new));
                }
                if let (Some(new), Ok(old)) = (access, meta.accessed()) {
                    report.differs("atime", seconds(old), seconds(new));
                }
            }
            None if host.check_mode() => return Ok(()),
            None => {}
        }
        if access.is_some() || modification.is_some() {
            report.changed = true;
            host.set_times(path, access, modification)?;
        }
        Ok(())
    }
}

/// Seconds since the epoch as Python's `st_mtime` has them.
fn seconds(time: SystemTime) -> Value {
    let number = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    };
    Value::from(number)
}

fn parse(text: &str, format: &str) -> Result<SystemTime, Failure> {
    let bad =
        |e: String| Failure::new(format!("Error while obtaining timestamp for time {text} using format {format}: {e}"));
    let parts = jiff::fmt::strtime::parse(format, text).map_err(|e| bad(e.to_string()))?;
    if let Ok(timestamp) = parts.to_timestamp() {
        return Ok(SystemTime::from(timestamp));
    }
    // As in Python, a month or a day that is not written is the first one.
    let date = match (parts.to_date(), parts.year()) {
        (Ok(date), _) => date,
        (Err(error), None) => return Err(bad(error.to_string())),
        (Err(_), Some(year)) => jiff::civil::Date::new(year, parts.month().unwrap_or(1), parts.day().unwrap_or(1))
            .map_err(|e| bad(e.to_string()))?,
    };
    let time = parts.to_time().unwrap_or_default();
    let zoned = date.to_datetime(time).to_zoned(jiff::tz::TimeZone::system()).map_err(|e| bad(e.to_string()))?;
    let second = zoned.timestamp().as_second();
    Ok(match u64::try_from(second) {
        Ok(after) => UNIX_EPOCH + Duration::from_secs(after),
        Err(_) => UNIX_EPOCH - Duration::from_secs(second.unsigned_abs()),
    })
}
