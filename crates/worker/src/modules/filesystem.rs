//! `community.general.filesystem`: file systems made, grown, renumbered and wiped by the host's programs.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::{operand, text};
use crate::args::{PathArg, Presence as State};
use crate::host::{Command, Host, Output};
use crate::module::{Failure, Module, Outcome};

/// Makes a file system on a device or in a file.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Filesystem {
    /// The device, or a file.
    #[serde(alias = "device")]
    dev: PathArg,
    /// The kind of file system.
    #[serde(default, rename = "fstype", alias = "type")]
    kind: Option<Kind>,
    /// Whether there should be one.
    #[serde(default)]
    state: State,
    /// Whether a file system of another kind is overwritten.
    #[serde(default)]
    force: bool,
    /// Whether one that is smaller than the device is grown.
    #[serde(default)]
    resizefs: bool,
    /// Further options of mkfs.
    #[serde(default)]
    opts: Option<String>,
    /// The id that it is given, each time anew.
    #[serde(default)]
    uuid: Option<String>,
}

/// A kind of file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Bcachefs,
    Btrfs,
    Ext2,
    Ext3,
    Ext4,
    Ext4dev,
    F2fs,
    Lvm,
    Ocfs2,
    Reiserfs,
    Xfs,
    Vfat,
    Swap,
    Ufs,
}

impl Kind {
    /// The word of the argument, and the name in sentences.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Bcachefs => ("bcachefs", "Bcachefs"),
            Self::Btrfs => ("btrfs", "Btrfs"),
            Self::Ext2 => ("ext2", "Ext2"),
            Self::Ext3 => ("ext3", "Ext3"),
            Self::Ext4 => ("ext4", "Ext4"),
            Self::Ext4dev => ("ext4dev", "Ext4"),
            Self::F2fs => ("f2fs", "F2fs"),
            Self::Lvm => ("lvm", "LVM"),
            Self::Ocfs2 => ("ocfs2", "Ocfs2"),
            Self::Reiserfs => ("reiserfs", "Reiserfs"),
            Self::Xfs => ("xfs", "XFS"),
            Self::Vfat => ("vfat", "VFAT"),
            Self::Swap => ("swap", "Swap"),
            Self::Ufs => ("ufs", "UFS"),
        }
    }

    /// What blkid calls it.
    fn of_blkid(self) -> &'static str {
        match self {
            Self::Lvm => "LVM2_member",
            Self::Ext4dev => "ext4",
            other => other.names().0,
        }
    }

    fn is_ext(self) -> bool {
        matches!(self, Self::Ext2 | Self::Ext3 | Self::Ext4 | Self::Ext4dev)
    }

    /// What makes one, with the options that keep it from asking.
    fn maker(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Bcachefs => ("mkfs.bcachefs", &["--force"]),
            Self::Btrfs => ("mkfs.btrfs", &["-f"]),
            Self::Ext2 => ("mkfs.ext2", &["-F"]),
            Self::Ext3 => ("mkfs.ext3", &["-F"]),
            Self::Ext4 | Self::Ext4dev => ("mkfs.ext4", &["-F"]),
            Self::F2fs => ("mkfs.f2fs", &["-f"]),
            Self::Lvm => ("pvcreate", &["-f"]),
            Self::Ocfs2 => ("mkfs.ocfs2", &["-Fx"]),
            Self::Reiserfs => ("mkfs.reiserfs", &["-q"]),
            Self::Xfs => ("mkfs.xfs", &["-f"]),
            Self::Vfat => ("mkfs.vfat", &[]),
            Self::Swap => ("mkswap", &["-f"]),
            Self::Ufs => ("newfs", &[]),
        }
    }

    fn takes_uuid(self) -> bool {
        self.is_ext() || matches!(self, Self::Bcachefs | Self::Lvm | Self::Xfs)
    }
}

impl Module for Filesystem {
    const NAME: &'static str = "community.general.filesystem";

