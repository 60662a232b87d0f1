//! `community.general.java_cert`: certificates in keystores of Java, through keytool.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::files::{self, text};
use crate::args::{PathArg, Presence as State, file_arguments};
use crate::host::{Command, Diff, Host, Output};
use crate::module::{Failure, Module, Outcome};

file_arguments! {
    /// Imports certificates into a keystore of Java, and removes them.
    #[derive(Debug, Deserialize, JsonSchema)]
    pub struct JavaCert {
        /// A host whose certificate is imported.
        #[serde(default)]
        cert_url: Option<String>,
        /// The port of that host.
        #[serde(default = "https")]
        cert_port: u16,
        /// A file with the certificate.
        #[serde(default)]
        cert_path: Option<PathArg>,
        /// The certificate itself.
        #[serde(default)]
        cert_content: Option<String>,
        /// The name of the certificate in the keystore.
        #[serde(default)]
        cert_alias: Option<String>,
        /// Whether certificates of the system's authorities count when it is imported.
        #[serde(default)]
        trust_cacert: bool,
        /// A PKCS12 keystore with the certificate and its key.
        #[serde(default)]
        pkcs12_path: Option<PathArg>,
        /// The password of that keystore.
        #[serde(default)]
        pkcs12_password: Option<String>,
        /// The name of the certificate in that keystore.
        #[serde(default)]
        pkcs12_alias: Option<String>,
        /// The keystore.
        #[serde(default)]
        keystore_path: Option<PathArg>,
        /// The password of the keystore.
        keystore_pass: String,
        /// Whether a keystore that is not there is made.
        #[serde(default)]
        keystore_create: bool,
        /// The type of the keystore.
        #[serde(default)]
        keystore_type: Option<String>,
        /// The program.
        #[serde(default = "keytool")]
        executable: String,
        /// Whether the certificate should be there.
        #[serde(default)]
        state: State,
    }
}

fn https() -> u16 {
    443
}

fn keytool() -> String {
    "keytool".to_owned()
}

/// The environment variable that keytool finds the keystore's password in, where nobody else sees it.
const PASSWORD: &str = "RPLAY_KEYSTORE_PASSWORD";
/// The same of the PKCS12 keystore.
const SOURCE: &str = "RPLAY_SOURCE_PASSWORD";

impl Module for JavaCert {
    const NAME: &'static str = "community.general.java_cert";

