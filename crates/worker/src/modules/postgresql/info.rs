//! `community.postgresql.postgresql_info`.

use rplay_protocol::Object;
use serde_json::{Value, json};

use super::warned;
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::postgres::{Row, Session, SqlError, conninfo, login_arguments, row_value};

login_arguments! {
    /// Tells what a PostgreSQL server is and what is in it.
    pub struct Info {
        /// What is told; shell patterns are taken, and `!` before one leaves it out.
        #[serde(default)]
        filter: Option<Vec<String>>,
        /// The database to connect to; the one of the user's name by default.
        #[serde(default)]
        login_db: Option<String>,
    }
}

/// What can be told.
const SUBSETS: [&str; 8] =
    ["version", "in_recovery", "tablespaces", "databases", "replications", "repl_slots", "settings", "roles"];

impl Module for Info {
    const NAME: &'static str = "community.postgresql.postgresql_info";

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let mut session = Session::open(host, &self.login(self.login_db.as_deref()))?;
        let wanted = wanted(self.filter.as_deref().unwrap_or_default());
        let mut told = Outcome::unchanged();
        let mut pending = Vec::new();
        for subset in SUBSETS {
            let value = match subset {
                _ if !wanted.contains(&subset) => nothing(subset),
                "version" => version(&mut session)?,
                "in_recovery" => json!(session.row("SELECT pg_is_in_recovery()")?.is_some_and(|row| row.is_true(0))),
                "tablespaces" => tablespaces(&mut session)?,
                "databases" => self.databases(host, &mut session)?,
                "replications" => replications(&mut session)?,
                "repl_slots" => slots(&mut session)?,
                "settings" => settings(&mut session, &mut pending)?,
                _ => roles(&mut session)?,
            };
            told.set(subset, value);
        }
        Ok(warned(told.with("pending_restart_settings", pending), &session))
    }
}

/// What is told of what was not asked for.
fn nothing(subset: &str) -> Value {
    if subset == "in_recovery" { Value::Null } else { json!({}) }
}

/// The subsets that a filter leaves: those it names, or all but those it excludes.
fn wanted(filter: &[String]) -> Vec<&'static str> {
    let fits = |pattern: &str, name: &str| glob::Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(name));
    let (out, within): (Vec<&String>, Vec<&String>) =
        filter.iter().filter(|pattern| !pattern.is_empty()).partition(|pattern| pattern.starts_with('!'));
    let keeps = |name: &&str| match within.as_slice() {
        [] => !out.iter().any(|pattern| fits(pattern.trim_start_matches('!').trim(), name)),
        within => within.iter().any(|pattern| fits(pattern.trim(), name)),
    };
    SUBSETS.into_iter().filter(keeps).collect()
}

fn version(session: &mut Session<'_>) -> Result<Value, SqlError> {
    let mut version = super::ping::version(session)?;
    version["patch"] = Value::Null;
    Ok(version)
}

/// Rows as an object, by the value of their first column.
fn keyed(rows: &[Row], value: impl Fn(&Row) -> Value) -> Value {
    Value::Object(rows.iter().map(|row| (row.text(0), value(row))).collect())
}

fn tablespaces(session: &mut Session<'_>) -> Result<Value, SqlError> {
    let rows = session.read(
        "SELECT spcname, pg_get_userbyid(spcowner) AS spcowner, spcacl::text, spcoptions FROM pg_tablespace ORDER BY spcname",
    )?;
    Ok(keyed(&rows, |row| {
        let mut value = row_value(row);
        let options = value.get("spcoptions").filter(|options| options.is_array()).cloned();
        value.insert("spcoptions".to_owned(), options.unwrap_or_else(|| json!([])));
        json!({"spcowner": row.text(1), "spcacl": row.text(2), "spcoptions": value["spcoptions"]})
    }))
}

fn replications(session: &mut Session<'_>) -> Result<Value, SqlError> {
    let rows = session.read(
        "SELECT pid, usename, application_name AS app_name, client_addr, client_hostname, backend_start::text, state \
         FROM pg_stat_replication ORDER BY pid",
    )?;
    Ok(keyed(&rows, |row| {
        let mut value: Object = row_value(row);
        value.shift_remove("pid");
        for text in value.values_mut().filter(|value| value.is_null()) {
            *text = json!("");
        }
        Value::Object(value)
    }))
}

fn slots(session: &mut Session<'_>) -> Result<Value, SqlError> {
    let rows = session
        .read("SELECT slot_name, plugin, slot_type, database, active FROM pg_replication_slots ORDER BY slot_name")?;
    Ok(keyed(&rows, |row| without(row, &["slot_name"])))
}

fn roles(session: &mut Session<'_>) -> Result<Value, SqlError> {
    let rows = session.read(
        "SELECT r.rolname, r.rolsuper, r.rolcanlogin, r.rolvaliduntil, \
         ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid ORDER BY 1) \
         FROM pg_roles r WHERE r.rolname !~ '^pg_' ORDER BY r.rolname",
    )?;
    Ok(keyed(&rows, |row| {
        let values: Vec<Value> = row_value(row).into_iter().map(|(_, value)| value).collect();
        let until = values.get(3).filter(|until| !until.is_null()).cloned().unwrap_or_else(|| json!(""));
        let groups = values.get(4).cloned().unwrap_or_else(|| json!([]));
        json!({"superuser": row.is_true(1), "canlogin": row.is_true(2), "valid_until": until, "member_of": groups})
    }))
}

