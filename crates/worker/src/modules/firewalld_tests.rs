//! What firewall-cmd is told, by a stub that keeps settings in files.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::super::stage::Stage;
use super::*;

/// A firewall that keeps what it is told: a file for each way, a line for each setting of a zone.
const FIREWALL: &str = r#"
mkdir -p $R/fw; way=runtime zone=public
[ "${0##*/}" = firewall-offline-cmd ] && way=permanent
for word in "$@"; do
    case $word in
        --permanent) way=permanent;;
        --zone=gone) echo 'Error: INVALID_ZONE: gone' >&2; exit 112;;
        --zone=*) zone=${word#--zone=};;
        --state) [ -e $R/running ] || exit 252; echo running;;
        --get-default-zone) echo public;;
        --get-zones) echo "public dmz $(cat $R/fw/zones 2>/dev/null)";;
        --new-zone=*) echo ${word#--new-zone=} >$R/fw/zones;;
        --delete-zone=*) rm $R/fw/zones;;
        --get-target) cat $R/fw/target 2>/dev/null || echo default;;
        --set-target=*) echo ${word#--set-target=} >$R/fw/target;;
        --timeout=*) ;;
        --*-service=bad) echo 'Error: INVALID_SERVICE: bad' >&2; exit 101;;
        --query-*) grep -qxF -e "$zone ${word#--query-}" $R/fw/$way 2>/dev/null || exit 1;;
        --add-*) echo "$zone ${word#--add-}" >>$R/fw/$way;;
        --change-*) echo "$zone ${word#--change-}" >>$R/fw/$way;;
        --remove-*) grep -vxF -e "$zone ${word#--remove-}" $R/fw/$way >$R/fw/new; mv $R/fw/new $R/fw/$way;;
        *) echo "Error: $word" >&2; exit 2;;
    esac
done
"#;

fn stage(running: bool) -> Stage {
    let stage = Stage::new(if running { &[("/running", "")] } else { &[("/stopped", "")] });
    stage.program("firewall-cmd", FIREWALL);
    stage.program("firewall-offline-cmd", FIREWALL);
    stage
}

/// Dry, for real, and again; what is said, and what is kept.
fn told(stage: &Stage, args: Value) -> String {
    stage.calls();
    let dry = stage.check::<Firewalld>(args.clone()).unwrap();
    let calls = stage.calls();
    assert!(
        calls.iter().all(|call| ["query", "get", "state"].iter().any(|word| call.contains(&format!("--{word}")))),
        "{calls:?}"
    );
    let done = stage.call::<Firewalld>(args.clone()).unwrap();
    assert_eq!(dry.changed, done.changed, "{args}");
    assert!(!stage.call::<Firewalld>(args).unwrap().changed);
    done.fields["msg"].as_str().unwrap().to_owned()
}

#[test]
fn settings_come_and_go() {
    let stage = stage(true);
    let rule = r#"rule service name="ftp" accept"#;
    for (args, kept, said) in [
        (json!({"service": "http"}), "public service=http", "Changed service http to enabled"),
        (json!({"port": "1-2/udp", "zone": "dmz"}), "dmz port=1-2/udp", "Changed port 1-2/udp to enabled"),
        (json!({"protocol": "ospf"}), "public protocol=ospf", "Changed protocol ospf to enabled"),
        (
            json!({"rich_rule": rule}),
            r#"public rich-rule=rule service name="ftp" accept"#,
            r#"Changed rich_rule rule service name="ftp" accept to enabled"#,
        ),
        (json!({"source": "10.0.0.0/8", "zone": "dmz"}), "dmz source=10.0.0.0/8", "Added 10.0.0.0/8 to zone dmz"),
        (json!({"interface": "eth0"}), "public interface=eth0", "Changed eth0 to zone public"),
        (
            json!({"icmp_block": "echo-request"}),
            "public icmp-block=echo-request",
            "Changed icmp-block echo-request to enabled",
        ),
        (
            json!({"icmp_block_inversion": true}),
            "public icmp-block-inversion",
            "Changed icmp-block-inversion True to enabled",
        ),
        (json!({"masquerade": true}), "public masquerade", "Added masquerade to zone public"),
        (json!({"forward": true}), "public forward", "Added forward to zone public"),
        (
            json!({"port_forward": [{"port": 443, "proto": "tcp", "toport": 8443}]}),
            "public forward-port=port=443:proto=tcp:toport=8443",
            "Changed port_forward port=443:proto=tcp:toport=8443:toaddr= to enabled",
        ),
    ] {
        for (permanent, immediate, way, files) in [
            (false, false, "Non-permanent operation", &["/fw/runtime"][..]),
            (true, false, "Permanent operation", &["/fw/permanent"]),
            (true, true, "Permanent and Non-Permanent(immediate) operation", &["/fw/permanent", "/fw/runtime"]),
        ] {
            let mut args = args.clone();
            args["permanent"] = json!(permanent);
            args["immediate"] = json!(immediate);
            args["state"] = json!("enabled");
            assert_eq!(told(&stage, args.clone()), format!("{way}, {said}"));
            files.iter().for_each(|file| assert_eq!(stage.text(file), format!("{kept}\n")));
            args["state"] = json!("disabled");
            told(&stage, args);
            files.iter().for_each(|file| assert_eq!(stage.text(file), ""));
        }
    }
    // What is to be false is disabled when it is enabled.
    told(&stage, json!({"masquerade": false, "state": "disabled"}));
    assert_eq!(
        told(&stage, json!({"masquerade": false, "state": "enabled"})),
        "Non-permanent operation, Removed masquerade from zone public"
    );
    stage.calls();
    stage.call::<Firewalld>(json!({"service": "imap", "state": "enabled", "timeout": 9})).unwrap();
    assert_eq!(stage.calls().last().unwrap(), "firewall-cmd [--add-service=imap] [--timeout=9]");
}

