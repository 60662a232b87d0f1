//! `community.mysql.mysql_query`.

use std::time::Instant;

use rplay_protocol::Object;
use serde_json::Value;

use crate::host::Host;
use crate::module::{CheckMode, Failure, Module, Outcome};
use crate::mysql::{Session, login_arguments, values};

login_arguments! {
    /// Runs statements on a MySQL or MariaDB server.
    pub struct Query {
        /// The statements.
        query: Value,
        /// The database.
        #[serde(default)]
        login_db: Option<String>,
        /// Values for the places `%s`.
        #[serde(default)]
        positional_args: Option<Vec<Value>>,
        /// Values for the places `%(name)s`.
        #[serde(default)]
        named_args: Option<Object>,
        /// Whether all statements are one transaction.
        #[serde(default)]
        single_transaction: bool,
    }
}

/// Statements after which something is another way, whatever the server tells of rows.
const CHANGING: [&str; 14] = [
    "CREATE",
    "DROP",
    "ALTER",
    "RENAME",
    "TRUNCATE",
    "GRANT",
    "REVOKE",
    "SET",
    "INSTALL",
    "UNINSTALL",
    "LOCK",
    "FLUSH",
    "CHANGE",
    "RESET",
];

impl Module for Query {
    const NAME: &'static str = "community.mysql.mysql_query";
    const CHECK_MODE: CheckMode = CheckMode::Skipped;

    fn check(&self) -> Result<(), String> {
        self.refuse_tls()?;
        if self.positional_args.is_some() && self.named_args.is_some() {
            return Err("parameters are mutually exclusive: positional_args|named_args".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let statements = self.statements()?;
        let mut session = Session::open(host, &self.login(), self.login_db.as_deref().filter(|db| !db.is_empty()))?;
        session.change(if self.single_transaction { "SET autocommit = 0" } else { "SET autocommit = 1" })?;
        let (mut changed, mut results, mut counts, mut times, mut done) = (false, vec![], vec![], vec![], vec![]);
        for statement in statements {
            let sql = self.bound(&statement, &session)?;
            let began = Instant::now();
            let reply = session
                .change(&sql)
                .map_err(|e| Failure::new(format!("Cannot execute SQL '{statement}': {}", e.msg)))?;
            let Some(reply) = reply else { continue };
            times.push(Value::from((began.elapsed().as_secs_f64() * 1e7).round() / 1e4));
            let word = sql.split_whitespace().next().unwrap_or_default().to_uppercase();
            let touches = matches!(word.as_str(), "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD");
            changed |= CHANGING.contains(&word.as_str()) || (touches && reply.affected > 0);
            results.push(Value::Array(values::rows(&reply)));
            counts.push(Value::from(reply.affected));
            done.push(Value::from(sql));
        }
        if self.single_transaction {
            session.change("COMMIT")?;
        }
        let outcome = Outcome::new(changed).with("executed_queries", done).with("query_result", results);
        Ok(outcome.with("rowcount", counts).with("execution_time_ms", times))
    }
}

impl Query {
    fn statements(&self) -> Result<Vec<String>, Failure> {
        let wrong = || Failure::new("the query option value must be a string or list");
        match &self.query {
            Value::String(text) => Ok(vec![text.clone()]),
            Value::Array(items) => {
                items.iter().map(|item| item.as_str().map(ToOwned::to_owned).ok_or_else(wrong)).collect()
            }
            _ => Err(wrong()),
        }
    }

    /// A statement with its values.
    fn bound(&self, statement: &str, session: &Session<'_>) -> Result<String, Failure> {
        if self.positional_args.is_none() && self.named_args.is_none() {
            return Ok(statement.to_owned());
        }
        let mut values = self.positional_args.iter().flatten();
        filled(statement, |name| {
            let value = match name {
                Some(name) => self.named_args.as_ref().and_then(|named| named.get(name)),
                None => values.next(),
            };
            value.map(|value| written(value, session))
        })
    }
}

/// A value as it is written in a statement.
fn written(value: &Value, session: &Session<'_>) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => session.literal(text),
        Value::Array(items) => {
            format!("({})", items.iter().map(|item| written(item, session)).collect::<Vec<_>>().join(","))
        }
        Value::Object(_) => session.literal(&value.to_string()),
    }
}

/// A statement whose places `%s` and `%(name)s` are filled; `%%` is a percent sign.
fn filled(statement: &str, mut value: impl FnMut(Option<&str>) -> Option<String>) -> Result<String, Failure> {
    let wrong = |why: &str| Failure::new(format!("the statement does not fit its values: {why}"));
    let mut parts = statement.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    while let Some(part) = parts.next() {
        if part.is_empty() {
            // Two signs are one; what follows the second is text.
            text.push('%');
            text.push_str(parts.next().ok_or_else(|| wrong("it ends with a percent sign"))?);
        } else if let Some(rest) = part.strip_prefix('s') {
            text.push_str(&value(None).ok_or_else(|| wrong("there are too few"))?);
            text.push_str(rest);
        } else if let Some((name, rest)) = part.strip_prefix('(').and_then(|part| part.split_once(")s")) {
            text.push_str(&value(Some(name)).ok_or_else(|| wrong(&format!("there is none for `{name}`")))?);
            text.push_str(rest);
        } else {
            return Err(wrong("a percent sign that is none of a place has to be written twice"));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_once() {
        let mut values = ["1", "'%s'"].iter().map(|v| (*v).to_owned());
        assert_eq!(filled("a %s, %s, 5%%", |_| values.next()).unwrap(), "a 1, '%s', 5%");
        let named = |name: Option<&str>| name.filter(|n| *n == "x").map(|_| "7".to_owned());
        assert_eq!(filled("%(x)s+%(x)s", named).unwrap(), "7+7");
        assert!(filled("%(y)s", named).is_err() && filled("100%", named).is_err() && filled("%s", named).is_err());
    }
}
