//! Magic variables: those that the engine itself provides.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use super::cache::FactCache;
use super::hostvars;
use super::scope::Scope;
use crate::config::Settings;
use crate::connection::Secret;
use crate::template::Variable;
use crate::value::{Map, Value};
use crate::vault::Secrets;

/// What the run was started with, as far as variables tell it.
#[derive(Debug, Clone)]
pub struct RunInfo {
    /// `ansible_check_mode`
    pub check: bool,
    /// `ansible_diff_mode`
    pub diff: bool,
    /// `ansible_forks`
    pub forks: usize,
    /// `ansible_verbosity`
    pub verbosity: u8,
    /// `ansible_limit`
    pub limit: Option<String>,
    /// `ansible_run_tags`
    pub tags: Vec<String>,
    /// `ansible_skip_tags`
    pub skip_tags: Vec<String>,
    /// `ansible_config_file`
    pub config_file: Option<PathBuf>,
    /// `ansible_password` where no host has one: the answer to `--ask-pass`.
    pub connection_password: Option<Secret>,
    /// The passwords for what is encrypted.
    pub vault: Arc<Secrets>,
    /// Every setting, for the `config` lookup.
    pub settings: Arc<Settings>,
    /// Whether dictionaries of several sources are put together (`hash_behaviour`).
    pub merge_hashes: bool,
    /// Whether facts are variables of their own too.
    pub inject_facts: bool,
    /// Where facts are kept between runs.
    pub fact_cache: Option<FactCache>,
}

impl Default for RunInfo {
    fn default() -> Self {
        Self {
            check: false,
            diff: false,
            forks: 0,
            verbosity: 0,
            limit: None,
            tags: Vec::new(),
            skip_tags: Vec::new(),
            config_file: None,
            connection_password: None,
            vault: Arc::default(),
            settings: Arc::default(),
            merge_hashes: false,
            inject_facts: true,
            fact_cache: None,
        }
    }
}

/// The version of the reference whose behaviour this is.
pub const ANSIBLE_VERSION: &str = "2.19.14";

/// The names of all magic variables.
pub const MAGIC_NAMES: &[&str] = &[
    "ansible_check_mode",
    "ansible_config_file",
    "ansible_delegated_vars",
    "ansible_dependent_role_names",
    "ansible_diff_mode",
    "ansible_facts",
    "ansible_forks",
    "ansible_inventory_sources",
    "ansible_limit",
    "ansible_parent_role_names",
    "ansible_parent_role_paths",
    "ansible_play_batch",
    "ansible_play_hosts",
    "ansible_play_hosts_all",
    "ansible_play_name",
    "ansible_play_role_names",
    "ansible_playbook_python",
    "ansible_role_name",
    "ansible_role_names",
    "ansible_run_tags",
    "ansible_search_path",
    "ansible_skip_tags",
    "ansible_verbosity",
    "ansible_version",
    "environment",
    "group_names",
    "groups",
    "hostvars",
    "inventory_dir",
    "inventory_file",
    "inventory_hostname",
    "inventory_hostname_short",
    "omit",
    "play_hosts",
    "playbook_dir",
    "role_name",
    "role_path",
    "role_names",
];

/// Those that only a host has.
const OF_HOSTS: &[&str] = &[
    "ansible_facts",
    "ansible_search_path",
    "environment",
    "group_names",
    "inventory_hostname",
    "inventory_hostname_short",
];

impl Scope {
    /// Whether a magic variable is none where there is no host; `hostvars` is there once a play has had some.
    fn wants_host(&self, name: &str) -> bool {
        OF_HOSTS.contains(&name) || name == "hostvars" && !self.world.has_started()
    }

