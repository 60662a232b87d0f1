//! The settings of the ways to become a user and of the connections, by the reference's names for them.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Setting;
use super::settings::{Definition, Sources, definition};
use crate::diagnostic::Diagnostic;
use crate::value::Value;

/// A plugin's option: `become`, `sudo`, `become_user`.
type Name = (&'static str, &'static str, &'static str);

/// A setting of a plugin's.
#[derive(Debug)]
pub struct PluginSetting {
    /// The variables of hosts that have it; the last that is there counts.
    pub variables: Vec<&'static str>,
    definition: Definition,
}

static TABLE: LazyLock<HashMap<Name, PluginSetting>> =
    LazyLock::new(|| include_str!("plugins.txt").lines().filter_map(line).collect());

/// A line of the table: kind of plugin, plugin, option, variables; from there on as in the table of settings.
fn line(line: &'static str) -> Option<(Name, PluginSetting)> {
    let (kind, rest) = line.split_once(" | ")?;
    let (plugin, rest) = rest.split_once(" | ")?;
    let (option, rest) = rest.split_once(" | ")?;
    let (variables, rest) = rest.split_once(" | ")?;
    let variables = variables.split(' ').filter(|name| *name != "-").collect();
    let setting = PluginSetting { variables, definition: definition(option, rest)? };
    Some(((kind, plugin, option), setting))
}

/// A plugin's name without that of the collection that all have.
#[must_use]
pub fn plugin_name(name: &str) -> &str {
    ["ansible.builtin.", "ansible.legacy."].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
}

/// What is known of a plugin's option.
#[must_use]
pub fn plugin_setting(kind: &str, plugin: &str, option: &str) -> Option<&'static PluginSetting> {
    // A key of borrowed parts has the lifetime of the table's, so they are compared instead.
    TABLE.iter().find(|((k, p, o), _)| (*k, *p, *o) == (kind, plugin, option)).map(|(_, setting)| setting)
}

/// Whether there is a plugin of this name.
#[must_use]
pub fn plugin_is_known(kind: &str, plugin: &str) -> bool {
    TABLE.keys().any(|(k, p, _)| (*k, *p) == (kind, plugin))
}

/// What the environment and the configuration file say about the plugins' options; who says nothing has the default.
#[derive(Debug, Default)]
pub(super) struct Plugins(HashMap<Name, Setting<Value>>);

impl Plugins {
    pub(super) fn read(sources: &Sources<'_>, home: &str, errors: &mut Vec<Diagnostic>) -> Self {
        let value = |setting: &PluginSetting, errors: &mut Vec<Diagnostic>| {
            let definition = &setting.definition;
            let given = sources.text(&definition.ini, &definition.env).map(|text| definition.value_of(&text));
            match given.transpose() {
                Ok(given) => given.flatten(),
                Err(error) => {
                    errors.push(error);
                    None
                }
            }
            .unwrap_or_else(|| definition.default(home))
        };
        Self(TABLE.iter().map(|(name, setting)| (*name, value(setting, errors))).collect())
    }

    pub(super) fn get(&self, kind: &str, plugin: &str, option: &str) -> Option<&Setting<Value>> {
        self.0.iter().find(|((k, p, o), _)| (*k, *p, *o) == (kind, plugin, option)).map(|(_, setting)| setting)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Origin;

    #[test]
    fn every_line_of_the_table_is_read() {
        assert_eq!(TABLE.len(), include_str!("plugins.txt").lines().count());
        assert!(plugin_is_known("become", "su") && !plugin_is_known("become", "runas"));
        assert_eq!(
            plugin_setting("become", "sudo", "become_user").unwrap().variables,
            ["ansible_become_user", "ansible_sudo_user"]
        );
    }

    #[test]
    fn the_methods_own_variable_comes_before_the_general_one() {
        let env = |name: &str| match name {
            "ANSIBLE_BECOME_FLAGS" => Some("-a".to_owned()),
            "ANSIBLE_SUDO_FLAGS" => Some("-b".to_owned()),
            _ => None,
        };
        let mut errors = Vec::new();
        let plugins = Plugins::read(&Sources { file: None, env: &env }, "/h", &mut errors);
        assert!(errors.is_empty());
        let flags = plugins.get("become", "sudo", "become_flags").unwrap();
        assert_eq!(flags.value, Value::from("-b"));
        assert_eq!(flags.origin, Origin::Environment("ANSIBLE_SUDO_FLAGS".into()));
        assert_eq!(plugins.get("become", "su", "become_flags").unwrap().value, Value::from("-a"));
        assert_eq!(plugins.get("connection", "local", "become_success_timeout").unwrap().value, Value::Int(10));
    }
}
