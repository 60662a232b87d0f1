//! A line of words as a shell splits it, comments left out: how lines with hosts are written.

/// The words of a line; `None` when a quote is not closed.
pub(super) fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            // A comment begins anywhere outside quotes, in a word too.
            '#' => break,
            '\\' => word.get_or_insert_default().push(chars.next()?),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => double_quoted(&mut chars, word.get_or_insert_default())?,
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

fn double_quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            '"' => return Some(()),
            '\\' => match chars.next()? {
                c @ ('"' | '\\') => word.push(c),
                c => word.extend(['\\', c]),
            },
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_quotes_and_comments() {
        let cases: [(&str, Option<&[&str]>); 7] = [
            ("a b=1  c=\"x y\"", Some(&["a", "b=1", "c=x y"])),
            ("l=abc#def", Some(&["l=abc"])),
            ("a='b # c' # d", Some(&["a=b # c"])),
            ("x\\ y z\\#", Some(&["x y", "z#"])),
            ("a=\"b\\\"c\\d\"", Some(&["a=b\"c\\d"])),
            ("a='", None),
            ("b=''", Some(&["b="])),
        ];
        for (line, want) in cases {
            let got = split(line);
            let got = got.as_ref().map(|words| words.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(got.as_deref(), want, "{line}");
        }
    }
}
