//! `--list-hosts`, `--list-tasks` and `--list-tags`: what is in playbooks, without running them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::engine::{own_scope, questions, role_layers};
use crate::inventory::{HostMismatch, Pattern};
use crate::playbook::{Block, Item, Play, Playbook, TagFilter, Task};
use crate::source::Span;
use crate::template::{Templar, TemplateError};
use crate::value::{Str, Value};
use crate::vars::{TaskVars, World};

/// What is to be listed.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Hosts of each play.
    pub hosts: bool,
    /// Tasks that would run.
    pub tasks: bool,
    /// Tags there are.
    pub tags: bool,
    /// `--tags` and `--skip-tags`.
    pub filter: TagFilter,
    /// `--limit`.
    pub limit: Option<String>,
}

/// Lists a playbook, giving what was found to `out` as it comes.
pub fn list(
    playbook: &Playbook,
    world: &Arc<World>,
    wanted: &Listing,
    out: &mut dyn FnMut(&str),
) -> Result<(), Diagnostic> {
    out(&format!("\nplaybook: {}\n", playbook.path.display()));
    for (at, play) in playbook.plays.iter().enumerate() {
        let templar = &templar(world, play, TaskVars::default(), &mut |_| ())?;
        let patterns = &patterns(play, templar)?;
        // A play's own tags are shown as they are written.
        let tags = plain(&play.context.tags);
        let name = match &play.name {
            Some(_) => name(play, templar)?,
            None if play.hosts.as_list().is_none() => match templar.value(&play.hosts) {
                // A list that a template comes to is shown as one.
                Ok(hosts @ Value::List(_)) => hosts.to_text(),
                _ => patterns.join(","),
            },
            None => written_hosts(play),
        };
        let unique: BTreeSet<&String> = tags.iter().collect();
        let shown: Vec<&str> = unique.iter().map(|tag| tag.as_str()).collect();
        out(&format!("\n  play #{} ({}): {name}\tTAGS: [{}]\n", at + 1, patterns.join(","), shown.join(",")));
        if wanted.hosts {
            hosts(world, patterns, wanted, out)?;
        }
        if wanted.tasks || wanted.tags {
            tasks(world, play, &tags, wanted, out)?;
        }
    }
    Ok(())
}

/// Checks what has to be known of every play before any is looked at: its questions, its hosts and its name; patterns that match
/// nobody are warned of.
pub fn check(playbook: &Playbook, world: &Arc<World>, warn: &mut dyn FnMut(Diagnostic)) -> Result<(), Diagnostic> {
    for play in &playbook.plays {
        let templar = templar(world, play, TaskVars::default(), warn)?;
        let patterns = patterns(play, &templar)?;
        name(play, &templar)?;
        let inventory = world.inventory();
        if inventory.options().mismatch == HostMismatch::Ignore {
            continue;
        }
        // What is wrong with a pattern is told where the play's hosts are looked up.
        let Ok(pattern) = Pattern::parse(&asked(&patterns)) else { continue };
        let Ok((_, unmatched)) = pattern.select(&inventory) else { continue };
        let local = pattern.local_names();
        for part in unmatched.iter().filter(|part| !local.contains(&part.as_str())) {
            warn(Diagnostic::warning("run::hosts", format!("Could not match supplied host pattern, ignoring: {part}")));
        }
    }
    Ok(())
}

/// What the keywords of a play see; nobody is asked anything, so the answers are those that are taken without one.
fn templar(
    world: &Arc<World>,
    play: &Play,
    task: TaskVars,
    warn: &mut dyn FnMut(Diagnostic),
) -> Result<Templar, Diagnostic> {
    let questions = questions(world, play, warn)?;
    let answers = questions.into_iter().map(|q| (q.name.as_str().into(), q.default.unwrap_or(Value::Null)));
    let scope = own_scope(world, play, answers.collect(), task, warn)?;
    Ok(Templar::new(Arc::new(scope)))
}

/// The play's own name, evaluated.
fn name(play: &Play, templar: &Templar) -> Result<String, Diagnostic> {
    let Some(name) = &play.name else { return Ok(String::new()) };
    match templar.string(name) {
        Ok(name) => Ok(name.to_text()),
        Err(error) => Err(keyword("name", &error, play, name.origin())),
    }
}

/// A keyword of a play that could not be evaluated; what is wrong with `hosts` is told of the name that comes of it.
fn keyword(name: &str, error: &TemplateError, play: &Play, place: Option<Span>) -> Diagnostic {
    let message = format!("Error processing keyword '{name}': {}", error.message);
    Diagnostic::error("playbook::keyword", message).or_at(place).or_at(error.span).or_at(Some(play.span))
}

/// The play's patterns, evaluated; none where its hosts are omitted.
fn patterns(play: &Play, templar: &Templar) -> Result<Vec<String>, Diagnostic> {
    let place = match &play.hosts {
        Value::Str(text) => text.origin(),
        _ => None,
    };
    let hosts = templar
        .value(&play.hosts)
        .map_err(|error| keyword(if play.name.is_some() { "hosts" } else { "name" }, &error, play, place))?;
    Ok(match &hosts {
        Value::Omit | Value::Null => Vec::new(),
        Value::List(items) => items.iter().map(Value::to_text).collect(),
        other => vec![other.to_text()],
    })
}

fn written_hosts(play: &Play) -> String {
    match &play.hosts {
        Value::List(items) => items.iter().map(Value::to_text).collect::<Vec<_>>().join(","),
        other => other.to_text(),
    }
}

/// The pattern as one text; a play whose hosts are omitted is for the host `None`, as the reference calls it.
fn asked(patterns: &[String]) -> String {
    if patterns.is_empty() { "None".to_owned() } else { patterns.join(",") }
}

