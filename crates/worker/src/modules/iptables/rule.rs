//! A rule's words, in the order in which the reference gives them to iptables(8).

use super::{Iptables, LogLevel, Syn};

/// The words of a rule.
#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn push(&mut self, flag: &str, value: &str) {
        self.0.push(flag.to_owned());
        self.0.push(value.to_owned());
    }

    fn option(&mut self, flag: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.push(flag, value);
        }
    }

    /// An option whose value may begin with `!`.
    fn negatable(&mut self, flag: &str, value: Option<&String>) {
        if let Some(value) = value {
            match value.strip_prefix('!') {
                Some(rest) => {
                    self.0.push("!".to_owned());
                    self.push(flag, rest.trim_start());
                }
                None => self.push(flag, value),
            }
        }
    }
}

impl Iptables {
    /// What to do with the packet, said or implied.
    pub(super) fn target(&self) -> Option<String> {
        let implied = if self.reject_with.is_some() {
            Some("REJECT")
        } else if self.log_prefix.is_some() || self.log_level.is_some() {
            Some("LOG")
        } else {
            None
        };
        self.jump.clone().or_else(|| implied.map(ToOwned::to_owned))
    }

    fn loads(&self, extension: &str) -> bool {
        self.matches.iter().any(|m| m == extension)
    }

    /// The rule, without table, action and chain; empty when nothing is said about packets.
    pub(super) fn rule(&self) -> Vec<String> {
        let mut words = Words::default();
        words.option("-w", self.wait.as_ref());
        words.negatable("-p", self.protocol.as_ref());
        words.negatable("-s", self.source.as_ref());
        words.negatable("-d", self.destination.as_ref());
        for extension in &self.matches {
            words.push("-m", extension);
        }
        if let Some(flags) = &self.tcp_flags {
            words.push("--tcp-flags", &flags.flags.join(","));
            words.0.push(flags.flags_set.join(","));
        }
        words.option("-j", self.target().as_ref());
        self.target_options(&mut words);
        words.option("-g", self.goto.as_ref());
        words.negatable("-i", self.in_interface.as_ref());
        words.negatable("-o", self.out_interface.as_ref());
        words.negatable("-f", self.fragment.as_ref());
        if let Some(counters) = &self.set_counters {
            words.0.push("-c".to_owned());
            words.0.extend(counters.split_whitespace().map(ToOwned::to_owned));
        }
        words.negatable("--source-port", self.source_port.as_ref());
        words.negatable("--destination-port", self.destination_port.as_ref());
        if !self.destination_ports.is_empty() {
            self.load(&mut words, "multiport");
            words.push("--dports", &self.destination_ports.join(","));
        }
        words.option("--to-ports", self.to_ports.as_ref());
        words.option("--set-dscp", self.set_dscp_mark.as_ref());
        words.option("--set-dscp-class", self.set_dscp_mark_class.as_ref());
        match self.syn {
            Syn::Ignore => {}
            Syn::Match => words.0.push("--syn".to_owned()),
            Syn::Negate => words.0.extend(["!".to_owned(), "--syn".to_owned()]),
        }
        self.extension_options(&mut words);
        words.0
    }

    fn load(&self, words: &mut Words, extension: &str) {
        if !self.loads(extension) {
            words.push("-m", extension);
        }
    }

    fn target_options(&self, words: &mut Words) {
        words.option("--log-prefix", self.log_prefix.as_ref());
        if let Some(level) = self.log_level {
            words.push("--log-level", level.name());
        }
        words.option("--gateway", self.gateway.as_ref());
        words.option("--to-destination", self.to_destination.as_ref());
        words.option("--to-source", self.to_source.as_ref());
    }

    fn extension_options(&self, words: &mut Words) {
        if !self.ctstate.is_empty() {
            let states = self.ctstate.join(",");
            match self.loads("state") {
                true => words.push("--state", &states),
                false => {
                    self.load(words, "conntrack");
                    words.push("--ctstate", &states);
                }
            }
        }
        if self.src_range.is_some() || self.dst_range.is_some() {
            self.load(words, "iprange");
            words.negatable("--src-range", self.src_range.as_ref());
            words.negatable("--dst-range", self.dst_range.as_ref());
        }
        if let (Some(set), Some(flags)) = (&self.match_set, &self.match_set_flags) {
            self.load(words, "set");
            words.negatable("--match-set", Some(set));
            words.0.push(flags.clone());
        }
        if self.limit.is_some() || self.limit_burst.is_some() {
            self.load(words, "limit");
            words.option("--limit", self.limit.as_ref());
            words.option("--limit-burst", self.limit_burst.as_ref());
        }
        if self.uid_owner.is_some() {
            self.load(words, "owner");
            words.negatable("--uid-owner", self.uid_owner.as_ref());
        }
        if self.gid_owner.is_some() {
            self.load(words, "owner");
            words.negatable("--gid-owner", self.gid_owner.as_ref());
        }
        words.option("--reject-with", self.reject_with.as_ref());
        let icmp = if self.ip_version == super::IpVersion::Ipv6 { "--icmpv6-type" } else { "--icmp-type" };
        words.option(icmp, self.icmp_type.as_ref());
        if self.comment.is_some() {
            self.load(words, "comment");
            words.option("--comment", self.comment.as_ref());
        }
    }
}

