//! Inventory: the hosts there are, their groups and variables.
//!
//! Variables stay where they were read: a host's are a list of shared layers ([`Inventory::layers`]), never a merged copy.

mod constructed;
mod generator;
mod host_list;
mod ini;
mod literal;
mod load;
mod names;
mod options;
mod pattern;
mod range;
mod script;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests;
mod toml;
mod variables;
mod vars_files;
mod words;
mod yaml;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use indexmap::{IndexMap, IndexSet};

use crate::diagnostic::Diagnostic;
use crate::value::{Key, Map, Str, Value};

pub use load::load;
pub use options::{GroupNames, HostMismatch, LoadOptions};
pub use pattern::{LOCAL, Pattern, PatternError};
pub use vars_files::{LOCKED, VarsDirectory};

/// Groups that are always there.
const ALL: &str = "all";
const UNGROUPED: &str = "ungrouped";

/// A host.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// `inventory_hostname`.
    pub name: String,
    /// Its own variables, from inventory files.
    pub vars: Map,
    /// The groups it is a direct member of.
    pub groups: IndexSet<String>,
    /// The source that listed it first.
    pub source: Option<PathBuf>,
    /// Whether it is the `localhost` that nobody listed.
    pub implicit: bool,
}

/// A group.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its own variables, from inventory files.
    pub vars: Map,
    /// Its direct members.
    pub hosts: IndexSet<String>,
    /// Its direct child groups.
    pub children: IndexSet<String>,
    /// The groups it is a direct child of.
    pub parents: IndexSet<String>,
    /// `ansible_group_priority`: which of the groups of one depth counts more; 1 when nobody says.
    pub priority: Option<i64>,
}

/// Hosts and groups from all sources.
#[derive(Debug, Default)]
pub struct Inventory {
    hosts: IndexMap<String, Host>,
    groups: IndexMap<String, Group>,
    /// Where inventory came from, in order: files, directories, lists of hosts.
    pub sources: Vec<String>,
    /// Directories with `group_vars` and `host_vars` beside the sources.
    pub beside_sources: Vec<VarsDirectory>,
    /// The same beside playbooks.
    pub beside_playbook: Vec<VarsDirectory>,
    /// What is worth a look, since it was last taken.
    pub warnings: Vec<Diagnostic>,
    /// What somebody who looks for a mistake wants to know: shown from `-vvv` on.
    pub notes: Vec<String>,
    options: Arc<LoadOptions>,
    /// The source being read.
    current: Option<PathBuf>,
    /// Whether odd names of groups were warned of.
    odd_names: bool,
    /// What was added while playing: kept when the sources are read again.
    added: Vec<Added>,
    /// Whether dictionaries of several sources are put together (`hash_behaviour`).
    pub merge_hashes: bool,
    /// The passwords for files and values that are encrypted.
    pub vault: Arc<crate::vault::Secrets>,
    kept: Mutex<HashMap<String, Arc<Layers>>>,
}

/// What a task added to the inventory.
#[derive(Debug, Clone)]
enum Added {
    Host { name: String, vars: Map, groups: Vec<String> },
    Group { name: String, host: String, parents: Vec<String> },
}

/// A host's variables, the strongest layer first.
pub type Layers = Vec<Arc<Map>>;

impl Inventory {
    /// An inventory with nothing in it but the groups that are always there.
    #[must_use]
    pub fn new() -> Self {
        let mut inventory = Self::default();
        inventory.add_group(ALL);
        inventory.add_group(UNGROUPED);
        inventory
    }

