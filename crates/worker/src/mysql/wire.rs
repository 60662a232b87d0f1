//! One connection to a server of MySQL or MariaDB: the greeting, the login, and statements whose results are text.

use std::io::{Read, Write};

use super::auth;
use super::error::SqlError;
use crate::stream::{Stream, is_pause};

/// What this client can do: long passwords, protocol 4.1, transactions, the 4.1 login, login plugins.
const CAPABILITIES: u32 = 0x1 | 0x200 | 0x2000 | 0x8000 | 0x8_0000;
/// `utf8mb4_general_ci`.
const CHARSET: u8 = 45;
/// The status in which a backslash in a text is a backslash.
const NO_BACKSLASH_ESCAPES: u16 = 0x200;
/// The longest part of a message.
const PART: usize = 0xff_ffff;
/// More than this is no answer that a module asks for.
const LONGEST: usize = 256 << 20;

/// How to wait: ends the waiting with an error when nobody waits any more.
pub type Waiting<'a> = &'a dyn Fn() -> Result<(), SqlError>;

/// A column of a result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// The number of its type.
    pub kind: u8,
}

/// What came of one statement.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
    /// How many rows were changed, or found.
    pub affected: u64,
}

/// A connection that is logged in.
pub struct Connection {
    stream: Stream,
    sequence: u8,
    status: u16,
    /// The server's version, as it says it.
    pub version: String,
}

impl Connection {
    /// Logs in on a stream that was just opened; `private` says that nobody can listen.
    pub fn start(
        stream: Stream,
        user: &str,
        password: &str,
        database: Option<&str>,
        private: bool,
        waiting: Waiting<'_>,
    ) -> Result<Self, SqlError> {
        let mut connection = Self { stream, sequence: 0, status: 0, version: String::new() };
        let greeting = connection.receive(waiting)?;
        if greeting.first() == Some(&0xff) {
            return Err(SqlError::read(&greeting));
        }
        let greeting = Greeting::read(&greeting).ok_or_else(|| SqlError::odd("its greeting"))?;
        connection.version = greeting.version;
        connection.status = greeting.status;
        let mut out = Vec::new();
        let flags = CAPABILITIES | if database.is_some() { 0x8 } else { 0 };
        out.extend(flags.to_le_bytes());
        out.extend((PART as u32).to_le_bytes());
        out.push(CHARSET);
        out.extend([0; 23]);
        out.extend(user.as_bytes());
        out.push(0);
        let proof = auth::proof(&greeting.plugin, password, &greeting.salt).unwrap_or_default();
        out.push(u8::try_from(proof.len()).map_err(|_| SqlError::odd("its login"))?);
        out.extend(proof);
        if let Some(database) = database {
            out.extend(database.as_bytes());
            out.push(0);
        }
        out.extend(greeting.plugin.as_bytes());
        out.push(0);
        connection.send(&out, waiting)?;
        connection.log_in(greeting.plugin, password, private, waiting)?;
        Ok(connection)
    }

    fn log_in(
        &mut self,
        mut plugin: String,
        password: &str,
        private: bool,
        waiting: Waiting<'_>,
    ) -> Result<(), SqlError> {
        loop {
            let packet = self.receive(waiting)?;
            match packet.split_first() {
                Some((0x00, rest)) => return self.note_status(rest),
                Some((0xff, _)) => return Err(SqlError::read(&packet)),
                Some((0xfe, rest)) => {
                    let mut parts = rest.splitn(2, |byte| *byte == 0);
                    plugin = parts.next().map(text).unwrap_or_default();
                    let rest = parts.next().unwrap_or_default();
                    let salt = rest.strip_suffix(&[0]).unwrap_or(rest);
                    let proof = auth::proof(&plugin, password, salt).ok_or_else(|| SqlError::plugin(&plugin))?;
                    self.send(&proof, waiting)?;
                }
                // caching_sha2_password: known (3), or not known yet (4).
                Some((0x01, [3])) => {}
                Some((0x01, [4])) if private => {
                    let mut clear = password.as_bytes().to_vec();
                    clear.push(0);
                    self.send(&clear, waiting)?;
                }
                Some((0x01, _)) => return Err(SqlError::plugin(&plugin)),
                _ => return Err(SqlError::odd("its answer to the login")),
            }
        }
    }

