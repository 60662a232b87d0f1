//! Tests of what is encrypted: `vault_encrypted`, `vaulted_file`.

use std::path::Path;
use std::sync::Arc;

use minijinja::{Error, Value as Jinja};

use crate::template::call::{Call, Spec, ansible, fail};
use crate::template::filters::vault::ciphertext;
use crate::template::{Variable, root_of};
use crate::value::Value;
use crate::vault::is_encrypted;

pub(super) const TESTS: &[Spec] = &[
    ansible(&["vault_encrypted"], &["value"], |c| Ok(Jinja::from(ciphertext(c, 0).is_some()))),
    ansible(&["vaulted_file"], &["value"], vaulted_file),
    ansible(&["ansible._protomatter.tagged_with"], &["value", "tag_name"], tagged_with),
];

/// Whether a file of the controller's is encrypted.
fn vaulted_file(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let name = call.text(0)?;
    let mut start = [0; 16];
    let read = std::fs::File::open(Path::new(&name)).and_then(|mut f| std::io::Read::read(&mut f, &mut start));
    let read = read.map_err(|e| fail(format!("cannot tell whether the file '{name}' is encrypted: {e}")))?;
    Ok(Jinja::from(is_encrypted(start.get(..read).unwrap_or_default())))
}

/// Whether a text is one of a variable's that may be a template: the very same, not one that reads alike.
fn is_trusted(call: &Call<'_, '_, '_>) -> bool {
    let (Some(root), Some(text)) = (root_of(call.state), call.arg(0).and_then(Jinja::to_str)) else { return false };
    let variables = root.variables();
    variables.names().iter().any(|name| match variables.get(name) {
        Some(Variable::Value(value)) => holds_trusted(&value, &text),
        _ => false,
    })
}

fn holds_trusted(value: &Value, text: &Arc<str>) -> bool {
    match value {
        Value::Str(own) => own.is_trusted() && Arc::ptr_eq(&own.shared(), text),
        Value::List(items) => items.iter().any(|item| holds_trusted(item, text)),
        Value::Map(map) => map.values().any(|item| holds_trusted(item, text)),
        _ => false,
    }
}

/// What the reference's own tests ask; of its tags, there are two here.
fn tagged_with(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    match call.text(1)?.as_str() {
        "VaultedValue" => Ok(Jinja::from(ciphertext(call, 0).is_some())),
        "TrustedAsTemplate" => Ok(Jinja::from(is_trusted(call))),
        other => Err(fail(format!("the tag '{other}' is not known here"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod unit {
    use std::path::PathBuf;

    use crate::template::{Templar, Variable, Variables};
    use crate::value::{Map, Str, Value};
    use crate::vault::{Secrets, encrypt};

    #[derive(Debug)]
    struct Vars(Map, std::sync::Arc<Secrets>);

    impl Variables for Vars {
        fn get(&self, name: &str) -> Option<Variable> {
            self.0.get(name).cloned().map(Variable::Value)
        }
        fn names(&self) -> Vec<std::sync::Arc<str>> {
            Vec::new()
        }
        fn search_path(&self) -> Vec<PathBuf> {
            Vec::new()
        }
        fn vault(&self) -> std::sync::Arc<Secrets> {
            self.1.clone()
        }
    }

    #[test]
    fn what_is_encrypted_is_decrypted_where_it_is_used() {
        let block = |plain: &str, password: &str| {
            let text = encrypt(plain.as_bytes(), &password.into(), None, Some(b"s")).unwrap();
            text.lines().map(|line| format!("\n  {line}")).collect::<String>()
        };
        let (known, lost) = (block("a {{ 1 }}", "right"), block("b", "other"));
        let text = format!(
            "known: !vault |{known}\nlost: !vault |{lost}\nalias: '{{{{ known }}}}'\nd: {{k: '{{{{ lost }}}}'}}\n"
        );
        let mut secrets = Secrets::default();
        secrets.add("default", "right".into());
        let secrets = std::sync::Arc::new(secrets);
        let node = crate::source::load_text_with("vars.yml", None, text, &secrets).unwrap().unwrap();
        let vars = node.to_value().as_map().unwrap().clone();
        let templar = Templar::new(std::sync::Arc::new(Vars(vars.clone(), secrets)));
        let render = |text: &str| templar.string(&Str::trusted(text, None)).map(|v| v.to_json());
        let cases = [
            ("{{ known }}", serde_json::json!("a {{ 1 }}")),
            ("{{ known | upper }} {{ known == 'a {{ 1 }}' }}", serde_json::json!("A {{ 1 }} True")),
            ("{{ known is vault_encrypted and alias is vault_encrypted }}", serde_json::json!(true)),
            ("{{ lost is vault_encrypted }}", serde_json::json!(true)),
            ("{{ 'a' is vault_encrypted }}", serde_json::json!(false)),
            ("{{ lost | unvault('other') }}", serde_json::json!("b")),
            ("{{ known | vault('p') | unvault('p') }}", serde_json::json!("a {{ 1 }}")),
        ];
        for (text, want) in cases {
            assert_eq!(render(text).unwrap_or_else(|e| panic!("{text}: {e}")), want, "{text}");
        }
        assert!(
            render("{{ {'a': known} | to_nice_yaml }}")
                .unwrap()
                .as_str()
                .unwrap()
                .starts_with("a: !vault |\n    $ANSIBLE_VAULT;")
        );
        for text in [
            "{{ lost }}",
            "{{ lost ~ 'x' }}",
            "{{ lost == 'b' }}",
            "{{ d.k }}",
            "{{ d }}",
            "{{ lost | default(1) }}",
            "{{ lost | unvault('no') }}",
        ] {
            let error = render(text).unwrap_err().to_string();
            // Nor is it shown as something that is undefined.
            let inner = Str::trusted(text.trim_matches(['{', '}', ' ']), None);
            assert!(templar.shown_expression(&inner).is_err(), "{text}");
            assert!(
                error.contains("Decryption failed (no vault secrets were found that could decrypt)."),
                "{text}: {error}"
            );
        }
        let Some(Value::Str(lost)) = vars.get("lost") else { panic!("a value") };
        assert!(templar.string(lost).unwrap_err().message.starts_with("Attempt to use undecryptable variable: "));
    }
}
