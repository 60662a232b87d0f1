//! Lookups of files: `file`, `fileglob`, `first_found`, and what the search path makes of a relative name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use minijinja::Error;

use super::Lookup;
use crate::template::call::{fail, inner};
use crate::template::filters::paths;
use crate::template::{FileOptions, Over, Templar, TemplateError, python, python_type};
use crate::value::{Map, Value};

/// The regular files that a glob of Python's (`*`, `?`, `[…]`; no recursion) matches, in order of their names.
pub(in crate::template) fn glob(pattern: &str) -> Result<Vec<String>, Error> {
    let matcher = globset::GlobBuilder::new(pattern)
        .literal_separator(true)
        .backslash_escape(false)
        .build()
        .map_err(|e| fail(format!("cannot read the pattern '{pattern}': {e}")))?
        .compile_matcher();
    // Only what stands before the first wild card needs no looking at.
    let wild = pattern.find(['*', '?', '[', '{']).unwrap_or(pattern.len());
    let root = pattern[..wild].rfind('/').map_or("", |at| &pattern[..=at]);
    let depth = pattern[root.len()..].matches('/').count();
    let mut out = Vec::new();
    walk(Path::new(if root.is_empty() { "." } else { root }), root, depth, &mut |path: &str, full: &Path| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let hidden = name.starts_with('.') && !pattern.rsplit('/').next().unwrap_or(pattern).starts_with('.');
        if !hidden && matcher.is_match(path) && full.is_file() {
            out.push(path.to_owned());
        }
    });
    out.sort();
    Ok(out)
}

fn walk(directory: &Path, prefix: &str, depth: usize, found: &mut dyn FnMut(&str, &Path)) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let full: PathBuf = entry.path();
        if depth > 0 && full.is_dir() {
            walk(&full, &format!("{path}/"), depth - 1, found);
        }
        found(&path, &full);
    }
}

type Found = Result<Vec<Value>, Error>;

/// A file along the search path: below `subdirectory` of each directory, then in the directory itself.
pub(super) fn find(lookup: &Lookup<'_>, name: &str, subdirectory: &str) -> Option<PathBuf> {
    let name = paths::expand_user(name);
    let path = Path::new(&name);
    if path.is_absolute() {
        return path.exists().then(|| path.to_path_buf());
    }
    let places = lookup.templar.variables().search_path();
    places.iter().flat_map(|place| [place.join(subdirectory).join(path), place.join(path)]).find(|p| p.exists())
}

