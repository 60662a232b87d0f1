//! Python's methods of strings, lists and dictionaries that the engine's own collection lacks or reads differently.

use minijinja::value::{Tuple, ValueKind, from_args};
use minijinja::{Error, State, Value as Jinja};

use super::call::fail;
use crate::value::Value;

/// What a template calls when an object itself has no such method.
pub(super) fn call(state: &mut State<'_, '_>, value: &Jinja, method: &str, args: &[Jinja]) -> Result<Jinja, Error> {
    // What is asked with something undefined is undefined itself: an error where it is used.
    if let Some(missing) = args.iter().find(|arg| arg.is_undefined()) {
        return Ok(missing.clone());
    }
    let own = match value.kind() {
        ValueKind::String => match value.to_str() {
            Some(text) => of_text(state, &text, method, args)?,
            None => None,
        },
        ValueKind::Seq | ValueKind::Iterable => of_list(value, method, args)?,
        ValueKind::Map => of_dict(value, method)?,
        ValueKind::Bytes if method == "decode" => {
            Some(Jinja::from(String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned()))
        }
        ValueKind::Number if method == "is_integer" => Some(Jinja::from(is_whole(value))),
        _ => None,
    };
    match own {
        Some(result) => Ok(result),
        None => minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args),
    }
}

fn is_whole(value: &Jinja) -> bool {
    f64::try_from(value.clone()).is_ok_and(|f| f.fract() == 0.0)
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
    let pad = |args| -> Result<(usize, char), Error> {
        let (width, fill): (i64, Option<char>) = from_args(args)?;
        Ok((usize::try_from(width).unwrap_or(0), fill.unwrap_or(' ')))
    };
    let len = text.chars().count();
    let fill = |c: char, n: usize| c.to_string().repeat(n);
    // Dates are text here; where the reference has a date, its parts can be asked for.
    if let Some(part) = of_date(text, method) {
        return Ok(Some(Jinja::from(part)));
    }
    Ok(Some(match method {
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
            let (width,): (i64,) = from_args(args)?;
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
            let (keep,): (Option<bool>,) = from_args(args)?;
            let lines = text.split_inclusive('\n').map(|line| match keep {
                Some(true) => line,
                _ => line.strip_suffix('\n').map_or(line, |l| l.strip_suffix('\r').unwrap_or(l)),
            });
            lines.map(Jinja::from).collect()
        }
        "swapcase" => Jinja::from(
            text.chars()
                .map(|c| if c.is_uppercase() { c.to_lowercase().to_string() } else { c.to_uppercase().to_string() })
                .collect::<String>(),
        ),
        "casefold" => Jinja::from(text.to_lowercase().replace('ß', "ss")),
        "removeprefix" | "removesuffix" => {
            let (part,): (&str,) = from_args(args)?;
            let rest = if method == "removeprefix" { text.strip_prefix(part) } else { text.strip_suffix(part) };
            Jinja::from(rest.unwrap_or(text))
        }
        "isdecimal" => Jinja::from(!text.is_empty() && text.chars().all(|c| c.is_ascii_digit())),
        "isidentifier" => {
            let mut chars = text.chars();
            let first = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_');
            Jinja::from(first && chars.all(|c| c.is_alphanumeric() || c == '_'))
        }
        "index" => {
            let (what,): (&str,) = from_args(args)?;
            let at = text.find(what).ok_or_else(|| fail("substring not found"))?;
            Jinja::from(text[..at].chars().count())
        }
        "expandtabs" => {
            let (size,): (Option<usize>,) = from_args(args)?;
            Jinja::from(expand_tabs(text, size.unwrap_or(8)))
        }
        "encode" => Jinja::from_bytes(text.as_bytes().to_vec()),
        "join" => {
            let (items,): (&Jinja,) = from_args(args)?;
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

fn of_list(value: &Jinja, method: &str, args: &[Jinja]) -> Result<Option<Jinja>, Error> {
    Ok(Some(match method {
        "index" => {
            let (what,): (&Jinja,) = from_args(args)?;
            let mut items = value.try_iter()?;
            let at = items.position(|item| item == *what);
            Jinja::from(at.ok_or_else(|| fail(format!("{what:?} is not in list")))?)
        }
        "copy" => value.try_iter()?.collect(),
        // What is not the template's own is a variable's, and the reference's change of it is not seen outside either.
        "append" | "extend" | "insert" | "pop" | "remove" | "clear" | "sort" | "reverse" => {
            return Err(fail(format!(
                "cannot change this list with `{method}`: only what the template itself makes with `set` can be changed"
            )));
        }
        _ => return Ok(None),
    }))
}

fn of_dict(value: &Jinja, method: &str) -> Result<Option<Jinja>, Error> {
    Ok(Some(match method {
        "copy" => Value::from_jinja(value)?.to_jinja(),
        "update" | "setdefault" | "pop" | "popitem" | "clear" => {
            return Err(fail(format!(
                "cannot change this dictionary with `{method}`: only what the template itself makes with `set` can be changed"
            )));
        }
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
