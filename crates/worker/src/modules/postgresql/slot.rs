//! `community.postgresql.postgresql_slot`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::told;
use crate::args::Presence;
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::postgres::sql::literal;
use crate::postgres::{Session, login_arguments};

login_arguments! {
    /// Manages the replication slots of a PostgreSQL server.
    pub struct Slot {
        /// The slot's name.
        #[serde(alias = "slot_name")]
        name: String,
        /// The slot's kind.
        #[serde(default)]
        slot_type: Kind,
        /// Whether the slot should be there.
        #[serde(default)]
        state: Presence,
        /// Whether a physical slot keeps the log from now on, and not from the first connection.
        #[serde(default)]
        immediately_reserve: bool,
        /// The plugin that decodes the log for a logical slot.
        #[serde(default = "plugin")]
        output_plugin: String,
        /// The database to connect to; the one of the user's name by default.
        #[serde(default, alias = "db")]
        login_db: Option<String>,
    }
}

/// What a slot keeps the log for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Logical,
    #[default]
    Physical,
}

fn plugin() -> String {
    "test_decoding".to_owned()
}

impl Module for Slot {
    const NAME: &'static str = "community.postgresql.postgresql_slot";

    fn check(&self) -> Result<(), String> {
        if self.immediately_reserve && self.slot_type == Kind::Logical {
            return Err("Module parameters immediately_reserve and slot_type=logical are mutually exclusive".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let mut session = Session::open(host, &self.login(self.login_db.as_deref()))?;
        let name = literal(&self.name);
        let there = session.exists(&format!("SELECT 1 FROM pg_replication_slots WHERE slot_name = {name}"))?;
        let statement = match (self.state, self.slot_type) {
            (Presence::Present, _) if there => None,
            (Presence::Absent, _) if !there => None,
            (Presence::Present, Kind::Physical) => {
                let reserve = self.immediately_reserve;
                Some(format!("SELECT pg_create_physical_replication_slot({name}, {reserve})"))
            }
            (Presence::Present, Kind::Logical) => {
                Some(format!("SELECT pg_create_logical_replication_slot({name}, {})", literal(&self.output_plugin)))
            }
            (Presence::Absent, _) => Some(format!("SELECT pg_drop_replication_slot({name})")),
        };
        if let Some(statement) = &statement {
            // A slot is no part of any transaction.
            session.outside(statement).map_err(|error| error.failing(&format!("Cannot execute SQL '{statement}'")))?;
        }
        Ok(told(statement.is_some(), &mut session).with("name", self.name))
    }
}
