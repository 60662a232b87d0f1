//! `pkg_mgr`, `service_mgr` and `systemd`: which programs manage packages and services here.

use std::io::Read;
use std::path::Path;

use rplay_protocol::Object;
use serde_json::json;

use super::{Gather, distribution};
use crate::host::Command;

/// Package managers by the path of their program; of those that are there, a later one wins.
const PACKAGE_MANAGERS: &[(&str, &str)] = &[
    ("/usr/bin/rpm-ostree", "atomic_container"),
    ("/usr/bin/yum", "yum"),
    ("/usr/bin/dnf-3", "dnf"),
    ("/usr/bin/dnf5", "dnf5"),
    ("/usr/bin/apt-get", "apt"),
    ("/usr/bin/zypper", "zypper"),
    ("/usr/sbin/urpmi", "urpmi"),
    ("/usr/bin/pacman", "pacman"),
    ("/bin/opkg", "opkg"),
    ("/usr/pkg/bin/pkgin", "pkgin"),
    ("/opt/local/bin/pkgin", "pkgin"),
    ("/usr/bin/swupd", "swupd"),
    ("/usr/sbin/swupd", "swupd"),
    ("/usr/bin/emerge", "portage"),
    ("/usr/sbin/pkg", "pkgng"),
    ("/usr/bin/xbps-install", "xbps"),
    ("/sbin/apk", "apk"),
    ("/usr/bin/apk", "apk"),
    ("/usr/bin/installp", "installp"),
];

pub(super) fn packages(gather: &Gather<'_>, facts: &mut Object) {
    let family = distribution::family(facts).to_owned();
    facts.insert("pkg_mgr".into(), package_manager(gather, &family).into());
}

fn package_manager(gather: &Gather<'_>, family: &str) -> &'static str {
    let there = |name: &str| PACKAGE_MANAGERS.iter().any(|(path, n)| *n == name && gather.exists(path));
    match family {
        // A family's own manager wins over one that happens to be installed.
        "Debian" if there("apt") => return "apt",
        "RedHat" if gather.exists("/run/ostree-booted") => return "atomic_container",
        "RedHat" => {
            let dnf = gather.host.read_link(Path::new("/usr/bin/dnf")).unwrap_or_default();
            if dnf.to_string_lossy().contains("dnf5") {
                return "dnf5";
            }
            if let Some(name) = ["dnf", "dnf5", "yum"].into_iter().find(|name| there(name)) {
                return name;
            }
        }
        "Altlinux" if there("apt") => return "apt_rpm",
        _ => {}
    }
    let found = PACKAGE_MANAGERS.iter().rev().find(|(path, _)| gather.exists(path));
    found.map_or("unknown", |(_, name)| name)
}

pub(super) fn services(gather: &Gather<'_>, facts: &mut Object) {
    facts.insert("service_mgr".into(), service_manager(gather).into());
}

/// The program that manages services: process 1 when that tells, else what is installed.
fn service_manager(gather: &Gather<'_>) -> String {
    let first = gather.line("/proc/1/comm").unwrap_or_default();
    let first = Path::new(&first).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    match first.as_str() {
        "runit-init" => return "runit".to_owned(),
        "svscan" => return "svc".to_owned(),
        "openrc-init" => return "openrc".to_owned(),
        // A container's shell or a generic name says nothing.
        "" | "init" | "COMMAND" => {}
        name if name.ends_with("sh") => {}
        name => return name.to_owned(),
    }
    let systemctl = gather.host.find_program("systemctl").is_some();
    let systemd_runs =
        ["/run/systemd/system/", "/dev/.run/systemd/", "/dev/.systemd/"].iter().any(|p| gather.exists(p));
    if systemctl && systemd_runs {
        return "systemd".to_owned();
    }
    if gather.host.find_program("initctl").is_some() && gather.exists("/etc/init/") {
        return "upstart".to_owned();
    }
    if gather.exists("/sbin/openrc") {
        return "openrc".to_owned();
    }
    let init = gather.host.read_link(Path::new("/sbin/init")).unwrap_or_default();
    if systemctl && init.file_name().is_some_and(|name| name == "systemd") {
        return "systemd".to_owned();
    }
    if gather.exists("/etc/init.d/") { "sysvinit" } else { "service" }.to_owned()
}

/// `systemd`: its version and what it was built with, where it is process 1.
pub(super) fn systemd(gather: &Gather<'_>, facts: &mut Object) {
    if !gather.exists("/run/systemd/system") {
        return;
    }
    let Some((version, features)) = systemd_version(gather) else { return };
    facts.insert("systemd".into(), json!({"version": version, "features": features}));
}

/// Version and features as `systemctl --version` tells them.
///
/// The text stands in the program as it is printed: reading it there takes a tenth of the time of a start.
fn systemd_version(gather: &Gather<'_>) -> Option<(i64, String)> {
    let program = gather.host.find_program("systemctl")?;
    let printed = gather.host.cache().get::<Option<(i64, String)>>("facts.systemd", || {
        if let Some(found) = gather.host.open(&program).ok().and_then(printed_by) {
            return Ok(Some(found));
        }
        let output = gather.host.query(&Command::new("systemctl").arg("--version").c_locale())?;
        Ok(version_text(&output.stdout_text()))
    });
    printed.ok()?.as_ref().clone()
}

/// Version and features among the strings of a program's file, read piece by piece: fresh memory is what costs time.
fn printed_by(mut program: impl Read) -> Option<(i64, String)> {
    /// Longer than either text is.
    const OVERLAP: usize = 4096;
    let mut buffer = vec![0; 64 * 1024];
    let mut kept = 0;
    let (mut version, mut features) = (None, None);
    loop {
        let length = program.read(buffer.get_mut(kept..)?).ok()?;
        let filled = buffer.get(..kept + length)?;
        let strings = |mark: &'static [u8], before: usize| {
            let found =
                memchr::memmem::find_iter(filled, mark).filter_map(move |at| filled.get(at.checked_sub(before)?..));
            found.filter_map(|rest| std::str::from_utf8(rest.split(|b| *b == 0).next()?).ok())
        };
        version = version.or_else(|| strings(b"systemd ", 0).find_map(version_of));
        features = features.or_else(|| strings(b"PAM ", 1).find_map(features_of));
        if let (Some(version), Some(features)) = (version, &features) {
            return Some((version, features.clone()));
        }
        if length == 0 {
            return None;
        }
        let from = filled.len().saturating_sub(OVERLAP);
        kept = filled.len() - from;
        buffer.copy_within(from..from + kept, 0);
    }
}

