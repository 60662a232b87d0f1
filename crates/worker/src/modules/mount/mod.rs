//! `ansible.posix.mount`: what is mounted, and what is to be mounted at boot.

mod table;
#[cfg(test)]
mod tests;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::{self, text};
use crate::args::{PathArg, yes};
use crate::host::{Command, Diff, Host, WriteOptions};
use crate::module::{Failure, Module, Outcome};

use table::{Entry, Mounted};

/// Manages mount points, in the running system and in fstab.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Mount {
    /// The mount point.
    #[serde(alias = "name")]
    path: PathArg,
    /// What is mounted there.
    #[serde(default)]
    src: Option<PathArg>,
    /// The type of file system.
    #[serde(default)]
    fstype: Option<String>,
    /// The options.
    #[serde(default)]
    opts: Option<String>,
    /// Whether the options are kept out of the results.
    #[serde(default)]
    opts_no_log: bool,
    /// The field of fstab about dump.
    #[serde(default)]
    dump: Option<String>,
    /// The field of fstab about checks at boot.
    #[serde(default)]
    passno: Option<String>,
    /// What should be.
    state: State,
    /// The file that is used instead of `/etc/fstab`.
    #[serde(default)]
    fstab: Option<PathArg>,
    /// Whether it is mounted at boot; `noauto` is added to the options otherwise.
    #[serde(default = "yes")]
    boot: bool,
    /// Whether the old fstab is kept.
    #[serde(default)]
    backup: bool,
}

/// What should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    Absent,
    AbsentFromFstab,
    Mounted,
    Present,
    Unmounted,
    Remounted,
    Ephemeral,
}

const FSTAB: &str = "/etc/fstab";

/// A call with its paths found out.
struct Call<'a> {
    host: &'a Host,
    name: String,
    path: PathBuf,
    src: Option<String>,
    fstype: Option<&'a str>,
    opts: String,
    /// The options where the task names some.
    given: Option<&'a str>,
    dump: &'a str,
    passno: &'a str,
    fstab: PathBuf,
    backup: bool,
}

impl Module for Mount {
    const NAME: &'static str = "ansible.posix.mount";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        let state = match self.state {
            State::Mounted => "mounted",
            State::Present => "present",
            State::Ephemeral => "ephemeral",
            _ => return Ok(()),
        };
        let given = [("src", self.src.is_some()), ("fstype", self.fstype.is_some())];
        let missing: Vec<&str> = given.iter().filter(|(_, given)| !given).map(|(name, _)| *name).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(format!("state is {state} but all of the following are missing: {}", missing.join(", ")))
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.path)?;
        let fstab = self.fstab.as_ref().map_or_else(|| Ok(PathBuf::from(FSTAB)), |path| host.path(path))?;
        let mut opts = self.opts.clone().unwrap_or_else(|| "defaults".to_owned());
        if !self.boot && self.state != State::Ephemeral {
            opts.push_str(",noauto");
        }
        let call = Call {
            host,
            name: text(&path),
            path,
            src: self.src.as_ref().map(|src| host.path(src)).transpose()?.as_deref().map(text),
            fstype: self.fstype.as_deref(),
            opts,
            given: self.opts.as_deref(),
            dump: self.dump.as_deref().unwrap_or("0"),
            passno: self.passno.as_deref().unwrap_or("0"),
            fstab: if self.state == State::Ephemeral { PathBuf::from(FSTAB) } else { fstab },
            backup: self.backup,
        };
        let mut outcome = match self.state {
            State::Present => call.set()?.0,
            State::AbsentFromFstab => call.unset()?,
            State::Absent => call.absent()?,
            State::Unmounted => {
                let mounted = call.mounted().is_some();
                if mounted {
                    call.unmount()?;
                }
                Outcome::new(mounted)
            }
            State::Remounted => {
                call.remount()?;
                Outcome::new(true)
            }
            State::Mounted => call.mount()?,
            State::Ephemeral => call.ephemeral()?,
        };
        if self.opts_no_log {
            outcome.diffs.clear();
        }
        call.tell(&mut outcome, self.boot, self.opts_no_log);
        Ok(outcome)
    }
}

