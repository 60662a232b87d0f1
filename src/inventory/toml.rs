//! TOML inventories: groups as tables, read as the same in YAML would be.

use super::{Inventory, yaml};
use crate::diagnostic::Diagnostic;
use crate::source::{Node, NodeKind, Span};

/// Reads TOML text into an inventory.
pub fn read(inventory: &mut Inventory, whole: Span) -> Result<(), Diagnostic> {
    let source = whole.source();
    let table: toml::Table = source.text.parse().map_err(|error: toml::de::Error| {
        let name = &source.name;
        let span = error.span().map_or(whole, |range| whole.part(range.start, range.end));
        let message = format!("TOML file '{name}' is invalid: {}", error.message());
        Diagnostic::error("inventory::syntax", message).at(span)
    })?;
    if table.is_empty() {
        return Err(Diagnostic::error("inventory::syntax", "Parsed empty TOML file").at(whole));
    }
    if table.contains_key("plugin") {
        let message = "Plugin configuration TOML file, not TOML inventory";
        return Err(Diagnostic::error("inventory::syntax", message).at(whole));
    }
    yaml::read(inventory, &node(toml::Value::Table(table), whole))
}

/// The value as YAML has it; dates and times are text.
fn node(value: toml::Value, span: Span) -> Node {
    let kind = match value {
        toml::Value::String(text) => NodeKind::Str(text),
        toml::Value::Integer(number) => NodeKind::Int(number),
        toml::Value::Float(number) => NodeKind::Float(number),
        toml::Value::Boolean(truth) => NodeKind::Bool(truth),
        toml::Value::Datetime(time) => NodeKind::Str(time.to_string()),
        toml::Value::Array(items) => NodeKind::List(items.into_iter().map(|item| node(item, span)).collect()),
        toml::Value::Table(table) => NodeKind::Map(
            table
                .into_iter()
                .map(|(key, value)| (Node { kind: NodeKind::Str(key), span, tag: None }, node(value, span)))
                .collect(),
        ),
    };
    Node { kind, span, tag: None }
}
