//! How to get to a server: the arguments that all modules of MySQL have, and the file with a user's name and password.

use std::path::Path;
use std::time::{Duration, Instant};

use super::error::SqlError;
use super::wire::Connection;
use crate::host::Host;
use crate::module::Failure;
use crate::stream::{self, Stream};

/// Where a server listens and who comes, as a module's arguments say.
#[derive(Debug, Clone, Default)]
pub struct Login {
    pub host: String,
    pub port: u16,
    pub socket: Option<String>,
    pub user: Option<String>,
    pub password: Option<String>,
    /// The file with what is not given; empty for none.
    pub config: String,
    /// Whether root without a password is tried first.
    pub implicit: bool,
    /// Whether the file's host and port outweigh the defaults.
    pub overrides: bool,
    /// In seconds.
    pub timeout: u64,
    /// Whether what is done is in the binary log.
    pub log: bool,
}

/// Declares a module's arguments together with those that say how to get to the server.
///
/// The struct gets the methods `login()` and `refuse_tls()`, the latter for arguments that are refused.
macro_rules! login_arguments {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$fmeta:meta])* $field:ident : $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
        $vis struct $name {
            $($(#[$fmeta])* $field: $ty,)*
            /// The server's host name or address.
            #[serde(default = "crate::mysql::default_host")]
            login_host: String,
            /// The server's port.
            #[serde(default = "crate::mysql::default_port")]
            login_port: u16,
            /// The server's Unix socket.
            #[serde(default)]
            login_unix_socket: Option<String>,
            /// The user to log in as.
            #[serde(default)]
            login_user: Option<String>,
            /// The password to log in with.
            #[serde(default)]
            login_password: Option<String>,
            /// A file whose section `client` has what is not given here; empty for none.
            #[serde(default = "crate::mysql::default_config")]
            config_file: String,
            /// Whether that file's host and port outweigh the defaults of the arguments.
            #[serde(default)]
            config_overrides_defaults: bool,
            /// How many seconds to wait for the server.
            #[serde(default = "crate::mysql::default_timeout")]
            connect_timeout: u64,
            /// Certificates of authorities; not supported.
            #[serde(default, alias = "ssl_ca")]
            ca_cert: Option<crate::args::PathArg>,
            /// The client's own certificate; not supported.
            #[serde(default, alias = "ssl_cert")]
            client_cert: Option<crate::args::PathArg>,
            /// Its key; not supported.
            #[serde(default, alias = "ssl_key")]
            client_key: Option<crate::args::PathArg>,
            /// Whether the server's name is checked; not supported.
            #[serde(default)]
            check_hostname: Option<bool>,
        }
        impl $name {
            /// How to get to the server.
            fn login(&self) -> crate::mysql::Login {
                crate::mysql::Login {
                    host: self.login_host.clone(),
                    port: self.login_port,
                    socket: self.login_unix_socket.clone().filter(|socket| !socket.is_empty()),
                    user: self.login_user.clone().filter(|user| !user.is_empty()),
                    password: self.login_password.clone().filter(|password| !password.is_empty()),
                    config: self.config_file.clone(),
                    implicit: false,
                    overrides: self.config_overrides_defaults,
                    timeout: self.connect_timeout,
                    log: true,
                }
            }

            /// Refuses what would need TLS.
            fn refuse_tls(&self) -> Result<(), String> {
                let wanted = [
                    ("ca_cert", self.ca_cert.is_some()),
                    ("client_cert", self.client_cert.is_some()),
                    ("client_key", self.client_key.is_some()),
                    ("check_hostname", self.check_hostname.is_some()),
                ];
                match wanted.iter().find(|(_, given)| *given) {
                    Some((name, _)) => Err(format!("`{name}` is not supported: connections to MySQL are not encrypted")),
                    None => Ok(()),
                }
            }
        }
    };
}
pub(crate) use login_arguments;

/// The host that servers are looked for on.
pub fn default_host() -> String {
    "localhost".to_owned()
}

/// The port that servers listen on.
pub fn default_port() -> u16 {
    3306
}

/// The file that users keep their login in.
pub fn default_config() -> String {
    "~/.my.cnf".to_owned()
}

/// How many seconds to wait for a server.
pub fn default_timeout() -> u64 {
    30
}

/// The section `client` of a file with options.
#[derive(Debug, Default, PartialEq, Eq)]
struct Config(Vec<(String, String)>);

