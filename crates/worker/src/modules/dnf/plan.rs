//! What dnf says that it is going to do.

/// A transaction, as its table lists it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    rows: Vec<Row>,
    /// What rpm has of packages that are replaced by other versions.
    pub(super) old: Vec<String>,
}

/// A line of the table.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    section: String,
    name: String,
    /// Name, version and architecture in one.
    full: String,
}

impl Plan {
    /// Reads the table, whose rows may be broken after the name.
    pub(super) fn parse(text: &str) -> Self {
        let mut plan = Self::default();
        let (mut section, mut words): (String, Vec<&str>) = (String::new(), Vec::new());
        for line in text.lines() {
            if line.starts_with("Transaction Summary") {
                break;
            }
            if !line.starts_with(' ') {
                let heading = line.trim_end().strip_suffix(':').filter(|heading| is_section(heading));
                section = heading.unwrap_or_default().to_owned();
                words.clear();
                continue;
            }
            if section.is_empty() {
                continue;
            }
            words.extend(line.split_whitespace());
            let row = match words.as_slice() {
                ["replacing", name, version, ..] if name.contains('.') => {
                    name.rsplit_once('.').map(|(name, arch)| Row::new("Replacing", name, version, arch))
                }
                ["replacing", name, arch, version, ..] => Some(Row::new("Replacing", name, version, arch)),
                ["replacing", ..] => continue,
                [name, arch, version, _, ..] => Some(Row::new(&section, name, version, arch)),
                [name] if section.contains("roup") || section.contains("odule") => {
                    Some(Row { section: section.clone(), name: String::new(), full: (*name).to_owned() })
                }
                _ => continue,
            };
            plan.rows.extend(row);
            words.clear();
        }
        plan
    }

    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn of(&self, words: &'static [&'static str]) -> impl Iterator<Item = &Row> {
        self.rows
            .iter()
            .filter(|row| !row.name.is_empty())
            .filter(|row| words.iter().any(|w| row.section.starts_with(w)))
    }

    /// What will be there and is not yet.
    pub(super) fn installed(&self) -> impl Iterator<Item = &str> {
        self.of(&["Installing", "Upgrading", "Downgrading", "Reinstalling"]).map(|row| row.full.as_str())
    }

    /// What will be gone.
    pub(super) fn removed(&self) -> impl Iterator<Item = &str> {
        let gone = self.of(&["Removing", "Replacing"]).map(|row| row.full.as_str());
        let known: Vec<&str> = self.of(&["Replacing"]).map(|row| row.full.as_str()).collect();
        gone.chain(self.old.iter().map(String::as_str).filter(move |old| !known.contains(old)))
    }

    /// The names of packages of which there will be another version.
    pub(super) fn upgraded(&self) -> Vec<String> {
        self.of(&["Upgrading", "Downgrading"]).map(|row| row.name.clone()).collect()
    }

    /// Whether a version lower than the installed one will be installed.
    pub(super) fn downgrades(&self) -> bool {
        self.downgraded().next().is_some()
    }

    /// The names of packages that will have a lower version.
    pub(super) fn downgraded(&self) -> impl Iterator<Item = &str> {
        self.of(&["Downgrading"]).map(|row| row.name.as_str())
    }

    /// What will be done to groups and modules.
    pub(super) fn others(&self) -> impl Iterator<Item = String> {
        let others = self.rows.iter().filter(|row| row.name.is_empty());
        others.map(|row| {
            let verb = if row.section.starts_with("Remov") { "Removed" } else { "Installed" };
            format!("{verb}: {} ({})", row.full, row.section)
        })
    }
}

impl Row {
    fn new(section: &str, name: &str, version: &str, arch: &str) -> Self {
        // dnf5 tells epochs that are none.
        let version = version.strip_prefix("0:").unwrap_or(version);
        Self { section: section.to_owned(), name: name.to_owned(), full: format!("{name}-{version}.{arch}") }
    }
}

fn is_section(heading: &str) -> bool {
    let verbs = ["Installing", "Upgrading", "Downgrading", "Reinstalling", "Removing", "Enabling", "Disabling"];
    verbs.iter().any(|verb| heading.starts_with(verb))
}
