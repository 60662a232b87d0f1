//! Filters of one value: `bool`, `default`, `mandatory`, `ternary`, `type_debug`.

use minijinja::{Error, ErrorKind, Value as Jinja};

use crate::template::call::{Call, Spec, ansible, deprecate, fail, is_missing, type_name, undefined};
use crate::template::error::Mandatory;
use crate::template::python;
use crate::value::Value;

pub(super) const FILTERS: &[Spec] = &[
    ansible(&["bool"], &["value"], to_bool),
    ansible(&["default", "d"], &["value", "default_value", "boolean"], default).lenient(),
    ansible(&["mandatory"], &["a", "msg"], mandatory).lenient(),
    ansible(&["ternary"], &["value", "true_val", "false_val", "none_val"], ternary).lenient(),
    ansible(&["type_debug"], &["value"], type_debug).lenient(),
    // The reference's own targets have it: a value wholly evaluated.
    ansible(&["ansible._protomatter.finalize"], &["value"], |c| Ok(c.value(0)?.to_jinja())),
];

/// Words for yes make `true`, everything else `false`, though what is no word for either will not be taken for ever.
fn to_bool(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.value(0)?;
    let (verdict, known) = match &value {
        Value::Bool(b) => (*b, true),
        Value::Int(i) => (*i == 1, matches!(i, 0 | 1)),
        Value::Float(f) => (*f == 1.0, false),
        Value::Str(s) => match s.as_str().to_lowercase().as_str() {
            "yes" | "on" | "1" | "true" => (true, true),
            "no" | "off" | "0" | "false" => (false, true),
            _ => (false, false),
        },
        _ => (false, false),
    };
    if !known {
        deprecate(call.state, || {
            let (shown, kind) = (python::repr(&value), crate::template::python_type(&value));
            let verdict = if verdict { "True" } else { "False" };
            format!("The `bool` filter coerced invalid value {shown} ({kind}) to {verdict}.")
        });
    }
    Ok(Jinja::from(verdict))
}

fn default(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.need(0)?;
    let boolean = call.flag(2, false);
    let value = value.clone();
    let missing =
        value.is_undefined() || is_missing(&value) && undefined(call.state, &value).kind() == ErrorKind::UndefinedError;
    if !missing && (!boolean || value.is_true()) {
        return Ok(value);
    }
    Ok(call.arg(1).cloned().unwrap_or_else(|| Jinja::from("")))
}

fn mandatory(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.need(0)?.clone();
    if !value.is_undefined() {
        return Ok(value);
    }
    if let Some(message) = call.text_option(1)? {
        return Err(fail(message));
    }
    Err(undefined(call.state, &value).with_source(Mandatory))
}

fn ternary(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.need(0)?.clone();
    // Of the others only the one that is chosen must be defined.
    let chosen = if is_missing(&value) {
        value
    } else {
        match call.arg(3) {
            Some(none_val) if value.is_none() && !none_val.is_none() => none_val.clone(),
            _ => call.need(if value.is_true() { 1 } else { 2 })?.clone(),
        }
    };
    if is_missing(&chosen) {
        return Err(undefined(call.state, &chosen));
    }
    Ok(chosen)
}

fn type_debug(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.need(0)?;
    Ok(Jinja::from(if is_missing(value) { "UndefinedMarker" } else { type_name(value) }))
}
