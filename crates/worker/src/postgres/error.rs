//! What a server says when something is wrong, in the words and the layout that users know from its own client.

use std::fmt;

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorFields;

use crate::module::Failure;

/// Why a statement was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlError {
    /// The server refused it.
    Server(Box<ServerError>),
    /// The connection broke, or the server said something nobody understands.
    Connection(String),
}

/// An error as the server tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerError {
    /// `ERROR`, `FATAL` or `PANIC`.
    pub severity: String,
    /// The five characters that name the condition.
    pub code: String,
    /// The main sentence.
    pub message: String,
    detail: Option<String>,
    hint: Option<String>,
    context: Option<String>,
    /// Where in the statement, counted in characters from 1.
    position: Option<usize>,
    /// The statement that the position is in.
    statement: String,
}

impl ServerError {
    /// Reads the fields of an error or a notice.
    pub fn read(mut fields: ErrorFields<'_>, statement: &str) -> Self {
        let mut error = Self { statement: statement.to_owned(), ..Self::default() };
        while let Ok(Some(field)) = fields.next() {
            let text = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                // The one in the server's language comes first, the other one since version 9.6.
                b'S' if error.severity.is_empty() => error.severity = text,
                b'C' => error.code = text,
                b'M' => error.message = text,
                b'D' => error.detail = Some(text),
                b'H' => error.hint = Some(text),
                b'W' => error.context = Some(text),
                b'P' => error.position = text.parse().ok(),
                _ => {}
            }
        }
        error
    }

    /// The message with the place in the statement, detail, hint and context, each on lines of its own.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.message);
        if let Some(position) = self.position {
            text.push_str(&pointed(&self.statement, position));
        }
        for (label, field) in [("DETAIL", &self.detail), ("HINT", &self.hint), ("CONTEXT", &self.context)] {
            if let Some(field) = field {
                text.push_str(&format!("{label}:  {field}\n"));
            }
        }
        text
    }
}

/// How much of a line is shown, and how much of that is kept to the right of the place.
const SHOWN: usize = 60;
const RIGHT: usize = 10;

/// The line of a statement that holds a position, and a caret below it.
fn pointed(statement: &str, position: usize) -> String {
    let chars: Vec<char> = statement.chars().map(|c| if c == '\t' { ' ' } else { c }).collect();
    let Some(at) = position.checked_sub(1).filter(|at| *at <= chars.len()) else { return String::new() };
    let mut number = 1;
    let mut begin = 0;
    for (index, c) in chars.iter().enumerate().take(at) {
        let ends = *c == '\n' || (*c == '\r' && chars.get(index + 1) != Some(&'\n'));
        if ends {
            number += 1;
            begin = index + 1;
        }
    }
    let rest = chars.get(at..).unwrap_or_default();
    let mut end = at + rest.iter().position(|c| matches!(c, '\n' | '\r')).unwrap_or(rest.len());
    let (mut cut_left, mut cut_right) = (false, false);
    if end - begin > SHOWN {
        if begin + SHOWN >= at + RIGHT {
            end = begin + SHOWN;
            cut_right = true;
        } else {
            if at + RIGHT < end {
                end = at + RIGHT;
                cut_right = true;
            }
            if begin + SHOWN < end {
                begin = end - SHOWN;
                cut_left = true;
            }
        }
    }
    let left = if cut_left { "..." } else { "" };
    let right = if cut_right { "..." } else { "" };
    let label = format!("LINE {number}: {left}");
    let line: String = chars.get(begin..end).unwrap_or_default().iter().collect();
    format!("{label}{line}{right}\n{}^\n", " ".repeat(label.len() + at - begin))
}

impl SqlError {
    /// The condition that the server names; empty when the server did not say anything.
    pub fn code(&self) -> &str {
        match self {
            Self::Server(error) => &error.code,
            Self::Connection(_) => "",
        }
    }

    /// The same, without the statement and the place in it.
    #[must_use]
    pub fn without_statement(mut self) -> Self {
        if let Self::Server(error) = &mut self {
            error.position = None;
            error.statement.clear();
        }
        self
    }

    /// A failure that says what was attempted before the server's words, as the reference does.
    pub fn failing(&self, attempted: &str) -> Failure {
        Failure::new(format!("{attempted}: {self}"))
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(error) => f.write_str(&error.text()),
            Self::Connection(text) => f.write_str(text),
        }
    }
}

impl From<std::io::Error> for SqlError {
    fn from(error: std::io::Error) -> Self {
        Self::Connection(error.to_string())
    }
}

/// An error that nothing was made of is told as it is.
impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        Self::new(error.to_string().trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_shown() {
        assert_eq!(pointed("select nosuch", 8), "LINE 1: select nosuch\n               ^\n");
        assert_eq!(pointed("select\n\tx", 9), "LINE 2:  x\n         ^\n");
        assert_eq!(pointed("x", 2), "LINE 1: x\n         ^\n");
        assert_eq!(pointed("x", 5), "");
        let long = format!("select {} nosuch, {}", "1,".repeat(60), "2".repeat(60));
        let shown = pointed(&long, 129);
        let (line, caret) = shown.split_once('\n').unwrap_or_default();
        assert!(line.starts_with("LINE 1: ...,1,1,") && line.ends_with("nosuch, 22..."), "{line}");
        assert_eq!(line.find("nosuch"), caret.find('^'));
        assert_eq!(line.len(), "LINE 1: ...".len() + 60 + 3);
        let right = pointed(&format!("nosuch{}", "x".repeat(100)), 1);
        assert!(right.starts_with("LINE 1: nosuchxx") && right.contains("x...\n        ^"), "{right}");
    }

    #[test]
    fn fields_have_lines() {
        let error = ServerError {
            message: "boo".to_owned(),
            detail: Some("dd".to_owned()),
            hint: Some("h".to_owned()),
            context: Some("c".to_owned()),
            ..ServerError::default()
        };
        assert_eq!(error.text(), "boo\nDETAIL:  dd\nHINT:  h\nCONTEXT:  c\n");
        assert_eq!(Failure::from(SqlError::Server(Box::new(error))).msg, "boo\nDETAIL:  dd\nHINT:  h\nCONTEXT:  c");
    }
}
