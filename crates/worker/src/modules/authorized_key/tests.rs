#![allow(clippy::unwrap_used)]

use std::os::unix::fs::MetadataExt;

use serde_json::json;

use super::*;
use crate::args;

const ONE: &str = "ssh-ed25519 AAAAone a@one";
const TWO: &str = "ssh-rsa AAAAtwo b@two";

/// A host with one user, called `me`, who has the ids of whoever runs the test.
fn host() -> (tempfile::TempDir, Host) {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::at(dir.path());
    let ids = (host.uid(), host.gid());
    for directory in ["/etc", "/home", "/home/me"] {
        host.make_directory(Path::new(directory), None).unwrap();
    }
    put(&host, "/etc/passwd", &format!("me:x:{}:{}::/home/me:/bin/sh\n", ids.0, ids.1));
    (dir, host)
}

fn put(host: &Host, path: &str, content: &str) {
    host.write_file(Path::new(path), &Content::from(content.as_bytes().to_vec()), &WriteOptions::default()).unwrap();
}

fn call(host: &Host, mut args: Value) -> Result<Outcome, Failure> {
    args.as_object_mut().unwrap().entry("user").or_insert(json!("me"));
    let module: AuthorizedKey = args::parse(args.as_object().unwrap()).unwrap();
    module.check().map_err(Failure::new)?;
    module.run(host)
}

fn keys(host: &Host) -> String {
    host.text("/home/me/.ssh/authorized_keys").unwrap_or_default()
}

#[test]
fn makes_the_file_and_its_directory() {
    let (dir, host) = host();
    let dry = call(&Host::at(dir.path()).checking(true), json!({"key": ONE})).unwrap();
    assert!(dry.changed && !host.exists(Path::new("/home/me/.ssh")).unwrap());
    let first = call(&host, json!({"key": ONE})).unwrap();
    assert!(first.changed);
    assert_eq!(first.fields["keyfile"], "/home/me/.ssh/authorized_keys");
    assert_eq!(keys(&host), format!("{ONE}\n"));
    let mode = |path: &str| host.stat(Path::new(path)).unwrap().unwrap().mode() & 0o777;
    assert_eq!((mode("/home/me/.ssh"), mode("/home/me/.ssh/authorized_keys")), (0o700, 0o600));
    assert!(!call(&host, json!({"key": ONE})).unwrap().changed);
}

#[test]
fn adds_changes_and_removes() {
    let (_dir, host) = host();
    call(&host, json!({"key": ONE})).unwrap();
    put(&host, "/home/me/.ssh/authorized_keys", &format!("# mine\n{ONE}\n"));
    let both = json!({"key": format!("{ONE}\n\n# second\n{TWO}\n")});
    assert!(call(&host, both.clone()).unwrap().changed);
    assert!(!call(&host, both).unwrap().changed);
    assert_eq!(keys(&host), format!("# mine\n{ONE}\n{TWO}\n"));
    let options = json!({"key": ONE, "key_options": "no-pty,from=\"10.0.0.1\""});
    assert!(call(&host, options.clone()).unwrap().changed);
    assert!(!call(&host, options).unwrap().changed);
    assert_eq!(keys(&host), format!("# mine\n{TWO}\nno-pty,from=\"10.0.0.1\" {ONE}\n"));
    assert!(call(&host, json!({"key": TWO, "comment": "new"})).unwrap().changed);
    assert!(keys(&host).ends_with("AAAAtwo new\n"));
    assert!(call(&host, json!({"key": ONE, "state": "absent"})).unwrap().changed);
    assert_eq!(keys(&host), "# mine\nssh-rsa AAAAtwo new\n");
    assert!(!call(&host, json!({"key": ONE, "state": "absent"})).unwrap().changed);
}

#[test]
fn exclusive_leaves_nothing_else() {
    let (_dir, host) = host();
    call(&host, json!({"key": format!("{TWO}\n{ONE}")})).unwrap();
    let args = json!({"key": ONE, "exclusive": true});
    assert!(call(&host, args.clone()).unwrap().changed);
    assert_eq!(keys(&host), format!("{ONE}\n"));
    assert!(!call(&host, args).unwrap().changed);
}

#[test]
fn keys_from_elsewhere() {
    let (_dir, host) = host();
    let (address, _seen) = http::tests::serve(vec![
        http::tests::answer("200 OK", "", &format!("{ONE}\n{TWO}\n")),
        http::tests::answer("404 Not Found", "", ""),
    ]);
    assert!(call(&host, json!({"key": format!("{address}/me.keys")})).unwrap().changed);
    assert_eq!(keys(&host), format!("{ONE}\n{TWO}\n"));
    let failure = call(&host, json!({"key": format!("{address}/none.keys")})).unwrap_err();
    assert!(failure.msg.contains("404"), "{}", failure.msg);
    put(&host, "/keys", &format!("{ONE}\n"));
    assert!(call(&host, json!({"key": "file:///keys", "exclusive": true})).unwrap().changed);
}

#[test]
fn other_paths_and_links() {
    let (_dir, host) = host();
    put(&host, "/etc/real", "");
    host.make_symlink(Path::new("/etc/keys"), Path::new("real")).unwrap();
    let args = json!({"key": ONE, "path": "/etc/keys", "manage_dir": false, "follow": true});
    assert!(call(&host, args).unwrap().changed);
    assert_eq!(host.text("/etc/real").unwrap(), format!("{ONE}\n"));
    assert!(call(&host, json!({"key": TWO, "path": "/etc/keys", "manage_dir": false})).unwrap().changed);
    assert_eq!(host.kind(Path::new("/etc/keys")).unwrap(), FileKind::File);
}

#[test]
fn what_cannot_be_is_refused() {
    let (dir, host) = host();
    assert_eq!(call(&host, json!({"key": "garbage"})).unwrap_err().msg, "invalid key specified: garbage");
    let failure = call(&host, json!({"key": ONE, "user": "nobody-here"})).unwrap_err();
    assert!(failure.msg.starts_with("Failed to lookup user nobody-here"), "{}", failure.msg);
    let checking = Host::at(dir.path()).checking(true);
    assert!(call(&checking, json!({"key": ONE, "user": "nobody-here"})).unwrap().changed);
}
