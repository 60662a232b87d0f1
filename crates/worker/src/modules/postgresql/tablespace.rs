//! `community.postgresql.postgresql_tablespace`.

use rplay_protocol::Object;
use serde_json::{Value, json};

use super::{comment, warned};
use crate::args::{PathArg, Presence};
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::postgres::sql::{ident, literal};
use crate::postgres::{Session, SqlError, login_arguments, sql};

login_arguments! {
    /// Manages the tablespaces of a PostgreSQL server.
    pub struct Tablespace {
        /// The tablespace's name.
        #[serde(alias = "name")]
        tablespace: String,
        /// Its directory, which must be there and belong to the server's user.
        #[serde(default, alias = "path")]
        location: Option<PathArg>,
        /// Whether the tablespace should be there.
        #[serde(default)]
        state: Presence,
        /// The role that owns it.
        #[serde(default)]
        owner: Option<String>,
        /// Its options; the value `reset` takes one away.
        #[serde(default)]
        set: Option<Object>,
        /// Its new name.
        #[serde(default)]
        rename_to: Option<String>,
        /// The comment on it; an empty one takes it away.
        #[serde(default)]
        comment: Option<String>,
        /// The database to connect to; the one of the user's name by default.
        #[serde(default, alias = "db")]
        login_db: Option<String>,
    }
}

/// A tablespace that is there.
#[derive(Debug, Default)]
struct Kept {
    owner: String,
    location: String,
    options: Object,
    comment: Value,
}

impl Module for Tablespace {
    const NAME: &'static str = "community.postgresql.postgresql_tablespace";

    fn check(&self) -> Result<(), String> {
        let given = self.location.is_some() || self.owner.is_some() || self.rename_to.is_some() || self.set.is_some();
        if self.state == Presence::Absent && given {
            return Err("state=absent is mutually exclusive location, owner, rename_to, and set".to_owned());
        }
        match self.set.iter().flatten().find(|(name, _)| !is_option(name)) {
            Some((name, _)) => Err(format!("'{name}' is not the name of an option")),
            None => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        if !self.trust_input {
            let location = self.location.as_ref().map(|path| &path.0);
            let inputs =
                [Some(&self.tablespace), location, self.owner.as_ref(), self.rename_to.as_ref(), self.comment.as_ref()];
            let options = self.set.iter().flatten().filter_map(|(_, value)| value.as_str());
            sql::refuse_dangerous(inputs.into_iter().flatten().map(String::as_str).chain(options))?;
        }
        let mut session = Session::open(host, &self.login(self.login_db.as_deref()))?;
        let kept = self.kept(&mut session)?;
        let there = kept.is_some();
        let mut kept = kept.unwrap_or_default();
        match self.state {
            Presence::Absent if there => {
                let statement = format!("DROP TABLESPACE {}", ident(&self.tablespace));
                self.outside(&mut session, &statement)?;
            }
            Presence::Absent => {}
            Presence::Present if self.rename_to.is_some() => self.rename(&mut session, there)?,
            Presence::Present => self.present(host, &mut session, &mut kept, there)?,
        }
        session.commit()?;
        if self.state == Presence::Present && self.rename_to.is_none() && !host.check_mode() {
            let after = self.kept(&mut session)?.unwrap_or_default();
            // What was just taken away is told as nothing.
            let gone = kept.options.into_iter().filter(|(_, value)| value.is_null());
            kept = Kept { options: after.options.clone().into_iter().chain(gone).collect(), ..after };
        }
        let queries = std::mem::take(&mut session.queries);
        let planned =
            host.check_mode() && ((there && self.state == Presence::Absent) || (!there && self.location.is_some()));
        let mut told = Outcome::new(!queries.is_empty() || planned)
            .with("state", if self.state == Presence::Present { "present" } else { "absent" })
            .with("tablespace", self.tablespace.as_str())
            .with("owner", kept.owner)
            .with("queries", queries)
            .with("options", kept.options)
            .with("location", kept.location)
            .with("comment", kept.comment);
        if let Some(name) = &self.rename_to {
            told.set("newname", name.as_str());
        }
        Ok(warned(told, &session))
    }
}

impl Tablespace {
    fn kept(&self, session: &mut Session<'_>) -> Result<Option<Kept>, Failure> {
        let row = session.row(&format!(
            "SELECT pg_get_userbyid(spcowner), pg_tablespace_location(oid), array_to_json(spcoptions), \
             shobj_description(oid, 'pg_tablespace') FROM pg_tablespace WHERE spcname = {}",
            literal(&self.tablespace)
        ))?;
        let Some(row) = row else { return Ok(None) };
        let options: Vec<String> = row.get(2).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let pair = |option: String| {
            let (name, value) = option.split_once('=')?;
            Some((name.to_owned(), Value::String(value.to_owned())))
        };
        Ok(Some(Kept {
            owner: row.text(0),
            location: row.text(1),
            options: options.into_iter().filter_map(pair).collect(),
            comment: json!(row.text(3)),
        }))
    }

