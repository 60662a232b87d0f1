//! Inventory sources: files, directories, lists on the command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Inventory, UNGROUPED, VarsDirectory, ini, range, yaml};
use crate::diagnostic::Diagnostic;
use crate::source;
use crate::vault::{Secrets, is_encrypted};

/// How sources are read.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Files of a directory with these endings are not inventory.
    pub ignored_endings: Vec<String>,
    /// Whether dictionaries of several sources are put together (`hash_behaviour`).
    pub merge_hashes: bool,
    /// The passwords for files and values that are encrypted.
    pub vault: Arc<Secrets>,
}

/// Endings that are never inventory, as in the reference's `INVENTORY_IGNORE_EXTS`.
const IGNORED: &[&str] =
    &["~", ".orig", ".bak", ".ini.bak", ".cfg", ".retry", ".pyc", ".pyo", ".swp", ".rpm", ".md", ".txt", ".rst"];

/// Reads all sources into one inventory, in order; variables beside them too.
pub fn load(sources: &[String], options: &LoadOptions) -> Result<Inventory, Vec<Diagnostic>> {
    let mut inventory = Inventory::new();
    inventory.vault = options.vault.clone();
    inventory.merge_hashes = options.merge_hashes;
    let mut errors = Vec::new();
    for source in sources {
        if let Err(error) = read_source(&mut inventory, source, options) {
            errors.push(error);
        }
    }
    inventory.settle();
    if errors.is_empty() { Ok(inventory) } else { Err(errors) }
}

fn read_source(inventory: &mut Inventory, source: &str, options: &LoadOptions) -> Result<(), Diagnostic> {
    // `-i host1,host2` and `-i host,` are hosts, not a path.
    if source.contains(',') && !Path::new(source).exists() {
        for name in source.split(',').map(str::trim).filter(|n| !n.is_empty()) {
            let names = range::expand(name).map_err(|message| Diagnostic::error("inventory::syntax", message))?;
            names.iter().for_each(|name| inventory.add_member(UNGROUPED, name));
        }
        return Ok(());
    }
    let path = PathBuf::from(source);
    if !path.exists() {
        return Err(Diagnostic::error("inventory::missing", format!("the inventory `{source}` does not exist"))
            .help("give a file, a directory, or hosts separated by commas: `-i web1,web2`"));
    }
    inventory.sources.push(path.clone());
    let beside = if path.is_dir() { path.clone() } else { parent(&path) };
    if !inventory.beside_sources.iter().any(|d| d.path == beside) {
        inventory.beside_sources.push(VarsDirectory::read(&beside, &options.vault, options.merge_hashes)?);
    }
    let read = if path.is_dir() { read_directory(inventory, &path, options) } else { read_file(inventory, &path) };
    inventory.came_from(&path);
    read
}

fn parent(path: &Path) -> PathBuf {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf()
}

fn read_directory(inventory: &mut Inventory, path: &Path, options: &LoadOptions) -> Result<(), Diagnostic> {
    let entries = std::fs::read_dir(path)
        .map_err(|e| Diagnostic::error("inventory::read", format!("cannot read `{}`: {e}", path.display())))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let own = options.ignored_endings.iter().any(|e| name.ends_with(e.as_str()));
        let ignored = own || IGNORED.iter().any(|e| name.ends_with(e));
        if name.starts_with('.') || ignored || matches!(name.as_str(), "group_vars" | "host_vars" | "vars_plugins") {
            continue;
        }
        if path.is_dir() {
            read_directory(inventory, &path, options)?;
        } else {
            read_file(inventory, &path)?;
        }
    }
    Ok(())
}

fn read_file(inventory: &mut Inventory, path: &Path) -> Result<(), Diagnostic> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path)
        .map_err(|e| Diagnostic::error("inventory::read", format!("cannot read the inventory `{name}`: {e}")))?;
    if is_executable(path) && bytes.starts_with(b"#!") {
        return Err(Diagnostic::error("inventory::unsupported", format!("`{name}` is an inventory script"))
            .help("scripts are not supported yet: save its output as YAML, or remove its execute permission"));
    }
    let encrypted = is_encrypted(&bytes);
    let bytes = (inventory.vault.reveal(bytes))
        .map_err(|e| Diagnostic::error("vault::decrypt", format!("cannot decrypt the inventory `{name}`: {e}")))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Diagnostic::error("inventory::encoding", format!("the inventory `{name}` is not UTF-8")))?;
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "yml" | "yaml" | "json" => read_yaml(inventory, path, text),
        "toml" => Err(Diagnostic::error("inventory::unsupported", format!("`{name}` is a TOML inventory"))
            .help("TOML inventories are not supported yet: write it as YAML or INI")),
        _ if looks_like_yaml(&text) => read_yaml(inventory, path, text),
        _ => {
            let (path, vault) = (Some(path.to_path_buf()), inventory.vault.clone());
            ini::read(inventory, source::register_source(source::Source { name, path, text, vault, encrypted }))
        }
    }
}

fn read_yaml(inventory: &mut Inventory, path: &Path, text: String) -> Result<(), Diagnostic> {
    match source::load_text_with(&path.display().to_string(), Some(path), text, &inventory.vault.clone())? {
        Some(node) => {
            if let Some(plugin) = node.get("plugin").and_then(source::Node::as_str) {
                let message = format!("the inventory plugin `{plugin}` is not supported yet");
                return Err(Diagnostic::error("inventory::unsupported", message).at(node.span));
            }
            yaml::read(inventory, &node)
        }
        None => Ok(()),
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o111 != 0)
}

/// Whether the first line that says something is YAML's rather than INI's.
fn looks_like_yaml(text: &str) -> bool {
    let first =
        text.lines().map(str::trim_end).find(|l| !l.trim().is_empty() && !l.trim_start().starts_with(['#', ';']));
    first.is_some_and(|line| line == "---" || (line.ends_with(':') && !line.contains([' ', '=', '['])))
}
