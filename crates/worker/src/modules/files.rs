//! What modules that make files have in common.

use std::path::{Path, PathBuf};

use rplay_protocol::names;

use crate::args::Mode;
use crate::host::{Attributes, Content, Host, WriteOptions, Written};
use crate::module::{Failure, Outcome};

/// Brings a path's attributes about and adds to the verdict and the differences what that came to.
pub(super) fn settle(
    host: &Host,
    path: &Path,
    wanted: &Attributes,
    follow: bool,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    if let Some(diff) = host.set_attributes(path, wanted, follow)? {
        outcome.changed = true;
        outcome.diffs.push(diff);
    }
    Ok(())
}

/// Adds the return values that tell what is at `path` now.
pub(super) fn describe(host: &Host, path: &Path, outcome: &mut Outcome) -> Result<(), Failure> {
    outcome.fields.extend(host.describe(path)?);
    Ok(())
}

/// A failure where the directory that a file is in is not there.
pub(super) fn require_parent(host: &Host, path: &Path) -> Result<(), Failure> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("/"));
    if host.stat(parent)?.is_some_and(|entry| entry.is_dir()) {
        return Ok(());
    }
    let parent = text(parent);
    let msg = format!("The directory '{parent}' does not exist or the file is not a directory");
    Err(Failure::new(msg).with("name", parent))
}

/// Makes a directory with all parents that are missing; gives those it made, the outermost first.
pub(super) fn make_directories(host: &Host, path: &Path, mode: Option<&Mode>) -> Result<Vec<PathBuf>, Failure> {
    let mut missing = Vec::new();
    for directory in path.ancestors().filter(|p| !p.as_os_str().is_empty()) {
        match host.stat(directory)? {
            Some(meta) if meta.is_dir() => break,
            Some(_) => {
                let msg = format!(
                    "There was an issue creating {} as requested: {} is not a directory",
                    path.display(),
                    directory.display()
                );
                return Err(Failure::new(msg).with("path", text(path)));
            }
            None => missing.push(directory.to_path_buf()),
        }
    }
    missing.reverse();
    for directory in &missing {
        let bits = host.mode_of_new(mode, true)?;
        host.make_directory(directory, mode.map(|_| bits))?;
    }
    Ok(missing)
}

/// A path as text, for return values; bytes that are no text come back when it is given as a path.
pub(super) fn text(path: &Path) -> String {
    names::to_text(path.as_os_str()).into_owned()
}

/// A path as a word that no program takes for an option.
pub(super) fn operand(path: PathBuf) -> PathBuf {
    if path.as_os_str().as_encoded_bytes().starts_with(b"-") { Path::new(".").join(path) } else { path }
}

/// Writes a file's new content, through a link where one is there.
pub(super) fn write_through(
    host: &Host,
    path: &Path,
    content: impl Into<Vec<u8>>,
    options: &WriteOptions,
) -> Result<Written, Failure> {
    let real = if host.exists(path)? { host.canonical(path)? } else { path.to_path_buf() };
    host.write_file(&real, &Content::from(content.into()), options)
}
