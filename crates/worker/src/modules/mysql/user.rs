//! `community.mysql.mysql_user`.

use rplay_protocol::Object;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::privs::{self, Mode, Privileges};
use crate::args::Presence;
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};
use crate::mysql::{Session, SqlError, auth, login_arguments};

/// When a password is set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Update {
    #[default]
    Always,
    OnCreate,
    OnNewUsername,
}

login_arguments! {
    /// Manages the users of a MySQL or MariaDB server, their passwords and privileges.
    pub struct User {
        /// The user.
        #[serde(alias = "user")]
        name: String,
        /// The host that the user comes from.
        #[serde(default = "crate::mysql::default_host")]
        host: String,
        /// Whether all users of that name are meant, wherever they come from.
        #[serde(default)]
        host_all: bool,
        /// The password.
        #[serde(default)]
        password: Option<String>,
        /// Whether `password` is the hash of `mysql_native_password`.
        #[serde(default)]
        encrypted: bool,
        /// When the password is set.
        #[serde(default)]
        update_password: Update,
        /// The privileges, `db.table:priv,priv/db.table:priv` or a dictionary.
        #[serde(default, rename = "priv")]
        privileges: Option<Value>,
        /// Whether other privileges stay.
        #[serde(default)]
        append_privs: bool,
        /// Whether the privileges are taken away.
        #[serde(default)]
        subtract_privs: bool,
        /// Whether names of columns in privileges keep their case.
        #[serde(default)]
        column_case_sensitive: Option<bool>,
        /// What a connection must have: `ssl`, `x509`, or `subject`, `issuer` and `cipher`; empty for nothing.
        #[serde(default)]
        tls_requires: Option<Object>,
        /// How much the user may use, as `MAX_QUERIES_PER_HOUR`.
        #[serde(default)]
        resource_limits: Option<Object>,
        /// Whether the user should be there.
        #[serde(default)]
        state: Presence,
        /// Variables of the session, set before anything else.
        #[serde(default)]
        session_vars: Option<Object>,
        /// Without a meaning here.
        #[serde(default, rename = "force_context")]
        _force_context: bool,
        /// Whether a login as root without a password is tried first.
        #[serde(default)]
        check_implicit_admin: bool,
        /// Whether what is done is in the binary log.
        #[serde(default = "crate::args::yes")]
        sql_log_bin: bool,
        /// How the user logs in; not supported.
        #[serde(default)]
        plugin: Option<Value>,
        /// The hash of that; not supported.
        #[serde(default)]
        plugin_hash_string: Option<Value>,
        /// The password of that; not supported.
        #[serde(default)]
        plugin_auth_string: Option<Value>,
        /// The salt of that; not supported.
        #[serde(default)]
        salt: Option<Value>,
        /// When the password expires; not supported.
        #[serde(default)]
        password_expire: Option<Value>,
        /// After how many days; not supported.
        #[serde(default)]
        password_expire_interval: Option<Value>,
        /// Whether the user cannot log in; not supported.
        #[serde(default)]
        locked: Option<Value>,
        /// What is noted of the user; not supported.
        #[serde(default)]
        attributes: Option<Value>,
    }
}

/// The limits, and the columns that hold them.
const LIMITS: [(&str, &str); 5] = [
    ("MAX_QUERIES_PER_HOUR", "max_questions"),
    ("MAX_UPDATES_PER_HOUR", "max_updates"),
    ("MAX_CONNECTIONS_PER_HOUR", "max_connections"),
    ("MAX_USER_CONNECTIONS", "max_user_connections"),
    ("MAX_STATEMENT_TIME", "max_statement_time"),
];

const CASE: &str = "Option column_case_sensitive is not provided. The default is now false, so the column's name will be \
                    uppercased. The default will be changed to true in community.mysql 4.0.0.";

