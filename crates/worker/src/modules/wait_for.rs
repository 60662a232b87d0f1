//! `ansible.builtin.wait_for`.

use std::io::Read;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::files::{self, text};
use super::pattern::{Alphabet, Flags, Pattern, narrow, widen};
use crate::args::PathArg;
use crate::host::Host;
use crate::module::{CheckMode, Failure, Module, Outcome};

/// Waits for a port, a file, or a text in one of them.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct WaitFor {
    /// The host that the port is on.
    #[serde(default = "loopback")]
    host: String,
    /// The port.
    #[serde(default)]
    port: Option<u16>,
    /// The file.
    #[serde(default)]
    path: Option<PathArg>,
    /// What the file, or what comes from the port, should match; `^` and `$` match at lines.
    #[serde(default)]
    search_regex: Option<String>,
    /// What to wait for.
    #[serde(default)]
    state: State,
    /// Seconds to wait before the first look.
    #[serde(default)]
    delay: u64,
    /// Seconds to wait at most.
    #[serde(default = "five_minutes")]
    timeout: u64,
    /// Seconds that one connection may take.
    #[serde(default = "five")]
    connect_timeout: u64,
    /// Seconds between looks.
    #[serde(default = "one")]
    sleep: u64,
    /// What to say when the time is up.
    #[serde(default)]
    msg: Option<String>,
    /// Hosts whose connections do not count for `drained`.
    #[serde(default)]
    exclude_hosts: Option<Vec<String>>,
    /// The states of connections that count for `drained`.
    #[serde(default = "active")]
    active_connection_states: Vec<String>,
}

fn loopback() -> String {
    "127.0.0.1".to_owned()
}

fn five_minutes() -> u64 {
    300
}

fn five() -> u64 {
    5
}

fn one() -> u64 {
    1
}

fn active() -> Vec<String> {
    ["ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "SYN_RECV", "SYN_SENT", "TIME_WAIT"].map(ToOwned::to_owned).to_vec()
}

/// What to wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Absent,
    Drained,
    Present,
    #[default]
    Started,
    Stopped,
}

/// The states of a connection, by their numbers in `/proc/net/tcp`.
const STATES: [(&str, &str); 11] = [
    ("ESTABLISHED", "01"),
    ("SYN_SENT", "02"),
    ("SYN_RECV", "03"),
    ("FIN_WAIT1", "04"),
    ("FIN_WAIT2", "05"),
    ("TIME_WAIT", "06"),
    ("CLOSE", "07"),
    ("CLOSE_WAIT", "08"),
    ("LAST_ACK", "09"),
    ("LISTEN", "0A"),
    ("CLOSING", "0B"),
];

impl WaitFor {
    /// The file to wait for; an empty name is none, as in the reference.
    fn file(&self) -> Option<&PathArg> {
        self.path.as_ref().filter(|path| !path.0.is_empty())
    }
}

impl Module for WaitFor {
    const NAME: &'static str = "ansible.builtin.wait_for";
    const CHECK_MODE: CheckMode = CheckMode::Skipped;

    fn check(&self) -> Result<(), String> {
        if self.port.is_some() && self.file().is_some() {
            return Err("port and path parameter can not both be passed to wait_for".to_owned());
        }
        if self.file().is_some() && self.state == State::Stopped {
            return Err("state=stopped should only be used for checking a port in the wait_for module".to_owned());
        }
        if self.file().is_some() && self.state == State::Drained {
            return Err("state=drained should only be used for checking a port in the wait_for module".to_owned());
        }
        if self.exclude_hosts.is_some() && self.state != State::Drained {
            return Err("exclude_hosts should only be with state=drained".to_owned());
        }
        for state in &self.active_connection_states {
            if !STATES.iter().any(|(name, _)| name == state) {
                return Err(format!("unknown active_connection_state ({state}) defined"));
            }
        }
        self.pattern().map(|_| ())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let start = Instant::now();
        let path = self.file().map(|path| host.path(path)).transpose()?;
        let pattern = self.pattern().map_err(Failure::new)?;
        pause(host, Duration::from_secs(self.delay))?;
        let found = if self.port.is_none() && path.is_none() && self.state != State::Drained {
            pause(host, Duration::from_secs(self.timeout))?;
            Some(Found::default())
        } else {
            self.wait(host, path.as_ref(), pattern.as_ref(), start)?
        };
        let elapsed = start.elapsed().as_secs();
        let Some(found) = found else {
            let msg = self.msg.clone().unwrap_or_else(|| self.complaint(path.as_ref()));
            return Err(Failure::new(msg).with("elapsed", elapsed));
        };
        let mut outcome = Outcome::unchanged()
            .with("state", format!("{:?}", self.state).to_lowercase())
            .with("port", self.port)
            .with("search_regex", self.search_regex.clone())
            .with("match_groups", found.groups)
            .with("match_groupdict", found.named)
            .with("path", path.as_deref().map(text).or_else(|| self.path.as_ref().map(|path| path.0.clone())))
            .with("elapsed", elapsed);
        if let Some(path) = path {
            files::describe(host, &path, &mut outcome)?;
        }
        Ok(outcome)
    }
}

