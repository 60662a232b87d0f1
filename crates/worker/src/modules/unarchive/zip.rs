//! Archives of zip.

use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Archive, Unarchive, unreadable};
use crate::host::{Command, Host};
use crate::module::{Context, Failure};

/// What is in the archive.
struct Entry {
    name: String,
    size: u64,
    crc: u32,
}

/// What unzip has to say about an archive.
pub(super) fn look(args: &Unarchive, host: &Host, src: &Path, dest: &Path) -> Result<Archive, Failure> {
    let missing = || Failure::new("Unable to find required 'unzip' binary in the path.");
    let program = host.find_program("unzip").ok_or_else(missing)?;
    let chosen = |command: Command| {
        let command = command.arg(src).args(&args.include);
        if args.exclude.is_empty() { command } else { command.arg("-x").args(&args.exclude) }
    };
    let list = chosen(Command::new(&program).arg("-v")).c_locale();
    let listed = host.query(&list)?;
    if listed.rc != 0 {
        return Err(unreadable(&list, &listed.complaint()));
    }
    let text = listed.stdout_text();
    let entries: Vec<Entry> = text.lines().filter_map(parse).collect();
    let mut there = true;
    for entry in &entries {
        there = there && is_there(args, host, src, dest, entry)?;
    }
    let overwrite = if args.keep_newer { "-uo" } else { "-o" };
    let extract = chosen(Command::new(program).arg(overwrite).args(&args.extra_opts)).arg("-d").arg(dest);
    Ok(Archive { files: entries.into_iter().map(|entry| entry.name).collect(), there, extract, links: None })
}

/// An entry of a line with length, method, size, ratio, date, time, checksum and name.
fn parse(line: &str) -> Option<Entry> {
    let mut rest = line;
    let mut words = [""; 7];
    for word in &mut words {
        (*word, rest) = rest.trim_start().split_once(' ')?;
    }
    let [size, _, _, ratio, _, _, crc] = words;
    let name = rest.strip_prefix(' ')?;
    let crc = u32::from_str_radix(crc, 16).ok().filter(|_| ratio.ends_with('%') && crc.len() == 8)?;
    Some(Entry { name: name.to_owned(), size: size.parse().ok()?, crc })
}

/// Whether what is at an entry's place is what the archive has.
fn is_there(args: &Unarchive, host: &Host, src: &Path, dest: &Path, entry: &Entry) -> Result<bool, Failure> {
    let path = dest.join(super::escapes::inside(&entry.name));
    let Some(meta) = host.lstat(&path)? else { return Ok(false) };
    if entry.name.ends_with('/') {
        return Ok(meta.is_dir());
    }
    if meta.is_symlink() {
        let target = host.read_link(&path)?;
        return Ok(sum(&mut target.as_os_str().as_bytes()).is_ok_and(|crc| crc == entry.crc));
    }
    if args.keep_newer && host.stat(src)?.is_some_and(|archive| archive.modified().ok() < meta.modified().ok()) {
        return Ok(true);
    }
    if !meta.is_file() || meta.len() != entry.size {
        return Ok(false);
    }
    let crc = sum(&mut host.open(&path)?).context(|| format!("cannot read {}", path.display()))?;
    Ok(crc == entry.crc)
}

fn sum(input: &mut dyn Read) -> std::io::Result<u32> {
    let mut reader = flate2::CrcReader::new(input);
    std::io::copy(&mut reader, &mut std::io::sink())?;
    Ok(reader.crc().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let read = |line: &str| parse(line).map(|e| (e.name, e.size, e.crc));
        let line = "       2  Stored        2   0% 2026-11-21 07:47 ddeaa107  d/a b";
        assert_eq!(read(line), Some(("d/a b".to_owned(), 2, 0xddea_a107)));
        assert_eq!(read("     120  Defl:N      42  65% 2026-11-21 07:47 00000000  x"), Some(("x".to_owned(), 120, 0)));
        for other in ["Archive:  /t.zip", "--------          -------  ---                            -------", ""] {
            assert_eq!(read(other), None);
        }
    }
}
