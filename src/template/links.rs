//! The links of an optional chain (see `chain`) that the engine takes too strictly or too loosely: calls of what is not there,
//! slices of it, and elements whose key is undefined.

use std::sync::Arc;

use minijinja::machinery::{Span, Token};
use minijinja::value::{Object, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value as Jinja};

use super::call::{fail, is_missing, undefined};
use super::forms;
use super::rewrite::{Edit, Tokens};

const ITEM: &str = "__item";
const SLICE: &str = "__slice";
const METHOD: &str = "__method";
const CALLED: &str = "__called";

/// Something undefined whose attributes are undefined too.
#[derive(Debug)]
pub(super) struct Soft;

impl Object for Soft {
    fn get_value(self: &Arc<Self>, _: &Jinja) -> Option<Jinja> {
        Some(soft())
    }
}

/// Something undefined on which a chain goes on.
pub(super) fn soft() -> Jinja {
    Jinja::from_object(Soft)
}

/// Whether this is where a chain came to nothing.
pub(super) fn is_soft(value: &Jinja) -> bool {
    value.downcast_object_ref::<Soft>().is_some()
}

/// Adds what stands for the links.
pub(super) fn add_to(env: &mut Environment<'static>) {
    env.add_filter(ITEM, item);
    env.add_filter(SLICE, slice);
    env.add_filter(METHOD, method);
    env.add_function(CALLED, called);
}

/// `value[key]`: what is undefined is no key of what is there, which no `default` behind it forgives.
fn item(state: &mut State<'_, '_>, value: &Jinja, key: &Jinja) -> Result<Jinja, Error> {
    match key.kind() {
        _ if is_soft(value) => Ok(soft()),
        ValueKind::Undefined | ValueKind::Invalid => Err(undefined(state, key)),
        _ => value.get_item(key),
    }
}

/// `value[start:stop:step]`.
fn slice(state: &mut State<'_, '_>, value: &Jinja, parts: Rest<Jinja>) -> Result<Jinja, Error> {
    if is_soft(value) {
        return Ok(soft());
    }
    if is_missing(value) {
        return Err(undefined(state, value));
    }
    if let Some(missing) = parts.iter().find(|part| is_missing(part)) {
        return Err(undefined(state, missing));
    }
    forms::slice(value, &parts)
}

/// `value.name(args)`; a method that a value does not have is undefined, and so is what it gives.
fn method(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Jinja, Error> {
    let mut args = args.into_values();
    if args.len() < 2 {
        return Err(fail("a method without a value"));
    }
    let name = args.remove(1);
    let value = args.remove(0);
    if is_missing(&value) || is_soft(&value) {
        return Ok(soft());
    }
    match value.call_method(state, name.as_str().unwrap_or_default(), &args) {
        Err(e) if matches!(e.kind(), ErrorKind::UnknownMethod | ErrorKind::UndefinedError) => Ok(soft()),
        result => result,
    }
}

/// `name(args)` of what may not be there, or finds nothing, as a lookup of a variable.
fn called(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Jinja, Error> {
    let mut args = args.into_values();
    if args.is_empty() {
        return Err(fail("a call of nothing"));
    }
    let name = args.remove(0);
    let name = name.as_str().unwrap_or_default();
    match state.lookup(name) {
        Some(function) if !is_missing(&function) => match function.call(state, &args) {
            // A list of what is found is there, or an error.
            Err(e) if e.kind() == ErrorKind::UndefinedError && !matches!(name, "query" | "q") => Ok(soft()),
            result => result,
        },
        _ => Ok(soft()),
    }
}

/// The edits of one link, the tokens from `start` to `end`, behind a base that may be soft.
pub(super) fn edits_of(tokens: &Tokens<'_>, start: usize, end: usize, edits: &mut Vec<Edit>) {
    match (&tokens[start], tokens.get(start + 1), tokens.get(start + 2)) {
        ((Token::BracketOpen, open), ..) => subscript(tokens, (start, open), end, edits),
        ((Token::Dot, dot), Some((Token::Ident(name), ident)), Some((Token::ParenOpen, open))) if start + 2 < end => {
            edits.push(Edit::replace_range(dot, ident, format!("|{METHOD}")));
            first_argument(tokens, start + 2, open, name, edits);
        }
        _ => {}
    }
}

/// Whether a chain begins with `name(args)`, of a name that may not be there: some are the language's own.
pub(super) fn begins_with_call(tokens: &Tokens<'_>, start: usize, end: usize) -> bool {
    let own = |name: &str| matches!(name, "super" | "loop" | "caller");
    matches!(&tokens[start].0, Token::Ident(name) if !own(name))
        && start + 1 < end
        && matches!(tokens[start + 1].0, Token::ParenOpen)
}

/// The edits of a chain that begins with a call, `name(args)`.
pub(super) fn base_edits(tokens: &Tokens<'_>, start: usize, end: usize, edits: &mut Vec<Edit>) {
    if let (Token::Ident(name), span) = &tokens[start]
        && begins_with_call(tokens, start, end)
    {
        edits.push(Edit::replace_range(span, span, CALLED));
        first_argument(tokens, start + 1, &tokens[start + 1].1, name, edits);
    }
}

/// Puts a name before the arguments in the parentheses that begin at `at`.
fn first_argument(tokens: &Tokens<'_>, at: usize, open: &Span, name: &str, edits: &mut Vec<Edit>) {
    let bare = matches!(tokens.get(at + 1), Some((Token::ParenClose, _)));
    edits.push(Edit::behind(open, format!("'{name}'{}", if bare { "" } else { ", " })));
}

pub(super) fn subscript(tokens: &Tokens<'_>, (start, open): (usize, &Span), end: usize, edits: &mut Vec<Edit>) {
    let colons = colons_within(tokens, start, end);
    // A key that is written out is there.
    if colons.is_empty() && !tokens[start..end].iter().any(|(token, _)| matches!(token, Token::Ident(_))) {
        return;
    }
    edits.push(Edit::replace_range(open, open, format!("|{}(", if colons.is_empty() { ITEM } else { SLICE })));
    // A part that is left out is none.
    let mut before = start;
    for colon in &colons {
        let none = if before + 1 == *colon { "none" } else { "" };
        edits.push(Edit::replace_range(&tokens[*colon].1, &tokens[*colon].1, format!("{none}, ")));
        before = *colon;
    }
    let mut rest = if !colons.is_empty() && before + 1 == end { "none" } else { "" }.to_owned();
    if colons.len() == 1 {
        rest.push_str(", none");
    }
    edits.push(Edit::replace_range(&tokens[end].1, &tokens[end].1, format!("{rest})")));
}

/// The colons between two brackets that are not within others.
pub(super) fn colons_within(tokens: &Tokens<'_>, start: usize, end: usize) -> Vec<usize> {
    let mut depth = 0usize;
    let mut found = Vec::new();
    for (at, (token, _)) in tokens.iter().enumerate().take(end).skip(start + 1) {
        match token {
            Token::BracketOpen | Token::ParenOpen | Token::BraceOpen => depth += 1,
            Token::BracketClose | Token::ParenClose | Token::BraceClose => depth = depth.saturating_sub(1),
            Token::Colon if depth == 0 => found.push(at),
            _ => {}
        }
    }
    found
}
