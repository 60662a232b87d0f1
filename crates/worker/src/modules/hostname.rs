//! `ansible.builtin.hostname`.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::args::is_word;
use crate::host::{Command, Content, Diff, Host, WriteOptions};
use crate::module::{Failure, Module, Outcome};

/// Sets the host's name, now and for the next start.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Hostname {
    /// The name.
    name: String,
    /// How this host keeps its name; found out by default.
    #[serde(default, rename = "use")]
    strategy: Option<Strategy>,
}

/// How a host keeps its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Strategy {
    Alpine,
    Debian,
    Freebsd,
    Generic,
    Macos,
    Macosx,
    Darwin,
    Openbsd,
    Openrc,
    Redhat,
    Sles,
    Solaris,
    Systemd,
}

impl Module for Hostname {
    const NAME: &'static str = "ansible.builtin.hostname";

    fn check(&self) -> Result<(), String> {
        if !is_word(&self.name) {
            return Err(format!("'{}' is not a host name", self.name));
        }
        match self.strategy {
            Some(
                other @ (Strategy::Freebsd
                | Strategy::Macos
                | Strategy::Macosx
                | Strategy::Darwin
                | Strategy::Openbsd
                | Strategy::Solaris),
            ) => Err(format!("use={} is not supported: hosts run Linux", format!("{other:?}").to_lowercase())),
            _ => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let strategy = self.strategy.unwrap_or_else(|| detect(host));
        let running = running(host);
        let kept = strategy.kept(host)?;
        let mut outcome = Outcome::unchanged();
        if running != self.name {
            strategy.set_running(host, &self.name)?;
            outcome.changed = true;
        }
        if kept.as_ref().is_some_and(|kept| *kept != self.name) {
            strategy.keep(host, &self.name)?;
            outcome.changed = true;
        }
        if outcome.changed {
            // The name that the diff tells is the one that the next start would have brought back.
            let before = kept.filter(|kept| *kept != self.name).unwrap_or(running);
            let line = |name: &str| format!("hostname = {name}\n");
            outcome.diffs.push(Diff::text(line(&before), line(&self.name)));
        }
        let fqdn = fqdn(host, &self.name)?;
        outcome.set("name", self.name.as_str());
        outcome.set(
            "ansible_facts",
            json!({
                "ansible_hostname": self.name.split('.').next(),
                "ansible_nodename": self.name,
                "ansible_fqdn": fqdn,
                "ansible_domain": fqdn.split_once('.').map_or("", |(_, domain)| domain),
            }),
        );
        Ok(outcome)
    }
}

fn detect(host: &Host) -> Strategy {
    if host.exists(Path::new("/run/systemd/system")).unwrap_or(false) && host.find_program("hostnamectl").is_some() {
        return Strategy::Systemd;
    }
    let release = host.text("/etc/os-release").unwrap_or_default();
    let value = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.trim_matches('"').to_owned()
    };
    let family = format!("{} {}", value("ID="), value("ID_LIKE="));
    let known = [
        ("alpine", Strategy::Alpine),
        ("debian", Strategy::Debian),
        ("ubuntu", Strategy::Debian),
        ("gentoo", Strategy::Openrc),
        ("rhel", Strategy::Redhat),
        ("fedora", Strategy::Redhat),
        ("suse", Strategy::Sles),
        ("sles", Strategy::Sles),
    ];
    let words: Vec<&str> = family.split_whitespace().collect();
    known.iter().find(|(id, _)| words.contains(id)).map_or(Strategy::Generic, |(_, strategy)| *strategy)
}