    /// Whether a backslash in a text is nothing but a backslash.
    pub fn plain_backslashes(&self) -> bool {
        self.status & NO_BACKSLASH_ESCAPES != 0
    }

    /// Carries out a statement.
    pub fn query(&mut self, sql: &str, waiting: Waiting<'_>) -> Result<Reply, SqlError> {
        self.sequence = 0;
        let mut out = vec![0x03];
        out.extend(sql.as_bytes());
        self.send(&out, waiting)?;
        let first = self.receive(waiting)?;
        match first.split_first() {
            Some((0xff, _)) => Err(SqlError::read(&first)),
            Some((0x00, rest)) => {
                let mut rest = Bytes(rest);
                let affected = rest.number().unwrap_or(0);
                rest.number();
                self.status = rest.short().unwrap_or(self.status);
                Ok(Reply { affected, ..Reply::default() })
            }
            Some((0xfb, _)) => Err(SqlError::odd("a request for a file of this side")),
            _ => self.rows(Bytes(&first).number().ok_or_else(|| SqlError::odd("a result"))?, waiting),
        }
    }

    fn rows(&mut self, columns: u64, waiting: Waiting<'_>) -> Result<Reply, SqlError> {
        let mut reply = Reply::default();
        for _ in 0..columns {
            let packet = self.receive(waiting)?;
            reply.columns.push(Column::read(&packet).ok_or_else(|| SqlError::odd("a column"))?);
        }
        self.receive(waiting)?; // the end of the columns
        loop {
            let packet = self.receive(waiting)?;
            match packet.split_first() {
                Some((0xff, _)) => return Err(SqlError::read(&packet)),
                Some((0xfe, rest)) if packet.len() < 9 => {
                    let mut rest = Bytes(rest);
                    rest.short();
                    self.status = rest.short().unwrap_or(self.status);
                    reply.affected = reply.rows.len() as u64;
                    return Ok(reply);
                }
                _ => {
                    let mut bytes = Bytes(&packet);
                    let row = reply.columns.iter().map(|_| bytes.value()).collect::<Option<Vec<_>>>();
                    reply.rows.push(row.ok_or_else(|| SqlError::odd("a row"))?);
                }
            }
        }
    }

    fn note_status(&mut self, ok: &[u8]) -> Result<(), SqlError> {
        let mut rest = Bytes(ok);
        rest.number();
        rest.number();
        self.status = rest.short().unwrap_or(self.status);
        Ok(())
    }

    fn send(&mut self, payload: &[u8], waiting: Waiting<'_>) -> Result<(), SqlError> {
        if payload.len() >= PART {
            return Err(SqlError::Connection("a statement is longer than 16 MiB".to_owned()));
        }
        let mut out = (payload.len() as u32).to_le_bytes();
        out[3] = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        self.write(&[&out[..], payload].concat(), waiting)
    }

