//! A scope: layers in order of precedence, the strongest first.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use super::magic;
use super::world::{HostStore, World, merged};
use crate::config::Settings;
use crate::template::{Notices, Variable, Variables};
use crate::value::{Key, Map, Value};
use crate::vault::Secrets;

/// A role as far as variables know it.
#[derive(Debug, Clone)]
pub struct RoleLayer {
    /// Its name.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// `defaults`.
    pub defaults: Arc<Map>,
    /// `vars`.
    pub vars: Arc<Map>,
    /// `vars` of the entry that uses it: for what it depends on.
    pub entry_vars: Vec<Arc<Map>>,
}

/// What all tasks of a play see.
#[derive(Debug, Default)]
pub struct PlayVars {
    /// The play's name.
    pub name: String,
    /// The playbook's directory.
    pub directory: PathBuf,
    /// `vars`.
    pub vars: Arc<Map>,
    /// Answers to `vars_prompt`.
    pub prompts: Arc<Map>,
    /// Roles whose defaults and vars the whole play sees, in order.
    pub roles: RwLock<Vec<RoleLayer>>,
    /// All hosts of the play.
    pub all_hosts: Vec<String>,
    /// The hosts of the batch under way.
    pub batch: RwLock<Vec<String>>,
    /// The names of its roles.
    pub role_names: RwLock<RoleNames>,
    /// Hosts that failed, could not be reached or were ended.
    pub gone: RwLock<HashSet<String>>,
}

/// The roles of a play by name.
#[derive(Debug, Default)]
pub struct RoleNames {
    /// Those that the play lists, then those that its tasks have brought in so far.
    pub own: Vec<String>,
    /// Those that others depend on, each once.
    pub dependent: Vec<String>,
}

/// What one task adds.
#[derive(Debug, Clone, Default)]
pub struct TaskVars {
    /// The role it belongs to, then the roles that depend on that.
    pub roles: Vec<RoleLayer>,
    /// The roles that its role depends on, in the order in which they run.
    pub dependencies: Vec<RoleLayer>,
    /// `vars` of blocks and the task, outermost first.
    pub vars: Vec<Arc<Map>>,
    /// Parameters of roles and includes, outermost first.
    pub params: Vec<Arc<Map>>,
    /// `vars_files` of the play as this host sees them, in order.
    pub vars_files: Vec<Arc<Map>>,
    /// Loop variables and their like, the strongest last.
    pub top: Vec<Arc<Map>>,
    /// Where relative files are looked for.
    pub search: Arc<Vec<PathBuf>>,
    /// `environment`, as it is written.
    pub environment: Vec<Value>,
    /// Names and directories of the roles that brought this one in by an import or include, nearest first.
    pub parents: Vec<(String, PathBuf)>,
    /// The host that the task is delegated to.
    pub delegate: Option<String>,
    /// How the host is connected to, for tasks that ask: the weakest of all.
    pub connection: Arc<Map>,
    /// What its templates give to say.
    pub notices: Option<Arc<Notices>>,
}

/// What one host sees at one point.
#[derive(Debug, Clone)]
pub struct Scope {
    pub(super) world: Arc<World>,
    pub(super) host: Arc<str>,
    pub(super) play: Option<Arc<PlayVars>>,
    pub(super) task: TaskVars,
    pub(super) store: HostStore,
    layers: Vec<Arc<Map>>,
}

