//! `fetch`: a file of the host's, brought here.

use std::path::{Component, Path, PathBuf};

use rplay_protocol::names;
use rplay_worker::host::digest;

use super::{ActionContext, ActionError, Hands, flag, text};
use crate::remote::{Call, Received};
use crate::value::{Map, Value};

pub(super) async fn fetch(ctx: &ActionContext<'_>, args: &Map, hands: &dyn Hands) -> Result<Map, ActionError> {
    for (name, called) in [("src", "source"), ("dest", "dest")] {
        if args.get(name).is_some_and(|value| !value.is_null() && value.as_str().is_none()) {
            let msg = format!("Invalid type supplied for {called} option, it must be a string");
            return Err(ActionError::told(msg));
        }
    }
    let (Some(src), Some(dest)) = (text(args, "src"), text(args, "dest")) else {
        return Err(ActionError::failed("src and dest are required"));
    };
    let mut args = args.clone();
    super::loosen(&mut args, &["flat", "fail_on_missing", "validate_checksum"]);
    let args = &args;
    ctx.check_args(ctx.module, args)?;
    let missing_fails = flag(args, "fail_on_missing", true);
    let target = destination(ctx, &src, &dest, flag(args, "flat", false))?;
    let local = local_sum(&target, "sha1");
    let mut object = rplay_protocol::Object::new();
    object.insert("src".into(), src.clone().into());
    if let Some(checksum) = &local {
        object.insert("checksum".into(), checksum.clone().into());
    }
    let answers = hands.calls("ansible.builtin._fetch", vec![Call { args: object, content: None }]).await?;
    let Some(answer) = answers.into_iter().next() else {
        return Err(ActionError::failed("the host did not answer"));
    };
    let result = crate::value::from_object(&answer.result);
    if flag(&result, "failed", false) {
        let mut out = result;
        out.insert("changed".into(), Value::Bool(false));
        let said = text(&out, "msg").unwrap_or_default();
        let by_reference = match said.split_once(": ").map(|(reason, _)| reason) {
            Some("File not found") => Some("the remote file does not exist, not transferring, ignored"),
            Some("Source is a directory and must be a file") => {
                Some("remote file is a directory, fetch cannot work on directories")
            }
            _ => None,
        };
        if let Some(msg) = by_reference {
            out.insert("msg".into(), Value::from(msg));
        }
        if said.starts_with("File not found") {
            out.insert("exception".into(), Value::from(super::NO_TRACEBACK));
        }
        if missing_fails {
            return Err(ActionError::Failed(out));
        }
        out.shift_remove("failed");
        out.shift_remove("exception");
        if said.starts_with("Source is a directory") {
            let msg = text(&out, "msg").unwrap_or_default();
            out.insert("msg".into(), Value::from(format!("{msg}, not transferring, ignored")));
            return Ok(out);
        }
        out.insert("file".into(), src.into());
        return Ok(out);
    }
    let remote = text(&result, "checksum").unwrap_or_default();
    let mut out = Map::new();
    let place = std::path::absolute(&target).unwrap_or_else(|_| target.clone());
    out.insert("dest".into(), shown(&place).into());
    out.insert("checksum".into(), remote.clone().into());
    if local.as_deref() == Some(remote.as_str()) {
        out.insert("changed".into(), Value::Bool(false));
        out.insert("file".into(), src.into());
        out.insert("md5sum".into(), local_sum(&target, "md5").map_or(Value::Null, Value::from));
        return Ok(out);
    }
    let sum = |algorithm: &str| {
        let sum = answer.content.open().and_then(|mut content| digest(&mut *content, algorithm));
        sum.map_err(|e| ActionError::failed(format!("cannot read what the host sent: {e}")))
    };
    let got = sum("sha1")?;
    if flag(args, "validate_checksum", true) && got != remote {
        out.insert("msg".into(), Value::from("checksum mismatch"));
        return Err(ActionError::Failed(out));
    }
    if !ctx.check {
        write(&target, &answer.content)
            .map_err(|e| ActionError::failed(format!("cannot write {}: {e}", target.display())))?;
    }
    out.insert("changed".into(), Value::Bool(true));
    out.insert("remote_checksum".into(), remote.into());
    out.insert("remote_md5sum".into(), Value::Null);
    out.insert("md5sum".into(), sum("md5")?.into());
    Ok(out)
}

/// Where a file goes: below `dest/<host>/` under its own path, or, when flat, right there.
///
/// Nothing the host says decides it, and `..` in the path asked for cannot lead out of the destination.
fn destination(ctx: &ActionContext<'_>, src: &str, dest: &str, flat: bool) -> Result<PathBuf, ActionError> {
    let base = ctx.search.last().cloned().unwrap_or_default();
    let dest_path = base.join(crate::playbook::expand_home(dest));
    let src = names::to_name(src);
    let name = Path::new(&src)
        .file_name()
        .ok_or_else(|| ActionError::failed(format!("`{}` is not a file's path", Path::new(&src).display())))?;
    if flat {
        if dest.ends_with('/') {
            return Ok(dest_path.join(name));
        }
        if dest_path.is_dir() {
            return Err(ActionError::failed(
                "dest is an existing directory, use a trailing slash if you want to fetch src into that directory",
            ));
        }
        return Ok(dest_path);
    }
    let inside: PathBuf = Path::new(&src).components().filter(|c| matches!(c, Component::Normal(_))).collect();
    Ok(dest_path.join(ctx.host.replace('/', "_")).join(inside))
}

fn write(target: &Path, content: &Received) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let directory = target.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    // What the umask leaves, as of any file that is made here.
    let mode = std::fs::Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(directory)?;
    std::io::copy(&mut *content.open()?, &mut file)?;
    file.persist(target).map_err(|e| e.error)?;
    Ok(())
}

/// A path as text, for return values.
fn shown(path: &Path) -> String {
    names::to_text(path.as_os_str()).into_owned()
}

/// The checksum of a file here; none where it cannot be read.
fn local_sum(path: &Path, algorithm: &str) -> Option<String> {
    digest(&mut std::fs::File::open(path).ok()?, algorithm).ok()
}