/// Version and features in what `systemctl --version` printed.
fn version_text(text: &str) -> Option<(i64, String)> {
    let (first, features) = text.split_once('\n')?;
    Some((version_of(first)?, features_of(features)?))
}

fn version_of(text: &str) -> Option<i64> {
    let (version, rest) = text.strip_prefix("systemd ")?.split_once(" (")?;
    rest.contains(')').then(|| version.split(['.', '~']).next()?.parse().ok()).flatten()
}

fn features_of(text: &str) -> Option<String> {
    // Systemd before 256 ends it with what the hierarchy of control groups is by default.
    let word = |word: &str| word.starts_with(['+', '-']) || word.starts_with("default-hierarchy=");
    let whole = text.contains(' ') && text.split_whitespace().all(word);
    whole.then(|| text.trim_end().to_owned())
}

#[cfg(test)]
// The tests prepare their own little host.
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::host::Host;

    fn made(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let real = dir.path().join(path.trim_start_matches('/'));
            std::fs::create_dir_all(real.parent().unwrap()).unwrap();
            std::fs::write(&real, content).unwrap();
        }
        let host = Host::at(dir.path());
        (dir, host)
    }

    #[test]
    fn a_family_prefers_its_own_package_manager() {
        let (_dir, host) = made(&[("/usr/bin/apt-get", ""), ("/usr/bin/pacman", "")]);
        let gather = Gather::new(&host);
        assert_eq!(package_manager(&gather, "Debian"), "apt");
        assert_eq!(package_manager(&gather, "Archlinux"), "pacman");
        let (_dir, host) = made(&[("/usr/bin/dnf-3", ""), ("/usr/bin/yum", "")]);
        assert_eq!(package_manager(&Gather::new(&host), "RedHat"), "dnf");
        let (_dir, host) = made(&[]);
        assert_eq!(package_manager(&Gather::new(&host), "Debian"), "unknown");
    }

    #[test]
    fn version_of_systemd() {
        let (first, second) = ("systemd 252 (252.39-1~deb12u2)", "+PAM -GNUTLS default-hierarchy=unified");
        let want = Some((252, second.to_owned()));
        assert_eq!(version_text(&format!("{first}\n{second}\n")), want);
        assert_eq!(version_text("systemd 252 is old\nx"), None);
        assert_eq!(
            version_text("systemd 257 (257.13-1~deb13u1)\n+PAM -UTMP +LIBARCHIVE\n"),
            Some((257, "+PAM -UTMP +LIBARCHIVE".into()))
        );
        let filler = vec![9; 65_500];
        let program =
            [&[7, 0][..], second.as_bytes(), b"\0", &filler, b"\0systemd x\0", first.as_bytes(), b"\0"].concat();
        assert_eq!(printed_by(&*program), want);
        assert_eq!(printed_by(&b"none"[..]), None);
    }

    #[test]
    fn process_one_or_what_is_installed_manages_services() {
        for (files, want) in [
            (vec![("/proc/1/comm", "systemd\n")], "systemd"),
            (vec![("/proc/1/comm", "runit-init\n")], "runit"),
            (vec![("/proc/1/comm", "bash\n"), ("/etc/init.d/x", "")], "sysvinit"),
            (vec![("/proc/1/comm", "init\n"), ("/sbin/openrc", "")], "openrc"),
            (vec![], "service"),
        ] {
            let (_dir, host) = made(&files);
            let mut facts = Object::new();
            services(&Gather::new(&host), &mut facts);
            assert_eq!(facts["service_mgr"], Value::from(want), "{files:?}");
        }
    }
}
