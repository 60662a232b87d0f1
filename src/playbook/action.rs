//! A task's action: which module, with which arguments.

use super::elsewhere::is_known_short;
use super::free_form::{parse_free_form, piece, unquote};
use super::{Context, Loader, keywords};
use crate::diagnostic::{Diagnostic, nearest};
use crate::source::{Node, Span};
use crate::value::{Key, Map, Str, Value};

/// What a task does.
#[derive(Debug, Clone)]
pub struct Action {
    /// The module's full name, as in `ansible.builtin.copy`.
    pub module: &'static str,
    /// The name as it is written.
    pub written: String,
    /// Where the name is written.
    pub span: Span,
    /// The arguments; a command's free form under `_raw_params`.
    pub args: Map,
    /// Arguments that are one template for all of them (`args: "{{ … }}"`).
    pub args_template: Option<Str>,
}

/// What is known of a module before any host is contacted.
#[derive(Debug, Clone, Copy)]
pub struct ModuleInfo {
    /// The full name.
    pub name: &'static str,
    /// Whether its arguments may be a line that is not `key=value`.
    pub free_form: bool,
}

/// What is wrong with a module's arguments.
#[derive(Debug, Clone)]
pub struct ArgProblem {
    /// One sentence.
    pub message: String,
    /// The argument it is about.
    pub argument: Option<String>,
    /// The nearest argument that exists.
    pub suggestion: Option<String>,
}

/// The modules there are.
pub trait Catalog: Send + Sync {
    /// The module of this full name.
    fn find(&self, name: &str) -> Option<ModuleInfo>;
    /// Every full name.
    fn names(&self) -> Vec<&'static str>;
    /// Checks a module's arguments; those that are not known yet are given as `rplay_worker::args::opaque`.
    fn check(&self, name: &str, args: &serde_json::Map<String, serde_json::Value>) -> Result<(), ArgProblem>;
}

/// A module's full name without a host's opinion: `copy` and `ansible.legacy.copy` are `ansible.builtin.copy`, modules that
/// moved to a collection are found under their old name, and `collections` are searched for other short names.
#[must_use]
pub fn canonical_name(written: &str, collections: &[String], catalog: &dyn Catalog) -> Option<ModuleInfo> {
    if written.contains('.') {
        let name = written.replacen("ansible.legacy.", "ansible.builtin.", 1);
        // What newer roles call community.mysql.
        let name = match name.strip_prefix("ansible.mysql.") {
            Some(short) => format!("community.mysql.{short}"),
            None => name,
        };
        return catalog.find(&name).or_else(|| redirected(name.strip_prefix("ansible.builtin.")?, catalog));
    }
    let searched = collections.iter().map(String::as_str).chain(["ansible.builtin"]);
    let direct = searched.map(|collection| format!("{collection}.{written}")).find_map(|name| catalog.find(&name));
    direct.or_else(|| redirected(written, catalog))
}

/// The module that a short name means which is none of ansible.builtin's: a second name there, or one of a collection that
/// the reference still finds by its short name alone.
fn redirected(short: &str, catalog: &dyn Catalog) -> Option<ModuleInfo> {
    match short {
        "systemd_service" => return catalog.find("ansible.builtin.systemd"),
        "yum" => return catalog.find("ansible.builtin.dnf"),
        // Renamed within their collection.
        "openssl_certificate" => return catalog.find("community.crypto.x509_certificate"),
        "openssl_certificate_info" => return catalog.find("community.crypto.x509_certificate_info"),
        _ => {}
    }
    let moved = ["ansible.posix", "community.crypto", "community.general", "community.mysql", "community.postgresql"]
        .iter()
        .filter(|_| is_known_short(short));
    moved.map(|collection| format!("{collection}.{short}")).find_map(|name| catalog.find(&name))
}

/// The module of a task whose own module exists, but not here. It fails when it is run.
pub const UNAVAILABLE: &str = "rplay.unavailable";

/// The module of a task that names it by a template; which one it is shows when the task runs.
pub const TEMPLATED: &str = "rplay.templated";

