//! `community.general.xml`.

mod children;
mod spawn;
#[cfg(test)]
mod tests;
mod tree;
mod write;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use uppsala::NodeId;

use self::tree::Tree;
use super::files::{self, text};
use crate::args::{PathArg, Presence as State};
use crate::host::{Diff, Host, WriteOptions};
use crate::module::{Failure, Module, Outcome};

/// Asks and changes XML: a file, or a text that comes back.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Xml {
    /// The file.
    #[serde(default, alias = "dest", alias = "file")]
    path: Option<PathArg>,
    /// The text.
    #[serde(default)]
    xmlstring: Option<String>,
    /// What is looked for, an expression of XPath 1.0.
    #[serde(default)]
    xpath: Option<String>,
    /// The namespaces of prefixes in the expression.
    #[serde(default)]
    namespaces: BTreeMap<String, String>,
    /// Whether it should be there.
    #[serde(default, alias = "ensure")]
    state: State,
    /// The text of the elements, or the value of `attribute`.
    #[serde(default)]
    value: Option<String>,
    /// The attribute that gets the value.
    #[serde(default)]
    attribute: Option<String>,
    /// Elements that are added to the one that is found, or to the last of several.
    #[serde(default)]
    add_children: Option<Vec<Value>>,
    /// Elements that those that are found should hold, and no others.
    #[serde(default)]
    set_children: Option<Vec<Value>>,
    /// Whether the matches are counted.
    #[serde(default)]
    count: bool,
    /// Whether the ways to the matches are told.
    #[serde(default)]
    print_match: bool,
    /// Whether the matches' attributes or text are told.
    #[serde(default)]
    content: Option<Wanted>,
    /// How children are written.
    #[serde(default)]
    input_type: InputType,
    /// Whether the document is indented.
    #[serde(default)]
    pretty_print: bool,
    /// Whether the old content is kept.
    #[serde(default)]
    backup: bool,
    /// Whether CDATA becomes plain text.
    #[serde(default)]
    strip_cdata_tags: bool,
    /// Whether children are added before the first match instead of within.
    #[serde(default)]
    insertbefore: bool,
    /// Whether children are added after the last match instead of within.
    #[serde(default)]
    insertafter: bool,
}

/// What is told of matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    Attribute,
    Text,
}

/// How children are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum InputType {
    /// As XML.
    Xml,
    /// As names and dictionaries.
    #[default]
    Yaml,
}

impl Module for Xml {
    const NAME: &'static str = "community.general.xml";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        let said = |text: &str| Err(text.to_owned());
        match (&self.path, &self.xmlstring) {
            (None, None) => return said("one of the following is required: path, xmlstring"),
            (Some(_), Some(_)) => return said("parameters are mutually exclusive: path|xmlstring"),
            _ => {}
        }
        let asked = [
            self.add_children.is_some(),
            self.content.is_some(),
            self.count,
            self.print_match,
            self.set_children.is_some(),
            self.value.is_some(),
        ];
        if asked.iter().filter(|asked| **asked).count() > 1 {
            return said(
                "parameters are mutually exclusive: add_children|content|count|print_match|set_children|value",
            );
        }
        if self.insertbefore && self.insertafter {
            return said("parameters are mutually exclusive: insertbefore|insertafter");
        }
        if self.attribute.is_some() && self.value.is_none() {
            return said("missing parameter(s) required by 'attribute': value");
        }
        if self.xpath.is_none() {
            for (name, given) in [
                ("add_children", self.add_children.is_some()),
                ("set_children", self.set_children.is_some()),
                ("value", self.value.is_some()),
            ] {
                if given {
                    return Err(format!("missing parameter(s) required by '{name}': xpath"));
                }
            }
            for (name, given) in [
                ("count", self.count),
                ("print_match", self.print_match),
                ("insertbefore", self.insertbefore),
                ("insertafter", self.insertafter),
            ] {
                if given {
                    return Err(format!("{name} is True but all of the following are missing: xpath"));
                }
            }
            if self.content.is_some() {
                return said("content needs an xpath");
            }
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = self.path.as_ref().map(|path| host.path(path)).transpose()?;
        let (old, name) = match &path {
            Some(path) => {
                let old = host.read_if_exists(path)?;
                let missing = || Failure::new(format!("The target XML source '{}' does not exist.", text(path)));
                (old.ok_or_else(missing)?, text(path))
            }
            None => (self.xmlstring.clone().unwrap_or_default().into_bytes(), "<string>".to_owned()),
        };
        let parsed = Tree::parse(&old, self.namespaces.clone(), self.strip_cdata_tags, self.pretty_print);
        let mut tree = parsed.map_err(|e| Failure::new(format!("Error while parsing document: {name} ({e})")))?;
        let (before, shown) = (tree.written(false), tree.written(true));
        let mut outcome = Outcome::unchanged();
        match &self.xpath {
            Some(xpath) => {
                let state = if self.state == State::Absent { "absent" } else { "present" };
                let actions = json!({"xpath": xpath, "namespaces": self.namespaces, "state": state});
                outcome.set("actions", actions);
                self.act(&mut tree, xpath, &mut outcome)?;
                outcome.changed = before != tree.written(false);
                if outcome.changed {
                    outcome.diffs.push(Diff::text(shown, tree.written(true)));
                }
            }
            None => outcome.changed = self.pretty_print && tree.written(true).as_bytes() != old,
        }
        let new = tree.written(self.pretty_print);
        match path {
            Some(path) if outcome.changed => {
                let options = WriteOptions { backup: self.backup, ..WriteOptions::default() };
                let written = files::write_through(host, &path, new, &options)?;
                if let Some(backup) = written.backup_file {
                    outcome.set("backup_file", text(&backup));
                }
            }
            Some(_) => {}
            None => outcome.set("xmlstring", new),
        }
        Ok(outcome)
    }
}

