//! The report on a terminal: results as they come, progress below them where there is a screen.

use std::collections::HashSet;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::unified;
use crate::diagnostic::{Diagnostic, render};
use crate::engine::EARLY;
use crate::engine::event::{Event, HostResult, JobStage, Stats, Verdict};
use crate::source::Span;
use crate::value::{Map, Value};

/// How the report is shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Colours. What they say is said in words too.
    pub color: bool,
    /// A progress line that moves.
    pub progress: bool,
    /// `-v`s.
    pub verbosity: u8,
    /// Show what differs.
    pub diff: bool,
}

/// Shows events on standard output.
pub struct Terminal {
    options: Options,
    bar: ProgressBar,
    state: Mutex<State>,
    /// Warnings that were shown.
    shown: Mutex<HashSet<String>>,
}

/// The task under way.
#[derive(Default)]
struct State {
    done: u64,
    /// Hosts by what became of the task, of those that are not shown one by one.
    quiet: Vec<(Verdict, String)>,
}

/// How many names are written out before the rest is counted.
const NAMES: usize = 8;

impl Terminal {
    /// A report with these options.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let bar = if options.progress {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(12));
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{pos}/{len}] {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        } else {
            ProgressBar::hidden()
        };
        Self { options, bar, state: Mutex::default(), shown: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes text above the progress line. A reader that went away ends the writing, not the run.
    fn print(&self, text: &str) {
        self.bar.suspend(|| {
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(text.as_bytes());
            let _ = out.flush();
        });
    }

    fn paint(&self, text: &str, color: &str) -> String {
        if self.options.color { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Takes an event in.
    pub fn event(&self, event: &Event) {
        match event {
            Event::PlayStarted { name, hosts, .. } => {
                self.flush();
                let count = if hosts.len() == 1 { "1 host".to_owned() } else { format!("{} hosts", hosts.len()) };
                self.print(&format!(
                    "\n{} {}\n",
                    self.paint(&format!("PLAY {name}"), "1"),
                    self.paint(&format!("({count})"), "2")
                ));
            }
            // At a terminal, what is typed ends the line.
            Event::Asked { .. } if std::io::stdin().is_terminal() => {}
            Event::Asked { .. } => self.print("\n"),
            Event::NoHosts { name } => {
                self.flush();
                self.print(&format!("\nPLAY {name}\n  no hosts match: skipped\n"));
            }
            Event::TaskStarted { title, hosts, handler, .. } => self.task_started(title, *hosts as u64, *handler),
            Event::Item { result, label } => self.item(result, label),
            Event::Retry { result, left } => {
                self.print(&format!(
                    "  {}  {}: not yet, {left} tries left\n",
                    self.paint("retry  ", "33"),
                    result.host
                ));
            }
            Event::Job { host, id, stage: JobStage::Poll { .. } } => {
                self.print(&format!("  {}  {host}: {id} goes on\n", self.paint("waiting", "2")));
            }
            Event::Job { .. } => {}
            Event::Result(result) => self.result(result),
            Event::Included { what, hosts, .. } => {
                self.flush();
                self.print(&format!("  included  {what} for {}\n", names(hosts)));
            }
            Event::Warning(diagnostic) if !self.is_news(diagnostic) => {}
            Event::Warning(diagnostic) | Event::Error(diagnostic) => {
                self.print(&render(diagnostic, self.options.color));
            }
            Event::PlaybookStarted { .. } | Event::Meta { .. } => {}
            Event::Remark { verbosity, text } => {
                if self.options.verbosity >= *verbosity {
                    self.print(&format!("  {text}\n"));
                }
            }
            Event::NoMoreHosts => {
                self.flush();
                self.print("\nno hosts are left to go on with\n");
            }
            Event::Finished { stats, elapsed, .. } => self.finished(stats, *elapsed),
        }
    }

    /// Whether a warning was not shown before, and not only the reference gives it.
    fn is_news(&self, diagnostic: &Diagnostic) -> bool {
        if diagnostic.code == EARLY {
            return false;
        }
        let text = render(diagnostic, false);
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).insert(text)
    }

    fn task_started(&self, title: &str, hosts: u64, handler: bool) {
        self.flush();
        let kind = if handler { "HANDLER" } else { "TASK" };
        self.print(&format!("{} {title}\n", self.paint(kind, "1")));
        *self.state() = State::default();
        self.bar.set_length(hosts);
        self.bar.set_position(0);
        self.bar.set_message(title.to_owned());
    }

    fn item(&self, result: &HostResult, label: &Value) {
        let shown = matches!(result.verdict, Verdict::Failed | Verdict::Changed) || self.options.verbosity > 0;
        let label = if result.no_log { "(censored)".to_owned() } else { short(&label.to_text()) };
        self.details(result, &format!("{} ({label})", result.host));
        if shown {
            let word = self.verdict(result);
            self.print(&format!("  {word}  {} ({label}){}\n", result.host, self.explain(result)));
        }
    }

    fn result(&self, result: &HostResult) {
        if let Some(error) = result.error.as_ref().filter(|_| !result.no_log) {
            self.print(&render(error, self.options.color));
        }
        {
            let mut state = self.state();
            state.done += 1;
            self.bar.set_position(state.done);
        }
        let looped = result.result.get("results").is_some();
        if !looped {
            self.details(result, &result.host);
        }
        let loud = matches!(result.verdict, Verdict::Failed | Verdict::Unreachable);
        if !loud && self.options.verbosity == 0 {
            self.state().quiet.push((result.verdict, host_name(result)));
            return;
        }
        let word = self.verdict(result);
        let place = if loud { format!("\n            at {}", place(result.task.span)) } else { String::new() };
        let text = self.explain(result);
        self.print(&format!("  {word}  {}{text}{place}\n", host_name(result)));
    }

    /// What a result has to show whatever became of it: messages of `debug`, differences, and with `-v` everything.
    fn details(&self, result: &HostResult, who: &str) {
        if result.no_log {
            return;
        }
        if self.options.diff
            && let Some(diff) = result.result.get("diff")
        {
            let text = unified(diff);
            if !text.is_empty() {
                self.print(&self.colored_diff(&text, who));
            }
        }
        let is_debug = result.task.action.module == "ansible.builtin.debug";
        if is_debug && result.verdict == Verdict::Ok {
            self.print(&format!("  {who}: {}\n", debug_text(&result.result)));
        } else if self.options.verbosity > 0
            && let Ok(json) = serde_json::to_string_pretty(&result.result.to_json())
        {
            self.print(&format!("  {who} => {}\n", json.replace('\n', "\n  ")));
        }
    }

    fn colored_diff(&self, text: &str, who: &str) -> String {
        let mut out = format!("  {}\n", self.paint(&format!("{who}:"), "2"));
        for line in text.lines() {
            let color = match line.as_bytes().first() {
                Some(b'+') => "32",
                Some(b'-') => "31",
                Some(b'@') => "36",
                _ => "0",
            };
            out.push_str(&format!("    {}\n", self.paint(line, color)));
        }
        out
    }

    fn verdict(&self, result: &HostResult) -> String {
        let (word, color) = match result.verdict {
            Verdict::Ok => ("ok     ", "32"),
            Verdict::Changed => ("changed", "33"),
            Verdict::Skipped => ("skipped", "36"),
            Verdict::Failed if result.ignored => ("ignored", "33"),
            Verdict::Failed if result.rescued => ("rescued", "33"),
            Verdict::Failed => ("FAILED ", "31;1"),
            Verdict::Unreachable => ("UNREACHABLE", "31;1"),
        };
        self.paint(word, color)
    }

    /// A failure's own words.
    fn explain(&self, result: &HostResult) -> String {
        if !matches!(result.verdict, Verdict::Failed | Verdict::Unreachable) {
            return String::new();
        }
        if result.no_log {
            return ": (censored: the task has `no_log`)".to_owned();
        }
        let text = |key: &str| result.result.get(key).map(Value::to_text).filter(|t| !t.trim().is_empty());
        let said = text("msg").or_else(|| text("reason")).map(|msg| msg.trim_start_matches("Task failed: ").to_owned());
        let mut out = said.map(|msg| format!(": {}", indent(&msg))).unwrap_or_default();
        if let Some(rc) = text("rc") {
            out.push_str(&format!(" (rc {rc})"));
        }
        for key in ["stderr", "stdout"] {
            if let Some(said) = text(key) {
                out.push_str(&format!("\n            {key}: {}", indent(&tail(&said))));
                break;
            }
        }
        out
    }

    /// Shows who is through with the task and was not worth a line of its own.
    fn flush(&self) {
        let quiet = std::mem::take(&mut self.state().quiet);
        let mut text = String::new();
        for (verdict, word, color) in
            [(Verdict::Changed, "changed", "33"), (Verdict::Ok, "ok     ", "32"), (Verdict::Skipped, "skipped", "36")]
        {
            let hosts: Vec<String> = quiet.iter().filter(|(v, _)| *v == verdict).map(|(_, h)| h.clone()).collect();
            if !hosts.is_empty() {
                text.push_str(&format!("  {}  {}\n", self.paint(word, color), names(&hosts)));
            }
        }
        if !text.is_empty() {
            self.print(&text);
        }
    }

    fn finished(&self, stats: &[(String, Stats)], elapsed: Duration) {
        self.flush();
        self.bar.finish_and_clear();
        let width = stats.iter().map(|(host, _)| host.chars().count()).max().unwrap_or(0);
        let mut text = format!("\n{}\n", self.paint("RECAP", "1"));
        for (host, s) in stats {
            let color = match s {
                s if s.failed > 0 || s.unreachable > 0 => "31",
                s if s.changed > 0 => "33",
                _ => "32",
            };
            let line = format!(
                "{host:width$} : ok={:<4} changed={:<4} unreachable={:<4} failed={:<4} skipped={:<4} rescued={:<4} ignored={:<4}",
                s.ok, s.changed, s.unreachable, s.failed, s.skipped, s.rescued, s.ignored
            );
            text.push_str(&format!("{}\n", self.paint(line.trim_end(), color)));
        }
        text.push_str(&format!(
            "{} in {:.2} s\n",
            if stats.len() == 1 { "1 host".into() } else { format!("{} hosts", stats.len()) },
            elapsed.as_secs_f64()
        ));
        self.print(&text);
    }
}

fn host_name(result: &HostResult) -> String {
    match &result.delegate {
        Some(delegate) => format!("{} -> {delegate}", result.host),
        None => result.host.to_string(),
    }
}

fn place(span: Span) -> String {
    span.location().to_string()
}

/// Names, in order; of many, the first few and a count.
fn names(hosts: &[String]) -> String {
    let mut sorted: Vec<&str> = hosts.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    if sorted.len() <= NAMES {
        return sorted.join(", ");
    }
    format!("{} and {} more", sorted[..NAMES - 1].join(", "), sorted.len() - (NAMES - 1))
}

fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= 60 { line.to_owned() } else { line.chars().take(57).chain("...".chars()).collect() }
}

fn indent(text: &str) -> String {
    text.trim_end().replace('\n', "\n            ")
}

/// The last lines of long output.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    if lines.len() <= 10 {
        return lines.join("\n");
    }
    format!("… ({} lines before)\n{}", lines.len() - 10, lines[lines.len() - 10..].join("\n"))
}

/// What `debug` has to say.
fn debug_text(result: &Value) -> String {
    let empty = Map::new();
    let map = result.as_map().unwrap_or(&empty);
    let own = map.iter().filter(|(k, _)| {
        !matches!(k.as_str(), Some("changed" | "failed" | "skipped")) && !k.to_string().starts_with("ansible_")
    });
    let parts: Vec<String> = own
        .map(|(key, value)| {
            let text = match value {
                Value::Str(text) => text.as_str().to_owned(),
                other => serde_json::to_string_pretty(&other.to_json()).unwrap_or_default(),
            };
            if key.as_str() == Some("msg") { text } else { format!("{key} = {text}") }
        })
        .collect();
    parts.join("\n").replace('\n', "\n    ")
}
