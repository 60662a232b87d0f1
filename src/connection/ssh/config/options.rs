//! The ssh_config keywords that rplay follows, and what it thinks of the others.

use std::time::Duration;

use super::super::super::ConnectionError;
use super::file::Directive;
use super::matching::pattern_list;

/// What to do about a host key that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrictHostKeys {
    /// Refuse; there is nobody to ask.
    Ask,
    /// Refuse.
    Yes,
    /// Take and record a new key, refuse a changed one.
    AcceptNew,
    /// Take and record a new key; with a changed one go on without passwords.
    No,
}

/// How to get to the host when not directly. The first of `ProxyJump` and `ProxyCommand` decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proxy {
    /// Directly, whatever later lines say.
    None,
    /// Through jump hosts: `[user@]host[:port],…`.
    Jump(String),
    /// Through a command's standard input and output.
    Command(String),
}

/// Which addresses of a name are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFamily {
    /// Both.
    Any,
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
}

/// What is set for one host; `None` where nothing is said. The keywords' names, in Rust's spelling.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Options {
    pub host_name: Option<String>,
    pub user: Option<String>,
    pub port: Option<u16>,
    pub identity_files: Vec<String>,
    pub identities_only: Option<bool>,
    pub identity_agent: Option<String>,
    pub certificate_files: Vec<String>,
    pub proxy: Option<Proxy>,
    /// `ProxyJump none` was said: later ones do not count, but a `ProxyCommand` does.
    pub no_jump: bool,
    pub user_known_hosts: Option<Vec<String>>,
    pub global_known_hosts: Option<Vec<String>>,
    pub strict_host_keys: Option<StrictHostKeys>,
    pub host_key_alias: Option<String>,
    pub connect_timeout: Option<Duration>,
    pub connection_attempts: Option<u32>,
    pub alive_interval: Option<Duration>,
    pub alive_count_max: Option<u32>,
    pub tcp_keep_alive: Option<bool>,
    pub preferred_authentications: Option<Vec<String>>,
    pub pubkey_authentication: Option<bool>,
    pub password_authentication: Option<bool>,
    pub kbd_interactive_authentication: Option<bool>,
    pub hash_known_hosts: Option<bool>,
    pub ciphers: Option<String>,
    pub macs: Option<String>,
    pub kex_algorithms: Option<String>,
    pub host_key_algorithms: Option<String>,
    pub pubkey_accepted_algorithms: Option<String>,
    pub address_family: Option<AddressFamily>,
    pub bind_address: Option<String>,
    pub compression: Option<bool>,
    pub send_env: Vec<String>,
    /// `SetEnv`: the first line that has it wins, whole.
    pub set_env: Vec<(String, String)>,
    pub ignore_unknown: Option<String>,
}