impl LogLevel {
    /// The level's name, which iptables lists it by.
    fn name(self) -> &'static str {
        match self {
            Self::Emerg => "emerg",
            Self::Alert => "alert",
            Self::Crit => "crit",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::args;
    use crate::module::Module;
    use serde_json::{Value, json};

    fn rule(value: Value) -> String {
        let module = args::parse::<Iptables>(value.as_object().unwrap()).unwrap();
        module.check().unwrap();
        module.rule().join(" ")
    }

    /// What the reference was seen to give to a stand-in for iptables.
    #[test]
    fn words_are_those_of_the_reference() {
        let cases = [
            (json!({"source": "8.8.8.8", "jump": "DROP"}), "-s 8.8.8.8 -j DROP"),
            (
                json!({"table": "nat", "in_interface": "eth0", "protocol": "tcp", "match": "tcp", "destination_port": 80,
                       "jump": "REDIRECT", "to_ports": 8600, "comment": "Redirect web"}),
                "-p tcp -m tcp -j REDIRECT -i eth0 --destination-port 80 --to-ports 8600 -m comment --comment Redirect web",
            ),
            (
                json!({"ctstate": "ESTABLISHED,RELATED", "jump": "ACCEPT"}),
                "-j ACCEPT -m conntrack --ctstate ESTABLISHED,RELATED",
            ),
            (
                json!({"protocol": "tcp", "destination_port": 22, "ctstate": "NEW", "syn": "match", "jump": "ACCEPT"}),
                "-p tcp -j ACCEPT --destination-port 22 --syn -m conntrack --ctstate NEW",
            ),
            (
                json!({"source": "127.0.0.1", "match": ["set", "comment"], "match_set": "admin", "match_set_flags": "src",
                       "protocol": "tcp", "destination_port": "22", "jump": "ACCEPT"}),
                "-p tcp -s 127.0.0.1 -m set -m comment -j ACCEPT --destination-port 22 --match-set admin src",
            ),
            (json!({"protocol": "tcp", "reject_with": "tcp-reset"}), "-p tcp -j REJECT --reject-with tcp-reset"),
            (
                json!({"jump": "ACCEPT", "protocol": "tcp", "tcp_flags": {"flags": "ALL", "flags_set": ["ACK", "RST"]}}),
                "-p tcp --tcp-flags ALL ACK,RST -j ACCEPT",
            ),
            (
                json!({"jump": "LOG", "log_prefix": "IPT:", "log_level": "info"}),
                "-j LOG --log-prefix IPT: --log-level info",
            ),
            (
                json!({"limit": "10/s", "limit_burst": "20", "uid_owner": "root", "gid_owner": "adm", "icmp_type": "8",
                       "protocol": "icmp", "jump": "ACCEPT"}),
                "-p icmp -j ACCEPT -m limit --limit 10/s --limit-burst 20 -m owner --uid-owner root -m owner --gid-owner adm --icmp-type 8",
            ),
            (
                json!({"out_interface": "eth1", "fragment": "!x", "goto": "FOO", "gateway": "10.1.1.1",
                       "to_destination": "1.2.3.4", "to_source": "4.3.2.1", "source_port": "1:5", "set_counters": "1 2",
                       "wait": "5", "destination": "!10.0.0.0/8", "jump": "TEE", "syn": "negate"}),
                "-w 5 ! -d 10.0.0.0/8 -j TEE --gateway 10.1.1.1 --to-destination 1.2.3.4 --to-source 4.3.2.1 -g FOO -o eth1 \
                 ! -f x -c 1 2 --source-port 1:5 ! --syn",
            ),
            (
                json!({"source": "!1.1.1.1", "in_interface": "!eth0", "uid_owner": "!root", "jump": "ACCEPT", "limit": "1/m"}),
                "! -s 1.1.1.1 -j ACCEPT ! -i eth0 -m limit --limit 1/m -m owner ! --uid-owner root",
            ),
        ];
        for (mut args, want) in cases {
            args["chain"] = "INPUT".into();
            assert_eq!(rule(args), want);
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for bad in [
            json!({"jump": "ACCEPT"}),
            json!({"chain": "INPUT", "jump": "DROP", "reject_with": "tcp-reset"}),
            json!({"chain": "INPUT", "match_set": "x"}),
            json!({"chain": "INPUT", "policy": "DROP", "flush": true}),
        ] {
            let module = args::parse::<Iptables>(bad.as_object().unwrap()).unwrap();
            assert!(module.check().is_err(), "{bad}");
        }
        assert!(args::parse::<Iptables>(json!({"chain": "INPUT", "log_level": "loud"}).as_object().unwrap()).is_err());
    }
}
