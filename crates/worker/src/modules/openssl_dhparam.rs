//! `community.crypto.openssl_dhparam`.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::{self, text};
use crate::args::{PathArg, Presence, file_arguments};
use crate::host::{Command, Host, WriteOptions};
use crate::module::{Failure, Module, Outcome};

/// By which program parameters are made; here it is always openssl.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    #[default]
    Auto,
    Cryptography,
    Openssl,
}

file_arguments! {
    /// Makes the parameters of a Diffie-Hellman key exchange with the host's openssl.
    #[derive(Debug, Deserialize, JsonSchema)]
    pub struct OpensslDhparam {
        /// The file.
        path: PathArg,
        /// How many bits the prime has.
        #[serde(default = "size")]
        size: u32,
        /// Whether the file should be there.
        #[serde(default)]
        state: Presence,
        /// Whether new parameters are made in any case.
        #[serde(default)]
        force: bool,
        /// Whether the old file is kept under another name.
        #[serde(default)]
        backup: bool,
        /// Whether the parameters are told.
        #[serde(default)]
        return_content: bool,
        /// By which program parameters are made; here it is always openssl.
        #[serde(default, rename = "select_crypto_backend")]
        _backend: Backend,
    }
}

fn size() -> u32 {
    4096
}

impl Module for OpensslDhparam {
    const NAME: &'static str = "community.crypto.openssl_dhparam";
    const ALONE: bool = true;

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.path)?;
        files::require_parent(host, &path)?;
        let outcome = match self.state {
            Presence::Present => self.present(host, &path)?,
            Presence::Absent => self.absent(host, &path)?,
        };
        let mut outcome = outcome.with("size", self.size).with("filename", text(&path));
        if self.return_content {
            let content = host.read_if_exists(&path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            outcome.set("dhparams", content);
        }
        Ok(outcome)
    }
}

impl OpensslDhparam {
    fn absent(&self, host: &Host, path: &Path) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::new(host.lstat(path)?.is_some());
        if outcome.changed {
            if self.backup
                && !host.check_mode()
                && let Some(kept) = host.backup(path)?
            {
                outcome.set("backup_file", text(&kept));
            }
            host.remove(path)?;
        }
        Ok(outcome)
    }

    fn present(&self, host: &Host, path: &Path) -> Result<Outcome, Failure> {
        let openssl = host.require_program("openssl")?;
        let mut outcome = Outcome::new(self.force || !self.is_good(host, &openssl, path)?);
        if outcome.changed && !host.check_mode() {
            let made = host.query_ok(&Command::new(&openssl).arg("dhparam").arg(self.size.to_string()))?;
            let options = WriteOptions {
                backup: self.backup,
                unsafe_writes: self.unsafe_writes,
                mode_if_new: Some(host.mode_of_new(self.mode.as_ref(), false)?),
                ..WriteOptions::default()
            };
            let written = files::write_through(host, path, made.stdout, &options)?;
            if let Some(kept) = written.backup_file {
                outcome.set("backup_file", text(&kept));
            }
        }
        if host.lstat(path)?.is_some() {
            files::settle(host, path, &self.file_attributes(), true, &mut outcome)?;
        }
        Ok(outcome)
    }

    /// Whether the file has parameters of that size.
    fn is_good(&self, host: &Host, openssl: &Path, path: &Path) -> Result<bool, Failure> {
        if !host.exists(path)? {
            return Ok(false);
        }
        let command = Command::new(openssl).args(["dhparam", "-check", "-text", "-noout", "-in"]).arg(path).c_locale();
        let output = host.query(&command)?;
        let told = output.stdout_text();
        let bits =
            told.lines().find_map(|line| line.split_once("Parameters: (")?.1.split_once(" bit")?.0.trim().parse().ok());
        Ok(output.rc == 0 && bits == Some(self.size))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::stage::Stage;

    fn stage() -> Stage {
        let stage = Stage::new(&[("/etc/old.pem", "512\n"), ("/etc/odd.pem", "")]);
        let check = "s=$(cat \"$R$6\"); [ -n \"$s\" ] || { echo unable to load >&2; exit 1; }; echo \"    DH Parameters: ($s bit)\"";
        stage.program("openssl", &format!("case $2 in -check) {check};; *) echo \"$2\";; esac"));
        stage
    }

    #[test]
    fn parameters_are_made_once() {
        let stage = stage();
        let new = json!({"path": "/etc/new.pem", "size": 1024, "mode": "0600"});
        let outcome = stage.call::<OpensslDhparam>(new.clone()).unwrap();
        assert!(outcome.changed && outcome.fields["size"] == 1024, "{outcome:?}");
        assert_eq!(stage.text("/etc/new.pem"), "1024\n");
        assert!(!stage.call::<OpensslDhparam>(new).unwrap().changed);
        assert!(!stage.call::<OpensslDhparam>(json!({"path": "/etc/old.pem", "size": 512})).unwrap().changed);
        assert!(stage.call::<OpensslDhparam>(json!({"path": "/etc/odd.pem", "size": 512})).unwrap().changed);
        let bigger = json!({"path": "/etc/old.pem", "size": 600, "backup": true, "return_content": true});
        let outcome = stage.call::<OpensslDhparam>(bigger).unwrap();
        assert!(outcome.changed && outcome.fields.contains_key("backup_file"));
        assert_eq!(outcome.fields["dhparams"], "600\n");
    }

    #[test]
    fn a_file_goes_once_and_needs_a_directory() {
        let stage = stage();
        let gone = json!({"path": "/etc/old.pem", "state": "absent"});
        assert!(stage.call::<OpensslDhparam>(gone.clone()).unwrap().changed);
        assert!(!stage.call::<OpensslDhparam>(gone).unwrap().changed);
        let failure = stage.call::<OpensslDhparam>(json!({"path": "/none/dh.pem"})).unwrap_err();
        assert_eq!(failure.fields["name"], "/none");
    }
}
