//! `community.postgresql.postgresql_ext`.

use super::{comment, told};
use crate::args::Presence;
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::postgres::sql::{ident, literal};
use crate::postgres::{Session, SqlError, login_arguments, sql};

login_arguments! {
    /// Manages the extensions of a PostgreSQL database.
    pub struct Ext {
        /// The extension's name.
        #[serde(alias = "ext")]
        name: String,
        /// The database.
        #[serde(alias = "db")]
        login_db: String,
        /// The schema that a new extension is put into.
        #[serde(default)]
        schema: Option<String>,
        /// Whether the extension should be there.
        #[serde(default)]
        state: Presence,
        /// Whether what it depends on is made with it, or what depends on it removed with it.
        #[serde(default)]
        cascade: bool,
        /// The version to have; `latest` for the newest that there is.
        #[serde(default)]
        version: Option<String>,
        /// The comment on the extension; an empty one takes it away.
        #[serde(default)]
        comment: Option<String>,
    }
}

/// What goes before the server's own words.
const FAILED: &str = "Management of PostgreSQL extension failed";

impl Module for Ext {
    const NAME: &'static str = "community.postgresql.postgresql_ext";

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        if !self.trust_input {
            let inputs = [Some(&self.name), self.schema.as_ref(), self.version.as_ref(), self.comment.as_ref()];
            sql::refuse_dangerous(inputs.into_iter().flatten().map(String::as_str))?;
        }
        let mut session = Session::open(host, &self.login(Some(&self.login_db)))?;
        let failed = |error: SqlError| error.failing(FAILED);
        let before = self.installed(&mut session).map_err(failed)?;
        let available = self.available(&mut session).map_err(failed)?;
        let Some(default) = available else {
            return Err(Failure::new(format!("Extension {} is not available", self.name)));
        };
        let changed = match self.state {
            Presence::Present => self.present(&mut session, before.as_deref(), &default)?,
            Presence::Absent => self.absent(&mut session, before.as_deref())?,
        };
        let after = match host.check_mode() {
            true if self.state == Presence::Absent => None,
            true => Some(self.predicted(before.as_deref(), &default)),
            false => self.installed(&mut session).map_err(failed)?,
        };
        session.commit()?;
        let outcome = told(changed, &mut session).with("db", self.login_db).with("ext", self.name);
        Ok(outcome.with("prev_version", before.unwrap_or_default()).with("version", after.unwrap_or_default()))
    }
}

impl Ext {
    fn installed(&self, session: &mut Session<'_>) -> Result<Option<String>, SqlError> {
        let row =
            session.row(&format!("SELECT extversion FROM pg_extension WHERE extname = {}", literal(&self.name)))?;
        Ok(row.map(|row| row.text(0)))
    }

    /// The version that is made when none is asked for.
    fn available(&self, session: &mut Session<'_>) -> Result<Option<String>, SqlError> {
        let name = literal(&self.name);
        let row = session.row(&format!("SELECT default_version FROM pg_available_extensions WHERE name = {name}"))?;
        Ok(row.map(|row| row.text(0)))
    }

    fn is_available(&self, session: &mut Session<'_>, version: &str) -> Result<bool, SqlError> {
        let (name, version) = (literal(&self.name), literal(version));
        session.exists(&format!(
            "SELECT 1 FROM pg_available_extension_versions WHERE name = {name} AND version = {version}"
        ))
    }

    /// The version to have; nothing when any does.
    fn wanted<'a>(&'a self, default: &'a str) -> Option<&'a str> {
        match self.version.as_deref() {
            None | Some("") => None,
            Some("latest") => Some(default),
            Some(version) => Some(version),
        }
    }

    fn predicted(&self, before: Option<&str>, default: &str) -> String {
        self.wanted(default).or(before).unwrap_or(default).to_owned()
    }

    fn present(&self, session: &mut Session<'_>, before: Option<&str>, default: &str) -> Result<bool, Failure> {
        let wanted = self.wanted(default);
        let statement = match (before, wanted) {
            (None, _) => {
                if let Some(version) = wanted
                    && !self.is_available(session, version).map_err(|e| e.failing(FAILED))?
                {
                    return Err(Failure::new(format!("Passed version '{version}' is not available")));
                }
                Some(self.create())
            }
            (Some(before), Some(version)) if before != version => {
                if !self.is_available(session, version).map_err(|e| e.failing(FAILED))? {
                    return Err(Failure::new(format!(
                        "Passed version '{version}' has no valid update path from the currently installed version '{before}' \
                         or the passed version is not available"
                    )));
                }
                let latest = self.version.as_deref() == Some("latest");
                let to = if latest { String::new() } else { format!(" TO {}", literal(version)) };
                Some(format!("ALTER EXTENSION {} UPDATE{to}", ident(&self.name)))
            }
            _ => None,
        };
        if let Some(statement) = &statement {
            session.plan(statement).map_err(|e| e.failing(FAILED))?;
        }
        let commented = comment(session, "EXTENSION", &self.name, self.comment.as_deref())?;
        Ok(statement.is_some() || commented)
    }

    fn create(&self) -> String {
        let mut statement = format!("CREATE EXTENSION {}", ident(&self.name));
        if let Some(schema) = self.schema.as_deref().filter(|schema| !schema.is_empty()) {
            statement.push_str(&format!(" WITH SCHEMA {}", ident(schema)));
        }
        if let Some(version) = self.version.as_deref().filter(|version| !matches!(*version, "" | "latest")) {
            statement.push_str(&format!(" VERSION {}", literal(version)));
        }
        if self.cascade {
            statement.push_str(" CASCADE");
        }
        statement
    }

    fn absent(&self, session: &mut Session<'_>, before: Option<&str>) -> Result<bool, Failure> {
        if before.is_none() {
            return Ok(false);
        }
        let cascade = if self.cascade { " CASCADE" } else { "" };
        let statement = format!("DROP EXTENSION {}{cascade}", ident(&self.name));
        session.plan(&statement).map_err(|e| e.failing(FAILED))?;
        Ok(true)
    }
}
