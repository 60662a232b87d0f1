//! How to get to a server: the arguments that all modules of PostgreSQL have, and the environment.

use std::path::PathBuf;
use std::time::Duration;

use rplay_protocol::Object;
use serde_json::Value;

use super::tls::{SslMode, Tls};
use crate::args::PathArg;
use crate::host::Host;
use crate::module::Failure;

/// Where a server listens and who comes, as a module's arguments say.
#[derive(Debug, Clone, Default)]
pub struct Login {
    pub host: String,
    pub socket: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub mode: SslMode,
    pub root: Option<PathArg>,
    pub cert: Option<PathArg>,
    pub key: Option<PathArg>,
    pub parameters: Object,
    pub database: Option<String>,
    pub role: Option<String>,
    pub encoding: Option<String>,
    pub trust: bool,
}

/// Declares a module's arguments together with those that say how to get to the server.
///
/// The struct gets a method `login(database)`.
macro_rules! login_arguments {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$fmeta:meta])* $field:ident : $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
        $vis struct $name {
            $($(#[$fmeta])* $field: $ty,)*
            /// The server's host name or address; empty for a Unix socket.
            #[serde(default, alias = "host")]
            login_host: String,
            /// The directory of the server's Unix socket.
            #[serde(default, alias = "unix_socket")]
            login_unix_socket: String,
            /// The server's port, also part of the socket's name.
            #[serde(default = "crate::postgres::default_port", alias = "port")]
            login_port: u16,
            /// The user to log in as.
            #[serde(default = "crate::postgres::default_user", alias = "login")]
            login_user: String,
            /// The password to log in with.
            #[serde(default)]
            login_password: String,
            /// Whether the connection is encrypted, and what the server has to prove.
            #[serde(default)]
            ssl_mode: crate::postgres::SslMode,
            /// A file with certificates of authorities; when it is there, one of them must have signed the server's.
            #[serde(default, alias = "ssl_rootcert")]
            ca_cert: Option<crate::args::PathArg>,
            /// A file with the client's own certificate.
            #[serde(default)]
            ssl_cert: Option<crate::args::PathArg>,
            /// A file with its key.
            #[serde(default)]
            ssl_key: Option<crate::args::PathArg>,
            /// Further parameters of the connection, as libpq names them; they outweigh the other arguments.
            #[serde(default)]
            connect_params: rplay_protocol::Object,
            /// The role to switch to after the login.
            #[serde(default)]
            session_role: Option<String>,
            /// Whether values are used without looking for what is dangerous in SQL; they are quoted in any case.
            #[serde(default = "crate::args::yes")]
            trust_input: bool,
        }
        impl $name {
            /// How to get to a database of the server.
            fn login(&self, database: Option<&str>) -> crate::postgres::Login {
                crate::postgres::Login {
                    host: self.login_host.clone(),
                    socket: self.login_unix_socket.clone(),
                    port: self.login_port,
                    user: self.login_user.clone(),
                    password: self.login_password.clone(),
                    mode: self.ssl_mode,
                    root: self.ca_cert.clone(),
                    cert: self.ssl_cert.clone(),
                    key: self.ssl_key.clone(),
                    parameters: self.connect_params.clone(),
                    database: database.filter(|name| !name.is_empty()).map(ToOwned::to_owned),
                    role: self.session_role.clone().filter(|role| !role.is_empty()),
                    encoding: None,
                    trust: self.trust_input,
                }
            }
        }
    };
}
pub(crate) use login_arguments;

/// The port that servers listen on.
pub fn default_port() -> u16 {
    5432
}

/// The user that servers are looked after by.
pub fn default_user() -> String {
    "postgres".to_owned()
}

/// A place where a server may listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The directory of a Unix socket.
    Socket(String),
    /// A host's name or address.
    Host(String),
}

/// What a server has to be for the connection to be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wanted {
    #[default]
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
}

/// All that a connection is made with.
#[derive(Debug, Clone)]
pub struct Target {
    /// The places that are tried one after another, with their ports.
    pub places: Vec<(Place, u16)>,
    /// An address to use instead of asking for the host's.
    pub address: Option<String>,
    pub tls: Tls,
    pub password: Option<String>,
    /// What the server is told at the start.
    pub startup: Vec<(String, String)>,
    pub timeout: Option<Duration>,
    pub wanted: Wanted,
}

/// Where a server's socket is when nobody says.
const SOCKETS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

