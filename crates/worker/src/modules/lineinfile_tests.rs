#![allow(clippy::unwrap_used)]

use std::path::Path;

use serde_json::{Value, json};

use super::super::stage::{self, put};
use super::*;
use crate::host::Content;

fn call(host: &Host, args: Value) -> Result<Outcome, Failure> {
    stage::edit::<LineInFile>(host, args)
}

fn edited(content: &str, args: &Value) -> (String, Outcome, Outcome) {
    stage::edited::<LineInFile>(content, args)
}

const FILE: &str = "a=1\nb=2\n# c\nb=3\nend\n";

#[test]
fn tells_content_and_attributes_apart_also_when_nothing_differs() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::at(dir.path());
    put(&host, "a\n");
    let told = |line: &str, diff: bool| {
        let host = Host::at(dir.path()).diffing(diff);
        stage::edit::<LineInFile>(&host, json!({"line": line})).unwrap().into_result(diff).0["diff"].clone()
    };
    let header = "/f (file attributes)";
    let attributes = json!({"before_header": header, "after_header": header});
    let content = |before: &str, after: &str| json!({"before": before, "after": after, "before_header": "/f (content)", "after_header": "/f (content)"});
    assert_eq!(told("b", true), json!([content("a\n", "a\nb\n"), attributes]));
    assert_eq!(told("b", true), json!([content("a\nb\n", "a\nb\n"), attributes]));
    assert_eq!(told("c", false), json!([content("", ""), attributes]));
}

#[test]
fn puts_lines_where_they_belong() {
    let cases = [
        (json!({"line": "x"}), "a=1\nb=2\n# c\nb=3\nend\nx\n", "line added"),
        (json!({"line": "b=2"}), FILE, ""),
        (json!({"line": "b=7", "regexp": "^b="}), "a=1\nb=2\n# c\nb=7\nend\n", "line replaced"),
        (json!({"line": "b=7", "regexp": "^b=", "firstmatch": true}), "a=1\nb=7\n# c\nb=3\nend\n", "line replaced"),
        (json!({"line": "z", "insertafter": "^b="}), "a=1\nb=2\n# c\nb=3\nz\nend\n", "line added"),
        (json!({"line": "z", "insertafter": "^b=", "firstmatch": true}), "a=1\nb=2\nz\n# c\nb=3\nend\n", "line added"),
        (json!({"line": "z", "insertbefore": "^b="}), "a=1\nb=2\n# c\nz\nb=3\nend\n", "line added"),
        (json!({"line": "z", "insertbefore": "BOF"}), "z\na=1\nb=2\n# c\nb=3\nend\n", "line added"),
        (json!({"line": "z", "insertafter": "EOF"}), "a=1\nb=2\n# c\nb=3\nend\nz\n", "line added"),
        (json!({"line": "z", "insertafter": "nowhere"}), "a=1\nb=2\n# c\nb=3\nend\nz\n", "line added"),
        (json!({"line": "a=5", "regexp": "^a", "insertafter": "^b"}), "a=5\nb=2\n# c\nb=3\nend\n", "line replaced"),
        (json!({"line": "e", "search_string": "nd"}), "a=1\nb=2\n# c\nb=3\ne\n", "line replaced"),
        (json!({"line": "q", "regexp": "^z", "backrefs": true}), FILE, ""),
        (json!({"regexp": "^b=", "state": "absent"}), "a=1\n# c\nend\n", "2 line(s) removed"),
        (json!({"line": "b=2", "state": "absent"}), "a=1\n# c\nb=3\nend\n", "1 line(s) removed"),
        (json!({"search_string": "=", "state": "absent"}), "# c\nend\n", "3 line(s) removed"),
        (json!({"regexp": "zzz", "state": "absent"}), FILE, ""),
    ];
    for (args, text, msg) in cases {
        let (got, first, second) = edited(FILE, &args);
        assert_eq!((got.as_str(), first.fields["msg"].as_str()), (text, Some(msg)), "{args}");
        assert_eq!((first.changed, first.diffs.len()), (text != FILE, usize::from(text != FILE)), "{args}");
        assert!(!second.changed || args.get("search_string").is_some(), "not settled: {args}");
    }
}

#[test]
fn references_to_groups() {
    let args = json!({"regexp": r"^(?P<k>b)=(\d)$", "line": r"\g<k> is \2", "backrefs": true, "firstmatch": true});
    assert_eq!(edited(FILE, &args).0, "a=1\nb is 2\n# c\nb=3\nend\n");
}

