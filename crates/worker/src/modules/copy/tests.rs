#![allow(clippy::unwrap_used)]

use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use super::*;
use crate::args;

fn host() -> (tempfile::TempDir, Host) {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::at(dir.path());
    host.make_directory(Path::new("/etc"), None).unwrap();
    (dir, host)
}

fn put(host: &Host, path: &str, content: &str) {
    host.write_file(Path::new(path), &Content::from(content.as_bytes().to_vec()), &WriteOptions::default()).unwrap();
}

fn read(host: &Host, path: &str) -> String {
    host.text(path).unwrap_or_else(|| "<nothing>".to_owned())
}

fn mode(host: &Host, path: &str) -> u32 {
    host.stat(Path::new(path)).unwrap().unwrap().mode() & 0o7777
}

fn copy(host: &Host, args: Value) -> Result<Outcome, Failure> {
    let copy: Copy = args::parse(args.as_object().unwrap()).unwrap();
    copy.check().map_err(Failure::new)?;
    copy.run(host)
}

#[test]
fn writes_content_once() {
    let (_dir, host) = host();
    let args = json!({"content": "one\n", "dest": "/etc/motd", "mode": "0600"});
    let first = copy(&host, args.clone()).unwrap();
    assert!(first.changed);
    assert_eq!(first.fields["checksum"], "c7059bb19433cc3cabaa6236c83d56668a843dd2");
    assert_eq!((first.fields["mode"].as_str(), first.fields["size"].as_u64()), (Some("0600"), Some(4)));
    assert_eq!(first.fields["state"], "file");
    assert_eq!((read(&host, "/etc/motd").as_str(), mode(&host, "/etc/motd")), ("one\n", 0o600));
    let second = copy(&host, args).unwrap();
    assert!(!second.changed);
    let told = second.into_result(true).0["diff"].clone();
    assert_eq!(told, json!({"before": {"path": "/etc/motd"}, "after": {"path": "/etc/motd"}}));
    let device = json!({"src": "/dev/null", "dest": "/x", "remote_src": true});
    assert!(copy(&Host::new(), device).unwrap_err().msg.ends_with("is not a file"));
    let second = copy(&host, json!({"content": "one\n", "dest": "/etc/motd", "mode": "0600"})).unwrap();
    assert_eq!(second.fields["path"], "/etc/motd");
}

#[test]
fn check_mode_predicts_and_changes_nothing() {
    let (_dir, host) = host();
    let host = host.checking(true);
    let outcome = copy(&host, json!({"content": "one\n", "dest": "/etc/motd"})).unwrap();
    assert!(outcome.changed);
    assert_eq!(outcome.diffs.len(), 1);
    assert!(!host.exists(Path::new("/etc/motd")).unwrap());
    // What an earlier task of the dry run would have made is not missed.
    assert!(copy(&host, json!({"content": "one\n", "dest": "/not/there"})).unwrap().changed);
}

#[test]
fn attributes_alone_can_differ() {
    let (_dir, host) = host();
    put(&host, "/etc/motd", "one\n");
    let outcome = copy(&host, json!({"content": "one\n", "dest": "/etc/motd", "mode": "u=rw,go="})).unwrap();
    assert!(outcome.changed);
    assert_eq!(mode(&host, "/etc/motd"), 0o600);
}

#[test]
fn a_directory_takes_the_file_under_its_name() {
    let (_dir, host) = host();
    let sent = |h: Host| h.with_content(Some(Content::from(b"x".to_vec())));
    let host = sent(host);
    let outcome = copy(&host, json!({"_original_basename": "motd", "dest": "/etc"})).unwrap();
    assert_eq!(outcome.fields["dest"], "/etc/motd");
    let args = json!({"_original_basename": "motd", "dest": "/a/b/", "directory_mode": "0700", "_source_mode": "0640", "mode": "preserve"});
    assert!(copy(&host, args.clone()).unwrap().changed);
    assert_eq!((mode(&host, "/a"), mode(&host, "/a/b"), mode(&host, "/a/b/motd")), (0o700, 0o700, 0o640));
    assert!(!copy(&host, args).unwrap().changed);
    let failure = copy(&host, json!({"_original_basename": "motd", "dest": "/c/d"})).unwrap_err();
    assert_eq!(failure.msg, "Destination directory /c does not exist");
    assert!(copy(&host, json!({"dest": "/etc"})).unwrap_err().msg.contains("content with a dir"));
}

