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
    let (lead, pieces) = pieces(line, &[' ', '\t', '\n']);
    let newlines = |gap: &str| vec!["\n".to_owned(); gap.matches('\n').count()];
    let mut words = newlines(&lead);
    for piece in pieces {
        words.push(piece.word);
        words.extend(newlines(&piece.gap));
    }
    words
}

/// A word, and the white space behind it.
struct Piece {
    word: String,
    gap: String,
}

/// The words of a line between `separators`, and the white space before the first.
fn pieces(line: &str, separators: &[char]) -> (String, Vec<Piece>) {
    let mut lead = String::new();
    let mut pieces: Vec<Piece> = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut depth = 0usize;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match c {
            '\\' if quote.is_some() || next.is_some_and(|n| n == '"' || n == '\'') => {
                word.push(c);
                word.extend(chars.next());
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
            c if separators.contains(&c) && quote.is_none() && depth == 0 => {
                if !word.is_empty() {
                    pieces.push(Piece { word: std::mem::take(&mut word), gap: String::new() });
                }
                pieces.last_mut().map_or(&mut lead, |piece| &mut piece.gap).push(c);
            }
            _ => word.push(c),
        }
    }
    if !word.is_empty() {
        pieces.push(Piece { word, gap: String::new() });
    }
    (lead, pieces)
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
    let (lead, pieces) = if raw { pieces(line, &[' ', '\n']) } else { pieces(line, &[' ', '\t', '\n']) };
    let mut kept = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let decoded = decode_escapes(&piece.word);
        let pair = split_pair(&decoded).filter(|(key, _)| !key.is_empty());
        match pair {
            Some((key, value)) if !raw || OPTIONS.contains(&key) => {
                out.pairs.push((key.to_owned(), inside(value).unwrap_or(value).to_owned()));
            }
            _ => kept.push(piece),
        }
    }
    out.rest = if raw { command_line(&lead, kept) } else { joined(kept) };
    out
}

/// A command's line without its options, as the reference gives it to the shell: white space stays as it was written,
/// except that a backslash that stands alone is gone with the newline behind it, and a single space that begins a line.
fn command_line(lead: &str, pieces: Vec<Piece>) -> String {
    let beginning = |gap: &str| match gap.rsplit_once('\n') {
        Some((lines, " ")) => format!("{lines}\n"),
        _ => gap.to_owned(),
    };
    let mut out = if lead == " " { String::new() } else { beginning(lead) };
    // One space of a gap without a newline is there only when a word follows.
    let mut pending = false;
    for Piece { word, gap } in pieces {
        let spaces = |gap: &str| " ".repeat(gap.len().saturating_sub(1));
        if word == "\\" {
            match gap.split_once('\n') {
                Some((before, after)) if !after.contains('\n') => out.push_str(&(before.to_owned() + &spaces(after))),
                Some((_, after)) => {
                    out.push_str(&beginning(after));
                    pending = false;
                }
                None => out.push_str(&spaces(&gap)),
            }
            continue;
        }
        if std::mem::take(&mut pending) {
            out.push(' ');
        }
        out.push_str(&word);
        if gap.contains('\n') {
            out.push_str(&beginning(&gap));
        } else {
            out.push_str(&spaces(&gap));
            pending = !gap.is_empty();
        }
    }
    out
}

/// Words with one space between them, and their newlines.
fn joined(pieces: Vec<Piece>) -> String {
    let mut out = String::new();
    for Piece { word, gap } in pieces {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push(' ');
        }
        out.push_str(&word);
        out.extend(gap.chars().filter(|c| *c == '\n'));
    }
    out.trim().to_owned()
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

/// A word without the quotes around it.
pub(super) fn unquote(word: &str) -> String {
    match inside(word) {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\'", "'"),
        None => word.to_owned(),
    }
}

/// What is between the quotes around a word; `None` where there are none.
fn inside(word: &str) -> Option<&str> {
    ['"', '\''].iter().find_map(|q| word.strip_prefix(*q)?.strip_suffix(*q).filter(|_| word.len() > 1))
}

/// A word with the escape sequences of Python's strings replaced (`\n`, `\t`, `\x41`, `\u00e9`, `\\`, quotes); others stay.
fn decode_escapes(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let Some(kind) = after.chars().next() else {
            rest = &rest[at..];
            break;
        };
        let simple = match kind {
            '\\' | '\'' | '"' => Some(kind),
            'a' => Some('\x07'),
            'b' => Some('\x08'),
            'f' => Some('\x0c'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\x0b'),
            _ => None,
        };
        let digits = match kind {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        let code = after.get(1..1 + digits).filter(|hex| digits > 0 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let coded = code.and_then(|hex| u32::from_str_radix(hex, 16).ok()).and_then(char::from_u32);
        let (decoded, length) = match (simple, coded) {
            (Some(c), _) => (c, 1),
            (None, Some(c)) => (c, 1 + digits),
            // Not an escape: the backslash is one.
            (None, None) => ('\\', 0),
        };
        out.push(decoded);
        rest = &after[length..];
    }
    out.push_str(rest);
    out
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
    fn escapes_of_pythons_strings_count_in_pairs() {
        let pairs = |line| parse_free_form(line, false).pairs;
        let pair = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
        assert_eq!(pairs(r"msg='a\nb\tc\x41\u00e9\\d\e\0\101\q'"), pair("msg", "a\nb\tcAé\\d\\e\\0\\101\\q"));
        assert_eq!(pairs(r#"msg="a\"b\'c\b \u12 \xZ \x4""#), pair("msg", "a\"b'c\u{8} \\u12 \\xZ \\x4"));
        assert_eq!(pairs(r"m\x73g=hi\"), pair("msg", "hi\\"));
        let raw = parse_free_form(r"echo a\x3db \x63hdir=/", true);
        assert_eq!((raw.rest.as_str(), raw.pairs), (r"echo a\x3db", pair("chdir", "/")));
    }

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
        for (line, rest) in [
            ("echo a\n\n\necho b\n\n", "echo a\n\n\necho b\n\n"),
            ("  echo a  b   c\n", "  echo a  b   c\n"),
            ("echo a \\\nb\n", "echo a b\n"),
            ("echo 'a  b' \\\n   c\n", "echo 'a  b'   c\n"),
            ("echo {{ 'a\n  b' }} \\\n c\n", "echo {{ 'a\n  b' }} c\n"),
            ("executable=/bin/bash\nchdir=/s\necho a   b\\\n\"c\"\n  echo x\n", "echo a   b\\\n\"c\"\n  echo x\n"),
            ("pwd   chdir=/s", "pwd  "),
            ("echo a  b chdir=/s\n", "echo a  b"),
            ("cat <<EOF\n  a\n    b  c\nEOF\n", "cat <<EOF\n  a\n    b  c\nEOF\n"),
            ("echo a\n\t\tchdir=/s\n", "echo a\n\t\tchdir=/s\n"),
            ("echo \\ b", "echo b"),
            ("echo a \\  b", "echo a  b"),
            ("echo a\\\n b", "echo a\\\nb"),
            ("echo \\", "echo"),
            ("   chdir=/s  pwd", "   pwd"),
        ] {
            assert_eq!(parse_free_form(line, true).rest, rest, "{line:?}");
        }
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
