//! `--extra-vars` in all its forms.

use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::playbook::{expand_home, parse_free_form};
use crate::source::{self, load};
use crate::value::{Key, Map, Str, Value};
use crate::vault::Secrets;

/// Reads what `-e` was given: `key=value` pairs, a dictionary in JSON or YAML, or `@file`; later ones count.
pub fn extra_vars(given: &[String], vault: &Arc<Secrets>) -> Result<Map, Vec<Diagnostic>> {
    let mut out = Map::new();
    let mut errors = Vec::new();
    for text in given {
        match one(text, vault) {
            Ok(map) => out.extend(map),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(out) } else { Err(errors) }
}

fn one(text: &str, vault: &Arc<Secrets>) -> Result<Map, Diagnostic> {
    if let Some(path) = text.strip_prefix('@') {
        let path = std::path::absolute(expand_home(path)).unwrap_or_else(|_| Path::new(path).to_path_buf());
        if !path.exists() {
            let name = path.display().to_string();
            let why = format!("[Errno 2] No such file or directory: '{name}'");
            let message = format!("Unable to retrieve file contents.\n{}: {why}", crate::action::not_there(&name));
            return Err(Diagnostic::error("cli::extra-vars", message));
        }
        return dictionary(load(&path, vault)?, &format!("@{}", path.display()));
    }
    let text = text.trim_start();
    if text.starts_with(['{', '[']) {
        let node = source::load_text_with("<extra vars>", None, text.to_owned(), vault)?;
        return dictionary(node, text);
    }
    let whole = source::register("<extra vars>", None, text.to_owned());
    let parsed = parse_free_form(text, false);
    if !parsed.rest.is_empty() {
        let message = format!("`{}` is neither key=value, a dictionary, nor @file", parsed.rest);
        return Err(Diagnostic::error("cli::extra-vars", message).at(whole));
    }
    let pairs = parsed.pairs.into_iter();
    Ok(pairs.map(|(key, value)| (Key::from(key), Value::Str(Str::trusted(value, Some(whole))))).collect())
}

fn dictionary(node: Option<source::Node>, text: &str) -> Result<Map, Diagnostic> {
    match node.as_ref().map(source::Node::to_value) {
        None => Ok(Map::new()),
        Some(Value::Map(map)) => Ok(map.as_ref().clone()),
        Some(other) => {
            let message = format!("Invalid extra vars data supplied. '{text}' could not be made into a dictionary");
            let help = format!("it holds {}", other.kind());
            Err(Diagnostic::error("cli::options", message).help(help))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        let given = ["a=1 b='x y'", "{\"c\": [1]}", "{d: true, a: 2}"].map(ToOwned::to_owned);
        let json = Value::map(extra_vars(&given, &Arc::default()).unwrap()).to_json();
        assert_eq!(json, serde_json::json!({"a": 2, "b": "x y", "c": [1], "d": true}));
        let marked =
            r#"{"raw": {"__ansible_unsafe": "{{ x }}"}, "two": {"__ansible_unsafe": "", "b": 1}, "t": "{{ x }}"}"#;
        let vars = extra_vars(&[marked.to_owned()], &Arc::default()).unwrap();
        let is_template = |name: &str| matches!(vars.get(name), Some(Value::Str(text)) if text.is_template());
        assert!(is_template("t") && !is_template("raw"));
        assert!(matches!(vars.get("raw"), Some(Value::Str(text)) if text.as_str() == "{{ x }}"));
        assert!(matches!(vars.get("two"), Some(Value::Map(map)) if map.len() == 2));
        // In YAML it is a dictionary like any other.
        let vars = extra_vars(&["{raw: {__ansible_unsafe: x}}".to_owned()], &Arc::default()).unwrap();
        assert!(matches!(vars.get("raw"), Some(Value::Map(_))));
        assert!(extra_vars(&["nonsense".to_owned()], &Arc::default()).is_err());
    }
}
