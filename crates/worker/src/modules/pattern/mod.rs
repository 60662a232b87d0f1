//! Regular expressions as Python's `re` has them.
//!
//! Modules that edit lines match bytes there, so they [`widen`] what they read: every byte becomes the character of that
//! number, which no file can fail to be, and the pattern is read in [`Alphabet::Bytes`].

mod replacement;
mod translate;

use fancy_regex::{Captures, Regex};

pub(super) use replacement::Replacement;

use crate::module::Failure;

/// What a pattern is matched against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// Text; `\w` knows every letter.
    Text,
    /// Bytes, widened; `\w` knows ASCII.
    Bytes,
}

/// Flags given beside the pattern.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags {
    /// `^` and `$` match at lines.
    pub multiline: bool,
    /// `.` matches a newline.
    pub dotall: bool,
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Regex,
    multiline: bool,
}

impl Pattern {
    /// Compiles a pattern; an error says which one and why.
    pub(super) fn new(text: &str, alphabet: Alphabet, flags: Flags) -> Result<Self, String> {
        let wide = match alphabet {
            Alphabet::Text => text.to_owned(),
            Alphabet::Bytes => widen(text.as_bytes()),
        };
        let bad = |e: String| format!("'{text}' is not a valid regular expression: {e}");
        let (translated, multiline) = translate::translate(&wide, alphabet, flags).map_err(bad)?;
        let regex = Regex::new(&translated).map_err(|e| bad(e.to_string()))?;
        Ok(Self { regex, multiline })
    }

    /// Compiles a pattern for widened bytes, without flags.
    pub(super) fn bytes(text: &str) -> Result<Self, String> {
        Self::new(text, Alphabet::Bytes, Flags::default())
    }

    /// Whether the pattern itself asks for lines, by `(?m)`.
    pub(super) fn is_multiline(&self) -> bool {
        self.multiline
    }

    /// Whether it matches anywhere.
    pub(super) fn is_match(&self, text: &str) -> Result<bool, Failure> {
        self.regex.is_match(text).map_err(|e| self.gave_up(&e))
    }

    /// The first match with its groups.
    pub(super) fn captures<'t>(&self, text: &'t str) -> Result<Option<Captures<'t, str>>, Failure> {
        self.regex.captures(text).map_err(|e| self.gave_up(&e))
    }

    /// The names of the groups, `None` for those without.
    pub(super) fn group_names(&self) -> impl Iterator<Item = Option<&str>> {
        self.regex.capture_names()
    }

    /// Every match that does not overlap an earlier one, as Python's `finditer` finds them.
    pub(super) fn all<'t>(&self, text: &'t str) -> Result<Vec<Captures<'t, str>>, Failure> {
        let mut found = Vec::new();
        let mut from = 0;
        let mut empty_at = None;
        while from <= text.len() {
            let Some(captures) = self.regex.captures_from_pos(text, from).map_err(|e| self.gave_up(&e))? else { break };
            let Some(whole) = captures.get(0) else { break };
            let (start, end) = (whole.start(), whole.end());
            if start == end && empty_at == Some(start) {
                from = next_char(text, start);
                empty_at = None;
                continue;
            }
            empty_at = (start == end).then_some(start);
            // After a match that is not empty, an empty one may follow at once.
            from = if start == end { next_char(text, end) } else { end };
            found.push(captures);
        }
        Ok(found)
    }

    /// Replaces every match; gives the new text and how many there were.
    pub(super) fn replace_all(&self, text: &str, replacement: &Replacement) -> Result<(String, usize), Failure> {
        let found = self.all(text)?;
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for captures in &found {
            let Some(whole) = captures.get(0) else { continue };
            out.push_str(&text[at..whole.start()]);
            replacement.expand(captures, &mut out);
            at = whole.end();
        }
        out.push_str(&text[at..]);
        Ok((out, found.len()))
    }

    fn gave_up(&self, error: &fancy_regex::Error) -> Failure {
        Failure::new(format!("the regular expression '{}' could not be matched: {error}", self.regex.as_str()))
    }
}

fn next_char(text: &str, at: usize) -> usize {
    at + text[at..].chars().next().map_or(1, char::len_utf8)
}

/// Bytes as text: each byte becomes the character of that number.
pub(super) fn widen(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

/// What [`widen`] made text of.
pub(super) fn narrow(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sub(pattern: &str, replacement: &str, text: &str) -> String {
        let flags = Flags { multiline: true, dotall: false };
        let pattern = Pattern::new(pattern, Alphabet::Text, flags).unwrap();
        let replacement = Replacement::parse(replacement, &pattern).unwrap();
        pattern.replace_all(text, &replacement).unwrap().0
    }

    /// Every expectation is what Python's `re` says.
    #[test]
    fn replaces_as_python_does() {
        assert_eq!(sub("x*", "-", "abxd"), "-a-b--d-");
        assert_eq!(sub("$", "!", "a\nb"), "a!\nb!");
        assert_eq!(sub("$", "!", "a\n"), "a!\n!");
        assert_eq!(sub(r"(?P<k>\w)=(\d)", r"\2=\g<k>\g<0>", "a=1"), "1=aa=1");
        assert_eq!(sub("(a)|(b)", r"[\1\2]", "ab"), "[a][b]");
        assert_eq!(sub("^b=.*\n", "", "a\nb=1\nb=2\nc"), "a\nc");
        assert_eq!(sub("a=1", r"a\tb\\x\.", "a=1"), "a\tb\\x\\.");
    }

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::bytes(pattern).unwrap().is_match(&widen(text.as_bytes())).unwrap()
    }

    #[test]
    fn reads_python_syntax() {
        assert!(matches("end$", "the end\n"));
        assert!(!matches(r"end\Z", "the end\n"));
        assert!(matches("{{ name }}", "{{ name }}"));
        assert!(matches(r"\<b\>", "<b>"));
        assert!(matches("[[]a[]]", "[a]"));
        assert!(matches("^[a&&b]+$", "a&b"));
        assert!(matches(r"(?i)PORT\s+\d{,3}$", "port  22"));
        assert!(matches("(?P<q>['\"]).*(?P=q)", "'x'"));
        assert!(matches(r"^(?!#)\s*\w+\b", "  name"));
        assert!(!matches(r"\w", "é"), "a pattern of bytes knows ASCII letters");
        assert!(matches("é", "café"));
        assert!(matches(r"a\x41\101\/\-\#", "aAA/-#"));
        assert!(matches("(?x) a  b # comment", "ab"));
        assert!(matches("a(?#never mind)b", "ab"));
        assert!(matches("(?ms)^b.c$", "a\nb\nc\nd"));
        assert!(matches(r"(a)(?(1)b|c)", "ab"));
        assert!(matches(r"[\w.-]+[\d\s]", "a-1"));
        assert!(matches(r"(?<=a)b", "ab"));
        for bad in ["(", "*", r"\q", "[a"] {
            assert!(Pattern::bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn any_bytes_survive() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(narrow(&widen(&all)), all);
    }
}
