//! A worker as it is started on a host, under conditions that are not kind: it is killed in the middle of a write, and
//! given files that are longer than its memory should be.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rplay_protocol::{CHUNK, Call, Frame, MAGIC, Object, Reply, Request, Run};
use serde_json::{Value, json};

/// A worker in a process of its own, spoken to as the controller does.
struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl Worker {
    fn start(temporary: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rplay"))
            .arg("worker")
            .env("TMPDIR", temporary)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, mut output) = (child.stdin.take(), child.stdout.take().unwrap());
        let mut magic = [0; 8];
        output.read_exact(&mut magic).unwrap();
        assert_eq!(&magic, MAGIC);
        let hello = Frame::read_from(&mut output).unwrap().unwrap();
        assert!(matches!(hello.decode().unwrap(), Reply::Hello(_)));
        Self { child, input, output }
    }

    /// Sends a call, its content before it; a worker that is killed meanwhile does not take it.
    fn send(&mut self, module: &str, args: &Value, content: Option<&mut dyn Read>) -> std::io::Result<()> {
        let mut input = self.input.as_ref().unwrap();
        let mut send = |request: &Request, payload: Vec<u8>| {
            input.write_all(&Frame::new(1, 0, request, payload).unwrap().to_bytes().unwrap())
        };
        let stage = content.is_some().then_some(7);
        if let Some(content) = content {
            loop {
                let mut piece = Vec::new();
                content.take(CHUNK as u64).read_to_end(&mut piece)?;
                if piece.is_empty() {
                    break;
                }
                send(&Request::Stage { stage: 7 }, piece)?;
            }
        }
        let call = Call { args: args.as_object().unwrap().clone(), payload: None, stage };
        let run = Run {
            module: module.to_owned(),
            calls: vec![call],
            check: false,
            diff: true,
            environment: Vec::new(),
            stream: false,
        };
        send(&Request::Run(run), Vec::new())
    }

    /// Waits for the result; how much content came with it is told too.
    fn result(&mut self) -> (Object, usize) {
        let mut content = 0;
        let mut found = None;
        loop {
            let frame = Frame::read_from(&mut self.output).unwrap().expect("the worker is gone");
            content += frame.payload.len();
            match frame.decode::<Reply>().unwrap() {
                Reply::Item { result, .. } => found = Some(result),
                Reply::Done => return (found.unwrap(), content),
                Reply::Error { message, .. } => panic!("{message}"),
                _ => {}
            }
        }
    }

    fn call(&mut self, module: &str, args: &Value, content: Option<&mut dyn Read>) -> (Object, usize) {
        self.send(module, args, content).unwrap();
        let (result, content) = self.result();
        assert_ne!(result.get("failed"), Some(&json!(true)), "{module}: {result:?}");
        (result, content)
    }

    /// The most memory that it ever had, in megabytes.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    fn end(mut self) {
        drop(self.input.take());
        self.child.wait().unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory with a place for files and one for the worker's own.
struct Field {
    dir: tempfile::TempDir,
}

impl Field {
    fn new() -> Self {
        let field = Self { dir: tempfile::tempdir().unwrap() };
        for name in ["files", "tmp"] {
            fs::create_dir(field.dir.path().join(name)).unwrap();
        }
        field
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("files").join(name)
    }

    fn tmp(&self) -> PathBuf {
        self.dir.path().join("tmp")
    }

