//! What the engine reads differently from Jinja, put right in the template's text before it is compiled: optional chains,
//! backslashes in strings, `%` on strings, and lists and dictionaries that a template changes.

use minijinja::machinery::{Span, Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, State, Value as Jinja};

use super::chain::{self, is_keyword, matching_open};
use super::{call, compare, engine, mutable, printf, spaces, time};

const MOD: &str = "__mod";

/// How string literals inside `{{ }}` are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strings {
    /// Backslashes are characters like any other, as the reference has it for strings in playbooks.
    Raw,
    /// Backslashes begin escapes, as in template files and in conditions.
    Escaped,
}

/// A template's tokens with their places.
pub(super) type Tokens<'a> = [(Token<'a>, Span)];

/// Replaces a range of the template's text.
#[derive(Debug)]
pub(super) struct Edit {
    start: usize,
    end: usize,
    /// Whether it belongs to what follows.
    opens: bool,
    text: String,
}

impl Edit {
    /// Puts text before a token.
    pub fn before(token: &Span, text: impl Into<String>) -> Self {
        Self { start: token.start_offset as usize, end: token.start_offset as usize, opens: true, text: text.into() }
    }

    /// Puts text behind a token.
    pub fn behind(token: &Span, text: impl Into<String>) -> Self {
        Self { start: token.end_offset as usize, end: token.end_offset as usize, opens: false, text: text.into() }
    }

    /// Puts text in the place of tokens.
    pub fn replace_range(first: &Span, last: &Span, text: impl Into<String>) -> Self {
        Self { start: first.start_offset as usize, end: last.end_offset as usize, opens: true, text: text.into() }
    }

    fn replace(span: &Span, text: impl Into<String>) -> Self {
        Self::replace_range(span, span, text)
    }
}

/// Adds the filter that stands for `%`.
pub(super) fn add_to(env: &mut Environment<'static>) {
    env.add_filter(MOD, |state: &mut State<'_, '_>, left: &Jinja, right: &Jinja| {
        let inside = right.is_tuple().then(|| right.try_iter().ok()?.find(Jinja::is_undefined)).flatten();
        match inside {
            Some(missing) => Err(call::undefined(state, &missing)),
            None if right.is_undefined() => Err(call::undefined(state, right)),
            None => modulo(left, right),
        }
    });
}

/// The template as the engine must see it; one that cannot be read stays as it is, for the engine to complain of.
pub(super) fn rewrite(source: &str, syntax: &SyntaxConfig, strings: Strings) -> String {
    let spaced = spaces::plain(source, syntax);
    let source = spaced.as_ref();
    let chains = ["defined", "|d", "| d", "ternary", "set "].iter().any(|word| source.contains(word));
    let raw = strings == Strings::Raw && source.contains('\\');
    let modulo = has_modulo(source);
    let mutates = mutable::METHODS.iter().any(|method| source.contains(method));
    let dates = source.contains('-') && ["datetime", "now("].iter().any(|word| source.contains(word));
    let macros = source.contains("macro ");
    let plus = source.contains('+');
    let compares = source.contains(['<', '>']);
    if !(macros || chains || raw || modulo || mutates || dates || plus || compares) {
        return source.to_owned();
    }
    let masked = if raw { mask(source) } else { source.to_owned() };
    let Ok(tokens) = tokenize(&masked, false, syntax.clone()).collect::<Result<Vec<_>, _>>() else {
        return source.to_owned();
    };
    let mut edits = Vec::new();
    if chains {
        edits.extend(chain::soften(&tokens));
    }
    if raw {
        raw_strings(source, &tokens, &mut edits);
    }
    if modulo {
        operators(&tokens, false, &mut edits);
    }
    if dates {
        operators(&tokens, true, &mut edits);
    }
    if plus {
        signs(&tokens, &mut edits);
    }
    if compares {
        compare::operators(&tokens, &mut edits);
    }
    if macros {
        macro_calls(&tokens, &mut edits);
    }
    if mutates {
        owned(&tokens, &mut edits);
    }
    apply(source, edits)
}

/// The same text for the tokenizer, with escapes that may be no escapes replaced by one that always is.
fn mask(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut chars = source.chars();
    while let Some(c) = chars.next() {
        out.push(c);
        if c == '\\' {
            match chars.next() {
                Some('x' | 'u' | 'U' | 'N' | '0'..='9') => out.push('/'),
                Some(other) => out.push(other),
                None => {}
            }
        }
    }
    out
}

