//! Playbooks: from YAML nodes to typed plays, blocks, tasks and roles, with every check that needs no host.
//!
//! Loading resolves everything static: imports are read in place, roles of `roles:` and `import_role` become blocks, and the
//! keywords that a task inherits from its blocks, role and play are settled once, in its [`Context`]. What is dynamic
//! (`include_tasks`, `include_role`) is loaded by the engine when it gets there, by the same [`Loader`].

mod action;
mod block;
mod check;
mod check_files;
mod check_include;
mod context;
mod elsewhere;
mod free_form;
mod import;
pub mod keywords;
mod loader;
mod paths;
mod play;
mod role;
mod tags;
mod task;

use std::path::PathBuf;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::value::{Map, Str, Value};

pub use action::{Action, ArgProblem, Catalog, ModuleInfo, TEMPLATED, UNAVAILABLE, canonical_name};
pub use check::META_ACTIONS;
pub use context::{Context, Setting};
pub use free_form::{FreeForm, parse_free_form, split_words};
pub use keywords::is_reserved;
pub use loader::{Included, Loader, Options};
pub use paths::{expand_home, find_file};
pub use role::{Role, RoleOptions, Used};
pub use tags::TagFilter;

/// A playbook with all that it imports.
#[derive(Debug, Clone)]
pub struct Playbook {
    /// The file.
    pub path: PathBuf,
    /// Its plays, those of imported playbooks in place.
    pub plays: Vec<Arc<Play>>,
    /// What is worth a look, and no error.
    pub warnings: Vec<Diagnostic>,
}

/// An entry of `vars_files`.
#[derive(Debug, Clone)]
pub struct VarsFile {
    /// A path, or paths of which the first that exists is read; perhaps templates.
    pub entry: Value,
    /// Where it is written.
    pub span: Span,
}

/// A play: hosts, and what to do on them.
#[derive(Debug)]
pub struct Play {
    /// `name`, else the hosts.
    pub name: Option<Str>,
    /// `hosts`: a pattern or a list of patterns, perhaps templates.
    pub hosts: Value,
    /// Where the play is written.
    pub span: Span,
    /// The directory of its playbook.
    pub directory: PathBuf,
    /// What its tasks inherit.
    pub context: Context,
    /// `vars`.
    pub vars: Arc<Map>,
    /// `vars_files`.
    pub vars_files: Vec<VarsFile>,
    /// `vars_prompt`.
    pub vars_prompt: Vec<VarsPrompt>,
    /// `gather_facts`; `None` when it is not said.
    pub gather_facts: Option<Value>,
    /// `gather_subset`.
    pub gather_subset: Option<Value>,
    /// `gather_timeout`, in seconds.
    pub gather_timeout: Option<Value>,
    /// `fact_path`.
    pub fact_path: Option<Value>,
    /// `serial`.
    pub serial: Vec<Value>,
    /// `strategy`.
    pub strategy: Option<Value>,
    /// `order`.
    pub order: Option<Value>,
    /// `max_fail_percentage`.
    pub max_fail_percentage: Option<Value>,
    /// `force_handlers`.
    pub force_handlers: Option<Value>,
    /// The roles of `roles:`, dependencies first, each once.
    pub roles: Vec<Arc<Role>>,
    /// `pre_tasks`.
    pub pre_tasks: Vec<Item>,
    /// The tasks of `roles:`.
    pub role_tasks: Vec<Item>,
    /// `tasks`.
    pub tasks: Vec<Item>,
    /// `post_tasks`.
    pub post_tasks: Vec<Item>,
    /// Handlers of the roles, then of the play, in the order in which they run.
    pub handlers: Vec<Item>,
}

/// An entry of `vars_prompt`.
#[derive(Debug, Clone)]
pub struct VarsPrompt {
    /// The variable.
    pub name: String,
    /// How it is asked for: `prompt`, `default`, `private` and the like, perhaps templates.
    pub keys: Arc<Map>,
    /// Where it is written.
    pub span: Span,
}

/// A task or a block.
#[derive(Debug, Clone)]
pub enum Item {
    /// A task.
    Task(Arc<Task>),
    /// A block.
    Block(Arc<Block>),
}

/// `block`, `rescue` and `always`; also what a role or an imported file becomes.
#[derive(Debug)]
pub struct Block {
    /// `name`.
    pub name: Option<Str>,
    /// Where it is written.
    pub span: Span,
    /// The tasks.
    pub body: Vec<Item>,
    /// What to do when one of them fails.
    pub rescue: Vec<Item>,
    /// What to do in any case.
    pub always: Vec<Item>,
    /// The role whose tasks these are, when the block is a role's whole.
    pub role: Option<Arc<Role>>,
    /// Whether it stands in another block, or in what a task imports.
    pub nested: bool,
}

impl Block {
    /// A block with nothing in it.
    #[must_use]
    pub fn empty(span: Span) -> Self {
        Self { name: None, span, body: Vec::new(), rescue: Vec::new(), always: Vec::new(), role: None, nested: false }
    }
}

