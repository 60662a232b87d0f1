//! `ansible.builtin.uri`: asks a web service.

use std::time::{Duration, Instant};

use rplay_protocol::Object;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::files::{self, text};
use super::http::{self, Answer, Client, Follow};
use crate::args::{PathArg, file_arguments, yes};
use crate::host::{Content, Host, WriteOptions};
use crate::module::{CheckMode, Context, Failure, Module, Outcome};

file_arguments! {
    /// Sends a request by HTTP and tells of the answer.
    #[derive(Debug, Deserialize, JsonSchema)]
    pub struct Uri {
        /// Where to.
        url: String,
        /// The method.
        #[serde(default = "get")]
        method: String,
        /// What is sent: text, or what `body_format` makes into text.
        #[serde(default)]
        body: Option<Value>,
        /// How the body is written.
        #[serde(default)]
        body_format: Format,
        /// A file that is sent instead of `body`.
        #[serde(default)]
        src: Option<PathArg>,
        /// Whether `src` is on the host.
        #[serde(default)]
        #[allow(dead_code)]
        remote_src: bool,
        /// Further headers.
        #[serde(default)]
        headers: Object,
        /// Names of headers that do not follow a redirection.
        #[serde(default)]
        unredirected_headers: Vec<String>,
        /// The statuses that are a success.
        #[serde(default = "ok")]
        status_code: Vec<i64>,
        /// Whether the answer's text is returned.
        #[serde(default)]
        return_content: bool,
        /// A file or directory that the answer is written to.
        #[serde(default)]
        dest: Option<PathArg>,
        /// A path (or glob); when it exists, nothing is sent.
        #[serde(default)]
        creates: Option<PathArg>,
        /// A path (or glob); when it does not exist, nothing is sent.
        #[serde(default)]
        removes: Option<PathArg>,
        /// Which redirections are followed.
        #[serde(default = "safe")]
        follow_redirects: String,
        /// Who is asking.
        #[serde(default, alias = "user")]
        url_username: Option<String>,
        /// The password.
        #[serde(default, alias = "password")]
        url_password: Option<String>,
        /// Whether credentials are sent before they are asked for.
        #[serde(default)]
        force_basic_auth: bool,
        /// Seconds to wait for the server.
        #[serde(default = "thirty")]
        timeout: u64,
        /// Whether the server's certificate is verified.
        #[serde(default = "yes")]
        validate_certs: bool,
        /// A bundle of certificates that are trusted instead of the host's.
        #[serde(default)]
        ca_path: Option<PathArg>,
        /// A certificate to show to the server.
        #[serde(default)]
        client_cert: Option<PathArg>,
        /// The certificate's key.
        #[serde(default)]
        client_key: Option<PathArg>,
        /// Whether the proxy of the environment is used.
        #[serde(default = "yes")]
        use_proxy: bool,
        /// Whether credentials are looked for in `~/.netrc`.
        #[serde(default = "yes")]
        use_netrc: bool,
        /// What to call oneself.
        #[serde(default = "agent")]
        http_agent: String,
        /// Whether caches on the way are told to stand back.
        #[serde(default)]
        force: bool,
        /// Whether a compressed answer is taken apart; only that is supported.
        #[serde(default = "yes")]
        decompress: bool,
        /// Refused: a socket to ask through.
        #[serde(default)]
        unix_socket: Option<String>,
        /// Refused: ciphers to allow.
        #[serde(default)]
        ciphers: Vec<String>,
        /// Refused: authentication by Kerberos.
        #[serde(default)]
        use_gssapi: bool,
    }
}

/// How a body is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Format {
    FormUrlencoded,
    Json,
    #[default]
    Raw,
    FormMultipart,
}

fn get() -> String {
    "GET".to_owned()
}

fn ok() -> Vec<i64> {
    vec![200]
}

fn safe() -> String {
    "safe".to_owned()
}

fn agent() -> String {
    "ansible-httpget".to_owned()
}

