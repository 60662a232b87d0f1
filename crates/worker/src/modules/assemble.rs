//! `ansible.builtin.assemble`: a file made of the files of a directory, one after the other.

use std::ffi::OsStr;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::{self, text};
use super::pattern::{Alphabet, Flags, Pattern};
use crate::args::{PathArg, file_arguments, yes};
use crate::host::{Content, Host, WriteOptions};
use crate::module::{Context, Failure, Module, Outcome};

file_arguments! {
    /// Makes a file of fragments: the files of a directory, in the order of their names.
    #[derive(Debug, Deserialize, JsonSchema)]
    pub struct Assemble {
        /// The directory of the fragments.
        src: PathArg,
        /// The file to make.
        dest: PathArg,
        /// Whether the old content is kept beside the file.
        #[serde(default)]
        backup: bool,
        /// What stands on a line of its own between two fragments; `\n` and the like are what they are in Python.
        #[serde(default)]
        delimiter: Option<String>,
        /// Whether `src` is on the host; otherwise it is on the controller, which does the work.
        #[serde(default = "yes")]
        #[allow(dead_code)]
        remote_src: bool,
        /// What the names of the fragments must match; all are taken without it.
        #[serde(default)]
        regexp: Option<String>,
        /// Whether files whose name begins with a dot are left out.
        #[serde(default)]
        ignore_hidden: bool,
        /// A command that must accept the new content; `%s` stands for its path.
        #[serde(default)]
        validate: Option<String>,
        /// Whether the controller decrypts fragments of its own.
        #[serde(default = "yes")]
        #[allow(dead_code)]
        decrypt: bool,
    }
}

/// Which files are fragments.
pub struct Selection {
    pattern: Option<Pattern>,
    ignore_hidden: bool,
}

impl Selection {
    /// Reads the pattern, where there is one; an error tells what is wrong with it.
    pub fn new(regexp: Option<&str>, ignore_hidden: bool) -> Result<Self, String> {
        let pattern = regexp
            .map(|text| Pattern::new(text, Alphabet::Text, Flags::default()))
            .transpose()
            .map_err(|e| format!("Invalid Regexp ({e}) in \"{}\"", regexp.unwrap_or_default()))?;
        Ok(Self { pattern, ignore_hidden })
    }

    /// Whether a file of this name is one.
    pub fn takes(&self, name: &OsStr) -> Result<bool, Failure> {
        let name = name.to_string_lossy();
        if self.ignore_hidden && name.starts_with('.') {
            return Ok(false);
        }
        self.pattern.as_ref().map_or(Ok(true), |pattern| pattern.is_match(&name))
    }
}

/// The fragments one after the other, with the delimiter on a line of its own between them.
#[must_use]
pub fn join(fragments: &[Vec<u8>], delimiter: Option<&str>) -> Vec<u8> {
    let delimiter = delimiter.filter(|d| !d.is_empty()).map(unescaped);
    let mut out: Vec<u8> = Vec::new();
    for (at, fragment) in fragments.iter().enumerate() {
        if at > 0 && !out.is_empty() && !out.ends_with(b"\n") {
            out.push(b'\n');
        }
        if at > 0
            && let Some(delimiter) = &delimiter
        {
            out.extend(delimiter.as_bytes());
            if !delimiter.ends_with('\n') {
                out.push(b'\n');
            }
        }
        out.extend(fragment);
    }
    out
}

/// Text with the escapes of a Python string made what they stand for.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let rest = chars.as_str();
        let (made, len) = match rest.chars().next() {
            Some('n') => (Some('\n'), 1),
            Some('t') => (Some('\t'), 1),
            Some('r') => (Some('\r'), 1),
            Some('0') => (Some('\0'), 1),
            Some('\\') => (Some('\\'), 1),
            Some('\'') => (Some('\''), 1),
            Some('"') => (Some('"'), 1),
            Some('x') => (numbered(rest, 2), 3),
            Some('u') => (numbered(rest, 4), 5),
            Some('U') => (numbered(rest, 8), 9),
            _ => (None, 0),
        };
        match made {
            Some(made) => {
                out.push(made);
                chars = rest.get(len..).unwrap_or_default().chars();
            }
            None => out.push('\\'),
        }
    }
    out
}

/// The character whose number stands in hex after one letter.
fn numbered(text: &str, digits: usize) -> Option<char> {
    char::from_u32(u32::from_str_radix(text.get(1..=digits)?, 16).ok()?)
}

impl Module for Assemble {
    const NAME: &'static str = "ansible.builtin.assemble";

