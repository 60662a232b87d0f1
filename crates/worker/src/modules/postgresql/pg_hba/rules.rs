//! Lines of a file of client authentication: what they say, and which come before which.

use std::cmp::Reverse;
use std::net::IpAddr;

use serde_json::{Value, json};

/// A line of the file.
#[derive(Debug, Clone)]
pub enum Line {
    /// A comment of its own, or an empty line.
    Comment(String),
    /// `include`, `include_if_exists`, `include_dir`, and `@file` alone.
    Include(String),
    /// A rule.
    Rule(Rule),
}

impl Line {
    /// The rule, when it is one.
    pub fn rule(&self) -> Option<&Rule> {
        if let Self::Rule(rule) = self { Some(rule) } else { None }
    }

    /// The rule, when it is one.
    pub fn rule_mut(&mut self) -> Option<&mut Rule> {
        if let Self::Rule(rule) = self { Some(rule) } else { None }
    }
}

/// A rule, with its line when it was read from one.
#[derive(Debug, Clone)]
pub struct Rule {
    kind: String,
    database: String,
    user: String,
    /// Nothing for local connections.
    source: Option<String>,
    method: String,
    options: Option<String>,
    text: String,
}

impl Rule {
    /// A rule that was not read from a file.
    pub fn new(
        kind: &str,
        database: &str,
        user: &str,
        source: Option<String>,
        method: &str,
        options: Option<&str>,
        comment: Option<&str>,
    ) -> Self {
        // Options stand in the order of their names.
        let options = options.map(|options| self::words(options).map(sorted).unwrap_or_else(|_| options.to_owned()));
        let options = options.filter(|options| !options.is_empty());
        let mut words = vec![kind, database, user];
        words.extend(source.as_deref());
        words.push(method);
        words.extend(options.as_deref());
        let mut text = words.join("\t");
        if let Some(comment) = comment.filter(|comment| !comment.is_empty()) {
            text.push_str(&format!("\t#{comment}"));
        }
        Self {
            kind: kind.to_owned(),
            database: database.to_owned(),
            user: user.to_owned(),
            method: method.to_owned(),
            options,
            source,
            text,
        }
    }

    /// The line.
    pub fn line(&self) -> String {
        self.text.clone()
    }

    /// Whether both decide on the same connections.
    pub fn is_for_the_same(&self, other: &Self) -> bool {
        (&self.kind, &self.database, &self.user, &self.source)
            == (&other.kind, &other.database, &other.user, &other.source)
    }

    /// Whether both say the same, comments aside.
    pub fn same(&self, other: &Self) -> bool {
        self.is_for_the_same(other) && self.method == other.method && self.options == other.options
    }

    /// The rule as it is told.
    pub fn value(&self) -> Value {
        let mut value = json!({"type": self.kind, "db": self.database, "usr": self.user, "method": self.method});
        if let Some(source) = &self.source {
            value["src"] = json!(source);
        }
        if let Some(options) = &self.options {
            value["options"] = json!(options);
        }
        value
    }

    fn read(text: &str) -> Result<Self, String> {
        let words = words(text)?;
        let wrong = || format!("The rule '{text}' is not complete");
        let mut words = words.into_iter();
        let [Some(kind), Some(database), Some(user)] = std::array::from_fn(|_| words.next()) else {
            return Err(wrong());
        };
        let mut source = None;
        if kind != "local" {
            let address = words.next().ok_or_else(wrong)?;
            let mut rest = words.as_slice().iter();
            let mask = rest.next().filter(|word| word.parse::<IpAddr>().is_ok() && !address.contains('/')).cloned();
            if mask.is_some() {
                words.next();
            }
            source = Some(self::source(&address, mask.as_deref())?);
        }
        let method = words.next().ok_or_else(wrong)?;
        let options = Some(sorted(words.collect())).filter(|options| !options.is_empty());
        Ok(Self { kind, database, user, source, method, options, text: text.to_owned() })
    }

    /// Whether it comes before others: those for fewer connections come first.
    fn rank(&self) -> impl Ord + use<> {
        let source = self.source.as_deref();
        (
            Reverse(source.map_or(200, reach)),
            databases_rank(&self.database),
            users_rank(&self.user),
            source.map(place),
            self.text.clone(),
        )
    }
}

/// Options in the order of their names.
fn sorted(mut options: Vec<String>) -> String {
    options.sort();
    options.join(" ")
}

