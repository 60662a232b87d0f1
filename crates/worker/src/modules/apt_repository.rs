//! `ansible.builtin.apt_repository`: lines of `/etc/apt/sources.list` and the files beside it.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::apt::Apt;
use super::files::text;
use crate::args::{Mode, Presence as State, yes};
use crate::host::{Attributes, Content, Diff, Host, WriteOptions};
use crate::module::{Context, Failure, Module, Outcome};

/// Adds a repository to those that apt takes packages from, or removes it.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AptRepository {
    /// The repository, as a line of `sources.list`.
    #[serde(default)]
    repo: Option<String>,
    /// Whether it should be there.
    #[serde(default)]
    state: State,
    /// The permissions of a file that is made.
    #[serde(default)]
    mode: Option<Mode>,
    /// The name of the file in `sources.list.d`; made of the repository's address by default.
    #[serde(default)]
    filename: Option<String>,
    /// Whether the package lists are updated after a change.
    #[serde(default = "yes", alias = "update-cache")]
    update_cache: bool,
    /// How often an update is tried.
    #[serde(default = "five")]
    update_cache_retries: u32,
    /// The longest pause between tries, in seconds.
    #[serde(default = "twelve")]
    update_cache_retry_max_delay: u64,
    /// The release of a PPA, which is refused.
    #[serde(default)]
    #[allow(dead_code)]
    codename: Option<String>,
    /// Whether the certificate of a PPA's server is verified, which is refused.
    #[serde(default = "yes")]
    #[allow(dead_code)]
    validate_certs: bool,
    /// Has no meaning here: nothing needs to be installed for this module.
    #[serde(default = "yes")]
    #[allow(dead_code)]
    install_python_apt: bool,
}

fn five() -> u32 {
    5
}

fn twelve() -> u64 {
    12
}

const DIRECTORY: &str = "/etc/apt/sources.list.d";

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Source {
        enabled: bool,
        source: String,
        comment: String,
    },
    /// A comment, or nothing, or what apt will complain of.
    Other(String),
}

impl Line {
    fn parse(line: &str) -> Self {
        let bare = line.trim_start().trim_start_matches(['#', ' ', '\t']);
        let enabled = !line.trim_start().starts_with('#');
        let (source, comment) = match bare.split_once('#') {
            Some((source, comment)) => (source, comment.trim()),
            None => (bare, ""),
        };
        match normal(source) {
            Some(source) => Self::Source { enabled, source, comment: comment.to_owned() },
            None => Self::Other(line.to_owned()),
        }
    }

    fn written(&self) -> String {
        match self {
            Self::Other(text) => text.clone(),
            Self::Source { enabled, source, comment } => {
                let off = if *enabled { "" } else { "# " };
                let comment = if comment.is_empty() { String::new() } else { format!(" # {comment}") };
                format!("{off}{source}{comment}")
            }
        }
    }
}

/// A source with single spaces; `None` for what is none.
fn normal(source: &str) -> Option<String> {
    let words: Vec<&str> = source.split_whitespace().collect();
    let kind = words.first().is_some_and(|kind| matches!(*kind, "deb" | "deb-src"));
    (kind && words.len() > 1).then(|| words.join(" "))
}

/// A file of sources.
struct File {
    path: PathBuf,
    old: Option<String>,
    lines: Vec<Line>,
}

impl File {
    fn read(host: &Host, path: PathBuf) -> Result<Self, Failure> {
        let old = host
            .read_if_exists(&path)?
            .map(|bytes| String::from_utf8(bytes).context(|| format!("cannot read {}", path.display())))
            .transpose()?;
        let lines = old.as_deref().unwrap_or_default().lines().map(Line::parse).collect();
        Ok(Self { path, old, lines })
    }

    fn content(&self) -> String {
        self.lines.iter().map(|line| line.written() + "\n").collect()
    }
}

impl Module for AptRepository {
    const NAME: &'static str = "ansible.builtin.apt_repository";

    fn check(&self) -> Result<(), String> {
        let repo = self.repo.as_deref().unwrap_or_default();
        if repo.trim().is_empty() {
            return Err("Please set argument 'repo' to a non-empty value".into());
        }
        if repo.starts_with("ppa:") {
            return Err(format!(
                "'{repo}': PPAs are not supported: give the repository as a line of sources.list, with its key"
            ));
        }
        if repo.contains('\n') || self.filename.as_deref().is_some_and(|name| name.contains(['\n', '\0'])) {
            return Err("repo and filename must be single lines".into());
        }
        self.source().map(drop)
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let source = self.source().map_err(Failure::new)?;
        let mut files = files(host)?;
        let changed = match self.state {
            State::Present => self.add(host, &mut files, source)?,
            State::Absent => remove(&mut files, &source),
        };
        let mut outcome = Outcome::unchanged();
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        let changed: Vec<&File> = changed.into_iter().filter_map(|at| files.get(at)).collect();
        for file in &changed {
            outcome.changed = true;
            let (made, gone) = self.write(host, file, &mut outcome)?;
            added.extend(made.then(|| text(&file.path)));
            removed.extend(gone.then(|| text(&file.path)));
        }
        if outcome.changed {
            // Files without a line, an empty `sources.list` for one, go with the first change, unsaid.
            let other = |file: &File| changed.iter().all(|own| own.path != file.path);
            let empty = |file: &&File| file.lines.is_empty() && file.old.is_some() && other(file);
            files.iter().filter(empty).try_for_each(|file| host.remove(&file.path))?;
        }
        if outcome.changed && self.update_cache {
            self.update(host).inspect_err(|_| {
                // What apt cannot use is taken back; the failure is told, whatever comes of that.
                for file in &changed {
                    let _ = put_back(host, file);
                }
            })?;
        }
        let state = if self.state == State::Present { "present" } else { "absent" };
        let outcome = outcome.with("repo", self.repo).with("state", state);
        Ok(outcome.with("sources_added", json!(added)).with("sources_removed", json!(removed)))
    }
}