/// The groups of a match.
#[derive(Default)]
struct Found {
    groups: Vec<Value>,
    named: Map<String, Value>,
}

impl WaitFor {
    fn pattern(&self) -> Result<Option<Pattern>, String> {
        let flags = Flags { multiline: true, dotall: false };
        self.search_regex.as_deref().map(|text| Pattern::new(text, Alphabet::Bytes, flags)).transpose()
    }

    /// Looks until what is waited for is there; `None` when the time is up.
    fn wait(
        &self,
        host: &Host,
        path: Option<&PathBuf>,
        pattern: Option<&Pattern>,
        start: Instant,
    ) -> Result<Option<Found>, Failure> {
        let end = start + Duration::from_secs(self.timeout);
        while Instant::now() < end {
            let found = match (path, self.state) {
                (Some(path), State::Absent) => absent_file(host, path, pattern)?,
                (Some(path), _) => present_file(host, path, pattern)?,
                (None, State::Absent | State::Stopped) => self.connect().is_none().then(Found::default),
                (None, State::Drained) => (self.connections(host)? == 0).then(Found::default),
                (None, _) => self.answering(host, pattern, end)?,
            };
            if found.is_some() {
                return Ok(found);
            }
            pause(host, Duration::from_secs(self.sleep).min(end.saturating_duration_since(Instant::now())))?;
        }
        Ok(None)
    }

    fn complaint(&self, path: Option<&PathBuf>) -> String {
        let port = || format!("{}:{}", self.host, self.port.map_or_else(|| "None".to_owned(), |p| p.to_string()));
        match (path, self.state, &self.search_regex) {
            (None, State::Absent | State::Stopped, _) => format!("Timeout when waiting for {} to stop.", port()),
            (None, State::Drained, _) => format!("Timeout when waiting for {} to drain", port()),
            (None, _, None) => format!("Timeout when waiting for {}", port()),
            (None, _, Some(regex)) => format!("Timeout when waiting for search string {regex} in {}", port()),
            (Some(path), State::Absent, _) => format!("Timeout when waiting for {} to be absent.", path.display()),
            (Some(path), _, None) => format!("Timeout when waiting for file {}", path.display()),
            (Some(path), _, Some(regex)) => {
                format!("Timeout when waiting for search string {regex} in {}", path.display())
            }
        }
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        let found = (self.host.as_str(), self.port.unwrap_or(0)).to_socket_addrs();
        // A name that cannot be resolved yet may be what is waited for.
        found.map(Iterator::collect).unwrap_or_default()
    }

    fn connect(&self) -> Option<TcpStream> {
        let timeout = Duration::from_secs(self.connect_timeout.max(1));
        self.addresses().iter().find_map(|address| TcpStream::connect_timeout(address, timeout).ok())
    }