    /// A copy to change; what was put together from groups is not taken along.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            hosts: self.hosts.clone(),
            groups: self.groups.clone(),
            sources: self.sources.clone(),
            beside_sources: self.beside_sources.clone(),
            beside_playbook: self.beside_playbook.clone(),
            warnings: self.warnings.clone(),
            notes: Vec::new(),
            options: self.options.clone(),
            current: None,
            odd_names: self.odd_names,
            added: self.added.clone(),
            merge_hashes: self.merge_hashes,
            vault: self.vault.clone(),
            kept: Mutex::default(),
        }
    }

    /// How the inventory is read and understood.
    #[must_use]
    pub fn options(&self) -> &LoadOptions {
        &self.options
    }

    /// Notes something worth a look, once.
    fn warn(&mut self, code: &'static str, message: String) -> &mut Diagnostic {
        let at = match self.warnings.iter().position(|w| w.message == message) {
            Some(at) => at,
            None => {
                self.warnings.push(Diagnostic::warning(code, message));
                self.warnings.len() - 1
            }
        };
        &mut self.warnings[at]
    }

    /// Adds a group, when it is not there yet.
    pub fn add_group(&mut self, name: &str) -> &mut Group {
        let name = self.safe_name(name);
        self.groups.entry(name).or_insert_with_key(|name| Group { name: name.clone(), ..Group::default() })
    }

    /// Puts variables over those that are there.
    fn put(merge: bool, target: &mut Map, vars: impl IntoIterator<Item = (Key, Value)>) {
        for (key, value) in vars {
            let value = match target.get(&key) {
                Some(before) if merge => crate::vars::merged(before, &value),
                _ => value,
            };
            target.insert(key, value);
        }
    }

    /// Adds a host, when it is not there yet.
    pub fn add_host(&mut self, name: &str) -> &mut Host {
        let source = &self.current;
        self.hosts.entry(name.to_owned()).or_insert_with(|| Host {
            name: name.to_owned(),
            source: source.clone(),
            ..Host::default()
        })
    }

    /// Makes a host a member of a group.
    pub fn add_member(&mut self, group: &str, host: &str) {
        let group = self.safe_name(group);
        self.add_group(&group).hosts.insert(host.to_owned());
        self.add_host(host).groups.insert(group);
        self.forget();
    }

    /// Sets variables of a host, which is added when it is not there yet.
    fn set_host_variables(&mut self, host: &str, vars: impl IntoIterator<Item = (Key, Value)>) {
        let merge = self.merge_hashes;
        Self::put(merge, &mut self.add_host(host).vars, vars);
    }

    /// Sets variables of what is called so in a source: as in the reference, a group of that name comes before the host.
    fn set_variables(&mut self, name: &str, vars: impl IntoIterator<Item = (Key, Value)>) {
        if self.groups.contains_key(name) {
            vars.into_iter().for_each(|(key, value)| self.set_group_variable(name, key, value));
        } else {
            self.set_host_variables(name, vars);
        }
    }

    /// Sets a variable of a group; its priority is none that hosts see.
    pub fn set_group_variable(&mut self, group: &str, name: Key, value: Value) {
        let merge = self.merge_hashes;
        let group = self.add_group(group);
        if name.as_str() == Some("ansible_group_priority")
            && let Some(priority) = value.as_int().or_else(|| value.to_text().trim().parse().ok())
        {
            group.priority = Some(priority);
        } else {
            Self::put(merge, &mut group.vars, [(name, value)]);
        }
        self.forget();
    }

    /// Makes a group a child of another; refused when that would make a circle.
    pub fn add_child(&mut self, parent: &str, child: &str) -> Result<(), String> {
        let (parent, child) = (self.safe_name(parent), self.safe_name(child));
        if parent == child {
            return Err(format!("can't add group '{child}' to itself"));
        }
        // What has no children is above nothing.
        let leads_on = self.groups.get(&child).is_some_and(|group| !group.children.is_empty());
        if leads_on && self.ancestors(&parent).contains(&child) {
            return Err(format!("Adding group '{child}' as child to '{parent}' creates a recursive dependency loop."));
        }
        self.add_group(&parent).children.insert(child.clone());
        self.add_group(&child).parents.insert(parent);
        self.forget();
        Ok(())
    }

    /// What `add_host` does: a host with variables, in groups. It stays when the inventory is read again.
    pub fn add_dynamic_host(&mut self, name: &str, vars: Map, groups: Vec<String>) {
        self.apply(Added::Host { name: name.to_owned(), vars, groups });
    }

    /// What `group_by` does: a group with a host, below others. It stays when the inventory is read again.
    pub fn add_dynamic_group(&mut self, name: &str, host: &str, parents: Vec<String>) {
        self.apply(Added::Group { name: name.to_owned(), host: host.to_owned(), parents });
    }

    fn apply(&mut self, added: Added) {
        match &added {
            Added::Host { name, vars, groups } => {
                // As in the reference, who is new stands in `all` itself, before those of its groups.
                if !self.hosts.contains_key(name) {
                    self.add_member(ALL, name);
                }
                self.add_member(UNGROUPED, name);
                self.set_host_variables(name, vars.clone());
                for group in groups {
                    self.add_member(group, name);
                    let _ = self.add_child(ALL, group);
                }
            }
            Added::Group { name, host, parents } => {
                // A host that the sources no longer list is in no group.
                if self.hosts.contains_key(host) {
                    self.add_member(name, host);
                    for parent in parents {
                        let _ = self.add_child(parent, name);
                    }
                    self.settle();
                }
            }
        }
        self.added.push(added);
    }

    /// The inventory read again from its sources, with what tasks added to it since.
    pub fn reload(&self) -> Result<Self, Vec<Diagnostic>> {
        let mut fresh = load(&self.sources, &self.options)?;
        fresh.beside_playbook = self.beside_playbook.clone();
        for host in self.hosts.values().filter(|host| host.implicit) {
            fresh.hosts.entry(host.name.clone()).or_insert_with(|| host.clone());
        }
        self.added.iter().for_each(|added| fresh.apply(added.clone()));
        fresh.forget();
        Ok(fresh)
    }

    /// A host by name.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.get(name)
    }

    /// A group by name.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
    }

    /// All hosts, in the order in which they were listed.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    /// All groups, in the order in which they were listed.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// The names of a group's hosts, those of its children included, in order.
    #[must_use]
    pub fn members(&self, group: &str) -> Vec<String> {
        // What was listed before its group stands in none but that later.
        let alone = |h: &&Host| !h.implicit && h.groups.iter().all(|g| g == ALL || g == UNGROUPED);
        let ungrouped = || self.hosts.values().filter(alone).map(|h| h.name.as_str());
        if group == UNGROUPED {
            return ungrouped().map(ToOwned::to_owned).collect();
        }
        // Level by level, as the reference lists them.
        let mut groups: IndexSet<&str> = IndexSet::from([group]);
        let mut out: IndexSet<&str> = IndexSet::new();
        let mut at = 0;
        while let Some(name) = groups.get_index(at).copied() {
            at += 1;
            if name == UNGROUPED {
                out.extend(ungrouped());
                continue;
            }
            let Some(group) = self.groups.get(name) else { continue };
            out.extend(group.hosts.iter().map(String::as_str));
            if name == ALL {
                groups.insert(UNGROUPED);
            }
            groups.extend(group.children.iter().map(String::as_str));
        }
        if group == ALL {
            // Hosts that are in no group yet.
            out.extend(self.hosts.values().filter(|h| h.groups.is_empty()).map(|h| h.name.as_str()));
        }
        // A task may put the implicit localhost into a group; it is not among `all` even then.
        let listed = |name: &&str| group != ALL || self.hosts.get(*name).is_some_and(|h| !h.implicit);
        out.into_iter().filter(listed).map(ToOwned::to_owned).collect()
    }

    /// Every group above a group.
    fn ancestors(&self, group: &str) -> IndexSet<String> {
        let mut out = IndexSet::new();
        let mut next: Vec<&String> = self.groups.get(group).into_iter().flat_map(|g| &g.parents).collect();
        while let Some(name) = next.pop() {
            if out.insert(name.clone()) {
                next.extend(self.groups.get(name).into_iter().flat_map(|g| &g.parents));
            }
        }
        out
    }

    /// The longest way from `all` down to a group. Every group is looked at once: `known` has those that were.
    fn depth<'i>(&'i self, group: &'i str, known: &mut HashMap<&'i str, usize>) -> usize {
        let mut path = vec![group];
        while let Some(name) = path.last().copied() {
            let parents = || self.groups.get(name).into_iter().flat_map(|g| &g.parents).map(String::as_str);
            // There are no circles; were there one, this would end it.
            let fresh = known.insert(name, 0).is_none();
            let before = path.len();
            if fresh && name != ALL {
                path.extend(parents().filter(|parent| !known.contains_key(parent)));
            }
            if path.len() == before {
                let above = parents().filter_map(|parent| known.get(parent)).max();
                let depth = if name == ALL { 0 } else { above.copied().unwrap_or(0) + 1 };
                known.insert(name, depth);
                path.pop();
            }
        }
        known.get(group).copied().unwrap_or(0)
    }

    /// Every group a host is in, `all` first, then by depth, priority and name: the order in which their variables count,
    /// the strongest last.
    #[must_use]
    pub fn groups_of(&self, host: &str) -> Vec<&Group> {
        let mut names: IndexSet<String> = IndexSet::new();
        names.insert(ALL.to_owned());
        for group in self.hosts.get(host).into_iter().flat_map(|h| &h.groups) {
            names.insert(group.clone());
            names.extend(self.ancestors(group));
        }
        let mut groups: Vec<&Group> = names.iter().filter_map(|name| self.groups.get(name)).collect();
        let mut known = HashMap::new();
        groups.sort_by_cached_key(|g| (self.depth(&g.name, &mut known), g.priority.unwrap_or(1), g.name.clone()));
        groups
    }

    /// `group_names`: the groups a host is in, without `all`, sorted.
    #[must_use]
    pub fn group_names(&self, host: &str) -> Vec<String> {
        let mut names: Vec<String> =
            self.groups_of(host).iter().map(|g| g.name.clone()).filter(|n| n != ALL && n != UNGROUPED).collect();
        if names.is_empty() && self.hosts.get(host).is_some_and(|h| !h.implicit) {
            names.push(UNGROUPED.to_owned());
        }
        names.sort();
        names
    }

    /// The `localhost` that is there though nobody listed it: by the local connection, in no group.
    pub fn implicit_localhost(&mut self, name: &str) -> &Host {
        let host = self.add_host(name);
        host.implicit = true;
        host.vars.entry("ansible_connection".into()).or_insert_with(|| Value::Str(Str::trusted("local", None)));
        let python = || Value::Str(Str::trusted("{{ ansible_playbook_python }}", None));
        host.vars.entry("ansible_python_interpreter".into()).or_insert_with(python);
        self.forget();
        &self.hosts[name]
    }

    /// Reads `group_vars` and `host_vars` beside a playbook too.
    pub fn add_playbook_directory(&mut self, directory: &Path) -> Result<(), Diagnostic> {
        if self.beside_playbook.iter().any(|d| d.path == directory) {
            return Ok(());
        }
        self.beside_playbook.push(VarsDirectory::read(directory, &self.vault, self.merge_hashes)?);
        self.forget();
        Ok(())
    }

    /// Takes all hosts and groups out, those that are always there excepted.
    fn empty(&mut self) {
        self.hosts.clear();
        self.groups.clear();
        self.add_group(ALL);
        self.add_group(UNGROUPED);
        self.forget();
    }

    /// Adds every group and host to what has neither parent nor group: `all`, `ungrouped`.
    fn settle(&mut self) {
        let tops: Vec<String> =
            self.groups.values().filter(|g| g.name != ALL && g.parents.is_empty()).map(|g| g.name.clone()).collect();
        for top in tops {
            let _ = self.add_child(ALL, &top);
        }
        let both: Vec<String> = self.groups.keys().filter(|name| self.hosts.contains_key(*name)).cloned().collect();
        for name in both {
            self.warn("inventory::names", format!("Found both group and host with same name: {name}"));
        }
    }
}
