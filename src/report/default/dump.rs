//! Results as text, as the reference writes them out.

use super::settings::{Format, Settings};
use crate::template::filters::to_report_yaml;
use crate::value::{Map, Value};

/// What a result comes to where it is shown.
pub(super) fn dump(settings: &Settings, result: &Map, always: bool) -> String {
    let mut shown: Map = result.clone();
    shown.retain(|key, _| !key.to_string().starts_with("_ansible_"));
    for key in ["failed", "skipped", "exception", "warnings", "deprecations"] {
        shown.shift_remove(key);
    }
    if settings.verbosity < 3 {
        shown.shift_remove("invocation");
        shown.shift_remove("diff");
    }
    if let Some(Value::List(items)) = shown.get("results") {
        let items = items.iter().map(without_flags).collect();
        shown.insert("results".into(), Value::list(items));
    }
    match settings.format {
        Format::Json => {
            let indent = always || settings.verbosity > 2 || settings.pretty == Some(true);
            let mut out = String::new();
            json(&Value::map(shown), indent.then_some(0), &mut out);
            out
        }
        Format::Yaml => {
            if settings.pretty != Some(false) {
                lossy(&mut shown);
            }
            let text = to_report_yaml(&Value::map(shown)).trim_end().replace('\n', "\n    ");
            format!("\n    {}", text.replace("\n    \n", "\n\n"))
        }
    }
}

fn without_flags(item: &Value) -> Value {
    let Some(map) = item.as_map() else { return item.clone() };
    let mut map = map.clone();
    for key in ["failed", "skipped"] {
        map.shift_remove(key);
    }
    Value::map(map)
}

/// Leaves out what is there twice.
fn lossy(result: &mut Map) {
    for stream in ["stdout", "stderr"] {
        let lines = format!("{stream}_lines");
        if result.contains_key(stream) && result.contains_key(lines.as_str()) {
            result.insert(lines.into(), Value::data("<omitted>"));
        }
    }
}

/// JSON as Python writes it: sorted, and with spaces; `indent` is the depth where it is laid out.
pub(super) fn json(value: &Value, indent: Option<usize>, out: &mut String) {
    let line = |depth: usize, out: &mut String| {
        out.push('\n');
        out.push_str(&"    ".repeat(depth));
    };
    let between = |first: bool, out: &mut String| {
        if !first {
            out.push_str(if indent.is_some() { "," } else { ", " });
        }
        if let Some(depth) = indent {
            line(depth + 1, out);
        }
    };
    let inner = indent.map(|depth| depth + 1);
    match value {
        Value::List(items) if !items.is_empty() => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                between(at == 0, out);
                json(item, inner, out);
            }
            if let Some(depth) = indent {
                line(depth, out);
            }
            out.push(']');
        }
        Value::Map(map) if !map.is_empty() => {
            let mut entries: Vec<(String, &Value)> = map.iter().map(|(k, v)| (k.to_string(), v)).collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            out.push('{');
            for (at, (key, item)) in entries.into_iter().enumerate() {
                between(at == 0, out);
                out.push_str(&serde_json::Value::from(key).to_string());
                out.push_str(": ");
                json(item, inner, out);
            }
            if let Some(depth) = indent {
                line(depth, out);
            }
            out.push('}');
        }
        Value::Float(number) if number.is_finite() => out.push_str(&value.to_text()),
        other => out.push_str(&other.to_json().to_string()),
    }
}

/// The keys of a result that `debug` lets be seen.
pub(super) fn clean_debug(result: &Map) -> Map {
    let mut out = result.clone();
    if out.contains_key("msg") {
        out.retain(|key, _| matches!(key.as_str(), Some("msg" | "warnings" | "deprecations" | "censored")));
    } else {
        for key in [
            "changed",
            "failed",
            "skipped",
            "skip_reason",
            "invocation",
            "ansible_loop_var",
            "ansible_index_var",
            "ansible_loop",
            "results",
        ] {
            out.shift_remove(key);
        }
    }
    out
}
