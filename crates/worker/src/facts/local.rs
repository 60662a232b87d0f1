//! `local`: facts that a host's administrator put into a directory, as JSON, INI or programs that print one of them.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rplay_protocol::Object;
use serde_json::Value;

use super::Gather;
use crate::host::Command;

pub(super) fn gather(gather: &Gather<'_>, facts: &mut Object) {
    let mut local = Object::new();
    for path in gather.host.glob(&gather.fact_path.join("*.fact")).unwrap_or_default() {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let value = read(gather, &path).unwrap_or_else(|problem| {
            gather.warnings.borrow_mut().push(problem.clone());
            Value::String(problem)
        });
        local.insert(name, value);
    }
    facts.insert("local".into(), Value::Object(local));
}

/// One file's facts, or a sentence on why it gives none.
fn read(gather: &Gather<'_>, path: &Path) -> Result<Value, String> {
    let shown = path.display();
    let executable = gather.host.stat(path).ok().flatten().is_some_and(|meta| meta.mode() & 0o100 != 0);
    let text = if executable {
        let command = Command::new(path).timeout(gather.timeout);
        let output =
            gather.host.query(&command).map_err(|e| format!("Could not execute fact script ({shown}): {}", e.msg))?;
        if output.rc != 0 {
            let (rc, err) = (output.rc, output.stderr_text());
            return Err(format!("Failure executing fact script ({shown}), rc: {rc}, err: {err}"));
        }
        output.stdout_text()
    } else {
        let bytes = gather.host.read(path).map_err(|e| e.msg)?;
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let json = serde_json::from_str(&text).ok();
    let bad = || format!("error loading facts as JSON or ini - please check content: {shown}");
    json.or_else(|| ini(&text).map(Value::Object)).ok_or_else(bad)
}

/// Sections of an INI file as Python's configparser reads them; `None` when it is not one.
///
/// Option names are lower case, `=` and `:` separate, indented lines continue a value, `DEFAULT` is part of all sections.
fn ini(text: &str) -> Option<Object> {
    let mut sections: Vec<(String, Object)> = Vec::new();
    let mut last: Option<String> = None;
    for line in text.lines() {
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with(char::is_whitespace)
            && let (Some(key), Some((_, section))) = (&last, sections.last_mut())
        {
            if let Some(Value::String(value)) = section.get_mut(key) {
                value.push('\n');
                value.push_str(content);
            }
            continue;
        }
        if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            sections.push((name.to_owned(), Object::new()));
            last = None;
            continue;
        }
        let (key, value) = content.split_once(['=', ':'])?;
        let key = key.trim().to_lowercase();
        sections.last_mut()?.1.insert(key.clone(), Value::String(value.trim().to_owned()));
        last = Some(key);
    }
    let defaults = sections.iter().find(|(name, _)| name == "DEFAULT").map(|(_, s)| s.clone()).unwrap_or_default();
    let named = sections.into_iter().filter(|(name, _)| name != "DEFAULT");
    let full = named.map(|(name, own)| {
        let mut all = defaults.clone();
        all.extend(own);
        (name, Value::Object(all))
    });
    Some(full.collect())
}

#[cfg(test)]
// The tests prepare their own little host.
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;
    use crate::host::Host;

    #[test]
    fn every_kind_of_file() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            ("ini", "[general]\nA=1\nb = two words\n  and more\n[other]\nc: d\n", 0o644),
            ("js", "{\"x\": [1, 2]}", 0o644),
            ("num", "5\n", 0o644),
            ("empty", "", 0o644),
            ("bad", "not ini\n", 0o644),
            ("run", "#!/bin/sh\necho '{\"y\": true}'\n", 0o755),
            ("fails", "#!/bin/sh\necho oops >&2; exit 3\n", 0o755),
        ];
        for (name, content, mode) in files {
            let path = dir.path().join(format!("{name}.fact"));
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let host = Host::new();
        let place = Gather::new(&host).with_fact_path(dir.path().to_path_buf());
        let mut facts = Object::new();
        gather(&place, &mut facts);
        let local = &facts["local"];
        assert_eq!(local["ini"], json!({"general": {"a": "1", "b": "two words\nand more"}, "other": {"c": "d"}}));
        assert_eq!((&local["js"]["x"], &local["num"], &local["empty"]), (&json!([1, 2]), &json!(5), &json!({})));
        assert_eq!(local["run"], json!({"y": true}));
        let at = dir.path().display();
        assert_eq!(
            local["fails"],
            json!(format!("Failure executing fact script ({at}/fails.fact), rc: 3, err: oops\n"))
        );
        assert!(local["bad"].as_str().unwrap().starts_with("error loading facts as JSON or ini"));
        assert_eq!(place.into_warnings().len(), 2);
    }
}
