//! `ansible.builtin.pip`.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::files::text;
use crate::args::{Octal, PathArg};
use crate::host::{Command, Host, Output};
use crate::module::{Failure, Module, Outcome};

/// Manages Python packages with pip.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Pip {
    /// Packages, with or without a version (`foo`, `foo>=1,<2`), or where one is fetched from.
    #[serde(default)]
    name: Vec<String>,
    /// The version of the one package that is named.
    #[serde(default)]
    version: Option<String>,
    /// A file that lists packages.
    #[serde(default)]
    requirements: Option<String>,
    /// A virtual environment, which is made when it is not there.
    #[serde(default)]
    virtualenv: Option<PathArg>,
    /// Whether a new virtual environment sees the packages of the system.
    #[serde(default)]
    virtualenv_site_packages: bool,
    /// The command that makes virtual environments.
    #[serde(default = "virtualenv")]
    virtualenv_command: String,
    /// The Python of a new virtual environment.
    #[serde(default)]
    virtualenv_python: Option<String>,
    /// What should be so.
    #[serde(default)]
    state: State,
    /// Further words for pip, as one line.
    #[serde(default)]
    extra_args: Option<String>,
    /// Whether the package is installed as a link to its source.
    #[serde(default)]
    editable: bool,
    /// The directory to run in.
    #[serde(default)]
    chdir: Option<PathArg>,
    /// The pip to use; that of the host's `python3` by default.
    #[serde(default)]
    executable: Option<PathArg>,
    /// The umask to install with.
    #[serde(default)]
    umask: Option<Octal>,
    /// Whether a Python that the system manages may be changed.
    #[serde(default)]
    break_system_packages: bool,
}

fn virtualenv() -> String {
    "virtualenv".to_owned()
}

/// What should be so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Absent,
    Forcereinstall,
    Latest,
    #[default]
    Present,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Forcereinstall => "forcereinstall",
            Self::Latest => "latest",
            Self::Present => "present",
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Absent => &["uninstall", "-y"],
            Self::Forcereinstall => &["install", "-U", "--force-reinstall"],
            Self::Latest => &["install", "-U"],
            Self::Present => &["install"],
        }
    }
}

const OPERATORS: [char; 5] = ['<', '>', '=', '!', '~'];

/// Whether a package is named by where it is fetched from.
fn is_place(name: &str) -> bool {
    name.contains("://") || name.contains('/') || name.starts_with('.')
}

/// A package's name in the one spelling that pip compares, without version and extras, and the version's conditions.
fn split(name: &str) -> (String, String) {
    let end = name.find(|c: char| OPERATORS.contains(&c) || "[; ".contains(c)).unwrap_or(name.len());
    let (bare, rest) = name.split_at(end);
    let conditions = rest.split(';').next().unwrap_or_default();
    let conditions = conditions.rsplit(']').next().unwrap_or_default().replace(' ', "");
    let words: Vec<&str> = bare.split(['-', '_', '.']).filter(|word| !word.is_empty()).collect();
    (words.join("-").to_lowercase(), conditions)
}

/// A package whose conditions are in their order, as the reference gives them to pip.
fn in_order(name: &str) -> String {
    // What stands in brackets or after a semicolon is left as it is.
    let (Some(at), false) = (name.find(OPERATORS), name.contains(['[', ';', '@'])) else { return name.to_owned() };
    let (bare, conditions) = name.split_at(at);
    let mut conditions: Vec<&str> = conditions.split(',').map(str::trim).collect();
    conditions.sort_unstable();
    format!("{}{}", bare.trim_end(), conditions.join(","))
}

