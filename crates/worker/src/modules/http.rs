//! Fetching by HTTP, for the modules that download and for the controller's own lookups.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use ureq::tls::{Certificate, ClientCert, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::host::Host;
use crate::module::{Context, Failure};

/// Which redirections are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// All of them; what was sent is sent again only where the server asks for that.
    All,
    /// Those of requests that change nothing.
    Safe,
    /// Those of requests that change nothing, and of POST where it becomes GET.
    Plain,
    /// None of them.
    None,
}

/// How to fetch.
#[derive(Debug, Clone)]
pub struct Client {
    /// The method, in capitals.
    pub method: String,
    /// What is sent.
    pub body: Option<Vec<u8>>,
    /// Which redirections are followed.
    pub follow: Follow,
    /// A bundle of certificates that are trusted instead of the host's.
    pub ca_path: Option<PathBuf>,
    /// Whether the server must prove who it is.
    pub validate_certs: bool,
    /// How long to wait for a connection, for the answer to begin and for each piece of it.
    pub timeout: Duration,
    /// Whether the proxies that the environment names are used.
    pub use_proxy: bool,
    /// Whether credentials are looked for in `~/.netrc`.
    pub use_netrc: bool,
    /// What the client calls itself.
    pub agent: String,
    /// User and password for basic authentication.
    pub credentials: Option<(String, String)>,
    /// Whether credentials are sent before they are asked for.
    pub force_basic_auth: bool,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Names of headers that do not follow a redirection.
    pub unredirected: Vec<String>,
    /// A file with the certificate that proves who the client is, and maybe its key.
    pub client_cert: Option<PathBuf>,
    /// A file with the certificate's key.
    pub client_key: Option<PathBuf>,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            method: "GET".to_owned(),
            body: None,
            follow: Follow::All,
            ca_path: None,
            validate_certs: true,
            timeout: Duration::from_secs(10),
            use_proxy: true,
            use_netrc: true,
            agent: "ansible-httpget".to_owned(),
            credentials: None,
            force_basic_auth: false,
            headers: Vec::new(),
            unredirected: Vec::new(),
            client_cert: None,
            client_key: None,
        }
    }
}

/// An answer; its status may be one of failure.
pub type Answer = ureq::http::Response<ureq::Body>;

/// Redirections that are followed before it is called a loop.
const REDIRECTS: usize = 10;

/// What a certificate bundle may be called; the first that is there is used.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

impl Client {
    /// The content at a URL, which must be there.
    pub(super) fn text(&self, host: &Host, url: &str) -> Result<Vec<u8>, Failure> {
        let mut answer = self.get(host, url)?;
        let status = answer.status();
        if !status.is_success() {
            return Err(Failure::new(format!("cannot fetch {url}: {}", reason(&answer)))
                .with("response", reason(&answer))
                .with("status_code", status.as_u16())
                .with("url", url));
        }
        answer.body_mut().read_to_vec().context(|| format!("cannot fetch {url}"))
    }

    /// Asks for a URL, following redirections and answering a request for credentials.
    pub fn get(&self, host: &Host, url: &str) -> Result<Answer, Failure> {
        let (mut url, from_url) = without_credentials(url);
        let first = url.clone();
        let credentials = self.credentials.clone().or(from_url);
        let netrc = match &credentials {
            None if self.use_netrc => netrc(host, host_of(&url))?,
            _ => None,
        };
        let mut authorized = self.force_basic_auth || netrc.is_some();
        let credentials = credentials.or(netrc);
        let (mut method, mut body) = (self.method.clone(), self.body.as_deref());
        for _ in 0..REDIRECTS {
            let here = origin(&url) == origin(&first);
            let agent = self.agent_for(host, &url)?;
            let mut request = ureq::http::Request::builder().method(method.as_str()).uri(&url);
            for (name, value) in &self.headers {
                let kept = url == first || !self.unredirected.iter().any(|n| n.eq_ignore_ascii_case(name));
                // What tells of a body goes with it.
                let kept =
                    kept && (body.is_some() == self.body.is_some() || !name.eq_ignore_ascii_case("content-type"));
                // What proves who is asking is for the server that it was given for.
                if kept && (here || !name.eq_ignore_ascii_case("authorization")) {
                    request = request.header(name, value);
                }
            }
            if let Some((user, password)) = credentials.as_ref().filter(|_| authorized && here) {
                let token = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
                request = request.header("Authorization", format!("Basic {token}"));
            }
            let sent = match body {
                Some(body) => request.body(body).map_err(ureq::Error::Http).and_then(|request| agent.run(request)),
                None => request.body(()).map_err(ureq::Error::Http).and_then(|request| agent.run(request)),
            };
            let answer = sent.map_err(|e| Failure::new(format!("Request failed: {e}")).with("url", first.as_str()))?;
            let status = answer.status().as_u16();
            if status == 401 && credentials.is_some() && !authorized && here {
                authorized = true;
                continue;
            }
            let location = answer.headers().get("location").and_then(|l| l.to_str().ok());
            match location {
                Some(location) if self.follows(status, &method) => {
                    url = joined(&url, location)?;
                    if !matches!(status, 307 | 308) && !matches!(method.as_str(), "GET" | "HEAD") {
                        (method, body) = ("GET".to_owned(), None);
                    }
                }
                _ => return Ok(answer),
            }
        }
        Err(Failure::new(format!("Request failed: more than {REDIRECTS} redirections")).with("url", first))
    }

