//! `a.b.c is defined` and `a.b.c | default(x)` on an undefined `a`.
//!
//! The engine is strict: an attribute of something undefined is an error at once. Jinja, as Ansible sets it up, lets a
//! chain of attributes go on, to be an error where its value is used. So templates are read as tokens, and every link but
//! the last is told to be soft in those chains whose value may come to be used by what takes undefined values: those in
//! front of `is defined`, `is undefined` or `default`, and those that are a whole argument, element or assigned value.

use minijinja::machinery::Token;
use minijinja::value::{Rest, ValueOrKwargs};
use minijinja::{Environment, ErrorKind, State, Value as Jinja};

use super::links::{self, is_soft, soft};
use super::rewrite::{Edit, Tokens};

const SOFT: &str = "__soft";
const HARD: &str = "__hard";
const THROUGH: &str = "__through";

/// Adds the two filters that a softened template uses.
pub(super) fn add_to(env: &mut Environment<'static>) {
    env.add_filter(SOFT, |value: &Jinja| if value.is_undefined() { soft() } else { value.clone() });
    env.add_filter(THROUGH, through);
    env.add_filter(HARD, |value: &Jinja| if is_soft(value) { Jinja::UNDEFINED } else { value.clone() });
    links::add_to(env);
}

/// A filter inside an optional chain: what is undefined goes through it.
fn through(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Jinja, minijinja::Error> {
    let mut args = args.into_values();
    if args.len() < 2 {
        return Err(super::call::fail("a filter without a value"));
    }
    let name = args.remove(1);
    let first = args.first().is_some_and(|v| v.is_undefined() || is_soft(v));
    if first {
        return Ok(soft());
    }
    match state.apply_filter(name.as_str().unwrap_or_default(), &args) {
        Err(e) if e.kind() == ErrorKind::UndefinedError => Ok(soft()),
        // Without a name, which `apply_filter` does not give.
        Err(e) if e.kind() == ErrorKind::UnknownFilter => {
            Err(minijinja::Error::new(ErrorKind::UnknownFilter, format!("filter {name} is unknown")))
        }
        Ok(value) if super::call::is_missing(&value) => Ok(soft()),
        result => result,
    }
}

/// The edits that soften a template's optional chains.
pub(super) fn soften(tokens: &Tokens<'_>) -> Vec<Edit> {
    let mut edits = Vec::new();
    for at in 1..tokens.len() {
        if forgives(tokens, at) || (ends_operand(tokens, at) && begins_operand(tokens, at)) {
            soften_before(tokens, at, true, &mut edits);
        }
    }
    edits
}

/// Whether an argument, an element, an assigned value or a branch of `if` and `else` may end before `at`.
fn ends_operand(tokens: &Tokens<'_>, at: usize) -> bool {
    match &tokens[at].0 {
        Token::Comma | Token::BraceClose | Token::BlockEnd | Token::VariableEnd => true,
        Token::ParenClose | Token::BracketClose => {
            // What stands in brackets behind something is its key, where undefined is an error.
            matching_open(tokens, at).is_some_and(|open| !is_subscript(tokens, open))
        }
        Token::Ident("if" | "else") => true,
        _ => false,
    }
}

/// Whether the chain that ends before `at` is the whole of such an operand.
fn begins_operand(tokens: &Tokens<'_>, at: usize) -> bool {
    let Some((first, ends, filters)) = filtered_chain(tokens, at) else { return false };
    // A method, such as one that changes a list, is called on what is there.
    let called = filters.is_empty() && ends.len() > 1 && matches!(tokens[at - 1].0, Token::ParenClose);
    let Some(before) = first.checked_sub(1).filter(|_| !called) else { return false };
    match &tokens[before].0 {
        // Parentheses for their own sake are looked at from behind them.
        Token::ParenOpen if matches!(tokens[at].0, Token::ParenClose) => {
            before.checked_sub(1).is_some_and(|i| matches!(&tokens[i].0, Token::Ident(name) if !is_keyword(name)))
        }
        Token::ParenOpen | Token::Comma | Token::Assign | Token::Colon => true,
        Token::BracketOpen => !is_subscript(tokens, before),
        Token::Ident("else") => true,
        // What is printed as it is complains at once, and best.
        Token::VariableStart => matches!(tokens[at].0, Token::Ident("if")),
        _ => false,
    }
}

fn is_subscript(tokens: &Tokens<'_>, open: usize) -> bool {
    matches!(tokens[open].0, Token::BracketOpen)
        && open.checked_sub(1).is_some_and(|before| match &tokens[before].0 {
            Token::Ident(name) => !is_keyword(name),
            Token::BracketClose | Token::ParenClose | Token::BraceClose | Token::Str(_) | Token::String(_) => true,
            _ => false,
        })
}

/// Softens the chain that ends before `at`; its result is undefined again when `harden` says so. Gives where it begins.
fn soften_before(tokens: &Tokens<'_>, at: usize, harden: bool, edits: &mut Vec<Edit>) -> Option<usize> {
    let (first, ends, filters) = filtered_chain(tokens, at)?;
    // Without an attribute or a filter there is nothing to soften, unless it is inside parentheses.
    let plain = ends.len() < 2 && filters.is_empty();
    if matches!(tokens[first].0, Token::ParenOpen)
        && let Some(close) = ends.first().copied()
        && matching_open(tokens, close) == Some(first)
        && filtered_chain(tokens, close).is_some_and(|(inner, ..)| inner == first + 1)
    {
        soften_before(tokens, close, harden && plain, edits);
    }
    let called = forgives(tokens, at) && links::begins_with_call(tokens, first, ends[0]);
    if plain && harden && !called {
        return Some(first);
    }
    let outer = usize::from(!filters.is_empty() && harden);
    edits.push(Edit::before(&tokens[first].1, "(".repeat(ends.len() + outer)));
    let last = ends.len() - 1;
    for (i, end) in ends.iter().enumerate() {
        let filter = if i == last && filters.is_empty() && harden { HARD } else { SOFT };
        match i.checked_sub(1) {
            Some(before) => links::edits_of(tokens, ends[before] + 1, *end, edits),
            None => links::base_edits(tokens, first, *end, edits),
        }
        edits.push(Edit::behind(&tokens[*end].1, format!("|{filter})")));
    }
    for filter in &filters {
        through_edits(tokens, *filter, edits);
    }
    if outer == 1 {
        edits.push(Edit::behind(&tokens[at - 1].1, format!("|{HARD})")));
    }
    Some(first)
}

/// `name(args)` becomes `__through('name', args)`.
fn through_edits(tokens: &Tokens<'_>, at: usize, edits: &mut Vec<Edit>) {
    // A full name has dots.
    let mut last = at;
    while matches!(tokens.get(last + 1), Some((Token::Dot, _)))
        && matches!(tokens.get(last + 2), Some((Token::Ident(_), _)))
    {
        last += 2;
    }
    let name: String =
        tokens[at..=last].iter().map(|(token, _)| if let Token::Ident(part) = token { *part } else { "." }).collect();
    let called = matches!(tokens.get(last + 1), Some((Token::ParenOpen, _)));
    let bare = matches!(tokens.get(last + 2), Some((Token::ParenClose, _)));
    let text = if called { THROUGH.to_owned() } else { format!("{THROUGH}('{name}')") };
    edits.push(Edit::replace_range(&tokens[at].1, &tokens[last].1, text));
    if called {
        let comma = if bare { "" } else { ", " };
        edits.push(Edit::behind(&tokens[last + 1].1, format!("'{name}'{comma}")));
    }
}

/// Whether a name is that of a test, as in `value is match('x') | default(1)`.
fn is_test(tokens: &Tokens<'_>, at: usize) -> bool {
    let word = |back: usize| at.checked_sub(back).map(|at| &tokens[at].0);
    match word(1) {
        Some(Token::Ident("is")) => true,
        Some(Token::Ident("not")) => matches!(word(2), Some(Token::Ident("is"))),
        _ => false,
    }
}

/// The chain that ends before `at`, and the names of the filters behind it. What `default` or `mandatory` gives is never
/// undefined.
fn filtered_chain(tokens: &Tokens<'_>, at: usize) -> Option<(usize, Vec<usize>, Vec<usize>)> {
    let mut filters = Vec::new();
    let mut end = at;
    loop {
        let literal =
            |at: usize| matches!(tokens[at].0, Token::Str(_) | Token::String(_) | Token::Int(_) | Token::Float(_));
        let chain = match end.checked_sub(1) {
            Some(only) if !filters.is_empty() && literal(only) => Some((only, vec![only])),
            _ => chain_before(tokens, end),
        };
        let (first, ends) = chain?;
        if is_test(tokens, first) {
            return None;
        }
        let Some(pipe) = first.checked_sub(1).filter(|before| matches!(tokens[*before].0, Token::Pipe)) else {
            return Some((first, ends, filters));
        };
        match &tokens[first].0 {
            Token::Ident("default" | "d" | "mandatory") => return None,
            Token::Ident(_) => filters.push(first),
            _ => return None,
        }
        end = pipe;
    }
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
        match tokens[i].0 {
            Token::BraceClose => return finish(matching_open(tokens, i)?, ends),
            Token::Str(_) | Token::String(_) if ends.len() > 1 => return finish(i, ends),
            _ => {}
        }
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
                Token::BracketClose | Token::ParenClose | Token::BraceClose | Token::Str(_) | Token::String(_) => {
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
        assert_eq!(soften("{{ [a.b, c] | default(1) }}"), "{{ [((a|__soft).b|__hard), c] | default(1) }}");
        assert_eq!(
            soften("{{ a | d(b.c | f(e.g)) }}"),
            "{{ a | d((((b|__soft).c|__soft) | __through('f', ((e|__soft).g|__hard))|__hard)) }}"
        );
        assert_eq!(soften("{{ a.get('b').c|d }}"), "{{ (((a|__soft)|__method('get', 'b')|__soft).c|__hard)|d }}");
        assert_eq!(soften("{{ a[b].c() | d }}"), "{{ (((a|__soft)|__item(b)|__soft)|__method('c')|__hard) | d }}");
        assert_eq!(soften("{{ a[1:] | d }}"), "{{ ((a|__soft)|__slice(1, none, none)|__hard) | d }}");
        assert_eq!(soften("{{ f(1) | d }}"), "{{ (__called('f', 1)|__hard) | d }}");
        assert_eq!(soften("{{ a | f | d }}"), "{{ ((a|__soft) | __through('f')|__hard) | d }}");
        assert_eq!(
            soften("{{ a.b | f(1) | g() is defined }}"),
            "{{ (((a|__soft).b|__soft) | __through('f', 1) | __through('g')|__hard) is defined }}"
        );
        assert_eq!(soften("{{ a | x.y.f(1) | d }}"), "{{ ((a|__soft) | __through('x.y.f', 1)|__hard) | d }}");
        assert_eq!(
            soften("{{ ('k' | f(a)).b | d }}"),
            "{{ (((('k'|__soft) | __through('f', a))|__soft).b|__hard) | d }}"
        );
        assert_eq!(soften("{{ (a | f) is defined }}"), "{{ (((a|__soft) | __through('f')|__hard)) is defined }}");
        assert_eq!(soften("{{ a | d(1) | f | d }}"), "{{ a | d(1) | f | d }}");
        assert_eq!(soften("{{ f(x).y|d }}"), "{{ ((__called('f', x)|__soft).y|__hard)|d }}");
    }
}