    /// The names of all files.
    fn names(&self) -> BTreeSet<String> {
        ["files", "tmp"]
            .iter()
            .flat_map(|name| fs::read_dir(self.dir.path().join(name)).unwrap())
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

/// Lines with a number each.
fn lines(count: usize) -> String {
    (0..count).map(|number| format!("key{number} = a value of some length, number {number}\n")).collect()
}

/// Kills a worker at moments spread over the time that a call takes; the file is the old one or the new one, and the next
/// run brings the new one about and leaves nothing else behind.
fn is_never_half_done(module: &str, args: &Value, content: Option<&str>) {
    const ROUNDS: u32 = 12;
    let field = Field::new();
    let target = field.file("target");
    let old = lines(15_000);
    let mut args = args.clone();
    args.as_object_mut().unwrap().entry("path").or_insert(json!(target));
    if content.is_some() || args.get("url").is_some() {
        args.as_object_mut().unwrap().shift_remove("path");
        args["dest"] = json!(target);
    }
    let send = |worker: &mut Worker| {
        let mut bytes = content.unwrap_or_default().as_bytes();
        worker.send(module, &args, content.is_some().then_some(&mut bytes as &mut dyn Read))
    };
    fs::write(&target, &old).unwrap();
    let mut worker = Worker::start(&field.tmp());
    let began = Instant::now();
    send(&mut worker).unwrap();
    let (result, _) = worker.result();
    let takes = began.elapsed();
    assert_eq!(result["changed"], true, "{module}: {result:?}");
    worker.end();
    let new = fs::read_to_string(&target).unwrap();
    assert_ne!(new, old);
    let mut killed = 0;
    for round in 0..ROUNDS {
        fs::write(&target, &old).unwrap();
        let mut worker = Worker::start(&field.tmp());
        let began = Instant::now();
        let moment = takes * round / ROUNDS;
        std::thread::scope(|scope| {
            let id = worker.child.id();
            scope.spawn(move || {
                std::thread::sleep(moment.saturating_sub(began.elapsed()));
                let pid = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            });
            // The worker may be gone before it has taken everything.
            let _ = send(&mut worker);
        });
        worker.child.wait().unwrap();
        let found = fs::read_to_string(&target).unwrap();
        assert!(found == old || found == new, "{module}: a mix after {moment:?}, {} bytes", found.len());
        killed += u32::from(found == old);
        let mut worker = Worker::start(&field.tmp());
        send(&mut worker).unwrap();
        let (result, _) = worker.result();
        assert_eq!(result["changed"], found == old, "{module}: {result:?}");
        worker.end();
        assert_eq!(fs::read_to_string(&target).unwrap(), new);
        let left = field.names();
        assert_eq!(left.iter().collect::<Vec<_>>(), ["target"], "{module}: left after {moment:?}");
    }
    assert!(killed > 0, "{module}: nothing was killed in time");
}

#[test]
fn a_killed_copy_leaves_the_old_file_or_the_new_one() {
    is_never_half_done("ansible.builtin.copy", &json!({}), Some(&lines(25_000)));
}

#[test]
fn a_killed_edit_leaves_the_old_file_or_the_new_one() {
    is_never_half_done("ansible.builtin.lineinfile", &json!({"regexp": "^key7 =", "line": "key7 = 7"}), None);
    is_never_half_done("ansible.builtin.blockinfile", &json!({"block": "one\ntwo"}), None);
}

#[test]
fn a_killed_replacement_leaves_the_old_file_or_the_new_one() {
    is_never_half_done("ansible.builtin.replace", &json!({"regexp": "value", "replace": "price"}), None);
    let ini = json!({"section": "s", "option": "o", "value": "v"});
    is_never_half_done("community.general.ini_file", &ini, None);
}

#[test]
fn a_killed_download_leaves_the_old_file_or_the_new_one() {
    let server = Server::start(lines(25_000).into_bytes());
    is_never_half_done("ansible.builtin.get_url", &json!({"url": server.url, "force": true}), None);
}

/// A web server that gives one content to whoever asks.
struct Server {
    url: String,
}

impl Server {
    fn start(content: Vec<u8>) -> Self {
        Self::of(content.len() as u64, move |stream| stream.write_all(&content))
    }

    fn of(len: u64, write: impl Fn(&mut dyn Write) -> std::io::Result<()> + Send + 'static) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read(&mut byte).unwrap_or(0) == 0 {
                        break;
                    }
                    request.push(byte[0]);
                }
                // A killed worker does not read to the end.
                let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n")
                    .and_then(|()| write(&mut stream));
            }
        });
        Self { url }
    }
}

/// Length of the long files, in megabytes; `RPLAY_LONG_FILE` names another.
fn long() -> u64 {
    std::env::var("RPLAY_LONG_FILE").ok().and_then(|text| text.parse().ok()).unwrap_or(96)
}

