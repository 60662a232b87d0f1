//! `ansible.builtin.deb822_repository`: `.sources` files of apt.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::files::{self, text};
use super::http::Client;
use crate::args::{Mode, Presence as State};
use crate::host::{Attributes, Content, Host, WriteOptions};
use crate::module::{Failure, Module, Outcome};

/// Adds a repository to those that apt takes packages from, in a file of fields, or removes it.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Deb822Repository {
    /// The repository's name, which its file and its key are named after.
    name: String,
    /// Whether it should be there.
    #[serde(default)]
    state: State,
    /// The permissions of its file.
    #[serde(default = "default_mode")]
    mode: Mode,
    /// Whether packages that were signed may be replaced by packages that are not.
    #[serde(default)]
    allow_downgrade_to_insecure: Option<bool>,
    /// Whether the repository may lack a signature.
    #[serde(default)]
    allow_insecure: Option<bool>,
    /// Whether its signature may be of a weak kind.
    #[serde(default)]
    allow_weak: Option<bool>,
    /// The architectures to take packages of.
    #[serde(default)]
    architectures: Option<Vec<String>>,
    /// Whether indexes are fetched by their checksums.
    #[serde(default)]
    by_hash: Option<bool>,
    /// Whether the host's clock is right, so that times are checked.
    #[serde(default)]
    check_date: Option<bool>,
    /// Whether a repository that is out of date is refused.
    #[serde(default)]
    check_valid_until: Option<bool>,
    /// The components, such as `main`.
    #[serde(default)]
    components: Option<Vec<String>>,
    /// Seconds that a repository may come from the future.
    #[serde(default)]
    date_max_future: Option<i64>,
    /// Whether apt uses it.
    #[serde(default)]
    enabled: Option<bool>,
    /// Where the file `InRelease` is, from its usual place.
    #[serde(default)]
    inrelease_path: Option<String>,
    /// The languages to fetch descriptions in.
    #[serde(default)]
    languages: Option<Vec<String>>,
    /// Whether indexes are updated by differences.
    #[serde(default)]
    pdiffs: Option<bool>,
    /// The key: a URL, a path, fingerprints, or the armored key itself.
    #[serde(default)]
    signed_by: Option<String>,
    /// The distribution's versions or code names; a path ends in a slash.
    #[serde(default)]
    suites: Option<Vec<String>>,
    /// What to fetch.
    #[serde(default)]
    targets: Option<Vec<String>>,
    /// Whether it is trusted without a signature.
    #[serde(default)]
    trusted: Option<bool>,
    /// Packages, their sources, or both.
    #[serde(default = "binaries")]
    types: Vec<Kind>,
    /// The archive's addresses.
    #[serde(default)]
    uris: Option<Vec<String>>,
}

fn default_mode() -> Mode {
    Mode::Bits(0o644)
}

fn binaries() -> Vec<Kind> {
    vec![Kind::Deb]
}

/// Packages or their sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Deb,
    DebSrc,
}

const SOURCES: &str = "/etc/apt/sources.list.d";
const KEYRINGS: &str = "/etc/apt/keyrings";

impl Module for Deb822Repository {
    const NAME: &'static str = "ansible.builtin.deb822_repository";

