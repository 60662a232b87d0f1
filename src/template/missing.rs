//! What is said of an attribute or element that is not there: what it is that lacks it.

use std::sync::{Arc, LazyLock};

use fancy_regex::Regex;
use minijinja::{ErrorKind, Value as Jinja};

use super::call::type_name;
use super::error::{Reason, named_attribute};
use super::lazy::{Root, reason_inside, reason_of};
use super::{TemplateError, engine, python};
use crate::value::Value;

/// The error with the type of what lacks the attribute, where that can be told; `text` is the template.
pub(super) fn spelled(mut error: TemplateError, root: &Arc<Root>, text: &str) -> TemplateError {
    if error.message == ErrorKind::UndefinedError.to_string() {
        // What was undefined went through `default` or another filter before something complained, and has lost its name.
        if let Some((reason, name)) = last_in(root, text) {
            error.because_of(reason);
            error.undefined = name;
            return error;
        }
        if let Some(attribute) = named_attribute(text) {
            error.message = format!("object of type 'dict' has no attribute '{attribute}'");
            return error;
        }
    }
    if let Some(reason) = error.missing.take().and_then(|expression| words(root, &expression)) {
        error.because_of(reason);
    }
    error
}

/// The reference's sentence for an expression such as `base.name` or `base[key]` that came to nothing.
fn words(root: &Arc<Root>, expression: &str) -> Option<Reason> {
    let (base, last) = split(expression)?;
    // What reaches outside is not done a second time for a message's sake.
    if ["lookup", "query", "q("].iter().any(|word| expression.contains(word)) {
        return None;
    }
    let object = engine::part(root, base)?;
    let key = match last.strip_prefix('.') {
        Some(name) => name.parse::<i64>().map_or_else(|_| Jinja::from(name), Jinja::from),
        None => {
            let inner = last.strip_prefix('[')?.strip_suffix(']')?;
            match engine::part(root, inner) {
                Some(key) => key,
                // The key is what is not there.
                None => return Some(last_in(root, inner)?.0),
            }
        }
    };
    // It is there, and made of something that is not.
    if let Some(reason) = reason_of(&object, &key) {
        return Some(reason);
    }
    // A variable of the template's own may have the name of one outside.
    if !object.get_item(&key).is_ok_and(|item| item.is_undefined()) {
        return None;
    }
    let shown = python::repr(&Value::from_jinja(&key).ok()?);
    Some(Reason::said(match (object.is_none(), key.is_true()) {
        (true, false) => format!("None has no element {shown}"),
        (false, false) => format!("{} object has no element {shown}", type_name(&object)),
        (_, true) => format!("object of type '{}' has no attribute {shown}", type_name(&object)),
    }))
}

/// Of the variables and paths in a template that lead nowhere, the last: what is said of it, and its name if it is a variable.
fn last_in(root: &Arc<Root>, template: &str) -> Option<(Reason, Option<String>)> {
    let known = |name: &str| root.variables().get(name).is_some() || root.reason(name).is_some();
    let unknown = engine::names_in(template).into_iter().filter(|name| !known(name));
    let variable = unknown.filter_map(|name| template.rfind(&name).map(|at| (at, name))).max_by_key(|(at, _)| *at);
    let path = paths(template).filter_map(|(at, path)| nowhere(root, path).map(|words| (at, words))).last();
    match (variable, path) {
        (Some((at, _)), Some((behind, words))) if behind > at => Some((words, None)),
        (None, Some((_, words))) => Some((words, None)),
        (Some((_, name)), _) => Some((Reason::said(format!("'{name}' is undefined")), Some(name))),
        (None, None) => None,
    }
}

/// The same for something that came to nothing somewhere inside a template's result: of the paths in the template, the
/// first that leads nowhere; or to something that holds it.
pub(super) fn inside(root: &Arc<Root>, template: &str) -> Option<Reason> {
    let holds = |path: &str| reason_inside(&engine::part(root, path)?).filter(|reason| reason.whole.is_some());
    let names = engine::names_in(template);
    paths(template)
        .find_map(|(_, path)| nowhere(root, path).or_else(|| holds(path)))
        .or_else(|| names.iter().find_map(|name| holds(name)))
}

/// The paths in a template, such as `a.b['c']`, with their places.
fn paths(template: &str) -> impl Iterator<Item = (usize, &str)> {
    static PATHS: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"[A-Za-z_]\w*(?:\.\w+|\[(?:-?\w+|'[^']*'|"[^"]*")\])+"#).ok());
    let found = PATHS.as_ref().into_iter().flat_map(|pattern| pattern.find_iter(template));
    found.filter_map(Result::ok).map(|found| (found.start(), found.as_str()))
}

/// What is said of the first step of a path that leads nowhere.
fn nowhere(root: &Arc<Root>, path: &str) -> Option<Reason> {
    let (mut steps, mut rest) = (Vec::new(), path);
    while let Some((base, _)) = split(rest) {
        steps.push(rest);
        rest = base;
    }
    steps.into_iter().rev().find_map(|step| words(root, step))
}

/// An expression as what is before its last `.name` or `[key]`, and that.
pub(super) fn split(expression: &str) -> Option<(&str, &str)> {
    let expression = expression.trim();
    let (mut depth, mut quote, mut at) = (0usize, None, None);
    let mut before = ' ';
    for (i, c) in expression.char_indices() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => {
                if depth == 0 && i > 0 {
                    at = Some(i);
                }
                depth += 1;
            }
            (None, '(' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            // The point of a number is another thing.
            (None, '.') if depth == 0 && (!before.is_ascii_digit() || !whole_number(&expression[..i])) => at = Some(i),
            _ => {}
        }
        before = c;
    }
    at.and_then(|at| expression.split_at_checked(at)).map(|(base, last)| (base.trim(), last.trim()))
}

fn whole_number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn splits_at_the_last_step() {
        for (expression, want) in [
            ("a.b", Some(("a", ".b"))),
            ("a.b[c.d]", Some(("a.b", "[c.d]"))),
            ("a['x]y'].b", Some(("a['x]y']", ".b"))),
            ("[1, 2][5]", Some(("[1, 2]", "[5]"))),
            ("1.5 .a", Some(("1.5", ".a"))),
            ("a[1.5]", Some(("a", "[1.5]"))),
            ("a", None),
        ] {
            assert_eq!(split(expression), want, "{expression}");
        }
    }
}