    fn outside(&self, session: &mut Session<'_>, statement: &str) -> Result<(), Failure> {
        let failed = format!("Cannot execute SQL '{statement}'");
        session.outside(statement).map(drop).map_err(|error| error.failing(&failed))
    }

    fn rename(&self, session: &mut Session<'_>, there: bool) -> Result<(), Failure> {
        let Some(name) = &self.rename_to else { return Ok(()) };
        if !there {
            return Err(Failure::new(format!("Tablespace {} does not exist, nothing to rename", self.tablespace)));
        }
        execute(session, &format!("ALTER TABLESPACE {} RENAME TO {}", ident(&self.tablespace), ident(name)))
    }

    fn present(&self, host: &Host, session: &mut Session<'_>, kept: &mut Kept, there: bool) -> Result<(), Failure> {
        let location = self.location.as_ref().map(|path| host.path(path)).transpose()?;
        let location = location.map(|path| path.to_string_lossy().into_owned());
        let name = ident(&self.tablespace);
        if there {
            if location.is_some_and(|location| location != kept.location) {
                let (name, held) = (&self.tablespace, &kept.location);
                return Err(Failure::new(format!("Tablespace '{name}' exists with different location '{held}'")));
            }
        } else {
            let Some(location) = location else {
                let why = "'location' parameter must be passed with state=present if the tablespace doesn't exist";
                return Err(Failure::new(why));
            };
            self.outside(session, &format!("CREATE TABLESPACE {name} LOCATION {}", literal(&location)))?;
            // What is not there cannot be asked in check mode.
            if host.check_mode() {
                return Ok(());
            }
            if let Some(made) = self.kept(session)? {
                *kept = made;
            }
        }
        if let Some(owner) = self.owner.as_ref().filter(|owner| **owner != kept.owner) {
            execute(session, &format!("ALTER TABLESPACE {name} OWNER TO {}", ident(owner)))?;
            kept.owner.clone_from(owner);
        }
        for (option, value) in self.set.iter().flatten() {
            let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            let held = kept.options.get(option).and_then(Value::as_str);
            match (value.as_str(), held) {
                ("reset", None) => {}
                ("reset", Some(_)) => {
                    execute(session, &format!("ALTER TABLESPACE {name} RESET ({option})"))?;
                    kept.options.insert(option.clone(), Value::Null);
                }
                (value, held) if held == Some(value) => {}
                (value, _) => {
                    execute(session, &format!("ALTER TABLESPACE {name} SET ({option} = {})", literal(value)))?;
                    kept.options.insert(option.clone(), json!(value));
                }
            }
        }
        comment(session, "TABLESPACE", &self.tablespace, self.comment.as_deref()).map(drop)
    }
}

/// An option's name, which cannot be quoted.
fn is_option(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn execute(session: &mut Session<'_>, statement: &str) -> Result<(), Failure> {
    let failed = |error: SqlError| error.failing(&format!("Cannot execute SQL '{statement}'"));
    session.change(statement).map(drop).map_err(failed)
}
