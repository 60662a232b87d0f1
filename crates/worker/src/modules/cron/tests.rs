// The tests prepare their own little host.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::*;
use crate::args;

const FILE: &str = "# top\n#Ansible: one\n1 2 * * * root echo one\nMAILTO=\"x\"\n";

fn call(host: &Host, args: Value) -> Result<Outcome, Failure> {
    let module: Cron = args::parse(args.as_object().unwrap()).unwrap();
    module.check().map_err(Failure::new)?;
    module.run(host)
}

fn host() -> (tempfile::TempDir, Host) {
    let dir = tempfile::tempdir().unwrap();
    for directory in ["etc/cron.d", "tmp"] {
        std::fs::create_dir_all(dir.path().join(directory)).unwrap();
    }
    let host = Host::at(dir.path());
    host.write_file(Path::new("/etc/cron.d/f"), &Content::from(FILE.as_bytes().to_vec()), &WriteOptions::default())
        .unwrap();
    (dir, host)
}

/// Dry, for real, and again, in `/etc/cron.d/f`; gives the text and the first outcome.
fn edited(mut args: Value) -> (String, Outcome) {
    args["cron_file"] = json!("f");
    args["user"] = json!("root");
    let (dir, host) = host();
    let dry = call(&Host::at(dir.path()).checking(true), args.clone()).unwrap();
    assert_eq!(host.text("/etc/cron.d/f").unwrap(), FILE, "the dry run changed something");
    let first = call(&host, args.clone()).unwrap();
    assert_eq!((dry.changed, dry.diffs), (first.changed, first.diffs.clone()), "{args}");
    assert!(!call(&host, args.clone()).unwrap().changed, "not settled: {args}");
    (host.text("/etc/cron.d/f").unwrap_or_default(), first)
}

#[test]
fn jobs_of_a_file() {
    let job = |line: &str| format!("# top\n#Ansible: one\n{line}\nMAILTO=\"x\"\n");
    for (args, text) in [
        (json!({"name": "one", "job": "echo one", "minute": 1, "hour": "2"}), FILE.to_owned()),
        (json!({"name": "one", "job": "x", "dom": "3", "dow": "1-5"}), job("* * 3 * 1-5 root x")),
        (json!({"name": "one", "job": "x", "special_time": "reboot"}), job("@reboot root x")),
        (json!({"name": "one", "job": "x", "disabled": true}), job("#* * * * * root x")),
        (json!({"name": "two", "job": "x"}), format!("{FILE}#Ansible: two\n* * * * * root x\n")),
        (json!({"name": "one", "state": "absent"}), "# top\nMAILTO=\"x\"\n".to_owned()),
        (json!({"name": "PATH", "value": "/bin", "env": true}), format!("PATH=\"/bin\"\n{FILE}")),
        (json!({"name": "A", "job": "1", "env": true, "insertafter": "MAILTO"}), format!("{FILE}A=\"1\"\n")),
        (json!({"name": "MAILTO", "env": true, "state": "absent"}), FILE.replace("MAILTO=\"x\"\n", "")),
    ] {
        let (got, outcome) = edited(args.clone());
        assert_eq!(got, text, "{args}");
        assert_eq!(outcome.changed, text != FILE, "{args}");
    }
    assert_eq!(edited(json!({"name": "two", "job": "x"})).1.fields["jobs"], json!(["one", "two"]));
}

#[test]
fn a_file_without_anything_goes() {
    let (_dir, host) = host();
    let args =
        |state: &str| json!({"name": "only", "job": "x", "user": "root", "cron_file": "/etc/cron.d/g", "state": state});
    assert!(call(&host, args("present")).unwrap().changed);
    let gone = call(&host, args("absent")).unwrap();
    assert_eq!((gone.changed, &gone.fields["state"]), (true, &json!("absent")));
    assert!(!host.exists(Path::new("/etc/cron.d/g")).unwrap());
    assert!(!call(&host, args("absent")).unwrap().changed);
}

#[test]
fn the_old_one_is_kept() {
    let (_dir, host) = host();
    let args = json!({"name": "one", "job": "x", "user": "root", "cron_file": "f", "backup": true});
    let outcome = call(&host, args).unwrap();
    assert_eq!(host.text(outcome.fields["backup_file"].as_str().unwrap()).unwrap(), FILE);
}

/// A crontab(1) that keeps everybody's table in one directory.
fn with_crontab() -> (tempfile::TempDir, Host) {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::fs::create_dir(dir.path().join("tmp")).unwrap();
    let script = "#!/bin/sh\nwho=me\nif [ \"$1\" = -u ]; then who=$2; shift 2; fi\ncase $1 in\n\
        -l) cat \"$TABLES/$who\" 2>/dev/null || { echo \"no crontab for $who\" >&2; exit 1; } ;;\n\
        -) cat > \"$TABLES/$who\" ;;\nesac\n";
    std::fs::write(bin.join("crontab"), script).unwrap();
    std::fs::set_permissions(bin.join("crontab"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let environment = vec![("PATH".to_owned(), path), ("TABLES".to_owned(), dir.path().display().to_string())];
    let host = Host::new().with_environment(environment);
    (dir, host)
}

#[test]
fn crontabs_of_users() {
    let (dir, host) = with_crontab();
    let table = |user: &str| std::fs::read_to_string(dir.path().join(user)).unwrap_or_default();
    let args = json!({"name": "one", "job": "echo one", "minute": "5"});
    assert!(call(&host, args.clone()).unwrap().changed);
    assert_eq!(table("me"), "#Ansible: one\n5 * * * * echo one\n");
    assert!(!call(&host, args).unwrap().changed);
    let other = json!({"name": "one", "job": "x", "user": "her", "special_time": "daily"});
    let outcome = call(&host, other).unwrap();
    assert_eq!(outcome.diffs[0].clone().into_value()["after_header"], "crontab for user \"her\"");
    assert_eq!(table("her"), "#Ansible: one\n@daily x\n");
    assert!(call(&host, json!({"name": "one", "state": "absent"})).unwrap().changed);
    assert_eq!(table("me"), "");
}

#[test]
fn impossible_arguments_are_refused() {
    let (_dir, host) = host();
    for (args, msg) in [
        (json!({"name": "x"}), "You must specify 'job'"),
        (json!({"name": "x", "job": "y", "special_time": "daily", "minute": "1"}), "You cannot combine special_time"),
        (json!({"name": "x", "job": "y", "cron_file": "f"}), "To use cron_file=... parameter you must specify user"),
        (
            json!({"name": "x", "job": "y", "insertafter": "z"}),
            "Insertafter and insertbefore parameters are valid only",
        ),
        (json!({"name": "A B", "job": "y", "env": true}), "Invalid name for environment variable"),
        (
            json!({"name": "A", "job": "y", "env": true, "insertafter": "N", "cron_file": "f", "user": "root"}),
            "Variable named 'N' not found.",
        ),
    ] {
        let failure = call(&host, args).unwrap_err();
        assert!(failure.msg.starts_with(msg), "{}", failure.msg);
    }
}
