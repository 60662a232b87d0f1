//! The lookup `url`: what is at an address, fetched by the controller, or in a file of its.

use std::time::Duration;

use minijinja::Error;
use rplay_worker::host::Host;
use rplay_worker::modules::http::{Client, Follow, reason};

use super::Lookup;
use crate::template::call::{fail, to_float};
use crate::template::{TemplateError, python};
use crate::value::Value;

/// Options that are told apart from nothing only to say that they are not there.
const REFUSED: &[&str] = &["ca_path", "ciphers", "unix_socket", "use_gssapi"];

pub(super) fn run(lookup: &Lookup<'_>) -> Result<Vec<Value>, Error> {
    for name in REFUSED {
        if setting(lookup, name, name)?.is_some_and(|value| crate::template::truthy(&value)) {
            return Err(fail(format!("`{name}` is not supported")));
        }
    }
    let client = client(lookup)?;
    let split = flag(lookup, "split_lines", true)?;
    let mut out = Vec::new();
    for term in &lookup.terms {
        let text = fetch(&client, &python::text(term))?;
        if split {
            out.extend(text.lines().map(Value::from));
        } else {
            out.push(Value::from(text));
        }
    }
    Ok(out)
}

/// An option, or what a variable or the environment says in its place.
fn setting(lookup: &Lookup<'_>, option: &str, short: &str) -> Result<Option<Value>, Error> {
    if let Some(value) = lookup.option(option) {
        return Ok(Some(value.clone()));
    }
    let name = format!("ansible_lookup_url_{short}");
    let variable = lookup.templar.variable(&name).map_err(TemplateError::into_engine)?;
    Ok(variable.filter(|v| !v.is_null()).or_else(|| std::env::var(name.to_uppercase()).ok().map(Value::from)))
}

fn flag(lookup: &Lookup<'_>, option: &str, default: bool) -> Result<bool, Error> {
    let Some(value) = setting(lookup, option, option)? else { return Ok(default) };
    value.to_bool().ok_or_else(|| fail(format!("`{option}` must be yes or no, not {}", python::repr(&value))))
}

fn client(lookup: &Lookup<'_>) -> Result<Client, Error> {
    let mut client = Client {
        validate_certs: flag(lookup, "validate_certs", true)?,
        use_proxy: flag(lookup, "use_proxy", true)?,
        use_netrc: flag(lookup, "use_netrc", true)?,
        force_basic_auth: flag(lookup, "force_basic_auth", false)?,
        ..Client::default()
    };
    if let Some(seconds) = setting(lookup, "timeout", "timeout")? {
        let wrong = || fail(format!("`timeout` must be a number of seconds, not {}", python::repr(&seconds)));
        let seconds = to_float(&seconds).map_err(|_| wrong())?;
        client.timeout = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    }
    if let Some(agent) = setting(lookup, "http_agent", "agent")? {
        client.agent = python::text(&agent);
    }
    client.follow = match setting(lookup, "follow_redirects", "follow_redirects")? {
        None => Follow::All,
        Some(value) => match python::text(&value).to_lowercase().as_str() {
            // What is asked is always a `GET`, which every redirection but none is safe for.
            "all" | "yes" | "true" | "safe" | "urllib2" => Follow::All,
            "none" | "no" | "false" => Follow::None,
            other => return Err(fail(format!("`follow_redirects` is all, safe, urllib2 or none, not '{other}'"))),
        },
    };
    if let Some(headers) = lookup.option("headers") {
        let headers = headers.as_map().ok_or_else(|| fail("`headers` must be a dictionary"))?;
        client.headers = headers.iter().map(|(name, value)| (name.to_string(), python::text(value))).collect();
    }
    if flag(lookup, "force", false)? {
        client.headers.push(("cache-control".to_owned(), "no-cache".to_owned()));
    }
    client.unredirected = match setting(lookup, "unredirected_headers", "unredir_headers")? {
        Some(Value::List(names)) => names.iter().map(python::text).collect(),
        Some(names) => python::text(&names).split(',').map(|name| name.trim().to_owned()).collect(),
        None => Vec::new(),
    };
    if let Some(user) = lookup.text("username") {
        client.credentials = Some((user, lookup.text("password").unwrap_or_default()));
    }
    Ok(client)
}

