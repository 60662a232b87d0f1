//! `network`: interfaces, their addresses, default routes, and names of storage networks.

mod netlink;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use netlink::{Address, Link, Netlink};
use rplay_protocol::Object;
use serde_json::{Value, json};

use super::Gather;

/// The targets by which the default route is found: public addresses, never sent anything.
const FAR_V4: &str = "8.8.8.8";
const FAR_V6: &str = "2404:6800:400a:800::1012";

pub(super) fn gather(gather: &Gather<'_>, facts: &mut Object) {
    let Ok(netlink) = Netlink::open() else { return };
    let links = netlink.links().unwrap_or_default();
    let addresses = netlink.addresses().unwrap_or_default();
    let mut interfaces = Object::new();
    for link in &links {
        describe(gather, link, &addresses, &mut interfaces);
    }
    let (v4, v6): (Vec<&Address>, Vec<&Address>) = addresses.iter().partition(|a| a.address.is_ipv4());
    let listed = |of: &[&Address]| -> Value {
        of.iter().filter(|a| !a.address.is_loopback()).map(|a| Value::String(a.address.to_string())).collect()
    };
    facts.insert("interfaces".into(), interfaces.keys().map(|k| Value::String(k.clone())).collect());
    facts.insert("default_ipv4".into(), default_v4(&netlink, &links, &interfaces));
    facts.insert("default_ipv6".into(), default_v6(&netlink, &links, &interfaces));
    facts.insert("all_ipv4_addresses".into(), listed(&v4));
    facts.insert("all_ipv6_addresses".into(), listed(&v6));
    let reachable = |v6| {
        let mut local: Vec<String> = netlink.routes(v6).unwrap_or_default().iter().filter_map(local_route).collect();
        local.sort();
        local.dedup();
        local
    };
    facts.insert("locally_reachable_ips".into(), json!({"ipv4": reachable(false), "ipv6": reachable(true)}));
    for (name, interface) in interfaces {
        facts.insert(name.replace(['-', ':'], "_"), interface);
    }
}

/// A destination that this host answers for itself, as `ip route` writes it.
fn local_route(route: &netlink::Route) -> Option<String> {
    const RTN_LOCAL: u8 = 2;
    const TABLE_LOCAL: u32 = 255;
    let destination = route.destination.filter(|_| route.kind == RTN_LOCAL && route.table == TABLE_LOCAL)?;
    let whole = if destination.is_ipv4() { 32 } else { 128 };
    Some(if route.prefix == whole { destination.to_string() } else { format!("{destination}/{}", route.prefix) })
}

fn describe(gather: &Gather<'_>, link: &Link, addresses: &[Address], interfaces: &mut Object) {
    let mut out = device(gather, link);
    for address in addresses.iter().filter(|a| a.index == link.index && a.address.is_ipv6()) {
        let entry = json!({
            "address": address.address.to_string(),
            "prefix": address.prefix.to_string(),
            "scope": scope(address.scope),
        });
        append(&mut out, "ipv6", entry);
    }
    let mut aliases: Vec<(String, Object)> = Vec::new();
    for address in addresses.iter().filter(|a| a.index == link.index) {
        let Some(entry) = v4_entry(address) else { continue };
        let label = address.label.as_deref().filter(|label| *label != link.name);
        if let Some(label) = label {
            match aliases.iter_mut().find(|(name, _)| name == label) {
                Some((_, alias)) => add_v4(alias, entry.clone(), address.secondary),
                None => {
                    let mut alias = Object::new();
                    add_v4(&mut alias, entry.clone(), address.secondary);
                    aliases.push((label.to_owned(), alias));
                }
            }
        }
        if label.is_none() || address.secondary {
            add_v4(&mut out, entry, address.secondary);
        }
    }
    interfaces.insert(link.name.clone(), Value::Object(out));
    interfaces.extend(aliases.into_iter().map(|(name, alias)| (name, Value::Object(alias))));
}

fn add_v4(interface: &mut Object, entry: Value, secondary: bool) {
    if !secondary && !interface.contains_key("ipv4") {
        interface.insert("ipv4".into(), entry);
    } else {
        append(interface, "ipv4_secondaries", entry);
    }
}

fn append(object: &mut Object, key: &str, entry: Value) {
    match object.entry(key).or_insert_with(|| Value::Array(Vec::new())) {
        Value::Array(list) => list.push(entry),
        other => *other = Value::Array(vec![entry]),
    }
}

fn v4_entry(address: &Address) -> Option<Value> {
    let IpAddr::V4(own) = address.address else { return None };
    let mask = u32::MAX.checked_shl(32 - u32::from(address.prefix.min(32))).unwrap_or(0);
    Some(json!({
        "address": own.to_string(),
        "broadcast": address.broadcast.map(|b| b.to_string()).unwrap_or_default(),
        "netmask": Ipv4Addr::from(mask).to_string(),
        "network": Ipv4Addr::from(u32::from(own) & mask).to_string(),
        "prefix": address.prefix.to_string(),
    }))
}

