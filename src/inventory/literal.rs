//! Values of INI inventories: Python literals, else text.

use crate::source::Span;
use crate::value::{Key, Map, Str, Value};

/// How deep lists may be nested.
const MAX_DEPTH: usize = 50;

/// A value as the reference reads it in an INI inventory: a number, `True`, `None`, a quoted string, list, tuple, set or
/// dictionary in Python's notation; anything else is text as it stands.
#[must_use]
pub fn parse(text: &str, origin: Span) -> Value {
    let mut parser = Parser { rest: text.trim(), origin };
    match parser.value(0) {
        // Python's comments may follow.
        Some(value) if parser.rest.trim().is_empty() || parser.rest.trim_start().starts_with('#') => value,
        _ => Value::Str(Str::trusted(text, Some(origin))),
    }
}

struct Parser<'t> {
    rest: &'t str,
    origin: Span,
}

impl Parser<'_> {
    fn value(&mut self, depth: usize) -> Option<Value> {
        self.rest = self.rest.trim_start();
        if depth > MAX_DEPTH {
            return None;
        }
        match self.rest.chars().next()? {
            '[' => self.sequence(']', depth).map(|(items, _)| Value::list(items)),
            '(' => match self.sequence(')', depth)? {
                // Brackets around one thing are just brackets.
                (mut items, false) if items.len() == 1 => items.pop(),
                (items, _) => Some(Value::list(items)),
            },
            '{' => self.braces(depth),
            '"' | '\'' => self.strings(),
            _ if self.rest.starts_with("set()") => {
                self.rest = &self.rest[5..];
                Some(Value::list(Vec::new()))
            }
            // Within something else, what JSON does not have is its own text.
            _ if depth > 0 && self.rest.starts_with("...") => {
                self.rest = &self.rest[3..];
                Some(self.text("...".to_owned()))
            }
            _ if self.string_prefix().is_some() => self.strings(),
            _ => self.word(depth),
        }
    }

    fn text(&self, text: String) -> Value {
        Value::Str(Str::trusted(text, Some(self.origin)))
    }

    /// The letters before a quote that change how a string is read: none of them, or `r`, `b`, `u` and pairs of these.
    fn string_prefix(&self) -> Option<&'static str> {
        const PREFIXES: &[&str] = &["", "r", "b", "u", "rb", "br"];
        PREFIXES.iter().copied().find(|prefix| {
            let head = self.rest.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
            head && self.rest[prefix.len()..].starts_with(['"', '\''])
        })
    }

    /// Strings side by side are one.
    fn strings(&mut self) -> Option<Value> {
        let mut out = String::new();
        while let Some(prefix) = self.string_prefix() {
            self.rest = &self.rest[prefix.len()..];
            let raw = prefix.contains('r');
            out.push_str(&self.quoted(raw)?);
            let next = self.rest.trim_start();
            if (Self { rest: next, origin: self.origin }).string_prefix().is_some() {
                self.rest = next;
            }
        }
        Some(self.text(out))
    }

    fn eat(&mut self, c: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// What stands between brackets, and whether a comma stood last.
    fn sequence(&mut self, close: char, depth: usize) -> Option<(Vec<Value>, bool)> {
        self.rest = &self.rest[1..];
        let mut items = Vec::new();
        let mut comma = false;
        loop {
            if self.eat(close) {
                return Some((items, comma));
            }
            items.push(self.value(depth + 1)?);
            comma = self.eat(',');
            if !comma && !self.rest.trim_start().starts_with(close) {
                return None;
            }
        }
    }

    /// A dictionary, or a set.
    fn braces(&mut self, depth: usize) -> Option<Value> {
        let start = self.rest;
        self.rest = &self.rest[1..];
        let mut map = Map::new();
        loop {
            if self.eat('}') {
                return Some(Value::map(map));
            }
            let key = self.value(depth + 1)?;
            if !self.eat(':') {
                if !map.is_empty() {
                    return None;
                }
                self.rest = start;
                return self.sequence('}', depth).map(|(items, _)| Value::list(items));
            }
            let value = self.value(depth + 1)?;
            map.insert(Key::from_value(&key)?, value);
            if !self.eat(',') && !self.rest.trim_start().starts_with('}') {
                return None;
            }
        }
    }

    /// One string in quotes, three of them too.
    fn quoted(&mut self, raw: bool) -> Option<String> {
        let quote = self.rest.chars().next()?;
        let three = String::from(quote).repeat(3);
        let end = if self.rest.starts_with(&three) { three } else { String::from(quote) };
        let mut rest = &self.rest[end.len()..];
        let mut out = String::new();
        loop {
            if let Some(behind) = rest.strip_prefix(end.as_str()) {
                self.rest = behind;
                return Some(out);
            }
            let mut chars = rest.chars();
            match chars.next()? {
                '\\' if raw => {
                    out.push('\\');
                    out.push(chars.next()?);
                }
                '\\' => escape(&mut chars, &mut out)?,
                c => out.push(c),
            }
            rest = chars.as_str();
        }
    }

    fn word(&mut self, depth: usize) -> Option<Value> {
        let sign = if self.rest.starts_with(['-', '+']) { &self.rest[..1] } else { "" };
        let body = self.rest[sign.len()..].trim_start();
        let end = body.find([',', ']', ')', '}', ':', ' ', '\t', '#']).unwrap_or(body.len());
        let (word, rest) = body.split_at(end);
        let value = match (sign, word) {
            ("", "True") => Value::Bool(true),
            ("", "False") => Value::Bool(false),
            ("", "None") => Value::Null,
            // A complex number is text.
            (_, _) if depth > 0 && word.strip_suffix(['j', 'J']).and_then(number).is_some() => {
                self.text(format!("{sign}{word}"))
            }
            (_, _) => match (sign, number(word)?) {
                ("-", Value::Int(n)) => Value::Int(-n),
                ("-", Value::Float(n)) => Value::Float(-n),
                (_, value) => value,
            },
        };
        self.rest = rest;
        Some(value)
    }
}

