//! `platform`: kernel, machine and names.

use rplay_protocol::Object;

use super::Gather;

pub(super) fn gather(gather: &Gather<'_>, facts: &mut Object) {
    super::python::version(gather, facts);
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let machine = text(uname.machine());
    let node = gather.line("/proc/sys/kernel/hostname").unwrap_or_else(|| text(uname.nodename()));
    let hosts = gather.host.text("/etc/hosts").unwrap_or_default();
    let full = full_name(&node, &hosts);
    facts.insert("system".into(), text(uname.sysname()).into());
    facts.insert("kernel".into(), text(uname.release()).into());
    facts.insert("kernel_version".into(), text(uname.version()).into());
    facts.insert("machine".into(), machine.clone().into());
    facts.insert("fqdn".into(), full.clone().into());
    facts.insert("hostname".into(), node.split('.').next().unwrap_or_default().into());
    facts.insert("domain".into(), full.split_once('.').map_or("", |(_, domain)| domain).into());
    facts.insert("nodename".into(), node.into());
    let (bits, userspace) = userspace(gather, &machine);
    facts.insert("userspace_bits".into(), bits.into());
    let architecture = architecture(&machine);
    facts.insert("architecture".into(), architecture.into());
    facts.insert("userspace_architecture".into(), userspace.into());
    let id = gather.line("/var/lib/dbus/machine-id").or_else(|| gather.line("/etc/machine-id"));
    if let Some(id) = id {
        facts.insert("machine_id".into(), id.into());
    }
}

/// What the reference calls a machine's architecture: one name for all 32-bit PCs.
fn architecture(machine: &str) -> &str {
    match machine {
        "i386" | "i486" | "i586" | "i686" | "i86pc" => "i386",
        other => other,
    }
}

/// The host's name with its domain, by the lines of hosts(5), as the C library finds it.
///
/// The first line that has the name decides: its canonical name if that is a full one, else the first full one of its
/// other names, else the canonical name of the address that the name has.
fn full_name(node: &str, hosts: &str) -> String {
    let lines = || {
        hosts.lines().filter_map(|line| {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let address = words.next()?;
            let names: Vec<&str> = words.collect();
            (!names.is_empty()).then_some((address, names))
        })
    };
    let Some((address, _)) = lines().find(|(_, names)| names.contains(&node)) else { return node.to_owned() };
    let Some((_, names)) = lines().find(|(other, _)| *other == address) else { return node.to_owned() };
    let full = names.iter().find(|name| name.contains('.')).or(names.first());
    (*full.unwrap_or(&node)).to_owned()
}

/// Word length and architecture of the programs on this host: those of process 1's or the shell's ELF header.
fn userspace(gather: &Gather<'_>, machine: &str) -> (&'static str, String) {
    use std::io::Read;
    let mut class = [0; 5];
    let read = gather.host.open(std::path::Path::new("/bin/sh")).is_ok_and(|mut f| f.read_exact(&mut class).is_ok());
    let narrow = if read && class.starts_with(b"\x7fELF") { class[4] == 1 } else { usize::BITS == 32 };
    match (narrow, machine) {
        (true, "x86_64") => ("32", "i386".to_owned()),
        (true, "aarch64") => ("32", "armv7l".to_owned()),
        (true, other) => ("32", architecture(other).to_owned()),
        (false, other) => ("64", architecture(other).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_hosts() {
        let debian = "127.0.0.1 localhost\n127.0.1.1 web.example.org web # own\n::1 localhost\n";
        assert_eq!(full_name("web", debian), "web.example.org");
        assert_eq!(full_name("other", debian), "other");
        assert_eq!(full_name("vm", "127.0.0.1 localhost\n127.0.0.1 vm\n"), "localhost");
        assert_eq!(full_name("web", "10.0.0.1 web web.example.org\n"), "web.example.org");
        assert_eq!(full_name("host-01", "127.0.1.1 host-01\n"), "host-01");
        assert_eq!(full_name("x", ""), "x");
    }
}
