//! Tests of values: patterns, sets, truth, URLs, and Jinja's own that the engine lacks.

use minijinja::tests as engine;
use minijinja::value::ValueKind;
use minijinja::{Error, State, Value as Jinja};

use crate::template::call::{Call, Spec, ansible, fail, inner, inner_type, is_missing};
use crate::template::filters::urls;
use crate::template::regex::{Flags, Pattern};
use crate::template::{compare, operators, python, python_type};
use crate::value::Value;

pub(super) const TESTS: &[Spec] = &[
    ansible(&["match"], &["value", "pattern", "ignorecase", "multiline"], |c| regex(c, Some("match"))),
    ansible(&["search"], &["value", "pattern", "ignorecase", "multiline"], |c| regex(c, Some("search"))),
    ansible(&["regex"], &["value", "pattern", "ignorecase", "multiline", "match_type"], |c| regex(c, None)),
    ansible(&["defined"], &["value"], |c| Ok(Jinja::from(!is_missing(c.need(0)?)))).lenient(),
    ansible(&["undefined"], &["value"], |c| Ok(Jinja::from(is_missing(c.need(0)?)))).lenient(),
    ansible(&["any"], &["value"], |c| Ok(Jinja::from(c.items(0)?.iter().any(crate::template::truthy)))),
    ansible(&["all"], &["value"], |c| Ok(Jinja::from(c.items(0)?.iter().all(crate::template::truthy)))),
    ansible(&["truthy"], &["value", "convert_bool"], |c| truth(c).map(Jinja::from)),
    ansible(&["falsy"], &["value", "convert_bool"], |c| Ok(Jinja::from(!truth(c)?))),
    ansible(&["subset", "issubset"], &["a", "b"], |c| {
        let (a, b) = sets(c)?;
        Ok(Jinja::from(a.iter().all(|item| b.contains(item))))
    }),
    ansible(&["superset", "issuperset"], &["a", "b"], |c| {
        let (a, b) = sets(c)?;
        Ok(Jinja::from(b.iter().all(|item| a.contains(item))))
    }),
    ansible(&["filter"], &["name"], |c| named(c, engine::is_filter)),
    ansible(&["test"], &["name"], |c| named(c, engine::is_test)),
    ansible(&["contains"], &["a", "b"], contains),
    ansible(&["nan", "isnan"], &["value"], |c| Ok(Jinja::from(matches!(c.value(0)?, Value::Float(f) if f.is_nan())))),
    ansible(&["uri"], &["value", "schemes"], |c| uri(c, false)),
    ansible(&["url"], &["value", "schemes"], |c| uri(c, true)),
    ansible(&["urn"], &["value"], |c| Ok(Jinja::from(part(&c.text(0)?, "scheme") == "urn"))),
    ansible(&["callable"], &["value"], |c| Ok(Jinja::from(matches!(c.need(0)?.kind(), ValueKind::Plain)))),
    ansible(&["mapping"], &["value"], |c| Ok(Jinja::from(c.need(0)?.kind() == ValueKind::Map))),
    ansible(&["sequence"], &["value"], |c| {
        use ValueKind::{Iterable, Map, Seq, String};
        Ok(Jinja::from(matches!(c.need(0)?.kind(), Iterable | Map | Seq | String)))
    }),
    // The engine's own of these names take something undefined for an answer.
    ansible(&["none"], &["value"], |c| Ok(Jinja::from(c.need(0)?.is_none()))),
    ansible(&["string"], &["value"], |c| Ok(Jinja::from(c.need(0)?.kind() == ValueKind::String))),
    ansible(&["iterable"], &["value"], |c| Ok(Jinja::from(!c.need(0)?.is_none() && c.need(0)?.try_iter().is_ok()))),
    ansible(&["integer"], &["value"], |c| Ok(Jinja::from(engine::is_integer(c.need(0)?)))),
    ansible(&["float"], &["value"], |c| Ok(Jinja::from(engine::is_float(c.need(0)?)))),
    ansible(&["true"], &["value"], |c| Ok(Jinja::from(engine::is_true(c.need(0)?)))),
    ansible(&["false"], &["value"], |c| Ok(Jinja::from(engine::is_false(c.need(0)?)))),
    ansible(&["odd"], &["value"], |c| {
        let rest = operators::modulo(c.need(0)?, &Jinja::from(2), inner_type)?;
        Ok(Jinja::from(rest == Jinja::from(1)))
    }),
    ansible(&["escaped"], &["value"], |c| Ok(Jinja::from(c.need(0)?.is_safe()))),
    ansible(&["even"], &["value"], |c| divides(c.need(0)?, &Jinja::from(2)).map(Jinja::from)),
    ansible(&["lower"], &["value"], |c| Ok(Jinja::from(python::is_cased(&c.text(0)?, false)))),
    ansible(&["upper"], &["value"], |c| Ok(Jinja::from(python::is_cased(&c.text(0)?, true)))),
    ansible(&["sameas"], &["value", "other"], |c| Ok(Jinja::from(engine::is_sameas(c.need(0)?, c.need(1)?)))),
    ansible(&["eq", "equalto", "=="], &["a", "b"], |c| Ok(Jinja::from(engine::is_eq(c.need(0)?, c.need(1)?)))),
    ansible(&["lt", "lessthan", "<"], &["a", "b"], |c| ordered(c, "<")),
    ansible(&["le", "<="], &["a", "b"], |c| ordered(c, "<=")),
    ansible(&["gt", "greaterthan", ">"], &["a", "b"], |c| ordered(c, ">")),
    ansible(&["ge", ">="], &["a", "b"], |c| ordered(c, ">=")),
    ansible(&["in"], &["value", "seq"], |c| {
        let (value, seq) = (c.need(0)?.clone(), c.need(1)?.clone());
        compare::contained(c.state, &value, &seq, inner_type).map(Jinja::from).map_err(fail)
    }),
    ansible(&["ne", "!="], &["a", "b"], |c| Ok(Jinja::from(engine::is_ne(c.need(0)?, c.need(1)?)))),
    ansible(&["boolean"], &["value"], |c| Ok(Jinja::from(c.need(0)?.kind() == ValueKind::Bool))),
    ansible(&["number"], &["value"], |c| {
        Ok(Jinja::from(matches!(c.need(0)?.kind(), ValueKind::Number | ValueKind::Bool)))
    }),
    ansible(&["divisibleby"], &["value", "num"], |c| divides(c.need(0)?, c.need(1)?).map(Jinja::from)),
];

