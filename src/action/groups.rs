//! `add_host` and `group_by`: what they find out is kept by the engine.

use super::{ActionContext, ActionError, list};
use crate::value::{Key, Map, Value};

/// `add_host`: a host for the plays that follow, with groups and variables.
pub(super) fn add_host(ctx: &ActionContext<'_>, args: &Map) -> Result<Map, ActionError> {
    if args.contains_key("_raw_params") {
        return Err(ActionError::failed("Invalid raw parameters passed, requires a dictionary/mapping got a string"));
    }
    let given = ["name", "hostname", "host"].iter().find_map(|name| args.get(*name)).filter(|name| !name.is_null());
    let Some(given) = given else {
        return Err(ActionError::failed("name, host or hostname needs to be provided"));
    };
    let is_list = |value: &&Value| matches!(value, Value::Null | Value::Omit | Value::Str(_) | Value::List(_));
    if ["groups", "group", "groupname"].iter().filter_map(|key| args.get(*key)).any(|value| !is_list(&value)) {
        return Err(ActionError::failed("Groups must be specified as a list."));
    }
    let name = given.to_text();
    let groups: Vec<String> = ["groups", "group", "groupname"].iter().flat_map(|key| list(args, key)).collect();
    let known = ["name", "hostname", "host", "groups", "group", "groupname"];
    let mut vars: Map = args
        .iter()
        .filter(|(k, _)| !known.contains(&k.to_string().as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let (name, port) = match name.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.parse::<u16>().is_ok() => {
            (host.to_owned(), port.parse::<i64>().ok())
        }
        _ => (name, None),
    };
    if let Some(port) = port {
        vars.insert("ansible_ssh_port".into(), Value::Int(port));
    }
    let inventory = ctx.world.inventory();
    let is_in = |group: &String| inventory.group(group).is_some_and(|g| g.hosts.contains(&name));
    let changed = match inventory.host(&name) {
        Some(known) => {
            let new = |(key, value): (&Key, &Value)| known.vars.get(key).is_none_or(|v| v.to_json() != value.to_json());
            !groups.iter().all(is_in) || vars.iter().any(new)
        }
        None => true,
    };
    let mut host = Map::new();
    // What is no name is found out by the engine.
    host.insert("host_name".into(), if given.as_str().is_some() { name.into() } else { given.clone() });
    host.insert("groups".into(), groups.into_iter().collect());
    host.insert("host_vars".into(), vars.into());
    Ok(Map::from_iter([("add_host".into(), host.into()), ("changed".into(), Value::Bool(changed))]))
}

/// `group_by`: puts the host into a group named by its variables.
pub(super) fn group_by(ctx: &ActionContext<'_>, args: &Map) -> Result<Map, ActionError> {
    if args.contains_key("_raw_params") {
        return Err(ActionError::failed("Invalid options for group_by: _raw_params"));
    }
    ctx.known_options(args)?;
    let Some(key) = args.get("key").filter(|key| !matches!(key, Value::Null | Value::Omit)) else {
        return Err(ActionError::told("the 'key' param is required when using group_by"));
    };
    let Some(key) = key.as_str() else {
        let kind = crate::template::python_type(key);
        return Err(ActionError::failed(format!("Task failed: '{kind}' object has no attribute 'replace'")));
    };
    let mut parents = list(args, "parents");
    if parents.is_empty() {
        parents.push("all".to_owned());
    }
    let mut out = Map::new();
    let group = key.replace(' ', "-");
    let inventory = ctx.world.inventory();
    let member = inventory.group(&group).is_some_and(|g| g.hosts.contains(ctx.host));
    let below =
        |parent: &String| inventory.group(&parent.replace(' ', "-")).is_some_and(|g| g.children.contains(&group));
    out.insert("changed".into(), Value::Bool(!member || !parents.iter().all(below)));
    out.insert("add_group".into(), group.into());
    out.insert("parent_groups".into(), parents.iter().map(|p| p.replace(' ', "-")).collect());
    Ok(out)
}
