//! Paths: `basename`, `dirname`, `realpath`, `path_join` and the rest of Python's `os.path`, those of Windows (`win_…`), `quote`
//! and `fileglob`.

use std::path::Path;

use minijinja::value::Tuple;
use minijinja::{Error, Value as Jinja};
use rplay_worker::args::quoted;

use crate::template::call::{Call, Spec, ansible, fail, inner, inner_class};
use crate::template::python_type;
use crate::value::Value;

pub(super) const FILTERS: &[Spec] = &[
    ansible(&["basename"], &["path"], |c| Ok(Jinja::from(split(&path(c, 0)?).1))),
    ansible(&["dirname"], &["path"], |c| Ok(Jinja::from(split(&path(c, 0)?).0))),
    ansible(&["expanduser"], &["path"], |c| Ok(Jinja::from(expand_user(&path(c, 0)?)))),
    ansible(&["expandvars"], &["path"], |c| Ok(Jinja::from(expand_vars(&path(c, 0)?)))),
    ansible(&["realpath"], &["path"], |c| Ok(Jinja::from(real_path(&path(c, 0)?)))),
    ansible(&["normpath"], &["path"], |c| Ok(Jinja::from(norm_path(&path(c, 0)?)))),
    ansible(&["relpath"], &["path", "start"], relative),
    ansible(&["splitext"], &["path"], split_extension),
    ansible(&["commonpath"], &["paths"], common_path),
    ansible(&["path_join"], &["paths"], path_join),
    ansible(&["win_basename"], &["path"], |c| Ok(Jinja::from(win_split(&path(c, 0)?).1))),
    ansible(&["win_dirname"], &["path"], |c| Ok(Jinja::from(win_split(&path(c, 0)?).0))),
    ansible(&["win_splitdrive"], &["path"], |c| {
        let path = path(c, 0)?;
        let at = drive_end(&path);
        Ok(pair(&path[..at], &path[at..]))
    }),
    ansible(&["quote"], &["value"], |c| {
        let text = if c.need(0)?.is_none() { String::new() } else { c.text(0)? };
        Ok(Jinja::from(quoted(&text)))
    }),
    ansible(&["fileglob"], &["pathname"], |c| {
        let found = crate::template::lookups::files::glob(&path(c, 0)?)?;
        Ok(found.into_iter().map(Jinja::from).collect())
    }),
];

fn pair(a: &str, b: &str) -> Jinja {
    Jinja::from(Tuple::from([Jinja::from(a), Jinja::from(b)]))
}

/// Python's `os.path.split`.
fn split(path: &str) -> (String, String) {
    let at = path.rfind('/').map_or(0, |at| at + 1);
    let (head, tail) = path.split_at(at);
    let trimmed = head.trim_end_matches('/');
    let head = if trimmed.is_empty() { head } else { trimmed };
    (head.to_owned(), tail.to_owned())
}

/// `~` and `~user` at a path's beginning, as the controller's home directories.
pub(in crate::template) fn expand_user(path: &str) -> String {
    let Some(rest) = path.strip_prefix('~') else { return path.to_owned() };
    let (user, tail) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let passwd = || std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let home_of = |matches: &dyn Fn(&[&str]) -> bool| {
        passwd()
            .lines()
            .map(|l| l.split(':').collect::<Vec<_>>())
            .find(|f| f.len() > 5 && matches(f))
            .map(|f| f[5].to_owned())
    };
    let home = if user.is_empty() {
        let uid = rustix::process::getuid().as_raw().to_string();
        std::env::var("HOME").ok().or_else(|| home_of(&|f: &[&str]| f[2] == uid))
    } else {
        home_of(&|f: &[&str]| f[0] == user)
    };
    home.map_or_else(|| path.to_owned(), |home| format!("{}{tail}", home.trim_end_matches('/')))
}

/// `$NAME` and `${NAME}` from the controller's environment; unknown ones stay.
pub(in crate::template) fn expand_vars(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, length) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, _)) => (name, name.len() + 2),
            None => {
                let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
                (&after[..end], end)
            }
        };
        match std::env::var(name) {
            Ok(value) if !name.is_empty() => out.push_str(&value),
            _ => out.push_str(&rest[at..at + 1 + length]),
        }
        rest = &after[length..];
    }
    out + rest
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') {
        return norm_path(path);
    }
    let here = std::env::current_dir().unwrap_or_default();
    norm_path(&format!("{}/{path}", here.display()))
}

/// Python's `os.path.normpath`.
pub(in crate::template) fn norm_path(path: &str) -> String {
    let root = match path.bytes().take_while(|b| *b == b'/').count() {
        0 => "",
        2 => "//",
        _ => "/",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|p| *p != "..") => drop(parts.pop()),
            ".." if !root.is_empty() => {}
            part => parts.push(part),
        }
    }
    let out = format!("{root}{}", parts.join("/"));
    if out.is_empty() { ".".to_owned() } else { out }
}

