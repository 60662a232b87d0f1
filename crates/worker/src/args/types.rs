//! Argument types that mean more than their JSON.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error};
use serde_json::Value;

/// Whether what a module looks after should be there: its `state`, where there are these two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It should not.
    Absent,
    /// It should.
    #[default]
    Present,
}

/// Whether a package should be there, and which: the `state` of those who manage libraries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PackageState {
    /// In any version, or in the one that is named.
    #[default]
    Present,
    /// In none.
    Absent,
    /// In the newest one.
    Latest,
}

/// The same, with the other words for it that managers of a distribution's packages take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InstallState {
    /// In any version, or in the one that is named.
    #[default]
    #[serde(alias = "installed")]
    Present,
    /// In none.
    #[serde(alias = "removed")]
    Absent,
    /// In the newest one.
    Latest,
}

/// What is said of permissions that are none; what stands behind a colon then are the details.
pub(super) const NO_MODE: &str = "mode must be in octal or symbolic form";

/// Permissions as a user may write them: a number, an octal string, a symbolic change, or `preserve`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Exact permission bits, including set-id and sticky.
    Bits(u32),
    /// A change such as `u=rw,g+X`, as chmod(1) takes it.
    Symbolic(String),
    /// The permissions of the source file (only where a module copies one).
    Preserve,
}

impl Mode {
    /// Reads a mode as the reference does: digits are octal, other text is symbolic.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "preserve" {
            return Ok(Self::Preserve);
        }
        if super::is_opaque(&Value::String(text.to_owned())) {
            return Ok(Self::Bits(0));
        }
        if text.is_empty() {
            // As in the reference nothing is said: no permission is taken away.
            return Ok(Self::Symbolic(String::new()));
        }
        let bad = |text: &str| format!("{NO_MODE}: bad symbolic permission for mode: {text}");
        if text.bytes().all(|b| b.is_ascii_digit()) || text.starts_with("0o") {
            return u32::from_str_radix(text.trim_start_matches("0o"), 8)
                .ok()
                .filter(|bits| *bits <= 0o7777)
                .map(Self::Bits)
                .ok_or_else(|| bad(text));
        }
        crate::host::symbolic_mode(text, 0, false).map(|_| Self::Symbolic(text.to_owned())).map_err(|_| bad(text))
    }
}

impl Mode {
    /// That there is no source whose permissions could be preserved.
    pub(crate) fn preserves_nothing() -> super::ArgError {
        super::ArgError::Invalid(format!("{NO_MODE}: bad symbolic permission for mode: preserve"))
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Number(n) => match n.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n <= 0o7777) {
                Some(bits) => Ok(Self::Bits(bits)),
                None => Err(D::Error::custom(format!("{NO_MODE}: bad symbolic permission for mode: {n}"))),
            },
            // A number is what a truth value is in Python.
            Value::Bool(b) => Ok(Self::Bits(b.into())),
            Value::String(text) => Self::parse(&text).map_err(D::Error::custom),
            other => {
                let other = super::python::python_text(&other);
                Err(D::Error::custom(format!("{NO_MODE}: bad symbolic permission for mode: {other}")))
            }
        }
    }
}

impl JsonSchema for Mode {
    fn schema_name() -> Cow<'static, str> {
        "Mode".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "integer"]})
    }
}

/// A path on the host; `~`, `~user` and `$VAR` in it are expanded there by [`crate::host::Host::path`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PathArg(pub String);

/// A number of bytes, as `1048576` or with a unit, as `10M`, `2GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl Bytes {
    /// Reads a size; units are powers of 1024, as in the reference's `human_to_bytes`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let number: f64 = number.parse().map_err(|_| format!("'{text}' is not a size"))?;
        let power = match unit.trim().to_ascii_uppercase().trim_end_matches("IB").trim_end_matches('B') {
            "" => 0,
            "K" => 1,
            "M" => 2,
            "G" => 3,
            "T" => 4,
            "P" => 5,
            "E" => 6,
            _ => return Err(format!("'{text}' is not a size: unknown unit '{}'", unit.trim())),
        };
        Ok(Self((number * 1024f64.powi(power)) as u64))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Number(n) => n.as_u64().map(Self).ok_or_else(|| D::Error::custom(format!("'{n}' is not a size"))),
            value if super::is_opaque(&value) => Ok(Self(0)),
            Value::String(text) => Self::parse(&text).map_err(D::Error::custom),
            other => Err(D::Error::custom(format!("'{other}' is not a size"))),
        }
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "integer"]})
    }
}

