//! Keywords of a task have a type: what they come to on a host is looked at before the task does anything.

use std::borrow::Cow;

use super::hands::{about, repr};
use super::on_host::{OnHost, Pass};
use crate::playbook::{Context, Play, Setting, Task};
use crate::template::{Templar, TemplateError, truthy};
use crate::value::Value;

/// What a keyword has to come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Bool,
    Int,
    Float,
    /// A number, with a sign of percent or without.
    Percent,
    Text,
    /// Anything that can be evaluated.
    Any,
}

impl Kind {
    /// What Python calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Float | Self::Percent => "float",
            Self::Text | Self::Any => "str",
        }
    }

    /// Whether a value is one, or a text that stands for one.
    fn takes(self, value: &Value) -> bool {
        let number = |whole: bool| match value {
            Value::Int(_) | Value::Bool(_) => true,
            Value::Float(number) => !whole || number.fract() == 0.0,
            Value::Str(text) if whole => text.as_str().trim().parse::<i64>().is_ok(),
            Value::Str(text) => text.as_str().trim().parse::<f64>().is_ok(),
            _ => false,
        };
        match self {
            _ if matches!(value, Value::Null | Value::Omit) => true,
            Self::Bool => value.to_bool().is_some(),
            Self::Int => number(true),
            Self::Float => number(false),
            Self::Percent => match value {
                Value::Str(text) => text.as_str().trim_end_matches('%').trim().parse::<f64>().is_ok(),
                _ => number(false),
            },
            Self::Text | Self::Any => true,
        }
    }

    /// A value as one; what cannot be stays what it is.
    pub(super) fn of(self, value: Value) -> Value {
        if value.is_null() || !self.takes(&value) {
            return value;
        }
        match self {
            Self::Bool => value.to_bool().map_or(value, Value::Bool),
            Self::Int => crate::template::to_int(&value).map_or(value, Value::Int),
            Self::Float | Self::Percent => value.to_text().trim().parse().map_or(value, Value::Float),
            Self::Text => value.to_text().into(),
            Self::Any => value,
        }
    }
}

/// What is wrong with the keywords of a play that are for all of it.
pub(super) fn wrong_of_play(play: &Play, templar: &Templar) -> Option<TemplateError> {
    let settings = [
        ("gather_facts", &play.gather_facts, Kind::Bool),
        ("gather_subset", &play.gather_subset, Kind::Any),
        ("gather_timeout", &play.gather_timeout, Kind::Int),
        ("force_handlers", &play.force_handlers, Kind::Bool),
        ("max_fail_percentage", &play.max_fail_percentage, Kind::Percent),
    ];
    first_wrong(templar, &settings).or_else(|| wrong_subset(play, templar))
}

/// What is wrong with the entries of `gather_subset`.
fn wrong_subset(play: &Play, templar: &Templar) -> Option<TemplateError> {
    let written = play.gather_subset.as_ref()?;
    let value = templar.value(written).ok().filter(|value| !matches!(value, Value::Null | Value::Omit))?;
    let wrong =
        value.as_list().unwrap_or(std::slice::from_ref(&value)).iter().find(|entry| entry.as_str().is_none())?;
    let kind = crate::template::python_type(wrong);
    let message = format!("Keyword 'gather_subset' items must be of type 'str', not '{kind}'.");
    Some(about("gather_subset", TemplateError::message(message, written.origin())))
}

/// A task's keywords, those that it omits as what is around it has them.
pub(super) fn settled<'t>(task: &'t Task, templar: &Templar) -> Cow<'t, Context> {
    task.context.without_omitted(&task.outer, &|value| is_omitted(templar, value))
}

/// One keyword of a task; where the task omits it, as what is around it has it.
pub(super) fn keyword<'t>(name: &str, task: &'t Task, templar: &Templar) -> Cow<'t, Setting> {
    task.context.keyword(name, &task.outer, &|value| is_omitted(templar, value))
}

fn is_omitted(templar: &Templar, value: &Value) -> bool {
    matches!(templar.value(value), Ok(Value::Omit))
}

