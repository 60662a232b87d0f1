//! Splitting lines into words: the quoting of ssh_config, and that of a simple shell command.

/// Splits the arguments of an ssh_config line as OpenSSH does.
///
/// Words are separated by blanks; single and double quotes group; a backslash escapes a quote, a backslash and, outside
/// quotes, a blank. With `comments`, a word that starts with `#` ends the line. An open quote is an error.
pub fn config_words(text: &str, comments: bool) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        match chars.peek() {
            None => return Ok(words),
            Some('#') if comments => return Ok(words),
            Some(_) => {}
        }
        let mut word = String::new();
        let mut quote: Option<char> = None;
        while let Some(&c) = chars.peek() {
            if quote.is_none() && c.is_ascii_whitespace() {
                break;
            }
            chars.next();
            match (c, quote) {
                ('\\', _) => {
                    let escapes = |next: &char| matches!(next, '\'' | '"' | '\\') || (quote.is_none() && *next == ' ');
                    word.push(chars.next_if(escapes).unwrap_or('\\'));
                }
                ('"' | '\'', None) => quote = Some(c),
                (_, Some(open)) if open == c => quote = None,
                _ => word.push(c),
            }
        }
        if let Some(open) = quote {
            return Err(format!("the quote {open} is never closed"));
        }
        words.push(word);
    }
}

/// Splits a command as a POSIX shell would, or `None` where it takes a shell to understand it.
///
/// Anything that expands, redirects, chains or assigns gives `None`.
pub fn simple_command(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        other => word.push(other),
                    }
                }
            }
            '"' => double_quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(chars.next()?),
            '$' | '`' | '|' | '&' | ';' | '<' | '>' | '(' | ')' | '{' | '}' | '*' | '?' | '#' | '\n' => return None,
            // `[%h]:%p` is a pattern to a shell too, but one that stays as it is when no file matches.
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    let assigns = words.first().is_some_and(|first| first.contains('='));
    if assigns { None } else { Some(words) }
}

fn double_quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            '"' => return Some(()),
            '$' | '`' => return None,
            '\\' => match chars.next()? {
                escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                other => word.extend(['\\', other]),
            },
            other => word.push(other),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn config_words_follow_openssh() {
        let split = |text| config_words(text, true).unwrap();
        assert_eq!(split("a  'b c' \"d e\"f # g"), ["a", "b c", "d ef"]);
        assert_eq!(split(r#"a\ b \"c\" d\e "x#y" z#w"#), ["a b", "\"c\"", r"d\e", "x#y", "z#w"]);
        assert!(config_words("\"open", true).is_err());
    }

    #[test]
    fn simple_commands_only() {
        let words = simple_command(r#"ssh -W %h:%p -i "my key" 'u s'@b\ c"#).unwrap();
        assert_eq!(words, ["ssh", "-W", "%h:%p", "-i", "my key", "u s@b c"]);
        for shell in ["ssh $HOST", "a | b", "nc %h %p; true", "A=b ssh x", "a > b", "\"$x\"", "'open"] {
            assert_eq!(simple_command(shell), None, "{shell}");
        }
    }
}
