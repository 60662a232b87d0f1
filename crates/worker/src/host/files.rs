//! Reading files.

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::Host;
use crate::module::{Context, Failure};

/// What kind of thing a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Nothing is there.
    Absent,
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, whatever it points to.
    Link,
    /// A device, socket or FIFO.
    Special,
}

/// How full a file system is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of one block, the unit of the counts.
    pub block_size: u64,
    /// Bytes that are best read and written at once.
    pub io_size: u64,
    /// Blocks.
    pub blocks: u64,
    /// Blocks that anybody may still use.
    pub available: u64,
    /// Inodes.
    pub inodes: u64,
    /// Inodes that anybody may still use.
    pub inodes_available: u64,
}

fn usage(path: &Path) -> io::Result<Usage> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(Usage {
        block_size: stat.f_frsize,
        io_size: stat.f_bsize,
        blocks: stat.f_blocks,
        available: stat.f_bavail,
        inodes: stat.f_files,
        inodes_available: stat.f_favail,
    })
}

/// As many links as the kernel follows, one after the other.
const MAX_LINKS: usize = 40;

impl Host {
    /// How full the file system is that holds `path`.
    pub fn usage(&self, path: &Path) -> Result<Usage, Failure> {
        usage(&self.real(path)).context(|| format!("cannot tell how full {} is", path.display()))
    }

    /// The same, to be asked on another thread: a file system of another host may never answer.
    pub fn usage_later(&self, path: &Path) -> impl FnOnce() -> io::Result<Usage> + Send + 'static {
        let real = self.real(path);
        move || usage(&real)
    }

    /// What is at `path`, not following a link there.
    pub fn kind(&self, path: &Path) -> Result<FileKind, Failure> {
        let Some(meta) = self.lstat(path)? else { return Ok(FileKind::Absent) };
        let kind = meta.file_type();
        Ok(if kind.is_symlink() {
            FileKind::Link
        } else if kind.is_dir() {
            FileKind::Directory
        } else if kind.is_fifo() || kind.is_socket() || kind.is_block_device() || kind.is_char_device() {
            FileKind::Special
        } else {
            FileKind::File
        })
    }

    /// Metadata of `path` itself; `None` when nothing is there.
    pub fn lstat(&self, path: &Path) -> Result<Option<Metadata>, Failure> {
        absent_is_none(fs::symlink_metadata(self.real(path))).context(|| format!("cannot look at {}", path.display()))
    }

    /// Metadata of what `path` leads to; `None` when nothing is there.
    pub fn stat(&self, path: &Path) -> Result<Option<Metadata>, Failure> {
        absent_is_none(fs::metadata(self.real(path))).context(|| format!("cannot look at {}", path.display()))
    }

    /// Metadata of what `path` leads to, with the system's own error where there is none.
    pub fn look(&self, path: &Path) -> io::Result<Metadata> {
        fs::metadata(self.real(path))
    }

    /// The same of `path` itself.
    pub fn look_at_link(&self, path: &Path) -> io::Result<Metadata> {
        fs::symlink_metadata(self.real(path))
    }

    /// Whether something is at the end of `path`.
    pub fn exists(&self, path: &Path) -> Result<bool, Failure> {
        Ok(self.stat(path)?.is_some())
    }

    /// A file's content; an error when it is not there.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>, Failure> {
        fs::read(self.real(path)).context(|| format!("cannot read {}", path.display()))
    }

    /// A file's content; `None` when it is not there.
    pub fn read_if_exists(&self, path: &Path) -> Result<Option<Vec<u8>>, Failure> {
        absent_is_none(fs::read(self.real(path))).context(|| format!("cannot read {}", path.display()))
    }

    /// A file's content as text, for files of the system (`/etc`, `/proc`); `None` when it cannot be read.
    #[must_use]
    pub fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        fs::read(self.real(path.as_ref())).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Opens a file to read it piece by piece.
    pub fn open(&self, path: &Path) -> Result<fs::File, Failure> {
        fs::File::open(self.real(path)).context(|| format!("cannot open {}", path.display()))
    }

    /// The names in a directory, sorted.
    pub fn list(&self, path: &Path) -> Result<Vec<std::ffi::OsString>, Failure> {
        let entries = fs::read_dir(self.real(path)).context(|| format!("cannot list {}", path.display()))?;
        let mut names = entries
            .map(|entry| entry.map(|e| e.file_name()))
            .collect::<io::Result<Vec<_>>>()
            .context(|| format!("cannot list {}", path.display()))?;
        names.sort();
        Ok(names)
    }

    /// Where a symbolic link points, as it is written.
    pub fn read_link(&self, path: &Path) -> Result<PathBuf, Failure> {
        fs::read_link(self.real(path)).context(|| format!("cannot read the link {}", path.display()))
    }

    /// Where a chain of links ends, also one that leads to nothing; the path itself where it is no link.
    pub fn end_of_links(&self, path: &Path) -> Result<PathBuf, Failure> {
        let mut end = path.to_path_buf();
        for _ in 0..MAX_LINKS {
            if self.lstat(&end)?.is_none_or(|meta| !meta.is_symlink()) {
                break;
            }
            let target = self.read_link(&end)?;
            end = end.parent().unwrap_or(Path::new("/")).join(target);
        }
        self.canonical(&end)
    }

    /// The path with every link in it resolved; parts that do not exist stay as they are.
    pub fn canonical(&self, path: &Path) -> Result<PathBuf, Failure> {
        let mut missing = Vec::new();
        let mut base = path.to_path_buf();
        loop {
            match fs::canonicalize(self.real(&base)) {
                Ok(real) => {
                    let root = fs::canonicalize(&self.root).unwrap_or_else(|_| self.root.clone());
                    let inside = real.strip_prefix(&root).unwrap_or(&real);
                    let mut out = Path::new("/").join(inside);
                    out.extend(missing.iter().rev());
                    return Ok(out);
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound || leads_nowhere(&e) => {
                    let Some(name) = base.file_name().map(ToOwned::to_owned) else { return Ok(path.to_path_buf()) };
                    missing.push(name);
                    base = match base.parent() {
                        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
                        _ => return Ok(path.to_path_buf()),
                    };
                }
                Err(e) => return Err(Failure::new(format!("cannot resolve {}: {e}", path.display()))),
            }
        }
    }

    /// A file's checksum in hex: `md5`, `sha1`, `sha224`, `sha256`, `sha384` or `sha512`.
    pub fn checksum(&self, path: &Path, algorithm: &str) -> Result<String, Failure> {
        let mut file = self.open(path)?;
        digest(&mut file, algorithm).context(|| format!("cannot read {}", path.display()))
    }

    /// Whether this worker may use `path` in the given ways (`r`, `w`, `x`), as access(2) says.
    #[must_use]
    pub fn may(&self, path: &Path, ways: &str) -> bool {
        let mut access = rustix::fs::Access::EXISTS;
        for way in ways.chars() {
            access |= match way {
                'r' => rustix::fs::Access::READ_OK,
                'w' => rustix::fs::Access::WRITE_OK,
                _ => rustix::fs::Access::EXEC_OK,
            };
        }
        rustix::fs::accessat(rustix::fs::CWD, self.real(path), access, rustix::fs::AtFlags::EACCESS).is_ok()
    }
}

