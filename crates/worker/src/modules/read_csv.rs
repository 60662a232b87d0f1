//! `community.general.read_csv`.

use rplay_protocol::Object;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::{PathArg, yes};
use crate::csv::Dialect;
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};

/// Reads a file of comma separated values: a list of its rows, or a dictionary of them by one of the columns.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ReadCsv {
    /// The file.
    #[serde(alias = "filename")]
    path: PathArg,
    /// The column that rows are found by.
    #[serde(default)]
    key: Option<String>,
    /// How it is written: `excel`, `excel-tab` or `unix`.
    #[serde(default = "excel")]
    dialect: String,
    /// The names of the columns; those in the first row by default.
    #[serde(default)]
    fieldnames: Option<Vec<String>>,
    /// Whether each value of the key must be there once only.
    #[serde(default = "yes")]
    unique: bool,
    /// What stands between two fields.
    #[serde(default)]
    delimiter: Option<String>,
    /// Whether spaces behind a delimiter count for nothing.
    #[serde(default)]
    skipinitialspace: bool,
    /// Whether quotes in the wrong place are an error.
    #[serde(default)]
    strict: bool,
}

fn excel() -> String {
    "excel".to_owned()
}

impl Module for ReadCsv {
    const NAME: &'static str = "community.general.read_csv";

    fn check(&self) -> Result<(), String> {
        if !matches!(self.dialect.as_str(), "excel" | "excel-tab" | "unix") {
            return Err(format!("Dialect '{}' is not supported: excel, excel-tab and unix are", self.dialect));
        }
        if self.delimiter.as_ref().is_some_and(|delimiter| delimiter.chars().count() != 1) {
            return Err("Unable to create custom dialect: \"delimiter\" must be a 1-character string".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.path)?;
        let unable = |what: &str, reason: &str| Failure::new(format!("Unable to {what} file: {reason}"));
        let bytes = host.read(&path).map_err(|failure| unable("open", &failure.msg))?;
        let text = String::from_utf8(bytes).map_err(|e| unable("process", &e.to_string()))?;
        let tab = self.dialect == "excel-tab";
        let delimiter = self.delimiter.as_ref().and_then(|delimiter| delimiter.chars().next());
        let mut dialect = Dialect::new(delimiter.unwrap_or(if tab { '\t' } else { ',' }));
        dialect.skip_space = self.skipinitialspace;
        dialect.strict = self.strict;
        let rows = dialect.rows(text.strip_prefix('\u{feff}').unwrap_or(&text)).map_err(|e| unable("process", &e))?;
        // Blank lines are none.
        let mut rows = rows.into_iter().filter(|row| !row.is_empty());
        let names = self.fieldnames.clone().or_else(|| rows.next()).unwrap_or_default();
        let (mut list, mut dict) = (Vec::new(), Object::new());
        let Some(key) = &self.key else {
            list.extend(rows.map(|row| Value::Object(record(&names, row))));
            return Ok(Outcome::unchanged().with("dict", dict).with("list", list));
        };
        if !names.contains(key) {
            let msg = format!("Key '{key}' was not found in the CSV header fields: {}", names.join(", "));
            return Err(Failure::new(msg));
        }
        for row in rows {
            let record = record(&names, row);
            let value = record.get(key).and_then(Value::as_str).unwrap_or("null").to_owned();
            if self.unique && dict.contains_key(&value) {
                return Err(Failure::new(format!("Key '{key}' is not unique for value '{value}'")));
            }
            dict.insert(value, Value::Object(record));
        }
        Ok(Outcome::unchanged().with("dict", dict).with("list", list))
    }
}

/// A row by the names of its columns: one that is too short has nothing in the last, the rest of one that is too long is
/// under `null`.
fn record(names: &[String], row: Vec<String>) -> Object {
    let mut fields = row.into_iter();
    let mut record: Object = names.iter().map(|name| (name.clone(), json!(fields.next()))).collect();
    let rest: Vec<String> = fields.collect();
    if !rest.is_empty() {
        record.insert("null".to_owned(), json!(rest));
    }
    record
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    fn read(content: &str, args: &Value) -> Result<(Value, Value), String> {
        let stage = Stage::new(&[("/f.csv", content)]);
        let mut all = json!({"path": "/f.csv"});
        all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
        let told = stage.check::<ReadCsv>(all).map_err(|failure| failure.msg)?;
        assert!(!told.changed);
        Ok((told.fields["list"].clone(), told.fields["dict"].clone()))
    }

    #[test]
    fn rows_are_told() {
        let file = "\u{feff}n,u\r\na,1\n\n\"q \"\"x\",\"2\n3\"\nshort\nlong,4,5,6\n";
        let (list, dict) = read(file, &json!({})).unwrap();
        let wanted = json!([
            {"n": "a", "u": "1"}, {"n": "q \"x", "u": "2\n3"}, {"n": "short", "u": null},
            {"n": "long", "u": "4", "null": ["5", "6"]},
        ]);
        assert_eq!((list, dict), (wanted, json!({})));
        let (list, dict) = read("n,u\na,1\nb,1\n", &json!({"key": "n"})).unwrap();
        assert_eq!((list, dict), (json!([]), json!({"a": {"n": "a", "u": "1"}, "b": {"n": "b", "u": "1"}})));
        let dict = read("n,u\na,1\nb,1\n", &json!({"key": "u", "unique": false})).unwrap().1;
        assert_eq!(dict, json!({"1": {"n": "b", "u": "1"}}));
        let args = json!({"fieldnames": "x,y", "delimiter": ";", "skipinitialspace": true});
        assert_eq!(read("a; b\n", &args).unwrap().0, json!([{"x": "a", "y": "b"}]));
        assert_eq!(read("x\ty\na\tb\n", &json!({"dialect": "excel-tab"})).unwrap().0, json!([{"x": "a", "y": "b"}]));
        assert_eq!(read("", &json!({})).unwrap().0, json!([]));
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (content, args, word) in [
            ("n\n", json!({"key": "x"}), "Key 'x' was not found in the CSV header fields: n"),
            ("n\na\na\n", json!({"key": "n"}), "Key 'n' is not unique for value 'a'"),
            ("n\n\"a\"b\n", json!({"strict": true}), "Unable to process file: ',' expected after '\"'"),
            ("", json!({"dialect": "x"}), "Dialect 'x' is not supported"),
            ("", json!({"delimiter": ";;"}), "must be a 1-character string"),
            ("", json!({"path": "/none"}), "Unable to open file"),
        ] {
            assert!(read(content, &args).unwrap_err().contains(word), "{word}");
        }
    }
}
