//! How the report looks: the settings of the reference's default report and of its display.

use std::path::{Path, PathBuf};

use crate::config::lookup;
use crate::value::Value;

/// How results are written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON on one line, or indented.
    Json,
    /// YAML below the line.
    Yaml,
}

/// Which report it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `default`.
    Default,
    /// `minimal`: one paragraph for each result.
    Minimal,
    /// `oneline`: one line for each result.
    Oneline,
}

/// The report's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `ANSIBLE_STDOUT_CALLBACK`.
    pub style: Style,
    /// `-v`s.
    pub verbosity: u8,
    /// Whether the run only predicts.
    pub check: bool,
    /// Whether to colour.
    pub color: bool,
    /// How wide a headline is.
    pub columns: usize,
    /// Whether hosts that skipped a task are shown.
    pub display_skipped_hosts: bool,
    /// Whether hosts with nothing to report are shown.
    pub display_ok_hosts: bool,
    /// Whether failures go to standard error.
    pub display_failed_stderr: bool,
    /// Whether headlines say when a task only predicts.
    pub check_mode_markers: bool,
    /// Whether a failure says where its task is written.
    pub show_task_path_on_failure: bool,
    /// Whether headlines show a task's arguments.
    pub display_args: bool,
    /// Whether the run ends with what `set_stats` kept.
    pub show_custom_stats: bool,
    /// How results are written out.
    pub format: Format,
    /// Whether results are laid out for people; `None` where nobody said.
    pub pretty: Option<bool>,
    /// A file that gets a copy of everything.
    pub log_path: Option<PathBuf>,
    /// How much goes to that file, where it is not as much as to the screen.
    pub log_verbosity: Option<u8>,
    /// Whether to say what will not be there for ever.
    pub deprecation_warnings: bool,
    /// The configuration file.
    pub config_file: Option<PathBuf>,
    colors: Vec<(&'static str, String)>,
}

/// What is coloured, by its setting, and the reference's colour for it.
const COLORS: &[(&str, &str)] = &[
    ("changed", "yellow"),
    ("debug", "dark gray"),
    ("deprecate", "purple"),
    ("diff_add", "green"),
    ("diff_lines", "cyan"),
    ("diff_remove", "red"),
    ("error", "red"),
    ("included", "cyan"),
    ("ok", "green"),
    ("skip", "cyan"),
    ("unreachable", "bright red"),
    ("verbose", "blue"),
    ("warn", "bright purple"),
];

