//! Errors as people should see them: what is wrong, where, and the way out.

mod render;

use crate::source::Span;

pub use render::{render, render_all};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Nothing can be run.
    Error,
    /// Worth a look.
    Warning,
}

/// One thing that is wrong: a message, its place, and help.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name such as `playbook::unknown-keyword`.
    pub code: &'static str,
    /// One sentence that names the thing.
    pub message: String,
    /// Where it is.
    pub span: Option<Span>,
    /// What stands at that place, beside the caret.
    pub label: Option<String>,
    help: Option<String>,
    /// The whole text that the place is in, where that is more.
    pub whole: Option<Span>,
    /// The text that led there, where it is another.
    pub used: Option<Span>,
}

impl Diagnostic {
    /// An error without a place yet.
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            span: None,
            label: None,
            help: None,
            whole: None,
            used: None,
        }
    }

    /// A warning without a place yet.
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Says where, when that is known and was not said.
    #[must_use]
    pub fn or_at(mut self, span: Option<Span>) -> Self {
        self.span = self.span.or(span);
        self
    }

    /// Says what stands at the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Says the way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says "did you mean", when there is a candidate near enough.
    #[must_use]
    pub fn suggest<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(word, known) {
            Some(near) if self.help.is_none() => self.help(format!("did you mean `{near}`?")),
            _ => self,
        }
    }

    /// The message in the reference's words: of a role that is missing, with the places that were looked in; of what cannot
    /// be decrypted, without its name.
    #[must_use]
    pub fn reference_message(&self) -> String {
        let places = self.help.as_deref().and_then(|help| help.strip_prefix("looked in "));
        match places.filter(|_| self.code == "playbook::missing-role") {
            Some(places) => format!("{} in {places}", self.message),
            None => match self.message.strip_prefix("cannot decrypt `").and_then(|rest| rest.split_once("`: ")) {
                Some((_, why)) => why.to_owned(),
                None => self.message.clone(),
            },
        }
    }

    /// The way out, when one was said.
    #[must_use]
    pub fn help_text(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl std::fmt::Display for Diagnostic {
    /// The message on one line, with its place: for where there is no room for more.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        match &self.span {
            Some(span) => write!(f, " ({})", span.location()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}

impl From<Diagnostic> for Vec<Diagnostic> {
    fn from(diagnostic: Diagnostic) -> Self {
        vec![diagnostic]
    }
}

/// The known word nearest to what was written, when it is near enough to be what was meant.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = 1 + word.chars().count() / 4;
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        // Of several that are as near, the one that looks most alike.
        .min_by(|(a, first), (b, second)| {
            let alike = |candidate: &str| strsim::jaro_winkler(word, candidate);
            a.cmp(b).then(alike(second).total_cmp(&alike(first))).then(first.cmp(second))
        })
        .map(|(_, candidate)| candidate)
}
