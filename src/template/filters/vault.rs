//! Filters that encrypt and decrypt: `vault`, `unvault`.

use std::sync::Arc;

use minijinja::value::ValueKind;
use minijinja::{Error, Value as Jinja};

use crate::connection::Secret;
use crate::template::call::{Call, Spec, ansible, fail, type_name};
use crate::template::root_of;
use crate::value::Undecryptable;
use crate::vault::{Secrets, Vaulted, is_encrypted};

pub(super) const FILTERS: &[Spec] = &[
    ansible(&["vault"], &["data", "secret", "salt", "vault_id", "wrap_object", "vaultid"], vault),
    ansible(&["unvault"], &["vault", "secret", "vault_id", "vaultid"], unvault),
];

/// The id of what these filters encrypt, when none is given.
const DEFAULT_ID: &str = "filter_default";

/// What an argument was decrypted from, or could not be: when it came from an encrypted value.
pub(in crate::template) fn ciphertext(call: &Call<'_, '_, '_>, at: usize) -> Option<Arc<str>> {
    let value = call.arg(at)?;
    if let Some(encrypted) = value.downcast_object_ref::<Undecryptable>() {
        return Some(encrypted.ciphertext.clone());
    }
    root_of(call.state)?.variables().vault().origin_of(&value.to_str()?)
}

fn secret(call: &Call<'_, '_, '_>) -> Result<Secret, Error> {
    let value = call.need(1)?;
    match value.kind() {
        ValueKind::String => Ok(Secret::new(value.as_str().unwrap_or_default())),
        _ => Err(fail(format!(
            "Secret passed is required to be a string, instead we got <class '{}'>.",
            type_name(value)
        ))),
    }
}

fn id(call: &Call<'_, '_, '_>, at: usize) -> Result<String, Error> {
    Ok(match (call.text_option(at)?, call.text_option(5)) {
        (Some(id), _) => id,
        (None, Ok(Some(id))) => id,
        _ => DEFAULT_ID.to_owned(),
    })
}

fn vault(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let (secret, id) = (secret(call)?, id(call, 3)?);
    let data = call.need(0)?;
    let Some(text) = data.as_str() else {
        return Err(fail(format!("Can only vault strings, instead we got <class '{}'>.", type_name(data))));
    };
    let wrong = |e| fail(format!("Unable to encrypt: {e}"));
    let encrypted = match call.text_option(2)? {
        Some(salt) => crate::vault::encrypt(text.as_bytes(), &secret, Some(&id), Some(salt.as_bytes())),
        None => match root_of(call.state) {
            Some(root) => root.variables().vault().encrypt(text.as_bytes(), &secret, Some(&id)),
            None => crate::vault::encrypt(text.as_bytes(), &secret, Some(&id), None),
        },
    };
    let encrypted = encrypted.map_err(wrong)?;
    if !call.flag(4, false) {
        return Ok(Jinja::from(encrypted));
    }
    // The plain text, which knows what it is encrypted.
    let plain: Arc<str> = text.into();
    if let Some(root) = root_of(call.state) {
        root.variables().vault().note(&plain, &Vaulted::new(encrypted, Arc::default()));
    }
    Ok(Jinja::from(plain))
}

fn unvault(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let (secret, id) = (secret(call)?, id(call, 2)?);
    let text = match ciphertext(call, 0) {
        Some(text) => text,
        None => {
            let value = call.need(0)?;
            value.to_str().ok_or_else(|| {
                let kind = type_name(value);
                fail(format!("Vault should be in the form of a string, instead we got <class '{kind}'>."))
            })?
        }
    };
    if !is_encrypted(text.as_bytes()) {
        return Ok(Jinja::from(text));
    }
    let mut secrets = Secrets::default();
    secrets.add(id, secret);
    let found = secrets.decrypt(text.as_bytes()).map_err(|e| fail(format!("Unable to decrypt: {e}")))?;
    let plain = std::str::from_utf8(&found.plain).map_err(|_| fail("Unable to decrypt: the text is not UTF-8"))?;
    Ok(Jinja::from(plain))
}
