//! CSV as Python's own reader takes it.

/// How fields are told apart.
pub struct Dialect {
    /// What stands between two fields.
    pub delimiter: char,
    /// Whether spaces behind a delimiter count for nothing.
    pub skip_space: bool,
    /// Whether quotes in the wrong place are an error.
    pub strict: bool,
}

/// Where in a record the reader is.
#[derive(Clone, Copy, PartialEq)]
enum At {
    Record,
    Field,
    Plain,
    Quoted,
    /// Behind a quote inside quotes: the end, or the first of two.
    Quote,
}

impl Dialect {
    /// The dialect of most files, with this delimiter.
    #[must_use]
    pub fn new(delimiter: char) -> Self {
        Self { delimiter, skip_space: false, strict: false }
    }

    /// Rows of fields; a field in quotes may hold delimiters, newlines and doubled quotes. An empty line is a row without
    /// fields.
    pub fn rows(&self, text: &str) -> Result<Vec<Vec<String>>, String> {
        let mut rows = Vec::new();
        let (mut row, mut field, mut at) = (Vec::new(), String::new(), At::Record);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match (at, c) {
                (At::Field | At::Record, ' ') if self.skip_space => at = At::Field,
                (At::Field | At::Record, '"') => at = At::Quoted,
                (At::Quoted, '"') => at = At::Quote,
                (At::Quoted, c) => field.push(c),
                (At::Quote, '"') => {
                    field.push('"');
                    at = At::Quoted;
                }
                (_, '\r' | '\n') => {
                    if c == '\r' && chars.peek() == Some(&'\n') {
                        chars.next();
                    }
                    if at != At::Record {
                        row.push(std::mem::take(&mut field));
                    }
                    rows.push(std::mem::take(&mut row));
                    at = At::Record;
                }
                (_, c) if c == self.delimiter => {
                    row.push(std::mem::take(&mut field));
                    at = At::Field;
                }
                (At::Quote, _) if self.strict => return Err(format!("'{}' expected after '\"'", self.delimiter)),
                (_, c) => {
                    field.push(c);
                    at = At::Plain;
                }
            }
        }
        if at == At::Quoted && self.strict {
            return Err("unexpected end of data".to_owned());
        }
        if at != At::Record {
            row.push(field);
            rows.push(row);
        }
        Ok(rows)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_quoted_fields() {
        let rows = Dialect::new(',').rows("a,\"b,\"\"c\"\"\nd\",e\r\nf\n").unwrap();
        assert_eq!(rows, [vec!["a", "b,\"c\"\nd", "e"], vec!["f"]]);
    }
}
