//! `community.postgresql.postgresql_subscription`.

use rplay_protocol::Object;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{check_parameters, comment, warned};
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::postgres::sql::{ident, literal};
use crate::postgres::{Session, conninfo, login_arguments, sql};

login_arguments! {
    /// Manages the subscriptions of a PostgreSQL database.
    pub struct Subscription {
        /// The subscription's name.
        name: String,
        /// The database.
        #[serde(alias = "db")]
        login_db: String,
        /// Whether the subscription should be there, or be told what its publications hold now.
        #[serde(default)]
        state: State,
        /// The publications to subscribe to.
        #[serde(default)]
        publications: Option<Vec<String>>,
        /// How to connect to the publisher, as libpq names it.
        #[serde(default)]
        connparams: Option<Object>,
        /// Parameters of the subscription; of one that is there, `enabled`, `slot_name` and `synchronous_commit` are looked at.
        #[serde(default)]
        subsparams: Option<Object>,
        /// The role that owns it.
        #[serde(default)]
        owner: Option<String>,
        /// Whether what depends on it is removed with it.
        #[serde(default)]
        cascade: bool,
        /// The comment on it; an empty one takes it away.
        #[serde(default)]
        comment: Option<String>,
    }
}

/// What becomes of a subscription.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Absent,
    #[default]
    Present,
    Refresh,
}

/// A subscription that is there.
struct Kept {
    owner: String,
    enabled: bool,
    commit: String,
    /// How it connects; nothing when this user may not see it.
    connection: Option<String>,
    slot: Option<String>,
    publications: Vec<String>,
    comment: String,
}

impl Kept {
    fn value(&self) -> Value {
        let pairs = self.connection.as_deref().and_then(conninfo::parse).unwrap_or_default();
        let hidden = |(name, value): (String, String)| {
            let value = if conninfo::is_secret(&name) { json!("********") } else { number(&value) };
            (name, value)
        };
        json!({
            "owner": self.owner,
            "enabled": self.enabled,
            "synccommit": self.commit != "off",
            "conninfo": pairs.into_iter().map(hidden).collect::<Object>(),
            "slotname": self.slot,
            "publications": self.publications,
            "comment": self.comment,
        })
    }
}

/// A value as a number when it is one, as ports are.
fn number(value: &str) -> Value {
    value.parse::<i64>().map_or_else(|_| json!(value), |number| json!(number))
}

impl Module for Subscription {
    const NAME: &'static str = "community.postgresql.postgresql_subscription";

    fn check(&self) -> Result<(), String> {
        check_parameters(self.subsparams.iter().chain(&self.connparams))
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        if !self.trust_input {
            let one = [Some(&self.name), self.owner.as_ref(), self.comment.as_ref()].into_iter().flatten();
            let values =
                self.connparams.iter().chain(&self.subsparams).flatten().filter(|(name, _)| !conninfo::is_secret(name));
            let values = values.filter_map(|(_, value)| value.as_str());
            sql::refuse_dangerous(one.chain(self.publications.iter().flatten()).map(String::as_str).chain(values))?;
        }
        let mut session = Session::open(host, &self.login(Some(&self.login_db)))?;
        let before = self.kept(&mut session)?;
        match (self.state, &before) {
            (State::Absent, None) => {}
            (State::Absent, Some(_)) => {
                self.execute(
                    &mut session,
                    &format!("DROP SUBSCRIPTION @{}", if self.cascade { " CASCADE" } else { "" }),
                )?;
            }
            (State::Refresh, None) => {
                return Err(Failure::new(format!("Refresh failed: subscription '{}' does not exist", self.name)));
            }
            (State::Refresh, Some(_)) => self.execute(&mut session, "ALTER SUBSCRIPTION @ REFRESH PUBLICATION")?,
            (State::Present, None) => self.create(&mut session)?,
            (State::Present, Some(kept)) => self.alter(&mut session, kept)?,
        }
        if self.state == State::Present {
            comment(&mut session, "SUBSCRIPTION", &self.name, self.comment.as_deref())?;
            session.commit()?;
        }
        let initial = before.as_ref().map_or_else(|| json!({}), Kept::value);
        let after = if host.check_mode() { before } else { self.kept(&mut session)? };
        let gone = json!({"owner": null, "enabled": null, "synccommit": null, "conninfo": {}, "slotname": null,
            "publications": [], "comment": null});
        let queries = std::mem::take(&mut session.queries);
        let told = Outcome::new(!queries.is_empty())
            .with("name", self.name.as_str())
            .with("exists", after.is_some())
            .with("queries", queries)
            .with("initial_state", initial)
            .with("final_state", after.as_ref().map_or(gone, Kept::value));
        Ok(warned(told, &session))
    }
}