/// The numbers of a version, and whether it comes before (-1) or after (1) the release of these numbers.
fn version(text: &str) -> (Vec<u64>, i8) {
    let text = text.trim_start_matches('v');
    let text = text.split('+').next().unwrap_or_default();
    let mut numbers = Vec::new();
    for part in text.split('.') {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        numbers.extend(part.get(..digits).and_then(|part| part.parse::<u64>().ok()));
        let rest = part.get(digits..).unwrap_or_default();
        if !rest.is_empty() {
            return (numbers, if rest.trim_start_matches(['-', '_']).starts_with("post") { 1 } else { -1 });
        }
    }
    (numbers, 0)
}

fn compare(a: &str, b: &str) -> Ordering {
    let ((mut a, at), (mut b, bt)) = (version(a), version(b));
    let longest = a.len().max(b.len());
    a.resize(longest, 0);
    b.resize(longest, 0);
    a.cmp(&b).then(at.cmp(&bt))
}

/// Whether a version meets conditions such as `>=1,<2`.
fn meets(have: &str, conditions: &str) -> bool {
    conditions.split(',').filter(|c| !c.is_empty()).all(|condition| {
        let wanted = condition.trim_start_matches(OPERATORS);
        let operator = condition.get(..condition.len() - wanted.len()).unwrap_or_default();
        let family = wanted.strip_suffix(".*");
        let order = compare(have, wanted);
        let within = |base: &str| version(have).0.starts_with(&version(base).0);
        match operator {
            "==" => family.map_or(order == Ordering::Equal, within),
            "!=" => !family.map_or(order == Ordering::Equal, within),
            "===" => have == wanted,
            ">=" => order != Ordering::Less,
            "<=" => order != Ordering::Greater,
            ">" => order == Ordering::Greater,
            "<" => order == Ordering::Less,
            "~=" => order != Ordering::Less && wanted.rsplit_once('.').is_some_and(|(base, _)| within(base)),
            _ => false,
        }
    })
}

impl Module for Pip {
    const NAME: &'static str = "ansible.builtin.pip";

    fn check(&self) -> Result<(), String> {
        if self.name.is_empty() && self.requirements.is_none() {
            return Err("one of the following is required: name, requirements".into());
        }
        if !self.name.is_empty() && self.requirements.is_some() {
            return Err("parameters are mutually exclusive: name|requirements".into());
        }
        if self.executable.is_some() && self.virtualenv.is_some() {
            return Err("parameters are mutually exclusive: executable|virtualenv".into());
        }
        if self.state == State::Latest && self.has_version() {
            return Err("version is incompatible with state=latest".into());
        }
        if let Some(option) = self.name.iter().find(|name| name.starts_with('-')) {
            return Err(format!("'{option}' is not the name of a package: options go into extra_args"));
        }
        let names = self.names();
        if self.has_version() && names.len() > 1 {
            return Err("'version' argument is ambiguous when installing multiple package distributions. Please \
                        specify version restrictions next to each package in 'name' argument."
                .into());
        }
        if self.has_version() && names.iter().any(|name| !split(name).1.is_empty()) {
            return Err("The 'version' argument conflicts with any version specifier provided along with a package \
                        name. Please keep the version specifier, but remove the 'version' argument."
                .into());
        }
        Ok(())
    }