fn scope(scope: u8) -> &'static str {
    match scope {
        0 => "global",
        200 => "site",
        253 => "link",
        254 => "host",
        _ => "nowhere",
    }
}

/// What sysfs and the kernel say of a device itself.
fn device(gather: &Gather<'_>, link: &Link) -> Object {
    const IFF_PROMISC: u32 = 0x100;
    let base = Path::new("/sys/class/net").join(&link.name);
    let read = |name: &str| gather.line(base.join(name));
    let link_name = |name: &str| {
        let target = gather.host.read_link(&base.join(name)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    };
    let mut out = Object::new();
    out.insert("device".into(), link.name.clone().into());
    if !link.hardware_address.is_empty() && link.hardware != LOOPBACK {
        let text: Vec<String> = link.hardware_address.iter().map(|b| format!("{b:02x}")).collect();
        out.insert("macaddress".into(), text.join(":").into());
    }
    out.insert("mtu".into(), link.mtu.into());
    out.insert("active".into(), (read("operstate").as_deref() != Some("down")).into());
    if let Some(module) = link_name("device/driver/module") {
        out.insert("module".into(), module.into());
    }
    out.insert("type".into(), kind(link.hardware).into());
    bridge(gather, &base, &mut out);
    bonding(gather, &base, &mut out);
    if let Some(id) = link_name("device") {
        out.insert("pciid".into(), id.into());
    }
    if let Some(speed) = read("speed").and_then(|s| s.parse::<i64>().ok()) {
        out.insert("speed".into(), speed.into());
    }
    out.insert("promisc".into(), (link.flags & IFF_PROMISC != 0).into());
    out
}

const LOOPBACK: u16 = 772;

/// What an `ARPHRD_*` number is called.
fn kind(hardware: u16) -> &'static str {
    match hardware {
        1 => "ether",
        32 => "infiniband",
        512 => "ppp",
        768 | 769 | 776 | 778 | 823 => "tunnel",
        LOOPBACK => "loopback",
        _ => "unknown",
    }
}

fn bridge(gather: &Gather<'_>, base: &Path, out: &mut Object) {
    if !gather.host.exists(&base.join("bridge")).unwrap_or(false) {
        return;
    }
    out.insert("type".into(), "bridge".into());
    let ports = gather.names(base.join("brif"));
    out.insert("interfaces".into(), ports.into());
    if let Some(id) = gather.line(base.join("bridge/bridge_id")) {
        out.insert("id".into(), id.into());
    }
    if let Some(stp) = gather.line(base.join("bridge/stp_state")) {
        out.insert("stp".into(), (stp == "1").into());
    }
}

fn bonding(gather: &Gather<'_>, base: &Path, out: &mut Object) {
    let base = base.join("bonding");
    if !gather.host.exists(&base).unwrap_or(false) {
        return;
    }
    out.insert("type".into(), "bonding".into());
    let first = |name: &str| {
        gather
            .line(base.join(name))
            .and_then(|l| l.split_whitespace().next().map(ToOwned::to_owned))
            .unwrap_or_default()
    };
    let slaves = gather.line(base.join("slaves")).unwrap_or_default();
    out.insert("slaves".into(), slaves.split_whitespace().collect::<Vec<_>>().into());
    for (key, file) in [("mode", "mode"), ("miimon", "miimon"), ("lacp_rate", "lacp_rate")] {
        out.insert(key.into(), first(file).into());
    }
    let primary = first("primary");
    if !primary.is_empty() {
        out.insert("primary".into(), primary.into());
        out.insert("all_slaves_active".into(), (first("all_slaves_active") == "1").into());
    }
}

/// The interface that leads to a far target, and what its entry there starts with.
fn way_out(netlink: &Netlink, links: &[Link], target: &str) -> Option<(String, IpAddr, Object)> {
    let route = netlink.route_to(target.parse().ok()?)?;
    let name = &links.iter().find(|l| l.index == route.index)?.name;
    let source = route.source?;
    let mut out = Object::new();
    if let Some(gateway) = route.gateway {
        out.insert("gateway".into(), gateway.to_string().into());
    }
    out.insert("interface".into(), name.clone().into());
    out.insert("address".into(), source.to_string().into());
    Some((name.clone(), source, out))
}

