//! YAML documents to nodes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput, Tag};

use super::padding::Padding;
use super::{Node, NodeKind, Source, Span, register_source, resolve_plain};
use crate::diagnostic::Diagnostic;
use crate::vault::{Secrets, is_encrypted};

/// How deep nodes may be nested.
const MAX_DEPTH: usize = 200;

/// How many nodes aliases may add up to in one file, so that an alias bomb ends early.
const MAX_NODES: usize = 2_000_000;

/// Why a file could not be read as YAML.
pub type YamlError = Diagnostic;

/// Reads a file, decrypted when it is encrypted; `None` for one with no document in it.
pub fn load(path: &Path, vault: &Arc<Secrets>) -> Result<Option<Node>, YamlError> {
    let bytes = std::fs::read(path)
        .map_err(|e| Diagnostic::error("yaml::read", format!("cannot read `{}`: {e}", path.display())))?;
    let name = path.display().to_string();
    let encrypted = is_encrypted(&bytes);
    let bytes = vault
        .reveal(bytes)
        .map_err(|e| Diagnostic::error("vault::decrypt", format!("cannot decrypt `{name}`: {e}")))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Diagnostic::error("yaml::encoding", format!("`{name}` is not UTF-8: byte {at} is not part of a character"))
    })?;
    load_source(Source { name, path: Some(path.to_path_buf()), text, vault: vault.clone(), encrypted, by_line: false })
}

/// Reads text under a name; `None` when it holds no document.
pub fn load_text(name: &str, path: Option<&Path>, text: String) -> Result<Option<Node>, YamlError> {
    load_text_with(name, path, text, &Arc::default())
}

/// Reads text under a name; what is encrypted in it is decrypted by these passwords when it is used.
pub fn load_text_with(
    name: &str,
    path: Option<&Path>,
    text: String,
    vault: &Arc<Secrets>,
) -> Result<Option<Node>, YamlError> {
    let path = path.map(Path::to_path_buf);
    load_source(Source { name: name.to_owned(), path, text, vault: vault.clone(), encrypted: false, by_line: false })
}

fn load_source(source: Source) -> Result<Option<Node>, YamlError> {
    let whole = register_source(source);
    let source = whole.source();
    let mut padding = Padding::default();
    loop {
        let padded = padding.apply(&source.text);
        let text = padded.as_deref().unwrap_or(&source.text);
        let mut loader = Loader {
            parser: Parser::new_from_str(text),
            whole,
            offsets: Offsets::new(text, padding.shifts(&source.text)),
            anchors: HashMap::new(),
            nodes: 0,
            stumbled: std::cell::RefCell::default(),
        };
        let outcome = loader.document();
        let stumbled = loader.stumbled.take();
        let again = stumbled.is_some_and(|(line, message)| padding.deepen(&source.text, line, &message));
        if outcome.is_ok() || !again {
            let marked = source.text.contains("__ansible_") && is_json(&source.text);
            return outcome.map(|mut node| {
                node.iter_mut().filter(|_| marked).for_each(Node::decode_marks);
                node
            });
        }
    }
}

/// Whether a text is JSON and not any other YAML.
fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// From the scanner's character index to a byte offset.
struct Offsets {
    bytes: Option<Vec<u32>>,
    shifts: Vec<(usize, usize)>,
}

impl Offsets {
    fn new(text: &str, shifts: Vec<(usize, usize)>) -> Self {
        let table = || text.char_indices().map(|(at, _)| u32::try_from(at).unwrap_or(u32::MAX)).collect();
        Self { bytes: (!text.is_ascii()).then(table), shifts }
    }

    fn byte(&self, marker: &Marker, whole: &Span) -> usize {
        let end = whole.end as usize;
        let at = match &self.bytes {
            None => marker.index(),
            Some(table) => table.get(marker.index()).map_or(usize::MAX, |at| *at as usize),
        };
        let before = self.shifts.partition_point(|(place, _)| *place <= at);
        let spaces = before.checked_sub(1).and_then(|last| self.shifts.get(last)).map_or(0, |(_, spaces)| *spaces);
        at.saturating_sub(spaces).min(end)
    }
}

struct Loader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    whole: Span,
    offsets: Offsets,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    /// The line and message of the scanner's error.
    stumbled: std::cell::RefCell<Option<(usize, String)>>,
}

type Step<'a> = (Event<'a>, saphyr_parser::Span);

