//! `<`, `>`, `<=` and `>=` as Python has them: of two numbers, two texts or two lists. The engine orders values of any two
//! kinds; Python refuses, and so does the reference.

use minijinja::machinery::Token;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, State, Value as Jinja};

use super::call;
use super::rewrite::{Edit, Reach, Tokens, ends_operand, left_operand, right_operand};

/// The operators, each with the filter that stands for it.
const OPERATORS: [(&str, &str); 4] = [("<", "__lt"), (">", "__gt"), ("<=", "__le"), (">=", "__ge")];

/// Adds the filters that stand for the operators.
pub(super) fn add_to(env: &mut Environment<'static>) {
    for (operator, filter) in OPERATORS {
        env.add_filter(filter, move |state: &mut State<'_, '_>, left: &Jinja, right: &Jinja| {
            compared(state, operator, left, right)
        });
    }
}

/// Replaces each operator by its filter; chains of comparisons, and what stands behind `is` or `in`, stay as they are.
pub(super) fn operators(tokens: &Tokens<'_>, edits: &mut Vec<Edit>) {
    for (i, (token, span)) in tokens.iter().enumerate() {
        let Some(operator) = symbol(token) else { continue };
        if i == 0 || !ends_operand(&tokens[i - 1].0) {
            continue;
        }
        let (Some(start), Some(end)) = (left_operand(tokens, i, true), right_operand(tokens, i, Reach::Sum)) else {
            continue;
        };
        let before = start.checked_sub(1).and_then(|at| tokens.get(at)).map(|(token, _)| token);
        let behind = tokens.get(end + 1).map(|(token, _)| token);
        if [before, behind].into_iter().flatten().any(chains) {
            continue;
        }
        let filter = OPERATORS.iter().find(|(known, _)| *known == operator).map_or("", |(_, filter)| filter);
        edits.push(Edit::before(&tokens[start].1, "("));
        edits.push(Edit::replace_range(span, span, format!(")|{filter}(")));
        edits.push(Edit::behind(&tokens[end].1, ")"));
    }
}

fn symbol(token: &Token<'_>) -> Option<&'static str> {
    Some(match token {
        Token::Lt => "<",
        Token::Gt => ">",
        Token::Lte => "<=",
        Token::Gte => ">=",
        _ => return None,
    })
}

/// Whether a comparison beside this token is a part of something that is read in another way.
fn chains(token: &Token<'_>) -> bool {
    symbol(token).is_some() || matches!(token, Token::Eq | Token::Ne | Token::Ident("is" | "in"))
}

fn compared(state: &mut State<'_, '_>, operator: &str, left: &Jinja, right: &Jinja) -> Result<bool, Error> {
    for side in [left, right] {
        if matches!(side.kind(), ValueKind::Undefined | ValueKind::Invalid) {
            return Err(call::undefined(state, side));
        }
    }
    ordered(operator, left, right).map_err(|refusal| call::fail(format!("{RENDERING}{refusal}")))
}

/// How the reference begins to tell of what happens between operators.
pub(super) const RENDERING: &str = "Error rendering template: ";

/// Whether the operator holds between two values; else why they have no order.
pub(super) fn ordered(operator: &str, left: &Jinja, right: &Jinja) -> Result<bool, String> {
    let number = |value: &Jinja| matches!(value.kind(), ValueKind::Number | ValueKind::Bool);
    let alike = match (left.kind(), right.kind()) {
        _ if number(left) && number(right) => true,
        (ValueKind::None, _) | (_, ValueKind::None) | (ValueKind::Map, ValueKind::Map) => false,
        (ValueKind::Seq | ValueKind::Iterable, ValueKind::Seq | ValueKind::Iterable) => {
            // The first items that are not the same decide.
            let items = left.try_iter().ok().zip(right.try_iter().ok());
            match items.and_then(|(one, other)| one.zip(other).find(|(one, other)| one != other)) {
                Some((one, other)) => return ordered(operator, &one, &other),
                None => true,
            }
        }
        (one, other) => one == other,
    };
    if !alike {
        let (left, right) = (call::type_name(left), call::type_name(right));
        return Err(format!("'{operator}' not supported between instances of '{left}' and '{right}'"));
    }
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
            ("{{ 1 < a < 3 }} {{ a < b == c }} {{ a is b < c }}", "{{ 1 < a < 3 }} {{ a < b == c }} {{ a is b < c }}"),
            ("{{ [a > (1 + 2) * 3, 'x' ~ 'y' < z] }}", "{{ [(a )|__gt( (1 + 2) * 3), ('x' ~ 'y' )|__lt( z)] }}"),
            ("<a> {{ a }} < b", "<a> {{ a }} < b"),
            ("{% set x = n > 1 %}", "{% set x = (n )|__gt( 1) %}"),
        ] {
            assert_eq!(rewrite(text), want);
        }
    }
}