/// The words of a rule, with their quotes; a comment ends them.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.push(c);
            }
            '#' if !quoted => break,
            c if c.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if quoted {
        return Err(format!("Unterminated quote in '{text}'"));
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    Ok(words)
}

/// The lines of a file; one that ends with a backslash goes on in the next.
pub fn parse(text: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    let mut rest = text.trim_end_matches('\n').split('\n');
    if text.trim_end_matches('\n').is_empty() {
        return Ok(lines);
    }
    while let Some(line) = rest.next() {
        let mut line = line.to_owned();
        while line.ends_with('\\') {
            let Some(next) = rest.next() else { break };
            line.push('\n');
            line.push_str(next);
        }
        let plain = line.replace("\\\n", " ");
        let begin = plain.trim_start();
        lines.push(if begin.is_empty() || begin.starts_with('#') {
            Line::Comment(line)
        } else if begin.starts_with('@') || begin.starts_with("include") {
            Line::Include(line)
        } else {
            let mut rule = Rule::read(&plain)?;
            rule.text = line;
            Line::Rule(rule)
        });
    }
    Ok(lines)
}

/// The file's content, without a newline at its end.
pub fn written(lines: &[Line]) -> String {
    let text = |line: &Line| match line {
        Line::Comment(text) | Line::Include(text) => text.clone(),
        Line::Rule(rule) => rule.line(),
    };
    lines.iter().map(text).collect::<Vec<_>>().join("\n")
}

/// Puts comments at the top, includes at the bottom, and rules for fewer connections before others; empty lines go.
pub fn sort(lines: &mut Vec<Line>) {
    lines.retain(|line| !matches!(line, Line::Comment(text) if text.trim().is_empty()));
    lines.sort_by_cached_key(|line| match line {
        Line::Comment(_) => (0, None),
        Line::Rule(rule) => (1, Some(rule.rank())),
        Line::Include(_) => (2, None),
    });
}

/// How narrow a source is: a host 128, everything 0.
fn reach(source: &str) -> u32 {
    match source {
        "samehost" => return 129,
        "samenet" => return 96,
        "all" => return 0,
        _ => {}
    }
    match source.split_once('/').and_then(|(address, bits)| Some((address.parse().ok()?, bits.parse::<u32>().ok()?))) {
        Some((IpAddr::V4(_), bits)) => bits * 4,
        Some((IpAddr::V6(_), bits)) => bits,
        None if source.starts_with('.') => 64,
        None => 128,
    }
}

/// The order among sources as narrow: networks by number, then names.
fn place(source: &str) -> (u8, Option<IpAddr>, String) {
    let address = source.split('/').next().and_then(|address| address.parse::<IpAddr>().ok());
    (u8::from(address.is_none()), address, source.to_owned())
}

/// How wide a list of databases is.
fn databases_rank(list: &str) -> usize {
    let one = |name: &str| match name {
        "all" => 1000,
        "replication" | "samerole" | "samegroup" => 1,
        _ => 2,
    };
    list.split(',').map(one).max().unwrap_or(0) + list.matches(',').count()
}

/// How wide a list of users is.
fn users_rank(list: &str) -> usize {
    let one = |name: &str| if name == "all" { 1000 } else { 2 };
    list.split(',').map(one).max().unwrap_or(0) + list.matches(',').count()
}

/// The names of a list between commas, each as it stands in a rule.
pub fn names(list: &str, what: &str) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    let mut name = String::new();
    let mut quoted = false;
    for c in list.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                name.push(c);
            }
            ',' if !quoted => names.push(std::mem::take(&mut name)),
            c => name.push(c),
        }
    }
    names.push(name);
    let plain = |name: &str| !name.contains(|c: char| c.is_whitespace() || "\"#,".contains(c));
    let inner = |name: &str| name.strip_prefix('"').and_then(|n| n.strip_suffix('"')).map(ToOwned::to_owned);
    let fine = |name: &String| {
        !name.is_empty()
            && (plain(name) || inner(name).is_some_and(|n| !n.is_empty() && !n.contains(['"', '\n', '\r'])))
    };
    let names: Vec<String> = names.into_iter().map(|name| name.trim().to_owned()).collect();
    match names.iter().find(|name| !fine(name)) {
        Some(name) => Err(format!("Invalid string for {what}: {name}")),
        None => Ok(names),
    }
}

