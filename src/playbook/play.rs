//! Plays, and playbooks that import playbooks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::context::{Context, list_of, unknown_keywords};
use super::loader::{Loader, Named};
use super::{Item, Play, VarsFile, VarsPrompt, keywords, paths};
use crate::diagnostic::Diagnostic;
use crate::source::{Node, NodeKind};
use crate::value::{Map, Str, Value};

impl Loader<'_> {
    /// The plays of a playbook, those of imported ones in place.
    pub(super) fn plays(&mut self, path: &Path, outer: &Context) -> Vec<Arc<Play>> {
        let before = self.diagnostics_len();
        let Some(root) = self.yaml(path) else {
            if self.diagnostics_len() == before {
                let message = format!("`{}` holds no plays", path.display());
                self.report(Diagnostic::error("playbook::empty", message));
            }
            return Vec::new();
        };
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf();
        let outside = std::mem::replace(&mut self.directory, directory);
        self.importing.push(path.to_path_buf());
        let mut plays = Vec::new();
        match root.as_list() {
            Some([]) => {
                let message = "A playbook must contain at least one play";
                self.report(Diagnostic::error("playbook::empty", message).at(root.span));
            }
            Some(items) => items.iter().for_each(|item| self.play_or_import(item, outer, &mut plays)),
            None => {
                let message = format!("a playbook must be a list of plays, not {}", root.describe());
                let mut diagnostic = Diagnostic::error("playbook::not-a-list", message).at(root.span);
                if root.get("hosts").is_some() {
                    diagnostic = diagnostic.help("put a `- ` before the play's first line and indent the rest");
                }
                self.report(diagnostic);
            }
        }
        self.importing.pop();
        self.directory = outside;
        plays
    }

    fn play_or_import(&mut self, node: &Node, outer: &Context, plays: &mut Vec<Arc<Play>>) {
        if node.as_map().is_none() {
            let message = format!("a play must be a dictionary, not {}", node.describe());
            self.report(Diagnostic::error("playbook::not-a-play", message).at(node.span));
            return;
        }
        let import = ["import_playbook", "ansible.builtin.import_playbook", "ansible.legacy.import_playbook"]
            .iter()
            .find_map(|name| node.get(name));
        match import {
            Some(target) => self.import_playbook(node, target, outer, plays),
            None => {
                if let Some(play) = self.play(node, outer) {
                    plays.push(Arc::new(play));
                }
            }
        }
    }

    fn import_playbook(&mut self, node: &Node, target: &Node, outer: &Context, plays: &mut Vec<Arc<Play>>) {
        let own: &[&str] = &[
            "import_playbook",
            "ansible.builtin.import_playbook",
            "ansible.legacy.import_playbook",
            "vars",
            "when",
            "tags",
            "name",
        ];
        unknown_keywords(node, "playbook import", &[own, keywords::SHARED], self);
        // Of its keywords these alone reach the plays, as in the reference.
        let entries = node.as_map().unwrap_or_default().iter();
        let passed = entries.filter(|(key, _)| matches!(key.as_str(), Some("vars" | "when" | "tags"))).cloned();
        let passed = Node { kind: NodeKind::Map(passed.collect()), ..node.clone() };
        let context = outer.with(&passed, true, self);
        if matches!(target.kind, NodeKind::Null | NodeKind::List(_) | NodeKind::Map(_)) {
            let message = format!("the playbook to import must be named by a string, not {}", target.describe());
            self.report(Diagnostic::error("playbook::name", message).at(target.span));
            return;
        }
        let Some(name) = self.static_text(target, Named::Playbook, &context) else { return };
        let name = super::free_form::unquote(&name);
        let path = match self.collection_playbook(&name) {
            Some(path) => path,
            None => paths::clean(&self.directory.join(paths::expand_home(&name))),
        };
        if path.is_dir() {
            let message = format!("the playbook to import is a directory: `{}`", path.display());
            self.report(Diagnostic::error("playbook::directory", message).at(target.span));
            return;
        }
        if !path.is_file() {
            let message = format!("the imported playbook `{}` does not exist", path.display());
            self.report(Diagnostic::error("playbook::missing-playbook", message).at(target.span));
            return;
        }
        if self.importing.contains(&path) {
            let message = format!("`{}` imports itself", path.display());
            self.report(Diagnostic::error("playbook::import-loop", message).at(target.span));
            return;
        }
        plays.extend(self.plays(&path, &context));
    }

    /// A playbook of a collection, named in full.
    fn collection_playbook(&self, name: &str) -> Option<PathBuf> {
        let mut parts = name.splitn(3, '.');
        let (namespace, collection, playbook) = (parts.next()?, parts.next()?, parts.next()?);
        if ![namespace, collection].iter().all(|part| super::loader::is_identifier(part)) {
            return None;
        }
        let inside: PathBuf = ["ansible_collections", namespace, collection, "playbooks"].iter().collect();
        let own = [self.directory.join("collections")];
        let files = [format!("{playbook}.yml"), format!("{playbook}.yaml"), playbook.to_owned()];
        own.iter()
            .chain(&self.options().collections_path)
            .flat_map(|place| files.iter().map(|file| place.join(&inside).join(file)))
            .find(|path| path.is_file())
            .map(|path| paths::clean(&path))
    }

    fn play(&mut self, node: &Node, outer: &Context) -> Option<Play> {
        // The variables of imports are the play's own, over those that it has itself.
        let mut outer = outer.clone();
        let imported = std::mem::take(&mut outer.vars);
        unknown_keywords(node, "play", &[keywords::SHARED, keywords::PLAY], self);
        let Some(hosts) = node.get("hosts") else {
            let diagnostic = Diagnostic::error("playbook::no-hosts", "this play has no `hosts`").at(node.span);
            let is_task = node.as_map().is_some_and(|m| {
                m.iter()
                    .any(|(k, _)| k.as_str().is_some_and(|n| super::canonical_name(n, &[], self.catalog()).is_some()))
            });
            let help = if is_task {
                "this looks like a task: a playbook is a list of plays, each with `hosts` and `tasks`"
            } else {
                "say which hosts it is for: `hosts: all`"
            };
            self.report(diagnostic.help(help));
            return None;
        };
        let pattern_ok = !hosts.is_null() && hosts.as_map().is_none() && hosts.as_str().is_none_or(|s| !s.is_empty());
        if node.get("user").is_some() && node.get("remote_user").is_some() {
            let message = "both 'user' and 'remote_user' are set for this play. The use of 'user' is deprecated, and \
                           should be removed";
            self.report(Diagnostic::error("playbook::user", message).at(node.span));
        }
        if hosts.as_list().is_some_and(<[Node]>::is_empty) {
            let message = "Hosts list cannot be empty. Please check your playbook";
            self.report(Diagnostic::error("playbook::hosts", message).at(hosts.span));
        } else if matches!(hosts.kind, NodeKind::Int(_) | NodeKind::Float(_) | NodeKind::Bool(_)) {
            let message = "Hosts list must be a sequence or string. Please check your playbook.";
            self.report(Diagnostic::error("playbook::hosts", message).at(hosts.span));
        } else if let Some(wrong) = hosts.as_list().unwrap_or_default().iter().find(|host| host.as_str().is_none()) {
            let message = format!("Hosts list contains an invalid host value: '{}'", wrong.to_value().to_text());
            self.report(Diagnostic::error("playbook::hosts", message).at(wrong.span));
        } else if !pattern_ok {
            let message = "`hosts` must be a pattern or a list of patterns";
            self.report(Diagnostic::error("playbook::hosts", message).at(hosts.span));
        }
        self.check_templates(hosts);
        for name in ["name", "order", "fact_path", "strategy"] {
            if let Some(value) = node.get(name) {
                super::context::must_be_text(name, value, self);
            }
        }
        if let Some(files) = node.get("vars_files") {
            self.check_vars_files(files);
        }
        // An imported playbook's vars, when and tags reach every task of its plays.
        let context = outer.with(node, false, self);
        node.get("vars").into_iter().for_each(|vars| self.warn_reserved(vars));
        let vars = node.get("vars").map(|vars| self.vars(vars)).unwrap_or_default();
        // Those of an import around another come over the inner one's.
        let all = vars.iter().chain(imported.iter().rev()).flat_map(|map| map.iter());
        let vars = all.map(|(k, v)| (k.clone(), v.clone())).collect::<Map>();
        self.play_vars.clone_from(&vars);
        let vars_files = node.get("vars_files").map(vars_files).unwrap_or_default();
        self.know_files(&vars_files);
        let setting = |name: &str| node.get(name).map(Node::to_value);
        for name in
            ["gather_facts", "gather_subset", "serial", "strategy", "order", "max_fail_percentage", "vars_files"]
        {
            if let Some(value) = node.get(name) {
                self.check_templates(value);
            }
        }
        self.play_roles.clear();
        self.role_handlers.clear();
        let role_tasks = node.get("roles").map(|roles| self.roles(roles, &context)).unwrap_or_default();
        let mut handlers = std::mem::take(&mut self.role_handlers);
        // In the order in which the reference reads them: of two imported roles the defaults of the later one count.
        let pre_tasks = self.section(node, "pre_tasks", &context, false);
        let post_tasks = self.section(node, "post_tasks", &context, false);
        let tasks = self.section(node, "tasks", &context, false);
        let own_handlers = self.section(node, "handlers", &context, true);
        // Those of the play's roles, its own, and those of roles that its tasks import.
        handlers.extend(own_handlers);
        handlers.append(&mut self.role_handlers);
        let play = Play {
            name: node
                .get("name")
                .filter(|name| crate::template::truthy(&name.to_value()))
                .map(|name| Str::trusted(name.to_value().to_text(), Some(name.span))),
            hosts: hosts.to_value(),
            span: node.span,
            directory: self.directory.clone(),
            context,
            vars: Arc::new(vars),
            vars_files,
            vars_prompt: node.get("vars_prompt").map(|n| self.vars_prompt(n)).unwrap_or_default(),
            gather_facts: setting("gather_facts"),
            gather_subset: setting("gather_subset"),
            gather_timeout: setting("gather_timeout"),
            fact_path: setting("fact_path"),
            serial: node.get("serial").map(list_of).unwrap_or_default(),
            strategy: setting("strategy"),
            order: setting("order"),
            max_fail_percentage: setting("max_fail_percentage"),
            force_handlers: setting("force_handlers"),
            roles: std::mem::take(&mut self.play_roles),
            pre_tasks,
            role_tasks,
            tasks,
            post_tasks,
            handlers,
        };
        self.check_notified(&play);
        Some(play)
    }

    /// Takes in what plainly named `vars_files` hold; what cannot be read is said when the play runs.
    fn know_files(&mut self, files: &[VarsFile]) {
        for file in files {
            let choices = match &file.entry {
                Value::List(items) => items.to_vec(),
                other => vec![other.clone()],
            };
            let found = choices.iter().filter_map(Value::as_str).filter(|name| !crate::value::holds_jinja(name));
            let found = found.map(|name| super::find_file(name, "vars", std::slice::from_ref(&self.directory)));
            let Some(Ok(Some(file))) =
                found.flatten().next().map(|path| crate::source::load(&path, &self.options().vault.clone()))
            else {
                continue;
            };
            if let Value::Map(map) = file.to_value() {
                self.play_vars.extend(map.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
        }
    }

    fn section(&mut self, play: &Node, name: &str, context: &Context, handlers: bool) -> Vec<Item> {
        match play.get(name) {
            Some(node) => self.items(node, context, handlers, name),
            None => Vec::new(),
        }
    }

    fn vars_prompt(&mut self, node: &Node) -> Vec<VarsPrompt> {
        let mut out = Vec::new();
        for entry in entries(node) {
            let known = |key: &Node| key.as_str().is_some_and(|key| keywords::VARS_PROMPT.contains(&key));
            let stranger = entry.as_map().and_then(|map| map.iter().find(|(key, _)| !known(key)));
            let wrong = match (entry.as_map(), entry.get("name"), stranger) {
                (None, ..) => Some(("Invalid variable file contents.".to_owned(), entry.span)),
                (_, None, _) => Some(("Invalid vars_prompt data structure, missing 'name' key".to_owned(), node.span)),
                (.., Some((key, _))) => {
                    let key = key.to_value().to_text();
                    Some((format!("Invalid vars_prompt data structure, found unsupported key '{key}'"), node.span))
                }
                _ => None,
            };
            if let Some((message, place)) = wrong {
                self.report(Diagnostic::error("playbook::vars-prompt", message).at(place));
                continue;
            }
            let Some(name) = entry.get("name") else { continue };
            let (name, place) = (name.to_value().to_text(), name.span);
            self.warn_reserved_name(&name, place);
            let keys = match entry.to_value() {
                Value::Map(keys) => keys,
                _ => Arc::default(),
            };
            out.push(VarsPrompt { name, keys, span: entry.span });
        }
        out
    }
}

/// The entries of a list, or the one that stands alone.
fn entries(node: &Node) -> &[Node] {
    match &node.kind {
        NodeKind::Null => &[],
        NodeKind::List(items) => items,
        _ => std::slice::from_ref(node),
    }
}

/// The entries of `vars_files`.
fn vars_files(node: &Node) -> Vec<VarsFile> {
    entries(node).iter().map(|entry| VarsFile { entry: entry.to_value(), span: entry.span }).collect()
}

impl Play {
    /// The name people see: its own, else the hosts.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.name {
            Some(name) if !name.as_str().is_empty() => name.as_str().to_owned(),
            _ => self.title_without_name(),
        }
    }

    /// What stands for the name of a play that has none: its hosts.
    #[must_use]
    pub fn title_without_name(&self) -> String {
        match &self.hosts {
            Value::List(items) => items.iter().map(Value::to_text).collect::<Vec<_>>().join(","),
            other => other.to_text(),
        }
    }
}
