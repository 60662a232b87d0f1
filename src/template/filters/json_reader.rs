//! JSON as Python's `json` reads it: with `NaN` and `Infinity`, and with its complaints.

use crate::value::{Key, Map, Value};

/// How deep lists and dictionaries may be in each other.
const DEEPEST: usize = 400;

/// A value from text that is JSON, or Python's complaint of it.
pub(super) fn read(text: &str) -> Result<Value, String> {
    if text.starts_with('\u{feff}') {
        return Err("Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)".to_owned());
    }
    let mut reader = Reader { text, at: 0, depth: 0 };
    let whole = |reader: &mut Reader<'_>| {
        reader.space();
        let value = reader.value()?;
        reader.space();
        if reader.at < text.len() { Err(reader.wrong("Extra data")) } else { Ok(value) }
    };
    whole(&mut reader).map_err(|wrong| wrong.told(text))
}

/// What is wrong.
enum Wrong {
    /// At this byte.
    At(&'static str, usize),
    /// Half of a character, and what stands before it in its string.
    Half(u32, String),
}

impl Wrong {
    fn told(&self, text: &str) -> String {
        let (what, at) = match self {
            Self::At(what, at) => (what, *at),
            Self::Half(code, before) => {
                let place = before.chars().count();
                return format!(
                    "Refusing to deserialize an invalid UTF8 string value: 'utf-8' codec can't encode character \
                     '\\u{code:04x}' in position {place}: surrogates not allowed"
                );
            }
        };
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!("{what}: line {line} column {column} (char {})", before.chars().count())
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    fn wrong(&self, what: &'static str) -> Wrong {
        Wrong::At(what, self.at)
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn takes(&mut self, sign: u8) -> bool {
        let found = self.peek() == Some(sign);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self) -> Result<Value, Wrong> {
        const WORDS: [(&str, Value); 6] = [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("NaN", Value::Float(f64::NAN)),
            ("Infinity", Value::Float(f64::INFINITY)),
            ("-Infinity", Value::Float(f64::NEG_INFINITY)),
        ];
        match self.peek() {
            Some(b'"') => return self.string().map(Value::from),
            Some(b'{' | b'[') => return self.container(),
            _ => {}
        }
        if let Some((word, value)) = WORDS.into_iter().find(|(word, _)| self.rest().starts_with(word)) {
            self.at += word.len();
            return Ok(value);
        }
        self.number()
    }

    fn container(&mut self) -> Result<Value, Wrong> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.wrong("Too many lists and dictionaries in each other"));
        }
        let value = if self.takes(b'[') { self.list() } else { self.map() };
        self.depth -= 1;
        value
    }

    fn list(&mut self) -> Result<Value, Wrong> {
        let mut items = Vec::new();
        self.space();
        if self.takes(b']') {
            return Ok(Value::list(items));
        }
        loop {
            items.push(self.value()?);
            self.space();
            if self.takes(b']') {
                return Ok(Value::list(items));
            }
            self.comma()?;
        }
    }

    fn map(&mut self) -> Result<Value, Wrong> {
        let mut map = Map::new();
        self.at += 1;
        self.space();
        if self.takes(b'}') {
            return Ok(Value::map(map));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.wrong("Expecting property name enclosed in double quotes"));
            }
            let key = self.string()?;
            self.space();
            if !self.takes(b':') {
                return Err(self.wrong("Expecting ':' delimiter"));
            }
            self.space();
            let value = self.value()?;
            map.insert(Key::from(key), value);
            self.space();
            if self.takes(b'}') {
                return Ok(Value::map(map));
            }
            self.comma()?;
        }
    }

    fn comma(&mut self) -> Result<(), Wrong> {
        if !self.takes(b',') {
            return Err(self.wrong("Expecting ',' delimiter"));
        }
        self.space();
        Ok(())
    }

    fn digits(&self, from: usize) -> usize {
        self.text.as_bytes().get(from..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count()
    }

    /// A number ends where one can end: what stands behind it is somebody else's matter.
    fn number(&mut self) -> Result<Value, Wrong> {
        let bytes = self.text.as_bytes();
        let first = self.at + usize::from(self.peek() == Some(b'-'));
        let whole = if bytes.get(first) == Some(&b'0') { 1 } else { self.digits(first) };
        if whole == 0 {
            return Err(self.wrong("Expecting value"));
        }
        let mut end = first + whole;
        if bytes.get(end) == Some(&b'.') && self.digits(end + 1) > 0 {
            end += 1 + self.digits(end + 1);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
            let count = self.digits(end + 1 + sign);
            end += if count > 0 { 1 + sign + count } else { 0 };
        }
        let number = self.text.get(self.at..end).unwrap_or_default();
        let value = number.parse().map(Value::Int).or_else(|_| number.parse().map(Value::Float));
        let value = value.map_err(|_| self.wrong("Expecting value"))?;
        self.at = end;
        Ok(value)
    }

    fn string(&mut self) -> Result<String, Wrong> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = self.rest();
            let plain = rest.find(|c: char| c < ' ' || matches!(c, '"' | '\\'));
            let Some(plain) = plain else {
                return Err(Wrong::At("Unterminated string starting at", start));
            };
            out.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => match self.escape(start)? {
                    Ok(c) => out.push(c),
                    Err(half) => return Err(Wrong::Half(half, out)),
                },
                _ => return Err(self.wrong("Invalid control character at")),
            }
        }
    }

    /// What an escape stands for, which may be half of a character.
    fn escape(&mut self, start: usize) -> Result<Result<char, u32>, Wrong> {
        let c = match self.text.as_bytes().get(self.at + 1) {
            None => return Err(Wrong::At("Unterminated string starting at", start)),
            Some(b'b') => '\x08',
            Some(b'f') => '\x0c',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b @ (b'"' | b'\\' | b'/')) => char::from(*b),
            Some(b'u') => return self.unicode(),
            Some(_) => return Err(self.wrong("Invalid \\escape")),
        };
        self.at += 2;
        Ok(Ok(c))
    }

    fn unicode(&mut self) -> Result<Result<char, u32>, Wrong> {
        let unit = |at: usize| {
            let digits = self.text.get(at..at + 6)?.strip_prefix("\\u")?;
            let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
            u32::from_str_radix(digits, 16).ok().filter(|_| hex)
        };
        let Some(high) = unit(self.at) else {
            return Err(Wrong::At("Invalid \\uXXXX escape", self.at + 1));
        };
        let pair = unit(self.at + 6).filter(|low| (0xd800..0xdc00).contains(&high) && (0xdc00..0xe000).contains(low));
        self.at += if pair.is_some() { 12 } else { 6 };
        let code = pair.map_or(high, |low| 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
        Ok(char::from_u32(code).ok_or(high))
    }
}
