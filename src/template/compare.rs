//! `<`, `>`, `<=` and `>=` as Python has them: of two numbers, two texts or two lists; and `in`, which is asked of what has
//! elements. The engine has an answer for values of any two kinds; Python refuses, and so does the reference.

use minijinja::machinery::Token;
use minijinja::tests::is_in;
use minijinja::value::{Rest, ValueKind};
use minijinja::{Environment, Error, State, Value as Jinja};

use super::call::{self, type_name};
use super::chain::is_keyword;
use super::operators::{Reach, ends_operand, left_operand, right_operand};
use super::rewrite::{Edit, Tokens};

/// The operators, each with the filter that stands for it.
const OPERATORS: [(&str, &str); 6] =
    [("<", "__lt"), (">", "__gt"), ("<=", "__le"), (">=", "__ge"), ("in", "__in"), ("not in", "__not_in")];

/// The filter that stands for several comparisons in one.
const CHAIN: &str = "__compare";

/// Adds the filters that stand for the operators.
pub(super) fn add_to(env: &mut Environment<'static>) {
    for (operator, filter) in OPERATORS {
        env.add_filter(filter, move |state: &mut State<'_, '_>, left: &Jinja, right: &Jinja| {
            compared(state, operator, left, right)
        });
    }
    env.add_filter(CHAIN, |state: &mut State<'_, '_>, first: Jinja, rest: Rest<Jinja>| -> Result<bool, Error> {
        let mut left = first;
        for pair in rest.chunks(2) {
            let [operator, right] = pair else { break };
            if !compared(state, operator.as_str().unwrap_or_default(), &left, right)? {
                return Ok(false);
            }
            left = right.clone();
        }
        Ok(true)
    });
}

/// A comparison in a template: where its operator stands, and where it ends.
struct Comparison {
    operator: &'static str,
    at: usize,
    last: usize,
    end: usize,
}

/// Replaces operators by their filters; what stands behind `is`, and the `in` of a loop, stays as it is.
pub(super) fn operators(tokens: &Tokens<'_>, edits: &mut Vec<Edit>) {
    let mut seen = Vec::new();
    for at in 1..tokens.len() {
        if seen.contains(&at) {
            continue;
        }
        let Some(first) = comparison(tokens, at) else { continue };
        let Some(start) = left_operand(tokens, at, Reach::Sum) else { continue };
        let mut chain = vec![first];
        while let Some(next) = chain.last().and_then(|last| comparison(tokens, last.end + 1)) {
            chain.push(next);
        }
        seen.extend(chain.iter().map(|step| step.at));
        let before = start.checked_sub(1).and_then(|at| tokens.get(at));
        let behind = chain.last().and_then(|last| tokens.get(last.end + 1));
        let tested = [before, behind].into_iter().flatten().any(|(token, _)| matches!(token, Token::Ident("is")));
        let equal = chain.iter().all(|step| matches!(step.operator, "==" | "!="));
        if !(tested || equal || is_loop(tokens, start)) {
            replace(tokens, start, &chain, edits);
        }
    }
}

/// Puts a filter into the place of comparisons.
fn replace(tokens: &Tokens<'_>, start: usize, chain: &[Comparison], edits: &mut Vec<Edit>) {
    edits.push(Edit::before(&tokens[start].1, "("));
    let single = chain.len() == 1;
    for (i, step) in chain.iter().enumerate() {
        let filter = OPERATORS.iter().find(|(known, _)| *known == step.operator).map_or("", |(_, filter)| filter);
        let text = match i {
            0 if single => format!(")|{filter}("),
            0 => format!(")|{CHAIN}('{}', ", step.operator),
            _ => format!(", '{}', ", step.operator),
        };
        edits.push(Edit::replace_range(&tokens[step.at].1, &tokens[step.last].1, text));
        if i + 1 == chain.len() {
            edits.push(Edit::behind(&tokens[step.end].1, ")"));
        }
    }
}

/// The comparison whose operator stands at a place.
fn comparison(tokens: &Tokens<'_>, at: usize) -> Option<Comparison> {
    let (token, _) = tokens.get(at)?;
    ends_operand(&tokens[at.checked_sub(1)?].0).then_some(())?;
    let (operator, last) = match token {
        Token::Ident("not") if matches!(tokens.get(at + 1), Some((Token::Ident("in"), _))) => ("not in", at + 1),
        token => (symbol(token)?, at),
    };
    let end = right_operand(tokens, last, Reach::Sum)?;
    Some(Comparison { operator, at, last, end })
}

fn symbol(token: &Token<'_>) -> Option<&'static str> {
    Some(match token {
        Token::Lt => "<",
        Token::Gt => ">",
        Token::Lte => "<=",
        Token::Gte => ">=",
        Token::Eq => "==",
        Token::Ne => "!=",
        Token::Ident("in") => "in",
        _ => return None,
    })
}

/// Whether what begins at a place is what a loop goes through by.
fn is_loop(tokens: &Tokens<'_>, start: usize) -> bool {
    let names = |token: &Token<'_>| match token {
        Token::Ident(name) => !is_keyword(name),
        Token::Comma | Token::ParenOpen | Token::ParenClose => true,
        _ => false,
    };
    let before = (0..start).rev().find(|at| !names(&tokens[*at].0));
    before.is_some_and(|at| {
        matches!(tokens[at].0, Token::Ident("for")) && at > 0 && matches!(tokens[at - 1].0, Token::BlockStart)
    })
}

