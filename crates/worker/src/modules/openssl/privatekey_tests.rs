use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::*;
use crate::modules::stage::Stage;

fn merged(path: &str, more: &Value) -> Value {
    let mut args = json!({"path": path});
    args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    args
}

/// In check mode, for real, and again.
fn thrice(stage: &Stage, args: &Value) -> (bool, bool, bool) {
    let dry = stage.check::<PrivateKeyFile>(args.clone()).unwrap().changed;
    let first = stage.call::<PrivateKeyFile>(args.clone()).unwrap().changed;
    (dry, first, stage.call::<PrivateKeyFile>(args.clone()).unwrap().changed)
}

fn mode(stage: &Stage, path: &str) -> u32 {
    std::fs::metadata(stage.real(path)).unwrap().permissions().mode() & 0o777
}

#[test]
fn each_kind_is_made_once_and_known_again() {
    let stage = Stage::new(&[("/etc/x", "")]);
    let kinds = [
        (json!({"size": 1024}), "-----BEGIN RSA PRIVATE KEY-----"),
        (json!({"size": 1024, "passphrase": "foo"}), "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED"),
        (json!({"type": "ECC", "curve": "secp256r1"}), "-----BEGIN EC PRIVATE KEY-----"),
        (json!({"type": "ECC", "curve": "secp384r1", "format": "pkcs8"}), "-----BEGIN PRIVATE KEY-----"),
        (json!({"type": "ECC", "curve": "secp521r1"}), "-----BEGIN EC PRIVATE KEY-----"),
        (json!({"type": "Ed25519"}), "-----BEGIN PRIVATE KEY-----"),
        (json!({"type": "X25519", "passphrase": "foo"}), "-----BEGIN ENCRYPTED PRIVATE KEY-----"),
    ];
    for (args, start) in kinds {
        let args = merged("/etc/key.pem", &args);
        assert_eq!(thrice(&stage, &args), (true, true, false), "{args}");
        let text = stage.text("/etc/key.pem");
        assert!(text.starts_with(start), "{text}");
        assert_eq!(mode(&stage, "/etc/key.pem"), 0o600);
    }
    let raw = merged("/etc/raw", &json!({"type": "Ed25519", "format": "raw", "return_content": true}));
    assert_eq!(thrice(&stage, &raw), (true, true, false));
    let outcome = stage.call::<PrivateKeyFile>(raw).unwrap();
    assert_eq!(outcome.fields["privatekey"].as_str().map(str::len), Some(44));
    assert_eq!(outcome.fields["fingerprint"].as_object().map(serde_json::Map::len), Some(14));
}

/// A key of OpenSSL's, written by it without and with the passphrase `foo`, in the old way and as PKCS#8.
const KEYS: [&str; 3] =
    [include_str!("testdata/ec.pem"), include_str!("testdata/ec_old.pem"), include_str!("testdata/ec_pkcs8.pem")];

#[test]
fn keys_of_openssl_are_read() {
    let public = |key: PrivateKey| key.public().unwrap().pem();
    let expected = include_str!("testdata/ec.pub");
    assert_eq!(public(keyfile::read(KEYS[0].as_bytes(), None).unwrap()), expected);
    for key in &KEYS[1..] {
        assert_eq!(public(keyfile::read(key.as_bytes(), Some("foo")).unwrap()), expected);
        assert!(keyfile::read(key.as_bytes(), Some("bar")).is_err());
        assert_eq!(keyfile::read(key.as_bytes(), None).err(), Some(keyfile::Unreadable::Passphrase));
    }
    assert_eq!(keyfile::read(KEYS[0].as_bytes(), Some("foo")).err(), Some(keyfile::Unreadable::Passphrase));
}

