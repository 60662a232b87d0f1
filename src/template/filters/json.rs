//! JSON: `to_json`, `to_nice_json`, `from_json`, `tojson`, as Python's `json` module writes and reads it.

use minijinja::{Error, Value as Jinja};

use super::json_reader;
use crate::template::call::{Call, Spec, ansible, fail, inner, markup, to_int};
use crate::template::{python, python_type};
use crate::value::{Key, Value};

pub(super) const FILTERS: &[Spec] = &[
    ansible(&["to_json"], &["a", "**options"], to_json),
    ansible(&["to_nice_json"], &["a", "indent", "sort_keys", "**options"], to_nice_json),
    ansible(&["from_json"], &["a", "profile"], from_json),
    ansible(&["tojson"], &["value", "indent"], tojson),
];

/// How `json.dumps` is asked to write.
struct Style {
    indent: Option<String>,
    sort: bool,
    ascii: bool,
    item: String,
    key: String,
}

impl Style {
    fn compact() -> Self {
        Self { indent: None, sort: false, ascii: true, item: ", ".to_owned(), key: ": ".to_owned() }
    }

    fn indented(by: usize) -> Self {
        Self { indent: Some(" ".repeat(by)), item: ",".to_owned(), ..Self::compact() }
    }

    fn option(&mut self, name: &str, value: &Value) -> Result<(), Error> {
        match name {
            "indent" => {
                self.indent = match value {
                    Value::Null => None,
                    Value::Str(text) => Some(text.as_str().to_owned()),
                    other => Some(" ".repeat(usize::try_from(to_int(other)?).unwrap_or(0))),
                };
                self.item = if self.indent.is_some() { "," } else { ", " }.to_owned();
            }
            "sort_keys" => self.sort = crate::template::truthy(value),
            "ensure_ascii" => self.ascii = crate::template::truthy(value),
            "separators" => match value.as_list() {
                Some([item, key]) => (self.item, self.key) = (item.to_text(), key.to_text()),
                _ => return Err(fail("separators must be a pair of strings")),
            },
            "skipkeys" | "check_circular" | "allow_nan" | "preprocess_unsafe" | "vault_to_text" | "profile" | "cls" => {
            }
            other => return Err(fail(format!("JSONEncoder.__init__() got an unexpected keyword argument '{other}'"))),
        }
        Ok(())
    }

    fn options(&mut self, call: &Call<'_, '_, '_>) -> Result<(), Error> {
        // Separators count whatever the order of the options.
        let more = call.more()?;
        for (key, value) in more.iter().filter(|(k, _)| k.as_str() != Some("separators")) {
            self.option(key.as_str().unwrap_or_default(), value)?;
        }
        match more.get("separators") {
            Some(Value::Null) | None => Ok(()),
            Some(pair) => self.option("separators", pair),
        }
    }

    fn write(&self, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        match value {
            Value::Null | Value::Omit => out.push_str("null"),
            Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Value::Int(i) => out.push_str(&i.to_string()),
            Value::Float(f) => out.push_str(&float(*f)),
            Value::Str(s) => self.string(out, s.as_str()),
            Value::List(items) if items.is_empty() => out.push_str("[]"),
            Value::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    self.between(out, i, depth + 1);
                    self.write(out, item, depth + 1)?;
                }
                self.line(out, depth);
                out.push(']');
            }
            Value::Map(map) if map.is_empty() => out.push_str("{}"),
            Value::Map(map) => {
                let mut entries: Vec<(&Key, &Value)> = map.iter().collect();
                if self.sort {
                    sort(&mut entries)?;
                }
                out.push('{');
                for (i, (key, value)) in entries.into_iter().enumerate() {
                    self.between(out, i, depth + 1);
                    self.string(out, &key_text(key));
                    out.push_str(&self.key);
                    self.write(out, value, depth + 1)?;
                }
                self.line(out, depth);
                out.push('}');
            }
        }
        Ok(())
    }

    fn between(&self, out: &mut String, i: usize, depth: usize) {
        if i > 0 {
            out.push_str(&self.item);
        }
        self.line(out, depth);
    }

    fn line(&self, out: &mut String, depth: usize) {
        if let Some(indent) = &self.indent {
            out.push('\n');
            (0..depth).for_each(|_| out.push_str(indent));
        }
    }

    fn string(&self, out: &mut String, text: &str) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if (c as u32) < 0x20 || (self.ascii && c as u32 > 0x7e) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

