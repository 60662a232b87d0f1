//! Where a task runs and as whom: connection and become, from variables, keywords and defaults.

use std::path::PathBuf;
use std::time::Duration;

use rplay_protocol::BecomeSpec;

use super::RunOptions;
use super::hands::about;
use crate::config::{Origin, plugin_name};
use crate::connection::{Secret, ssh::SshOptions};
use crate::playbook::{Context, Setting, find_file};
use crate::remote::Become;
use crate::template::{Templar, TemplateError};
use crate::value::Value;

/// Login defaults of the command line and configuration; variables and keywords come before them.
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// `--connection`.
    pub connection: Option<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `--private-key`.
    pub private_key: Option<PathBuf>,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// The answer to `--ask-pass`.
    pub password: Option<Secret>,
    /// `ssh_args` of the configuration.
    pub ssh_args: Vec<String>,
    /// `--ssh-common-args`.
    pub ssh_common_args: Vec<String>,
    /// `--ssh-extra-args`.
    pub ssh_extra_args: Vec<String>,
    /// `host_key_checking`.
    pub host_key_checking: Option<bool>,
    /// `remote_port`.
    pub port: Option<u16>,
    /// `--become`.
    pub become_: bool,
    /// `--become-method`.
    pub become_method: Option<String>,
    /// `--become-user`.
    pub become_user: Option<String>,
}

/// Where tasks run.
#[derive(Debug, Clone)]
pub enum Target {
    /// On this machine.
    Local,
    /// On a host, over SSH.
    Ssh(Box<SshOptions>),
}

impl Target {
    /// What tells one target from another; passwords are not part of it.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Local => "local".to_owned(),
            Self::Ssh(options) => format!("{options:?}"),
        }
    }
}

/// Reads variables and keywords as text.
struct Reader<'t> {
    templar: &'t Templar,
}

impl Reader<'_> {
    /// The first of these variables that is there and says something.
    fn variable(&self, names: &[&str]) -> Result<Option<Value>, TemplateError> {
        for name in names {
            match self.templar.variable(name)? {
                None | Some(Value::Null | Value::Omit) => {}
                Some(value) => return Ok(Some(value)),
            }
        }
        Ok(None)
    }

    fn keyword(&self, setting: &Setting) -> Result<Option<Value>, TemplateError> {
        match setting {
            Some(value) => Ok(Some(self.templar.value(value)?).filter(|v| !matches!(v, Value::Null | Value::Omit))),
            None => Ok(None),
        }
    }

    fn text(&self, names: &[&str]) -> Result<Option<String>, TemplateError> {
        Ok(self.variable(names)?.map(|v| v.to_text()).filter(|text| !text.is_empty()))
    }

    fn words(&self, names: &[&str]) -> Result<Option<Vec<String>>, TemplateError> {
        let Some(text) = self.text(names)? else { return Ok(None) };
        let split = shell_words::split(&text);
        split
            .map(Some)
            .map_err(|e| TemplateError::message(format!("cannot split `{}` into words: {e}", names[0]), None))
    }
}

/// Connections that the reference has by their short names, and that are not built in.
const ELSEWHERE: &[&str] = &[
    "aws_ssm",
    "buildah",
    "chroot",
    "docker",
    "docker_api",
    "funcd",
    "httpapi",
    "iocage",
    "jail",
    "kubectl",
    "libvirt_lxc",
    "lxc",
    "lxd",
    "napalm",
    "netconf",
    "network_cli",
    "oc",
    "persistent",
    "podman",
    "psrp",
    "qubes",
    "saltstack",
    "vmware_tools",
    "winrm",
    "zone",
];

/// Ways to become a user that the reference knows by their short names.
const METHODS: &[&str] = &[
    "doas",
    "dzdo",
    "enable",
    "ksu",
    "machinectl",
    "pbrun",
    "pfexec",
    "pmrun",
    "run0",
    "runas",
    "sesu",
    "su",
    "sudo",
    "sudosu",
];

