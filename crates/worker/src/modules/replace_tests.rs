#![allow(clippy::unwrap_used)]

use std::path::Path;

use serde_json::{Value, json};

use super::super::stage::{self, put};
use super::*;
use crate::host::Content;

fn call(host: &Host, args: Value) -> Result<Outcome, Failure> {
    stage::edit::<Replace>(host, args)
}

fn edited(content: &str, args: &Value) -> (String, Outcome, Outcome) {
    stage::edited::<Replace>(content, args)
}

const FILE: &str = "a=1\nb=2\n# c\nb=3\n";

#[test]
fn replaces() {
    let cases = [
        (json!({"regexp": r"^(\w)=(\d)$", "replace": r"\2:\1"}), "1:a\n2:b\n# c\n3:b\n", "3 replacements made"),
        (json!({"regexp": "^b=.*\n"}), "a=1\n# c\n", "2 replacements made"),
        (json!({"regexp": "=", "replace": ":", "after": "# c"}), "a=1\nb=2\n# c\nb:3\n", "1 replacements made"),
        (json!({"regexp": "=", "replace": ":", "before": "# c"}), "a:1\nb:2\n# c\nb=3\n", "2 replacements made"),
        (
            json!({"regexp": "=", "replace": ":", "after": "a", "before": "b"}),
            "a:1\nb=2\n# c\nb=3\n",
            "1 replacements made",
        ),
        (json!({"regexp": "zzz", "replace": ":"}), FILE, ""),
        (
            json!({"regexp": "=", "replace": ":", "after": "zzz"}),
            FILE,
            "Pattern for before/after params did not match the given file: zzz(?P<subsection>.*)",
        ),
    ];
    for (args, text, msg) in cases {
        let (got, first, second) = edited(FILE, &args);
        assert_eq!((got.as_str(), first.fields["msg"].as_str()), (text, Some(msg)), "{args}");
        assert_eq!((first.changed, first.fields["rc"].as_i64()), (text != FILE, Some(0)), "{args}");
        assert!(!second.changed, "not settled: {args}");
    }
}

#[test]
fn encodings() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::at(dir.path());
    host.write_file(Path::new("/f"), &Content::from(b"caf\xe9=1\n".to_vec()), &WriteOptions::default()).unwrap();
    let failure = call(&host, json!({"regexp": "=", "replace": ":"})).unwrap_err();
    assert_eq!(failure.msg, "/f is not utf-8");
    assert!(call(&host, json!({"regexp": r"f\w=", "replace": "fé:", "encoding": "latin-1"})).unwrap().changed);
    assert_eq!(host.read(Path::new("/f")).unwrap(), b"caf\xe9:1\n");
    assert!(call(&host, json!({"regexp": "1", "replace": "€", "encoding": "latin-1"})).is_err());
    assert!(call(&host, json!({"regexp": "1", "encoding": "ebcdic"})).unwrap_err().msg.contains("ebcdic"));
}

#[test]
fn backup_validation_and_refusals() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::at(dir.path());
    assert_eq!(call(&host, json!({"regexp": "a"})).unwrap_err().fields["rc"], 257);
    put(&host, FILE);
    let bad = json!({"regexp": "a", "replace": "x", "validate": "grep -q zz %s"});
    assert!(call(&host, bad).unwrap_err().msg.starts_with("failed to validate"));
    let done = call(&host, json!({"regexp": "a", "replace": "x", "backup": true})).unwrap();
    assert_eq!(host.text(done.fields["backup_file"].as_str().unwrap()).unwrap(), FILE);
    assert!(call(&host, json!({"regexp": "("})).unwrap_err().msg.contains("regular expression"));
    let failure = call(&host, json!({"regexp": "a", "replace": "\\3"})).unwrap_err();
    assert_eq!(failure.msg, "Unable to process replace due to error: invalid group reference 3 at position 1");
}
