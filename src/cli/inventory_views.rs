//! The inventory as `ansible-inventory` shows it: a script's JSON, nested YAML, TOML, a tree.

use std::collections::HashSet;

use crate::inventory::{Group, Inventory};
use crate::value::{Key, Map, Value};
use crate::vars::MAGIC_NAMES;

/// What is listed.
pub(super) struct Listing<'l> {
    /// Whether variables stay with the groups that have them.
    pub export: bool,
    /// The hosts that are listed; `None`: all.
    pub only: Option<Vec<String>>,
    /// `--extra-vars`.
    pub extra: &'l Map,
}

/// Magic names that are shown where a host or a group has them; the others are not, whatever is written under them.
const SHOWN: [&str; 8] = [
    "ansible_check_mode",
    "ansible_delegated_vars",
    "ansible_parent_role_names",
    "ansible_parent_role_paths",
    "ansible_play_name",
    "ansible_search_path",
    "environment",
    "omit",
];

fn shown(mut variables: Map) -> Map {
    let is_shown = |name: &str| SHOWN.contains(&name) || !MAGIC_NAMES.contains(&name);
    variables.retain(|name, _| name.as_str().is_none_or(is_shown));
    variables
}

/// All variables of a host, those of its groups included.
pub(super) fn host_variables(inventory: &Inventory, host: &str, extra: &Map) -> Value {
    let mut out = Map::new();
    for layer in inventory.layers(host).iter().rev() {
        out.extend(layer.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
    out.extend(extra.iter().map(|(k, v)| (k.clone(), v.clone())));
    Value::map(shown(out))
}

/// A value for JSON: text that may not be a template says so, every key is text.
pub(super) fn marked(value: &Value) -> Value {
    match value {
        Value::Str(text) if !text.is_trusted() => {
            Value::map([(Key::from("__ansible_unsafe"), value.clone())].into_iter().collect())
        }
        Value::List(items) => Value::list(items.iter().map(marked).collect()),
        Value::Map(map) => Value::map(map.iter().map(|(k, v)| (Key::from(k.to_string()), marked(v))).collect()),
        other => other.clone(),
    }
}

/// A name as a value that is not marked.
fn name(text: &str) -> Value {
    Value::Str(crate::value::Str::trusted(text, None))
}

fn is_empty(value: &Value) -> bool {
    value.as_map().is_some_and(Map::is_empty)
}

impl Listing<'_> {
    fn only(&self) -> Option<HashSet<&str>> {
        self.only.as_ref().map(|names| names.iter().map(String::as_str).collect())
    }

    fn host(&self, inventory: &Inventory, host: &str) -> Value {
        if self.export {
            return Value::map(shown(inventory.own_host_variables(host)));
        }
        host_variables(inventory, host, self.extra)
    }

    /// What an inventory script prints.
    pub(super) fn json(&self, inventory: &Inventory) -> Value {
        let only = self.only();
        let mut out = Map::new();
        let mut hostvars = Map::new();
        let mut pending = vec!["all"];
        let mut seen = HashSet::new();
        while let Some(group) = pending.pop().and_then(|name| inventory.group(name)) {
            if !seen.insert(group.name.as_str()) {
                continue;
            }
            let mut entry = Map::new();
            if group.name != "all" {
                let hosts = members(inventory, group, only.as_ref());
                if !hosts.is_empty() {
                    entry.insert("hosts".into(), Value::list(hosts.iter().map(|host| name(host)).collect()));
                }
            }
            let children = children(group);
            if !children.is_empty() {
                entry.insert("children".into(), Value::list(children.iter().map(|child| name(child)).collect()));
            }
            pending.extend(children.into_iter().rev());
            let vars = if self.export { shown(inventory.own_group_variables(&group.name)) } else { Map::new() };
            if !vars.is_empty() {
                entry.insert("vars".into(), Value::map(vars));
            }
            if !entry.is_empty() {
                out.insert(group.name.as_str().into(), Value::map(entry));
            }
        }
        let listed = inventory.hosts().filter(|host| !host.implicit);
        for host in listed.filter(|host| only.as_ref().is_none_or(|only| only.contains(host.name.as_str()))) {
            let vars = self.host(inventory, &host.name);
            if !is_empty(&vars) {
                hostvars.insert(host.name.as_str().into(), vars);
            }
        }
        let mut meta = Map::new();
        meta.insert("hostvars".into(), Value::map(hostvars));
        meta.insert("profile".into(), name("inventory_legacy"));
        out.insert("_meta".into(), Value::map(meta));
        Value::map(out)
    }

    /// Groups in groups, as YAML inventories have them.
    pub(super) fn yaml(&self, inventory: &Inventory) -> Value {
        let mut seen = Seen::default();
        let only = self.only();
        match inventory.group("all") {
            Some(all) => self.nested(inventory, all, only.as_ref(), &mut seen),
            None => Value::map(Map::new()),
        }
    }

    fn nested<'i>(
        &self,
        inventory: &'i Inventory,
        group: &'i Group,
        only: Option<&HashSet<&str>>,
        seen: &mut Seen<'i>,
    ) -> Value {
        let mut entry = Map::new();
        let mut inside = Map::new();
        for child in children(group).into_iter().filter_map(|name| inventory.group(name)) {
            if seen.groups.contains(child.name.as_str()) {
                // It is shown where it came first.
                inside.insert(child.name.as_str().into(), Value::map(Map::new()));
            } else if let Value::Map(found) = self.nested(inventory, child, only, seen) {
                inside.extend(found.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
        }
        if !inside.is_empty() {
            entry.insert("children".into(), Value::map(inside));
        }
        if group.name != "all" {
            let mut hosts = Map::new();
            for host in members(inventory, group, only) {
                let vars = if seen.hosts.insert(host) { self.host(inventory, host) } else { Value::map(Map::new()) };
                hosts.insert(host.into(), vars);
            }
            if !hosts.is_empty() {
                entry.insert("hosts".into(), Value::map(hosts));
            }
        }
        if self.export {
            let vars = shown(inventory.own_group_variables(&group.name));
            if !vars.is_empty() {
                entry.insert("vars".into(), Value::map(vars));
            }
        }
        seen.groups.insert(&group.name);
        let mut out = Map::new();
        if !entry.is_empty() {
            out.insert(group.name.as_str().into(), Value::map(entry));
        }
        Value::map(out)
    }

    /// Groups side by side with the names of their children, as TOML inventories have them.
    pub(super) fn toml(&self, inventory: &Inventory) -> Value {
        let only = self.only();
        let mut seen = HashSet::new();
        let mut out = Map::new();
        for group in inventory.groups() {
            let mut entry = Map::new();
            if group.name != "all" {
                let children: Vec<Value> = group.children.iter().map(|child| name(child)).collect();
                if !children.is_empty() {
                    entry.insert("children".into(), Value::list(children));
                }
                let mut hosts = Map::new();
                for host in members(inventory, group, only.as_ref()) {
                    let vars = if seen.insert(host) { self.host(inventory, host) } else { Value::map(Map::new()) };
                    hosts.insert(host.into(), vars);
                }
                if !hosts.is_empty() {
                    entry.insert("hosts".into(), Value::map(hosts));
                }
            }
            if self.export {
                let vars = shown(inventory.own_group_variables(&group.name));
                if !vars.is_empty() {
                    entry.insert("vars".into(), Value::map(vars));
                }
            }
            if !entry.is_empty() {
                out.insert(group.name.as_str().into(), Value::map(entry));
            }
        }
        Value::map(out)
    }
}

/// What was shown already.
#[derive(Default)]
struct Seen<'i> {
    groups: HashSet<&'i str>,
    hosts: HashSet<&'i str>,
}

/// A group's children in order; `ungrouped` is the first child of `all`.
fn children(group: &Group) -> Vec<&str> {
    let first = (group.name == "all").then_some("ungrouped");
    first.into_iter().chain(group.children.iter().map(String::as_str).filter(|name| *name != "ungrouped")).collect()
}

/// The hosts of a group itself that are listed.
fn members<'i>(inventory: &'i Inventory, group: &'i Group, only: Option<&HashSet<&str>>) -> Vec<&'i str> {
    let names: Vec<&str> = if group.name == "ungrouped" {
        let alone = inventory.members("ungrouped");
        let alone: HashSet<&str> = alone.iter().map(String::as_str).collect();
        inventory.hosts().map(|host| host.name.as_str()).filter(|host| alone.contains(host)).collect()
    } else {
        group.hosts.iter().map(String::as_str).collect()
    };
    names.into_iter().filter(|host| only.is_none_or(|only| only.contains(host))).collect()
}

/// The groups below a group as a tree; `None` when there is no such group.
pub(super) fn graph(inventory: &Inventory, group: &str, with_vars: bool, extra: &Map) -> Option<String> {
    let group = inventory.group(group)?;
    let mut out = String::new();
    branch(inventory, group, with_vars.then_some(extra), 0, &mut out);
    Some(out)
}

fn branch(inventory: &Inventory, group: &Group, vars: Option<&Map>, depth: usize, out: &mut String) {
    line(out, depth, &format!("@{}:", group.name));
    for child in children(group).into_iter().filter_map(|name| inventory.group(name)) {
        branch(inventory, child, vars, depth + 1, out);
    }
    if group.name != "all" {
        for host in members(inventory, group, None) {
            line(out, depth + 1, host);
            if let Some(extra) = vars {
                variables(&host_variables(inventory, host, extra), depth + 2, out);
            }
        }
    }
    if vars.is_some() {
        variables(&Value::map(shown(inventory.own_group_variables(&group.name))), depth + 1, out);
    }
}

fn line(out: &mut String, depth: usize, text: &str) {
    out.push_str(&"  |".repeat(depth));
    if depth > 0 {
        out.push_str("--");
    }
    out.push_str(text);
    out.push('\n');
}

fn variables(vars: &Value, depth: usize, out: &mut String) {
    let mut entries: Vec<(String, &Value)> =
        vars.as_map().into_iter().flatten().map(|(key, value)| (key.to_string(), value)).collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, value) in entries {
        line(out, depth, &format!("{{{name} = {}}}", value.to_text()));
    }
}

