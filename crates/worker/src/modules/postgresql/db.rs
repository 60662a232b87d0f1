//! `community.postgresql.postgresql_db`.

mod dump;

use schemars::JsonSchema;
use serde::Deserialize;

use super::comment;
use crate::args::PathArg;
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::postgres::sql::{ident, literal};
use crate::postgres::{Row, Session, SqlError, login_arguments, sql};

login_arguments! {
    /// Manages the databases of a PostgreSQL server, dumps and restores them.
    pub struct Db {
        /// The database's name.
        #[serde(alias = "db")]
        name: String,
        /// The role that owns the database.
        #[serde(default)]
        owner: String,
        /// The database that a new one is a copy of.
        #[serde(default)]
        template: String,
        /// The encoding of a new database; that of one that is there must be this one.
        #[serde(default)]
        encoding: String,
        /// The order of texts in a new database; that of one that is there must be this one.
        #[serde(default)]
        lc_collate: String,
        /// The classes of characters in a new database; those of one that is there must be these.
        #[serde(default)]
        lc_ctype: String,
        /// The locale of ICU of a new database; that of one that is there must be this one.
        #[serde(default)]
        icu_locale: String,
        /// Who gives a new database its order of texts, `icu` or `libc`.
        #[serde(default)]
        locale_provider: String,
        /// Whether the database should be there, be dumped into `target` or restored from it, or get the name `target`.
        #[serde(default)]
        state: State,
        /// Whether sessions of others are ended before the database is dropped.
        #[serde(default)]
        force: bool,
        /// The file that a dump goes to or comes from, whose name tells its format; the new name with `rename`.
        #[serde(default)]
        target: Option<PathArg>,
        /// Further arguments for pg_dump, pg_restore or psql.
        #[serde(default)]
        target_opts: String,
        /// Further arguments for pg_dump.
        #[serde(default)]
        dump_extra_args: Option<String>,
        /// The database to connect to meanwhile.
        #[serde(default = "maintenance")]
        maintenance_db: String,
        /// How many connections the database may have; -1 for any number.
        #[serde(default)]
        conn_limit: String,
        /// The tablespace that the database is in.
        #[serde(default)]
        tablespace: String,
        /// The comment on the database; an empty one takes it away.
        #[serde(default)]
        comment: Option<String>,
    }
}

fn maintenance() -> String {
    "postgres".to_owned()
}

/// What becomes of a database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Absent,
    Dump,
    #[default]
    Present,
    Rename,
    Restore,
}

/// What goes before the server's own words.
const FAILED: &str = "Database query failed";

impl Module for Db {
    const NAME: &'static str = "community.postgresql.postgresql_db";

