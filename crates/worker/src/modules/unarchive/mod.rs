//! `ansible.builtin.unarchive`: archives unpacked by the host's tar and unzip.

mod escapes;
mod tar;
#[cfg(test)]
mod tests;
mod zip;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::files::{self, text};
use super::http::{Client, reason};
use crate::args::{PathArg, file_arguments, yes};
use crate::host::{Command, Content, Host, Scratch, temporary};
use crate::module::{Context, Failure, Module, Outcome};

file_arguments! {
    /// Unpacks an archive, unless all of it is there already.
    #[derive(Debug, Deserialize, JsonSchema)]
    pub struct Unarchive {
        /// The archive: of the controller, or with `remote_src` a path of the host or a URL.
        src: String,
        /// The directory to unpack into.
        dest: PathArg,
        /// Whether the archive is on the host already.
        #[serde(default)]
        remote_src: bool,
        /// The opposite of `remote_src`.
        #[serde(default)]
        copy: Option<bool>,
        /// A path; when it exists, nothing is done.
        #[serde(default)]
        creates: Option<PathArg>,
        /// Whether the names of what is in the archive are returned.
        #[serde(default)]
        list_files: bool,
        /// What is not unpacked.
        #[serde(default)]
        exclude: Vec<String>,
        /// What alone is unpacked.
        #[serde(default)]
        include: Vec<String>,
        /// Whether files that are newer than the archive's stay.
        #[serde(default)]
        keep_newer: bool,
        /// Further words for the program that unpacks.
        #[serde(default)]
        extra_opts: Vec<String>,
        /// Whether the certificate of a URL's server is verified.
        #[serde(default = "yes")]
        validate_certs: bool,
        /// Has no meaning here.
        #[serde(default)]
        #[allow(dead_code)]
        io_buffer_size: Option<u64>,
        /// Whether the controller decrypts an archive of its own.
        #[serde(default = "yes")]
        #[allow(dead_code)]
        decrypt: bool,
    }
}

/// A kind of archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// tar, with the option that names the compression.
    Tar(Option<&'static str>),
    Zip,
}

impl Kind {
    /// What a file's first bytes say.
    fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Tar(Some("-z")),
            [b'B', b'Z', b'h', ..] => Self::Tar(Some("-j")),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => Self::Tar(Some("-J")),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Tar(Some("--zstd")),
            [b'P', b'K', ..] => Self::Zip,
            _ => Self::Tar(None),
        }
    }

    /// What the reference calls its part for this.
    fn handler(self) -> &'static str {
        match self {
            Self::Zip => "ZipArchive",
            Self::Tar(Some("-z")) => "TgzArchive",
            Self::Tar(Some("-j")) => "TarBzipArchive",
            Self::Tar(Some("-J")) => "TarXzArchive",
            Self::Tar(Some(_)) => "TarZstdArchive",
            Self::Tar(None) => "TarArchive",
        }
    }
}

/// What a program that knows a kind of archive has to say about one.
struct Archive {
    /// The names of what is to be unpacked.
    files: Vec<String>,
    /// Whether all of it is there.
    there: bool,
    /// What unpacks it.
    extract: Command,
    /// Where the links in it lead; asked for only when something is to be unpacked below one.
    links: Option<Command>,
}

impl Module for Unarchive {
    const NAME: &'static str = "ansible.builtin.unarchive";

