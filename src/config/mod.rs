//! Configuration: `ansible.cfg`, `ANSIBLE_*` and defaults, in one typed value; every setting knows where it comes from.

mod file;
mod lookup;
mod plugins;
mod settings;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::value::Value;

use settings::Sources;
pub use settings::{Definition, Kind, Settings, State, definitions};

pub use lookup::lookup;
pub use plugins::{PluginSetting, plugin_is_known, plugin_name, plugin_setting};

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
    /// `collections_path`.
    pub collections_path: Setting<Vec<PathBuf>>,
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
    /// `become_password_file`.
    pub become_password_file: Setting<Option<PathBuf>>,
    /// `connection_password_file`.
    pub connection_password_file: Setting<Option<PathBuf>>,
    /// `ask_pass`.
    pub ask_pass: Setting<bool>,
    /// `transport`: how to connect.
    pub connection: Setting<Option<String>>,
    /// `verbosity`.
    pub verbosity: Setting<u8>,
    /// `[tags] run`.
    pub tags: Setting<Vec<String>>,
    /// `[tags] skip`.
    pub skip_tags: Setting<Vec<String>>,
    /// `hash_behaviour`: whether dictionaries of several sources are put together.
    pub merge_hashes: Setting<bool>,
    /// `inject_facts_as_vars`.
    pub inject_facts: Setting<bool>,
    /// Ansible Vault's.
    pub vault: VaultConfig,
    /// Every setting there is, by the reference's name.
    pub settings: Arc<Settings>,
    /// What is set and has no effect, and other things worth a look.
    pub warnings: Vec<Diagnostic>,
}

/// The settings of Ansible Vault.
#[derive(Debug, Clone)]
pub struct VaultConfig {
    /// `vault_password_file`.
    pub password_file: Setting<Option<PathBuf>>,
    /// `vault_identity_list`: `label@source`, before those of the command line.
    pub identity_list: Setting<Vec<String>>,
    /// `vault_identity`: the id of passwords that have none.
    pub identity: Setting<String>,
    /// `vault_encrypt_identity`: whose password encrypts.
    pub encrypt_identity: Setting<Option<String>>,
    /// `vault_id_match`: whether only passwords of the id that a text names are tried.
    pub id_match: Setting<bool>,
    /// `vault_encrypt_salt`.
    pub encrypt_salt: Setting<Option<String>>,
    /// `ask_vault_pass`.
    pub ask: Setting<bool>,
}

/// Takes settings out of the table, typed.
struct Reader<'r> {
    settings: &'r Settings,
    sources: &'r Sources<'r>,
}

impl Reader<'_> {
    fn origin(&self, name: &str) -> Origin {
        self.settings.get(name).map_or(Origin::Default, |s| s.origin.clone())
    }

    /// A setting that has a value, whoever says so.
    fn value<T>(&self, name: &str, of: impl Fn(&Value) -> Option<T>, default: T) -> Setting<T> {
        let value = self.settings.get(name).and_then(|s| of(&s.value)).unwrap_or(default);
        Setting { value, origin: self.origin(name) }
    }

    /// A setting that is only there when somebody says so.
    fn given<T>(&self, name: &str, of: impl Fn(&Value) -> Option<T>) -> Setting<Option<T>> {
        Setting { value: self.settings.given(name).and_then(of), origin: self.origin(name) }
    }

    /// A setting of a connection, which has no place in the table.
    fn word(&self, section: &str, key: &str, env: &str) -> Setting<Option<String>> {
        match self.sources.text(&[(section, key)], &[env]) {
            Some(text) => Setting { value: word(&Value::from(text.value.trim())), origin: text.origin },
            None => Setting { value: None, origin: Origin::Default },
        }
    }
}

/// A truth value that has no place in the table.
fn truth(read: &Reader<'_>, section: &str, key: &str, env: &str, default: bool) -> Setting<bool> {
    let Setting { value, origin } = read.word(section, key, env);
    Setting { value: value.and_then(|text| Value::from(text).to_bool()).unwrap_or(default), origin }
}

fn word(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(ToOwned::to_owned)
}

fn words(value: &Value) -> Option<Vec<String>> {
    Some(value.as_list()?.iter().map(Value::to_text).collect())
}

fn number<N: TryFrom<i64>>(value: &Value) -> Option<N> {
    N::try_from(value.as_int()?).ok()
}

fn a_path(value: &Value) -> Option<PathBuf> {
    value.as_str().map(PathBuf::from)
}

/// A path made whole: `~`, `$VARIABLES` and `{{CWD}}` expanded, relative to the file that names it.
fn absolute(text: &str, origin: &Origin) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let text = text.replace("{{CWD}}", &here.display().to_string());
    let path = crate::playbook::expand_home(&expand_variables(&text));
    let base = match origin {
        Origin::File(file, _) => absolute_path(file).parent().map(Path::to_path_buf).unwrap_or_default(),
        _ => here,
    };
    absolute_path(&base.join(path))
}

impl Config {
    /// `library`: directories with modules.
    #[must_use]
    pub fn module_path(&self) -> Vec<PathBuf> {
        self.settings.get("DEFAULT_MODULE_PATH").map(|setting| settings::paths(&setting.value)).unwrap_or_default()
    }
}

