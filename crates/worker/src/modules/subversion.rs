//! `ansible.builtin.subversion`.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::files::text;
use crate::args::{PathArg, yes};
use crate::host::{Command, Host, Output};
use crate::module::{Failure, Module, Outcome};

/// Checks a Subversion repository out, or brings a working copy up to date.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Subversion {
    /// The repository's URL.
    #[serde(alias = "name", alias = "repository")]
    repo: String,
    /// The directory for the working copy.
    #[serde(default)]
    dest: Option<PathArg>,
    /// The revision.
    #[serde(default = "head", alias = "rev", alias = "version")]
    revision: String,
    /// Whether changes of the working copy are thrown away.
    #[serde(default)]
    force: bool,
    /// Whether a directory that is no working copy becomes one, around the files that are there.
    #[serde(default)]
    in_place: bool,
    /// The user to log in as.
    #[serde(default)]
    username: Option<String>,
    /// The user's password.
    #[serde(default)]
    password: Option<String>,
    /// The program to use instead of `svn` on `PATH`.
    #[serde(default)]
    executable: Option<PathArg>,
    /// Whether a copy is made where there is none.
    #[serde(default = "yes")]
    checkout: bool,
    /// Whether a copy that is there is brought up to date.
    #[serde(default = "yes")]
    update: bool,
    /// Whether files are fetched without becoming a working copy.
    #[serde(default)]
    export: bool,
    /// Whether a copy may be switched to another URL.
    #[serde(default = "yes")]
    switch: bool,
    /// Whether certificates are checked.
    #[serde(default)]
    validate_certs: bool,
}

fn head() -> String {
    "HEAD".to_owned()
}

impl Module for Subversion {
    const NAME: &'static str = "ansible.builtin.subversion";

    fn check(&self) -> Result<(), String> {
        if self.dest.is_none() && (self.checkout || self.update || self.export) {
            return Err(
                "the destination directory must be specified unless checkout=no, update=no, and export=no".into()
            );
        }
        let words = [("repo", &self.repo), ("revision", &self.revision)];
        match words.into_iter().find(|(_, word)| word.starts_with('-') || word.is_empty()) {
            Some((name, word)) => Err(format!("{name} '{word}' would be taken for an option of svn")),
            None => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let program = match &self.executable {
            Some(path) => host.path(path)?,
            None => host.require_program("svn")?,
        };
        // A relative path is no option, whatever it begins with.
        let dest = self.dest.as_ref().map(|dest| host.path(dest)).transpose()?;
        let dest = dest.map(|dest| if text(&dest).starts_with('-') { Path::new(".").join(dest) } else { dest });
        let svn = Svn { host, args: &self, program };
        let Some(dest) = dest else { return svn.remote() };
        if !host.exists(&dest)? {
            if !self.checkout && !self.update && !self.export {
                return svn.remote();
            }
            return if self.export || self.checkout { svn.fetch(&dest, None) } else { Ok(Outcome::unchanged()) };
        }
        if self.export {
            return svn.fetch(&dest, None);
        }
        if !self.checkout && !self.update {
            return svn.remote();
        }
        if svn.info(&dest)?.is_some() {
            return if self.update { svn.bring_up_to_date(&dest) } else { Ok(Outcome::unchanged()) };
        }
        if self.in_place {
            return svn.fetch(&dest, Some("--force"));
        }
        let msg = format!("ERROR: {} folder already exists, but its not a subversion repository.", dest.display());
        Err(Failure::new(msg))
    }
}

struct Svn<'a> {
    host: &'a Host,
    args: &'a Subversion,
    program: PathBuf,
}

