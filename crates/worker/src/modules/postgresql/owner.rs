//! `community.postgresql.postgresql_owner`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{told, warn_of_default};
use crate::args::yes;
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::postgres::sql::{ident, idents, literal, name_parts, qualified};
use crate::postgres::{Session, login_arguments, sql};

login_arguments! {
    /// Sets the owner of objects of a PostgreSQL database.
    pub struct Owner {
        /// The role that should own the object.
        new_owner: String,
        /// The object's name.
        #[serde(default)]
        obj_name: Option<String>,
        /// The object's kind.
        #[serde(default, alias = "type")]
        obj_type: Option<Kind>,
        /// Roles that give all that they own in this database to the new owner.
        #[serde(default)]
        reassign_owned_by: Option<Vec<String>>,
        /// Whether a role of `reassign_owned_by` that is not there is a failure; otherwise it is left out with a warning.
        #[serde(default = "yes")]
        fail_on_role: bool,
        /// The database to connect to; the one of the user's name by default.
        #[serde(default, alias = "db")]
        login_db: Option<String>,
    }
}

/// What can be owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Aggregate,
    Collation,
    Conversion,
    Database,
    Domain,
    EventTrigger,
    ForeignDataWrapper,
    ForeignTable,
    Function,
    Language,
    LargeObject,
    Matview,
    Procedure,
    Publication,
    Routine,
    Schema,
    Sequence,
    Server,
    Statistics,
    Table,
    Tablespace,
    TextSearchConfiguration,
    TextSearchDictionary,
    Type,
    View,
}

/// How a kind's objects are named in a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// One identifier.
    Plain,
    /// An identifier that may have a schema before it.
    Schema,
    /// A name and the types of its arguments, which cannot be quoted.
    Signature,
    /// A number.
    Number,
}

impl Kind {
    /// The words for it in a statement, how its objects are named, and its catalog with the columns of name and owner.
    fn facts(self) -> (&'static str, Naming, &'static str, &'static str, &'static str) {
        use Naming::{Number, Plain, Schema, Signature};
        match self {
            Self::Aggregate => ("AGGREGATE", Signature, "pg_proc", "proname", "proowner"),
            Self::Collation => ("COLLATION", Schema, "pg_collation", "collname", "collowner"),
            Self::Conversion => ("CONVERSION", Schema, "pg_conversion", "conname", "conowner"),
            Self::Database => ("DATABASE", Plain, "pg_database", "datname", "datdba"),
            Self::Domain => ("DOMAIN", Schema, "pg_type", "typname", "typowner"),
            Self::EventTrigger => ("EVENT TRIGGER", Plain, "pg_event_trigger", "evtname", "evtowner"),
            Self::ForeignDataWrapper => {
                ("FOREIGN DATA WRAPPER", Plain, "pg_foreign_data_wrapper", "fdwname", "fdwowner")
            }
            Self::ForeignTable => ("FOREIGN TABLE", Schema, "pg_class", "relname", "relowner"),
            Self::Function => ("FUNCTION", Signature, "pg_proc", "proname", "proowner"),
            Self::Language => ("LANGUAGE", Plain, "pg_language", "lanname", "lanowner"),
            Self::LargeObject => ("LARGE OBJECT", Number, "pg_largeobject_metadata", "oid", "lomowner"),
            Self::Matview => ("MATERIALIZED VIEW", Schema, "pg_class", "relname", "relowner"),
            Self::Procedure => ("PROCEDURE", Signature, "pg_proc", "proname", "proowner"),
            Self::Publication => ("PUBLICATION", Plain, "pg_publication", "pubname", "pubowner"),
            Self::Routine => ("ROUTINE", Signature, "pg_proc", "proname", "proowner"),
            Self::Schema => ("SCHEMA", Plain, "pg_namespace", "nspname", "nspowner"),
            Self::Sequence => ("SEQUENCE", Schema, "pg_class", "relname", "relowner"),
            Self::Server => ("SERVER", Plain, "pg_foreign_server", "srvname", "srvowner"),
            Self::Statistics => ("STATISTICS", Schema, "pg_statistic_ext", "stxname", "stxowner"),
            Self::Table => ("TABLE", Schema, "pg_class", "relname", "relowner"),
            Self::Tablespace => ("TABLESPACE", Plain, "pg_tablespace", "spcname", "spcowner"),
            Self::TextSearchConfiguration => {
                ("TEXT SEARCH CONFIGURATION", Schema, "pg_ts_config", "cfgname", "cfgowner")
            }
            Self::TextSearchDictionary => ("TEXT SEARCH DICTIONARY", Schema, "pg_ts_dict", "dictname", "dictowner"),
            Self::Type => ("TYPE", Schema, "pg_type", "typname", "typowner"),
            Self::View => ("VIEW", Schema, "pg_class", "relname", "relowner"),
        }
    }

