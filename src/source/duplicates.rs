//! Keys that stand twice in a dictionary: what becomes of them (`duplicate_dict_key`), and what is to be said of it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Span;
use crate::diagnostic::Diagnostic;

/// What becomes of a key that stands twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicates {
    /// The last one counts, and that is said.
    Warn = 0,
    /// The last one counts.
    Ignore = 1,
    /// The file cannot be read.
    Error = 2,
}

/// How many of a file are listed: each is shown with its place, and a file may be made of nothing else.
const LISTED: usize = 50;

// Files are read in many places that know nothing of settings; this one holds for all of them, from the start.
static RULE: AtomicU8 = AtomicU8::new(Duplicates::Ignore as u8);
static WARNINGS: Mutex<Vec<Diagnostic>> = Mutex::new(Vec::new());

/// Says what is to become of keys that stand twice, in every file read from now on.
pub fn set_duplicates(rule: Duplicates) {
    RULE.store(rule as u8, Ordering::Relaxed);
}

/// What is to be said of files read since this was asked last.
#[must_use]
pub fn take_warnings() -> Vec<Diagnostic> {
    std::mem::take(&mut WARNINGS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Notes a key that stands twice.
pub(super) fn found(name: &str, span: Span) -> Result<(), Diagnostic> {
    let message = format!("Found duplicate mapping key '{name}'.");
    match RULE.load(Ordering::Relaxed) {
        rule if rule == Duplicates::Ignore as u8 => Ok(()),
        rule if rule == Duplicates::Error as u8 => {
            Err(Diagnostic::error("yaml::duplicate", format!("YAML parsing failed: {message}")).at(span))
        }
        _ if super::ahead::under_way() => Err(Diagnostic::warning("yaml::duplicate", message).at(span)),
        _ => {
            let warning = Diagnostic::warning("yaml::duplicate", message).at(span);
            let mut warnings = WARNINGS.lock().unwrap_or_else(PoisonError::into_inner);
            let before = warnings.iter().rev().take(LISTED + 1);
            match before.filter(|w| w.span.is_some_and(|s| s.source == span.source)).count() {
                0..LISTED => warnings.push(warning.help("Using last defined value only.")),
                LISTED => {
                    let message = "More keys are duplicates in this file; they are not listed.";
                    warnings.push(Diagnostic::warning("yaml::duplicate", message).at(span));
                }
                _ => {}
            }
            Ok(())
        }
    }
}
