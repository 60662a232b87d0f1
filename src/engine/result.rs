//! From what a module said to a verdict: `changed_when`, `failed_when`, and what every result has.

use super::event::Verdict;
use super::invocation::{INVOCATION, Invocation};
use crate::action::NO_TRACEBACK;
use crate::playbook::Task;
use crate::remote::RemoteError;
use crate::template::{Templar, TemplateError};
use crate::value::{Key, Map, Value};

/// A result that says the task failed.
pub(super) fn failed(message: impl Into<String>) -> Map {
    Map::from_iter([
        ("failed".into(), Value::Bool(true)),
        ("changed".into(), Value::Bool(false)),
        ("msg".into(), Value::from(message.into())),
        ("exception".into(), Value::from(NO_TRACEBACK)),
    ])
}

/// A result that says the task was given up: it is not judged, and not tried again.
pub(super) fn given_up(message: impl Into<String>) -> Map {
    let mut out = failed(message);
    out.insert(RAISED.into(), Value::Bool(true));
    out
}

/// A result that says a condition said no.
pub(super) fn skipped(condition: &Value) -> Map {
    Map::from_iter([
        ("changed".into(), Value::Bool(false)),
        ("skipped".into(), Value::Bool(true)),
        ("skip_reason".into(), Value::from("Conditional result was False")),
        // As in the reference it is the condition itself: one in braces is evaluated where it is asked for.
        ("false_condition".into(), condition.clone()),
    ])
}

/// A result that says the host could not be spoken to (or the worker did not do its part).
pub(super) fn of_error(error: &RemoteError) -> Map {
    let mut out = failed(error.to_string());
    if error.is_unreachable() {
        out.shift_remove("failed");
        out.shift_remove("exception");
        let message = match error {
            RemoteError::BecomeTimeout(message) => format!("Task failed: {message}"),
            other => format!("Task failed: Failed to connect to the host via ssh: {other}"),
        };
        out.insert("msg".into(), Value::from(message));
        out.insert("unreachable".into(), Value::Bool(true));
    }
    out
}

/// What an action says of a result that must not be shown.
pub(super) const NO_LOG: &str = "_ansible_no_log";

/// What the result of an action that was given up has: it is not judged, and not tried again.
pub(super) const RAISED: &str = "_ansible_raised";

/// What a failure has that an action found by itself.
pub(super) const TOLD: &str = "_ansible_told";

/// What a host answered; what an action of the reference gives up on itself is marked as that.
pub(super) fn of_answer(module: &str, answer: &crate::remote::Answer) -> Map {
    let mut out = crate::value::from_object(&answer.result);
    if crate::action::gave_up(module, &out) {
        out.insert(RAISED.into(), Value::Bool(true));
    }
    out
}

/// The failure of gathering facts: that of the one module that gathers them is in it.
pub(super) fn of_gathering(mut failure: Map, args: Map) -> Map {
    const MODULE: &str = "ansible.legacy.setup";
    failure.retain(|key, _| key.as_str() == Some("msg"));
    if let Some(said) = failure.get_mut("msg") {
        *said = said.to_text().replace("(setup) module", "(ansible.legacy.setup) module").into();
    }
    let invoked = super::invocation::invocation("ansible.builtin.setup", &crate::action::to_json(&args));
    failure.extend(invoked.map(|invoked| (INVOCATION.into(), invoked)));
    failure.insert("failed".into(), Value::Bool(true));
    failure.insert("exception".into(), NO_TRACEBACK.into());
    let mut out = failed(format!("The following modules failed to execute: {MODULE}."));
    out.insert("ansible_facts".into(), Map::new().into());
    out.insert("failed_modules".into(), Map::from_iter([(MODULE.into(), Value::map(failure))]).into());
    out
}

/// Whether a result, or one of a loop's, says so.
pub(super) fn keeps_secret(result: &Map) -> bool {
    let items = result.get("results").and_then(Value::as_list).unwrap_or_default();
    flag(result, NO_LOG) || items.iter().filter_map(Value::as_map).any(|item| flag(item, NO_LOG))
}

