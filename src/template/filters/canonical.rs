//! YAML's canonical form, which names every type: `to_yaml(canonical=true)`.

use super::emitter::{Emitter, Options, entries};
use super::scalars::scalar_text;
use crate::value::Value;

/// The document of a value.
pub(super) fn dump(value: &Value, options: &Options) -> String {
    let mut out = String::from("---\n");
    node(value, 0, options, &mut out);
    out.push('\n');
    out
}

fn node(value: &Value, depth: usize, options: &Options, out: &mut String) {
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&" ".repeat(depth * usize::try_from(options.indent).unwrap_or(2)));
    };
    match value {
        Value::List(items) if items.is_empty() => out.push_str("!!seq []"),
        Value::Map(map) if map.is_empty() => out.push_str("!!map {}"),
        Value::List(items) => {
            out.push_str("!!seq [");
            for item in items.iter() {
                line(out, depth + 1);
                node(item, depth + 1, options, out);
                out.push(',');
            }
            line(out, depth);
            out.push(']');
        }
        Value::Map(map) => {
            out.push_str("!!map {");
            for (key, value) in entries(map, options.sort_keys) {
                line(out, depth + 1);
                out.push_str("? ");
                node(&key, depth + 1, options, out);
                line(out, depth + 1);
                out.push_str(": ");
                node(&value, depth + 1, options, out);
                out.push(',');
            }
            line(out, depth);
            out.push('}');
        }
        scalar => {
            out.push_str(match scalar {
                Value::Str(_) => "!!str ",
                Value::Int(_) => "!!int ",
                Value::Float(_) => "!!float ",
                Value::Bool(_) => "!!bool ",
                _ => "!!null ",
            });
            let quoted = Options { style: Some('"'), width: -1, unicode: options.unicode, ..Options::default() };
            out.push_str(Emitter::dump(&Value::from(scalar_text(scalar)), quoted).trim_end_matches('\n'));
        }
    }
}
