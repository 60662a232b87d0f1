//! `community.general.lvol`: logical volumes, snapshots and thin pools.

use schemars::JsonSchema;
use serde::Deserialize;

use super::lvm::{self, program, refused, report, rows, run};
use crate::args::{Presence as State, yes};
use crate::host::{Command, Host};
use crate::module::{Failure, Module, Outcome};

/// Makes, resizes and removes logical volumes.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Lvol {
    /// The volume group.
    vg: String,
    /// The volume; the origin of a snapshot.
    #[serde(default)]
    lv: Option<String>,
    /// The size: a number with a unit (megabytes without one), or so many percent of `VG`, `PVS`, `FREE` or `ORIGIN`; with
    /// `+` or `-` by how much it changes.
    #[serde(default)]
    size: Option<String>,
    /// Whether it should be there.
    #[serde(default)]
    state: State,
    /// Whether it is active.
    #[serde(default = "yes")]
    active: bool,
    /// Whether volumes are removed and made smaller.
    #[serde(default)]
    force: bool,
    /// Further options of lvcreate.
    #[serde(default)]
    opts: Option<String>,
    /// The snapshot of `lv`.
    #[serde(default)]
    snapshot: Option<String>,
    /// The devices that it lies on.
    #[serde(default)]
    pvs: Option<Vec<String>>,
    /// The thin pool, or, with `lv`, the one that the volume is in.
    #[serde(default)]
    thinpool: Option<String>,
    /// Whether a volume that is larger than `size` is made smaller.
    #[serde(default = "yes")]
    shrink: bool,
    /// Whether the file system changes its size with the volume.
    #[serde(default)]
    resizefs: bool,
}

/// A size as the task has it.
#[derive(Debug, Clone, PartialEq)]
struct Size {
    sign: Option<char>,
    number: f64,
    unit: Unit,
    /// Number and unit, as LVM takes them.
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Unit {
    /// So many bytes each.
    Bytes(f64),
    /// Percent of something.
    PercentOf(&'static str),
}

/// The letters of units, with their bytes.
const UNITS: &[(char, f64)] = &[
    ('b', 1.0),
    ('s', 512.0),
    ('k', 1024.0),
    ('m', 1_048_576.0),
    ('g', 1_073_741_824.0),
    ('t', 1_099_511_627_776.0),
    ('p', 1_125_899_906_842_624.0),
    ('e', 1_152_921_504_606_846_976.0),
];

impl Size {
    fn parse(text: &str) -> Result<Self, String> {
        let sign = text.chars().next().filter(|c| matches!(c, '+' | '-'));
        let plain = text.trim_start_matches(['+', '-']);
        if let Some((number, of)) = plain.split_once('%') {
            let number: u32 = number.parse().map_err(|_| format!("Bad size specification of '{text}'"))?;
            if number > 100 {
                return Err("Size percentage cannot be larger than 100%".to_owned());
            }
            let known = ["VG", "PVS", "FREE", "ORIGIN"].into_iter().find(|known| *known == of);
            let of = known.ok_or("Specify extents as a percentage of VG|PVS|FREE|ORIGIN")?;
            let text = format!("{number}%{of}");
            return Ok(Self { sign, number: number.into(), unit: Unit::PercentOf(of), text });
        }
        let bad = || format!("Bad size specification of '{plain}'");
        let digits = plain.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(plain.len());
        let (number, unit) = plain.split_at(digits);
        let value: f64 = number.parse().map_err(|_| bad())?;
        if !number.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(bad());
        }
        let letter = match unit {
            "" => 'm',
            one if one.chars().count() == 1 => one.chars().next().unwrap_or('m'),
            _ => return Err(bad()),
        };
        let (_, bytes) = UNITS.iter().find(|(known, _)| *known == letter.to_ascii_lowercase()).ok_or_else(bad)?;
        let text = format!("{number}{letter}");
        Ok(Self { sign, number: value, unit: Unit::Bytes(*bytes), text })
    }

    /// The option that says it, and its value.
    fn words(&self, signed: bool) -> [String; 2] {
        let option = if matches!(self.unit, Unit::PercentOf(_)) { "-l" } else { "-L" };
        let sign = self.sign.filter(|_| signed).map(String::from).unwrap_or_default();
        [option.to_owned(), sign + &self.text]
    }

    /// The bytes of the letter, to tell sizes in it.
    fn letter(&self) -> f64 {
        match self.unit {
            Unit::Bytes(bytes) => bytes,
            Unit::PercentOf(_) => 1_048_576.0,
        }
    }
}

/// A volume that is there; numbers are bytes.
#[derive(Debug, Clone, PartialEq)]
struct Volume {
    name: String,
    size: f64,
    active: bool,
    /// Whether it lies in a thin pool.
    thin: bool,
}

/// A volume group.
#[derive(Debug, Clone, Copy)]
struct Group {
    size: f64,
    free: f64,
    extent: f64,
    /// The size of the origin of a snapshot; other volumes have at most all of the group.
    origin: f64,
}

impl Module for Lvol {
    const NAME: &'static str = "community.general.lvol";

