//! `ansible.builtin.iptables`.

mod rule;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::host::{Command, Host, Output};
use crate::module::{Failure, Module, Outcome};

/// Manages rules, chains and policies of the kernel's packet filter, as they are in memory.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct Iptables {
    /// The table.
    #[serde(default)]
    table: Table,
    /// Whether the rule, or chain, should be there.
    #[serde(default)]
    state: State,
    /// Whether a new rule goes to the end or to the beginning.
    #[serde(default)]
    action: Action,
    /// The number that an inserted rule gets.
    #[serde(default)]
    rule_num: Option<String>,
    /// For IPv4, IPv6, or both.
    #[serde(default)]
    ip_version: IpVersion,
    /// The chain.
    #[serde(default)]
    chain: Option<String>,
    /// The protocol.
    #[serde(default)]
    protocol: Option<String>,
    /// Where packets come from.
    #[serde(default)]
    source: Option<String>,
    /// Where packets go.
    #[serde(default)]
    destination: Option<String>,
    /// TCP flags to look at, and those of them that must be set.
    #[serde(default)]
    tcp_flags: Option<TcpFlags>,
    /// Extensions to match with.
    #[serde(default, rename = "match")]
    matches: Vec<String>,
    /// What happens to a packet.
    #[serde(default)]
    jump: Option<String>,
    /// With `jump: TEE`, where copies go.
    #[serde(default)]
    gateway: Option<String>,
    /// The text before a logged line.
    #[serde(default)]
    log_prefix: Option<String>,
    /// The level of a logged line.
    #[serde(default)]
    log_level: Option<String>,
    /// The chain to go on in.
    #[serde(default)]
    goto: Option<String>,
    /// The interface that packets come in by.
    #[serde(default)]
    in_interface: Option<String>,
    /// The interface that packets go out by.
    #[serde(default)]
    out_interface: Option<String>,
    /// Matches further fragments only.
    #[serde(default)]
    fragment: Option<String>,
    /// Packet and byte counters of a new rule.
    #[serde(default)]
    set_counters: Option<String>,
    /// Source port or range.
    #[serde(default)]
    source_port: Option<String>,
    /// Destination port or range.
    #[serde(default)]
    destination_port: Option<String>,
    /// Several destination ports.
    #[serde(default)]
    destination_ports: Vec<String>,
    /// The port of a redirection.
    #[serde(default)]
    to_ports: Option<String>,
    /// The destination that DNAT gives.
    #[serde(default)]
    to_destination: Option<String>,
    /// The source that SNAT gives.
    #[serde(default)]
    to_source: Option<String>,
    /// Whether SYN packets match, or all others.
    #[serde(default)]
    syn: Syn,
    /// The DSCP mark to set.
    #[serde(default)]
    set_dscp_mark: Option<String>,
    /// The DSCP class to set.
    #[serde(default)]
    set_dscp_mark_class: Option<String>,
    /// A comment on the rule.
    #[serde(default)]
    comment: Option<String>,
    /// Connection states.
    #[serde(default)]
    ctstate: Vec<String>,
    /// A range of source addresses.
    #[serde(default)]
    src_range: Option<String>,
    /// A range of destination addresses.
    #[serde(default)]
    dst_range: Option<String>,
    /// An ipset to match.
    #[serde(default)]
    match_set: Option<String>,
    /// What of a packet is looked up in the ipset.
    #[serde(default)]
    match_set_flags: Option<String>,
    /// The highest rate of matches.
    #[serde(default)]
    limit: Option<String>,
    /// The burst before the limit holds.
    #[serde(default)]
    limit_burst: Option<String>,
    /// The user whose packets match.
    #[serde(default)]
    uid_owner: Option<String>,
    /// The group whose packets match.
    #[serde(default)]
    gid_owner: Option<String>,
    /// What a rejected packet is answered with.
    #[serde(default)]
    reject_with: Option<String>,
    /// The ICMP type.
    #[serde(default)]
    icmp_type: Option<String>,
    /// Removes all rules of the chain, or of the table.
    #[serde(default)]
    flush: bool,
    /// The chain's policy.
    #[serde(default)]
    policy: Option<Policy>,
    /// Seconds to wait for another program that holds the lock.
    #[serde(default)]
    wait: Option<String>,
    /// Whether the chain itself is made and deleted.
    #[serde(default)]
    chain_management: bool,
    /// Whether listing shows addresses as numbers, which asks no name server.
    #[serde(default)]
    numeric: bool,
}

