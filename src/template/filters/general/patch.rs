//! JSON patches (RFC 6902): `json_patch`, `json_patch_recipe`.

use minijinja::{Error, Value as Jinja};

use crate::template::call::{Call, Spec, ansible, fail};
use crate::template::filters::json_reader;
use crate::template::{python, python_type};
use crate::value::{Key, Map, Value};

pub(super) const FILTERS: &[Spec] = &[
    ansible(&["community.general.json_patch"], &["_input", "op", "path", "value", "**options"], json_patch),
    ansible(&["community.general.json_patch_recipe"], &["_input", "operations", "fail_test"], json_patch_recipe),
];

/// Why an operation came to nothing.
enum Refusal {
    /// A test that does not hold.
    Test(String),
    Other(String),
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self::Other(message)
    }
}

fn json_patch(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    const NAME: &str = "json_patch";
    let mut operation = Map::new();
    operation.insert("op".into(), call.value(1)?);
    operation.insert("path".into(), call.value(2)?);
    operation.insert("value".into(), call.option(3)?.unwrap_or_default());
    let mut fail_test = false;
    for (name, value) in call.more()? {
        match (name.as_str().unwrap_or_default(), &value) {
            ("from", _) => drop(operation.insert(name, value)),
            ("fail_test", Value::Bool(flag)) => fail_test = *flag,
            ("fail_test", _) => return Err(said(NAME, "'fail_test' argument is not a bool")),
            (other, _) => return Err(said(NAME, &format!("unexpected keywords arguments: {other}"))),
        }
    }
    run(NAME, &call.value(0)?, &[Value::map(operation)], fail_test)
}

fn json_patch_recipe(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    const NAME: &str = "json_patch_recipe";
    let Value::List(operations) = call.value(1)? else {
        return Err(said(NAME, "'operations' needs to be a list"));
    };
    let fail_test = match call.arg(2).map(Value::from_jinja).transpose()? {
        None => false,
        Some(Value::Bool(flag)) => flag,
        Some(_) => return Err(said(NAME, "'fail_test' argument is not a bool")),
    };
    run(NAME, &call.value(0)?, &operations, fail_test)
}

fn said(filter: &str, message: &str) -> Error {
    fail(format!("{filter}: {message}"))
}

/// What a document becomes, or none when a test in it does not hold.
fn run(filter: &str, input: &Value, operations: &[Value], fail_test: bool) -> Result<Jinja, Error> {
    let mut document = match input {
        Value::Str(text) => json_reader::read(text.as_str())
            .map_err(|e| said(filter, &format!("could not decode JSON from input: {e}")))?,
        Value::List(_) | Value::Map(_) => input.clone(),
        _ => return Err(said(filter, "input is not dictionary, list or string")),
    };
    for operation in operations {
        let text = |name: &str| operation.get(name).and_then(Value::as_str);
        let Some(op) = text("op") else { return Err(said(filter, "'op' argument is not a string")) };
        let Some(path) = text("path") else { return Err(said(filter, "'path' argument is not a string")) };
        let from = text("from");
        match op {
            "copy" | "move" if from.is_none() => {
                return Err(said(filter, &format!("'from' argument missing for '{op}' operation")));
            }
            "add" | "remove" | "replace" | "copy" | "move" | "test" => {}
            other => return Err(said(filter, &format!("unsupported 'op' argument: {other}"))),
        }
        match apply(document, op, path, from.unwrap_or_default(), operation.get("value")) {
            Ok(changed) => document = changed,
            Err(Refusal::Test(message)) if fail_test => {
                return Err(said(filter, &format!("test operation failed: {message}")));
            }
            Err(Refusal::Test(_)) => return Ok(Jinja::from(())),
            Err(Refusal::Other(message)) => return Err(said(filter, &format!("patch failed: {message}"))),
        }
    }
    Ok(document.to_jinja())
}

fn apply(mut document: Value, op: &str, path: &str, from: &str, value: Option<&Value>) -> Result<Value, Refusal> {
    let target = pointer(path)?;
    let given = || value.cloned().ok_or_else(|| "The operation does not contain a 'value' member".to_owned());
    match op {
        "remove" => drop(remove(&mut document, &target)?),
        "replace" => replace(&mut document, &target, given()?)?,
        "test" => test(&document, &target, &given()?)?,
        "copy" | "move" => {
            let source = pointer(from)?;
            let moved = found(&document, &source)?.clone();
            if op == "move" {
                if source == target {
                    return Ok(document);
                }
                let container = matches!(moved, Value::List(_) | Value::Map(_));
                if container && target.starts_with(&source) {
                    return Err("Cannot move values into their own children".to_owned().into());
                }
                remove(&mut document, &source)?;
            }
            add(&mut document, &target, moved)?;
        }
        _ => add(&mut document, &target, given()?)?,
    }
    Ok(document)
}

/// The steps of a pointer (RFC 6901).
fn pointer(text: &str) -> Result<Vec<String>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let Some(rest) = text.strip_prefix('/') else { return Err("Location must start with /".to_owned()) };
    let step = |step: &str| {
        let mut after = step.split('~').skip(1);
        match after.find(|after| !after.starts_with(['0', '1'])) {
            Some(wrong) => Err(format!("Found invalid escape ~{}", wrong.chars().next().unwrap_or(' ')).trim().into()),
            None => Ok(step.replace("~1", "/").replace("~0", "~")),
        }
    };
    rest.split('/').map(step).collect()
}

/// The place in a list that a step names, which may be the one behind the last.
fn place(step: &str, length: usize) -> Result<usize, String> {
    let number = step == "0" || !step.starts_with('0') && step.bytes().all(|b| b.is_ascii_digit());
    match step {
        "-" => Ok(length),
        _ if step.is_empty() || !number => Err(format!("{} is not a valid sequence index", python::quoted(step))),
        _ => Ok(step.parse().unwrap_or(usize::MAX)),
    }
}

