//! `community.general.listen_ports_facts`: who listens on which port, as the kernel tells it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::host::Host;
use crate::module::{Failure, Module, Outcome};

/// Tells who listens on which port of TCP and UDP.
///
/// What the kernel has in `/proc` is read; no program is run.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListenPortsFacts {
    /// Which program is asked; here it is none.
    #[serde(default, rename = "command")]
    _command: Option<Program>,
    /// Whether connections are told as well.
    #[serde(default)]
    include_non_listening: bool,
}

/// The programs that the reference asks.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Program {
    Netstat,
    Ss,
}

/// States of a socket of TCP; one of UDP is in the first or the seventh.
const STATES: [&str; 11] = [
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
];

/// A line of a table of sockets.
struct Socket {
    local: (IpAddr, u16),
    remote: (IpAddr, u16),
    state: usize,
    inode: String,
}

impl Socket {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<_> = line.split_whitespace().collect();
        Some(Self {
            local: endpoint(words.get(1)?)?,
            remote: endpoint(words.get(2)?)?,
            state: usize::from_str_radix(words.get(3)?, 16).ok()?,
            inode: (*words.get(9)?).to_owned(),
        })
    }

    fn listens(&self, tcp: bool) -> bool {
        self.state == if tcp { 10 } else { 7 }
    }
}

/// `0100007F:0016`: an address in words of the host's own order, and a port.
fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let words = (0..address.len() / 8).map(|n| u32::from_str_radix(address.get(n * 8..n * 8 + 8)?, 16).ok());
    let bytes: Vec<u8> = words.collect::<Option<Vec<_>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let four: Option<[u8; 4]> = bytes.as_slice().try_into().ok();
    let sixteen: Option<[u8; 16]> = bytes.as_slice().try_into().ok();
    let address = four.map(|b| Ipv4Addr::from(b).into()).or(sixteen.map(|b| Ipv6Addr::from(b).into()))?;
    Some((address, u16::from_str_radix(port, 16).ok()?))
}

/// Who has a socket.
#[derive(Debug, Clone, Default)]
struct Process {
    pid: u32,
    name: String,
    started: String,
    user: String,
}

/// The processes by the inodes of their sockets; of several that share one, the oldest.
fn owners(host: &Host) -> HashMap<String, u32> {
    let all = host.list(Path::new("/proc")).unwrap_or_default();
    let mut pids: Vec<u32> = all.iter().filter_map(|name| name.to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    let mut owners = HashMap::new();
    for pid in pids {
        // One that ended meanwhile, or is somebody else's, has nothing to tell.
        let files = PathBuf::from(format!("/proc/{pid}/fd"));
        for file in host.list(&files).unwrap_or_default() {
            let Ok(target) = host.read_link(&files.join(file)) else { continue };
            let inode = target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']'));
            if let Some(inode) = inode {
                owners.entry(inode.to_owned()).or_insert(pid);
            }
        }
    }
    owners
}

fn process(host: &Host, pid: u32, booted: Option<i64>) -> Process {
    let read = |name: &str| host.text(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let status = read("status");
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    // The effective id is the second one, as ps tells it.
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1)?.parse().ok());
    let user = uid.and_then(|uid| host.user_by_id(uid).ok().flatten().map(|user| user.name).or(Some(uid.to_string())));
    let stat = read("stat");
    // The name in parentheses may have spaces, and parentheses of its own.
    let ticks = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse::<i64>().ok());
    let second = booted.zip(ticks).and_then(|(booted, ticks)| Timestamp::from_second(booted + ticks / 100).ok());
    let started = second.map(|at| at.to_zoned(TimeZone::system()).strftime("%a %b %e %H:%M:%S %Y").to_string());
    let name = status.lines().find_map(|line| line.strip_prefix("Name:")).map(|name| name.trim().to_owned());
    Process {
        pid: field("Pid:").and_then(|pid| pid.parse().ok()).unwrap_or(pid),
        name: name.unwrap_or_default(),
        started: started.unwrap_or_default(),
        user: user.unwrap_or_default(),
    }
}

fn port(port: u16) -> String {
    if port == 0 { "*".to_owned() } else { port.to_string() }
}

impl ListenPortsFacts {
    fn told(&self, socket: &Socket, tcp: bool, owner: Option<&Process>) -> Value {
        let nobody = Process::default();
        let owner = owner.unwrap_or(&nobody);
        let mut out = Map::new();
        out.insert("protocol".into(), if tcp { "tcp" } else { "udp" }.into());
        if self.include_non_listening {
            let state = match (tcp, socket.listens(tcp)) {
                (false, true) => "",
                _ => socket.state.checked_sub(1).and_then(|n| STATES.get(n)).copied().unwrap_or("UNKNOWN"),
            };
            out.insert("state".into(), state.into());
            out.insert("foreign_address".into(), format!("{}:{}", socket.remote.0, port(socket.remote.1)).into());
        }
        out.insert("address".into(), socket.local.0.to_string().into());
        out.insert("port".into(), socket.local.1.into());
        out.insert("name".into(), owner.name.as_str().into());
        out.insert("pid".into(), owner.pid.into());
        out.insert("stime".into(), owner.started.as_str().into());
        out.insert("user".into(), owner.user.as_str().into());
        out.into()
    }
}

