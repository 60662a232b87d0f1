//! What is said of a task before it runs: its title, and what counts for nothing.

use super::Engine;
use super::event::Event;
use super::host::HostPlay;
use super::task::TaskRun;
use crate::diagnostic::Diagnostic;
use crate::value::Value;

impl Engine {
    /// The task's own name as this host sees it, as in the reference with what is wrong in the places of templates that fail;
    /// `None` where it has none, or one that comes to nothing.
    pub(super) fn own_name(&self, run: &TaskRun, host: &HostPlay) -> Option<String> {
        let written = run.task.name.as_ref()?;
        if !written.is_template() {
            return Some(written.as_str().to_owned());
        }
        let (own, troubles) = run.templar(self, host).shown(written);
        troubles.into_iter().for_each(|warning| self.emit(Event::Warning(warning)));
        (!matches!(own, Value::Omit) && crate::template::truthy(&own)).then(|| own.to_text())
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
