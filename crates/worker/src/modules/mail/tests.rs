#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

use super::super::stage::Stage;
use super::*;

/// A server for some connections, which answers each line by its first word; gives its port and what it heard.
fn server(connections: usize, offers: &'static str) -> (u16, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = thread::spawn(move || {
        let mut heard = Vec::new();
        for _ in 0..connections {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            let _ = stream.write_all(b"220 hi\r\n");
            let mut data = false;
            loop {
                let mut line = Vec::new();
                if lines.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
                    break;
                }
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                let word = line.split(' ').next().unwrap_or_default().to_owned();
                let answer = match word.as_str() {
                    "." if data => {
                        data = false;
                        "250 taken"
                    }
                    _ if data => "",
                    "EHLO" => offers,
                    "DATA" => {
                        data = true;
                        "354 go on"
                    }
                    "AUTH" if !line.ends_with("AHUAcA==") => "535 no",
                    "AUTH" => "235 yes",
                    "RCPT" if line.contains("bad") => "550 no such user",
                    "QUIT" => "221 bye",
                    _ => "250 ok",
                };
                heard.push(line);
                if !answer.is_empty() && stream.write_all(format!("{answer}\r\n").as_bytes()).is_err() {
                    break;
                }
            }
        }
        heard
    });
    (port, heard)
}

fn send(port: u16, args: &Value) -> Result<Outcome, Failure> {
    let mut all = json!({"host": "127.0.0.1", "port": port, "subject": "Hello", "secure": "never", "ehlohost": "me"});
    all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
    Stage::new(&[("/a b.txt", "attached\n")]).call::<Mail>(all)
}

#[test]
fn a_mail_is_sent() {
    let (port, heard) = server(1, "250-me\r\n250 AUTH PLAIN LOGIN");
    let args = json!({
        "to": ["A B <a@b.c>", "bad@x.y"], "cc": "c@c.c", "bcc": "d@d.d", "from": "M\u{e9} <me@x.y>", "subject": "H\u{e4}llo",
        "body": ".dot", "headers": ["Reply-To=r@x.y", "nonsense"], "attach": "/a b.txt", "subtype": "html", "charset": "latin1",
        "username": "u", "password": "p", "message_id_domain": "dom",
    });
    let sent = send(port, &args).unwrap();
    assert_eq!(sent.fields["result"], json!({"bad@x.y": [550, "no such user"]}));
    let warnings = sent.fields["warnings"].as_array().unwrap();
    assert_eq!((sent.changed, warnings.len()), (false, 3));
    let heard = heard.join().unwrap();
    let dialogue = [
        "EHLO me",
        "AUTH PLAIN AHUAcA==",
        "MAIL FROM:<me@x.y>",
        "RCPT TO:<a@b.c>",
        "RCPT TO:<bad@x.y>",
        "RCPT TO:<c@c.c>",
        "RCPT TO:<d@d.d>",
        "DATA",
    ];
    assert_eq!(heard[..8], dialogue);
    for line in [
        "From: =?utf-8?b?TcOp?= <me@x.y>",
        "Subject: =?utf-8?b?SMOkbGxv?=",
        "Reply-To: r@x.y",
        "To: A B <a@b.c>,",
        " bad@x.y",
        "Cc: c@c.c",
        "Content-Type: text/html; charset=\"latin1\"",
        "LmRvdAoK",
        "YXR0YWNoZWQK",
        "Content-Disposition: attachment; filename=\"a b.txt\"",
        ".",
        "QUIT",
    ] {
        assert!(heard.iter().any(|heard| heard == line), "{line}: {heard:?}");
    }
    assert!(heard.iter().any(|line| line.starts_with("Message-ID: <") && line.ends_with("@dom>")));
    assert!(!heard.iter().any(|line| line.contains("d@d.d") && !line.starts_with("RCPT")));
}

#[test]
fn encryption_is_as_it_is_wanted() {
    // What was meant as encryption is lost on this server, so there is a second connection.
    let (port, heard) = server(2, "250 me");
    assert_eq!(send(port, &json!({"secure": "try"})).unwrap().fields["msg"], "Mail sent successfully");
    assert!(heard.join().unwrap().contains(&"RCPT TO:<root>".to_owned()));
    for (secure, word) in [("always", "Unable to start an encrypted session"), ("starttls", "StartTLS is not offered")]
    {
        let (port, heard) = server(1, "250 me");
        assert!(send(port, &json!({"secure": secure})).unwrap_err().msg.contains(word));
        assert!(!heard.join().unwrap().iter().any(|line| line.starts_with("MAIL")));
    }
}

#[test]
fn what_cannot_be_is_told() {
    for (args, word) in [
        (json!({"to": "bad@x.y"}), "Failed to send mail to 'bad@x.y': bad@x.y: 550 no such user"),
        (json!({"username": "u", "password": "p"}), "No Authentication on the server"),
    ] {
        let (port, heard) = server(1, "250 me");
        assert!(send(port, &args).unwrap_err().msg.contains(word), "{word}");
        heard.join().unwrap();
    }
    let (port, heard) = server(1, "250-me\r\n250 AUTH PLAIN");
    let failure = send(port, &json!({"username": "u", "password": "wrong"})).unwrap_err();
    assert!(failure.msg.contains("please check your username") && !failure.msg.contains("wrong"));
    heard.join().unwrap();
    for (args, word) in [
        (json!({"subject": "a\nBcc: x"}), "one line each"),
        (json!({"to": []}), "nobody"),
        (json!({"to": "a@b> c"}), "angle bracket"),
        (json!({"username": "u"}), "given together"),
        (json!({"charset": "nosuch"}), "unknown encoding: nosuch"),
        (json!({"charset": "us-ascii", "body": "\u{e9}"}), "cannot be written in the encoding"),
        (json!({"attach": "/none"}), "/none"),
        (json!({"port": 1}), "cannot connect"),
    ] {
        assert!(send(9, &args).unwrap_err().msg.contains(word), "{word}");
    }
}
