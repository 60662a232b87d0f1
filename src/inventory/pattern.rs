//! Host patterns: names, groups, globs, `~regex`, `:&`, `:!`, subscripts and `@file`.

use globset::GlobBuilder;
use indexmap::IndexSet;

use super::{Inventory, host_list};

/// What this machine is called.
pub const LOCAL: &[&str] = &["localhost", "127.0.0.1", "::1"];

/// Why a pattern could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(pub String);

/// A pattern, read.
#[derive(Debug, Clone)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
struct Part {
    sign: Sign,
    text: String,
    subscript: Option<Subscript>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Add,
    And,
    Not,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subscript {
    At(i64),
    Range(i64, Option<i64>),
}

impl Pattern {
    /// Reads a pattern: parts between commas, or between colons where they are not part of an address.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let mut parts = Vec::new();
        for piece in split(text) {
            if let Some(path) = piece.strip_prefix('@') {
                let place = std::path::Path::new(path);
                if !place.exists() {
                    return Err(PatternError(format!("Unable to find limit file {path}")));
                }
                if !place.is_file() {
                    return Err(PatternError(format!(
                        "Limit starting with \"@\" must be a file, not a directory: {path}"
                    )));
                }
                let lines = std::fs::read_to_string(place)
                    .map_err(|e| PatternError(format!("Unable to read limit file {path}: {e}")))?;
                for line in lines.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
                    parts.extend(Self::parse(line)?.parts);
                }
                continue;
            }
            parts.push(Part::parse(&piece)?);
        }
        Ok(Self { parts })
    }

    /// Names of this machine among those that are to be added: it is there though nobody lists it.
    #[must_use]
    pub fn local_names(&self) -> Vec<&str> {
        let added = self.parts.iter().filter(|part| part.sign == Sign::Add).map(|part| part.text.as_str());
        added.filter(|name| LOCAL.contains(name)).collect()
    }

    /// The hosts that match, in inventory order; and the parts that match nothing at all.
    ///
    /// As in the reference: everything that adds comes first, then `&`, then `!`. A pattern that only takes away begins with
    /// all hosts.
    pub fn select(&self, inventory: &Inventory) -> Result<(Vec<String>, Vec<String>), PatternError> {
        let mut chosen: IndexSet<String> = IndexSet::new();
        let mut unmatched = Vec::new();
        if self.parts.iter().all(|part| part.sign != Sign::Add) {
            chosen.extend(inventory.members("all"));
        }
        for sign in [Sign::Add, Sign::And, Sign::Not] {
            for part in self.parts.iter().filter(|part| part.sign == sign) {
                let matching: IndexSet<String> = part.matches(inventory)?.into_iter().collect();
                if matching.is_empty()
                    && !matches!(part.text.as_str(), "all" | "*")
                    && inventory.group(&part.text).is_none()
                {
                    unmatched.push(part.text.clone());
                }
                match sign {
                    Sign::Add => chosen.extend(matching),
                    Sign::And => chosen.retain(|host| matching.contains(host)),
                    Sign::Not => chosen.retain(|host| !matching.contains(host)),
                }
            }
        }
        Ok((chosen.into_iter().collect(), unmatched))
    }
}

/// The parts of a pattern.
fn split(text: &str) -> Vec<String> {
    let text = text.trim();
    let pieces: Vec<String> = if text.contains(',') {
        text.split(',').map(|p| p.trim().to_owned()).collect()
    } else if text.parse::<std::net::Ipv6Addr>().is_ok() || host_list::split_port(text).1.is_some() {
        vec![text.to_owned()]
    } else {
        split_colons(text)
    };
    pieces.into_iter().filter(|p| !p.is_empty()).collect()
}

/// Splits at colons that are not inside brackets.
fn split_colons(text: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '[' => depth += 1,
            ']' if depth > 0 => depth -= 1,
            ':' if depth == 0 => {
                out.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = out.last_mut() {
            last.push(c);
        }
    }
    out
}