/// `private_role_vars`, where somebody says: then it is for included roles as well, which else keep theirs for themselves.
pub(crate) fn private_role_vars(settings: &Settings) -> Option<bool> {
    settings.given("DEFAULT_PRIVATE_ROLE_VARS").and_then(Value::as_bool)
}

/// A path from the root, without `.` and `..`; links stay.
pub(crate) fn absolute_path(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).components() {
        match part {
            std::path::Component::ParentDir => drop(out.pop()),
            other => out.push(other),
        }
    }
    out
}

/// Text with `$NAME` and `${NAME}` of the environment put in; what is not set stays.
fn expand_variables(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, next) = match after.strip_prefix('{').and_then(|inside| inside.split_once('}')) {
            Some(parts) => parts,
            None => {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                after.split_at(end)
            }
        };
        match std::env::var(name) {
            Ok(value) if !name.is_empty() => out.push_str(&value),
            _ => {
                out.push('$');
                out.push_str(after.get(..after.len() - next.len()).unwrap_or_default());
            }
        }
        rest = next;
    }
    out.push_str(rest);
    out
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, _) => write!(f, "{}", absolute_path(path).display()),
            Self::Environment(name) => write!(f, "env: {name}"),
        }
    }
}

impl Config {
    /// Reads the configuration as the reference finds it: `ANSIBLE_CONFIG`, `./ansible.cfg`, `~/.ansible.cfg`,
    /// `/etc/ansible/ansible.cfg`; the first that exists.
    pub fn load() -> Result<Self, Vec<Diagnostic>> {
        Self::load_from(None)
    }

    /// Reads the configuration of a file, or of the one that is found.
    pub fn load_from(file: Option<&Path>) -> Result<Self, Vec<Diagnostic>> {
        let env = |name: &str| std::env::var(name).ok();
        let mut warnings = Vec::new();
        let found = file.map(Path::to_path_buf).or_else(|| find(&env, &mut warnings));
        let file = match found {
            Some(path) => Some(file::Ini::read(&path)?),
            None => None,
        };
        let mut config = Self::from_parts(file.as_ref(), &env)?;
        config.warnings.splice(0..0, warnings);
        Ok(config)
    }

    /// Puts the settings into effect that hold for the whole program.
    pub fn apply(&self) {
        let rule = self.settings.get("DUPLICATE_YAML_DICT_KEY").and_then(|setting| setting.value.as_str());
        crate::source::set_duplicates(match rule {
            Some("ignore") => crate::source::Duplicates::Ignore,
            Some("error") => crate::source::Duplicates::Error,
            _ => crate::source::Duplicates::Warn,
        });
    }

