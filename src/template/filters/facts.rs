//! Facts beside each other, as the collection `ansible.utils` has them: `consolidate`, `fact_diff`, `param_list_compare`.

use minijinja::{Error, Value as Jinja};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::json;
use crate::template::call::{Call, Spec, ansible, fail, inner, inner_class, items};
use crate::template::regex::{Flags, Pattern};
use crate::template::{python, python_type, truthy};
use crate::value::{Key, Map, Value};

pub(super) const FILTERS: &[Spec] = &[
    ansible(
        &["ansible.utils.consolidate"],
        &["data_sources", "fail_missing_match_key", "fail_missing_match_value", "fail_duplicate"],
        consolidate,
    ),
    ansible(&["ansible.utils.fact_diff"], &["before", "after", "plugin", "common"], fact_diff),
    ansible(&["ansible.utils.param_list_compare"], &["base", "target"], param_list_compare),
];

/// One list of facts, by the value that each is known by.
struct Source {
    name: Key,
    facts: Vec<(Value, Value)>,
}

fn consolidate(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let Value::List(given) = call.value(0)? else {
        let value = call.value(0)?;
        let (kind, class) = (python_type(&value), inner_class(python_type(&value)));
        return Err(fail(format!(
            "[\"argument 'data_sources' is of type {kind} and we were unable to convert to list: <class '{class}'> cannot be \
             converted to a list\"]"
        )));
    };
    let said = |option: &str, reports: Vec<String>| {
        (!reports.is_empty())
            .then(|| format!("Error when using plugin 'consolidate': '{option}' reported {}", reports.join(", ")))
    };
    let (mut unkeyed, mut doubled) = (Vec::new(), Vec::new());
    let mut sources = Vec::new();
    for (at, source) in given.iter().enumerate() {
        let source = read(source, at + 1, &mut unkeyed)?;
        let twice = |i: usize, key: &Value| source.facts.iter().take(i).any(|(other, _)| other == key);
        if source.facts.iter().enumerate().any(|(i, (key, _))| twice(i, key)) {
            doubled.push(format!("duplicate values in data source {}", at + 1));
        }
        sources.push(source);
    }
    let wrong = [
        said("fail_missing_match_key", unkeyed).filter(|_| call.flag(1, true)),
        said("fail_duplicate", doubled).filter(|_| call.flag(3, true)),
    ];
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    if !wrong.is_empty() {
        return Err(fail(wrong.join("; ")));
    }
    let mut keys: Vec<(Value, ())> = Vec::new();
    for (key, _) in sources.iter().flat_map(|source| &source.facts) {
        if !keys.iter().any(|(other, ())| other == key) {
            keys.push((key.clone(), ()));
        }
    }
    python::sort_by_key(&mut keys, false)?;
    let mut lacking = Vec::new();
    for (at, source) in sources.iter().enumerate() {
        let missing = keys.iter().filter(|(key, ())| !source.facts.iter().any(|(other, _)| other == key));
        let missing: Vec<String> = missing.map(|(key, ())| python::text(key)).collect();
        if !missing.is_empty() {
            lacking.push(format!("missing match value {} in data source {}", missing.join(", "), at + 1));
        }
    }
    if let Some(wrong) = said("fail_missing_match_value", lacking).filter(|_| call.flag(2, true)) {
        return Err(fail(wrong));
    }
    let together = |key: &Value| -> Value {
        let of = |source: &Source| {
            let fact = source.facts.iter().rev().find(|(other, _)| other == key);
            (source.name.clone(), fact.map_or_else(|| Value::map(Map::new()), |(_, fact)| fact.clone()))
        };
        Value::map(sources.iter().map(of).collect())
    };
    let out = keys.iter().filter_map(|(key, ())| Some((Key::from_value(key)?, together(key)))).collect();
    Ok(Value::map(out).to_jinja())
}

