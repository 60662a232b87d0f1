//! Tests of the collection `community.general`: `a_module`, `fqdn_valid`.

use minijinja::{Error, Value as Jinja};

use crate::action::BuiltIn;
use crate::playbook::canonical_name;
use crate::template::call::{Call, Spec, ansible, fail, inner};
use crate::template::python_type;
use crate::value::Value;

pub(super) const TESTS: &[Spec] = &[
    // Whether rplay has the module, which is what a role that asks wants to know.
    ansible(&["community.general.a_module"], &["name"], |c| match c.value(0)? {
        Value::Str(name) => Ok(Jinja::from(canonical_name(name.as_str(), &[], &BuiltIn).is_some())),
        other => Err(fail(format!("expected string or bytes-like object, got '{}'", inner(python_type(&other))))),
    }),
    ansible(&["community.general.fqdn_valid"], &["name", "min_labels", "allow_underscores"], fqdn_valid),
];

/// A name of labels that begin and end with a letter or digit and may have hyphens between, or underscores anywhere.
fn fqdn_valid(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let Some(Value::Str(name)) = call.option(0)?.filter(|name| name.as_str() != Some("")) else {
        return Err(fail("fqdn must be str"));
    };
    let least = match call.option(1)? {
        Some(Value::Str(_)) => return Err(fail("'>=' not supported between instances of 'int' and 'str'")),
        _ => call.index(1, 1)?,
    };
    let underscores = call.flag(2, false);
    let name = name.as_str();
    // As in the reference: a newline at the end does no harm.
    let name = name.strip_suffix('\n').unwrap_or(name);
    let name = name.strip_suffix('.').unwrap_or(name);
    let letter = |b: u8| b.is_ascii_alphanumeric() || underscores && b == b'_';
    let valid = |label: &str| {
        let edges = [label.bytes().next(), label.bytes().last()];
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| letter(b) || b == b'-')
            && edges.into_iter().all(|edge| edge.is_some_and(letter))
    };
    let labels: Vec<&str> = name.split('.').collect();
    let enough = i64::try_from(labels.len()).is_ok_and(|count| count >= least);
    Ok(Jinja::from(name.len() <= 253 && enough && labels.into_iter().all(valid)))
}