#[test]
fn ends_of_lines() {
    assert_eq!(edited("a\nb", &json!({"line": "c"})).0, "a\nb\nc\n");
    assert_eq!(edited("a\nb", &json!({"line": "z", "insertbefore": "BOF"})).0, "z\na\nb");
    assert_eq!(edited("", &json!({"line": "c"})).0, "c\n");
    assert_eq!(edited("a\r\nb\r\n", &json!({"regexp": "^a", "state": "absent"})).0, "b\r\n");
}

#[test]
fn bytes_that_are_not_text_survive() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::at(dir.path());
    host.write_file(Path::new("/f"), &Content::from(b"\xff\xfe\nb\n".to_vec()), &WriteOptions::default()).unwrap();
    assert!(call(&host, json!({"line": "caf\u{e9}", "regexp": "^b"})).unwrap().changed);
    assert_eq!(host.read(Path::new("/f")).unwrap(), b"\xff\xfe\ncaf\xc3\xa9\n");
}

#[test]
fn files_that_are_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::at(dir.path());
    let failure = call(&host, json!({"line": "x"})).unwrap_err();
    assert_eq!((failure.msg.as_str(), &failure.fields["rc"]), ("Destination /f does not exist !", &json!(257)));
    let gone = call(&host, json!({"line": "x", "state": "absent"})).unwrap();
    assert_eq!((gone.changed, &gone.fields["msg"]), (false, &json!("file not present")));
    let args = json!({"path": "/d/e", "line": "x", "create": true, "mode": "0600"});
    assert!(call(&Host::at(dir.path()).checking(true), args.clone()).unwrap().changed);
    assert!(!host.exists(Path::new("/d")).unwrap());
    let made = call(&host, args.clone()).unwrap();
    assert_eq!(made.fields["msg"], "line added and ownership, perms or SE linux context changed");
    assert_eq!(host.text("/d/e").unwrap(), "x\n");
    assert!(!call(&host, args).unwrap().changed);
    assert_eq!(call(&host, json!({"path": "/d", "line": "x"})).unwrap_err().fields["rc"], 256);
}

#[test]
fn backup_validation_and_attributes() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::at(dir.path());
    put(&host, FILE);
    let failure = call(&host, json!({"line": "x", "validate": "grep -q zz %s"})).unwrap_err();
    assert!(failure.msg.starts_with("failed to validate: rc:1"), "{}", failure.msg);
    assert_eq!(host.text("/f").unwrap(), FILE);
    let done = call(&host, json!({"line": "x", "backup": true, "validate": "grep -q x %s"})).unwrap();
    assert_eq!(host.text(done.fields["backup"].as_str().unwrap()).unwrap(), FILE);
    let mode = call(&host, json!({"line": "x", "mode": "0600"})).unwrap();
    assert_eq!((mode.changed, &mode.fields["msg"]), (true, &json!("ownership, perms or SE linux context changed")));
}

#[test]
fn links_are_written_through() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::at(dir.path());
    put(&host, FILE);
    host.make_symlink(Path::new("/l"), Path::new("f")).unwrap();
    assert!(call(&host, json!({"path": "/l", "line": "x"})).unwrap().changed);
    assert!(host.text("/f").unwrap().ends_with("x\n"));
    assert_eq!(host.kind(Path::new("/l")).unwrap(), crate::host::FileKind::Link);
}

#[test]
fn impossible_arguments_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::at(dir.path());
    put(&host, FILE);
    for (args, msg) in [
        (json!({}), "line is required with state=present"),
        (json!({"state": "absent"}), "one of line, search_string, or regexp is required with state=absent"),
        (json!({"line": "x", "backrefs": true}), "regexp is required with backrefs=true"),
        (json!({"line": "x", "regexp": "("}), "'(' is not a valid regular expression"),
        (json!({"line": "\\1", "regexp": "a", "backrefs": true}), "invalid group reference 1"),
        (json!({"line": "x", "insertafter": "a", "insertbefore": "b"}), "parameters are mutually exclusive"),
        (json!({"line": "x", "regexp": "a", "search_string": "b"}), "parameters are mutually exclusive"),
    ] {
        let failure = call(&host, args).unwrap_err();
        assert!(failure.msg.starts_with(msg), "{}", failure.msg);
    }
    assert!(call(&host, json!({"line": "x", "regexp": ""})).unwrap().fields.contains_key("warnings"));
}