    fn run(mut self, host: &Host) -> Result<Outcome, Failure> {
        // A role's default for any version is often an empty string.
        self.version = self.version.filter(|version| !version.is_empty());
        let directory = match &self.chdir {
            Some(chdir) => host.path(chdir)?,
            None => PathBuf::from("/tmp"),
        };
        let mut made = false;
        if let Some(virtualenv) = &self.virtualenv {
            let path = directory.join(host.path(virtualenv)?);
            if !host.exists(&path.join("bin/activate"))? {
                self.make_virtualenv(host, &path, &directory)?;
                made = true;
                if host.check_mode() {
                    return Ok(Outcome::new(true));
                }
            }
        }
        let pip = self.pip(host, &directory)?;
        if host.check_mode() {
            return self.predict(host, &pip, &directory);
        }
        let told_by_list = self.requirements.is_some() || self.name.iter().any(|name| is_place(name));
        let before = if told_by_list { Some(self.listed(host, &pip, &directory)?.stdout) } else { None };
        let words = self.words(&pip)?;
        let command = self.command(&words, &directory).streamed();
        let output = host.run(&command)?.unwrap_or_default();
        if output.rc != 0 {
            let (stdout, stderr) = (output.stdout_text(), output.stderr_text());
            let said = if stdout.is_empty() { String::new() } else { format!("stdout: {stdout}") };
            let msg = format!("{said}\n:stderr: {stderr}");
            return Err(Failure::new(msg).with("cmd", json!(words)).with("rc", output.rc));
        }
        let stdout = output.stdout_text();
        let changed = match before {
            Some(before) => before != self.listed(host, &pip, &directory)?.stdout,
            None if self.state == State::Absent => stdout.contains("Successfully uninstalled"),
            None => stdout.contains("Successfully installed"),
        };
        let outcome = Outcome::new(changed || made).with("cmd", json!(words)).with("state", self.state.word());
        let name = if self.name.is_empty() { Value::Null } else { json!(self.name) };
        let outcome = outcome.with("name", name).with("version", self.version).with("requirements", self.requirements);
        let virtualenv = self.virtualenv.as_ref().map(|path| host.path(path)).transpose()?;
        let virtualenv = virtualenv.map(|path| text(&directory.join(path)));
        Ok(outcome.with("virtualenv", virtualenv).with("stdout", stdout).with("stderr", output.stderr_text()))
    }
}

impl Pip {
    fn has_version(&self) -> bool {
        self.version.as_ref().is_some_and(|version| !version.is_empty())
    }

