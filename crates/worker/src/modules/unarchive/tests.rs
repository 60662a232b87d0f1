//! What unpacking does, with the tar of this machine.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::path::Path;

use serde_json::{Value, json};

use super::super::stage::call;
use super::*;

fn sh(dir: &Path, line: &str) {
    let status = std::process::Command::new("sh").args(["-c", line]).current_dir(dir).status().unwrap();
    assert!(status.success(), "{line}");
}

/// A directory with archives of some files.
fn archives() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    sh(
        dir.path(),
        "mkdir -p s/d/sub o; echo a >s/d/a; echo b >s/d/sub/b; ln -s a s/d/l; chmod 600 s/d/a
         tar czf t.tgz -C s d; tar cf t.tar -C s d; tar cf up.tar -P --transform 's,^,../,' -C s d; echo no >plain",
    );
    dir
}

fn args(dir: &Path, name: &str, more: Value) -> Value {
    let mut args = json!({"src": dir.join(name), "dest": dir.join("o"), "remote_src": true});
    args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    args
}

#[test]
fn archives_are_unpacked_once() {
    let dir = archives();
    let at = dir.path();
    for (name, handler) in [("t.tgz", "TgzArchive"), ("t.tar", "TarArchive")] {
        let args = args(at, name, json!({"list_files": true}));
        assert!(call::<Unarchive>(&Host::new().checking(true), &args).unwrap().changed && !at.join("o/d").exists());
        let made = call::<Unarchive>(&Host::new(), &args).unwrap();
        assert_eq!((made.changed, &made.fields["handler"]), (true, &json!(handler)));
        let mut files: Vec<String> = serde_json::from_value(made.fields["files"].clone()).unwrap();
        files.sort();
        assert_eq!(files, ["d/", "d/a", "d/l", "d/sub/", "d/sub/b"]);
        assert!(!call::<Unarchive>(&Host::new(), &args).unwrap().changed);
        std::fs::write(at.join("o/d/a"), "x\n").unwrap();
        assert!(call::<Unarchive>(&Host::new(), &args).unwrap().changed);
        assert_eq!(std::fs::read_to_string(at.join("o/d/a")).unwrap(), "a\n");
        std::fs::remove_dir_all(at.join("o/d")).unwrap();
    }
}

#[test]
fn permissions_are_seen_to() {
    let dir = archives();
    let args = args(dir.path(), "t.tgz", json!({"mode": "0750", "exclude": "d/sub"}));
    assert!(call::<Unarchive>(&Host::new(), &args).unwrap().changed);
    let made = std::fs::metadata(dir.path().join("o/d/a")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&made.permissions()) & 0o777, 0o750);
    assert!(!dir.path().join("o/d/sub").exists());
    assert!(!call::<Unarchive>(&Host::new(), &args).unwrap().changed);
}

#[test]
fn what_stripping_leaves_nothing_of_does_not_count() {
    let dir = archives();
    let args = args(dir.path(), "t.tgz", json!({"extra_opts": ["--strip-components=1"]}));
    assert!(call::<Unarchive>(&Host::new(), &args).unwrap().changed);
    assert!(dir.path().join("o/a").exists());
    assert!(!call::<Unarchive>(&Host::new(), &args).unwrap().changed);
}

#[test]
fn content_of_the_controller_is_unpacked() {
    let dir = archives();
    let content = std::fs::read(dir.path().join("t.tgz")).unwrap();
    let host = Host::new().with_content(Some(content.into()));
    let args = json!({"src": "t.tgz", "dest": dir.path().join("o")});
    assert!(call::<Unarchive>(&host, &args).unwrap().changed && dir.path().join("o/d/sub/b").exists());
    let again = json!({"src": "t.tgz", "dest": "/nowhere", "creates": dir.path().join("o/d/a")});
    assert_eq!(call::<Unarchive>(&host, &again).unwrap().fields["skipped"], true);
}

#[test]
fn what_cannot_be_is_refused() {
    let dir = archives();
    for (name, more, word) in [
        ("none.tar", json!({}), "does not exist"),
        ("s", json!({}), "is not a file"),
        ("plain", json!({}), "Failed to find handler for"),
        ("up.tar", json!({}), "is outside of"),
        ("t.tar", json!({"dest": "/nowhere"}), "must be an existing dir"),
        ("t.tar", json!({"include": "a", "exclude": "b"}), "mutually exclusive: include|exclude"),
        ("t.tar", json!({"include": "--to-command=false"}), "begins with a dash"),
    ] {
        let failure = call::<Unarchive>(&Host::new(), &args(dir.path(), name, more)).unwrap_err();
        assert!(failure.msg.contains(word), "{word}: {}", failure.msg);
    }
    assert!(!dir.path().join("d").exists());
}
