//! What is said of arguments that were not accepted.

use std::fmt;

use serde::de;
use serde_json::Value;

/// Modules that an action of the reference calls, and by which name: the one that it tells.
const BY_ACTION: [(&str, &str); 6] = [
    ("ansible.builtin.assemble", "ansible.legacy.assemble"),
    ("ansible.builtin.command", "ansible.legacy.command"),
    ("ansible.builtin.copy", "ansible.legacy.copy"),
    ("ansible.builtin.shell", "ansible.legacy.command"),
    ("ansible.builtin.unarchive", "ansible.legacy.unarchive"),
    ("ansible.builtin.uri", "ansible.legacy.uri"),
];

/// Why a module's arguments were not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgError {
    /// The module has no arguments of these names.
    Unknown {
        /// The names given.
        names: Vec<String>,
        /// The names it has.
        known: Vec<&'static str>,
        /// Those among them that are other names of one of the rest.
        aliases: Vec<&'static str>,
        /// The argument whose sub-options these are; empty at the top.
        within: String,
        /// The module's name as it is told; empty where it is not known.
        module: &'static str,
    },
    /// A required argument is not there.
    Missing(String),
    /// A value does not fit.
    Invalid(String),
}

impl ArgError {
    /// The same, said of a module.
    #[must_use]
    pub fn of_module(mut self, name: &'static str) -> Self {
        if let Self::Unknown { module, .. } = &mut self {
            *module = BY_ACTION
                .iter()
                .find(|(own, _)| *own == name)
                .map_or_else(|| name.strip_prefix("ansible.builtin.").unwrap_or(name), |(_, told)| told);
        }
        self
    }

    /// The same, where the schema of the module's arguments says which names are not just others of the same.
    #[must_use]
    pub fn with_schema(mut self, schema: impl FnOnce() -> Value) -> Self {
        if let Self::Unknown { known, aliases, within, .. } = &mut self
            && within.is_empty()
        {
            let schema = schema();
            let own = |name: &str| schema.pointer("/properties").is_some_and(|own| own.get(name).is_some());
            *aliases = known.iter().copied().filter(|name| !own(name)).collect();
        }
        self
    }

    /// What is said, and the details that are told apart from it, where there are some.
    #[must_use]
    pub fn told_apart(message: &str) -> (&str, Option<&str>) {
        let details = message.strip_prefix(super::types::NO_MODE).and_then(|rest| rest.strip_prefix(": "));
        match details {
            Some(details) => (super::types::NO_MODE, Some(details)),
            None => (message, None),
        }
    }

    /// The nearest argument the module has to the first one it has not.
    #[must_use]
    pub fn suggestion(&self) -> Option<&'static str> {
        let Self::Unknown { names, known, .. } = self else { return None };
        let name = names.first()?;
        known
            .iter()
            .map(|k| (distance(name, k), *k))
            .filter(|(d, k)| *d <= 1 + k.len().min(name.len()) / 4)
            .min()
            .map(|(_, k)| k)
    }
}

/// Edits (insertions, deletions, replacements, swaps of neighbours) between two names.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

impl fmt::Display for ArgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { names, known, aliases, within, module } => {
                let of = if module.is_empty() { String::new() } else { format!(" for ({module}) module") };
                write!(f, "Unsupported parameters{of}: {}", names.join(", "))?;
                if !within.is_empty() {
                    write!(f, " found in {within}")?;
                }
                // Arguments of the project's own between its two halves are nobody's business.
                let listed = |names: &[&'static str], without: &[&'static str]| {
                    let shown = |name: &&str| !name.starts_with('_') && !without.contains(name);
                    let mut names: Vec<&str> = names.iter().copied().filter(shown).collect();
                    names.sort_unstable();
                    names.join(", ")
                };
                write!(f, ". Supported parameters include: {}", listed(known, aliases))?;
                match listed(aliases, &[]) {
                    aliases if aliases.is_empty() => f.write_str("."),
                    aliases => write!(f, " ({aliases})."),
                }
            }
            Self::Missing(name) => write!(f, "missing required arguments: {name}"),
            Self::Invalid(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ArgError {}

impl de::Error for ArgError {
    fn custom<T: fmt::Display>(msg: T) -> Self {
        Self::Invalid(msg.to_string())
    }
    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field.to_owned())
    }
}
