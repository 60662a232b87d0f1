//! `validate_argument_spec`: arguments against a specification, as roles have it in `meta/argument_specs.yml`.

use super::{ActionContext, ActionError};
use crate::template::python_type;
use crate::value::{Map, Value};

pub(super) fn validate(ctx: &ActionContext<'_>, args: &Map) -> Result<Map, ActionError> {
    let empty = Map::new();
    let spec = args.get("argument_spec").and_then(Value::as_map).unwrap_or(&empty);
    let given = args.get("provided_arguments").and_then(Value::as_map);
    let mut errors = Vec::new();
    for (name, options) in spec {
        let name = name.to_string();
        let value = match given {
            Some(given) => given.get(name.as_str()).cloned(),
            None => ctx.templar.variable(&name)?,
        };
        check(&name, options, value.as_ref(), &mut errors);
    }
    let mut out = Map::new();
    out.insert("changed".into(), Value::Bool(false));
    if let Some(context) = args.get("validate_args_context") {
        out.insert("validate_args_context".into(), context.clone());
    }
    if errors.is_empty() {
        out.insert("msg".into(), Value::from("The arg spec validation passed"));
        return Ok(out);
    }
    out.insert("msg".into(), format!("Validation of arguments failed:\n{}", errors.join("\n")).into());
    out.insert("argument_errors".into(), errors.into_iter().collect());
    Err(ActionError::Failed(out))
}

/// Checks one option; what is wrong goes to `errors`.
fn check(name: &str, options: &Value, value: Option<&Value>, errors: &mut Vec<String>) {
    let flag = |key: &str| options.get(key).and_then(Value::to_bool).unwrap_or(false);
    let value = match value {
        None | Some(Value::Null | Value::Omit) => {
            if flag("required") {
                errors.push(format!("missing required arguments: {name}"));
            }
            return;
        }
        Some(value) => value,
    };
    let wanted = options.get("type").map_or_else(|| "str".to_owned(), Value::to_text);
    if !fits(&wanted, value) {
        errors.push(format!(
            "argument '{name}' is of type {} and we were unable to convert to {wanted}",
            python_type(value)
        ));
        return;
    }
    if let Some(choices) = options.get("choices").and_then(Value::as_list) {
        let items: Vec<&Value> = match value {
            Value::List(items) => items.iter().collect(),
            other => vec![other],
        };
        let known = |item: &Value| choices.iter().any(|c| c == item || c.to_text() == item.to_text());
        if let Some(bad) = items.iter().find(|item| !known(item)) {
            let all: Vec<String> = choices.iter().map(Value::to_text).collect();
            errors.push(format!("value of {name} must be one of: {}, got: {}", all.join(", "), bad.to_text()));
        }
    }
    if let (Some(elements), Some(items)) = (options.get("elements").map(Value::to_text), value.as_list()) {
        for item in items.iter().filter(|item| !fits(&elements, item)) {
            errors.push(format!(
                "Elements value for option '{name}' is of type {} and we were unable to convert to {elements}",
                python_type(item)
            ));
        }
    }
    if let Some(inner) = options.get("options").and_then(Value::as_map) {
        let parts: Vec<&Value> = match value {
            Value::List(items) => items.iter().collect(),
            other => vec![other],
        };
        for part in parts {
            inner_options(name, inner, part, errors);
        }
    }
}

fn inner_options(name: &str, spec: &Map, value: &Value, errors: &mut Vec<String>) {
    let Some(map) = value.as_map() else { return };
    for key in map.keys() {
        let key = key.to_string();
        if !spec.contains_key(key.as_str()) {
            let known: Vec<String> = spec.keys().map(ToString::to_string).collect();
            errors.push(format!("{name}.{key}. Supported parameters include: {}.", known.join(", ")));
        }
    }
    for (key, options) in spec {
        let key = key.to_string();
        let mut own = Vec::new();
        check(&key, options, map.get(key.as_str()), &mut own);
        errors.extend(own.into_iter().map(|e| format!("{e} found in {name}")));
    }
}

/// Whether a value is of a type of argument specifications, or can be made one.
fn fits(wanted: &str, value: &Value) -> bool {
    let number = |text: &str| text.trim().parse::<f64>().is_ok();
    match wanted {
        "str" | "path" | "raw" | "jsonarg" | "json" => {
            wanted != "path" || !matches!(value, Value::List(_) | Value::Map(_))
        }
        "bool" => value.to_bool().is_some(),
        "int" => match value {
            Value::Int(_) | Value::Bool(_) => true,
            Value::Float(f) => f.fract() == 0.0,
            Value::Str(s) => s.as_str().trim().parse::<i64>().is_ok(),
            _ => false,
        },
        "float" => match value {
            Value::Int(_) | Value::Float(_) => true,
            Value::Str(s) => number(s.as_str()),
            _ => false,
        },
        "list" => !matches!(value, Value::Map(_)),
        "dict" => match value {
            Value::Map(_) => true,
            Value::Str(s) => s.as_str().contains('=') || s.as_str().trim_start().starts_with('{'),
            _ => false,
        },
        "bytes" | "bits" => matches!(value, Value::Int(_) | Value::Str(_)),
        _ => true,
    }
}
