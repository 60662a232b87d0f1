//! `community.crypto`'s modules of keys, requests and certificates, by libraries of the worker's own.

mod certificate;
mod crl;
mod csr;
mod info;
mod privatekey;
mod publickey;
pub mod told;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use x509_cert::ext::pkix::name::GeneralName;

pub use certificate::{CertificateFile, CertificatePipe};
pub use csr::{CsrFile, CsrPipe};
pub use info::{CertificateInfo, CsrInfo, PrivateKeyInfo};
pub use privatekey::{PrivateKeyFile, PrivateKeyPipe};
pub use publickey::PublicKeyFile;

use super::files::{self, text};
use crate::args::{Mode, PathArg};
use crate::host::{Attributes, Host, WriteOptions};
use crate::module::{Failure, Outcome};
use crate::pki::key::PrivateKey;
use crate::pki::{keyfile, names};

/// By which library it is done; both words mean the worker's own.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    #[default]
    Auto,
    Cryptography,
}

/// Names of several kinds, as `DNS:a.example`; `what` they are is for the message.
fn generals(list: &[String], what: &str) -> Result<Vec<GeneralName>, String> {
    list.iter().map(|name| names::general(name, what, false)).collect()
}

/// Where a module's file is; a directory there, or none around it, is a failure.
fn place(host: &Host, path: &PathArg) -> Result<PathBuf, Failure> {
    let path = host.path(path)?;
    files::require_parent(host, &path)?;
    if host.stat(&path)?.is_some_and(|entry| entry.is_dir()) {
        return Err(Failure::new(format!("Error while loading {}: it is a directory", path.display())));
    }
    Ok(path)
}

/// Removes a module's file, with a backup where that is asked for.
fn absent(host: &Host, path: &Path, backup: bool) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::new(host.lstat(path)?.is_some());
    if outcome.changed {
        if backup
            && !host.check_mode()
            && let Some(kept) = host.backup(path)?
        {
            outcome.set("backup_file", text(&kept));
        }
        host.remove(path)?;
    }
    Ok(outcome)
}

/// How a module's file is written.
fn write_options(
    host: &Host,
    mode: Option<&Mode>,
    backup: bool,
    unsafe_writes: Option<bool>,
) -> Result<WriteOptions, Failure> {
    let mode_if_new = Some(host.mode_of_new(mode, false)?);
    Ok(WriteOptions { backup, unsafe_writes, mode_if_new, ..WriteOptions::default() })
}

/// What results tell of a file.
fn lossy(content: Option<&[u8]>) -> Option<String> {
    content.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn sha256() -> String {
    "sha256".to_owned()
}

/// In the place of [`file_arguments`](crate::args::file_arguments), for a module without a file.
macro_rules! plain {
    ($($item:tt)*) => { $($item)* };
}
use plain;

/// Writes a module's file where there is new content for it, and brings the attributes about.
fn present(
    host: &Host,
    path: &Path,
    content: Option<Vec<u8>>,
    (attributes, options): (&Attributes, &WriteOptions),
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    if let Some(content) = content {
        // A link is replaced, not followed, as in the reference.
        let written = host.write_file(path, &content.into(), options)?;
        if let Some(kept) = written.backup_file {
            outcome.set("backup_file", text(&kept));
        }
    }
    // The differences that these modules tell are those of the content alone.
    if host.lstat(path)?.is_some() && host.set_attributes(path, attributes, true)?.is_some() {
        outcome.changed = true;
    }
    Ok(())
}

/// A file or the text that was given in its place.
fn either(host: &Host, path: Option<&PathArg>, content: Option<&str>, what: &str) -> Result<Option<Vec<u8>>, Failure> {
    match (path, content) {
        (_, Some(content)) => Ok(Some(content.as_bytes().to_vec())),
        (Some(path), None) => {
            let path = host.path(path)?;
            let found = host.read_if_exists(&path)?;
            let missing = || Failure::new(format!("The {what} {} does not exist", path.display()));
            found.map(Some).ok_or_else(missing)
        }
        (None, None) => Ok(None),
    }
}

/// Where a module finds the private key that it signs with.
struct KeySource<'a> {
    path: Option<&'a PathArg>,
    content: Option<&'a str>,
    passphrase: Option<&'a str>,
}

impl KeySource<'_> {
    fn read(&self, host: &Host) -> Result<PrivateKey, Failure> {
        let bytes = either(host, self.path, self.content, "private key file")?.unwrap_or_default();
        keyfile::read(&bytes, self.passphrase).map_err(|e| Failure::new(e.to_string()))
    }
}