impl Svn<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program).args(["--non-interactive", "--no-auth-cache"]);
        if !self.args.validate_certs {
            command = command.arg("--trust-server-cert");
        }
        if let Some(user) = &self.args.username {
            command = command.arg(format!("--username={user}"));
        }
        if let Some(password) = &self.args.password {
            command = command.arg("--password-from-stdin").stdin(password.as_bytes());
        }
        command.args(words).c_locale()
    }

    fn change(&self, words: &[&str]) -> Result<String, Failure> {
        let command = self.command(words);
        match self.host.run(&command)? {
            None => Ok(String::new()),
            Some(output) if output.rc == 0 => Ok(output.stdout_text()),
            Some(output) => Err(failed(&command, &output)),
        }
    }

    fn ask(&self, words: &[&str]) -> Result<String, Failure> {
        let command = self.command(words);
        let output = self.host.query(&command)?;
        if output.rc == 0 { Ok(output.stdout_text()) } else { Err(failed(&command, &output)) }
    }

    /// What svn says of a working copy; `None` when it is none.
    fn info(&self, dest: &Path) -> Result<Option<String>, Failure> {
        let output = self.host.query(&self.command(&["info", &dest.to_string_lossy()]))?;
        Ok((output.rc == 0).then(|| output.stdout_text()))
    }

    /// Revision and URL of a working copy.
    fn state(&self, dest: &Path) -> Result<Value, Failure> {
        let info = self.info(dest)?.unwrap_or_default();
        Ok(json!([line(&info, "Revision:", "Unable to get revision"), line(&info, "URL:", "Unable to get URL")]))
    }

    /// The repository's own revision.
    fn remote(&self) -> Result<Outcome, Failure> {
        let info = self.ask(&["info", &self.args.repo])?;
        let revision = line(&info, "Revision:", "Unable to get remote revision");
        Ok(Outcome::unchanged().with("after", revision))
    }

    fn fetch(&self, dest: &Path, option: Option<&str>) -> Result<Outcome, Failure> {
        let (verb, force) = (if self.args.export { "export" } else { "checkout" }, option.is_some() || self.args.force);
        let shown = dest.to_string_lossy();
        let mut words = vec![verb];
        if force && (self.args.export || option.is_some()) {
            words.push("--force");
        }
        words.extend(["-r", &self.args.revision, &self.args.repo, &shown]);
        self.change(&words)?;
        let outcome = Outcome::new(true);
        if self.host.check_mode() || self.args.export {
            return Ok(outcome);
        }
        if option.is_some() && self.args.force {
            self.change(&["revert", "-R", &shown])?;
        }
        Ok(outcome.with("before", Value::Null).with("after", self.state(dest)?))
    }

    fn bring_up_to_date(&self, dest: &Path) -> Result<Outcome, Failure> {
        let shown = dest.to_string_lossy();
        let before = self.state(dest)?;
        let status = self.ask(&["status", "--quiet", "--ignore-externals", &shown])?;
        // Externals and changelists are told too, and are not modifications.
        let modified = status.lines().any(|line| !line.starts_with(['X', ' ', '-', '>']) && !line.trim().is_empty());
        if modified && !self.args.force {
            return Err(Failure::new("ERROR: modified files exist in the repository."));
        }
        if self.host.check_mode() {
            let info = self.ask(&["info", "-r", &self.args.revision, &shown])?;
            let there = line(&self.info(dest)?.unwrap_or_default(), "Revision:", "Unable to get revision");
            let newest = line(&info, "Revision:", "Unable to get revision");
            return Ok(Outcome::new(modified || there != newest).with("before", there).with("after", newest));
        }
        let mut reverted = false;
        if modified {
            reverted = self.change(&["revert", "-R", &shown])?.lines().any(|line| line.starts_with("Reverted"));
        }
        let did_something = |text: &str| text.lines().any(is_a_change);
        let mut changed = reverted;
        if self.args.switch {
            changed |=
                did_something(&self.change(&["switch", "--revision", &self.args.revision, &self.args.repo, &shown])?);
        }
        changed |= did_something(&self.change(&["update", "-r", &self.args.revision, &shown])?);
        let after = self.state(dest)?;
        Ok(Outcome::new(changed || before != after).with("before", before).with("after", after))
    }
}

/// Whether svn tells of a file that it changed: letters for what was done, then the path.
fn is_a_change(line: &str) -> bool {
    let (letters, path) = (line.get(..4).unwrap_or_default(), line.get(4..).unwrap_or_default());
    path.trim_start().contains(char::is_alphanumeric)
        && letters.contains(|c: char| "ABCDEGU".contains(c))
        && letters.chars().all(|c| " ABCDEGU".contains(c))
}

/// The line that begins with a word.
fn line(text: &str, word: &str, without: &str) -> String {
    text.lines().find(|line| line.starts_with(word)).unwrap_or(without).to_owned()
}

