//! `include_vars`: variables of a file, or of the files of a directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fancy_regex::Regex;

use super::{ActionContext, ActionError, flag, list, text};
use crate::playbook::find_file;
use crate::source::load;
use crate::value::{Key, Map, Value};
use crate::vars::merged;

pub(super) fn include_vars(ctx: &ActionContext<'_>, args: &Map) -> Result<Map, ActionError> {
    ctx.check_args(ctx.module, args)?;
    let file = ["_raw_params", "file"].iter().find_map(|name| text(args, name));
    let (files, dir) = match (text(args, "dir"), file) {
        (Some(dir), None) => (files_of(ctx, args, &dir)?, true),
        (None, Some(file)) => (vec![named(ctx, &file)?], false),
        (Some(_), Some(_)) => return Err(ActionError::failed("dir and file are mutually exclusive")),
        (None, None) => {
            return Err(refused("Could not find file on the Ansible Controller: neither 'file' nor 'dir' says which"));
        }
    };
    let mut vars = Map::new();
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
        let node = load(path, &vault).map_err(|e| ActionError::failed(e.to_string()))?;
        secret |= node.as_ref().is_some_and(|node| node.span.source().encrypted);
        match node.map(|n| n.to_value()) {
            None => {}
            Some(Value::Map(map)) if merge_hashes => {
                vars = match merged(&Value::map(vars), &Value::Map(map)) {
                    Value::Map(all) => Arc::unwrap_or_clone(all),
                    _ => Map::new(),
                };
            }
            Some(Value::Map(map)) => vars.extend(map.iter().map(|(k, v)| (k.clone(), v.clone()))),
            Some(other) => {
                let message = format!("{} must be stored as a dictionary/hash, not {}", path.display(), other.kind());
                return Err(refused(&message));
            }
        }
    }
    let facts = match text(args, "name") {
        Some(name) => Map::from_iter([(Key::from(name), Value::map(vars))]),
        None => vars,
    };
    let facts = over_known(ctx, args, facts)?;
    let mut out = Map::new();
    out.insert("ansible_facts".into(), Value::map(facts));
    out.insert("ansible_included_var_files".into(), files.iter().map(|p| p.display().to_string()).collect());
    out.insert("changed".into(), Value::Bool(false));
    if secret {
        // What was encrypted is not shown.
        out.insert("_ansible_no_log".into(), Value::Bool(true));
    }
    Ok(out)
}

/// The file of this name.
fn named(ctx: &ActionContext<'_>, file: &str) -> Result<PathBuf, ActionError> {
    find_file(file, "vars", ctx.search).ok_or_else(|| {
        let searched = match ctx.file(file, "vars") {
            Err(ActionError::Failed(result)) => text(&result, "msg").unwrap_or_default(),
            _ => String::new(),
        };
        refused(&format!("Could not find file on the Ansible Controller: {searched}"))
    })
}

/// A failure under the reference's own key, and the usual one.
fn refused(message: &str) -> ActionError {
    ActionError::Failed(Map::from_iter([("message".into(), message.into()), ("msg".into(), message.into())]))
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
    let found = find_file(dir, "vars", ctx.search).filter(|path| path.is_dir());
    let Some(root) = found else { return Err(refused(&format!("{dir} directory does not exist"))) };
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
    for path in entries {
        if path.is_dir() {
            if depth == 0 || level < depth {
                collect(&path, level + 1, depth, out)?;
            }
        } else {
            out.push(path);
        }
    }
    Ok(())
}
