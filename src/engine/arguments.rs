//! A task's arguments as they are written: its own, and those that `module_defaults` give.

use super::event::Event;
use super::on_host::{OnHost, Pass};
use crate::action;
use crate::diagnostic::Diagnostic;
use crate::template::TemplateError;
use crate::value::{Map, Value};

/// What is said of arguments that are one template.
const UNSAFE_ARGS: &str = "Using a template for task args is unsafe in some situations (see https://docs.ansible.com/ansible/devel/reference_appendices/faq.html#argsplat-unsafe).";

/// What `module_defaults` give to a module; why that cannot be where it is no dictionary, in Python's words.
fn entries_of(values: Value) -> Result<Map, String> {
    let kind = crate::template::python_type(&values);
    let first = match &values {
        Value::Map(map) => return Ok(map.as_ref().clone()),
        Value::List(items) => items.first().cloned(),
        Value::Str(text) => text.as_str().chars().next().map(|c| Value::data(c.to_string())),
        Value::Omit => None,
        _ => return Err(format!("'{kind}' object is not iterable")),
    };
    let len = match &first {
        None => return Ok(Map::new()),
        Some(Value::List(items)) => items.len(),
        Some(Value::Str(text)) => text.as_str().chars().count(),
        Some(_) => return Err("cannot convert dictionary update sequence element #0 to a sequence".to_owned()),
    };
    Err(format!("dictionary update sequence element #0 has length {len}; 2 is required"))
}

impl OnHost<'_> {
    /// The task's arguments as they are written, with `module_defaults` below them.
    pub(super) fn args(&self, pass: &Pass) -> Result<Map, TemplateError> {
        let task = self.task();
        let through = self.acts_through(pass);
        // Those of the module that does the work on the host, and those of the task's own, which come over them.
        let (mut args, mut own) = (Map::new(), Map::new());
        let gathers = task.action.module == "ansible.builtin.gather_facts";
        for defaults in &task.context.module_defaults {
            for (name, values) in defaults.as_map().into_iter().flatten() {
                let name = name.to_string();
                let info = crate::playbook::canonical_name(&name, &task.context.collections, &action::BuiltIn);
                let place = match info.map(|info| info.name) {
                    Some(name) if name == task.action.module => &mut own,
                    Some(name) if Some(name) == through.as_deref() => &mut args,
                    _ => continue,
                };
                // What the entries come to is asked with the task's own arguments.
                let values = if values.as_map().is_some() { values.clone() } else { pass.templar.value(values)? };
                let values = entries_of(values).map_err(TemplateError::refusal)?;
                // The nearest defaults for the module replace those further out.
                place.clear();
                place.extend(values);
            }
        }
        args.extend(own);
        if let Some(template) = &task.action.args_template {
            let own = matches!(task.action.module, "ansible.builtin.set_fact" | "ansible.builtin.add_host");
            if self.engine.world.info.inject_facts && !own {
                let warning = Diagnostic::warning("run::args-template", UNSAFE_ARGS).or_at(template.origin());
                self.run.say(self.engine, &self.host.name, Event::Warning(warning));
            }
            let about = |mut error: TemplateError| {
                error.message =
                    format!("Finalization of task args for '{}' failed: {}", task.action.module, error.message);
                error
            };
            match pass.templar.string(template).map_err(about)? {
                Value::Map(map) => args.extend(map.iter().map(|(k, v)| (k.clone(), v.clone()))),
                Value::Omit => {}
                other => {
                    let message = format!(
                        "Finalization of task args for '{}' failed: Task args must resolve to a 'dict' not '{}'.",
                        task.action.module,
                        crate::template::python_type(&other)
                    );
                    return Err(TemplateError::message(message, template.origin()));
                }
            }
        }
        args.extend(task.action.args.iter().map(|(k, v)| (k.clone(), v.clone())));
        if gathers {
            // There is one module that gathers.
            args.shift_remove("parallel");
        }
        Ok(args)
    }

    /// The module that the task's module hands its work to, as the host's facts say; its `module_defaults` count too.
    fn acts_through(&self, pass: &Pass) -> Option<String> {
        let fact = match self.task().action.module {
            "ansible.builtin.service" => "service_mgr",
            "ansible.builtin.package" => "pkg_mgr",
            "ansible.builtin.gather_facts" => return Some("ansible.builtin.setup".to_owned()),
            _ => return None,
        };
        let facts = pass.templar.variable("ansible_facts").ok().flatten()?;
        let name = facts.get(fact)?.as_str()?.to_owned();
        Some(format!("ansible.builtin.{name}"))
    }
}
