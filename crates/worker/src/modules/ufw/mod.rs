//! `community.general.ufw`.

mod rule;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::host::{Command, Host};
use crate::module::{Failure, Module, Outcome};

/// Manages the firewall with ufw.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Ufw {
    /// Whether the firewall runs.
    #[serde(default)]
    state: Option<State>,
    /// What happens to traffic that no rule is about.
    #[serde(default, alias = "policy")]
    default: Option<Policy>,
    /// How much is logged.
    #[serde(default)]
    logging: Option<Logging>,
    /// For a rule, `in` or `out`; for a default, `incoming`, `outgoing` or `routed`.
    #[serde(default)]
    direction: Option<Direction>,
    /// What the rule does.
    #[serde(default)]
    rule: Option<Rule>,
    /// Whether the rule is about traffic that is passed on.
    #[serde(default)]
    route: bool,
    /// Whether new connections that match are logged.
    #[serde(default)]
    log: bool,
    /// The number that the rule gets.
    #[serde(default)]
    insert: Option<i64>,
    /// What `insert` counts from.
    #[serde(default = "zero")]
    insert_relative_to: Relative,
    /// Source address.
    #[serde(default = "any", alias = "from", alias = "src")]
    from_ip: String,
    /// Source port.
    #[serde(default)]
    from_port: Option<String>,
    /// Destination address.
    #[serde(default = "any", alias = "dest", alias = "to")]
    to_ip: String,
    /// Destination port.
    #[serde(default, alias = "port")]
    to_port: Option<String>,
    /// Protocol.
    #[serde(default, alias = "protocol")]
    proto: Option<Protocol>,
    /// An application profile.
    #[serde(default, alias = "app")]
    name: Option<String>,
    /// The interface; `direction` says which way.
    #[serde(default, alias = "if")]
    interface: Option<String>,
    /// The interface that traffic comes in by.
    #[serde(default, alias = "if_in")]
    interface_in: Option<String>,
    /// The interface that traffic goes out by.
    #[serde(default, alias = "if_out")]
    interface_out: Option<String>,
    /// Whether the rule is removed.
    #[serde(default)]
    delete: bool,
    /// A comment on the rule.
    #[serde(default)]
    comment: Option<String>,
}

fn zero() -> Relative {
    Relative::Zero
}

fn any() -> String {
    "any".to_owned()
}

/// Declares a choice together with the word that stands for each.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
        enum $name { $(#[serde(rename = $word)] $variant),* }
        impl $name {
            #[allow(dead_code)]
            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
    };
}

words! {
    /// Whether the firewall runs.
    State { Disabled = "disabled", Enabled = "enabled", Reloaded = "reloaded", Reset = "reset" }
}
words! {
    /// What happens to traffic that no rule is about.
    Policy { Allow = "allow", Deny = "deny", Reject = "reject" }
}
words! {
    /// How much is logged.
    Logging { On = "on", Off = "off", Low = "low", Medium = "medium", High = "high", Full = "full" }
}
words! {
    /// Ways of traffic.
    Direction { In = "in", Incoming = "incoming", Out = "out", Outgoing = "outgoing", Routed = "routed" }
}
words! {
    /// What a rule does.
    Rule { Allow = "allow", Deny = "deny", Limit = "limit", Reject = "reject" }
}
words! {
    /// What rule numbers count from.
    Relative {
        FirstV4 = "first-ipv4", FirstV6 = "first-ipv6", LastV4 = "last-ipv4", LastV6 = "last-ipv6", Zero = "zero",
    }
}
words! {
    /// Protocols.
    Protocol {
        Any = "any", Tcp = "tcp", Udp = "udp", Ipv6 = "ipv6", Esp = "esp", Ah = "ah", Gre = "gre", Igmp = "igmp",
        Vrrp = "vrrp",
    }
}

/// The files that hold rules, in the places where versions of ufw keep them.
const RULES: [&str; 6] = [
    "/lib/ufw/user.rules",
    "/lib/ufw/user6.rules",
    "/etc/ufw/user.rules",
    "/etc/ufw/user6.rules",
    "/var/lib/ufw/user.rules",
    "/var/lib/ufw/user6.rules",
];

/// How a line that stands for a rule begins, in the rule files and in what a dry run prints.
const TUPLE: &str = "### tuple";

impl Module for Ufw {
    const NAME: &'static str = "community.general.ufw";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        if self.state.is_none() && self.default.is_none() && self.rule.is_none() && self.logging.is_none() {
            return Err("one of the following is required: state, default, rule, logging".to_owned());
        }
        let groups: [&[(&str, bool)]; 3] = [
            &[("name", self.name.is_some()), ("proto", self.proto.is_some()), ("logging", self.logging.is_some())],
            &[("direction", self.direction.is_some()), ("interface_in", self.interface_in.is_some())],
            &[("direction", self.direction.is_some()), ("interface_out", self.interface_out.is_some())],
        ];
        if let Some(group) = groups.iter().find(|group| group.iter().filter(|(_, given)| *given).count() > 1) {
            let names: Vec<&str> = group.iter().map(|(name, _)| *name).collect();
            return Err(format!("parameters are mutually exclusive: {}", names.join("|")));
        }
        if self.interface.is_some() && self.direction.is_none() {
            return Err("missing parameter(s) required by 'interface': direction".to_owned());
        }
        let inward = matches!(self.direction, None | Some(Direction::In | Direction::Out));
        if self.rule.is_some() && !inward {
            let msg = "For rules, direction must be one of \"in\" and \"out\", or direction must not be specified.";
            return Err(msg.to_owned());
        }
        if self.default.is_some() && matches!(self.direction, Some(Direction::In | Direction::Out)) {
            let msg = "For default, direction must be one of \"outgoing\", \"incoming\" and \"routed\", or direction \
                       must not be specified.";
            return Err(msg.to_owned());
        }
        if !self.route && self.interface_in.is_some() && self.interface_out.is_some() {
            return Err("Only route rules can combine interface_in and interface_out".to_owned());
        }
        self.check_words()
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let mut firewall = Firewall { host, program: host.require_program("ufw")?, commands: Vec::new() };
        let before = firewall.status()?;
        let rules = rules(host);
        let mut changed = false;
        if host.check_mode() {
            changed |= self.state.is_some_and(|state| predicted_state(state, &before));
            changed |= self.default.is_some_and(|policy| predicted_default(policy, self.direction, &before));
            if self.rule.is_some() {
                changed |= self.predicted_rule(&mut firewall, &rules)?;
            }
            changed |= self.logging.is_some_and(|logging| predicted_logging(logging, &before));
            return Ok(Outcome::new(changed).with("commands", firewall.commands));
        }
        if let Some(state) = self.state {
            let word = match state {
                State::Enabled => "enable",
                State::Disabled => "disable",
                State::Reloaded => "reload",
                State::Reset => "reset",
            };
            firewall.change(&["-f", word])?;
            changed |= matches!(state, State::Reloaded | State::Reset);
        }
        if let Some(policy) = self.default {
            let direction = self.direction.map(Direction::word);
            firewall.change(&["default", policy.word()].into_iter().chain(direction).collect::<Vec<_>>())?;
        }
        if self.rule.is_some() {
            let words = self.words(&mut firewall)?;
            firewall.change(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        if let Some(logging) = self.logging {
            // The status of a firewall that does not run tells nothing of it.
            let level = logged_level(host);
            firewall.change(&["logging", logging.word()])?;
            changed |= level != logged_level(host);
        }
        let after = firewall.status()?;
        changed |= before != after || rules != self::rules(host);
        Ok(Outcome::new(changed).with("commands", firewall.commands).with("msg", after.trim_end()))
    }
}

/// ufw, and how it was called.
struct Firewall<'a> {
    host: &'a Host,
    program: std::path::PathBuf,
    commands: Vec<String>,
}

