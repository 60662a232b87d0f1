//! What `lineinfile`, `blockinfile` and `replace` have in common: a file is read, changed in memory, and written back.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::files;
use crate::host::{Attributes, Content, Diff, Host, WriteOptions};
use crate::module::{Failure, Outcome};

/// A file to be edited.
pub(super) struct Edit<'a> {
    pub host: &'a Host,
    /// The path as the task names it.
    pub path: PathBuf,
    /// Its content; `None` when it is not there.
    pub old: Option<Vec<u8>>,
}

/// What an edit came to.
pub(super) struct Edited {
    pub outcome: Outcome,
    pub backup: Option<PathBuf>,
}

impl<'a> Edit<'a> {
    /// Reads the file; a directory is refused.
    pub(super) fn open(host: &'a Host, path: PathBuf) -> Result<Self, Failure> {
        if host.stat(&path)?.is_some_and(|meta| meta.is_dir()) {
            return Err(Failure::new(format!("Path {} is a directory !", path.display())).with("rc", 256));
        }
        let old = host.read_if_exists(&path)?;
        Ok(Self { host, path, old })
    }

    /// Whether the file is there.
    pub(super) fn exists(&self) -> bool {
        self.old.is_some()
    }

    /// Writes the new content and brings the attributes about; `msg` says what was done to the content.
    pub(super) fn write(
        self,
        new: Vec<u8>,
        msg: &str,
        options: WriteOptions,
        wanted: &Attributes,
    ) -> Result<Edited, Failure> {
        let host = self.host;
        // A link is written through.
        let real = if host.lstat(&self.path)?.is_some() { host.end_of_links(&self.path)? } else { self.path.clone() };
        let mut edited = Edited { outcome: Outcome::unchanged(), backup: None };
        let changed = self.old.as_ref() != Some(&new);
        let texts = if host.diff_mode() {
            (self.old.as_deref().unwrap_or_default(), new.as_slice())
        } else {
            Default::default()
        };
        let content = Diff::contents(texts.0, texts.1, &self.header("content"));
        let mut parts = [content, Diff::nothing(&self.header("file attributes"))];
        if changed {
            self.make_parents()?;
            let mode = host.mode_of_new(wanted.mode.as_ref(), false)?;
            let options = WriteOptions { mode_if_new: Some(mode), ..options };
            let diff = Diff::contents(self.old.as_deref().unwrap_or_default(), &new, &self.header("content"));
            // A copy of what a link leads to is called after the link.
            let copied = options.backup && self.exists() && real != self.path;
            edited.backup = if copied { host.backup(&self.path)? } else { None };
            let options = WriteOptions { backup: options.backup && !copied, ..options };
            let written = host.write_file(&real, &Content::from(new), &options).map_err(|mut failure| {
                // Of a check that said no, these modules tell it in the message alone.
                if failure.fields.contains_key("exit_status") {
                    failure
                        .fields
                        .retain(|key, _| !matches!(key.as_str(), "exit_status" | "path" | "stdout" | "stderr"));
                }
                failure
            })?;
            edited.outcome.changed = true;
            edited.outcome.diffs.push(diff);
            edited.backup = edited.backup.or(written.backup_file);
        }
        let mut attributes = Outcome::unchanged();
        files::settle(host, &real, wanted, true, &mut attributes)?;
        let mut sides = attributes.diffs.pop().map(Diff::into_sides).unwrap_or_default();
        for side in [&mut sides.0, &mut sides.1] {
            // The header names it already.
            side.as_object_mut().and_then(|side| side.shift_remove("path"));
        }
        if !self.exists() && !host.check_mode() {
            self.tell_of_new_mode(wanted, &mut sides)?;
        }
        let mut msg = if changed { msg.to_owned() } else { String::new() };
        if sides != Default::default() {
            let header = self.header("file attributes");
            edited.outcome.changed = true;
            let diff = Diff::values(sides.0, sides.1).headers(header.clone(), header);
            parts[1] = diff.clone();
            edited.outcome.diffs.push(diff);
            let and = if msg.is_empty() { "" } else { " and " };
            msg.push_str(and);
            msg.push_str("ownership, perms or SE linux context changed");
        }
        edited.outcome.set("msg", msg);
        if self.exists() || !host.check_mode() {
            edited.outcome.parts = Some(parts.to_vec());
        }
        Ok(edited)
    }

    /// A new file has its permissions from the start; the reference tells of them as a change.
    fn tell_of_new_mode(
        &self,
        wanted: &Attributes,
        sides: &mut (serde_json::Value, serde_json::Value),
    ) -> Result<(), Failure> {
        let default = self.host.mode_of_new(None, false)?;
        let mode = self.host.mode_of_new(wanted.mode.as_ref(), false)?;
        if mode == default {
            return Ok(());
        }
        for (side, mode) in [(&mut sides.0, default), (&mut sides.1, mode)] {
            if !side.is_object() {
                *side = json!({});
            }
            side["mode"] = json!(format!("0{mode:03o}"));
        }
        Ok(())
    }

    fn make_parents(&self) -> Result<(), Failure> {
        match self.path.parent().filter(|p| !p.as_os_str().is_empty()) {
            Some(parent) if !self.exists() => {
                files::make_directories(self.host, parent, None)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn header(&self, what: &str) -> String {
        format!("{} ({what})", Path::display(&self.path))
    }
}

/// The lines of widened bytes, with their ends, as Python's `bytes.splitlines(True)` splits them.
pub(super) fn split_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\n', '\r']) {
        let end = if rest[at..].starts_with("\r\n") { at + 2 } else { at + 1 };
        lines.push(rest[..end].to_owned());
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        lines.push(rest.to_owned());
    }
    lines
}