impl Scope {
    /// The scope of a host, within a play when there is one.
    ///
    /// The order is the reference's ("Understanding variable precedence"): extra variables, parameters of includes and roles,
    /// set facts and registered results, included variables, the task's and its blocks' variables, role variables, the
    /// play's files, prompts and variables, facts, inventory, role defaults.
    #[must_use]
    pub fn new(world: &Arc<World>, host: &str, play: Option<Arc<PlayVars>>, task: TaskVars) -> Self {
        let store = world.store(host);
        let mut layers: Vec<Arc<Map>> = Vec::with_capacity(24);
        {
            let mut push = |map: &Arc<Map>| {
                if !map.is_empty() {
                    layers.push(map.clone());
                }
            };
            task.top.iter().rev().for_each(&mut push);
            push(&world.extra);
            task.params.iter().rev().for_each(&mut push);
            push(&store.set);
            push(&store.included);
            task.vars.iter().rev().for_each(&mut push);
            // What a role depends on comes before what depends on it.
            task.roles.iter().take(1).for_each(|role| push(&role.vars));
            task.dependencies.iter().rev().for_each(|role| push(&role.vars));
            task.roles.iter().skip(1).for_each(|role| push(&role.vars));
            task.roles.iter().skip(1).flat_map(|role| role.entry_vars.iter().rev()).for_each(&mut push);
            if let Some(play) = &play {
                let roles = play.roles.read().unwrap_or_else(PoisonError::into_inner);
                roles.iter().rev().for_each(|role| push(&role.vars));
                task.vars_files.iter().rev().for_each(&mut push);
                push(&play.prompts);
                push(&play.vars);
            }
            push(&store.injected);
            // Without a host there is none whose groups would count.
            if !host.is_empty() {
                world.inventory().layers(host).iter().for_each(&mut push);
            }
            task.roles.iter().for_each(|role| push(&role.defaults));
            task.dependencies.iter().rev().for_each(|role| push(&role.defaults));
            if let Some(play) = &play {
                let roles = play.roles.read().unwrap_or_else(PoisonError::into_inner);
                roles.iter().rev().for_each(|role| push(&role.defaults));
            }
            if !task.connection.is_empty() {
                let known = |name: &str| layers.iter().find_map(|layer| layer.get(name)).cloned();
                let address = known("ansible_host").or_else(|| known("ansible_ssh_host"));
                let address = address.unwrap_or_else(|| Value::from(host));
                let own = ["ansible_host", "ansible_ssh_host"].map(|name| (Key::from(name), address.clone()));
                layers.push(task.connection.clone());
                layers.push(Arc::new(Map::from_iter(own)));
            }
        }
        if world.info.merge_hashes {
            layers = vec![Arc::new(merge_layers(&layers))];
        }
        Self { world: world.clone(), host: Arc::from(host), play, task, store, layers }
    }

    /// This scope with a layer on top: an item of a loop, say.
    #[must_use]
    pub fn with_top(&self, layer: Map) -> Self {
        let mut out = self.clone();
        out.layers.insert(0, Arc::new(layer));
        out
    }

    /// This scope for a task that is delegated to a host.
    #[must_use]
    pub fn with_delegate(&self, name: String) -> Self {
        let mut out = self.clone();
        out.task.delegate = Some(name);
        out
    }

    /// This scope, whose templates leave with `notices` what they have to say.
    #[must_use]
    pub fn with_notices(mut self, notices: Arc<Notices>) -> Self {
        self.task.notices = Some(notices);
        self
    }

    /// The host this is the scope of.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// A variable as it is written, magic ones excepted.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&Value> {
        self.layers.iter().find_map(|layer| layer.get(name))
    }
}

/// All layers in one, dictionaries put together.
fn merge_layers(layers: &[Arc<Map>]) -> Map {
    let mut out = Map::new();
    for (key, value) in layers.iter().rev().flat_map(|layer| layer.iter()) {
        let value = match out.get(key) {
            Some(weak) => merged(weak, value),
            None => value.clone(),
        };
        out.insert(key.clone(), value);
    }
    out
}

impl Variables for Scope {
    fn get(&self, name: &str) -> Option<Variable> {
        if magic::MAGIC_NAMES.contains(&name)
            && let Some(value) = self.magic(name)
        {
            return Some(value);
        }
        if let Some(value) = self.raw(name) {
            return Some(Variable::Value(value.clone()));
        }
        let password = self.world.info.connection_password.as_ref().filter(|_| name == "ansible_password")?;
        Some(Variable::Value(Value::from(password.expose())))
    }

    fn names(&self) -> Vec<Arc<str>> {
        let mut seen: HashSet<Arc<str>> = HashSet::new();
        let own = self.layers.iter().flat_map(|layer| layer.keys()).filter_map(Key::as_str);
        let magic = magic::MAGIC_NAMES.iter().copied().filter(|name| self.magic(name).is_some());
        own.chain(magic).map(Arc::from).filter(|name: &Arc<str>| seen.insert(name.clone())).collect()
    }

    fn search_path(&self) -> Vec<PathBuf> {
        self.task.search.as_ref().clone()
    }

    fn vault(&self) -> Arc<Secrets> {
        self.world.info.vault.clone()
    }

    fn settings(&self) -> Arc<Settings> {
        self.world.info.settings.clone()
    }

    fn notices(&self) -> Option<&Notices> {
        self.task.notices.as_deref()
    }
}