fn read(source: &Value, number: usize, unkeyed: &mut Vec<String>) -> Result<Source, Error> {
    const NAMES: [&str; 3] = ["data", "match_key", "name"];
    let Value::Map(options) = source else {
        let kind = python_type(source);
        return Err(fail(format!("each of data_sources must be a dictionary, not {kind}")));
    };
    if let Some(stranger) = options.keys().find(|key| !NAMES.contains(&key.as_str().unwrap_or_default())) {
        return Err(fail(format!("['data_sources.{stranger}. Supported parameters include: data, match_key, name.']")));
    }
    if let Some(missing) = NAMES.iter().find(|name| source.get(name).is_none()) {
        return Err(fail(format!("['missing required arguments: {missing} found in data_sources']")));
    }
    let text = |name: &str| source.get(name).map(python::text).unwrap_or_default();
    let key = text("match_key");
    let mut facts = Vec::new();
    for (at, fact) in items(source.get("data").unwrap_or(&Value::Null))?.into_iter().enumerate() {
        if fact.as_map().is_none() {
            let kind = inner(python_type(&fact));
            return Err(fail(match fact {
                Value::Str(_) => "string indices must be integers, not 'str'".to_owned(),
                Value::List(_) => "list indices must be integers or slices, not str".to_owned(),
                _ => format!("'{kind}' object is not subscriptable"),
            }));
        }
        match fact.get(&key) {
            Some(value) if Key::from_value(value).is_none() => {
                return Err(fail(format!("unhashable type: '{}'", inner(python_type(value)))));
            }
            Some(value) => facts.push((value.clone(), fact.clone())),
            None => unkeyed.push(format!("missing match key '{key}' in data source {number} in list entry {}", at + 1)),
        }
    }
    Ok(Source { name: Key::from(text("name")), facts })
}

/// The lines of a fact, and whether the last one ends.
fn lines(value: &Value, skip: &[String]) -> Result<(Vec<String>, bool), Error> {
    let split = |text: &str| -> Vec<String> { python::lines(text).map(|(line, _)| line.to_owned()).collect() };
    if skip.is_empty() {
        return Ok(match value {
            Value::Null => (Vec::new(), true),
            Value::Str(text) => {
                (split(text.as_str()), python::lines(text.as_str()).last().is_none_or(|(_, end)| !end.is_empty()))
            }
            Value::Map(_) => (split(&json::laid_out(value)?), true),
            Value::List(items) if items.is_empty() => (vec![String::new()], true),
            Value::List(items) => (items.iter().flat_map(|item| split(&python::text(item))).collect(), true),
            other => {
                let kind = python_type(other);
                return Err(fail(format!("'{kind}' object has no attribute 'splitlines'")));
            }
        });
    }
    let all = match value {
        Value::Str(text) => split(text.as_str()),
        other => items(other)?.iter().map(python::text).collect(),
    };
    let mut kept = Vec::new();
    for line in all {
        let mut skipped = false;
        for pattern in skip {
            let wrong = |e: Error| {
                let why = e.detail().unwrap_or_default().to_owned();
                fail(format!(
                    "Error when using filter plugin 'fact_diff': The regex '{pattern}', is not valid. The error was {why}."
                ))
            };
            let found = Pattern::new(pattern, Flags::default()).map_err(wrong)?.captures(&line, 0)?;
            skipped |= found.and_then(|found| found.get(0)).is_some_and(|whole| whole.start() == 0);
        }
        if !skipped {
            kept.push(line);
        }
    }
    Ok((kept, true))
}

