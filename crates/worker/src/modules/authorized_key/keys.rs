//! The lines of an `authorized_keys` file, as sshd(8) describes them.

/// The types that a key may have.
const TYPES: [&str; 16] = [
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "ssh-ed25519",
    "ssh-ed25519-cert-v01@openssh.com",
    "ssh-dss",
    "ssh-rsa",
    "ssh-rsa-cert-v01@openssh.com",
];

/// A key with its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub options: Vec<String>,
    pub kind: String,
    pub blob: String,
    pub comment: String,
}

impl Key {
    /// Reads a line; `None` when it holds no key.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let words = words(line);
        let at = words.iter().position(|word| TYPES.contains(&word.as_str()))?;
        if at > 1 {
            return None;
        }
        let options = if at == 1 { split_options(&words[0]) } else { Vec::new() };
        let blob = words.get(at + 1)?.clone();
        Some(Self { options, kind: words[at].clone(), blob, comment: words[at + 2..].join(" ") })
    }

    /// Whether another key is this one in everything; the order of options means nothing.
    pub(super) fn same(&self, other: &Self) -> bool {
        let sorted = |key: &Self| {
            let mut options = key.options.clone();
            options.sort();
            options
        };
        (&self.kind, &self.blob, &self.comment, sorted(self))
            == (&other.kind, &other.blob, &other.comment, sorted(other))
    }

    /// The line of a file.
    pub(super) fn line(&self) -> String {
        let mut line = String::new();
        if !self.options.is_empty() {
            line.push_str(&self.options.join(","));
            line.push(' ');
        }
        line.push_str(&self.kind);
        line.push(' ');
        line.push_str(&self.blob);
        // Without a comment too there is the space before it, as in the files that the reference writes.
        line.push(' ');
        line.push_str(&self.comment);
        line
    }
}

/// Words between blanks; a quoted part may hold blanks.
fn words(line: &str) -> Vec<String> {
    split(line.trim(), |c| c == ' ' || c == '\t').into_iter().filter(|word| !word.is_empty()).collect()
}

/// The options between commas.
pub(super) fn split_options(text: &str) -> Vec<String> {
    split(text.trim(), |c| c == ',').into_iter().map(|o| o.trim().to_owned()).filter(|o| !o.is_empty()).collect()
}

fn split(text: &str, separates: impl Fn(char) -> bool) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        if separates(c) && !quoted {
            parts.push(String::new());
            continue;
        }
        match c {
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
}

/// A line of the file.
#[derive(Debug, Clone)]
pub(super) enum Line {
    Key(Key, String),
    /// A comment, or what nobody can read; kept as it is.
    Other(String),
}

/// The lines of a file.
pub(super) fn parse_file(text: &str) -> Vec<Line> {
    text.lines()
        .map(|raw| {
            let line = raw.trim_end_matches('\r');
            match Key::parse(line).filter(|_| !line.trim_start().starts_with('#')) {
                Some(key) => Line::Key(key, line.to_owned()),
                None => Line::Other(line.to_owned()),
            }
        })
        .collect()
}

/// The text of a file.
pub(super) fn file_text(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        match line {
            Line::Key(_, raw) | Line::Other(raw) => text.push_str(raw),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_lines() {
        let key = Key::parse(r#"command="echo \"a, b\"",no-pty ssh-ed25519 AAAA me and you"#).unwrap();
        assert_eq!(key.options, [r#"command="echo \"a, b\"""#, "no-pty"]);
        assert_eq!((key.kind.as_str(), key.blob.as_str(), key.comment.as_str()), ("ssh-ed25519", "AAAA", "me and you"));
        assert_eq!(key.line(), r#"command="echo \"a, b\"",no-pty ssh-ed25519 AAAA me and you"#);
        assert!(Key::parse("ssh-foo AAAA").is_none() && Key::parse("ssh-rsa").is_none());
    }
}