/// Whether a name is that of a module which is not built in: one of a collection, or one that the reference knows.
fn is_elsewhere(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        [short] | ["ansible", "builtin" | "legacy", short] => is_known_short(short),
        [_, _, ..] if parts.len() >= 3 => parts.iter().all(|part| super::loader::is_identifier(part)),
        _ => false,
    }
}

impl Loader<'_> {
    /// Reports a task whose module is not built in: an error where it runs in any case, a warning where it may not.
    pub(super) fn check_available(&mut self, action: &Action, context: &super::Context) {
        if action.module != UNAVAILABLE || self.options().listing {
            return;
        }
        let message = format!("the module `{}` is not built in", action.written);
        let mut diagnostic =
            Diagnostic::error("playbook::unknown-module", message).at(action.span).label("not built in");
        if !context.when.is_empty() || !context.tags.is_empty() || self.guarded > 0 || self.late() {
            diagnostic.severity = crate::diagnostic::Severity::Warning;
        }
        self.report(diagnostic.help("docs/differences.md lists the modules that are"));
    }

    /// Finds the one key of a task that names a module, and reads its arguments.
    pub(super) fn action(&mut self, task: &Node, context: &Context) -> Option<(Action, bool)> {
        let collections = context.collections.as_slice();
        let entries = task.as_map()?;
        let mut found: Vec<(&Node, &Node)> = Vec::new();
        for (key, value) in entries {
            let name = key.as_str().unwrap_or_default();
            let known = [keywords::SHARED, keywords::CONDITIONAL, keywords::TASK, keywords::HANDLER];
            if known.iter().any(|set| set.contains(&name)) && !matches!(name, "action" | "local_action")
                || name.starts_with("with_")
            {
                continue;
            }
            found.push((key, value));
        }
        let catalog = self.catalog();
        let is_module = |key: &Node| {
            let name = key.as_str().unwrap_or_default();
            matches!(name, "action" | "local_action")
                || canonical_name(name, collections, catalog).is_some()
                || is_elsewhere(name)
        };
        match found.as_slice() {
            [] => {
                self.report(
                    Diagnostic::error("playbook::no-action", "this task has no module to run")
                        .at(task.span)
                        .help("name a module, as in `ansible.builtin.command: uptime`"),
                );
                None
            }
            [(key, value)] => self.action_entry(key, value, task, context),
            several => {
                let modules: Vec<_> = several.iter().filter(|(key, _)| is_module(key)).copied().collect();
                match modules.as_slice() {
                    [(key, value)] => {
                        for (other, _) in several.iter().filter(|(other, _)| !is_module(other)) {
                            self.unknown_keyword(other);
                        }
                        self.action_entry(key, value, task, context)
                    }
                    [] if self.options().listing && several.len() > 1 => {
                        let names: Vec<&str> = several.iter().filter_map(|(key, _)| key.as_str()).collect();
                        let message = format!("conflicting action statements: {}", names.join(", "));
                        self.report(Diagnostic::error("playbook::two-actions", message).at(task.span));
                        None
                    }
                    [] => {
                        for (other, _) in several {
                            self.unknown_in_task(other);
                        }
                        None
                    }
                    [(first, _), (second, _), ..] => {
                        let text = |n: &Node| n.as_str().unwrap_or_default().to_owned();
                        let message = format!(
                            "conflicting action statements: this task has `{}` and `{}`",
                            text(first),
                            text(second)
                        );
                        self.report(
                            Diagnostic::error("playbook::two-actions", message)
                                .at(second.span)
                                .help("make two tasks of it"),
                        );
                        None
                    }
                }
            }
        }
    }

    /// A key that can only have been meant as a keyword, for the task has its module.
    fn unknown_keyword(&mut self, key: &Node) {
        let name = key.as_str().unwrap_or_default();
        let words = [keywords::TASK, keywords::SHARED, keywords::CONDITIONAL];
        let known = words.iter().flat_map(|set| set.iter().copied());
        self.report(
            Diagnostic::error("playbook::unknown-keyword", format!("'{name}' is not a valid attribute for a Task"))
                .at(key.span)
                .label("not a keyword here")
                .suggest(name, known),
        );
    }

    fn unknown_in_task(&mut self, key: &Node) {
        let name = key.as_str().unwrap_or_default();
        let catalog = self.catalog();
        let words = [keywords::SHARED, keywords::CONDITIONAL, keywords::TASK];
        let short = |full: &'static str| full.rsplit('.').next().unwrap_or(full);
        let keyword = nearest(name, words.iter().flat_map(|set| set.iter().copied()));
        // A short name that the reference does not take either: the full one is meant.
        let whole = catalog.names().into_iter().find(|full| short(full) == name);
        let module = whole.or_else(|| nearest(name, catalog.names().into_iter().flat_map(|full| [full, short(full)])));
        let message = if name.contains('.') {
            format!("couldn't resolve module/action '{name}'")
        } else {
            format!("`{name}` is neither a keyword of a task nor a module that rplay has")
        };
        let diagnostic = Diagnostic::error("playbook::unknown-module", message).at(key.span).label("unknown");
        let diagnostic = match whole.or(keyword).or(module) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help("docs/differences.md lists the modules that are built in"),
        };
        self.report(diagnostic);
    }

    fn action_entry(&mut self, key: &Node, value: &Node, task: &Node, context: &Context) -> Option<(Action, bool)> {
        let collections = context.collections.as_slice();
        let name = key.as_str().unwrap_or_default();
        let (name_node, args_node, local) = match name {
            "action" | "local_action" => (value, None, name == "local_action"),
            _ => (key, Some(value), false),
        };
        let (written, mut args, rest) = self.module_and_args(name_node, args_node)?;
        if matches!(written.as_str(), "include" | "ansible.builtin.include" | "ansible.legacy.include") {
            let message = "The 'ansible.builtin.include' action plugin has been removed. Use include_tasks or import_tasks instead.";
            self.report(Diagnostic::error("playbook::removed", message).at(name_node.span));
            return None;
        }
        let info = match canonical_name(written.as_str(), collections, self.catalog()) {
            Some(info) => info,
            None if crate::value::holds_jinja(&written) => ModuleInfo { name: TEMPLATED, free_form: true },
            None if self.options().listing && !self.is_found_elsewhere(&written, collections) => {
                let message = format!(
                    "couldn't resolve module/action '{written}'. This often indicates a misspelling, missing collection, \
                     or incorrect module path."
                );
                self.report(Diagnostic::error("playbook::unknown-module", message).at(name_node.span));
                return None;
            }
            None if is_elsewhere(&written) => ModuleInfo { name: UNAVAILABLE, free_form: true },
            None if self.options().listing => ModuleInfo { name: UNAVAILABLE, free_form: true },
            None => {
                self.unknown_in_task(&Node { kind: crate::source::NodeKind::Str(written), ..name_node.clone() });
                return None;
            }
        };
        let mut args_template = None;
        if let Some(rest) = rest {
            self.free_form_args(&rest, info.free_form, &mut args, &mut args_template, value.span, info.name);
        }
        if let Some(more) = task.get("args") {
            self.extra_args(more, &mut args, &mut args_template);
        }
        let action = Action { module: info.name, written, span: key.span, args, args_template };
        if action.args_template.is_none() && !matches!(action.module, UNAVAILABLE | TEMPLATED) {
            self.check_args(&action, &info, value, context);
        }
        Some((action, local))
    }

    /// The module's name, the arguments given as a dictionary, and the line they are given on otherwise.
    fn module_and_args(&mut self, name: &Node, args: Option<&Node>) -> Option<(String, Map, Option<Str>)> {
        let text = |node: &Node| Str::trusted(node.as_str().unwrap_or_default(), Some(node.span));
        let Some(args) = args else {
            // `action: module key=value`, or `action: {module: …, key: value}`.
            if let Some(line) = name.as_str() {
                let line_text = Str::trusted(line, Some(name.span));
                let (module, rest) = first_word(line);
                return Some((module.to_owned(), Map::new(), Some(piece(rest.trim(), &line_text))));
            }
            let Some(module) = name.get("module").and_then(Node::as_str) else {
                self.report(
                    Diagnostic::error("playbook::action", "`action` must name a module")
                        .at(name.span)
                        .help("write `action: module_name key=value`, or a dictionary with the module under `module`"),
                );
                return None;
            };
            let mut map = name.to_value().as_map().cloned().unwrap_or_default();
            map.shift_remove("module");
            if let Some(Value::Map(nested)) = map.shift_remove("args") {
                map.extend(nested.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            return Some((module.to_owned(), map, None));
        };
        let module = name.as_str().unwrap_or_default().to_owned();
        if let Some(entries) = args.as_map() {
            let _ = entries;
            return Some((module, args.to_value().as_map().cloned().unwrap_or_default(), None));
        }
        if args.is_null() {
            return Some((module, Map::new(), None));
        }
        if args.as_str().is_some() {
            return Some((module, Map::new(), Some(text(args))));
        }
        let message = format!("the arguments of `{module}` must be a dictionary or a line, not {}", args.describe());
        self.report(Diagnostic::error("playbook::action-arguments", message).at(args.span));
        None
    }

    fn free_form_args(
        &mut self,
        line: &Str,
        raw: bool,
        args: &mut Map,
        template: &mut Option<Str>,
        span: Span,
        module: &str,
    ) {
        let dictionary = ["add_host", "set_fact"].iter().any(|name| module.ends_with(&format!(".{name}")));
        if (!raw || dictionary) && line.is_template() && is_one_expression(line.as_str()) {
            *template = Some(line.clone());
            return;
        }
        let command = ["command", "shell", "raw", "script"].iter().any(|name| module.ends_with(&format!(".{name}")));
        let parsed = parse_free_form(line.as_str(), command);
        for (key, value) in parsed.pairs {
            args.insert(Key::Str(piece(&key, line)), Value::Str(piece(&value, line)));
        }
        if parsed.rest.is_empty() {
            return;
        }
        if raw {
            args.insert(Key::from("_raw_params"), Value::Str(piece(&parsed.rest, line)));
            return;
        }
        if crate::value::holds_jinja(&parsed.rest) {
            // What it comes to may be `key=value` pairs, or a dictionary.
            *template = Some(piece(&parsed.rest, line));
            return;
        }
        let message = format!("`{}` is not an argument of `{module}`: it has no `=`", unquote(&parsed.rest));
        self.report(
            Diagnostic::error("playbook::arguments", message)
                .at(span)
                .help("write arguments as a dictionary, or as `key=value` pairs"),
        );
    }

    fn extra_args(&mut self, more: &Node, args: &mut Map, template: &mut Option<Str>) {
        match more.to_value() {
            Value::Map(map) => {
                for (key, value) in map.iter() {
                    args.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
            Value::Str(text) if text.is_template() => *template = Some(text),
            Value::Null => {}
            _ => self.report(
                Diagnostic::error("playbook::keyword-type", "The value of the task `args` keyword is invalid.")
                    .at(more.span)
                    .help("A mapping or template which resolves to a mapping is required."),
            ),
        }
    }
}

/// The first word of a line, a template being one with what it touches, and the rest.
fn first_word(line: &str) -> (&str, &str) {
    let mut depth = 0usize;
    let mut before = '\0';
    for (at, c) in line.char_indices() {
        match (before, c) {
            ('{', '{') => depth += 1,
            ('}', '}') => depth = depth.saturating_sub(1),
            (_, c) if c.is_whitespace() && depth == 0 && at > 0 => return (&line[..at], &line[at..]),
            _ => {}
        }
        before = c;
    }
    (line, "")
}

/// Whether text is `{{ … }}` and nothing else.
fn is_one_expression(text: &str) -> bool {
    let text = text.trim();
    text.strip_prefix("{{").and_then(|t| t.strip_suffix("}}")).is_some_and(|inner| !inner.contains("}}"))
}
