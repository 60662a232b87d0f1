//! The account itself: useradd, usermod, userdel, chage, chpasswd.

use super::super::steps::Steps;
use super::shadow::{self, Shadow};
use super::{UpdatePassword, User, text};
use crate::host::{Command, Host, UserEntry};
use crate::module::Failure;

/// The day of an expiry, as the shadow file counts them; -1 for never.
fn expiry_day(expires: f64) -> i64 {
    if expires < 0.0 { -1 } else { (expires / 86400.0).floor() as i64 }
}

impl User {
    fn program(&self, host: &Host, name: &str) -> Result<Command, Failure> {
        let name = if self.local { format!("l{name}") } else { name.to_owned() };
        Ok(Command::new(host.require_program(&name)?))
    }

    /// The name of an existing group, given by name or id.
    fn group_name(&self, host: &Host, group: &str) -> Result<String, Failure> {
        let found = match host.group(group)? {
            Some(found) => Some(found),
            None => match group.parse() {
                Ok(gid) => host.group_by_id(gid)?,
                Err(_) => None,
            },
        };
        found.map(|g| g.name).ok_or_else(|| Failure::new(format!("Group {group} does not exist")))
    }

    /// The names of the wanted supplementary groups in the order given, without `primary`.
    fn group_names(&self, host: &Host, primary: Option<&str>) -> Result<Option<Vec<String>>, Failure> {
        let Some(groups) = &self.groups else { return Ok(None) };
        let mut names: Vec<String> = Vec::new();
        for group in groups.iter().map(|g| g.trim()).filter(|g| !g.is_empty()) {
            let name = self.group_name(host, group)?;
            if Some(name.as_str()) != primary && !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(Some(names))
    }

    pub(super) fn removal(&self, host: &Host) -> Result<Command, Failure> {
        let command = self.program(host, "userdel")?;
        let force = self.force && !self.local;
        Ok(command.args(force.then_some("-f")).args(self.remove.then_some("-r")).arg(&self.name))
    }

    pub(super) fn create(&self, host: &Host, steps: &mut Steps) -> Result<(), Failure> {
        let mut command = self.program(host, "useradd")?;
        if let Some(uid) = self.uid {
            command = command.args(["-u".to_owned(), uid.to_string()]);
            command = command.args(self.non_unique.then_some("-o"));
        }
        if let Some(seuser) = &self.seuser {
            command = command.args(["-Z", seuser]);
        }
        if let Some(group) = &self.group {
            self.group_name(host, group)?;
            command = command.args(["-g", group]);
        } else if host.group(&self.name)?.is_some() {
            // useradd would refuse to make the group that it gives each user.
            command = command.arg(if self.local { "-n" } else { "-N" });
        }
        let groups = self.group_names(host, None)?.unwrap_or_default();
        if !groups.is_empty() && !self.local {
            command = command.args(["-G".to_owned(), groups.join(",")]);
        }
        if let Some(comment) = &self.comment {
            command = command.args(["-c", comment]);
        }
        if let Some(home) = self.home_path(host)? {
            if let Some(parent) = home.parent().filter(|_| self.create_home) {
                super::home::make_parents(host, parent)?;
            }
            command = command.args(["-d".to_owned(), text(&home)]);
        }
        if let Some(shell) = &self.shell {
            command = command.args(["-s".to_owned(), text(&host.path(shell)?)]);
        }
        if let Some(expires) = self.expires.filter(|_| !self.local) {
            command = command.args(["-e".to_owned(), self.expiry(expires)?]);
        }
        command = self.with_home(command);
        command = command.args(self.system.then_some("-r"));
        for (name, value) in [("UID_MIN", self.uid_min), ("UID_MAX", self.uid_max)] {
            if let Some(value) = value {
                command = command.args(["-K".to_owned(), format!("{name}={value}")]);
            }
        }
        steps.run(host, &self.name, &command.arg(&self.name))?;
        self.finish_local(host, &groups, steps)?;
        if let Some(password) = &self.password {
            self.set_password(host, password, steps)?;
        } else if self.password_lock == Some(true) {
            steps.run(host, &self.name, &self.program(host, "usermod")?.args(["-L", &self.name]))?;
        }
        self.ages(host, None, steps)
    }

    fn with_home(&self, mut command: Command) -> Command {
        if !self.create_home {
            return command.arg("-M");
        }
        if !self.local {
            command = command.arg("-m");
        }
        if let Some(skeleton) = &self.skeleton {
            command = command.args(["-k", skeleton]);
        }
        match &self.umask {
            Some(umask) => command.args(["-K".to_owned(), format!("UMASK={umask}")]),
            None => command,
        }
    }

    /// What libuser's luseradd has no options for.
    fn finish_local(&self, host: &Host, groups: &[String], steps: &mut Steps) -> Result<(), Failure> {
        if !self.local {
            return Ok(());
        }
        if let Some(expires) = self.expires {
            self.expire_local(host, expires, steps)?;
        }
        for group in groups {
            let command = Command::new(host.require_program("lgroupmod")?).args(["-M", &self.name, group]);
            steps.run(host, &self.name, &command)?;
        }
        Ok(())
    }

    /// libuser sets the expiry with a program of its own, which counts days.
    fn expire_local(&self, host: &Host, expires: f64, steps: &mut Steps) -> Result<(), Failure> {
        let date = expiry_day(expires).to_string();
        let command = Command::new(host.require_program("lchage")?).args(["-E", &date, &self.name]);
        steps.run(host, &self.name, &command)
    }

    /// The expiry as useradd takes it; empty for never.
    fn expiry(&self, expires: f64) -> Result<String, Failure> {
        if expires < 0.0 {
            return Ok(String::new());
        }
        shadow::date(expires)
            .ok_or_else(|| Failure::new(format!("Invalid value for 'expires' {expires}: it is not a time")))
    }

    pub(super) fn modify(&self, host: &Host, user: &UserEntry, steps: &mut Steps) -> Result<(), Failure> {
        let mut args: Vec<String> = Vec::new();
        let mut flag = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
        if let Some(uid) = self.uid.filter(|uid| *uid != user.uid) {
            flag("-u", &uid.to_string());
            if self.non_unique {
                args.push("-o".to_owned());
            }
        }
        let mut flag = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
        let mut primary = host.group_by_id(user.gid)?.map(|g| g.name);
        if let Some(group) = &self.group {
            let name = self.group_name(host, group)?;
            if primary.as_deref() != Some(&name) {
                // lusermod takes a number only.
                let gid = host.group(&name)?.filter(|_| self.local).map(|group| group.gid.to_string());
                flag("-g", gid.as_deref().unwrap_or(group));
            }
            primary = Some(name);
        }
        if let Some(comment) = self.comment.as_ref().filter(|comment| **comment != user.gecos) {
            flag("-c", comment);
        }
        if let Some(home) = self.home_path(host)?.filter(|home| *home != user.home) {
            flag("-d", &text(&home));
            if self.move_home {
                args.push("-m".to_owned());
            }
        }
        let mut flag = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
        if let Some(shell) = &self.shell {
            let shell = text(&host.path(shell)?);
            if shell != user.shell {
                flag("-s", &shell);
            }
        }
        let groups = self.group_changes(host, primary.as_deref())?;
        if let Some(wanted) = &groups
            && !self.local
        {
            if self.append {
                args.push("-a".to_owned());
            }
            args.extend(["-G".to_owned(), wanted.join(",")]);
        }
        let shadow = Shadow::of(host, &self.name);
        let expires = self.expires_otherwise(shadow.as_ref());
        if let Some(expires) = expires.filter(|_| !self.local) {
            args.extend(["-e".to_owned(), self.expiry(expires)?]);
        }
        self.lock_change(shadow.as_ref(), &mut args);
        if !args.is_empty() {
            steps.run(host, &self.name, &self.program(host, "usermod")?.args(args).arg(&self.name))?;
        }
        if let (Some(expires), true) = (expires, self.local) {
            self.expire_local(host, expires, steps)?;
        }
        if let (Some(wanted), true) = (&groups, self.local) {
            self.local_groups(host, wanted, primary.as_deref(), steps)?;
        }
        if let Some(password) = self.new_password(shadow.as_ref()) {
            self.set_password(host, password, steps)?;
        }
        self.ages(host, shadow.as_ref(), steps)
    }

    /// The supplementary groups to set or add; `None` when those that the user is in are right.
    fn group_changes(&self, host: &Host, primary: Option<&str>) -> Result<Option<Vec<String>>, Failure> {
        let Some(wanted) = self.group_names(host, primary)? else { return Ok(None) };
        let current = self.current_groups(host, primary);
        let missing = wanted.iter().any(|g| !current.contains(g));
        let surplus = !self.append && current.iter().any(|g| !wanted.contains(g));
        Ok((missing || surplus).then_some(wanted))
    }

    fn current_groups(&self, host: &Host, primary: Option<&str>) -> Vec<String> {
        let groups = host.local_groups().into_iter().filter(|g| g.members.contains(&self.name));
        groups.map(|g| g.name).filter(|name| Some(name.as_str()) != primary).collect()
    }

    fn local_groups(
        &self,
        host: &Host,
        wanted: &[String],
        primary: Option<&str>,
        steps: &mut Steps,
    ) -> Result<(), Failure> {
        let current = self.current_groups(host, primary);
        let program = host.require_program("lgroupmod")?;
        let added = wanted.iter().filter(|g| !current.contains(g)).map(|g| ("-M", g));
        let removed = current.iter().filter(|g| !self.append && !wanted.contains(g)).map(|g| ("-m", g));
        for (flag, group) in added.chain(removed) {
            steps.run(host, &self.name, &Command::new(&program).args([flag, &self.name, group]))?;
        }
        Ok(())
    }

    /// The expiry when it is another one than the user's.
    fn expires_otherwise(&self, shadow: Option<&Shadow>) -> Option<f64> {
        // Without a line in the shadow file usermod makes one.
        self.expires.filter(|expires| shadow.map(|s| s.expires) != Some(expiry_day(*expires)))
    }

    fn lock_change(&self, shadow: Option<&Shadow>, args: &mut Vec<String>) {
        // A new password is put in locked or not in one go.
        if self.new_password(shadow).is_some() {
            return;
        }
        let locked = shadow.is_some_and(|s| s.password.starts_with('!'));
        match self.password_lock {
            Some(true) if !locked => args.push("-L".to_owned()),
            Some(false) if locked => args.push("-U".to_owned()),
            _ => {}
        }
    }

    /// The password when the user's is another one and may be changed.
    fn new_password(&self, shadow: Option<&Shadow>) -> Option<&str> {
        let password = self.password.as_deref().filter(|_| self.update_password == UpdatePassword::Always)?;
        let current = shadow.map_or("", |s| s.password.as_str());
        (current.trim_start_matches('!') != password.trim_start_matches('!')).then_some(password)
    }

    /// Puts a hash into the shadow file; through standard input, as everybody can see arguments.
    fn set_password(&self, host: &Host, password: &str, steps: &mut Steps) -> Result<(), Failure> {
        let locked = self.password_lock == Some(true) && !password.starts_with('!');
        let value = if locked { format!("!{password}") } else { password.to_owned() };
        let public = value.chars().all(|c| matches!(c, '!' | '*'));
        let command = if public && !self.local {
            self.program(host, "usermod")?.args(["-p", &value, &self.name])
        } else {
            let line = format!("{}:{value}\n", self.name);
            Command::new(host.require_program("chpasswd")?).arg("-e").stdin(line)
        };
        steps.run(host, &self.name, &command)
    }

    /// Password ages, by chage.
    fn ages(&self, host: &Host, shadow: Option<&Shadow>, steps: &mut Steps) -> Result<(), Failure> {
        let wanted = [
            ("-M", self.password_expire_max, shadow.map(|s| s.max)),
            ("-m", self.password_expire_min, shadow.map(|s| s.min)),
            ("-W", self.password_expire_warn, shadow.map(|s| s.warn)),
            ("-I", self.password_expire_account_disable, shadow.map(|s| s.inactive)),
        ];
        let mut args = Vec::new();
        for (flag, wanted, current) in wanted {
            if let Some(days) = wanted.filter(|days| Some(*days) != current) {
                args.extend([flag.to_owned(), days.to_string()]);
            }
        }
        if args.is_empty() {
            return Ok(());
        }
        let program = if self.local { "lchage" } else { "chage" };
        let command = Command::new(host.require_program(program)?).args(args).arg(&self.name);
        steps.run(host, &self.name, &command)
    }
}
