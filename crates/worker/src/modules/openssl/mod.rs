//! `community.crypto`'s modules of keys, requests and certificates, by libraries of the worker's own.

mod privatekey;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

pub use privatekey::{PrivateKeyFile, PrivateKeyPipe};

use super::files::{self, text};
use crate::args::PathArg;
use crate::host::{Attributes, Host, WriteOptions};
use crate::module::{Failure, Outcome};

/// By which library it is done; both words mean the worker's own.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    #[default]
    Auto,
    Cryptography,
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
