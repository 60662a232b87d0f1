//! What is said of a task before it runs: its title, and what counts for nothing.

use super::Engine;
use super::event::Event;
use super::host::HostPlay;
use super::task::TaskRun;
use crate::diagnostic::Diagnostic;
use crate::template::Templar;
use crate::value::{Str, Value};

/// A text with what its templates come to, or what is wrong with them; and what is.
fn with_errors(text: &str, templar: &Templar) -> (String, Vec<String>) {
    let (mut out, mut rest, mut errors) = (String::new(), text, Vec::new());
    while let Some(start) = rest.find("{{") {
        let end = rest[start..].find("}}").map_or(rest.len(), |end| start + end + 2);
        out.push_str(&rest[..start]);
        match templar.string(&Str::trusted(&rest[start..end], None)) {
            Ok(value) => out.push_str(&value.to_text()),
            Err(error) => {
                let said = format!("error {} - {}", errors.len() + 1, error.message);
                out.push_str(&format!("<< {said} >>"));
                errors.push(said);
            }
        }
        rest = &rest[end..];
    }
    (out + rest, errors)
}

impl Engine {
    /// The task's name as this host sees it; as it is written where it cannot be evaluated.
    pub(super) fn title(&self, run: &TaskRun, host: &HostPlay) -> String {
        let task = &run.task;
        let written = match &task.name {
            Some(name) if name.is_template() => name,
            _ => return task.title(),
        };
        let own = match run.templar(self, host).string(written) {
            // What comes to nothing is no name.
            Ok(own) if matches!(own, Value::Omit) || !crate::template::truthy(&own) => {
                return task.title_without_name();
            }
            Ok(own) => own.to_text(),
            // The reference shows what is wrong in the place of the name, too.
            Err(_) => {
                let (text, errors) = with_errors(written.as_str(), &run.templar(self, host));
                let several = if errors.len() == 1 { "" } else { "s" };
                let message = format!("Encountered {} template error{several}.\n{}", errors.len(), errors.join("\n"));
                self.emit(Event::Warning(Diagnostic::warning("run::task-name", message).or_at(written.origin())));
                text
            }
        };
        task.title_with(own)
    }

    /// Says what counts for nothing where each host goes on by itself.
    pub(super) fn warn_of_free(&self, run: &TaskRun, host: &HostPlay) {
        let told = |message: &str| self.emit(Event::Warning(Diagnostic::warning("run::strategy", message)));
        if run.task.context.run_once.as_ref().is_some_and(|value| {
            run.templar(self, host).value(value).is_ok_and(|value| crate::template::truthy(&value))
        }) {
            told(
                "Using run_once with the free strategy is not currently supported. This task will still be executed for \
                 every host in the inventory list.",
            );
        }
        if self.is_fatal(run, host) {
            told(
                "Using any_errors_fatal with the free strategy is not supported, as tasks are executed independently on each \
                 host",
            );
        }
        if run.run.max_fail_percentage.is_some() {
            told(
                "Using max_fail_percentage with the free strategy is not supported, as tasks are executed independently on \
                 each host",
            );
        }
    }
}
