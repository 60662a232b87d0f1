//! `ansible.builtin.rpm_key`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::http::Client;
use crate::args::{Presence as State, yes};
use crate::host::{Command, Host, temporary};
use crate::module::{Context, Failure, Module, Outcome};

/// Adds a key to those that rpm trusts, or removes it.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct RpmKey {
    /// A URL, a file of the host, or the id of a key that rpm has.
    key: String,
    /// Whether rpm should trust it.
    #[serde(default)]
    state: State,
    /// Whether the certificate of a URL is checked.
    #[serde(default = "yes")]
    validate_certs: bool,
    /// The fingerprints that the key may have.
    #[serde(default)]
    fingerprint: Vec<String>,
}

impl Module for RpmKey {
    const NAME: &'static str = "ansible.builtin.rpm_key";

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let rpm = host.require_program("rpm")?;
        let mut kept = None;
        let file = if self.key.contains("://") {
            let path = self.fetch(host, &mut kept)?;
            Some(path)
        } else {
            let path = host.expand_path(&self.key)?;
            host.exists(&path)?.then_some(path)
        };
        let (id, fingerprints) = match &file {
            Some(file) => self.of_file(host, file)?,
            None => {
                let id = key_id(&self.key).ok_or_else(|| Failure::new(format!("Not a valid key {}", self.key)))?;
                if self.state == State::Present {
                    return Err(Failure::new("When importing a key, a valid file must be given"));
                }
                (id, Vec::new())
            }
        };
        let wanted: Vec<String> = self.fingerprint.iter().map(|f| f.replace(' ', "").to_uppercase()).collect();
        if !wanted.is_empty() && !wanted.iter().any(|f| fingerprints.contains(f)) {
            return Err(Failure::new(format!(
                "The specified fingerprint, '{}', does not match any key fingerprints in '{}'",
                wanted.join(", "),
                fingerprints.join(", ")
            )));
        }
        let short: String = id.chars().skip(id.len().saturating_sub(8)).collect::<String>().to_lowercase();
        // A status other than 0 says that there are no keys.
        let list = host.query(&Command::new(&rpm).args(["-q", "--qf", "%{VERSION}\\n", "gpg-pubkey"]).c_locale())?;
        let there = list.rc == 0 && list.stdout_text().lines().any(|known| known.trim().eq_ignore_ascii_case(&short));
        let command = match (self.state, &file) {
            (State::Present, Some(file)) if !there => Command::new(&rpm).arg("--import").arg(file),
            (State::Absent, _) if there => {
                Command::new(&rpm).args(["--erase", "--allmatches"]).arg(format!("gpg-pubkey-{short}"))
            }
            _ => return Ok(Outcome::unchanged()),
        };
        match host.run(&command.c_locale())? {
            Some(output) if output.rc != 0 => Err(Failure::new(output.complaint()).with("rc", output.rc)),
            _ => Ok(Outcome::new(true)),
        }
    }
}

/// The id that a text is, without `0x`.
fn key_id(text: &str) -> Option<String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text).replace(' ', "");
    let fits = matches!(digits.len(), 8 | 16 | 40) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    fits.then(|| digits.to_uppercase())
}

impl RpmKey {
    fn fetch(&self, host: &Host, kept: &mut Option<tempfile::NamedTempFile>) -> Result<PathBuf, Failure> {
        let attempted =
            |f: Failure| Failure::new(format!("failed to fetch key at {} , error was: {}", self.key, f.msg));
        let client = Client { validate_certs: self.validate_certs, ..Client::default() };
        let key = client.text(host, &self.key).map_err(attempted)?;
        let begins = String::from_utf8_lossy(&key).contains("-----BEGIN PGP PUBLIC KEY BLOCK-----");
        if !begins {
            return Err(Failure::new(format!("Not a public key: {}", self.key)));
        }
        let mut file = temporary(&std::env::temp_dir(), "").context(|| "cannot make a temporary file".into())?;
        std::io::Write::write_all(&mut file, &key).context(|| "cannot write a temporary file".into())?;
        let path = file.path().to_path_buf();
        *kept = Some(file);
        Ok(path)
    }

    /// The id of a file's first key, and all fingerprints.
    fn of_file(&self, host: &Host, file: &std::path::Path) -> Result<(String, Vec<String>), Failure> {
        let gpg = host.find_program("gpg").or_else(|| host.find_program("gpg2"));
        let gpg = gpg.ok_or_else(|| Failure::new("rpm_key requires a command line gpg or gpg2, none found"))?;
        let options = ["--no-tty", "--batch", "--with-colons", "--fixed-list-mode", "--show-keys", "--"];
        let output = host.query(&Command::new(gpg).args(options).arg(file).c_locale())?;
        let text = output.stdout_text();
        let field = |line: &str, at: usize| line.split(':').nth(at).unwrap_or_default().to_owned();
        let id = text.lines().find(|line| line.starts_with("pub:")).map(|line| field(line, 4));
        let fingerprints = text.lines().filter(|line| line.starts_with("fpr:")).map(|line| field(line, 9)).collect();
        match id.filter(|id| !id.is_empty() && output.rc == 0) {
            Some(id) => Ok((id, fingerprints)),
            None => Err(Failure::new(format!("Unexpected gpg output: {}", output.complaint()))),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::stage::Stage;
    use super::*;

    fn stage() -> Stage {
        let stage = Stage::new(&[("/k.asc", "key"), ("/no.asc", "x")]);
        stage.program("gpg", "case $7 in /no*) echo 'gpg: no data' >&2; exit 2;; esac; echo pub:-:2048:1:53073F3354668901:::; echo fpr:::::::::ABCD1234:");
        stage.program(
            "rpm",
            "case $1 in -q) [ -e $R/db ] && cat $R/db || exit 1;; --import) echo 54668901 >$R/db;; *) rm $R/db;; esac",
        );
        stage
    }

    #[test]
    fn keys_come_and_go() {
        let stage = stage();
        let args = json!({"key": "/k.asc", "fingerprint": "ab cd 12 34"});
        assert!(stage.check::<RpmKey>(args.clone()).unwrap().changed && !stage.exists("/db"));
        assert!(stage.call::<RpmKey>(args.clone()).unwrap().changed);
        assert!(!stage.call::<RpmKey>(args).unwrap().changed);
        stage.calls();
        let args = json!({"key": "0x1E5AC838434A5EBF71DAD3B653073F3354668901", "state": "absent"});
        assert!(stage.check::<RpmKey>(args.clone()).unwrap().changed && stage.exists("/db"));
        assert!(stage.call::<RpmKey>(args.clone()).unwrap().changed);
        assert!(stage.calls().contains(&"rpm [--erase] [--allmatches] [gpg-pubkey-54668901]".to_owned()));
        assert!(!stage.call::<RpmKey>(args).unwrap().changed);
    }

    #[test]
    fn what_is_no_key_is_told() {
        let stage = stage();
        for (args, word) in [
            (json!({"key": "/nope"}), "Not a valid key /nope"),
            (json!({"key": "DEADBEEF"}), "a valid file must be given"),
            (json!({"key": "/no.asc"}), "no data"),
            (json!({"key": "/k.asc", "fingerprint": ["AA"]}), "does not match any key fingerprints"),
        ] {
            let msg = stage.call::<RpmKey>(args).unwrap_err().msg;
            assert!(msg.contains(word), "{msg}");
        }
    }
}
