//! `ansible.posix.patch`: GNU patch.

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::text;
use crate::args::{PathArg, Presence as State};
use crate::host::{Command, Host};
use crate::module::{Context, Failure, Module, Outcome};

/// Applies a patch that is not applied yet, or takes it back.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Patch {
    /// The directory that the patch's names are relative to.
    #[serde(default)]
    basedir: Option<PathArg>,
    /// The one file that is patched.
    #[serde(default, alias = "originalfile")]
    dest: Option<PathArg>,
    /// The patch.
    #[serde(alias = "patchfile")]
    src: PathArg,
    /// Whether the patch should be applied.
    #[serde(default)]
    state: State,
    /// Whether the patch is on the host already.
    #[serde(default)]
    remote_src: bool,
    /// How many leading parts of the patch's names do not count.
    #[serde(default)]
    strip: u32,
    /// Whether numbered copies of the old files are kept.
    #[serde(default)]
    backup: bool,
    /// Whether line ends stay as they are.
    #[serde(default)]
    binary: bool,
    /// Whether white space may differ.
    #[serde(default)]
    ignore_whitespace: bool,
}

impl Module for Patch {
    const NAME: &'static str = "ansible.posix.patch";

    fn check(&self) -> Result<(), String> {
        if self.dest.is_none() && self.basedir.is_none() {
            return Err("one of the following is required: dest, basedir".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let patch = self.patch(host)?;
        let mut command = Command::new(host.require_program("patch")?).c_locale().stdin(patch);
        command = command.args(["--quiet", "--forward", "--batch", "--reject-file=-"]);
        command = command.arg(format!("--strip={}", self.strip));
        if let Some(basedir) = &self.basedir {
            let basedir = host.path(basedir)?;
            if !host.stat(&basedir)?.is_some_and(|meta| meta.is_dir()) {
                return Err(Failure::new(format!("basedir {} doesn't exist", text(&basedir))));
            }
            command = command.arg(format!("--directory={}", text(&basedir)));
        }
        for (on, option) in [(self.binary, "--binary"), (self.ignore_whitespace, "--ignore-whitespace")] {
            if on {
                command = command.arg(option);
            }
        }
        let dest = self.dest.as_ref().map(|dest| host.path(dest)).transpose()?;
        if let Some(dest) = dest.as_ref().filter(|dest| !host.may(dest, "w")) {
            return Err(Failure::new(format!("dest {} doesn't exist or not writable", text(dest))));
        }
        let reverse = self.state == State::Absent;
        let finished = |options: &[&str], reverse: bool| {
            let command = command.clone().args(options);
            let command = if reverse { command.arg("--reverse") } else { command };
            if dest.is_some() { command.arg("--").args(&dest) } else { command }
        };
        // What can be done the other way round is done already.
        if host.query(&finished(&["--dry-run"], !reverse))?.rc == 0 {
            return Ok(Outcome::unchanged());
        }
        // A patch that does not fit is told before any of it is applied.
        told(host.query(&finished(&["--dry-run"], reverse))?)?;
        let backup: &[&str] = if self.backup { &["--backup", "--version-control=numbered"] } else { &[] };
        if let Some(output) = host.run(&finished(backup, reverse))? {
            told(output)?;
        }
        Ok(Outcome::new(true))
    }
}

impl Patch {
    /// The patch itself, which comes along with the call unless the host has it.
    fn patch(&self, host: &Host) -> Result<Vec<u8>, Failure> {
        if let Some(content) = host.content().filter(|_| !self.remote_src) {
            return content.read().context(|| "cannot read the patch".to_owned());
        }
        let src = host.path(&self.src)?;
        if !host.may(&src, "r") {
            return Err(Failure::new(format!("src {} doesn't exist or not readable", text(&src))));
        }
        host.read(&src)
    }
}

/// A status other than 0 is a failure in patch's own words.
fn told(output: crate::host::Output) -> Result<(), Failure> {
    if output.rc == 0 {
        return Ok(());
    }
    let said = if output.stderr.is_empty() { output.stdout_text() } else { output.stderr_text() };
    Err(Failure::new(said))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::stage::Stage;
    use super::*;

    const PATCH: &str = "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n";

    #[test]
    fn patches_are_applied_once_and_taken_back() {
        let stage = Stage::new(&[("/p", PATCH), ("/f", "one\ntwo\nthree\n")]);
        if stage.host().find_program("patch").is_none() {
            return;
        }
        // The program is outside the stage: it is told where the file really is.
        stage.program("patch", "for a; do case $a in /*) set -- \"$@\" \"$R$a\";; *) set -- \"$@\" \"$a\";; esac; shift; done\nexec /usr/bin/patch \"$@\"");
        let args = json!({"src": "/p", "dest": "/f", "remote_src": true});
        assert!(stage.check::<Patch>(args.clone()).unwrap().changed);
        assert_eq!(stage.text("/f"), "one\ntwo\nthree\n");
        assert!(stage.call::<Patch>(args.clone()).unwrap().changed);
        assert_eq!(stage.text("/f"), "one\nTWO\nthree\n");
        assert!(!stage.call::<Patch>(args).unwrap().changed);
        let back = json!({"src": "/p", "dest": "/f", "remote_src": true, "state": "absent", "backup": true});
        assert!(stage.call::<Patch>(back.clone()).unwrap().changed);
        assert_eq!((stage.text("/f").as_str(), stage.exists("/f.~1~")), ("one\ntwo\nthree\n", true));
        assert!(!stage.call::<Patch>(back).unwrap().changed);
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let stage = Stage::new(&[("/p", PATCH), ("/f", "x\n")]);
        stage.program("patch", "echo '1 out of 1 hunk FAILED'; exit 1");
        for (args, word) in [
            (json!({"src": "/p", "dest": "/f"}), "1 out of 1 hunk FAILED"),
            (json!({"src": "/none", "dest": "/f"}), "src /none doesn't exist"),
            (json!({"src": "/p", "dest": "/none"}), "dest /none doesn't exist"),
            (json!({"src": "/p", "basedir": "/none"}), "basedir /none doesn't exist"),
            (json!({"src": "/p"}), "one of the following"),
        ] {
            assert!(stage.call::<Patch>(args).unwrap_err().msg.contains(word), "{word}");
        }
        let calls = stage.calls();
        assert!(!calls.is_empty() && calls.iter().all(|call| call.contains("[--dry-run]")), "{calls:?}");
    }
}
