//! Facts: what a host is, read from /proc, /sys, /etc and the kernel, without running other programs.
//!
//! Each [`Collector`] is a subset that `gather_subset` can name, by its own name or by that of a fact it gives. The facts
//! are the reference's, with the same names, values and types.

mod basics;
mod distribution;
mod hardware;
mod local;
mod managers;
mod network;
mod platform;
mod python;
mod security;
mod select;
mod user;
mod virtualization;

use std::path::Path;
use std::time::Duration;

use rplay_protocol::Object;

use crate::host::Host;

pub(crate) use select::selected;

/// A part of the facts that can be asked for.
pub(crate) struct Collector {
    /// Its name in `gather_subset`.
    name: &'static str,
    /// Further names for it: facts that it gives.
    ids: &'static [&'static str],
    /// Whether it belongs to the minimal subset.
    minimal: bool,
    /// Collectors that come with it.
    with: &'static [&'static str],
    gather: fn(&Gather<'_>, &mut Object),
}

/// What collectors work with.
pub(crate) struct Gather<'a> {
    host: &'a Host,
    /// The longest time that one thing which may hang is waited for.
    timeout: Duration,
    /// The directory of local facts.
    fact_path: std::path::PathBuf,
    warnings: std::cell::RefCell<Vec<String>>,
}

impl<'a> Gather<'a> {
    /// Facts of `host`, with the usual places and times.
    pub(crate) fn new(host: &'a Host) -> Self {
        Self {
            host,
            timeout: Duration::from_secs(10),
            fact_path: "/etc/ansible/facts.d".into(),
            warnings: std::cell::RefCell::default(),
        }
    }

    /// The longest time that one thing which may hang is waited for.
    pub(crate) fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The directory of local facts.
    pub(crate) fn with_fact_path(mut self, path: std::path::PathBuf) -> Self {
        self.fact_path = path;
        self
    }

    /// All facts of these collectors, without prefix.
    pub(crate) fn gather(&self, collectors: &[&Collector]) -> Object {
        let mut facts = Object::new();
        for collector in collectors {
            (collector.gather)(self, &mut facts);
        }
        facts
    }

    /// What could not be read, in the order it came up.
    pub(crate) fn into_warnings(self) -> Vec<String> {
        self.warnings.into_inner()
    }

    /// A small file's text without the white space around it.
    fn line(&self, path: impl AsRef<Path>) -> Option<String> {
        self.host.text(path).map(|text| text.trim().to_owned())
    }

    /// The names in a directory; none when there is no such directory.
    fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let names = self.host.list(path.as_ref()).unwrap_or_default();
        names.into_iter().map(|name| name.to_string_lossy().into_owned()).collect()
    }

    fn is_file(&self, path: &str) -> bool {
        self.host.stat(Path::new(path)).ok().flatten().is_some_and(|meta| meta.is_file())
    }

    fn exists(&self, path: &str) -> bool {
        self.host.exists(Path::new(path)).unwrap_or(false)
    }
}

/// All collectors, in the order they are run.
pub(crate) static COLLECTORS: &[Collector] = &[
    Collector {
        name: "platform",
        ids: &["system", "kernel", "kernel_version", "machine", "python_version", "architecture", "machine_id"],
        minimal: true,
        with: &[],
        gather: platform::gather,
    },
    Collector {
        name: "distribution",
        ids: &["distribution_version", "distribution_release", "distribution_major_version", "os_family"],
        minimal: true,
        with: &[],
        gather: distribution::gather,
    },
    Collector {
        name: "user",
        ids: &[
            "user_id",
            "user_uid",
            "user_gid",
            "user_gecos",
            "user_dir",
            "user_shell",
            "real_user_id",
            "effective_user_id",
            "effective_group_ids",
        ],
        minimal: true,
        with: &[],
        gather: user::gather,
    },
    Collector { name: "env", ids: &[], minimal: true, with: &[], gather: user::environment },
    Collector { name: "date_time", ids: &[], minimal: true, with: &[], gather: basics::date_time },
    Collector { name: "cmdline", ids: &[], minimal: true, with: &[], gather: basics::cmdline },
    Collector { name: "dns", ids: &[], minimal: true, with: &[], gather: basics::dns },
    Collector { name: "lsb", ids: &[], minimal: true, with: &[], gather: distribution::lsb },
    Collector { name: "apparmor", ids: &[], minimal: true, with: &[], gather: security::apparmor },
    Collector { name: "selinux", ids: &[], minimal: true, with: &[], gather: security::selinux },
    Collector { name: "fips", ids: &[], minimal: true, with: &[], gather: security::fips },
    Collector {
        name: "caps",
        ids: &["system_capabilities", "system_capabilities_enforced"],
        minimal: true,
        with: &[],
        gather: security::capabilities,
    },
    Collector {
        name: "ssh_pub_keys",
        ids: &[
            "ssh_host_pub_keys",
            "ssh_host_key_dsa_public",
            "ssh_host_key_rsa_public",
            "ssh_host_key_ecdsa_public",
            "ssh_host_key_ed25519_public",
        ],
        minimal: true,
        with: &[],
        gather: basics::ssh_keys,
    },
    Collector { name: "local", ids: &[], minimal: true, with: &[], gather: local::gather },
    Collector { name: "pkg_mgr", ids: &[], minimal: true, with: &["distribution"], gather: managers::packages },
    Collector {
        name: "service_mgr",
        ids: &[],
        minimal: true,
        with: &["platform", "distribution"],
        gather: managers::services,
    },
    Collector { name: "python", ids: &[], minimal: true, with: &[], gather: python::gather },
    Collector { name: "loadavg", ids: &[], minimal: false, with: &[], gather: basics::load },
    Collector { name: "chroot", ids: &["is_chroot"], minimal: false, with: &[], gather: basics::chroot },
    Collector { name: "systemd", ids: &[], minimal: false, with: &[], gather: managers::systemd },
    Collector {
        name: "hardware",
        ids: &["processor", "processor_cores", "processor_count", "mounts", "devices"],
        minimal: false,
        with: &["platform"],
        gather: hardware::gather,
    },
    Collector {
        name: "network",
        ids: &["interfaces", "default_ipv4", "default_ipv6", "all_ipv4_addresses", "all_ipv6_addresses"],
        minimal: false,
        with: &["platform", "distribution"],
        gather: network::gather,
    },
    Collector { name: "fibre_channel_wwn", ids: &[], minimal: false, with: &[], gather: network::fibre_channel },
    Collector { name: "iscsi", ids: &[], minimal: false, with: &[], gather: network::iscsi },
    Collector { name: "nvme", ids: &[], minimal: false, with: &[], gather: network::nvme },
    Collector {
        name: "virtual",
        ids: &["virtualization_type", "virtualization_role", "virtualization_tech_guest", "virtualization_tech_host"],
        minimal: false,
        with: &[],
        gather: virtualization::gather,
    },
    // Both would be other programs' facts, which a controller without them has no use for.
    Collector { name: "facter", ids: &[], minimal: false, with: &[], gather: |_, _| {} },
    Collector { name: "ohai", ids: &[], minimal: false, with: &[], gather: |_, _| {} },
];
