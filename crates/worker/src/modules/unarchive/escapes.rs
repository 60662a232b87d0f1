//! Whether what is in an archive stays inside of the directory that it is unpacked into.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use rplay_protocol::names;

use super::{Archive, tar};
use crate::host::{FileKind, Host};
use crate::module::Failure;

/// An entry's path inside of the directory.
pub(super) fn inside(name: &str) -> PathBuf {
    let name = names::to_name(name);
    Path::new(&name).components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir)).collect()
}

/// The first entry that would be put elsewhere: by its name, or through a link of the archive's or of the directory's.
pub(super) fn outside(host: &Host, archive: &Archive, dest: &Path) -> Result<Option<String>, Failure> {
    let leaves = |name: &&String| inside(name).components().any(|part| part == Component::ParentDir);
    if let Some(name) = archive.files.iter().find(leaves) {
        return Ok(Some(name.clone()));
    }
    let real = host.canonical(dest)?;
    let mut files: HashSet<PathBuf> =
        archive.files.iter().filter(|name| !name.ends_with('/')).map(|name| inside(name)).collect();
    // Links of the archive that stay inside may have entries below them; they are looked for when there are any.
    let below = |files: &HashSet<PathBuf>, name: &str| above(&inside(name)).any(|parent| files.contains(parent));
    if archive.files.iter().any(|name| below(&files, name))
        && let Some(command) = &archive.links
    {
        for (name, target) in tar::links(&host.query(command)?.stdout) {
            let name = inside(&name);
            if stays(&name, &target) {
                files.remove(&name);
            }
        }
    }
    let mut seen = HashSet::new();
    for name in &archive.files {
        if below(&files, name) {
            return Ok(Some(name.clone()));
        }
        for parent in above(&inside(name)) {
            if !seen.insert(parent.to_path_buf()) {
                continue;
            }
            let place = dest.join(parent);
            if host.kind(&place)? == FileKind::Link && !host.canonical(&place)?.starts_with(&real) {
                return Ok(Some(name.clone()));
            }
        }
    }
    Ok(None)
}

/// The directories that an entry is in.
fn above(path: &Path) -> impl Iterator<Item = &Path> {
    path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty())
}

/// Whether a link of the archive leads to a place inside.
fn stays(name: &Path, target: &str) -> bool {
    let target = names::to_name(target);
    let mut depth = above(name).count();
    for part in Path::new(&target).components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::CurDir => {}
            _ => return false,
        }
    }
    true
}
