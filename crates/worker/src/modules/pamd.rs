//! `community.general.pamd`: the rules of a PAM service.

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::{self, text};
use crate::args::PathArg;
use crate::host::{Diff, Host, WriteOptions};
use crate::module::{Context, Failure, Module, Outcome};

/// Edits the rules of a PAM service: those that match in type, control and module.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Pamd {
    /// The service, which is the name of its file.
    name: String,
    /// The type of the rule.
    #[serde(rename = "type")]
    kind: Kind,
    /// The control of the rule; one in brackets is given with them.
    control: String,
    /// The module of the rule.
    module_path: String,
    /// The type that the rule gets.
    #[serde(default)]
    new_type: Option<Kind>,
    /// The control that the rule gets.
    #[serde(default)]
    new_control: Option<String>,
    /// The module that the rule gets.
    #[serde(default)]
    new_module_path: Option<String>,
    /// Arguments of the module.
    #[serde(default)]
    module_arguments: Option<Vec<String>>,
    /// What becomes of the rule, or which rule or arguments should be there.
    #[serde(default)]
    state: State,
    /// The directory of the services.
    #[serde(default = "directory")]
    path: PathArg,
    /// Whether the old content is kept.
    #[serde(default)]
    backup: bool,
}

fn directory() -> PathArg {
    PathArg("/etc/pam.d".to_owned())
}

/// The type of a rule; one with a dash is silent where its module is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
enum Kind {
    #[serde(rename = "account")]
    Account,
    #[serde(rename = "-account")]
    SilentAccount,
    #[serde(rename = "auth")]
    Auth,
    #[serde(rename = "-auth")]
    SilentAuth,
    #[serde(rename = "password")]
    Password,
    #[serde(rename = "-password")]
    SilentPassword,
    #[serde(rename = "session")]
    Session,
    #[serde(rename = "-session")]
    SilentSession,
}

impl Kind {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Account, "account"),
        (Self::SilentAccount, "-account"),
        (Self::Auth, "auth"),
        (Self::SilentAuth, "-auth"),
        (Self::Password, "password"),
        (Self::SilentPassword, "-password"),
        (Self::Session, "session"),
        (Self::SilentSession, "-session"),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

/// What should be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    /// No such rule.
    Absent,
    /// Another rule before it.
    Before,
    /// Another rule after it.
    After,
    /// The rule without these arguments.
    ArgsAbsent,
    /// The rule with these arguments.
    ArgsPresent,
    /// The rule with other parts.
    #[default]
    Updated,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    kind: String,
    control: String,
    module: String,
    arguments: Vec<String>,
}

/// A line of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Rule(Rule),
    /// A comment, a blank line or an `@include`, as it is.
    Other(String),
}

impl Module for Pamd {
    const NAME: &'static str = "community.general.pamd";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        let missing: Vec<&str> = match self.state {
            State::Before | State::After => [
                (self.new_control.is_none(), "new_control"),
                (self.new_type.is_none(), "new_type"),
                (self.new_module_path.is_none(), "new_module_path"),
            ]
            .into_iter()
            .filter_map(|(missing, name)| missing.then_some(name))
            .collect(),
            State::ArgsAbsent | State::ArgsPresent if self.module_arguments.is_none() => vec!["module_arguments"],
            _ => Vec::new(),
        };
        if !missing.is_empty() {
            let state = match self.state {
                State::Before => "before",
                State::After => "after",
                State::ArgsAbsent => "args_absent",
                _ => "args_present",
            };
            return Err(format!("state is {state} but all of the following are missing: {}", missing.join(", ")));
        }
        if self.name.is_empty() || self.name.contains('/') || self.name == ".." {
            return Err(format!("'{}' is not the name of a service", self.name));
        }
        let words = [&self.new_module_path, &self.new_control];
        if words.into_iter().flatten().chain(self.module_arguments.iter().flatten()).any(|word| word.contains('\n')) {
            return Err("a rule must be one line".to_owned());
        }
        let bracketed = |argument: &String| argument.trim_start().starts_with('[');
        if self.state == State::ArgsPresent && self.module_arguments.iter().flatten().any(bracketed) {
            return Err("Unable to process bracketed '[' complex arguments with 'args_present'. Please use 'updated'."
                .to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.path)?.join(&self.name);
        let shown = text(&path);
        let read = host.read_if_exists(&path)?.ok_or("No such file or directory".to_owned());
        let old = read.and_then(|old| String::from_utf8(old).map_err(|e| e.to_string()));
        let old = old.context(|| format!("Unable to open/read PAM module file {shown} with error"))?;
        let mut lines = Vec::new();
        for (number, line) in old.lines().enumerate() {
            let parsed = parse(line)
                .ok_or_else(|| Failure::new(format!("cannot edit {shown}: line {} is no rule: {line}", number + 1)))?;
            lines.push(parsed);
        }
        let count = match self.state {
            State::Before => self.insert(&mut lines, true),
            State::After => self.insert(&mut lines, false),
            State::Absent => {
                let before = lines.len();
                lines.retain(|line| self.matched(line).is_none());
                before - lines.len()
            }
            State::Updated | State::ArgsAbsent | State::ArgsPresent => self.alter(&mut lines),
        };
        for rule in lines.iter().filter_map(Line::rule) {
            valid(rule).map_err(Failure::new)?;
        }
        let mut outcome = Outcome::new(count > 0).with("change_count", count).with("backupdest", "");
        if count > 0 {
            let new = written(lines);
            let options = WriteOptions { backup: self.backup, ..WriteOptions::default() };
            let written = files::write_through(host, &path, new.as_bytes(), &options)?;
            if let Some(backup) = written.backup_file {
                outcome.set("backupdest", text(&backup));
            }
            outcome.diffs.push(Diff::text(old, new).headers(shown.clone(), shown));
        }
        Ok(outcome)
    }
}

