//! `community.postgresql.postgresql_membership`.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::told;
use crate::args::yes;
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::postgres::sql::{ident, literal};
use crate::postgres::{Session, SqlError, login_arguments, sql};

login_arguments! {
    /// Makes roles of a PostgreSQL server members of others.
    pub struct Membership {
        /// The roles that are granted or revoked.
        #[serde(alias = "group", alias = "source_role", alias = "source_roles")]
        groups: Vec<String>,
        /// The roles that they are granted to or revoked from.
        #[serde(alias = "target_role", alias = "users", alias = "user")]
        target_roles: Vec<String>,
        /// Whether a role that is not there is a failure; otherwise it is left out with a warning.
        #[serde(default = "yes")]
        fail_on_role: bool,
        /// Whether the groups are granted, revoked, or the only ones.
        #[serde(default)]
        state: State,
        /// The database to connect to; the one of the user's name by default.
        #[serde(default, alias = "db")]
        login_db: Option<String>,
    }
}

/// What becomes of the groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Absent,
    Exact,
    #[default]
    Present,
}

/// Groups with the roles that they were granted to, or revoked from.
type Moved = IndexMap<String, Vec<String>>;

impl Module for Membership {
    const NAME: &'static str = "community.postgresql.postgresql_membership";

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        if !self.trust_input {
            sql::refuse_dangerous(self.groups.iter().chain(&self.target_roles).map(String::as_str))?;
        }
        let mut session = Session::open(host, &self.login(self.login_db.as_deref()))?;
        let groups = self.there(&mut session, &self.groups)?;
        let targets = self.there(&mut session, &self.target_roles)?;
        let (mut granted, mut revoked) = (Moved::new(), Moved::new());
        match self.state {
            State::Present => {
                for group in &groups {
                    let granted = granted.entry(group.clone()).or_default();
                    for target in &targets {
                        if !groups_of(&mut session, target)?.contains(group) {
                            grant(&mut session, group, target)?;
                            granted.push(target.clone());
                        }
                    }
                }
            }
            State::Absent => {
                for group in &groups {
                    let revoked = revoked.entry(group.clone()).or_default();
                    for target in &targets {
                        if groups_of(&mut session, target)?.contains(group) {
                            revoke(&mut session, group, target)?;
                            revoked.push(target.clone());
                        }
                    }
                }
            }
            State::Exact => {
                for target in &targets {
                    let kept = groups_of(&mut session, target)?;
                    for group in kept.iter().filter(|group| !groups.contains(group)) {
                        revoke(&mut session, group, target)?;
                        revoked.entry(group.clone()).or_default().push(target.clone());
                    }
                    for group in groups.iter().filter(|group| !kept.contains(group)) {
                        grant(&mut session, group, target)?;
                        granted.entry(group.clone()).or_default().push(target.clone());
                    }
                }
            }
        }
        session.commit()?;
        let changed = !session.queries.is_empty();
        let mut outcome = told(changed, &mut session).with("groups", groups).with("target_roles", targets);
        if self.state != State::Absent {
            outcome.set("granted", json!(granted));
        }
        if self.state != State::Present {
            outcome.set("revoked", json!(revoked));
        }
        let state = match self.state {
            State::Absent => "absent",
            State::Exact => "exact",
            State::Present => "present",
        };
        Ok(outcome.with("state", state))
    }
}

impl Membership {
    /// Those of the roles that are there.
    fn there(&self, session: &mut Session<'_>, names: &[String]) -> Result<Vec<String>, Failure> {
        let mut there = Vec::new();
        for name in names {
            if session.has_role(name)? {
                there.push(name.clone());
            } else if self.fail_on_role {
                return Err(Failure::new(format!("Role {name} does not exist")));
            } else {
                session.warnings.push(format!("Role {name} does not exist, pass"));
            }
        }
        Ok(there)
    }
}

/// The groups that a role is a member of.
fn groups_of(session: &mut Session<'_>, role: &str) -> Result<Vec<String>, SqlError> {
    let rows = session.read(&format!(
        "SELECT DISTINCT pg_get_userbyid(m.roleid) AS name FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member \
         WHERE r.rolname = {} ORDER BY name",
        literal(role)
    ))?;
    Ok(rows.iter().map(|row| row.text(0)).collect())
}

fn grant(session: &mut Session<'_>, group: &str, target: &str) -> Result<(), Failure> {
    execute(session, &format!("GRANT {} TO {}", ident(group), ident(target)))
}

fn revoke(session: &mut Session<'_>, group: &str, target: &str) -> Result<(), Failure> {
    execute(session, &format!("REVOKE {} FROM {}", ident(group), ident(target)))
}

fn execute(session: &mut Session<'_>, statement: &str) -> Result<(), Failure> {
    session.change(statement).map(drop).map_err(|error| error.failing(&format!("Cannot execute SQL '{statement}'")))
}