/// Keywords that mean nothing here: about terminals, forwarding, the client's own sockets and looks, or methods of
/// authentication that rplay does not have.
const IGNORED: &[&str] = &[
    "addkeystoagent",
    "afstokenpassing",
    "batchmode",
    "canonicaldomains",
    "canonicalizefallbacklocal",
    "canonicalizemaxdots",
    "canonicalizepermittedcnames",
    "casignaturealgorithms",
    "channeltimeout",
    "checkhostip",
    "cipher",
    "clearallforwardings",
    "compressionlevel",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "dsaauthentication",
    "dynamicforward",
    "enableescapecommandline",
    "enablesshkeysign",
    "escapechar",
    "exitonforwardfailure",
    "fallbacktorsh",
    "fingerprinthash",
    "forkafterauthentication",
    "forwardagent",
    "forwardx11",
    "forwardx11timeout",
    "forwardx11trusted",
    "gatewayports",
    "globalknownhostsfile2",
    "gssapiauthentication",
    "gssapiclientidentity",
    "gssapidelegatecredentials",
    "gssapikexalgorithms",
    "gssapikeyexchange",
    "gssapirenewalforcesrekey",
    "gssapiserveridentity",
    "gssapitrustdns",
    "hostbasedacceptedalgorithms",
    "hostbasedauthentication",
    "hostbasedkeytypes",
    "ipqos",
    "kbdinteractivedevices",
    "localcommand",
    "localforward",
    "loglevel",
    "logverbose",
    "nohostauthenticationforlocalhost",
    "numberofpasswordprompts",
    "obscurekeystroketiming",
    "permitlocalcommand",
    "permitremoteopen",
    "pkcs11provider",
    "protocol",
    "proxyusefdpass",
    "rekeylimit",
    "remotecommand",
    "remoteforward",
    "requesttty",
    "requiredrsasize",
    "rhostsauthentication",
    "rhostsrsaauthentication",
    "rsaauthentication",
    "securitykeyprovider",
    "sessiontype",
    "smartcarddevice",
    "stdinnull",
    "streamlocalbindmask",
    "streamlocalbindunlink",
    "syslogfacility",
    "tag",
    "tunnel",
    "tunneldevice",
    "updatehostkeys",
    "useblacklistedkeys",
    "usekeychain",
    "useprivilegedport",
    "userknownhostsfile2",
    "useroaming",
    "usersh",
    "verifyhostkeydns",
    "versionaddendum",
    "visualhostkey",
    "xauthlocation",
];

/// Keywords that would change where a connection goes or whom it trusts. They are refused rather than left out, unless
/// switched off.
const REFUSED: &[&str] = &["bindinterface", "canonicalizehostname", "knownhostscommand", "revokedhostkeys"];

fn first<T>(slot: &mut Option<T>, active: bool, value: T) {
    if active && slot.is_none() {
        *slot = Some(value);
    }
}

impl Options {
    /// Takes one directive in. It is checked in any case, and counts if `active`.
    pub fn apply(&mut self, directive: &Directive, active: bool) -> Result<(), ConnectionError> {
        if self.apply_flag(directive, active)? || self.apply_list(directive, active)? {
            return Ok(());
        }
        let line = Line(directive);
        match directive.keyword.as_str() {
            "hostname" => first(&mut self.host_name, active, line.one()?),
            "user" => first(&mut self.user, active, line.one()?),
            "port" => first(&mut self.port, active, line.port()?),
            "identityagent" => first(&mut self.identity_agent, active, line.one()?),
            "proxyjump" => self.jump(&line, active)?,
            "proxycommand" => {
                let command = directive.rest.trim_end().to_owned();
                if command.is_empty() {
                    return Err(line.error("needs a command"));
                }
                let none = command.eq_ignore_ascii_case("none");
                first(&mut self.proxy, active, if none { Proxy::None } else { Proxy::Command(command) });
            }
            "stricthostkeychecking" => first(&mut self.strict_host_keys, active, line.strict()?),
            "hostkeyalias" => first(&mut self.host_key_alias, active, line.one()?),
            "connecttimeout" => match line.one()?.as_str() {
                // As good as unset, also to later lines.
                "none" => {}
                value => first(&mut self.connect_timeout, active, line.duration(value)?),
            },
            "connectionattempts" => first(&mut self.connection_attempts, active, line.number()?),
            "serveraliveinterval" => {
                let value = line.one()?;
                first(&mut self.alive_interval, active, line.duration(&value)?);
            }
            "serveralivecountmax" => first(&mut self.alive_count_max, active, line.number()?),
            "addressfamily" => first(&mut self.address_family, active, line.family()?),
            "bindaddress" => first(&mut self.bind_address, active, line.one()?),
            keyword if REFUSED.contains(&keyword) => {
                let off = ["none", "no"].iter().any(|off| directive.rest.trim().eq_ignore_ascii_case(off));
                if active && !off {
                    return Err(line.error("is not supported by rplay; leave it out for this host"));
                }
            }
            keyword if IGNORED.contains(&keyword) => {}
            keyword => {
                let ignored = self.ignore_unknown.as_deref();
                if !ignored.is_some_and(|patterns| pattern_list(keyword, patterns, true)) {
                    return Err(directive.origin.error(&format!(
                        "`{}` is not a keyword of ssh_config; if another ssh needs it, put `IgnoreUnknown {}` before it",
                        directive.name, directive.name
                    )));
                }
            }
        }
        Ok(())
    }

