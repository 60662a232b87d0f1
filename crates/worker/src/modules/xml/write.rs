//! A document as text, as libxml2 writes it.

use uppsala::{Document, NodeId, NodeKind, QName};

/// The whole document, with its declaration; `pretty` puts each element on a line of its own where no text stands between.
pub(super) fn document(document: &Document<'_>, pretty: bool) -> String {
    let mut out = "<?xml version='1.0' encoding='UTF-8'?>\n".to_owned();
    if let Some(doctype) = &document.doctype {
        out.push_str(doctype);
        out.push('\n');
    }
    for child in document.children(document.root()) {
        node(document, child, pretty.then_some(0), &mut out);
        if pretty {
            out.push('\n');
        }
    }
    out
}

/// One node; `indent` is how deep it stands, where lines are broken.
fn node(document: &Document<'_>, id: NodeId, indent: Option<usize>, out: &mut String) {
    match document.node_kind(id) {
        Some(NodeKind::Element(_)) => element(document, id, indent, out),
        Some(NodeKind::Text(text)) => escape(text, false, out),
        Some(NodeKind::CData(text)) => {
            out.push_str("<![CDATA[");
            out.push_str(text);
            out.push_str("]]>");
        }
        Some(NodeKind::Comment(text)) => {
            out.push_str("<!--");
            out.push_str(text);
            out.push_str("-->");
        }
        Some(NodeKind::ProcessingInstruction(instruction)) => {
            out.push_str("<?");
            out.push_str(&instruction.target);
            if let Some(data) = instruction.data.as_ref().filter(|data| !data.is_empty()) {
                out.push(' ');
                out.push_str(data);
            }
            out.push_str("?>");
        }
        Some(NodeKind::Document | NodeKind::Attribute(..)) | None => {}
    }
}

fn element(document: &Document<'_>, id: NodeId, indent: Option<usize>, out: &mut String) {
    let Some(element) = document.element(id) else { return };
    let name = qualified(&element.name);
    out.push('<');
    out.push_str(&name);
    for (prefix, uri) in &element.namespace_declarations {
        out.push_str(if prefix.is_empty() { " xmlns" } else { " xmlns:" });
        out.push_str(prefix);
        value(uri, out);
    }
    for attribute in &element.attributes {
        out.push(' ');
        out.push_str(&qualified(&attribute.name));
        value(&attribute.value, out);
    }
    let children = document.children(id);
    if children.is_empty() {
        out.push_str("/>");
        return;
    }
    out.push('>');
    let text = |child: &NodeId| matches!(document.node_kind(*child), Some(NodeKind::Text(_) | NodeKind::CData(_)));
    let indent = indent.filter(|_| !children.iter().any(text));
    for child in children {
        line(indent.map(|depth| depth + 1), out);
        node(document, child, indent.map(|depth| depth + 1), out);
    }
    line(indent, out);
    out.push_str("</");
    out.push_str(&name);
    out.push('>');
}

/// Begins a line at a depth.
fn line(depth: Option<usize>, out: &mut String) {
    if let Some(depth) = depth {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    }
}

/// A name with its prefix.
fn qualified(name: &QName<'_>) -> String {
    match name.prefix.as_ref().filter(|prefix| !prefix.is_empty()) {
        Some(prefix) => format!("{prefix}:{}", name.local_name),
        None => name.local_name.to_string(),
    }
}

fn value(text: &str, out: &mut String) {
    out.push_str("=\"");
    escape(text, true, out);
    out.push('"');
}

fn escape(text: &str, attribute: bool, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#13;"),
            '"' if attribute => out.push_str("&quot;"),
            '\n' if attribute => out.push_str("&#10;"),
            '\t' if attribute => out.push_str("&#9;"),
            c => out.push(c),
        }
    }
}
