//! `ansible.builtin.expect`: a command whose questions are answered.

use std::collections::VecDeque;
use std::time::Duration;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::command::{delta, stamp};
use super::pattern::{Pattern, widen};
use crate::args::PathArg;
use crate::host::{Command, Host};
use crate::module::{CheckMode, Failure, Module, Outcome};

/// Runs a command on a terminal and answers what it asks.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Expect {
    /// The command; no shell reads it.
    command: String,
    /// Answers by the regular expression that the question matches; those of a list are given one after the other.
    responses: IndexMap<String, Value>,
    /// A path (or glob); when it exists, the command is not run.
    #[serde(default)]
    creates: Option<PathArg>,
    /// A path (or glob); when it does not exist, the command is not run.
    #[serde(default)]
    removes: Option<PathArg>,
    /// The directory to run in.
    #[serde(default)]
    chdir: Option<PathArg>,
    /// Whether the answers are shown in the output.
    #[serde(default)]
    echo: bool,
    /// Seconds to wait for a question or the end; null is for ever.
    #[serde(default = "thirty")]
    timeout: Option<u64>,
}

fn thirty() -> Option<u64> {
    Some(30)
}

/// A question and what is answered.
struct Response {
    written: String,
    question: Pattern,
    /// Given every time.
    always: Option<String>,
    /// Given one after the other.
    once: VecDeque<String>,
}

impl Response {
    fn new(written: &str, answer: &Value) -> Result<Self, String> {
        let text = |value: &Value| match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(value) => Ok(if *value { "True" } else { "False" }.to_owned()),
            _ => Err(format!("the response to '{written}' must be a text or a list of texts")),
        };
        let (always, once) = match answer {
            Value::Array(items) => (None, items.iter().map(text).collect::<Result<_, _>>()?),
            one => (Some(text(one)?), VecDeque::new()),
        };
        Ok(Self { written: written.to_owned(), question: Pattern::bytes(written)?, always, once })
    }

    fn answer(&mut self, asked: &str) -> Result<Vec<u8>, Failure> {
        let answer = self.always.clone().or_else(|| self.once.pop_front()).ok_or_else(|| {
            Failure::new(format!("No remaining responses for '{}', output was '{asked}'", self.written))
        })?;
        Ok((answer.trim_end_matches('\n').to_owned() + "\n").into_bytes())
    }
}

impl Module for Expect {
    const NAME: &'static str = "ansible.builtin.expect";
    const CHECK_MODE: CheckMode = CheckMode::Skipped;

    fn check(&self) -> Result<(), String> {
        self.responses().map(drop)
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        if self.command.trim().is_empty() {
            return Err(Failure::new("no command given").with("rc", 256));
        }
        let directory = self.chdir.as_ref().map(|chdir| host.path(chdir)).transpose()?;
        if let Some(missing) = directory.as_ref().filter(|d| !host.stat(d).ok().flatten().is_some_and(|m| m.is_dir())) {
            return Err(Failure::new(format!("chdir: {} is not a directory", missing.display())));
        }
        let exists = |arg: &PathArg| -> Result<bool, Failure> {
            let pattern = host.path(arg)?;
            Ok(!host.glob(&directory.as_ref().map_or(pattern.clone(), |d| d.join(&pattern)))?.is_empty())
        };
        for (path, wanted, why) in [(&self.creates, true, "exists"), (&self.removes, false, "does not exist")] {
            if let Some(path) = path
                && exists(path)? == wanted
            {
                let said = format!("skipped, since {} {why}", path.0);
                return Ok(Outcome::unchanged().with("cmd", self.command).with("stdout", said).with("rc", 0));
            }
        }
        let words = shell_words::split(&self.command)
            .map_err(|e| Failure::new(format!("cannot split the command into words: {e}")))?;
        let Some((program, args)) = words.split_first() else { return Err(Failure::new("no command given")) };
        let Some(program) = host.find_program(program) else {
            return Err(Failure::new(format!("The command was not found or was not executable: {program}.")));
        };
        let mut command = Command::new(program).args(args);
        if let Some(directory) = &directory {
            command = command.directory(directory);
        }
        self.talk(host, &command)
    }
}

impl Expect {
    fn responses(&self) -> Result<Vec<Response>, String> {
        self.responses.iter().map(|(written, answer)| Response::new(written, answer)).collect()
    }

