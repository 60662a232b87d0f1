//! `community.general.htpasswd`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::{self, text};
use crate::args::{PathArg, Presence as State, file_arguments, yes};
use crate::crypt::{self, Scheme};
use crate::host::{Attributes, Host, WriteOptions};
use crate::module::{Context, Failure, Module, Outcome};

file_arguments! {
    /// Manages the users of a password file of a web server, and their passwords.
    #[derive(Debug, Deserialize, JsonSchema)]
    pub struct Htpasswd {
        /// The file.
        #[serde(alias = "dest", alias = "destfile")]
        path: PathArg,
        /// The user.
        #[serde(alias = "username")]
        name: String,
        /// The password, which a user who should be there must have.
        #[serde(default)]
        password: Option<String>,
        /// How the password is hashed when it is written: `apr_md5_crypt`, `bcrypt`, `sha256_crypt`, `sha512_crypt`,
        /// `md5_crypt`, `des_crypt`, `ldap_sha1`, `ldap_salted_sha1` or `plaintext`.
        #[serde(default = "scheme", alias = "crypt_scheme")]
        hash_scheme: String,
        /// Whether a file that is not there is made.
        #[serde(default = "yes")]
        create: bool,
        /// Whether the user should be there.
        #[serde(default)]
        state: State,
    }
}

/// What is added to the message when the file's attributes are others than before.
const ATTRIBUTES: &str = " and ownership, perms or SE linux context changed";

fn scheme() -> String {
    "apr_md5_crypt".to_owned()
}

impl Module for Htpasswd {
    const NAME: &'static str = "community.general.htpasswd";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        self.scheme()?;
        if self.name.contains([':', '\n', '\r', '\0']) {
            return Err("the name of a user cannot hold a colon or a line break".to_owned());
        }
        match &self.password {
            None if self.state == State::Present => {
                Err(format!("a password must be given for {}, who should be present", self.name))
            }
            Some(password) if password.contains(['\n', '\r', '\0']) => {
                Err("the password cannot hold a line break".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.path)?;
        let shown = text(&path);
        let Some(old) = host.read_if_exists(&path)? else {
            return match self.state {
                State::Absent => {
                    let warning = format!("{shown} does not exist");
                    let msg = format!("{} not present", self.name);
                    Ok(Outcome::unchanged().with("msg", msg).with("warnings", vec![warning]))
                }
                State::Present if !self.create => Err(Failure::new(format!("Destination {shown} does not exist"))),
                State::Present => self.create(host, &path),
            };
        };
        let old = String::from_utf8(old).context(|| format!("cannot read {shown}"))?;
        let (new, msg) = self.edited(&old)?;
        let mut outcome = Outcome::new(new.is_some());
        if let Some(new) = new {
            let options = WriteOptions { unsafe_writes: self.unsafe_writes, ..WriteOptions::default() };
            files::write_through(host, &path, new, &options)?;
        }
        self.settle(host, &path, &msg, &mut outcome)?;
        Ok(outcome)
    }
}

impl Htpasswd {
    fn scheme(&self) -> Result<Scheme, String> {
        let found = Scheme::ALL.iter().find(|(name, _)| *name == self.hash_scheme).map(|(_, scheme)| *scheme);
        found.ok_or_else(|| {
            let names = Scheme::ALL.map(|(name, _)| name).join(", ");
            format!("hash_scheme {} is not supported, but these are: {names}", self.hash_scheme)
        })
    }

    /// The line of the user.
    fn line(&self) -> Result<String, Failure> {
        let scheme = self.scheme().map_err(Failure::new)?;
        let password = self.password.as_deref().unwrap_or_default();
        let hash = crypt::random()
            .and_then(|random| scheme.hash(password.as_bytes(), random))
            .context(|| "cannot hash the password".to_owned())?;
        Ok(format!("{}:{hash}\n", self.name))
    }

