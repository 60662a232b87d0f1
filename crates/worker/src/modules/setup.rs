//! `ansible.builtin.setup`.

use std::time::Duration;

use rplay_protocol::Object;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::args::PathArg;
use crate::facts::{self, Gather};
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};

/// Gathers facts about the host.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Setup {
    /// The parts of the facts: `all`, `min`, a name such as `network`, or `!name` to leave one out.
    #[serde(default = "all")]
    gather_subset: Vec<String>,
    /// Seconds to wait for one thing that may never answer, such as a file system of another host.
    #[serde(default = "ten")]
    gather_timeout: u64,
    /// Shell patterns of facts to return, with or without `ansible_`; none means all.
    #[serde(default)]
    filter: Vec<String>,
    /// The directory of local facts.
    #[serde(default = "facts_d")]
    fact_path: PathArg,
}

fn all() -> Vec<String> {
    vec!["all".to_owned()]
}

fn ten() -> u64 {
    10
}

fn facts_d() -> PathArg {
    PathArg("/etc/ansible/facts.d".to_owned())
}

impl Module for Setup {
    const NAME: &'static str = "ansible.builtin.setup";

    fn check(&self) -> Result<(), String> {
        facts::selected(&self.gather_subset).map(drop)
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let collectors = facts::selected(&self.gather_subset).map_err(Failure::new)?;
        let gather = Gather::new(host)
            .with_timeout(Duration::from_secs(self.gather_timeout))
            .with_fact_path(host.path(&self.fact_path)?);
        let gathered = gather.gather(&collectors);
        let filters: Vec<glob::Pattern> =
            self.filter.iter().filter(|f| !f.is_empty()).filter_map(|f| glob::Pattern::new(f).ok()).collect();
        let wanted =
            |name: &str, full: &str| filters.is_empty() || filters.iter().any(|f| f.matches(full) || f.matches(name));
        let mut found = Object::new();
        for (name, value) in gathered {
            let full = format!("ansible_{name}");
            if wanted(&name, &full) {
                found.insert(full, value);
            }
        }
        for (name, value) in [("gather_subset", json!(self.gather_subset)), ("module_setup", json!(true))] {
            if wanted(name, name) {
                found.insert(name.to_owned(), value);
            }
        }
        let mut outcome = Outcome::unchanged().with("ansible_facts", found);
        let warnings = gather.into_warnings();
        if !warnings.is_empty() {
            outcome.set("warnings", warnings);
        }
        Ok(outcome)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::args;

    fn call(args: Value) -> Result<Object, Failure> {
        let module: Setup = args::parse(args.as_object().unwrap())?;
        module.check().map_err(Failure::new)?;
        let outcome = module.run(&Host::new())?;
        assert!(!outcome.changed);
        Ok(outcome.fields["ansible_facts"].as_object().unwrap().clone())
    }

    #[test]
    fn subsets_and_filters() {
        let kernel = call(json!({"gather_subset": "!all,!min,kernel", "filter": "kernel*"})).unwrap();
        assert_eq!(kernel.keys().collect::<Vec<_>>(), ["ansible_kernel", "ansible_kernel_version"]);
        let prefixed = call(json!({"gather_subset": ["!all"], "filter": ["ansible_user_i?"]})).unwrap();
        assert_eq!(prefixed.keys().collect::<Vec<_>>(), ["ansible_user_id"]);
        let none = call(json!({"gather_subset": "!all,!min"})).unwrap();
        assert_eq!(Value::Object(none), json!({"gather_subset": ["!all", "!min"], "module_setup": true}));
        assert!(call(json!({"gather_subset": "no_such"})).unwrap_err().msg.starts_with("Bad subset 'no_such'"));
    }

    #[test]
    fn this_machine_has_all_of_them() {
        let facts = call(json!({})).unwrap();
        for name in ["distribution", "processor_vcpus", "memtotal_mb", "mounts", "interfaces", "lo", "date_time"] {
            assert!(facts.contains_key(&format!("ansible_{name}")), "{name}");
        }
    }
}