fn regex(call: &mut Call<'_, '_, '_>, kind: Option<&str>) -> Result<Jinja, Error> {
    let flags = Flags { ignorecase: call.flag(2, false), multiline: call.flag(3, false) };
    let pattern = match call.arg(1).map(Value::from_jinja).transpose()? {
        None => String::new(),
        Some(Value::Str(pattern)) => pattern.as_str().to_owned(),
        Some(other @ (Value::List(_) | Value::Map(_))) => {
            return Err(unhashable(&other));
        }
        Some(_) => return Err(fail("first argument must be string or compiled pattern")),
    };
    let text = call.text(0)?;
    let kind = match kind {
        Some(kind) => kind.to_owned(),
        None => call.text_option(4)?.unwrap_or_else(|| "search".to_owned()),
    };
    let pattern = match kind.as_str() {
        "search" => Pattern::new(&pattern, flags)?,
        "match" => {
            // Compiled once as it stands, so that a complaint names the user's own positions.
            Pattern::new(&pattern, flags)?;
            Pattern::new(&format!(r"\A(?:{})", pattern), flags)?
        }
        "fullmatch" => {
            Pattern::new(&pattern, flags)?;
            Pattern::new(&format!(r"\A(?:{})\Z", pattern), flags)?
        }
        other => {
            return Err(fail(format!(
                "Invalid match_type specified. Expected one of: search, match, fullmatch, got {other}"
            )));
        }
    };
    Ok(Jinja::from(pattern.captures(&text, 0)?.is_some()))
}

