//! INI inventories.

use indexmap::IndexMap;

use super::{Inventory, UNGROUPED, host_list, literal, range, words};
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

impl Section {
    fn word(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Vars => "vars",
            Self::Children => "children",
        }
    }
}

/// Where a group that is defined nowhere was spoken of.
struct Wanted {
    by: String,
    section: Section,
    span: Span,
    /// The groups that it is to be a child of.
    parents: Vec<String>,
}

fn wrong(message: impl Into<String>, span: Span) -> Diagnostic {
    let message: String = message.into();
    Diagnostic::error("inventory::syntax", format!("Failed to parse inventory: {message}")).at(span)
}

/// Reads INI text into an inventory; the first thing wrong ends it.
pub fn read(inventory: &mut Inventory, whole: Span) -> Result<(), Diagnostic> {
    let source = whole.source();
    let mut group = UNGROUPED.to_owned();
    let mut section = Section::Hosts;
    let mut start = 0;
    // Groups that have variables or are children must be defined somewhere, before or behind.
    let mut wanted: IndexMap<String, Wanted> = IndexMap::new();
    for raw in source.text.split_inclusive('\n') {
        let line = raw.trim();
        let at = start + (raw.len() - raw.trim_start().len());
        let span = whole.part(at, at + line.len());
        start += raw.len();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some((name, kind)) = header_of(line, span)? {
            (group, section) = (inventory.safe_name(&name), kind);
            match section {
                Section::Vars if inventory.group(&group).is_none() => {
                    let by = group.clone();
                    wanted.entry(by.clone()).or_insert(Wanted { by, section, span, parents: Vec::new() });
                }
                Section::Vars => {}
                _ => {
                    inventory.add_group(&group);
                    // As in the reference: only now it becomes a child, behind those that were there before.
                    for parent in wanted.shift_remove(&group).map(|wanted| wanted.parents).unwrap_or_default() {
                        inventory.add_child(&parent, &group).map_err(|message| wrong(message, span))?;
                    }
                }
            }
            continue;
        }
        match section {
            Section::Hosts => host_line(inventory, &group, line, span)?,
            Section::Vars => {
                let Some((name, value)) = line.split_once('=') else {
                    return Err(wrong(format!("Expected key=value, got: {line}"), span));
                };
                let value = literal::parse(value.trim(), span);
                inventory.set_group_variable(&group, Key::from(name.trim()), value);
            }
            Section::Children => {
                let name = line.split('#').next().unwrap_or_default().trim();
                if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == ':' || c == ']') {
                    return Err(wrong(format!("Expected group name, got: {line}"), span));
                }
                let name = inventory.safe_name(name);
                if inventory.group(&name).is_none() || wanted.contains_key(&name) {
                    let by = group.clone();
                    let wanted = wanted.entry(name).or_insert(Wanted { by, section, span, parents: Vec::new() });
                    wanted.parents.push(group.clone());
                } else {
                    inventory.add_child(&group, &name).map_err(|message| wrong(message, span))?;
                }
            }
        }
    }
    undefined_groups(&wanted)
}

fn undefined_groups(wanted: &IndexMap<String, Wanted>) -> Result<(), Diagnostic> {
    let Some((name, Wanted { by, section, span, .. })) = wanted.first() else { return Ok(()) };
    let word = section.word();
    let message = match section {
        Section::Children => format!("Section [{by}:{word}] includes undefined group '{name}'."),
        _ => format!("Section [{by}:{word}] not valid for undefined group '{name}'."),
    };
    Err(wrong(message, *span).help(format!("add a section `[{name}]`")))
}

/// The group and kind of a section header; `None` when the line is a host such as `[a:c].example.com`.
fn header_of(line: &str, span: Span) -> Result<Option<(String, Section)>, Diagnostic> {
    let Some((inside, rest)) = line.strip_prefix('[').and_then(|l| l.split_once(']')) else { return Ok(None) };
    let (name, kind) = inside.split_once(':').unwrap_or((inside, "hosts"));
    let plain = !name.is_empty() && !name.contains(char::is_whitespace);
    let word = !kind.is_empty() && kind.chars().all(|c| c == '_' || c.is_alphanumeric());
    let rest = rest.trim_start();
    if !plain || !word || !(rest.is_empty() || rest.starts_with('#')) {
        if !line.ends_with(']') {
            return Ok(None);
        }
        return Err(wrong(
            format!(
                "Invalid section entry: '{line}'. Please make sure that there are no spaces in the section entry, and that \
                 there are no other invalid characters"
            ),
            span,
        ));
    }
    let section = match kind {
        "hosts" => Section::Hosts,
        "vars" => Section::Vars,
        "children" => Section::Children,
        other => {
            return Err(wrong(format!("Section [{inside}] has unknown type: {other}"), span)
                .help("a section is [group], [group:vars] or [group:children]"));
        }
    };
    Ok(Some((name.to_owned(), section)))
}

fn host_line(inventory: &mut Inventory, group: &str, line: &str, span: Span) -> Result<(), Diagnostic> {
    let Some(words) = words::split(line) else {
        return Err(wrong(format!("Error parsing host definition '{line}': No closing quotation"), span));
    };
    let Some((pattern, pairs)) = words.split_first() else { return Ok(()) };
    if pattern.trim() == "---" {
        let message = "Invalid host pattern '---' supplied, '---' is normally a sign this is a YAML file.";
        return Err(wrong(message, span));
    }
    if pattern.ends_with(':') {
        return Err(wrong(
            format!(
                "Invalid host pattern '{pattern}' supplied, ending in ':' is not allowed, this character is reserved to \
                 provide a port."
            ),
            span,
        ));
    }
    let (pattern, port) = host_list::split_port(pattern);
    let names = range::expand(pattern).map_err(|error| wrong(error.to_string(), span))?;
    let mut vars = Vec::new();
    for pair in pairs {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(wrong(format!("Expected key=value host variable assignment, got: {pair}"), span));
        };
        vars.push((Key::from(name), literal::parse(value, span)));
    }
    for name in names {
        inventory.add_member(group, &name);
        let port = port.map(|port| ("ansible_port".into(), port.into()));
        inventory.set_variables(&name, port.into_iter().chain(vars.iter().cloned()));
    }
    Ok(())
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
