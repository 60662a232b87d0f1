//! Users and groups: the local files first, then `getent` for those of a directory service.

use std::path::PathBuf;

use super::{Command, Host};
use crate::module::Failure;

/// A line of passwd(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserEntry {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Comment.
    pub gecos: String,
    /// Home directory.
    pub home: PathBuf,
    /// Login shell.
    pub shell: String,
}

/// A line of group(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupEntry {
    /// Group name.
    pub name: String,
    /// Group id.
    pub gid: u32,
    /// Supplementary members.
    pub members: Vec<String>,
}

impl UserEntry {
    fn parse(line: &str) -> Option<Self> {
        let parts: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, gecos, home, shell] = parts.as_slice() else { return None };
        Some(Self {
            name: (*name).to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            gecos: (*gecos).to_owned(),
            home: PathBuf::from(home),
            shell: (*shell).to_owned(),
        })
    }
}

impl GroupEntry {
    fn parse(line: &str) -> Option<Self> {
        let parts: Vec<&str> = line.split(':').collect();
        let [name, _, gid, members] = parts.as_slice() else { return None };
        Some(Self {
            name: (*name).to_owned(),
            gid: gid.parse().ok()?,
            members: members.split(',').filter(|m| !m.is_empty()).map(ToOwned::to_owned).collect(),
        })
    }
}

impl Host {
    /// All users of the local passwd file.
    #[must_use]
    pub fn local_users(&self) -> Vec<UserEntry> {
        self.text("/etc/passwd").unwrap_or_default().lines().filter_map(UserEntry::parse).collect()
    }

    /// All groups of the local group file.
    #[must_use]
    pub fn local_groups(&self) -> Vec<GroupEntry> {
        self.text("/etc/group").unwrap_or_default().lines().filter_map(GroupEntry::parse).collect()
    }

    /// The user called `name`.
    pub fn user(&self, name: &str) -> Result<Option<UserEntry>, Failure> {
        if let Some(user) = self.local_users().into_iter().find(|u| u.name == name) {
            return Ok(Some(user));
        }
        Ok(self.getent("passwd", name)?.as_deref().and_then(UserEntry::parse).filter(|u| u.name == name))
    }

    /// The user with this id.
    pub fn user_by_id(&self, uid: u32) -> Result<Option<UserEntry>, Failure> {
        if let Some(user) = self.local_users().into_iter().find(|u| u.uid == uid) {
            return Ok(Some(user));
        }
        Ok(self.getent("passwd", &uid.to_string())?.as_deref().and_then(UserEntry::parse))
    }

    /// The group called `name`.
    pub fn group(&self, name: &str) -> Result<Option<GroupEntry>, Failure> {
        if let Some(group) = self.local_groups().into_iter().find(|g| g.name == name) {
            return Ok(Some(group));
        }
        Ok(self.getent("group", name)?.as_deref().and_then(GroupEntry::parse).filter(|g| g.name == name))
    }

    /// The group with this id.
    pub fn group_by_id(&self, gid: u32) -> Result<Option<GroupEntry>, Failure> {
        if let Some(group) = self.local_groups().into_iter().find(|g| g.gid == gid) {
            return Ok(Some(group));
        }
        Ok(self.getent("group", &gid.to_string())?.as_deref().and_then(GroupEntry::parse))
    }

    /// Asks the name service, only when it has more than files to offer.
    fn getent(&self, database: &str, key: &str) -> Result<Option<String>, Failure> {
        let files_only =
            self.text("/etc/nsswitch.conf").unwrap_or_default().lines().all(|line| match line.split_once(':') {
                Some((name, sources)) if name.trim() == database => sources
                    .split('#')
                    .next()
                    .unwrap_or_default()
                    .split_whitespace()
                    .all(|s| matches!(s, "files" | "compat" | "systemd") || s.starts_with('[')),
                _ => true,
            });
        if files_only || self.find_program("getent").is_none() {
            return Ok(None);
        }
        let output = self.query(&Command::new("getent").args([database, "--", key]))?;
        Ok((output.rc == 0).then(|| output.stdout_text().lines().next().unwrap_or_default().to_owned()))
    }
}
