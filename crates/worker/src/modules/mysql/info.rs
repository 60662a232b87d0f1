//! `community.mysql.mysql_info`.

use rplay_protocol::Object;
use serde_json::{Value, json};

use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::mysql::{Session, SqlError, login_arguments, values};

login_arguments! {
    /// Tells about a MySQL or MariaDB server.
    pub struct Info {
        /// What is told; with `!` before it, what is not.
        #[serde(default)]
        filter: Vec<String>,
        /// The database.
        #[serde(default)]
        login_db: Option<String>,
        /// What is not told of databases: `db_size`, `db_table_count`.
        #[serde(default)]
        exclude_fields: Vec<String>,
        /// Whether databases without tables are told.
        #[serde(default)]
        return_empty_dbs: bool,
    }
}

/// All that can be told.
const SUBSETS: [&str; 9] = [
    "version",
    "databases",
    "settings",
    "global_status",
    "users",
    "engines",
    "master_status",
    "slave_status",
    "slave_hosts",
];

impl Module for Info {
    const NAME: &'static str = "community.mysql.mysql_info";

    fn check(&self) -> Result<(), String> {
        self.refuse_tls()?;
        let names = self.filter.iter().map(|name| name.trim_start_matches('!').trim());
        match names.into_iter().find(|name| !SUBSETS.contains(name) && *name != "users_info") {
            Some(name) => Err(format!("filter element: {name} is not allowable")),
            None if self.filter.iter().any(|name| name.trim() == "users_info") => {
                Err("`users_info` in `filter` is not supported".to_owned())
            }
            None => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let mut session = Session::open(host, &self.login(), self.login_db.as_deref().filter(|db| !db.is_empty()))?;
        let named: Vec<&str> =
            self.filter.iter().map(|name| name.trim()).filter(|name| !name.starts_with('!')).collect();
        let kept = |subset: &&str| match named.is_empty() {
            true => !self.filter.iter().any(|name| name.trim().strip_prefix('!') == Some(subset)),
            false => named.contains(subset),
        };
        let engine = if session.is_mariadb() { "MariaDB" } else { "MySQL" };
        let mut outcome = Outcome::unchanged().with("server_engine", engine);
        for subset in SUBSETS.iter().filter(|subset| kept(subset)) {
            outcome.set(subset, self.subset(subset, &mut session)?);
        }
        Ok(outcome)
    }
}

impl Info {
    fn subset(&self, subset: &str, session: &mut Session<'_>) -> Result<Value, SqlError> {
        match subset {
            "version" => Ok(version(session.version())),
            "databases" => self.databases(session),
            "settings" => pairs(session, "SHOW GLOBAL VARIABLES"),
            "global_status" => pairs(session, "SHOW GLOBAL STATUS"),
            "users" => users(session),
            "engines" => keyed(session, "SHOW ENGINES", "Engine"),
            "master_status" => first(session, "SHOW MASTER STATUS"),
            "slave_status" => replicas(session),
            _ => keyed(session, "SHOW SLAVE HOSTS", "Server_id"),
        }
    }

    fn databases(&self, session: &mut Session<'_>) -> Result<Value, SqlError> {
        let sql = "SELECT table_schema, CAST(COALESCE(SUM(data_length + index_length), 0) AS SIGNED), COUNT(*) \
                   FROM information_schema.tables GROUP BY table_schema";
        let without = |field: &str| self.exclude_fields.iter().any(|excluded| excluded == field);
        let told = |size: i64, tables: i64| {
            let mut told = Object::new();
            if !without("db_size") {
                told.insert("size".to_owned(), size.into());
            }
            if !without("db_table_count") {
                told.insert("tables".to_owned(), tables.into());
            }
            Value::Object(told)
        };
        let mut found = Object::new();
        for row in session.rows(sql)? {
            if let [name, size, tables] = row.as_slice() {
                found.insert(name.clone(), told(size.parse().unwrap_or(0), tables.parse().unwrap_or(0)));
            }
        }
        if self.return_empty_dbs {
            for name in session.rows("SHOW DATABASES")?.into_iter().flatten() {
                found.entry(name).or_insert_with(|| told(0, 0));
            }
        }
        Ok(Value::Object(found))
    }
}

/// The parts of a version: `10.11.6-MariaDB-0+deb12u1`.
fn version(full: &str) -> Value {
    let (numbers, suffix) = full.split_once('-').unwrap_or((full, ""));
    let mut numbers = numbers.split('.').map(|part| part.parse::<u64>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    json!({"full": full, "major": next(), "minor": next(), "release": next(), "suffix": suffix})
}

fn pairs(session: &mut Session<'_>, sql: &str) -> Result<Value, SqlError> {
    let rows = session.rows(sql)?.into_iter().filter_map(|row| {
        let mut row = row.into_iter();
        let (name, value) = (row.next()?, row.next()?);
        Some((name, value.parse::<i64>().map_or(Value::String(value), Value::from)))
    });
    Ok(Value::Object(rows.collect()))
}

fn objects(session: &mut Session<'_>, sql: &str) -> Result<Vec<Object>, SqlError> {
    let rows = values::rows(&session.read(sql)?);
    Ok(rows.into_iter().filter_map(|row| if let Value::Object(row) = row { Some(row) } else { None }).collect())
}

fn first(session: &mut Session<'_>, sql: &str) -> Result<Value, SqlError> {
    Ok(Value::Object(objects(session, sql)?.into_iter().next().unwrap_or_default()))
}

fn text(value: Option<Value>) -> String {
    match value {
        Some(Value::String(text)) => text,
        Some(value) => value.to_string(),
        None => String::new(),
    }
}

fn keyed(session: &mut Session<'_>, sql: &str, key: &str) -> Result<Value, SqlError> {
    let rows = objects(session, sql)?.into_iter().map(|mut row| {
        let name = text(row.shift_remove(key));
        (name, Value::Object(row))
    });
    Ok(Value::Object(rows.collect()))
}

/// Users by their hosts and names.
fn users(session: &mut Session<'_>) -> Result<Value, SqlError> {
    let mut found = Object::new();
    for mut row in objects(session, "SELECT * FROM mysql.user")? {
        let (host, user) = (text(row.shift_remove("Host")), text(row.shift_remove("User")));
        if let Value::Object(users) = found.entry(host).or_insert_with(|| json!({})) {
            users.insert(user, Value::Object(row));
        }
    }
    Ok(Value::Object(found))
}

/// What a replica knows of the servers it follows, by host, port and user.
fn replicas(session: &mut Session<'_>) -> Result<Value, SqlError> {
    let sql = if session.is_mariadb() { "SHOW ALL SLAVES STATUS" } else { "SHOW SLAVE STATUS" };
    let mut found = Object::new();
    for mut row in objects(session, sql)? {
        let mut part = |name: &str| text(row.shift_remove(name));
        let (host, port, user) = (part("Master_Host"), part("Master_Port"), part("Master_User"));
        if let Value::Object(ports) = found.entry(host).or_insert_with(|| json!({}))
            && let Value::Object(users) = ports.entry(port).or_insert_with(|| json!({}))
        {
            users.insert(user, Value::Object(row));
        }
    }
    Ok(Value::Object(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_parts() {
        let told = version("10.11.6-MariaDB-0+deb12u1");
        assert_eq!(told["minor"], 11);
        assert_eq!(told["suffix"], "MariaDB-0+deb12u1");
        assert_eq!(version("8")["release"], 0);
    }
}
