//! What plays, roles, blocks and tasks have in common and inherit.

use std::borrow::Cow;
use std::sync::Arc;

use super::role::Role;
use super::{Loader, keywords};
use crate::diagnostic::Diagnostic;
use crate::source::{Node, NodeKind, Span};
use crate::value::{Map, Str, Value};

/// A keyword's value; `None` where neither a task nor what it stands in says anything.
pub type Setting = Option<Value>;

/// The keywords with one value, settled: what is nearest to the task counts.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `any_errors_fatal`
    pub any_errors_fatal: Setting,
    /// `become`
    pub become_: Setting,
    /// `become_exe`
    pub become_exe: Setting,
    /// `become_flags`
    pub become_flags: Setting,
    /// `become_method`
    pub become_method: Setting,
    /// `become_user`
    pub become_user: Setting,
    /// `check_mode`
    pub check_mode: Setting,
    /// `connection`
    pub connection: Setting,
    /// `delegate_facts`
    pub delegate_facts: Setting,
    /// `delegate_to`
    pub delegate_to: Setting,
    /// `diff`
    pub diff: Setting,
    /// `ignore_errors`
    pub ignore_errors: Setting,
    /// `ignore_unreachable`
    pub ignore_unreachable: Setting,
    /// `no_log`
    pub no_log: Setting,
    /// `port`
    pub port: Setting,
    /// `remote_user`
    pub remote_user: Setting,
    /// `run_once`
    pub run_once: Setting,
    /// `throttle`
    pub throttle: Setting,
    /// `timeout`, in seconds
    pub timeout: Setting,
    /// Where those are written that are no text: text knows its place itself.
    places: Vec<(Box<str>, Span)>,
}

/// The shared keywords, settled. It reads as if the [`Settings`] were its own.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Most tasks say nothing of these and share what is around them.
    settings: Arc<Settings>,
    /// `environment`, outermost first: all of them apply.
    pub environment: Vec<Value>,
    /// `module_defaults`, outermost first: all of them apply.
    pub module_defaults: Vec<Value>,
    /// `when`, outermost first: all of them must hold.
    pub when: Vec<Value>,
    /// `tags`: all of them apply.
    pub tags: Vec<Value>,
    /// `vars` of blocks and the task, outermost first (not the play's).
    pub vars: Vec<Arc<Map>>,
    /// Parameters of roles and includes, outermost first.
    pub params: Vec<Arc<Map>>,
    /// `collections`: where short names are looked for.
    pub collections: Vec<String>,
    /// The role the task belongs to.
    pub role: Option<Arc<Role>>,
    /// Handlers that the innermost block's `notify` names.
    pub notify: Vec<Value>,
}

macro_rules! by_name {
    ($($name:literal $(| $other:literal)? => $field:ident,)*) => {
        /// The keywords with one value.
        const NAMES: &[&str] = &[$($name,)*];

        impl Settings {
            fn get(&self, name: &str) -> Option<&Setting> {
                Some(match name { $($name $(| $other)? => &self.$field,)* _ => return None })
            }

            fn get_mut(&mut self, name: &str) -> Option<&mut Setting> {
                Some(match name { $($name $(| $other)? => &mut self.$field,)* _ => return None })
            }
        }
    };
}

by_name! {
    "any_errors_fatal" => any_errors_fatal,
    "become" => become_,
    "become_exe" => become_exe,
    "become_flags" => become_flags,
    "become_method" => become_method,
    "become_user" => become_user,
    "check_mode" => check_mode,
    "connection" => connection,
    "delegate_facts" => delegate_facts,
    "delegate_to" => delegate_to,
    "diff" => diff,
    "ignore_errors" => ignore_errors,
    "ignore_unreachable" => ignore_unreachable,
    "no_log" => no_log,
    "port" => port,
    "remote_user" | "user" => remote_user,
    "run_once" => run_once,
    "throttle" => throttle,
    "timeout" => timeout,
}

impl std::ops::Deref for Context {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.settings
    }
}

/// What `module_defaults` has to be.
const DEFAULTS: &str = "The field 'module_defaults' is supposed to be a dictionary or list of dictionaries, the keys of which \
     must be static action, module, or group names. Only the values may contain templates. For example: {'ping': \"{{ \
     ping_defaults }}\"}";

/// Keywords that are text.
const TEXTS: &[&str] =
    &["become_exe", "become_flags", "become_method", "become_user", "connection", "delegate_to", "remote_user"];