impl<'a> Loader<'a> {
    fn document(&mut self) -> Result<Option<Node>, YamlError> {
        let mut found = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(found),
                Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
                Event::DocumentStart(_) if found.is_some() => {
                    return Err(self
                        .error("yaml::documents", "expected a single document in this file", span.start)
                        .help("remove the second `---`, or put what follows into a file of its own"));
                }
                Event::DocumentStart(_) => {}
                other => {
                    let node = self.node((other, span), 0)?;
                    found = (!node.is_null()).then_some(node);
                }
            }
        }
    }

    fn next(&mut self) -> Result<Step<'a>, YamlError> {
        match self.parser.next_event() {
            Some(Ok(step)) => Ok(step),
            Some(Err(e)) => Err(self.scan_error(&e)),
            None => Ok((Event::StreamEnd, saphyr_parser::Span::empty(Marker::new(0, 1, 0)))),
        }
    }

    fn scan_error(&self, e: &ScanError) -> YamlError {
        *self.stumbled.borrow_mut() = Some((e.marker().line(), e.info().to_owned()));
        let error = self.error("yaml::syntax", format!("this is not YAML: {}", e.info()), *e.marker());
        match self.hint(e) {
            Some(hint) => error.help(hint),
            None => error,
        }
    }

    /// The usual ways to break YAML in a playbook.
    fn hint(&self, e: &ScanError) -> Option<&'static str> {
        let source = self.whole.source();
        let lines: Vec<&str> = source.text.lines().collect();
        let at = e.marker().line().saturating_sub(1).min(lines.len().saturating_sub(1));
        let near = lines.get(at.saturating_sub(1)..=at)?;
        if near.iter().any(|line| line.starts_with('\t') || line.trim_start_matches(' ').starts_with('\t')) {
            return Some("indent with spaces: YAML does not allow tabs");
        }
        let templated = |line: &&str| line.split_once(": ").is_some_and(|(_, v)| v.trim_start().starts_with("{{"));
        if near.iter().any(templated) {
            return Some("a value that begins with a template must be quoted: `key: \"{{ value }}\"`");
        }
        if near.iter().any(|line| line.matches(": ").count() > 1) {
            return Some("a value that holds `: ` must be quoted");
        }
        None
    }

    fn error(&self, code: &'static str, message: impl Into<String>, at: Marker) -> YamlError {
        let start = self.offsets.byte(&at, &self.whole);
        Diagnostic::error(code, message.into()).at(self.whole.part(start, start))
    }

    fn span(&self, span: &saphyr_parser::Span) -> Span {
        self.whole.part(self.offsets.byte(&span.start, &self.whole), self.offsets.byte(&span.end, &self.whole))
    }

    fn node(&mut self, (event, span): Step<'a>, depth: usize) -> Result<Node, YamlError> {
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            let what = if depth > MAX_DEPTH { "nested too deeply" } else { "too large when its aliases are followed" };
            return Err(self.error("yaml::limit", format!("this YAML is {what}"), span.start));
        }
        let (anchor, node) = match event {
            Event::Scalar(text, style, anchor, tag) => (anchor, self.scalar(text, style, tag.as_deref(), &span)?),
            Event::SequenceStart(anchor, tag) => (anchor, self.sequence(tag.as_deref(), &span, depth)?),
            Event::MappingStart(anchor, tag) => (anchor, self.mapping(tag.as_deref(), &span, depth)?),
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id).cloned() else {
                    return Err(self.error("yaml::alias", "this alias stands inside the value it names", span.start));
                };
                self.nodes += count(&node);
                return Ok(node);
            }
            _ => return Err(self.error("yaml::syntax", "a value was expected here", span.start)),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn scalar(
        &self,
        text: Cow<'a, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: &saphyr_parser::Span,
    ) -> Result<Node, YamlError> {
        let name = tag.map(tag_name);
        let kind = match name.as_deref() {
            None if style == ScalarStyle::Plain => resolve_plain(&text),
            None | Some("!" | "!!str" | "!!binary" | "!!timestamp" | "!unsafe" | "!vault" | "!vault-encrypted") => {
                NodeKind::Str(text.into_owned())
            }
            Some("!!int" | "!!float" | "!!bool" | "!!null") => resolve_plain(&text),
            Some(other) => {
                let message = format!("could not determine what the tag `{other}` means");
                return Err(self.error("yaml::tag", message, span.start).help("known tags are `!unsafe` and `!vault`"));
            }
        };
        Ok(Node { kind, span: self.span(span), tag: name })
    }

    fn sequence(&mut self, tag: Option<&Tag>, start: &saphyr_parser::Span, depth: usize) -> Result<Node, YamlError> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                let span = self.container_span(start, items.last().map(|n: &Node| n.span), &span);
                items.shrink_to_fit();
                return Ok(Node { kind: NodeKind::List(items), span, tag: tag.map(tag_name) });
            }
            items.push(self.node((event, span), depth + 1)?);
        }
    }

    fn mapping(&mut self, tag: Option<&Tag>, start: &saphyr_parser::Span, depth: usize) -> Result<Node, YamlError> {
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut places = Places::default();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                let span = self.container_span(start, entries.last().map(|(_, v)| v.span), &span);
                merge(&mut entries, &mut places, merged);
                entries.shrink_to_fit();
                return Ok(Node { kind: NodeKind::Map(entries), span, tag: tag.map(tag_name) });
            }
            let key = self.node((event, span), depth + 1)?;
            if matches!(key.kind, NodeKind::List(_) | NodeKind::Map(_)) {
                return Err(self
                    .error("yaml::key", "a list or dictionary cannot be a key", span.start)
                    .help("a value that begins with a template must be quoted: `key: \"{{ value }}\"`"));
            }
            let step = self.next()?;
            let value = self.node(step, depth + 1)?;
            if key.as_str() == Some("<<") && key.tag.is_none() {
                merged.push(value);
                continue;
            }
            match places.find(&entries, &key) {
                // As in the reference, the last one counts.
                Some(at) => {
                    let name = key.to_value().to_text();
                    super::duplicates::found(&name, key.span)?;
                    entries[at] = (key, value);
                }
                None => entries.push((key, value)),
            }
        }
    }

    /// From a container's start to the end of its last entry (the scanner's own end is on a later line).
    fn container_span(&self, start: &saphyr_parser::Span, last: Option<Span>, end: &saphyr_parser::Span) -> Span {
        let start = self.offsets.byte(&start.start, &self.whole);
        let stop = match last {
            Some(last) if last.same_source(&self.whole) && last.end as usize >= start => last.end as usize,
            _ => self.offsets.byte(&end.end, &self.whole),
        };
        self.whole.part(start, stop)
    }
}

