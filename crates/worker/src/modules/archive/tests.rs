#![allow(clippy::unwrap_used)]

use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use super::super::stage::Stage;
use super::*;
use crate::host::Command;

fn stage() -> Stage {
    let stage = Stage::new(&[
        ("/d/a/1.txt", "one\n"),
        ("/d/a/2.txt", "two\n"),
        ("/d/a/sub/x.txt", "x\n"),
        ("/d/a/sub/y.log", "y\n"),
        ("/d/b/3.txt", "three\n"),
    ]);
    stage.host().make_directory(Path::new("/d/a/empty"), None).unwrap();
    stage.host().make_symlink(Path::new("/d/a/link"), Path::new("1.txt")).unwrap();
    stage.host().make_symlink(Path::new("/d/a/way"), Path::new("sub")).unwrap();
    stage
}

/// What a program of the machine tells of an archive.
fn listed(stage: &Stage, program: &str, args: &[&str], archive: &str) -> Vec<String> {
    let command = Command::new(program).args(args).arg(stage.real(archive)).c_locale();
    let output = stage.host().query_ok(&command).unwrap();
    output.stdout_text().lines().map(ToOwned::to_owned).collect()
}

fn paths(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect()
}

#[test]
fn trees_are_archived_once() {
    let stage = stage();
    for (format, name) in [("gz", "/o.tgz"), ("bz2", "/o.tbz"), ("xz", "/o.txz"), ("tar", "/o.tar")] {
        let args = json!({"path": "/d/a", "dest": name, "format": format});
        let dry = stage.check::<Archive>(args.clone()).unwrap();
        assert_eq!((dry.changed, stage.exists(name)), (true, false));
        assert_eq!(dry.fields["dest_state"], "absent");
        let made = stage.call::<Archive>(args.clone()).unwrap();
        assert_eq!(
            (made.changed, &made.fields["dest_state"], &made.fields["arcroot"]),
            (true, &json!("archive"), &json!("/d/"))
        );
        let names = ["empty", "sub", "way", "1.txt", "2.txt", "link", "sub/x.txt", "sub/y.log"];
        let wanted: Vec<String> = names.iter().map(|name| format!("/d/a/{name}")).collect();
        assert_eq!(paths(&made.fields["archived"]), wanted);
        if format != "xz" && format != "bz2" {
            let names = ["empty/", "sub/", "way", "1.txt", "2.txt", "link", "sub/x.txt", "sub/y.log"];
            let wanted: Vec<String> = names.iter().map(|name| format!("a/{name}")).collect();
            assert_eq!(listed(&stage, "tar", &["tf"], name), wanted);
        }
        assert!(!stage.check::<Archive>(args.clone()).unwrap().changed);
        assert!(!stage.call::<Archive>(args).unwrap().changed);
    }
    stage.file("/d/a/1.txt", "ONE\n");
    let args = json!({"path": "/d/a", "dest": "/o.tgz"});
    assert!(stage.check::<Archive>(args.clone()).unwrap().changed && stage.call::<Archive>(args).unwrap().changed);
}

#[test]
fn single_files_are_compressed() {
    for (format, forced, state) in [
        ("gz", false, "compress"),
        ("bz2", false, "compress"),
        ("xz", false, "compress"),
        ("gz", true, "archive"),
        ("tar", false, "archive"),
        ("zip", false, "archive"),
    ] {
        let stage = stage();
        let args =
            json!({"path": "/d/b/3.txt", "format": format, "force_archive": forced, "remove": true, "mode": "0600"});
        let made = stage.call::<Archive>(args.clone()).unwrap();
        let name = format!("/d/b/3.txt.{format}");
        assert_eq!((made.fields["dest_state"].as_str(), made.fields["dest"].as_str()), (Some(state), Some(&*name)));
        assert_eq!((stage.exists("/d/b/3.txt"), made.fields["mode"].as_str()), (false, Some("0600")));
        let again = stage.call::<Archive>(args).unwrap();
        assert_eq!((again.changed, again.fields["missing"].clone()), (false, json!(["/d/b/3.txt"])));
        if state == "compress" {
            let format = match format {
                "gz" => Format::Gz,
                "bz2" => Format::Bz2,
                _ => Format::Xz,
            };
            let file = stage.host().open(Path::new(&name)).unwrap();
            assert_eq!(content::of(format, false, file).unwrap(), [crate::host::digest_bytes(b"three\n")]);
        }
    }
}

