//! `community.general.cpanm`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::text;
use crate::args::PathArg;
use crate::host::{Command, Host};
use crate::module::{CheckMode, Failure, Module, Outcome};

/// Installs Perl libraries with cpanm.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Cpanm {
    /// The library: a module, a distribution's file, or where one is.
    #[serde(default, alias = "pkg")]
    name: Option<String>,
    /// The version; one with an operator is what cpanm understands.
    #[serde(default)]
    version: Option<String>,
    /// A directory or an archive of the host that is installed.
    #[serde(default)]
    from_path: Option<PathArg>,
    /// Whether the tests are left out.
    #[serde(default)]
    notest: bool,
    /// The directory that libraries are installed in.
    #[serde(default)]
    locallib: Option<PathArg>,
    /// The mirror of CPAN.
    #[serde(default)]
    mirror: Option<String>,
    /// Whether only the mirror is asked what there is.
    #[serde(default)]
    mirror_only: bool,
    /// Whether only what the library needs is installed.
    #[serde(default)]
    installdeps: bool,
    /// Whether what the library recommends is installed.
    #[serde(default)]
    install_recommendations: Option<bool>,
    /// Whether what the library suggests is installed.
    #[serde(default)]
    install_suggestions: Option<bool>,
    /// The program.
    #[serde(default)]
    executable: Option<PathArg>,
    /// Whether a module that is installed is left alone.
    #[serde(default)]
    mode: Mode,
    /// The module that tells whether the library is installed.
    #[serde(default)]
    name_check: Option<String>,
}

/// Whether a module that is installed is left alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// It is, and the name is that of a module or a distribution.
    Compatibility,
    /// cpanm decides.
    #[default]
    New,
}

impl Module for Cpanm {
    const NAME: &'static str = "community.general.cpanm";
    const CHECK_MODE: CheckMode = CheckMode::Skipped;

