//! Python's methods of strings, lists and dictionaries that the engine's own collection lacks or reads differently.

use minijinja::value::{Tuple, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value as Jinja};

use super::call::{fail, inner_type, type_name};
use super::compare::RENDERING;
use super::{encodings, forms, mutable, python, strformat};
use crate::value::Value;

/// What a template calls when an object itself has no such method.
pub(super) fn call(state: &mut State<'_, '_>, value: &Jinja, method: &str, args: &[Jinja]) -> Result<Jinja, Error> {
    found(state, value, method, args).map_err(|error| told(error, value, method))
}

fn found(state: &mut State<'_, '_>, value: &Jinja, method: &str, args: &[Jinja]) -> Result<Jinja, Error> {
    // What is asked with something undefined is undefined itself: an error where it is used.
    if let Some(missing) = args.iter().find(|arg| arg.is_undefined()) {
        return Ok(missing.clone());
    }
    let own = match value.kind() {
        ValueKind::String => match value.to_str() {
            Some(text) => of_text(state, &text, method, args)?,
            None => None,
        },
        ValueKind::Seq | ValueKind::Iterable => of_list(state, value, method, args)?,
        ValueKind::Map => of_dict(state, value, method, args)?,
        ValueKind::Bytes if method == "decode" => {
            let given = positional(args, &["encoding", "errors"])?;
            let name = given.first().and_then(Jinja::as_str).unwrap_or("utf-8");
            Some(Jinja::from(encodings::decode(value.as_bytes().unwrap_or_default(), name)))
        }
        ValueKind::Bytes if method == "hex" => {
            let bytes = value.as_bytes().unwrap_or_default();
            Some(Jinja::from(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
        }
        ValueKind::Number | ValueKind::Bool => of_number(value, method),
        _ => None,
    };
    match own {
        Some(result) => Ok(result),
        None => minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args),
    }
}

/// An error of a method in the reference's words: an attribute that is not there is undefined.
fn told(error: Error, value: &Jinja, method: &str) -> Error {
    match (error.kind(), error.detail()) {
        _ if std::error::Error::source(&error).is_some() || super::call::is_missing(value) => error,
        (ErrorKind::UnknownMethod, _) => {
            let kind = type_name(value);
            Error::new(ErrorKind::UnknownMethod, format!("object of type '{kind}' has no attribute '{method}'"))
        }
        (ErrorKind::InvalidOperation, Some(detail)) if !detail.starts_with(RENDERING) => {
            fail(format!("{RENDERING}{detail}"))
        }
        _ => error,
    }
}

fn of_number(value: &Jinja, method: &str) -> Option<Jinja> {
    let whole = super::operators::whole(value);
    match (method, whole) {
        ("is_integer", None) => Some(Jinja::from(f64::try_from(value.clone()).is_ok_and(|f| f.fract() == 0.0))),
        ("bit_length", Some(number)) => Some(Jinja::from(128 - number.unsigned_abs().leading_zeros())),
        ("bit_count", Some(number)) => Some(Jinja::from(number.unsigned_abs().count_ones())),
        ("conjugate", Some(number)) => Some(Jinja::from(number)),
        ("conjugate", None) => Some(value.clone()),
        _ => None,
    }
}

/// An argument that Python counts by.
fn whole(value: &Jinja) -> Result<i64, Error> {
    let number = super::operators::whole(value).and_then(|number| i64::try_from(number).ok());
    number.ok_or_else(|| fail(format!("'{}' object cannot be interpreted as an integer", inner_type(value))))
}

/// The methods that look for a part of a text, between two places where these are given.
fn within(text: &str, method: &str, args: &[Jinja]) -> Result<Jinja, Error> {
    let Some(what) = args.first() else {
        return Err(fail(format!("{method} expected at least 1 argument, got 0")));
    };
    let bound = |at: usize| match args.get(at) {
        Some(given) if !given.is_none() => whole(given).map(Some),
        _ => Ok(None),
    };
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let (start, stop) = forms::bounds(chars.len(), bound(1)?, bound(2)?);
    let place = |at: usize| chars.get(at).map_or(text.len(), |(place, _)| *place);
    let part = text.get(place(start)..place(stop.max(start))).unwrap_or_default();
    if matches!(method, "startswith" | "endswith") {
        let wanted: Vec<Jinja> = if what.is_tuple() { what.try_iter()?.collect() } else { vec![what.clone()] };
        let mut found = false;
        for one in &wanted {
            let Some(one) = one.as_str() else {
                let got = inner_type(one);
                return Err(fail(format!("{method} first arg must be str or a tuple of str, not {got}")));
            };
            found |= if method == "startswith" { part.starts_with(one) } else { part.ends_with(one) };
        }
        return Ok(Jinja::from(found && start <= stop));
    }
    let Some(what) = what.as_str() else { return Err(fail(format!("must be str, not {}", inner_type(what)))) };
    if method == "count" {
        let count = if what.is_empty() { part.chars().count() + 1 } else { part.matches(what).count() };
        return Ok(Jinja::from(count));
    }
    let found = if method.starts_with('r') { part.rfind(what) } else { part.find(what) };
    match found.filter(|_| start <= stop) {
        Some(at) => Ok(Jinja::from(start + part[..at].chars().count())),
        None if method.ends_with("index") => Err(fail("substring not found")),
        None => Ok(Jinja::from(-1)),
    }
}

/// Python's `str.istitle`: every word begins with a letter in upper case, and no other letter is in it.
fn is_title(text: &str) -> bool {
    let (mut any, mut inside) = (false, false);
    for c in text.chars() {
        if c.is_uppercase() && inside || c.is_lowercase() && !inside {
            return false;
        }
        inside = c.is_uppercase() || c.is_lowercase();
        any |= inside;
    }
    any
}

/// Python's `str.translate`: what a table has for a character's number, nothing for none.
fn translated(text: &str, table: &Jinja) -> Result<String, Error> {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let found = table.get_item(&Jinja::from(u32::from(c)))?;
        match found.kind() {
            ValueKind::Undefined => out.push(c),
            ValueKind::None => {}
            ValueKind::String => out.push_str(found.as_str().unwrap_or_default()),
            _ => {
                let code = u32::try_from(whole(&found)?).ok().and_then(char::from_u32);
                out.push(code.ok_or_else(|| fail("character mapping must be in range(0x110000)"))?);
            }
        }
    }
    Ok(out)
}

