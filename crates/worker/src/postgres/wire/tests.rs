//! Against a server of a few recorded messages.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::*;

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag][..], &length, body].concat()
}

/// Answers each message of the client with the next of `answers`, and gives what the client sent.
fn served(answers: Vec<Vec<u8>>) -> (Stream, std::thread::JoinHandle<Vec<u8>>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let thread = std::thread::spawn(move || {
        let mut sent = Vec::new();
        let mut chunk = [0; 4096];
        for answer in answers {
            let read = theirs.read(&mut chunk).unwrap();
            sent.extend_from_slice(&chunk[..read]);
            theirs.write_all(&answer).unwrap();
        }
        drop(theirs);
        sent
    });
    (Stream::Unix(ours), thread)
}

fn parameters() -> Vec<(String, String)> {
    vec![("user".to_owned(), "me".to_owned()), ("client_encoding".to_owned(), "UTF8".to_owned())]
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

fn welcome() -> Vec<u8> {
    [message(b'R', &[0, 0, 0, 0]), ready()].concat()
}

#[test]
fn statements_have_results() {
    let row = [&[0, 2][..], &[0, 0, 0, 1], b"5", &[255, 255, 255, 255]].concat();
    let column = |name: &[u8], kind: u8| [name, &[0], &[0; 6], &[0, 0, 0, kind], &[0; 8]].concat();
    let columns = [&[0, 2][..], &column(b"a", 23), &column(b"b", 25)].concat();
    let answer = [
        message(b'C', b"CREATE TABLE\0"),
        message(b'T', &columns),
        message(b'D', &row),
        message(b'C', b"SELECT 1\0"),
        message(b'Z', b"T"),
    ]
    .concat();
    let (stream, server) = served(vec![welcome(), answer]);
    let mut connection = Connection::start(stream, &parameters(), None, &|| Ok(())).unwrap();
    let replies = connection.query("create …; select …", &|| Ok(())).unwrap();
    assert_eq!((replies.len(), replies[0].tag.as_str(), replies[0].count()), (2, "CREATE TABLE", None));
    assert_eq!(replies[1].count(), Some(1));
    assert_eq!(replies[1].rows[0].values, [Some("5".to_owned()), None]);
    assert_eq!(replies[1].rows[0].columns[0], Column { name: "a".to_owned(), kind: 23 });
    assert_eq!(connection.status, b'T');
    let sent = server.join().unwrap();
    assert!(sent.windows(3).any(|w| w == b"me\0"));
}

#[test]
fn errors_are_told_and_the_connection_goes_on() {
    let error = message(b'E', b"SERROR\0C42703\0Mno such column\0P8\0\0");
    let (stream, _server) = served(vec![welcome(), [error, ready()].concat(), ready()]);
    let mut connection = Connection::start(stream, &parameters(), None, &|| Ok(())).unwrap();
    let error = connection.query("select x", &|| Ok(())).unwrap_err();
    assert_eq!(error.code(), "42703");
    assert_eq!(error.to_string(), "no such column\nLINE 1: select x\n               ^\n");
    assert!(connection.query("", &|| Ok(())).unwrap().is_empty());
}

#[test]
fn a_password_is_sent_as_it_is_asked_for() {
    let ask = message(b'R', &[0, 0, 0, 5, 1, 2, 3, 4]);
    let (stream, server) = served(vec![ask.clone(), welcome()]);
    Connection::start(stream, &parameters(), Some("secret"), &|| Ok(())).unwrap();
    let sent = server.join().unwrap();
    let hash = md5_hash(b"me", b"secret", [1, 2, 3, 4]);
    assert!(sent.windows(hash.len()).any(|w| w == hash.as_bytes()));
    let (stream, _server) = served(vec![ask]);
    let error = Connection::start(stream, &parameters(), None, &|| Ok(())).err().unwrap();
    assert_eq!(error.to_string(), "fe_sendauth: no password supplied\n");
}

#[test]
fn a_server_that_goes_away_is_an_error() {
    let (stream, _server) = served(vec![welcome(), Vec::new()]);
    let mut connection = Connection::start(stream, &parameters(), None, &|| Ok(())).unwrap();
    assert!(connection.query("select 1", &|| Ok(())).unwrap_err().to_string().contains("closed the connection"));
}

#[test]
fn a_call_that_nobody_waits_for_ends() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(std::time::Duration::from_millis(10))).unwrap();
    let end = || Err(SqlError::Connection("cancelled".to_owned()));
    let error = Connection::start(Stream::Unix(ours), &parameters(), None, &end).err().unwrap();
    assert_eq!(error, SqlError::Connection("cancelled".to_owned()));
}

#[test]
fn sessions_are_as_they_are_counted_on() {
    let status = |name: &str, value: &str| message(b'S', format!("{name}\0{value}\0").as_bytes());
    let (style, strings) = (status("DateStyle", "German, DMY"), status("standard_conforming_strings", "off"));
    let odd = [message(b'R', &[0, 0, 0, 0]), style, strings, ready()].concat();
    let done = [message(b'C', b"SET\0"), message(b'C', b"SET\0"), ready()].concat();
    let (stream, server) = served(vec![odd, done]);
    drop(Connection::start(stream, &parameters(), None, &|| Ok(())).unwrap());
    let sent = String::from_utf8_lossy(&server.join().unwrap()).into_owned();
    assert!(sent.contains("SET DateStyle TO 'ISO'; SET standard_conforming_strings TO on"), "{sent}");
}
