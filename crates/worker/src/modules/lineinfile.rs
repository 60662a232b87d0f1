//! `ansible.builtin.lineinfile`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::edit::{Edit, Edited};
use super::files::text;
use super::pattern::{Pattern, Replacement, narrow, widen};
use crate::args::{PathArg, Presence as State, file_arguments};
use crate::host::{Host, WriteOptions};
use crate::module::{Failure, Module, Outcome};

file_arguments! {
    /// Makes sure that a line is in a file, or that it is not.
    #[derive(Debug, Deserialize, JsonSchema)]
    pub struct LineInFile {
        /// The file.
        #[serde(alias = "dest", alias = "destfile", alias = "name")]
        path: PathArg,
        /// Whether the line should be there.
        #[serde(default)]
        state: State,
        /// The line.
        #[serde(default, alias = "value")]
        line: Option<String>,
        /// What the line to replace or remove matches; the last one that does is replaced.
        #[serde(default, alias = "regex")]
        regexp: Option<String>,
        /// What the line to replace or remove contains.
        #[serde(default)]
        search_string: Option<String>,
        /// Whether `line` holds references to groups of `regexp`; without a match nothing is done then.
        #[serde(default)]
        backrefs: bool,
        /// After which line a new one goes: the last that matches, or `EOF`.
        #[serde(default)]
        insertafter: Option<String>,
        /// Before which line a new one goes: the last that matches, or `BOF`.
        #[serde(default)]
        insertbefore: Option<String>,
        /// Whether the first match counts instead of the last.
        #[serde(default)]
        firstmatch: bool,
        /// Whether a file that is not there is made.
        #[serde(default)]
        create: bool,
        /// Whether the old content is kept beside the file.
        #[serde(default)]
        backup: bool,
        /// A command that must accept the new content; `%s` stands for its path.
        #[serde(default)]
        validate: Option<String>,
    }
}

/// What is said of a `regexp` or `search_string` that says nothing.
const EMPTY: &str = "is an empty string, which will match every line in the file. This may have unintended consequences, \
     such as replacing the last line in the file rather than appending.";
const USE_CARET: &str = " If this is desired, use '^' to match every line in the file and avoid this warning.";

impl Module for LineInFile {
    const NAME: &'static str = "ansible.builtin.lineinfile";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        for (a, b, names) in [
            (self.insertbefore.is_some(), self.insertafter.is_some(), "insertbefore|insertafter"),
            (self.regexp.is_some(), self.search_string.is_some(), "regexp|search_string"),
            (self.backrefs, self.search_string.is_some(), "backrefs|search_string"),
        ] {
            if a && b {
                return Err(format!("parameters are mutually exclusive: {names}"));
            }
        }
        let regexp = self.regexp.as_deref().map(Pattern::bytes).transpose()?;
        self.place().transpose()?;
        match self.state {
            State::Present if self.backrefs && regexp.is_none() => Err("regexp is required with backrefs=true".into()),
            State::Present if self.line.is_none() => Err("line is required with state=present".into()),
            State::Absent if self.regexp.is_none() && self.search_string.is_none() && self.line.is_none() => {
                Err("one of line, search_string, or regexp is required with state=absent".into())
            }
            State::Present if self.backrefs => {
                let (Some(line), Some(pattern)) = (&self.line, &regexp) else { return Ok(()) };
                Replacement::parse(&widen(line.as_bytes()), pattern).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let edit = Edit::open(host, host.path(&self.path)?)?;
        if !edit.exists() {
            match self.state {
                State::Absent => return Ok(Outcome::unchanged().with("msg", "file not present")),
                State::Present if !self.create => {
                    let msg = format!("Destination {} does not exist !", edit.path.display());
                    return Err(Failure::new(msg).with("rc", 257));
                }
                State::Present => {}
            }
        }
        let old = widen(edit.old.as_deref().unwrap_or_default());
        let mut lines: Vec<String> = old.split_inclusive('\n').map(ToOwned::to_owned).collect();
        let before = lines.len();
        let msg = match self.state {
            State::Present => self.present(&mut lines)?.to_owned(),
            State::Absent => {
                let wanted = self.matcher()?;
                let mut kept = Vec::with_capacity(before);
                for line in lines {
                    if !wanted.matches(&line)? {
                        kept.push(line);
                    }
                }
                lines = kept;
                format!("{} line(s) removed", before - lines.len())
            }
        };
        let found = before.saturating_sub(lines.len());
        let options = WriteOptions {
            backup: self.backup,
            validate: self.validate.clone(),
            unsafe_writes: self.unsafe_writes,
            mode_if_new: None,
        };
        let Edited { mut outcome, backup } =
            edit.write(narrow(&lines.concat()), &msg, options, &self.file_attributes())?;
        outcome.set("backup", backup.as_deref().map(text).unwrap_or_default());
        if self.state == State::Absent {
            outcome.set("found", found);
        }
        match (self.regexp.as_deref(), self.search_string.as_deref()) {
            (Some(""), _) => outcome.set("warnings", json!([format!("The regular expression {EMPTY}{USE_CARET}")])),
            (None, Some("")) => outcome.set("warnings", json!([format!("The search string {EMPTY}")])),
            _ => {}
        }
        Ok(outcome)
    }
}

