//! What a change makes different.

use serde_json::{Map, Value};

/// Before and after of one thing, as the reference puts it under `diff`.
#[derive(Debug, Clone, PartialEq)]
pub struct Diff {
    before: Value,
    after: Value,
    before_header: Option<String>,
    after_header: Option<String>,
    prepared: Option<String>,
    /// Sides that are not shown, and why: `src_binary`, `dst_larger` and the like.
    unseen: Vec<(&'static str, Value)>,
}

impl Diff {
    /// Two texts.
    #[must_use]
    pub fn text(before: impl Into<String>, after: impl Into<String>) -> Self {
        Self::values(Value::String(before.into()), Value::String(after.into()))
    }

    /// Two structures, shown as such.
    #[must_use]
    pub fn values(before: Value, after: Value) -> Self {
        Self { before, after, before_header: None, after_header: None, prepared: None, unseen: Vec::new() }
    }

    /// Text that is a diff already.
    #[must_use]
    pub fn prepared(text: impl Into<String>) -> Self {
        let mut diff = Self::values(Value::Null, Value::Null);
        diff.prepared = Some(text.into());
        diff
    }

    /// Two contents of a file; those that are not text are only said to differ.
    #[must_use]
    pub fn contents(before: &[u8], after: &[u8], header: &str) -> Self {
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).map(Value::from);
        let (before, after) = (text(before), text(after));
        let mut diff = Self::values(Value::Null, Value::Null);
        match before {
            Some(text) => (diff.before, diff.before_header) = (text, Some(header.to_owned())),
            None => diff.unseen.push(("dst_binary", 1.into())),
        }
        match after {
            Some(text) => (diff.after, diff.after_header) = (text, Some(header.to_owned())),
            None => diff.unseen.push(("src_binary", 1.into())),
        }
        diff
    }

    /// Two contents of which at least one is too long to be shown; those are only said to be.
    #[must_use]
    pub fn too_long(old: bool, new: bool, limit: u64) -> Self {
        let mut diff = Self::values(Value::Null, Value::Null);
        let sides = [("dst_larger", old), ("src_larger", new)];
        diff.unseen.extend(sides.into_iter().filter(|(_, long)| *long).map(|(name, _)| (name, limit.into())));
        diff
    }

    /// The name shown above what was not there before.
    #[must_use]
    pub fn of_new(self, after: impl Into<String>) -> Self {
        Self { before_header: None, ..self.to(after) }
    }

    /// The name shown above the new side.
    #[must_use]
    pub fn to(mut self, after: impl Into<String>) -> Self {
        if self.unseen.is_empty() || !self.after.is_null() {
            self.after_header = Some(after.into());
        }
        self
    }

    /// Nothing that differs, under a name.
    #[must_use]
    pub fn nothing(header: &str) -> Self {
        Self::values(Value::Null, Value::Null).headers(header, header)
    }

    /// The same without the texts, which are for diff mode only.
    #[must_use]
    pub fn without_content(mut self) -> Self {
        for side in [&mut self.before, &mut self.after] {
            if side.is_string() {
                *side = Value::String(String::new());
            }
        }
        self
    }

    /// The two sides, for a module that tells several differences as one.
    #[must_use]
    pub fn into_sides(self) -> (Value, Value) {
        (self.before, self.after)
    }

    /// The names shown above the two sides.
    #[must_use]
    pub fn headers(mut self, before: impl Into<String>, after: impl Into<String>) -> Self {
        self.before_header = Some(before.into());
        self.after_header = Some(after.into());
        self
    }

    /// The dictionary that stands under `diff` in a result.
    #[must_use]
    pub fn into_value(self) -> Value {
        let mut map = Map::new();
        if let Some(text) = self.prepared {
            map.insert("prepared".into(), Value::String(text));
            return Value::Object(map);
        }
        // A part that has nothing to tell has headers alone, and of one that is not shown only the other side is.
        let told = self.unseen.is_empty() && !(self.before.is_null() && self.after.is_null());
        for (key, side) in [("before", self.before), ("after", self.after)] {
            if told || !side.is_null() {
                map.insert(key.into(), side);
            }
        }
        map.extend(self.unseen.into_iter().map(|(key, value)| (key.to_owned(), value)));
        if let Some(header) = self.before_header {
            map.insert("before_header".into(), Value::String(header));
        }
        if let Some(header) = self.after_header {
            map.insert("after_header".into(), Value::String(header));
        }
        Value::Object(map)
    }
}
