//! Text as a literal or folded block of YAML, as libyaml writes it.

use super::emitter::Emitter;
use super::scalars::is_break;

/// Whether libyaml writes a text as a block: nothing that needs an escape, and no space where nobody would see it.
pub(super) fn can_be_block(text: &str, printable: bool) -> bool {
    printable && !text.is_empty() && !text.contains(" \n") && !text.ends_with(' ')
}

impl Emitter {
    /// A block behind `|` or `>`.
    pub(super) fn block(&mut self, text: &str, style: char) {
        self.indicator(&style.to_string(), true, false, false);
        if text.starts_with([' ', '\n']) {
            self.put_text(&self.step.to_string());
        }
        self.open_ended = text == "\n" || text.ends_with("\n\n");
        if self.open_ended {
            self.put_text("+");
        } else if !text.ends_with('\n') {
            self.put_text("-");
        }
        self.put_break();
        (self.indention, self.whitespace) = (true, true);
        let chars: Vec<char> = text.chars().collect();
        let (mut breaks, mut leading_spaces) = (true, true);
        for (i, c) in chars.iter().enumerate() {
            let next = chars.get(i + 1).copied();
            if is_break(*c) {
                if style == '>' && !breaks && !leading_spaces && *c == '\n' {
                    let after = chars.iter().skip(i).find(|c| !is_break(**c));
                    if after.is_some_and(|c| !matches!(c, ' ' | '\t')) {
                        self.put_break();
                    }
                }
                self.break_as(*c);
                (self.indention, breaks) = (true, true);
                continue;
            }
            if breaks {
                self.write_indent();
                leading_spaces = matches!(c, ' ' | '\t');
            }
            if style == '>' && !breaks && *c == ' ' && next != Some(' ') && self.column > self.width {
                self.write_indent();
            } else {
                self.put_text(&c.to_string());
            }
            (self.indention, breaks) = (false, false);
        }
    }
}
