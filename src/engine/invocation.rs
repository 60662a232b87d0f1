//! `invocation`: with which arguments a module was called.

use std::collections::HashMap;
use std::sync::LazyLock;

use rplay_protocol::Object;
use serde_json::Value as Json;

use crate::value::{Map, Value};

/// Under what a result has the arguments of its module, for those who look closely.
pub(super) const INVOCATION: &str = "invocation";

/// What the arguments of the modules that playbooks loop over most are when they are not given.
static DEFAULTS: LazyLock<HashMap<String, Object>> =
    LazyLock::new(|| serde_json::from_str(include_str!("invocation.json")).unwrap_or_default());

/// Other names of `path`.
const PATHS: [&str; 3] = ["dest", "destfile", "name"];

/// What `invocation` is for these arguments of a module; secrets among them are left out.
pub(super) fn invocation(module: &str, args: &Object) -> Option<Value> {
    const SECRET: &str = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER";
    let module = module.strip_prefix("ansible.builtin.").unwrap_or(module);
    if module == "script" {
        // It is no module that is called, but a command.
        return None;
    }
    let defaults = DEFAULTS.get(module);
    let own = |name: &str| name.starts_with('_') && name != "_raw_params";
    let mut shown = Map::new();
    for (name, value) in args.iter().filter(|(name, _)| !own(name)) {
        // A private key is one under whichever name it is given.
        let key = value.as_str().is_some_and(|text| text.contains("PRIVATE KEY-----"));
        let secret = key || ["password", "passphrase", "passwd"].iter().any(|word| name.ends_with(word));
        let value = if secret && !value.is_null() { Value::data(SECRET) } else { Value::from_json(value) };
        let listed = defaults.and_then(|defaults| defaults.get(name)).is_some_and(Json::is_array);
        shown.insert(name.as_str().into(), if listed { as_list(value) } else { value });
    }
    if let Some(defaults) = defaults {
        if defaults.contains_key("path") || module == "file" || module == "stat" {
            let given = PATHS.iter().find_map(|name| shown.get(*name)).cloned();
            if let Some(path) = given {
                shown.entry("path".into()).or_insert(path);
            }
        }
        for (name, value) in defaults {
            shown.entry(name.as_str().into()).or_insert_with(|| Value::from_json(value));
        }
    }
    Some(Value::map(Map::from_iter([("module_args".into(), Value::map(shown))])))
}

/// A text as the list that it stands for.
fn as_list(value: Value) -> Value {
    match value.as_str() {
        Some(text) => Value::list(text.split(',').map(|part| Value::data(part.trim())).collect()),
        None => value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(module: &str, args: Json) -> String {
        let Some(args) = args.as_object() else { panic!("no arguments") };
        invocation(module, args).map(|value| value.to_json().to_string()).unwrap_or_default()
    }

    #[test]
    fn an_invocation_keeps_secrets() {
        let key = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";
        let args = json!({"path": "/x", "passphrase": "foo", "login_password": null, "content": key, "_own": 1});
        let shown = shown("x.y.z", args);
        assert!(shown.contains("/x") && !shown.contains("foo") && !shown.contains("AAAA"), "{shown}");
        assert_eq!(shown.matches("VALUE_SPECIFIED_IN_NO_LOG_PARAMETER").count(), 2, "{shown}");
    }

    #[test]
    fn an_invocation_has_what_was_not_given() {
        let command = shown("ansible.builtin.shell", json!({"_raw_params": "true", "chdir": "/"}));
        assert!(command.contains(r#""_uses_shell":true"#) && command.contains(r#""creates":null"#), "{command}");
        assert!(command.contains(r#""chdir":"/""#), "{command}");
        let find = shown("ansible.builtin.find", json!({"paths": "/a,/b"}));
        assert!(find.contains(r#""paths":["/a","/b"]"#) && find.contains(r#""recurse":false"#), "{find}");
        assert!(shown("ansible.builtin.script", json!({"_raw_params": "x"})).is_empty());
    }
}