impl Config {
    /// The options of the section; nothing where there is no such section.
    fn read(text: &str) -> Option<Self> {
        let (mut inside, mut found, mut options) = (false, false, Vec::new());
        for line in text.lines().map(str::trim) {
            if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                inside = section.0 == "client";
                found |= inside;
            } else if inside && !line.is_empty() && !line.starts_with(['#', ';', '!']) {
                let (name, value) = line.split_once('=').unwrap_or((line, ""));
                let value = value.trim();
                let bare = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q)).unwrap_or(value);
                options.push((name.trim().to_lowercase().replace('_', "-"), bare.to_owned()));
            }
        }
        found.then_some(Self(options))
    }

    fn get(&self, name: &str) -> Option<String> {
        self.0.iter().rev().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.clone())
    }
}

impl Login {
    /// The same, without a user and a password.
    fn as_admin(&self) -> Self {
        Self { user: Some("root".to_owned()), password: None, config: String::new(), implicit: false, ..self.clone() }
    }

    /// Logs in, or says why that does not work.
    pub fn connect(&self, host: &Host, database: Option<&str>) -> Result<Connection, Failure> {
        if self.implicit
            && let Ok(connection) = self.as_admin().connect(host, database)
        {
            return Ok(connection);
        }
        let path = host.expand_path(&self.config)?;
        let text = if self.config.is_empty() { None } else { host.read_if_exists(&path)? };
        let hint = match text {
            Some(_) => format!(
                "unable to connect to database, check login_user and login_password are correct or {} has the credentials",
                path.display()
            ),
            None => format!("unable to find {}", path.display()),
        };
        let config = match &text {
            Some(text) => Config::read(&String::from_utf8_lossy(text))
                .ok_or_else(|| Failure::new(format!("{hint}. Exception message: it has no section `client`")))?,
            None => Config::default(),
        };
        self.open(host, &config, database).map_err(|why| Failure::new(format!("{hint}. Exception message: {why}")))
    }

    fn open(&self, host: &Host, config: &Config, database: Option<&str>) -> Result<Connection, SqlError> {
        let given = |own: &Option<String>, name: &str| own.clone().or_else(|| config.get(name));
        let user = given(&self.user, "user").unwrap_or_else(|| {
            host.user_by_id(host.uid()).ok().flatten().map_or_else(|| "root".to_owned(), |user| user.name)
        });
        let password = given(&self.password, "password").unwrap_or_default();
        let from_config = self.overrides && self.host == default_host() && self.port == default_port();
        let name = config.get("host").filter(|_| from_config).unwrap_or_else(|| self.host.clone());
        let port = config.get("port").filter(|_| from_config).and_then(|p| p.parse().ok()).unwrap_or(self.port);
        let deadline = Instant::now() + Duration::from_secs(self.timeout.max(1));
        let socket = self.socket.clone().or_else(|| config.get("socket").filter(|_| name == "localhost"));
        let refused = |why: &std::io::Error| {
            let number = why.raw_os_error().map_or_else(String::new, |n| format!("[Errno {n}] "));
            let words = why.to_string();
            let words = words.split(" (os error").next().unwrap_or_default();
            SqlError::Server(2003, format!("Can't connect to MySQL server on '{name}' ({number}{words})"))
        };
        let private = socket.is_some();
        let stream = match socket {
            Some(path) => stream::unix(Path::new(&path)).map(Stream::Unix),
            None => stream::tcp_by_name(&name, port, Duration::from_secs(self.timeout.max(1))).map(Stream::Tcp),
        };
        let stream = stream.map_err(|e| refused(&e))?;
        let waiting = || match Instant::now() > deadline || host.is_cancelled() {
            true => Err(SqlError::Server(2003, format!("Can't connect to MySQL server on '{name}' (timed out)"))),
            false => Ok(()),
        };
        Connection::start(stream, &user, &password, database, private, &waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_of_clients_is_read() {
        let config =
            Config::read("[mysqld]\nuser=x\n# c\n[client]\nuser = \"root\"\npassword='a b'\nssl-ca\n").unwrap();
        assert_eq!(config.get("user").as_deref(), Some("root"));
        assert_eq!(config.get("password").as_deref(), Some("a b"));
        assert_eq!(config.get("ssl-ca"), None);
        assert_eq!(Config::read("user=x\n"), None);
    }
}
