//! Where relative paths are looked for.

use std::path::{Path, PathBuf};

/// Finds `name` in the places where a task's files are looked for.
///
/// In each of `search` (the role's directory, the file's, the playbook's), first below `kind` (`files`, `templates`,
/// `vars`, `tasks`), then directly. An absolute path stands for itself; `~` is the home directory.
#[must_use]
pub fn find_file(name: &str, kind: &str, search: &[PathBuf]) -> Option<PathBuf> {
    let name = expand_home(name);
    if name.is_absolute() {
        return name.exists().then_some(name);
    }
    search
        .iter()
        .flat_map(|place| [place.join(kind).join(&name), place.join(&name)])
        .find(|path| path.exists())
        .map(|path| clean(&path))
}

/// The home directory for a leading `~`.
#[must_use]
pub fn expand_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(path),
    }
}

/// A path without `.` and `x/..` in it, links not looked at.
#[must_use]
pub(super) fn clean(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    if out.as_os_str().is_empty() { PathBuf::from(".") } else { out }
}
