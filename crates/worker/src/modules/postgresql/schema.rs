//! `community.postgresql.postgresql_schema`.

use super::{comment, told};
use crate::args::Presence;
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::postgres::sql::{ident, literal};
use crate::postgres::{Session, SqlError, login_arguments, sql};

login_arguments! {
    /// Manages the schemas of a PostgreSQL database.
    pub struct Schema {
        /// The schema's name.
        #[serde(alias = "schema")]
        name: String,
        /// The database.
        #[serde(default = "default_database", alias = "db", alias = "database")]
        login_db: String,
        /// The role that owns the schema.
        #[serde(default)]
        owner: String,
        /// Whether the schema should be there.
        #[serde(default)]
        state: Presence,
        /// Whether what is in the schema is removed with it.
        #[serde(default)]
        cascade_drop: bool,
        /// The comment on the schema; an empty one takes it away.
        #[serde(default)]
        comment: Option<String>,
    }
}

fn default_database() -> String {
    "postgres".to_owned()
}

impl Module for Schema {
    const NAME: &'static str = "community.postgresql.postgresql_schema";

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        if !self.trust_input {
            let inputs = [Some(&self.name), Some(&self.owner), self.comment.as_ref()];
            sql::refuse_dangerous(inputs.into_iter().flatten().map(String::as_str))?;
        }
        let mut session = Session::open(host, &self.login(Some(&self.login_db)))?;
        let changed = self.changed(&mut session).map_err(|error| error.failing("Database query failed"))?;
        let changed = match self.state {
            Presence::Present => changed | comment(&mut session, "SCHEMA", &self.name, self.comment.as_deref())?,
            Presence::Absent => changed,
        };
        session.commit()?;
        let mut outcome = told(changed, &mut session).with("schema", self.name);
        if host.check_mode() {
            outcome.fields.shift_remove("queries");
        }
        Ok(outcome)
    }
}

impl Schema {
    fn changed(&self, session: &mut Session<'_>) -> Result<bool, SqlError> {
        let owner = session.row(&format!(
            "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = {}",
            literal(&self.name)
        ))?;
        let name = ident(&self.name);
        let wanted = Some(self.owner.as_str()).filter(|owner| !owner.is_empty());
        let statement = match (self.state, owner, wanted) {
            (Presence::Absent, None, _) => return Ok(false),
            (Presence::Absent, Some(_), _) => {
                format!("DROP SCHEMA {name}{}", if self.cascade_drop { " CASCADE" } else { "" })
            }
            (Presence::Present, None, None) => format!("CREATE SCHEMA {name}"),
            (Presence::Present, None, Some(wanted)) => format!("CREATE SCHEMA {name} AUTHORIZATION {}", ident(wanted)),
            (Presence::Present, Some(owner), Some(wanted)) if owner.get(0) != Some(wanted) => {
                format!("ALTER SCHEMA {name} OWNER TO {}", ident(wanted))
            }
            (Presence::Present, Some(_), _) => return Ok(false),
        };
        session.plan(&statement)?;
        Ok(true)
    }
}
