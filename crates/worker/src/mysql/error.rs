//! What a server says when something is wrong, in the form that users know from Python.

use std::fmt;

use crate::module::Failure;

/// Why a statement was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlError {
    /// The server refused it, with the number of its reason.
    Server(u16, String),
    /// The connection broke, or the server said something nobody understands.
    Connection(String),
}

impl SqlError {
    /// Reads a server's message that something is wrong.
    pub fn read(packet: &[u8]) -> Self {
        let Some(([_, low, high], rest)) = packet.split_first_chunk() else { return Self::odd("an error") };
        // After the number comes the condition, `#` and five characters.
        let rest = if rest.first() == Some(&b'#') { rest.get(6..).unwrap_or_default() } else { rest };
        Self::Server(u16::from_le_bytes([*low, *high]), String::from_utf8_lossy(rest).into_owned())
    }

    /// Something that is not understood.
    pub fn odd(what: &str) -> Self {
        Self::Connection(format!("the server sent {what} that is not understood"))
    }

    /// The connection was ended by the server.
    pub fn lost() -> Self {
        Self::Server(2013, "Lost connection to MySQL server during query".to_owned())
    }

    /// A way of logging in that is not there.
    pub fn plugin(name: &str) -> Self {
        Self::Server(2059, format!("Authentication plugin '{name}' is not supported over this connection"))
    }

    /// A failure that says what was attempted before the server's words.
    pub fn failing(&self, attempted: &str) -> Failure {
        Failure::new(format!("{attempted}: {self}"))
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(number, text) => {
                let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
                let escaped = text.replace('\\', "\\\\");
                let escaped = if quote == '\'' { escaped.replace('\'', "\\'") } else { escaped };
                write!(f, "({number}, {quote}{escaped}{quote})")
            }
            Self::Connection(text) => f.write_str(text),
        }
    }
}

impl From<std::io::Error> for SqlError {
    fn from(error: std::io::Error) -> Self {
        Self::Server(2013, format!("Lost connection to MySQL server during query ({error})"))
    }
}

/// An error that nothing was made of is told as it is.
impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        Self::new(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_as_python_shows_them() {
        let error = SqlError::read(b"\xff\xa2\x06#28000Access denied for user 'root'@'localhost'");
        assert_eq!(error.to_string(), "(1698, \"Access denied for user 'root'@'localhost'\")");
        assert_eq!(SqlError::Server(1, "a'b\"c".to_owned()).to_string(), "(1, 'a\\'b\"c')");
        assert!(SqlError::read(b"\xff").to_string().contains("not understood"));
    }
}