/// One task.
#[derive(Debug, Clone)]
pub struct Task {
    /// `name`.
    pub name: Option<Str>,
    /// Where it is written.
    pub span: Span,
    /// What to do.
    pub action: Action,
    /// Everything it inherits or says that its blocks could have said too.
    pub context: Context,
    /// What it would have inherited had it said nothing: an include's tasks get this.
    pub outer: Arc<Context>,
    /// `loop` or `with_…`.
    pub looped: Option<Loop>,
    /// `loop_control`, where it is written: few tasks have one.
    pub loop_control: Option<Box<LoopControl>>,
    /// `register`: a name, or names with what to keep under each.
    pub register: Option<Str>,
    /// `notify`.
    pub notify: Vec<Value>,
    /// `listen`, for a handler.
    pub listen: Vec<Value>,
    /// `until`.
    pub until: Vec<Value>,
    /// `retries`.
    pub retries: Option<Value>,
    /// `delay`, in seconds.
    pub delay: Option<Value>,
    /// `changed_when`.
    pub changed_when: Vec<Value>,
    /// `failed_when`.
    pub failed_when: Vec<Value>,
    /// `async`, in seconds.
    pub asynchronous: Option<Value>,
    /// `poll`, in seconds.
    pub poll: Option<Value>,
}

/// What a task is repeated over.
#[derive(Debug, Clone)]
pub struct Loop {
    /// The lookup of `with_<name>`; `None` for `loop`.
    pub lookup: Option<String>,
    /// The items, or the lookup's terms.
    pub items: Value,
    /// Where it is written.
    pub span: Span,
}

/// `loop_control`.
#[derive(Debug, Clone, Default)]
pub struct LoopControl {
    /// `loop_var`.
    pub loop_var: Option<Value>,
    /// `index_var`.
    pub index_var: Option<Value>,
    /// `label`.
    pub label: Option<Value>,
    /// `pause`, in seconds.
    pub pause: Option<Value>,
    /// `extended`.
    pub extended: Option<Value>,
    /// `extended_allitems`.
    pub extended_allitems: Option<Value>,
    /// `break_when`.
    pub break_when: Vec<Value>,
}

impl Task {
    /// A task that stands in no file.
    #[must_use]
    pub fn own(name: &str, action: Action, context: Context) -> Self {
        Self {
            name: Some(Str::data(name)),
            span: action.span,
            action,
            outer: Arc::new(context.clone()),
            context,
            looped: None,
            loop_control: None,
            register: None,
            notify: Vec::new(),
            listen: Vec::new(),
            until: Vec::new(),
            retries: None,
            delay: None,
            changed_when: Vec::new(),
            failed_when: Vec::new(),
            asynchronous: None,
            poll: None,
        }
    }

    /// Whether no playbook has it: it is one of those that the engine makes for itself.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.name.as_ref().is_some_and(|name| name.origin().is_none() && !name.is_trusted())
    }

    /// Where a keyword's value is written.
    #[must_use]
    pub fn place_of(&self, keyword: &str) -> Option<Span> {
        let own = match keyword {
            "retries" => &self.retries,
            "delay" => &self.delay,
            "async_val" => &self.asynchronous,
            "poll" => &self.poll,
            _ => {
                let argument = || self.action.args.get(keyword).and_then(Value::origin);
                return self.context.place_of(keyword).or_else(argument);
            }
        };
        match own {
            Some(Value::Str(text)) => text.origin(),
            _ => self.context.place_of(keyword),
        }
    }

    /// The values of the keywords that are the task's alone.
    pub fn own_settings(&self) -> impl Iterator<Item = &Value> {
        let control = self.loop_control();
        let controls = [&control.loop_var, &control.index_var, &control.pause, &control.extended];
        let own = [&self.retries, &self.delay, &self.asynchronous, &self.poll];
        own.into_iter().chain(controls).flatten().chain(&self.notify)
    }

    /// `loop_control`, or what holds without one.
    #[must_use]
    pub fn loop_control(&self) -> &LoopControl {
        static NONE: LoopControl = LoopControl {
            loop_var: None,
            index_var: None,
            label: None,
            pause: None,
            extended: None,
            extended_allitems: None,
            break_when: Vec::new(),
        };
        self.loop_control.as_deref().unwrap_or(&NONE)
    }

    /// Whether it brings other tasks when it runs.
    #[must_use]
    pub fn is_include(&self) -> bool {
        matches!(self.action.module, "ansible.builtin.include_tasks" | INCLUDE_ROLE)
    }

    /// The name people see: its own, else the action's, with its role before it.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.name {
            Some(name) => self.title_with(name.as_str().to_owned()),
            None => self.title_without_name(),
        }
    }

    /// What stands for the name of a task that has none: its module, and the role that it includes.
    #[must_use]
    pub fn title_without_name(&self) -> String {
        if self.action.module != INCLUDE_ROLE {
            return self.title_with(self.action.written.clone());
        }
        let role = self.action.args.get("name").or_else(|| self.action.args.get("role"));
        format!("{} : {}", self.action.written, role.map(Value::to_text).unwrap_or_default())
    }

    /// A name of the task, evaluated, with its role before it. What includes a role says so without its own role.
    #[must_use]
    pub fn title_with(&self, own: String) -> String {
        match &self.context.role {
            Some(role) if self.action.module != INCLUDE_ROLE => format!("{} : {own}", role.name),
            _ => own,
        }
    }
}

/// The module that includes roles.
const INCLUDE_ROLE: &str = "ansible.builtin.include_role";
