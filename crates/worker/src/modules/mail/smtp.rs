//! The dialogue with a mail server.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::Secure;
use crate::stream;

/// Who was refused: the address, the code and the words of the server.
pub(super) type Refused = Vec<(String, u16, String)>;

/// A connection, encrypted or not.
enum Line {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Line {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(buffer),
            Self::Tls(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// A dialogue with a server that has been greeted.
pub(super) struct Session {
    line: BufReader<Line>,
    /// What the server offers.
    offers: Vec<String>,
    server: String,
}

impl Session {
    /// Connects and greets, encrypted as is wanted.
    pub(super) fn open(host: &str, port: u16, secure: Secure, timeout: u64, name: &str) -> Result<Self, String> {
        let server = format!("{host}:{port}");
        let connect = || connect(host, port, timeout).map_err(|e| format!("cannot connect to {server}: {e}"));
        let first = match secure {
            Secure::Always | Secure::Try => encrypt(connect()?, host),
            Secure::Never | Secure::Starttls => Ok(Line::Plain(connect()?)),
        };
        let line = match first {
            Ok(line) => line,
            Err(e) if secure == Secure::Always => {
                return Err(format!("Unable to start an encrypted session to {server}: {e}"));
            }
            Err(_) => Line::Plain(connect()?),
        };
        let mut session = Self { line: BufReader::new(line), offers: Vec::new(), server };
        session.expect("", 220)?;
        session.greet(name)?;
        let offered = session.offers.iter().any(|offer| offer == "STARTTLS");
        if session.encrypted() || secure == Secure::Never || (secure == Secure::Try && !offered) {
            return Ok(session);
        }
        if !offered {
            return Err(format!("StartTLS is not offered on server {}", session.server));
        }
        session.expect("STARTTLS", 220)?;
        let Self { line, server, .. } = session;
        // What came before the encryption counts for nothing.
        if !line.buffer().is_empty() {
            return Err(format!("{server} said more than it was asked before the encryption began"));
        }
        let line = match line.into_inner() {
            Line::Plain(stream) => encrypt(stream, host),
            line @ Line::Tls(_) => Ok(line),
        };
        let line = line.map_err(|e| format!("Unable to start an encrypted session to {server}: {e}"))?;
        let mut session = Self { line: BufReader::new(line), offers: Vec::new(), server };
        session.greet(name)?;
        Ok(session)
    }

    /// Whether nobody can listen.
    pub(super) fn encrypted(&self) -> bool {
        matches!(self.line.get_ref(), Line::Tls(_))
    }

    fn greet(&mut self, name: &str) -> Result<(), String> {
        let said = match self.say(&format!("EHLO {name}"))? {
            (250, said) => said,
            _ => self.expect(&format!("HELO {name}"), 250)?,
        };
        self.offers = said.lines().skip(1).map(|offer| offer.trim().to_uppercase()).collect();
        Ok(())
    }

    /// Logs in by one of the ways that the server offers.
    pub(super) fn log_in(&mut self, user: &str, password: &str) -> Result<(), String> {
        let ways = self.offers.iter().find_map(|offer| offer.strip_prefix("AUTH")).map(ToOwned::to_owned);
        let ways = ways.ok_or_else(|| format!("No Authentication on the server at {}", self.server))?;
        let offered = |way: &str| ways.split([' ', '=']).any(|offered| offered == way);
        let code = if offered("PLAIN") {
            self.say(&format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{user}\0{password}"))))?.0
        } else if offered("LOGIN") {
            self.expect("AUTH LOGIN", 334)?;
            self.expect(&STANDARD.encode(user), 334)?;
            self.say(&STANDARD.encode(password))?.0
        } else {
            let msg = "No suitable authentication method was found: the server has neither PLAIN nor LOGIN at";
            return Err(format!("{msg} {}", self.server));
        };
        if code == 235 {
            return Ok(());
        }
        let advice = "please check your username and/or password";
        Err(format!("Authentication to {} failed, {advice} (code {code})", self.server))
    }

    /// Sends a mail; says who was refused, which is an error where nobody was taken.
    pub(super) fn send(mut self, sender: &str, recipients: &[String], message: &[u8]) -> Result<Refused, String> {
        self.expect(&format!("MAIL FROM:<{sender}>"), 250)?;
        let mut refused = Refused::new();
        for who in recipients {
            let (code, said) = self.say(&format!("RCPT TO:<{who}>"))?;
            if !(250..260).contains(&code) {
                refused.push((who.clone(), code, said.trim().to_owned()));
            }
        }
        if refused.len() == recipients.len() {
            let said: Vec<String> = refused.iter().map(|(who, code, said)| format!("{who}: {code} {said}")).collect();
            return Err(format!("Failed to send mail to '{}': {}", recipients.join(", "), said.join(", ")));
        }
        self.expect("DATA", 354)?;
        let mut out = Vec::with_capacity(message.len() + 5);
        for line in message.split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(b".") {
                out.push(b'.');
            }
            out.extend_from_slice(line);
        }
        out.extend_from_slice(b".\r\n");
        self.write(&out)?;
        let (code, said) = self.answer()?;
        if code != 250 {
            return Err(format!("Failed to send mail to '{}': {code} {}", recipients.join(", "), said.trim()));
        }
        // It has the mail, whatever it says to this.
        let _ = self.say("QUIT");
        Ok(refused)
    }

    fn expect(&mut self, command: &str, wanted: u16) -> Result<String, String> {
        let (code, said) = if command.is_empty() { self.answer()? } else { self.say(command)? };
        if code == wanted {
            return Ok(said);
        }
        let word = command.split(' ').next().unwrap_or_default();
        Err(format!("{} answered {word} with {code} {}", self.server, said.trim()))
    }

    fn say(&mut self, command: &str) -> Result<(u16, String), String> {
        self.write(format!("{command}\r\n").as_bytes())?;
        self.answer()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let line = self.line.get_mut();
        line.write_all(bytes).and_then(|()| line.flush()).map_err(|e| format!("cannot write to {}: {e}", self.server))
    }

    /// An answer of one or more lines: the code, and the words.
    fn answer(&mut self) -> Result<(u16, String), String> {
        let mut said = String::new();
        loop {
            let mut line = Vec::new();
            // No server has lines of a megabyte, nor that many.
            let read = (&mut self.line).take(1 << 20).read_until(b'\n', &mut line);
            read.map_err(|e| format!("cannot read from {}: {e}", self.server))?;
            let line = String::from_utf8_lossy(&line).into_owned();
            let code: u16 = line.get(..3).and_then(|code| code.parse().ok()).unwrap_or_default();
            if code == 0 || said.len() > 1 << 20 {
                return Err(format!("{} does not speak SMTP", self.server));
            }
            said.push_str(line.get(4..).unwrap_or_default().trim_end());
            said.push('\n');
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok((code, said));
            }
        }
    }
}

fn connect(host: &str, port: u16, timeout: u64) -> io::Result<TcpStream> {
    let timeout = Duration::from_secs(timeout.max(1));
    let stream = stream::tcp_by_name(host, port, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    Ok(stream)
}

/// Begins to encrypt a connection.
fn encrypt(mut stream: TcpStream, host: &str) -> Result<Line, String> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|e| e.to_string())?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(|e| e.to_string())?;
    }
    Ok(Line::Tls(Box::new(StreamOwned::new(connection, stream))))
}

/// Takes every certificate, as mail servers and the reference do: hosts send to their own server, which signed its own.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
