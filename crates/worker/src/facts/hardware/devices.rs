//! Block devices, their partitions, and the names that udev gives them.

use std::collections::BTreeMap;
use std::path::Path;

use rplay_protocol::Object;
use serde_json::{Value, json};

use super::{Gather, human_size, or_null};

/// The names that lead to devices, by kind and device.
pub(super) struct Links {
    ids: BTreeMap<String, Vec<String>>,
    uuids: BTreeMap<String, Vec<String>>,
    labels: BTreeMap<String, Vec<String>>,
    masters: BTreeMap<String, Vec<String>>,
}

impl Links {
    pub(super) fn read(gather: &Gather<'_>) -> Self {
        let by = |kind: &str| {
            let directory = format!("/dev/disk/by-{kind}");
            let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for name in gather.names(&directory) {
                let target = gather.host.read_link(&Path::new(&directory).join(&name)).ok();
                if let Some(device) = target.as_deref().and_then(Path::file_name) {
                    out.entry(device.to_string_lossy().into_owned()).or_default().push(name);
                }
            }
            out
        };
        let mut masters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for path in gather.host.glob(Path::new("/sys/block/*/slaves/*")).unwrap_or_default() {
            let names: Vec<String> = path.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
            if let [.., device, _, slave] = names.as_slice() {
                masters.entry(slave.clone()).or_default().push(device.clone());
            }
        }
        Self { ids: by("id"), uuids: by("uuid"), labels: by("label"), masters }
    }

    fn all(&self) -> [(&'static str, &BTreeMap<String, Vec<String>>); 4] {
        [("ids", &self.ids), ("uuids", &self.uuids), ("labels", &self.labels), ("masters", &self.masters)]
    }

    fn of(&self, device: &str) -> Value {
        let lists =
            self.all().map(|(kind, map)| (kind.to_owned(), json!(map.get(device).cloned().unwrap_or_default())));
        Value::Object(lists.into_iter().collect())
    }

    /// The file system's UUID of a device path.
    pub(super) fn uuid_of(&self, gather: &Gather<'_>, device: &str) -> Option<String> {
        let real = gather.host.canonical(Path::new(device)).ok()?;
        self.uuids.get(&*real.file_name()?.to_string_lossy())?.first().cloned()
    }
}

pub(super) fn gather(gather: &Gather<'_>, facts: &mut Object) {
    let links = Links::read(gather);
    let all = links.all().map(|(kind, map)| (kind.to_owned(), json!(map)));
    facts.insert("device_links".into(), Value::Object(all.into_iter().collect()));
    let devices = gather.names("/sys/block").into_iter().map(|name| {
        let value = describe(gather, &name, &links);
        (name, value)
    });
    facts.insert("devices".into(), Value::Object(devices.collect()));
}

fn describe(gather: &Gather<'_>, name: &str, links: &Links) -> Value {
    let base = Path::new("/sys/block").join(name);
    let read = |file: &str| gather.line(base.join(file));
    let sectors = read("size").and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let sector_size = sector_size(gather, &base);
    let mut out = json!({
        "virtual": 1,
        "links": links.of(name),
        "vendor": or_null(read("device/vendor")),
        "model": or_null(read("device/model")),
        "sas_address": or_null(read("device/sas_address")),
        "sas_device_handle": or_null(read("device/sas_device_handle")),
        "removable": read("removable").unwrap_or_default(),
        "support_discard": read("queue/discard_granularity").unwrap_or_default(),
        "partitions": partitions(gather, name, links),
        "rotational": read("queue/rotational").unwrap_or_default(),
        "scheduler_mode": read("queue/scheduler").map(|text| scheduler(&text)).unwrap_or_default(),
        "sectors": sectors,
        "sectorsize": sector_size,
        "size": human_size(sectors.saturating_mul(512)),
        // The name of the controller would be lspci's.
        "host": "",
        "holders": holders(gather, &base),
    });
    let Some(fields) = out.as_object_mut() else { return out };
    for (key, file) in [("serial", "device/serial"), ("wwn", "wwid")] {
        if let Some(value) = read(file).filter(|v| !v.is_empty()) {
            fields.insert(key.to_owned(), value.into());
        }
    }
    out
}

fn sector_size(gather: &Gather<'_>, base: &Path) -> String {
    let read = |file: &str| gather.line(base.join(file)).filter(|text| !text.is_empty());
    read("queue/logical_block_size").or_else(|| read("queue/hw_sector_size")).unwrap_or_else(|| "512".to_owned())
}

/// The chosen one of the schedulers, which stands in brackets.
fn scheduler(text: &str) -> String {
    let chosen = text.split('[').nth(1).and_then(|rest| rest.split(']').next());
    chosen.map(ToOwned::to_owned).unwrap_or_default()
}

fn partitions(gather: &Gather<'_>, disk: &str, links: &Links) -> Value {
    let base = Path::new("/sys/block").join(disk);
    let names = gather.names(&base).into_iter().filter(|name| {
        name.starts_with(disk) && gather.host.exists(&base.join(name).join("partition")).unwrap_or(false)
    });
    let described = names.map(|name| {
        let own = base.join(&name);
        let read = |file: &str| gather.line(own.join(file));
        let sectors = read("size").and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        let value = json!({
            "links": links.of(&name),
            "start": read("start").unwrap_or_else(|| "0".to_owned()),
            "sectors": sectors,
            "sectorsize": sector_size(gather, &base).parse::<u64>().unwrap_or(512),
            "size": human_size(sectors.saturating_mul(512)),
            "uuid": or_null(links.uuids.get(&name).and_then(|u| u.first().cloned())),
            "holders": holders(gather, &own),
        });
        (name, value)
    });
    Value::Object(described.collect())
}

/// What stands on a device: by the device mapper's name where it has one.
fn holders(gather: &Gather<'_>, base: &Path) -> Vec<String> {
    let names = gather.names(base.join("holders"));
    let named = names.into_iter().map(|name| {
        let mapped = name.starts_with("dm-").then(|| gather.line(format!("/sys/block/{name}/dm/name"))).flatten();
        mapped.unwrap_or(name)
    });
    named.collect()
}

#[cfg(test)]
// The tests prepare their own little host.
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use super::*;
    use crate::host::Host;

