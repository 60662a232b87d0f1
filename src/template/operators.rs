//! Operators that the engine has otherwise than Python: `%`, `*` and `~`, each put into a filter's place; and what Python says
//! where an operator does not fit its operands.

use std::sync::Arc;

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, State, Value as Jinja};

use super::call::{self, fail, type_name};
use super::chain::{is_keyword, matching_open};
use super::compare::{Names, RENDERING};
use super::lazy::Root;
use super::printf::Arguments;
use super::rewrite::{Edit, Tokens};
use super::{TemplateError, engine, printf, time};
use crate::value::Value;

const MOD: &str = "__mod";
const TIMES: &str = "__times";
const TOGETHER: &str = "__together";
const PLUS: &str = "__plus";

/// The longest text or list that `*` makes.
const MAX_REPEATED: usize = 100_000_000;

/// What may give what is an error only where it is used, which the engine's own `~` takes for text.
const GIVES_ERRORS: [&str; 5] = ["undef", "first", "last", "min", "max"];

/// What an operator does.
type Operation = fn(&Jinja, &Jinja, Names) -> Result<Jinja, Error>;

/// How far an operand reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) enum Reach {
    /// A value with its keys, filters and powers.
    Factor,
    /// A product of such.
    Product,
    /// Such, put together as text.
    Text,
    /// A sum of such.
    Sum,
}

/// Adds the filters that stand for the operators.
pub(super) fn add_to(env: &mut Environment<'static>) {
    for (name, operate) in [(MOD, modulo as Operation), (TIMES, times)] {
        env.add_filter(name, move |state: &mut State<'_, '_>, left: &Jinja, right: &Jinja| {
            let tuple = |side: &Jinja| side.is_tuple().then(|| side.try_iter().ok()?.find(call::is_missing)).flatten();
            // Text that is filled with nothing asks for nothing.
            let unused = name == MOD && left.as_str().is_some_and(|text| !text.contains('%'));
            let missing = [left, right].into_iter().find(|side| call::is_missing(side) && !unused).cloned();
            if let Some(missing) = missing.or_else(|| tuple(right)) {
                return Err(call::undefined(state, &missing));
            }
            operate(left, right, type_name).map_err(|error| match error.kind() {
                minijinja::ErrorKind::InvalidOperation => {
                    fail(format!("{RENDERING}{}", error.detail().unwrap_or_default()))
                }
                _ => error,
            })
        });
    }
    env.add_filter(PLUS, |state: &mut State<'_, '_>, value: &Jinja| -> Result<Jinja, Error> {
        match value.kind() {
            _ if call::is_missing(value) => Err(call::undefined(state, value)),
            ValueKind::Number => Ok(value.clone()),
            ValueKind::Bool => Ok(Jinja::from(i64::from(value.is_true()))),
            _ => Err(fail(format!("{RENDERING}bad operand type for unary +: '{}'", type_name(value)))),
        }
    });
    env.add_filter(TOGETHER, |state: &mut State<'_, '_>, left: &Jinja, right: &Jinja| -> Result<Jinja, Error> {
        if let Some(missing) = [left, right].into_iter().find(|side| call::is_missing(side)) {
            return Err(call::undefined(state, missing));
        }
        Ok(Jinja::from(engine::deep_text(left)? + &engine::deep_text(right)?))
    });
}

/// The edits that put operators into filters' places.
pub(super) fn edits(source: &str, tokens: &Tokens<'_>, edits: &mut Vec<Edit>) {
    replace(tokens, (Reach::Product, Reach::Factor), edits, |token| match token {
        Token::Mod => Some(MOD),
        Token::Mul => Some(TIMES),
        _ => None,
    });
    if source.contains('~') && GIVES_ERRORS.iter().any(|word| source.contains(word)) {
        replace(tokens, (Reach::Text, Reach::Product), edits, |token| {
            matches!(token, Token::Tilde).then_some(TOGETHER)
        });
    }
}

