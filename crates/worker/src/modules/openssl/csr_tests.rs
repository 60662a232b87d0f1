use serde_json::{Value, json};

use super::super::{CertificateFile, CertificatePipe, CsrFile, CsrInfo, CsrPipe, PublicKeyFile};
use super::super::{CertificateInfo, PrivateKeyFile, PrivateKeyInfo};
use crate::module::Module;
use crate::modules::stage::Stage;

/// A host with a key of each kind.
fn stage() -> Stage {
    let stage = Stage::new(&[("/etc/ec.pem", include_str!("testdata/ec.pem"))]);
    for (path, args) in [
        ("/etc/rsa.pem", json!({"size": 1024})),
        ("/etc/p384.pem", json!({"type": "ECC", "curve": "secp384r1"})),
        ("/etc/p521.pem", json!({"type": "ECC", "curve": "secp521r1"})),
        ("/etc/ed.pem", json!({"type": "Ed25519"})),
        ("/etc/x.pem", json!({"type": "X25519"})),
    ] {
        stage.call::<PrivateKeyFile>(with(json!({"path": path}), &args)).unwrap();
    }
    stage
}

fn with(mut args: Value, more: &Value) -> Value {
    args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    args
}

/// In check mode, for real, and again.
fn thrice<M: Module>(stage: &Stage, args: &Value) -> (bool, bool, bool) {
    let dry = stage.check::<M>(args.clone()).unwrap().changed;
    let first = stage.call::<M>(args.clone()).unwrap().changed;
    (dry, first, stage.call::<M>(args.clone()).unwrap().changed)
}

fn csr(more: &Value) -> Value {
    with(json!({"path": "/etc/a.csr", "privatekey_path": "/etc/ec.pem"}), more)
}

fn changes(stage: &Stage, more: &Value) -> bool {
    stage.check::<CsrFile>(csr(more)).unwrap().changed
}

#[test]
fn each_kind_of_key_signs_what_is_known_again() {
    let stage = stage();
    for key in ["rsa", "ec", "p384", "p521", "ed"] {
        let key = json!({"privatekey_path": format!("/etc/{key}.pem")});
        let request = csr(&with(json!({"common_name": "a.example"}), &key));
        assert_eq!(thrice::<CsrFile>(&stage, &request), (true, true, false), "{key}");
        let told = stage.call::<CsrInfo>(json!({"path": "/etc/a.csr"})).unwrap().fields;
        assert_eq!((&told["signature_valid"], &told["subject_alt_name"]), (&true.into(), &json!(["DNS:a.example"])));
        let certificate = with(json!({"path": "/etc/a.crt", "csr_path": "/etc/a.csr", "provider": "selfsigned"}), &key);
        assert_eq!(thrice::<CertificateFile>(&stage, &certificate), (true, true, false), "{key}");
    }
    let failure = stage.call::<CsrFile>(csr(&json!({"privatekey_path": "/etc/x.pem"}))).unwrap_err();
    assert!(failure.msg.contains("not supported for issuing certificates"), "{}", failure.msg);
}

