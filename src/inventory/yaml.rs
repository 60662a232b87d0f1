//! YAML inventories.

use super::{Inventory, host_list, range};
use crate::diagnostic::Diagnostic;
use crate::source::{Node, NodeKind};
use crate::value::{Key, Value};

/// How deep groups may be nested.
const MAX_DEPTH: usize = 64;

fn wrong(message: String, node: &Node) -> Diagnostic {
    Diagnostic::error("inventory::syntax", message).at(node.span)
}

/// Reads a YAML document into an inventory.
pub fn read(inventory: &mut Inventory, root: &Node) -> Result<(), Diagnostic> {
    let Some(groups) = root.as_map() else {
        let kind = class(root);
        let message = format!("YAML inventory has invalid structure, it should be a dictionary, got: {kind}");
        return Err(wrong(message, root));
    };
    if root.get("plugin").is_some() {
        return Err(wrong("Plugin configuration YAML file, not YAML inventory".to_owned(), root));
    }
    for (name, body) in groups {
        group(inventory, name, body, 0)?;
    }
    Ok(())
}

/// What Python calls the value, as messages name it.
fn class(node: &Node) -> &'static str {
    match node.kind {
        NodeKind::Null => "<class 'NoneType'>",
        NodeKind::Bool(_) => "<class 'bool'>",
        NodeKind::Int(_) => "<class 'int'>",
        NodeKind::Float(_) => "<class 'float'>",
        NodeKind::Str(_) => "<class 'str'>",
        NodeKind::List(_) => "<class 'list'>",
        NodeKind::Map(_) => "<class 'dict'>",
    }
}

/// The name of the group that was read.
fn group(inventory: &mut Inventory, name_node: &Node, body: &Node, depth: usize) -> Result<String, Diagnostic> {
    let name = name_node.to_value().to_text();
    if depth > MAX_DEPTH {
        return Err(Diagnostic::error("inventory::limit", "groups are nested too deeply").at(name_node.span));
    }
    let sections: &[(Node, Node)] = match (&body.kind, body.as_map()) {
        (NodeKind::Null, _) => &[],
        (_, Some(sections)) => sections,
        _ => {
            let message = format!("Skipping '{name}' as this is not a valid group definition");
            inventory.warn("inventory::syntax", message).span = Some(body.span);
            return Ok(name);
        }
    };
    let name = inventory.add_group(&name).name.clone();
    for (key, value) in sections {
        match key.as_str() {
            Some(word @ ("vars" | "hosts" | "children")) => section(inventory, &name, word, value, depth)?,
            _ => {
                let key_name = key.to_value().to_text();
                let message = if matches!(value.kind, NodeKind::Map(_) | NodeKind::Null) {
                    format!(
                        "Skipping unexpected key ({key_name}) in group ({name}), only \"vars\", \"children\" and \"hosts\" are \
                         valid"
                    )
                } else {
                    let kind = class(value);
                    format!("Skipping key ({key_name}) in group ({name}) as it is not a mapping, it is a {kind}")
                };
                inventory.warn("inventory::unknown-key", message).span = Some(key.span);
            }
        }
    }
    Ok(name)
}

fn section(inventory: &mut Inventory, name: &str, word: &str, node: &Node, depth: usize) -> Result<(), Diagnostic> {
    // One name without a colon behind it stands for itself.
    let single;
    let entries = match &node.kind {
        NodeKind::Null => return Ok(()),
        NodeKind::Map(entries) => entries.as_slice(),
        NodeKind::Str(_) => {
            let nothing = Node { kind: NodeKind::Null, span: node.span, tag: None };
            single = [(node.clone(), nothing)];
            &single
        }
        _ => {
            let kind = class(node);
            let message = format!(
                "Invalid \"{word}\" entry for \"{name}\" group, requires a dictionary, found \"{kind}\" instead."
            );
            return Err(wrong(message, node).help("end each name with a colon"));
        }
    };
    for (key, value) in entries {
        match word {
            "vars" => {
                if let Some(key) = Key::from_value(&key.to_value()) {
                    inventory.set_group_variable(name, key, value.to_value());
                }
            }
            "hosts" => hosts(inventory, name, key, value)?,
            _ => {
                let child = group(inventory, key, value, depth + 1)?;
                if inventory.group(&child).is_none() {
                    return Err(wrong(format!("{child} is not a known host nor group"), key));
                }
                inventory
                    .add_child(name, &child)
                    .map_err(|message| Diagnostic::error("inventory::loop", message).at(key.span))?;
            }
        }
    }
    Ok(())
}

fn hosts(inventory: &mut Inventory, group: &str, place: &Node, body: &Node) -> Result<(), Diagnostic> {
    let Some(pattern) = place.as_str() else {
        let pattern = place.to_value().to_text();
        let message = format!("Host pattern {pattern} must be a string. Enclose integers/floats in quotation marks.");
        return Err(wrong(message, place));
    };
    let vars = match body.to_value() {
        Value::Map(map) => map,
        Value::Null => std::sync::Arc::default(),
        other => {
            let message = format!("Invalid data from file, expected dictionary and got:\n\n{}", other.to_text());
            return Err(wrong(message, body));
        }
    };
    let (pattern, port) = host_list::split_port(pattern);
    for name in range::expand(pattern).map_err(|error| wrong(error.to_string(), place))? {
        inventory.add_member(group, &name);
        let port = port.map(|port| ("ansible_port".into(), port.into()));
        inventory.set_variables(&name, port.into_iter().chain(vars.iter().map(|(k, v)| (k.clone(), v.clone()))));
    }
    Ok(())
}
