//! `ansible.builtin.iptables`: one rule, chain or policy of the running packet filter.

mod rule;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::host::{Command, Host};
use crate::module::{Failure, Module, Outcome};

/// Whether the rule or chain should be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    #[default]
    Present,
    Absent,
}

/// Which of the two filters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum IpVersion {
    #[default]
    Ipv4,
    Ipv6,
    Both,
}

/// Where a new rule goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Place {
    #[default]
    Append,
    Insert,
}

/// Whether SYN packets are meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Syn {
    #[default]
    Ignore,
    Match,
    Negate,
}

/// The filter's tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Table {
    #[default]
    Filter,
    Nat,
    Mangle,
    Raw,
    Security,
}

/// A chain's policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Policy {
    Accept,
    Drop,
    Queue,
    Return,
}

/// What `tcp_flags` looks at.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
struct TcpFlags {
    /// Flags to look at.
    #[serde(default)]
    flags: Vec<String>,
    /// Flags that must be set.
    #[serde(default)]
    flags_set: Vec<String>,
}

/// Controls the kernel's packet filter; rules are not kept over a reboot.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Iptables {
    /// The table.
    table: Table,
    /// Whether the rule (or chain) should be there.
    state: State,
    /// Where a new rule goes.
    action: Place,
    /// The number a new rule is inserted at.
    rule_num: Option<String>,
    /// Which of the two filters.
    ip_version: IpVersion,
    /// The chain.
    chain: Option<String>,
    /// Whether the chain itself is made or removed.
    chain_management: bool,
    /// The protocol.
    protocol: Option<String>,
    /// Where packets come from; `!` before it negates.
    source: Option<String>,
    /// Where packets go; `!` before it negates.
    destination: Option<String>,
    /// Flags of TCP packets.
    tcp_flags: Option<TcpFlags>,
    /// Extensions to load.
    #[serde(rename = "match")]
    matches: Vec<String>,
    /// What to do with the packet.
    jump: Option<String>,
    /// The host that `TEE` copies packets to.
    gateway: Option<String>,
    /// The text before log entries; `LOG` is the target then.
    log_prefix: Option<String>,
    /// The level of log entries; `LOG` is the target then.
    log_level: Option<LogLevel>,
    /// The chain to go on in, without coming back.
    goto: Option<String>,
    /// The interface a packet comes in by.
    in_interface: Option<String>,
    /// The interface a packet leaves by.
    out_interface: Option<String>,
    /// Fragments.
    fragment: Option<String>,
    /// Counters to begin with.
    set_counters: Option<String>,
    /// The port (or range) a packet comes from.
    source_port: Option<String>,
    /// The port (or range) a packet goes to.
    destination_port: Option<String>,
    /// Several ports a packet may go to.
    destination_ports: Vec<String>,
    /// The ports that `REDIRECT` and `MASQUERADE` use.
    to_ports: Option<String>,
    /// The address that `DNAT` puts in.
    to_destination: Option<String>,
    /// The address that `SNAT` puts in.
    to_source: Option<String>,
    /// Whether SYN packets are meant.
    syn: Syn,
    /// A DSCP mark to set.
    set_dscp_mark: Option<String>,
    /// A DSCP class to set.
    set_dscp_mark_class: Option<String>,
    /// A comment.
    comment: Option<String>,
    /// States of connection tracking.
    ctstate: Vec<String>,
    /// A range of addresses packets come from.
    src_range: Option<String>,
    /// A range of addresses packets go to.
    dst_range: Option<String>,
    /// A set that addresses must be in.
    match_set: Option<String>,
    /// Which addresses those are.
    match_set_flags: Option<String>,
    /// The average rate.
    limit: Option<String>,
    /// The burst before the rate counts.
    limit_burst: Option<String>,
    /// The user a packet was made by.
    uid_owner: Option<String>,
    /// The group a packet was made by.
    gid_owner: Option<String>,
    /// How a packet is refused; `REJECT` is the target then.
    reject_with: Option<String>,
    /// The kind of ICMP packet.
    icmp_type: Option<String>,
    /// Whether all rules of the chain (or table) are removed.
    flush: bool,
    /// The chain's policy.
    policy: Option<Policy>,
    /// Seconds to wait for the lock.
    wait: Option<String>,
    /// Whether names are not looked up when listing.
    numeric: bool,
}

/// Levels that log entries can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[allow(missing_docs)]
enum LogLevel {
    #[serde(rename = "0", alias = "emerg")]
    Emerg,
    #[serde(rename = "1", alias = "alert")]
    Alert,
    #[serde(rename = "2", alias = "crit")]
    Crit,
    #[serde(rename = "3", alias = "error")]
    Error,
    #[serde(rename = "4", alias = "warning")]
    Warning,
    #[serde(rename = "5", alias = "notice")]
    Notice,
    #[serde(rename = "6", alias = "info")]
    Info,
    #[serde(rename = "7", alias = "debug")]
    Debug,
}

impl Module for Iptables {
    const NAME: &'static str = "ansible.builtin.iptables";

