//! `community.postgresql.postgresql_user`.

use rplay_protocol::Object;
use serde_json::Value;

use super::{comment, told, warned};
use crate::args::{Presence, yes};
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::postgres::sql::{ident, literal};
use crate::postgres::{Session, SqlError, login_arguments, password, sql};

login_arguments! {
    /// Manages the users (roles) of a PostgreSQL server.
    pub struct User {
        /// The user's name; a double quote in it is written twice.
        #[serde(alias = "user")]
        name: String,
        /// The password, or its proof (`md5…`, `SCRAM-SHA-256$…`); an empty one takes it away.
        #[serde(default)]
        password: Option<String>,
        /// Whether the user should be there.
        #[serde(default)]
        state: Presence,
        /// Whether a user who cannot be removed is a failure.
        #[serde(default = "yes", alias = "fail_on_role")]
        fail_on_user: bool,
        /// Attributes between commas, as `CREATEDB,NOLOGIN`.
        #[serde(default)]
        role_attr_flags: String,
        /// Whether the server keeps a proof and not the password; servers since version 10 know nothing else.
        #[serde(default = "yes")]
        encrypted: bool,
        /// The moment from which the password is not good any more, or `infinity`.
        #[serde(default)]
        expires: Option<String>,
        /// Whether the password of a user who is there is left alone, and with it `expires` and `conn_limit`.
        #[serde(default)]
        no_password_changes: bool,
        /// How many connections the user may have; -1 for any number.
        #[serde(default)]
        conn_limit: Option<i64>,
        /// The comment on the user; an empty one takes it away.
        #[serde(default)]
        comment: Option<String>,
        /// Settings of the user's sessions.
        #[serde(default)]
        configuration: Option<Object>,
        /// Whether settings that `configuration` does not name are taken away.
        #[serde(default)]
        reset_unspecified_configuration: bool,
        /// Whether the values of `configuration` are quoted; without it they stand in the statement as they are.
        #[serde(default = "yes")]
        quote_configuration_values: bool,
        /// The database to connect to; the one of the user's name by default.
        #[serde(default, alias = "db")]
        login_db: Option<String>,
    }
}

/// What a user may be, with the column that tells it.
const ATTRIBUTES: [(&str, &str); 7] = [
    ("SUPERUSER", "rolsuper"),
    ("CREATEROLE", "rolcreaterole"),
    ("CREATEDB", "rolcreatedb"),
    ("INHERIT", "rolinherit"),
    ("LOGIN", "rolcanlogin"),
    ("REPLICATION", "rolreplication"),
    ("BYPASSRLS", "rolbypassrls"),
];

impl Module for User {
    const NAME: &'static str = "community.postgresql.postgresql_user";

    fn check(&self) -> Result<(), String> {
        if self.name.is_empty() {
            return Err("the name of the user is empty".to_owned());
        }
        if self.name.replace("\"\"", "").contains('"') {
            return Err("User escaped identifiers must escape extra quotes".to_owned());
        }
        let quoted = |key: &&String| key.contains(['"', '\'']);
        if self.configuration.as_ref().is_some_and(|c| c.keys().any(|key| quoted(&key))) {
            return Err("The key of a configuration may not contain single or double quotes".to_owned());
        }
        flags(&self.role_attr_flags).map(drop)
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        self.refuse_dangerous()?;
        let mut session = Session::open(host, &self.login(self.login_db.as_deref()))?;
        let name = self.name.replace("\"\"", "\"");
        let there = session.has_role(&name)?;
        let outcome = match self.state {
            Presence::Absent if !there => told(false, &mut session),
            Presence::Absent => self.removed(host, &mut session, &name)?,
            Presence::Present => {
                let changed = if there { self.altered(&mut session, &name)? } else { self.made(&mut session, &name)? };
                let changed = changed | comment(&mut session, "ROLE", &name, self.comment.as_deref())?;
                let changed = changed | self.configured(&mut session, &name)?;
                session.commit()?;
                told(changed, &mut session)
            }
        };
        Ok(outcome.with("user", self.name))
    }
}

