//! Jinja's and Ansible's filters of text: `int`, `float`, `replace`, `indent`, `wordwrap`, `truncate`, `comment`, `format`, …

use minijinja::value::ValueKind;
use minijinja::{Error, Value as Jinja};

use crate::template::call::{Call, Spec, ansible, fail, inner, inner_type, to_float, to_int, type_name};
use crate::template::printf::Arguments;
use crate::template::{methods, printf, python, python_type};
use crate::value::Value;

pub(super) const FILTERS: &[Spec] = &[
    ansible(&["int"], &["value", "default", "base"], int),
    ansible(&["float"], &["value", "default"], |c| match to_float(&c.value(0)?) {
        Ok(f) => Ok(Jinja::from(f)),
        Err(_) => Ok(c.arg(1).cloned().unwrap_or_else(|| Jinja::from(0.0))),
    }),
    ansible(&["string"], &["object"], |c| {
        let value = c.need(0)?;
        Ok(match value.kind() {
            // It stays the user's own, or escaped, when it is.
            ValueKind::String => value.clone(),
            ValueKind::Seq | ValueKind::Iterable => Jinja::from(python::repr_of(value)?),
            ValueKind::Plain => Jinja::from(value.to_string()),
            _ => Jinja::from(c.text(0)?),
        })
    }),
    ansible(&["replace"], &["s", "old", "new", "count"], |c| {
        let (text, old, new) = (c.text(0)?, c.text(1)?, c.text(2)?);
        Ok(Jinja::from(match usize::try_from(c.int(3, -1)?) {
            Ok(count) => text.replacen(&old, &new, count),
            Err(_) => text.replace(&old, &new),
        }))
    }),
    ansible(&["split"], &["value", "sep", "maxsplit"], |c| {
        let text = c.value(0)?;
        let Some(text) = text.as_str() else {
            let got = inner(python_type(&text));
            return Err(fail(format!("descriptor 'split' for 'str' objects doesn't apply to a '{got}' object")));
        };
        let args = [c.arg(1).cloned().unwrap_or_default(), c.arg(2).cloned().unwrap_or_else(|| Jinja::from(-1))];
        methods::split(text, "split", &args)
    }),
    ansible(&["title"], &["s"], |c| Ok(Jinja::from(title(&c.text(0)?)))),
    ansible(&["indent"], &["s", "width", "first", "blank"], indent),
    ansible(&["wordwrap"], &["s", "width", "break_long_words", "wrapstring", "break_on_hyphens"], wordwrap),
    ansible(&["center"], &["value", "width"], |c| {
        let (text, width) = (c.text(0)?, usize::try_from(c.index(1, 80)?).unwrap_or(0));
        Ok(Jinja::from(methods::center(&text, width, ' ')))
    }),
    ansible(&["truncate"], &["s", "length", "killwords", "end", "leeway"], truncate),
    ansible(&["wordcount"], &["s"], |c| {
        let text = c.text(0)?;
        let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|w| !w.is_empty());
        Ok(Jinja::from(words.count()))
    }),
    ansible(&["striptags"], &["value"], |c| Ok(Jinja::from(strip_tags(&c.text(0)?)))),
    ansible(&["format"], &["value", "*args", "**named"], format),
    ansible(
        &["comment"],
        &[
            "text",
            "style",
            "decoration",
            "beginning",
            "prefix",
            "prefix_count",
            "postfix",
            "postfix_count",
            "end",
            "newline",
        ],
        comment,
    ),
];

fn int(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.value(0)?;
    let default = || call.arg(1).cloned().unwrap_or_else(|| Jinja::from(0));
    // A base that is no number reads nothing.
    let base = call.index(2, 10).ok().map(|base| u32::try_from(base).unwrap_or(1));
    Ok(match &value {
        Value::Str(text) => match base.and_then(|base| based(text.as_str(), base)) {
            Some(number) => Jinja::from(number),
            None => match to_float(&value) {
                Ok(f) if f.is_finite() => Jinja::from(f.trunc() as i64),
                _ => default(),
            },
        },
        other => to_int(other).map_or_else(|_| default(), Jinja::from),
    })
}

/// Python's `int(text, base)`: the base's own prefix, underscores and white space allowed.
fn based(text: &str, base: u32) -> Option<i64> {
    let text = text.trim().replace('_', "").to_lowercase();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(&text)),
    };
    let prefixes = [("0x", 16), ("0o", 8), ("0b", 2)];
    let found = prefixes.iter().find(|(prefix, radix)| digits.starts_with(prefix) && (base == *radix || base == 0));
    let (digits, base) = found.map_or((digits, base), |(prefix, radix)| (&digits[prefix.len()..], *radix));
    let base = if base == 0 { 10 } else { base };
    if !(2..=36).contains(&base) || digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), base).ok()
}

/// Jinja's `title`: only white space and opening brackets and hyphens begin a word.
fn title(text: &str) -> String {
    let mut out = String::new();
    let mut begins = true;
    for c in text.chars() {
        if begins {
            out.extend(c.to_uppercase())
        } else {
            out.extend(c.to_lowercase())
        }
        begins = c.is_whitespace() || "-({[<".contains(c);
    }
    out
}

