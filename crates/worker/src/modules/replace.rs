//! `ansible.builtin.replace`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::edit::Edit;
use super::encoding::Encoding;
use super::files::text;
use super::pattern::{Alphabet, Flags, Pattern, Replacement};
use crate::args::{PathArg, file_arguments};
use crate::host::{Diff, Host, WriteOptions};
use crate::module::{Failure, Module, Outcome};

file_arguments! {
    /// Replaces everything in a file that matches a regular expression.
    #[derive(Debug, Deserialize, JsonSchema)]
    pub struct Replace {
        /// The file.
        #[serde(alias = "dest", alias = "destfile", alias = "name")]
        path: PathArg,
        /// What to replace; `^` and `$` match at lines.
        regexp: String,
        /// What to put there; may refer to groups (`\1`, `\g<name>`).
        #[serde(default)]
        replace: String,
        /// Only what follows a match of this is replaced.
        #[serde(default)]
        after: Option<String>,
        /// Only what precedes a match of this is replaced.
        #[serde(default)]
        before: Option<String>,
        /// The file's encoding.
        #[serde(default = "utf8")]
        encoding: String,
        /// Whether the old content is kept beside the file.
        #[serde(default)]
        backup: bool,
        /// A command that must accept the new content; `%s` stands for its path.
        #[serde(default)]
        validate: Option<String>,
    }
}

fn utf8() -> String {
    "utf-8".to_owned()
}

impl Module for Replace {
    const NAME: &'static str = "ansible.builtin.replace";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        Encoding::parse(&self.encoding)?;
        self.section()?;
        self.compiled().map(|_| ())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let mut edit = Edit::open(host, host.path(&self.path)?)?;
        let Some(bytes) = edit.old.take() else {
            return Err(Failure::new(format!("Path {} does not exist !", edit.path.display())).with("rc", 257));
        };
        let encoding = Encoding::parse(&self.encoding).map_err(Failure::new)?;
        let not_text = || Failure::new(format!("{} is not {}", edit.path.display(), encoding.name()));
        let old = encoding.decode(&bytes).ok_or_else(not_text)?.into_owned();
        edit.old = Some(bytes);
        let range = match self.section().map_err(Failure::new)? {
            None => 0..old.len(),
            Some((pattern, shown)) => {
                let found = pattern.captures(&old)?.and_then(|c| c.name("subsection").map(|m| m.start()..m.end()));
                match found {
                    Some(range) => range,
                    None => {
                        let msg = format!("Pattern for before/after params did not match the given file: {shown}");
                        return Ok(Outcome::unchanged().with("msg", msg).with("rc", 0));
                    }
                }
            }
        };
        let (pattern, replacement) = self.compiled().map_err(Failure::new)?;
        let (middle, count) = pattern.replace_all(&old[range.clone()], &replacement)?;
        let new = [&old[..range.start], &middle, &old[range.end..]].concat();
        let options = WriteOptions {
            backup: self.backup,
            validate: self.validate.clone(),
            unsafe_writes: self.unsafe_writes,
            mode_if_new: None,
        };
        let path = text(&edit.path);
        let msg = format!("{count} replacements made");
        let changed = new != old;
        let not_writable = || Failure::new(format!("the new content cannot be written as {}", encoding.name()));
        let content = encoding.encode(&new).ok_or_else(not_writable)?;
        let mut edited = edit.write(content, &msg, options, &self.file_attributes())?;
        edited.outcome.parts = None;
        if changed {
            edited.outcome.diffs.truncate(1);
        }
        if let Some(diff) = edited.outcome.diffs.first_mut().filter(|_| changed) {
            // The decoded texts, under the plain path: this is the one of the three that tells it so.
            *diff = Diff::text(old, new).headers(path.clone(), path);
        }
        if let Some(backup) = edited.backup {
            edited.outcome.set("backup_file", text(&backup));
        }
        Ok(edited.outcome.with("rc", 0))
    }
}

impl Replace {
    fn compiled(&self) -> Result<(Pattern, Replacement), String> {
        let flags = Flags { multiline: true, dotall: false };
        let pattern = Pattern::new(&self.regexp, Alphabet::Text, flags)?;
        let replacement = Replacement::parse(&self.replace, &pattern)
            .map_err(|e| format!("Unable to process replace due to error: {e}"))?;
        Ok((pattern, replacement))
    }

    /// What finds the part of the file that is looked at, and how it is written; `None` for the whole file.
    fn section(&self) -> Result<Option<(Pattern, String)>, String> {
        let text = match (self.after.as_deref().unwrap_or_default(), self.before.as_deref().unwrap_or_default()) {
            ("", "") => return Ok(None),
            (after, "") => format!("{after}(?P<subsection>.*)"),
            ("", before) => format!("(?P<subsection>.*){before}"),
            (after, before) => format!("{after}(?P<subsection>.*?){before}"),
        };
        let flags = Flags { multiline: false, dotall: true };
        Pattern::new(&text, Alphabet::Text, flags).map(|pattern| Some((pattern, text)))
    }
}

#[cfg(test)]
#[path = "replace_tests.rs"]
mod tests;
