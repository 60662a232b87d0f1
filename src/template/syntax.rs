//! What is said of a template that cannot be read, in Jinja's words.

use std::ops::Range;

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::python;

/// Jinja's sentence for the engine's complaint about a place in a template.
pub(super) fn told(detail: &str, source: &str, place: Option<Range<usize>>) -> String {
    let place = place.filter(|place| source.get(place.clone()).is_some()).unwrap_or(source.len()..source.len());
    let written = source.get(place.clone()).unwrap_or_default();
    if let Some(tag) = detail.strip_prefix("unknown statement ") {
        return unknown_tag(Some(tag), source.get(..place.start).unwrap_or_default());
    }
    match detail {
        "unexpected character" => return sign_at(source, place.start),
        "unexpected end of string" => {
            let begun = Tag::around(source, source.len()).and_then(|tag| tag.quote);
            return sign_at(source, begun.unwrap_or(place.start));
        }
        "unexpected end of raw block" => return "Missing end of raw directive".to_owned(),
        "unexpected end of comment" => return "Missing end of comment tag".to_owned(),
        "non-keyword arg after keyword arg" => return "invalid syntax for function call expression".to_owned(),
        _ if detail.ends_with(", expected statement") => return "tag name expected".to_owned(),
        _ => {}
    }
    let Some(rest) = detail.strip_prefix("unexpected ") else { return detail.to_owned() };
    let (got, want) = rest.split_once(", expected ").map_or((rest, None), |(got, want)| (got, Some(want)));
    let tag = Tag::around(source, if got == "end of input" { source.len() } else { place.start });
    let shown = match got {
        "identifier" if !written.is_empty() => python::quoted(written),
        _ => name(got),
    };
    if let Some(wrong) = closing(got).and_then(|sign| tag.as_ref()?.mismatch(sign)) {
        return wrong;
    }
    match want {
        _ if got == "end of input" && tag.is_none() => unknown_tag(None, source),
        Some(want) if got == "end of input" => format!("unexpected end of template, expected {}.", name(want)),
        Some("identifier or integer") => "expected name or number".to_owned(),
        Some("in") if tag.as_ref().is_some_and(|tag| tag.text == "for") => {
            format!("Expected an expression, got {shown}")
        }
        Some(want) => format!("expected token {}, got {shown}", name(want)),
        None if got.starts_with("end of ") && tag.is_some_and(|tag| tag.awaits_expression()) => {
            format!("Expected an expression, got {shown}")
        }
        None => format!("unexpected {shown}"),
    }
}

/// The same sentence for an expression without braces, which the engine was given between some.
pub(super) fn in_expression(message: &str) -> String {
    const END: &str = "'end of print statement'";
    let Some(told) = message.strip_prefix("Syntax error in template: ") else { return message.to_owned() };
    let told = if told.starts_with(&format!("expected token {END}")) {
        "chunk after expression".to_owned()
    } else if let Some(wanted) = told.strip_prefix("unexpected '}', expected ") {
        format!("unexpected end of template, expected {wanted}.")
    } else if let Some(wanted) =
        told.strip_prefix("expected token ").and_then(|rest| rest.strip_suffix(&format!(", got {END}")))
    {
        format!("unexpected end of template, expected {wanted}.")
    } else if let Some((words, at)) = told.strip_prefix("unexpected char ").and_then(|rest| rest.rsplit_once(" at ")) {
        // Three characters stand before the expression.
        format!("unexpected char {words} at {}", at.parse::<usize>().unwrap_or(0).saturating_sub(3))
    } else {
        told.replace(END, "'end of template'")
    };
    format!("Syntax error in expression: {told}")
}

/// What is said of a sign that begins nothing.
fn sign_at(source: &str, at: usize) -> String {
    let (before, rest) = source.split_at_checked(at).unwrap_or((source, ""));
    let sign = python::quoted(&rest.chars().take(1).collect::<String>());
    format!("unexpected char {sign} at {}", before.chars().count())
}

/// What Jinja calls one of the engine's tokens, in quotes.
fn name(token: &str) -> String {
    let name = match token {
        "identifier" => "name",
        "end of variable block" => "end of print statement",
        "end of block" => "end of statement block",
        "end of input" => "end of template",
        other => other.trim_matches('`'),
    };
    python::quoted(name)
}

/// The bracket that a token closes.
fn closing(token: &str) -> Option<char> {
    match token {
        "`)`" => Some(')'),
        "`]`" => Some(']'),
        "`}`" => Some('}'),
        _ => None,
    }
}

/// An expression or statement that is not closed yet.
struct Tag<'s> {
    /// What it says so far.
    text: &'s str,
    statement: bool,
    /// Where a string begins that is not closed.
    quote: Option<usize>,
}

