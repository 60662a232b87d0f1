//! Lists and dictionaries that a template makes and then changes: `{% set l = [] %}{% set _ = l.append(1) %}`.
//!
//! The engine's own containers do not change. A template that calls one of Python's changing methods gets containers of this
//! kind for what it sets; a variable's own value is never changed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indexmap::IndexMap;
use minijinja::machinery::Token;
use minijinja::value::{DynObject, Enumerator, Kwargs, Object, ObjectRepr, Tuple, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State, Value as Jinja};

use super::call::fail;
use super::forms::base;
use super::rewrite::{Edit, Tokens};

/// The filter that makes a value the template's own.
pub(super) const OWN: &str = "__own";

/// The methods that change what they are called on.
pub(super) const METHODS: &[&str] = &[
    ".append(",
    ".extend(",
    ".insert(",
    ".pop(",
    ".remove(",
    ".update(",
    ".setdefault(",
    ".popitem(",
    ".clear(",
    ".sort(",
    ".reverse(",
];

/// How deep containers may hold each other.
const MAX_DEPTH: usize = 50;

pub(super) fn add_to(env: &mut Environment<'static>) {
    env.add_filter(OWN, |value: &Jinja| own(value, 0));
}

/// A value as the template's own: lists and dictionaries that can be changed, all the way down.
pub(super) fn own(value: &Jinja, depth: usize) -> Result<Jinja, Error> {
    if depth > MAX_DEPTH {
        return Err(fail("a list or dictionary is nested too deeply"));
    }
    if value.downcast_object_ref::<List>().is_some() || value.downcast_object_ref::<Dict>().is_some() {
        return Ok(value.clone());
    }
    let Some(object) = value.as_object() else { return Ok(value.clone()) };
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            let items =
                value.try_iter()?.checked().map(|item| own(&item?, depth + 1)).collect::<Result<Vec<_>, _>>()?;
            if value.is_tuple() {
                return Ok(Jinja::from(Tuple::from(items)));
            }
            Ok(Jinja::from_object(List(Mutex::new(items))))
        }
        ValueKind::Map if is_plain(object) => {
            let mut map = IndexMap::new();
            for key in value.try_iter()? {
                let item = value.get_item(&key)?;
                map.insert(key, own(&item, depth + 1)?);
            }
            Ok(Jinja::from_object(Dict(Mutex::new(map))))
        }
        _ => Ok(value.clone()),
    }
}

/// Whether a value is one that changes.
pub(super) fn is_own(value: &Jinja) -> bool {
    value.downcast_object_ref::<List>().is_some() || value.downcast_object_ref::<Dict>().is_some()
}

/// The edits that make what a macro is given the template's own.
pub(super) fn of_macros(tokens: &Tokens<'_>, (open, close): (&str, &str), edits: &mut Vec<Edit>) {
    for at in 1..tokens.len() {
        if !matches!((&tokens[at - 1].0, &tokens[at].0), (Token::BlockStart, Token::Ident("macro"))) {
            continue;
        }
        let Some(end) = (at..tokens.len()).find(|i| matches!(tokens[*i].0, Token::BlockEnd)) else { continue };
        for i in at + 3..end {
            if let Token::Ident(name) = tokens[i].0
                && matches!(tokens[i - 1].0, Token::ParenOpen | Token::Comma)
                && matches!(tokens[i + 1].0, Token::ParenClose | Token::Comma | Token::Assign)
            {
                edits.push(Edit::behind(&tokens[end].1, format!("{open} set {name} = ({name})|{OWN} {close}")));
            }
        }
    }
}

