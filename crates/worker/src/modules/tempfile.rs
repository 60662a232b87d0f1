//! `ansible.builtin.tempfile`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::{self, text};
use crate::args::PathArg;
use crate::host::Host;
use crate::module::{CheckMode, Failure, Module, Outcome};

/// Makes a temporary file or directory.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct TempFile {
    /// What to make.
    #[serde(default)]
    state: State,
    /// In which directory; the system's by default.
    #[serde(default)]
    path: Option<PathArg>,
    /// What its name begins with.
    #[serde(default = "prefix")]
    prefix: String,
    /// What its name ends with.
    #[serde(default)]
    suffix: String,
}

fn prefix() -> String {
    "ansible.".to_owned()
}

/// What to make.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    #[default]
    File,
    Directory,
}

impl Module for TempFile {
    const NAME: &'static str = "ansible.builtin.tempfile";
    const CHECK_MODE: CheckMode = CheckMode::Skipped;

    fn check(&self) -> Result<(), String> {
        let wrong =
            [("prefix", &self.prefix), ("suffix", &self.suffix)].into_iter().find(|(_, part)| part.contains('/'));
        wrong.map_or(Ok(()), |(name, part)| Err(format!("{name} must be a valid file name component, got '{part}'")))
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let directory = match &self.path {
            Some(path) => host.path(path)?,
            None => PathBuf::from(host.env("TMPDIR").filter(|d| !d.is_empty()).unwrap_or_else(|| "/tmp".to_owned())),
        };
        let names = (self.prefix.as_str(), self.suffix.as_str());
        let mut outcome = Outcome::new(true);
        if let Some(path) = host.make_temporary(&directory, names, self.state == State::Directory)? {
            outcome.set("path", text(&path));
            files::describe(host, &path, &mut outcome)?;
        }
        Ok(outcome)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::args;

    fn call(host: &Host, args: Value) -> Result<Outcome, Failure> {
        let module: TempFile = args::parse(args.as_object().unwrap()).unwrap();
        module.check().map_err(Failure::new)?;
        module.run(host)
    }

    #[test]
    fn makes_files_and_directories() {
        let dir = ::tempfile::tempdir().unwrap();
        let host = Host::at(dir.path());
        host.make_directory(std::path::Path::new("/tmp"), None).unwrap();
        let file = call(&host, json!({"path": "/tmp", "suffix": ".x"})).unwrap();
        let path = file.fields["path"].as_str().unwrap();
        assert!(path.starts_with("/tmp/ansible.") && path.ends_with(".x"), "{path}");
        assert_eq!((file.changed, &file.fields["mode"], &file.fields["state"]), (true, &json!("0600"), &json!("file")));
        let made = call(&host, json!({"path": "/tmp", "state": "directory", "prefix": "p-"})).unwrap();
        assert_eq!((&made.fields["mode"], &made.fields["state"]), (&json!("0700"), &json!("directory")));
        assert_eq!(host.list(std::path::Path::new("/tmp")).unwrap().len(), 2);
        assert!(call(&host, json!({"path": "/none"})).is_err());
        assert!(call(&host, json!({"prefix": "../"})).is_err());
    }
}
