//! Whose variables count for a host, and in which order.

use std::sync::{Arc, PoisonError};

use super::{ALL, Inventory, Layers, VarsDirectory};
use crate::value::Map;

impl Inventory {
    /// A host's variables from inventory, `group_vars` and `host_vars`, the strongest layer first.
    #[must_use]
    pub fn layers(&self, host: &str) -> Arc<Layers> {
        if let Some(kept) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(host) {
            return kept.clone();
        }
        let layers = Arc::new(self.gather_layers(host));
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), layers.clone());
        layers
    }

    /// A host's variables in one dictionary, `group_vars` and `host_vars` included when asked for, with the names that
    /// composing sees beside them.
    pub(super) fn variables(&self, host: &str, with_files: bool) -> Map {
        let mut out = Map::new();
        if with_files {
            for layer in self.gather_layers(host).iter().rev() {
                out.extend(layer.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
        } else {
            let own = self.hosts.get(host).map(|host| &host.vars);
            for map in self.groups_of(host).iter().map(|group| &group.vars).chain(own) {
                out.extend(map.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
        }
        out.insert("inventory_hostname".into(), host.into());
        out.insert("inventory_hostname_short".into(), host.split('.').next().unwrap_or_default().into());
        out.insert("group_names".into(), self.group_names(host).into_iter().collect());
        out
    }

    /// Why some variables of a host cannot be decrypted.
    #[must_use]
    pub fn locked(&self, host: &str) -> Option<&crate::diagnostic::Diagnostic> {
        let directories = || self.beside_sources.iter().chain(&self.beside_playbook);
        if directories().all(VarsDirectory::is_readable) {
            return None;
        }
        let groups = self.groups_of(host);
        let of_group = groups.iter().find_map(|group| directories().find_map(|d| d.locked(false, &group.name)));
        of_group.or_else(|| directories().find_map(|d| d.locked(true, host)))
    }

    /// A group's own variables, from inventory and `group_vars`.
    #[must_use]
    pub fn own_group_variables(&self, group: &str) -> Map {
        let own = self.groups.get(group).map(|group| Arc::new(group.vars.clone()));
        let files = self.beside_sources.iter().chain(&self.beside_playbook).filter_map(|d| d.group(group));
        let mut out = merged(own.into_iter().chain(files));
        // One is what every group has.
        if let Some(priority) = self.groups.get(group).and_then(|group| group.priority).filter(|number| *number != 1) {
            out.insert("ansible_group_priority".into(), priority.into());
        }
        out
    }

    /// A host's own variables, from inventory and `host_vars`.
    #[must_use]
    pub fn own_host_variables(&self, host: &str) -> Map {
        let own = self.hosts.get(host).map(|host| Arc::new(host.vars.clone()));
        let files = self.beside_sources.iter().chain(&self.beside_playbook).filter_map(|d| d.host(host));
        merged(own.into_iter().chain(files))
    }

    fn gather_layers(&self, host: &str) -> Layers {
        let mut weakest_first: Layers = Vec::new();
        let mut push = |map: Option<Arc<Map>>| weakest_first.extend(map.filter(|m| !m.is_empty()));
        let groups = self.groups_of(host);
        for group in &groups {
            push(Some(Arc::new(group.vars.clone())));
        }
        for directories in [&self.beside_sources, &self.beside_playbook] {
            directories.iter().for_each(|d| push(d.group(ALL)));
        }
        for directories in [&self.beside_sources, &self.beside_playbook] {
            for group in groups.iter().filter(|g| g.name != ALL) {
                directories.iter().for_each(|d| push(d.group(&group.name)));
            }
        }
        push(self.hosts.get(host).map(|h| Arc::new(h.vars.clone())));
        for directories in [&self.beside_sources, &self.beside_playbook] {
            directories.iter().for_each(|d| push(d.host(host)));
        }
        weakest_first.reverse();
        weakest_first
    }

    /// Forgets what was put together from groups, after they changed.
    pub fn forget(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Layers in one dictionary, the strongest last.
fn merged(layers: impl Iterator<Item = Arc<Map>>) -> Map {
    let mut out = Map::new();
    for layer in layers {
        out.extend(layer.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
    out
}
