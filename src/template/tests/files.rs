//! Tests of paths on the controller: `exists`, `file`, `directory`, `link`, `mount`, `abs`, `same_file`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use minijinja::{Error, Value as Jinja};

use crate::template::call::{Call, Spec, ansible, fail, inner};
use crate::template::python_type;
use crate::value::Value;

pub(super) const TESTS: &[Spec] = &[
    ansible(&["directory", "is_dir"], &["path"], |c| on(c, STAT, Path::is_dir)),
    ansible(&["file", "is_file"], &["path"], |c| on(c, STAT, Path::is_file)),
    ansible(&["link", "is_link"], &["path"], |c| on(c, LSTAT, Path::is_symlink)),
    ansible(&["exists"], &["path"], |c| on(c, STAT, Path::exists)),
    ansible(&["link_exists"], &["path"], |c| on(c, LSTAT, |p| p.symlink_metadata().is_ok())),
    ansible(&["abs", "is_abs"], &["path"], |c| on(c, PATH, Path::is_absolute)),
    ansible(&["mount", "is_mount"], &["path"], |c| on(c, LSTAT, is_mount)),
    ansible(&["same_file", "is_same_file"], &["path", "other"], |c| {
        let id = |at: usize| -> Result<Option<(u64, u64)>, Error> {
            Ok(std::fs::metadata(c.text(at)?).ok().map(|m| (m.dev(), m.ino())))
        };
        let (a, b) = (id(0)?, id(1)?);
        Ok(Jinja::from(a.is_some() && a == b))
    }),
];

/// What each of Python's functions says of what is no path. The first takes a number too, for an open file.
const STAT: &str = "stat: path should be string, bytes, os.PathLike or integer";
const LSTAT: &str = "lstat: path should be string, bytes or os.PathLike";
const PATH: &str = "expected str, bytes or os.PathLike object";

fn on(call: &Call<'_, '_, '_>, needs: &str, test: fn(&Path) -> bool) -> Result<Jinja, Error> {
    let value = call.value(0)?;
    match &value {
        Value::Str(_) => {}
        Value::Int(_) | Value::Bool(_) if needs == STAT => {}
        other => return Err(fail(format!("{needs}, not {}", inner(python_type(other))))),
    }
    Ok(Jinja::from(test(Path::new(&value.to_text()))))
}

/// Whether a directory lies on another device than its parent, or is its own parent.
fn is_mount(path: &Path) -> bool {
    let (Ok(own), Ok(parent)) = (path.symlink_metadata(), path.join("..").metadata()) else { return false };
    !own.is_symlink() && (own.dev() != parent.dev() || own.ino() == parent.ino())
}
