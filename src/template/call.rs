//! How filters, tests, lookups and functions get their arguments: bound to names as Python binds them.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Kwargs, Object, ObjectRepr, Rest, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Environment, Error, ErrorKind, State, Value as Jinja};

use super::compare::RENDERING;
use crate::value::{Map, Value};

/// What a filter, test or function does.
pub(super) type Body = fn(&mut Call<'_, '_, '_>) -> Result<Jinja, Error>;

/// One thing a template can call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spec {
    /// Its names, the main one first.
    pub names: &'static [&'static str],
    /// Its parameters; `*rest` takes the remaining positional arguments, `**more` the remaining named ones; with `/` no name is one.
    pub params: &'static [&'static str],
    /// What it does.
    pub body: Body,
    /// Whether it takes arguments that are not defined.
    pub lenient: bool,
}

/// Something a template can call, also by its full name.
pub(super) const fn ansible(names: &'static [&'static str], params: &'static [&'static str], body: Body) -> Spec {
    Spec { names, params, body, lenient: false }
}

impl Spec {
    /// The same, for arguments that may be undefined.
    pub(super) const fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    fn call(&self, state: &mut State<'_, '_>, args: &[Jinja], kind: &str, name: &str) -> Result<Jinja, Error> {
        let run = |state: &mut State<'_, '_>| {
            let mut call = Call::bind(self, state, args)?;
            (self.body)(&mut call)
        };
        run(state).map_err(|e| match e.kind() {
            // Only the engine knows the name of something undefined inside an argument.
            ErrorKind::UndefinedError if e.detail() == Some(crate::value::UNDEFINED_INSIDE) => {
                match args.iter().find_map(|arg| undefined_inside(arg, 0)) {
                    Some(inner) => undefined(state, &inner),
                    None => e,
                }
            }
            _ => prefix(e, kind, name),
        })
    }

    fn all_names(&self) -> impl Iterator<Item = String> + use<'_> {
        let full = self.names.iter().filter(|name| !name.contains('.')).map(|name| format!("ansible.builtin.{name}"));
        self.names.iter().map(|name| (*name).to_owned()).chain(full)
    }
}

/// The reference names the plugin that failed, by the name that it was called by.
fn prefix(error: Error, kind: &str, name: &str) -> Error {
    let ours = error.kind() == ErrorKind::InvalidOperation && std::error::Error::source(&error).is_none();
    if !ours {
        return error;
    }
    let detail = error.detail().unwrap_or_default();
    if detail.starts_with("The ") && detail.contains(" plugin '") {
        return error;
    }
    // A function is no plugin.
    if kind == "function" {
        return fail(format!("{RENDERING}{detail}"));
    }
    // A collection's own goes by its full name.
    let owner = if name.contains('.') { "" } else { "ansible.builtin." };
    fail(format!("The {kind} plugin '{owner}{name}' failed: {detail}"))
}

/// Adds filters to an environment.
pub(super) fn add_filters(env: &mut Environment<'static>, specs: &'static [Spec]) {
    for spec in specs {
        for name in spec.all_names() {
            env.add_filter(name.clone(), move |state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>| {
                spec.call(state, &args.into_values(), "filter", &name)
            });
        }
    }
}

/// Adds tests to an environment.
pub(super) fn add_tests(env: &mut Environment<'static>, specs: &'static [Spec]) {
    for spec in specs {
        for name in spec.all_names() {
            env.add_test(name.clone(), move |state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>| {
                spec.call(state, &args.into_values(), "test", &name)
            });
        }
    }
}

/// Adds functions to an environment.
pub(super) fn add_functions(env: &mut Environment<'static>, specs: &'static [Spec]) {
    for spec in specs {
        for name in spec.names {
            env.add_global(*name, Jinja::from_object(Function(spec)));
        }
    }
}

#[derive(Debug)]
struct Function(&'static Spec);

impl Object for Function {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<function {}>", self.0.names[0])
    }
    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Jinja]) -> Result<Jinja, Error> {
        self.0.call(state, args, "function", self.0.names[0])
    }
}

/// Something that will not be there for ever, where there is somebody to say it to.
pub(super) fn deprecate(state: &State<'_, '_>, text: impl FnOnce() -> String) {
    let Some(root) = super::root_of(state) else { return };
    if let Some(notices) = root.variables().notices() {
        notices.deprecate(text(), None);
    }
}

/// Text that counts as escaped; a result that is some is warned of.
pub(super) fn markup(state: &State<'_, '_>, text: String) -> Jinja {
    if let Some(root) = super::root_of(state)
        && let Some(notices) = root.variables().notices()
    {
        notices.made_markup();
    }
    Jinja::from_safe_string(text)
}