/// Python's `str.maketrans` of two texts, and of a third with what is left out.
fn table(args: &[Jinja]) -> Result<Jinja, Error> {
    let text = |at: usize| args.get(at).and_then(Jinja::as_str);
    let (Some(from), Some(to)) = (text(0), text(1)) else {
        return Err(fail("if you give only one argument to maketrans it must be a dict"));
    };
    if from.chars().count() != to.chars().count() {
        return Err(fail("the first two maketrans arguments must have equal length"));
    }
    let pairs = from.chars().zip(to.chars()).map(|(a, b)| (Jinja::from(u32::from(a)), Jinja::from(u32::from(b))));
    let gone = text(2).unwrap_or_default().chars().map(|c| (Jinja::from(u32::from(c)), Jinja::from(())));
    Ok(Jinja::from_pairs(pairs.chain(gone)))
}

/// A part of a date and time, as YAML and TOML write them: `2020-01-01T12:42:42-07:00`.
fn of_date(text: &str, method: &str) -> Option<String> {
    let (date, rest) = text.split_at_checked(10)?;
    let is_date =
        date.bytes().enumerate().all(|(at, b)| if matches!(at, 4 | 7) { b == b'-' } else { b.is_ascii_digit() });
    if !is_date {
        return None;
    }
    let time = rest.strip_prefix(['T', 't', ' ']).filter(|time| time.as_bytes().get(2) == Some(&b':'));
    match method {
        "date" => Some(date.to_owned()),
        "isoformat" => Some(time.map_or_else(|| date.to_owned(), |time| format!("{date}T{time}"))),
        "time" => time.map(|time| time.split(['+', '-', 'Z']).next().unwrap_or(time).trim_end().to_owned()),
        _ => None,
    }
}

