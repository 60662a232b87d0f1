//! A mail as text: headers, and parts in base 64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A part of a mail.
pub(super) struct Part {
    pub kind: String,
    /// What the file is called, for an attachment.
    pub name: Option<String>,
    pub content: Vec<u8>,
}

/// The address in `Name <address>`, or the whole.
pub(super) fn address(person: &str) -> String {
    let inner = person.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(inner, _)| inner);
    inner.unwrap_or(person).trim().to_owned()
}

/// People as a header has them; names that are not ASCII are encoded.
pub(super) fn people(people: &[String]) -> String {
    let one = |person: &String| match person.rsplit_once('<') {
        Some((name, address)) if !person.is_ascii() => format!("{} <{address}", words(name.trim().trim_matches('"'))),
        _ => person.clone(),
    };
    people.iter().map(one).collect::<Vec<_>>().join(",\r\n ")
}

/// A header's text; one that is not ASCII, or longer than a line may be, goes in encoded words.
pub(super) fn words(text: &str) -> String {
    if text.is_ascii() && text.len() < 900 {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut piece = String::new();
    let mut close = |piece: &mut String| {
        if !piece.is_empty() {
            let gap = if out.is_empty() { "" } else { "\r\n " };
            out.push_str(&format!("{gap}=?utf-8?b?{}?=", STANDARD.encode(&*piece)));
            piece.clear();
        }
    };
    for c in text.chars() {
        if piece.len() + c.len_utf8() > 42 {
            close(&mut piece);
        }
        piece.push(c);
    }
    close(&mut piece);
    out
}

/// Whether it is the name of a header.
pub(super) fn is_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
}

/// A text's bytes in an encoding.
pub(super) fn encoded(text: &str, charset: &str) -> Result<Vec<u8>, String> {
    let unfit = || format!("the text cannot be written in the encoding {charset}");
    if matches!(charset.to_lowercase().as_str(), "us-ascii" | "ascii") {
        return if text.is_ascii() { Ok(text.as_bytes().to_vec()) } else { Err(unfit()) };
    }
    let encoding = encoding_rs::Encoding::for_label(charset.as_bytes());
    let encoding = encoding.ok_or_else(|| format!("unknown encoding: {charset}"))?;
    let (bytes, _, lost) = encoding.encode(text);
    if lost { Err(unfit()) } else { Ok(bytes.into_owned()) }
}

/// The whole mail, with CRLF at the end of each line.
pub(super) fn build(headers: &[(String, String)], parts: &[Part]) -> Result<Vec<u8>, String> {
    let random: String = crate::crypt::random()?.iter().map(|byte| format!("{byte:02x}")).collect();
    let boundary = format!("==============={random}==");
    let mut out = format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\nMIME-Version: 1.0\r\n");
    for (name, value) in headers {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    out.push_str("\r\nMultipart message\r\n");
    for part in parts {
        out.push_str(&format!("--{boundary}\r\nContent-Type: {}\r\nMIME-Version: 1.0\r\n", part.kind));
        out.push_str("Content-Transfer-Encoding: base64\r\n");
        if let Some(name) = &part.name {
            let name = name.replace(['\\', '"', '\r', '\n'], "_");
            out.push_str(&format!("Content-Disposition: attachment; filename=\"{name}\"\r\n"));
        }
        out.push_str("\r\n");
        let text = STANDARD.encode(&part.content);
        for line in text.as_bytes().chunks(76) {
            out.push_str(&String::from_utf8_lossy(line));
            out.push_str("\r\n");
        }
        out.push_str("\r\n");
    }
    out.push_str(&format!("--{boundary}--\r\n"));
    Ok(out.into_bytes())
}
