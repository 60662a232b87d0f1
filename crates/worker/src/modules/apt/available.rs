//! What apt could install: candidates and versions from `apt-cache`.

use std::collections::HashMap;

use crate::host::{Command, Host};
use crate::module::Failure;

/// What apt knows of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Policy {
    /// The version that apt would install; none for a package that is only a name others provide.
    pub(super) candidate: Option<String>,
    /// All versions, those that apt prefers first.
    pub(super) versions: Vec<String>,
}

/// What apt knows of these packages; one it does not know is not in the answer.
pub(super) fn policies(
    host: &Host,
    names: &[String],
    release: Option<&str>,
) -> Result<HashMap<String, Policy>, Failure> {
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let mut command = Command::new(host.require_program("apt-cache")?).c_locale();
    if let Some(release) = release {
        command = command.args(["-t", release]);
    }
    let output = host.query_ok(&command.args(["policy", "--"]).args(names))?;
    Ok(parse(&output.stdout_text()))
}

fn parse(text: &str) -> HashMap<String, Policy> {
    let mut all = HashMap::new();
    let mut current: Option<(String, Policy)> = None;
    for line in text.lines() {
        if !line.starts_with(' ') {
            all.extend(current.take());
            current = line.strip_suffix(':').map(|name| (name.to_owned(), Policy::default()));
            continue;
        }
        let Some((_, policy)) = &mut current else { continue };
        if let Some(candidate) = line.strip_prefix("  Candidate: ") {
            policy.candidate = Some(candidate.trim().to_owned()).filter(|c| c != "(none)");
            continue;
        }
        let version = line.strip_prefix(" *** ").or_else(|| line.strip_prefix("     "));
        // Deeper lines name the places that a version comes from.
        if let Some(version) = version.filter(|v| !v.starts_with(' ')) {
            policy.versions.extend(version.split_whitespace().next().map(ToOwned::to_owned));
        }
    }
    all.extend(current);
    all
}

/// The packages that provide a name.
pub(super) fn providers(host: &Host, name: &str) -> Result<Vec<String>, Failure> {
    let output =
        host.query(&Command::new(host.require_program("apt-cache")?).c_locale().args(["showpkg", "--", name]))?;
    let text = output.stdout_text();
    let listed = text.lines().skip_while(|line| !line.starts_with("Reverse Provides:")).skip(1);
    let mut names: Vec<String> =
        listed.filter_map(|line| line.split_whitespace().next().map(ToOwned::to_owned)).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// The names of all packages that apt knows.
pub(super) fn names(host: &Host) -> Result<Vec<String>, Failure> {
    let output = host.query_ok(&Command::new(host.require_program("apt-cache")?).c_locale().arg("pkgnames"))?;
    let mut names: Vec<String> = output.stdout_text().lines().map(ToOwned::to_owned).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_and_versions() {
        let text = "perl:\n  Installed: 5.36.0-7+deb12u4\n  Candidate: 5.36.0-7+deb12u4\n  Version table:\n \
                    *** 5.36.0-7+deb12u4 500\n        500 http://deb.example bookworm/main amd64 Packages\n        \
                    100 /var/lib/dpkg/status\n     5.36.0-7+deb12u3 500\n        500 http://deb.example x\n\
                    mta:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n";
        let got = parse(text);
        assert_eq!(got["perl"].candidate.as_deref(), Some("5.36.0-7+deb12u4"));
        assert_eq!(got["perl"].versions, ["5.36.0-7+deb12u4", "5.36.0-7+deb12u3"]);
        assert_eq!(got["mta"], Policy::default());
    }
}
