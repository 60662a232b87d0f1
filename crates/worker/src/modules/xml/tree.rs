//! A document that is asked and changed by XPath.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uppsala::{Document, NodeId, NodeKind, QName, XPathEvaluator, XPathValue};

use super::write;

/// A document, and the prefixes that expressions use for namespaces.
pub(super) struct Tree {
    pub document: Document<'static>,
    evaluator: XPathEvaluator,
    namespaces: BTreeMap<String, String>,
}

impl Tree {
    /// Reads a document; `strip` makes CDATA plain text, `blank` leaves out white space between elements.
    pub(super) fn parse(
        bytes: &[u8],
        namespaces: BTreeMap<String, String>,
        strip: bool,
        blank: bool,
    ) -> Result<Self, String> {
        let document = uppsala::parse_bytes(bytes).map_err(|e| e.to_string())?;
        let mut evaluator = XPathEvaluator::new();
        for (prefix, uri) in &namespaces {
            evaluator.add_namespace(prefix.clone(), uri.clone());
        }
        let mut tree = Self { document, evaluator, namespaces };
        for id in tree.document.descendants(tree.document.root()) {
            if let Some(NodeKind::CData(text)) = tree.document.node_kind(id).cloned().filter(|_| strip) {
                if let Some(kind) = tree.document.node_kind_mut(id) {
                    *kind = NodeKind::Text(text);
                }
            } else if blank {
                tree.drop_blanks(id);
            }
        }
        Ok(tree)
    }

    /// Takes white space out of an element that holds no other text.
    fn drop_blanks(&mut self, id: NodeId) {
        let children = self.document.children(id);
        let text = |child: NodeId| match self.document.node_kind(child) {
            Some(NodeKind::Text(text)) => Some(!text.trim_ascii().is_empty()),
            Some(NodeKind::CData(_)) => Some(true),
            _ => None,
        };
        if children.len() < 2 || children.iter().any(|child| text(*child) == Some(true)) {
            return;
        }
        let blanks: Vec<NodeId> = children.into_iter().filter(|child| text(*child) == Some(false)).collect();
        for blank in blanks {
            self.document.remove_child(id, blank);
        }
    }

    /// What an expression comes to, seen from a node.
    pub(super) fn evaluate(&mut self, from: NodeId, expression: &str) -> Result<XPathValue, String> {
        if let Some(prefix) =
            prefixes_of(expression).find(|prefix| *prefix != "xml" && !self.namespaces.contains_key(*prefix))
        {
            return Err(format!("Undefined namespace prefix {prefix}"));
        }
        self.document.prepare_xpath();
        self.evaluator.evaluate(&self.document, from, expression).map_err(|e| e.to_string())
    }

    /// The nodes an expression leads to; `None` where it comes to something else.
    pub(super) fn select(&mut self, from: NodeId, expression: &str) -> Result<Option<Vec<NodeId>>, String> {
        Ok(match self.evaluate(from, expression)? {
            XPathValue::NodeSet(nodes) => Some(nodes),
            _ => None,
        })
    }

    pub(super) fn is_element(&self, id: NodeId) -> bool {
        self.document.element(id).is_some()
    }

    /// The text before the first child; `None` where there is none.
    pub(super) fn text(&self, id: NodeId) -> Option<String> {
        let parts: Vec<&str> =
            self.leading(id).into_iter().filter_map(|child| self.document.text_content(child)).collect();
        (!parts.is_empty()).then(|| parts.concat())
    }

    /// The pieces of text before the first child.
    fn leading(&self, id: NodeId) -> Vec<NodeId> {
        let text =
            |child: &NodeId| matches!(self.document.node_kind(*child), Some(NodeKind::Text(_) | NodeKind::CData(_)));
        self.document.children(id).into_iter().take_while(text).collect()
    }

    /// Gives an element the text before its first child.
    pub(super) fn set_text(&mut self, id: NodeId, value: &str) {
        if self.text(id).unwrap_or_default() == value {
            return;
        }
        for old in self.leading(id) {
            self.document.remove_child(id, old);
        }
        let text = self.document.create_text(value.to_owned());
        match self.document.first_child(id) {
            Some(first) => self.document.insert_before(id, text, first),
            None => self.document.append_child(id, text),
        }
    }

