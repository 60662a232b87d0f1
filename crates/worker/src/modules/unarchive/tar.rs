//! Archives of tar.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rplay_protocol::names;

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
    let list = tar("--list", &["--quoting-style=escape"]);
    let listed = host.query(&list)?;
    if listed.rc != 0 {
        let said = format!("Unable to list files in the archive: {}", listed.stderr_text());
        return Err(unreadable(&list, &said));
    }
    let files: Vec<String> =
        listed.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(unescaped).collect();
    let compared = host.query(&tar("--diff", &[]))?;
    let said = compared.stdout_text() + &compared.stderr_text();
    let there = compared.rc == 0 || !said.lines().any(|line| counts(args, host, line));
    let links = Some(tar("--list", &["--verbose", "--quoting-style=escape"]));
    Ok(Archive { files, there, extract: tar("--extract", &[]), links })
}

/// Where the symbolic links of a verbose list lead, as names and targets.
pub(super) fn links(listed: &[u8]) -> Vec<(String, String)> {
    let links = listed.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"l"));
    links
        .filter_map(|line| {
            // Mode, owner, size, date and time are before the name.
            let text = std::str::from_utf8(line).ok()?;
            let mut rest = text;
            for _ in 0..5 {
                rest = rest.trim_start().split_once(' ')?.1;
            }
            let (name, target) = rest.split_once(" -> ")?;
            Some((unescaped(name.as_bytes()), unescaped(target.as_bytes())))
        })
        .collect()
}

/// A name as tar writes it with backslashes, as text.
fn unescaped(line: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (byte, taken) = match after {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                ((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'), 3)
            }
            [letter, ..] => {
                let plain = b"abfnrtv".iter().position(|known| known == letter);
                (plain.and_then(|at| b"\x07\x08\x0c\n\r\t\x0b".get(at)).copied().unwrap_or(*letter), 1)
            }
            [] => (b'\\', 0),
        };
        bytes.push(byte);
        rest = after.get(taken..).unwrap_or_default();
    }
    names::to_text(OsStr::from_bytes(&bytes)).into_owned()
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