impl Pamd {
    /// The rule that a line is, where it is the one that is looked for.
    fn matched<'a>(&self, line: &'a Line) -> Option<&'a Rule> {
        let same = |rule: &&Rule| {
            rule.kind == self.kind.name() && rule.control == tidy(&self.control) && rule.module == self.module_path
        };
        line.rule().filter(same)
    }

    /// The arguments that are given, one each.
    fn arguments(&self) -> Option<Vec<String>> {
        self.module_arguments.as_ref().map(|given| split(&given.join(" ")))
    }

    /// Puts the new rule beside each match, unless it is there.
    fn insert(&self, lines: &mut Vec<Line>, before: bool) -> usize {
        let new = Rule {
            kind: self.new_type.map_or("", Kind::name).to_owned(),
            control: tidy(self.new_control.as_deref().unwrap_or_default()),
            module: self.new_module_path.clone().unwrap_or_default(),
            arguments: self.arguments().unwrap_or_default(),
        };
        let alike = |rule: &Rule| (&rule.kind, &rule.control, &rule.module) == (&new.kind, &new.control, &new.module);
        let mut places = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            if self.matched(line).is_none() {
                continue;
            }
            let neighbour = if before {
                lines[..at].iter().rev().find_map(Line::rule)
            } else {
                lines[at + 1..].iter().find_map(Line::rule)
            };
            if !neighbour.is_some_and(alike) {
                places.push(if before { at } else { at + 1 });
            }
        }
        for place in places.iter().rev() {
            lines.insert(*place, Line::Rule(new.clone()));
        }
        places.len()
    }

    /// Gives each match its new parts or arguments.
    fn alter(&self, lines: &mut [Line]) -> usize {
        let mut count = 0;
        for line in lines {
            let Some(old) = self.matched(line) else { continue };
            let mut rule = old.clone();
            let wanted = self.arguments();
            match (self.state, wanted) {
                (State::ArgsAbsent, Some(wanted)) => rule.arguments.retain(|argument| !wanted.contains(argument)),
                (State::ArgsPresent, Some(wanted)) => wanted.into_iter().for_each(|wanted| rule.add(wanted)),
                (_, wanted) => {
                    if let Some(kind) = self.new_type {
                        rule.kind = kind.name().to_owned();
                    }
                    if let Some(control) = &self.new_control {
                        rule.control = tidy(control);
                    }
                    if let Some(module) = &self.new_module_path {
                        rule.module.clone_from(module);
                    }
                    if let Some(wanted) = wanted {
                        rule.arguments = wanted;
                    }
                }
            }
            if rule != *old {
                *line = Line::Rule(rule);
                count += 1;
            }
        }
        count
    }
}

impl Rule {
    /// Adds an argument; one with a value takes the place of another value.
    fn add(&mut self, wanted: String) {
        if self.arguments.contains(&wanted) {
            return;
        }
        let key = wanted.split_once('=').map(|(key, _)| format!("{key}="));
        let held = key.and_then(|key| self.arguments.iter_mut().find(|argument| argument.starts_with(&key)));
        match held {
            Some(held) => *held = wanted,
            None => self.arguments.push(wanted),
        }
    }
}

