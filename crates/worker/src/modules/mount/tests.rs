#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::super::stage::Stage;
use super::*;

const TABLE: &str = "# head\n/dev/sdz1 /m ext4 rw,noatime 0 2\n\ntmpfs\t/mnt\ttmpfs\tsize=1m\n/dev/s none swap sw 0 0";

fn stage() -> Stage {
    let stage = Stage::new(&[("/etc/fstab", TABLE), ("/src/file", ""), ("/proc/self/mountinfo", "")]);
    for program in ["mount", "umount"] {
        stage.program(program, "[ -e $R/broken ] && { echo no >&2; exit 32; }; exit 0");
    }
    stage
}

fn with(args: &Value, more: Value) -> Value {
    let mut args = args.clone();
    args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    args
}

#[test]
fn the_table_is_kept() {
    let base = json!({"path": "/m", "src": "/dev/sdz1", "fstype": "ext4", "state": "present", "passno": 2});
    let head = "# head\n";
    let rest = "\ntmpfs\t/mnt\ttmpfs\tsize=1m\n/dev/s none swap sw 0 0";
    for (more, table) in [
        (json!({"opts": "rw,noatime"}), TABLE.to_owned()),
        (json!({}), format!("{head}/dev/sdz1 /m ext4 defaults 0 2\n{rest}")),
        (json!({"boot": false, "dump": 1}), format!("{head}/dev/sdz1 /m ext4 defaults,noauto 1 2\n{rest}")),
        (
            json!({"path": "/mnt", "src": "tmpfs", "fstype": "tmpfs", "opts": "size=1m", "passno": 0}),
            TABLE.replace("tmpfs\t/mnt\ttmpfs\tsize=1m", "tmpfs /mnt tmpfs size=1m 0 0"),
        ),
        (json!({"path": "/a b", "src": "/dev/x\ty"}), format!("{TABLE}\n/dev/x\\011y /a\\040b ext4 defaults 0 2\n")),
        (json!({"path": "none", "src": "/dev/t"}), format!("{TABLE}\n/dev/t none ext4 defaults 0 2\n")),
        (json!({"state": "absent_from_fstab"}), format!("{head}{rest}")),
        (json!({"state": "absent_from_fstab", "path": "/mnt"}), TABLE.to_owned()),
        (json!({"state": "absent_from_fstab", "path": "none", "src": "/dev/t"}), TABLE.to_owned()),
    ] {
        let stage = stage();
        let args = with(&base, more);
        let dry = stage.check::<Mount>(args.clone()).unwrap();
        assert_eq!(stage.text("/etc/fstab"), TABLE);
        let made = stage.call::<Mount>(args.clone()).unwrap();
        assert_eq!((dry.changed, made.changed), (table != TABLE, table != TABLE), "{args}");
        assert_eq!(stage.text("/etc/fstab"), table, "{args}");
        assert!(!stage.call::<Mount>(args).unwrap().changed);
        assert_eq!(stage.calls(), [""; 0]);
    }
}

#[test]
fn things_are_mounted_and_unmounted() {
    let stage = stage();
    let args = json!({"path": "/new/a b", "src": "tmpfs", "fstype": "tmpfs", "state": "mounted"});
    assert!(stage.check::<Mount>(args.clone()).unwrap().changed);
    assert!(!stage.exists("/new"));
    let made = stage.call::<Mount>(args.clone()).unwrap();
    assert_eq!((made.changed, &made.fields["opts"], &made.fields["boot"]), (true, &json!("defaults"), &json!("yes")));
    assert!(stage.exists("/new/a b"));
    assert_eq!(stage.calls(), ["mount [--] [/new/a b]"]);
    let place = stage.real("/new/a b").to_string_lossy().replace(' ', "\\040");
    for name in ["/new/a\\040b", &place] {
        stage.file("/proc/self/mountinfo", &format!("28 1 0:25 / {name} rw - tmpfs tmpfs rw\n"));
        if stage.call::<Mount>(with(&args, json!({"state": "unmounted"}))).unwrap().changed {
            break;
        }
    }
    assert_eq!(stage.calls(), ["umount [--] [/new/a b]"]);
    assert!(!stage.call::<Mount>(args.clone()).unwrap().changed);
    assert!(stage.call::<Mount>(with(&args, json!({"opts": "size=1m"}))).unwrap().changed);
    assert_eq!(stage.calls(), ["mount [-o] [remount,size=1m] [--] [/new/a b]"]);
    let other = with(&args, json!({"src": "other", "state": "ephemeral"}));
    assert!(stage.call::<Mount>(other).unwrap_err().msg.contains("different source"));
    assert!(stage.call::<Mount>(with(&args, json!({"state": "ephemeral"}))).unwrap().changed);
    assert_eq!(stage.calls(), ["mount [-t] [tmpfs] [-o] [remount,defaults] [--] [tmpfs] [/new/a b]"]);
}

#[test]
fn what_cannot_be_mounted_leaves_nothing_behind() {
    let stage = stage();
    stage.file("/broken", "");
    stage.program("rmdir", "/bin/rmdir \"$R$2\"");
    let args = json!({"path": "/new/b", "src": "/dev/none", "fstype": "ext4", "state": "mounted"});
    assert_eq!(stage.call::<Mount>(args.clone()).unwrap_err().msg, "Error mounting /new/b: no\n");
    assert_eq!(stage.text("/etc/fstab"), TABLE);
    let failure = stage.call::<Mount>(json!({"path": "/b", "state": "mounted"})).unwrap_err();
    assert_eq!(failure.msg, "state is mounted but all of the following are missing: src, fstype");
    let args = with(&args, json!({"state": "remounted", "opts": "ro"}));
    assert!(stage.call::<Mount>(args).unwrap_err().msg.starts_with("Error remounting /new/b"));
}
