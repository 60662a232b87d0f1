//! Forms of the language that the engine reads otherwise than Jinja: what a loop goes through, what a block sets, tuples
//! without parentheses, and slices.

use minijinja::machinery::Token;
use minijinja::value::{Tuple, ValueKind};
use minijinja::{Environment, Error, State, Value as Jinja};

use super::call::{self, fail, type_name};
use super::chain::{is_keyword, matching_open};
use super::compare::RENDERING;
use super::engine::NATIVE;
use super::links;
use super::mutable::OWN;
use super::rewrite::{Edit, Tokens, matching_close};

/// The filter around what a loop goes through.
const EACH: &str = "__each";

/// The filter around a value that several names are given the parts of.
const PARTS: &str = "__parts";

/// Adds what stands for the forms.
pub(super) fn add_to(env: &mut Environment<'static>) {
    env.add_filter(EACH, each);
    env.add_filter(PARTS, |state: &mut State<'_, '_>, value: Jinja, names: usize| -> Result<Jinja, Error> {
        if call::is_missing(&value) {
            return Err(call::undefined(state, &value));
        }
        unpacked(value, names).map_err(|refusal| fail(format!("{RENDERING}{refusal}")))
    });
}

/// What a loop goes through, with so many names for each item.
fn each(state: &mut State<'_, '_>, value: &Jinja, names: usize) -> Result<Jinja, Error> {
    let refuse = |refusal: String| fail(format!("{RENDERING}{refusal}"));
    if call::is_missing(value) {
        return Err(call::undefined(state, value));
    }
    let value = match value.kind() {
        ValueKind::String => characters(value),
        ValueKind::None | ValueKind::Number | ValueKind::Bool => {
            return Err(refuse(format!("'{}' object is not iterable", type_name(value))));
        }
        ValueKind::Plain if crate::value::is_omit(value) => {
            return Err(refuse("'_OmitType' object is not iterable".to_owned()));
        }
        _ => value.clone(),
    };
    if names < 2 {
        return Ok(value);
    }
    let mut items = Vec::new();
    for item in value.try_iter()?.checked() {
        items.push(unpacked(item?, names).map_err(refuse)?);
    }
    Ok(Jinja::from(items))
}

fn characters(text: &Jinja) -> Jinja {
    let text = text.to_str().unwrap_or_default();
    Jinja::from(text.chars().map(|c| Jinja::from(c.to_string())).collect::<Vec<_>>())
}

/// An item that so many names are given to, or why it is not that many.
fn unpacked(item: Jinja, names: usize) -> Result<Jinja, String> {
    let parts: Vec<Jinja> = match item.kind() {
        // An error of its own, where it is used.
        ValueKind::Undefined | ValueKind::Invalid => return Ok(item),
        ValueKind::String => characters(&item).try_iter().into_iter().flatten().collect(),
        ValueKind::Seq if item.len() == Some(names) => return Ok(item),
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => item.try_iter().into_iter().flatten().collect(),
        _ => return Err(format!("cannot unpack non-iterable {} object", type_name(&item))),
    };
    match parts.len() {
        n if n < names => Err(format!("not enough values to unpack (expected {names}, got {n})")),
        n if n > names => Err(format!("too many values to unpack (expected {names})")),
        _ => Ok(Jinja::from(Tuple::new(parts))),
    }
}

