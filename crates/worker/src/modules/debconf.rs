//! `ansible.builtin.debconf`: answers to the questions of Debian's packages.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::is_word;
use crate::host::{Command, Diff, Host};
use crate::module::{Failure, Module, Outcome};

/// Reads the answers that a package's questions have, and gives one beforehand.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Debconf {
    /// The package.
    #[serde(alias = "pkg")]
    name: String,
    /// The question.
    #[serde(default, alias = "selection", alias = "setting")]
    question: Option<String>,
    /// The kind of question.
    #[serde(default)]
    vtype: Option<Kind>,
    /// The answer; a list for a `multiselect`.
    #[serde(default, alias = "answer")]
    value: Option<Value>,
    /// Whether the question may still be asked.
    #[serde(default)]
    unseen: bool,
}

/// A kind of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Boolean,
    Error,
    Multiselect,
    Note,
    Password,
    Seen,
    Select,
    String,
    Text,
    Title,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Error => "error",
            Self::Multiselect => "multiselect",
            Self::Note => "note",
            Self::Password => "password",
            Self::Seen => "seen",
            Self::Select => "select",
            Self::String => "string",
            Self::Text => "text",
            Self::Title => "title",
        }
    }
}

impl Module for Debconf {
    const NAME: &'static str = "ansible.builtin.debconf";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        let given = [self.question.is_some(), self.vtype.is_some(), self.value.as_ref().is_some_and(|v| !v.is_null())];
        if given.contains(&true) && given != [true; 3] {
            return Err("parameters are required together: question, vtype, value".into());
        }
        let words = std::iter::once(&self.name).chain(&self.question);
        match words.into_iter().find(|word| !is_word(word)) {
            Some(word) => Err(format!("'{word}' is not a name that debconf takes")),
            None => self.answer().map(drop),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let show = Command::new(host.require_program("debconf-show")?).arg(&self.name).c_locale();
        let mut answers = parse(&host.query_ok(&show)?.stdout_text());
        let answer = self.answer().map_err(Failure::new)?;
        let (Some(question), Some(kind), Some(answer)) = (&self.question, self.vtype, answer) else {
            return Ok(Outcome::unchanged().with("msg", "").with("current", json!(answers)));
        };
        let now = answers.get(question).cloned();
        let differs = match (&now, kind) {
            (None, _) => true,
            (Some(_), Kind::Password) => self.password(host, question)? != answer,
            (Some(now), Kind::Boolean) => now.to_lowercase() != answer,
            (Some(now), Kind::Multiselect) if self.value.as_ref().is_some_and(Value::is_array) => {
                let sorted = |text: &str| {
                    let mut items: Vec<String> = text.split(',').map(|item| item.trim().to_owned()).collect();
                    items.sort();
                    items
                };
                sorted(now) != sorted(&answer)
            }
            (Some(now), _) => *now != answer,
        };
        if !differs {
            return Ok(Outcome::unchanged().with("msg", "").with("current", json!(answers)));
        }
        self.set(host, question, kind, &answer)?;
        let previous = match now {
            Some(now) => json!({ question: now }),
            None => {
                answers.insert(question.clone(), String::new());
                json!(answers)
            }
        };
        let current = json!({ question: answer });
        let mut after = previous.clone();
        after[question] = json!(answer);
        let outcome = Outcome::new(true).with("msg", "").with("current", current).with("previous", previous.clone());
        Ok(outcome.with_diff(Diff::values(previous, after)))
    }
}

impl Debconf {
    /// The answer as debconf writes it.
    fn answer(&self) -> Result<Option<String>, String> {
        let Some(kind) = self.vtype else { return Ok(None) };
        let text = match self.value.as_ref().unwrap_or(&Value::Null) {
            Value::Null => return Ok(None),
            Value::String(text) => text.clone(),
            Value::Bool(value) if kind == Kind::Boolean => value.to_string(),
            Value::Bool(value) => if *value { "True" } else { "False" }.to_owned(),
            Value::Array(items) if kind == Kind::Multiselect => {
                let items: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
                items.ok_or("Invalid value provided for 'multiselect': its items must be texts")?.join(", ")
            }
            Value::Number(number) => number.to_string(),
            _ => return Err("value must be text, or a list where vtype is multiselect".into()),
        };
        // A line more would be an answer to another question.
        if text.contains(['\n', '\0']) {
            return Err("value must be a single line".into());
        }
        Ok(Some(if kind == Kind::Boolean { text.to_lowercase() } else { text }))
    }