impl Call<'_> {
    /// The return values, which are mostly the arguments.
    fn tell(self, outcome: &mut Outcome, boot: bool, hide: bool) {
        outcome.set("name", self.name);
        outcome.set("opts", if hide { "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER".to_owned() } else { self.opts });
        outcome.set("dump", self.dump);
        outcome.set("passno", self.passno);
        outcome.set("fstab", text(&self.fstab));
        outcome.set("boot", if boot { "yes" } else { "no" });
        if let Some(src) = self.src {
            outcome.set("src", src);
        }
        if let Some(fstype) = self.fstype {
            outcome.set("fstype", fstype);
        }
        outcome.fields.entry("backup_file").or_insert_with(|| "".into());
    }

    fn table(&self) -> Result<String, Failure> {
        let bytes = self.host.read_if_exists(&self.fstab)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Puts the entry into fstab; gives what was there before, too.
    fn set(&self) -> Result<(Outcome, String), Failure> {
        let entry = Entry {
            src: self.src.as_deref().unwrap_or_default(),
            name: &self.name,
            fstype: self.fstype.unwrap_or_default(),
            opts: &self.opts,
            dump: self.dump,
            passno: self.passno,
        };
        let old = self.table()?;
        let new = table::set(&old, &entry);
        Ok((self.write(&old, new)?, old))
    }

    /// Takes the entry out of fstab.
    fn unset(&self) -> Result<Outcome, Failure> {
        let old = self.table()?;
        let new = table::unset(&old, &self.name, self.src.as_deref());
        self.write(&old, new)
    }

    fn write(&self, old: &str, new: String) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::new(old != new);
        if outcome.changed {
            let options = WriteOptions { backup: self.backup, ..WriteOptions::default() };
            let written = files::write_through(self.host, &self.fstab, new.as_bytes(), &options)?;
            if let Some(backup) = written.backup_file {
                outcome.set("backup_file", text(&backup));
            }
            let shown = text(&self.fstab);
            outcome.diffs.push(Diff::text(old, new).headers(shown.clone(), shown));
        }
        Ok(outcome)
    }

    /// What is mounted there, the last one where there are several.
    fn mounted(&self) -> Option<Mounted> {
        let path = self.host.canonical(&self.path).unwrap_or_else(|_| self.path.clone());
        table::mounted(&self.host.text("/proc/self/mountinfo")?, &text(&path))
    }

    /// Whether what is mounted there is what the task wants to be bound there.
    fn is_bound(&self) -> Result<bool, Failure> {
        let Some(src) = &self.src else { return Ok(false) };
        let place = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
        let source = self.host.stat(Path::new(src))?.map(place);
        Ok(source.is_some() && source == self.host.stat(&self.path)?.map(place))
    }

    fn mount(&self) -> Result<Outcome, Failure> {
        let made = self.make_directory()?;
        let (outcome, old) = self.set()?;
        let mut outcome = Outcome { changed: outcome.changed || !made.is_empty(), ..outcome };
        let bind = self.opts.split(',').any(|option| matches!(option, "bind" | "rbind"));
        let done = if self.mounted().is_none() || (bind && !self.is_bound()?) {
            outcome.changed = true;
            let mut command = Command::new("mount").c_locale();
            if self.fstab != Path::new(FSTAB) {
                command = command.arg("-T").arg(&self.fstab);
            }
            self.command(command.arg("--").arg(&self.path), "mounting")
        } else if outcome.changed {
            self.remount()
        } else {
            Ok(())
        };
        if let Err(failure) = done {
            // What could not be mounted is not left to the next boot.
            if !outcome.diffs.is_empty() {
                files::write_through(self.host, &self.fstab, old, &WriteOptions::default())?;
            }
            self.unmake(&made)?;
            return Err(failure);
        }
        Ok(outcome)
    }

    fn ephemeral(&self) -> Result<Outcome, Failure> {
        let words = |option: String| {
            let command = Command::new("mount").c_locale().args(["-t", self.fstype.unwrap_or_default(), "-o", &option]);
            command.arg("--").arg(self.src.as_deref().unwrap_or_default()).arg(&self.path)
        };
        if let Some(mounted) = self.mounted() {
            if self.src.as_deref() != Some(mounted.source.as_str()) && !self.is_bound()? {
                return Err(Failure::new(
                    "Ephemeral mount point is already mounted with a different source than the specified one: unmount it \
                     first (state: unmounted), or use another path.",
                ));
            }
            self.command(words(format!("remount,{}", self.opts)), "remounting")?;
            return Ok(Outcome::new(true));
        }
        let made = self.make_directory()?;
        if let Err(failure) = self.command(words(self.opts.clone()), "mounting") {
            self.unmake(&made)?;
            return Err(failure);
        }
        Ok(Outcome::new(true))
    }

    fn remount(&self) -> Result<(), Failure> {
        let fstab = self.fstab != Path::new(FSTAB);
        let mut command = Command::new("mount").c_locale();
        if fstab {
            command = command.arg("-T").arg(&self.fstab);
        }
        let option = self.given.map_or_else(|| "remount".to_owned(), |opts| format!("remount,{opts}"));
        let done = self.command(command.arg("-o").arg(option).arg("--").arg(&self.path), "remounting");
        if done.is_ok() || self.given.is_some() {
            return done;
        }
        // Some file systems cannot be remounted as they are.
        self.command(Command::new("umount").c_locale().arg("--").arg(&self.path), "remounting")?;
        let mut command = Command::new("mount").c_locale();
        if fstab {
            command = command.arg("-T").arg(&self.fstab);
        }
        self.command(command.arg("--").arg(&self.path), "remounting")
    }

    fn unmount(&self) -> Result<(), Failure> {
        self.command(Command::new("umount").c_locale().arg("--").arg(&self.path), "unmounting")
    }

    /// An entry that is not in fstab is left alone, whatever is mounted.
    fn absent(&self) -> Result<Outcome, Failure> {
        let outcome = self.unset()?;
        if !outcome.changed {
            return Ok(outcome);
        }
        if self.mounted().is_some() {
            self.unmount()?;
        }
        if self.host.exists(&self.path)? {
            // Never with what it holds: rmdir refuses that.
            self.command(Command::new("rmdir").c_locale().arg("--").arg(&self.path), "rmdir")?;
        }
        Ok(outcome)
    }

    fn make_directory(&self) -> Result<Vec<PathBuf>, Failure> {
        if self.host.exists(&self.path)? {
            return Ok(Vec::new());
        }
        files::make_directories(self.host, &self.path, None)
    }

    fn unmake(&self, made: &[PathBuf]) -> Result<(), Failure> {
        for directory in made.iter().rev() {
            self.host.run(&Command::new("rmdir").c_locale().arg("--").arg(directory))?;
        }
        Ok(())
    }

    fn command(&self, command: Command, what: &str) -> Result<(), Failure> {
        match self.host.run(&command)? {
            Some(output) if output.rc != 0 => {
                let said = output.stdout_text() + &output.stderr_text();
                Err(Failure::new(format!("Error {what} {}: {said}", self.name)))
            }
            _ => Ok(()),
        }
    }
}
