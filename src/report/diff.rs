//! Differences as unified diffs.

use similar::TextDiff;

use crate::value::Value;

/// The text of a result's `diff`: one dictionary or several.
#[must_use]
pub fn unified(diff: &Value) -> String {
    match diff {
        Value::List(items) => items.iter().map(unified).collect(),
        Value::Map(map) => {
            if let Some(prepared) = map.get("prepared") {
                let mut text = prepared.to_text();
                if !text.ends_with('\n') {
                    text.push('\n');
                }
                return text;
            }
            let (Some(before), Some(after)) = (map.get("before"), map.get("after")) else { return String::new() };
            let header = |side: &str, key: &str| match map.get(key) {
                Some(name) => format!("{side}: {}", name.to_text()),
                None => side.to_owned(),
            };
            pair(&side(before), &side(after), &header("before", "before_header"), &header("after", "after_header"))
        }
        _ => String::new(),
    }
}

/// One side as text: structures are shown as JSON.
fn side(value: &Value) -> String {
    match value {
        Value::Str(text) => text.as_str().to_owned(),
        Value::Null => String::new(),
        other => serde_json::to_string_pretty(&other.to_json()).map(|t| t + "\n").unwrap_or_default(),
    }
}

fn pair(before: &str, after: &str, from: &str, to: &str) -> String {
    if before == after {
        return String::new();
    }
    let diff = TextDiff::from_lines(before, after);
    let mut out = diff.unified_diff().context_radius(3).header(from, to).to_string();
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_differs() {
        let json = serde_json::json!({"before": "a\nb\n", "after": "a\nc\n", "before_header": "/etc/x", "after_header": "/etc/x"});
        let text = unified(&Value::from_json(&json));
        assert_eq!(text, "--- before: /etc/x\n+++ after: /etc/x\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
        let json = serde_json::json!({"before": {"mode": "0644"}, "after": {"mode": "0600"}});
        assert!(unified(&Value::from_json(&json)).contains("-  \"mode\": \"0644\""));
    }
}