/// All files that apt reads sources of in this form.
fn files(host: &Host) -> Result<Vec<File>, Failure> {
    let mut paths = vec![PathBuf::from("/etc/apt/sources.list")];
    paths.extend(host.glob(&Path::new(DIRECTORY).join("*.list"))?);
    paths.into_iter().map(|path| File::read(host, path)).collect()
}

/// Takes a source out of all files; gives which are different then.
fn remove(files: &mut [File], wanted: &str) -> Vec<usize> {
    let mut changed = Vec::new();
    for (at, file) in files.iter_mut().enumerate() {
        let before = file.lines.len();
        file.lines.retain(|line| !matches!(line, Line::Source { source, enabled: true, .. } if source == wanted));
        if file.lines.len() != before {
            changed.push(at);
        }
    }
    changed
}

fn put_back(host: &Host, file: &File) -> Result<(), Failure> {
    match &file.old {
        Some(old) => {
            let content = Content::from(old.as_bytes().to_vec());
            host.write_file(&file.path, &content, &WriteOptions::default()).map(drop)
        }
        None => host.remove(&file.path),
    }
}

impl AptRepository {
    fn source(&self) -> Result<String, String> {
        let repo = self.repo.as_deref().unwrap_or_default();
        let source = repo.split('#').next().unwrap_or_default();
        normal(source).ok_or_else(|| format!("Invalid repository string: {repo}"))
    }

    /// Switches a source on where it stands, or puts it into its file; gives which files are different then.
    fn add(&self, host: &Host, files: &mut Vec<File>, wanted: String) -> Result<Vec<usize>, Failure> {
        let (mut found, mut changed) = (false, Vec::new());
        for (at, file) in files.iter_mut().enumerate() {
            for line in &mut file.lines {
                if let Line::Source { enabled, source, .. } = line
                    && *source == wanted
                {
                    found = true;
                    if !*enabled {
                        *enabled = true;
                        changed.push(at);
                    }
                }
            }
        }
        changed.dedup();
        if found {
            return Ok(changed);
        }
        let path = self.path(&wanted);
        let at = match files.iter().position(|file| file.path == path) {
            Some(at) => at,
            None => {
                files.push(File::read(host, path)?);
                files.len() - 1
            }
        };
        if let Some(file) = files.get_mut(at) {
            file.lines.push(Line::Source { enabled: true, source: wanted, comment: String::new() });
        }
        Ok(vec![at])
    }

    /// The file that a new source goes to.
    fn path(&self, source: &str) -> PathBuf {
        let name = match self.filename.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => name.strip_suffix(".list").unwrap_or(name).to_owned(),
            None => file_name(source),
        };
        Path::new(DIRECTORY).join(name + ".list")
    }

    /// Writes a file, or removes it when no line is left; tells whether it was made or removed.
    fn write(&self, host: &Host, file: &File, outcome: &mut Outcome) -> Result<(bool, bool), Failure> {
        let path = text(&file.path);
        let old = file.old.clone().unwrap_or_default();
        let new = file.content();
        if file.lines.is_empty() {
            host.remove(&file.path)?;
            outcome.diffs.push(Diff::text(old, new).headers(path, "/dev/null"));
            return Ok((false, true));
        }
        let mode = host.mode_of_new(self.mode.as_ref(), false)?;
        let options = WriteOptions { mode_if_new: Some(mode), ..WriteOptions::default() };
        host.write_file(&file.path, &Content::from(new.clone().into_bytes()), &options)?;
        if self.mode.is_some() {
            let attributes = Attributes { mode: self.mode.clone(), ..Attributes::default() };
            host.set_attributes(&file.path, &attributes, true)?;
        }
        let before = if file.old.is_some() { path.clone() } else { "/dev/null".to_owned() };
        outcome.diffs.push(Diff::text(old, new).headers(before, path));
        Ok((file.old.is_none(), false))
    }

    fn update(&self, host: &Host) -> Result<(), Failure> {
        Apt::refresher(self.update_cache_retries, self.update_cache_retry_max_delay)?.refresh(host)
    }
}