/// The name that the kernel has.
fn running(host: &Host) -> String {
    host.text("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// The name with its domain, as the resolver has it.
fn fqdn(host: &Host, name: &str) -> Result<String, Failure> {
    if name.contains('.') || host.find_program("hostname").is_none() {
        return Ok(name.to_owned());
    }
    let output = host.query(&Command::new("hostname").arg("-f"))?;
    let said = output.stdout_text().trim().to_owned();
    Ok(if output.rc == 0 && said.split('.').next() == Some(name) { said } else { name.to_owned() })
}

impl Strategy {
    /// The file that keeps the name, and what stands before the name there.
    fn file(self) -> Option<(&'static str, &'static str, &'static str)> {
        match self {
            Self::Systemd | Self::Debian | Self::Alpine => Some(("/etc/hostname", "", "")),
            Self::Sles => Some(("/etc/HOSTNAME", "", "")),
            Self::Redhat => Some(("/etc/sysconfig/network", "HOSTNAME=", "")),
            Self::Openrc => Some(("/etc/conf.d/hostname", "hostname=\"", "\"")),
            _ => None,
        }
    }

    /// The name that the next start brings; `None` where nothing keeps one.
    fn kept(self, host: &Host) -> Result<Option<String>, Failure> {
        let Some((path, before, after)) = self.file() else { return Ok(None) };
        let text = host.text(path).unwrap_or_default();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let found = lines.filter_map(|line| line.strip_prefix(before)).next();
        Ok(Some(found.map(|name| name.trim_end_matches(after).trim_matches('"').to_owned()).unwrap_or_default()))
    }

    fn set_running(self, host: &Host, name: &str) -> Result<(), Failure> {
        let command = match self {
            Self::Systemd => {
                let transient: String = name.chars().take(64).collect();
                Command::new("hostnamectl").args(["--transient", "set-hostname", &transient])
            }
            _ => Command::new("hostname").arg(name),
        };
        host.run_ok(&command)?;
        Ok(())
    }

    fn keep(self, host: &Host, name: &str) -> Result<(), Failure> {
        if self == Self::Systemd {
            // A pretty name is kept only where it says more than the static one can.
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
            let kinds: &[&str] = if plain { &["--static"] } else { &["--pretty", "--static"] };
            host.run_ok(&Command::new("hostnamectl").args(kinds).args(["set-hostname", name]))?;
            return Ok(());
        }
        let Some((path, before, after)) = self.file() else { return Ok(()) };
        let path = Path::new(path);
        let line = format!("{before}{name}{after}\n");
        let old = host.text(path).unwrap_or_default();
        let mut new = String::new();
        let mut put = false;
        for old in old.lines() {
            if !before.is_empty() && !old.trim().starts_with(before) {
                new.push_str(old);
                new.push('\n');
            } else if !std::mem::replace(&mut put, true) {
                new.push_str(&line);
            }
        }
        if !put {
            new.push_str(&line);
        }
        host.write_file(path, &Content::from(new.into_bytes()), &WriteOptions::default())?;
        Ok(())
    }
}

#[cfg(test)]
// The tests prepare their own little host.
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::args;

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::at(dir.path());
        for (path, content) in files {
            std::fs::create_dir_all(dir.path().join(path.trim_start_matches('/')).parent().unwrap()).unwrap();
            host.write_file(Path::new(path), &Content::from(content.as_bytes().to_vec()), &WriteOptions::default())
                .unwrap();
        }
        (dir, host)
    }

    fn call(host: &Host, args: Value) -> Result<Outcome, Failure> {
        let module: Hostname = args::parse(args.as_object().unwrap()).unwrap();
        module.check().map_err(Failure::new)?;
        module.run(host)
    }

    #[test]
    fn predicts_and_reports() {
        let (dir, host) = host(&[("/proc/sys/kernel/hostname", "old\n"), ("/etc/hostname", "old\n")]);
        let dry = call(&Host::at(dir.path()).checking(true), json!({"name": "new.example", "use": "debian"})).unwrap();
        assert!(dry.changed);
        assert_eq!(dry.diffs[0].clone().into_value()["before"], "hostname = old\n");
        assert_eq!(host.text("/etc/hostname").unwrap(), "old\n");
        assert_eq!(dry.fields["ansible_facts"]["ansible_hostname"], "new");
        assert_eq!(dry.fields["ansible_facts"]["ansible_domain"], "example");
    }

    #[test]
    fn keeps_the_name_where_the_host_does() {
        for (strategy, path, old, new) in [
            ("debian", "/etc/hostname", "old\n", "same\n"),
            ("sles", "/etc/HOSTNAME", "old\n", "same\n"),
            ("redhat", "/etc/sysconfig/network", "NETWORKING=yes\nHOSTNAME=old\n", "NETWORKING=yes\nHOSTNAME=same\n"),
            ("openrc", "/etc/conf.d/hostname", "# set\nhostname=\"old\"\n", "# set\nhostname=\"same\"\n"),
            ("redhat", "/etc/sysconfig/network", "A=b\n", "A=b\nHOSTNAME=same\n"),
        ] {
            // The kernel has the name already: no test renames the machine that it runs on.
            let (_dir, host) = host(&[("/proc/sys/kernel/hostname", "same\n"), (path, old)]);
            let args = json!({"name": "same", "use": strategy});
            assert!(call(&host, args.clone()).unwrap().changed, "{strategy}");
            assert_eq!(host.text(path).unwrap(), new, "{strategy}");
            assert!(!call(&host, args).unwrap().changed, "{strategy}");
        }
    }

    #[test]
    fn finds_the_strategy() {
        for (release, strategy) in [
            ("ID=debian\n", Strategy::Debian),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", Strategy::Redhat),
            ("ID=alpine\n", Strategy::Alpine),
            ("ID=void\n", Strategy::Generic),
        ] {
            let (_dir, host) = host(&[("/etc/os-release", release)]);
            assert_eq!(detect(&host), strategy, "{release}");
        }
        let (_dir, host) = host(&[]);
        assert!(call(&host, json!({"name": "x", "use": "freebsd"})).unwrap_err().msg.contains("not supported"));
        assert!(call(&host, json!({"name": "a b"})).is_err());
    }
}