    fn check(&self) -> Result<(), String> {
        let table = self.table_name();
        if self.chain.is_none() && !self.flush {
            return Err("Either chain or flush parameter must be specified.".to_owned());
        }
        if self.flush && self.policy.is_some() {
            return Err("parameters are mutually exclusive: flush|policy".to_owned());
        }
        if self.rule_num.is_some() && self.action != Place::Insert {
            return Err("rule_num is allowed only with action: insert".to_owned());
        }
        if self.set_dscp_mark.is_some() && self.set_dscp_mark_class.is_some() {
            return Err("parameters are mutually exclusive: set_dscp_mark|set_dscp_mark_class".to_owned());
        }
        if (self.set_dscp_mark.is_some() || self.set_dscp_mark_class.is_some())
            && (self.jump.is_none() || table != "mangle")
        {
            return Err("set_dscp_mark and set_dscp_mark_class need jump: DSCP and table: mangle".to_owned());
        }
        if self.match_set.is_some() != self.match_set_flags.is_some() {
            return Err("parameters are required together: match_set, match_set_flags".to_owned());
        }
        let known = ["src", "dst", "src,dst", "dst,src", "dst,dst", "src,src"];
        if let Some(flags) = self.match_set_flags.as_deref().filter(|f| !known.contains(f)) {
            return Err(format!("value of match_set_flags must be one of: {}, got: {flags}", known.join(", ")));
        }
        match (self.target(), self.reject_with.is_some(), self.log_prefix.is_some() || self.log_level.is_some()) {
            (Some(jump), true, _) if jump != "REJECT" => Err("Provided reject_with with jump other than REJECT".into()),
            (Some(jump), _, true) if jump != "LOG" => {
                Err("Logging options can only be used with the LOG jump target.".into())
            }
            _ => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let programs: &[&str] = match self.ip_version {
            IpVersion::Ipv4 => &["iptables"],
            IpVersion::Ipv6 => &["ip6tables"],
            IpVersion::Both => &["iptables", "ip6tables"],
        };
        let mut outcome = Outcome::unchanged();
        for program in programs {
            host.require_program(program)?;
            outcome.changed |= self.on(host, program)?;
        }
        let version = match self.ip_version {
            IpVersion::Ipv4 => "ipv4",
            IpVersion::Ipv6 => "ipv6",
            IpVersion::Both => "both",
        };
        outcome.set("ip_version", version);
        outcome.set("table", self.table_name());
        outcome.set("chain", self.chain.clone());
        outcome.set("flush", self.flush);
        outcome.set("rule", self.rule().join(" "));
        outcome.set("state", if self.state == State::Present { "present" } else { "absent" });
        outcome.set("chain_management", self.chain_management);
        Ok(outcome)
    }
}

impl Iptables {
    fn table_name(&self) -> &'static str {
        match self.table {
            Table::Filter => "filter",
            Table::Nat => "nat",
            Table::Mangle => "mangle",
            Table::Raw => "raw",
            Table::Security => "security",
        }
    }

    fn command(&self, program: &str, action: &str) -> Command {
        let chain = self.chain.clone();
        Command::new(program).args(["-t", self.table_name(), action]).args(chain).c_locale()
    }

    /// Brings one of the two filters to what is wanted; whether that changes it.
    fn on(&self, host: &Host, program: &str) -> Result<bool, Failure> {
        if self.flush {
            host.run_ok(&self.command(program, "-F"))?;
            return Ok(true);
        }
        if let Some(policy) = self.policy {
            return self.set_policy(host, program, policy);
        }
        let rule = self.rule();
        if rule.is_empty() && self.chain_management {
            return self.manage_chain(host, program);
        }
        let there = host.query(&self.command(program, "-C").args(&rule))?.rc == 0;
        if there == (self.state == State::Present) {
            return Ok(false);
        }
        if self.state == State::Absent {
            host.run_ok(&self.command(program, "-D").args(&rule))?;
            return Ok(true);
        }
        if self.chain_management && !self.chain_exists(host, program)? {
            host.run_ok(&self.command(program, "-N"))?;
        }
        let add = match self.action {
            Place::Append => self.command(program, "-A"),
            Place::Insert => self.command(program, "-I").args(self.rule_num.clone()),
        };
        host.run_ok(&add.args(&rule))?;
        Ok(true)
    }

    fn chain_exists(&self, host: &Host, program: &str) -> Result<bool, Failure> {
        let list = self.command(program, "-L").args(self.numeric.then_some("--numeric"));
        Ok(host.query(&list)?.rc == 0)
    }

    fn manage_chain(&self, host: &Host, program: &str) -> Result<bool, Failure> {
        let there = self.chain_exists(host, program)?;
        if there == (self.state == State::Present) {
            return Ok(false);
        }
        let action = if self.state == State::Present { "-N" } else { "-X" };
        host.run_ok(&self.command(program, action))?;
        Ok(true)
    }

    fn set_policy(&self, host: &Host, program: &str, policy: Policy) -> Result<bool, Failure> {
        let wanted = match policy {
            Policy::Accept => "ACCEPT",
            Policy::Drop => "DROP",
            Policy::Queue => "QUEUE",
            Policy::Return => "RETURN",
        };
        let list = self.command(program, "-L").args(self.numeric.then_some("--numeric"));
        let output = host.query_ok(&list)?.stdout_text();
        let current = output.lines().find_map(|line| {
            line.strip_prefix("Chain ")?.split_once("(policy ")?.1.split([' ', ')']).next().map(ToOwned::to_owned)
        });
        if current.as_deref() == Some(wanted) {
            return Ok(false);
        }
        host.run_ok(&self.command(program, "-P").arg(wanted))?;
        Ok(true)
    }
}
