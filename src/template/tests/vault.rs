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