    fn check(&self) -> Result<(), String> {
        lvm::check_name("vg", &self.vg)?;
        for (arg, name) in [("lv", &self.lv), ("snapshot", &self.snapshot), ("thinpool", &self.thinpool)] {
            name.as_deref().map_or(Ok(()), |name| lvm::check_name(arg, name))?;
        }
        if self.lv.is_none() && self.thinpool.is_none() {
            return Err("one of the following is required: lv, thinpool".to_owned());
        }
        if self.snapshot.is_some() && self.thinpool.is_some() {
            return Err("Snapshots of thin pool LVs are not supported.".to_owned());
        }
        if self.snapshot.is_some() && self.lv.is_none() {
            return Err("snapshot needs lv, which it is of".to_owned());
        }
        if let Some(pv) = self.pvs.iter().flatten().find(|pv| pv.starts_with('-')) {
            return Err(format!("'{pv}' is not a device"));
        }
        lvm::options("opts", self.opts.as_deref())?;
        self.size.as_deref().map_or(Ok(()), |size| Size::parse(size).map(drop))
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let size = self.size.as_deref().map(Size::parse).transpose().map_err(Failure::new)?;
        let call = Call { args: &self, host, size };
        let said = report(host, "vgs", "vg_name,vg_size,vg_free,vg_extent_size", &[&self.vg])?;
        if said.rc != 0 {
            let msg = format!("Volume group {} does not exist.", self.vg);
            return match self.state {
                State::Absent => Ok(Outcome::unchanged().with("stdout", msg)),
                State::Present => Err(refused(msg, &said)),
            };
        }
        let text = said.stdout_text();
        let numbers: Vec<f64> =
            rows(&text).next().unwrap_or_default().iter().skip(1).filter_map(|word| word.parse().ok()).collect();
        let [size, free, extent] = numbers.as_slice() else {
            return Err(Failure::new(format!("cannot read what vgs says of {}", self.vg)));
        };
        let volumes = call.volumes()?;
        let there = |name: &str| volumes.iter().find(|volume| volume.name == name);
        let origin = match (&self.snapshot, &self.lv) {
            (Some(_), Some(origin)) => Some(there(origin).ok_or_else(|| {
                Failure::new(format!("Snapshot origin LV {origin} does not exist in volume group {}.", self.vg))
            })?),
            _ => None,
        };
        let origin_size = origin.map_or(*size, |origin| origin.size);
        let group = Group { size: *size, free: *free, extent: extent.max(1.0), origin: origin_size };
        if let (Some(pool), Some(_)) = (&self.thinpool, &self.lv)
            && there(pool).is_none()
        {
            return Err(Failure::new(format!("Thin pool LV {pool} does not exist in volume group {}.", self.vg)));
        }
        match (self.state, there(call.name())) {
            (State::Absent, None) => Ok(Outcome::unchanged().with("msg", "")),
            (State::Absent, Some(volume)) => call.remove(volume),
            (State::Present, None) if self.size.is_none() && !origin.is_some_and(|origin| origin.thin) => {
                Err(Failure::new("No size given."))
            }
            (State::Present, None) => call.make(),
            (State::Present, Some(volume)) => call.settle(volume, group),
        }
    }
}

/// A call with its size read.
struct Call<'a> {
    args: &'a Lvol,
    host: &'a Host,
    size: Option<Size>,
}

