//! Logins that work.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};

use super::super::SshOptions;
use super::server::{Server, keygen, run};
use crate::connection::{Connection, Exit};

#[tokio::test]
async fn a_key_that_the_inventory_names() {
    let server = Server::start("");
    let connection = server.connect().await;
    let (out, err, exit) = run(&connection, "echo hello; echo oops >&2; exit 3").await;
    assert_eq!((out.as_str(), err.as_str()), ("hello\n", "oops\n"));
    assert_eq!(exit.unwrap(), Exit::Code(3));
    assert!(!connection.is_closed());
    connection.close().await;
    assert!(connection.is_closed());
}

#[tokio::test]
async fn a_default_key_of_every_kind() {
    let server = Server::start("");
    server.know();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let file = server.path(&format!("home/.ssh/id_{kind}"));
        keygen(&["-q", "-t", kind, "-N", "", "-f"], &file);
        std::fs::copy(file.with_extension("pub"), server.path("authorized_keys")).unwrap();
        let options = SshOptions { private_key_file: None, ..server.options() };
        server.pool().connect(&options).await.unwrap();
        std::fs::remove_file(file).unwrap();
    }
}

#[tokio::test]
async fn an_encrypted_key_with_its_passphrase() {
    let server = Server::start("");
    server.know();
    keygen(&["-q", "-p", "-P", "", "-N", "open sesame", "-a", "2", "-f"], &server.path("user"));
    let options = SshOptions { private_key_passphrase: Some("open sesame".into()), ..server.options() };
    server.pool().connect(&options).await.unwrap();
}

#[tokio::test]
async fn certificates_of_user_and_host() {
    let server = Server::start("");
    keygen(&["-q", "-t", "ed25519", "-N", "", "-f"], &server.path("ca"));
    let ca = server.path("ca");
    let ca = ca.to_str().unwrap();
    keygen(&["-q", "-s", ca, "-I", "x", "-h", "-n", "127.0.0.1"], &server.path("host_ed25519.pub"));
    keygen(&["-q", "-s", ca, "-I", "x", "-n", &server.environment().local_user], &server.path("other.pub"));
    let authority = std::fs::read_to_string(server.path("ca.pub")).unwrap();
    std::fs::write(server.path("authorized_keys"), format!("cert-authority {authority}")).unwrap();
    std::fs::write(server.path("home/.ssh/known_hosts"), format!("@cert-authority * {authority}")).unwrap();
    let options = SshOptions { private_key_file: Some(server.path("other")), ..server.options() };
    // The same keys, in a second server that shows the certificate.
    let mut second = Server::start("");
    for name in ["host_ed25519", "host_ed25519-cert.pub", "authorized_keys"] {
        std::fs::copy(server.path(name), second.path(name)).unwrap();
    }
    second.restart(&format!("HostCertificate {}", second.path("host_ed25519-cert.pub").display()));
    let options = SshOptions { port: Some(second.port), ..options };
    server.pool().connect(&options).await.unwrap();
    assert!(second.log().contains("ED25519-CERT"), "{}", second.log());
}

