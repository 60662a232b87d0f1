//! Why a task failed, with the places that have to do with it.

use super::Report;
use super::display::origin;
use crate::diagnostic::Diagnostic;
use crate::engine::UNLABELLED;
use crate::engine::event::{HostResult, Verdict};
use crate::value::Value;

/// Actions of the reference that do their work on the controller: their failure is the action's, not a module's.
const ACTIONS: &[&str] = &[
    "add_host",
    "assert",
    "debug",
    "fail",
    "fetch",
    "group_by",
    "include_vars",
    "pause",
    "raw",
    "reboot",
    "script",
    "set_fact",
    "set_stats",
    "template",
    "validate_argument_spec",
    "wait_for_connection",
];

/// What helps where conditions are of other types.
const BROKEN_CONDITIONS: &str =
    "Broken conditionals can be temporarily allowed with the `ALLOW_BROKEN_CONDITIONALS` configuration option.\n\n";

/// What helps where a loop has no list.
const A_LIST: &str = "Provide a list of items/templates, or a template resolving to a list.\n\n";

/// What helps where a template is not the user's own.
const TRUSTED_SOURCES: &str = "Templates and expressions must be defined by trusted sources such as playbooks or roles, not untrusted sources such as module results.\n\n";

impl Report {
    /// Says why a task failed.
    pub(super) fn failure(&self, result: &HostResult) {
        let place = origin(result.task.span);
        let to_stderr = self.settings().display_failed_stderr;
        if let Some(error) = result.error.as_ref().filter(|_| !result.no_log && !is_misjudged(result)) {
            let said = result.result.get("msg").map(Value::to_text).unwrap_or_default();
            let message = error.message.clone();
            if said == message {
                // A loop that cannot be, or that cannot be told when to end.
                let place = error.whole.or(error.span).map(origin).unwrap_or_else(|| "\n\n".to_owned());
                let help = if message.starts_with(crate::engine::NOT_A_LIST) { A_LIST } else { "" };
                return self.display.error(&format!("{message}{place}{help}"), to_stderr);
            }
            let first = if said.starts_with("Task failed: ") { said } else { format!("Task failed: {message}") };
            let cause = first.trim_start_matches("Task failed: ");
            let mut text = format!("{first}\n\n");
            match cause.split_once(" failed: Error while") {
                Some((outer, inner)) => {
                    let within = origin(result.task.action.span);
                    // Where the task begins with its action, that is one place.
                    let between =
                        if within == place { ": ".to_owned() } else { format!(".{place}<<< caused by >>>\n\n") };
                    text.push_str(&format!("Task failed{between}{outer} failed.{within}<<< caused by >>>\n\n"));
                    text.push_str(&in_frames(&format!("Error while{inner}"), error));
                }
                None => {
                    text.push_str(&format!("Task failed.{place}<<< caused by >>>\n\n{}", in_frames(cause, error)));
                }
            }
            let place = error.whole.or(error.span);
            text.push_str(&place.map(origin).unwrap_or_else(|| "\n\n".to_owned()));
            if ["Conditional result (", "Empty conditional "].iter().any(|begin| cause.starts_with(begin)) {
                text.push_str(BROKEN_CONDITIONS);
            }
            if cause == crate::template::UNTRUSTED {
                text.push_str(TRUSTED_SOURCES);
            }
            self.display.error(&text, to_stderr);
            return;
        }
        let unlabelled = result.result.get("msg").and_then(Value::as_str).is_some_and(|m| m.starts_with(UNLABELLED));
        if result.result.get("reason").is_some() || unlabelled {
            // What is included could not be read, or an item could not be called: the result says it all.
            return;
        }
        let message = self.reason(result);
        let rendered = ["ansible.builtin.template", "ansible.builtin.script"].contains(&result.task.action.module);
        if rendered && message.contains(crate::action::ON_CONTROLLER) {
            // These two say it as the cause.
            let text = format!("Task failed: {message}\n\nTask failed.{place}<<< caused by >>>\n\n{message}\n\n");
            self.display.error(&text, to_stderr);
            return;
        }
        self.display.error(&format!("Task failed: {message}{place}"), to_stderr);
    }

    fn reason(&self, result: &HostResult) -> String {
        let said = result.result.get("msg").map(Value::to_text).unwrap_or_default();
        if result.verdict == Verdict::Unreachable {
            return said.trim_start_matches("Task failed: ").to_owned();
        }
        // What conditions say of a result is not the module's, unless the module had failed by itself.
        let by_itself = result.result.get("rc").is_some_and(|rc| !matches!(rc, Value::Int(0)));
        let judged = result.result.get("failed_when_result").is_some() && !by_itself
            || said.starts_with("Task failed: Action failed: ");
        let short = result.task.action.module.rsplit('.').next().unwrap_or_default();
        let whose = if judged || ACTIONS.contains(&short) { "Action" } else { "Module" };
        match said.as_str() {
            // What is kept secret is not said here either.
            _ if result.no_log => format!("{whose} failed."),
            "" if result.result.get("attempts").is_some() => "Action failed.".to_owned(),
            "" => format!("{whose} failed."),
            said if said.starts_with("async task did not complete") => format!("Action failed: {said}"),
            said if result.raised => said.trim_start_matches("Task failed: ").to_owned(),
            said => format!("{whose} failed: {}", said.trim_start_matches("Task failed: Action failed: ")),
        }
    }
}

/// Whether `changed_when` or `failed_when` could not be evaluated: the result itself says why.
pub(super) fn is_misjudged(result: &HostResult) -> bool {
    ["changed_when_result", "failed_when_result"]
        .iter()
        .any(|key| result.result.get(key).is_some_and(|said| said.as_str().is_some()))
}

/// What the sentence about a mistake begins with that names where it is used, and what ends that part.
const FRAMES: [(&str, &str); 3] = [
    ("Error while resolving value for '", "': "),
    ("Error processing keyword '", "': "),
    ("Error while evaluating conditional", ": "),
];

/// What is said of a mistake: of one in a variable first where that is used, then the mistake itself.
fn in_frames(said: &str, error: &Diagnostic) -> String {
    let frame = FRAMES.iter().find(|(begin, _)| said.starts_with(begin));
    let parts = frame.and_then(|(_, end)| said.split_once(end).map(|(outer, inner)| (outer, end.trim_end(), inner)));
    match (parts, error.used) {
        (Some((outer, end, inner)), Some(used)) => {
            let quote = end.trim_end_matches(':');
            format!("{outer}{quote}.{}<<< caused by >>>\n\n{inner}", origin(used))
        }
        _ => said.to_owned(),
    }
}