/// The edits of loops, blocks that set and tuples, in a template that `changes` lists or not.
pub(super) fn statements(tokens: &Tokens<'_>, changes: bool, edits: &mut Vec<Edit>) {
    for at in 0..tokens.len() {
        match (&tokens[at].0, tokens.get(at + 1).map(|(token, _)| token)) {
            (Token::VariableStart, Some(_)) => {
                if let Some(end) = end_of(tokens, at, |token| matches!(token, Token::VariableEnd))
                    && commas(tokens, at + 1, end) > 0
                {
                    wrap(tokens, (at + 1, end), ")", edits);
                }
            }
            (Token::BlockStart, Some(Token::Ident("for"))) => a_loop(tokens, at + 2, changes, edits),
            // Several names, each given a part of the value.
            (Token::BlockStart, Some(Token::Ident("set")))
                if let Some(assign) = end_of(tokens, at + 1, |token| matches!(token, Token::Assign))
                    && commas(tokens, at + 2, assign) > 0 =>
            {
                let names = commas(tokens, at + 2, assign) + 1;
                if let Some(end) = end_of(tokens, assign, |token| matches!(token, Token::BlockEnd)) {
                    wrap(tokens, (assign + 1, end), &format!(")|{PARTS}({names})"), edits);
                }
            }
            // A name alone: what stands up to the end of the block is its value.
            (Token::BlockStart, Some(Token::Ident("set"))) => {
                if let (Some((Token::Ident(_), span)), Some((Token::BlockEnd, _))) =
                    (tokens.get(at + 2), tokens.get(at + 3))
                {
                    edits.push(Edit::behind(span, format!("|{NATIVE}")));
                }
            }
            _ => {}
        }
    }
}

fn a_loop(tokens: &Tokens<'_>, names: usize, changes: bool, edits: &mut Vec<Edit>) {
    let is_in = |token: &Token<'_>| matches!(token, Token::Ident("in"));
    let ends = |token: &Token<'_>| matches!(token, Token::Ident("if" | "recursive") | Token::BlockEnd);
    let Some(within) = end_of(tokens, names, is_in) else { return };
    let Some(end) = end_of(tokens, within, ends) else { return };
    let whole = matches!(tokens[names].0, Token::ParenOpen) && matching_close(tokens, names) == Some(within - 1);
    let (first, last) = if whole { (names + 1, within - 1) } else { (names, within) };
    let trailing = matches!(tokens[last - 1].0, Token::Comma);
    let count = commas(tokens, first, last) + usize::from(!trailing);
    let own = if changes { format!("|{OWN}") } else { String::new() };
    wrap(tokens, (within + 1, end), &format!("){own}|{EACH}({count})"), edits);
}

/// Puts parentheses around what stands between two places.
fn wrap(tokens: &Tokens<'_>, (start, end): (usize, usize), close: &str, edits: &mut Vec<Edit>) {
    if start < end {
        edits.push(Edit::before(&tokens[start].1, "("));
        edits.push(Edit::behind(&tokens[end - 1].1, close));
    }
}

/// The first token behind a place, and in no parentheses, that is of a kind.
fn end_of(tokens: &Tokens<'_>, at: usize, is_end: impl Fn(&Token<'_>) -> bool) -> Option<usize> {
    let mut depth = 0usize;
    for (i, (token, _)) in tokens.iter().enumerate().skip(at) {
        match token {
            _ if depth == 0 && i > at && is_end(token) => return Some(i),
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => depth += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => depth = depth.checked_sub(1)?,
            Token::BlockEnd | Token::VariableEnd => return None,
            _ => {}
        }
    }
    None
}

/// How many commas stand between two places, in no parentheses.
fn commas(tokens: &Tokens<'_>, start: usize, end: usize) -> usize {
    let mut depth = 0usize;
    let mut found = 0;
    for (token, _) in tokens.iter().take(end).skip(start) {
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => depth += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => depth = depth.saturating_sub(1),
            Token::Comma if depth == 0 => found += 1,
            _ => {}
        }
    }
    found
}

/// The edits of slices; those of optional chains are made already.
pub(super) fn slices(tokens: &Tokens<'_>, edits: &mut Vec<Edit>) {
    for open in 1..tokens.len() {
        if !matches!(tokens[open].0, Token::BracketOpen) || edits.iter().any(|edit| edit.replaces(&tokens[open].1)) {
            continue;
        }
        let (Some(start), Some(close)) = (base(tokens, open), matching_close(tokens, open)) else { continue };
        if links::colons_within(tokens, open, close).is_empty() {
            continue;
        }
        edits.push(Edit::before(&tokens[start].1, "("));
        links::subscript(tokens, (open, &tokens[open].1), close, edits);
        edits.push(Edit::behind(&tokens[close].1, ")"));
    }
}

