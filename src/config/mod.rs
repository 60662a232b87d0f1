//! Configuration: `ansible.cfg`, `ANSIBLE_*` and defaults, in one typed value; every setting knows where it comes from.

mod file;

use std::path::{Path, PathBuf};

use crate::diagnostic::Diagnostic;

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A file, with the line.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
}

/// A setting and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// What it is.
    pub value: T,
    /// Who says so.
    pub origin: Origin,
}

/// Everything that is configured.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// `inventory`: sources, when the command line names none.
    pub inventory: Setting<Vec<String>>,
    /// `roles_path`.
    pub roles_path: Setting<Vec<PathBuf>>,
    /// `forks`: how many hosts at once. Connections are cheap here, so the default is high.
    pub forks: Setting<usize>,
    /// `gathering`: `implicit`, `explicit` or `smart`.
    pub gathering: Setting<String>,
    /// `remote_user`.
    pub remote_user: Setting<Option<String>>,
    /// `remote_port`.
    pub remote_port: Setting<Option<u16>>,
    /// `private_key_file`.
    pub private_key_file: Setting<Option<PathBuf>>,
    /// `timeout`, in seconds.
    pub timeout: Setting<Option<u64>>,
    /// `host_key_checking`.
    pub host_key_checking: Setting<Option<bool>>,
    /// `force_handlers`.
    pub force_handlers: Setting<bool>,
    /// `[privilege_escalation] become`.
    pub become_: Setting<bool>,
    /// `[privilege_escalation] become_user`.
    pub become_user: Setting<Option<String>>,
    /// `[privilege_escalation] become_method`.
    pub become_method: Setting<Option<String>>,
    /// `[privilege_escalation] become_ask_pass`.
    pub become_ask_pass: Setting<bool>,
    /// `[ssh_connection] ssh_args`.
    pub ssh_args: Setting<Option<String>>,
    /// `[ssh_connection] ssh_common_args`.
    pub ssh_common_args: Setting<Option<String>>,
    /// `[ssh_connection] ssh_extra_args`.
    pub ssh_extra_args: Setting<Option<String>>,
    /// `[diff] always`.
    pub diff_always: Setting<bool>,
    /// `[inventory] enable_plugins`: the kinds of sources, in the order in which they are tried.
    pub inventory_enabled: Setting<Option<Vec<String>>>,
    /// `inventory_ignore_extensions`: endings of files that are not inventory.
    pub inventory_ignore_extensions: Setting<Option<Vec<String>>>,
    /// `inventory_ignore_patterns`: regular expressions for the same.
    pub inventory_ignore_patterns: Setting<Vec<String>>,
    /// `[inventory] unparsed_is_failed`.
    pub inventory_unparsed_failed: Setting<bool>,
    /// `[inventory] inventory_unparsed_warning`.
    pub inventory_unparsed_warning: Setting<bool>,
    /// `[inventory] any_unparsed_is_failed`.
    pub inventory_any_unparsed_failed: Setting<bool>,
    /// `[inventory_plugins] use_extra_vars`.
    pub inventory_use_extra_vars: Setting<bool>,
    /// `[inventory_plugin_script] always_show_stderr`.
    pub inventory_script_stderr: Setting<bool>,
    /// `[inventory] export`.
    pub inventory_export: Setting<bool>,
    /// `force_valid_group_names`: `never`, `ignore`, `always` or `silently`.
    pub group_names: Setting<String>,
    /// `[inventory] host_pattern_mismatch`: `warning`, `error` or `ignore`.
    pub host_pattern_mismatch: Setting<String>,
    /// `module_name`: what the command `ansible` runs when it is not told.
    pub module_name: Setting<String>,
    /// `module_args`: its arguments.
    pub module_args: Setting<String>,
    /// `playbook_dir`, for commands without a playbook.
    pub playbook_dir: Setting<Option<PathBuf>>,
    /// `bin_ansible_callbacks`: whether ad hoc commands heed `stdout_callback`.
    pub adhoc_callbacks: Setting<bool>,
    /// `stdout_callback`, as far as ad hoc commands heed it.
    pub adhoc_stdout_callback: Setting<String>,
    /// `task_timeout`, in seconds.
    pub task_timeout: Setting<u64>,
}

