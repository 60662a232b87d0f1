//! `ansible.builtin.yum_repository`: sections of `.repo` files.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use super::files;
use crate::args::{PathArg, Presence as State, file_arguments};
use crate::host::{Content, Diff, Host, WriteOptions};
use crate::module::{Context, Failure, Module, Outcome};

/// Declares the module's arguments: those that become options of a repository are an `Option`, under their own names.
macro_rules! repository {
    ($($(#[$meta:meta])* $field:ident : $ty:ty),* $(,)?) => {
        file_arguments! {
            /// Adds a repository to those that yum and dnf take packages from, or removes it.
            #[derive(Debug, Deserialize, JsonSchema)]
            pub struct YumRepository {
                /// The repository's id.
                name: String,
                /// Whether it should be there.
                #[serde(default)]
                state: State,
                /// The file, without `.repo`; named after the repository by default.
                #[serde(default)]
                file: Option<String>,
                /// The directory of such files.
                #[serde(default = "directory")]
                reposdir: PathArg,
                /// What the repository is called.
                #[serde(default)]
                description: Option<String>,
                /// Its addresses.
                #[serde(default)]
                baseurl: Option<Vec<String>>,
                /// The addresses of its keys.
                #[serde(default)]
                gpgkey: Option<Vec<String>>,
                /// Whether packages are fetched in parallel.
                #[serde(default, rename = "async")]
                parallel: Option<bool>,
                $($(#[$meta])* #[serde(default)] $field: Option<$ty>,)*
            }
        }
        impl YumRepository {
            /// The options with their values, by name.
            fn options(&self) -> Vec<(&'static str, String)> {
                let lines = |list: &Option<Vec<String>>| list.as_ref().map(|list| list.join("\n"));
                let mut options = vec![
                    ("name", self.description.clone()),
                    ("baseurl", lines(&self.baseurl)),
                    ("gpgkey", lines(&self.gpgkey)),
                    ("async", self.parallel.as_ref().map(Text::text)),
                    $((stringify!($field), self.$field.as_ref().map(Text::text)),)*
                ];
                options.sort_by_key(|(name, _)| *name);
                options.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
            }
        }
    };
}

repository! {
    /// Bytes a second that may be used.
    bandwidth: String,
    /// How dear the repository is, against others.
    cost: String,
    /// Whether its use is counted.
    countme: bool,
    /// The share of the metadata's size up to which differences are used.
    deltarpm_metadata_percentage: String,
    /// The share of a package's size up to which differences are used.
    deltarpm_percentage: String,
    /// Whether it is used.
    enabled: bool,
    /// Whether its groups are used.
    enablegroups: bool,
    /// Packages that are left out.
    #[serde(alias = "excludepkgs")]
    exclude: Vec<String>,
    /// Which address is tried first: `roundrobin` or `priority`.
    failovermethod: String,
    /// The key of the authority that signs keys.
    gpgcakey: String,
    /// Whether signatures of packages are checked.
    gpgcheck: bool,
    /// What caches may keep: `all`, `packages` or `none`.
    http_caching: String,
    /// Another configuration file to read.
    include: String,
    /// The only packages to use.
    includepkgs: Vec<String>,
    /// How names are resolved: `4`, `6`, `IPv4`, `IPv6` or `whatever`.
    ip_resolve: String,
    /// Whether connections are kept open.
    keepalive: bool,
    /// Whether packages are kept: `0` or `1`.
    keepcache: String,
    /// Seconds after which metadata is out of date.
    metadata_expire: String,
    /// Which commands may use metadata that is out of date.
    metadata_expire_filter: String,
    /// The address of a metalink file.
    metalink: String,
    /// The address of a list of mirrors.
    mirrorlist: String,
    /// Seconds after which that list is out of date.
    mirrorlist_expire: String,
    /// Whether packages of modules that are off may be used.
    module_hotfixes: bool,
    /// The password for the repository.
    password: String,
    /// The repository's rank.
    priority: String,
    /// Whether its packages are protected from others.
    protect: bool,
    /// The proxy to use; `_none_` for none.
    proxy: String,
    /// The password for the proxy.
    proxy_password: String,
    /// The user for the proxy.
    proxy_username: String,
    /// Whether the signature of the metadata is checked.
    repo_gpgcheck: bool,
    /// How often fetching is tried.
    retries: String,
    /// Whether it is kept on S3.
    s3_enabled: bool,
    /// Whether it may be missing.
    skip_if_unavailable: bool,
    /// Whether permissions of certificates are checked.
    ssl_check_cert_permissions: bool,
    /// The authorities to trust.
    #[serde(alias = "ca_cert")]
    sslcacert: String,
    /// The certificate to show.
    #[serde(alias = "client_cert")]
    sslclientcert: String,
    /// The certificate's key.
    #[serde(alias = "client_key")]
    sslclientkey: String,
    /// Whether certificates are checked.
    #[serde(alias = "validate_certs")]
    sslverify: bool,
    /// How fast it may be fetched from.
    throttle: String,
    /// Seconds to wait for a connection.
    timeout: String,
    /// Variables to show beside the id.
    ui_repoid_vars: String,
    /// The user for the repository.
    username: String,
}

/// How a value stands in the file.
trait Text {
    fn text(&self) -> String;
}

impl Text for String {
    fn text(&self) -> String {
        self.clone()
    }
}

impl Text for bool {
    fn text(&self) -> String {
        if *self { "1" } else { "0" }.to_owned()
    }
}

impl Text for Vec<String> {
    fn text(&self) -> String {
        self.join(" ")
    }
}

fn directory() -> PathArg {
    PathArg("/etc/yum.repos.d".into())
}

impl Module for YumRepository {
    const NAME: &'static str = "ansible.builtin.yum_repository";

    fn check(&self) -> Result<(), String> {
        let choices: [(&str, &Option<String>, &[&str]); 5] = [
            ("failovermethod", &self.failovermethod, &["roundrobin", "priority"]),
            ("http_caching", &self.http_caching, &["all", "packages", "none"]),
            ("ip_resolve", &self.ip_resolve, &["4", "6", "IPv4", "IPv6", "whatever"]),
            ("keepcache", &self.keepcache, &["0", "1"]),
            (
                "metadata_expire_filter",
                &self.metadata_expire_filter,
                &["never", "read-only:past", "read-only:present", "read-only:future"],
            ),
        ];
        for (name, value, allowed) in choices {
            if let Some(value) = value.as_ref().filter(|value| !allowed.contains(&value.as_str())) {
                return Err(format!("value of {name} must be one of: {}, got: {value}", allowed.join(", ")));
            }
        }
        if self.state == State::Present {
            if self.baseurl.is_none() && self.mirrorlist.is_none() && self.metalink.is_none() {
                let msg = "state is present but any of the following are missing: baseurl, mirrorlist, metalink";
                return Err(msg.into());
            }
            if self.description.is_none() {
                return Err("state is present but all of the following are missing: description".into());
            }
        }
        if self.name.contains(['\n', ']']) || self.file.as_deref().unwrap_or(&self.name).contains(['/', '\0', '\n']) {
            return Err("name and file must be names of a section and of a file".into());
        }
        match self.options().into_iter().find(|(name, v)| v.contains('\n') && !matches!(*name, "baseurl" | "gpgkey")) {
            Some((name, _)) => Err(format!("{name} must be a single line")),
            None => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let directory = host.path(&self.reposdir)?;
        if !host.exists(&directory)? {
            return Err(Failure::new(format!("Repo directory '{}' does not exist.", directory.display())));
        }
        let path = directory.join(format!("{}.repo", self.file.as_deref().unwrap_or(&self.name)));
        let old = host.read_if_exists(&path)?;
        let text =
            String::from_utf8(old.clone().unwrap_or_default()).context(|| format!("cannot read {}", path.display()))?;
        let before = Sections::parse(&text).context(|| format!("Cannot parse {}", path.display()))?;
        let mut after = before.clone();
        let old_section = after.take(&self.name);
        if self.state == State::Present {
            let options = self.options().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            after.0.push((self.name.clone(), options));
        }
        let same = match self.state {
            State::Present => old_section.map(sorted) == after.0.last().map(|(_, options)| sorted(options.clone())),
            State::Absent => old_section.is_none(),
        };
        let mut outcome = Outcome::new(!same);
        if !same {
            self.write(host, &path, &after)?;
            let header = files::text(&path);
            outcome.diffs.push(Diff::text(before.shown(), after.shown()).headers(header.clone(), header));
        }
        if host.exists(&path)? {
            outcome.changed |= host.set_attributes(&path, &self.file_attributes(), true)?.is_some();
        }
        let state = if self.state == State::Present { "present" } else { "absent" };
        Ok(outcome.with("repo", self.name).with("state", state))
    }
}

impl YumRepository {
    fn write(&self, host: &Host, path: &Path, sections: &Sections) -> Result<(), Failure> {
        if sections.0.is_empty() {
            return host.remove(path);
        }
        let options = WriteOptions {
            mode_if_new: Some(host.mode_of_new(self.mode.as_ref(), false)?),
            unsafe_writes: self.unsafe_writes,
            ..WriteOptions::default()
        };
        host.write_file(path, &Content::from(sections.written("\n\t").into_bytes()), &options).map(drop)
    }
}

type Options = Vec<(String, String)>;

fn sorted(mut options: Options) -> Options {
    options.sort();
    options
}

/// The sections of a file, with their options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sections(Vec<(String, Options)>);

impl Sections {
    fn parse(text: &str) -> Result<Self, String> {
        let mut sections: Vec<(String, Options)> = Vec::new();
        for line in text.lines() {
            let bare = line.trim();
            if bare.is_empty() || bare.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.trim_end().strip_suffix(']')) {
                if !sections.iter().any(|(known, _)| known == name) {
                    sections.push((name.to_owned(), Vec::new()));
                }
                continue;
            }
            let Some((_, options)) = sections.last_mut() else {
                return Err(format!("'{bare}' stands before the first section"));
            };
            match (line.starts_with([' ', '\t']), options.last_mut()) {
                (true, Some((_, value))) => value.push_str(&format!("\n{bare}")),
                _ => {
                    let (name, value) =
                        bare.split_once(['=', ':']).ok_or_else(|| format!("'{bare}' is not an option"))?;
                    options.push((name.trim().to_lowercase(), value.trim().to_owned()));
                }
            }
        }
        Ok(Self(sections))
    }

    fn take(&mut self, name: &str) -> Option<Options> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// The file, with what stands between the lines of a value.
    fn written(&self, between: &str) -> String {
        let option = |(name, value): &(String, String)| format!("{name} = {}\n", value.replace('\n', between));
        let section = |(name, options): &(String, Options)| {
            format!("[{name}]\n{}\n", options.iter().map(option).collect::<String>())
        };
        self.0.iter().map(section).collect()
    }

    /// The same in order, for the diff.
    fn shown(&self) -> String {
        let mut sections = self.0.clone();
        sections.sort();
        sections.iter_mut().for_each(|(_, options)| options.sort());
        Self(sections).written("\n")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::super::stage::Stage;
    use super::*;

    const FILE: &str = "/etc/yum.repos.d/epel.repo";

    #[test]
    fn repositories_come_and_go() {
        let stage = Stage::new(&[("/etc/yum.repos.d/x", "")]);
        let call = |args: Value| {
            let before = stage.text(FILE);
            let dry = stage.check::<YumRepository>(args.clone()).unwrap();
            assert_eq!(stage.text(FILE), before);
            let done = stage.call::<YumRepository>(args.clone()).unwrap();
            assert_eq!((dry.changed, &dry.fields), (done.changed, &done.fields));
            assert!(!stage.call::<YumRepository>(args).unwrap().changed);
            done
        };
        call(json!({"name": "epel", "description": "E P", "baseurl": ["https://x/a", "https://y"], "gpgcheck": true,
            "exclude": ["a", "b*"], "validate_certs": false, "cost": 5, "mode": "0600"}));
        let epel = "[epel]\nbaseurl = https://x/a\n\thttps://y\ncost = 5\nexclude = a b*\ngpgcheck = 1\nname = E P\nsslverify = 0\n\n";
        assert_eq!(stage.text(FILE), epel);
        call(json!({"name": "o", "file": "epel", "description": "O", "metalink": "m", "async": true}));
        assert_eq!(stage.text(FILE), format!("{epel}[o]\nasync = 1\nmetalink = m\nname = O\n\n"));
        assert!(call(json!({"name": "epel", "state": "absent"})).changed);
        assert!(stage.text(FILE).starts_with("[o]"));
        call(json!({"name": "o", "file": "epel", "state": "absent"}));
        assert!(!stage.exists(FILE));
    }

    #[test]
    fn options_that_are_not_named_go() {
        let stage = Stage::new(&[(FILE, "# c\n[a]\nName = x\nfoo: 1\n\n[b]\nname=y\n")]);
        let args = json!({"name": "a", "file": "epel", "baseurl": "http://a", "description": "b"});
        let done = stage.call::<YumRepository>(args).unwrap();
        assert_eq!(stage.text(FILE), "[b]\nname = y\n\n[a]\nbaseurl = http://a\nname = b\n\n");
        let (before, after) = done.diffs[0].clone().into_sides();
        assert_eq!(before, "[a]\nfoo = 1\nname = x\n\n[b]\nname = y\n\n");
        assert_eq!(after, "[a]\nbaseurl = http://a\nname = b\n\n[b]\nname = y\n\n");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let stage = Stage::new(&[("/etc/yum.repos.d/bad.repo", "nothing\n")]);
        for (args, word) in [
            (json!({"name": "a"}), "baseurl, mirrorlist, metalink"),
            (json!({"name": "a", "baseurl": "b"}), "missing: description"),
            (json!({"name": "a", "state": "absent", "reposdir": "/nope"}), "does not exist"),
            (json!({"name": "bad", "state": "absent"}), "before the first section"),
            (json!({"name": "../a", "state": "absent"}), "names of a section"),
            (json!({"name": "a", "state": "absent", "keepcache": "2"}), "keepcache must be one of"),
            (json!({"name": "a", "state": "absent", "proxy": "a\nb"}), "single line"),
        ] {
            let msg = stage.call::<YumRepository>(args).unwrap_err().msg;
            assert!(msg.contains(word), "{msg}");
        }
    }
}