    fn check(&self) -> Result<(), String> {
        Selection::new(self.regexp.as_deref(), false)?;
        match &self.validate {
            Some(command) if !command.is_empty() && !command.contains("%s") => {
                Err(format!("validate must contain %s: {command}"))
            }
            _ => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let (src, dest) = (host.path(&self.src)?, host.path(&self.dest)?);
        match host.stat(&src)? {
            None => return Err(Failure::new(format!("Source ({}) does not exist", src.display()))),
            Some(meta) if !meta.is_dir() => {
                return Err(Failure::new(format!("Source ({}) is not a directory", src.display())));
            }
            Some(_) => {}
        }
        if host.stat(&dest)?.is_some_and(|meta| meta.is_dir()) {
            return Err(Failure::new(format!("attempted to take checksum of directory: {}", dest.display())));
        }
        let content = Content::from(join(&self.fragments(host, &src)?, self.delimiter.as_deref()));
        let attributes = self.file_attributes();
        let options = WriteOptions {
            backup: self.backup,
            validate: self.validate.clone(),
            unsafe_writes: self.unsafe_writes,
            mode_if_new: Some(host.mode_of_new(attributes.mode.as_ref(), false)?),
        };
        let written = host.write_file(&dest, &content, &options).map_err(|mut failure| {
            // Of a check that said no, this module tells in the message alone.
            failure.fields.retain(|key, _| !matches!(key.as_str(), "exit_status" | "path" | "stdout" | "stderr"));
            failure
        })?;
        let mut outcome = Outcome::new(written.changed);
        outcome.diffs.extend(written.diff);
        files::settle(host, &dest, &attributes, true, &mut outcome)?;
        let sum = |algorithm| content.checksum(algorithm).context(|| "cannot read the fragments".to_owned());
        outcome.set("src", self.src.0.as_str());
        outcome.set("dest", text(&dest));
        outcome.set("checksum", sum("sha1")?);
        outcome.set("md5sum", sum("md5")?);
        outcome.set("msg", "OK");
        if let Some(backup) = written.backup_file {
            outcome.set("backup_file", text(&backup));
        }
        files::describe(host, &dest, &mut outcome)?;
        Ok(outcome)
    }
}

impl Assemble {
    fn fragments(&self, host: &Host, src: &Path) -> Result<Vec<Vec<u8>>, Failure> {
        let selection = Selection::new(self.regexp.as_deref(), self.ignore_hidden).map_err(Failure::new)?;
        let mut fragments = Vec::new();
        for name in host.list(src)? {
            let path = src.join(&name);
            if selection.takes(&name)? && host.stat(&path)?.is_some_and(|meta| meta.is_file()) {
                fragments.push(host.read(&path)?);
            }
        }
        Ok(fragments)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::stage::Stage;
    use super::*;

    #[test]
    fn delimiters_have_lines_of_their_own() {
        let fragments = [b"h\n".to_vec(), b"b".to_vec(), b"c\n".to_vec()];
        for (delimiter, wanted) in [
            (None, "h\nb\nc\n"),
            (Some(""), "h\nb\nc\n"),
            (Some("zz"), "h\nzz\nb\nzz\nc\n"),
            (Some("a\\tb\\n"), "h\na\tb\nb\na\tb\nc\n"),
            (Some("\\x41\\q\\u00e9"), "h\nA\\qé\nb\nA\\qé\nc\n"),
        ] {
            assert_eq!(String::from_utf8(join(&fragments, delimiter)).unwrap(), wanted, "{delimiter:?}");
        }
    }

    #[test]
    fn fragments_become_a_file_once() {
        let stage = Stage::new(&[("/src/2", "b"), ("/src/1", "a\n"), ("/src/.h", "h\n"), ("/src/d/x", "no")]);
        let args = json!({"src": "/src", "dest": "/f", "mode": "0600"});
        assert!(stage.check::<Assemble>(args.clone()).unwrap().changed && !stage.exists("/f"));
        let made = stage.call::<Assemble>(args.clone()).unwrap();
        assert_eq!((made.changed, &made.fields["mode"], stage.text("/f")), (true, &json!("0600"), "h\na\nb".into()));
        assert!(!stage.call::<Assemble>(args).unwrap().changed);
        let args = json!({"src": "/src", "dest": "/f", "ignore_hidden": true, "regexp": "^[1h]"});
        assert!(stage.call::<Assemble>(args).unwrap().changed);
        assert_eq!(stage.text("/f"), "a\n");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let stage = Stage::new(&[("/src/1", "a"), ("/d/x", "")]);
        for (args, word) in [
            (json!({"src": "/none", "dest": "/f"}), "does not exist"),
            (json!({"src": "/src/1", "dest": "/f"}), "is not a directory"),
            (json!({"src": "/src", "dest": "/d"}), "checksum of directory"),
            (json!({"src": "/src", "dest": "/f", "regexp": "["}), "Invalid Regexp"),
            (json!({"src": "/src", "dest": "/f", "validate": "true"}), "validate must contain %s"),
            (json!({"src": "/src", "dest": "/f", "validate": "false %s"}), "failed to validate"),
        ] {
            assert!(stage.call::<Assemble>(args).unwrap_err().msg.contains(word), "{word}");
        }
        assert!(!stage.exists("/f"));
    }
}
