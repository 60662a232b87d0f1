//! Files with names that shells, option parsers and text trip over, through the modules that handle files.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::stage::call;
use super::*;
use crate::host::Host;
use crate::module::Module;

const NAMES: &[&[u8]] = &[
    b"a b",
    b" lead and trail ",
    b"two\nlines",
    b"tab\tand\rreturn",
    b"-rf",
    b"--help",
    b"it's \"quoted\"",
    b"$(touch broken)`touch broken`",
    b"; touch broken #",
    b"*?[a-z]{x,y}",
    b"back\\slash\\n",
    b"caf\xe9",
    b"\xff\xfe\x80",
    "\u{10ffff}\u{10ff80}".as_bytes(),
    "漢字 🦀".as_bytes(),
];

/// A directory with a file of each name, and a file that no name leads to.
fn field() -> ::tempfile::TempDir {
    let dir = ::tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("in")).unwrap();
    for name in NAMES {
        std::fs::write(dir.path().join("in").join(OsStr::from_bytes(name)), "one\n").unwrap();
    }
    dir
}

fn ok<M: Module>(args: Value) -> rplay_protocol::Object {
    let outcome = call::<M>(&Host::new(), &args).unwrap_or_else(|failure| panic!("{args}: {}", failure.msg));
    let (result, _) = outcome.into_result(true);
    // As it travels.
    serde_json::from_str(&serde_json::to_string(&result).unwrap()).unwrap()
}

fn found(dir: &Path) -> Vec<String> {
    let files = ok::<find::Find>(json!({"paths": [dir], "hidden": true, "get_checksum": true}));
    files["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect()
}

fn names_in(dir: &Path) -> Vec<OsString> {
    let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn what_find_tells_is_what_other_modules_take() {
    let dir = field();
    let (inside, copies) = (dir.path().join("in"), dir.path().join("copies"));
    std::fs::create_dir(&copies).unwrap();
    let paths = found(&inside);
    assert_eq!(paths.len(), NAMES.len());
    for path in &paths {
        let stat = ok::<stat::Stat>(json!({"path": path}));
        assert_eq!((&stat["stat"]["exists"], &stat["stat"]["path"]), (&json!(true), &json!(path)), "{path:?}");
        let copied =
            ok::<copy::Copy>(json!({"src": path, "dest": format!("{}/", copies.display()), "remote_src": true}));
        assert_eq!((&copied["changed"], &copied["src"]), (&json!(true), &json!(path)));
        let copy = copied["dest"].as_str().unwrap();
        assert!(ok::<file::File>(json!({"path": copy, "mode": "0600"}))["changed"] == true);
        assert!(ok::<lineinfile::LineInFile>(json!({"path": copy, "line": "two"}))["changed"] == true);
        assert!(ok::<blockinfile::BlockInFile>(json!({"path": copy, "block": "three"}))["changed"] == true);
        assert!(ok::<replace::Replace>(json!({"path": copy, "regexp": "one", "replace": "1"}))["changed"] == true);
        assert_eq!(ok::<slurp::Slurp>(json!({"src": copy}))["source"], copy);
        let listed = ok::<command::CommandArgs>(json!({"argv": ["wc", "-l", "--", path]}));
        assert!(listed["stdout"].as_str().unwrap().starts_with("1 "), "{path:?}: {listed:?}");
        let link = format!("{copy}.link");
        assert!(ok::<file::File>(json!({"path": link, "src": path, "state": "link"}))["changed"] == true);
        assert_eq!(ok::<stat::Stat>(json!({"path": link}))["stat"]["lnk_source"], *path);
        assert!(ok::<file::File>(json!({"path": link, "state": "absent"}))["changed"] == true);
    }
    assert_eq!(names_in(&inside), names_in(&copies));
    for name in names_in(&copies) {
        let text = std::fs::read_to_string(copies.join(&name)).unwrap();
        assert_eq!(text, "1\ntwo\n# BEGIN ANSIBLE MANAGED BLOCK\nthree\n# END ANSIBLE MANAGED BLOCK\n", "{name:?}");
        assert_eq!(std::fs::read_to_string(inside.join(&name)).unwrap(), "one\n");
    }
    for path in found(&copies) {
        assert!(ok::<file::File>(json!({"path": path, "state": "absent"}))["changed"] == true);
    }
    assert!(names_in(&copies).is_empty());
    assert_eq!(names_in(dir.path()), ["copies", "in"], "a name was run");
}

#[test]
fn directories_are_copied_with_all_they_hold() {
    let dir = field();
    let (inside, copy) = (dir.path().join("in"), dir.path().join("copy"));
    ok::<copy::Copy>(json!({"src": format!("{}/", inside.display()), "dest": copy, "remote_src": true}));
    assert_eq!(names_in(&inside), names_in(&copy));
    ok::<file::File>(json!({"path": copy, "state": "directory", "recurse": true, "mode": "u=rwX,go="}));
    for name in names_in(&copy) {
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(copy.join(&name)).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{name:?}");
    }
}

#[test]
fn content_and_lines_are_no_names() {
    let dir = field();
    let path = dir.path().join("f");
    for name in NAMES.iter().filter_map(|name| std::str::from_utf8(name).ok()) {
        ok::<copy::Copy>(json!({"content": name, "dest": path}));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), *name);
    }
}

/// Commands that modules run with a path of the task's.
#[test]
fn a_validation_gets_the_path_as_one_word() {
    let dir = field();
    for path in NAMES.iter().map(|name| PathBuf::from(OsStr::from_bytes(name))) {
        let dest = dir.path().join(&path);
        let args = json!({"content": "x\n", "dest": files::text(&dest), "validate": "grep -q x %s"});
        assert!(ok::<copy::Copy>(args)["changed"] == true);
        assert_eq!(std::fs::read(&dest).unwrap(), b"x\n");
    }
    assert!(!Path::new("broken").exists() && !dir.path().join("broken").exists());
}
