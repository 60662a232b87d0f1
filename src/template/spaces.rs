//! White space as Jinja takes it, where the engine takes it otherwise.
//!
//! What is not ASCII's between the words of an expression is white space to Python: a non-breaking space typed by accident is
//! no mistake in the reference. A line ends in `\n` however the file ends it. And of all blocks `raw` alone leaves the newline
//! behind it where it is.

use std::borrow::Cow;

use minijinja::syntax::SyntaxConfig;

/// A template with one kind of newline, ASCII's spaces in its expressions and statements, and `raw` blocks that keep what is
/// behind them; else texts, comments and strings stay as they are.
pub(super) fn plain<'s>(source: &'s str, syntax: &SyntaxConfig) -> Cow<'s, str> {
    if source.contains('\r') {
        let unix = source.replace("\r\n", "\n").replace('\r', "\n");
        return Cow::Owned(plain(&unix, syntax).into_owned());
    }
    if !source.contains("raw") && !source.chars().any(is_odd) {
        return Cow::Borrowed(source);
    }
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, kind, after)) = next_tag(rest, syntax) {
        out.push_str(before);
        rest = match kind {
            Tag::Comment => copied(after, syntax.comment_delimiters().1, &mut out),
            Tag::Variable => expression(after, syntax.variable_delimiters(), &mut out),
            Tag::Block => {
                let word = after.trim_start_matches(['-', '+']).trim_start();
                let behind = expression(after, syntax.block_delimiters(), &mut out);
                let raw = word.strip_prefix("raw").is_some_and(|rest| rest.starts_with(|c: char| !c.is_alphanumeric()));
                if raw {
                    keep_newline(syntax.block_delimiters().1, &mut out);
                    copied(behind, "endraw", &mut out)
                } else {
                    behind
                }
            }
        };
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Marks a block, with whose end the text ends, as one that does not eat the newline behind it.
fn keep_newline(end: &str, out: &mut String) {
    let Some(inside) = out.strip_suffix(end) else { return };
    if !inside.ends_with(['-', '+']) {
        out.truncate(inside.trim_end().len());
        out.push_str(" +");
        out.push_str(end);
    }
}

#[derive(Clone, Copy)]
enum Tag {
    Comment,
    Variable,
    Block,
}

/// The text before the next tag, what it is, and what comes with it.
fn next_tag<'s>(text: &'s str, syntax: &SyntaxConfig) -> Option<(&'s str, Tag, &'s str)> {
    let starts = [
        (Tag::Comment, syntax.comment_delimiters().0),
        (Tag::Variable, syntax.variable_delimiters().0),
        (Tag::Block, syntax.block_delimiters().0),
    ];
    let found = starts.into_iter().filter(|(_, start)| !start.is_empty());
    let (at, kind, length) =
        found.filter_map(|(kind, start)| Some((text.find(start)?, kind, start.len()))).min_by_key(|f| f.0)?;
    // The start goes with the text before, so that what follows is the inside.
    Some((text.get(..at + length)?, kind, text.get(at + length..)?))
}

/// Copies up to an end, and it.
fn copied<'s>(text: &'s str, end: &str, out: &mut String) -> &'s str {
    let length = text.find(end).map_or(text.len(), |at| at + end.len());
    let (inside, rest) = text.split_at_checked(length).unwrap_or((text, ""));
    out.push_str(inside);
    rest
}

/// Copies the inside of a tag with plain spaces, up to its end, and it.
fn expression<'s>(text: &'s str, (_, end): (&str, &str), out: &mut String) -> &'s str {
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if text.get(at..).is_some_and(|rest| rest.starts_with(end)) => {
                out.push_str(end);
                return text.get(at + end.len()..).unwrap_or_default();
            }
            None if matches!(c, '\'' | '"') => quote = Some(c),
            None if is_odd(c) => {
                out.push(' ');
                continue;
            }
            Some(_) if c == '\\' => {
                out.push(c);
                out.extend(chars.next().map(|(_, c)| c));
                continue;
            }
            Some(q) if c == q => quote = None,
            _ => {}
        }
        out.push(c);
    }
    ""
}

fn is_odd(c: char) -> bool {
    !c.is_ascii() && c.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_space_between_words_is_changed() {
        let plain = |text: &str| plain(text, &SyntaxConfig::default()).replace('\u{a0}', "~");
        assert_eq!(plain("a\u{a0}{{ b\u{a0}}}\u{a0}{%\u{a0}if c\u{3000}%}"), "a~{{ b }}~{% if c %}");
        assert_eq!(plain("{{ 'a\u{a0}\\'\u{a0}'\u{a0}}}"), "{{ 'a~\\'~' }}");
        assert_eq!(plain("{#\u{a0}{{\u{a0}#}{{\u{a0}x }}"), "{#~{{~#}{{ x }}");
        assert_eq!(plain("{% raw %}{{\u{a0}}}{% endraw %}{{\u{a0}y }}"), "{% raw +%}{{~}}{% endraw %}{{ y }}");
        assert_eq!(plain("{{\u{a0}x"), "{{ x");
    }

    #[test]
    fn newlines_are_of_one_kind_and_raw_keeps_them() {
        let plain = |text: &str| plain(text, &SyntaxConfig::default()).into_owned();
        assert_eq!(plain("a\r\n{{ 'b\r' }}\r{% if c %}"), "a\n{{ 'b\n' }}\n{% if c %}");
        assert_eq!(plain("{%- raw%}\r\n{% raw %}{% endraw %}"), "{%- raw +%}\n{% raw %}{% endraw %}");
        let kept = ["{% raw -%}\n{% endraw %}", "{# {% raw %} #}\n", "{{ '{% raw %}' }}", "{% rawer %}\n"];
        kept.iter().for_each(|text| assert_eq!(plain(text), *text));
    }
}