fn thirty() -> u64 {
    30
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(value) => if *value { "True" } else { "False" }.to_owned(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Text as it stands in a form.
fn form_encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

/// JSON as Python writes it, with a space after commas and colons.
fn spaced_json(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(spaced_json).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{}: {}", json!(key), spaced_json(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

impl Module for Uri {
    const NAME: &'static str = "ansible.builtin.uri";
    const CHECK_MODE: CheckMode = CheckMode::Skipped;

    fn check(&self) -> Result<(), String> {
        let refused = [
            ("unix_socket", self.unix_socket.is_some()),
            ("ciphers", !self.ciphers.is_empty()),
            ("use_gssapi", self.use_gssapi),
            ("decompress: false", !self.decompress),
            ("body_format: form-multipart", self.body_format == Format::FormMultipart),
        ];
        if let Some((name, _)) = refused.iter().find(|(_, given)| *given) {
            return Err(format!("{name} is not supported"));
        }
        if self.body.is_some() && self.src.is_some() {
            return Err("parameters are mutually exclusive: body|src".into());
        }
        if self.method.is_empty() || !self.method.chars().all(|c| c.is_ascii_alphabetic()) {
            return Err("Parameter 'method' needs to be a single word in uppercase, like GET or POST.".into());
        }
        self.follow().map(drop)
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        for (path, wanted, why) in [(&self.creates, true, "exists"), (&self.removes, false, "does not exist")] {
            let Some(arg) = path else { continue };
            let path = host.path(arg)?;
            if host.glob(&path)?.is_empty() != wanted {
                return Ok(Outcome::unchanged().with("stdout", format!("skipped, since '{}' {why}", path.display())));
            }
        }
        if !self.url.contains("://") {
            let msg = format!("unknown url type: '{}'", self.url);
            return Err(Failure::new(msg).with("status", -1).with("url", self.url));
        }
        let client = self.client(host)?;
        let began = Instant::now();
        let answer = client.get(host, &self.url);
        let elapsed = began.elapsed().as_secs();
        match answer {
            Ok(answer) => self.tell(host, answer, elapsed),
            Err(failure) => {
                let msg = format!("Status code was -1 and not {}: {}", shown(&self.status_code), failure.msg);
                let failure = Failure::new(msg).with("status", -1).with("url", self.url);
                Err(failure.with("elapsed", elapsed).with("redirected", false))
            }
        }
    }
}

impl Uri {
    fn follow(&self) -> Result<Follow, String> {
        match self.follow_redirects.as_str() {
            "all" | "yes" | "true" | "True" => Ok(Follow::All),
            "none" | "no" | "false" | "False" => Ok(Follow::None),
            "safe" => Ok(Follow::Safe),
            "urllib2" => Ok(Follow::Plain),
            other => {
                let choices = "all, no, none, safe, urllib2, yes";
                Err(format!("value of follow_redirects must be one of: {choices}, got: {other}"))
            }
        }
    }

    /// The body, and the type that it has where the task does not say another.
    fn sent(&self, host: &Host) -> Result<Option<(Vec<u8>, &'static str)>, Failure> {
        let form = "application/x-www-form-urlencoded";
        if let Some(src) = &self.src {
            let content = match host.content() {
                Some(content) => content.read().context(|| "cannot read src".to_owned())?,
                None => host.read(&host.path(src)?)?,
            };
            return Ok(Some((content, form)));
        }
        let Some(body) = self.body.as_ref().filter(|body| !body.is_null()) else { return Ok(None) };
        let (body, kind) = match (self.body_format, body) {
            (Format::Json, Value::String(text)) => (text.clone(), "application/json"),
            (Format::Json, other) => (spaced_json(other), "application/json"),
            (Format::FormUrlencoded, Value::Object(map)) => {
                let values = |value: &Value| match value {
                    Value::Array(items) => items.iter().map(plain).collect(),
                    one => vec![plain(one)],
                };
                let pairs =
                    map.iter().flat_map(|(key, value)| values(value).into_iter().map(move |v| (key.clone(), v)));
                (joined(pairs), form)
            }
            (Format::FormUrlencoded, Value::Array(items)) => {
                let pair = |item: &Value| match item.as_array().map(Vec::as_slice) {
                    Some([key, value]) => Ok((plain(key), plain(value))),
                    _ => Err(Failure::new("a form's body must be a dictionary or a list of pairs")),
                };
                (joined(items.iter().map(pair).collect::<Result<Vec<_>, _>>()?.into_iter()), form)
            }
            (_, other) => (plain(other), form),
        };
        Ok(Some((body.into_bytes(), kind)))
    }

    fn client(&self, host: &Host) -> Result<Client, Failure> {
        let mut headers: Vec<(String, String)> =
            self.headers.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
        let sent = self.sent(host)?;
        if let Some((_, kind)) = &sent
            && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        {
            headers.push(("Content-Type".into(), (*kind).to_owned()));
        }
        if self.force {
            headers.push(("Cache-Control".into(), "no-cache".into()));
        }
        let path = |arg: &Option<PathArg>| arg.as_ref().map(|arg| host.path(arg)).transpose();
        let password = self.url_password.clone().unwrap_or_default();
        Ok(Client {
            method: self.method.to_uppercase(),
            body: sent.map(|(body, _)| body),
            follow: self.follow().map_err(Failure::new)?,
            ca_path: path(&self.ca_path)?,
            validate_certs: self.validate_certs,
            timeout: Duration::from_secs(self.timeout),
            use_proxy: self.use_proxy,
            use_netrc: self.use_netrc,
            agent: self.http_agent.clone(),
            credentials: self.url_username.clone().map(|user| (user, password)),
            force_basic_auth: self.force_basic_auth,
            headers,
            unredirected: self.unredirected_headers.clone(),
            client_cert: path(&self.client_cert)?,
            client_key: path(&self.client_key)?,
        })
    }

    /// Tells of an answer.
    fn tell(&self, host: &Host, mut answer: Answer, elapsed: u64) -> Result<Outcome, Failure> {
        let status = i64::from(answer.status().as_u16());
        let expected = self.status_code.contains(&status);
        let url = ureq::ResponseExt::get_uri(&answer).to_string();
        let mut fields = headers(&answer);
        let length = fields.get("content_length").and_then(Value::as_str).unwrap_or("unknown").to_owned();
        let fine = answer.status().as_u16() < 300;
        let said = if fine { format!("OK ({length} bytes)") } else { http::reason(&answer) };
        if fine {
            cookies(&answer, &mut fields);
        }
        fields.insert("status".into(), status.into());
        fields.insert("elapsed".into(), elapsed.into());
        let asked = http::without_credentials(&self.url).0;
        if let Some(place) = fields.get("location").and_then(Value::as_str)
            && let Ok(place) = http::joined(&asked, place)
        {
            fields.insert("location".into(), place.into());
        }
        let bare = |url: &str| url.split('#').next().unwrap_or_default().trim_end_matches('/').to_owned();
        // Credentials in the URL are taken out of it, which counts as another address.
        let redirected = bare(&url) != bare(&self.url);
        let url = if redirected { url } else { asked };
        fields.insert("redirected".into(), redirected.into());
        fields.insert("url".into(), url.into());
        let body = answer.body_mut().with_config().limit(u64::MAX).read_to_vec();
        let body = body.context(|| format!("cannot read the answer of {}", self.url))?;
        let text = String::from_utf8_lossy(&body).into_owned();
        let kind = fields.get("content_type").and_then(Value::as_str).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if kind == "application/json" || kind.ends_with("+json") {
            let parsed = serde_json::from_str::<Value>(&text).ok();
            fields.extend(parsed.map(|parsed| ("json".to_owned(), parsed)));
        }
        let mut outcome = Outcome::unchanged();
        if let Some(dest) = self.dest.as_ref().filter(|_| expected) {
            self.keep(host, dest, body, &mut outcome)?;
        }
        if self.return_content {
            fields.insert("content".into(), text.into());
        } else if expected && status >= 300 {
            fields.insert("body".into(), text.into());
        }
        outcome.fields.extend(fields);
        if expected {
            return Ok(outcome.with("msg", said));
        }
        let msg = format!("Status code was {status} and not {}: {said}", shown(&self.status_code));
        Err(Failure { msg, fields: outcome.fields })
    }

    /// Writes the answer to its file.
    fn keep(&self, host: &Host, dest: &PathArg, body: Vec<u8>, outcome: &mut Outcome) -> Result<(), Failure> {
        let mut path = host.path(dest)?;
        if host.stat(&path)?.is_some_and(|meta| meta.is_dir()) {
            let place = self.url.split(['?', '#']).next().unwrap_or_default();
            let place = place.split_once("://").map_or(place, |(_, rest)| rest);
            let name = place.split_once('/').and_then(|(_, path)| path.rsplit('/').next()).unwrap_or_default();
            // A server never says where its answer goes.
            path.push(if matches!(name, "" | "." | "..") { "index.html" } else { name });
        }
        let attributes = self.file_attributes();
        let mode_if_new = Some(host.mode_of_new(attributes.mode.as_ref(), false)?);
        let options = WriteOptions { unsafe_writes: self.unsafe_writes, mode_if_new, ..WriteOptions::default() };
        outcome.changed = host.write_file(&path, &Content::from(body), &options)?.changed;
        files::settle(host, &path, &attributes, true, outcome)?;
        files::describe(host, &path, outcome)?;
        outcome.set("path", text(&path));
        Ok(())
    }
}

fn joined(pairs: impl Iterator<Item = (String, String)>) -> String {
    let pairs = pairs.map(|(key, value)| format!("{}={}", form_encoded(&key), form_encoded(&value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn shown(statuses: &[i64]) -> String {
    format!("[{}]", statuses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

/// The headers of an answer by the names that they have as variables.
fn headers(answer: &Answer) -> Object {
    let mut fields = Object::new();
    for (name, value) in answer.headers() {
        let name = name.as_str().to_lowercase().replace('-', "_");
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let value = match fields.get(&name).and_then(Value::as_str) {
            Some(first) => format!("{first}, {value}"),
            None => value,
        };
        fields.insert(name, value.into());
    }
    fields
}

fn cookies(answer: &Answer, fields: &mut Object) {
    let mut cookies = Object::new();
    for value in answer.headers().get_all("set-cookie") {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        if let Some((name, value)) = text.split(';').next().and_then(|pair| pair.split_once('=')) {
            cookies.insert(name.trim().to_owned(), value.trim().into());
        }
    }
    let pairs: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
    fields.insert("cookies_string".into(), pairs.join("; ").into());
    fields.insert("cookies".into(), Value::Object(cookies));
}

#[cfg(test)]
mod tests;
