//! `copy` and `template`: content of the controller's goes along with the call.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rplay_protocol::names;

use super::{ActionContext, ActionError, Hands, Plan, flag, text, to_json};
use crate::remote::{Call, Content};
use crate::template::{FileOptions, encode};
use crate::value::{Map, Value};
use crate::vault::is_encrypted;

const COPY: &str = "ansible.builtin.copy";

/// What stands for an argument that is a secret.
pub(crate) const SECRET: &str = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER";

/// How a `copy` is carried out: one call, or, for a directory, several.
pub(super) fn copy(ctx: &ActionContext<'_>, mut args: Map) -> Result<Plan, ActionError> {
    // What is missing comes before what does not fit.
    let empty = |value: &Value| value.is_null() || (value.as_str() == Some(""));
    let given =
        |name: &str| args.get(name).is_some_and(|value| !value.is_null() && (name == "content" || !empty(value)));
    match (given("src"), given("content")) {
        (false, false) => return Err(ActionError::told("src (or content) is required")),
        _ if !given("dest") => return Err(ActionError::told("dest is required")),
        (true, true) => return Err(ActionError::told("src and content are mutually exclusive")),
        _ => {}
    }
    super::loosen(&mut args, &["follow", "decrypt"]);
    // Nothing is no content.
    if args.get("content").is_some_and(Value::is_null) {
        args.shift_remove("content");
    }
    ctx.check_args(COPY, &args)?;
    if flag(&args, "remote_src", false) {
        return Ok(Plan::Remote { module: COPY, call: Call { args: to_json(&args), content: None } });
    }
    match (args.get("content").cloned(), text(&args, "src")) {
        (None, None) => Err(ActionError::told("src (or content) is required")),
        (Some(content), _) => {
            if text(&args, "dest").is_some_and(|dest| dest.ends_with('/')) {
                return Err(ActionError::told("can not use content with a dir as dest"));
            }
            let bytes = match &content {
                // As in the reference: a structure is written as JSON.
                Value::List(_) | Value::Map(_) => crate::template::filters::plain_json(&content).into_bytes(),
                other => other.to_text().into_bytes(),
            };
            args.shift_remove("content");
            args.insert("src".into(), made_name(&args).into());
            let mut object = to_json(&args);
            // What `mode: preserve` keeps is that of the file which the reference makes of it first.
            object.insert("_source_mode".into(), 0o600.into());
            Ok(Plan::Remote { module: COPY, call: Call { args: object, content: Some(Content::Bytes(bytes)) } })
        }
        (None, Some(src)) => {
            let path = ctx.file(&src, "files").map_err(|missing| with_args(missing, &args))?;
            // A directory takes several calls; a long file is not sent where it is already.
            if path.is_dir() || (is_long(&path) && !is_vaulted(&args, &path)) {
                return Ok(Plan::Steps(args));
            }
            let call = file_call(ctx, &args, &path, &src)?;
            Ok(Plan::Remote { module: COPY, call })
        }
    }
}

/// `invocation` of a task whose module was not called: its own arguments, twice, as in the reference.
pub(crate) fn not_called(mut args: Map) -> Value {
    let mut shown = args.clone();
    if args.contains_key("content") {
        args.insert("content".into(), Value::data(SECRET));
        shown.insert("content".into(), Value::data("CENSORED: content is a no_log parameter"));
    }
    shown.insert("module_args".into(), Value::map(args));
    Value::map(shown)
}

/// A failure that tells the task's arguments.
fn with_args(error: ActionError, args: &Map) -> ActionError {
    match error {
        ActionError::Raised(mut said) => {
            said.insert("invocation".into(), not_called(args.clone()));
            ActionError::Raised(said)
        }
        other => other,
    }
}

/// As in the reference a source that is no file has a name that ends like the destination's.
fn made_name(args: &Map) -> String {
    let dest = text(args, "dest").unwrap_or_default();
    let ending = Path::new(&dest).extension().map(|e| format!(".{}", e.to_string_lossy()));
    format!("<content>/.source{}", ending.unwrap_or_default())
}

