//! One connection: startup, authentication, and statements by the simple protocol, whose results are text.
//!
//! The protocol's messages and its password exchange are those of `postgres-protocol`. The client built upon it,
//! `tokio-postgres`, tells neither a command's tag nor the types of columns that come as text, and modules return both.

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::backend::{DataRowBody, Message, RowDescriptionBody};
use postgres_protocol::message::frontend;

use super::error::{ServerError, SqlError};
use crate::stream::{Stream, is_pause};

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The number of its type.
    pub kind: u32,
}

/// A row of a result: values as text, with their columns.
#[derive(Debug, Clone)]
pub struct Row {
    /// The columns, shared by the rows.
    pub columns: Arc<Vec<Column>>,
    /// The values, or nothing for `NULL`.
    pub values: Vec<Option<String>>,
}

impl Row {
    /// The value of a column, counted from 0.
    pub fn get(&self, index: usize) -> Option<&str> {
        self.values.get(index)?.as_deref()
    }

    /// The value of a column, empty for `NULL`.
    pub fn text(&self, index: usize) -> String {
        self.get(index).unwrap_or_default().to_owned()
    }

    /// Whether a column is true.
    pub fn is_true(&self, index: usize) -> bool {
        self.get(index) == Some("t")
    }
}

/// What came of one statement.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// What was done, as `INSERT 0 1`.
    pub tag: String,
    /// The rows that came.
    pub rows: Vec<Row>,
    /// Whether the statement can give rows at all.
    pub has_rows: bool,
    /// Why its rows cannot be told, when it copies.
    pub copies: Option<&'static str>,
}

impl Reply {
    /// Whether there was no statement at all, only comments.
    pub fn is_nothing(&self) -> bool {
        self.tag.is_empty() && !self.has_rows
    }

    /// How many rows were told of, or touched; nothing when the command does not say.
    pub fn count(&self) -> Option<u64> {
        self.tag.rsplit(' ').next()?.parse().ok()
    }
}

/// How to wait: ends the waiting with an error when nobody waits any more.
pub type Waiting<'a> = &'a dyn Fn() -> Result<(), SqlError>;

/// A connection to a server.
pub struct Connection {
    stream: Stream,
    buffer: BytesMut,
    encoding: &'static encoding_rs::Encoding,
    /// Whether the server has begun a transaction that it has not ended: its letter in `ReadyForQuery`.
    pub status: u8,
}

impl Connection {
    /// Says hello and proves who the user is.
    pub fn start(
        stream: Stream,
        parameters: &[(String, String)],
        password: Option<&str>,
        waiting: Waiting<'_>,
    ) -> Result<Self, SqlError> {
        let of = |name: &str| parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let encoding = of("client_encoding").and_then(|name| encoding_rs::Encoding::for_label(name.as_bytes()));
        let user = of("user").unwrap_or_default().to_owned();
        let encoding = encoding.unwrap_or(encoding_rs::UTF_8);
        let mut connection = Self { stream, buffer: BytesMut::new(), encoding, status: b'I' };
        let mut out = BytesMut::new();
        frontend::startup_message(parameters.iter().map(|(n, v)| (n.as_str(), v.as_str())), &mut out)?;
        connection.send(&out, waiting)?;
        connection.authenticate(&user, password, waiting)?;
        // What is read and written here counts on these two.
        let mut settings = Vec::new();
        loop {
            match connection.next(waiting)? {
                Message::ReadyForQuery(ready) => {
                    connection.status = ready.status();
                    break;
                }
                Message::ParameterStatus(body) => match (body.name()?, body.value()?) {
                    ("DateStyle", style) if !style.starts_with("ISO") => settings.push("SET DateStyle TO 'ISO'"),
                    ("standard_conforming_strings", "off") => settings.push("SET standard_conforming_strings TO on"),
                    _ => {}
                },
                Message::ErrorResponse(body) => return Err(server(body.fields(), "")),
                _ => {}
            }
        }
        if !settings.is_empty() {
            connection.query(&settings.join("; "), waiting)?;
        }
        Ok(connection)
    }

    fn authenticate(&mut self, user: &str, password: Option<&str>, waiting: Waiting<'_>) -> Result<(), SqlError> {
        let given = || password.ok_or_else(|| SqlError::Connection("fe_sendauth: no password supplied\n".to_owned()));
        loop {
            match self.next(waiting)? {
                Message::AuthenticationOk => return Ok(()),
                Message::AuthenticationCleartextPassword => self.password(given()?.as_bytes(), waiting)?,
                Message::AuthenticationMd5Password(body) => {
                    let hash = md5_hash(user.as_bytes(), given()?.as_bytes(), body.salt());
                    self.password(hash.as_bytes(), waiting)?;
                }
                Message::AuthenticationSasl(body) => {
                    let mut mechanisms = body.mechanisms();
                    let mut known = false;
                    while let Some(name) = mechanisms.next()? {
                        known |= name == sasl::SCRAM_SHA_256;
                    }
                    if !known {
                        let why = "none of the server's SASL authentication mechanisms are supported\n";
                        return Err(SqlError::Connection(why.to_owned()));
                    }
                    self.scram(given()?, waiting)?;
                }
                Message::ErrorResponse(body) => return Err(server(body.fields(), "")),
                Message::NoticeResponse(_) => {}
                _ => {
                    let why = "the server asks for a kind of authentication that is not built in (GSSAPI, SSPI or Kerberos)\n";
                    return Err(SqlError::Connection(why.to_owned()));
                }
            }
        }
    }

    fn password(&mut self, password: &[u8], waiting: Waiting<'_>) -> Result<(), SqlError> {
        let mut out = BytesMut::new();
        frontend::password_message(password, &mut out)?;
        self.send(&out, waiting)
    }

