#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::super::stage::Stage;
use super::*;

/// A host whose ufw knows a status and appends a rule for each command that is one.
fn stage() -> Stage {
    let status = "Status: active\nLogging: on (low)\nDefault: deny (incoming), allow (outgoing), disabled (routed)\n";
    let stage = Stage::new(&[("/etc/ufw/user.rules", "### tuple ### allow tcp 22 x\n"), ("/status", status)]);
    stage.program(
        "ufw",
        "case \"$*\" in 'status verbose') cat $R/status;; 'status numbered') printf '[ 1] 22/tcp ALLOW IN Anywhere\\n[ 2] 22/tcp (v6) \
         ALLOW IN Anywhere (v6)\\n';; *70000*) echo \"ERROR: Bad port '70000'\" >&2; exit 1;;\n\
         --dry-run*22*) echo 'Skipping adding existing rule';;\n\
         --dry-run*) printf '### tuple ### allow tcp 22 x\\n### tuple ### new\\nRules updated\\n';;\n\
         *' 22'*|default*|logging*|-f*) ;; *) echo \"### tuple ### $*\" >>$R/etc/ufw/user.rules;; esac",
    );
    stage
}

fn calls(stage: &Stage) -> Vec<String> {
    let calls = stage.calls().into_iter().filter(|c| !c.contains("[status]"));
    calls.map(|c| c.trim_start_matches("ufw ").replace(['[', ']'], "")).collect()
}

#[test]
fn words_of_rules() {
    for (args, words) in [
        (json!({"port": 25, "proto": "tcp"}), "allow from any to any port 25 proto tcp"),
        (
            json!({"src": "1.2.3.5", "from_port": 1, "dest": "1.2.3.4", "to_port": 2, "interface": "eth0", "direction": "in",
                   "log": true, "comment": "why"}),
            "allow in on eth0 log from 1.2.3.5 port 1 to 1.2.3.4 port 2 comment why",
        ),
        (
            json!({"route": true, "interface_in": "eth0", "interface_out": "eth1"}),
            "route allow in on eth0 out on eth1 from any to any",
        ),
        (
            json!({"interface": "", "direction": "in", "from_port": "", "name": "", "comment": "", "port": 25}),
            "allow in from any to any port 25",
        ),
        (json!({"interface_in": "", "to_ip": "", "from_ip": "1.2.3.4"}), "allow from 1.2.3.4"),
        (json!({"name": "OpenSSH", "delete": true, "insert": 3}), "delete allow from any to any app OpenSSH"),
        (json!({"insert": 1, "port": 25}), "insert 1 allow from any to any port 25"),
        (
            json!({"insert": 0, "insert_relative_to": "first-ipv6", "port": 25}),
            "insert 2 allow from any to any port 25",
        ),
        (json!({"insert": 1, "insert_relative_to": "last-ipv6", "port": 25}), "allow from any to any port 25"),
    ] {
        let stage = stage();
        let mut all = args.clone();
        all["rule"] = json!("allow");
        assert!(stage.call::<Ufw>(all.clone()).unwrap().changed, "{args}");
        assert_eq!(calls(&stage), [words]);
        assert!(stage.check::<Ufw>(all).unwrap().changed);
        assert_eq!(calls(&stage), [format!("--dry-run {words}")]);
    }
}

#[test]
fn changed_is_what_differs_afterwards() {
    let stage = stage();
    let there = json!({"rule": "allow", "port": 22});
    assert!(!stage.call::<Ufw>(there.clone()).unwrap().changed);
    assert!(!stage.check::<Ufw>(there).unwrap().changed);
    for (args, changed) in [
        (json!({"state": "enabled"}), false),
        (json!({"state": "disabled"}), true),
        (json!({"state": "reloaded"}), true),
        (json!({"default": "deny"}), false),
        (json!({"default": "deny", "direction": "outgoing"}), true),
        (json!({"default": "deny", "direction": "routed"}), false),
        (json!({"logging": "on"}), false),
        (json!({"logging": true}), false),
        (json!({"logging": "low"}), false),
        (json!({"logging": "off"}), true),
    ] {
        assert_eq!(stage.check::<Ufw>(args.clone()).unwrap().changed, changed, "{args}");
    }
    assert!(calls(&stage).iter().all(|c| c.starts_with("--dry-run") || c.contains("22")));
    let both = json!({"state": "enabled", "policy": "deny", "logging": "on"});
    assert!(!stage.call::<Ufw>(both).unwrap().changed);
    assert_eq!(calls(&stage), ["-f enable", "default deny", "logging on"]);
    stage.file("/status", "Status: inactive\n");
    assert!(stage.check::<Ufw>(json!({"state": "enabled"})).unwrap().changed);
    assert!(!stage.check::<Ufw>(json!({"state": "disabled"})).unwrap().changed);
}

#[test]
fn refusals() {
    let stage = stage();
    let refused = |args: serde_json::Value| stage.call::<Ufw>(args).unwrap_err().msg;
    assert!(refused(json!({"direction": "in"})).starts_with("one of the following is required"));
    assert!(refused(json!({"rule": "allow", "interface": "eth0"})).contains("direction"));
    assert!(refused(json!({"rule": "allow", "direction": "routed"})).starts_with("For rules, direction"));
    assert!(refused(json!({"default": "deny", "direction": "in"})).starts_with("For default, direction"));
    assert!(refused(json!({"rule": "allow", "interface_in": "a", "interface_out": "b"})).contains("route rules"));
    assert!(refused(json!({"rule": "allow", "name": "x", "proto": "tcp"})).contains("mutually exclusive"));
    assert!(refused(json!({"rule": "allow", "from_ip": "any port 1"})).contains("'from_ip'"));
    assert_eq!(refused(json!({"rule": "allow", "port": 70000})), "ERROR: Bad port '70000'\n");
}
