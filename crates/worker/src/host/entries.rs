//! Changing what lies in directories: making directories and links, renaming, removing, setting times.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Host;
use super::temporary::beside;
use crate::module::{Context, Failure};

impl Host {
    /// Makes a directory; its parents must be there.
    pub fn make_directory(&self, path: &Path, mode: Option<u32>) -> Result<(), Failure> {
        self.change(|| {
            let attempted = || format!("cannot make the directory {}", path.display());
            match fs::create_dir(self.real(path)) {
                // Somebody else was quicker, a task of another host for one; it is there, which is what was wanted.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && self.real(path).is_dir() => return Ok(()),
                made => made.context(attempted)?,
            }
            match mode {
                Some(mode) => fs::set_permissions(self.real(path), Permissions::from_mode(mode)).context(attempted),
                None => Ok(()),
            }
        })?;
        Ok(())
    }

    /// Makes a symbolic link, atomically replacing a file or link that is there.
    pub fn make_symlink(&self, path: &Path, target: &Path) -> Result<(), Failure> {
        self.change(|| {
            let made = beside(&self.real(path), |name| std::os::unix::fs::symlink(target, name));
            made.context(|| format!("cannot make the link {}", path.display()))
        })?;
        Ok(())
    }

    /// Makes a hard link, atomically replacing a file or link that is there.
    pub fn make_hardlink(&self, path: &Path, target: &Path) -> Result<(), Failure> {
        let target = self.real(target);
        self.change(|| {
            let made = beside(&self.real(path), |name| fs::hard_link(&target, name));
            made.context(|| format!("cannot make the hard link {}", path.display()))
        })?;
        Ok(())
    }

    /// Removes a file or link, or a directory with all it holds; one that is not there is fine.
    pub fn remove(&self, path: &Path) -> Result<(), Failure> {
        self.change(|| {
            let real = self.real(path);
            let outcome = match fs::symlink_metadata(&real) {
                Ok(meta) if meta.is_dir() => fs::remove_dir_all(&real),
                Ok(_) => fs::remove_file(&real),
                Err(e) => Err(e),
            };
            match outcome {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    Err(Failure::new(format!("cannot remove {}: {e}", path.display())))
                }
                _ => Ok(()),
            }
        })?;
        Ok(())
    }

    /// Renames a file within its file system.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), Failure> {
        self.change(|| {
            fs::rename(self.real(from), self.real(to))
                .context(|| format!("cannot rename {} to {}", from.display(), to.display()))
        })?;
        Ok(())
    }

    /// Sets access and modification times; `None` leaves one alone.
    pub fn set_times(
        &self,
        path: &Path,
        access: Option<std::time::SystemTime>,
        modification: Option<std::time::SystemTime>,
    ) -> Result<(), Failure> {
        self.change(|| {
            let spec = |time: Option<std::time::SystemTime>| match time.map(|t| t.duration_since(std::time::UNIX_EPOCH))
            {
                Some(Ok(since)) => rustix::fs::Timespec {
                    tv_sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: i64::from(since.subsec_nanos()),
                },
                Some(Err(before)) => rustix::fs::Timespec {
                    tv_sec: -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: 0,
                },
                None => rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
            };
            let times = rustix::fs::Timestamps { last_access: spec(access), last_modification: spec(modification) };
            let set = |times: &rustix::fs::Timestamps| {
                rustix::fs::utimensat(rustix::fs::CWD, self.real(path), times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
            };
            let outcome = match set(&times) {
                // Who may write a file but does not own it may set its times to this moment only.
                Err(rustix::io::Errno::PERM) if access.is_some() && access == modification => {
                    let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
                    let fresh = access.and_then(|at| at.elapsed().ok()).is_some_and(|age| age.as_secs() < 5);
                    if fresh {
                        set(&rustix::fs::Timestamps { last_access: now, last_modification: now })
                    } else {
                        Err(rustix::io::Errno::PERM)
                    }
                }
                outcome => outcome,
            };
            outcome.context(|| format!("cannot set the times of {}", path.display()))
        })?;
        Ok(())
    }
}
