//! `ansible.builtin.apt_key`, for hosts that still have `apt-key`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::http::Client;
use crate::args::{PathArg, Presence as State, yes};
use crate::host::{Command, Host};
use crate::module::{Failure, Module, Outcome};

/// Adds a key to those that apt trusts, or removes it.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AptKey {
    /// The key's id or fingerprint.
    #[serde(default)]
    id: Option<String>,
    /// The key itself.
    #[serde(default)]
    data: Option<String>,
    /// A file of the host that holds it.
    #[serde(default)]
    file: Option<PathArg>,
    /// The keyring; apt's own by default.
    #[serde(default)]
    keyring: Option<PathArg>,
    /// Where it can be fetched from.
    #[serde(default)]
    url: Option<String>,
    /// The keyserver that has it.
    #[serde(default)]
    keyserver: Option<String>,
    /// Whether the certificate of the URL is checked.
    #[serde(default = "yes")]
    validate_certs: bool,
    /// Whether apt should trust it.
    #[serde(default)]
    state: State,
}

impl Module for AptKey {
    const NAME: &'static str = "ansible.builtin.apt_key";

    fn check(&self) -> Result<(), String> {
        let given = [self.data.is_some(), self.file.is_some(), self.keyserver.is_some(), self.url.is_some()];
        if given.iter().filter(|given| **given).count() > 1 {
            return Err("parameters are mutually exclusive: data|file|keyserver|url".into());
        }
        if self.state == State::Present && self.id.is_none() {
            if self.keyserver.is_some() {
                return Err("Missing key_id, required with keyserver.".into());
            }
            if !given.contains(&true) {
                return Err("a key is needed: data, file, url, or id and keyserver".into());
            }
        }
        if self.keyserver.as_deref().is_some_and(|server| server.starts_with('-')) {
            return Err("keyserver must be the address of a server".into());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let program = host.require_program("apt-key")?;
        let keyring = self.keyring.as_ref().map(|path| host.path(path)).transpose()?;
        let apt_key = AptKeyProgram { host, program, keyring };
        let (mut data, id) = match (&self.id, self.state) {
            (Some(id), _) => (None, id.clone()),
            (None, State::Absent) => return Err(Failure::new("Invalid key_id").with("id", json!(null))),
            (None, State::Present) => {
                let data = self.data(host)?;
                let id = self.id_of(host, &data)?;
                (Some(data), id)
            }
        };
        let ids = Ids::of(&id).ok_or_else(|| Failure::new("Invalid key_id").with("id", id.clone()))?;
        let before = apt_key.list(&ids)?;
        let there = before.contains(&ids.compared);
        let told = |outcome: Outcome| {
            let outcome = outcome.with("id", id.clone()).with("key_id", ids.full.clone());
            outcome.with("short_id", ids.short.clone()).with("fp", ids.compared.clone()).with("before", json!(before))
        };
        if there == (self.state == State::Present) {
            return Ok(told(Outcome::unchanged()));
        }
        if host.check_mode() {
            return Ok(told(Outcome::new(true)));
        }
        match (self.state, &self.keyserver) {
            (State::Absent, _) => apt_key.change(&["del", &ids.short], None, "Unable to remove a key with id")?,
            (State::Present, Some(server)) => {
                let words = ["adv", "--no-tty", "--keyserver", server, "--recv", &ids.full];
                let error = format!("Error fetching key {} from keyserver: {server}", ids.full);
                apt_key.retried(&words, &error)?;
            }
            (State::Present, None) => {
                let data = match data.take() {
                    Some(data) => data,
                    None => self.data(host)?,
                };
                apt_key.change(&["add", "-"], Some(data), "Unable to add a key")?;
            }
        }
        let after = apt_key.list(&ids)?;
        if after.contains(&ids.compared) != (self.state == State::Present) {
            let msg = match self.state {
                State::Present => {
                    "apt-key did not return an error, but failed to add the key (check that the id is correct and \
                     *not* a subkey)"
                }
                State::Absent => {
                    "apt-key did not return an error, but the key was not removed (check that the id is correct and \
                     *not* a subkey)"
                }
            };
            let outcome = told(Outcome::new(before != after)).with("after", json!(after));
            let changed = outcome.changed;
            let failure = Failure { msg: msg.into(), fields: outcome.fields };
            return Err(failure.with("changed", changed));
        }
        Ok(told(Outcome::new(before != after)).with("after", json!(after)))
    }
}

/// A key's id in the lengths that are needed.
struct Ids {
    full: String,
    /// What is looked for in lists: 8 or 16 digits.
    compared: String,
    short: String,
}

impl Ids {
    fn of(id: &str) -> Option<Self> {
        let full = id.trim().to_uppercase();
        let full = full.strip_prefix("0X").unwrap_or(&full).replace(' ', "");
        let fits = (full.len() == 8 || full.len() >= 16) && full.bytes().all(|b| b.is_ascii_hexdigit());
        if !fits {
            return None;
        }
        let last = |digits: usize| full.chars().skip(full.len().saturating_sub(digits)).collect::<String>();
        Some(Self { compared: last(if full.len() == 8 { 8 } else { 16 }), short: last(8), full })
    }
}

impl AptKey {
    /// The key itself.
    fn data(&self, host: &Host) -> Result<Vec<u8>, Failure> {
        if let Some(data) = &self.data {
            return Ok(data.clone().into_bytes());
        }
        if let Some(file) = &self.file {
            return host.read(&host.path(file)?);
        }
        let Some(url) = &self.url else {
            return Err(Failure::new("the key is not there yet: data, file, url or keyserver is needed to add it"));
        };
        if let Some(path) = url.strip_prefix("file://") {
            return host.read(std::path::Path::new(path));
        }
        let client = Client { validate_certs: self.validate_certs, ..Client::default() };
        let told = |f: Failure| Failure::new(format!("Failed to download key at {url}: {}", f.msg));
        client.text(host, url).map_err(told)
    }