impl Module for User {
    const NAME: &'static str = "community.mysql.mysql_user";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        self.refuse_tls()?;
        let refused = [
            ("plugin", &self.plugin),
            ("plugin_hash_string", &self.plugin_hash_string),
            ("plugin_auth_string", &self.plugin_auth_string),
            ("salt", &self.salt),
            ("password_expire", &self.password_expire),
            ("password_expire_interval", &self.password_expire_interval),
            ("locked", &self.locked),
            ("attributes", &self.attributes),
        ];
        if let Some((name, _)) = refused.iter().find(|(_, value)| value.is_some()) {
            return Err(format!("`{name}` is not supported"));
        }
        if self.update_password == Update::OnNewUsername {
            return Err("`update_password: on_new_username` is not supported".to_owned());
        }
        if self.append_privs && self.subtract_privs {
            return Err("parameters are mutually exclusive: append_privs|subtract_privs".to_owned());
        }
        for name in self.resource_limits.iter().flat_map(Object::keys) {
            if !LIMITS.iter().any(|(limit, _)| limit.eq_ignore_ascii_case(name)) {
                return Err(format!("`{name}` is no limit of resources"));
            }
        }
        match &self.privileges {
            Some(text) => {
                privs::wanted(text, true).map(drop).map_err(|why| format!("invalid privileges string: {why}"))
            }
            None => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let mut login = self.login();
        (login.implicit, login.log) = (self.check_implicit_admin, self.sql_log_bin);
        let mut session = Session::open(host, &login, None)?;
        for (name, value) in self.session_vars.iter().flatten() {
            let written = value.as_str().map_or_else(|| value.to_string(), |text| session.literal(text));
            session.read(&format!("SET SESSION {} = {written}", crate::mysql::sql::ident(name)))?;
        }
        if let (true, Some(hash)) = (self.encrypted, &self.password)
            && !auth::is_native_hash(hash)
        {
            let msg = "encrypted was specified however it does not appear to be a valid hash expecting: *SHA1(SHA1(your_password))";
            return Err(Failure::new(msg));
        }
        let hosts = self.hosts(&mut session)?;
        let mut did = Did::default();
        match self.state {
            Presence::Absent => self.remove(&mut session, &hosts, &mut did)?,
            Presence::Present if hosts.is_empty() && self.host_all => {
                return Err(Failure::new("host_all parameter cannot be used when adding a user"));
            }
            Presence::Present if hosts.is_empty() => self.add(&mut session, host, &mut did)?,
            Presence::Present => {
                for from in &hosts {
                    self.modify(&mut session, host, from, &mut did)?;
                }
            }
        }
        let limited = self.state == Presence::Present && self.limit(&mut session, host)?;
        let outcome = Outcome::new(did.changed | limited).with("user", self.name).with("msg", did.message);
        let outcome = outcome.with("password_changed", did.password).with("attributes", did.attributes);
        Ok(if self.column_case_sensitive.is_none() { outcome.with("warnings", vec![CASE]) } else { outcome })
    }
}

/// What was done, as it is told.
#[derive(Default)]
struct Did {
    changed: bool,
    message: String,
    password: Value,
    attributes: Value,
}

impl User {
    /// The user as it is written in a statement.
    fn account(&self, session: &Session<'_>, from: &str) -> String {
        format!("{}@{}", session.literal(&self.name), session.literal(&from.to_lowercase()))
    }

    /// The hosts that users of this name come from, or the one that is meant, where that user is there.
    fn hosts(&self, session: &mut Session<'_>) -> Result<Vec<String>, SqlError> {
        let name = session.literal(&self.name);
        let sql = format!("SELECT Host FROM mysql.user WHERE User = {name}");
        let hosts: Vec<String> = session.rows(&sql)?.into_iter().flatten().collect();
        Ok(hosts.into_iter().filter(|host| self.host_all || host.eq_ignore_ascii_case(&self.host)).collect())
    }

    fn case_sensitive(&self) -> bool {
        self.column_case_sensitive.unwrap_or(false)
    }

    fn wanted(&self) -> Result<Option<Privileges>, Failure> {
        let wanted = self.privileges.as_ref().map(|text| privs::wanted(text, self.case_sensitive()));
        wanted.transpose().map_err(|why| Failure::new(format!("invalid privileges string: {why}")))
    }

    /// How a statement says who the user is.
    fn identified(&self, session: &Session<'_>, password: &str) -> String {
        let written = session.literal(password);
        match (self.encrypted, session.is_mariadb()) {
            (false, _) => format!("IDENTIFIED BY {written}"),
            (true, true) => format!("IDENTIFIED BY PASSWORD {written}"),
            (true, false) => format!("IDENTIFIED WITH mysql_native_password AS {written}"),
        }
    }

    fn remove(&self, session: &mut Session<'_>, hosts: &[String], did: &mut Did) -> Result<(), Failure> {
        for from in hosts {
            session.change(&format!("DROP USER {}", self.account(session, from)))?;
        }
        did.changed = !hosts.is_empty();
        did.message = if did.changed { "User deleted" } else { "User doesn't exist" }.to_owned();
        did.password = Value::Bool(false);
        Ok(())
    }

