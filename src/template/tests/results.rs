//! Tests of a task's registered result: `failed`, `succeeded`, `changed`, `skipped`, …

use minijinja::{Error, Value as Jinja};

use crate::template::call::{Call, Spec, ansible, fail};
use crate::template::truthy;
use crate::value::{Map, Value};

pub(super) const TESTS: &[Spec] = &[
    ansible(&["failed", "failure"], &["result"], |c| Ok(Jinja::from(flag(&result(c, "failed")?, "failed")))),
    ansible(&["success", "succeeded", "successful"], &["result"], |c| {
        Ok(Jinja::from(!flag(&result(c, "success")?, "failed")))
    }),
    ansible(&["reachable"], &["result"], |c| Ok(Jinja::from(!flag(&result(c, "reachable")?, "unreachable")))),
    ansible(&["unreachable"], &["result"], |c| Ok(Jinja::from(flag(&result(c, "unreachable")?, "unreachable")))),
    ansible(&["timedout"], &["result"], |c| {
        let result = result(c, "timedout")?;
        let period = result.get("timedout").and_then(|t| t.get("period").cloned());
        Ok(Jinja::from(period.is_some_and(|p| truthy(&p))))
    }),
    ansible(&["changed", "change"], &["result"], changed),
    ansible(&["skipped", "skip"], &["result"], |c| Ok(Jinja::from(flag(&result(c, "skipped")?, "skipped")))),
    ansible(&["started"], &["result"], |c| {
        let result = result(c, "started")?;
        // A job that finished has started.
        Ok(Jinja::from(result.get("started").is_some_and(truthy)))
    }),
    ansible(&["finished"], &["result"], |c| {
        let result = result(c, "finished")?;
        // What is no job of its own is done when it returns.
        Ok(Jinja::from(result.get("finished").is_none_or(truthy)))
    }),
];

fn result(call: &Call<'_, '_, '_>, test: &str) -> Result<std::sync::Arc<Map>, Error> {
    match call.value(0)? {
        Value::Map(map) => Ok(map),
        _ => Err(fail(format!("The '{test}' test expects a dictionary"))),
    }
}

fn flag(result: &Map, key: &str) -> bool {
    result.get(key).is_some_and(truthy)
}

fn changed(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let result = result(call, "changed")?;
    if let Some(changed) = result.get("changed") {
        return Ok(Jinja::from(truthy(changed)));
    }
    let items = result.get("results").and_then(Value::as_list).unwrap_or_default();
    Ok(Jinja::from(items.iter().any(|item| item.get("changed").is_some_and(truthy))))
}
