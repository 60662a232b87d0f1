#![allow(clippy::unwrap_used)]

use super::super::http::tests::{answer, serve};
use super::super::stage::call;
use super::*;

fn ask(address: &str, more: Value) -> Result<Outcome, Failure> {
    let mut args = json!({"url": format!("{address}/a"), "use_proxy": false});
    args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call::<Uri>(&Host::new(), &args)
}

#[test]
fn answers_are_told() {
    let headers = "Content-Type: application/json; charset=utf-8\r\nSet-Cookie: a=1; Path=/\r\nX-Two: 1\r\n";
    let (address, seen) = serve(vec![answer("200 OK", headers, "{\"n\": 1}"), answer("404 Not Found", "", "no")]);
    let told = ask(&address, json!({"method": "post", "body": {"k": [1, "x"]}, "body_format": "json"})).unwrap();
    let want = json!({"json": {"n": 1}, "cookies": {"a": "1"}, "x_two": "1", "status": 200, "msg": "OK (8 bytes)"});
    for (key, value) in want.as_object().unwrap() {
        assert_eq!(&told.fields[key], value, "{key}");
    }
    assert!(!told.changed && !told.fields.contains_key("content"));
    let failure = ask(&address, json!({"return_content": true})).unwrap_err();
    assert_eq!(failure.msg, "Status code was 404 and not [200]: HTTP Error 404: Not Found");
    assert_eq!(failure.fields["content"], "no");
    let seen = seen.join().unwrap();
    assert!(seen[0].starts_with("POST /a ") && seen[0].to_lowercase().contains("content-type: application/json"));
}

#[test]
fn redirections_are_followed_as_asked() {
    for (method, follow, asked) in [("GET", "safe", 2), ("POST", "safe", 1), ("POST", "all", 2), ("GET", "none", 1)] {
        let go = answer("302 Found", "Location: /b\r\n", "");
        let (address, seen) = serve([go, answer("200 OK", "", "")][..asked].to_vec());
        let args = json!({"method": method, "follow_redirects": follow, "status_code": [200, 302]});
        let told = ask(&address, args).unwrap();
        assert_eq!(told.fields["status"], if asked == 2 { 200 } else { 302 }, "{method} {follow}");
        let last = seen.join().unwrap().pop().unwrap();
        assert!(asked == 1 || last.starts_with("GET /b "), "{last}");
    }
}

#[test]
fn bodies_are_written() {
    let args = json!({"url": "http://x", "body": {"a": "x y", "b": [1, "é"]}, "body_format": "form-urlencoded"});
    let uri: Uri = crate::args::parse(args.as_object().unwrap()).unwrap();
    let (body, _) = uri.sent(&Host::new()).unwrap().unwrap();
    assert_eq!(String::from_utf8(body).unwrap(), "a=x+y&b=1&b=%C3%A9");
    assert_eq!(spaced_json(&json!({"a": [1, "x"], "b": {}})), "{\"a\": [1, \"x\"], \"b\": {}}");
}

#[test]
fn answers_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (address, _) = serve(vec![answer("200 OK", "", "text"), answer("200 OK", "", "text")]);
    let args = json!({"dest": dir.path()});
    assert!(ask(&address, args.clone()).unwrap().changed);
    assert!(!ask(&address, args).unwrap().changed);
    assert_eq!(std::fs::read_to_string(dir.path().join("a")).unwrap(), "text");
}

#[test]
fn what_cannot_be_is_refused() {
    for (args, word) in [
        (json!({"body": "x", "src": "/x"}), "mutually exclusive: body|src"),
        (json!({"method": "b d"}), "single word"),
        (json!({"follow_redirects": "some"}), "must be one of"),
        (json!({"unix_socket": "/s"}), "unix_socket is not supported"),
        (json!({"url": "foo"}), "unknown url type"),
        (json!({"url": "http://127.0.0.1:1/"}), "Status code was -1 and not [200]"),
    ] {
        assert!(ask("http://127.0.0.1:1", args).unwrap_err().msg.contains(word), "{word}");
    }
}
