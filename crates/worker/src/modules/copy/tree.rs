//! Copying a directory from one place on the host to another.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::Value;

use super::Copy;
use crate::args::Mode;
use crate::host::{Attributes, FileKind, Host, WriteOptions};
use crate::module::{Failure, Outcome};
use crate::modules::files::{self, text};

/// Copies the directory `src`: itself into `dest`, or, written with a slash at its end, what it holds.
pub(super) fn copy(args: &Copy, host: &Host, src: &Path) -> Result<Outcome, Failure> {
    let dest = host.path(&args.dest)?;
    if host.stat(&dest)?.is_some_and(|meta| !meta.is_dir()) {
        let msg = format!("cannot copy the directory {} over the file {}", src.display(), dest.display());
        return Err(Failure::new(msg).with("src", text(src)).with("dest", text(&dest)));
    }
    let contents_only = args.src.as_ref().is_some_and(|s| s.0.ends_with('/'));
    let as_directory = args.dest.0.ends_with('/') || host.exists(&dest)?;
    let target = match src.file_name() {
        Some(name) if !contents_only => dest.join(name),
        _ => dest.clone(),
    };
    let mut outcome = Outcome::unchanged();
    // A new directory around the copied one, which the task speaks of then: the copied one keeps the mode of the source.
    let around = !as_directory && !contents_only;
    if let Some(parent) = if around { dest.parent() } else { target.parent() } {
        let made = files::make_directories(host, parent, args.directory_mode.as_ref())?;
        for directory in &made {
            files::settle(host, directory, &args.directory_attributes(), true, &mut outcome)?;
        }
        outcome.changed |= !made.is_empty();
    }
    if around {
        host.make_directory(&dest, None)?;
        outcome.changed = true;
    }
    let walk = Walk { args, host, keep_links: args.local_follow != Some(true) };
    walk.directory(src, &target, &mut outcome)?;
    // As in the reference, the mode is that of the directory; what is in it keeps the modes of the source.
    let spoken = if around { &dest } else { &target };
    let mode = host.stat(if around { spoken } else { src })?.map(|meta| meta.mode() & 0o7777);
    files::settle(host, spoken, &args.attributes_for(mode), true, &mut outcome)?;
    let shown = match (as_directory, contents_only) {
        (true, false) => target,
        (true, true) => dest.join(""),
        (false, _) => dest,
    };
    outcome.set("src", text(src));
    outcome.set("dest", text(&shown));
    outcome.set("checksum", Value::Null);
    outcome.set("md5sum", Value::Null);
    files::describe(host, &shown, &mut outcome)?;
    Ok(outcome)
}

struct Walk<'a> {
    args: &'a Copy,
    host: &'a Host,
    keep_links: bool,
}

impl Walk<'_> {
    fn directory(&self, from: &Path, to: &Path, outcome: &mut Outcome) -> Result<(), Failure> {
        let host = self.host;
        let Some(meta) = host.stat(from)? else { return Ok(()) };
        if host.stat(to)?.is_none() {
            host.make_directory(to, Some(meta.mode() & 0o7777))?;
            outcome.changed = true;
        }
        files::settle(host, to, &self.ownership(), true, outcome)?;
        for name in host.list(from)? {
            let (from, to) = (from.join(&name), to.join(&name));
            match host.kind(&from)? {
                FileKind::Link if self.keep_links => self.link(&from, &to, outcome)?,
                FileKind::Special | FileKind::Absent => {}
                _ => match host.stat(&from)? {
                    Some(meta) if meta.is_dir() => self.directory(&from, &to, outcome)?,
                    Some(meta) => self.file(&from, &to, meta.mode() & 0o7777, outcome)?,
                    None => self.link(&from, &to, outcome)?,
                },
            }
        }
        Ok(())
    }

    /// What everything in the tree gets.
    fn ownership(&self) -> Attributes {
        let wanted = self.args.file_attributes();
        Attributes { owner: wanted.owner, group: wanted.group, ..Attributes::default() }
    }

    fn file(&self, from: &Path, to: &Path, mode: u32, outcome: &mut Outcome) -> Result<(), Failure> {
        if !self.args.force && self.host.exists(to)? {
            return Ok(());
        }
        let options = WriteOptions {
            backup: self.args.backup,
            validate: self.args.validate.clone(),
            unsafe_writes: self.args.unsafe_writes,
            mode_if_new: Some(mode),
        };
        let mut attributes = self.ownership();
        let written = self.host.write_file(to, &self.host.content_of(from), &options)?;
        outcome.changed |= written.changed;
        outcome.diffs.extend(written.diff);
        if written.changed {
            attributes.mode = Some(Mode::Bits(mode));
        }
        files::settle(self.host, to, &attributes, true, outcome)
    }

    fn link(&self, from: &Path, to: &Path, outcome: &mut Outcome) -> Result<(), Failure> {
        let target = self.host.read_link(from)?;
        match self.host.kind(to)? {
            FileKind::Link if self.host.read_link(to)? == target => {
                return files::settle(self.host, to, &self.ownership(), false, outcome);
            }
            FileKind::Directory => {
                return Err(Failure::new(format!("cannot replace the directory {} by a link", to.display())));
            }
            _ => {}
        }
        self.host.make_symlink(to, &target)?;
        outcome.changed = true;
        // The link itself: what it leads to may be anybody's.
        files::settle(self.host, to, &self.ownership(), false, outcome)
    }
}
