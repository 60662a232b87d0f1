//! `community.general.capabilities`: what programs may do without being root.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::text;
use crate::args::{PathArg, Presence as State};
use crate::host::{Command, Host};
use crate::module::{Failure, Module, Outcome};

/// Manages the capabilities of a program's file.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Capabilities {
    /// The file.
    #[serde(alias = "key")]
    path: PathArg,
    /// The capability, with operator and flags (`cap_net_raw=ep`) where it should be there.
    #[serde(alias = "cap")]
    capability: String,
    /// Whether the file should have it.
    #[serde(default)]
    state: State,
}

/// A capability with its operator and flags.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Capability {
    name: String,
    /// As in `=ep`.
    flags: String,
}

const OPERATORS: [char; 3] = ['=', '-', '+'];

impl Module for Capabilities {
    const NAME: &'static str = "community.general.capabilities";

    fn check(&self) -> Result<(), String> {
        if self.capability.contains(char::is_whitespace) || self.capability.starts_with('-') {
            return Err("capability must be one word, and no option".to_owned());
        }
        if self.state == State::Present && !self.capability.contains(OPERATORS) {
            return Err("Couldn't find operator (one of: ('=', '-', '+'))".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.path)?;
        // Nothing that is given is an option, whatever it begins with.
        let path = if text(&path).starts_with('-') { Path::new(".").join(path) } else { path };
        let mut held = current(host, &path)?;
        let wanted = Capability::of(&self.capability.to_lowercase());
        let (changed, state) = match self.state {
            State::Present => (!held.contains(&wanted), "present"),
            State::Absent => (held.iter().any(|held| held.name == wanted.name), "absent"),
        };
        if !changed {
            return Ok(Outcome::unchanged().with("state", state));
        }
        held.retain(|held| held.name != wanted.name);
        if self.state == State::Present {
            held.push(wanted);
        }
        let outcome = Outcome::new(true).with("msg", "capabilities changed");
        let words: Vec<String> = held.iter().map(|held| format!("{}{}", held.name, held.flags)).collect();
        let set = Command::new(host.require_program("setcap")?).c_locale().arg(words.join(" ")).arg(&path);
        match host.run(&set)? {
            None => Ok(outcome),
            Some(output) if output.rc == 0 => Ok(outcome.with("state", state).with("stdout", output.stdout_text())),
            Some(output) => {
                let failure = Failure::new(format!("Unable to set capabilities of {}", path.display()));
                Err(failure.with("stdout", output.stdout_text()).with("stderr", output.stderr_text()))
            }
        }
    }
}

impl Capability {
    fn of(text: &str) -> Self {
        let at = text.find(OPERATORS).unwrap_or(text.len());
        Self { name: text[..at].to_owned(), flags: text[at..].to_owned() }
    }
}

/// What the file has: `cap_a,cap_b=ep cap_c+i`, with a lone `=` before it from older programs.
fn current(host: &Host, path: &Path) -> Result<Vec<Capability>, Failure> {
    let output = host.query(&Command::new(host.require_program("getcap")?).c_locale().arg("-v").arg(path))?;
    // It complains about a file that is not there, and still says that all went well.
    if output.rc != 0 || !output.stderr.is_empty() {
        let failure = Failure::new(format!("Unable to get capabilities of {}", path.display()));
        return Err(failure.with("stdout", output.stdout_text()).with("stderr", output.stderr_text()));
    }
    let said = output.stdout_text();
    let said = said.trim().strip_prefix(&text(path)).unwrap_or_default();
    let words = said.split_whitespace().filter(|word| *word != "=").map(Capability::of);
    let each = words.flat_map(|word| {
        let names: Vec<String> = word.name.split(',').map(ToOwned::to_owned).collect();
        names.into_iter().map(move |name| Capability { name, flags: word.flags.clone() })
    });
    Ok(each.collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::stage::Stage;
    use super::*;

    #[test]
    fn capabilities_are_set_once() {
        for (capability, state, held, set) in [
            ("cap_kill+ep", "present", "", Some("cap_kill+ep")),
            ("CAP_KILL=ep", "present", " cap_chown,cap_kill=ep", None),
            ("cap_kill=i", "present", " cap_chown,cap_kill=ep", Some("cap_chown=ep cap_kill=i")),
            ("cap_kill", "absent", " = cap_chown,cap_kill+ep", Some("cap_chown+ep")),
            ("cap_kill", "absent", " cap_kill=ep", Some("")),
            ("cap_kill", "absent", " =", None),
        ] {
            let stage = Stage::new(&[("/held", held)]);
            stage.program("getcap", "echo \"$2$(cat $R/held)\"").program("setcap", "");
            let args = json!({"path": "/p", "capability": capability, "state": state});
            assert_eq!(stage.check::<Capabilities>(args.clone()).unwrap().changed, set.is_some());
            assert_eq!(stage.calls(), ["getcap [-v] [/p]"]);
            assert_eq!(stage.call::<Capabilities>(args).unwrap().changed, set.is_some());
            let wanted = set.map(|set| format!("setcap [{set}] [/p]"));
            assert_eq!(stage.calls().get(1).cloned(), wanted);
        }
    }

    #[test]
    fn what_cannot_be_is_told() {
        let stage = Stage::new(&[]);
        stage.program("getcap", "echo no >&2");
        let args = json!({"path": "/p", "capability": "cap_kill"});
        assert!(stage.call::<Capabilities>(args).unwrap_err().msg.contains("find operator"));
        let args = json!({"path": "/p", "capability": "cap_kill=ep"});
        let failure = stage.call::<Capabilities>(args).unwrap_err();
        assert_eq!(
            (failure.msg.as_str(), &failure.fields["stderr"]),
            ("Unable to get capabilities of /p", &json!("no\n"))
        );
    }
}
