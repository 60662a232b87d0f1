//! Keys of dictionaries: mostly text, but YAML allows other scalars.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use indexmap::Equivalent;

use super::{Str, Value};

/// A key of a [`super::Map`]; look entries up by `&str`.
#[derive(Debug, Clone)]
pub enum Key {
    /// Text.
    Str(Str),
    /// A whole number.
    Int(i64),
    /// A number with a fraction, by its bits.
    Float(u64),
    /// A truth value.
    Bool(bool),
    /// `null`.
    Null,
}

impl Key {
    /// The text, when the key is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// Whether the key is a template.
    #[must_use]
    pub fn is_template(&self) -> bool {
        matches!(self, Self::Str(text) if text.is_template())
    }

    /// The key a value makes; `None` for a list or dictionary.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Null | Value::Omit => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            Value::Int(i) => Self::Int(*i),
            Value::Float(f) => Self::Float(f.to_bits()),
            Value::Str(s) => Self::Str(s.clone()),
            Value::List(_) | Value::Map(_) => return None,
        })
    }

    /// The key as a value.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Str(s) => Value::Str(s.clone()),
            Self::Int(i) => Value::Int(*i),
            Self::Float(bits) => Value::Float(f64::from_bits(*bits)),
            Self::Bool(b) => Value::Bool(*b),
            Self::Null => Value::Null,
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Str(a), Self::Str(b)) => a.as_str() == b.as_str(),
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Null, Self::Null) => true,
            _ => false,
        }
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            // The same as the text's own, so that `&str` finds it.
            Self::Str(s) => s.as_str().hash(state),
            Self::Int(i) => (1u8, i).hash(state),
            Self::Float(bits) => (2u8, bits).hash(state),
            Self::Bool(b) => (3u8, b).hash(state),
            Self::Null => 4u8.hash(state),
        }
    }
}

impl Equivalent<Key> for str {
    fn equivalent(&self, key: &Key) -> bool {
        key.as_str() == Some(self)
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::Str(Str::data(text))
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self::Str(Str::data(text))
    }
}

impl From<Arc<str>> for Key {
    fn from(text: Arc<str>) -> Self {
        Self::Str(Str::data(text))
    }
}

/// The key as it stands in JSON, where every key is text: `null`, `true`, numbers as they are written.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Str(s) => f.write_str(s.as_str()),
            Self::Int(i) => write!(f, "{i}"),
            Self::Float(bits) => write!(f, "{}", f64::from_bits(*bits)),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Null => f.write_str("null"),
        }
    }
}
