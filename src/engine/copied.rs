//! `invocation` of a `copy` or `template` whose content came from the controller.
//!
//! The reference's action compares checksums first, and calls `file` where the content is there already, `copy` where it
//! is not, and nothing at all where a dry run knows enough. So which arguments a result tells of depends on how it went.

use rplay_protocol::Object;
use serde_json::Value as Json;

use super::invocation::{DEFAULTS, typed};
use super::result::flag;
use crate::action;
use crate::value::{Map, Value};

/// A call whose content came along.
#[derive(Clone, Debug)]
pub(super) struct Copied {
    args: Object,
    /// Whether nothing may be changed.
    check: bool,
    /// Whether the content is the task's own text.
    text: bool,
}

impl Copied {
    /// Of what a call has for arguments; nothing where the content is the host's.
    pub(super) fn of_call(module: &str, args: &Object, check: bool) -> Option<Self> {
        let template = module == "ansible.builtin.template";
        if !template && module != "ansible.builtin.copy"
            || args.get("remote_src").is_some_and(|v| *v == Json::Bool(true))
        {
            return None;
        }
        let mut args = args.clone();
        if template {
            args.entry("follow").or_insert_with(|| false.into());
            args.entry("mode").or_insert(Json::Null);
        }
        if args.get("mode").and_then(Json::as_str) == Some("preserve")
            && let Some(mode) = args.get("_source_mode").and_then(Json::as_u64)
        {
            args.insert("mode".into(), format!("{mode:04o}").into());
        }
        let text = args.get("src").and_then(Json::as_str).is_some_and(|src| src.starts_with("<content>"));
        Some(Self { args, check, text })
    }

    /// What was called in the end, by the result.
    pub(super) fn invocation(&self, result: &Map) -> Value {
        let done = flag(result, "changed") || flag(result, "failed");
        let shown = match (done && !self.check, result.get("path")) {
            (true, _) => self.called("copy", &[("checksum", result.get("checksum"))]),
            (false, Some(path)) if !done => self.called("file", &[("path", Some(path))]),
            _ => return self.not_called(),
        };
        Value::map(Map::from_iter([("module_args".into(), shown)]))
    }

    /// The arguments of a module: those given that it knows, and its own.
    fn called(&self, module: &str, known: &[(&str, Option<&Value>)]) -> Value {
        let given = |name: &str| match (module, name) {
            // The first is told by what the call is, the second is what the content says.
            ("file", "follow" | "src" | "state") | (_, "content" | "checksum") => None,
            _ => self.args.get(name).filter(|value| !value.is_null()),
        };
        let mut shown = Map::new();
        for (name, default) in DEFAULTS.get(module).into_iter().flatten() {
            shown.insert(name.as_str().into(), typed(Value::from_json(given(name).unwrap_or(default)), default));
        }
        shown.insert("dest".into(), self.args.get("dest").map_or(Value::Null, Value::from_json));
        for (name, value) in known {
            shown.insert((*name).into(), value.cloned().unwrap_or(Value::Null));
        }
        Value::map(shown)
    }

    /// What the task says itself, where nothing had to be asked of the host.
    fn not_called(&self) -> Value {
        let own = |name: &str| name.starts_with('_') || (self.text && name == "src");
        let given = self.args.iter().filter(|(name, _)| !own(name));
        let mut args: Map = given.map(|(name, value)| (name.as_str().into(), Value::from_json(value))).collect();
        if self.text {
            args.insert("content".into(), Value::Null);
        }
        action::not_called(args)
    }
}
