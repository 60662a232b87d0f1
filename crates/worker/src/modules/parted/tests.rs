//! Scripts for a parted that only takes notes, then real partitions in a file, where parted is there.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use serde_json::{Value, json};

use super::super::stage::{self, Stage};
use super::*;

const EMPTY: &str = "BYT;\n/dev/x:102400kiB:file:512:512:unknown::;\n";
const ONE: &str =
    "BYT;\n/dev/x:100MiB:scsi:512:4096:gpt:A\\:B disk:;\n1:1.00MiB:50.0MiB:49.0MiB:ext4:da\\:ta:boot, esp;\n";

fn staged(printed: &str) -> Stage {
    let stage = Stage::new(&[("/printed", printed)]);
    let version = "case \"$1\" in --version) echo 'parted (GNU parted) 3.5'; exit;; esac\n";
    stage.program("parted", &format!("{version}case \"$*\" in *' print') cat $R/printed; exit;; esac"));
    stage
}

/// What parted was told to do, beside printing.
fn done(stage: &Stage) -> Vec<String> {
    stage.calls().into_iter().filter(|call| !call.ends_with("[print]") && !call.contains("--version")).collect()
}

#[test]
fn what_is_there_is_told() {
    let outcome = staged(ONE).call::<Parted>(json!({"device": "/dev/x", "unit": "MiB"})).unwrap();
    assert_eq!(outcome.fields["script"], json!(["unit", "MiB", "print"]));
    assert_eq!(
        outcome.fields["disk"],
        json!({"dev": "/dev/x", "size": 100.0, "unit": "mib", "table": "gpt", "model": "A:B disk", "logical_block": 512,
            "physical_block": 4096})
    );
    let one = json!([{"num": 1, "begin": 1.0, "end": 50.0, "size": 49.0, "unit": "mib", "fstype": "ext4", "name": "da:ta",
        "flags": ["boot", "esp"]}]);
    assert_eq!(outcome.fields["partitions"], one);
    let chs = "CHS;\n/dev/x:1599,3,31:file:512:512:gpt::;\n1600:4:32:65.5kB;\n1:16,0,0:305,0,22::other:;\n";
    let outcome = staged(chs).call::<Parted>(json!({"device": "/dev/x", "unit": "chs"})).unwrap();
    assert_eq!(outcome.fields["disk"]["chs_info"]["cyl_size"], 65.5);
    assert_eq!(outcome.fields["partitions"][0]["end"], json!({"cylinder": 305, "head": 0, "sector": 22}));
    assert_eq!(
        (&outcome.fields["partitions"][0]["size"], &outcome.fields["partitions"][0]["name"]),
        (&json!(""), &json!("other"))
    );
}

#[test]
fn scripts_say_what_is_to_be_done() {
    for (printed, args, script) in [
        (EMPTY, json!({"part_end": "10MiB"}), "unit KiB mklabel msdos mkpart primary 0% 10MiB"),
        (
            EMPTY,
            json!({"label": "gpt", "name": "n\"x", "flags": ["esp"], "fs_type": "fat32", "align": "none"}),
            "unit KiB mklabel gpt mkpart primary fat32 0% 100% unit KiB name 1 \"n\\\"x\" set 1 esp on set 1 boot on",
        ),
        (
            ONE,
            json!({"label": "gpt", "number": 2, "part_start": "-20MiB", "part_type": "logical", "unit": "s"}),
            "unit s mkpart logical -20MiB 100%",
        ),
        (
            ONE,
            json!({"label": "gpt", "flags": ["lvm"], "name": "da:ta"}),
            "unit KiB set 1 lvm on set 1 boot off set 1 esp off",
        ),
        (ONE, json!({"label": "gpt", "flags": ["esp"]}), ""),
        (ONE, json!({"label": "gpt", "part_end": "20MiB"}), ""),
        (ONE, json!({"state": "absent"}), "rm 1"),
        (ONE, json!({"state": "absent", "number": 7}), ""),
    ] {
        let mut args = args;
        for (key, value) in [("device", json!("/dev/x")), ("number", json!(1)), ("state", json!("present"))] {
            args.as_object_mut().unwrap().entry(key).or_insert(value);
        }
        let stage = staged(printed);
        let dry = stage.check::<Parted>(args.clone()).unwrap();
        assert!(done(&stage).is_empty());
        let outcome = stage.call::<Parted>(args.clone()).unwrap();
        let words: Vec<&str> =
            outcome.fields["script"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
        assert_eq!(words.join(" "), script, "{args}");
        assert_eq!((outcome.changed, dry.changed), (!script.is_empty(), !script.is_empty()));
        assert_eq!(dry.fields["script"], outcome.fields["script"]);
        let align = if args.get("align").is_some() { "none" } else { "optimal" };
        for call in done(&stage) {
            assert!(call.starts_with(&format!("parted [-s] [-f] [-m] [-a] [{align}] [/dev/x] [--] [")), "{call}");
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    for (args, word) in [
        (json!({"state": "present"}), "all of the following are missing: number"),
        (json!({"state": "absent", "number": 0}), "must be greater then 0"),
        (
            json!({"state": "present", "number": 1, "part_start": "50"}),
            "The argument 'part_start' doesn't respect required",
        ),
        (json!({"state": "present", "number": 1, "part_end": "x"}), "Error interpreting parted size output: 'x'"),
        (json!({"state": "present", "number": 1, "flags": ["boot on rm 1"]}), "is not a word for flags"),
        (json!({"state": "present", "number": 1, "fs_type": "ext4 1MiB"}), "is not a word for fs_type"),
    ] {
        let mut args = args;
        args["device"] = json!("/dev/x");
        let failure = staged(ONE).call::<Parted>(args).unwrap_err();
        assert!(failure.msg.contains(word), "{word}: {}", failure.msg);
    }
    let stage = Stage::new(&[]);
    stage.program("parted", "echo 'Error: Could not stat device' >&2; exit 1");
    let failure = stage.call::<Parted>(json!({"device": "/dev/x"})).unwrap_err();
    assert!(failure.msg.starts_with("Error while getting device information with parted script: '"), "{}", failure.msg);
    assert_eq!((&failure.fields["rc"], &failure.fields["err"]), (&json!(1), &json!("Error: Could not stat device\n")));
}

#[test]
fn real_partitions_come_grow_and_go() {
    let host = Host::new();
    if host.find_program("parted").is_none() {
        return;
    }
    let dir = ::tempfile::tempdir().unwrap();
    let path = dir.path().join("a: disk");
    std::fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
    let changed = |more: Value| {
        let mut args = json!({"device": path, "number": 1, "state": "present", "label": "gpt", "unit": "MiB"});
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let once = |host: &Host| stage::call::<Parted>(host, &args).unwrap();
        let dry = once(&Host::new().checking(true));
        let first = once(&host);
        assert_eq!(dry.changed, first.changed, "{args}");
        assert!(!once(&host).changed, "{args}");
        (first.changed, first.fields["partitions"].clone())
    };
    let (made, found) = changed(json!({"part_start": "1MiB", "part_end": "50%", "name": "it's \"data\" \\ 1"}));
    assert!(made);
    assert_eq!((&found[0]["name"], &found[0]["end"]), (&json!("it's \"data\" \\ 1"), &json!(50.0)));
    for end in ["60MiB", "70000KiB", "-10MiB", "100%"] {
        assert!(changed(json!({"part_end": end, "resize": true})).0, "{end}");
    }
    assert_eq!(changed(json!({"flags": ["esp"]})).1[0]["flags"], json!(["boot", "esp"]));
    assert_eq!(changed(json!({"state": "absent"})), (true, json!([])));
}
