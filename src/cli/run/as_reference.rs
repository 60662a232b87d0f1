//! The same run with the manners of `ansible-playbook`: its report, its messages, its status.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use super::{Args, Ended, Face, Run, prepare, status};
use crate::cli::version;
use crate::config::{Config, lookup};
use crate::diagnostic::{Diagnostic, Severity};
use crate::engine::Outcome;
use crate::inventory::LOCKED;
use crate::report::default::{Display, Report, Settings, Style, origin};

/// Runs playbooks as `ansible-playbook` would.
pub(super) fn main(args: &Args) -> ExitCode {
    let config_file = match Config::load() {
        Ok(config) => config.file,
        Err(diagnostics) => return plainly(&diagnostics),
    };
    let mut settings = match Settings::read(
        config_file.as_deref(),
        std::io::stdout().is_terminal(),
        args.lists() || args.syntax_check,
    ) {
        Ok(settings) => settings,
        Err(message) => return plainly(&[Diagnostic::error("cli::report", message)]),
    };
    let asked = lookup(config_file.as_deref(), "defaults", "verbosity", &["ANSIBLE_VERBOSITY"]);
    let asked = asked.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    settings.verbosity = if args.run.verbose > 0 { args.run.verbose } else { asked };
    settings.check = args.run.check;
    let display = Arc::new(Display::new(settings));
    greet(&display);
    let warn = |diagnostics: &[Diagnostic]| diagnostics.iter().for_each(|d| display.diagnostic(d));
    match prepare(args, Face::Reference, &warn) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(run)) => carry_out(run, &display),
        Err(diagnostics) => refused(&display, &diagnostics),
    }
}

/// What `-v` and `-vv` say before anything else.
fn greet(display: &Display) {
    let settings = &display.settings;
    if settings.verbosity > 1 {
        let text = version::lines("ansible-playbook", settings.config_file.as_deref());
        display.show(text.trim_end(), "verbose", false);
    }
    if settings.verbosity > 0 {
        let text = match &settings.config_file {
            Some(path) => format!("Using {} as config file", std::path::absolute(path).unwrap_or_default().display()),
            None => "No config file found; using defaults".to_owned(),
        };
        display.remark(1, &text);
    }
    if settings.verbosity > 1 && settings.style == Style::Default {
        for other in ["minimal", "oneline"] {
            let text = format!("Skipping callback '{other}', as we already have a stdout callback.");
            display.show(&text, "verbose", false);
        }
    }
}

fn carry_out(run: Run, display: &Arc<Display>) -> ExitCode {
    let report = Report::new(display.clone());
    match run.run(display.settings.verbosity, Arc::new(move |event| report.event(&event))) {
        Ended::Outcome(Outcome::Error(code)) => ExitCode::from(status_of(code)),
        Ended::Outcome(outcome) => status(outcome),
        Ended::NoThreads(error) => refused(display, &[error]),
        Ended::Interrupted => {
            display.error("User interrupted execution", true);
            ExitCode::from(99)
        }
    }
}

/// Shows what is wrong before anything ran; the status is 4 for what cannot be read as a playbook, else 1.
fn refused(display: &Display, diagnostics: &[Diagnostic]) -> ExitCode {
    for diagnostic in diagnostics {
        display.diagnostic(diagnostic);
        if let Some(help) = diagnostic.help_text() {
            display.screen(&format!("help: {help}\n"), "", true);
        }
    }
    ExitCode::from(code(diagnostics))
}

fn code(diagnostics: &[Diagnostic]) -> u8 {
    status_of(diagnostics.iter().find(|d| d.severity == Severity::Error).map(|d| d.code).unwrap_or_default())
}

fn status_of(code: &str) -> u8 {
    let elsewhere = matches!(
        code,
        "playbook::missing-file"
            | "playbook::missing-import"
            | "playbook::missing-playbook"
            | "playbook::missing-role"
            | "playbook::nameless-role"
            | "playbook::no-items"
            | "playbook::two-loops"
            | "playbook::vars-name"
            | "playbook::removed"
            | "playbook::role-loop"
            | "playbook::role-name"
            | "playbook::tags"
    );
    let parsing = ["playbook::", "yaml::", "template::"].iter().any(|room| code.starts_with(room));
    match code {
        "run::order" | "config::value" | "config::syntax" | "cli::options" => 5,
        "cli::forks" => 2,
        LOCKED => 4,
        _ if parsing && !elsewhere => 4,
        _ => 1,
    }
}

/// The same where there is no display yet.
fn plainly(diagnostics: &[Diagnostic]) -> ExitCode {
    for diagnostic in diagnostics {
        eprintln!("[ERROR]: {}{}", diagnostic.message, diagnostic.span.map(origin).unwrap_or_default());
    }
    ExitCode::from(code(diagnostics))
}
