//! Lookups of what is outside: `env`, `pipe`, `lines`, `config`; `url` is refused.

use std::process::{Command, Stdio};

use minijinja::Error;

use super::Lookup;
use crate::template::call::fail;
use crate::template::python;
use crate::value::Value;

type Found = Result<Vec<Value>, Error>;

pub(super) fn env(lookup: &Lookup<'_>) -> Found {
    let default = lookup.options.get("default").cloned().unwrap_or_else(|| Value::from(""));
    let of = |term: &Value| {
        let text = python::text(term);
        let name = text.split_whitespace().next().unwrap_or_default();
        std::env::var(name).map_or_else(|_| default.clone(), Value::from)
    };
    Ok(lookup.terms.iter().map(of).collect())
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

pub(super) fn url(_: &Lookup<'_>) -> Found {
    Err(fail(
        "fetching URLs from the controller is not supported; use the module `uri` or `get_url` with `delegate_to: localhost`",
    ))
}

/// The value of a setting, or a list of it and who says so.
pub(super) fn config(lookup: &Lookup<'_>) -> Found {
    let missing = lookup.text("on_missing").unwrap_or_else(|| "error".to_owned());
    if !matches!(missing.as_str(), "error" | "warn" | "skip") {
        let message = format!("Invalid value '{missing}' for `on_missing`. Valid values are: error, warn, skip");
        return Err(fail(message));
    }
    match (lookup.option("plugin_type"), lookup.option("plugin_name")) {
        (None, None) => {}
        (Some(_), Some(_)) => return Err(fail("the `config` lookup: settings of plugins are not known here")),
        _ => return Err(fail("Both plugin_type and plugin_name are required, cannot use one without the other.")),
    }
    let settings = lookup.templar.variables().settings();
    let mut out = Vec::new();
    for term in &lookup.terms {
        let Value::Str(name) = term else {
            let (text, kind) = (python::text(term), crate::template::python_type(term));
            return Err(fail(format!("Invalid setting identifier {text}: expected a string, got <class '{kind}'>")));
        };
        match settings.get(name.as_str()) {
            Some(setting) if lookup.flag("show_origin", false) => {
                out.push(Value::list(vec![setting.value.clone(), setting.origin.to_string().into()]));
            }
            Some(setting) => out.push(setting.value.clone()),
            None if missing == "error" => {
                return Err(fail(format!("No config definition exists for '{}'.", name.as_str())));
            }
            None if missing == "warn" => {
                tracing::warn!("the setting {} does not exist", name.as_str());
            }
            None => {}
        }
    }
    Ok(out)
}
