//! Names and values as they stand in SQL: everything that is not written in this project is quoted here.

use crate::module::Failure;

/// A name as an identifier in quotes, whatever is in it.
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a literal in quotes; sessions have `standard_conforming_strings` on, so a backslash is only a backslash.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Names as identifiers between commas.
pub fn idents<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|name| ident(name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// The parts of a name such as `schema.table`, in which parts may be quoted by the user.
pub fn name_parts(name: &str) -> Result<Vec<String>, Failure> {
    let wrong = |why: &str| Err(Failure::new(format!("'{name}' is not a name that can be used in SQL: {why}")));
    let mut parts = Vec::new();
    let mut rest = name;
    loop {
        let (part, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let Some((part, after)) = until_quote(quoted) else { return wrong("a quote is not closed") };
            (part, after)
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            (part.to_owned(), after)
        };
        if part.is_empty() {
            return wrong("a part of it is empty");
        }
        parts.push(part);
        match after.strip_prefix('.') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(parts),
            None => return wrong("something follows a quoted part"),
        }
    }
}

/// What stands before the closing quote, its doubled quotes made single, and what follows.
fn until_quote(text: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"')?;
        let (before, after) = rest.split_at(end);
        part.push_str(before);
        let after = after.get(1..)?;
        match after.strip_prefix('"') {
            Some(more) => {
                part.push('"');
                rest = more;
            }
            None => return Some((part, after)),
        }
    }
}

/// A name such as `schema.table`, each part an identifier in quotes.
pub fn qualified(name: &str) -> Result<String, Failure> {
    Ok(name_parts(name)?.iter().map(|part| ident(part)).collect::<Vec<_>>().join("."))
}

/// Refuses what a user who does not trust the input would not have in a statement.
pub fn refuse_dangerous<'a>(inputs: impl IntoIterator<Item = &'a str>) -> Result<(), Failure> {
    match inputs.into_iter().find(|input| is_dangerous(input)) {
        Some(input) => Err(Failure::new(format!("Passed input '{input}' is potentially dangerous"))),
        None => Ok(()),
    }
}

/// What a statement begins with.
const VERBS: [&str; 16] = [
    "--", "alter", "begin", "call", "commit", "copy", "create", "delete", "drop", "grant", "insert", "revoke",
    "select", "set", "truncate", "update",
];

/// Whether a text looks like more than a name or a value: another statement behind a semicolon, or a union.
fn is_dangerous(input: &str) -> bool {
    let lower = input.to_lowercase();
    let begins = |rest: &str| VERBS.iter().any(|verb| rest.trim_start().starts_with(verb));
    let union = lower.split_once("union").is_some_and(|(_, rest)| rest.contains("select"));
    union || input.contains('\0') || lower.split(';').skip(1).any(begins)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What PostgreSQL's lexer makes of one token at the beginning of a text, and what it leaves.
    fn lexed(text: &str) -> Option<(String, &str)> {
        let quote = text.chars().next().filter(|c| "'\"".contains(*c))?;
        let mut value = String::new();
        let mut chars = text.char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if c != quote {
                value.push(c);
            } else if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
                value.push(quote);
            } else {
                return Some((value, &text[at + 1..]));
            }
        }
        None
    }

    fn nasty() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop_oneof![
                Just("'".to_owned()),
                Just("\"".to_owned()),
                Just("\\".to_owned()),
                Just(";--".to_owned()),
                Just("/*".to_owned()),
                Just("$$".to_owned()),
                Just("\u{2019}".to_owned()),
                Just("\n".to_owned()),
                Just("%s".to_owned()),
                any::<char>().prop_map(|c| c.to_string()),
            ],
            0..12,
        )
        .prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn a_name_is_one_token(name in nasty(), tail in nasty()) {
            let text = format!("{} {tail}", ident(&name));
            let (value, rest) = lexed(&text).unwrap();
            prop_assert_eq!(value, name);
            prop_assert_eq!(rest, format!(" {tail}"));
        }

        #[test]
        fn a_value_is_one_token(value in nasty(), tail in nasty()) {
            let text = format!("{} {tail}", literal(&value));
            let (read, rest) = lexed(&text).unwrap();
            prop_assert_eq!(read, value);
            prop_assert_eq!(rest, format!(" {tail}"));
        }

        #[test]
        fn a_qualified_name_is_its_parts(name in nasty()) {
            if let Ok(text) = qualified(&name) {
                let mut rest = text.as_str();
                let mut parts = Vec::new();
                loop {
                    let (part, after) = lexed(rest).unwrap();
                    parts.push(part);
                    match after.strip_prefix('.') {
                        Some(more) => rest = more,
                        None => { prop_assert_eq!(after, ""); break }
                    }
                }
                prop_assert_eq!(parts, name_parts(&name).unwrap());
            }
        }
    }

    #[test]
    fn statements_behind_values_are_seen() {
        for input in ["a; drop table x", "a\"b; drop", "we'ird; --", "x  union  select", "a;\nDELETE FROM t"] {
            assert!(refuse_dangerous([input]).is_err(), "{input}");
        }
        for input in ["a;b", "a--", "a\"b", "a union b", "select x", "drop table x", "a' or 1=1", ""] {
            assert!(refuse_dangerous([input]).is_ok(), "{input}");
        }
    }

    #[test]
    fn names_have_parts() {
        for (name, parts) in [
            ("t", &["t"][..]),
            ("s.t", &["s", "t"]),
            ("\"s.x\".t", &["s.x", "t"]),
            ("\"a\"\"b\"", &["a\"b"]),
            ("a b;--", &["a b;--"]),
        ] {
            assert_eq!(name_parts(name).unwrap(), parts, "{name}");
        }
        for name in ["", ".", "a.", "\"a", "\"a\"b", "\"\""] {
            assert!(name_parts(name).is_err(), "{name}");
        }
    }
}