impl OnHost<'_> {
    /// The task's keywords, those that it omits as what is around it has them.
    pub(super) fn settled(&self, templar: &Templar) -> Cow<'_, Context> {
        settled(self.task(), templar)
    }

    /// One keyword of the task; where the task omits it, as what is around it has it.
    pub(super) fn keyword(&self, name: &str, templar: &Templar) -> Cow<'_, Setting> {
        keyword(name, self.task(), templar)
    }

    /// What is wrong with the task's `loop_control`.
    pub(super) fn wrong_loop_control(&self) -> Option<TemplateError> {
        let control = self.task().loop_control();
        let settings = [
            ("loop_var", &control.loop_var, Kind::Text),
            ("index_var", &control.index_var, Kind::Text),
            ("pause", &control.pause, Kind::Float),
            ("extended", &control.extended, Kind::Bool),
            ("extended_allitems", &control.extended_allitems, Kind::Bool),
        ];
        first_wrong(&self.templar, &settings)
    }

    /// What is wrong with the first keyword that cannot be evaluated, or does not come to what it has to be.
    pub(super) fn wrong_keyword(&self, pass: &Pass) -> Option<TemplateError> {
        let task = self.task();
        let context = self.settled(&pass.templar);
        let settings = [
            ("any_errors_fatal", &context.any_errors_fatal, Kind::Bool),
            ("become", &context.become_, Kind::Bool),
            ("become_exe", &context.become_exe, Kind::Text),
            ("become_flags", &context.become_flags, Kind::Text),
            ("become_method", &context.become_method, Kind::Text),
            ("become_user", &context.become_user, Kind::Text),
            ("check_mode", &context.check_mode, Kind::Bool),
            ("connection", &context.connection, Kind::Text),
            ("delegate_facts", &context.delegate_facts, Kind::Bool),
            ("diff", &context.diff, Kind::Bool),
            ("ignore_errors", &context.ignore_errors, Kind::Bool),
            ("ignore_unreachable", &context.ignore_unreachable, Kind::Bool),
            ("no_log", &context.no_log, Kind::Bool),
            ("port", &context.port, Kind::Int),
            ("remote_user", &context.remote_user, Kind::Text),
            ("run_once", &context.run_once, Kind::Bool),
            ("throttle", &context.throttle, Kind::Int),
            ("timeout", &context.timeout, Kind::Int),
            ("async_val", &task.asynchronous, Kind::Int),
            ("poll", &task.poll, Kind::Int),
            ("retries", &task.retries, Kind::Int),
            ("delay", &task.delay, Kind::Float),
        ];
        // These have no meaning as nothing, other than omitted.
        let nothing = |setting: &Option<Value>| {
            setting.as_ref().is_some_and(|value| matches!(pass.templar.value(value), Ok(Value::Null)))
        };
        let missing = || {
            let sign = match () {
                () if nothing(&task.asynchronous) || task.asynchronous.is_some() && nothing(&task.poll) => '>',
                () if nothing(&task.delay) => '<',
                () => return None,
            };
            Some(TemplateError::refusal(format!("'{sign}' not supported between instances of 'NoneType' and 'int'")))
        };
        let notified = || task.notify.iter().find_map(|value| check(&pass.templar, "notify", value, Kind::Any));
        first_wrong(&pass.templar, &settings).or_else(notified).or_else(missing)
    }

    /// Whether what the task says of the host is kept secret.
    pub(super) fn keeps_secret(&self) -> bool {
        self.is_secret(&self.templar)
    }

    /// Whether what the task says is kept secret: where that cannot be told, it is.
    pub(super) fn is_secret(&self, templar: &Templar) -> bool {
        let setting = self.keyword("no_log", templar);
        let Some(value) = setting.as_ref() else { return false };
        match templar.value(value) {
            Ok(Value::Null | Value::Omit) => false,
            Ok(value) => value.to_bool().unwrap_or(true),
            Err(_) => true,
        }
    }

    /// Whether the task's failure counts for nothing. As in the reference, what cannot be told counts as it is written.
    pub(super) fn is_forgiven(&self, templar: &Templar) -> bool {
        let setting = self.keyword("ignore_errors", templar);
        let Some(value) = setting.as_ref() else { return false };
        match templar.value(value) {
            Ok(Value::Null | Value::Omit) => false,
            Ok(told) => told.to_bool().unwrap_or_else(|| truthy(value)),
            Err(_) => truthy(value),
        }
    }
}

/// What is wrong with the first of some keywords that is given and wrong.
fn first_wrong(templar: &Templar, settings: &[(&str, &Option<Value>, Kind)]) -> Option<TemplateError> {
    settings.iter().find_map(|(name, setting, kind)| check(templar, name, setting.as_ref()?, *kind))
}

/// What is wrong with a keyword's value, when something is.
pub(super) fn check(templar: &Templar, name: &str, value: &Value, kind: Kind) -> Option<TemplateError> {
    let origin = value.origin();
    match templar.value(value) {
        Ok(found) if kind.takes(&found) => None,
        Ok(found) => {
            let message = format!("The value {} could not be converted to '{}'.", repr(&found), kind.name());
            Some(about(name, TemplateError::message(message, origin)))
        }
        Err(error) => Some(about(name, error)),
    }
}