/// A path as text; bytes that are no text are the same bytes again on the host.
fn shown(path: &Path) -> String {
    names::to_text(path.as_os_str()).into_owned()
}

/// The call that copies one file.
fn file_call(ctx: &ActionContext<'_>, args: &Map, path: &Path, src: &str) -> Result<Call, ActionError> {
    let wrong = |e: std::io::Error| ActionError::failed(format!("cannot read {}: {e}", path.display()));
    let meta = std::fs::metadata(path).map_err(wrong)?;
    let mut object = to_json(args);
    let name = Path::new(src).file_name().unwrap_or_default().to_string_lossy().into_owned();
    object.insert("_original_basename".into(), name.into());
    object.insert("_source_mode".into(), (meta.mode() & 0o7777).into());
    object.insert("_source_name".into(), shown(&absolute(path)).into());
    // Short content rides with the call; long content is read piece by piece while it is sent.
    let vaulted = is_vaulted(args, path);
    let content = if meta.len() <= rplay_protocol::CHUNK as u64 || vaulted {
        Content::Bytes(ctx.content(path, vaulted)?)
    } else {
        Content::File(path.to_path_buf())
    };
    Ok(Call { args: object, content: Some(content) })
}

/// A path of the controller's as it is told to people.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Whether a file is encrypted and to be decrypted here.
pub(super) fn is_vaulted(args: &Map, path: &Path) -> bool {
    let mut start = [0; 16];
    let mut read = || std::io::Read::read(&mut std::fs::File::open(path)?, &mut start);
    flag(args, "decrypt", true) && read().is_ok_and(|n| is_encrypted(start.get(..n).unwrap_or_default()))
}

/// Whether a file is worth a question before it is sent.
fn is_long(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.len() > rplay_protocol::CHUNK as u64)
}

/// Copies what takes more than one call: a directory, or a long file.
pub(super) async fn steps(ctx: &ActionContext<'_>, args: Map, hands: &dyn Hands) -> Result<Map, ActionError> {
    let src = text(&args, "src").unwrap_or_default();
    let path = ctx.file(&src, "files")?;
    if path.is_dir() {
        return directory(ctx, args, &path, hands).await;
    }
    if let Some(mut result) = already_there(&args, &path, hands).await? {
        if !ctx.diff {
            result.entry("diff".into()).or_insert_with(|| Value::list(Vec::new()));
        }
        return Ok(result);
    }
    let call = file_call(ctx, &args, &path, &src)?;
    one(hands, COPY, call).await
}

/// Runs one call and gives its result.
pub(super) async fn one(hands: &dyn Hands, module: &'static str, call: Call) -> Result<Map, ActionError> {
    let answers = hands.calls(module, vec![call]).await?;
    let answer = answers.into_iter().next().ok_or_else(|| ActionError::failed("the host did not answer"))?;
    Ok(crate::value::from_object(&answer.result))
}

/// The result where the host has the same content already: only its attributes are seen to.
async fn already_there(args: &Map, path: &Path, hands: &dyn Hands) -> Result<Option<Map>, ActionError> {
    let dest = text(args, "dest").unwrap_or_default();
    let name = names::to_text(path.file_name().unwrap_or_default());
    let target = if dest.ends_with('/') { format!("{dest}{name}") } else { dest };
    let mut question = rplay_protocol::Object::new();
    question.insert("path".into(), target.clone().into());
    question.insert("follow".into(), flag(args, "follow", false).into());
    let answer = one(hands, "ansible.builtin.stat", Call { args: question, content: None }).await?;
    let there = answer.get("stat").and_then(|stat| stat.get("checksum")).and_then(Value::as_str);
    let wrong = |e: std::io::Error| ActionError::failed(format!("cannot read {}: {e}", path.display()));
    let ours = rplay_worker::host::digest(&mut std::fs::File::open(path).map_err(wrong)?, "sha1").map_err(wrong)?;
    if there != Some(ours.as_str()) {
        return Ok(None);
    }
    let mut object = rplay_protocol::Object::new();
    object.insert("path".into(), target.clone().into());
    object.insert("state".into(), "file".into());
    object.insert("follow".into(), flag(args, "follow", false).into());
    for key in ["mode", "owner", "group", "attributes", "seuser", "serole", "setype", "selevel"] {
        let value = args.get(key).filter(|v| !v.is_null());
        match value.map(Value::to_json) {
            Some(serde_json::Value::String(word)) if key == "mode" && word == "preserve" => {
                let mode = std::fs::metadata(path).map_err(wrong)?.mode() & 0o7777;
                object.insert(key.into(), format!("{mode:04o}").into());
            }
            Some(value) => drop(object.insert(key.into(), value)),
            None => {}
        }
    }
    let mut result = one(hands, "ansible.builtin.file", Call { args: object, content: None }).await?;
    result.insert("dest".into(), target.into());
    result.insert("checksum".into(), ours.into());
    Ok(Some(result))
}

