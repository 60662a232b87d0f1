//! Passwords in `~/.pgpass`.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::login::Place;
use crate::args::PathArg;
use crate::host::Host;
use crate::module::Failure;

/// The password that the file has for a place, a database and a user; a file that others may read is not looked at.
pub fn password(
    host: &Host,
    file: Option<&str>,
    places: &[(Place, u16)],
    database: &str,
    user: &str,
) -> Result<Option<String>, Failure> {
    let path = match file {
        Some(file) => host.path(&PathArg(file.to_owned()))?,
        None => match host.env("HOME") {
            Some(home) => PathBuf::from(home).join(".pgpass"),
            None => return Ok(None),
        },
    };
    let Ok(Some(meta)) = host.stat(&path) else { return Ok(None) };
    if !meta.is_file() || meta.mode() & 0o077 != 0 {
        return Ok(None);
    }
    let text = host.text(&path).unwrap_or_default();
    let Some((place, port)) = places.first() else { return Ok(None) };
    let place = match place {
        // The usual places of sockets are written as a host.
        Place::Socket(dir) if super::login::is_usual(dir) => "localhost",
        Place::Socket(dir) => dir,
        Place::Host(name) => name,
    };
    let wanted = [place, &port.to_string(), database, user];
    Ok(text.lines().filter(|line| !line.starts_with('#')).find_map(|line| matching(line, &wanted)))
}

/// The password of a line whose fields all are those that are wanted, or a star.
fn matching(line: &str, wanted: &[&str]) -> Option<String> {
    let mut rest = line;
    for wanted in wanted {
        let (field, after) = field(rest);
        if field != *wanted && field != "*" {
            return None;
        }
        rest = after?;
    }
    Some(field(rest).0)
}

/// The text before the next colon, where a backslash takes the meaning from what follows it, and what is behind.
fn field(text: &str) -> (String, Option<&str>) {
    let mut field = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ':' => return (field, text.get(at + 1..)),
            '\\' => field.extend(chars.next().map(|(_, c)| c)),
            c => field.push(c),
        }
    }
    (field, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_match() {
        let wanted = ["h", "5432", "d", "u"];
        assert_eq!(matching("h:5432:d:u:pw", &wanted).as_deref(), Some("pw"));
        assert_eq!(matching("*:*:*:u:p\\:w\\\\", &wanted).as_deref(), Some("p:w\\"));
        assert_eq!(matching("h:5433:d:u:pw", &wanted), None);
        assert_eq!(matching("h:5432:d:u", &wanted), None);
        assert_eq!(matching("", &wanted), None);
    }
}