fn float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        python::float(value)
    }
}

fn key_text(key: &Key) -> String {
    match key {
        Key::Float(bits) => float(f64::from_bits(*bits)),
        other => other.to_string(),
    }
}

/// Sorts entries as Python sorts keys, which must be of one kind.
pub(super) fn sort<T>(entries: &mut [(&Key, T)]) -> Result<(), Error> {
    let rank = |key: &Key| match key {
        Key::Str(_) => 0,
        Key::Null => 2,
        _ => 1,
    };
    let number = |key: &Key| match key {
        Key::Int(i) => *i as f64,
        Key::Float(bits) => f64::from_bits(*bits),
        Key::Bool(b) => f64::from(u8::from(*b)),
        _ => 0.0,
    };
    if let Some(first) = entries.first().map(|(k, _)| *k)
        && let Some((other, _)) = entries.iter().find(|(k, _)| rank(k) != rank(first))
    {
        let (a, b) = (python_type(&other.to_value()), python_type(&first.to_value()));
        return Err(fail(format!("'<' not supported between instances of '{a}' and '{b}'")));
    }
    entries.sort_by(|(a, _), (b, _)| match (a, b) {
        (Key::Str(a), Key::Str(b)) => a.as_str().cmp(b.as_str()),
        _ => number(a).total_cmp(&number(b)),
    });
    Ok(())
}

fn to_json(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let mut style = Style::compact();
    style.options(call)?;
    dump(&call.value(0)?, &style)
}

fn to_nice_json(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let mut style = Style::indented(4);
    style.sort = call.flag(2, true);
    if let Some(indent) = call.arg(1) {
        style.option("indent", &Value::from_jinja(indent)?)?;
    }
    style.options(call)?;
    dump(&call.value(0)?, &style)
}

fn dump(value: &Value, style: &Style) -> Result<Jinja, Error> {
    let mut out = String::new();
    style.write(&mut out, value, 0)?;
    Ok(Jinja::from(out))
}

/// A value over several lines, with sorted keys.
pub(super) fn laid_out(value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    Style { sort: true, ..Style::indented(4) }.write(&mut out, value, 0)?;
    Ok(out)
}

/// A value as plain `json.dumps` writes it: on one line, a space behind commas and colons, letters beyond ASCII escaped.
#[must_use]
pub fn plain_json(value: &Value) -> String {
    let mut out = String::new();
    // Nothing is refused where keys are not sorted.
    drop(Style::compact().write(&mut out, value, 0));
    out
}

/// A value as `json.dumps` writes it with sorted keys and without escapes for letters: with an indent, else on one line
/// with `item` between entries.
#[must_use]
pub fn dumps(value: &Value, indent: Option<usize>, item: &str) -> String {
    let style = Style {
        indent: indent.map(|by| " ".repeat(by)),
        sort: true,
        ascii: false,
        item: item.to_owned(),
        key: ": ".to_owned(),
    };
    let mut out = String::new();
    // Only keys that cannot be sorted are refused.
    if style.write(&mut out, value, 0).is_err() {
        out.clear();
        drop(Style { sort: false, ..style }.write(&mut out, value, 0));
    }
    out
}

/// Jinja's own, which is safe to put into HTML.
fn tojson(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let mut style = match call.option(1)? {
        Some(by) => Style::indented(usize::try_from(to_int(&by)?).unwrap_or(0)),
        None => Style::compact(),
    };
    style.sort = true;
    let mut out = String::new();
    style.write(&mut out, &call.value(0)?, 0)?;
    let safe = out.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").replace('\'', "\\u0027");
    Ok(markup(call.state, safe))
}

fn from_json(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.value(0)?;
    let Some(text) = value.as_str() else {
        let got = inner(python_type(&value));
        return Err(fail(format!("the JSON object must be str, bytes or bytearray, not {got}")));
    };
    Ok(json_reader::read(text).map_err(fail)?.to_jinja())
}