fn of_text(state: &mut State<'_, '_>, text: &str, method: &str, args: &[Jinja]) -> Result<Option<Jinja>, Error> {
    let pad = |args: &[Jinja]| -> Result<(usize, char), Error> {
        let (width, fill): (&Jinja, Option<&str>) = from_args(args)?;
        let mut fill = fill.unwrap_or(" ").chars();
        match (fill.next(), fill.next()) {
            (Some(fill), None) => Ok((usize::try_from(whole(width)?).unwrap_or(0), fill)),
            _ => Err(fail("The fill character must be exactly one character long")),
        }
    };
    let len = text.chars().count();
    let fill = |c: char, n: usize| c.to_string().repeat(n);
    // Dates are text here; where the reference has a date, its parts can be asked for.
    if let Some(part) = of_date(text, method) {
        return Ok(Some(Jinja::from(part)));
    }
    Ok(Some(match method {
        "format" => Jinja::from(strformat::format(text, args)?),
        "format_map" => {
            let (mapping,): (&Jinja,) = from_args(args)?;
            Jinja::from(strformat::format_map(text, mapping)?)
        }
        "ljust" => {
            let (width, c) = pad(args)?;
            Jinja::from(format!("{text}{}", fill(c, width.saturating_sub(len))))
        }
        "rjust" => {
            let (width, c) = pad(args)?;
            Jinja::from(format!("{}{text}", fill(c, width.saturating_sub(len))))
        }
        "center" => {
            let (width, c) = pad(args)?;
            Jinja::from(center(text, width, c))
        }
        "zfill" => {
            let (width,): (&Jinja,) = from_args(args)?;
            let width = whole(width)?;
            let zeros = fill('0', usize::try_from(width).unwrap_or(0).saturating_sub(len));
            match text.strip_prefix(['-', '+']) {
                Some(rest) => Jinja::from(format!("{}{zeros}{rest}", &text[..1])),
                None => Jinja::from(format!("{zeros}{text}")),
            }
        }
        "partition" | "rpartition" => {
            let (sep,): (&str,) = from_args(args)?;
            if sep.is_empty() {
                return Err(fail("empty separator"));
            }
            let found = if method == "partition" { text.split_once(sep) } else { text.rsplit_once(sep) };
            let parts = match found {
                Some((a, b)) => [a, sep, b],
                None if method == "partition" => [text, "", ""],
                None => ["", "", text],
            };
            Jinja::from(Tuple::from(parts.map(Jinja::from)))
        }
        "split" | "rsplit" => split(text, method, args)?,
        "splitlines" => {
            let keep = positional(args, &["keepends"])?.first().map(Jinja::is_true);
            let line =
                |(line, end): (&str, &str)| if keep == Some(true) { format!("{line}{end}") } else { line.to_owned() };
            python::lines(text).map(line).map(Jinja::from).collect()
        }
        "swapcase" => Jinja::from(
            text.chars()
                .map(|c| if c.is_uppercase() { c.to_lowercase().to_string() } else { c.to_uppercase().to_string() })
                .collect::<String>(),
        ),
        "casefold" => Jinja::from(text.to_lowercase().replace('ß', "ss")),
        "removeprefix" | "removesuffix" => {
            let (part,): (&Jinja,) = from_args(args)?;
            let kind = || fail(format!("{method}() argument must be str, not {}", inner_type(part)));
            let part = part.as_str().ok_or_else(kind)?;
            let rest = if method == "removeprefix" { text.strip_prefix(part) } else { text.strip_suffix(part) };
            Jinja::from(rest.unwrap_or(text))
        }
        "isdecimal" => Jinja::from(!text.is_empty() && text.chars().all(|c| c.is_ascii_digit())),
        "isidentifier" => {
            let mut chars = text.chars();
            let first = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_');
            Jinja::from(first && chars.all(|c| c.is_alphanumeric() || c == '_'))
        }
        "find" | "rfind" | "index" | "rindex" | "count" | "startswith" | "endswith" => within(text, method, args)?,
        "istitle" => Jinja::from(is_title(text)),
        "isprintable" => Jinja::from(!text.chars().any(|c| c.is_control() || c.is_whitespace() && c != ' ')),
        "translate" => {
            let (table,): (&Jinja,) = from_args(args)?;
            Jinja::from(translated(text, table)?)
        }
        "maketrans" => table(args)?,
        "strip" | "lstrip" | "rstrip" => {
            let chars = match args.first() {
                None => None,
                Some(none) if none.is_none() => None,
                Some(chars) => Some(chars.as_str().ok_or_else(|| fail(format!("{method} arg must be None or str")))?),
            };
            let fits = |c: char| chars.map_or_else(|| c.is_whitespace(), |chars| chars.contains(c));
            Jinja::from(match method {
                "strip" => text.trim_matches(fits),
                "lstrip" => text.trim_start_matches(fits),
                _ => text.trim_end_matches(fits),
            })
        }
        "replace" => {
            if args.len() < 2 {
                return Err(fail(format!("replace expected at least 2 arguments, got {}", args.len())));
            }
            let part = |at: usize| {
                let kind = || fail(format!("replace() argument {} must be str, not {}", at + 1, inner_type(&args[at])));
                args[at].as_str().ok_or_else(kind)
            };
            let (old, new) = (part(0)?, part(1)?);
            match args.get(2).map(whole).transpose()?.map(usize::try_from) {
                Some(Ok(count)) => Jinja::from(text.replacen(old, new, count)),
                _ => Jinja::from(text.replace(old, new)),
            }
        }
        "expandtabs" => {
            let (size,): (Option<usize>,) = from_args(args)?;
            Jinja::from(expand_tabs(text, size.unwrap_or(8)))
        }
        "encode" => {
            let given = positional(args, &["encoding", "errors"])?;
            let name = given.first().and_then(Jinja::as_str).unwrap_or("utf-8");
            Jinja::from_bytes(encodings::encode(text, name).map_err(fail)?)
        }
        "join" => {
            let (items,): (&Jinja,) = from_args(args)?;
            if matches!(items.kind(), ValueKind::None | ValueKind::Number | ValueKind::Bool) {
                return Err(fail("can only join an iterable"));
            }
            let mut out = Vec::new();
            for (i, item) in items.try_iter()?.checked().enumerate() {
                let item = item?;
                if item.is_undefined() {
                    return Err(super::call::undefined(state, &item));
                }
                let Some(part) = item.to_str() else {
                    let got = super::call::type_name(&item);
                    return Err(fail(format!("sequence item {i}: expected str instance, {got} found")));
                };
                out.push(part.to_string());
            }
            Jinja::from(out.join(text))
        }
        "title" => Jinja::from(title(text)),
        _ => return Ok(None),
    }))
}