/// Reads settings by their names in file and environment.
struct Reader<'r> {
    file: Option<&'r file::Ini>,
    env: &'r dyn Fn(&str) -> Option<String>,
    errors: Vec<Diagnostic>,
}

impl Reader<'_> {
    /// What a setting says, as text; the environment comes before the file.
    fn text(&self, section: &str, key: &str, variables: &[&str]) -> Option<Setting<String>> {
        for name in variables {
            if let Some(value) = (self.env)(name) {
                return Some(Setting { value, origin: Origin::Environment((*name).to_owned()) });
            }
        }
        let file = self.file?;
        let (value, line) = file.get(section, key)?;
        Some(Setting { value: value.to_owned(), origin: Origin::File(file.path.clone(), line) })
    }

    fn read<T>(
        &mut self,
        (section, key, variables): (&str, &str, &[&str]),
        default: T,
        parse: impl Fn(&str, &Origin) -> Option<T>,
    ) -> Setting<T> {
        let Some(text) = self.text(section, key, variables) else {
            return Setting { value: default, origin: Origin::Default };
        };
        match parse(text.value.trim(), &text.origin) {
            Some(value) => Setting { value, origin: text.origin },
            None => {
                let place = match &text.origin {
                    Origin::File(path, line) => format!("{}:{line}", path.display()),
                    Origin::Environment(name) => name.clone(),
                    Origin::Default => String::new(),
                };
                let message = format!("{place}: `{}` is not a value for `{key}`", text.value);
                self.errors.push(Diagnostic::error("config::value", message));
                Setting { value: default, origin: text.origin }
            }
        }
    }
}

fn boolean(text: &str, _: &Origin) -> Option<bool> {
    crate::value::Value::from(text).to_bool()
}

fn word(text: &str, _: &Origin) -> Option<Option<String>> {
    Some((!text.is_empty()).then(|| text.to_owned()))
}

/// A path, relative to the file that names it.
fn path(text: &str, origin: &Origin) -> PathBuf {
    let text = crate::playbook::expand_home(text);
    match origin {
        Origin::File(file, _) => file.parent().unwrap_or(Path::new(".")).join(text),
        _ => text,
    }
}

impl Config {
    /// Reads the configuration as the reference finds it: `ANSIBLE_CONFIG`, `./ansible.cfg`, `~/.ansible.cfg`,
    /// `/etc/ansible/ansible.cfg`; the first that exists.
    pub fn load() -> Result<Self, Vec<Diagnostic>> {
        let env = |name: &str| std::env::var(name).ok();
        let file = match find(&env) {
            Some(path) => Some(file::Ini::read(&path)?),
            None => None,
        };
        Self::from_parts(file.as_ref(), &env)
    }

