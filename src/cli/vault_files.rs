//! Files that `ansible-vault` reads and writes, so that plain text never lies where others could read it.

use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

use super::vault::{Encryptor, is_file, named_id};
use crate::vault::{Secrets, VaultError, absolute};

/// Why it ended.
pub(super) enum Failure {
    /// The line of arguments makes no sense.
    Usage(String),
    /// Something else.
    Other(String),
}

impl Failure {
    pub(super) fn usage(message: &str) -> Self {
        Self::Usage(message.to_owned())
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        Self::Other(error.to_string())
    }
}

/// An error of the system, without the number that Rust adds.
fn reason(error: &std::io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_owned()
}

fn other(message: String) -> Failure {
    Failure::Other(message)
}

/// A file's bytes; `-` is standard input.
pub(super) fn read(name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::new());
    let done = if name == "-" {
        std::io::stdin().read_to_end(&mut bytes).map(drop)
    } else {
        std::fs::File::open(name).and_then(|mut file| file.read_to_end(&mut bytes)).map(drop)
    };
    let shown = absolute(name);
    done.map_err(|e| other(format!("Unable to read source file ({}): {}", shown.display(), reason(&e))))?;
    Ok(bytes)
}

/// A file's bytes, decrypted.
pub(super) fn decrypt(name: &str, secrets: &Secrets) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let text = read(name)?;
    secrets.decrypt(&text).map(|found| found.plain).map_err(|e| failed(&e, name))
}

fn failed(error: &VaultError, name: &str) -> Failure {
    other(format!("{error} for {name}"))
}

/// Writes bytes; `-` is standard output. As in the reference, the file is its owner's alone, whatever it was before.
pub(super) fn write(bytes: &[u8], name: &str, shred_old: bool) -> Result<(), Failure> {
    if name == "-" {
        let mut out = std::io::stdout();
        let done = out.write_all(bytes).and_then(|()| out.flush());
        return done.map_err(|e| other(format!("cannot write to standard output: {}", reason(&e))));
    }
    let path = absolute(name);
    replace(&path, bytes, shred_old, false)
}

/// Puts a new file in the place of an old one, in one step; then overwrites what was there.
fn replace(path: &Path, bytes: &[u8], shred_old: bool, keep_mode: bool) -> Result<(), Failure> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let unwritable = |_| other(format!("Destination '{}' not writable", directory.display()));
    let old = std::fs::File::options().read(true).write(shred_old).open(path).ok();
    let meta = std::fs::metadata(path).ok();
    let mut new = tempfile::Builder::new().prefix(".ansible-vault").tempfile_in(directory).map_err(unwritable)?;
    let wrong = |e: std::io::Error| other(format!("Unable to write to temporary vault file: {}", reason(&e)));
    new.write_all(bytes).map_err(wrong)?;
    if let Some(meta) = meta.as_ref().filter(|_| keep_mode) {
        // The owner first: changing it takes set-id bits away.
        if meta.uid() != rustix::process::getuid().as_raw() || meta.gid() != rustix::process::getgid().as_raw() {
            let _ = chown(new.path(), Some(meta.uid()), Some(meta.gid()));
        }
        let mode = std::fs::Permissions::from_mode(meta.mode() & 0o7777);
        new.as_file().set_permissions(mode).map_err(wrong)?;
    }
    new.as_file().sync_all().map_err(wrong)?;
    new.persist(path).map_err(|e| wrong(e.error))?;
    if let Some(file) = old.filter(|_| shred_old) {
        // Other names of the same file keep what they hold.
        if meta.is_some_and(|m| m.nlink() == 1) {
            overwrite(file);
        }
    }
    Ok(())
}

/// Overwrites a file's bytes, as far as that helps on its file system.
fn overwrite(mut file: std::fs::File) {
    let length = file.metadata().map_or(0, |m| m.len());
    let zeros = [0; 65536];
    for _ in 0..2 {
        if file.rewind().is_err() {
            return;
        }
        let mut left = length;
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(zeros.len()).min(zeros.len());
            if file.write_all(&zeros[..part]).is_err() {
                return;
            }
            left -= part as u64;
        }
        let _ = file.sync_all();
    }
}

/// Plain text in a directory of its own, overwritten and removed whatever happens.
struct Scratch {
    path: PathBuf,
    directory: tempfile::TempDir,
}

