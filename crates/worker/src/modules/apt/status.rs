//! What dpkg has installed, from its status file.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use crate::host::Host;
use crate::module::Failure;

const STATUS: &str = "/var/lib/dpkg/status";
/// Where it is kept between calls.
pub(super) const KEY: &str = "apt.status";

/// A package that dpkg knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) architecture: String,
    pub(super) version: String,
    /// Whether it is installed; otherwise only its configuration is left.
    pub(super) installed: bool,
}

/// The status file, by package name.
#[derive(Debug, Default)]
pub(super) struct Status {
    packages: HashMap<String, Vec<Known>>,
    /// Size, time and inode of the file when it was read.
    stamp: (u64, i64, i64, u64),
}

impl Status {
    /// What is installed now: read anew only when the file is another than the last time.
    pub(super) fn read(host: &Host) -> Result<Arc<Self>, Failure> {
        let stamp = match host.stat(Path::new(STATUS))? {
            Some(meta) => (meta.size(), meta.mtime(), meta.mtime_nsec(), meta.ino()),
            None => return Err(Failure::new("this host has no dpkg: there is no /var/lib/dpkg/status")),
        };
        let read = || {
            let bytes = host.read(Path::new(STATUS))?;
            Ok(Self { packages: parse(&String::from_utf8_lossy(&bytes)), stamp })
        };
        let kept = host.cache().get(KEY, read)?;
        if kept.stamp == stamp {
            return Ok(kept);
        }
        host.cache().forget(KEY);
        host.cache().get(KEY, read)
    }

    /// The package called `name`, or `name:architecture`, as dpkg knows it; an installed one first.
    pub(super) fn find(&self, name: &str) -> Option<&Known> {
        let (name, architecture) = match name.split_once(':') {
            Some((name, "any")) => (name, None),
            Some((name, architecture)) => (name, Some(architecture)),
            None => (name, None),
        };
        let mut known =
            self.packages.get(name)?.iter().filter(|k| {
                architecture.is_none_or(|a| k.architecture == a || (a == "native" && k.architecture == "all"))
            });
        known.clone().find(|k| k.installed).or_else(|| known.next())
    }

    /// The package when it is installed.
    pub(super) fn installed(&self, name: &str) -> Option<&Known> {
        self.find(name).filter(|k| k.installed)
    }

    /// All names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.packages.keys().map(String::as_str)
    }
}

fn parse(text: &str) -> HashMap<String, Vec<Known>> {
    let mut packages: HashMap<String, Vec<Known>> = HashMap::new();
    for paragraph in text.split("\n\n") {
        let (mut name, mut status, mut version, mut architecture) = ("", "", "", "");
        for line in paragraph.lines() {
            match line.split_once(": ") {
                Some(("Package", value)) => name = value,
                Some(("Status", value)) => status = value,
                Some(("Version", value)) => version = value,
                Some(("Architecture", value)) => architecture = value,
                _ => {}
            }
        }
        let state = status.split_whitespace().nth(2).unwrap_or("not-installed");
        if name.is_empty() || state == "not-installed" {
            continue;
        }
        let known = Known {
            architecture: architecture.to_owned(),
            version: version.to_owned(),
            // A package whose installation broke off is one to be installed again.
            installed: matches!(state, "installed" | "triggers-awaited" | "triggers-pending"),
        };
        packages.entry(name.to_owned()).or_default().push(known);
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_architectures() {
        let text = "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2-3\nDescription: x\n y: z\n\n\
                    Package: b\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n\n\
                    Package: c\nStatus: install ok half-configured\nArchitecture: amd64\nVersion: 1\n\n\
                    Package: a\nStatus: install ok installed\nArchitecture: i386\nVersion: 1:2-2\n";
        let status = Status { packages: parse(text), stamp: (0, 0, 0, 0) };
        assert_eq!(status.installed("a").map(|k| k.version.as_str()), Some("1:2-3"));
        assert_eq!(status.installed("a:i386").map(|k| k.version.as_str()), Some("1:2-2"));
        assert!(status.installed("b").is_none() && status.find("b").is_some());
        assert!(status.installed("c").is_none() && status.installed("d").is_none());
    }
}
