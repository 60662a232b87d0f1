//! Variables inside the engine: containers that evaluate their entries when they are asked for.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{State, Value as Jinja};

use super::error::Reason;
use super::notices::current_text;
use super::tolerant::{self, Troubles};
use super::{TemplateError, Variable, Variables, engine};
use crate::value::{Key, Map, OwnTexts, Str, Undecryptable, Value, Watching};
use crate::vault::UNDECRYPTABLE;

/// How deep templates may use each other.
const MAX_DEPTH: usize = 64;

/// A name no variable can have, under which a template's functions find the root.
const ROOT_NAME: &str = "\u{0}root";

/// The engine's view of a scope: what a template looks names up in.
#[derive(Debug)]
pub struct Root {
    variables: Arc<dyn Variables>,
    evaluated: Mutex<HashMap<String, Jinja>>,
    /// Why a variable that exists counts as undefined: it uses something that is.
    reasons: Mutex<HashMap<String, Reason>>,
    /// What was said of the entry of a list or dictionary that counted as undefined last.
    inner: Mutex<Option<Reason>>,
    /// The user's own texts that were used.
    own: Arc<OwnTexts>,
    /// Where errors of templates are shown in their place: what there was of them.
    troubles: Option<Troubles>,
}

thread_local! {
    /// The variables being evaluated on this thread, outermost first.
    static UNDER_WAY: std::cell::RefCell<Vec<(usize, String)>> = const { std::cell::RefCell::new(Vec::new()) };
}

impl Root {
    pub(super) fn new(variables: Arc<dyn Variables>) -> Self {
        Self {
            variables,
            evaluated: Mutex::default(),
            reasons: Mutex::default(),
            inner: Mutex::default(),
            own: Arc::default(),
            troubles: None,
        }
    }

    /// One in which errors of templates are shown in their place.
    pub(super) fn tolerant(variables: Arc<dyn Variables>) -> Self {
        Self { troubles: Some(Troubles::default()), ..Self::new(variables) }
    }

    pub(super) fn troubles(&self) -> Option<&Troubles> {
        self.troubles.as_ref()
    }

    /// A template, evaluated.
    pub(super) fn render(self: &Arc<Self>, text: &Str) -> Result<Jinja, TemplateError> {
        match &self.troubles {
            Some(troubles) => tolerant::render(self, text, troubles),
            None => engine::render_inline(self, text),
        }
    }

    /// Keeps the user's own texts apart from data while the guard lives.
    pub(super) fn watch(&self) -> Watching {
        self.own.watch()
    }

    /// The variables behind it.
    #[must_use]
    pub fn variables(&self) -> &Arc<dyn Variables> {
        &self.variables
    }

    /// Where relative paths are looked for.
    #[must_use]
    pub fn search_path(&self) -> Vec<PathBuf> {
        self.variables.search_path()
    }

    /// Remembers why something counts as undefined that has no name.
    pub(super) fn note_inner(&self, reason: Reason) {
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    /// What was said of the entry that counted as undefined last; nothing is remembered then.
    pub(super) fn inner_reason(&self) -> Option<Reason> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn reason(&self, name: &str) -> Option<Reason> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn lookup(self: &Arc<Self>, name: &str) -> Option<Jinja> {
        if name == ROOT_NAME {
            return Some(Jinja::from_dyn_object(self.clone()));
        }
        if let Some(value) = self.evaluated.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Some(engine::touch(value.clone()));
        }
        if name == "play_hosts"
            && let Some(notices) = self.variables.notices()
        {
            let sentence = "The `play_hosts` magic variable is deprecated.";
            notices.deprecate_with(sentence, current_text(), Some("Use `ansible_play_batch` instead."));
        }
        let value = match self.variables.get(name) {
            Some(Variable::Dynamic(value)) => return Some(value),
            Some(Variable::Value(value)) => value,
            // `vars` is all of them, by name.
            None if name == "vars" => return Some(Jinja::from_dyn_object(self.clone())),
            None => return None,
        };
        let guard = match Guard::enter(Arc::as_ptr(self) as usize, name) {
            Ok(guard) => guard,
            Err(error) => return Some(Jinja::from(error.into_engine())),
        };
        let result = self.evaluate(&value);
        drop(guard);
        match result {
            Ok(value) => {
                let mut evaluated = self.evaluated.lock().unwrap_or_else(PoisonError::into_inner);
                evaluated.insert(name.to_owned(), value.clone());
                Some(engine::touch(value))
            }
            Err(error) if error.is_undefined => {
                let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
                let reason = match error.undefined.as_ref().and_then(|inner| reasons.get(inner)) {
                    Some(inner) => inner.clone(),
                    None => error.into(),
                };
                reasons.insert(name.to_owned(), reason);
                None
            }
            Err(error) => Some(Jinja::from(error.into_engine())),
        }
    }

