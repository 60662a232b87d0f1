//! The loader: reads files once, collects everything that is wrong.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::action::Catalog;
use super::check_files::Missing;
use super::context::{Context, list_of};
use super::role::{Role, RoleOptions};
use super::{Item, Playbook};
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{Node, NodeKind, load, load_ahead};
use crate::template::{FileOptions, check_syntax};
use crate::value::{Map, Str, Value};
use crate::vault::Secrets;

/// Mistakes that the reference finds when a task runs, and not before.
const LATE: &[&str] = &[
    "playbook::arguments",
    "playbook::condition",
    "playbook::loop-items",
    "playbook::meta-action",
    "playbook::missing-file",
    "playbook::missing-handler",
];

/// What loading needs to know beside the files.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Directories with roles, beside `roles` next to the playbook.
    pub roles_path: Vec<PathBuf>,
    /// Directories with modules (`library` in ansible.cfg).
    pub module_path: Vec<PathBuf>,
    /// Directories with `ansible_collections`, beside `collections` next to the playbook.
    pub collections_path: Vec<PathBuf>,
    /// Variables that imports may use in their file names: those of the command line.
    pub variables: Map,
    /// What the reference finds out only when a task runs is left for then: arguments, template syntax, files that are not
    /// there. Playbooks that count on it (a wrong task in a block with a `rescue`) then work as they do there.
    pub late: bool,
    /// The passwords for files and values that are encrypted.
    pub vault: Arc<Secrets>,
    /// Whether plays are only to be listed: then modules need not be known, and nothing is said of what they are given.
    pub listing: bool,
    /// `private_role_vars`: whether the variables of roles are theirs alone.
    pub private_role_vars: bool,
}

/// What an include brought in while a play runs.
#[derive(Debug)]
pub struct Included {
    /// Its tasks, those of the roles it depends on before them.
    pub items: Vec<Item>,
    /// The handlers of the roles that it uses.
    pub handlers: Vec<Item>,
    /// Those roles: the one included, what it depends on, what its tasks import.
    pub roles: Vec<Arc<Role>>,
}

/// Loads playbooks, roles and task files.
pub struct Loader<'a> {
    catalog: &'a dyn Catalog,
    options: Options,
    diagnostics: Vec<Diagnostic>,
    files: HashMap<PathBuf, Option<Arc<Node>>>,
    /// The directory of the playbook being loaded.
    pub(super) directory: PathBuf,
    /// Files of tasks that are being imported, outermost first.
    pub(super) importing: Vec<PathBuf>,
    /// Roles that are being loaded, outermost first.
    pub(super) loading_roles: Vec<PathBuf>,
    /// Roles of the play being loaded, in order.
    pub(super) play_roles: Vec<Arc<Role>>,
    /// Files that tasks name and that are not there.
    pub(super) missing: Vec<Missing>,
    /// Template files that were checked, and whether their tasks may fail.
    pub(super) templates: HashSet<(PathBuf, FileOptions, bool)>,
    /// How many blocks with a `rescue` are around what is being loaded.
    pub(super) guarded: usize,
    /// How many blocks and importing tasks are around what is being loaded.
    pub(super) depth: usize,
    /// Variables of the play being loaded.
    pub(super) play_vars: Map,
    /// Names of the modules in the project's own directories, once they were looked for.
    pub(super) library: Option<std::collections::HashSet<String>>,
    /// Whether a block of handlers is being loaded.
    pub(super) handler_block: bool,
    /// Handlers that roles of the play being loaded bring along.
    pub(super) role_handlers: Vec<Item>,
}

impl<'a> Loader<'a> {
    /// A loader for playbooks of `directory`.
    #[must_use]
    pub fn new(catalog: &'a dyn Catalog, options: Options, directory: PathBuf) -> Self {
        Self {
            catalog,
            options,
            diagnostics: Vec::new(),
            files: HashMap::new(),
            directory,
            importing: Vec::new(),
            loading_roles: Vec::new(),
            play_roles: Vec::new(),
            role_handlers: Vec::new(),
            play_vars: Map::new(),
            library: None,
            missing: Vec::new(),
            templates: HashSet::new(),
            guarded: 0,
            depth: 0,
            handler_block: false,
        }
    }

