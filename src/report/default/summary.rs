//! The end of a run, and the reports that are one line or paragraph for each result.

use super::{Report, Style, dump, fields, says_all};
use crate::engine::event::{HostResult, Stats, Verdict};
use crate::template::filters::dumps;
use crate::value::{Map, Value};

impl Report {
    /// What `set_stats` kept, on a line for each host and one for the run.
    fn custom_stats(&self, custom: &[(String, Map)]) {
        if custom.is_empty() || !self.settings().show_custom_stats {
            return;
        }
        let line = |data: &Map| dumps(&Value::map(data.clone()), Some(1), ",").replace('\n', "");
        self.display.banner("CUSTOM STATS:");
        for (host, data) in custom.iter().filter(|(host, _)| host != "_run") {
            self.display.show(&format!("\t{host}: {}", line(data)), "", false);
        }
        if let Some((_, data)) = custom.iter().find(|(host, _)| host == "_run") {
            self.display.screen("", "", false);
            self.display.show(&format!("\tRUN: {}", line(data)), "", false);
        }
        self.display.screen("", "", false);
    }

    /// The recap.
    pub(super) fn finished(&self, stats: &[(String, Stats)], custom: &[(String, Map)]) {
        let display = &self.display;
        display.banner("PLAY RECAP");
        let settings = self.settings();
        for (host, s) in stats {
            let color = match s {
                s if s.failed > 0 || s.unreachable > 0 => "error",
                s if s.changed > 0 => "changed",
                _ => "ok",
            };
            let line = |colored: bool| {
                let name = if colored { format!("{:<37}", settings.paint(host, color)) } else { format!("{host:<26}") };
                let count = |word: &str, n: u32, what: &str| {
                    let text = format!("{word}={n:<4}");
                    if colored && n > 0 && !what.is_empty() { settings.paint(&text, what) } else { text }
                };
                let counts = [
                    count("ok", s.ok, "ok"),
                    count("changed", s.changed, "changed"),
                    count("unreachable", s.unreachable, "unreachable"),
                    count("failed", s.failed, "error"),
                    count("skipped", s.skipped, "skip"),
                    count("rescued", s.rescued, "ok"),
                    count("ignored", s.ignored, "warn"),
                ];
                format!("{name} : {}", counts.join(" "))
            };
            display.screen(&line(settings.color), "", false);
            display.log(&line(false), "INFO");
        }
        display.screen("", "", false);
        self.custom_stats(custom);
        if settings.check && settings.check_mode_markers {
            display.banner("DRY RUN");
        }
    }

    /// A result's JSON without its line breaks: laid out and run together, as the reference does it.
    fn on_one_line(&self, result: &HostResult) -> String {
        let whole = result.result.as_map().cloned().unwrap_or_default();
        let text = dump::dump(self.settings(), &whole, true);
        if says_all(result) && result.task.looped.is_none() {
            return text.replace('\n', "");
        }
        text.lines().map(str::trim_start).collect()
    }

    /// A result in the reports `minimal` and `oneline`.
    pub(super) fn short(&self, result: &HostResult) {
        let settings = self.settings();
        let shown = fields(result);
        let (word, color) = match result.verdict {
            Verdict::Ok => ("SUCCESS", "ok"),
            Verdict::Changed => ("CHANGED", "changed"),
            Verdict::Failed => ("FAILED!", "error"),
            Verdict::Skipped => ("SKIPPED", "skip"),
            Verdict::Unreachable => ("UNREACHABLE!", "unreachable"),
        };
        let plain = matches!(
            result.task.action.module,
            "ansible.builtin.command" | "ansible.builtin.shell" | "ansible.builtin.raw" | "ansible.builtin.script"
        );
        let text = |key: &str| shown.get(key).map(Value::to_text).unwrap_or_default();
        let host = &result.host;
        if self.settings().style == Style::Minimal && matches!(result.verdict, Verdict::Failed | Verdict::Unreachable) {
            self.failure(result);
        }
        let line = match settings.style {
            Style::Minimal if result.verdict == Verdict::Skipped => format!("{host} | SKIPPED"),
            Style::Minimal if plain && shown.contains_key("rc") => {
                let rc = text("rc");
                let word = word.trim_end_matches('!');
                format!("{host} | {word} | rc={rc} >>\n{}{}{}\n", text("stdout"), text("stderr"), text("msg"))
            }
            Style::Minimal => {
                let mut out = String::new();
                out.push_str(&dump::dump(settings, &shown, true));
                format!("{host} | {word} => {out}")
            }
            _ if result.verdict == Verdict::Skipped => format!("{host} | SKIPPED"),
            _ if plain
                && shown.contains_key("rc")
                && !matches!(result.verdict, Verdict::Failed | Verdict::Unreachable) =>
            {
                let line = |key: &str| text(key).replace('\n', "\\n").replace('\r', "\\r");
                let stderr =
                    if text("stderr").is_empty() { String::new() } else { format!(" (stderr) {}", line("stderr")) };
                format!(
                    "{host} | {} | rc={} | (stdout) {}{stderr}",
                    word.trim_end_matches('!'),
                    text("rc"),
                    line("stdout")
                )
            }
            _ if result.verdict == Verdict::Unreachable => format!("{host} | {word}: {}", text("msg")),
            _ => format!("{host} | {word} => {}", self.on_one_line(result)),
        };
        self.display.show(&line, color, false);
    }
}
