//! What a task is called while it runs.

use super::Engine;
use super::event::Event;
use super::host::HostPlay;
use super::task::TaskRun;
use crate::value::Value;

impl Engine {
    /// The task's name as this host sees it; as in the reference with what is wrong in the places of templates that fail.
    pub(super) fn title(&self, run: &TaskRun, host: &HostPlay) -> String {
        let task = &run.task;
        let written = match &task.name {
            Some(name) if name.is_template() => name,
            _ => return task.title(),
        };
        let (own, troubles) = run.templar(self, host).shown(written);
        troubles.into_iter().for_each(|warning| self.emit(Event::Warning(warning)));
        // What comes to nothing is no name.
        if matches!(own, Value::Omit) || !crate::template::truthy(&own) {
            return task.title_without_name();
        }
        task.title_with(own.to_text())
    }
}
