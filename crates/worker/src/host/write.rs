//! Writing files: atomically, validated, with a copy of what was there.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rplay_protocol::names;
use tempfile::NamedTempFile;

use super::temporary::{tempfile_beside, temporary};
use super::{Command, Content, Diff, FileKind, Host};
use crate::args::Mode;
use crate::module::{Context, Failure};

/// How a file is written.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// Keep the old content beside it, with the time in its name.
    pub backup: bool,
    /// A command that must accept the new content before it takes effect; `%s` stands for its path.
    pub validate: Option<String>,
    /// Write in place when a rename is not possible (a bind mount, say).
    pub unsafe_writes: Option<bool>,
    /// Permissions of a file that was not there before; the umask's by default.
    pub mode_if_new: Option<u32>,
}

/// What writing a file came to.
#[derive(Debug, Default)]
pub struct Written {
    /// Whether the content is other than before.
    pub changed: bool,
    /// Where the old content was kept.
    pub backup_file: Option<PathBuf>,
    /// What differs, when it does.
    pub diff: Option<Diff>,
}

/// Files longer than this are compared, but not shown as a diff: the reference's limit, `MAX_FILE_SIZE_FOR_DIFF`.
const MAX_DIFF: u64 = 104_448;

impl Host {
    /// Makes a file's content what is wanted, atomically: a crash leaves the old file or the new one.
    ///
    /// An existing file keeps its owner, permissions and extended attributes. The new content is validated, when that is
    /// asked for, in check mode too. A symbolic link at `path` is replaced, not followed: resolve it first to write through.
    pub fn write_file(&self, path: &Path, content: &Content, options: &WriteOptions) -> Result<Written, Failure> {
        let old = self.stat(path)?;
        if old.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(Failure::new(format!("cannot write {}: it is a directory", path.display())));
        }
        let same = match &old {
            // A link is not the file that was asked for, whatever it leads to.
            Some(_) if self.kind(path)? == FileKind::Link => false,
            Some(meta) => self.same_content(path, meta.len(), content)?,
            None => false,
        };
        if same {
            return Ok(Written::default());
        }
        let diff = self.content_diff(path, old.as_ref(), content)?;
        // As in the reference, the backup is there even where the new content proves not to be valid.
        let backup_file = if options.backup && old.is_some() { self.backup(path)? } else { None };
        if let Some(command) = options.validate.as_ref().filter(|command| !command.is_empty()) {
            self.validate(path, content, command)?;
        }
        self.change(|| self.replace(path, content, old.as_ref(), options))?;
        Ok(Written { changed: true, backup_file, diff })
    }

    fn same_content(&self, path: &Path, len: u64, content: &Content) -> Result<bool, Failure> {
        let attempted = || format!("cannot compare with {}", path.display());
        if content.len().context(attempted)? != len {
            return Ok(false);
        }
        let mut ours = io::BufReader::new(content.open().context(attempted)?);
        let mut theirs = io::BufReader::new(self.open(path)?);
        same_bytes(&mut ours, &mut theirs).context(attempted)
    }

    fn content_diff(&self, path: &Path, old: Option<&fs::Metadata>, new: &Content) -> Result<Option<Diff>, Failure> {
        if !self.diff_mode() {
            return Ok(None);
        }
        let attempted = || format!("cannot read {}", path.display());
        let header = path.to_string_lossy();
        if old.is_some_and(|m| m.len() > MAX_DIFF) || new.len().context(attempted)? > MAX_DIFF {
            let long_new = new.len().context(attempted)? > MAX_DIFF;
            return Ok(Some(Diff::too_long(old.is_some_and(|m| m.len() > MAX_DIFF), long_new, MAX_DIFF)));
        }
        let before = if old.is_some() { self.read(path)? } else { Vec::new() };
        let mut after = Vec::new();
        new.open().and_then(|mut r| r.read_to_end(&mut after)).context(attempted)?;
        let diff = Diff::contents(&before, &after, &header);
        Ok(Some(if old.is_some() { diff } else { diff.of_new(&*header) }))
    }

    /// The content of a file of this host, read only when it is needed.
    #[must_use]
    pub fn content_of(&self, path: &Path) -> Content {
        Content::Path(self.real(path))
    }

    /// The permissions of a file or directory made with `mode`, or with none: what the umask leaves.
    pub fn mode_of_new(&self, mode: Option<&Mode>, is_dir: bool) -> Result<u32, Failure> {
        let default = if is_dir { 0o777 } else { 0o666 } & !current_umask();
        Ok(self.wanted_mode(mode, default, is_dir)?.unwrap_or(default))
    }

    /// Runs a validation command on content that is not in place yet; it may not change the host.
    pub fn validate(&self, path: &Path, content: &Content, command: &str) -> Result<(), Failure> {
        if !command.contains("%s") {
            return Err(Failure::new(format!("validate must contain %s: {command}")));
        }
        let mut file = temporary(&std::env::temp_dir(), "").context(|| "cannot make a temporary file".into())?;
        io::copy(&mut content.open().context(|| "cannot read the new content".into())?, &mut file)
            .context(|| "cannot write a temporary file".into())?;
        let shown = shell_words::quote(&file.path().to_string_lossy()).into_owned();
        let words = shell_words::split(&command.replace("%s", &shown))
            .context(|| format!("cannot read the validate command {command}"))?;
        let Some((program, args)) = words.split_first() else {
            return Err(Failure::new("the validate command is empty"));
        };
        // What an earlier task of a dry run did not install cannot refuse anything.
        if self.check_mode() && self.find_program(program).is_none() {
            return Ok(());
        }
        let output = self.query(&Command::new(program).args(args))?;
        if output.rc == 0 {
            return Ok(());
        }
        Err(Failure::new(format!("failed to validate: rc:{} error:{}", output.rc, output.complaint()))
            .with("exit_status", output.rc)
            .with("stdout", output.stdout_text())
            .with("stderr", output.stderr_text())
            .with("path", names::to_text(path.as_os_str())))
    }

    /// Copies a file to one beside it that carries the time in its name; gives that name.
    pub fn backup(&self, path: &Path) -> Result<Option<PathBuf>, Failure> {
        let stamp = jiff::Zoned::now().strftime("%Y-%m-%d@%H:%M:%S~").to_string();
        let named = |number: u32| {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{number}.{stamp}"));
            PathBuf::from(name)
        };
        // One process makes several within a second: none may take another's place.
        let own = std::process::id();
        let free = (own..own.saturating_add(10_000)).map(named).find(|name| !self.taken(name));
        let target = free.unwrap_or_else(|| named(own));
        self.change(|| {
            let attempted = || format!("Could not make backup of {} to {}", path.display(), target.display());
            let meta = fs::metadata(self.real(path)).context(attempted)?;
            let mut file = tempfile_beside(&self.real(&target)).context(attempted)?;
            io::copy(&mut self.open(path)?, &mut file).context(attempted)?;
            keep_identity(&file, &meta, &self.real(path)).context(attempted)?;
            persist(file, &self.real(&target)).context(attempted)
        })?;
        Ok((!self.check_mode()).then_some(target))
    }

    fn taken(&self, path: &Path) -> bool {
        fs::symlink_metadata(self.real(path)).is_ok()
    }

    fn replace(
        &self,
        path: &Path,
        content: &Content,
        old: Option<&fs::Metadata>,
        options: &WriteOptions,
    ) -> Result<(), Failure> {
        let attempted = || format!("cannot write {}", path.display());
        let real = self.real(path);
        let outcome = self.replace_atomically(&real, content, old, options);
        match outcome {
            Err(e) if self.writes_unsafely(options) && allows_unsafe(&e) => {
                let mut file = File::create(&real).context(attempted)?;
                io::copy(&mut content.open().context(attempted)?, &mut file).context(attempted)?;
                file.sync_all().context(attempted)
            }
            other => other.context(attempted),
        }
    }

    /// Whether a file may be written in place where it cannot be replaced.
    fn writes_unsafely(&self, options: &WriteOptions) -> bool {
        let word = || self.env("ANSIBLE_UNSAFE_WRITES").unwrap_or_default().to_lowercase();
        options.unsafe_writes.unwrap_or_else(|| matches!(word().as_str(), "1" | "yes" | "true" | "on" | "y" | "t"))
    }

    fn replace_atomically(
        &self,
        real: &Path,
        content: &Content,
        old: Option<&fs::Metadata>,
        options: &WriteOptions,
    ) -> io::Result<()> {
        let mut file = tempfile_beside(real)?;
        io::copy(&mut content.open()?, &mut file)?;
        match old {
            Some(meta) => keep_identity(&file, meta, real)?,
            None => {
                let mode = options.mode_if_new.unwrap_or_else(|| 0o666 & !current_umask());
                file.as_file().set_permissions(Permissions::from_mode(mode))?;
            }
        }
        persist(file, real)
    }
}

