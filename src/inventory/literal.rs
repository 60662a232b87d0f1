//! Values of INI inventories: Python literals, else text.

use crate::source::Span;
use crate::value::{Key, Map, Str, Value};

/// How deep lists may be nested.
const MAX_DEPTH: usize = 50;

/// A value as the reference reads it in an INI inventory: a number, `True`, `None`, a quoted string, list, tuple or dictionary
/// in Python's notation; anything else is text as it stands.
#[must_use]
pub fn parse(text: &str, origin: Span) -> Value {
    let mut parser = Parser { rest: text.trim(), origin };
    match parser.value(0) {
        Some(value) if parser.rest.trim().is_empty() => value,
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
            '[' => self.sequence(']', depth),
            '(' => self.sequence(')', depth),
            '{' => self.dictionary(depth),
            quote @ ('"' | '\'') => self.quoted(quote).map(|s| Value::Str(Str::trusted(s, Some(self.origin)))),
            _ => self.word(),
        }
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

    fn sequence(&mut self, close: char, depth: usize) -> Option<Value> {
        self.rest = &self.rest[1..];
        let mut items = Vec::new();
        loop {
            if self.eat(close) {
                return Some(Value::list(items));
            }
            items.push(self.value(depth + 1)?);
            if !self.eat(',') && !self.rest.trim_start().starts_with(close) {
                return None;
            }
        }
    }

    fn dictionary(&mut self, depth: usize) -> Option<Value> {
        self.rest = &self.rest[1..];
        let mut map = Map::new();
        loop {
            if self.eat('}') {
                return Some(Value::map(map));
            }
            let key = self.value(depth + 1)?;
            if !self.eat(':') {
                return None;
            }
            let value = self.value(depth + 1)?;
            map.insert(Key::from_value(&key)?, value);
            if !self.eat(',') && !self.rest.trim_start().starts_with('}') {
                return None;
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Option<String> {
        let mut out = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next()?.1 {
                    'n' => out.push('\n'),
                    't' => out.push('\t'),
                    'r' => out.push('\r'),
                    c @ ('\\' | '\'' | '"') => out.push(c),
                    other => {
                        out.push('\\');
                        out.push(other);
                    }
                },
                c if c == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Some(out);
                }
                c => out.push(c),
            }
        }
        None
    }

    fn word(&mut self) -> Option<Value> {
        let end = self.rest.find([',', ']', ')', '}', ':', ' ']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let value = match word {
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            "None" => Value::Null,
            _ => number(word)?,
        };
        self.rest = rest;
        Some(value)
    }
}

fn number(word: &str) -> Option<Value> {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(hex) = digits.strip_prefix(prefix) {
            let value = i64::from_str_radix(hex, radix).ok()?;
            return Some(Value::Int(if word.starts_with('-') { -value } else { value }));
        }
    }
    // In Python a number does not begin with zeros, so `0644` is text.
    if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return word.parse().ok().map(Value::Int);
    }
    word.parse().ok().map(Value::Float)
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
        ];
        for (text, want) in cases {
            assert_eq!(parse(text, origin).to_json(), want, "{text}");
        }
    }
}
