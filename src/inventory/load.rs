//! Inventory sources: files, directories, scripts, lists on the command line; each kind tried in turn.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::{Inventory, LoadOptions, VarsDirectory, constructed, generator, host_list, ini, script, toml, yaml};
use crate::config::plugin_name;
use crate::diagnostic::Diagnostic;
use crate::source::{self, Span};
use crate::vault::{Secrets, is_encrypted};

/// A kind of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    HostList,
    AdvancedHostList,
    Script,
    Auto,
    Yaml,
    Ini,
    Toml,
    Constructed,
    Generator,
}

/// Why a source was not read.
enum Refusal {
    /// The next kind may know better.
    Next(Box<Diagnostic>),
    /// Nobody does.
    Final(Box<Diagnostic>),
}

impl From<Diagnostic> for Refusal {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Next(Box::new(diagnostic))
    }
}

/// Reads all sources into one inventory, in order; variables beside them too.
pub fn load(sources: &[String], options: &LoadOptions) -> Result<Inventory, Vec<Diagnostic>> {
    let mut inventory = Inventory::new();
    inventory.options = Arc::new(options.clone());
    inventory.vault = options.vault.clone();
    inventory.merge_hashes = options.merge_hashes;
    let kinds = kinds(&mut inventory);
    if kinds.is_empty() {
        let message = "No inventory plugins available to generate inventory, make sure you have at least one enabled.";
        return Err(vec![Diagnostic::error("inventory::settings", message)]);
    }
    if let Some(directory) = &options.playbook_directory {
        inventory.add_playbook_directory(directory).map_err(|error| vec![error])?;
    }
    let mut reader = Reader { inventory, kinds, ignored: ignored(options).map_err(|error| vec![error])? };
    let mut parsed = false;
    for source in sources.iter().filter(|source| !source.is_empty()) {
        let source = if source.contains(',') { source.clone() } else { absolute(source) };
        parsed |= reader.source(&source).map_err(|error| vec![error])?;
        reader.inventory.sources.push(source);
    }
    let mut inventory = reader.inventory;
    inventory.current = None;
    if parsed {
        inventory.settle();
    } else {
        // What a source said before it went wrong is nothing to run on.
        inventory.empty();
        if options.unparsed_is_failed {
            let message = "No inventory was parsed, please check your configuration and options.";
            let mut errors = inventory.warnings;
            errors.push(Diagnostic::error("inventory::unparsed", message));
            return Err(errors);
        }
        if options.unparsed_warning {
            let message = "No inventory was parsed, only implicit localhost is available";
            inventory.warn("inventory::unparsed", message.to_owned());
        }
    }
    Ok(inventory)
}

/// The kinds that are enabled, in order.
fn kinds(inventory: &mut Inventory) -> Vec<Kind> {
    let enabled = inventory.options.enabled.clone();
    let mut kinds = Vec::new();
    for name in enabled {
        kinds.push(match plugin_name(&name) {
            "host_list" => Kind::HostList,
            "advanced_host_list" => Kind::AdvancedHostList,
            "script" => Kind::Script,
            "auto" => Kind::Auto,
            "yaml" => Kind::Yaml,
            "ini" => Kind::Ini,
            "toml" => Kind::Toml,
            "constructed" => Kind::Constructed,
            "generator" => Kind::Generator,
            _ => {
                inventory.warn("inventory::settings", format!("Failed to load inventory plugin, skipping {name}"));
                continue;
            }
        });
    }
    kinds
}

/// The path from the root, without `.` and `..`.
fn absolute(source: &str) -> String {
    let path = crate::playbook::expand_home(source);
    let path = std::path::absolute(&path).unwrap_or(path);
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out.display().to_string()
}

/// Which names in directories are not inventory.
fn ignored(options: &LoadOptions) -> Result<Vec<fancy_regex::Regex>, Diagnostic> {
    let compile = |pattern: &String| {
        fancy_regex::Regex::new(pattern).map_err(|error| {
            let message = format!("`inventory_ignore_patterns`: `{pattern}` is not a regular expression: {error}");
            Diagnostic::error("inventory::settings", message)
        })
    };
    options.ignored_patterns.iter().map(compile).collect()
}

struct Reader {
    inventory: Inventory,
    kinds: Vec<Kind>,
    ignored: Vec<fancy_regex::Regex>,
}

