//! YAML nodes: values that know where they were written, containers and keys included.

use crate::source::Span;
use crate::value::{Key, Map, Str, Value};
use crate::vault::Vaulted;

/// A value in a file.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it says.
    pub kind: NodeKind,
    /// Where it says it.
    pub span: Span,
    /// Its tag (`!unsafe`, `!vault`), as it is written.
    pub tag: Option<Box<str>>,
}

/// What a node says.
#[derive(Debug, Clone)]
pub enum NodeKind {
    /// `null`, `~` or nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Str(String),
    /// A list.
    List(Vec<Node>),
    /// A dictionary, in the order it was written, each key once.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The text, when the node is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The items, when the node is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.kind {
            NodeKind::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, when the node is a dictionary.
    #[must_use]
    pub fn as_map(&self) -> Option<&[(Node, Node)]> {
        match &self.kind {
            NodeKind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// An entry of a dictionary.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.iter().find(|(k, _)| k.as_str() == Some(key)).map(|(_, v)| v)
    }

    /// Whether the node is `null` or empty.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.kind, NodeKind::Null)
    }

    /// Whether the node is encrypted text.
    #[must_use]
    pub fn is_vaulted(&self) -> bool {
        matches!(self.tag.as_deref(), Some("!vault" | "!vault-encrypted"))
    }

    /// Reads what the reference writes into JSON for texts that are no templates, or are encrypted: dictionaries with the one
    /// key `__ansible_unsafe` or `__ansible_vault`.
    pub(super) fn decode_marks(&mut self) {
        match &mut self.kind {
            NodeKind::List(items) => items.iter_mut().for_each(Self::decode_marks),
            NodeKind::Map(entries) => {
                if let [(key, value)] = entries.as_mut_slice() {
                    let tag = match key.as_str() {
                        Some("__ansible_unsafe") => Some("!unsafe"),
                        Some("__ansible_vault") => Some("!vault"),
                        _ => None,
                    };
                    if let (Some(tag), NodeKind::Str(text)) = (tag, &mut value.kind) {
                        self.tag = Some(tag.into());
                        self.kind = NodeKind::Str(std::mem::take(text));
                        return;
                    }
                }
                entries.iter_mut().for_each(|(_, value)| value.decode_marks());
            }
            _ => {}
        }
    }

    /// What the node is called in messages.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        self.to_value().kind()
    }

    /// The value, its strings trusted (except below `!unsafe`) and aware of their origin.
    #[must_use]
    pub fn to_value(&self) -> Value {
        self.value(true)
    }

    fn value(&self, trusted: bool) -> Value {
        let trusted = trusted && self.tag.as_deref() != Some("!unsafe");
        match &self.kind {
            NodeKind::Null => Value::Null,
            NodeKind::Bool(b) => Value::Bool(*b),
            NodeKind::Int(i) => Value::Int(*i),
            NodeKind::Float(f) => Value::Float(*f),
            NodeKind::Str(text) if self.is_vaulted() => {
                let vaulted = Vaulted::new(text.as_str(), self.span.source().vault.clone());
                Value::Str(Str::vaulted(vaulted, Some(self.span), trusted))
            }
            NodeKind::Str(text) => Value::Str(self.text(text, trusted)),
            NodeKind::List(items) => Value::list(items.iter().map(|item| item.value(trusted)).collect()),
            NodeKind::Map(entries) => Value::map(
                entries.iter().filter_map(|(k, v)| Some((k.key(trusted)?, v.value(trusted)))).collect::<Map>(),
            ),
        }
    }

    fn text(&self, text: &str, trusted: bool) -> Str {
        if trusted { Str::trusted(text, Some(self.span)) } else { Str::data_at(text, self.span) }
    }

    fn key(&self, trusted: bool) -> Option<Key> {
        Key::from_value(&self.value(trusted))
    }
}