#[test]
fn a_request_that_says_something_else_is_made_anew() {
    let stage = stage();
    let all = json!({
        "subject": {"C": "DE", "O": "Ö", "OU": ["x", "y"], "CN": "a.example"},
        "subject_alt_name": ["DNS:a.example", "IP:10.0.0.1"],
        "key_usage": ["digitalSignature", "keyAgreement"],
        "key_usage_critical": true,
        "extended_key_usage": ["serverAuth", "1.2.3.4"],
        "basic_constraints": ["CA:TRUE", "pathlen:0"],
        "ocsp_must_staple": true,
        "name_constraints_permitted": ["DNS:example", "IP:10.0.0.0/8"],
        "create_subject_key_identifier": true,
        "authority_cert_issuer": ["dirName:/CN=ca"],
        "authority_cert_serial_number": "340282366920938463463374607431768211456",
        "crl_distribution_points": [{"full_name": ["URI:https://x/y.crl"], "reasons": ["key_compromise"]}],
    });
    assert_eq!(thrice::<CsrFile>(&stage, &csr(&all)), (true, true, false));
    for same in [
        json!({"subject": {"CN": "a.example", "O": "Ö", "OU": ["y", "x"], "C": "DE"}}),
        json!({"subject_alt_name": ["IP:10.0.0.1", "DNS:a.example"]}),
        json!({"key_usage": ["Key Agreement", "Digital Signature"]}),
        json!({"extended_key_usage": ["1.2.3.4", "TLS Web Server Authentication"]}),
        json!({"name_constraints_permitted": ["IP:10.0.0.0/255.0.0.0", "DNS:example"]}),
        json!({"digest": "sha512"}),
    ] {
        assert!(!changes(&stage, &with(all.clone(), &same)), "{same}");
    }
    for other in [
        json!({"subject": {"C": "DE", "O": "Ö", "OU": ["x", "z"], "CN": "a.example"}}),
        json!({"subject": null, "subject_ordered": [{"CN": "a.example"}, {"C": "DE"}, {"O": "Ö"}, {"OU": ["x", "y"]}]}),
        json!({"subject_alt_name": ["DNS:a.example"]}),
        json!({"subject_alt_name_critical": true}),
        json!({"key_usage": ["digitalSignature"]}),
        json!({"key_usage_critical": false}),
        json!({"extended_key_usage": []}),
        json!({"basic_constraints": ["CA:TRUE"]}),
        json!({"ocsp_must_staple_critical": true}),
        json!({"name_constraints_excluded": ["DNS:a"]}),
        json!({"create_subject_key_identifier": false}),
        json!({"authority_cert_serial_number": "1"}),
        json!({"crl_distribution_points": []}),
        json!({"privatekey_path": "/etc/ed.pem"}),
        json!({"force": true}),
    ] {
        assert!(changes(&stage, &with(all.clone(), &other)), "{other}");
    }
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let stage = stage();
    for (args, said) in [
        (json!({"privatekey_path": null}), "any of the following are missing: privatekey_path, privatekey_content"),
        (json!({"privatekey_content": "x"}), "mutually exclusive: privatekey_path|privatekey_content"),
        (json!({"privatekey_path": "/etc/none.pem"}), "does not exist"),
        (json!({"privatekey_passphrase": "x"}), "Wrong or empty passphrase"),
        (json!({"subject": {"nosuch": "x"}}), "Cannot find OID for \"nosuch\""),
        (json!({"subject": {"CN": ""}}), "must not be an empty string"),
        (json!({"subject_ordered": [{"C": "DE", "CN": "x"}]}), "Entry #1 in subject_ordered"),
        (json!({"subject_ordered": [{"C": "DE"}], "CN": "x"}), "subject_ordered cannot be combined"),
        (json!({"digest": "sha9"}), "Unsupported digest \"sha9\""),
        (json!({"digest": "md5"}), "not supported for signatures"),
        (json!({"subject_alt_name": ["a.example"]}), "forgot \"DNS:\" prefix?"),
        (json!({"key_usage": ["foo"]}), "Unknown key usage \"foo\""),
        (json!({"key_usage": ["encipherOnly"]}), "key_agreement"),
        (json!({"extended_key_usage": ["foo"]}), "Cannot find OID for \"foo\""),
        (json!({"basic_constraints": ["CA:true"]}), "Unknown basic constraint value \"true\" for CA"),
        (json!({"basic_constraints": ["pathlen:1"]}), "path_length must be None"),
        (json!({"subject_key_identifier": "zz"}), "Non-hexadecimal digit found"),
        (json!({"authority_cert_issuer": ["DNS:x"]}), "required together"),
        (json!({"crl_distribution_points": [{"reasons": []}]}), "one of the following is required"),
    ] {
        let failure = stage.call::<CsrFile>(csr(&args)).unwrap_err();
        assert!(failure.msg.contains(said), "{args}: {}", failure.msg);
        assert!(!stage.exists("/etc/a.csr"));
    }
}

#[test]
fn an_authority_of_ones_own_signs() {
    let stage = stage();
    let ca = json!({
        "path": "/etc/ca.csr", "privatekey_path": "/etc/rsa.pem", "common_name": "ca", "basic_constraints": ["CA:TRUE"],
        "key_usage": ["keyCertSign"], "use_common_name_for_san": false,
    });
    stage.call::<CsrFile>(ca).unwrap();
    let own = json!({"path": "/etc/ca.crt", "csr_path": "/etc/ca.csr", "privatekey_path": "/etc/rsa.pem", "provider": "selfsigned"});
    stage.call::<CertificateFile>(own.clone()).unwrap();
    stage.call::<CsrFile>(csr(&json!({"common_name": "a.example"}))).unwrap();
    let args = json!({
        "path": "/etc/a.crt", "csr_path": "/etc/a.csr", "provider": "ownca", "ownca_path": "/etc/ca.crt",
        "ownca_privatekey_path": "/etc/rsa.pem",
    });
    assert_eq!(thrice::<CertificateFile>(&stage, &args), (true, true, false));
    let told =
        stage.call::<CertificateInfo>(json!({"path": "/etc/a.crt", "valid_at": {"soon": "+1d", "late": "+4000d"}}));
    let told = told.unwrap().fields;
    assert_eq!((&told["issuer"]["commonName"], &told["subject"]["commonName"]), (&json!("ca"), &json!("a.example")));
    assert_eq!(told["valid_at"], json!({"soon": true, "late": false}));
    assert_eq!(told["signature_algorithm"], "sha256WithRSAEncryption");
    let authority = stage.call::<CertificateInfo>(json!({"path": "/etc/ca.crt"})).unwrap().fields;
    assert_eq!(told["authority_key_identifier"], authority["subject_key_identifier"]);
    let changed =
        |more: Value| stage.check::<CertificateFile>(with(args.clone(), &more)).map(|outcome| outcome.changed);
    assert_eq!(changed(json!({"ownca_not_after": "+5d"})), Ok(false));
    for other in [
        json!({"ownca_not_after": "+5d", "ignore_timestamps": false}),
        json!({"ownca_create_authority_key_identifier": false}),
        json!({"ownca_create_subject_key_identifier": "never_create"}),
        json!({"privatekey_path": "/etc/ed.pem"}),
        json!({"csr_path": "/etc/ca.csr"}),
        json!({"force": true}),
    ] {
        assert_eq!(changed(other.clone()), Ok(true), "{other}");
    }
    assert!(changed(json!({"ownca_privatekey_path": "/etc/ec.pem"})).unwrap_err().msg.contains("does not belong"));
    assert!(changed(json!({"ownca_path": "/etc/ca.csr"})).unwrap_err().msg.contains("no BEGIN CERTIFICATE/END"));
    assert!(changed(json!({"ownca_digest": "foo"})).unwrap_err().msg.contains("Unsupported digest"));
    assert!(changed(json!({"csr_path": null})).unwrap_err().msg.contains("csr_path or csr_content is required"));
    assert!(changed(json!({"provider": "acme"})).unwrap_err().msg.contains("not supported"));
    // The authority's certificate anew: the key is the same, and so is the name.
    assert!(stage.call::<CertificateFile>(with(own, &json!({"force": true}))).unwrap().changed);
    assert_eq!(changed(json!({})), Ok(false));
}

