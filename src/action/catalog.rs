//! The modules there are, on the host and here, and the check of their arguments.

use rplay_protocol::Object;
use rplay_worker::args::{self, ArgError};
use rplay_worker::modules::{self, MODULES};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::playbook::{ArgProblem, Catalog, ModuleInfo};

/// Everything built in.
#[derive(Debug, Clone, Copy)]
pub struct BuiltIn;

/// Modules whose arguments may be one line of text.
const FREE_FORM: &[&str] = &[
    "ansible.builtin.command",
    "ansible.builtin.shell",
    "ansible.builtin.raw",
    "ansible.builtin.script",
    "ansible.builtin.meta",
    "ansible.builtin.include_tasks",
    "ansible.builtin.import_tasks",
    "ansible.builtin.include_vars",
    "ansible.builtin.include_role",
    "ansible.builtin.import_role",
    "ansible.builtin.add_host",
    "ansible.builtin.group_by",
    "ansible.builtin.set_fact",
];

type Check = fn(&Object) -> Result<(), ArgError>;

/// Checks that arguments fit a struct.
fn fits<T: for<'de> Deserialize<'de>>(object: &Object) -> Result<(), ArgError> {
    args::parse::<T>(object).map(drop)
}

/// Declares the arguments of an action as a struct that is only ever checked against.
macro_rules! arguments {
    ($($name:ident { $($(#[$meta:meta])* $field:ident : $ty:ty),* $(,)? })*) => {$(
        #[derive(Deserialize)]
        #[allow(dead_code)]
        struct $name { $($(#[$meta])* $field: $ty,)* }
    )*};
}

arguments! {
    Debug { msg: Option<Json>, var: Option<Json>, verbosity: Option<i64> }
    Assert { that: Json, fail_msg: Option<Json>, msg: Option<Json>, success_msg: Option<Json>, quiet: Option<bool> }
    Fail { msg: Option<Json> }
    Meta { _raw_params: String }
    IncludeTasks { #[serde(alias = "file")] _raw_params: Json, apply: Option<Json> }
    ImportTasks { #[serde(alias = "file")] _raw_params: Json }
    IncludeRole {
        #[serde(alias = "role")] name: Json, apply: Option<Json>, tasks_from: Option<Json>, vars_from: Option<Json>,
        defaults_from: Option<Json>, handlers_from: Option<Json>, allow_duplicates: Option<bool>, public: Option<bool>,
        rolespec_validate: Option<bool>,
    }
    ImportRole {
        #[serde(alias = "role")] name: Json, tasks_from: Option<Json>, vars_from: Option<Json>,
        defaults_from: Option<Json>, handlers_from: Option<Json>, allow_duplicates: Option<bool>, public: Option<bool>,
        rolespec_validate: Option<bool>,
    }
    IncludeVars {
        #[serde(alias = "file")] _raw_params: Option<Json>, dir: Option<Json>, name: Option<Json>, depth: Option<i64>,
        files_matching: Option<Json>, ignore_files: Option<Vec<Json>>, extensions: Option<Vec<Json>>,
        ignore_unknown_extensions: Option<bool>, hash_behaviour: Option<Json>,
    }
    SetStats { data: Option<Json>, per_host: Option<bool>, aggregate: Option<bool> }
    AddHost { #[serde(alias = "hostname", alias = "host")] name: Option<Json>, #[serde(alias = "group", alias = "groupname")] groups: Option<Json> }
    GroupBy { key: Option<Json>, _raw_params: Option<Json>, parents: Option<Json> }
    ValidateSpec { argument_spec: Json, provided_arguments: Option<Json>, validate_args_context: Option<Json> }
    Fetch { src: Json, dest: Json, fail_on_missing: Option<bool>, flat: Option<bool>, validate_checksum: Option<bool> }
    Raw { _raw_params: Json, executable: Option<Json> }
    Pause { seconds: Option<Json>, minutes: Option<Json>, prompt: Option<Json>, echo: Option<bool> }
    Reboot {
        pre_reboot_delay: Option<f64>, post_reboot_delay: Option<f64>, reboot_timeout: Option<f64>,
        connect_timeout: Option<f64>, test_command: Option<Json>, msg: Option<Json>, search_paths: Option<Vec<Json>>,
        boot_time_command: Option<Json>, reboot_command: Option<Json>,
    }
    WaitForConnection { connect_timeout: Option<f64>, delay: Option<f64>, sleep: Option<f64>, timeout: Option<f64> }
    Template {
        src: Json, dest: Json, backup: Option<bool>, force: Option<bool>, validate: Option<Json>, follow: Option<bool>,
        newline_sequence: Option<Json>, block_start_string: Option<Json>, block_end_string: Option<Json>,
        variable_start_string: Option<Json>, variable_end_string: Option<Json>, comment_start_string: Option<Json>,
        comment_end_string: Option<Json>, trim_blocks: Option<bool>, lstrip_blocks: Option<bool>,
        output_encoding: Option<Json>, mode: Option<Json>, owner: Option<Json>, group: Option<Json>,
        #[serde(alias = "attr")] attributes: Option<Json>, seuser: Option<Json>, serole: Option<Json>,
        setype: Option<Json>, selevel: Option<Json>, unsafe_writes: Option<bool>,
    }
    Synchronize {
        src: Json, dest: Json, mode: Option<Json>, archive: Option<bool>, checksum: Option<bool>, compress: Option<bool>,
        copy_links: Option<bool>, delay_updates: Option<bool>, delete: Option<bool>, dest_port: Option<Json>,
        dirs: Option<bool>, existing_only: Option<bool>, group: Option<bool>, link_dest: Option<Vec<Json>>,
        links: Option<bool>, owner: Option<bool>, partial: Option<bool>, perms: Option<bool>, private_key: Option<Json>,
        recursive: Option<bool>, rsync_opts: Option<Vec<Json>>, rsync_path: Option<Json>, rsync_timeout: Option<i64>,
        set_remote_user: Option<bool>, ssh_connection_multiplexing: Option<bool>, times: Option<bool>,
        use_ssh_args: Option<bool>, verify_host: Option<bool>,
    }
    Script {
        _raw_params: Option<Json>, cmd: Option<Json>, creates: Option<Json>, removes: Option<Json>, chdir: Option<Json>,
        executable: Option<Json>, decrypt: Option<bool>,
    }
}

/// Actions that live here.
static HERE: &[(&str, Check)] = &[
    ("ansible.builtin.add_host", |object| match fits::<AddHost>(object) {
        // Every other argument is a variable of the host.
        Err(ArgError::Unknown { .. }) => Ok(()),
        other => other,
    }),
    ("ansible.builtin.assert", fits::<Assert>),
    ("ansible.builtin.debug", fits::<Debug>),
    ("ansible.builtin.fail", fits::<Fail>),
    ("ansible.builtin.fetch", fits::<Fetch>),
    ("ansible.builtin.gather_facts", |_| Ok(())),
    ("ansible.builtin.group_by", fits::<GroupBy>),
    ("ansible.builtin.import_role", fits::<ImportRole>),
    ("ansible.builtin.import_tasks", fits::<ImportTasks>),
    ("ansible.builtin.include_role", fits::<IncludeRole>),
    ("ansible.builtin.include_tasks", fits::<IncludeTasks>),
    ("ansible.builtin.include_vars", fits::<IncludeVars>),
    ("ansible.builtin.meta", fits::<Meta>),
    ("ansible.builtin.pause", fits::<Pause>),
    ("ansible.builtin.raw", fits::<Raw>),
    ("ansible.builtin.reboot", fits::<Reboot>),
    ("ansible.builtin.script", fits::<Script>),
    ("ansible.builtin.set_fact", |_| Ok(())),
    ("ansible.builtin.set_stats", fits::<SetStats>),
    ("ansible.builtin.template", fits::<Template>),
    ("ansible.builtin.validate_argument_spec", fits::<ValidateSpec>),
    ("ansible.builtin.wait_for_connection", fits::<WaitForConnection>),
    ("ansible.posix.synchronize", fits::<Synchronize>),
];

impl Catalog for BuiltIn {
    fn find(&self, name: &str) -> Option<ModuleInfo> {
        let here = HERE.iter().find(|(known, _)| *known == name).map(|(known, _)| *known);
        let there = || modules::find(name).map(|entry| entry.name).filter(|name| !name.contains("._"));
        let name = here.or_else(there)?;
        Some(ModuleInfo { name, free_form: FREE_FORM.contains(&name) })
    }

    fn names(&self) -> Vec<&'static str> {
        let here = HERE.iter().map(|(name, _)| *name);
        let there = MODULES.iter().map(|entry| entry.name).filter(|name| !name.contains("._"));
        here.chain(there).collect()
    }

    fn check(&self, name: &str, object: &Object) -> Result<(), ArgProblem> {
        let outcome = match HERE.iter().find(|(known, _)| *known == name) {
            Some((known, check)) => check(object).map_err(|error| error.of_module(known)),
            None => modules::find(name).map_or(Ok(()), |entry| (entry.check)(object)),
        };
        outcome.map_err(|error| ArgProblem {
            argument: match &error {
                ArgError::Unknown { names, .. } => names.first().cloned(),
                ArgError::Missing(_) => None,
                ArgError::Invalid(text) => quoted(text),
            },
            suggestion: error.suggestion().map(ToOwned::to_owned),
            message: error.to_string(),
        })
    }
}

/// The argument that a message names, as in `argument 'x' …` or `value of x must …`.
fn quoted(text: &str) -> Option<String> {
    let rest = text.strip_prefix("argument '").and_then(|t| t.split('\'').next());
    let choice = || text.strip_prefix("value of ")?.split(' ').next();
    rest.or_else(choice).map(ToOwned::to_owned)
}
