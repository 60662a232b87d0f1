// The tests prepare their own little host.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;

use super::*;
use crate::args;
use crate::host::{Content, WriteOptions};

fn call(host: &Host, args: Value) -> Result<Outcome, Failure> {
    let module: WaitFor = args::parse(args.as_object().unwrap()).unwrap();
    module.check().map_err(Failure::new)?;
    module.run(host)
}

#[test]
fn ports() {
    let host = Host::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let open = call(&host, json!({"port": port, "timeout": 2})).unwrap();
    assert_eq!((open.changed, &open.fields["state"], &open.fields["port"]), (false, &json!("started"), &json!(port)));
    let failure = call(&host, json!({"port": port, "state": "stopped", "timeout": 1})).unwrap_err();
    assert_eq!(failure.msg, format!("Timeout when waiting for 127.0.0.1:{port} to stop."));
    assert_eq!(failure.fields["elapsed"], 1);
    drop(listener);
    assert!(call(&host, json!({"port": port, "state": "stopped", "timeout": 2})).is_ok());
    let nameless = call(&host, json!({"port": port, "path": "", "state": "stopped", "timeout": 2})).unwrap();
    assert_eq!(nameless.fields["path"], "", "an empty name is no file");
    let failure = call(&host, json!({"port": port, "timeout": 1, "msg": "no luck"})).unwrap_err();
    assert_eq!(failure.msg, "no luck");
}

#[test]
fn greetings() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"SSH-2.0-").unwrap();
        stream.write_all(b"OpenSSH_9\r\n").unwrap();
        stream.flush().unwrap();
        // Stays open until the other side has seen enough.
        let _ = stream.read(&mut [0]);
    });
    let args = json!({"port": port, "search_regex": "^SSH-(?P<version>[0-9.]+)-(Open)", "timeout": 5});
    let found = call(&Host::new(), args).unwrap();
    assert_eq!(found.fields["match_groups"], json!(["2.0", "Open"]));
    assert_eq!(found.fields["match_groupdict"], json!({"version": "2.0"}));
    server.join().unwrap();
}

#[test]
fn files_and_their_text() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::at(dir.path());
    let put = |text: &str| {
        host.write_file(Path::new("/f"), &Content::from(text.as_bytes().to_vec()), &WriteOptions::default()).unwrap();
    };
    let failure = call(&host, json!({"path": "/f", "timeout": 1})).unwrap_err();
    assert_eq!(failure.msg, "Timeout when waiting for file /f");
    assert!(call(&host, json!({"path": "/f", "state": "absent"})).is_ok());
    put("one\nready 42\n");
    let found = call(&host, json!({"path": "/f", "search_regex": r"^ready (\d+)$"})).unwrap();
    assert_eq!((&found.fields["match_groups"], &found.fields["state"]), (&json!(["42"]), &json!("file")));
    let failure = call(&host, json!({"path": "/f", "search_regex": "never", "timeout": 1})).unwrap_err();
    assert_eq!(failure.msg, "Timeout when waiting for search string never in /f");
    assert!(call(&host, json!({"path": "/f", "search_regex": "never", "state": "absent"})).is_ok());
    let failure = call(&host, json!({"path": "/f", "state": "absent", "timeout": 1})).unwrap_err();
    assert_eq!(failure.msg, "Timeout when waiting for /f to be absent.");
}

#[test]
fn drained() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::at(dir.path());
    std::fs::create_dir_all(dir.path().join("proc/net")).unwrap();
    // 127.0.0.1:80 from 10.0.0.9, established; another that only listens.
    let table = "  sl  local_address rem_address   st\n   0: 0100007F:0050 0900000A:C350 01\n   1: 0100007F:0051 00000000:0000 0A\n";
    host.write_file(Path::new("/proc/net/tcp"), &Content::from(table.as_bytes().to_vec()), &WriteOptions::default())
        .unwrap();
    let failure = call(&host, json!({"port": 80, "state": "drained", "timeout": 1})).unwrap_err();
    assert_eq!(failure.msg, "Timeout when waiting for 127.0.0.1:80 to drain");
    for args in [
        json!({"port": 81, "state": "drained"}),
        json!({"port": 80, "state": "drained", "exclude_hosts": "10.0.0.9"}),
        json!({"port": 80, "state": "drained", "active_connection_states": ["TIME_WAIT"]}),
    ] {
        assert!(call(&host, args.clone()).is_ok(), "{args}");
    }
}

#[test]
fn a_cancelled_wait_ends() {
    let cancel = crate::host::Cancel::default();
    cancel.cancel();
    let host = Host::new().with_cancel(cancel);
    assert!(call(&host, json!({"timeout": 100})).unwrap_err().msg.contains("cancelled"));
}

#[test]
fn impossible_arguments_are_refused() {
    for (args, msg) in [
        (json!({"port": 1, "path": "/x"}), "port and path parameter can not both be passed to wait_for"),
        (json!({"path": "/x", "state": "drained"}), "state=drained should only be used for checking a port"),
        (json!({"port": 1, "exclude_hosts": ["x"]}), "exclude_hosts should only be with state=drained"),
        (json!({"port": 1, "active_connection_states": ["foo"]}), "unknown active_connection_state (foo) defined"),
        (json!({"path": "/x", "search_regex": "("}), "'(' is not a valid regular expression"),
    ] {
        let failure = call(&Host::new(), args).unwrap_err();
        assert!(failure.msg.starts_with(msg), "{}", failure.msg);
    }
}
