//! `community.postgresql.postgresql_set`.

use serde_json::{Value, json};

use super::warned;
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::postgres::sql::{ident, literal};
use crate::postgres::{Session, login_arguments, sql};

login_arguments! {
    /// Changes a setting of a PostgreSQL server, as `ALTER SYSTEM` does.
    pub struct Set {
        /// The setting's name, as the server writes it.
        name: String,
        /// Its value; `default` takes the setting out of `postgresql.auto.conf`.
        #[serde(default)]
        value: Option<String>,
        /// Whether it gets the value that the server was built with.
        #[serde(default)]
        reset: bool,
        /// The database to connect to; the one of the user's name by default.
        #[serde(default, alias = "db")]
        login_db: Option<String>,
    }
}

/// Settings whose value is a list between commas.
const LISTS: [&str; 9] = [
    "listen_addresses",
    "local_preload_libraries",
    "log_destination",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "synchronous_standby_names",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// A setting as the server tells it.
struct Setting {
    raw: String,
    unit: Option<String>,
    context: String,
    built_in: Option<String>,
    pretty: String,
}

impl Module for Set {
    const NAME: &'static str = "community.postgresql.postgresql_set";

    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        match (&self.value, self.reset) {
            (Some(_), true) => Err(format!("{name}: value and reset params are mutually exclusive")),
            (None, false) => Err(format!("{name}: at least one of value or reset param must be specified")),
            (Some(value), _) if value.is_empty() && name == "shared_preload_libraries" => Err(
                "setting shared_preload_libraries to an empty string is not supported, since the server would not start \
                 any more: use `value: default` or `reset: true`"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        if !self.trust_input {
            let inputs = [Some(&self.name), self.value.as_ref()];
            sql::refuse_dangerous(inputs.into_iter().flatten().map(String::as_str))?;
        }
        let mut session = Session::open(host, &self.login(self.login_db.as_deref()))?;
        let before = self.setting(&mut session)?;
        if before.context == "internal" {
            return Err(Failure::new(format!(
                "{}: cannot be changed (internal context). See \
                 https://www.postgresql.org/docs/current/runtime-config-preset.html",
                self.name
            )));
        }
        let value = self.value.as_deref().map(normal);
        let told = Outcome::unchanged()
            .with("name", self.name.as_str())
            .with("prev_val_pretty", before.pretty.as_str())
            .with("context", before.context.as_str());
        let restarts = before.context == "postmaster";
        // What check mode compares is in the unit that the server would show.
        let value = if host.check_mode() { value.map(rounded) } else { value };
        let asked = match &value {
            Some(value) => *value != before.pretty,
            None => true,
        };
        if host.check_mode() || (!asked && value.is_some()) {
            let mut told = told.with("value_pretty", json!(value)).with("restart_required", asked && restarts);
            told.changed = asked;
            let told = told.with("value", before.value()).with("queries", Vec::<Value>::new());
            return Ok(warned(told, &session));
        }
        let Some(statement) = self.statement(value.as_deref(), &before) else {
            let told = told.with("value_pretty", before.pretty.as_str()).with("restart_required", false);
            return Ok(warned(told.with("value", before.value()).with("queries", Vec::<Value>::new()), &session));
        };
        let failed = format!("Unable to set {} value due to ", self.name);
        session.outside(&statement).map_err(|error| error.failing(&failed))?;
        let mut told = told.with("queries", vec![statement]).with("restart_required", restarts);
        if restarts {
            told.changed = true;
            session.warnings.push(format!("the server has to be restarted before {} takes effect", self.name));
            return Ok(warned(told.with("value_pretty", json!(value)), &session));
        }
        session.read("SELECT pg_reload_conf()")?;
        // A session of its own sees what the server has read again, as soon as it has.
        let mut after = before.renewed(&self, host)?;
        for _ in 0..20 {
            if after.pretty != before.pretty {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
            after = before.renewed(&self, host)?;
        }
        told.changed = after.pretty != before.pretty;
        Ok(warned(told.with("value_pretty", after.pretty.as_str()).with("value", after.value()), &session))
    }
}

impl Set {
    fn setting(&self, session: &mut Session<'_>) -> Result<Setting, Failure> {
        let failed =
            |error: crate::postgres::SqlError| error.failing(&format!("Unable to get {} value due to ", self.name));
        let pretty = session.row(&format!("SELECT current_setting({})", literal(&self.name))).map_err(failed)?;
        let columns = "setting, unit, context, boot_val";
        let row = session.row(&format!("SELECT {columns} FROM pg_settings WHERE name = {}", literal(&self.name)));
        let (Some(pretty), Some(row)) = (pretty, row.map_err(failed)?) else {
            return Err(Failure::new(format!(
                "No such parameter: {}. Please check its spelling or presence in your PostgreSQL version \
                 (https://www.postgresql.org/docs/current/runtime-config.html)",
                self.name
            )));
        };
        Ok(Setting {
            raw: plain(&row.text(0)),
            unit: row.get(1).map(ToOwned::to_owned),
            context: row.text(2),
            built_in: row.get(3).map(ToOwned::to_owned),
            pretty: plain(&pretty.text(0)),
        })
    }

    /// What sets it; nothing when it is to have the value that it has.
    fn statement(&self, value: Option<&str>, before: &Setting) -> Option<String> {
        let name = self.name.split('.').map(named).collect::<Vec<_>>().join(".");
        let Some(value) = value else {
            let there = before.built_in.as_deref() == Some(&before.raw);
            return (!there).then(|| format!("ALTER SYSTEM RESET {name}"));
        };
        if value.eq_ignore_ascii_case("default") {
            return Some(format!("ALTER SYSTEM SET {name} = DEFAULT"));
        }
        let list = LISTS.contains(&self.name.as_str()) && value.contains(',') && !value.contains('(');
        let value = if list {
            value.split(',').map(|item| literal(item.trim())).collect::<Vec<_>>().join(",")
        } else {
            literal(value)
        };
        Some(format!("ALTER SYSTEM SET {name} = {value}"))
    }
}

impl Setting {
    fn renewed(&self, module: &Set, host: &Host) -> Result<Self, Failure> {
        module.setting(&mut Session::open(host, &module.login(module.login_db.as_deref()))?)
    }

    /// The value with its unit; sizes in bytes.
    fn value(&self) -> Value {
        let factor: Option<i64> = match self.unit.as_deref() {
            Some("kB") => Some(1 << 10),
            Some("MB") => Some(1 << 20),
            Some("GB") => Some(1 << 30),
            _ => None,
        };
        match (factor, self.raw.parse::<i64>()) {
            (Some(factor), Ok(number)) if number >= 0 => json!({"value": number.saturating_mul(factor), "unit": "b"}),
            (Some(_), _) => json!({"value": self.raw, "unit": "b"}),
            _ => json!({"value": self.raw, "unit": self.unit}),
        }
    }
}

/// A setting's name as it stands in a statement.
fn named(part: &str) -> String {
    let fine = part.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit());
    if fine && !part.starts_with(|c: char| c.is_ascii_digit()) { part.to_owned() } else { ident(part) }
}

/// A value without the quotes of the names in it.
fn plain(value: &str) -> String {
    value.replace('"', "")
}

/// A value as the server would write it: units as it knows them, truth values as `on` and `off`.
fn normal(value: &str) -> String {
    match value {
        "True" => return "on".to_owned(),
        "False" => return "off".to_owned(),
        _ => {}
    }
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let unit = value.get(digits.len()..).unwrap_or_default();
    match unit.to_ascii_lowercase().as_str() {
        "kb" if number => format!("{digits}kB"),
        "mb" | "gb" | "tb" if number => format!("{digits}{}", unit.to_ascii_uppercase()),
        _ => value.to_owned(),
    }
}

/// A size in the largest unit that it is a whole number of.
fn rounded(value: String) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let found = UNITS.iter().position(|unit| value.ends_with(unit));
    let Some((mut unit, mut number)) =
        found.and_then(|at| Some((at, value.get(..value.len() - 2)?.parse::<u64>().ok().filter(|n| *n > 0)?)))
    else {
        return value;
    };
    while number % 1024 == 0 && unit + 1 < UNITS.len() {
        number /= 1024;
        unit += 1;
    }
    format!("{number}{}", UNITS.get(unit).unwrap_or(&"kB"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::args;

    fn setting(raw: &str, unit: Option<&str>) -> Setting {
        let (unit, built_in) = (unit.map(ToOwned::to_owned), Some("4096".to_owned()));
        Setting { raw: raw.to_owned(), unit, context: "user".to_owned(), built_in, pretty: String::new() }
    }

    fn statement(name: &str, value: Option<&str>, raw: &str) -> Option<String> {
        let given = json!({"name": name, "value": value, "reset": value.is_none()});
        let module: Set = args::parse(given.as_object().unwrap()).unwrap();
        module.statement(value, &setting(raw, None))
    }

    #[test]
    fn statements_are_made() {
        for (name, value, wanted) in [
            ("work_mem", Some("8MB"), Some("ALTER SYSTEM SET work_mem = '8MB'")),
            ("work_mem", Some("default"), Some("ALTER SYSTEM SET work_mem = DEFAULT")),
            ("work_mem", None, Some("ALTER SYSTEM RESET work_mem")),
            ("search_path", Some("a, b"), Some("ALTER SYSTEM SET search_path = 'a','b'")),
            (
                "synchronous_standby_names",
                Some("ANY 1 (a, b)"),
                Some("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (a, b)'"),
            ),
            ("archive_command", Some("test 'x', y"), Some("ALTER SYSTEM SET archive_command = 'test ''x'', y'")),
            ("DateStyle", Some("ISO"), Some("ALTER SYSTEM SET \"DateStyle\" = 'ISO'")),
            ("x = 1; drop", Some("1"), Some("ALTER SYSTEM SET \"x = 1; drop\" = '1'")),
        ] {
            assert_eq!(statement(name, value, "1").as_deref(), wanted);
        }
        assert_eq!(statement("work_mem", None, "4096"), None);
    }

    #[test]
    fn values_are_told() {
        assert_eq!(setting("4096", Some("kB")).value(), json!({"value": 4_194_304, "unit": "b"}));
        assert_eq!(setting("-1", Some("kB")).value(), json!({"value": "-1", "unit": "b"}));
        assert_eq!(setting("16384", Some("8kB")).value(), json!({"value": "16384", "unit": "8kB"}));
        assert_eq!(setting("on", None).value(), json!({"value": "on", "unit": null}));
        for (given, wanted) in [("8mb", "8MB"), ("8192KB", "8192kB"), ("mb", "mb"), ("True", "on"), ("10min", "10min")]
        {
            assert_eq!(normal(given), wanted);
        }
        for (given, wanted) in
            [("8192kB", "8MB"), ("9000kB", "9000kB"), ("1048576kB", "1GB"), ("0kB", "0kB"), ("5", "5")]
        {
            assert_eq!(rounded(given.to_owned()), wanted);
        }
    }
}
