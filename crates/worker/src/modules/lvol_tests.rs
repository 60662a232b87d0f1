//! What LVM is told, by what it reports of a group of 192 MiB with extents of 4 MiB.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::super::stage::Stage;
use super::*;

fn stage() -> Stage {
    let stage = Stage::new(&[]);
    stage.program(
        "vgs",
        "case \"$*\" in *v0) echo '  v0;201326592;104857600;4194304';; *) echo '  not found' >&2; exit 5;; esac",
    );
    stage.program(
        "lvs",
        "printf '  a;20971520;-wi-a-----\\n  b;20971520;-wi-------\\n  tp;20971520;twi-aotz--\\n  [tp_tdata];20971520;Twi-ao----\\n\
           o;20971520;owi-a-s---\\n  s;8388608;swi-a-s---\\n  tv;8388608;Vwi-a-tz--\\n'",
    );
    for name in ["lvcreate", "lvextend", "lvreduce", "lvremove", "lvchange"] {
        stage.program(name, "");
    }
    stage
}

/// What is run for a call on the group, after a dry run that only asks.
fn calls(args: Value) -> String {
    let mut args = args;
    args["vg"] = json!("v0");
    let stage = stage();
    let acts = |stage: &Stage| -> Vec<String> {
        stage.calls().into_iter().filter(|call| !call.starts_with("vgs") && !call.starts_with("lvs")).collect()
    };
    let dry = stage.check::<Lvol>(args.clone()).unwrap();
    assert!(acts(&stage).iter().all(|call| call.contains(" [--test]")), "{args}");
    let done = stage.call::<Lvol>(args.clone()).unwrap();
    let acts = acts(&stage);
    assert_eq!((done.changed, dry.changed), (!acts.is_empty(), !acts.is_empty()), "{args}");
    acts.join("; ").replace(['[', ']'], "")
}

#[test]
fn volumes_are_made() {
    for (args, wanted) in [
        (json!({"lv": "c", "size": 20}), "lvcreate --yes -n c -L 20m v0"),
        (json!({"lv": "c", "size": "1.5g"}), "lvcreate --yes -n c -L 1.5g v0"),
        (json!({"lv": "c", "size": "+10%FREE"}), "lvcreate --yes -n c -l 10%FREE v0"),
        (
            json!({"lv": "c", "size": "10%VG", "opts": "-i 2 -I 64", "pvs": "/dev/a,/dev/b"}),
            "lvcreate --yes -n c -l 10%VG -i 2 -I 64 v0 /dev/a /dev/b",
        ),
        (json!({"lv": "c", "size": 20, "active": false}), "lvcreate --yes -n c -L 20m v0; lvchange -an v0/c"),
        (json!({"lv": "a", "snapshot": "n", "size": "10m"}), "lvcreate --yes -L 10m -s -n n v0/a"),
        (json!({"lv": "tv", "snapshot": "n"}), "lvcreate --yes -s -n n v0/tv"),
        (json!({"thinpool": "new", "size": "20m", "opts": "-c 64k"}), "lvcreate --yes -L 20m -c 64k -T v0/new"),
        (json!({"lv": "nv", "thinpool": "tp", "size": "20m"}), "lvcreate --yes -n nv -V 20m -T v0/tp"),
    ] {
        assert_eq!(calls(args), wanted);
    }
}

#[test]
fn volumes_change_their_size() {
    for (args, wanted) in [
        (json!({"size": 20}), ""),
        // Rounded to extents.
        (json!({"size": 18}), ""),
        (json!({"size": "10%VG"}), ""),
        (json!({"size": 21}), "lvextend -L 21m v0/a"),
        (json!({"size": "40", "resizefs": true, "pvs": ["/dev/x"]}), "lvextend --resizefs -L 40m v0/a /dev/x"),
        (json!({"size": "50%VG"}), "lvextend -l 50%VG v0/a"),
        (json!({"size": "+50%FREE"}), "lvextend -l +50%FREE v0/a"),
        (json!({"size": "100%FREE"}), "lvextend -l 100%FREE v0/a"),
        (json!({"size": "+8M"}), "lvextend -L +8M v0/a"),
        (json!({"size": "-8M", "force": true}), "lvreduce --force -L -8M v0/a"),
        (json!({"size": 10, "force": true}), "lvreduce --force -L 10m v0/a"),
        (json!({"size": 10, "shrink": false}), ""),
        (json!({"lv": "o", "snapshot": "s", "size": "40%ORIGIN"}), ""),
        (json!({"lv": "o", "snapshot": "s", "size": "100%ORIGIN"}), "lvextend -l 100%ORIGIN v0/s"),
    ] {
        let mut args = args;
        if args["lv"].is_null() {
            args["lv"] = json!("a");
        }
        assert_eq!(calls(args), wanted);
    }
    let told = stage().call::<Lvol>(json!({"vg": "v0", "lv": "a", "size": "0.02g", "shrink": false})).unwrap();
    assert_eq!((&told.fields["size"], &told.fields["lv"]), (&json!(0.02), &json!("a")));
}

