//! Settings that only one room reads: looked up by their names.

use std::path::Path;

use super::file::Ini;

/// What the environment or the configuration file says about a setting; the environment comes first.
#[must_use]
pub fn lookup(file: Option<&Path>, section: &str, key: &str, variables: &[&str]) -> Option<String> {
    if let Some(value) = variables.iter().find_map(|name| std::env::var(name).ok()) {
        return Some(value);
    }
    let ini = Ini::read(file?).ok()?;
    ini.get(section, key).map(|(value, _)| value.to_owned())
}
