//! `community.postgresql.postgresql_privs`.

mod kinds;

use kinds::Kind;

use super::told;
use crate::args::{Presence, python_repr, yes};
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::postgres::sql::{ident, literal};
use crate::postgres::{Session, login_arguments, sql};

login_arguments! {
    /// Grants and revokes privileges on what is in a PostgreSQL server.
    pub struct Privs {
        /// The database.
        #[serde(alias = "db", alias = "database")]
        login_db: String,
        /// Whether the privileges are granted or revoked.
        #[serde(default)]
        state: Presence,
        /// The privileges, between commas.
        #[serde(default, alias = "priv")]
        privs: Option<String>,
        /// The kind of what they are about.
        #[serde(default)]
        r#type: Kind,
        /// What they are about, between commas, or `ALL_IN_SCHEMA`; in the types of a routine's arguments colons stand for commas.
        #[serde(default, alias = "obj")]
        objs: Option<String>,
        /// The schema that it is in; `public` by default, `not-specified` for none.
        #[serde(default)]
        schema: Option<String>,
        /// The roles, between commas; `PUBLIC`, `CURRENT_ROLE`, `CURRENT_USER` and `SESSION_USER` mean what they mean in SQL.
        #[serde(alias = "role")]
        roles: String,
        /// The roles whose new objects get the default privileges.
        #[serde(default)]
        target_roles: Option<String>,
        /// Whether a role that is not there is a failure; otherwise it is left out with a warning.
        #[serde(default = "yes")]
        fail_on_role: bool,
        /// Whether the roles may grant the privileges to others; nothing leaves that as it is.
        #[serde(default, alias = "admin_option")]
        grant_option: Option<bool>,
    }
}

/// Roles that are no names.
const IMPLICIT: [&str; 4] = ["PUBLIC", "CURRENT_ROLE", "CURRENT_USER", "SESSION_USER"];

/// Objects of all kinds that are made in a schema.
const ALL_IN_SCHEMA: &str = "ALL_IN_SCHEMA";

impl Module for Privs {
    const NAME: &'static str = "community.postgresql.postgresql_privs";

    fn check(&self) -> Result<(), String> {
        let name = self.r#type.name();
        let required = |what: &str| Err(format!("Argument \"{what}\" is required for type \"{name}\"."));
        if self.r#type == Kind::Group {
            if self.privs.is_some() {
                return Err("Argument \"privs\" not allowed for type \"group\".".to_owned());
            }
        } else if self.privs.as_deref().unwrap_or_default().is_empty() {
            return required("privs");
        }
        if self.objs.as_deref().unwrap_or_default().is_empty() && self.r#type != Kind::Database {
            return required("objs");
        }
        if self.schema.is_some() && !self.r#type.has_schema() {
            return Err(format!("Argument \"schema\" is not allowed for type \"{name}\"."));
        }
        let unknown: Vec<String> =
            self.privileges().into_iter().filter(|p| !kinds::PRIVILEGES.contains(&p.as_str())).collect();
        if !unknown.is_empty() {
            return Err(format!("Invalid privileges specified: {}", set(&unknown)));
        }
        if self.r#type == Kind::DefaultPrivs {
            self.check_defaults()?;
        }
        self.objects().map(drop).map_err(|failure| failure.msg)
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        if !self.trust_input {
            let inputs = [Some(&self.roles), self.target_roles.as_ref(), self.schema.as_ref(), self.objs.as_ref()];
            sql::refuse_dangerous(inputs.into_iter().flatten().map(String::as_str))?;
        }
        let mut session = Session::open(host, &self.login(Some(&self.login_db)))?;
        let roles = self.roles(&mut session)?;
        if roles.is_empty() {
            return Ok(told(false, &mut session));
        }
        if self.is_all_in_schema() {
            self.require_schema(&mut session)?;
        }
        let statement = self.statement(&roles)?;
        let looked = |session: &mut Session<'_>| -> Result<Vec<Vec<Option<String>>>, Failure> {
            let rows = session.read(&self.question()?)?;
            Ok(rows.into_iter().map(|row| row.values).collect())
        };
        let failed = |error: crate::postgres::SqlError| error.failing(&format!("Cannot execute SQL '{statement}'"));
        // Whether something changes is what the server itself tells before and after.
        let before = looked(&mut session)?;
        session.change(&statement).map_err(failed)?;
        let after = looked(&mut session)?;
        session.commit()?;
        Ok(told(before != after, &mut session))
    }
}

