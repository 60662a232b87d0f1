//! Paths: what an argument means on this host, and where that is below a test's root.

use std::path::{Component, Path, PathBuf};

use rplay_protocol::names;

use super::Host;
use crate::args::PathArg;
use crate::module::Failure;

/// The path of a name that may stand for bytes.
fn named(text: &str) -> PathBuf {
    PathBuf::from(names::to_name(text).into_owned())
}

impl Host {
    /// The path an argument means: `~`, `~user` and `$VAR` expanded, relative to the worker's directory.
    pub fn path(&self, arg: &PathArg) -> Result<PathBuf, Failure> {
        self.expand_path(&arg.0)
    }

    /// The path a text means: `~`, `~user` and `$VAR` expanded.
    pub fn expand_path(&self, text: &str) -> Result<PathBuf, Failure> {
        let text = self.expand_variables(text);
        let Some(rest) = text.strip_prefix('~') else { return Ok(named(&text)) };
        let (user, tail) = rest.split_once('/').map_or((rest, None), |(u, t)| (u, Some(t)));
        let home = if user.is_empty() {
            match self.env("HOME") {
                Some(home) => Some(PathBuf::from(home)),
                None => self.user_by_id(self.uid())?.map(|u| u.home),
            }
        } else {
            self.user(user)?.map(|u| u.home)
        };
        match (home, tail) {
            (Some(home), Some(tail)) => Ok(home.join(named(tail))),
            (Some(home), None) => Ok(home),
            // As a shell does, a `~name` that nobody has stays as it is.
            (None, _) => Ok(named(&text)),
        }
    }

    fn expand_variables(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            let (name, len) = if let Some(inner) = after.strip_prefix('{') {
                match inner.find('}') {
                    Some(end) => (&inner[..end], end + 2),
                    None => ("", 0),
                }
            } else {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                (&after[..end], end)
            };
            match (!name.is_empty()).then(|| self.env(name)).flatten() {
                Some(value) => {
                    out.push_str(&value);
                    rest = &after[len..];
                }
                None => {
                    out.push('$');
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }

    /// Where `path` really is: below the root of this host.
    #[must_use]
    pub(super) fn real(&self, path: &Path) -> PathBuf {
        if self.root == Path::new("/") {
            return path.to_path_buf();
        }
        let inside: PathBuf = path.components().filter(|c| matches!(c, Component::Normal(_))).collect();
        self.root.join(inside)
    }

    /// The user id this worker runs as.
    #[must_use]
    pub fn uid(&self) -> u32 {
        rustix::process::geteuid().as_raw()
    }

    /// The group id this worker runs as.
    #[must_use]
    pub fn gid(&self) -> u32 {
        rustix::process::getegid().as_raw()
    }
}
