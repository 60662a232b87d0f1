//! `ansible.builtin.file`.

mod link;
mod times;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::times::Times;
use super::files::{self, text};
use crate::args::{PathArg, file_arguments, yes};
use crate::host::{Attributes, Content, Diff, FileKind, Host, WriteOptions};
use crate::module::{Failure, Module, Outcome};

file_arguments! {
    /// Makes, changes and removes files, directories and links.
    #[derive(Debug, Deserialize, JsonSchema)]
    pub struct File {
        /// What to manage.
        #[serde(alias = "dest", alias = "name")]
        path: PathArg,
        /// What should be there; by default what is there now.
        #[serde(default)]
        state: Option<State>,
        /// What a link should lead to.
        #[serde(default)]
        src: Option<PathArg>,
        /// Whether everything in the directory gets the attributes.
        #[serde(default)]
        recurse: bool,
        /// Whether a link is made although its source is missing or something else is in its place.
        #[serde(default)]
        force: bool,
        /// Whether a link at `path` is followed.
        #[serde(default = "yes")]
        follow: bool,
        /// The time of access: `preserve`, `now` or a time.
        #[serde(default)]
        access_time: Option<String>,
        /// How `access_time` is written.
        #[serde(default = "times::default_format")]
        access_time_format: String,
        /// The time of modification: `preserve`, `now` or a time.
        #[serde(default)]
        modification_time: Option<String>,
        /// How `modification_time` is written.
        #[serde(default = "times::default_format")]
        modification_time_format: String,
        /// The source's file name, from the controller.
        #[serde(default)]
        #[schemars(skip)]
        _original_basename: Option<String>,
        /// The controller's question whether the file is text, which the reference's `copy` asks.
        #[serde(default)]
        #[schemars(skip)]
        _diff_peek: Option<bool>,
    }
}

/// What should be at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Absent,
    Directory,
    File,
    Hard,
    Link,
    Touch,
}

/// What is said of `recurse` where there is nothing to go down into.
const NOT_A_DIRECTORY: &str = "recurse option requires state to be 'directory'";

impl Module for File {
    const NAME: &'static str = "ansible.builtin.file";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        if self.recurse && !matches!(self.state, Some(State::Directory) | None) {
            return Err(NOT_A_DIRECTORY.to_owned());
        }
        if self.src.as_ref().is_some_and(|src| !src.0.is_empty())
            && !matches!(self.state, Some(State::Link | State::Hard))
        {
            return Err("src option requires state to be 'link' or 'hard'".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.path)?;
        // A link is managed by its own name; a directory is told by the one that was given.
        let path = if self.state == Some(State::Directory) { path } else { managed(host, path)? };
        let before = state_at(host, &path)?;
        let state = match self.state {
            Some(state) => state,
            None => match before {
                "directory" => State::Directory,
                "link" => State::Link,
                "hard" => State::Hard,
                "absent" if self.recurse => State::Directory,
                _ => State::File,
            },
        };
        if self.recurse && state != State::Directory {
            return Err(Failure::new(NOT_A_DIRECTORY).with("path", text(&path)));
        }
        let mut path = path;
        if !matches!(state, State::Link | State::Absent)
            && host.stat(&path)?.is_some_and(|meta| meta.is_dir())
            && let Some(name) = self.source_name()
        {
            path.push(name);
        }
        let touch = state == State::Touch;
        let times = Times::new(
            (self.access_time.as_deref(), &self.access_time_format),
            (self.modification_time.as_deref(), &self.modification_time_format),
            touch,
        )?;
        let job = Job { attributes: self.file_attributes(), times, args: &self, host };
        let result = match state {
            State::Absent => job.absent(&path, before),
            State::Directory => job.directory(path),
            State::File => job.file(path),
            State::Touch => job.touch(path),
            State::Link => job.symbolic_link(&path),
            State::Hard => job.hard_link(&path),
        };
        let warnings = if before == "absent" || touch { job.strangers()? } else { Vec::new() };
        match result {
            Ok(mut outcome) => {
                if !warnings.is_empty() {
                    outcome.set("warnings", warnings);
                }
                Ok(outcome)
            }
            Err(mut failure) => {
                if !warnings.is_empty() {
                    failure.fields.insert("warnings".to_owned(), warnings.into());
                }
                Err(job.described(failure))
            }
        }
    }
}

