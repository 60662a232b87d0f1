//! Against a stand-in for systemctl that keeps a unit's state in files and writes down what it was asked.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::*;
use crate::args;

const STAND_IN: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
while [ "${1#--}" != "$1" ]; do shift; done
verb=$1; [ "$2" = -- ] && unit=$3 || unit=$2
echo "$verb $unit" >> log
case "$verb" in
show)
    case "$unit" in
    web) echo "LoadState=$(cat load)"; echo "ActiveState=$(cat active)"; printf 'ExecStart={ path=/bin/x ;\n argv[]=y }\n';;
    *) echo LoadState=not-found; echo ActiveState=inactive;;
    esac;;
is-enabled) cat enabled 2>/dev/null; [ "$(cat enabled)" = enabled ];;
start|restart) [ -e broken ] && { echo "it is broken" >&2; exit 1; }; echo active > active;;
stop) echo inactive > active;;
enable) echo enabled > enabled;;
disable) echo disabled > enabled;;
mask) echo masked > load;;
unmask) echo loaded > load;;
esac
"#;

struct Stand {
    dir: tempfile::TempDir,
}

impl Stand {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        put("systemctl", STAND_IN);
        put("load", "loaded\n");
        put("active", "inactive\n");
        put("enabled", "disabled\n");
        let path = dir.path().join("systemctl");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    fn host(&self) -> Host {
        let path = format!("{}:/usr/bin:/bin", self.dir.path().display());
        Host::new().with_environment(vec![("PATH".into(), path)])
    }

    fn run(&self, host: &Host, args: Value) -> Result<Outcome, Failure> {
        let module: Systemd = args::parse(args.as_object().unwrap()).unwrap();
        module.check().map_err(Failure::new)?;
        module.run(host)
    }

    fn asked(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        log.lines().filter(|l| !l.starts_with("show") && !l.starts_with("is-enabled")).map(ToOwned::to_owned).collect()
    }
}

#[test]
fn brings_a_unit_up_once() {
    let stand = Stand::new();
    let args = json!({"name": "web", "state": "started", "enabled": true});
    let outcome = stand.run(&stand.host(), args.clone()).unwrap();
    assert!(outcome.changed);
    assert_eq!((&outcome.fields["state"], &outcome.fields["enabled"]), (&json!("started"), &json!(true)));
    assert_eq!(outcome.fields["status"]["ExecStart"], "{ path=/bin/x ;\n argv[]=y }");
    assert!(!stand.run(&stand.host(), args).unwrap().changed);
    assert_eq!(stand.asked(), ["enable web", "start web"]);
}

#[test]
fn check_mode_predicts_and_touches_nothing() {
    let stand = Stand::new();
    let host = stand.host().checking(true);
    assert!(stand.run(&host, json!({"name": "web", "state": "started", "masked": true})).unwrap().changed);
    assert!(stand.run(&host, json!({"name": "comes-later", "state": "started"})).unwrap().changed);
    assert!(!stand.run(&host, json!({"name": "web", "state": "stopped"})).unwrap().changed);
    assert!(stand.asked().is_empty());
}

#[test]
fn reload_starts_what_is_down_and_restart_always_changes() {
    let stand = Stand::new();
    for (state, want) in
        [("reloaded", "start web"), ("reloaded", "reload web"), ("restarted", "restart web"), ("stopped", "stop web")]
    {
        assert!(stand.run(&stand.host(), json!({"name": "web", "state": state})).unwrap().changed);
        assert_eq!(stand.asked().last().unwrap(), want);
    }
}

#[test]
fn what_goes_wrong_is_said() {
    let stand = Stand::new();
    let missing = stand.run(&stand.host(), json!({"name": "nope", "state": "started"})).unwrap_err();
    assert_eq!(missing.msg, "Could not find the requested service nope: host");
    std::fs::write(stand.dir.path().join("broken"), "").unwrap();
    let broken = stand.run(&stand.host(), json!({"name": "web", "state": "restarted"})).unwrap_err();
    assert_eq!(broken.msg, "Unable to restart service web: it is broken");
    let nameless = stand.run(&stand.host(), json!({"name": "", "daemon_reload": true})).unwrap();
    assert_eq!((nameless.changed, &nameless.fields["name"]), (false, &json!("")), "an empty name is none");
    let told = stand.run(&stand.host(), json!({"name": "web"})).unwrap();
    assert!(!told.changed && told.fields["status"].is_object());
    assert!(stand.run(&stand.host(), json!({"name": "web*", "state": "started"})).is_err());
    assert!(stand.run(&stand.host(), json!({"state": "started"})).is_err());
}
