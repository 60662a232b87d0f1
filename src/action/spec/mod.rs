//! `validate_argument_spec`: arguments against a specification, as roles have it in `meta/argument_specs.yml`.

mod convert;

use super::{ActionContext, ActionError};
use crate::template::{python_repr, python_type};
use crate::value::{Key, Map, Value};

pub(super) fn validate(ctx: &ActionContext<'_>, args: &Map) -> Result<Map, ActionError> {
    let empty = Map::new();
    let spec = args.get("argument_spec").and_then(Value::as_map).unwrap_or(&empty);
    // What is provided, beside the variables of the names that the specification has.
    let mut given = args.get("provided_arguments").and_then(Value::as_map).cloned().unwrap_or_default();
    for name in spec.keys() {
        if !given.contains_key(name)
            && let Some(value) = ctx.templar.variable(&name.to_string())?
        {
            given.insert(name.clone(), value);
        }
    }
    let errors = errors_of(spec, given);
    let context = args.get("validate_args_context").filter(|c| !c.is_null()).cloned();
    let mut out = Map::new();
    out.insert("validate_args_context".into(), context.unwrap_or_else(|| Map::new().into()));
    out.insert("changed".into(), Value::Bool(false));
    if errors.is_empty() {
        out.insert("msg".into(), Value::from("The arg spec validation passed"));
        return Ok(out);
    }
    out.insert("msg".into(), format!("Validation of arguments failed:\n{}", errors.join("\n")).into());
    out.insert("argument_spec_data".into(), spec.clone().into());
    out.insert("argument_errors".into(), errors.into_iter().collect());
    Err(ActionError::Failed(out))
}

/// Everything that is wrong with arguments.
fn errors_of(spec: &Map, given: Map) -> Vec<String> {
    let mut check = Check::default();
    check.level(&Map::new(), spec, given, &[]);
    check.errors.append(&mut check.unsupported);
    check.errors
}

/// A validation under way.
#[derive(Default)]
struct Check {
    errors: Vec<String>,
    /// Arguments that nobody knows, which are told last, each once.
    unsupported: Vec<String>,
}

/// ` found in a -> b`, of the options that a level is below.
fn found_in(path: &[String]) -> String {
    if path.is_empty() { String::new() } else { format!(" found in {}", path.join(" -> ")) }
}

/// The same inside the sentence about a type.
fn found_in_quoted(path: &[String]) -> String {
    if path.is_empty() { String::new() } else { format!(" found in '{}'", path.join(" -> ")) }
}

fn flag(options: &Value, name: &str) -> bool {
    options.get(name).is_some_and(|v| v.to_bool().unwrap_or(false))
}

fn names(value: &Value) -> Vec<String> {
    match value {
        Value::List(items) => items.iter().map(Value::to_text).collect(),
        other => vec![other.to_text()],
    }
}

/// The lists that a rule such as `mutually_exclusive` holds; one list of names is one rule for each of them.
fn rules(value: Option<&Value>) -> Vec<Vec<String>> {
    value.and_then(Value::as_list).unwrap_or_default().iter().map(names).collect()
}

fn there(args: &Map, name: &str) -> bool {
    args.get(name).is_some_and(|value| !value.is_null())
}

impl Check {
    /// Checks the arguments of one level; `parent` is the option they belong to, whose rules hold for them.
    fn level(&mut self, parent: &Map, spec: &Map, mut args: Map, path: &[String]) {
        if let Err(internal) = self.rename(spec, &mut args) {
            self.errors.push(internal);
            return;
        }
        self.unknown(spec, &args, path);
        let found = found_in(path);
        for rule in rules(parent.get("mutually_exclusive")) {
            if rule.iter().filter(|name| args.contains_key(name.as_str())).count() > 1 {
                self.errors.push(format!("parameters are mutually exclusive: {}{found}", rule.join("|")));
            }
        }
        for (name, options) in spec {
            if let Some(default) = options.get("default").filter(|d| !d.is_null()) {
                args.entry(name.clone()).or_insert_with(|| default.clone());
            }
        }
        let mut missing: Vec<String> = spec
            .iter()
            .filter(|(name, options)| flag(options, "required") && !args.contains_key(*name))
            .map(|(name, _)| name.to_string())
            .collect();
        missing.sort();
        if !missing.is_empty() {
            self.errors.push(format!("missing required arguments: {}{found}", missing.join(", ")));
        }
        self.types(spec, &mut args, path);
        self.choices(spec, &args, &found);
        self.relations(parent, &args, &found);
        self.inner(spec, &args, path);
    }

