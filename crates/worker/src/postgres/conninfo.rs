//! Parameters of a connection in one text, as libpq reads them: `host=x password='a b'`.

/// Names and values of a text; nothing when it cannot be read.
pub fn parse(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return None;
        }
        let (value, after) = value(after.trim_start())?;
        pairs.push((name.to_owned(), value));
        rest = after.trim_start();
    }
    Some(pairs)
}

/// The value at the beginning of a text, and what is behind it.
fn value(text: &str) -> Option<(String, &str)> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            '\'' if quoted => return Some((value, text.get(at + 1..)?)),
            c if c.is_whitespace() && !quoted => return Some((value, text.get(at..)?)),
            c => value.push(c),
        }
    }
    (!quoted).then_some((value, ""))
}

/// The text of names and values; values are quoted where they have to be.
pub fn write(pairs: &[(String, String)]) -> String {
    let one = |(name, value): &(String, String)| {
        let plain = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || matches!(c, '\'' | '\\'));
        let value = value.replace('\\', "\\\\").replace('\'', "\\'");
        if plain { format!("{name}={value}") } else { format!("{name}='{value}'") }
    };
    pairs.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// What stands for a secret.
const HIDDEN: &str = "********";

/// Whether a parameter is a secret.
pub fn is_secret(name: &str) -> bool {
    matches!(name, "password" | "sslpassword")
}

/// The same text with its secrets hidden.
pub fn without_secrets(text: &str) -> String {
    let Some(pairs) = parse(text) else { return HIDDEN.to_owned() };
    let hide =
        |(name, value): (String, String)| if is_secret(&name) { (name, HIDDEN.to_owned()) } else { (name, value) };
    write(&pairs.into_iter().map(hide).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_and_written() {
        let pairs =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
        let all = pairs(&[("host", "h"), ("password", "a'b \\c"), ("user", "")]);
        let text = write(&all);
        assert_eq!(text, "host=h password='a\\'b \\\\c' user=''");
        assert_eq!(parse(&text), Some(all));
        assert_eq!(parse(" a = b  c=d "), Some(pairs(&[("a", "b"), ("c", "d")])));
        assert_eq!(without_secrets("host=h password=x"), "host=h password=********");
        for wrong in ["x", "a='b", "a b=c"] {
            assert_eq!(parse(wrong), None);
            assert_eq!(without_secrets(wrong), "********");
        }
    }
}
