//! What a publication should hold, and what brings it there.

use rplay_protocol::Object;
use serde_json::Value;

use crate::module::Failure;
use crate::postgres::sql::{ident, idents, name_parts};

/// A table that is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub schema: String,
    pub name: String,
    /// The columns that are published; of one that should be, none means all.
    pub columns: Vec<String>,
    /// A condition in parentheses.
    pub filter: Option<String>,
}

/// What a publication should hold.
#[derive(Debug)]
pub enum Wanted {
    /// All tables of the database, when it is made; what it has, when it is there.
    All,
    /// These tables; whether their columns count.
    Tables(Vec<Table>, bool),
    /// The tables of these schemas.
    Schemas(Vec<String>),
}

impl Table {
    fn read(name: &str, columns: &Value, filters: Option<&Object>) -> Result<Self, Failure> {
        let mut parts = name_parts(name)?;
        let table = parts.pop().unwrap_or_default();
        let schema = parts.pop().unwrap_or_else(|| "public".to_owned());
        if !parts.is_empty() {
            return Err(Failure::new(format!("'{name}' is not the name of a table")));
        }
        let columns = match columns {
            Value::Array(items) => items.iter().filter_map(|item| item.as_str().map(ToOwned::to_owned)).collect(),
            Value::String(text) => text.split(',').map(|column| column.trim().to_owned()).collect(),
            _ => Vec::new(),
        };
        let filter = filters.and_then(|filters| filters.get(name)).and_then(Value::as_str).map(ToOwned::to_owned);
        Ok(Self { schema, name: table, columns, filter })
    }

    fn full_name(&self) -> String {
        format!("{}.{}", ident(&self.schema), ident(&self.name))
    }

    /// The table as it stands in a statement.
    fn clause(&self) -> String {
        let mut clause = self.full_name();
        if !self.columns.is_empty() {
            clause.push_str(&format!(" ({})", idents(&self.columns)));
        }
        if let Some(filter) = &self.filter {
            clause.push_str(&format!(" WHERE {filter}"));
        }
        clause
    }

    fn is(&self, other: &Self) -> bool {
        self.schema == other.schema && self.name == other.name
    }

    fn has_columns_of(&self, wanted: &Self) -> bool {
        let all = |a: &[String], b: &[String]| a.iter().all(|column| b.contains(column));
        wanted.columns.is_empty() || (all(&self.columns, &wanted.columns) && all(&wanted.columns, &self.columns))
    }
}

impl Wanted {
    /// What the arguments say.
    pub fn read(
        tables: Option<&[String]>,
        columns: Option<&Object>,
        schemas: Option<&[String]>,
        filters: Option<&Object>,
    ) -> Result<Self, Failure> {
        if let Some(schemas) = schemas {
            return Ok(Self::Schemas(schemas.to_vec()));
        }
        if let Some(columns) = columns {
            let read = |(name, columns): (&String, &Value)| Table::read(name, columns, filters);
            return Ok(Self::Tables(columns.iter().map(read).collect::<Result<_, _>>()?, true));
        }
        match tables {
            Some(tables) if !tables.is_empty() => {
                let read = |name: &String| Table::read(name, &Value::Null, filters);
                Ok(Self::Tables(tables.iter().map(read).collect::<Result<_, _>>()?, false))
            }
            _ => Ok(Self::All),
        }
    }

    /// What follows the name when the publication is made.
    pub fn clause(&self) -> String {
        match self {
            Self::All => " FOR ALL TABLES".to_owned(),
            Self::Tables(tables, _) => {
                format!(" FOR TABLE {}", tables.iter().map(Table::clause).collect::<Vec<_>>().join(", "))
            }
            Self::Schemas(schemas) if schemas.is_empty() => String::new(),
            Self::Schemas(schemas) => format!(" FOR TABLES IN SCHEMA {}", idents(schemas)),
        }
    }

    /// What follows `ALTER PUBLICATION name`, one change after another.
    pub fn changes(&self, held: &[Table], held_schemas: &[String]) -> Vec<String> {
        match self {
            Self::All => Vec::new(),
            Self::Schemas(schemas) => {
                let missing = schemas.iter().filter(|schema| !held_schemas.contains(schema));
                let extra = held_schemas.iter().filter(|schema| !schemas.contains(schema));
                let added = missing.map(|schema| format!("ADD TABLES IN SCHEMA {}", ident(schema)));
                added.chain(extra.map(|schema| format!("DROP TABLES IN SCHEMA {}", ident(schema)))).collect()
            }
            Self::Tables(tables, columns) => {
                let of = |table: &Table| held.iter().find(|held| held.is(table));
                if *columns && tables.iter().any(|table| of(table).is_some_and(|held| !held.has_columns_of(table))) {
                    return vec![format!(
                        "SET TABLE {}",
                        tables.iter().map(Table::clause).collect::<Vec<_>>().join(", ")
                    )];
                }
                let mut changes: Vec<String> = Vec::new();
                for table in tables {
                    match of(table) {
                        None => changes.push(format!("ADD TABLE {}", table.clause())),
                        Some(held) if held.filter != table.filter => {
                            changes.push(format!("DROP TABLE {}", table.full_name()));
                            changes.push(format!("ADD TABLE {}", table.clause()));
                        }
                        Some(_) => {}
                    }
                }
                let extra = held.iter().filter(|held| !tables.iter().any(|table| table.is(held)));
                changes.extend(extra.map(|table| format!("DROP TABLE {}", table.full_name())));
                changes
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(columns: &Value, filters: &Value) -> Wanted {
        Wanted::read(None, columns.as_object(), None, filters.as_object()).unwrap()
    }

    #[test]
    fn statements_are_made() {
        let all = wanted(&json!({"t": ["a", "b\"c"], "s.u": null}), &json!({"s.u": "(a > 5)"}));
        let clause = " FOR TABLE \"public\".\"t\" (\"a\", \"b\"\"c\"), \"s\".\"u\" WHERE (a > 5)";
        assert_eq!(all.clause(), clause);
        let table = |schema: &str, name: &str, columns: &[&str], filter: Option<&str>| Table {
            schema: schema.to_owned(),
            name: name.to_owned(),
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
            filter: filter.map(ToOwned::to_owned),
        };
        let held = [
            table("public", "t", &["b\"c", "a"], None),
            table("s", "u", &["a"], Some("(a > 6)")),
            table("s", "v", &[], None),
        ];
        assert_eq!(
            all.changes(&held, &[]),
            ["DROP TABLE \"s\".\"u\"", "ADD TABLE \"s\".\"u\" WHERE (a > 5)", "DROP TABLE \"s\".\"v\""]
        );
        let held = [table("public", "t", &["a"], None)];
        assert_eq!(all.changes(&held, &[]), [format!("SET TABLE {}", clause.trim_start_matches(" FOR TABLE "))]);
        let schemas = Wanted::Schemas(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(
            schemas.changes(&[], &["b".to_owned(), "c".to_owned()]),
            ["ADD TABLES IN SCHEMA \"a\"", "DROP TABLES IN SCHEMA \"c\""]
        );
        assert!(Wanted::read(Some(&["a.b.c".to_owned()]), None, None, None).is_err());
    }
}
