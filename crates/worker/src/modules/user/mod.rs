//! `ansible.builtin.user`.

mod account;
mod home;
mod shadow;
mod ssh_key;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::group::State;
use super::steps::Steps;
use crate::args::{PathArg, yes};
use crate::host::{Host, UserEntry};
use crate::module::{Failure, Module, Outcome};

/// Manages users.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct User {
    /// The login name.
    #[serde(alias = "user")]
    name: String,
    /// Whether the account should exist.
    #[serde(default)]
    state: State,
    /// The user id.
    #[serde(default)]
    uid: Option<u32>,
    /// Whether the id may be one that another user has.
    #[serde(default)]
    non_unique: bool,
    /// The comment (GECOS).
    #[serde(default)]
    comment: Option<String>,
    /// The primary group, by name or id.
    #[serde(default)]
    group: Option<String>,
    /// Supplementary groups; an empty list or text means none.
    #[serde(default)]
    groups: Option<Vec<String>>,
    /// Whether the groups are added to those that the user is in, instead of replacing them.
    #[serde(default)]
    append: bool,
    /// The login shell.
    #[serde(default)]
    shell: Option<PathArg>,
    /// The home directory.
    #[serde(default)]
    home: Option<PathArg>,
    /// The directory that a new home is a copy of.
    #[serde(default)]
    skeleton: Option<String>,
    /// Whether a home directory is made when there is none.
    #[serde(default = "yes", alias = "createhome")]
    create_home: bool,
    /// Whether the old home's content moves to a new home.
    #[serde(default)]
    move_home: bool,
    /// The umask for a new home directory.
    #[serde(default)]
    umask: Option<String>,
    /// The password, hashed as in shadow(5).
    #[serde(default)]
    password: Option<String>,
    /// Whether an existing user's password is changed when it differs.
    #[serde(default)]
    update_password: UpdatePassword,
    /// Whether the password is locked.
    #[serde(default)]
    password_lock: Option<bool>,
    /// Days after which a password must be changed.
    #[serde(default)]
    password_expire_max: Option<i64>,
    /// Days before which a password may not be changed.
    #[serde(default)]
    password_expire_min: Option<i64>,
    /// Days of warning before a password expires.
    #[serde(default)]
    password_expire_warn: Option<i64>,
    /// Days after a password's end after which the account is disabled.
    #[serde(default)]
    password_expire_account_disable: Option<i64>,
    /// When the account expires, in seconds since 1970; a negative number means never.
    #[serde(default)]
    expires: Option<f64>,
    /// Whether a new account is a system account.
    #[serde(default)]
    system: bool,
    /// With `state: absent`, removes home and mail spool too.
    #[serde(default)]
    remove: bool,
    /// With `state: absent`, removes a user who is logged in; with `generate_ssh_key`, replaces the key.
    #[serde(default)]
    force: bool,
    /// Whether an SSH key is made for the user.
    #[serde(default)]
    generate_ssh_key: bool,
    /// Bits of the SSH key.
    #[serde(default)]
    ssh_key_bits: Option<u32>,
    /// Type of the SSH key.
    #[serde(default = "rsa")]
    ssh_key_type: String,
    /// File of the SSH key, relative to the home directory; `.ssh/id_TYPE` by default.
    #[serde(default)]
    ssh_key_file: Option<PathArg>,
    /// Comment of the SSH key; `ansible-generated on HOST` by default.
    #[serde(default)]
    ssh_key_comment: Option<String>,
    /// Passphrase of the SSH key.
    #[serde(default)]
    ssh_key_passphrase: Option<String>,
    /// The SELinux user of a new account.
    #[serde(default)]
    seuser: Option<String>,
    /// Whether the local files are meant even where users come from a directory service (libuser's programs).
    #[serde(default)]
    local: bool,
    /// The lowest id for a new user.
    #[serde(default)]
    uid_min: Option<u32>,
    /// The highest id for a new user.
    #[serde(default)]
    uid_max: Option<u32>,
    /// Has a meaning on BSD only.
    #[serde(default)]
    #[allow(dead_code)]
    login_class: Option<String>,
    /// Has a meaning on macOS only.
    #[serde(default)]
    #[allow(dead_code)]
    hidden: Option<bool>,
    /// Has a meaning on Solaris only.
    #[serde(default)]
    #[allow(dead_code)]
    profile: Option<String>,
    /// Has a meaning on Solaris only.
    #[serde(default)]
    #[allow(dead_code)]
    authorization: Option<String>,
    /// Has a meaning on Solaris only.
    #[serde(default)]
    #[allow(dead_code)]
    role: Option<String>,
}

