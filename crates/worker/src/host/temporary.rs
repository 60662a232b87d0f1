//! Temporary files, which a worker that is killed leaves to the next one to remove.
//!
//! A temporary file's name says which process made it, and that process holds a lock on it. The first time that a worker
//! makes one in a directory it removes those there whose process is gone and whose lock is free.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::fs::FlockOperation;
use tempfile::{NamedTempFile, TempPath};

use super::{Content, Host};
use crate::module::{Context, Failure};

/// How the names begin: hidden, and matched by no `*.conf`.
const PREFIX: &str = ".rplay-";

/// A program or archive of the controller's, closed, gone when it is dropped.
#[derive(Debug)]
pub struct Scratch {
    path: TempPath,
    /// Kept for its lock.
    _held: File,
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

/// A new file in a directory, for its owner alone, gone when it is dropped.
pub fn temporary(directory: &Path, suffix: &str) -> io::Result<NamedTempFile> {
    temporary_with(directory, suffix, 0o600)
}

fn temporary_with(directory: &Path, suffix: &str, mode: u32) -> io::Result<NamedTempFile> {
    sweep_once(directory);
    let prefix = format!("{PREFIX}{}-", own_mark());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(suffix).rand_bytes(10).permissions(Permissions::from_mode(mode));
    let file = builder.tempfile_in(directory)?;
    // Not every file system has locks; there the name alone has to do.
    let _ = rustix::fs::flock(file.as_file(), FlockOperation::NonBlockingLockShared);
    Ok(file)
}

/// A new file in the directory of `path`.
pub(super) fn tempfile_beside(path: &Path) -> io::Result<NamedTempFile> {
    temporary(directory_of(path), "")
}

/// Makes something under a name beside `path`, then renames it there.
pub(super) fn beside(path: &Path, make: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    if fs::symlink_metadata(path).is_err() {
        return make(path);
    }
    let directory = directory_of(path);
    sweep_once(directory);
    for attempt in 0..100 {
        let name = directory.join(format!("{PREFIX}{}-{attempt}", own_mark()));
        match make(&name) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
            Ok(()) => {
                fs::rename(&name, path).inspect_err(|_| drop(fs::remove_file(&name)))?;
                // Where both are the same file already, rename leaves both.
                let _ = fs::remove_file(&name);
                return Ok(());
            }
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Host {
    /// A temporary file in a directory of the host, gone when it is dropped; it may be made in check mode too.
    pub fn temporary_in(&self, directory: &Path) -> Result<NamedTempFile, Failure> {
        temporary(&self.real(directory), "")
            .context(|| format!("cannot make a temporary file in {}", directory.display()))
    }

    /// Puts a program of the controller's where it can be executed, for this user only; gone when it is dropped.
    ///
    /// Beside the worker when that is possible, since files can be executed there; `/tmp` may forbid it.
    pub fn scratch_program(&self, name: &str, content: &Content) -> Result<Scratch, Failure> {
        let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf));
        let places = beside.into_iter().chain([std::env::temp_dir(), PathBuf::from("/var/tmp")]);
        let suffix = format!("-{}", name.replace('/', "_"));
        let mut last = Failure::new("there is no directory for a script");
        for place in places {
            let made = temporary_with(&place, &suffix, 0o700).and_then(|mut file| {
                io::copy(&mut content.open()?, &mut file)?;
                closed(file)
            });
            match made {
                Ok(scratch) => return Ok(scratch),
                Err(e) => last = Failure::new(format!("cannot put the script into {}: {e}", place.display())),
            }
        }
        Err(last)
    }

    /// Makes a file or directory under a name that nothing has, for its owner only; `None` in check mode.
    pub fn make_temporary(
        &self,
        directory: &Path,
        (prefix, suffix): (&str, &str),
        is_dir: bool,
    ) -> Result<Option<PathBuf>, Failure> {
        self.change(|| {
            let mut builder = tempfile::Builder::new();
            let builder = builder.prefix(prefix).suffix(suffix).rand_bytes(8);
            let attempted = || format!("cannot make a temporary file in {}", directory.display());
            let real = self.real(directory);
            let path = if is_dir {
                builder.permissions(Permissions::from_mode(0o700)).tempdir_in(real).context(attempted)?.keep()
            } else {
                builder.tempfile_in(real).context(attempted)?.into_temp_path().keep().context(attempted)?
            };
            Ok(directory.join(path.file_name().unwrap_or_default()))
        })
    }
}

/// Closes a file: one that is open for writing cannot be executed.
pub fn closed(file: NamedTempFile) -> io::Result<Scratch> {
    let held = File::open(file.path())?;
    let path = file.into_temp_path();
    let _ = rustix::fs::flock(&held, FlockOperation::NonBlockingLockShared);
    Ok(Scratch { path, _held: held })
}

/// This process in a name: its id, and when it began, since ids are used again.
fn own_mark() -> &'static str {
    static MARK: OnceLock<String> = OnceLock::new();
    MARK.get_or_init(|| {
        let id = std::process::id();
        format!("{id}.{}", began(id).unwrap_or(0))
    })
}

