//! What a rescue learns of the task that failed: `ansible_failed_task`.
//!
//! As in the reference (Blocks, "Handling errors with blocks") it has the task's keywords, with what they came to on the host.
//! What the reference keeps there for itself (`uuid`, `finalized`, `squashed`, arguments that begin with `_ansible_`) is left out.

use super::keywords::Kind;
use super::on_host::OnHost;
use crate::action::BuiltIn;
use crate::playbook::{Task, canonical_name};
use crate::value::{Key, Map, Value};

impl OnHost<'_> {
    /// The task as a rescue sees it, with the result that it has failed with; `args` are its arguments as they came out, where
    /// it came to that.
    pub(super) fn failed_task(&self, args: Option<Map>, result: &Map) -> Value {
        let task = self.task();
        let mut out = Map::new();
        let mut put = |name: &str, value: Value| out.insert(Key::from(name), value);
        put("_resolved_action", task.action.module.into());
        put("action", task.action.written.as_str().into());
        // A loop's items have their own arguments; as in the reference these are the ones that were written, to be evaluated
        // when somebody asks.
        put("args", Value::map(args.unwrap_or_else(|| task.action.args.clone())));
        put("name", self.run.name.as_deref().unwrap_or_default().into());
        self.inherited_keywords(&mut put);
        self.own_keywords(result, &mut put);
        Value::map(out)
    }

    /// The keywords that a task shares with what is around it.
    fn inherited_keywords(&self, put: &mut impl FnMut(&str, Value) -> Option<Value>) {
        let context = self.settled(&self.templar);
        let (options, settings) = (&self.engine.options, &self.engine.world.info.settings);
        let setting = |name: &str| settings.get(name).map_or(Value::Null, |setting| setting.value.clone());
        let text = |value: &Option<String>| value.as_deref().map_or(Value::Null, Value::from);
        let (login, connection) = (&options.login, self.run.vars.connection.get("ansible_connection"));
        let keywords = [
            ("any_errors_fatal", &context.any_errors_fatal, Kind::Bool, setting("ANY_ERRORS_FATAL")),
            ("become", &context.become_, Kind::Bool, login.become_.into()),
            ("become_exe", &context.become_exe, Kind::Text, Value::Null),
            ("become_flags", &context.become_flags, Kind::Text, Value::Null),
            (
                "become_method",
                &context.become_method,
                Kind::Text,
                login.become_method.as_deref().unwrap_or("sudo").into(),
            ),
            ("become_user", &context.become_user, Kind::Text, text(&login.become_user)),
            ("check_mode", &context.check_mode, Kind::Bool, options.check.into()),
            ("connection", &context.connection, Kind::Text, connection.cloned().unwrap_or_else(|| "ssh".into())),
            ("delegate_facts", &context.delegate_facts, Kind::Bool, Value::Null),
            ("delegate_to", &context.delegate_to, Kind::Text, Value::Null),
            ("diff", &context.diff, Kind::Bool, options.diff.into()),
            ("ignore_errors", &context.ignore_errors, Kind::Bool, Value::Null),
            ("ignore_unreachable", &context.ignore_unreachable, Kind::Bool, Value::Null),
            ("no_log", &context.no_log, Kind::Bool, Value::Bool(false)),
            ("port", &context.port, Kind::Int, Value::Null),
            ("remote_user", &context.remote_user, Kind::Text, text(&login.user)),
            ("run_once", &context.run_once, Kind::Bool, Value::Null),
            ("throttle", &context.throttle, Kind::Int, Value::Int(0)),
            ("timeout", &context.timeout, Kind::Int, setting("TASK_TIMEOUT")),
        ];
        for (name, written, kind, usual) in keywords {
            put(name, self.comes_to(written.as_ref(), kind, usual));
        }
        put("environment", self.environment_of(&context.environment));
        put("module_defaults", self.module_defaults_of(&context.module_defaults));
        // A task's own tags are named first, its own conditions last.
        let (outer, own) = context.tags.split_at(self.task().outer.tags.len().min(context.tags.len()));
        put("tags", self.all_come_to(&[own, outer].concat()));
        put("when", self.all_come_to(&context.when));
        let collections = context.collections.iter().map(|name| Value::from(name.as_str()));
        put("collections", Value::list(collections.collect()));
    }

    /// The keywords that are a task's alone.
    fn own_keywords(&self, result: &Map, put: &mut impl FnMut(&str, Value) -> Option<Value>) {
        let task = self.task();
        let poll = self.engine.world.info.settings.get("DEFAULT_POLL_INTERVAL");
        let seconds = self.comes_to(task.asynchronous.as_ref(), Kind::Int, Value::Int(0));
        put("async", seconds.clone());
        put("async_val", seconds);
        put("debugger", Value::Null);
        put("delay", self.comes_to(task.delay.as_ref(), Kind::Float, Value::Int(5)));
        put("poll", self.comes_to(task.poll.as_ref(), Kind::Int, poll.map_or(Value::Int(15), |s| s.value.clone())));
        put("retries", self.comes_to(task.retries.as_ref(), Kind::Int, Value::Null));
        put("register", task.register.as_ref().map_or(Value::Null, |name| self.whole(&Value::Str(name.clone()))));
        for (name, written) in
            [("changed_when", &task.changed_when), ("failed_when", &task.failed_when), ("until", &task.until)]
        {
            put(name, self.all_come_to(written));
        }
        put("notify", if task.notify.is_empty() { Value::Null } else { self.all_come_to(&task.notify) });
        let looped = task.looped.as_ref();
        put("loop", looped.map_or(Value::Null, |looped| self.items_of(result).unwrap_or_else(|| looped.items.clone())));
        put("loop_with", looped.and_then(|looped| looped.lookup.as_deref()).map_or(Value::Null, Value::from));
        put("loop_control", self.loop_control_of(task));
        let own = task.context.vars.iter().skip(task.outer.vars.len());
        let vars = own.flat_map(|vars| vars.iter().map(|(key, value)| (key.clone(), value.clone())));
        put("vars", Value::map(vars.collect()));
    }

    /// The items of the loop, as the results have them.
    fn items_of(&self, result: &Map) -> Option<Value> {
        let results = result.get("results")?.as_list()?.iter();
        let item = |result: &Value| {
            let name = result.get("ansible_loop_var")?.to_text();
            result.get(&name).cloned()
        };
        results.map(item).collect::<Option<Vec<_>>>().map(Value::list)
    }

    /// `environment`, that of the task over what is around it.
    fn environment_of(&self, written: &[Value]) -> Value {
        let mut out = Map::new();
        for value in written.iter().map(|value| self.whole(value)) {
            out.extend(value.as_map().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
        }
        Value::list(if written.is_empty() { Vec::new() } else { vec![Value::map(out)] })
    }

    /// `module_defaults`, outermost first, with modules by their full names.
    fn module_defaults_of(&self, written: &[Value]) -> Value {
        let full = |key: &Key| {
            let info = canonical_name(&key.to_string(), &self.task().context.collections, &BuiltIn);
            info.map_or_else(|| key.clone(), |info| info.name.into())
        };
        let named = |value: Value| match &value {
            Value::Map(map) => Value::map(map.iter().map(|(key, value)| (full(key), value.clone())).collect()),
            _ => value,
        };
        Value::list(written.iter().map(|value| named(self.whole(value))).collect())
    }

    fn loop_control_of(&self, task: &Task) -> Value {
        let control = task.loop_control();
        let mut out = Map::new();
        out.insert("break_when".into(), self.all_come_to(&control.break_when));
        let keywords = [
            ("extended", &control.extended, Kind::Bool, Value::Null),
            ("extended_allitems", &control.extended_allitems, Kind::Bool, Value::Bool(true)),
            ("index_var", &control.index_var, Kind::Text, Value::Null),
            ("loop_var", &control.loop_var, Kind::Text, "item".into()),
            ("pause", &control.pause, Kind::Float, Value::Float(0.0)),
        ];
        for (name, written, kind, usual) in keywords {
            out.insert(name.into(), self.comes_to(written.as_ref(), kind, usual));
        }
        // An item decides what it is called.
        out.insert("label".into(), control.label.clone().unwrap_or(Value::Null));
        Value::map(out)
    }

    /// What a keyword came to: of its kind, `usual` where nobody said it, as it is written where it cannot be evaluated.
    fn comes_to(&self, written: Option<&Value>, kind: Kind, usual: Value) -> Value {
        let Some(written) = written else { return usual };
        match self.templar.value(written) {
            Ok(Value::Omit) => usual,
            Ok(value) => kind.of(value),
            Err(_) => written.clone(),
        }
    }

    fn whole(&self, written: &Value) -> Value {
        self.comes_to(Some(written), Kind::Any, Value::Null)
    }

    fn all_come_to(&self, written: &[Value]) -> Value {
        Value::list(written.iter().map(|value| self.whole(value)).collect())
    }
}
