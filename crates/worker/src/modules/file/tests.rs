#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::os::unix::fs::MetadataExt;

use super::*;
use crate::args;

fn host() -> (tempfile::TempDir, Host) {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::at(dir.path());
    put(&host, "/f", "content");
    (dir, host)
}

fn put(host: &Host, path: &str, content: &str) {
    host.write_file(Path::new(path), &Content::from(content.as_bytes().to_vec()), &WriteOptions::default()).unwrap();
}

fn mode(host: &Host, path: &str) -> u32 {
    host.stat(Path::new(path)).unwrap().unwrap().mode() & 0o7777
}

fn file(host: &Host, args: Value) -> Result<Outcome, Failure> {
    let file: File = args::parse(args.as_object().unwrap()).unwrap();
    file.check().map_err(Failure::new)?;
    file.run(host)
}

/// Whether both sides of a diff are the same: then it holds the path alone.
fn says_nothing(diff: Diff) -> bool {
    let (before, after) = diff.into_sides();
    before == after
}

/// Runs dry, then twice: the dry run predicts and changes nothing, the second run finds nothing to do.
fn settles(dir: &tempfile::TempDir, args: &Value) -> Outcome {
    let checking = Host::at(dir.path()).checking(true);
    let predicted = file(&checking, args.clone()).unwrap();
    let host = Host::at(dir.path());
    let before = file(&checking, args.clone()).unwrap();
    assert_eq!(before.changed, predicted.changed, "the dry run changed something: {args}");
    let done = file(&host, args.clone()).unwrap();
    assert_eq!(done.changed, predicted.changed, "predicted otherwise: {args}");
    let again = file(&host, args.clone()).unwrap();
    assert!(!again.changed && again.diffs.iter().all(|diff| says_nothing(diff.clone())), "not settled: {args}");
    done
}

#[test]
fn directories_with_their_parents() {
    let (dir, host) = host();
    let outcome = settles(&dir, &json!({"path": "/a/b/", "state": "directory", "mode": "0750"}));
    assert!(outcome.changed);
    assert_eq!((&outcome.fields["path"], &outcome.fields["state"]), (&json!("/a/b/"), &json!("directory")));
    assert_eq!((mode(&host, "/a"), mode(&host, "/a/b")), (0o750, 0o750));
    assert!(settles(&dir, &json!({"path": "/a/b", "state": "directory", "mode": "0700"})).changed);
    let failure = file(&host, json!({"path": "/f", "state": "directory"})).unwrap_err();
    assert_eq!((failure.msg.as_str(), &failure.fields["state"]), ("/f already exists as a file", &json!("file")));
    assert!(file(&host, json!({"path": "/f/x", "state": "directory"})).is_err());
}

#[test]
fn recursion_reaches_everything() {
    let (dir, host) = host();
    settles(&dir, &json!({"path": "/a/b", "state": "directory"}));
    put(&host, "/a/b/f", "x");
    host.make_symlink(Path::new("/a/up"), Path::new("..")).unwrap();
    let args = json!({"path": "/a", "state": "directory", "recurse": true, "follow": false, "mode": "u=rwX,go="});
    assert!(settles(&dir, &args).changed);
    assert_eq!((mode(&host, "/a/b"), mode(&host, "/a/b/f")), (0o700, 0o600));
}

#[test]
fn absence() {
    let (dir, host) = host();
    settles(&dir, &json!({"path": "/a/b", "state": "directory"}));
    host.make_symlink(Path::new("/a/l"), Path::new("../f")).unwrap();
    let outcome = settles(&dir, &json!({"path": "/a", "state": "absent"}));
    let diff = outcome.diffs[0].clone().into_value();
    assert_eq!(diff["before"]["path_content"], json!({"directories": ["/a/b"], "files": ["/a/l"]}));
    assert!(host.exists(Path::new("/f")).unwrap(), "what a link leads to stays");
    assert_eq!(outcome.fields["state"], "absent");
    assert!(!settles(&dir, &json!({"path": "/a", "state": "absent"})).changed);
}

#[test]
fn files_are_managed_not_made() {
    let (dir, host) = host();
    let outcome = settles(&dir, &json!({"path": "/f", "mode": "0600"}));
    let diff = outcome.diffs[0].clone().into_value();
    assert_eq!(diff["after"], json!({"path": "/f", "mode": "0600"}));
    let failure = file(&host, json!({"path": "/none", "state": "file"})).unwrap_err();
    assert_eq!(failure.msg, "file (/none) is absent, cannot continue");
    host.make_symlink(Path::new("/l"), Path::new("f")).unwrap();
    let through = settles(&dir, &json!({"path": "/l", "state": "file", "mode": "0640"}));
    assert_eq!((through.fields["path"].as_str(), mode(&host, "/f")), (Some("/f"), 0o640));
    let failure = file(&host, json!({"path": "/l", "state": "file", "follow": false})).unwrap_err();
    assert_eq!(failure.msg, "file (/l) is link, cannot continue");
}