    /// The id of the first key in `data`.
    fn id_of(&self, host: &Host, data: &[u8]) -> Result<String, Failure> {
        let gpg = Command::new(host.require_program("gpg")?);
        let options = ["--no-tty", "--batch", "--with-colons", "--fixed-list-mode", "--show-keys"];
        let output = host.query(&gpg.args(options).stdin(data).c_locale())?;
        let text = output.stdout_text();
        let line = text.lines().find(|line| line.starts_with("pub:"));
        let id = line.and_then(|line| line.split(':').nth(4)).filter(|id| !id.is_empty());
        let of = self.file.as_ref().map(|f| &f.0).or(self.url.as_ref()).map_or("inline data", String::as_str);
        id.map(ToOwned::to_owned).ok_or_else(|| {
            Failure::new(format!("Unable to extract key from '{of}'")).with("stderr", output.stderr_text())
        })
    }
}

struct AptKeyProgram<'a> {
    host: &'a Host,
    program: PathBuf,
    keyring: Option<PathBuf>,
}

impl AptKeyProgram<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program).c_locale();
        if let Some(keyring) = &self.keyring {
            command = command.arg("--keyring").arg(keyring);
        }
        command.args(words)
    }

    /// The ids of all keys, in the length that is compared.
    fn list(&self, ids: &Ids) -> Result<Vec<String>, Failure> {
        let output = self.host.query(&self.command(&["adv", "--list-public-keys", "--with-colons"]))?;
        if output.rc != 0 {
            return Err(Failure::new(format!("Unable to list public keys: {}", output.complaint())));
        }
        let text = output.stdout_text();
        let keys = text.lines().filter(|line| line.starts_with("pub:") || line.starts_with("sub:"));
        let id = |line: &str| line.split(':').nth(4).map(ToOwned::to_owned);
        let cut = |id: String| id.chars().skip(id.len().saturating_sub(ids.compared.len())).collect();
        Ok(keys.filter_map(id).map(cut).collect())
    }

    fn change(&self, words: &[&str], data: Option<Vec<u8>>, error: &str) -> Result<(), Failure> {
        let command = self.command(words).stdin(data.unwrap_or_default());
        match self.host.run(&command)? {
            Some(output) if output.rc != 0 => Err(Failure::new(error)
                .with("cmd", command.words().join(" "))
                .with("rc", output.rc)
                .with("stdout", output.stdout_text())
                .with("stderr", output.stderr_text())),
            _ => Ok(()),
        }
    }

    /// The same several times: keyservers are known to fail.
    fn retried(&self, words: &[&str], error: &str) -> Result<(), Failure> {
        let mut outcome = self.change(words, None, error);
        for _ in 0..4 {
            if outcome.is_ok() || self.host.is_cancelled() {
                break;
            }
            outcome = self.change(words, None, error);
        }
        outcome
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    const FULL: &str = "1E5AC838434A5EBF71DAD3B653073F3354668901";

    fn stage() -> Stage {
        let stage = Stage::new(&[("/k.asc", "key")]);
        stage.program("gpg", "cat >/dev/null; [ -e $R/bad ] || echo pub:-:2048:1:53073F3354668901:::");
        stage.program(
            "apt-key",
            "case $1 in --keyring) shift 2;; esac\n\
             case \"$1 $2 $3\" in 'adv --list'*) cat $R/list 2>/dev/null; exit 0;; esac\n\
             case $1 in add) cat >/dev/null; echo pub:-:2048:1:53073F3354668901::: >>$R/list;; del) rm $R/list;;\n\
             adv) echo no server >&2; exit 2;; esac",
        );
        stage
    }

    #[test]
    fn keys_come_and_go() {
        let stage = stage();
        let args = json!({"file": "/k.asc", "keyring": "/etc/k.gpg"});
        let dry = stage.check::<AptKey>(args.clone()).unwrap();
        assert!(dry.changed && dry.fields["before"] == json!([]) && !stage.exists("/list"));
        let done = stage.call::<AptKey>(args.clone()).unwrap();
        assert_eq!(
            (&done.fields["after"], &done.fields["short_id"]),
            (&json!(["53073F3354668901"]), &json!("54668901"))
        );
        assert!(stage.calls().contains(&"apt-key [--keyring] [/etc/k.gpg] [add] [-]".to_owned()));
        assert!(!stage.call::<AptKey>(args).unwrap().changed);
        let args = json!({"id": format!("0x{FULL}"), "state": "absent"});
        let gone = stage.call::<AptKey>(args.clone()).unwrap();
        assert_eq!((gone.changed, &gone.fields["key_id"], &gone.fields["after"]), (true, &json!(FULL), &json!([])));
        assert!(!stage.call::<AptKey>(args).unwrap().changed);
    }

    #[test]
    fn what_does_not_work_is_told() {
        let stage = stage();
        for (args, word) in [
            (json!({"state": "absent"}), "Invalid key_id"),
            (json!({"state": "absent", "id": "xyz"}), "Invalid key_id"),
            (json!({"keyserver": "hkp://x"}), "Missing key_id"),
            (json!({"keyserver": "hkp://x", "id": "DEADBEEF"}), "Error fetching key DEADBEEF"),
            (json!({"id": "DEADBEEF", "data": "x"}), "did not return an error"),
            (json!({"url": "a", "data": "x"}), "mutually exclusive"),
        ] {
            let msg = stage.call::<AptKey>(args).unwrap_err().msg;
            assert!(msg.contains(word), "{msg}");
        }
        stage.file("/bad", "");
        assert!(stage.call::<AptKey>(json!({"data": "x"})).unwrap_err().msg.contains("Unable to extract key"));
    }
}