/// Reports a keyword that is a list or a dictionary in the place of text.
pub(super) fn must_be_text(name: &str, node: &Node, loader: &mut Loader<'_>) {
    let kind = match node.kind {
        NodeKind::List(_) => "list",
        NodeKind::Map(_) => "dict",
        _ => return,
    };
    let message = format!(
        "The field '{name}' is supposed to be a string type, however the incoming data structure is a <class '{kind}'>"
    );
    loader.report(Diagnostic::error("playbook::keyword-type", message).at(node.span));
}

/// Keywords that a task has from around it when it omits its own.
const INHERITED: &[&str] = &[
    "any_errors_fatal",
    "become",
    "become_exe",
    "become_flags",
    "become_method",
    "become_user",
    "check_mode",
    "connection",
    "delegate_facts",
    "diff",
    "ignore_errors",
    "ignore_unreachable",
    "no_log",
    "port",
    "remote_user",
    "timeout",
];

/// Whether a keyword may turn out to be omitted.
fn may_omit(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains("{{"))
}

/// A keyword's value as it is written, never evaluated again.
fn as_written(value: Value) -> Value {
    match value {
        Value::Str(text) if text.is_trusted() => Value::Str(match text.origin() {
            Some(origin) => Str::data_at(text.shared(), origin),
            None => Str::data(text.shared()),
        }),
        other => other,
    }
}

impl Context {
    /// This context with what `node` says on top.
    ///
    /// `own_vars` says whether `vars` is taken along (a play keeps its own elsewhere).
    pub(super) fn with(&self, node: &Node, own_vars: bool, loader: &mut Loader<'_>) -> Self {
        let mut out = self.clone();
        for (key, value) in node.as_map().unwrap_or_default() {
            let Some(name) = key.as_str() else { continue };
            out.set(name, value, own_vars, loader);
        }
        out
    }

    fn set(&mut self, name: &str, node: &Node, own_vars: bool, loader: &mut Loader<'_>) {
        if self.settings.get(name).is_some() {
            if TEXTS.contains(&name) {
                must_be_text(name, node, loader);
            }
            self.put(name, Some(node.to_value()));
            self.note_place(name, node);
            loader.check_templates(node);
            return;
        }
        match name {
            "environment" => self.environment.extend(list_of(node)),
            "module_defaults" => {
                let all = list_of(node);
                if !all.iter().all(|defaults| matches!(defaults, Value::Map(_))) {
                    let diagnostic = Diagnostic::error("playbook::keyword-type", DEFAULTS).at(node.span);
                    loader.report(diagnostic);
                }
                loader.check_defaults(node);
                self.module_defaults.extend(all);
            }
            "when" => self.when.extend(loader.conditions(node)),
            "tags" => {
                if !matches!(node.kind, NodeKind::Str(_) | NodeKind::List(_)) {
                    let message = "tags must be specified as a list";
                    loader.report(Diagnostic::error("playbook::tags", message).at(node.span));
                }
                self.tags.extend(tags_of(node));
            }
            "notify" => self.notify = list_of(node),
            "vars" if own_vars => {
                loader.warn_reserved(node);
                self.vars.extend(loader.vars(node));
            }
            "collections" => {
                if let Some(wrong) = list_of(node).iter().find(|name| name.as_str().is_none() && !name.is_null()) {
                    let kind = crate::template::python_type(wrong);
                    let message = format!("Keyword 'collections' items must be of type 'str', not '{kind}'.");
                    loader.report(Diagnostic::error("playbook::keyword-type", message).at(node.span));
                }
                self.collections = list_of(node).iter().filter_map(|v| v.as_str().map(ToOwned::to_owned)).collect();
            }
            "debugger" if node.as_str().is_none() => must_be_text(name, node, loader),
            "debugger" if node.as_str().is_some_and(|word| !matches!(word, "" | "never")) => loader.report(
                Diagnostic::error("playbook::unsupported", "the task debugger is not supported")
                    .at(node.span)
                    .help("remove the keyword, or set it to `never`"),
            ),
            _ => {}
        }
    }

