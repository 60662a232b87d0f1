//! The text form of keys and certificates.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// One `-----BEGIN …-----` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// What stands after BEGIN.
    pub(crate) label: String,
    /// The lines `Name: value` at its start.
    pub(crate) headers: Vec<(String, String)>,
    /// What it holds.
    pub(crate) data: Vec<u8>,
}

impl Block {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// All blocks of a text that are whole; what stands around them is passed over.
pub(crate) fn blocks(bytes: &[u8]) -> Vec<Block> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines().map(str::trim);
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")) else {
            continue;
        };
        let end = format!("-----END {label}-----");
        let (mut headers, mut body, mut whole) = (Vec::new(), String::new(), false);
        for line in lines.by_ref() {
            if line == end {
                whole = true;
                break;
            }
            match line.split_once(": ") {
                Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
                None => body.push_str(line),
            }
        }
        if let (true, Ok(data)) = (whole, STANDARD.decode(&body)) {
            found.push(Block { label: label.to_owned(), headers, data });
        }
    }
    found
}

/// The first block with one of these labels.
pub(crate) fn first(bytes: &[u8], labels: &[&str]) -> Option<Block> {
    blocks(bytes).into_iter().find(|block| labels.contains(&block.label.as_str()))
}

/// A block as text.
pub(crate) fn encode(label: &str, data: &[u8]) -> String {
    encode_with(label, "", data)
}

/// A block as text, with lines of headers.
pub(crate) fn encode_with(label: &str, headers: &str, data: &[u8]) -> String {
    let body = STANDARD.encode(data);
    let mut text = format!("-----BEGIN {label}-----\n{headers}");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_among_other_text() {
        let data: Vec<u8> = (0..100).collect();
        let text = format!("junk\n{}more\n-----BEGIN X-----\nAAAA\n", encode_with("A B", "H: v\n\n", &data));
        let found = blocks(text.as_bytes());
        assert_eq!(found.len(), 1, "the last one has no end");
        assert_eq!((found[0].label.as_str(), &found[0].data, found[0].header("H")), ("A B", &data, Some("v")));
        assert!(text.lines().all(|line| line.len() <= 64));
        assert!(first(text.as_bytes(), &["X"]).is_none());
    }
}
