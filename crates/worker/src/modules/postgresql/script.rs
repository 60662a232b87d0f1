//! `community.postgresql.postgresql_script`.

use rplay_protocol::Object;
use serde_json::Value;

use super::super::files::text;
use super::query::rows_value;
use super::{warn_of_default, warned};
use crate::args::PathArg;
use crate::host::Host;
use crate::module::{CheckMode, Failure, Module, Outcome};
use crate::postgres::{Arguments, Login, Session, bound, login_arguments, sql};

login_arguments! {
    /// Carries out the statements of a file of the host, all in one transaction.
    pub struct Script {
        /// The file.
        path: PathArg,
        /// The values of `%s` in the file, one after another.
        #[serde(default)]
        positional_args: Option<Vec<Value>>,
        /// The values of `%(name)s` in the file.
        #[serde(default)]
        named_args: Option<Object>,
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

impl Module for Script {
    const NAME: &'static str = "community.postgresql.postgresql_script";
    const CHECK_MODE: CheckMode = CheckMode::Skipped;

    fn check(&self) -> Result<(), String> {
        if self.positional_args.is_some() && self.named_args.is_some() {
            return Err("parameters are mutually exclusive: positional_args|named_args".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.path)?;
        let content = host
            .read(&path)
            .map_err(|why| Failure::new(format!("Cannot read file '{}' : {}", text(&path), why.msg)))?;
        let content = String::from_utf8(content)
            .map_err(|_| Failure::new(format!("Cannot read file '{}' : it is not UTF-8", text(&path))))?;
        let arguments = match (&self.positional_args, &self.named_args) {
            (Some(values), _) => Arguments::Positional(values.clone()),
            (_, Some(values)) => Arguments::Named(values.clone()),
            _ => Arguments::None,
        };
        let failing = |why: &str| {
            // The values may be secrets.
            let values = if matches!(arguments, Arguments::None) { "None" } else { "(values)" };
            Failure::new(format!("Cannot execute SQL '{content}' {values}: {why}"))
        };
        let statements = bound(&content, &arguments).map_err(|why| failing(&why))?;
        if statements.trim().is_empty() {
            return Err(failing("can't execute an empty query"));
        }
        let login = Login { encoding: self.encoding.clone(), ..self.login(self.login_db.as_deref()) };
        let mut session = Session::open(host, &login)?;
        warn_of_default(&mut session, login.database.as_deref());
        if let Some(path) = self.search_path.as_ref().filter(|path| !path.is_empty()) {
            session.read(&format!("SET search_path TO {}", sql::idents(path)))?;
        }
        let reply = session.last_of(&statements).map_err(|error| failing(&error.to_string()))?.unwrap_or_default();
        session.commit()?;
        let told = Outcome::new(true)
            .with("query", statements)
            .with("query_result", rows_value(&reply))
            .with("rowcount", reply.count().unwrap_or(reply.rows.len() as u64))
            .with("statusmessage", reply.tag);
        Ok(warned(told, &session))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::super::stage::Stage;
    use super::*;

    #[test]
    fn files_are_read_before_the_server_is_asked() {
        let stage = Stage::new(&[("/empty", " \n"), ("/wrong", "select %s, %s")]);
        for (args, word) in [
            (json!({"path": "/nosuch"}), "Cannot read file '/nosuch' : "),
            (json!({"path": "/empty"}), "can't execute an empty query"),
            (json!({"path": "/wrong", "positional_args": ["secret"]}), "(values): list index out of range"),
            (json!({"path": "/x", "positional_args": [1], "named_args": {"a": 1}}), "mutually exclusive"),
        ] {
            let told = stage.call::<Script>(args).unwrap_err().msg;
            assert!(told.contains(word) && !told.contains("secret"), "{told}");
        }
    }
}