/// Puts a filter into the place of every `+` that is a sign: the engine knows only `-` as one.
pub(super) fn plus(tokens: &Tokens<'_>, edits: &mut Vec<Edit>) {
    for (i, (token, span)) in tokens.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|b| tokens.get(b)).map(|(token, _)| token);
        if matches!(token, Token::Plus)
            && !before.is_some_and(ends_operand)
            && let Some(end) = right_operand(tokens, i, Reach::Factor)
        {
            edits.push(Edit::replace_range(span, span, "("));
            edits.push(Edit::behind(&tokens[end].1, format!(")|{PLUS}")));
        }
    }
}

/// The edits that put `-` into its filter's place, in a template that is about dates.
pub(super) fn minus(tokens: &Tokens<'_>, edits: &mut Vec<Edit>) {
    replace(tokens, (Reach::Sum, Reach::Text), edits, |token| matches!(token, Token::Minus).then_some(time::MINUS));
}

fn replace(
    tokens: &Tokens<'_>,
    (left, right): (Reach, Reach),
    edits: &mut Vec<Edit>,
    filter: impl Fn(&Token<'_>) -> Option<&'static str>,
) {
    for (i, (token, span)) in tokens.iter().enumerate() {
        let Some(filter) = filter(token) else { continue };
        if i == 0 || !ends_operand(&tokens[i - 1].0) {
            continue;
        }
        let (Some(start), Some(end)) = (left_operand(tokens, i, left), right_operand(tokens, i, right)) else {
            continue;
        };
        // An argument of a test, and a test of the operand, are read in another way.
        let before = start.checked_sub(1).and_then(|at| tokens.get(at)).map(|(token, _)| token);
        let behind = tokens.get(end + 1).map(|(token, _)| token);
        let negated = matches!(before, Some(Token::Ident("not")))
            && start.checked_sub(2).is_some_and(|at| matches!(tokens[at].0, Token::Ident("is")));
        if negated || [before, behind].into_iter().flatten().any(|token| matches!(token, Token::Ident("is"))) {
            continue;
        }
        edits.push(Edit::before(&tokens[start].1, "("));
        edits.push(Edit::replace_range(span, span, format!(")|{filter}(")));
        edits.push(Edit::behind(&tokens[end].1, ")"));
    }
}

/// Whether an operand can end with this token.
pub(super) fn ends_operand(token: &Token<'_>) -> bool {
    match token {
        Token::Ident(name) => !is_keyword(name),
        Token::Str(_) | Token::String(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_) => true,
        Token::ParenClose | Token::BracketClose | Token::BraceClose => true,
        _ => false,
    }
}

/// Where the operand that ends before `at` begins.
pub(super) fn left_operand(tokens: &Tokens<'_>, at: usize, reach: Reach) -> Option<usize> {
    let mut start = None;
    let mut i = at;
    while let Some(before) = i.checked_sub(1) {
        let token = &tokens[before].0;
        match token {
            Token::ParenClose | Token::BracketClose | Token::BraceClose => i = matching_open(tokens, before)?,
            Token::Mul | Token::Div | Token::FloorDiv | Token::Pow | Token::Mod | Token::Dot | Token::Pipe => {
                i = before
            }
            Token::Tilde if reach >= Reach::Text => i = before,
            Token::Minus | Token::Plus if reach >= Reach::Sum => i = before,
            Token::Minus | Token::Plus if before == 0 || !ends_operand(&tokens[before - 1].0) => i = before,
            // What a block begins with is its own word.
            Token::Ident(_) if before > 0 && matches!(tokens[before - 1].0, Token::BlockStart) => break,
            Token::Ident(name) if !is_keyword(name) => i = before,
            Token::Str(_) | Token::String(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_) => i = before,
            _ => break,
        }
        start = Some(i);
    }
    start
}

/// The last token of the operand that begins after `at`.
pub(super) fn right_operand(tokens: &Tokens<'_>, at: usize, reach: Reach) -> Option<usize> {
    let mut i = at + 1;
    let mut end = None;
    let mut depth = 0usize;
    let mut expects = true;
    while let Some((token, _)) = tokens.get(i) {
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => depth += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose if depth == 0 => break,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => {
                depth -= 1;
                expects = false;
                if depth == 0 {
                    end = Some(i);
                }
            }
            _ if depth > 0 => {}
            // A sign.
            Token::Minus | Token::Plus if expects => {}
            Token::Dot | Token::Pipe | Token::Pow => expects = true,
            Token::Mul | Token::Div | Token::FloorDiv | Token::Mod if reach >= Reach::Product => expects = true,
            Token::Tilde if reach >= Reach::Text => expects = true,
            Token::Minus | Token::Plus if reach >= Reach::Sum => expects = true,
            other if expects && ends_operand(other) => {
                expects = false;
                end = Some(i);
            }
            _ => break,
        }
        i += 1;
    }
    end
}

