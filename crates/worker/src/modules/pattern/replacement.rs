//! What a match is replaced by: text with `\1`, `\g<name>` and escapes, as Python's `re.sub` takes it.

use fancy_regex::Captures;

use super::Pattern;

/// A replacement, checked against the pattern that it goes with.
#[derive(Debug, Clone)]
pub(in crate::modules) struct Replacement(Vec<Part>);

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Group(usize),
}

impl Replacement {
    /// Reads a replacement; an error names an escape or a group that there is not.
    pub(in crate::modules) fn parse(text: &str, pattern: &Pattern) -> Result<Self, String> {
        let names: Vec<Option<&str>> = pattern.group_names().collect();
        let mut parts = Parts::default();
        let mut chars = text.chars().peekable();
        // Where something begins of which so many characters are read.
        let total = text.chars().count();
        let at = |left: usize, read: usize| format!(" at position {}", total.saturating_sub(left + read));
        while let Some(c) = chars.next() {
            if c != '\\' {
                parts.push(c);
                continue;
            }
            let Some(escape) = chars.next() else { return Err(format!("bad escape (end of pattern){}", at(0, 1))) };
            match escape {
                'g' => {
                    let name = group_name(&mut chars)?;
                    let group = match name.parse::<usize>() {
                        Ok(number) => number,
                        Err(_) => names
                            .iter()
                            .position(|n| *n == Some(&name))
                            .ok_or_else(|| format!("unknown group name '{name}'"))?,
                    };
                    let read = name.chars().count() + 1;
                    parts.group(group, names.len()).map_err(|e| e + &at(chars.clone().count(), read))?;
                }
                '0'..='9' => {
                    let mut digits = escape.to_string();
                    while digits.len() < 3 && chars.peek().is_some_and(char::is_ascii_digit) {
                        digits.extend(chars.peek());
                        // An octal number has up to three digits, the number of a group at most two.
                        if digits.len() == 3 && !is_octal(&digits) {
                            digits.pop();
                            break;
                        }
                        chars.next();
                    }
                    if is_octal(&digits) {
                        let code = u32::from_str_radix(&digits, 8).unwrap_or(0);
                        parts.push(char::from_u32(code).unwrap_or('\0'));
                    } else {
                        let group = digits.parse().unwrap_or(usize::MAX);
                        parts.group(group, names.len()).map_err(|e| e + &at(chars.clone().count(), digits.len()))?;
                    }
                }
                'a' => parts.push('\u{7}'),
                'b' => parts.push('\u{8}'),
                'f' => parts.push('\u{c}'),
                'n' => parts.push('\n'),
                'r' => parts.push('\r'),
                't' => parts.push('\t'),
                'v' => parts.push('\u{b}'),
                '\\' => parts.push('\\'),
                c if c.is_ascii_alphabetic() => {
                    return Err(format!("bad escape \\{c}{}", at(chars.count(), 2)));
                }
                c => {
                    parts.push('\\');
                    parts.push(c);
                }
            }
        }
        Ok(Self(parts.done()))
    }

    /// Writes the replacement of one match; a group that took no part is empty.
    pub(in crate::modules) fn expand(&self, captures: &Captures<'_, str>, out: &mut String) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Group(number) => out.push_str(captures.get(*number).map_or("", |m| m.as_str())),
            }
        }
    }
}

/// Whether digits after a backslash are a character's number rather than a group's.
fn is_octal(digits: &str) -> bool {
    let octal = digits.bytes().all(|b| b < b'8');
    octal && (digits.starts_with('0') || (digits.len() == 3 && digits.as_bytes()[0] < b'4'))
}

fn group_name(chars: &mut impl Iterator<Item = char>) -> Result<String, String> {
    if chars.next() != Some('<') {
        return Err("missing < after \\g".to_owned());
    }
    let mut name = String::new();
    loop {
        match chars.next() {
            Some('>') if !name.is_empty() => return Ok(name),
            Some('>') | None => return Err("missing group name after \\g".to_owned()),
            Some(c) => name.push(c),
        }
    }
}

#[derive(Default)]
struct Parts {
    parts: Vec<Part>,
    text: String,
}

impl Parts {
    fn push(&mut self, c: char) {
        self.text.push(c);
    }

    fn group(&mut self, number: usize, count: usize) -> Result<(), String> {
        if number >= count {
            return Err(format!("invalid group reference {number}"));
        }
        if !self.text.is_empty() {
            self.parts.push(Part::Text(std::mem::take(&mut self.text)));
        }
        self.parts.push(Part::Group(number));
        Ok(())
    }

    fn done(mut self) -> Vec<Part> {
        if !self.text.is_empty() {
            self.parts.push(Part::Text(self.text));
        }
        self.parts
    }
}
