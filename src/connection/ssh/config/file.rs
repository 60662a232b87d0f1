//! Reading ssh_config files into directives, once per run and file.

use std::collections::HashMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::super::super::{ConnectionError, Place};
use super::super::words::config_words;

/// Where a directive is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In the ssh arguments.
    Arguments,
    /// In a file.
    File(Place),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments => f.write_str("ssh arguments"),
            Self::File(place) => place.fmt(f),
        }
    }
}

/// One line: a keyword and the rest.
#[derive(Debug, Clone)]
pub struct Directive {
    /// Where it is written.
    pub origin: Origin,
    /// As written, for messages.
    pub name: String,
    /// In lower case.
    pub keyword: String,
    /// What follows the keyword and its `=`, untouched.
    pub rest: String,
}

impl Directive {
    /// Takes a line apart; `None` for an empty line or a comment.
    pub fn parse(line: &str, origin: Origin) -> Option<Self> {
        let line = line.trim_matches(|c: char| c.is_ascii_whitespace());
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let end = line.find(|c: char| c.is_ascii_whitespace() || c == '=').unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
        let rest = rest.strip_prefix('=').unwrap_or(rest);
        // A quoted keyword is legal, if odd.
        let name = name.trim_matches('"');
        Some(Self {
            origin,
            keyword: name.to_ascii_lowercase(),
            name: name.to_owned(),
            rest: rest.trim_start_matches(|c: char| c.is_ascii_whitespace()).to_owned(),
        })
    }

    /// The words after the keyword, unquoted, without a trailing comment.
    pub fn words(&self) -> Result<Vec<String>, ConnectionError> {
        config_words(&self.rest, true).map_err(|message| self.error(&message))
    }
}

type Stamp = Option<(Option<SystemTime>, u64)>;
type Parsed = Option<Arc<Vec<Directive>>>;

/// Parsed files by path, read again when they change, so that a thousand hosts parse `~/.ssh/config` once.
#[derive(Debug, Default)]
pub struct Cache(Mutex<HashMap<PathBuf, (Stamp, Parsed)>>);

impl Cache {
    /// The directives of `path`, or `None` where there is no such file.
    pub fn load(&self, path: &Path) -> Result<Parsed, ConnectionError> {
        let metadata = std::fs::metadata(path).ok();
        let stamp = metadata.map(|metadata| (metadata.modified().ok(), metadata.len()));
        let files = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, parsed)) = files().get(path)
            && *known == stamp
        {
            return Ok(parsed.clone());
        }
        let parsed = read(path)?.map(Arc::new);
        files().insert(path.to_owned(), (stamp, parsed.clone()));
        Ok(parsed)
    }
}

fn read(path: &Path) -> Result<Option<Vec<Directive>>, ConnectionError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(ConnectionError::Config {
                place: path.display().to_string(),
                message: format!("cannot be read: {error}"),
            });
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    let directives = text.lines().enumerate().filter_map(|(index, line)| {
        let place = Place { file: path.to_owned(), line: index + 1 };
        Directive::parse(line, Origin::File(place))
    });
    Ok(Some(directives.collect()))
}

/// The existing paths that match `pattern`, sorted, as glob(3) gives them.
pub fn glob(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let name = match component {
            Component::Normal(name) => name.to_string_lossy(),
            other => {
                found.iter_mut().for_each(|path| path.push(other));
                continue;
            }
        };
        if !name.contains(['*', '?', '[', '\\']) {
            found.iter_mut().for_each(|path| path.push(&*name));
            found.retain(|path| path.exists());
            continue;
        }
        let matcher = globset::GlobBuilder::new(&name)
            .literal_separator(true)
            .build()
            .map_err(|error| error.to_string())?
            .compile_matcher();
        let hidden = name.starts_with('.');
        found = found
            .iter()
            .filter_map(|directory| std::fs::read_dir(directory).ok())
            .flatten()
            .filter_map(Result::ok)
            .filter(|entry| {
                let name = entry.file_name();
                matcher.is_match(&name) && (hidden || !name.to_string_lossy().starts_with('.'))
            })
            .map(|entry| entry.path())
            .collect();
    }
    found.sort();
    Ok(found)
}