/// When a process began, in ticks since the machine did; none where there is no such process.
fn began(id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The second field is a name in parentheses that may hold anything; this is the twentieth after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Removes what killed workers left in a directory, the first time that this process asks.
fn sweep_once(directory: &Path) {
    static SWEPT: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    let new =
        SWEPT.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().insert(directory.to_path_buf());
    if new {
        sweep(directory);
    }
}

fn sweep(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_orphan) && is_free(&entry.path()) {
            // Another worker may have been faster, and what is another user's stays.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether a name is a temporary file's whose process is gone.
fn is_orphan(name: &str) -> bool {
    let Some((mark, _)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')) else { return false };
    let Some((id, start)) = mark.split_once('.') else { return false };
    let (Ok(id), Ok(start)) = (id.parse::<u32>(), start.parse::<u64>()) else { return false };
    // Without /proc nobody can tell.
    began(std::process::id()).is_some() && began(id) != Some(start)
}

/// Whether nobody holds a file; it may be held by a process of another host, or of another container.
fn is_free(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => return true,
        Ok(meta) if meta.is_file() => {}
        _ => return false,
    }
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
    let Ok(file) = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path) else { return false };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(error) => error != rustix::io::Errno::WOULDBLOCK,
        Ok(()) => true,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_worker_left_goes_and_all_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        // No process has this id.
        let dead = format!("{PREFIX}4194305.7-abc");
        let held = format!("{PREFIX}4194305.7-held");
        let reused = format!("{PREFIX}{}.1-abc", std::process::id());
        let kept = [".rplay-notes", ".rplay-4194305-x", "rplay-4194305.7-x", &held];
        for name in kept.iter().copied().chain([dead.as_str(), reused.as_str()]) {
            fs::write(at(name), name).unwrap();
        }
        std::os::unix::fs::symlink("/nowhere", at(&format!("{PREFIX}4194305.7-link"))).unwrap();
        fs::create_dir(at(&format!("{PREFIX}4194305.7-directory"))).unwrap();
        let lock = File::open(at(&held)).unwrap();
        rustix::fs::flock(&lock, FlockOperation::LockShared).unwrap();
        let own = temporary(dir.path(), "").unwrap();
        sweep(dir.path());
        assert!(own.path().exists(), "a file in use");
        drop(own);
        let mut left: Vec<String> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        let mut wanted: Vec<String> = kept.iter().map(|name| (*name).to_owned()).collect();
        wanted.push(format!("{PREFIX}4194305.7-directory"));
        wanted.sort();
        assert_eq!(left, wanted);
    }

    #[test]
    fn a_closed_file_can_be_executed_and_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = temporary_with(dir.path(), "-x", 0o700).unwrap();
        io::Write::write_all(&mut file, b"#!/bin/sh\nexit 3\n").unwrap();
        let scratch = closed(file).unwrap();
        assert!(!is_free(&scratch));
        let output = Host::new().query(&super::super::Command::new(scratch.as_os_str())).unwrap();
        assert_eq!(output.rc, 3);
        drop(scratch);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
