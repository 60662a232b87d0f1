//! `ansible.builtin.find`.

use std::fs::Metadata;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rplay_protocol::{Object, names};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::encoding::Encoding;
use super::files::text;
use super::pattern::{Alphabet, Flags, Pattern};
use super::stat::{self, Algorithm};
use crate::args::{Mode, PathArg, yes};
use crate::host::{Host, symbolic_mode};
use crate::module::{Failure, Module, Outcome};

/// Finds files by name, age, size, kind, mode and content.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Find {
    /// The directories to look in.
    #[serde(alias = "path", alias = "name")]
    paths: Vec<PathArg>,
    /// Shell patterns (or regular expressions) for names; any of them will do.
    #[serde(default, alias = "pattern")]
    patterns: Vec<String>,
    /// Patterns for names that are left out.
    #[serde(default, alias = "exclude")]
    excludes: Option<Vec<String>>,
    /// A regular expression that a line of the file must begin with.
    #[serde(default)]
    contains: Option<String>,
    /// Look for `contains` anywhere in the file as a whole.
    #[serde(default)]
    read_whole_file: bool,
    /// How the file's text is encoded.
    #[serde(default)]
    encoding: Option<String>,
    /// What to find.
    #[serde(default)]
    file_type: FileType,
    /// At least this old; with a minus, at most. A number with s, m, h, d or w.
    #[serde(default)]
    age: Option<String>,
    /// Which time counts as the age.
    #[serde(default)]
    age_stamp: AgeStamp,
    /// At least this big; with a minus, at most. A number with b, k, m, g or t.
    #[serde(default)]
    size: Option<String>,
    /// Whether directories in directories are looked into.
    #[serde(default)]
    recurse: bool,
    /// Whether names that begin with a dot count.
    #[serde(default)]
    hidden: bool,
    /// Whether links to directories are followed.
    #[serde(default)]
    follow: bool,
    /// Whether files' checksums are computed.
    #[serde(default)]
    get_checksum: bool,
    /// By which algorithm.
    #[serde(default, alias = "checksum", alias = "checksum_algo")]
    checksum_algorithm: Algorithm,
    /// Whether patterns are regular expressions.
    #[serde(default)]
    use_regex: bool,
    /// How many levels deep to look.
    #[serde(default)]
    depth: Option<usize>,
    /// The mode that files must have.
    #[serde(default)]
    mode: Option<Mode>,
    /// Whether it must be just that mode, or have one of its bits.
    #[serde(default = "yes")]
    exact_mode: bool,
    /// Stop after this many.
    #[serde(default)]
    limit: Option<usize>,
}

/// What to find.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum FileType {
    Any,
    Directory,
    #[default]
    File,
    Link,
}

/// Which time counts as the age.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum AgeStamp {
    Atime,
    Ctime,
    #[default]
    Mtime,
}

/// What was asked for, ready to be compared with.
struct Wanted {
    age: Option<i64>,
    size: Option<i64>,
    mode: Option<u32>,
    now: f64,
}

/// What was found so far.
#[derive(Default)]
struct Found {
    files: Vec<Value>,
    examined: usize,
    skipped: Object,
    warnings: Vec<Value>,
}

impl Found {
    /// Notes a path that could not be looked through.
    fn skip(&mut self, path: &Path, why: &str) {
        let path = text(path);
        self.warnings.push(format!("Skipped '{path}' path due to this access issue: {why}\n").into());
        self.skipped.insert(path, why.into());
    }
}

/// The patterns that were asked for, compiled.
struct Patterns {
    wanted: Vec<Pattern>,
    excluded: Vec<Pattern>,
    contains: Option<Pattern>,
}

impl Module for Find {
    const NAME: &'static str = "ansible.builtin.find";

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let wanted = self.wanted()?;
        let mut found = Found::default();
        let patterns = self.compiled();
        for path in &self.paths {
            let root = host.path(path)?;
            if !host.stat(&root)?.is_some_and(|meta| meta.is_dir()) {
                let why = format!("'{}' is not a directory", text(&root));
                found.skip(&root, &why);
                continue;
            }
            let outcome = match &patterns {
                Ok(patterns) => self.walk(host, &root, &wanted, patterns, &mut found),
                Err(failure) => Err(failure.clone()),
            };
            if let Err(failure) = outcome {
                found.skip(&root, &failure.msg);
            }
        }
        let message = if !found.skipped.is_empty() {
            "Not all paths examined, check warnings for details"
        } else if self.limit.is_some_and(|limit| found.files.len() >= limit) {
            "Limit of matches reached"
        } else {
            "All paths examined"
        };
        let mut out = Outcome::unchanged()
            .with("matched", found.files.len())
            .with("files", found.files)
            .with("examined", found.examined)
            .with("skipped_paths", found.skipped)
            .with("msg", message);
        if !found.warnings.is_empty() {
            out = out.with("warnings", found.warnings);
        }
        Ok(out)
    }
}