    fn add(&self, session: &mut Session<'_>, host: &Host, did: &mut Did) -> Result<(), Failure> {
        let wanted = self.wanted()?;
        let account = self.account(session, &self.host);
        let identified = self.password.as_ref().map(|password| format!(" {}", self.identified(session, password)));
        let requires = self.tls_requires.as_ref().map(|tls| required(tls, session)).transpose()?;
        let requires = requires.filter(|text| text != "NONE").map(|text| format!(" REQUIRE {text}"));
        let create = format!("CREATE USER {account}{}{}", identified.unwrap_or_default(), requires.unwrap_or_default());
        // The server's words about a syntax it does not understand quote the password.
        session.change(&create).map_err(|e| self.quietly(e))?;
        for (object, list) in wanted.iter().flatten().filter(|_| !self.subtract_privs) {
            grant(session, object, list, &account)?;
        }
        did.changed = true;
        did.message = "User added".to_owned();
        did.password = if host.check_mode() { Value::Null } else { Value::Bool(true) };
        Ok(())
    }

    fn quietly(&self, failure: Failure) -> Failure {
        match self.password.as_deref().filter(|password| !password.is_empty() && failure.msg.contains(*password)) {
            Some(password) => Failure::new(failure.msg.replace(password, "********")),
            None => failure,
        }
    }

    fn modify(&self, session: &mut Session<'_>, host: &Host, from: &str, did: &mut Did) -> Result<(), Failure> {
        let account = self.account(session, from);
        if did.message.is_empty() {
            did.message = "User unchanged".to_owned();
            did.attributes = Value::Object(Object::new());
            did.password = Value::Bool(false);
        }
        if self.update_password == Update::Always
            && let Some(password) = &self.password
            && self.has_another(session, from, password)?
        {
            let sql = format!("ALTER USER {account} {}", self.identified(session, password));
            session.change(&sql).map_err(|e| self.quietly(e))?;
            did.message =
                if host.check_mode() { "Password updated" } else { "Password updated (new style)" }.to_owned();
            (did.changed, did.password) = (true, Value::Bool(true));
        }
        if let Some(wanted) = self.wanted()? {
            self.give(session, host, &wanted, &account, did)?;
        }
        if let Some(tls) = &self.tls_requires {
            let wanted = required(tls, session)?;
            if wanted != self.requirement(session, from)? {
                session.change(&format!("ALTER USER {account} REQUIRE {wanted}"))?;
                did.changed = true;
                did.message = "TLS requires updated".to_owned();
            }
        }
        Ok(())
    }

    /// Whether the user has another password.
    fn has_another(&self, session: &mut Session<'_>, from: &str, password: &str) -> Result<bool, SqlError> {
        let (name, from) = (session.literal(&self.name), session.literal(from));
        let sql = format!("SELECT plugin, authentication_string FROM mysql.user WHERE User = {name} AND Host = {from}");
        let row = session.rows(&sql)?.into_iter().next().unwrap_or_default();
        let kept = row.get(1).cloned().unwrap_or_default();
        let hash = if self.encrypted { password.to_owned() } else { auth::native_hash(password) };
        Ok(kept != hash)
    }

    fn give(
        &self,
        session: &mut Session<'_>,
        host: &Host,
        wanted: &Privileges,
        account: &str,
        did: &mut Did,
    ) -> Result<(), Failure> {
        let mode = match (self.append_privs, self.subtract_privs) {
            (true, _) => Mode::Append,
            (_, true) => Mode::Subtract,
            _ => Mode::Exact,
        };
        let before = self.granted(session, account)?;
        let plan = privs::plan(&before, wanted, mode);
        if plan == privs::Plan::default() {
            return Ok(());
        }
        for (object, list) in &plan.revoke {
            for statement in privs::revoke(object, list, account) {
                session.change(&statement)?;
            }
        }
        for (object, list) in &plan.grant {
            grant(session, object, list, account)?;
        }
        // Some privileges have several names: whether anything is another way is seen afterwards.
        did.changed |= host.check_mode() || self.granted(session, account)? != before;
        let told = |parts: &[(String, Vec<String>)]| {
            let words: Vec<String> = parts.iter().flat_map(|(_, list)| list.iter().map(|p| format!("'{p}'"))).collect();
            format!("[{}]", words.join(", "))
        };
        did.message = format!("Privileges updated: granted {}, revoked {}", told(&plan.grant), told(&plan.revoke));
        Ok(())
    }

