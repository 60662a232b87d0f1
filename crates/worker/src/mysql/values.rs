//! Values of a result, as they are told in JSON.

use serde_json::{Number, Value};

use super::wire::{Column, Reply};

/// The rows of a reply, by their columns' names.
pub fn rows(reply: &Reply) -> Vec<Value> {
    let told = reply.rows.iter().map(|row| {
        let pairs = reply.columns.iter().zip(row);
        Value::Object(pairs.map(|(column, cell)| (column.name.clone(), value(column, cell.as_deref()))).collect())
    });
    told.collect()
}

/// One value: numbers are numbers, times are in the form of ISO 8601.
fn value(column: &Column, cell: Option<&[u8]>) -> Value {
    let Some(bytes) = cell else { return Value::Null };
    let text = String::from_utf8_lossy(bytes).into_owned();
    match column.kind {
        // TINY, SHORT, LONG, LONGLONG, INT24, YEAR
        1 | 2 | 3 | 8 | 9 | 13 => match (text.parse::<i64>(), text.parse::<u64>()) {
            (Ok(number), _) => number.into(),
            (_, Ok(number)) => number.into(),
            _ => text.into(),
        },
        // FLOAT, DOUBLE, and DECIMAL, which the reference cannot tell.
        0 | 4 | 5 | 246 => {
            text.parse().ok().and_then(Number::from_f64).map_or_else(|| Value::String(text.clone()), Value::Number)
        }
        // TIMESTAMP, DATETIME
        7 | 12 => text.replacen(' ', "T", 1).into(),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_have_their_columns_types() {
        let of = |kind, text: &str| value(&Column { kind, ..Column::default() }, Some(text.as_bytes()));
        assert_eq!(of(3, "-4"), json!(-4));
        assert_eq!(of(8, "18446744073709551615"), json!(u64::MAX));
        assert_eq!(of(5, "1.5"), json!(1.5));
        assert_eq!(of(12, "2020-01-01 00:00:00"), json!("2020-01-01T00:00:00"));
        assert_eq!(of(253, "3"), json!("3"));
        assert_eq!(value(&Column::default(), None), Value::Null);
    }
}
