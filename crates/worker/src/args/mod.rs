//! Module arguments: from what a playbook says to a module's own types.
//!
//! One deserializer does the reference's coercions (`"yes"` to a bool, `"a,b"` to a list, numbers to strings), so that a
//! module's arguments are a plain struct. The same struct checks a task before any host is contacted: values that are
//! still templates are passed as [`opaque`] and accepted for every type.

mod coerce;
mod error;
mod python;
mod told;
mod types;

use rplay_protocol::Object;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use error::ArgError;
pub(crate) use python::python_repr;
pub(crate) use types::file_arguments;
pub use types::{Bytes, InstallState, Mode, Octal, PackageState, PathArg, Presence};

const OPAQUE: &str = "\u{0}opaque";

/// A stand-in for a value that is not known yet; every type accepts it.
#[must_use]
pub fn opaque() -> Value {
    Value::String(OPAQUE.to_owned())
}

/// Whether `value` is the stand-in made by [`opaque`].
#[must_use]
pub fn is_opaque(value: &Value) -> bool {
    value.as_str() == Some(OPAQUE)
}

/// The default of what is on unless it is turned off.
pub(crate) fn yes() -> bool {
    true
}

/// A word for a POSIX shell, as Python's `shlex.quote` writes it: what scripts compare with what they are told was run.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\"'\"'"))
}

/// Whether a text is one word of a command line that cannot be taken for an option.
pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && !text.contains(char::is_whitespace)
}

/// Turns a task's arguments into a module's own, doing the reference's coercions.
///
/// Fails on an argument the module does not have (with the nearest one it has), a missing one, and a value that does not
/// fit its type or choices; the message names the argument.
pub fn parse<T: DeserializeOwned>(args: &Object) -> Result<T, ArgError> {
    checked(args, None).map(|(parsed, _)| parsed)
}

/// The same, with what a module checks itself, so that of several mistakes the first one is told; and warnings of
/// arguments that were given under two names.
///
/// The check is not made of arguments that fit; that is left to the caller.
pub fn checked<T: DeserializeOwned>(args: &Object, check: Option<Check<'_, T>>) -> Result<(T, Vec<String>), ArgError> {
    if let Ok(parsed) = T::deserialize(coerce::Coerce::root(args)) {
        return Ok((parsed, Vec::new()));
    }
    let (args, warnings) = told::without_doubles::<T>(args);
    match T::deserialize(coerce::Coerce::root(&args)) {
        Ok(parsed) => Ok((parsed, warnings)),
        Err(error) => Err(told::first(&args, error, check)),
    }
}

/// What a module checks itself of its arguments.
pub type Check<'a, T> = &'a dyn Fn(&T) -> Result<(), String>;
