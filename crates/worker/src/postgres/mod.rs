//! A client of PostgreSQL for the modules that look after servers, databases and what is in them.
//!
//! A [`Session`] keeps check mode honest: what can be part of a transaction is done in one, which only
//! [`Session::commit`] ends well, and that is a change of [`Host::change`]. In check mode the transaction is taken back,
//! so a prediction has seen the server's own word. What cannot be part of a transaction is not done in check mode at all.

mod connect;
pub mod conninfo;
mod error;
mod login;
mod passfile;
pub mod password;
mod placeholders;
pub mod sql;
mod statements;
mod tls;
mod values;
mod wire;

pub use error::SqlError;
pub(crate) use login::login_arguments;
pub use login::{Login, default_port, default_user};
pub use placeholders::{Arguments, bound};
pub use tls::SslMode;
pub use values::row_value;
pub use wire::{Reply, Row};

use crate::host::Host;
use crate::module::Failure;

/// A connection to a database, for one call of a module.
pub struct Session<'h> {
    connection: wire::Connection,
    host: &'h Host,
    /// Whether a transaction has begun.
    begun: bool,
    /// Every statement that changes something, as it is told in `queries`.
    pub queries: Vec<String>,
    /// What the user should be told.
    pub warnings: Vec<String>,
}

impl<'h> Session<'h> {
    /// Logs in, and switches to the role that is asked for.
    pub fn open(host: &'h Host, login: &Login) -> Result<Self, Failure> {
        if !login.trust {
            sql::refuse_dangerous(login.role.as_deref())?;
        }
        Self::try_open(host, login)?.map_err(|why| Failure::new(format!("unable to connect to database: {why}")))
    }

    /// Like [`Session::open`]; a server that cannot be reached is told apart from everything else that is wrong.
    pub fn try_open(host: &'h Host, login: &Login) -> Result<Result<Self, String>, Failure> {
        let target = login.target(host)?;
        let connection = match connect::connect(host, &target) {
            Ok(connection) => connection,
            Err(why) => return Ok(Err(why)),
        };
        let mut session = Self { connection, host, begun: false, queries: Vec::new(), warnings: Vec::new() };
        if let Some(role) = &login.role {
            session.read(&format!("SET ROLE {}", sql::ident(role))).map_err(|e| e.failing("Could not switch role"))?;
        }
        Ok(Ok(session))
    }

    /// The rows of a statement that reads.
    pub fn read(&mut self, sql: &str) -> Result<Vec<Row>, SqlError> {
        Ok(self.send(sql)?.pop().map(|reply| reply.rows).unwrap_or_default())
    }

    /// The first row of a statement that reads.
    pub fn row(&mut self, sql: &str) -> Result<Option<Row>, SqlError> {
        Ok(self.read(sql)?.into_iter().next())
    }

    /// Whether a statement that reads gives a row.
    pub fn exists(&mut self, sql: &str) -> Result<bool, SqlError> {
        Ok(self.row(sql)?.is_some())
    }

    /// Carries out a statement that changes something as part of the transaction; see [`Session::commit`].
    pub fn change(&mut self, sql: &str) -> Result<Reply, SqlError> {
        self.change_as(sql, sql)
    }

    /// Like [`Session::change`], noted as `shown`.
    pub fn change_as(&mut self, sql: &str, shown: &str) -> Result<Reply, SqlError> {
        self.begin()?;
        let reply = self.send(sql)?.pop().unwrap_or_default();
        self.queries.push(shown.to_owned());
        Ok(reply)
    }

    /// Like [`Session::change`], for what is predicted without the server's word: in check mode it is only noted.
    pub fn plan(&mut self, sql: &str) -> Result<(), SqlError> {
        if self.host.check_mode() {
            self.queries.push(sql.to_owned());
            return Ok(());
        }
        self.change(sql).map(drop)
    }

    /// Like [`Session::change`], for a statement that holds a secret: it is noted as `shown`, and no error quotes it.
    pub fn change_quietly(&mut self, sql: &str, shown: &str) -> Result<(), SqlError> {
        self.change_as(sql, shown).map_err(SqlError::without_statement).map(drop)
    }