/// Where the value begins whose element is asked for behind it.
pub(super) fn base(tokens: &Tokens<'_>, open: usize) -> Option<usize> {
    let mut at = open;
    loop {
        let before = at.checked_sub(1)?;
        at = match &tokens[before].0 {
            Token::ParenClose | Token::BracketClose | Token::BraceClose => matching_open(tokens, before)?,
            Token::Ident(name) if !is_keyword(name) => before,
            Token::Str(_) | Token::String(_) | Token::Int(_) => before,
            _ => return None,
        };
        let attached = matches!(tokens[at].0, Token::ParenOpen | Token::BracketOpen);
        match at.checked_sub(1).map(|before| &tokens[before].0) {
            Some(Token::Dot) => at -= 1,
            Some(Token::Ident(name)) if attached && !is_keyword(name) => {
                // The word that a block begins with is not what is called.
                if at > 1 && matches!(tokens[at - 2].0, Token::BlockStart) {
                    return Some(at);
                }
            }
            Some(Token::ParenClose | Token::BracketClose | Token::BraceClose | Token::Str(_) | Token::String(_))
                if attached => {}
            _ => return Some(at),
        }
    }
}

/// Python's `value[start:stop:step]`.
pub(super) fn slice(value: &Jinja, parts: &[Jinja]) -> Result<Jinja, Error> {
    let refuse = |refusal: String| fail(format!("{RENDERING}{refusal}"));
    let items: Vec<Jinja> = match value.kind() {
        ValueKind::String => characters(value).try_iter()?.collect(),
        ValueKind::Seq | ValueKind::Iterable => value.try_iter()?.collect(),
        ValueKind::Map => return Err(refuse("unhashable type: 'slice'".to_owned())),
        _ => return Err(refuse(format!("'{}' object is not subscriptable", type_name(value)))),
    };
    let part = |at: usize| -> Result<Option<i64>, Error> {
        match parts.get(at) {
            None => Ok(None),
            Some(none) if none.is_none() => Ok(None),
            Some(flag) if flag.kind() == ValueKind::Bool => Ok(Some(i64::from(flag.is_true()))),
            Some(whole) if whole.is_integer() => Ok(Some(i64::try_from(whole.clone()).unwrap_or(i64::MAX))),
            Some(_) => Err(refuse("slice indices must be integers or None or have an __index__ method".to_owned())),
        }
    };
    let (start, stop, step) = (part(0)?, part(1)?, part(2)?.unwrap_or(1));
    if step == 0 {
        return Err(refuse("slice step cannot be zero".to_owned()));
    }
    let chosen: Vec<Jinja> = places(items.len(), start, stop, step).filter_map(|at| items.get(at).cloned()).collect();
    Ok(match value.kind() {
        ValueKind::String => Jinja::from(chosen.iter().filter_map(Jinja::as_str).collect::<String>()),
        _ if value.is_tuple() => Jinja::from(Tuple::new(chosen)),
        _ => Jinja::from(chosen),
    })
}

/// Where a part of something so long begins and ends.
pub(super) fn bounds(length: usize, start: Option<i64>, stop: Option<i64>) -> (usize, usize) {
    let whole = i64::try_from(length).unwrap_or(i64::MAX);
    let inside = |at: i64| (if at < 0 { at.saturating_add(whole).max(0) } else { at }).min(whole);
    // What begins behind the end is nowhere.
    let first = start.unwrap_or(0);
    let begins = if first > whole { first } else { inside(first) };
    let place = |at: i64| usize::try_from(at).unwrap_or(length);
    (place(begins), place(stop.map_or(whole, inside)))
}

/// The places that a slice is of.
fn places(length: usize, start: Option<i64>, stop: Option<i64>, step: i64) -> impl Iterator<Item = usize> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    // What counts from the end does so once; what lies outside is the nearest place inside.
    let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let inside = |at: i64| (if at < 0 { at.saturating_add(length) } else { at }).clamp(lowest, highest);
    let (first, last) = if step > 0 { (lowest, highest) } else { (highest, lowest) };
    let (mut at, stop) = (start.map_or(first, inside), stop.map_or(last, inside));
    std::iter::from_fn(move || {
        let here = (if step > 0 { at < stop } else { at > stop }).then_some(at)?;
        at = at.saturating_add(step);
        usize::try_from(here).ok()
    })
}