fn apply(source: &str, mut edits: Vec<Edit>) -> String {
    // Stable: at one place, what an inner rule closes comes before what an outer one does. What belongs to the token before
    // comes before what belongs to the one behind, and what stands before a token before what takes its place.
    edits.sort_by_key(|edit| (edit.start, edit.opens, edit.end > edit.start));
    let mut out = String::with_capacity(source.len() + 16 * edits.len());
    let mut from = 0;
    for edit in edits {
        let Some(piece) = source.get(from..edit.start) else { return source.to_owned() };
        out.push_str(piece);
        out.push_str(&edit.text);
        from = edit.end;
    }
    out.push_str(source.get(from..).unwrap_or_default());
    out
}

/// Whether some `%` is not a part of a block's delimiters.
fn has_modulo(source: &str) -> bool {
    let bytes = source.as_bytes();
    let at = |i: usize| bytes.get(i).copied().unwrap_or_default();
    (1..bytes.len()).any(|i| bytes[i] == b'%' && at(i - 1) != b'{' && at(i + 1) != b'}')
}

fn raw_strings(source: &str, tokens: &Tokens<'_>, edits: &mut Vec<Edit>) {
    let mut inside = false;
    for (token, span) in tokens {
        match token {
            Token::VariableStart => inside = true,
            Token::VariableEnd => inside = false,
            Token::String(_) if inside => {
                let Some(text) = source.get(span.start_offset as usize..span.end_offset as usize) else { continue };
                let quote = text.chars().next().unwrap_or('"');
                let body = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
                let mut out = String::from(quote);
                let mut chars = body.chars();
                while let Some(c) = chars.next() {
                    out.push(c);
                    if c == '\\' {
                        out.push('\\');
                        match chars.next() {
                            Some('\\') => out.push_str("\\\\"),
                            Some(next) if next == quote => out.extend(['\\', next]),
                            Some(next) => out.push(next),
                            None => {}
                        }
                    }
                }
                out.push(quote);
                edits.push(Edit::replace(span, out));
            }
            _ => {}
        }
    }
}

/// Replaces `%`, or with `minus` the `-` between two operands, by a filter.
fn operators(tokens: &Tokens<'_>, minus: bool, edits: &mut Vec<Edit>) {
    for (i, (token, span)) in tokens.iter().enumerate() {
        let wanted = if minus { matches!(token, Token::Minus) } else { matches!(token, Token::Mod) };
        if !wanted || i == 0 || !ends_operand(&tokens[i - 1].0) {
            continue;
        }
        let reach = if minus { Reach::Product } else { Reach::Factor };
        let (Some(start), Some(end)) = (left_operand(tokens, i, minus), right_operand(tokens, i, reach)) else {
            continue;
        };
        edits.push(Edit::before(&tokens[start].1, "("));
        edits.push(Edit::replace(span, format!(")|{}(", if minus { time::MINUS } else { MOD })));
        edits.push(Edit::behind(&tokens[end].1, ")"));
    }
}

/// Takes away every `+` that is a sign: the engine knows only `-` as one.
fn signs(tokens: &Tokens<'_>, edits: &mut Vec<Edit>) {
    for (i, (token, span)) in tokens.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|b| tokens.get(b)).map(|(token, _)| token);
        if matches!(token, Token::Plus) && !before.is_some_and(ends_operand) {
            edits.push(Edit::replace(span, ""));
        }
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

/// Where the product (or, with `sum`, the sum) that ends before `at` begins.
pub(super) fn left_operand(tokens: &Tokens<'_>, at: usize, sum: bool) -> Option<usize> {
    let mut start = None;
    let mut i = at;
    while let Some(before) = i.checked_sub(1) {
        let token = &tokens[before].0;
        match token {
            Token::ParenClose | Token::BracketClose | Token::BraceClose => i = matching_open(tokens, before)?,
            Token::Mul | Token::Div | Token::FloorDiv | Token::Pow | Token::Mod | Token::Dot | Token::Pipe => {
                i = before
            }
            Token::Minus | Token::Plus | Token::Tilde if sum => i = before,
            Token::Minus | Token::Plus if before == 0 || !ends_operand(&tokens[before - 1].0) => i = before,
            Token::Ident(name) if !is_keyword(name) => i = before,
            Token::Str(_) | Token::String(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_) => i = before,
            _ => break,
        }
        start = Some(i);
    }
    start
}

