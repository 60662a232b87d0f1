use serde_json::Value;

use super::super::stage::Stage;
use super::*;

/// What dnf 4.14 said of a package with a dependency.
const INSTALL: &str = "Last metadata expiration check: 0:01:03 ago on Sat Nov 21 08:46:00 2026.
Dependencies resolved.
================================================================================
 Package          Architecture         Version            Repository       Size
================================================================================
Installing:
 bb               noarch               1-1                t               5.4 k
Installing dependencies:
 aa-with-a-very-long-name-that-takes-a-line-of-its-own
                  noarch               1:2-1              t               5.4 k

Transaction Summary
================================================================================
Install  2 Packages

Total size: 11 k
Installed size: 0  
Operation aborted.
";

/// The same of an upgrade.
const UPGRADE: &str = "Dependencies resolved.
================================================================================
 Package          Architecture         Version            Repository       Size
================================================================================
Upgrading:
 aa               noarch               2-1                t               5.4 k

Transaction Summary
================================================================================
Upgrade  1 Package

Total size: 5.4 k
Operation aborted.
";

/// What dnf5 says of it.
const UPGRADE5: &str = "Package Arch   Version Repository Size
Upgrading:
 aa     noarch 0:2-1   t          0.0   B
   replacing aa noarch 0:1-1 t 0.0 B

Transaction Summary:
 Upgrading: 1 package
";

/// A host whose dnf answers a plan with a text, and whose rpm knows `aa`.
fn stage(plan: &str) -> Stage {
    let stage = Stage::new(&[("/plan", plan)]);
    let dnf = "case \"$*\" in *assumeno*nope*) echo 'No match for argument: nope'; echo 'Error: Unable to find a match: nope' >&2; exit 1;;\n\
               *assumeno*) cat $R/plan; exit 1;; esac; exit 0";
    stage.program("dnf", dnf).program("dnf5", dnf);
    stage.program("rpm", "for last; do :; done; case $last in aa) echo aa-1-1.noarch;; *) exit 1;; esac");
    stage
}

fn four(mut args: Value) -> Value {
    args["use_backend"] = json!("dnf4");
    args
}

#[test]
fn packages_are_installed() {
    let stage = stage(INSTALL);
    let args = four(json!({"name": ["bb", "aa"], "enablerepo": "t", "disable_gpg_check": true}));
    let wanted = json!([
        "Installed: aa-with-a-very-long-name-that-takes-a-line-of-its-own-1:2-1.noarch",
        "Installed: bb-1-1.noarch"
    ]);
    let dry = stage.check::<Dnf>(args.clone()).unwrap();
    assert_eq!((dry.changed, &dry.fields["results"]), (true, &wanted));
    assert!(dry.fields["msg"].as_str().unwrap().starts_with("Check mode: No changes made"));
    assert!(!stage.calls().iter().any(|call| call.contains("[-y]")));
    let done = stage.call::<Dnf>(args).unwrap();
    assert_eq!((done.changed, &done.fields["results"], &done.fields["msg"]), (true, &wanted, &json!("")));
    let call = stage.calls().pop().unwrap();
    assert_eq!(call, "dnf [--enablerepo=t] [--nogpgcheck] [-y] [install] [bb]");
}

#[test]
fn what_is_there_needs_no_dnf() {
    let stage = stage(INSTALL);
    let done = stage.call::<Dnf>(four(json!({"name": "aa"}))).unwrap();
    assert_eq!(
        (done.changed, &done.fields["msg"], &done.fields["results"]),
        (false, &json!("Nothing to do"), &json!([]))
    );
    assert!(stage.calls().iter().all(|call| call.starts_with("rpm")));
    let gone = stage.call::<Dnf>(four(json!({"name": "bb", "state": "absent"}))).unwrap();
    assert_eq!((gone.changed, &gone.fields["results"]), (false, &json!(["No match for argument: bb"])));
}

#[test]
fn packages_are_upgraded() {
    let wanted = json!(["Installed: aa-2-1.noarch", "Removed: aa-1-1.noarch"]);
    let old = stage(UPGRADE);
    let done = old.call::<Dnf>(four(json!({"name": "aa", "state": "latest"}))).unwrap();
    assert_eq!((done.changed, &done.fields["results"]), (true, &wanted));
    let new = stage(UPGRADE5);
    let done = new.call::<Dnf5>(json!({"name": "aa", "state": "latest", "disable_gpg_check": true})).unwrap();
    assert_eq!((done.changed, &done.fields["results"]), (true, &wanted));
    assert!(new.calls().contains(&"dnf5 [--no-gpgchecks] [-y] [upgrade] [aa]".to_owned()));
    let none = stage("Nothing to do.\n");
    assert!(!none.call::<Dnf>(four(json!({"name": "*", "state": "latest"}))).unwrap().changed);
    for nothing in [json!({"name": []}), json!({"name": [], "state": "latest"}), json!({"state": "absent"})] {
        let told = none.call::<Dnf>(four(nothing)).unwrap();
        assert_eq!((told.changed, &told.fields["msg"]), (false, &json!("Nothing to do")));
    }
    none.calls();
    none.call::<Dnf>(four(json!({"name": "a*", "state": "latest"}))).unwrap();
    assert!(none.calls().iter().any(|call| call.contains("[install] [a*]")), "a pattern is for all that it fits");
    let only = none.call::<Dnf>(four(json!({"name": "cc", "state": "latest", "update_only": true}))).unwrap();
    assert!(only.fields["results"][0].as_str().unwrap().contains("update_only"));
}

#[test]
fn a_lower_version_counts_as_there() {
    let stage = stage(&UPGRADE.replace("Upgrading:", "Downgrading:"));
    assert!(!stage.call::<Dnf>(four(json!({"name": "aa-0"}))).unwrap().changed);
    assert!(stage.call::<Dnf>(four(json!({"name": "aa-0", "allow_downgrade": true}))).unwrap().changed);
}

#[test]
fn what_cannot_be_is_told() {
    let stage = stage("");
    let failure = stage.call::<Dnf>(four(json!({"name": "nope"}))).unwrap_err();
    assert_eq!(failure.msg, "Failed to install some of the specified packages");
    assert_eq!(
        (&failure.fields["failures"], &failure.fields["rc"]),
        (&json!(["No package nope available."]), &json!(1))
    );
    for (args, word) in [
        (json!({"list": "aa"}), "package_facts"),
        (json!({"name": "-x"}), "not the name of a package"),
        (json!({"autoremove": true, "state": "latest"}), "Autoremove should be used"),
    ] {
        assert!(stage.call::<Dnf>(args).unwrap_err().msg.contains(word), "{word}");
    }
}
