//! `community.general.parted`: partitions, by the host's parted.

mod print;
mod size;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::operand;
use crate::args::PathArg;
use crate::host::{Command, Host, Output};
use crate::module::{Failure, Module, Outcome};

use print::{Disk, Partition};
use size::Size;

/// Makes, changes and removes partitions, and tells what there are.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Parted {
    /// The disk, or a file.
    device: PathArg,
    /// How new partitions are aligned.
    #[serde(default)]
    align: Align,
    /// The partition.
    #[serde(default)]
    number: Option<i64>,
    /// The unit that sizes are told in.
    #[serde(default = "kib")]
    unit: Unit,
    /// The kind of partition table; a disk with another gets a new one.
    #[serde(default)]
    label: Label,
    /// Where it begins.
    #[serde(default = "beginning")]
    part_start: String,
    /// Where it ends.
    #[serde(default = "end")]
    part_end: String,
    /// The kind of partition.
    #[serde(default)]
    part_type: PartType,
    /// The partition's name.
    #[serde(default)]
    name: Option<String>,
    /// The kind of file system that a new partition is noted to be for.
    #[serde(default)]
    fs_type: Option<String>,
    /// The flags that it has, and no others.
    #[serde(default)]
    flags: Option<Vec<String>>,
    /// What should be so.
    #[serde(default)]
    state: State,
    /// Whether a partition that is there is made to end at `part_end`.
    #[serde(default)]
    resize: bool,
}

fn kib() -> Unit {
    Unit::KiB
}

fn beginning() -> String {
    "0%".to_owned()
}

fn end() -> String {
    "100%".to_owned()
}

