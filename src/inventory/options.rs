//! How inventory is read: settings that belong to it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::value::Map;

/// What becomes of characters in names of groups that cannot be in names of variables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GroupNames {
    /// They stay, with a warning.
    #[default]
    Never,
    /// They stay.
    Ignore,
    /// They become `_`, with a warning.
    Always,
    /// They become `_`.
    Silently,
}

/// What a pattern that matches no host means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HostMismatch {
    /// A warning.
    #[default]
    Warning,
    /// The end.
    Error,
    /// Nothing.
    Ignore,
}

/// How sources are read.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Whether dictionaries of several sources are put together (`hash_behaviour`).
    pub merge_hashes: bool,
    /// The passwords for files and values that are encrypted.
    pub vault: Arc<crate::vault::Secrets>,
    /// The kinds of sources, in the order in which they are tried.
    pub enabled: Vec<String>,
    /// Files of a directory with these endings are not inventory.
    pub ignored_endings: Vec<String>,
    /// Nor are files whose names match one of these regular expressions.
    pub ignored_patterns: Vec<String>,
    /// Whether it is an error when no source can be read.
    pub unparsed_is_failed: bool,
    /// Whether that is worth a warning.
    pub unparsed_warning: bool,
    /// Whether it is an error when any source cannot be read.
    pub any_unparsed_is_failed: bool,
    /// What becomes of odd names of groups.
    pub group_names: GroupNames,
    /// What a pattern that matches no host means.
    pub mismatch: HostMismatch,
    /// Whether composed variables see `--extra-vars`.
    pub use_extra_vars: bool,
    /// `--extra-vars`.
    pub extra: Arc<Map>,
    /// Whether the standard error of scripts that succeed is shown.
    pub script_stderr: bool,
    /// The directory of the playbook: composed variables may see the `group_vars` there.
    pub playbook_directory: Option<PathBuf>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect();
        Self {
            enabled: words(&["host_list", "script", "auto", "yaml", "ini", "toml"]),
            ignored_endings: words(&[
                ".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry",
            ]),
            ignored_patterns: Vec::new(),
            unparsed_is_failed: false,
            unparsed_warning: true,
            any_unparsed_is_failed: false,
            group_names: GroupNames::default(),
            mismatch: HostMismatch::default(),
            use_extra_vars: false,
            extra: Arc::default(),
            script_stderr: true,
            playbook_directory: None,
            vault: Arc::default(),
            merge_hashes: false,
        }
    }
}
