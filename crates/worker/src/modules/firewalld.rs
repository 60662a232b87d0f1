//! `ansible.posix.firewalld`: zones and what they let through, by firewall-cmd, or firewall-offline-cmd where no daemon runs.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::host::{Command, Host};
use crate::module::{Failure, Module, Outcome};

/// Manages zones of firewalld.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Firewalld {
    /// Whether the setting, or the zone, should be there.
    state: State,
    /// The zone; the default zone without one.
    #[serde(default)]
    zone: Option<String>,
    /// A service.
    #[serde(default)]
    service: Option<String>,
    /// A port or a range of ports, with its protocol, as in `8081/tcp`.
    #[serde(default)]
    port: Option<String>,
    /// A protocol.
    #[serde(default)]
    protocol: Option<String>,
    /// A port that is forwarded.
    #[serde(default)]
    port_forward: Option<Vec<PortForward>>,
    /// A rule of the rich language.
    #[serde(default)]
    rich_rule: Option<String>,
    /// A source, which is a network or an address.
    #[serde(default)]
    source: Option<String>,
    /// An interface.
    #[serde(default)]
    interface: Option<String>,
    /// A type of ICMP that is blocked.
    #[serde(default)]
    icmp_block: Option<String>,
    /// Whether blocks of ICMP mean the opposite.
    #[serde(default)]
    icmp_block_inversion: Option<bool>,
    /// Whether addresses are masqueraded.
    #[serde(default)]
    masquerade: Option<bool>,
    /// Whether packets go from one interface of the zone to another.
    #[serde(default)]
    forward: Option<bool>,
    /// What becomes of packets that no rule is for.
    #[serde(default)]
    target: Option<Target>,
    /// Whether it is so for good.
    #[serde(default)]
    permanent: bool,
    /// Whether it is so at once; what is not for good always is.
    #[serde(default)]
    immediate: bool,
    /// Whether `immediate` means nothing when firewalld does not run.
    #[serde(default)]
    offline: bool,
    /// For how many seconds it is so, when that is not for good.
    #[serde(default)]
    timeout: u32,
}

/// Whether a setting, or a zone, should be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Absent,
    Disabled,
    Enabled,
    Present,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::Present => "present",
        }
    }

    fn is_on(self) -> bool {
        matches!(self, Self::Enabled | Self::Present)
    }
}

/// What becomes of packets that no rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
enum Target {
    #[serde(rename = "default")]
    Default,
    #[serde(rename = "ACCEPT")]
    Accept,
    #[serde(rename = "DROP")]
    Drop,
    #[serde(rename = "%%REJECT%%")]
    Reject,
}

impl Target {
    fn word(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Accept => "ACCEPT",
            Self::Drop => "DROP",
            Self::Reject => "%%REJECT%%",
        }
    }
}

/// A port that is forwarded.
#[derive(Debug, Deserialize, JsonSchema)]
struct PortForward {
    /// The port.
    port: String,
    /// Its protocol.
    proto: Protocol,
    /// The port that it goes to.
    toport: String,
    /// The address that it goes to.
    #[serde(default)]
    toaddr: Option<String>,
}

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Protocol {
    Udp,
    Tcp,
}

impl PortForward {
    fn text(&self, empty: bool) -> String {
        let proto = if self.proto == Protocol::Tcp { "tcp" } else { "udp" };
        let text = format!("port={}:proto={proto}:toport={}", self.port, self.toport);
        match self.toaddr.as_deref().unwrap_or_default() {
            "" if !empty => text,
            address => format!("{text}:toaddr={address}"),
        }
    }
}

/// A setting of a zone.
struct Setting {
    /// What firewall-cmd calls it, and the value; settings that are on or off have none.
    option: &'static str,
    value: Option<String>,
    /// Whether it should be there.
    on: bool,
    /// What is said when it was changed.
    said: String,
}

impl Module for Firewalld {
    const NAME: &'static str = "ansible.posix.firewalld";

