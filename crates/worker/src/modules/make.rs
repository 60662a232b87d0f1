//! `community.general.make`.

use rplay_protocol::Object;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::files::text;
use crate::args::{PathArg, quoted};
use crate::host::{Command, Host};
use crate::module::{Failure, Module, Outcome};

/// Runs targets of a Makefile that are not up to date.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Make {
    /// The directory to run in.
    chdir: PathArg,
    /// The Makefile.
    #[serde(default)]
    file: Option<PathArg>,
    /// How many jobs run at once.
    #[serde(default)]
    jobs: Option<u32>,
    /// The program.
    #[serde(default)]
    make: Option<PathArg>,
    /// Variables; one without a value stands alone.
    #[serde(default)]
    params: Option<Object>,
    /// The target.
    #[serde(default)]
    target: Option<String>,
    /// The targets.
    #[serde(default)]
    targets: Option<Vec<String>>,
}

impl Module for Make {
    const NAME: &'static str = "community.general.make";

    fn check(&self) -> Result<(), String> {
        if self.target.is_some() && self.targets.is_some() {
            return Err("parameters are mutually exclusive: target|targets".to_owned());
        }
        let mut targets = self.target.iter().chain(self.targets.iter().flatten());
        match targets.find(|target| target.starts_with('-')) {
            Some(target) => Err(format!("'{target}' is not the name of a target")),
            None => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let chdir = host.path(&self.chdir)?;
        if !host.stat(&chdir)?.is_some_and(|meta| meta.is_dir()) {
            return Err(Failure::new(format!("cannot run make: {} is not a directory", text(&chdir))));
        }
        let program = match &self.make {
            Some(make) => host.path(make)?,
            None => host.find_program("gmake").map_or_else(|| host.require_program("make"), Ok)?,
        };
        let mut args = Vec::new();
        if let Some(jobs) = self.jobs {
            args.extend(["-j".to_owned(), jobs.to_string()]);
        }
        let file = self.file.as_ref().map(|file| host.path(file)).transpose()?;
        if let Some(file) = &file {
            args.extend(["-f".to_owned(), text(file)]);
        }
        args.extend(self.target.iter().chain(self.targets.iter().flatten()).cloned());
        args.extend(self.params.iter().flatten().map(|(name, value)| parameter(name, value)));
        let command = |first: &[&str]| Command::new(&program).args(first).args(&args).directory(&chdir);
        // Asked first, it tells whether anything is left to do.
        let mut output = host.query(&command(&["-q"]))?;
        let changed = output.rc != 0;
        let make = command(&[]);
        let words = make.words();
        if changed && let Some(made) = host.run(&make.streamed())? {
            if made.rc != 0 {
                let failure = Failure::new(made.stderr_text().trim_end()).with("rc", made.rc);
                let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                let failure = failure.with("cmd", quoted.join(" ")).with("stdout", made.stdout_text());
                return Err(failure.with("stderr", made.stderr_text()));
            }
            output = made;
        }
        let outcome = Outcome::new(changed).with("stdout", output.stdout_text().trim_end());
        let outcome = outcome.with("stderr", output.stderr_text().trim_end()).with("command", words.join(" "));
        let outcome =
            outcome.with("chdir", text(&chdir)).with("file", file.map_or(Value::Null, |file| text(&file).into()));
        let outcome = outcome.with("jobs", self.jobs).with("target", self.target).with("targets", self.targets);
        Ok(outcome.with("params", self.params.map_or(Value::Null, |params| json!(params))))
    }
}

/// A variable as make takes it.
fn parameter(name: &str, value: &Value) -> String {
    match value {
        Value::Null => name.to_owned(),
        Value::String(value) if value.is_empty() => name.to_owned(),
        Value::String(value) => format!("{name}={value}"),
        Value::Bool(value) => format!("{name}={}", if *value { "True" } else { "False" }),
        other => format!("{name}={other}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    #[test]
    fn targets_are_made_when_they_are_not_there() {
        let stage = Stage::new(&[]);
        let chdir = stage.real("/src");
        stage.file("/src/Makefile", "");
        // Programs run in real directories, which the host looks for below its root.
        stage.file(&format!("{}/Makefile", chdir.display()), "");
        stage.program("gmake", "case $1 in -q) [ -e $R/made ];; *) touch $R/made; echo done;; esac");
        let args = json!({"chdir": chdir, "target": "all", "jobs": 2, "params": {"X": "1 2", "Y": null, "Z": true}});
        let dry = stage.check::<Make>(args.clone()).unwrap();
        assert_eq!((dry.changed, stage.exists("/made")), (true, false));
        stage.calls();
        let made = stage.call::<Make>(args.clone()).unwrap();
        assert_eq!((made.changed, &made.fields["stdout"]), (true, &json!("done")));
        assert_eq!(
            stage.calls(),
            ["gmake [-q] [-j] [2] [all] [X=1 2] [Y] [Z=True]", "gmake [-j] [2] [all] [X=1 2] [Y] [Z=True]"]
        );
        assert!(!stage.call::<Make>(args).unwrap().changed);
    }

    #[test]
    fn what_fails_is_told() {
        let stage = Stage::new(&[]);
        let chdir = stage.real("/src");
        stage.file("/src/Makefile", "");
        stage.file(&format!("{}/Makefile", chdir.display()), "");
        stage.program("make", "echo no >&2; exit 2");
        let args = json!({"chdir": chdir, "make": "make", "params": {"X": "1 2"}});
        let failure = stage.call::<Make>(args).unwrap_err();
        assert_eq!((failure.msg.as_str(), &failure.fields["cmd"]), ("no", &json!("make 'X=1 2'")));
        let failure = stage.call::<Make>(json!({"chdir": "/none", "make": "make"})).unwrap_err();
        assert!(failure.msg.contains("not a directory"));
        let failure = stage.call::<Make>(json!({"chdir": "/", "target": "a", "targets": ["b"]})).unwrap_err();
        assert!(failure.msg.contains("mutually exclusive"));
    }
}