#[tokio::test]
async fn an_agents_key() {
    let server = Server::start("");
    server.know();
    let socket = server.path("agent");
    let mut agent = Command::new("ssh-agent").arg("-Da").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    for _ in 0..200 {
        if socket.exists() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let added = Command::new("ssh-add").arg(server.path("user")).env("SSH_AUTH_SOCK", &socket).output().unwrap();
    let mut environment = server.environment();
    environment.variables.insert("SSH_AUTH_SOCK".into(), socket.to_str().unwrap().into());
    let pool = super::super::Pool::new(environment);
    let options = SshOptions { private_key_file: None, ..server.options() };
    let any_key = pool.connect(&options).await;
    // `IdentitiesOnly` with a public key: the agent signs, and its other keys stay unused.
    let named = SshOptions {
        private_key_file: Some(server.path("user.pub")),
        args: vec!["-oIdentitiesOnly=yes".into()],
        ..server.options()
    };
    let named_key = pool.connect(&named).await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert!(added.status.success(), "{added:?}");
    any_key.unwrap();
    named_key.unwrap();
}

#[tokio::test]
async fn concurrent_callers_share_one_login() {
    let server = Server::start("");
    server.know();
    let (pool, options) = (server.pool(), server.options());
    let callers = (0..20).map(|_| pool.connect(&options));
    for connection in futures::future::join_all(callers).await {
        connection.unwrap();
    }
    assert_eq!(server.accepted(), 1, "{}", server.log());
    // A login that has ended is replaced.
    pool.connect(&options).await.unwrap().close().await;
    pool.connect(&options).await.unwrap();
    assert_eq!(server.logins(), 2);
}

/// Through one jump host, which is managed as well: one TCP connection to it, whatever the order and the spelling.
#[tokio::test]
async fn a_jump_host_is_logged_in_to_once() {
    let bastion = Server::start("");
    let host = Server::start("");
    let mut known = String::new();
    for (server, name) in [(&bastion, "bastion"), (&host, "127.0.0.1")] {
        let key = std::fs::read_to_string(server.path("host_ed25519.pub")).unwrap();
        known.push_str(&format!("[{name}]:{} {key}", server.port));
    }
    std::fs::write(bastion.path("home/.ssh/known_hosts"), known).unwrap();
    let user = bastion.environment().local_user;
    let key = bastion.path("user");
    std::fs::copy(bastion.path("user.pub"), host.path("authorized_keys")).unwrap();
    bastion.config(&format!(
        "Host bastion\n HostName 127.0.0.1\n HostKeyAlias [bastion]:{0}\n Port {0}\nHost *\n IdentityFile {1}\n",
        bastion.port,
        key.display()
    ));
    let pool = bastion.pool();
    let to_host = |alias: &str, args: &[&str]| SshOptions {
        host: "127.0.0.1".into(),
        port: Some(host.port),
        args: args
            .iter()
            .map(|word| (*word).to_owned())
            .chain([format!("-oHostKeyAlias=[127.0.0.1]:{}", host.port), format!("-oSetEnv=N={alias}")])
            .collect(),
        ..SshOptions::default()
    };
    let command = format!("ProxyCommand=ssh -q -W %h:%p -i {} {user}@bastion", key.display());
    let ways: [&[&str]; 4] =
        [&["-J", "bastion"], &["-o", "ProxyJump=bastion"], &["-o", &command], &["-oForwardAgent=no", "-J", "bastion"]];
    let hosts: Vec<SshOptions> =
        ways.iter().enumerate().map(|(index, args)| to_host(&index.to_string(), args)).collect();
    let managed =
        SshOptions { host: "bastion".into(), args: vec!["-J".into(), "bastion".into()], ..SshOptions::default() };
    let connections =
        futures::future::join_all(hosts.iter().chain([&managed]).map(|options| pool.connect(options))).await;
    for connection in connections {
        let connection = connection.unwrap();
        assert_eq!(run(&connection, "echo there").await.0, "there\n");
    }
    assert_eq!(bastion.accepted(), 1, "{}", bastion.log());

    // Ending the jump host's own login must not end those that it carries.
    let through = pool.connect(&hosts[0]).await.unwrap();
    pool.connect(&managed).await.unwrap().close().await;
    assert_eq!(run(&through, "echo still").await.0, "still\n");
}

/// Two hops, the second known only to the first one's network.
#[tokio::test]
async fn a_chain_of_jump_hosts() {
    let server = Server::start("");
    server.know();
    let user = server.environment().local_user;
    let hop = |name: &str| {
        format!("Host {name}\n HostName 127.0.0.1\n Port {}\n HostKeyAlias [127.0.0.1]:{}\n", server.port, server.port)
    };
    let config = format!(
        "{}{}{}Host *\n IdentityFile {}\n User {user}\n",
        hop("one"),
        hop("two"),
        hop("three"),
        server.path("user").display()
    );
    server.config(&format!("Host one\n ProxyJump nobody@two\nHost three\n ProxyJump none\n{config}"));
    let options =
        SshOptions { host: "three".into(), args: vec!["-J".into(), format!("{user}@two")], ..SshOptions::default() };
    let error = server.pool().connect(&options).await;
    // `two` and `three` are the same place here, so this goes straight to it.
    error.unwrap();
    assert_eq!(server.accepted(), 1);

    let second = Server::start("");
    std::fs::copy(server.path("user.pub"), second.path("authorized_keys")).unwrap();
    let third = Server::start("");
    std::fs::copy(server.path("user.pub"), third.path("authorized_keys")).unwrap();
    let hop = |port: u16| format!("{user}@127.0.0.1:{port}");
    let options = SshOptions {
        host: "127.0.0.1".into(),
        port: Some(third.port),
        private_key_file: Some(server.path("user")),
        args: vec!["-J".into(), format!("{},{}", hop(server.port), hop(second.port))],
        host_key_checking: Some(false),
        ..SshOptions::default()
    };
    let connection = server.pool().connect(&options).await.unwrap();
    assert_eq!(run(&connection, "echo far").await.0, "far\n");
    assert_eq!((second.accepted(), third.accepted()), (1, 1));
    let Connection::Ssh(session) = connection else { panic!("not over SSH") };
    let at = session.peer().to_string();
    assert!(at.contains(&format!("via {} via {}", hop(second.port), hop(server.port))), "{at}");
}

#[tokio::test]
async fn any_other_proxy_command_is_a_process() {
    let server = Server::start("");
    server.know();
    let relay = "exec 3<>/dev/tcp/%h/%p; cat <&3 & cat >&3; kill $!";
    let options = SshOptions { args: vec!["-o".into(), format!("ProxyCommand=bash -c '{relay}'")], ..server.options() };
    let connection = server.pool().connect(&options).await.unwrap();
    assert_eq!(run(&connection, "echo hello").await.0, "hello\n");
}

#[tokio::test]
async fn accept_new_writes_the_key_down() {
    let server = Server::start("");
    let mut options = server.options();
    options.args.extend(["-oStrictHostKeyChecking=accept-new".into(), "-oHashKnownHosts=yes".into()]);
    server.pool().connect(&options).await.unwrap();
    let known = std::fs::read_to_string(server.path("home/.ssh/known_hosts")).unwrap();
    assert!(known.starts_with("|1|"), "{known}");
    // Known from now on.
    server.pool().connect(&server.options()).await.unwrap();
}

/// A host known by one type of key must not be taken for changed because it has others as well.
#[tokio::test]
async fn the_known_type_of_key_is_asked_for() {
    let server = Server::start("");
    let key = std::fs::read_to_string(server.path("host_ecdsa.pub")).unwrap();
    std::fs::write(server.path("home/.ssh/known_hosts"), format!("[127.0.0.1]:{} {key}", server.port)).unwrap();
    server.pool().connect(&server.options()).await.unwrap();
}

#[tokio::test]
async fn variables_and_a_terminal() {
    let server = Server::start("AcceptEnv GREETING");
    server.know();
    let mut options = server.options();
    options.args.extend(["-o".into(), "SetEnv=GREETING=hi".into()]);
    let connection = server.pool().connect(&options).await.unwrap();
    assert_eq!(run(&connection, "echo $GREETING").await.0, "hi\n");
    let pty = crate::connection::ExecOptions { pty: true };
    let mut process = connection.exec("tty >/dev/null && echo terminal", pty).await.unwrap();
    let mut out = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut process.stdout, &mut out).await.unwrap();
    assert_eq!(out.trim(), "terminal");
}