impl User {
    fn refuse_dangerous(&self) -> Result<(), Failure> {
        if self.trust_input {
            return Ok(());
        }
        if sql::refuse_dangerous(self.password.as_deref()).is_err() {
            return Err(Failure::new("Passed input '********' is potentially dangerous"));
        }
        let inputs =
            [Some(self.name.as_str()), Some(&self.role_attr_flags), self.expires.as_deref(), self.comment.as_deref()];
        sql::refuse_dangerous(inputs.into_iter().flatten())?;
        let values = self.configuration.iter().flatten().flat_map(|(key, value)| [Some(key.as_str()), value.as_str()]);
        sql::refuse_dangerous(values.flatten())
    }

    fn removed(&self, host: &Host, session: &mut Session<'_>, name: &str) -> Result<Outcome, Failure> {
        let statement = format!("DROP USER {}", ident(name));
        // The reference does not try it in check mode.
        if host.check_mode() {
            return Ok(told(true, session).with("user_removed", true));
        }
        match session.change(&statement) {
            Ok(_) => {
                session.commit()?;
                Ok(told(true, session).with("user_removed", true))
            }
            Err(error) if self.fail_on_user => Err(error.failing("Unable to remove user")),
            Err(_) => {
                session.rollback()?;
                let outcome = Outcome::unchanged().with("queries", vec![statement]).with("user_removed", false);
                Ok(warned(outcome, session))
            }
        }
    }

    /// The part of a statement that sets the password: as it is sent, and as it is shown.
    fn password_clause(&self, password: &str) -> (String, String) {
        if password.is_empty() {
            return ("WITH PASSWORD NULL".to_owned(), "WITH PASSWORD NULL".to_owned());
        }
        let kind = if self.encrypted { "ENCRYPTED" } else { "UNENCRYPTED" };
        let clause = |value: &str| format!("WITH {kind} PASSWORD {value}");
        (clause(&literal(password)), clause("%(password)s"))
    }

    fn expiry_clause(&self) -> Option<(String, String)> {
        let expires = self.expires.as_deref()?;
        Some((format!("VALID UNTIL {}", literal(expires)), "VALID UNTIL %(expires)s".to_owned()))
    }

    fn limit_clause(&self) -> Option<(String, String)> {
        let clause = format!("CONNECTION LIMIT {}", self.conn_limit?);
        Some((clause.clone(), clause))
    }

