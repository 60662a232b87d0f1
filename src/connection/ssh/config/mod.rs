//! ssh_config: the files, the command line, and what they say about one host.

pub mod arguments;
mod file;
mod matching;
pub mod options;
pub mod tokens;

pub use matching::{pattern_list, wildcard};

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use file::Cache;
pub use options::{AddressFamily, Options, Proxy, StrictHostKeys};

use self::arguments::CommandLine;
use self::file::{Directive, Origin};
use self::matching::Subject;
use super::super::ConnectionError;
use super::environment::Environment;

/// How deep `Include` may nest, as in OpenSSH.
const MAX_INCLUDES: usize = 16;

/// What the configuration says about `host`: the command line first, then the user's file, then the machine's; the
/// first value wins.
///
/// `exec` of `Match exec` runs here, so this may block; call it where blocking is allowed.
pub fn evaluate(
    host: &str,
    command_line: &CommandLine,
    environment: &Environment,
    cache: &Cache,
) -> Result<Options, ConnectionError> {
    let mut evaluation = Evaluation {
        host,
        environment,
        cache,
        options: command_line.options.clone(),
        final_pass: false,
        wants_final: false,
    };
    evaluation.files(command_line.config_file.as_deref())?;
    if evaluation.wants_final {
        evaluation.final_pass = true;
        evaluation.files(command_line.config_file.as_deref())?;
    }
    Ok(evaluation.options)
}

struct Evaluation<'a> {
    host: &'a str,
    environment: &'a Environment,
    cache: &'a Cache,
    options: Options,
    final_pass: bool,
    wants_final: bool,
}

impl Evaluation<'_> {
    fn files(&mut self, only: Option<&str>) -> Result<(), ConnectionError> {
        match only {
            Some("none") => Ok(()),
            Some(file) => {
                let path = self
                    .environment
                    .expand_tilde(file)
                    .map_err(|message| ConnectionError::Config { place: "ssh arguments".into(), message })?;
                let directives = self.cache.load(&path)?.ok_or_else(|| ConnectionError::Config {
                    place: path.display().to_string(),
                    message: "the file given with `-F` does not exist".into(),
                })?;
                self.apply(&directives, true, 0, true)
            }
            None => {
                let environment = self.environment;
                self.file(&environment.user_config, true, 0, true)?;
                self.file(&environment.system_config, true, 0, false)
            }
        }
    }

    fn file(&mut self, path: &Path, active: bool, depth: usize, user: bool) -> Result<(), ConnectionError> {
        match self.cache.load(path)? {
            Some(directives) => self.apply(&directives, active, depth, user),
            None => Ok(()),
        }
    }

    /// Goes through the lines of one file. `Host` and `Match` inside an included file end with that file.
    fn apply(
        &mut self,
        directives: &Arc<Vec<Directive>>,
        active: bool,
        depth: usize,
        user: bool,
    ) -> Result<(), ConnectionError> {
        let outer = active;
        let mut active = active;
        for directive in directives.iter() {
            match directive.keyword.as_str() {
                "host" => active = outer && matching::host_line(self.host, directive)?,
                "match" => {
                    let subject = Subject {
                        original_host: self.host,
                        options: &self.options,
                        environment: self.environment,
                        final_pass: self.final_pass,
                    };
                    let (matched, wants_final) = matching::match_line(&subject, directive)?;
                    self.wants_final |= wants_final;
                    active = outer && matched;
                }
                "include" => self.include(directive, active, depth, user)?,
                _ => self.options.apply(directive, active)?,
            }
        }
        Ok(())
    }

    fn include(
        &mut self,
        directive: &Directive,
        active: bool,
        depth: usize,
        user: bool,
    ) -> Result<(), ConnectionError> {
        if depth >= MAX_INCLUDES {
            return Err(directive.error("`Include` nests too deeply"));
        }
        let words = directive.words()?;
        if words.is_empty() {
            return Err(directive.error("`Include` needs a path"));
        }
        for word in &words {
            for path in self.included(word, user).map_err(|message| directive.error(&message))? {
                self.file(&path, active, depth + 1, user)?;
            }
        }
        Ok(())
    }

    /// The files that an `Include` pattern names, sorted; none is fine.
    fn included(&self, pattern: &str, user: bool) -> Result<Vec<PathBuf>, String> {
        let base = if user {
            self.environment.home.join(".ssh")
        } else {
            self.environment.system_config.parent().unwrap_or(Path::new("/etc/ssh")).to_owned()
        };
        let path = base.join(self.environment.expand_tilde(pattern)?);
        file::glob(&path)
    }
}

impl Directive {
    fn error(&self, message: &str) -> ConnectionError {
        self.origin.error(message)
    }
}

impl Origin {
    fn error(&self, message: &str) -> ConnectionError {
        ConnectionError::Config { place: self.to_string(), message: message.to_owned() }
    }
}