/// "Not found" as `None`.
fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) if leads_nowhere(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether it is said of a link that leads to itself.
fn leads_nowhere(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// The checksum of a whole stream, in hex.
pub fn digest(input: &mut dyn Read, algorithm: &str) -> io::Result<String> {
    fn over<D: sha2::Digest + io::Write>(mut hash: D, input: &mut dyn Read) -> io::Result<String> {
        io::copy(input, &mut hash)?;
        Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
    }
    match algorithm {
        "md5" => over(md5::Md5::default(), input),
        "sha1" => over(sha1::Sha1::default(), input),
        "sha224" => over(sha2::Sha224::default(), input),
        "sha256" => over(sha2::Sha256::default(), input),
        "sha384" => over(sha2::Sha384::default(), input),
        "sha512" => over(sha2::Sha512::default(), input),
        other => Err(io::Error::new(io::ErrorKind::Unsupported, format!("unknown checksum algorithm '{other}'"))),
    }
}

/// The SHA-1 of bytes in hex, which is what the reference calls `checksum`.
#[must_use]
pub fn digest_bytes(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha1::Sha1::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

impl Host {
    /// The paths that match a shell pattern, sorted; one without wildcards matches when it exists.
    pub fn glob(&self, pattern: &Path) -> Result<Vec<PathBuf>, Failure> {
        let text = pattern.to_string_lossy();
        let wild = |byte: &u8| matches!(byte, b'*' | b'?' | b'[');
        if !pattern.as_os_str().as_encoded_bytes().iter().any(wild) {
            return Ok(if self.lstat(pattern)?.is_some() { vec![pattern.to_path_buf()] } else { Vec::new() });
        }
        let real = self.real(pattern);
        let found = glob::glob(&real.to_string_lossy()).context(|| format!("bad pattern {text}"))?;
        let back = |path: PathBuf| match path.strip_prefix(&self.root) {
            Ok(inside) if pattern.is_absolute() => Path::new("/").join(inside),
            _ => path,
        };
        let mut paths: Vec<PathBuf> = found.filter_map(Result::ok).map(back).collect();
        paths.sort();
        Ok(paths)
    }
}
