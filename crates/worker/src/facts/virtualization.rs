//! `virtual`: the containers and machines that this host is in, and those it can hold.
//!
//! Each sign adds to the list of techniques; the first sign found decides on type and role.

use std::path::Path;

use rplay_protocol::Object;

use super::Gather;

#[derive(Default)]
struct Found {
    kind: Option<(String, &'static str)>,
    guest: Vec<String>,
    host: Vec<String>,
}

impl Found {
    /// This is a guest of `tech`; known as `kind` when no earlier sign said otherwise.
    fn guest(&mut self, tech: &str, kind: &str) {
        self.guest.push(tech.to_owned());
        self.decide(kind, "guest");
    }

    fn host(&mut self, tech: &str) {
        self.host.push(tech.to_owned());
        self.decide(tech, "host");
    }

    fn decide(&mut self, kind: &str, role: &'static str) {
        if self.kind.is_none() {
            self.kind = Some((kind.to_owned(), role));
        }
    }
}

pub(super) fn gather(gather: &Gather<'_>, facts: &mut Object) {
    let mut found = Found::default();
    containers(gather, &mut found);
    machines(gather, &mut found);
    hosts(gather, &mut found);
    let (kind, role) = found.kind.unwrap_or_else(|| ("NA".to_owned(), "NA"));
    let listed = |mut techs: Vec<String>| {
        techs.sort();
        techs.dedup();
        techs
    };
    facts.insert("virtualization_type".into(), kind.into());
    facts.insert("virtualization_role".into(), role.into());
    facts.insert("virtualization_tech_guest".into(), listed(found.guest).into());
    facts.insert("virtualization_tech_host".into(), listed(found.host).into());
}

fn containers(gather: &Gather<'_>, found: &mut Found) {
    let groups = gather.host.text("/proc/1/cgroup").unwrap_or_default();
    let in_docker = groups.lines().any(|line| {
        line.contains("/docker/") || line.contains("/docker-") || line.contains("/ecs/") || line.contains("/kubepods")
    });
    if in_docker || gather.exists("/.dockerenv") || gather.exists("/.dockerinit") {
        found.guest("docker", "docker");
        found.guest("container", "docker");
    }
    if groups.lines().any(|line| line.contains("/lxc/") || line.contains("/machine.slice/machine-lxc")) {
        found.guest("lxc", "lxc");
        found.guest("container", "lxc");
    }
    let environment = gather.host.text("/proc/1/environ").unwrap_or_default();
    let said = environment.split('\0').find_map(|pair| pair.strip_prefix("container="));
    match said {
        Some("lxc") => {
            found.guest("lxc", "lxc");
            found.guest("container", "lxc");
        }
        Some("podman") => {
            found.guest("podman", "podman");
            found.guest("container", "podman");
        }
        Some(other) if !other.is_empty() => found.guest("container", "container"),
        _ => {}
    }
    if gather.exists("/run/.containerenv") && said != Some("podman") {
        found.guest("podman", "podman");
        found.guest("container", "podman");
    }
    if gather.line("/run/systemd/container").as_deref() == Some("systemd-nspawn") {
        found.guest("systemd-nspawn", "systemd-nspawn");
        found.guest("container", "systemd-nspawn");
    }
    if gather.exists("/proc/vz") && !gather.exists("/proc/lve") {
        if gather.exists("/proc/bc") { found.host("openvz") } else { found.guest("openvz", "openvz") }
    }
    if gather.exists("/proc/xen") {
        let capable = gather.line("/proc/xen/capabilities").is_some_and(|text| text.contains("control_d"));
        if capable { found.host("xen") } else { found.guest("xen", "xen") }
    }
}

/// Signs of a virtual machine: its firmware's names, its processor, its kernel's knowledge.
fn machines(gather: &Gather<'_>, found: &mut Found) {
    let dmi = |file: &str| gather.line(format!("/sys/devices/virtual/dmi/id/{file}")).unwrap_or_default();
    let (product, vendor, bios) = (dmi("product_name"), dmi("sys_vendor"), dmi("bios_vendor"));
    let kvm_products = ["KVM", "KVM Server", "Bochs", "AHV"];
    if kvm_products.contains(&product.as_str()) {
        found.guest("kvm", "kvm");
    }
    if vendor == "oVirt" {
        found.guest("oVirt", "oVirt");
    }
    if matches!(vendor.as_str(), "Red Hat") && product.starts_with("RHEV") {
        found.guest("RHEV", "RHEV");
    }
    if product == "RHEV Hypervisor" {
        found.guest("RHEV", "RHEV");
    }
    if matches!(product.as_str(), "VMware Virtual Platform" | "VMware7,1" | "VMware20,1") {
        found.guest("VMware", "VMware");
    }
    if matches!(product.as_str(), "OpenStack Compute" | "OpenStack Nova") {
        found.guest("openstack", "openstack");
    }
    if bios == "Xen" {
        found.guest("xen", "xen");
    }
    if bios == "innotek GmbH" || product == "VirtualBox" {
        found.guest("virtualbox", "virtualbox");
    }
    if matches!(bios.as_str(), "Amazon EC2" | "DigitalOcean" | "Hetzner") || vendor.contains("Amazon EC2") {
        found.guest("kvm", "kvm");
    }
    if bios == "BHYVE" {
        found.guest("bhyve", "bhyve");
    }
    let kvm_vendors =
        ["QEMU", "Amazon EC2", "DigitalOcean", "Google", "Scaleway", "Nutanix", "KubeVirt", "Hetzner", "Alibaba Cloud"];
    if kvm_vendors.contains(&vendor.as_str()) {
        found.guest("kvm", "kvm");
    }
    if vendor == "Microsoft Corporation" && product == "Virtual Machine" {
        found.guest("VirtualPC", "VirtualPC");
    }
    if vendor == "Parallels Software International Inc." || vendor == "Parallels International GmbH." {
        found.guest("parallels", "parallels");
    }
    if vendor == "OpenStack Foundation" {
        found.guest("openstack", "openstack");
    }
    let status = gather.host.text("/proc/self/status").unwrap_or_default();
    let context = status.lines().find_map(|line| line.strip_prefix("VxID:")).map(str::trim);
    match context {
        Some("0") => found.host("linux_vserver"),
        Some(_) => found.guest("linux_vserver", "linux_vserver"),
        None => {}
    }
    let cpu = gather.host.text("/proc/cpuinfo").unwrap_or_default();
    let models = || cpu.lines().filter(|line| line.starts_with("model name"));
    if models().any(|line| line.contains("QEMU Virtual CPU") || line.contains("Common KVM processor")) {
        found.guest("kvm", "kvm");
    }
    if cpu.lines().any(|line| line.starts_with("vendor_id") && line.contains("User Mode Linux")) {
        found.guest("uml", "uml");
    }
    if cpu.lines().any(|line| line.starts_with("vendor_id") && line.contains("PowerVM Lx86")) {
        found.guest("powervm_lx86", "powervm_lx86");
    }
    if gather.line("/sys/hypervisor/type").as_deref() == Some("xen") {
        found.guest("xen", "xen");
    }
}

/// Signs of a host that can hold machines.
fn hosts(gather: &Gather<'_>, found: &mut Found) {
    let modules = gather.host.text("/proc/modules").unwrap_or_default();
    let loaded = |name: &str| modules.lines().any(|line| line.split(' ').next() == Some(name));
    if loaded("kvm") || gather.exists("/dev/kvm") {
        found.host("kvm");
    }
    if loaded("vboxdrv") {
        found.host("virtualbox");
    }
    if loaded("virtio") && found.guest.is_empty() {
        found.guest("kvm", "kvm");
    }
    if gather.host.exists(Path::new("/dev/vmmon")).unwrap_or(false) {
        found.host("VMware");
    }
}

#[cfg(test)]
// The tests prepare their own little host.
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::host::Host;

