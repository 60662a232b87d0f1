//! `community.general.composer`: dependencies of PHP.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::args::{PathArg, yes};
use crate::host::{Command, Host};
use crate::module::{Context, Failure, Module, Outcome};

/// Runs a command of composer, which looks after the dependencies of a PHP project.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Composer {
    /// The command.
    #[serde(default = "install")]
    command: String,
    /// What the command is given, such as a package.
    #[serde(default)]
    arguments: String,
    /// The program of PHP.
    #[serde(default, alias = "php_path")]
    executable: Option<PathArg>,
    /// The project.
    #[serde(default)]
    working_dir: Option<PathArg>,
    /// Whether it is run for the user instead of a project.
    #[serde(default)]
    global_command: bool,
    /// Whether sources are preferred.
    #[serde(default)]
    prefer_source: bool,
    /// Whether archives are preferred.
    #[serde(default)]
    prefer_dist: bool,
    /// Whether packages of development are left out.
    #[serde(default = "yes")]
    no_dev: bool,
    /// Whether scripts of the project are left alone.
    #[serde(default)]
    no_scripts: bool,
    /// Whether plugins are left alone.
    #[serde(default)]
    no_plugins: bool,
    /// Whether classes are mapped for speed.
    #[serde(default = "yes")]
    optimize_autoloader: bool,
    /// Whether classes are found by that map alone.
    #[serde(default)]
    classmap_authoritative: bool,
    /// Whether APCu remembers where classes are.
    #[serde(default)]
    apcu_autoloader: bool,
    /// Whether what packages need of the host is ignored.
    #[serde(default)]
    ignore_platform_reqs: bool,
    /// The program of composer.
    #[serde(default)]
    composer_executable: Option<PathArg>,
}

fn install() -> String {
    "install".to_owned()
}

impl Module for Composer {
    const NAME: &'static str = "community.general.composer";