/// What a backslash and the letters behind it stand for.
fn escape(chars: &mut std::str::Chars<'_>, out: &mut String) -> Option<()> {
    let code = |chars: &mut std::str::Chars<'_>, digits: usize| {
        let text = chars.as_str().get(..digits)?;
        let c = char::from_u32(u32::from_str_radix(text, 16).ok()?)?;
        *chars = chars.as_str().get(digits..)?.chars();
        Some(c)
    };
    let c = match chars.next()? {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'v' => '\u{b}',
        'x' => code(chars, 2)?,
        'u' => code(chars, 4)?,
        'U' => code(chars, 8)?,
        c @ '0'..='7' => {
            let mut value = c.to_digit(8)?;
            for _ in 0..2 {
                let Some(digit) = chars.as_str().chars().next().and_then(|c| c.to_digit(8)) else { break };
                value = value * 8 + digit;
                chars.next();
            }
            char::from_u32(value)?
        }
        c @ ('\\' | '\'' | '"') => c,
        other => {
            out.push('\\');
            other
        }
    };
    out.push(c);
    Some(())
}

/// A number without a sign, as Python writes it.
fn number(word: &str) -> Option<Value> {
    if !word.starts_with(|c: char| c.is_ascii_digit() || c == '.') || !well_spaced(word) {
        return None;
    }
    let digits = word.replace('_', "");
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(text) = digits.get(..2).filter(|p| p.eq_ignore_ascii_case(prefix)).and(digits.get(2..)) {
            return i64::from_str_radix(text, radix).ok().map(Value::Int);
        }
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        // In Python a number does not begin with zeros, so `0644` is text.
        let zeros = digits.bytes().all(|b| b == b'0');
        return digits.parse().ok().filter(|_| zeros || !digits.starts_with('0')).map(Value::Int);
    }
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    digits.parse().ok().filter(|_| digits.chars().all(plain)).map(Value::Float)
}

/// Whether every `_` of a number stands between two digits.
fn well_spaced(word: &str) -> bool {
    let digit = |c: Option<&u8>| c.is_some_and(u8::is_ascii_hexdigit);
    let bytes = word.as_bytes();
    bytes
        .iter()
        .enumerate()
        .all(|(at, b)| *b != b'_' || (at > 0 && digit(bytes.get(at - 1)) && digit(bytes.get(at + 1))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_python_literals() {
        let origin = crate::source::register("<test>", None, String::new());
        let cases = [
            ("22", json!(22)),
            ("0644", json!("0644")),
            ("1.5", json!(1.5)),
            ("True", json!(true)),
            ("true", json!("true")),
            ("'a b'", json!("a b")),
            ("['a', 1]", json!(["a", 1])),
            ("{'a': [1, 2]}", json!({"a": [1, 2]})),
            ("deploy", json!("deploy")),
            ("10.0.0.1", json!("10.0.0.1")),
            ("[a", json!("[a")),
            ("", json!("")),
            ("1 # one", json!(1)),
            ("one # one", json!("one # one")),
            ("\"a\" 'b'", json!("ab")),
            ("b'x'", json!("x")),
            ("r'\\n'", json!("\\n")),
            ("'''x'y'''", json!("x'y")),
            ("'\\x41\\u00e9\\101'", json!("A\u{e9}A")),
            ("1_000", json!(1000)),
            ("00", json!(0)),
            ("- 1", json!(-1)),
            ("0X1f", json!(31)),
            ("1j", json!("1j")),
            ("...", json!("...")),
            ("{1, 2}", json!([1, 2])),
            ("set()", json!([])),
            ("(1)", json!(1)),
            ("(1,)", json!([1])),
            ("[..., 1j, set(), {1, 2}, b'x']", json!(["...", "1j", [], [1, 2], "x"])),
            ("host-01.internal", json!("host-01.internal")),
            ("True and False", json!("True and False")),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text, origin).to_json(), want, "{text}");
        }
    }
}
