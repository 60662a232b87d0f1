//! What is told of arguments in which several things are wrong: as in the reference, what it looks for first.
//!
//! It asks in this order: arguments that exclude each other, missing ones, types, choices, what else belongs together,
//! and last arguments that there are not.

use rplay_protocol::Object;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::coerce::Coerce;
use super::error::ArgError;
use super::{Check, opaque};

/// No argument has this name: given beside the others, it brings out which ones there are.
const STRANGER: &str = "\u{0}";

/// How a module's own check begins where the reference checks before it looks for unknown arguments.
const BEFORE_UNKNOWN: [&str; 4] = [
    "missing parameter(s) required by",
    "one of the following is required",
    "parameters are required together",
    "state is ",
];

fn parsed<T: DeserializeOwned>(args: &Object) -> Result<T, ArgError> {
    T::deserialize(Coerce::root(args))
}

/// The argument that was given twice, under two of its names.
fn doubled(error: &ArgError) -> Option<&str> {
    let ArgError::Invalid(text) = error else { return None };
    text.strip_prefix("duplicate field `")?.strip_suffix('`')
}

/// Arguments of which none is there under two names, and what is to be said of those that were: as in the reference, the
/// alias counts.
pub(super) fn without_doubles<T: DeserializeOwned>(args: &Object) -> (Object, Vec<String>) {
    let (mut args, mut warnings) = (args.clone(), Vec::new());
    while let Some(field) = parsed::<T>(&args).err().as_ref().and_then(doubled) {
        let is_alias = |name: &&String| {
            let both = Object::from_iter([(field.to_owned(), opaque()), ((*name).clone(), opaque())]);
            *name != field && parsed::<T>(&both).err().as_ref().and_then(doubled) == Some(field)
        };
        let mut aliases: Vec<String> = args.keys().filter(is_alias).cloned().collect();
        aliases.sort();
        let Some(last) = aliases.pop() else { break };
        // The first alias takes the place of the argument itself, where that is not there.
        let shadowed = usize::from(args.remove(field).is_none());
        let both = aliases.iter().chain([&last]).skip(shadowed);
        warnings.extend(both.map(|alias| format!("Both option {field} and its alias {alias} are set.")));
        args.retain(|name, _| !aliases.contains(name));
    }
    (args, warnings)
}

/// Arguments by the names that the type itself has for them, which are the ones that messages tell.
fn by_own_names<T: DeserializeOwned>(args: &Object) -> Object {
    let Some(Outline { known, .. }) = Outline::of::<T>(&Object::new()) else { return args.clone() };
    let own = |name: &String| {
        let together = |other: &str| {
            let both = Object::from_iter([(name.clone(), opaque()), (other.to_owned(), opaque())]);
            parsed::<T>(&both).err().as_ref().and_then(doubled).map(ToOwned::to_owned)
        };
        known.iter().filter(|other| *other != name).find_map(|other| together(other)).unwrap_or_else(|| name.clone())
    };
    args.iter().map(|(name, value)| (own(name), value.clone())).collect()
}

/// What is told of arguments that brought `error`; `check` is the module's own.
pub(super) fn first<T: DeserializeOwned>(args: &Object, error: ArgError, check: Option<Check<'_, T>>) -> ArgError {
    let args = &by_own_names::<T>(args);
    let Some(Outline { blank, missing, known }) = Outline::of::<T>(args) else { return error };
    let (mut kinds, mut choices, mut within, mut fitting) = (None, None, None, blank.clone());
    for name in known.iter().filter(|name| args.contains_key(**name)) {
        let mut alone = blank.clone();
        alone.insert((*name).to_owned(), args[*name].clone());
        match parsed::<T>(&alone) {
            Ok(_) => drop(fitting.insert((*name).to_owned(), args[*name].clone())),
            Err(ArgError::Invalid(text)) if text.starts_with("value of ") => {
                choices.get_or_insert(ArgError::Invalid(text));
            }
            Err(error @ ArgError::Invalid(_)) => drop(kinds.get_or_insert(error)),
            Err(error) => drop(within.get_or_insert(error)),
        }
    }
    let said = check.and_then(|check| check(&parsed::<T>(&fitting).ok()?).err());
    let said_of = |beginnings: &[&str]| {
        said.as_ref().filter(|text| beginnings.iter().any(|b| text.starts_with(b))).cloned().map(ArgError::Invalid)
    };
    said_of(&["parameters are mutually exclusive"])
        .or_else(|| (!missing.is_empty()).then(|| ArgError::Missing(missing.join(", "))))
        .or(kinds)
        .or(choices)
        .or_else(|| said_of(&BEFORE_UNKNOWN))
        .or(within)
        .unwrap_or(error)
}

/// What can be known of arguments without their values.
struct Outline {
    /// Those that the type has, and those that it needs, each with a value that fits everywhere.
    blank: Object,
    /// Those that it needs and that were not there, in order.
    missing: Vec<String>,
    /// The names that it has.
    known: Vec<&'static str>,
}

impl Outline {
    /// Asks the type; none where it does not say which names it has.
    fn of<T: DeserializeOwned>(args: &Object) -> Option<Self> {
        let mut blank: Object = args.keys().map(|name| (name.clone(), opaque())).collect();
        blank.insert(STRANGER.to_owned(), Value::Null);
        let mut missing = Vec::new();
        loop {
            match parsed::<T>(&blank) {
                Err(ArgError::Missing(name)) if !blank.contains_key(&name) => {
                    blank.insert(name.clone(), opaque());
                    missing.push(name);
                }
                Err(ArgError::Unknown { known, within, .. }) if within.is_empty() => {
                    blank.retain(|name, _| known.contains(&name.as_str()));
                    missing.sort();
                    return Some(Self { blank, missing, known });
                }
                _ => return None,
            }
        }
    }
}