    #[test]
    fn a_disk_with_a_partition() {
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in [
            ("sys/block/sda/size", "41943040\n"),
            ("sys/block/sda/queue/scheduler", "none [mq-deadline] bfq\n"),
            ("sys/block/sda/queue/rotational", "0\n"),
            ("sys/block/sda/device/vendor", "ATA     \n"),
            ("sys/block/sda/sda1/partition", "1\n"),
            ("sys/block/sda/sda1/start", "2048\n"),
            ("sys/block/sda/sda1/size", "2097152\n"),
            ("sys/block/sda/sda1/holders/dm-0", ""),
            ("sys/block/dm-0/dm/name", "vg-root\n"),
            ("dev/sda1", ""),
        ] {
            let real = dir.path().join(path);
            std::fs::create_dir_all(real.parent().unwrap()).unwrap();
            std::fs::write(&real, content).unwrap();
        }
        std::fs::create_dir_all(dir.path().join("dev/disk/by-uuid")).unwrap();
        std::os::unix::fs::symlink("../../sda1", dir.path().join("dev/disk/by-uuid/1234-ABCD")).unwrap();
        let host = Host::at(dir.path());
        let place = Gather::new(&host);
        let mut facts = Object::new();
        gather(&place, &mut facts);
        let sda = &facts["devices"]["sda"];
        assert_eq!((&sda["size"], &sda["scheduler_mode"]), (&json!("20.00 GB"), &json!("mq-deadline")));
        assert_eq!((&sda["vendor"], &sda["model"]), (&json!("ATA"), &Value::Null));
        let first = &sda["partitions"]["sda1"];
        assert_eq!((&first["uuid"], &first["size"]), (&json!("1234-ABCD"), &json!("1.00 GB")));
        assert_eq!(first["holders"], json!(["vg-root"]));
        assert_eq!(facts["device_links"]["uuids"]["sda1"], json!(["1234-ABCD"]));
        assert_eq!(Links::read(&place).uuid_of(&place, "/dev/sda1").unwrap(), "1234-ABCD");
    }
}
