//! `python`: the interpreter that a user of the reference would find here, read from its binary and not run.

use std::path::{Path, PathBuf};

use rplay_protocol::Object;
use serde_json::{Value, json};

use super::Gather;

/// Where the reference looks first.
const PLACES: &[&str] = &["/usr/bin/python3", "/usr/local/bin/python3", "/usr/libexec/platform-python", "/bin/python3"];

/// `python_version` alone, which is one of the facts about the platform.
pub(super) fn version(gather: &Gather<'_>, facts: &mut Object) {
    if let Some((_, version)) = find(gather) {
        facts.insert("python_version".into(), version.into());
    }
}

pub(super) fn gather(gather: &Gather<'_>, facts: &mut Object) {
    let known = facts.get("python_version").and_then(Value::as_str).map(ToOwned::to_owned);
    let found = match known {
        Some(version) => place(gather).map(|path| (path, version)),
        None => find(gather),
    };
    let Some((path, version)) = found else { return };
    let numbers: Vec<u64> = version.split('.').filter_map(|part| part.parse().ok()).collect();
    let [major, minor, micro] = numbers[..] else { return };
    let python = json!({
        "executable": path.to_string_lossy(),
        "has_sslcontext": true,
        "type": "cpython",
        "version": {"major": major, "minor": minor, "micro": micro, "releaselevel": "final", "serial": 0},
        "version_info": [major, minor, micro, "final", 0],
    });
    facts.insert("python".into(), python);
}

fn place(gather: &Gather<'_>) -> Option<PathBuf> {
    PLACES.iter().map(PathBuf::from).find(|path| gather.host.stat(path).ok().flatten().is_some_and(|m| m.is_file()))
}

/// The interpreter and its version, as in `3.11.2`.
fn find(gather: &Gather<'_>) -> Option<(PathBuf, String)> {
    let path = place(gather)?;
    let binary = gather.host.canonical(&path).ok()?;
    // `/usr/bin/python3.11` says most of it; the last number stands in the binary, or in the library it is made of.
    let name = binary.file_name()?.to_string_lossy().into_owned();
    let series = name.strip_prefix("python").filter(|series| series.starts_with("3."))?.to_owned();
    let library = format!("libpython{series}.so.1.0");
    let libraries = ["/usr/lib64", "/usr/lib", "/usr/local/lib"].map(|dir| Path::new(dir).join(&library));
    [binary].into_iter().chain(libraries).find_map(|file| {
        let bytes = gather.host.read_if_exists(&file).ok().flatten()?;
        Some((path.clone(), format!("{series}.{}", micro(&bytes, &series)?)))
    })
}

/// The last number of the version that stands in a binary as text of its own.
fn micro(bytes: &[u8], series: &str) -> Option<u64> {
    let prefix = format!("\0{series}.");
    memchr::memmem::find_iter(bytes, &prefix).find_map(|at| {
        let rest = bytes.get(at + prefix.len()..)?;
        let digits: Vec<u8> = rest.iter().copied().take_while(u8::is_ascii_digit).take(4).collect();
        let ends = matches!(rest.get(digits.len()), Some(0 | b'+'));
        std::str::from_utf8(&digits).ok().filter(|_| ends)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_binary() {
        assert_eq!(micro(b"x\x003.11.\0\x003.11.4rc\0 3.11.9\0\x003.11.2\0", "3.11"), Some(2));
        assert_eq!(micro(b"3.11.2", "3.11"), None);
    }
}