fn rsa() -> String {
    "rsa".to_owned()
}

/// When an existing user's password is set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum UpdatePassword {
    #[default]
    Always,
    OnCreate,
}

impl Module for User {
    const NAME: &'static str = "ansible.builtin.user";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        if self.name.starts_with('-') || self.name.contains([':', '\n']) {
            return Err(format!("'{}' is not the name of a user", self.name));
        }
        let limited =
            [("uid_min", self.uid_min.is_some()), ("uid_max", self.uid_max.is_some()), ("umask", self.umask.is_some())];
        if let Some((name, _)) = limited.iter().find(|(_, given)| self.local && *given) {
            return Err(format!("'{name}' can not be used with 'local'"));
        }
        if let Some(umask) = &self.umask
            && home::umask(umask).is_none()
        {
            return Err(format!("umask must be an octal number, got '{umask}'"));
        }
        if self.password.as_deref().is_some_and(|p| p.contains([':', '\n'])) {
            return Err("password must be a hash as in shadow(5), which holds no ':' and no line break".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let mut steps = Steps::default();
        let mut outcome = match self.state {
            State::Absent => return self.absent(host, steps),
            State::Present => self.present(host, &mut steps)?,
        };
        steps.tell(&mut outcome);
        let warnings = self.warnings();
        if !warnings.is_empty() {
            let all = outcome.fields.entry("warnings").or_insert_with(|| Vec::<String>::new().into());
            if let Some(all) = all.as_array_mut() {
                all.extend(warnings.into_iter().map(Into::into));
            }
        }
        Ok(outcome)
    }
}

impl User {
    fn absent(&self, host: &Host, mut steps: Steps) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::unchanged().with("name", self.name.as_str()).with("state", "absent");
        if self.find(host)?.is_none() {
            return Ok(outcome);
        }
        steps.run(host, &self.name, &self.removal(host)?)?;
        if host.check_mode() {
            return Ok(Outcome::new(true));
        }
        outcome.changed = true;
        outcome.set("force", self.force);
        outcome.set("remove", self.remove);
        steps.tell(&mut outcome);
        Ok(outcome)
    }

    fn present(&self, host: &Host, steps: &mut Steps) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::unchanged().with("name", self.name.as_str()).with("state", "present");
        match self.find(host)? {
            None => {
                self.create(host, steps)?;
                if host.check_mode() {
                    return Ok(Outcome::new(true));
                }
                outcome.set("system", self.system);
                outcome.set("create_home", self.create_home);
            }
            Some(user) => {
                self.modify(host, &user, steps)?;
                outcome.set("append", self.append);
                outcome.set("move_home", self.move_home);
            }
        }
        outcome.changed = steps.any;
        if self.password.is_some() {
            outcome.set("password", "NOT_LOGGING_PASSWORD");
        }
        let Some(user) = self.find(host)? else {
            return Err(Failure::new(format!("user {} is not there after it was made", self.name)));
        };
        outcome.set("uid", user.uid);
        outcome.set("group", user.gid);
        outcome.set("comment", user.gecos.as_str());
        outcome.set("home", user.home.to_string_lossy().into_owned());
        outcome.set("shell", user.shell.as_str());
        if let Some(groups) = &self.groups {
            outcome.set("groups", groups.join(","));
        }
        let home = self.home_path(host)?.unwrap_or_else(|| user.home.clone());
        if self.create_home && !host.exists(&home)? {
            self.make_home(host, &home, &user)?;
            outcome.changed = true;
        }
        if self.generate_ssh_key {
            self.ssh_key(host, &user, &mut outcome)?;
        }
        Ok(outcome)
    }

    fn find(&self, host: &Host) -> Result<Option<UserEntry>, Failure> {
        if self.local {
            return Ok(host.local_users().into_iter().find(|u| u.name == self.name));
        }
        host.user(&self.name)
    }

    fn home_path(&self, host: &Host) -> Result<Option<PathBuf>, Failure> {
        self.home.as_ref().filter(|home| !home.0.is_empty()).map(|home| host.path(home)).transpose()
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.password.as_deref().is_some_and(|password| !shadow::is_hash(password)) {
            warnings.push(
                "The password does not look like a hash: it is put into the shadow file as it is, so that nobody could \
                 log in with it. Use the password_hash filter."
                    .to_owned(),
            );
        }
        if self.append && self.groups.is_none() {
            warnings.push(
                "'append' is set, but no 'groups' are specified. Use 'groups' to say what is appended.".to_owned(),
            );
        }
        warnings
    }
}

/// A path as text.
fn text(path: &Path) -> String {
    rplay_protocol::names::to_text(path.as_os_str()).into_owned()
}