/// Copies a directory: its directories in one request, its files in another.
async fn directory(ctx: &ActionContext<'_>, args: Map, root: &Path, hands: &dyn Hands) -> Result<Map, ActionError> {
    let src = text(&args, "src").unwrap_or_default();
    let dest = text(&args, "dest").unwrap_or_default();
    // `src/` means what is in it, `src` the directory itself.
    let named = PathBuf::from(names::to_name(&dest).into_owned());
    let target = if src.ends_with('/') { named } else { named.join(root.file_name().unwrap_or_default()) };
    let mut tree = Tree { directories: vec![PathBuf::new()], ..Tree::default() };
    tree.scan(root, Path::new(""), flag(&args, "local_follow", true), &mut Vec::new())
        .map_err(|e| ActionError::failed(format!("cannot read {}: {e}", root.display())))?;
    let Tree { directories, files, links } = tree;
    let join = |inside: &Path| if inside.as_os_str().is_empty() { target.clone() } else { target.join(inside) };
    let mut made = Vec::new();
    for directory in &directories {
        let mut object = rplay_protocol::Object::new();
        object.insert("path".into(), shown(&join(directory)).into());
        object.insert("state".into(), "directory".into());
        if let Some(mode) = args.get("directory_mode").filter(|m| !m.is_null()) {
            object.insert("mode".into(), mode.to_json());
        }
        for key in ["owner", "group", "seuser", "serole", "setype", "selevel", "attributes"] {
            if let Some(value) = args.get(key).filter(|v| !v.is_null()) {
                object.insert(key.into(), value.to_json());
            }
        }
        made.push(Call { args: object, content: None });
    }
    for (inside, leads_to) in &links {
        let mut object = rplay_protocol::Object::new();
        object.insert("path".into(), shown(&join(inside)).into());
        object.insert("src".into(), shown(leads_to).into());
        object.insert("state".into(), "link".into());
        object.insert("force".into(), true.into());
        object.insert("follow".into(), false.into());
        made.push(Call { args: object, content: None });
    }
    let mut copied = Vec::new();
    for inside in &files {
        let mut own = args.clone();
        own.insert("dest".into(), shown(&join(inside)).into());
        copied.push(file_call(ctx, &own, &root.join(inside), &shown(inside))?);
    }
    let mut changed = false;
    let mut diffs = Vec::new();
    for (module, calls) in [("ansible.builtin.file", made), (COPY, copied)] {
        if calls.is_empty() {
            continue;
        }
        for answer in hands.calls(module, calls).await? {
            let result = crate::value::from_object(&answer.result);
            if flag(&result, "failed", false) {
                return Err(ActionError::Failed(result));
            }
            changed |= flag(&result, "changed", false);
            match result.get("diff").filter(|_| flag(&result, "changed", false)) {
                Some(Value::List(items)) => diffs.extend(items.iter().cloned()),
                Some(diff) => diffs.push(diff.clone()),
                None => {}
            }
        }
    }
    let mut out = Map::new();
    out.insert("changed".into(), Value::Bool(changed));
    let dest = if dest.ends_with('/') { dest } else { format!("{dest}/") };
    out.insert("dest".into(), dest.into());
    out.insert("src".into(), shown(&absolute(root)).into());
    if ctx.diff && !diffs.is_empty() {
        out.insert("diff".into(), Value::list(diffs));
    }
    Ok(out)
}

