//! Scalars in YAML: their text, and which styles that text allows, by libyaml's rules.

use std::sync::LazyLock;

use fancy_regex::Regex;

use crate::source::{NodeKind, resolve_plain};
use crate::template::python;
use crate::value::Value;

/// Whether a key can stand before its colon on one line.
pub(super) fn is_simple(key: &Value) -> bool {
    let text = scalar_text(key);
    text.len() <= 128 && !text.chars().any(is_break)
}

pub(super) fn scalar_text(value: &Value) -> String {
    match value {
        Value::Null | Value::Omit => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Float(f) if f.is_nan() => ".nan".to_owned(),
        Value::Float(f) if f.is_infinite() => if *f > 0.0 { ".inf" } else { "-.inf" }.to_owned(),
        Value::Float(f) => {
            let text = python::float(*f);
            if text.contains('.') { text } else { text.replacen('e', ".0e", 1) }
        }
        other => python::text(other),
    }
}

pub(super) fn resolves_to_text(text: &str) -> bool {
    static TIMESTAMP: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let date = r"[0-9]{4}-[0-9]{2}-[0-9]{2}";
        let time = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?";
        Regex::new(&format!(r"\A(?:{date}|{time}(?:[ \t]*(?:Z|[-+][0-9]{{1,2}}(?::[0-9]{{2}})?))?)\z")).ok()
    });
    if matches!(text, "<<" | "=") {
        return false;
    }
    let is_time = TIMESTAMP.as_ref().is_some_and(|r| r.is_match(text).unwrap_or(false));
    !is_time && matches!(resolve_plain(text), NodeKind::Str(_))
}

pub(super) fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

pub(super) fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

pub(super) fn escaped(c: char) -> String {
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        c => {
            return match c as u32 {
                n @ 0..=0xff => format!("\\x{n:02X}"),
                n @ 0x100..=0xffff => format!("\\u{n:04X}"),
                n => format!("\\U{n:08X}"),
            };
        }
    };
    format!("\\{short}")
}

/// What a text allows.
pub(super) struct Traits {
    pub multiline: bool,
    pub flow_plain: bool,
    pub block_plain: bool,
    pub single_quoted: bool,
    /// Whether all of it can stand there without an escape.
    pub printable: bool,
}

impl Traits {
    pub fn of(text: &str, unicode: bool) -> Self {
        if text.is_empty() {
            return Self {
                multiline: false,
                flow_plain: false,
                block_plain: true,
                single_quoted: true,
                printable: true,
            };
        }
        let chars: Vec<char> = text.chars().collect();
        let (mut block, mut flow) = (false, false);
        if text.starts_with("---") || text.starts_with("...") {
            (block, flow) = (true, true);
        }
        let (mut breaks, mut special) = (false, false);
        let (mut space_break, mut break_space) = (false, false);
        let mut preceded = true;
        let blank = |c: Option<&char>| c.is_none_or(|c| matches!(c, ' ' | '\t') || is_break(*c));
        for (i, c) in chars.iter().enumerate() {
            let followed = blank(chars.get(i + 1));
            match c {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`'
                    if i == 0 =>
                {
                    (block, flow) = (true, true);
                }
                '?' | ':' if i == 0 => {
                    flow = true;
                    block |= followed;
                }
                '-' if i == 0 && followed => (block, flow) = (true, true),
                ',' | '?' | '[' | ']' | '{' | '}' => flow = true,
                ':' => {
                    flow = true;
                    block |= followed;
                }
                '#' if preceded => (block, flow) = (true, true),
                _ => {}
            }
            special |= !is_printable(*c) && !is_break(*c) || *c == '\r' || (!c.is_ascii() && !unicode);
            breaks |= is_break(*c);
            if *c == ' ' {
                break_space |= i > 0 && is_break(chars[i - 1]);
            } else if is_break(*c) {
                space_break |= i > 0 && chars[i - 1] == ' ';
            }
            preceded = matches!(c, ' ' | '\t') || is_break(*c);
        }
        let edge = |c: Option<&char>| c.is_some_and(|c| *c == ' ' || is_break(*c));
        let plain = !(edge(chars.first()) || edge(chars.last()) || breaks || break_space || space_break || special);
        Self {
            multiline: breaks,
            flow_plain: plain && !flow,
            block_plain: plain && !block,
            single_quoted: !(break_space || space_break || special),
            printable: !special,
        }
    }
}