/// Python's `%`: the remainder of numbers, or text with its places filled.
pub(super) fn modulo(left: &Jinja, right: &Jinja, names: Names) -> Result<Jinja, Error> {
    let Some(text) = left.as_str() else {
        return remainder(left, right, names);
    };
    // As in Python: what has elements has names too, and need not be used.
    let elements = matches!(right.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Undefined);
    let arguments = if right.is_tuple() {
        Arguments { list: right.try_iter()?.checked().collect::<Result<_, _>>()?, mapping: None }
    } else {
        Arguments { list: vec![right.clone()], mapping: elements.then(|| right.clone()) }
    };
    printf::format(text, arguments, names).map(Jinja::from)
}

/// A whole number, of which Python takes truth for one.
pub(super) fn whole(value: &Jinja) -> Option<i128> {
    match value.kind() {
        ValueKind::Bool => Some(i128::from(value.is_true())),
        ValueKind::Number if value.is_integer() => i128::try_from(value.clone()).ok(),
        _ => None,
    }
}

fn remainder(left: &Jinja, right: &Jinja, names: Names) -> Result<Jinja, Error> {
    if let (Some(a), Some(b)) = (whole(left), whole(right)) {
        if b == 0 {
            return Err(fail("integer modulo by zero"));
        }
        let rest = a.wrapping_rem(b);
        return Ok(Jinja::from(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }));
    }
    let Some((a, b)) = number(left).zip(number(right)) else { return Err(unsupported("%", left, right, names)) };
    if b == 0.0 {
        return Err(fail("float modulo"));
    }
    let rest = a % b;
    Ok(Jinja::from(if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }))
}

fn number(value: &Jinja) -> Option<f64> {
    match value.kind() {
        ValueKind::Number | ValueKind::Bool => call::to_float(&Value::from_jinja(value).ok()?).ok(),
        _ => None,
    }
}

fn unsupported(operator: &str, left: &Jinja, right: &Jinja, names: Names) -> Error {
    let (left, right) = (names(left), names(right));
    fail(format!("unsupported operand type(s) for {operator}: '{left}' and '{right}'"))
}

