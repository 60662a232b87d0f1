//! Every setting there is: one table, and how a setting's text becomes its value.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use indexmap::IndexMap;

use super::file::Ini;
use super::plugins::Plugins;
use super::{Origin, Setting};
use crate::diagnostic::Diagnostic;
use crate::value::Value;

/// What a setting's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A truth value.
    Bool,
    /// A whole number.
    Int,
    /// A number with a fraction.
    Float,
    /// Text.
    Text,
    /// Words between commas.
    List,
    /// A path.
    Path,
    /// Paths between colons.
    PathSpec,
    /// Paths between commas.
    PathList,
    /// Anything; only the default is ever used.
    Raw,
}

/// What becomes of a setting here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has its effect.
    Used,
    /// It is about something that is not here: Python, plugins of networks, cows.
    Meaningless,
    /// It would mean something and is not built: whoever sets it is warned.
    Unbuilt,
}

/// A setting's definition.
#[derive(Debug)]
pub struct Definition {
    /// The reference's name.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// What becomes of it here.
    pub state: State,
    /// Sections and keys in the file; the last that is there counts.
    pub ini: Vec<(&'static str, &'static str)>,
    /// Variables of the environment; the last that is set counts.
    pub env: Vec<&'static str>,
    /// The values it may have, when not all.
    pub choices: Vec<&'static str>,
    /// What it is when nobody says anything, as JSON.
    default: &'static str,
}

/// The definitions, by name.
static TABLE: LazyLock<Vec<Definition>> =
    LazyLock::new(|| include_str!("settings.txt").lines().filter_map(line).collect());

/// A line of the table.
fn line(line: &'static str) -> Option<Definition> {
    let (name, rest) = line.split_once(" | ")?;
    definition(name, rest)
}

/// A definition, written as: kind, state, keys in the file, environment variables, choices, default.
pub(super) fn definition(name: &'static str, rest: &'static str) -> Option<Definition> {
    let mut parts = rest.splitn(6, " | ");
    let mut next = || parts.next();
    let words = |text: &'static str, at: char| text.split(at).filter(|w| *w != "-").collect::<Vec<_>>();
    let (kind, state) = (next()?, next()?);
    Some(Definition {
        name,
        kind: match kind {
            "bool" => Kind::Bool,
            "int" => Kind::Int,
            "float" => Kind::Float,
            "list" => Kind::List,
            "path" | "tmppath" | "tmp" => Kind::Path,
            "pathspec" => Kind::PathSpec,
            "pathlist" => Kind::PathList,
            "str" => Kind::Text,
            _ => Kind::Raw,
        },
        state: match state {
            "used" => State::Used,
            "unbuilt" => State::Unbuilt,
            _ => State::Meaningless,
        },
        ini: words(next()?, ' ').into_iter().filter_map(|key| key.split_once('.')).collect(),
        env: words(next()?, ' '),
        choices: words(next()?, ','),
        default: next()?,
    })
}

/// All definitions, by name.
#[must_use]
pub fn definitions() -> &'static [Definition] {
    &TABLE
}

/// Every setting's value, with who says so.
#[derive(Debug, Default)]
pub struct Settings {
    values: IndexMap<&'static str, Setting<Value>>,
    plugins: Plugins,
}

/// Where settings are read from.
pub(super) struct Sources<'s> {
    pub file: Option<&'s Ini>,
    pub env: &'s dyn Fn(&str) -> Option<String>,
}

impl Sources<'_> {
    /// What is said under these names, as text; the environment comes before the file.
    pub(super) fn text(&self, ini: &[(&str, &str)], env: &[&str]) -> Option<Setting<String>> {
        for name in env.iter().rev() {
            if let Some(value) = (self.env)(name) {
                return Some(Setting { value, origin: Origin::Environment((*name).to_owned()) });
            }
        }
        let file = self.file?;
        let found = ini.iter().rev().find_map(|(section, key)| file.get(section, key));
        let (value, line) = found?;
        Some(Setting { value: value.to_owned(), origin: Origin::File(file.path.clone(), line) })
    }
}