/// The name that a source's file has by default, without its ending.
fn file_name(source: &str) -> String {
    let mut words = source.split(' ').skip(1).peekable();
    if words.peek().is_some_and(|word| word.starts_with('[')) {
        for word in words.by_ref() {
            if word.ends_with(']') {
                break;
            }
        }
    }
    let address = words.next().unwrap_or_default();
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    // Who logs in is nobody's business.
    let address = match address.split_once('/') {
        Some((host, path)) => format!("{}/{path}", host.rsplit('@').next().unwrap_or_default()),
        None => address.rsplit('@').next().unwrap_or_default().to_owned(),
    };
    let words: Vec<&str> = address.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    words.join("_")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

    use super::super::stage::Stage;
    use super::*;

    const C: &str = "/etc/apt/sources.list.d/c.list";

    fn args(repo: &str, more: Value) -> Value {
        let mut args = json!({"repo": repo, "update_cache": false});
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        args
    }

    #[test]
    fn names_come_from_addresses() {
        for (source, name) in [
            ("deb http://x.example/debian stable main", "x_example_debian"),
            ("deb [ arch=amd64 signed-by=/k ] https://u:p@y.example:80/a/b-c/ ./", "y_example_80_a_b_c"),
            ("deb [trusted=yes] file:/tmp/rep ./", "file_tmp_rep"),
        ] {
            assert_eq!(file_name(&normal(source).unwrap()), name);
        }
    }

    #[test]
    fn repositories_come_and_go() {
        let stage = Stage::new(&[(C, "# a comment\n\n#deb http://off/d s m\ndeb  http://on/d s m # tail\n")]);
        let call = |repo: &str, more: Value| {
            let args = args(repo, more);
            let before = stage.text(C);
            let dry = stage.check::<AptRepository>(args.clone()).unwrap();
            assert_eq!(stage.text(C), before);
            let done = stage.call::<AptRepository>(args.clone()).unwrap();
            assert_eq!((dry.changed, &dry.fields), (done.changed, &done.fields));
            assert!(!stage.call::<AptRepository>(args).unwrap().changed, "{repo}");
            done
        };
        assert!(!call("deb http://on/d s m", json!({})).changed);
        assert!(call("deb   http://off/d s m", json!({})).changed);
        assert_eq!(stage.text(C), "# a comment\n\ndeb http://off/d s m\ndeb http://on/d s m # tail\n");
        let made = call("deb http://new/d s m # why", json!({"mode": "0600"}));
        let path = "/etc/apt/sources.list.d/new_d.list";
        assert_eq!(made.fields["sources_added"], json!([path]));
        assert_eq!(stage.text(path), "deb http://new/d s m\n");
        call("deb-src http://new/d s m", json!({"filename": "new_d.list"}));
        call("deb http://new/d s m", json!({"state": "absent"}));
        assert_eq!(stage.text(path), "deb-src http://new/d s m\n");
        let gone = call("deb-src http://new/d s m", json!({"state": "absent"}));
        assert_eq!((gone.fields["sources_removed"].clone(), stage.exists(path)), (json!([path]), false));
    }

    #[test]
    fn files_without_a_line_go_with_a_change() {
        let beside = |name: &str| format!("{DIRECTORY}/{name}.list");
        let (empty, blank) = (beside("empty"), beside("blank"));
        let main = "/etc/apt/sources.list";
        let stage = Stage::new(&[(main, ""), (&empty, ""), (&blank, "\n")]);
        let there = || [main, &empty, &blank].map(|path| stage.exists(path));
        let new = args("deb http://new/d s m", json!({}));
        assert!(stage.check::<AptRepository>(new.clone()).unwrap().changed);
        assert_eq!(there(), [true, true, true]);
        let done = stage.call::<AptRepository>(new.clone()).unwrap();
        assert_eq!((there(), &done.fields["sources_removed"]), ([false, false, true], &json!([])));
        assert!(!stage.call::<AptRepository>(new).unwrap().changed);
    }

    #[test]
    fn what_apt_cannot_use_is_taken_back() {
        let stage = Stage::new(&[(C, "deb http://a/d s m\n")]);
        stage.program("apt-get", "echo 'E: no such place' >&2; exit 100");
        for repo in ["deb http://new/d s m", "deb http://b/d s m"] {
            let args = json!({"repo": repo, "filename": if repo.contains("new") { "n" } else { "c" },
                "update_cache_retries": 1});
            let failure = stage.call::<AptRepository>(args).unwrap_err();
            assert!(failure.msg.contains("no such place"), "{}", failure.msg);
        }
        assert_eq!(
            (stage.text(C).as_str(), stage.exists("/etc/apt/sources.list.d/n.list")),
            ("deb http://a/d s m\n", false)
        );
    }

    #[test]
    fn what_is_no_repository_is_refused() {
        let stage = Stage::new(&[]);
        for (repo, word) in [
            (json!(null), "non-empty value"),
            (json!(""), "non-empty value"),
            (json!("http://x s m"), "Invalid repository string"),
            (json!("ppa:a/b"), "PPAs are not supported"),
            (json!("deb http://x s m\ndeb http://y s m"), "single lines"),
        ] {
            assert!(stage.call::<AptRepository>(json!({"repo": repo})).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
