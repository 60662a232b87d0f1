//! Templates: Jinja expressions over variables, evaluated lazily and natively.
//!
//! A [`Templar`] evaluates on behalf of one host at one point of a play; what it sees of that point is its [`Variables`].
//! A variable that is itself a template is evaluated when it is used, and a template that is one expression keeps the
//! expression's type. The engine is minijinja; `filters`, `tests` and `lookups` hold what Ansible adds.

mod call;
#[cfg(test)]
mod cases;
mod chain;
mod compare;
mod condition;
mod encodings;
mod engine;
mod error;
mod files;
pub mod filters;
mod forms;
mod functions;
mod layout;
mod lazy;
mod links;
mod lipsum;
pub mod lookups;
mod methods;
mod missing;
mod mutable;
mod notices;
mod operators;
mod password;
mod printf;
mod pyrandom;
mod python;
mod regex;
mod rewrite;
mod spaces;
mod strformat;
mod syntax;
pub mod tests;
mod time;
mod tolerant;
#[cfg(test)]
mod unit;

use std::path::PathBuf;
use std::sync::Arc;

use minijinja::Value as Jinja;

use crate::config::Settings;
use crate::source::Span;
use crate::value::{Key, Map, Str, Value};
use crate::vault::Secrets;

pub use condition::{EMPTY_CONDITION, UNTRUSTED};
pub use encodings::encode;
pub use engine::check_syntax;
pub use error::TemplateError;
pub use files::FileOptions;
pub use lazy::{root_of, scope_object};
pub use notices::{Notice, Notices, add_to as add_notices};
pub use password::hash_password;

/// A variable as a scope holds it.
#[derive(Debug, Clone)]
pub enum Variable {
    /// A value whose strings may be templates.
    Value(Value),
    /// Something that makes its entries when they are asked for (`hostvars`).
    Dynamic(Jinja),
}

/// What a template sees: the variables of one host at one point of a play.
pub trait Variables: std::fmt::Debug + Send + Sync {
    /// The variable of this name.
    fn get(&self, name: &str) -> Option<Variable>;
    /// Every name there is, for `vars`, `varnames` and "did you mean".
    fn names(&self) -> Vec<Arc<str>>;
    /// Directories in which lookups and templates look for a relative path, nearest first.
    fn search_path(&self) -> Vec<PathBuf>;
    /// Every setting of the run.
    fn settings(&self) -> Arc<Settings> {
        Arc::default()
    }
    /// The passwords of the run.
    fn vault(&self) -> Arc<Secrets> {
        Arc::default()
    }
    /// Where templates leave what they have to say beside their results.
    fn notices(&self) -> Option<&Notices> {
        None
    }
}

/// Evaluates templates against variables.
#[derive(Debug, Clone)]
pub struct Templar {
    root: Arc<lazy::Root>,
}

/// The path in `{{ name.key[0] }}`, when there is nothing else: white space around it belongs to the text.
fn only_path(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("{{")?.strip_suffix("}}")?.trim();
    is_path(inner).then_some(inner)
}

/// Whether an expression is a path: a name, and keys behind it.
fn is_path(text: &str) -> bool {
    let is_step = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']' | '\'' | '"');
    text.starts_with(|c: char| c.is_alphabetic() || c == '_') && text.chars().all(is_step)
}

/// What is said of a template that comes to nothing where something has to be.
pub const OMITTED: &str = "A template was resolved to an Omit scalar.";

impl Templar {
    /// A templar that sees `variables`. Make a new one whenever they change: what was evaluated is remembered.
    #[must_use]
    pub fn new(variables: Arc<dyn Variables>) -> Self {
        Self { root: Arc::new(lazy::Root::new(variables)) }
    }

    /// The variables it sees.
    #[must_use]
    pub fn variables(&self) -> &Arc<dyn Variables> {
        self.root.variables()
    }

    /// The variable `name`, evaluated; `None` when there is none.
    pub fn variable(&self, name: &str) -> Result<Option<Value>, TemplateError> {
        match self.root.variables().get(name) {
            None => Ok(None),
            Some(Variable::Value(value)) => self.value(&value).map(Some),
            Some(Variable::Dynamic(value)) => {
                Value::from_jinja(&value).map(Some).map_err(|e| TemplateError::new(&e, None))
            }
        }
    }

    /// A value with every template in it evaluated; what is not a template stays the same, shared.
    pub fn value(&self, value: &Value) -> Result<Value, TemplateError> {
        if !value.has_templates() {
            return Ok(value.clone());
        }
        match value {
            Value::Str(text) => self.string(text),
            Value::List(items) => {
                let mut out = Vec::with_capacity(items.len());
                for item in items.iter() {
                    match self.value(item)? {
                        // As in the reference: an omitted item is not there.
                        Value::Omit if !matches!(item, Value::Omit) => {}
                        item => out.push(item),
                    }
                }
                Ok(Value::list(out))
            }
            Value::Map(map) => {
                let mut out = Map::with_capacity(map.len());
                for (key, value) in map.iter() {
                    let key = self.key(key)?;
                    match self.value(value)? {
                        Value::Omit => {}
                        value => {
                            out.insert(key, value);
                        }
                    }
                }
                Ok(Value::map(out))
            }
            other => Ok(other.clone()),
        }
    }