impl Settings {
    pub(super) fn read(sources: &Sources<'_>) -> Result<Self, Vec<Diagnostic>> {
        let mut values: IndexMap<&'static str, Setting<Value>> = IndexMap::new();
        let mut errors = Vec::new();
        let first = definitions().iter().filter(|d| d.name == "ANSIBLE_HOME");
        let mut home = super::absolute("~/.ansible", &Origin::Default).display().to_string();
        for definition in first.chain(definitions().iter().filter(|d| d.name != "ANSIBLE_HOME")) {
            let setting = match sources.text(&definition.ini, &definition.env) {
                Some(text) => definition.value_of(&text).unwrap_or_else(|error| {
                    errors.push(error);
                    Some(definition.default(&home))
                }),
                None => None,
            };
            let setting = setting.unwrap_or_else(|| definition.default(&home));
            if definition.name == "ANSIBLE_HOME" {
                home = setting.value.to_text();
            }
            values.insert(definition.name, setting);
        }
        if let Some(file) = sources.file {
            let path = Value::from(super::absolute_path(&file.path).display().to_string());
            values.insert("CONFIG_FILE", Setting { value: path, origin: Origin::Default });
        }
        values.sort_keys();
        let plugins = Plugins::read(sources, &home, &mut errors);
        if errors.is_empty() { Ok(Self { values, plugins }) } else { Err(errors) }
    }

    /// A setting by the reference's name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Setting<Value>> {
        self.values.get(name)
    }

    /// A plugin's option, by the reference's names: `become`, `sudo`, `become_flags`.
    #[must_use]
    pub fn of_plugin(&self, kind: &str, plugin: &str, option: &str) -> Option<&Setting<Value>> {
        self.plugins.get(kind, plugin, option)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Setting<Value>)> {
        self.values.iter().map(|(name, setting)| (*name, setting))
    }

    /// A setting's value, when somebody says something.
    pub(super) fn given(&self, name: &str) -> Option<&Value> {
        self.get(name).filter(|s| s.origin != Origin::Default).map(|s| &s.value)
    }

    /// What is set and has no effect here, though it would mean something.
    #[must_use]
    pub fn warnings(&self) -> Vec<Diagnostic> {
        let unbuilt = definitions().iter().filter(|d| d.state == State::Unbuilt);
        let mut out = Vec::new();
        for definition in unbuilt {
            let Some(setting) = self.get(definition.name).filter(|s| s.origin != Origin::Default) else { continue };
            let said = setting.value == definition.default(&self.home()).value;
            if said || leads_nowhere(definition.kind, &setting.value) || names_reports_only(definition, setting) {
                continue;
            }
            let message =
                format!("the setting {} ({}) has no effect: it is not built in", definition.name, setting.origin);
            out.push(Diagnostic::warning("config::unsupported", message));
        }
        out
    }

    fn home(&self) -> String {
        self.get("ANSIBLE_HOME").map(|s| s.value.to_text()).unwrap_or_default()
    }
}

/// Whether callbacks are asked for that are there in any case: the reports that standard output can have.
fn names_reports_only(definition: &Definition, setting: &Setting<Value>) -> bool {
    let is_report = |name: &Value| {
        let name = name.to_text();
        matches!(name.trim_start_matches("ansible.builtin."), "default" | "minimal" | "oneline")
    };
    definition.name == "CALLBACKS_ENABLED" && setting.value.as_list().is_some_and(|names| names.iter().all(is_report))
}

/// Whether a value names directories of which none is there.
fn leads_nowhere(kind: Kind, value: &Value) -> bool {
    let paths = value.as_list().unwrap_or_default();
    kind == Kind::PathSpec && !paths.iter().filter_map(Value::as_str).any(|path| Path::new(path).is_dir())
}

impl Definition {
    /// The default, its paths whole.
    #[must_use]
    pub fn default(&self, home: &str) -> Setting<Value> {
        let text = self.default.replace("{ANSIBLE_HOME}", home);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let value = match (self.kind, &json) {
            (Kind::PathSpec | Kind::PathList | Kind::Path, serde_json::Value::String(text)) => {
                self.parse(text, &Origin::Default).unwrap_or_default()
            }
            _ => Value::from_json(&json),
        };
        Setting { value, origin: Origin::Default }
    }

    /// The value of what somebody says; `None` when that is as good as nothing.
    pub(super) fn value_of(&self, text: &Setting<String>) -> Result<Option<Setting<Value>>, Diagnostic> {
        let origin = &text.origin;
        let trimmed = text.value.trim();
        if self.kind == Kind::Raw || (matches!(self.kind, Kind::Int | Kind::Float) && trimmed.is_empty()) {
            return Ok(None);
        }
        let wrong = |what: String| {
            let message = format!("Config '{}' from '{origin}' has an invalid value: {what}", self.name);
            Diagnostic::error("config::value", message)
        };
        let value = self.parse(trimmed, origin).map_err(wrong)?;
        let chosen: Vec<String> = match &value {
            Value::List(items) => items.iter().map(Value::to_text).collect(),
            other => vec![other.to_text()],
        };
        if !self.choices.is_empty() && chosen.iter().any(|c| !self.choices.contains(&c.as_str())) {
            let valid = self.choices.join(", ");
            return Err(wrong(format!("Invalid value '{trimmed}'. Valid values are: {valid}")));
        }
        Ok(Some(Setting { value, origin: origin.clone() }))
    }