/// `<<`: entries of the dictionaries named, those written out taking precedence.
fn merge(entries: &mut Vec<(Node, Node)>, places: &mut Places, merged: Vec<Node>) {
    let sources = merged.into_iter().flat_map(|node| match node.kind {
        NodeKind::List(items) => items,
        _ => vec![node],
    });
    for source in sources {
        let NodeKind::Map(more) = source.kind else { continue };
        for (key, value) in more {
            if places.find(entries, &key).is_none() {
                entries.push((key, value));
            }
        }
    }
}

/// Where the keys of a dictionary are, for one too long to be looked through each time.
#[derive(Default)]
struct Places {
    known: HashMap<String, usize>,
    /// How many entries are among `known`.
    seen: usize,
}

impl Places {
    /// Up to this many entries are looked through.
    const FEW: usize = 16;

    /// The entry that has this key; entries are only ever appended, or replaced by others of the same key.
    fn find(&mut self, entries: &[(Node, Node)], key: &Node) -> Option<usize> {
        if entries.len() <= Self::FEW {
            return entries.iter().position(|(known, _)| same_key(known, key));
        }
        for (at, (known, _)) in entries.iter().enumerate().skip(self.seen) {
            self.known.insert(key_text(known), at);
        }
        self.seen = entries.len();
        self.known.get(&key_text(key)).copied()
    }
}

fn same_key(one: &Node, other: &Node) -> bool {
    match (&one.kind, &other.kind) {
        (NodeKind::Str(one), NodeKind::Str(other)) => one == other,
        (NodeKind::Str(_), _) | (_, NodeKind::Str(_)) => false,
        _ => key_text(one) == key_text(other),
    }
}

fn key_text(key: &Node) -> String {
    match &key.kind {
        NodeKind::Str(text) => text.clone(),
        other => format!("\0{other:?}"),
    }
}