/// Where a host's tasks run, for the variables that `templar` sees.
pub fn target_of(templar: &Templar, context: &Context, host: &str, login: &Login) -> Result<Target, TemplateError> {
    let read = Reader { templar };
    let named = match templar.variable("ansible_connection")?.filter(|name| !matches!(name, Value::Omit)) {
        Some(name) => Some(name),
        None => context.connection.as_ref().map(|name| templar.value(name)).transpose()?,
    };
    let named = named.filter(|name| !matches!(name, Value::Omit));
    let connection = named.map(|name| if name.is_null() { String::new() } else { name.to_text() });
    let connection = connection.or_else(|| login.connection.clone());
    match connection.as_deref().map(plugin_name) {
        None | Some("ssh" | "smart" | "paramiko" | "paramiko_ssh" | "openssh") => {}
        Some("local") => return Ok(Target::Local),
        Some("") => return Err(TemplateError::refusal("A non-empty plugin name is required.")),
        Some(other) if ELSEWHERE.contains(&other) || other.contains('.') => {
            let message = format!("the connection '{other}' is not supported: use ssh or local");
            return Err(TemplateError::refusal(message));
        }
        Some(other) => {
            return Err(TemplateError::refusal(format!("the connection plugin '{other}' was not found")));
        }
    }
    let port = match read.variable(&["ansible_port", "ansible_ssh_port"])? {
        Some(port) => Some(port),
        None => read.keyword(&context.port)?,
    };
    let port = match port {
        Some(value) => {
            let text = value.to_text();
            let wrong = || TemplateError::message(format!("'{text}' is not a port for {host}"), None);
            Some(text.trim().parse::<u16>().map_err(|_| wrong())?)
        }
        None => login.port,
    };
    let user = match read.text(&["ansible_user", "ansible_ssh_user"])? {
        Some(user) => Some(user),
        None => read.keyword(&context.remote_user)?.map(|v| v.to_text()).or_else(|| login.user.clone()),
    };
    let password = read.text(&["ansible_password", "ansible_ssh_pass", "ansible_ssh_password"])?;
    let key = read.text(&["ansible_private_key_file", "ansible_ssh_private_key_file"])?.map(PathBuf::from);
    let mut args = read.words(&["ansible_ssh_args"])?.unwrap_or_else(|| login.ssh_args.clone());
    args.extend(read.words(&["ansible_ssh_common_args"])?.unwrap_or_else(|| login.ssh_common_args.clone()));
    args.extend(read.words(&["ansible_ssh_extra_args"])?.unwrap_or_else(|| login.ssh_extra_args.clone()));
    let timeout = read.text(&["ansible_ssh_timeout", "ansible_timeout"])?.and_then(|t| t.trim().parse::<f64>().ok());
    let checking =
        read.variable(&["ansible_ssh_host_key_checking", "ansible_host_key_checking"])?.and_then(|v| v.to_bool());
    Ok(Target::Ssh(Box::new(SshOptions {
        host: read.text(&["ansible_host", "ansible_ssh_host"])?.unwrap_or_else(|| host.to_owned()),
        port,
        user,
        password: password.map(Secret::new).or_else(|| login.password.clone()),
        private_key_file: key.map(|k| expand(&k)).or_else(|| login.private_key.clone()),
        private_key_passphrase: read.text(&["ansible_ssh_private_key_passphrase"])?.map(Secret::new),
        args,
        connect_timeout: timeout.map(Duration::from_secs_f64).or(login.timeout),
        host_key_checking: checking.or(login.host_key_checking),
        ..SshOptions::default()
    })))
}

fn expand(path: &std::path::Path) -> PathBuf {
    find_file(&path.to_string_lossy(), "", &[]).unwrap_or_else(|| path.to_path_buf())
}

/// Whom a task becomes; `None` when nobody.
pub fn become_of(templar: &Templar, context: &Context, options: &RunOptions) -> Result<Option<Become>, TemplateError> {
    let read = Reader { templar };
    let wanted = match read.variable(&["ansible_become"])? {
        Some(value) => value.to_bool(),
        None => read.keyword(&context.become_).map_err(|e| about("become", e))?.and_then(|v| v.to_bool()),
    };
    if !wanted.unwrap_or(options.login.become_) {
        return Ok(None);
    }
    let pick = |names: &[&str], keyword: &Setting, default: Option<&String>| -> Result<Option<String>, TemplateError> {
        Ok(match read.text(names)? {
            Some(text) => Some(text),
            None => read.keyword(keyword)?.map(|v| v.to_text()).filter(|t| !t.is_empty()).or_else(|| default.cloned()),
        })
    };
    let method = pick(&["ansible_become_method"], &context.become_method, options.login.become_method.as_ref())?;
    let settings = templar.variables().settings();
    let method = method.unwrap_or_else(|| "sudo".to_owned());
    if !METHODS.contains(&plugin_name(&method)) && !method.contains('.') {
        return Err(TemplateError::refusal(format!(
            "Invalid become method specified, could not find matching plugin: '{method}'. Use `ansible-doc -t become -l` \
             to list available plugins."
        )));
    }
    let method = method.rsplit('.').next().unwrap_or_default().to_owned();
    let is_sudo = method == "sudo";
    // As in the reference, the method's own variable comes before the general one.
    let own = |what: &str| format!("ansible_{method}_{what}");
    let configured = |option: &str| {
        let setting = settings.of_plugin("become", &method, option).filter(|s| s.origin != Origin::Default)?;
        Some(setting.value.to_text()).filter(|text| !text.is_empty())
    };
    let user = pick(&[&own("user"), "ansible_become_user"], &context.become_user, options.login.become_user.as_ref())?;
    let exe = pick(&[&own("exe"), "ansible_become_exe"], &context.become_exe, configured("become_exe").as_ref())?;
    let flags =
        pick(&[&own("flags"), "ansible_become_flags"], &context.become_flags, configured("become_flags").as_ref())?;
    let flags = flags
        .map(|text| shell_words::split(&text))
        .transpose()
        .map_err(|e| TemplateError::message(format!("cannot split `become_flags` into words: {e}"), None))?;
    let password = read.text(&[&own("pass"), &own("password"), "ansible_become_pass", "ansible_become_password"])?;
    let password = password.map(Secret::new).or_else(|| options.become_password.clone());
    let password = password.or_else(|| configured("become_pass").map(Secret::new));
    let prompts = match read.variable(&["ansible_su_prompt_l10n"])? {
        Some(Value::List(words)) => words.iter().map(Value::to_text).collect(),
        Some(words) => {
            words.to_text().split(',').map(|word| word.trim().to_owned()).filter(|w| !w.is_empty()).collect()
        }
        None => Vec::new(),
    };
    let patience = read.text(&["ansible_local_become_success_timeout"])?.and_then(|text| text.trim().parse().ok());
    Ok(Some(Become {
        spec: BecomeSpec {
            method,
            user: user.unwrap_or_else(|| "root".to_owned()),
            exe,
            flags,
            has_password: password.is_some(),
        },
        password,
        prompts,
        directory: read.text(&["ansible_sudo_chdir"])?.filter(|_| is_sudo),
        patience: patience.filter(|seconds| *seconds > 0).map(Duration::from_secs),
    }))
}
