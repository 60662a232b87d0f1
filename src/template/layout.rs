//! How Python lays out a value in a text: width, alignment, signs, digits, as `str.format` and `%` ask for it.

use super::python;

/// What a place in a text asks for.
#[derive(Debug, Clone, Default)]
pub(super) struct Layout {
    /// What fills up the width.
    pub fill: Option<char>,
    /// One of `<`, `>`, `^` and `=`.
    pub align: Option<char>,
    /// `+` or a space, for numbers that are not below zero.
    pub sign: Option<char>,
    /// The other form: a prefix before digits of another base, a point that is always there.
    pub other_form: bool,
    /// The least number of characters.
    pub width: usize,
    /// What stands between thousands.
    pub grouping: Option<char>,
    /// Digits behind the point, or the most characters.
    pub precision: Option<usize>,
    /// The letter of the conversion.
    pub kind: Option<char>,
}

impl Layout {
    /// Fills a text up to the width.
    pub fn pad(&self, sign: &str, text: &str, align: char) -> String {
        let fill = self.fill.unwrap_or(' ');
        let missing = self.width.saturating_sub(sign.chars().count() + text.chars().count());
        let filled = |count: usize| fill.to_string().repeat(count);
        match self.align.unwrap_or(align) {
            '<' => format!("{sign}{text}{}", filled(missing)),
            '^' => format!("{}{sign}{text}{}", filled(missing / 2), filled(missing - missing / 2)),
            '=' => format!("{sign}{}{text}", filled(missing)),
            _ => format!("{}{sign}{text}", filled(missing)),
        }
    }

    /// A text, cut to the precision.
    pub fn text(&self, text: &str) -> String {
        let cut: String = text.chars().take(self.precision.unwrap_or(usize::MAX)).collect();
        self.pad("", &cut, '<')
    }

    fn sign(&self, negative: bool) -> String {
        if negative { "-".to_owned() } else { self.sign.map(String::from).unwrap_or_default() }
    }

    /// A whole number, in the base of the conversion.
    pub fn integer(&self, number: i128) -> String {
        let size = number.unsigned_abs();
        let (prefix, digits) = match self.kind {
            Some('b') => ("0b", format!("{size:b}")),
            Some('o') => ("0o", format!("{size:o}")),
            Some('x') => ("0x", format!("{size:x}")),
            Some('X') => ("0X", format!("{size:X}")),
            _ => ("", size.to_string()),
        };
        let prefix = if self.other_form { prefix } else { "" };
        let sign = self.sign(number < 0) + prefix;
        let every = if prefix.is_empty() && !matches!(self.kind, Some('b' | 'o' | 'x' | 'X')) { 3 } else { 4 };
        self.pad(&sign, &self.grouped(&digits, every), '>')
    }

    /// A number with a point, in the form of the conversion.
    pub fn float(&self, number: f64) -> String {
        let kind = self.kind.unwrap_or('\0');
        let size = number.abs();
        let mut text = match kind {
            _ if size.is_nan() => "nan".to_owned(),
            _ if size.is_infinite() => "inf".to_owned(),
            'f' | 'F' => format!("{size:.*}", self.precision.unwrap_or(6)),
            '%' => format!("{:.*}%", self.precision.unwrap_or(6), size * 100.0),
            'e' | 'E' => exponent(size, self.precision.unwrap_or(6)),
            'g' | 'G' | 'n' => self.general(size, self.precision.unwrap_or(6), false),
            _ => match self.precision {
                Some(precision) => self.general(size, precision, true),
                None => python::float(size),
            },
        };
        if kind.is_ascii_uppercase() {
            text = text.to_uppercase();
        }
        self.pad(&self.sign(number.is_sign_negative() && !number.is_nan()), &self.grouped(&text, 3), '>')
    }

    /// The shorter of the two forms; with `point` a whole number has one too.
    fn general(&self, size: f64, precision: usize, point: bool) -> String {
        let digits = precision.max(1);
        let scientific = exponent(size, digits - 1);
        let power: i64 = scientific.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
        let limit = i64::try_from(digits).unwrap_or(i64::MAX) - i64::from(point);
        let trimmed = |text: &str| {
            if self.other_form || !text.contains('.') {
                text.to_owned()
            } else {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
        };
        if size != 0.0 && !(-4..limit).contains(&power) {
            let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "+00"));
            return format!("{}e{power}", trimmed(mantissa));
        }
        let decimals = usize::try_from(i64::try_from(digits).unwrap_or(0) - 1 - power).unwrap_or(0);
        let text = trimmed(&format!("{size:.decimals$}"));
        if point && !text.contains('.') { text + ".0" } else { text }
    }

    /// Digits with something between every few of them.
    fn grouped(&self, text: &str, every: usize) -> String {
        let Some(between) = self.grouping else { return text.to_owned() };
        let whole = text.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(text.len());
        let (digits, rest) = text.split_at(whole);
        let mut out = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(every) {
                out.push(between);
            }
            out.push(digit);
        }
        out + rest
    }
}

/// A number as Python writes it with an exponent of two digits at least.
fn exponent(size: f64, precision: usize) -> String {
    let text = format!("{size:.precision$e}");
    let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
}
