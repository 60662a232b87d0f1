//! `unarchive`, `uri` and `patch`: a file of the controller's goes along with the call.

use super::{ActionContext, ActionError, Plan, flag, text, to_json};
use crate::remote::{Call, Content};
use crate::value::{Map, Value};

/// How an `unarchive` is carried out: one call, with the archive unless the host has it.
pub(super) fn unarchive(ctx: &ActionContext<'_>, args: Map) -> Result<Plan, ActionError> {
    if text(&args, "src").is_none() || text(&args, "dest").is_none() {
        return Err(ActionError::failed("src (or content) and dest are required"));
    }
    ctx.check_args(ctx.module, &args)?;
    let content = if flag(&args, "remote_src", !flag(&args, "copy", true)) {
        None
    } else {
        let src = text(&args, "src").unwrap_or_default();
        let path = ctx.file(&src, "files")?;
        if path.is_dir() {
            return Err(ActionError::failed(format!("{} is a directory, not an archive", path.display())));
        }
        let decrypt = flag(&args, "decrypt", true) && super::copy::is_vaulted(&args, &path);
        Some(if decrypt { Content::Bytes(ctx.content(&path, true)?) } else { Content::File(path) })
    };
    Ok(Plan::Remote { module: ctx.module, call: Call { args: to_json(&args), content } })
}

/// How a `uri` or a `patch` is carried out: one call, with the file `src` unless the host has it.
pub(super) fn with_src(ctx: &ActionContext<'_>, args: Map) -> Result<Plan, ActionError> {
    if ctx.check && ctx.module == "ansible.builtin.uri" {
        // As in the reference the action says so, before it looks at the arguments.
        let msg = "This action (uri) does not support check mode.";
        return Ok(Plan::Ready(Map::from_iter([
            ("changed".into(), Value::Bool(false)),
            ("skipped".into(), Value::Bool(true)),
            ("msg".into(), msg.into()),
        ])));
    }
    ctx.check_args(ctx.module, &args)?;
    let content = match text(&args, "src") {
        Some(src) if !flag(&args, "remote_src", false) => Some(Content::File(ctx.file(&src, "files")?)),
        _ => None,
    };
    Ok(Plan::Remote { module: ctx.module, call: Call { args: to_json(&args), content } })
}