/// Python's truth, or with `convert_bool` that of the reference's words for yes and no.
fn truth(call: &Call<'_, '_, '_>) -> Result<bool, Error> {
    let value = call.value(0)?;
    if call.flag(1, false)
        && let Value::Str(text) = &value
        && let Some(word) = Value::from(text.as_str()).to_bool()
    {
        return Ok(word);
    }
    Ok(crate::template::truthy(&value))
}

/// Two values by an operator, which Python refuses between values of two kinds.
fn ordered(call: &Call<'_, '_, '_>, operator: &str) -> Result<Jinja, Error> {
    compare::ordered(operator, call.need(0)?, call.need(1)?, inner_type).map(Jinja::from).map_err(fail)
}

/// Whether the one number is a multiple of the other, by Python's `%`, which is also one of text.
fn divides(value: &Jinja, by: &Jinja) -> Result<bool, Error> {
    let rest = operators::modulo(value, by, inner_type)?;
    Ok(rest.kind() == ValueKind::Number && !rest.is_true())
}

/// Whether there is a filter or a test of a name; as in the reference, what is no text counts as one.
fn named(call: &mut Call<'_, '_, '_>, known: fn(&State<'_, '_>, &str) -> bool) -> Result<Jinja, Error> {
    let name = call.value(0)?;
    match &name {
        Value::Str(name) => Ok(Jinja::from(known(call.state, name.as_str()))),
        Value::List(_) | Value::Map(_) => Err(unhashable(&name)),
        _ => Ok(Jinja::from(true)),
    }
}

fn unhashable(value: &Value) -> Error {
    fail(format!("unhashable type: '{}'", inner(python_type(value))))
}

/// The two arguments as sets, which hold neither lists nor dictionaries.
fn sets(call: &Call<'_, '_, '_>) -> Result<(Vec<Value>, Vec<Value>), Error> {
    let set = |at: usize| {
        let given = call.need(at)?;
        if let ValueKind::Seq | ValueKind::Iterable = given.kind()
            && let Some(item) = given.try_iter()?.find_map(|item| not_hashable(&item))
        {
            return Err(unhashable(&Value::from_jinja(&item)?));
        }
        call.items(at)
    };
    Ok((set(0)?, set(1)?))
}

/// What keeps a value out of a set: a tuple may be in one where all may that it holds.
fn not_hashable(value: &Jinja) -> Option<Jinja> {
    match value.kind() {
        ValueKind::Seq if value.is_tuple() => value.try_iter().ok()?.find_map(|item| not_hashable(&item)),
        ValueKind::Map | ValueKind::Seq => Some(value.clone()),
        _ => None,
    }
}

fn contains(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let (within, wanted) = (call.need(0)?.clone(), call.need(1)?.clone());
    compare::contained(call.state, &wanted, &within, inner_type).map(Jinja::from).map_err(fail)
}

/// Python's `urlparse` finds a scheme and a path in anything; with `schemes` the scheme must be one of them, and with `place`
/// there must be a host (or it is a file).
fn uri(call: &mut Call<'_, '_, '_>, place: bool) -> Result<Jinja, Error> {
    let value = call.value(0)?;
    let Some(text) = value.as_str() else { return Ok(Jinja::from(false)) };
    let scheme = part(text, "scheme");
    let allowed = match call.option(1)? {
        None => true,
        Some(Value::List(schemes)) => schemes.is_empty() || schemes.iter().any(|s| s.as_str() == Some(&scheme)),
        Some(one) => one.as_str().is_some_and(|one| one.contains(scheme.as_str())),
    };
    let named = !place || !part(text, "netloc").is_empty() || scheme == "file";
    Ok(Jinja::from(named && allowed))
}

fn part(url: &str, name: &str) -> String {
    urls::parts(url).get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}
