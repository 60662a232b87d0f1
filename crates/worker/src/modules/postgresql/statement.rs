//! What the modules share that carry out a user's own statements: arguments, the way in, and how a failure is told.

use rplay_protocol::Object;
use serde_json::Value;

use super::warn_of_default;
use crate::host::Host;
use crate::module::Failure;
use crate::postgres::{Arguments, Login, Reply, Session, SqlError, SqlOrFailure, sql};

/// Declares the arguments of a module that carries out statements, with those that say how to get to the server.
///
/// The struct gets the methods `check_values()`, `values()` and `session(host)`.
macro_rules! statement_arguments {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$fmeta:meta])* $field:ident : $ty:ty),* $(,)? }) => {
        $crate::postgres::login_arguments! {
            $(#[$meta])*
            $vis struct $name {
                $($(#[$fmeta])* $field: $ty,)*
                /// The values of `%s` in the statements, one after another.
                #[serde(default)]
                positional_args: Option<Vec<serde_json::Value>>,
                /// The values of `%(name)s` in the statements.
                #[serde(default)]
                named_args: Option<rplay_protocol::Object>,
                /// The encoding that the client tells the server.
                #[serde(default)]
                encoding: Option<String>,
                /// The schemas that names without one are looked for in.
                #[serde(default)]
                search_path: Option<Vec<String>>,
                /// The database; the one of the user's name by default.
                #[serde(default, alias = "db")]
                login_db: Option<String>,
            }
        }
        impl $name {
            /// Values have places or names, not both.
            fn check_values(&self) -> Result<(), String> {
                if self.positional_args.is_some() && self.named_args.is_some() {
                    return Err("parameters are mutually exclusive: positional_args|named_args".to_owned());
                }
                Ok(())
            }

            fn values(&self) -> $crate::postgres::Arguments {
                $crate::modules::postgresql::statement::values(self.positional_args.as_deref(), self.named_args.as_ref())
            }

            fn session<'h>(
                &self,
                host: &'h $crate::host::Host,
            ) -> Result<$crate::postgres::Session<'h>, $crate::module::Failure> {
                let login = self.login(self.login_db.as_deref());
                let login = $crate::postgres::Login { encoding: self.encoding.clone(), ..login };
                $crate::modules::postgresql::statement::open(host, &login, self.search_path.as_deref())
            }
        }
    };
}
pub(super) use statement_arguments;

/// The values of a statement, whichever way they are given.
pub(super) fn values(positional: Option<&[Value]>, named: Option<&Object>) -> Arguments {
    match (positional, named) {
        (Some(values), _) => Arguments::Positional(values.to_vec()),
        (_, Some(values)) => Arguments::Named(values.clone()),
        _ => Arguments::None,
    }
}

/// Logs in and says where names without a schema are looked for.
pub(super) fn open<'h>(host: &'h Host, login: &Login, search_path: Option<&[String]>) -> Result<Session<'h>, Failure> {
    let mut session = Session::open(host, login)?;
    warn_of_default(&mut session, login.database.as_deref());
    if let Some(path) = search_path.filter(|path| !path.is_empty()) {
        session.read(&format!("SET search_path TO {}", sql::idents(path)))?;
    }
    Ok(session)
}

/// Statements outside of any transaction but their own; never called in check mode.
pub(super) fn alone(session: &mut Session<'_>, statements: &str) -> Result<Option<Reply>, SqlError> {
    session.outside(statements).map_err(|error| match error {
        SqlOrFailure::Sql(error) => error,
        SqlOrFailure::Failure(failure) => SqlError::Connection(failure.msg),
    })
}

/// What is wrong with a statement that is none.
pub(super) const EMPTY: &str = "can't execute an empty query";

/// What is told of a statement that failed: not its values, which may be secrets.
pub(super) fn failed(statement: &str, values: &Arguments, why: &str) -> String {
    let values = if matches!(values, Arguments::None) { "None" } else { "(values)" };
    format!("Cannot execute SQL '{statement}' {values}: {why}")
}
