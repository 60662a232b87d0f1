//! `invocation`: with which arguments a module was called.

use std::collections::HashMap;
use std::sync::LazyLock;

use rplay_protocol::Object;
use serde_json::Value as Json;

use super::copied::Copied;
use crate::action::SECRET;
use crate::value::{Map, Value};

/// Under what a result has the arguments of its module, for those who look closely.
pub(super) const INVOCATION: &str = "invocation";

/// What the arguments of the modules that playbooks loop over most are when they are not given.
pub(super) static DEFAULTS: LazyLock<HashMap<String, Object>> =
    LazyLock::new(|| serde_json::from_str(include_str!("invocation.json")).unwrap_or_default());

/// Other names of `path`.
const PATHS: [&str; 3] = ["dest", "destfile", "name"];

/// How a result comes to its `invocation`.
#[derive(Clone, Debug)]
pub(super) enum Invocation {
    /// It is known from the call.
    Known(Value),
    /// It depends on how the call went.
    Copied(Copied),
}

impl Invocation {
    /// Of a call of a module; `check`: nothing may be changed.
    pub(super) fn of_call(module: &str, args: &Object, check: bool) -> Option<Self> {
        match Copied::of_call(module, args, check) {
            Some(copied) => Some(Self::Copied(copied)),
            None => invocation(module, args).map(Self::Known),
        }
    }

    /// With the call's result.
    pub(super) fn with(self, result: &Map) -> Value {
        match self {
            Self::Known(value) => value,
            Self::Copied(copied) => copied.invocation(result),
        }
    }
}

/// What `invocation` is for these arguments of a module; secrets among them are left out.
pub(super) fn invocation(module: &str, args: &Object) -> Option<Value> {
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
        let default = defaults.and_then(|defaults| defaults.get(name));
        shown.insert(
            name.as_str().into(),
            default.map_or_else(|| value.clone(), |default| typed(value.clone(), default)),
        );
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

/// A text as the list or the boolean that it stands for, where its default is one.
pub(super) fn typed(value: Value, default: &Json) -> Value {
    match (value.as_str(), default) {
        (Some(text), Json::Array(_)) => Value::list(text.split(',').map(|part| Value::data(part.trim())).collect()),
        (Some(_), Json::Bool(_)) => value.to_bool().map_or(value, Value::Bool),
        _ => value,
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