    fn check(&self) -> Result<(), String> {
        if !self.include.is_empty() && !self.exclude.is_empty() {
            return Err("parameters are mutually exclusive: include|exclude".into());
        }
        if self.copy == Some(true) && self.remote_src {
            return Err("parameters are mutually exclusive: copy|remote_src".into());
        }
        // A name is never an option.
        match self.include.iter().chain(&self.exclude).find(|name| name.starts_with('-')) {
            Some(name) => Err(format!("'{name}' begins with a dash; write ./{name}")),
            None => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        if let Some(creates) = &self.creates {
            let path = host.path(creates)?;
            if host.exists(&path)? {
                return Ok(Outcome::skipped(format!("skipped, since {} exists", path.display())));
            }
        }
        let (src, _kept) = self.source(host)?;
        let dest = host.path(&self.dest)?;
        if !host.stat(&dest)?.is_some_and(|meta| meta.is_dir()) {
            return Err(Failure::new(format!("dest '{}' must be an existing dir", dest.display())));
        }
        let kind = Kind::of(&head(host, &src)?);
        let look = match kind {
            Kind::Zip => zip::look(&self, host, &src, &dest),
            Kind::Tar(compression) => tar::look(&self, host, &src, &dest, compression),
        };
        let archive = look.map_err(|failure| {
            let src = src.display();
            let why = failure.msg;
            Failure::new(format!(
                "Failed to find handler for \"{src}\". Make sure the required command to extract the file is \
                 installed.\n{why}"
            ))
        })?;
        if let Some(name) = escapes::outside(host, &archive, &dest)? {
            let msg = format!("{} holds '{name}', which is outside of {}", src.display(), dest.display());
            return Err(Failure::new(msg));
        }
        let mut outcome = Outcome::new(!archive.there)
            .with("handler", kind.handler())
            .with("dest", text(&dest))
            .with("src", text(&src));
        if !archive.there {
            unpack(host, &archive, &src, &dest, &mut outcome)?;
        }
        self.settle(host, &dest, &archive, &mut outcome)?;
        if self.list_files {
            outcome.set("files", json!(archive.files));
        }
        files::describe(host, &dest, &mut outcome)?;
        outcome.fields.shift_remove("path");
        Ok(outcome)
    }
}

/// The beginning of a file.
fn head(host: &Host, src: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    let mut head = Vec::new();
    let file = host.open(src)?;
    file.take(8).read_to_end(&mut head).context(|| format!("cannot read {}", src.display()))?;
    Ok(head)
}

fn unpack(host: &Host, archive: &Archive, src: &Path, dest: &Path, outcome: &mut Outcome) -> Result<(), Failure> {
    let Some(output) = host.run(&archive.extract)? else { return Ok(()) };
    let results = json!({
        "cmd": archive.extract.words(), "rc": output.rc, "out": output.stdout_text(), "err": output.stderr_text(),
    });
    if output.rc != 0 {
        let msg = format!("failed to unpack {} to {}", src.display(), dest.display());
        return Err(Failure::new(msg).with("extract_results", results));
    }
    outcome.set("extract_results", results);
    Ok(())
}

/// A downloaded or sent archive, gone when it is dropped.
type Kept = Option<Scratch>;

impl Unarchive {
    /// Where the archive is on the host.
    fn source(&self, host: &Host) -> Result<(PathBuf, Kept), Failure> {
        if let Some(content) = host.content() {
            let kept = host.scratch_program("source", content)?;
            return Ok((kept.to_path_buf(), Some(kept)));
        }
        if self.src.contains("://") {
            let kept = host.scratch_program("source", &self.download(host)?)?;
            return Ok((kept.to_path_buf(), Some(kept)));
        }
        let path = host.path(&PathArg(self.src.clone()))?;
        match host.stat(&path)? {
            Some(meta) if meta.is_file() => Ok((path, None)),
            Some(_) => Err(Failure::new(format!("Source '{}' is not a file", path.display()))),
            None => Err(Failure::new(format!("Source '{}' does not exist", path.display()))),
        }
    }

    fn download(&self, host: &Host) -> Result<Content, Failure> {
        let client = Client { validate_certs: self.validate_certs, ..Client::default() };
        let mut answer = client.get(host, &self.src)?;
        if !answer.status().is_success() {
            let status = answer.status().as_u16();
            let msg = format!("Failure downloading {}, {}", self.src, reason(&answer));
            return Err(Failure::new(msg).with("status_code", status).with("url", self.src.as_str()));
        }
        let attempted = || format!("Failure downloading {}", self.src);
        let mut file = temporary(&std::env::temp_dir(), "").context(attempted)?;
        std::io::copy(&mut answer.body_mut().as_reader(), &mut file).context(attempted)?;
        Ok(Content::File(std::sync::Arc::new(file)))
    }

    /// Sees to owner, group and permissions of all that was in the archive.
    fn settle(&self, host: &Host, dest: &Path, archive: &Archive, outcome: &mut Outcome) -> Result<(), Failure> {
        let wanted = self.file_attributes();
        if wanted == crate::host::Attributes::default() {
            return Ok(());
        }
        for name in &archive.files {
            let path = dest.join(escapes::inside(name));
            // What is not there yet, in a dry run, is not looked at; what was left out is not there at all.
            let Some(meta) = host.lstat(&path)? else { continue };
            let mut wanted = wanted.clone();
            if meta.is_symlink() {
                wanted.mode = None;
            }
            files::settle(host, &path, &wanted, false, outcome)?;
        }
        Ok(())
    }

    /// Whether differences of owner, group or permissions are seen to apart from unpacking.
    fn sees_to(&self, what: &str, host: &Host) -> bool {
        match what {
            "Mode" => self.mode.is_some(),
            "Uid" => self.owner.is_some() || host.uid() != 0,
            "Gid" => self.group.is_some() || host.uid() != 0,
            _ => false,
        }
    }
}

/// The failure of a program that cannot read an archive.
fn unreadable(command: &Command, said: &str) -> Failure {
    let program = command.words().first().cloned().unwrap_or_default();
    Failure::new(format!("Command \"{program}\" could not handle archive: {said}"))
        .with("cmd", Value::from(command.words()))
}
