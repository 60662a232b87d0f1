//! Names of groups: what may be in them and what becomes of the rest.

use super::{GroupNames, Inventory};

/// Whether a name could be a variable's.
fn is_plain(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_none_or(|c| c == '_' || (c.is_alphanumeric() && !c.is_numeric()))
        && chars.all(|c| c == '_' || c.is_alphanumeric())
}

/// The name with `_` for every character that may not be in one.
fn replaced(name: &str) -> String {
    let allowed = |at: usize, c: char| c == '_' || (c.is_alphanumeric() && (at > 0 || !c.is_numeric()));
    name.char_indices().map(|(at, c)| if allowed(at, c) { c } else { '_' }).collect()
}

/// A name that composing made, with `_` for whatever may not be in one.
pub(super) fn forced(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { replaced(name) }
}

impl Inventory {
    /// A group's name as the settings want it; warns once of odd ones.
    pub(super) fn safe_name(&mut self, name: &str) -> String {
        if is_plain(name) {
            return name.to_owned();
        }
        let (out, done) = match self.options.group_names {
            GroupNames::Ignore => return name.to_owned(),
            GroupNames::Silently => return replaced(name),
            GroupNames::Never => (name.to_owned(), "but not replaced"),
            GroupNames::Always => (replaced(name), "and automatically replaced"),
        };
        // A name that was made safe in one place is looked up in others.
        if !self.odd_names {
            self.odd_names = true;
            let message = format!("Invalid characters were found in group names {done}, use -vvvv to see details");
            self.warn("inventory::names", message);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_characters_become_underscores() {
        for (name, want) in [("web", "web"), ("web-1", "web_1"), ("1a", "_a"), ("a.b c", "a_b_c"), ("é", "é")] {
            assert_eq!(replaced(name), want, "{name}");
            assert_eq!(is_plain(name), name == want, "{name}");
        }
    }
}
