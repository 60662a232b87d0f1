//! Jinja's `urlize`: the addresses in a text as links.

use std::collections::BTreeSet;

use minijinja::{Error, Value as Jinja};

use super::plain::escaped;
use crate::template::call::{Call, Spec, ansible, fail, inner, items};
use crate::template::regex::{Flags, Pattern};
use crate::template::{python, python_type};
use crate::value::Value;

pub(super) const FILTERS: &[Spec] =
    &[ansible(&["urlize"], &["value", "trim_url_limit", "nofollow", "target", "rel", "extra_schemes"], urlize)];

/// A scheme or `www.` before a name, one of the old domains, or a scheme before an address; then a port and a path.
const WEB: &str = concat!(
    r"^(?:(?:https?://|www\.)(?:[\w%-]+\.)*(?:[a-z]{2,63}|xn--[\w%]{2,59})",
    r"|(?:[\w%-]{2,63}\.)+(?:com|net|int|edu|gov|org|info|mil)",
    r"|https?://(?:\d{1,3}(?:\.\d{1,3}){3}|\[(?:[\da-f]{0,4}:){2}(?:[\da-f]{0,4}:?){1,6}\]))",
    r"(?::\d{1,5})?(?:[/?#]\S*)?$"
);

const MAIL: &str = r"^\S+@\w[\w.-]*\.\w+$";

const SCHEME: &str = r"^[\w.+-]+:/{0,2}$";

/// What stands before an address without being of it, and what stands behind one.
const OPENING: &[&str] = &["(", "<", "&lt;"];
const CLOSING: &[&str] = &[")", ">", ".", ",", "\n", "&gt;"];

fn holds(pattern: &str, text: &str) -> Result<bool, Error> {
    let flags = Flags { ignorecase: pattern == WEB, multiline: false };
    Ok(Pattern::new(pattern, flags)?.captures(text, 0)?.is_some())
}

/// How links are written.
struct Links {
    limit: Option<i64>,
    attributes: String,
    schemes: Vec<String>,
}

fn urlize(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let limit = match call.option(1)? {
        None => None,
        Some(Value::Int(limit)) => Some(limit),
        Some(Value::Bool(limit)) => Some(i64::from(limit)),
        Some(other) => {
            let got = inner(python_type(&other));
            return Err(fail(format!("'>' not supported between instances of 'int' and '{got}'")));
        }
    };
    let rel = call.text_option(4)?.unwrap_or_default();
    let mut rel: BTreeSet<&str> = rel.split_whitespace().chain(["noopener"]).collect();
    if call.flag(2, false) {
        rel.insert("nofollow");
    }
    let rel = rel.into_iter().collect::<Vec<_>>().join(" ");
    let mut attributes = format!(" rel=\"{}\"", escaped(&rel));
    if let Some(target) = call.text_option(3)?.filter(|target| !target.is_empty()) {
        attributes.push_str(&format!(" target=\"{}\"", escaped(&target)));
    }
    let schemes: Vec<String> = match call.option(5)? {
        Some(given) => items(&given)?.iter().map(python::text).collect(),
        None => Vec::new(),
    };
    for scheme in &schemes {
        if !holds(SCHEME, scheme)? {
            return Err(fail(format!("{} is not a valid URI scheme prefix.", python::quoted(scheme))));
        }
    }
    let links = Links { limit, attributes, schemes };
    let text = escaped(&call.text(0)?);
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars() {
        if !python::is_space(c) {
            word.push(c);
            continue;
        }
        out.push_str(&links.word(&std::mem::take(&mut word))?);
        out.push(c);
    }
    out.push_str(&links.word(&word)?);
    Ok(Jinja::from(out))
}

impl Links {
    /// A word, which may be an address between signs that are not of it.
    fn word(&self, word: &str) -> Result<String, Error> {
        let mut middle = word;
        while let Some(rest) = OPENING.iter().find_map(|sign| middle.strip_prefix(sign)) {
            middle = rest;
        }
        let (head, rest) = word.split_at(word.len() - middle.len());
        let mut end = rest;
        while let Some(before) = CLOSING.iter().find_map(|sign| end.strip_suffix(sign)) {
            end = before;
        }
        let (mut middle, mut tail) = rest.split_at(end.len());
        // What is opened in an address is closed in it.
        for (open, close) in [("(", ")"), ("<", ">"), ("&lt;", "&gt;")] {
            let opened = middle.matches(open).count();
            if opened <= middle.matches(close).count() {
                continue;
            }
            for _ in 0..opened.min(tail.matches(close).count()) {
                let Some(at) = tail.find(close) else { break };
                let length = middle.len() + at + close.len();
                (middle, tail) = rest.split_at(length);
            }
        }
        Ok(format!("{head}{}{tail}", self.link(middle)?))
    }

    fn link(&self, address: &str) -> Result<String, Error> {
        let attributes = &self.attributes;
        if holds(WEB, address)? {
            let known = address.starts_with("https://") || address.starts_with("http://");
            let scheme = if known { "" } else { "https://" };
            return Ok(format!("<a href=\"{scheme}{address}\"{attributes}>{}</a>", self.shortened(address)));
        }
        if let Some(mail) = address.strip_prefix("mailto:")
            && holds(MAIL, mail)?
        {
            return Ok(format!("<a href=\"{address}\">{mail}</a>"));
        }
        let named = address.starts_with("www.") || address.starts_with('@') || address.contains(':');
        if !named && address.contains('@') && holds(MAIL, address)? {
            return Ok(format!("<a href=\"mailto:{address}\">{address}</a>"));
        }
        let mut out = address.to_owned();
        for scheme in &self.schemes {
            if out != *scheme && out.starts_with(scheme.as_str()) {
                out = format!("<a href=\"{out}\"{attributes}>{out}</a>");
            }
        }
        Ok(out)
    }

    /// What is shown of an address.
    fn shortened(&self, address: &str) -> String {
        let Some(limit) = self.limit else { return address.to_owned() };
        let length = i64::try_from(address.chars().count()).unwrap_or(i64::MAX);
        if length <= limit {
            return address.to_owned();
        }
        // A negative limit counts from the end.
        let kept = if limit < 0 { (length + limit).max(0) } else { limit };
        let shown: String = address.chars().take(usize::try_from(kept).unwrap_or(0)).collect();
        format!("{shown}...")
    }
}