    fn check(&self) -> Result<(), String> {
        if self.state == State::Absent {
            return Ok(());
        }
        let Some(kind) = self.kind else {
            return Err("state is present but all of the following are missing: fstype".to_owned());
        };
        if self.resizefs && self.uuid.is_some() {
            return Err("parameters are mutually exclusive: resizefs|uuid".to_owned());
        }
        if kind == Kind::Ufs {
            return Err("fstype ufs is not supported: only FreeBSD has it".to_owned());
        }
        if kind == Kind::Bcachefs && self.resizefs {
            return Err("resizefs is not supported for bcachefs".to_owned());
        }
        if self.uuid.is_some() && !kind.takes_uuid() {
            let name = kind.names().0;
            return Err(format!("module does not support UUID option for this filesystem ({name}) yet."));
        }
        if self.uuid.as_deref().is_some_and(|uuid| uuid.starts_with('-')) {
            return Err("uuid is the id itself, or a word for one".to_owned());
        }
        self.words().map(drop)
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let dev = operand(host.path(&self.dev)?);
        if !host.exists(&dev)? {
            let msg = format!("Device {} not found.", text(&dev));
            return match self.state {
                State::Absent => Ok(Outcome::unchanged().with("msg", msg)),
                State::Present => Err(Failure::new(msg)),
            };
        }
        let held = held(host, &dev)?;
        let Some(kind) = self.kind.filter(|_| self.state == State::Present) else {
            if !held.is_empty() {
                run(host, Command::new(host.require_program("wipefs")?).arg("--all").arg(&dev))?;
            }
            return Ok(Outcome::new(!held.is_empty()));
        };
        let call = Call { host, dev, kind };
        if held == kind.of_blkid() && (!self.force || self.resizefs || self.uuid.is_some()) {
            return match &self.uuid {
                Some(uuid) => call.renumber(uuid),
                None if self.resizefs => call.grow(),
                None => Ok(Outcome::unchanged()),
            };
        }
        if !held.is_empty() && !self.force {
            let msg = format!("'{}' is already used as {held}, use force=true to overwrite", text(&call.dev));
            return Err(Failure::new(msg).with("rc", 0).with("err", ""));
        }
        call.make(&self.words().map_err(Failure::new)?, self.uuid.as_deref())?;
        Ok(Outcome::new(true))
    }
}

impl Filesystem {
    fn words(&self) -> Result<Vec<String>, String> {
        let opts = self.opts.as_deref().unwrap_or_default();
        shell_words::split(opts).map_err(|_| format!("cannot split opts into words: {opts}"))
    }
}

/// What blkid finds on a device; nothing where it finds nothing.
fn held(host: &Host, dev: &Path) -> Result<String, Failure> {
    let blkid = host.require_program("blkid")?;
    // Never from its cache.
    let command = Command::new(blkid).args(["-c", "/dev/null", "-o", "value", "-s", "TYPE"]).arg(dev).c_locale();
    Ok(host.query(&command)?.stdout_text().trim().to_owned())
}

/// Runs a command that changes the host; a failure tells it in its own words.
fn run(host: &Host, command: Command) -> Result<Option<Output>, Failure> {
    let command = command.c_locale();
    match host.run(&command)? {
        Some(output) if output.rc != 0 => Err(refused(&command, &output)),
        other => Ok(other),
    }
}

fn refused(command: &Command, output: &Output) -> Failure {
    let stderr = output.stderr_text();
    let msg = if stderr.trim().is_empty() { output.stdout_text() } else { stderr.clone() };
    Failure::new(msg.trim_end())
        .with("rc", output.rc)
        .with("cmd", command.words().join(" "))
        .with("stdout", output.stdout_text())
        .with("stderr", stderr)
}

/// A device, and the kind of file system that is wanted on it.
struct Call<'a> {
    host: &'a Host,
    dev: PathBuf,
    kind: Kind,
}