    /// A magic variable; `None` when the name is not one, or means nothing here.
    pub(super) fn magic(&self, name: &str) -> Option<Variable> {
        if self.host.is_empty() && self.wants_host(name) {
            return None;
        }
        let info = &self.world.info;
        let list = |names: &[String]| names.iter().cloned().collect::<Value>();
        Some(Variable::Value(match name {
            "inventory_hostname" | "inventory_hostname_short" | "group_names" | "ansible_facts"
                if self.host.is_empty() =>
            {
                return None;
            }
            "inventory_hostname" => Value::from(self.host.as_ref()),
            "inventory_hostname_short" => Value::from(self.host.split('.').next().unwrap_or_default()),
            "group_names" => list(&self.world.inventory().group_names(&self.host)),
            "groups" => self.groups(),
            "hostvars" => return Some(Variable::Dynamic(hostvars::all(&self.world))),
            // A host of a list on the command line comes from no directory.
            "inventory_dir" => match self.inventory_source()? {
                path if !path.exists() => Value::Null,
                path => path.parent()?.display().to_string().into(),
            },
            "inventory_file" => self.inventory_source()?.display().to_string().into(),
            "omit" => Value::Omit,
            "ansible_delegated_vars" => return self.delegated(),
            "ansible_facts" => Value::Map(self.store.facts.clone()),
            "ansible_check_mode" => Value::Bool(info.check),
            "ansible_diff_mode" => Value::Bool(info.diff),
            "ansible_forks" => info.forks.into(),
            "ansible_verbosity" => Value::Int(info.verbosity.into()),
            "ansible_limit" => Value::from(info.limit.as_deref()?),
            "ansible_run_tags" if info.tags.is_empty() => Value::list(vec!["all".into()]),
            "ansible_run_tags" => list(&info.tags),
            "ansible_skip_tags" => list(&info.skip_tags),
            "ansible_version" => version(),
            "ansible_playbook_python" => python().into(),
            "ansible_config_file" => info.config_file.as_ref().map_or(Value::Null, |p| p.display().to_string().into()),
            "ansible_inventory_sources" => self.world.inventory().sources.iter().cloned().collect(),
            "ansible_search_path" => {
                self.task.search.iter().map(|p| absolute(p.clone()).display().to_string()).collect()
            }
            "environment" => Value::list(self.task.environment.clone()),
            _ => return self.play_magic(name).or_else(|| self.role_magic(name)),
        }))
    }

    /// `ansible_delegated_vars`: the variables of the host that the task is delegated to, under its name.
    fn delegated(&self) -> Option<Variable> {
        let name = self.task.delegate.as_ref()?;
        let mut map = std::collections::BTreeMap::new();
        map.insert(name.clone(), hostvars::one(&self.world, name, true));
        Some(Variable::Dynamic(minijinja::Value::from(map)))
    }

    fn play_magic(&self, name: &str) -> Option<Variable> {
        let play = self.play.as_ref()?;
        let list = |names: &[String]| names.iter().cloned().collect::<Value>();
        let role_names = || play.role_names.read().unwrap_or_else(PoisonError::into_inner);
        let batch = || play.batch.read().unwrap_or_else(PoisonError::into_inner).clone();
        let active = |hosts: Vec<String>| {
            let gone = play.gone.read().unwrap_or_else(PoisonError::into_inner);
            hosts.into_iter().filter(|h| !gone.contains(h)).collect::<Value>()
        };
        Some(Variable::Value(match name {
            "ansible_play_name" => Value::from(play.name.as_str()),
            "playbook_dir" => absolute(play.directory.clone()).display().to_string().into(),
            "ansible_play_hosts_all" => play.all_hosts.iter().cloned().collect(),
            "ansible_play_hosts" | "play_hosts" => active(play.all_hosts.clone()),
            "ansible_play_batch" => active(batch()),
            "ansible_play_role_names" | "role_names" => list(&role_names().own),
            "ansible_dependent_role_names" => list(&role_names().dependent),
            "ansible_role_names" => {
                let names = role_names();
                let mut seen = std::collections::HashSet::new();
                let each = names.own.iter().chain(&names.dependent);
                each.filter(|name| seen.insert(*name)).cloned().collect()
            }
            _ => return None,
        }))
    }

    fn role_magic(&self, name: &str) -> Option<Variable> {
        let (role, _) = self.task.roles.split_first()?;
        let parents = &self.task.parents;
        Some(Variable::Value(match name {
            "role_name" | "ansible_role_name" => Value::from(role.name.as_str()),
            "role_path" => absolute(role.path.clone()).display().to_string().into(),
            "ansible_parent_role_names" if !parents.is_empty() => {
                parents.iter().map(|(name, _)| name.clone()).collect()
            }
            "ansible_parent_role_paths" if !parents.is_empty() => {
                parents.iter().map(|(_, path)| path.display().to_string()).collect()
            }
            _ => return None,
        }))
    }

    fn groups(&self) -> Value {
        let inventory = self.world.inventory();
        let mut out = Map::new();
        for group in inventory.groups() {
            out.insert(group.name.as_str().into(), inventory.members(&group.name).into_iter().collect());
        }
        out.into()
    }

    fn inventory_source(&self) -> Option<PathBuf> {
        self.world.inventory().host(&self.host)?.source.clone()
    }
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// `ansible_version`: of the reference whose behaviour this is.
fn version() -> Value {
    let mut out = Map::new();
    out.insert("full".into(), ANSIBLE_VERSION.into());
    out.insert("string".into(), ANSIBLE_VERSION.into());
    for (name, number) in [("major", 2), ("minor", 19), ("revision", 14)] {
        out.insert(name.into(), Value::Int(number));
    }
    out.into()
}

/// The Python of this machine, for tasks that run it here; rplay itself has no use for it.
fn python() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("python3")).find(|file| file.is_file());
    found.map_or_else(|| "/usr/bin/python3".to_owned(), |file| file.display().to_string())
}