fn fetch(client: &Client, url: &str) -> Result<String, Error> {
    if let Some(path) = url.strip_prefix("file://") {
        let bytes = std::fs::read(path).map_err(|e| {
            let (why, path) = (python::os_error(&e), python::quoted(path));
            fail(format!("Failed lookup url for {url}: <urlopen error {why}: {path}>"))
        })?;
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(fail(format!("'{url}' is no address of http or https")));
    }
    // What is shown of the address has no password in it.
    let shown = match url.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or_default())
        }
        None => url.to_owned(),
    };
    let failed = |why: &str| fail(format!("Failed lookup url for {shown}: {why}"));
    let mut answer = client.get(&Host::new(), url).map_err(|e| failed(&e.msg))?;
    if !answer.status().is_success() {
        return Err(fail(format!("Received HTTP error for {shown}: {}", reason(&answer))));
    }
    let bytes = answer.body_mut().read_to_vec().map_err(|e| failed(&e.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod unit {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::Arc;

    use crate::template::{Fixed, Templar};
    use crate::value::{Map, Str};

    /// A server on loopback that answers with what it was asked, or with a status.
    fn serve(requests: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for _ in 0..requests {
                let (stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut request = String::new();
                while reader.read_line(&mut request).unwrap() > 2 {}
                let path = request.split(' ').nth(1).unwrap_or_default();
                let (status, body) = match path {
                    "/lines" => ("200 OK", "one\r\ntwo\n\nthree\n".to_owned()),
                    "/away" => ("302 Found\r\nLocation: /lines", String::new()),
                    "/nope" => ("404 Not Found", String::new()),
                    _ => ("200 OK", request.to_lowercase()),
                };
                let length = body.len();
                write!(&stream, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
                    .unwrap();
            }
        });
        address
    }

    fn look(arguments: &str) -> Result<serde_json::Value, String> {
        let proxies = "use_proxy=false, use_netrc=false";
        let templar = Templar::new(Arc::new(Fixed { map: Map::new(), search: Vec::new() }));
        let text = Str::trusted(format!("{{{{ query('url', {arguments}, {proxies}) }}}}"), None);
        templar.string(&text).map(|value| value.to_json()).map_err(|e| e.message)
    }

    #[test]
    fn fetches_lines_and_texts() {
        let at = serve(4);
        let lines = serde_json::json!(["one", "two", "", "three"]);
        assert_eq!(look(&format!("'{at}/lines'")).unwrap(), lines);
        assert_eq!(look(&format!("'{at}/lines', split_lines=false")).unwrap()[0], "one\r\ntwo\n\nthree\n");
        assert_eq!(look(&format!("'{at}/away'")).unwrap(), lines);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a\nb\n").unwrap();
        assert_eq!(look(&format!("'file://{}'", file.path().display())).unwrap(), serde_json::json!(["a", "b"]));
    }

    #[test]
    fn asks_with_headers_and_credentials() {
        let at = serve(1);
        let options =
            "headers={'X-A': 'b'}, http_agent='me', force=true, username='u', password='p', force_basic_auth=true";
        let asked = look(&format!("'{at}/', {options}")).unwrap().to_string();
        for header in ["x-a: b", "user-agent: me", "cache-control: no-cache", "authorization: basic dtpw"] {
            assert!(asked.contains(header), "{header}: {asked}");
        }
    }

    #[test]
    fn says_what_went_wrong() {
        let at = serve(2);
        let with_password = at.replace("://", "://me:secret@");
        let error = look(&format!("'{with_password}/nope'")).unwrap_err();
        assert!(error.contains("HTTP Error 404: Not Found") && !error.contains("secret"), "{error}");
        assert!(look(&format!("'{at}/away', follow_redirects='none'")).unwrap_err().contains("HTTP Error 302: Found"));
        for (arguments, why) in [
            ("'http://127.0.0.1:1/'", "Failed lookup url"),
            ("'file:///nope'", "<urlopen error [Errno 2] No such file or directory: '/nope'>"),
            ("'ftp://127.0.0.1/'", "http or https"),
            ("'http://127.0.0.1:1/', unix_socket='/x'", "`unix_socket` is not supported"),
            ("'http://127.0.0.1:1/', timeout='x'", "`timeout`"),
        ] {
            let error = look(arguments).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
