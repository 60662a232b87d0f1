//! `ansible.builtin.copy`, and the half of `ansible.builtin.template` that runs on the host.
//!
//! The controller sends new content with the call ([`Host::content`]); with `remote_src` the source is on the host.

mod tree;

use std::path::{Path, PathBuf};

use rplay_protocol::names;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::files::{self, text};
use crate::args::{Mode, Octal, PathArg, file_arguments, yes};
use crate::host::{Attributes, Content, Diff, FileKind, Host, WriteOptions};
use crate::module::{Context, Failure, Module, Outcome};

file_arguments! {
    /// Copies files and directories to the host, or from one place on the host to another.
    #[derive(Debug, Deserialize, JsonSchema)]
    pub struct Copy {
        /// Where to copy to; a directory takes the file under its own name.
        dest: PathArg,
        /// What to copy: a path on the controller, or with `remote_src` on the host.
        #[serde(default)]
        src: Option<PathArg>,
        /// The content of the file, instead of `src`.
        #[serde(default)]
        content: Option<String>,
        /// Whether `src` is on the host.
        #[serde(default)]
        remote_src: bool,
        /// Whether the old content is kept beside the file.
        #[serde(default)]
        backup: bool,
        /// Whether a file that is there is replaced when its content differs.
        #[serde(default = "yes")]
        force: bool,
        /// A command that must accept the new content; `%s` stands for its path.
        #[serde(default)]
        validate: Option<String>,
        /// Whether a link at `dest` is written through instead of replaced.
        #[serde(default)]
        follow: bool,
        /// Whether links in the source are followed.
        #[serde(default)]
        local_follow: Option<bool>,
        /// The SHA-1 that the content must have.
        #[serde(default)]
        checksum: Option<String>,
        /// The permissions of directories made on the way.
        #[serde(default)]
        directory_mode: Option<Mode>,
        /// Whether the controller decrypts a vault file.
        #[serde(default = "yes")]
        #[allow(dead_code)]
        decrypt: bool,
        /// The source's file name, from the controller.
        #[serde(default)]
        #[schemars(skip)]
        _original_basename: Option<String>,
        /// What the new content is called in a diff, from the controller.
        #[serde(default)]
        #[schemars(skip)]
        _source_name: Option<String>,
        /// The source's permissions, from the controller, for `mode: preserve`.
        #[serde(default)]
        #[schemars(skip)]
        _source_mode: Option<Octal>,
    }
}

impl Module for Copy {
    const NAME: &'static str = "ansible.builtin.copy";
    const HAS_SOURCE: bool = true;