    /// The packages; what a comma took apart within one is together again.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.name.iter().map(|name| name.trim()) {
            match names.last_mut() {
                Some(last) if name.starts_with(OPERATORS) => *last = format!("{last},{name}"),
                _ => names.push(name.to_owned()),
            }
        }
        names.iter_mut().filter(|name| !is_place(name) && name.contains(',')).for_each(|name| *name = in_order(name));
        names
    }

    fn make_virtualenv(&self, host: &Host, path: &Path, directory: &Path) -> Result<(), Failure> {
        let words = shell_words::split(&self.virtualenv_command)
            .map_err(|e| Failure::new(format!("virtualenv_command: {e}")))?;
        let Some((program, args)) = words.split_first() else {
            return Err(Failure::new("virtualenv_command names no program"));
        };
        let of_python = program.contains("pyvenv") || args.iter().any(|arg| arg == "venv");
        let program = host.expand_path(program)?.to_string_lossy().into_owned();
        let mut command = Command::new(host.require_program(&program)?).args(args).directory(directory);
        if let Some(umask) = self.umask {
            command = command.umask(umask.0);
        }
        if self.virtualenv_site_packages {
            command = command.arg("--system-site-packages");
        }
        match &self.virtualenv_python {
            Some(_) if of_python => {
                return Err(Failure::new(
                    "virtualenv_python should not be used when using the venv module or pyvenv as virtualenv_command",
                ));
            }
            Some(python) => command = command.arg(format!("-p{python}")),
            None => {}
        }
        host.run_ok(&command.arg(path)).map(drop)
    }

    /// The words that call pip.
    fn pip(&self, host: &Host, directory: &Path) -> Result<Vec<String>, Failure> {
        if let Some(virtualenv) = &self.virtualenv {
            let bin = directory.join(host.path(virtualenv)?).join("bin");
            for name in ["pip3", "pip"] {
                if host.exists(&bin.join(name))? {
                    return Ok(vec![text(&bin.join(name))]);
                }
            }
            return Err(Failure::new(format!("there is no pip in the virtual environment {}", bin.display())));
        }
        if let Some(executable) = &self.executable {
            let path = text(&host.path(executable)?);
            return Ok(vec![text(&host.require_program(&path)?)]);
        }
        if let Some(python) = host.find_program("python3") {
            let ask = Command::new(&python).args(["-c", "import pip"]);
            if host.query(&ask)?.rc == 0 {
                return Ok(vec![text(&python), "-m".into(), "pip".into()]);
            }
        }
        match host.find_program("pip3").or_else(|| host.find_program("pip")) {
            Some(pip) => Ok(vec![text(&pip)]),
            None => Err(Failure::new("Unable to find any of pip3 to use.  pip needs to be installed.")),
        }
    }

    fn command(&self, words: &[String], directory: &Path) -> Command {
        let (program, args) = words.split_first().map_or(("pip", words), |(program, args)| (program.as_str(), args));
        let mut command = Command::new(program).args(args).directory(directory).c_locale();
        if let Some(umask) = self.umask {
            command = command.umask(umask.0);
        }
        if self.break_system_packages {
            command = command.env("PIP_BREAK_SYSTEM_PACKAGES", "1");
        }
        command
    }

    /// The command that brings the state about.
    fn words(&self, pip: &[String]) -> Result<Vec<String>, Failure> {
        let mut words = pip.to_vec();
        words.extend(self.state.arguments().iter().map(|word| (*word).to_owned()));
        let extra = self.extra_args.as_deref().unwrap_or_default();
        words.extend(shell_words::split(extra).map_err(|e| Failure::new(format!("extra_args: {e}")))?);
        if self.editable && !self.name.is_empty() && self.state != State::Absent {
            words.push("-e".into());
        }
        match (&self.version, self.state) {
            (Some(version), state) if state != State::Absent => {
                words.extend(self.names().iter().map(|name| format!("{name}=={version}")));
            }
            _ => words.extend(self.names()),
        }
        if let Some(requirements) = &self.requirements {
            words.extend(["-r".to_owned(), requirements.clone()]);
        }
        Ok(words)
    }

    fn listed(&self, host: &Host, pip: &[String], directory: &Path) -> Result<Output, Failure> {
        let words = [pip, &["list".to_owned(), "--format=freeze".to_owned()]].concat();
        host.query_ok(&self.command(&words, directory))
    }

    fn predict(&self, host: &Host, pip: &[String], directory: &Path) -> Result<Outcome, Failure> {
        if self.state == State::Latest || self.extra_args.is_some() || self.requirements.is_some() {
            return Ok(Outcome::new(true));
        }
        let output = self.listed(host, pip, directory)?;
        let list = output.stdout_text();
        let installed: Vec<(String, &str)> =
            list.lines().filter_map(|line| line.split_once("==")).map(|(name, have)| (split(name).0, have)).collect();
        let version = self.version.as_ref().map(|version| format!("=={version}"));
        let there = |name: &String| {
            let (name, mut conditions) = split(name);
            conditions.push_str(version.as_deref().unwrap_or_default());
            installed.iter().any(|(known, have)| *known == name && meets(have, &conditions))
        };
        let changed = match self.state {
            _ if self.name.iter().any(|name| is_place(name)) => true,
            State::Forcereinstall => true,
            State::Absent => self.names().iter().any(there),
            _ => !self.names().iter().all(there),
        };
        let words = [pip, &["list".to_owned(), "--format=freeze".to_owned()]].concat().join(" ");
        Ok(Outcome::new(changed).with("cmd", words).with("stdout", list.as_str()).with("stderr", output.stderr_text()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    fn stage() -> Stage {
        let stage = Stage::new(&[]);
        stage.program(
            "python3",
            "case \"$*\" in *'list --format=freeze') cat $R/list 2>/dev/null || echo 'Ruamel.YAML==0.17.4'\n\
             exit 0;; *new*|*' -r '*) echo x==1 >$R/list; echo 'Successfully installed new-1';;\n\
             *bad*) echo no; echo wrong >&2; exit 1;; *uninstall*) echo 'Successfully uninstalled x';; esac",
        );
        stage
    }

    /// The last command line, and whether something changed.
    fn run(args: Value) -> (String, bool) {
        let stage = stage();
        let outcome = stage.call::<Pip>(args).unwrap();
        let words: Vec<String> = serde_json::from_value(outcome.fields["cmd"].clone()).unwrap();
        (words[3..].join(" "), outcome.changed)
    }

    #[test]
    fn commands_say_what_is_asked_for() {
        for (args, line, changed) in [
            (json!({"name": "new"}), "install new", true),
            (json!({"name": "old>=1,<2"}), "install old<2,>=1", false),
            (
                json!({"name": "new", "version": "1", "extra_args": "--user -i 'a b'"}),
                "install --user -i a b new==1",
                true,
            ),
            (json!({"name": "new", "version": ""}), "install new", true),
            (json!({"name": ["x", "y"], "state": "absent"}), "uninstall -y x y", true),
            (json!({"name": "old", "state": "latest"}), "install -U old", false),
            (json!({"name": "/src/old", "editable": true}), "install -e /src/old", false),
            (json!({"requirements": "/r"}), "install -r /r", true),
        ] {
            assert_eq!(run(args), (line.to_owned(), changed));
        }
        let failure = stage().call::<Pip>(json!({"name": "bad"})).unwrap_err();
        assert_eq!(failure.msg, "stdout: no\n\n:stderr: wrong\n");
    }

    #[test]
    fn check_mode_predicts() {
        for (name, state, changed) in [
            ("ruamel_yaml", "present", false),
            ("ruamel.yaml[x]>=0.17,!=0.18", "present", false),
            ("ruamel-yaml<0.17.4", "present", true),
            ("other", "present", true),
            ("other", "absent", false),
            ("ruamel.yaml", "absent", true),
            ("ruamel.yaml", "latest", true),
        ] {
            let outcome = stage().check::<Pip>(json!({"name": name, "state": state})).unwrap();
            assert_eq!(outcome.changed, changed, "{name} {state}");
        }
    }

    #[test]
    fn versions_are_compared() {
        for (have, conditions, wanted) in [
            ("1.10", ">1.9,<2", true),
            ("1.0", "==1", true),
            ("1.5.3", "==1.5.*", true),
            ("1.5.3", "~=1.4", true),
            ("2.0", "~=1.4", false),
            ("1.0rc1", ">=1.0", false),
            ("1.0.post1", ">1.0", true),
        ] {
            assert_eq!(meets(have, conditions), wanted, "{have} {conditions}");
        }
    }

    #[test]
    fn environments_are_made() {
        let stage = stage();
        stage.program("mk", "mkdir -p $R/v/bin; echo >$R/v/bin/activate; echo >$R/v/bin/pip3");
        let args =
            json!({"name": "new", "virtualenv": "/v", "virtualenv_command": "mk x", "virtualenv_site_packages": true});
        assert!(stage.check::<Pip>(args.clone()).unwrap().changed && !stage.exists("/v"));
        // The environment's pip is no program here: that it is asked for is enough.
        let failure = stage.call::<Pip>(args).unwrap_err();
        assert!(failure.msg.contains("/v/bin/pip3"), "{}", failure.msg);
        assert_eq!(stage.calls(), ["mk [x] [--system-site-packages] [/v]"]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (args, word) in [
            (json!({}), "one of the following is required"),
            (json!({"name": "a", "requirements": "b"}), "mutually exclusive: name|requirements"),
            (json!({"name": "a", "executable": "b", "virtualenv": "c"}), "mutually exclusive: executable|virtualenv"),
            (json!({"name": ["a", "b"], "version": 1}), "ambiguous"),
            (json!({"name": "a==1", "version": 1}), "conflicts"),
            (json!({"name": "--pre"}), "not the name of a package"),
        ] {
            assert!(stage().call::<Pip>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
