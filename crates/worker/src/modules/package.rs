//! `ansible.builtin.package`: the host's own package manager.

use std::borrow::Cow;

use rplay_protocol::Object;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::Value;

use crate::host::Host;
use crate::module::{Entry, Failure, Module, Outcome};

/// Installs, upgrades and removes packages with the host's own package manager, which takes all arguments but `use`.
#[derive(Debug)]
pub struct Package {
    manager: Option<String>,
    args: Object,
}

impl<'de> Deserialize<'de> for Package {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Value::Object(mut args) = Value::deserialize(deserializer)? else {
            return Err(D::Error::custom("the arguments must be a dictionary"));
        };
        let manager = args.remove("use").and_then(|v| v.as_str().map(ToOwned::to_owned)).filter(|m| m != "auto");
        Ok(Self { manager, args })
    }
}

impl JsonSchema for Package {
    fn schema_name() -> Cow<'static, str> {
        "Package".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "Manages packages with the host's own package manager.",
            "properties": {
                "name": { "type": ["string", "array"], "description": "Package names." },
                "state": { "type": "string", "description": "`present`, `absent`, `latest`, or another of the manager's." },
                "use": { "type": "string", "description": "The package manager; `auto` finds out." },
            },
        })
    }
}

/// Package managers by a program that tells them, the likeliest first.
const MANAGERS: &[(&str, &str)] = &[
    ("apt", "/usr/bin/apt-get"),
    ("dnf5", "/usr/bin/dnf5"),
    ("dnf", "/usr/bin/dnf"),
    ("zypper", "/usr/bin/zypper"),
    ("pacman", "/usr/bin/pacman"),
    ("apk", "/sbin/apk"),
    ("yum", "/usr/bin/yum"),
];

impl Module for Package {
    const NAME: &'static str = "ansible.builtin.package";

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let manager = match self.manager {
            Some(manager) => manager.rsplit('.').next().unwrap_or_default().to_owned(),
            None => detect(host)?,
        };
        match module(&manager) {
            Some(entry) => (entry.run)(&self.args, host),
            None => {
                Err(Failure::new(format!("Could not find a matching action for the \"{manager}\" package manager.")))
            }
        }
    }
}

/// The module of a package manager.
fn module(manager: &str) -> Option<&'static Entry> {
    let manager = match manager {
        "yum" | "yum4" | "dnf4" => "dnf",
        "apt" | "dnf" | "dnf5" | "zypper" | "pacman" | "apk" => manager,
        _ => return None,
    };
    ["ansible.builtin", "community.general"].iter().find_map(|of| super::find(&format!("{of}.{manager}")))
}

/// The names of packages that a task gives, without empty ones; one that would be an option is refused.
pub(super) fn names(given: &[String]) -> Result<Vec<&str>, String> {
    let names: Vec<&str> = given.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).collect();
    match names.iter().find(|name| name.starts_with('-') || name.contains(['\n', '\0'])) {
        Some(name) => Err(format!("'{}' is not the name of a package", name.escape_debug())),
        None => Ok(names),
    }
}

fn detect(host: &Host) -> Result<String, Failure> {
    for (name, program) in MANAGERS {
        if host.exists(program.as_ref())? {
            return Ok((*name).to_owned());
        }
    }
    Err(Failure::new(
        "Could not detect which package manager to use. Try gathering facts or setting the \"use\" option.",
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use super::*;
    use crate::args;
    use serde_json::json;

    #[test]
    fn says_which_manager_it_cannot_use() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
        std::fs::write(dir.path().join("usr/bin/apt-get"), "").unwrap();
        let module = |value: Value| args::parse::<Package>(value.as_object().unwrap());
        let error = module(json!({"name": "vim", "use": "portage"})).unwrap().run(&Host::at(dir.path())).unwrap_err();
        assert!(error.msg.contains("portage"), "{}", error.msg);
        let nothing = tempfile::tempdir().unwrap();
        let error =
            module(json!({"name": "vim", "state": "present"})).unwrap().run(&Host::at(nothing.path())).unwrap_err();
        assert!(error.msg.starts_with("Could not detect"), "{}", error.msg);
        // Whether a name is needed is for the package manager's module to say: apt can also only update its lists.
        assert!(module(json!({"update_cache": true})).is_ok());
    }
}
