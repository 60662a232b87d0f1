//! INI inventories.

use super::{Inventory, UNGROUPED, literal, range};
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::value::Key;

/// What a section holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Hosts,
    Vars,
    Children,
}

/// Reads INI text into an inventory; the first thing wrong ends it.
pub fn read(inventory: &mut Inventory, whole: Span) -> Result<(), Diagnostic> {
    let source = whole.source();
    let mut group = UNGROUPED.to_owned();
    let mut section = Section::Hosts;
    let mut start = 0;
    // Groups that have variables or are children must be defined somewhere in the file.
    let mut wanted: Vec<(String, Span)> = Vec::new();
    let mut defined: Vec<String> = Vec::new();
    for raw in source.text.split_inclusive('\n') {
        let line = raw.trim();
        let at = start + (raw.len() - raw.trim_start().len());
        let span = whole.part(at, at + line.len());
        start += raw.len();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = line.strip_prefix('[')
            && let Some((name, kind)) = header_of(header, span)?
        {
            (group, section) = (name, kind);
            inventory.add_group(&group);
            match section {
                Section::Vars => wanted.push((group.clone(), span)),
                _ => defined.push(group.clone()),
            }
            continue;
        }
        match section {
            Section::Hosts => host_line(inventory, &group, line, span)?,
            Section::Vars => {
                let Some((name, value)) = line.split_once('=') else {
                    let message = format!("expected key=value, got: {line}");
                    return Err(Diagnostic::error("inventory::syntax", message).at(span));
                };
                let value = literal::parse(strip_comment(value.trim()), span);
                inventory.add_group(&group).vars.insert(Key::from(name.trim()), value);
            }
            Section::Children => {
                let name = strip_comment(line).trim();
                if name.contains(char::is_whitespace) {
                    let message = format!("expected the name of a group, got: {line}");
                    return Err(Diagnostic::error("inventory::syntax", message).at(span));
                }
                wanted.push((name.to_owned(), span));
                inventory
                    .add_child(&group, name)
                    .map_err(|message| Diagnostic::error("inventory::loop", message).at(span))?;
            }
        }
    }
    undefined_groups(&wanted, &defined)
}

fn undefined_groups(wanted: &[(String, Span)], defined: &[String]) -> Result<(), Diagnostic> {
    for (name, span) in wanted {
        let built_in = matches!(name.as_str(), "all" | "ungrouped");
        if !built_in && !defined.contains(name) && !wanted.iter().filter(|(n, _)| n == name).any(|(_, s)| s != span) {
            let message = format!("the group `{name}` is used here and defined nowhere in this file");
            return Err(Diagnostic::error("inventory::undefined-group", message)
                .at(*span)
                .help(format!("add a section `[{name}]`"))
                .suggest(name, defined.iter().map(String::as_str)));
        }
    }
    Ok(())
}

/// The group and kind of a section header; `None` when the line is a host such as `[a:c].example.com`.
fn header_of(header: &str, span: Span) -> Result<Option<(String, Section)>, Diagnostic> {
    let Some((inside, rest)) = header.split_once(']') else {
        let message = "this section header has no `]`";
        return Err(Diagnostic::error("inventory::syntax", message).at(span));
    };
    if !strip_comment(rest).trim().is_empty() {
        return Ok(None);
    }
    let (name, kind) = inside.split_once(':').unwrap_or((inside, "hosts"));
    let section = match kind.trim() {
        "hosts" => Section::Hosts,
        "vars" => Section::Vars,
        "children" => Section::Children,
        other => {
            let message = format!("section [{inside}] has unknown type: {other}");
            return Err(Diagnostic::error("inventory::syntax", message)
                .at(span)
                .help("a section is [group], [group:vars] or [group:children]"));
        }
    };
    Ok(Some((name.trim().to_owned(), section)))
}

fn strip_comment(text: &str) -> &str {
    // A `#` begins a comment only behind white space; inside quotes it is text.
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') if before.is_whitespace() => return text[..at].trim_end(),
            _ => {}
        }
        before = c;
    }
    text
}

fn host_line(inventory: &mut Inventory, group: &str, line: &str, span: Span) -> Result<(), Diagnostic> {
    let wrong = |message: String| Diagnostic::error("inventory::syntax", message).at(span);
    let words = shell_words::split(strip_comment(line))
        .map_err(|_| wrong("this line has a quote that is not closed".into()))?;
    let Some((pattern, pairs)) = words.split_first() else { return Ok(()) };
    let (pattern, port) = split_port(pattern);
    let mut vars = Vec::new();
    for pair in pairs {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(wrong(format!("expected key=value host variable assignment, got: {pair}")));
        };
        vars.push((Key::from(name), literal::parse(value, span)));
    }
    for name in range::expand(pattern).map_err(wrong)? {
        inventory.add_member(group, &name);
        let host = inventory.add_host(&name);
        if let Some(port) = port {
            host.vars.insert("ansible_port".into(), i64::from(port).into());
        }
        host.vars.extend(vars.iter().cloned());
    }
    Ok(())
}

/// `host:port`, `[v6]:port`; a bare IPv6 address has no port.
fn split_port(pattern: &str) -> (&str, Option<u16>) {
    if let Some((host, port)) = pattern.rsplit_once(':')
        && let Ok(port) = port.parse()
        && (!host.contains(':') || host.ends_with(']'))
        && (!host.contains('[') || host.contains(']'))
    {
        let host = if host.matches(':').count() > 1 { host.trim_matches(['[', ']']) } else { host };
        return (host, Some(port));
    }
    (pattern, None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::register;

    fn pieces() -> impl Strategy<Value = String> {
        let piece = proptest::sample::select(vec![
            "[",
            "]",
            ":vars",
            ":children",
            ":hosts",
            "a",
            "web",
            "[1:3]",
            "[a:c]",
            "=",
            " ",
            "\n",
            "\t",
            "#",
            ";",
            "'",
            "\"",
            ":",
            "22",
            "ansible_host",
            "{'a': 1}",
            "[1, 2]",
            "\\",
            "é",
            "::1",
            "-",
        ]);
        proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn any_text_is_read_or_refused(text in pieces(), noise in ".{0,80}") {
            for text in [text, noise] {
                let mut inventory = Inventory::new();
                match read(&mut inventory, register("fuzz".to_owned(), None, text)) {
                    Ok(()) => drop(inventory.members("all")),
                    Err(error) => drop(crate::diagnostic::render(&error, false)),
                }
            }
        }
    }
}