    fn key(&self, key: &Key) -> Result<Key, TemplateError> {
        let Key::Str(text) = key else { return Ok(key.clone()) };
        if !text.is_template() {
            return Ok(key.clone());
        }
        let value = self.string(text)?;
        Key::from_value(&value).ok_or_else(|| {
            TemplateError::message(format!("the key `{}` comes to {}", text.as_str(), value.kind()), text.origin())
        })
    }

    /// A string, evaluated when it is a template.
    pub fn string(&self, text: &Str) -> Result<Value, TemplateError> {
        if !text.is_template() {
            return Ok(Value::Str(text.clone()));
        }
        // A variable's own text stays what it is: the user's, with its place.
        if let Some(same) = only_path(text.as_str()).and_then(|path| self.own_text(path)) {
            return Ok(Value::Str(same));
        }
        if text.as_vaulted().is_some() {
            let plain = text.revealed().map_err(|e| TemplateError::message(e.undecryptable(), text.origin()))?;
            return Ok(Value::Str(plain));
        }
        let _own = self.root.watch();
        let value = self.root.render(text).map_err(|e| self.explain_inside(e, text))?;
        self.settle_markup(&value, text);
        lazy::to_value(&value).map_err(|e| self.explain_result(&e, text))
    }

    /// The user's own text that a path (`name`, `name.key`, `name[0]['key']`) leads to, when it is no template.
    fn own_text(&self, path: &str) -> Option<Str> {
        let (name, mut rest) = path.split_at(path.find(['.', '[']).unwrap_or(path.len()));
        let Variable::Value(mut value) = self.variables().get(name)? else { return None };
        while !rest.is_empty() {
            let bracket = rest.starts_with('[');
            let (step, after) = match rest.strip_prefix('[') {
                Some(rest) => rest.split_once(']')?,
                None => {
                    let rest = rest.strip_prefix('.')?;
                    rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()))
                }
            };
            let quoted = ['"', '\''].iter().find_map(|q| step.strip_prefix(*q)?.strip_suffix(*q));
            value = match (quoted, step.parse::<usize>()) {
                (None, Ok(at)) => value.as_list()?.get(at)?.clone(),
                // A name in brackets is a variable that holds the key.
                (None, Err(_)) if bracket => return None,
                // Names of a dictionary's methods mean those.
                _ if quoted.is_none() && ["items", "keys", "values", "get"].contains(&step) => return None,
                _ => value.get(quoted.unwrap_or(step))?.clone(),
            };
            rest = after;
        }
        match value {
            Value::Str(text) if text.is_trusted() && !text.is_template() => Some(text),
            _ => None,
        }
    }

    /// An expression without braces, as `when` and `until` hold it.
    pub fn expression(&self, text: &Str) -> Result<Value, TemplateError> {
        let _own = self.root.watch();
        let value = engine::evaluate(&self.root, text).map_err(|e| self.explain(e))?;
        self.settle_markup(&value, text);
        lazy::to_value(&value).map_err(|e| self.explain_result(&e, text))
    }

    fn settle_markup(&self, value: &minijinja::Value, text: &Str) {
        if let Some(notices) = self.variables().notices() {
            notices.settle_markup(value, text.origin());
        }
    }

    /// This templar with more variables on top.
    fn with(&self, map: Map) -> Self {
        Self::new(Arc::new(Over { map, under: self.root.variables().clone() }))
    }

    /// This templar with `ansible_managed` and the `template_*` variables that a template file sees.
    #[must_use]
    pub fn with_template(&self, path: &std::path::Path, dest: Option<&str>) -> Self {
        let mut map = Map::new();
        let full = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        map.insert("template_path".into(), path.display().to_string().into());
        map.insert("template_fullpath".into(), full.display().to_string().into());
        map.insert("template_uid".into(), files::owner(path).into());
        map.insert("template_host".into(), files::host_name().into());
        map.insert("template_mtime".into(), files::modified(path).into());
        map.insert("template_run_date".into(), jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string().into());
        // A lookup has none.
        map.insert("template_destpath".into(), dest.map_or(Value::Null, Value::from));
        if self.root.variables().get("ansible_managed").is_none() {
            map.insert("ansible_managed".into(), "Ansible managed".into());
        }
        Self::new(Arc::new(Over { map, under: self.root.variables().clone() }))
    }

    /// A whole template file's text.
    pub fn file(&self, path: &std::path::Path, options: &FileOptions) -> Result<String, TemplateError> {
        files::render(&self.root, path, options).map(|(text, _)| text).map_err(|e| self.explain(e))
    }

    /// A template file's text, or the value of the one expression that it holds.
    fn file_value(&self, path: &std::path::Path, options: &FileOptions) -> Result<Value, TemplateError> {
        let (text, value) = files::render(&self.root, path, options).map_err(|e| self.explain(e))?;
        match value {
            Some(value) if value.as_str().is_none() => lazy::to_value(&value).map_err(|e| TemplateError::new(&e, None)),
            None if text.is_empty() => Ok(Value::Null),
            _ => Ok(Value::from(text)),
        }
    }

    /// An error about a result of `text`: of something undefined deep inside it, the name is looked for in the text.
    fn explain_result(&self, error: &minijinja::Error, text: &Str) -> TemplateError {
        self.explain_inside(TemplateError::new(error, Some(text)), text)
    }

    fn explain_inside(&self, mut out: TemplateError, text: &Str) -> TemplateError {
        if out.message == crate::value::UNDEFINED_INSIDE {
            let known = |name: &str| self.root.variables().get(name).is_some();
            let found = engine::names_in(text.as_str())
                .into_iter()
                .find(|name| !known(name) && self.root.reason(name).is_none());
            if let Some(name) = found {
                out.message = format!("'{name}' is undefined");
                out.undefined = Some(name);
            } else if let Some(reason) = missing::inside(&self.root, text.as_str()) {
                out.because_of(reason);
            }
        }
        self.explain(out)
    }

    /// Adds to an error about something undefined the nearest name that is defined.
    fn explain(&self, mut error: TemplateError) -> TemplateError {
        if let Some(name) = &error.undefined {
            if let Some(reason) = self.root.reason(name) {
                error.because_of(reason);
            } else {
                let names = self.root.variables().names();
                error.nearest =
                    crate::diagnostic::nearest(name, names.iter().map(AsRef::as_ref)).map(ToOwned::to_owned);
            }
        }
        error
    }
}

