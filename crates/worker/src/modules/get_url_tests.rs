#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::args;
use crate::modules::http::tests::{answer, serve};

const SUM: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

fn host() -> (tempfile::TempDir, Host) {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::at(dir.path());
    host.make_directory(Path::new("/d"), None).unwrap();
    (dir, host)
}

fn call(host: &Host, mut args: Value) -> Result<Outcome, Failure> {
    args["use_proxy"] = json!(false);
    let module: GetUrl = args::parse(args.as_object().unwrap()).unwrap();
    module.check().map_err(Failure::new)?;
    module.run(host)
}

fn hello() -> String {
    answer("200 OK", "", "hello\n")
}

#[test]
fn downloads_once() {
    let (dir, host) = host();
    let (address, seen) = serve(vec![hello(), hello(), answer("304 Not Modified", "", "")]);
    let args = json!({"url": format!("{address}/a.txt?x"), "dest": "/d", "mode": "0600", "headers": {"X-One": "1"}});
    let dry = call(&Host::at(dir.path()).checking(true), args.clone()).unwrap();
    assert!(dry.changed && !host.exists(Path::new("/d/a.txt")).unwrap());
    let first = call(&host, args.clone()).unwrap();
    assert!(first.changed);
    let fields = &first.fields;
    assert_eq!(
        (&fields["dest"], &fields["msg"], &fields["mode"]),
        (&json!("/d/a.txt"), &json!("OK (6 bytes)"), &json!("0600"))
    );
    assert_eq!((&fields["checksum_dest"], &fields["status_code"]), (&Value::Null, &json!(200)));
    assert_eq!(host.text("/d/a.txt").unwrap(), "hello\n");
    let second = call(&host, json!({"url": format!("{address}/a.txt"), "dest": "/d/a.txt"})).unwrap();
    assert_eq!((second.changed, &second.fields["msg"]), (false, &json!("HTTP Error 304: Not Modified")));
    let seen = seen.join().unwrap();
    assert!(seen[1].to_lowercase().contains("x-one: 1") && seen[2].to_lowercase().contains("if-modified-since: "));
}

#[test]
fn sums_are_checked() {
    let (_dir, host) = host();
    let list = answer("200 OK", "", &format!("ffff  other\n{SUM}  ./a.txt\n"));
    let (address, _seen) = serve(vec![hello(), hello(), list.clone(), list]);
    let url = format!("{address}/a.txt");
    let failure = call(&host, json!({"url": url, "dest": "/d/a", "checksum": "sha256:00"})).unwrap_err();
    assert_eq!(failure.msg, format!("The checksum for {url} did not match 00; it was {SUM}."));
    assert!(!host.exists(Path::new("/d/a")).unwrap());
    assert!(call(&host, json!({"url": url, "dest": "/d/a", "checksum": format!("sha256:{SUM}")})).unwrap().changed);
    // Only the list is asked for now: the file is what it should be.
    let listed = format!("sha256:{address}/sums");
    let kept = call(&host, json!({"url": url, "dest": "/d/a", "checksum": listed, "mode": "0640"})).unwrap();
    assert_eq!((kept.changed, &kept.fields["msg"]), (true, &json!("file already exists but file attributes changed")));
    let other = json!({"url": format!("{address}/b"), "dest": "/d/b", "checksum": listed});
    let failure = call(&host, other).unwrap_err();
    assert!(failure.msg.starts_with("Unable to find a checksum for file 'b' in"), "{}", failure.msg);
}

#[test]
fn names_are_names_only() {
    let (_dir, host) = host();
    let offered = "Content-Disposition: attachment; filename=\"../../etc/evil\"\r\n";
    let (address, _seen) = serve(vec![answer("200 OK", offered, "x")]);
    assert_eq!(call(&host, json!({"url": address, "dest": "/d"})).unwrap().fields["dest"], "/d/evil");
    assert_eq!(name_in("http://h/a/..%2f..%2fb?c/d"), "b");
    assert_eq!(name_in("http://h"), "index.html");
    assert_eq!(sum_for("abc\n", "any").as_deref(), Some("abc"));
    assert_eq!(sum_for("SHA256 (x) = abc\nSHA256 (y) = d\n", "y").as_deref(), Some("d"));
}

#[test]
fn what_goes_wrong_is_told() {
    let (_dir, host) = host();
    let (address, _seen) = serve(vec![answer("404 Not Found", "", ""), hello()]);
    let failure = call(&host, json!({"url": format!("{address}/x"), "dest": "/d/x"})).unwrap_err();
    assert_eq!((failure.msg.as_str(), &failure.fields["status_code"]), ("Request failed", &json!(404)));
    assert_eq!(failure.fields["response"], "HTTP Error 404: Not Found");
    let failure = call(&host, json!({"url": format!("{address}/x"), "dest": "/none/x"})).unwrap_err();
    assert_eq!(failure.msg, "Destination /none does not exist");
    for (args, msg) in [
        (json!({"url": "ftp://h/x", "dest": "/d"}), "'ftp' URLs are not supported"),
        (json!({"url": "http://h/x", "dest": "/d", "use_gssapi": true}), "get_url does not support use_gssapi"),
        (json!({"url": "http://h/x", "dest": "/d", "checksum": "nonsense"}), BAD_SUM),
        (json!({"url": "http://h/x", "dest": "/d", "checksum": "sha256:xyz"}), "The checksum format is invalid"),
        (json!({"url": "http://h/x", "dest": "/d", "checksum": "crc:00"}), "the checksum algorithm 'crc'"),
    ] {
        assert!(call(&host, args.clone()).unwrap_err().msg.starts_with(msg), "{args}");
    }
}

#[test]
fn files_of_the_host() {
    let (_dir, host) = host();
    host.write_file(Path::new("/d/src"), &Content::from(b"x".to_vec()), &WriteOptions::default()).unwrap();
    let args = json!({"url": "file:///d/src", "dest": "/d/dest", "tmp_dest": "/d"});
    assert!(call(&host, args.clone()).unwrap().changed);
    assert!(!call(&host, args).unwrap().changed);
}
