//! What went wrong in a template, in the reference's words where users know them.

use minijinja::ErrorKind;

use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::value::Str;

/// Why a variable or an entry is not there: what it is made of is undefined.
#[derive(Debug, Clone)]
pub(in crate::template) struct Reason {
    /// What is said of it.
    pub(super) message: String,
    /// Where.
    pub(super) span: Option<Span>,
    /// The whole text that the place is in.
    pub(super) whole: Option<Span>,
}

impl Reason {
    /// One without a place of its own.
    pub(in crate::template) fn said(message: String) -> Self {
        Self { message, span: None, whole: None }
    }
}

impl From<TemplateError> for Reason {
    fn from(error: TemplateError) -> Self {
        Self { message: error.message, span: error.span, whole: error.whole }
    }
}

/// An error of evaluating a template.
#[derive(Debug, Clone)]
pub struct TemplateError {
    /// One sentence.
    pub message: String,
    /// Where the template is written.
    pub span: Option<Span>,
    /// The top-level name that is not defined, when that is what went wrong.
    pub undefined: Option<String>,
    /// The nearest name that is.
    pub nearest: Option<String>,
    /// Whether something undefined is what went wrong.
    pub is_undefined: bool,
    /// File and line in a template file, when the error is in one.
    pub file: Option<Box<(String, usize)>>,
    /// Whether the template could not even be read.
    pub is_syntax: bool,
    /// The expression that came to nothing.
    pub missing: Option<String>,
    /// Whether no template is wrong, but what it came to: the task is given up for it.
    pub is_refusal: bool,
    /// The whole text that `span` is in.
    pub whole: Option<Span>,
    /// The text that led to it, the outermost one, where that is another: one that uses a variable.
    pub used: Option<Span>,
}

impl TemplateError {
    /// The error of a condition: something undefined is said to be so in one.
    #[must_use]
    pub fn of_condition(mut self) -> Self {
        if self.is_undefined {
            self.message = format!("Error while evaluating conditional: {}", self.message);
        }
        self
    }

    /// An error that says `message`.
    #[must_use]
    pub fn message(message: impl Into<String>, span: Option<Span>) -> Self {
        Self {
            message: message.into(),
            span,
            undefined: None,
            nearest: None,
            is_undefined: false,
            file: None,
            is_syntax: false,
            missing: None,
            is_refusal: false,
            whole: None,
            used: None,
        }
    }

    /// Says that `text` led to it.
    pub(super) fn seen_from(&mut self, text: Option<&Str>) {
        let origin = text.and_then(Str::origin);
        if self.whole.is_none() {
            self.whole = origin;
        } else if origin.is_some() && origin != self.whole {
            self.used = origin;
        }
    }

    /// Says that it comes from something undefined in another text.
    pub(super) fn because_of(&mut self, reason: Reason) {
        self.message = reason.message;
        self.span = reason.span.or(self.span);
        if reason.whole.is_some() && reason.whole != self.whole {
            self.used = self.used.or(self.whole);
            self.whole = reason.whole;
        }
    }

    /// A task cannot be done for what its keywords came to.
    #[must_use]
    pub fn refusal(message: impl Into<String>) -> Self {
        Self { is_refusal: true, ..Self::message(message, None) }
    }