fn same_bytes(a: &mut impl io::BufRead, b: &mut impl io::BufRead) -> io::Result<bool> {
    loop {
        let (x, y) = (a.fill_buf()?, b.fill_buf()?);
        let n = x.len().min(y.len());
        if n == 0 {
            return Ok(x.len() == y.len());
        }
        if x[..n] != y[..n] {
            return Ok(false);
        }
        a.consume(n);
        b.consume(n);
    }
}

/// The umask, read without setting it: setting is process-wide and other calls may be under way.
fn current_umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|text| u32::from_str_radix(text.trim(), 8).ok()).unwrap_or(0o022)
}

/// Gives a new file the owner, permissions and extended attributes of the one it is going to replace.
fn keep_identity(file: &NamedTempFile, old: &fs::Metadata, old_path: &Path) -> io::Result<()> {
    let own = file.as_file().metadata()?;
    let mut mode = old.mode() & 0o7777;
    if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
        match std::os::unix::fs::fchown(file.as_file(), Some(old.uid()), Some(old.gid())) {
            // Who may write there but is not the owner becomes it, as with any other tool that replaces files; such a file
            // must not run with anybody's rights.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && !rustix::process::geteuid().is_root() => {
                mode &= 0o777;
            }
            outcome => outcome?,
        }
    }
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    for name in xattr::list(old_path).into_iter().flatten() {
        if let Ok(Some(value)) = xattr::get(old_path, &name) {
            // Some attributes belong to the kernel or the file system and cannot be set; the file is right without them.
            let _ = xattr::set(file.path(), &name, &value);
        }
    }
    Ok(())
}