    fn check(&self) -> Result<(), String> {
        if self.command.contains(char::is_whitespace) {
            return Err("Use the 'arguments' param for passing arguments with the 'command'".to_owned());
        }
        if self.command.is_empty() || self.command.starts_with('-') {
            return Err(format!("'{}' is not a command of composer", self.command));
        }
        if !self.global_command && self.working_dir.is_none() {
            return Err("global_command is False but all of the following are missing: working_dir".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let base = self.base(host)?;
        let known = self.options(host, &base)?;
        let mut command = base.arg(&self.command);
        for (option, wanted) in [
            ("no-ansi", true),
            ("no-interaction", true),
            ("no-progress", true),
            ("prefer-source", self.prefer_source),
            ("prefer-dist", self.prefer_dist),
            ("no-dev", self.no_dev),
            ("no-scripts", self.no_scripts),
            ("no-plugins", self.no_plugins),
            ("optimize-autoloader", self.optimize_autoloader),
            ("classmap-authoritative", self.classmap_authoritative),
            ("apcu-autoloader", self.apcu_autoloader),
            ("ignore-platform-reqs", self.ignore_platform_reqs),
        ] {
            if wanted && known.iter().any(|known| known == option) {
                command = command.arg(format!("--{option}"));
            }
        }
        if host.check_mode() {
            if !known.iter().any(|known| known == "dry-run") {
                let msg = format!("command '{}' does not support check mode, skipping", self.command);
                return Ok(Outcome::skipped(msg));
            }
            command = command.arg("--dry-run");
        }
        if let Some(directory) = self.directory(host)? {
            command = command.arg("--working-dir").arg(directory);
        }
        let arguments = shell_words::split(&self.arguments).context(|| "cannot read the arguments".to_owned())?;
        let command = command.args(arguments);
        // What is run in check mode only tells what it would do.
        let output = if host.check_mode() { Some(host.query(&command)?) } else { host.run(&command.streamed())? };
        let output = output.unwrap_or_default();
        if output.rc != 0 {
            let said = output.stderr_text();
            return Err(Failure::new(tidy(&output.complaint())).with("stdout", said));
        }
        let said = output.stdout_text() + &output.stderr_text();
        let nothing = ["Nothing to install, update or remove", "Nothing to install or update"];
        let changed = !nothing.iter().any(|nothing| said.contains(nothing));
        Ok(Outcome::new(changed).with("msg", tidy(&said)).with("stdout", said))
    }
}

/// A text with single spaces.
fn tidy(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Composer {
    /// The project; none for a global command.
    fn directory(&self, host: &Host) -> Result<Option<PathBuf>, Failure> {
        self.working_dir.as_ref().filter(|_| !self.global_command).map(|directory| host.path(directory)).transpose()
    }

    fn base(&self, host: &Host) -> Result<Command, Failure> {
        let program = |given: &Option<PathArg>, name: &str| match given {
            Some(path) => host.path(path),
            None => host.require_program(name),
        };
        let command = Command::new(program(&self.executable, "php")?);
        let command = command.arg(program(&self.composer_executable, "composer")?).c_locale();
        Ok(if self.global_command { command.arg("global") } else { command })
    }

    /// The names of the options that the command has.
    fn options(&self, host: &Host, base: &Command) -> Result<Vec<String>, Failure> {
        let mut help = base.clone().arg("help").arg(&self.command);
        if let Some(directory) = self.directory(host)? {
            help = help.arg("--working-dir").arg(directory);
        }
        let output = host.query(&help.args(["--no-interaction", "--format=json"]))?;
        if output.rc != 0 {
            return Err(Failure::new(tidy(&output.complaint())));
        }
        let said = output.stdout_text();
        // Warnings may stand before it.
        let data: Option<Value> = said.find('{').and_then(|start| serde_json::from_str(&said[start..]).ok());
        let data = data.ok_or_else(|| {
            Failure::new(format!("composer did not tell the options of its command {}", self.command))
                .with("stdout", said)
        })?;
        let options = data["definition"]["options"].as_object().into_iter().flatten();
        Ok(options.map(|(name, _)| name.trim_start_matches('-').to_owned()).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::stage::Stage;
    use super::*;

    const PHP: &str = "shift; case \"$*\" in *bare*help*|help*bare*) echo '{\"definition\": {\"options\": {\"no-ansi\": {}}}}';;\
        help*odd*) echo odd;; *help*) echo 'warning'; echo '{\"definition\": {\"options\": {\"no-ansi\": {}, \"no-dev\": {}, \
        \"dry-run\": {}, \"prefer-dist\": {}}}}';; *fail*) echo 'oh   no' >&2; exit 1;; *) [ -e $R/done ] \
        && echo 'Nothing to install, update or remove' || echo 'Installing  x'; case \"$*\" in *dry-run*) ;; \
        *) touch $R/done;; esac;; esac";

    #[test]
    fn commands_are_run_with_the_options_they_know() {
        let stage = Stage::new(&[]);
        stage.program("php", PHP);
        let args = json!({"command": "require", "working_dir": "/p", "arguments": "a/b 'c d'", "prefer_dist": true,
            "no_scripts": true, "composer_executable": "/c"});
        let dry = stage.check::<Composer>(args.clone()).unwrap();
        assert_eq!((dry.changed, &dry.fields["msg"]), (true, &json!("Installing x")));
        let help = "php [/c] [help] [require] [--working-dir] [/p] [--no-interaction] [--format=json]";
        let options = "php [/c] [require] [--no-ansi] [--prefer-dist] [--no-dev]";
        assert_eq!(stage.calls(), [help.to_owned(), format!("{options} [--dry-run] [--working-dir] [/p] [a/b] [c d]")]);
        let made = stage.call::<Composer>(args.clone()).unwrap();
        assert_eq!((made.changed, &made.fields["stdout"]), (true, &json!("Installing  x\n")));
        assert_eq!(stage.calls()[1], format!("{options} [--working-dir] [/p] [a/b] [c d]"));
        assert!(!stage.call::<Composer>(args).unwrap().changed);
        stage.calls();
        let global = json!({"global_command": true, "composer_executable": "/c", "no_dev": false});
        stage.call::<Composer>(global).unwrap();
        assert_eq!(
            stage.calls(),
            [
                "php [/c] [global] [help] [install] [--no-interaction] [--format=json]",
                "php [/c] [global] [install] [--no-ansi]"
            ]
        );
        let bare = json!({"command": "bare", "working_dir": "/p", "composer_executable": "/c"});
        let skipped = stage.check::<Composer>(bare).unwrap();
        assert_eq!(skipped.fields["skipped"], json!(true));
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (args, word) in [
            (json!({"command": "a b", "working_dir": "/p"}), "Use the 'arguments' param"),
            (json!({"command": "--x", "working_dir": "/p"}), "not a command"),
            (json!({}), "missing: working_dir"),
            (json!({"command": "fail", "working_dir": "/p"}), "oh no"),
            (json!({"command": "odd", "working_dir": "/p"}), "did not tell the options"),
            (json!({"arguments": "'", "working_dir": "/p"}), "cannot read the arguments"),
        ] {
            let stage = Stage::new(&[]);
            stage.program("php", PHP);
            let mut all = json!({"composer_executable": "/c"});
            all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
            assert!(stage.call::<Composer>(all).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
