//! Which collectors a `gather_subset` means.

use std::collections::BTreeSet;

use super::{COLLECTORS, Collector};

/// The collectors that a list of subsets means, with those that come with them.
///
/// `all` and `min` are sets; `!x` takes `x` out unless something else names it; the minimal set is always in unless
/// `!min` says otherwise. Fails on a name that no collector has; a name after `!` may be anything, as in the reference.
pub(crate) fn selected(subsets: &[String]) -> Result<Vec<&'static Collector>, String> {
    let (mut wanted, mut named) = (BTreeSet::new(), BTreeSet::new());
    let mut excluded = BTreeSet::new();
    let mut without_minimal = false;
    let set = |minimal: bool| COLLECTORS.iter().filter(move |c| !minimal || c.minimal).map(|c| c.name);
    for subset in subsets.iter().map(|s| s.trim()).filter(|s| !s.is_empty()) {
        match (subset.strip_prefix('!'), subset) {
            (Some("all"), _) => excluded.extend(set(false)),
            (Some("min"), _) => {
                without_minimal = true;
                excluded.extend(set(true));
            }
            (Some(other), _) => excluded.extend(find(other).map(|c| c.name)),
            (None, "all") => wanted.extend(set(false)),
            (None, "min") => named.extend(set(true)),
            (None, name) => match find(name) {
                Some(collector) => drop(named.insert(collector.name)),
                None => return Err(unknown(name)),
            },
        }
    }
    if subsets.is_empty() {
        wanted.extend(set(false));
    }
    if !without_minimal {
        let one_by_one: BTreeSet<&str> = subsets
            .iter()
            .filter_map(|s| s.trim().strip_prefix('!'))
            .filter(|s| *s != "all")
            .filter_map(|s| find(s).map(|c| c.name))
            .collect();
        named.extend(set(true).filter(|name| !one_by_one.contains(name)));
    }
    let mut chosen: BTreeSet<&str> = wanted.difference(&excluded).copied().chain(named).collect();
    let with: Vec<&str> =
        COLLECTORS.iter().filter(|c| chosen.contains(c.name)).flat_map(|c| c.with.iter().copied()).collect();
    chosen.extend(with);
    Ok(COLLECTORS.iter().filter(|c| chosen.contains(c.name)).collect())
}

fn find(name: &str) -> Option<&'static Collector> {
    COLLECTORS.iter().find(|c| c.name == name || c.ids.contains(&name))
}

fn unknown(name: &str) -> String {
    let mut known: Vec<&str> = COLLECTORS.iter().flat_map(|c| c.ids.iter().copied().chain([c.name])).collect();
    known.push("all");
    known.sort_unstable();
    format!("Bad subset '{name}' given to Ansible. gather_subset options allowed: {}", known.join(", "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names(subsets: &[&str]) -> Vec<&'static str> {
        let subsets: Vec<String> = subsets.iter().map(|s| (*s).to_owned()).collect();
        selected(&subsets).unwrap().iter().map(|c| c.name).collect()
    }

    #[test]
    fn sets_names_and_exclusions() {
        let minimal: Vec<&str> = COLLECTORS.iter().filter(|c| c.minimal).map(|c| c.name).collect();
        assert_eq!(names(&["all"]).len(), COLLECTORS.len());
        assert_eq!(names(&[]).len(), COLLECTORS.len());
        // As observed of the reference, an exclusion alone does not mean all the rest.
        for subsets in [&["!all"][..], &["min"], &["!hardware"], &["!nonsense"]] {
            assert_eq!(names(subsets), minimal, "{subsets:?}");
        }
        assert_eq!(names(&["!all", "!min"]), [""; 0]);
        assert_eq!(names(&["!all", "!min", "default_ipv4"]), ["platform", "distribution", "network"]);
        assert_eq!(names(&["!all", "!min", "pkg_mgr"]), ["distribution", "pkg_mgr"]);
        let some = names(&["all", "!network", "!virtual"]);
        assert!(!some.contains(&"network") && !some.contains(&"virtual") && some.contains(&"hardware"));
        assert!(!names(&["all", "!env"]).contains(&"env"));
        assert!(names(&["network", "!all"]).contains(&"network"));
    }

    #[test]
    fn an_unknown_subset_is_named() {
        let error = selected(&["foo".to_owned()]).err().unwrap();
        assert!(
            error.starts_with("Bad subset 'foo' given to Ansible. gather_subset options allowed: all, "),
            "{error}"
        );
    }
}