/// What is in a directory of the controller's, by paths inside it.
#[derive(Default)]
struct Tree {
    directories: Vec<PathBuf>,
    files: Vec<PathBuf>,
    /// Links, and where they lead to.
    links: Vec<(PathBuf, PathBuf)>,
}

impl Tree {
    /// Looks through a directory; with `follow`, links count as what they lead to, except those that lead nowhere or back
    /// to where they are. `above` are the directories on the way there.
    fn scan(&mut self, root: &Path, inside: &Path, follow: bool, above: &mut Vec<PathBuf>) -> std::io::Result<()> {
        let mut entries: Vec<_> = std::fs::read_dir(root.join(inside))?.collect::<Result<_, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        above.push(root.join(inside).canonicalize()?);
        let mut deeper = Vec::new();
        for entry in entries {
            let path = inside.join(entry.file_name());
            let full = root.join(&path);
            let end = if full.is_symlink() { full.canonicalize().ok() } else { None };
            if full.is_symlink() && (!follow || end.is_none_or(|end| above.contains(&end))) {
                self.links.push((path, std::fs::read_link(&full)?));
            } else if full.is_dir() {
                deeper.push(path);
            } else {
                self.files.push(path);
            }
        }
        // What is in a directory comes before what is in those below it.
        for path in deeper {
            self.directories.push(path.clone());
            self.scan(root, &path, follow, above)?;
        }
        above.pop();
        Ok(())
    }
}

/// How a `template` is carried out: rendered here, then a `copy`.
pub(super) fn template(ctx: &ActionContext<'_>, mut args: Map) -> Result<Plan, ActionError> {
    let Some(src) = text(&args, "src").filter(|_| text(&args, "dest").is_some()) else {
        return Err(ActionError::failed("src and dest are required"));
    };
    super::loosen(&mut args, &["follow"]);
    ctx.check_args(ctx.module, &args)?;
    let path = ctx.file(&src, "templates")?;
    let mut options = FileOptions::of_args(&args);
    options.line_end = match text(&args, "newline_sequence").as_deref() {
        None | Some("\n" | "\\n") => "\n".to_owned(),
        Some("\r" | "\\r") => "\r".to_owned(),
        Some("\r\n" | "\\r\\n") => "\r\n".to_owned(),
        Some(_) => return Err(ActionError::failed("newline_sequence needs to be one of: \n, \r or")),
    };
    let encoding = text(&args, "output_encoding").unwrap_or_default();
    let rendered = ctx.templar.with_template(&path, text(&args, "dest").as_deref()).file(&path, &options)?;
    let bytes = encode(&rendered, &encoding).map_err(ActionError::failed)?;
    for key in [
        "src",
        "newline_sequence",
        "output_encoding",
        "block_start_string",
        "block_end_string",
        "variable_start_string",
        "variable_end_string",
        "comment_start_string",
        "comment_end_string",
        "trim_blocks",
        "lstrip_blocks",
    ] {
        args.shift_remove(key);
    }
    args.insert("src".into(), made_name(&args).into());
    let mut object = to_json(&args);
    let name = shown(Path::new(path.file_name().unwrap_or_default()));
    object.insert("_original_basename".into(), name.into());
    let mode = std::fs::metadata(&path).map(|m| m.mode() & 0o7777).unwrap_or(0o644);
    let told = shown(&absolute(&path));
    object.insert("src".into(), told.clone().into());
    object.insert("_source_name".into(), told.into());
    object.insert("_source_mode".into(), mode.into());
    Ok(Plan::Remote { module: COPY, call: Call { args: object, content: Some(Content::Bytes(bytes)) } })
}
