//! The `generator` source: a host for every combination of layers.

use super::{Inventory, constructed};
use crate::diagnostic::Diagnostic;
use crate::source::Node;
use crate::template::Templar;
use crate::value::{Key, Map, Value};

/// How many hosts the layers may make.
const MOST: usize = 1_000_000;
/// How deep parents may have parents.
const MAX_DEPTH: usize = 64;

fn wrong(message: impl Into<String>, node: &Node) -> Diagnostic {
    Diagnostic::error("inventory::generator", message).at(node.span)
}

/// Adds a host, with its groups, for every combination of the layers' values.
pub(super) fn read(inventory: &mut Inventory, root: &Node) -> Result<(), Diagnostic> {
    let (Some(hosts), Some(layers)) = (root.get("hosts"), root.get("layers")) else {
        return Err(wrong("a generator needs `hosts` and `layers`", root));
    };
    let Value::Map(host) = hosts.to_value() else {
        return Err(wrong("`hosts` must be a dictionary with `name` and `parents`", hosts));
    };
    let Some(name) = host.get("name") else { return Err(wrong("`hosts` must have a `name`", hosts)) };
    for vars in combinations(layers)? {
        let templar = constructed::templar(vars);
        let at = |message: String| wrong(message, hosts);
        let name = evaluate(&templar, name).map_err(at)?;
        inventory.add_host(&name);
        if let Some(parents) = host.get("parents").and_then(Value::as_list) {
            add_parents(inventory, &name, true, parents, &templar, 0).map_err(at)?;
        }
    }
    Ok(())
}

/// Every choice of one value of each layer; the last layer counts fastest.
fn combinations(layers: &Node) -> Result<Vec<Map>, Diagnostic> {
    let Value::Map(map) = layers.to_value() else {
        return Err(wrong("`layers` must be a dictionary of lists", layers));
    };
    let mut all = vec![Map::new()];
    for (name, values) in map.iter() {
        let Some(values) = values.as_list() else {
            return Err(wrong(format!("the layer `{name}` must be a list"), layers));
        };
        if all.len().saturating_mul(values.len()) > MOST {
            return Err(wrong("the layers make more than a million hosts", layers));
        }
        let with = |vars: &Map, value: &Value| {
            let mut vars = vars.clone();
            vars.insert(name.clone(), value.clone());
            vars
        };
        all = all.iter().flat_map(|vars| values.iter().map(move |value| with(vars, value))).collect();
    }
    Ok(all)
}

fn evaluate(templar: &Templar, pattern: &Value) -> Result<String, String> {
    match templar.value(pattern).map_err(|error| error.message)? {
        Value::Str(text) => Ok(text.as_str().to_owned()),
        other => {
            let (kind, text) = (other.kind(), other.to_text());
            Err(format!("Invalid group name supplied, expected a string but got {kind} for {text}"))
        }
    }
}

fn add_parents(
    inventory: &mut Inventory,
    child: &str,
    is_host: bool,
    parents: &[Value],
    templar: &Templar,
    depth: usize,
) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err("parents are nested too deeply".to_owned());
    }
    for parent in parents {
        let Some(name) = parent.get("name").filter(|name| !name.is_null()) else {
            return Err(format!("Element {child} has a parent with no name."));
        };
        let name = evaluate(templar, name)?;
        let name = inventory.add_group(&name).name.clone();
        if let Some(vars) = parent.get("vars").and_then(Value::as_map) {
            for (key, value) in vars {
                // What only the play defines is evaluated there.
                let value = templar.value(value).unwrap_or_else(|_| value.clone());
                inventory.set_group_variable(&name, Key::clone(key), value);
            }
        }
        if is_host {
            inventory.add_member(&name, child);
        } else {
            inventory.add_child(&name, child)?;
        }
        if let Some(parents) = parent.get("parents").and_then(Value::as_list) {
            add_parents(inventory, &name, false, parents, templar, depth + 1)?;
        }
    }
    Ok(())
}
