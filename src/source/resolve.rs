//! What a plain scalar means in YAML 1.1, as PyYAML reads it.

use std::sync::LazyLock;

use fancy_regex::Regex;

use super::NodeKind;

struct Patterns {
    int: Regex,
    float: Regex,
}

static PATTERNS: LazyLock<Option<Patterns>> = LazyLock::new(|| {
    let int = r"^[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|[1-9][0-9_]*(?::[0-5]?[0-9])+)$";
    let float = concat!(
        r"^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?",
        r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*)$"
    );
    Some(Patterns { int: Regex::new(int).ok()?, float: Regex::new(float).ok()? })
});

/// The value of a plain (unquoted, untagged) scalar: YAML 1.1's booleans, numbers in bases 2, 8, 10, 16 and 60, `null`, or
/// text. Dates stay text, which prints the same.
#[must_use]
pub fn resolve_plain(text: &str) -> NodeKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return NodeKind::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return NodeKind::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return NodeKind::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return NodeKind::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return NodeKind::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return NodeKind::Float(f64::NAN),
        _ => {}
    }
    // Most scalars are words: leave before any pattern is tried.
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return NodeKind::Str(text.to_owned());
    }
    number(text).unwrap_or_else(|| NodeKind::Str(text.to_owned()))
}

fn number(text: &str) -> Option<NodeKind> {
    let patterns = PATTERNS.as_ref()?;
    if patterns.int.is_match(text).ok()? {
        return integer(text);
    }
    if patterns.float.is_match(text).ok()? {
        let clean = text.replace('_', "");
        let value = if clean.contains(':') { sexagesimal(&clean)? } else { clean.parse().ok()? };
        return Some(NodeKind::Float(value));
    }
    None
}

fn integer(text: &str) -> Option<NodeKind> {
    let clean = text.replace('_', "");
    let (sign, digits) = match clean.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, clean.strip_prefix('+').unwrap_or(&clean)),
    };
    let radix = |prefix: &str, radix| digits.strip_prefix(prefix).and_then(|d| i64::from_str_radix(d, radix).ok());
    let value = if digits.starts_with("0b") {
        radix("0b", 2)
    } else if digits.starts_with("0x") {
        radix("0x", 16)
    } else if digits.contains(':') {
        sexagesimal(digits).map(|f| f as i64)
    } else if digits.len() > 1 && digits.starts_with('0') {
        i64::from_str_radix(digits, 8).ok()
    } else {
        digits.parse().ok()
    };
    match value {
        Some(value) => Some(NodeKind::Int(sign * value)),
        // Python's numbers have no end; ours keep the magnitude.
        None => clean.parse().ok().map(NodeKind::Float),
    }
}

fn sexagesimal(text: &str) -> Option<f64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let parts = digits.split(':').map(|part| part.parse::<f64>().ok()).collect::<Option<Vec<_>>>()?;
    Some(sign * parts.into_iter().fold(0.0, |total, part| total * 60.0 + part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_scalars_as_yaml_1_1() {
        let cases: [(&str, NodeKind); 13] = [
            ("yes", NodeKind::Bool(true)),
            ("Off", NodeKind::Bool(false)),
            ("y", NodeKind::Str("y".into())),
            ("0644", NodeKind::Int(0o644)),
            ("0o644", NodeKind::Str("0o644".into())),
            ("0x1F", NodeKind::Int(31)),
            ("1_000", NodeKind::Int(1000)),
            ("1:30", NodeKind::Int(90)),
            ("1.5", NodeKind::Float(1.5)),
            ("1e3", NodeKind::Str("1e3".into())),
            ("~", NodeKind::Null),
            ("-", NodeKind::Str("-".into())),
            ("1.2.3", NodeKind::Str("1.2.3".into())),
        ];
        for (text, want) in cases {
            assert_eq!(format!("{:?}", resolve_plain(text)), format!("{want:?}"), "{text}");
        }
    }
}
