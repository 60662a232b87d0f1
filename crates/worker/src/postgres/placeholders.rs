//! Values put into a statement where it has `%s` or `%(name)s`, as users of the reference write them.

use rplay_protocol::Object;
use serde_json::Value;

use super::sql::literal;

/// The values for the places of a statement.
#[derive(Debug, Clone)]
pub enum Arguments {
    /// None: a percent sign is only a percent sign.
    None,
    /// One after another.
    Positional(Vec<Value>),
    /// By name.
    Named(Object),
}

/// A statement with its values in their places, or what is wrong.
pub fn bound(statement: &str, arguments: &Arguments) -> Result<String, String> {
    match arguments {
        Arguments::None => return Ok(statement.to_owned()),
        Arguments::Positional(values) if values.is_empty() => return Ok(statement.to_owned()),
        Arguments::Named(values) if values.is_empty() => return Ok(statement.to_owned()),
        _ => {}
    }
    let mut out = String::with_capacity(statement.len());
    let mut rest = statement;
    let mut used = 0;
    while let Some(at) = rest.find('%') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let after = after.get(1..).unwrap_or_default();
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let (value, after) = taken(after, arguments, &mut used)?;
        out.push_str(&written(value)?);
        let Some(after) = after.strip_prefix('s') else { return Err(unsupported(after)) };
        rest = after;
    }
    out.push_str(rest);
    match arguments {
        Arguments::Positional(values) if used < values.len() => {
            Err("not all arguments converted during string formatting".to_owned())
        }
        _ => Ok(out),
    }
}

fn unsupported(after: &str) -> String {
    match after.chars().next() {
        Some(c) => format!("unsupported format character '{c}'; write %% for a percent sign"),
        None => "incomplete format: write %% for a percent sign".to_owned(),
    }
}

/// The value that a place asks for, and the text behind its name.
fn taken<'a, 'v>(after: &'a str, arguments: &'v Arguments, used: &mut usize) -> Result<(&'v Value, &'a str), String> {
    match arguments {
        Arguments::Positional(values) => {
            if after.starts_with('(') {
                return Err("a place has a name, and the values have none".to_owned());
            }
            if !after.starts_with('s') {
                return Err(unsupported(after));
            }
            let value = values.get(*used).ok_or("list index out of range")?;
            *used += 1;
            Ok((value, after))
        }
        Arguments::Named(values) => {
            let named = after.strip_prefix('(').and_then(|rest| rest.split_once(')'));
            let (name, after) = named.ok_or("dict is not a sequence")?;
            let value = values.get(name).ok_or_else(|| format!("'{name}'"))?;
            Ok((value, after))
        }
        Arguments::None => Err("there are no values".to_owned()),
    }
}

/// A value as it stands in SQL; lists are arrays in their text form.
fn written(value: &Value) -> Result<String, String> {
    Ok(match value {
        Value::Null => "NULL".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => {
            let text = number.to_string();
            // Or the minus sign would make a comment of another one before it.
            if text.starts_with('-') { format!(" {text}") } else { text }
        }
        Value::String(text) => literal(text),
        Value::Array(items) => literal(&array(items)),
        Value::Object(_) => return Err("can't adapt type 'dict'".to_owned()),
    })
}

/// A list as PostgreSQL writes an array.
fn array(items: &[Value]) -> String {
    let item = |item: &Value| match item {
        Value::Null => "NULL".to_owned(),
        Value::Array(items) => array(items),
        Value::String(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        other => {
            let text = other.to_string();
            if text.contains(['"', '{', ',']) { format!("\"{}\"", text.replace('"', "\\\"")) } else { text }
        }
    };
    format!("{{{}}}", items.iter().map(item).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn positional(statement: &str, values: Value) -> Result<String, String> {
        bound(statement, &Arguments::Positional(values.as_array().cloned().unwrap_or_default()))
    }

    #[test]
    fn values_are_put_in() {
        let all = json!([true, 1.5, null, [1, "a\"b"], "o'x\\", -1]);
        let wanted = Ok("select true, 1.5, NULL, '{1, \"a\\\"b\"}', 'o''x\\',  -1, '%'".to_owned());
        assert_eq!(positional("select %s, %s, %s, %s, %s, %s, '%%'", all), wanted);
        let named = Arguments::Named(json!({"a": "%(b)s", "b": 2}).as_object().cloned().unwrap_or_default());
        assert_eq!(bound("%(b)s %(a)s %(b)s", &named), Ok("2 '%(b)s' 2".to_owned()));
        assert_eq!(positional("5 % 3", json!([])), Ok("5 % 3".to_owned()));
    }

    #[test]
    fn what_does_not_fit_is_told() {
        for (statement, values, why) in [
            ("%s", json!([{"a": 1}]), "can't adapt type 'dict'"),
            ("%s, %s", json!([1]), "list index out of range"),
            ("%s", json!([1, 2]), "not all arguments converted during string formatting"),
            ("%d", json!([1]), "unsupported format character 'd'; write %% for a percent sign"),
            ("%", json!([1]), "incomplete format: write %% for a percent sign"),
        ] {
            assert_eq!(positional(statement, values), Err(why.to_owned()));
        }
    }
}