/// What makes variables the template's own that it changes, or goes through in a loop, before the template begins.
pub(super) fn of_template(tokens: &Tokens<'_>, (open, close): (&str, &str)) -> String {
    let changes = |name: &str| METHODS.contains(&format!(".{name}(").as_str());
    let mut names = Vec::new();
    for at in 1..tokens.len() {
        let start = match (&tokens[at].0, tokens.get(at + 1).map(|(token, _)| token), tokens.get(at + 2)) {
            (Token::Dot, Some(Token::Ident(name)), Some((Token::ParenOpen, _))) if changes(name) => base(tokens, at),
            (Token::Ident("in"), Some(Token::Ident(_)), _) => Some(at + 1),
            // What is set to a variable is that variable.
            (Token::Assign, Some(Token::Ident(_)), Some((Token::BlockEnd | Token::Comma | Token::ParenClose, _))) => {
                Some(at + 1)
            }
            _ => None,
        };
        let Some(start) = start else { continue };
        let called = matches!(tokens.get(start + 1), Some((Token::ParenOpen, _)));
        if let Token::Ident(name) = tokens[start].0
            && !called
            && !matches!(name, "loop" | "self" | "hostvars" | "groups" | "vars")
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    // A block eats no newline where a sign says so.
    names.iter().map(|name| format!("{open} set {name} = ({name})|{OWN} +{close}")).collect()
}

/// Whether an object is a dictionary and not a namespace, `hostvars`, a module or a loop.
fn is_plain(object: &DynObject) -> bool {
    let name = object.type_name();
    !["Namespace", "Root", "HostVars", "Module", "Loop", "Macro", "Kwargs"].iter().any(|other| name.contains(other))
}

/// A value that no longer changes.
pub(super) fn freeze(value: Jinja) -> Jinja {
    frozen(&value, 0).unwrap_or(value)
}

fn frozen(value: &Jinja, depth: usize) -> Option<Jinja> {
    if depth > MAX_DEPTH {
        return None;
    }
    let inner = |item: &Jinja| frozen(item, depth + 1).unwrap_or_else(|| item.clone());
    if let Some(list) = value.downcast_object_ref::<List>() {
        return Some(Jinja::from(list.items().iter().map(inner).collect::<Vec<_>>()));
    }
    let dict = value.downcast_object_ref::<Dict>()?;
    let pairs: Vec<_> = dict.entries().iter().map(|(k, v)| (k.clone(), inner(v))).collect();
    Some(Jinja::from_pairs(pairs))
}

/// Whether `needle` is in `value`, so that no container comes to hold itself.
fn holds(value: &Jinja, needle: *const (), depth: usize) -> bool {
    if depth > MAX_DEPTH {
        return true;
    }
    if let Some(list) = value.downcast_object::<List>() {
        let items = list.items().clone();
        return std::ptr::eq(Arc::as_ptr(&list).cast(), needle) || items.iter().any(|i| holds(i, needle, depth + 1));
    }
    if let Some(dict) = value.downcast_object::<Dict>() {
        let entries = dict.entries().clone();
        return std::ptr::eq(Arc::as_ptr(&dict).cast(), needle)
            || entries.values().any(|v| holds(v, needle, depth + 1));
    }
    false
}

fn taken(value: &Jinja, into: *const ()) -> Result<Jinja, Error> {
    let value = own(value, 0)?;
    if holds(&value, into, 0) {
        return Err(fail("a list or dictionary cannot hold itself"));
    }
    Ok(value)
}

fn none() -> Jinja {
    Jinja::from(())
}

#[derive(Debug)]
struct List(Mutex<Vec<Jinja>>);

impl List {
    fn items(&self) -> MutexGuard<'_, Vec<Jinja>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place that an index of Python's names among `len` items.
fn place(index: i64, len: usize) -> Option<usize> {
    let len_i = i64::try_from(len).ok()?;
    usize::try_from(if index < 0 { index + len_i } else { index }).ok()
}

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        self.items().get(key.as_usize()?).cloned()
    }
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.items().len())
    }
    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, name: &str, args: &[Jinja]) -> Result<Jinja, Error> {
        let me = Arc::as_ptr(self).cast();
        match name {
            "append" => {
                let (item,): (&Jinja,) = from_args(args)?;
                let item = taken(item, me)?;
                self.items().push(item);
            }
            "extend" => {
                let (more,): (&Jinja,) = from_args(args)?;
                let more = more.try_iter()?.checked().map(|i| taken(&i?, me)).collect::<Result<Vec<_>, _>>()?;
                self.items().extend(more);
            }
            "insert" => {
                let (at, item): (i64, &Jinja) = from_args(args)?;
                let item = taken(item, me)?;
                let mut items = self.items();
                let len = items.len();
                items.insert(place(at, len).unwrap_or(0).min(len), item);
            }
            "pop" => {
                let (at,): (Option<i64>,) = from_args(args)?;
                let mut items = self.items();
                if items.is_empty() {
                    return Err(fail("pop from empty list"));
                }
                let at = place(at.unwrap_or(-1), items.len()).filter(|at| *at < items.len());
                return Ok(items.remove(at.ok_or_else(|| fail("pop index out of range"))?));
            }
            "remove" => {
                let (item,): (&Jinja,) = from_args(args)?;
                let all = self.items().clone();
                let at = all.iter().position(|i| i == item).ok_or_else(|| fail("list.remove(x): x not in list"))?;
                self.items().remove(at);
            }
            "clear" => self.items().clear(),
            "reverse" => self.items().reverse(),
            "sort" => {
                let (options,): (Kwargs,) = from_args(args)?;
                let backwards: Option<bool> = options.get("reverse")?;
                options.assert_all_used()?;
                let mut all = self.items().clone();
                all.sort();
                if backwards == Some(true) {
                    all.reverse();
                }
                *self.items() = all;
            }
            "copy" => return Ok(Jinja::from_object(Self(Mutex::new(self.items().clone())))),
            _ => return Err(Error::from(ErrorKind::UnknownMethod)),
        }
        Ok(none())
    }
}

