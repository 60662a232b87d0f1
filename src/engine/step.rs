//! `--step`: somebody is asked before each task.

use std::sync::atomic::Ordering;

use super::Engine;
use super::event::Event;
use super::task::TaskRun;
use crate::console;
use crate::diagnostic::Diagnostic;

impl Engine {
    /// Whether a task is to run: with `--step` as somebody says, who may also ask not to be asked again in this play.
    ///
    /// Nobody to answer ends the run.
    pub(super) async fn is_wanted(&self, run: &TaskRun, host: &str, handler: bool) -> bool {
        let stepping = &run.run.stepping;
        if !stepping.load(Ordering::SeqCst) {
            return true;
        }
        // Hosts that go on by themselves ask one after the other.
        let _turn = self.questions.lock().await;
        if !stepping.load(Ordering::SeqCst) {
            return true;
        }
        if self.is_aborted() {
            return false;
        }
        let kind = if handler { "HANDLER" } else { "TASK" };
        let who = if run.run.free { format!(" on {host}") } else { String::new() };
        let question = format!("Perform task: {kind}: {}{who} (N)o/(y)es/(c)ontinue: ", run.task.title());
        console::say(&question);
        let answer = match console::line(true).await {
            Ok(Some(answer)) => answer.to_lowercase(),
            Ok(None) => return self.unanswered("the standard input has ended", run),
            Err(e) => return self.unanswered(&e.to_string(), run),
        };
        self.emit(Event::Asked { question });
        match answer.as_str() {
            "y" | "yes" => true,
            "c" | "continue" => {
                stepping.store(false, Ordering::SeqCst);
                true
            }
            _ => false,
        }
    }

    fn unanswered(&self, reason: &str, run: &TaskRun) -> bool {
        let message = format!("`--step` asks before each task, and nobody answers: {reason}");
        let help = "type the answers at a terminal, or leave `--step` out";
        self.broken(vec![Diagnostic::error("run::step", message).at(run.task.span).help(help)]);
        false
    }
}
