//! `ansible.builtin.get_url`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::files::{self, text};
use super::http::{self, Answer, Client};
use crate::args::{PathArg, file_arguments, yes};
use crate::host::{Content, Host, WriteOptions, temporary};
use crate::module::{Context, Failure, Module, Outcome};

file_arguments! {
    /// Downloads a file to the host.
    #[derive(Debug, Deserialize, JsonSchema)]
    pub struct GetUrl {
        /// What to download: `http://`, `https://` or `file://`.
        url: String,
        /// Where to put it; a directory takes it under the name that the server gives it.
        dest: PathArg,
        /// Whether a file that is there is downloaded again.
        #[serde(default)]
        force: bool,
        /// What the content must add up to: `sha256:…`, where a URL may stand for the sum.
        #[serde(default)]
        checksum: String,
        /// Whether the old content is kept beside the file.
        #[serde(default)]
        backup: bool,
        /// The directory for the content while it arrives.
        #[serde(default)]
        tmp_dest: Option<PathArg>,
        /// Seconds to wait for the server.
        #[serde(default = "ten")]
        timeout: u64,
        /// Headers to send.
        #[serde(default)]
        headers: Option<IndexMap<String, String>>,
        /// Names of headers that do not follow a redirection.
        #[serde(default)]
        unredirected_headers: Vec<String>,
        /// What to call ourselves.
        #[serde(default = "agent")]
        http_agent: String,
        /// The user to log in as.
        #[serde(default, alias = "username")]
        url_username: Option<String>,
        /// The user's password.
        #[serde(default, alias = "password")]
        url_password: Option<String>,
        /// Whether user and password are sent before they are asked for.
        #[serde(default)]
        force_basic_auth: bool,
        /// Whether certificates are checked.
        #[serde(default = "yes")]
        validate_certs: bool,
        /// Whether the environment's proxies are used.
        #[serde(default = "yes")]
        use_proxy: bool,
        /// Whether `~/.netrc` is asked for a login.
        #[serde(default = "yes")]
        use_netrc: bool,
        /// A certificate to show, with or without its key.
        #[serde(default)]
        client_cert: Option<PathArg>,
        /// The certificate's key.
        #[serde(default)]
        client_key: Option<PathArg>,
        /// Not supported.
        #[serde(default)]
        ciphers: Vec<String>,
        /// Compressed answers are always unpacked.
        #[serde(default = "yes")]
        decompress: bool,
        /// Not supported.
        #[serde(default)]
        use_gssapi: bool,
    }
}

fn ten() -> u64 {
    10
}

fn agent() -> String {
    "ansible-httpget".to_owned()
}

impl Module for GetUrl {
    const NAME: &'static str = "ansible.builtin.get_url";

    fn check(&self) -> Result<(), String> {
        if !["http://", "https://", "file://"].iter().any(|scheme| self.url.starts_with(scheme)) {
            let scheme = self.url.split(':').next().unwrap_or_default();
            return Err(format!("'{scheme}' URLs are not supported: use http, https or file"));
        }
        for (given, name) in [
            (!self.ciphers.is_empty(), "ciphers"),
            (!self.decompress, "decompress: false"),
            (self.use_gssapi, "use_gssapi"),
        ] {
            if given {
                return Err(format!("get_url does not support {name}"));
            }
        }
        if !self.checksum.is_empty() {
            self.sum().map(|_| ())?;
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let start = Instant::now();
        let dest = host.path(&self.dest)?;
        let mut outcome = Outcome::unchanged().with("url", self.url.as_str()).with("dest", text(&dest));
        let result = self.download(host, &dest, &mut outcome);
        let elapsed = start.elapsed().as_secs();
        match result {
            Ok(()) => Ok(outcome.with("elapsed", elapsed)),
            Err(mut failure) => {
                for (key, value) in outcome.fields {
                    failure.fields.entry(key).or_insert(value);
                }
                Err(failure.with("elapsed", elapsed))
            }
        }
    }
}

/// What came from a URL.
struct Download {
    content: Content,
    msg: String,
    status: Option<u16>,
    /// The name that the server gives it.
    name: Option<String>,
}

const BAD_SUM: &str = "The checksum parameter has to be in format <algorithm>:<checksum>";

impl GetUrl {
    fn download(&self, host: &Host, dest: &Path, outcome: &mut Outcome) -> Result<(), Failure> {
        let wanted = if self.checksum.is_empty() { None } else { Some(self.wanted_sum(host)?) };
        let old = host.stat(dest)?;
        let is_directory = old.as_ref().is_some_and(std::fs::Metadata::is_dir);
        let mut since = None;
        if let Some(old) = old.as_ref().filter(|_| !is_directory && !self.force) {
            if let Some((algorithm, sum)) = &wanted {
                if host.checksum(dest, algorithm)? == *sum {
                    for key in ["checksum_src", "checksum_dest"] {
                        outcome.set(key, Value::Null);
                    }
                    return self.keep(host, dest, outcome);
                }
            } else {
                since = old.modified().ok();
            }
        }
        let Some(download) = self.fetch(host, since)? else {
            return self.not_modified(host, dest, outcome);
        };
        let mut dest = dest.to_path_buf();
        if is_directory {
            let name = download.name.clone().unwrap_or_else(|| name_in(&self.url));
            dest.push(name);
            outcome.set("dest", text(&dest));
        }
        let sum =
            |algorithm: &str| download.content.checksum(algorithm).context(|| "cannot read the content".to_owned());
        outcome.set("checksum_src", sum("sha1")?);
        outcome.set("checksum_dest", Value::Null);
        if let Content::File(file) = &download.content {
            outcome.set("src", text(file.path()));
        }
        if host.exists(&dest)? {
            outcome.set("checksum_dest", host.checksum(&dest, "sha1")?);
        } else if !host.check_mode() {
            let parent = dest.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !host.exists(parent)? {
                return Err(Failure::new(format!("Destination {} does not exist", parent.display())));
            }
        }
        if let Some((algorithm, wanted)) = &wanted {
            let got = sum(algorithm)?;
            if got != *wanted {
                return Err(Failure::new(format!(
                    "The checksum for {} did not match {wanted}; it was {got}.",
                    self.url
                )));
            }
        }
        self.put(host, &dest, &download, outcome)?;
        outcome.set("md5sum", sum("md5")?);
        outcome.set("msg", download.msg);
        outcome.set("status_code", download.status);
        files::describe(host, &dest, outcome)
    }