impl Subscription {
    fn kept(&self, session: &mut Session<'_>) -> Result<Option<Kept>, Failure> {
        let asked = |connection: &str| {
            format!(
                "SELECT pg_get_userbyid(subowner), subenabled, subsynccommit, {connection}, subslotname, \
                 to_json(subpublications), obj_description(s.oid, 'pg_subscription') FROM pg_subscription s \
                 JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database() AND subname = {}",
                literal(&self.name)
            )
        };
        let row = match session.row(&asked("subconninfo")) {
            // Not everybody may see it.
            Err(error) if error.code() == "42501" => session.row(&asked("NULL")),
            other => other,
        }?;
        Ok(row.map(|row| Kept {
            owner: row.text(0),
            enabled: row.is_true(1),
            commit: row.text(2),
            connection: row.get(3).map(ToOwned::to_owned),
            slot: row.get(4).map(ToOwned::to_owned),
            publications: row.get(5).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
            comment: row.text(6),
        }))
    }

    /// Carries out a statement in which `@` is the subscription's name.
    ///
    /// None of them is part of a transaction, because some of them must not be.
    fn execute(&self, session: &mut Session<'_>, statement: &str) -> Result<(), Failure> {
        self.execute_as(session, statement, statement)
    }

    fn execute_as(&self, session: &mut Session<'_>, statement: &str, shown: &str) -> Result<(), Failure> {
        let (sent, shown) =
            (statement.replacen('@', &ident(&self.name), 1), shown.replacen('@', &plain(&self.name), 1));
        session.plan_outside(&sent, &shown).map_err(|error| error.failing(&format!("Cannot execute SQL '{shown}'")))
    }

    /// The text of how to connect, as it is sent and as it is shown.
    fn connection(&self) -> (String, String) {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        let pairs: Vec<(String, String)> =
            self.connparams.iter().flatten().map(|(n, v)| (n.clone(), text(v))).collect();
        let text = conninfo::write(&pairs);
        let shown = conninfo::without_secrets(&text);
        (literal(&text), literal(&shown))
    }

    fn create(&self, session: &mut Session<'_>) -> Result<(), Failure> {
        let (Some(publications), Some(_)) = (&self.publications, &self.connparams) else {
            return Err(Failure::new("a new subscription needs publications and connparams"));
        };
        let (connection, hidden) = self.connection();
        let parameters: Vec<String> = self.subsparams.iter().flatten().map(|(name, value)| set(name, value)).collect();
        let with = if parameters.is_empty() { String::new() } else { format!(" WITH ({})", parameters.join(", ")) };
        let statement = |connection: &str, publications: String| {
            format!("CREATE SUBSCRIPTION @ CONNECTION {connection} PUBLICATION {publications}{with}")
        };
        self.execute_as(
            session,
            &statement(&connection, names(publications, ident)),
            &statement(&hidden, names(publications, plain)),
        )?;
        match &self.owner {
            Some(owner) => self.execute(session, &format!("ALTER SUBSCRIPTION @ OWNER TO {}", ident(owner))),
            None => Ok(()),
        }
    }

