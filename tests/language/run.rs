//! Runs a project through the library and writes down what happened, in a form that does not depend on time or place.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rplay::action::BuiltIn;
use rplay::diagnostic::Diagnostic;
use rplay::engine::event::{Event, HostResult, Verdict};
use rplay::engine::{Engine, Gathering, Login, Outcome, RunOptions};
use rplay::inventory::{self, LoadOptions};
use rplay::playbook::{Loader, Options, TagFilter};
use rplay::source;
use rplay::value::{Map, Value};
use rplay::vars::{RunInfo, World};

/// Keys of a result that are shown, `debug` apart, of which everything is.
const KEPT: &[&str] =
    &["attempts", "censored", "failed_when_result", "rc", "stdout", "false_condition", "skipped_reason"];

/// What a run came to.
pub struct Ran {
    /// The trace.
    pub trace: String,
    /// Everything that happened.
    pub events: Vec<Event>,
    /// What was said, before the run or during it.
    pub diagnostics: Vec<Diagnostic>,
}

impl Ran {
    /// What failed results say.
    pub fn failures(&self) -> Vec<String> {
        let result = |event: &Event| match event {
            Event::Result(result) | Event::Item { result, .. } if result.verdict == Verdict::Failed => {
                Some(format!("{}: {}", result.host, result.result.get("msg")?.to_text()))
            }
            _ => None,
        };
        self.events.iter().filter_map(result).collect()
    }
}

/// What the command line says.
#[derive(Default)]
struct Args {
    inventory: Vec<String>,
    extra: Map,
    tags: TagFilter,
    limit: Option<String>,
    check: bool,
    force_handlers: bool,
    start_at_task: Option<String>,
    become_: bool,
}

impl Args {
    fn parse(words: &[String], root: &Path) -> Self {
        let mut out = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().expect("an argument is missing").clone();
            let split = |text: String| text.split(',').map(ToOwned::to_owned).collect::<Vec<_>>();
            match word.as_str() {
                "-i" => out.inventory.push(value()),
                "-e" => out.extra.extend(extra(&value(), root)),
                "--tags" | "-t" => out.tags.only.extend(split(value())),
                "--skip-tags" => out.tags.skip.extend(split(value())),
                "--limit" | "-l" => out.limit = Some(value().replace('@', &format!("@{}/", root.display()))),
                "--start-at-task" => out.start_at_task = Some(value()),
                "--check" => out.check = true,
                "--become" => out.become_ = true,
                "--force-handlers" => out.force_handlers = true,
                other => panic!("unknown argument {other}"),
            }
        }
        if out.inventory.is_empty() {
            out.inventory.push("inventory".into());
        }
        out
    }
}

fn extra(text: &str, root: &Path) -> Map {
    let node = match text.strip_prefix('@') {
        Some(path) => source::load(&root.join(path), &Arc::default()).unwrap(),
        None if text.starts_with('{') => source::load_text("<extra>", None, text.into()).unwrap(),
        None => {
            let (key, value) = text.split_once('=').expect("key=value");
            return Map::from_iter([(key.into(), Value::from(value))]);
        }
    };
    node.unwrap().to_value().as_map().unwrap().clone()
}

