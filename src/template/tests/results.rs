//! Tests of a task's registered result: `failed`, `succeeded`, `changed`, `skipped`, …

use minijinja::value::ValueKind;
use minijinja::{Error, Value as Jinja};

use crate::template::call::{Call, Spec, ansible, fail};

pub(super) const TESTS: &[Spec] = &[
    ansible(&["failed", "failure"], &["result"], |c| flag(c, "failed", "failed")),
    ansible(&["success", "succeeded", "successful"], &["result"], |c| not(flag(c, "failed", "failed")?)),
    ansible(&["reachable"], &["result"], |c| not(flag(c, "unreachable", "unreachable")?)),
    ansible(&["unreachable"], &["result"], |c| flag(c, "unreachable", "unreachable")),
    ansible(&["timedout"], &["result"], |c| {
        let timedout = entry(c, "timedout", "timedout")?;
        Ok(Jinja::from(timedout.kind() == ValueKind::Map && timedout.get_attr("period")?.is_true()))
    }),
    ansible(&["changed", "change"], &["result"], changed),
    ansible(&["skipped", "skip"], &["result"], |c| flag(c, "skipped", "skipped")),
    ansible(&["started"], &["result"], |c| stage(c, "started")),
    ansible(&["finished"], &["result"], |c| stage(c, "finished")),
];

/// How far a job is; what is no job of its own has begun and is done when it returns.
fn stage(call: &Call<'_, '_, '_>, key: &str) -> Result<Jinja, Error> {
    let value = entry(call, key, key)?;
    Ok(Jinja::from(value.is_undefined() || value.is_true()))
}

/// An entry of the result, and nothing but it: the others stay unevaluated.
fn entry(call: &Call<'_, '_, '_>, test: &str, key: &str) -> Result<Jinja, Error> {
    let result = call.need(0)?;
    if result.kind() != ValueKind::Map {
        return Err(fail(format!("The '{test}' test expects a dictionary")));
    }
    result.get_attr(key)
}

fn flag(call: &Call<'_, '_, '_>, test: &str, key: &str) -> Result<Jinja, Error> {
    Ok(Jinja::from(entry(call, test, key)?.is_true()))
}

fn not(value: Jinja) -> Result<Jinja, Error> {
    Ok(Jinja::from(!value.is_true()))
}

fn changed(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let changed = entry(call, "changed", "changed")?;
    if !changed.is_undefined() {
        return Ok(Jinja::from(changed.is_true()));
    }
    let items = entry(call, "changed", "results")?;
    if !matches!(items.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Ok(Jinja::from(false));
    }
    for item in items.try_iter()?.checked() {
        if item?.get_attr("changed").is_ok_and(|c| c.is_true()) {
            return Ok(Jinja::from(true));
        }
    }
    Ok(Jinja::from(false))
}