fn failed(command: &Command, output: &Output) -> Failure {
    Failure::new(output.stderr_text().trim_end())
        .with("cmd", command.words().join(" "))
        .with("rc", output.rc)
        .with("stdout", output.stdout_text())
        .with("stderr", output.stderr_text())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    /// A repository of two revisions; the working copy's is in `/wc/rev`.
    fn stage() -> Stage {
        let stage = Stage::new(&[]);
        stage.program(
            "svn",
            "while [ $# -gt 0 ]; do case $1 in --*) shift;; *) break;; esac; done\n\
             mkdir -p $R/wc 2>/dev/null; wc=$R/wc/rev\n\
             case \"$1 $2 $3\" in\n\
             'info -r '*) echo 'Revision: 2';;\n\
             'info http'*) echo 'Revision: 2';;\n\
             'info '*) [ -e $wc ] || exit 1; echo URL: u; echo Revision: $(cat $wc);;\n\
             'checkout '*) [ \"$4\" = http://bad ] && { echo 'svn: E1' >&2; exit 1; }; echo 1 >$wc;;\n\
             'status '*) cat $R/status 2>/dev/null;;\n\
             'revert '*) rm $R/status; echo Reverted a;;\n\
             'update '*) [ $(cat $wc) = 2 ] || echo 'U    /wc/a'; echo 2 >$wc;;\n\
             esac; exit 0",
        );
        stage
    }

    #[test]
    fn copies_are_made_and_updated() {
        let stage = stage();
        let args = json!({"repo": "http://x", "dest": "/wc"});
        let call = |args: &Value| stage.call::<Subversion>(args.clone());
        assert!(stage.check::<Subversion>(args.clone()).unwrap().changed && !stage.exists("/wc/rev"));
        stage.calls();
        stage.host().remove(Path::new("/wc")).unwrap();
        let made = call(&args).unwrap();
        assert_eq!((made.changed, &made.fields["after"]), (true, &json!(["Revision: 1", "URL: u"])));
        assert!(stage.calls().iter().any(|c| c.ends_with("[checkout] [-r] [HEAD] [http://x] [/wc]")));
        let dry = stage.check::<Subversion>(args.clone()).unwrap();
        assert_eq!((dry.changed, dry.fields["after"].as_str()), (true, Some("Revision: 2")));
        assert!(call(&args).unwrap().changed);
        assert!(!call(&args).unwrap().changed && !stage.check::<Subversion>(args.clone()).unwrap().changed);
        stage.file("/status", "M       /wc/a\n");
        for told in [call(&args), stage.check::<Subversion>(args.clone())] {
            assert!(told.unwrap_err().msg.contains("modified files exist"));
        }
        let forced = json!({"repo": "http://x", "dest": "/wc", "force": true});
        assert!(stage.check::<Subversion>(forced.clone()).unwrap().changed);
        assert!(call(&forced).unwrap().changed && !call(&forced).unwrap().changed);
    }

    #[test]
    fn passwords_are_not_arguments_and_names_no_options() {
        let stage = stage();
        let args = json!({"repo": "http://x", "checkout": false, "update": false, "username": "-u", "password": "p"});
        let told = stage.call::<Subversion>(args).unwrap();
        assert_eq!(told.fields["after"], "Revision: 2");
        let call = stage.calls().remove(0);
        assert!(call.contains("[--username=-u] [--password-from-stdin] [info]") && !call.contains("[p]"), "{call}");
        for bad in
            [json!({"repo": "-x", "dest": "/d"}), json!({"repo": "x"}), json!({"repo": "x", "dest": "/d", "rev": "-1"})]
        {
            assert!(stage.call::<Subversion>(bad).is_err());
        }
        let failure = stage.call::<Subversion>(json!({"repo": "http://bad", "dest": "/none"})).unwrap_err();
        assert_eq!((failure.msg.as_str(), failure.fields["rc"].as_i64()), ("svn: E1", Some(1)));
    }

    #[test]
    fn changes_are_told_from_other_lines() {
        for (line, is) in
            [("U    wc/a", true), (" U   .", false), ("A    b", true), ("At revision 2.", false), ("", false)]
        {
            assert_eq!(is_a_change(line), is, "{line}");
        }
    }
}
