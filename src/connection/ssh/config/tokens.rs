//! The `%` tokens and `${VARIABLES}` of ssh_config.

use sha1::{Digest, Sha1};

use super::super::environment::Environment;
use super::options::Options;

/// What the tokens stand for.
#[derive(Debug, Clone)]
pub struct Tokens<'a> {
    environment: &'a Environment,
    /// `%h`: the name that is connected to.
    pub host: String,
    /// `%n`: the name as it was given.
    pub original_host: String,
    /// `%k`: the name that the host key is known under.
    pub host_key_alias: String,
    /// `%p`.
    pub port: u16,
    /// `%r`: the login name.
    pub user: String,
    /// `%j`: the jump hosts.
    pub jump: String,
}

impl<'a> Tokens<'a> {
    /// The tokens as far as `options` knows by now.
    pub fn new(original_host: &str, options: &Options, environment: &'a Environment) -> Self {
        let host = match &options.host_name {
            Some(name) => name.replace("%%", "\0").replace("%h", original_host).replace('\0', "%"),
            None => original_host.to_owned(),
        };
        // OpenSSH folds the name that it connects to.
        let host = host.to_ascii_lowercase();
        Self {
            environment,
            original_host: original_host.to_owned(),
            host_key_alias: options.host_key_alias.clone().unwrap_or_else(|| original_host.to_owned()),
            port: options.port.unwrap_or(22),
            user: options.user.clone().unwrap_or_else(|| environment.local_user.clone()),
            jump: match &options.proxy {
                Some(super::Proxy::Jump(jump)) => jump.clone(),
                _ => String::new(),
            },
            host,
        }
    }

    fn token(&self, letter: char) -> Option<String> {
        let environment = self.environment;
        Some(match letter {
            '%' => "%".to_owned(),
            'C' => self.connection_hash(),
            'd' => environment.home.display().to_string(),
            'h' => self.host.clone(),
            'i' => environment.uid.to_string(),
            'j' => self.jump.clone(),
            'k' => self.host_key_alias.clone(),
            'L' => environment.hostname.split('.').next().unwrap_or_default().to_owned(),
            'l' => environment.hostname.clone(),
            'n' => self.original_host.clone(),
            'p' => self.port.to_string(),
            'r' => self.user.clone(),
            'u' => environment.local_user.clone(),
            _ => return None,
        })
    }

    /// `%C`: what OpenSSH names control sockets by.
    fn connection_hash(&self) -> String {
        let Self { host, port, user, jump, .. } = self;
        let text = format!("{}{host}{port}{user}{jump}", self.environment.hostname);
        Sha1::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Replaces the tokens. An unknown one is an error.
    pub fn expand(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                expanded.push(c);
                continue;
            }
            let letter = chars.next();
            match letter.and_then(|letter| self.token(letter)) {
                Some(value) => expanded.push_str(&value),
                None => {
                    let letter = letter.map(String::from).unwrap_or_default();
                    return Err(format!("`{text}`: `%{letter}` is not a known token"));
                }
            }
        }
        Ok(expanded)
    }

    /// Replaces `${NAME}`, then the tokens, then a leading `~`: what file names get.
    pub fn expand_path(&self, text: &str) -> Result<std::path::PathBuf, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            expanded.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                return Err(format!("`{text}`: `${{` is never closed"));
            };
            match self.environment.variables.get(name) {
                Some(value) => expanded.push_str(value),
                None => {
                    return Err(format!("`{text}`: the environment variable `{name}` is not set"));
                }
            }
            rest = after;
        }
        expanded.push_str(rest);
        self.environment.expand_tilde(&self.expand(&expanded)?)
    }
}