    /// A value inside the engine: scalars evaluated, containers lazy.
    pub(super) fn evaluate(self: &Arc<Self>, value: &Value) -> Result<Jinja, TemplateError> {
        Ok(match value {
            Value::Str(text) if let Some(vaulted) = text.as_vaulted() => match text.revealed() {
                Ok(plain) => Jinja::from(plain.shared()),
                // An error of its own only where it is used.
                Err(error) => Jinja::from_object(Undecryptable {
                    ciphertext: vaulted.ciphertext().clone(),
                    reason: error.undecryptable(),
                }),
            },
            Value::Str(text) if text.is_template() => self.render(text)?,
            Value::List(items) => Jinja::from_object(LazyList { items: items.clone(), root: self.clone() }),
            Value::Map(map) => Jinja::from_object(LazyMap { map: map.clone(), root: self.clone() }),
            other => other.to_jinja(),
        })
    }

    fn entry(self: &Arc<Self>, value: &Value) -> Jinja {
        match self.evaluate(value) {
            Ok(value) => engine::touch(value),
            Err(error) if error.is_undefined => {
                // `is defined` and `default` must see it as undefined, so it cannot be an error value here.
                self.note_inner(error.into());
                Jinja::UNDEFINED
            }
            Err(error) => Jinja::from(error.into_engine()),
        }
    }
}

/// A result of the engine's as a value. Text of the user's that went through untouched is still the user's.
pub(super) fn to_value(value: &Jinja) -> Result<Value, minijinja::Error> {
    if let Some(list) = value.downcast_object_ref::<LazyList>() {
        return settle(&Value::List(list.items.clone()), &list.root);
    }
    if let Some(map) = value.downcast_object_ref::<LazyMap>() {
        return settle(&Value::Map(map.map.clone()), &map.root);
    }
    Value::from_jinja(value)
}

/// A value with every template in it evaluated.
fn settle(value: &Value, root: &Arc<Root>) -> Result<Value, minijinja::Error> {
    match value {
        Value::Str(text) if text.as_vaulted().is_some() => {
            let plain =
                text.revealed().map_err(|e| TemplateError::message(e.undecryptable(), text.origin()).into_engine())?;
            Ok(Value::Str(plain))
        }
        Value::Str(text) if text.is_template() => match (root.render(text), root.troubles()) {
            (Ok(value), _) => to_value(&value),
            (Err(error), Some(troubles)) if !error.message.starts_with(UNDECRYPTABLE) => {
                Ok(troubles.in_place(&error, text.origin()).into())
            }
            // What cannot be decrypted is an error wherever it is.
            (Err(error), _) => Err(error.into_engine()),
        },
        Value::List(_) | Value::Map(_) if !value.has_templates() => Ok(value.clone()),
        Value::List(items) => {
            let settled = items.iter().map(|item| settle(item, root)).filter(|item| !matches!(item, Ok(Value::Omit)));
            settled.collect::<Result<Vec<_>, _>>().map(Value::list)
        }
        Value::Map(map) => {
            let mut out = Map::with_capacity(map.len());
            for (key, item) in map.iter() {
                let key = match key {
                    Key::Str(text) if text.is_template() => {
                        let key = settle(&Value::Str(text.clone()), root)?;
                        Key::from_value(&key).unwrap_or_else(|| Key::from(key.to_text()))
                    }
                    other => other.clone(),
                };
                match settle(item, root)? {
                    Value::Omit => {}
                    item => drop(out.insert(key, item)),
                }
            }
            Ok(Value::map(out))
        }
        other => Ok(other.clone()),
    }
}