/// A source as it stands in a rule: networks with the number of their bits.
pub fn source(address: &str, mask: Option<&str>) -> Result<String, String> {
    let wrong = || {
        format!(
            "Error modifying rules:\nThe string '{address}' is neither a valid IP address, network, hostname or keyword"
        )
    };
    if matches!(address, "all" | "samehost" | "samenet") {
        return Ok(address.to_owned());
    }
    let (network, bits) = match address.split_once('/') {
        Some((network, bits)) => (network, Some(bits)),
        None => (address, None),
    };
    let Ok(ip) = network.parse::<IpAddr>() else {
        let numeric = network.chars().all(|c| c.is_ascii_digit() || c == '.');
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if bits.is_some() || mask.is_some() || numeric || address.is_empty() || !address.chars().all(name) {
            return Err(wrong());
        }
        return Ok(address.to_owned());
    };
    let width = if ip.is_ipv4() { 32 } else { 128 };
    let bits: u32 = match (bits, mask) {
        (Some(bits), None) => bits.parse().ok().filter(|bits| *bits <= width).ok_or_else(wrong)?,
        (None, Some(mask)) => mask_bits(mask, ip).ok_or_else(wrong)?,
        (None, None) => width,
        (Some(_), Some(_)) => {
            return Err("Error modifying rules:\na network has bits or a netmask, not both".to_owned());
        }
    };
    let number = number(ip);
    if bits < width && number.trailing_zeros() < width - bits && number != 0 {
        return Err(format!("Error modifying rules:\n{network}/{bits} has host bits set"));
    }
    Ok(format!("{network}/{bits}"))
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

/// The number of bits of a netmask, which are all at its beginning.
fn mask_bits(mask: &str, of: IpAddr) -> Option<u32> {
    let mask: IpAddr = mask.parse().ok().filter(|mask: &IpAddr| mask.is_ipv4() == of.is_ipv4())?;
    let bits = number(mask).count_ones();
    let width = if of.is_ipv4() { 32 } else { 128 };
    let zeros = number(mask).trailing_zeros().min(width);
    (bits + zeros == width).then_some(bits)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let value = |line: &str| parse(line).unwrap()[0].rule().unwrap().value();
        assert_eq!(
            value("local\tall all\tpeer # x"),
            json!({"type": "local", "db": "all", "usr": "all", "method": "peer"})
        );
        assert_eq!(
            value("hostssl \"my db\" \"a#b\" 10.0.0.0 255.0.0.0 cert map=x clientcert=\"a b\""),
            json!({"type": "hostssl", "db": "\"my db\"", "usr": "\"a#b\"", "src": "10.0.0.0/8", "method": "cert",
                "options": "clientcert=\"a b\" map=x"})
        );
        assert_eq!(value("host all \\\n all ::1/128 md5")["src"], json!("::1/128"));
        for wrong in ["host all all", "local all \"x peer", "host all all 10.0.0.1/8 md5"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn narrow_rules_come_first() {
        let sorted = [
            "# comment",
            "local replication all md5",
            "local mydb bob md5",
            "local mydb all md5",
            "local sameuser all md5",
            "local all +grp md5",
            "local all all md5",
            "host all all samehost md5",
            "host all all 127.0.0.1/32 md5",
            "host all all ::1/128 md5",
            "host all all example.com md5",
            "host all all 10.7.0.0/24 md5",
            "host all all samenet md5",
            "host all all fe80::/95 md5",
            "host newdb newuser 10.5.0.0/16 md5",
            "host all all 10.7.0.0/16 md5",
            "host all all fe80::/64 md5",
            "host all all .example.com md5",
            "host replication all 10.0.0.0/8 md5",
            "host mydb bob 10.0.0.0/8 md5",
            "hostssl mydb bob 10.0.0.0/8 md5",
            "host zdb all 10.0.0.0/8 md5",
            "hostssl adb all 10.0.0.0/8 md5",
            "host a,b c,d 10.0.0.0/8 md5",
            "host all bob 10.0.0.0/8 md5",
            "host all all 10.0.0.0/8 md5",
            "host all all 10.0.0.0/8 trust",
            "host all all 0.0.0.0/0 md5",
            "host all all ::/0 md5",
            "host all all all md5",
            "hostssl all all all md5",
            "include x",
        ];
        let mut lines = parse(&sorted.iter().rev().copied().collect::<Vec<_>>().join("\n\n")).unwrap();
        sort(&mut lines);
        assert_eq!(written(&lines), sorted.join("\n"));
    }
}
