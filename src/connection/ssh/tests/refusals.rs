//! Logins that fail, each with a message that helps.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::super::SshOptions;
use super::server::{Server, free_port, keygen, refusal};
use crate::connection::ConnectionError;

#[tokio::test]
async fn a_key_that_is_not_accepted() {
    let server = Server::start("");
    server.know();
    let options = SshOptions { private_key_file: Some(server.path("other")), ..server.options() };
    let error = refusal(&server.pool(), &options).await;
    assert!(matches!(error, ConnectionError::AuthDenied { .. }), "{error}");
    let text = error.to_string();
    for part in [server.path("other").to_str().unwrap(), "SHA256:", "publickey", &format!("@127.0.0.1:{}", server.port)]
    {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
}

#[tokio::test]
async fn no_key_and_no_password() {
    let server = Server::start("");
    server.know();
    let options = SshOptions { private_key_file: None, ..server.options() };
    let error = refusal(&server.pool(), &options).await.to_string();
    assert!(error.contains("no key and no password"), "{error}");
}

#[tokio::test]
async fn keys_that_cannot_be_used() {
    let server = Server::start("");
    server.know();
    let pool = server.pool();
    let missing = SshOptions { private_key_file: Some(server.path("missing")), ..server.options() };
    let error = refusal(&pool, &missing).await.to_string();
    assert!(error.contains("does not exist"), "{error}");

    let open = server.path("user");
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o644)).unwrap();
    let error = refusal(&pool, &server.options()).await;
    assert!(matches!(error, ConnectionError::KeyPermissions { mode: 0o644, .. }), "{error}");
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o600)).unwrap();

    keygen(&["-q", "-p", "-P", "", "-N", "secret phrase", "-a", "2", "-f"], &open);
    let pool = server.pool();
    let error = refusal(&pool, &server.options()).await;
    assert!(matches!(error, ConnectionError::KeyEncrypted { .. }), "{error}");
    let wrong = SshOptions { private_key_passphrase: Some("wrong phrase".into()), ..server.options() };
    let error = refusal(&pool, &wrong).await.to_string();
    assert!(error.contains("does not open it") && !error.contains("wrong phrase"), "{error}");
}

#[tokio::test]
async fn unknown_and_changed_host_keys() {
    let server = Server::start("");
    let pool = server.pool();
    let error = refusal(&pool, &server.options()).await;
    assert!(matches!(error, ConnectionError::HostKeyUnknown { .. }), "{error}");
    assert!(error.to_string().contains("SHA256:"), "{error}");

    let other = std::fs::read_to_string(server.path("other.pub")).unwrap();
    let known = server.path("home/.ssh/known_hosts");
    std::fs::write(&known, format!("# old\n[127.0.0.1]:{} {other}", server.port)).unwrap();
    let error = refusal(&pool, &server.options()).await;
    assert!(matches!(error, ConnectionError::HostKeyChanged { .. }), "{error}");
    assert!(error.to_string().contains(&format!("{}:2", known.display())), "{error}");

    // `StrictHostKeyChecking=no` goes on with a key, which cannot be stolen that way.
    let lax = SshOptions { host_key_checking: Some(false), ..server.options() };
    pool.connect(&lax).await.unwrap();
    // … but sends no password.
    let password = SshOptions { private_key_file: None, password: Some("hunter2".into()), ..lax };
    let second = Server::start("");
    let password = SshOptions { port: Some(second.port), ..password };
    let theirs = format!("[127.0.0.1]:{} {other}", second.port);
    std::fs::write(&known, theirs).unwrap();
    let error = refusal(&pool, &password).await.to_string();
    assert!(!error.contains("hunter2"), "{error}");

    std::fs::write(&known, format!("@revoked * {}", std::fs::read_to_string(server.path("host_ed25519.pub")).unwrap()))
        .unwrap();
    let error = refusal(&server.pool(), &server.options()).await;
    assert!(matches!(error, ConnectionError::HostKeyRevoked { .. }), "{error}");
}

#[tokio::test]
async fn names_ports_and_silence() {
    let server = Server::start("");
    let pool = server.pool();
    let unresolved = SshOptions { host: "no-such-host.invalid".into(), ..server.options() };
    let error = refusal(&pool, &unresolved).await;
    assert!(matches!(error, ConnectionError::Resolve { .. }), "{error}");
    let closed = SshOptions { port: Some(free_port()), ..server.options() };
    let error = refusal(&pool, &closed).await;
    assert!(matches!(error, ConnectionError::Refused { .. }), "{error}");

    // A listener whose queue takes the connection and never a word comes.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = Some(silent.local_addr().unwrap().port());
    let options = SshOptions { port, connect_timeout: Some(Duration::from_millis(300)), ..server.options() };
    let error = refusal(&pool, &options).await.to_string();
    assert!(error.contains("banner") && error.contains("0.3 s"), "{error}");
}