impl Xml {
    /// Does what is asked with what an expression leads to.
    fn act(&self, tree: &mut Tree, xpath: &str, outcome: &mut Outcome) -> Result<(), Failure> {
        let root = tree.document.root();
        let said = |reason: String| Failure::new(format!("Syntax error in xpath expression: {xpath} ({reason})"));
        let found = tree.select(root, xpath).map_err(said)?;
        let asking = self.count || self.print_match || self.content.is_some();
        if asking || self.state == State::Absent || self.add_children.is_some() || self.set_children.is_some() {
            let found = found.ok_or_else(|| no_node(xpath))?;
            if asking {
                return self.tell(tree, xpath, &found, outcome);
            }
            if self.state == State::Absent {
                for id in found {
                    tree.remove(id)
                        .map_err(|e| Failure::new(format!("Couldn't delete xpath target: {xpath} ({e})")))?;
                }
                return Ok(());
            }
            return self.children(tree, xpath, &found);
        }
        spawn::ensure(tree, root, xpath).map_err(Failure::new)?;
        let (Some(value), Some(targets)) = (&self.value, tree.select(root, xpath).map_err(said)?) else {
            return if self.value.is_some() { Err(no_node(xpath)) } else { Ok(()) };
        };
        for id in targets {
            if !tree.is_element(id) {
                return Err(no_node(xpath));
            }
            match &self.attribute {
                Some(attribute) => tree.set_attribute(id, attribute, value).map_err(Failure::new)?,
                None => tree.set_text(id, value),
            }
        }
        Ok(())
    }

    /// Tells of the matches.
    fn tell(&self, tree: &Tree, xpath: &str, found: &[NodeId], outcome: &mut Outcome) -> Result<(), Failure> {
        if self.count {
            outcome.set("count", found.len());
            outcome.set("msg", format!("found {} nodes", found.len()));
            return Ok(());
        }
        if found.iter().any(|id| !tree.is_element(*id)) || (found.is_empty() && !self.print_match) {
            return Err(Failure::new(format!("Xpath {xpath} does not reference a node!")));
        }
        let Some(wanted) = self.content else {
            let ways: Vec<String> = found.iter().map(|id| format!("\"{}\"", tree.way(*id))).collect();
            outcome.set("matches", json!([]));
            outcome.set("msg", format!("selector '{xpath}' match: [{}]", ways.join(", ")));
            return Ok(());
        };
        let told = found.iter().filter_map(|id| {
            let name = Tree::tag(&tree.document.element(*id)?.name);
            let value = if wanted == Wanted::Text { json!(tree.text(*id)) } else { tree.attributes(*id) };
            Some(Value::from_iter([(name, value)]))
        });
        outcome.set("matches", told.collect::<Vec<Value>>());
        outcome.set("count", found.len());
        outcome.set("msg", found.len());
        Ok(())
    }

    /// Adds or sets children of the matches.
    fn children(&self, tree: &mut Tree, xpath: &str, found: &[NodeId]) -> Result<(), Failure> {
        if found.iter().any(|id| !tree.is_element(*id)) {
            return Err(no_node(xpath));
        }
        if let Some(wanted) = &self.set_children {
            for id in found {
                children::set(tree, *id, wanted, self.input_type).map_err(Failure::new)?;
            }
            return Ok(());
        }
        let wanted = self.add_children.as_deref().unwrap_or_default();
        let place = if self.insertbefore { found.first() } else { found.last() };
        let beside = self.insertbefore || self.insertafter;
        if let Some(place) = place.filter(|_| beside) {
            return children::beside(tree, *place, wanted, self.input_type, self.insertbefore).map_err(Failure::new);
        }
        // Of several matches the last one gets them, as in the reference.
        found.last().map_or(Ok(()), |id| children::add(tree, *id, wanted, self.input_type).map_err(Failure::new))
    }
}

fn no_node(xpath: &str) -> Failure {
    Failure::new(format!("Xpath {xpath} does not reference a node!"))
}
