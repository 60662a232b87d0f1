//! Lists of hosts on the command line (`-i web1,web2`), and names with ports.

use super::range::{self, RangeError};
use super::{Inventory, UNGROUPED};
use crate::diagnostic::Diagnostic;

/// Adds the hosts between commas.
pub(super) fn read(inventory: &mut Inventory, source: &str) {
    for part in source.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, port) = split_port(part);
        add(inventory, name, port);
    }
}

/// Adds the hosts between commas, which may have ranges.
pub(super) fn read_advanced(inventory: &mut Inventory, source: &str) -> Result<(), Diagnostic> {
    for part in source.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (pattern, port) = split_port(part);
        match range::expand(pattern) {
            Ok(names) => names.iter().for_each(|name| add(inventory, name, port)),
            Err(RangeError::NoRange(why)) => {
                inventory.notes.push(format!("Unable to parse address from hostname, leaving unchanged: {why}"));
                add(inventory, part, None);
            }
            Err(RangeError::Unusable(why)) => {
                let message = format!("Invalid data from string, could not parse: {why}");
                return Err(Diagnostic::error("inventory::syntax", message));
            }
        }
    }
    Ok(())
}

fn add(inventory: &mut Inventory, name: &str, port: Option<i64>) {
    if inventory.host(name).is_none() {
        inventory.add_member(UNGROUPED, name);
    }
    if let Some(port) = port {
        inventory.set_variables(name, [("ansible_port".into(), port.into())]);
    }
}

/// `host:port`, `[v6]:port`; a bare IPv6 address has no port.
pub(super) fn split_port(pattern: &str) -> (&str, Option<i64>) {
    if let Some((host, port)) = pattern.rsplit_once(':')
        && !host.is_empty()
        && port.bytes().all(|b| b.is_ascii_digit())
        && let Ok(port) = port.parse()
    {
        if let Some(address) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'))
            && address.parse::<std::net::Ipv6Addr>().is_ok()
        {
            return (address, Some(port));
        }
        let mut depth = 0usize;
        let mut colons = false;
        for c in host.chars() {
            match c {
                '[' => depth += 1,
                ']' => depth = depth.saturating_sub(1),
                ':' if depth == 0 => colons = true,
                _ => {}
            }
        }
        if !colons && depth == 0 {
            return (host, Some(port));
        }
    }
    (pattern, None)
}

#[cfg(test)]
mod tests {
    use super::split_port;

    #[test]
    fn ports_and_addresses() {
        let cases = [
            ("web", ("web", None)),
            ("web:22", ("web", Some(22))),
            ("web:x", ("web:x", None)),
            ("10.0.0.1:33", ("10.0.0.1", Some(33))),
            ("2001:db8::2", ("2001:db8::2", None)),
            ("[2001:db8::1]:22", ("2001:db8::1", Some(22))),
            ("a[1:3]:22", ("a[1:3]", Some(22))),
            ("a[1:3", ("a[1:3", None)),
            (":22", (":22", None)),
        ];
        for (text, want) in cases {
            assert_eq!(split_port(text), want, "{text}");
        }
    }
}