/// Where a new line goes.
enum Place {
    Beginning,
    End,
    After(Pattern),
    Before(Pattern),
}

/// What the line is known by.
enum Matcher {
    Regexp(Pattern),
    Contains(String),
    Is(String),
}

impl Matcher {
    fn matches(&self, line: &str) -> Result<bool, Failure> {
        match self {
            Self::Regexp(pattern) => pattern.is_match(line),
            Self::Contains(text) => Ok(line.contains(text)),
            Self::Is(text) => Ok(content(line) == text),
        }
    }
}

/// A line without its end.
fn content(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

impl LineInFile {
    /// Where a new line goes; `None` when nothing is said, which means the end.
    fn place(&self) -> Option<Result<Place, String>> {
        // As in the reference, an empty `insertbefore` says nothing.
        let before = self.insertbefore.as_deref().filter(|before| !before.is_empty());
        match (self.insertafter.as_deref(), before) {
            (Some("BOF"), _) | (_, Some("BOF")) => Some(Ok(Place::Beginning)),
            (Some("EOF"), _) | (_, Some("EOF")) => Some(Ok(Place::End)),
            (Some(pattern), _) => Some(Pattern::bytes(pattern).map(Place::After)),
            (_, Some(pattern)) => Some(Pattern::bytes(pattern).map(Place::Before)),
            (None, None) => None,
        }
    }

    fn line(&self) -> String {
        widen(self.line.as_deref().unwrap_or_default().as_bytes())
    }

    fn matcher(&self) -> Result<Matcher, Failure> {
        match (&self.regexp, &self.search_string) {
            (Some(regexp), _) => Pattern::bytes(regexp).map(Matcher::Regexp).map_err(Failure::new),
            (_, Some(text)) => Ok(Matcher::Contains(widen(text.as_bytes()))),
            _ => Ok(Matcher::Is(self.line())),
        }
    }

    /// The index of the line that counts: the last that matches, or the first.
    fn find(
        &self,
        lines: &[String],
        matches: impl Fn(&str) -> Result<bool, Failure>,
    ) -> Result<Option<usize>, Failure> {
        let mut found = None;
        for (index, line) in lines.iter().enumerate() {
            if matches(line)? {
                found = Some(index);
                if self.firstmatch {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Puts the line where it belongs; says what was done.
    fn present(&self, lines: &mut Vec<String>) -> Result<&'static str, Failure> {
        let wanted = self.line();
        let matcher = self.matcher()?;
        if let Some(at) = self.find(lines, |line| matcher.matches(line))? {
            let new = match &matcher {
                Matcher::Regexp(pattern) if self.backrefs => expanded(pattern, &wanted, &lines[at])?,
                _ => wanted,
            };
            return Ok(replace(lines, at, new));
        }
        if self.backrefs {
            return Ok("");
        }
        // The line may be there although what it is known by is not.
        if let Some(at) = lines.iter().rposition(|line| content(line) == wanted) {
            return Ok(replace(lines, at, wanted));
        }
        let place = self.place().transpose().map_err(Failure::new)?.unwrap_or(Place::End);
        let at = match &place {
            Place::Beginning => Some(0),
            Place::End => None,
            Place::After(pattern) => self.find(lines, |line| pattern.is_match(line))?.map(|at| at + 1),
            Place::Before(pattern) => self.find(lines, |line| pattern.is_match(line))?,
        };
        let at = at.unwrap_or(lines.len());
        if at == lines.len()
            && let Some(last) = lines.last_mut()
            && !last.ends_with(['\n', '\r'])
        {
            last.push('\n');
        }
        lines.insert(at, wanted + "\n");
        Ok("line added")
    }
}

fn replace(lines: &mut [String], at: usize, mut new: String) -> &'static str {
    if !new.ends_with('\n') {
        new.push('\n');
    }
    if lines[at] == new {
        return "";
    }
    lines[at] = new;
    "line replaced"
}

fn expanded(pattern: &Pattern, template: &str, line: &str) -> Result<String, Failure> {
    let replacement = Replacement::parse(template, pattern).map_err(Failure::new)?;
    let mut out = String::new();
    if let Some(captures) = pattern.captures(line)? {
        replacement.expand(&captures, &mut out);
    }
    Ok(out)
}

#[cfg(test)]
#[path = "lineinfile_tests.rs"]
mod tests;