impl File {
    fn source_name(&self) -> Option<String> {
        let from_src = || Path::new(&self.src.as_ref()?.0).file_name()?.to_str().map(ToOwned::to_owned);
        self._original_basename.clone().or_else(from_src)
    }
}

/// The path without the slash at its end: a link is managed by its own name. A directory keeps it.
fn managed(host: &Host, path: PathBuf) -> Result<PathBuf, Failure> {
    let trimmed: PathBuf = path.components().collect();
    Ok(if state_at(host, &trimmed)? == "directory" { path } else { trimmed })
}

/// What is at a path, in the words of the `state` argument.
fn state_at(host: &Host, path: &Path) -> Result<&'static str, Failure> {
    let Some(meta) = host.lstat(path)? else { return Ok("absent") };
    Ok(match meta.file_type() {
        t if t.is_symlink() => "link",
        t if t.is_dir() => "directory",
        _ if meta.nlink() > 1 => "hard",
        _ => "file",
    })
}

/// One call, with everything its states need.
struct Job<'a> {
    args: &'a File,
    host: &'a Host,
    attributes: Attributes,
    times: Times,
}

/// What a call found different, told as one diff.
struct Report {
    changed: bool,
    before: Map<String, Value>,
    after: Map<String, Value>,
}

impl Report {
    fn new(path: &Path) -> Self {
        let side = || Map::from_iter([("path".to_owned(), json!(text(path)))]);
        Self { changed: false, before: side(), after: side() }
    }

    /// Something is other than before.
    fn differs(&mut self, key: &str, before: impl Into<Value>, after: impl Into<Value>) {
        let (before, after) = (before.into(), after.into());
        if before != after {
            self.changed = true;
            self.before.insert(key.to_owned(), before);
            self.after.insert(key.to_owned(), after);
        }
    }

    fn add(&mut self, diff: Option<Diff>) {
        let Some(diff) = diff else { return };
        self.changed = true;
        if let (Value::Object(before), Value::Object(after)) = diff.into_sides() {
            for (key, value) in before {
                self.before.entry(key).or_insert(value);
            }
            self.after.extend(after.into_iter().filter(|(key, _)| key != "path"));
        }
    }

    fn outcome(self, key: &str, path: &Path) -> Outcome {
        let mut outcome = Outcome::new(self.changed).with(key, text(path));
        // Told also when nothing differs: it holds the path.
        outcome.diffs.push(Diff::values(self.before.into(), self.after.into()));
        outcome
    }
}

