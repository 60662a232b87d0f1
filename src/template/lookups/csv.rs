//! The lookup `csvfile`: a row by its first column.

use minijinja::Error;

use super::{Lookup, files};
use crate::template::call::{fail, to_int};
use crate::template::python;
use crate::value::{Key, Map, Value};
use rplay_worker::csv::Dialect;

const NO_KEY: &str = "Search key is required but was not found";

/// The names of its options.
const OPTIONS: &[&str] = &["file", "delimiter", "col", "keycol", "default", "encoding"];

pub(super) fn run(lookup: &Lookup<'_>) -> Result<Vec<Value>, Error> {
    if lookup.terms.is_empty() {
        return Err(fail(NO_KEY));
    }
    let mut out = Vec::new();
    for term in &lookup.terms {
        let (key, options) = lookup.key_and_options(term);
        if key.is_empty() || OPTIONS.iter().any(|name| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')))
        {
            return Err(fail(NO_KEY));
        }
        let unknown =
            |name: &&Key| !OPTIONS.contains(&name.as_str().unwrap_or_default()) && !lookup.options.contains_key(*name);
        if let Some(name) = options.keys().find(unknown) {
            return Err(fail(format!("'{name}' is not a valid option")));
        }
        let text = |name: &str, default: &str| options.get(name).map_or_else(|| default.to_owned(), python::text);
        let delimiter = match text("delimiter", "TAB").as_str() {
            "TAB" | "t" | "\\t" => '\t',
            other => other.chars().next().unwrap_or('\t'),
        };
        let content = files::bytes(lookup, &text("file", "ansible.csv"))?
            .ok_or_else(|| fail("expected str, bytes or os.PathLike object, not NoneType"))?;
        let content = String::from_utf8_lossy(&content);
        let (column, key_column) = (column(&options, "col", 1)?, column(&options, "keycol", 0)?);
        let rows = Dialect::new(delimiter).rows(&content).map_err(fail)?;
        let mut found = None;
        for row in rows.iter().filter(|row| !row.is_empty()) {
            if field(row, key_column)? == key {
                found = Some(Value::from(field(row, column)?));
                break;
            }
        }
        let found = found.or_else(|| options.get("default").cloned());
        match found {
            Some(Value::List(values)) => out.extend(values.iter().cloned()),
            Some(value) => out.push(value),
            None => {}
        }
    }
    Ok(out)
}

/// The number of a column, counted from the end when it is negative.
fn column(options: &Map, name: &str, default: i64) -> Result<i64, Error> {
    let Some(value) = options.get(name) else { return Ok(default) };
    to_int(value).map_err(|_| {
        fail(format!(
            "Config '{name}' for 'csvfile' lookup plugin from 'Direct' has an invalid value: Invalid value provided for \
             'int': {}",
            python::repr(value)
        ))
    })
}

fn field(row: &[String], column: i64) -> Result<&str, Error> {
    let length = i64::try_from(row.len()).unwrap_or(i64::MAX);
    let at = usize::try_from(if column < 0 { column + length } else { column }).ok();
    at.and_then(|at| row.get(at)).map(String::as_str).ok_or_else(|| fail("list index out of range"))
}
