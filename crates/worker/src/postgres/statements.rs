//! Where statements begin in a text of several: enough to know those that end a transaction.

/// The first words of each statement, in capitals.
fn beginnings(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        rest = match c {
            ';' => {
                found.push(words.join(" "));
                words.clear();
                after
            }
            '-' if after.starts_with('-') => after.find('\n').and_then(|end| after.get(end..)).unwrap_or_default(),
            '/' if after.starts_with('*') => after_comment(after.get(1..).unwrap_or_default()),
            '\'' | '"' => after_quote(after, c, false),
            'e' | 'E' if after.starts_with('\'') => after_quote(after.get(1..).unwrap_or_default(), '\'', true),
            '$' => after_dollar(rest).unwrap_or(after),
            c if c.is_alphabetic() || c == '_' => {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                if words.len() < 2 {
                    words.push(word.to_uppercase());
                }
                after
            }
            _ => after,
        };
    }
    found.push(words.join(" "));
    found
}

fn after_comment(text: &str) -> &str {
    let mut depth = 1;
    let mut rest = text;
    while depth > 0 {
        let close = rest.find("*/").unwrap_or(rest.len());
        match rest.find("/*").filter(|open| *open < close) {
            Some(open) => (depth, rest) = (depth + 1, rest.get(open + 2..).unwrap_or_default()),
            None => (depth, rest) = (depth - 1, rest.get(close + 2..).unwrap_or_default()),
        }
    }
    rest
}

fn after_quote(text: &str, quote: char, escapes: bool) -> &str {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && escapes {
            chars.next();
        } else if c == quote {
            return text.get(at + 1..).unwrap_or_default();
        }
    }
    ""
}

/// What follows `$tag$ … $tag$`, when that is what a text begins with.
fn after_dollar(text: &str) -> Option<&str> {
    let end = text.get(1..)?.find('$')? + 2;
    let (tag, body) = text.split_at(end);
    let name = tag.trim_matches('$');
    if name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    Some(body.find(tag).and_then(|at| body.get(at + tag.len()..)).unwrap_or_default())
}

/// Whether a statement among these ends the transaction that it is in, which then cannot be taken back.
pub fn end_transaction(text: &str) -> bool {
    beginnings(text).iter().any(|words| {
        let first = words.split(' ').next().unwrap_or_default();
        matches!(first, "COMMIT" | "END" | "ROLLBACK" | "ABORT") && words != "ROLLBACK TO"
            || words == "PREPARE TRANSACTION"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_found() {
        for text in [
            "commit",
            "select 1; COMMIT;",
            "/* x /* y */ */ end",
            "-- c\nabort",
            "select ';'; rollback",
            "select $$ ; $$; commit",
            "select E'\\''; commit; --'",
            "prepare transaction 'x'",
            "begin;select 1;end",
            "select '\\'; commit",
        ] {
            assert!(end_transaction(text), "{text}");
        }
        for text in [
            "select 1",
            "select 'x; commit'",
            "select \"; commit\"",
            "do $$ begin commit; end $$",
            "create function f() returns int as $x$ ; end; $x$ language sql",
            "-- commit",
            "select 1 /* ; commit",
            "rollback to a",
            "select E'\\'; commit'",
            "prepare p as select 1",
            "comment on table t is 'x'",
            "select $1; select a$b$",
        ] {
            assert!(!end_transaction(text), "{text}");
        }
    }
}
