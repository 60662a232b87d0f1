//! Inventory sources: those of the command line, else those that are configured.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Config;
use crate::diagnostic::Diagnostic;
use crate::inventory::{self, GroupNames, HostMismatch, Inventory, LoadOptions};
use crate::value::Map;
use crate::vault::Secrets;

/// Where inventory is when nobody says.
const DEFAULT: &str = "/etc/ansible/hosts";

/// What is said of an inventory without hosts.
pub(super) const NOBODY: &str =
    "provided hosts list is empty, only localhost is available. Note that the implicit localhost does not match 'all'";

/// Reads the inventory and shows what is worth a look in it.
pub(super) fn load(
    given: &[String],
    config: &Config,
    extra: &Map,
    playbook_directory: Option<PathBuf>,
    vault: &Arc<Secrets>,
    warn: &dyn Fn(&[Diagnostic]),
) -> Result<Inventory, Vec<Diagnostic>> {
    let mut inventory = read(given, config, extra, playbook_directory, vault)?;
    warn(&std::mem::take(&mut inventory.warnings));
    Ok(inventory)
}

/// Tells how sources were read, to those who want to know.
pub(super) fn tell(inventory: &Inventory, verbosity: u8) {
    if verbosity >= 3 {
        inventory.notes.iter().for_each(|note| eprintln!("{note}"));
    }
}

/// Reads the inventory.
pub(super) fn read(
    given: &[String],
    config: &Config,
    extra: &Map,
    playbook_directory: Option<PathBuf>,
    vault: &Arc<Secrets>,
) -> Result<Inventory, Vec<Diagnostic>> {
    let configured = || match config.inventory.value.as_slice() {
        [] => vec![DEFAULT.to_owned()],
        some => some.to_vec(),
    };
    let sources = if given.is_empty() { configured() } else { given.to_vec() };
    inventory::load(&sources, &LoadOptions { vault: vault.clone(), ..options(config, extra, playbook_directory) })
}

/// What the configuration says about inventory.
fn options(config: &Config, extra: &Map, playbook_directory: Option<PathBuf>) -> LoadOptions {
    let default = LoadOptions::default();
    LoadOptions {
        enabled: config.inventory_enabled.value.clone().unwrap_or(default.enabled),
        ignored_endings: config.inventory_ignore_extensions.value.clone().unwrap_or(default.ignored_endings),
        ignored_patterns: config.inventory_ignore_patterns.value.clone(),
        unparsed_is_failed: config.inventory_unparsed_failed.value,
        unparsed_warning: config.inventory_unparsed_warning.value,
        any_unparsed_is_failed: config.inventory_any_unparsed_failed.value,
        group_names: match config.group_names.value.as_str() {
            "ignore" => GroupNames::Ignore,
            "always" => GroupNames::Always,
            "silently" => GroupNames::Silently,
            _ => GroupNames::Never,
        },
        mismatch: match config.host_pattern_mismatch.value.as_str() {
            "error" => HostMismatch::Error,
            "ignore" => HostMismatch::Ignore,
            _ => HostMismatch::Warning,
        },
        use_extra_vars: config.inventory_use_extra_vars.value,
        extra: Arc::new(extra.clone()),
        script_stderr: config.inventory_script_stderr.value,
        playbook_directory,
        vault: default.vault,
        merge_hashes: config.merge_hashes.value,
    }
}
