//! Inventory scripts: programs that print hosts and groups as JSON.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

use super::{Inventory, UNGROUPED};
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::value::{Key, Map, Str, Value};

const NOT_JSON: &str = "Unable to get JSON decoder for inventory script result.";

fn wrong(message: impl Into<String>) -> Diagnostic {
    Diagnostic::error("inventory::script", message)
}

/// Runs a script and reads what it prints.
pub(super) fn read(inventory: &mut Inventory, path: &Path, origin: Span) -> Result<(), Diagnostic> {
    let text = run(inventory, path, &["--list"])?;
    let whole: Json = serde_json::from_str(&text)
        .map_err(|error| wrong(format!("{NOT_JSON} Value could not be parsed as JSON: {error}")))?;
    let Json::Object(groups) = whole else {
        return Err(wrong(format!("{NOT_JSON} Value is '{}' instead of 'dict'", class(&whole))));
    };
    let meta = match groups.get("_meta") {
        None => None,
        Some(Json::Object(meta)) => Some(meta),
        Some(other) => {
            let kind = class(other);
            return Err(wrong(format!("{NOT_JSON} Value contains '_meta' which is '{kind}' instead of 'dict'")));
        }
    };
    if groups.contains_key("__ansible_vault") {
        return Err(wrong("Inventory script result could not be parsed as JSON: it is an encrypted string"));
    }
    profile(meta.and_then(|meta| meta.get("profile")))?;
    for (name, body) in groups.iter().filter(|(name, _)| *name != "_meta") {
        group(inventory, name, body, origin)?;
    }
    match meta.and_then(|meta| meta.get("hostvars")) {
        Some(Json::Object(hosts)) => {
            for (host, vars) in hosts {
                host_vars(inventory, host, vars, origin)?;
            }
            Ok(())
        }
        Some(other) => {
            let kind = class(other);
            Err(wrong(format!("Value contains '_meta.hostvars' which is '{kind}' instead of 'dict'")))
        }
        None => ask_each(inventory, path, &groups, origin),
    }
}

/// The script does not tell all hosts' variables at once: it is asked for each host.
fn ask_each(
    inventory: &mut Inventory,
    path: &Path,
    groups: &serde_json::Map<String, Json>,
    origin: Span,
) -> Result<(), Diagnostic> {
    let mine: Vec<String> = inventory
        .hosts()
        .filter(|host| host.groups.iter().any(|group| group == UNGROUPED || groups.contains_key(group)))
        .map(|host| host.name.clone())
        .collect();
    for host in mine {
        let text = run(inventory, path, &["--host", &host])?;
        if text.trim().is_empty() {
            continue;
        }
        let vars: Json = serde_json::from_str(&text).map_err(|error| {
            wrong(format!("Inventory script result for host '{host}' could not be parsed as JSON: {error}"))
        })?;
        host_vars(inventory, &host, &vars, origin)?;
    }
    Ok(())
}

/// The dialect of JSON that the script says it prints.
fn profile(named: Option<&Json>) -> Result<(), Diagnostic> {
    match named {
        None => Ok(()),
        Some(Json::String(name)) if name == "inventory_legacy" => Ok(()),
        Some(Json::String(name)) if name.starts_with("inventory_") => {
            Err(wrong(format!("{NOT_JSON} Unknown profile name '{name}'")))
        }
        Some(Json::String(name)) => Err(wrong(format!("Non-inventory profile '{name}' is not allowed."))),
        Some(other) => {
            let kind = class(other);
            Err(wrong(format!("{NOT_JSON} Value contains '_meta.profile' which is '{kind}' instead of 'str'")))
        }
    }
}

fn run(inventory: &mut Inventory, path: &Path, args: &[&str]) -> Result<String, Diagnostic> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    #[allow(clippy::disallowed_methods)] // This runs here, for the user, not on a host.
    let output = Command::new(&full).args(args).current_dir(directory).output().map_err(|error| {
        let command = command(&full, args);
        let why = if error.kind() == ErrorKind::NotFound {
            "the interpreter it names is not there".into()
        } else {
            error.to_string()
        };
        wrong(format!("Failed to execute inventory script command {command}: {why}"))
    })?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if !errors.is_empty() && (inventory.options().script_stderr || !output.status.success()) {
        eprint!("{errors}");
        if !errors.ends_with('\n') {
            eprintln!();
        }
    }
    if !output.status.success() {
        let command = command(&full, args);
        let how = output.status.code().map_or_else(|| output.status.to_string(), |code| code.to_string());
        return Err(wrong(format!("Inventory script returned non-zero exit code {how}: {command}")));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| wrong("Inventory script result contained characters that cannot be interpreted as UTF-8."))
}

