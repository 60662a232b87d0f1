//! From Python's syntax to that of fancy-regex, where they differ.

use super::{Alphabet, Flags};

/// A pattern in the other syntax, and whether it is matched line by line. What Python does not know is an error; what is plainly wrong is left to the compiler.
pub(super) fn translate(pattern: &str, alphabet: Alphabet, flags: Flags) -> Result<(String, bool), String> {
    let mut this =
        Translation { rest: pattern.chars().collect(), at: 0, out: String::new(), alphabet, flags, verbose: false };
    // Python has global flags only at the start.
    this.global_flags()?;
    while let Some(c) = this.next() {
        this.one(c)?;
    }
    let mut prefix = String::new();
    if this.flags.dotall {
        prefix.push_str("(?s)");
    }
    Ok((prefix + &this.out, this.flags.multiline))
}

struct Translation {
    rest: Vec<char>,
    at: usize,
    out: String,
    alphabet: Alphabet,
    flags: Flags,
    verbose: bool,
}

impl Translation {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.get(self.at).copied();
        self.at += 1;
        c
    }

    fn looking_at(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(i, c)| self.rest.get(self.at + i) == Some(&c))
    }

    /// Characters up to `end`, which is passed over.
    fn until(&mut self, end: char) -> Result<String, String> {
        let mut text = String::new();
        loop {
            match self.next() {
                Some(c) if c == end => return Ok(text),
                Some(c) => text.push(c),
                None => return Err(format!("missing {end}, unterminated")),
            }
        }
    }

    fn global_flags(&mut self) -> Result<(), String> {
        while self.looking_at("(?") {
            let letters: String = self.rest[self.at + 2..].iter().take_while(|c| c.is_ascii_alphabetic()).collect();
            let end = self.rest.get(self.at + 2 + letters.len());
            if letters.is_empty() || end != Some(&')') || letters.contains('P') {
                return Ok(());
            }
            self.at += 3 + letters.len();
            for letter in letters.chars() {
                match letter {
                    'm' => self.flags.multiline = true,
                    's' => self.flags.dotall = true,
                    'a' => self.alphabet = Alphabet::Bytes,
                    'i' => self.out.push_str("(?i)"),
                    'x' => {
                        self.verbose = true;
                        self.out.push_str("(?x)");
                    }
                    'u' | 'L' => {}
                    other => return Err(format!("unknown flag '{other}'")),
                }
            }
        }
        Ok(())
    }

    fn one(&mut self, c: char) -> Result<(), String> {
        match c {
            '\\' => self.escape(),
            '[' => self.class(),
            '(' => self.group(),
            '^' => {
                self.out.push_str(if self.flags.multiline { "(?m:^)" } else { r"\A" });
                Ok(())
            }
            '$' => {
                self.out.push_str(if self.flags.multiline { "(?m:$)" } else { r"(?=\n?\z)" });
                Ok(())
            }
            '{' => self.braces(),
            '}' | ']' => {
                self.literal(c);
                Ok(())
            }
            '#' if self.verbose => {
                while self.next().is_some_and(|c| c != '\n') {}
                Ok(())
            }
            _ => {
                self.out.push(c);
                Ok(())
            }
        }
    }

    /// A repetition, or, where Python sees none, a plain brace.
    fn braces(&mut self) -> Result<(), String> {
        let inside: String = self.rest[self.at.min(self.rest.len())..].iter().take_while(|c| **c != '}').collect();
        let closed = self.rest.get(self.at + inside.chars().count()) == Some(&'}');
        let (low, high) = inside.split_once(',').unwrap_or((&inside, ""));
        let number = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if !closed || inside.is_empty() || !number(low) || !number(high) {
            self.literal('{');
            return Ok(());
        }
        self.at += inside.chars().count() + 1;
        let low = if low.is_empty() { "0" } else { low };
        let text = if inside.contains(',') { format!("{{{low},{high}}}") } else { format!("{{{low}}}") };
        self.out.push_str(&text);
        Ok(())
    }

    fn group(&mut self) -> Result<(), String> {
        if self.looking_at("?#") {
            self.until(')')?;
            return Ok(());
        }
        if self.looking_at("?P=") {
            self.at += 3;
            let name = self.until(')')?;
            self.out.push_str(&format!("(?P={name})"));
            return Ok(());
        }
        if self.looking_at("?(") {
            self.at += 2;
            let name = self.until(')')?;
            let shown = if name.bytes().all(|b| b.is_ascii_digit()) { name } else { format!("<{name}>") };
            self.out.push_str(&format!("(?({shown})"));
            return Ok(());
        }
        if self.looking_at("?P<") {
            self.at += 3;
            let name = self.until('>')?;
            self.out.push_str(&format!("(?P<{name}>"));
            return Ok(());
        }
        for (python, other) in
            [("?<=", "(?<="), ("?<!", "(?<!"), ("?=", "(?="), ("?!", "(?!"), ("?:", "(?:"), ("?>", "(?>")]
        {
            if self.looking_at(python) {
                self.at += python.len();
                self.out.push_str(other);
                return Ok(());
            }
        }
        if self.looking_at("?") {
            return self.flagged_group();
        }
        self.out.push('(');
        Ok(())
    }

    /// `(?i-s:…)`.
    fn flagged_group(&mut self) -> Result<(), String> {
        self.at += 1;
        let letters: String =
            self.rest[self.at..].iter().take_while(|c| c.is_ascii_alphabetic() || **c == '-').collect();
        self.at += letters.len();
        if letters.is_empty() || self.next() != Some(':') {
            return Err(format!("unknown extension ?{letters}"));
        }
        let kept: String = letters.chars().filter(|c| matches!(c, 'i' | 's' | 'x' | '-')).collect();
        if letters.contains('m') {
            return Err("the flag m is supported at the start of the pattern only".to_owned());
        }
        self.out.push_str(&format!("(?{}:", kept.trim_end_matches('-')));
        Ok(())
    }

    fn escape(&mut self) -> Result<(), String> {
        let Some(c) = self.next() else { return Err("bad escape (end of pattern)".to_owned()) };
        match c {
            'A' => self.out.push_str(r"\A"),
            'Z' => self.out.push_str(r"\z"),
            'b' | 'B' if self.alphabet == Alphabet::Bytes => self.ascii_boundary(c),
            'b' | 'B' => self.out.extend(['\\', c]),
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => {
                let set = self.set(c);
                self.out.push_str(&set);
            }
            '1'..='9' => {
                let mut digits = c.to_string();
                while digits.len() < 3 && self.rest.get(self.at).is_some_and(char::is_ascii_digit) {
                    digits.extend(self.next());
                }
                let octal = digits.len() == 3 && digits.bytes().all(|b| b < b'8') && c < '4';
                if octal {
                    self.code(u32::from_str_radix(&digits, 8).unwrap_or(0));
                } else {
                    if digits.len() == 3 {
                        digits.pop();
                        self.at -= 1;
                    }
                    self.out.push_str(&format!(r"(?:\{digits})"));
                }
            }
            _ => {
                let code = self.character(c)?;
                self.code(code);
            }
        }
        Ok(())
    }

    fn ascii_boundary(&mut self, c: char) {
        let word = "[A-Za-z0-9_]";
        let (both, neither) =
            if c == 'b' { (("(?<!", "(?="), ("(?<=", "(?!")) } else { (("(?<!", "(?!"), ("(?<=", "(?=")) };
        let side = |(before, after): (&str, &str)| format!("{before}{word}){after}{word})");
        self.out.push_str(&format!("(?:{}|{})", side(both), side(neither)));
    }

    /// The character that an escape stands for, inside and outside of classes.
    fn character(&mut self, c: char) -> Result<u32, String> {
        let hex = |this: &mut Self, len: usize| {
            let digits: String = this.rest[this.at.min(this.rest.len())..].iter().take(len).collect();
            this.at += digits.chars().count();
            u32::from_str_radix(&digits, 16)
                .ok()
                .filter(|_| digits.len() == len)
                .ok_or_else(|| format!("incomplete escape \\{c}{digits}"))
        };
        Ok(match c {
            'a' => 7,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'v' => 11,
            'x' => hex(self, 2)?,
            'u' if self.alphabet == Alphabet::Text => hex(self, 4)?,
            'U' if self.alphabet == Alphabet::Text => hex(self, 8)?,
            '0'..='7' => {
                let mut digits = c.to_string();
                while digits.len() < 3 && self.rest.get(self.at).is_some_and(|d| ('0'..='7').contains(d)) {
                    digits.extend(self.next());
                }
                u32::from_str_radix(&digits, 8).unwrap_or(0)
            }
            c if c.is_ascii_alphanumeric() => return Err(format!("bad escape \\{c}")),
            c => u32::from(c),
        })
    }

    fn code(&mut self, code: u32) {
        self.out.push_str(&format!(r"\x{{{code:X}}}"));
    }

    fn literal(&mut self, c: char) {
        self.out.push('\\');
        self.out.push(c);
    }

    /// The class of `\d`, `\s`, `\w` and their opposites.
    fn set(&self, c: char) -> String {
        if self.alphabet == Alphabet::Text {
            return format!("\\{c}");
        }
        let inside = match c.to_ascii_lowercase() {
            'd' => "0-9",
            's' => r" \t\n\r\x{B}\x{C}",
            _ => "A-Za-z0-9_",
        };
        let not = if c.is_ascii_uppercase() { "^" } else { "" };
        format!("[{not}{inside}]")
    }

    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        if self.looking_at("^") {
            self.at += 1;
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let Some(c) = self.next() else { return Err("unterminated character set".to_owned()) };
            match c {
                ']' if !first => {
                    self.out.push(']');
                    return Ok(());
                }
                '\\' => {
                    let Some(c) = self.next() else { return Err("bad escape (end of pattern)".to_owned()) };
                    match c {
                        'd' | 'D' | 's' | 'S' | 'w' | 'W' => {
                            let set = self.set(c);
                            self.out.push_str(&set);
                        }
                        'b' => self.code(8),
                        _ => {
                            let code = self.character(c)?;
                            self.code(code);
                        }
                    }
                }
                // A range's dash is one between two characters; a doubled one means something else over there.
                '-' if first || self.looking_at("]") || self.looking_at("-") => self.literal('-'),
                '[' | ']' | '&' | '~' | '^' | '#' | ' ' => self.literal(c),
                c => self.out.push(c),
            }
            first = false;
        }
    }
}
