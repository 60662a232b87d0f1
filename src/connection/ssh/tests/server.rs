//! An unprivileged sshd in a temporary directory.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::super::{Environment, Pool, SshOptions};
use crate::connection::{Connection, ConnectionError, ExecOptions, Exit, Process};

const SSHD: &str = "/usr/sbin/sshd";

/// A running sshd and a home directory to connect from, both gone when dropped.
pub struct Server {
    pub directory: tempfile::TempDir,
    pub port: u16,
    process: Child,
}

impl Server {
    /// Starts an sshd that knows the user's key, with `extra` lines in its configuration.
    pub fn start(extra: &str) -> Self {
        assert!(Path::new(SSHD).exists(), "{SSHD} is missing: apt-get install openssh-server");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        if Environment::current().uid == 0 {
            // sshd insists on it when it runs as root.
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        std::fs::create_dir_all(path.join("home/.ssh")).unwrap();
        for (key, kind) in
            [("host_ed25519", "ed25519"), ("host_ecdsa", "ecdsa"), ("user", "ed25519"), ("other", "ed25519")]
        {
            keygen(&["-q", "-t", kind, "-N", "", "-C", key, "-f"], &path.join(key));
        }
        std::fs::copy(path.join("user.pub"), path.join("authorized_keys")).unwrap();
        let port = free_port();
        let process = spawn(path, port, extra);
        let mut server = Self { directory, port, process };
        if server.wait_until_up() {
            return server;
        }
        // Somebody else took the port in between.
        assert!(server.log().contains("already in use"), "sshd does not start: {}", server.log());
        Self::start(extra)
    }

    /// Starts it anew with the files as they are now and `extra` in its configuration.
    pub fn restart(&mut self, extra: &str) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.process = spawn(self.directory.path(), self.port, extra);
        assert!(self.wait_until_up(), "{}", self.log());
    }

    fn wait_until_up(&mut self) -> bool {
        for _ in 0..500 {
            if self.log().contains("Server listening") {
                return true;
            }
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("sshd does not come up: {}", self.log());
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// How many TCP connections sshd has accepted from a client, whatever came of them.
    pub fn accepted(&self) -> usize {
        self.log().lines().filter(|line| line.starts_with("Connection from")).count()
    }

    /// How many logins it has let in.
    pub fn logins(&self) -> usize {
        self.log().lines().filter(|line| line.starts_with("Accepted publickey for ")).count()
    }

    /// The processes of sshd that serve a connection.
    pub fn children(&self) -> Vec<i32> {
        let path = format!("/proc/{0}/task/{0}/children", self.process.id());
        let children = std::fs::read_to_string(path).unwrap_or_default();
        children.split_whitespace().map(|id| id.parse().unwrap()).collect()
    }

    /// The surroundings of a user without any file but those that the test writes below `home`.
    pub fn environment(&self) -> Environment {
        let home = self.path("home");
        Environment {
            user_config: home.join(".ssh/config"),
            system_config: home.join("no/ssh_config"),
            home,
            variables: HashMap::new(),
            ..Environment::current()
        }
    }

    pub fn pool(&self) -> Pool {
        Pool::new(self.environment())
    }

    /// Makes the host's key known to the user.
    pub fn know(&self) {
        let key = std::fs::read_to_string(self.path("host_ed25519.pub")).unwrap();
        std::fs::write(self.path("home/.ssh/known_hosts"), format!("[127.0.0.1]:{} {key}", self.port)).unwrap();
    }

    pub fn config(&self, text: &str) {
        std::fs::write(self.path("home/.ssh/config"), text).unwrap();
    }

    /// What the inventory says about this server, for a user with the right key.
    pub fn options(&self) -> SshOptions {
        SshOptions {
            host: "127.0.0.1".into(),
            port: Some(self.port),
            private_key_file: Some(self.path("user")),
            args: ["-o", "GlobalKnownHostsFile=none"].map(str::to_owned).to_vec(),
            ..SshOptions::default()
        }
    }

    /// A connection with a known host key.
    pub async fn connect(&self) -> Connection {
        self.know();
        self.pool().connect(&self.options()).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for child in self.children() {
            kill(child);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn kill(id: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(id) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// The commands get a `HOME` of their own, so that no `.bashrc` of whoever runs the tests slows them down.
fn spawn(path: &Path, port: u16, extra: &str) -> Child {
    let directory = path.display();
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {directory}/host_ed25519\nHostKey {directory}/host_ecdsa\n\
         AuthorizedKeysFile {directory}/authorized_keys\nPidFile none\nStrictModes no\nLogLevel VERBOSE\n\
         UsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nMaxStartups 200\nSetEnv HOME={directory}\n{extra}\n"
    );
    std::fs::write(path.join("sshd_config"), config).unwrap();
    Command::new(SSHD)
        .arg("-De")
        .arg("-f")
        .arg(path.join("sshd_config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(path.join("log")).unwrap())
        .spawn()
        .unwrap()
}

/// A port of the loopback that is free, or was a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub fn keygen(args: &[&str], file: &Path) {
    let output = Command::new("ssh-keygen").args(args).arg(file).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Runs a command to its end: standard output, standard error, exit.
pub async fn run(connection: &Connection, command: &str) -> (String, String, Result<Exit, ConnectionError>) {
    let process = connection.exec(command, ExecOptions::default()).await.unwrap();
    let Process { stdin, mut stdout, mut stderr, exit, handle } = process;
    drop(stdin);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (read_out, read_err) = tokio::join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err));
    read_out.unwrap();
    read_err.unwrap();
    let exit = exit.await;
    drop(handle);
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), exit)
}

/// The message of a login that must fail.
pub async fn refusal(pool: &Pool, options: &SshOptions) -> ConnectionError {
    match pool.connect(options).await {
        Ok(_) => panic!("the login succeeds"),
        Err(error) => error,
    }
}
