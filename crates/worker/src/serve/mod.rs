//! The worker's loop: frames in on standard input, frames out on standard output.
//!
//! Each request runs on a thread of its own, so that several go on at once and any can be cancelled. A worker that loses its
//! controller (the end of standard input) finishes the change at hand, begins no other, and exits.

mod become_user;
pub mod jobs;
mod requests;

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use rplay_protocol::{Frame, FrameError, Hello, MAGIC, Reply, Request, VERSION};
use serde::Serialize;

use become_user::Sessions;
use requests::Requests;

/// Standard output, one whole frame at a time.
#[derive(Clone)]
pub(crate) struct Out(Arc<Mutex<Box<dyn Write + Send>>>);

impl Out {
    fn send<T: Serialize>(&self, id: u64, route: u32, message: &T, payload: Vec<u8>) {
        match Frame::new(id, route, message, payload) {
            Ok(frame) => self.frame(&frame),
            Err(e) => self.error(id, route, "protocol", &format!("the answer cannot be sent: {e}")),
        }
    }

    fn frame(&self, frame: &Frame) {
        // A controller that is gone does not read: what is under way is finished all the same.
        let _ = frame.write_to(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn error(&self, id: u64, route: u32, kind: &str, message: &str) {
        self.send(id, route, &Reply::Error { kind: kind.to_owned(), message: message.to_owned() }, Vec::new());
    }
}

/// Serves requests until the input ends; says hello first.
pub fn serve(input: impl Read, output: impl Write + Send + 'static) -> Result<(), FrameError> {
    let mut input = input;
    let out = Out(Arc::new(Mutex::new(Box::new(output))));
    {
        let mut raw = out.0.lock().unwrap_or_else(PoisonError::into_inner);
        raw.write_all(MAGIC)?;
    }
    out.send(0, 0, &Reply::Hello(hello()), Vec::new());
    let mut requests = Requests::new(out.clone());
    let mut sessions = Sessions::new(out.clone());
    // Told to exit, the worker finishes everything; without a controller, only the change at hand.
    let orderly = loop {
        let frame = match Frame::read_from(&mut input) {
            Ok(Some(frame)) => frame,
            Ok(None) => break false,
            Err(FrameError::Io(e)) if e.kind() == io::ErrorKind::UnexpectedEof => break false,
            Err(e) => return Err(e),
        };
        if frame.route != 0 {
            sessions.forward(frame);
            continue;
        }
        match frame.decode::<Request>() {
            Ok(Request::StartBecome { route, spec }) => sessions.start(frame.id, route, spec, frame.payload),
            Ok(Request::EndBecome { route }) => sessions.end(route),
            Ok(Request::Exit) => break true,
            Ok(request) => requests.take(frame.id, request, frame.payload),
            Err(e) => out.error(frame.id, 0, "protocol", &e.to_string()),
        }
    };
    requests.finish(orderly);
    sessions.finish();
    Ok(())
}

/// What this worker is.
fn hello() -> Hello {
    Hello {
        protocol: VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uid: rustix::process::geteuid().as_raw(),
        pid: std::process::id(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rplay_protocol::{Call, Object, Run};
    use serde_json::json;

    /// Runs a conversation and gives all replies.
    fn talk(frames: &[Frame]) -> Vec<(u64, Reply, Vec<u8>)> {
        let mut input = Vec::new();
        let exit = Frame::new(0, 0, &Request::Exit, Vec::new()).unwrap();
        for frame in frames.iter().chain([&exit]) {
            frame.write_to(&mut input).unwrap();
        }
        #[derive(Clone, Default)]
        struct Shared(Arc<Mutex<Vec<u8>>>);
        impl Write for Shared {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let output = Shared::default();
        serve(&input[..], output.clone()).unwrap();
        let bytes = output.0.lock().unwrap().clone();
        let mut rest = bytes.strip_prefix(MAGIC).unwrap();
        let mut replies = Vec::new();
        while let Some(frame) = Frame::read_from(&mut rest).unwrap() {
            replies.push((frame.id, frame.decode().unwrap(), frame.payload));
        }
        replies
    }

    fn run(module: &str, calls: &[serde_json::Value]) -> Request {
        let call =
            |args: &serde_json::Value| Call { args: args.as_object().unwrap().clone(), payload: None, stage: None };
        Request::Run(Run {
            module: module.to_owned(),
            calls: calls.iter().map(call).collect(),
            check: false,
            diff: false,
            environment: vec![("COLOUR".into(), "blue".into())],
            stream: false,
        })
    }

    fn result(replies: &[(u64, Reply, Vec<u8>)], id: u64, at: usize) -> Object {
        let found = replies.iter().find_map(|(i, reply, _)| match reply {
            Reply::Item { index, result } if *i == id && *index == at => Some(result.clone()),
            _ => None,
        });
        found.unwrap()
    }

    #[test]
    fn answers_every_call_of_every_request() {
        let shell = json!({"_raw_params": "echo $COLOUR"});
        let frames = [
            Frame::new(1, 0, &run("ansible.builtin.ping", &[json!({}), json!({"data": "x"})]), vec![]).unwrap(),
            Frame::new(2, 0, &run("ansible.builtin.shell", &[shell]), vec![]).unwrap(),
            Frame::new(3, 0, &run("no.such.module", &[json!({})]), vec![]).unwrap(),
        ];
        let replies = talk(&frames);
        assert!(matches!(&replies[0].1, Reply::Hello(hello) if hello.protocol == VERSION));
        assert_eq!(result(&replies, 1, 1)["ping"], "x");
        assert_eq!(result(&replies, 2, 0)["stdout"], "blue");
        assert!(
            replies.iter().any(|(id, r, _)| *id == 3 && matches!(r, Reply::Error { kind, .. } if kind == "module"))
        );
        assert_eq!(replies.iter().filter(|(_, r, _)| matches!(r, Reply::Done)).count(), 2);
    }

    #[test]
    fn bad_arguments_fail_the_call_not_the_worker() {
        let frames = [Frame::new(1, 0, &run("ansible.builtin.ping", &[json!({"dat": 1})]), vec![]).unwrap()];
        let replies = talk(&frames);
        let result = result(&replies, 1, 0);
        assert_eq!(result["failed"], true);
        assert!(result["msg"].as_str().unwrap().contains("dat"), "{result:?}");
    }
}