/// What may be seen of a result that `no_log` keeps secret.
pub(super) fn censored(result: &Map) -> Map {
    const SENTENCE: &str =
        "the output has been hidden due to the fact that 'no_log: true' was specified for this result";
    let mut out = Map::new();
    out.insert("censored".into(), Value::from(SENTENCE));
    for key in ["changed", "attempts", "retries"] {
        if let Some(value @ (Value::Bool(_) | Value::Int(_))) = result.get(key) {
            out.insert(key.into(), value.clone());
        }
    }
    out
}

/// Adds an `invocation` to a result that has none of its own; a module that was not reached was not invoked.
pub(super) fn add_invocation(result: &mut Map, invocation: Option<Invocation>) {
    if let Some(invocation) = invocation.filter(|_| !flag(result, "unreachable") && !result.contains_key(INVOCATION)) {
        let invocation = invocation.with(result);
        result.insert(INVOCATION.into(), invocation);
    }
}

/// Takes out of a result, and of a loop's, what an action says to the engine alone.
pub(super) fn without_own_words(result: &mut Map) {
    let own = |map: &Map| map.keys().any(|key| key.as_str().is_some_and(|name| name.starts_with("_ansible_")));
    let strip = |map: &mut Map| map.retain(|key, _| !key.as_str().is_some_and(|name| name.starts_with("_ansible_")));
    strip(result);
    if let Some(Value::List(items)) = result.get("results")
        && items.iter().filter_map(Value::as_map).any(own)
    {
        let stripped = items.iter().map(|item| match item.as_map() {
            Some(map) => {
                let mut map = map.clone();
                strip(&mut map);
                Value::map(map)
            }
            None => item.clone(),
        });
        let stripped = stripped.collect();
        result.insert("results".into(), Value::list(stripped));
    }
}

/// Takes `invocation` out of a result: as in the reference, only the items of a loop keep theirs in a variable.
pub(super) fn without_invocation(result: &mut Map) {
    result.shift_remove(INVOCATION);
}

/// Whether a key of a result says yes.
pub(super) fn flag(result: &Map, key: &str) -> bool {
    result.get(key).and_then(Value::to_bool).unwrap_or(false)
}

/// What a finished result means.
pub(super) fn verdict(result: &Map) -> Verdict {
    if flag(result, "unreachable") {
        Verdict::Unreachable
    } else if has_failed(result) {
        Verdict::Failed
    } else if flag(result, "skipped") {
        Verdict::Skipped
    } else if flag(result, "changed") {
        Verdict::Changed
    } else {
        Verdict::Ok
    }
}

/// Whether a result counts as a failure: what `failed_when` came to decides where it was asked, in a loop for all items.
fn has_failed(result: &Map) -> bool {
    let judged = |result: &Map| {
        result.get("failed_when_result").map(|value| value.to_bool().unwrap_or(crate::template::truthy(value)))
    };
    if let Some(failed) = judged(result) {
        return failed;
    }
    let items = result.get("results").and_then(Value::as_list).unwrap_or_default().iter().filter_map(Value::as_map);
    let verdicts: Vec<Option<bool>> = items.map(judged).collect();
    if verdicts.iter().any(Option::is_some) {
        return verdicts.contains(&Some(true));
    }
    flag(result, "failed")
}

/// Adds what every result has: `failed`, `changed`, the lines of outputs.
pub(super) fn complete(module: &str, result: &mut Map) {
    if !result.contains_key("failed") && !flag(result, "skipped") {
        let rc_bad = match result.get("rc") {
            Some(Value::Int(rc)) => *rc != 0,
            Some(Value::Str(rc)) => rc.as_str() != "0" && !rc.as_str().is_empty(),
            _ => false,
        };
        if rc_bad {
            result.insert("failed".into(), Value::Bool(true));
        }
    }
    if flag(result, "failed") {
        result.entry("exception".into()).or_insert(NO_TRACEBACK.into());
    }
    result.entry("changed".into()).or_insert(Value::Bool(false));
    if module == "ansible.builtin.pause" {
        // It is no output of a program.
        return;
    }
    for stream in ["stdout", "stderr"] {
        let lines = format!("{stream}_lines");
        if let Some(text) = result.get(stream).and_then(Value::as_str)
            && !result.contains_key(lines.as_str())
        {
            let split: Value = lines_of(text).into_iter().map(ToOwned::to_owned).collect();
            result.insert(Key::from(lines), split);
        }
    }
}