    fn parse(&self, text: &str, origin: &Origin) -> Result<Value, String> {
        let paths = |separator: char| {
            let each = text.split(separator).map(str::trim).filter(|p| !p.is_empty());
            each.map(|p| super::absolute(p, origin).display().to_string()).collect::<Value>()
        };
        Ok(match self.kind {
            // As in the reference: what is not a word for yes means no.
            Kind::Bool => Value::Bool(Value::from(text).to_bool().unwrap_or(false)),
            Kind::Int => {
                let whole = |f: f64| (f.fract() == 0.0).then_some(f as i64);
                let number = text.parse().ok().or_else(|| text.parse().ok().and_then(whole));
                Value::Int(number.ok_or_else(|| format!("'{text}' is not an integer"))?)
            }
            Kind::Float => Value::Float(text.parse().map_err(|_| format!("'{text}' is not a number"))?),
            Kind::List if text.is_empty() => Value::list(Vec::new()),
            Kind::List => text.split(',').map(|word| unquote(word.trim(), origin).to_owned()).collect(),
            Kind::Path if text == "None" => Value::Null,
            Kind::Path => super::absolute(unquote(text, origin), origin).display().to_string().into(),
            Kind::PathSpec => paths(':'),
            Kind::PathList => paths(','),
            Kind::Text | Kind::Raw => Value::from(unquote(text, origin)),
        })
    }
}

/// Text of a file without the quotes around it.
fn unquote<'t>(text: &'t str, origin: &Origin) -> &'t str {
    if !matches!(origin, Origin::File(..)) {
        return text;
    }
    let inside = ['"', '\''].iter().find_map(|q| text.strip_prefix(*q)?.strip_suffix(*q));
    inside.unwrap_or(text)
}

/// The paths of a value that holds some.
pub(super) fn paths(value: &Value) -> Vec<PathBuf> {
    match value {
        Value::List(items) => items.iter().map(|item| PathBuf::from(item.to_text())).collect(),
        Value::Null => Vec::new(),
        other => vec![PathBuf::from(other.to_text())],
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(env: &[(&str, &str)]) -> Result<Settings, Vec<Diagnostic>> {
        let env = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Settings::read(&Sources { file: None, env: &env })
    }

    #[test]
    fn the_table_can_be_read() {
        let lines = include_str!("settings.txt").lines().count();
        assert_eq!(definitions().len(), lines);
        for definition in definitions() {
            serde_json::from_str::<serde_json::Value>(definition.default).unwrap();
        }
        let settings = read(&[("HOME", "/h")]).unwrap();
        assert_eq!(settings.iter().count(), lines);
        assert!(settings.warnings().is_empty());
    }

    #[test]
    fn values_are_typed_and_know_where_they_come_from() {
        let settings = read(&[
            ("ANSIBLE_FORKS", "7"),
            ("ANSIBLE_TIMEOUT", ""),
            ("ANSIBLE_ROLES_PATH", "/a:b/../c"),
            ("ANSIBLE_RUN_TAGS", "x, y"),
            ("ANSIBLE_DIFF_ALWAYS", "yes"),
            ("ANSIBLE_HOME", "/home"),
            ("ANSIBLE_LOG_PATH", "/log"),
            ("ANSIBLE_LIBRARY", "/dev/null"),
        ])
        .unwrap();
        let value = |name: &str| settings.get(name).unwrap().value.to_json();
        assert_eq!(value("DEFAULT_FORKS"), serde_json::json!(7));
        assert_eq!(settings.get("DEFAULT_FORKS").unwrap().origin.to_string(), "env: ANSIBLE_FORKS");
        assert_eq!(value("DEFAULT_TIMEOUT"), serde_json::json!(10));
        let here = std::env::current_dir().unwrap().join("c").display().to_string();
        assert_eq!(value("DEFAULT_ROLES_PATH"), serde_json::json!(["/a", here]));
        assert_eq!(value("TAGS_RUN"), serde_json::json!(["x", "y"]));
        assert_eq!(value("DIFF_ALWAYS"), serde_json::json!(true));
        assert_eq!(value("DEFAULT_LOCAL_TMP"), serde_json::json!("/home/tmp"));
        let warnings = settings.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].message.contains("DEFAULT_LOG_PATH (env: ANSIBLE_LOG_PATH)"));
        let wrong = read(&[("ANSIBLE_TIMEOUT", "lola")]).unwrap_err();
        let start = "Config 'DEFAULT_TIMEOUT' from 'env: ANSIBLE_TIMEOUT' has an invalid value";
        assert!(wrong[0].message.starts_with(start));
        assert!(read(&[("ANSIBLE_GATHERING", "often")]).is_err());
    }
}
