//! `distribution` and `lsb`: which Linux this is, from os-release(5) and the distributions' own files.

use std::collections::HashMap;

use rplay_protocol::Object;
use serde_json::{Value, json};

use super::Gather;

/// Distributions by the family whose tools and paths they share.
const FAMILIES: &[(&str, &[&str])] = &[
    (
        "Debian",
        &[
            "Debian",
            "Ubuntu",
            "Raspbian",
            "Neon",
            "KDE neon",
            "Linux Mint",
            "SteamOS",
            "Devuan",
            "Kali",
            "Cumulus Linux",
            "Pop!_OS",
            "Parrot",
            "Pardus GNU/Linux",
            "Uos",
            "Deepin",
            "OSMC",
            "Linuxmint",
            "Univention Corporate Server",
        ],
    ),
    (
        "RedHat",
        &[
            "RedHat",
            "RHEL",
            "Fedora",
            "CentOS",
            "Scientific",
            "SLC",
            "Ascendos",
            "CloudLinux",
            "PSBM",
            "OracleLinux",
            "OVS",
            "OEL",
            "Amazon",
            "Amzn",
            "Virtuozzo",
            "XenServer",
            "Alibaba",
            "EulerOS",
            "openEuler",
            "AlmaLinux",
            "Rocky",
            "TencentOS",
            "EuroLinux",
            "Kylin Linux Advanced Server",
            "MIRACLE",
            "Anolis",
        ],
    ),
    (
        "Suse",
        &[
            "SuSE",
            "SLES",
            "SLED",
            "openSUSE",
            "openSUSE Tumbleweed",
            "openSUSE Leap",
            "openSUSE MicroOS",
            "SLES_SAP",
            "SUSE_LINUX",
            "ALP-Dolomite",
            "SL-Micro",
            "SLE_RT",
            "SLE_HPC",
            "SLE_Micro",
        ],
    ),
    ("Archlinux", &["Archlinux", "Antergos", "Manjaro"]),
    ("Mandrake", &["Mandrake", "Mandriva"]),
    ("Slackware", &["Slackware"]),
    ("Altlinux", &["Altlinux"]),
    ("Gentoo", &["Gentoo", "Funtoo"]),
    ("Alpine", &["Alpine"]),
    ("NixOS", &["NixOS"]),
    ("ClearLinux", &["Clear Linux OS", "Clear Linux Software for Intel Architecture"]),
];

/// What was found out about the distribution.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Distribution {
    name: String,
    version: String,
    major: Option<String>,
    minor: Option<String>,
    release: Option<String>,
    /// The file that told, and the kind of it.
    file: Option<(&'static str, &'static str)>,
}

pub(super) fn gather(gather: &Gather<'_>, facts: &mut Object) {
    let found = find(gather);
    let family = FAMILIES
        .iter()
        .find(|(_, names)| names.contains(&found.name.as_str()))
        .map_or(&*found.name, |(family, _)| family);
    facts.insert("os_family".into(), family.into());
    let major = found.major.or_else(|| found.version.split('.').next().map(ToOwned::to_owned)).unwrap_or_default();
    facts.insert("distribution".into(), found.name.into());
    facts.insert("distribution_version".into(), found.version.into());
    facts.insert("distribution_major_version".into(), if major.is_empty() { "NA".into() } else { major.into() });
    facts.insert("distribution_release".into(), found.release.unwrap_or_else(|| "NA".to_owned()).into());
    if let Some(minor) = found.minor {
        facts.insert("distribution_minor_version".into(), minor.into());
    }
    if let Some((path, variety)) = found.file {
        facts.insert("distribution_file_path".into(), path.into());
        facts.insert("distribution_file_variety".into(), variety.into());
        facts.insert("distribution_file_parsed".into(), true.into());
    }
}

/// The name that `package` and `service` go by: one of the families.
pub(super) fn family(facts: &Object) -> &str {
    facts.get("os_family").and_then(Value::as_str).unwrap_or_default()
}

/// Assignments of a file such as os-release(5).
fn assignments(text: &str) -> HashMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.trim().split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), unquoted(value))).collect()
}

fn unquoted(value: &str) -> String {
    match shell_words::split(value) {
        Ok(words) => words.join(" "),
        Err(_) => value.trim_matches(['"', '\'']).to_owned(),
    }
}