    /// Whether the port takes a connection, and says what it should.
    fn answering(&self, host: &Host, pattern: Option<&Pattern>, end: Instant) -> Result<Option<Found>, Failure> {
        let Some(mut stream) = self.connect() else { return Ok(None) };
        let Some(pattern) = pattern else {
            // The other side may have closed it already.
            let _ = stream.shutdown(Shutdown::Both);
            return Ok(Some(Found::default()));
        };
        let mut said = Vec::new();
        let mut piece = [0; 1024];
        while Instant::now() < end && !host.is_cancelled() {
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            if stream.set_read_timeout(Some(left.min(Duration::from_millis(500)))).is_err() {
                return Ok(None);
            }
            match stream.read(&mut piece) {
                Ok(0) => return Ok(None),
                Ok(len) => {
                    said.extend_from_slice(&piece[..len]);
                    if let Some(found) = search(pattern, &said)? {
                        return Ok(Some(found));
                    }
                }
                Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
                Err(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// How many connections to the port count.
    fn connections(&self, host: &Host) -> Result<usize, Failure> {
        let resolve = |name: &str| -> Vec<IpAddr> {
            (name, 0).to_socket_addrs().map(|found| found.map(|a| plain(a.ip())).collect()).unwrap_or_default()
        };
        let own: Vec<IpAddr> = resolve(&self.host);
        let any = own.iter().any(IpAddr::is_unspecified);
        let excluded: Vec<IpAddr> = self.exclude_hosts.iter().flatten().flat_map(|name| resolve(name)).collect();
        let states: Vec<&str> = STATES
            .iter()
            .filter(|(name, _)| self.active_connection_states.iter().any(|s| s == name))
            .map(|(_, number)| *number)
            .collect();
        let mut count = 0;
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            for line in host.text(table).unwrap_or_default().lines().skip(1) {
                let words: Vec<&str> = line.split_whitespace().collect();
                let [_, local, remote, state, ..] = words.as_slice() else { continue };
                let (Some(local), Some(remote)) = (endpoint(local), endpoint(remote)) else { continue };
                let here = Some(local.1) == self.port && (any || local.0.is_unspecified() || own.contains(&local.0));
                count += usize::from(here && states.contains(state) && !excluded.contains(&remote.0));
            }
        }
        Ok(count)
    }
}

/// An address without its IPv6 wrapping.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// An address as `/proc/net/tcp` writes it: words of the machine's byte order, in hex.
fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let mut bytes = Vec::with_capacity(16);
    for word in address.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        _ => return None,
    };
    Some((plain(address), u16::from_str_radix(port, 16).ok()?))
}

fn present_file(host: &Host, path: &Path, pattern: Option<&Pattern>) -> Result<Option<Found>, Failure> {
    if !host.exists(path)? {
        return Ok(None);
    }
    match pattern {
        None => Ok(Some(Found::default())),
        Some(pattern) => search(pattern, &host.read(path)?),
    }
}

fn absent_file(host: &Host, path: &Path, pattern: Option<&Pattern>) -> Result<Option<Found>, Failure> {
    if !host.exists(path)? {
        return Ok(Some(Found::default()));
    }
    match pattern {
        None => Ok(None),
        Some(pattern) => Ok(search(pattern, &host.read(path)?)?.is_none().then(Found::default)),
    }
}

fn search(pattern: &Pattern, bytes: &[u8]) -> Result<Option<Found>, Failure> {
    let wide = widen(bytes);
    let Some(captures) = pattern.captures(&wide)? else { return Ok(None) };
    let value = |text: Option<&str>| text.map_or(Value::Null, |t| json!(String::from_utf8_lossy(&narrow(t))));
    let mut found = Found::default();
    for (index, name) in pattern.group_names().enumerate().skip(1) {
        let group = value(captures.get(index).map(|m| m.as_str()));
        if let Some(name) = name {
            found.named.insert(name.to_owned(), group.clone());
        }
        found.groups.push(group);
    }
    Ok(Some(found))
}

/// Waits, in pieces, so that a cancelled call ends soon.
fn pause(host: &Host, time: Duration) -> Result<(), Failure> {
    let end = Instant::now() + time;
    loop {
        if host.is_cancelled() {
            return Err(Failure::new("the task was cancelled while it waited"));
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(Duration::from_millis(100)));
    }
}

#[cfg(test)]
#[path = "wait_for_tests.rs"]
mod tests;
