//! The report of the command `ansible`: one host, one result, as JSON or as what the command said.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::unified;
use crate::diagnostic::Diagnostic;
use crate::engine::event::{Event, HostResult, Verdict};
use crate::template::filters::dumps;
use crate::value::{Key, Map, Value};

/// Modules whose output is shown as it is.
const COMMANDS: &[&str] =
    &["ansible.builtin.command", "ansible.builtin.shell", "ansible.builtin.raw", "ansible.builtin.script"];

/// How results are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shape {
    /// Over several lines.
    #[default]
    Minimal,
    /// On one line each.
    OneLine,
}

/// Shows results on standard output.
pub struct Minimal {
    shape: Shape,
    diff: bool,
    tree: Option<PathBuf>,
    say: fn(&[Diagnostic]),
    out: Mutex<()>,
}

impl Minimal {
    /// A report; with `tree` every host's result is written to a file of its name there too. Messages go through `say`.
    #[must_use]
    pub fn new(shape: Shape, diff: bool, tree: Option<PathBuf>, say: fn(&[Diagnostic])) -> Self {
        Self { shape, diff, tree, say, out: Mutex::new(()) }
    }

    /// Shows an event, when it is one to show.
    pub fn event(&self, event: &Event) {
        match event {
            Event::Result(result) => self.result(result),
            Event::Warning(diagnostic) | Event::Error(diagnostic) => (self.say)(std::slice::from_ref(diagnostic)),
            _ => {}
        }
    }

    fn result(&self, result: &HostResult) {
        for text in result.result.get("warnings").and_then(Value::as_list).unwrap_or_default() {
            (self.say)(&[Diagnostic::warning("report::warning", text.to_text())]);
        }
        let text = self.text(result);
        if let Some(tree) = &self.tree
            && let Err(error) = write_tree(tree, result)
        {
            let message = format!("Unable to write to {}/{}: {error}", tree.display(), result.host);
            (self.say)(&[Diagnostic::warning("report::tree", message)]);
        }
        let _order = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // A reader that went away ends the writing, not the run.
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }

    fn text(&self, result: &HostResult) -> String {
        let host = &result.host;
        let text = match (result.verdict, self.shape) {
            (Verdict::Skipped, _) => format!("{host} | SKIPPED"),
            (Verdict::Unreachable, Shape::OneLine) => format!("{host} | UNREACHABLE!: {}", field(result, "msg")),
            (Verdict::Unreachable, Shape::Minimal) => {
                format!("{host} | UNREACHABLE! => {}", dumps(&clean(result, Shape::Minimal), Some(4), ","))
            }
            (Verdict::Failed, Shape::Minimal) => self.done(result, "FAILED", "FAILED!"),
            (Verdict::Failed, Shape::OneLine) => {
                let line = format!("{host} | FAILED! => {}", one_line(result));
                if is_command(result) { format!("{}\n{line}", output_line(result, "FAILED")) } else { line }
            }
            (verdict, _) => {
                let word = if verdict == Verdict::Changed { "CHANGED" } else { "SUCCESS" };
                self.done(result, word, word)
            }
        };
        match result.result.get("diff").filter(|_| self.diff && self.shape == Shape::Minimal).map(unified) {
            Some(diff) if !diff.is_empty() => format!("{diff}\n{text}"),
            _ => text,
        }
    }

    /// What a module that ran came to.
    fn done(&self, result: &HostResult, output: &str, word: &str) -> String {
        let host = &result.host;
        match (is_command(result), self.shape) {
            (true, Shape::Minimal) => {
                let said = ["stdout", "stderr", "msg"].map(|name| field(result, name)).concat();
                format!("{host} | {output} | rc={} >>\n{said}", code(result))
            }
            (true, Shape::OneLine) => output_line(result, output),
            (false, Shape::Minimal) => {
                format!("{host} | {word} => {}", dumps(&clean(result, Shape::Minimal), Some(4), ","))
            }
            (false, Shape::OneLine) => format!("{host} | {word} => {}", one_line(result)),
        }
    }
}

fn is_command(result: &HostResult) -> bool {
    COMMANDS.contains(&result.task.action.module) && result.result.get("ansible_job_id").is_none() && !result.no_log
}

fn field(result: &HostResult, name: &str) -> String {
    result.result.get(name).filter(|value| !value.is_null()).map(Value::to_text).unwrap_or_default()
}

fn code(result: &HostResult) -> i64 {
    result.result.get("rc").and_then(Value::as_int).unwrap_or(-1)
}

fn output_line(result: &HostResult, word: &str) -> String {
    let said = |name: &str| field(result, name).replace('\n', "\\n");
    let stderr = Some(said("stderr")).filter(|text| !text.is_empty());
    let stderr = stderr.map(|text| format!(" (stderr) {text}")).unwrap_or_default();
    format!("{} | {word} | rc={} | (stdout) {}{stderr}", result.host, code(result), said("stdout"))
}

fn one_line(result: &HostResult) -> String {
    let fields = clean(result, Shape::OneLine);
    if is_debug(result) {
        return dumps(&fields, Some(4), ",").replace('\n', "");
    }
    dumps(&fields, None, ",")
}

fn is_debug(result: &HostResult) -> bool {
    result.task.action.module == "ansible.builtin.debug"
}

/// The return values that people see; a `debug` that went well says nothing but what it was told to.
fn clean(result: &HostResult, shape: Shape) -> Value {
    let Some(fields) = result.result.as_map() else { return result.result.as_ref().clone() };
    let quiet = is_debug(result) && result.verdict == Verdict::Ok && shape == Shape::Minimal;
    let hidden = |name: &str| {
        name.starts_with("_ansible")
            || matches!(name, "failed" | "invocation" | "diff" | "warnings" | "deprecations" | "exception")
            || (name == "changed" && quiet)
    };
    let mut out: Map = fields
        .iter()
        .filter(|(key, _)| !key.as_str().is_some_and(hidden))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if !out.contains_key("changed") && !quiet {
        out.insert(Key::from("changed"), Value::Bool(result.verdict == Verdict::Changed));
    }
    Value::map(out)
}

/// Writes a host's result to a file of its name. A name that would leave the directory is refused.
fn write_tree(tree: &std::path::Path, result: &HostResult) -> std::io::Result<()> {
    let host = result.host.as_ref();
    if host.contains('/') || matches!(host, "." | "..") {
        return Err(std::io::Error::other("the host's name is not the name of a file"));
    }
    std::fs::create_dir_all(tree)?;
    #[allow(clippy::disallowed_methods)] // A file of the user's, here.
    std::fs::write(tree.join(host), dumps(&clean(result, Shape::OneLine), None, ", "))
}
