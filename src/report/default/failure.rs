//! Why a task failed, with the places that have to do with it.

use super::Report;
use super::display::origin;
use crate::diagnostic::Diagnostic;
use crate::engine::UNLABELLED;
use crate::engine::event::{HostResult, Verdict};
use crate::playbook::Task;
use crate::source::Span;
use crate::value::{Map, Value};

/// Actions of the reference that do their work on the controller: their failure is the action's, not a module's.
const ACTIONS: &[&str] = &[
    "add_host",
    "assert",
    "debug",
    "fail",
    "fetch",
    "gather_facts",
    "group_by",
    "include_tasks",
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

/// How what is said of a task's arguments begins that cannot be evaluated.
const FINALIZATION: &str = "Finalization of task args for '";

/// What helps where conditions are of other types.
const BROKEN_CONDITIONS: &str =
    "Broken conditionals can be temporarily allowed with the `ALLOW_BROKEN_CONDITIONALS` configuration option.\n\n";

/// What helps where a loop has no list.
const A_LIST: &str = "Provide a list of items/templates, or a template resolving to a list.\n\n";

/// What helps where a template is not the user's own.
const TRUSTED_SOURCES: &str = "Templates and expressions must be defined by trusted sources such as playbooks or roles, not untrusted sources such as module results.\n\n";

/// What helps where something was omitted that cannot be.
const PREPARED: &str =
    "Callers must be prepared to handle this value. This is most likely a bug in the code requesting templating.\n\n";

/// What helps where a variable has a name that none can have.
const NAMES: &str = "Variable names must be strings starting with a letter or underscore character, and contain only letters, numbers and underscores.\n\n";

impl Report {
    /// Says why a task failed.
    pub(super) fn failure(&self, result: &HostResult) {
        let place = place_of(&result.task);
        let to_stderr = self.settings().display_failed_stderr;
        let is_told = |error: &Diagnostic| !result.no_log || error.message.starts_with(ABOUT_SECRECY);
        if let Some(error) = result.error.as_ref().filter(|error| is_told(error) && !is_misjudged(result)) {
            let said = result.result.get("msg").map(Value::to_text).unwrap_or_default();
            let message = error.message.clone();
            if said == message {
                return self.no_loop(result, &message, error);
            }
            let first = if said.starts_with("Task failed: ") { said } else { format!("Task failed: {message}") };
            if let Some((keyword, inner)) = of_keyword(&message) {
                return self.wrong_keyword(&first, result, keyword, inner, error);
            }
            let cause = first.trim_start_matches("Task failed: ");
            let mut text = format!("{first}\n\n");
            let inside = cause.strip_prefix(FINALIZATION).and_then(|rest| rest.split_once("' failed: "));
            match inside {
                Some((module, inner)) => {
                    let outer = format!("{FINALIZATION}{module}'");
                    let within = origin(result.task.action.span);
                    // Where the task begins with its action, that is one place.
                    let between =
                        if within == place { ": ".to_owned() } else { format!(".{place}<<< caused by >>>\n\n") };
                    text.push_str(&format!("Task failed{between}{outer} failed.{within}<<< caused by >>>\n\n"));
                    text.push_str(&in_frames(inner, error));
                }
                None => {
                    text.push_str(&format!("Task failed.{place}<<< caused by >>>\n\n{}", in_frames(cause, error)));
                }
            }
            let place = error.whole.or_else(|| error.span.map(|span| written(&result.task, span)));
            // Of a condition that comes to nothing the reference knows no place.
            let nothing = cause == crate::template::EMPTY_CONDITION && error.span == Some(result.task.span);
            text.push_str(&match place {
                _ if nothing => " ".to_owned(),
                place => place.map_or_else(|| "\n\n".to_owned(), origin),
            });
            if ["Conditional result (", "Conditional expressions must be", "Empty conditional "]
                .iter()
                .any(|begin| cause.starts_with(begin))
            {
                text.push_str(BROKEN_CONDITIONS);
            }
            if cause == crate::template::UNTRUSTED {
                text.push_str(TRUSTED_SOURCES);
            } else if cause == crate::template::OMITTED {
                text.push_str(PREPARED);
            } else if cause.starts_with(crate::engine::NO_NAME) {
                text.push_str(NAMES);
            }
            self.display.error(&text, to_stderr);
            return;
        }
        let unlabelled = result.result.get("msg").and_then(Value::as_str).is_some_and(|m| m.starts_with(UNLABELLED));
        let unread = result.result.get("reason").is_some()
            || result.task.is_include() && result.result.get("censored").is_some();
        if unread || unlabelled {
            // What is included could not be read, or an item could not be called: the result says it all, or nothing.
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
        if let Some(modules) = result.result.get("failed_modules").and_then(Value::as_map) {
            let said = message.trim_start_matches("Action failed: ");
            let mut text =
                format!("Task failed: {message}\n\nTask failed: Action failed.{place}<<< caused by >>>\n\n{said}\n\n");
            for (at, failure) in modules.values().enumerate() {
                let inner = failure.get("msg").map(Value::to_text).unwrap_or_default();
                let count = format!("{} of {}", at + 1, modules.len());
                text.push_str(&format!("+--[ Sub-Event {count} ]---\n| \n| {inner}\n| \n+--[ End Sub-Event ]---\n\n"));
            }
            return self.display.error(&text, to_stderr);
        }
        self.display.error(&format!("Task failed: {message}{place}"), to_stderr);
    }

    /// Says of a loop that it cannot be, or that it cannot be told when it ends.
    fn no_loop(&self, result: &HostResult, message: &str, error: &Diagnostic) {
        let task = &result.task;
        let place = error.whole.or_else(|| error.span.map(|span| written(task, span)));
        let place = place.map_or_else(|| "\n\n".to_owned(), origin);
        let help = match message {
            crate::template::OMITTED => PREPARED,
            message if message.starts_with(crate::engine::NOT_A_LIST) => A_LIST,
            message if message.starts_with(crate::engine::NO_NAME) => NAMES,
            _ => "",
        };
        // Of what a lookup itself says the reference knows no place.
        let of_lookup = task.looped.as_ref().is_some_and(|looped| looped.lookup.is_some())
            && error.span == Some(task.span)
            && message.starts_with("The lookup plugin '");
        let text = match of_keyword(message) {
            Some((keyword, inner)) => {
                format!("{message}\n\nError processing keyword '{keyword}'.{place}<<< caused by >>>\n\n{inner}{place}")
            }
            None if of_lookup => format!("{message}\nOrigin: <unknown>\n\ninvoke_lookup()\n\n"),
            None => format!("{message}{place}{help}"),
        };
        self.display.error(&text, self.settings().display_failed_stderr);
    }

    /// Says what a keyword came to that it cannot be: the keyword's place, and that of what it came to.
    fn wrong_keyword(&self, first: &str, result: &HostResult, keyword: &str, inner: &str, error: &Diagnostic) {
        let task = &result.task;
        let outer = task.place_of(keyword);
        let inner_place = error.span.filter(|span| *span != task.span).map(|span| written(task, span)).or(outer);
        let shown = |place: Option<Span>| place.map_or_else(|| "\n\n".to_owned(), origin);
        let text = format!(
            "{first}\n\nTask failed.{}<<< caused by >>>\n\nError processing keyword '{keyword}'.{}<<< caused by \
             >>>\n\n{inner}{}",
            place_of(task),
            shown(outer),
            shown(inner_place)
        );
        self.display.error(&text, self.settings().display_failed_stderr);
    }

    fn reason(&self, result: &HostResult) -> String {
        let said = result.result.get("msg").map(Value::to_text).unwrap_or_default();
        if result.verdict == Verdict::Unreachable {
            return said.trim_start_matches("Task failed: ").to_owned();
        }
        // What conditions say of a result is not the module's, unless the module had failed by itself.
        let has = |name: &str| result.result.get(name).is_some();
        let rc = result.result.get("rc");
        let by_itself = rc.is_some_and(|rc| !matches!(rc, Value::Int(0)));
        let tried = rc.is_some() && has("attempts");
        let judged = (has("failed_when_result") || has("changed_when_result") || tried) && !by_itself
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
            said => {
                let own = ["Task failed: Action failed: ", "Task failed: Module failed: "];
                let said = own.iter().find_map(|begin| said.strip_prefix(begin)).unwrap_or(said);
                format!("{whose} failed: {said}")
            }
        }
    }
}

/// Where a task is written; nowhere when it is the engine's own. Of a role's arguments the check itself is shown, as far as
/// there is room.
fn place_of(task: &Task) -> String {
    if !task.is_own() {
        return origin(task.span);
    }
    if task.action.module != "ansible.builtin.validate_argument_spec" {
        return "\n\n".to_owned();
    }
    let args = Value::map(task.action.args.clone());
    let check = Map::from_iter([("action".into(), task.action.module.into()), ("args".into(), args)]);
    format!("\nOrigin: <unknown>\n\n{}\n\n", shortened(&crate::template::python_repr(&Value::map(check))))
}

/// A text of one line, with as many of its words as there is room for.
fn shortened(text: &str) -> String {
    const ROOM: usize = 120;
    const MORE: &str = " [...]";
    let words: Vec<&str> = text.split_whitespace().collect();
    let whole = words.join(" ");
    if whole.chars().count() <= ROOM {
        return whole;
    }
    let mut out = String::new();
    for word in words {
        let needed = out.chars().count() + usize::from(!out.is_empty()) + word.chars().count() + MORE.len();
        if needed > ROOM {
            break;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out + MORE
}

/// How what is said of `no_log` itself begins.
const ABOUT_SECRECY: &str = "Error processing keyword 'no_log': ";

/// The keyword that came to what it cannot be, and what is said of that.
fn of_keyword(message: &str) -> Option<(&str, &str)> {
    let (keyword, inner) = message.strip_prefix("Error processing keyword '")?.split_once("': ")?;
    inner.starts_with("The value ").then_some((keyword, inner))
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

/// The text of the task that holds a place; the place itself where none does.
fn written(task: &Task, place: Span) -> Span {
    fn search(value: &Value, place: Span) -> Option<Span> {
        match value {
            Value::Str(text) => {
                text.origin().filter(|own| own.same_source(&place) && own.start <= place.start && place.end <= own.end)
            }
            Value::List(items) => items.iter().find_map(|item| search(item, place)),
            Value::Map(map) => map.values().find_map(|item| search(item, place)),
            _ => None,
        }
    }
    let context = &task.context;
    let conditions = [&context.when, &task.changed_when, &task.failed_when, &task.until].into_iter().flatten();
    let looped = task.looped.as_ref().map(|looped| &looped.items);
    let vars = context.vars.iter().flat_map(|map| map.values());
    let all = task.action.args.values().chain(conditions).chain(looped).chain(vars);
    let all = all.chain(context.values()).chain(task.outer.values()).chain(task.own_settings());
    all.into_iter().find_map(|value| search(value, place)).unwrap_or(place)
}
