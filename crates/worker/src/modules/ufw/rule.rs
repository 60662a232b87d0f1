//! A rule's words, and what a dry run says of it.

use super::{Firewall, Relative, Ufw, tuples};
use crate::args::is_word;
use crate::module::Failure;

impl Ufw {
    /// Refuses values that ufw would take for further words or options.
    pub(super) fn check_words(&self) -> Result<(), String> {
        let values = [
            ("from_ip", Some(&self.from_ip)),
            ("from_port", self.from_port.as_ref()),
            ("to_ip", Some(&self.to_ip)),
            ("to_port", self.to_port.as_ref()),
            ("interface", self.interface.as_ref()),
            ("interface_in", self.interface_in.as_ref()),
            ("interface_out", self.interface_out.as_ref()),
        ];
        let bad = |value: &&String| !value.is_empty() && !is_word(value);
        match values.into_iter().find_map(|(name, value)| value.filter(bad).map(|value| (name, value))) {
            Some((name, value)) => Err(format!("argument '{name}' cannot be '{value}'")),
            None => Ok(()),
        }
    }

    /// The rule, from `route` to the comment; what is empty says nothing.
    pub(super) fn words(&self, firewall: &mut Firewall<'_>) -> Result<Vec<String>, Failure> {
        let mut words: Vec<String> = Vec::new();
        let mut push = |given: &[&str]| words.extend(given.iter().map(|w| (*w).to_owned()));
        if self.route {
            push(&["route"]);
        }
        if self.delete {
            push(&["delete"]);
        } else if let Some(number) = self.number(firewall)? {
            push(&["insert", &number.to_string()]);
        }
        push(&[self.rule.map_or("allow", super::Rule::word)]);
        if let Some(direction) = self.direction {
            push(&[direction.word()]);
        }
        if let Some(interface) = said(&self.interface) {
            push(&["on", interface]);
        }
        for (way, interface) in [("in", &self.interface_in), ("out", &self.interface_out)] {
            if let Some(interface) = said(interface) {
                push(&[way, "on", interface]);
            }
        }
        if self.log {
            push(&["log"]);
        }
        for (way, address, port) in [("from", &self.from_ip, &self.from_port), ("to", &self.to_ip, &self.to_port)] {
            if !address.is_empty() {
                push(&[way, address]);
            }
            if let Some(port) = said(port) {
                push(&["port", port]);
            }
        }
        if let Some(protocol) = self.proto {
            push(&["proto", protocol.word()]);
        }
        if let Some(name) = said(&self.name) {
            push(&["app", name]);
        }
        if let Some(comment) = said(&self.comment) {
            push(&["comment", comment]);
        }
        Ok(words)
    }

    /// The number to insert the rule at; none when it goes to the end.
    fn number(&self, firewall: &mut Firewall<'_>) -> Result<Option<i64>, Failure> {
        let Some(offset) = self.insert else { return Ok(None) };
        if self.insert_relative_to == Relative::Zero {
            return Ok(Some(offset));
        }
        let listed = numbered(&firewall.ask(&["status", "numbered"])?);
        let last = listed.iter().map(|(number, _)| *number).max().unwrap_or(0);
        let last_v4 = listed.iter().filter(|(_, v6)| !v6).map(|(number, _)| *number).max();
        let base = match self.insert_relative_to {
            Relative::FirstV4 => 1,
            Relative::LastV4 => last_v4.unwrap_or(1),
            Relative::FirstV6 => last_v4.unwrap_or(0) + 1,
            Relative::LastV6 => last.max(1),
            Relative::Zero => 0,
        };
        // ufw refuses a number past the last rule; without one the rule goes there.
        Ok(Some(base + offset).filter(|number| *number <= last))
    }

    /// Whether the rule, or its removal, would make the rules others.
    pub(super) fn predicted_rule(&self, firewall: &mut Firewall<'_>, current: &[String]) -> Result<bool, Failure> {
        let words = self.words(firewall)?;
        let mut all = vec!["--dry-run"];
        all.extend(words.iter().map(String::as_str));
        let said = firewall.ask(&all)?;
        Ok(differs(&said, current))
    }
}

fn said(value: &Option<String>) -> Option<&String> {
    value.as_ref().filter(|text| !text.is_empty())
}

/// Whether a dry run's account, of the rules of one IP version or of both, is other than the rules there are.
fn differs(said: &str, current: &[String]) -> bool {
    let says = |prefix: &str| said.lines().any(|line| line.starts_with(prefix));
    if !says("*filter") && !says(super::TUPLE) && !says("### RULES ###") {
        // Nothing but "Skipping adding existing rule" or "Could not delete non-existent rule".
        let skipped = said.lines().filter(|l| !l.is_empty());
        return !skipped.clone().all(|l| l.starts_with("Skipping") || l.starts_with("Could not delete"));
    }
    let (v4, v6) = (says("Rules updated") && said.lines().any(|l| l == "Rules updated"), says("Rules updated (v6)"));
    let is_v6 = |line: &&String| line.split_whitespace().any(|word| word.matches(':').count() > 1);
    let current: Vec<&String> = match (v4, v6) {
        (true, false) => current.iter().filter(|line| !is_v6(line)).collect(),
        (false, true) => current.iter().filter(is_v6).collect(),
        _ => current.iter().collect(),
    };
    let after = tuples(said);
    after.len() != current.len() || after.iter().zip(current).any(|(a, b)| a != b)
}

/// The rules of `ufw status numbered`: number, and whether it is one for IPv6.
fn numbered(text: &str) -> Vec<(i64, bool)> {
    let lines = text.lines().filter_map(|line| {
        let (number, rest) = line.strip_prefix('[')?.split_once(']')?;
        // As in the reference, what ufw itself marks: a rule for an IPv6 address and a port has no mark.
        let v6 = rest.split(" # ").next().unwrap_or_default().contains("(v6)");
        Some((number.trim().parse().ok()?, v6))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dry_runs_are_compared_with_the_rules() {
        let v4 = "### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in".to_owned();
        let v6 = "### tuple ### allow tcp 22 ::/0 any ::/0 in".to_owned();
        let both = [v4.clone(), v6.clone()];
        assert!(!differs("Skipping adding existing rule\nSkipping adding existing rule (v6)\n", &both));
        assert!(!differs("Could not delete non-existent rule\n", &both));
        let account = |lines: &[&String], said: &str| {
            let lines: Vec<&str> = lines.iter().map(|l| l.as_str()).collect();
            format!("*filter\n### RULES ###\n{}\n### END RULES ###\n{said}", lines.join("\n"))
        };
        assert!(!differs(&account(&[&v4, &v6], "Rules updated\nRules updated (v6)\n"), &both));
        assert!(differs(&account(&[], "Rules updated\nRules updated (v6)\n"), &both));
        assert!(!differs(&account(&[&v4], "Rules updated\n"), &both));
        assert!(differs(&account(&[&v4, &v4], "Rules updated\n"), &both));
        assert!(!differs(&account(&[&v6], "Rules updated (v6)\n"), &both));
    }

    #[test]
    fn numbers_tell_versions_apart() {
        let text = "Status: active\n\n[ 1] 22/tcp   ALLOW IN    Anywhere   # a (v6) comment\n\
                    [ 2] 25/tcp  DENY IN  2001:db8::/32\n[10] 22/tcp (v6)  ALLOW IN  Anywhere (v6)\n";
        assert_eq!(numbered(text), [(1, false), (2, false), (10, true)]);
    }
}
