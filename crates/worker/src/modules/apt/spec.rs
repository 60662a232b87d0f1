//! What a task names: packages, with versions or wildcards, and what is to be done about each.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::available::{self, Policy};
use super::status::Status;
use super::version;
use crate::args::is_word;
use crate::host::Host;
use crate::module::Failure;

/// How the message about a name that no list has begins.
pub(super) const UNKNOWN: &str = "No package matching";

/// A package as a task names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spec {
    /// The name, perhaps with `:architecture`.
    pub(super) name: String,
    pub(super) version: Wanted,
}

/// Which version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    Any,
    /// One that matches a shell pattern.
    Matching(String),
    /// One that is not lower.
    AtLeast(String),
}

impl Spec {
    /// Reads `name`, `name=version` or `name>=version`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let bad = || format!("invalid package spec: {text}");
        let (name, version) = if let Some((name, version)) = text.split_once(">=") {
            (name, Wanted::AtLeast(version.to_owned()))
        } else if let Some((name, version)) = text.split_once('=') {
            (name, Wanted::Matching(version.to_owned()))
        } else {
            (text, Wanted::Any)
        };
        let empty = matches!(&version, Wanted::AtLeast(v) | Wanted::Matching(v) if v.is_empty() || v.contains('='));
        // A name that begins with a dash would be an option of apt-get.
        if empty || !is_word(name) {
            return Err(bad());
        }
        Ok(Self { name: name.to_owned(), version })
    }

    fn wild(&self) -> bool {
        self.name.contains(['*', '?', '['])
    }

    fn accepts(&self, candidate: &str) -> bool {
        match &self.version {
            Wanted::Any => true,
            Wanted::AtLeast(lowest) => version::compare(candidate, lowest) != Ordering::Less,
            Wanted::Matching(pattern) => {
                glob::Pattern::new(pattern).is_ok_and(|p| p.matches(candidate)) || pattern == candidate
            }
        }
    }
}

impl std::fmt::Display for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        match &self.version {
            Wanted::Any => Ok(()),
            Wanted::Matching(version) => write!(f, "={version}"),
            Wanted::AtLeast(version) => write!(f, ">={version}"),
        }
    }
}

/// Replaces wildcards by the names they match among those that apt, or dpkg, knows.
pub(super) fn expanded(host: &Host, status: &Status, specs: Vec<Spec>) -> Result<Vec<Spec>, Failure> {
    if !specs.iter().any(Spec::wild) {
        return Ok(specs);
    }
    let mut names = available::names(host)?;
    names.extend(status.names().map(ToOwned::to_owned));
    names.sort();
    names.dedup();
    let mut out = Vec::new();
    for spec in specs {
        if !spec.wild() {
            out.push(spec);
            continue;
        }
        let (base, architecture) = spec.name.split_once(':').map_or((&*spec.name, None), |(n, a)| (n, Some(a)));
        let pattern = glob::Pattern::new(base).map_err(|e| Failure::new(format!("bad pattern {base}: {e}")))?;
        let before = out.len();
        out.extend(names.iter().filter(|name| pattern.matches(name)).map(|name| Spec {
            name: architecture.map_or(name.clone(), |a| format!("{name}:{a}")),
            version: spec.version.clone(),
        }));
        if out.len() == before {
            return Err(Failure::new(format!("No package(s) matching '{}' available", spec.name)));
        }
    }
    Ok(out)
}

/// The packages to install, as apt-get takes them.
pub(super) fn to_install(
    host: &Host,
    status: &Status,
    specs: &[Spec],
    choice: &Choice<'_>,
) -> Result<Vec<String>, Failure> {
    let asked: Vec<String> =
        specs.iter().filter(|spec| choice.must_ask(spec, status)).map(|spec| spec.name.clone()).collect();
    let policies = available::policies(host, &asked, choice.release)?;
    let mut words = Vec::new();
    for spec in specs {
        if let Some(word) = choice.decide(host, status, spec, &policies)? {
            words.push(word);
        }
    }
    Ok(words)
}

/// What decides whether a package is to be installed.
pub(super) struct Choice<'a> {
    /// The newest version is wanted.
    pub(super) latest: bool,
    /// Nothing is installed that is not there.
    pub(super) only_upgrade: bool,
    pub(super) release: Option<&'a str>,
    /// Packages are named to apt-get in any case (`build-dep`).
    pub(super) always: bool,
}

impl Choice<'_> {
    /// Whether only apt can tell; what is installed and accepted needs nobody to be asked.
    fn must_ask(&self, spec: &Spec, status: &Status) -> bool {
        match status.installed(&spec.name) {
            Some(known) => self.latest || !spec.accepts(&known.version),
            None => !self.only_upgrade || self.always,
        }
    }

    fn decide(
        &self,
        host: &Host,
        status: &Status,
        spec: &Spec,
        policies: &HashMap<String, Policy>,
    ) -> Result<Option<String>, Failure> {
        let known = status.installed(&spec.name);
        if self.always {
            return Ok(Some(spec.name.clone()));
        }
        if !self.must_ask(spec, status) {
            return Ok(None);
        }
        let Some(policy) = policies.get(&spec.name) else {
            // One that was installed from a file is the newest there is.
            return match known {
                Some(known) if spec.accepts(&known.version) => Ok(None),
                _ => Err(Failure::new(format!("{UNKNOWN} '{}' is available", spec.name))),
            };
        };
        let Some(candidate) = &policy.candidate else {
            return provided(host, status, spec);
        };
        let chosen = if spec.accepts(candidate) {
            Some(candidate)
        } else {
            policy.versions.iter().filter(|v| spec.accepts(v)).max_by(|a, b| version::compare(a, b))
        };
        let Some(chosen) = chosen else {
            return Err(Failure::new(format!("no available installation candidate for {spec}")));
        };
        match known {
            Some(known) if known.version == *chosen => Ok(None),
            // What apt would go back to is not an upgrade.
            Some(known)
                if spec.accepts(&known.version) && version::compare(&known.version, chosen) == Ordering::Greater =>
            {
                Ok(None)
            }
            _ => Ok(Some(format!("{}={chosen}", spec.name))),
        }
    }
}

/// A name that is no package itself: fine when its only provider is installed, else for apt-get to sort out.
fn provided(host: &Host, status: &Status, spec: &Spec) -> Result<Option<String>, Failure> {
    let providers = available::providers(host, &spec.name)?;
    match providers.as_slice() {
        [] => Err(Failure::new(format!("{UNKNOWN} '{}' is available", spec.name))),
        [only] if status.installed(only).is_some() => Ok(None),
        _ => Ok(Some(spec.name.clone())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn specs() {
        let spec = Spec::parse("foo=1.2*").unwrap();
        assert!(spec.accepts("1.2-3") && !spec.accepts("1.3") && spec.to_string() == "foo=1.2*");
        let spec = Spec::parse("foo>=1.2").unwrap();
        assert!(spec.accepts("1.10") && spec.accepts("1.2") && !spec.accepts("1.2~rc1"));
        assert!(Spec::parse("foo").unwrap().accepts("anything"));
        for bad in ["", "=1", "foo=", "foo==1", "-f", "a b"] {
            assert!(Spec::parse(bad).is_err(), "{bad}");
        }
    }
}