impl Module for ListenPortsFacts {
    const NAME: &'static str = "community.general.listen_ports_facts";

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let owners = owners(host);
        let booted = host.text("/proc/stat").unwrap_or_default();
        let booted = booted.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
        let mut processes: HashMap<u32, Process> = HashMap::new();
        let mut facts = Map::new();
        for (tcp, tables) in [(true, ["tcp", "tcp6"]), (false, ["udp", "udp6"])] {
            let mut told = Vec::new();
            for table in tables {
                let text = host.text(format!("/proc/net/{table}")).unwrap_or_default();
                for socket in text.lines().skip(1).filter_map(Socket::parse) {
                    if !self.include_non_listening && !socket.listens(tcp) {
                        continue;
                    }
                    let owner = owners
                        .get(&socket.inode)
                        .map(|pid| &*processes.entry(*pid).or_insert_with(|| process(host, *pid, booted)));
                    told.push(self.told(&socket, tcp, owner));
                }
            }
            facts.insert(if tcp { "tcp_listen" } else { "udp_listen" }.into(), told.into());
        }
        Ok(Outcome::unchanged().with("ansible_facts", facts))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::stage::Stage;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn line(local: &str, remote: &str, state: &str, inode: u32) -> String {
        format!(
            "   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0 100 0 0 10 0\n"
        )
    }

    fn stage() -> Stage {
        let tcp = [line("00000000:0016", "00000000:0000", "0A", 11), line("0100007F:1538", "0200007F:0050", "01", 12)]
            .concat();
        let tcp6 = line("00000000000000000000000001000000:1F90", "00000000000000000000000000000000:0000", "0A", 99);
        let udp = line("0100007F:0143", "00000000:0000", "07", 13);
        let stat = |pid: u32| format!("{pid} (odd) name) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 6000 0\n");
        let status = |pid: u32, name: &str| format!("Name:\t{name}\nPid:\t{pid}\nUid:\t7\t0\t0\t0\n");
        let stage = Stage::new(&[
            ("/etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
            ("/proc/stat", "cpu 1\nbtime 1700000000\n"),
            ("/proc/net/tcp", &format!("{HEAD}{tcp}")),
            ("/proc/net/tcp6", &format!("{HEAD}{tcp6}")),
            ("/proc/net/udp", &format!("{HEAD}{udp}")),
            ("/proc/20/stat", &stat(20)),
            ("/proc/20/status", &status(20, "sshd")),
            ("/proc/100/stat", &stat(100)),
            ("/proc/100/status", &status(100, "odd) name")),
        ]);
        for (pid, fd, inode) in [(100, 3, 11), (20, 4, 11), (100, 5, 13), (100, 6, 12)] {
            let dir = stage.real(&format!("/proc/{pid}/fd"));
            std::fs::create_dir_all(&dir).unwrap();
            std::os::unix::fs::symlink(format!("socket:[{inode}]"), dir.join(fd.to_string())).unwrap();
        }
        stage
    }

    #[test]
    fn listeners_are_told_with_the_oldest_owner() {
        let facts = stage().check::<ListenPortsFacts>(json!({})).unwrap().fields["ansible_facts"].clone();
        let tcp = facts["tcp_listen"].as_array().unwrap();
        assert_eq!(tcp.len(), 2);
        let stime = tcp[0]["stime"].clone();
        assert!(stime.as_str().is_some_and(|text| text.contains(":14:20 2023")), "{stime}");
        let first = json!({"protocol": "tcp", "address": "0.0.0.0", "port": 22, "name": "sshd", "pid": 20, "stime": stime, "user": "root"});
        assert_eq!(tcp[0], first);
        let nobody =
            json!({"protocol": "tcp", "address": "::1", "port": 8080, "name": "", "pid": 0, "stime": "", "user": ""});
        assert_eq!(tcp[1], nobody);
        assert_eq!(
            (&facts["udp_listen"][0]["port"], &facts["udp_listen"][0]["name"]),
            (&json!(323), &json!("odd) name"))
        );
    }

    #[test]
    fn connections_are_told_when_asked_for() {
        let facts = stage().call::<ListenPortsFacts>(json!({"include_non_listening": true, "command": "ss"})).unwrap();
        let facts = facts.fields["ansible_facts"].clone();
        let tcp = facts["tcp_listen"].as_array().unwrap();
        assert_eq!((&tcp[0]["state"], &tcp[0]["foreign_address"]), (&json!("LISTEN"), &json!("0.0.0.0:*")));
        assert_eq!((&tcp[1]["state"], &tcp[1]["foreign_address"]), (&json!("ESTABLISHED"), &json!("127.0.0.2:80")));
        assert_eq!(facts["udp_listen"][0]["state"], "");
    }
}