    fn check(&self) -> Result<(), String> {
        let given = [
            self.icmp_block.is_some(),
            self.icmp_block_inversion.is_some(),
            self.service.is_some(),
            self.protocol.is_some(),
            self.port.is_some(),
            self.port_forward.is_some(),
            self.rich_rule.is_some(),
            self.interface.is_some(),
            self.forward.is_some(),
            self.masquerade.is_some(),
            self.source.is_some(),
            self.target.is_some(),
        ];
        let count = given.iter().filter(|given| **given).count();
        if count > 1 {
            return Err("parameters are mutually exclusive: icmp_block|icmp_block_inversion|service|protocol|port|\
                        port_forward|rich_rule|interface|forward|masquerade|source|target"
                .to_owned());
        }
        if self.offline && !self.permanent {
            return Err("offline cannot be enabled unless permanent changes are allowed".to_owned());
        }
        let of_zone = matches!(self.state, State::Absent | State::Present);
        if of_zone && count > 0 && self.target.is_none() {
            return Err("absent and present state can only be used in zone level operations".to_owned());
        }
        if ((of_zone && count == 0) || self.target.is_some()) && (!self.permanent || self.immediate) {
            return Err(
                "Zone operations must be permanent. Make sure you didn't set the 'permanent' flag to 'false' or \
                        the 'immediate' flag to 'true'."
                    .to_owned(),
            );
        }
        if of_zone && count == 0 && self.zone.is_none() {
            return Err("a zone is made or removed by its name: zone is missing".to_owned());
        }
        if self.port.as_deref().is_some_and(|port| !port.contains('/')) {
            return Err("improper port format (missing protocol?)".to_owned());
        }
        match self.port_forward.as_deref() {
            Some([_]) | None => Ok(()),
            Some(_) => Err("Only one port forward supported at a time".to_owned()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let running = is_running(host)?;
        let immediate = (self.immediate || !self.permanent) && (running || !self.offline);
        if immediate && !running {
            let msg = "firewall is not currently running, unable to perform immediate actions without a running firewall \
                       daemon";
            return Err(Failure::new(msg));
        }
        let call = Call { host, running, zone: self.zone.as_deref() };
        let way = match (self.permanent, immediate) {
            (true, true) => "Permanent and Non-Permanent(immediate) operation",
            (true, false) => "Permanent operation",
            (false, _) => "Non-permanent operation",
        };
        let name = match call.zone {
            Some(zone) => zone.to_owned(),
            None => call.ask(&["--get-default-zone".to_owned()], false)?.trim().to_owned(),
        };
        let (changed, said) = if let Some(setting) = self.setting(&name) {
            let mut changed = false;
            for (permanent, wanted) in [(true, self.permanent), (false, immediate)] {
                if wanted && call.has(&setting, permanent)? != setting.on {
                    changed = true;
                    call.set(&setting, permanent, self.timeout)?;
                }
            }
            (changed, setting.said)
        } else if let Some(target) = self.target {
            call.target(target, self.state.is_on(), &name)?
        } else if matches!(self.state, State::Absent | State::Present) {
            call.make(self.state == State::Present, &name)?
        } else {
            // Nothing is asked for.
            return Ok(Outcome::unchanged().with("msg", ""));
        };
        let outcome = Outcome::new(changed);
        if changed && host.check_mode() {
            return Ok(outcome);
        }
        let mut msg = if changed { format!("{way}, {said}") } else { way.to_owned() };
        if !running {
            msg.push_str(", (offline operation: only on-disk configs were altered)");
        }
        Ok(outcome.with("msg", msg))
    }
}

impl Firewalld {
    /// The setting that the task is about.
    fn setting(&self, zone: &str) -> Option<Setting> {
        let (on, word) = (self.state.is_on(), self.state.word());
        let changed = |option: &'static str, name: &str, value: &str| Setting {
            option,
            value: Some(value.to_owned()),
            on,
            said: format!("Changed {name} {value} to {word}"),
        };
        let moved = |what: &str, on: bool| {
            if on { format!("Added {what} to zone {zone}") } else { format!("Removed {what} from zone {zone}") }
        };
        let switch = |option: &'static str, value: bool| {
            let on = value == on;
            Setting { option, value: None, on, said: moved(option, on) }
        };
        let plain = [
            ("service", "service", &self.service),
            ("port", "port", &self.port),
            ("protocol", "protocol", &self.protocol),
            ("icmp-block", "icmp-block", &self.icmp_block),
            ("rich-rule", "rich_rule", &self.rich_rule),
        ];
        if let Some((option, name, value)) = plain.into_iter().find_map(|(o, n, v)| Some((o, n, v.as_deref()?))) {
            return Some(changed(option, name, value));
        }
        if let Some(forward) = self.port_forward.as_deref().and_then(|forwards| forwards.first()) {
            let said = format!("Changed port_forward {} to {word}", forward.text(true));
            return Some(Setting { option: "forward-port", value: Some(forward.text(false)), on, said });
        }
        if let Some(source) = &self.source {
            return Some(Setting { option: "source", value: Some(source.clone()), on, said: moved(source, on) });
        }
        if let Some(interface) = &self.interface {
            let said = if on { format!("Changed {interface} to zone {zone}") } else { moved(interface, on) };
            return Some(Setting { option: "interface", value: Some(interface.clone()), on, said });
        }
        if let Some(inversion) = self.icmp_block_inversion {
            let value = if inversion { "True" } else { "False" };
            let said = format!("Changed icmp-block-inversion {value} to {word}");
            return Some(Setting { said, ..switch("icmp-block-inversion", inversion) });
        }
        let masquerade = self.masquerade.map(|value| switch("masquerade", value));
        masquerade.or_else(|| self.forward.map(|value| switch("forward", value)))
    }
}