/// The value as TOML; fails with a sentence on what TOML cannot hold.
pub(super) fn toml_text(value: &Value) -> Result<String, String> {
    let toml::Value::Table(table) = to_toml(value, "inventory")? else { return Ok(String::new()) };
    toml::to_string_pretty(&table).map_err(|error| format!("the inventory cannot be written as TOML: {error}"))
}

fn to_toml(value: &Value, name: &str) -> Result<toml::Value, String> {
    Ok(match value {
        Value::Null | Value::Omit => return Err(format!("`{name}` is null, which TOML cannot hold")),
        Value::Bool(truth) => toml::Value::Boolean(*truth),
        Value::Int(number) => toml::Value::Integer(*number),
        Value::Float(number) => toml::Value::Float(*number),
        Value::Str(text) => toml::Value::String(text.as_str().to_owned()),
        Value::List(items) => {
            toml::Value::Array(items.iter().map(|item| to_toml(item, name)).collect::<Result<_, _>>()?)
        }
        Value::Map(map) => {
            let mut keys: Vec<(String, &Value)> = map.iter().map(|(key, value)| (key.to_string(), value)).collect();
            // What is a table itself comes behind what is none.
            keys.sort_by_key(|(_, value)| matches!(value, Value::Map(_)));
            let entry = |(key, value): (String, &Value)| to_toml(value, &key).map(|value| (key, value));
            toml::Value::Table(keys.into_iter().map(entry).collect::<Result<_, _>>()?)
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use super::*;
    use crate::inventory::{LoadOptions, load};
    use serde_json::json;

    fn inventory() -> (tempfile::TempDir, Inventory) {
        let text = "all:\n  vars: {g: 1}\n  hosts: {lone: }\n  children:\n    web:\n      vars: {ansible_group_priority: 1, groups: no}\n      \
                    hosts: {w: {u: !unsafe '{{ x }}', inventory_hostname: no, playbook_dir: no}}\n      \
                    children: {sub: {hosts: {s: , w: }, vars: {v: [1]}}, empty: }\n    db: {children: {sub: }}\n";
        let stage = tempfile::tempdir().unwrap();
        let path = stage.path().join("hosts.yml");
        std::fs::write(&path, text).unwrap();
        let inventory = load(&[path.display().to_string()], &LoadOptions::default()).unwrap();
        (stage, inventory)
    }

    #[test]
    fn a_listing_is_what_a_script_would_print() {
        let (_stage, inventory) = inventory();
        let extra = Map::new();
        let listing = |export, only: Option<Vec<String>>| Listing { export, only, extra: &extra };
        let json = marked(&listing(false, None).json(&inventory)).to_json();
        let unsafe_text = json!({"__ansible_unsafe": "{{ x }}"});
        let hostvars = json!({"lone": {"g": 1}, "s": {"g": 1, "v": [1]}, "w": {"g": 1, "u": unsafe_text, "v": [1]}});
        assert_eq!(json["_meta"]["hostvars"], hostvars);
        assert_eq!(json["all"], json!({"children": ["ungrouped", "web", "db"]}));
        assert_eq!(json["web"], json!({"children": ["sub", "empty"], "hosts": ["w"]}));
        assert!(json.get("empty").is_none());
        let json = marked(&listing(true, Some(vec!["s".into()])).json(&inventory)).to_json();
        assert_eq!(json["_meta"]["hostvars"], json!({}));
        assert_eq!(json["sub"], json!({"hosts": ["s"], "vars": {"v": [1]}}));
        assert!(json.get("ungrouped").is_none());
    }

    #[test]
    fn groups_are_nested_once_and_drawn_as_often_as_they_occur() {
        let (_stage, inventory) = inventory();
        let extra = Map::new();
        let listing = Listing { export: true, only: None, extra: &extra };
        let children = &listing.yaml(&inventory).to_json()["all"]["children"];
        assert_eq!(children["db"], json!({"children": {"sub": {}}}));
        assert_eq!(children["web"]["children"]["sub"]["hosts"], json!({"s": {}, "w": {"u": "{{ x }}"}}));
        let want = "@web:\n  |--@sub:\n  |  |--s\n  |  |--w\n  |--@empty:\n  |--w\n";
        assert_eq!(graph(&inventory, "web", false, &extra).unwrap(), want);
        let drawn = graph(&inventory, "db", true, &extra).unwrap();
        assert!(drawn.contains("  |  |--s\n  |  |  |--{g = 1}\n  |  |  |--{v = [1]}\n"), "{drawn}");
        assert!(graph(&inventory, "w", false, &extra).is_none());
        let toml = toml_text(&listing.toml(&inventory)).unwrap();
        assert!(toml.contains("[web.hosts.w]\nu = \"{{ x }}\"\n"), "{toml}");
    }
}
