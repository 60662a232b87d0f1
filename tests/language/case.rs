//! Case files: a small project, how to run it, and the trace it must leave.
//!
//! A file is a row of parts, each begun by a line `=== name`: `args: …` (as on the command line), `expect` (the trace),
//! `differs: why` (where this program differs from the reference on purpose), anything else a file of the project, with
//! `site.yml` as the playbook. `tests/language/observe` asks the reference for the trace.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A case, read.
#[derive(Debug, Default)]
pub struct Case {
    /// What `args:` says, in words.
    pub args: Vec<String>,
    /// The project's files.
    pub files: Vec<(String, String)>,
    /// The trace.
    pub expect: String,
}

const INVENTORY: &str = "a\nb\nc\n[all:vars]\nansible_connection=local\n";

impl Case {
    /// Reads a case from its text.
    pub fn parse(text: &str) -> Self {
        let mut case = Self::default();
        let mut header: Option<String> = None;
        let mut body = String::new();
        for line in text.split_inclusive('\n').chain(["=== \n"]) {
            let Some(name) = line.strip_prefix("=== ") else {
                body.push_str(line);
                continue;
            };
            if let Some(header) = header.replace(name.trim().to_owned()) {
                case.part(&header, std::mem::take(&mut body));
            }
        }
        if !case.files.iter().any(|(name, _)| name == "inventory") {
            case.files.push(("inventory".into(), INVENTORY.into()));
        }
        case
    }

    fn part(&mut self, header: &str, body: String) {
        match header.strip_prefix("args:") {
            Some(args) => self.args = shell_words::split(args).unwrap(),
            None if header == "expect" => self.expect = body,
            None if header.starts_with("differs") => {}
            None => self.files.push((header.to_owned(), body)),
        }
    }

    /// Writes the project below a directory.
    pub fn write(&self, root: &Path) {
        for (name, body) in &self.files {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, body).unwrap();
            if body.starts_with("#!") {
                std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
            }
        }
    }
}

/// Where the case files are.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/language/cases")
}
