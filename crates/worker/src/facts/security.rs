//! `selinux`, `apparmor`, `fips` and `caps`: what confines programs here.

use rplay_protocol::Object;
use serde_json::{Value, json};

use super::Gather;

pub(super) fn apparmor(gather: &Gather<'_>, facts: &mut Object) {
    let on = gather.exists("/sys/kernel/security/apparmor");
    facts.insert("apparmor".into(), json!({"status": if on { "enabled" } else { "disabled" }}));
}

pub(super) fn fips(gather: &Gather<'_>, facts: &mut Object) {
    let on = gather.line("/proc/sys/crypto/fips_enabled").as_deref() == Some("1");
    facts.insert("fips".into(), on.into());
}

pub(super) fn selinux(gather: &Gather<'_>, facts: &mut Object) {
    // The reference tells whether its Python bindings are there; what they would be asked is read directly.
    facts.insert("selinux_python_present".into(), true.into());
    if !gather.host.selinux_enabled() {
        facts.insert("selinux".into(), json!({"status": "disabled"}));
        return;
    }
    let config = gather.host.text("/etc/selinux/config").unwrap_or_default();
    let setting = |key: &str| {
        let line = config.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
        line.map_or_else(|| "unknown".to_owned(), |value| value.trim().to_owned())
    };
    let mode = match gather.line("/sys/fs/selinux/enforce").as_deref() {
        Some("1") => "enforcing",
        Some("0") => "permissive",
        _ => "unknown",
    };
    let version = gather.line("/sys/fs/selinux/policyvers").and_then(|v| v.parse::<i64>().ok());
    let facts_of = json!({
        "status": "enabled",
        "policyvers": version.map_or_else(|| "unknown".into(), Value::from),
        "config_mode": setting("SELINUX").to_lowercase(),
        "mode": mode,
        "type": setting("SELINUXTYPE"),
    });
    facts.insert("selinux".into(), facts_of);
}

/// Capabilities by number.
const CAPABILITIES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

pub(super) fn capabilities(gather: &Gather<'_>, facts: &mut Object) {
    let status = gather.host.text("/proc/self/status").unwrap_or_default();
    let set = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or_default()
    };
    let last = gather.line("/proc/sys/kernel/cap_last_cap").and_then(|n| n.parse::<usize>().ok()).unwrap_or(40);
    let text = cap_text(set("CapEff"), set("CapInh"), set("CapPrm"), last);
    let all = text == "=ep";
    facts.insert("system_capabilities_enforced".into(), if all { "False" } else { "True" }.into());
    let listed: Vec<&str> = match text.split('=').nth(1) {
        Some(sets) if !all => sets.split(',').map(str::trim).collect(),
        _ => Vec::new(),
    };
    facts.insert("system_capabilities".into(), listed.into());
}

/// A process's capabilities as cap_to_text(3) writes them: what most have, then what the others have more or less.
fn cap_text(effective: u64, inheritable: u64, permitted: u64, last: usize) -> String {
    let combination = |n: usize| {
        let bit = |set: u64| usize::from(set >> n & 1 == 1);
        bit(effective) | bit(permitted) << 1 | bit(inheritable) << 2
    };
    let count = last.min(63) + 1;
    let mut histogram = [0; 8];
    for n in 0..count {
        histogram[combination(n)] += 1;
    }
    let base = (0..8).rev().fold(0, |best, t| if histogram[t] > histogram[best] { t } else { best });
    let flags = |c: usize| {
        let letters = [(1, 'e'), (4, 'i'), (2, 'p')];
        letters.iter().filter(|(bit, _)| c & bit != 0).map(|(_, letter)| *letter).collect::<String>()
    };
    let others: Vec<usize> = (0..8).rev().filter(|t| *t != base && histogram[*t] > 0).collect();
    let mut parts = Vec::new();
    if base != 0 || others.is_empty() {
        parts.push(format!("={}", flags(base)));
    }
    for other in others {
        let names = (0..count).filter(|n| combination(*n) == other).map(|n| match CAPABILITIES.get(n) {
            Some(name) => format!("cap_{name}"),
            None => n.to_string(),
        });
        let names = names.collect::<Vec<_>>().join(",");
        if base == 0 {
            parts.push(format!("{names}={}", flags(other)));
            continue;
        }
        let (more, less) = (other & !base, base & !other);
        let more = if more == 0 { String::new() } else { format!("+{}", flags(more)) };
        let less = if less == 0 { String::new() } else { format!("-{}", flags(less)) };
        parts.push(format!("{names}{more}{less}"));
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_written_as_libcap_does() {
        let all = (1 << 41) - 1;
        assert_eq!(cap_text(all, 0, all, 40), "=ep");
        assert_eq!(cap_text(0, 0, 0, 40), "=");
        let most = 0x1ff_feff_ffff;
        assert_eq!(cap_text(most, 0, most, 40), "=ep cap_sys_resource-ep");
        assert_eq!(cap_text(0b10_0001, 0, 0b10_0001, 40), "cap_chown,cap_kill=ep");
    }
}
