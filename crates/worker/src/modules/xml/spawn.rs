//! Making what an expression leads to where it leads nowhere.

use uppsala::{NodeId, XPathValue};

use super::tree::Tree;

/// Sees to it that an expression leads somewhere; only steps by name and conditions on attributes and text can be made.
pub(super) fn ensure(tree: &mut Tree, from: NodeId, expression: &str) -> Result<(), String> {
    let impossible = || format!("Can't process Xpath {expression} in order to spawn nodes!");
    if let Some((base, name, value)) = attribute(expression) {
        // An attribute without a value is emptied.
        let base = if base.is_empty() { "." } else { base };
        ensure(tree, from, base)?;
        for id in tree.select(from, base)?.unwrap_or_default() {
            tree.set_attribute(id, name, value.unwrap_or_default())?;
        }
        return Ok(());
    }
    let there = match tree.evaluate(from, expression)? {
        XPathValue::NodeSet(nodes) => !nodes.is_empty(),
        XPathValue::Boolean(holds) => holds,
        XPathValue::Number(_) | XPathValue::String(_) => return Err(impossible()),
    };
    if there {
        return Ok(());
    }
    let (element, conditions) = match text(expression) {
        Some((base, _)) => (base.trim_end_matches('/'), vec![expression[base.len()..].trim_start_matches('/')]),
        None => conditions(expression).ok_or_else(impossible)?,
    };
    let (parent, name) = last_step(element).ok_or_else(impossible)?;
    let letters = |c: char| c.is_alphanumeric() || "._-:".contains(c);
    if name.is_empty() || !name.chars().all(letters) || name.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Err(impossible());
    }
    let parents = match parent {
        "" if element.starts_with('/') => return Err(impossible()),
        "" => vec![from],
        parent => {
            ensure(tree, from, parent)?;
            tree.select(from, parent)?.unwrap_or_default()
        }
    };
    // Of several places the last one gets it, as in the reference.
    let parent = parents.into_iter().rfind(|id| *id != tree.document.root());
    if let Some(parent) = parent {
        let made = tree.element(parent, name)?;
        tree.document.append_child(parent, made);
        for condition in &conditions {
            // The text of the new element itself.
            match text(condition) {
                Some(("", value)) => tree.set_text(made, value),
                _ => ensure(tree, made, condition)?,
            }
        }
    }
    Ok(())
}

/// An expression that ends with an attribute, with a value or without: what is before it, its name, its value.
fn attribute(expression: &str) -> Option<(&str, &str, Option<&str>)> {
    let (path, value) = match equation(expression) {
        Some((path, value)) => (path, Some(value)),
        None => (expression, None),
    };
    let at = last_slash(path).map_or(0, |at| at + 1);
    let name = path[at..].strip_prefix('@')?;
    let letters = |c: char| c.is_alphanumeric() || "._-:".contains(c);
    let plain = !name.is_empty() && name.chars().all(letters);
    plain.then(|| (path[..at].trim_end_matches('/'), name, value))
}

/// An expression that ends with `text()='value'`: what is before it, and the value.
fn text(expression: &str) -> Option<(&str, &str)> {
    let (path, value) = equation(expression)?;
    Some((path.strip_suffix("text()")?.trim_end_matches('/'), value))
}

/// An expression that says what a path equals.
fn equation(expression: &str) -> Option<(&str, &str)> {
    let quote = expression.chars().last().filter(|c| matches!(c, '\'' | '"'))?;
    let inner = &expression[..expression.len() - 1];
    let start = inner.rfind(quote)?;
    let path = inner[..start].trim_end().strip_suffix('=')?.trim_end();
    Some((path, &inner[start + 1..]))
}

/// An element and its conditions, of `element[a and b][c]`.
fn conditions(expression: &str) -> Option<(&str, Vec<&str>)> {
    let mut element = expression;
    let mut found = Vec::new();
    while let Some(inner) = element.strip_suffix(']') {
        let open =
            inner.char_indices().filter(|(at, c)| *c == '[' && outside(inner, *at)).map(|(at, _)| at).next_back()?;
        let mut parts = Vec::new();
        let mut rest = &inner[open + 1..];
        while let Some(at) = rest.match_indices(" and ").map(|(at, _)| at).find(|at| outside(rest, *at)) {
            parts.push(rest[..at].trim());
            rest = &rest[at + 5..];
        }
        parts.push(rest.trim());
        found.splice(0..0, parts);
        element = &element[..open];
    }
    Some((element, found))
}

/// Whether a place is outside of quotes.
fn outside(text: &str, at: usize) -> bool {
    let mut quote = None;
    for c in text[..at].chars() {
        match quote {
            Some(open) if open == c => quote = None,
            None if matches!(c, '\'' | '"') => quote = Some(c),
            _ => {}
        }
    }
    quote.is_none()
}

/// The last slash that is outside of brackets and quotes.
fn last_slash(path: &str) -> Option<usize> {
    let (mut depth, mut last, mut quote) = (0usize, None, None);
    for (at, c) in path.char_indices() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[' | '(') => depth += 1,
            (None, ']' | ')') => depth = depth.saturating_sub(1),
            (None, '/') if depth == 0 => last = Some(at),
            _ => {}
        }
    }
    last
}

/// What is before the last step, and the step.
fn last_step(path: &str) -> Option<(&str, &str)> {
    match last_slash(path) {
        // `//name` could be anywhere.
        Some(at) if path[..at].ends_with('/') => None,
        Some(at) => Some((&path[..at], &path[at + 1..])),
        None => Some(("", path)),
    }
}
