//! `community.postgresql.postgresql_query`.

use std::time::Instant;

use serde_json::{Value, json};

use super::statement::{EMPTY, alone, failed, statement_arguments};
use crate::args::python_repr;
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::postgres::{Reply, bound, row_value};

statement_arguments! {
    /// Carries out statements of SQL, all in one transaction unless it is asked otherwise.
    ///
    /// In check mode the transaction is taken back.
    pub struct Query {
        /// The statement, or a list of them.
        #[serde(default)]
        query: Option<Value>,
        /// Whether each statement stands for itself, for those that cannot be part of a transaction.
        #[serde(default)]
        autocommit: bool,
    }
}

impl Module for Query {
    const NAME: &'static str = "community.postgresql.postgresql_query";

    fn check(&self) -> Result<(), String> {
        self.check_values()?;
        match &self.query {
            None => Err("missing required arguments: query".to_owned()),
            Some(Value::String(_)) => Ok(()),
            Some(Value::Array(items)) if items.iter().all(Value::is_string) => Ok(()),
            Some(_) => Err("query argument must be of type string or list".to_owned()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        if self.autocommit && host.check_mode() {
            return Err(Failure::new("Using autocommit is mutually exclusive with check_mode"));
        }
        let mut session = self.session(host)?;
        let arguments = self.values();
        let statements: Vec<String> = match self.query {
            Some(Value::Array(items)) => items.iter().filter_map(|item| item.as_str().map(ToOwned::to_owned)).collect(),
            Some(Value::String(text)) => vec![text],
            _ => Vec::new(),
        };
        let mut told = Told::new(&statements);
        for statement in &statements {
            let failing = |why: &str| {
                let list = python_repr(&json!(statements));
                Failure::new(format!("{}, query list: {list}", failed(statement, &arguments, why)))
            };
            let bound = bound(statement, &arguments).map_err(|why| failing(&why))?;
            if bound.trim().is_empty() {
                return Err(failing(EMPTY));
            }
            let begun = Instant::now();
            let reply = if self.autocommit { alone(&mut session, &bound) } else { session.last_of(&bound) };
            let reply = reply.map_err(|error| failing(&error.to_string()))?;
            if reply.as_ref().is_some_and(Reply::is_nothing) {
                return Err(failing(EMPTY));
            }
            let reply = reply.unwrap_or_default();
            told.add(bound, &reply, begun);
        }
        session.commit()?;
        Ok(super::warned(told.outcome(), &session))
    }
}

/// What is told of the statements so far.
pub(super) struct Told {
    list: Vec<String>,
    last: String,
    tag: String,
    results: Vec<Value>,
    rows: u64,
    times: Vec<Value>,
    changed: bool,
}

impl Told {
    pub(super) fn new(statements: &[String]) -> Self {
        Self {
            list: statements.to_vec(),
            last: String::new(),
            tag: String::new(),
            results: Vec::new(),
            rows: 0,
            times: Vec::new(),
            changed: false,
        }
    }

    fn add(&mut self, statement: String, reply: &Reply, begun: Instant) {
        self.times.push(json!(begun.elapsed().as_secs_f64() * 1000.0));
        self.last = statement;
        self.changed |= changes(&reply.tag);
        self.rows += reply.count().unwrap_or(0);
        if reply.has_rows && reply.count().is_none() {
            self.rows += reply.rows.len() as u64;
        }
        self.tag.clone_from(&reply.tag);
        self.results.push(rows_value(reply));
    }

    fn outcome(self) -> Outcome {
        Outcome::new(self.changed)
            .with("query", self.last)
            .with("query_list", self.list)
            .with("statusmessage", self.tag)
            .with("query_result", self.results.last().cloned().unwrap_or_else(|| json!({})))
            .with("query_all_results", self.results)
            .with("rowcount", self.rows)
            .with("execution_time_ms", self.times)
    }
}

/// The rows of a result as objects; an empty object where there are none, as the reference tells it.
pub(super) fn rows_value(reply: &Reply) -> Value {
    if reply.rows.is_empty() {
        return json!({});
    }
    reply.rows.iter().map(row_value).map(Value::Object).collect()
}

/// Whether a command of this tag counts as a change: those that only read do not, nor those that touched no row.
pub(super) fn changes(tag: &str) -> bool {
    let mut words = tag.split(' ');
    match words.next().unwrap_or_default() {
        "" | "SELECT" | "SHOW" => false,
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" => words.next_back().is_some_and(|count| count != "0"),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_change_or_read() {
        for (tag, changed) in [
            ("SELECT 1", false),
            ("SHOW", false),
            ("", false),
            ("INSERT 0 2", true),
            ("INSERT 0 0", false),
            ("UPDATE 0", false),
            ("DELETE 10", true),
            ("MERGE 0", false),
            ("CREATE TABLE", true),
            ("EXPLAIN", true),
            ("VACUUM", true),
        ] {
            assert_eq!(changes(tag), changed, "{tag}");
        }
    }
}
