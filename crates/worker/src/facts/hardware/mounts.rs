//! Mounted file systems that stand on a device or on another host.

use std::path::Path;
use std::sync::mpsc;

use serde_json::{Value, json};

use super::Gather;
use crate::host::Usage;

/// One line of /proc/self/mounts.
struct Mount {
    device: String,
    point: String,
    kind: String,
    options: String,
    dump: i64,
    pass: i64,
}

pub(super) fn gather(gather: &Gather<'_>) -> Value {
    let text = gather.host.text("/proc/self/mounts").or_else(|| gather.host.text("/etc/mtab")).unwrap_or_default();
    let bound = bound(&gather.host.text("/proc/self/mountinfo").unwrap_or_default());
    let uuids = super::devices::Links::read(gather);
    let mut mounts: Vec<(String, Value)> = Vec::new();
    for mut mount in text.lines().filter_map(parse).filter(shown) {
        if bound.contains(&mount.point) && !mount.options.split(',').any(|o| o == "bind") {
            mount.options.push_str(",bind");
        }
        let point = mount.point.clone();
        let entry = describe(gather, mount, &uuids);
        // What is mounted over another keeps its place and its own values.
        match mounts.iter_mut().find(|(other, _)| *other == point) {
            Some((_, value)) => *value = entry,
            None => mounts.push((point, entry)),
        }
    }
    mounts.into_iter().map(|(_, value)| value).collect()
}

fn shown(mount: &Mount) -> bool {
    let real = mount.device.starts_with(['/', '\\']) || mount.device.contains(":/");
    real && mount.kind != "none"
}

fn parse(line: &str) -> Option<Mount> {
    let words: Vec<String> = line.split_whitespace().map(unescaped).collect();
    let [device, point, kind, options, rest @ ..] = words.as_slice() else { return None };
    let number = |at: usize| rest.get(at).and_then(|n| n.parse().ok()).unwrap_or(0);
    Some(Mount {
        device: device.clone(),
        point: point.clone(),
        kind: kind.clone(),
        options: options.clone(),
        dump: number(0),
        pass: number(1),
    })
}

/// Undoes the octal escapes for white space.
fn unescaped(word: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(word.to_owned(), |word, (code, text)| word.replace(code, text))
}

/// The mount points whose root is not that of their file system.
fn bound(mountinfo: &str) -> Vec<String> {
    let entries = mountinfo.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some((*words.get(3)?, *words.get(4)?))
    });
    entries.filter(|(root, _)| *root != "/").map(|(_, point)| unescaped(point)).collect()
}

fn describe(gather: &Gather<'_>, mount: Mount, links: &super::devices::Links) -> Value {
    let mut out = json!({
        "mount": mount.point,
        "device": mount.device,
        "fstype": mount.kind,
        "options": mount.options,
        "dump": mount.dump,
        "passno": mount.pass,
    });
    let Some(fields) = out.as_object_mut() else { return out };
    match usage(gather, &mount) {
        Ok(Some(usage)) => fields.extend([
            ("size_total".to_owned(), (usage.blocks * usage.block_size).into()),
            ("size_available".to_owned(), (usage.available * usage.block_size).into()),
            ("block_size".to_owned(), usage.io_size.into()),
            ("block_total".to_owned(), usage.blocks.into()),
            ("block_available".to_owned(), usage.available.into()),
            ("block_used".to_owned(), usage.blocks.saturating_sub(usage.available).into()),
            ("inode_total".to_owned(), usage.inodes.into()),
            ("inode_available".to_owned(), usage.inodes_available.into()),
            ("inode_used".to_owned(), usage.inodes.saturating_sub(usage.inodes_available).into()),
        ]),
        Ok(None) => {}
        Err(note) => drop(fields.insert("note".to_owned(), note.into())),
    }
    fields.insert("uuid".to_owned(), links.uuid_of(gather, &mount.device).unwrap_or_else(|| "N/A".to_owned()).into());
    out
}

/// How full a file system is; one of another host, which may never answer, is asked on the side.
fn usage(gather: &Gather<'_>, mount: &Mount) -> Result<Option<Usage>, String> {
    let local = mount.device.starts_with("/dev/");
    if local {
        return Ok(gather.host.usage(Path::new(&mount.point)).ok());
    }
    let (send, receive) = mpsc::channel();
    let ask = gather.host.usage_later(Path::new(&mount.point));
    std::thread::spawn(move || {
        // Nobody waits any more when this comes too late.
        let _ = send.send(ask());
    });
    match receive.recv_timeout(gather.timeout) {
        Ok(answer) => Ok(answer.ok()),
        Err(_) => Err("Timed out while attempting to get info".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_binds() {
        let mount = parse("/dev/sda1 /mnt/a\\040b ext4 rw,relatime 0 2");
        assert_eq!(mount.map(|m| (m.point, m.pass)), Some(("/mnt/a b".to_owned(), 2)));
        assert!(parse("proc /proc").is_none());
        let info = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 8:1 /srv /data rw - ext4 /dev/sda1 rw\n";
        assert_eq!(bound(info), ["/data"]);
        let kept = |line: &str| parse(line).is_some_and(|m| shown(&m));
        assert!(kept("nas:/x /mnt nfs rw 0 0") && !kept("proc /proc proc rw 0 0"));
    }
}