impl Reader {
    /// Reads a source of the command line; says whether any of it was understood.
    fn source(&mut self, source: &str) -> Result<bool, Diagnostic> {
        let path = Path::new(source);
        if !source.contains(',') || path.exists() {
            let beside = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
            let beside = if beside.as_os_str().is_empty() { Path::new(".") } else { beside };
            if beside.is_dir() && !self.inventory.beside_sources.iter().any(|d| d.path == beside) {
                self.inventory.beside_sources.push(VarsDirectory::read(
                    beside,
                    &self.inventory.vault,
                    self.inventory.merge_hashes,
                )?);
            }
        }
        self.entry(source, 0)
    }

    fn entry(&mut self, source: &str, depth: usize) -> Result<bool, Diagnostic> {
        let path = Path::new(source);
        if !path.is_dir() || depth > 40 {
            return self.one(source);
        }
        let mut parsed = false;
        for name in self.names(path)? {
            let name = path.join(name).display().to_string();
            parsed |= self.entry(&name, depth + 1)?;
        }
        if !parsed {
            self.unparsed(source, Vec::new())?;
        }
        Ok(parsed)
    }

    /// The names in a directory that may be inventory, in order.
    fn names(&self, path: &Path) -> Result<Vec<String>, Diagnostic> {
        let wrong = |error: std::io::Error| {
            Diagnostic::error("inventory::read", format!("cannot read `{}`: {error}", path.display()))
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path).map_err(wrong)? {
            let name = entry.map_err(wrong)?.file_name().to_string_lossy().into_owned();
            let endings = &self.inventory.options.ignored_endings;
            let ignored = name.starts_with('.')
                || matches!(name.as_str(), "group_vars" | "host_vars" | "vars_plugins")
                || endings.iter().any(|ending| name.ends_with(ending.as_str()))
                || self.ignored.iter().any(|pattern| pattern.is_match(&name).unwrap_or(false));
            if !ignored {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Tries every kind on what is no directory.
    fn one(&mut self, source: &str) -> Result<bool, Diagnostic> {
        self.inventory.current = Some(PathBuf::from(source));
        let mut failures = Vec::new();
        for kind in self.kinds.clone() {
            if !kind.wants(source) {
                let name = kind.name();
                let note = format!("{name} declined parsing {source} as it did not pass its verify_file() method");
                self.inventory.notes.push(note);
                continue;
            }
            match kind.read(&mut self.inventory, source) {
                Ok(()) => {
                    self.inventory.notes.push(format!("Parsed {source} inventory source with {} plugin", kind.name()));
                    return Ok(true);
                }
                Err(Refusal::Next(why)) => failures.push((kind, *why)),
                Err(Refusal::Final(why)) => return Err(*why),
            }
        }
        self.unparsed(source, failures)?;
        Ok(false)
    }

    /// Says that nobody could read a source, and why; in earnest where that is asked for.
    fn unparsed(&mut self, source: &str, failures: Vec<(Kind, Diagnostic)>) -> Result<(), Diagnostic> {
        if source == "/etc/ansible/hosts" && !Path::new(source).exists() {
            return Ok(());
        }
        for (kind, why) in failures {
            let message = format!("Failed to parse inventory with '{}' plugin: {}", kind.name(), why.message);
            let span = why.span;
            self.inventory.warn("inventory::syntax", message).span = span;
        }
        if self.inventory.options.any_unparsed_is_failed {
            let message = format!("Completely failed to parse inventory source {source}");
            return Err(Diagnostic::error("inventory::unparsed", message));
        }
        let message = format!("Unable to parse {source} as an inventory source");
        self.inventory.warn("inventory::unparsed", message);
        Ok(())
    }
}

/// The ending of a file's name, its dot left out.
fn ending(source: &str) -> String {
    Path::new(source).extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::HostList => "host_list",
            Self::AdvancedHostList => "advanced_host_list",
            Self::Script => "script",
            Self::Auto => "auto",
            Self::Yaml => "yaml",
            Self::Ini => "ini",
            Self::Toml => "toml",
            Self::Constructed => "constructed",
            Self::Generator => "generator",
        }
    }

    /// Whether a source looks like one of this kind.
    fn wants(self, source: &str) -> bool {
        let path = Path::new(source);
        let ending = ending(source);
        match self {
            Self::HostList | Self::AdvancedHostList => source.contains(',') && !path.exists(),
            _ if !path.exists() => false,
            Self::Script => path.is_file() && (is_executable(path) || has_shebang(path)),
            Self::Auto => matches!(ending.as_str(), "yml" | "yaml"),
            Self::Yaml => matches!(ending.as_str(), "" | "yml" | "yaml" | "json"),
            Self::Ini => ending != "toml",
            Self::Toml => ending == "toml",
            Self::Constructed | Self::Generator => matches!(ending.as_str(), "" | "config" | "yml" | "yaml" | "json"),
        }
    }

    fn read(self, inventory: &mut Inventory, source: &str) -> Result<(), Refusal> {
        match self {
            Self::HostList => host_list::read(inventory, source),
            Self::AdvancedHostList => host_list::read_advanced(inventory, source)?,
            Self::Script => {
                let origin = source::register(source, Some(Path::new(source)), String::new());
                script::read(inventory, Path::new(source), origin)?;
            }
            Self::Auto => return plugin(inventory, source),
            Self::Yaml => match document(source, &inventory.vault)? {
                Some(node) => yaml::read(inventory, &node)?,
                None => return Err(Diagnostic::error("inventory::syntax", "Parsed empty YAML file").into()),
            },
            Self::Ini => ini::read(inventory, text(source, &inventory.vault, true)?)?,
            Self::Toml => toml::read(inventory, text(source, &inventory.vault, false)?)?,
            Self::Constructed | Self::Generator => {
                let Some(node) = document(source, &inventory.vault)? else {
                    return Err(Diagnostic::error("inventory::syntax", format!("{source} is empty")).into());
                };
                let named = node.get("plugin").and_then(source::Node::as_str).map(plugin_name);
                if named != Some(self.name()) {
                    let name = self.name();
                    let message = format!("Incorrect plugin name in file: {source} is not for '{name}'");
                    return Err(Diagnostic::error("inventory::syntax", message).at(node.span).into());
                }
                self.compose(inventory, source, &node)?;
            }
        }
        Ok(())
    }

    fn compose(self, inventory: &mut Inventory, source: &str, node: &source::Node) -> Result<(), Diagnostic> {
        match self {
            Self::Generator => generator::read(inventory, node),
            _ => constructed::read(inventory, source, node),
        }
    }
}

/// A file that says which plugin is to read it.
fn plugin(inventory: &mut Inventory, source: &str) -> Result<(), Refusal> {
    let node = document(source, &inventory.vault)?;
    let named = node.as_ref().and_then(|node| Some((node, node.get("plugin")?.as_str()?)));
    let Some((node, name)) = named else {
        let message =
            format!("no root 'plugin' key found, '{source}' is not a valid YAML inventory plugin config file");
        return Err(Diagnostic::error("inventory::syntax", message).into());
    };
    match plugin_name(name) {
        "constructed" => Kind::Constructed.compose(inventory, source, node)?,
        "generator" => Kind::Generator.compose(inventory, source, node)?,
        _ => {
            let message = format!("the inventory plugin `{name}` is not supported");
            let place = node.get("plugin").map_or(node.span, |value| value.span);
            let help = "supported are constructed and generator; a script that prints the same hosts works too";
            let error = Diagnostic::error("inventory::unsupported", message).at(place).help(help);
            return Err(Refusal::Final(Box::new(error)));
        }
    }
    Ok(())
}

/// A file's text, as a place in it; `by_line`: its places are lines.
fn text(source: &str, vault: &Arc<Secrets>, by_line: bool) -> Result<Span, Diagnostic> {
    let path = Path::new(source);
    let wrong = |message: String| Diagnostic::error("inventory::read", message);
    let bytes = std::fs::read(path).map_err(|e| wrong(format!("cannot read the inventory `{source}`: {e}")))?;
    let encrypted = is_encrypted(&bytes);
    let bytes = vault.reveal(bytes).map_err(|e| wrong(format!("cannot decrypt the inventory `{source}`: {e}")))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong(format!("the inventory `{source}` is not UTF-8")))?;
    let (name, path) = (source.to_owned(), Some(path.to_path_buf()));
    Ok(source::register_source(source::Source { name, path, text, vault: vault.clone(), encrypted, by_line }))
}

/// A file's YAML.
fn document(source: &str, vault: &Arc<Secrets>) -> Result<Option<source::Node>, Diagnostic> {
    source::load(Path::new(source), vault)
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o111 != 0)
}

fn has_shebang(path: &Path) -> bool {
    use std::io::Read;
    let mut start = [0u8; 2];
    std::fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut start).is_ok()) && &start == b"#!"
}