    fn check(&self) -> Result<(), String> {
        let sources = [
            self.cert_url.is_some(),
            self.cert_path.is_some(),
            self.cert_content.is_some(),
            self.pkcs12_path.is_some(),
        ];
        let given = sources.iter().filter(|given| **given).count();
        if given > 1 {
            return Err("parameters are mutually exclusive: cert_url|cert_path|cert_content|pkcs12_path".to_owned());
        }
        let alias = match self.state {
            State::Absent => self.cert_alias.is_some() || self.cert_url.is_some(),
            State::Present if given == 0 => {
                let missing = "cert_path, cert_url, cert_content, pkcs12_path";
                return Err(format!("state is present but any of the following are missing: {missing}"));
            }
            State::Present => self.alias().is_some(),
        };
        if self.keystore_path.is_none() {
            return Err("missing required arguments: keystore_path".to_owned());
        }
        if !alias {
            return Err("the certificate needs a name in the keystore: cert_alias".to_owned());
        }
        let words =
            [self.alias(), self.pkcs12_alias.as_deref(), self.keystore_type.as_deref(), self.cert_url.as_deref()];
        if words.into_iter().flatten().any(|word| word.is_empty() || word.starts_with('-')) {
            return Err("names must not be empty or begin with a dash".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let keystore = host.path(self.keystore_path.as_ref().unwrap_or(&PathArg(String::new())))?;
        let there = host.stat(&keystore)?.is_some_and(|meta| meta.is_file());
        if !there && (self.state == State::Absent || !self.keystore_create) {
            let msg = format!("Module require existing keystore at keystore_path '{}'", text(&keystore));
            return Err(Failure::new(msg));
        }
        let alias = self.alias().unwrap_or_default();
        let held = if there { self.held(host, &keystore, alias)? } else { None };
        let mut outcome = match self.state {
            State::Absent if held.is_none() => Outcome::unchanged(),
            State::Absent => {
                let delete = self.keytool("-delete", &keystore).arg("-noprompt").arg("-alias").arg(alias);
                done(host, &delete, json!({"before": format!("{alias}\n"), "after": null}))?
            }
            State::Present => {
                let wanted = self.wanted(host)?;
                if held.as_ref() == Some(&wanted) {
                    Outcome::unchanged()
                } else {
                    if held.is_some() {
                        let delete = self.keytool("-delete", &keystore).arg("-noprompt").arg("-alias").arg(alias);
                        done(host, &delete, json!(null))?;
                    }
                    let diff = json!({"before": "\n", "after": format!("{alias}\n")});
                    done(host, &self.import(host, &keystore, alias, &wanted)?, diff)?
                }
            }
        };
        if host.exists(&keystore)? {
            let mut attributes = Outcome::unchanged();
            files::settle(host, &keystore, &self.file_attributes(), true, &mut attributes)?;
            outcome.changed |= attributes.changed;
        }
        Ok(outcome)
    }
}

/// Runs a command that changes the keystore; what it said is in the outcome, and the difference whether asked for or not.
fn done(host: &Host, command: &Command, diff: Value) -> Result<Outcome, Failure> {
    match host.run(command)? {
        None => {
            let [before, after] = ["before", "after"].map(|side| diff[side].clone());
            Ok(Outcome::new(true).with_diff(Diff::values(before, after)))
        }
        Some(output) if output.rc == 0 => {
            let outcome = Outcome::new(true).with("msg", output.stdout_text()).with("rc", output.rc);
            let outcome = outcome.with("cmd", command.words()).with("stdout", output.stdout_text());
            Ok(outcome.with("error", output.stderr_text()).with("diff", diff))
        }
        Some(output) => Err(refused(command, &output)),
    }
}

fn refused(command: &Command, output: &Output) -> Failure {
    let said = output.stdout_text() + &output.stderr_text();
    Failure::new(said).with("rc", output.rc).with("cmd", command.words()).with("error", output.stderr_text())
}

/// The first certificate in a file, as its bytes: in PEM, or as they are.
fn certificate(bytes: &[u8]) -> Option<Vec<u8>> {
    let said = String::from_utf8_lossy(bytes);
    let Some((_, rest)) = said.split_once("-----BEGIN CERTIFICATE-----") else {
        // DER begins with a sequence.
        return (bytes.first() == Some(&0x30)).then(|| bytes.to_vec());
    };
    let body: String = rest.split_once("-----END")?.0.split_whitespace().collect();
    STANDARD.decode(body).ok()
}

impl JavaCert {
    /// The name of the certificate in the keystore.
    fn alias(&self) -> Option<&str> {
        self.cert_alias.as_deref().or(self.cert_url.as_deref()).or(self.pkcs12_alias.as_deref())
    }

    /// A command of keytool on the keystore.
    fn keytool(&self, verb: &str, keystore: &Path) -> Command {
        let command = Command::new(&self.executable).c_locale().arg(verb).arg("-keystore").arg(keystore);
        let command = command.args(["-storepass:env", PASSWORD]).env(PASSWORD, &self.keystore_pass);
        self.keystore_type.iter().fold(command, |command, kind| command.arg("-storetype").arg(kind))
    }

    /// The name of the certificate in the PKCS12 keystore: what others give to one without a name, by default.
    fn source_alias(&self) -> &str {
        self.pkcs12_alias.as_deref().unwrap_or("1")
    }

    /// The certificate that the keystore has under a name.
    fn held(&self, host: &Host, keystore: &Path, alias: &str) -> Result<Option<Vec<u8>>, Failure> {
        let command = self.keytool("-exportcert", keystore).args(["-rfc", "-alias", alias]);
        let output = host.query(&command)?;
        if output.rc == 0 {
            // One that cannot be read is not the one that is wanted.
            return Ok(Some(certificate(&output.stdout).unwrap_or_default()));
        }
        let missing = (output.stdout_text() + &output.stderr_text()).contains("does not exist");
        if missing { Ok(None) } else { Err(refused(&command, &output)) }
    }

    /// The certificate that should be there.
    fn wanted(&self, host: &Host) -> Result<Vec<u8>, Failure> {
        let unread = |from: &str| Failure::new(format!("cannot extract a certificate from {from}"));
        if let Some(content) = &self.cert_content {
            return certificate(content.as_bytes()).ok_or_else(|| unread("cert_content"));
        }
        if let Some(path) = &self.cert_path {
            let path = host.path(path)?;
            return certificate(&host.read(&path)?).ok_or_else(|| unread(&text(&path)));
        }
        let (command, from) = match (&self.pkcs12_path, &self.cert_url) {
            (Some(path), _) => {
                let path = host.path(path)?;
                let command =
                    Command::new(&self.executable).c_locale().args(["-exportcert", "-rfc", "-storetype", "pkcs12"]);
                let command = command.arg("-keystore").arg(&path).arg("-alias").arg(self.source_alias());
                let password = self.pkcs12_password.as_deref().unwrap_or_default();
                (command.args(["-storepass:env", SOURCE]).env(SOURCE, password), text(&path))
            }
            (None, server) => {
                let server = format!("{}:{}", server.as_deref().unwrap_or_default(), self.cert_port);
                let command =
                    Command::new(&self.executable).c_locale().args(["-printcert", "-rfc", "-sslserver", &server]);
                (command, server)
            }
        };
        let output = host.query(&command)?;
        if output.rc != 0 {
            return Err(refused(&command, &output));
        }
        certificate(&output.stdout).ok_or_else(|| unread(&from))
    }

    /// The command that brings the certificate in.
    fn import(&self, host: &Host, keystore: &Path, alias: &str, wanted: &[u8]) -> Result<Command, Failure> {
        if let Some(path) = &self.pkcs12_path {
            let command = Command::new(&self.executable).c_locale();
            let command = command.args(["-importkeystore", "-noprompt", "-srcstoretype", "pkcs12", "-srckeystore"]);
            let command = command.arg(host.path(path)?).arg("-destkeystore").arg(keystore);
            let command = command.args(["-destalias", alias, "-srcalias", self.source_alias()]);
            let command = command.args(["-srcstorepass:env", SOURCE, "-deststorepass:env", PASSWORD]);
            let command = command.env(SOURCE, self.pkcs12_password.as_deref().unwrap_or_default());
            let command = command.env(PASSWORD, &self.keystore_pass);
            return Ok(self
                .keystore_type
                .iter()
                .fold(command, |command, kind| command.arg("-deststoretype").arg(kind)));
        }
        let command = self.keytool("-importcert", keystore).args(["-noprompt", "-alias", alias]);
        let command = if self.trust_cacert { command.arg("-trustcacerts") } else { command };
        // It reads the very certificate that was compared.
        let body = STANDARD.encode(wanted);
        let lines: Vec<_> = body.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
        Ok(command.stdin(pem))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

    use super::super::stage::Stage;
    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nMAEB\n-----END CERTIFICATE-----\n";
    const TWO: &str = "x\n-----BEGIN CERTIFICATE-----\nMAIC\n-----END CERTIFICATE-----\n";
    const KEYTOOL: &str = "[ \"$RPLAY_KEYSTORE_PASSWORD$RPLAY_SOURCE_PASSWORD\" = wrong ] && { echo incorrect; exit 1; }\n\
        case $* in *-exportcert*pkcs12*|*-printcert*) cat $R/two.pem;; *-exportcert*' a'*) cat $R/one.pem;;\
        *-exportcert*) echo 'Alias <b> does not exist'; exit 1;; *-importcert*) cat >$R/imported; echo added >&2;; esac";

    fn stage() -> Stage {
        let stage = Stage::new(&[("/ks", ""), ("/one.pem", ONE), ("/two.pem", TWO)]);
        stage.program("keytool", KEYTOOL);
        stage
    }

    fn with(args: &Value) -> Value {
        let mut all = json!({"keystore_path": "/ks", "keystore_pass": "s3cret"});
        all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
        all
    }

    #[test]
    fn certificates_are_imported_once() {
        let store = "[-keystore] [/ks] [-storepass:env] [RPLAY_KEYSTORE_PASSWORD]";
        let import = |more: &str| format!("keytool [-importcert] {store} {more}");
        for (args, made) in [
            (json!({"cert_path": "/one.pem", "cert_alias": "a"}), vec![]),
            (json!({"cert_content": ONE, "cert_alias": "a"}), vec![]),
            (json!({"cert_path": "/one.pem", "cert_alias": "b"}), vec![import("[-noprompt] [-alias] [b]")]),
            (
                json!({"cert_path": "/two.pem", "cert_alias": "a", "trust_cacert": true}),
                vec![
                    format!("keytool [-delete] {store} [-noprompt] [-alias] [a]"),
                    import("[-noprompt] [-alias] [a] [-trustcacerts]"),
                ],
            ),
            (
                json!({"cert_url": "h", "keystore_type": "JKS"}),
                vec![import("[-storetype] [JKS] [-noprompt] [-alias] [h]")],
            ),
            (
                json!({"pkcs12_path": "/p", "pkcs12_alias": "p", "pkcs12_password": "x", "cert_alias": "b"}),
                vec![
                    "keytool [-importkeystore] [-noprompt] [-srcstoretype] [pkcs12] [-srckeystore] [/p] [-destkeystore] [/ks] \
                     [-destalias] [b] [-srcalias] [p] [-srcstorepass:env] [RPLAY_SOURCE_PASSWORD] [-deststorepass:env] \
                     [RPLAY_KEYSTORE_PASSWORD]"
                        .to_owned(),
                ],
            ),
            (
                json!({"cert_alias": "a", "state": "absent"}),
                vec![format!("keytool [-delete] {store} [-noprompt] [-alias] [a]")],
            ),
            (json!({"cert_alias": "b", "state": "absent"}), vec![]),
        ] {
            let stage = stage();
            let asked = |call: &String| call.contains("[-exportcert]") || call.contains("[-printcert]");
            assert_eq!(stage.check::<JavaCert>(with(&args)).unwrap().changed, !made.is_empty(), "{args}");
            assert!(stage.calls().iter().all(asked));
            let told = stage.call::<JavaCert>(with(&args)).unwrap();
            let mut calls = stage.calls();
            assert!(!calls.iter().any(|call| call.contains("s3cret")));
            calls.retain(|call| !asked(call));
            assert_eq!((told.changed, calls), (!made.is_empty(), made), "{args}");
        }
        let stage = stage();
        let told = stage.call::<JavaCert>(with(&json!({"cert_path": "/two.pem", "cert_alias": "b"}))).unwrap();
        assert_eq!(
            (&told.fields["error"], &*stage.text("/imported")),
            (&json!("added\n"), TWO.trim_start_matches("x\n"))
        );
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (args, word) in [
            (json!({"cert_alias": "a"}), "state is present but any of the following are missing"),
            (json!({"cert_alias": "a", "cert_url": "x", "cert_content": "y"}), "mutually exclusive"),
            (json!({"cert_path": "/one.pem"}), "needs a name in the keystore"),
            (json!({"cert_path": "/one.pem", "cert_alias": "-x"}), "begin with a dash"),
            (
                json!({"cert_path": "/one.pem", "cert_alias": "a", "keystore_path": "/none"}),
                "require existing keystore",
            ),
            (json!({"cert_path": "/none", "cert_alias": "a"}), "/none"),
            (json!({"cert_content": "garbage", "cert_alias": "a"}), "cannot extract a certificate"),
            (json!({"cert_path": "/one.pem", "cert_alias": "a", "keystore_pass": "wrong"}), "incorrect"),
        ] {
            assert!(stage().call::<JavaCert>(with(&args)).unwrap_err().msg.contains(word), "{word}");
        }
    }
}
