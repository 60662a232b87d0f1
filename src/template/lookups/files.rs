//! Lookups of files: `file`, `fileglob`, `first_found`, and what the search path makes of a relative name.

use std::path::{Path, PathBuf};

use minijinja::Error;

use crate::template::call::fail;

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
