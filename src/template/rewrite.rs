//! What the engine reads differently from Jinja, put right in the template's text before it is compiled: optional chains,
//! backslashes in strings, signs, and lists and dictionaries that a template changes.

use minijinja::machinery::{Span, Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::{chain, compare, engine, forms, mutable, operators, spaces};

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

    /// Whether it takes the place of the token.
    pub fn replaces(&self, token: &Span) -> bool {
        self.start == token.start_offset as usize && self.end > self.start
    }

    fn replace(span: &Span, text: impl Into<String>) -> Self {
        Self::replace_range(span, span, text)
    }
}

/// The template as the engine must see it; one that cannot be read stays as it is, for the engine to complain of.
pub(super) fn rewrite(source: &str, syntax: &SyntaxConfig, strings: Strings) -> String {
    let spaced = spaces::plain(source, syntax);
    let source = spaced.as_ref();
    let chains = ["defined", "|d", "| d", "ternary", "set "].iter().any(|word| source.contains(word));
    let raw = strings == Strings::Raw && source.contains('\\');
    let forms = source.contains(',')
        || source.contains('[') && source.contains(':')
        || ["for ", "set "].iter().any(|word| source.contains(word));
    let operates = has_modulo(source) || source.contains(['*', '~']);
    let mutates = mutable::METHODS.iter().any(|method| source.contains(method));
    let dates = source.contains('-') && ["datetime", "now("].iter().any(|word| source.contains(word));
    let macros = source.contains("macro ") || source.contains("import ");
    let plus = source.contains('+');
    let compares = source.contains(['<', '>']) || source.contains(" in") || source.contains("\nin");
    if !(macros || chains || raw || forms || operates || mutates || dates || plus || compares) {
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
    if forms {
        forms::slices(&tokens, &mut edits);
        forms::statements(&tokens, mutates, &mut edits);
    }
    if operates {
        operators::edits(source, &tokens, &mut edits);
    }
    if dates {
        operators::minus(&tokens, &mut edits);
    }
    if plus {
        operators::plus(&tokens, &mut edits);
    }
    if compares {
        compare::operators(&tokens, &mut edits);
    }
    if macros {
        macro_calls(&tokens, &mut edits);
    }
    if mutates {
        owned(&tokens, &mut edits);
        mutable::of_macros(&tokens, syntax.block_delimiters(), &mut edits);
        return mutable::of_template(&tokens, syntax.block_delimiters()) + &apply(source, edits);
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

/// The names that a template takes from others.
fn imported<'t>(tokens: &Tokens<'t>) -> impl Iterator<Item = &'t str> {
    let mut taking = false;
    let starts = tokens.iter().map(|(token, _)| token).zip(tokens.iter().skip(1).map(|(token, _)| token));
    starts.filter_map(move |pair| {
        match pair {
            (Token::BlockStart, Token::Ident("from")) => taking = true,
            (Token::BlockEnd, _) => taking = false,
            // Of a name and another one for it the last counts, as neither is something else here.
            (Token::Ident("import" | "as") | Token::Comma, Token::Ident(name)) if taking => return Some(*name),
            _ => {}
        }
        None
    })
}

/// A call of the template's own macro: what it prints keeps its type when it is one thing.
fn macro_calls(tokens: &Tokens<'_>, edits: &mut Vec<Edit>) {
    let ident = |i: Option<usize>| match i.and_then(|i| tokens.get(i)) {
        Some((Token::Ident(name), _)) => Some(*name),
        _ => None,
    };
    let named = |i: usize| ident(i.checked_sub(1)) == Some("macro");
    let mut names: Vec<&str> = (0..tokens.len()).filter(|i| named(*i)).filter_map(|i| ident(Some(i))).collect();
    names.extend(imported(tokens));
    for (i, (token, span)) in tokens.iter().enumerate() {
        let Token::Ident(name) = token else { continue };
        let behind = i.checked_sub(1).map(|b| &tokens[b].0);
        // The block `call` may name parameters before the macro.
        let parameters = matches!(behind, Some(Token::ParenClose)) && within_call(&tokens[..i]);
        let other =
            parameters || matches!(behind, Some(Token::Dot | Token::Pipe | Token::Ident("macro" | "call" | "is")));
        if other || !names.contains(name) || !matches!(tokens.get(i + 1), Some((Token::ParenOpen, _))) {
            continue;
        }
        if let Some(close) = matching_close(tokens, i + 1) {
            edits.push(Edit::before(span, "("));
            edits.push(Edit::behind(&tokens[close].1, format!("|{})", engine::NATIVE)));
        }
    }
}

/// Whether tokens end within the tag of a block `call`.
fn within_call(tokens: &Tokens<'_>) -> bool {
    let start = tokens.iter().rposition(|(token, _)| matches!(token, Token::BlockStart | Token::BlockEnd));
    let word = start.and_then(|start| tokens.get(start + 1));
    matches!(word, Some((Token::Ident("call"), _)))
}

pub(super) fn matching_close(tokens: &Tokens<'_>, open: usize) -> Option<usize> {
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

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn percent_takes_the_product_before_it() {
        let rewrite = |text| rewrite(text, &SyntaxConfig::default(), Strings::Raw);
        assert_eq!(rewrite("{{ '%s' % x }}"), "{{ ('%s' )|__mod( x) }}");
        assert_eq!(rewrite("{{ a + '%s' % (x, y) ~ b }}"), "{{ a + ('%s' )|__mod( (x, y)) ~ b }}");
        assert_eq!(rewrite("{{ '%s' % x|upper * 2 }}"), "{{ (('%s' )|__mod( x|upper) )|__times( 2) }}");
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
            "{% set l = (l)|__own +%}{% set l = ([])|__own %}{% set _ = (l.append(f(x=1)))|__own %}"
        );
        assert_eq!(
            rewrite("{% set n = namespace(a=[], b=1) %}{% set _ = n.a.append(1) %}"),
            "{% set n = (n)|__own +%}{% set n = (namespace(a=([])|__own, b=(1)|__own))|__own %}{% set _ = (n.a.append(1))|__own %}"
        );
    }
}
