//! Logins by password, against a small server of our own: OpenSSH's would need an account with one.

#![allow(clippy::unwrap_used)]

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use russh::keys::{Algorithm, PrivateKey};
use russh::server::{Auth, Config, Handler, PublicKeyOffer, Response, VerifiedPublicKey};
use russh::{MethodKind, MethodSet};

use super::super::{Environment, Pool, SshOptions};
use super::server::refusal;
use crate::connection::ConnectionError;

const RIGHT: &str = "correct horse";

/// Accepts the right password by one method, and notes what it was asked.
#[derive(Clone)]
struct Strict {
    method: MethodKind,
    /// Whether a password alone is not enough: a key has to come first.
    key_first: bool,
    seen: Arc<Mutex<Vec<&'static str>>>,
}

impl Strict {
    fn verdict(&self, method: MethodKind, password: &str) -> Auth {
        self.seen.lock().unwrap().push((&method).into());
        if method == self.method && password == RIGHT { Auth::Accept } else { Auth::reject() }
    }
}

impl Handler for Strict {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, _: &str, _: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(if self.key_first { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        self.seen.lock().unwrap().push("publickey");
        let proceed_with_methods = Some(MethodSet::from([self.method].as_slice()));
        Ok(Auth::Reject { proceed_with_methods, partial_success: true })
    }

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, Self::Error> {
        Ok(self.verdict(MethodKind::Password, password))
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let Some(mut response) = response else {
            let prompts = Cow::Owned(vec![("Password: ".into(), false)]);
            return Ok(Auth::Partial { name: "".into(), instructions: "".into(), prompts });
        };
        let answer = response.next().map(|answer| String::from_utf8_lossy(&answer).into_owned());
        Ok(self.verdict(MethodKind::KeyboardInteractive, &answer.unwrap_or_default()))
    }
}

async fn serve(method: MethodKind, key_first: bool) -> (u16, Strict) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let strict = Strict { method, key_first, seen: Arc::default() };
    let offered = if key_first { MethodKind::PublicKey } else { method };
    let config = Arc::new(Config {
        keys: vec![PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap()],
        methods: MethodSet::from([offered].as_slice()),
        auth_rejection_time: std::time::Duration::ZERO,
        ..Config::default()
    });
    let handler = strict.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let running = russh::server::run_stream(Arc::clone(&config), stream, handler.clone()).await;
            tokio::spawn(async move { running.unwrap().await });
        }
    });
    (port, strict)
}

fn pool(home: &tempfile::TempDir) -> Pool {
    let home = home.path().to_owned();
    Pool::new(Environment {
        user_config: home.join("config"),
        system_config: home.join("no/config"),
        home,
        variables: Default::default(),
        ..Environment::current()
    })
}

fn options(port: u16, password: &str) -> SshOptions {
    SshOptions {
        host: "127.0.0.1".into(),
        port: Some(port),
        user: Some("alice".into()),
        password: Some(password.into()),
        host_key_checking: Some(false),
        ..SshOptions::default()
    }
}

#[tokio::test]
async fn by_either_method() {
    for method in [MethodKind::Password, MethodKind::KeyboardInteractive] {
        let home = tempfile::tempdir().unwrap();
        let (port, strict) = serve(method, false).await;
        pool(&home).connect(&options(port, RIGHT)).await.unwrap();
        let wanted: &str = (&method).into();
        assert_eq!(*strict.seen.lock().unwrap(), [wanted]);
    }
}

#[tokio::test]
async fn a_wrong_one_is_refused_and_not_shown() {
    let home = tempfile::tempdir().unwrap();
    let (port, _) = serve(MethodKind::Password, false).await;
    let error = refusal(&pool(&home), &options(port, "wrong horse")).await;
    assert!(matches!(error, ConnectionError::AuthDenied { .. }), "{error}");
    assert!(error.to_string().contains("tried: password"), "{error}");
    assert!(!format!("{error} {error:?}").contains("wrong horse"), "{error}");
}

#[tokio::test]
async fn a_key_and_then_a_password() {
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("key");
    super::server::keygen(&["-q", "-t", "ed25519", "-N", "", "-f"], &key);
    let (port, strict) = serve(MethodKind::Password, true).await;
    let options = SshOptions { private_key_file: Some(key), ..options(port, RIGHT) };
    pool(&home).connect(&options).await.unwrap();
    assert_eq!(*strict.seen.lock().unwrap(), ["publickey", "password"]);
}

/// `StrictHostKeyChecking=no` goes on with a changed key, but sends no password to whoever that is.
#[tokio::test]
async fn none_is_sent_to_a_changed_host() {
    let home = tempfile::tempdir().unwrap();
    let (port, strict) = serve(MethodKind::Password, false).await;
    let other = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
    let line = format!("[127.0.0.1]:{port} {}\n", other.public_key().to_openssh().unwrap());
    std::fs::create_dir(home.path().join(".ssh")).unwrap();
    std::fs::write(home.path().join(".ssh/known_hosts"), line).unwrap();
    let error = refusal(&pool(&home), &options(port, RIGHT)).await.to_string();
    assert!(error.contains("left out, because the host key has changed"), "{error}");
    assert!(strict.seen.lock().unwrap().is_empty());
}