impl Firewall<'_> {
    fn command(&mut self, words: &[&str]) -> Command {
        let command = Command::new(&self.program).c_locale().args(words);
        self.commands.push(command.words().iter().map(|w| shell_words::quote(w)).collect::<Vec<_>>().join(" "));
        command
    }

    /// Asks something that changes nothing.
    fn ask(&mut self, words: &[&str]) -> Result<String, Failure> {
        let command = self.command(words);
        let output = self.host.query(&command)?;
        if output.rc == 0 { Ok(output.stdout_text()) } else { Err(self.failure(&output.complaint())) }
    }

    fn status(&mut self) -> Result<String, Failure> {
        self.ask(&["status", "verbose"])
    }

    fn change(&mut self, words: &[&str]) -> Result<(), Failure> {
        let command = self.command(words);
        match self.host.run(&command)? {
            Some(output) if output.rc != 0 => Err(self.failure(&output.complaint())),
            _ => Ok(()),
        }
    }

    fn failure(&self, said: &str) -> Failure {
        Failure::new(format!("{said}\n")).with("commands", self.commands.clone())
    }
}

/// The rules as the files have them.
fn rules(host: &Host) -> Vec<String> {
    let texts = RULES.iter().filter_map(|path| host.text(path));
    texts.flat_map(|text| tuples(&text)).collect()
}

fn tuples(text: &str) -> Vec<String> {
    text.lines().filter(|line| line.starts_with(TUPLE)).map(ToOwned::to_owned).collect()
}

fn active(status: &str) -> bool {
    status.lines().any(|line| line.trim() == "Status: active")
}

fn predicted_state(state: State, status: &str) -> bool {
    match state {
        State::Enabled => !active(status),
        State::Disabled => active(status),
        State::Reloaded | State::Reset => true,
    }
}

/// Whether a default would change; a firewall that does not run does not tell its defaults.
fn predicted_default(policy: Policy, direction: Option<Direction>, status: &str) -> bool {
    let way = match direction {
        None | Some(Direction::In | Direction::Incoming) => "incoming",
        Some(Direction::Out | Direction::Outgoing) => "outgoing",
        Some(Direction::Routed) => "routed",
    };
    let Some(line) = status.lines().find_map(|line| line.strip_prefix("Default: ")) else { return true };
    let current = line.split(", ").find_map(|part| part.strip_suffix(&format!(" ({way})")));
    // `disabled` stands there while the kernel passes nothing on, whatever the default is.
    current.is_none_or(|current| current != policy.word() && current != "disabled")
}

fn predicted_logging(logging: Logging, status: &str) -> bool {
    let Some(line) = status.lines().find_map(|line| line.strip_prefix("Logging: ")) else { return true };
    match logging {
        Logging::On => !line.starts_with("on"),
        Logging::Off => line.trim() != "off",
        level => !line.contains(&format!("({})", level.word())),
    }
}

/// The level of logging that ufw's own settings have.
fn logged_level(host: &Host) -> String {
    let text = host.text("/etc/ufw/ufw.conf").unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix("LOGLEVEL="));
    value.unwrap_or_default().trim_matches('"').to_owned()
}
