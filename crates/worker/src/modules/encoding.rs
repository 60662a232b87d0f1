//! How the bytes of a file are read as text and written again: `find` and `replace` take the name of an encoding.

use std::borrow::Cow;

use super::pattern::widen;

/// An encoding, by one of the names that Python knows it by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Encoding {
    Utf8,
    Ascii,
    Latin1,
    Other(&'static encoding_rs::Encoding),
}

impl Encoding {
    /// The encoding of this name.
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        let plain = name.trim().to_ascii_lowercase().replace(['_', ' '], "-");
        match plain.as_str() {
            "" | "utf-8" | "utf8" => Ok(Self::Utf8),
            "ascii" | "us-ascii" => Ok(Self::Ascii),
            "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" | "l1" => Ok(Self::Latin1),
            // These need a mark at the beginning, which a writer would have to keep.
            other if other.starts_with("utf") => Err(format!("encoding '{name}' is not supported")),
            other => encoding_rs::Encoding::for_label(other.as_bytes())
                .map(Self::Other)
                .ok_or_else(|| format!("unknown encoding: {name}")),
        }
    }

    /// Bytes as text; `None` when they are not in this encoding.
    pub(super) fn decode(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        match self {
            Self::Latin1 => Some(widen(bytes).into()),
            Self::Ascii if !bytes.is_ascii() => None,
            Self::Ascii | Self::Utf8 => std::str::from_utf8(bytes).ok().map(Into::into),
            Self::Other(encoding) => encoding.decode_without_bom_handling_and_without_replacement(bytes),
        }
    }

    /// Text as bytes; `None` when it holds a character that this encoding has not.
    pub(super) fn encode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Utf8 => Some(text.as_bytes().to_vec()),
            Self::Ascii => text.is_ascii().then(|| text.as_bytes().to_vec()),
            Self::Latin1 => text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect(),
            Self::Other(encoding) => {
                let (bytes, _, unmappable) = encoding.encode(text);
                (!unmappable).then(|| bytes.into_owned())
            }
        }
    }

    /// What it is called in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Ascii => "ascii",
            Self::Latin1 => "latin-1",
            Self::Other(encoding) => encoding.name(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (name, bytes, text) in [
            ("utf-8", "é".as_bytes(), "é"),
            ("latin_1", b"\xe9".as_slice(), "é"),
            ("gbk", b"\xc4\xe3\xba\xc3", "你好"),
            ("shift_jis", b"\x93\xfa", "日"),
            ("ISO-8859-15", b"\xa4", "€"),
        ] {
            let encoding = Encoding::parse(name).unwrap();
            assert_eq!(encoding.decode(bytes).as_deref(), Some(text), "{name}");
            assert_eq!(encoding.encode(text).as_deref(), Some(bytes), "{name}");
        }
        assert!(Encoding::parse("utf-16").is_err() && Encoding::parse("klingon").is_err());
        assert_eq!(Encoding::Utf8.decode(b"\xff"), None);
        assert_eq!((Encoding::Ascii.decode(b"\xff"), Encoding::Ascii.encode("é")), (None, None));
        assert_eq!(Encoding::parse("gbk").unwrap().decode(b"\xff"), None);
    }
}