    fn check(&self) -> Result<(), String> {
        if slug(&self.name).is_empty() {
            return Err(format!("name '{}' has no character that a file could be named after", self.name));
        }
        let lists = [&self.architectures, &self.components, &self.languages, &self.suites, &self.targets, &self.uris];
        let mut words = lists.into_iter().flatten().flatten().chain([&self.name]).chain(&self.inrelease_path);
        match words.find(|word| word.contains(['\n', '\0'])) {
            Some(word) => Err(format!("'{}' must be a single line", word.escape_debug())),
            None => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let slug = slug(&self.name);
        let dest = Path::new(SOURCES).join(format!("{slug}.sources"));
        if self.state == State::Absent {
            return remove(host, &slug, &dest);
        }
        let mut outcome = Outcome::unchanged();
        let (signed_by, key) = match self.signed_by.as_deref() {
            Some(url) if is_url(url) => {
                let key = fetch_key(host, url, &slug, &mut outcome)?;
                (Some(text(&key)), Some(key))
            }
            Some(path) if path.starts_with('/') => (Some(path.to_owned()), Some(PathBuf::from(path))),
            other => (other.map(ToOwned::to_owned), None),
        };
        let repo = self.repo(signed_by.as_deref());
        let options =
            WriteOptions { mode_if_new: Some(host.mode_of_new(Some(&self.mode), false)?), ..WriteOptions::default() };
        let written = host.write_file(&dest, &Content::from(repo.clone().into_bytes()), &options)?;
        let attributes = Attributes { mode: Some(self.mode), ..Attributes::default() };
        let settled = host.set_attributes(&dest, &attributes, true)?;
        outcome.changed |= written.changed || settled.is_some();
        outcome.set("repo", repo);
        outcome.set("dest", text(&dest));
        outcome.set("key_filename", key.as_deref().map(text));
        describe(host, &dest, outcome)
    }
}

/// Tells what is at the repository's path, if something is.
fn describe(host: &Host, dest: &Path, mut outcome: Outcome) -> Result<Outcome, Failure> {
    if host.exists(dest)? {
        files::describe(host, dest, &mut outcome)?;
    }
    outcome.fields.shift_remove("path");
    Ok(outcome)
}

fn remove(host: &Host, slug: &str, dest: &Path) -> Result<Outcome, Failure> {
    let mut changed = false;
    let keys = ["asc", "gpg"].map(|ending| Path::new(KEYRINGS).join(format!("{slug}.{ending}")));
    let [_, key] = &keys;
    for path in keys.iter().map(PathBuf::as_path).chain([dest]) {
        if host.exists(path)? {
            host.remove(path)?;
            changed = true;
        }
    }
    let outcome = Outcome::new(changed).with("repo", Value::Null).with("dest", text(dest));
    describe(host, dest, outcome.with("key_filename", text(key)))
}

/// The name as files are called.
fn slug(name: &str) -> String {
    let mut out = String::new();
    for c in name.to_lowercase().chars() {
        if c == '_' || c.is_whitespace() {
            // Several become one; a dash that stands there already is another.
            if !out.ends_with('\0') {
                out.push('\0');
            }
        } else if c.is_ascii_alphanumeric() || c == '-' {
            out.push(c);
        }
    }
    out.replace('\0', "-")
}

fn is_url(text: &str) -> bool {
    !text.trim().contains(char::is_whitespace) && text.contains("://")
}

/// Puts the key of a URL where apt looks for it; gives its path.
fn fetch_key(host: &Host, url: &str, slug: &str, outcome: &mut Outcome) -> Result<PathBuf, Failure> {
    let failed = |f: Failure| {
        let said = f.msg.rsplit_once(": ").map_or(f.msg.as_str(), |(_, said)| said).to_owned();
        Failure::new(format!("Could not fetch signed_by key: {said}"))
    };
    let key = match url.strip_prefix("file://") {
        Some(path) => host.read(Path::new(path)).map_err(failed)?,
        None => Client::default().text(host, url).map_err(failed)?,
    };
    let armored = key.starts_with(b"-----BEGIN PGP PUBLIC KEY BLOCK-----");
    let ending = if armored { "asc" } else { "gpg" };
    let path = Path::new(KEYRINGS).join(format!("{slug}.{ending}"));
    if !host.exists(Path::new(KEYRINGS))? {
        files::make_directories(host, Path::new(KEYRINGS), Some(&Mode::Bits(0o755)))?;
        outcome.changed = true;
    }
    let options = WriteOptions { mode_if_new: Some(0o644), ..WriteOptions::default() };
    outcome.changed |= host.write_file(&path, &Content::from(key), &options)?.changed;
    let attributes = Attributes { mode: Some(Mode::Bits(0o644)), ..Attributes::default() };
    outcome.changed |= host.set_attributes(&path, &attributes, true)?.is_some();
    Ok(path)
}

impl Deb822Repository {
    /// The content of the repository's file: fields in the order of the arguments' names.
    fn repo(&self, signed_by: Option<&str>) -> String {
        let word = |value: Option<bool>| value.map(|v| if v { "yes" } else { "no" }.to_owned());
        let joined = |list: &Option<Vec<String>>| list.as_ref().map(|list| list.join(" "));
        let types = |kind: &Kind| if *kind == Kind::Deb { "deb" } else { "deb-src" };
        let fields = [
            ("Allow-Downgrade-To-Insecure", word(self.allow_downgrade_to_insecure)),
            ("Allow-Insecure", word(self.allow_insecure)),
            ("Allow-Weak", word(self.allow_weak)),
            ("Architectures", joined(&self.architectures)),
            ("By-Hash", word(self.by_hash)),
            ("Check-Date", word(self.check_date)),
            ("Check-Valid-Until", word(self.check_valid_until)),
            ("Components", joined(&self.components)),
            ("Date-Max-Future", self.date_max_future.map(|n| n.to_string())),
            ("Enabled", word(self.enabled)),
            ("Inrelease-Path", self.inrelease_path.clone()),
            ("Languages", joined(&self.languages)),
            ("X-Repolib-Name", Some(self.name.clone())),
            ("Pdiffs", word(self.pdiffs)),
            ("Signed-By", signed_by.map(block)),
            ("Suites", joined(&self.suites)),
            ("Targets", joined(&self.targets)),
            ("Trusted", word(self.trusted)),
            ("Types", Some(self.types.iter().map(types).collect::<Vec<_>>().join(" "))),
            ("URIs", joined(&self.uris)),
        ];
        let line = |(name, value): (&str, Option<String>)| {
            let value = value?;
            let space = if value.is_empty() || value.starts_with('\n') { "" } else { " " };
            Some(format!("{name}:{space}{value}\n"))
        };
        fields.into_iter().filter_map(line).collect()
    }
}

/// A value of several lines as a field has it: below the name, and no line of it empty.
fn block(value: &str) -> String {
    let value = value.trim();
    if !value.contains('\n') {
        return value.to_owned();
    }
    let line = |line: &str| format!("\n    {}", if line.trim().is_empty() { "." } else { line.trim_end() });
    value.lines().map(line).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::http::tests::{answer, serve};
    use super::super::stage::Stage;
    use super::*;

    #[test]
    fn files_are_named_and_filled() {
        for (name, wanted) in
            [("Foo Bar", "foo-bar"), ("A  b", "a-b"), ("a - b", "a---b"), ("b/ö_x.y-z:1", "b-xy-z1"), ("-a-", "-a-")]
        {
            assert_eq!(slug(name), wanted);
        }
        let stage = Stage::new(&[("/etc/apt/sources.list.d/x", "")]);
        let args = json!({"name": "Foo Bar", "uris": "http://x/debian", "suites": ["stable", "sid"],
            "components": ["main", "contrib"], "signed_by": "-----BEGIN-----\n\nkey\n", "enabled": false, "languages": ""});
        let dry = stage.check::<Deb822Repository>(args.clone()).unwrap();
        let path = "/etc/apt/sources.list.d/foo-bar.sources";
        assert!(dry.changed && !stage.exists(path));
        let done = stage.call::<Deb822Repository>(args.clone()).unwrap();
        let text = "Components: main contrib\nEnabled: no\nLanguages:\nX-Repolib-Name: Foo Bar\n\
                    Signed-By:\n    -----BEGIN-----\n    .\n    key\nSuites: stable sid\nTypes: deb\nURIs: http://x/debian\n";
        assert_eq!((stage.text(path).as_str(), &dry.fields["repo"]), (text, &done.fields["repo"]));
        assert_eq!((&done.fields["dest"], &done.fields["mode"]), (&json!(path), &json!("0644")));
        assert!(!stage.call::<Deb822Repository>(args).unwrap().changed);
        let args = json!({"name": "Foo Bar", "state": "absent"});
        assert!(stage.check::<Deb822Repository>(args.clone()).unwrap().changed && stage.exists(path));
        assert!(stage.call::<Deb822Repository>(args.clone()).unwrap().changed && !stage.exists(path));
        assert!(!stage.call::<Deb822Repository>(args).unwrap().changed);
    }

    #[test]
    fn keys_are_fetched() {
        let stage = Stage::new(&[("/etc/apt/sources.list.d/x", "")]);
        let armored = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nx\n";
        let (url, server) = serve(vec![answer("200 OK", "", armored), answer("200 OK", "", "raw")]);
        let args = json!({"name": "k", "signed_by": url});
        let made = stage.call::<Deb822Repository>(args.clone()).unwrap();
        assert_eq!(made.fields["key_filename"], json!("/etc/apt/keyrings/k.asc"));
        assert_eq!(stage.text("/etc/apt/keyrings/k.asc"), armored);
        stage.call::<Deb822Repository>(args).unwrap();
        assert_eq!(stage.text("/etc/apt/keyrings/k.gpg"), "raw");
        server.join().unwrap();
        let own = stage.call::<Deb822Repository>(json!({"name": "own", "signed_by": "/k.asc"})).unwrap();
        assert_eq!(own.fields["key_filename"], json!("/k.asc"));
        let gone = stage.call::<Deb822Repository>(json!({"name": "k", "state": "absent"})).unwrap();
        assert!(gone.changed && !stage.exists("/etc/apt/keyrings/k.asc") && !stage.exists("/etc/apt/keyrings/k.gpg"));
    }

    #[test]
    fn what_would_be_another_field_is_refused() {
        let stage = Stage::new(&[]);
        for args in [json!({"name": "a\nTrusted: yes"}), json!({"name": "a", "uris": ["x\ny"]}), json!({"name": "//"})]
        {
            assert!(stage.call::<Deb822Repository>(args).is_err());
        }
    }
}