#[derive(Debug)]
struct Dict(Mutex<IndexMap<Jinja, Jinja>>);

impl Dict {
    fn entries(&self) -> MutexGuard<'_, IndexMap<Jinja, Jinja>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Object for Dict {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        self.entries().get(key).cloned()
    }
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.entries().keys().cloned().collect())
    }
    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, name: &str, args: &[Jinja]) -> Result<Jinja, Error> {
        let me = Arc::as_ptr(self).cast();
        match name {
            "update" => {
                let mut more = Vec::new();
                for arg in args {
                    // Named arguments are a map like any other.
                    if arg.kind() == ValueKind::Map {
                        for key in arg.try_iter()? {
                            more.push((key.clone(), taken(&arg.get_item(&key)?, me)?));
                        }
                        continue;
                    }
                    for pair in arg.try_iter()?.checked() {
                        let pair = pair?;
                        more.push((pair.get_item_by_index(0)?, taken(&pair.get_item_by_index(1)?, me)?));
                    }
                }
                self.entries().extend(more);
            }
            "setdefault" => {
                let (key, value): (&Jinja, Option<&Jinja>) = from_args(args)?;
                if let Some(there) = self.entries().get(key) {
                    return Ok(there.clone());
                }
                let value = taken(value.unwrap_or(&none()), me)?;
                self.entries().insert(key.clone(), value.clone());
                return Ok(value);
            }
            "pop" => {
                let (key, default): (&Jinja, Option<&Jinja>) = from_args(args)?;
                let gone = self.entries().shift_remove(key);
                // A second argument that is `none` counts as one.
                let default = default.cloned().or_else(|| args.get(1).cloned());
                return gone.or(default).ok_or_else(|| fail(format!("KeyError: '{key}'")));
            }
            "popitem" => {
                let last = self.entries().pop().ok_or_else(|| fail("popitem(): dictionary is empty"))?;
                return Ok(Jinja::from(Tuple::from([last.0, last.1])));
            }
            "clear" => self.entries().clear(),
            "copy" => return Ok(Jinja::from_object(Self(Mutex::new(self.entries().clone())))),
            _ => return Err(Error::from(ErrorKind::UnknownMethod)),
        }
        Ok(none())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod unit {
    use std::sync::Arc;

    use crate::template::{Fixed, Templar};
    use crate::value::{Map, Str, Value};

    #[test]
    fn changes_stay_inside_the_template() {
        let item = |text: &str| Value::Str(Str::trusted(text, None));
        let map = Map::from_iter([
            ("l".into(), Value::list(vec![1i64.into()])),
            ("made".into(), item("{% set x = [] %}{% set _ = x.append(1) %}{{ x }}")),
        ]);
        let templar = Templar::new(Arc::new(Fixed { map, search: Vec::new() }));
        let render = |text: &str| templar.string(&Str::trusted(text, None)).map(|v| v.to_text());
        assert_eq!(render("{% set m = l %}{% set _ = m.append(2) %}{{ m }} {{ l }}").unwrap(), "[1, 2] [1, 2]");
        assert_eq!(render("{% set m = made %}{% set _ = m.append(2) %}{{ m }} {{ made }}").unwrap(), "[1, 2] [1, 2]");
        assert_eq!(render("{{ l }}").unwrap(), "[1]");
        let error = render("{% set a = [] %}{% set b = [a] %}{% set _ = a.append(b) %}").unwrap_err();
        assert!(error.message.contains("cannot hold itself"), "{}", error.message);
        assert_eq!(render("{{ l.append(2) }}{{ l }}").unwrap(), "[1, 2]");
        assert_eq!(render("{{ l.pop() }}|{{ l }}").unwrap(), "1|[]");
        assert_eq!(
            render("{% for x in [[1], [2]] %}{% set _ = x.append(5) %}{{ x }}{% endfor %}").unwrap(),
            "[1, 5][2, 5]"
        );
        assert_eq!(
            render("{% macro m(v) %}{% set _ = v.append(1) %}{{ v }}{% endmacro %}{{ m([3]) }}").unwrap(),
            "[3, 1]"
        );
        assert_eq!(render("{% set x = [] %}{% do x.append(1) %}{{ x }}").unwrap(), "[1]");
    }
}
