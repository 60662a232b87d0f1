//! Differences as the reference shows them.

use similar::TextDiff;

use super::dump::json;
use super::settings::{Format, Settings};
use crate::template::filters::to_report_yaml;
use crate::value::{Map, Value};

/// The text of a result's `diff`: one dictionary or several.
pub(super) fn text(settings: &Settings, diff: &Value) -> String {
    match diff {
        Value::List(items) => items.iter().filter_map(Value::as_map).map(|map| one(settings, map)).collect(),
        Value::Map(map) => one(settings, map),
        _ => String::new(),
    }
}

fn one(settings: &Settings, map: &Map) -> String {
    let mut out = String::new();
    let is_set = |key: &str| map.get(key).is_some_and(|v| v.to_bool() == Some(true));
    if is_set("dst_binary") {
        out.push_str("diff skipped: destination file appears to be binary\n");
    }
    if is_set("src_binary") {
        out.push_str("diff skipped: source file appears to be binary\n");
    }
    for (key, which) in [("dst_larger", "destination"), ("src_larger", "source")] {
        if let Some(size) = map.get(key) {
            out.push_str(&format!("diff skipped: {which} file size is greater than {}\n", size.to_text()));
        }
    }
    if let (Some(before), Some(after)) = (map.get("before"), map.get("after")) {
        let header = |side: &str| match map.get(&format!("{side}_header") as &str) {
            Some(name) if !name.to_text().is_empty() => format!("{side}: {}", name.to_text()),
            _ => side.to_owned(),
        };
        let (before, after) = (side(settings, before), side(settings, after));
        if before != after {
            let diff = TextDiff::from_lines(before.as_str(), after.as_str());
            let mut unified =
                diff.unified_diff().context_radius(3).header(&header("before"), &header("after")).to_string();
            if !unified.ends_with('\n') {
                unified.push('\n');
            }
            unified.lines().for_each(|line| out.push_str(&colored(settings, line)));
            out.push('\n');
        }
    }
    if let Some(prepared) = map.get("prepared") {
        out.push_str(&prepared.to_text());
    }
    out
}

fn colored(settings: &Settings, line: &str) -> String {
    let color = match line.as_bytes().first() {
        Some(b'+') => "diff_add",
        Some(b'-') => "diff_remove",
        Some(b'@') => "diff_lines",
        _ => "",
    };
    settings.paint(line, color) + "\n"
}

/// One side as text: structures are shown as results are, as JSON or as YAML with an empty line behind it.
fn side(settings: &Settings, value: &Value) -> String {
    match value {
        Value::Map(_) if settings.format == Format::Yaml => {
            to_report_yaml(value).trim_end().lines().map(|line| format!("    {line}\n")).collect::<String>() + "\n"
        }
        Value::Map(_) => {
            let mut out = String::new();
            json(value, Some(0), &mut out);
            out + "\n"
        }
        Value::Null | Value::Omit => String::new(),
        other => other.to_text(),
    }
}
