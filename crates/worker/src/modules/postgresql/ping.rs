//! `community.postgresql.postgresql_ping`.

use serde_json::{Value, json};

use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::postgres::{Session, SqlError, login_arguments, sql};

login_arguments! {
    /// Asks whether a PostgreSQL server is there.
    pub struct Ping {
        /// The database to connect to; the one of the user's name by default.
        #[serde(default, alias = "db")]
        login_db: Option<String>,
    }
}

impl Module for Ping {
    const NAME: &'static str = "community.postgresql.postgresql_ping";

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        if !self.trust_input {
            sql::refuse_dangerous(self.session_role.as_deref())?;
        }
        let told = |there: bool, version: Value, why: &str| {
            Outcome::unchanged().with("is_available", there).with("server_version", version).with("conn_err_msg", why)
        };
        match Session::try_open(host, &self.login(self.login_db.as_deref()))? {
            Ok(mut session) => Ok(told(true, version(&mut session)?, "")),
            Err(why) => {
                let warning = format!("the server cannot be reached: {}", why.trim_end());
                Ok(told(false, json!({}), &why).with("warnings", vec![warning]))
            }
        }
    }
}

/// The server's version, in parts and as it is told.
pub(super) fn version(session: &mut Session<'_>) -> Result<Value, SqlError> {
    let raw = session.row("SELECT version()")?.map(|row| row.text(0)).unwrap_or_default();
    let (major, minor) = match session.version()? {
        number @ 100_000.. => (number / 10_000, number % 10_000),
        number => (number / 10_000, number / 100 % 100),
    };
    let full = raw.split_whitespace().nth(1).unwrap_or_default();
    Ok(json!({"major": major, "minor": minor, "full": full, "raw": raw}))
}
