//! Actions: the half of a module that needs the controller.
//!
//! Most modules run on the host as they are: [`plan`] gives the one call that does it, with the arguments evaluated and any
//! content of the controller's beside them. Some are answered here ([`Plan::Ready`]), and a few take several steps
//! ([`steps`]).

mod assemble;
mod async_status;
mod catalog;
mod connect;
mod copy;
mod debug;
mod fetch;
mod groups;
mod include_vars;
mod pause;
mod raw;
mod simple;
mod spec;
pub mod synchronize;
mod unarchive;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use rplay_worker::args::ArgError;

use crate::playbook::find_file;
use crate::remote::{Answer, Call, RemoteError};
use crate::source::Span;
use crate::template::{Templar, TemplateError};
use crate::value::{Map, Str, Value};
use crate::vars::World;

pub use async_status::async_directory;
pub use catalog::BuiltIn;
pub(crate) use copy::{SECRET, not_called};

/// What an action knows of where it runs.
pub struct ActionContext<'a> {
    /// The module's full name.
    pub module: &'static str,
    /// The module's name as it is written.
    pub written: &'a str,
    /// What evaluates its arguments.
    pub templar: &'a Templar,
    /// The host.
    pub host: &'a str,
    /// Where relative files are looked for.
    pub search: &'a [PathBuf],
    /// Predict, do not change.
    pub check: bool,
    /// Say what differs.
    pub diff: bool,
    /// What the run holds.
    pub world: &'a Arc<World>,
    /// Where the task is written.
    pub span: Span,
    /// The task's own name, as it is written.
    pub name: Option<&'a Str>,
    /// Where the evaluated arguments are kept, when somebody may ask for them.
    pub evaluated: Option<&'a Mutex<Option<Map>>>,
}

/// What a result says that is to be shown whole, however little is asked for; no variable has it.
pub const WHOLE: &str = "_ansible_verbose_always";

/// How an action is going to be carried out.
#[derive(Debug)]
pub enum Plan {
    /// It is answered here.
    Ready(Map),
    /// One call on the host does it.
    Remote {
        /// The module there.
        module: &'static str,
        /// The call.
        call: Call,
    },
    /// It takes several steps; these are its arguments, evaluated.
    Steps(Map),
}

/// What the reference puts under `exception` when tracebacks are not shown; roles ask whether it is there.
pub const NO_TRACEBACK: &str = "(traceback unavailable)";

/// Actions that look at their arguments themselves.
const GIVES_UP: [&str; 12] = [
    "add_host",
    "assert",
    "debug",
    "fail",
    "group_by",
    "include_vars",
    "pause",
    "reboot",
    "script",
    "set_fact",
    "set_stats",
    "wait_for_connection",
];

/// Whether a module's answer is what its action in the reference finds out itself, before the module: a failure that
/// neither conditions nor another try are asked about.
#[must_use]
pub fn gave_up(module: &str, answer: &Map) -> bool {
    let said = |end: &str| answer.get("msg").and_then(Value::as_str).is_some_and(|msg| msg.ends_with(end));
    module == "ansible.builtin.unarchive" && flag(answer, "failed", false) && said(" must be an existing dir")
}

/// Why an action could not be carried out.
#[derive(Debug)]
pub enum ActionError {
    /// Something could not be evaluated.
    Template(TemplateError),
    /// It was given up: what is said of it. Neither conditions nor another try are asked, as in the reference.
    Raised(Map),
    /// It ended in a result that is a failure, for conditions to judge.
    Failed(Map),
    /// The host did not do its part.
    Remote(RemoteError),
}

impl ActionError {
    /// It was given up, for a reason.
    #[must_use]
    pub fn failed(msg: impl Into<String>) -> Self {
        Self::Raised(Map::from_iter([("msg".into(), Value::from(msg.into()))]))
    }

    /// It ended in a failure that says `msg`.
    #[must_use]
    pub fn told(msg: impl Into<String>) -> Self {
        Self::Failed(Map::from_iter([("msg".into(), Value::from(msg.into()))]))
    }
}

impl From<TemplateError> for ActionError {
    fn from(error: TemplateError) -> Self {
        Self::Template(error)
    }
}

impl From<RemoteError> for ActionError {
    fn from(error: RemoteError) -> Self {
        Self::Remote(error)
    }
}