/// Loads and runs `site.yml` below `root`.
pub fn run(root: &Path, words: &[String]) -> Ran {
    let args = Args::parse(words, root);
    let refused = |diagnostics: Vec<Diagnostic>| Ran { trace: "ERROR\n".into(), events: Vec::new(), diagnostics };
    let load = Options {
        roles_path: Vec::new(),
        module_path: Vec::new(),
        collections_path: Vec::new(),
        variables: args.extra.clone(),
        ..Options::default()
    };
    let mut loader = Loader::new(&BuiltIn, load, root.to_path_buf());
    let playbook = match loader.playbook(&root.join("site.yml")) {
        Ok(playbook) => playbook,
        Err(diagnostics) => return refused(diagnostics),
    };
    let mut diagnostics = loader.take_diagnostics();
    let sources: Vec<String> = args
        .inventory
        .iter()
        .map(|source| if source.contains(',') { source.clone() } else { root.join(source).display().to_string() })
        .collect();
    let inventory = match inventory::load(&sources, &LoadOptions::default()) {
        Ok(inventory) => inventory,
        Err(diagnostics) => return refused(diagnostics),
    };
    let info = RunInfo {
        check: args.check,
        forks: 1,
        limit: args.limit.clone(),
        tags: args.tags.only.clone(),
        skip_tags: args.tags.skip.clone(),
        ..RunInfo::default()
    };
    let world = World::new(inventory, args.extra, info);
    let options = RunOptions {
        late: false,
        forks: 5,
        check: args.check,
        diff: false,
        tags: args.tags,
        limit: args.limit,
        force_handlers: args.force_handlers,
        gathering: Gathering::Explicit,
        login: Login { become_: args.become_, ..Login::default() },
        become_password: None,
        roles_path: Vec::new(),
        collections_path: Vec::new(),
        start_at_task: args.start_at_task,
        step: false,
    };
    let events: Arc<Mutex<Vec<Event>>> = Arc::default();
    let sink = events.clone();
    let sink = Arc::new(move |event| sink.lock().unwrap().push(event));
    let program = PathBuf::from(env!("CARGO_BIN_EXE_rplay"));
    let engine = Engine::with_program(world, options, sink, Arc::new(|_| None), program);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let outcome = runtime.block_on(engine.run(&[playbook]));
    runtime.shutdown_background();
    let events = std::mem::take(&mut *events.lock().unwrap());
    diagnostics.extend(events.iter().filter_map(|event| match event {
        Event::Error(diagnostic) | Event::Warning(diagnostic) => Some(diagnostic.clone()),
        Event::Result(result) => result.error.clone(),
        _ => None,
    }));
    Ran { trace: trace(&events, outcome, root), events, diagnostics }
}

/// The events as lines; what hosts say about one task is sorted by host.
fn trace(events: &[Event], outcome: Outcome, root: &Path) -> String {
    let root = format!("{}/", root.display());
    let mut lines: Vec<String> = Vec::new();
    let mut task: Vec<(String, String)> = Vec::new();
    let mut items: HashMap<String, usize> = HashMap::new();
    let mut last = None;
    for event in events {
        // Some `meta` tasks are announced once per host by the reference, so equal headers in a row count once.
        let header = match event {
            Event::TaskStarted { title, handler, .. } => {
                Some(format!("{} [{title}]", if *handler { "HANDLER" } else { "TASK" }))
            }
            _ => None,
        };
        if header.is_some() && header == last {
            continue;
        }
        if header.is_some() || matches!(event, Event::PlayStarted { .. }) {
            last.clone_from(&header);
        }
        if !matches!(
            event,
            Event::Item { .. }
                | Event::Result(_)
                | Event::Retry { .. }
                | Event::Error(_)
                | Event::Warning(_)
                | Event::Meta { .. }
                | Event::Remark { .. }
        ) {
            flush(&mut task, &mut lines);
        }
        match event {
            Event::PlayStarted { name, .. } => lines.push(format!("PLAY [{name}]")),
            Event::NoHosts { name } => lines.extend([format!("PLAY [{name}]"), "  no hosts".into()]),
            Event::TaskStarted { .. } => {
                items.clear();
                lines.extend(header);
            }
            Event::Item { result, label } => {
                *items.entry(result.host.to_string()).or_default() += 1;
                let line = shown(result, Some(&label.to_text()));
                task.push((result.host.to_string(), line));
            }
            Event::Retry { result, left } => {
                task.push((result.host.to_string(), format!("  {} retry, {left} left", result.host)));
            }
            Event::Result(result) => {
                let host = result.host.to_string();
                // Of `debug` the reference shows the loop's failure beside those of its items.
                let is_debug = result.task.action.module == "ansible.builtin.debug";
                let whole = matches!(result.verdict, Verdict::Skipped | Verdict::Unreachable)
                    || (is_debug && result.verdict == Verdict::Failed);
                if !items.contains_key(&host) || whole {
                    task.push((host.clone(), shown(result, None)));
                }
                if result.ignored {
                    task.push((host.clone(), format!("  {host} ignored")));
                }
            }
            Event::Included { what, hosts, .. } => {
                let what = what.strip_prefix(&root).unwrap_or(what);
                lines.push(format!("  included: {what} for {}", sorted_names(hosts)));
            }
            // Once, however often it is said, as in what the reference was observed to say.
            Event::NoMoreHosts if lines.last().is_some_and(|line| line == "NO MORE HOSTS") => {}
            Event::NoMoreHosts => lines.push("NO MORE HOSTS".into()),
            Event::Finished { stats, .. } => lines.extend(stats.iter().map(|(host, s)| {
                format!(
                    "{host}: ok={} changed={} unreachable={} failed={} skipped={} rescued={} ignored={}",
                    s.ok, s.changed, s.unreachable, s.failed, s.skipped, s.rescued, s.ignored
                )
            })),
            Event::Error(_) | Event::Warning(_) | Event::PlaybookStarted { .. } | Event::Asked { .. } => {}
            Event::Job { .. } | Event::Meta { .. } | Event::Remark { .. } => {}
        }
    }
    let status = match outcome {
        Outcome::Ok => 0,
        Outcome::Failed => 2,
        Outcome::Unreachable => 4,
        Outcome::Error(_) => 1,
    };
    if matches!(outcome, Outcome::Error(_)) {
        return "ERROR\n".into();
    }
    // Hosts that go on by themselves do so in no order.
    let alone = |event: &Event| match event {
        Event::PlayStarted { play, .. } => {
            play.strategy.as_ref().is_some_and(|name| ["free", "host_pinned"].contains(&name.to_text().as_str()))
        }
        _ => false,
    };
    if events.iter().any(alone) {
        lines.sort();
        lines.dedup();
    }
    lines.push(format!("exit {status}\n"));
    lines.join("\n").replace(&root, "")
}