#[test]
fn times_and_nothing_else_can_be_all_that_is_said() {
    let stage = stage();
    let args = json!({
        "path": "/etc/a.crt", "privatekey_path": "/etc/ec.pem", "provider": "selfsigned", "ignore_timestamps": false,
        "selfsigned_not_before": "20200101000000Z", "selfsigned_not_after": "20600101000000Z",
    });
    assert_eq!(thrice::<CertificateFile>(&stage, &args), (true, true, false));
    let outcome = stage.call::<CertificateFile>(args.clone()).unwrap();
    assert_eq!(
        (&outcome.fields["notBefore"], &outcome.fields["notAfter"]),
        (&json!("20200101000000Z"), &json!("20600101000000Z"))
    );
    let early = with(args, &json!({"selfsigned_not_after": "20190101000000Z"}));
    assert!(stage.call::<CertificateFile>(early).unwrap_err().msg.contains("must be after"));
}

#[test]
fn without_files_everything_is_told() {
    let stage = stage();
    let key = stage.text("/etc/ec.pem");
    let args = json!({"privatekey_content": key, "common_name": "a.example"});
    let made = stage.call::<CsrPipe>(args.clone()).unwrap();
    let request = made.fields["csr"].clone();
    assert!(made.changed && !stage.call::<CsrPipe>(with(args, &json!({"content": request}))).unwrap().changed);
    let args = json!({"privatekey_content": key, "csr_content": request, "provider": "selfsigned"});
    let made = stage.call::<CertificatePipe>(args.clone()).unwrap();
    let again = with(args, &json!({"content": made.fields["certificate"]}));
    assert!(made.changed && !stage.call::<CertificatePipe>(again).unwrap().changed);
}

#[test]
fn public_halves_are_written_in_both_forms() {
    let stage = stage();
    let args = json!({"path": "/etc/ec.pub", "privatekey_path": "/etc/ec.pem"});
    assert_eq!(thrice::<PublicKeyFile>(&stage, &args), (true, true, false));
    assert_eq!(stage.text("/etc/ec.pub"), include_str!("testdata/ec.pub"));
    let args = with(args, &json!({"format": "OpenSSH", "return_content": true}));
    assert_eq!(thrice::<PublicKeyFile>(&stage, &args), (true, true, false));
    assert_eq!(stage.text("/etc/ec.pub").trim_end(), include_str!("testdata/ec.ssh").trim_end());
}

#[test]
fn a_key_tells_of_itself() {
    let stage = stage();
    for (key, kind) in [("rsa", "RSA"), ("ec", "ECC"), ("p521", "ECC"), ("ed", "Ed25519"), ("x", "X25519")] {
        let args =
            json!({"path": format!("/etc/{key}.pem"), "check_consistency": true, "return_private_key_data": true});
        let told = stage.call::<PrivateKeyInfo>(args).unwrap().fields;
        assert_eq!(told["type"], kind);
        assert_eq!(told["key_is_consistent"], if key == "x" { Value::Null } else { true.into() });
    }
    let failure = stage.call::<PrivateKeyInfo>(json!({"path": "/etc/none.pem"})).unwrap_err();
    assert_eq!((&failure.fields["can_load_key"], &failure.fields["can_parse_key"]), (&json!(false), &json!(false)));
    let failure = stage.call::<PrivateKeyInfo>(json!({"content": "junk"})).unwrap_err();
    assert_eq!((&failure.fields["can_load_key"], &failure.fields["can_parse_key"]), (&json!(true), &json!(false)));
}