#[test]
fn force_backup_and_validate() {
    let (_dir, host) = host();
    put(&host, "/etc/motd", "old");
    let kept = copy(&host, json!({"content": "new", "dest": "/etc/motd", "force": false})).unwrap();
    assert!(!kept.changed);
    assert_eq!(read(&host, "/etc/motd"), "old");
    let args = json!({"content": "new", "dest": "/etc/motd", "validate": "grep -q good %s"});
    assert!(copy(&host, args).unwrap_err().msg.starts_with("failed to validate"));
    assert_eq!(read(&host, "/etc/motd"), "old");
    let done = copy(&host, json!({"content": "new", "dest": "/etc/motd", "backup": true})).unwrap();
    assert_eq!(read(&host, done.fields["backup_file"].as_str().unwrap()), "old");
}

#[test]
fn links_are_replaced_or_followed() {
    let (_dir, host) = host();
    put(&host, "/etc/real", "new");
    host.make_symlink(Path::new("/etc/link"), Path::new("real")).unwrap();
    let through = copy(&host, json!({"content": "newer", "dest": "/etc/link", "follow": true})).unwrap();
    assert_eq!(through.fields["dest"], "/etc/real");
    assert_eq!(host.kind(Path::new("/etc/link")).unwrap(), FileKind::Link);
    // The same content, and still the link has to go.
    assert!(copy(&host, json!({"content": "newer", "dest": "/etc/link"})).unwrap().changed);
    assert_eq!(host.kind(Path::new("/etc/link")).unwrap(), FileKind::File);
    assert_eq!(read(&host, "/etc/real"), "newer");
}

#[test]
fn a_wrong_checksum_is_refused() {
    let (_dir, host) = host();
    let failure = copy(&host, json!({"content": "x", "dest": "/etc/x", "checksum": "00"})).unwrap_err();
    assert_eq!(failure.fields["expected_checksum"], "00");
    assert!(!host.exists(Path::new("/etc/x")).unwrap());
}

#[test]
fn copies_on_the_host() {
    let (_dir, host) = host();
    put(&host, "/etc/a", "1");
    host.set_attributes(Path::new("/etc/a"), &Attributes { mode: Some(Mode::Bits(0o640)), ..Default::default() }, true)
        .unwrap();
    let args = json!({"src": "/etc/a", "dest": "/etc/b", "remote_src": true, "mode": "preserve"});
    assert!(copy(&host, args.clone()).unwrap().changed);
    assert_eq!((read(&host, "/etc/b").as_str(), mode(&host, "/etc/b")), ("1", 0o640));
    assert!(!copy(&host, args).unwrap().changed);
    let failure = copy(&host, json!({"src": "/etc/none", "dest": "/etc/b", "remote_src": true})).unwrap_err();
    assert_eq!(failure.msg, "Source /etc/none not found");
}

#[test]
fn copies_directories_on_the_host() {
    let (_dir, host) = host();
    for path in ["/etc/a", "/etc/a/b"] {
        host.make_directory(Path::new(path), Some(0o750)).unwrap();
    }
    put(&host, "/etc/a/one", "1");
    put(&host, "/etc/a/b/two", "2");
    let dry = json!({"src": "/etc/a", "dest": "/srv/", "remote_src": true});
    let checking = Host::at(_dir.path()).checking(true);
    assert!(copy(&checking, dry.clone()).unwrap().changed);
    assert!(!host.exists(Path::new("/srv")).unwrap());
    assert!(copy(&host, dry.clone()).unwrap().changed);
    assert_eq!((read(&host, "/srv/a/b/two").as_str(), mode(&host, "/srv/a/b")), ("2", 0o750));
    assert!(!copy(&host, dry).unwrap().changed);
    let around = json!({"src": "/etc/a", "dest": "/around", "remote_src": true, "mode": "0700"});
    assert!(copy(&checking, around.clone()).unwrap().changed);
    assert!(copy(&host, around).unwrap().changed);
    assert_eq!((mode(&host, "/around"), mode(&host, "/around/a")), (0o700, 0o750));
    let contents = json!({"src": "/etc/a/", "dest": "/opt", "remote_src": true});
    assert!(copy(&host, contents).unwrap().changed);
    assert_eq!(read(&host, "/opt/one"), "1");
    put(&host, "/etc/file", "f");
    let failure = copy(&host, json!({"src": "/etc/a", "dest": "/etc/file", "remote_src": true})).unwrap_err();
    assert!(failure.msg.contains("/etc/file"), "{}", failure.msg);
}

#[test]
fn impossible_arguments_are_refused() {
    let (_dir, host) = host();
    for args in [
        json!({"dest": "/x", "src": "a", "content": "b"}),
        json!({"dest": "/x/", "content": "b"}),
        json!({"dest": "/x", "remote_src": true}),
        json!({"dest": "/x", "content": "b", "validate": "true"}),
        json!({"dest": "/x"}),
    ] {
        assert!(copy(&host, args.clone()).is_err(), "{args}");
    }
}
