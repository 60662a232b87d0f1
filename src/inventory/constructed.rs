//! The `constructed` source: variables and groups made of what sources before it said.

use std::sync::Arc;

use super::names::forced;
use super::{Inventory, options::LoadOptions};
use crate::diagnostic::Diagnostic;
use crate::source::Node;
use crate::template::{Fixed, Templar, TemplateError};
use crate::value::{Key, Map, Str, Value};

/// What the source's file says.
struct Plan {
    /// The file.
    name: String,
    compose: Map,
    groups: Map,
    keyed: Vec<Keyed>,
    strict: bool,
    leading_separator: bool,
    use_vars_files: bool,
    extra: Arc<Map>,
}

/// One entry of `keyed_groups`.
struct Keyed {
    key: Option<Str>,
    prefix: String,
    separator: String,
    parent: Option<Value>,
    default: Option<String>,
    trailing_separator: bool,
}

fn wrong(message: String, node: &Node) -> Diagnostic {
    Diagnostic::error("inventory::constructed", message).at(node.span)
}

/// Adds to every host that is known so far what the file composes.
pub(super) fn read(inventory: &mut Inventory, name: &str, root: &Node) -> Result<(), Diagnostic> {
    let plan = Plan::read(name, root, inventory.options())?;
    let hosts: Vec<String> = inventory.hosts().map(|host| host.name.clone()).collect();
    for host in hosts {
        let failed = |message: String| wrong(format!("Failed to parse '{name}': {message}"), root);
        plan.host(inventory, &host).map_err(failed)?;
    }
    Ok(())
}

/// A setting that must be of one kind.
fn of_kind<T>(root: &Node, key: &str, kind: &str, pick: impl Fn(Value) -> Option<T>) -> Result<Option<T>, Diagnostic> {
    let Some(node) = root.get(key) else { return Ok(None) };
    let value = node.to_value();
    let text = value.to_text();
    if value.is_null() {
        return Ok(None);
    }
    pick(value).map(Some).ok_or_else(|| {
        let message = format!(
            "Config '{key}' for 'constructed' inventory plugin from 'Direct' has an invalid value: Invalid value provided for \
             '{kind}': {text}"
        );
        wrong(message, node)
    })
}

impl Plan {
    fn read(name: &str, root: &Node, options: &LoadOptions) -> Result<Self, Diagnostic> {
        let map = |key: &str| of_kind(root, key, "dict", |v| v.as_map().cloned());
        let flag = |key: &str| of_kind(root, key, "bool", |v| v.to_bool());
        let list = of_kind(root, "keyed_groups", "list", |v| v.as_list().map(<[Value]>::to_vec))?;
        let keyed: Result<Vec<Keyed>, Diagnostic> =
            list.unwrap_or_default().iter().map(|entry| Keyed::read(name, entry, root)).collect();
        let use_extra = flag("use_extra_vars")?.unwrap_or(options.use_extra_vars);
        Ok(Self {
            name: name.to_owned(),
            compose: map("compose")?.unwrap_or_default(),
            groups: map("groups")?.unwrap_or_default(),
            keyed: keyed?,
            strict: flag("strict")?.unwrap_or(false),
            leading_separator: flag("leading_separator")?.unwrap_or(true),
            use_vars_files: flag("use_vars_plugins")?.unwrap_or(false),
            extra: if use_extra { options.extra.clone() } else { Arc::default() },
        })
    }

    fn variables(&self, inventory: &Inventory, host: &str) -> Map {
        let mut vars = inventory.variables(host, self.use_vars_files);
        vars.extend(self.extra.iter().map(|(k, v)| (k.clone(), v.clone())));
        vars
    }

    fn templar(&self, inventory: &Inventory, host: &str) -> Templar {
        templar(self.variables(inventory, host))
    }

    /// Does everything for one host.
    fn host(&self, inventory: &mut Inventory, host: &str) -> Result<(), String> {
        let mut vars = self.variables(inventory, host);
        for (name, expression) in &self.compose {
            let templar = templar(vars.clone());
            match evaluate(&templar, expression) {
                Ok(value) => {
                    inventory.set_host_variables(host, [(name.clone(), value.clone())]);
                    // What was composed counts for what is composed behind it, unless somebody says otherwise at the start.
                    if !self.extra.contains_key(name) {
                        vars.insert(name.clone(), value);
                    }
                }
                Err(error) if self.strict => {
                    return Err(format!("Could not set {name} for host {host}: {}", error.message));
                }
                Err(_) => {}
            }
        }
        inventory.forget();
        let templar = self.templar(inventory, host);
        for (group, condition) in &self.groups {
            match templar.condition(condition) {
                Ok(true) => inventory.add_member(&forced(&group.to_string()), host),
                Ok(false) => {}
                Err(error) if self.strict => {
                    let why = error.message;
                    let why = format!("Error while evaluating conditional: {why}");
                    return Err(format!("Could not add host {host} to group {group}: {why}"));
                }
                Err(_) => {}
            }
        }
        let templar = self.templar(inventory, host);
        for keyed in &self.keyed {
            self.keyed_groups(inventory, host, &templar, keyed)?;
        }
        Ok(())
    }

