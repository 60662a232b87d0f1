//! What commands read and write, and how they end.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::SshOptions;
use super::server::{Server, kill, run};
use crate::connection::{Connection, ConnectionError, ExecOptions, Exit, Process};

const SIZE: usize = 20 * 1024 * 1024;

/// Bytes that do not repeat in step with any packet.
fn noise() -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(SIZE).collect()
}

async fn start(connection: &Connection, command: &str) -> Process {
    connection.exec(command, ExecOptions::default()).await.unwrap()
}

#[tokio::test]
async fn twenty_megabytes_both_ways_at_once() {
    let server = Server::start("");
    let connection = server.connect().await;
    let Process { mut stdin, mut stdout, stderr, exit, handle } = start(&connection, "cat").await;
    drop(stderr);
    let sent = noise();
    let began = Instant::now();
    let write = async {
        stdin.write_all(&sent).await.unwrap();
        stdin.shutdown().await.unwrap();
    };
    let mut received = Vec::with_capacity(SIZE);
    let ((), read) = tokio::join!(write, stdout.read_to_end(&mut received));
    read.unwrap();
    assert!(received == sent, "what came back differs");
    assert_eq!(exit.await.unwrap(), Exit::Code(0));
    drop(handle);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test]
async fn twenty_megabytes_through_a_jump_host() {
    let server = Server::start("");
    server.know();
    let user = server.environment().local_user;
    let second = Server::start("");
    std::fs::copy(server.path("user.pub"), second.path("authorized_keys")).unwrap();
    let options = SshOptions {
        port: Some(second.port),
        args: vec!["-J".into(), format!("{user}@127.0.0.1:{}", server.port)],
        host_key_checking: Some(false),
        ..server.options()
    };
    let connection = server.pool().connect(&options).await.unwrap();
    let Process { mut stdin, mut stdout, stderr: _stderr, exit, handle: _handle } = start(&connection, "cat").await;
    let sent = noise();
    let write = async {
        stdin.write_all(&sent).await.unwrap();
        drop(stdin);
    };
    let mut received = Vec::with_capacity(SIZE);
    let ((), read) = tokio::join!(write, stdout.read_to_end(&mut received));
    read.unwrap();
    assert!(received == sent, "what came back differs");
    assert_eq!(exit.await.unwrap(), Exit::Code(0));
}

/// Output that nobody takes must wait on the server, not pile up here, and other commands must not suffer for long.
#[tokio::test]
async fn a_reader_that_waits_loses_nothing() {
    let server = Server::start("");
    let connection = server.connect().await;
    let mut process = start(&connection, "head -c 20000000 /dev/zero; echo end >&2").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (mut out, mut err) = (Vec::new(), String::new());
    let (read_out, read_err) =
        tokio::join!(process.stdout.read_to_end(&mut out), process.stderr.read_to_string(&mut err));
    read_out.unwrap();
    read_err.unwrap();
    assert_eq!((out.len(), err.as_str()), (20_000_000, "end\n"));
}

#[tokio::test]
async fn codes_and_signals() {
    let server = Server::start("");
    let connection = server.connect().await;
    assert_eq!(run(&connection, "exit 255").await.2.unwrap(), Exit::Code(255));
    let exit = run(&connection, "kill -KILL $$").await.2.unwrap();
    assert_eq!((exit.clone(), exit.code()), (Exit::Signal("KILL".into()), 137));
    assert_eq!(run(&connection, "/no/such/command").await.2.unwrap(), Exit::Code(127));
}

/// A writer that waits for room must hear that the command has gone.
#[tokio::test]
async fn writing_to_a_command_that_ends_is_an_error() {
    let server = Server::start("");
    let connection = server.connect().await;
    let mut process = start(&connection, "sleep 0.1; exit 4").await;
    let sent = noise();
    let writing = tokio::time::timeout(Duration::from_secs(10), process.stdin.write_all(&sent));
    let error = writing.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(process.exit.await.unwrap(), Exit::Code(4));
}

#[tokio::test]
async fn a_dropped_process_and_a_killed_one_end() {
    let server = Server::start("");
    let connection = server.connect().await;
    // `cat` ends when its streams do.
    let mut process = start(&connection, "echo $$; exec cat").await;
    let dropped = read_id(&mut process).await;
    drop(process);
    wait_for_end(dropped).await;

    let mut process = start(&connection, "echo $$; exec cat").await;
    let killed = read_id(&mut process).await;
    process.handle.kill();
    wait_for_end(killed).await;
    // sshd delivers the signal only where it has given up privileges: not for root, whose `cat` sees its input end.
    let exit = process.exit.await;
    assert!(matches!(exit, Ok(Exit::Signal(_) | Exit::Code(0))), "{exit:?}");
    assert_eq!(run(&connection, "echo fine").await.0, "fine\n");
}

async fn read_id(process: &mut Process) -> i32 {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.push(process.stdout.read_u8().await.unwrap());
    }
    String::from_utf8(line).unwrap().trim().parse().unwrap()
}

async fn wait_for_end(id: i32) {
    for _ in 0..500 {
        if !std::path::Path::new(&format!("/proc/{id}")).exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the command still runs");
}

#[tokio::test]
async fn a_server_killed_in_the_middle_is_an_error_at_once() {
    let server = Server::start("");
    let connection = server.connect().await;
    let process = start(&connection, "sleep 300").await;
    for child in server.children() {
        kill(child);
    }
    let exit = tokio::time::timeout(Duration::from_secs(5), process.exit).await.unwrap();
    let error = exit.unwrap_err();
    assert!(matches!(error, ConnectionError::Lost { .. }), "{error}");
    assert!(connection.is_closed());
}

/// A host that dies says nothing: only the keepalive notices.
#[tokio::test]
async fn a_silent_server_is_an_error_within_the_keepalive() {
    let server = Server::start("");
    server.know();
    let mut options = server.options();
    options.args.extend(["-oServerAliveInterval=1".into(), "-oServerAliveCountMax=1".into()]);
    let connection = server.pool().connect(&options).await.unwrap();
    let process = start(&connection, "sleep 300").await;
    let stopped = server.children();
    // The whole line of processes: which of them reads the socket depends on privilege separation.
    let mut all = stopped.clone();
    for id in stopped {
        let below = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        all.extend(below.split_whitespace().map(|id| id.parse::<i32>().unwrap()));
    }
    for id in &all {
        let pid = rustix::process::Pid::from_raw(*id).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    }
    let began = Instant::now();
    let exit = tokio::time::timeout(Duration::from_secs(10), process.exit).await;
    for id in &all {
        kill(*id);
    }
    let error = exit.unwrap().unwrap_err().to_string();
    assert!(error.contains("no longer answers"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn compressed_where_ssh_config_says_so() {
    let server = Server::start("Compression yes");
    server.know();
    server.config("Compression yes\n");
    let connection = server.pool().connect(&server.options()).await.unwrap();
    let (out, ..) = run(&connection, "yes | head -c 3000000").await;
    assert!(out.len() == 3_000_000 && out.starts_with("y\ny\n"));
}