impl Call<'_> {
    /// The volume that is meant: a snapshot, a volume or a pool.
    fn name(&self) -> &str {
        let args = self.args;
        args.snapshot.as_deref().or(args.lv.as_deref()).or(args.thinpool.as_deref()).unwrap_or_default()
    }

    fn path(&self) -> String {
        format!("{}/{}", self.args.vg, self.name())
    }

    fn volumes(&self) -> Result<Vec<Volume>, Failure> {
        let said = report(self.host, "lvs", "lv_name,lv_size,lv_attr", &["-a", &self.args.vg])?.stdout_text();
        let volume = |row: Vec<&str>| {
            let [name, size, attr, ..] = row.as_slice() else { return None };
            // Those that LVM keeps for itself are in brackets.
            let name = name.trim_matches(['[', ']']).to_owned();
            let active = attr.chars().nth(4) == Some('a');
            Some(Volume { name, size: size.parse().ok()?, active, thin: attr.starts_with('V') })
        };
        Ok(rows(&said).filter_map(volume).collect())
    }

    /// Runs a command, or, in check mode, lets LVM say whether it could.
    fn attempt(&self, name: &str, words: &[String], msg: impl FnOnce() -> String) -> Result<(), Failure> {
        let command = |test: bool| -> Result<Command, Failure> {
            Ok(program(self.host, name)?.args(test.then_some("--test")).args(words))
        };
        if !self.host.check_mode() {
            return run(self.host, &command(false)?, msg);
        }
        let output = self.host.query(&command(true)?)?;
        if output.rc == 0 { Ok(()) } else { Err(refused(msg(), &output)) }
    }

    fn remove(&self, volume: &Volume) -> Result<Outcome, Failure> {
        if !self.args.force {
            let msg = format!("Sorry, no removal of logical volume {} without force=true.", volume.name);
            return Err(Failure::new(msg));
        }
        let words = ["--force".to_owned(), self.path()];
        self.attempt("lvremove", &words, || format!("Failed to remove logical volume {}", volume.name))?;
        Ok(Outcome::new(true))
    }

    fn make(&self) -> Result<Outcome, Failure> {
        let args = self.args;
        let thin = args.thinpool.as_deref();
        if let Some(size) = self.size.as_ref().filter(|size| size.sign == Some('-')) {
            return Err(Failure::new(format!("Bad size specification of '-{}' for creating LV", size.text)));
        }
        let percent = self.size.as_ref().is_some_and(|size| matches!(size.unit, Unit::PercentOf(_)));
        if thin.is_some() && args.lv.is_some() && percent {
            return Err(Failure::new("Thin volume sizing with percentage not supported."));
        }
        let mut words = vec!["--yes".to_owned()];
        let size = self.size.as_ref().map(|size| size.words(false));
        let opts = lvm::options("opts", args.opts.as_deref()).map_err(Failure::new)?;
        match (&args.lv, &args.snapshot, thin) {
            (Some(origin), Some(snapshot), _) => {
                words.extend(size.into_iter().flatten());
                words.extend(["-s", "-n", snapshot].map(ToOwned::to_owned));
                words.extend(opts);
                words.push(format!("{}/{origin}", args.vg));
            }
            (Some(lv), None, Some(pool)) => {
                words.extend(["-n", lv, "-V"].map(ToOwned::to_owned));
                words.extend(size.map(|[_, value]| value));
                words.extend(opts);
                words.extend(["-T".to_owned(), format!("{}/{pool}", args.vg)]);
            }
            (None, _, Some(pool)) => {
                words.extend(size.into_iter().flatten());
                words.extend(opts);
                words.extend(["-T".to_owned(), format!("{}/{pool}", args.vg)]);
            }
            _ => {
                words.extend(["-n".to_owned(), self.name().to_owned()]);
                words.extend(size.into_iter().flatten());
                words.extend(opts);
                words.push(args.vg.clone());
            }
        }
        words.extend(args.pvs.iter().flatten().cloned());
        self.attempt("lvcreate", &words, || format!("Creating logical volume '{}' failed", self.name()))?;
        if !args.active {
            self.activate()?;
        }
        Ok(Outcome::new(true).with("msg", ""))
    }

    /// Resizes and activates a volume that is there.
    fn settle(&self, volume: &Volume, group: Group) -> Result<Outcome, Failure> {
        let mut changed = match &self.size {
            Some(size) => self.resize(volume, group, size)?,
            None => false,
        };
        if volume.active != self.args.active {
            self.activate()?;
            changed = true;
        }
        let letter = self.size.as_ref().map_or(1_048_576.0, Size::letter);
        let told = (volume.size / letter * 100.0).round() / 100.0;
        Ok(Outcome::new(changed).with("vg", self.args.vg.as_str()).with("lv", volume.name.as_str()).with("size", told))
    }

    fn resize(&self, volume: &Volume, group: Group, size: &Size) -> Result<bool, Failure> {
        let share = |of: f64| of * size.number / 100.0;
        let mut wanted = match size.unit {
            Unit::Bytes(bytes) => (size.number * bytes / group.extent).ceil() * group.extent,
            Unit::PercentOf("FREE") => share(group.free),
            Unit::PercentOf("ORIGIN") => share(group.origin),
            Unit::PercentOf(_) => share(group.size),
        };
        match size.sign {
            Some('+') => wanted += volume.size,
            Some(_) => wanted = volume.size - wanted,
            None => {}
        }
        // What percent come to is rounded to whole extents.
        let grain = if matches!(size.unit, Unit::PercentOf(_)) { group.extent } else { 1.0 };
        if (wanted - volume.size).abs() < grain {
            return Ok(false);
        }
        let grows = wanted > volume.size;
        let mut words = Vec::new();
        if !grows {
            if !self.args.shrink {
                return Ok(false);
            }
            if wanted <= 0.0 {
                return Err(Failure::new(format!("Sorry, no shrinking of {} to nothing permitted.", volume.name)));
            }
            if !self.args.force {
                return Err(Failure::new(format!("Sorry, no shrinking of {} without force=true.", volume.name)));
            }
            words.push("--force".to_owned());
        }
        if self.args.resizefs {
            words.push("--resizefs".to_owned());
        }
        words.extend(size.words(true));
        words.push(self.path());
        words.extend(self.args.pvs.iter().flatten().filter(|_| grows).cloned());
        let name = if grows { "lvextend" } else { "lvreduce" };
        self.attempt(name, &words, || format!("Unable to resize {} to {}", volume.name, size.text))?;
        Ok(true)
    }

    fn activate(&self) -> Result<(), Failure> {
        let option = if self.args.active { "-ay" } else { "-an" };
        let change = program(self.host, "lvchange")?.arg(option).arg(self.path());
        run(self.host, &change, || format!("Failed to change the activation of logical volume {}", self.name()))
    }
}

#[cfg(test)]
#[path = "lvol_tests.rs"]
mod tests;
