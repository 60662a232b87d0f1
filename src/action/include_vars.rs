//! `include_vars`: variables of a file, or of the files of a directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fancy_regex::Regex;

use super::{ActionContext, ActionError, flag, list, text};
use crate::source::load;
use crate::value::{Key, Map, Value};
use crate::vars::merged;

pub(super) fn include_vars(ctx: &ActionContext<'_>, args: &Map) -> Result<Map, ActionError> {
    if let Err(ActionError::Raised(failure)) = ctx.known_options(args) {
        let said = text(&failure, "msg").unwrap_or_default();
        let name = said.rsplit(": ").next().and_then(|names| names.split(',').next()).unwrap_or_default();
        return Err(ActionError::failed(format!("Task failed: {name} is not a valid option in include_vars")));
    }
    ctx.check_args(ctx.module, args)?;
    let mut vars = Map::new();
    let mut read = Vec::new();
    let secret = match gather(ctx, args, &mut vars, &mut read) {
        Ok(secret) => Some(secret),
        // Which files were read before is told, but not what was in them.
        Err(ActionError::Failed(failure)) if failure.contains_key("message") => {
            let facts = text(args, "name").map(|name| (Key::from(name), Value::map(Map::new())));
            let mut out = Map::new();
            out.insert("ansible_included_var_files".into(), told(&read));
            out.insert("ansible_facts".into(), Value::map(facts.into_iter().collect()));
            out.extend(failure);
            return Err(ActionError::Failed(out));
        }
        Err(other) => return Err(other),
    };
    let facts = match text(args, "name") {
        Some(name) => Map::from_iter([(Key::from(name), Value::map(vars))]),
        None => vars,
    };
    let facts = over_known(ctx, args, facts)?;
    let mut out = Map::new();
    out.insert("ansible_included_var_files".into(), told(&read));
    out.insert("ansible_facts".into(), Value::map(facts));
    out.insert("changed".into(), Value::Bool(false));
    if secret == Some(true) {
        // What was encrypted is not shown.
        out.insert("_ansible_no_log".into(), Value::Bool(true));
    }
    Ok(out)
}

/// What is said of arguments for a file and for a directory together.
const MIXED: &str = "Task failed: You are mixing file only and dir only arguments, these are incompatible";

/// The files that were read, as the result names them.
fn told(files: &[PathBuf]) -> Value {
    files.iter().map(|path| path.display().to_string()).collect()
}

/// Reads all files there are into `vars`, and says whether one was encrypted.
fn gather(ctx: &ActionContext<'_>, args: &Map, vars: &mut Map, read: &mut Vec<PathBuf>) -> Result<bool, ActionError> {
    let file = ["_raw_params", "file"].iter().find_map(|name| text(args, name));
    let (files, dir) = match (text(args, "dir"), file) {
        (Some(dir), None) => (files_of(ctx, args, &dir)?, true),
        (None, Some(file)) => (vec![named(ctx, &file)?], false),
        (Some(_), Some(_)) => return Err(ActionError::failed(MIXED)),
        (None, None) => {
            return Err(refused(&format!("Could not find file{}", super::ON_CONTROLLER)));
        }
    };
    let extensions = extensions(args);
    let vault = ctx.templar.variables().vault();
    let merge_hashes = merges(ctx);
    let mut secret = false;
    for path in &files {
        // As in the reference: a file that is named may end as it likes.
        if dir && !is_known(path, &extensions) {
            if flag(args, "ignore_unknown_extensions", false) {
                continue;
            }
            let message = format!("{} does not have a valid extension: {}", path.display(), extensions.join(", "));
            return Err(refused(&message));
        }
        let node = load(path, &vault).map_err(|e| {
            let said = e.to_string();
            if said.starts_with("this is not YAML") {
                refused(&format!("YAML parsing failed: {said}"))
            } else {
                ActionError::failed(said)
            }
        })?;
        secret |= node.as_ref().is_some_and(|node| node.span.source().encrypted);
        match node.map(|n| n.to_value()) {
            None => {}
            Some(Value::Map(map)) if merge_hashes => {
                *vars = match merged(&Value::map(std::mem::take(vars)), &Value::Map(map)) {
                    Value::Map(all) => Arc::unwrap_or_clone(all),
                    _ => Map::new(),
                };
            }
            Some(Value::Map(map)) => vars.extend(map.iter().map(|(k, v)| (k.clone(), v.clone()))),
            Some(_) => {
                return Err(refused(&format!("{} must be stored as a dictionary/hash", path.display())));
            }
        }
        read.push(path.clone());
    }
    Ok(secret)
}

/// The file of this name.
fn named(ctx: &ActionContext<'_>, file: &str) -> Result<PathBuf, ActionError> {
    match ctx.file(file, "vars") {
        Ok(path) => Ok(std::path::absolute(&path).unwrap_or(path)),
        Err(ActionError::Raised(result)) => Err(refused(&text(&result, "msg").unwrap_or_default())),
        Err(other) => Err(other),
    }
}