fn read(lookup: &Lookup<'_>, path: &Path) -> Result<String, Error> {
    read_bytes(lookup, path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn read_bytes(lookup: &Lookup<'_>, path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = std::fs::read(path).map_err(|e| fail(format!("cannot read the file '{}': {e}", path.display())))?;
    let vault = lookup.templar.variables().vault();
    vault.reveal(bytes).map_err(|e| fail(format!("cannot read the file '{}': {e}", path.display())))
}

/// The content of a file that a lookup names, when there is such a file.
pub(super) fn bytes(lookup: &Lookup<'_>, name: &str) -> Result<Option<Vec<u8>>, Error> {
    find(lookup, name, "files").map(|path| read_bytes(lookup, &path)).transpose()
}

/// The content of a file that a lookup names.
pub(super) fn content(lookup: &Lookup<'_>, name: &str) -> Result<String, Error> {
    let missing =
        || fail(format!("Unable to access the file '{name}': File not found. Use -vvvvv to see paths searched."));
    read(lookup, &find(lookup, name, "files").ok_or_else(missing)?)
}

pub(super) fn file(lookup: &Lookup<'_>) -> Found {
    let (left, right) = (lookup.flag("lstrip", false), lookup.flag("rstrip", true));
    let of = |term: &Value| {
        if !matches!(term, Value::Str(_) | Value::Null) {
            return Err(fail(format!("'{}' object has no attribute 'startswith'", inner(python_type(term)))));
        }
        let content = content(lookup, &python::text(term))?;
        let content = if left { content.trim_start() } else { &content };
        Ok(Value::from(if right { content.trim_end() } else { content }))
    };
    lookup.terms.iter().map(of).collect()
}

pub(super) fn unvault(lookup: &Lookup<'_>) -> Found {
    let of = |term: &Value| {
        let name = python::text(term);
        let missing = || fail(format!("Unable to find file matching \"{name}\""));
        read(lookup, &find(lookup, &name, "files").ok_or_else(missing)?).map(Value::from)
    };
    lookup.terms.iter().map(of).collect()
}

pub(super) fn fileglob(lookup: &Lookup<'_>) -> Found {
    let mut out = Vec::new();
    for term in &lookup.terms {
        let Some(text) = term.as_str() else {
            let kind = crate::template::python_type(term);
            return Err(fail(format!("expected str, bytes or os.PathLike object, not {kind}")));
        };
        let pattern = paths::expand_user(text);
        if pattern.starts_with('/') {
            out.extend(glob(&pattern)?);
            continue;
        }
        // The first directory that has the pattern's own directory is the one that counts.
        let (directory, name) = pattern.rsplit_once('/').unwrap_or(("", &pattern));
        let places = lookup.templar.variables().search_path();
        let mut candidates = places.iter().flat_map(|place| [place.join("files"), place.clone()]);
        for place in candidates.by_ref() {
            let place = if place.as_os_str().is_empty() { PathBuf::from(".") } else { place };
            let full = if directory.is_empty() || directory == "." { place } else { place.join(directory) };
            let full = std::path::absolute(&full).unwrap_or(full);
            let found = if full.is_dir() { glob(&format!("{}/{name}", full.display()))? } else { Vec::new() };
            if !found.is_empty() {
                out.extend(found);
                break;
            }
        }
    }
    Ok(out.into_iter().map(Value::from).collect())
}

/// One thing to try: a path, in which directory.
struct Search {
    candidates: Vec<String>,
    skip: bool,
}

fn texts(value: &Value, separators: &[char]) -> Vec<String> {
    match value {
        Value::List(items) => items.iter().flat_map(|item| texts(item, separators)).collect(),
        Value::Null => Vec::new(),
        other => {
            let text = python::text(other);
            text.split(separators).map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
        }
    }
}

fn collect(search: &mut Search, term: &Value, outer: &Map) -> Result<(), Error> {
    match term {
        Value::List(terms) => terms.iter().try_for_each(|term| collect(search, term, outer)),
        Value::Map(options) => {
            let get = |name: &str| options.get(name).or_else(|| outer.get(name));
            let files = get("files").map(|v| texts(v, &[',', ';'])).unwrap_or_default();
            let directories = get("paths").map(|v| texts(v, &[',', ';', ':'])).unwrap_or_default();
            search.skip |= get("skip").is_some_and(|v| v.to_bool().unwrap_or(false));
            combine(search, &directories, files);
            Ok(())
        }
        Value::Str(text) => {
            let directories = outer.get("paths").map(|v| texts(v, &[',', ';', ':'])).unwrap_or_default();
            let files =
                text.as_str().split([',', ';']).map(|f| f.trim().to_owned()).filter(|f| !f.is_empty()).collect();
            combine(search, &directories, files);
            Ok(())
        }
        other => Err(fail(format!(
            "Invalid term supplied. A string, dict or list is required, not {}",
            crate::template::python_type(other)
        ))),
    }
}

fn combine(search: &mut Search, directories: &[String], files: Vec<String>) {
    if directories.is_empty() {
        search.candidates.extend(files);
    } else if files.is_empty() {
        search.candidates.extend(directories.iter().cloned());
    } else {
        let join = |directory: &String, file: &String| {
            if file.starts_with('/') { file.clone() } else { format!("{}/{file}", directory.trim_end_matches('/')) }
        };
        search.candidates.extend(directories.iter().flat_map(|d| files.iter().map(move |f| join(d, f))));
    }
}

pub(super) fn first_found(lookup: &Lookup<'_>) -> Found {
    let mut search = Search { candidates: Vec::new(), skip: lookup.flag("skip", false) };
    if lookup.terms.is_empty() {
        collect(&mut search, &Value::map(lookup.options.clone()), &Map::new())?;
    }
    for term in &lookup.terms {
        collect(&mut search, term, &lookup.options)?;
    }
    let found = search.candidates.iter().find_map(|candidate| find(lookup, candidate, lookup.subdirectory));
    match found {
        Some(path) => {
            let path = std::path::absolute(&path).unwrap_or(path);
            Ok(vec![Value::from(paths::norm_path(&path.display().to_string()))])
        }
        None if search.skip => Ok(Vec::new()),
        None => Err(fail("No file was found when using first_found.")),
    }
}

/// Options of the lookup `template` that mean nothing any more, and what the reference says of them.
const OLD_OPTIONS: [(&str, &str); 2] = [
    (
        "convert_data",
        "Reason: This option is no longer used in the Ansible Core code base.\nAlternatives: Jinja2 native mode is now the \
         default and only option, which is mutually exclusive with this option.",
    ),
    (
        "jinja2_native",
        "Reason: This option is no longer used in the Ansible Core code base.\nAlternatives: Jinja2 native mode is now the \
         default and only option.",
    ),
];

pub(super) fn template(lookup: &Lookup<'_>) -> Found {
    let mut options = FileOptions::default();
    for (name, target) in [
        ("variable_start_string", &mut options.variable.0),
        ("variable_end_string", &mut options.variable.1),
        ("block_start_string", &mut options.block.0),
        ("block_end_string", &mut options.block.1),
        ("comment_start_string", &mut options.comment.0),
        ("comment_end_string", &mut options.comment.1),
    ] {
        if let Some(text) = lookup.text(name) {
            *target = text;
        }
    }
    options.trim_blocks = lookup.flag("trim_blocks", options.trim_blocks);
    options.lstrip_blocks = lookup.flag("lstrip_blocks", options.lstrip_blocks);
    let more = match lookup.option("template_vars") {
        Some(Value::Map(map)) => map.as_ref().clone(),
        Some(_) => return Err(fail("template_vars must be a dictionary")),
        None => Map::new(),
    };
    if let Some(notices) = lookup.templar.variables().notices() {
        for (option, note) in OLD_OPTIONS {
            if lookup.option(option).is_some() {
                notices.deprecate_of("template", format!("{option} option. {note}"));
            }
        }
    }
    let mut out = Vec::new();
    for term in &lookup.terms {
        let name = python::text(term);
        let missing = || fail(format!("the template file {name} could not be found for the lookup"));
        let path = find(lookup, &name, "templates").ok_or_else(missing)?;
        let templar = lookup.templar.with_template(&path, None);
        let templar = Templar::new(Arc::new(Over { map: more.clone(), under: templar.variables().clone() }));
        out.push(templar.file_value(&path, &options).map_err(TemplateError::into_engine)?);
    }
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod unit {
    use super::*;

    #[test]
    fn globs_like_python() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.conf", "b.conf", ".h.conf", "c.txt"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/d.conf"), "").unwrap();
        let root = dir.path().display().to_string();
        let names = |pattern: &str| -> Vec<String> {
            let found = glob(&format!("{root}/{pattern}")).unwrap();
            found.iter().map(|p| p[root.len() + 1..].to_owned()).collect()
        };
        assert_eq!(names("*.conf"), ["a.conf", "b.conf"]);
        assert_eq!(names("*"), ["a.conf", "b.conf", "c.txt"]);
        assert_eq!(names(".*"), [".h.conf"]);
        assert_eq!(names("*/*.conf"), ["sub/d.conf"]);
        assert_eq!(names("[bc].*"), ["b.conf", "c.txt"]);
        assert!(glob("/nonexistent/*").unwrap().is_empty());
    }
}
