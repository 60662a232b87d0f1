//! Getting a connection: one place after another, with or without TLS.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use super::error::SqlError;
use super::login::{Place, Target, Wanted, socket_name};
use super::tls::SslMode;
use super::wire::Connection;
use crate::host::Host;
use crate::stream::{self, Stream, is_pause};

/// How long to wait for a host that does not answer when nobody says.
const PATIENCE: Duration = Duration::from_secs(120);

/// The first place that lets the user in, or why none does.
pub fn connect(host: &Host, target: &Target) -> Result<Connection, String> {
    let mut complaints = String::new();
    for (place, port) in &target.places {
        let attempt = Attempt { host, target, place, port: *port };
        match attempt.made() {
            Ok(connection) => return Ok(connection),
            Err(why) => complaints.push_str(&why),
        }
    }
    Err(complaints)
}

struct Attempt<'a> {
    host: &'a Host,
    target: &'a Target,
    place: &'a Place,
    port: u16,
}

impl Attempt<'_> {
    fn made(&self) -> Result<Connection, String> {
        let mut connection = match self.place {
            Place::Socket(dir) => self.by_socket(dir)?,
            Place::Host(name) => self.by_host(name)?,
        };
        match self.unfit(&mut connection) {
            Ok(None) => Ok(connection),
            Ok(Some(why)) => Err(self.failed(why)),
            Err(error) => Err(self.told(&error)),
        }
    }

    fn by_socket(&self, dir: &str) -> Result<Connection, String> {
        let path = Path::new(dir).join(socket_name(self.port));
        let stream = stream::unix(&path).map_err(|e| {
            let reason = reason(&e);
            let question = "Is the server running locally and accepting connections on that socket?";
            self.failed(&format!("{reason}\n\t{question}\n"))
        })?;
        self.start(Stream::Unix(stream))
    }

    fn by_host(&self, name: &str) -> Result<Connection, String> {
        match self.target.tls.mode {
            SslMode::Disable => self.plain(name),
            SslMode::Allow => self.plain(name).or_else(|why| self.encrypted(name).map_err(|_| why)),
            // A server that takes no encryption is talked to without; what else goes wrong may go well without, too.
            SslMode::Prefer => {
                self.encrypted(name).or_else(|first| match first.contains(" failed: ") && !is_final(&first) {
                    true => self.plain(name).map_err(|second| first + &second),
                    false => Err(first),
                })
            }
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => self.encrypted(name),
        }
    }

    fn plain(&self, name: &str) -> Result<Connection, String> {
        self.start(Stream::Tcp(self.tcp(name)?))
    }

    fn encrypted(&self, name: &str) -> Result<Connection, String> {
        let mut stream = self.tcp(name)?;
        let mut out = BytesMut::new();
        frontend::ssl_request(&mut out);
        let broken = |e: std::io::Error| self.failed(&format!("{e}\n"));
        stream.write_all(&out).map_err(broken)?;
        let mut answer = [0];
        let deadline = Instant::now() + self.target.timeout.unwrap_or(PATIENCE);
        loop {
            match stream.read(&mut answer) {
                Ok(1) => break,
                Ok(_) => return Err(self.failed("server closed the connection unexpectedly\n")),
                Err(e) if is_pause(&e) && Instant::now() < deadline && !self.host.is_cancelled() => {}
                Err(e) => return Err(broken(e)),
            }
        }
        match answer {
            [b'S'] => {
                let stream = self
                    .target
                    .tls
                    .connect(name, stream)
                    .map_err(|why| self.failed(&format!("{}\n", why.trim_end())))?;
                self.start(Stream::Tls(Box::new(stream)))
            }
            _ if self.target.tls.mode <= SslMode::Prefer => self.start(Stream::Tcp(stream)),
            _ => Err(self.failed("server does not support SSL, but SSL was required\n")),
        }
    }

    fn tcp(&self, name: &str) -> Result<TcpStream, String> {
        let asked = self.target.address.as_deref().unwrap_or(name);
        let addresses = (asked, self.port).to_socket_addrs();
        let addresses = addresses
            .map_err(|_| format!("could not translate host name \"{name}\" to address: Name or service not known\n"))?;
        let mut complaints = String::new();
        for address in addresses {
            match stream::tcp(&address, self.target.timeout.unwrap_or(PATIENCE)) {
                Ok(stream) => return Ok(stream),
                Err(e) => {
                    let ip = address.ip().to_string();
                    let shown = if ip == name { String::new() } else { format!(" ({ip})") };
                    complaints.push_str(&format!(
                        "connection to server at \"{name}\"{shown}, port {} failed: {}\n\tIs the server running on that \
                         host and accepting TCP/IP connections?\n",
                        self.port,
                        reason(&e)
                    ));
                }
            }
        }
        Err(complaints)
    }

    fn start(&self, stream: Stream) -> Result<Connection, String> {
        let deadline = self.target.timeout.map(|timeout| Instant::now() + timeout);
        let waiting = || {
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                return Err(SqlError::Connection("timeout expired\n".to_owned()));
            }
            super::still_wanted(self.host)
        };
        let password = self.target.password.as_deref();
        Connection::start(stream, &self.target.startup, password, &waiting).map_err(|error| self.told(&error))
    }

    /// Why the server is not one that is wanted.
    fn unfit(&self, connection: &mut Connection) -> Result<Option<&'static str>, SqlError> {
        let waiting = || super::still_wanted(self.host);
        let mut asked = |sql: &str| -> Result<bool, SqlError> {
            let reply = connection.query(sql, &waiting)?.pop();
            Ok(reply.and_then(|r| r.rows.first()?.get(0).map(|v| v == "on" || v == "t")).unwrap_or_default())
        };
        const READ_ONLY: &str = "SHOW transaction_read_only";
        const RECOVERY: &str = "SELECT pg_is_in_recovery()";
        Ok(match self.target.wanted {
            Wanted::ReadWrite if asked(READ_ONLY)? => Some("session is read-only\n"),
            Wanted::ReadOnly if !asked(READ_ONLY)? => Some("session is not read-only\n"),
            Wanted::Primary if asked(RECOVERY)? => Some("server is in hot standby mode\n"),
            Wanted::Standby if !asked(RECOVERY)? => Some("server is not in hot standby mode\n"),
            _ => None,
        })
    }

    fn told(&self, error: &SqlError) -> String {
        match error {
            SqlError::Server(error) => self.failed(&format!("{}:  {}", error.severity, error.text())),
            SqlError::Connection(why) => self.failed(&format!("{}\n", why.trim_end())),
        }
    }

    fn failed(&self, why: &str) -> String {
        match self.place {
            Place::Socket(dir) => {
                let path = Path::new(dir).join(socket_name(self.port));
                format!("connection to server on socket \"{}\" failed: {why}", path.display())
            }
            Place::Host(name) => format!("connection to server at \"{name}\", port {} failed: {why}", self.port),
        }
    }
}

/// Whether a complaint is one that another way of talking makes no difference to: nobody answers, or no password is there.
fn is_final(complaint: &str) -> bool {
    ["Is the server running on that host", "no password supplied"].iter().any(|words| complaint.contains(words))
}

/// What the system says, without its number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