/// Puts a finished temporary file in place so that it survives a crash.
fn persist(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    if let Some(directory) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        // Not every file system can sync a directory; the rename itself is done.
        let _ = File::open(directory).and_then(|d| d.sync_all());
    }
    Ok(())
}

/// Whether an error is one that writing in place can get around.
fn allows_unsafe(error: &io::Error) -> bool {
    // By kind and not by number: an error that says where it came up has none.
    use io::ErrorKind::{CrossesDevices, ExecutableFileBusy, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(error.kind(), ResourceBusy | CrossesDevices | PermissionDenied | ExecutableFileBusy | ReadOnlyFilesystem)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn host() -> (tempfile::TempDir, Host) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        let host = Host::at(dir.path());
        (dir, host)
    }

    #[test]
    fn writes_once_and_keeps_permissions() {
        let (dir, host) = host();
        let path = Path::new("/etc/motd");
        let options = WriteOptions { backup: true, ..WriteOptions::default() };
        let one = Content::from(b"one\n".to_vec());
        assert!(host.write_file(path, &one, &options).unwrap().changed);
        assert!(!host.write_file(path, &one, &options).unwrap().changed);
        fs::set_permissions(dir.path().join("etc/motd"), Permissions::from_mode(0o600)).unwrap();
        let written = host.write_file(path, &b"two\n".to_vec().into(), &options).unwrap();
        assert_eq!(host.read(path).unwrap(), b"two\n");
        let first = written.backup_file.unwrap();
        let second = host.backup(path).unwrap().unwrap();
        assert_ne!(first, second, "two within a second");
        assert_eq!(host.read(&first).unwrap(), b"one\n");
        fs::remove_file(host.real(&second)).unwrap();
        assert_eq!(host.stat(path).unwrap().unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path().join("etc")).unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn check_mode_predicts_and_leaves_alone() {
        let (dir, host) = host();
        let host = host.checking(true);
        let written = host.write_file(Path::new("/etc/motd"), &b"x".to_vec().into(), &WriteOptions::default()).unwrap();
        assert!(written.changed && written.diff.is_some());
        assert_eq!(fs::read_dir(dir.path().join("etc")).unwrap().count(), 0);
    }

    #[test]
    fn what_does_not_validate_does_not_take_effect() {
        let (_dir, host) = host();
        let path = Path::new("/etc/motd");
        host.write_file(path, &b"good".to_vec().into(), &WriteOptions::default()).unwrap();
        let options = WriteOptions { validate: Some("grep -q good %s".into()), ..WriteOptions::default() };
        let error = host.write_file(path, &b"bad".to_vec().into(), &options).unwrap_err();
        assert!(error.msg.starts_with("failed to validate"), "{}", error.msg);
        assert_eq!(host.read(path).unwrap(), b"good");
    }
}
