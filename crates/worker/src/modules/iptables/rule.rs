//! A rule's words, in the order in which the reference puts them.

use super::{IpVersion, Iptables, Syn};

/// Words in the making.
#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn push(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(|w| (*w).to_owned()));
    }

    /// A flag with its value; a value that begins with `!` negates.
    fn param(&mut self, flag: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        match value.strip_prefix('!') {
            Some(value) => self.push(&["!", flag, value.trim_start()]),
            None => self.push(&[flag, value]),
        }
    }

    /// A flag with its value as it is.
    fn plain(&mut self, flag: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.push(&[flag, value]);
        }
    }
}

impl Iptables {
    /// The rule, from the protocol to the comment.
    pub(super) fn rule(&self, version: IpVersion) -> Vec<String> {
        let mut words = Words::default();
        words.param("-p", self.protocol.as_deref());
        words.param("-s", self.source.as_deref());
        words.param("-d", self.destination.as_deref());
        for extension in &self.matches {
            words.push(&["-m", extension]);
        }
        if let Some(flags) = self.tcp_flags.as_ref().filter(|f| !f.flags.is_empty() && !f.flags_set.is_empty()) {
            words.push(&["--tcp-flags", &flags.flags.join(","), &flags.flags_set.join(",")]);
        }
        self.target(&mut words);
        words.param("-g", self.goto.as_deref());
        words.param("-i", self.in_interface.as_deref());
        words.param("-o", self.out_interface.as_deref());
        self.fragments(&mut words);
        if let Some(counters) = &self.set_counters {
            words.push(&["-c"]);
            words.0.extend(counters.split([' ', ',']).filter(|c| !c.is_empty()).map(ToOwned::to_owned));
        }
        self.ports(&mut words);
        words.plain("--set-dscp", self.set_dscp_mark.as_deref());
        words.plain("--set-dscp-class", self.set_dscp_mark_class.as_deref());
        match self.syn {
            Syn::Match => words.push(&["--syn"]),
            Syn::Negate => words.push(&["!", "--syn"]),
            Syn::Ignore => {}
        }
        self.extensions(&mut words);
        words.plain("--reject-with", self.reject_with.as_deref());
        let icmp = if version == IpVersion::V6 { "--icmpv6-type" } else { "--icmp-type" };
        words.param(icmp, self.icmp_type.as_deref());
        if let Some(comment) = &self.comment {
            self.extension(&mut words, "comment");
            words.push(&["--comment", comment]);
        }
        words.0
    }

    fn target(&self, words: &mut Words) {
        words.plain("-j", self.jump.as_deref());
        if self.jump.as_deref().is_some_and(|jump| jump.eq_ignore_ascii_case("tee")) {
            words.plain("--gateway", self.gateway.as_deref());
        }
        words.plain("--log-prefix", self.log_prefix.as_deref());
        words.plain("--log-level", self.log_level.as_deref());
        words.plain("--to-destination", self.to_destination.as_deref());
        words.plain("--to-source", self.to_source.as_deref());
    }

    /// `!` means packets that are no further fragments; any other text, those that are.
    fn fragments(&self, words: &mut Words) {
        match self.fragment.as_deref().filter(|f| !f.is_empty()) {
            None => {}
            Some("!") => words.push(&["!", "-f"]),
            Some(_) => words.push(&["-f"]),
        }
    }

    fn ports(&self, words: &mut Words) {
        words.param("--source-port", self.source_port.as_deref());
        words.param("--destination-port", self.destination_port.as_deref());
        if !self.destination_ports.is_empty() {
            self.extension(words, "multiport");
            words.push(&["--dports", &self.destination_ports.join(",")]);
        }
        words.plain("--to-ports", self.to_ports.as_deref());
    }

    /// Loads an extension, unless the task does.
    fn extension(&self, words: &mut Words, name: &str) {
        if !self.matches.iter().any(|m| m == name) {
            words.push(&["-m", name]);
        }
    }

    fn extensions(&self, words: &mut Words) {
        if !self.ctstate.is_empty() {
            // The old extension has its own word for the same.
            if self.matches.iter().any(|m| m == "state") {
                words.push(&["--state", &self.ctstate.join(",")]);
            } else {
                self.extension(words, "conntrack");
                words.push(&["--ctstate", &self.ctstate.join(",")]);
            }
        }
        if self.src_range.is_some() || self.dst_range.is_some() {
            self.extension(words, "iprange");
            words.param("--src-range", self.src_range.as_deref());
            words.param("--dst-range", self.dst_range.as_deref());
        }
        if let (Some(set), Some(flags)) = (&self.match_set, &self.match_set_flags) {
            self.extension(words, "set");
            words.param("--match-set", Some(set));
            words.push(&[flags]);
        }
        if self.limit.is_some() || self.limit_burst.is_some() {
            self.extension(words, "limit");
            words.param("--limit", self.limit.as_deref());
            words.param("--limit-burst", self.limit_burst.as_deref());
        }
        for (flag, owner) in [("--uid-owner", &self.uid_owner), ("--gid-owner", &self.gid_owner)] {
            if let Some(owner) = owner {
                self.extension(words, "owner");
                words.param(flag, Some(owner));
            }
        }
    }
}