    fn talk(&self, host: &Host, command: &Command) -> Result<Outcome, Failure> {
        let mut responses = self.responses().map_err(Failure::new)?;
        let mut answer = |said: &[u8]| {
            let said = widen(said);
            // The question that was asked first; of those, the one that is listed first.
            let mut first: Option<(usize, usize, &mut Response)> = None;
            for response in &mut responses {
                let found = response.question.captures(&said)?.and_then(|c| c.get(0).map(|m| (m.start(), m.end())));
                if let Some((start, end)) = found.filter(|(s, e)| s < e && first.as_ref().is_none_or(|f| *s < f.0)) {
                    first = Some((start, end, response));
                }
            }
            let Some((_, end, response)) = first else { return Ok(None) };
            let asked = said.get(..end).unwrap_or_default();
            Ok(Some((asked.chars().count(), response.answer(asked)?)))
        };
        let start = jiff::Zoned::now();
        let talk = host.talk(command, self.echo, self.timeout.map(Duration::from_secs), &mut answer)?;
        let talk = talk.unwrap_or_default();
        let end = jiff::Zoned::now();
        let Ok(output) = String::from_utf8(talk.output) else {
            return Err(Failure::new("Refusing to deserialize an invalid UTF8 string value: the command's output"));
        };
        let fields = [
            ("cmd", Value::from(self.command.as_str())),
            ("stdout", output.trim_end_matches(['\r', '\n']).into()),
            ("rc", talk.rc.into()),
            ("start", stamp(&start).into()),
            ("end", stamp(&end).into()),
            ("delta", delta(end.duration_since(&start)).into()),
        ];
        let msg = match talk.rc {
            Some(0) => return Ok(fields.into_iter().fold(Outcome::new(true), |o, (key, value)| o.with(key, value))),
            Some(_) => "non-zero return code",
            None => "command exceeded timeout",
        };
        let failure = Failure::new(msg).with("changed", true);
        Err(fields.into_iter().fold(failure, |f, (key, value)| f.with(key, value)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::stage::call;
    use super::*;

    const ASK: &str = "sh -c 'printf Name:; read n; printf Name:; read m; echo \"$n $m\"'";

    fn run(args: Value) -> Result<Outcome, Failure> {
        call::<Expect>(&Host::new(), &args)
    }

    #[test]
    fn questions_are_answered() {
        let said =
            |responses: Value| run(json!({"command": ASK, "responses": responses})).map(|o| o.fields["stdout"].clone());
        assert_eq!(said(json!({"(?i)name:": 5})).unwrap(), "Name:Name:5 5");
        assert_eq!(said(json!({"me": "x", "N?ame:$": ["a", "é"]})).unwrap(), "Name:Name:a é");
        assert_eq!(said(json!({"Name": ["a", "é"]})).unwrap(), "Name:Name:a é");
        let failure = said(json!({"Name:": ["a"]})).unwrap_err();
        assert_eq!(failure.msg, "No remaining responses for 'Name:', output was 'Name:'");
    }

    #[test]
    fn ends_are_told() {
        let failure = run(json!({"command": "sh -c 'echo no; exit 3'", "responses": {}})).unwrap_err();
        let told = (&failure.fields["rc"], &failure.fields["stdout"], &failure.fields["changed"]);
        assert_eq!(told, (&json!(3), &json!("no"), &json!(true)));
        let failure = run(json!({"command": "sleep 9", "responses": {}, "timeout": 0})).unwrap_err();
        assert_eq!((failure.msg.as_str(), &failure.fields["rc"]), ("command exceeded timeout", &Value::Null));
        let skipped = run(json!({"command": "false", "responses": {}, "creates": "/pro*"})).unwrap();
        assert_eq!((skipped.changed, &skipped.fields["stdout"]), (false, &json!("skipped, since /pro* exists")));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (args, word) in [
            (json!({"command": " ", "responses": {}}), "no command given"),
            (json!({"command": "/nowhere", "responses": {}}), "not found or was not executable"),
            (json!({"command": "true", "responses": {"f[": "x"}}), "not a valid regular expression"),
            (json!({"command": "true", "responses": {"f": {"x": 1}}}), "must be a text or a list"),
            (json!({"command": "true", "responses": {}, "chdir": "/nowhere"}), "is not a directory"),
            (json!({"command": "printf '\\377'", "responses": {}}), "invalid UTF8 string"),
        ] {
            assert!(run(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
