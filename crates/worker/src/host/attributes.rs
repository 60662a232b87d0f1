//! Owner, group, permissions, chattr attributes and SELinux context of a file.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rplay_protocol::names;
use serde_json::{Map, Value};

use super::{Command, Diff, Host, symbolic_mode};
use crate::args::Mode;
use crate::module::{Context, Failure};

/// What a task wants a file's attributes to be; `None` leaves one alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permissions.
    pub mode: Option<Mode>,
    /// User name or id.
    pub owner: Option<String>,
    /// Group name or id.
    pub group: Option<String>,
    /// chattr(1) attributes, with `+`, `-` or `=` before them.
    pub attributes: Option<String>,
    /// SELinux context.
    pub selinux: SelinuxContext,
}

/// The parts of an SELinux context; `_default` means what the policy says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelinuxContext {
    /// `seuser`.
    pub user: Option<String>,
    /// `serole`.
    pub role: Option<String>,
    /// `setype`.
    pub kind: Option<String>,
    /// `selevel`.
    pub level: Option<String>,
}

impl SelinuxContext {
    fn wanted(&self) -> [(&'static str, Option<&String>); 4] {
        [
            ("-u", self.user.as_ref()),
            ("-r", self.role.as_ref()),
            ("-t", self.kind.as_ref()),
            ("-l", self.level.as_ref()),
        ]
    }
}

/// What [`Host::set_attributes`] found and did: a verdict and the attributes that differ.
#[derive(Debug, Default)]
struct Differences {
    before: Map<String, Value>,
    after: Map<String, Value>,
}

impl Differences {
    fn add(&mut self, key: &str, before: impl Into<Value>, after: impl Into<Value>) {
        self.before.insert(key.to_owned(), before.into());
        self.after.insert(key.to_owned(), after.into());
    }
}

impl Host {
    /// Gives `path` the attributes wanted; says what differed, `None` when nothing did.
    ///
    /// Follows a symbolic link when `follow`. In check mode, a path that is not there yet is taken as one that will be
    /// made with the right attributes.
    pub fn set_attributes(&self, path: &Path, wanted: &Attributes, follow: bool) -> Result<Option<Diff>, Failure> {
        let meta = if follow { self.stat(path)? } else { self.lstat(path)? };
        let Some(meta) = meta else {
            if self.check_mode() {
                return Ok(None);
            }
            return Err(Failure::new(format!("cannot set attributes of {}: it does not exist", path.display())));
        };
        let mut differences = Differences::default();
        self.set_owner(path, wanted, &meta, follow, &mut differences)?;
        // After the owner: chown clears set-id bits.
        self.set_mode(path, wanted, &meta, follow, &mut differences)?;
        self.set_selinux(path, &wanted.selinux, &mut differences)?;
        self.set_chattr(path, wanted.attributes.as_deref(), &mut differences)?;
        if differences.after.is_empty() {
            return Ok(None);
        }
        let shown = Value::String(names::to_text(path.as_os_str()).into_owned());
        let mut before = Map::from_iter([("path".to_owned(), shown.clone())]);
        before.extend(differences.before);
        let mut after = Map::from_iter([("path".to_owned(), shown)]);
        after.extend(differences.after);
        Ok(Some(Diff::values(Value::Object(before), Value::Object(after))))
    }

    fn set_owner(
        &self,
        path: &Path,
        wanted: &Attributes,
        meta: &std::fs::Metadata,
        follow: bool,
        out: &mut Differences,
    ) -> Result<(), Failure> {
        let uid = wanted.owner.as_deref().map(|o| self.owner_id(path, o)).transpose()?.filter(|u| *u != meta.uid());
        let gid = wanted.group.as_deref().map(|g| self.group_id(path, g)).transpose()?.filter(|g| *g != meta.gid());
        if let Some(uid) = uid {
            out.add("owner", meta.uid(), uid);
        }
        if let Some(gid) = gid {
            out.add("group", meta.gid(), gid);
        }
        if uid.is_none() && gid.is_none() {
            return Ok(());
        }
        let real = self.real(path);
        self.change(|| {
            let set = if follow { std::os::unix::fs::chown } else { std::os::unix::fs::lchown::<&Path> };
            set(&real, uid, gid).context(|| format!("cannot change the owner of {}", path.display()))
        })?;
        Ok(())
    }

    fn set_mode(
        &self,
        path: &Path,
        wanted: &Attributes,
        meta: &std::fs::Metadata,
        follow: bool,
        out: &mut Differences,
    ) -> Result<(), Failure> {
        // A symbolic link has no permissions of its own on Linux.
        if meta.file_type().is_symlink() && !follow {
            return Ok(());
        }
        let before = meta.mode() & 0o7777;
        let Some(after) = self.wanted_mode(wanted.mode.as_ref(), before, meta.is_dir())? else { return Ok(()) };
        // chown may have cleared set-id bits: look again before deciding that there is nothing to do.
        let owner_changed = !out.after.is_empty();
        if after == before && (!owner_changed || after & 0o6000 == 0) {
            return Ok(());
        }
        if after != before {
            out.add("mode", format!("0{before:03o}"), format!("0{after:03o}"));
        }
        let real = self.real(path);
        self.change(|| {
            std::fs::set_permissions(&real, std::fs::Permissions::from_mode(after))
                .context(|| format!("cannot change the permissions of {}", path.display()))
        })?;
        Ok(())
    }

    /// The permission bits that a mode means for something that has `before` now; `None` when none is wanted.
    pub fn wanted_mode(&self, mode: Option<&Mode>, before: u32, is_dir: bool) -> Result<Option<u32>, Failure> {
        match mode {
            None | Some(Mode::Preserve) => Ok(None),
            Some(Mode::Bits(bits)) => Ok(Some(*bits)),
            Some(Mode::Symbolic(text)) if text.is_empty() => Ok(None),
            Some(Mode::Symbolic(text)) => symbolic_mode(text, before, is_dir).map(Some).map_err(Failure::new),
        }
    }

