//! `assemble`: fragments of the controller's go to the host as one file.

use rplay_worker::modules::assemble::{Selection, join};

use super::{ActionContext, ActionError, Hands, Plan, copy, flag, text, to_json};
use crate::remote::{Call, Content};
use crate::value::{Map, Value};

/// How an `assemble` is carried out: on the host, unless the fragments are here.
pub(super) fn assemble(ctx: &ActionContext<'_>, args: Map) -> Result<Plan, ActionError> {
    if text(&args, "src").is_none() || text(&args, "dest").is_none() {
        return Err(ActionError::failed("src and dest are required"));
    }
    ctx.check_args(ctx.module, &args)?;
    if flag(&args, "remote_src", true) {
        return Ok(Plan::Remote { module: ctx.module, call: Call { args: to_json(&args), content: None } });
    }
    Ok(Plan::Steps(args))
}

/// Joins fragments here and copies the result.
pub(super) async fn steps(ctx: &ActionContext<'_>, mut args: Map, hands: &dyn Hands) -> Result<Map, ActionError> {
    let content = content(ctx, &args)?;
    let src = text(&args, "src").unwrap_or_default();
    for key in ["decrypt", "delimiter", "ignore_hidden", "regexp", "remote_src"] {
        args.shift_remove(key);
    }
    let mut object = to_json(&args);
    object.insert("_original_basename".into(), "src".into());
    let md5 = rplay_worker::host::digest(&mut &content[..], "md5").unwrap_or_default();
    let call = Call { args: object, content: Some(Content::Bytes(content)) };
    let mut result = copy::one(hands, "ansible.builtin.copy", call).await?;
    if !flag(&result, "failed", false) {
        result.shift_remove("path");
        result.insert("src".into(), src.into());
        result.insert("md5sum".into(), md5.into());
        // The one diff, where `copy` gives a list of them.
        if let Some([only]) = result.get("diff").and_then(Value::as_list) {
            let only = only.clone();
            result.insert("diff".into(), only);
        }
    }
    Ok(result)
}

fn content(ctx: &ActionContext<'_>, args: &Map) -> Result<Vec<u8>, ActionError> {
    let src = text(args, "src").unwrap_or_default();
    let directory = ctx.file(&src, "files")?;
    if !directory.is_dir() {
        return Err(ActionError::failed(format!("Source ({}) is not a directory", directory.display())));
    }
    let selection = Selection::new(text(args, "regexp").as_deref(), flag(args, "ignore_hidden", false))
        .map_err(ActionError::failed)?;
    let wrong = |e: std::io::Error| ActionError::failed(format!("cannot read {}: {e}", directory.display()));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&directory).map_err(wrong)? {
        let name = entry.map_err(wrong)?.file_name();
        let takes = selection.takes(&name).map_err(|failure| ActionError::failed(failure.msg))?;
        if takes && directory.join(&name).is_file() {
            names.push(name);
        }
    }
    names.sort();
    let decrypt = flag(args, "decrypt", true);
    let fragments =
        names.iter().map(|name| ctx.content(&directory.join(name), decrypt)).collect::<Result<Vec<_>, _>>()?;
    let delimiter = args.get("delimiter").filter(|d| !d.is_null()).map(Value::to_text);
    Ok(join(&fragments, delimiter.as_deref()))
}
