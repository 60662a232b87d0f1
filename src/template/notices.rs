//! What evaluating templates leaves to say: things that will not be there for ever, and things that are odd.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use minijinja::Value as Jinja;
use minijinja::value::ValueKind;

use crate::source::Span;
use crate::value::{Map, Value};

/// The release of ansible-core without what is deprecated now.
const LAST: &str = "2.23";

/// Something said of a template; results hold it under `warnings` or `deprecations`.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// The sentence.
    pub text: String,
    /// Where it is about, as far as the reference says that.
    pub origin: Option<Span>,
    /// Whether it is about something that will not be there for ever.
    pub deprecated: bool,
    /// The lookup that said it; none where it is the language itself.
    pub lookup: Option<&'static str>,
    /// What to do instead.
    pub help: Option<&'static str>,
}

impl Notice {
    /// What a report says of it.
    #[must_use]
    pub fn sentence(&self) -> String {
        let end = if self.text.contains('\n') { "\n" } else { "" };
        match (self.deprecated, self.lookup) {
            (false, _) => self.text.clone(),
            (true, None) => {
                format!("{} This feature will be removed from ansible-core version {LAST}.{end}", self.text)
            }
            (true, Some(name)) => format!(
                "{} This feature will be removed from lookup plugin '{name}' in ansible-core version {LAST}.{end}",
                self.text
            ),
        }
    }

    /// What a result holds of it.
    fn entry(&self) -> Value {
        if !self.deprecated {
            return Value::data(self.text.as_str());
        }
        let by = match self.lookup {
            Some(name) => [Value::data(format!("ansible.builtin.{name}")), Value::from("lookup")],
            None => [Value::from("ansible.builtin"), Value::Null],
        };
        let deprecator: Map = ["resolved_name", "type"].map(Into::into).into_iter().zip(by).collect();
        Value::map(Map::from_iter([
            ("msg".into(), Value::data(self.text.as_str())),
            ("collection_name".into(), Value::from("ansible.builtin")),
            ("version".into(), Value::from(LAST)),
            ("deprecator".into(), Value::map(deprecator)),
        ]))
    }
}

thread_local! {
    /// The text that is being evaluated.
    static TEXT: Cell<Option<Span>> = const { Cell::new(None) };
}

/// Evaluates something of a text that stands there.
pub(super) fn within<T>(text: Option<Span>, evaluate: impl FnOnce() -> T) -> T {
    let outer = TEXT.replace(text);
    let out = evaluate();
    TEXT.set(outer);
    out
}

/// Where the text stands that is being evaluated.
pub(super) fn current_text() -> Option<Span> {
    TEXT.get()
}

/// What the templates of one task on one host gave to say, in order, each thing once.
#[derive(Debug, Default)]
pub struct Notices {
    said: Mutex<Vec<Notice>>,
    /// Whether a filter made text that counts as escaped.
    markup: AtomicBool,
}

impl Notices {
    fn say(&self, notice: Notice) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.iter().any(|known| known.text == notice.text) {
            said.push(notice);
        }
    }

    /// Notes something odd.
    pub fn warn(&self, text: impl Into<String>, origin: Option<Span>) {
        self.warn_with(text, origin, None);
    }

    /// The same with what to do instead.
    pub fn warn_with(&self, text: impl Into<String>, origin: Option<Span>, help: Option<&'static str>) {
        self.say(Notice { text: text.into(), origin, deprecated: false, lookup: None, help });
    }

    /// Notes something that will not be there for ever.
    pub fn deprecate(&self, text: impl Into<String>, origin: Option<Span>) {
        self.deprecate_with(text, origin, None);
    }

    /// The same with what to do instead.
    pub fn deprecate_with(&self, text: impl Into<String>, origin: Option<Span>, help: Option<&'static str>) {
        self.say(Notice { text: text.into(), origin, deprecated: true, lookup: None, help });
    }

    /// Notes an option of a lookup that will not be there for ever.
    pub fn deprecate_of(&self, lookup: &'static str, text: impl Into<String>) {
        self.say(Notice { text: text.into(), origin: None, deprecated: true, lookup: Some(lookup), help: None });
    }

    /// Notes that there is text that counts as escaped.
    pub(super) fn made_markup(&self) {
        self.markup.store(true, Ordering::Relaxed);
    }

    /// Warns of a result of a template that is, or holds, text that counts as escaped: variables do not know it.
    pub(super) fn settle_markup(&self, value: &Jinja, origin: Option<Span>) {
        if self.markup.load(Ordering::Relaxed) && holds_markup(value, 0) {
            self.warn("Type 'Markup' is unsupported in variable storage, converting to 'str'.", origin);
        }
    }

    /// What an evaluation comes to whose notices nobody is told, as in the reference.
    pub fn unsaid<T>(&self, evaluate: impl FnOnce() -> T) -> T {
        let said = || self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let before = said().len();
        let out = evaluate();
        said().truncate(before);
        out
    }

    /// All that was said.
    #[must_use]
    pub fn take(&self) -> Vec<Notice> {
        std::mem::take(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn holds_markup(value: &Jinja, depth: usize) -> bool {
    let inside = |value: &Jinja| holds_markup(value, depth + 1);
    match value.kind() {
        ValueKind::String => value.is_safe(),
        ValueKind::Seq | ValueKind::Iterable if depth < 20 => {
            value.try_iter().is_ok_and(|mut items| items.any(|item| inside(&item)))
        }
        ValueKind::Map if depth < 20 => {
            value.try_iter().is_ok_and(|mut keys| keys.any(|key| value.get_item(&key).is_ok_and(|item| inside(&item))))
        }
        _ => false,
    }
}

/// Adds what was said to a result, each sentence once.
pub fn add_to(result: &mut Map, notices: &[Notice]) {
    for (key, deprecated) in [("warnings", false), ("deprecations", true)] {
        let new: Vec<Value> = notices.iter().filter(|n| n.deprecated == deprecated).map(Notice::entry).collect();
        if new.is_empty() {
            continue;
        }
        let mut all = result.get(key).and_then(Value::as_list).unwrap_or_default().to_vec();
        for entry in new {
            if !all.contains(&entry) {
                all.push(entry);
            }
        }
        result.insert(key.into(), Value::list(all));
    }
}