    /// Takes a node out, and the white space after it.
    pub(super) fn remove(&mut self, id: NodeId) -> Result<(), String> {
        if let Some(NodeKind::Attribute(name, _)) = self.document.node_kind(id).cloned() {
            let parent = self.document.parent(id).ok_or("it has no element")?;
            if let Some(element) = self.document.element_mut(parent) {
                let uri = name.namespace_uri.clone();
                let same = |held: &QName<'_>| held.local_name == name.local_name && held.namespace_uri == uri;
                element.attributes.retain(|attribute| !same(&attribute.name));
            }
            return Ok(());
        }
        let parent = self.document.parent(id).filter(|parent| *parent != self.document.root());
        let parent = parent.ok_or("the outermost element cannot be removed")?;
        if let Some(tail) = self.document.next_sibling(id)
            && let Some(NodeKind::Text(text)) = self.document.node_kind(tail)
            && text.trim_ascii().is_empty()
        {
            self.document.remove_child(parent, tail);
        }
        self.document.remove_child(parent, id);
        Ok(())
    }

    /// Sets an attribute, whose name may have one of the prefixes.
    pub(super) fn set_attribute(&mut self, id: NodeId, name: &str, value: &str) -> Result<(), String> {
        let name = self.attribute_name(id, name)?;
        let element = self.document.element_mut(id).ok_or("it is no element")?;
        let same = |held: &QName<'_>| held.local_name == name.local_name && held.namespace_uri == name.namespace_uri;
        match element.attributes.iter_mut().find(|attribute| same(&attribute.name)) {
            Some(attribute) => attribute.value = value.to_owned().into(),
            None => {
                element.set_attribute(name, value.to_owned().into());
            }
        }
        Ok(())
    }

