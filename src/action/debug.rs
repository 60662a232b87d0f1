//! `debug`: shows a message, or what an expression comes to.

use super::simple::opaque_templates;
use super::{ActionContext, ActionError, WHOLE};
use crate::template::{TemplateError, UNTRUSTED, python_type};
use crate::value::{Key, Map, Str, Value};

const OMITTED: &str = "The result of the `var` expression could not be omitted; a placeholder was used instead.";

pub(super) fn debug(ctx: &ActionContext<'_>, args: &Map) -> Result<Map, ActionError> {
    ctx.check_args(ctx.module, &opaque_templates(args))?;
    let mut out = Map::new();
    let (var, msg) = (given(ctx, args, "var")?, given(ctx, args, "msg")?);
    if var.is_some() && msg.is_some() {
        return Err(ActionError::failed("parameters are mutually exclusive: msg|var"));
    }
    let verbosity = args.get("verbosity").map(|v| ctx.templar.value(v)).transpose()?;
    let verbosity = verbosity.and_then(|v| v.to_text().trim().parse::<u8>().ok()).unwrap_or(0);
    if verbosity > ctx.world.info.verbosity {
        // What is not shown has to be right even so.
        if let Some(msg) = msg {
            ctx.evaluate(Map::from_iter([("msg".into(), msg.clone())]))?;
        }
        out.insert("skipped_reason".into(), Value::from("Verbosity threshold not met."));
        out.insert("skipped".into(), Value::Bool(true));
        out.insert("failed".into(), Value::Bool(false));
        return Ok(out);
    }
    match (var, msg) {
        (Some(var), _) => show(ctx, var, &mut out)?,
        (None, Some(msg)) => {
            out.insert("msg".into(), Value::from("Hello world!"));
            out.extend(ctx.evaluate(Map::from_iter([("msg".into(), msg.clone())]))?);
        }
        (None, None) => drop(out.insert("msg".into(), Value::from("Hello world!"))),
    }
    if tells_untrusted(ctx)
        && let Some(warning) = out.values().find_map(untrusted).map(about)
    {
        out.insert("warnings".into(), Value::list(vec![warning.into()]));
    }
    out.insert(WHOLE.into(), Value::Bool(true));
    Ok(out)
}

/// Whether to tell of texts that look like templates and are none (`_TEMPLAR_UNTRUSTED_TEMPLATE_BEHAVIOR`).
fn tells_untrusted(ctx: &ActionContext<'_>) -> bool {
    let settings = ctx.templar.variables().settings();
    settings.get("_TEMPLAR_UNTRUSTED_TEMPLATE_BEHAVIOR").is_some_and(|s| s.value.as_str() == Some("warning"))
}

/// A text that looks like a template and is none.
fn untrusted(value: &Value) -> Option<&Str> {
    match value {
        Value::Str(text) if !text.is_trusted() && crate::value::holds_jinja(text.as_str()) => Some(text),
        Value::List(items) => items.iter().find_map(untrusted),
        Value::Map(map) => map.values().find_map(untrusted),
        _ => None,
    }
}

fn about(text: &Str) -> String {
    let place = text.origin().map(|span| format!("\nOrigin: {}\n", span.location())).unwrap_or_default();
    format!(
        "{UNTRUSTED}{place}\n{}\n\nTemplates and expressions must be defined by trusted sources such as playbooks or roles, \
         not untrusted sources such as module results.",
        text.as_str()
    )
}

/// An argument, as it is written; a template that comes to `omit` is none.
fn given<'a>(ctx: &ActionContext<'_>, args: &'a Map, name: &str) -> Result<Option<&'a Value>, ActionError> {
    let Some(value) = args.get(name) else { return Ok(None) };
    let maybe = value.as_str().is_some_and(|text| text.contains("omit"));
    if maybe && matches!(ctx.templar.value(value)?, Value::Omit) {
        return Ok(None);
    }
    if name == "var" && value.as_str() == Some("") {
        // Nothing is no expression.
        return Ok(None);
    }
    Ok(Some(value))
}

/// `var`: an expression under its own text.
fn show(ctx: &ActionContext<'_>, var: &Value, out: &mut Map) -> Result<(), ActionError> {
    let name = match var {
        Value::Str(name) if name.is_template() => ctx.templar.string(name)?,
        other => other.clone(),
    };
    match &name {
        Value::Str(expression) => {
            let value = result(ctx, expression)?;
            out.insert(Key::from(expression.as_str()), value);
        }
        other @ (Value::Map(_) | Value::List(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_)) => {
            return Err(ActionError::failed(format!(
                "argument 'var' is of type {} and we were unable to convert to \
                 _check_type_str_no_conversion: '{}' is not a string and conversion is not allowed",
                python_type(other),
                other.to_text()
            )));
        }
        other => drop(out.insert(Key::from(other.to_text()), other.clone())),
    }
    Ok(())
}

/// What an expression comes to; in the place of what is not there, a word and a warning.
fn result(ctx: &ActionContext<'_>, expression: &Str) -> Result<Value, ActionError> {
    if !expression.is_trusted() {
        let message = format!("Error while resolving `var` expression: {UNTRUSTED}");
        return Err(TemplateError::message(message, expression.origin()).into());
    }
    let (shown, warnings) = match ctx.templar.shown_expression(expression) {
        Ok((Value::Omit, _)) => ("<<Omit>>".into(), vec![(OMITTED.to_owned(), expression.origin())]),
        Ok((value, troubles)) if troubles.is_empty() => return Ok(value),
        Ok((value, troubles)) => (value, troubles.into_iter().map(|trouble| (trouble.message, trouble.span)).collect()),
        Err(mut error) => {
            let message = error.message.replace("rendering template", "rendering expression");
            error.message = format!("Error while resolving `var` expression: {message}");
            return Err(error.into());
        }
    };
    if let Some(notices) = ctx.templar.variables().notices() {
        warnings.into_iter().for_each(|(warning, place)| notices.warn(warning, place));
    }
    Ok(shown)
}