impl Part {
    fn parse(text: &str) -> Result<Self, PatternError> {
        let (sign, text) = match text.strip_prefix('&') {
            Some(rest) => (Sign::And, rest),
            None => match text.strip_prefix('!') {
                Some(rest) => (Sign::Not, rest),
                None => (Sign::Add, text),
            },
        };
        let (text, subscript) = if text.starts_with('~') { (text, None) } else { subscript(text) };
        Ok(Self { sign, text: text.to_owned(), subscript })
    }

    fn matches(&self, inventory: &Inventory) -> Result<Vec<String>, PatternError> {
        let hosts = self.all_matches(inventory)?;
        // Of nothing there is no first: the pattern matches nothing, and is warned of as such.
        let Some(subscript) = self.subscript.filter(|_| !hosts.is_empty()) else { return Ok(hosts) };
        let len = i64::try_from(hosts.len()).unwrap_or(i64::MAX);
        let place = |n: i64| if n < 0 { n + len } else { n };
        let (from, to) = match subscript {
            Subscript::At(n) => (place(n), place(n)),
            Subscript::Range(a, b) => (place(a), b.map_or(len - 1, place)),
        };
        let within = |i: &usize| i64::try_from(*i).is_ok_and(|i| i >= from && i <= to);
        Ok(hosts.into_iter().enumerate().filter(|(i, _)| within(i)).map(|(_, host)| host).collect())
    }

    fn all_matches(&self, inventory: &Inventory) -> Result<Vec<String>, PatternError> {
        let text = self.text.as_str();
        if text == "*" || text == "all" {
            return Ok(inventory.members("all"));
        }
        if inventory.group(text).is_some() {
            return Ok(inventory.members(text));
        }
        let matcher: Box<dyn Fn(&str) -> bool> = if let Some(regex) = text.strip_prefix('~') {
            let regex = fancy_regex::Regex::new(&format!("^(?:{regex})"))
                .map_err(|e| PatternError(format!("the pattern '{text}' is not a regular expression: {e}")))?;
            Box::new(move |name| regex.is_match(name).unwrap_or(false))
        } else if text.contains(['*', '?', '[']) {
            let glob = GlobBuilder::new(text)
                .literal_separator(false)
                .build()
                .map_err(|e| PatternError(format!("the pattern '{text}' is not a glob: {e}")))?
                .compile_matcher();
            Box::new(move |name| glob.is_match(name))
        } else {
            return Ok(inventory.host(text).map(|h| h.name.clone()).into_iter().collect());
        };
        let mut out: IndexSet<String> = IndexSet::new();
        for group in inventory.groups().filter(|g| matcher(&g.name)) {
            out.extend(inventory.members(&group.name));
        }
        out.extend(inventory.hosts().filter(|h| !h.implicit && matcher(&h.name)).map(|h| h.name.clone()));
        Ok(out.into_iter().collect())
    }
}