    fn create(&self, host: &Host, path: &std::path::Path) -> Result<Outcome, Failure> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            files::make_directories(host, parent, None)?;
        }
        let line = self.line()?;
        let options = WriteOptions {
            unsafe_writes: self.unsafe_writes,
            mode_if_new: Some(host.mode_of_new(self.mode.as_ref(), false)?),
            ..WriteOptions::default()
        };
        files::write_through(host, path, line, &options)?;
        let shown = text(path);
        let mut msg = format!("Created {shown} and added {}", self.name);
        if host.check_mode() {
            msg = format!("Create {shown}");
        }
        // What a new file is given counts as a change of it, as in the reference.
        let wanted = self.file_attributes();
        let default = host.mode_of_new(None, false)?;
        let other = host.mode_of_new(self.mode.as_ref(), false)? != default;
        if (host.check_mode() && wanted != Attributes::default()) || other {
            msg.push_str(ATTRIBUTES);
        }
        let mut outcome = Outcome::new(true);
        self.settle(host, path, &msg, &mut outcome)?;
        Ok(outcome)
    }

    /// The new content, where it differs, and what is said of it.
    fn edited(&self, old: &str) -> Result<(Option<String>, String), Failure> {
        let name = &self.name;
        let user = |line: &str| line.split_once(':').map(|(user, _)| user == name);
        // Blank lines go when the file is written.
        let lines = || old.lines().filter(|line| !line.trim().is_empty());
        let entry = |line: &&str| !line.trim_start().starts_with('#');
        if let Some(at) = old.lines().position(|line| entry(&line) && !line.trim().is_empty() && !line.contains(':')) {
            return Err(Failure::new(format!("malformed htpasswd file (error reading line {})", at + 1)));
        }
        let held = lines().filter(entry).find(|line| user(line) == Some(true));
        let held = held.and_then(|line| line.split_once(':')).map(|(_, hash)| hash.trim_end());
        if self.state == State::Absent {
            if held.is_none() {
                return Ok((None, format!("{name} not present")));
            }
            let kept = lines().filter(|line| !entry(line) || user(line) != Some(true));
            return Ok((Some(kept.map(|line| format!("{}\n", line.trim_end())).collect()), format!("Remove {name}")));
        }
        let password = self.password.as_deref().unwrap_or_default();
        if held.is_some_and(|hash| crypt::verify(password.as_bytes(), hash)) {
            return Ok((None, format!("{name} already present")));
        }
        let own = self.line()?;
        let mut new = String::new();
        let mut placed = false;
        for line in lines() {
            if !entry(&line) || user(line) != Some(true) {
                new.push_str(line.trim_end());
                new.push('\n');
            } else if !placed {
                new.push_str(&own);
                placed = true;
            }
        }
        if !placed {
            new.push_str(&own);
        }
        Ok((Some(new), format!("Add/update {name}")))
    }

    /// Brings the attributes about and adds the message; a diff would show hashes.
    fn settle(&self, host: &Host, path: &std::path::Path, msg: &str, outcome: &mut Outcome) -> Result<(), Failure> {
        let mut attributes = Outcome::unchanged();
        files::settle(host, path, &self.file_attributes(), true, &mut attributes)?;
        outcome.changed |= attributes.changed;
        let and = if attributes.changed && !msg.ends_with(ATTRIBUTES) { ATTRIBUTES } else { "" };
        outcome.set("msg", format!("{msg}{and}"));
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::super::stage::Stage;
    use super::*;

    const FILE: &str = "# users\n\na:plain\nbob:{SHA}UWuXg/ylF+7L0dBk2i0WUxCxl1k=\n";

    fn both(args: Value, file: &str) -> (bool, String, String) {
        let stage = Stage::new(&[("/f", file)]);
        let mut all = json!({"path": "/f"});
        all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
        let dry = stage.check::<Htpasswd>(all.clone()).unwrap();
        assert_eq!(stage.text("/f"), file);
        let made = stage.call::<Htpasswd>(all.clone()).unwrap();
        assert_eq!((dry.changed, &dry.fields["msg"]), (made.changed, &made.fields["msg"]));
        assert!(!stage.call::<Htpasswd>(all).unwrap().changed);
        (made.changed, made.fields["msg"].as_str().unwrap().to_owned(), stage.text("/f"))
    }

    #[test]
    fn passwords_are_kept() {
        let plain = "plaintext";
        for (args, msg, file) in [
            (json!({"name": "a", "password": "plain"}), "a already present", None),
            (json!({"name": "bob", "password": "p"}), "bob already present", None),
            (json!({"name": "c", "state": "absent"}), "c not present", None),
            (
                json!({"name": "a", "state": "absent"}),
                "Remove a",
                Some("# users\nbob:{SHA}UWuXg/ylF+7L0dBk2i0WUxCxl1k=\n"),
            ),
            (
                json!({"name": "bob", "password": "x", "hash_scheme": plain}),
                "Add/update bob",
                Some("# users\na:plain\nbob:x\n"),
            ),
            (
                json!({"name": "c", "password": "x", "hash_scheme": plain}),
                "Add/update c",
                Some("# users\na:plain\nbob:{SHA}UWuXg/ylF+7L0dBk2i0WUxCxl1k=\nc:x\n"),
            ),
        ] {
            assert_eq!(
                both(args.clone(), FILE),
                (file.is_some(), msg.to_owned(), file.unwrap_or(FILE).to_owned()),
                "{args}"
            );
        }
        let (_, _, file) = both(json!({"name": "n", "password": "x"}), FILE);
        assert!(file.lines().last().unwrap().starts_with("n:$apr1$"));
    }

    #[test]
    fn files_are_made() {
        let stage = Stage::new(&[]);
        let args = json!({"path": "/d/f", "name": "n", "password": "x", "hash_scheme": "plaintext", "mode": "0600"});
        let and = "and ownership, perms or SE linux context changed";
        assert_eq!(stage.check::<Htpasswd>(args.clone()).unwrap().fields["msg"], format!("Create /d/f {and}"));
        assert!(!stage.exists("/d"));
        assert_eq!(
            stage.call::<Htpasswd>(args.clone()).unwrap().fields["msg"],
            format!("Created /d/f and added n {and}")
        );
        assert_eq!(stage.text("/d/f"), "n:x\n");
        assert!(!stage.call::<Htpasswd>(args).unwrap().changed);
        let gone = stage.call::<Htpasswd>(json!({"path": "/g", "name": "n", "state": "absent"})).unwrap();
        assert_eq!((gone.changed, &gone.fields["warnings"]), (false, &json!(["/g does not exist"])));
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (args, word) in [
            (json!({"name": "a", "password": "x", "path": "/none", "create": false}), "does not exist"),
            (json!({"name": "a"}), "a password must be given"),
            (json!({"name": "a:b", "password": "x"}), "colon"),
            (json!({"name": "a", "password": "x\ny"}), "line break"),
            (json!({"name": "a", "password": "x", "hash_scheme": "rot13"}), "rot13 is not supported"),
            (json!({"name": "a", "password": "x", "path": "/bad"}), "error reading line 2"),
        ] {
            let stage = Stage::new(&[("/f", FILE), ("/bad", "# x\nbad\n")]);
            let mut all = json!({"path": "/f"});
            all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
            assert!(stage.call::<Htpasswd>(all).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