impl Find {
    fn encoding(&self) -> Result<Encoding, String> {
        Encoding::parse(self.encoding.as_deref().unwrap_or_default())
    }

    fn compiled(&self) -> Result<Patterns, Failure> {
        let text = |pattern: &str| Pattern::new(pattern, Alphabet::Text, Flags::default()).map_err(Failure::new);
        let compile = |pattern: &String| {
            if self.use_regex { text(&format!("\\A(?:{pattern})")) } else { text(&shell_pattern(pattern)) }
        };
        let compile_all = |list: &[String]| list.iter().map(compile).collect::<Result<Vec<_>, _>>();
        let contains = self
            .contains
            .as_ref()
            .map(|pattern| if self.read_whole_file { text(pattern) } else { text(&format!("\\A(?:{pattern})")) });
        Ok(Patterns {
            wanted: compile_all(&self.patterns)?,
            excluded: compile_all(self.excludes.as_deref().unwrap_or_default())?,
            contains: contains.transpose()?,
        })
    }

    fn wanted(&self) -> Result<Wanted, Failure> {
        let amount = |name: &str, given: &Option<String>, units: &[(char, i64)]| match given {
            None => Ok(None),
            Some(given) => amount(given, units)
                .map(Some)
                .ok_or_else(|| Failure::new(format!("failed to process {name}")).with(name, given.as_str())),
        };
        const TIMES: &[(char, i64)] = &[('s', 1), ('m', 60), ('h', 3600), ('d', 86_400), ('w', 604_800)];
        const SIZES: &[(char, i64)] = &[('b', 1), ('k', 1 << 10), ('m', 1 << 20), ('g', 1 << 30), ('t', 1 << 40)];
        Ok(Wanted {
            age: amount("age", &self.age, TIMES)?,
            size: amount("size", &self.size, SIZES)?,
            mode: match &self.mode {
                None | Some(Mode::Preserve) => None,
                Some(Mode::Bits(bits)) => Some(*bits),
                Some(Mode::Symbolic(words)) => Some(symbolic_mode(words, 0, false).map_err(Failure::new)?),
            },
            now: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()),
        })
    }

    /// Looks through a directory and, when asked to, those in it; each directory's own entries come before deeper ones.
    fn walk(
        &self,
        host: &Host,
        root: &Path,
        wanted: &Wanted,
        patterns: &Patterns,
        found: &mut Found,
    ) -> Result<(), Failure> {
        let mut waiting = vec![(root.to_path_buf(), 1)];
        while let Some((directory, level)) = waiting.pop() {
            if self.limit.is_some_and(|limit| found.files.len() >= limit) {
                return Ok(());
            }
            let names = match host.list(&directory) {
                Ok(names) => names,
                Err(error) => {
                    found.skip(&directory, &error.msg);
                    continue;
                }
            };
            let (mut files, mut directories) = (Vec::new(), Vec::new());
            for name in names {
                let path = directory.join(name);
                // What is gone again was not there.
                let Some(meta) = host.lstat(&path)? else { continue };
                let is_directory = host.stat(&path)?.is_some_and(|target| target.is_dir());
                if is_directory { directories.push((path, meta)) } else { files.push((path, meta)) }
            }
            found.examined += files.len() + directories.len();
            if self.depth.is_some_and(|depth| level > depth) {
                continue;
            }
            for (path, meta) in files.iter().chain(&directories) {
                if self.limit.is_some_and(|limit| found.files.len() >= limit) {
                    return Ok(());
                }
                if let Some(file) = self.matched(host, path, meta, wanted, patterns)? {
                    found.files.push(file);
                }
            }
            if self.recurse {
                let deeper = directories.into_iter().rev();
                let followed = deeper.filter(|(_, meta)| self.follow || !meta.file_type().is_symlink());
                waiting.extend(followed.map(|(path, _)| (path, level + 1)));
            }
        }
        Ok(())
    }

    /// What is told of an entry that is wanted.
    fn matched(
        &self,
        host: &Host,
        path: &Path,
        meta: &Metadata,
        wanted: &Wanted,
        patterns: &Patterns,
    ) -> Result<Option<Value>, Failure> {
        let name = path.file_name().unwrap_or_default();
        if !self.hidden && name.as_bytes().starts_with(b".") {
            return Ok(None);
        }
        let kind = meta.file_type();
        let right_kind = match self.file_type {
            FileType::Any => true,
            FileType::File => kind.is_file(),
            FileType::Directory => kind.is_dir(),
            FileType::Link => kind.is_symlink(),
        };
        let name = names::to_text(name);
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.is_match(&name).unwrap_or(false));
        let named = (patterns.wanted.is_empty() || any(&patterns.wanted)) && !any(&patterns.excluded);
        if !right_kind || !named || !self.is_of_age(meta, wanted) || !self.has_mode(meta, wanted) {
            return Ok(None);
        }
        // Sizes are those of files, and only files have content.
        if kind.is_file() && !at_least(wanted.size, meta.len() as f64) {
            return Ok(None);
        }
        if self.file_type == FileType::File && !self.has_content(host, path, patterns)? {
            return Ok(None);
        }
        let mut file = stat::facts(path, meta);
        let told = ["exists", "blocks", "block_size", "device_type"];
        told.iter().for_each(|key| drop(file.shift_remove(*key)));
        if let Some(user) = host.user_by_id(meta.uid())? {
            file.insert("pw_name".into(), user.name.into());
        }
        if let Some(group) = host.group_by_id(meta.gid())? {
            file.insert("gr_name".into(), group.name.into());
        }
        if self.get_checksum && kind.is_file() {
            file.insert("checksum".into(), json!(host.checksum(path, self.checksum_algorithm.name())?));
        }
        Ok(Some(Value::Object(file)))
    }

    fn is_of_age(&self, meta: &Metadata, wanted: &Wanted) -> bool {
        let stamp = match self.age_stamp {
            AgeStamp::Atime => meta.atime() as f64 + meta.atime_nsec() as f64 / 1e9,
            AgeStamp::Ctime => meta.ctime() as f64 + meta.ctime_nsec() as f64 / 1e9,
            AgeStamp::Mtime => meta.mtime() as f64 + meta.mtime_nsec() as f64 / 1e9,
        };
        at_least(wanted.age, wanted.now - stamp)
    }

    fn has_mode(&self, meta: &Metadata, wanted: &Wanted) -> bool {
        let own = meta.mode() & 0o7777;
        wanted.mode.is_none_or(|mode| if self.exact_mode { own == mode } else { own & mode != 0 })
    }

    fn has_content(&self, host: &Host, path: &Path, patterns: &Patterns) -> Result<bool, Failure> {
        let Some(contains) = &patterns.contains else { return Ok(true) };
        let encoding = self.encoding().map_err(Failure::new)?;
        let wrong = |e: std::io::Error| Failure::new(format!("cannot read {}: {e}", path.display()));
        let mut reader = BufReader::new(host.open(path)?);
        let mut bytes = Vec::new();
        let read = |reader: &mut BufReader<_>, bytes: &mut Vec<u8>| match self.read_whole_file {
            true => reader.read_to_end(bytes),
            false => reader.read_until(b'\n', bytes),
        };
        while read(&mut reader, &mut bytes).map_err(wrong)? > 0 {
            let text = encoding.decode(&bytes).ok_or_else(|| {
                let named = self.encoding.as_deref().unwrap_or("utf-8");
                let file = path.display();
                Failure::new(format!(
                    "Failed to read the file {file} due to an encoding error. current encoding: {named}"
                ))
            })?;
            if contains.is_match(&text).unwrap_or(false) {
                return Ok(true);
            }
            bytes.clear();
        }
        Ok(false)
    }
}