fn find(gather: &Gather<'_>) -> Distribution {
    let path = if gather.is_file("/etc/os-release") { "/etc/os-release" } else { "/usr/lib/os-release" };
    let release = assignments(&gather.host.text(path).unwrap_or_default());
    let value = |key: &str| release.get(key).cloned().unwrap_or_default();
    let id = value("ID");
    let codename = || Some(value("VERSION_CODENAME")).filter(|c| !c.is_empty());
    match id.as_str() {
        "debian" | "raspbian" | "ubuntu" | "linuxmint" | "kali" | "pop" | "devuan" | "neon" | "parrot" | "deepin" => {
            debian(gather, &id, &value, codename())
        }
        "alpine" => {
            let version = gather.line("/etc/alpine-release").unwrap_or_else(|| value("VERSION_ID"));
            with("Alpine", version, None, Some(("/etc/alpine-release", "Alpine")))
        }
        "arch" | "archarm" => Distribution {
            name: "Archlinux".into(),
            version: "rolling".into(),
            file: gather.is_file("/etc/arch-release").then_some(("/etc/arch-release", "Archlinux")),
            ..Distribution::default()
        },
        "manjaro" => with("Manjaro", value("VERSION_ID"), None, Some(("/etc/os-release", "NA"))),
        "gentoo" => with("Gentoo", gentoo_version(gather), None, Some(("/etc/gentoo-release", "Gentoo"))),
        "amzn" => with("Amazon", value("VERSION_ID"), None, Some(("/etc/os-release", "Amazon"))),
        _ if id.starts_with("opensuse")
            || matches!(id.as_str(), "sles" | "sled" | "sle_hpc" | "sles_sap" | "sl-micro") =>
        {
            suse(&id, &value)
        }
        _ if gather.is_file("/etc/redhat-release") => redhat(gather, &value, codename()),
        _ => {
            let name = [value("NAME"), id.clone()].into_iter().find(|n| !n.is_empty());
            with(&name.unwrap_or_else(|| "Linux".to_owned()), value("VERSION_ID"), codename(), None)
        }
    }
}

fn with(
    name: &str,
    version: String,
    release: Option<String>,
    file: Option<(&'static str, &'static str)>,
) -> Distribution {
    Distribution { name: name.to_owned(), version, release, file, ..Distribution::default() }
}

fn debian(gather: &Gather<'_>, id: &str, value: &dyn Fn(&str) -> String, codename: Option<String>) -> Distribution {
    let name = match id {
        "debian" | "raspbian" => "Debian",
        "ubuntu" => "Ubuntu",
        "linuxmint" => "Linux Mint",
        "kali" => "Kali",
        "pop" => "Pop!_OS",
        "devuan" => "Devuan",
        "neon" => "KDE neon",
        "parrot" => "Parrot",
        _ => "Deepin",
    };
    let mut found = with(name, value("VERSION_ID"), codename, Some(("/etc/os-release", "Debian")));
    if name == "Debian" {
        // os-release of Debian does not know the point release.
        let point = gather.line("/etc/debian_version").filter(|v| v.starts_with(|c: char| c.is_ascii_digit()));
        if let Some(point) = point {
            let mut parts = point.split('.');
            found.major = parts.next().map(ToOwned::to_owned);
            found.minor = parts.next().map(ToOwned::to_owned);
            found.version = point;
        }
    }
    found
}

fn gentoo_version(gather: &Gather<'_>) -> String {
    gather
        .line("/etc/gentoo-release")
        .and_then(|l| l.split_whitespace().last().map(ToOwned::to_owned))
        .unwrap_or_default()
}

fn suse(id: &str, value: &dyn Fn(&str) -> String) -> Distribution {
    let name = match id {
        "sles" => "SLES",
        "sled" => "SLED",
        "sle_hpc" => "SLE_HPC",
        "sles_sap" => "SLES_SAP",
        "sl-micro" => "SL-Micro",
        "opensuse-leap" => "openSUSE Leap",
        "opensuse-tumbleweed" => "openSUSE Tumbleweed",
        "opensuse-microos" => "openSUSE MicroOS",
        _ => "openSUSE",
    };
    let version = value("VERSION_ID");
    let service_pack = version.split_once('.').map_or("0", |(_, minor)| minor).to_owned();
    with(name, version, Some(service_pack), Some(("/etc/os-release", "SUSE")))
}

