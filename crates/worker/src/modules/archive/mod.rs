//! `community.general.archive`: archives and compressed files of what is on the host.

mod content;
mod pack;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::{self, text};
use crate::args::{PathArg, file_arguments};
use crate::host::{Content, Host, WriteOptions};
use crate::module::{Context, Failure, Module, Outcome};

file_arguments! {
    /// Makes an archive of files of the host, or compresses one.
    #[derive(Debug, Deserialize, JsonSchema)]
    pub struct Archive {
        /// What goes into it: paths, which may have wildcards.
        path: Vec<PathArg>,
        /// How it is compressed.
        #[serde(default)]
        format: Format,
        /// The archive; for one file, by default, its name with that of the format.
        #[serde(default)]
        dest: Option<PathArg>,
        /// Paths, which may have wildcards, that are left out of `path`.
        #[serde(default)]
        exclude_path: Vec<PathArg>,
        /// Patterns of names in the archive that are left out.
        #[serde(default)]
        exclusion_patterns: Option<Vec<PathArg>>,
        /// Whether a single file becomes an archive too.
        #[serde(default)]
        force_archive: bool,
        /// Whether what went into it is removed.
        #[serde(default)]
        remove: bool,
    }
}

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    Bz2,
    #[default]
    Gz,
    Tar,
    Xz,
    Zip,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Bz2 => "bz2",
            Self::Gz => "gz",
            Self::Tar => "tar",
            Self::Xz => "xz",
            Self::Zip => "zip",
        }
    }
}

/// What the arguments mean on this host.
struct Plan {
    /// What `path` leads to.
    expanded: Vec<PathBuf>,
    /// What is left out of it.
    excluded: Vec<PathBuf>,
    /// Those that are there.
    targets: Vec<PathBuf>,
    /// Those that are not.
    missing: Vec<PathBuf>,
    /// What all have in common, which names in the archive do not have; with a slash at its end.
    root: String,
    dest: PathBuf,
    /// Whether it is an archive and not a single compressed file.
    archive: bool,
}

/// A file or directory, and its name in the archive.
struct Member {
    path: PathBuf,
    name: PathBuf,
}

impl Module for Archive {
    const NAME: &'static str = "community.general.archive";