/// An error that says `message`.
pub(super) fn fail(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// The engine's own error about something undefined, which names it.
pub(super) fn undefined(state: &mut State<'_, '_>, value: &Jinja) -> Error {
    if value.kind() == ValueKind::Invalid
        && let Err(carried) = Value::from_jinja(value)
    {
        return carried;
    }
    match state.format(value.clone()) {
        Err(error) => error,
        Ok(_) => Error::from(ErrorKind::UndefinedError),
    }
}

/// Whether a value is undefined, or what is an error only where it is used.
pub(super) fn is_missing(value: &Jinja) -> bool {
    matches!(value.kind(), ValueKind::Undefined | ValueKind::Invalid)
}

/// The first undefined value inside a container.
fn undefined_inside(value: &Jinja, depth: usize) -> Option<Jinja> {
    match value.kind() {
        ValueKind::Undefined => Some(value.clone()),
        ValueKind::Seq | ValueKind::Iterable if depth < 50 => {
            value.try_iter().ok()?.find_map(|item| undefined_inside(&item, depth + 1))
        }
        ValueKind::Map if depth < 50 => value
            .try_iter()
            .ok()?
            .filter_map(|key| value.get_item(&key).ok())
            .find_map(|item| undefined_inside(&item, depth + 1)),
        _ => None,
    }
}

/// What Python calls a value's type.
pub(super) fn type_name(value: &Jinja) -> &'static str {
    match value.kind() {
        ValueKind::Undefined => "Undefined",
        ValueKind::None => "NoneType",
        ValueKind::Bool => "bool",
        ValueKind::Number if value.is_integer() => "int",
        ValueKind::Number => "float",
        ValueKind::String => "str",
        ValueKind::Bytes => "bytes",
        ValueKind::Seq if value.is_tuple() => "tuple",
        ValueKind::Seq | ValueKind::Iterable => "list",
        ValueKind::Map => "dict",
        _ => super::time::kind(value).unwrap_or("object"),
    }
}

/// What Python calls a type by that name inside a filter: the reference's lists and dictionaries are its own there.
pub(super) fn inner(name: &'static str) -> &'static str {
    match name {
        "list" => "_AnsibleLazyTemplateList",
        "dict" => "_AnsibleLazyTemplateDict",
        other => other,
    }
}

/// What Python calls the type of the engine's value inside a filter.
pub(super) fn inner_type(value: &Jinja) -> &'static str {
    inner(type_name(value))
}

/// The same with the module that it is of.
pub(super) fn inner_class(name: &'static str) -> String {
    let module = if inner(name) == name { "" } else { "ansible._internal._templating._lazy_containers." };
    format!("{module}{}", inner(name))
}

/// What Python goes through in the engine's value, which must be something to go through.
pub(super) fn each(value: &Jinja) -> Result<impl Iterator<Item = Result<Jinja, Error>> + use<>, Error> {
    if matches!(value.kind(), ValueKind::None | ValueKind::Number | ValueKind::Bool) {
        return Err(fail(format!("'{}' object is not iterable", type_name(value))));
    }
    Ok(value.try_iter()?.checked())
}

/// A call under way: its arguments by the place of their parameter.
pub(super) struct Call<'c, 't, 'e> {
    /// The engine's state.
    pub state: &'c mut State<'t, 'e>,
    name: &'static str,
    names: Vec<&'static str>,
    bound: Vec<Option<Jinja>>,
    /// What `*rest` took.
    pub rest: Vec<Jinja>,
    /// What `**more` took.
    pub more: Vec<(String, Jinja)>,
}

/// Among the parameters: those before are by place alone, so that one of `**more` may have such a name.
const POSITIONAL: &str = "/";

impl<'c, 't, 'e> Call<'c, 't, 'e> {
    fn bind(spec: &Spec, state: &'c mut State<'t, 'e>, args: &[Jinja]) -> Result<Self, Error> {
        let (positional, named) = match args.split_last() {
            Some((last, before)) if last.is_kwargs() => (before, Some(last)),
            _ => (args, None),
        };
        let params: Vec<&'static str> =
            spec.params.iter().copied().filter(|p| !p.starts_with('*') && *p != POSITIONAL).collect();
        let takes =
            |what: &str| spec.params.iter().any(|p| p.starts_with('*') && p.starts_with("**") == (what == "**"));
        let name = spec.names.first().copied().unwrap_or_default();
        if positional.len() > params.len() && !takes("*") {
            let message = format!("{name}() takes at most {} arguments, got {}", params.len(), positional.len());
            return Err(fail(message));
        }
        let mut bound: Vec<Option<Jinja>> = vec![None; params.len()];
        let mut rest = Vec::new();
        for (i, arg) in positional.iter().enumerate() {
            match bound.get_mut(i) {
                Some(place) => *place = Some(arg.clone()),
                None => rest.push(arg.clone()),
            }
        }
        let mut more = Vec::new();
        if let Some(named) = named {
            let (kwargs,): (Kwargs,) = from_args(std::slice::from_ref(named))?;
            for key in kwargs.args() {
                let value: Jinja = kwargs.peek(key)?;
                match params.iter().position(|p| *p == key && !spec.params.contains(&POSITIONAL)) {
                    Some(at) if bound[at].is_some() => {
                        return Err(fail(format!("{name}() got multiple values for argument '{key}'")));
                    }
                    Some(at) => bound[at] = Some(value),
                    None if takes("**") => more.push((key.to_owned(), value)),
                    None => return Err(fail(format!("{name}() got an unexpected keyword argument '{key}'"))),
                }
            }
        }
        let mut all = bound.iter().flatten().chain(&rest).chain(more.iter().map(|(_, v)| v));
        if !spec.lenient
            && let Some(missing) = all.find(|v| v.is_undefined())
        {
            return Err(undefined(state, missing));
        }
        Ok(Self { state, name, names: params, bound, rest, more })
    }

