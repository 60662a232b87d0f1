//! Tests of paths on the controller: `exists`, `file`, `directory`, `link`, `mount`, `abs`, `same_file`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use minijinja::{Error, Value as Jinja};

use crate::template::call::{Call, Spec, ansible};

pub(super) const TESTS: &[Spec] = &[
    ansible(&["directory", "is_dir"], &["path"], |c| on(c, Path::is_dir)),
    ansible(&["file", "is_file"], &["path"], |c| on(c, Path::is_file)),
    ansible(&["link", "is_link"], &["path"], |c| on(c, Path::is_symlink)),
    ansible(&["exists"], &["path"], |c| on(c, Path::exists)),
    ansible(&["link_exists"], &["path"], |c| on(c, |p| p.symlink_metadata().is_ok())),
    ansible(&["abs", "is_abs"], &["path"], |c| on(c, Path::is_absolute)),
    ansible(&["mount", "is_mount"], &["path"], |c| on(c, is_mount)),
    ansible(&["same_file", "is_same_file"], &["path", "other"], |c| {
        let id = |at: usize| -> Result<Option<(u64, u64)>, Error> {
            Ok(std::fs::metadata(c.text(at)?).ok().map(|m| (m.dev(), m.ino())))
        };
        let (a, b) = (id(0)?, id(1)?);
        Ok(Jinja::from(a.is_some() && a == b))
    }),
];

fn on(call: &Call<'_, '_, '_>, test: fn(&Path) -> bool) -> Result<Jinja, Error> {
    Ok(Jinja::from(test(Path::new(&call.text(0)?))))
}

/// Whether a directory lies on another device than its parent, or is its own parent.
fn is_mount(path: &Path) -> bool {
    let (Ok(own), Ok(parent)) = (path.symlink_metadata(), path.join("..").metadata()) else { return false };
    !own.is_symlink() && (own.dev() != parent.dev() || own.ino() == parent.ino())
}