    fn put(&self, host: &Host, dest: &Path, download: &Download, outcome: &mut Outcome) -> Result<(), Failure> {
        let attributes = self.file_attributes();
        let options = WriteOptions {
            backup: self.backup,
            validate: None,
            unsafe_writes: self.unsafe_writes,
            mode_if_new: Some(host.mode_of_new(attributes.mode.as_ref(), false)?),
        };
        let written = host.write_file(dest, &download.content, &options)?;
        outcome.changed |= written.changed;
        outcome.diffs.extend(written.diff);
        if let Some(backup) = written.backup_file {
            outcome.set("backup_file", text(&backup));
        }
        files::settle(host, dest, &attributes, false, outcome)
    }

    /// The file is what was asked for: only its attributes may have to change.
    fn keep(&self, host: &Host, dest: &Path, outcome: &mut Outcome) -> Result<(), Failure> {
        files::settle(host, dest, &self.file_attributes(), false, outcome)?;
        let msg =
            if outcome.changed { "file already exists but file attributes changed" } else { "file already exists" };
        outcome.set("msg", msg);
        files::describe(host, dest, outcome)
    }

    fn not_modified(&self, host: &Host, dest: &Path, outcome: &mut Outcome) -> Result<(), Failure> {
        files::settle(host, dest, &self.file_attributes(), false, outcome)?;
        outcome.set("msg", "HTTP Error 304: Not Modified");
        outcome.set("status_code", 304);
        files::describe(host, dest, outcome)
    }

    fn client(&self, host: &Host) -> Result<Client, Failure> {
        let path = |arg: &Option<PathArg>| arg.as_ref().map(|path| host.path(path)).transpose();
        Ok(Client {
            validate_certs: self.validate_certs,
            timeout: Duration::from_secs(self.timeout),
            use_proxy: self.use_proxy,
            use_netrc: self.use_netrc,
            agent: self.http_agent.clone(),
            credentials: self.url_username.clone().map(|u| (u, self.url_password.clone().unwrap_or_default())),
            force_basic_auth: self.force_basic_auth,
            headers: self.headers.iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect(),
            unredirected: self.unredirected_headers.clone(),
            client_cert: path(&self.client_cert)?,
            client_key: path(&self.client_key)?,
            ..Client::default()
        })
    }

    /// The content; `None` when it has not changed since.
    fn fetch(&self, host: &Host, since: Option<std::time::SystemTime>) -> Result<Option<Download>, Failure> {
        if let Some(path) = self.url.strip_prefix("file://") {
            let path = PathBuf::from(http::percent_decoded(path));
            let content = host.content_of(&path);
            let len = content.len().context(|| format!("Request failed: cannot read {}", path.display()))?;
            return Ok(Some(Download { content, msg: format!("OK ({len} bytes)"), status: None, name: None }));
        }
        let mut client = self.client(host)?;
        if let Some(since) = since.and_then(|t| t.duration_since(UNIX_EPOCH).ok()) {
            let second = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
            if let Ok(time) = jiff::Timestamp::from_second(second) {
                let date = time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
                client.headers.push(("If-Modified-Since".to_owned(), date));
            }
        }
        let mut answer = client.get(host, &self.url)?;
        let status = answer.status().as_u16();
        if status == 304 {
            return Ok(None);
        }
        if !answer.status().is_success() {
            let response = http::reason(&answer);
            return Err(Failure::new("Request failed").with("response", response).with("status_code", status));
        }
        let name = offered_name(&answer);
        let said = answer.headers().get("content-length").and_then(|l| l.to_str().ok()).unwrap_or("unknown").to_owned();
        let reason = answer.status().canonical_reason().unwrap_or("OK");
        let msg = format!("{reason} ({said} bytes)");
        let content = self.receive(host, &mut answer)?;
        Ok(Some(Download { content, msg, status: Some(status), name }))
    }