fn count(node: &Node) -> usize {
    1 + match &node.kind {
        NodeKind::List(items) => items.iter().map(count).sum(),
        NodeKind::Map(entries) => entries.iter().map(|(k, v)| count(k) + count(v)).sum(),
        _ => 0,
    }
}

fn tag_name(tag: &Tag) -> Box<str> {
    let handle = if tag.handle == "tag:yaml.org,2002:" { "!!" } else { &tag.handle };
    format!("{handle}{}", tag.suffix).into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn value(text: &str) -> serde_json::Value {
        load_text("<test>", None, text.to_owned()).unwrap().unwrap().to_value().to_json()
    }

    #[test]
    fn what_is_in_brackets_or_quotes_need_not_be_indented() {
        let text = "- a: {\n\"x\": 1,\n  \"y\": [2,\n3]\n}\n  b: \"one\ntwo\"\n  c: end\n";
        let node = load_text("t", None, text.to_owned()).unwrap().unwrap();
        let json = node.to_value().to_json();
        assert_eq!(json, serde_json::json!([{"a": {"x": 1, "y": [2, 3]}, "b": "one two", "c": "end"}]));
        let last = node.as_list().unwrap()[0].get("c").unwrap();
        assert_eq!((last.span.start as usize, last.span.end as usize), (text.len() - 4, text.len() - 1));
    }

    #[test]
    fn reads_documents() {
        assert_eq!(value("a: [1, yes, 'no']\nb: {c: ~}"), serde_json::json!({"a": [1, true, "no"], "b": {"c": null}}));
        assert_eq!(value("- &x {a: 1}\n- {<<: *x, b: 2}"), serde_json::json!([{"a": 1}, {"b": 2, "a": 1}]));
        assert_eq!(value("a: 1\na: 2"), serde_json::json!({"a": 2}));
        assert!(load_text("<test>", None, "---\n# nothing\n".into()).unwrap().is_none());
    }

    #[test]
    fn knows_places() {
        let node = load_text("site.yml", None, "- hosts: all\n  tasks:\n    - ñandú: x\n      when: y\n".into())
            .unwrap()
            .unwrap();
        let task = &node.as_list().unwrap()[0].get("tasks").unwrap().as_list().unwrap()[0];
        assert_eq!(task.get("when").unwrap().span.location().to_string(), "site.yml:4:13");
        let (key, _) = &task.as_map().unwrap()[0];
        assert_eq!(key.span.location().to_string(), "site.yml:3:7");
    }

    #[test]
    fn errors_have_a_place_and_a_way_out() {
        let error = load_text("x.yml", None, "a: {{ b }}\n".into()).unwrap_err();
        assert!(error.help_text().unwrap().contains("quoted"), "{error:?}");
        let error = load_text("x.yml", None, "a:\n\t- b\n".into()).unwrap_err();
        assert!(error.help_text().unwrap().contains("tabs"), "{error:?}");
        assert!(load_text("x.yml", None, "a: 1\n---\nb: 2\n".into()).is_err());
    }

    #[test]
    fn alias_bombs_and_deep_nesting_end_early() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..9 {
            let refs = vec![format!("*a{}", i - 1); 10].join(", ");
            bomb.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        assert!(load_text("bomb", None, bomb).is_err());
        assert!(load_text("deep", None, "[".repeat(100_000)).is_err());
    }

    /// Text made of the pieces that YAML is about, so that the loader's own paths are taken.
    fn pieces() -> impl proptest::strategy::Strategy<Value = String> {
        let piece = proptest::sample::select(vec![
            "- ", ": ", "\n", "  ", "a", "b: ", "&x ", "*x", "<<: ", "{", "}", "[", "]", ",", "'", "\"", "|\n", ">-\n",
            "!unsafe ", "!!int ", "{{ x }}", "#", "---\n", "...\n", "? ", "\t", "1.5", "0x1f", "~", "yes", "é",
            "\u{feff}", "\\", "%",
        ]);
        proptest::strategy::Strategy::prop_map(proptest::collection::vec(piece, 0..60), |pieces| pieces.concat())
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

        #[test]
        fn any_text_is_read_or_refused(text in pieces(), noise in ".{0,80}") {
            for text in [text, noise] {
                match load_text("fuzz.yml", None, text) {
                    Ok(Some(node)) => drop(node.to_value().to_json()),
                    Ok(None) => {}
                    // An error has a place within the text.
                    Err(error) => drop(crate::diagnostic::render(&error, false)),
                }
            }
        }
    }
}
