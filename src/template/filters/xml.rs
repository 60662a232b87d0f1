//! XML as data and back, as Python's `xmltodict` has it: `from_xml`, `to_xml`.

use minijinja::{Error, Value as Jinja};
use uppsala::{Document, NodeId, NodeKind, QName};

use crate::template::call::{Call, Spec, ansible, fail, inner_class};
use crate::template::{python, python_type};
use crate::value::{Key, Map, Value};

pub(super) const FILTERS: &[Spec] = &[
    ansible(&["ansible.utils.from_xml"], &["data", "engine"], from_xml),
    ansible(&["ansible.utils.to_xml"], &["data", "engine", "indent", "indent_width", "full_document"], to_xml),
];

fn engine(call: &Call<'_, '_, '_>, filter: &str) -> Result<(), Error> {
    match call.text_option(1)?.as_deref() {
        None | Some("xmltodict") => Ok(()),
        Some(other) => Err(wrong(filter, &format!("engine: {other} is not supported"))),
    }
}

fn wrong(filter: &str, message: &str) -> Error {
    fail(format!("Error when using plugin '{filter}': {message}"))
}

fn from_xml(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    engine(call, "from_xml")?;
    let value = call.value(0)?;
    // A document that declares entities of its own is refused, as it could be made to grow without end.
    let text = value.as_str().filter(|text| !text.contains("<!ENTITY"));
    let document = text.and_then(|text| uppsala::parse(text.trim()).ok());
    let Some(document) = document else { return Err(wrong("from_xml", "Input Xml is not valid")) };
    let children = document.children(document.root());
    let root = children.into_iter().find(|child| document.element(*child).is_some());
    let Some(root) = root else { return Err(wrong("from_xml", "Input Xml is not valid")) };
    let mut out = Map::new();
    put(&mut out, &document, root);
    Ok(Value::map(out).to_jinja())
}

fn full_name(name: &QName<'_>) -> String {
    match &name.prefix {
        Some(prefix) if !prefix.is_empty() => format!("{prefix}:{}", name.local_name),
        _ => name.local_name.to_string(),
    }
}

/// Puts an element under its name; where there is one already, they become a list.
fn put(out: &mut Map, document: &Document<'_>, id: NodeId) {
    let Some(element) = document.element(id) else { return };
    let mut inside = Map::new();
    for (prefix, uri) in &element.namespace_declarations {
        let name = if prefix.is_empty() { "@xmlns".to_owned() } else { format!("@xmlns:{prefix}") };
        inside.insert(Key::from(name), Value::from(uri.as_ref()));
    }
    for attribute in &element.attributes {
        inside.insert(Key::from(format!("@{}", full_name(&attribute.name))), Value::from(attribute.value.as_ref()));
    }
    let mut text = String::new();
    for child in document.children(id) {
        match document.node_kind(child) {
            Some(NodeKind::Text(piece) | NodeKind::CData(piece)) => text.push_str(piece),
            _ => put(&mut inside, document, child),
        }
    }
    let text = text.trim_matches(python::is_space);
    let value = match (inside.is_empty(), text.is_empty()) {
        (true, true) => Value::Null,
        (true, false) => Value::from(text),
        (false, true) => Value::map(inside),
        (false, false) => {
            inside.insert("#text".into(), text.into());
            Value::map(inside)
        }
    };
    let name = Key::from(full_name(&element.name));
    let together = match out.get(&name) {
        None => value,
        Some(Value::List(before)) => Value::list([before.as_slice(), &[value]].concat()),
        Some(before) => Value::list(vec![before.clone(), value]),
    };
    out.insert(name, together);
}

fn to_xml(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.value(0)?;
    let Value::Map(map) = &value else {
        let kind = python_type(&value);
        let why = match &value {
            Value::Str(_) => "dictionary requested, could not parse JSON or key=value".to_owned(),
            _ => format!("<class '{}'> cannot be converted to a dict", inner_class(kind)),
        };
        let message = format!("[\"argument 'data' is of type {kind} and we were unable to convert to dict: {why}\"]");
        return Err(fail(message));
    };
    engine(call, "to_xml")?;
    let indent = match call.text_option(2)?.as_deref() {
        None | Some("tabs") => "\t".to_owned(),
        Some("spaces") => " ".repeat(usize::try_from(call.int(3, 4)?).unwrap_or(0)),
        Some(other) => return Err(fail(format!("['value of indent must be one of: tabs, spaces, got: {other}']"))),
    };
    let full = call.flag(4, true);
    let one = map.len() == 1 && !matches!(map.values().next(), Some(Value::List(_)));
    let names = map.keys().all(|key| key.as_str().is_some());
    if full && !one || !names {
        return Err(wrong("to_xml", "Input json is not valid"));
    }
    let mut out = String::new();
    if full {
        out.push_str("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n");
    }
    let mut writer = Writer { out, indent };
    for (name, value) in map.iter() {
        writer.element(&name.to_string(), value, 0)?;
    }
    Ok(Jinja::from(writer.out))
}

struct Writer {
    out: String,
    indent: String,
}

impl Writer {
    /// An element, or one for each item of a list.
    fn element(&mut self, name: &str, value: &Value, depth: usize) -> Result<(), Error> {
        if let Value::List(items) = value {
            for item in items.iter() {
                // A list in a list is text.
                let item = if item.as_list().is_some() { Value::from(python::text(item)) } else { item.clone() };
                self.element(name, &item, depth)?;
            }
            return Ok(());
        }
        let margin = self.indent.repeat(depth);
        if name == "#comment" {
            self.out.push_str(&format!("{margin}<!--{}-->", plain(value)));
            return self.line(depth);
        }
        if name.is_empty() || name.contains(|c: char| python::is_space(c) || "<>/=\"'".contains(c)) {
            return Err(wrong("to_xml", "Input json is not valid"));
        }
        let none = Map::new();
        let map = value.as_map().unwrap_or(&none);
        let (mut attributes, mut children, mut text) = (String::new(), Vec::new(), None);
        for (key, value) in map {
            match key.to_string().as_str() {
                "#text" => text = Some(plain(value)),
                key => match key.strip_prefix('@') {
                    Some(key) => attributes.push_str(&format!(" {key}={}", quoted(&plain(value)))),
                    None => children.push((key.to_owned(), value)),
                },
            }
        }
        if value.as_map().is_none() {
            text = Some(plain(value));
        }
        self.out.push_str(&format!("{margin}<{name}{attributes}>"));
        // As in the reference: a list of nothing is nothing to break a line for.
        let broken = children.iter().any(|(_, value)| value.as_list().is_none_or(|items| !items.is_empty()));
        if broken {
            self.out.push('\n');
        }
        for (name, value) in children {
            self.element(&name, value, depth + 1)?;
        }
        self.out.push_str(&escaped(&text.unwrap_or_default()));
        if broken {
            self.out.push_str(&margin);
        }
        self.out.push_str(&format!("</{name}>"));
        self.line(depth)
    }

    fn line(&mut self, depth: usize) -> Result<(), Error> {
        if depth > 0 {
            self.out.push('\n');
        }
        Ok(())
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(flag) => flag.to_string(),
        other => python::text(other),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn quoted(text: &str) -> String {
    let text = escaped(text).replace('\n', "&#10;").replace('\r', "&#13;").replace('\t', "&#9;");
    match (text.contains('"'), text.contains('\'')) {
        (true, false) => format!("'{text}'"),
        _ => format!("\"{}\"", text.replace('"', "&quot;")),
    }
}
