//! Python's `%` on text: the engine's formatter, and the conversions it does not know.

use minijinja::formatting::{FormatStyle, format as engine_format};
use minijinja::{Error, Value as Jinja};

use super::{call, python};
use crate::value::Value;

/// What Python says of arguments that have no place.
pub(super) const TOO_MANY: &str = "not all arguments converted during string formatting";

/// `text % args`, the arguments in a list or, for named places, one map of keyword arguments.
pub(super) fn format(text: &str, args: Vec<Jinja>) -> Result<String, Error> {
    let mut pattern = String::with_capacity(text.len());
    let mut args = args;
    let named = args.first().is_some_and(Jinja::is_kwargs);
    let mut place = 0;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        pattern.push(c);
        if c != '%' {
            continue;
        }
        // Up to the letter of the conversion; `(name)` is one of its parts.
        let mut inside_name = false;
        for c in chars.by_ref() {
            match c {
                '(' => inside_name = true,
                ')' => inside_name = false,
                '*' => place += 1,
                _ => {}
            }
            let ends = !inside_name && (c.is_ascii_alphabetic() && !matches!(c, 'l' | 'L' | 'h') || c == '%');
            if ends && matches!(c, 'r' | 'a' | 's') && !named {
                pattern.push('s');
                if let Some(arg) = args.get_mut(place)
                    && !arg.is_undefined()
                {
                    let value = Value::from_jinja(arg)?;
                    *arg = Jinja::from(if c == 's' { python::text(&value) } else { python::repr(&value) });
                }
            } else if ends && matches!(c, 'i' | 'u') {
                pattern.push('d');
            } else {
                pattern.push(c);
            }
            if ends {
                place += usize::from(c != '%');
                break;
            }
        }
    }
    if !named {
        if args.len() < place {
            return Err(call::fail("not enough arguments for format string"));
        }
        if args.len() > place {
            return Err(call::fail(TOO_MANY));
        }
    }
    engine_format(FormatStyle::Printf, &pattern, &args)
}