/// Python's `os.path.realpath`: links followed as far as the path exists.
fn real_path(path: &str) -> String {
    let full = absolute(path);
    let mut there = Path::new(&full);
    let mut tail = Vec::new();
    loop {
        if let Ok(real) = std::fs::canonicalize(there) {
            let out = tail.iter().rev().fold(real, |path, part| path.join(part));
            return out.display().to_string();
        }
        match (there.parent(), there.file_name()) {
            (Some(parent), Some(name)) => {
                tail.push(name.to_owned());
                there = parent;
            }
            _ => return full,
        }
    }
}

fn relative(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let path = path(call, 0)?;
    if path.is_empty() {
        return Err(fail("no path specified"));
    }
    let start = match call.option(1)? {
        Some(start) => text_of(&start)?,
        None => String::new(),
    };
    let (path, start) = (absolute(&path), absolute(&start));
    let parts = |p: &str| p.split('/').filter(|s| !s.is_empty()).map(ToOwned::to_owned).collect::<Vec<_>>();
    let (path, start) = (parts(&path), parts(&start));
    let common = path.iter().zip(&start).take_while(|(a, b)| a == b).count();
    let up = start.iter().skip(common).map(|_| "..".to_owned());
    let out: Vec<String> = up.chain(path.into_iter().skip(common)).collect();
    Ok(Jinja::from(if out.is_empty() { ".".to_owned() } else { out.join("/") }))
}

fn split_extension(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let path = path(call, 0)?;
    let name = path.rfind('/').map_or(0, |at| at + 1);
    let leading = path[name..].bytes().take_while(|b| *b == b'.').count();
    let at = path[name + leading..].rfind('.').map_or(path.len(), |at| name + leading + at);
    Ok(pair(&path[..at], &path[at..]))
}

/// The argument at a place as a path, which only text is.
fn path(call: &Call<'_, '_, '_>, at: usize) -> Result<String, Error> {
    text_of(&call.value(at)?)
}

fn text_of(value: &Value) -> Result<String, Error> {
    match value {
        Value::Str(text) => Ok(text.as_str().to_owned()),
        other => Err(fail(format!("expected str, bytes or os.PathLike object, not {}", inner(python_type(other))))),
    }
}

fn common_path(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.value(0)?;
    let Value::List(items) = &value else {
        let got = inner_class(python_type(&value));
        return Err(fail(format!("|commonpath expects sequence, got <class '{got}'> instead.")));
    };
    let paths = items.iter().map(text_of).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = paths.first() else { return Err(fail("commonpath() arg is an empty sequence")) };
    let absolute = first.starts_with('/');
    if paths.iter().any(|p| p.starts_with('/') != absolute) {
        return Err(fail("Can't mix absolute and relative paths"));
    }
    let parts =
        |p: &String| p.split('/').filter(|s| !matches!(*s, "" | ".")).map(ToOwned::to_owned).collect::<Vec<_>>();
    let mut common = parts(first);
    for path in &paths {
        let same = common.iter().zip(parts(path)).take_while(|(a, b)| *a == b).count();
        common.truncate(same);
    }
    Ok(Jinja::from(format!("{}{}", if absolute { "/" } else { "" }, common.join("/"))))
}

fn path_join(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let parts = match call.value(0)? {
        Value::List(parts) => parts.to_vec(),
        one @ Value::Str(_) => vec![one],
        other => {
            let got = inner_class(python_type(&other));
            return Err(fail(format!("|path_join expects string or sequence, got <class '{got}'> instead.")));
        }
    };
    let Some((first, rest)) = parts.split_first() else {
        return Err(fail("join() missing 1 required positional argument: 'a'"));
    };
    let mut out = text_of(first)?;
    for part in rest {
        let Value::Str(part) = part else {
            let got = inner(python_type(part));
            return Err(fail(format!("join() argument must be str, bytes, or os.PathLike object, not '{got}'")));
        };
        let part = part.as_str();
        if part.starts_with('/') {
            part.clone_into(&mut out);
        } else {
            if !out.is_empty() && !out.ends_with('/') {
                out.push('/');
            }
            out.push_str(part);
        }
    }
    Ok(Jinja::from(out))
}

/// Where a Windows path's drive or share ends.
fn drive_end(path: &str) -> usize {
    let plain = path.replace('/', "\\");
    if let Some(rest) = plain.strip_prefix("\\\\")
        && !rest.starts_with('\\')
    {
        let Some(server) = rest.find('\\') else { return path.len() };
        return rest[server + 1..].find('\\').map_or(path.len(), |share| 2 + server + 1 + share);
    }
    match path.chars().nth(1) {
        Some(':') => path.char_indices().nth(2).map_or(path.len(), |(at, _)| at),
        _ => 0,
    }
}

fn win_split(path: &str) -> (String, String) {
    let at = drive_end(path);
    let (drive, rest) = path.split_at(at);
    let cut = rest.rfind(['/', '\\']).map_or(0, |at| at + 1);
    let (head, tail) = rest.split_at(cut);
    let trimmed = head.trim_end_matches(['/', '\\']);
    let head = if trimmed.is_empty() { head } else { trimmed };
    (format!("{drive}{head}"), tail.to_owned())
}
