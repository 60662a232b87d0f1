//! Actions that are answered here: `assert`, `fail`, `set_fact`.

use super::{ActionContext, ActionError, WHOLE, flag};
use crate::template::TemplateError;
use crate::value::{Map, Value};

/// Arguments as the check before evaluation wants them.
pub(super) fn opaque_templates(args: &Map) -> Map {
    let unknown = || Value::from_json(&rplay_worker::args::opaque());
    args.iter().map(|(k, v)| (k.clone(), if v.has_templates() { unknown() } else { v.clone() })).collect()
}

/// `assert`: fails unless all conditions hold.
pub(super) fn assert(ctx: &ActionContext<'_>, args: &Map) -> Result<Map, ActionError> {
    ctx.check_args(ctx.module, &opaque_templates(args))?;
    let (said, passed) = (
        message(ctx, "fail_msg", args.get("fail_msg").or_else(|| args.get("msg")))?,
        message(ctx, "success_msg", args.get("success_msg"))?,
    );
    let that = match args.get("that") {
        // A template within a constant of an expression is part of the condition.
        Some(Value::Str(text)) if text.is_template() && text.as_str().trim_start().starts_with('{') => {
            match ctx.templar.string(text).map_err(TemplateError::of_condition)? {
                Value::List(items) => items.to_vec(),
                _ => vec![Value::Str(text.clone())],
            }
        }
        Some(Value::List(items)) => items.to_vec(),
        Some(other) => vec![other.clone()],
        None => return Err(ActionError::failed("conditional required in \"that\" string")),
    };
    let quiet = args.get("quiet").map(|value| ctx.templar.value(value)).transpose()?;
    let mut out = Map::from_iter([("changed".into(), Value::Bool(false))]);
    if !quiet.and_then(|value| value.to_bool()).unwrap_or(false) {
        out.insert(WHOLE.into(), Value::Bool(true));
    }
    for condition in &that {
        if ctx.templar.condition(condition).map_err(TemplateError::of_condition)? {
            continue;
        }
        out.insert("assertion".into(), condition.clone());
        out.insert("evaluated_to".into(), Value::Bool(false));
        out.insert("msg".into(), said.unwrap_or_else(|| Value::from("Assertion failed")));
        return Err(ActionError::Failed(out));
    }
    out.insert("msg".into(), passed.unwrap_or_else(|| Value::from("All assertions passed")));
    Ok(out)
}

/// One of `assert`'s messages: text, or a list of it.
fn message(ctx: &ActionContext<'_>, name: &str, value: Option<&Value>) -> Result<Option<Value>, ActionError> {
    let Some(value) = value else { return Ok(None) };
    let is_text = |value: &Value| matches!(value, Value::Str(_));
    match ctx.templar.value(value)? {
        Value::Omit => Ok(None),
        value @ Value::Str(_) => Ok(Some(value)),
        Value::List(items) if items.iter().all(is_text) => Ok(Some(Value::List(items))),
        other => Err(ActionError::failed(format!(
            "argument '{name}' is of type {} and we were unable to convert to str_or_list_of_str: a string or list of \
             strings is required",
            crate::template::python_type(&other)
        ))),
    }
}

/// `fail`: fails with a message.
pub(super) fn fail(args: &Map) -> ActionError {
    let msg = args.get("msg").cloned().unwrap_or_else(|| Value::from("Failed as requested from task"));
    ActionError::Failed(Map::from_iter([("msg".into(), msg)]))
}

/// What is said of a name that no variable can have.
fn no_name(name: &str, kind: &str, place: Option<crate::source::Span>) -> ActionError {
    TemplateError::message(format!("{}{name}'{kind}.", crate::engine::NO_NAME), place).into()
}

/// `set_fact`: keeps values under names.
pub(super) fn set_fact(mut args: Map) -> Result<Map, ActionError> {
    let cacheable = match args.shift_remove("cacheable") {
        Some(value) => value.to_bool().ok_or_else(|| {
            ActionError::failed(format!(
                "Task failed: The value '{}' is not a valid boolean. Valid booleans include: 0, 1, '0', '1', 'f', 'false', \
                 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'",
                value.to_text()
            ))
        })?,
        None => false,
    };
    if args.is_empty() {
        return Err(ActionError::failed(
            "No key/value pairs provided, at least one is required for this action to succeed",
        ));
    }
    for key in args.keys() {
        let name = key.as_str().filter(|name| crate::value::is_variable_name(name));
        if name.is_none() {
            let (shown, kind) = match key.to_value() {
                Value::Str(text) => (text.as_str().to_owned(), String::new()),
                other => (other.to_text(), format!(" of type '{}'", crate::template::python_type(&other))),
            };
            return Err(no_name(&shown, &kind, key.to_value().origin()));
        }
    }
    let mut out = Map::new();
    out.insert("ansible_facts".into(), Value::map(args));
    out.insert("_ansible_facts_cacheable".into(), Value::Bool(cacheable));
    out.insert("changed".into(), Value::Bool(false));
    Ok(out)
}

/// `set_stats`: values for the end of the run.
pub(super) fn set_stats(args: &Map) -> Result<Map, ActionError> {
    let data = match args.get("data") {
        Some(Value::Map(data)) => data.clone(),
        None => Map::new().into(),
        _ => return Err(ActionError::told("The 'data' option needs to be a dictionary/hash")),
    };
    if let Some(wrong) = data.keys().find(|key| !key.as_str().is_some_and(crate::value::is_variable_name)) {
        return Err(no_name(&wrong.to_string(), "", wrong.to_value().origin()));
    }
    let mut stats = Map::new();
    stats.insert("data".into(), Value::Map(data));
    stats.insert("per_host".into(), Value::Bool(flag(args, "per_host", false)));
    stats.insert("aggregate".into(), Value::Bool(flag(args, "aggregate", true)));
    Ok(Map::from_iter([("changed".into(), Value::Bool(false)), ("ansible_stats".into(), Value::map(stats))]))
}