    /// The password that stands there, which debconf-show does not tell.
    fn password(&self, host: &Host, question: &str) -> Result<String, Failure> {
        let program = host.require_program("debconf-communicate")?;
        let ask = Command::new(program).arg(&self.name).stdin(format!("GET {question}\n")).c_locale();
        let said = host.query_ok(&ask)?.stdout_text();
        Ok(said.trim_end_matches('\n').strip_prefix("0 ").unwrap_or_default().to_owned())
    }

    fn set(&self, host: &Host, question: &str, kind: Kind, answer: &str) -> Result<(), Failure> {
        let mut set = Command::new(host.require_program("debconf-set-selections")?).c_locale();
        if self.unseen {
            set = set.arg("-u");
        }
        let output = host.run(&set.stdin(format!("{} {question} {} {answer}\n", self.name, kind.word())))?;
        match output.filter(|output| output.rc != 0) {
            Some(output) => Err(Failure::new(output.complaint()).with("rc", output.rc)),
            None => Ok(()),
        }
    }
}

/// The answers by question, as debconf-show lists them.
fn parse(text: &str) -> IndexMap<String, String> {
    let entry = |line: &str| {
        let (question, answer) = line.trim_start_matches('*').trim().split_once(':')?;
        Some((question.to_owned(), answer.trim().to_owned()))
    };
    text.lines().filter_map(entry).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    fn stage() -> Stage {
        let stage = Stage::new(&[]);
        stage.program("debconf-show", "printf '* p/b: true\\n  p/e:\\n* p/m: b, a\\n* p/pw: (password omitted)\\n'");
        stage.program("debconf-communicate", "echo '0 secret word'");
        stage.program("debconf-set-selections", "cat >$R/set");
        stage
    }

    #[test]
    fn answers_are_given_once() {
        for (question, kind, value, set) in [
            ("p/b", "boolean", json!(true), None),
            ("p/b", "boolean", json!("FALSE"), Some("false")),
            ("p/e", "string", json!(""), None),
            ("p/e", "string", json!(5), Some("5")),
            ("p/m", "multiselect", json!(["a", "b"]), None),
            ("p/m", "multiselect", json!("a, b"), Some("a, b")),
            ("p/pw", "password", json!("secret word"), None),
            ("p/pw", "password", json!("other"), Some("other")),
            ("p/new", "select", json!("x"), Some("x")),
        ] {
            let stage = stage();
            let args = json!({"name": "p", "question": question, "vtype": kind, "value": value});
            let dry = stage.check::<Debconf>(args.clone()).unwrap();
            assert!(!stage.exists("/set"), "{args}");
            let made = stage.call::<Debconf>(args.clone()).unwrap();
            assert_eq!((dry.changed, made.changed), (set.is_some(), set.is_some()), "{args}");
            let wanted = set.map(|set| format!("p {question} {kind} {set}\n")).unwrap_or_default();
            assert_eq!(stage.text("/set"), wanted);
        }
    }

    #[test]
    fn answers_are_told() {
        let told = stage().call::<Debconf>(json!({"name": "p"})).unwrap();
        let all = json!({"p/b": "true", "p/e": "", "p/m": "b, a", "p/pw": "(password omitted)"});
        assert_eq!((told.changed, &told.fields["current"]), (false, &all));
        let args = json!({"name": "p", "question": "p/b", "vtype": "boolean", "value": false});
        let made = stage().check::<Debconf>(args).unwrap();
        assert_eq!(made.fields["previous"], json!({"p/b": "true"}));
        assert_eq!(made.fields["current"], json!({"p/b": "false"}));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (args, word) in [
            (json!({"question": "a/b", "value": "x"}), "required together"),
            (json!({"question": "a/b", "vtype": "string", "value": "x\nq a/c string z"}), "a single line"),
            (json!({"question": "a b", "vtype": "string", "value": "x"}), "not a name"),
            (json!({"question": "a/b", "vtype": "multiselect", "value": ["x", 1]}), "Invalid value provided"),
            (json!({"question": "a/b", "vtype": "string", "value": ["x"]}), "must be text"),
        ] {
            let mut args = args;
            args["name"] = json!("p");
            assert!(stage().call::<Debconf>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