    fn facts(files: &[(&str, &str)]) -> Object {
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let real = dir.path().join(path.trim_start_matches('/'));
            std::fs::create_dir_all(real.parent().unwrap()).unwrap();
            std::fs::write(&real, content).unwrap();
        }
        let host = Host::at(dir.path());
        let mut facts = Object::new();
        gather(&Gather::new(&host), &mut facts);
        facts
    }

    #[test]
    fn the_first_sign_decides() {
        let dmi = "/sys/devices/virtual/dmi/id";
        let (vendor, product) = (format!("{dmi}/sys_vendor"), format!("{dmi}/product_name"));
        for (files, kind, role, guest) in [
            (vec![("/.dockerenv", ""), ("/dev/kvm", "")], "docker", "guest", json!(["container", "docker"])),
            (
                vec![
                    ("/proc/1/environ", "A=b\0container=systemd-nspawn\0"),
                    ("/run/systemd/container", "systemd-nspawn"),
                ],
                "container",
                "guest",
                json!(["container", "systemd-nspawn"]),
            ),
            (vec![(vendor.as_str(), "QEMU\n"), (&product, "Standard PC\n")], "kvm", "guest", json!(["kvm"])),
            (vec![(vendor.as_str(), "Hetzner\n"), (&product, "vServer\n")], "kvm", "guest", json!(["kvm"])),
            (vec![("/proc/modules", "kvm 1 2 - Live\n")], "kvm", "host", json!([])),
            (vec![], "NA", "NA", json!([])),
        ] {
            let got = facts(&files);
            assert_eq!(got["virtualization_type"], Value::from(kind), "{files:?}");
            assert_eq!(got["virtualization_role"], Value::from(role), "{files:?}");
            assert_eq!(got["virtualization_tech_guest"], guest, "{files:?}");
        }
    }
}