/// `group[0]`, `group[-1]`, `group[1:3]`, `group[2:]`; a glob's own brackets stay.
fn subscript(text: &str) -> (&str, Option<Subscript>) {
    let Some((base, inside)) = text.strip_suffix(']').and_then(|t| t.rsplit_once('[')) else { return (text, None) };
    let parsed = match inside.split_once([':', '-']).filter(|(a, _)| !a.is_empty()) {
        Some((from, to)) => match (from.parse(), to) {
            (Ok(from), "") => Some(Subscript::Range(from, None)),
            (Ok(from), to) => to.parse().ok().map(|to| Subscript::Range(from, Some(to))),
            _ => None,
        },
        None => inside.parse().ok().map(Subscript::At),
    };
    match parsed {
        Some(_) if base.is_empty() => (text, None),
        Some(subscript) => (base, Some(subscript)),
        None => (text, None),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::inventory::ini;
    use crate::source;

    fn inventory() -> Inventory {
        let text = "solo\n[web]\nweb[1:3] http=8080 tags=\"['a','b']\"\n[db]\ndb1:2222 ansible_host=10.0.0.1 # note\n\
                    [prod:children]\nweb\ndb\n[prod:vars]\ntier=gold\n[web:vars]\ntier='silver'\n";
        let mut inventory = Inventory::new();
        ini::read(&mut inventory, source::register("hosts", None, text.into())).unwrap();
        inventory.settle();
        inventory
    }

    #[test]
    fn selects_hosts() {
        let inventory = inventory();
        let select = |text: &str| Pattern::parse(text).unwrap().select(&inventory).unwrap().0.join(" ");
        let cases = [
            ("all", "solo web1 web2 web3 db1"),
            ("web", "web1 web2 web3"),
            ("prod", "web1 web2 web3 db1"),
            ("ungrouped", "solo"),
            ("web:db", "web1 web2 web3 db1"),
            ("web,db1", "web1 web2 web3 db1"),
            ("prod:!web2", "web1 web3 db1"),
            ("prod:&web", "web1 web2 web3"),
            ("!web", "solo db1"),
            ("*1", "web1 db1"),
            ("~(web|db)1", "web1 db1"),
            ("web[0]", "web1"),
            ("web[-1]", "web3"),
            ("web[1:]", "web2 web3"),
            ("web[0:1]", "web1 web2"),
            ("nobody", ""),
            ("web[9]", ""),
            ("web[-9]", ""),
            ("web1:22", ""),
            ("all[2]", "web2"),
            ("web1,,web2", "web1 web2"),
            (",,", "solo web1 web2 web3 db1"),
            ("prod:!web:db1", "db1"),
            ("~web:db1", "web1 web2 web3 db1"),
        ];
        for (text, want) in cases {
            assert_eq!(select(text), want, "{text}");
        }
        assert_eq!(Pattern::parse("nobody").unwrap().select(&inventory).unwrap().1, ["nobody"]);
    }

    #[test]
    fn variables_come_in_layers() {
        let inventory = inventory();
        let value = |host: &str, name: &str| {
            inventory.layers(host).iter().find_map(|layer| layer.get(name).cloned()).map(|v| v.to_json())
        };
        assert_eq!(value("web1", "tier"), Some("silver".into()));
        assert_eq!(value("db1", "tier"), Some("gold".into()));
        assert_eq!(value("db1", "ansible_port"), Some(2222.into()));
        assert_eq!(value("web2", "tags"), Some(serde_json::json!(["a", "b"])));
        assert_eq!(inventory.group_names("web1"), ["prod", "web"]);
        assert_eq!(inventory.group_names("solo"), ["ungrouped"]);
    }

    #[test]
    fn what_is_wrong_has_a_place() {
        let read = |text: &str| {
            let mut inventory = Inventory::new();
            ini::read(&mut inventory, source::register("hosts", None, text.into())).unwrap_err()
        };
        assert_eq!(read("[web]\na\n[web:vars]\nnovalue\n").span.unwrap().location().to_string(), "hosts:4:1");
        let cases = [
            ("[prod:children]\nweb\n", "Section [prod:children] includes undefined group 'web'."),
            ("[prod:vars]\na=1\n", "Section [prod:vars] not valid for undefined group 'prod'."),
            ("[a:children]\nb\n[b:children]\na\n", "'a' as child to 'b' creates a recursive dependency loop."),
            ("[web\n", "no closing bracket"),
            ("[a b]\n", "Invalid section entry: '[a b]'."),
            ("[a:b]\n", "Section [a:b] has unknown type: b"),
            ("a b\n", "Expected key=value host variable assignment, got: b"),
            ("a:\n", "ending in ':' is not allowed"),
            ("a b='\n", "No closing quotation"),
        ];
        for (text, want) in cases {
            assert!(read(text).message.contains(want), "{text}: {}", read(text).message);
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

        #[test]
        fn any_pattern_chooses_or_is_refused(text in "[ab1:,!&~*?\\[\\]@ ().|+\\\\^$-]{0,24}", noise in ".{0,24}") {
            let inventory = inventory();
            for text in [text, noise] {
                // `@` reads a file, which is not what this is about.
                let Ok(pattern) = Pattern::parse(&text.replace('@', "")) else { continue };
                if let Ok((hosts, _)) = pattern.select(&inventory) {
                    proptest::prop_assert!(hosts.iter().all(|host| inventory.host(host).is_some()));
                }
            }
        }
    }
}