fn redhat(gather: &Gather<'_>, value: &dyn Fn(&str) -> String, codename: Option<String>) -> Distribution {
    let line = gather.line("/etc/redhat-release").unwrap_or_default();
    let name = match line.split(" release").next().unwrap_or_default() {
        "Red Hat Enterprise Linux" | "Red Hat Enterprise Linux Server" => "RedHat".to_owned(),
        name if name.starts_with("CentOS") => "CentOS".to_owned(),
        name if name.starts_with("Rocky") => "Rocky".to_owned(),
        name if name.starts_with("Fedora") => "Fedora".to_owned(),
        name if name.starts_with("AlmaLinux") => "AlmaLinux".to_owned(),
        _ if value("ID") == "ol" => "OracleLinux".to_owned(),
        name => name.split_whitespace().next().unwrap_or("RedHat").to_owned(),
    };
    let version = value("VERSION_ID");
    let told = line.split(" release ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let version = told.map_or(version, ToOwned::to_owned);
    let in_brackets = line.split('(').nth(1).and_then(|rest| rest.split(')').next()).map(ToOwned::to_owned);
    let file =
        if name == "OracleLinux" { ("/etc/oracle-release", "OracleLinux") } else { ("/etc/redhat-release", "RedHat") };
    let file = if name == "CentOS" { ("/etc/centos-release", "CentOS") } else { file };
    with(&name, version, in_brackets.or(codename), Some(file))
}

/// `lsb`: what `lsb_release` says, where that is installed, from the files that it reads.
pub(super) fn lsb(gather: &Gather<'_>, facts: &mut Object) {
    let old = assignments(&gather.host.text("/etc/lsb-release").unwrap_or_default());
    let os = assignments(&gather.host.text("/etc/os-release").unwrap_or_default());
    let program = gather.host.find_program("lsb_release").is_some();
    let mut lsb = Object::new();
    let mut put = |key: &str, places: [Option<&String>; 2]| {
        if let Some(value) = places.into_iter().flatten().find(|v| !v.is_empty()) {
            lsb.insert(key.to_owned(), json!(value));
        }
    };
    let os = |key: &str| os.get(key).filter(|_| program);
    let id = os("ID").map(|id| {
        let mut letters = id.chars();
        letters.next().map(|c| c.to_uppercase().chain(letters).collect::<String>()).unwrap_or_default()
    });
    put("release", [old.get("DISTRIB_RELEASE"), os("VERSION_ID")]);
    put("id", [old.get("DISTRIB_ID"), id.as_ref()]);
    put("description", [old.get("DISTRIB_DESCRIPTION"), os("PRETTY_NAME")]);
    put("codename", [old.get("DISTRIB_CODENAME"), os("VERSION_CODENAME")]);
    let major = lsb.get("release").and_then(Value::as_str).and_then(|r| r.split('.').next()).map(ToOwned::to_owned);
    if let Some(major) = major {
        lsb.insert("major_release".into(), major.into());
    }
    facts.insert("lsb".into(), Value::Object(lsb));
}

#[cfg(test)]
// The tests prepare their own little host.
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
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
        lsb(&Gather::new(&host), &mut facts);
        facts
    }

    #[test]
    fn debian_and_its_point_release() {
        let os =
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n";
        let got = facts(&[("/etc/os-release", os), ("/etc/debian_version", "12.11\n")]);
        assert_eq!((&got["distribution"], &got["os_family"]), (&json!("Debian"), &json!("Debian")));
        assert_eq!(got["distribution_version"], "12.11");
        assert_eq!(got["distribution_major_version"], "12");
        assert_eq!(got["distribution_minor_version"], "11");
        assert_eq!(got["distribution_release"], "bookworm");
    }

    #[test]
    fn others() {
        let rocky = "NAME=\"Rocky Linux\"\nID=\"rocky\"\nVERSION_ID=\"9.4\"\n";
        let red = "Rocky Linux release 9.4 (Blue Onyx)\n";
        let ubuntu = "ID=ubuntu\nVERSION_ID=\"24.04\"\nVERSION_CODENAME=noble\n";
        let lsb =
            "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=24.04\nDISTRIB_CODENAME=noble\nDISTRIB_DESCRIPTION=\"Ubuntu 24.04\"\n";
        let leap = "NAME=\"openSUSE Leap\"\nID=\"opensuse-leap\"\nVERSION_ID=\"15.6\"\n";
        for (files, name, family, version, release) in [
            (vec![("/etc/os-release", rocky), ("/etc/redhat-release", red)], "Rocky", "RedHat", "9.4", "Blue Onyx"),
            (vec![("/etc/os-release", ubuntu), ("/etc/lsb-release", lsb)], "Ubuntu", "Debian", "24.04", "noble"),
            (
                vec![("/etc/os-release", "ID=alpine\n"), ("/etc/alpine-release", "3.20.1\n")],
                "Alpine",
                "Alpine",
                "3.20.1",
                "NA",
            ),
            (vec![("/etc/os-release", leap)], "openSUSE Leap", "Suse", "15.6", "6"),
            (vec![("/etc/os-release", "ID=void\nNAME=void\n")], "void", "void", "", "NA"),
        ] {
            let got = facts(&files);
            let got =
                [&got["distribution"], &got["os_family"], &got["distribution_version"], &got["distribution_release"]];
            assert_eq!(got, [name, family, version, release].map(Value::from).each_ref(), "{files:?}");
        }
        let got = facts(&[("/etc/os-release", ubuntu), ("/etc/lsb-release", lsb)]);
        assert_eq!(got["lsb"]["major_release"], "24");
        assert_eq!(got["lsb"]["description"], "Ubuntu 24.04");
    }
}