    fn from_parts(file: Option<&file::Ini>, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<Diagnostic>> {
        let mut read = Reader { file, env, errors: Vec::new() };
        let paths = |text: &str, origin: &Origin| {
            Some(text.split(':').filter(|p| !p.is_empty()).map(|p| path(p, origin)).collect())
        };
        let home = |p: &str| crate::playbook::expand_home(p);
        let default_roles = ["~/.ansible/roles", "/usr/share/ansible/roles", "/etc/ansible/roles"].map(home).to_vec();
        let list = |text: &str, _: &Origin| {
            Some(text.split(',').map(str::trim).filter(|p| !p.is_empty()).map(ToOwned::to_owned).collect::<Vec<_>>())
        };
        let config = Self {
            inventory: read.read(("defaults", "inventory", &["ANSIBLE_INVENTORY"]), Vec::new(), |text, origin| {
                let each = text.split(',').map(str::trim).filter(|p| !p.is_empty());
                Some(each.map(|p| path(p, origin).display().to_string()).collect())
            }),
            roles_path: read.read(("defaults", "roles_path", &["ANSIBLE_ROLES_PATH"]), default_roles, paths),
            forks: read.read(("defaults", "forks", &["ANSIBLE_FORKS"]), 256, |t, _| t.parse().ok().filter(|n| *n > 0)),
            gathering: read.read(("defaults", "gathering", &["ANSIBLE_GATHERING"]), "implicit".to_owned(), |t, _| {
                matches!(t, "implicit" | "explicit" | "smart").then(|| t.to_owned())
            }),
            remote_user: read.read(("defaults", "remote_user", &["ANSIBLE_REMOTE_USER"]), None, word),
            remote_port: read
                .read(("defaults", "remote_port", &["ANSIBLE_REMOTE_PORT"]), None, |t, _| t.parse().ok().map(Some)),
            private_key_file: read.read(
                ("defaults", "private_key_file", &["ANSIBLE_PRIVATE_KEY_FILE"]),
                None,
                |t, o| Some((!t.is_empty()).then(|| path(t, o))),
            ),
            timeout: read.read(("defaults", "timeout", &["ANSIBLE_TIMEOUT", "ANSIBLE_SSH_TIMEOUT"]), None, |t, _| {
                t.parse().ok().map(Some)
            }),
            host_key_checking: read.read(
                ("defaults", "host_key_checking", &["ANSIBLE_HOST_KEY_CHECKING", "ANSIBLE_SSH_HOST_KEY_CHECKING"]),
                None,
                |t, o| boolean(t, o).map(Some),
            ),
            force_handlers: read.read(("defaults", "force_handlers", &["ANSIBLE_FORCE_HANDLERS"]), false, boolean),
            become_: read.read(("privilege_escalation", "become", &["ANSIBLE_BECOME"]), false, boolean),
            become_user: read.read(("privilege_escalation", "become_user", &["ANSIBLE_BECOME_USER"]), None, word),
            become_method: read.read(("privilege_escalation", "become_method", &["ANSIBLE_BECOME_METHOD"]), None, word),
            become_ask_pass: read.read(
                ("privilege_escalation", "become_ask_pass", &["ANSIBLE_BECOME_ASK_PASS"]),
                false,
                boolean,
            ),
            ssh_args: read.read(("ssh_connection", "ssh_args", &["ANSIBLE_SSH_ARGS"]), None, word),
            ssh_common_args: read.read(("ssh_connection", "ssh_common_args", &["ANSIBLE_SSH_COMMON_ARGS"]), None, word),
            ssh_extra_args: read.read(("ssh_connection", "ssh_extra_args", &["ANSIBLE_SSH_EXTRA_ARGS"]), None, word),
            diff_always: read.read(("diff", "always", &["ANSIBLE_DIFF_ALWAYS"]), false, boolean),
            inventory_enabled: read.read(
                ("inventory", "enable_plugins", &["ANSIBLE_INVENTORY_ENABLED"]),
                None,
                |t, o| list(t, o).map(Some),
            ),
            inventory_ignore_extensions: match read.text("inventory", "ignore_extensions", &[]) {
                Some(_) => {
                    read.read(("inventory", "ignore_extensions", &["ANSIBLE_INVENTORY_IGNORE"]), None, |t, o| {
                        list(t, o).map(Some)
                    })
                }
                None => read.read(
                    ("defaults", "inventory_ignore_extensions", &["ANSIBLE_INVENTORY_IGNORE"]),
                    None,
                    |t, o| list(t, o).map(Some),
                ),
            },
            inventory_ignore_patterns: match read.text("inventory", "ignore_patterns", &[]) {
                Some(_) => {
                    read.read(("inventory", "ignore_patterns", &["ANSIBLE_INVENTORY_IGNORE_REGEX"]), Vec::new(), list)
                }
                None => read.read(
                    ("defaults", "inventory_ignore_patterns", &["ANSIBLE_INVENTORY_IGNORE_REGEX"]),
                    Vec::new(),
                    list,
                ),
            },
            inventory_unparsed_failed: read.read(
                ("inventory", "unparsed_is_failed", &["ANSIBLE_INVENTORY_UNPARSED_FAILED"]),
                false,
                boolean,
            ),
            inventory_unparsed_warning: read.read(
                ("inventory", "inventory_unparsed_warning", &["ANSIBLE_INVENTORY_UNPARSED_WARNING"]),
                true,
                boolean,
            ),
            inventory_any_unparsed_failed: read.read(
                ("inventory", "any_unparsed_is_failed", &["ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED"]),
                false,
                boolean,
            ),
            inventory_use_extra_vars: read.read(
                ("inventory_plugins", "use_extra_vars", &["ANSIBLE_INVENTORY_USE_EXTRA_VARS"]),
                false,
                boolean,
            ),
            inventory_script_stderr: read.read(
                ("inventory_plugin_script", "always_show_stderr", &["ANSIBLE_INVENTORY_PLUGIN_SCRIPT_STDERR"]),
                true,
                boolean,
            ),
            inventory_export: read.read(("inventory", "export", &["ANSIBLE_INVENTORY_EXPORT"]), false, boolean),
            group_names: read.read(
                ("defaults", "force_valid_group_names", &["ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS"]),
                "never".to_owned(),
                |t, _| matches!(t, "never" | "ignore" | "always" | "silently").then(|| t.to_owned()),
            ),
            host_pattern_mismatch: read.read(
                ("inventory", "host_pattern_mismatch", &["ANSIBLE_HOST_PATTERN_MISMATCH"]),
                "warning".to_owned(),
                |t, _| matches!(t, "warning" | "error" | "ignore").then(|| t.to_owned()),
            ),
            module_name: read.read(("defaults", "module_name", &[]), "command".to_owned(), |t, _| Some(t.to_owned())),
            module_args: read
                .read(("defaults", "module_args", &["ANSIBLE_MODULE_ARGS"]), String::new(), |t, _| Some(t.to_owned())),
            playbook_dir: read.read(("defaults", "playbook_dir", &["ANSIBLE_PLAYBOOK_DIR"]), None, |t, o| {
                Some((!t.is_empty()).then(|| path(t, o)))
            }),
            adhoc_callbacks: read.read(
                ("defaults", "bin_ansible_callbacks", &["ANSIBLE_LOAD_CALLBACK_PLUGINS"]),
                false,
                boolean,
            ),
            adhoc_stdout_callback: read.read(
                ("defaults", "stdout_callback", &["ANSIBLE_STDOUT_CALLBACK"]),
                "default".to_owned(),
                |t, _| Some(t.to_owned()),
            ),
            task_timeout: read.read(("defaults", "task_timeout", &["ANSIBLE_TASK_TIMEOUT"]), 0, |t, _| t.parse().ok()),
            file: file.map(|f| f.path.clone()),
        };
        if read.errors.is_empty() { Ok(config) } else { Err(read.errors) }
    }
}

fn find(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    if let Some(given) = env("ANSIBLE_CONFIG") {
        let given = crate::playbook::expand_home(&given);
        return Some(if given.is_dir() { given.join("ansible.cfg") } else { given });
    }
    let here = Path::new("ansible.cfg");
    if here.is_file() && !world_writable(Path::new(".")) {
        return Some(here.to_path_buf());
    }
    let others = [crate::playbook::expand_home("~/.ansible.cfg"), PathBuf::from("/etc/ansible/ansible.cfg")];
    others.into_iter().find(|path| path.is_file())
}

/// Whether anybody could have put a file into this directory: then its configuration is not trusted, as in the reference.
fn world_writable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o002 != 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn environment_comes_before_the_file_and_both_before_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ansible.cfg");
        std::fs::write(&path, "# c\n[defaults]\nforks = 7 ; few\ninventory=hosts\nroles_path = roles:/r\n[ssh_connection]\nssh_args = -o A=b\n").unwrap();
        let ini = file::Ini::read(&path).unwrap();
        let env = |name: &str| (name == "ANSIBLE_REMOTE_USER").then(|| "deploy".to_owned());
        let config = Config::from_parts(Some(&ini), &env).unwrap();
        assert_eq!(config.forks, Setting { value: 7, origin: Origin::File(path.clone(), 3) });
        assert_eq!(config.remote_user.value.as_deref(), Some("deploy"));
        assert_eq!(config.inventory.value, [dir.path().join("hosts").display().to_string()]);
        assert_eq!(config.roles_path.value, [dir.path().join("roles"), PathBuf::from("/r")]);
        assert_eq!(config.gathering.origin, Origin::Default);
        let env = |name: &str| (name == "ANSIBLE_FORKS").then(|| "many".to_owned());
        assert!(Config::from_parts(None, &env).unwrap_err()[0].message.contains("ANSIBLE_FORKS"));
    }
}
