//! `community.general.timezone`: the time zone of the host and of its hardware clock.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::files;
use crate::host::{Command, Diff, Host, WriteOptions};
use crate::module::{Failure, Module, Outcome};

/// Sets the time zone, and whether the hardware clock has local time.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Timezone {
    /// The time zone, as in `Europe/Berlin`.
    #[serde(default)]
    name: Option<String>,
    /// What the hardware clock has.
    #[serde(default, alias = "rtc")]
    hwclock: Option<Clock>,
}

/// What the hardware clock has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
enum Clock {
    #[serde(rename = "local")]
    Local,
    #[serde(rename = "UTC")]
    Utc,
}

impl Clock {
    fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Utc => "UTC",
        }
    }
}

const ZONES: &str = "/usr/share/zoneinfo";
const LINK: &str = "/etc/localtime";
const NAME: &str = "/etc/timezone";

impl Module for Timezone {
    const NAME: &'static str = "community.general.timezone";

    fn check(&self) -> Result<(), String> {
        let Some(name) = &self.name else {
            return match self.hwclock {
                Some(_) => Ok(()),
                None => Err("one of the following is required: hwclock, name".to_owned()),
            };
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
        let odd = name.is_empty() || name.starts_with(['-', '/']) || !name.chars().all(plain);
        if odd { Err(format!("'{name}' is not the name of a time zone")) } else { Ok(()) }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let systemd = host.exists(Path::new("/run/systemd/system"))? && host.find_program("timedatectl").is_some();
        let (mut before, mut after) = (Map::new(), Map::new());
        let (mut changed, mut ran) = (false, Vec::new());
        if let Some(name) = &self.name {
            if !host.stat(&Path::new(ZONES).join(name))?.is_some_and(|meta| meta.is_file()) {
                return Err(Failure::new(format!("given timezone \"{name}\" is not available")));
            }
            let held = current(host, systemd)?;
            if held.as_ref() != Some(name) {
                changed = true;
                ran.extend(self.set(host, name, systemd)?);
            }
            before.insert("name".to_owned(), held.into());
            after.insert("name".to_owned(), name.clone().into());
        }
        if let Some(clock) = self.hwclock {
            let held = self.clock(host, systemd);
            if held != Some(clock) {
                changed = true;
                ran.extend(self.set_clock(host, clock, systemd)?);
            }
            before.insert("hwclock".to_owned(), held.map(Clock::word).into());
            after.insert("hwclock".to_owned(), clock.word().into());
        }
        let mut outcome = Outcome::new(changed);
        if !ran.is_empty() {
            outcome
                .set("msg", ran.iter().map(|command| format!("executed `{command}`")).collect::<Vec<_>>().join("\n"));
        }
        Ok(outcome.with_diff(Diff::values(Value::Object(before), Value::Object(after))))
    }
}

impl Timezone {
    fn set(&self, host: &Host, name: &str, systemd: bool) -> Result<Option<String>, Failure> {
        if systemd {
            // Where the distribution wants the name in a file too, timedated keeps it.
            return ran(host, Command::new(host.require_program("timedatectl")?).args(["set-timezone", name]));
        }
        host.make_symlink(Path::new(LINK), &Path::new(ZONES).join(name))?;
        if host.exists(Path::new(NAME))? {
            files::write_through(host, Path::new(NAME), format!("{name}\n"), &WriteOptions::default())?;
        }
        Ok(None)
    }

    /// What the hardware clock has, by the file where its drift is kept.
    fn clock(&self, host: &Host, systemd: bool) -> Option<Clock> {
        match host.text("/etc/adjtime").as_deref().and_then(|text| text.lines().nth(2)).map(str::trim) {
            Some("LOCAL") => Some(Clock::Local),
            Some("UTC") => Some(Clock::Utc),
            _ => systemd.then_some(Clock::Utc),
        }
    }

