//! `raw` and `script`.

use super::{ActionContext, ActionError, Hands, Plan, flag, text, to_json};
use crate::playbook::split_words;
use crate::remote::{Call, Content};
use crate::value::{Map, Value};

/// `raw`: a line for the login shell, with no worker.
pub(super) async fn raw(ctx: &ActionContext<'_>, args: &Map, hands: &dyn Hands) -> Result<Map, ActionError> {
    if ctx.check {
        // As in the reference: nothing is known about a raw command.
        let said = [("skipped", true), ("changed", false), ("failed", false)];
        return Ok(said.into_iter().map(|(key, verdict)| (key.into(), Value::Bool(verdict))).collect());
    }
    let Some(line) = text(args, "_raw_params") else {
        return Err(ActionError::failed("Task failed: 'NoneType' object is not iterable"));
    };
    let command = match text(args, "executable") {
        Some(shell) => format!("{} -c {}", shell_words::quote(&shell), shell_words::quote(&line)),
        None => line,
    };
    let done = hands.exec(command).await?;
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

/// `script`: a file of the controller's, run on the host.
pub(super) fn script(ctx: &ActionContext<'_>, mut args: Map) -> Result<Plan, ActionError> {
    ctx.check_args(ctx.module, &args)?;
    let given = |name: &str| text(&args, name).is_some_and(|line| !line.trim().is_empty());
    match (given("_raw_params"), given("cmd")) {
        (false, false) => return Err(ActionError::failed("one of the following is required: _raw_params, cmd")),
        (true, true) => return Err(ActionError::failed("parameters are mutually exclusive: _raw_params|cmd")),
        _ => {}
    }
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
