//! Python's `re` on fancy-regex: patterns and replacements are translated, matching follows Python's rules for empty matches.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use fancy_regex::{Captures, Regex};
use minijinja::Error;

use super::call::fail;

/// Flags of `re.compile`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Flags {
    pub ignorecase: bool,
    pub multiline: bool,
}

/// How many compiled patterns are kept.
const KEPT: usize = 512;

type Cache = Mutex<HashMap<(String, Flags), Arc<Pattern>>>;
static CACHE: LazyLock<Cache> = LazyLock::new(Cache::default);

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    /// The pattern in the crate's syntax.
    source: String,
    /// The same, matching only right where it is asked to and at least one character; made when it is needed.
    progress: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// Compiles a pattern of Python's; the error has Python's words.
    pub fn new(pattern: &str, flags: Flags) -> Result<Arc<Self>, Error> {
        let key = (pattern.to_owned(), flags);
        let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = cache.get(&key) {
            return Ok(found.clone());
        }
        let translated = Translator::new(pattern, flags).run().map_err(fail)?;
        let compiled =
            Regex::new(&translated).map_err(|e| fail(format!("cannot read the pattern '{pattern}': {e}")))?;
        let compiled = Arc::new(Self { regex: compiled, source: translated, progress: OnceLock::new() });
        if cache.len() >= KEPT {
            cache.clear();
        }
        cache.insert(key, compiled.clone());
        Ok(compiled)
    }

    /// The first match at or after a byte.
    pub fn captures<'t>(&self, text: &'t str, from: usize) -> Result<Option<Captures<'t, str>>, Error> {
        self.regex.captures_from_pos(text, from).map_err(|e| fail(format!("the pattern could not be matched: {e}")))
    }

    /// The number of groups, the whole match not counted.
    pub fn groups(&self) -> usize {
        self.regex.captures_len() - 1
    }

    /// Every match, as `re.finditer` finds them.
    pub fn all<'t>(&self, text: &'t str) -> Result<Vec<Captures<'t, str>>, Error> {
        let mut out = Vec::new();
        let mut from = 0;
        while from <= text.len() {
            let Some(found) = self.captures(text, from)? else { break };
            let Some(whole) = found.get(0) else { break };
            let (start, end) = (whole.start(), whole.end());
            out.push(found);
            if start < end {
                from = end;
                continue;
            }
            // Behind an empty match, Python takes a longer one at the same place.
            let longer = self.progress.get_or_init(|| Regex::new(&format!(r"\G(?:{})(?!\G)", self.source)).ok());
            match longer.as_ref().and_then(|regex| regex.captures_from_pos(text, end).ok().flatten()) {
                Some(found) => {
                    from = found.get(0).map_or(end, |m| m.end());
                    out.push(found);
                }
                None => from = end + text[end..].chars().next().map_or(1, char::len_utf8),
            }
        }
        Ok(out)
    }

    /// `re.sub`: the text with matches replaced, and how many there were.
    pub fn replace(&self, text: &str, replacement: &str, count: usize) -> Result<(String, usize), Error> {
        let parts = self.parts(replacement)?;
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        let matches = self.all(text)?;
        let limit = if count == 0 { usize::MAX } else { count };
        let mut done = 0;
        for found in matches.iter().take(limit) {
            let Some(whole) = found.get(0) else { continue };
            out.push_str(&text[at..whole.start()]);
            for part in &parts {
                match part {
                    Part::Text(text) => out.push_str(text),
                    Part::Group(n) => out.push_str(found.get(*n).map_or("", |m| m.as_str())),
                }
            }
            at = whole.end();
            done += 1;
        }
        out.push_str(&text[at..]);
        Ok((out, done))
    }

    fn parts(&self, replacement: &str) -> Result<Vec<Part>, Error> {
        let chars: Vec<char> = replacement.chars().collect();
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut i = 0;
        while i < chars.len() {
            let c = chars[i];
            i += 1;
            if c != '\\' {
                text.push(c);
                continue;
            }
            let Some(next) = chars.get(i).copied() else {
                return Err(fail(format!("bad escape (end of pattern) at position {}", i - 1)));
            };
            i += 1;
            let group = match next {
                'g' => {
                    let end = chars[i..].iter().position(|c| *c == '>').filter(|_| chars.get(i) == Some(&'<'));
                    let Some(end) = end else {
                        return Err(fail(format!("missing <, unterminated name at position {i}")));
                    };
                    let name: String = chars[i + 1..i + end].iter().collect();
                    let at = i + 1;
                    i += end + 1;
                    self.group(&name, at)?
                }
                '1'..='9' => {
                    let mut number = next.to_string();
                    if let Some(digit) = chars.get(i).filter(|c| c.is_ascii_digit()) {
                        number.push(*digit);
                        i += 1;
                    }
                    self.group(&number, i - number.len())?
                }
                other => {
                    match other {
                        'n' => text.push('\n'),
                        't' => text.push('\t'),
                        'r' => text.push('\r'),
                        'a' => text.push('\u{7}'),
                        'b' => text.push('\u{8}'),
                        'f' => text.push('\u{c}'),
                        'v' => text.push('\u{b}'),
                        '0' => text.push('\0'),
                        '\\' => text.push('\\'),
                        c if c.is_ascii_alphabetic() => {
                            return Err(fail(format!("bad escape \\{c} at position {}", i - 2)));
                        }
                        c => text.extend(['\\', c]),
                    }
                    continue;
                }
            };
            parts.push(Part::Text(std::mem::take(&mut text)));
            parts.push(Part::Group(group));
        }
        parts.push(Part::Text(text));
        Ok(parts)
    }

    /// The number of the group that a reference names.
    fn group(&self, name: &str, at: usize) -> Result<usize, Error> {
        if let Ok(number) = name.parse::<usize>() {
            return match number <= self.groups() {
                true => Ok(number),
                false => Err(fail(format!("invalid group reference {number} at position {at}"))),
            };
        }
        let found = self.regex.capture_names().position(|n| n == Some(name));
        found.ok_or_else(|| fail(format!("unknown group name '{name}'")))
    }

    /// The number of a named group.
    pub fn named(&self, name: &str) -> Result<usize, Error> {
        self.group(name, 0)
    }
}

