//! `ansible.builtin.slurp`, and the half of `ansible.builtin.fetch` that runs on the host.

use std::path::Path;

use base64::Engine;
use schemars::JsonSchema;
use serde::Deserialize;

use super::files::text;
use crate::args::PathArg;
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};

/// Returns a file's content, in base64.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Slurp {
    /// The file.
    #[serde(alias = "path")]
    src: PathArg,
}

/// Returns a file's content raw, when it is not the one that the controller has.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Fetch {
    /// The file.
    src: PathArg,
    /// The SHA-1 of what the controller has.
    #[serde(default)]
    checksum: Option<String>,
}

impl Module for Slurp {
    const NAME: &'static str = "ansible.builtin.slurp";

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.src)?;
        readable(host, &path)?;
        let content = base64::engine::general_purpose::STANDARD.encode(host.read(&path)?);
        Ok(Outcome::unchanged().with("content", content).with("source", text(&path)).with("encoding", "base64"))
    }
}

impl Module for Fetch {
    const NAME: &'static str = "ansible.builtin._fetch";

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.src)?;
        readable(host, &path)?;
        let known = match &self.checksum {
            Some(known) => *known == host.checksum(&path, "sha1")?,
            None => false,
        };
        if known {
            let size = host.stat(&path)?.map_or(0, |meta| meta.len());
            let checksum = self.checksum.unwrap_or_default();
            return Ok(Outcome::unchanged().with("size", size).with("checksum", checksum));
        }
        let mut outcome = Outcome::unchanged();
        outcome.content = Some(host.content_of(&path));
        Ok(outcome)
    }
}

fn readable(host: &Host, path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    match host.look(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Failure::new(format!("File not found: {shown}")))
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(Failure::new(format!("File is not readable: {shown}")))
        }
        Err(error) => Err(Failure::new(format!("Unable to slurp file: {shown}: {error}"))),
        Ok(meta) if meta.is_dir() && host.may(path, "r") => {
            Err(Failure::new(format!("Source is a directory and must be a file: {shown}")))
        }
        Ok(_) if !host.may(path, "r") => Err(Failure::new(format!("File is not readable: {shown}"))),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::args;
    use crate::host::{Content, WriteOptions};

    fn host() -> (tempfile::TempDir, Host) {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::at(dir.path());
        host.write_file(Path::new("/f"), &Content::from(vec![0xff, 0]), &WriteOptions::default()).unwrap();
        (dir, host)
    }

    fn run<M: Module>(host: &Host, args: Value) -> Result<Outcome, Failure> {
        args::parse::<M>(args.as_object().unwrap()).unwrap().run(host)
    }

    #[test]
    fn returns_base64() {
        let (_dir, host) = host();
        let outcome = run::<Slurp>(&host, json!({"path": "/f"})).unwrap();
        assert_eq!((&outcome.fields["content"], &outcome.fields["encoding"]), (&json!("/wA="), &json!("base64")));
        assert_eq!(run::<Slurp>(&host, json!({"src": "/g"})).unwrap_err().msg, "File not found: /g");
        assert!(run::<Slurp>(&host, json!({"src": "/"})).unwrap_err().msg.contains("directory"));
        assert!(run::<Slurp>(&host, json!({"src": "/f/below"})).unwrap_err().msg.starts_with("Unable to slurp file"));
    }

    #[test]
    fn fetches_only_what_differs() {
        let (_dir, host) = host();
        let first = run::<Fetch>(&host, json!({"src": "/f"})).unwrap();
        assert_eq!(first.content.unwrap().read().unwrap(), [0xff, 0]);
        let checksum = host.checksum(Path::new("/f"), "sha1").unwrap();
        let again = run::<Fetch>(&host, json!({"src": "/f", "checksum": checksum})).unwrap();
        assert!(again.content.is_none());
        assert_eq!(again.fields["size"], json!(2));
    }
}
