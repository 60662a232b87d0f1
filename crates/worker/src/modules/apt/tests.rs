#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::super::stage::Stage;
use super::*;

const STATUS: &str = "Package: here\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.2-1\n\n\
    Package: left\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n\
    Package: mta\nStatus: install ok installed\nArchitecture: all\nVersion: 3\n";

fn stage() -> Stage {
    let stage = Stage::new(&[("/var/lib/dpkg/status", STATUS), ("/var/lib/apt/lists/lock", "")]);
    let policy = r#"case $1 in
        -t) shift 2;; esac
    case $1 in
    pkgnames) printf 'here\nother\nodd\n';;
    showpkg) case $3 in one-mta) printf 'Reverse Provides: \nmta 3 (= )\n';; mta-*) printf 'Reverse Provides: \nmta 3\nxta 1\n';; esac;;
    policy) shift 2; for p; do case $p in
      here) printf 'here:\n  Installed: 1.2-1\n  Candidate: 1.3-1\n  Version table:\n     1.3-1 500\n        500 x\n *** 1.2-1 100\n        100 y\n';;
      other|odd) printf '%s:\n  Installed: (none)\n  Candidate: 2.0\n  Version table:\n     2.0 500\n        500 x\n     1.9 500\n' $p;;
      one-mta|mta-any) printf '%s:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n' $p;;
    esac; done;; esac"#;
    stage.program("apt-cache", policy);
    stage.program(
        "apt-get",
        "echo 'Reading package lists...'; echo 'Building dependency tree...'\n\
         case \"$*\" in *broken-pkg*) echo 'E: broken' >&2; exit 100;; esac\n\
         [ ! -e $R/usr/sbin/policy-rc.d ] || cp $R/usr/sbin/policy-rc.d $R/seen\n\
         echo 'The following NEW packages will be installed:'; echo '  other'\n\
         echo '0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.'; echo 'Inst other'",
    );
    stage
}

/// The calls of apt-get alone, without the options that all of them have.
fn gets(stage: &Stage) -> Vec<String> {
    let common = "apt-get [-y] [-o] [Dpkg::Options::=--force-confdef] [-o] [Dpkg::Options::=--force-confold] [-o] \
                  [DPkg::Lock::Timeout=60] ";
    let calls = stage.calls().into_iter().filter(|c| c.starts_with("apt-get"));
    calls.map(|c| c.strip_prefix(common).map_or(c.clone(), ToOwned::to_owned)).collect()
}

#[test]
fn what_is_there_needs_no_program() {
    let stage = stage();
    for name in ["here", "here=1.2*", "here>=1.0", "here:amd64"] {
        let outcome = stage.call::<Apt>(json!({"name": name})).unwrap();
        assert!(!outcome.changed, "{name}");
        assert_eq!(outcome.fields["cache_updated"], false);
    }
    assert!(!stage.call::<Apt>(json!({"name": ["none", "left"], "state": "absent"})).unwrap().changed);
    assert!(!stage.call::<Apt>(json!({"name": "other", "only_upgrade": true})).unwrap().changed);
    assert!(stage.calls().is_empty());
}

#[test]
fn installs_versions_and_wildcards() {
    let stage = stage();
    for (args, call) in [
        (json!({"name": "other"}), "[install] [other=2.0]"),
        (json!({"name": "other=1.*"}), "[install] [other=1.9]"),
        (json!({"name": ["here", "other"], "state": "latest"}), "[install] [here=1.3-1] [other=2.0]"),
        (json!({"name": "o*"}), "[install] [odd=2.0] [other=2.0]"),
        (json!({"name": "mta-any"}), "[install] [mta-any]"),
        (json!({"name": "src", "state": "build-dep"}), "[build-dep] [src]"),
        (
            json!({"name": "other", "install_recommends": false, "default_release": "sid", "allow_downgrade": true,
                   "allow_unauthenticated": true, "allow_change_held_packages": true, "fail_on_autoremove": true,
                   "autoremove": true}),
            "[--no-remove] [--auto-remove] [--allow-unauthenticated] [--allow-downgrades] \
             [--allow-change-held-packages] [-t] [sid] [-o] [APT::Install-Recommends=no] [install] [other=2.0]",
        ),
        (json!({"upgrade": "dist"}), "[dist-upgrade]"),
        (json!({"upgrade": true}), "[upgrade] [--with-new-pkgs]"),
        (json!({"name": "*", "state": "latest"}), "[upgrade] [--with-new-pkgs]"),
        (json!({"name": "here,left", "state": "absent"}), "[-q] [remove] [here]"),
        (json!({"name": "here,left", "state": "absent", "purge": true}), "[-q] [--purge] [remove] [here] [left]"),
    ] {
        let dry = stage.check::<Apt>(args.clone()).unwrap();
        assert!(dry.changed, "{args}");
        assert_eq!(gets(&stage), [format!("{call} [--simulate]")]);
        let real = stage.call::<Apt>(args.clone()).unwrap();
        assert!(real.changed, "{args}");
        assert_eq!(gets(&stage), [call]);
        assert_eq!(
            real.diffs[0].clone().into_value()["prepared"],
            "The following NEW packages will be installed:\n  other\n\
             0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded."
        );
    }
    assert!(!stage.call::<Apt>(json!({"name": "one-mta"})).unwrap().changed, "its only provider is installed");
}