    fn check(&self) -> Result<(), String> {
        if self.state != State::Rename {
            return Ok(());
        }
        match self.target.as_ref().map(|target| target.0.as_str()).unwrap_or_default() {
            "" => Err("The \"target\" option must be defined when the \"rename\" option is used.".to_owned()),
            target if target == self.name => {
                Err("The \"name/db\" option and the \"target\" option cannot be the same.".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        if !self.trust_input {
            let inputs = [&self.name, &self.owner, &self.conn_limit, &self.encoding, &self.template, &self.tablespace];
            sql::refuse_dangerous(inputs.into_iter().map(String::as_str))?;
        }
        if matches!(self.state, State::Dump | State::Restore) {
            return self.moved(host);
        }
        let mut session = Session::open(host, &self.login(Some(&self.maintenance_db)))?;
        let kept = self.kept(&mut session).map_err(|error| error.failing(FAILED))?;
        // What the server does not do in a transaction is not one.
        let changed = match (self.state, &kept) {
            (State::Absent, None) => false,
            (State::Absent, Some(_)) => self.dropped(&mut session)?,
            (State::Rename, _) => self.renamed(&mut session, kept.is_some())?,
            (_, None) => self.made(host, &mut session)?,
            (_, Some(kept)) => self.altered(host, &mut session, kept)?,
        };
        let queries = std::mem::take(&mut session.queries);
        let told = if host.check_mode() { Vec::new() } else { queries };
        let outcome = Outcome::new(changed).with("db", self.name).with("executed_commands", told);
        if self.state != State::Rename {
            return Ok(outcome);
        }
        let warning = "state=rename is deprecated; a statement of postgresql_query does the same";
        Ok(outcome.with("warnings", vec![warning]))
    }
}

/// What a database is, as far as it can be asked for.
struct Kept {
    owner: String,
    encoding: String,
    collate: String,
    ctype: String,
    limit: String,
    tablespace: String,
    provider: String,
    icu: String,
    number: String,
}

impl Kept {
    fn of(row: &Row) -> Self {
        let [owner, encoding, collate, ctype, limit, tablespace, provider, icu, number] =
            std::array::from_fn(|index| row.text(index));
        Self { owner, encoding, collate, ctype, limit, tablespace, provider, icu, number }
    }
}

/// How a value stands in a statement.
type Quoting = fn(&str) -> String;

fn change(session: &mut Session<'_>, statement: &str) -> Result<(), Failure> {
    session.outside(statement).map(drop).map_err(|error| error.failing(FAILED))
}

impl Db {
    fn kept(&self, session: &mut Session<'_>) -> Result<Option<Kept>, SqlError> {
        let version = session.version()?;
        let provider = match version {
            150_000.. => "CASE datlocprovider WHEN 'i' THEN 'icu' WHEN 'c' THEN 'libc' WHEN 'b' THEN 'builtin' END",
            _ => "'libc'",
        };
        let icu = match version {
            170_000.. => "datlocale",
            150_000.. => "daticulocale",
            _ => "NULL",
        };
        let row = session.row(&format!(
            "SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype, datconnlimit, \
             (SELECT spcname FROM pg_tablespace t WHERE t.oid = d.dattablespace), {provider}, {icu}, encoding \
             FROM pg_database d WHERE datname = {}",
            literal(&self.name)
        ))?;
        Ok(row.as_ref().map(Kept::of))
    }

    fn exists(session: &mut Session<'_>, name: &str) -> Result<bool, Failure> {
        let asked = format!("SELECT 1 FROM pg_database WHERE datname = {}", literal(name));
        session.exists(&asked).map_err(|error| error.failing(FAILED))
    }

    fn dropped(&self, session: &mut Session<'_>) -> Result<bool, Failure> {
        let name = ident(&self.name);
        if !self.force {
            change(session, &format!("DROP DATABASE {name}"))?;
        } else if session.version()? >= 130_000 {
            change(session, &format!("DROP DATABASE {name} WITH (FORCE)"))?;
        } else {
            let name_text = literal(&self.name);
            change(
                session,
                &format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {name_text} \
                     AND pid <> pg_backend_pid()"
                ),
            )?;
            change(session, &format!("DROP DATABASE {name}"))?;
        }
        Ok(true)
    }

    fn renamed(&self, session: &mut Session<'_>, there: bool) -> Result<bool, Failure> {
        let target = self.target.as_ref().map_or("", |target| target.0.as_str());
        match (there, Self::exists(session, target)?) {
            (false, false) => Err(Failure::new("The source and the target databases do not exist.")),
            (true, true) => Err(Failure::new("Both the source and the target databases exist.")),
            (false, true) => Ok(false),
            (true, false) => {
                change(session, &format!("ALTER DATABASE {} RENAME TO {}", ident(&self.name), ident(target)))?;
                Ok(true)
            }
        }
    }

    fn made(&self, host: &Host, session: &mut Session<'_>) -> Result<bool, Failure> {
        let parts: [(&str, &str, Quoting); 8] = [
            ("OWNER", &self.owner, ident),
            ("TEMPLATE", &self.template, ident),
            ("ENCODING", &self.encoding, literal),
            ("LC_COLLATE", &self.lc_collate, literal),
            ("LC_CTYPE", &self.lc_ctype, literal),
            ("ICU_LOCALE", &self.icu_locale, literal),
            ("LOCALE_PROVIDER", &self.locale_provider, literal),
            ("TABLESPACE", &self.tablespace, ident),
        ];
        let mut statement = format!("CREATE DATABASE {}", ident(&self.name));
        for (word, value, quoted) in parts {
            if !value.is_empty() {
                statement.push_str(&format!(" {word} {}", quoted(value)));
            }
        }
        if !self.conn_limit.is_empty() {
            statement.push_str(&format!(" CONNECTION LIMIT {}", self.limit()));
        }
        change(session, &statement)?;
        self.commented(host, session)?;
        Ok(true)
    }

    /// The limit of connections: a number as it is, anything else as a text that the server refuses in its own words.
    fn limit(&self) -> String {
        if self.conn_limit.parse::<i64>().is_ok() { self.conn_limit.clone() } else { literal(&self.conn_limit) }
    }

    fn commented(&self, host: &Host, session: &mut Session<'_>) -> Result<bool, Failure> {
        let changed = comment(session, "DATABASE", &self.name, self.comment.as_deref())?;
        if !host.check_mode() {
            session.commit()?;
        }
        Ok(changed)
    }

    fn altered(&self, host: &Host, session: &mut Session<'_>, kept: &Kept) -> Result<bool, Failure> {
        let asks = |wanted: &str, held: &str| !wanted.is_empty() && wanted != held;
        let encoding = !self.encoding.is_empty() && !self.has_encoding(session, kept)?;
        let fixed = [
            (encoding, "database encoding is not supported. Current encoding: ", &kept.encoding),
            (asks(&self.lc_collate, &kept.collate), "LC_COLLATE is not supported. Current LC_COLLATE: ", &kept.collate),
            (asks(&self.lc_ctype, &kept.ctype), "LC_CTYPE is not supported.Current LC_CTYPE: ", &kept.ctype),
            (asks(&self.icu_locale, &kept.icu), "ICU_LOCALE is not supported.Current ICU_LOCALE: ", &kept.icu),
            (
                asks(&self.locale_provider.to_lowercase(), &kept.provider),
                "LOCALE_PROVIDER is not supported.Current LOCALE_PROVIDER: ",
                &kept.provider,
            ),
        ];
        if let Some((_, why, held)) = fixed.iter().find(|(differs, _, _)| *differs) {
            return Err(Failure::new(format!("Changing {why}{held}")));
        }
        let name = ident(&self.name);
        let mut changed = false;
        let statements = [
            (asks(&self.owner, &kept.owner), format!("ALTER DATABASE {name} OWNER TO {}", ident(&self.owner))),
            (asks(&self.conn_limit, &kept.limit), format!("ALTER DATABASE {name} CONNECTION LIMIT {}", self.limit())),
            (
                asks(&self.tablespace, &kept.tablespace),
                format!("ALTER DATABASE {name} SET TABLESPACE {}", ident(&self.tablespace)),
            ),
        ];
        for (_, statement) in statements.iter().filter(|(differs, _)| *differs) {
            change(session, statement)?;
            changed = true;
        }
        Ok(self.commented(host, session)? | changed)
    }

    /// Whether the encoding asked for is the database's own, by whatever name.
    fn has_encoding(&self, session: &mut Session<'_>, kept: &Kept) -> Result<bool, Failure> {
        let row = session.row(&format!("SELECT pg_char_to_encoding({})", literal(&self.encoding)))?;
        Ok(row.is_some_and(|row| row.text(0) == kept.number))
    }
}
