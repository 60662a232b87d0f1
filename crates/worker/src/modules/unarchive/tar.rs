//! Archives of tar.

use std::path::Path;

use super::{Archive, Unarchive, unreadable};
use crate::host::{Command, Host};
use crate::module::Failure;

/// What tar has to say about an archive.
pub(super) fn look(
    args: &Unarchive,
    host: &Host,
    src: &Path,
    dest: &Path,
    compression: Option<&str>,
) -> Result<Archive, Failure> {
    let program = host.find_program("gtar").map_or_else(|| host.require_program("tar"), Ok)?;
    let tar = |mode: &str, more: &[&str]| {
        let mut command = Command::new(&program).arg(mode).args(more.iter().copied()).arg("-C").arg(dest);
        command = command.args(compression);
        if !args.extra_opts.is_empty() {
            command = command.arg("--show-transformed-names").args(&args.extra_opts);
        }
        command = command.args(args.exclude.iter().map(|name| format!("--exclude={name}")));
        if args.keep_newer && mode == "--extract" {
            command = command.arg("--keep-newer-files");
        }
        command.arg("-f").arg(src).args(&args.include).c_locale()
    };
    let list = tar("--list", &["--quoting-style=literal"]);
    let listed = host.query(&list)?;
    if listed.rc != 0 {
        let said = format!("Unable to list files in the archive: {}", listed.stderr_text());
        return Err(unreadable(&list, &said));
    }
    let files: Vec<String> = listed.stdout_text().lines().map(ToOwned::to_owned).collect();
    let compared = host.query(&tar("--diff", &[]))?;
    let said = compared.stdout_text() + &compared.stderr_text();
    let there = compared.rc == 0 || !said.lines().any(|line| counts(args, host, line));
    Ok(Archive { files, there, extract: tar("--extract", &[]) })
}

/// Whether a line of `tar --diff` tells of something that unpacking would change.
fn counts(args: &Unarchive, host: &Host, line: &str) -> bool {
    // tar's words about itself.
    if line.contains("Exiting with failure status") || line.contains("Removing leading") {
        return false;
    }
    // An entry of whose name --strip-components leaves nothing is not unpacked.
    if line.contains(": : Warning: Cannot stat") {
        return false;
    }
    let what = line.strip_suffix(" differs").and_then(|line| line.rsplit_once(": "));
    match what.map(|(_, what)| what) {
        Some(what @ ("Mode" | "Uid" | "Gid")) => !args.sees_to(what, host),
        _ => true,
    }
}
