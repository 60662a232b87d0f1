//! Lines that libyaml takes and a strict reader does not: continued inside brackets or quotes, but less indented than what
//! is around them. Indentation has no meaning there, so such lines are indented further and the places put right after.

use std::collections::BTreeMap;

/// How many lines are put right in one file before it is given up.
const MAX_LINES: usize = 500;

/// Lines of a text that get spaces in front of them.
#[derive(Debug, Default)]
pub(super) struct Padding {
    /// Numbers of lines, from 0, and how many spaces.
    lines: BTreeMap<usize, usize>,
}

impl Padding {
    /// The text with the spaces, when there are any.
    pub(super) fn apply(&self, text: &str) -> Option<String> {
        if self.lines.is_empty() {
            return None;
        }
        let mut out = String::with_capacity(text.len() + self.lines.values().sum::<usize>());
        for (number, line) in text.split_inclusive('\n').enumerate() {
            let spaces = self.lines.get(&number).copied().unwrap_or(0);
            out.extend(std::iter::repeat_n(' ', spaces));
            out.push_str(line);
        }
        Some(out)
    }

    /// For each byte of the padded text, where it is in the text; as pairs of a padded place and the spaces before it.
    pub(super) fn shifts(&self, text: &str) -> Vec<(usize, usize)> {
        let (mut at, mut total, mut out) = (0, 0, Vec::new());
        for (number, line) in text.split_inclusive('\n').enumerate() {
            if let Some(spaces) = self.lines.get(&number) {
                total += spaces;
                out.push((at + total, total));
            }
            at += line.len();
        }
        out
    }

    /// Indents what the reader stumbled over on a line (from 1), as its message says; `false` when that is not it.
    pub(super) fn deepen(&mut self, text: &str, line: usize, message: &str) -> bool {
        let lines: Vec<&str> = text.lines().collect();
        let wanted: Vec<usize> = match message {
            "invalid indentation" | "invalid indentation in flow construct" => vec![line.saturating_sub(1)],
            "invalid indentation in quoted scalar" => quoted(&lines, line.saturating_sub(1)),
            _ => return false,
        };
        let depth = lines.iter().map(|l| l.len() - l.trim_start_matches(' ').len()).max().unwrap_or(0) + 2;
        let mut new = false;
        for number in wanted {
            let blank = lines.get(number).is_none_or(|l| l.trim().is_empty());
            new |= !blank && self.lines.insert(number, depth).is_none();
        }
        new && self.lines.len() <= MAX_LINES
    }
}

/// The lines that a quoted text goes on over, after the one it begins on.
fn quoted(lines: &[&str], start: usize) -> Vec<usize> {
    let Some(quote) = lines.get(start).and_then(|line| line.chars().rev().find(|c| matches!(c, '"' | '\''))) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for (number, line) in lines.iter().enumerate().skip(start + 1) {
        out.push(number);
        if line.contains(quote) {
            break;
        }
    }
    out
}
