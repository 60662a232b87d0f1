//! Where lines go: standard output, standard error and a log, in the reference's ways.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::settings::Settings;
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::Span;

/// Writes text out, each warning and error once.
pub struct Display {
    /// How it looks.
    pub settings: Settings,
    log: Option<Mutex<File>>,
    said: Mutex<HashSet<String>>,
    user: String,
}

impl Display {
    /// A display; a log that cannot be written is said and left out.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let open = |path: &PathBuf| {
            let path = crate::playbook::expand_home(&path.to_string_lossy());
            File::options().create(true).append(true).open(&path).map_err(|e| (path, e))
        };
        let log = match settings.log_path.as_ref().map(open) {
            Some(Ok(file)) => Some(Mutex::new(file)),
            Some(Err((path, error))) => {
                eprintln!("[WARNING]: log file at '{}' is not writeable: {error}", path.display());
                None
            }
            None => None,
        };
        let user = std::env::var("LOGNAME").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "root".to_owned());
        Self { settings, log, said: Mutex::default(), user }
    }

    /// A line (or several) on standard output, or on standard error.
    pub fn show(&self, text: &str, color: &str, to_stderr: bool) {
        self.screen(text, color, to_stderr);
        self.log(text, "INFO");
    }

    /// Text on the screen only. A reader that went away ends the writing, not the run.
    pub fn screen(&self, text: &str, color: &str, to_stderr: bool) {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = if color.is_empty() { text.to_owned() } else { self.settings.paint(text, color) };
        let text = text + "\n";
        if to_stderr {
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        } else {
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(text.as_bytes());
            let _ = out.flush();
        }
    }

    /// Text in the log only.
    pub fn log(&self, text: &str, level: &str) {
        let Some(log) = &self.log else { return };
        let now = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S,%3f").to_string();
        let line = format!(
            "{now} p={} u={} n=ansible {level}| {}\n",
            std::process::id(),
            self.user,
            text.trim_start_matches('\n')
        );
        let _ = log.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
    }

    /// A remark, on the screen and in the log for those who ask for as much.
    pub fn remark(&self, verbosity: u8, text: &str) {
        if self.settings.verbosity >= verbosity {
            self.screen(text, "verbose", false);
        }
        if self.settings.log_verbosity.unwrap_or(self.settings.verbosity) >= verbosity {
            self.log(text, "INFO");
        }
    }

    /// A headline.
    pub fn banner(&self, text: &str) {
        let text = text.trim();
        let width = text.chars().count();
        let stars = self.settings.columns.saturating_sub(width);
        let stars = if stars <= 3 { 3 } else { stars };
        self.show(&format!("\n{text} {}", "*".repeat(stars)), "", false);
    }

    /// Something wrong; each text once.
    pub fn error(&self, text: &str, to_stderr: bool) {
        let text = format!("[ERROR]: {text}");
        if self.is_new(&text) {
            self.screen(&text, "error", to_stderr);
            self.log(&text, "ERROR");
        }
    }

    /// Something worth a look; each text once.
    pub fn warning(&self, text: &str) {
        let text = format!("[WARNING]: {text}");
        if self.is_new(&text) {
            self.screen(&text, "warn", true);
            self.log(&text, "WARNING");
        }
    }

    /// Something that will not be there for ever; each text once.
    pub fn deprecated(&self, text: &str) {
        if !self.settings.deprecation_warnings {
            return;
        }
        let off = "Deprecation warnings can be disabled by setting `deprecation_warnings=False` in ansible.cfg.";
        self.warning(off);
        let text = format!("[DEPRECATION WARNING]: {text}");
        if self.is_new(&text) {
            self.screen(&text, "deprecate", true);
            self.log(&text, "INFO");
        }
    }

    /// A diagnostic in the reference's shape, with the place it is about.
    pub fn diagnostic(&self, diagnostic: &Diagnostic) {
        let about_hosts = diagnostic.code == "run::hosts" && diagnostic.severity == Severity::Warning;
        let place = diagnostic.span.filter(|_| !about_hosts).map(origin).unwrap_or_default();
        let text = format!("{}{place}", diagnostic.reference_message());
        match diagnostic.severity {
            Severity::Error => self.error(&text, true),
            // The reference does not look as closely.
            Severity::Warning if diagnostic.code.starts_with("playbook::") && self.settings.verbosity == 0 => {}
            Severity::Warning => self.warning(&text),
        }
    }

    fn is_new(&self, text: &str) -> bool {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned())
    }
}

/// A path as it is from the root.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// `path:line` of a place.
pub(super) fn line_of(span: Span) -> String {
    let source = span.source();
    let file = source.path.as_deref().map_or_else(|| source.name.clone(), |path| absolute(path).display().to_string());
    format!("{file}:{}", span.location().line)
}

/// How long the lines of a source are that are shown.
const LINE: usize = 120;

/// A line of a source, as long as may be shown.
fn shortened(line: &str) -> String {
    if line.chars().count() <= LINE {
        return line.to_owned();
    }
    line.chars().take(LINE - 3).chain("...".chars()).collect()
}

/// The place and the lines around it: what follows a message.
#[must_use]
pub fn origin(span: Span) -> String {
    let source = span.source();
    let location = span.location();
    if source.path.is_none() {
        return format!("\nOrigin: {}\n\n", source.name);
    }
    let column = if source.by_line { String::new() } else { format!(":{}", location.column) };
    let mut out = format!("\nOrigin: {}{column}\n\n", line_of(span));
    // What is encrypted is shown to nobody; its place may be.
    if source.encrypted {
        return out;
    }
    let lines: Vec<&str> = source.text.lines().collect();
    let Some(_) = lines.get(location.line - 1) else {
        out.push_str("(source not shown: file truncated)\n\n");
        return out;
    };
    let width = location.line.to_string().len();
    for number in location.line.saturating_sub(2).max(1)..=location.line {
        let line = format!("{number:>width$} {}", lines.get(number - 1).copied().unwrap_or_default());
        out.push_str(&shortened(line.trim_end()));
        out.push('\n');
    }
    if source.by_line {
        let length = lines.get(location.line - 1).map_or(0, |line| line.trim_end().chars().count());
        out.push_str(&format!("{}{}\n\n", " ".repeat(width + 1), "^".repeat(length)));
        return out;
    }
    let (before, label) = (width + location.column, format!("column {}", location.column));
    // Where there is no room behind the mark, the words stand before it; a mark beyond the line is not there.
    if before + label.len() + 2 <= LINE {
        out.push_str(&format!("{}^ {label}\n", " ".repeat(before)));
    } else if before < LINE {
        out.push_str(&format!("{label:>0$} ^\n", before - 1));
    }
    out.push('\n');
    out
}