impl Job<'_> {
    /// In a dry run: owners who are not there yet, whom an earlier task would have to make.
    fn strangers(&self) -> Result<Vec<Value>, Failure> {
        let mut warnings = Vec::new();
        if !self.host.check_mode() {
            return Ok(warnings);
        }
        let mut warn = |what: &str, id: &str, name: &str| {
            let with = if name.parse::<u32>().is_ok() { format!(" with {id}") } else { String::new() };
            let text = format!("failed to look up {what}{with} {name}: an earlier task would have to create it");
            warnings.push(text.into());
        };
        if let Some(owner) = &self.attributes.owner {
            let known = match owner.parse::<u32>() {
                Ok(uid) => self.host.user_by_id(uid)?.is_some(),
                Err(_) => self.host.user(owner)?.is_some(),
            };
            if !known {
                warn("user", "uid", owner);
            }
        }
        if let Some(group) = &self.attributes.group {
            let known = match group.parse::<u32>() {
                Ok(gid) => self.host.group_by_id(gid)?.is_some(),
                Err(_) => self.host.group(group)?.is_some(),
            };
            if !known {
                warn("group", "gid", group);
            }
        }
        Ok(warnings)
    }

    /// Adds to a failure what is at the path that it names.
    fn described(&self, mut failure: Failure) -> Failure {
        let named = failure.fields.get("path").or_else(|| failure.fields.get("dest")).and_then(Value::as_str);
        if let Some(Ok(found)) = named.map(|path| self.host.describe(Path::new(path))) {
            failure.fields.extend(found);
        }
        failure
    }

    fn absent(&self, path: &Path, before: &'static str) -> Result<Outcome, Failure> {
        let mut report = Report::new(path);
        report.differs("state", before, "absent");
        if before == "directory" && self.host.diff_mode() {
            report.before.insert("path_content".to_owned(), self.inventory(path)?);
        }
        if report.changed {
            self.host.remove(path)?;
        }
        if !report.changed {
            return Ok(Outcome::unchanged().with("path", text(path)).with("state", "absent"));
        }
        let mut outcome = report.outcome("path", path).with("state", "absent");
        // In a dry run it is still there.
        files::describe(self.host, path, &mut outcome)?;
        Ok(outcome)
    }

    /// The files and directories below a directory that is about to go.
    fn inventory(&self, path: &Path) -> Result<Value, Failure> {
        let (mut directories, mut files) = (Vec::new(), Vec::new());
        let mut waiting = vec![path.to_path_buf()];
        while let Some(directory) = waiting.pop() {
            for name in self.host.list(&directory)? {
                let path = directory.join(name);
                if self.host.kind(&path)? == FileKind::Directory {
                    directories.push(text(&path));
                    waiting.push(path);
                } else {
                    files.push(text(&path));
                }
            }
        }
        Ok(json!({"directories": directories, "files": files}))
    }

    /// The end of a link at `path`, when links are to be followed and it leads somewhere.
    fn followed(&self, path: PathBuf) -> Result<PathBuf, Failure> {
        if self.args.follow && self.host.kind(&path)? == FileKind::Link {
            return self.host.canonical(&path);
        }
        Ok(path)
    }

    /// The same, where a link leads to nothing too.
    fn end(&self, path: PathBuf) -> Result<PathBuf, Failure> {
        if self.args.follow { self.host.end_of_links(&path) } else { Ok(path) }
    }

    fn file(&self, path: PathBuf) -> Result<Outcome, Failure> {
        let path = if self.host.kind(&path)? == FileKind::Link { self.end(path)? } else { path };
        let state = state_at(self.host, &path)?;
        if !matches!(state, "file" | "hard") {
            let msg = format!("file ({}) is {state}, cannot continue", path.display());
            return Err(Failure::new(msg).with("path", text(&path)).with("state", state));
        }
        let mut report = Report::new(&path);
        report.add(self.host.set_attributes(&path, &self.attributes, self.args.follow)?);
        self.times.set(self.host, &path, &mut report)?;
        let mut outcome = report.outcome("path", &path);
        files::describe(self.host, &path, &mut outcome)?;
        Ok(outcome)
    }

    fn directory(&self, path: PathBuf) -> Result<Outcome, Failure> {
        let path = if self.host.kind(&path)? == FileKind::Link { self.end(path)? } else { path };
        let state = state_at(self.host, &path)?;
        let mut report = Report::new(&path);
        match state {
            "absent" => {
                report.differs("state", "absent", "directory");
                if !self.host.check_mode() {
                    self.tell_mode_of_new(&mut report, true)?;
                }
                let made = files::make_directories(self.host, &path, self.attributes.mode.as_ref())?;
                for directory in &made {
                    report.add(self.host.set_attributes(directory, &self.attributes, self.args.follow)?);
                }
            }
            "directory" => {
                report.add(self.host.set_attributes(&path, &self.attributes, self.args.follow)?);
            }
            // A link to a directory that is not to be followed.
            "link" if self.host.stat(&path)?.is_some_and(|meta| meta.is_dir()) => {
                let msg = format!("{} already exists as a link", path.display());
                return Err(Failure::new(msg).with("path", text(&path)));
            }
            other => {
                let msg = format!("{} already exists as a {other}", path.display());
                return Err(Failure::new(msg).with("path", text(&path)));
            }
        }
        self.times.set(self.host, &path, &mut report)?;
        if self.args.recurse && state == "directory" {
            self.recurse(&path, &mut report, &mut BTreeSet::new())?;
        }
        let mut outcome = report.outcome("path", &path);
        files::describe(self.host, &path, &mut outcome)?;
        Ok(outcome)
    }

    /// Gives the attributes to everything below a directory; the diff tells of the directory alone.
    ///
    /// `seen` holds the directories that links led to, by device and inode: a link may lead back to where it is.
    fn recurse(&self, directory: &Path, report: &mut Report, seen: &mut BTreeSet<(u64, u64)>) -> Result<(), Failure> {
        for name in self.host.list(directory)? {
            let path = directory.join(name);
            report.changed |= self.host.set_attributes(&path, &self.attributes, false)?.is_some();
            match self.host.kind(&path)? {
                FileKind::Link if self.args.follow && self.host.exists(&path)? => {
                    let target = self.host.canonical(&path)?;
                    report.changed |= self.host.set_attributes(&target, &self.attributes, false)?.is_some();
                    let meta = self.host.stat(&target)?.filter(std::fs::Metadata::is_dir);
                    if meta.is_some_and(|meta| seen.insert((meta.dev(), meta.ino()))) {
                        self.recurse(&target, report, seen)?;
                    }
                }
                FileKind::Directory => self.recurse(&path, report, seen)?,
                _ => {}
            }
            let mut unseen = Report::new(&path);
            self.times.set(self.host, &path, &mut unseen)?;
            report.changed |= unseen.changed;
        }
        Ok(())
    }

    fn touch(&self, path: PathBuf) -> Result<Outcome, Failure> {
        let (named, path) = (path.clone(), self.followed(path)?);
        let state = state_at(self.host, &path)?;
        let mut report = Report::new(&named);
        if !matches!(state, "absent" | "file" | "directory" | "hard") {
            let msg = format!("Can only touch files, directories, and hardlinks ({} is {state})", path.display());
            return Err(Failure::new(msg));
        }
        if state == "absent" {
            report.changed = true;
            self.create(&path)?;
        }
        let mut settle = || {
            if state == "absent" {
                self.tell_mode_of_new(&mut report, false)?;
            }
            report.add(self.host.set_attributes(&path, &self.attributes, self.args.follow)?);
            self.times.set(self.host, &path, &mut report)
        };
        if let Err(failure) = settle() {
            if state == "absent" {
                // What cannot be as it should is not left behind; the failure that counts is the first.
                let _ = self.host.remove(&path);
            }
            return Err(failure);
        }
        let state_named = if named == path { state } else { state_at(self.host, &named)? };
        // Told also of a touch that comes to nothing.
        report.before.insert("state".to_owned(), state_named.into());
        report.after.insert("state".to_owned(), "touch".into());
        let mut outcome = report.outcome("dest", &named);
        if state == "absent" && self.host.check_mode() {
            outcome.diffs.clear();
        }
        files::describe(self.host, &named, &mut outcome)?;
        Ok(outcome)
    }

    /// A new file or directory has its permissions from the start; the reference tells of them as a change.
    fn tell_mode_of_new(&self, report: &mut Report, directory: bool) -> Result<(), Failure> {
        let default = self.host.mode_of_new(None, directory)?;
        let mode = self.host.mode_of_new(self.attributes.mode.as_ref(), directory)?;
        report.differs("mode", format!("0{default:03o}"), format!("0{mode:03o}"));
        Ok(())
    }

    fn create(&self, path: &Path) -> Result<(), Failure> {
        let mode = self.host.mode_of_new(self.attributes.mode.as_ref(), false)?;
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !self.host.check_mode() && !self.host.exists(parent)? {
            return Err(Failure::new("Error, could not touch target.").with("path", text(path)));
        }
        let options =
            WriteOptions { mode_if_new: Some(mode), unsafe_writes: self.args.unsafe_writes, ..WriteOptions::default() };
        self.host.write_file(path, &Content::from(Vec::new()), &options)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