/// Python's `str.center`, which puts the odd one on the left when the width is odd.
pub(super) fn center(text: &str, width: usize, fill: char) -> String {
    let all = width.saturating_sub(text.chars().count());
    let left = all / 2 + (all & width & 1);
    let fill = |n: usize| fill.to_string().repeat(n);
    format!("{}{text}{}", fill(left), fill(all - left))
}

/// Python's `str.title`: a letter after anything that is not one becomes upper case.
pub(super) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut after_letter = false;
    for c in text.chars() {
        if after_letter {
            out.extend(c.to_lowercase())
        } else {
            out.extend(c.to_uppercase())
        }
        after_letter = c.is_alphabetic();
    }
    out
}

fn expand_tabs(text: &str, size: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for c in text.chars() {
        match c {
            '\t' if size > 0 => {
                let n = size - column % size;
                out.push_str(&" ".repeat(n));
                column += n;
            }
            '\t' => {}
            c => {
                out.push(c);
                column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
            }
        }
    }
    out
}

/// Python's `str.split` and `str.rsplit`.
pub(super) fn split(text: &str, method: &str, args: &[Jinja]) -> Result<Jinja, Error> {
    let args: Vec<Jinja> = super::methods::positional(args, &["sep", "maxsplit"])?;
    let sep = args.first().filter(|s| !s.is_none() && !s.is_undefined());
    let max = match args.get(1) {
        None => -1,
        Some(flag) if flag.kind() == ValueKind::Bool => i64::from(flag.is_true()),
        Some(whole) if whole.is_integer() => whole.as_i64().unwrap_or(-1),
        // One that is named alone leaves the other out.
        Some(none) if none.is_none() && args.len() == 2 && sep.is_some() => -1,
        Some(other) => {
            let got = super::call::inner_type(other);
            return Err(fail(format!("'{got}' object cannot be interpreted as an integer")));
        }
    };
    let parts: Vec<String> = match sep {
        Some(sep) => {
            let sep = sep.to_str().ok_or_else(|| {
                let got = super::call::inner_type(sep);
                fail(format!("must be str or None, not {got}"))
            })?;
            if sep.is_empty() {
                return Err(fail("empty separator"));
            }
            match (usize::try_from(max), method) {
                (Err(_), _) => text.split(&*sep).map(ToOwned::to_owned).collect(),
                (Ok(max), "split") => text.splitn(max + 1, &*sep).map(ToOwned::to_owned).collect(),
                (Ok(max), _) => {
                    let mut parts: Vec<String> = text.rsplitn(max + 1, &*sep).map(ToOwned::to_owned).collect();
                    parts.reverse();
                    parts
                }
            }
        }
        None => split_words(text, max, method == "rsplit"),
    };
    Ok(parts.into_iter().map(Jinja::from).collect())
}