fn compared(state: &mut State<'_, '_>, operator: &str, left: &Jinja, right: &Jinja) -> Result<bool, Error> {
    let absent = |value: &Jinja| matches!(value.kind(), ValueKind::Undefined | ValueKind::Invalid);
    // What is empty holds nothing, whatever it is.
    let nothing = operator.ends_with("in") && right.kind() == ValueKind::Seq && right.len() == Some(0);
    if let Some(missing) = [right, left].into_iter().find(|side| absent(side) && !nothing) {
        return Err(call::undefined(state, missing));
    }
    let refused = |refusal: String| call::fail(format!("{RENDERING}{refusal}"));
    match operator {
        "==" => Ok(left == right),
        "!=" => Ok(left != right),
        "in" if nothing => Ok(false),
        "not in" if nothing => Ok(true),
        "in" => contained(state, left, right, type_name),
        "not in" => contained(state, left, right, type_name).map(|found| !found),
        _ => ordered(operator, left, right, type_name),
    }
    .map_err(refused)
}

/// How the reference begins to tell of what happens between operators.
pub(super) const RENDERING: &str = "Error rendering template: ";

/// What types are called in an error.
pub(super) type Names = fn(&Jinja) -> &'static str;

/// Whether one value is in another; else why it cannot be asked.
pub(super) fn contained(state: &State<'_, '_>, value: &Jinja, within: &Jinja, names: Names) -> Result<bool, String> {
    match within.kind() {
        ValueKind::String if value.kind() != ValueKind::String => {
            Err(format!("'in <string>' requires string as left operand, not {}", names(value)))
        }
        ValueKind::Map
            if matches!(value.kind(), ValueKind::Map) || value.kind() == ValueKind::Seq && !value.is_tuple() =>
        {
            Err(format!("unhashable type: '{}'", names(value)))
        }
        ValueKind::None | ValueKind::Bool | ValueKind::Number | ValueKind::Plain => {
            let kind = if crate::value::is_omit(within) { "_OmitType" } else { names(within) };
            Err(format!("argument of type '{kind}' is not iterable"))
        }
        _ => is_in(state, value, within).map_err(|error| error.detail().unwrap_or_default().to_owned()),
    }
}

/// Whether the operator holds between two values; else why they have no order.
pub(super) fn ordered(operator: &str, left: &Jinja, right: &Jinja, names: Names) -> Result<bool, String> {
    let number = |value: &Jinja| matches!(value.kind(), ValueKind::Number | ValueKind::Bool);
    let alike = match (left.kind(), right.kind()) {
        _ if number(left) && number(right) => true,
        (ValueKind::None, _) | (_, ValueKind::None) | (ValueKind::Map, ValueKind::Map) => false,
        (ValueKind::Seq | ValueKind::Iterable, ValueKind::Seq | ValueKind::Iterable) => {
            // The first items that are not the same decide.
            let items = left.try_iter().ok().zip(right.try_iter().ok());
            match items.and_then(|(one, other)| one.zip(other).find(|(one, other)| one != other)) {
                Some((one, other)) => return ordered(operator, &one, &other, names),
                None => true,
            }
        }
        (one, other) => one == other,
    };
    if !alike {
        let (left, right) = (names(left), names(right));
        return Err(format!("'{operator}' not supported between instances of '{left}' and '{right}'"));
    }
    // Python takes truth for a number.
    let plain = |value: &Jinja| {
        if value.kind() == ValueKind::Bool { Jinja::from(i64::from(value.is_true())) } else { value.clone() }
    };
    let (left, right) = (plain(left), plain(right));
    Ok(match operator {
        "<" => left < right,
        ">" => left > right,
        "<=" => left <= right,
        _ => left >= right,
    })
}

#[cfg(test)]
mod unit {
    use minijinja::syntax::SyntaxConfig;

    use super::super::rewrite::{Strings, rewrite};

    #[test]
    fn a_comparison_is_of_sums() {
        let rewrite = |text| rewrite(text, &SyntaxConfig::default(), Strings::Escaped);
        for (text, want) in [
            ("{{ a < 1 }}", "{{ (a )|__lt( 1) }}"),
            ("{% if not a.b | length >= -1 %}", "{% if not (a.b | length )|__ge( -1) %}"),
            (
                "{{ x if f(a > b) <= 2 - c[0]|int else 3 > 4 }}",
                "{{ x if (f((a )|__gt( b)) )|__le( 2 - c[0]|int) else (3 )|__gt( 4) }}",
            ),
            ("{{ a < b and c > d or e is defined }}", "{{ (a )|__lt( b) and (c )|__gt( d) or e is defined }}"),
            (
                "{{ 1 < a < 3 }} {{ a < b == (c > d) }} {{ a is b < c }}",
                "{{ (1 )|__compare('<',  a , '<',  3) }} {{ (a )|__compare('<',  b , '==',  ((c )|__gt( d))) }} {{ a is b < c }}",
            ),
            (
                "{{ a not in b + c }}{% for x in y if x in z %}",
                "{{ (a )|__not_in( b + c) }}{% for x in (y)|__each(1) if (x )|__in( z) %}",
            ),
            (
                "{% for (a, b) in c %}{% if 'x' in d['y'] %}",
                "{% for (a, b) in (c)|__each(2) %}{% if ('x' )|__in( d['y']) %}",
            ),
            (
                "{{ [a > (1 + 2) * 3, 'x' ~ 'y' < z] }}",
                "{{ [(a )|__gt( ((1 + 2) )|__times( 3)), ('x' ~ 'y' )|__lt( z)] }}",
            ),
            ("<a> {{ a }} < b", "<a> {{ a }} < b"),
            ("{% set x = n > 1 %}", "{% set x = (n )|__gt( 1) %}"),
        ] {
            assert_eq!(rewrite(text), want);
        }
    }
}
