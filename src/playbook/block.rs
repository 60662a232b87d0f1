//! Lists of tasks, and blocks.

use std::path::Path;
use std::sync::Arc;

use super::context::{Context, unknown_keywords};
use super::{Block, Item, Loader, keywords};
use crate::diagnostic::Diagnostic;
use crate::source::{Node, NodeKind};
use crate::value::Str;

/// What a file is called that is included while a play runs; its hosts can be rescued from what it is.
pub(super) const INCLUDED: &str = "an included file of tasks";

impl Loader<'_> {
    /// A list of tasks and blocks; imports are read in place.
    pub(super) fn items(&mut self, node: &Node, context: &Context, handlers: bool, what: &str) -> Vec<Item> {
        let list = match &node.kind {
            NodeKind::Null => return Vec::new(),
            NodeKind::List(items) => items,
            _ => {
                let shown = node.to_value().to_text();
                let (code, message) = match what {
                    INCLUDED => {
                        ("playbook::included-not-a-list", "included task files must contain a list of tasks".to_owned())
                    }
                    _ => (
                        "playbook::not-a-list",
                        format!(
                            "A malformed block was encountered while loading {what}: {shown} should be a list or None"
                        ),
                    ),
                };
                self.report(Diagnostic::error(code, message).at(node.span).help("each task begins with `- `"));
                return Vec::new();
            }
        };
        let mut out = Vec::new();
        // All tasks of the list share what they inherit.
        let outer = Arc::new(context.clone());
        for item in list {
            match &item.kind {
                NodeKind::Map(_) if handlers && self.handler_block && item.get("block").is_some() => {
                    let message = "Using a block as a handler is not supported.";
                    self.report(
                        Diagnostic::error("playbook::handler", message)
                            .at(item.span)
                            .help("give its tasks one by one, each listening to the same topic"),
                    );
                }
                NodeKind::Map(_) if item.get("block").is_some() => {
                    out.push(Item::Block(Arc::new(self.block(item, context, handlers))));
                }
                NodeKind::Map(_) => out.extend(self.task_or_import(item, &outer, handlers)),
                NodeKind::Null => {}
                _ => {
                    let message = format!("a task must be a dictionary, not {}", item.describe());
                    self.report(
                        Diagnostic::error("playbook::not-a-task", message)
                            .at(item.span)
                            .help("write `- module: arguments`, with a colon behind the module's name"),
                    );
                }
            }
        }
        out
    }

    fn block(&mut self, node: &Node, outer: &Context, handlers: bool) -> Block {
        unknown_keywords(node, "block", &[keywords::SHARED, keywords::CONDITIONAL, keywords::BLOCK], self);
        let context = outer.with(node, true, self);
        if let Some(name) = node.get("name") {
            super::context::must_be_text("name", name, self);
        }
        let section = |loader: &mut Self, name: &str| match node.get(name) {
            Some(items) if items.is_null() => {
                let what = if name == "block" { "a block" } else { name };
                let message =
                    format!("A malformed block was encountered while loading {what}: None should be a list or None");
                loader.report(Diagnostic::error("playbook::not-a-list", message).at(items.span));
                Vec::new()
            }
            Some(items) => loader.items(items, &context, handlers, name),
            None => Vec::new(),
        };
        let is_some = |name: &str| node.get(name).and_then(Node::as_list).is_some_and(|list| !list.is_empty());
        if let Some(alone) = ["rescue", "always"].into_iter().find(|name| is_some(name) && !is_some("block")) {
            let message = format!("'{alone}' keyword cannot be used without 'block'");
            self.report(Diagnostic::error("playbook::block", message).at(node.span));
        }
        let rescued = node.get("rescue").is_some_and(|rescue| rescue.as_list().is_some_and(|list| !list.is_empty()));
        self.guarded += usize::from(rescued);
        // A block of handlers is only a way to write them; one in it would be a handler of its own.
        let around = std::mem::replace(&mut self.handler_block, handlers);
        self.depth += 1;
        let body = section(self, "block");
        self.handler_block = around;
        self.guarded -= usize::from(rescued);
        let rescue = section(self, "rescue");
        let always = section(self, "always");
        self.depth -= 1;
        Block {
            name: node.get("name").and_then(Node::as_str).map(|name| Str::trusted(name, Some(node.span))),
            body,
            rescue,
            always,
            nested: self.depth > 0,
            ..Block::empty(node.span)
        }
    }

    /// The tasks of a file.
    pub(super) fn tasks_of_file(&mut self, path: &Path, context: &Context, handlers: bool, what: &str) -> Vec<Item> {
        self.importing.push(path.to_path_buf());
        let items = match self.yaml(path) {
            Some(node) => self.items(&node, context, handlers, what),
            None => Vec::new(),
        };
        self.importing.pop();
        items
    }
}