/// Words between white space, at most `max` of them cut off.
pub(super) fn split_words(text: &str, max: i64, from_right: bool) -> Vec<String> {
    let Ok(max) = usize::try_from(max) else { return text.split_whitespace().map(ToOwned::to_owned).collect() };
    let mut out = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() && out.len() < max {
        let cut = if from_right { rest.rfind(char::is_whitespace) } else { rest.find(char::is_whitespace) };
        let Some(at) = cut else { break };
        let (a, b) = rest.split_at(at);
        let (word, left) = if from_right { (b.trim_start(), a.trim_end()) } else { (a, b.trim_start()) };
        out.push(word.to_owned());
        rest = left;
    }
    if !rest.is_empty() {
        out.push(rest.to_owned());
    }
    if from_right {
        out.reverse();
    }
    out
}

/// Arguments in the order of their parameters, named ones included.
pub(super) fn positional(args: &[Jinja], params: &[&str]) -> Result<Vec<Jinja>, Error> {
    let (before, named) = match args.split_last() {
        Some((last, before)) if last.is_kwargs() => (before, Some(last)),
        _ => (args, None),
    };
    let mut out = before.to_vec();
    if let Some(named) = named {
        out.resize(params.len(), Jinja::from(()));
        for key in named.try_iter()? {
            let name = key.to_str().unwrap_or_default();
            let at = params.iter().position(|p| **p == *name);
            let at = at.ok_or_else(|| fail(format!("got an unexpected keyword argument '{name}'")))?;
            out[at] = named.get_item(&key)?;
        }
    }
    Ok(out)
}

fn of_list(state: &mut State<'_, '_>, value: &Jinja, method: &str, args: &[Jinja]) -> Result<Option<Jinja>, Error> {
    Ok(Some(match method {
        "index" => {
            let (what, start, stop): (&Jinja, Option<i64>, Option<i64>) = from_args(args)?;
            let items: Vec<Jinja> = value.try_iter()?.collect();
            let (start, stop) = forms::bounds(items.len(), start, stop);
            let at = (start..stop).find(|at| items.get(*at) == Some(what));
            Jinja::from(at.ok_or_else(|| fail(format!("{what:?} is not in list")))?)
        }
        "copy" => value.try_iter()?.collect(),
        "append" | "extend" | "insert" | "pop" | "remove" | "clear" | "sort" | "reverse" => {
            changed(state, value, method, args)?
        }
        _ => return Ok(None),
    }))
}

/// What a method gives that changes what it is called on: that of a copy, as nobody sees the change of what has no name.
fn changed(state: &mut State<'_, '_>, value: &Jinja, method: &str, args: &[Jinja]) -> Result<Jinja, Error> {
    let copy = mutable::own(value, 0)?;
    if copy == *value && !mutable::is_own(&copy) {
        return Err(fail(format!("cannot change this {} with `{method}`", type_name(value))));
    }
    copy.call_method(state, method, args)
}

fn of_dict(state: &mut State<'_, '_>, value: &Jinja, method: &str, args: &[Jinja]) -> Result<Option<Jinja>, Error> {
    Ok(Some(match method {
        "copy" => Value::from_jinja(value)?.to_jinja(),
        "update" | "setdefault" | "pop" | "popitem" | "clear" => changed(state, value, method, args)?,
        _ => return Ok(None),
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_parts() {
        let of = |text, method| of_date(text, method);
        assert_eq!(of("2020-01-01T12:42:42-07:00", "time").as_deref(), Some("12:42:42"));
        assert_eq!(of("2020-01-01 12:42:42", "isoformat").as_deref(), Some("2020-01-01T12:42:42"));
        assert_eq!(of("2020-01-01", "date").as_deref(), Some("2020-01-01"));
        assert_eq!((of("2020-01-01", "time"), of("some text, long", "date")), (None, None));
    }
}
