#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::super::stage::Stage;
use super::*;

const FILE: &str = "#%PAM-1.0\n# Updated by Ansible - then\nauth required pam_env.so\nauth\tsufficient  pam_unix.so a=1 b\n\
    # c\n-auth [success=1  default=ignore] pam_sss.so [x y] z\n\n@include common\nsession required pam_unix.so\n";

/// The lines after a change, without the second.
fn lines(args: Value) -> Option<Vec<String>> {
    let stage = Stage::new(&[("/pam/su", FILE)]);
    let mut all =
        json!({"name": "su", "path": "/pam", "type": "auth", "control": "sufficient", "module_path": "pam_unix.so"});
    all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
    let dry = stage.check::<Pamd>(all.clone()).unwrap();
    assert_eq!(stage.text("/pam/su"), FILE);
    let made = stage.call::<Pamd>(all.clone()).unwrap();
    assert_eq!((dry.changed, &dry.fields["change_count"]), (made.changed, &made.fields["change_count"]));
    let text = stage.text("/pam/su");
    assert!(!stage.call::<Pamd>(all).unwrap().changed);
    assert_eq!(stage.text("/pam/su"), text);
    made.changed.then(|| {
        let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        assert!(lines.remove(1).starts_with("# Updated by Ansible - 20"));
        lines
    })
}

fn plain() -> Vec<String> {
    let lines = [
        "#%PAM-1.0",
        "auth       required pam_env.so",
        "auth       sufficient pam_unix.so a=1 b",
        "# c",
        "-auth      [success=1 default=ignore] pam_sss.so [x y] z",
        "",
        "@include common",
        "session    required pam_unix.so",
    ];
    lines.map(ToOwned::to_owned).to_vec()
}

#[test]
fn rules_are_altered() {
    for (args, rule) in [
        (json!({"new_control": "required"}), "auth       required pam_unix.so a=1 b"),
        (json!({"new_type": "-auth", "new_module_path": "x.so"}), "-auth      sufficient x.so a=1 b"),
        (json!({"module_arguments": "c d=[e f]"}), "auth       sufficient pam_unix.so c d=[e f]"),
        (json!({"module_arguments": ""}), "auth       sufficient pam_unix.so"),
        (json!({"module_arguments": "a=2,b,c", "state": "args_present"}), "auth       sufficient pam_unix.so a=2 b c"),
        (json!({"module_arguments": ["a=1", "q"], "state": "args_absent"}), "auth       sufficient pam_unix.so b"),
    ] {
        let mut wanted = plain();
        wanted[2] = rule.to_owned();
        assert_eq!(lines(args.clone()).unwrap(), wanted, "{args}");
    }
    for args in [
        json!({"new_control": "sufficient"}),
        json!({"module_arguments": "a=1 b"}),
        json!({"module_arguments": "a", "state": "args_absent"}),
        json!({"module_path": "none.so", "state": "absent"}),
    ] {
        assert!(lines(args).is_none());
    }
}

#[test]
fn rules_come_and_go() {
    let new =
        json!({"new_type": "auth", "new_control": "required", "new_module_path": "n.so", "module_arguments": "q"});
    for (state, at) in [("before", 2), ("after", 3)] {
        let mut args = new.clone();
        args["state"] = json!(state);
        let mut wanted = plain();
        wanted.insert(at, "auth       required n.so q".to_owned());
        assert_eq!(lines(args).unwrap(), wanted);
    }
    let neighbour =
        json!({"state": "before", "new_type": "auth", "new_control": "required", "new_module_path": "pam_env.so"});
    assert!(lines(neighbour).is_none());
    let mut wanted = plain();
    wanted.remove(4);
    let gone = json!({"state": "absent", "type": "-auth", "control": "[success=1 default=ignore]", "module_path": "pam_sss.so"});
    assert_eq!(lines(gone).unwrap(), wanted);
}

#[test]
fn what_cannot_be_is_told() {
    for (args, word) in [
        (json!({"state": "before", "new_type": "auth"}), "missing: new_control, new_module_path"),
        (json!({"state": "args_present"}), "missing: module_arguments"),
        (json!({"state": "args_present", "module_arguments": ["[a b]"]}), "use 'updated'"),
        (json!({"new_control": "needed"}), "Rule control, needed, is not valid"),
        (json!({"new_control": "[success=q]"}), "Rule control action, q,"),
        (json!({"new_control": "[succes=1]"}), "Rule control value, succes,"),
        (json!({"new_control": "[success=1"}), "not closed"),
        (json!({"name": "../su"}), "not the name"),
        (json!({"name": "none"}), "Unable to open/read"),
        (json!({"name": "odd"}), "line 2 is no rule"),
        (json!({"type": "x"}), "type"),
    ] {
        let stage = Stage::new(&[("/pam/su", FILE), ("/pam/odd", "#x\nauth\n")]);
        let mut all = json!({"name": "su", "path": "/pam", "type": "auth", "control": "sufficient", "module_path": "pam_unix.so"});
        all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
        assert!(stage.call::<Pamd>(all).unwrap_err().msg.contains(word), "{word}");
    }
}