    pub(super) fn catalog(&self) -> &'a dyn Catalog {
        self.catalog
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Whether mistakes of tasks are left for when they run.
    pub(super) fn late(&self) -> bool {
        self.options.late
    }

    /// Notes something wrong.
    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        if self.options.listing && only_matters_to_a_run(diagnostic.code) {
            return;
        }
        if self.options.late && (diagnostic.code == "template::syntax" || LATE.contains(&diagnostic.code)) {
            return;
        }
        // One mistake in a role that is used twice is one mistake.
        let same = |d: &Diagnostic| d.span == diagnostic.span && d.message == diagnostic.message;
        if diagnostic.span.is_none() || !self.diagnostics.iter().any(same) {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Everything noted so far; warnings too.
    #[must_use]
    pub fn take_diagnostics(&mut self) -> Vec<Diagnostic> {
        std::mem::take(&mut self.diagnostics)
    }

    /// The errors, when there are any; warnings stay.
    pub fn finish<T>(&mut self, value: T) -> Result<T, Vec<Diagnostic>> {
        if self.diagnostics.iter().any(|d| d.severity == Severity::Error) {
            return Err(self.take_diagnostics());
        }
        Ok(value)
    }

    /// Says which playbook's directory relative names start from.
    pub fn set_directory(&mut self, directory: &Path) {
        self.directory = directory.to_path_buf();
    }

    /// A playbook and everything static in it; all errors at once.
    pub fn playbook(&mut self, path: &Path) -> Result<Playbook, Vec<Diagnostic>> {
        let plays = self.plays(path, &Context::default());
        self.settle_missing(&plays);
        let playbook = self.finish(Playbook { path: path.to_path_buf(), plays, warnings: Vec::new() })?;
        Ok(Playbook { warnings: self.take_diagnostics(), ..playbook })
    }

    /// A playbook that stands in no file, as if it stood at `path`.
    pub fn playbook_of(&mut self, path: &Path, content: Node) -> Result<Playbook, Vec<Diagnostic>> {
        self.files.insert(path.to_path_buf(), Some(Arc::new(content)));
        self.playbook(path)
    }

    /// The tasks of a file that is included while a play runs.
    pub fn task_file(&mut self, path: &Path, context: &Context, handlers: bool) -> Result<Included, Vec<Diagnostic>> {
        self.included(|loader| loader.tasks_of_file(path, context, handlers, super::block::INCLUDED))
    }

    /// A role that is included while a play runs: its tasks as a block, its dependencies before them, and its handlers.
    pub fn included_role(
        &mut self,
        name: &str,
        options: &RoleOptions,
        context: &Context,
    ) -> Result<Included, Vec<Diagnostic>> {
        self.included(|loader| loader.role(name, None, options, context))
    }

    fn included(&mut self, load: impl FnOnce(&mut Self) -> Vec<Item>) -> Result<Included, Vec<Diagnostic>> {
        self.play_roles.clear();
        self.role_handlers.clear();
        let items = load(self);
        let handlers = std::mem::take(&mut self.role_handlers);
        let roles = std::mem::take(&mut self.play_roles);
        // Whether a file is there shows in a moment.
        self.missing.clear();
        self.finish(Included { items, handlers, roles })
    }

    /// A file's content as YAML, read once; an error is reported and gives `None`, as does an empty file.
    pub(super) fn yaml(&mut self, path: &Path) -> Option<Arc<Node>> {
        if let Some(known) = self.files.get(path) {
            return known.clone();
        }
        let node = match load(path, &self.options.vault) {
            Ok(node) => node.map(Arc::new),
            Err(diagnostic) => {
                self.report(diagnostic);
                None
            }
        };
        self.files.insert(path.to_path_buf(), node.clone());
        node
    }

    /// Reads files that are about to be asked for, as many side by side as the machine can.
    pub(super) fn read_ahead(&mut self, mut paths: Vec<PathBuf>) {
        paths.retain(|path| !self.files.contains_key(path));
        let read = load_ahead(&paths, &self.options.vault);
        self.files.extend(read.into_iter().map(|(path, node)| (path, Some(node))));
    }

    /// Checks the syntax of every template below a node.
    pub(super) fn check_templates(&mut self, node: &Node) {
        if node.tag.as_deref() == Some("!unsafe") || node.is_vaulted() {
            return;
        }
        match &node.kind {
            NodeKind::Str(text) => {
                if let Err(error) = check_syntax(&Str::trusted(text.as_str(), Some(node.span)), false) {
                    self.report(error.to_diagnostic().or_at(Some(node.span)));
                }
            }
            NodeKind::List(items) => items.iter().for_each(|item| self.check_templates(item)),
            NodeKind::Map(entries) => entries.iter().for_each(|(key, value)| {
                self.check_templates(key);
                self.check_templates(value);
            }),
            _ => {}
        }
    }

    /// Conditions of `when` and its like: each an expression or a truth value; checked for syntax.
    pub(super) fn conditions(&mut self, node: &Node) -> Vec<Value> {
        let nodes: Vec<&Node> = match node.as_list() {
            Some(items) => items.iter().collect(),
            None => vec![node],
        };
        let mut out = Vec::new();
        for item in nodes {
            match &item.kind {
                // Whoever marks a condition as unsafe is told so when it is asked.
                NodeKind::Str(_) if item.tag.as_deref() == Some("!unsafe") => out.push(item.to_value()),
                NodeKind::Str(text) => {
                    let text = Str::trusted(text.as_str(), Some(item.span));
                    if let Err(error) = check_syntax(&text, true) {
                        self.report(error.to_diagnostic().or_at(Some(item.span)));
                    } else if text.is_template() && !is_one_template(text.as_str()) {
                        let message = "this condition is text with a template in it, which is never true or false";
                        self.report(
                            Diagnostic::warning("playbook::condition", message)
                                .at(item.span)
                                .help("write the expression without `{{ }}`: conditions are expressions already"),
                        );
                    }
                    out.push(Value::Str(text));
                }
                NodeKind::Bool(_) => out.push(item.to_value()),
                NodeKind::Null => {}
                _ => {
                    let message = format!("this condition is {}, which is neither true nor false", item.describe());
                    self.report(Diagnostic::warning("playbook::condition", message).at(item.span));
                    out.push(item.to_value());
                }
            }
        }
        out
    }

    /// A dictionary of variables; names are checked.
    pub(super) fn vars(&mut self, node: &Node) -> Vec<Arc<Map>> {
        self.named_vars(node, true)
    }

    /// The same of a role's own files, in which the reference takes any name: what cannot be named is in `vars`.
    pub(super) fn role_file_vars(&mut self, node: &Node) -> Vec<Arc<Map>> {
        self.named_vars(node, false)
    }

    fn named_vars(&mut self, node: &Node, check: bool) -> Vec<Arc<Map>> {
        self.check_templates(node);
        let mut out = Vec::new();
        for part in std::iter::once(node).filter(|node| !node.is_null()) {
            let Some(entries) = part.as_map() else {
                self.report(
                    Diagnostic::error("playbook::vars-kind", "`vars` must be specified as a dictionary").at(part.span),
                );
                continue;
            };
            for (key, _) in entries.iter().filter(|_| check) {
                let name = key.as_str().unwrap_or_default();
                if !is_identifier(name) {
                    let message = format!("Invalid variable name '{}'.", key.to_value().to_text());
                    self.report(
                        Diagnostic::error("playbook::vars-name", message)
                            .at(key.span)
                            .help("names are letters, digits and underscores, and do not begin with a digit"),
                    );
                }
            }
            if let Value::Map(map) = part.to_value() {
                out.push(map);
            }
        }
        out
    }

    /// Warns of variables with the names of keywords, or of what templates have of their own.
    pub(super) fn warn_reserved(&mut self, node: &Node) {
        let parts: &[Node] = match &node.kind {
            NodeKind::List(items) => items,
            _ => std::slice::from_ref(node),
        };
        for (key, _) in parts.iter().filter_map(Node::as_map).flatten() {
            self.warn_reserved_name(key.as_str().unwrap_or_default(), key.span);
        }
    }

    pub(super) fn warn_reserved_name(&mut self, name: &str, span: crate::source::Span) {
        if super::is_reserved(name) {
            let message = format!("Found variable using reserved name '{name}'.");
            self.report(Diagnostic::warning("run::reserved-name", message).at(span));
        }
    }

    /// A keyword that holds a list of templates (or one).
    pub(super) fn values(&mut self, node: &Node) -> Vec<Value> {
        self.check_templates(node);
        list_of(node)
    }

    /// A name that must be known while loading: plain, or a template over what is known then: variables of the play, its
    /// roles, blocks and tasks, and of the command line.
    pub(super) fn static_text(&mut self, node: &Node, what: Named, context: &Context) -> Option<String> {
        let value = node.to_value();
        let Value::Str(text) = &value else {
            return match value {
                Value::Null => {
                    self.report(
                        Diagnostic::error("playbook::name", format!("{} must be named", what.words())).at(node.span),
                    );
                    None
                }
                other => Some(other.to_text()),
            };
        };
        if !text.is_template() {
            return Some(text.as_str().to_owned());
        }
        let fixed = crate::template::Fixed { map: self.known_variables(context), search: Vec::new() };
        match crate::template::Templar::new(Arc::new(fixed)).string(text) {
            Ok(value) => Some(value.to_text()),
            Err(error) => {
                let help = "what is imported must be known before the run: use extra variables, or include it instead";
                let wrong = match what {
                    // A filter of the project's own, say: a list goes on without it.
                    _ if error.is_syntax => error.to_diagnostic(),
                    Named::Role => Diagnostic::error("playbook::role-name", error.message),
                    Named::Tasks => {
                        let message = "Error when evaluating variable in import path";
                        Diagnostic::error(
                            "playbook::import-path",
                            format!("{message} '{}': {}", text.as_str(), error.message),
                        )
                    }
                    Named::Playbook => {
                        let message = "Error processing keyword 'import_playbook'";
                        Diagnostic::error("playbook::keyword", format!("{message}: {}", error.message))
                    }
                };
                self.report(wrong.at(node.span).help(help));
                None
            }
        }
    }
}

impl Loader<'_> {
    /// The variables that are known before any host is: those written in the play, and the command line's.
    fn known_variables(&self, context: &Context) -> Map {
        let mut out = Map::new();
        let full = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string();
        out.insert("playbook_dir".into(), full(&self.directory).into());
        let roles: Vec<&Arc<Role>> =
            context.role.iter().flat_map(|role| role.parents.iter().rev().chain([role])).collect();
        roles.iter().for_each(|role| out.extend(role.defaults.iter().map(|(k, v)| (k.clone(), v.clone()))));
        out.extend(self.play_vars.iter().map(|(k, v)| (k.clone(), v.clone())));
        roles.iter().for_each(|role| out.extend(role.vars.iter().map(|(k, v)| (k.clone(), v.clone()))));
        for layer in context.vars.iter().chain(&context.params) {
            out.extend(layer.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        if let Some(role) = &context.role {
            out.insert("role_path".into(), full(&role.path).into());
            out.insert("role_name".into(), role.name.as_str().into());
            out.insert("ansible_role_name".into(), role.name.as_str().into());
        }
        out.extend(self.options.variables.iter().map(|(k, v)| (k.clone(), v.clone())));
        out
    }
}

/// What is named by a text that has to be known before the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Role,
    Tasks,
    Playbook,
}

impl Named {
    fn words(self) -> &'static str {
        match self {
            Self::Role => "a role",
            Self::Tasks => "what is imported",
            Self::Playbook => "the playbook to import",
        }
    }
}

/// Whether a diagnostic is about what a run would do with a task, and not about which tasks there are.
fn only_matters_to_a_run(code: &str) -> bool {
    matches!(
        code,
        "playbook::arguments"
            | "playbook::condition"
            | "playbook::handler"
            | "playbook::lookup"
            | "playbook::loop"
            | "playbook::loop-control"
            | "playbook::meta"
            | "playbook::missing-handler"
            | "playbook::register"
            | "playbook::unsupported"
            | "playbook::variable-name"
            | "playbook::vars"
            | "template::syntax"
    )
}

/// Whether text is a template and nothing else, so that it can come to something other than text.
fn is_one_template(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("{%") || text.starts_with("{{") && text.ends_with("}}") && text.matches("{{").count() == 1
}

/// Whether text can name a variable.
pub(super) fn is_identifier(name: &str) -> bool {
    crate::value::is_variable_name(name)
}
