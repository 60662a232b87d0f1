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

    /// Replaces the tokens of a line for a shell. As OpenSSH does, names of hosts and users that a shell, or the program that
    /// they are given to, would take for more than a name are refused: who writes the line cannot know how to quote them.
    pub fn expand_command(&self, text: &str) -> Result<String, String> {
        let mut letters = text.chars();
        while let Some(c) = letters.next() {
            let letter = if c == '%' { letters.next() } else { None };
            let Some(letter @ ('h' | 'j' | 'k' | 'n' | 'r')) = letter else { continue };
            let value = self.token(letter).unwrap_or_default();
            let odd = |c: char| c.is_whitespace() || c.is_control() || "'`\"$\\;&<>|(){}".contains(c);
            // A Windows domain before a user's name is one thing that a backslash is for.
            let odd = |c: char| odd(c) && !(letter == 'r' && c == '\\' && !value.ends_with(c));
            if value.starts_with('-') || value.contains(odd) {
                return Err(format!("`{text}`: `%{letter}` would be {value:?}, which is not safe in a command"));
            }
        }
        self.expand(text)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(host: &str, user: &str, text: &str) -> Result<String, String> {
        let environment = Environment::current();
        let options = Options { user: Some(user.to_owned()), ..Options::default() };
        Tokens::new(host, &options, &environment).expand_command(text)
    }

    #[test]
    fn names_of_commands_are_names() {
        assert_eq!(expanded("web-1.example.org", "o'brien", "nc %h %p").unwrap(), "nc web-1.example.org 22");
        assert_eq!(expanded("fe80::1", "DOM\\carol", "nc %h %r").unwrap(), "nc fe80::1 DOM\\carol");
        // What is not in the line does not matter.
        assert!(expanded("$(x)", "carol", "nc 10.0.0.1 %%h %p").is_ok());
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]
        #[test]
        fn what_a_shell_would_take_for_more_is_refused(before in "[a-z0-9.]{0,4}", odd in "[ \n\t'`\"$;&<>|(){}]", after in "\\PC{0,6}") {
            let name = format!("{before}{odd}{after}");
            for (host, user) in [(name.as_str(), "carol"), ("web", name.as_str())] {
                let said = expanded(host, user, "nc %h %r");
                proptest::prop_assert!(said.is_err(), "{said:?}");
            }
            let option = format!("-{before}");
            proptest::prop_assert!(expanded(&option, "carol", "nc %n").is_err());
        }
    }
}
