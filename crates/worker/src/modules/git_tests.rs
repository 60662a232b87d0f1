//! What git does with repositories of this machine.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use serde_json::{Value, json};

use super::super::stage::call;
use super::*;

/// A repository with the branches `main` and `dev` and a tag, and room beside it.
fn repository() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    sh(
        dir.path(),
        "git init -q -b main src; cd src; echo 1 >f; git add f; git commit -qm 1; git tag -a v1 -m v1
         echo 2 >f; git commit -qam 2; git checkout -qb dev; echo 3 >f; git commit -qam 3; git checkout -q main",
    );
    dir
}

fn sh(dir: &Path, line: &str) {
    let mut command = std::process::Command::new("sh");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@a");
    }
    assert!(command.args(["-ec", line]).current_dir(dir).status().unwrap().success(), "{line}");
}

/// Dry, for real, and again; gives what the working file says.
fn settle(dir: &Path, more: Value) -> String {
    let mut args = json!({"repo": dir.join("src"), "dest": dir.join("d")});
    args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let dry = call::<Git>(&Host::new().checking(true), &args).unwrap();
    let done = call::<Git>(&Host::new(), &args).unwrap();
    assert_eq!((dry.changed, &dry.fields["before"]), (done.changed, &done.fields["before"]), "{args}");
    let again = call::<Git>(&Host::new(), &args).unwrap();
    assert!(!again.changed && again.fields["after"] == done.fields["after"], "{args}");
    std::fs::read_to_string(dir.join("d/f")).unwrap_or_default()
}

#[test]
fn versions_are_checked_out() {
    let dir = repository();
    let at = dir.path();
    assert_eq!(settle(at, json!({})), "2\n");
    assert_eq!(settle(at, json!({"version": "v1"})), "1\n");
    assert_eq!(settle(at, json!({"version": "dev"})), "3\n");
    sh(at, "cd src; echo 4 >f; git commit -qam 4");
    assert_eq!(settle(at, json!({"update": false})), "3\n");
    assert_eq!(settle(at, json!({})), "4\n");
    sh(at, "cd src; git branch -qf main HEAD~2 || git update-ref refs/heads/main HEAD~2");
    assert_eq!(settle(at, json!({"version": "main"})), "1\n");
}

#[test]
fn shallow_and_bare_ones_are_kept_up() {
    let dir = repository();
    let at = dir.path();
    let count = |line: &str| {
        let output = std::process::Command::new("sh").args(["-c", line]).current_dir(at).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(settle(at, json!({"depth": 1, "version": "dev"})), "3\n");
    assert_eq!(count("git -C d rev-list --count HEAD"), "1");
    assert_eq!(settle(at, json!({"depth": 1, "version": "main"})), "2\n");
    sh(at, "rm -rf d");
    settle(at, json!({"bare": true}));
    sh(at, "cd src; echo 5 >f; git commit -qam 5");
    settle(at, json!({"bare": true}));
    assert_eq!(count("git -C d show HEAD:f"), "5");
}

#[test]
fn local_changes_are_kept_unless_told() {
    let dir = repository();
    let at = dir.path();
    settle(at, json!({}));
    std::fs::write(at.join("d/f"), "mine\n").unwrap();
    std::fs::write(at.join("d/new"), "mine\n").unwrap();
    let args = json!({"repo": at.join("src"), "dest": at.join("d"), "version": "v1"});
    let failure = call::<Git>(&Host::new(), &args).unwrap_err();
    assert!(failure.msg.starts_with("Local modifications exist"), "{}", failure.msg);
    assert_eq!(settle(at, json!({"version": "v1", "force": true})), "1\n");
    assert!(at.join("d/new").exists());
}

#[test]
fn what_leads_to_a_clone_is_made_first() {
    let dir = repository();
    let at = dir.path();
    let missing = json!({"repo": at.join("none"), "dest": at.join("a/b/d")});
    assert!(call::<Git>(&Host::new().checking(true), &missing).is_err());
    assert!(!at.join("a").exists());
    assert!(call::<Git>(&Host::new(), &missing).is_err());
    assert!(at.join("a/b").is_dir() && !at.join("a/b/d").exists());
    assert_eq!(settle(at, json!({})), "2\n");
}

#[test]
fn what_cannot_be_is_refused() {
    let dir = repository();
    let at = dir.path();
    for (more, word) in [
        (json!({"dest": null}), "destination directory must be specified"),
        (json!({"version": "--upload-pack=x"}), "is not a repository, version"),
        (json!({"repo": "-x"}), "is not a repository, version"),
        (json!({"verify_commit": true}), "verify_commit is not supported"),
        (json!({"version": "nosuch"}), "Failed to checkout nosuch"),
        (json!({"repo": at.join("none")}), "does not appear to be a git repository"),
    ] {
        let mut args = json!({"repo": at.join("src"), "dest": at.join("d")});
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let failure = call::<Git>(&Host::new(), &args).unwrap_err();
        assert!(failure.msg.contains(word), "{word}: {}", failure.msg);
    }
}
