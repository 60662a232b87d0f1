//! Which keywords exist, and where.

/// Keywords that a play, role, block and task share: each inherits them from the one it stands in.
pub const SHARED: &[&str] = &[
    "name",
    "any_errors_fatal",
    "become",
    "become_exe",
    "become_flags",
    "become_method",
    "become_user",
    "check_mode",
    "collections",
    "connection",
    "debugger",
    "diff",
    "environment",
    "ignore_errors",
    "ignore_unreachable",
    "module_defaults",
    "no_log",
    "port",
    "remote_user",
    "run_once",
    "tags",
    "throttle",
    "timeout",
    "vars",
];

/// Keywords of a play alone.
pub const PLAY: &[&str] = &[
    "fact_path",
    "force_handlers",
    "gather_facts",
    "gather_subset",
    "gather_timeout",
    "handlers",
    "hosts",
    "max_fail_percentage",
    "order",
    "post_tasks",
    "pre_tasks",
    "roles",
    "serial",
    "strategy",
    "tasks",
    "user",
    "vars_files",
    "vars_prompt",
];

/// Keywords that blocks, roles and tasks have beside the shared ones.
pub const CONDITIONAL: &[&str] = &["delegate_facts", "delegate_to", "when"];

/// Keywords of a block alone.
pub const BLOCK: &[&str] = &["always", "block", "notify", "rescue"];

/// Keywords of a task alone.
pub const TASK: &[&str] = &[
    "action",
    "args",
    "async",
    "changed_when",
    "delay",
    "failed_when",
    "local_action",
    "loop",
    "loop_control",
    "notify",
    "poll",
    "register",
    "retries",
    "until",
];

/// Keywords of a handler alone.
pub const HANDLER: &[&str] = &["listen"];

/// Keywords of `loop_control`.
pub const LOOP_CONTROL: &[&str] =
    &["break_when", "extended", "extended_allitems", "index_var", "label", "loop_var", "pause"];

/// Keywords of an entry of `vars_prompt`.
pub const VARS_PROMPT: &[&str] =
    &["confirm", "default", "encrypt", "name", "private", "prompt", "salt", "salt_size", "unsafe"];

/// Keywords that an include of tasks or of a role takes.
pub const INCLUDE: &[&str] = &[
    "action",
    "local_action",
    "args",
    "collections",
    "debugger",
    "ignore_errors",
    "loop",
    "loop_control",
    "name",
    "no_log",
    "register",
    "run_once",
    "tags",
    "timeout",
    "vars",
    "when",
];

/// What templates have of their own.
const GLOBALS: &[&str] =
    &["cycler", "dict", "joiner", "lipsum", "lookup", "namespace", "now", "omit", "q", "query", "range", "undef"];

/// Keywords that make no bad variables: the reference says nothing of them.
const HARMLESS: &[&str] = &["gather_subset", "listen", "user", "vars"];

/// Whether a variable of this name stands in the way of a keyword, or of what templates have of their own.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    let keyword = [SHARED, CONDITIONAL, TASK, PLAY, BLOCK].iter().any(|set| set.contains(&name));
    (keyword && !HARMLESS.contains(&name))
        || matches!(name, "async_val" | "loop_with" | "with_")
        || GLOBALS.contains(&name)
}