fn flush(task: &mut Vec<(String, String)>, lines: &mut Vec<String>) {
    task.sort_by(|(a, _), (b, _)| a.cmp(b));
    lines.extend(task.drain(..).map(|(_, line)| line));
}

fn shown(result: &HostResult, item: Option<&str>) -> String {
    let mut words = vec![format!("  {}", result.host)];
    // The reference does not say of a task that was skipped where it would have run, and callbacks see no host in a template
    // that could not be evaluated.
    let ran = |delegate: &&Arc<str>| result.verdict != Verdict::Skipped && !delegate.contains("{{");
    words.extend(result.delegate.iter().filter(ran).map(|delegate| format!("-> {delegate}")));
    words.extend(item.map(|item| format!("({item})")));
    let verdict = match result.verdict {
        Verdict::Ok => "ok",
        Verdict::Changed => "changed",
        Verdict::Failed => "failed",
        Verdict::Skipped => "skipped",
        // The reference says of an item that it failed.
        Verdict::Unreachable if item.is_some() => "failed",
        Verdict::Unreachable => "unreachable",
    };
    words.push(verdict.to_owned());
    // Of `debug` only what it says; of everything else what does not differ between machines.
    let is_debug = result.task.action.module == "ansible.builtin.debug" && !result.no_log;
    let whole = is_debug && matches!(result.verdict, Verdict::Ok | Verdict::Changed);
    let json = result.result.to_json();
    let mut hidden = vec![
        "attempts",
        "failed_when_result",
        "changed",
        "failed",
        "skipped",
        "item",
        "ansible_loop_var",
        "ansible_index_var",
        "ansible_loop",
        "warnings",
        "deprecations",
    ];
    hidden.extend(["ansible_loop_var", "ansible_index_var"].iter().filter_map(|key| json.get(*key)?.as_str()));
    let kept: std::collections::BTreeMap<&String, &serde_json::Value> = json
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| match whole {
            true => !hidden.contains(&key.as_str()),
            false => KEPT.contains(&key.as_str()) && !(is_debug && hidden.contains(&key.as_str())),
        })
        .collect();
    if !kept.is_empty() {
        words.push(sorted(&serde_json::to_value(kept).unwrap()));
    }
    words.join(" ")
}

/// JSON with its keys in order.
fn sorted(value: &serde_json::Value) -> String {
    use serde_json::Value as Json;
    match value {
        Json::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            let inner: Vec<String> =
                entries.iter().map(|(key, value)| format!("{}:{}", Json::from(key.as_str()), sorted(value))).collect();
            format!("{{{}}}", inner.join(","))
        }
        Json::Array(items) => format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

fn sorted_names(names: &[String]) -> String {
    let mut names = names.to_vec();
    names.sort();
    names.join(", ")
}