/// A failure under the reference's own key.
fn refused(message: &str) -> ActionError {
    ActionError::Failed(Map::from_iter([("message".into(), message.into())]))
}

/// The directory of this name: in a role it is below its `vars`, elsewhere beside the file of the task.
fn directory(ctx: &ActionContext<'_>, dir: &str) -> Result<PathBuf, ActionError> {
    let missing = |path: &str| refused(&format!("{path} directory does not exist"));
    let role = ctx.templar.variable("role_path").ok().flatten().map(|path| PathBuf::from(path.to_text()));
    let given = crate::playbook::expand_home(dir);
    let in_vars = given.components().next().is_some_and(|first| first.as_os_str() == "vars");
    let path = match (role, ctx.span.source().path.as_deref().and_then(Path::parent)) {
        _ if given.is_absolute() => given,
        (Some(role), _) if in_vars => {
            let path = role.join(&given);
            return if path.is_dir() { Ok(path) } else { Err(missing(dir)) };
        }
        (Some(role), _) => role.join("vars").join(given),
        (None, Some(beside)) => {
            let beside = if beside.as_os_str().is_empty() { Path::new(".") } else { beside };
            std::path::absolute(beside).unwrap_or_else(|_| beside.to_path_buf()).join(dir)
        }
        (None, None) => given,
    };
    if path.is_dir() { Ok(path) } else { Err(missing(&path.display().to_string())) }
}

/// Whether the configuration says that dictionaries are put together.
fn merges(ctx: &ActionContext<'_>) -> bool {
    let settings = ctx.templar.variables().settings();
    settings.get("DEFAULT_HASH_BEHAVIOUR").is_some_and(|s| s.value.as_str() == Some("merge"))
}

/// With a `hash_behaviour` other than the configured one, the new variables over those that are there.
fn over_known(ctx: &ActionContext<'_>, args: &Map, vars: Map) -> Result<Map, ActionError> {
    let merge = match text(args, "hash_behaviour").as_deref() {
        None => return Ok(vars),
        Some("merge") => true,
        Some("replace") => false,
        Some(other) => {
            let message = format!("value of hash_behaviour must be one of: replace, merge, got: {other}");
            return Err(ActionError::failed(message));
        }
    };
    if !merge || merges(ctx) {
        return Ok(vars);
    }
    let over = |(key, value): (Key, Value)| {
        let before = key.as_str().and_then(|name| ctx.templar.variable(name).ok().flatten());
        let value = before.map_or_else(|| value.clone(), |before| merged(&before, &value));
        (key, value)
    };
    Ok(vars.into_iter().map(over).collect())
}

/// Whether a file's ending is one of these; the empty word means none.
fn is_known(path: &Path, extensions: &[String]) -> bool {
    let ending = path.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
    extensions.contains(&ending)
}

fn extensions(args: &Map) -> Vec<String> {
    let given = match args.get("extensions") {
        Some(Value::List(items)) => items.iter().map(Value::to_text).collect(),
        _ => list(args, "extensions"),
    };
    if given.is_empty() { vec!["yaml".into(), "yml".into(), "json".into()] } else { given }
}

fn files_of(ctx: &ActionContext<'_>, args: &Map, dir: &str) -> Result<Vec<PathBuf>, ActionError> {
    let root = directory(ctx, dir)?;
    let depth = text(args, "depth").and_then(|d| d.trim().parse::<usize>().ok()).unwrap_or(0);
    let pattern = |text: &str| {
        Regex::new(text).map_err(|e| ActionError::failed(format!("'{text}' is not a regular expression: {e}")))
    };
    let matching = text(args, "files_matching").map(|p| pattern(&p)).transpose()?;
    let ignored =
        list(args, "ignore_files").iter().map(|p| pattern(&format!("{p}$"))).collect::<Result<Vec<_>, _>>()?;
    let extensions = extensions(args);
    let mut out = Vec::new();
    collect(&root, 1, depth, &mut out)
        .map_err(|e| ActionError::failed(format!("cannot read {}: {e}", root.display())))?;
    out.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is = |regex: &Regex| regex.is_match(name.as_ref()).unwrap_or(false);
        (is_known(path, &extensions) || !flag(args, "ignore_unknown_extensions", false))
            && matching.as_ref().is_none_or(is)
            && !ignored.iter().any(is)
    });
    Ok(out)
}

fn collect(directory: &Path, level: usize, depth: usize, out: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(directory)?.filter_map(Result::ok).map(|e| e.path()).collect();
    entries.sort();
    // As in the reference, what is deeper comes later, and so over it.
    let (directories, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.into_iter().partition(|path| path.is_dir());
    out.extend(files);
    let deeper = directories.iter().filter(|_| depth == 0 || level < depth);
    deeper.into_iter().try_for_each(|path| collect(path, level + 1, depth, out))
}