    fn apply_flag(&mut self, directive: &Directive, active: bool) -> Result<bool, ConnectionError> {
        let slot = match directive.keyword.as_str() {
            "identitiesonly" => &mut self.identities_only,
            "tcpkeepalive" | "keepalive" => &mut self.tcp_keep_alive,
            "pubkeyauthentication" => {
                // `unbound` and `host-bound` are yes with agent restrictions on top.
                let value = Line(directive).one()?.to_ascii_lowercase();
                let yes = matches!(value.as_str(), "unbound" | "host-bound");
                let value = if yes { true } else { Line(directive).flag()? };
                first(&mut self.pubkey_authentication, active, value);
                return Ok(true);
            }
            "passwordauthentication" => &mut self.password_authentication,
            "kbdinteractiveauthentication"
            | "challengeresponseauthentication"
            | "skeyauthentication"
            | "tisauthentication" => &mut self.kbd_interactive_authentication,
            "hashknownhosts" => &mut self.hash_known_hosts,
            "compression" => &mut self.compression,
            _ => return Ok(false),
        };
        first(slot, active, Line(directive).flag()?);
        Ok(true)
    }

    fn apply_list(&mut self, directive: &Directive, active: bool) -> Result<bool, ConnectionError> {
        let line = Line(directive);
        match directive.keyword.as_str() {
            "identityfile" => push(&mut self.identity_files, active, line.one()?),
            "certificatefile" => push(&mut self.certificate_files, active, line.one()?),
            "userknownhostsfile" => first(&mut self.user_known_hosts, active, line.some()?),
            "globalknownhostsfile" => first(&mut self.global_known_hosts, active, line.some()?),
            "preferredauthentications" => {
                let methods = line.one()?.split(',').map(str::to_owned).collect();
                first(&mut self.preferred_authentications, active, methods);
            }
            "ciphers" => first(&mut self.ciphers, active, line.one()?),
            "macs" => first(&mut self.macs, active, line.one()?),
            "kexalgorithms" => first(&mut self.kex_algorithms, active, line.one()?),
            "hostkeyalgorithms" => first(&mut self.host_key_algorithms, active, line.one()?),
            "pubkeyacceptedalgorithms" | "pubkeyacceptedkeytypes" => {
                first(&mut self.pubkey_accepted_algorithms, active, line.one()?);
            }
            "sendenv" => {
                for name in line.some()? {
                    match name.strip_prefix('-') {
                        Some(pattern) if active => {
                            self.send_env.retain(|known| !super::matching::wildcard(known, pattern));
                        }
                        Some(_) => {}
                        None => push(&mut self.send_env, active, name),
                    }
                }
            }
            "setenv" => {
                let words = line.some()?.into_iter().map(|word| match word.split_once('=') {
                    Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
                    None => Err(line.error("needs NAME=VALUE")),
                });
                let words = words.collect::<Result<Vec<_>, _>>()?;
                if active && self.set_env.is_empty() {
                    self.set_env = words;
                }
            }
            "ignoreunknown" => first(&mut self.ignore_unknown, active, line.one()?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn jump(&mut self, line: &Line<'_>, active: bool) -> Result<(), ConnectionError> {
        let value = line.one()?;
        self.set_jump(&value, active).map_err(|message| line.error(&message))
    }

    /// `ProxyJump`, from a file or as `-J`.
    pub fn set_jump(&mut self, value: &str, active: bool) -> Result<(), String> {
        if value.eq_ignore_ascii_case("none") {
            self.no_jump |= active && self.proxy.is_none();
            return Ok(());
        }
        for hop in value.split(',') {
            super::arguments::jump_host(hop)?;
        }
        let active = active && !self.no_jump;
        first(&mut self.proxy, active, Proxy::Jump(value.to_owned()));
        Ok(())
    }
}

fn push(list: &mut Vec<String>, active: bool, value: String) {
    if active && !list.contains(&value) {
        list.push(value);
    }
}

/// Reads the arguments of a directive.
struct Line<'a>(&'a Directive);

impl Line<'_> {
    fn error(&self, message: &str) -> ConnectionError {
        self.0.origin.error(&format!("`{}`: {message}", self.0.name))
    }

    fn some(&self) -> Result<Vec<String>, ConnectionError> {
        let words = self.0.words()?;
        if words.is_empty() {
            return Err(self.error("needs an argument"));
        }
        Ok(words)
    }

    fn one(&self) -> Result<String, ConnectionError> {
        let mut words = self.some()?;
        if words.len() > 1 {
            return Err(self.error(&format!(
                "takes one argument, `{}` is too much",
                words.iter().skip(1).cloned().collect::<Vec<_>>().join(" ")
            )));
        }
        match words.pop() {
            Some(word) if !word.is_empty() => Ok(word),
            _ => Err(self.error("needs an argument")),
        }
    }

    fn flag(&self) -> Result<bool, ConnectionError> {
        match self.one()?.to_ascii_lowercase().as_str() {
            "yes" | "true" => Ok(true),
            "no" | "false" => Ok(false),
            other => Err(self.error(&format!("`{other}` is neither yes nor no"))),
        }
    }

    fn number(&self) -> Result<u32, ConnectionError> {
        let word = self.one()?;
        word.parse().map_err(|_| self.error(&format!("`{word}` is not a number")))
    }

    fn port(&self) -> Result<u16, ConnectionError> {
        let word = self.one()?;
        match word.parse() {
            Ok(port) if port != 0 => Ok(port),
            _ => Err(self.error(&format!("`{word}` is not a port"))),
        }
    }

    /// Seconds, or sshd's `1h30m` form.
    fn duration(&self, text: &str) -> Result<Duration, ConnectionError> {
        let wrong = || self.error(&format!("`{text}` is not a time; write seconds, or like 1m30s"));
        let mut seconds: u64 = 0;
        let mut digits = String::new();
        for c in text.chars() {
            if c.is_ascii_digit() {
                digits.push(c);
                continue;
            }
            let unit = match c.to_ascii_lowercase() {
                's' => 1,
                'm' => 60,
                'h' => 3600,
                'd' => 86_400,
                'w' => 604_800,
                _ => return Err(wrong()),
            };
            let count: u64 = std::mem::take(&mut digits).parse().map_err(|_| wrong())?;
            seconds = count.checked_mul(unit).and_then(|more| seconds.checked_add(more)).ok_or_else(wrong)?;
        }
        if !digits.is_empty() {
            let count: u64 = digits.parse().map_err(|_| wrong())?;
            seconds = seconds.checked_add(count).ok_or_else(wrong)?;
        } else if text.is_empty() {
            return Err(wrong());
        }
        Ok(Duration::from_secs(seconds.min(u64::from(u32::MAX))))
    }

    fn strict(&self) -> Result<StrictHostKeys, ConnectionError> {
        match self.one()?.to_ascii_lowercase().as_str() {
            "yes" | "true" => Ok(StrictHostKeys::Yes),
            "no" | "false" | "off" => Ok(StrictHostKeys::No),
            "accept-new" => Ok(StrictHostKeys::AcceptNew),
            "ask" => Ok(StrictHostKeys::Ask),
            other => Err(self.error(&format!("`{other}` is none of yes, no, off, accept-new and ask"))),
        }
    }

    fn family(&self) -> Result<AddressFamily, ConnectionError> {
        match self.one()?.to_ascii_lowercase().as_str() {
            "any" => Ok(AddressFamily::Any),
            "inet" => Ok(AddressFamily::Inet),
            "inet6" => Ok(AddressFamily::Inet6),
            other => Err(self.error(&format!("`{other}` is none of any, inet and inet6"))),
        }
    }
}