impl Privs {
    /// The privileges, in capitals, each once, in the order of names.
    fn privileges(&self) -> Vec<String> {
        let mut privileges: Vec<String> =
            self.privs.iter().flat_map(|privs| privs.split(',')).map(|p| p.trim().to_uppercase()).collect();
        privileges.sort();
        privileges.dedup();
        privileges
    }

    fn is_all_in_schema(&self) -> bool {
        self.r#type.has_all() && self.objs.as_deref() == Some(ALL_IN_SCHEMA)
    }

    /// The schema; nothing where none is meant.
    fn schema(&self) -> Option<&str> {
        if !self.r#type.has_schema() {
            return None;
        }
        Some(self.schema.as_deref().filter(|schema| !schema.is_empty()).unwrap_or("public"))
            .filter(|s| *s != "not-specified")
    }

    /// The roles that are there, as they stand in a statement.
    fn roles(&self, session: &mut Session<'_>) -> Result<Vec<String>, Failure> {
        let mut roles = Vec::new();
        for role in self.roles.split(',').map(str::trim) {
            let implicit = IMPLICIT.contains(&role.to_uppercase().as_str());
            if implicit {
                roles.push(role.to_uppercase());
            } else if session.has_role(role)? {
                roles.push(ident(role));
            } else if self.fail_on_role {
                return Err(Failure::new(format!("Role '{role}' does not exist")));
            } else {
                session.warnings.push(format!("Role '{role}' does not exist, nothing to do"));
            }
        }
        Ok(roles)
    }

    fn require_schema(&self, session: &mut Session<'_>) -> Result<(), Failure> {
        let Some(schema) = self.schema() else { return Err(Failure::new("ALL_IN_SCHEMA needs a schema")) };
        if session.exists(&format!("SELECT 1 FROM pg_namespace WHERE nspname = {}", literal(schema)))? {
            return Ok(());
        }
        Err(Failure::new(format!("Schema \"{schema}\" does not exist.")))
    }

    /// The objects as they stand in a statement.
    fn objects(&self) -> Result<Vec<String>, Failure> {
        let names = self.objs.as_deref().filter(|objs| !objs.is_empty()).unwrap_or(&self.login_db);
        let schema = self.schema().map(|schema| format!("{}.", ident(schema))).unwrap_or_default();
        names
            .split(',')
            .map(str::trim)
            .map(|name| match self.r#type {
                Kind::Function | Kind::Procedure if name == ALL_IN_SCHEMA => Ok(name.to_owned()),
                Kind::Function | Kind::Procedure => {
                    let (routine, types) = kinds::routine(name)?;
                    Ok(format!("{schema}{}{types}", ident(&routine)))
                }
                Kind::Parameter => kinds::parameter(name),
                _ => Ok(format!("{schema}{}", ident(name))),
            })
            .collect()
    }

    /// What is granted or revoked, upon what.
    fn subject(&self) -> Result<String, Failure> {
        if self.r#type == Kind::Group {
            return Ok(self.objects()?.join(","));
        }
        let privileges = self.privileges().join(",");
        if let (true, Some(schema)) = (self.is_all_in_schema(), self.schema()) {
            return Ok(format!("{privileges} ON ALL {} IN SCHEMA {}", self.r#type.plural(), ident(schema)));
        }
        Ok(format!("{privileges} ON {} {}", self.r#type.words(), self.objects()?.join(",")))
    }

    fn statement(&self, roles: &[String]) -> Result<String, Failure> {
        let roles = roles.join(",");
        if self.r#type == Kind::DefaultPrivs {
            return self.default_statement(&roles);
        }
        let subject = self.subject()?;
        let option = if self.r#type == Kind::Group { "ADMIN" } else { "GRANT" };
        Ok(match (self.state, self.grant_option) {
            (Presence::Absent, _) => format!("REVOKE {subject} FROM {roles};"),
            (Presence::Present, None) => format!("GRANT {subject} TO {roles};"),
            (Presence::Present, Some(true)) => format!("GRANT {subject} TO {roles} WITH {option} OPTION;"),
            (Presence::Present, Some(false)) => {
                format!("GRANT {subject} TO {roles};\nREVOKE {option} OPTION FOR {subject} FROM {roles};")
            }
        })
    }

    /// The classes of objects that default privileges are about.
    fn classes(&self) -> Vec<String> {
        let given = self.objs.as_deref().unwrap_or_default().to_uppercase();
        if given == "ALL_DEFAULT" {
            return ["TABLES", "SEQUENCES", "FUNCTIONS", "TYPES"].map(ToOwned::to_owned).to_vec();
        }
        given.split(',').map(|class| class.trim().to_owned()).collect()
    }

    fn check_defaults(&self) -> Result<(), String> {
        let classes = self.classes();
        let unknown: Vec<String> = classes.iter().filter(|class| kinds::class(class).is_none()).cloned().collect();
        if !unknown.is_empty() {
            return Err(format!("Invalid Object set specified: {}", set(&unknown)));
        }
        let fits = |privilege: &String, class: &String| {
            kinds::class(class).is_some_and(|(_, fine)| fine.contains(&privilege.as_str()))
        };
        let fine = |privilege: &String| privilege == "ALL" || classes.iter().all(|class| fits(privilege, class));
        if self.privileges().iter().all(fine) {
            return Ok(());
        }
        let valid = self.privileges().into_iter().filter(fine).collect::<Vec<_>>();
        Err(format!("Invalid priv specified. Valid object for priv: {}. Objects: {}", set(&valid), set(&classes)))
    }

    fn default_statement(&self, roles: &str) -> Result<String, Failure> {
        let targets: Vec<String> = self
            .target_roles
            .iter()
            .flat_map(|targets| targets.split(','))
            .map(|target| ident(target.trim()))
            .collect();
        let targets = if targets.is_empty() { String::new() } else { format!(" FOR ROLE {}", targets.join(",")) };
        let schema = self.schema().map(|schema| format!(" IN SCHEMA {}", ident(schema))).unwrap_or_default();
        let begin = format!("ALTER DEFAULT PRIVILEGES{targets}{schema}");
        let classes = self.classes();
        let privileges = self.privileges().join(",");
        let mut lines: Vec<String> =
            classes.iter().map(|class| format!("{begin} REVOKE ALL ON {class} FROM {roles};")).collect();
        if self.state == Presence::Present {
            let option = if self.grant_option == Some(true) { " WITH GRANT OPTION" } else { "" };
            lines.extend(
                classes.iter().map(|class| format!("{begin} GRANT {privileges} ON {class} TO {roles}{option};")),
            );
            if self.grant_option == Some(false) {
                let revoked =
                    |class: &String| format!("{begin} REVOKE GRANT OPTION FOR {privileges} ON {class} FROM {roles};");
                lines.extend(classes.iter().map(revoked));
            }
        }
        Ok(lines.join("\n"))
    }

    /// A statement that tells the privileges there are on what this is about, in an order of its own.
    fn question(&self) -> Result<String, Failure> {
        let names = self.objs.as_deref().filter(|objs| !objs.is_empty()).unwrap_or(&self.login_db);
        let names: Vec<String> = names
            .split(',')
            .map(|name| match self.r#type {
                Kind::Function | Kind::Procedure => Ok(kinds::routine(name.trim())?.0),
                Kind::Parameter => Ok(name.trim().to_lowercase()),
                _ => Ok(name.trim().to_owned()),
            })
            .collect::<Result<_, Failure>>()?;
        let names = names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ");
        Ok(self.r#type.question(&names, self.schema().map(literal).as_deref(), self.is_all_in_schema()))
    }
}

/// Words as Python shows a set that does not change, which the reference's messages do.
fn set(words: &[String]) -> String {
    if words.is_empty() {
        return "frozenset()".to_owned();
    }
    let words: Vec<String> = words.iter().map(|word| python_repr(&word.as_str().into())).collect();
    format!("frozenset({{{}}})", words.join(", "))
}

#[cfg(test)]
mod tests;