impl Scratch {
    fn new(like: &str, content: &[u8]) -> Result<Self, Failure> {
        let wrong = |e: std::io::Error| other(format!("cannot make a temporary file: {}", reason(&e)));
        let directory = tempfile::Builder::new()
            .prefix("ansible-vault")
            // What an editor puts beside the file is as secret.
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir()
            .map_err(wrong)?;
        // Editors choose their colours by the name's end.
        let ending = Path::new(like).extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
        let path = directory.path().join(format!("edit{ending}"));
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(wrong)?;
        file.write_all(content).map_err(wrong)?;
        Ok(Self { path, directory })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // An editor may leave backups beside the file.
        for entry in std::fs::read_dir(self.directory.path()).into_iter().flatten().flatten() {
            if let Ok(file) = std::fs::File::options().write(true).open(entry.path()) {
                overwrite(file);
            }
        }
    }
}

/// Opens an editor on plain text and gives what it left, when that differs.
fn edited(name: &str, content: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    let scratch = Scratch::new(name, content)?;
    let editor = ["ANSIBLE_EDITOR", "EDITOR"].iter().find_map(|n| std::env::var(n).ok()).filter(|e| !e.is_empty());
    let words = shell_words::split(editor.as_deref().unwrap_or("vi"))
        .map_err(|e| other(format!("cannot split the editor's command into words: {e}")))?;
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::usage("the editor's command is empty"));
    };
    #[allow(clippy::disallowed_methods)] // The user's own editor, on the controller.
    let done = Command::new(program).args(arguments).arg(&scratch.path).status();
    done.map_err(|e| {
        let line = format!("{} {}", words.join(" "), scratch.path.display());
        other(format!("Unable to execute the command \"{line}\": {}", reason(&e)))
    })?;
    let after = read(&scratch.path.display().to_string())?;
    Ok((after.as_slice() != content).then_some(after))
}

/// A new file, written in an editor.
pub(super) fn create(name: &str, with: &Encryptor) -> Result<(), Failure> {
    let path = absolute(name);
    if let Some(directory) = path.parent().filter(|d| !d.exists()) {
        eprintln!("[WARNING]: {} does not exist, creating...", directory.display());
        std::fs::create_dir_all(directory)
            .map_err(|e| other(format!("cannot make {}: {}", directory.display(), reason(&e))))?;
    }
    if is_file(name) {
        return Err(other(format!("{name} exists, please use 'edit' instead")));
    }
    match edited(name, b"")? {
        Some(plain) => replace(&path, with.encrypt(&plain)?.as_bytes(), false, false),
        None => Ok(()),
    }
}

/// An encrypted file, changed in an editor; its password and id stay.
pub(super) fn edit(name: &str, secrets: &Secrets) -> Result<(), Failure> {
    let path = std::fs::canonicalize(name).unwrap_or_else(|_| absolute(name));
    let shown = path.display().to_string();
    let text = read(&shown)?;
    let found = secrets.decrypt(&text).map_err(|e| failed(&e, &shown))?;
    let Some(plain) = edited(name, &found.plain)? else { return Ok(()) };
    let encrypted = secrets.encrypt(&plain, &found.secret, named_id(&text).as_deref())?;
    replace(&path, encrypted.as_bytes(), false, true)
}

/// An encrypted file, encrypted anew.
pub(super) fn rekey(name: &str, secrets: &Secrets, with: &Encryptor) -> Result<(), Failure> {
    let path = std::fs::canonicalize(name).unwrap_or_else(|_| absolute(name));
    let plain = decrypt(&path.display().to_string(), secrets)?;
    replace(&path, with.encrypt(&plain)?.as_bytes(), true, true)
}

/// Shows text: through a pager on a terminal.
pub(super) fn page(text: &[u8]) -> Result<(), Failure> {
    use std::io::IsTerminal;
    let pager = ["ANSIBLE_PAGER", "PAGER"].iter().find_map(|n| std::env::var(n).ok()).filter(|p| !p.is_empty());
    let pager = pager.unwrap_or_else(|| "less".to_owned());
    if std::io::stdout().is_terminal() {
        #[allow(clippy::disallowed_methods)] // The user's own pager, on the controller.
        let child = Command::new("/bin/sh")
            .args(["-c", &pager])
            .env("LESS", std::env::var("LESS").unwrap_or_else(|_| "FRSX".to_owned()))
            .stdin(Stdio::piped())
            .spawn();
        if let Ok(mut child) = child {
            if let Some(mut stdin) = child.stdin.take() {
                // Whoever leaves the pager early has seen enough.
                let _ = stdin.write_all(text);
            }
            if child.wait().is_ok_and(|status| status.success()) {
                return Ok(());
            }
        }
    }
    let mut shown = text.to_vec();
    shown.push(b'\n');
    let shown = Zeroizing::new(shown);
    write(&shown, "-", false)
}