fn is_running(host: &Host) -> Result<bool, Failure> {
    let Some(program) = host.find_program("firewall-cmd") else {
        host.require_program("firewall-offline-cmd")?;
        return Ok(false);
    };
    Ok(host.query(&Command::new(program).arg("--state").c_locale())?.rc == 0)
}

/// A call, for a zone or the default one.
struct Call<'a> {
    host: &'a Host,
    running: bool,
    zone: Option<&'a str>,
}

impl Call<'_> {
    /// A command about the zone; every value is part of its option's word.
    fn command(&self, options: &[String], permanent: bool, zoned: bool) -> Result<Command, Failure> {
        let name = if self.running { "firewall-cmd" } else { "firewall-offline-cmd" };
        let mut command = Command::new(self.host.require_program(name)?).c_locale();
        if permanent && self.running {
            command = command.arg("--permanent");
        }
        if let Some(zone) = self.zone.filter(|_| zoned) {
            command = command.arg(format!("--zone={zone}"));
        }
        Ok(command.args(options))
    }

    /// What a query prints.
    fn ask(&self, options: &[String], permanent: bool) -> Result<String, Failure> {
        let output = self.host.query(&self.command(options, permanent, false)?)?;
        if output.rc == 0 { Ok(output.stdout_text()) } else { Err(refused(&output.complaint())) }
    }

    fn has(&self, setting: &Setting, permanent: bool) -> Result<bool, Failure> {
        let output = self.host.query(&self.command(&[setting.words("query")], permanent, true)?)?;
        match output.rc {
            0 => Ok(true),
            1 => Ok(false),
            _ => Err(refused(&output.complaint())),
        }
    }

    fn set(&self, setting: &Setting, permanent: bool, timeout: u32) -> Result<(), Failure> {
        let verb = match (setting.option, setting.on) {
            // It may be in another zone.
            ("interface", true) => "change",
            (_, true) => "add",
            (_, false) => "remove",
        };
        let mut options = vec![setting.words(verb)];
        if timeout > 0 && setting.on && !permanent && !matches!(setting.option, "interface" | "source") {
            options.push(format!("--timeout={timeout}"));
        }
        self.change(&options, permanent, true)
    }

    fn change(&self, options: &[String], permanent: bool, zoned: bool) -> Result<(), Failure> {
        match self.host.run(&self.command(options, permanent, zoned)?)? {
            Some(output) if output.rc != 0 => Err(refused(&output.complaint())),
            _ => Ok(()),
        }
    }

    /// Makes or removes the zone.
    fn make(&self, present: bool, name: &str) -> Result<(bool, String), Failure> {
        let zones = self.ask(&["--get-zones".to_owned()], true)?;
        if zones.split_whitespace().any(|zone| zone == name) == present {
            return Ok((false, String::new()));
        }
        let (option, said) = if present {
            (format!("--new-zone={name}"), format!("Added zone {name}, Changed zone {name} to present"))
        } else {
            (format!("--delete-zone={name}"), format!("Removed zone {name}, Changed zone {name} to absent"))
        };
        self.change(&[option], true, false)?;
        Ok((true, said))
    }

    /// Sets the zone's target, or takes this one from it.
    fn target(&self, target: Target, on: bool, name: &str) -> Result<(bool, String), Failure> {
        let output = self.host.query(&self.command(&["--get-target".to_owned()], true, true)?)?;
        if output.rc != 0 {
            return Err(refused(&output.complaint()));
        }
        let held = output.stdout_text().trim().to_owned();
        let (wanted, said) = if on {
            (target.word(), format!("Set zone {name} target to {}", target.word()))
        } else if held == target.word() {
            ("default", format!("Reset zone {name} target to default"))
        } else {
            return Ok((false, String::new()));
        };
        if held == wanted {
            return Ok((false, String::new()));
        }
        self.change(&[format!("--set-target={wanted}")], true, true)?;
        Ok((true, said))
    }
}

impl Setting {
    fn words(&self, verb: &str) -> String {
        match &self.value {
            Some(value) => format!("--{verb}-{}={value}", self.option),
            None => format!("--{verb}-{}", self.option),
        }
    }
}

/// What firewalld refused, as `INVALID_SERVICE: x`.
fn refused(said: &str) -> Failure {
    let words = said.lines().last().unwrap_or_default();
    Failure::new(format!("ERROR: Exception caught: {}", words.strip_prefix("Error: ").unwrap_or(words)))
}

#[cfg(test)]
#[path = "firewalld_tests.rs"]
mod tests;
