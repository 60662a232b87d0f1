//! What is said of a task before it runs: its title, and what counts for nothing.

use super::Engine;
use super::event::Event;
use super::host::HostPlay;
use super::task::TaskRun;
use crate::diagnostic::Diagnostic;
use crate::template::Templar;
use crate::value::{Str, Value};

/// A text whose templates are evaluated one by one, and what is wrong with those that fail.
fn with_errors(templar: &Templar, text: &Str) -> (String, Vec<String>) {
    let mut errors: Vec<String> = Vec::new();
    let mut out = String::new();
    for part in parts(text.as_str()) {
        let known =
            if part.starts_with('{') { templar.string(&Str::trusted(part, text.origin())) } else { Ok(part.into()) };
        match known {
            Ok(value) => out.push_str(&value.to_text()),
            Err(error) => {
                // An operator that fails, unlike a filter or a name, ends the text.
                let ends = error.message.starts_with("Error rendering template");
                errors.push(error.message);
                out.push_str(&shown(&errors));
                if ends {
                    errors.push("template potentially truncated".to_owned());
                    out.push_str(&shown(&errors));
                    break;
                }
            }
        }
    }
    (out, errors)
}

/// What stands in the place of the template with the last error.
fn shown(errors: &[String]) -> String {
    format!("<< error {} - {} >>", errors.len(), errors.last().map_or("", String::as_str))
}

/// The templates of a text and what is between them; the text as one where statements hold it together.
fn parts(text: &str) -> Vec<&str> {
    if text.contains("{%") {
        return vec![text.find('{').map_or(text, |at| &text[at..])];
    }
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let end = rest[start..].find("}}").map_or(rest.len(), |end| start + end + 2);
        out.extend([&rest[..start], &rest[start..end]]);
        rest = &rest[end..];
    }
    out.push(rest);
    out
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
                let (text, errors) = with_errors(&run.templar(self, host), written);
                let number = if errors.len() == 1 { "error" } else { "errors" };
                let lines: Vec<String> = std::iter::once(format!("Encountered {} template {number}.", errors.len()))
                    .chain(errors.iter().enumerate().map(|(at, error)| format!("error {} - {error}", at + 1)))
                    .collect();
                let warning = Diagnostic::warning("run::task-name", lines.join("\n")).or_at(written.origin());
                self.emit(Event::Warning(warning));
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

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn a_name_in_parts() {
        assert_eq!(parts("a {{ b }} c{{ d }}"), ["a ", "{{ b }}", " c", "{{ d }}", ""]);
        assert_eq!(parts("a {{ b"), ["a ", "{{ b", ""]);
        assert_eq!(parts("plain"), ["plain"]);
    }
}
