//! Python's `%` on text.

use std::iter::Peekable;
use std::str::CharIndices;

use minijinja::value::ValueKind;
use minijinja::{Error, Value as Jinja};

use super::call::fail;
use super::compare::Names;
use super::layout::Layout;
use super::{call, operators, python};
use crate::value::Value;

/// The widest place that is filled up.
pub(super) const MAX_WIDTH: usize = 1_000_000;

/// What a text's places are filled with.
#[derive(Debug)]
pub(super) struct Arguments {
    /// One after the other.
    pub list: Vec<Jinja>,
    /// By name.
    pub mapping: Option<Jinja>,
}

/// A text with its places filled, a value's type in a complaint called as `names` has it.
pub(super) fn format(text: &str, arguments: Arguments, names: Names) -> Result<String, Error> {
    let mut filler = Filler { place: 0, arguments, names };
    let mut out = String::with_capacity(text.len());
    let mut chars = text.char_indices().peekable();
    while let Some((_, c)) = chars.next() {
        if c == '%' {
            out.push_str(&filler.fill(&mut chars)?);
        } else {
            out.push(c);
        }
    }
    // What has elements need not be used.
    if filler.place < filler.arguments.list.len() && filler.arguments.mapping.is_none() {
        return Err(fail("not all arguments converted during string formatting"));
    }
    Ok(out)
}

struct Filler {
    place: usize,
    arguments: Arguments,
    names: Names,
}

impl Filler {
    fn next(&mut self) -> Result<Jinja, Error> {
        let found = self.arguments.list.get(self.place).cloned();
        self.place += 1;
        found.ok_or_else(|| fail("not enough arguments for format string"))
    }

    fn named(&self, name: &str) -> Result<Jinja, Error> {
        let Some(mapping) = &self.arguments.mapping else { return Err(fail("format requires a mapping")) };
        if mapping.kind() != ValueKind::Map {
            return Err(fail("list indices must be integers or slices, not str"));
        }
        let found = mapping.get_item(&Jinja::from(name))?;
        if found.is_undefined() { Err(fail(python::quoted(name))) } else { Ok(found) }
    }

    /// The place behind a `%`.
    fn fill(&mut self, chars: &mut Peekable<CharIndices<'_>>) -> Result<String, Error> {
        let mut layout = Layout::default();
        let incomplete = || fail("incomplete format");
        let mut name = None;
        if chars.next_if(|(_, c)| *c == '(').is_some() {
            let mut text = String::new();
            loop {
                match chars.next() {
                    Some((_, ')')) => break,
                    Some((_, c)) => text.push(c),
                    None => return Err(fail("incomplete format key")),
                }
            }
            name = Some(self.named(&text)?);
        }
        let mut zero = false;
        while let Some((_, flag)) = chars.next_if(|(_, c)| "-+ #0".contains(*c)) {
            match flag {
                '-' => layout.align = Some('<'),
                '#' => layout.other_form = true,
                '0' => zero = true,
                '+' => layout.sign = Some('+'),
                _ => layout.sign = layout.sign.or(Some(' ')),
            }
        }
        if let Some(width) = self.number(chars)? {
            layout.align = if width < 0 { Some('<') } else { layout.align };
            layout.width = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
        }
        if chars.next_if(|(_, c)| *c == '.').is_some() {
            layout.precision = Some(usize::try_from(self.number(chars)?.unwrap_or(0)).unwrap_or(0));
        }
        if layout.width.max(layout.precision.unwrap_or(0)) > MAX_WIDTH {
            return Err(fail("width too big"));
        }
        while chars.next_if(|(_, c)| "lLh".contains(*c)).is_some() {}
        let (at, kind) = chars.next().ok_or_else(incomplete)?;
        if kind == '%' {
            return Ok("%".to_owned());
        }
        if !"diuxXoeEfFgGcsra".contains(kind) {
            let code = u32::from(kind);
            return Err(fail(format!("unsupported format character '{kind}' (0x{code:x}) at index {at}")));
        }
        let value = match name {
            Some(value) => value,
            None => self.next()?,
        };
        if zero && layout.align.is_none() && !"csra".contains(kind) {
            (layout.align, layout.fill) = (Some('='), Some('0'));
        }
        layout.kind = Some(kind);
        self.laid_out(&layout, kind, &value)
    }