    /// Gives an argument under an alias its own name, and tells what cannot hold arguments of its own.
    fn rename(&mut self, spec: &Map, args: &mut Map) -> Result<(), String> {
        for (name, options) in spec {
            if flag(options, "required") && options.get("default").is_some_and(|d| !d.is_null()) {
                return Err(format!("internal error: required and default are mutually exclusive for {name}"));
            }
            for alias in options.get("aliases").map(names).unwrap_or_default() {
                if let Some(value) = args.get(alias.as_str()).cloned() {
                    args.insert(name.clone(), value);
                }
            }
        }
        for (name, options) in spec.iter().filter(|(_, options)| options.get("options").is_some()) {
            let wanted = convert::wanted(options);
            let parts: &[Value] = match args.get(name) {
                Some(Value::List(items)) if options.get("elements").is_some() => items,
                Some(value) if wanted == "dict" => std::slice::from_ref(value),
                _ => &[],
            };
            for part in parts {
                match part {
                    Value::Str(text) => self.errors.extend(convert::dictionary(text.as_str()).err()),
                    Value::Map(_) | Value::Null => {}
                    other => self.errors.push(format!(
                        "Value '{}' in the sub parameter field '{name}' must be a list, not '{}'",
                        other.to_text(),
                        python_type(other)
                    )),
                }
            }
        }
        Ok(())
    }

    fn unknown(&mut self, spec: &Map, args: &Map, path: &[String]) {
        let aliases = |options: &Value| options.get("aliases").map(names).unwrap_or_default();
        let known = |name: &Key| {
            spec.contains_key(name) || spec.values().any(|options| aliases(options).contains(&name.to_string()))
        };
        let full = |name: &Key| path.iter().cloned().chain([name.to_string()]).collect::<Vec<_>>().join(".");
        let mut strangers: Vec<String> = args.keys().filter(|name| !known(name)).map(full).collect();
        if strangers.is_empty() {
            return;
        }
        strangers.sort();
        let mut supported: Vec<String> = spec
            .iter()
            .map(|(name, options)| match aliases(options) {
                aliases if aliases.is_empty() => name.to_string(),
                aliases => format!("{name} ({})", aliases.join(", ")),
            })
            .collect();
        supported.sort();
        let message = format!("{}. Supported parameters include: {}.", strangers.join(", "), supported.join(", "));
        if !self.unsupported.contains(&message) {
            self.unsupported.push(message);
        }
    }

    /// Makes arguments what their options say, first themselves and then the items of lists.
    fn types(&mut self, spec: &Map, args: &mut Map, path: &[String]) {
        let found = found_in_quoted(path);
        let stop = if found.is_empty() { "" } else { "." };
        for (name, options) in spec {
            let Some(value) = args.get(name) else { continue };
            let required = flag(options, "required");
            if value.is_null() && !required {
                continue;
            }
            let wanted = convert::wanted(options);
            match convert::to(&wanted, value) {
                Ok(converted) => drop(args.insert(name.clone(), converted)),
                Err(reason) => self.errors.push(format!(
                    "argument '{name}' is of type {}{found}{stop} and we were unable to convert to {wanted}: {reason}",
                    python_type(value)
                )),
            }
        }
        for (name, options) in spec {
            let (Some(elements), Some(Value::List(items))) = (options.get("elements"), args.get(name)) else {
                continue;
            };
            let elements = elements.to_text();
            let mut converted = Vec::with_capacity(items.len());
            for item in items.iter() {
                match convert::to(&elements, item) {
                    Ok(item) => converted.push(item),
                    Err(reason) => self.errors.push(format!(
                        "Elements value for option '{name}'{found} is of type {} and we were unable to convert to \
                         {elements}: {reason}",
                        python_type(item)
                    )),
                }
            }
            args.insert(name.clone(), Value::list(converted));
        }
    }

    fn choices(&mut self, spec: &Map, args: &Map, found: &str) {
        for (name, options) in spec {
            let (Some(choices), Some(value)) = (options.get("choices"), args.get(name)) else { continue };
            let Some(choices) = choices.as_list() else {
                let shown = python_repr(choices);
                let message = format!("internal error: choices for argument {name} are not iterable: {shown}{found}");
                self.errors.push(message);
                continue;
            };
            if value.is_null() {
                continue;
            }
            let all = choices.iter().map(Value::to_text).collect::<Vec<_>>().join(", ");
            if let Value::List(items) = value {
                let bad: Vec<String> = items.iter().filter(|i| !choices.contains(i)).map(Value::to_text).collect();
                if !bad.is_empty() {
                    let bad = bad.join(", ");
                    let message =
                        format!("value of {name} must be one or more of: {all}. Got no match for: {bad}{found}");
                    self.errors.push(message);
                }
            } else if !choices.contains(value) && !one_word_for(choices, value) {
                let got = value.to_text();
                self.errors.push(format!("value of {name} must be one of: {all}, got: {got}{found}"));
            }
        }
    }

