//! Lookups of what is outside: `env`, `pipe`, `lines`, `config`.

use std::process::{Command, Stdio};

use minijinja::Error;

use super::Lookup;
use crate::config::{plugin_is_known, plugin_setting};
use crate::template::call::{fail, inner};
use crate::template::{python, python_type};
use crate::value::Value;

type Found = Result<Vec<Value>, Error>;

pub(super) fn env(lookup: &Lookup<'_>) -> Found {
    let default = lookup.options.get("default").cloned().unwrap_or_else(|| Value::from(""));
    let of = |term: &Value| {
        let Value::Str(text) = term else {
            return Err(fail(format!("'{}' object has no attribute 'split'", inner(python_type(term)))));
        };
        let name = text.as_str().split_whitespace().next().ok_or_else(|| fail("list index out of range"))?;
        Ok(std::env::var(name).map_or_else(|_| default.clone(), Value::from))
    };
    lookup.terms.iter().map(of).collect()
}

/// What a shell command prints on the controller, run in the nearest directory of the search path.
fn output(lookup: &Lookup<'_>, term: &Value, what: &str) -> Result<String, Error> {
    let command = python::text(term);
    let mut process = Command::new("/bin/sh");
    process.arg("-c").arg(&command).stdin(Stdio::inherit()).stderr(Stdio::inherit());
    if let Some(directory) = lookup.templar.variables().search_path().into_iter().find(|d| d.is_dir()) {
        process.current_dir(directory);
    }
    let output = process.output().map_err(|e| fail(format!("cannot run `{command}`: {e}")))?;
    if !output.status.success() {
        let code = output.status.code().unwrap_or(-1);
        return Err(fail(format!("lookup_plugin.{what}({command}) returned {code}")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(super) fn pipe(lookup: &Lookup<'_>) -> Found {
    lookup.terms.iter().map(|term| Ok(Value::from(output(lookup, term, "pipe")?.trim_end()))).collect()
}

pub(super) fn lines(lookup: &Lookup<'_>) -> Found {
    let mut out = Vec::new();
    for term in &lookup.terms {
        out.extend(output(lookup, term, "lines")?.lines().map(Value::from));
    }
    Ok(out)
}

/// The value of a setting, or a list of it and who says so.
pub(super) fn config(lookup: &Lookup<'_>) -> Found {
    let missing = lookup.text("on_missing").unwrap_or_else(|| "error".to_owned());
    if !matches!(missing.as_str(), "error" | "warn" | "skip") {
        let message = format!("Invalid value '{missing}' for `on_missing`. Valid values are: error, warn, skip");
        return Err(fail(message));
    }
    let plugin = match (lookup.text("plugin_type"), lookup.text("plugin_name")) {
        (None, None) => None,
        (Some(kind), Some(name)) => {
            let short = name.strip_prefix("ansible.builtin.").unwrap_or(&name).to_owned();
            if !plugin_is_known(&kind, &short) {
                return Err(fail(format!("Unable to load {kind} plugin '{name}'.")));
            }
            Some((kind, short))
        }
        _ => return Err(fail("Both plugin_type and plugin_name are required, cannot use one without the other.")),
    };
    let settings = lookup.templar.variables().settings();
    let mut out = Vec::new();
    for term in &lookup.terms {
        let Value::Str(name) = term else {
            let (text, kind) = (python::text(term), crate::template::python_type(term));
            return Err(fail(format!("Invalid setting identifier {text}: expected a string, got <class '{kind}'>")));
        };
        let name = name.as_str();
        let found = match &plugin {
            Some((kind, plugin)) => match of_variables(lookup, kind, plugin, name)? {
                Some(found) => Some(found),
                None => settings.of_plugin(kind, plugin, name).map(|s| (s.value.clone(), s.origin.to_string())),
            },
            None => settings.get(name).map(|s| (s.value.clone(), s.origin.to_string())),
        };
        let whose = plugin.as_ref().map(|(kind, plugin)| format!(" for '{plugin}' {kind} plugin")).unwrap_or_default();
        match found {
            Some((value, origin)) if lookup.flag("show_origin", false) => {
                out.push(Value::list(vec![value, origin.into()]));
            }
            Some((value, _)) => out.push(value),
            None if missing == "error" => {
                return Err(fail(format!("No config definition exists for '{name}'{whose}.")));
            }
            None if missing == "warn" => {
                tracing::warn!("the setting {name} does not exist");
            }
            None => {}
        }
    }
    Ok(out)
}

/// What a host's variables say about a plugin's option, and which of them.
fn of_variables(lookup: &Lookup<'_>, kind: &str, plugin: &str, option: &str) -> Result<Option<(Value, String)>, Error> {
    let variables = plugin_setting(kind, plugin, option).map(|s| s.variables.as_slice()).unwrap_or_default();
    for name in variables.iter().rev() {
        match lookup.templar.variable(name) {
            Ok(Some(Value::Omit) | None) => {}
            Ok(Some(value)) => return Ok(Some((value, format!("var: {name}")))),
            Err(error) => return Err(fail(error.message)),
        }
    }
    Ok(None)
}