#[test]
fn volumes_are_switched_and_removed() {
    for (args, wanted) in [
        (json!({"lv": "a"}), ""),
        (json!({"lv": "a", "active": false}), "lvchange -an v0/a"),
        (json!({"lv": "b"}), "lvchange -ay v0/b"),
        (json!({"lv": "a", "state": "absent", "force": true}), "lvremove --force v0/a"),
        (json!({"lv": "o", "snapshot": "s", "state": "absent", "force": true}), "lvremove --force v0/s"),
        (json!({"thinpool": "tp", "state": "absent", "force": true}), "lvremove --force v0/tp"),
        (json!({"lv": "none", "state": "absent"}), ""),
    ] {
        // In a dry run nothing is asked of LVM about a switch.
        assert_eq!(calls(args), wanted);
    }
    let none = stage().call::<Lvol>(json!({"vg": "none", "lv": "a", "state": "absent"})).unwrap();
    assert!(!none.changed && none.fields["stdout"] == "Volume group none does not exist.");
}

#[test]
fn what_cannot_be_is_refused() {
    for (args, word) in [
        (json!({}), "one of the following is required: lv, thinpool"),
        (json!({"lv": "c"}), "No size given."),
        (json!({"lv": "a", "snapshot": "n"}), "No size given."),
        (json!({"lv": "c", "size": "10%vg"}), "Specify extents as a percentage"),
        (json!({"lv": "c", "size": "10x"}), "Bad size specification of '10x'"),
        (json!({"lv": "c", "size": ".5g"}), "Bad size specification of"),
        (json!({"lv": "c", "size": "-8M"}), "for creating LV"),
        (json!({"lv": "c", "size": "110%VG"}), "Size percentage cannot be larger than 100%"),
        (json!({"lv": "c", "size": "10%XX"}), "Specify extents as a percentage of VG|PVS|FREE|ORIGIN"),
        (json!({"lv": "a", "size": "10"}), "Sorry, no shrinking of a without force=true."),
        (json!({"lv": "a", "size": "-100M", "force": true}), "to nothing permitted"),
        (json!({"lv": "a", "state": "absent"}), "Sorry, no removal of logical volume a without force=true."),
        (json!({"lv": "zz", "snapshot": "n", "size": 1}), "Snapshot origin LV zz does not exist in volume group v0."),
        (json!({"lv": "c", "thinpool": "zz", "size": 1}), "Thin pool LV zz does not exist in volume group v0."),
        (json!({"lv": "c", "thinpool": "tp", "size": "5%FREE"}), "Thin volume sizing with percentage not supported."),
        (json!({"lv": "c", "thinpool": "tp", "snapshot": "s"}), "Snapshots of thin pool LVs are not supported."),
        (json!({"lv": "-c", "size": 1}), "is not a name for lv"),
    ] {
        let mut args = args;
        args["vg"] = json!("v0");
        let failure = stage().call::<Lvol>(args).unwrap_err();
        assert!(failure.msg.contains(word), "{word}: {}", failure.msg);
    }
    let gone = stage().call::<Lvol>(json!({"vg": "none", "lv": "a", "size": 1})).unwrap_err();
    assert_eq!((gone.msg.as_str(), &gone.fields["rc"]), ("Volume group none does not exist.", &json!(5)));
    let full = stage();
    full.program("lvcreate", "echo full >&2; exit 5");
    let failure = full.check::<Lvol>(json!({"vg": "v0", "lv": "c", "size": 999})).unwrap_err();
    assert_eq!(
        (failure.msg.as_str(), &failure.fields["err"]),
        ("Creating logical volume 'c' failed", &json!("full\n"))
    );
}
