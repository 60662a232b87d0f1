//! Modules that rplay does not have and the reference would find: listing a playbook takes them as they are, and refuses
//! the names that nobody knows, as the reference does.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::action::canonical_name;
use super::loader::Loader;
use crate::diagnostic::Diagnostic;
use crate::source::Node;

/// Groups of modules that `module_defaults` may name without their collection.
const GROUPS: &[&str] = &["acme", "aws", "azure", "cpm", "docker", "gcp", "k8s", "os", "ovirt", "vmware"];

struct Known {
    collections: HashSet<&'static str>,
    short: HashSet<&'static str>,
}

fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let text = include_str!("elsewhere.txt");
        let lines =
            |part: &'static str| part.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
        let (collections, short) = text.split_once("\n--\n").unwrap_or((text, ""));
        Known { collections: lines(collections).collect(), short: lines(short).collect() }
    })
}

/// Whether the reference finds a module by this name alone.
pub(super) fn is_known_short(name: &str) -> bool {
    known().short.contains(name)
}

impl Loader<'_> {
    /// Whether the reference would find a module of this name: in its own collections or in installed ones, beside the
    /// playbook, in a role's `library`, or in the directories of `library` in ansible.cfg.
    pub(super) fn is_found_elsewhere(&mut self, name: &str, collections: &[String]) -> bool {
        let parts: Vec<&str> = name.split('.').collect();
        match parts.as_slice() {
            ["ansible", "builtin", short] | ["ansible", "legacy", short] => {
                is_known_short(short) || self.is_in_library(short)
            }
            [namespace, collection, ..] if parts.len() > 2 => self.is_there(&format!("{namespace}.{collection}")),
            // Which of the named collections has it cannot be told from here.
            [short] => {
                is_known_short(short) || self.is_in_library(short) || collections.iter().any(|name| self.is_there(name))
            }
            _ => false,
        }
    }

    /// Reports names in `module_defaults` that the reference would not find either.
    pub(super) fn check_defaults(&mut self, node: &Node) {
        let entries = node.as_list().unwrap_or(std::slice::from_ref(node));
        for key in entries.iter().filter_map(Node::as_map).flatten().map(|(key, _)| key) {
            let name = key.to_value().to_text();
            let message = match name.strip_prefix("group/") {
                Some(group) => {
                    let full = if group.contains('.') { group.to_owned() } else { format!("ansible.builtin.{group}") };
                    let known = match full.strip_prefix("ansible.builtin.") {
                        Some(short) => GROUPS.contains(&short),
                        None => self.is_found_elsewhere(&full, &[]),
                    };
                    if known {
                        continue;
                    }
                    format!("Error loading module_defaults: could not resolve the module_defaults group {full}")
                }
                None if canonical_name(&name, &[], self.catalog()).is_some() || self.is_found_elsewhere(&name, &[]) => {
                    continue;
                }
                None => {
                    let full = if name.contains('.') { name } else { format!("ansible.legacy.{name}") };
                    format!("Could not resolve action {full} in module_defaults")
                }
            };
            self.report(Diagnostic::error("playbook::module-defaults", message).at(key.span));
        }
    }

    /// Whether a collection comes with the reference or is installed. What its own have is known by name.
    fn is_there(&self, collection: &str) -> bool {
        let path = collection.replace('.', "/");
        !matches!(collection, "ansible.builtin" | "ansible.legacy")
            && (known().collections.contains(collection)
                || self.collection_places().iter().any(|place| place.join(&path).is_dir()))
    }

    fn collection_places(&self) -> Vec<PathBuf> {
        let mut places = vec![self.directory.join("collections/ansible_collections")];
        places.extend(self.options().collections_path.iter().map(|path| path.join("ansible_collections")));
        // Where the playbook itself is in a collection, its siblings are installed.
        let inside = self.directory.ancestors().find(|path| path.ends_with("ansible_collections"));
        places.extend(inside.map(Path::to_path_buf));
        places
    }

    fn is_in_library(&mut self, name: &str) -> bool {
        if self.library.is_none() {
            let mut found = HashSet::new();
            let own = [self.directory.clone()];
            let roles = self.options().roles_path.iter().cloned().chain([self.directory.join("roles")]);
            let roles: Vec<PathBuf> = roles.flat_map(|path| directories(&path)).collect();
            for place in own.iter().chain(&roles) {
                for kind in ["library", "action_plugins"] {
                    modules_below(&place.join(kind), 0, &mut found);
                }
            }
            for place in &self.options().module_path {
                modules_below(place, 0, &mut found);
            }
            self.library = Some(found);
        }
        self.library.as_ref().is_some_and(|library| library.contains(name))
    }
}

fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// The names of modules in a directory and those below it, which may go on for a while.
fn modules_below(path: &Path, depth: usize, found: &mut HashSet<String>) {
    for entry in std::fs::read_dir(path).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() && depth < 8 {
            modules_below(&path, depth + 1, found);
        } else if let Some(name) = path.file_stem().and_then(|name| name.to_str()) {
            found.insert(name.to_owned());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Catalog, canonical_name};
    use super::is_known_short;
    use crate::action::BuiltIn;

    #[test]
    fn every_module_goes_by_the_short_name_that_the_reference_takes() {
        for full in BuiltIn.names() {
            let short = full.rsplit('.').next().unwrap();
            let found = canonical_name(short, &[], &BuiltIn).map(|info| info.name);
            let taken = full.starts_with("ansible.builtin.") || is_known_short(short);
            assert_eq!(found, taken.then_some(full), "{full}");
        }
        assert_eq!(canonical_name("ansible.builtin.seboolean", &[], &BuiltIn).unwrap().name, "ansible.posix.seboolean");
        assert!(canonical_name("sudoers", &[], &BuiltIn).is_none());
        assert_eq!(
            canonical_name("openssl_certificate", &[], &BuiltIn).unwrap().name,
            "community.crypto.x509_certificate"
        );
        assert_eq!(canonical_name("ansible.mysql.mysql_db", &[], &BuiltIn).unwrap().name, "community.mysql.mysql_db");
    }
}