    fn scram(&mut self, password: &str, waiting: Waiting<'_>) -> Result<(), SqlError> {
        let mut scram = sasl::ScramSha256::new(password.as_bytes(), sasl::ChannelBinding::unsupported());
        let mut out = BytesMut::new();
        frontend::sasl_initial_response(sasl::SCRAM_SHA_256, scram.message(), &mut out)?;
        self.send(&out, waiting)?;
        loop {
            match self.next(waiting)? {
                Message::AuthenticationSaslContinue(body) => {
                    scram.update(body.data())?;
                    let mut out = BytesMut::new();
                    frontend::sasl_response(scram.message(), &mut out)?;
                    self.send(&out, waiting)?;
                }
                Message::AuthenticationSaslFinal(body) => return Ok(scram.finish(body.data())?),
                Message::ErrorResponse(body) => return Err(server(body.fields(), "")),
                Message::NoticeResponse(_) => {}
                _ => return Err(SqlError::Connection("the server left the password exchange\n".to_owned())),
            }
        }
    }

    /// Carries out statements and gives what came of each.
    pub fn query(&mut self, sql: &str, waiting: Waiting<'_>) -> Result<Vec<Reply>, SqlError> {
        let mut out = BytesMut::new();
        self.write_query(sql, &mut out)?;
        self.send(&out, waiting)?;
        let mut replies = Vec::new();
        let mut reply = Reply::default();
        let mut columns = Arc::new(Vec::new());
        let mut error = None;
        loop {
            match self.next(waiting)? {
                Message::RowDescription(body) => {
                    columns = Arc::new(described(&body)?);
                    reply.has_rows = true;
                }
                Message::DataRow(body) => {
                    let values = self.values(&body)?;
                    reply.rows.push(Row { columns: columns.clone(), values });
                }
                Message::CommandComplete(body) => {
                    reply.tag = body.tag()?.to_owned();
                    replies.push(std::mem::take(&mut reply));
                }
                Message::CopyInResponse(_) => {
                    reply.copies = Some("can't execute COPY FROM: use the copy_from() method instead");
                    let mut out = BytesMut::new();
                    frontend::copy_fail("no data is sent with this statement", &mut out)?;
                    self.send(&out, waiting)?;
                    error = error.or_else(|| reply.copies.map(|why| SqlError::Connection(why.to_owned())));
                }
                Message::CopyOutResponse(_) => {
                    reply.copies = Some("can't execute COPY TO: use the copy_to() method instead");
                    error = error.or_else(|| reply.copies.map(|why| SqlError::Connection(why.to_owned())));
                }
                Message::ErrorResponse(body) => error = error.or_else(|| Some(server(body.fields(), sql))),
                Message::ReadyForQuery(ready) => {
                    self.status = ready.status();
                    return error.map_or(Ok(replies), Err);
                }
                _ => {}
            }
        }
    }

    /// The message of a statement, in the encoding that the server was told of.
    fn write_query(&self, sql: &str, out: &mut BytesMut) -> Result<(), SqlError> {
        if self.encoding == encoding_rs::UTF_8 {
            return Ok(frontend::query(sql, out)?);
        }
        let (bytes, _, lost) = self.encoding.encode(sql);
        if lost || bytes.contains(&0) {
            let why = format!("the statement cannot be written in {}", self.encoding.name());
            return Err(SqlError::Connection(why));
        }
        let length = i32::try_from(bytes.len() + 5).map_err(|_| SqlError::Connection("too long".to_owned()))?;
        out.extend_from_slice(b"Q");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&bytes);
        out.extend_from_slice(&[0]);
        Ok(())
    }

    fn values(&self, body: &DataRowBody) -> Result<Vec<Option<String>>, SqlError> {
        let mut ranges = body.ranges();
        let mut values = Vec::new();
        while let Some(range) = ranges.next()? {
            let bytes = range.and_then(|range| body.buffer().get(range));
            values.push(bytes.map(|bytes| self.encoding.decode_without_bom_handling(bytes).0.into_owned()));
        }
        Ok(values)
    }

    fn send(&mut self, bytes: &[u8], waiting: Waiting<'_>) -> Result<(), SqlError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(0) => return Err(closed()),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(e) if is_pause(&e) => waiting()?,
                Err(e) => return Err(e.into()),
            }
        }
        loop {
            match self.stream.flush() {
                Err(e) if is_pause(&e) => waiting()?,
                other => return Ok(other?),
            }
        }
    }

    fn next(&mut self, waiting: Waiting<'_>) -> Result<Message, SqlError> {
        let mut chunk = [0; 16384];
        loop {
            if let Some(message) = Message::parse(&mut self.buffer)? {
                return Ok(message);
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(closed()),
                Ok(read) => self.buffer.extend_from_slice(chunk.get(..read).unwrap_or_default()),
                Err(e) if is_pause(&e) => waiting()?,
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut out = BytesMut::new();
        frontend::terminate(&mut out);
        // The server ends the session without a goodbye too.
        let _ = self.stream.write_all(&out);
        let _ = self.stream.flush();
    }
}

fn closed() -> SqlError {
    SqlError::Connection(
        "server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally\n\tbefore or \
         while processing the request.\n"
            .to_owned(),
    )
}

fn server(fields: postgres_protocol::message::backend::ErrorFields<'_>, statement: &str) -> SqlError {
    SqlError::Server(Box::new(ServerError::read(fields, statement)))
}

fn described(body: &RowDescriptionBody) -> Result<Vec<Column>, SqlError> {
    let fields = body.fields().map(|field| Ok(Column { name: field.name().to_owned(), kind: field.type_oid() }));
    Ok(fields.collect()?)
}

#[cfg(test)]
mod tests;
