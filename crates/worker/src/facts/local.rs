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
    let meta = gather.host.look(path).map_err(|e| format!("Could not stat fact ({shown}): {e}"))?;
    let text = if meta.is_file() && meta.mode() & 0o100 != 0 {
        let command = Command::new(path).timeout(gather.timeout);
        let output =
            gather.host.query(&command).map_err(|e| format!("Could not execute fact script ({shown}): {}", e.msg))?;
        if output.rc != 0 {
            let (rc, err) = (output.rc, output.stderr_text());
            return Err(format!("Failure executing fact script ({shown}), rc: {rc}, err: {err}"));
        }
        output.stdout_text()
    } else {
        let bytes = gather.host.read(path).map_err(|e| format!("error loading facts - {}", e.msg))?;
        String::from_utf8_lossy(&bytes).into_owned()
    };
    if let Ok(json) = serde_json::from_str(&text) {
        return Ok(json);
    }
    ini(&text).map(Value::Object).map_err(|problem| match problem {
        NotIni::Form => format!("error loading facts as JSON or ini - please check content: {shown}"),
        NotIni::Value(why) => format!("error loading facts as ini - please check content: {shown} ({why})"),
    })
}

/// Why a text is not an INI file.
enum NotIni {
    /// It is not written like one.
    Form,
    /// A value refers to another one wrongly.
    Value(String),
}

/// Sections of an INI file as Python's configparser reads them.
///
/// Option names are lower case, `=` and `:` separate, indented lines continue a value, `DEFAULT` is part of all sections,
/// `%(name)s` stands for another value of the section.
fn ini(text: &str) -> Result<Object, NotIni> {
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
        if let Some(rest) = content.strip_prefix('[') {
            let name = rest.rsplit_once(']').map(|(name, _)| name).filter(|name| !name.is_empty());
            let name = name.ok_or(NotIni::Form)?;
            if sections.iter().any(|(known, _)| known == name) {
                return Err(NotIni::Form);
            }
            sections.push((name.to_owned(), Object::new()));
            last = None;
            continue;
        }
        let (key, value) = content.split_once(['=', ':']).ok_or(NotIni::Form)?;
        let key = key.trim().to_lowercase();
        let (_, section) = sections.last_mut().ok_or(NotIni::Form)?;
        if section.insert(key.clone(), Value::String(value.trim().to_owned())).is_some() {
            return Err(NotIni::Form);
        }
        last = Some(key);
    }
    let defaults = sections.iter().find(|(name, _)| name == "DEFAULT").map(|(_, s)| s.clone()).unwrap_or_default();
    let named = sections.into_iter().filter(|(name, _)| name != "DEFAULT");
    let full = named.map(|(name, own)| {
        let mut all = defaults.clone();
        all.extend(own);
        let resolved = all.iter().map(|(key, value)| {
            let text = interpolated(value.as_str().unwrap_or_default(), &all, 0)?;
            Ok((key.clone(), Value::String(text)))
        });
        let resolved = resolved.collect::<Result<Object, String>>().map_err(NotIni::Value)?;
        Ok((name, Value::Object(resolved)))
    });
    full.collect()
}

/// A value with those it refers to put in: `%(name)s` is another one of the section, `%%` a percent sign.
fn interpolated(text: &str, section: &Object, depth: usize) -> Result<String, String> {
    if depth > 10 {
        return Err(format!("values refer to each other: '{text}'"));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let name = after.strip_prefix('(').and_then(|inner| inner.split_once(")s"));
        let (name, after) = name.ok_or_else(|| format!("'%' is followed by neither '%' nor '(name)s': '%{after}'"))?;
        let value = section.get(&name.to_lowercase()).and_then(Value::as_str);
        let value = value.ok_or_else(|| format!("'%({name})s' refers to a value that is not there"))?;
        out.push_str(&interpolated(value, section, depth + 1)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
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
            ("twice", "[a]\nb=1\nb=2\n", 0o644),
            ("refers", "[a]\nb = %(c)s%%\nc = 1\n", 0o644),
            ("percent", "[a]\nb = 100% of it\n", 0o644),
            ("run", "#!/bin/sh\necho '{\"y\": true}'\n", 0o755),
            ("fails", "#!/bin/sh\necho oops >&2; exit 3\n", 0o755),
        ];
        for (name, content, mode) in files {
            let path = dir.path().join(format!("{name}.fact"));
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink("/nowhere", dir.path().join("dead.fact")).unwrap();
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
        assert!(local["dead"].as_str().unwrap().starts_with("Could not stat fact"));
        assert!(local["twice"].as_str().unwrap().starts_with("error loading facts as JSON or ini"));
        assert_eq!(local["refers"], json!({"a": {"b": "1%", "c": "1"}}));
        assert!(local["percent"].as_str().unwrap().starts_with("error loading facts as ini - "));
        assert_eq!(place.into_warnings().len(), 5);
    }
}
