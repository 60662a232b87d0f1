//! `--tags` and `--skip-tags`.

/// Which tasks are chosen by their tags.
#[derive(Debug, Clone, Default)]
pub struct TagFilter {
    /// `--tags`; empty means `all`.
    pub only: Vec<String>,
    /// `--skip-tags`.
    pub skip: Vec<String>,
}

impl TagFilter {
    /// Whether a task with these tags is to run: the reference's rules, with its special tags `always`, `never`, `all`,
    /// `tagged` and `untagged`.
    #[must_use]
    pub fn allows(&self, tags: &[String]) -> bool {
        let has = |list: &[String], tag: &str| list.iter().any(|t| t == tag);
        let tagged = !tags.is_empty();
        let common = |list: &[String]| tags.iter().any(|tag| has(list, tag));
        let all = self.only.is_empty() || has(&self.only, "all");
        let never = has(tags, "never");
        let chosen = has(tags, "always")
            || (all && !never)
            || common(&self.only)
            || (has(&self.only, "tagged") && tagged && !never)
            || (has(&self.only, "untagged") && !tagged);
        if !chosen || self.skip.is_empty() {
            return chosen;
        }
        let skipped = if has(&self.skip, "all") {
            !has(tags, "always") || has(&self.skip, "always")
        } else {
            common(&self.skip) || (has(&self.skip, "tagged") && tagged) || (has(&self.skip, "untagged") && !tagged)
        };
        !skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(only: &str, skip: &str, tags: &str) -> bool {
        let list = |s: &str| s.split(',').filter(|t| !t.is_empty()).map(ToOwned::to_owned).collect::<Vec<_>>();
        TagFilter { only: list(only), skip: list(skip) }.allows(&list(tags))
    }

    #[test]
    fn follows_the_reference() {
        let cases = [
            ("", "", "", true),
            ("", "", "never", false),
            ("a", "", "a,never", true),
            ("a", "", "b", false),
            ("a", "", "always", true),
            ("a", "always", "always", false),
            ("all", "a", "a", false),
            ("tagged", "", "", false),
            ("tagged", "", "x", true),
            ("untagged", "", "", true),
            ("untagged", "", "x", false),
            ("", "tagged", "x", false),
            ("", "all", "always", true),
        ];
        for (only, skip, tags, want) in cases {
            assert_eq!(allows(only, skip, tags), want, "--tags {only} --skip-tags {skip} on [{tags}]");
        }
    }
}
