//! Elements that a task describes.

use serde_json::Value;
use uppsala::{NodeId, NodeKind};

use super::InputType;
use super::tree::Tree;

/// Adds children at the end of an element.
pub(super) fn add(tree: &mut Tree, parent: NodeId, wanted: &[Value], kind: InputType) -> Result<(), String> {
    for child in wanted {
        let made = make(tree, parent, child, kind)?;
        tree.document.append_child(parent, made);
    }
    Ok(())
}

/// Adds elements before another one, or after it and its white space.
pub(super) fn beside(
    tree: &mut Tree,
    place: NodeId,
    wanted: &[Value],
    kind: InputType,
    before: bool,
) -> Result<(), String> {
    let root = tree.document.root();
    let parent = tree.document.parent(place).filter(|parent| *parent != root);
    let parent = parent.ok_or("nothing can stand beside the outermost element")?;
    let text =
        |tree: &Tree, id: &NodeId| matches!(tree.document.node_kind(*id), Some(NodeKind::Text(_) | NodeKind::CData(_)));
    let mut next = if before { Some(place) } else { tree.document.next_sibling(place) };
    while let Some(id) = next.filter(|id| !before && text(tree, id)) {
        next = tree.document.next_sibling(id);
    }
    for child in wanted {
        let made = make(tree, parent, child, kind)?;
        match next {
            Some(next) => tree.document.insert_before(parent, made, next),
            None => tree.document.append_child(parent, made),
        }
    }
    Ok(())
}

/// Makes these the children of an element, in place of others; the text before the first stays.
pub(super) fn set(tree: &mut Tree, parent: NodeId, wanted: &[Value], kind: InputType) -> Result<(), String> {
    let made: Vec<NodeId> = wanted.iter().map(|child| make(tree, parent, child, kind)).collect::<Result<_, _>>()?;
    let children = tree.document.children(parent);
    let blank = |id: &NodeId| matches!(tree.document.node_kind(*id), Some(NodeKind::Text(text)) if text.trim_ascii().is_empty());
    let held: Vec<String> = children.iter().filter(|id| !blank(id)).map(|id| tree.document.node_to_xml(*id)).collect();
    if held == made.iter().map(|id| tree.document.node_to_xml(*id)).collect::<Vec<_>>() {
        return Ok(());
    }
    let first = children
        .iter()
        .position(|id| !matches!(tree.document.node_kind(*id), Some(NodeKind::Text(_) | NodeKind::CData(_))));
    for old in children.iter().skip(first.unwrap_or(children.len())) {
        tree.document.remove_child(parent, *old);
    }
    for child in made {
        tree.document.append_child(parent, child);
    }
    Ok(())
}

/// A text's own words for a value that is one.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        _ => None,
    }
}

/// What Python calls a value's type.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
        Value::Null => "NoneType",
        _ => "str",
    }
}

/// An element that a task describes: XML, a name, or a name with a text or parts.
fn make(tree: &mut Tree, parent: NodeId, child: &Value, kind: InputType) -> Result<NodeId, String> {
    if kind == InputType::Xml {
        let Some(text) = plain(child) else {
            return Err(format!("Error while parsing child element: it is no text but of type {}", kind_of(child)));
        };
        let parsed = uppsala::parse(&text).map_err(|e| format!("Error while parsing child element: {e}"))?;
        let element = parsed.document_element().ok_or("Error while parsing child element: there is none")?;
        return tree.document.import_subtree(&parsed, element).ok_or_else(|| "the element cannot be used".to_owned());
    }
    let (name, value) = match child {
        Value::String(name) => (name, &Value::Null),
        Value::Object(map) => match map.iter().next().filter(|_| map.len() == 1) {
            Some(entry) => entry,
            None => return Err("Can only create children from hashes with one key".to_owned()),
        },
        other => {
            let kind = kind_of(other);
            return Err(format!("Invalid child type: <class '{kind}'>. Children must be either strings or hashes."));
        }
    };
    // A prefix would need a namespace, which is given in braces here.
    if name.contains(':') && !name.starts_with('{') {
        return Err(format!("Invalid tag name '{name}'"));
    }
    let made = tree.element(parent, name)?;
    match value {
        Value::Null => {}
        Value::Object(parts) => {
            for (key, part) in parts {
                match (key.as_str(), part) {
                    ("_", Value::Array(children)) => add(tree, made, children, kind)?,
                    ("_", other) => {
                        return Err(format!("Invalid children type: <class '{}'>, must be list.", kind_of(other)));
                    }
                    (key, part) => {
                        let part = plain(part).ok_or_else(|| format!("the value of {key} is no text"))?;
                        if key == "+value" { tree.set_text(made, &part) } else { tree.set_attribute(made, key, &part)? }
                    }
                }
            }
        }
        value => {
            let value = plain(value).ok_or_else(|| format!("the value of {name} is no text"))?;
            tree.set_text(made, &value);
        }
    }
    Ok(made)
}
