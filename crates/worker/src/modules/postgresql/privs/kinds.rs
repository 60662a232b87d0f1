//! What privileges can be about, and where the server keeps them.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::module::Failure;

/// Every privilege there is.
pub const PRIVILEGES: [&str; 17] = [
    "ALL",
    "ALTER_SYSTEM",
    "CONNECT",
    "CREATE",
    "DELETE",
    "EXECUTE",
    "INSERT",
    "MAINTAIN",
    "REFERENCES",
    "SELECT",
    "SET",
    "TEMP",
    "TEMPORARY",
    "TRIGGER",
    "TRUNCATE",
    "UPDATE",
    "USAGE",
];

/// What privileges are about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    #[default]
    Table,
    Sequence,
    Function,
    Procedure,
    Database,
    Schema,
    Language,
    Tablespace,
    Group,
    DefaultPrivs,
    ForeignDataWrapper,
    ForeignServer,
    Type,
    Parameter,
}

impl Kind {
    /// Its name as an argument.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Sequence => "sequence",
            Self::Function => "function",
            Self::Procedure => "procedure",
            Self::Database => "database",
            Self::Schema => "schema",
            Self::Language => "language",
            Self::Tablespace => "tablespace",
            Self::Group => "group",
            Self::DefaultPrivs => "default_privs",
            Self::ForeignDataWrapper => "foreign_data_wrapper",
            Self::ForeignServer => "foreign_server",
            Self::Type => "type",
            Self::Parameter => "parameter",
        }
    }

    /// The words for it in a statement.
    pub fn words(self) -> String {
        self.name().replace('_', " ")
    }

    /// The words for all of its kind.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Sequence => "SEQUENCES",
            Self::Function => "FUNCTIONS",
            Self::Procedure => "PROCEDURES",
            _ => "TABLES",
        }
    }

    /// Whether its objects are in schemas.
    pub fn has_schema(self) -> bool {
        use Kind::{DefaultPrivs, Function, Procedure, Sequence, Table, Type};
        matches!(self, Table | Sequence | Function | Procedure | Type | DefaultPrivs)
    }

    /// Whether all of a schema can be meant.
    pub fn has_all(self) -> bool {
        matches!(self, Self::Table | Self::Sequence | Self::Function | Self::Procedure)
    }

    /// A statement that tells the privileges on objects of these names, as they are kept.
    pub fn question(self, names: &str, schema: Option<&str>, all: bool) -> String {
        let of = |catalog: &str, name: &str, acl: &str, rest: &str| {
            format!(
                "SELECT oid, ARRAY(SELECT a::text FROM unnest({acl}) a ORDER BY 1) FROM {catalog} WHERE {name} IN ({names}){rest} ORDER BY oid"
            )
        };
        let in_schema = |catalog: &str, name: &str, acl: &str, space: &str, rest: &str| {
            let named = if all { "true".to_owned() } else { format!("{name} IN ({names})") };
            let schema = schema.map(|s| format!(" AND {space} = (SELECT oid FROM pg_namespace WHERE nspname = {s})"));
            let schema = schema.unwrap_or_default();
            format!(
                "SELECT oid, ARRAY(SELECT a::text FROM unnest({acl}) a ORDER BY 1) FROM {catalog} \
                 WHERE {named}{schema}{rest} ORDER BY oid"
            )
        };
        match self {
            Self::Table => {
                in_schema("pg_class", "relname", "relacl", "relnamespace", " AND relkind IN ('r', 'v', 'm', 'p', 'f')")
            }
            Self::Sequence => in_schema("pg_class", "relname", "relacl", "relnamespace", " AND relkind = 'S'"),
            Self::Function | Self::Procedure => in_schema("pg_proc", "proname", "proacl", "pronamespace", ""),
            Self::Type => in_schema("pg_type", "typname", "typacl", "typnamespace", ""),
            Self::Database => of("pg_database", "datname", "datacl", ""),
            Self::Schema => of("pg_namespace", "nspname", "nspacl", ""),
            Self::Language => of("pg_language", "lanname", "lanacl", ""),
            Self::Tablespace => of("pg_tablespace", "spcname", "spcacl", ""),
            Self::ForeignDataWrapper => of("pg_foreign_data_wrapper", "fdwname", "fdwacl", ""),
            Self::ForeignServer => of("pg_foreign_server", "srvname", "srvacl", ""),
            Self::Parameter => of("pg_parameter_acl", "parname", "paracl", ""),
            Self::Group => format!(
                "SELECT m.roleid, m.member, m.admin_option FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid \
                 WHERE r.rolname IN ({names}) ORDER BY m.roleid, m.member, m.admin_option"
            ),
            Self::DefaultPrivs => "SELECT defaclrole, defaclnamespace, defaclobjtype, \
                                   ARRAY(SELECT a::text FROM unnest(defaclacl) a ORDER BY 1) FROM pg_default_acl \
                                   ORDER BY 1, 2, 3"
                .to_owned(),
        }
    }
}

/// A class of objects that default privileges are about, with the privileges that it has.
pub fn class(name: &str) -> Option<(&'static str, &'static [&'static str])> {
    const TABLE: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"];
    const CLASSES: [(&str, &[&str]); 5] = [
        ("TABLES", TABLE),
        ("SEQUENCES", &["SELECT", "UPDATE", "USAGE"]),
        ("FUNCTIONS", &["EXECUTE"]),
        ("TYPES", &["USAGE"]),
        ("SCHEMAS", &["CREATE", "USAGE"]),
    ];
    CLASSES.into_iter().find(|(class, _)| *class == name)
}

/// A routine's name and the types of its arguments in parentheses, colons made commas.
///
/// Types cannot be quoted as a whole, so only what types are written with is taken.
pub fn routine(text: &str) -> Result<(String, String), Failure> {
    let (name, types) = match text.find('(') {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let types = types.replace(':', ",");
    let inner = types.strip_prefix('(').and_then(|t| t.strip_suffix(')')).unwrap_or_default();
    let fine = |c: char| c.is_alphanumeric() || " _.,[]\"".contains(c);
    let whole = types.is_empty() || types.len() == inner.len() + 2;
    if name.is_empty() || !whole || !inner.chars().all(fine) || inner.matches('"').count() % 2 != 0 {
        return Err(Failure::new(format!("'{text}' is not a routine's name with the types of its arguments")));
    }
    Ok((name.to_owned(), types))
}

/// The name of a setting, whose parts stand between dots.
pub fn parameter(name: &str) -> Result<String, Failure> {
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '$' | '-');
    if name.is_empty() || !name.chars().all(fine) {
        return Err(Failure::new(format!("'{name}' is not the name of a setting")));
    }
    Ok(name.split('.').map(crate::postgres::sql::ident).collect::<Vec<_>>().join("."))
}
