//! The modules of community.postgresql, which talk to the server by [`crate::postgres`].

mod db;
mod ext;
mod info;
mod membership;
mod owner;
mod pg_hba;
mod ping;
mod privs;
mod publication;
mod query;
mod schema;
mod script;
mod set;
mod slot;
mod statement;
mod subscription;
mod tablespace;
mod user;

pub use db::Db;
pub use ext::Ext;
pub use info::Info;
pub use membership::Membership;
pub use owner::Owner;
pub use pg_hba::PgHba;
pub use ping::Ping;
pub use privs::Privs;
pub use publication::Publication;
pub use query::Query;
pub use schema::Schema;
pub use script::Script;
pub use set::Set;
pub use slot::Slot;
pub use subscription::Subscription;
pub use tablespace::Tablespace;
pub use user::User;

use rplay_protocol::Object;

use crate::module::{Failure, Outcome};
use crate::postgres::Session;
use crate::postgres::sql::{ident, literal};

/// What changed, with the statements that did it.
fn told(changed: bool, session: &mut Session<'_>) -> Outcome {
    let queries = std::mem::take(&mut session.queries);
    warned(Outcome::new(changed).with("queries", queries), session)
}

/// An outcome with what the session warned of.
fn warned(outcome: Outcome, session: &Session<'_>) -> Outcome {
    match session.warnings.as_slice() {
        [] => outcome,
        warnings => outcome.with("warnings", warnings.to_vec()),
    }
}

/// Warns that no database was named, as the reference does for some modules.
fn warn_of_default(session: &mut Session<'_>, database: Option<&str>) {
    if database.is_none_or(str::is_empty) {
        session.warnings.push("no login_db is given: the database of the user's name is used".to_owned());
    }
}

/// Fails on what is not the name of a parameter; these stand in statements as they are.
fn check_parameters<'a>(parameters: impl Iterator<Item = &'a Object>) -> Result<(), String> {
    let fine = |name: &&String| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match parameters.flat_map(Object::keys).find(|name| !fine(name)) {
        Some(name) => Err(format!("'{name}' is not the name of a parameter")),
        None => Ok(()),
    }
}

/// Sets the comment on an object of a kind that all databases share; whether it was another one.
fn comment(session: &mut Session<'_>, kind: &str, name: &str, wanted: Option<&str>) -> Result<bool, Failure> {
    let Some(wanted) = wanted else { return Ok(false) };
    let (catalog, column) = match kind {
        "ROLE" => ("pg_authid", "rolname"),
        "DATABASE" => ("pg_database", "datname"),
        "TABLESPACE" => ("pg_tablespace", "spcname"),
        "SCHEMA" => ("pg_namespace", "nspname"),
        "EXTENSION" => ("pg_extension", "extname"),
        "PUBLICATION" => ("pg_publication", "pubname"),
        "SUBSCRIPTION" => ("pg_subscription", "subname"),
        other => return Err(Failure::new(format!("no comment can be set on a {other}"))),
    };
    // Roles are read through the view that everybody may read.
    let from = if kind == "ROLE" { "pg_roles" } else { catalog };
    let shared = matches!(kind, "ROLE" | "DATABASE" | "TABLESPACE");
    let described = if shared { "shobj_description" } else { "obj_description" };
    let kept =
        session.row(&format!("SELECT {described}(oid, '{catalog}') FROM {from} WHERE {column} = {}", literal(name)))?;
    if kept.is_some_and(|row| row.text(0) == wanted) {
        return Ok(false);
    }
    session.plan(&format!("COMMENT ON {kind} {} IS {}", ident(name), literal(wanted)))?;
    Ok(true)
}
