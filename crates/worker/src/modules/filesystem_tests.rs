//! What is asked of the programs, and what becomes of their answers; then real file systems in files, where mkfs is there.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use serde_json::{Value, json};

use super::super::stage::{self, Stage};
use super::*;

/// A host with a device (a file of 1 MiB) that blkid says `held` of.
fn stage(held: &str) -> Stage {
    let stage = Stage::new(&[("/dev/x", &" ".repeat(1 << 20))]);
    stage.program("blkid", &format!("printf '%s' '{held}'"));
    for name in
        ["wipefs", "mkfs.ext4", "mkfs.xfs", "mkfs.vfat", "mkswap", "mkfs.btrfs", "pvcreate", "pvchange", "xfs_admin"]
    {
        stage.program(name, "");
    }
    stage
}

fn call(stage: &Stage, args: Value) -> (Result<Outcome, Failure>, Vec<String>) {
    let mut args = args;
    args.as_object_mut().unwrap().entry("dev").or_insert("/dev/x".into());
    stage.calls();
    let dry = stage.check::<Filesystem>(args.clone());
    let asked = stage.calls();
    assert!(
        asked
            .iter()
            .all(|call| ["blkid", "tune2fs [-l]", "pvs", "findmnt", "xfs_info"].iter().any(|c| call.starts_with(c))),
        "{asked:?}"
    );
    let done = stage.call::<Filesystem>(args);
    if let (Ok(dry), Ok(done)) = (&dry, &done) {
        assert_eq!(dry.changed, done.changed);
    }
    (done, stage.calls().into_iter().filter(|call| !call.starts_with("blkid")).collect())
}

#[test]
fn file_systems_are_made() {
    for (args, command) in [
        (json!({"fstype": "ext4"}), "mkfs.ext4 [-F] [/dev/x]"),
        (json!({"fstype": "ext4", "opts": "-L 'a b'", "uuid": "u"}), "mkfs.ext4 [-F] [-L] [a b] [-U] [u] [/dev/x]"),
        (json!({"fstype": "ext4", "opts": "-U random", "uuid": "u"}), "mkfs.ext4 [-F] [-U] [random] [/dev/x]"),
        (json!({"type": "btrfs"}), "mkfs.btrfs [-f] [/dev/x]"),
        (json!({"fstype": "vfat"}), "mkfs.vfat [/dev/x]"),
        (json!({"fstype": "swap"}), "mkswap [-f] [/dev/x]"),
        (json!({"fstype": "lvm"}), "pvcreate [-f] [/dev/x]"),
    ] {
        let (done, calls) = call(&stage(""), args.clone());
        assert!(done.unwrap().changed);
        assert_eq!(calls, [command], "{args}");
    }
    let (done, calls) = call(&stage(""), json!({"fstype": "xfs", "uuid": "u"}));
    assert!(done.unwrap().changed);
    assert_eq!(calls, ["mkfs.xfs [-f] [/dev/x]", "xfs_admin [-U] [u] [/dev/x]"]);
}

#[test]
fn what_is_there_stays_unless_forced() {
    let (done, calls) = call(&stage("ext4"), json!({"fstype": "ext4"}));
    assert!(!done.unwrap().changed && calls.is_empty());
    let (done, calls) = call(&stage("ext4"), json!({"fstype": "xfs"}));
    assert_eq!(done.unwrap_err().msg, "'/dev/x' is already used as ext4, use force=true to overwrite");
    assert!(calls.is_empty());
    let (done, calls) = call(&stage("ext4"), json!({"fstype": "xfs", "force": true}));
    assert!(done.unwrap().changed && calls == ["mkfs.xfs [-f] [/dev/x]"]);
    let (done, calls) = call(&stage("LVM2_member"), json!({"fstype": "lvm", "uuid": "random"}));
    assert!(done.unwrap().changed && calls == ["pvchange [-u] [/dev/x]"]);
    let (done, calls) = call(&stage("ext4"), json!({"state": "absent"}));
    assert!(done.unwrap().changed && calls == ["wipefs [--all] [/dev/x]"]);
    let (done, calls) = call(&stage(""), json!({"state": "absent"}));
    assert!(!done.unwrap().changed && calls.is_empty());
}