    /// That there is no such owner or group, with what is at the path.
    fn unknown(&self, path: &Path, msg: String) -> Failure {
        let mut failure = Failure::new(msg).with("path", path.to_string_lossy());
        failure.fields.extend(self.describe(path).unwrap_or_default());
        failure
    }

    /// The user id that an `owner` argument means.
    pub fn owner_id(&self, path: &Path, owner: &str) -> Result<u32, Failure> {
        if let Ok(id) = owner.parse() {
            return Ok(id);
        }
        self.user(owner)?
            .map(|u| u.uid)
            .ok_or_else(|| self.unknown(path, format!("chown failed: failed to look up user {owner}")))
    }

    /// The group id that a `group` argument means.
    pub fn group_id(&self, path: &Path, group: &str) -> Result<u32, Failure> {
        if let Ok(id) = group.parse() {
            return Ok(id);
        }
        self.group(group)?
            .map(|g| g.gid)
            .ok_or_else(|| self.unknown(path, format!("chgrp failed: failed to look up group {group}")))
    }

    /// Whether SELinux is on.
    #[must_use]
    pub fn selinux_enabled(&self) -> bool {
        self.real(Path::new("/sys/fs/selinux/enforce")).exists()
    }

    fn set_selinux(&self, path: &Path, wanted: &SelinuxContext, out: &mut Differences) -> Result<(), Failure> {
        let parts: Vec<_> = wanted.wanted().into_iter().filter_map(|(flag, part)| Some((flag, part?))).collect();
        // As the reference does, a context is not an error on a host without SELinux.
        if parts.is_empty() || !self.selinux_enabled() {
            return Ok(());
        }
        let current = xattr::get(self.real(path), "security.selinux")
            .context(|| format!("cannot read the SELinux context of {}", path.display()))?
            .map(|bytes| String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())
            .unwrap_or_default();
        let mut fields: Vec<String> = current.splitn(4, ':').map(ToOwned::to_owned).collect();
        fields.resize(4, String::new());
        let default = if parts.iter().any(|(_, p)| *p == "_default") {
            let output = self.query_ok(&Command::new("matchpathcon").arg("-n").arg(path.as_os_str()))?;
            let mut fields: Vec<String> = output.stdout_text().trim().splitn(4, ':').map(ToOwned::to_owned).collect();
            fields.resize(4, String::new());
            fields
        } else {
            fields.clone()
        };
        let mut after = fields.clone();
        for (flag, part) in &parts {
            let at = ["-u", "-r", "-t", "-l"].iter().position(|f| f == flag).unwrap_or(0);
            after[at] = if *part == "_default" { default[at].clone() } else { (*part).clone() };
        }
        if after == fields {
            return Ok(());
        }
        let (before, after) = (fields.join(":"), after.join(":"));
        self.run_ok(&Command::new("chcon").args(["-h", "--", &after]).arg(path.as_os_str()))?;
        out.add("secontext", before.split(':').collect::<Vec<_>>(), after.split(':').collect::<Vec<_>>());
        Ok(())
    }

    fn set_chattr(&self, path: &Path, wanted: Option<&str>, out: &mut Differences) -> Result<(), Failure> {
        let Some(wanted) = wanted.filter(|w| !w.is_empty()) else { return Ok(()) };
        let listed = self.query_ok(&Command::new("lsattr").args(["-d", "--"]).arg(path.as_os_str()).c_locale())?;
        let current: String =
            listed.stdout_text().split_whitespace().next().unwrap_or_default().chars().filter(|c| *c != '-').collect();
        let (operator, letters) = match wanted.chars().next() {
            Some(op @ ('+' | '-' | '=')) => (op, &wanted[1..]),
            _ => ('=', wanted),
        };
        let differs = match operator {
            '+' => letters.chars().any(|c| !current.contains(c)),
            '-' => letters.chars().any(|c| current.contains(c)),
            // `e` (extents) is a property of the file system, not a wish.
            _ => {
                let set = |s: &str| s.chars().filter(|c| *c != 'e').collect::<std::collections::BTreeSet<_>>();
                set(letters) != set(&current)
            }
        };
        if !differs {
            return Ok(());
        }
        out.add("attributes", current, format!("{operator}{letters}"));
        self.run_ok(&Command::new("chattr").arg(format!("{operator}{letters}")).arg("--").arg(path.as_os_str()))?;
        Ok(())
    }

    /// The return values that tell a path's attributes: `path`, `uid`, `gid`, `owner`, `group`, `mode`, `state`, `size`.
    pub fn describe(&self, path: &Path) -> Result<Map<String, Value>, Failure> {
        let mut out = Map::new();
        let Some(meta) = self.lstat(path)? else { return Ok(out) };
        out.insert("uid".into(), meta.uid().into());
        out.insert("gid".into(), meta.gid().into());
        let owner = self.user_by_id(meta.uid())?.map_or_else(|| meta.uid().to_string(), |u| u.name);
        let group = self.group_by_id(meta.gid())?.map_or_else(|| meta.gid().to_string(), |g| g.name);
        out.insert("owner".into(), owner.into());
        out.insert("group".into(), group.into());
        out.insert("mode".into(), format!("0{:03o}", meta.mode() & 0o7777).into());
        let state = match meta.file_type() {
            t if t.is_symlink() => "link",
            t if t.is_dir() => "directory",
            _ if meta.nlink() > 1 => "hard",
            _ => "file",
        };
        out.insert("state".into(), state.into());
        out.insert("size".into(), meta.len().into());
        Ok(out)
    }
}
