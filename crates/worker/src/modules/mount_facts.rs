//! `ansible.builtin.mount_facts`.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::files::text;
use crate::host::{Command, Host, Usage};
use crate::module::{Failure, Module, Outcome};

/// Gives what is mounted, and what may be, as facts.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct MountFacts {
    /// Patterns of devices to tell of; all without it.
    #[serde(default)]
    devices: Option<Vec<String>>,
    /// Patterns of file systems to tell of; all without it.
    #[serde(default)]
    fstypes: Option<Vec<String>>,
    /// Files to read, `mount`, `static`, `dynamic` or `all`; all without it.
    #[serde(default)]
    sources: Option<Vec<String>>,
    /// The program that lists mounts where no file does; none when null.
    #[serde(default = "mount")]
    mount_binary: Value,
    /// Seconds to wait for a file system, and for the program.
    #[serde(default)]
    timeout: Option<f64>,
    /// What becomes of a file system that does not answer.
    #[serde(default)]
    on_timeout: OnTimeout,
    /// Whether mounts that another one hides are told too, as a list.
    #[serde(default)]
    include_aggregate_mounts: Option<bool>,
}

fn mount() -> Value {
    json!("mount")
}

/// What becomes of a file system that does not answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum OnTimeout {
    #[default]
    Error,
    Warn,
    Ignore,
}

const DYNAMIC: &[&str] = &["/etc/mtab", "/proc/mounts", "/etc/mnttab"];
const STATIC: &[&str] = &["/etc/fstab", "/etc/vfstab"];

/// A mount as a source has it.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    source: String,
    line: String,
    device: String,
    point: String,
    kind: String,
    options: String,
    numbers: [Option<i64>; 2],
}

impl Module for MountFacts {
    const NAME: &'static str = "ansible.builtin.mount_facts";

    fn check(&self) -> Result<(), String> {
        if self.timeout.is_some_and(|seconds| !seconds.is_finite() || seconds <= 0.0) {
            return Err(format!("argument 'timeout' must be a positive number or null, not {}", json!(self.timeout)));
        }
        if !self.mount_binary.is_null() && !self.mount_binary.is_string() {
            return Err(format!("argument 'mount_binary' must be a string or null, not {}", self.mount_binary));
        }
        for pattern in self.devices.iter().chain(&self.fstypes).flatten() {
            glob::Pattern::new(pattern).map_err(|e| format!("'{pattern}' is not a pattern: {e}"))?;
        }
        match self.sources.iter().flatten().find(|source| source.trim().is_empty()) {
            Some(_) => Err("argument 'sources' contains an empty string".into()),
            None => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let (mut warnings, mut aggregate) = (Vec::new(), Vec::new());
        let mut points = serde_json::Map::new();
        let mut doubled = Vec::new();
        let uuids = uuids(host);
        for entry in self.entries(host, &mut warnings)? {
            let fits = |patterns: &Option<Vec<String>>, word: &str| {
                let matches = |p: &String| glob::Pattern::new(p).is_ok_and(|p| p.matches(word));
                patterns.as_ref().is_none_or(|patterns| patterns.iter().any(matches))
            };
            if !fits(&self.devices, &entry.device) || !fits(&self.fstypes, &entry.kind) {
                continue;
            }
            let Some(told) = self.describe(host, &entry, &uuids, &mut warnings)? else { continue };
            if self.include_aggregate_mounts == Some(true) {
                aggregate.push(told.clone());
            }
            if points.contains_key(&entry.point) {
                doubled.push(entry.point);
            } else {
                points.insert(entry.point, told);
            }
        }
        doubled.sort();
        doubled.dedup();
        if self.include_aggregate_mounts.is_none() && !doubled.is_empty() {
            warnings.push(format!(
                "mount_facts: several mounts were found for {}; set 'include_aggregate_mounts' to have them all, or \
                 to false to silence this warning.",
                doubled.join(", ")
            ));
        }
        let facts = json!({"mount_points": points, "aggregate_mounts": aggregate});
        let outcome = Outcome::unchanged().with("ansible_facts", facts);
        Ok(if warnings.is_empty() { outcome } else { outcome.with("warnings", warnings) })
    }
}

impl MountFacts {
    /// The entries of all sources, each source once.
    fn entries(&self, host: &Host, warnings: &mut Vec<String>) -> Result<Vec<Entry>, Failure> {
        let binary = self.mount_binary.as_str();
        let all = vec!["all".to_owned()];
        let (mut entries, mut seen) = (Vec::new(), Vec::new());
        let (mut dynamic_wanted, mut dynamic_found, mut ran) = (false, false, false);
        for source in self.sources.as_ref().filter(|sources| !sources.is_empty()).unwrap_or(&all) {
            let files: Vec<&str> = match source.as_str() {
                "all" => DYNAMIC.iter().chain(STATIC).copied().collect(),
                "dynamic" => DYNAMIC.to_vec(),
                "static" => STATIC.to_vec(),
                program if Some(program) == binary => {
                    entries.extend(self.listed(host, program, warnings)?);
                    ran = true;
                    continue;
                }
                file => vec![file],
            };
            dynamic_wanted |= matches!(source.as_str(), "all" | "dynamic");
            for file in files {
                // One that leads to another is the other.
                let real = host.canonical(Path::new(file))?;
                if seen.contains(&real) {
                    continue;
                }
                let found = parse(file, &host.text(file).unwrap_or_default());
                dynamic_found |= DYNAMIC.contains(&file) && !found.is_empty();
                if !found.is_empty() {
                    seen.push(real);
                }
                entries.extend(found);
            }
        }
        if let Some(program) = binary.filter(|_| dynamic_wanted && !dynamic_found && !ran) {
            entries.extend(self.listed(host, program, warnings)?);
        }
        Ok(entries)
    }

