//! Calls that must not overlap: one after the other within a worker.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// Waits until no other call of the module `name` is under way; the next one begins when the guard is dropped.
pub(crate) fn take(name: &'static str) -> MutexGuard<'static, ()> {
    static TURNS: LazyLock<Mutex<HashMap<&'static str, &'static Mutex<()>>>> = LazyLock::new(Mutex::default);
    let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    // There are as many as modules, for as long as the worker lives.
    let turn: &'static Mutex<()> = turns.entry(name).or_insert_with(|| Box::leak(Box::default()));
    drop(turns);
    turn.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use serde_json::json;

    use crate::host::Host;
    use crate::modules;

    #[test]
    fn what_many_write_into_one_file_is_all_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "").unwrap();
        let entry = modules::find("ansible.builtin.lineinfile").unwrap();
        std::thread::scope(|scope| {
            for n in 0..40 {
                let args = json!({"path": path.to_str().unwrap(), "line": format!("line {n}")});
                scope.spawn(move || (entry.run)(args.as_object().unwrap(), &Host::new()).unwrap());
            }
        });
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 40);
    }

    #[test]
    fn a_directory_that_many_make_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let entry = modules::find("ansible.builtin.file").unwrap();
        let changed: usize = std::thread::scope(|scope| {
            let begun: Vec<_> = (0..20)
                .map(|_| {
                    let args = json!({"path": dir.path().join("a/b/c").to_str().unwrap(), "state": "directory"});
                    scope.spawn(move || (entry.run)(args.as_object().unwrap(), &Host::new()).unwrap().changed)
                })
                .collect();
            begun.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
        });
        assert_eq!(changed, 1);
    }

    #[test]
    fn directories_made_by_different_hosts_at_once_are_no_failure() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| Host::new().make_directory(&dir.path().join("d"), Some(0o755)).unwrap());
            }
        });
        assert!(dir.path().join("d").is_dir());
    }
}