#[test]
fn zones_and_targets() {
    let stage = stage(true);
    let zone = |state: &str| json!({"zone": "mine", "permanent": true, "state": state});
    assert_eq!(told(&stage, zone("present")), "Permanent operation, Added zone mine, Changed zone mine to present");
    assert_eq!(told(&stage, zone("absent")), "Permanent operation, Removed zone mine, Changed zone mine to absent");
    assert_eq!(stage.call::<Firewalld>(zone("enabled")).unwrap().fields["msg"], "");
    let target = |state: &str| json!({"zone": "dmz", "permanent": true, "state": state, "target": "%%REJECT%%"});
    assert_eq!(told(&stage, target("enabled")), "Permanent operation, Set zone dmz target to %%REJECT%%");
    assert_eq!(told(&stage, target("absent")), "Permanent operation, Reset zone dmz target to default");
}

#[test]
fn without_a_daemon_what_is_for_good_is_written() {
    let stage = stage(false);
    let args = json!({"service": "http", "state": "enabled", "permanent": true});
    let only = "(offline operation: only on-disk configs were altered)";
    assert_eq!(told(&stage, args), format!("Permanent operation, Changed service http to enabled, {only}"));
    assert_eq!(stage.text("/fw/permanent"), "public service=http\n");
    let at_once =
        json!({"service": "https", "state": "enabled", "permanent": true, "immediate": true, "offline": true});
    assert_eq!(told(&stage, at_once), format!("Permanent operation, Changed service https to enabled, {only}"));
    for args in [
        json!({"service": "http", "state": "enabled"}),
        json!({"service": "x", "state": "enabled", "permanent": true, "immediate": true}),
    ] {
        assert!(stage.call::<Firewalld>(args).unwrap_err().msg.starts_with("firewall is not currently running"));
    }
}

#[test]
fn what_cannot_be_is_refused() {
    for (args, word) in [
        (
            json!({"service": "http", "port": "80/tcp", "state": "enabled"}),
            "parameters are mutually exclusive: icmp_block|",
        ),
        (json!({"service": "http", "state": "present"}), "can only be used in zone level operations"),
        (json!({"zone": "mine", "state": "present"}), "Zone operations must be permanent."),
        (json!({"zone": "mine", "state": "enabled", "target": "DROP"}), "Zone operations must be permanent."),
        (json!({"port": "80", "state": "enabled"}), "improper port format (missing protocol?)"),
        (json!({"service": "x", "state": "enabled", "offline": true}), "offline cannot be enabled unless"),
        (json!({"port_forward": [], "state": "enabled"}), "Only one port forward"),
        (json!({"service": "bad", "state": "enabled"}), "ERROR: Exception caught: INVALID_SERVICE: bad"),
        (json!({"service": "x", "zone": "gone", "state": "enabled"}), "ERROR: Exception caught: INVALID_ZONE: gone"),
    ] {
        let failure = stage(true).call::<Firewalld>(args).unwrap_err();
        assert!(failure.msg.contains(word), "{word}: {}", failure.msg);
    }
}