    fn check(&self) -> Result<(), String> {
        if self.name.is_none() && self.from_path.is_none() {
            return Err("one of the following is required: name, from_path".to_owned());
        }
        if self.mode == Mode::New && self.name.is_some() && self.from_path.is_some() {
            return Err("Parameters 'name' and 'from_path' are mutually exclusive when 'mode=new'".to_owned());
        }
        if let Some(name) = self.name.as_ref().filter(|name| name.is_empty() || name.starts_with('-')) {
            return Err(format!("'{name}' is not the name of a library"));
        }
        let module = |name: &str| {
            name.split("::").all(|part| {
                part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            })
        };
        if let Some(name) = self.asked().filter(|name| !module(name)) {
            return Err(format!("'{name}' is not the name of a module of Perl"));
        }
        let number =
            |version: &str| !version.is_empty() && version.chars().all(|c| c.is_ascii_digit() || "._v".contains(c));
        if self.asked().is_some() && self.version.as_ref().is_some_and(|version| !number(version)) {
            return Err("to look for an installed module, version must be a plain one".to_owned());
        }
        let file = |name: &String| name.ends_with(".tar.gz") || name.contains('/') || name.contains("://");
        let git = |name: &String| name.ends_with(".git") || name.starts_with("git");
        if self.mode == Mode::New
            && self.version.is_some()
            && self.name.as_ref().is_some_and(|name| file(name) && !git(name))
        {
            return Err("version is not possible for a file or a URL that is not of git".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let program = match &self.executable {
            Some(program) => host.path(program)?,
            None => host.require_program("cpanm")?,
        };
        let said = host.query_ok(&Command::new(&program).c_locale().arg("--version"))?.stdout_text();
        let mut words = said.split_whitespace().skip_while(|word| *word != "version");
        let release = words.nth(1).unwrap_or_default().to_owned();
        let outcome = |changed: bool| {
            let outcome = Outcome::new(changed).with("name", self.name.clone()).with("version", self.version.clone());
            outcome.with("binary", text(&program)).with("cpanm_version", release.clone())
        };
        if let Some(name) = self.asked() {
            let version = self.version.iter().fold(String::new(), |_, version| format!(" {version}"));
            let check =
                Command::new(host.require_program("perl")?).c_locale().args(["-le", &format!("use {name}{version};")]);
            if host.query(&check)?.rc == 0 {
                return Ok(outcome(false));
            }
        }
        let command = self.install(host, Command::new(&program).c_locale())?;
        let Some(done) = host.run(&command)? else { return Ok(outcome(true)) };
        if done.rc != 0 {
            let failure = Failure::new(done.complaint()).with("rc", done.rc).with("cmd", command.words().join(" "));
            return Err(failure.with("stdout", done.stdout_text()).with("stderr", done.stderr_text()));
        }
        let said = done.stdout_text() + &done.stderr_text();
        Ok(outcome(!said.contains("is up to date")))
    }
}

impl Cpanm {
    /// The module whose installation is enough.
    fn asked(&self) -> Option<&str> {
        match self.mode {
            Mode::New => self.name_check.as_deref(),
            Mode::Compatibility => self.name.as_deref().filter(|name| !name.ends_with(".tar.gz")),
        }
    }

    fn install(&self, host: &Host, mut command: Command) -> Result<Command, Failure> {
        if self.notest {
            command = command.arg("--notest");
        }
        if let Some(directory) = &self.locallib {
            command = command.arg("--local-lib").arg(host.path(directory)?);
        }
        if let Some(mirror) = &self.mirror {
            command = command.arg("--mirror").arg(mirror);
        }
        for (flag, wanted) in [
            ("--mirror-only", self.mirror_only),
            ("--installdeps", self.installdeps),
            ("--with-recommends", self.install_recommendations == Some(true)),
            ("--without-recommends", self.install_recommendations == Some(false)),
            ("--with-suggests", self.install_suggestions == Some(true)),
            ("--without-suggests", self.install_suggestions == Some(false)),
        ] {
            if wanted {
                command = command.arg(flag);
            }
        }
        let name = match (&self.name, &self.from_path) {
            (_, Some(path)) => return Ok(command.arg(host.path(path)?)),
            (name, None) => name.clone().unwrap_or_default(),
        };
        let version = self.version.as_deref().filter(|_| self.mode == Mode::New);
        Ok(command.arg(match version {
            None => name,
            Some(version) if name.ends_with(".git") || name.starts_with("git") => {
                format!("{name}@{}", version.trim_start_matches('@'))
            }
            Some(version) if version.starts_with(['~', '@']) => format!("{name}{version}"),
            Some(version) => format!("{name}~{version}"),
        }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::stage::Stage;
    use super::*;

    fn stage() -> Stage {
        let stage = Stage::new(&[]);
        stage.program(
            "cpanm",
            "case $* in --version) echo 'cpanm (App::cpanminus) version 1.7 (/x)';; *bad*) echo no >&2; exit 1;; *Up*) echo Up is up to date.;; esac",
        );
        stage.program("perl", "case $* in *2*) exit 255;; *Have*) exit 0;; *) exit 2;; esac");
        stage
    }

    #[test]
    fn libraries_are_installed() {
        for (args, changed, made) in [
            (json!({"name": "A::B"}), true, Some("A::B")),
            (json!({"name": "Up"}), false, Some("Up")),
            (json!({"name": "A", "version": "1.0"}), true, Some("A~1.0")),
            (json!({"name": "A", "version": "~1.0"}), true, Some("A~1.0")),
            (json!({"name": "A", "version": "== 1.0"}), true, Some("A~== 1.0")),
            (json!({"name": "git://x/y.git", "version": "1"}), true, Some("git://x/y.git@1")),
            (json!({"from_path": "/p"}), true, Some("/p")),
            (json!({"name": "Have", "mode": "compatibility"}), false, None),
            (json!({"name": "Have", "mode": "compatibility", "version": 2}), true, Some("Have")),
            (json!({"name": "X/Y.tar.gz", "name_check": "Have"}), false, None),
            (json!({"name": "Have", "name_check": "Have", "version": "2"}), true, Some("Have~2")),
            (
                json!({"name": "A", "notest": true, "locallib": "/l", "mirror": "m", "mirror_only": true, "installdeps": true,
                    "install_recommendations": true, "install_suggestions": false}),
                true,
                Some(
                    "--notest] [--local-lib] [/l] [--mirror] [m] [--mirror-only] [--installdeps] [--with-recommends] [--without-suggests] [A",
                ),
            ),
        ] {
            let stage = stage();
            let told = stage.call::<Cpanm>(args.clone()).unwrap();
            assert_eq!((told.changed, told.fields["cpanm_version"].as_str()), (changed, Some("1.7")), "{args}");
            let calls: Vec<String> = stage
                .calls()
                .into_iter()
                .filter(|call| call.starts_with("cpanm") && !call.contains("version]"))
                .collect();
            assert_eq!(calls, made.iter().map(|made| format!("cpanm [{made}]")).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (args, word) in [
            (json!({}), "one of the following is required: name, from_path"),
            (json!({"name": "a", "from_path": "/p"}), "mutually exclusive when 'mode=new'"),
            (json!({"name": "-x"}), "not the name of a library"),
            (json!({"name": "x; print 1", "mode": "compatibility"}), "not the name of a module"),
            (json!({"name": "x", "name_check": "x;"}), "not the name of a module"),
            (json!({"name": "x", "name_check": "x", "version": "1; 2"}), "must be a plain one"),
            (json!({"name": "X/Y.tar.gz", "version": "1"}), "version is not possible"),
            (json!({"name": "bad"}), "no"),
        ] {
            assert!(stage().call::<Cpanm>(args).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