/// TCP flags to look at, and those of them that must be set.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
struct TcpFlags {
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    flags_set: Vec<String>,
}

/// Declares a choice together with the word that stands for each.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
        enum $name { $($(#[$vmeta])* #[serde(rename = $word)] $variant),* }
        impl $name {
            #[allow(dead_code)]
            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
    };
}

words! {
    /// The tables.
    Table { #[default] Filter = "filter", Nat = "nat", Mangle = "mangle", Raw = "raw", Security = "security" }
}
words! {
    /// Whether something should be there.
    State { Absent = "absent", #[default] Present = "present" }
}
words! {
    /// Where a new rule goes.
    Action { #[default] Append = "append", Insert = "insert" }
}
words! {
    /// Versions of IP.
    IpVersion { #[default] V4 = "ipv4", V6 = "ipv6", Both = "both" }
}
words! {
    /// What the SYN flag decides.
    Syn { #[default] Ignore = "ignore", Match = "match", Negate = "negate" }
}
words! {
    /// What happens to packets that no rule decides on.
    Policy { #[default] Accept = "ACCEPT", Drop = "DROP", Queue = "QUEUE", Return = "RETURN" }
}

const LOG_LEVELS: [&str; 16] =
    ["0", "1", "2", "3", "4", "5", "6", "7", "emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"];

impl Module for Iptables {
    const NAME: &'static str = "ansible.builtin.iptables";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        // As iptables says of those that are to be made.
        if let Some(chain) = self.chain.as_deref().filter(|chain| chain.starts_with(['-', '!'])) {
            return Err(format!("'{chain}' is not the name of a chain"));
        }
        let jump = self.jump.as_deref().unwrap_or_default();
        let refused = [
            (!self.flush && self.chain.is_none(), "flush is False but all of the following are missing: chain"),
            (self.flush && self.policy.is_some(), "parameters are mutually exclusive: flush|policy"),
            (
                self.set_dscp_mark.is_some() && self.set_dscp_mark_class.is_some(),
                "parameters are mutually exclusive: set_dscp_mark|set_dscp_mark_class",
            ),
            (
                self.match_set.is_some() != self.match_set_flags.is_some(),
                "parameters are required together: match_set, match_set_flags",
            ),
            (
                jump.eq_ignore_ascii_case("tee") && self.gateway.is_none(),
                "jump is TEE but all of the following are missing: gateway",
            ),
            (
                !jump.is_empty() && jump != "LOG" && (self.log_prefix.is_some() || self.log_level.is_some()),
                "Logging options can only be used with the LOG jump target.",
            ),
        ];
        if let Some((_, why)) = refused.iter().find(|(is, _)| *is) {
            return Err((*why).to_owned());
        }
        for (name, given) in
            [("set_dscp_mark", &self.set_dscp_mark), ("set_dscp_mark_class", &self.set_dscp_mark_class)]
        {
            if given.is_some() && jump.is_empty() {
                return Err(format!("missing parameter(s) required by '{name}': jump"));
            }
        }
        if let Some(level) = self.log_level.as_ref().filter(|level| !LOG_LEVELS.contains(&level.as_str())) {
            return Err(format!("value of log_level must be one of: {}, got: {level}", LOG_LEVELS.join(", ")));
        }
        let flags = ["src", "dst", "src,dst", "dst,src", "dst,dst", "src,src"];
        if let Some(given) = self.match_set_flags.as_ref().filter(|given| !flags.contains(&given.as_str())) {
            return Err(format!("value of match_set_flags must be one of: {}, got: {given}", flags.join(", ")));
        }
        Ok(())
    }

    fn run(mut self, host: &Host) -> Result<Outcome, Failure> {
        if self.jump.is_none() {
            if self.log_prefix.is_some() || self.log_level.is_some() {
                self.jump = Some("LOG".to_owned());
            } else if self.reject_with.is_some() {
                self.jump = Some("REJECT".to_owned());
            }
        }
        let versions: &[IpVersion] = match self.ip_version {
            IpVersion::Both => &[IpVersion::V4, IpVersion::V6],
            IpVersion::V4 => &[IpVersion::V4],
            IpVersion::V6 => &[IpVersion::V6],
        };
        let mut outcome = Outcome::unchanged();
        let mut shown = String::new();
        for version in versions {
            let program = if *version == IpVersion::V6 { "ip6tables" } else { "iptables" };
            let rule = if self.flush || self.policy.is_some() { Vec::new() } else { self.rule(*version) };
            shown = rule.join(" ");
            outcome.changed |= Filter { task: &self, host, program }.settle(&rule)?;
        }
        outcome.set("ip_version", self.ip_version.word());
        outcome.set("table", self.table.word());
        outcome.set("chain", self.chain.clone());
        outcome.set("flush", self.flush);
        outcome.set("rule", shown);
        outcome.set("state", self.state.word());
        outcome.set("wait", self.wait.clone());
        outcome.set("chain_management", self.chain_management);
        Ok(outcome)
    }
}

/// One of the programs, for one task.
struct Filter<'a> {
    task: &'a Iptables,
    host: &'a Host,
    program: &'static str,
}

impl Filter<'_> {
    /// Brings about what the task describes; says whether anything was, or would be, changed.
    fn settle(&self, rule: &[String]) -> Result<bool, Failure> {
        let task = self.task;
        if task.flush {
            self.change("-F", &[], &[])?;
            return Ok(true);
        }
        if let Some(policy) = task.policy {
            let current = self.current_policy()?;
            if current == policy.word() {
                return Ok(false);
            }
            self.change("-P", &[policy.word().to_owned()], &[])?;
            return Ok(true);
        }
        let present = task.state == State::Present;
        if rule.is_empty() && task.chain_management {
            let there = self.chain_exists()?;
            if there != present {
                self.change(if present { "-N" } else { "-X" }, &[], &[])?;
            }
            return Ok(there != present);
        }
        if present && task.chain_management && !self.chain_exists()? {
            self.change("-N", &[], &[])?;
        }
        let there = self.asks("-C", rule)?.rc == 0;
        if there == present {
            return Ok(false);
        }
        let number = task.rule_num.clone().filter(|_| task.action == Action::Insert);
        match (present, task.action) {
            (false, _) => self.change("-D", &[], rule)?,
            (true, Action::Append) => self.change("-A", &[], rule)?,
            (true, Action::Insert) => self.change("-I", &number.into_iter().collect::<Vec<_>>(), rule)?,
        }
        Ok(true)
    }

    fn command(&self, verb: &str) -> Result<Command, Failure> {
        let mut command = Command::new(self.host.require_program(self.program)?).c_locale();
        command = command.args(["-t", self.task.table.word()]);
        if let Some(wait) = &self.task.wait {
            command = command.args(["-w", wait]);
        }
        command = command.arg(verb);
        Ok(match &self.task.chain {
            Some(chain) => command.arg(chain),
            None => command,
        })
    }

    fn asks(&self, verb: &str, rule: &[String]) -> Result<Output, Failure> {
        let numeric = (self.task.numeric && verb == "-L").then_some("-n");
        self.host.query(&self.command(verb)?.args(numeric).args(rule))
    }

    fn change(&self, verb: &str, words: &[String], rule: &[String]) -> Result<(), Failure> {
        let command = self.command(verb)?.args(words).args(rule);
        let Some(output) = self.host.run(&command)? else { return Ok(()) };
        if output.rc == 0 {
            return Ok(());
        }
        let shown = command.words().iter().map(|w| shell_words::quote(w)).collect::<Vec<_>>().join(" ");
        Err(Failure::new(output.complaint())
            .with("cmd", shown)
            .with("rc", output.rc)
            .with("stdout", output.stdout_text())
            .with("stderr", output.stderr_text()))
    }

    fn chain_exists(&self) -> Result<bool, Failure> {
        // With numbers, so that no name server is asked.
        Ok(self.host.query(&self.command("-L")?.arg("-n"))?.rc == 0)
    }

    fn current_policy(&self) -> Result<String, Failure> {
        let output = self.asks("-L", &[])?;
        let text = output.stdout_text();
        let found = text.lines().find_map(|line| line.split("(policy ").nth(1)?.split([' ', ')']).next());
        found.map(ToOwned::to_owned).ok_or_else(|| {
            let said = output.complaint();
            let why = if output.rc == 0 { "only built-in chains have one" } else { &said };
            Failure::new(format!("Can't detect current policy: {why}"))
        })
    }
}