fn settings(session: &mut Session<'_>, pending: &mut Vec<String>) -> Result<Value, SqlError> {
    const TEXTS: [&str; 8] = ["setting", "unit", "context", "vartype", "boot_val", "min_val", "max_val", "sourcefile"];
    let rows = session.read(&format!(
        "SELECT name, {}, current_setting(name), pending_restart FROM pg_settings ORDER BY name",
        TEXTS.join(", ")
    ))?;
    Ok(keyed(&rows, |row| {
        let mut value: Object =
            TEXTS.iter().enumerate().map(|(at, name)| ((*name).to_owned(), json!(row.text(at + 1)))).collect();
        value.insert("pretty_val".to_owned(), json!(row.text(9)));
        let factor: Option<i64> = match row.get(2) {
            Some("kB") => Some(1 << 10),
            Some("8kB") => Some(8 << 10),
            Some("MB") => Some(1 << 20),
            _ => None,
        };
        if let (Some(factor), Ok(number)) = (factor, row.text(1).parse::<i64>()) {
            value.insert("val_in_bytes".to_owned(), json!(number.max(0).saturating_mul(factor)));
        }
        value.insert("pending_restart".to_owned(), json!(row.is_true(10)));
        Value::Object(value)
    }))
    .inspect(|_| pending.extend(rows.iter().filter(|row| row.is_true(10)).map(|row| row.text(0))))
}

/// A row as an object without some of its columns.
fn without(row: &Row, names: &[&str]) -> Value {
    Value::Object(row_value(row).into_iter().filter(|(name, _)| !names.contains(&name.as_str())).collect())
}

impl Info {
    fn databases(&self, host: &Host, session: &mut Session<'_>) -> Result<Value, Failure> {
        let rows = session.read(
            "SELECT datname, pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype, \
             array_to_string(datacl, E'\\n'), pg_database_size(oid)::text FROM pg_database \
             WHERE datallowconn AND has_database_privilege(oid, 'CONNECT') ORDER BY datname",
        )?;
        let mut databases = Object::new();
        for row in &rows {
            let mut inside = Session::open(host, &self.login(row.get(0)))?;
            databases.insert(
                row.text(0),
                json!({
                    "owner": row.text(1),
                    "encoding": row.text(2),
                    "collate": row.text(3),
                    "ctype": row.text(4),
                    "access_priv": row.text(5),
                    "size": row.text(6),
                    "namespaces": namespaces(&mut inside)?,
                    "extensions": extensions(&mut inside)?,
                    "languages": languages(&mut inside)?,
                    "publications": publications(&mut inside)?,
                    "subscriptions": subscriptions(&mut inside)?,
                }),
            );
        }
        Ok(Value::Object(databases))
    }
}

fn namespaces(session: &mut Session<'_>) -> Result<Value, SqlError> {
    let rows =
        session.read("SELECT nspname, pg_get_userbyid(nspowner), nspacl::text FROM pg_namespace ORDER BY nspname")?;
    Ok(keyed(&rows, |row| json!({"nspowner": row.text(1), "nspacl": row.text(2)})))
}

fn languages(session: &mut Session<'_>) -> Result<Value, SqlError> {
    let rows =
        session.read("SELECT lanname, pg_get_userbyid(lanowner), lanacl::text FROM pg_language ORDER BY lanname")?;
    Ok(keyed(&rows, |row| json!({"lanowner": row.text(1), "lanacl": row.text(2)})))
}

fn extensions(session: &mut Session<'_>) -> Result<Value, SqlError> {
    let rows = session.read(
        "SELECT e.extname, e.extversion, n.nspname, obj_description(e.oid, 'pg_extension') \
         FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY e.extname",
    )?;
    Ok(keyed(&rows, |row| {
        let raw = row.text(1);
        let part = |at: usize| raw.split('.').nth(at).and_then(|part| part.parse::<u32>().ok());
        let version = json!({"major": part(0), "minor": part(1), "raw": raw});
        json!({"extversion": version, "nspname": row.text(2), "description": row.get(3)})
    }))
}

fn publications(session: &mut Session<'_>) -> Result<Value, SqlError> {
    if session.version()? < 100_000 {
        return Ok(json!({}));
    }
    let rows = session.read(
        "SELECT p.pubname AS key, p.*, pg_get_userbyid(p.pubowner) AS ownername FROM pg_publication p ORDER BY p.pubname",
    )?;
    Ok(keyed(&rows, |row| without(row, &["key", "pubname"])))
}

fn subscriptions(session: &mut Session<'_>) -> Result<Value, SqlError> {
    let superuser = session.row("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")?;
    if session.version()? < 100_000 || !superuser.is_some_and(|row| row.is_true(0)) {
        return Ok(json!({}));
    }
    let rows = session.read(
        "SELECT s.subname AS key, s.*, pg_get_userbyid(s.subowner) AS ownername FROM pg_subscription s \
         WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY s.subname",
    )?;
    Ok(keyed(&rows, |row| {
        let mut value = without(row, &["key", "subname"]);
        if let Some(text) = value.get("subconninfo").and_then(Value::as_str) {
            value["subconninfo"] = json!(conninfo::without_secrets(text));
        }
        value
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_choose() {
        let chosen = |filter: &[&str]| wanted(&filter.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>());
        assert_eq!(chosen(&[]), SUBSETS);
        assert_eq!(chosen(&["ver*"]), ["version"]);
        assert_eq!(chosen(&["repl*", "!repl_slots"]), ["replications", "repl_slots"]);
        assert_eq!(chosen(&["!settings", "!d*"]).len(), 6);
        assert!(chosen(&["nosuch"]).is_empty());
    }
}