    fn write(&mut self, mut bytes: &[u8], waiting: Waiting<'_>) -> Result<(), SqlError> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(SqlError::lost()),
                Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Err(e) if is_pause(&e) => waiting()?,
                Err(e) => return Err(e.into()),
            }
        }
        self.stream.flush().or_else(|e| if is_pause(&e) { Ok(()) } else { Err(e.into()) })
    }

    fn receive(&mut self, waiting: Waiting<'_>) -> Result<Vec<u8>, SqlError> {
        let mut packet = Vec::new();
        loop {
            let mut head = [0; 4];
            self.read(&mut head, waiting)?;
            let [a, b, c, sequence] = head;
            self.sequence = sequence.wrapping_add(1);
            let length = u32::from_le_bytes([a, b, c, 0]) as usize;
            let begun = packet.len();
            if begun + length > LONGEST {
                return Err(SqlError::odd("an answer that is too long"));
            }
            packet.resize(begun + length, 0);
            self.read(packet.get_mut(begun..).unwrap_or_default(), waiting)?;
            if length < PART {
                return Ok(packet);
            }
        }
    }

    fn read(&mut self, mut buffer: &mut [u8], waiting: Waiting<'_>) -> Result<(), SqlError> {
        while !buffer.is_empty() {
            match self.stream.read(buffer) {
                Ok(0) => return Err(SqlError::lost()),
                Ok(n) => buffer = buffer.get_mut(n..).unwrap_or_default(),
                Err(e) if is_pause(&e) => waiting()?,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

/// What a server says first.
#[derive(Debug, PartialEq, Eq)]
struct Greeting {
    version: String,
    salt: Vec<u8>,
    status: u16,
    plugin: String,
}

impl Greeting {
    fn read(packet: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(packet);
        if bytes.take(1)? != [10] {
            return None;
        }
        let version = bytes.until_zero()?;
        // MariaDB puts this before its version, for old replicas.
        let version = version.strip_prefix("5.5.5-").unwrap_or(&version).to_owned();
        bytes.take(4)?;
        let mut salt = bytes.take(8)?.to_vec();
        bytes.take(1 + 2 + 1)?;
        let status = bytes.short()?;
        bytes.take(2)?;
        let length = usize::from(*bytes.take(1)?.first()?);
        bytes.take(10)?;
        let second = bytes.take(length.saturating_sub(8).max(13))?;
        salt.extend(second.strip_suffix(&[0]).unwrap_or(second));
        let plugin = bytes.until_zero().unwrap_or_else(|| text(bytes.0));
        let plugin = if plugin.is_empty() { auth::NATIVE.to_owned() } else { plugin };
        Some(Self { version, salt, status, plugin })
    }
}

impl Column {
    fn read(packet: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(packet);
        for _ in 0..4 {
            bytes.value()?; // catalog, schema, both names of the table
        }
        let name = text(&bytes.value()??);
        bytes.value()?;
        bytes.number()?;
        bytes.take(2 + 4)?;
        Some(Self { name, kind: *bytes.take(1)?.first()? })
    }
}

/// What is left of a message.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(first)
    }

    fn short(&mut self) -> Option<u16> {
        self.take(2).and_then(|b| b.try_into().ok()).map(u16::from_le_bytes)
    }

    /// A number of the length that its first byte tells.
    fn number(&mut self) -> Option<u64> {
        let count = match *self.take(1)?.first()? {
            small @ 0..=0xfa => return Some(u64::from(small)),
            0xfc => 2,
            0xfd => 3,
            0xfe => 8,
            _ => return None,
        };
        let mut wide = [0; 8];
        wide.get_mut(..count)?.copy_from_slice(self.take(count)?);
        Some(u64::from_le_bytes(wide))
    }

    /// A text with its length before it; nothing in it for `NULL`.
    #[allow(clippy::option_option)] // no value, and a value that is NULL
    fn value(&mut self) -> Option<Option<Vec<u8>>> {
        if self.0.first() == Some(&0xfb) {
            self.take(1)?;
            return Some(None);
        }
        let length = usize::try_from(self.number()?).ok()?;
        Some(Some(self.take(length)?.to_vec()))
    }

    fn until_zero(&mut self) -> Option<String> {
        let length = self.0.iter().position(|byte| *byte == 0)?;
        let found = text(self.take(length)?);
        self.take(1)?;
        Some(found)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_read() {
        let mut packet = vec![10];
        packet.extend(b"5.5.5-10.11.6-MariaDB\0\x01\0\0\0abcdefgh\0\xff\xf7\x2d\x02\x02\xff\x81\x15");
        packet.extend([0; 10]);
        packet.extend(b"ijklmnopqrst\0mysql_native_password\0");
        let greeting = Greeting::read(&packet).unwrap();
        assert_eq!(greeting.version, "10.11.6-MariaDB");
        assert_eq!(greeting.salt, b"abcdefghijklmnopqrst");
        assert_eq!((greeting.status, greeting.plugin.as_str()), (0x202, "mysql_native_password"));
        for length in 0..packet.len() - 24 {
            assert_eq!(Greeting::read(&packet[..length]), None, "{length}");
        }
    }

    #[test]
    fn numbers_and_texts_have_lengths() {
        let mut bytes = Bytes(&[5, 0xfc, 1, 2, 0xfd, 1, 0, 1, 2, b'h', b'i', 0xfb, 9]);
        assert_eq!((bytes.number(), bytes.number(), bytes.number()), (Some(5), Some(0x201), Some(0x1_0001)));
        assert_eq!(bytes.value(), Some(Some(b"hi".to_vec())));
        assert_eq!(bytes.value(), Some(None));
        assert_eq!(bytes.value(), None);
    }
}