/// Text that a filter calls a method of.
fn text_with(call: &Call<'_, '_, '_>, method: &str) -> Result<String, Error> {
    match call.value(0)? {
        Value::Str(text) => Ok(text.as_str().to_owned()),
        other => Err(no_method(python_type(&other), method)),
    }
}

fn no_method(kind: &'static str, method: &str) -> Error {
    fail(format!("'{}' object has no attribute '{method}'", inner(kind)))
}

fn indent(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let text = match call.value(0)? {
        Value::Str(text) => text.as_str().to_owned(),
        Value::List(_) => return Err(no_method("list", "splitlines")),
        other => {
            let got = inner(python_type(&other));
            return Err(fail(format!("unsupported operand type(s) for +=: '{got}' and 'str'")));
        }
    };
    let by = match call.arg(1).map(Value::from_jinja).transpose()? {
        None => " ".repeat(4),
        Some(Value::Str(by)) => by.as_str().to_owned(),
        Some(width @ (Value::Int(_) | Value::Bool(_))) => " ".repeat(usize::try_from(to_int(&width)?).unwrap_or(0)),
        Some(other) => {
            let got = inner(python_type(&other));
            return Err(fail(format!("can't multiply sequence by non-int of type '{got}'")));
        }
    };
    let (first, blank) = (call.flag(2, false), call.flag(3, false));
    let mut out = String::new();
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            out.push('\n');
        }
        if if i == 0 { first } else { blank || !line.is_empty() } {
            out.push_str(&by);
        }
        out.push_str(line.strip_suffix('\r').unwrap_or(line));
    }
    Ok(Jinja::from(out))
}

fn wordwrap(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let text = text_with(call, "splitlines")?;
    if text.is_empty() {
        return Ok(Jinja::from(text));
    }
    let width = match call.arg(1).map(Value::from_jinja).transpose()? {
        None => 79,
        Some(given @ (Value::Bool(_) | Value::Int(_) | Value::Float(_))) => to_int(&given)?,
        Some(other) => {
            let got = inner(python_type(&other));
            return Err(fail(format!("'<=' not supported between instances of '{got}' and 'int'")));
        }
    };
    let width = usize::try_from(width).ok().filter(|w| *w > 0).ok_or_else(|| fail("invalid width (must be > 0)"))?;
    let newline = call.text_option(3)?.unwrap_or_else(|| "\n".to_owned());
    let (long, hyphens) = (call.flag(2, true), call.flag(4, true));
    let lines = python::lines(&text).map(|(line, _)| wrap(line, width, long, hyphens).join(&newline));
    Ok(Jinja::from(lines.collect::<Vec<_>>().join(&newline)))
}

/// Words and the white space between them; a hyphen inside a word may end a line.
fn chunks(line: &str, hyphens: bool) -> Vec<Vec<char>> {
    let mut out: Vec<Vec<char>> = Vec::new();
    let chars: Vec<char> = line.chars().collect();
    for (i, c) in chars.iter().enumerate() {
        let breaks = i == 0
            || chars[i - 1].is_whitespace() != c.is_whitespace()
            || hyphens && i > 1 && chars[i - 1] == '-' && chars[i - 2].is_alphabetic() && c.is_alphabetic();
        match out.last_mut() {
            Some(last) if !breaks => last.push(*c),
            _ => out.push(vec![*c]),
        }
    }
    out
}

fn wrap(line: &str, width: usize, break_long: bool, hyphens: bool) -> Vec<String> {
    let mut rest: std::collections::VecDeque<Vec<char>> = chunks(line, hyphens).into();
    let mut out: Vec<String> = Vec::new();
    let blank = |chunk: &Vec<char>| chunk.iter().all(|c| c.is_whitespace());
    while !rest.is_empty() {
        if !out.is_empty() && rest.front().is_some_and(blank) {
            rest.pop_front();
        }
        let mut current: Vec<Vec<char>> = Vec::new();
        let mut length = 0;
        while let Some(chunk) = rest.front()
            && length + chunk.len() <= width
        {
            length += chunk.len();
            current.extend(rest.pop_front());
        }
        if let Some(chunk) = rest.front_mut()
            && chunk.len() > width
        {
            if break_long {
                let mut end = width.saturating_sub(length).max(usize::from(length == 0));
                // A hyphen that something stands before is a good place to break.
                let hyphen = chunk.iter().take(end).rposition(|c| *c == '-').filter(|_| hyphens);
                if let Some(hyphen) = hyphen.filter(|at| chunk[..*at].iter().any(|c| *c != '-')) {
                    end = hyphen + 1;
                }
                let tail = chunk.split_off(end);
                current.push(std::mem::replace(chunk, tail));
            } else if current.is_empty() {
                current.extend(rest.pop_front());
            }
        }
        if current.last().is_some_and(blank) {
            current.pop();
        }
        if !current.is_empty() {
            out.push(current.concat().into_iter().collect());
        }
    }
    out
}

