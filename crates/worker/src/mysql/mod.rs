//! A client of MySQL and MariaDB for the modules that look after servers, databases and users.
//!
//! Most of what these modules do cannot be part of a transaction, so a [`Session`] does nothing that changes something in
//! check mode: [`Session::change`] is a change of [`Host::change`].

pub mod auth;
mod error;
mod login;
pub mod sql;
pub mod values;
mod wire;

pub use error::SqlError;
pub(crate) use login::login_arguments;
pub use login::{Login, default_config, default_host, default_port, default_timeout};
pub use wire::Reply;

use crate::host::Host;
use crate::module::Failure;

/// A connection to a server, for one call of a module.
pub struct Session<'h> {
    connection: wire::Connection,
    host: &'h Host,
}

impl<'h> Session<'h> {
    /// Logs in, and chooses a database where one is given.
    pub fn open(host: &'h Host, login: &Login, database: Option<&str>) -> Result<Self, Failure> {
        let mut session = Self { connection: login.connect(host, database)?, host };
        if !login.log {
            session.send("SET SESSION sql_log_bin = 0")?;
        }
        Ok(session)
    }

    /// The server's version, as it says it.
    pub fn version(&self) -> &str {
        &self.connection.version
    }

    /// Whether the server is MariaDB.
    pub fn is_mariadb(&self) -> bool {
        self.version().to_lowercase().contains("mariadb")
    }

    /// Carries out a statement that reads.
    pub fn read(&mut self, sql: &str) -> Result<Reply, SqlError> {
        self.send(sql)
    }

    /// The rows of a statement that reads, as text; `NULL` is empty.
    pub fn rows(&mut self, sql: &str) -> Result<Vec<Vec<String>>, SqlError> {
        let text = |value: Option<Vec<u8>>| String::from_utf8_lossy(&value.unwrap_or_default()).into_owned();
        Ok(self.send(sql)?.rows.into_iter().map(|row| row.into_iter().map(text).collect()).collect())
    }

    /// Carries out a statement that changes something; in check mode it is not carried out.
    pub fn change(&mut self, sql: &str) -> Result<Option<Reply>, Failure> {
        let host = self.host;
        host.change(|| self.send(sql).map_err(Failure::from))
    }

    /// A text as it is written in a statement.
    pub fn literal(&self, text: &str) -> String {
        sql::literal(text, self.connection.plain_backslashes())
    }

    fn send(&mut self, sql: &str) -> Result<Reply, SqlError> {
        let host = self.host;
        let waiting = || match host.is_cancelled() {
            true => Err(SqlError::Connection("the task was cancelled".to_owned())),
            false => Ok(()),
        };
        self.connection.query(sql, &waiting)
    }
}