/// A command's end.
#[derive(Debug, Clone, Default)]
pub struct Executed {
    /// Exit status.
    pub rc: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// A command that was started.
#[derive(Debug)]
pub struct Opened {
    /// Its streams and its end.
    pub process: crate::connection::Process,
    /// What it has written by now.
    pub stdout: Vec<u8>,
    /// The same of its errors.
    pub stderr: Vec<u8>,
}

/// What an action of several steps can do on its host.
pub trait Hands: Send + Sync {
    /// Runs calls of a module there.
    fn calls(&self, module: &'static str, calls: Vec<Call>) -> BoxFuture<'_, Result<Vec<Answer>, RemoteError>>;
    /// Runs a command through the login shell, without a worker, as the user that the task becomes.
    fn exec(&self, command: String) -> BoxFuture<'_, Result<Executed, RemoteError>>;
    /// The same, in check mode too: calls that change nothing.
    fn queries(&self, module: &'static str, calls: Vec<Call>) -> BoxFuture<'_, Result<Vec<Answer>, RemoteError>>;
    /// Starts a command as [`Hands::exec`] does, whose streams are the caller's.
    fn open(&self, command: String) -> BoxFuture<'_, Result<Opened, RemoteError>>;
    /// The host that the task is delegated to, when it is.
    fn delegate(&self) -> Option<&str>;
    /// Whether the host is this machine.
    fn is_local(&self) -> bool;
    /// Gives the login up, so that the next step logs in anew.
    fn reset(&self) -> BoxFuture<'_, ()>;
}

/// The module that does the work on the host for an action.
#[must_use]
pub fn remote_name(module: &'static str) -> &'static str {
    match module {
        "ansible.builtin.template" => "ansible.builtin.copy",
        "ansible.builtin.gather_facts" => "ansible.builtin.setup",
        other => other,
    }
}

/// Whether calls for several items of a loop may share a request.
#[must_use]
pub fn rides_together(module: &'static str) -> bool {
    rplay_worker::modules::find(remote_name(module)).is_some()
}

/// Whether a task of this module may go on by itself (`async`): the host has all it takes.
#[must_use]
pub fn supports_async(module: &'static str) -> bool {
    const HERE: &[&str] =
        &["assemble", "async_status", "copy", "fetch", "gather_facts", "script", "patch", "template", "unarchive"];
    let short = module.rsplit('.').next().unwrap_or_default();
    module == crate::playbook::UNAVAILABLE || (rides_together(module) && !HERE.contains(&short))
}

/// How a task with these arguments (as they are written) is carried out.
pub fn plan(ctx: &ActionContext<'_>, args: Map) -> Result<Plan, ActionError> {
    match ctx.module {
        // These evaluate some of their arguments themselves.
        "ansible.builtin.debug" => return debug::debug(ctx, &args).map(Plan::Ready),
        "ansible.builtin.assert" => return simple::assert(ctx, &args).map(Plan::Ready),
        crate::playbook::UNAVAILABLE => {
            let message = format!(
                "the module `{}` is not built into rplay; docs/differences.md lists the modules that are",
                ctx.written
            );
            return Err(ActionError::failed(message));
        }
        _ => {}
    }
    let mut args = ctx.evaluate(args)?;
    if let Some(kept) = ctx.evaluated {
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(args.clone());
    }
    if ctx.module == "ansible.builtin.package" && text(&args, "use").is_none_or(|name| name == "auto") {
        // A variable may say which package manager is meant.
        if let Some(name) = ctx.templar.variable("ansible_package_use")?.filter(|name| !name.is_null()) {
            args.insert("use".into(), name);
        }
    }
    match ctx.module {
        "ansible.builtin.fail" => {
            ctx.known_options(&args)?;
            Err(simple::fail(&args))
        }
        "ansible.builtin.set_fact" => simple::set_fact(args).map(Plan::Ready),
        "ansible.builtin.set_stats" => {
            ctx.known_options(&args)?;
            simple::set_stats(&args).map(Plan::Ready)
        }
        "ansible.builtin.include_vars" => include_vars::include_vars(ctx, &args).map(Plan::Ready),
        "ansible.builtin.add_host" => groups::add_host(ctx, &args).map(Plan::Ready),
        "ansible.builtin.group_by" => groups::group_by(ctx, &args).map(Plan::Ready),
        "ansible.builtin.validate_argument_spec" => spec::validate(ctx, &args).map(Plan::Ready),
        "ansible.builtin.async_status" => async_status::async_status(ctx, args),
        "ansible.builtin.assemble" => assemble::assemble(ctx, args),
        "ansible.builtin.copy" => copy::copy(ctx, args),
        "ansible.builtin.template" => copy::template(ctx, args),
        "ansible.builtin.script" => raw::script(ctx, args),
        "ansible.builtin.unarchive" => unarchive::unarchive(ctx, args),
        "ansible.builtin.uri" | "ansible.posix.patch" => unarchive::with_src(ctx, args),
        "ansible.builtin.fetch"
        | "ansible.builtin.raw"
        | "ansible.builtin.pause"
        | "ansible.builtin.reboot"
        | "ansible.builtin.wait_for_connection"
        | "ansible.posix.synchronize" => Ok(Plan::Steps(args)),
        other => {
            ctx.check_args(other, &args)?;
            Ok(Plan::Remote { module: remote_name(other), call: Call { args: to_json(&args), content: None } })
        }
    }
}

/// Carries out an action that takes several steps.
pub async fn steps(ctx: &ActionContext<'_>, args: Map, hands: &dyn Hands) -> Result<Map, ActionError> {
    match ctx.module {
        "ansible.builtin.assemble" => assemble::steps(ctx, args, hands).await,
        "ansible.builtin.copy" => copy::steps(ctx, args, hands).await,
        "ansible.builtin.fetch" => fetch::fetch(ctx, &args, hands).await,
        "ansible.builtin.raw" => raw::raw(ctx, &args, hands).await,
        "ansible.builtin.pause" => pause::pause(ctx, &args).await,
        "ansible.builtin.reboot" => connect::reboot(ctx, &args, hands).await,
        "ansible.posix.synchronize" => synchronize::synchronize(ctx, &args, hands).await,
        "ansible.builtin.wait_for_connection" => connect::wait_for_connection(ctx, &args, hands).await,
        other => Err(ActionError::failed(format!("`{other}` cannot be carried out step by step"))),
    }
}

impl ActionContext<'_> {
    /// Arguments with every template evaluated; omitted ones are gone.
    pub(crate) fn evaluate(&self, args: Map) -> Result<Map, ActionError> {
        let mut out = Map::with_capacity(args.len());
        for (key, value) in args {
            let evaluated = self.templar.value(&value).map_err(|mut error| {
                error.message = format!(
                    "Finalization of task args for '{}' failed: Error while resolving value for '{key}': {}",
                    self.module, error.message
                );
                error
            })?;
            if matches!(evaluated, Value::Omit) {
                continue;
            }
            let key = match (&key, key.is_template()) {
                (crate::value::Key::Str(text), true) => {
                    let key = self.templar.string(text)?;
                    crate::value::Key::from_value(&key).unwrap_or_else(|| key.to_text().into())
                }
                _ => key,
            };
            out.insert(key, evaluated);
        }
        Ok(out)
    }

    /// Checks evaluated arguments here, so that what is wrong costs no round trip.
    pub(crate) fn check_args(&self, module: &str, args: &Map) -> Result<(), ActionError> {
        use crate::playbook::Catalog;
        BuiltIn.check(module, &to_json(args)).map_err(|problem| {
            let near = problem.suggestion.map(|s| format!(" Did you mean `{s}`?")).unwrap_or_default();
            let (message, details) = ArgError::told_apart(&problem.message);
            let mut failure = Map::from_iter([
                ("msg".into(), Value::from(format!("{message}{near}"))),
                ("exception".into(), Value::from(NO_TRACEBACK)),
            ]);
            if let Some(details) = details {
                failure.insert("details".into(), details.into());
            }
            // An action gives up; a module on the host ends in a failure.
            match GIVES_UP.contains(&self.module.strip_prefix("ansible.builtin.").unwrap_or(self.module)) {
                true => ActionError::Raised(failure),
                false => ActionError::Failed(failure),
            }
        })
    }

    /// Refuses arguments that the action has not, in the words that playbooks look for.
    pub(crate) fn known_options(&self, args: &Map) -> Result<(), ActionError> {
        use crate::playbook::Catalog;
        let short = self.module.rsplit('.').next().unwrap_or(self.module);
        let stranger = |name: &String| {
            let one = rplay_protocol::Object::from_iter([(name.clone(), serde_json::Value::Null)]);
            let unknown = BuiltIn.check(self.module, &one).err();
            unknown.is_some_and(|problem| problem.message.starts_with("Unsupported parameters"))
        };
        let strangers: Vec<String> = args.keys().map(ToString::to_string).filter(stranger).collect();
        if strangers.is_empty() {
            return Ok(());
        }
        Err(ActionError::failed(format!("Invalid options for {short}: {}", strangers.join(","))))
    }

    /// The content of a file of the controller's, decrypted when it is encrypted and `decrypt` is set.
    pub(crate) fn content(&self, path: &Path, decrypt: bool) -> Result<Vec<u8>, ActionError> {
        let wrong = |e: &dyn std::fmt::Display| ActionError::failed(format!("cannot read {}: {e}", path.display()));
        let bytes = std::fs::read(path).map_err(|e| wrong(&e))?;
        if !decrypt {
            return Ok(bytes);
        }
        let vault = self.templar.variables().vault();
        if vault.is_empty() && crate::vault::is_encrypted(&bytes) {
            let path = path.display();
            let message = format!("A vault password or secret must be specified to decrypt {path}");
            return Err(ActionError::failed(message));
        }
        vault.reveal(bytes).map_err(|e| wrong(&e))
    }

    /// A file of the controller's, or a failure that says where it was looked for.
    pub(crate) fn file(&self, name: &str, kind: &str) -> Result<PathBuf, ActionError> {
        find_file(name, kind, self.search).ok_or_else(|| {
            let places: Vec<String> = if Path::new(name).is_absolute() {
                vec![name.to_owned()]
            } else {
                let both = |p: &PathBuf| [p.join(kind).join(name), p.join(name)];
                self.search
                    .iter()
                    .flat_map(both)
                    .map(|p| std::path::absolute(&p).unwrap_or(p).display().to_string())
                    .collect()
            };
            let text = match places.as_slice() {
                [only] if only == name => not_there(name),
                _ => not_there(&format!("{name}'\nSearched in:\n\t{}", places.join("\n\t"))),
            };
            // As in the reference, who looks for it says it in its own way.
            let text = match self.module {
                "ansible.builtin.copy" => format!("Unexpected AnsibleActionFail error: {text}"),
                "ansible.builtin.assemble" | "ansible.builtin.unarchive" | "ansible.builtin.uri" => {
                    format!("Task failed: {text}")
                }
                _ => text,
            };
            ActionError::failed(text)
        })
    }
}

/// What is said last of a file that is not there.
pub const ON_CONTROLLER: &str = " on the Ansible Controller.\nIf you are using a module and expect the file to exist on the remote, see the remote_src option";

/// What is said of a file that is not there, and where it was looked for behind a quote.
pub(crate) fn not_there(name: &str) -> String {
    let quote = if name.contains("'\n") { "" } else { "'" };
    format!("Could not find or access '{name}{quote}{ON_CONTROLLER}")
}

/// Arguments as they travel.
pub(crate) fn to_json(args: &Map) -> rplay_protocol::Object {
    args.iter().map(|(key, value)| (key.to_string(), value.to_json())).collect()
}

/// An argument as text.
pub(crate) fn text(args: &Map, name: &str) -> Option<String> {
    args.get(name).filter(|v| !v.is_null()).map(Value::to_text)
}

/// An argument as a truth value.
pub(crate) fn flag(args: &Map, name: &str, default: bool) -> bool {
    args.get(name).and_then(Value::to_bool).unwrap_or(default)
}

/// Arguments of which an action takes whatever is no truth value for no, as it does in the reference.
pub(crate) fn loosen(args: &mut Map, names: &[&str]) {
    for name in names {
        if let Some(value) = args.get_mut(*name)
            && value.to_bool().is_none()
        {
            *value = Value::Bool(false);
        }
    }
}

/// An argument as a list of texts.
pub(crate) fn list(args: &Map, name: &str) -> Vec<String> {
    match args.get(name) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::List(items)) => items.iter().map(Value::to_text).collect(),
        Some(other) => other.to_text().split(',').map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect(),
    }
}
