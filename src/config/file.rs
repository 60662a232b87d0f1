//! `ansible.cfg` as Python's configparser reads it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::diagnostic::Diagnostic;
use crate::source;

/// A file's sections and settings, with their lines.
#[derive(Debug)]
pub(super) struct Ini {
    pub path: PathBuf,
    values: HashMap<(String, String), (String, usize)>,
}

impl Ini {
    pub(super) fn read(path: &Path) -> Result<Self, Vec<Diagnostic>> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            let message = format!("cannot read the configuration `{}`: {e}", path.display());
            vec![Diagnostic::error("config::read", message)]
        })?;
        let whole = source::register(path.display().to_string(), Some(path), text.clone());
        let mut values: HashMap<(String, String), (String, usize)> = HashMap::new();
        let mut section = String::new();
        let mut last: Option<(String, String)> = None;
        let mut start = 0;
        for (at, raw) in text.split_inclusive('\n').enumerate() {
            let span = whole.part(start, start + raw.trim_end().len());
            start += raw.len();
            let line = raw.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.split_once(']')) {
                section = name.0.trim().to_owned();
                last = None;
                continue;
            }
            // An indented line goes on with the value before it.
            if raw.starts_with([' ', '\t'])
                && let Some(key) = &last
                && let Some((value, _)) = values.get_mut(key)
            {
                value.push('\n');
                value.push_str(line);
                continue;
            }
            let Some((key, value)) = line.split_once(['=', ':']) else {
                let message = format!("`{line}` is neither a section nor a setting");
                return Err(vec![Diagnostic::error("config::syntax", message).at(span)]);
            };
            let value = value.split(" ;").next().unwrap_or_default().trim();
            let key = (section.clone(), key.trim().to_lowercase());
            values.insert(key.clone(), (value.to_owned(), at + 1));
            last = Some(key);
        }
        Ok(Self { path: path.to_path_buf(), values })
    }

    pub(super) fn get(&self, section: &str, key: &str) -> Option<(&str, usize)> {
        self.values.get(&(section.to_owned(), key.to_owned())).map(|(value, line)| (value.as_str(), *line))
    }
}