/// Why an object has no such entry: what it would be made of is undefined.
pub(super) fn reason_of(object: &Jinja, key: &Jinja) -> Option<Reason> {
    let (root, value) = match () {
        () if let Some(scope) = object.downcast_object::<Root>() => {
            let name = key.as_str()?;
            // Whoever asks may have a scope of its own, that nothing was looked up in.
            return if scope.lookup(name).is_none() { scope.reason(name) } else { None };
        }
        () if let Some(map) = object.downcast_object_ref::<LazyMap>() => (&map.root, map.raw(key)?),
        () if let Some(list) = object.downcast_object_ref::<LazyList>() => {
            (&list.root, list.items.get(key.as_usize()?)?)
        }
        () => return None,
    };
    root.evaluate(value).err().filter(|error| error.is_undefined).map(Reason::from)
}

/// Why a value cannot be given away whole: something deep inside it is undefined.
pub(super) fn reason_inside(value: &Jinja) -> Option<Reason> {
    let error = TemplateError::new(&to_value(value).err()?, None);
    error.is_undefined.then(|| error.into())
}

struct Guard;

impl Guard {
    fn enter(root: usize, name: &str) -> Result<Self, TemplateError> {
        UNDER_WAY.with_borrow_mut(|under_way| {
            let key = (root, name.to_owned());
            if under_way.contains(&key) || under_way.len() > MAX_DEPTH {
                let message = format!("recursive loop detected in the template of '{name}'");
                return Err(TemplateError::message(message, None));
            }
            under_way.push(key);
            Ok(Self)
        })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        UNDER_WAY.with_borrow_mut(|under_way| drop(under_way.pop()));
    }
}

/// The root of the template being evaluated, for functions and filters that need the scope.
#[must_use]
pub fn root_of(state: &State<'_, '_>) -> Option<Arc<Root>> {
    state.lookup(ROOT_NAME)?.downcast_object::<Root>()
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        self.lookup(key.as_str()?)
    }
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Jinja> {
        self.lookup(key)
    }
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.variables.names().into_iter().map(Jinja::from).collect())
    }
}

/// A scope as a value inside a template, its entries evaluated when they are asked for.
#[must_use]
pub fn scope_object(variables: Arc<dyn Variables>) -> Jinja {
    Jinja::from_object(Root::new(variables))
}

#[derive(Debug)]
struct LazyList {
    items: Arc<Vec<Value>>,
    root: Arc<Root>,
}

impl Object for LazyList {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        Some(self.root.entry(self.items.get(key.as_usize()?)?))
    }
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.items.len())
    }
}

#[derive(Debug)]
struct LazyMap {
    map: Arc<Map>,
    root: Arc<Root>,
}

impl LazyMap {
    /// An entry as it is written.
    fn raw(&self, key: &Jinja) -> Option<&Value> {
        match key.as_str() {
            Some(text) => self.map.get(text),
            None => self.map.get(&Key::from_value(&Value::from_jinja(key).ok()?)?),
        }
    }
}

impl Object for LazyMap {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        self.raw(key).map(|value| self.root.entry(value))
    }
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Jinja> {
        self.map.get(key).map(|value| self.root.entry(value))
    }
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let keys = self.map.keys().map(|key| match key {
            Key::Str(text) if text.is_template() => self.root.entry(&Value::Str(text.clone())),
            other => other.to_value().to_jinja(),
        });
        Enumerator::Values(keys.collect())
    }
}