    fn flags_clause(&self) -> String {
        flags(&self.role_attr_flags)
            .unwrap_or_default()
            .into_iter()
            .map(|(flag, _, _)| flag)
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn made(&self, session: &mut Session<'_>, name: &str) -> Result<bool, Failure> {
        let begin = format!("CREATE USER {}", ident(name));
        let mut parts = vec![(begin.clone(), begin)];
        parts.extend(self.password.as_deref().filter(|p| !p.is_empty()).map(|p| self.password_clause(p)));
        parts.extend(self.expiry_clause());
        parts.extend(self.limit_clause());
        parts.push((self.flags_clause(), self.flags_clause()));
        send(session, &parts).map_err(|error| match error.code() {
            // What is wrong with the statement, not with a value in it.
            code if code.starts_with("42") => error.failing("Unable to add user with given requirement due to "),
            _ => error.into(),
        })?;
        Ok(true)
    }

    fn altered(&self, session: &mut Session<'_>, name: &str) -> Result<bool, Failure> {
        let begin = format!("ALTER USER {}", ident(name));
        let mut parts = vec![(begin.clone(), begin)];
        let with_flags = |clause: &str| format!("{clause} {}", self.flags_clause());
        let (password, mut changes) = if self.no_password_changes {
            (None, false)
        } else {
            let password = self.new_password(session, name)?;
            (password, password.is_some() || self.new_expiry(session, name)? || self.new_limit(session, name)?)
        };
        changes |= self.new_flags(session, name)?;
        if !changes {
            return Ok(false);
        }
        match password {
            Some(password) => {
                let (sent, shown) = self.password_clause(password);
                parts.push((with_flags(&sent), with_flags(&shown)));
            }
            None if !self.role_attr_flags.is_empty() => parts.push((with_flags("WITH"), with_flags("WITH"))),
            None => {}
        }
        if !self.no_password_changes {
            parts.extend(self.expiry_clause());
            parts.extend(self.limit_clause());
        }
        send(session, &parts)?;
        Ok(true)
    }

    /// The password, when the server keeps another one.
    fn new_password(&self, session: &mut Session<'_>, name: &str) -> Result<Option<&str>, Failure> {
        let Some(wanted) = self.password.as_deref() else { return Ok(None) };
        let row = session.row(&format!("SELECT rolpassword FROM pg_authid WHERE rolname = {}", literal(name)));
        let kept = match row {
            Ok(row) => row.and_then(|row| row.get(0).map(ToOwned::to_owned)),
            // Who may not look cannot compare.
            Err(error) if error.code() == "42501" => return Ok(Some(wanted)),
            Err(error) => return Err(error.into()),
        };
        let same = match kept.as_deref() {
            None => wanted.is_empty(),
            Some(_) if wanted.is_empty() => false,
            Some(kept) if password::is_proof(wanted) => kept == wanted,
            // A proof of the old kind is replaced where the server makes better ones.
            Some(kept) if password::is_md5(kept) && !self.keeps_md5(session)? => false,
            Some(kept) => kept == wanted || password::proves(kept, wanted, name),
        };
        Ok(Some(wanted).filter(|_| !same))
    }

    fn keeps_md5(&self, session: &mut Session<'_>) -> Result<bool, SqlError> {
        let method = session.row("SHOW password_encryption")?.map(|row| row.text(0));
        Ok(method.is_some_and(|method| method != "scram-sha-256"))
    }

    fn new_expiry(&self, session: &mut Session<'_>, name: &str) -> Result<bool, SqlError> {
        let Some(expires) = &self.expires else { return Ok(false) };
        let (expires, name) = (literal(expires), literal(name));
        let asked = format!(
            "SELECT {expires}::timestamptz IS DISTINCT FROM rolvaliduntil FROM pg_roles WHERE rolname = {name}"
        );
        Ok(session.row(&asked)?.is_some_and(|row| row.is_true(0)))
    }

    fn new_limit(&self, session: &mut Session<'_>, name: &str) -> Result<bool, SqlError> {
        let Some(limit) = self.conn_limit else { return Ok(false) };
        let row = session.row(&format!("SELECT rolconnlimit FROM pg_roles WHERE rolname = {}", literal(name)))?;
        Ok(row.is_some_and(|row| row.get(0) != Some(&limit.to_string())))
    }

    fn new_flags(&self, session: &mut Session<'_>, name: &str) -> Result<bool, SqlError> {
        let flags = flags(&self.role_attr_flags).unwrap_or_default();
        if flags.is_empty() {
            return Ok(false);
        }
        let columns: Vec<&str> = flags.iter().map(|(_, column, _)| *column).collect();
        let row =
            session.row(&format!("SELECT {} FROM pg_roles WHERE rolname = {}", columns.join(", "), literal(name)))?;
        Ok(row.is_some_and(|row| flags.iter().enumerate().any(|(index, (_, _, wanted))| row.is_true(index) != *wanted)))
    }

    fn configured(&self, session: &mut Session<'_>, name: &str) -> Result<bool, Failure> {
        if self.configuration.is_none() && !self.reset_unspecified_configuration {
            return Ok(false);
        }
        let kept = configuration(session, name)?;
        let wanted = self.configuration.clone().unwrap_or_default();
        let mut statements = Vec::new();
        for (key, value) in &wanted {
            let value = setting(value);
            if !kept.iter().any(|(k, v)| k.eq_ignore_ascii_case(key) && *v == value) {
                let value = if self.quote_configuration_values { literal(&value) } else { value };
                statements.push(format!("ALTER ROLE {} SET {} TO {value};", ident(name), ident(key)));
            }
        }
        if self.reset_unspecified_configuration {
            let extra = kept.iter().filter(|(key, _)| !wanted.keys().any(|k| k.eq_ignore_ascii_case(key)));
            statements.extend(extra.map(|(key, _)| format!("ALTER ROLE {} RESET {};", ident(name), ident(key))));
        }
        for statement in &statements {
            session.change(statement).map_err(|error| match error.code() {
                "42704" => error.failing(&format!("Unable to update configuration for '{}' due to", self.name)),
                _ => error.into(),
            })?;
        }
        Ok(!statements.is_empty())
    }
}

/// Sends a statement of parts, each as it is sent and as it is shown: a password is in no result and no message.
fn send(session: &mut Session<'_>, parts: &[(String, String)]) -> Result<(), SqlError> {
    let sent: Vec<&str> = parts.iter().map(|(sent, _)| sent.as_str()).collect();
    let shown: Vec<&str> = parts.iter().map(|(_, shown)| shown.as_str()).collect();
    let (sent, shown) = (sent.join(" "), shown.join(" "));
    if shown.contains("%(password)s") {
        return session.change_quietly(&sent, &shown);
    }
    session.change_as(&sent, &shown).map(drop)
}

/// The attributes of a list, each with its column and whether it is wanted.
fn flags(list: &str) -> Result<Vec<(String, &'static str, bool)>, String> {
    let words: Vec<String> =
        list.to_uppercase().split(',').filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect();
    let known = |word: &str| {
        let wanted =
            |name: &str| ATTRIBUTES.iter().find(|(attribute, _)| *attribute == name).map(|(_, column)| *column);
        let plain = wanted(word).map(|column| (column, true));
        plain.or_else(|| wanted(word.strip_prefix("NO")?).map(|column| (column, false)))
    };
    let unknown: Vec<&str> = words.iter().filter(|word| known(word).is_none()).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(format!("Invalid role_attr_flags specified: {}", unknown.join(" ")));
    }
    let mut flags: Vec<(String, &'static str, bool)> = Vec::new();
    for word in words {
        if let Some((column, wanted)) = known(&word).filter(|_| !flags.iter().any(|(flag, _, _)| *flag == word)) {
            flags.push((word, column, wanted));
        }
    }
    Ok(flags)
}

/// The settings of a user's sessions in all databases.
fn configuration(session: &mut Session<'_>, name: &str) -> Result<Vec<(String, String)>, SqlError> {
    let rows = session.read(&format!(
        "SELECT unnest(s.setconfig) FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole \
         WHERE s.setdatabase = 0 AND r.rolname = {}",
        literal(name)
    ))?;
    let pair = |text: String| text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    Ok(rows.iter().filter_map(|row| pair(row.text(0))).collect())
}

/// A setting's value as text.
fn setting(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "on".to_owned(),
        Value::Bool(false) => "off".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_known() {
        let shown = |list: &str| {
            flags(list).map(|flags| flags.into_iter().map(|(f, c, w)| format!("{f} {c} {w}")).collect::<Vec<_>>())
        };
        let wanted = vec!["CREATEDB rolcreatedb true".to_owned(), "NOLOGIN rolcanlogin false".to_owned()];
        assert_eq!(shown("createdb,NOLOGIN,CREATEDB"), Ok(wanted));
        assert_eq!(shown(""), Ok(Vec::new()));
        assert_eq!(
            shown("bogus,LOGIN, CREATEDB"),
            Err("Invalid role_attr_flags specified: BOGUS  CREATEDB".to_owned())
        );
    }
}
