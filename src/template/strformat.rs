//! Python's `str.format`.

use minijinja::value::ValueKind;
use minijinja::{Error, Value as Jinja};

use super::call::{self, fail, inner_type};
use super::layout::Layout;
use super::printf::{MAX_WIDTH, text_of};
use super::{operators, python};
use crate::value::Value;

/// What fills the places of a text.
struct Fields<'a> {
    list: &'a [Jinja],
    named: Option<&'a Jinja>,
    /// The place of the next one without a number, and whether some have numbers.
    next: usize,
    numbered: bool,
}

/// `text.format(…)` with the arguments in order, named ones last.
pub(super) fn format(text: &str, args: &[Jinja]) -> Result<String, Error> {
    let (list, named) = match args.split_last() {
        Some((last, before)) if last.is_kwargs() => (before, Some(last)),
        _ => (args, None),
    };
    filled(text, &mut Fields { list, named, next: 0, numbered: false }, 0)
}

/// `text.format_map(mapping)`.
pub(super) fn format_map(text: &str, mapping: &Jinja) -> Result<String, Error> {
    filled(text, &mut Fields { list: &[], named: Some(mapping), next: 0, numbered: false }, 0)
}

fn filled(text: &str, fields: &mut Fields<'_>, depth: usize) -> Result<String, Error> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        if let Some(after) = after.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
        } else if brace == "}" {
            return Err(fail("Single '}' encountered in format string"));
        } else if after.is_empty() {
            return Err(fail("Single '{' encountered in format string"));
        } else {
            let end = end_of(after).ok_or_else(|| fail("expected '}' before end of string"))?;
            out.push_str(&field(&after[..end], fields, depth)?);
            rest = &after[end + 1..];
        }
    }
    Ok(out + rest)
}

/// Where the place ends whose inside begins a text.
fn end_of(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// One place: `name!conversion:layout`.
fn field(inside: &str, fields: &mut Fields<'_>, depth: usize) -> Result<String, Error> {
    // What is between brackets belongs to the name.
    let mut brackets = false;
    let ends = inside.char_indices().find(|(_, c)| {
        brackets = (brackets || *c == '[') && *c != ']';
        !brackets && matches!(c, '!' | ':')
    });
    let (name, rest) = inside.split_at(ends.map_or(inside.len(), |(at, _)| at));
    let (conversion, layout) = match rest.strip_prefix('!') {
        Some(rest) => {
            let (conversion, layout) = rest.split_once(':').unwrap_or((rest, ""));
            (Some(conversion), layout)
        }
        None => (None, rest.strip_prefix(':').unwrap_or_default()),
    };
    let value = fields.value(name)?;
    let value = match conversion {
        None => value,
        Some("r") => Jinja::from(python::repr_of(&value)?),
        Some("s") => Jinja::from(text_of(&value)?),
        Some("a") => Jinja::from(python::ascii(&python::repr_of(&value)?)),
        Some(other) => return Err(fail(format!("Unknown conversion specifier {other}"))),
    };
    let nested = layout.contains('{');
    if nested && depth > 0 {
        return Err(fail("Max string recursion exceeded"));
    }
    let layout = if nested { filled(layout, fields, depth + 1)? } else { layout.to_owned() };
    laid_out(&value, &layout)
}

impl Fields<'_> {
    /// The value under a name such as `0`, `a.b` or `a[b]`.
    fn value(&mut self, name: &str) -> Result<Jinja, Error> {
        let (first, mut path) = name.split_at(name.find(['.', '[']).unwrap_or(name.len()));
        let mut here = self.first(first)?;
        while !path.is_empty() {
            if let Some(rest) = path.strip_prefix('.') {
                let (attribute, after) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
                here = attribute_of(&here, attribute)?;
                path = after;
            } else {
                let (index, after) = path[1..].split_once(']').ok_or_else(|| fail("Missing ']' in format string"))?;
                here = element_of(&here, index)?;
                path = after;
            }
        }
        Ok(here)
    }

    fn first(&mut self, name: &str) -> Result<Jinja, Error> {
        let number = match name {
            "" if self.numbered => {
                return Err(fail("cannot switch from manual field specification to automatic field numbering"));
            }
            "" => {
                self.next += 1;
                Some(self.next - 1)
            }
            name => name.parse::<usize>().ok(),
        };
        if let Some(at) = number {
            if !name.is_empty() && self.next > 0 {
                return Err(fail("cannot switch from automatic field numbering to manual field specification"));
            }
            self.numbered |= !name.is_empty();
            let found = self.list.get(at).cloned();
            let outside = || fail(format!("Replacement index {at} out of range for positional args tuple"));
            return found.ok_or_else(outside);
        }
        let found = self.named.map(|named| named.get_item(&Jinja::from(name))).transpose()?;
        found.filter(|found| !found.is_undefined()).ok_or_else(|| fail(python::quoted(name)))
    }
}

fn attribute_of(value: &Jinja, name: &str) -> Result<Jinja, Error> {
    match (value.kind(), name) {
        (ValueKind::Number, "real") => Ok(value.clone()),
        (ValueKind::Bool, "real") => Ok(Jinja::from(i64::from(value.is_true()))),
        (ValueKind::Number | ValueKind::Bool, "imag") => Ok(Jinja::from(0)),
        (ValueKind::Plain, name) if !value.get_attr(name)?.is_undefined() => value.get_attr(name),
        _ => Err(fail(format!("'{}' object has no attribute '{name}'", inner_type(value)))),
    }
}