    /// A width or a precision, which an argument may be.
    fn number(&mut self, chars: &mut Peekable<CharIndices<'_>>) -> Result<Option<i64>, Error> {
        if chars.next_if(|(_, c)| *c == '*').is_some() {
            let value = self.next()?;
            return value.as_i64().filter(|_| value.is_integer()).map(Some).ok_or_else(|| fail("* wants int"));
        }
        let mut number = None;
        while let Some((_, digit)) = chars.next_if(|(_, c)| c.is_ascii_digit()) {
            let digit = i64::from(digit.to_digit(10).unwrap_or(0));
            number = Some(number.unwrap_or(0i64).saturating_mul(10).saturating_add(digit));
        }
        Ok(number)
    }

    fn laid_out(&self, layout: &Layout, kind: char, value: &Jinja) -> Result<String, Error> {
        let whole = operators::whole(value);
        let real = || match value.kind() {
            ValueKind::Number | ValueKind::Bool => call::to_float(&Value::from_jinja(value)?).map(Some),
            _ => Ok(None),
        };
        let name = (self.names)(value);
        // What text is aligned as: to the right, where nothing else is asked for.
        let aligned = |text: &str| {
            let cut: String = text.chars().take(layout.precision.unwrap_or(usize::MAX)).collect();
            layout.pad("", &cut, '>')
        };
        match kind {
            'd' | 'i' | 'u' => {
                let number = match (whole, real()?) {
                    (Some(number), _) => number,
                    (None, Some(real)) if real.is_finite() => real.trunc() as i128,
                    _ => return Err(fail(format!("%{kind} format: a real number is required, not {name}"))),
                };
                Ok(digits(layout, number))
            }
            'x' | 'X' | 'o' => match whole {
                Some(number) => Ok(digits(layout, number)),
                None => Err(fail(format!("%{kind} format: an integer is required, not {name}"))),
            },
            'c' => match (value.as_str().map(|text| text.chars().collect::<Vec<_>>()), whole) {
                (Some(chars), _) if chars.len() == 1 => Ok(layout.pad("", &chars[0].to_string(), '>')),
                (_, Some(code)) => match u32::try_from(code).ok().and_then(char::from_u32) {
                    Some(c) => Ok(layout.pad("", &c.to_string(), '>')),
                    None => Err(fail("%c arg not in range(0x110000)")),
                },
                _ => Err(fail("%c requires int or char")),
            },
            's' => Ok(aligned(&text_of(value)?)),
            'r' => Ok(aligned(&python::repr_of(value)?)),
            'a' => Ok(aligned(&python::ascii(&python::repr_of(value)?))),
            _ => match real()? {
                Some(number) => Ok(layout.float(number)),
                None => Err(fail(format!("must be real number, not {name}"))),
            },
        }
    }
}

/// A value as Python's `str` has it.
pub(super) fn text_of(value: &Jinja) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => python::repr_of(value),
        ValueKind::Plain => Ok(value.to_string()),
        _ => Ok(python::text(&Value::from_jinja(value)?)),
    }
}

/// A whole number with as many digits as the precision asks for.
fn digits(layout: &Layout, number: i128) -> String {
    let Some(least) = layout.precision else { return layout.integer(number) };
    let bare = Layout { kind: layout.kind, ..Layout::default() }.integer(number.abs());
    let prefix = match layout.kind.filter(|_| layout.other_form) {
        Some('x') => "0x",
        Some('X') => "0X",
        Some('o') => "0o",
        _ => "",
    };
    let sign = if number < 0 { "-".to_owned() } else { layout.sign.map(String::from).unwrap_or_default() };
    let zeros = "0".repeat(least.saturating_sub(bare.len()));
    layout.pad(&(sign + prefix), &format!("{zeros}{bare}"), '>')
}
