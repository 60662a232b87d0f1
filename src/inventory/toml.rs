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
    let groups = table.into_iter().map(|(name, body)| (name, group(body)));
    yaml::read(inventory, &node(toml::Value::Table(groups.collect()), whole))
}

/// A group's table, its children a table too where they are a list of names.
fn group(mut body: toml::Value) -> toml::Value {
    if let Some(children) = body.get_mut("children")
        && let Some(names) = children.as_array()
    {
        let empty = || toml::Value::Table(toml::Table::new());
        let table = names.iter().filter_map(|name| Some((name.as_str()?.to_owned(), empty())));
        *children = toml::Value::Table(table.collect());
    }
    body
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