/// Python's `*`: a product of numbers, or text or a list so many times, none at all where the number is below zero.
fn times(left: &Jinja, right: &Jinja, names: Names) -> Result<Jinja, Error> {
    if let (Some(a), Some(b)) = (whole(left), whole(right)) {
        let product = a.checked_mul(b).ok_or_else(|| fail("the product is too large"))?;
        return Ok(Jinja::from(product));
    }
    if let (Some(a), Some(b)) = (number(left), number(right)) {
        return Ok(Jinja::from(a * b));
    }
    let repeats = |value: &Jinja| matches!(value.kind(), ValueKind::String | ValueKind::Seq | ValueKind::Iterable);
    let (sequence, count) = match (repeats(left), repeats(right)) {
        (true, _) => (left, right),
        (false, true) => (right, left),
        (false, false) => return Err(unsupported("*", left, right, names)),
    };
    let Some(count) = whole(count) else {
        return Err(fail(format!("can't multiply sequence by non-int of type '{}'", names(count))));
    };
    let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
    let fits = |length: usize| match length.checked_mul(count) {
        Some(all) if all <= MAX_REPEATED => Ok(()),
        _ => Err(fail("the product is too long")),
    };
    if let Some(text) = sequence.as_str() {
        fits(text.len())?;
        return Ok(Jinja::from(text.repeat(count)));
    }
    let items = sequence.try_iter()?.checked().collect::<Result<Vec<Jinja>, _>>()?;
    fits(items.len())?;
    let all = (0..count).flat_map(|_| items.iter().cloned());
    Ok(if sequence.is_tuple() { Jinja::from(minijinja::value::Tuple::new(all.collect())) } else { all.collect() })
}

/// An error of the engine's, told in Python's words where it is about an operator.
pub(super) fn told(mut told: TemplateError, error: &Error, root: &Arc<Root>) -> TemplateError {
    if !told.is_undefined
        && let Some(words) = words(error, root)
    {
        told.message = words;
    }
    told
}

/// What Python says where the engine's operator did not fit its operands.
fn words(error: &Error, root: &Arc<Root>) -> Option<String> {
    let Some(detail) = error.detail() else { return sign(error, root) };
    let (operator, kinds) = detail.strip_prefix("tried to use ")?.split_once(" operator on unsupported types ")?;
    let (left, right) = kinds.split_once(" and ")?;
    let operands = operands(error, operator).unwrap_or_default();
    let name = |kind: &str, expression: &str| match kind {
        "string" => "str",
        "none" => "NoneType",
        "map" => "dict",
        "sequence" if engine::part(root, expression).is_some_and(|value| value.is_tuple()) => "tuple",
        "sequence" | "iterator" => "list",
        "number" => match engine::part(root, expression) {
            Some(value) if value.kind() == ValueKind::Number => type_name(&value),
            _ => "int",
        },
        "bool" => "bool",
        _ => "object",
    };
    let (left, right) = (name(left, &operands.0), name(right, &operands.1));
    Some(match operator {
        "+" if matches!(left, "str" | "list" | "tuple") => {
            format!("{RENDERING}can only concatenate {left} (not \"{right}\") to {left}")
        }
        "**" => format!("{RENDERING}unsupported operand type(s) for ** or pow(): '{left}' and '{right}'"),
        _ => format!("{RENDERING}unsupported operand type(s) for {operator}: '{left}' and '{right}'"),
    })
}

/// What Python says of a sign before what is no number.
fn sign(error: &Error, root: &Arc<Root>) -> Option<String> {
    let operand = error.template_source()?.get(error.range()?)?.trim_start().strip_prefix('-')?;
    let operand = engine::part(root, operand)?;
    Some(format!("{RENDERING}bad operand type for unary -: '{}'", type_name(&operand)))
}

/// The two sides of the operation that an error is about, as they are written.
fn operands(error: &Error, operator: &str) -> Option<(String, String)> {
    let written = error.template_source()?.get(error.range()?)?;
    let text = format!("{{{{{written}}}}}");
    let tokens: Vec<_> = tokenize(&text, false, SyntaxConfig::default()).collect::<Result<_, _>>().ok()?;
    let mut depth = 0usize;
    let mut found = None;
    for (token, span) in &tokens {
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => depth += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => depth = depth.saturating_sub(1),
            _ if depth == 0 && text.get(span.start_offset as usize..span.end_offset as usize) == Some(operator) => {
                found = Some((span.start_offset as usize, span.end_offset as usize));
            }
            _ => {}
        }
    }
    let (start, end) = found?;
    Some((text.get(2..start)?.to_owned(), text.get(end..text.len() - 2)?.to_owned()))
}
