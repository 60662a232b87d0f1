//! The lookup `csvfile`: a row by its first column.

use minijinja::Error;

use super::{Lookup, files};
use crate::template::call::{fail, to_int};
use crate::template::python;
use crate::value::{Map, Value};

pub(super) fn run(lookup: &Lookup<'_>) -> Result<Vec<Value>, Error> {
    let mut out = Vec::new();
    for term in &lookup.terms {
        let (key, options) = lookup.key_and_options(term);
        let text = |name: &str, default: &str| options.get(name).map_or_else(|| default.to_owned(), python::text);
        let delimiter = match text("delimiter", "TAB").as_str() {
            "TAB" | "t" | "\\t" => '\t',
            other => other.chars().next().unwrap_or('\t'),
        };
        let content = files::content(lookup, &text("file", "ansible.csv"))?;
        let (column, key_column) = (column(&options, "col", 1)?, column(&options, "keycol", 0)?);
        let rows = rows(&content, delimiter);
        let row = rows.iter().find(|row| row.get(key_column) == Some(&key));
        let found = match row {
            Some(row) => {
                Some(Value::from(row.get(column).ok_or_else(|| fail("csvfile: list index out of range"))?.as_str()))
            }
            None => options.get("default").cloned(),
        };
        match found {
            Some(Value::List(values)) => out.extend(values.iter().cloned()),
            Some(value) => out.push(value),
            None => {}
        }
    }
    Ok(out)
}

fn column(options: &Map, name: &str, default: usize) -> Result<usize, Error> {
    match options.get(name) {
        None => Ok(default),
        Some(value) => {
            usize::try_from(to_int(value)?).map_err(|_| fail(format!("csvfile: {name} must not be negative")))
        }
    }
}

/// Rows of fields; a field in quotes may hold delimiters, newlines and doubled quotes.
fn rows(text: &str, delimiter: char) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let (mut row, mut field) = (Vec::new(), String::new());
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            '\r' if !quoted && chars.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            c if c == delimiter && !quoted => row.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn reads_quoted_fields() {
        assert_eq!(rows("a,\"b,\"\"c\"\"\nd\",e\r\nf\n", ','), [vec!["a", "b,\"c\"\nd", "e"], vec!["f"]]);
    }
}