    /// One keyword, as `outer` has it where it `is_omitted`: an omitted keyword is inherited. As in the reference, what
    /// is inherited that way is taken as it is written.
    #[must_use]
    pub fn keyword(&self, name: &str, outer: &Self, is_omitted: &dyn Fn(&Value) -> bool) -> Cow<'_, Setting> {
        match self.settings.get(name) {
            Some(Some(value)) if INHERITED.contains(&name) && may_omit(value) && is_omitted(value) => {
                Cow::Owned(outer.settings.get(name).cloned().flatten().map(as_written))
            }
            Some(setting) => Cow::Borrowed(setting),
            None => Cow::Owned(None),
        }
    }

    /// All keywords, each as [`Context::keyword`] has it.
    #[must_use]
    pub fn without_omitted(&self, outer: &Self, is_omitted: &dyn Fn(&Value) -> bool) -> Cow<'_, Self> {
        let mut out = Cow::Borrowed(self);
        for name in INHERITED {
            if let Cow::Owned(setting) = self.keyword(name, outer, is_omitted) {
                out.to_mut().put(name, setting);
            }
        }
        out
    }

    /// Where a keyword's value is written.
    #[must_use]
    pub fn place_of(&self, name: &str) -> Option<Span> {
        match self.settings.get(name).and_then(Option::as_ref) {
            Some(Value::Str(text)) => text.origin(),
            _ => self.settings.places.iter().find(|(known, _)| **known == *name).map(|(_, place)| *place),
        }
    }

    /// Notes where a value is written that does not know it itself.
    pub(super) fn note_place(&mut self, name: &str, node: &Node) {
        if !matches!(node.kind, NodeKind::Null | NodeKind::Str(_)) {
            Arc::make_mut(&mut self.settings).places.push((name.into(), node.span));
        }
    }

    /// The values of all keywords.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        let single = NAMES.iter().filter_map(|name| self.settings.get(name)?.as_ref());
        single.chain(&self.environment).chain(&self.module_defaults)
    }

    /// Sets a keyword of [`Settings`]; others are left alone.
    pub fn put(&mut self, name: &str, value: Setting) {
        let settings = Arc::make_mut(&mut self.settings);
        settings.places.retain(|(known, _)| **known != *name);
        if let Some(setting) = settings.get_mut(name) {
            *setting = value;
        }
    }

    /// Puts one keyword of an include's `apply` on top; false when it is none that can be applied.
    pub fn apply(&mut self, name: &str, value: &Value) -> bool {
        let many = |value: &Value| match value {
            Value::List(items) => items.to_vec(),
            Value::Null => Vec::new(),
            other => vec![other.clone()],
        };
        if self.settings.get(name).is_some() {
            self.put(name, Some(value.clone()));
            return true;
        }
        match name {
            "environment" => self.environment.extend(many(value)),
            "module_defaults" => self.module_defaults.extend(many(value)),
            "when" => self.when.extend(many(value)),
            "tags" if value.as_str().is_some() => self.tags.extend(words_of(value.clone())),
            "tags" => self.tags.extend(many(value)),
            "notify" => self.notify = many(value),
            "vars" => self.vars.extend(value.as_map().map(|map| Arc::new(map.clone()))),
            _ => return false,
        }
        true
    }

    /// What the tasks of a dynamic include inherit: this (the include's surroundings) with its `apply` on top.
    #[must_use]
    pub fn with_params(&self, params: Arc<Map>) -> Self {
        let mut out = self.clone();
        if !params.is_empty() {
            out.params.push(params);
        }
        out
    }
}

/// A value as a list: a list's items, or the one value; nothing for `null`.
pub(super) fn list_of(node: &Node) -> Vec<Value> {
    if node.is_null() {
        return Vec::new();
    }
    match node.as_list() {
        Some(items) => items.iter().map(Node::to_value).collect(),
        None => vec![node.to_value()],
    }
}

/// Tags: a list of them as they are, or words between commas.
fn tags_of(node: &Node) -> Vec<Value> {
    if node.as_list().is_some() { list_of(node) } else { words_of(node.to_value()) }
}

/// The words between a text's commas; anything else as it is.
fn words_of(value: Value) -> Vec<Value> {
    match value.as_str() {
        Some(text) if !crate::value::holds_jinja(text) => text.split(',').map(|tag| Value::data(tag.trim())).collect(),
        _ => vec![value],
    }
}

/// Reports every key of a mapping that is not among `known`.
pub(super) fn unknown_keywords(node: &Node, what: &str, known: &[&[&str]], loader: &mut Loader<'_>) {
    for (key, _) in node.as_map().unwrap_or_default() {
        let name = key.as_str().unwrap_or_default();
        if known.iter().any(|set| set.contains(&name)) {
            continue;
        }
        let all = known.iter().flat_map(|set| set.iter().copied());
        let mut diagnostic = Diagnostic::error("playbook::unknown-keyword", invalid_keyword(name, what))
            .at(key.span)
            .label("not a keyword here")
            .suggest(name, all);
        if diagnostic.help_text().is_none() && keywords::TASK.contains(&name) {
            diagnostic = diagnostic.help("this is a keyword of tasks");
        }
        loader.report(diagnostic);
    }
}

/// The reference's sentence for a keyword that is none.
fn invalid_keyword(name: &str, what: &str) -> String {
    let kind = match what {
        "play" => "a Play",
        "block" => "a Block",
        "playbook import" => "a PlaybookInclude",
        "loop_control" => "a LoopControl",
        other => other,
    };
    format!("'{name}' is not a valid attribute for {kind}")
}