fn element_of(value: &Jinja, index: &str) -> Result<Jinja, Error> {
    let number = index.parse::<usize>().ok();
    match value.kind() {
        ValueKind::Map => {
            let found = value.get_item(&number.map_or_else(|| Jinja::from(index), Jinja::from))?;
            if found.is_undefined() { Err(fail(python::quoted(index))) } else { Ok(found) }
        }
        ValueKind::Seq | ValueKind::String => match number {
            None if value.kind() == ValueKind::String => Err(fail("string indices must be integers, not 'str'")),
            None => Err(fail("list indices must be integers or slices, not str")),
            Some(at) => {
                let found = match value.as_str() {
                    Some(text) => text.chars().nth(at).map(|c| Jinja::from(c.to_string())),
                    None => value.get_item_by_index(at).ok().filter(|found| !found.is_undefined()),
                };
                let kind = if value.kind() == ValueKind::String { "string" } else { "list" };
                found.ok_or_else(|| fail(format!("{kind} index out of range")))
            }
        },
        _ => Err(fail(format!("'{}' object is not subscriptable", inner_type(value)))),
    }
}

/// Reads `[[fill]align][sign][#][0][width][grouping][.precision][type]`.
fn read(text: &str) -> Result<Layout, Error> {
    let chars: Vec<char> = text.chars().collect();
    let is_align = |at: usize| chars.get(at).is_some_and(|c| "<>=^".contains(*c));
    let mut layout = Layout::default();
    let mut at = 0;
    if is_align(1) {
        (layout.fill, layout.align, at) = (chars.first().copied(), chars.get(1).copied(), 2);
    } else if is_align(0) {
        (layout.align, at) = (chars.first().copied(), 1);
    }
    let mut take = |wanted: &str| {
        let found = chars.get(at).copied().filter(|c| wanted.contains(*c));
        at += usize::from(found.is_some());
        found
    };
    layout.sign = take("+- ");
    layout.other_form = take("#").is_some();
    if take("0").is_some() && layout.align.is_none() {
        (layout.fill, layout.align) = (layout.fill.or(Some('0')), Some('='));
    }
    let mut number = || {
        let mut digits = String::new();
        while let Some(digit) = take("0123456789") {
            digits.push(digit);
        }
        digits
    };
    let width = number();
    layout.width = if width.is_empty() { 0 } else { width.parse().unwrap_or(usize::MAX) };
    layout.grouping = take(",_");
    if take(".").is_some() {
        let mut digits = String::new();
        while let Some(digit) = take("0123456789") {
            digits.push(digit);
        }
        layout.precision = Some(digits.parse().map_err(|_| fail("Format specifier missing precision"))?);
    }
    if layout.width.max(layout.precision.unwrap_or(0)) > MAX_WIDTH {
        return Err(fail("Too many decimal digits in format string"));
    }
    layout.kind = chars.get(at).copied();
    if chars.len() > at + 1 {
        return Err(fail("Invalid format specifier"));
    }
    Ok(layout)
}

/// A value as `format(value, layout)` has it.
fn laid_out(value: &Jinja, text: &str) -> Result<String, Error> {
    if call::is_missing(value) {
        return Err(fail("undefined"));
    }
    if text.is_empty() {
        return text_of(value);
    }
    let unknown = |kind: char, name: &str| fail(format!("Unknown format code '{kind}' for object of type '{name}'"));
    let name = inner_type(value);
    if let Some(whole) = operators::whole(value) {
        return number(&read(text)?, whole, name);
    }
    match value.kind() {
        ValueKind::Number => {
            let layout = read(text)?;
            match layout.kind {
                Some(kind) if !"eEfFgGn%".contains(kind) => Err(unknown(kind, name)),
                _ => Ok(layout.float(call::to_float(&Value::from_jinja(value)?)?)),
            }
        }
        ValueKind::String => {
            let mut layout = read(text)?;
            match layout.kind {
                Some(kind) if kind != 's' => return Err(unknown(kind, name)),
                _ if layout.sign.is_some() => return Err(fail("Sign not allowed in string format specifier")),
                _ => {}
            }
            if let Some(grouping) = layout.grouping {
                return Err(fail(format!("Cannot specify '{grouping}' with 's'.")));
            }
            if layout.align == Some('=') {
                if layout.fill != Some('0') {
                    return Err(fail("'=' alignment not allowed in string format specifier"));
                }
                layout.align = None;
            }
            Ok(layout.text(value.as_str().unwrap_or_default()))
        }
        _ => Err(fail(format!("unsupported format string passed to {name}.__format__"))),
    }
}

/// A whole number, in the form of the conversion.
fn number(layout: &Layout, whole: i128, name: &str) -> Result<String, Error> {
    match layout.kind {
        Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%') => Ok(layout.float(whole as f64)),
        None | Some('b' | 'c' | 'd' | 'n' | 'o' | 'x' | 'X') if layout.precision.is_some() => {
            Err(fail("Precision not allowed in integer format specifier"))
        }
        Some('c') => match u32::try_from(whole).ok().and_then(char::from_u32) {
            Some(c) => Ok(layout.pad("", &c.to_string(), '<')),
            None => Err(fail("%c arg not in range(0x110000)")),
        },
        None | Some('b' | 'd' | 'n' | 'o' | 'x' | 'X') => Ok(layout.integer(whole)),
        Some(other) => Err(fail(format!("Unknown format code '{other}' for object of type '{name}'"))),
    }
}
