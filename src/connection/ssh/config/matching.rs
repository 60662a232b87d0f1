//! `Host` and `Match`: which lines are for this host.

use std::process::{Command, Stdio};

use super::super::super::ConnectionError;
use super::super::environment::Environment;
use super::file::Directive;
use super::options::Options;
use super::tokens::Tokens;

/// Whether `text` matches a pattern with `*` and `?`.
pub fn wildcard(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    let (mut t, mut p) = (0, 0);
    // Where to go on after the last `*`, should what follows it not match.
    let mut retry: Option<(usize, usize)> = None;
    while let Some(c) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(wanted) if wanted == c || *wanted == '?' => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after, from)) => {
                    retry = Some((after, from + 1));
                    p = after;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

/// Whether `text` matches a comma-separated list of patterns; a matching `!pattern` says no to everything.
pub fn pattern_list(text: &str, list: &str, fold_case: bool) -> bool {
    let fold = |s: &str| {
        if fold_case { s.to_ascii_lowercase() } else { s.to_owned() }
    };
    let text = fold(text);
    let mut matched = false;
    for pattern in list.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if wildcard(&text, &fold(pattern)) => return false,
            Some(_) => {}
            None => matched |= wildcard(&text, &fold(pattern)),
        }
    }
    matched
}

/// Whether a `Host` line is for `host`.
pub fn host_line(host: &str, directive: &Directive) -> Result<bool, ConnectionError> {
    let words = directive.words()?;
    if words.is_empty() {
        return Err(directive.error("`Host` needs a pattern"));
    }
    let mut matched = false;
    for word in &words {
        match word.strip_prefix('!') {
            Some(pattern) if wildcard(host, pattern) => return Ok(false),
            Some(_) => {}
            None => matched |= wildcard(host, word),
        }
    }
    Ok(matched)
}

/// What `Match` looks at.
pub struct Subject<'a> {
    /// As it was given.
    pub original_host: &'a str,
    /// What is known so far.
    pub options: &'a Options,
    /// The surroundings.
    pub environment: &'a Environment,
    /// Whether this is the second reading, which `Match final` asks for.
    pub final_pass: bool,
}

/// Whether a `Match` line applies, and whether it asks for a second reading.
pub fn match_line(subject: &Subject<'_>, directive: &Directive) -> Result<(bool, bool), ConnectionError> {
    let words = directive.words()?;
    let mut words = words.iter();
    let mut matched = true;
    let mut wants_final = false;
    let mut any = false;
    while let Some(word) = words.next() {
        any = true;
        let (criterion, mut argument) = match word.split_once('=') {
            Some((criterion, argument)) => (criterion, Some(argument.to_owned())),
            None => (word.as_str(), None),
        };
        let (negated, criterion) = match criterion.strip_prefix('!') {
            Some(criterion) => (true, criterion),
            None => (false, criterion),
        };
        let criterion = criterion.to_ascii_lowercase();
        let result = match criterion.as_str() {
            "all" => true,
            "canonical" => subject.final_pass,
            "final" => {
                wants_final = true;
                subject.final_pass
            }
            _ => {
                if argument.is_none() {
                    argument = words.next().cloned();
                }
                let Some(argument) = argument else {
                    return Err(directive.error(&format!("`Match {criterion}` needs an argument")));
                };
                // OpenSSH runs no command for a line that cannot match any more.
                criterion_holds(subject, directive, &criterion, &argument, matched)?
            }
        };
        matched &= result != negated;
    }
    if !any {
        return Err(directive.error("`Match` needs a criterion"));
    }
    Ok((matched, wants_final))
}

fn criterion_holds(
    subject: &Subject<'_>,
    directive: &Directive,
    criterion: &str,
    argument: &str,
    undecided: bool,
) -> Result<bool, ConnectionError> {
    let tokens = Tokens::new(subject.original_host, subject.options, subject.environment);
    Ok(match criterion {
        "host" => pattern_list(&tokens.host, argument, true),
        "originalhost" => pattern_list(subject.original_host, argument, true),
        "user" => pattern_list(&tokens.user, argument, false),
        "localuser" => pattern_list(&subject.environment.local_user, argument, false),
        "exec" => {
            let command = tokens.expand_command(argument).map_err(|message| directive.error(&message))?;
            undecided
                && succeeds(&command)
                    .map_err(|error| directive.error(&format!("`Match exec`: cannot run `{command}`: {error}")))?
        }
        other => {
            return Err(directive.error(&format!(
                "`Match {other}` is not supported; use host, originalhost, user, localuser, exec, final, canonical or all"
            )));
        }
    })
}

fn succeeds(command: &str) -> std::io::Result<bool> {
    let status = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (text, pattern, wanted) in [
            ("web01.example.org", "*.example.org", true),
            ("example.org", "*.example.org", false),
            ("web1", "web?", true),
            ("web12", "web?", false),
            ("aXbXc", "a*b*c", true),
            ("", "*", true),
            ("a", "", false),
        ] {
            assert_eq!(wildcard(text, pattern), wanted, "{text} {pattern}");
        }
        assert!(pattern_list("WEB1", "db*,web*", true));
        assert!(!pattern_list("web1", "web*,!web1", true));
        assert!(!pattern_list("web1", "!db1", true));
    }
}