/// Python's idea of truth.
#[must_use]
pub fn truthy(value: &Value) -> bool {
    match value {
        Value::Null | Value::Omit => false,
        Value::Bool(b) => *b,
        Value::Int(i) => *i != 0,
        Value::Float(f) => *f != 0.0,
        Value::Str(s) => !s.as_str().is_empty(),
        Value::List(items) => !items.is_empty(),
        Value::Map(map) => !map.is_empty(),
    }
}

/// Python's `int(value)`; why it is none where it is not.
pub fn to_int(value: &Value) -> Result<i64, String> {
    call::to_int(value).map_err(|error| error.detail().unwrap_or_default().to_owned())
}

/// A value as Python shows it.
#[must_use]
pub fn python_repr(value: &Value) -> String {
    python::text(value)
}

/// A value as YAML, one entry on a line.
#[must_use]
pub fn yaml_text(value: &Value) -> String {
    filters::yaml::nice(value)
}

/// What Python calls a value's type.
#[must_use]
pub fn python_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Omit => "Omit",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Float(_) => "float",
        Value::Str(_) => "str",
        Value::List(_) => "list",
        Value::Map(_) => "dict",
    }
}

/// Variables in one map, for tests and for the few places that have no host.
#[derive(Debug, Default)]
pub struct Fixed {
    /// The variables.
    pub map: Map,
    /// Where relative paths are looked for.
    pub search: Vec<PathBuf>,
}

impl Variables for Fixed {
    fn get(&self, name: &str) -> Option<Variable> {
        self.map.get(name).cloned().map(Variable::Value)
    }
    fn names(&self) -> Vec<Arc<str>> {
        self.map.keys().filter_map(Key::as_str).map(Arc::from).collect()
    }
    fn search_path(&self) -> Vec<PathBuf> {
        self.search.clone()
    }
}

/// A few variables over others.
#[derive(Debug)]
struct Over {
    map: Map,
    under: Arc<dyn Variables>,
}

impl Variables for Over {
    fn get(&self, name: &str) -> Option<Variable> {
        self.map.get(name).cloned().map(Variable::Value).or_else(|| self.under.get(name))
    }
    fn names(&self) -> Vec<Arc<str>> {
        self.map.keys().filter_map(Key::as_str).map(Arc::from).chain(self.under.names()).collect()
    }
    fn search_path(&self) -> Vec<PathBuf> {
        self.under.search_path()
    }
    fn vault(&self) -> Arc<Secrets> {
        self.under.vault()
    }
    fn settings(&self) -> Arc<Settings> {
        self.under.settings()
    }
    fn notices(&self) -> Option<&Notices> {
        self.under.notices()
    }
}

/// The place in a string's source that an error inside it points to.
fn place_within(text: &Str, line: Option<usize>, range: Option<std::ops::Range<usize>>) -> Option<Span> {
    let origin = text.origin()?;
    let source = origin.source();
    let written = source.text.get(origin.start as usize..origin.end as usize)?;
    // A flow scalar stands there as it is, perhaps in quotes; anything else is found by its line.
    if let Some(range) = &range
        && let Some(at) = written.find(text.as_str())
    {
        let start = origin.start as usize + at + range.start;
        // What is missing at the end is missing from the whole.
        if start >= origin.start as usize + at + text.as_str().len() {
            return Some(origin);
        }
        return Some(origin.part(start, start + range.len()));
    }
    let line_text = text.as_str().lines().nth(line?.checked_sub(1)?)?.trim();
    if line_text.is_empty() {
        return Some(origin);
    }
    let at = written.find(line_text)?;
    let start = origin.start as usize + at;
    Some(origin.part(start, start + line_text.len()))
}
