//! YAML: `to_yaml`, `to_nice_yaml`, `from_yaml`, `from_yaml_all`.

use std::sync::Arc;

use minijinja::{Error, Value as Jinja};

use super::canonical;
use super::emitter::{Emitter, Options};
use crate::source;
use crate::template::call::{Call, Spec, ansible, fail, to_int};
use crate::template::{root_of, truthy};
use crate::value::{Str, Value};
use crate::vault::{Secrets, Vaulted};

pub(super) const FILTERS: &[Spec] = &[
    ansible(&["to_yaml"], &["a", "*rest", "**options"], to_yaml),
    ansible(&["to_nice_yaml"], &["a", "indent", "*rest", "**options"], to_nice_yaml),
    ansible(&["community.general.to_yaml"], &["a", "**options"], |c| general(c, Options::default())),
    ansible(&["community.general.to_nice_yaml"], &["a", "**options"], |c| {
        general(c, Options { flow: Some(false), ..Options::default() })
    }),
    ansible(&["from_yaml"], &["data"], from_yaml),
    ansible(&["from_yaml_all"], &["data"], from_yaml_all),
];

fn options(call: &Call<'_, '_, '_>, options: &mut Options) -> Result<(), Error> {
    for (key, value) in call.more()? {
        let number = || to_int(&value);
        match key.as_str().unwrap_or_default() {
            "indent" if !value.is_null() => options.indent = number()?,
            "width" if !value.is_null() => options.width = number()?,
            "sort_keys" => options.sort_keys = truthy(&value),
            "default_flow_style" => options.flow = if value.is_null() { None } else { Some(truthy(&value)) },
            "explicit_start" => options.explicit_start = truthy(&value),
            "explicit_end" => options.explicit_end = truthy(&value),
            "allow_unicode" => options.unicode = truthy(&value),
            "canonical" => options.canonical = truthy(&value),
            "default_style" => options.style = value.as_str().and_then(|s| s.chars().next()),
            "indent" | "width" | "encoding" | "line_break" | "dump_vault_tags" => {}
            other => return Err(fail(format!("dump_all() got an unexpected keyword argument '{other}'"))),
        }
    }
    Ok(())
}

/// A value as reports show it: YAML in block style, text of several lines as it is.
#[must_use]
pub fn to_report_yaml(value: &Value) -> String {
    Emitter::dump(value, Options { indent: 4, flow: Some(false), literal: true, ..Options::default() })
}

/// What is written: values that were decrypted are written as they are encrypted.
fn value(call: &Call<'_, '_, '_>) -> Result<Value, Error> {
    let value = call.value(0)?;
    match root_of(call.state).map(|root| root.variables().vault()) {
        Some(vault) if vault.has_decrypted() && !matches!(value, Value::Str(_)) => Ok(encrypted(&value, &vault)),
        _ => Ok(value),
    }
}

fn encrypted(value: &Value, vault: &Arc<Secrets>) -> Value {
    match value {
        Value::Str(text) => match vault.origin_of(&text.shared()) {
            Some(ciphertext) => Value::Str(Str::vaulted(Vaulted::new(ciphertext, vault.clone()), None, false)),
            None => value.clone(),
        },
        Value::List(items) => Value::list(items.iter().map(|item| encrypted(item, vault)).collect()),
        Value::Map(map) => Value::map(map.iter().map(|(k, v)| (k.clone(), encrypted(v, vault))).collect()),
        other => other.clone(),
    }
}

/// A value as `yaml.dump` writes it in block style with sorted keys.
#[must_use]
pub fn dump(value: &Value) -> String {
    Emitter::dump(value, Options { flow: Some(false), ..Options::default() })
}

fn written(value: &Value, settings: Options) -> String {
    if settings.canonical { canonical::dump(value, &settings) } else { Emitter::dump(value, settings) }
}

fn to_yaml(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let mut settings = Options::default();
    no_unicode(call)?;
    options(call, &mut settings)?;
    Ok(Jinja::from(written(&value(call)?, settings)))
}

/// Refuses the option that the filters set themselves.
fn no_unicode(call: &Call<'_, '_, '_>) -> Result<(), Error> {
    match call.more.iter().any(|(name, _)| name == "allow_unicode") {
        true => Err(fail("yaml.dump() got multiple values for keyword argument 'allow_unicode'")),
        false => Ok(()),
    }
}

fn to_nice_yaml(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    no_unicode(call)?;
    let mut settings = Options { indent: call.int(1, 4)?, flow: Some(false), ..Options::default() };
    options(call, &mut settings)?;
    Ok(Jinja::from(written(&value(call)?, settings)))
}

/// The same as the collection has it: encrypted values are written as the text they hold, or not shown.
fn general(call: &mut Call<'_, '_, '_>, mut settings: Options) -> Result<Jinja, Error> {
    let redact = call.more.iter().position(|(name, _)| name == "redact_sensitive_values");
    let redact = redact.is_some_and(|at| call.more.remove(at).1.is_true());
    no_unicode(call)?;
    options(call, &mut settings)?;
    let value = call.value(0)?;
    let vault = root_of(call.state).map(|root| root.variables().vault()).filter(|vault| vault.has_decrypted());
    Ok(Jinja::from(match vault.filter(|_| redact) {
        Some(vault) => written(&redacted(&value, &vault), settings),
        None => written(&value, settings),
    }))
}

/// A value without what was encrypted in it.
fn redacted(value: &Value, vault: &Secrets) -> Value {
    match value {
        Value::Str(text) if vault.origin_of(&text.shared()).is_some() => Value::from("<redacted>"),
        Value::List(items) => Value::list(items.iter().map(|item| redacted(item, vault)).collect()),
        Value::Map(map) => Value::map(map.iter().map(|(k, v)| (k.clone(), redacted(v, vault))).collect()),
        other => other.clone(),
    }
}

/// A value in blocks, indented by two.
pub(in crate::template) fn nice(value: &Value) -> String {
    Emitter::dump(value, Options { indent: 2, flow: Some(false), ..Options::default() })
}

/// A value from text that is YAML: data, and without places.
pub(in crate::template) fn read(text: &str) -> Result<Value, Error> {
    let node = source::load_text("<unicode string>", None, text.to_owned())
        .map_err(|e| fail(e.message.trim_start_matches("this is not YAML: ")))?;
    Ok(node.map_or(Value::Null, |node| Value::from_json(&node.to_value().to_json())))
}

fn from_yaml(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    match call.value(0)? {
        Value::Str(text) => Ok(read(text.as_str())?.to_jinja()),
        // As in the reference: what is not text is taken to have been read already.
        other => Ok(other.to_jinja()),
    }
}

fn from_yaml_all(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let text = match call.value(0)? {
        Value::Str(text) => text,
        Value::Null => return Ok(Value::list(Vec::new()).to_jinja()),
        _ => return Ok(call.need(0)?.clone()),
    };
    let mut documents: Vec<String> = Vec::new();
    let mut under_way = String::new();
    let mut any = false;
    for line in text.as_str().split_inclusive('\n') {
        let starts = line == "---" || line.starts_with("---\n") || line.starts_with("--- ");
        if starts && any {
            documents.push(std::mem::take(&mut under_way));
        }
        any |= starts || !line.trim().is_empty();
        under_way.push_str(line);
    }
    if any {
        documents.push(under_way);
    }
    let values = documents.iter().map(|d| read(d)).collect::<Result<Vec<_>, _>>()?;
    Ok(Value::list(values).to_jinja())
}