impl Line {
    fn rule(&self) -> Option<&Rule> {
        match self {
            Self::Rule(rule) => Some(rule),
            Self::Other(_) => None,
        }
    }
}

/// What a line is; `None` for one that PAM would not take, or that goes on in the next.
fn parse(line: &str) -> Option<Line> {
    let start = line.trim_start();
    if start.is_empty() || start.starts_with('#') || start.starts_with('@') {
        return Some(Line::Other(line.to_owned()));
    }
    let (kind, rest) = start.split_once(char::is_whitespace)?;
    Kind::ALL.iter().find(|(_, name)| *name == kind)?;
    let rest = rest.trim();
    let (control, rest) = match rest.strip_prefix('[').and_then(|inner| inner.find(']')) {
        Some(end) => rest.split_at(end + 2),
        None => rest.split_once(char::is_whitespace)?,
    };
    let rest = rest.trim_start();
    let (module, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    if module.is_empty() || rest.ends_with('\\') {
        return None;
    }
    let rule =
        Rule { kind: kind.to_owned(), control: tidy(control), module: module.to_owned(), arguments: split(arguments) };
    Some(Line::Rule(rule))
}

/// A control with single spaces.
fn tidy(control: &str) -> String {
    control.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Arguments between white space, of which those in brackets may hold some.
fn split(arguments: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut open = false;
    for c in arguments.chars() {
        match c {
            '[' => open = true,
            ']' => open = false,
            _ => {}
        }
        match out.last_mut() {
            Some(last) if open || !c.is_whitespace() => last.push(c),
            _ => out.push(String::new()),
        }
    }
    out.retain(|argument| !argument.is_empty());
    out
}

/// Refuses a control that PAM does not have.
fn valid(rule: &Rule) -> Result<(), String> {
    const CONTROLS: [&str; 6] = ["required", "requisite", "sufficient", "optional", "include", "substack"];
    const ACTIONS: [&str; 6] = ["ignore", "bad", "die", "ok", "done", "reset"];
    const VALUES: &str = "success open_err symbol_err service_err system_err buf_err perm_denied auth_err \
        cred_insufficient authinfo_unavail user_unknown maxtries new_authtok_reqd acct_expired session_err cred_unavail \
        cred_expired cred_err no_module_data conv_err authtok_err authtok_recover_err authtok_lock_busy \
        authtok_disable_aging try_again ignore abort authtok_expired module_unknown bad_item conv_again incomplete default";
    let shown = format_rule(rule);
    let Some(inner) = rule.control.strip_prefix('[') else {
        let known = CONTROLS.contains(&rule.control.as_str());
        return if known {
            Ok(())
        } else {
            Err(format!("Rule control, {}, is not valid in rule {shown}", rule.control))
        };
    };
    let inner = inner.strip_suffix(']').ok_or_else(|| format!("Rule control is not closed in rule {shown}"))?;
    for pair in inner.split_whitespace() {
        let (value, action) = pair.split_once('=').unwrap_or((pair, ""));
        if !VALUES.split_whitespace().any(|known| known == value) {
            return Err(format!("Rule control value, {value}, is not valid in rule {shown}"));
        }
        if !ACTIONS.contains(&action) && action.parse::<u32>().is_err() {
            return Err(format!("Rule control action, {action}, is not valid in rule {shown}"));
        }
    }
    Ok(())
}

fn format_rule(rule: &Rule) -> String {
    let mut line = format!("{:<11}{} {}", rule.kind, rule.control, rule.module);
    for argument in &rule.arguments {
        line.push(' ');
        line.push_str(argument);
    }
    line
}

/// All lines; the second one tells when they were written, as the reference has it.
fn written(mut lines: Vec<Line>) -> String {
    const STAMP: &str = "# Updated by Ansible";
    let now = jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S.%6f");
    let stamp = Line::Other(format!("{STAMP} - {now}"));
    let stamped = |line: &Line| matches!(line, Line::Other(text) if text.starts_with(STAMP));
    if lines.get(1).is_some_and(stamped) {
        lines[1] = stamp;
    } else {
        lines.insert(lines.len().min(1), stamp);
    }
    let each = lines.iter().map(|line| match line {
        Line::Rule(rule) => format_rule(rule) + "\n",
        Line::Other(text) => format!("{text}\n"),
    });
    each.collect()
}

#[cfg(test)]
mod tests;
