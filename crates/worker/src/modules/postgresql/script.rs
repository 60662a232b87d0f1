//! `community.postgresql.postgresql_script`.

use super::super::files::text;
use super::query::rows_value;
use super::statement::{EMPTY, alone, failed, statement_arguments};
use super::warned;
use crate::args::PathArg;
use crate::host::Host;
use crate::module::{CheckMode, Failure, Module, Outcome};
use crate::postgres::bound;

statement_arguments! {
    /// Carries out the statements of a file of the host, in one go: as one transaction, unless the file ends it.
    pub struct Script {
        /// The file.
        path: PathArg,
    }
}

impl Module for Script {
    const NAME: &'static str = "community.postgresql.postgresql_script";
    const CHECK_MODE: CheckMode = CheckMode::Skipped;

    fn check(&self) -> Result<(), String> {
        self.check_values()
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.path)?;
        let content = host
            .read(&path)
            .map_err(|why| Failure::new(format!("Cannot read file '{}' : {}", text(&path), why.msg)))?;
        let content = String::from_utf8(content)
            .map_err(|_| Failure::new(format!("Cannot read file '{}' : it is not UTF-8", text(&path))))?;
        let arguments = self.values();
        let failing = |why: &str| Failure::new(failed(&content, &arguments, why));
        let statements = bound(&content, &arguments).map_err(|why| failing(&why))?;
        if statements.trim().is_empty() {
            return Err(failing(EMPTY));
        }
        let mut session = self.session(host)?;
        // In one go, which is one transaction unless the file itself begins or ends one.
        let reply = alone(&mut session, &statements).map_err(|error| failing(&error.to_string()))?.unwrap_or_default();
        if reply.is_nothing() {
            return Err(failing(EMPTY));
        }
        let rows = if reply.has_rows { i64::try_from(reply.rows.len()).unwrap_or(i64::MAX) } else { -1 };
        let told = Outcome::new(true)
            .with("query", statements)
            .with("query_result", rows_value(&reply))
            .with("rowcount", reply.count().map_or(rows, |count| i64::try_from(count).unwrap_or(i64::MAX)))
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
