#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::super::stage::{self, put};
use super::*;

fn call(host: &Host, args: Value) -> Result<Outcome, Failure> {
    stage::edit::<BlockInFile>(host, args)
}

fn edited(content: &str, args: &Value) -> (String, Outcome, Outcome) {
    stage::edited::<BlockInFile>(content, args)
}

const FILE: &str = "a\nb\nc\n";
const MARKED: &str = "a\n# BEGIN ANSIBLE MANAGED BLOCK\nold\n# END ANSIBLE MANAGED BLOCK\nb\n";

#[test]
fn puts_blocks_where_they_belong() {
    let block = |before: &str, after: &str| {
        format!("{before}# BEGIN ANSIBLE MANAGED BLOCK\nx\n# END ANSIBLE MANAGED BLOCK\n{after}")
    };
    let cases = [
        (json!({"block": "x"}), block("a\nb\nc\n", "")),
        (json!({"block": "x\n", "insertafter": "EOF"}), block("a\nb\nc\n", "")),
        (json!({"content": "x", "insertbefore": "BOF"}), block("", "a\nb\nc\n")),
        (json!({"block": "x", "insertafter": "^a"}), block("a\n", "b\nc\n")),
        (json!({"block": "x", "insertbefore": "^c"}), block("a\nb\n", "c\n")),
        (json!({"block": "x", "insertafter": "nowhere"}), block("a\nb\nc\n", "")),
        (json!({"block": "x", "insertbefore": "(?m)b\\nc"}), block("a\n", "b\nc\n")),
        (json!({"block": "x", "insertafter": "^a", "prepend_newline": true}), block("a\n\n", "b\nc\n")),
        (json!({"block": "x", "insertafter": "^a", "append_newline": true}), block("a\n", "\nb\nc\n")),
        (json!({"block": "x", "append_newline": true, "prepend_newline": true}), block("a\nb\nc\n\n", "")),
        (
            json!({"block": "x", "marker": "; {mark}", "marker_begin": "<", "marker_end": ">"}),
            "a\nb\nc\n; <\nx\n; >\n".to_owned(),
        ),
        (json!({"block": ""}), FILE.to_owned()),
        (json!({"state": "absent"}), FILE.to_owned()),
    ];
    for (args, text) in cases {
        let (got, first, second) = edited(FILE, &args);
        assert_eq!(got, text, "{args}");
        assert_eq!(first.changed, text != FILE, "{args}");
        assert!(!second.changed && second.diffs.is_empty(), "not settled: {args}");
    }
}

#[test]
fn replaces_and_removes_blocks() {
    let (text, first, _) = edited(MARKED, &json!({"block": "new\nlines", "insertbefore": "BOF"}));
    assert_eq!(text, MARKED.replace("old", "new\nlines"));
    assert_eq!(first.fields["msg"], "Block inserted");
    let (text, first, _) = edited(MARKED, &json!({"state": "absent"}));
    assert_eq!((text.as_str(), &first.fields["msg"]), ("a\nb\n", &json!("Block removed")));
    assert_eq!(edited(MARKED, &json!({"block": ""})).0, "a\nb\n");
    assert_eq!(edited("a", &json!({"block": "x"})).0.lines().count(), 4);
}

#[test]
fn files_that_are_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::at(dir.path());
    assert_eq!(call(&host, json!({"block": "x"})).unwrap_err().msg, "Path /f does not exist !");
    let made = call(&host, json!({"block": "x", "create": true})).unwrap();
    assert_eq!((made.changed, &made.fields["msg"]), (true, &json!("File created")));
}

#[test]
fn backup_and_validation() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::at(dir.path());
    put(&host, FILE);
    let bad = json!({"block": "x", "validate": "grep -q zz %s"});
    assert!(call(&host, bad).unwrap_err().msg.starts_with("failed to validate"));
    let done = call(&host, json!({"block": "x", "backup": true})).unwrap();
    assert_eq!(host.text(done.fields["backup_file"].as_str().unwrap()).unwrap(), FILE);
    assert!(call(&host, json!({"block": "x", "insertafter": "a", "insertbefore": "b"})).is_err());
}