    fn follows(&self, status: u16, method: &str) -> bool {
        let safe = matches!(method, "GET" | "HEAD");
        let redirected = matches!(status, 301 | 302 | 303 | 307 | 308);
        redirected
            && match self.follow {
                Follow::All => true,
                Follow::Safe => safe,
                Follow::Plain => safe || (method == "POST" && !matches!(status, 307 | 308)),
                Follow::None => false,
            }
    }

    fn agent_for(&self, host: &Host, url: &str) -> Result<ureq::Agent, Failure> {
        let mut tls = TlsConfig::builder().disable_verification(!self.validate_certs);
        if url.starts_with("https://") {
            if let Some(roots) = roots(host, self.ca_path.as_deref())? {
                tls = tls.root_certs(RootCerts::new_with_certs(&roots));
            }
            tls = tls.client_cert(self.client_certificate(host)?);
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(self.timeout))
            .timeout_recv_response(Some(self.timeout))
            .timeout_per_read(Some(self.timeout))
            .user_agent(&self.agent)
            // Only what the task asks for; the library would accept everything by name.
            .accept("")
            .proxy(if self.use_proxy { proxy(host, url)? } else { None })
            .tls_config(tls.build())
            .build();
        Ok(ureq::Agent::new_with_config(config))
    }

    fn client_certificate(&self, host: &Host) -> Result<Option<ClientCert>, Failure> {
        let Some(path) = &self.client_cert else { return Ok(None) };
        let mut chain = Vec::new();
        let mut key = None;
        for path in [Some(path), self.client_key.as_ref()].into_iter().flatten() {
            for item in parse_pem(&host.read(path)?) {
                match item.context(|| format!("cannot read {}", path.display()))? {
                    PemItem::Certificate(certificate) => chain.push(certificate),
                    PemItem::PrivateKey(private) => key = Some(private),
                    _ => {}
                }
            }
        }
        match key {
            Some(key) if !chain.is_empty() => Ok(Some(ClientCert::new_with_certs(&chain, key))),
            _ => Err(Failure::new(format!("{} holds no certificate with its key", path.display()))),
        }
    }
}

/// The certificates that the host trusts; `None` where it keeps none, and those that came with rplay are used.
fn roots(host: &Host, given: Option<&Path>) -> Result<Option<Vec<Certificate<'static>>>, Failure> {
    let own = host.env("SSL_CERT_FILE");
    // One that the task names must be there.
    let given_pem = given.map(|path| host.read(path)).transpose()?;
    for path in given.into_iter().chain(own.as_deref().map(Path::new)).chain(BUNDLES.map(Path::new)) {
        let pem = if given.is_some() { given_pem.clone() } else { host.read_if_exists(path)? };
        if let Some(pem) = pem {
            let items = parse_pem(&pem).filter_map(Result::ok);
            let certificates: Vec<_> =
                items.filter_map(|item| if let PemItem::Certificate(c) = item { Some(c) } else { None }).collect();
            return Ok(Some(certificates));
        }
    }
    Ok(None)
}

/// The proxy that the task's environment names for a URL.
fn proxy(host: &Host, url: &str) -> Result<Option<ureq::Proxy>, Failure> {
    let scheme = url.split("://").next().unwrap_or_default();
    let name = format!("{scheme}_proxy");
    // HTTP_PROXY in capitals may come from a request's header where a web server starts us, and is not read.
    let value = host.env(&name).or_else(|| host.env("HTTPS_PROXY").filter(|_| scheme == "https"));
    let Some(value) = value.filter(|v| !v.is_empty()) else { return Ok(None) };
    let target = host_of(url);
    let exempt = host.env("no_proxy").or_else(|| host.env("NO_PROXY")).unwrap_or_default();
    let is_exempt = exempt.split(',').map(str::trim).filter(|e| !e.is_empty()).any(|entry| {
        let entry = entry.trim_start_matches("*.").trim_start_matches('.');
        entry == "*" || target == entry || target.ends_with(&format!(".{entry}"))
    });
    if is_exempt {
        return Ok(None);
    }
    ureq::Proxy::new(&value).map(Some).context(|| format!("cannot use the proxy that {name} names"))
}

/// A URL without `user:password@`, and those.
pub(super) fn without_credentials(url: &str) -> (String, Option<(String, String)>) {
    let Some((scheme, rest)) = url.split_once("://") else { return (url.to_owned(), None) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((user, target)) => {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            let credentials = (percent_decoded(user), percent_decoded(password));
            (format!("{scheme}://{target}{}", &rest[end..]), Some(credentials))
        }
        None => (url.to_owned(), None),
    }
}

/// Text with `%41` as `A`.
pub(super) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'%').then(|| after.get(..2)).flatten().and_then(|h| std::str::from_utf8(h).ok());
        match code.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Scheme, host and port.
fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    &url[..end]
}

fn host_of(url: &str) -> &str {
    let authority = origin(url).split("://").nth(1).unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// Where a redirection leads from `base`; only to where HTTP leads.
pub(super) fn joined(base: &str, location: &str) -> Result<String, Failure> {
    let target = if location.starts_with("http://") || location.starts_with("https://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{}://{rest}", base.split("://").next().unwrap_or("http"))
    } else if location.starts_with('/') {
        format!("{}{location}", origin(base))
    } else if location.contains("://") {
        return Err(Failure::new(format!("Request failed: a redirection to {location} is not followed")));
    } else {
        let path = base.split(['?', '#']).next().unwrap_or(base);
        let directory = path.rfind('/').filter(|at| *at >= origin(base).len()).map_or(path, |at| &path[..at]);
        format!("{directory}/{location}")
    };
    Ok(target)
}

/// User and password that `~/.netrc` has for a machine.
fn netrc(host: &Host, machine: &str) -> Result<Option<(String, String)>, Failure> {
    let path = match host.env("NETRC") {
        Some(path) => PathBuf::from(path),
        None => host.expand_path("~/.netrc")?,
    };
    let Some(text) = host.text(&path) else { return Ok(None) };
    let mut words = text.split_whitespace();
    let (mut here, mut user, mut password) = (false, None, None);
    while let Some(word) = words.next() {
        match word {
            "machine" | "default" => {
                if here && user.is_some() {
                    break;
                }
                here = word == "default" || words.next() == Some(machine);
            }
            "login" => user = words.next().filter(|_| here).or(user),
            "password" => password = words.next().filter(|_| here).or(password),
            _ => {}
        }
    }
    Ok(user.map(|user| (user.to_owned(), password.unwrap_or_default().to_owned())))
}

/// A status with its meaning, as in `404 Not Found`.
#[must_use]
pub fn reason(answer: &Answer) -> String {
    let status = answer.status();
    format!("HTTP Error {}: {}", status.as_u16(), status.canonical_reason().unwrap_or("unknown"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;

    /// A server on loopback for as many requests as `answers` has; gives its address and the requests it saw.
    pub(in crate::modules) fn serve(answers: Vec<String>) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            answers
                .into_iter()
                .map(|answer| {
                    let (stream, _) = listener.accept().unwrap();
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let mut request = String::new();
                    while reader.read_line(&mut request).unwrap() > 2 {}
                    (&stream).write_all(answer.as_bytes()).unwrap();
                    request
                })
                .collect()
        });
        (address, thread)
    }

    pub(in crate::modules) fn answer(status: &str, headers: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
    }

    #[test]
    fn credentials_are_sent_when_asked_for_and_do_not_travel() {
        let (other, seen_there) = serve(vec![answer("200 OK", "", "there")]);
        let ask = answer("401 Unauthorized", "WWW-Authenticate: Basic\r\n", "");
        let go = answer("302 Found", &format!("Location: {other}/x\r\n"), "");
        let (address, seen) = serve(vec![ask, go]);
        let client =
            Client { credentials: Some(("me".into(), "secret".into())), use_proxy: false, ..Client::default() };
        assert_eq!(client.text(&Host::new(), &format!("{address}/a")).unwrap(), b"there");
        let seen = seen.join().unwrap();
        assert!(!seen[0].to_lowercase().contains("authorization") && seen[1].contains("Basic bWU6c2VjcmV0"));
        assert!(!seen_there.join().unwrap()[0].to_lowercase().contains("authorization"));
    }

    #[test]
    fn urls_are_taken_apart() {
        let (url, credentials) = without_credentials("http://me:p%40ss@host:1/a@b");
        assert_eq!((url.as_str(), credentials), ("http://host:1/a@b", Some(("me".into(), "p@ss".into()))));
        assert_eq!((origin("https://h:1/x?y"), host_of("https://[::1]:80/")), ("https://h:1", "::1"));
        assert_eq!(joined("http://h/a/b?q", "c").unwrap(), "http://h/a/c");
        assert_eq!(joined("http://h", "c").unwrap(), "http://h/c");
        assert_eq!(joined("https://h/a", "//i/c").unwrap(), "https://i/c");
        assert!(joined("http://h/a", "file:///etc/shadow").is_err());
    }

    #[test]
    fn netrc_and_proxies_come_from_the_host() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::at(dir.path()).with_environment(vec![
            ("NETRC".into(), "/netrc".into()),
            ("http_proxy".into(), "http://127.0.0.1:3128".into()),
            ("no_proxy".into(), "localhost,.example".into()),
        ]);
        let text = "machine a login u password p\nmachine b login v password q\n";
        host.write_file(Path::new("/netrc"), &text.as_bytes().to_vec().into(), &Default::default()).unwrap();
        assert_eq!(netrc(&host, "b").unwrap(), Some(("v".into(), "q".into())));
        assert_eq!(netrc(&host, "c").unwrap(), None);
        assert!(proxy(&host, "http://x.example/").unwrap().is_none());
        assert!(proxy(&host, "http://x.org/").unwrap().is_some());
    }
}
