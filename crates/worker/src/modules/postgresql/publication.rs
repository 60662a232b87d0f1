//! `community.postgresql.postgresql_publication`.

mod wanted;

use rplay_protocol::Object;
use serde_json::{Value, json};
use wanted::{Table, Wanted};

use super::{check_parameters, comment, warned};
use crate::args::Presence;
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::postgres::sql::{ident, literal};
use crate::postgres::{Session, login_arguments, sql};

login_arguments! {
    /// Manages the publications of a PostgreSQL database.
    pub struct Publication {
        /// The publication's name.
        name: String,
        /// The database; the one of the user's name by default.
        #[serde(default, alias = "db")]
        login_db: Option<String>,
        /// The tables to publish; all of the database when nothing is named.
        #[serde(default)]
        tables: Option<Vec<String>>,
        /// The tables to publish, each with the columns to publish, or nothing for all of them.
        #[serde(default)]
        columns: Option<Object>,
        /// The schemas whose tables are published.
        #[serde(default)]
        tables_in_schema: Option<Vec<String>>,
        /// Conditions in parentheses that rows of tables must meet; they stand in the statement as they are.
        #[serde(default)]
        rowfilters: Option<Object>,
        /// Whether the publication should be there.
        #[serde(default)]
        state: Presence,
        /// Parameters of the publication.
        #[serde(default)]
        parameters: Option<Object>,
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

/// A publication that is there.
struct Kept {
    all: bool,
    owner: String,
    tables: Vec<Table>,
    schemas: Vec<String>,
    /// What is published, and whether under the name of the partitioned table.
    publish: Vec<&'static str>,
    via_root: bool,
    comment: String,
}

/// What can be published, in the order in which it is told.
const ACTIONS: [&str; 4] = ["insert", "update", "delete", "truncate"];

impl Module for Publication {
    const NAME: &'static str = "community.postgresql.postgresql_publication";

    fn check(&self) -> Result<(), String> {
        let given = [self.tables.is_some(), self.tables_in_schema.is_some(), self.columns.is_some()];
        if given.iter().filter(|given| **given).count() > 1 {
            return Err("parameters are mutually exclusive: tables|tables_in_schema|columns".to_owned());
        }
        if self.tables_in_schema.is_some() && self.rowfilters.is_some() {
            return Err("parameters are mutually exclusive: tables_in_schema|rowfilters".to_owned());
        }
        check_parameters(self.parameters.iter())?;
        self.wanted().map(drop).map_err(|failure| failure.msg)
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        if !self.trust_input {
            let lists = self.tables.iter().chain(&self.tables_in_schema).flatten();
            let one = [Some(&self.name), self.owner.as_ref(), self.comment.as_ref()].into_iter().flatten();
            let values = self
                .parameters
                .iter()
                .chain(&self.columns)
                .flatten()
                .flat_map(|(name, value)| [Some(name.as_str()), value.as_str()]);
            sql::refuse_dangerous(one.chain(lists).map(String::as_str).chain(values.flatten()))?;
        }
        let mut session = Session::open(host, &self.login(self.login_db.as_deref()))?;
        let kept = self.kept(&mut session)?;
        match (self.state, &kept) {
            (Presence::Absent, None) => {}
            (Presence::Absent, Some(_)) => {
                let cascade = if self.cascade { " CASCADE" } else { "" };
                execute(&mut session, &format!("DROP PUBLICATION {}{cascade}", ident(&self.name)))?;
            }
            (Presence::Present, None) => self.create(&mut session)?,
            (Presence::Present, Some(kept)) => self.alter(&mut session, kept)?,
        }
        if self.state == Presence::Present {
            comment(&mut session, "PUBLICATION", &self.name, self.comment.as_deref())?;
        }
        session.commit()?;
        let kept = if host.check_mode() { kept } else { self.kept(&mut session)? };
        let queries = std::mem::take(&mut session.queries);
        let mut told = Outcome::new(!queries.is_empty()).with("queries", queries).with("exists", kept.is_some());
        if kept.is_some() || self.state == Presence::Present || host.check_mode() {
            told.fields.extend(shown(kept.as_ref()));
        }
        Ok(warned(told, &session))
    }
}

/// What is told of a publication.
fn shown(kept: Option<&Kept>) -> Object {
    let Some(kept) = kept else {
        let nothing = json!({"alltables": false, "tables": [], "parameters": {}, "owner": "", "schemas": [], "columns": {}, "rowfilters": {}});
        return nothing.as_object().cloned().unwrap_or_default();
    };
    let name = |table: &Table| format!("{}.{}", ident(&table.schema), ident(&table.name));
    // Truncating is told only where it is published.
    let told = |action: &&str| **action != *"truncate" || kept.publish.contains(action);
    let publish: Object =
        ACTIONS.iter().filter(|a| told(a)).map(|a| ((*a).to_owned(), json!(kept.publish.contains(a)))).collect();
    let tables: Vec<String> = if kept.all { Vec::new() } else { kept.tables.iter().map(name).collect() };
    let columns: Object = kept.tables.iter().filter(|_| !kept.all).map(|t| (name(t), json!(t.columns))).collect();
    let filters: Object = kept.tables.iter().filter_map(|t| Some((name(t), json!(t.filter.as_ref()?)))).collect();
    let mut parameters = json!({"publish": publish});
    if kept.via_root {
        parameters["publish_via_partition_root"] = json!(true);
    }
    let all = json!({
        "alltables": kept.all,
        "tables": tables,
        "parameters": parameters,
        "owner": kept.owner,
        "schemas": kept.schemas,
        "columns": columns,
        "rowfilters": filters,
        "comment": kept.comment,
    });
    all.as_object().cloned().unwrap_or_default()
}

impl Publication {
    fn wanted(&self) -> Result<Wanted, Failure> {
        Wanted::read(
            self.tables.as_deref(),
            self.columns.as_ref(),
            self.tables_in_schema.as_deref(),
            self.rowfilters.as_ref(),
        )
    }

    fn kept(&self, session: &mut Session<'_>) -> Result<Option<Kept>, Failure> {
        let version = session.version()?;
        let name = literal(&self.name);
        let truncate = if version >= 110_000 { "pubtruncate" } else { "false" };
        let via_root = if version >= 130_000 { "pubviaroot" } else { "false" };
        let row = session.row(&format!(
            "SELECT puballtables, pg_get_userbyid(pubowner), pubinsert, pubupdate, pubdelete, {truncate}, {via_root}, \
             obj_description(oid, 'pg_publication') FROM pg_publication WHERE pubname = {name}"
        ))?;
        let Some(row) = row else { return Ok(None) };
        let publish = ACTIONS.into_iter().enumerate().filter(|(at, _)| row.is_true(at + 2)).map(|(_, action)| action);
        let publish = publish.collect();
        let extra = if version >= 150_000 { "to_json(attnames), rowfilter" } else { "NULL, NULL" };
        let tables = session.read(&format!(
            "SELECT schemaname, tablename, {extra} FROM pg_publication_tables WHERE pubname = {name} ORDER BY 2, 1"
        ))?;
        let table = |row: &crate::postgres::Row| Table {
            schema: row.text(0),
            name: row.text(1),
            columns: row.get(2).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
            filter: row.get(3).map(ToOwned::to_owned),
        };
        let schemas = if version >= 150_000 {
            session.read(&format!(
                "SELECT n.nspname FROM pg_publication_namespace pn JOIN pg_publication p ON p.oid = pn.pnpubid \
                 JOIN pg_namespace n ON n.oid = pn.pnnspid WHERE p.pubname = {name} ORDER BY pn.oid"
            ))?
        } else {
            Vec::new()
        };
        Ok(Some(Kept {
            all: row.is_true(0),
            owner: row.text(1),
            tables: tables.iter().map(table).collect(),
            schemas: schemas.iter().map(|row| row.text(0)).collect(),
            publish,
            via_root: row.is_true(6),
            comment: row.text(7),
        }))
    }

    fn create(&self, session: &mut Session<'_>) -> Result<(), Failure> {
        let name = ident(&self.name);
        let mut statement = format!("CREATE PUBLICATION {name}{}", self.wanted()?.clause());
        let parameters: Vec<String> = self.parameters.iter().flatten().map(|(name, value)| set(name, value)).collect();
        if !parameters.is_empty() {
            statement.push_str(&format!(" WITH ({})", parameters.join(", ")));
        }
        execute(session, &statement)?;
        match &self.owner {
            Some(owner) => execute(session, &format!("ALTER PUBLICATION {name} OWNER TO {}", ident(owner))),
            None => Ok(()),
        }
    }

    fn alter(&self, session: &mut Session<'_>, kept: &Kept) -> Result<(), Failure> {
        let name = ident(&self.name);
        let wanted = self.wanted()?;
        if kept.all && !matches!(wanted, Wanted::All) {
            return Err(Failure::new(format!(
                "the publication {} is one of all tables; it has to be dropped before it can be one of some",
                self.name
            )));
        }
        for change in wanted.changes(&kept.tables, &kept.schemas) {
            execute(session, &format!("ALTER PUBLICATION {name} {change}"))?;
        }
        for (parameter, value) in self.parameters.iter().flatten() {
            let same = match (parameter.as_str(), value) {
                ("publish", Value::String(list)) => same_actions(list, &kept.publish),
                ("publish_via_partition_root", Value::Bool(value)) => *value == kept.via_root,
                _ => false,
            };
            if !same {
                execute(session, &format!("ALTER PUBLICATION {name} SET ({})", set(parameter, value)))?;
            }
        }
        match self.owner.as_ref().filter(|owner| **owner != kept.owner) {
            Some(owner) => execute(session, &format!("ALTER PUBLICATION {name} OWNER TO {}", ident(owner))),
            None => Ok(()),
        }
    }
}

/// Whether a list between commas names these actions, in any order.
fn same_actions(list: &str, kept: &[&str]) -> bool {
    let named: Vec<&str> = list.split(',').map(str::trim).filter(|action| !action.is_empty()).collect();
    named.iter().all(|action| kept.contains(action)) && kept.iter().all(|action| named.contains(action))
}

/// A parameter with its value.
fn set(name: &str, value: &Value) -> String {
    let value = match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    };
    format!("{name} = {}", literal(&value))
}

fn execute(session: &mut Session<'_>, statement: &str) -> Result<(), Failure> {
    session.plan(statement).map_err(|error| error.failing(&format!("Cannot execute SQL '{statement}'")))
}