fn command(path: &Path, args: &[&str]) -> String {
    format!("`{} {}`", path.display(), args.join(" "))
}

/// What Python calls a value of JSON.
fn class(json: &Json) -> &'static str {
    match json {
        Json::Null => "NoneType",
        Json::Bool(_) => "bool",
        Json::Number(number) if number.is_f64() => "float",
        Json::Number(_) => "int",
        Json::String(_) => "str",
        Json::Array(_) => "list",
        Json::Object(_) => "dict",
    }
}

fn group(inventory: &mut Inventory, name: &str, body: &Json, origin: Span) -> Result<(), Diagnostic> {
    let name = inventory.add_group(name).name.clone();
    let rewritten;
    let body = match body {
        // A list of hosts, as scripts of old print it.
        Json::Array(_) => {
            rewritten = [("hosts".to_owned(), body.clone())].into_iter().collect();
            &rewritten
        }
        Json::Object(map) if !["hosts", "vars", "children"].iter().any(|key| map.contains_key(*key)) => {
            let message = format!(
                "Treating malformed group '{name}' as the sole host of that group. Variables provided in this manner cannot be templated."
            );
            inventory.warn("inventory::script", message);
            let hosts = Json::Array(vec![Json::String(name.clone())]);
            let vars = Json::Object(map.clone());
            rewritten = [("hosts".to_owned(), hosts), ("vars".to_owned(), vars)].into_iter().collect();
            return members(inventory, &name, &rewritten, origin, false);
        }
        Json::Object(map) => map,
        other => {
            let message = format!("Group '{name}' was converted to 'dict' from '{}'", class(other));
            inventory.warn("inventory::script", message);
            rewritten = [("hosts".to_owned(), other.clone())].into_iter().collect();
            &rewritten
        }
    };
    members(inventory, &name, body, origin, true)
}

fn members(
    inventory: &mut Inventory,
    name: &str,
    body: &serde_json::Map<String, Json>,
    origin: Span,
    trusted: bool,
) -> Result<(), Diagnostic> {
    let is_not = |key: &str, got: &Json, want: &str| {
        wrong(format!("Value contains '{name}.{key}' which is '{}' instead of '{want}'", class(got)))
    };
    match body.get("hosts") {
        None => {}
        Some(Json::Array(hosts)) => {
            for host in hosts {
                inventory.add_member(name, &value(host, origin, true).to_text());
            }
        }
        Some(other) => return Err(is_not("hosts", other, "list")),
    }
    match body.get("vars") {
        None => {}
        Some(Json::Object(vars)) => {
            for (key, json) in vars {
                inventory.set_group_variable(name, Key::from(key.as_str()), value(json, origin, trusted));
            }
        }
        Some(other) => return Err(is_not("vars", other, "dict")),
    }
    match body.get("children") {
        None => {}
        Some(Json::Array(children)) => {
            for child in children {
                inventory.add_child(name, &value(child, origin, true).to_text()).map_err(wrong)?;
            }
        }
        Some(other) => return Err(is_not("children", other, "list")),
    }
    Ok(())
}

fn host_vars(inventory: &mut Inventory, host: &str, vars: &Json, origin: Span) -> Result<(), Diagnostic> {
    let Json::Object(vars) = vars else {
        return Err(wrong(format!("Invalid data from file, expected dictionary and got:\n\n{vars}")));
    };
    // Variables of hosts that no group lists are of no use.
    if inventory.host(host).is_some() {
        let map: Map = vars.iter().map(|(k, v)| (Key::from(k.as_str()), value(v, origin, true))).collect();
        inventory.set_variables(host, map);
    }
    Ok(())
}

/// A value, its strings templates unless the script says that they are not to be.
fn value(json: &Json, origin: Span, trusted: bool) -> Value {
    match json {
        Json::String(text) if trusted => Value::Str(Str::trusted(text.as_str(), Some(origin))),
        Json::Array(items) => Value::list(items.iter().map(|item| value(item, origin, trusted)).collect()),
        Json::Object(map) => match map.get("__ansible_unsafe") {
            Some(Json::String(text)) if map.len() == 1 => Value::data(text.as_str()),
            _ => Value::map(map.iter().map(|(k, v)| (Key::from(k.as_str()), value(v, origin, trusted))).collect()),
        },
        other => Value::from_json(other),
    }
}