#[test]
fn symbolic_links() {
    let (dir, host) = host();
    let args = json!({"path": "/l", "src": "f", "state": "link"});
    assert!(settles(&dir, &args).changed);
    assert_eq!(host.read_link(Path::new("/l")).unwrap(), Path::new("f"));
    let failure = file(&host, json!({"path": "/l", "src": "none", "state": "link"})).unwrap_err();
    assert!(failure.msg.starts_with("src file does not exist, use 'force=yes'"), "{}", failure.msg);
    assert!(settles(&dir, &json!({"path": "/l", "src": "none", "state": "link", "force": true})).changed);
    let failure = file(&host, json!({"path": "/f", "src": "/l", "state": "link"})).unwrap_err();
    assert!(failure.msg.contains("does not exist"), "a link to nothing is nothing: {}", failure.msg);
    put(&host, "/g", "");
    let failure = file(&host, json!({"path": "/f", "src": "g", "state": "link"})).unwrap_err();
    assert_eq!(failure.msg, "refusing to convert from file to symlink for /f");
    settles(&dir, &json!({"path": "/d", "state": "directory"}));
    let failure = file(&host, json!({"path": "/d", "src": "/g", "state": "link"})).unwrap_err();
    assert_eq!(failure.msg, "refusing to convert from directory to symlink for /d");
    put(&host, "/d/x", "");
    let failure = file(&host, json!({"path": "/d", "src": "/g", "state": "link", "force": true})).unwrap_err();
    assert_eq!(failure.msg, "the directory /d is not empty, refusing to convert it");
    assert!(file(&host, json!({"path": "/new", "state": "link"})).unwrap_err().msg.contains("src is required"));
}

#[test]
fn hard_links() {
    let (dir, host) = host();
    let outcome = settles(&dir, &json!({"path": "/h", "src": "/f", "state": "hard"}));
    assert_eq!(outcome.fields["state"], "hard");
    put(&host, "/other", "x");
    let failure = file(&host, json!({"path": "/other", "src": "/f", "state": "hard"})).unwrap_err();
    assert_eq!(failure.msg, "Cannot link, file exists at destination");
    assert!(settles(&dir, &json!({"path": "/other", "src": "/f", "state": "hard", "force": true})).changed);
    assert_eq!(
        file(&host, json!({"path": "/y", "src": "/no", "state": "hard"})).unwrap_err().msg,
        "src does not exist"
    );
}

#[test]
fn touching() {
    let (dir, host) = host();
    let checking = Host::at(dir.path()).checking(true);
    assert!(file(&checking, json!({"path": "/t", "state": "touch"})).unwrap().changed);
    assert!(!host.exists(Path::new("/t")).unwrap());
    let outcome = file(&host, json!({"path": "/t", "state": "touch", "mode": "0600"})).unwrap();
    assert_eq!((outcome.changed, mode(&host, "/t"), outcome.fields["dest"].as_str()), (true, 0o600, Some("/t")));
    assert!(file(&host, json!({"path": "/t", "state": "touch"})).unwrap().changed, "now is always later");
    let keep = json!({"path": "/t", "state": "touch", "access_time": "preserve", "modification_time": "preserve"});
    assert!(!file(&host, keep).unwrap().changed);
    let date = json!({"path": "/f", "state": "file", "modification_time": "2002-03-04", "modification_time_format": "%Y-%m-%d"});
    assert!(settles(&dir, &date).changed);
    let bad = file(&host, json!({"path": "/f", "state": "touch", "access_time": "soon"})).unwrap_err();
    assert!(bad.msg.starts_with("Error while obtaining timestamp for time soon using format"), "{}", bad.msg);
    assert!(file(&host, json!({"path": "/none/t", "state": "touch"})).unwrap_err().fields["path"] == "/none/t");
}

#[test]
fn impossible_arguments_are_refused() {
    let (_dir, host) = host();
    for args in [
        json!({"path": "/f", "state": "file", "recurse": true}),
        json!({"path": "/f", "src": "/x"}),
        json!({"path": "/f", "owner": "no-such-user-here"}),
    ] {
        assert!(file(&host, args.clone()).is_err(), "{args}");
    }
}

#[test]
fn a_link_to_nothing_is_followed() {
    let (dir, host) = host();
    std::os::unix::fs::symlink("later", dir.path().join("dangling")).unwrap();
    let left = file(&host, json!({"path": "/dangling"})).unwrap();
    assert!(!left.changed && left.fields["src"].is_null(), "without a state it is left as it is");
    std::os::unix::fs::symlink("f", dir.path().join("good")).unwrap();
    assert_eq!(file(&host, json!({"path": "/good"})).unwrap().fields["src"], "f");
    let msg = file(&host, json!({"path": "/dangling", "state": "file"})).unwrap_err().msg;
    assert_eq!(msg, "file (/later) is absent, cannot continue");
    let made = file(&host, json!({"path": "/dangling", "state": "directory"})).unwrap();
    assert!(made.changed && dir.path().join("later").is_dir());
    assert_eq!(made.fields["path"], "/later");
}

#[test]
fn what_is_no_directory_cannot_be_gone_down_into() {
    let (_dir, host) = host();
    let msg = file(&host, json!({"path": "/f", "recurse": true})).unwrap_err().msg;
    assert_eq!(msg, "recurse option requires state to be 'directory'");
}

#[test]
fn an_empty_mode_takes_no_permission_away() {
    let (_dir, host) = host();
    let before = mode(&host, "/f");
    assert!(!file(&host, json!({"path": "/f", "mode": ""})).unwrap().changed);
    assert_eq!(mode(&host, "/f"), before);
}
