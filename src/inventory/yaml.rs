//! YAML inventories.

use super::{Inventory, range};
use crate::diagnostic::Diagnostic;
use crate::source::Node;
use crate::value::{Key, Value};

/// Reads a YAML document into an inventory.
pub fn read(inventory: &mut Inventory, root: &Node) -> Result<(), Diagnostic> {
    let Some(groups) = root.as_map() else {
        let message = format!("a YAML inventory must be a dictionary of groups, not {}", root.describe());
        return Err(Diagnostic::error("inventory::syntax", message).at(root.span));
    };
    for (name, body) in groups {
        group(inventory, name, body, 0)?;
    }
    Ok(())
}

fn group(inventory: &mut Inventory, name_node: &Node, body: &Node, depth: usize) -> Result<(), Diagnostic> {
    let name = name_node.to_value().to_text();
    if depth > 64 {
        return Err(Diagnostic::error("inventory::limit", "groups are nested too deeply").at(name_node.span));
    }
    inventory.add_group(&name);
    if body.is_null() {
        return Ok(());
    }
    let Some(sections) = body.as_map() else {
        let message = format!("the group `{name}` must be a dictionary, not {}", body.describe());
        return Err(Diagnostic::error("inventory::syntax", message).at(body.span));
    };
    for (key, value) in sections {
        match key.as_str() {
            _ if value.is_null() => {}
            Some("vars") => {
                let (merge, vars) = (inventory.merge_hashes, vars(value)?);
                Inventory::put(merge, &mut inventory.add_group(&name).vars, vars);
            }
            Some("hosts") => hosts(inventory, &name, value)?,
            Some("children") => children(inventory, &name, value, depth)?,
            other => {
                let word = other.unwrap_or_default();
                let message = format!("`{word}` is not part of a group");
                return Err(Diagnostic::error("inventory::unknown-key", message)
                    .at(key.span)
                    .suggest(word, ["hosts", "children", "vars"])
                    .help("a group has `hosts`, `children` and `vars`"));
            }
        }
    }
    Ok(())
}

fn children(inventory: &mut Inventory, parent: &str, node: &Node, depth: usize) -> Result<(), Diagnostic> {
    let Some(entries) = node.as_map() else {
        let message = format!("`children` must be a dictionary of groups, not {}", node.describe());
        return Err(Diagnostic::error("inventory::syntax", message).at(node.span));
    };
    for (child, body) in entries {
        group(inventory, child, body, depth + 1)?;
        let name = child.to_value().to_text();
        inventory
            .add_child(parent, &name)
            .map_err(|message| Diagnostic::error("inventory::loop", message).at(child.span))?;
    }
    Ok(())
}

fn hosts(inventory: &mut Inventory, group: &str, node: &Node) -> Result<(), Diagnostic> {
    if let Some(name) = node.as_str() {
        return add_hosts(inventory, group, name, node, None);
    }
    let Some(entries) = node.as_map() else {
        let message = format!("`hosts` must be a dictionary of hosts, not {}", node.describe());
        return Err(Diagnostic::error("inventory::syntax", message)
            .at(node.span)
            .help("end each host's name with a colon"));
    };
    for (key, body) in entries {
        let name = key.to_value().to_text();
        add_hosts(inventory, group, &name, key, Some(body))?;
    }
    Ok(())
}

fn add_hosts(
    inventory: &mut Inventory,
    group: &str,
    pattern: &str,
    place: &Node,
    body: Option<&Node>,
) -> Result<(), Diagnostic> {
    let wrong = |message: String| Diagnostic::error("inventory::syntax", message).at(place.span);
    let (pattern, port) = match pattern.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && !host.contains('[') => match port.parse::<u16>() {
            Ok(port) => (host, Some(port)),
            Err(_) => (pattern, None),
        },
        _ => (pattern, None),
    };
    let own = match body {
        Some(body) if !body.is_null() => vars(body)?,
        _ => Vec::new(),
    };
    for name in range::expand(pattern).map_err(wrong)? {
        inventory.add_member(group, &name);
        let merge = inventory.merge_hashes;
        let host = inventory.add_host(&name);
        if let Some(port) = port {
            host.vars.insert("ansible_port".into(), i64::from(port).into());
        }
        Inventory::put(merge, &mut host.vars, own.iter().cloned());
    }
    Ok(())
}

fn vars(node: &Node) -> Result<Vec<(Key, Value)>, Diagnostic> {
    match node.to_value() {
        Value::Map(map) => Ok(map.iter().map(|(k, v)| (k.clone(), v.clone())).collect()),
        Value::Null => Ok(Vec::new()),
        other => {
            let message = format!("variables must be a dictionary, not {}", other.kind());
            Err(Diagnostic::error("inventory::vars", message).at(node.span))
        }
    }
}
