#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::super::stage::Stage;
use super::*;

/// A host with rules kept in a file, one line each.
fn stage(rules: &str) -> Stage {
    let stage = Stage::new(&[("/rules", rules)]);
    let script = r#"shift 2; verb=$1; chain=$2; shift; [ $# -lt 1 ] || shift
    [ "$verb" != -w ] || { verb=$1; chain=$2; shift 2; }
    case $verb in
    -C) grep -qxF -e "$chain $*" $R/rules;;
    -L) grep -q "^:$chain " $R/rules || { echo 'No chain/target/match by that name.' >&2; exit 1; }; sed -n "s/^:$chain \(.*\)/Chain $chain (policy \1 0 packets)/p" $R/rules;;
    -A|-I) [ "$chain" != NONE ] || { echo 'iptables: No chain/target/match by that name.' >&2; exit 1; }; echo "$chain $*" >>$R/rules;;
    esac"#;
    stage.program("iptables", script).program("ip6tables", script);
    stage
}

#[test]
fn a_rule_is_there_once() {
    let stage = stage("");
    let args = json!({"chain": "INPUT", "source": "8.8.8.8", "jump": "DROP", "wait": 5});
    let dry = stage.check::<Iptables>(args.clone()).unwrap();
    assert_eq!((dry.changed, &dry.fields["rule"]), (true, &json!("-s 8.8.8.8 -j DROP")));
    assert_eq!(stage.calls(), ["iptables [-t] [filter] [-w] [5] [-C] [INPUT] [-s] [8.8.8.8] [-j] [DROP]"]);
    assert!(stage.call::<Iptables>(args.clone()).unwrap().changed);
    assert!(!stage.call::<Iptables>(args.clone()).unwrap().changed);
    stage.calls();
    let mut gone = args;
    gone["state"] = json!("absent");
    assert!(stage.call::<Iptables>(gone).unwrap().changed);
    assert!(stage.calls()[1].contains("[-D] [INPUT] [-s]"));
}

#[test]
fn words_of_rules() {
    for (args, rule) in [
        (
            json!({"in_interface": "eth0", "protocol": "tcp", "match": "tcp", "destination_port": 80, "jump": "REDIRECT",
                   "to_ports": 8600, "comment": "Redirect web"}),
            "-p tcp -m tcp -j REDIRECT -i eth0 --destination-port 80 --to-ports 8600 -m comment --comment Redirect web",
        ),
        (
            json!({"ctstate": "ESTABLISHED,RELATED", "jump": "ACCEPT"}),
            "-j ACCEPT -m conntrack --ctstate ESTABLISHED,RELATED",
        ),
        (json!({"ctstate": "NEW", "match": "state"}), "-m state --state NEW"),
        (
            json!({"destination_ports": ["80", "8081:8083"], "protocol": "tcp"}),
            "-p tcp -m multiport --dports 80,8081:8083",
        ),
        (
            json!({"protocol": "tcp", "tcp_flags": {"flags": "ALL", "flags_set": "ACK,RST"}, "jump": "DROP"}),
            "-p tcp --tcp-flags ALL ACK,RST -j DROP",
        ),
        (
            json!({"uid_owner": "root", "gid_owner": "!adm", "jump": "ACCEPT"}),
            "-j ACCEPT -m owner --uid-owner root -m owner ! --gid-owner adm",
        ),
        (
            json!({"source": "!10.0.0.1", "protocol": "!udp", "in_interface": "! lo", "jump": "ACCEPT"}),
            "! -p udp ! -s 10.0.0.1 -j ACCEPT ! -i lo",
        ),
        (
            json!({"limit": "5/minute", "limit_burst": 10, "log_prefix": "IN: ", "log_level": "info"}),
            "-j LOG --log-prefix IN:  --log-level info -m limit --limit 5/minute --limit-burst 10",
        ),
        (
            json!({"protocol": "icmp", "icmp_type": "echo-request", "reject_with": "icmp-host-prohibited"}),
            "-p icmp -j REJECT --reject-with icmp-host-prohibited --icmp-type echo-request",
        ),
        (
            json!({"match_set": "!admin", "match_set_flags": "src", "syn": "negate"}),
            "! --syn -m set ! --match-set admin src",
        ),
        (json!({"fragment": "!", "jump": "TEE", "gateway": "10.0.0.1"}), "-j TEE --gateway 10.0.0.1 ! -f"),
        (
            json!({"set_counters": "1 2", "goto": "X", "set_dscp_mark": 8, "jump": "DSCP"}),
            "-j DSCP -g X -c 1 2 --set-dscp 8",
        ),
    ] {
        let mut all = args.clone();
        all["chain"] = json!("INPUT");
        assert_eq!(stage("").call::<Iptables>(all).unwrap().fields["rule"], rule, "{args}");
    }
}

#[test]
fn chains_policies_and_flushing() {
    let stage = stage(":FORWARD ACCEPT\n:OWN -\n");
    let changed = |args: serde_json::Value| {
        let outcome = stage.call::<Iptables>(args).unwrap();
        (outcome.changed, stage.calls().pop().unwrap())
    };
    let base = "iptables [-t] [filter] ";
    assert_eq!(changed(json!({"chain": "FORWARD", "policy": "DROP"})), (true, format!("{base}[-P] [FORWARD] [DROP]")));
    assert!(!changed(json!({"chain": "FORWARD", "policy": "ACCEPT"})).0);
    assert_eq!(changed(json!({"chain": "NEW", "chain_management": true})), (true, format!("{base}[-N] [NEW]")));
    assert!(!changed(json!({"chain": "OWN", "chain_management": true})).0);
    let gone = json!({"chain": "OWN", "chain_management": true, "state": "absent"});
    assert_eq!(changed(gone), (true, format!("{base}[-X] [OWN]")));
    assert_eq!(changed(json!({"flush": true, "table": "nat"})), (true, "iptables [-t] [nat] [-F]".to_owned()));
    let both = json!({"chain": "INPUT", "jump": "DROP", "ip_version": "both", "action": "insert", "rule_num": 2});
    assert_eq!(changed(both).1, "ip6tables [-t] [filter] [-I] [INPUT] [2] [-j] [DROP]");
}

#[test]
fn refusals() {
    let stage = stage("");
    let refused = |args: serde_json::Value| stage.call::<Iptables>(args).unwrap_err();
    assert!(refused(json!({"jump": "ACCEPT"})).msg.contains("chain"));
    assert!(refused(json!({"chain": "A", "jump": "ACCEPT", "log_prefix": "x"})).msg.contains("LOG jump target"));
    assert!(refused(json!({"chain": "A", "log_level": "loud"})).msg.contains("log_level"));
    assert!(refused(json!({"chain": "A", "match_set": "x"})).msg.contains("match_set_flags"));
    let failure = refused(json!({"chain": "NONE", "jump": "DROP"}));
    assert_eq!(failure.msg, "iptables: No chain/target/match by that name.");
    assert_eq!(failure.fields["rc"], 1);
}