    /// The column of the schema that an object is in, where its name may have one.
    fn schema_column(self) -> Option<&'static str> {
        let (_, naming, catalog, _, _) = self.facts();
        if !matches!(naming, Naming::Schema | Naming::Signature) {
            return None;
        }
        Some(match catalog {
            "pg_collation" => "collnamespace",
            "pg_conversion" => "connamespace",
            "pg_type" => "typnamespace",
            "pg_statistic_ext" => "stxnamespace",
            "pg_ts_config" => "cfgnamespace",
            "pg_ts_dict" => "dictnamespace",
            "pg_proc" => "pronamespace",
            _ => "relnamespace",
        })
    }
}

impl Module for Owner {
    const NAME: &'static str = "community.postgresql.postgresql_owner";

    fn check(&self) -> Result<(), String> {
        if self.reassign_owned_by.is_some() {
            let both = [(self.obj_name.is_some(), "obj_name"), (self.obj_type.is_some(), "obj_type")];
            let pairs: Vec<String> =
                both.iter().filter(|(given, _)| *given).map(|(_, name)| format!("{name}|reassign_owned_by")).collect();
            if !pairs.is_empty() {
                return Err(format!("parameters are mutually exclusive: {}", pairs.join(", ")));
            }
        }
        match (&self.obj_name, self.obj_type) {
            (Some(_), None) => Err("obj_name is given but the following is missing: obj_type".to_owned()),
            (Some(name), Some(kind)) if kind.facts().1 == Naming::Signature => signature(name).map(drop),
            _ => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        if !self.trust_input {
            let inputs = [Some(&self.new_owner), self.obj_name.as_ref()];
            let roles = self.reassign_owned_by.iter().flatten();
            sql::refuse_dangerous(inputs.into_iter().flatten().chain(roles).map(String::as_str))?;
        }
        let mut session = Session::open(host, &self.login(self.login_db.as_deref()))?;
        warn_of_default(&mut session, self.login_db.as_deref());
        let missing = |name: &str| format!("Role '{name}' does not exist");
        if !session.has_role(&self.new_owner)? {
            return Err(Failure::new(missing(&self.new_owner)));
        }
        let statement = match (&self.reassign_owned_by, &self.obj_name, self.obj_type) {
            (Some(roles), _, _) => {
                let mut there = Vec::new();
                for role in roles {
                    if session.has_role(role)? {
                        there.push(role.clone());
                    } else if self.fail_on_role {
                        return Err(Failure::new(missing(role)));
                    } else {
                        session.warnings.push(format!("{}, pass", missing(role)));
                    }
                }
                let statement = format!("REASSIGN OWNED BY {} TO {}", idents(&there), ident(&self.new_owner));
                (!there.is_empty()).then_some(statement)
            }
            (None, Some(name), Some(kind)) => self.statement(&mut session, name, kind)?,
            _ => None,
        };
        if let Some(statement) = &statement {
            let failed = |error: crate::postgres::SqlError| error.failing(&format!("Cannot execute SQL '{statement}'"));
            session.change(statement).map_err(failed)?;
        }
        session.commit()?;
        Ok(told(statement.is_some(), &mut session))
    }
}

impl Owner {
    /// What gives an object to the new owner; nothing when it is theirs already.
    fn statement(&self, session: &mut Session<'_>, name: &str, kind: Kind) -> Result<Option<String>, Failure> {
        let (words, naming, catalog, name_column, owner_column) = kind.facts();
        let (shown, parts) = match naming {
            Naming::Plain => (ident(name), vec![name.to_owned()]),
            Naming::Number => {
                let number: u32 =
                    name.parse().map_err(|_| Failure::new(format!("'{name}' is not a large object's number")))?;
                (number.to_string(), vec![number.to_string()])
            }
            Naming::Schema => (qualified(name)?, name_parts(name)?),
            Naming::Signature => signature(name).map_err(Failure::new)?,
        };
        let object = parts.last().map_or("", String::as_str);
        // Routines of one name may differ in their arguments, and a name without a schema may be in several: all must be theirs.
        let mut asked = format!(
            "SELECT bool_and(pg_get_userbyid(c.{owner_column}) = {}) FROM {catalog} c WHERE c.{name_column} = {}",
            literal(&self.new_owner),
            literal(object)
        );
        if let Some(column) = kind.schema_column() {
            let schema = match parts.as_slice() {
                [.., schema, _] => literal(schema),
                _ => "ANY (current_schemas(true))".to_owned(),
            };
            asked.push_str(&format!(" AND c.{column} IN (SELECT oid FROM pg_namespace WHERE nspname = {schema})"));
        }
        if session.row(&asked)?.is_some_and(|row| row.is_true(0)) {
            return Ok(None);
        }
        Ok(Some(format!("ALTER {words} {shown} OWNER TO {}", ident(&self.new_owner))))
    }
}

/// A routine's name with the types of its arguments as they were written, and the parts of the name alone.
///
/// Types cannot be quoted as a whole, so only what types are written with is taken.
fn signature(text: &str) -> Result<(String, Vec<String>), String> {
    let (name, types) = match text.find('(') {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let fine = |c: char| c.is_alphanumeric() || " _.,()[]*\"".contains(c);
    if !types.chars().all(fine) || types.matches('"').count() % 2 != 0 || (!types.is_empty() && !balanced(types)) {
        return Err(format!("'{text}' is not a routine's name with the types of its arguments"));
    }
    let parts = name_parts(name.trim()).map_err(|failure| failure.msg)?;
    let plain = |part: &String| part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    // What needs no quotes is shown as it is written.
    let shown: Vec<String> = parts.iter().map(|part| if plain(part) { part.clone() } else { ident(part) }).collect();
    Ok((format!("{}{types}", shown.join(".")), parts))
}

/// Whether a text is one pair of parentheses, with others only inside.
fn balanced(text: &str) -> bool {
    let mut depth = 0i32;
    let last = text.trim_end().chars().count();
    for (at, c) in text.trim_end().chars().enumerate() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth < 0 || (depth == 0 && at + 1 != last) {
            return false;
        }
    }
    depth == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routines_have_signatures() {
        let parts = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(signature("fn(int)"), Ok(("fn(int)".to_owned(), parts(&["fn"]))));
        assert_eq!(signature("s.fn"), Ok(("s.fn".to_owned(), parts(&["s", "fn"]))));
        assert_eq!(
            signature("My Fn(numeric(5,2), \"T\"[])"),
            Ok(("\"My Fn\"(numeric(5,2), \"T\"[])".to_owned(), parts(&["My Fn"])))
        );
        for wrong in ["fn(int); drop table x", "fn(int) x", "fn(", "fn)(", "fn(a'b)", "fn(a--b)", "fn(\")"] {
            assert!(signature(wrong).is_err(), "{wrong}");
        }
    }
}