/// How far an operand reaches to the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) enum Reach {
    /// A value with its keys, filters and powers.
    Factor,
    /// A product of such, or a text put together.
    Product,
    /// A sum of such.
    Sum,
}

/// The last token of the operand that begins after `at`.
pub(super) fn right_operand(tokens: &Tokens<'_>, at: usize, reach: Reach) -> Option<usize> {
    let mut i = at + 1;
    while matches!(tokens.get(i)?.0, Token::Minus | Token::Plus) {
        i += 1;
    }
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
            Token::Dot | Token::Pipe | Token::Pow => expects = true,
            Token::Mul | Token::Div | Token::FloorDiv | Token::Mod | Token::Tilde if reach >= Reach::Product => {
                expects = true;
            }
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

/// A call of the template's own macro: what it prints keeps its type when it is one thing.
fn macro_calls(tokens: &Tokens<'_>, edits: &mut Vec<Edit>) {
    let ident = |i: Option<usize>| match i.and_then(|i| tokens.get(i)) {
        Some((Token::Ident(name), _)) => Some(*name),
        _ => None,
    };
    let named = |i: usize| ident(i.checked_sub(1)) == Some("macro");
    let names: Vec<&str> = (0..tokens.len()).filter(|i| named(*i)).filter_map(|i| ident(Some(i))).collect();
    for (i, (token, span)) in tokens.iter().enumerate() {
        let Token::Ident(name) = token else { continue };
        let behind = i.checked_sub(1).map(|b| &tokens[b].0);
        let other = matches!(behind, Some(Token::Dot | Token::Pipe | Token::Ident("macro" | "call" | "is")));
        if other || !names.contains(name) || !matches!(tokens.get(i + 1), Some((Token::ParenOpen, _))) {
            continue;
        }
        if let Some(close) = matching_close(tokens, i + 1) {
            edits.push(Edit::before(span, "("));
            edits.push(Edit::behind(&tokens[close].1, format!("|{})", engine::NATIVE)));
        }
    }
}

fn matching_close(tokens: &Tokens<'_>, open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (i, (token, _)) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::BracketOpen | Token::ParenOpen | Token::BraceOpen => depth += 1,
            Token::BracketClose | Token::ParenClose | Token::BraceClose => {
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

/// `{% set x = … %}` and `namespace(x=…)` in a template that changes lists or dictionaries: what is set is the template's own.
fn owned(tokens: &Tokens<'_>, edits: &mut Vec<Edit>) {
    for i in 0..tokens.len() {
        if !matches!(tokens[i].0, Token::Assign) {
            continue;
        }
        let in_set =
            (0..i).rev().take_while(|k| !matches!(tokens[*k].0, Token::BlockEnd | Token::VariableStart)).any(|k| {
                matches!(tokens[k].0, Token::Ident("set")) && k > 0 && matches!(tokens[k - 1].0, Token::BlockStart)
            });
        let mut depth = 0usize;
        let in_namespace =
            (0..i).rev().take_while(|k| !matches!(tokens[*k].0, Token::BlockEnd | Token::BlockStart)).any(|k| {
                match tokens[k].0 {
                    Token::ParenClose | Token::BracketClose | Token::BraceClose => depth += 1,
                    Token::ParenOpen if depth == 0 => {
                        return k > 0 && matches!(tokens[k - 1].0, Token::Ident("namespace"));
                    }
                    Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => depth = depth.saturating_sub(1),
                    _ => {}
                }
                false
            });
        let before_paren = (0..i).rev().take_while(|k| !matches!(tokens[*k].0, Token::BlockStart));
        let open = before_paren.filter(|k| matches!(tokens[*k].0, Token::ParenOpen)).count();
        let close = (0..i).rev().take_while(|k| !matches!(tokens[*k].0, Token::BlockStart));
        let close = close.filter(|k| matches!(tokens[*k].0, Token::ParenClose)).count();
        if !(in_namespace || in_set && open == close) {
            continue;
        }
        if let Some(end) = value_end(tokens, i + 1, in_namespace) {
            edits.push(Edit::before(&tokens[i + 1].1, "("));
            edits.push(Edit::behind(&tokens[end].1, format!(")|{}", mutable::OWN)));
        }
    }
}

fn value_end(tokens: &Tokens<'_>, from: usize, one: bool) -> Option<usize> {
    let mut depth = 0usize;
    for (i, (token, _)) in tokens.iter().enumerate().skip(from) {
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => depth += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose if depth == 0 => return i.checked_sub(1),
            Token::ParenClose | Token::BracketClose | Token::BraceClose => depth -= 1,
            Token::BlockEnd => return i.checked_sub(1).filter(|end| *end >= from),
            Token::Comma if depth == 0 && one => return i.checked_sub(1),
            _ => {}
        }
    }
    None
}

/// Python's `%`: the remainder of numbers, or text with its places filled.
fn modulo(left: &Jinja, right: &Jinja) -> Result<Jinja, Error> {
    let Some(text) = left.as_str() else {
        return remainder(left, right);
    };
    let args: Vec<Jinja> = match right.kind() {
        ValueKind::Seq if right.is_tuple() => right.try_iter()?.checked().collect::<Result<_, _>>()?,
        ValueKind::Map => {
            let mut named = Vec::new();
            for key in right.try_iter()? {
                named.push((key.to_string(), right.get_item(&key)?));
            }
            if text.contains("%(") { vec![Jinja::from(Kwargs::from_iter(named))] } else { vec![right.clone()] }
        }
        _ => vec![right.clone()],
    };
    printf::format(text, args).map(Jinja::from)
}

fn remainder(left: &Jinja, right: &Jinja) -> Result<Jinja, Error> {
    if left.is_integer()
        && right.is_integer()
        && let (Some(a), Some(b)) = (left.as_i64(), right.as_i64())
    {
        if b == 0 {
            return Err(super::call::fail("integer modulo by zero"));
        }
        return Ok(Jinja::from(a.wrapping_rem(b).wrapping_add(if a % b != 0 && (a % b < 0) != (b < 0) {
            b
        } else {
            0
        })));
    }
    let number = |value: &Jinja| match value.kind() {
        ValueKind::Number | ValueKind::Bool => super::call::to_float(&crate::value::Value::from_jinja(value)?),
        _ => Err(super::call::fail(format!(
            "unsupported operand type(s) for %: '{}' and '{}'",
            super::call::type_name(left),
            super::call::type_name(right)
        ))),
    };
    let (a, b) = (number(left)?, number(right)?);
    if b == 0.0 {
        return Err(super::call::fail("float modulo by zero"));
    }
    let rest = a % b;
    Ok(Jinja::from(if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }))
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn percent_takes_the_product_before_it() {
        let rewrite = |text| rewrite(text, &SyntaxConfig::default(), Strings::Raw);
        assert_eq!(rewrite("{{ '%s' % x }}"), "{{ ('%s' )|__mod( x) }}");
        assert_eq!(rewrite("{{ a + '%s' % (x, y) ~ b }}"), "{{ a + ('%s' )|__mod( (x, y)) ~ b }}");
        assert_eq!(rewrite("{{ '%s' % x|upper * 2 }}"), "{{ ('%s' )|__mod( x|upper) * 2 }}");
        assert_eq!(rewrite("{% if -a.b[0] % 2 == 0 %}x{% endif %}"), "{% if (-a.b[0] )|__mod( 2) == 0 %}x{% endif %}");
        assert_eq!(rewrite("{% if a %}50%{% endif %}"), "{% if a %}50%{% endif %}");
    }

    #[test]
    fn backslashes_stay_in_expressions_of_playbooks() {
        let text = r#"{{ "a\d\"" }}{% set x = "a\t" %}"#;
        assert_eq!(rewrite(text, &SyntaxConfig::default(), Strings::Raw), r#"{{ "a\\d\\\"" }}{% set x = "a\t" %}"#);
        assert_eq!(rewrite(text, &SyntaxConfig::default(), Strings::Escaped), text);
    }

    #[test]
    fn what_a_template_changes_is_its_own() {
        let rewrite = |text| rewrite(text, &SyntaxConfig::default(), Strings::Raw);
        assert_eq!(
            rewrite("{% set l = [] %}{% set _ = l.append(f(x=1)) %}"),
            "{% set l = ([])|__own %}{% set _ = (l.append(f(x=1)))|__own %}"
        );
        assert_eq!(
            rewrite("{% set n = namespace(a=[], b=1) %}{% set _ = n.a.append(1) %}"),
            "{% set n = (namespace(a=([])|__own, b=(1)|__own))|__own %}{% set _ = (n.a.append(1))|__own %}"
        );
    }
}