    /// The body in a temporary file, piece by piece.
    fn receive(&self, host: &Host, answer: &mut Answer) -> Result<Content, Failure> {
        let attempted = || "failed to create temporary content file".to_owned();
        let mut file = match self.tmp_dest.as_ref().filter(|path| !path.0.is_empty()) {
            None => temporary(&std::env::temp_dir(), "").context(attempted)?,
            Some(directory) => {
                let directory = host.path(directory)?;
                match host.stat(&directory)? {
                    Some(meta) if meta.is_dir() => host.temporary_in(&directory)?,
                    Some(_) => {
                        return Err(Failure::new(format!("{} is a file but should be a directory.", text(&directory))));
                    }
                    None => return Err(Failure::new(format!("{} directory does not exist.", text(&directory)))),
                }
            }
        };
        let mut body = answer.body_mut().with_config().limit(u64::MAX).reader();
        let mut piece = vec![0; 64 * 1024];
        loop {
            if host.is_cancelled() {
                return Err(Failure::new("the download was cancelled"));
            }
            let len = std::io::Read::read(&mut body, &mut piece).context(|| "Request failed".to_owned())?;
            if len == 0 {
                return Ok(Content::File(Arc::new(file)));
            }
            std::io::Write::write_all(&mut file, &piece[..len]).context(attempted)?;
        }
    }

    /// Algorithm and sum, or the URL of the sum.
    fn sum(&self) -> Result<(String, String), String> {
        let (algorithm, sum) = self.checksum.split_once(':').ok_or_else(|| BAD_SUM.to_owned())?;
        let algorithm = algorithm.trim().to_ascii_lowercase();
        if !["md5", "sha1", "sha224", "sha256", "sha384", "sha512"].contains(&algorithm.as_str()) {
            return Err(format!("the checksum algorithm '{algorithm}' is not supported"));
        }
        let sum = sum.trim();
        if !is_remote(sum) && !sum.chars().filter(|c| c.is_alphanumeric()).all(|c| c.is_ascii_hexdigit()) {
            return Err("The checksum format is invalid".to_owned());
        }
        Ok((algorithm, sum.to_owned()))
    }

    /// Algorithm and sum, the sum fetched where a URL stands for it.
    fn wanted_sum(&self, host: &Host) -> Result<(String, String), Failure> {
        let (algorithm, sum) = self.sum().map_err(Failure::new)?;
        let sum = if is_remote(&sum) {
            let list = match sum.strip_prefix("file://") {
                Some(path) => host.read(Path::new(path))?,
                None => self.client(host)?.text(host, &sum)?,
            };
            let name = name_in(&self.url);
            sum_for(&String::from_utf8_lossy(&list), &name)
                .ok_or_else(|| Failure::new(format!("Unable to find a checksum for file '{name}' in '{sum}'")))?
        } else {
            sum
        };
        Ok((algorithm, sum.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_ascii_lowercase()))
    }
}

fn is_remote(sum: &str) -> bool {
    ["http://", "https://", "file://"].iter().any(|scheme| sum.starts_with(scheme))
}

/// The sum of a file in a list such as sha256sum(1) writes; a list of one bare sum is that of any file.
fn sum_for(list: &str, name: &str) -> Option<String> {
    let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    if let [words] = lines.as_slice()
        && let [sum] = words.as_slice()
    {
        return Some((*sum).to_owned());
    }
    lines.iter().find_map(|words| match words.as_slice() {
        // `SHA256 (name) = sum`, as BSD writes it.
        [_, file, "=", sum] if file.trim_start_matches('(').trim_end_matches(')') == name => Some((*sum).to_owned()),
        [sum, file] if file.trim_start_matches('*').trim_start_matches("./") == name => Some((*sum).to_owned()),
        _ => None,
    })
}

/// The file name that a URL ends with.
fn name_in(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let path = path.split_once("://").map_or("", |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
    match path.rsplit('/').next().map(http::percent_decoded).unwrap_or_default().as_str() {
        "" | "." | ".." => "index.html".to_owned(),
        name => name.rsplit('/').next().unwrap_or("index.html").to_owned(),
    }
}

/// The file name in `Content-Disposition`; only a name, never a path.
fn offered_name(answer: &Answer) -> Option<String> {
    let header = answer.headers().get("content-disposition")?.to_str().ok()?;
    let value = header.split(';').map(str::trim).find_map(|part| part.strip_prefix("filename="))?;
    let name = value.trim_matches('"').rsplit(['/', '\\']).next().unwrap_or_default();
    (!matches!(name, "" | "." | "..")).then(|| name.to_owned())
}

#[cfg(test)]
#[path = "get_url_tests.rs"]
mod tests;