#[test]
fn what_stands_in_the_way_is_replaced_as_told() {
    let stage = Stage::new(&[("/etc/ec.pem", KEYS[0]), ("/etc/broken.pem", "broken")]);
    for path in ["/etc/ec.pem", "/etc/broken.pem"] {
        std::fs::set_permissions(stage.real(path), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let ec = json!({"type": "ECC", "curve": "secp256r1"});
    let regenerate = |path: &str, kind: &Value, how: &str| {
        let mut args = merged(path, kind);
        args["regenerate"] = how.into();
        stage.check::<PrivateKeyFile>(args).map(|outcome| outcome.changed)
    };
    let other = json!({"type": "Ed25519"});
    for (how, same, different, broken) in [
        ("never", Some(false), Some(false), None),
        ("fail", Some(false), None, None),
        ("partial_idempotence", Some(false), Some(true), None),
        ("full_idempotence", Some(false), Some(true), Some(true)),
        ("always", Some(true), Some(true), Some(true)),
    ] {
        assert_eq!(regenerate("/etc/ec.pem", &ec, how).ok(), same, "{how}");
        assert_eq!(regenerate("/etc/ec.pem", &other, how).ok(), different, "{how}");
        assert_eq!(regenerate("/etc/broken.pem", &ec, how).ok(), broken, "{how}");
    }
    assert_eq!(stage.text("/etc/ec.pem"), KEYS[0], "check mode changed it");
}

#[test]
fn another_form_is_a_new_key_or_the_same_one_written_anew() {
    let stage = Stage::new(&[("/etc/ec.pem", KEYS[0])]);
    let public =
        |stage: &Stage| keyfile::read(stage.text("/etc/ec.pem").as_bytes(), None).unwrap().public().unwrap().pem();
    let args = json!({"type": "ECC", "curve": "secp256r1", "format": "pkcs8", "format_mismatch": "convert"});
    assert_eq!(thrice(&stage, &merged("/etc/ec.pem", &args)), (true, true, false));
    assert_eq!(public(&stage), include_str!("testdata/ec.pub"));
    let ignored = json!({"type": "ECC", "curve": "secp256r1"});
    assert!(!stage.call::<PrivateKeyFile>(merged("/etc/ec.pem", &ignored)).unwrap().changed);
    let auto = json!({"type": "ECC", "curve": "secp256r1", "format": "auto", "backup": true});
    let outcome = stage.call::<PrivateKeyFile>(merged("/etc/ec.pem", &auto)).unwrap();
    assert!(outcome.changed && outcome.fields.contains_key("backup_file"));
    assert_ne!(public(&stage), include_str!("testdata/ec.pub"));
}

#[test]
fn a_key_that_others_could_read_is_closed() {
    let stage = Stage::new(&[("/etc/ec.pem", KEYS[0])]);
    std::fs::set_permissions(stage.real("/etc/ec.pem"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let args = merged("/etc/ec.pem", &json!({"type": "ECC", "curve": "secp256r1"}));
    assert_eq!(thrice(&stage, &args), (true, true, false));
    assert_eq!(mode(&stage, "/etc/ec.pem"), 0o600);
}

#[test]
fn what_cannot_be_made_is_refused() {
    let stage = Stage::new(&[("/etc/x", "")]);
    for args in [
        json!({"type": "ECC"}),
        json!({"type": "ECC", "curve": "brainpoolP256r1"}),
        json!({"type": "DSA"}),
        json!({"cipher": "aes256"}),
        json!({"size": 512}),
        json!({"type": "Ed25519", "format": "pkcs1"}),
        json!({"type": "Ed25519", "format": "raw", "passphrase": "foo"}),
    ] {
        assert!(stage.call::<PrivateKeyFile>(merged("/etc/key.pem", &args)).is_err(), "{args}");
        assert!(!stage.exists("/etc/key.pem"));
    }
    assert_eq!(stage.call::<PrivateKeyFile>(json!({"path": "/none/key.pem"})).unwrap_err().fields["name"], "/none");
    assert!(stage.call::<PrivateKeyFile>(json!({"path": "/etc", "state": "absent"})).is_err());
}

#[test]
fn a_file_goes_once() {
    let stage = Stage::new(&[("/etc/ec.pem", KEYS[0])]);
    let args = json!({"path": "/etc/ec.pem", "state": "absent", "backup": true});
    assert!(stage.check::<PrivateKeyFile>(args.clone()).unwrap().changed && stage.exists("/etc/ec.pem"));
    let outcome = stage.call::<PrivateKeyFile>(args.clone()).unwrap();
    assert!(outcome.changed && outcome.fields.contains_key("backup_file"));
    assert!(!stage.call::<PrivateKeyFile>(args).unwrap().changed);
}

#[test]
fn without_a_file_the_key_is_told() {
    let stage = Stage::new(&[]);
    let args = json!({"type": "Ed25519"});
    let made = stage.call::<PrivateKeyPipe>(args.clone()).unwrap();
    let key = made.fields["privatekey"].as_str().unwrap().to_owned();
    assert!(made.changed && key.starts_with("-----BEGIN PRIVATE KEY-----"));
    let again = stage.call::<PrivateKeyPipe>(json!({"type": "Ed25519", "content": key})).unwrap();
    assert!(!again.changed && !again.fields.contains_key("privatekey"));
    let told = json!({"type": "Ed25519", "content": STANDARD.encode(&key), "content_base64": true, "return_current_key": true});
    let told = stage.call::<PrivateKeyPipe>(told).unwrap();
    assert!(!told.changed && told.fields["privatekey"] == key);
}
