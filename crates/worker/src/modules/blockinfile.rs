//! `ansible.builtin.blockinfile`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::edit::{Edit, Edited, split_lines};
use super::files::text;
use super::pattern::{Alphabet, Flags, Pattern, narrow, widen};
use crate::args::{PathArg, Presence as State, file_arguments};
use crate::host::{Host, WriteOptions};
use crate::module::{Failure, Module, Outcome};

file_arguments! {
    /// Makes sure that a block of lines between two markers is in a file, or that it is not.
    #[derive(Debug, Deserialize, JsonSchema)]
    pub struct BlockInFile {
        /// The file.
        #[serde(alias = "dest", alias = "destfile", alias = "name")]
        path: PathArg,
        /// Whether the block should be there.
        #[serde(default)]
        state: State,
        /// The lines between the markers; an empty block is removed.
        #[serde(default, alias = "content")]
        block: String,
        /// The marker line; `{mark}` stands for what tells the beginning from the end.
        #[serde(default = "marker")]
        marker: String,
        /// What stands for `{mark}` at the beginning.
        #[serde(default = "begin")]
        marker_begin: String,
        /// What stands for `{mark}` at the end.
        #[serde(default = "end")]
        marker_end: String,
        /// After which line a new block goes: the last that matches, or `EOF`.
        #[serde(default)]
        insertafter: Option<String>,
        /// Before which line a new block goes: the last that matches, or `BOF`.
        #[serde(default)]
        insertbefore: Option<String>,
        /// Whether a file that is not there is made.
        #[serde(default)]
        create: bool,
        /// Whether an empty line follows the block, unless it is the end of the file.
        #[serde(default)]
        append_newline: bool,
        /// Whether an empty line precedes the block, unless it is the beginning of the file.
        #[serde(default)]
        prepend_newline: bool,
        /// Whether the old content is kept beside the file.
        #[serde(default)]
        backup: bool,
        /// A command that must accept the new content; `%s` stands for its path.
        #[serde(default)]
        validate: Option<String>,
    }
}

fn marker() -> String {
    "# {mark} ANSIBLE MANAGED BLOCK".to_owned()
}

fn begin() -> String {
    "BEGIN".to_owned()
}

fn end() -> String {
    "END".to_owned()
}

impl Module for BlockInFile {
    const NAME: &'static str = "ansible.builtin.blockinfile";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        if self.insertbefore.is_some() && self.insertafter.is_some() {
            return Err("parameters are mutually exclusive: insertbefore|insertafter".to_owned());
        }
        self.place()?;
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let edit = Edit::open(host, host.path(&self.path)?)?;
        if !edit.exists() && !self.create {
            return Err(Failure::new(format!("Path {} does not exist !", edit.path.display())).with("rc", 257));
        }
        let old = widen(edit.old.as_deref().unwrap_or_default());
        let block = self.block_lines();
        let new = narrow(&self.edited(&old, &block)?);
        let msg = match (edit.exists(), block.is_empty()) {
            (false, _) => "File created",
            (true, true) => "Block removed",
            (true, false) => "Block inserted",
        };
        let options = WriteOptions {
            backup: self.backup,
            validate: self.validate.clone(),
            unsafe_writes: self.unsafe_writes,
            mode_if_new: None,
        };
        let Edited { mut outcome, backup } = edit.write(new, msg, options, &self.file_attributes())?;
        if let Some(backup) = backup {
            outcome.set("backup_file", text(&backup));
        }
        Ok(outcome)
    }
}

/// Where a new block goes.
enum Place {
    Beginning,
    End,
    /// After or before the last line that matches.
    Line(Pattern, bool),
    /// After or before the line in which a match over several lines ends or begins.
    Text(Pattern, bool),
}

impl BlockInFile {
    fn place(&self) -> Result<Place, String> {
        let (pattern, after) = match (self.insertafter.as_deref(), self.insertbefore.as_deref()) {
            (Some("EOF"), _) | (None, None) => return Ok(Place::End),
            (_, Some("BOF")) => return Ok(Place::Beginning),
            (Some(pattern), _) => (pattern, true),
            (None, Some(pattern)) => (pattern, false),
        };
        let compiled = Pattern::new(pattern, Alphabet::Bytes, Flags::default())?;
        Ok(if compiled.is_multiline() { Place::Text(compiled, after) } else { Place::Line(compiled, after) })
    }

    fn marker_line(&self, mark: &str) -> String {
        widen(self.marker.replace("{mark}", mark).as_bytes()) + "\n"
    }

    /// The block with its markers; empty when it should not be there.
    fn block_lines(&self) -> Vec<String> {
        if self.state == State::Absent || self.block.is_empty() {
            return Vec::new();
        }
        let mut block = widen(self.block.as_bytes());
        if !block.ends_with('\n') {
            block.push('\n');
        }
        let all = self.marker_line(&self.marker_begin) + &block + &self.marker_line(&self.marker_end);
        split_lines(&all)
    }

    /// The file's text with the block where it belongs.
    fn edited(&self, old: &str, block: &[String]) -> Result<String, Failure> {
        let mut lines = split_lines(old);
        let last = |marker: String| lines.iter().rposition(|line| *line == marker);
        let (begin, end) = (last(self.marker_line(&self.marker_begin)), last(self.marker_line(&self.marker_end)));
        let mut at = match (begin, end) {
            (Some(begin), Some(end)) => {
                let (first, last) = (begin.min(end), begin.max(end));
                lines.drain(first..=last);
                first
            }
            _ => self.position(old, &lines)?,
        };
        if let Some(previous) = at.checked_sub(1).and_then(|index| lines.get_mut(index))
            && !previous.ends_with('\n')
        {
            previous.push('\n');
        }
        let present = self.state == State::Present;
        if present && self.prepend_newline && at > 0 && lines.get(at - 1).is_some_and(|line| line != "\n") {
            lines.insert(at, "\n".to_owned());
            at += 1;
        }
        lines.splice(at..at, block.iter().cloned());
        let next = at + block.len();
        if present && self.append_newline && lines.get(next).is_some_and(|line| line != "\n") {
            lines.insert(next, "\n".to_owned());
        }
        Ok(lines.concat())
    }

    /// Before which line a new block goes.
    fn position(&self, old: &str, lines: &[String]) -> Result<usize, Failure> {
        let (found, after) = match self.place().map_err(Failure::new)? {
            Place::Beginning => (Some(0), false),
            Place::End => (None, false),
            Place::Line(pattern, after) => {
                let mut found = None;
                for (index, line) in lines.iter().enumerate() {
                    if pattern.is_match(line)? {
                        found = Some(index);
                    }
                }
                (found, after)
            }
            Place::Text(pattern, after) => {
                let whole = pattern.captures(old)?.and_then(|c| c.get(0).map(|m| (m.start(), m.end())));
                let line = |(start, end)| old[..if after { end } else { start }].matches('\n').count();
                (whole.map(line), after)
            }
        };
        Ok(found.map_or(lines.len(), |index| (index + usize::from(after)).min(lines.len())))
    }
}

#[cfg(test)]
#[path = "blockinfile_tests.rs"]
mod tests;
