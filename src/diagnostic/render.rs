//! Diagnostics as text, in the manner of rustc.

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report};

use super::{Diagnostic, Severity};

/// One diagnostic, with the line it is about and a caret below it.
#[must_use]
pub fn render(diagnostic: &Diagnostic, color: bool) -> String {
    let mut shown = MietteDiagnostic::new(&diagnostic.message).with_code(diagnostic.code).with_severity(
        match diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        },
    );
    if let Some(help) = diagnostic.help_text() {
        shown = shown.with_help(help);
    }
    let report = match diagnostic.span {
        Some(span) if span.source().encrypted => {
            // What is encrypted is shown to nobody; its place may be.
            let at = span.location();
            shown.message = format!("{} (in {at}, which is encrypted)", shown.message);
            Report::new(shown)
        }
        Some(span) => {
            let source = span.source();
            let length = (span.end.saturating_sub(span.start) as usize).max(1);
            // Of something long, its first line is enough to find it.
            let start = (span.start as usize).min(source.text.len());
            let line = source.text.get(start..).and_then(|rest| rest.find('\n')).unwrap_or(length);
            let label = diagnostic.label.clone().unwrap_or_else(|| "here".to_owned());
            let length = length.min(line.max(1)).min(source.text.len().saturating_sub(start));
            let labelled = shown.with_label(LabeledSpan::new(Some(label), start, length));
            Report::new(labelled).with_source_code(NamedSource::new(&source.name, source.text.clone()))
        }
        None => Report::new(shown),
    };
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_links(false)
        .with_wrap_lines(false)
        .with_width(120)
        .with_context_lines(1);
    let mut out = String::new();
    match handler.render_report(&mut out, report.as_ref()) {
        Ok(()) => out,
        Err(_) => format!("{diagnostic}\n"),
    }
}

/// All diagnostics, then how many there are.
#[must_use]
pub fn render_all(diagnostics: &[Diagnostic], color: bool) -> String {
    let mut out: String = diagnostics.iter().map(|d| render(d, color)).collect();
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    if errors > 1 {
        out.push_str(&format!("{errors} errors; nothing was run\n"));
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::source;

    #[test]
    fn shows_the_place_with_a_caret() {
        let span = source::register("site.yml", None, "- hosts: all\n  taks: []\n".into()).part(15, 19);
        let diagnostic = Diagnostic::error("playbook::unknown-keyword", "`taks` is not a keyword of a play")
            .at(span)
            .suggest("taks", ["hosts", "tasks"]);
        let text = render(&diagnostic, false);
        assert!(text.contains("site.yml:2:3"), "{text}");
        assert!(text.contains("did you mean `tasks`?"), "{text}");
        assert!(text.contains("taks: []") && text.contains("─"), "{text}");
    }
}
