//! A home directory for a user who has none: a copy of the skeleton.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::User;
use crate::args::Mode;
use crate::host::{Attributes, Content, FileKind, Host, UserEntry, WriteOptions};
use crate::module::Failure;

/// Reads a umask.
pub(super) fn umask(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim().trim_start_matches("0o"), 8).ok().filter(|bits| *bits <= 0o777)
}

/// Makes the directories that lead to a home.
pub(super) fn make_parents(host: &Host, path: &Path) -> Result<(), Failure> {
    let mut missing = Vec::new();
    for directory in path.ancestors() {
        if host.exists(directory)? {
            break;
        }
        missing.push(directory);
    }
    missing.into_iter().rev().try_for_each(|directory| host.make_directory(directory, None))
}

impl User {
    /// Makes the home of an existing user.
    pub(super) fn make_home(&self, host: &Host, home: &Path, user: &UserEntry) -> Result<(), Failure> {
        if host.check_mode() {
            return Ok(());
        }
        if let Some(parent) = home.parent() {
            make_parents(host, parent)?;
        }
        host.make_directory(home, None)?;
        let skeleton = PathBuf::from(self.skeleton.as_deref().unwrap_or("/etc/skel"));
        if host.exists(&skeleton)? {
            copy(host, &skeleton, home)?;
        }
        own(host, home, user)?;
        let mode = self.home_mode(host);
        host.set_attributes(home, &Attributes { mode: Some(Mode::Bits(mode)), ..Attributes::default() }, false)?;
        Ok(())
    }

    /// What the umask, or login.defs(5), leaves of a directory's permissions.
    fn home_mode(&self, host: &Host) -> u32 {
        if let Some(umask) = self.umask.as_deref().and_then(umask) {
            return 0o777 & !umask;
        }
        let defs = host.text("/etc/login.defs").unwrap_or_default();
        let setting = |key: &str| {
            let line = defs.lines().find_map(|line| {
                let mut words = line.split_whitespace();
                (words.next() == Some(key)).then(|| words.next()).flatten()
            });
            line.and_then(|value| u32::from_str_radix(value, 8).ok())
        };
        setting("HOME_MODE").or_else(|| setting("UMASK").map(|umask| 0o777 & !umask)).unwrap_or(0o755)
    }
}

/// Copies a tree: directories, files and links.
fn copy(host: &Host, from: &Path, to: &Path) -> Result<(), Failure> {
    for name in host.list(from)? {
        let (source, target) = (from.join(&name), to.join(&name));
        let mode = host.lstat(&source)?.map(|meta| meta.mode() & 0o777);
        match host.kind(&source)? {
            FileKind::Directory => {
                host.make_directory(&target, mode)?;
                copy(host, &source, &target)?;
            }
            FileKind::Link => host.make_symlink(&target, &host.read_link(&source)?)?,
            FileKind::File => {
                let content = Content::from(host.read(&source)?);
                let options = WriteOptions { mode_if_new: mode, ..WriteOptions::default() };
                host.write_file(&target, &content, &options)?;
            }
            FileKind::Absent | FileKind::Special => {}
        }
    }
    Ok(())
}

/// Gives a tree to a user.
fn own(host: &Host, path: &Path, user: &UserEntry) -> Result<(), Failure> {
    let attributes =
        Attributes { owner: Some(user.uid.to_string()), group: Some(user.gid.to_string()), ..Attributes::default() };
    host.set_attributes(path, &attributes, false)?;
    if host.kind(path)? == FileKind::Directory {
        for name in host.list(path)? {
            own(host, &path.join(name), user)?;
        }
    }
    Ok(())
}