impl<'s> Tag<'s> {
    /// What a place lies in, when it lies between delimiters.
    fn around(source: &'s str, at: usize) -> Option<Self> {
        let before = source.get(..at)?;
        let (mut open, mut rest, mut offset) = (None, before, 0);
        let mut quote = None;
        while let Some(c) = rest.chars().next() {
            let width = match (open, quote) {
                (None, _) if rest.starts_with("{{") || rest.starts_with("{%") => {
                    open = Some((offset + 2, rest.starts_with("{%")));
                    2
                }
                (None, _) => c.len_utf8(),
                (Some(_), Some((sign, _))) => {
                    if c == sign {
                        quote = None;
                    }
                    if c == '\\' { 1 + rest.chars().nth(1).map_or(0, char::len_utf8) } else { c.len_utf8() }
                }
                (Some((_, statement)), None) if rest.starts_with(if statement { "%}" } else { "}}" }) => {
                    open = None;
                    2
                }
                (Some(_), None) => {
                    quote = matches!(c, '\'' | '"').then_some((c, offset));
                    c.len_utf8()
                }
            };
            offset += width;
            rest = before.get(offset..)?;
        }
        let (start, statement) = open?;
        let text = before.get(start..)?.trim_start_matches(['-', '+']).trim();
        Some(Self { text, statement, quote: quote.map(|(_, at)| at) })
    }

    /// The brackets that are open.
    fn brackets(&self) -> Vec<char> {
        let mut open = Vec::new();
        let mut quote = None;
        for c in self.text.chars() {
            match (quote, c) {
                (Some(sign), c) => quote = (c != sign).then_some(sign),
                (None, '\'' | '"') => quote = Some(c),
                (None, '(') => open.push(')'),
                (None, '[') => open.push(']'),
                (None, '{') => open.push('}'),
                (None, ')' | ']' | '}') => drop(open.pop()),
                _ => {}
            }
        }
        open
    }

    /// What is said of a bracket that closes none, or another one than it should.
    fn mismatch(&self, sign: char) -> Option<String> {
        match self.brackets().last() {
            None => Some(format!("unexpected '{sign}'")),
            Some(wanted) if *wanted != sign => Some(format!("unexpected '{sign}', expected '{wanted}'")),
            Some(_) => None,
        }
    }

    /// Whether a whole expression is to begin here.
    fn awaits_expression(&self) -> bool {
        let text = self.text;
        match self.statement {
            false => text.is_empty(),
            true => {
                matches!(text, "if" | "elif" | "set")
                    || text.starts_with("for ") && text.ends_with(" in")
                    || text.starts_with("set ") && text.ends_with('=')
            }
        }
    }
}

/// A block that is open: its tag, and the tags that may come next.
type Block = (String, &'static [&'static str]);

/// The blocks that are open at the end of a text.
fn open_blocks(source: &str) -> Vec<Block> {
    let tokens: Vec<Token<'_>> =
        tokenize(source, false, SyntaxConfig::default()).map_while(Result::ok).map(|(token, _)| token).collect();
    let mut open: Vec<Block> = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        let [Token::BlockStart, Token::Ident(tag)] = pair else { continue };
        let mut inside = tokens.iter().skip(at).take_while(|token| !matches!(token, Token::BlockEnd));
        let ends: &'static [&'static str] = match *tag {
            "if" => &["elif", "else", "endif"],
            "for" => &["endfor", "else"],
            "macro" => &["endmacro"],
            "call" => &["endcall"],
            "filter" => &["endfilter"],
            "with" => &["endwith"],
            "block" => &["endblock"],
            "autoescape" => &["endautoescape"],
            "set" if !inside.any(|token| matches!(token, Token::Assign)) => &["endset"],
            "else" => {
                if let Some((tag, ends)) = open.last_mut() {
                    *ends = if tag == "for" { &["endfor"] } else { &["endif"] };
                }
                continue;
            }
            _ => {
                if open.last().is_some_and(|(_, ends)| ends.contains(tag)) && *tag != "elif" {
                    open.pop();
                }
                continue;
            }
        };
        open.push(((*tag).to_owned(), ends));
    }
    open
}

/// What is said of a tag that cannot stand where it does, or of the end of a template with open blocks.
fn unknown_tag(tag: Option<&str>, before: &str) -> String {
    let open = open_blocks(before);
    let mut out = match tag {
        Some(tag) => format!("Encountered unknown tag {}.", python::quoted(tag)),
        None => "Unexpected end of template.".to_owned(),
    };
    let Some((innermost, ends)) = open.last() else { return out };
    let ends = ends.iter().map(|end| format!("'{end}'")).collect::<Vec<_>>().join(" or ");
    let awaited = tag.is_some_and(|tag| open.iter().any(|(_, ends)| ends.contains(&tag)));
    out.push_str(&if awaited {
        format!(" You probably made a nesting mistake. Jinja is expecting this tag, but currently looking for {ends}.")
    } else {
        format!(" Jinja was looking for the following tags: {ends}.")
    });
    out + &format!(" The innermost block that needs to be closed is '{innermost}'.")
}