fn hosts(
    world: &Arc<World>,
    patterns: &[String],
    wanted: &Listing,
    out: &mut dyn FnMut(&str),
) -> Result<(), Diagnostic> {
    let wrong = |message: String| Diagnostic::error("run::hosts", message);
    let parse = |text: &str| Pattern::parse(text).map_err(|e| wrong(e.to_string()));
    let asked = asked(patterns);
    let pattern = parse(&asked)?;
    for one in pattern.local_names() {
        if world.inventory().host(one).is_none() {
            world.implicit_localhost(one);
        }
    }
    let inventory = world.inventory();
    let (mut chosen, _) = pattern.select(&inventory).map_err(|e| wrong(e.to_string()))?;
    if let Some(limit) = &wanted.limit {
        let (allowed, _) = parse(limit)?.select(&inventory).map_err(|e| wrong(e.to_string()))?;
        chosen.retain(|host| allowed.contains(host));
    }
    let quoted: Vec<String> = patterns.iter().map(|pattern| python_quoted(pattern)).collect();
    let shown = if patterns.is_empty() { asked } else { format!("[{}]", quoted.join(", ")) };
    out(&format!("    pattern: {shown}\n    hosts ({}):\n", chosen.len()));
    chosen.iter().for_each(|host| out(&format!("      {host}\n")));
    Ok(())
}

/// Text as Python shows it inside a list.
fn python_quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        if c == '\\' || c == quote {
            out.push('\\');
        }
        out.push(c);
    }
    out.push(quote);
    out
}

/// The tasks of a play, flat: what runs where nothing fails.
struct Tasks<'l> {
    world: &'l Arc<World>,
    play: &'l Play,
    wanted: &'l Listing,
    filter: TagFilter,
    own: &'l [String],
    text: String,
    all: BTreeSet<String>,
}

fn tasks(
    world: &Arc<World>,
    play: &Play,
    own: &[String],
    wanted: &Listing,
    out: &mut dyn FnMut(&str),
) -> Result<(), Diagnostic> {
    let mut filter = wanted.filter.clone();
    if wanted.tags && filter.only.is_empty() && filter.skip.is_empty() {
        // Every tag is wanted, `never` too.
        filter.only = vec!["all".into(), "never".into()];
    }
    let mut found = Tasks { world, play, wanted, filter, text: String::new(), own, all: own.iter().cloned().collect() };
    for section in [&play.pre_tasks, &play.role_tasks, &play.tasks, &play.post_tasks] {
        found.items(section)?;
    }
    if wanted.tasks {
        out(&format!("    tasks:\n{}", found.text));
    }
    if wanted.tags {
        out(&format!("      TASK TAGS: [{}]\n", joined(&found.all)));
    }
    Ok(())
}

impl Tasks<'_> {
    fn items(&mut self, items: &[Item]) -> Result<(), Diagnostic> {
        for item in items {
            match item {
                Item::Task(task) => self.task(task)?,
                Item::Block(block) => self.block(block)?,
            }
        }
        Ok(())
    }

    fn block(&mut self, block: &Block) -> Result<(), Diagnostic> {
        if let Some(role) = &block.role
            && let Some(spec) = &role.argument_spec
        {
            let mut title = format!("{} : Validating arguments against arg spec '{}'", role.name, spec.entry);
            if let Some(description) = spec.spec.get("short_description").and_then(Value::as_str) {
                title.push_str(&format!(" - {description}"));
            }
            // Arguments are checked whatever tags are asked for.
            let templar = self.templar(TaskVars::default())?;
            let mut tags = evaluated(&templar, &role.tags, block.span)?;
            tags.push("always".to_owned());
            self.line(title, &tags);
        }
        self.items(&block.body)
    }

    fn task(&mut self, task: &Task) -> Result<(), Diagnostic> {
        let context = &task.context;
        let vars = TaskVars {
            roles: context.role.iter().flat_map(role_layers).collect(),
            vars: context.vars.clone(),
            params: context.params.clone(),
            ..TaskVars::default()
        };
        let tags = if context.tags.iter().any(Value::has_templates) {
            evaluated(&self.templar(vars)?, &context.tags, task.span)?
        } else {
            plain(&context.tags)
        };
        let title = match &task.name {
            Some(name) => task.title_with(Str::as_str(name).to_owned()),
            None => task.action.written.clone(),
        };
        self.line(title, &tags);
        Ok(())
    }

    /// What tags see, which may be templates.
    fn templar(&self, vars: TaskVars) -> Result<Templar, Diagnostic> {
        templar(self.world, self.play, vars, &mut |_| ())
    }

    fn line(&mut self, title: String, tags: &[String]) {
        if !self.filter.allows(tags) {
            return;
        }
        let unique: BTreeSet<String> = tags.iter().chain(self.own).cloned().collect();
        if self.wanted.tasks {
            self.text.push_str(&format!("      {title}\tTAGS: [{}]\n", joined(&unique)));
        }
        self.all.extend(unique);
    }
}

fn joined(tags: &BTreeSet<String>) -> String {
    tags.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn plain(tags: &[Value]) -> Vec<String> {
    fn add(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::List(items) => items.iter().for_each(|item| add(item, out)),
            Value::Null | Value::Omit => {}
            other => out.push(other.to_text()),
        }
    }
    let mut out = Vec::new();
    tags.iter().for_each(|tag| add(tag, &mut out));
    out
}

fn evaluated(templar: &Templar, tags: &[Value], span: Span) -> Result<Vec<String>, Diagnostic> {
    let values: Result<Vec<Value>, _> = tags.iter().map(|tag| templar.value(tag)).collect();
    values.map(|values| plain(&values)).map_err(|error| error.to_diagnostic().or_at(Some(span)))
}
