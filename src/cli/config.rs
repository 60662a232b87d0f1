//! `rplay config`, which is also `ansible-config`: the settings, their values, and who says so.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgAction;
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::config::{Config, Definition, Kind, Origin, Setting, State, definitions};
use crate::template::python_repr;
use crate::value::Value;

/// The arguments of `ansible-config`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The configuration file; otherwise the one that is found.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What kind of settings; those of plugins are not listed here.
    #[arg(short = 't', long = "type", value_name = "TYPE", default_value = "base", value_parser = ["base", "all"])]
    kind: String,
    /// Show more.
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show every setting: its default, and where it is set.
    List {
        #[command(flatten)]
        common: Common,
        /// How to show them.
        #[arg(short, long, default_value = "yaml", value_parser = ["json", "yaml"])]
        format: String,
    },
    /// Show every setting's value, and who says so.
    Dump {
        #[command(flatten)]
        common: Common,
        /// Only what is not as by default.
        #[arg(long, visible_alias = "changed-only")]
        only_changed: bool,
        /// How to show them.
        #[arg(short, long, default_value = "display", value_parser = ["json", "yaml", "display"])]
        format: String,
    },
    /// Show the configuration file.
    View {
        #[command(flatten)]
        common: Common,
    },
}

/// Runs it.
pub fn main(args: &Args) -> ExitCode {
    let (Action::List { common, .. } | Action::Dump { common, .. } | Action::View { common }) = &args.action;
    if let Some(file) = common.config.as_ref().filter(|file| !file.is_file()) {
        let shown = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        let message = format!("The provided configuration file is missing or not accessible: {}", shown.display());
        return refuse(&message, 1);
    }
    let config = match Config::load_from(common.config.as_deref()) {
        Ok(config) => config,
        Err(found) => return super::complain(&found),
    };
    if common.verbose > 0 {
        match &config.file {
            Some(file) => println!("Using {} as config file", file.display()),
            None => println!("No config file found; using defaults"),
        }
    }
    match &args.action {
        Action::View { .. } => return view(&config),
        Action::List { format, .. } => show(&list(), format),
        Action::Dump { only_changed, format, .. } if format == "display" => dump(&config, *only_changed),
        Action::Dump { only_changed, format, .. } => {
            let mut all: Vec<Json> = shown(&config, *only_changed)
                .map(
                    |(name, setting, origin)| json!({"name": name, "origin": origin, "value": setting.value.to_json()}),
                )
                .collect();
            all.push(json!({"GALAXY_SERVERS": {}}));
            show(&Json::Array(all), format);
        }
    }
    ExitCode::SUCCESS
}

fn refuse(message: &str, code: u8) -> ExitCode {
    eprintln!("[ERROR]: {message}");
    ExitCode::from(code)
}

fn view(config: &Config) -> ExitCode {
    let Some(file) = &config.file else { return refuse("Invalid or no config file was supplied", 1) };
    match std::fs::read_to_string(file) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(e) => refuse(&format!("cannot read `{}`: {e}", file.display()), 1),
    }
}

fn show(value: &Json, format: &str) {
    if format == "json" {
        let mut out = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let written = value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter));
        if written.is_ok() {
            println!("{}", String::from_utf8_lossy(&out));
        }
    } else {
        print!("{}", crate::template::yaml_text(&Value::from_json(value)));
    }
}

/// The settings to show, with who says so; the file that is read is always shown.
fn shown(config: &Config, only_changed: bool) -> impl Iterator<Item = (&'static str, &Setting<Value>, String)> {
    config.settings.iter().filter_map(move |(name, setting)| {
        let file = name == "CONFIG_FILE";
        let origin = if file { String::new() } else { setting.origin.to_string() };
        (file || !only_changed || setting.origin != Origin::Default).then_some((name, setting, origin))
    })
}

fn dump(config: &Config, only_changed: bool) {
    for (name, setting, origin) in shown(config, only_changed) {
        let value = match &setting.value {
            Value::Str(text) => text.as_str().to_owned(),
            other => python_repr(other),
        };
        println!("{name}({origin}) = {value}");
    }
    println!("\nGALAXY_SERVERS:");
}

/// The table of settings, as data.
fn list() -> Json {
    Json::Object(definitions().iter().map(|definition| (definition.name.to_owned(), describe(definition))).collect())
}

fn describe(definition: &Definition) -> Json {
    let home = "~/.ansible";
    let mut out = json!({ "default": definition.default(home).value.to_json() });
    let env: Vec<Json> = definition.env.iter().map(|name| json!({"name": name})).collect();
    let ini: Vec<Json> = definition.ini.iter().map(|(section, key)| json!({"key": key, "section": section})).collect();
    for (name, list) in [("env", env), ("ini", ini)] {
        if !list.is_empty() {
            out[name] = Json::Array(list);
        }
    }
    if !definition.choices.is_empty() {
        out["choices"] = json!(definition.choices);
    }
    out["type"] = json!(match definition.kind {
        Kind::Bool => "boolean",
        Kind::Int => "integer",
        Kind::Float => "float",
        Kind::Text => "string",
        Kind::List => "list",
        Kind::Path => "path",
        Kind::PathSpec => "pathspec",
        Kind::PathList => "pathlist",
        Kind::Raw => "raw",
    });
    out["effect"] = json!(match definition.state {
        State::Used => "used",
        State::Meaningless => "accepted: means nothing to rplay",
        State::Unbuilt => "warned about: not built in",
    });
    out
}
