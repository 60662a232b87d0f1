//! Jinja's own functions where the engine has none or another: `dict`, `cycler`, `joiner`; and Ansible's `undef`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::value::{Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, Value as Jinja};

use super::call::{Call, Spec, ansible, fail};
use crate::value::{Key, Map, Value};

/// What `undef()` says.
pub(super) const NO_HINT: &str = "Mandatory variable has not been overridden";

pub(super) const FUNCTIONS: &[Spec] = &[
    ansible(&["dict"], &["*pairs", "**more"], dict),
    ansible(&["cycler"], &["*items"], |c| {
        if c.rest.is_empty() {
            return Err(fail("at least one item has to be provided"));
        }
        Ok(Jinja::from_object(Cycler { items: c.rest.clone(), at: AtomicUsize::new(0) }))
    }),
    ansible(&["joiner"], &["sep"], |c| {
        let separator = c.text_option(0)?.unwrap_or_else(|| ", ".to_owned());
        Ok(Jinja::from_object(Joiner { separator, used: AtomicUsize::new(0) }))
    }),
    ansible(&["undef"], &["hint"], |c| {
        let hint = c.text_option(0)?.unwrap_or_else(|| NO_HINT.to_owned());
        // An error only where it is used: as a default that is not needed it does no harm.
        Ok(Jinja::from(Error::new(ErrorKind::UndefinedError, hint)))
    }),
];

fn dict(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let mut out = Map::new();
    if let Some(first) = call.rest.first() {
        match Value::from_jinja(first)? {
            Value::Map(map) => out.extend(map.iter().map(|(k, v)| (k.clone(), v.clone()))),
            other => {
                for pair in super::call::items(&other)? {
                    let Some([key, value]) = pair.as_list() else {
                        return Err(fail("dictionary update sequence element is not a pair"));
                    };
                    let key = Key::from_value(key).ok_or_else(|| fail("a list or dictionary cannot be a key"))?;
                    out.insert(key, value.clone());
                }
            }
        }
    }
    out.extend(call.more()?);
    Ok(Value::map(out).to_jinja())
}

/// Gives its items in turn.
#[derive(Debug)]
struct Cycler {
    items: Vec<Jinja>,
    at: AtomicUsize,
}

impl Cycler {
    fn current(&self) -> Jinja {
        let at = self.at.load(Ordering::Relaxed) % self.items.len().max(1);
        self.items.get(at).cloned().unwrap_or_default()
    }
}

impl Object for Cycler {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        (key.as_str() == Some("current")).then(|| self.current())
    }
    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, name: &str, _: &[Jinja]) -> Result<Jinja, Error> {
        match name {
            "next" => {
                let current = self.current();
                self.at.fetch_add(1, Ordering::Relaxed);
                Ok(current)
            }
            "reset" => {
                self.at.store(0, Ordering::Relaxed);
                Ok(Jinja::from(()))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}

/// Nothing the first time, its separator ever after.
#[derive(Debug)]
struct Joiner {
    separator: String,
    used: AtomicUsize,
}

impl Object for Joiner {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, _: &[Jinja]) -> Result<Jinja, Error> {
        match self.used.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(Jinja::from("")),
            _ => Ok(Jinja::from(self.separator.as_str())),
        }
    }
}