impl Settings {
    /// Reads the settings from environment and configuration file; an unknown report is refused,
    /// unless nothing is reported because playbooks are only listed.
    pub fn read(file: Option<&Path>, is_terminal: bool, lists: bool) -> Result<Self, String> {
        let text = |section: &str, key: &str, variable: &str| lookup(file, section, key, &[variable]);
        let flag = |key: &str, variable: &str, default: bool| {
            text("defaults", key, variable).and_then(|t| Value::from(t.as_str()).to_bool()).unwrap_or(default)
        };
        let style = text("defaults", "stdout_callback", "ANSIBLE_STDOUT_CALLBACK").unwrap_or_default();
        let style = match style.rsplit('.').next().unwrap_or_default() {
            "" | "default" => Style::Default,
            "minimal" => Style::Minimal,
            "oneline" => Style::Oneline,
            _ if lists => Style::Default,
            other => {
                return Err(format!(
                    "Could not load '{other}' callback plugin: rplay has the reports default, minimal and oneline"
                ));
            }
        };
        let format = match text("defaults", "callback_result_format", "ANSIBLE_CALLBACK_RESULT_FORMAT").as_deref() {
            None | Some("json") => Format::Json,
            Some("yaml") => Format::Yaml,
            Some(other) => return Err(format!("`{other}` is not a result format: use json or yaml")),
        };
        let pretty = text("defaults", "callback_format_pretty", "ANSIBLE_CALLBACK_FORMAT_PRETTY");
        let off = flag("nocolor", "ANSIBLE_NOCOLOR", std::env::var_os("NO_COLOR").is_some());
        let forced = flag("force_color", "ANSIBLE_FORCE_COLOR", false);
        let color_of = |(name, default): &(&'static str, &'static str)| {
            let variable = format!("ANSIBLE_COLOR_{}", name.to_uppercase());
            let said = lookup(file, "colors", name, &[&variable]).and_then(|color| code(&color));
            (*name, said.or_else(|| code(default)).unwrap_or_default())
        };
        let width = if is_terminal { rustix::termios::tcgetwinsize(std::io::stdout()).ok() } else { None };
        Ok(Self {
            style,
            verbosity: 0,
            check: false,
            color: forced || (is_terminal && !off),
            columns: width.map_or(79, |size| usize::from(size.ws_col).saturating_sub(1).max(79)),
            display_skipped_hosts: flag("display_skipped_hosts", "ANSIBLE_DISPLAY_SKIPPED_HOSTS", true),
            display_ok_hosts: flag("display_ok_hosts", "ANSIBLE_DISPLAY_OK_HOSTS", true),
            display_failed_stderr: flag("display_failed_stderr", "ANSIBLE_DISPLAY_FAILED_STDERR", false),
            check_mode_markers: flag("check_mode_markers", "ANSIBLE_CHECK_MODE_MARKERS", false),
            show_task_path_on_failure: flag("show_task_path_on_failure", "ANSIBLE_SHOW_TASK_PATH_ON_FAILURE", false),
            display_args: flag("display_args_to_stdout", "ANSIBLE_DISPLAY_ARGS_TO_STDOUT", false),
            show_custom_stats: flag("show_custom_stats", "ANSIBLE_SHOW_CUSTOM_STATS", false),
            format,
            pretty: pretty.and_then(|t| Value::from(t.as_str()).to_bool()),
            log_path: text("defaults", "log_path", "ANSIBLE_LOG_PATH").filter(|t| !t.is_empty()).map(Into::into),
            log_verbosity: text("defaults", "log_verbosity", "ANSIBLE_LOG_VERBOSITY")
                .and_then(|t| t.trim().parse().ok()),
            deprecation_warnings: flag("deprecation_warnings", "ANSIBLE_DEPRECATION_WARNINGS", true),
            config_file: file.map(Path::to_path_buf),
            colors: COLORS.iter().map(color_of).collect(),
        })
    }

    /// Text in the colour that belongs to `what`, line by line; as it is where there are no colours.
    #[must_use]
    pub fn paint(&self, text: &str, what: &str) -> String {
        let code = self.colors.iter().find(|(name, _)| *name == what).map(|(_, code)| code);
        match code {
            Some(code) if self.color => {
                let lines: Vec<String> = text.split('\n').map(|line| format!("\x1b[{code}m{line}\x1b[0m")).collect();
                lines.join("\n")
            }
            _ => text.to_owned(),
        }
    }
}

/// The terminal's code of a colour's name.
fn code(name: &str) -> Option<String> {
    let plain = match name {
        "black" => "0;30",
        "bright gray" => "0;37",
        "blue" => "0;34",
        "white" => "1;37",
        "green" => "0;32",
        "bright blue" => "1;34",
        "cyan" => "0;36",
        "bright green" => "1;32",
        "red" => "0;31",
        "bright cyan" => "1;36",
        "purple" | "magenta" => "0;35",
        "bright red" => "1;31",
        "yellow" => "0;33",
        "bright purple" | "bright magenta" => "1;35",
        "dark gray" => "1;30",
        "bright yellow" => "1;33",
        "normal" => "0",
        _ => "",
    };
    if !plain.is_empty() {
        return Some(plain.to_owned());
    }
    let number = |text: &str| text.parse::<u8>().ok();
    if let Some(index) = name.strip_prefix("color").and_then(number) {
        return Some(format!("38;5;{index}"));
    }
    if let Some(gray) = name.strip_prefix("gray").and_then(number).filter(|n| *n < 24) {
        return Some(format!("38;5;{}", 232 + gray));
    }
    let digits: Vec<u32> = name.strip_prefix("rgb")?.chars().filter_map(|c| c.to_digit(6)).collect();
    match digits.as_slice() {
        [r, g, b] => Some(format!("38;5;{}", 16 + 36 * r + 6 * g + b)),
        _ => None,
    }
}
