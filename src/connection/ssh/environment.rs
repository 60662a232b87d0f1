//! What a login depends on beside its options: the user, the home, the agent, the machine's ssh_config.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The surroundings that ssh_config and the login read, gathered once so that tests can give others.
#[derive(Debug, Clone)]
pub struct Environment {
    /// What `~` stands for.
    pub home: PathBuf,
    /// The name of the user that rplay runs as.
    pub local_user: String,
    /// That user's id.
    pub uid: u32,
    /// The machine's name, for `%l` and `%L`.
    pub hostname: String,
    /// The user's `ssh_config`, which may be missing.
    pub user_config: PathBuf,
    /// The machine's `ssh_config`, which may be missing.
    pub system_config: PathBuf,
    /// Environment variables: `SSH_AUTH_SOCK`, and those that `${NAME}` refers to.
    pub variables: HashMap<String, String>,
}

impl Environment {
    /// The surroundings of this process.
    pub fn current() -> Self {
        let uid = rustix::process::getuid().as_raw();
        let variables: HashMap<String, String> = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let entry = passwd(|fields| fields.get(2).is_some_and(|id| *id == uid.to_string()));
        let home = std::env::home_dir()
            .filter(|home| !home.as_os_str().is_empty())
            .or_else(|| entry.as_ref().map(|(_, home)| home.clone()))
            .unwrap_or_else(|| PathBuf::from("/"));
        let local_user = entry
            .map(|(name, _)| name)
            .or_else(|| variables.get("USER").or(variables.get("LOGNAME")).cloned())
            .unwrap_or_else(|| uid.to_string());
        Self {
            user_config: home.join(".ssh/config"),
            system_config: PathBuf::from("/etc/ssh/ssh_config"),
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            home,
            local_user,
            uid,
            variables,
        }
    }

    /// Replaces a leading `~` or `~user`. A user that does not exist is an error.
    pub fn expand_tilde(&self, path: &str) -> Result<PathBuf, String> {
        let Some(rest) = path.strip_prefix('~') else {
            return Ok(PathBuf::from(path));
        };
        let (user, rest) = rest.split_once('/').unwrap_or((rest, ""));
        if user.is_empty() {
            return Ok(self.home.join(rest.trim_start_matches('/')));
        }
        match passwd(|fields| fields.first() == Some(&user)) {
            Some((_, home)) => Ok(home.join(rest.trim_start_matches('/'))),
            None => Err(format!("`{path}`: there is no user `{user}` here")),
        }
    }

    /// The path with the home directory written as `~`, for messages.
    pub fn short(&self, path: &Path) -> String {
        match path.strip_prefix(&self.home) {
            Ok(rest) if self.home != Path::new("/") => format!("~/{}", rest.display()),
            _ => path.display().to_string(),
        }
    }
}

/// The name and home of the first entry of /etc/passwd that `wanted` accepts.
fn passwd(wanted: impl Fn(&[&str]) -> bool) -> Option<(String, PathBuf)> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        if !wanted(&fields) {
            return None;
        }
        Some(((*fields.first()?).to_owned(), PathBuf::from(fields.get(5)?)))
    })
}