fn fact_diff(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let plugin = call.option(2)?.unwrap_or_else(|| Value::map(Map::new()));
    if plugin.as_map().is_none() {
        let kind = inner(python_type(&plugin));
        return Err(fail(format!("argument of type '{kind}' is not iterable")));
    }
    let name = plugin.get("name").map(python::text);
    if name.as_ref().is_some_and(|name| name != "ansible.utils.native") {
        return Err(fail(format!("the plugin {} is not known", name.unwrap_or_default())));
    }
    let skip = match plugin.get("vars").and_then(|vars| vars.get("skip_lines")) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::List(patterns)) => patterns.iter().map(python::text).collect(),
        Some(one) => vec![python::text(one)],
    };
    let common = call.option(3)?.is_some_and(|flag| truthy(&flag));
    if call.arg(1).is_none() {
        return Err(fail("['missing required arguments: after']"));
    }
    let (before, after) = (lines(&call.value(0)?, &skip)?, lines(&call.value(1)?, &skip)?);
    let mut out = unified(&before, &after);
    if common {
        out.retain(|line| !line.starts_with(['-', '+']));
    }
    Ok(Jinja::from(python::repr(&Value::list(out.into_iter().map(Value::from).collect()))))
}

/// All lines of both, each with the sign of where it is from.
fn unified(before: &(Vec<String>, bool), after: &(Vec<String>, bool)) -> Vec<String> {
    let ends = |side: &(Vec<String>, bool)| -> Vec<String> {
        let last = side.0.len().saturating_sub(1);
        let line = |(at, text): (usize, &String)| if at < last || side.1 { format!("{text}\n") } else { text.clone() };
        side.0.iter().enumerate().map(line).collect()
    };
    let (old, new) = (ends(before), ends(after));
    if old == new {
        return Vec::new();
    }
    let range = |length: usize| match length {
        0 => "0,0".to_owned(),
        1 => "1".to_owned(),
        many => format!("1,{many}"),
    };
    let mut out = vec!["--- before".to_owned(), "+++ after".to_owned()];
    out.push(format!("@@ -{} +{} @@", range(old.len()), range(new.len())));
    let mut put = |sign: char, lines: &[String]| {
        for line in lines {
            match line.strip_suffix('\n') {
                Some(line) => out.push(format!("{sign}{line}")),
                None => out.extend([format!("{sign}{line}"), "\\ No newline at end of file".to_owned()]),
            }
        }
    };
    for op in capture_diff_slices(Algorithm::Myers, &old, &new) {
        let (from, to) = (&old[op.old_range()], &new[op.new_range()]);
        match op {
            DiffOp::Equal { .. } => put(' ', from),
            _ => {
                put('-', from);
                put('+', to);
            }
        }
    }
    out.push(String::new());
    out
}

/// Which of the wanted names there are; `all` is every name but those with a `!` before them.
fn param_list_compare(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    if call.arg(1).is_none() {
        return Err(fail(
            "Missing either 'base' or 'other value in filter input,refer 'ansible.utils.param_list_compare' filter plugin \
             documentation for details",
        ));
    }
    let base = match call.value(0)? {
        Value::Str(text) => text.as_str().split(',').map(Value::from).collect(),
        other => items(&other)?,
    };
    let mut wanted = Vec::new();
    for name in items(&call.value(1)?)? {
        match &name {
            Value::Str(text) => wanted.push(text.as_str().to_owned()),
            other => {
                return Err(fail(format!("'{}' object has no attribute 'startswith'", inner(python_type(other)))));
            }
        }
    }
    let base: Vec<String> = base.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    let refused = |name: &str| wanted.iter().any(|other| other.strip_prefix('!') == Some(name));
    let mut actionable = Vec::new();
    if wanted.iter().any(|name| name == "all") {
        actionable.extend(base.iter().filter(|name| !refused(name)).cloned());
    }
    let mut unsupported = Vec::new();
    for name in wanted.iter().filter(|name| *name != "all" && !name.starts_with('!')) {
        match base.contains(name) {
            true => actionable.push(name.clone()),
            false => unsupported.push(name.clone()),
        }
    }
    actionable.sort();
    actionable.dedup();
    let list = |names: Vec<String>| Value::list(names.into_iter().map(Value::from).collect());
    let out = [("actionable".into(), list(actionable)), ("unsupported".into(), list(unsupported))];
    Ok(Value::map(Map::from_iter(out)).to_jinja())
}