    fn keyed_groups(
        &self,
        inventory: &mut Inventory,
        host: &str,
        templar: &Templar,
        keyed: &Keyed,
    ) -> Result<(), String> {
        let skipped = |why: String| if self.strict { Err(why) } else { Ok(()) };
        let Some(expression) = &keyed.key else {
            return skipped(format!("No key supplied for a keyed group in {}", self.name));
        };
        let key = match templar.expression(expression) {
            Ok(key) => key,
            Err(error) => {
                let (entry, why) = (expression.as_str(), error.message);
                return skipped(format!("Could not generate group for host {host} from {entry} entry: {why}"));
            }
        };
        let names = match keyed.names(&key)? {
            Some(names) => names,
            None => {
                let entry = expression.as_str();
                return skipped(format!("No key or key resulted empty for {entry} in host {host}, invalid entry"));
            }
        };
        let parent = match &keyed.parent {
            None => None,
            Some(parent) => match templar.value(parent) {
                Ok(parent) => Some(forced(&parent.to_text())),
                Err(error) => {
                    let entry = parent.to_text();
                    let why = error.message;
                    return skipped(format!("Could not generate parent group {entry} for group: {why}"));
                }
            },
        };
        let separator = match (keyed.prefix.is_empty(), self.leading_separator) {
            (true, false) => "",
            _ => &keyed.separator,
        };
        for name in names {
            let name = forced(&format!("{}{separator}{name}", keyed.prefix));
            inventory.add_member(&name, host);
            if let Some(parent) = &parent {
                inventory.add_child(parent, &name)?;
            }
        }
        Ok(())
    }
}

/// A templar that sees these variables and nothing else.
pub(super) fn templar(map: Map) -> Templar {
    Templar::new(Arc::new(Fixed { map, search: Vec::new() }))
}

fn evaluate(templar: &Templar, expression: &Value) -> Result<Value, TemplateError> {
    match expression {
        Value::Str(text) => templar.expression(text),
        other => templar.value(other),
    }
}

impl Keyed {
    fn read(file: &str, entry: &Value, root: &Node) -> Result<Self, Diagnostic> {
        let failed = |message: String| wrong(format!("Failed to parse '{file}': {message}"), root);
        let Some(map) = entry.as_map() else {
            let text = entry.to_text();
            return Err(failed(format!("Invalid keyed group entry, it must be a dictionary: {text}")));
        };
        let text = |key: &str| map.get(key).filter(|v| !v.is_null()).map(Value::to_text);
        if map.get("default_value").is_some_and(|v| !v.is_null()) && map.contains_key("trailing_separator") {
            let message = "parameters are mutually exclusive for keyed groups: default_value|trailing_separator";
            return Err(failed(message.to_owned()));
        }
        Ok(Self {
            key: match map.get("key") {
                Some(Value::Str(key)) if !key.as_str().is_empty() => Some(key.clone()),
                Some(other) if !other.is_null() && other.as_str().is_none() => {
                    Some(Str::trusted(other.to_text(), Some(root.span)))
                }
                _ => None,
            },
            prefix: text("prefix").unwrap_or_default(),
            separator: text("separator").unwrap_or_else(|| "_".to_owned()),
            parent: map.get("parent_group").filter(|v| !v.is_null()).cloned(),
            default: text("default_value"),
            trailing_separator: map.get("trailing_separator").and_then(Value::to_bool).unwrap_or(true),
        })
    }

    /// What the value of a key is called in names of groups; `None` when it is empty.
    fn names(&self, key: &Value) -> Result<Option<Vec<String>>, String> {
        let or_default = |text: String| match &self.default {
            Some(default) if text.is_empty() => default.clone(),
            _ => text,
        };
        let plain = |value: &Value| if value.is_null() { String::new() } else { value.to_text() };
        Ok(match key {
            Value::Null => self.default.clone().map(|default| vec![default]),
            Value::Bool(false) | Value::Int(0) => None,
            Value::Str(text) if text.as_str().is_empty() => self.default.clone().map(|default| vec![default]),
            Value::Str(text) => Some(vec![text.as_str().to_owned()]),
            Value::List(items) if items.is_empty() => None,
            Value::Map(map) if map.is_empty() => None,
            Value::List(items) => Some(items.iter().map(|item| or_default(plain(item))).collect()),
            Value::Map(map) => Some(map.iter().map(|(name, value)| self.pair(name, &plain(value))).collect()),
            other => {
                let kind = other.kind();
                return Err(format!(
                    "Invalid group name format, expected a string or a list of them or dictionary, got: {kind}"
                ));
            }
        })
    }

    fn pair(&self, name: &Key, value: &str) -> String {
        let separator = &self.separator;
        match (value, &self.default) {
            ("", Some(default)) => format!("{name}{separator}{default}"),
            ("", None) if !self.trailing_separator => name.to_string(),
            _ => format!("{name}{separator}{value}"),
        }
    }
}