    /// Which arguments go together.
    fn relations(&mut self, parent: &Map, args: &Map, found: &str) {
        let lacking = |wanted: &[String]| wanted.iter().filter(|name| !there(args, name)).cloned().collect::<Vec<_>>();
        let mut errors = Vec::new();
        for rule in rules(parent.get("required_together")) {
            let count = rule.iter().filter(|name| args.contains_key(name.as_str())).count();
            if count > 0 && count < rule.len() {
                errors.push(format!("parameters are required together: {}", rule.join(", ")));
            }
        }
        for rule in rules(parent.get("required_one_of")) {
            if !rule.iter().any(|name| args.contains_key(name.as_str())) {
                errors.push(format!("one of the following is required: {}", rule.join(", ")));
            }
        }
        for rule in parent.get("required_if").and_then(Value::as_list).unwrap_or_default() {
            let [name, value, wanted, any @ ..] = rule.as_list().unwrap_or_default() else { continue };
            let any = any.first().is_some_and(crate::template::truthy);
            let name = name.to_text();
            let wanted = names(wanted);
            let lacking = lacking(&wanted);
            let wrong = if any { lacking.len() == wanted.len() } else { !lacking.is_empty() };
            if args.get(name.as_str()) == Some(value) && wrong {
                let word = if any { "any" } else { "all" };
                let value = value.to_text();
                let lacking = lacking.join(", ");
                errors.push(format!("{name} is {value} but {word} of the following are missing: {lacking}"));
            }
        }
        for (name, wanted) in parent.get("required_by").and_then(Value::as_map).into_iter().flatten() {
            let lacking = lacking(&names(wanted));
            if there(args, &name.to_string()) && !lacking.is_empty() {
                errors.push(format!("missing parameter(s) required by '{name}': {}", lacking.join(", ")));
            }
        }
        self.errors.extend(errors.into_iter().map(|error| error + found));
    }

    /// The arguments that arguments have.
    fn inner(&mut self, spec: &Map, args: &Map, path: &[String]) {
        for (name, parent) in spec.iter().filter_map(|(name, options)| Some((name, options.as_map()?))) {
            let Some(options) = parent.get("options").and_then(Value::as_map) else { continue };
            let defaults = flag(&Value::map(parent.clone()), "apply_defaults");
            let nothing = Value::map(Map::new());
            let value = match args.get(name).filter(|v| !v.is_null()) {
                None if defaults => &nothing,
                None => continue,
                Some(value) => value,
            };
            let path: Vec<String> = path.iter().cloned().chain([name.to_string()]).collect();
            let parts = match value {
                Value::List(items) => items,
                one => std::slice::from_ref(one),
            };
            for part in parts {
                match part {
                    Value::Map(inner) => self.level(parent, options, inner.as_ref().clone(), &path),
                    _ => {
                        self.errors.push(format!("value of '{name}' must be of type dict or list of dicts"));
                        break;
                    }
                }
            }
        }
    }
}

/// Whether text that YAML made of a bare `yes` or `no` stands for just one of the choices.
fn one_word_for(choices: &[Value], value: &Value) -> bool {
    let truth = match value.as_str() {
        Some("True") => true,
        Some("False") => false,
        _ => return false,
    };
    choices.iter().filter(|choice| matches!(choice, Value::Str(_)) && choice.to_bool() == Some(truth)).count() == 1
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Specification, arguments and errors as the reference was seen to answer; its list of words for truth, which it shows
    /// in no order, is cut off.
    #[test]
    fn errors_are_the_references() {
        let cases: Vec<(serde_json::Value, serde_json::Value, Vec<String>)> =
            serde_json::from_str(include_str!("cases.json")).unwrap();
        let map = |json: &serde_json::Value| Value::from_json(json).as_map().unwrap().clone();
        let mut wrong = Vec::new();
        for (spec, args, want) in &cases {
            let got: Vec<String> = errors_of(&map(spec), map(args))
                .into_iter()
                .map(|e| match e.split_once("Valid booleans include:") {
                    Some((before, _)) => format!("{before}Valid booleans include:"),
                    None => e,
                })
                .collect();
            if got != *want {
                wrong.push(format!("{spec} {args}\n  want {want:?}\n  got  {got:?}"));
            }
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    }
}