    fn granted(&self, session: &mut Session<'_>, account: &str) -> Result<Privileges, SqlError> {
        let lines: Vec<String> = session.rows(&format!("SHOW GRANTS FOR {account}"))?.into_iter().flatten().collect();
        Ok(privs::granted(&lines, self.case_sensitive()))
    }

    /// What a connection of the user must have, as in a statement.
    fn requirement(&self, session: &mut Session<'_>, from: &str) -> Result<String, SqlError> {
        let (name, from) = (session.literal(&self.name), session.literal(from));
        let columns = "ssl_type, x509_subject, x509_issuer, ssl_cipher";
        let sql = format!("SELECT {columns} FROM mysql.user WHERE User = {name} AND Host = {from}");
        let row = session.rows(&sql)?.into_iter().next().unwrap_or_default();
        let of = |index: usize| row.get(index).cloned().unwrap_or_default();
        let parts = [("SUBJECT", of(1)), ("ISSUER", of(2)), ("CIPHER", of(3))];
        Ok(match of(0).as_str() {
            "ANY" => "SSL".to_owned(),
            "X509" => "X509".to_owned(),
            "SPECIFIED" => specified(parts.iter().map(|(name, value)| (*name, value.as_str())), session),
            _ => "NONE".to_owned(),
        })
    }

    /// Sets the limits that are others; whether there are any.
    fn limit(&self, session: &mut Session<'_>, host: &Host) -> Result<bool, Failure> {
        let Some(limits) = self.resource_limits.as_ref().filter(|limits| !limits.is_empty()) else { return Ok(false) };
        let mut changed = false;
        let hosts = self.hosts(session)?;
        if hosts.is_empty() {
            return Ok(host.check_mode());
        }
        for from in hosts {
            let mut parts = Vec::new();
            for (name, value) in limits {
                let Some((limit, column)) = LIMITS.iter().find(|(limit, _)| limit.eq_ignore_ascii_case(name)) else {
                    continue;
                };
                let number = value.as_str().map_or_else(|| value.as_f64(), |text| text.trim().parse().ok());
                let number = number.ok_or_else(|| Failure::new(format!("the limit `{name}` is no number")))?;
                let (user, place) = (session.literal(&self.name), session.literal(&from));
                let sql = format!("SELECT {column} FROM mysql.user WHERE User = {user} AND Host = {place}");
                let kept = session.rows(&sql)?.into_iter().flatten().next().and_then(|text| text.parse::<f64>().ok());
                if kept.is_none_or(|kept| (kept - number).abs() > f64::EPSILON) {
                    parts.push(format!("{limit} {number}"));
                }
            }
            if !parts.is_empty() {
                let account = self.account(session, &from);
                session.change(&format!("ALTER USER {account} WITH {}", parts.join(" ")))?;
                changed = true;
            }
        }
        Ok(changed)
    }
}

fn grant(session: &mut Session<'_>, object: &str, list: &[String], account: &str) -> Result<(), Failure> {
    let sql = privs::grant(object, list, account);
    let failing = |e: Failure| {
        let list = list.join(",");
        Failure::new(format!(
            "Error granting privileges, invalid priv string: {list} , query: {sql} , exception: {}.",
            e.msg
        ))
    };
    session.change(&sql).map_err(failing).map(drop)
}

/// What a connection must have, as in a statement.
fn required(tls: &Object, session: &Session<'_>) -> Result<String, Failure> {
    let has = |name: &str| tls.keys().any(|key| key.eq_ignore_ascii_case(name));
    let of =
        |name: &str| tls.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).and_then(|(_, value)| value.as_str());
    if let Some(name) =
        tls.keys().find(|key| !["SSL", "X509", "SUBJECT", "ISSUER", "CIPHER"].contains(&key.to_uppercase().as_str()))
    {
        return Err(Failure::new(format!("`{name}` is no requirement of `tls_requires`")));
    }
    Ok(match tls.is_empty() {
        true => "NONE".to_owned(),
        false if has("SSL") => "SSL".to_owned(),
        false if has("X509") => "X509".to_owned(),
        false => specified(
            ["SUBJECT", "ISSUER", "CIPHER"].into_iter().map(|name| (name, of(name).unwrap_or_default())),
            session,
        ),
    })
}

fn specified<'a>(parts: impl Iterator<Item = (&'a str, &'a str)>, session: &Session<'_>) -> String {
    let given = parts.filter(|(_, value)| !value.is_empty());
    given.map(|(name, value)| format!("{name} {}", session.literal(value))).collect::<Vec<_>>().join(" AND ")
}