#[test]
fn only_room_for_a_block_is_room() {
    for (blocks, grown) in [(256, false), (255, true)] {
        let stage = stage("ext4");
        stage.program(
            "tune2fs",
            &format!("printf 'Block count:              {blocks}\\nBlock size:               4096\\n'"),
        );
        stage.program("resize2fs", "echo grown");
        let (done, calls) = call(&stage, json!({"fstype": "ext4", "resizefs": true}));
        let done = done.unwrap();
        assert_eq!(done.changed, grown);
        let msg = if grown { "grown\n" } else { "Ext4 filesystem is using the whole device /dev/x" };
        assert_eq!(done.fields["msg"], msg);
        assert_eq!(calls.last().map(String::as_str) == Some("resize2fs [/dev/x]"), grown);
    }
    for (answer, grown) in [("1048576 0 0", false), ("524288 524288 4096", false), ("524288 4096 4096", true)] {
        let stage = stage("LVM2_member");
        stage.program("pvs", &format!("echo '  {answer}'")).program("pvresize", "");
        assert_eq!(call(&stage, json!({"fstype": "lvm", "resizefs": true})).0.unwrap().changed, grown, "{answer}");
    }
    let stage = stage("xfs");
    stage.program("findmnt", "exit 1").program("xfs_growfs", "");
    stage.program("xfs_info", "echo 'data     =                       bsize=4096   blocks=100, imaxpct=25'");
    let (done, _) = call(&stage, json!({"fstype": "xfs", "resizefs": true}));
    assert_eq!(done.unwrap_err().msg, "/dev/x needs to be mounted for XFS operations");
    stage.program("findmnt", "echo /mnt/x");
    let (done, calls) = call(&stage, json!({"fstype": "xfs", "resizefs": true}));
    assert!(done.unwrap().changed);
    assert_eq!(calls.last().unwrap(), "xfs_growfs [/mnt/x]");
}

#[test]
fn what_cannot_be_is_refused() {
    for (args, word) in [
        (json!({}), "all of the following are missing: fstype"),
        (json!({"fstype": "ext4", "uuid": "u", "resizefs": true}), "mutually exclusive: resizefs|uuid"),
        (json!({"fstype": "btrfs", "uuid": "u"}), "does not support UUID option for this filesystem (btrfs)"),
        (json!({"fstype": "ufs"}), "only FreeBSD"),
        (json!({"fstype": "swap", "resizefs": true}), "module does not support resizing swap filesystem yet."),
        (json!({"fstype": "ext4", "dev": "/dev/none"}), "Device /dev/none not found."),
    ] {
        let failure = call(&stage("swap"), args).0.unwrap_err();
        assert!(failure.msg.contains(word), "{word}: {}", failure.msg);
    }
    let gone = call(&stage(""), json!({"dev": "/dev/none", "state": "absent"})).0.unwrap();
    assert!(!gone.changed && gone.fields["msg"] == "Device /dev/none not found.");
}

#[test]
fn a_real_one_is_made_grown_and_wiped() {
    let host = Host::new();
    if ["mkfs.ext4", "blkid", "tune2fs", "resize2fs", "wipefs"].iter().any(|name| host.find_program(name).is_none()) {
        return;
    }
    let dir = ::tempfile::tempdir().unwrap();
    let path = dir.path().join("image file");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(8 << 20).unwrap();
    let changed = |more: Value| {
        let mut args = json!({"dev": path, "fstype": "ext4"});
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        stage::call::<Filesystem>(&host, &args).unwrap().changed
    };
    assert!(changed(json!({})) && !changed(json!({})) && !changed(json!({"resizefs": true})));
    file.set_len((12 << 20) + 512).unwrap();
    assert!(changed(json!({"resizefs": true})) && !changed(json!({"resizefs": true})));
    assert!(changed(json!({"uuid": "random"})));
    assert!(changed(json!({"state": "absent"})) && !changed(json!({"state": "absent"})));
}