impl Call<'_> {
    fn make(&self, opts: &[String], uuid: Option<&str>) -> Result<(), Failure> {
        let (program, flags) = self.kind.maker();
        let named = opts.iter().any(|word| word.starts_with("-U") || word.contains("uuid="));
        let uuid = uuid.filter(|_| !named);
        let mut command = Command::new(self.host.require_program(program)?).args(flags.iter().copied()).args(opts);
        let after = matches!(self.kind, Kind::Xfs | Kind::Lvm);
        if let Some(uuid) = uuid.filter(|_| !after) {
            command = command.arg("-U").arg(uuid);
        }
        run(self.host, command.arg(&self.dev))?;
        match uuid.filter(|_| after) {
            Some(uuid) => run(self.host, self.renumbering(uuid)?).map(drop),
            None => Ok(()),
        }
    }

    /// What gives a file system another id.
    fn renumbering(&self, uuid: &str) -> Result<Command, Failure> {
        let program = |name: &str| Ok::<_, Failure>(Command::new(self.host.require_program(name)?));
        Ok(match self.kind {
            Kind::Xfs => program("xfs_admin")?.args(["-U", uuid]),
            // Which one is not to be chosen.
            Kind::Lvm => program("pvchange")?.arg("-u"),
            Kind::Bcachefs => return Err(Failure::new("the id of a bcachefs cannot be changed")),
            _ => program("tune2fs")?.args(["-U", uuid]),
        }
        .arg(&self.dev))
    }

    fn renumber(&self, uuid: &str) -> Result<Outcome, Failure> {
        let msg = match run(self.host, self.renumbering(uuid)?)? {
            Some(output) => output.stdout_text(),
            None => format!("Changing {} filesystem UUID on device {}", self.kind.names().1, text(&self.dev)),
        };
        Ok(Outcome::new(true).with("msg", msg))
    }

    fn grow(&self) -> Result<Outcome, Failure> {
        let (word, name) = self.kind.names();
        if matches!(self.kind, Kind::Ocfs2 | Kind::Reiserfs | Kind::Swap | Kind::Ufs) {
            return Err(Failure::new(format!("module does not support resizing {word} filesystem yet.")));
        }
        let dev = text(&self.dev);
        let room = self.device_size()?;
        let (size, grain) = self.size()?;
        // What is left of the last block is no room.
        if room.saturating_sub(size) < grain.max(1) {
            return Ok(Outcome::unchanged().with("msg", format!("{name} filesystem is using the whole device {dev}")));
        }
        let program = |name: &str| Ok::<_, Failure>(Command::new(self.host.require_program(name)?));
        let command = match self.kind {
            Kind::Xfs => program("xfs_growfs")?.arg(self.mount_point()?),
            Kind::Btrfs => program("btrfs")?.args(["filesystem", "resize", "max"]).arg(self.mount_point()?),
            Kind::Vfat => program("fatresize")?.args(["-s", "max"]).arg(&self.dev),
            Kind::Lvm => program("pvresize")?.arg(&self.dev),
            Kind::F2fs => program("resize.f2fs")?.arg(&self.dev),
            _ => program("resize2fs")?.arg(&self.dev),
        };
        let msg = match run(self.host, command)? {
            Some(output) => output.stdout_text(),
            None => format!("resizing filesystem {name} on device {dev}"),
        };
        Ok(Outcome::new(true).with("msg", msg))
    }

    fn device_size(&self) -> Result<u64, Failure> {
        match self.host.stat(&self.dev)? {
            Some(meta) if meta.file_type().is_block_device() => {}
            other => return Ok(other.map_or(0, |meta| meta.len())),
        }
        let said = self.ask(Command::new(self.host.require_program("blockdev")?).arg("--getsize64").arg(&self.dev))?;
        said.trim().parse().map_err(|_| Failure::new(format!("cannot tell the size of {}", text(&self.dev))))
    }

    fn ask(&self, command: Command) -> Result<String, Failure> {
        let command = command.c_locale();
        let output = self.host.query(&command)?;
        if output.rc == 0 { Ok(output.stdout_text()) } else { Err(refused(&command, &output)) }
    }

    /// Where the device is mounted; a file system that has to be mounted for this is refused otherwise.
    fn mount_point(&self) -> Result<PathBuf, Failure> {
        let unmounted = || {
            let name = self.kind.names().1;
            Failure::new(format!("{} needs to be mounted for {name} operations", text(&self.dev)))
        };
        self.mounted()?.ok_or_else(unmounted)
    }

    fn mounted(&self) -> Result<Option<PathBuf>, Failure> {
        let words = ["--mtab", "--noheadings", "--output", "TARGET", "--source"];
        let find = Command::new(self.host.require_program("findmnt")?).args(words).arg(&self.dev).c_locale();
        let said = self.host.query(&find)?.stdout_text();
        Ok(said.lines().next().map(str::trim).filter(|line| !line.is_empty()).map(PathBuf::from))
    }

    /// How large the file system is, and in which steps it grows.
    fn size(&self) -> Result<(u64, u64), Failure> {
        let program = |name: &str| Ok::<_, Failure>(Command::new(self.host.require_program(name)?));
        let unread = |what: &str| Failure::new(format!("unable to process {what} output for {}", text(&self.dev)));
        match self.kind {
            Kind::Xfs => {
                let place = self.mounted()?.unwrap_or_else(|| self.dev.clone());
                let said = self.ask(program("xfs_info")?.arg(place))?;
                let line = said.lines().find(|line| line.starts_with("data")).unwrap_or_default();
                let field = |name| number_after(line, name);
                let (Some(block), Some(blocks)) = (field("bsize="), field("blocks=")) else {
                    return Err(unread("xfs_info"));
                };
                Ok((block.saturating_mul(blocks), block))
            }
            Kind::Btrfs => {
                let said = self.ask(program("btrfs")?.args(["filesystem", "usage", "-b"]).arg(self.mount_point()?))?;
                Ok((number_after(&said, "Device size:").ok_or_else(|| unread("btrfs"))?, 4096))
            }
            Kind::Vfat => {
                let said = self.ask(program("fatresize")?.arg("--info").arg(&self.dev))?;
                let line = said.lines().find(|line| line.starts_with("Size:") || line.starts_with("Cur size:"));
                let size = line.and_then(|line| number_after(line, "ize:"));
                Ok((size.ok_or_else(|| unread("fatresize"))?, 1))
            }
            Kind::Lvm => {
                let words = ["--noheadings", "-o", "pv_size,pe_start,vg_extent_size", "--units", "b", "--nosuffix"];
                let said = self.ask(program("pvs")?.args(words).arg(&self.dev))?;
                let numbers: Vec<u64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
                // One that is in no group is as large as its device.
                match numbers.as_slice() {
                    [size, start, extent] if *extent > 0 => Ok((size.saturating_add(*start), *extent)),
                    [size, ..] => Ok((*size, 1)),
                    [] => Err(unread("pvs")),
                }
            }
            Kind::F2fs => {
                let said = self.ask(program("dump.f2fs")?.arg(&self.dev))?;
                let sector = number_after(&said, "sector size =").unwrap_or(512);
                let sectors = number_after(&said, "total FS sectors =").ok_or_else(|| unread("dump.f2fs"))?;
                Ok((sector.saturating_mul(sectors), 4096))
            }
            _ => {
                let said = self.ask(program("tune2fs")?.arg("-l").arg(&self.dev))?;
                let (Some(blocks), Some(block)) =
                    (number_after(&said, "Block count:"), number_after(&said, "Block size:"))
                else {
                    return Err(unread("tune2fs"));
                };
                Ok((blocks.saturating_mul(block), block))
            }
        }
    }
}

/// The number that stands behind a word.
fn number_after(text: &str, word: &str) -> Option<u64> {
    let rest = text.split_once(word)?.1.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
#[path = "filesystem_tests.rs"]
mod tests;
