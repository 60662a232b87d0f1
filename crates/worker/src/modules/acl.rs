//! `ansible.posix.acl`: access lists of files.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::text;
use crate::args::{PathArg, yes};
use crate::host::{Command, Host};
use crate::module::{Failure, Module, Outcome};

/// Sets, removes and reads entries of a file's access list.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Acl {
    /// The file or directory.
    #[serde(alias = "name")]
    path: PathArg,
    /// What should be done.
    #[serde(default)]
    state: State,
    /// Whether a link is followed.
    #[serde(default = "yes")]
    follow: bool,
    /// Whether the entry is one that files made in the directory get.
    #[serde(default)]
    default: bool,
    /// The user or group the entry is for.
    #[serde(default)]
    entity: String,
    /// The kind of entry.
    #[serde(default)]
    etype: Option<Type>,
    /// What is allowed: `r`, `w`, `x` and `X`.
    #[serde(default)]
    permissions: Option<String>,
    /// The whole entry, instead of `entity`, `etype` and `permissions`.
    #[serde(default)]
    entry: Option<String>,
    /// Whether everything below is changed, too.
    #[serde(default, alias = "recurse")]
    recursive: bool,
    /// Whether the list is one of NFSv4, which is refused.
    #[serde(default)]
    use_nfsv4_acls: bool,
    /// What becomes of the mask of effective rights.
    #[serde(default)]
    recalculate_mask: Recalculate,
}

/// What should be done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Absent,
    Present,
    #[default]
    Query,
}

/// The kind of entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Type {
    Group,
    Mask,
    Other,
    User,
}

impl Type {
    fn word(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Mask => "mask",
            Self::Other => "other",
            Self::User => "user",
        }
    }

    /// A kind by its name or the letter for it.
    fn of(word: &str) -> Option<Self> {
        let kinds = [Self::Group, Self::Mask, Self::Other, Self::User];
        kinds.into_iter().find(|kind| kind.word() == word || kind.word().get(..1) == Some(word))
    }
}

/// What becomes of the mask of effective rights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Recalculate {
    #[default]
    Default,
    Mask,
    NoMask,
}

/// An entry as setfacl takes it.
struct Entry {
    text: String,
    default: bool,
}

impl Module for Acl {
    const NAME: &'static str = "ansible.posix.acl";

    fn check(&self) -> Result<(), String> {
        let said = |text: &str| Err(text.to_owned());
        if self.use_nfsv4_acls {
            return said("use_nfsv4_acls is not supported: only lists of POSIX are");
        }
        if self.state == State::Query {
            if self.recursive {
                return said("'recursive' MUST NOT be set when 'state=query'.");
            }
            if self.recalculate_mask != Recalculate::Default {
                return said("'recalculate_mask' MUST NOT be set to 'mask' or 'no_mask' when 'state=query'.");
            }
            return if self.entry.is_some() { said("'entry' MUST NOT be set when 'state=query'.") } else { Ok(()) };
        }
        let state = if self.state == State::Present { "present" } else { "absent" };
        if let Some(entry) = &self.entry {
            if self.etype.is_some() || !self.entity.is_empty() || self.permissions.is_some() {
                return said("'entry' MUST NOT be set when 'entity', 'etype' or 'permissions' are set.");
            }
            let (least, most) = if self.state == State::Present { (3, 4) } else { (2, 3) };
            if !(least..=most).contains(&entry.split(':').count()) {
                return Err(format!(
                    "'entry' MUST have {least} or {most} sections divided by ':' when 'state={state}'."
                ));
            }
        } else if self.etype.is_none() {
            return Err(format!("'etype' MUST be set when 'state={state}'."));
        }
        if self.state == State::Absent && self.permissions.is_some() {
            return said("'permissions' MUST NOT be set when 'state=absent'.");
        }
        self.entry().map(drop)
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.path)?;
        let there = if self.follow { host.stat(&path)? } else { host.lstat(&path)? };
        if there.is_none() {
            return Err(Failure::new("Path not found or not accessible."));
        }
        // Nothing that follows is an option, whatever it begins with.
        let path = if text(&path).starts_with('-') { Path::new(".").join(path) } else { path };
        let entry = self.entry().map_err(Failure::new)?;
        let (changed, msg) = match &self.state {
            State::Query => (false, "current acl".to_owned()),
            State::Present => (self.set(host, &path, &entry, "-m")?, format!("{} is present", entry.text)),
            State::Absent => (self.set(host, &path, &entry, "-x")?, format!("{} is absent", entry.text)),
        };
        Ok(Outcome::new(changed).with("msg", msg).with("acl", self.list(host, &path, entry.default)?))
    }
}

impl Acl {
    fn entry(&self) -> Result<Entry, String> {
        let Some(entry) = &self.entry else {
            let kind = self.etype.map_or("", Type::word);
            let mut text = format!("{kind}:{}", self.entity);
            if let Some(permissions) = &self.permissions {
                text = format!("{text}:{permissions}");
            }
            return Ok(Entry { text, default: self.default });
        };
        let mut parts: Vec<&str> = entry.split(':').collect();
        let default = matches!(parts.first(), Some(&("d" | "default")));
        if default {
            parts.remove(0);
        }
        let kind = parts.first().and_then(|word| Type::of(word));
        let kind = kind.ok_or_else(|| format!("'{entry}' does not name a user, group, mask or other"))?;
        if let Some(first) = parts.first_mut() {
            *first = kind.word();
        }
        Ok(Entry { text: parts.join(":"), default: default || self.default })
    }