/// Declares the words of an argument.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
        enum $name { $($(#[$vmeta])* #[serde(rename = $word)] $variant),* }
        impl $name {
            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
    };
}

words! {
    /// How partitions are aligned.
    Align { Cylinder = "cylinder", Minimal = "minimal", None = "none", #[default] Optimal = "optimal", Undefined = "undefined" }
}
words! {
    /// A kind of partition table.
    Label {
        Aix = "aix", Amiga = "amiga", Bsd = "bsd", Dvh = "dvh", Gpt = "gpt", Loop = "loop", Mac = "mac",
        #[default] Msdos = "msdos", Pc98 = "pc98", Sun = "sun",
    }
}
words! {
    /// A kind of partition.
    PartType { Extended = "extended", Logical = "logical", #[default] Primary = "primary" }
}
words! {
    /// What should be so.
    State { Absent = "absent", #[default] Info = "info", Present = "present" }
}
words! {
    /// A unit of parted's.
    Unit {
        #[default] Sectors = "s", Bytes = "B", KB = "KB", KiB = "KiB", MB = "MB", MiB = "MiB", GB = "GB", GiB = "GiB",
        TB = "TB", TiB = "TiB", Percent = "%", Cylinders = "cyl", Chs = "chs", Compact = "compact",
    }
}

impl Module for Parted {
    const NAME: &'static str = "community.general.parted";

    fn check(&self) -> Result<(), String> {
        if self.state == State::Info {
            return Ok(());
        }
        match self.number {
            None => {
                let state = self.state.word();
                return Err(format!("state is {state} but all of the following are missing: number"));
            }
            Some(number) if number < 1 => return Err("The partition number must be greater then 0.".to_owned()),
            Some(_) => {}
        }
        if self.state == State::Absent {
            return Ok(());
        }
        for (arg, given) in [("part_start", &self.part_start), ("part_end", &self.part_end)] {
            Size::parse(arg, given)?;
        }
        // parted reads its words again: what has a space in it is several.
        let plain = |word: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || "_-()+.".contains(c);
            !word.is_empty() && !word.starts_with('-') && word.chars().all(fits)
        };
        let words = self.flags.iter().flatten().map(|flag| ("flags", flag));
        match words.chain(self.fs_type.iter().map(|kind| ("fs_type", kind))).find(|(_, word)| !plain(word)) {
            Some((arg, word)) => Err(format!("'{word}' is not a word for {arg}")),
            None => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let call = Call { args: &self, host, device: operand(host.path(&self.device)?) };
        let disk = call.print(self.unit.word())?;
        let number = self.number.unwrap_or_default();
        let (script, disk) = match self.state {
            State::Info => {
                let script = ["unit", self.unit.word(), "print"].map(ToOwned::to_owned).to_vec();
                return Ok(disk.tell(Outcome::unchanged()).with("script", script));
            }
            State::Absent => {
                let script = match disk.partition(number) {
                    Some(_) => vec!["rm".to_owned(), number.to_string()],
                    None => Vec::new(),
                };
                (script.clone(), call.carry_out(script, disk)?)
            }
            State::Present => {
                let mut script = call.places(&disk, number)?;
                let disk = call.carry_out(script.clone(), disk)?;
                let more = self.details(disk.partition(number), number);
                script.extend(more.iter().cloned());
                (script, call.carry_out(more, disk)?)
            }
        };
        Ok(disk.tell(Outcome::new(!script.is_empty())).with("script", script))
    }
}

impl Parted {
    /// What gives a partition its name and flags.
    fn details(&self, partition: Option<&Partition>, number: i64) -> Vec<String> {
        let mut script = Vec::new();
        let number = number.to_string();
        if let Some(name) = self.name.as_ref().filter(|name| partition.is_none_or(|p| p.name != **name)) {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            script.extend(["name".to_owned(), number.clone(), format!("\"{quoted}\"")]);
        }
        if let Some(flags) = &self.flags {
            let mut wanted: Vec<&str> = flags.iter().map(String::as_str).collect();
            // On a gpt the two are one.
            if self.label == Label::Gpt && wanted.contains(&"esp") && !wanted.contains(&"boot") {
                wanted.push("boot");
            }
            let held: Vec<&str> = partition.map(|p| p.flags.iter().map(String::as_str).collect()).unwrap_or_default();
            let mut set = |flag: &str, how: &str| {
                script.extend(["set", &number, flag, how].map(ToOwned::to_owned));
            };
            wanted.iter().filter(|flag| !held.contains(flag)).for_each(|flag| set(flag, "on"));
            held.iter().filter(|flag| !wanted.contains(flag)).for_each(|flag| set(flag, "off"));
        }
        if !script.is_empty() {
            script.splice(0..0, ["unit".to_owned(), self.unit.word().to_owned()]);
        }
        script
    }
}

/// A call with its device.
struct Call<'a> {
    args: &'a Parted,
    host: &'a Host,
    device: PathBuf,
}

impl Call<'_> {
    fn parted(&self) -> Result<Command, Failure> {
        Ok(Command::new(self.host.require_program("parted")?).c_locale())
    }

    fn print(&self, unit: &str) -> Result<Disk, Failure> {
        let command = self.parted()?.args(["-s", "-m"]).arg(&self.device).args(["--", "unit", unit, "print"]);
        let output = self.host.query(&command)?;
        // A disk without a table is one too.
        let empty = output.stderr_text().contains("unrecognised disk label");
        let disk = Disk::parse(&output.stdout_text(), unit).filter(|_| output.rc == 0 || empty);
        disk.ok_or_else(|| {
            failure("Error while getting device information with parted script:", &command, &output, true)
        })
    }

    /// What makes the table and the partition, or moves its end.
    fn places(&self, disk: &Disk, number: i64) -> Result<Vec<String>, Failure> {
        let args = self.args;
        let relabel = disk.table != args.label.word();
        let mut script = Vec::new();
        if relabel {
            script.extend(["mklabel".to_owned(), args.label.word().to_owned()]);
        }
        match disk.partition(number).filter(|_| !relabel) {
            None => {
                script.extend(["mkpart".to_owned(), args.part_type.word().to_owned()]);
                script.extend(args.fs_type.clone());
                script.extend([args.part_start.clone(), args.part_end.clone()]);
                script.splice(0..0, ["unit".to_owned(), args.unit.word().to_owned()]);
            }
            Some(_) if args.resize && !self.ends_there(number)? => {
                script.extend(["resizepart".to_owned(), number.to_string(), args.part_end.clone()]);
            }
            Some(_) => {}
        }
        Ok(script)
    }

    /// Whether a partition ends where it should, but for what alignment and the table's own place at the end take.
    fn ends_there(&self, number: i64) -> Result<bool, Failure> {
        let Ok(Size::Of(wanted)) = Size::parse("part_end", &self.args.part_end) else { return Ok(false) };
        let disk = self.print("B")?;
        let (Some(whole), Some(held)) = (disk.bytes(), disk.partition(number).and_then(|p| p.end_in_bytes())) else {
            return Ok(false);
        };
        Ok((wanted.in_bytes(whole, disk.logical_block) - (held + 1.0)).abs() < 1_048_576.0)
    }

    /// Runs a script, when there is one; gives the disk as it is then.
    fn carry_out(&self, script: Vec<String>, disk: Disk) -> Result<Disk, Failure> {
        if script.is_empty() {
            return Ok(disk);
        }
        let mut command = self.parted()?.arg("-s");
        if self.fixes()? {
            command = command.arg("-f");
        }
        command = command.arg("-m");
        if self.args.align != Align::Undefined {
            command = command.args(["-a", self.args.align.word()]);
        }
        command = command.arg(&self.device).arg("--").args(&script);
        let Some(output) = self.host.run(&command)? else { return Ok(disk) };
        if output.rc != 0 {
            return Err(failure("Error while running parted script:", &command, &output, false));
        }
        // Names below /dev come a little later.
        if self.host.find_program("udevadm").is_some() {
            self.host.run(&Command::new("udevadm").arg("settle"))?;
        }
        self.print(self.args.unit.word())
    }

    /// Whether this parted puts right what it finds wrong without asking: 3.5 does, when told to.
    fn fixes(&self) -> Result<bool, Failure> {
        let said = self.host.query(&self.parted()?.arg("--version"))?.stdout_text();
        let version = said.lines().next().unwrap_or_default().rsplit(' ').next().unwrap_or_default();
        let numbers: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
        Ok(numbers >= vec![3, 4, 64])
    }
}

fn failure(what: &str, command: &Command, output: &Output, quoted: bool) -> Failure {
    let line = command.words().join(" ");
    let line = if quoted { format!("'{line}'") } else { line };
    Failure::new(format!("{what} {line}"))
        .with("rc", output.rc)
        .with("out", output.stdout_text())
        .with("err", output.stderr_text())
}