    /// What the program lists.
    fn listed(&self, host: &Host, program: &str, warnings: &mut Vec<String>) -> Result<Vec<Entry>, Failure> {
        let Some(path) = host.find_program(program) else { return Ok(Vec::new()) };
        let mut command = Command::new(path).c_locale();
        if let Some(seconds) = self.timeout {
            command = command.timeout(Duration::from_secs_f64(seconds.min(1e9)));
        }
        let output = host.query(&command)?;
        if output.timed_out {
            self.late(format!("Command '{program}' timed out after {} seconds", json!(self.timeout)), warnings)?;
            return Ok(Vec::new());
        }
        Ok(output.stdout_text().lines().filter_map(|line| parse_listed(program, line)).collect())
    }

    fn late(&self, msg: String, warnings: &mut Vec<String>) -> Result<(), Failure> {
        match self.on_timeout {
            OnTimeout::Error => return Err(Failure::new(msg)),
            OnTimeout::Warn => warnings.push(msg),
            OnTimeout::Ignore => {}
        }
        Ok(())
    }

    fn describe(
        &self,
        host: &Host,
        entry: &Entry,
        uuids: &[(String, PathBuf)],
        warnings: &mut Vec<String>,
    ) -> Result<Option<Value>, Failure> {
        let real = host.canonical(Path::new(&entry.device))?;
        let of_device = || uuids.iter().find(|(_, device)| *device == real).map(|(uuid, _)| uuid.clone());
        let uuid = entry.device.strip_prefix("UUID=").map(ToOwned::to_owned).or_else(of_device);
        let mut told = json!({
            "mount": entry.point, "device": entry.device, "fstype": entry.kind, "options": entry.options, "uuid": uuid,
            "ansible_context": {"source": entry.source, "source_data": entry.line},
        });
        for (name, number) in ["dump", "passno"].into_iter().zip(entry.numbers) {
            if let Some(number) = number {
                told[name] = number.into();
            }
        }
        let usage = match self.usage(host, Path::new(&entry.point)) {
            Ok(usage) => usage,
            Err(late) => {
                self.late(late, warnings)?;
                None
            }
        };
        if let Some(usage) = usage {
            told["size_total"] = (usage.blocks.saturating_mul(usage.block_size)).into();
            told["size_available"] = (usage.available.saturating_mul(usage.block_size)).into();
            told["block_size"] = usage.io_size.into();
            told["block_total"] = usage.blocks.into();
            told["block_available"] = usage.available.into();
            told["block_used"] = usage.blocks.saturating_sub(usage.available).into();
            told["inode_total"] = usage.inodes.into();
            told["inode_available"] = usage.inodes_available.into();
            told["inode_used"] = usage.inodes.saturating_sub(usage.inodes_available).into();
        }
        Ok(Some(told))
    }

