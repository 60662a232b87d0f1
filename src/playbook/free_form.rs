//! `key=value` arguments on one line, and the words of a command.

use crate::value::Str;

/// What a line of arguments comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FreeForm {
    /// `key=value` pairs, in order.
    pub pairs: Vec<(String, String)>,
    /// The rest of the line, as it was written.
    pub rest: String,
}

/// Splits a line into words: quotes and templates keep a word together, and stay in it.
///
/// Text between `{{ }}`, `{% %}` or `{# #}` is one word with what it touches, whatever white space it holds; a newline is a
/// word boundary that is kept, so that a command's own lines survive.
#[must_use]
pub fn split_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut depth = 0usize;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match c {
            '\\' if quote.is_some() || next.is_some_and(|n| n == '"' || n == '\'') => {
                word.push(c);
                if let Some(escaped) = chars.next() {
                    word.push(escaped);
                }
            }
            '{' if quote.is_none() && matches!(next, Some('{' | '%' | '#')) => {
                depth += 1;
                word.push(c);
                word.extend(chars.next());
            }
            '}' | '%' | '#' if quote.is_none() && depth > 0 && next == Some('}') => {
                depth -= 1;
                word.push(c);
                word.extend(chars.next());
            }
            '"' | '\'' if depth == 0 => {
                match quote {
                    Some(open) if open == c => quote = None,
                    None => quote = Some(c),
                    Some(_) => {}
                }
                word.push(c);
            }
            ' ' | '\t' | '\n' if quote.is_none() && depth == 0 => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                if c == '\n' {
                    words.push("\n".to_owned());
                }
            }
            _ => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Reads a line of arguments.
///
/// With `raw`, the line is a command: only the options that commands have (`creates`, `removes`, `chdir`, `executable`,
/// `warn`, `stdin`, …) are taken out of it, everything else stays as it was written.
#[must_use]
pub fn parse_free_form(line: &str, raw: bool) -> FreeForm {
    const OPTIONS: &[&str] =
        &["creates", "removes", "chdir", "executable", "warn", "stdin", "stdin_add_newline", "strip_empty_ends"];
    let mut out = FreeForm::default();
    let mut rest: Vec<String> = Vec::new();
    for word in split_words(line) {
        let pair = split_pair(&word).filter(|(key, _)| !key.is_empty());
        match pair {
            Some((key, value)) if !raw || OPTIONS.contains(&key) => {
                out.pairs.push((key.to_owned(), unquote(value)));
            }
            _ => rest.push(word),
        }
    }
    if out.pairs.is_empty() && raw {
        out.rest = line.trim().to_owned();
    } else {
        out.rest = join(&rest);
    }
    out
}

/// A word's key and value, at its first `=` that has no backslash before it and is not in a template.
fn split_pair(word: &str) -> Option<(&str, &str)> {
    let mut depth = 0usize;
    let mut before = '\0';
    for (at, c) in word.char_indices() {
        match (before, c) {
            ('{', '{' | '%' | '#') => depth += 1,
            ('}' | '%' | '#', '}') => depth = depth.saturating_sub(1),
            (_, '=') if before != '\\' && depth == 0 => return Some((&word[..at], &word[at + 1..])),
            _ => {}
        }
        before = c;
    }
    None
}

fn join(words: &[String]) -> String {
    let mut out = String::new();
    for word in words {
        if !out.is_empty() && !out.ends_with('\n') && word != "\n" {
            out.push(' ');
        }
        out.push_str(word);
    }
    out.trim().to_owned()
}

/// A word without the quotes around it.
pub(super) fn unquote(word: &str) -> String {
    let inner = ['"', '\''].iter().find_map(|q| word.strip_prefix(*q)?.strip_suffix(*q).filter(|_| word.len() > 1));
    match inner {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\'", "'"),
        None => word.to_owned(),
    }
}

/// A piece of a trusted line is trusted, with the line's place.
pub(super) fn piece(text: &str, whole: &Str) -> Str {
    match (whole.is_trusted(), whole.origin()) {
        (true, origin) => Str::trusted(text, origin),
        (false, _) => Str::data(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_arguments_on_one_line() {
        let line = r#"src={{ a | default('x y') }} dest="/tmp/a b" mode=0644"#;
        let pairs = parse_free_form(line, false).pairs;
        let want = [("src", "{{ a | default('x y') }}"), ("dest", "/tmp/a b"), ("mode", "0644")];
        assert_eq!(pairs, want.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn leaves_commands_alone() {
        let got = parse_free_form("echo  'a  b' FOO=bar   x=1", true);
        assert_eq!((got.pairs.len(), got.rest.as_str()), (0, "echo  'a  b' FOO=bar   x=1"));
        let got = parse_free_form("make install creates=/usr/bin/x chdir=/src", true);
        assert_eq!(got.rest, "make install");
        assert_eq!(got.pairs.len(), 2);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

        #[test]
        fn no_word_is_lost(line in "[ab='\"{}%#\\\\ \t\n\u{e9}]{0,60}") {
            let visible = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            proptest::prop_assert_eq!(visible(&split_words(&line).concat()), visible(&line));
            let _ = parse_free_form(&line, false);
            let raw = parse_free_form(&line, true);
            proptest::prop_assert!(raw.pairs.is_empty(), "none of these is an option of commands");
        }
    }
}