fn no_container(value: &Value, step: &str) -> String {
    let kind = python_type(value);
    match value {
        Value::Str(_) => format!("Cannot apply token '{step}' to non-container type <class '{kind}'>"),
        _ => format!(
            "Document '<class '{kind}'>' does not support indexing, must be mapping/sequence or support __getitem__"
        ),
    }
}

/// What a step leads to.
fn inner<'v>(value: &'v Value, step: &str) -> Result<&'v Value, String> {
    match value {
        Value::Map(map) => map
            .get(&Key::from(step))
            .ok_or_else(|| format!("member {} not found in {}", python::quoted(step), python::repr(value))),
        Value::List(items) => {
            items.get(place(step, items.len())?).ok_or_else(|| format!("index '{step}' is out of bounds"))
        }
        other => Err(no_container(other, step)),
    }
}

/// What a pointer leads to; the last step may lead nowhere, which Python says in fewer words.
fn found<'v>(document: &'v Value, path: &[String]) -> Result<&'v Value, String> {
    let Some((last, before)) = path.split_last() else { return Ok(document) };
    let parent = before.iter().try_fold(document, |at, step| inner(at, step))?;
    match parent {
        Value::Map(map) => map.get(&Key::from(last.as_str())).ok_or_else(|| python::quoted(last)),
        Value::List(items) => items.get(place(last, items.len())?).ok_or_else(|| "list index out of range".to_owned()),
        other => Err(no_container(other, last)),
    }
}

/// Changes what holds the last step of a path.
fn change<T>(
    document: &mut Value,
    path: &[String],
    how: &mut dyn FnMut(&mut Value) -> Result<T, String>,
) -> Result<T, String> {
    let Some((step, rest)) = path.split_first().filter(|(_, rest)| !rest.is_empty()) else { return how(document) };
    inner(document, step)?;
    match document {
        Value::Map(map) => {
            let mut changed = Map::clone(map);
            let Some(entry) = changed.get_mut(&Key::from(step.as_str())) else { return Err(python::quoted(step)) };
            let result = change(entry, rest, how)?;
            *document = Value::map(changed);
            Ok(result)
        }
        Value::List(items) => {
            let mut changed = items.to_vec();
            let at = place(step, changed.len())?;
            let Some(entry) = changed.get_mut(at) else { return Err("list index out of range".to_owned()) };
            let result = change(entry, rest, how)?;
            *document = Value::list(changed);
            Ok(result)
        }
        other => Err(no_container(other, step)),
    }
}

fn add(document: &mut Value, path: &[String], value: Value) -> Result<(), String> {
    let Some(last) = path.last() else {
        *document = value;
        return Ok(());
    };
    change(document, path, &mut |holder| {
        let changed = match &*holder {
            Value::Map(map) => {
                let mut map = Map::clone(map);
                map.insert(Key::from(last.as_str()), value.clone());
                Value::map(map)
            }
            Value::List(items) => {
                let at = place(last, items.len())?;
                if at > items.len() {
                    return Err("can't insert outside of list".to_owned());
                }
                let mut items = items.to_vec();
                items.insert(at, value.clone());
                Value::list(items)
            }
            other => return Err(no_container(other, last)),
        };
        *holder = changed;
        Ok(())
    })
}

fn replace(document: &mut Value, path: &[String], value: Value) -> Result<(), String> {
    let Some(last) = path.last() else {
        *document = value;
        return Ok(());
    };
    if last == "-" {
        return Err("'path' with '-' can't be applied to 'replace' operation".to_owned());
    }
    change(document, path, &mut |holder| {
        let changed = match &*holder {
            Value::Map(map) => {
                let mut map = Map::clone(map);
                let held = map.get_mut(&Key::from(last.as_str()));
                *held.ok_or_else(|| format!("can't replace a non-existent object {}", python::quoted(last)))? =
                    value.clone();
                Value::map(map)
            }
            Value::List(items) => {
                let mut items = items.to_vec();
                let held = items.get_mut(place(last, usize::MAX)?);
                *held.ok_or("can't replace outside of list")? = value.clone();
                Value::list(items)
            }
            other => return Err(no_container(other, last)),
        };
        *holder = changed;
        Ok(())
    })
}

fn remove(document: &mut Value, path: &[String]) -> Result<(), String> {
    let Some(last) = path.last() else { return Err("can't remove the whole document".to_owned()) };
    change(document, path, &mut |holder| {
        let missing = || format!("can't remove a non-existent object {}", python::quoted(last));
        let changed = match &*holder {
            Value::Map(map) => {
                let mut map = Map::clone(map);
                map.shift_remove(&Key::from(last.as_str())).ok_or_else(missing)?;
                Value::map(map)
            }
            Value::List(_) if last == "-" => return Err("invalid array index '-'".to_owned()),
            Value::List(items) => {
                let at = place(last, items.len())?;
                let mut items = items.to_vec();
                if at >= items.len() {
                    return Err(missing());
                }
                items.remove(at);
                Value::list(items)
            }
            other => return Err(no_container(other, last)),
        };
        *holder = changed;
        Ok(())
    })
}

fn test(document: &Value, path: &[String], value: &Value) -> Result<(), Refusal> {
    let held = found(document, path).map_err(Refusal::Test)?;
    if held == value {
        return Ok(());
    }
    let shown = |value: &Value| format!("{} (<class '{}'>)", python::repr(value), python_type(value));
    Err(Refusal::Test(format!("{} is not equal to tested value {}", shown(held), shown(value))))
}
