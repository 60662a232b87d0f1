//! Tests of what is encrypted: `vault_encrypted`, `vaulted_file`.

use std::path::Path;

use minijinja::{Error, Value as Jinja};

use crate::template::call::{Call, Spec, ansible, fail};
use crate::template::filters::vault::ciphertext;
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

/// What the reference's own tests ask; of its tags, there is one here.
fn tagged_with(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    match call.text(1)?.as_str() {
        "VaultedValue" => Ok(Jinja::from(ciphertext(call, 0).is_some())),
        other => Err(fail(format!("the tag '{other}' is not known here"))),
    }
}