    fn check(&self) -> Result<(), String> {
        if self.path.is_empty() || self.path.iter().any(|path| path.0.is_empty()) {
            return Err("path must name something".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let plan = self.plan(host)?;
        let members = self.members(host, &plan)?;
        let there = host.exists(&plan.dest)?;
        let mut outcome = Outcome::unchanged();
        if !plan.targets.is_empty() {
            outcome.changed = self.write(host, &plan, &members, there)?;
            if self.remove {
                for target in &plan.targets {
                    host.remove(target)?;
                }
                outcome.changed = true;
            }
        }
        let written = there || !(plan.targets.is_empty() || host.check_mode());
        let state = match (written, plan.archive, plan.missing.is_empty() || plan.targets.is_empty()) {
            (false, ..) => "absent",
            (true, false, _) => "compress",
            (true, true, true) => "archive",
            (true, true, false) => "incomplete",
        };
        let list = |paths: &[PathBuf]| paths.iter().map(|path| text(path)).collect::<Vec<_>>();
        let archived: Vec<String> = members.iter().map(|member| text(&member.path)).collect();
        let mut outcome = outcome
            .with("archived", archived)
            .with("dest", text(&plan.dest))
            .with("dest_state", state)
            .with("arcroot", plan.root)
            .with("missing", list(&plan.missing))
            .with("expanded_paths", list(&plan.expanded))
            .with("expanded_exclude_paths", list(&plan.excluded));
        if host.exists(&plan.dest)? {
            files::settle(host, &plan.dest, &self.file_attributes(), true, &mut outcome)?;
            files::describe(host, &plan.dest, &mut outcome)?;
        }
        Ok(outcome)
    }
}

impl Archive {
    fn plan(&self, host: &Host) -> Result<Plan, Failure> {
        let expanded = expand(host, &self.path)?;
        let excluded = expand(host, &self.exclude_path)?;
        let mut paths: Vec<PathBuf> = expanded.iter().filter(|path| !excluded.contains(path)).cloned().collect();
        paths.sort();
        paths.dedup();
        let given = self.path.iter().map(|path| path.0.as_str()).collect::<Vec<_>>().join(", ");
        let refused = |msg: &str| Failure::new(msg).with("path", given.clone());
        let mut targets = Vec::new();
        let mut missing = Vec::new();
        let mut trees = false;
        for path in &paths {
            match host.lstat(path)? {
                Some(meta) => {
                    trees |= meta.is_dir() || text(path).ends_with('/');
                    targets.push(path.clone());
                }
                None => missing.push(path.clone()),
            }
        }
        let [first, ..] = &paths[..] else {
            let joined = |paths: &[PathBuf]| paths.iter().map(|path| text(path)).collect::<Vec<_>>().join(", ");
            let failure = refused("Error, no source paths were found").with("expanded_paths", joined(&expanded));
            return Err(failure.with("expanded_exclude_paths", joined(&excluded)));
        };
        let several = trees || paths.len() > 1;
        let archive = several || self.force_archive || matches!(self.format, Format::Tar | Format::Zip);
        let dest = match &self.dest {
            Some(dest) => host.path(dest)?,
            None if several => {
                return Err(refused("Error, must specify \"dest\" when archiving multiple files or trees"));
            }
            None => PathBuf::from(format!("{}.{}", text(first), self.format.name())),
        };
        if host.stat(&dest)?.is_some_and(|meta| meta.is_dir()) {
            return Err(Failure::new(format!("cannot write {}: it is a directory", text(&dest))));
        }
        if self.remove && targets.iter().any(|target| dest.starts_with(target)) {
            return Err(refused("Error, created archive can not be contained in source paths when remove=true"));
        }
        let root = common_root(&paths);
        Ok(Plan { expanded, excluded, targets, missing, root, dest, archive })
    }

    /// Everything that goes in, in the order in which it does: of a directory first what it holds, then what those hold.
    fn members(&self, host: &Host, plan: &Plan) -> Result<Vec<Member>, Failure> {
        let mut members = Vec::new();
        for target in &plan.targets {
            let tree = host.lstat(target)?.is_some_and(|meta| meta.is_dir()) || text(target).ends_with('/');
            if !plan.archive || !tree {
                let name = target.strip_prefix(&plan.root).unwrap_or(target).to_path_buf();
                members.push(Member { path: target.clone(), name });
                continue;
            }
            self.walk(host, plan, target, &mut members)?;
        }
        // It cannot hold itself.
        members.retain(|member| member.path != plan.dest);
        Ok(members)
    }

    fn walk(&self, host: &Host, plan: &Plan, directory: &Path, members: &mut Vec<Member>) -> Result<(), Failure> {
        let mut trees = Vec::new();
        let mut rest = Vec::new();
        for name in host.list(directory)? {
            let path = directory.join(name);
            let meta = host.lstat(&path)?;
            // A link to a directory stands with the directories, and is not gone into.
            let linked =
                meta.as_ref().is_some_and(|meta| meta.is_symlink()) && host.stat(&path)?.is_some_and(|m| m.is_dir());
            let tree = meta.is_some_and(|meta| meta.is_dir());
            if tree || linked { trees.push((path, tree)) } else { rest.push(path) }
        }
        for path in trees.iter().map(|(path, _)| path).chain(&rest) {
            let name = path.strip_prefix(&plan.root).unwrap_or(path).to_path_buf();
            if !self.exclusion_patterns.iter().flatten().any(|pattern| matches(&pattern.0, &text(&name))) {
                members.push(Member { path: path.clone(), name });
            }
        }
        trees.iter().filter(|(_, tree)| *tree).try_for_each(|(path, _)| self.walk(host, plan, path, members))
    }

    /// Makes the archive, and puts it in place where it holds other things than before.
    fn write(&self, host: &Host, plan: &Plan, members: &[Member], there: bool) -> Result<bool, Failure> {
        if host.check_mode() && !there {
            return Ok(true);
        }
        let parent = plan.dest.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = host.temporary_in(parent)?;
        pack::pack(host, self.format, plan, members, file.as_file())
            .map_err(|reason| Failure::new(format!("Errors when writing archive at {}: {reason}", text(&plan.dest))))?;
        let made = file.reopen().context(|| "cannot read the new archive".to_owned())?;
        let new = content::of(self.format, plan.archive, made).context(|| "cannot read the new archive".to_owned())?;
        // What cannot be read as such an archive is something else.
        let old = if there { content::of(self.format, plan.archive, host.open(&plan.dest)?).ok() } else { None };
        if old.as_ref() == Some(&new) {
            return Ok(false);
        }
        let real = if there { host.canonical(&plan.dest)? } else { plan.dest.clone() };
        let options = WriteOptions {
            unsafe_writes: self.unsafe_writes,
            mode_if_new: Some(host.mode_of_new(self.mode.as_ref(), false)?),
            ..WriteOptions::default()
        };
        host.write_file(&real, &Content::File(Arc::new(file)), &options)?;
        Ok(true)
    }
}

/// Paths with their wildcards resolved; one without is taken as it is.
fn expand(host: &Host, paths: &[PathArg]) -> Result<Vec<PathBuf>, Failure> {
    let mut out = Vec::new();
    for path in paths {
        let path = host.path(path)?;
        if text(&path).contains(['*', '?']) {
            out.extend(host.glob(&path)?);
        } else {
            out.push(path);
        }
    }
    Ok(out)
}

/// The directory that all paths are in; what ends with a slash is its own.
fn common_root(paths: &[PathBuf]) -> String {
    let mut root: Option<String> = None;
    for path in paths {
        let shown = text(path);
        let directory = &shown[..shown.rfind('/').map_or(0, |at| at + 1)];
        root = Some(match root {
            None => directory.to_owned(),
            Some(root) => {
                let same = root.bytes().zip(directory.bytes()).take_while(|(a, b)| a == b).count();
                // Whole names only.
                let end = root.as_bytes()[..same].iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
                root[..end].to_owned()
            }
        });
    }
    root.unwrap_or_default()
}

/// Whether a name matches a shell pattern, in which `*` stands for slashes too.
fn matches(pattern: &str, name: &str) -> bool {
    glob::Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(name))
}
