//! Encodings of text by the names that Python knows them by.

use encoding_rs::{Encoding, UTF_8};

/// Text in an encoding, or why it cannot be written in it.
pub fn encode(text: &str, name: &str) -> Result<Vec<u8>, String> {
    let known = name.trim().to_lowercase().replace('_', "-");
    let units = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let below = |limit: u32| {
        let byte = |c: char| u8::try_from(u32::from(c)).ok().filter(|b| u32::from(*b) < limit);
        text.chars().map(|c| byte(c).ok_or_else(|| cannot(name, c))).collect()
    };
    match known.as_str() {
        "" | "utf-8" | "utf8" | "u8" => Ok(text.as_bytes().to_vec()),
        "utf-8-sig" => Ok([b"\xef\xbb\xbf", text.as_bytes()].concat()),
        "utf-16" | "utf16" => Ok([vec![0xff, 0xfe], units(u16::to_le_bytes)].concat()),
        "utf-16-le" | "utf-16le" => Ok(units(u16::to_le_bytes)),
        "utf-16-be" | "utf-16be" => Ok(units(u16::to_be_bytes)),
        "ascii" | "us-ascii" | "646" => below(0x80),
        "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" | "8859" | "cp819" | "l1" | "latin" => below(0x100),
        _ => other(text, name, &known),
    }
}

/// The encodings that browsers know too.
fn other(text: &str, name: &str, known: &str) -> Result<Vec<u8>, String> {
    let code_page = known.strip_prefix("cp").unwrap_or(known);
    let windows =
        matches!(code_page, "874" | "1250" | "1251" | "1252" | "1253" | "1254" | "1255" | "1256" | "1257" | "1258")
            .then(|| format!("windows-{code_page}"));
    let spelled = known.replace('-', "_");
    let labels = [windows.as_deref().unwrap_or(known), spelled.as_str()];
    let found = labels.iter().find_map(|label| Encoding::for_label(label.as_bytes()));
    let Some(encoding) = found.filter(|e| *e != UTF_8 && e.output_encoding() == *e) else {
        return Err(format!("unknown encoding: {name}"));
    };
    let (bytes, _, replaced) = encoding.encode(text);
    if !replaced {
        return Ok(bytes.into_owned());
    }
    let stranger = text.chars().find(|c| encoding.encode(c.encode_utf8(&mut [0; 4])).2);
    Err(cannot(name, stranger.unwrap_or_default()))
}

/// Bytes as text in an encoding, what they cannot be left to a sign for it.
pub fn decode(bytes: &[u8], name: &str) -> String {
    let units = |from: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|c| from([c[0], c[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    let known = name.trim().to_lowercase().replace('_', "-");
    match known.as_str() {
        "utf-16-le" | "utf-16le" => units(u16::from_le_bytes),
        "utf-16-be" | "utf-16be" => units(u16::from_be_bytes),
        "utf-16" | "utf16" => units(u16::from_le_bytes).trim_start_matches('\u{feff}').to_owned(),
        "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" => bytes.iter().map(|b| char::from(*b)).collect(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn cannot(name: &str, c: char) -> String {
    format!("the character {c:?} cannot be written in {name}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_python_writes() {
        for (name, bytes) in [
            ("", "é€".as_bytes()),
            ("windows-1252", b"\xe9\x80"),
            ("cp1252", b"\xe9\x80"),
            ("iso-8859-15", b"\xe9\xa4"),
            ("UTF_16", b"\xff\xfe\xe9\x00\xac\x20"),
            ("utf-8-sig", b"\xef\xbb\xbf\xc3\xa9\xe2\x82\xac"),
        ] {
            assert_eq!(encode("é€", name).unwrap(), bytes, "{name}");
        }
        assert_eq!(encode("Ж", "koi8_r").unwrap(), b"\xf6");
        assert_eq!(encode("日", "shift_jis").unwrap(), b"\x93\xfa");
        for (text, name) in [("€", "latin-1"), ("é", "ascii"), ("Ж", "cp1252"), ("a", "nope"), ("a", "utf-7")] {
            assert!(encode(text, name).is_err(), "{name}");
        }
        assert!(encode("aЖ", "cp1252").unwrap_err().contains('Ж'));
    }
}
