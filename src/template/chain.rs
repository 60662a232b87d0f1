//! `a.b.c is defined` and `a.b.c | default(x)` on an undefined `a`.
//!
//! The engine is strict: an attribute of something undefined is an error at once. Jinja, as Ansible sets it up, lets a
//! chain of attributes go on when what stands behind it is `is defined`, `is undefined` or `default`. So templates are read
//! as tokens, and in exactly those chains every link but the last is told to be soft.

use std::sync::Arc;

use minijinja::machinery::Token;
use minijinja::value::Object;
use minijinja::{Environment, State, Value as Jinja};

use super::rewrite::{Edit, Tokens};

const SOFT: &str = "__soft";
const HARD: &str = "__hard";

/// Something undefined whose attributes are undefined too.
#[derive(Debug)]
struct Soft;

impl Object for Soft {
    fn get_value(self: &Arc<Self>, _: &Jinja) -> Option<Jinja> {
        Some(Jinja::from_object(Soft))
    }
    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, _: &str, _: &[Jinja]) -> Result<Jinja, minijinja::Error> {
        Ok(Jinja::from_object(Soft))
    }
}

/// Adds the two filters that a softened template uses.
pub(super) fn add_to(env: &mut Environment<'static>) {
    env.add_filter(SOFT, |value: &Jinja| if value.is_undefined() { Jinja::from_object(Soft) } else { value.clone() });
    env.add_filter(
        HARD,
        |value: &Jinja| {
            if value.downcast_object_ref::<Soft>().is_some() { Jinja::UNDEFINED } else { value.clone() }
        },
    );
}

/// The edits that soften a template's optional chains.
pub(super) fn soften(tokens: &Tokens<'_>) -> Vec<Edit> {
    let mut edits = Vec::new();
    for at in 1..tokens.len() {
        if forgives(tokens, at)
            && let Some((first, ends)) = chain_before(tokens, at)
        {
            // Without an attribute there is nothing to soften.
            if ends.len() < 2 {
                continue;
            }
            edits.push(Edit::insert(tokens[first].1.start_offset, "(".repeat(ends.len())));
            let last = ends.len() - 1;
            for (i, end) in ends.iter().enumerate() {
                let filter = if i == last { HARD } else { SOFT };
                edits.push(Edit::insert(tokens[*end].1.end_offset, format!("|{filter})")));
            }
        }
    }
    edits
}

/// Whether the token at `at` begins `is defined`, `is not defined`, `is undefined`, `| default` or `| d`.
fn forgives(tokens: &Tokens<'_>, at: usize) -> bool {
    let ident = |i: usize| match tokens.get(i) {
        Some((Token::Ident(name), _)) => Some(*name),
        _ => None,
    };
    match &tokens[at].0 {
        Token::Pipe => matches!(ident(at + 1), Some("default" | "d")),
        Token::Ident("is") => {
            let next = if ident(at + 1) == Some("not") { at + 2 } else { at + 1 };
            matches!(ident(next), Some("defined" | "undefined"))
        }
        _ => false,
    }
}

/// The chain that ends before `at`: its first token and the last token of each link (`a`, `a.b`, `a.b['c']`, …).
fn chain_before(tokens: &Tokens<'_>, at: usize) -> Option<(usize, Vec<usize>)> {
    let mut ends = Vec::new();
    let mut i = at.checked_sub(1)?;
    loop {
        ends.push(i);
        let mut callee = i;
        if matches!(tokens[i].0, Token::BracketClose | Token::ParenClose) {
            let open = matching_open(tokens, i)?;
            let Some(before) = open.checked_sub(1) else { return finish(open, ends) };
            match &tokens[before].0 {
                // What is called belongs to the call: a function is not something that may be undefined.
                Token::Ident(name) if !is_keyword(name) && matches!(tokens[i].0, Token::ParenClose) => callee = before,
                Token::Ident(name) if !is_keyword(name) => {
                    i = before;
                    continue;
                }
                Token::BracketClose | Token::ParenClose => {
                    i = before;
                    continue;
                }
                // Nothing before it: a parenthesis or a list, the chain's base.
                _ => return finish(open, ends),
            }
        }
        i = match &tokens[callee].0 {
            Token::Ident(name) if is_keyword(name) => return None,
            Token::Ident(_) | Token::Int(_) => match callee.checked_sub(1).map(|b| &tokens[b].0) {
                Some(Token::Dot) => callee.checked_sub(2)?,
                _ if matches!(tokens[callee].0, Token::Int(_)) => return None,
                _ => return finish(callee, ends),
            },
            _ => return None,
        };
    }
}

fn finish(first: usize, mut ends: Vec<usize>) -> Option<(usize, Vec<usize>)> {
    ends.reverse();
    Some((first, ends))
}

pub(super) fn matching_open(tokens: &Tokens<'_>, close: usize) -> Option<usize> {
    let mut depth = 0usize;
    for i in (0..=close).rev() {
        match &tokens[i].0 {
            Token::BracketClose | Token::ParenClose | Token::BraceClose => depth += 1,
            Token::BracketOpen | Token::ParenOpen | Token::BraceOpen => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(i);
                }
            }
            _ => {}
        }
    }
    None
}

pub(super) fn is_keyword(name: &str) -> bool {
    matches!(name, "not" | "and" | "or" | "in" | "is" | "if" | "else" | "elif" | "for")
}

#[cfg(test)]
mod unit {
    use minijinja::syntax::SyntaxConfig;

    use super::super::rewrite::{Strings, rewrite};

    #[test]
    fn only_optional_chains_are_softened() {
        let soften = |text| rewrite(text, &SyntaxConfig::default(), Strings::Escaped);
        assert_eq!(soften("{{ a.b }} {{ a is defined }}"), "{{ a.b }} {{ a is defined }}");
        assert_eq!(soften("{{ a.b is defined }}"), "{{ ((a|__soft).b|__hard) is defined }}");
        assert_eq!(
            soften("{{ not a['b'].c | default(1) }}"),
            "{{ not (((a|__soft)['b']|__soft).c|__hard) | default(1) }}"
        );
        assert_eq!(soften("{{ [a.b, c] | default(1) }}"), "{{ [a.b, c] | default(1) }}");
        assert_eq!(soften("{{ a.get('b').c|d }}"), "{{ (((a|__soft).get('b')|__soft).c|__hard)|d }}");
        assert_eq!(soften("{{ f(x).y|d }}"), "{{ ((f(x)|__soft).y|__hard)|d }}");
    }
}