    fn set(&self, host: &Host, path: &Path, entry: &Entry, how: &str) -> Result<bool, Failure> {
        let program = host.require_program("setfacl")?;
        let command = |test: bool| {
            let mut command = Command::new(&program).c_locale();
            if test {
                command = command.arg("--test");
            }
            for (on, option) in [
                (!self.follow, "--physical"),
                (self.recursive, "--recursive"),
                (self.recalculate_mask == Recalculate::Mask, "--mask"),
                (self.recalculate_mask == Recalculate::NoMask, "--no-mask"),
                (entry.default, "-d"),
            ] {
                if on {
                    command = command.arg(option);
                }
            }
            command.arg(how).arg(&entry.text).arg(path)
        };
        // It says for each file what its lists would be, a star being one that stays.
        let test = command(true);
        let said = told(&test, host.query(&test)?)?;
        let changed = said.lines().any(|line| !line.trim_end().ends_with("*,*"));
        if changed {
            let set = command(false);
            if let Some(output) = host.run(&set)? {
                told(&set, output)?;
            }
        }
        Ok(changed)
    }

    fn list(&self, host: &Host, path: &Path, default: bool) -> Result<Vec<String>, Failure> {
        let mut command = Command::new(host.require_program("getfacl")?).c_locale();
        command = command.args(["--omit-header", "--absolute-names"]);
        for (on, option) in [(!self.follow, "--physical"), (self.recursive, "--recursive"), (default, "--default")] {
            if on {
                command = command.arg(option);
            }
        }
        let command = command.arg(path);
        let said = told(&command, host.query(&command)?)?;
        Ok(said.trim().lines().map(|line| line.trim().to_owned()).collect())
    }
}

/// What a command said; a status other than 0 is a failure in its words.
fn told(command: &Command, output: crate::host::Output) -> Result<String, Failure> {
    if output.rc == 0 {
        return Ok(output.stdout_text());
    }
    let failure = Failure::new(output.complaint()).with("rc", output.rc).with("cmd", command.words().join(" "));
    Err(failure.with("stdout", output.stdout_text()).with("stderr", output.stderr_text()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::super::stage::Stage;
    use super::*;

    fn stage() -> Stage {
        let stage = Stage::new(&[("/f", "")]);
        stage.program("getfacl", "printf 'user::rw-\\nother::r--\\n\\n'");
        stage.program(
            "setfacl",
            "case $* in *nosuch*) echo 'setfacl: bad' >&2; exit 2;; *--test*) echo \"f: $(cat $R/test)\";; esac",
        );
        stage
    }

    #[test]
    fn entries_are_set_once() {
        for (args, entry, msg) in [
            (
                json!({"entity": "joe", "etype": "user", "permissions": "r"}),
                "[-m] [user:joe:r]",
                "user:joe:r is present",
            ),
            (json!({"etype": "mask", "permissions": "r"}), "[-m] [mask::r]", "mask::r is present"),
            (
                json!({"entry": "default:u:joe:rw-", "recursive": true}),
                "[--recursive] [-d] [-m] [user:joe:rw-]",
                "user:joe:rw- is present",
            ),
            (
                json!({"entity": "joe", "etype": "group", "state": "absent", "follow": false, "default": true}),
                "[--physical] [-d] [-x] [group:joe]",
                "group:joe is absent",
            ),
        ] {
            let mut all = json!({"path": "/f", "state": "present"});
            all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
            for (said, changed) in [("u::rw-,u:joe:r--,*", true), ("*,*", false)] {
                let stage = stage();
                stage.file("/test", said);
                assert_eq!(stage.check::<Acl>(all.clone()).unwrap().changed, changed);
                assert_eq!(stage.calls()[0], format!("setfacl [--test] {entry} [/f]"));
                let made = stage.call::<Acl>(all.clone()).unwrap();
                assert_eq!((made.changed, made.fields["msg"].as_str()), (changed, Some(msg)));
                assert_eq!(made.fields["acl"], json!(["user::rw-", "other::r--"]));
                assert_eq!(stage.calls().contains(&format!("setfacl {entry} [/f]")), changed);
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let told = stage().call::<Acl>(json!({"path": "/f"})).unwrap();
        assert_eq!((told.changed, told.fields["msg"].as_str()), (false, Some("current acl")));
        for (args, word) in [
            (json!({"path": "/none"}), "Path not found"),
            (json!({"entity": "nosuch", "etype": "user", "permissions": "r", "state": "present"}), "setfacl: bad"),
            (json!({"state": "present"}), "'etype' MUST be set"),
            (json!({"state": "query", "recursive": true}), "'recursive' MUST NOT"),
            (json!({"state": "present", "entry": "user:joe"}), "3 or 4 sections"),
            (json!({"state": "present", "entry": "foo:joe:r"}), "does not name"),
            (json!({"state": "absent", "etype": "user", "permissions": "r"}), "'permissions' MUST NOT"),
            (json!({"use_nfsv4_acls": true}), "use_nfsv4_acls"),
        ] {
            let mut all: Value = json!({"path": "/f"});
            all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
            assert!(stage().call::<Acl>(all).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