#[test]
fn what_is_left_out_is_not_in() {
    let stage = stage();
    let args = json!({"path": ["/d/a/*", "/d/none", "/d/b/3.txt"], "exclude_path": "/d/a/*.txt", "dest": "/o.tar", "format": "tar"});
    let made = stage.call::<Archive>(args).unwrap();
    // What is in a directory that is named goes in, the directory itself does not.
    assert_eq!(listed(&stage, "tar", &["tf"], "/o.tar"), ["a/link", "a/sub/x.txt", "a/sub/y.log", "a/way", "b/3.txt"]);
    assert_eq!((&made.fields["missing"], &made.fields["dest_state"]), (&json!(["/d/none"]), &json!("incomplete")));
    assert_eq!(made.fields["expanded_exclude_paths"], json!(["/d/a/1.txt", "/d/a/2.txt"]));
    let args = json!({"path": "/d/a/", "exclusion_patterns": ["*.txt", "sub"], "dest": "/p.tar", "format": "tar"});
    stage.call::<Archive>(args).unwrap();
    assert_eq!(listed(&stage, "tar", &["tf"], "/p.tar"), ["empty/", "way", "link", "sub/y.log"]);
}

#[test]
fn zip_archives_hold_what_links_lead_to() {
    let stage = stage();
    let args = json!({"path": ["/d/a", "/d/b"], "dest": "/o.zip", "format": "zip"});
    assert!(stage.call::<Archive>(args.clone()).unwrap().changed);
    assert!(!stage.call::<Archive>(args.clone()).unwrap().changed);
    let mut archive = zip::ZipArchive::new(stage.host().open(Path::new("/o.zip")).unwrap()).unwrap();
    let modes: Vec<(String, Option<u32>)> = (0..archive.len())
        .map(|at| archive.by_index(at).map(|entry| (entry.name().unwrap().into_owned(), entry.unix_mode())).unwrap())
        .collect();
    assert!(
        modes.contains(&("a/link".to_owned(), Some(0o100_644)))
            && modes.contains(&("a/empty/".to_owned(), Some(0o40_755)))
    );
    stage.host().make_symlink(Path::new("/d/a/dangling"), Path::new("nowhere")).unwrap();
    let before = stage.host().read(Path::new("/o.zip")).unwrap();
    assert!(
        stage.call::<Archive>(args).unwrap_err().msg.contains("Errors when writing archive at /o.zip: /d/a/dangling")
    );
    assert_eq!(stage.host().read(Path::new("/o.zip")).unwrap(), before);
}

#[test]
fn sources_go_when_they_are_archived() {
    let stage = stage();
    let args = json!({"path": ["/d/a", "/d/none"], "dest": "/o.tgz", "remove": true});
    assert!(stage.check::<Archive>(args.clone()).unwrap().changed && stage.exists("/d/a"));
    assert!(stage.call::<Archive>(args.clone()).unwrap().changed && !stage.exists("/d/a"));
    let again = stage.call::<Archive>(args).unwrap();
    assert_eq!((again.changed, &again.fields["dest_state"]), (false, &json!("archive")));
    assert!(std::fs::metadata(stage.real("/o.tgz")).unwrap().size() > 0);
}

#[test]
fn names_keep_their_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let stage = stage();
    let name = std::ffi::OsStr::from_bytes(b"\xff \n");
    let path = Path::new("/d/b").join(name);
    stage.host().write_file(&path, &Content::from(b"x".to_vec()), &WriteOptions::default()).unwrap();
    stage.call::<Archive>(json!({"path": "/d/b", "dest": "/o.tar", "format": "tar"})).unwrap();
    let mut archive = tar::Archive::new(stage.host().open(Path::new("/o.tar")).unwrap());
    let names: Vec<Vec<u8>> =
        archive.entries().unwrap().map(|entry| entry.unwrap().path_bytes().into_owned()).collect();
    assert_eq!(names, [b"b/3.txt".to_vec(), b"b/\xff \n".to_vec()]);
    let zip = stage.call::<Archive>(json!({"path": "/d/b", "dest": "/o.zip", "format": "zip"}));
    assert!(zip.unwrap_err().msg.contains("its name is not UTF-8"));
}

#[test]
fn what_cannot_be_is_told() {
    for (args, word) in [
        (json!({"path": "/d/a"}), "must specify \"dest\""),
        (json!({"path": "/d/x*", "dest": "/o"}), "no source paths"),
        (json!({"path": "/d/a", "exclude_path": "/d/a", "dest": "/o"}), "no source paths"),
        (json!({"path": "/d/a", "dest": "/d/b"}), "is a directory"),
        (json!({"path": "/d/a", "dest": "/d/a/o.tgz", "remove": true}), "can not be contained"),
        (json!({"path": "/d/a", "dest": "/none/o.tgz"}), "/none"),
        (json!({"path": []}), "must name something"),
    ] {
        assert!(stage().call::<Archive>(args).unwrap_err().msg.contains(word), "{word}");
    }
}