impl Login {
    /// Settles the arguments, the parameters that outweigh them, and the environment.
    pub fn target(&self, host: &Host) -> Result<Target, Failure> {
        let mut given = Given { parameters: self.parameters.clone(), host };
        let user = given.take("user").unwrap_or_else(|| self.user.clone());
        let database = given.take("dbname").or_else(|| given.take("database")).or_else(|| self.database.clone());
        let places = given.places(self)?;
        let mode = match given.take("sslmode") {
            Some(name) => {
                SslMode::named(&name).ok_or_else(|| refused(&format!("invalid sslmode value: \"{name}\"\n")))?
            }
            None => self.mode,
        };
        let mut path = |name: &str, own: &Option<PathArg>, default: &str| {
            let given = given.take(name).map(PathArg).or_else(|| own.clone());
            let given = given.or_else(|| Some(PathArg(format!("{}/.postgresql/{default}", given_home(host)?))));
            given.map(|path| host.path(&path)).transpose()
        };
        let tls = Tls {
            mode,
            root: path("sslrootcert", &self.root, "root.crt")?,
            cert: path("sslcert", &self.cert, "postgresql.crt")?,
            key: path("sslkey", &self.key, "postgresql.key")?,
        };
        let timeout = given.take_or("connect_timeout", "PGCONNECT_TIMEOUT");
        let timeout = timeout.and_then(|t| t.parse().ok()).filter(|t| *t > 0).map(Duration::from_secs);
        let wanted = given.wanted()?;
        let own = Some(self.password.clone()).filter(|p| !p.is_empty());
        let password = given.take("password").or(own).or_else(|| host.env("PGPASSWORD"));
        let passfile = given.take_or("passfile", "PGPASSFILE");
        let database = database.unwrap_or_else(|| user.clone());
        let password = match password {
            Some(password) => Some(password),
            None => super::passfile::password(host, passfile.as_deref(), &places, &database, &user)?,
        };
        let address = given.take("hostaddr");
        let startup = given.startup(user, database, self.encoding.clone());
        given.rest()?;
        Ok(Target { places, address, tls, password, startup, timeout, wanted })
    }
}

fn given_home(host: &Host) -> Option<String> {
    host.env("HOME")
}

fn refused(why: &str) -> Failure {
    Failure::new(format!("unable to connect to database: {why}"))
}

/// The parameters that are still to be looked at.
struct Given<'a> {
    parameters: Object,
    host: &'a Host,
}

impl Given<'_> {
    fn take(&mut self, name: &str) -> Option<String> {
        match self.parameters.remove(name)? {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        }
    }

    fn take_or(&mut self, name: &str, variable: &str) -> Option<String> {
        self.take(name).or_else(|| self.host.env(variable)).filter(|value| !value.is_empty())
    }

    fn places(&mut self, login: &Login) -> Result<Vec<(Place, u16)>, Failure> {
        let own = match (login.host.as_str(), login.socket.as_str()) {
            ("" | "localhost", socket) if !socket.is_empty() => socket,
            (host, _) => host,
        };
        let hosts = self.take("host").unwrap_or_else(|| own.to_owned());
        let hosts = if hosts.is_empty() { self.host.env("PGHOST").unwrap_or_default() } else { hosts };
        let ports = self.take("port").unwrap_or_else(|| login.port.to_string());
        let ports: Vec<u16> = ports
            .split(',')
            .map(|port| port.trim().parse().map_err(|_| refused(&format!("invalid port number: \"{port}\"\n"))))
            .collect::<Result<_, _>>()?;
        let hosts: Vec<&str> = hosts.split(',').map(str::trim).collect();
        if ports.len() != 1 && ports.len() != hosts.len() {
            let (ports, hosts) = (ports.len(), hosts.len());
            return Err(refused(&format!("could not match {ports} port numbers to {hosts} hosts\n")));
        }
        let port = |index: usize| ports.get(index).or_else(|| ports.first()).copied().unwrap_or_default();
        let place = |(index, name): (usize, &&str)| (self.place(name, port(index)), port(index));
        Ok(hosts.iter().enumerate().map(place).collect())
    }

    fn place(&self, name: &str, port: u16) -> Place {
        if name.starts_with('/') {
            return Place::Socket(name.to_owned());
        }
        if !name.is_empty() {
            return Place::Host(name.to_owned());
        }
        let there = |dir: &&&str| self.host.stat(&PathBuf::from(dir).join(socket_name(port))).ok().flatten().is_some();
        Place::Socket((*SOCKETS.iter().find(there).unwrap_or(&SOCKETS[0])).to_owned())
    }

    fn wanted(&mut self) -> Result<Wanted, Failure> {
        Ok(match self.take_or("target_session_attrs", "PGTARGETSESSIONATTRS").as_deref() {
            None | Some("any") => Wanted::Any,
            Some("read-write") => Wanted::ReadWrite,
            Some("read-only") => Wanted::ReadOnly,
            Some("primary") => Wanted::Primary,
            Some("standby") => Wanted::Standby,
            Some(other) => return Err(refused(&format!("invalid target_session_attrs value: \"{other}\"\n"))),
        })
    }

    fn startup(&mut self, user: String, database: String, encoding: Option<String>) -> Vec<(String, String)> {
        let encoding = self.take("client_encoding").or(encoding).unwrap_or_else(|| "UTF8".to_owned());
        let mut startup = vec![
            ("user".to_owned(), user),
            ("database".to_owned(), database),
            ("client_encoding".to_owned(), encoding),
        ];
        let own = [("options", "PGOPTIONS"), ("application_name", "PGAPPNAME")];
        startup.extend(
            own.iter().filter_map(|(name, variable)| Some(((*name).to_owned(), self.take_or(name, variable)?))),
        );
        startup
    }

    /// What is left is refused, but for what changes nothing here.
    fn rest(&mut self) -> Result<(), Failure> {
        const HARMLESS: [&str; 10] = [
            "keepalives",
            "keepalives_idle",
            "keepalives_interval",
            "keepalives_count",
            "tcp_user_timeout",
            "fallback_application_name",
            "sslcompression",
            "sslsni",
            "load_balance_hosts",
            "gssencmode",
        ];
        const UNKNOWN: [&str; 14] = [
            "channel_binding",
            "krbsrvname",
            "gsslib",
            "gssdelegation",
            "service",
            "servicefile",
            "sslcrl",
            "sslcrldir",
            "sslpassword",
            "sslcertmode",
            "sslnegotiation",
            "ssl_min_protocol_version",
            "ssl_max_protocol_version",
            "require_auth",
        ];
        match self.parameters.keys().find(|name| !HARMLESS.contains(&name.as_str())) {
            Some(name) if UNKNOWN.contains(&name.as_str()) => {
                Err(refused(&format!("the connection parameter \"{name}\" is not supported")))
            }
            Some(name) => Err(refused(&format!("invalid dsn: invalid connection option \"{name}\"\n"))),
            None => Ok(()),
        }
    }
}