/// A number that Python asserts to be large enough.
fn at_least(call: &Call<'_, '_, '_>, (at, default): (usize, i64), least: usize, what: &str) -> Result<usize, Error> {
    let given = call.arg(at).map(Value::from_jinja).transpose()?.unwrap_or(Value::Int(default));
    let number = match &given {
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => to_int(&given)?,
        other => {
            let got = inner(python_type(other));
            return Err(fail(format!("'>=' not supported between instances of '{got}' and 'int'")));
        }
    };
    let enough = usize::try_from(number).ok().filter(|number| *number >= least);
    enough.ok_or_else(|| fail(format!("expected {what} >= {least}, got {}", python::text(&given))))
}

fn truncate(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.need(0)?;
    let end = call.text_option(3)?.unwrap_or_else(|| "...".to_owned());
    let length = at_least(call, (1, 255), end.chars().count(), "length")?;
    let leeway = if call.arg(4).is_some_and(Jinja::is_none) { 5 } else { at_least(call, (4, 5), 0, "leeway")? };
    // Whatever has a length is short enough or not.
    let measured = value.as_str().map(|text| text.chars().count()).or_else(|| value.len());
    match measured {
        Some(measured) if measured <= length + leeway => return Ok(value.clone()),
        Some(_) => {}
        None => return Err(fail(format!("object of type '{}' has no len()", type_name(value)))),
    }
    let text: Vec<char> = text_with(call, "rsplit")?.chars().collect();
    let kept: String = text.into_iter().take(length.saturating_sub(end.chars().count())).collect();
    let kept = match kept.rsplit_once(' ') {
        Some((words, _)) if !call.flag(2, false) => words.to_owned(),
        _ => kept,
    };
    Ok(Jinja::from(kept + &end))
}

fn strip_tags(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        let tag = &rest[at..];
        let (open, close) = if tag.starts_with("<!--") { (4, "-->") } else { (1, ">") };
        match tag[open..].find(close) {
            Some(end) => rest = &tag[open + end + close.len()..],
            None => {
                out.push_str(tag);
                rest = "";
            }
        }
    }
    out.push_str(rest);
    let plain = out.split_whitespace().collect::<Vec<_>>().join(" ");
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&#34;", "\""), ("&nbsp;", "\u{a0}")];
    let plain = entities.iter().fold(plain, |text, (entity, c)| text.replace(entity, c));
    plain.replace("&amp;", "&")
}

fn format(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let text = call.text(0)?;
    let arguments = if call.more.is_empty() {
        Arguments { list: call.rest.clone(), mapping: None }
    } else {
        if !call.rest.is_empty() {
            return Err(fail("can't handle positional and keyword arguments at the same time"));
        }
        let named = call.more()?;
        let named = Value::map(named).to_jinja();
        Arguments { list: vec![named.clone()], mapping: Some(named) }
    };
    printf::format(&text, arguments, inner_type).map(Jinja::from)
}

fn comment(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let style = match call.arg(1).map(Value::from_jinja).transpose()? {
        None => "plain".to_owned(),
        Some(Value::Str(style)) => style.as_str().to_owned(),
        Some(other) => return Err(fail(format!("Invalid style {}.", python::repr(&other)))),
    };
    let (decoration, beginning, end) = match style.as_str() {
        "plain" => ("# ", "", ""),
        "erlang" => ("% ", "", ""),
        "c" => ("// ", "", ""),
        "cblock" => (" * ", "/*", " */"),
        "xml" => (" - ", "<!--", "-->"),
        other => return Err(fail(format!("Invalid style '{other}'."))),
    };
    let text = |at: usize, default: &str| -> Result<String, Error> {
        Ok(call.text_option(at)?.unwrap_or_else(|| default.to_owned()))
    };
    let newline = text(9, "\n")?;
    let decoration = text(2, decoration)?;
    let (beginning, end) = (text(3, beginning)?, text(8, end)?);
    let bare = decoration.trim_end().to_owned();
    let repeated = |at: usize, count: usize| -> Result<Vec<String>, Error> {
        let line = text(at, &bare)?;
        let count = usize::try_from(call.int(count, 1)?).unwrap_or(0);
        // A newline before the text is an empty line, not two.
        let line = if line == newline && at == 4 { return Ok(vec![String::new(); count]) } else { line };
        // Nothing before the text is no line, but nothing behind it is an empty one.
        Ok(if line.is_empty() && at == 4 { Vec::new() } else { vec![line; count] })
    };
    let mut lines = Vec::new();
    if !beginning.is_empty() {
        lines.push(beginning);
    }
    lines.extend(repeated(4, 5)?);
    let commented = text_with(call, "replace")?;
    let mut written = commented.split(newline.as_str()).peekable();
    while let Some(line) = written.next() {
        // As in the reference: no space is left at the end of an empty line, the last excepted.
        let is_bare = line.is_empty() && written.peek().is_some();
        lines.push(if is_bare { bare.clone() } else { format!("{decoration}{line}") });
    }
    lines.extend(repeated(6, 7)?);
    if !end.is_empty() {
        lines.push(end);
    }
    Ok(Jinja::from(lines.join(&newline)))
}