    fn set_clock(&self, host: &Host, clock: Clock, systemd: bool) -> Result<Option<String>, Failure> {
        let command = if systemd {
            Command::new(host.require_program("timedatectl")?)
                .args(["set-local-rtc", if clock == Clock::Local { "1" } else { "0" }])
        } else {
            let option = if clock == Clock::Local { "--localtime" } else { "--utc" };
            Command::new(host.require_program("hwclock")?).args(["--systohc", option])
        };
        ran(host, command)
    }
}

/// Runs a command, which must go well; gives its line, but in check mode nothing.
fn ran(host: &Host, command: Command) -> Result<Option<String>, Failure> {
    Ok(host.run_ok(&command.clone().c_locale())?.map(|_| command.words().join(" ")))
}

/// The name of the time zone: that of the link where systemd runs, elsewhere the one that Debian's file agrees on.
fn current(host: &Host, systemd: bool) -> Result<Option<String>, Failure> {
    let link = Path::new(LINK);
    let file = host.text(NAME).map(|text| text.trim().to_owned());
    if host.lstat(link)?.is_none_or(|meta| !meta.is_symlink()) {
        return Ok(file);
    }
    let target = host.read_link(link)?;
    let parts: Vec<_> = target.iter().collect();
    let zones = parts.iter().rposition(|part| *part == "zoneinfo");
    let linked = zones.map(|at| files::text(&parts[at + 1..].iter().collect::<PathBuf>()));
    Ok(match file {
        // One of them is wrong: it is set again.
        Some(file) if !systemd && Some(&file) != linked.as_ref() => {
            Some(format!("{} ({NAME}: {file})", linked.unwrap_or_default()))
        }
        _ => linked,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::stage::Stage;
    use super::*;

    fn stage() -> Stage {
        let stage = Stage::new(&[
            ("/usr/share/zoneinfo/Etc/UTC", ""),
            ("/usr/share/zoneinfo/Europe/Berlin", ""),
            (NAME, "Etc/UTC\n"),
        ]);
        stage.host().make_symlink(Path::new(LINK), Path::new("../usr/share/zoneinfo/Etc/UTC")).unwrap();
        stage.program("timedatectl", "").program("hwclock", "");
        stage
    }

    #[test]
    fn the_zone_is_set_once() {
        let stage = stage();
        let args = json!({"name": "Europe/Berlin"});
        assert!(stage.check::<Timezone>(args.clone()).unwrap().changed);
        assert_eq!(stage.text(NAME), "Etc/UTC\n");
        let made = stage.call::<Timezone>(args.clone()).unwrap();
        assert!(made.changed);
        assert_eq!(made.diffs[0].clone().into_sides(), (json!({"name": "Etc/UTC"}), args.clone()));
        assert_eq!(stage.text(NAME), "Europe/Berlin\n");
        let target = stage.host().read_link(Path::new(LINK)).unwrap();
        assert_eq!(target, Path::new("/usr/share/zoneinfo/Europe/Berlin"));
        assert!(!stage.call::<Timezone>(args.clone()).unwrap().changed);
        stage.file(NAME, "Etc/UTC\n");
        assert!(stage.call::<Timezone>(args).unwrap().changed, "the file and the link do not agree");
        assert_eq!(stage.calls(), [""; 0]);
    }

    #[test]
    fn systemd_is_asked_where_it_runs() {
        let stage = stage();
        assert!(stage.call::<Timezone>(json!({"hwclock": "UTC"})).unwrap().changed);
        assert_eq!(stage.calls(), ["hwclock [--systohc] [--utc]"]);
        stage.file("/run/systemd/system/x", "");
        assert!(!stage.call::<Timezone>(json!({"hwclock": "UTC"})).unwrap().changed);
        assert!(stage.call::<Timezone>(json!({"rtc": "local", "name": "Europe/Berlin"})).unwrap().changed);
        assert_eq!(stage.calls(), ["timedatectl [set-timezone] [Europe/Berlin]", "timedatectl [set-local-rtc] [1]"]);
        stage.file("/etc/adjtime", "0.0 0 0.0\n0\nLOCAL\n");
        assert!(!stage.call::<Timezone>(json!({"hwclock": "local"})).unwrap().changed);
    }

    #[test]
    fn what_is_no_zone_is_refused() {
        for (args, word) in [
            (json!({"name": "No/Zone"}), "is not available"),
            (json!({"name": "../../etc/passwd"}), "not the name"),
            (json!({}), "one of the following"),
        ] {
            assert!(stage().call::<Timezone>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