    /// How full a file system is, if something is there; an error when it does not answer in time.
    fn usage(&self, host: &Host, point: &Path) -> Result<Option<Usage>, String> {
        if !point.is_absolute() {
            return Ok(None);
        }
        let Some(seconds) = self.timeout else { return Ok(host.usage(point).ok()) };
        let (send, receive) = mpsc::channel();
        let ask = host.usage_later(point);
        std::thread::spawn(move || {
            // Nobody waits any more when this comes too late.
            let _ = send.send(ask());
        });
        match receive.recv_timeout(Duration::from_secs_f64(seconds.min(1e9))) {
            Ok(answer) => Ok(answer.ok()),
            Err(_) => Err(format!("Timed out getting mount size for mount {} after {seconds} seconds", text(point))),
        }
    }
}

/// File systems' ids with the devices they are on.
fn uuids(host: &Host) -> Vec<(String, PathBuf)> {
    let directory = Path::new("/dev/disk/by-uuid");
    let device = |name: std::ffi::OsString| {
        let device = host.canonical(&directory.join(&name)).ok()?;
        Some((name.to_string_lossy().into_owned(), device))
    };
    host.list(directory).unwrap_or_default().into_iter().filter_map(device).collect()
}

/// The entries of a file such as `/etc/fstab`; none of one that has other lines.
fn parse(source: &str, content: &str) -> Vec<Entry> {
    let meant = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let entry = |line: &str| {
        let words: Vec<String> = line.split_whitespace().map(unescaped).collect();
        let [device, point, kind, options, rest @ ..] = words.as_slice() else { return None };
        let mut numbers = [None, None];
        for (number, word) in numbers.iter_mut().zip(rest) {
            *number = Some(word.parse().ok()?);
        }
        let [device, point, kind, options] = [device, point, kind, options].map(Clone::clone);
        let (source, line) = (source.to_owned(), line.to_owned());
        Some(Entry { source, line, device, point, kind, options, numbers })
    };
    content.lines().filter(meant).map(entry).collect::<Option<_>>().unwrap_or_default()
}

/// An entry as mount(8) prints it: `device on point type kind (options)`.
fn parse_listed(source: &str, line: &str) -> Option<Entry> {
    let (device, rest) = line.split_once(" on ")?;
    let (point, rest) = rest.rsplit_once(" type ")?;
    let (kind, rest) = rest.split_once(" (")?;
    let options = rest.split(')').next()?;
    let [device, point, kind, options] = [device, point, kind, options].map(ToOwned::to_owned);
    Some(Entry {
        source: source.to_owned(),
        line: line.to_owned(),
        device,
        point,
        kind,
        options,
        numbers: [None, None],
    })
}

/// Undoes the octal escapes for white space.
fn unescaped(word: &str) -> String {
    let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    codes.iter().fold(word.to_owned(), |word, (code, text)| word.replace(code, text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    fn facts(stage: &Stage, args: Value) -> Value {
        stage.call::<MountFacts>(args).unwrap().fields["ansible_facts"].clone()
    }

    #[test]
    fn files_are_read() {
        let fstab = "UUID=abc /srv ext4 defaults 0 2\n#c\n\nnas:/x /nas nfs rw\nL=a\\040b /a\\040b xfs noauto 0 0\n/dev/b /srv xfs rw\n";
        let stage = Stage::new(&[("/etc/fstab", fstab)]);
        let told = facts(&stage, json!({"sources": ["/etc/fstab", "static"], "include_aggregate_mounts": true}));
        assert_eq!(told["aggregate_mounts"].as_array().unwrap().len(), 4);
        let wanted = json!({"mount": "/srv", "device": "UUID=abc", "fstype": "ext4", "options": "defaults",
            "uuid": "abc", "dump": 0, "passno": 2,
            "ansible_context": {"source": "/etc/fstab", "source_data": "UUID=abc /srv ext4 defaults 0 2"}});
        assert_eq!(told["mount_points"]["/srv"], wanted);
        assert_eq!(told["mount_points"]["/a b"]["device"], "L=a b");
        let args = json!({"sources": ["static"], "fstypes": ["nf?"], "devices": ["nas*"]});
        assert_eq!(facts(&stage, args)["mount_points"].as_object().unwrap().len(), 1);
        let warned = stage.call::<MountFacts>(json!({"sources": ["static"]})).unwrap();
        assert!(warned.fields["warnings"][0].as_str().unwrap().contains("/srv"));
    }

    #[test]
    fn what_is_mounted_is_told_with_its_size() {
        let stage = Stage::new(&[("/proc/mounts", "proc /proc proc rw 0 0\n"), ("/etc/fstab", "bad line\n")]);
        let told = facts(&stage, json!({"timeout": 5}));
        assert_eq!(told["mount_points"].as_object().unwrap().len(), 1);
        assert!(told["mount_points"]["/proc"]["block_size"].is_u64());
    }

    #[test]
    fn the_program_is_asked() {
        let stage = Stage::new(&[]);
        stage.program("mymount", "echo 'tmpfs on /a on b type tmpfs (rw,size=1k) [x]'");
        for args in [json!({"mount_binary": "mymount"}), json!({"mount_binary": "mymount", "sources": ["mymount"]})] {
            let told = facts(&stage, args);
            assert_eq!(told["mount_points"]["/a on b"]["options"], "rw,size=1k");
        }
        assert_eq!(facts(&stage, json!({"mount_binary": null, "sources": ["dynamic"]}))["mount_points"], json!({}));
        stage.file("/etc/fstab", "tmpfs /all tmpfs rw 0 0\n");
        assert!(facts(&stage, json!({"sources": []}))["mount_points"].get("/all").is_some(), "none is all of them");
        stage.program("mymount", "sleep 9");
        let args = |what: &str| json!({"mount_binary": "mymount", "timeout": 0.1, "on_timeout": what});
        assert!(stage.call::<MountFacts>(args("error")).unwrap_err().msg.contains("timed out"));
        assert!(stage.call::<MountFacts>(args("warn")).unwrap().fields.contains_key("warnings"));
        assert!(!stage.call::<MountFacts>(args("ignore")).unwrap().fields.contains_key("warnings"));
        for bad in [json!({"mount_binary": ["a"]}), json!({"timeout": 0}), json!({"sources": [""]})] {
            assert!(stage.call::<MountFacts>(bad).is_err());
        }
    }
}