    /// Begins the transaction, if it has not begun.
    pub fn begin(&mut self) -> Result<(), SqlError> {
        if !self.begun {
            self.send("BEGIN")?;
            self.begun = true;
        }
        Ok(())
    }

    /// Carries out statements as part of the transaction and gives what came of the last one, without noting them.
    pub fn last_of(&mut self, sql: &str) -> Result<Option<Reply>, SqlError> {
        if self.host.check_mode() && statements::end_transaction(sql) {
            let why = "it ends its transaction, so that check mode could not take it back\n";
            return Err(SqlError::Connection(why.to_owned()));
        }
        self.begin()?;
        Ok(self.send(sql)?.pop())
    }

    /// Takes back what was changed so far.
    pub fn rollback(&mut self) -> Result<(), SqlError> {
        if std::mem::take(&mut self.begun) {
            self.send("ROLLBACK")?;
        }
        Ok(())
    }

    /// Makes what was changed last, or, in check mode, takes it back.
    pub fn commit(&mut self) -> Result<(), Failure> {
        if !self.begun {
            return Ok(());
        }
        let host = self.host;
        let made = host.change(|| self.send("COMMIT").map_err(Failure::from))?;
        if made.is_none() {
            self.rollback()?;
        }
        self.begun = false;
        Ok(())
    }

    /// Carries out a statement that cannot be part of a transaction; in check mode it is not carried out.
    pub fn outside(&mut self, sql: &str) -> Result<Option<Reply>, SqlOrFailure> {
        let host = self.host;
        let mut outcome = None;
        host.change(|| {
            outcome = Some(self.send(sql));
            Ok(())
        })
        .map_err(SqlOrFailure::Failure)?;
        let Some(outcome) = outcome else { return Ok(None) };
        let reply = outcome.map_err(SqlOrFailure::Sql)?.pop().unwrap_or_default();
        self.queries.push(sql.to_owned());
        Ok(Some(reply))
    }

    /// Like [`Session::outside`], noted as `shown`, in check mode too.
    pub fn plan_outside(&mut self, sql: &str, shown: &str) -> Result<(), SqlOrFailure> {
        if !self.host.check_mode() {
            self.outside(sql).map_err(|error| match error {
                SqlOrFailure::Sql(error) if sql != shown => SqlOrFailure::Sql(error.without_statement()),
                error => error,
            })?;
            self.queries.pop();
        }
        self.queries.push(shown.to_owned());
        Ok(())
    }

    /// The server's version as a number, as 150004.
    pub fn version(&mut self) -> Result<u32, SqlError> {
        let row = self.row("SHOW server_version_num")?;
        Ok(row.and_then(|row| row.get(0)?.parse().ok()).unwrap_or_default())
    }

    /// Whether a role of this name is there.
    pub fn has_role(&mut self, name: &str) -> Result<bool, SqlError> {
        self.exists(&format!("SELECT 1 FROM pg_roles WHERE rolname = {}", sql::literal(name)))
    }

    fn send(&mut self, sql: &str) -> Result<Vec<Reply>, SqlError> {
        let host = self.host;
        self.connection.query(sql, &|| still_wanted(host))
    }
}

/// Why a statement outside of a transaction was not carried out.
#[derive(Debug)]
pub enum SqlOrFailure {
    /// The server refused it.
    Sql(SqlError),
    /// It was not sent.
    Failure(Failure),
}

impl SqlOrFailure {
    /// A failure that says what was attempted before the server's words.
    pub fn failing(self, attempted: &str) -> Failure {
        match self {
            Self::Sql(error) => error.failing(attempted),
            Self::Failure(failure) => failure,
        }
    }
}

impl From<SqlOrFailure> for Failure {
    fn from(error: SqlOrFailure) -> Self {
        match error {
            SqlOrFailure::Sql(error) => error.into(),
            SqlOrFailure::Failure(failure) => failure,
        }
    }
}

/// An error when nobody waits for the call any more.
fn still_wanted(host: &Host) -> Result<(), SqlError> {
    if host.is_cancelled() {
        return Err(SqlError::Connection("the task was cancelled while the server was asked".to_owned()));
    }
    Ok(())
}