/// Whether a directory is one where sockets usually are.
pub fn is_usual(dir: &str) -> bool {
    SOCKETS.contains(&dir)
}

/// What a server's socket is called.
pub fn socket_name(port: u16) -> String {
    format!(".s.PGSQL.{port}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target(change: impl FnOnce(&mut Login), environment: &[(&str, &str)]) -> Result<Target, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let host = Host::at(dir.path()).with_environment(environment);
        let mut login = Login { port: 5432, user: "u".to_owned(), trust: true, ..Login::default() };
        change(&mut login);
        login.target(&host)
    }

    fn with(parameters: Value) -> impl FnOnce(&mut Login) {
        move |login| login.parameters = parameters.as_object().unwrap().clone()
    }

    #[test]
    fn places_are_found() {
        let socket = |dir: &str| Place::Socket(dir.to_owned());
        let host = |name: &str| Place::Host(name.to_owned());
        let places =
            |change: &dyn Fn(&mut Login), environment: &[(&str, &str)]| target(change, environment).unwrap().places;
        assert_eq!(places(&|_| {}, &[]), [(socket("/var/run/postgresql"), 5432)]);
        assert_eq!(places(&|l| l.socket = "/s".into(), &[]), [(socket("/s"), 5432)]);
        assert_eq!(places(&|l| l.host = "h".into(), &[("PGHOST", "e")]), [(host("h"), 5432)]);
        assert_eq!(places(&|_| {}, &[("PGHOST", "e")]), [(host("e"), 5432)]);
        let both = |l: &mut Login| (l.host, l.socket) = ("h".into(), "/s".into());
        assert_eq!(places(&both, &[]), [(host("h"), 5432)]);
        let places = target(with(json!({"host": "a,/b", "port": "1,2"})), &[]).unwrap().places;
        assert_eq!(places, [(host("a"), 1), (socket("/b"), 2)]);
        assert!(
            target(with(json!({"host": "a,b,c", "port": "1,2"})), &[]).unwrap_err().msg.contains("could not match")
        );
    }

    #[test]
    fn parameters_outweigh() {
        let all = json!({"user": "x", "dbname": "d", "password": 5, "sslmode": "disable", "application_name": "a", "connect_timeout": 3});
        let target = target(with(all), &[("PGOPTIONS", "-c a=b"), ("PGPASSWORD", "no")]).unwrap();
        assert_eq!(target.password.as_deref(), Some("5"));
        assert_eq!(target.timeout, Some(Duration::from_secs(3)));
        assert_eq!(target.tls.mode, SslMode::Disable);
        for pair in [("user", "x"), ("database", "d"), ("application_name", "a"), ("options", "-c a=b")] {
            assert!(target.startup.iter().any(|(n, v)| (n.as_str(), v.as_str()) == pair), "{pair:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (parameters, word) in [
            (json!({"nosuch": 1}), "invalid connection option \"nosuch\""),
            (json!({"channel_binding": "require"}), "\"channel_binding\" is not supported"),
            (json!({"sslmode": "bogus"}), "invalid sslmode value: \"bogus\""),
            (json!({"port": "x"}), "invalid port number: \"x\""),
            (json!({"target_session_attrs": "x"}), "invalid target_session_attrs"),
        ] {
            let error = target(with(parameters), &[]).unwrap_err().msg;
            assert!(error.starts_with("unable to connect to database: ") && error.contains(word), "{error}");
        }
    }

    #[test]
    fn the_database_is_the_users() {
        let startup = target(|_| {}, &[]).unwrap().startup;
        assert!(startup.contains(&("database".to_owned(), "u".to_owned())));
    }
}
