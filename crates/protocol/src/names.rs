//! Names of files that are not UTF-8, as text.
//!
//! Results and arguments are JSON, which holds text alone, and a file's name may be any bytes. A byte that is not part of a
//! character becomes one of the last characters that there are, U+10FF80 to U+10FFFF, which nobody writes (and whose own
//! bytes are told the same way, so that every name comes back as it was). What comes as a path or as a word of a command is
//! turned back before it is used.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The character that stands for byte 0; only those for bytes from 0x80 on are used.
const BASE: u32 = 0x10_ff00;

/// A name as text from which [`to_name`] makes the same name again.
#[must_use]
pub fn to_text(name: &OsStr) -> Cow<'_, str> {
    match name.to_str() {
        Some(text) if !text.chars().any(stands_for_byte) => Cow::Borrowed(text),
        _ => Cow::Owned(escaped(name.as_bytes())),
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if stands_for_byte(c) {
                text.extend(c.encode_utf8(&mut [0; 4]).bytes().filter_map(character));
            } else {
                text.push(c);
            }
        }
        text.extend(chunk.invalid().iter().copied().filter_map(character));
    }
    text
}

/// The name that a text means: characters that stand for bytes are those bytes.
#[must_use]
pub fn to_name(text: &str) -> Cow<'_, OsStr> {
    if !text.chars().any(stands_for_byte) {
        return Cow::Borrowed(OsStr::new(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match byte(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(OsString::from_vec(bytes))
}

fn character(byte: u8) -> Option<char> {
    char::from_u32(BASE + u32::from(byte))
}

fn byte(c: char) -> Option<u8> {
    u32::from(c).checked_sub(BASE).and_then(|byte| u8::try_from(byte).ok()).filter(|byte| *byte >= 0x80)
}

fn stands_for_byte(c: char) -> bool {
    byte(c).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_are_text_stay_as_they_are() {
        assert!(matches!(to_text(OsStr::new("a b\nä")), Cow::Borrowed("a b\nä")));
        assert!(matches!(to_name("a b\nä"), Cow::Borrowed(_)));
        assert_eq!(to_text(OsStr::from_bytes(b"a\xffb")), "a\u{10ffff}b");
    }

    proptest! {
        #[test]
        fn every_name_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..40), text in "\\PC*[\u{10ff80}-\u{10ffff}]*") {
            for name in [OsString::from_vec(bytes), OsString::from(text)] {
                let shown = to_text(&name).into_owned();
                prop_assert_eq!(to_name(&shown).into_owned(), name);
            }
        }
    }
}