    /// The argument at a place, when there is one.
    pub fn arg(&self, at: usize) -> Option<&Jinja> {
        self.bound.get(at)?.as_ref()
    }

    /// The argument at a place, which must be there.
    pub fn need(&self, at: usize) -> Result<&Jinja, Error> {
        self.arg(at).ok_or_else(|| {
            let missing: Vec<&str> =
                (at..self.bound.len()).take(1).filter_map(|at| self.names.get(at)).copied().collect();
            fail(format!("{}() missing 1 required positional argument: '{}'", self.name, missing.concat()))
        })
    }

    /// The argument at a place as a value, which must be there and wholly defined.
    pub fn value(&self, at: usize) -> Result<Value, Error> {
        Value::from_jinja(self.need(at)?)
    }

    /// The argument at a place as a value, unless it is missing or `none`.
    pub fn option(&self, at: usize) -> Result<Option<Value>, Error> {
        match self.arg(at) {
            Some(value) if !value.is_none() => Value::from_jinja(value).map(Some),
            _ => Ok(None),
        }
    }

    /// The argument at a place as text, whatever it is; `none` is the word `None`.
    pub fn text(&self, at: usize) -> Result<String, Error> {
        super::python::text_of(self.need(at)?)
    }

    /// The argument at a place as text, unless it is missing or `none`.
    pub fn text_option(&self, at: usize) -> Result<Option<String>, Error> {
        Ok(self.option(at)?.map(|v| v.to_text()))
    }

    /// The argument at a place as Python's truth, or `default` when it is missing.
    pub fn flag(&self, at: usize, default: bool) -> bool {
        self.arg(at).map_or(default, Jinja::is_true)
    }

    /// The argument at a place as a whole number, or `default` when it is missing or `none`.
    pub fn int(&self, at: usize, default: i64) -> Result<i64, Error> {
        match self.option(at)? {
            None => Ok(default),
            Some(value) => to_int(&value),
        }
    }

    /// The argument at a place as what Python counts by, or `default` when it is missing.
    pub fn index(&self, at: usize, default: i64) -> Result<i64, Error> {
        match self.arg(at).map(Value::from_jinja).transpose()? {
            None => Ok(default),
            Some(Value::Int(number)) => Ok(number),
            Some(Value::Bool(flag)) => Ok(i64::from(flag)),
            Some(other) => {
                let got = inner(super::python_type(&other));
                Err(fail(format!("'{got}' object cannot be interpreted as an integer")))
            }
        }
    }

    /// The items of an argument, which must be something to go through.
    pub fn items(&self, at: usize) -> Result<Vec<Value>, Error> {
        items(&self.value(at)?)
    }

    /// What `**more` took, as values.
    pub fn more(&self) -> Result<Map, Error> {
        self.more.iter().map(|(k, v)| Ok((k.as_str().into(), Value::from_jinja(v)?))).collect()
    }
}

/// What Python goes through in a value: items, keys or characters.
pub(super) fn items(value: &Value) -> Result<Vec<Value>, Error> {
    Ok(match value {
        Value::List(items) => items.to_vec(),
        Value::Map(map) => map.keys().map(crate::value::Key::to_value).collect(),
        Value::Str(text) => text.as_str().chars().map(|c| Value::from(c.to_string())).collect(),
        other => return Err(fail(format!("'{}' object is not iterable", super::python_type(other)))),
    })
}

/// Python's `int(value)`.
pub(super) fn to_int(value: &Value) -> Result<i64, Error> {
    match value {
        Value::Bool(b) => Ok(i64::from(*b)),
        Value::Int(i) => Ok(*i),
        Value::Float(f) if f.is_finite() => Ok(f.trunc() as i64),
        Value::Str(s) => s.as_str().trim().replace('_', "").parse().map_err(|_| {
            fail(format!(
                "invalid literal for int() with base 10: {}",
                Value::list(vec![value.clone()]).to_text().trim_matches(['[', ']'])
            ))
        }),
        other => Err(fail(format!(
            "int() argument must be a string, a bytes-like object or a real number, not '{}'",
            super::python_type(other)
        ))),
    }
}

/// Python's `float(value)`.
pub(super) fn to_float(value: &Value) -> Result<f64, Error> {
    match value {
        Value::Bool(b) => Ok(f64::from(u8::from(*b))),
        Value::Int(i) => Ok(*i as f64),
        Value::Float(f) => Ok(*f),
        Value::Str(s) => s
            .as_str()
            .trim()
            .parse()
            .map_err(|_| fail(format!("could not convert string to float: {}", super::python::quoted(s.as_str())))),
        other => Err(fail(format!(
            "float() argument must be a string or a real number, not '{}'",
            super::python_type(other)
        ))),
    }
}