enum Part {
    Text(String),
    Group(usize),
}

/// From Python's syntax to the crate's.
struct Translator {
    chars: Vec<char>,
    at: usize,
    out: String,
    multiline: bool,
    open: Vec<usize>,
    /// Whether there is something before that can be repeated.
    repeatable: bool,
}

impl Translator {
    fn new(pattern: &str, flags: Flags) -> Self {
        let mut out = String::new();
        if flags.ignorecase {
            out.push_str("(?i)");
        }
        if flags.multiline {
            out.push_str("(?m)");
        }
        let inline = pattern.strip_prefix("(?").and_then(|rest| rest.split([')', ':']).next());
        let inline = inline.is_some_and(|f| f.contains('m') && f.chars().all(|c| c.is_ascii_lowercase()));
        let multiline = flags.multiline || inline;
        Self { chars: pattern.chars().collect(), at: 0, out, multiline, open: Vec::new(), repeatable: false }
    }

    fn run(mut self) -> Result<String, String> {
        while let Some(c) = self.next() {
            let here = self.at - 1;
            match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group(here),
                ')' => {
                    if self.open.pop().is_none() {
                        return Err(format!("unbalanced parenthesis at position {here}"));
                    }
                    self.put(")", true);
                }
                '|' => self.put("|", false),
                '^' => self.put("^", false),
                '$' if self.multiline => self.put("$", false),
                // Before the last newline too.
                '$' => self.put(r"(?=\n?\z)", false),
                '*' | '+' | '?' => self.quantifier(&c.to_string(), here)?,
                '{' => match self.braces() {
                    Some(quantifier) => self.quantifier(&quantifier, here)?,
                    None => self.put(r"\{", true),
                },
                '}' => self.put(r"\}", true),
                c => {
                    self.out.push(c);
                    self.repeatable = true;
                }
            }
        }
        match self.open.last() {
            Some(at) => Err(format!("missing ), unterminated subpattern at position {at}")),
            None => Ok(self.out),
        }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.chars.get(self.at).copied();
        self.at += usize::from(c.is_some());
        c
    }

    fn put(&mut self, text: &str, repeatable: bool) {
        self.out.push_str(text);
        self.repeatable = repeatable;
    }

    fn quantifier(&mut self, text: &str, here: usize) -> Result<(), String> {
        if !self.repeatable {
            let before = here.checked_sub(1).and_then(|i| self.chars.get(i));
            let what =
                if matches!(before, Some('*' | '+' | '?' | '}')) { "multiple repeat" } else { "nothing to repeat" };
            return Err(format!("{what} at position {here}"));
        }
        self.out.push_str(text);
        if let Some(suffix @ ('?' | '+')) = self.chars.get(self.at).copied() {
            self.out.push(suffix);
            self.at += 1;
        }
        self.repeatable = false;
        Ok(())
    }

    /// `{2}`, `{2,}`, `{,3}` or `{2,3}` behind the brace; anything else is a brace.
    fn braces(&mut self) -> Option<String> {
        let end = self.chars[self.at..].iter().position(|c| *c == '}')?;
        let body: String = self.chars[self.at..self.at + end].iter().collect();
        let valid = body.chars().all(|c| c.is_ascii_digit() || c == ',') && body.matches(',').count() <= 1;
        if !valid || body.is_empty() {
            return None;
        }
        self.at += end + 1;
        let body = if body.starts_with(',') { format!("0{body}") } else { body };
        Some(format!("{{{body}}}"))
    }

    fn group(&mut self, here: usize) {
        self.open.push(here);
        self.put("(", false);
        if self.chars.get(self.at) != Some(&'?') {
            return;
        }
        let rest: String = self.chars[self.at..].iter().take(8).collect();
        if rest.starts_with("?#") {
            // A comment.
            self.out.pop();
            self.open.pop();
            while self.next().is_some_and(|c| c != ')') {}
            self.repeatable = true;
            return;
        }
        if rest.starts_with("?P=") {
            let name: String = self.chars[self.at + 3..].iter().take_while(|c| **c != ')').collect();
            self.at += 4 + name.chars().count();
            self.open.pop();
            self.out.pop();
            self.put(&format!(r"\k<{name}>"), true);
            return;
        }
        // `?:`, `?=`, `?<!`, `?P<name>`, flags: all up to what the group holds.
        while let Some(c) = self.chars.get(self.at).copied() {
            let ends = matches!(c, ':' | '=' | '!' | '>');
            if !(ends || matches!(c, '?' | '<' | '-' | '_') || c.is_alphanumeric()) {
                break;
            }
            self.at += 1;
            // Python's flags for ASCII and Unicode have no counterpart here; Unicode is the default.
            self.out.push(c);
            let lookbehind = c == '<' && matches!(self.chars.get(self.at), Some('=' | '!'));
            if ends && !lookbehind {
                break;
            }
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        let here = self.at - 1;
        let Some(c) = self.next() else { return Err(format!("bad escape (end of pattern) at position {here}")) };
        match c {
            'Z' => self.put(r"\z", false),
            'A' | 'b' | 'B' => self.put(&format!(r"\{c}"), false),
            'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'n' | 't' | 'r' | 'f' | 'v' | 'a' => self.put(&format!(r"\{c}"), true),
            '0' => self.put(r"\x00", true),
            '1'..='9' => self.put(&format!(r"\{c}"), true),
            'x' | 'u' | 'U' => {
                let length = match c {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let digits: String = self.chars[self.at..].iter().take(length).collect();
                if digits.len() != length || !digits.chars().all(|d| d.is_ascii_hexdigit()) {
                    return Err(format!("incomplete escape \\{c}{digits} at position {here}"));
                }
                self.at += length;
                self.put(&format!(r"\x{{{digits}}}"), true);
            }
            c if c.is_ascii_alphabetic() => return Err(format!("bad escape \\{c} at position {here}")),
            c => {
                let literal = escape_literal(c);
                self.put(&literal, true);
            }
        }
        Ok(())
    }

    fn class(&mut self) -> Result<(), String> {
        let here = self.at - 1;
        self.out.push('[');
        if self.chars.get(self.at) == Some(&'^') {
            self.out.push('^');
            self.at += 1;
        }
        let mut first = true;
        loop {
            let Some(c) = self.next() else { return Err(format!("unterminated character set at position {here}")) };
            match c {
                ']' if !first => break,
                '\\' => {
                    let Some(c) = self.next() else {
                        return Err(format!("unterminated character set at position {here}"));
                    };
                    match c {
                        'b' => self.out.push_str(r"\x08"),
                        '0' => self.out.push_str(r"\x00"),
                        c if c.is_ascii_alphanumeric() => self.out.extend(['\\', c]),
                        c => self.out.push_str(&escape_literal(c)),
                    }
                }
                // The crate reads these as nested sets and operations on sets.
                '[' | ']' | '&' | '~' => self.out.extend(['\\', c]),
                c => self.out.push(c),
            }
            first = false;
        }
        self.put("]", true);
        Ok(())
    }
}

fn escape_literal(c: char) -> String {
    if c.is_ascii_punctuation() && !matches!(c, '<' | '>' | '\'' | '"' | '_' | '`') {
        format!(r"\{c}")
    } else {
        c.to_string()
    }
}
