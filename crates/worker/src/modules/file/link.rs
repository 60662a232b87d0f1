//! Symbolic and hard links.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Job, Report, state_at};
use crate::host::FileKind;
use crate::module::{Failure, Outcome};
use crate::modules::files::{self, text};

impl Job<'_> {
    pub(super) fn symbolic_link(&self, path: &Path) -> Result<Outcome, Failure> {
        let host = self.host;
        let before = state_at(host, path)?;
        let src = match &self.args.src {
            Some(src) if !src.0.is_empty() => host.path(src)?,
            _ if before == "link" => host.read_link(path)?,
            _ => return Err(Failure::new("src is required for creating new symlinks").with("dest", text(path))),
        };
        let old = if before == "link" { Some(host.read_link(path)?) } else { None };
        let failure = |msg: String| Err(Failure::new(msg).with("path", text(path)));
        let named = self.args.src.as_ref().map(|_| text(&src));
        let base = if before == "directory" { path } else { path.parent().unwrap_or(Path::new("/")) };
        if !self.args.force && named.is_some() && !host.exists(&base.join(&src))? {
            let told = text(&base.join(&src));
            let msg = format!("src file does not exist, use 'force=yes' if you really want to create the link: {told}");
            return Err(Failure::new(msg).with("path", text(path)).with("src", text(&src)));
        }
        match before {
            "directory" if !self.args.force => {
                return failure(format!("refusing to convert from directory to symlink for {}", path.display()));
            }
            "directory" if !host.list(path)?.is_empty() => {
                return failure(format!("the directory {} is not empty, refusing to convert it", path.display()));
            }
            "file" | "hard" if !self.args.force => {
                return failure(format!("refusing to convert from {before} to symlink for {}", path.display()));
            }
            _ => {}
        }
        let mut report = Report::new(path);
        report.differs("state", before, "link");
        if let Some(old) = &old {
            report.differs("src", text(old), text(&src));
        }
        if report.changed {
            if before == "directory" {
                host.remove(path)?;
            }
            host.make_symlink(path, &src)?;
        }
        // There is nothing to give attributes to at the end of a link that leads nowhere, nor, in check mode, of a new one.
        if host.exists(path)? && host.kind(path)? == FileKind::Link {
            report.add(host.set_attributes(path, &self.attributes, self.args.follow)?);
            self.times.set(host, &self.followed(path.to_path_buf())?, &mut report)?;
        }
        // Of a link to nothing that was only looked at, it is not told where it leads to.
        let told = if host.exists(path)? { Some(text(&src)) } else { named };
        let mut outcome = report.outcome("dest", path).with("src", told);
        if self.args.follow && !host.check_mode() && !host.exists(path)? {
            let warning = "Cannot set fs attributes on a non-existent symlink target. follow should be set to False to avoid this.";
            outcome.set("warnings", vec![warning]);
        } else {
            files::describe(host, path, &mut outcome)?;
        }
        Ok(outcome)
    }

    pub(super) fn hard_link(&self, path: &Path) -> Result<Outcome, Failure> {
        let host = self.host;
        let before = state_at(host, path)?;
        let src = match &self.args.src {
            Some(src) => host.path(src)?,
            None if before == "hard" => path.to_path_buf(),
            None => return Err(Failure::new("src is required for creating new hardlinks")),
        };
        let failure = |msg: String| Err(Failure::new(msg).with("dest", text(path)).with("src", text(&src)));
        let Some(source) = host.lstat(&src)? else {
            return failure("src does not exist".to_owned());
        };
        let mut report = Report::new(path);
        let same = host.lstat(path)?.is_some_and(|m| (m.dev(), m.ino()) == (source.dev(), source.ino()));
        if !same {
            match before {
                "absent" => {}
                "link" => {
                    report.before.insert("src".to_owned(), text(&host.read_link(path)?).into());
                    report.after.insert("src".to_owned(), text(&src).into());
                }
                "file" if !self.args.force => {
                    return failure("Cannot link, file exists at destination".to_owned());
                }
                "hard" if !self.args.force => {
                    return failure("Cannot link, different hard link exists at destination".to_owned());
                }
                "directory" => {
                    return failure(format!("refusing to convert from directory to hard link for {}", path.display()));
                }
                _ => {}
            }
            report.differs("state", before, "hard");
            report.changed = true;
            host.make_hardlink(path, &src)?;
        }
        if host.exists(path)? {
            report.add(host.set_attributes(path, &self.attributes, self.args.follow)?);
            self.times.set(host, path, &mut report)?;
        }
        let told = self.args.src.as_ref().map(|_| text(&src));
        let mut outcome = report.outcome("dest", path).with("src", told);
        files::describe(host, path, &mut outcome)?;
        Ok(outcome)
    }
}