    fn from_parts(file: Option<&file::Ini>, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<Diagnostic>> {
        let sources = Sources { file, env };
        let settings = Settings::read(&sources)?;
        let read = Reader { settings: &settings, sources: &sources };
        let flag = |name: &str| read.value(name, Value::as_bool, false);
        let checking = match read.sources.text(&[], &["ANSIBLE_SSH_HOST_KEY_CHECKING"]) {
            Some(text) => Setting { value: Value::from(text.value).to_bool(), origin: text.origin },
            None => read.given("HOST_KEY_CHECKING", Value::as_bool),
        };
        let timeout = match read.word("ssh_connection", "timeout", "ANSIBLE_SSH_TIMEOUT") {
            Setting { value: Some(text), origin } if text.parse::<u64>().is_ok() => {
                Setting { value: text.parse().ok(), origin }
            }
            _ => read.given("DEFAULT_TIMEOUT", number),
        };
        Ok(Self {
            inventory: Setting {
                value: read.given("DEFAULT_HOST_LIST", words).value.unwrap_or_default(),
                origin: read.origin("DEFAULT_HOST_LIST"),
            },
            roles_path: read.value("DEFAULT_ROLES_PATH", |v| Some(settings::paths(v)), Vec::new()),
            forks: read.value("DEFAULT_FORKS", number, 256),
            gathering: read.value("DEFAULT_GATHERING", word, "implicit".to_owned()),
            remote_user: read.given("DEFAULT_REMOTE_USER", word),
            remote_port: read.given("DEFAULT_REMOTE_PORT", number),
            private_key_file: read.given("DEFAULT_PRIVATE_KEY_FILE", a_path),
            timeout,
            host_key_checking: checking,
            force_handlers: flag("DEFAULT_FORCE_HANDLERS"),
            become_: flag("DEFAULT_BECOME"),
            become_user: read.given("DEFAULT_BECOME_USER", word),
            become_method: read.given("DEFAULT_BECOME_METHOD", word),
            become_ask_pass: flag("DEFAULT_BECOME_ASK_PASS"),
            ssh_args: read.word("ssh_connection", "ssh_args", "ANSIBLE_SSH_ARGS"),
            ssh_common_args: read.word("ssh_connection", "ssh_common_args", "ANSIBLE_SSH_COMMON_ARGS"),
            ssh_extra_args: read.word("ssh_connection", "ssh_extra_args", "ANSIBLE_SSH_EXTRA_ARGS"),
            diff_always: flag("DIFF_ALWAYS"),
            collections_path: read.value("COLLECTIONS_PATHS", |v| Some(settings::paths(v)), Vec::new()),
            inventory_enabled: read.given("INVENTORY_ENABLED", words),
            inventory_ignore_extensions: read.given("INVENTORY_IGNORE_EXTS", words),
            inventory_ignore_patterns: read.value("INVENTORY_IGNORE_PATTERNS", words, Vec::new()),
            inventory_unparsed_failed: flag("INVENTORY_UNPARSED_IS_FAILED"),
            inventory_unparsed_warning: read.value("INVENTORY_UNPARSED_WARNING", Value::as_bool, true),
            inventory_any_unparsed_failed: flag("INVENTORY_ANY_UNPARSED_IS_FAILED"),
            inventory_use_extra_vars: truth(
                &read,
                "inventory_plugins",
                "use_extra_vars",
                "ANSIBLE_INVENTORY_USE_EXTRA_VARS",
                false,
            ),
            inventory_script_stderr: truth(
                &read,
                "inventory_plugin_script",
                "always_show_stderr",
                "ANSIBLE_INVENTORY_PLUGIN_SCRIPT_STDERR",
                true,
            ),
            inventory_export: flag("INVENTORY_EXPORT"),
            group_names: read.value("TRANSFORM_INVALID_GROUP_CHARS", word, "never".to_owned()),
            host_pattern_mismatch: read.value("HOST_PATTERN_MISMATCH", word, "warning".to_owned()),
            module_name: read.value("DEFAULT_MODULE_NAME", word, "command".to_owned()),
            module_args: read.value("DEFAULT_MODULE_ARGS", word, String::new()),
            adhoc_callbacks: read.value("DEFAULT_LOAD_CALLBACK_PLUGINS", Value::as_bool, false),
            adhoc_stdout_callback: read.value("DEFAULT_STDOUT_CALLBACK", word, "default".to_owned()),
            playbook_dir: read.given("PLAYBOOK_DIR", a_path),
            task_timeout: read.value("TASK_TIMEOUT", number, 0),
            become_password_file: read.given("BECOME_PASSWORD_FILE", a_path),
            connection_password_file: read.given("CONNECTION_PASSWORD_FILE", a_path),
            ask_pass: flag("DEFAULT_ASK_PASS"),
            connection: read.given("DEFAULT_TRANSPORT", word),
            verbosity: read.value("DEFAULT_VERBOSITY", number, 0),
            tags: read.value("TAGS_RUN", words, Vec::new()),
            skip_tags: read.value("TAGS_SKIP", words, Vec::new()),
            merge_hashes: read.value("DEFAULT_HASH_BEHAVIOUR", |v| Some(v.as_str() == Some("merge")), false),
            inject_facts: read.value("INJECT_FACTS_AS_VARS", Value::as_bool, true),
            vault: VaultConfig {
                password_file: read.given("DEFAULT_VAULT_PASSWORD_FILE", a_path),
                identity_list: read.value("DEFAULT_VAULT_IDENTITY_LIST", words, Vec::new()),
                identity: read.value("DEFAULT_VAULT_IDENTITY", word, "default".to_owned()),
                encrypt_identity: read.given("DEFAULT_VAULT_ENCRYPT_IDENTITY", word),
                id_match: read.value("DEFAULT_VAULT_ID_MATCH", Value::to_bool, false),
                encrypt_salt: read.given("VAULT_ENCRYPT_SALT", word),
                ask: flag("DEFAULT_ASK_VAULT_PASS"),
            },
            file: file.map(|f| f.path.clone()),
            warnings: settings.warnings(),
            settings: Arc::new(settings),
        })
    }
}

fn find(env: &dyn Fn(&str) -> Option<String>, warnings: &mut Vec<Diagnostic>) -> Option<PathBuf> {
    let given = env("ANSIBLE_CONFIG").map(|given| {
        let given = absolute(&given, &Origin::Default);
        if given.is_dir() { given.join("ansible.cfg") } else { given }
    });
    let here = Path::new("ansible.cfg");
    let mut here = here.is_file().then(|| absolute_path(here));
    if here.is_some() && given.is_none() && world_writable(Path::new(".")) {
        let directory = absolute_path(Path::new("."));
        let message = format!(
            "Ansible is being run in a world writable directory ({}), ignoring it as an ansible.cfg source.",
            directory.display()
        );
        warnings.push(Diagnostic::warning("config::world-writable", message));
        here = None;
    }
    let home = Some(crate::playbook::expand_home("~/.ansible.cfg"));
    let all = [given, here, home, Some(PathBuf::from("/etc/ansible/ansible.cfg"))];
    all.into_iter().flatten().find(|path| std::fs::File::open(path).is_ok() && path.is_file())
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
        assert_eq!(expand_variables("a$$NOT_SET_AT_ALL/${NOPE_NOT}x$"), "a$$NOT_SET_AT_ALL/${NOPE_NOT}x$");
    }
}