/// Whether a value is at least what is wanted; with a negative one, at most its amount.
fn at_least(wanted: Option<i64>, value: f64) -> bool {
    match wanted {
        None => true,
        Some(amount) if amount >= 0 => value >= amount as f64,
        Some(amount) => value <= -(amount as f64),
    }
}

/// A number with a unit.
fn amount(text: &str, units: &[(char, i64)]) -> Option<i64> {
    let text = text.trim().to_lowercase();
    let unit = units.iter().find(|(unit, _)| text.ends_with(*unit));
    let number = unit.map_or(text.as_str(), |(unit, _)| text.trim_end_matches(*unit));
    number.parse::<i64>().ok()?.checked_mul(unit.map_or(1, |(_, factor)| *factor))
}

/// A shell pattern as a regular expression, as Python's `fnmatch` reads it.
fn shell_pattern(pattern: &str) -> String {
    let mut out = String::from("(?s)^");
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => {
                // A `]` right behind the bracket is one of the characters.
                let first = usize::from(rest.starts_with('!')) + 1;
                let Some((end, _)) = rest.char_indices().skip(first).find(|(_, c)| *c == ']') else {
                    out.push_str("\\[");
                    continue;
                };
                let set = rest[..end].replace('\\', "\\\\").replace('[', "\\[");
                match set.strip_prefix('!') {
                    Some(others) => out.push_str(&format!("[^{others}]")),
                    None => out.push_str(&format!("[{set}]")),
                }
                rest = &rest[end + 1..];
            }
            c => out.push_str(&fancy_regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    out.push('$');
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use super::*;
    use crate::args;

    fn found(host: &Host, mut given: Value) -> Vec<String> {
        given["paths"] = json!("/d");
        let module: Find = args::parse(given.as_object().unwrap()).unwrap();
        let out = module.run(host).unwrap();
        let files = out.fields["files"].as_array().unwrap();
        files.iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn finds_by_name_kind_size_and_content() {
        let root = ::tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("d/sub/deep")).unwrap();
        for (path, content) in
            [("d/a.txt", "hello\n"), ("d/b.log", "yy"), ("d/.h", ""), ("d/sub/deep/c.txt", "x hello")]
        {
            std::fs::write(at(path), content).unwrap();
        }
        std::os::unix::fs::symlink("a.txt", at("d/l")).unwrap();
        let host = Host::at(root.path());
        assert_eq!(found(&host, json!({})), ["/d/a.txt", "/d/b.log"]);
        assert_eq!(found(&host, json!({"hidden": true, "patterns": ".*"})), ["/d/.h"]);
        assert_eq!(found(&host, json!({"recurse": true, "patterns": "*.txt"})), ["/d/a.txt", "/d/sub/deep/c.txt"]);
        assert_eq!(found(&host, json!({"recurse": true, "depth": 2, "patterns": "[ab].*"})), ["/d/a.txt", "/d/b.log"]);
        assert_eq!(found(&host, json!({"recurse": true, "file_type": "directory"})), ["/d/sub", "/d/sub/deep"]);
        assert_eq!(found(&host, json!({"file_type": "link"})), ["/d/l"]);
        assert_eq!(found(&host, json!({"size": "3"})), ["/d/a.txt"]);
        assert_eq!(found(&host, json!({"size": "-2"})), ["/d/b.log"]);
        assert_eq!(found(&host, json!({"recurse": true, "contains": "hello"})), ["/d/a.txt"]);
        let whole = json!({"recurse": true, "contains": "hello", "read_whole_file": true, "limit": 1});
        assert_eq!(found(&host, whole), ["/d/a.txt"]);
        let end = json!({"contains": "hello$", "read_whole_file": true});
        assert_eq!(found(&host, end), ["/d/a.txt"], "`$` matches before the last newline");
        std::fs::write(at("d/bin"), b"hello\xff").unwrap();
        let module = |more: Value| {
            let module: Find = args::parse(more.as_object().unwrap()).unwrap();
            module.run(&host).unwrap().fields
        };
        let out = module(json!({"paths": "/d", "contains": "hello", "patterns": "bin"}));
        assert!(out["skipped_paths"]["/d"].as_str().unwrap().contains("encoding error"), "{out:?}");
        let out = module(json!({"paths": "/d", "contains": "hello", "patterns": "bin", "encoding": "latin-1"}));
        assert_eq!(out["matched"], 1);
        assert_eq!(module(json!({"paths": "/d", "limit": 1}))["msg"], "Limit of matches reached");
        assert_eq!(module(json!({"paths": "/d", "patterns": "(", "use_regex": true}))["matched"], 0);
        assert_eq!(found(&host, json!({"age": "1h"})), [""; 0]);
        assert_eq!(found(&host, json!({"use_regex": true, "patterns": "[a-z]\\.l"})), ["/d/b.log"]);
    }

    #[test]
    fn amounts_have_units() {
        let units = &[('s', 1), ('m', 60)];
        assert_eq!((amount("-2m", units), amount("7", units), amount("1x", units)), (Some(-120), Some(7), None));
    }
}
