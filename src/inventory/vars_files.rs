//! `group_vars` and `host_vars` directories.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::source::load;
use crate::value::{Map, Value};
use crate::vault::Secrets;

/// The variables of groups and hosts found beside an inventory or a playbook, read once.
#[derive(Debug, Clone, Default)]
pub struct VarsDirectory {
    /// The directory that holds `group_vars` and `host_vars`.
    pub path: PathBuf,
    groups: HashMap<String, Arc<Map>>,
    hosts: HashMap<String, Arc<Map>>,
    /// Files that cannot be read or decrypted: whether of a host, the name, and why. They matter to whoever uses them.
    locked: Vec<(bool, String, Diagnostic)>,
}

impl VarsDirectory {
    /// Reads everything below `group_vars` and `host_vars` in a directory.
    pub fn read(path: &Path, vault: &Arc<Secrets>, merge: bool) -> Result<Self, Diagnostic> {
        let mut out = Self { path: path.to_path_buf(), ..Self::default() };
        out.groups = out.read_all(false, &path.join("group_vars"), vault, merge)?;
        out.hosts = out.read_all(true, &path.join("host_vars"), vault, merge)?;
        Ok(out)
    }

    /// What each name's file, or files in a directory of that name, say.
    fn read_all(
        &mut self,
        host: bool,
        directory: &Path,
        vault: &Arc<Secrets>,
        merge: bool,
    ) -> Result<HashMap<String, Arc<Map>>, Diagnostic> {
        // A name has the first that there is of `web` (a file or a directory), `web.yml`, `web.yaml` and `web.json`.
        let mut best: BTreeMap<String, (usize, PathBuf)> = BTreeMap::new();
        for path in all_entries(directory)? {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for (rank, ending) in ENDINGS.iter().enumerate() {
                let Some(name) = file.strip_suffix(ending).filter(|name| !name.is_empty()) else { continue };
                match best.get(name) {
                    Some((known, _)) if *known <= rank => {}
                    _ => drop(best.insert(name.to_owned(), (rank, path.clone()))),
                }
            }
        }
        let mut read: HashMap<PathBuf, Result<Arc<Map>, Diagnostic>> = HashMap::new();
        let mut out = HashMap::new();
        for (name, (_, path)) in best {
            let known = read.entry(path.clone()).or_insert_with(|| read_below(&path, vault, merge).map(Arc::new));
            match known {
                Ok(variables) => drop(out.insert(name, variables.clone())),
                Err(why) => {
                    let mut why = why.clone();
                    why.code = LOCKED;
                    self.locked.push((host, name, why));
                }
            }
        }
        Ok(out)
    }

    /// Whether everything could be decrypted.
    pub(super) fn is_readable(&self) -> bool {
        self.locked.is_empty()
    }

    /// Why variables of this group or host cannot be decrypted.
    pub(super) fn locked(&self, host: bool, name: &str) -> Option<&Diagnostic> {
        self.locked.iter().find(|(of_host, own, _)| *of_host == host && own == name).map(|(.., why)| why)
    }

    /// A group's variables.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<Arc<Map>> {
        self.groups.get(name).cloned()
    }

    /// A host's variables.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<Arc<Map>> {
        self.hosts.get(name).cloned()
    }
}

/// The code of what is wrong with variables of groups and hosts.
pub const LOCKED: &str = "inventory::vars";

/// Endings of files with variables, the first that is there counts.
const ENDINGS: &[&str] = &["", ".yml", ".yaml", ".json"];

/// The variables of a file, or of the files in a directory.
fn read_below(path: &Path, vault: &Arc<Secrets>, merge: bool) -> Result<Map, Diagnostic> {
    let mut files = Vec::new();
    collect(path, &mut files, 0)?;
    let mut target = Map::new();
    for file in files {
        read_into(&file, &mut target, vault, merge)?;
    }
    Ok(target)
}

fn stem(file: &str) -> &str {
    ENDINGS[1..].iter().find_map(|e| file.strip_suffix(e)).unwrap_or(file)
}

/// Entries of a directory, sorted; nothing when it is not there.
fn all_entries(directory: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    let read = match std::fs::read_dir(directory) {
        Ok(read) => read,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => {
            let message = format!("cannot read `{}`: {e}", directory.display());
            return Err(Diagnostic::error("inventory::read", message));
        }
    };
    let mut paths: Vec<PathBuf> = read.filter_map(Result::ok).map(|e| e.path()).collect();
    paths.sort();
    Ok(paths)
}

/// Entries of a name's own directory that may hold variables, sorted.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    let mut paths = all_entries(directory)?;
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let known = stem(&name) != name || !name.contains('.') || path.is_dir();
        !name.starts_with('.') && !name.ends_with('~') && known
    });
    Ok(paths)
}

fn collect(path: &Path, out: &mut Vec<PathBuf>, depth: usize) -> Result<(), Diagnostic> {
    if !path.is_dir() || depth > 20 {
        out.push(path.to_path_buf());
        return Ok(());
    }
    for entry in entries(path)? {
        collect(&entry, out, depth + 1)?;
    }
    Ok(())
}

/// Adds a file's variables to those read before it.
fn read_into(path: &Path, target: &mut Map, vault: &Arc<Secrets>, merge: bool) -> Result<(), Diagnostic> {
    let Some(node) = load(path, vault)? else { return Ok(()) };
    match node.to_value() {
        Value::Map(map) => {
            super::Inventory::put(merge, target, map.iter().map(|(k, v)| (k.clone(), v.clone())));
            Ok(())
        }
        other => {
            let message = format!("variables must be a dictionary, not {}", other.kind());
            Err(Diagnostic::error("inventory::vars", message).at(node.span))
        }
    }
}
