//! Values of variables: YAML's types, with trust and origin on every string.
//!
//! A string from the user's own files may hold a template and knows where it was written; a string from a host, a fact or a
//! template's result is data and is never templated (the trust model of ansible-core 2.19). Containers are shared: a clone
//! of a value is a reference count.

mod jinja;
mod json;
mod key;
mod own;
mod text;

use std::sync::Arc;

use indexmap::IndexMap;

pub use jinja::{STORED, UNDEFINED_INSIDE, Undecryptable, is_omit};
pub use json::from_object;
pub use key::Key;
pub use own::{OwnTexts, Watching};
pub use text::{Str, holds_jinja};

/// A dictionary in the order it was written.
pub type Map = IndexMap<Key, Value>;

/// A value as playbooks and inventories know it.
#[derive(Debug, Clone, Default)]
pub enum Value {
    /// `null`, Python's `None`.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction, or one too large for [`Value::Int`].
    Float(f64),
    /// Text, with trust and origin.
    Str(Str),
    /// A list.
    List(Arc<Vec<Value>>),
    /// A dictionary.
    Map(Arc<Map>),
    /// What `omit` gives: an argument with this value is as if it had not been written.
    Omit,
}

impl Value {
    /// Text that is data: never templated.
    #[must_use]
    pub fn data(text: impl Into<Arc<str>>) -> Self {
        Self::Str(Str::data(text))
    }

    /// A list.
    #[must_use]
    pub fn list(items: Vec<Value>) -> Self {
        Self::List(Arc::new(items))
    }

    /// A dictionary.
    #[must_use]
    pub fn map(map: Map) -> Self {
        Self::Map(Arc::new(map))
    }

    /// Where it is written, when it is text that knows.
    #[must_use]
    pub fn origin(&self) -> Option<crate::source::Span> {
        match self {
            Self::Str(text) => text.origin(),
            _ => None,
        }
    }

    /// The text, when this is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// The items, when this is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, when this is a dictionary.
    #[must_use]
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The truth value, when this is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The whole number, when this is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// An entry of a dictionary.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map()?.get(key)
    }

    /// Whether this is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The reference's reading of a keyword or setting that wants a truth value: its words for yes and no, in any case.
    #[must_use]
    pub fn to_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Int(0) => Some(false),
            Self::Int(1) => Some(true),
            Self::Str(text) => match text.as_str().trim().to_lowercase().as_str() {
                "y" | "yes" | "on" | "1" | "true" | "t" => Some(true),
                "n" | "no" | "off" | "0" | "false" | "f" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// What the value is called in messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Str(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a dictionary",
            Self::Omit => "omit",
        }
    }

    /// Whether some string in the value may hold a template that is not evaluated yet.
    #[must_use]
    pub fn has_templates(&self) -> bool {
        match self {
            Self::Str(text) => text.is_template(),
            Self::List(items) => items.iter().any(Value::has_templates),
            Self::Map(map) => map.iter().any(|(key, value)| key.is_template() || value.has_templates()),
            _ => false,
        }
    }

    /// Whether `is` holds for some string in the value, keys included.
    #[must_use]
    pub fn any_text(&self, is: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Str(text) => is(text.as_str()),
            Self::List(items) => items.iter().any(|item| item.any_text(is)),
            Self::Map(map) => map.iter().any(|(key, value)| key.as_str().is_some_and(is) || value.any_text(is)),
            _ => false,
        }
    }

    /// The value as text, as a template prints it.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Str(text) => text.as_str().to_owned(),
            other => other.to_jinja().to_string(),
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) | (Self::Omit, Self::Omit) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::Int(a), Self::Float(b)) | (Self::Float(b), Self::Int(a)) => *a as f64 == *b,
            (Self::Str(a), Self::Str(b)) => a.as_str() == b.as_str(),
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            _ => false,
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::data(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::data(value)
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::list(items)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self::map(map)
    }
}

impl FromIterator<String> for Value {
    fn from_iter<I: IntoIterator<Item = String>>(items: I) -> Self {
        Self::list(items.into_iter().map(Self::from).collect())
    }
}
/// Words that expressions keep for themselves, which cannot name variables.
const RESERVED: &[&str] = &["False", "None", "True", "false", "none", "not", "true"];

/// Whether text can name a variable: letters, digits and underscores, not a digit first, and no reserved word.
#[must_use]
pub fn is_variable_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !RESERVED.contains(&name)
}
