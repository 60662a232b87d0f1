//! Reading files before they are asked for, side by side.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Node, load};
use crate::vault::Secrets;

thread_local! {
    /// Whether this thread reads ahead.
    static AHEAD: Cell<bool> = const { Cell::new(false) };
}

/// Fewer files than this are not worth the threads.
const MANY: usize = 32;

/// Whether the file under way is read ahead: then nothing can be said of it, for the order in which that would be said is
/// nobody's.
pub(super) fn under_way() -> bool {
    AHEAD.get()
}

/// What those of the files say of which there is nothing to say besides. The others (not there, empty, wrong, with a
/// warning) are left to be read by whoever needs them, in the order in which they do.
#[must_use]
pub fn load_ahead(paths: &[PathBuf], vault: &Arc<Secrets>) -> Vec<(PathBuf, Arc<Node>)> {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(8);
    if paths.len() < MANY || threads < 2 {
        return Vec::new();
    }
    let next = Mutex::new(paths.iter());
    let take = || next.lock().unwrap_or_else(PoisonError::into_inner).next();
    let read = || {
        AHEAD.set(true);
        let node = |path: &Path| load(path, vault).ok().flatten().map(Arc::new);
        std::iter::from_fn(take).filter_map(|path| Some((path.clone(), node(path)?))).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> =
            (0..threads).filter_map(|_| std::thread::Builder::new().spawn_scoped(scope, read).ok()).collect();
        readers.into_iter().filter_map(|reader| reader.join().ok()).flatten().collect()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::source::{Duplicates, set_duplicates, take_warnings};

    #[test]
    fn only_what_needs_no_word_is_read_ahead() {
        let dir = tempfile::tempdir().unwrap();
        let path = |at: usize| dir.path().join(format!("{at}.yml"));
        for at in 0..MANY {
            let text = match at {
                0 => "a: [".to_owned(),
                1 => "a: 1\na: 2\n".to_owned(),
                2 => "---\n".to_owned(),
                _ => format!("a: {at}\n"),
            };
            std::fs::write(path(at), text).unwrap();
        }
        let mut paths: Vec<PathBuf> = (0..MANY).map(path).collect();
        paths.push(dir.path().join("missing.yml"));
        set_duplicates(Duplicates::Warn);
        let mut read = load_ahead(&paths, &Arc::default());
        set_duplicates(Duplicates::Ignore);
        let about = |w: &crate::diagnostic::Diagnostic| {
            w.span.is_some_and(|s| s.location().file.starts_with(&*dir.path().to_string_lossy()))
        };
        assert!(!take_warnings().iter().any(about), "nothing is said of files that nobody asked for");
        if std::thread::available_parallelism().map_or(1, NonZeroUsize::get) > 1 {
            read.sort_by_key(|(path, _)| paths.iter().position(|p| p == path));
            let names: Vec<&PathBuf> = read.iter().map(|(path, _)| path).collect();
            assert_eq!(names, paths[3..MANY].iter().collect::<Vec<_>>());
            assert_eq!(read[0].1.get("a").unwrap().to_value().to_text(), "3");
        }
    }
}