fn default_v4(netlink: &Netlink, links: &[Link], interfaces: &Object) -> Value {
    let Some((name, source, mut out)) = way_out(netlink, links, FAR_V4) else { return json!({}) };
    let source = Value::String(source.to_string());
    for (alias, interface) in interfaces {
        let of_device = *alias == name || alias.starts_with(&format!("{name}:"));
        let secondaries = interface["ipv4_secondaries"].as_array().map(Vec::as_slice).unwrap_or_default();
        let entry =
            std::iter::once(&interface["ipv4"]).chain(secondaries).find(|e| of_device && e["address"] == source);
        if let Some(Value::Object(entry)) = entry {
            for key in ["broadcast", "netmask", "network", "prefix"] {
                out.insert(key.into(), entry.get(key).cloned().unwrap_or_default());
            }
            out.insert("alias".into(), alias.clone().into());
            break;
        }
    }
    with_device(&mut out, &interfaces[&name]);
    Value::Object(out)
}

fn default_v6(netlink: &Netlink, links: &[Link], interfaces: &Object) -> Value {
    let Some((name, source, mut out)) = way_out(netlink, links, FAR_V6) else { return json!({}) };
    let source = Value::String(source.to_string());
    let entries = interfaces[&name]["ipv6"].as_array().map(Vec::as_slice).unwrap_or_default();
    if let Some(entry) = entries.iter().find(|e| e["address"] == source) {
        out.insert("prefix".into(), entry["prefix"].clone());
        out.insert("scope".into(), entry["scope"].clone());
    }
    with_device(&mut out, &interfaces[&name]);
    Value::Object(out)
}

fn with_device(out: &mut Object, interface: &Value) {
    for key in ["macaddress", "mtu", "type"] {
        if let Some(value) = interface.get(key) {
            out.insert(key.into(), value.clone());
        }
    }
}

/// `fibre_channel_wwn`: the names of the host's fibre channel ports.
pub(super) fn fibre_channel(gather: &Gather<'_>, facts: &mut Object) {
    let names = gather.host.glob(Path::new("/sys/class/fc_host/*/port_name")).unwrap_or_default();
    let wwns: Vec<String> = names.into_iter().filter_map(|path| gather.line(path)).map(|l| strip_hex(&l)).collect();
    facts.insert("fibre_channel_wwn".into(), wwns.into());
}

fn strip_hex(text: &str) -> String {
    text.trim_start_matches("0x").to_owned()
}

/// `hostnqn`: the name of this host for NVMe over fabrics.
pub(super) fn nvme(gather: &Gather<'_>, facts: &mut Object) {
    let text = gather.host.text("/etc/nvme/hostnqn").unwrap_or_default();
    let name = text.lines().find(|line| line.starts_with("nqn.")).unwrap_or_default();
    facts.insert("hostnqn".into(), name.trim().into());
}

/// `iscsi_iqn`: the name of this host as an iSCSI initiator.
pub(super) fn iscsi(gather: &Gather<'_>, facts: &mut Object) {
    let text = gather.host.text("/etc/iscsi/initiatorname.iscsi").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("InitiatorName=")).unwrap_or_default();
    facts.insert("iscsi_iqn".into(), name.trim().into());
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(ip: &str, prefix: u8, secondary: bool, label: &str) -> Address {
        Address {
            index: 2,
            address: ip.parse().unwrap(),
            broadcast: None,
            prefix,
            scope: 0,
            secondary,
            label: Some(label.to_owned()),
        }
    }

    #[test]
    fn secondary_and_labelled_addresses_have_their_places() {
        let dir = tempfile::tempdir().unwrap();
        let host = crate::host::Host::at(dir.path());
        let gather = Gather::new(&host);
        let link = Link { index: 2, name: "eth0".into(), hardware: 1, mtu: 1500, ..Link::default() };
        let addresses = [
            address("10.0.0.2", 8, false, "eth0"),
            address("10.0.0.3", 8, true, "eth0"),
            address("10.0.0.4", 8, true, "eth0:1"),
            address("172.16.0.1", 20, false, "eth0:2"),
            address("2001:db8::1", 64, false, "eth0"),
        ];
        let mut interfaces = Object::new();
        describe(&gather, &link, &addresses, &mut interfaces);
        let eth0 = &interfaces["eth0"];
        assert_eq!(eth0["ipv4"]["address"], "10.0.0.2");
        assert_eq!(eth0["ipv4"]["network"], "10.0.0.0");
        assert_eq!(eth0["ipv4_secondaries"].as_array().unwrap().len(), 2);
        assert_eq!(interfaces["eth0:1"]["ipv4_secondaries"][0]["address"], "10.0.0.4");
        assert_eq!(interfaces["eth0:2"]["ipv4"]["netmask"], "255.255.240.0");
        assert_eq!(eth0["ipv6"][0], json!({"address": "2001:db8::1", "prefix": "64", "scope": "global"}));
    }
}
