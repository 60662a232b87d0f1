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
         tar czf t.tgz -C s d; tar cf t.tar -C s d; tar cf up.tar -P --transform 's,^,../,' -C s d; echo no >plain
         mkdir abs rel same deep out; ln -s \"$PWD/out\" abs/l; ln -s ../out rel/l; ln -s d same/l; mkdir same/d deep/l
         echo evil >deep/l/evil; for a in abs rel same; do tar cf $a.tar -C $a . -C ../deep l/evil; done
         tar cf through.tar -C deep l/evil",
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

#[test]
fn links_lead_nothing_out_of_the_directory() {
    let dir = archives();
    let at = dir.path();
    for name in ["abs.tar", "rel.tar"] {
        let failure = call::<Unarchive>(&Host::new(), &args(at, name, json!({}))).unwrap_err();
        assert!(failure.msg.contains("holds 'l/evil', which is outside of"), "{name}: {}", failure.msg);
        assert_eq!(std::fs::read_dir(at.join("o")).unwrap().count(), 0, "{name}");
    }
    assert!(call::<Unarchive>(&Host::new(), &args(at, "same.tar", json!({}))).unwrap().changed);
    assert_eq!(std::fs::read_to_string(at.join("o/d/evil")).unwrap(), "evil\n");
    // A link that an earlier archive brought.
    std::fs::remove_file(at.join("o/l")).unwrap();
    std::os::unix::fs::symlink(at.join("out"), at.join("o/l")).unwrap();
    let failure = call::<Unarchive>(&Host::new(), &args(at, "through.tar", json!({}))).unwrap_err();
    assert!(failure.msg.contains("holds 'l/evil'"), "{}", failure.msg);
    // One that stays inside.
    std::fs::remove_file(at.join("o/l")).unwrap();
    std::os::unix::fs::symlink("d", at.join("o/l")).unwrap();
    assert!(call::<Unarchive>(&Host::new(), &args(at, "through.tar", json!({"mode": "0600"}))).is_ok());
    assert_eq!(std::fs::read_dir(at.join("out")).unwrap().count(), 0);
}

#[test]
fn archives_of_zip_stay_inside_too() {
    if Host::new().find_program("unzip").is_none() {
        // Only an archive that unzip can read says what is in it.
        return;
    }
    let dir = archives();
    let at = dir.path();
    for (name, bytes) in [
        ("link.zip", zipped(&[("l", "../out", 0o120_777), ("l/evil", "evil", 0o100_644)])),
        ("up.zip", zipped(&[("../out/evil", "evil", 0o100_644)])),
    ] {
        std::fs::write(at.join(name), bytes).unwrap();
        let failure = call::<Unarchive>(&Host::new(), &args(at, name, json!({}))).unwrap_err();
        assert!(failure.msg.contains("which is outside of"), "{name}: {}", failure.msg);
    }
    assert_eq!(std::fs::read_dir(at.join("out")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(at.join("o")).unwrap().count(), 0);
}

/// An archive of zip whose entries are stored as they are.
fn zipped(entries: &[(&str, &str, u32)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content, mode) in entries {
        let offset = u32::try_from(out.len()).unwrap();
        let mut crc = flate2::Crc::new();
        crc.update(content.as_bytes());
        let (len, name_len) = (u32::try_from(content.len()).unwrap(), u16::try_from(name.len()).unwrap());
        let mut common = Vec::new();
        // Version, flags, method, time and date; then checksum, both sizes, and the lengths of name and extra field.
        [20_u16, 0, 0, 0, 33].iter().for_each(|word| common.extend(word.to_le_bytes()));
        [crc.sum(), len, len].iter().for_each(|word| common.extend(word.to_le_bytes()));
        [name_len, 0].iter().for_each(|word| common.extend(word.to_le_bytes()));
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(content.as_bytes());
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&common);
        // Comment, disk, attributes of text; then those of the file, and where it is.
        directory.extend([0; 6]);
        directory.extend((mode << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let count = u16::try_from(entries.len()).unwrap();
    let (size, start) = (u32::try_from(directory.len()).unwrap(), u32::try_from(out.len()).unwrap());
    out.extend(directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    [count, count].iter().for_each(|word| out.extend(word.to_le_bytes()));
    [size, start].iter().for_each(|word| out.extend(word.to_le_bytes()));
    out.extend([0; 2]);
    out
}
