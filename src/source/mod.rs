//! Source files and places in them: YAML 1.1 with spans.
//!
//! Every file that is read for what it says is registered here once, so that any value, error or result can name the exact
//! place it comes from with a [`Span`] of twelve bytes.

mod ahead;
mod duplicates;
#[cfg(test)]
mod hostile;
mod node;
mod padding;
mod resolve;
mod yaml;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, RwLock};

pub use ahead::load_ahead;
pub use duplicates::{Duplicates, set_duplicates, take_warnings};
pub use node::{Node, NodeKind};
pub use resolve::resolve_plain;
pub use yaml::{YamlError, load, load_text, load_text_with};

use crate::vault::Secrets;

/// A file (or other text, such as a command-line argument) that was read.
#[derive(Debug)]
pub struct Source {
    /// What people see: the path as it was asked for, or a description in angle brackets.
    pub name: String,
    /// The path, when it is a file.
    pub path: Option<PathBuf>,
    /// The content.
    pub text: String,
    /// The passwords for what is encrypted in it.
    pub vault: Arc<Secrets>,
    /// Whether the file is encrypted: then its text is shown to nobody.
    pub encrypted: bool,
    /// Whether places in it are told by their lines alone, as those of INI inventories are.
    pub by_line: bool,
}

/// A range of bytes in a registered source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// From 1, so that a value has no room of its own for whether there is a span.
    source: NonZeroU32,
    /// First byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

/// A place as people write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The source's name.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

fn registry() -> &'static RwLock<Vec<Arc<Source>>> {
    static REGISTRY: OnceLock<RwLock<Vec<Arc<Source>>>> = OnceLock::new();
    REGISTRY.get_or_init(RwLock::default)
}

/// Registers text under a name and gives the span of all of it.
pub fn register(name: impl Into<String>, path: Option<&Path>, text: String) -> Span {
    let path = path.map(Path::to_path_buf);
    register_source(Source { name: name.into(), path, text, vault: Arc::default(), encrypted: false, by_line: false })
}

/// Registers a source and gives the span of all of it.
pub fn register_source(source: Source) -> Span {
    let end = u32::try_from(source.text.len()).unwrap_or(u32::MAX);
    let source = Arc::new(source);
    let mut sources = registry().write().unwrap_or_else(std::sync::PoisonError::into_inner);
    sources.push(source);
    let number = u32::try_from(sources.len()).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX);
    Span { source: number, start: 0, end }
}

impl Span {
    /// The source this is a part of.
    #[must_use]
    pub fn source(&self) -> Arc<Source> {
        let sources = registry().read().unwrap_or_else(std::sync::PoisonError::into_inner);
        match sources.get(self.source.get() as usize - 1) {
            Some(source) => source.clone(),
            None => Arc::new(Source {
                name: "<unknown>".to_owned(),
                path: None,
                text: String::new(),
                vault: Arc::default(),
                encrypted: false,
                by_line: false,
            }),
        }
    }

    /// A range of the same source.
    #[must_use]
    pub fn part(&self, start: usize, end: usize) -> Span {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span { source: self.source, start: clamp(start), end: clamp(end) }
    }

    /// Whether both lie in one source.
    #[must_use]
    pub fn same_source(&self, other: &Span) -> bool {
        self.source == other.source
    }

    /// The place of the first byte.
    #[must_use]
    pub fn location(&self) -> Location {
        let source = self.source();
        let mut start = (self.start as usize).min(source.text.len());
        while !source.text.is_char_boundary(start) {
            start -= 1;
        }
        let before = &source.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Location {
            file: source.name.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// The directory of the file, when it is one.
    #[must_use]
    pub fn directory(&self) -> Option<PathBuf> {
        self.source().path.as_deref().and_then(Path::parent).map(Path::to_path_buf)
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
