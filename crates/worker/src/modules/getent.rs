//! `ansible.builtin.getent`.

use rplay_protocol::Object;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::yes;
use crate::host::{Command, Host};
use crate::module::{Failure, Module, Outcome};

/// Gives entries of the host's databases (passwd, group, hosts, services, …) as facts.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Getent {
    /// The database.
    database: String,
    /// The entry; all are given without it.
    #[serde(default)]
    key: Option<String>,
    /// The source that is asked instead of those that the host is configured with.
    #[serde(default)]
    service: Option<String>,
    /// What stands between the fields of a line; by default a colon where the database has colons, else white space.
    #[serde(default)]
    split: Option<String>,
    /// Whether an entry that is not there is a failure.
    #[serde(default = "yes")]
    fail_key: bool,
}

/// Databases whose lines have colons.
const COLONS: &[&str] = &["passwd", "shadow", "group", "gshadow"];

impl Module for Getent {
    const NAME: &'static str = "ansible.builtin.getent";

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let mut command = Command::new(host.require_program("getent")?).c_locale();
        if let Some(service) = &self.service {
            command = command.args(["-s", service]);
        }
        // Nothing that follows is an option, whatever it begins with.
        command = command.arg("--").arg(&self.database).args(&self.key);
        let output = host.query(&command)?;
        let database = format!("getent_{}", self.database);
        let facts = |entries: Object| json!({ database: entries });
        match output.rc {
            0 => Ok(Outcome::unchanged().with("ansible_facts", facts(self.entries(&output.stdout_text())))),
            1 => Err(Failure::new("Missing arguments, or database unknown.")),
            2 => {
                let msg = "One or more supplied key could not be found in the database.";
                let Some(key) = self.key.filter(|_| !self.fail_key) else { return Err(Failure::new(msg)) };
                let nothing = Object::from_iter([(key, Value::Null)]);
                Ok(Outcome::unchanged().with("ansible_facts", facts(nothing)).with("msg", msg))
            }
            3 => Err(Failure::new("Enumeration not supported on this database.")),
            rc => Err(Failure::new(format!("getent failed with status {rc}: {}", output.complaint()))),
        }
    }
}

impl Getent {
    /// Lines by their first field; several with the same one are a list of lists.
    fn entries(&self, text: &str) -> Object {
        let colon = COLONS.contains(&self.database.as_str()).then_some(":");
        let split = self.split.as_deref().filter(|s| !s.is_empty()).or(colon);
        let mut counted: indexmap::IndexMap<String, Vec<Value>> = indexmap::IndexMap::new();
        for line in text.lines() {
            let mut fields = match split {
                Some(split) => line.split(split).map(ToOwned::to_owned).collect::<Vec<_>>(),
                None => line.split_whitespace().map(ToOwned::to_owned).collect(),
            }
            .into_iter();
            if let Some(name) = fields.next() {
                counted.entry(name).or_default().push(fields.collect());
            }
        }
        let one = |mut lines: Vec<Value>| if lines.len() == 1 { lines.remove(0) } else { Value::Array(lines) };
        counted.into_iter().map(|(name, lines)| (name, one(lines))).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    fn facts(stage: &Stage, args: Value) -> Value {
        stage.call::<Getent>(args).unwrap().fields["ansible_facts"].clone()
    }

    #[test]
    fn lines_are_split_as_their_database_has_them() {
        let stage = Stage::new(&[]);
        stage.program(
            "getent",
            "case $2 in passwd) echo root:x:0::/root;; *) echo '127.0.0.1  a'; echo '127.0.0.1 b c';; esac",
        );
        let wanted = json!({"getent_passwd": {"root": ["x", "0", "", "/root"]}});
        assert_eq!(facts(&stage, json!({"database": "passwd", "key": "root"})), wanted);
        assert_eq!(stage.calls(), ["getent [--] [passwd] [root]"]);
        let wanted = json!({"getent_hosts": {"127.0.0.1": [["a"], ["b", "c"]]}});
        assert_eq!(facts(&stage, json!({"database": "hosts"})), wanted);
        let odd = facts(&stage, json!({"database": "passwd", "split": "x"}));
        assert_eq!(odd, json!({"getent_passwd": {"root:": [":0::/root"]}}));
    }

    #[test]
    fn what_is_not_there_is_told() {
        let stage = Stage::new(&[]);
        stage.program("getent", "exit 2");
        let args = json!({"database": "passwd", "key": "-x"});
        assert!(stage.call::<Getent>(args).unwrap_err().msg.contains("could not be found"));
        let given = facts(&stage, json!({"database": "passwd", "key": "-x", "fail_key": false}));
        assert_eq!(given, json!({"getent_passwd": {"-x": null}}));
        stage.program("getent", "exit 1");
        assert!(stage.call::<Getent>(json!({"database": "x"})).unwrap_err().msg.contains("database unknown"));
    }
}