/// Many hosts behind one jump host, all at once: one connection to it, and every login arrives.
#[tokio::test(flavor = "multi_thread")]
async fn many_hosts_through_one_jump_host() {
    const HOSTS: usize = 30;
    let bastion = Server::start("");
    bastion.know();
    let host = Server::start("");
    std::fs::copy(bastion.path("user.pub"), host.path("authorized_keys")).unwrap();
    let jump = format!("{}@127.0.0.1:{}", host.environment().local_user, bastion.port);
    let pool = bastion.pool();
    let options = |index: usize| SshOptions {
        port: Some(host.port),
        args: vec![
            "-J".into(),
            jump.clone(),
            format!("-oHostKeyAlias=host{index}"),
            "-oStrictHostKeyChecking=accept-new".into(),
        ],
        ..bastion.options()
    };
    let logins = (0..HOSTS).map(|index| {
        let (pool, options) = (pool.clone(), options(index));
        tokio::spawn(async move {
            let connection = pool.connect(&options).await.unwrap();
            run(&connection, "echo here").await.0
        })
    });
    for login in futures::future::join_all(logins.collect::<Vec<_>>()).await {
        assert_eq!(login.unwrap(), "here\n");
    }
    assert_eq!((bastion.accepted(), host.accepted()), (1, HOSTS));
    let known = std::fs::read_to_string(bastion.path("home/.ssh/known_hosts")).unwrap();
    assert_eq!(known.lines().count(), HOSTS + 1, "{known}");
}
