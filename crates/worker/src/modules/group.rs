//! `ansible.builtin.group`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::steps::Steps;
pub(super) use crate::args::Presence as State;
use crate::host::{Command, GroupEntry, Host};
use crate::module::{Failure, Module, Outcome};

/// Manages groups.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Group {
    /// The group's name.
    name: String,
    /// Its id.
    #[serde(default)]
    gid: Option<u32>,
    /// Whether it should exist.
    #[serde(default)]
    state: State,
    /// Whether a new group is a system group.
    #[serde(default)]
    system: bool,
    /// Whether the local files are meant even where groups come from a directory service (libuser's programs).
    #[serde(default)]
    local: bool,
    /// Whether the id may be one that another group has.
    #[serde(default)]
    non_unique: bool,
    /// Whether to remove a group that is some user's primary one.
    #[serde(default)]
    force: bool,
    /// The lowest id for a new group.
    #[serde(default)]
    gid_min: Option<u32>,
    /// The highest id for a new group.
    #[serde(default)]
    gid_max: Option<u32>,
}

impl Module for Group {
    const NAME: &'static str = "ansible.builtin.group";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        if self.name.starts_with('-') || self.name.contains([':', '\n']) {
            return Err(format!("'{}' is not the name of a group", self.name));
        }
        if self.non_unique && self.gid.is_none() {
            return Err("non_unique is True but all of the following are missing: gid".to_owned());
        }
        let limited = [("gid_min", self.gid_min), ("gid_max", self.gid_max)];
        match limited.iter().find(|(_, value)| self.local && value.is_some()) {
            Some((name, _)) => Err(format!("'{name}' can not be used with 'local'")),
            None => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let existing = self.find(host)?;
        let mut steps = Steps::default();
        match (self.state, &existing) {
            (State::Absent, Some(_)) => {
                let program = if self.local { "lgroupdel" } else { "groupdel" };
                let force = self.force && !self.local;
                let command = Command::new(host.require_program(program)?).args(force.then_some("-f")).arg(&self.name);
                steps.run(host, &self.name, &command)?;
            }
            (State::Present, None) => steps.run(host, &self.name, &self.addition(host)?)?,
            (State::Present, Some(group)) => {
                if let Some(gid) = self.gid.filter(|gid| *gid != group.gid) {
                    self.free(host, gid)?;
                    let program = if self.local { "lgroupmod" } else { "groupmod" };
                    let command = Command::new(host.require_program(program)?)
                        .args(["-g".to_owned(), gid.to_string()])
                        .args((self.non_unique && !self.local).then_some("-o"))
                        .arg(&self.name);
                    steps.run(host, &self.name, &command)?;
                }
            }
            (State::Absent, None) => {}
        }
        let stays = self.state == State::Present && existing.is_some();
        if host.check_mode() && steps.any && !stays {
            return Ok(Outcome::new(true));
        }
        let mut outcome = Outcome::new(steps.any).with("name", self.name.as_str());
        outcome.set("state", if self.state == State::Present { "present" } else { "absent" });
        if self.state == State::Present
            && let Some(group) = self.find(host)?
        {
            outcome.set("system", self.system);
            outcome.set("gid", group.gid);
        }
        steps.tell(&mut outcome);
        Ok(outcome)
    }
}

impl Group {
    fn find(&self, host: &Host) -> Result<Option<GroupEntry>, Failure> {
        if self.local {
            return Ok(host.local_groups().into_iter().find(|g| g.name == self.name));
        }
        host.group(&self.name)
    }

    /// libuser's programs do not look for themselves whether an id is taken.
    fn free(&self, host: &Host, gid: u32) -> Result<(), Failure> {
        let taken = host.local_groups().into_iter().find(|g| g.gid == gid && g.name != self.name);
        match taken {
            Some(other) if self.local && !self.non_unique => {
                let msg = format!("GID '{gid}' already exists with group '{}'", other.name);
                Err(Failure::new(msg).with("name", self.name.as_str()))
            }
            _ => Ok(()),
        }
    }

    fn addition(&self, host: &Host) -> Result<Command, Failure> {
        let program = host.require_program(if self.local { "lgroupadd" } else { "groupadd" })?;
        let mut command = Command::new(program);
        if let Some(gid) = self.gid {
            self.free(host, gid)?;
            command = command.args(["-g".to_owned(), gid.to_string()]);
            command = command.args((self.non_unique && !self.local).then_some("-o"));
        }
        command = command.args(self.system.then_some("-r"));
        for (name, value) in [("GID_MIN", self.gid_min), ("GID_MAX", self.gid_max)] {
            if let Some(value) = value {
                command = command.args(["-K".to_owned(), format!("{name}={value}")]);
            }
        }
        Ok(command.arg(&self.name))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::stage::Stage;
    use super::*;

    fn stage() -> Stage {
        let stage = Stage::new(&[("/etc/group", "root:x:0:\nadm:x:4:a,b\n")]);
        for (name, lines) in [
            ("groupadd", "echo \"new:x:1000:\" >>$R/etc/group"),
            ("groupmod", "sed -i 's/^adm:x:4/adm:x:44/' $R/etc/group"),
            ("groupdel", "[ \"$1\" != root ] || { echo \"groupdel: cannot remove\" >&2; exit 8; }"),
        ] {
            stage.program(name, lines);
        }
        stage
    }

    #[test]
    fn a_group_is_made_once() {
        let stage = stage();
        let args = json!({"name": "new", "system": true, "gid_min": 500});
        let dry = stage.check::<Group>(args.clone()).unwrap();
        assert!(dry.changed && dry.fields.is_empty() && stage.calls().is_empty());
        let made = stage.call::<Group>(args.clone()).unwrap();
        assert_eq!((made.changed, &made.fields["gid"], &made.fields["system"]), (true, &json!(1000), &json!(true)));
        assert_eq!(stage.calls(), ["groupadd [-r] [-K] [GID_MIN=500] [new]"]);
        assert!(!stage.call::<Group>(args).unwrap().changed);
        assert!(stage.calls().is_empty());
    }

    #[test]
    fn ids_change_and_groups_go() {
        let stage = stage();
        let changed = stage.call::<Group>(json!({"name": "adm", "gid": 44, "non_unique": true})).unwrap();
        assert_eq!((changed.changed, &changed.fields["gid"]), (true, &json!(44)));
        assert_eq!(stage.calls(), ["groupmod [-g] [44] [-o] [adm]"]);
        assert!(stage.call::<Group>(json!({"name": "adm", "state": "absent", "force": true})).unwrap().changed);
        assert_eq!(stage.calls(), ["groupdel [-f] [adm]"]);
        assert!(!stage.call::<Group>(json!({"name": "none", "state": "absent"})).unwrap().changed);
        let failure = stage.call::<Group>(json!({"name": "root", "state": "absent"})).unwrap_err();
        assert_eq!((failure.msg.as_str(), &failure.fields["rc"]), ("groupdel: cannot remove\n", &json!(8)));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let stage = stage();
        assert!(stage.call::<Group>(json!({"name": "x", "non_unique": true})).unwrap_err().msg.contains("gid"));
        let both = json!({"name": "x", "local": true, "gid_max": 3});
        assert!(stage.call::<Group>(both).unwrap_err().msg.contains("'local'"));
    }
}
