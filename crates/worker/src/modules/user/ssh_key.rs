//! An SSH key for a user.

use std::path::{Path, PathBuf};

use super::{User, text};
use crate::host::{Attributes, Command, FileKind, Host, UserEntry};
use crate::module::{Failure, Outcome};

impl User {
    /// Makes the key if there is none (or a new one with `force`), and tells its file, fingerprint and public half.
    pub(super) fn ssh_key(&self, host: &Host, user: &UserEntry, outcome: &mut Outcome) -> Result<(), Failure> {
        let file = self.key_file(host, user)?;
        if host.exists(&file)? && !self.force {
            let note = format!("The SSH key {} is there already and is kept", file.display());
            outcome.set("warnings", vec![note]);
        } else {
            self.generate(host, user, &file)?;
            outcome.changed = true;
        }
        if host.exists(&file)? {
            let output = host.query_ok(&Command::new("ssh-keygen").arg("-l").arg("-f").arg(&file))?;
            outcome.set("ssh_fingerprint", output.stdout_text().trim());
        }
        outcome.set("ssh_key_file", text(&file));
        let public = host.read_if_exists(&beside(&file))?;
        if let Some(public) = public {
            outcome.set("ssh_public_key", String::from_utf8_lossy(&public).trim());
        }
        Ok(())
    }

    fn key_file(&self, host: &Host, user: &UserEntry) -> Result<PathBuf, Failure> {
        let file = match &self.ssh_key_file {
            Some(file) => host.path(file)?,
            None => PathBuf::from(format!(".ssh/id_{}", self.ssh_key_type)),
        };
        // In a dry run, a home that is about to change is the new one.
        Ok(self.home_path(host)?.unwrap_or_else(|| user.home.clone()).join(file))
    }

    fn generate(&self, host: &Host, user: &UserEntry, file: &Path) -> Result<(), Failure> {
        if host.check_mode() {
            return Ok(());
        }
        let home = self.home_path(host)?.unwrap_or_else(|| user.home.clone());
        if !host.exists(&home)? {
            return Err(Failure::new(format!("User {} home directory does not exist", self.name)));
        }
        let owned = |path: &Path| -> Result<(), Failure> {
            let attributes = Attributes {
                owner: Some(user.uid.to_string()),
                group: Some(user.gid.to_string()),
                ..Attributes::default()
            };
            host.set_attributes(path, &attributes, false).map(drop)
        };
        if let Some(directory) = file.parent()
            && !host.exists(directory)?
        {
            host.make_directory(directory, Some(0o700))?;
            owned(directory)?;
        }
        if self.force {
            host.remove(file)?;
            host.remove(&beside(file))?;
        } else if host.kind(&beside(file))? != FileKind::Absent {
            // A link there would be followed, to wherever the user made it point.
            let message = format!(
                "The public key {} is there without its private key, and `force` is not set",
                beside(file).display()
            );
            return Err(Failure::new(message));
        }
        self.keygen(host, file)?;
        owned(file)?;
        owned(&beside(file))
    }

    fn keygen(&self, host: &Host, file: &Path) -> Result<(), Failure> {
        let comment = self.ssh_key_comment.clone().unwrap_or_else(|| {
            let name = host.text("/proc/sys/kernel/hostname").unwrap_or_default();
            format!("ansible-generated on {}", name.trim())
        });
        let mut command = Command::new(host.require_program("ssh-keygen")?).args(["-t", &self.ssh_key_type]);
        if let Some(bits) = self.ssh_key_bits.filter(|bits| *bits > 0) {
            command = command.args(["-b".to_owned(), bits.to_string()]);
        }
        command = command.args(["-C", &comment, "-f"]).arg(file);
        let Some(passphrase) = self.ssh_key_passphrase.as_deref().filter(|p| !p.is_empty()) else {
            host.run_ok(&command.args(["-N", ""]))?;
            return Ok(());
        };
        // Arguments are for everybody to see; the environment of root's processes is not.
        let asker =
            host.scratch_program("program", &b"#!/bin/sh\nprintf '%s\\n' \"$RPLAY_PASSPHRASE\"\n".to_vec().into())?;
        let command = command
            .env("SSH_ASKPASS", &*asker)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("DISPLAY", ":")
            .env("RPLAY_PASSPHRASE", passphrase);
        host.run_ok(&command)?;
        Ok(())
    }
}

/// The public half's file.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}