/// Serves every connection on a port of the loopback with the same words, and hangs up.
async fn says(words: &'static [u8], count: std::sync::Arc<std::sync::atomic::AtomicUsize>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let _ = stream.write_all(words).await;
        }
    });
    port
}

#[tokio::test]
async fn what_is_no_ssh_server() {
    let server = Server::start("");
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let port = says(b"220 mail.example.org ESMTP\r\n", count.clone()).await;
    let error = refusal(&server.pool(), &SshOptions { port: Some(port), ..server.options() }).await;
    assert!(matches!(&error, ConnectionError::NotSsh { got, .. } if got.contains("ESMTP")), "{error}");

    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let port = says(b"Exceeded MaxStartups\r\n", count.clone()).await;
    let error = refusal(&server.pool(), &SshOptions { port: Some(port), ..server.options() }).await;
    assert!(matches!(error, ConnectionError::ClosedBeforeBanner { attempts: 6, .. }), "{error}");
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 6);
}

#[tokio::test]
async fn no_common_algorithm() {
    let server = Server::start("Ciphers aes128-ctr");
    server.know();
    let mut options = server.options();
    options.args.push("-oCiphers=aes256-gcm@openssh.com".into());
    let error = refusal(&server.pool(), &options).await;
    assert!(matches!(error, ConnectionError::KexMismatch { .. }), "{error}");
    assert!(error.to_string().contains("aes128-ctr"), "{error}");
}

#[tokio::test]
async fn jump_hosts_that_refuse() {
    let server = Server::start("AllowTcpForwarding no");
    server.know();
    let user = server.environment().local_user;
    let through = |args: String, port| SshOptions {
        host: "127.0.0.1".into(),
        port: Some(port),
        args: vec!["-J".into(), args],
        private_key_file: Some(server.path("user")),
        ..SshOptions::default()
    };
    let jump = format!("{user}@127.0.0.1:{}", server.port);
    let error = refusal(&server.pool(), &through(jump.clone(), 9)).await.to_string();
    assert!(error.contains("AllowTcpForwarding") && error.contains(&format!("via {jump}")), "{error}");

    let open = Server::start("");
    open.know();
    std::fs::copy(server.path("user.pub"), open.path("authorized_keys")).unwrap();
    let jump = format!("{user}@127.0.0.1:{}", open.port);
    let error = refusal(&open.pool(), &through(jump, free_port())).await.to_string();
    assert!(error.contains("cannot be connected to"), "{error}");

    let nowhere = format!("{user}@127.0.0.1:{}", free_port());
    let error = refusal(&server.pool(), &through(nowhere, 9)).await;
    assert!(
        matches!(&error, ConnectionError::Bastion { source, .. } if matches!(**source, ConnectionError::Refused { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn a_proxy_command_that_fails() {
    let server = Server::start("");
    let mut options = server.options();
    options.args.push("-oProxyCommand=echo no way >&2; false".into());
    let error = refusal(&server.pool(), &options).await;
    assert!(matches!(&error, ConnectionError::ProxyCommand { cause, .. } if cause == "no way"), "{error}");
}

#[tokio::test]
async fn too_many_keys() {
    let server = Server::start("MaxAuthTries 2");
    server.know();
    let mut options = SshOptions { private_key_file: None, ..server.options() };
    for index in 0..4 {
        let key = server.path(&format!("wrong{index}"));
        keygen(&["-q", "-t", "ed25519", "-N", "", "-f"], &key);
        options.args.push(format!("-i{}", key.display()));
    }
    let error = refusal(&server.pool(), &options).await.to_string();
    assert!(error.contains("Too many authentication failures") && error.contains("IdentitiesOnly"), "{error}");
}

#[tokio::test]
async fn a_command_that_the_server_does_not_run() {
    let server = Server::start("MaxSessions 0");
    let connection = server.connect().await;
    let error = connection.exec("true", Default::default()).await.unwrap_err();
    assert!(matches!(error, ConnectionError::ExecRefused { .. }), "{error}");
}

#[tokio::test]
async fn jump_hosts_in_a_circle() {
    let server = Server::start("");
    server.config("Host a\n ProxyJump b\nHost b\n ProxyJump c\nHost c\n ProxyJump a\n");
    let options = SshOptions { host: "a".into(), ..SshOptions::default() };
    let error = refusal(&server.pool(), &options).await.to_string();
    assert!(error.contains("in a circle on the way to `a`"), "{error}");
}
