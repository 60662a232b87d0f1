//! Jinja's own functions where the engine has none or another: `dict`, `range`, `cycler`, `joiner`; and Ansible's `undef`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, Value as Jinja};

use super::call::{Call, Spec, ansible, fail, type_name};
use crate::value::{Key, Map, Value};

/// What `undef()` says.
pub(super) const NO_HINT: &str = "Mandatory variable has not been overridden";

pub(super) const FUNCTIONS: &[Spec] = &[
    ansible(&["dict"], &["*pairs", "**more"], dict),
    ansible(&["range"], &["*numbers"], range),
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
        let hint = match c.option(0)? {
            None => NO_HINT.to_owned(),
            Some(Value::Str(hint)) => hint.as_str().to_owned(),
            Some(other) => {
                let got = super::python_type(&other);
                return Err(fail(format!("The 'hint' argument must be of type 'str' or 'NoneType', not '{got}'.")));
            }
        };
        // An error only where it is used: as a default that is not needed it does no harm.
        Ok(Jinja::from(Error::new(ErrorKind::UndefinedError, hint)))
    }),
];

/// The most numbers that a range may come to: every one of them takes memory where a list is made of it.
const RANGE: u64 = 10_000_000;

/// Python's `range`: numbers that are counted, not kept.
fn range(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let whole = |value: &Jinja| {
        let number = if value.is_integer() {
            i64::try_from(value.clone()).ok()
        } else {
            bool::try_from(value.clone()).ok().map(i64::from)
        };
        number.ok_or_else(|| fail(format!("'{}' object cannot be interpreted as an integer", type_name(value))))
    };
    let given = call.rest.iter().map(whole).collect::<Result<Vec<_>, _>>()?;
    let (start, stop, step) = match given.as_slice() {
        [stop] => (0, *stop, 1),
        [start, stop] => (*start, *stop, 1),
        [start, stop, step] => (*start, *stop, *step),
        _ => {
            let (word, count) = if given.is_empty() { ("at least", 1) } else { ("at most", 3) };
            let s = if count == 1 { "" } else { "s" };
            return Err(fail(format!("range expected {word} {count} argument{s}, got {}", given.len())));
        }
    };
    if step == 0 {
        return Err(fail("range() arg 3 must not be zero"));
    }
    let (from, to) = if step > 0 { (start, stop) } else { (stop, start) };
    let length = if from < to { (to.abs_diff(from) - 1) / step.unsigned_abs() + 1 } else { 0 };
    match usize::try_from(length) {
        Ok(count) if length <= RANGE => Ok(Jinja::from_object(Range { start, step, length: count })),
        _ => Err(fail(format!("a range of {length} numbers: at most {RANGE} are supported"))),
    }
}

#[derive(Debug)]
struct Range {
    start: i64,
    step: i64,
    length: usize,
}

impl Object for Range {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        let at = key.as_usize().filter(|at| *at < self.length)?;
        Some(Jinja::from(self.start + self.step * i64::try_from(at).ok()?))
    }
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.length)
    }
}

fn dict(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let mut out = Map::new();
    if let Some(first) = call.rest.first() {
        match Value::from_jinja(first)? {
            Value::Map(map) => out.extend(map.iter().map(|(k, v)| (k.clone(), v.clone()))),
            other => {
                for (at, pair) in super::call::items(&other)?.iter().enumerate() {
                    let element = "dictionary update sequence element";
                    let pair = super::call::items(pair)
                        .map_err(|_| fail(format!("cannot convert {element} #{at} to a sequence")))?;
                    let [key, value] = pair.as_slice() else {
                        let length = pair.len();
                        return Err(fail(format!("{element} #{at} has length {length}; 2 is required")));
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