    fn attribute_name(&mut self, id: NodeId, name: &str) -> Result<QName<'static>, String> {
        let Some((uri, local)) = self.expanded(name)? else {
            valid(name)?;
            return Ok(QName::local(name.to_owned()));
        };
        valid(&local)?;
        let held = self.prefixes(id).into_iter().find(|(prefix, held)| !prefix.is_empty() && *held == uri);
        let prefix = held.map_or_else(|| self.declare(id, &uri), |(prefix, _)| prefix);
        Ok(QName { namespace_uri: Some(uri.into()), prefix: Some(prefix.into()), local_name: local.into() })
    }

    /// A namespace and a name, of `prefix:name` or `{namespace}name`.
    fn expanded(&self, name: &str) -> Result<Option<(String, String)>, String> {
        if let Some((uri, local)) = name.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            return Ok(Some((uri.to_owned(), local.to_owned())));
        }
        let Some((prefix, local)) = name.split_once(':') else { return Ok(None) };
        match self.namespaces.get(prefix) {
            Some(uri) => Ok(Some((uri.clone(), local.to_owned()))),
            None => Err(format!("the prefix {prefix} is not among the namespaces")),
        }
    }

    /// The prefixes that count at an element, the innermost first.
    fn prefixes(&self, id: NodeId) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        let above = self.document.ancestors(id);
        for element in std::iter::once(id).chain(above).filter_map(|id| self.document.element(id)) {
            for (prefix, uri) in &element.namespace_declarations {
                if !found.iter().any(|(held, _)| held == prefix.as_ref()) {
                    found.push((prefix.to_string(), uri.to_string()));
                }
            }
        }
        found
    }

    /// Declares a namespace at an element under a prefix that is free.
    fn declare(&mut self, id: NodeId, uri: &str) -> String {
        let held = self.prefixes(id);
        let free =
            (0..).map(|number| format!("ns{number}")).find(|name| !held.iter().any(|(prefix, _)| prefix == name));
        let prefix = free.unwrap_or_default();
        self.document.declare_namespace(id, Some(&prefix), uri.to_owned());
        prefix
    }

    /// A new element that is to stand in `parent`.
    pub(super) fn element(&mut self, parent: NodeId, name: &str) -> Result<NodeId, String> {
        let Some((uri, local)) = self.expanded(name)? else {
            valid(name)?;
            return Ok(self.document.create_element(QName::local(name.to_owned())));
        };
        valid(&local)?;
        let held = self.prefixes(parent).into_iter().find(|(_, held)| *held == uri).map(|(prefix, _)| prefix);
        let named = |prefix: Option<String>| QName {
            namespace_uri: Some(uri.clone().into()),
            prefix: prefix.filter(|prefix| !prefix.is_empty()).map(Into::into),
            local_name: local.clone().into(),
        };
        if held.is_some() {
            return Ok(self.document.create_element(named(held)));
        }
        let id = self.document.create_element(named(None));
        let prefix = self.declare(id, &uri);
        if let Some(element) = self.document.element_mut(id) {
            element.name = named(Some(prefix));
        }
        Ok(id)
    }

    /// An element's name as results tell it, with its namespace in braces.
    pub(super) fn tag(name: &QName<'_>) -> String {
        match &name.namespace_uri {
            Some(uri) if !uri.is_empty() => format!("{{{uri}}}{}", name.local_name),
            _ => name.local_name.to_string(),
        }
    }

    /// All attributes of an element.
    pub(super) fn attributes(&self, id: NodeId) -> Value {
        let element = self.document.element(id);
        let each = element.iter().flat_map(|element| &element.attributes);
        each.map(|attribute| (Self::tag(&attribute.name), json!(attribute.value))).collect()
    }

    /// The way to an element, as lxml tells it.
    pub(super) fn way(&self, id: NodeId) -> String {
        let mut steps = Vec::new();
        let mut at = Some(id);
        while let Some(id) = at.filter(|id| *id != self.document.root()) {
            if let Some(element) = self.document.element(id) {
                let step = match (&element.name.prefix, &element.name.namespace_uri) {
                    (Some(prefix), _) if !prefix.is_empty() => format!("{prefix}:{}", element.name.local_name),
                    (_, Some(uri)) if !uri.is_empty() => "*".to_owned(),
                    _ => element.name.local_name.to_string(),
                };
                let siblings =
                    self.document.parent(id).map(|parent| self.document.children(parent)).unwrap_or_default();
                let alike = |other: &&NodeId| {
                    self.document.element(**other).is_some_and(|other| step == "*" || other.name == element.name)
                };
                let alike: Vec<&NodeId> = siblings.iter().filter(alike).collect();
                let place = alike.iter().position(|other| **other == id).filter(|_| alike.len() > 1);
                steps.push(place.map_or(step.clone(), |place| format!("{step}[{}]", place + 1)));
            }
            at = self.document.parent(id);
        }
        steps.iter().rev().map(|step| format!("/{step}")).collect()
    }

    /// The whole document as text.
    pub(super) fn written(&self, pretty: bool) -> String {
        write::document(&self.document, pretty)
    }
}

/// The prefixes of names in an expression.
fn prefixes_of(expression: &str) -> impl Iterator<Item = &str> {
    let letters = |c: char| c.is_alphanumeric() || "._-".contains(c);
    // What is between quotes is every second piece.
    let pieces = expression.split(['\'', '"']).step_by(2);
    pieces.flat_map(move |piece| {
        piece.match_indices(':').filter_map(move |(at, _)| {
            // `axis::` is none.
            if piece[at + 1..].starts_with(':') || piece[..at].ends_with(':') {
                return None;
            }
            let start = piece[..at].rfind(|c| !letters(c)).map_or(0, |found| found + 1);
            Some(&piece[start..at])
        })
    })
}

/// Refuses what is not the name of an element or attribute.
fn valid(name: &str) -> Result<(), String> {
    let mut letters = name.chars();
    let first = letters.next().is_some_and(|c| c.is_alphabetic() || c == '_');
    if first && letters.all(|c| c.is_alphanumeric() || "._-".contains(c)) {
        return Ok(());
    }
    Err(format!("Invalid tag name '{name}'"))
}
