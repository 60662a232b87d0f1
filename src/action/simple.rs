//! Actions that are answered here: `assert`, `fail`, `set_fact`.

use super::{ActionContext, ActionError, flag, text};
use crate::value::{Map, Value};

/// Arguments as the check before evaluation wants them.
pub(super) fn opaque_templates(args: &Map) -> Map {
    let unknown = || Value::from_json(&rplay_worker::args::opaque());
    args.iter().map(|(k, v)| (k.clone(), if v.has_templates() { unknown() } else { v.clone() })).collect()
}

/// `assert`: fails unless all conditions hold.
pub(super) fn assert(ctx: &ActionContext<'_>, args: &Map) -> Result<Map, ActionError> {
    ctx.check_args(ctx.module, &opaque_templates(args))?;
    let message = |names: &[&str]| -> Result<Option<Value>, ActionError> {
        let found = names.iter().find_map(|name| args.get(*name));
        Ok(found.map(|value| ctx.templar.value(value)).transpose()?.filter(|v| !matches!(v, Value::Null | Value::Omit)))
    };
    let that = match args.get("that") {
        // A template within a constant of an expression is part of the condition.
        Some(Value::Str(text)) if text.is_template() && text.as_str().trim_start().starts_with('{') => {
            match ctx.templar.string(text)? {
                Value::List(items) => items.to_vec(),
                other => vec![other],
            }
        }
        Some(Value::List(items)) => items.to_vec(),
        Some(other) => vec![other.clone()],
        None => return Err(ActionError::failed("conditional required in \"that\" string")),
    };
    let quiet = args.get("quiet").and_then(Value::to_bool).unwrap_or(false);
    let mut out = Map::new();
    for condition in &that {
        if ctx.templar.condition(condition)? {
            continue;
        }
        let msg = message(&["fail_msg", "msg"])?.unwrap_or_else(|| Value::from("Assertion failed"));
        if !quiet {
            out.insert("assertion".into(), Value::from_json(&condition.to_json()));
            out.insert("evaluated_to".into(), Value::Bool(false));
        }
        out.insert("msg".into(), msg);
        return Err(ActionError::Failed(out));
    }
    let msg = message(&["success_msg"])?.unwrap_or_else(|| Value::from("All assertions passed"));
    out.insert("msg".into(), msg);
    out.insert("changed".into(), Value::Bool(false));
    Ok(out)
}

/// `fail`: fails with a message.
pub(super) fn fail(args: &Map) -> ActionError {
    ActionError::failed(text(args, "msg").unwrap_or_else(|| "Failed as requested from task".to_owned()))
}

/// `set_fact`: keeps values under names.
pub(super) fn set_fact(mut args: Map) -> Result<Map, ActionError> {
    let cacheable = flag(&args, "cacheable", false);
    args.shift_remove("cacheable");
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
            return Err(ActionError::failed(format!("Task failed: Invalid variable name '{shown}'{kind}.")));
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
        _ => return Err(ActionError::failed("The 'data' option needs to be a dictionary/hash")),
    };
    if let Some(wrong) = data.keys().find(|key| !key.as_str().is_some_and(crate::value::is_variable_name)) {
        return Err(ActionError::failed(format!("Task failed: Invalid variable name '{wrong}'.")));
    }
    let mut stats = Map::new();
    stats.insert("data".into(), Value::Map(data));
    stats.insert("per_host".into(), Value::Bool(flag(args, "per_host", false)));
    stats.insert("aggregate".into(), Value::Bool(flag(args, "aggregate", true)));
    Ok(Map::from_iter([("changed".into(), Value::Bool(false)), ("ansible_stats".into(), Value::map(stats))]))
}