    /// The engine's error, about the template `text`.
    #[must_use]
    pub fn new(error: &minijinja::Error, text: Option<&Str>) -> Self {
        // An error of ours that went through the engine comes out as it went in.
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            if let Some(ours) = inner.downcast_ref::<Self>() {
                let mut ours = ours.clone();
                ours.seen_from(text);
                return ours;
            }
            source = inner.source();
        }
        let mandatory = std::error::Error::source(error).is_some_and(|e| e.is::<Mandatory>());
        let detail = error.detail().map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
        let mut out = Self::message(detail.clone(), None);
        match error.kind() {
            ErrorKind::UndefinedError => {
                out.is_undefined = true;
                let name = detail.strip_prefix('`').and_then(|rest| rest.split('`').next()).unwrap_or_default();
                (out.message, out.undefined) = undefined(name, &detail);
                if out.undefined.is_none() && !name.is_empty() && !mandatory {
                    let place = text.map(Str::as_str).zip(error.range());
                    out.missing = Some(place.and_then(|(text, range)| whole(name, text, range)).unwrap_or(name.into()));
                }
                if detail == crate::value::UNDEFINED_INSIDE
                    && let Some(attribute) = text.and_then(|text| named_attribute(text.as_str()))
                {
                    out.message = format!("object of type 'dict' has no attribute '{attribute}'");
                }
                if mandatory {
                    out.is_undefined = false;
                    out.message = match out.undefined.take() {
                        Some(name) => format!("{MANDATORY}Mandatory variable '{name}' not defined."),
                        None => format!("{MANDATORY}Mandatory variable not defined."),
                    };
                }
            }
            ErrorKind::SyntaxError => {
                out.is_syntax = true;
                out = out.read_in(error, text.map(Str::as_str).unwrap_or_default());
            }
            ErrorKind::UnknownFilter => {
                out.is_syntax = true;
                out.message = format!("Syntax error in template: No filter named '{}'.", word(&detail));
            }
            ErrorKind::UnknownTest => {
                out.is_syntax = true;
                out.message = format!("Syntax error in template: No test named '{}'.", word(&detail));
            }
            ErrorKind::UnknownFunction => {
                let name = detail.split(' ').next().unwrap_or_default().to_owned();
                out.is_undefined = true;
                out.message = format!("'{name}' is undefined");
                out.undefined = Some(name);
            }
            // An operator says which of its operands is not there.
            _ if let Some((_, name)) = detail.strip_suffix("` is undefined)").and_then(|d| d.rsplit_once("(`")) => {
                out.is_undefined = true;
                (out.message, out.undefined) = undefined(name, &detail);
                out.missing = out.undefined.is_none().then(|| name.to_owned());
            }
            _ if let Some(name) = detail.strip_prefix('`').and_then(|d| d.strip_suffix("` is undefined")) => {
                out.is_undefined = true;
                (out.message, out.undefined) = undefined(name, &detail);
                out.missing = out.undefined.is_none().then(|| name.to_owned());
            }
            ErrorKind::UnknownMethod => out.is_undefined = true,
            _ if let Some(sum) = detail.strip_prefix("unable to calculate ") => {
                let float = sum.contains('.');
                // For Python, truth is a number.
                let sum = sum.replace("False", "0");
                let words = match () {
                    () if sum.contains(" // 0") && float => "float floor division by zero",
                    () if sum.contains(" // 0") => "integer division or modulo by zero",
                    () if sum.contains(" / 0") && float => "float division by zero",
                    () if sum.contains(" / 0") => "division by zero",
                    () if sum.starts_with("0 ** -") || sum.starts_with("0.0 ** -") => {
                        "0.0 cannot be raised to a negative power"
                    }
                    () => "the result is too large",
                };
                out.message = format!("{}{words}", super::compare::RENDERING);
            }
            _ => {}
        }
        if let Some(text) = text {
            out.span = super::place_within(text, error.line(), error.range()).or(text.origin());
            out.whole = text.origin();
        }
        out
    }

    /// What is said of text that cannot be read, where the engine has not kept it itself.
    pub(super) fn read_in(mut self, error: &minijinja::Error, text: &str) -> Self {
        if error.kind() == ErrorKind::SyntaxError {
            let source = error.template_source().unwrap_or(text);
            let told = super::syntax::told(error.detail().unwrap_or_default(), source, error.range());
            self.message = format!("Syntax error in template: {told}");
        }
        self
    }

    /// The error as a diagnostic.
    #[must_use]
    pub fn to_diagnostic(&self) -> Diagnostic {
        let code = if self.is_syntax { "template::syntax" } else { "template::error" };
        let mut message = self.message.clone();
        if let Some((file, line)) = self.file.as_deref()
            && self.span.is_none()
        {
            message = format!("{message} ({file}:{line})");
        }
        let diagnostic = Diagnostic::error(code, message);
        let mut diagnostic = match self.span {
            Some(span) => diagnostic.at(span),
            None => diagnostic,
        };
        (diagnostic.whole, diagnostic.used) = (self.whole, self.used);
        match &self.nearest {
            Some(name) => diagnostic.help(format!("did you mean `{name}`?")),
            None => diagnostic,
        }
    }

    /// The error for the engine, to pass through it.
    #[must_use]
    pub fn into_engine(self) -> minijinja::Error {
        let kind = if self.is_undefined { ErrorKind::UndefinedError } else { ErrorKind::InvalidOperation };
        minijinja::Error::new(kind, self.message.clone()).with_source(self)
    }
}

const MANDATORY: &str = "The filter plugin 'ansible.builtin.mandatory' failed: ";

/// Travels with the engine's error about something undefined that the filter `mandatory` met: the engine knows its name only
/// later.
#[derive(Debug, thiserror::Error)]
#[error("a mandatory variable is not defined")]
pub(super) struct Mandatory;

/// The attribute that a filter of the template is told to take, as in `map(attribute='name')`: what is missing in its result.
pub(super) fn named_attribute(text: &str) -> Option<&str> {
    let rest = text.split_once("attribute=")?.1;
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let name = rest.get(1..)?.split(quote).next()?;
    name.rsplit('.').next()
}

/// What the engine calls `(...).name` or `a[...]`, as it is written in the template.
fn whole(name: &str, text: &str, range: std::ops::Range<usize>) -> Option<String> {
    let written = text.get(range.clone())?;
    if let Some(base) = name.strip_suffix("[...]").filter(|base| !base.contains("...")) {
        let (_, key) = super::missing::split(written)?;
        return key.starts_with('[').then(|| format!("{base}{key}"));
    }
    // What is written there may be but the end of something longer.
    let before = text.get(..range.start)?.trim_end().chars().next_back();
    let begins = before.is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '_' | ')' | ']' | '}' | '"' | '\'' | '.')));
    (name.starts_with("(...)") && begins).then(|| written.to_owned())
}

/// The reference's sentence for something undefined, and the top-level name when it is one.
fn undefined(name: &str, detail: &str) -> (String, Option<String>) {
    if name.is_empty() {
        return (detail.to_owned(), None);
    }
    match name.rsplit_once(['.', '[']) {
        Some((_, attribute)) => {
            let attribute = attribute.trim_end_matches(']').trim_matches(['\'', '"']);
            if attribute.is_empty() || attribute == "..." {
                // An expression that the engine does not name; the template's own text may.
                return (ErrorKind::UndefinedError.to_string(), None);
            }
            (format!("object of type 'dict' has no attribute '{attribute}'"), None)
        }
        None => (format!("'{name}' is undefined"), Some(name.to_owned())),
    }
}

/// The name in the engine's "filter x is unknown".
fn word(detail: &str) -> &str {
    detail.split(' ').nth(1).unwrap_or(detail)
}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        if let Some((file, line)) = self.file.as_deref() {
            write!(f, " ({file}:{line})")?;
        }
        Ok(())
    }
}

impl std::error::Error for TemplateError {}