#[test]
fn lists_are_updated_when_they_are_old() {
    let stage = stage();
    let fresh = stage.call::<Apt>(json!({"update_cache": true, "cache_valid_time": 3600})).unwrap();
    assert!(!fresh.changed && stage.calls().is_empty());
    stage.program("apt-get", "touch -d 2020-01-01 $R/var/lib/apt/lists");
    assert!(stage.check::<Apt>(json!({"update_cache": true})).unwrap().changed);
    assert!(stage.calls().is_empty());
    let old = stage.call::<Apt>(json!({"update_cache": true})).unwrap();
    assert_eq!((old.changed, &old.fields["cache_update_time"]), (true, &json!(1_577_836_800)));
    assert!(stage.check::<Apt>(json!({"cache_valid_time": 3600})).unwrap().changed);
    stage.program("apt-get", "echo 'E: no network' >&2; exit 100");
    let args = json!({"update_cache": true, "update_cache_retries": 2, "update_cache_retry_max_delay": 0});
    let failure = stage.call::<Apt>(args).unwrap_err();
    assert_eq!(failure.msg, "Failed to update apt cache after 2 retries: E: no network");
}

#[test]
fn services_do_not_start_under_a_policy() {
    let stage = stage();
    stage.file("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n");
    stage.call::<Apt>(json!({"name": "other", "policy_rc_d": 101})).unwrap();
    assert_eq!(stage.text("/seen"), "#!/bin/sh\nexit 101\n");
    assert_eq!(stage.text("/usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 0\n");
}

#[test]
fn failures_say_what_stood_in_the_way() {
    let stage = stage();
    let fails = |args: serde_json::Value| stage.call::<Apt>(args).unwrap_err();
    let unknown = fails(json!({"name": "nosuch"}));
    assert_eq!(unknown.msg, "No package matching 'nosuch' is available");
    assert_eq!(unknown.fields.get("cache_updated"), None);
    let none = fails(json!({"name": "here=9"}));
    assert_eq!(none.msg, "no available installation candidate for here=9");
    assert_eq!(none.fields["cache_updated"], false);
    let broken = fails(json!({"name": "broken-pkg", "state": "build-dep"}));
    assert!(broken.msg.contains("build-dep broken-pkg' failed: E: broken"), "{}", broken.msg);
    assert_eq!(broken.fields["rc"], 100);
    assert!(fails(json!({"name": "-o=x"})).msg.contains("invalid package spec"));
    assert!(fails(json!({"name": "a", "upgrade": "dist"})).msg.contains("mutually exclusive"));
}

#[test]
fn a_package_file_brings_what_it_needs() {
    let stage = stage();
    stage.file("/root/own.deb", "");
    stage.program("dpkg-deb", "printf 'Package: own\nVersion: 2\nArchitecture: all\n'");
    stage.program("dpkg", "echo 'Setting up own (2) ...'");
    let args = json!({"deb": "/root/own.deb"});
    assert!(stage.check::<Apt>(args.clone()).unwrap().changed);
    assert!(!stage.calls().iter().any(|c| c.starts_with("dpkg ") && !c.contains("--simulate")));
    let made = stage.call::<Apt>(args.clone()).unwrap();
    assert_eq!(made.diffs[0].clone().into_value()["prepared"], "Setting up own (2) ...");
    let calls = stage.calls();
    assert!(calls.iter().any(|c| c.ends_with("[install] [other]")), "{calls:?}");
    assert_eq!(calls.last().unwrap(), "dpkg [--force-confdef] [--force-confold] [-i] [/root/own.deb]");
    stage.file("/var/lib/dpkg/status", "Package: own\nStatus: install ok installed\nArchitecture: all\nVersion: 2\n");
    assert!(!stage.call::<Apt>(args.clone()).unwrap().changed);
    stage.file("/var/lib/dpkg/status", "Package: own\nStatus: install ok installed\nArchitecture: all\nVersion: 10\n");
    assert_eq!(stage.call::<Apt>(args).unwrap_err().msg, "A later version is already installed");
}

#[test]
fn what_was_there_as_a_dependency_is_wanted_for_itself() {
    let marks = "Package: here\nArchitecture: amd64\nAuto-Installed: 1\n\n";
    let stage = stage();
    stage.file("/var/lib/apt/extended_states", marks);
    stage.program("apt-mark", "");
    let outcome = stage.call::<Apt>(json!({"name": ["here", "mta"]})).unwrap();
    assert!(!outcome.changed);
    assert!(stage.calls().iter().any(|call| call == "apt-mark [manual] [--] [here]"), "{:?}", stage.calls());
}
