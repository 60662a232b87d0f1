//! Values to JSON and back; what comes from JSON is data.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value as Json;

use super::{Key, Map, Value};

impl Value {
    /// A value from JSON; its strings are data.
    #[must_use]
    pub fn from_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(b) => Self::Bool(*b),
            Json::Number(n) => n.as_i64().map_or_else(|| Self::Float(n.as_f64().unwrap_or(f64::NAN)), Self::Int),
            Json::String(s) => Self::data(s.as_str()),
            Json::Array(items) => Self::list(items.iter().map(Self::from_json).collect()),
            Json::Object(map) => Self::map(from_object(map)),
        }
    }

    /// The value as JSON; keys become text, numbers that JSON does not have become text.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null | Self::Omit => Json::Null,
            Self::Bool(b) => Json::Bool(*b),
            Self::Int(i) => Json::from(*i),
            Self::Float(f) => {
                serde_json::Number::from_f64(*f).map_or_else(|| Json::String(f.to_string()), Json::Number)
            }
            Self::Str(s) => Json::String(s.as_str().to_owned()),
            Self::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Self::Map(map) => Json::Object(map.iter().map(|(k, v)| (k.to_string(), v.to_json())).collect()),
        }
    }
}

/// A dictionary from a JSON object.
#[must_use]
pub fn from_object(object: &serde_json::Map<String, Json>) -> Map {
    object.iter().map(|(k, v)| (Key::from(k.as_str()), Value::from_json(v))).collect()
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null | Self::Omit => serializer.serialize_unit(),
            Self::Bool(b) => serializer.serialize_bool(*b),
            Self::Int(i) => serializer.serialize_i64(*i),
            Self::Float(f) => serializer.serialize_f64(*f),
            Self::Str(s) => serializer.serialize_str(s.as_str()),
            Self::List(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items.iter() {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Self::Map(map) => {
                let mut out = serializer.serialize_map(Some(map.len()))?;
                for (key, value) in map.iter() {
                    match key {
                        Key::Str(text) => out.serialize_entry(text.as_str(), value)?,
                        other => out.serialize_entry(&other.to_value(), value)?,
                    }
                }
                out.end()
            }
        }
    }
}