    fn alter(&self, session: &mut Session<'_>, kept: &Kept) -> Result<(), Failure> {
        if let Some(owner) = self.owner.as_ref().filter(|owner| **owner != kept.owner) {
            self.execute(session, &format!("ALTER SUBSCRIPTION @ OWNER TO {}", ident(owner)))?;
        }
        if let Some(wanted) = &self.connparams {
            let held = kept.connection.as_deref().map(conninfo::parse);
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            let differs = match held {
                Some(Some(held)) => {
                    held.len() != wanted.len()
                        || held.iter().any(|(name, value)| wanted.get(name).map(text).as_ref() != Some(value))
                }
                Some(None) => true,
                None => false,
            };
            if differs {
                let (connection, hidden) = self.connection();
                let statement = |connection: &str| format!("ALTER SUBSCRIPTION @ CONNECTION {connection}");
                self.execute_as(session, &statement(&connection), &statement(&hidden))?;
            }
        }
        if let Some(wanted) = &self.publications {
            let same = wanted.iter().all(|p| kept.publications.contains(p))
                && kept.publications.iter().all(|p| wanted.contains(p));
            if !same {
                let statement = |publications: String| format!("ALTER SUBSCRIPTION @ SET PUBLICATION {publications}");
                self.execute_as(session, &statement(names(wanted, ident)), &statement(names(wanted, plain)))?;
            }
        }
        self.alter_parameters(session, kept)
    }

    fn alter_parameters(&self, session: &mut Session<'_>, kept: &Kept) -> Result<(), Failure> {
        const KNOWN: [&str; 4] = ["enabled", "slot_name", "synchronous_commit", "publication_name"];
        let names = self.subsparams.iter().flat_map(Object::keys);
        let others: Vec<&str> = names.map(String::as_str).filter(|name| !KNOWN.contains(name)).collect();
        if !others.is_empty() {
            let others = others.join(", ");
            session.warnings.push(format!("parameters of a subscription that is there are not changed: {others}"));
        }
        let mut settings = Vec::new();
        for (name, value) in self.subsparams.iter().flatten() {
            match name.as_str() {
                "enabled" if is_true(value) != kept.enabled => {
                    let word = if is_true(value) { "ENABLE" } else { "DISABLE" };
                    self.execute(session, &format!("ALTER SUBSCRIPTION @ {word}"))?;
                }
                "slot_name" => {
                    let wanted = value.as_str().filter(|slot| !slot.eq_ignore_ascii_case("none"));
                    if wanted != kept.slot.as_deref() {
                        settings.push(set(name, value));
                    }
                }
                "synchronous_commit" => {
                    let wanted = match value {
                        Value::Bool(value) => if *value { "on" } else { "off" }.to_owned(),
                        other => other.as_str().unwrap_or_default().to_lowercase(),
                    };
                    if wanted != kept.commit {
                        settings.push(format!("{name} = {}", literal(&wanted)));
                    }
                }
                _ => {}
            }
        }
        if settings.is_empty() {
            return Ok(());
        }
        self.execute(session, &format!("ALTER SUBSCRIPTION @ SET ({})", settings.join(", ")))
    }
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::String(text) => matches!(text.to_lowercase().as_str(), "true" | "on" | "yes" | "1"),
        other => other.as_i64() == Some(1),
    }
}

/// A parameter with its value: words as they are, other values quoted.
fn set(name: &str, value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let word = !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if word { format!("{name} = {text}") } else { format!("{name} = {}", literal(&text)) }
}

fn names(list: &[String], quoted: impl Fn(&str) -> String) -> String {
    list.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

/// A name as it is shown: without quotes where it needs none.
fn plain(name: &str) -> String {
    let simple = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if simple && !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty() {
        name.to_owned()
    } else {
        ident(name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::args;

    #[test]
    fn secrets_are_hidden() {
        let given = json!({"name": "s", "db": "d", "connparams": {"host": "h", "port": 5, "password": "p'w d"}});
        let module: Subscription = args::parse(given.as_object().unwrap()).unwrap();
        let (sent, shown) = module.connection();
        assert_eq!(sent, "'host=h port=5 password=''p\\''w d'''");
        assert_eq!(shown, "'host=h port=5 password=********'");
    }

    #[test]
    fn parameters_are_words_or_quoted() {
        for (value, wanted) in [
            (json!(true), "x = true"),
            (json!("none"), "x = none"),
            (json!("a'b; drop"), "x = 'a''b; drop'"),
            (json!("Abc"), "x = 'Abc'"),
        ] {
            assert_eq!(set("x", &value), wanted);
        }
        assert_eq!((plain("s2"), plain("S 2")), ("s2".to_owned(), "\"S 2\"".to_owned()));
    }
}