/// A whole number that a string writes in octal, such as a umask `"022"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Octal(pub u32);

impl<'de> Deserialize<'de> for Octal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Number(n) => match n.as_u64().and_then(|n| u32::try_from(n).ok()) {
                Some(n) => Ok(Self(n)),
                None => Err(D::Error::custom(format!("'{n}' is not an octal number"))),
            },
            value if super::is_opaque(&value) => Ok(Self(0)),
            Value::String(text) => u32::from_str_radix(text.trim().trim_start_matches("0o"), 8)
                .map(Self)
                .map_err(|_| D::Error::custom(format!("'{text}' is not an octal number"))),
            other => Err(D::Error::custom(format!("'{other}' is not an octal number"))),
        }
    }
}

impl JsonSchema for Octal {
    fn schema_name() -> Cow<'static, str> {
        "Octal".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "integer"]})
    }
}

/// Declares a module's arguments together with the ones that every module which makes files has: `mode`, `owner`,
/// `group`, `attributes`, `seuser`, `serole`, `setype`, `selevel` and `unsafe_writes`.
///
/// (serde's `flatten` would hide the field names that unknown arguments are checked against.) The struct gets a method
/// `file_attributes()` that gives them as [`crate::host::Attributes`].
macro_rules! file_arguments {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$fmeta:meta])* $fvis:vis $field:ident : $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        $vis struct $name {
            $($(#[$fmeta])* $fvis $field: $ty,)*
            /// The permissions, as an octal string (`'0644'`), a number, or symbolic (`u=rw,g=r`).
            #[serde(default)]
            pub mode: Option<$crate::args::Mode>,
            /// Name or id of the user that should own the file.
            #[serde(default)]
            pub owner: Option<String>,
            /// Name or id of the group that should own the file.
            #[serde(default)]
            pub group: Option<String>,
            /// Attributes as chattr(1) takes them, such as `+i`.
            #[serde(default, alias = "attr")]
            pub attributes: Option<String>,
            /// The user part of the SELinux context.
            #[serde(default)]
            pub seuser: Option<String>,
            /// The role part of the SELinux context.
            #[serde(default)]
            pub serole: Option<String>,
            /// The type part of the SELinux context.
            #[serde(default)]
            pub setype: Option<String>,
            /// The level part of the SELinux context.
            #[serde(default)]
            pub selevel: Option<String>,
            /// Whether writing in place is allowed where a rename is not possible; without a word, as
            /// `ANSIBLE_UNSAFE_WRITES` in the environment says.
            #[serde(default)]
            #[allow(dead_code)]
            pub unsafe_writes: Option<bool>,
        }
        impl $name {
            /// The file attributes among these arguments.
            #[allow(dead_code)]
            fn file_attributes(&self) -> $crate::host::Attributes {
                $crate::host::Attributes {
                    mode: self.mode.clone(),
                    owner: self.owner.clone(),
                    group: self.group.clone(),
                    attributes: self.attributes.clone(),
                    selinux: $crate::host::SelinuxContext {
                        user: self.seuser.clone(),
                        role: self.serole.clone(),
                        kind: self.setype.clone(),
                        level: self.selevel.clone(),
                    },
                }
            }
        }
    };
}
pub(crate) use file_arguments;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(Bytes::parse("10M").unwrap().0, 10 << 20);
        assert_eq!(Bytes::parse("1.5 GB").unwrap().0, 3 << 29);
        assert!(Bytes::parse("10 parsecs").is_err());
    }

    #[test]
    fn modes_are_octal_or_symbolic() {
        assert_eq!(Mode::parse("0644").unwrap(), Mode::Bits(0o644));
        assert_eq!(Mode::parse("u=rw,g+X").unwrap(), Mode::Symbolic("u=rw,g+X".into()));
        assert!(Mode::parse("99").is_err());
        assert_eq!(Mode::parse("").unwrap(), Mode::Symbolic(String::new()), "nothing is no permission to take away");
        assert!(Mode::parse("rw-r--r--!").is_err());
    }
}