/// The lines of a text as Python's `splitlines` has them: a carriage return alone ends one too, and so do some rarer signs.
fn lines_of(text: &str) -> Vec<&str> {
    let ends = |c: char| matches!(c, '\n'..='\r' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(ends) {
        let (line, more) = rest.split_at(at);
        lines.push(line);
        let end = if more.starts_with("\r\n") { 2 } else { more.chars().next().map_or(0, char::len_utf8) };
        rest = more.get(end..).unwrap_or_default();
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// Applies `changed_when` and `failed_when`; a templar of `seeing` sees a result under its registered name, that of
/// `failed_when` what `changed_when` made of it.
pub(super) fn judge(task: &Task, seeing: &dyn Fn(&Map) -> Templar, result: &mut Map) -> Result<(), TemplateError> {
    if flag(result, "skipped") || flag(result, "unreachable") {
        return Ok(());
    }
    let unknown = |error: &TemplateError| {
        let before = if error.is_undefined { "Error while evaluating conditional: " } else { "" };
        Value::from(format!("{before}{}", error.message))
    };
    if !task.changed_when.is_empty() {
        match all(&seeing(result), &task.changed_when) {
            Ok(verdict) => drop(result.insert("changed".into(), Value::Bool(verdict))),
            Err(error) => {
                result.insert("changed_when_result".into(), unknown(&error));
                fail(result);
                return Err(error);
            }
        }
    }
    if !task.failed_when.is_empty() {
        match all(&seeing(result), &task.failed_when) {
            Ok(true) => {
                result.insert("failed_when_result".into(), Value::Bool(true));
                fail(result);
            }
            Ok(false) => {
                result.insert("failed_when_result".into(), Value::Bool(false));
                result.insert("failed".into(), Value::Bool(false));
                if let Some(exception) = result.shift_remove("exception") {
                    result.insert("failed_when_suppressed_exception".into(), exception);
                }
            }
            Err(error) => {
                result.insert("failed_when_result".into(), unknown(&error));
                fail(result);
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Brings the keys of a result into the reference's order, which shows where a result is printed as text.
pub(super) fn order(module: &str, result: &mut Map) {
    const COMMAND: [&str; 13] = [
        "changed",
        "stdout",
        "stderr",
        "rc",
        "cmd",
        "start",
        "end",
        "delta",
        "failed",
        "msg",
        "invocation",
        "stdout_lines",
        "stderr_lines",
    ];
    /// Of content that was there already.
    const COPIED_BEFORE: [&str; 12] =
        ["diff", "path", "changed", "uid", "gid", "owner", "group", "mode", "state", "size", "checksum", "dest"];
    if flag(result, "skipped") {
        return;
    }
    let first: &[&str] = match module.strip_prefix("ansible.builtin.").unwrap_or(module) {
        "command" | "shell" => &COMMAND,
        "stat" | "add_host" | "tempfile" => &["changed"],
        "file" if !result.contains_key("uid") => &["path", "changed"],
        "group" => &["name", "state", "changed"],
        "assemble" => &["src", "dest", "checksum", "md5sum", "changed"],
        "lineinfile" => &["changed", "found", "msg", "backup", "diff"],
        "blockinfile" => &["changed", "msg", "diff", "backup_file"],
        "replace" => &["rc", "backup_file", "msg", "changed"],
        "find" => &["files", "changed", "msg", "matched", "examined", "skipped_paths"],
        "fetch" => &["changed", "md5sum", "file", "dest", "remote_md5sum", "checksum", "remote_checksum"],
        "copy" | "template" if result.contains_key("path") => &COPIED_BEFORE,
        "copy" | "template" => &["diff", "dest", "src", "md5sum", "checksum", "changed", "backup_file"],
        "debug" | "set_fact" | "ping" | "include_vars" | "fail" | "slurp" | "getent" | "setup" | "wait_for"
        | "mount_facts" => {
            // Their results do not say whether something changed; that comes last.
            let last = ["changed", "exception"].map(|key| result.shift_remove_entry(&Key::from(key)));
            result.entry("failed".into()).or_insert(Value::Bool(false));
            return result.extend(last.into_iter().flatten());
        }
        _ => &[],
    };
    if flag(result, "failed") && first != &COMMAND[..] {
        // A failure says how it went before it says that nothing changed.
        let last = ["failed", "msg", "stdout_lines", "stderr_lines", "changed", "exception"];
        let last = last.map(|key| result.shift_remove_entry(&Key::from(key)));
        return result.extend(last.into_iter().flatten());
    }
    let mut out: Map = first.iter().filter_map(|key| result.shift_remove_entry(&Key::from(*key))).collect();
    // What is told of a file comes behind what was done.
    if !out.contains_key("changed")
        && let Some(at) = result.get_index_of("uid")
        && let Some(changed) = result.shift_remove("changed")
    {
        result.shift_insert(at, "changed".into(), changed);
    }
    out.append(result);
    *result = out;
}

/// Makes a result one of a failure.
pub(super) fn fail(result: &mut Map) {
    result.insert("failed".into(), Value::Bool(true));
    result.entry("msg".into()).or_insert_with(|| Value::from("Task failed: Action failed: Unknown error."));
    result.entry("exception".into()).or_insert(NO_TRACEBACK.into());
}

/// Whether all conditions hold.
pub(super) fn all(templar: &Templar, conditions: &[Value]) -> Result<bool, TemplateError> {
    for condition in conditions {
        if !templar.condition(condition)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What all items of a loop come to together.
pub(super) fn combine(mut results: Vec<Map>) -> Map {
    // What items warn of is the whole task's.
    let said = ["warnings", "deprecations"].map(|key| {
        let of_items = results.iter_mut().filter_map(|result| result.shift_remove(key));
        (key, of_items.flat_map(|said| said.as_list().unwrap_or_default().to_vec()).collect::<Vec<_>>())
    });
    let any = |key: &str| results.iter().any(|r| flag(r, key));
    let all_skipped = !results.is_empty() && results.iter().all(|r| flag(r, "skipped"));
    let (changed, unreachable, failed) = (any("changed"), any("unreachable"), any("failed"));
    let message = match (failed, all_skipped) {
        (true, _) => "One or more items failed",
        (_, true) => "All items skipped",
        _ => "All items completed",
    };
    // In the reference's order, which shows where the whole result is printed.
    let mut out = Map::new();
    out.insert("results".into(), Value::list(results.into_iter().map(Value::map).collect()));
    out.insert("skipped".into(), Value::Bool(all_skipped));
    if changed {
        out.insert("changed".into(), Value::Bool(true));
    }
    if failed {
        out.insert("failed".into(), Value::Bool(true));
    }
    if unreachable {
        out.insert("unreachable".into(), Value::Bool(true));
    }
    for (key, said) in said {
        if !said.is_empty() {
            out.insert(key.into(), Value::list(said));
        }
    }
    out.insert("msg".into(), Value::from(message));
    out.insert("changed".into(), Value::Bool(changed));
    out
}

#[cfg(test)]
mod line_tests {
    use super::lines_of;

    #[test]
    fn lines_end_as_in_python() {
        assert_eq!(lines_of("a\r\nb\rc\n\nd"), ["a", "b", "c", "", "d"]);
        assert_eq!(lines_of("5%\r10%\r\n"), ["5%", "10%"]);
        assert_eq!(lines_of("a\u{2028}b\u{c}c\u{85}"), ["a", "b", "c"]);
        assert!(lines_of("").is_empty());
    }
}
