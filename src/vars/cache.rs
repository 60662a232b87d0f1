//! Facts kept between runs (`fact_caching`): a JSON file for each host, in the reference's place.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value as Json;

use crate::config::{Origin, Settings};
use crate::diagnostic::Diagnostic;
use crate::inventory::{Inventory, LOCAL};
use crate::value::{Map, Value, from_object};

/// What the reference puts before a host's name, for the form its files have.
const SCHEMA: &str = "s1_";
/// The only key in a file: the facts, as JSON in a string.
const PAYLOAD: &str = "__payload__";

/// Where facts are kept, and for how long.
#[derive(Debug, Clone)]
pub struct FactCache {
    directory: PathBuf,
    prefix: String,
    /// `None` keeps them for ever.
    timeout: Option<Duration>,
}

impl FactCache {
    /// The cache that is configured; `None` where facts live as long as the run.
    pub fn from_settings(settings: &Settings) -> Result<Option<Self>, Diagnostic> {
        let text = |name: &str| settings.get(name).and_then(|s| s.value.as_str()).unwrap_or_default().to_owned();
        let wrong = |message: String| Diagnostic::error("config::fact-caching", message);
        let plugin = text("CACHE_PLUGIN");
        match plugin.strip_prefix("ansible.builtin.").unwrap_or(&plugin) {
            "memory" | "" => return Ok(None),
            "jsonfile" => {}
            other => {
                let message = format!("the fact cache `{other}` is not built in");
                return Err(wrong(message).help("known are memory and jsonfile"));
            }
        }
        let directory = text("CACHE_PLUGIN_CONNECTION");
        if directory.is_empty() {
            let message = "error, 'jsonfile' cache plugin requires the 'fact_caching_connection' config option to be \
                           set (to a writeable directory path)";
            return Err(wrong(message.to_owned()));
        }
        let directory = crate::playbook::expand_home(&directory);
        std::fs::create_dir_all(&directory)
            .map_err(|e| wrong(format!("cannot make the directory for facts `{}`: {e}", directory.display())))?;
        let seconds = settings.get("CACHE_PLUGIN_TIMEOUT").and_then(|s| s.value.as_int()).unwrap_or(86400);
        let timeout = u64::try_from(seconds).ok().filter(|s| *s > 0).map(Duration::from_secs);
        // As in the reference, the prefix that is listed as the default is none.
        let prefix = settings.get("CACHE_PLUGIN_PREFIX").filter(|s| s.origin != Origin::Default);
        let prefix = format!("{}{SCHEMA}", prefix.map(|s| s.value.to_text()).unwrap_or_default());
        Ok(Some(Self { directory, prefix, timeout }))
    }

    /// A host's file; a name that would lead elsewhere has none.
    fn file(&self, host: &str) -> Option<PathBuf> {
        let name = format!("{}{host}", self.prefix);
        let plain = !host.is_empty() && Path::new(&name).file_name().is_some_and(|own| own == name.as_str());
        plain.then(|| self.directory.join(name))
    }

    /// A host's facts, when they are there and not too old.
    #[must_use]
    pub fn load(&self, host: &str) -> Option<Map> {
        let file = self.file(host)?;
        let modified = std::fs::metadata(&file).ok()?.modified().ok()?;
        let age = SystemTime::now().duration_since(modified).unwrap_or_default();
        if self.timeout.is_some_and(|timeout| age > timeout) {
            return None;
        }
        let text = std::fs::read_to_string(&file).ok()?;
        let payload = |whole: serde_json::Value| serde_json::from_str(whole.get(PAYLOAD)?.as_str()?).ok();
        match serde_json::from_str(&text).ok().and_then(payload) {
            Some(serde_json::Value::Object(facts)) => {
                Some(from_object(&facts.into_iter().map(|(k, v)| (k, bare(v))).collect()))
            }
            _ => {
                tracing::warn!("the facts in {} cannot be read and are left out", file.display());
                None
            }
        }
    }

    /// Keeps a host's facts. That it cannot is no reason to stop.
    pub fn store(&self, host: &str, facts: &Map) {
        let Some(file) = self.file(host) else { return };
        let write = || -> std::io::Result<()> {
            let mut new = tempfile::NamedTempFile::new_in(&self.directory)?;
            let payload = serde_json::to_string(&Value::map(facts.clone()))?;
            serde_json::to_writer(&mut new, &serde_json::json!({ PAYLOAD: payload }))?;
            new.persist(&file)?;
            Ok(())
        };
        if let Err(error) = write() {
            eprintln!("[WARNING]: cannot keep the facts of {host} in {}: {error}", file.display());
        }
    }

    /// Forgets a host's facts.
    pub fn remove(&self, host: &str) {
        if let Some(file) = self.file(host) {
            let _ = std::fs::remove_file(file);
        }
    }

    /// Forgets the facts of an inventory's hosts and of this machine, which may be in none.
    pub fn flush_inventory(&self, inventory: &Inventory) {
        inventory
            .hosts()
            .map(|host| host.name.as_ref())
            .chain(LOCAL.iter().copied())
            .for_each(|name| self.remove(name));
    }

    /// Forgets everybody's facts.
    pub fn flush(&self) {
        for entry in std::fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && name.starts_with(&self.prefix) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// A value without what the reference notes about it (where it was written, and so on).
fn bare(value: Json) -> Json {
    match value {
        Json::Array(items) => items.into_iter().map(bare).collect(),
        Json::Object(mut map) => {
            let tagged = map.get("__ansible_type").and_then(Json::as_str).is_some_and(|t| t.contains("Tagged"));
            match map.get_mut("value").filter(|_| tagged) {
                Some(inner) => bare(inner.take()),
                None => map.into_iter().map(|(k, v)| (k, bare(v))).collect(),
            }
        }
        other => other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keeps_facts_until_they_are_old() {
        let dir = tempfile::tempdir().unwrap();
        let cache = |timeout| FactCache { directory: dir.path().to_path_buf(), prefix: "p_".to_owned(), timeout };
        let facts = Map::from_iter([("ansible_a".into(), Value::Int(1))]);
        let keeps = cache(None);
        keeps.store("web", &facts);
        assert!(dir.path().join("p_web").is_file());
        assert_eq!(keeps.load("web").unwrap().get("ansible_a"), Some(&Value::Int(1)));
        std::fs::File::open(dir.path().join("p_web")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert!(cache(Some(Duration::from_secs(60))).load("web").is_none());
        assert!(keeps.load("web").is_some());
        let theirs = r#"{"__payload__": "{\"a\": {\"value\": 5, \"__ansible_type\": \"_AnsibleTaggedInt\"}, \"b\": {\"value\": 1}}"}"#;
        std::fs::write(dir.path().join("p_theirs"), theirs).unwrap();
        let read = Value::map(keeps.load("theirs").unwrap()).to_json();
        assert_eq!(read, serde_json::json!({"a": 5, "b": {"value": 1}}));
        keeps.remove("theirs");
        keeps.store("../evil", &facts);
        assert!(keeps.load("../evil").is_none() && !dir.path().join("../evil").exists());
        std::fs::write(dir.path().join("p_bad"), "{").unwrap();
        assert!(keeps.load("bad").is_none());
        keeps.remove("web");
        assert!(keeps.load("web").is_none());
        keeps.flush();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
