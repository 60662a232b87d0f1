//! The report under the name `ansible-playbook`: what the reference's default report prints.

mod diff;
mod display;
mod dump;
mod failure;
mod settings;
mod summary;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::event::{Event, HostResult, JobStage, Verdict};
use crate::playbook::{Context, Task};
use crate::template::truthy;
use crate::value::{Map, Value};

pub use display::{Display, origin};
pub use settings::{Format, Settings, Style};

/// Shows events as the reference does.
pub struct Report {
    display: Arc<Display>,
    state: Mutex<State>,
}

/// What is under way.
#[derive(Default)]
struct State {
    /// Whether hosts go on by themselves in this play.
    free: bool,
    /// The task whose headline was printed last.
    banner: Option<Arc<Task>>,
    /// Headlines of tasks.
    titles: HashMap<usize, (String, bool)>,
}

/// What tells one task from another.
fn identity(task: &Arc<Task>) -> usize {
    Arc::as_ptr(task) as usize
}

impl Report {
    /// A report on a display.
    #[must_use]
    pub fn new(display: Arc<Display>) -> Self {
        Self { display, state: Mutex::default() }
    }

    fn settings(&self) -> &Settings {
        &self.display.settings
    }

    fn is_default(&self) -> bool {
        self.settings().style == Style::Default
    }

