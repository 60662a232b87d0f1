//! `vars_prompt`: what is asked before a play begins.

use std::sync::Arc;

use super::Engine;
use crate::diagnostic::Diagnostic;
use crate::playbook::{Play, VarsPrompt};
use crate::source::Span;
use crate::template::Templar;
use crate::value::{Key, Map, Value};
use crate::vars::{TaskVars, World};

/// A question, as it is put.
#[derive(Debug, Clone)]
pub struct Question {
    /// The variable.
    pub name: String,
    /// What to ask.
    pub prompt: String,
    /// The answer when there is none.
    pub default: Option<Value>,
    /// Whether what is typed is not shown.
    pub private: bool,
    /// Whether it is asked for twice.
    pub confirm: bool,
    /// How the answer is hashed, where it is (`sha512_crypt`, …).
    pub encrypt: Option<String>,
    /// The hash's salt; a random one without it.
    pub salt: Option<String>,
    /// How long a random salt is.
    pub salt_size: Option<usize>,
    /// Where it is written.
    pub span: Span,
}

impl Question {
    fn of(written: &VarsPrompt, templar: &Templar) -> Result<Self, Diagnostic> {
        let mut keys = Map::new();
        for (key, value) in written.keys.iter() {
            let evaluated = templar.value(value).map_err(|error| {
                let place = value.origin().unwrap_or(written.span);
                Diagnostic::error("run::prompt", error.message).at(place)
            })?;
            keys.insert(key.clone(), evaluated);
        }
        let get = |name: &str| keys.get(name).filter(|value| !matches!(value, Value::Null | Value::Omit));
        let text = |name: &str| get(name).map(Value::to_text);
        let flag = |name: &str, default: bool| get(name).and_then(Value::to_bool).unwrap_or(default);
        Ok(Self {
            name: written.name.clone(),
            prompt: text("prompt").unwrap_or_else(|| written.name.clone()),
            default: get("default").cloned(),
            private: flag("private", true),
            confirm: flag("confirm", false),
            encrypt: text("encrypt"),
            salt: text("salt"),
            salt_size: text("salt_size").and_then(|size| size.parse().ok()),
            span: written.span,
        })
    }

    /// The answer as the variable has it; `warn` is told where nobody could be asked.
    fn answer(&self, given: Option<String>, warn: &mut dyn FnMut(Diagnostic)) -> Result<Value, Diagnostic> {
        let value = match given {
            Some(answer) if answer.is_empty() => self.default.as_ref().map_or(answer.into(), as_answer),
            Some(answer) => answer.into(),
            None => {
                let Some(default) = &self.default else {
                    let message = format!("nobody is there to be asked for `{}`", self.name);
                    let help = format!("give it on the command line: `-e {}=…`", self.name);
                    return Err(Diagnostic::error("run::prompt", message).at(self.span).help(help));
                };
                let message = "Not prompting as we are not in interactive mode";
                warn(Diagnostic::warning("run::prompt", message));
                as_answer(default)
            }
        };
        let Some(kind) = &self.encrypt else { return Ok(value) };
        crate::template::hash_password(&value.to_text(), kind, self.salt.as_deref(), self.salt_size)
            .map(Value::from)
            .map_err(|message| Diagnostic::error("run::prompt", message).at(self.span))
    }
}

/// A default as the answer that it stands for: as it would be typed.
fn as_answer(default: &Value) -> Value {
    match default {
        Value::Str(_) => default.clone(),
        other => other.to_text().into(),
    }
}

/// The questions of a play as it sees them itself; `warn` is told of its files that are left out.
pub fn questions(
    world: &Arc<World>,
    play: &Play,
    warn: &mut dyn FnMut(Diagnostic),
) -> Result<Vec<Question>, Diagnostic> {
    if play.vars_prompt.is_empty() {
        return Ok(Vec::new());
    }
    let templar = Templar::new(Arc::new(super::own_scope(world, play, Map::new(), TaskVars::default(), warn)?));
    play.vars_prompt.iter().map(|written| Question::of(written, &templar)).collect()
}

impl Engine {
    /// Asks what a play wants to be told, unless the command line has said it.
    pub(super) fn prompts(&self, play: &Play) -> Result<Map, Diagnostic> {
        let mut out = Map::new();
        let mut warn = |warning| self.emit(super::Event::Warning(warning));
        for question in questions(&self.world, play, &mut warn)? {
            if !self.world.extra.contains_key(question.name.as_str()) {
                let value = question.answer((self.prompter)(&question), &mut warn)?;
                out.insert(Key::from(question.name.as_str()), value);
            }
        }
        Ok(out)
    }
}
