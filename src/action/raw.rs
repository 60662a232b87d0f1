//! `raw` and `script`.

use super::{ActionContext, ActionError, Hands, Plan, flag, text, to_json};
use crate::playbook::split_words;
use crate::remote::{Become, Call, Content};
use crate::value::{Map, Value};

/// `raw`: a line for the login shell, with no worker.
pub(super) async fn raw(ctx: &ActionContext<'_>, args: &Map, hands: &dyn Hands) -> Result<Map, ActionError> {
    let line = text(args, "_raw_params").unwrap_or_default();
    if ctx.check {
        // As in the reference: nothing is known about a raw command.
        return Ok(Map::from_iter([("skipped".into(), Value::Bool(true)), ("changed".into(), Value::Bool(false))]));
    }
    let mut command = match text(args, "executable") {
        Some(shell) => format!("{} -c {}", shell_words::quote(&shell), shell_words::quote(&line)),
        None => line,
    };
    let mut stdin = Vec::new();
    if let Some(user) = hands.become_user() {
        (command, stdin) = as_user(user, &command)?;
    }
    let done = hands.exec(command, stdin).await?;
    let mut out = Map::new();
    out.insert("rc".into(), Value::Int(done.rc.into()));
    out.insert("stdout".into(), String::from_utf8_lossy(&done.stdout).into_owned().into());
    out.insert("stderr".into(), String::from_utf8_lossy(&done.stderr).into_owned().into());
    out.insert("changed".into(), Value::Bool(true));
    if done.rc != 0 {
        out.insert("failed".into(), Value::Bool(true));
        out.insert("msg".into(), Value::from("non-zero return code"));
    }
    Ok(out)
}

/// The command that runs `command` as another user, and what it wants on its standard input.
fn as_user(user: &Become, command: &str) -> Result<(String, Vec<u8>), ActionError> {
    let spec = &user.spec;
    let (exe, name, line) = (
        shell_words::quote(spec.exe.as_deref().unwrap_or(&spec.method)),
        shell_words::quote(&spec.user),
        shell_words::quote(command),
    );
    let password = user.password.as_ref().map(|password| format!("{}\n", password.expose()).into_bytes());
    let flags = spec.flags.as_ref().map(shell_words::join);
    Ok(match spec.method.as_str() {
        "sudo" => {
            let quiet = if password.is_some() { "-S -p ''" } else { "-n" };
            let flags = flags.unwrap_or_else(|| "-H".to_owned());
            (format!("{exe} {flags} {quiet} -u {name} -- /bin/sh -c {line}"), password.unwrap_or_default())
        }
        "su" => {
            (format!("{exe} {} {name} -s /bin/sh -c {line}", flags.unwrap_or_default()), password.unwrap_or_default())
        }
        "doas" if password.is_none() => {
            let flags = flags.unwrap_or_else(|| "-n".to_owned());
            (format!("{exe} {flags} -u {name} -- /bin/sh -c {line}"), Vec::new())
        }
        other => {
            return Err(ActionError::failed(format!("raw cannot become another user by {other} with a password")));
        }
    })
}

/// `script`: a file of the controller's, run on the host.
pub(super) fn script(ctx: &ActionContext<'_>, mut args: Map) -> Result<Plan, ActionError> {
    ctx.check_args(ctx.module, &args)?;
    let line = ["_raw_params", "cmd"].iter().find_map(|name| text(&args, name)).unwrap_or_default();
    let words = split_words(&line);
    let Some(name) = words.iter().find(|w| *w != "\n") else {
        return Err(ActionError::failed("no script given"));
    };
    let bare = name.trim_matches(['"', '\'']);
    let path = ctx.file(bare, "files")?;
    let content = ctx.content(&path, flag(&args, "decrypt", true))?;
    args.shift_remove("decrypt");
    args.shift_remove("cmd");
    let rest = line.trim().strip_prefix(name.as_str()).unwrap_or_default().trim().to_owned();
    let mut object = to_json(&args);
    object.insert("_raw_params".into(), rest.into());
    let base = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    object.insert("_original_basename".into(), base.into());
    Ok(Plan::Remote {
        module: "ansible.builtin.script",
        call: Call { args: object, content: Some(Content::Bytes(content)) },
    })
}
