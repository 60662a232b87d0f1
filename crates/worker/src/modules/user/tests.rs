// The tests prepare their own little host.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::os::unix::fs::MetadataExt;

use serde_json::json;

use super::super::stage::Stage;
use super::*;

fn stage() -> Stage {
    let ids = format!("{}:{}", rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let stage = Stage::new(&[
        ("/etc/passwd", &format!("root:x:0:0:root:/root:/bin/bash\nold:x:{ids}:Old One:/home/old:/bin/sh\n")),
        ("/etc/group", "root:x:0:\nadm:x:4:old\nusers:x:100:\nsudo:x:27:\n"),
        ("/etc/shadow", "root:*:1:0:99999:7:::\nold:!$6$s$h:1:0:99999:7:::\n"),
        ("/etc/skel/.profile", "# profile\n"),
        ("/etc/login.defs", "UMASK 022\nHOME_MODE 0750\n"),
        ("/home/old/file", ""),
    ]);
    stage
        .program("useradd", "mkdir -p $R/home/new; echo 'new:x:1001:100::/home/new:/bin/sh' >>$R/etc/passwd")
        .program("usermod", "")
        .program("userdel", "echo 'userdel: no mail' >&2")
        .program("chage", "")
        .program("chpasswd", "");
    stage
}

#[test]
fn a_new_user_with_everything() {
    let stage = stage();
    let hash = format!("$6$salt${}", "x".repeat(86));
    let args = json!({
        "name": "new", "uid": 1001, "group": "users", "groups": "adm,sudo,users", "comment": "N", "shell": "/bin/zsh",
        "home": "/home/new", "skeleton": "/etc/skel", "umask": "077", "system": true, "expires": 1_893_456_000,
        "password": hash, "password_expire_max": 30, "uid_max": 2000, "seuser": "user_u",
    });
    let dry = stage.check::<User>(args.clone()).unwrap();
    assert!(dry.changed && stage.calls().is_empty());
    let made = stage.call::<User>(args).unwrap();
    assert!(made.changed);
    assert_eq!(made.fields["uid"], 1001);
    assert_eq!(made.fields["groups"], "adm,sudo,users");
    assert_eq!(made.fields["password"], "NOT_LOGGING_PASSWORD");
    let calls = stage.calls();
    assert_eq!(
        calls,
        [
            "useradd [-u] [1001] [-Z] [user_u] [-g] [users] [-G] [adm,sudo,users] [-c] [N] [-d] [/home/new] [-s] [/bin/zsh] \
             [-e] [2030-01-01] [-m] [-k] [/etc/skel] [-K] [UMASK=077] [-r] [-K] [UID_MAX=2000] [new]"
                .to_owned(),
            format!("chpasswd [-e] <new:{hash}"),
            "chage [-M] [30] [new]".to_owned(),
        ]
    );
}

#[test]
fn only_what_differs_is_changed() {
    let stage = stage();
    let same = json!({
        "name": "old", "comment": "Old One", "groups": ["adm"], "shell": "/bin/sh", "home": "/home/old",
        "password": "$6$s$h", "password_lock": true, "expires": -1, "password_expire_max": 99999,
    });
    let outcome = stage.call::<User>(same).unwrap();
    assert!(!outcome.changed, "{:?}", stage.calls());
    for (args, call) in [
        (json!({"groups": ["sudo"], "append": true}), "usermod [-a] [-G] [sudo] [old]"),
        (json!({"groups": ["sudo"]}), "usermod [-G] [sudo] [old]"),
        (json!({"groups": ""}), "usermod [-G] [] [old]"),
        (json!({"groups": []}), "usermod [-G] [] [old]"),
        (json!({"password_lock": false}), "usermod [-U] [old]"),
        (json!({"password": "*"}), "usermod [-p] [*] [old]"),
        (json!({"expires": 1_893_456_000}), "usermod [-e] [2030-01-01] [old]"),
        (
            json!({"home": "/home/other", "move_home": true, "create_home": false}),
            "usermod [-d] [/home/other] [-m] [old]",
        ),
        (json!({"uid": 7, "non_unique": true}), "usermod [-u] [7] [-o] [old]"),
        (json!({"password": "$y$a$b$c"}), "chpasswd [-e] <old:$y$a$b$c"),
        (json!({"password": "$y$a$b$c", "password_lock": true}), "chpasswd [-e] <old:!$y$a$b$c"),
    ] {
        let mut all = args.clone();
        all["name"] = json!("old");
        assert!(stage.check::<User>(all.clone()).unwrap().changed, "{args}");
        assert!(stage.calls().is_empty());
        assert!(stage.call::<User>(all).unwrap().changed, "{args}");
        assert_eq!(stage.calls(), [call]);
    }
    let kept =
        json!({"name": "old", "password": "$y$a$b$c", "update_password": "on_create", "groups": "adm", "append": true});
    assert!(!stage.call::<User>(kept).unwrap().changed);
}

#[test]
fn a_missing_home_is_made_from_the_skeleton() {
    let stage = stage();
    std::fs::rename(stage.real("/home/old"), stage.real("/home/moved")).unwrap();
    assert!(stage.check::<User>(json!({"name": "old"})).unwrap().changed);
    assert!(!stage.exists("/home/old"));
    assert!(stage.call::<User>(json!({"name": "old"})).unwrap().changed);
    assert_eq!(stage.text("/home/old/.profile"), "# profile\n");
    assert_eq!(std::fs::metadata(stage.real("/home/old")).unwrap().mode() & 0o777, 0o750);
    assert!(!stage.call::<User>(json!({"name": "old"})).unwrap().changed);
}

#[test]
fn removal() {
    let stage = stage();
    let gone = stage.call::<User>(json!({"name": "old", "state": "absent", "remove": true, "force": true})).unwrap();
    assert_eq!((gone.changed, &gone.fields["stderr"]), (true, &json!("userdel: no mail\n")));
    assert_eq!(stage.calls(), ["userdel [-f] [-r] [old]"]);
    assert!(!stage.call::<User>(json!({"name": "nobody", "state": "absent"})).unwrap().changed);
}

#[test]
fn bad_arguments_are_refused() {
    let stage = stage();
    let refused = |args: serde_json::Value| stage.call::<User>(args).unwrap_err().msg;
    assert_eq!(refused(json!({"name": "old", "groups": "nosuch"})), "Group nosuch does not exist");
    assert!(refused(json!({"name": "old", "local": true, "umask": "022"})).contains("'local'"));
    assert!(refused(json!({"name": "old", "password": "a\nroot:x"})).contains("shadow"));
    assert!(refused(json!({"name": "old", "umask": "9"})).contains("octal"));
}

#[test]
fn a_link_in_the_place_of_a_public_key_is_not_followed() {
    let stage = stage();
    stage.program("ssh-keygen", "echo made >$R/home/old/.ssh/id_rsa");
    std::fs::create_dir_all(stage.real("/home/old/.ssh")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", stage.real("/home/old/.ssh/id_rsa.pub")).unwrap();
    let args = json!({"name": "old", "generate_ssh_key": true, "ssh_key_type": "rsa"});
    let failure = stage.call::<User>(args).unwrap_err();
    assert!(failure.msg.contains("without its private key"), "{}", failure.msg);
    assert!(!stage.exists("/home/old/.ssh/id_rsa") && stage.calls().is_empty());
}

#[test]
fn libuser_sets_an_expiry_with_a_program_of_its_own() {
    let stage = stage();
    stage.program("lusermod", "").program("lchage", "");
    let args = json!({"name": "old", "local": true, "expires": 1_893_456_000});
    assert!(stage.call::<User>(args).unwrap().changed);
    assert_eq!(stage.calls(), ["lchage [-E] [21915] [old]"]);
}