    fn check(&self) -> Result<(), String> {
        if self.src.is_some() && self.content.is_some() {
            return Err("src and content are mutually exclusive".to_owned());
        }
        if self.content.is_some() && self.dest.0.ends_with('/') {
            return Err("can not use content with a dir as dest".to_owned());
        }
        if self.remote_src && self.src.is_none() {
            return Err("src (or content) is required".to_owned());
        }
        if self.validate.as_ref().is_some_and(|v| !v.is_empty() && !v.contains("%s")) {
            return Err(format!("validate must contain %s: {}", self.validate.as_deref().unwrap_or_default()));
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        if !self.remote_src {
            let content = match (host.content(), &self.content) {
                (Some(content), _) => content.clone(),
                (None, Some(text)) => text.clone().into_bytes().into(),
                (None, None) => return Err(Failure::new("src (or content) is required")),
            };
            let basename = self._original_basename.clone();
            let checksum = content.checksum("sha1").context(|| "cannot read the source".to_owned())?;
            let source = Source { content, basename, mode: self._source_mode.map(|m| m.0), path: None };
            return self.copy_file(host, source).map_err(|failure| told_of(failure, &checksum, host.diff_mode()));
        }
        let Some(src) = &self.src else { return Err(Failure::new("src (or content) is required")) };
        let path = host.path(src)?;
        let Some(meta) = host.stat(&path)? else {
            return Err(Failure::new(format!("Source {} not found", path.display())));
        };
        if !host.may(&path, "r") {
            return Err(Failure::new(format!("Source {} not readable", path.display())));
        }
        if meta.is_dir() {
            return tree::copy(&self, host, &path);
        }
        if !meta.is_file() {
            // A device may never end.
            return Err(Failure::new(format!("Source {} is not a file", path.display())));
        }
        let basename = path.file_name().map(|name| text(Path::new(name)));
        let mode = std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o7777;
        self.copy_file(host, Source { content: host.content_of(&path), basename, mode: Some(mode), path: Some(path) })
    }
}

/// A failure to copy what the controller sent, with what is told of that in any case.
fn told_of(mut failure: Failure, checksum: &str, diff_mode: bool) -> Failure {
    if failure.fields.contains_key("exit_status") {
        // Of a check that said no, what it said is told apart.
        "failed to validate".clone_into(&mut failure.msg);
        failure.fields.shift_remove("path");
    }
    failure.fields.entry("checksum").or_insert_with(|| checksum.into());
    if !diff_mode {
        failure.fields.entry("diff").or_insert_with(|| json!([]));
    }
    failure
}

/// A file to copy, wherever it came from.
struct Source {
    content: Content,
    basename: Option<String>,
    mode: Option<u32>,
    path: Option<PathBuf>,
}

impl Copy {
    fn copy_file(&self, host: &Host, source: Source) -> Result<Outcome, Failure> {
        let checksum = source.content.checksum("sha1").context(|| "cannot read the source".to_owned())?;
        if let Some(expected) = self.checksum.as_ref().filter(|c| !c.is_empty() && **c != checksum) {
            let msg = "Copied file does not match the expected checksum. Transfer failed.";
            return Err(Failure::new(msg).with("checksum", checksum).with("expected_checksum", expected.as_str()));
        }
        let mut outcome = Outcome::unchanged();
        let dest = self.destination(host, &source, &mut outcome)?;
        let src = source.path.as_deref().map(text).or_else(|| self.src.as_ref().map(|s| s.0.clone()));
        let existed = host.exists(&dest)?;
        // A link to nothing is there too, for what comes from the controller.
        if existed || (!self.force && source.path.is_none() && host.lstat(&dest)?.is_some()) {
            if !self.force {
                if let Some(src) = self._source_name.clone().or(src) {
                    outcome.set("src", src);
                }
                if source.path.is_some() {
                    files::describe(host, &dest, &mut outcome)?;
                    outcome.set("msg", "file already exists");
                }
                return Ok(outcome.with("dest", text(&dest)));
            }
        } else if !outcome.changed && !host.check_mode() {
            // In a dry run an earlier task may not have made it.
            parent_must_exist(host, &dest)?;
        }
        let mut attributes = self.attributes_for(source.mode);
        let written = host.write_file(&dest, &source.content, &self.options(host, &attributes)?)?;
        outcome.changed |= written.changed;
        if source.path.is_none() && written.changed {
            // Of what comes from the controller the content alone is told, by its name there.
            let name = self._source_name.clone().unwrap_or_else(|| text(&dest));
            outcome.parts = Some(written.diff.clone().map(|diff| diff.to(name)).into_iter().collect());
        }
        outcome.diffs.extend(written.diff);
        let md5 = source.content.checksum("md5").context(|| "cannot read the source".to_owned())?;
        if source.path.is_some() && existed && written.changed {
            // As in the reference, a copy made on the host does not inherit from the file that it replaces.
            attributes.mode = attributes.mode.or(source.mode.map(Mode::Bits));
            attributes.owner.get_or_insert(host.uid().to_string());
            attributes.group.get_or_insert(host.gid().to_string());
        }
        files::settle(host, &dest, &attributes, self.follow, &mut outcome)?;
        if source.path.is_none() && outcome.diffs.is_empty() && host.diff_mode() {
            // Nothing differs, of this path.
            let side = || json!({"path": text(&dest)});
            outcome.diffs.push(Diff::values(side(), side()));
        }
        if source.path.is_none() && !host.diff_mode() {
            // As in the reference it is told, and empty.
            outcome.set("diff", json!([]));
        }
        outcome.set("dest", text(&dest));
        outcome.set("checksum", checksum);
        if written.changed || source.path.is_some() {
            if let Some(src) = src {
                outcome.set("src", src);
            }
            outcome.set("md5sum", md5);
        } else {
            outcome.set("path", text(&dest));
        }
        if let Some(backup) = written.backup_file {
            outcome.set("backup_file", text(&backup));
        }
        files::describe(host, &dest, &mut outcome)?;
        Ok(outcome)
    }

    /// Where the file goes; makes the directories of a `dest` that ends with a slash.
    fn destination(&self, host: &Host, source: &Source, outcome: &mut Outcome) -> Result<PathBuf, Failure> {
        let mut dest = host.path(&self.dest)?;
        let as_directory = self.dest.0.ends_with('/');
        if as_directory && host.stat(&dest)?.is_none() {
            let made = files::make_directories(host, &dest, self.directory_mode.as_ref())?;
            for directory in &made {
                files::settle(host, directory, &self.directory_attributes(), false, outcome)?;
            }
            outcome.changed |= !made.is_empty();
        }
        if as_directory || host.stat(&dest)?.is_some_and(|meta| meta.is_dir()) {
            match &source.basename {
                Some(name) => dest.push(&*names::to_name(name)),
                None => return Err(Failure::new("can not use content with a dir as dest")),
            }
        }
        if self.follow && host.kind(&dest)? == FileKind::Link && host.stat(&dest)?.is_some() {
            dest = host.canonical(&dest)?;
        }
        if host.stat(&dest)?.is_some_and(|meta| meta.is_dir()) {
            return Err(Failure::new(format!("cannot write {}: it is a directory", dest.display())));
        }
        Ok(dest)
    }

    /// The attributes wanted for a file, `preserve` resolved.
    fn attributes_for(&self, source_mode: Option<u32>) -> Attributes {
        let mut attributes = self.file_attributes();
        if attributes.mode == Some(Mode::Preserve) {
            attributes.mode = source_mode.map(Mode::Bits);
        }
        attributes
    }

    /// The attributes wanted for directories made on the way.
    fn directory_attributes(&self) -> Attributes {
        Attributes { mode: self.directory_mode.clone(), ..self.file_attributes() }
    }

    fn options(&self, host: &Host, attributes: &Attributes) -> Result<WriteOptions, Failure> {
        Ok(WriteOptions {
            backup: self.backup,
            validate: self.validate.clone(),
            unsafe_writes: self.unsafe_writes,
            mode_if_new: Some(host.mode_of_new(attributes.mode.as_ref(), false)?),
        })
    }
}

fn parent_must_exist(host: &Host, dest: &Path) -> Result<(), Failure> {
    let parent = dest.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if host.stat(parent)?.is_some() {
        return Ok(());
    }
    Err(Failure::new(format!("Destination directory {} does not exist", parent.display())))
}

#[cfg(test)]
mod tests;