    /// Takes an event in.
    pub fn event(&self, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Warning(diagnostic) | Event::Error(diagnostic) => self.display.diagnostic(diagnostic),
            Event::Remark { verbosity, text } => self.display.remark(*verbosity, text),
            Event::Item { result, label } if self.is_default() => self.item(&mut state, result, label),
            Event::Result(result) => match self.settings().style {
                Style::Default => self.result(&mut state, result),
                _ => self.short(result),
            },
            _ if !self.is_default() => {}
            Event::PlaybookStarted { path, plays } => self.playbook(path, *plays),
            Event::PlayStarted { play, name, free, .. } => {
                let banner = state.banner.take();
                *state = State { free: *free, banner, ..State::default() };
                let mark = self.mark(&play.context);
                self.display.banner(&format!("{}{mark}", play_title(name)));
            }
            Event::Asked { question } => self.display.banner(question),
            Event::NoHosts { name } => {
                self.display.banner(&play_title(name));
                self.display.show("skipping: no hosts matched", "skip", false);
            }
            Event::TaskStarted { task, title, handler, .. } => {
                state.titles.insert(identity(task), (title.clone(), *handler));
                if !state.free {
                    state.banner = None;
                }
                if task.action.module != "ansible.builtin.meta" && self.at_once(&state) {
                    self.headline(&mut state, task);
                }
            }
            Event::Meta { task, what } => {
                state.banner = None;
                if self.at_once(&state) {
                    self.headline(&mut state, task);
                }
                if !what.is_empty() {
                    self.display.remark(2, &format!("META: {what}"));
                }
            }
            Event::Retry { result, left } => {
                let title =
                    state.titles.get(&identity(&result.task)).map(|(title, _)| title.as_str()).unwrap_or_default();
                // Without the role's name, which is before the task's elsewhere.
                let role = result.task.context.role.as_ref().filter(|_| result.task.name.is_some());
                let role = role.map(|role| format!("{} : ", role.name)).unwrap_or_default();
                let title = title.strip_prefix(&role).unwrap_or(title);
                let mut text = format!("FAILED - RETRYING: [{}]: {title} ({left} retries left).", host_label(result));
                if self.settings().verbosity > 2 || says_all(result) {
                    let fields = result.result.as_map().cloned().unwrap_or_default();
                    let shown = dump::dump(self.settings(), &fields, says_all(result));
                    text.push_str(&format!("Result was: {shown}"));
                }
                self.display.show(&text, "debug", false);
            }
            Event::Job { host, id, stage } => {
                let text = match stage {
                    JobStage::Poll { started, finished } => {
                        let word = |flag: &bool| if *flag { "True" } else { "False" };
                        format!("POLL on {host}: jid={id} started={} finished={}", word(started), word(finished))
                    }
                    JobStage::Ok => format!("OK on {host}: jid={id}"),
                    JobStage::Failed => format!("FAILED on {host}: jid={id}"),
                };
                self.display.show(&format!("ASYNC {text}"), "debug", false);
            }
            Event::Included { task, what, item, hosts } => {
                self.headline_for(&mut state, task);
                let is_file = task.action.module == "ansible.builtin.include_tasks";
                let path = is_file.then(|| display::absolute(Path::new(what)).display().to_string());
                let what = path.as_ref().unwrap_or(what);
                let item = item.as_ref().filter(|item| truthy(item));
                let item = item.map(|item| format!(" => (item={})", item.to_text())).unwrap_or_default();
                self.display.show(&format!("included: {what} for {}{item}", hosts.join(", ")), "included", false);
            }
            Event::NoMoreHosts => self.display.banner("NO MORE HOSTS LEFT"),
            // As in the reference, what ends a run early leaves it without a recap.
            Event::Finished { broken: true, .. } => {}
            Event::Finished { custom, stats, .. } => self.finished(stats, custom),
            Event::Item { .. } => {}
        }
    }

    /// Whether headlines come before results; else they come with the first result that is shown.
    fn at_once(&self, state: &State) -> bool {
        self.settings().display_ok_hosts && self.settings().display_skipped_hosts && !state.free
    }

    fn playbook(&self, path: &Path, plays: usize) {
        if self.settings().verbosity > 1 {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            self.display.banner(&format!("PLAYBOOK: {name}"));
            self.display.show(&format!("{plays} plays in {}", path.display()), "verbose", false);
        }
        if self.settings().check && self.settings().check_mode_markers {
            self.display.banner("DRY RUN");
        }
    }

    /// ` [CHECK MODE]`, where that is to be said.
    fn mark(&self, context: &Context) -> &'static str {
        let own = context.check_mode.as_ref().and_then(Value::to_bool);
        if self.settings().check_mode_markers && own.unwrap_or(self.settings().check) { " [CHECK MODE]" } else { "" }
    }

    /// Prints a task's headline when it is not the one printed last.
    fn headline_for(&self, state: &mut State, task: &Arc<Task>) {
        if !state.banner.as_ref().is_some_and(|last| Arc::ptr_eq(last, task)) {
            self.headline(state, task);
        }
    }

    fn headline(&self, state: &mut State, task: &Arc<Task>) {
        let (title, handler) = state.titles.get(&identity(task)).cloned().unwrap_or_else(|| (task.title(), false));
        state.banner = Some(task.clone());
        let kind = if handler { "RUNNING HANDLER" } else { "TASK" };
        let args = if self.settings().display_args && task.context.no_log.is_none() {
            let args = task.action.args.iter().map(|(key, value)| format!("{key}={}", value.to_text()));
            Some(args.collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty())
        } else {
            None
        };
        let args = args.map(|text| format!(" {text}")).unwrap_or_default();
        self.display.banner(&format!("{kind} [{}{args}]{}", title.trim(), self.mark(&task.context)));
        if self.settings().verbosity > 1 {
            self.task_path(task);
        }
    }

    fn task_path(&self, task: &Task) {
        self.display.show(&format!("task path: {}", display::line_of(task.span)), "debug", false);
    }

    fn is_verbose(&self, result: &HostResult) -> bool {
        // What `debug` was told to say is said in any case.
        self.settings().verbosity > 0 || says_all(result)
    }

    fn dumped(&self, result: &HostResult, fields: &Map) -> String {
        dump::dump(self.settings(), fields, says_all(result))
    }

    fn item(&self, state: &mut State, result: &HostResult, label: &Value) {
        let settings = self.settings();
        let shown = fields(result);
        let host = host_label(result);
        let label = label.to_text();
        let verbose = |line: String| {
            if self.is_verbose(result) { format!("{line} => {}", self.dumped(result, &shown)) } else { line }
        };
        match result.verdict {
            Verdict::Ok if !settings.display_ok_hosts => return,
            Verdict::Skipped if !settings.display_skipped_hosts => return,
            _ => self.headline_for(state, &result.task),
        }
        match result.verdict {
            Verdict::Ok | Verdict::Changed => {
                let word = if result.verdict == Verdict::Ok { "ok" } else { "changed" };
                self.differences(state, result);
                self.remarks(result);
                self.display.show(&verbose(format!("{word}: [{host}] => (item={label})")), word, false);
            }
            Verdict::Skipped => {
                let line = verbose(format!("skipping: [{host}] => (item={label}) "));
                self.display.show(&line, "skip", false);
            }
            Verdict::Failed | Verdict::Unreachable => {
                self.failure(result);
                self.remarks(result);
                let line = format!("failed: [{host}] (item={label}) => {}", self.dumped(result, &shown));
                self.display.show(&line, "error", settings.display_failed_stderr);
            }
        }
    }

    fn result(&self, state: &mut State, result: &HostResult) {
        let settings = self.settings();
        let looped = result.task.looped.is_some() && (result.no_log || result.result.get("results").is_some());
        let shown = fields(result);
        let host = host_label(result);
        if result.verdict == Verdict::Changed && !looped {
            self.differences(state, result);
        }
        match result.verdict {
            Verdict::Ok if !settings.display_ok_hosts => return,
            Verdict::Skipped if !settings.display_skipped_hosts => return,
            _ => self.headline_for(state, &result.task),
        }
        match result.verdict {
            Verdict::Ok | Verdict::Changed => {
                let word = if result.verdict == Verdict::Ok { "ok" } else { "changed" };
                self.remarks(result);
                if looped {
                    return;
                }
                let mut line = format!("{word}: [{host}]");
                if self.is_verbose(result) {
                    line.push_str(&format!(" => {}", self.dumped(result, &shown)));
                }
                self.display.show(&line, word, false);
            }
            Verdict::Skipped => {
                self.remarks(result);
                let mut line = format!("skipping: [{}]", result.host);
                if settings.verbosity > 0 {
                    let mut shown = shown;
                    shown.shift_remove("results");
                    line.push_str(&format!(" => {}", self.dumped(result, &shown)));
                }
                self.display.show(&line, "skip", false);
            }
            Verdict::Failed => {
                if !looped {
                    self.failure(result);
                }
                self.remarks(result);
                // Of a loop, its items have said it; `debug` says it again.
                if !looped || is_debug(&result.task) && !result.no_log {
                    if settings.verbosity < 2 && settings.show_task_path_on_failure {
                        self.task_path(&result.task);
                    }
                    let line = format!("fatal: [{host}]: FAILED! => {}", self.dumped(result, &shown));
                    self.display.show(&line, "error", settings.display_failed_stderr);
                }
                if result.ignored {
                    self.display.show("...ignoring", "skip", false);
                }
            }
            Verdict::Unreachable => {
                if !looped {
                    self.failure(result);
                }
                let line = format!("fatal: [{host}]: UNREACHABLE! => {}", self.dumped(result, &shown));
                self.display.show(&line, "unreachable", settings.display_failed_stderr);
                if result.ignored {
                    self.display.show("...ignoring", "skip", false);
                }
            }
        }
    }

    /// Shows what differs, where something changed.
    fn differences(&self, state: &mut State, result: &HostResult) {
        if result.no_log || result.verdict != Verdict::Changed {
            return;
        }
        let Some(diff) = result.result.get("diff") else { return };
        let text = diff::text(self.settings(), diff);
        if !text.is_empty() {
            self.headline_for(state, &result.task);
            self.display.show(&text, "", false);
        }
    }

    /// What a result warns of.
    fn remarks(&self, result: &HostResult) {
        let list = |key: &str| result.result.get(key).and_then(Value::as_list).unwrap_or_default().to_vec();
        for notice in &result.notices {
            let help = notice.help.map(|help| format!("{help}\n\n")).unwrap_or_default();
            let text = format!("{}{}{help}", notice.sentence(), notice.origin.map(origin).unwrap_or_default());
            if notice.deprecated { self.display.deprecated(&text) } else { self.display.warning(&text) }
        }
        if result.result.get("results").is_some() && result.task.looped.is_some() {
            // Its items have said so themselves.
            return;
        }
        let new = |text: &str| !result.notices.iter().any(|notice| notice.text == text);
        let warnings = list("warnings").into_iter().map(|entry| entry.to_text());
        warnings.filter(|text| new(text)).for_each(|text| self.display.warning(&text));
        let deprecations = list("deprecations").into_iter().filter_map(|entry| Some(entry.get("msg")?.to_text()));
        deprecations.filter(|text| new(text)).for_each(|text| self.display.deprecated(&text));
    }
}

/// What a report may see of a result, as the reference cleans it.
fn fields(result: &HostResult) -> Map {
    let map = result.result.as_map().cloned().unwrap_or_default();
    if is_debug(&result.task) { dump::clean_debug(&map) } else { map }
}

fn is_debug(task: &Task) -> bool {
    task.action.module == "ansible.builtin.debug"
}

/// Whether a result is shown whole in any case: what `debug` was told to say, what `assert` came to.
fn says_all(result: &HostResult) -> bool {
    let broken = result.error.is_some() && !failure::is_misjudged(result);
    let idle = result.verdict == Verdict::Skipped || broken || result.no_log;
    result.whole && !idle
}

fn host_label(result: &HostResult) -> String {
    match &result.delegate {
        Some(delegate) => format!("{} -> {delegate}", result.host),
        None => result.host.to_string(),
    }
}

/// What a play is announced as; one without a name and hosts has nothing to be called by.
fn play_title(name: &str) -> String {
    if name.trim().is_empty() { "PLAY".to_owned() } else { format!("PLAY [{}]", name.trim()) }
}