/// What a worker may have of memory, in megabytes, however long the files are.
const MOST: u64 = 40;

#[test]
fn long_files_take_little_memory() {
    let field = Field::new();
    let len = long() << 20;
    let source = field.file("source");
    File::create(&source).unwrap().set_len(len).unwrap();
    let mut worker = Worker::start(&field.tmp());
    let began = worker.peak();
    let seen = |worker: &Worker, what: &str| {
        let peak = worker.peak();
        assert!(peak < MOST, "{what} of {} MB took {peak} MB, {began} MB before it", long());
    };
    let (stat, _) = worker.call("ansible.builtin.stat", &json!({"path": source}), None);
    assert_eq!(stat["stat"]["size"], len);
    seen(&worker, "stat");
    let (fetched, content) = worker.call("ansible.builtin._fetch", &json!({"src": source}), None);
    assert_eq!((content as u64, &fetched["checksum"]), (len, &stat["stat"]["checksum"]));
    seen(&worker, "fetch");
    let dest = field.file("dest");
    let args = json!({"src": source, "dest": dest, "remote_src": true});
    let (copied, _) = worker.call("ansible.builtin.copy", &args, None);
    assert_eq!((&copied["changed"], fs::metadata(&dest).unwrap().len()), (&json!(true), len));
    seen(&worker, "copy on the host");
    fs::write(&dest, "old").unwrap();
    let mut zeros = std::io::repeat(0).take(len);
    let (copied, _) = worker.call("ansible.builtin.copy", &json!({"dest": dest}), Some(&mut zeros));
    assert_eq!((&copied["checksum"], fs::metadata(&dest).unwrap().len()), (&stat["stat"]["checksum"], len));
    seen(&worker, "copy from the controller");
    fs::write(&dest, "old").unwrap();
    let server = Server::of(len, move |stream| {
        let piece = vec![0; 1 << 20];
        (0..len >> 20).try_for_each(|_| stream.write_all(&piece))
    });
    let args = json!({"url": server.url, "dest": dest, "force": true});
    let (got, _) = worker.call("ansible.builtin.get_url", &args, None);
    assert_eq!((&got["checksum_src"], fs::metadata(&dest).unwrap().len()), (&stat["stat"]["checksum"], len));
    seen(&worker, "get_url");
    worker.end();
    assert_eq!(field.names().iter().collect::<Vec<_>>(), ["dest", "source"]);
}

#[test]
fn edits_take_time_in_proportion() {
    let field = Field::new();
    let path = field.file("target");
    let mut worker = Worker::start(&field.tmp());
    let calls = [
        ("ansible.builtin.lineinfile", json!({"regexp": "^key7 =", "line": "key7 = 7"})),
        ("ansible.builtin.lineinfile", json!({"regexp": "number", "state": "absent"})),
        ("ansible.builtin.lineinfile", json!({"line": "new", "insertafter": "^key7 ="})),
        ("ansible.builtin.blockinfile", json!({"block": lines(500), "insertbefore": "^key7 ="})),
        ("ansible.builtin.replace", json!({"regexp": "value", "replace": "price"})),
        ("ansible.builtin.replace", json!({"regexp": "(\\w+) = (.*)$", "replace": "\\2 = \\1", "after": "key3"})),
        ("community.general.ini_file", json!({"section": "s", "option": "o", "value": "v"})),
    ];
    for (module, mut args) in calls {
        args["path"] = json!(path);
        let mut takes = |count: usize| {
            let text = lines(count);
            let once = |_| {
                fs::write(&path, &text).unwrap();
                let began = Instant::now();
                let (result, _) = worker.call(module, &args, None);
                assert_eq!(result["changed"], true);
                began.elapsed()
            };
            // The machine may be busy with other things.
            (0..2).map(once).min().unwrap()
        };
        // Five times the lines: five times the time, where it is in proportion, twenty-five times where it is not.
        let (short, long) = (takes(20_000), takes(100_000));
        assert!(long < short * 12 + Duration::from_millis(50), "{module} {args}: {short:?}, then {long:?}");
    }
    worker.end();
}
