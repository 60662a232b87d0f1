//! Files that are made to be hard to read: each is read or refused soon, and nothing grows faster than the file.

use std::time::{Duration, Instant};

use super::yaml::load_text;

/// Longer than any of these takes by far, and much shorter than what takes the square of its size would.
const SOON: Duration = Duration::from_secs(20);

/// Whether the text is read; it is an error to take long for that.
fn reads(name: &str, text: String) -> bool {
    let began = Instant::now();
    let size = text.len();
    let read = load_text(name, None, text);
    if let Ok(Some(node)) = &read {
        drop(node.to_value());
    }
    if let Err(error) = &read {
        assert!(!crate::diagnostic::render(error, false).is_empty());
    }
    assert!(began.elapsed() < SOON, "{name}: {:?} for {size} bytes", began.elapsed());
    read.is_ok()
}

fn many(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect()
}

#[test]
fn nothing_is_nested_without_end() {
    assert!(!reads("flow sequences", "[".repeat(300_000)));
    assert!(!reads("closed ones", format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))));
    assert!(!reads("flow mappings", "{a: ".repeat(100_000)));
    assert!(!reads("block sequences", format!("{}a", "- ".repeat(50_000))));
    assert!(!reads("block mappings", many(3000, |at| format!("{}a:\n", " ".repeat(at)))));
    assert!(!reads("keys", format!("{}a", "? ".repeat(20_000))));
}

#[test]
fn aliases_do_not_multiply() {
    let letters: Vec<char> = ('b'..='j').collect();
    let mut bomb = "a: &a [l, l, l, l, l, l, l, l, l]\n".to_owned();
    for letter in letters {
        let before = char::from(letter as u8 - 1);
        let nine = vec![format!("*{before}"); 9].join(", ");
        bomb.push_str(&format!("{letter}: &{letter} [{nine}]\n"));
    }
    assert!(!reads("bomb", bomb));
    assert!(!reads("itself", "a: &a [*a]\n".into()));
    let merged = many(60, |at| format!("a{}: &a{}\n  <<: [*a{at}, *a{at}]\n  k{at}: 1\n", at + 1, at + 1));
    assert!(reads("merges", format!("a0: &a0 {{x: 1}}\n{merged}")));
    let anchors = many(50_000, |at| format!("- &a{at} x\n"));
    assert!(reads("anchors", anchors + &many(50_000, |at| format!("- *a{at}\n"))));
}

#[test]
fn large_scalars_are_read_as_they_are() {
    assert!(reads("quoted", format!("a: \"{}\"", "x".repeat(8_000_000))));
    assert!(reads("single quotes", format!("- '{}'", "''".repeat(500_000))));
    assert!(reads("plain", format!("a: {}", "x ".repeat(1_000_000))));
    assert!(reads("escapes", format!("a: \"{}\"", "\\x41".repeat(400_000))));
    assert!(reads("wide escapes", format!("- \"{}\"", "\\U0001F600".repeat(100_000))));
    assert!(reads("block", format!("a: |\n{}", format!("  {}\n", "x".repeat(80)).repeat(50_000))));
    assert!(reads("folded", format!("a: >\n{}", "  x\n\n".repeat(100_000))));
    assert!(reads("plain lines", format!("a: x\n{}", "  y\n".repeat(100_000))));
    assert!(reads("braces", format!("a: \"{}\"", "{{".repeat(500_000))));
}

#[test]
fn long_files_take_as_long_as_they_are() {
    assert!(reads("keys", many(60_000, |at| format!("k{at}: {at}\n"))));
    assert!(reads("items", "- a\n".repeat(150_000)));
    assert!(reads("the same key", "k: 1\n".repeat(50_000)));
    assert!(reads("pairs", format!("[{}]", vec!["a: b"; 50_000].join(","))));
    assert!(reads("a comment", format!("#{}\n- a\n", "#".repeat(2_000_000))));
    assert!(reads("spaces", format!("{}- a", " ".repeat(2_000_000))));
    assert!(!reads("nothing that is text", "a: \0\0\0".into()));
}
